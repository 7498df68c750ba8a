//! What callers read and write (`struct uio`).

use super::{
    fatal::kassert,
    mem,
    registry::{lock, raw, Registry},
    sync,
};
use puffs_rs::kern::sys::uio;
use std::{
    ffi::c_void,
    sync::{Arc, Mutex},
};

/// A caller's bytes: what it reads, or what it writes.
pub(crate) struct Uio {
    handle: usize,
    state: Mutex<State>,
}

struct State {
    reads: bool,
    resid: usize,
    offset: i64,
    /// What was read so far, or all that is to be written.
    bytes: Vec<u8>,
    /// How many of them were moved.
    moved: usize,
}

static UIOS: Registry<Uio> = Registry::new("uio");

pub(crate) fn of(uio: *const uio) -> Arc<Uio> {
    UIOS.get(uio)
}

impl Uio {
    pub(crate) fn resid(&self) -> usize {
        lock(&self.state).resid
    }

    pub(crate) fn offset(&self) -> i64 {
        lock(&self.state).offset
    }

    /// Is it the caller who reads?
    pub(crate) fn reads(&self) -> bool {
        lock(&self.state).reads
    }

    /// Gives the caller bytes, as many as it has room for (`uiomove(9)`).
    pub(crate) fn give(&self, bytes: &[u8]) {
        sync::assert_sleepable("uiomove");
        let mut state = lock(&self.state);
        kassert!(state.reads, "uiomove to who writes");
        let len = bytes.len().min(state.resid);
        state.bytes.extend_from_slice(&bytes[..len]);
        state.advance(len);
    }

    /// Takes bytes from the caller, as many as it has (`uiomove(9)`).
    pub(crate) fn take(&self, to: &mut [u8]) {
        sync::assert_sleepable("uiomove");
        let mut state = lock(&self.state);
        kassert!(!state.reads, "uiomove from who reads");
        let len = to.len().min(state.resid);
        let from = state.moved;
        to[..len].copy_from_slice(&state.bytes[from..from + len]);
        state.advance(len);
    }
}

impl State {
    fn advance(&mut self, len: usize) {
        self.moved += len;
        self.resid -= len;
        self.offset += len as i64;
    }
}

/// A uio that lives as long as this.
pub(crate) struct UioHold(Arc<Uio>);

impl UioHold {
    /// To read at most `len` bytes, from `offset` on.
    pub(crate) fn read(offset: i64, len: usize) -> UioHold {
        UioHold::new(true, offset, len, Vec::new())
    }

    /// To write these bytes, from `offset` on.
    pub(crate) fn write(offset: i64, data: &[u8]) -> UioHold {
        UioHold::new(false, offset, data.len(), data.to_vec())
    }

    fn new(reads: bool, offset: i64, resid: usize, bytes: Vec<u8>) -> UioHold {
        let state = Mutex::new(State {
            reads,
            resid,
            offset,
            bytes,
            moved: 0,
        });
        UioHold(UIOS.add(|handle| Uio { handle, state }))
    }

    pub(crate) fn raw(&self) -> *mut uio {
        raw(self.0.handle)
    }

    /// What was read.
    pub(crate) fn take(self) -> Vec<u8> {
        std::mem::take(&mut lock(&self.0.state).bytes)
    }
}

impl std::ops::Deref for UioHold {
    type Target = Uio;

    fn deref(&self) -> &Uio {
        &self.0
    }
}

impl Drop for UioHold {
    fn drop(&mut self) {
        UIOS.remove(self.0.handle);
    }
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_uio_resid(uio: *const uio) -> usize {
    of(uio).resid()
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_uio_offset(uio: *const uio) -> i64 {
    of(uio).offset()
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_uio_set_offset(uio: *mut uio, offset: i64) {
    lock(&of(uio).state).offset = offset;
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_uio_move(start: *mut c_void, len: usize, uio: *mut uio) -> i32 {
    if len == 0 {
        return 0;
    }
    let uio = of(uio);
    if uio.reads() {
        // SAFETY: the core passes so many bytes.
        uio.give(unsafe { std::slice::from_raw_parts(start.cast(), len) });
    } else {
        // SAFETY: the core passes room for so many bytes.
        uio.take(unsafe { std::slice::from_raw_parts_mut(start.cast(), len) });
    }
    0
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_uio_give_back(uio: *mut uio, len: usize) {
    let uio = of(uio);
    let mut state = lock(&uio.state);
    kassert!(
        !state.reads && len <= state.moved,
        "{len} bytes given back, of {}",
        state.moved
    );
    // Where the caller's bytes are is not taken back.
    state.resid += len;
    state.offset -= len as i64;
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_cookies_alloc(count: usize) -> *mut i64 {
    // SAFETY: the core asks for at least one.
    unsafe { mem::pk_alloc(count * size_of::<i64>(), true) }.cast()
}

/// The offsets that a VOP_READDIR left, which its caller frees.
///
/// # Safety
/// `start` came from [`pk_cookies_alloc`] for `count` of them, or is NULL; it is
/// not used again.
pub(crate) unsafe fn take_cookies(start: *mut i64, count: usize) -> Vec<u64> {
    if start.is_null() {
        return Vec::new();
    }
    // SAFETY: the caller says that there are so many.
    let cookies = unsafe { std::slice::from_raw_parts(start, count) };
    let cookies = cookies.iter().map(|&cookie| cookie as u64).collect();
    // SAFETY: allocated with this size.
    unsafe { mem::pk_free(start.cast(), count * size_of::<i64>()) };
    cookies
}
