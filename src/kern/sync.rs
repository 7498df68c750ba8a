//! Locks and condition variables.

use super::{sys, Errno, Result, Sleep};
use core::{
    cell::UnsafeCell,
    ffi::CStr,
    marker::PhantomData,
    ops::{Deref, DerefMut},
    ptr::NonNull,
};

/// An adaptive kernel mutex (`mutex(9)`) around the data that it guards.
///
/// It is not recursive: entering it twice panics the kernel.
pub struct Mutex<T> {
    raw: NonNull<sys::pk_mutex>,
    data: UnsafeCell<T>,
}

// SAFETY: the data is reached by one thread at a time.
unsafe impl<T: Send> Send for Mutex<T> {}
// SAFETY: the data is reached by one thread at a time.
unsafe impl<T: Send> Sync for Mutex<T> {}

impl<T> Mutex<T> {
    /// Makes a mutex. May sleep.
    pub fn new(data: T) -> Mutex<T> {
        // SAFETY: no argument; it sleeps until there is memory.
        let raw = unsafe { sys::pk_mutex_create() };
        let Some(raw) = NonNull::new(raw) else {
            super::panic(format_args!("no mutex from a call that may sleep"));
        };
        Mutex {
            raw,
            data: UnsafeCell::new(data),
        }
    }

    /// Enters the mutex; it is left when the guard is dropped.
    pub fn lock(&self) -> Guard<'_, T> {
        // SAFETY: a live mutex.
        unsafe { sys::pk_mutex_enter(self.raw.as_ptr()) };
        Guard {
            mutex: self,
            not_send: PhantomData,
        }
    }

    /// Enters the mutex, if nobody is inside.
    pub fn try_lock(&self) -> Option<Guard<'_, T>> {
        // SAFETY: a live mutex.
        let entered = unsafe { sys::pk_mutex_tryenter(self.raw.as_ptr()) };
        entered.then(|| Guard {
            mutex: self,
            not_send: PhantomData,
        })
    }

    /// What tells this mutex from others.
    pub(super) fn address(&self) -> *const () {
        self.raw.as_ptr().cast_const().cast()
    }
}

impl<T> Drop for Mutex<T> {
    fn drop(&mut self) {
        // SAFETY: ours, and nobody is in it: `self` is not borrowed.
        unsafe { sys::pk_mutex_destroy(self.raw.as_ptr()) };
    }
}

/// Proof that the caller is inside a [`Mutex`].
pub struct Guard<'a, T> {
    mutex: &'a Mutex<T>,
    /// A mutex is left by the thread that entered it.
    not_send: PhantomData<*mut ()>,
}

impl<T> Guard<'_, T> {
    pub(super) fn address(&self) -> *const () {
        self.mutex.address()
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the guard is the proof that we are inside.
        unsafe { &*self.mutex.data.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: inside, and the guard is borrowed exclusively.
        unsafe { &mut *self.mutex.data.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: this thread entered it.
        unsafe { sys::pk_mutex_exit(self.mutex.raw.as_ptr()) };
    }
}

/// Enters a mutex of a C structure that guards C data.
pub(super) struct RawGuard(NonNull<sys::pk_mutex>);

impl RawGuard {
    /// # Safety
    /// `raw` is a live mutex until the guard is dropped.
    pub(super) unsafe fn enter(raw: NonNull<sys::pk_mutex>) -> RawGuard {
        // SAFETY: the caller says that it is live.
        unsafe { sys::pk_mutex_enter(raw.as_ptr()) };
        RawGuard(raw)
    }
}

impl Drop for RawGuard {
    fn drop(&mut self) {
        // SAFETY: this thread entered it.
        unsafe { sys::pk_mutex_exit(self.0.as_ptr()) };
    }
}

/// A condition variable (`condvar(9)`).
///
/// Every wait is to stand in a loop that checks its predicate.
pub struct CondVar {
    raw: NonNull<sys::pk_cv>,
    owned: bool,
}

// SAFETY: the kernel's condition variables are made to be shared.
unsafe impl Send for CondVar {}
// SAFETY: the kernel's condition variables are made to be shared.
unsafe impl Sync for CondVar {}

impl CondVar {
    /// Makes a condition variable; `name` is what `ps(1)` shows of a waiter.
    /// May sleep.
    pub fn new(name: &'static CStr) -> CondVar {
        // SAFETY: the size is not 0.
        let raw = unsafe { sys::pk_alloc(size_of::<sys::pk_cv>(), Sleep::Yes.allowed()) };
        let Some(raw) = NonNull::new(raw.cast()) else {
            super::panic(format_args!("no memory from a call that may sleep"));
        };
        // SAFETY: fresh storage of the right size; the name is static.
        unsafe { sys::pk_cv_init(raw.as_ptr(), name.as_ptr()) };
        CondVar { raw, owned: true }
    }

    /// Uses a condition variable that lives elsewhere.
    ///
    /// # Safety
    /// `raw` is initialised and outlives every use of this handle.
    pub(super) unsafe fn adopt(raw: NonNull<sys::pk_cv>) -> CondVar {
        CondVar { raw, owned: false }
    }

    /// Waits, without heed to signals.
    pub fn wait<T>(&self, guard: &mut Guard<'_, T>) {
        // SAFETY: the guard proves that the mutex is held; nothing borrows its
        // data, for the guard is borrowed exclusively.
        unsafe { sys::pk_cv_wait(self.raw.as_ptr(), guard.mutex.raw.as_ptr()) };
    }

    /// Waits until woken or until a signal comes.
    ///
    /// # Errors
    /// EINTR or ERESTART for a signal.
    pub fn wait_sig<T>(&self, guard: &mut Guard<'_, T>) -> Result<()> {
        // SAFETY: as in `wait`.
        Errno::check(unsafe { sys::pk_cv_wait_sig(self.raw.as_ptr(), guard.mutex.raw.as_ptr()) })
    }

    /// Waits for at most `ticks` of the clock, or without limit if it is 0.
    pub fn wait_ticks<T>(&self, guard: &mut Guard<'_, T>, ticks: i32) {
        // SAFETY: as in `wait`. That the time is over is for the caller's
        // predicate to find.
        let _ = unsafe { sys::pk_cv_timedwait(self.raw.as_ptr(), guard.mutex.raw.as_ptr(), ticks) };
    }

    /// Wakes one waiter. The mutex need not be held: who waits was queued before
    /// it gave the mutex up, so that a waker who left it sees that.
    pub fn signal(&self) {
        // SAFETY: a live condition variable.
        unsafe { sys::pk_cv_signal(self.raw.as_ptr()) };
    }

    /// Wakes all waiters.
    pub fn broadcast(&self) {
        // SAFETY: a live condition variable.
        unsafe { sys::pk_cv_broadcast(self.raw.as_ptr()) };
    }
}

impl Drop for CondVar {
    fn drop(&mut self) {
        if self.owned {
            // SAFETY: ours, and nobody waits: `self` is not borrowed.
            unsafe { sys::pk_cv_destroy(self.raw.as_ptr()) };
            // SAFETY: allocated in `new` with this size.
            unsafe { sys::pk_free(self.raw.as_ptr().cast(), size_of::<sys::pk_cv>()) };
        }
    }
}
