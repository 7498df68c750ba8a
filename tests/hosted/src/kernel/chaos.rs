//! Disorder on request: threads that give way at locks, sleeps that end for
//! no reason. What only works in the usual order does not work.

use std::{
    cell::Cell,
    sync::atomic::{AtomicU64, Ordering},
};

static SEED: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static STATE: Cell<u64> = const { Cell::new(0) };
}

pub(crate) fn set(seed: u64) {
    SEED.store(seed, Ordering::Relaxed);
}

fn roll(sides: u64) -> bool {
    let seed = SEED.load(Ordering::Relaxed);
    if seed == 0 {
        return false;
    }
    let mut x = STATE.get();
    if x == 0 {
        static THREADS: AtomicU64 = AtomicU64::new(1);
        let nth = THREADS.fetch_add(1, Ordering::Relaxed);
        x = seed.wrapping_add(nth).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    }
    // Xorshift.
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    STATE.set(x);
    x.is_multiple_of(sides)
}

/// Maybe lets others run.
pub(crate) fn point() {
    if roll(8) {
        std::thread::yield_now();
    }
}

/// Maybe a sleep shall end for no reason.
pub(crate) fn spurious() -> bool {
    roll(4)
}
