//! Mounts, vnodes, credentials and path components.

use super::{node::NodeRef, pmp::PmpRef, sync::RawGuard, sys, Errno, Result};
use crate::abi::{StatvfsBuf, Uucred};
use core::{
    ffi::{c_char, c_void, CStr},
    marker::PhantomData,
    ptr::{self, NonNull},
};

/// The path of a mount point, as user code passed it to mount(2): not to be
/// read but by the kernel's own functions for that.
#[derive(Clone, Copy)]
pub struct UserPath(pub *const c_char);

/// A `struct statvfs` of the kernel's, to be filled.
pub struct StatvfsOut<'a> {
    raw: NonNull<c_void>,
    kept: PhantomData<&'a mut ()>,
}

impl StatvfsOut<'_> {
    /// # Safety
    /// `raw` is a `struct statvfs` of the kernel's for as long as the handle
    /// lives.
    pub unsafe fn new(raw: *mut c_void) -> Option<Self> {
        Some(StatvfsOut {
            raw: NonNull::new(raw)?,
            kept: PhantomData,
        })
    }

    /// Fills in what the kernel knows of the mount without its server.
    pub fn fill_known(&mut self, mp: MountPtr) {
        // SAFETY: a live mount and a whole structure.
        unsafe { sys::pk_mount_known_statvfs(mp.as_ptr(), self.raw.as_ptr()) };
    }

    /// Fills it from one in wire layout.
    pub fn fill(&mut self, from: &StatvfsBuf) {
        // SAFETY: both whole.
        unsafe { sys::pk_statvfs_from_wire(self.raw.as_ptr(), ptr::from_ref(from).cast()) };
    }
}

/// A `struct mount` that the kernel keeps alive for as long as the handle is
/// used: because the operation was called on it, or because the file system
/// is not unmounted yet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MountPtr(NonNull<sys::mount>);

// SAFETY: the kernel's mounts are made to be shared.
unsafe impl Send for MountPtr {}
// SAFETY: the kernel's mounts are made to be shared.
unsafe impl Sync for MountPtr {}

impl MountPtr {
    /// # Safety
    /// `mp` is a live mount for as long as the handle and its copies are used.
    pub unsafe fn new(mp: *mut sys::mount) -> Option<MountPtr> {
        NonNull::new(mp).map(MountPtr)
    }

    /// The pointer, for C.
    pub fn as_ptr(self) -> *mut sys::mount {
        self.0.as_ptr()
    }

    /// Is this mount(2) a question about the arguments of a mount (MNT_GETARGS)?
    pub fn wants_args(self) -> bool {
        // SAFETY: a live mount.
        unsafe { sys::pk_mount_is_getargs(self.as_ptr()) }
    }

    /// Is this mount(2) a change of an existing mount (MNT_UPDATE)?
    pub fn is_update(self) -> bool {
        // SAFETY: a live mount.
        unsafe { sys::pk_mount_is_update(self.as_ptr()) }
    }

    /// The C part, if this is a mounted puffs.
    pub fn pmp(self) -> Option<PmpRef> {
        // SAFETY: a live mount.
        let pmp = unsafe { sys::pk_mount_pmp(self.as_ptr()) };
        // SAFETY: a mount's data lives until it is unmounted, and the handle
        // is not used after that.
        unsafe { PmpRef::new(pmp) }
    }

    /// Keeps the structure, not the file system (`vfs_ref(9)`).
    pub fn hold(self) -> MountHold {
        // SAFETY: a live mount.
        unsafe { sys::pk_mount_ref(self.as_ptr()) };
        MountHold(self)
    }

    /// Sets the mount's statistics: names and identity from the kernel, the
    /// numbers from the server's, which are completed in place.
    ///
    /// # Errors
    /// What `set_statvfs_info` says of the path.
    pub fn set_statvfs(
        self,
        path: UserPath,
        from: &CStr,
        fstype: &CStr,
        numbers: &mut StatvfsBuf,
    ) -> Result<()> {
        // SAFETY: C strings, a path that the kernel checks, and a whole
        // statvfs in wire layout.
        Errno::check(unsafe {
            sys::pk_mount_set_statvfs(
                self.as_ptr(),
                path.0,
                from.as_ptr(),
                fstype.as_ptr(),
                ptr::from_mut(numbers).cast(),
            )
        })
    }

    /// Completes a statvfs in wire layout with what the kernel knows.
    pub fn complete_statvfs(self, numbers: &mut StatvfsBuf) {
        // SAFETY: a live mount and a whole statvfs in wire layout.
        unsafe { sys::pk_mount_copy_statvfs(self.as_ptr(), ptr::from_mut(numbers).cast()) };
    }

    /// Says that the mount succeeds: ties `pmp` to it, and gives it an id.
    pub fn commit(self, pmp: PmpRef) {
        // SAFETY: both live.
        unsafe { sys::pk_mount_commit(self.as_ptr(), pmp.as_ptr()) };
    }

    /// Keeps the file system from being suspended while the result exists;
    /// `None` if it is suspended already. Unmounting starts with that.
    pub fn enter(self) -> Option<MountEntered> {
        // SAFETY: a live mount.
        let error = unsafe { sys::pk_mount_enter(self.as_ptr()) };
        (error == 0).then(|| MountEntered {
            mp: self,
            not_send: PhantomData,
        })
    }

    /// Unmounts by force (`dounmount(9)`); may sleep.
    ///
    /// # Errors
    /// What the kernel says; ENOENT and the like when somebody was faster.
    pub fn unmount(hold: MountHold) -> Result<()> {
        // SAFETY: a live mount, held.
        Errno::check(unsafe { sys::pk_mount_unmount(hold.0.as_ptr()) })
    }

    /// Writes back and drops every vnode (`vflush(9)`); may sleep.
    ///
    /// # Errors
    /// EBUSY if one is in use and `force` is not set.
    pub fn flush_vnodes(self, force: bool) -> Result<()> {
        // SAFETY: a live mount.
        Errno::check(unsafe { sys::pk_mount_vflush(self.as_ptr(), force) })
    }

    /// Forgets every name that the cache has of this mount.
    pub fn purge_names(self) {
        // SAFETY: a live mount.
        unsafe { sys::pk_cache_purge_mount(self.as_ptr()) };
    }

    /// Finds or makes the vnode of `cookie` (`vcache_get(9)`); may sleep.
    ///
    /// # Errors
    /// What the vnode cache says, ENOENT while the mount is going away.
    pub fn vnode(self, cookie: usize) -> Result<VnodeRef> {
        let mut vp = core::ptr::null_mut();
        // SAFETY: a live mount and a place for the result.
        Errno::check(unsafe { sys::pk_vnode_get(self.as_ptr(), cookie as *mut c_void, &mut vp) })?;
        // SAFETY: a success stores a vnode with a reference for us.
        unsafe { VnodeRef::new(vp) }.ok_or(Errno::ENOENT)
    }

    /// The regular vnodes with dirty pages; may sleep.
    pub fn dirty_vnodes(self) -> DirtyVnodes {
        // SAFETY: a live mount.
        DirtyVnodes(unsafe { sys::pk_vnode_iter_create(self.as_ptr()) })
    }
}

/// The calling thread is inside the file system, which is not suspended until
/// it leaves (`vfs_trybusy(9)`).
pub struct MountEntered {
    mp: MountPtr,
    /// It is the thread that is inside.
    not_send: PhantomData<*mut ()>,
}

impl Drop for MountEntered {
    fn drop(&mut self) {
        // SAFETY: this thread entered a mount that is still there, for it
        // cannot be unmounted meanwhile.
        unsafe { sys::pk_mount_leave(self.mp.as_ptr()) };
    }
}

/// A reference to the structure of a mount.
pub struct MountHold(MountPtr);

impl Drop for MountHold {
    fn drop(&mut self) {
        // SAFETY: held by us.
        unsafe { sys::pk_mount_rele(self.0.as_ptr()) };
    }
}

/// An iterator over referenced vnodes (`vfs_vnode_iterator(9)`).
pub struct DirtyVnodes(*mut sys::vnode_iterator);

impl Iterator for DirtyVnodes {
    type Item = VnodeRef;

    fn next(&mut self) -> Option<VnodeRef> {
        // SAFETY: a live iterator.
        let vp = unsafe { sys::pk_vnode_iter_next(self.0) };
        // SAFETY: the iterator references what it returns.
        unsafe { VnodeRef::new(vp) }
    }
}

impl Drop for DirtyVnodes {
    fn drop(&mut self) {
        // SAFETY: made by `dirty_vnodes`, destroyed once.
        unsafe { sys::pk_vnode_iter_destroy(self.0) };
    }
}

/// A vnode that the kernel keeps referenced for as long as the handle is
/// used, because it was passed to the operation.
#[derive(Clone, Copy)]
pub struct Vnode(NonNull<sys::vnode>);

impl Vnode {
    /// # Safety
    /// `vp` is NULL or stays referenced for as long as the handle is used.
    pub unsafe fn new(vp: *mut sys::vnode) -> Option<Vnode> {
        NonNull::new(vp).map(Vnode)
    }

    /// The pointer, for C.
    pub fn as_ptr(self) -> *mut sys::vnode {
        self.0.as_ptr()
    }

    /// The mount that it belongs to.
    pub fn mount(self) -> Option<MountPtr> {
        // SAFETY: referenced.
        let mp = unsafe { sys::pk_vnode_mount(self.as_ptr()) };
        // SAFETY: a referenced vnode keeps its mount.
        unsafe { MountPtr::new(mp) }
    }

    /// Its puffs node; `None` if the vnode was reclaimed.
    ///
    /// The node stays while the vnode is locked or its interlock is held, or
    /// while the operation in which it was passed lasts.
    pub fn node(self) -> Option<NodeRef> {
        // SAFETY: referenced.
        let node = unsafe { sys::pk_vnode_node(self.as_ptr()) };
        // SAFETY: as the doc comment says.
        unsafe { NodeRef::new(node) }
    }

    /// The number of its type (`enum vtype`).
    pub fn vtype(self) -> u32 {
        // SAFETY: referenced.
        unsafe { sys::pk_vnode_type(self.as_ptr()) }
    }

    /// Says what type it is of.
    pub fn set_vtype(self, vtype: u32) {
        // SAFETY: referenced.
        unsafe { sys::pk_vnode_set_type(self.as_ptr(), vtype) };
    }

    /// The size that the page cache knows.
    pub fn size(self) -> i64 {
        // SAFETY: referenced.
        unsafe { sys::pk_vnode_size(self.as_ptr()) }
    }

    /// Tells the page cache the size (`uvm_vnp_setsize(9)`).
    pub fn set_size(self, size: i64) {
        // SAFETY: referenced; the size was checked not to be negative.
        unsafe { sys::pk_vnode_set_size(self.as_ptr(), size) };
    }

    /// Makes it the special file of device `rdev`.
    pub fn become_special(self, rdev: u64) {
        // SAFETY: referenced, of a device's type and not in use yet.
        unsafe { sys::pk_vnode_to_special(self.as_ptr(), rdev) };
    }

    /// Makes it a fifo.
    pub fn become_fifo(self) {
        // SAFETY: referenced, of a fifo's type and not in use yet.
        unsafe { sys::pk_vnode_to_fifo(self.as_ptr()) };
    }

    /// Runs `f` inside the interlock, which must not sleep.
    pub fn with_interlock<R>(self, f: impl FnOnce() -> R) -> R {
        // SAFETY: referenced.
        let raw = unsafe { sys::pk_vnode_interlock(self.as_ptr()) };
        let _guard = NonNull::new(raw).map(|raw| {
            // SAFETY: the interlock lives as long as its vnode.
            unsafe { RawGuard::enter(raw) }
        });
        f()
    }

    /// Gives the lock up.
    pub fn unlock(self) {
        // SAFETY: referenced, and the caller has it locked.
        unsafe { sys::pk_vnode_unlock(self.as_ptr()) };
    }

    /// Cuts the tie to its node and returns the node with the vnode's
    /// reference to it, which the caller owns now.
    pub fn detach_node(self) -> Option<NodeRef> {
        // SAFETY: referenced and being reclaimed, so nobody else does this.
        let node = unsafe { sys::pk_node_detach(self.as_ptr()) };
        // SAFETY: the node lives by the reference that we got.
        unsafe { NodeRef::new(node) }
    }

    /// Makes the node of a vnode that the vnode cache just made, and returns
    /// where the node keeps the cookie. May sleep.
    pub fn attach_node(self, cookie: usize, is_root: bool) -> *const c_void {
        // SAFETY: referenced, and new.
        unsafe { sys::pk_node_create(self.as_ptr(), cookie as *mut c_void, is_root) }
    }

    /// Enters a name of this directory in the name cache.
    pub fn cache_name(self, vp: Vnode, name: &ComponentName<'_>) {
        // SAFETY: all three live.
        unsafe { sys::pk_cache_enter(self.as_ptr(), vp.as_ptr(), name.raw.as_ptr()) };
    }

    /// Forgets the names of this directory's entries.
    pub fn purge_children(self) {
        // SAFETY: referenced.
        unsafe { sys::pk_cache_purge_children(self.as_ptr()) };
    }

    /// Writes back, or with `free` drops, the pages of a range of bytes that
    /// starts and ends at page boundaries; an end of 0 is the end of the file.
    /// May sleep.
    ///
    /// # Errors
    /// What `VOP_PUTPAGES(9)` says.
    pub fn put_pages(self, start: i64, end: i64, free: bool) -> Result<()> {
        // SAFETY: referenced.
        Errno::check(unsafe { sys::pk_vnode_putpages(self.as_ptr(), start, end, free) })
    }

    /// Writes back what is dirty (`VOP_FSYNC(9)`); the vnode is locked. May
    /// sleep.
    ///
    /// # Errors
    /// What the operation says.
    pub fn fsync(self, cred: &Cred<'_>, wait: bool) -> Result<()> {
        // SAFETY: referenced and locked.
        Errno::check(unsafe { sys::pk_vnode_fsync(self.as_ptr(), cred.raw, wait) })
    }
}

/// A reference to a vnode (`vref(9)`), given back on drop (`vrele(9)`), which
/// may sleep.
pub struct VnodeRef(Vnode);

impl VnodeRef {
    /// # Safety
    /// `vp` is NULL or comes with a reference that the handle takes over.
    pub unsafe fn new(vp: *mut sys::vnode) -> Option<VnodeRef> {
        NonNull::new(vp).map(|vp| VnodeRef(Vnode(vp)))
    }

    /// Gives the reference to C.
    pub fn into_raw(self) -> *mut sys::vnode {
        let vp = self.0.as_ptr();
        core::mem::forget(self);
        vp
    }

    /// Locks the vnode exclusively.
    ///
    /// # Errors
    /// ENOENT if it is being reclaimed.
    pub fn lock(&self) -> Result<()> {
        // SAFETY: referenced.
        Errno::check(unsafe { sys::pk_vnode_lock(self.0.as_ptr()) })
    }

    /// Locks the vnode exclusively, if nobody has it locked.
    ///
    /// # Errors
    /// EBUSY if somebody has, ENOENT if it is being reclaimed.
    pub fn try_lock(&self) -> Result<()> {
        // SAFETY: referenced.
        Errno::check(unsafe { sys::pk_vnode_trylock(self.0.as_ptr()) })
    }

    /// Locks the vnode exclusively, even one that is being reclaimed.
    pub fn lock_retry(&self) {
        // SAFETY: referenced.
        unsafe { sys::pk_vnode_lock_retry(self.0.as_ptr()) };
    }
}

impl core::ops::Deref for VnodeRef {
    type Target = Vnode;

    fn deref(&self) -> &Vnode {
        &self.0
    }
}

impl Drop for VnodeRef {
    fn drop(&mut self) {
        // SAFETY: the reference is ours.
        unsafe { sys::pk_vnode_rele(self.0.as_ptr()) };
    }
}

/// Who credentials are of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CredKind {
    /// A caller with ids of its own.
    User,
    /// The kernel, without credentials (NOCRED).
    NoCred,
    /// The kernel's file system code (FSCRED).
    FsCred,
}

/// Credentials that the caller keeps.
pub struct Cred<'a> {
    raw: *mut sys::kauth_cred,
    kept: PhantomData<&'a ()>,
}

impl Cred<'_> {
    /// # Safety
    /// `raw` is a credential of the kernel, or one of its special values, for
    /// as long as the handle lives.
    pub unsafe fn new(raw: *mut sys::kauth_cred) -> Self {
        Cred {
            raw,
            kept: PhantomData,
        }
    }

    /// Whose they are.
    pub fn kind(&self) -> CredKind {
        // SAFETY: compares the pointer.
        match unsafe { sys::pk_cred_kind(self.raw) } {
            1 => CredKind::NoCred,
            2 => CredKind::FsCred,
            _ => CredKind::User,
        }
    }

    /// Writes the ids as a `struct uucred`; only for [`CredKind::User`].
    pub fn to_uucred(&self, uucred: &mut Uucred) {
        if self.kind() == CredKind::User {
            // SAFETY: a real credential and room for its wire form.
            unsafe { sys::pk_cred_to_uucred(self.raw, ptr::from_mut(uucred).cast()) };
        }
    }
}

/// A path component (`namei(9)`) that the caller keeps.
pub struct ComponentName<'a> {
    raw: NonNull<sys::componentname>,
    kept: PhantomData<&'a ()>,
}

impl ComponentName<'_> {
    /// # Safety
    /// `raw` is a live component for as long as the handle lives.
    pub unsafe fn new(raw: *const sys::componentname) -> Option<Self> {
        Some(ComponentName {
            raw: NonNull::new(raw.cast_mut())?,
            kept: PhantomData,
        })
    }

    /// What the path walk is for.
    pub fn nameiop(&self) -> u32 {
        // SAFETY: live.
        unsafe { sys::pk_cn_nameiop(self.raw.as_ptr()) }
    }

    /// The flags of the path walk.
    pub fn flags(&self) -> u32 {
        // SAFETY: live.
        unsafe { sys::pk_cn_flags(self.raw.as_ptr()) }
    }

    /// The component itself.
    pub fn name(&self) -> &[u8] {
        // SAFETY: live.
        let start = unsafe { sys::pk_cn_nameptr(self.raw.as_ptr()) };
        // SAFETY: live.
        let len = unsafe { sys::pk_cn_namelen(self.raw.as_ptr()) };
        // SAFETY: the path walk points into the path that it holds.
        unsafe { core::slice::from_raw_parts(start.cast(), len) }
    }

    /// The component and all that is left of the path.
    pub fn rest_of_path(&self) -> &[u8] {
        // SAFETY: live.
        let start = unsafe { sys::pk_cn_nameptr(self.raw.as_ptr()) };
        // SAFETY: the path ends in a NUL.
        unsafe { CStr::from_ptr(start) }.to_bytes()
    }

    /// Who walks.
    pub fn cred(&self) -> Cred<'_> {
        // SAFETY: live.
        let raw = unsafe { sys::pk_cn_cred(self.raw.as_ptr()) };
        // SAFETY: the credentials live as long as the component.
        unsafe { Cred::new(raw) }
    }
}
