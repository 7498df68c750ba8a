//! What callers read and write.

use super::{sys, Errno, Result};
use core::{ffi::c_void, marker::PhantomData, ptr::NonNull};

/// A `struct uio`: where the caller's bytes are, how many are still to be
/// moved, and where in the file the next one goes.
pub struct Uio<'a> {
    raw: NonNull<sys::uio>,
    kept: PhantomData<&'a mut ()>,
}

impl Uio<'_> {
    /// # Safety
    /// `raw` is NULL or the caller's for as long as the handle lives.
    pub unsafe fn new(raw: *mut sys::uio) -> Option<Self> {
        Some(Uio {
            raw: NonNull::new(raw)?,
            kept: PhantomData,
        })
    }

    pub(super) fn as_ptr(&mut self) -> *mut sys::uio {
        self.raw.as_ptr()
    }

    /// How many bytes are still to be moved.
    pub fn resid(&self) -> usize {
        // SAFETY: live.
        unsafe { sys::pk_uio_resid(self.raw.as_ptr()) }
    }

    /// Where in the file the next byte is; may be anything.
    pub fn offset(&self) -> i64 {
        // SAFETY: live.
        unsafe { sys::pk_uio_offset(self.raw.as_ptr()) }
    }

    /// Says where in the file the next byte is.
    pub fn set_offset(&mut self, offset: i64) {
        // SAFETY: live.
        unsafe { sys::pk_uio_set_offset(self.raw.as_ptr(), offset) };
    }

    /// Gives the caller bytes (`uiomove(9)`), as many as it has room for. May
    /// sleep.
    ///
    /// # Errors
    /// EFAULT.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        // A uio that is read into only reads the bytes.
        self.move_bytes(bytes.as_ptr().cast_mut().cast(), bytes.len())
    }

    /// Takes bytes from the caller. May sleep.
    ///
    /// # Errors
    /// EFAULT.
    pub fn read(&mut self, bytes: &mut [u8]) -> Result<()> {
        self.move_bytes(bytes.as_mut_ptr().cast(), bytes.len())
    }

    fn move_bytes(&mut self, start: *mut c_void, len: usize) -> Result<()> {
        // SAFETY: memory of that length, which the way of the uio only reads
        // where it was borrowed to be read.
        Errno::check(unsafe { sys::pk_uio_move(start, len, self.raw.as_ptr()) })
    }

    /// The last `len` bytes that were moved were not used.
    pub fn give_back(&mut self, len: usize) {
        // SAFETY: live.
        unsafe { sys::pk_uio_give_back(self.raw.as_ptr(), len) };
    }
}

/// Offsets of directory entries, which who asked for them frees (`free(9)`).
pub struct Cookies {
    start: NonNull<i64>,
    len: usize,
}

impl Cookies {
    /// Allocates room for as many as `bytes` holds, and copies them. May sleep.
    /// `None` if there are none.
    pub fn copy_of(bytes: &[u8]) -> Option<Cookies> {
        let len = bytes.len() / size_of::<i64>();
        if len == 0 {
            return None;
        }
        // SAFETY: not 0.
        let start = NonNull::new(unsafe { sys::pk_cookies_alloc(len) })?;
        // SAFETY: fresh memory for so many, and that many bytes to read.
        unsafe {
            start
                .cast::<u8>()
                .copy_from_nonoverlapping(NonNull::from(bytes).cast(), len * size_of::<i64>());
        }
        Some(Cookies { start, len })
    }

    /// Gives them to C: the address, and how many.
    pub fn into_raw(self) -> (*mut i64, usize) {
        (self.start.as_ptr(), self.len)
    }
}
