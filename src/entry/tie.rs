//! The tie between a mount's C part, its putter instance and its Rust part.

use crate::{
    kern::{Arc, MountPtr, PmpRef},
    mount::Mount,
};
use core::{ffi::c_void, mem::ManuallyDrop, ops::Deref, ptr};

/// A mount that the C part keeps, borrowed for as long as the C part lives.
pub(crate) struct Tied(ManuallyDrop<Arc<Mount>>);

impl Deref for Tied {
    type Target = Mount;

    fn deref(&self) -> &Mount {
        &self.0
    }
}

impl Mount {
    /// Gives the C part a reference to the Rust part.
    pub(crate) fn tie(mount: &Arc<Mount>) {
        mount.pmp.set_rust(Arc::into_raw(mount.clone()).cast());
    }

    /// Takes the C part's reference away.
    pub(crate) fn untie(pmp: PmpRef) {
        let raw = pmp.rust().cast::<Mount>();
        pmp.set_rust(ptr::null());
        if !raw.is_null() {
            // SAFETY: stored by `tie`, and taken once.
            drop(unsafe { Arc::from_raw(raw) });
        }
    }

    /// The Rust part of a C part.
    pub(crate) fn of_pmp(pmp: PmpRef) -> Option<Tied> {
        let raw = pmp.rust().cast::<Mount>();
        // SAFETY: stored by `tie`, and the C part keeps its reference for as
        // long as it lives, which is as long as `pmp` may be used.
        (!raw.is_null()).then(|| Tied(ManuallyDrop::new(unsafe { Arc::from_raw(raw) })))
    }

    /// The Rust part of a mounted puffs; `None` before it is mounted and
    /// after it is taken down.
    ///
    /// The result keeps it: statvfs(2) and what takes file handles keep nobody
    /// from unmounting by force while they wait for memory. The caller holds
    /// the kernel lock, or keeps the mount by other means.
    pub(crate) fn of(mp: MountPtr) -> Option<Arc<Mount>> {
        let tied = mp.pmp().and_then(Mount::of_pmp)?;
        Some(Arc::clone(&tied.0))
    }

    /// Ties the descriptor that process `pid` opened to the mount. False if
    /// there is none.
    pub(crate) fn attach(mount: &Arc<Mount>, pid: i32, fd: i32) -> bool {
        // SAFETY: `transport` takes this address; the C part's reference
        // keeps it valid until after the instance is detached.
        unsafe {
            mount
                .msgif
                .putter
                .attach(pid, fd, Arc::as_ptr(mount).cast())
        }
    }
}

/// The mount that a call of the device is for: `None` if the instance was
/// detached, or never attached, when the device looked.
///
/// # Safety
/// `transport` is what the device keeps for an instance of ours, and the
/// caller is the device and holds the kernel lock.
pub(super) unsafe fn transport(transport: *mut c_void) -> Option<Arc<Mount>> {
    // The device marks instances without a mount by the two highest
    // addresses, and looks only before it sleeps.
    let none = [usize::MAX, usize::MAX - 1, 0];
    if none.contains(&(transport as usize)) {
        return None;
    }
    // The device read the address, inside the kernel lock and without a sleep
    // since, from an instance that was attached; who detaches holds the kernel
    // lock too, and gives its reference up after that.
    // SAFETY: an address that `attach` gave to the device, and a reference is
    // alive, as just said.
    Some(unsafe { Arc::retain(transport.cast_const().cast()) })
}
