//! The C edge: what the kernel and the putter device call.
//!
//! Every function here has the prototype that `struct vfsops`,
//! `struct putter_ops` or the vnode operations of the shim give it, and is a few
//! lines: it turns pointers into handles, calls, and turns the `Result` into
//! an errno. cbindgen writes `puffs_rs.h` from here, and the shim compiles it
//! after NetBSD's own headers, so that the compiler compares the two.

mod tie;
mod vnops;

use crate::{
    abi::{self, Cookie, KArgs},
    kern::{
        sys::{self, fid, kauth_cred, mount, putter_hdr, statvfs, timespec, vnode},
        Arc, Cred, Errno, Fid, MountPtr, StatvfsOut, UserPath, Vnode, VnodeRef,
    },
    mount::Mount,
    msgif::MsgIf,
    node, vfsops,
};
use core::{
    ffi::{c_char, c_int, c_void, CStr},
    slice,
};
pub use vnops::*;
use zerocopy::IntoBytes;

/// The mount of a `struct mount`.
///
/// # Safety
/// `mp` is a live mount of puffs.
unsafe fn of_mp(mp: *mut mount) -> Option<Arc<Mount>> {
    // SAFETY: the caller says so.
    unsafe { MountPtr::new(mp) }.and_then(Mount::of)
}

/// Stores the vnode of a result, or returns the errno.
///
/// # Safety
/// `vpp` is a place for a vnode.
unsafe fn store(vpp: *mut *mut vnode, result: crate::kern::Result<VnodeRef>) -> c_int {
    match result {
        Ok(found) => {
            // SAFETY: the caller says so.
            unsafe { vpp.write(found.into_raw()) };
            0
        }
        Err(error) => error.get(),
    }
}

// The device: struct putter_ops.

/// See [`MsgIf::getout`].
///
/// # Safety
/// Called by the device.
#[no_mangle]
pub unsafe extern "C" fn puffs_msgif_getout(
    transport: *mut c_void,
    _maxsize: usize,
    nonblock: c_int,
    data: *mut *mut u8,
    dlen: *mut usize,
    parkp: *mut *mut c_void,
) -> c_int {
    // SAFETY: called by the device.
    let Some(mount) = (unsafe { tie::transport(transport) }) else {
        return Errno::ENXIO.get();
    };
    match mount.msgif.getout(nonblock != 0) {
        Ok(out) => {
            // SAFETY: places for the results.
            unsafe { data.write(out.data) };
            // SAFETY: places for the results.
            unsafe { dlen.write(out.len) };
            // SAFETY: places for the results.
            unsafe { parkp.write(out.name.cast_mut().cast()) };
            0
        }
        Err(error) => error.get(),
    }
}

/// See [`MsgIf::releaseout`].
///
/// # Safety
/// Called by the device.
#[no_mangle]
pub unsafe extern "C" fn puffs_msgif_releaseout(
    transport: *mut c_void,
    park: *mut c_void,
    status: c_int,
) {
    // SAFETY: called by the device.
    let mount = unsafe { tie::transport(transport) };
    MsgIf::releaseout(
        mount.as_deref(),
        park.cast_const().cast(),
        Errno::check(status),
    );
}

/// See [`MsgIf::waitcount`].
///
/// # Safety
/// Called by the device.
#[no_mangle]
pub unsafe extern "C" fn puffs_msgif_waitcount(transport: *mut c_void) -> usize {
    // SAFETY: called by the device.
    unsafe { tie::transport(transport) }.map_or(0, |mount| mount.msgif.waitcount())
}

/// See [`Mount::dispatch`].
///
/// # Safety
/// Called by the device with a frame that is as long as its header says.
#[no_mangle]
pub unsafe extern "C" fn puffs_msgif_dispatch(
    transport: *mut c_void,
    frame: *mut putter_hdr,
) -> c_int {
    // SAFETY: called by the device.
    let Some(mount) = (unsafe { tie::transport(transport) }) else {
        return 0;
    };
    // SAFETY: the device has read the header.
    let framelen = unsafe { frame.cast::<abi::PutterHdr>().read() }.framelen;
    let Ok(len) = usize::try_from(framelen) else {
        return 0;
    };
    // SAFETY: the device has as many bytes, and nobody changes them meanwhile.
    mount.dispatch(unsafe { slice::from_raw_parts(frame.cast(), len) });
    0
}

/// See [`MsgIf::close`].
///
/// # Safety
/// Called by the device.
#[no_mangle]
pub unsafe extern "C" fn puffs_msgif_close(transport: *mut c_void) -> c_int {
    // SAFETY: called by the device.
    match unsafe { tie::transport(transport) } {
        Some(mount) => Errno::code(mount.msgif.close(&mount)),
        // Detached since the device looked: it is to look again.
        None => Errno::ERESTART.get(),
    }
}

// The file system: struct vfsops.

/// See [`vfsops::mount`].
///
/// # Safety
/// Called by the kernel, with `len` bytes of arguments in kernel memory.
#[no_mangle]
pub unsafe extern "C" fn puffs_vfsop_mount(
    mp: *mut mount,
    path: *const c_char,
    data: *mut c_void,
    len: *mut usize,
) -> c_int {
    // SAFETY: the caller says so.
    let Some(mp) = (unsafe { MountPtr::new(mp) }) else {
        return Errno::EINVAL.get();
    };
    // SAFETY: the caller says so.
    let room = unsafe { len.as_mut() };
    let Some(len) = room.filter(|len| !data.is_null() && **len >= size_of::<KArgs>()) else {
        return Errno::EINVAL.get();
    };
    // SAFETY: kernel memory with room for the arguments, aligned for any type.
    let args = unsafe { &mut *data.cast::<KArgs>() };
    if mp.wants_args() {
        let Some(mount) = Mount::of(mp) else {
            return Errno::ENXIO.get();
        };
        args.as_mut_bytes().copy_from_slice(mount.args());
        *len = size_of::<KArgs>();
        return 0;
    }
    if mp.is_update() {
        return Errno::EOPNOTSUPP.get();
    }
    Errno::code(vfsops::mount(mp, UserPath(path), args))
}

/// See [`vfsops::start`].
///
/// # Safety
/// Called by the kernel.
#[no_mangle]
pub unsafe extern "C" fn puffs_vfsop_start(mp: *mut mount, _flags: c_int) -> c_int {
    // SAFETY: the caller says so.
    if let Some(mount) = unsafe { of_mp(mp) } {
        vfsops::start(&mount);
    }
    0
}

/// See [`vfsops::unmount`].
///
/// # Safety
/// Called by the kernel.
#[no_mangle]
pub unsafe extern "C" fn puffs_vfsop_unmount(mp: *mut mount, flags: c_int) -> c_int {
    // SAFETY: the caller says so.
    match unsafe { MountPtr::new(mp) } {
        Some(mp) => Errno::code(vfsops::unmount(
            mp,
            flags,
            flags & sys::PK_MNT_FORCE as c_int != 0,
        )),
        None => Errno::EINVAL.get(),
    }
}

/// See [`vfsops::root`].
///
/// # Safety
/// Called by the kernel; `vpp` is a place for a vnode.
#[no_mangle]
pub unsafe extern "C" fn puffs_vfsop_root(mp: *mut mount, vpp: *mut *mut vnode) -> c_int {
    // SAFETY: the caller says so.
    let Some(mount) = (unsafe { of_mp(mp) }) else {
        return Errno::ENXIO.get();
    };
    // SAFETY: the caller says so.
    unsafe { store(vpp, vfsops::root(&mount)) }
}

/// See [`node::root`]: the root vnode, not locked.
///
/// # Safety
/// Called by the kernel; `vpp` is a place for a vnode.
#[no_mangle]
pub unsafe extern "C" fn puffs_rs_root_unlocked(mp: *mut mount, vpp: *mut *mut vnode) -> c_int {
    // SAFETY: the caller says so.
    let Some(mount) = (unsafe { of_mp(mp) }) else {
        return Errno::ENXIO.get();
    };
    // SAFETY: the caller says so.
    unsafe { store(vpp, node::root(&mount)) }
}

/// See [`vfsops::statvfs`].
///
/// # Safety
/// Called by the kernel; `sbp` is a `struct statvfs` of its own.
#[no_mangle]
pub unsafe extern "C" fn puffs_vfsop_statvfs(mp: *mut mount, sbp: *mut statvfs) -> c_int {
    // SAFETY: the caller says so.
    let mount = unsafe { of_mp(mp) };
    // SAFETY: the caller says so.
    let out = unsafe { StatvfsOut::new(sbp.cast()) };
    match mount.zip(out) {
        Some((mount, out)) => Errno::code(vfsops::statvfs(&mount, out)),
        None => Errno::ENXIO.get(),
    }
}

/// See [`vfsops::sync`].
///
/// # Safety
/// Called by the kernel.
#[no_mangle]
pub unsafe extern "C" fn puffs_vfsop_sync(
    mp: *mut mount,
    waitfor: c_int,
    cred: *mut kauth_cred,
) -> c_int {
    // SAFETY: the caller says so.
    let cred = unsafe { Cred::new(cred) };
    // SAFETY: the caller says so.
    match unsafe { of_mp(mp) } {
        Some(mount) => Errno::code(vfsops::sync(&mount, waitfor, &cred)),
        None => Errno::ENXIO.get(),
    }
}

/// See [`vfsops::fhtovp`].
///
/// # Safety
/// Called by the kernel with a handle that is as long as it says; `vpp` is a
/// place for a vnode.
#[no_mangle]
pub unsafe extern "C" fn puffs_vfsop_fhtovp(
    mp: *mut mount,
    fid: *mut fid,
    vpp: *mut *mut vnode,
) -> c_int {
    // SAFETY: the caller says so.
    let mount = unsafe { of_mp(mp) };
    // SAFETY: the caller says so.
    let fid = unsafe { Fid::existing(fid.cast()) };
    let Some((mount, fid)) = mount.zip(fid) else {
        return Errno::ENXIO.get();
    };
    // SAFETY: the caller says so.
    unsafe { store(vpp, vfsops::fhtovp(&mount, &fid)) }
}

/// See [`vfsops::vptofh`].
///
/// # Safety
/// Called by the kernel; `fid` is NULL or has the room that `size` says.
#[no_mangle]
pub unsafe extern "C" fn puffs_vfsop_vptofh(
    vp: *mut vnode,
    fid: *mut fid,
    size: *mut usize,
) -> c_int {
    // SAFETY: the caller says so.
    let Some(vnode) = (unsafe { Vnode::new(vp) }) else {
        return Errno::EINVAL.get();
    };
    // SAFETY: the caller says so.
    let Some(size) = (unsafe { size.as_mut() }) else {
        return Errno::EINVAL.get();
    };
    // SAFETY: the caller says so.
    let fid = unsafe { Fid::with_room(fid.cast(), *size) };
    match node::node_of(vnode) {
        Some(node) => Errno::code(vfsops::vptofh(&node, fid, size)),
        None => Errno::ENXIO.get(),
    }
}

/// See [`vfsops::loadvnode`].
///
/// # Safety
/// Called by the vnode cache with a new vnode and a key that is a cookie;
/// `new_key` is a place for where the node keeps it.
#[no_mangle]
pub unsafe extern "C" fn puffs_vfsop_loadvnode(
    mp: *mut mount,
    vp: *mut vnode,
    key: *const c_void,
    key_len: usize,
    new_key: *mut *const c_void,
) -> c_int {
    debug_assert_eq!(key_len, size_of::<Cookie>());
    // SAFETY: the caller says so.
    let mount = unsafe { of_mp(mp) };
    // SAFETY: the caller says so.
    let vnode = unsafe { Vnode::new(vp) };
    let Some((mount, vnode)) = mount.zip(vnode) else {
        return Errno::ENXIO.get();
    };
    // SAFETY: the key is a cookie.
    let cookie = unsafe { key.cast::<Cookie>().read_unaligned() };
    match vfsops::loadvnode(mount, vnode, cookie) {
        Ok(kept) => {
            // SAFETY: the caller says so.
            unsafe { new_key.write(kept) };
            0
        }
        Err(error) => error.get(),
    }
}

/// Snapshots: the protocol has none.
#[no_mangle]
pub extern "C" fn puffs_vfsop_snapshot(
    _mp: *mut mount,
    _vp: *mut vnode,
    _ts: *mut timespec,
) -> c_int {
    Errno::EOPNOTSUPP.get()
}

/// See [`vfsops::extattrctl`].
///
/// # Safety
/// Called by the kernel; `vp` is NULL or locked, `name` NULL or a C string.
#[no_mangle]
pub unsafe extern "C" fn puffs_vfsop_extattrctl(
    mp: *mut mount,
    cmd: c_int,
    vp: *mut vnode,
    namespace: c_int,
    name: *const c_char,
) -> c_int {
    // SAFETY: the caller says so.
    let vnode = unsafe { Vnode::new(vp) };
    // SAFETY: the caller says so.
    let name = (!name.is_null()).then(|| unsafe { CStr::from_ptr(name) }.to_bytes());
    // SAFETY: the caller says so.
    match unsafe { of_mp(mp) } {
        Some(mount) => Errno::code(vfsops::extattrctl(&mount, cmd, vnode, namespace, name)),
        None => Errno::ENXIO.get(),
    }
}

/// See [`vfsops::init`].
#[no_mangle]
pub extern "C" fn puffs_vfsop_init() {
    vfsops::init();
}

/// See [`vfsops::quiesce`].
#[no_mangle]
pub extern "C" fn puffs_rs_quiesce() -> c_int {
    Errno::code(vfsops::quiesce())
}

/// See [`vfsops::done`]. A rump kernel does not ask before.
#[no_mangle]
pub extern "C" fn puffs_vfsop_done() {
    vfsops::done();
}
