//! Data that the lock of another object guards.

use super::{Guard, Mutex};
use core::{cell::UnsafeCell, ptr};

/// A `T` that is reached either exclusively or inside the mutex to which it
/// was bound, as Linux's `LockedBy`.
///
/// A park is made before it belongs to a mount and is guarded by the mount's
/// lock after that; this is the type of such a field.
pub struct Guarded<T> {
    data: UnsafeCell<T>,
    /// The address of the mutex; NULL before the first [`bind`](Self::bind).
    mutex: *const (),
}

// SAFETY: the data is reached by one thread at a time; the address is only
// compared.
unsafe impl<T: Send> Send for Guarded<T> {}
// SAFETY: as for `Send`.
unsafe impl<T: Send> Sync for Guarded<T> {}

impl<T> Guarded<T> {
    /// Wraps data that nothing guards yet.
    pub const fn new(data: T) -> Guarded<T> {
        Guarded {
            data: UnsafeCell::new(data),
            mutex: ptr::null(),
        }
    }

    /// Says which mutex guards the data from now on.
    pub fn bind<L>(&mut self, mutex: &Mutex<L>) {
        self.mutex = mutex.address();
    }

    /// The data, to a caller who shares it with nobody.
    pub fn get_mut(&mut self) -> &mut T {
        self.data.get_mut()
    }

    /// The data, to a caller inside the mutex. `None` if it is another mutex.
    ///
    /// The guard stays borrowed while the data is, so no two references to it
    /// exist at once.
    pub fn get<'a, L>(&'a self, guard: &'a mut Guard<'_, L>) -> Option<&'a mut T> {
        if !ptr::eq(self.mutex, guard.address()) {
            return None;
        }
        // SAFETY: who shares `self` reaches the data only here, inside the
        // one mutex, and with its guard borrowed exclusively.
        Some(unsafe { &mut *self.data.get() })
    }
}
