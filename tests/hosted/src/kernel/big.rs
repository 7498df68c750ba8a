//! The kernel lock (`KERNEL_LOCK`): recursive, and given up by whoever sleeps.
//!
//! The device works inside it. Operations on files and file systems do not, as puffs
//! says that it is safe (`IMNT_MPSAFE`), nor do mount(2) and unmount(2), as on NetBSD
//! 10; before, those are inside it.

use super::{
    chaos,
    fatal::{fatal, kassert},
    registry::lock,
};
use crate::rt::{self, wait_for, Waiters};
use std::{cell::Cell, sync::Mutex};

struct State {
    held: bool,
    waiters: Waiters,
}

static STATE: Mutex<State> = Mutex::new(State {
    held: false,
    waiters: Waiters::new(),
});

rt::thread_local! {
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// Inside the kernel lock, until this is dropped.
pub(crate) struct KernelLock;

impl KernelLock {
    pub(crate) fn enter() -> KernelLock {
        if DEPTH.get() == 0 {
            acquire();
        }
        DEPTH.set(DEPTH.get() + 1);
        KernelLock
    }
}

impl Drop for KernelLock {
    fn drop(&mut self) {
        let depth = DEPTH.get();
        kassert!(depth > 0, "kernel lock left without being entered");
        DEPTH.set(depth - 1);
        if depth == 1 {
            release();
        }
    }
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_kernel_lock() {
    std::mem::forget(KernelLock::enter());
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_kernel_unlock() {
    drop(KernelLock);
}

fn acquire() {
    chaos::point();
    let take = |state: &mut State| (!std::mem::replace(&mut state.held, true)).then_some(());
    wait_for(&STATE, |state| &mut state.waiters, take);
}

fn release() {
    let mut state = lock(&STATE);
    state.held = false;
    state.waiters.wake_one();
}

/// Gives the lock up to sleep; returns how often it was entered.
pub(crate) fn give_up() -> usize {
    let depth = DEPTH.replace(0);
    if depth != 0 {
        release();
    }
    depth
}

/// Has the calling thread be inside it as often as another lwp was; returns how
/// often it was itself. Nobody enters or leaves it.
#[cfg(not(feature = "shuttle"))]
pub(crate) fn switch(depth: usize) -> usize {
    DEPTH.replace(depth)
}

/// Takes back what [`give_up`] gave.
pub(crate) fn take_back(depth: usize) {
    if depth != 0 {
        acquire();
    }
    DEPTH.set(depth);
}

/// Is the calling thread inside it?
pub(crate) fn held() -> bool {
    DEPTH.get() != 0
}

pub(crate) fn assert_unlocked(when: &str) {
    if held() {
        fatal!("{when} with the kernel lock");
    }
}
