//! Kernel threads.

use super::{
    big::{self, KernelLock},
    faults::{self, Kind},
    lwp,
    registry::lock,
    sync,
};
use crate::rt::{self, Handle};
use std::{
    cell::Cell,
    ffi::{c_char, c_void, CStr},
    sync::{
        atomic::{AtomicUsize, Ordering},
        Mutex,
    },
};

static RUNNING: AtomicUsize = AtomicUsize::new(0);
static THREADS: Mutex<Vec<Handle<()>>> = Mutex::new(Vec::new());

rt::thread_local! {
    static EXITED: Cell<bool> = const { Cell::new(false) };
}

/// How many kernel threads have not ended.
pub(crate) fn count() -> usize {
    RUNNING.load(Ordering::Acquire)
}

/// Waits for the threads that ended.
pub(crate) fn join_all() {
    let threads = std::mem::take(&mut *lock(&THREADS));
    for thread in threads {
        // A panic in it was reported by itself.
        let _ = thread.join();
    }
}

struct Work {
    run: unsafe extern "C" fn(*mut c_void),
    arg: *mut c_void,
}

// SAFETY: who starts a thread passes what that thread may have.
unsafe impl Send for Work {}

impl Work {
    fn run(self) {
        // SAFETY: the core says that the function takes the argument.
        unsafe { (self.run)(self.arg) };
    }
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_thread_create(
    run: Option<unsafe extern "C" fn(*mut c_void)>,
    arg: *mut c_void,
    name: *const c_char,
) -> i32 {
    sync::assert_sleepable("pk_thread_create");
    let Some(run) = run else { return 22 };
    if let Err(error) = faults::check(Kind::Thread) {
        return error.get();
    }
    // SAFETY: the core passes a C string.
    let name = unsafe { CStr::from_ptr(name) }
        .to_string_lossy()
        .into_owned();
    let lwp = lwp::Lwp::new(0, &name);
    let work = Work { run, arg };
    RUNNING.fetch_add(1, Ordering::AcqRel);
    let spawned = rt::spawn(name, move || {
        {
            let _bound = lwp::Bound::new(lwp);
            std::mem::forget(KernelLock::enter());
            work.run();
            super::fatal::kassert!(
                EXITED.replace(false),
                "a kernel thread returned without exit"
            );
        }
        RUNNING.fetch_sub(1, Ordering::AcqRel);
    });
    match spawned {
        Ok(thread) => {
            let mut threads = lock(&THREADS);
            // What was joined late would keep its stack until then.
            threads.retain(|thread| !thread.is_finished());
            threads.push(thread);
            0
        }
        Err(_) => {
            RUNNING.fetch_sub(1, Ordering::AcqRel);
            35
        }
    }
}

/// A thread here can only end by returning, which the core's threads do right
/// after this call.
#[no_mangle]
pub(crate) unsafe extern "C" fn pk_thread_exit() {
    sync::assert_none_held("exit of a kernel thread");
    // What the thread was started with.
    // SAFETY: it is inside.
    unsafe { big::pk_kernel_unlock() };
    big::assert_unlocked("exit of a kernel thread");
    EXITED.set(true);
}
