//! Buffers of I/O on pages (`struct buf`).

use super::{
    fatal::kassert,
    lwp::{self, Limits},
    registry::{lock, raw, Registry},
};
use puffs_rs::kern::sys::buf;
use std::{
    ffi::c_void,
    mem::ManuallyDrop,
    sync::{Arc, Mutex},
};

/// What the memory of a buffer holds before a read: another file's data.
pub const STALE: u8 = 0xdb;

/// A buffer. Its memory belongs to the I/O until that is done.
pub(crate) struct Buf {
    handle: usize,
    data: *mut u8,
    count: usize,
    /// Where in the file it starts.
    offset: i64,
    is_read: bool,
    is_async: bool,
    state: Mutex<BufState>,
}

/// What is run on the errno when the I/O is done (`b_iodone`).
type Done = Box<dyn FnOnce(i32) + Send>;

#[derive(Default)]
struct BufState {
    done: usize,
    error: i32,
    resid: usize,
    /// The buffer has no other owner.
    iodone: Option<Done>,
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
    /// A buffer to read `len` bytes into, from `offset` on.
    pub(crate) fn read(offset: i64, len: usize, is_async: bool) -> BufHold {
        BufHold::new(vec![STALE; len], offset, true, is_async)
    }

    /// A buffer to write, from `offset` on.
    pub(crate) fn write(offset: i64, data: Vec<u8>, is_async: bool) -> BufHold {
        BufHold::new(data, offset, false, is_async)
    }

    fn new(data: Vec<u8>, offset: i64, is_read: bool, is_async: bool) -> BufHold {
        let count = data.len();
        let data = Box::into_raw(data.into_boxed_slice()).cast();
        BufHold(BUFS.add(|handle| Buf {
            handle,
            data,
            count,
            offset,
            is_read,
            is_async,
            state: Mutex::default(),
        }))
    }

    /// Starts the I/O by `start`, and leaves the buffer alone: once it is done,
    /// `iodone` is run.
    pub(crate) fn start(
        self,
        start: impl FnOnce(*mut buf),
        iodone: impl FnOnce(i32) + Send + 'static,
    ) {
        lock(&self.0.state).iodone = Some(Box::new(iodone));
        let raw = self.raw();
        let hold = ManuallyDrop::new(self);
        // SAFETY: taken once, as the hold is not dropped.
        drop(unsafe { std::ptr::read(&hold.0) });
        start(raw);
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
        free(self.0.handle);
    }
}

/// Frees a buffer whose I/O is done.
fn free(handle: usize) {
    let gone = BUFS.remove(handle);
    let memory = std::ptr::slice_from_raw_parts_mut(gone.data, gone.count);
    // SAFETY: made by `new`, and the I/O is done.
    drop(unsafe { Box::from_raw(memory) });
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
    let iodone = state.iodone.take();
    drop(state);
    match iodone {
        Some(iodone) => {
            free(buf.handle);
            iodone(error);
        }
        None => {
            lwp::wakeup_all(buf.handle);
        }
    }
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_buf_count(bp: *const buf) -> usize {
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
pub(crate) unsafe extern "C" fn pk_buf_offset(bp: *const buf) -> i64 {
    BUFS.get(bp).offset
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_buf_is_read(bp: *const buf) -> bool {
    BUFS.get(bp).is_read
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_buf_is_async(bp: *const buf) -> bool {
    BUFS.get(bp).is_async
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_buf_done(bp: *mut buf, error: i32, resid: usize) {
    done(&BUFS.get(bp), error, resid);
}
