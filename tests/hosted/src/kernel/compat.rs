//! Servers of the 32-bit time_t ABI: this kernel has none.

use std::ffi::c_void;

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_compat_outgoing(
    _req: *mut c_void,
    _other: *mut *mut c_void,
    _longer: *mut isize,
) -> bool {
    false
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_compat_incoming(_reply: *mut c_void, _req: *mut c_void) {}
