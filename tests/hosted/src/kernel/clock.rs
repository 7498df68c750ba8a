//! The clock: it runs by itself, and a test can move it on.

use super::{
    lwp::{self, Limits},
    sync,
};
use crate::rt;
use puffs_rs::kern::sys::pk_timespec;
use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

/// Ticks a second.
pub const HZ: i64 = 100;

/// Shortly before the counter wraps, so that every test sees that too.
const START: i64 = i32::MAX as i64 - 500;

static MOVED: AtomicI64 = AtomicI64::new(0);

/// Ticks, without a wrap.
pub(crate) fn now_ticks() -> i64 {
    let ran = rt::uptime().as_millis() as i64 * HZ / 1000;
    START + ran + MOVED.load(Ordering::Relaxed)
}

/// How long so many ticks take.
pub(crate) fn duration(ticks: i64) -> Duration {
    Duration::from_millis((ticks.max(0) * 1000 / HZ) as u64 + 1)
}

/// Sets it to where it would be had nobody moved it.
pub(crate) fn reset() {
    MOVED.store(0, Ordering::Relaxed);
}

/// Moves the clock on.
pub(crate) fn advance(ticks: i64) {
    MOVED.fetch_add(ticks, Ordering::Relaxed);
    lwp::clock_moved();
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_ticks() -> i32 {
    // The counter wraps.
    now_ticks() as i32
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_hz() -> i32 {
    HZ as i32
}

/// What nobody is woken on.
const PAUSES: usize = usize::MAX;

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_pause(ticks: i32) {
    sync::assert_sleepable("pk_pause");
    let limits = Limits {
        interruptible: false,
        ticks: Some(ticks),
    };
    lwp::sleep(PAUSES, "pause", limits, || {});
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_nanotime(ts: *mut pk_timespec) {
    let now = rt::wall_clock();
    let now = pk_timespec {
        ts_sec: now.as_secs() as i64,
        ts_nsec: i64::from(now.subsec_nanos()),
    };
    // SAFETY: the core passes a place for the time.
    unsafe { ts.write(now) };
}
