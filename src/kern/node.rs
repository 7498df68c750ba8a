//! What a vnode points to (`v_data`): memory that the kernel's part of a node
//! shares with ours.

use super::{count::Count, sys, Errno, Guard, Result, Vnode};
use core::{ops::Deref, ptr::NonNull};

/// A counted reference to a node; the last one to go drops the `T` and frees
/// the node.
///
/// A vnode has one from [`attach`](Self::attach) to [`detach`](Self::detach).
/// What waits for the server while the vnode may be reclaimed has one of its
/// own: giving back a reference to the vnode may ask the server (C:
/// `puffs_referencenode`).
pub struct NodeRef<T> {
    slot: NonNull<Slot<T>>,
}

#[repr(C)]
struct Slot<T> {
    value: T,
    refs: Count,
}

// SAFETY: as for an `Arc`; the kernel's part is shared under its own locks.
unsafe impl<T: Send + Sync> Send for NodeRef<T> {}
// SAFETY: as for an `Arc`.
unsafe impl<T: Send + Sync> Sync for NodeRef<T> {}

impl<T: Send + Sync> NodeRef<T> {
    /// Makes the pool that nodes live in.
    pub fn init_pool() {
        // SAFETY: called once, before any node.
        unsafe { sys::pk_node_pool_init(size_of::<Slot<T>>()) };
    }

    /// Destroys the pool.
    pub fn destroy_pool() {
        // SAFETY: called once, after the last node.
        unsafe { sys::pk_node_pool_destroy() };
    }

    /// Makes a node; may sleep. `None` only if the pool is not there.
    pub fn new(value: T) -> Option<NodeRef<T>> {
        // SAFETY: the pool was made for slots of this type.
        let slot = NonNull::new(unsafe { sys::pk_node_create() })?.cast::<Slot<T>>();
        let refs = Count::one();
        // SAFETY: room for a slot, aligned as any type of ours needs it.
        unsafe { slot.write(Slot { value, refs }) };
        Some(NodeRef { slot })
    }

    /// Gives a new vnode its node, with this reference.
    pub fn attach(self, vnode: Vnode, is_root: bool) {
        // SAFETY: a node, and a vnode that is new.
        unsafe { sys::pk_node_attach(self.slot.as_ptr().cast(), vnode.as_ptr(), is_root) };
        core::mem::forget(self);
    }

    /// The node of a vnode; `None` if it was detached.
    ///
    /// # Safety
    /// The vnode's node is of this type, and cannot be detached during the
    /// call: the vnode is locked, or its interlock held, or the lock of its pages,
    /// or it is the caller who reclaims it.
    pub unsafe fn of(vnode: Vnode) -> Option<NodeRef<T>> {
        // SAFETY: referenced.
        let node = unsafe { sys::pk_vnode_node(vnode.as_ptr()) };
        let slot = NonNull::new(node)?.cast::<Slot<T>>();
        // SAFETY: the vnode has a reference, as the caller says.
        unsafe { slot.as_ref() }.refs.more();
        Some(NodeRef { slot })
    }

    /// Cuts the tie of a vnode that is being reclaimed to its node, and returns
    /// the vnode's reference.
    ///
    /// # Safety
    /// The vnode's node is of this type, and nobody else detaches it.
    pub unsafe fn detach(vnode: Vnode) -> Option<NodeRef<T>> {
        // SAFETY: referenced.
        let node = unsafe { sys::pk_vnode_node(vnode.as_ptr()) };
        let slot = NonNull::new(node)?.cast();
        // SAFETY: referenced, and has a node.
        unsafe { sys::pk_node_detach(vnode.as_ptr()) };
        Some(NodeRef { slot })
    }

    /// Remembers that the calling thread polls the node (`selrecord(9)`), inside
    /// the lock that [`wake_pollers`](Self::wake_pollers) is called inside of, too.
    pub fn record_poller<S>(&self, _inside: &Guard<'_, S>) {
        // SAFETY: alive.
        unsafe { sys::pk_node_selrecord(self.slot.as_ptr().cast()) };
    }

    /// Wakes who polls the node (`selnotify(9)`).
    pub fn wake_pollers<S>(&self, events: i32, _inside: &Guard<'_, S>) {
        // SAFETY: alive.
        unsafe { sys::pk_node_selnotify(self.slot.as_ptr().cast(), events) };
    }

    /// Does an advisory lock by the kernel's own means (`lf_advlock(9)`), on a
    /// file of `size` bytes. May sleep.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn advlock(&self, call: VopCall, size: i64) -> Result<()> {
        let node = self.slot.as_ptr().cast();
        // SAFETY: alive, and the arguments of an operation for locks.
        Errno::check(unsafe { sys::pk_node_advlock(node, call.0, size) })
    }
}

impl<T> Clone for NodeRef<T> {
    fn clone(&self) -> Self {
        // SAFETY: alive, since `self` counts.
        unsafe { self.slot.as_ref() }.refs.more();
        NodeRef { slot: self.slot }
    }
}

impl<T> Deref for NodeRef<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: alive, since `self` counts.
        let slot = unsafe { self.slot.as_ref() };
        &slot.value
    }
}

impl<T> Drop for NodeRef<T> {
    fn drop(&mut self) {
        // SAFETY: alive, since `self` counts until the next line.
        if !unsafe { self.slot.as_ref() }.refs.less() {
            return;
        }
        // SAFETY: that was the last reference.
        unsafe { self.slot.drop_in_place() };
        // SAFETY: the value is gone, and nobody knows the node any more.
        unsafe { sys::pk_node_destroy(self.slot.as_ptr().cast()) };
    }
}

/// The arguments of the vnode operation that is running, for an operation of
/// the kernel's own that takes the same.
#[derive(Clone, Copy)]
pub struct VopCall(*mut sys::pk_vop);

impl VopCall {
    /// # Safety
    /// `raw` is what the kernel passed to the operation, for as long as the
    /// handle is used, and the handle is used for that operation only.
    pub unsafe fn new(raw: *mut sys::pk_vop) -> VopCall {
        VopCall(raw)
    }

    /// Does `VOP_GETPAGES(9)` (`genfs_getpages`).
    ///
    /// # Errors
    /// What the kernel says.
    pub fn get_pages(self) -> Result<()> {
        // SAFETY: `new` vouches for the arguments.
        Errno::check(unsafe { sys::pk_pages_get(self.0) })
    }
}
