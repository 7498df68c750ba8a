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

mod arc;
mod errno;
mod guarded;
mod io;
mod log;
mod lwp;
mod mem;
mod node;
mod pmp;
mod pool;
mod putter;
mod sync;
mod vfs;

pub use arc::Arc;
pub use errno::{Errno, Result};
pub use guarded::Guarded;
pub use io::{Buf, CompletionFn};
pub use log::{console, panic};
pub use lwp::{caller_ids, is_pagedaemon, important_signal_pending, SignalMask};
pub use mem::{page_size, KBytes, Sleep};
pub use node::NodeRef;
pub use pmp::{PmpRef, SopGate};
pub use pool::{List, Pool, Ref, Table};
pub use putter::Putter;
pub use sync::{CondVar, Guard, Mutex};
pub use vfs::{
    ComponentName, Cred, CredKind, DirtyVnodes, MountHold, MountPtr, Vnode, VnodeRef,
};

/// Ticks of the kernel's clock since boot; wraps.
pub fn ticks() -> i32 {
    // SAFETY: reads a counter.
    unsafe { sys::pk_ticks() }
}

/// The time of day.
pub fn now() -> sys::pk_timespec {
    let mut ts = sys::pk_timespec::default();
    // SAFETY: `ts` is a valid place for a timespec.
    unsafe { sys::pk_nanotime(&mut ts) };
    ts
}

/// Starts a kernel thread that runs `main` on `arg`.
///
/// The thread owns `arg` and must end in [`thread_exit`].
///
/// # Errors
/// What `kthread_create(9)` says; `arg` is dropped then.
pub fn thread_spawn<T: Send + Sync>(
    main: extern "C" fn(*mut core::ffi::c_void),
    arg: Arc<T>,
    name: &core::ffi::CStr,
) -> Result<()> {
    let raw = Arc::into_raw(arg);
    // SAFETY: `main` takes the ownership that `into_raw` gave up; the name is
    // a C string that the kernel copies.
    let error = unsafe { sys::pk_thread_create(Some(main), raw.cast_mut().cast(), name.as_ptr()) };
    Errno::check(error).inspect_err(|_| {
        // SAFETY: the thread was not made, so the ownership is still ours.
        drop(unsafe { Arc::from_raw(raw) });
    })
}

/// Ends the calling kernel thread.
pub fn thread_exit() -> ! {
    // SAFETY: called by the main function of a kernel thread of ours, which
    // holds nothing any more.
    unsafe { sys::pk_thread_exit() };
    panic(format_args!("a kernel thread outlived its exit"))
}
