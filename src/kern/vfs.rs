//! Mounts, credentials and path components.

use super::{sys, vnode::VnodeRef, Errno, Result};
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

    /// What [`commit`](Self::commit) tied to the mount; NULL before that and
    /// after [`clear_data`](Self::clear_data).
    pub fn data(self) -> *mut c_void {
        // SAFETY: a live mount.
        unsafe { sys::pk_mount_data(self.as_ptr()) }
    }

    /// Unties it: who still holds the mount structure finds nothing.
    pub fn clear_data(self) {
        // SAFETY: a live mount.
        unsafe { sys::pk_mount_clear_data(self.as_ptr()) };
    }

    /// Is it mounted read-only?
    pub fn is_readonly(self) -> bool {
        self.has_flag(sys::PK_MNT_RDONLY)
    }

    /// Are access times kept?
    pub fn keeps_atime(self) -> bool {
        !self.has_flag(sys::PK_MNT_NOATIME)
    }

    /// Does a write change the access time too (`MNT_RELATIME`)?
    pub fn is_relatime(self) -> bool {
        self.has_flag(sys::PK_MNT_RELATIME)
    }

    fn has_flag(self, flag: u32) -> bool {
        // SAFETY: a live mount.
        unsafe { sys::pk_mount_flags(self.as_ptr()) & flag != 0 }
    }

    /// The number of the file system in the attributes of its files.
    pub fn fsid(self) -> u64 {
        // SAFETY: a live mount.
        unsafe { sys::pk_mount_fsid(self.as_ptr()) }
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

    /// Says that the mount succeeds: ties `data` to it, and gives it an id.
    pub fn commit(self, data: *const c_void) {
        // SAFETY: a live mount; the kernel only keeps the pointer.
        unsafe { sys::pk_mount_commit(self.as_ptr(), data.cast_mut()) };
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
    pub fn unmount(self) -> Result<()> {
        // SAFETY: a live mount.
        Errno::check(unsafe { sys::pk_mount_unmount(self.as_ptr()) })
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

    /// Its vnodes, or with `dirty` the regular ones with dirty pages; may
    /// sleep.
    pub fn vnodes(self, dirty: bool) -> Vnodes {
        Vnodes {
            // SAFETY: a live mount.
            iterator: unsafe { sys::pk_vnode_iter_create(self.as_ptr()) },
            dirty,
        }
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
pub struct Vnodes {
    iterator: *mut sys::vnode_iterator,
    dirty: bool,
}

impl Iterator for Vnodes {
    type Item = VnodeRef;

    fn next(&mut self) -> Option<VnodeRef> {
        // SAFETY: a live iterator.
        let vp = unsafe { sys::pk_vnode_iter_next(self.iterator, self.dirty) };
        // SAFETY: the iterator references what it returns.
        unsafe { VnodeRef::new(vp) }
    }
}

impl Drop for Vnodes {
    fn drop(&mut self) {
        // SAFETY: made by `vnodes`, destroyed once.
        unsafe { sys::pk_vnode_iter_destroy(self.iterator) };
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
    pub(super) raw: *mut sys::kauth_cred,
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
    pub(super) raw: NonNull<sys::componentname>,
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

    /// Sets and clears flags of the path walk.
    pub fn change_flags(&mut self, set: u32, clear: u32) {
        // SAFETY: live.
        unsafe { sys::pk_cn_set_flags(self.raw.as_ptr(), set, clear) };
    }

    /// Says that the file system dealt with `len` bytes of the path behind the
    /// component, where the kernel knows such a thing.
    pub fn consume(&mut self, len: usize) {
        let left = self.rest_of_path().len() - self.name().len();
        // SAFETY: live, and the path is that long.
        unsafe { sys::pk_cn_consume(self.raw.as_ptr(), len.min(left)) };
    }

    /// Who walks.
    pub fn cred(&self) -> Cred<'_> {
        // SAFETY: live.
        let raw = unsafe { sys::pk_cn_cred(self.raw.as_ptr()) };
        // SAFETY: the credentials live as long as the component.
        unsafe { Cred::new(raw) }
    }
}
