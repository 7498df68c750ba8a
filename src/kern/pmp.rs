//! `struct puffs_mount`: the part of a mount that C code sees.

use super::{sync::RawGuard, sys, CondVar, MountPtr, Mutex, Vnode};
use crate::abi::KArgs;
use core::{ffi::c_void, ptr, ptr::NonNull};

/// The C part of a mount, alive while the mount is.
#[derive(Clone, Copy)]
pub struct PmpRef(NonNull<sys::puffs_mount>);

// SAFETY: shared under its locks.
unsafe impl Send for PmpRef {}
// SAFETY: shared under its locks.
unsafe impl Sync for PmpRef {}

impl PmpRef {
    /// # Safety
    /// `pmp` is NULL or alive for as long as the handle is used.
    pub unsafe fn new(pmp: *mut sys::puffs_mount) -> Option<PmpRef> {
        NonNull::new(pmp).map(PmpRef)
    }

    /// Makes the C part from the mount arguments; may sleep.
    pub fn create(mp: MountPtr, args: &KArgs) -> Option<PmpRef> {
        // SAFETY: a live mount and whole arguments.
        let pmp =
            unsafe { sys::pk_pmp_create(mp.as_ptr(), ptr::from_ref(args).cast(), ptr::null_mut()) };
        // SAFETY: just made, and ours.
        unsafe { PmpRef::new(pmp) }
    }

    /// Frees it. The caller has seen to it that no handle is used any more.
    pub fn destroy(self) {
        // SAFETY: alive until now.
        unsafe { sys::pk_pmp_destroy(self.as_ptr()) };
    }

    /// The pointer, for C.
    pub fn as_ptr(self) -> *mut sys::puffs_mount {
        self.0.as_ptr()
    }

    /// The mount arguments, as they were accepted.
    pub fn args(self) -> *const KArgs {
        // SAFETY: alive.
        unsafe { sys::pk_pmp_args(self.as_ptr()) }.cast()
    }

    /// Remembers the address of the Rust part.
    pub fn set_rust(self, rust: *const c_void) {
        // SAFETY: alive; only keeps the pointer.
        unsafe { sys::pk_pmp_set_rs(self.as_ptr(), rust.cast_mut()) };
    }

    /// The address of the Rust part; NULL if there is none.
    pub fn rust(self) -> *const c_void {
        // SAFETY: alive.
        unsafe { sys::pk_pmp_rs(self.as_ptr()) }
    }

    /// The service thread's lock and condition variable.
    pub fn sop_gate<T>(self, state: T) -> Option<SopGate<T>> {
        // SAFETY: alive.
        let mutex = NonNull::new(unsafe { sys::pk_pmp_sopmtx(self.as_ptr()) })?;
        // SAFETY: alive.
        let cv = NonNull::new(unsafe { sys::pk_pmp_sopcv(self.as_ptr()) })?;
        Some(SopGate {
            // SAFETY: lives in the C part, which the gate does not outlive,
            // and C code knows nothing of `state`.
            state: unsafe { Mutex::adopt(mutex, state) },
            // SAFETY: lives in the C part too.
            cv: unsafe { CondVar::adopt(cv) },
            pmp: self,
        })
    }

    /// Remembers the root vnode, if none is remembered.
    pub fn remember_root(self, root: Vnode) {
        self.with_lock(|| {
            // SAFETY: alive.
            if unsafe { sys::pk_pmp_root(self.as_ptr()) }.is_null() {
                // SAFETY: alive.
                unsafe { sys::pk_pmp_set_root(self.as_ptr(), root.as_ptr()) };
            }
        });
    }

    fn with_lock<R>(self, f: impl FnOnce() -> R) -> R {
        // SAFETY: alive.
        let raw = unsafe { sys::pk_pmp_lock(self.as_ptr()) };
        let _guard = NonNull::new(raw).map(|raw| {
            // SAFETY: the lock lives as long as the structure.
            unsafe { RawGuard::enter(raw) }
        });
        f()
    }
}

/// The lock and condition variable of the service thread, which live in the C
/// part, since `puffs_vnop_inactive` queues expiries under them.
pub struct SopGate<T> {
    /// Guards the service thread's own queue and the C queue of expiries.
    pub state: Mutex<T>,
    /// Signalled when there is something to do and when the thread is gone.
    pub cv: CondVar,
    pmp: PmpRef,
}

impl<T> SopGate<T> {
    /// Says whether expiries may be queued; the caller holds the lock.
    pub fn set_running(&self, running: bool) {
        // SAFETY: alive, inside the lock.
        unsafe { sys::pk_pmp_sop_running(self.pmp.as_ptr(), running) };
    }

    /// Takes the first expiry off the queue, if it is due or `all` is set, and
    /// returns the cookie of its node; the caller holds the lock.
    pub fn take_expiry(&self, all: bool) -> Option<usize> {
        let mut cookie = ptr::null_mut();
        // SAFETY: alive, inside the lock; a place for the cookie.
        unsafe { sys::pk_pmp_sop_take(self.pmp.as_ptr(), all, &mut cookie) }
            .then_some(cookie as usize)
    }
}
