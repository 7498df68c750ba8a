//! The putter device instance of a mount.

use super::{sys, with_kernel_lock};
use core::{
    ffi::c_void,
    ptr,
    sync::atomic::{AtomicPtr, Ordering},
};

/// The tie between a mount and the descriptor of its server (`putter(9)`).
///
/// The device works inside the kernel lock and relies on it, so everything here
/// enters it, which the callers of a file system that is safe without are not in.
pub struct Putter {
    instance: AtomicPtr<sys::putter_instance>,
}

impl Putter {
    /// Not tied yet.
    pub const fn new() -> Putter {
        Putter {
            instance: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Ties the instance that process `pid` opened as descriptor `fd` to
    /// `transport`, which every call of the device carries from now on. False
    /// if the process has opened none.
    ///
    /// # Safety
    /// `transport` is what the `putter_ops` of the shim expect, and stays
    /// valid until [`detach`](Self::detach).
    pub unsafe fn attach(&self, pid: i32, fd: i32, transport: *const c_void) -> bool {
        with_kernel_lock(|| {
            // SAFETY: the device only keeps the pointer.
            let instance = unsafe { sys::pk_putter_attach(pid, fd, transport.cast_mut()) };
            self.instance.store(instance, Ordering::Release);
            !instance.is_null()
        })
    }

    /// Tells who polls the descriptor that there is something to read.
    ///
    /// Not to be called inside a lock that the device's poll takes.
    pub fn notify(&self) {
        with_kernel_lock(|| {
            let instance = self.instance.load(Ordering::Acquire);
            if !instance.is_null() {
                // SAFETY: tied: it is not cut meanwhile, as that needs the lock.
                unsafe { sys::pk_putter_notify(instance) };
            }
        });
    }

    /// Cuts the tie, if there is one. The device makes no further call.
    pub fn detach(&self) {
        with_kernel_lock(|| {
            let instance = self.instance.swap(ptr::null_mut(), Ordering::AcqRel);
            if !instance.is_null() {
                // SAFETY: tied until now, and cut only once.
                unsafe { sys::pk_putter_detach(instance) };
            }
        });
    }
}

impl Default for Putter {
    fn default() -> Self {
        Putter::new()
    }
}
