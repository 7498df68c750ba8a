//! Safe handles on the kernel services.
//!
//! `c_shim/puffs_kern.h` declares what the core asks of a kernel; [`sys`] is
//! what bindgen reads from it. Everything else here turns those functions into
//! types whose rules the compiler checks: a [`Mutex`] gives its data out only
//! with a guard, a [`CondVar`] can only be waited on with one, a reference to
//! a vnode is given back when its handle is dropped.
//!
//! Nothing here knows puffs. This module and [`crate::entry`] are the only
//! places where `unsafe` may stand.

pub mod sys;

use core::ffi::{c_void, CStr};

mod arc;
mod count;
mod errno;
mod fid;
mod guarded;
mod io;
mod log;
mod lwp;
mod mem;
mod node;
mod pool;
mod putter;
mod sync;
mod uio;
mod vfs;
mod vnode;

pub use arc::Arc;
pub use errno::{Errno, Result};
pub use fid::Fid;
pub use guarded::Guarded;
pub use io::Buf;
pub use log::{console, debug, debug_level, panic};
pub use lwp::{
    caller_ids, important_signal_pending, is_kernel_thread, is_pagedaemon, process_exists,
    queue_limit, SignalMask,
};
pub use mem::{page_size, KBytes, Sleep};
pub use node::{NodeRef, VopCall};
pub use pool::{List, Pool, Ref, Table, Waker};
pub use putter::Putter;
pub use sync::{CondVar, Guard, Mutex};
pub use uio::{Cookies, Uio};
pub use vfs::{
    ComponentName, Cred, CredKind, MountEntered, MountHold, MountPtr, StatvfsOut, UserPath, Vnodes,
};
pub use vnode::{Put, Vnode, VnodeRef};

/// Ticks of the kernel's clock since boot; wraps.
pub fn ticks() -> i32 {
    // SAFETY: reads a counter.
    unsafe { sys::pk_ticks() }
}

/// Ticks a second.
pub fn hz() -> i32 {
    // SAFETY: reads a constant of the kernel.
    unsafe { sys::pk_hz() }
}

/// Sleeps for so many ticks (`kpause(9)`).
pub fn pause(ticks: i32) {
    // SAFETY: callers may sleep.
    unsafe { sys::pk_pause(ticks) };
}

/// The time of day.
pub fn now() -> sys::pk_timespec {
    let mut ts = sys::pk_timespec::default();
    // SAFETY: `ts` is a valid place for a timespec.
    unsafe { sys::pk_nanotime(&mut ts) };
    ts
}

/// Runs `body` inside the kernel lock, which whoever is inside may enter again,
/// and which is given up in sleeps, those for a mutex too.
pub fn with_kernel_lock<T>(body: impl FnOnce() -> T) -> T {
    // SAFETY: may be entered by any thread, and is left below.
    unsafe { sys::pk_kernel_lock() };
    let result = body();
    // SAFETY: entered above.
    unsafe { sys::pk_kernel_unlock() };
    result
}

/// What runs in a kernel thread of its own, outside the kernel lock.
pub trait Thread: Send + Sync + Sized {
    /// The work; the thread ends when it returns.
    ///
    /// Its reference to `this` is given up inside the kernel lock, which the
    /// thread leaves when it runs no code of the module any more: who finds
    /// inside the lock that nobody has a reference may unload the module.
    fn run(this: &Arc<Self>);
}

/// Starts a kernel thread that runs `work`; `name` is what `ps(1)` shows.
///
/// # Errors
/// What `kthread_create(9)` says.
pub fn thread_spawn<T: Thread>(work: Arc<T>, name: &'static CStr) -> Result<()> {
    let raw = Arc::into_raw(work);
    // SAFETY: the thread takes over the ownership that `into_raw` gave up.
    let error = unsafe {
        sys::pk_thread_create(Some(thread_main::<T>), raw.cast_mut().cast(), name.as_ptr())
    };
    Errno::check(error).inspect_err(|_| {
        // SAFETY: the thread was not made, so the ownership is still ours.
        drop(unsafe { Arc::from_raw(raw) });
    })
}

extern "C" fn thread_main<T: Thread>(arg: *mut c_void) {
    // SAFETY: `thread_spawn` passed the ownership on.
    let work = unsafe { Arc::from_raw(arg.cast_const().cast::<T>()) };
    // SAFETY: a thread starts inside the kernel lock.
    unsafe { sys::pk_kernel_unlock() };
    T::run(&work);
    // SAFETY: may be entered by any thread; the exit leaves it.
    unsafe { sys::pk_kernel_lock() };
    drop(work);
    // SAFETY: the thread holds nothing but the kernel lock any more.
    unsafe { sys::pk_thread_exit() };
}
