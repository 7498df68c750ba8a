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
use crate::rt;
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

/// What an lwp has on its thread of the host, if another one runs there.
#[cfg(not(feature = "shuttle"))]
#[derive(Default)]
pub(crate) struct Context {
    lwp: Option<Arc<Lwp>>,
    kernel_lock: usize,
    mutexes: sync::Held,
    vnodes: usize,
}

#[cfg(not(feature = "shuttle"))]
impl Context {
    /// Puts it in place of what the thread of the host has, and takes that.
    pub(crate) fn swap(&mut self) {
        self.lwp = lwp::switch(self.lwp.take());
        self.kernel_lock = big::switch(self.kernel_lock);
        let mutexes = sync::take_held();
        sync::give_held(std::mem::replace(&mut self.mutexes, mutexes));
        let vnodes = vnode::take_locked();
        vnode::give_locked(std::mem::replace(&mut self.vnodes, vnodes));
    }
}

/// Lets the threads of the kernel go on, or time pass if they have nothing to
/// do, as a loop does that waits for one.
pub fn pause() {
    rt::pause();
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
///
/// If it has nothing to do, the threads of the kernel go on, and if they have not
/// either, time passes. Those that were made since the first call of this are
/// on the same thread of the host, and what they do is the same each time.
pub fn on_sleep(hook: impl FnMut(&str) -> bool + 'static) {
    rt::gather();
    HOOK.set(Some(Box::new(hook)));
}

/// Is there a hook, and does it not run?
pub(crate) fn is_hooked() -> bool {
    // The threads of the kernel have no part in it.
    !rt::is_fiber() && HOOK.with_borrow(Option::is_some)
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
