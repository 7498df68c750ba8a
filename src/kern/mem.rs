//! Kernel memory.

use super::{pool::Keep, sys};
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

/// An owned run of kernel memory, aligned for any wire structure. Its address does
/// not change while it lives.
pub struct KBytes {
    start: NonNull<u8>,
    len: usize,
    /// The slot of a pool that it is a part of; else it is from `kmem(9)`.
    within: Option<NonNull<Keep>>,
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
        Some(KBytes {
            start,
            len,
            within: None,
        })
    }

    /// The same but for a hole, which the caller fills before anyone else reads
    /// it: there is in it what the kernel had there before. Nothing is a hole
    /// that does not lie within the bytes.
    pub fn zeroed_but(hole: Range<usize>, len: usize, sleep: Sleep) -> Option<KBytes> {
        if !is_hole(&hole, len) || len > isize::MAX as usize {
            return KBytes::zeroed(len, sleep);
        }
        // SAFETY: the length is not 0, as a hole is within.
        let start = unsafe { sys::pk_alloc(len, sleep.allowed()) };
        let start = NonNull::new(start)?.cast();
        let mut bytes = KBytes {
            start,
            len,
            within: None,
        };
        bytes.zero_but(hole);
        Some(bytes)
    }

    /// Bytes within the slot of a pool, which are not zeroed.
    ///
    /// # Safety
    /// There are `len` bytes, not 0, that nobody else uses until a hold of the slot
    /// is given up, which is the new bytes' from now on.
    pub(super) unsafe fn within(start: NonNull<u8>, len: usize, slot: NonNull<Keep>) -> KBytes {
        KBytes {
            start,
            len,
            within: Some(slot),
        }
    }

    /// Zeroes all but a hole.
    pub(super) fn zero_but(&mut self, hole: Range<usize>) {
        let len = self.len;
        let bytes = self.bytes_mut();
        if !is_hole(&hole, len) {
            return bytes.fill(0);
        }
        let (before, after) = bytes.split_at_mut(hole.end);
        before[..hole.start].fill(0);
        after.fill(0);
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
        match self.within {
            // SAFETY: allocated with this size and owned; nobody uses it any more.
            None => unsafe { sys::pk_free(self.start.as_ptr().cast(), self.len) },
            // SAFETY: the hold that came with them.
            Some(slot) => unsafe { Keep::release(slot) },
        }
    }
}

/// Does a hole lie within so many bytes?
fn is_hole(hole: &Range<usize>, len: usize) -> bool {
    hole.start < hole.end && hole.end <= len
}
