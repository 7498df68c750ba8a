//! Opening files, and what is only asked of them.

use super::{sync, File};
use crate::{
    abi::{vn, Cookie, VnOp, Vtype},
    kern::{sys, Cred, Errno, Result, VopCall},
    subr,
};

const FREAD: i32 = sys::PK_FREAD as i32;
const FWRITE: i32 = sys::PK_FWRITE as i32;

/// `W_OK`, as the protocol has it on every release.
const ACCESS_WRITE: i32 = 0o2;

/// A file is being opened (VOP_OPEN); it is locked. `mode` has `FREAD`,
/// `FWRITE` and so on.
///
/// # Errors
/// EROFS for a file to be written if the server cannot do that, EINTR for a
/// signal while as much is under way as may be, else what the server says.
pub fn open(file: &File, mode: i32, cred: &Cred<'_>) -> Result<()> {
    if file.node.is(Vtype::Reg) && mode & FWRITE != 0 && !file.handles(VnOp::Write) {
        return Err(Errno::EROFS);
    }
    if file.handles(VnOp::Close) {
        // Who closes it does not wait.
        drop(file.mount().msgif.make_room(0)?);
    }
    if !file.handles(VnOp::Open) {
        return Ok(());
    }
    let mut request = file.request::<vn::Open>()?;
    let message = request.body()?;
    message.mode = mode;
    subr::credcvt(&mut message.cred, cred);
    file.ask(&mut request)?;
    if request.body()?.oflags & vn::OPEN_IO_DIRECT != 0 {
        // What is cached must not be written over what is written past the
        // cache.
        let sizing = file.node.sizing();
        sync::flush(file, 0, 0, true)?;
        drop(sizing);
        let mut state = file.node.state();
        state.reads_direct |= mode & FREAD != 0;
        state.writes_direct |= mode & FWRITE != 0;
    }
    Ok(())
}

/// A file is being closed (VOP_CLOSE); it is locked. Nobody waits for the
/// server.
///
/// # Errors
/// None.
pub fn close(file: &File, fflag: i32, cred: &Cred<'_>) -> Result<()> {
    if !file.handles(VnOp::Close) {
        return Ok(());
    }
    let mut request = file.request::<vn::Close>()?;
    let message = request.body()?;
    message.fflag = fflag;
    subr::credcvt(&mut message.cred, cred);
    request.forget(file.mount());
    Ok(())
}

/// May the caller do this (VOP_ACCESS)? The file is locked. `mode` has the bits
/// of access(2).
///
/// # Errors
/// EROFS where nothing can be written, else what the server says.
pub fn access(file: &File, mode: i32, cred: &Cred<'_>) -> Result<()> {
    let stored = [Vtype::Dir, Vtype::Lnk, Vtype::Reg]
        .into_iter()
        .any(|vtype| file.node.is(vtype));
    if mode & ACCESS_WRITE != 0 && stored {
        let readonly = file.mount().mp.is_readonly();
        if readonly || !file.handles(VnOp::Write) {
            return Err(Errno::EROFS);
        }
    }
    if !file.handles(VnOp::Access) {
        return Ok(());
    }
    let mut request = file.request::<vn::Access>()?;
    let message = request.body()?;
    message.mode = mode;
    subr::credcvt(&mut message.cred, cred);
    file.ask(&mut request)
}

/// May the offset be this (VOP_SEEK)?
///
/// # Errors
/// What the server says.
pub fn seek(file: &File, old: i64, new: i64, cred: &Cred<'_>) -> Result<()> {
    if !file.handles(VnOp::Seek) {
        return Ok(());
    }
    let mut request = file.request::<vn::Seek>()?;
    let message = request.body()?;
    message.oldoff = old;
    message.newoff = new;
    subr::credcvt(&mut message.cred, cred);
    file.ask(&mut request)
}

/// A file is being mapped (VOP_MMAP).
///
/// # Errors
/// EOPNOTSUPP if its pages are not to be cached, else what the server says.
pub fn mmap(file: &File, prot: i32, cred: &Cred<'_>) -> Result<()> {
    if !file.mount().config.uses_pagecache() {
        return Err(Errno::EOPNOTSUPP);
    }
    if !file.handles(VnOp::Mmap) {
        return Ok(());
    }
    let mut request = file.request::<vn::Mmap>()?;
    let message = request.body()?;
    message.prot = prot;
    subr::credcvt(&mut message.cred, cred);
    file.ask(&mut request)
}

/// What does the file system promise (VOP_PATHCONF)?
///
/// # Errors
/// EOPNOTSUPP if the server does not handle it, else what the server says.
pub fn pathconf(file: &File, name: i32) -> Result<isize> {
    file.needs(VnOp::Pathconf)?;
    let mut request = file.request::<vn::Pathconf>()?;
    request.body()?.name = name;
    file.ask(&mut request)?;
    Ok(request.body()?.retval)
}

/// An advisory lock (VOP_ADVLOCK): the server's business if it wants it, else
/// the kernel's. The answer of `F_GETLK` is in `lock`.
///
/// # Errors
/// What the server or the kernel says.
pub fn advlock(
    file: &File,
    id: Cookie,
    op: i32,
    lock: &mut vn::Flock,
    flags: i32,
    call: VopCall,
) -> Result<()> {
    if !file.handles(VnOp::Advlock) {
        return file.node.advlock(call, file.vnode.size());
    }
    let mut request = file.request::<vn::Advlock>()?;
    let message = request.body()?;
    message.fl = *lock;
    message.id = id;
    message.op = op;
    message.flags = flags;
    file.ask(&mut request)?;
    // A server that says nothing of the lock has it as it was.
    if op == sys::PK_F_GETLK as i32 {
        *lock = request.body()?.fl;
    }
    Ok(())
}

/// The server is to print something about the file, for whoever debugs
/// (VOP_PRINT).
///
/// # Errors
/// None.
pub fn print(file: &File) -> Result<()> {
    if file.handles(VnOp::Print) {
        // Nobody is interested in what goes wrong.
        let _ = file.ask(&mut file.request::<vn::Print>()?);
    }
    Ok(())
}
