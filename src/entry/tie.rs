//! The ties between the kernel's mounts and vnodes, the putter instance, and
//! what is ours.

use crate::{
    kern::{self, Arc, MountPtr, Vnode},
    mount::Mount,
    node::{Node, NodeRef},
};
use core::ffi::c_void;

impl Mount {
    /// Says that the mount succeeds, and gives the kernel's a reference.
    pub(crate) fn tie(mount: &Arc<Mount>) {
        mount.mp.commit(Arc::into_raw(mount.clone()).cast());
    }

    /// Takes the reference of the kernel's mount away, if it has one. Inside the
    /// kernel lock, for [`of`](Self::of).
    pub(crate) fn untie(mp: MountPtr) {
        let raw = kern::with_kernel_lock(|| {
            let raw = mp.data().cast::<Mount>().cast_const();
            mp.clear_data();
            raw
        });
        if !raw.is_null() {
            // SAFETY: stored by `tie`, and taken once: one thread takes a mount
            // down.
            drop(unsafe { Arc::from_raw(raw) });
        }
    }

    /// The mount of a `struct mount`; `None` before it is mounted and after it
    /// is taken down.
    ///
    /// The result keeps it: statvfs(2) and what takes file handles keep nobody
    /// from unmounting by force.
    pub(crate) fn of(mp: MountPtr) -> Option<Arc<Mount>> {
        kern::with_kernel_lock(|| {
            let raw = mp.data().cast::<Mount>().cast_const();
            // SAFETY: stored by `tie`, which gave a reference, and that is alive:
            // `untie` enters the lock before it takes it away.
            (!raw.is_null()).then(|| unsafe { Arc::retain(raw) })
        })
    }

    /// Ties the descriptor that process `pid` opened to the mount. False if
    /// there is none.
    pub(crate) fn attach(mount: &Arc<Mount>, pid: i32, fd: i32) -> bool {
        // SAFETY: `transport` takes this address; the reference of the kernel's
        // mount keeps it valid until after the instance is detached.
        unsafe {
            mount
                .msgif
                .putter
                .attach(pid, fd, Arc::as_ptr(mount).cast())
        }
    }
}

impl Node {
    /// The node of a vnode; `None` if the vnode was reclaimed.
    ///
    /// The vnode is locked, or its interlock held, or the lock of its pages, or it
    /// is the caller who reclaims it.
    pub(crate) fn of(vnode: Vnode) -> Option<NodeRef> {
        // SAFETY: vnodes that get here are ours, and all their nodes are of this
        // type; the caller keeps the node for now.
        unsafe { kern::NodeRef::of(vnode) }
    }

    /// Takes the node of a vnode that is being reclaimed.
    pub(crate) fn detach(vnode: Vnode) -> Option<NodeRef> {
        // SAFETY: as in `of`, and a vnode is reclaimed once.
        unsafe { kern::NodeRef::detach(vnode) }
    }
}

/// The mount that a call of the device is for: `None` if the instance was
/// detached, or never attached, when the device looked.
///
/// # Safety
/// `transport` is what the device keeps for an instance of ours, and the
/// caller is the device and holds the kernel lock.
pub(super) unsafe fn transport(transport: *mut c_void) -> Option<Arc<Mount>> {
    // The device marks instances without a mount by the two highest
    // addresses, and looks only before it sleeps.
    let none = [usize::MAX, usize::MAX - 1, 0];
    if none.contains(&(transport as usize)) {
        return None;
    }
    // The device read the address, inside the kernel lock and without a sleep
    // since, from an instance that was attached; who detaches holds the kernel
    // lock too, and gives its reference up after that.
    // SAFETY: an address that `attach` gave to the device, and a reference is
    // alive, as just said.
    Some(unsafe { Arc::retain(transport.cast_const().cast()) })
}
