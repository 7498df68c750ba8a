//! Shared ownership.

use super::{count::Count, sys, Sleep};
use core::{ops::Deref, ptr::NonNull};

/// A reference-counted value in kernel memory, as `alloc::sync::Arc`, but
/// made where allocation can fail.
pub struct Arc<T> {
    inner: NonNull<Inner<T>>,
}

#[repr(C)]
struct Inner<T> {
    value: T,
    refs: Count,
}

// SAFETY: as for `alloc::sync::Arc`.
unsafe impl<T: Send + Sync> Send for Arc<T> {}
// SAFETY: as for `alloc::sync::Arc`.
unsafe impl<T: Send + Sync> Sync for Arc<T> {}

impl<T> Arc<T> {
    /// Moves `value` to kernel memory. `None` if memory is short.
    pub fn new(value: T, sleep: Sleep) -> Option<Arc<T>> {
        // SAFETY: `Inner` holds the counter, so its size is not 0.
        let raw = unsafe { sys::pk_alloc(size_of::<Inner<T>>(), sleep.allowed()) };
        let inner = NonNull::new(raw)?.cast::<Inner<T>>();
        let refs = Count::one();
        // SAFETY: fresh memory of the right size, aligned for any type.
        unsafe { inner.write(Inner { value, refs }) };
        Some(Arc { inner })
    }

    /// The address of the value, which stays the same while it lives.
    pub fn as_ptr(this: &Arc<T>) -> *const T {
        this.inner.as_ptr().cast()
    }

    /// Gives a reference up to C code.
    pub fn into_raw(this: Arc<T>) -> *const T {
        let raw = Arc::as_ptr(&this);
        core::mem::forget(this);
        raw
    }

    /// Takes a reference back from C code.
    ///
    /// # Safety
    /// `raw` came from [`into_raw`](Self::into_raw) and is used only once.
    pub unsafe fn from_raw(raw: *const T) -> Arc<T> {
        // SAFETY: `into_raw` never returns NULL.
        let inner = unsafe { NonNull::new_unchecked(raw.cast_mut()) }.cast();
        Arc { inner }
    }

    /// Makes another reference from an address that C code keeps.
    ///
    /// # Safety
    /// `raw` came from [`as_ptr`](Self::as_ptr) or `into_raw`, and a reference
    /// is alive for the length of this call.
    pub unsafe fn retain(raw: *const T) -> Arc<T> {
        // SAFETY: the caller says that the value is alive.
        let borrowed = core::mem::ManuallyDrop::new(unsafe { Arc::from_raw(raw) });
        Arc::clone(&borrowed)
    }
}

impl<T> Clone for Arc<T> {
    fn clone(&self) -> Self {
        // SAFETY: alive, since `self` counts.
        let inner = unsafe { self.inner.as_ref() };
        inner.refs.more();
        Arc { inner: self.inner }
    }
}

impl<T> Deref for Arc<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: alive, since `self` counts.
        let inner = unsafe { self.inner.as_ref() };
        &inner.value
    }
}

impl<T> Drop for Arc<T> {
    fn drop(&mut self) {
        // SAFETY: alive, since `self` counts until the next line.
        let inner = unsafe { self.inner.as_ref() };
        if !inner.refs.less() {
            return;
        }
        // SAFETY: this was the last reference.
        unsafe { self.inner.drop_in_place() };
        // SAFETY: allocated with this size, and the value is gone.
        unsafe { sys::pk_free(self.inner.as_ptr().cast(), size_of::<Inner<T>>()) };
    }
}
