//! Disorder on request: threads that give way at locks, sleeps that end for
//! no reason. What only works in the usual order does not work.

use crate::rt;
use std::{
    cell::Cell,
    sync::atomic::{AtomicU64, Ordering},
};

static SEED: AtomicU64 = AtomicU64::new(0);
/// How many threads have dice of their own.
static THREADS: AtomicU64 = AtomicU64::new(0);

rt::thread_local! {
    static STATE: Cell<u64> = const { Cell::new(0) };
}

pub(crate) fn set(seed: u64) {
    SEED.store(seed, Ordering::Relaxed);
    THREADS.store(0, Ordering::Relaxed);
}

fn roll(sides: u64) -> bool {
    let seed = SEED.load(Ordering::Relaxed);
    if seed == 0 {
        return false;
    }
    let mut x = STATE.get();
    if x == 0 {
        let nth = THREADS.fetch_add(1, Ordering::Relaxed) + 1;
        x = seed.wrapping_add(nth).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    }
    // Xorshift.
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    STATE.set(x);
    x.is_multiple_of(sides)
}

/// A scheduling point; maybe lets others run.
pub(crate) fn point() {
    rt::point();
    if roll(8) {
        rt::yield_now();
    }
}

/// Maybe a sleep shall end for no reason.
pub(crate) fn spurious() -> bool {
    roll(4)
}
