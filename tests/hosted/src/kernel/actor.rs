//! Several lwps on one thread of the host.
//!
//! A harness that needs no races, but many runs in a second, has no use for
//! the host's scheduler: it plays the caller and the server in turns. An
//! [`Actor`] is an lwp that runs when it is told to, and [`on_sleep`] says who
//! runs when all of them sleep.

use super::{
    big,
    lwp::{self, Lwp},
    sync, vnode,
};
use std::{cell::RefCell, sync::Arc};

/// A thread of a process, which runs on the host's thread that calls
/// [`run`](Self::run). It exists until this is dropped.
pub struct Actor(Arc<Lwp>);

impl Actor {
    pub(crate) fn new(pid: i32, name: &str) -> Actor {
        Actor(Lwp::new(pid, name))
    }

    /// It as the kernel knows it.
    pub fn lwp(&self) -> &Lwp {
        &self.0
    }

    /// Runs `f` as this lwp, and then has it return to user mode. The lwp that
    /// called keeps its locks, but not the kernel lock, as if it were switched
    /// away.
    pub fn run<T>(&self, f: impl FnOnce() -> T) -> T {
        let _away = Away {
            lwp: lwp::switch(Some(self.0.clone())),
            kernel_lock: big::give_up(),
            mutexes: sync::take_held(),
            vnodes: vnode::take_locked(),
        };
        let done = f();
        lwp::user_return();
        done
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        self.0.retire();
    }
}

/// What an lwp has that was switched away.
struct Away {
    lwp: Option<Arc<Lwp>>,
    kernel_lock: usize,
    mutexes: sync::Held,
    vnodes: usize,
}

impl Drop for Away {
    fn drop(&mut self) {
        lwp::switch(self.lwp.take());
        big::take_back(self.kernel_lock);
        sync::give_held(std::mem::take(&mut self.mutexes));
        vnode::give_locked(self.vnodes);
    }
}

/// What is called with what the sleeper sleeps for, and says whether it is
/// worth while to call it again at once.
type Hook = Box<dyn FnMut(&str) -> bool>;

thread_local! {
    static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
}

/// Has `hook` called whenever an lwp on this thread of the host would wait
/// for a wakeup, with what that sleeps for: again and again until one comes, at
/// once if it returns true. It is not called when it sleeps itself.
pub fn on_sleep(hook: impl FnMut(&str) -> bool + 'static) {
    HOOK.set(Some(Box::new(hook)));
}

/// Is there a hook, and does it not run?
pub(crate) fn is_hooked() -> bool {
    HOOK.with_borrow(Option::is_some)
}

/// Calls the hook.
pub(crate) fn sleeping(why: &str) -> bool {
    let Some(mut hook) = HOOK.take() else {
        return false;
    };
    let again = hook(why);
    HOOK.set(Some(hook));
    again
}
