//! Vnodes, and what the kernel caches of them.

use super::{
    important_signal_pending,
    sync::RawGuard,
    sys,
    uio::Uio,
    vfs::{ComponentName, Cred, MountPtr},
    Errno, Result,
};
use core::ptr::{self, NonNull};

/// A vnode that the kernel keeps referenced for as long as the handle is
/// used, because it was passed to the operation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Vnode(NonNull<sys::vnode>);

// SAFETY: the kernel's vnodes are made to be shared.
unsafe impl Send for Vnode {}
// SAFETY: the kernel's vnodes are made to be shared.
unsafe impl Sync for Vnode {}

/// What becomes of pages that [`Vnode::put_pages`] names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i32)]
pub enum Put {
    /// They are written back, and nobody waits for that.
    Clean = sys::PK_PUT_CLEAN as i32,
    /// They are written back, and what is being written already is waited for.
    Sync = sys::PK_PUT_SYNC as i32,
    /// They are written back and go, but since NetBSD 10 those stay that are busy
    /// with something else.
    Free = sys::PK_PUT_FREE as i32,
    /// They go, those that are busy as soon as they are not; what must be written
    /// back first is, and nobody waits for that.
    Release = sys::PK_PUT_RELEASE as i32,
    /// They go, whatever is in them.
    Drop = sys::PK_PUT_DROP as i32,
}

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

    /// Is it the root of its file system?
    pub fn is_root(self) -> bool {
        // SAFETY: referenced.
        unsafe { sys::pk_vnode_is_root(self.as_ptr()) }
    }

    /// Is it being reclaimed? Enters the interlock.
    pub fn is_dying(self) -> bool {
        // SAFETY: referenced.
        unsafe { sys::pk_vnode_is_dying(self.as_ptr()) }
    }

    /// Another reference.
    pub fn reference(self) -> VnodeRef {
        // SAFETY: referenced.
        unsafe { sys::pk_vnode_ref(self.as_ptr()) };
        VnodeRef(self)
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

    /// Locks the vnode exclusively, even one that is being reclaimed.
    pub fn lock_retry(self) {
        // SAFETY: referenced.
        unsafe { sys::pk_vnode_lock_retry(self.as_ptr()) };
    }

    /// Gives the lock up.
    pub fn unlock(self) {
        // SAFETY: referenced, and the caller has it locked.
        unsafe { sys::pk_vnode_unlock(self.as_ptr()) };
    }

    /// The size that the page cache is to know while a write makes the file
    /// longer (`uvm_vnp_setwritesize(9)`).
    pub fn set_writesize(self, size: i64) {
        // SAFETY: referenced.
        unsafe { sys::pk_vnode_set_writesize(self.as_ptr(), size) };
    }

    /// What the cache knows of a name in this directory: its file, or that
    /// there is none. Marks the name if it is a whiteout.
    pub fn cached(self, name: &mut ComponentName<'_>) -> Option<Option<VnodeRef>> {
        let mut vp = ptr::null_mut();
        // SAFETY: both live; a place for the vnode.
        let known = unsafe { sys::pk_cache_lookup(self.as_ptr(), name.raw.as_ptr(), &mut vp) };
        // SAFETY: the cache references what it returns.
        known.then(|| unsafe { VnodeRef::new(vp) })
    }

    /// Enters a name of this directory in the name cache; `None` says that
    /// there is no such file.
    pub fn cache_name(self, vp: Option<Vnode>, name: &ComponentName<'_>) {
        let vp = vp.map_or(ptr::null_mut(), Vnode::as_ptr);
        // SAFETY: all live.
        unsafe { sys::pk_cache_enter(self.as_ptr(), vp, name.raw.as_ptr()) };
    }

    /// Forgets its names, and those of its entries.
    pub fn purge_names(self) {
        // SAFETY: referenced.
        unsafe { sys::pk_cache_purge(self.as_ptr()) };
    }

    /// Forgets one name of this directory.
    pub fn purge_name(self, name: &ComponentName<'_>) {
        // SAFETY: both live.
        unsafe { sys::pk_cache_purge_name(self.as_ptr(), name.raw.as_ptr()) };
    }

    /// Forgets the names of this directory's entries.
    pub fn purge_children(self) {
        // SAFETY: referenced.
        unsafe { sys::pk_cache_purge_children(self.as_ptr()) };
    }

    /// Writes back the dirty pages of a range of bytes that starts and ends at
    /// page boundaries; an end of 0 is the end of the file. May sleep.
    ///
    /// # Errors
    /// What `VOP_PUTPAGES(9)` says.
    pub fn put_pages(self, start: i64, end: i64, put: Put) -> Result<()> {
        // SAFETY: referenced.
        let error = unsafe { sys::pk_pages_put(self.as_ptr(), start, end, put as i32) };
        if put == Put::Sync {
            // SAFETY: referenced.
            unsafe { sys::pk_pages_wait(self.as_ptr()) };
        }
        Errno::check(error).map_err(|error| match error {
            // The pages stay dirty, and by no other error.
            Errno::ENOMEM if important_signal_pending() => Errno::EINTR,
            other => other,
        })
    }

    /// Are pages of it being written?
    pub fn is_being_written(self) -> bool {
        // SAFETY: referenced.
        unsafe { sys::pk_pages_written(self.as_ptr()) }
    }

    /// Moves at most `len` bytes from the pages to the caller
    /// (`ubc_uiomove(9)`); `advice` is the caller's. May sleep.
    ///
    /// # Errors
    /// What the pages' reading or the caller's memory say.
    pub fn read_pages(self, uio: &mut Uio<'_>, len: usize, advice: i32) -> Result<()> {
        // SAFETY: referenced, and a live uio.
        Errno::check(unsafe { sys::pk_pages_read(self.as_ptr(), uio.as_ptr(), len, advice) })
    }

    /// Moves at most `len` bytes from the caller to the pages. May sleep.
    ///
    /// # Errors
    /// What the pages' reading or the caller's memory say.
    pub fn write_pages(self, uio: &mut Uio<'_>, len: usize) -> Result<()> {
        // SAFETY: referenced, and a live uio.
        Errno::check(unsafe { sys::pk_pages_write(self.as_ptr(), uio.as_ptr(), len) })
    }

    /// Enters the lock of the pages, which `VOP_GETPAGES(9)` is called inside.
    pub fn lock_pages(self) {
        // SAFETY: referenced; the caller sees to it that somebody leaves it.
        unsafe { sys::pk_pages_lock(self.as_ptr()) };
    }

    /// Leaves it.
    pub fn unlock_pages(self) {
        // SAFETY: referenced, and the caller is inside.
        unsafe { sys::pk_pages_unlock(self.as_ptr()) };
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
