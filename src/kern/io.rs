//! Buffers of I/O on pages.

use super::{sys, Errno};
use core::ptr::NonNull;

/// A `struct buf` that is ours to complete. One that is dropped is completed
/// with ENXIO, so that nobody waits for it in vain.
pub struct Buf(NonNull<sys::buf>);

// SAFETY: who has a buffer may complete it, in any thread.
unsafe impl Send for Buf {}
// SAFETY: shared access only reads.
unsafe impl Sync for Buf {}

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

    /// Where in the file it starts, in bytes.
    pub fn offset(&self) -> i64 {
        // SAFETY: ours until `done`.
        unsafe { sys::pk_buf_offset(self.0.as_ptr()) }
    }

    /// Is it to be read into? Else it is to be written.
    pub fn is_read(&self) -> bool {
        // SAFETY: ours until `done`.
        unsafe { sys::pk_buf_is_read(self.0.as_ptr()) }
    }

    /// Does whoever started it not wait for it?
    pub fn is_async(&self) -> bool {
        // SAFETY: ours until `done`.
        unsafe { sys::pk_buf_is_async(self.0.as_ptr()) }
    }

    /// The memory.
    pub fn data(&self) -> &[u8] {
        // SAFETY: ours until `done`.
        let start = unsafe { sys::pk_buf_data(self.0.as_ptr()) };
        let len = self.count();
        // SAFETY: the buffer maps its memory, and nobody writes to pages that
        // are being written.
        unsafe { core::slice::from_raw_parts(start.cast(), len) }
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
        let buf = core::mem::ManuallyDrop::new(self);
        // SAFETY: ours, and given up.
        unsafe { sys::pk_buf_done(buf.0.as_ptr(), error, resid) };
    }
}

impl Drop for Buf {
    fn drop(&mut self) {
        let resid = self.count();
        // SAFETY: ours, and given up.
        unsafe { sys::pk_buf_done(self.0.as_ptr(), Errno::ENXIO.get(), resid) };
    }
}
