//! Buffers of asynchronous I/O, and completions that C code asked for.

use super::{sys, PmpRef};
use core::{ffi::c_void, ptr::NonNull};

/// A `struct buf` that is ours to complete.
pub struct Buf(NonNull<sys::buf>);

impl Buf {
    /// # Safety
    /// `bp` is NULL or a buffer of kernel memory whose completion is given to
    /// the handle.
    pub unsafe fn new(bp: *mut sys::buf) -> Option<Buf> {
        NonNull::new(bp).map(Buf)
    }

    /// How many bytes are to be moved.
    pub fn count(&self) -> usize {
        // SAFETY: ours until `done`.
        unsafe { sys::pk_buf_count(self.0.as_ptr()) }
    }

    /// The memory, to change.
    pub fn data_mut(&mut self) -> &mut [u8] {
        // SAFETY: ours until `done`.
        let start = unsafe { sys::pk_buf_data(self.0.as_ptr()) };
        let len = self.count();
        // SAFETY: the buffer maps its memory and nobody else uses it until it
        // is completed.
        unsafe { core::slice::from_raw_parts_mut(start.cast(), len) }
    }

    /// Completes the I/O (`biodone(9)`): `error` or 0, and how many bytes
    /// were not moved.
    pub fn done(self, error: i32, resid: usize) {
        // SAFETY: ours, and given up.
        unsafe { sys::pk_buf_done(self.0.as_ptr(), error, resid) };
    }
}

/// `parkdone_fn`: what C code wants to be called with when its request is
/// done: the mount, the reply, and its argument.
pub type CompletionFn =
    unsafe extern "C" fn(*mut sys::puffs_mount, *mut sys::puffs_req, *mut c_void);

/// A completion that C code asked for, to be run once.
pub struct Completion {
    done: CompletionFn,
    arg: *mut c_void,
}

// SAFETY: who asked for the completion expects it in any thread.
unsafe impl Send for Completion {}

impl Completion {
    /// # Safety
    /// `done` takes `arg` and any reply to the request that it is for, from
    /// any thread that may block, once.
    pub unsafe fn new(done: CompletionFn, arg: *mut c_void) -> Completion {
        Completion { done, arg }
    }

    /// Runs it on a reply that starts with a `struct puffs_req`.
    ///
    /// The reply is as long as its operation needs, or its `preq_rv` says
    /// error and only the header is there: who calls this has judged it.
    pub fn run(self, pmp: PmpRef, reply: &mut [u8]) {
        // SAFETY: `new` vouches for the function and its argument, the caller
        // for the reply.
        unsafe { (self.done)(pmp.as_ptr(), reply.as_mut_ptr().cast(), self.arg) };
    }
}
