//! The vnode operations, which the shim takes the arguments of apart for.

use super::store;
use crate::{
    abi::{vn, Cookie, Vattr},
    kern::{
        sys::{buf, componentname, flock, kauth_cred, pk_vop, uio, vattr, vnode},
        Buf, ComponentName, Cred, Errno, Result, Uio, Vnode, VnodeRef, VopCall,
    },
    node::Touch,
    vnops::{
        attr, create, dir, extattr, io, life, lookup, open, pages, poll,
        remove::{self, Rename},
        sync, File,
    },
};
use core::ffi::{c_char, c_int, c_void, CStr};

/// The file of a vnode that an operation is called on, which is locked, or inside
/// the lock of its pages.
///
/// # Safety
/// `vp` is a vnode of ours that the caller keeps.
unsafe fn file(vp: *mut vnode) -> Result<File> {
    // SAFETY: the caller says so.
    let vnode = unsafe { Vnode::new(vp) }.ok_or(Errno::EINVAL)?;
    File::of(vnode)
}

/// The same of one that is not locked.
///
/// # Safety
/// `vp` is a vnode of ours that the caller keeps referenced.
unsafe fn file_unlocked(vp: *mut vnode) -> Result<File> {
    // SAFETY: the caller says so.
    let vnode = unsafe { Vnode::new(vp) }.ok_or(Errno::EINVAL)?;
    File::of_unlocked(vnode)
}

/// The component of a path.
///
/// # Safety
/// `cnp` is live until the operation returns.
unsafe fn name<'a>(cnp: *mut componentname) -> Result<ComponentName<'a>> {
    // SAFETY: the caller says so.
    unsafe { ComponentName::new(cnp) }.ok_or(Errno::EINVAL)
}

/// Where a caller's bytes are.
///
/// # Safety
/// `uio` is live until the operation returns.
unsafe fn bytes<'a>(uio: *mut uio) -> Result<Uio<'a>> {
    // SAFETY: the caller says so.
    unsafe { Uio::new(uio) }.ok_or(Errno::EINVAL)
}

/// Attributes, whose layout is the protocol's.
///
/// # Safety
/// `vap` is live until the operation returns.
unsafe fn attributes<'a>(vap: *mut vattr) -> Result<&'a mut Vattr> {
    // SAFETY: the caller says so; the messages of the protocol have the kernel's
    // own structure in them.
    unsafe { vap.cast::<Vattr>().as_mut() }.ok_or(Errno::EINVAL)
}

/// The bytes of a C string.
///
/// # Safety
/// `text` is one, and is there until the operation returns.
unsafe fn string<'a>(text: *const c_char) -> &'a [u8] {
    // SAFETY: the caller says so.
    unsafe { CStr::from_ptr(text) }.to_bytes()
}

/// Makes a file by one of the operations of [`create`].
///
/// # Safety
/// The arguments are those of the operation.
unsafe fn make(
    dvp: *mut vnode,
    vpp: *mut *mut vnode,
    cnp: *mut componentname,
    vap: *mut vattr,
    create: fn(&File, &ComponentName<'_>, &Vattr) -> Result<VnodeRef>,
) -> c_int {
    // SAFETY: the caller says so.
    let dir = unsafe { file(dvp) };
    // SAFETY: the caller says so.
    let name = unsafe { name(cnp) };
    // SAFETY: the caller says so.
    let va = unsafe { attributes(vap) };
    let made = dir.and_then(|dir| create(&dir, &name?, va?));
    // SAFETY: the caller says so.
    unsafe { store(vpp, made) }
}

/// Removes a name by one of the operations of [`remove`].
///
/// # Safety
/// The arguments are those of the operation.
unsafe fn unlink(
    dvp: *mut vnode,
    vp: *mut vnode,
    cnp: *mut componentname,
    remove: fn(&File, VnodeRef, &ComponentName<'_>) -> Result<()>,
) -> c_int {
    // SAFETY: the operation gives a reference up.
    let target = unsafe { VnodeRef::new(vp) };
    // SAFETY: the caller says so.
    let dir = unsafe { file(dvp) };
    // SAFETY: the caller says so.
    let name = unsafe { name(cnp) };
    match (target, dir, name) {
        (Some(target), Ok(dir), Ok(name)) => Errno::code(remove(&dir, target, &name)),
        (Some(target), ..) => {
            if vp != dvp {
                target.unlock();
            }
            Errno::ENXIO.get()
        }
        _ => Errno::EINVAL.get(),
    }
}

/// See [`lookup::lookup`].
///
/// # Safety
/// Called by the shim with the arguments of the operation.
#[no_mangle]
pub unsafe extern "C" fn puffs_rs_lookup(
    dvp: *mut vnode,
    vpp: *mut *mut vnode,
    cnp: *mut componentname,
) -> c_int {
    // SAFETY: the caller says so.
    unsafe { vpp.write(core::ptr::null_mut()) };
    // SAFETY: the caller says so.
    let dir = unsafe { file(dvp) };
    // SAFETY: the caller says so.
    let name = unsafe { name(cnp) };
    let found = dir.and_then(|dir| lookup::lookup(&dir, &mut name?));
    // SAFETY: the caller says so.
    unsafe { store(vpp, found) }
}

/// See [`create::create`].
///
/// # Safety
/// Called by the shim with the arguments of the operation.
#[no_mangle]
pub unsafe extern "C" fn puffs_rs_create(
    dvp: *mut vnode,
    vpp: *mut *mut vnode,
    cnp: *mut componentname,
    vap: *mut vattr,
) -> c_int {
    // SAFETY: the caller says so.
    unsafe { make(dvp, vpp, cnp, vap, create::create) }
}

/// See [`create::mknod`].
///
/// # Safety
/// Called by the shim with the arguments of the operation.
#[no_mangle]
pub unsafe extern "C" fn puffs_rs_mknod(
    dvp: *mut vnode,
    vpp: *mut *mut vnode,
    cnp: *mut componentname,
    vap: *mut vattr,
) -> c_int {
    // SAFETY: the caller says so.
    unsafe { make(dvp, vpp, cnp, vap, create::mknod) }
}

/// See [`create::mkdir`].
///
/// # Safety
/// Called by the shim with the arguments of the operation.
#[no_mangle]
pub unsafe extern "C" fn puffs_rs_mkdir(
    dvp: *mut vnode,
    vpp: *mut *mut vnode,
    cnp: *mut componentname,
    vap: *mut vattr,
) -> c_int {
    // SAFETY: the caller says so.
    unsafe { make(dvp, vpp, cnp, vap, create::mkdir) }
}

/// See [`create::symlink`].
///
/// # Safety
/// Called by the shim with the arguments of the operation.
#[no_mangle]
pub unsafe extern "C" fn puffs_rs_symlink(
    dvp: *mut vnode,
    vpp: *mut *mut vnode,
    cnp: *mut componentname,
    vap: *mut vattr,
    target: *const c_char,
) -> c_int {
    // SAFETY: the caller says so.
    let dir = unsafe { file(dvp) };
    // SAFETY: the caller says so.
    let name = unsafe { name(cnp) };
    // SAFETY: the caller says so.
    let va = unsafe { attributes(vap) };
    // SAFETY: the caller says so.
    let target = unsafe { string(target) };
    let made = dir.and_then(|dir| create::symlink(&dir, &name?, va?, target));
    // SAFETY: the caller says so.
    unsafe { store(vpp, made) }
}

/// See [`remove::remove`].
///
/// # Safety
/// Called by the shim with the arguments of the operation.
#[no_mangle]
pub unsafe extern "C" fn puffs_rs_remove(
    dvp: *mut vnode,
    vp: *mut vnode,
    cnp: *mut componentname,
) -> c_int {
    // SAFETY: the caller says so.
    unsafe { unlink(dvp, vp, cnp, remove::remove) }
}

/// See [`remove::rmdir`].
///
/// # Safety
/// Called by the shim with the arguments of the operation.
#[no_mangle]
pub unsafe extern "C" fn puffs_rs_rmdir(
    dvp: *mut vnode,
    vp: *mut vnode,
    cnp: *mut componentname,
) -> c_int {
    // SAFETY: the caller says so.
    unsafe { unlink(dvp, vp, cnp, remove::rmdir) }
}

/// See [`remove::link`].
///
/// # Safety
/// Called by the shim with the arguments of the operation.
#[no_mangle]
pub unsafe extern "C" fn puffs_rs_link(
    dvp: *mut vnode,
    vp: *mut vnode,
    cnp: *mut componentname,
) -> c_int {
    // SAFETY: the caller says so.
    let dir = unsafe { file(dvp) };
    // SAFETY: the caller says so.
    let file = unsafe { file_unlocked(vp) };
    // SAFETY: the caller says so.
    let name = unsafe { name(cnp) };
    Errno::code(dir.and_then(|dir| remove::link(&dir, &file?, &name?)))
}

/// See [`remove::rename`].
///
/// # Safety
/// Called by the shim with the arguments of the operation.
#[no_mangle]
pub unsafe extern "C" fn puffs_rs_rename(
    fdvp: *mut vnode,
    fvp: *mut vnode,
    fcnp: *mut componentname,
    tdvp: *mut vnode,
    tvp: *mut vnode,
    tcnp: *mut componentname,
) -> c_int {
    // SAFETY: the operation gives the reference up.
    let from_dir = unsafe { VnodeRef::new(fdvp) };
    // SAFETY: the operation gives the reference up.
    let file = unsafe { VnodeRef::new(fvp) };
    // SAFETY: the operation gives the reference up.
    let to_dir = unsafe { VnodeRef::new(tdvp) };
    // SAFETY: the operation gives the reference up.
    let over = unsafe { VnodeRef::new(tvp) };
    // SAFETY: the caller says so.
    let from = unsafe { name(fcnp) };
    // SAFETY: the caller says so.
    let to = unsafe { name(tcnp) };
    match (
        from_dir.zip(file),
        to_dir,
        from.and_then(|from| Ok((from, to?))),
    ) {
        (Some((from_dir, file)), Some(to_dir), Ok((from, to))) => {
            Errno::code(remove::rename(Rename {
                from_dir,
                file,
                from,
                to_dir,
                over,
                to,
            }))
        }
        _ => Errno::EINVAL.get(),
    }
}

/// See [`lookup::abortop`].
///
/// # Safety
/// Called by the shim with the arguments of the operation.
#[no_mangle]
pub unsafe extern "C" fn puffs_rs_abortop(dvp: *mut vnode, cnp: *mut componentname) -> c_int {
    // SAFETY: the caller says so.
    let dir = unsafe { file_unlocked(dvp) };
    // SAFETY: the caller says so.
    let name = unsafe { name(cnp) };
    if let (Ok(dir), Ok(name)) = (dir, name) {
        lookup::abortop(&dir, &name);
    }
    0
}

/// See [`dir::readdir`].
///
/// # Safety
/// Called by the shim with the arguments of the operation.
#[no_mangle]
pub unsafe extern "C" fn puffs_rs_readdir(
    vp: *mut vnode,
    uio: *mut uio,
    cred: *mut kauth_cred,
    eofp: *mut c_int,
    cookiesp: *mut *mut i64,
    ncookiesp: *mut c_int,
) -> c_int {
    // SAFETY: the caller says so.
    let dir = unsafe { file(vp) };
    // SAFETY: the caller says so.
    let uio = unsafe { bytes(uio) };
    // SAFETY: the caller says so.
    let cred = unsafe { Cred::new(cred) };
    let wants = !cookiesp.is_null() && !ncookiesp.is_null();
    let listed = match dir.and_then(|dir| dir::readdir(&dir, &mut uio?, &cred, wants)) {
        Ok(listed) => listed,
        Err(error) => return error.get(),
    };
    if listed.eof {
        // SAFETY: the caller says so.
        if let Some(eof) = unsafe { eofp.as_mut() } {
            *eof = 1;
        }
    }
    if let Some(cookies) = listed.cookies.filter(|_| wants) {
        let (start, count) = cookies.into_raw();
        // SAFETY: the caller says so.
        unsafe { cookiesp.write(start) };
        // SAFETY: the caller says so.
        unsafe { ncookiesp.write(count as c_int) };
    }
    0
}

/// See [`dir::readlink`].
///
/// # Safety
/// Called by the shim with the arguments of the operation.
#[no_mangle]
pub unsafe extern "C" fn puffs_rs_readlink(
    vp: *mut vnode,
    uio: *mut uio,
    cred: *mut kauth_cred,
) -> c_int {
    // SAFETY: the caller says so.
    let file = unsafe { file(vp) };
    // SAFETY: the caller says so.
    let uio = unsafe { bytes(uio) };
    // SAFETY: the caller says so.
    let cred = unsafe { Cred::new(cred) };
    Errno::code(file.and_then(|file| dir::readlink(&file, &mut uio?, &cred)))
}

/// See [`open::open`].
///
/// # Safety
/// Called by the shim with the arguments of the operation.
#[no_mangle]
pub unsafe extern "C" fn puffs_rs_open(
    vp: *mut vnode,
    mode: c_int,
    cred: *mut kauth_cred,
) -> c_int {
    // SAFETY: the caller says so.
    let file = unsafe { file(vp) };
    // SAFETY: the caller says so.
    let cred = unsafe { Cred::new(cred) };
    Errno::code(file.and_then(|file| open::open(&file, mode, &cred)))
}

/// See [`open::close`].
///
/// # Safety
/// Called by the shim with the arguments of the operation.
#[no_mangle]
pub unsafe extern "C" fn puffs_rs_close(
    vp: *mut vnode,
    fflag: c_int,
    cred: *mut kauth_cred,
) -> c_int {
    // SAFETY: the caller says so.
    let file = unsafe { file(vp) };
    // SAFETY: the caller says so.
    let cred = unsafe { Cred::new(cred) };
    Errno::code(file.and_then(|file| open::close(&file, fflag, &cred)))
}

/// See [`open::access`].
///
/// # Safety
/// Called by the shim with the arguments of the operation.
#[no_mangle]
pub unsafe extern "C" fn puffs_rs_access(
    vp: *mut vnode,
    mode: c_int,
    cred: *mut kauth_cred,
) -> c_int {
    // SAFETY: the caller says so.
    let file = unsafe { file(vp) };
    // SAFETY: the caller says so.
    let cred = unsafe { Cred::new(cred) };
    Errno::code(file.and_then(|file| open::access(&file, mode, &cred)))
}

/// See [`attr::getattr`].
///
/// # Safety
/// Called by the shim with the arguments of the operation.
#[no_mangle]
pub unsafe extern "C" fn puffs_rs_getattr(
    vp: *mut vnode,
    vap: *mut vattr,
    cred: *mut kauth_cred,
) -> c_int {
    // SAFETY: the caller says so.
    let file = unsafe { file(vp) };
    // SAFETY: the caller says so.
    let out = unsafe { attributes(vap) };
    // SAFETY: the caller says so.
    let cred = unsafe { Cred::new(cred) };
    Errno::code(file.and_then(|file| attr::getattr(&file, &cred, out?)))
}

/// See [`attr::setattr`].
///
/// # Safety
/// Called by the shim with the arguments of the operation.
#[no_mangle]
pub unsafe extern "C" fn puffs_rs_setattr(
    vp: *mut vnode,
    vap: *mut vattr,
    cred: *mut kauth_cred,
) -> c_int {
    // SAFETY: the caller says so.
    let file = unsafe { file(vp) };
    // SAFETY: the caller says so.
    let va = unsafe { attributes(vap) };
    // SAFETY: the caller says so.
    let cred = unsafe { Cred::new(cred) };
    Errno::code(file.and_then(|file| attr::setattr(&file, va?, &cred)))
}

/// See [`io::read`].
///
/// # Safety
/// Called by the shim with the arguments of the operation.
#[no_mangle]
pub unsafe extern "C" fn puffs_rs_read(
    vp: *mut vnode,
    uio: *mut uio,
    ioflag: c_int,
    cred: *mut kauth_cred,
) -> c_int {
    // SAFETY: the caller says so.
    let file = unsafe { file(vp) };
    // SAFETY: the caller says so.
    let uio = unsafe { bytes(uio) };
    // SAFETY: the caller says so.
    let cred = unsafe { Cred::new(cred) };
    Errno::code(file.and_then(|file| io::read(&file, &mut uio?, ioflag, &cred)))
}

/// See [`io::write`].
///
/// # Safety
/// Called by the shim with the arguments of the operation.
#[no_mangle]
pub unsafe extern "C" fn puffs_rs_write(
    vp: *mut vnode,
    uio: *mut uio,
    ioflag: c_int,
    cred: *mut kauth_cred,
) -> c_int {
    // SAFETY: the caller says so.
    let file = unsafe { file(vp) };
    // SAFETY: the caller says so.
    let uio = unsafe { bytes(uio) };
    // SAFETY: the caller says so.
    let cred = unsafe { Cred::new(cred) };
    Errno::code(file.and_then(|file| io::write(&file, &mut uio?, ioflag, &cred)))
}

/// See [`io::fallocate`].
///
/// # Safety
/// Called by the shim with the arguments of the operation.
#[no_mangle]
pub unsafe extern "C" fn puffs_rs_fallocate(vp: *mut vnode, start: i64, len: i64) -> c_int {
    // SAFETY: the caller says so.
    let file = unsafe { file(vp) };
    Errno::code(file.and_then(|file| io::fallocate(&file, start, len)))
}

/// See [`io::fdiscard`].
///
/// # Safety
/// Called by the shim with the arguments of the operation.
#[no_mangle]
pub unsafe extern "C" fn puffs_rs_fdiscard(vp: *mut vnode, start: i64, len: i64) -> c_int {
    // SAFETY: the caller says so.
    let file = unsafe { file(vp) };
    Errno::code(file.and_then(|file| io::fdiscard(&file, start, len)))
}

/// See [`sync::fsync`].
///
/// # Safety
/// Called by the shim with the arguments of the operation.
#[no_mangle]
pub unsafe extern "C" fn puffs_rs_fsync(
    vp: *mut vnode,
    cred: *mut kauth_cred,
    flags: c_int,
    start: i64,
    end: i64,
) -> c_int {
    // SAFETY: the caller says so.
    let file = unsafe { file(vp) };
    // SAFETY: the caller says so.
    let cred = unsafe { Cred::new(cred) };
    Errno::code(file.and_then(|file| sync::fsync(&file, &cred, flags, start, end)))
}

/// See [`open::seek`].
///
/// # Safety
/// Called by the shim with the arguments of the operation.
#[no_mangle]
pub unsafe extern "C" fn puffs_rs_seek(
    vp: *mut vnode,
    old: i64,
    new: i64,
    cred: *mut kauth_cred,
) -> c_int {
    // SAFETY: the caller says so.
    let file = unsafe { file_unlocked(vp) };
    // SAFETY: the caller says so.
    let cred = unsafe { Cred::new(cred) };
    Errno::code(file.and_then(|file| open::seek(&file, old, new, &cred)))
}

/// See [`open::mmap`].
///
/// # Safety
/// Called by the shim with the arguments of the operation.
#[no_mangle]
pub unsafe extern "C" fn puffs_rs_mmap(
    vp: *mut vnode,
    prot: c_int,
    cred: *mut kauth_cred,
) -> c_int {
    // SAFETY: the caller says so.
    let file = unsafe { file_unlocked(vp) };
    // SAFETY: the caller says so.
    let cred = unsafe { Cred::new(cred) };
    Errno::code(file.and_then(|file| open::mmap(&file, prot, &cred)))
}

/// See [`poll::poll`].
///
/// # Safety
/// Called by the shim with the arguments of the operation.
#[no_mangle]
pub unsafe extern "C" fn puffs_rs_poll(vp: *mut vnode, events: c_int) -> c_int {
    // SAFETY: the caller says so.
    match unsafe { file_unlocked(vp) } {
        Ok(file) => poll::poll(&file, events),
        // As dead files answer: whoever reads or writes is told.
        Err(_) => events,
    }
}

/// See [`open::pathconf`].
///
/// # Safety
/// Called by the shim with the arguments of the operation.
#[no_mangle]
pub unsafe extern "C" fn puffs_rs_pathconf(
    vp: *mut vnode,
    name: c_int,
    retval: *mut isize,
) -> c_int {
    // SAFETY: the caller says so.
    let file = unsafe { file(vp) };
    // SAFETY: the caller says so.
    let retval = unsafe { retval.as_mut() };
    Errno::code(file.and_then(|file| {
        *retval.ok_or(Errno::EINVAL)? = open::pathconf(&file, name)?;
        Ok(())
    }))
}

/// See [`open::advlock`].
///
/// # Safety
/// Called by the shim with the arguments of the operation.
#[no_mangle]
pub unsafe extern "C" fn puffs_rs_advlock(
    vp: *mut vnode,
    id: *mut c_void,
    op: c_int,
    fl: *mut flock,
    flags: c_int,
    call: *mut pk_vop,
) -> c_int {
    // SAFETY: the caller says so.
    let file = unsafe { file_unlocked(vp) };
    // SAFETY: the caller says so; the protocol has the kernel's structure.
    let lock = unsafe { fl.cast::<vn::Flock>().as_mut() }.ok_or(Errno::EINVAL);
    // SAFETY: the caller says so.
    let call = unsafe { VopCall::new(call) };
    let id = Cookie(id.addr());
    Errno::code(file.and_then(|file| open::advlock(&file, id, op, lock?, flags, call)))
}

/// See [`extattr::getextattr`].
///
/// # Safety
/// Called by the shim with the arguments of the operation.
#[no_mangle]
pub unsafe extern "C" fn puffs_rs_getextattr(
    vp: *mut vnode,
    namespace: c_int,
    name: *const c_char,
    uio: *mut uio,
    sizep: *mut usize,
    cred: *mut kauth_cred,
) -> c_int {
    // SAFETY: the caller says so.
    let file = unsafe { file(vp) };
    // SAFETY: the caller says so.
    let name = unsafe { string(name) };
    // SAFETY: the caller says so.
    let uio = unsafe { Uio::new(uio) };
    // SAFETY: the caller says so.
    let size = unsafe { sizep.as_mut() };
    // SAFETY: the caller says so.
    let cred = unsafe { Cred::new(cred) };
    let wants = size.is_some();
    Errno::code(file.and_then(|file| {
        let whole = extattr::getextattr(&file, namespace, name, uio, wants, &cred)?;
        if let Some(size) = size {
            *size = whole;
        }
        Ok(())
    }))
}

/// See [`extattr::listextattr`].
///
/// # Safety
/// Called by the shim with the arguments of the operation.
#[no_mangle]
pub unsafe extern "C" fn puffs_rs_listextattr(
    vp: *mut vnode,
    namespace: c_int,
    uio: *mut uio,
    sizep: *mut usize,
    flag: c_int,
    cred: *mut kauth_cred,
) -> c_int {
    // SAFETY: the caller says so.
    let file = unsafe { file(vp) };
    // SAFETY: the caller says so.
    let uio = unsafe { Uio::new(uio) };
    // SAFETY: the caller says so.
    let size = unsafe { sizep.as_mut() };
    // SAFETY: the caller says so.
    let cred = unsafe { Cred::new(cred) };
    let wants = size.is_some();
    Errno::code(file.and_then(|file| {
        let whole = extattr::listextattr(&file, namespace, uio, wants, flag, &cred)?;
        if let Some(size) = size {
            *size = whole;
        }
        Ok(())
    }))
}

/// See [`extattr::setextattr`].
///
/// # Safety
/// Called by the shim with the arguments of the operation.
#[no_mangle]
pub unsafe extern "C" fn puffs_rs_setextattr(
    vp: *mut vnode,
    namespace: c_int,
    name: *const c_char,
    uio: *mut uio,
    cred: *mut kauth_cred,
) -> c_int {
    // SAFETY: the caller says so.
    let file = unsafe { file(vp) };
    // SAFETY: the caller says so.
    let name = unsafe { string(name) };
    // SAFETY: the caller says so.
    let uio = unsafe { Uio::new(uio) };
    // SAFETY: the caller says so.
    let cred = unsafe { Cred::new(cred) };
    Errno::code(file.and_then(|file| extattr::setextattr(&file, namespace, name, uio, &cred)))
}

/// See [`extattr::deleteextattr`].
///
/// # Safety
/// Called by the shim with the arguments of the operation.
#[no_mangle]
pub unsafe extern "C" fn puffs_rs_deleteextattr(
    vp: *mut vnode,
    namespace: c_int,
    name: *const c_char,
    cred: *mut kauth_cred,
) -> c_int {
    // SAFETY: the caller says so.
    let file = unsafe { file(vp) };
    // SAFETY: the caller says so.
    let name = unsafe { string(name) };
    // SAFETY: the caller says so.
    let cred = unsafe { Cred::new(cred) };
    Errno::code(file.and_then(|file| extattr::deleteextattr(&file, namespace, name, &cred)))
}

/// See [`pages::getpages`].
///
/// # Safety
/// Called by the shim with the arguments of the operation.
#[no_mangle]
pub unsafe extern "C" fn puffs_rs_getpages(
    vp: *mut vnode,
    offset: i64,
    locked: bool,
    call: *mut pk_vop,
) -> c_int {
    // SAFETY: the caller says so.
    let file = unsafe { file(vp) };
    // SAFETY: the caller says so.
    let call = unsafe { VopCall::new(call) };
    Errno::code(file.and_then(|file| pages::getpages(&file, offset, locked, call)))
}

/// See [`pages::forsake`].
///
/// # Safety
/// Called by the shim with the arguments of the operation.
#[no_mangle]
pub unsafe extern "C" fn puffs_rs_forsake(vp: *mut vnode) {
    // SAFETY: the caller says so.
    if let Ok(file) = unsafe { file_unlocked(vp) } {
        pages::forsake(&file);
    }
}

/// See [`pages::strategy`].
///
/// # Safety
/// Called by the shim with the arguments of the operation.
#[no_mangle]
pub unsafe extern "C" fn puffs_rs_strategy(vp: *mut vnode, bp: *mut buf) -> c_int {
    // SAFETY: the caller says so.
    let file = unsafe { file_unlocked(vp) };
    // SAFETY: the operation takes the buffer over.
    let buf = unsafe { Buf::new(bp) }.ok_or(Errno::EINVAL);
    // Without a file it is completed with an error as it goes.
    Errno::code(buf.and_then(|buf| pages::strategy(&file?, buf)))
}

/// See [`crate::mount::Config::move_max`].
///
/// # Safety
/// Called by the shim with the arguments of the operation.
#[no_mangle]
pub unsafe extern "C" fn puffs_rs_move_max(vp: *mut vnode) -> c_int {
    // SAFETY: the caller says so.
    unsafe { file_unlocked(vp) }.map_or(0, |file| file.node.mount.config.move_max()) as c_int
}

/// See [`life::inactive`].
///
/// # Safety
/// Called by the shim with the arguments of the operation.
#[no_mangle]
pub unsafe extern "C" fn puffs_rs_inactive(vp: *mut vnode, recycle: *mut bool) -> c_int {
    // SAFETY: the caller says so.
    let recycles = unsafe { file(vp) }.is_ok_and(|file| life::inactive(&file));
    // SAFETY: the caller says so.
    unsafe { recycle.write(recycles) };
    0
}

/// See [`life::reclaim`].
///
/// # Safety
/// Called by the shim with the arguments of the operation.
#[no_mangle]
pub unsafe extern "C" fn puffs_rs_reclaim(vp: *mut vnode) -> c_int {
    // SAFETY: the caller says so.
    if let Some(vnode) = unsafe { Vnode::new(vp) } {
        life::reclaim(vnode);
    }
    0
}

/// See [`open::print`].
///
/// # Safety
/// Called by the shim with the arguments of the operation.
#[no_mangle]
pub unsafe extern "C" fn puffs_rs_print(vp: *mut vnode) -> c_int {
    // SAFETY: the caller says so.
    Errno::code(unsafe { file_unlocked(vp) }.and_then(|file| open::print(&file)))
}

/// The kernel read or wrote a file by itself: its pages (`gop_markupdate`), or
/// the device or fifo that it stands for.
///
/// # Safety
/// `vp` is a vnode of ours that the caller keeps.
#[no_mangle]
pub unsafe extern "C" fn puffs_rs_markupdate(vp: *mut vnode, accessed: bool, modified: bool) {
    let accessed = if accessed { Touch::ATIME } else { Touch::NONE };
    let modified = if modified { Touch::MTIME } else { Touch::NONE };
    // SAFETY: the caller says so.
    if let Ok(file) = unsafe { file(vp) } {
        file.node.touch(accessed | modified);
    }
}
