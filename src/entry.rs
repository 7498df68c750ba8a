//! The C edge: what the kernel, the putter device and C code of puffs call.
//!
//! Every function here has the name and the prototype that `puffs_sys.h`,
//! `struct vfsops` or `struct putter_ops` of NetBSD give it, and is a few
//! lines: it turns pointers into handles, calls, and turns the `Result` into
//! an errno. cbindgen writes `puffs_rs.h` from this file, and the shim compiles
//! it after NetBSD's own headers, so that the compiler compares the two.

mod tie;

use crate::{
    abi::{self, Cookie, ErrorOp, KArgs, Kcn, Kcred, Req},
    kern::{
        sys::{
            self, buf, componentname, fid, kauth_cred, mount, puffs_kcn, puffs_kcred, puffs_mount,
            puffs_msgpark, puffs_node, puffs_req, putter_hdr, statvfs, timespec, vnode,
        },
        Arc, Buf, Completion, ComponentName, Cred, Errno, Fid, MountPtr, NodeRef, PmpRef, Ref,
        Sleep, StatvfsOut, UserPath, Vnode, VnodeRef,
    },
    mount::Mount,
    msgif::{MsgIf, Park},
    node::{self, FileInfo},
    subr, vfsops,
};
use core::{
    ffi::{c_char, c_int, c_void, CStr},
    mem::ManuallyDrop,
    ptr, slice,
};
use tie::Tied;
use zerocopy::FromBytes;

/// The mount of a C part.
///
/// # Safety
/// `pmp` is a live mount of ours.
unsafe fn of_pmp(pmp: *mut puffs_mount) -> Option<Tied> {
    // SAFETY: the caller says so.
    unsafe { PmpRef::new(pmp) }.and_then(Mount::of_pmp)
}

/// The mount of a `struct mount`.
///
/// # Safety
/// `mp` is a live mount of puffs.
unsafe fn of_mp(mp: *mut mount) -> Option<Arc<Mount>> {
    // SAFETY: the caller says so.
    unsafe { MountPtr::new(mp) }.and_then(Mount::of)
}

/// Lends a park of C code's.
///
/// # Safety
/// `park` came from [`puffs_msgmem_alloc`] and was not released.
unsafe fn borrow(park: *mut puffs_msgpark) -> ManuallyDrop<Ref<Park>> {
    // SAFETY: the caller says so.
    unsafe { Ref::borrow_raw(park.cast()) }
}

/// Runs `f` on a result and stores it, or returns the errno.
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

// Messages: what puffs_vnops.c calls.

/// See [`Park::alloc`].
///
/// # Safety
/// `parkp` and `mem` are places for pointers.
#[no_mangle]
pub unsafe extern "C" fn puffs_msgmem_alloc(
    len: usize,
    parkp: *mut *mut puffs_msgpark,
    mem: *mut *mut c_void,
    cansleep: c_int,
) -> c_int {
    let sleep = if cansleep != 0 { Sleep::Yes } else { Sleep::No };
    let mut park = match Park::alloc(len, sleep) {
        Ok(park) => park,
        Err(error) => return error.get(),
    };
    let message = park
        .get_mut()
        .map_or(ptr::null_mut(), |park| park.message().as_ptr());
    // SAFETY: the caller says so.
    unsafe { mem.write(message.cast()) };
    // SAFETY: the caller says so.
    unsafe { parkp.write(park.into_raw().cast()) };
    0
}

/// Gives a park back; NULL is none.
///
/// # Safety
/// `park` came from [`puffs_msgmem_alloc`] and was not released.
#[no_mangle]
pub unsafe extern "C" fn puffs_msgmem_release(park: *mut puffs_msgpark) {
    if !park.is_null() {
        // SAFETY: the caller gives its reference up.
        drop(unsafe { Ref::<Park>::from_raw(park.cast()) });
    }
}

/// See [`Park::set_faf`].
///
/// # Safety
/// `park` is the caller's and not enqueued.
#[no_mangle]
pub unsafe extern "C" fn puffs_msg_setfaf(park: *mut puffs_msgpark) {
    // SAFETY: the caller says so.
    if let Some(park) = unsafe { borrow(park) }.get_mut() {
        park.set_faf();
    }
}

/// See [`Park::set_delta`].
///
/// # Safety
/// `park` is the caller's and not enqueued.
#[no_mangle]
pub unsafe extern "C" fn puffs_msg_setdelta(park: *mut puffs_msgpark, delta: usize) {
    // SAFETY: the caller says so.
    if let Some(park) = unsafe { borrow(park) }.get_mut() {
        park.set_delta(delta);
    }
}

/// See [`Park::set_info`].
///
/// # Safety
/// `park` is the caller's and not enqueued.
#[no_mangle]
pub unsafe extern "C" fn puffs_msg_setinfo(
    park: *mut puffs_msgpark,
    opclass: c_int,
    optype: c_int,
    cookie: *mut c_void,
) {
    // SAFETY: the caller says so.
    if let Some(park) = unsafe { borrow(park) }.get_mut() {
        park.set_info(opclass as u16, optype as u16, Cookie(cookie as usize));
    }
}

/// See [`Park::set_call`].
///
/// # Safety
/// `park` is the caller's and not enqueued; `done` takes `arg`. If
/// [`puffs_msg_setinfo`] said that this is a poll, its events are in place, and
/// `arg` is the node, with a reference that `done` releases.
#[no_mangle]
pub unsafe extern "C" fn puffs_msg_setcall(
    park: *mut puffs_msgpark,
    done: Option<unsafe extern "C" fn(*mut puffs_mount, *mut puffs_req, *mut c_void)>,
    arg: *mut c_void,
) {
    // SAFETY: the caller says so.
    let mut park = unsafe { borrow(park) };
    if let Some((park, done)) = park.get_mut().zip(done) {
        // SAFETY: the caller says so, and a completion is run once.
        let completion = unsafe { Completion::new(done, arg) };
        let polled = if park.is_poll() {
            // SAFETY: the caller says so.
            unsafe { NodeRef::new(arg.cast()) }
        } else {
            None
        };
        park.set_call(completion, polled);
    }
}

/// See [`MsgIf::enqueue`].
///
/// # Safety
/// `pmp` is a live mount, `park` the caller's and not enqueued.
#[no_mangle]
pub unsafe extern "C" fn puffs_msg_enqueue(pmp: *mut puffs_mount, park: *mut puffs_msgpark) {
    // SAFETY: the caller says so.
    let mut park = unsafe { borrow(park) };
    // SAFETY: the caller says so.
    if let Some(mount) = unsafe { of_pmp(pmp) } {
        mount.send(&mut park);
    }
}

/// See [`MsgIf::wait`].
///
/// # Safety
/// `pmp` is a live mount, `park` the caller's and enqueued.
#[no_mangle]
pub unsafe extern "C" fn puffs_msg_wait(pmp: *mut puffs_mount, park: *mut puffs_msgpark) -> c_int {
    // SAFETY: the caller says so.
    unsafe { puffs_msg_wait2(pmp, park, ptr::null_mut(), ptr::null_mut()) }
}

/// See [`Mount::receive`].
///
/// # Safety
/// `pmp` is a live mount, `park` the caller's and enqueued; the nodes are NULL
/// or referenced.
#[no_mangle]
pub unsafe extern "C" fn puffs_msg_wait2(
    pmp: *mut puffs_mount,
    park: *mut puffs_msgpark,
    pn1: *mut puffs_node,
    pn2: *mut puffs_node,
) -> c_int {
    // SAFETY: the caller says so.
    let mut park = unsafe { borrow(park) };
    // SAFETY: the caller says so.
    let nodes = [unsafe { NodeRef::new(pn1) }, unsafe { NodeRef::new(pn2) }];
    // SAFETY: the caller says so.
    match unsafe { of_pmp(pmp) } {
        Some(mount) => Errno::code(mount.receive(&mut park, nodes)),
        None => Errno::ENXIO.get(),
    }
}

/// See [`Mount::senderr`].
///
/// # Safety
/// `pmp` is a live mount, `text` a C string.
#[no_mangle]
pub unsafe extern "C" fn puffs_senderr(
    pmp: *mut puffs_mount,
    kind: c_int,
    error: c_int,
    text: *const c_char,
    cookie: *mut c_void,
) {
    // SAFETY: the caller says so.
    let text = unsafe { CStr::from_ptr(text) }.to_str().unwrap_or_default();
    let kind = ErrorOp::try_from(kind as u16).unwrap_or(ErrorOp::Error);
    // SAFETY: the caller says so.
    if let Some(mount) = unsafe { of_pmp(pmp) } {
        mount.senderr(kind, error, text, Cookie(cookie as usize));
    }
}

// Completions, which puffs_vnops.c hands to puffs_msg_setcall.

/// The reply that a completion gets: its header, and what it says that it is
/// long.
///
/// # Safety
/// `reply` comes from [`Completion::run`].
unsafe fn reply_bytes<'a>(reply: *mut puffs_req) -> &'a [u8] {
    // SAFETY: it starts with a header.
    let header: &[u8] = unsafe { slice::from_raw_parts(reply.cast(), size_of::<Req>()) };
    let len = Req::read_from_bytes(header).map_or(0, |req| req.pth.framelen as usize);
    // SAFETY: the device delivered as many bytes as its header says, and a
    // header that the kernel makes up says its own length.
    unsafe { slice::from_raw_parts(reply.cast(), len) }
}

/// See [`subr::bio_read_done`].
///
/// # Safety
/// Called by a [`Completion`] whose argument is a buffer to complete.
#[no_mangle]
pub unsafe extern "C" fn puffs_parkdone_asyncbioread(
    _pmp: *mut puffs_mount,
    reply: *mut puffs_req,
    arg: *mut c_void,
) {
    // SAFETY: the caller says so.
    let reply = unsafe { reply_bytes(reply) };
    // SAFETY: the caller says so.
    if let Some(buf) = unsafe { Buf::new(arg.cast::<buf>()) } {
        subr::bio_read_done(reply, buf);
    }
}

/// See [`subr::bio_write_done`].
///
/// # Safety
/// Called by a [`Completion`] whose argument is a buffer to complete.
#[no_mangle]
pub unsafe extern "C" fn puffs_parkdone_asyncbiowrite(
    _pmp: *mut puffs_mount,
    reply: *mut puffs_req,
    arg: *mut c_void,
) {
    // SAFETY: the caller says so.
    let reply = unsafe { reply_bytes(reply) };
    // SAFETY: the caller says so.
    if let Some(buf) = unsafe { Buf::new(arg.cast::<buf>()) } {
        subr::bio_write_done(reply, buf);
    }
}

/// See [`subr::poll_done`].
///
/// # Safety
/// Called by a [`Completion`] whose argument is a node with a reference.
#[no_mangle]
pub unsafe extern "C" fn puffs_parkdone_poll(
    _pmp: *mut puffs_mount,
    reply: *mut puffs_req,
    arg: *mut c_void,
) {
    // SAFETY: the caller says so.
    let reply = unsafe { reply_bytes(reply) };
    // SAFETY: the caller says so.
    if let Some(node) = unsafe { NodeRef::new(arg.cast::<puffs_node>()) } {
        subr::poll_done(reply, node);
    }
}

// Names, credentials and nodes.

/// See [`subr::makecn`].
///
/// # Safety
/// All pointers are live.
#[no_mangle]
pub unsafe extern "C" fn puffs_makecn(
    kcn: *mut puffs_kcn,
    kcred: *mut puffs_kcred,
    name: *const componentname,
    full: c_int,
) {
    // SAFETY: the caller says so.
    let name = unsafe { ComponentName::new(name) };
    // SAFETY: the caller says so.
    let kcn = unsafe { kcn.cast::<Kcn>().as_mut() };
    // SAFETY: the caller says so; it is another part of the message.
    let kcred = unsafe { kcred.cast::<Kcred>().as_mut() };
    if let Some(((kcn, kcred), name)) = kcn.zip(kcred).zip(name) {
        subr::makecn(kcn, kcred, &name, full != 0);
    }
}

/// See [`subr::credcvt`].
///
/// # Safety
/// `kcred` is live, `cred` a credential.
#[no_mangle]
pub unsafe extern "C" fn puffs_credcvt(kcred: *mut puffs_kcred, cred: *mut kauth_cred) {
    // SAFETY: the caller says so.
    let cred = unsafe { Cred::new(cred) };
    // SAFETY: the caller says so.
    if let Some(kcred) = unsafe { kcred.cast::<Kcred>().as_mut() } {
        subr::credcvt(kcred, &cred);
    }
}

/// See [`node::getvnode`].
///
/// # Safety
/// `mp` is a live mount, `vpp` a place for a vnode.
#[no_mangle]
pub unsafe extern "C" fn puffs_getvnode(
    mp: *mut mount,
    cookie: *mut c_void,
    vtype: u32,
    size: i64,
    rdev: u64,
    vpp: *mut *mut vnode,
) -> c_int {
    let cookie = Cookie(cookie as usize);
    let file = FileInfo {
        cookie,
        vtype,
        size,
        rdev,
    };
    // SAFETY: the caller says so.
    let Some(mount) = (unsafe { of_mp(mp) }) else {
        return Errno::ENXIO.get();
    };
    // SAFETY: the caller says so.
    unsafe { store(vpp, node::getvnode(&mount, file)) }
}

/// See [`node::newnode`].
///
/// # Safety
/// All pointers are live; `vpp` is a place for a vnode.
#[no_mangle]
pub unsafe extern "C" fn puffs_newnode(
    mp: *mut mount,
    dvp: *mut vnode,
    vpp: *mut *mut vnode,
    cookie: *mut c_void,
    name: *mut componentname,
    vtype: u32,
    rdev: u64,
) -> c_int {
    let file = FileInfo {
        cookie: Cookie(cookie as usize),
        vtype,
        size: 0,
        rdev,
    };
    // SAFETY: the caller says so.
    let mount = unsafe { of_mp(mp) };
    // SAFETY: the caller says so.
    let dir = unsafe { Vnode::new(dvp) };
    // SAFETY: the caller says so.
    let name = unsafe { ComponentName::new(name) };
    let Some(((mount, dir), name)) = mount.zip(dir).zip(name) else {
        return Errno::ENXIO.get();
    };
    // SAFETY: the caller says so.
    unsafe { store(vpp, node::newnode(&mount, dir, &name, file)) }
}

/// See [`node::putvnode`].
///
/// # Safety
/// `vp` is being reclaimed.
#[no_mangle]
pub unsafe extern "C" fn puffs_putvnode(vp: *mut vnode) {
    // SAFETY: the caller says so.
    if let Some(vnode) = unsafe { Vnode::new(vp) } {
        node::putvnode(vnode);
    }
}

/// See [`node::find`]. -1 if there is none.
///
/// # Safety
/// `pmp` is a live mount, `vpp` a place for a vnode.
#[no_mangle]
pub unsafe extern "C" fn puffs_cookie2vnode(
    pmp: *mut puffs_mount,
    cookie: *mut c_void,
    vpp: *mut *mut vnode,
) -> c_int {
    // SAFETY: the caller says so.
    let Some(mount) = (unsafe { of_pmp(pmp) }) else {
        return Errno::ENXIO.get();
    };
    match node::find(&mount, Cookie(cookie as usize)).transpose() {
        None => sys::PK_NOSUCHCOOKIE,
        // SAFETY: the caller says so.
        Some(found) => unsafe { store(vpp, found) },
    }
}

/// See [`NodeRef::reference_locked`].
///
/// # Safety
/// `pn` is referenced and locked.
#[no_mangle]
pub unsafe extern "C" fn puffs_referencenode(pn: *mut puffs_node) {
    // SAFETY: the caller says so.
    if let Some(node) = unsafe { NodeRef::new(pn) } {
        node.reference_locked();
    }
}

/// See [`NodeRef::release`].
///
/// # Safety
/// `pn` has a reference that the caller gives up.
#[no_mangle]
pub unsafe extern "C" fn puffs_releasenode(pn: *mut puffs_node) {
    // SAFETY: the caller says so.
    if let Some(node) = unsafe { NodeRef::new(pn) } {
        node.release();
    }
}

/// See [`node::updatenode`].
///
/// # Safety
/// `pn` is referenced.
#[no_mangle]
pub unsafe extern "C" fn puffs_updatenode(pn: *mut puffs_node, what: c_int, size: i64) {
    // SAFETY: the caller says so.
    if let Some(node) = unsafe { NodeRef::new(pn) } {
        node::updatenode(node, what as u32, size);
    }
}

/// Where a file ends that is to be `size` bytes long (`gop_size`): there.
///
/// # Safety
/// `end` is a place for the answer.
#[no_mangle]
pub unsafe extern "C" fn puffs_gop_size(_vp: *mut vnode, size: i64, end: *mut i64, _flags: c_int) {
    // SAFETY: the caller says so.
    unsafe { end.write(size) };
}

/// Pages of a file were used (`gop_markupdate`).
///
/// # Safety
/// `vp` is referenced.
#[no_mangle]
pub unsafe extern "C" fn puffs_gop_markupdate(vp: *mut vnode, flags: c_int) {
    let mut what = 0;
    if flags & sys::PK_GOP_UPDATE_ACCESSED as c_int != 0 {
        what |= node::update::ATIME;
    }
    if flags & sys::PK_GOP_UPDATE_MODIFIED as c_int != 0 {
        what |= node::update::MTIME;
    }
    // SAFETY: the caller says so.
    if let Some(node) = unsafe { Vnode::new(vp) }.and_then(Vnode::node) {
        node::updatenode(node, what, 0);
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
    // SAFETY: the device has as many bytes, and is done with them.
    mount.dispatch(unsafe { slice::from_raw_parts_mut(frame.cast(), len) });
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
        let Some(pmp) = mp.pmp() else {
            return Errno::ENXIO.get();
        };
        // SAFETY: the C part keeps a whole copy of the arguments.
        unsafe { ptr::copy_nonoverlapping(pmp.args(), args, 1) };
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
    match vnode.mount().and_then(Mount::of).zip(vnode.node()) {
        Some((mount, node)) => Errno::code(vfsops::vptofh(&mount, node, fid, size)),
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
    let kept = vfsops::loadvnode(&mount, vnode, cookie);
    // SAFETY: the caller says so.
    unsafe { new_key.write(kept) };
    0
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
