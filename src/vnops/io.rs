//! Reading and writing.

use super::{attr, page_end, page_start, pages, File};
use crate::{
    abi::{vn, VnOp, Vtype},
    kern::{sys, Cred, Errno, Put, Result, Uio},
    node::{is_file_size, Touch},
    subr,
};

const IO_APPEND: i32 = sys::PK_IO_APPEND as i32;
const IO_SYNC: i32 = sys::PK_IO_SYNC as i32;
const IO_ADVICE: i32 = sys::PK_IO_ADV_MASK as i32;

/// A large write is passed on to the server piece by piece, for it is slower
/// than we are, and would fill the memory.
const WRITE_BEHIND: i64 = 64 * 1024;

/// Do reads or writes of the file go through the page cache?
fn is_cached(file: &File, direct: bool) -> bool {
    file.node.is(Vtype::Reg) && file.mount().config.uses_pagecache() && !direct
}

/// Reads from a file (VOP_READ), which is locked, at the offset of `uio`.
///
/// # Errors
/// EFBIG for a negative offset, EOPNOTSUPP if the server does not handle it,
/// else what the server says.
pub fn read(file: &File, uio: &mut Uio<'_>, ioflag: i32, cred: &Cred<'_>) -> Result<()> {
    file.needs(VnOp::Read)?;
    if uio.resid() == 0 {
        return Ok(());
    }
    if uio.offset() < 0 {
        return Err(Errno::EFBIG);
    }
    let direct = file.node.state().reads_direct;
    // The server is told of reads of an empty file, for their time: an empty
    // file may be one whose size it does not say.
    if !is_cached(file, direct) || file.vnode.size() == 0 {
        return read_direct(file, uio, ioflag, cred);
    }
    let result = read_cached(file, uio, ioflag);
    if file.mount().mp.keeps_atime() {
        file.node.touch(Touch::ATIME);
    }
    result
}

fn read_cached(file: &File, uio: &mut Uio<'_>, ioflag: i32) -> Result<()> {
    while uio.resid() > 0 {
        let left = file.vnode.size().saturating_sub(uio.offset());
        if left <= 0 {
            break;
        }
        let len = uio.resid().min(usize::try_from(left).unwrap_or(usize::MAX));
        file.vnode.read_pages(uio, len, ioflag & IO_ADVICE)?;
    }
    Ok(())
}

fn read_direct(file: &File, uio: &mut Uio<'_>, ioflag: i32, cred: &Cred<'_>) -> Result<()> {
    while uio.resid() > 0 {
        let len = uio.resid().min(file.mount().config.move_max());
        let mut request = file.request_with::<vn::Read>(len)?;
        let message = request.body()?;
        message.ioflag = ioflag;
        message.offset = uio.offset();
        message.resid = len;
        subr::credcvt(&mut message.cred, cred);
        request.keep_back(len);
        file.ask(&mut request)?;
        let left = request.body()?.resid;
        let moved = len.checked_sub(left).ok_or(Errno::EPROTO)?;
        uio.write(request.payload(0..moved)?)?;
        if left != 0 {
            break;
        }
    }
    Ok(())
}

/// Writes to a file (VOP_WRITE), which is locked, at the offset of `uio` or at
/// the end of the file. What was not written is left in `uio`.
///
/// # Errors
/// EFBIG for an offset that no file has, EOPNOTSUPP if the server does not
/// handle it, EIO if the server took only a part, EINTR for a signal while
/// as much is under way as may be, else what the server says.
pub fn write(file: &File, uio: &mut Uio<'_>, ioflag: i32, cred: &Cred<'_>) -> Result<()> {
    file.needs(VnOp::Write)?;
    if uio.resid() == 0 {
        return Ok(());
    }
    if uio.offset() < 0 {
        return Err(Errno::EFBIG);
    }
    let (mount, node) = (file.mount(), &file.node);
    let direct = node.state().writes_direct;
    let cached = is_cached(file, direct);
    // Nobody waits for what is written through at the end; what comes before that is
    // waited for.
    let room = if cached && mount.config.writes_through() && ioflag & IO_SYNC == 0 {
        let pages = page_end(uio.resid().min(WRITE_BEHIND as usize) as i64);
        Some(mount.msgif.make_room(pages as usize)?)
    } else {
        None
    };
    let _sizing = node.sizing();
    if ioflag & IO_APPEND != 0 {
        uio.set_offset(file.vnode.size());
    }
    let end = i64::try_from(uio.resid()).ok();
    let end = end.and_then(|len| uio.offset().checked_add(len));
    if !end.is_some_and(is_file_size) {
        return Err(Errno::EFBIG);
    }
    let before = file.vnode.size();
    let result = if cached {
        write_cached(file, uio, ioflag)
    } else {
        write_direct(file, uio, ioflag, cred)
    };
    drop(room);
    let mut touched = Touch::CTIME | Touch::MTIME;
    if mount.mp.is_relatime() {
        touched = touched | Touch::ATIME;
    }
    node.touch(touched);
    let size = file.vnode.size();
    if size != before {
        node.note_size(size);
        if !mount.config.flushes_notes() {
            // The next getattr would say how long it was. The data is written,
            // whatever comes of this.
            let _ = attr::tell_size(file);
        }
    }
    result
}

fn write_cached(file: &File, uio: &mut Uio<'_>, ioflag: i32) -> Result<()> {
    let vnode = file.vnode;
    let first = uio.offset();
    while uio.resid() > 0 {
        let (start, len) = (uio.offset(), uio.resid());
        let (size, end) = (vnode.size(), start + len as i64);
        if size < end {
            vnode.set_writesize(end);
        }
        let moved = vnode.write_pages(uio, len);
        if size < end {
            match moved {
                Ok(()) => vnode.set_size(uio.offset().max(size)),
                Err(_) => {
                    // The file does not become longer, and pages behind its end
                    // go. What would be in them was not written.
                    vnode.set_size(size);
                    let lost = uio.offset() - size.clamp(start, uio.offset());
                    uio.give_back(lost as usize);
                }
            }
        }
        moved?;
        let (behind, now) = (start / WRITE_BEHIND, uio.offset() / WRITE_BEHIND);
        if behind != now {
            vnode.put_pages(behind * WRITE_BEHIND, now * WRITE_BEHIND, Put::Sync)?;
        }
    }
    let put = if ioflag & IO_SYNC != 0 {
        Put::Sync
    } else if file.mount().config.writes_through() {
        Put::Clean
    } else {
        return Ok(());
    };
    vnode.put_pages(page_start(first), page_end(uio.offset()), put)
}

fn write_direct(file: &File, uio: &mut Uio<'_>, ioflag: i32, cred: &Cred<'_>) -> Result<()> {
    let vnode = file.vnode;
    let cached = is_cached(file, false);
    let first = uio.offset();
    if cached {
        let end = first + uio.resid() as i64;
        pages::empty(file, page_start(first), page_end(end))?;
    }
    let result = write_messages(file, uio, ioflag, cred);
    if cached && uio.offset() != first {
        // Somebody may have read them in meanwhile.
        vnode.put_pages(page_start(first), page_end(uio.offset()), Put::Drop)?;
    }
    result
}

fn write_messages(file: &File, uio: &mut Uio<'_>, ioflag: i32, cred: &Cred<'_>) -> Result<()> {
    while uio.resid() > 0 {
        let (resid, offset) = (uio.resid(), uio.offset());
        let len = resid.min(file.mount().config.move_max());
        let mut request = file.request_with::<vn::Write>(len)?;
        let message = request.body()?;
        message.ioflag = ioflag;
        message.offset = offset;
        message.resid = len;
        subr::credcvt(&mut message.cred, cred);
        let written = uio
            .read(request.payload(0..len)?)
            .and_then(|()| file.ask(&mut request))
            .and_then(|()| Ok(request.body()?.resid));
        // The caller is told how much was written, not how much was fetched.
        let taken = resid - uio.resid();
        uio.give_back(written.unwrap_or(taken).min(taken));
        if file.vnode.size() < uio.offset() {
            file.vnode.set_size(uio.offset());
        }
        if written? != 0 {
            return Err(Errno::EIO);
        }
    }
    Ok(())
}

/// Reserves space for a range of a file (VOP_FALLOCATE), which is locked.
///
/// # Errors
/// EOPNOTSUPP if the server does not handle it, EFBIG for a range that no file
/// has, else what the server says.
pub fn fallocate(file: &File, start: i64, len: i64) -> Result<()> {
    let node = &file.node;
    file.needs(VnOp::Fallocate)?;
    let end = range_end(start, len)?;
    let _sizing = node.sizing();
    let mut request = file.request::<vn::Fallocate>()?;
    let message = request.body()?;
    message.off = start;
    message.len = len;
    file.ask(&mut request).map_err(|error| match error {
        // Callers take that for a call to try again.
        Errno::EWOULDBLOCK => Errno::EIO,
        other => other,
    })?;
    if end > file.vnode.size() {
        file.vnode.set_size(end);
        node.state().server_size = end;
        node.note_size(end);
    }
    Ok(())
}

/// Gives the space of a range of a file back (VOP_FDISCARD), which is locked.
///
/// # Errors
/// EOPNOTSUPP if the server does not handle it, EFBIG for a range that no file
/// has, else what the server says.
pub fn fdiscard(file: &File, start: i64, len: i64) -> Result<()> {
    file.needs(VnOp::Fdiscard)?;
    let end = range_end(start, len)?;
    let (start_page, end_page) = (page_start(start), page_end(end));
    let cached = is_cached(file, false) && start_page < end_page;
    let _sizing = file.node.sizing();
    if cached {
        // What else is in the first and the last page.
        pages::empty(file, start_page, end_page)?;
    }
    let mut request = file.request::<vn::Fdiscard>()?;
    let message = request.body()?;
    message.off = start;
    message.len = len;
    let result = file.ask(&mut request);
    if cached {
        file.vnode.put_pages(start_page, end_page, Put::Drop)?;
    }
    result
}

/// Where a range ends that a file can have.
fn range_end(start: i64, len: i64) -> Result<i64> {
    start
        .checked_add(len)
        .filter(|&end| start >= 0 && end >= start && is_file_size(end))
        .ok_or(Errno::EFBIG)
}
