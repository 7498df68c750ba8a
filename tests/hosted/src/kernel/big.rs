//! The kernel lock (`KERNEL_LOCK`): recursive, and given up by whoever sleeps.

use super::{
    fatal::{fatal, kassert},
    registry::lock,
};
use std::{
    cell::Cell,
    sync::{Condvar, Mutex, PoisonError},
};

static HELD: Mutex<bool> = Mutex::new(false);
static FREE: Condvar = Condvar::new();

thread_local! {
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

fn acquire() {
    let mut held = lock(&HELD);
    while *held {
        held = FREE.wait(held).unwrap_or_else(PoisonError::into_inner);
    }
    *held = true;
}

fn release() {
    *lock(&HELD) = false;
    FREE.notify_one();
}

/// Gives the lock up to sleep; returns how often it was entered.
pub(crate) fn give_up() -> usize {
    let depth = DEPTH.replace(0);
    if depth != 0 {
        release();
    }
    depth
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
