//! Servers of the 32-bit time_t ABI.

use super::{sys, KBytes};
use core::ptr::{self, NonNull};

/// The form of `request` for such a server, if it differs (C:
/// `puffs_compat_outgoing`). May sleep.
pub fn compat_outgoing(request: &KBytes) -> Option<KBytes> {
    let mut other = ptr::null_mut();
    let mut longer = 0;
    // SAFETY: a whole request, which is only read, and places for the results.
    let differs =
        unsafe { sys::pk_compat_outgoing(request.as_ptr().cast(), &mut other, &mut longer) };
    let other = NonNull::new(other).filter(|_| differs)?;
    let len = request.len().checked_add_signed(longer)?;
    // SAFETY: a new buffer of this length, which is ours.
    Some(unsafe { KBytes::from_raw(other.cast(), len) })
}

/// Translates `reply` into `request`, its native form (C:
/// `puffs_compat_incoming`).
///
/// The reply was judged: it is an answer to that request and as long as its
/// form of it needs.
pub fn compat_incoming(reply: &mut KBytes, request: &mut KBytes) {
    // SAFETY: two whole messages of the same operation.
    unsafe { sys::pk_compat_incoming(reply.as_ptr().cast(), request.as_ptr().cast()) };
}
