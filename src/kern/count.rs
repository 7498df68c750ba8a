//! Counting references.

use core::sync::atomic::{AtomicUsize, Ordering};

/// How many references there are to something; at least one, until the last
/// goes.
pub(super) struct Count(AtomicUsize);

impl Count {
    /// One reference.
    pub(super) const fn one() -> Count {
        Count(AtomicUsize::new(1))
    }

    /// One more; who asks for it has one.
    pub(super) fn more(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// One less. True if that was the last one, and what it referred to is the
    /// caller's alone.
    pub(super) fn less(&self) -> bool {
        // Who has the only one need not say that to anybody.
        if self.is_one() {
            return true;
        }
        if self.0.fetch_sub(1, Ordering::Release) != 1 {
            return false;
        }
        // Sees what the others did before they let go. A fence would do as well,
        // but ThreadSanitizer does not know fences.
        self.0.load(Ordering::Acquire);
        true
    }

    /// Is the caller's the only one?
    pub(super) fn is_one(&self) -> bool {
        self.0.load(Ordering::Acquire) == 1
    }
}
