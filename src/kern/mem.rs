//! Kernel memory.

use super::sys;
use core::{ops::Range, ptr::NonNull};

/// May an allocation sleep?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sleep {
    /// Yes; it cannot fail then.
    Yes,
    /// No; it fails when memory is short. For the pagedaemon and its kin.
    No,
}

impl Sleep {
    pub(super) fn allowed(self) -> bool {
        self == Sleep::Yes
    }
}

/// The size of a page in bytes.
pub fn page_size() -> usize {
    // SAFETY: reads a constant of the kernel.
    unsafe { sys::pk_page_size() }
}

/// An owned run of kernel memory (`kmem(9)`), aligned for any wire structure. Its
/// address does not change while it lives.
#[derive(Debug)]
pub struct KBytes {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: plain memory, owned.
unsafe impl Send for KBytes {}
// SAFETY: shared access only reads.
unsafe impl Sync for KBytes {}

impl KBytes {
    /// Allocates `len` zeroed bytes; `None` if memory is short or `len` is 0.
    pub fn zeroed(len: usize, sleep: Sleep) -> Option<KBytes> {
        if len == 0 || len > isize::MAX as usize {
            return None;
        }
        // SAFETY: the length is not 0.
        let start = unsafe { sys::pk_zalloc(len, sleep.allowed()) };
        let start = NonNull::new(start)?.cast();
        Some(KBytes { start, len })
    }

    /// The same but for a hole, which the caller fills before anyone else reads
    /// it: there is in it what the kernel had there before. Nothing is a hole
    /// that does not lie within the bytes.
    pub fn zeroed_but(hole: Range<usize>, len: usize, sleep: Sleep) -> Option<KBytes> {
        if hole.start >= hole.end || hole.end > len || len > isize::MAX as usize {
            return KBytes::zeroed(len, sleep);
        }
        // SAFETY: the length is not 0, as a hole is within.
        let start = unsafe { sys::pk_alloc(len, sleep.allowed()) };
        let start = NonNull::new(start)?.cast();
        let mut bytes = KBytes { start, len };
        let (before, after) = bytes.bytes_mut().split_at_mut(hole.end);
        before[..hole.start].fill(0);
        after.fill(0);
        Some(bytes)
    }

    /// Where the bytes start. C code that holds this pointer may use it while
    /// no reference from [`bytes`](Self::bytes) or
    /// [`bytes_mut`](Self::bytes_mut) is alive.
    pub fn as_ptr(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// The number of bytes; never 0.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: owned and `len` long. The allocator is not ours: whatever it
        // leaves there, it wrote.
        unsafe { core::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    /// The bytes, to change.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`, and `self` is borrowed exclusively.
        unsafe { core::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl Drop for KBytes {
    fn drop(&mut self) {
        // SAFETY: allocated with this size and owned; nobody uses it any more.
        unsafe { sys::pk_free(self.start.as_ptr().cast(), self.len) };
    }
}
