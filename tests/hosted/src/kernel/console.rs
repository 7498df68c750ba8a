//! The console.

use super::{fatal::fatal, registry::lock};
use std::{
    ffi::c_char,
    sync::{
        atomic::{AtomicI32, Ordering},
        Mutex,
    },
};

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Takes all lines that were printed since the last call.
pub(crate) fn take() -> Vec<String> {
    std::mem::take(&mut *lock(&LINES))
}

/// The text that the core passes.
///
/// # Safety
/// So many initialised bytes.
unsafe fn text(msg: *const c_char, len: usize) -> String {
    // SAFETY: the caller says so.
    let bytes = unsafe { std::slice::from_raw_parts(msg.cast::<u8>(), len) };
    String::from_utf8_lossy(bytes).into_owned()
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_log(msg: *const c_char, len: usize) {
    // SAFETY: the core passes a text and its length.
    let line = unsafe { text(msg, len) };
    lock(&LINES).push(line);
}

/// Where the core says what it does, if somebody listens.
static DEBUG: AtomicI32 = AtomicI32::new(0);

/// Sets `puffsdebug`.
pub(crate) fn set_debug(level: i32) {
    DEBUG.store(level, Ordering::Relaxed);
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_debug_level() -> i32 {
    DEBUG.load(Ordering::Relaxed)
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_debug(msg: *const c_char, len: usize) {
    // SAFETY: the core passes a text and its length.
    let line = unsafe { text(msg, len) };
    lock(&LINES).push(line);
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_panic(msg: *const c_char, len: usize) {
    // SAFETY: the core passes a text and its length.
    let line = unsafe { text(msg, len) };
    fatal!("{line}");
}
