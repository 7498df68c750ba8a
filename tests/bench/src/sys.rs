//! The system calls of the workloads, with as little around them as can be: no
//! copies, no memory.

use puffs_netbsd::{Gate, WORDS};
use puffs_rs::kern::Result;
use std::ffi::CStr;

const READ: i32 = 3;
const WRITE: i32 = 4;
const OPEN: i32 = 5;
const CLOSE: i32 = 6;
const UNLINK: i32 = 10;
const FSYNC: i32 = 95;
const PREAD: i32 = 173;
const PWRITE: i32 = 174;
const LSEEK: i32 = 199;
const GETDENTS: i32 = 390;
const STAT: i32 = 439;
const FSTAT: i32 = 440;
const PIPE2: i32 = 453;

pub(crate) const O_RDONLY: i32 = 0;

/// Bytes of a `struct stat`.
const STAT_SIZE: usize = 152;

/// The kernel, as the calling thread sees it.
#[derive(Clone, Copy)]
pub(crate) struct Sys<'a>(pub(crate) &'a dyn Gate);

impl Sys<'_> {
    /// # Safety
    /// As for [`Gate::enter`].
    unsafe fn call<const N: usize>(self, number: i32, arguments: [i64; N]) -> Result<i64> {
        let mut words = [0; WORDS];
        words[..N].copy_from_slice(&arguments);
        // SAFETY: as the caller's.
        unsafe { self.0.enter(number, &mut words) }
    }

    pub(crate) fn read(self, fd: i32, buffer: &mut [u8]) -> Result<usize> {
        let words = [fd.into(), buffer.as_mut_ptr() as i64, buffer.len() as i64];
        // SAFETY: a buffer that may be written, and its length.
        unsafe { self.call(READ, words) }.map(|len| len as usize)
    }

    pub(crate) fn write(self, fd: i32, bytes: &[u8]) -> Result<usize> {
        let words = [fd.into(), bytes.as_ptr() as i64, bytes.len() as i64];
        // SAFETY: a buffer that may be read, and its length.
        unsafe { self.call(WRITE, words) }.map(|len| len as usize)
    }

    /// `open(2)`; what is created may be used by everybody.
    pub(crate) fn open(self, path: &CStr, flags: i32) -> Result<i32> {
        let words = [path.as_ptr() as i64, flags.into(), 0o666];
        // SAFETY: a string, and numbers.
        unsafe { self.call(OPEN, words) }.map(|fd| fd as i32)
    }

    pub(crate) fn unlink(self, path: &CStr) -> Result<()> {
        // SAFETY: a string.
        unsafe { self.call(UNLINK, [path.as_ptr() as i64]) }.map(drop)
    }

    pub(crate) fn fsync(self, fd: i32) -> Result<()> {
        // SAFETY: there is no address among its arguments.
        unsafe { self.call(FSYNC, [fd.into()]) }.map(drop)
    }

    pub(crate) fn pread(self, fd: i32, buffer: &mut [u8], offset: i64) -> Result<usize> {
        let (start, len) = (buffer.as_mut_ptr() as i64, buffer.len() as i64);
        // SAFETY: a buffer that may be written, and its length.
        unsafe { self.call(PREAD, [fd.into(), start, len, 0, offset]) }.map(|len| len as usize)
    }

    pub(crate) fn pwrite(self, fd: i32, bytes: &[u8], offset: i64) -> Result<usize> {
        let (start, len) = (bytes.as_ptr() as i64, bytes.len() as i64);
        // SAFETY: a buffer that may be read, and its length.
        unsafe { self.call(PWRITE, [fd.into(), start, len, 0, offset]) }.map(|len| len as usize)
    }

    /// `getdents(2)`.
    pub(crate) fn getdents(self, fd: i32, buffer: &mut [u8]) -> Result<usize> {
        let words = [fd.into(), buffer.as_mut_ptr() as i64, buffer.len() as i64];
        // SAFETY: a buffer that may be written, and its length.
        unsafe { self.call(GETDENTS, words) }.map(|len| len as usize)
    }

    /// `lseek(2)` to the start.
    pub(crate) fn rewind(self, fd: i32) -> Result<()> {
        // SAFETY: there is no address among its arguments.
        unsafe { self.call(LSEEK, [fd.into(), 0, 0, 0]) }.map(drop)
    }

    pub(crate) fn close(self, fd: i32) -> Result<()> {
        // SAFETY: there is no address among its arguments.
        unsafe { self.call(CLOSE, [fd.into()]) }.map(drop)
    }

    /// Makes the call, and does not look at what it says.
    pub(crate) fn stat(self, path: &CStr) -> Result<()> {
        let mut stat = [0_u64; STAT_SIZE / 8];
        let words = [path.as_ptr() as i64, stat.as_mut_ptr() as i64];
        // SAFETY: a string, and room for the struct.
        unsafe { self.call(STAT, words) }.map(drop)
    }

    /// The same of an open file.
    pub(crate) fn fstat(self, fd: i32) -> Result<()> {
        let mut stat = [0_u64; STAT_SIZE / 8];
        // SAFETY: room for the struct.
        unsafe { self.call(FSTAT, [fd.into(), stat.as_mut_ptr() as i64]) }.map(drop)
    }

    /// The end to read from, and the end to write to.
    pub(crate) fn pipe(self) -> Result<[i32; 2]> {
        let mut ends = [0; 2];
        let words = [ends.as_mut_ptr() as i64, 0];
        // SAFETY: room for two descriptors, and no flags.
        unsafe { self.call(PIPE2, words) }.map(|_| ends)
    }
}
