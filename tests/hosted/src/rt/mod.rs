//! What the hosted kernel runs on: threads, and all that makes one wait.
//!
//! Nothing else in this crate blocks, gives way, or reads a clock. So the same
//! kernel runs on two back-ends:
//!
//! | back-end | feature | what it is for |
//! |---|---|---|
//! | `host` | (default) | std threads and the host's clock: the tests, the demo; for fuzz targets, fibers of one such thread |
//! | `model` | `shuttle` | the coroutines of the crate `shuttle` on one thread, a scheduler that decides who runs at every [`point`], a clock that runs when nobody else does: the models, the schedules that a fuzzer makes |
//!
//! A back-end has threads ([`spawn`], [`Handle`]), the one way to block
//! ([`park`], [`Thread::unpark`], with a token as in std), scheduling points
//! ([`point`]), a wait for what tells nobody that it happened ([`pause`]), a
//! clock ([`uptime`]), and what a thread has for itself ([`thread_local`](
//! macro@thread_local)).
//!
//! The mutexes of std are still there, around the tables of the kernel. The
//! rule for them is that nothing blocks or is a scheduling point inside one:
//! on coroutines, the next one to want it would wait for itself. The model
//! back-end checks that, see [`host_lock`].
//!
//! There is none for the crate `loom`. It explores every order of every
//! atomic access, and allows for five threads: a mount, its service thread,
//! the thread that releases vnodes, a server and a caller are five before
//! anything interesting happens, and every enter and exit of a mutex on the
//! way of a request is a branch. What loom is better at, the orders that a
//! weak memory allows, does not come up either, as the core shares nothing
//! outside mutexes but a queue length that is a hint.

#[cfg(not(feature = "shuttle"))]
mod fiber;
#[cfg(not(feature = "shuttle"))]
mod host;
#[cfg(feature = "shuttle")]
pub(crate) mod model;

#[cfg(not(feature = "shuttle"))]
use host as backend;
#[cfg(feature = "shuttle")]
use model as backend;

pub(crate) use backend::{
    current, describe, gather, host_lock, is_fiber, name, park, pause, point, spawn, testify,
    thread_local, uptime, wall_clock, yield_now, Handle, Thread, MODEL,
};

use std::{collections::VecDeque, sync::Mutex};

/// Threads that wait for their turn, in order. What they wait for has a mutex
/// of the host's, which guards this as well.
#[derive(Default)]
pub(crate) struct Waiters(VecDeque<Thread>);

impl Waiters {
    /// Nobody.
    pub(crate) const fn new() -> Waiters {
        Waiters(VecDeque::new())
    }

    fn add(&mut self, thread: &Thread) {
        if !self.0.contains(thread) {
            self.0.push_back(thread.clone());
        }
    }

    /// One who has its turn must not be there any more, lest the next wakeup
    /// goes to it.
    fn forget(&mut self, thread: &Thread) {
        self.0.retain(|waiter| waiter != thread);
    }

    /// Has the first look again.
    pub(crate) fn wake_one(&mut self) {
        if let Some(first) = self.0.pop_front() {
            first.unpark();
        }
    }

    /// Has all look again.
    pub(crate) fn wake_all(&mut self) {
        while !self.0.is_empty() {
            self.wake_one();
        }
    }
}

/// Waits until `ready` has something, and returns that. `waiters` says where
/// in the state who waits is noted.
pub(crate) fn wait_for<S, R>(
    state: &Mutex<S>,
    waiters: impl Fn(&mut S) -> &mut Waiters,
    mut ready: impl FnMut(&mut S) -> Option<R>,
) -> R {
    let mut waited = None;
    loop {
        {
            let mut state = host_lock(state);
            if let Some(result) = ready(&mut state) {
                if let Some(me) = &waited {
                    waiters(&mut state).forget(me);
                }
                return result;
            }
            waiters(&mut state).add(waited.get_or_insert_with(current));
        }
        park(None);
    }
}
