//! Buffers of asynchronous I/O (`struct buf`).

use super::{
    fatal::kassert,
    lwp::{self, Limits},
    registry::{lock, raw, Registry},
};
use puffs_rs::kern::sys::buf;
use std::{
    ffi::c_void,
    sync::{Arc, Mutex},
};

/// What the memory of a buffer holds before a read: another file's data.
pub const STALE: u8 = 0xdb;

/// A buffer. Its memory belongs to the I/O until that is done.
pub(crate) struct Buf {
    handle: usize,
    data: *mut u8,
    count: usize,
    state: Mutex<BufState>,
}

#[derive(Default)]
struct BufState {
    done: usize,
    error: i32,
    resid: usize,
}

// SAFETY: the memory is used by the I/O until it is done, and by the owner
// after that.
unsafe impl Send for Buf {}
// SAFETY: as for `Send`.
unsafe impl Sync for Buf {}

static BUFS: Registry<Buf> = Registry::new("buf");

pub(crate) fn count() -> usize {
    BUFS.count()
}

/// A buffer that its owner frees by dropping this.
pub(crate) struct BufHold(Arc<Buf>);

impl BufHold {
    pub(crate) fn new(data: Vec<u8>) -> BufHold {
        let count = data.len();
        let data = Box::into_raw(data.into_boxed_slice()).cast();
        BufHold(BUFS.add(|handle| Buf {
            handle,
            data,
            count,
            state: Mutex::default(),
        }))
    }

    pub(crate) fn raw(&self) -> *mut buf {
        raw(self.0.handle)
    }

    /// The memory, to fill before the I/O starts or to read once it is done.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the I/O does not run, and the memory lives as long as the
        // buffer.
        unsafe { std::slice::from_raw_parts(self.0.data, self.0.count) }
    }

    /// Completes it without any I/O.
    pub(crate) fn fail(&self, error: i32) {
        done(&self.0, error, self.0.count);
    }

    /// Completes it as done.
    pub(crate) fn succeed(&self, resid: usize) {
        done(&self.0, 0, resid);
    }

    /// Waits for the I/O (`biowait(9)`): the errno, and how many bytes were
    /// not moved.
    pub(crate) fn wait(&self) -> (i32, usize) {
        loop {
            let state = lock(&self.0.state);
            if state.done != 0 {
                return (state.error, state.resid);
            }
            lwp::sleep(self.0.handle, "biowait", Limits::default(), || drop(state));
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        lock(&self.0.state).done != 0
    }
}

impl Drop for BufHold {
    fn drop(&mut self) {
        kassert!(self.is_done(), "a buffer freed while its I/O runs");
        let gone = BUFS.remove(self.0.handle);
        let memory = std::ptr::slice_from_raw_parts_mut(gone.data, gone.count);
        // SAFETY: made by `new`, and the I/O is done.
        drop(unsafe { Box::from_raw(memory) });
    }
}

fn done(buf: &Buf, error: i32, resid: usize) {
    let mut state = lock(&buf.state);
    state.done += 1;
    kassert!(state.done == 1, "biodone: a buffer completed twice");
    kassert!(
        resid <= buf.count,
        "biodone: resid {resid} of {}",
        buf.count
    );
    state.error = error;
    state.resid = resid;
    drop(state);
    lwp::wakeup_all(buf.handle);
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_buf_count(bp: *mut buf) -> usize {
    BUFS.get(bp).count
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_buf_data(bp: *mut buf) -> *mut c_void {
    let buf = BUFS.get(bp);
    kassert!(
        lock(&buf.state).done == 0,
        "use of a buffer whose I/O is done"
    );
    buf.data.cast()
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_buf_done(bp: *mut buf, error: i32, resid: usize) {
    done(&BUFS.get(bp), error, resid);
}
