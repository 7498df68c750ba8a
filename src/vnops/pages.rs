//! The page cache: reading pages in and writing them back.

use super::{attr, File};
use crate::{
    abi::{vn, VnOp},
    kern::{self, Buf, Errno, Put, Result, Sleep, VopCall},
    msgif::{Completion, Request},
    subr,
};

/// Sees to it that pages are there (VOP_GETPAGES). The caller is inside the lock
/// of the pages; unless it is `locked`, that is given up.
///
/// The kernel does the work. Pages that only a longer file has, which the server
/// does not know yet, are not asked for before it does.
///
/// # Errors
/// EBUSY if the server would have to be asked and the caller may not wait, else
/// what the server says.
pub fn getpages(file: &File, offset: i64, locked: bool, call: VopCall) -> Result<()> {
    if !file.handles(VnOp::Read) {
        if !locked {
            file.vnode.unlock_pages();
        }
        return Err(Errno::EOPNOTSUPP);
    }
    let size = file.vnode.size();
    if offset < size && offset >= file.node.state().server_size {
        if locked {
            return Err(Errno::EBUSY);
        }
        file.vnode.unlock_pages();
        attr::tell_size(file)?;
        file.vnode.lock_pages();
    }
    call.get_pages()
}

/// Writes the pages of a range back, which starts and ends at page boundaries,
/// and has them go.
///
/// On NetBSD 10 the first pass leaves pages that are busy: those that are just
/// being written through, or that another process faults in. The second waits for
/// them, and the third for what the second had to write. Both find nothing, if
/// there were none.
pub(super) fn empty(file: &File, start: i64, end: i64) -> Result<()> {
    file.vnode.put_pages(start, end, Put::Free)?;
    file.vnode.put_pages(start, end, Put::Release)?;
    file.vnode.put_pages(start, end, Put::Free)
}

/// The vnode is being reclaimed, and its pages are about to go (VOP_PUTPAGES with
/// `PGO_RECLAIM`). The caller would wait for those that are being moved, until the server
/// answers, and have other file systems wait for vnodes. So they count as moved: what is
/// to be written was sent, as what is written from now on is.
pub fn forsake(file: &File) {
    if file.vnode.is_dying() {
        file.mount().msgif.forsake(file.vnode);
    }
}

/// Moves a buffer between the pages and the server (VOP_STRATEGY), by READ and
/// WRITE. The buffer is completed exactly once, by the time this returns or by
/// the reply.
///
/// # Errors
/// What the buffer is completed with, if that was here.
pub fn strategy(file: &File, buf: Buf) -> Result<()> {
    let op = if buf.is_read() {
        VnOp::Read
    } else {
        VnOp::Write
    };
    if !file.handles(op) {
        return fail(buf, Errno::EOPNOTSUPP);
    }
    if buf.count() > file.mount().config.move_max() {
        return fail(buf, Errno::EIO);
    }
    if op == VnOp::Read {
        read(file, buf)
    } else {
        write(file, buf)
    }
}

/// Completes a buffer: all of it was moved, or nothing.
fn finish(buf: Buf, result: Result<()>) -> Result<()> {
    let resid = result.map_or(buf.count(), |()| 0);
    buf.done(Errno::code(result), resid);
    result
}

fn fail(buf: Buf, error: Errno) -> Result<()> {
    finish(buf, Err(error))
}

fn read(file: &File, buf: Buf) -> Result<()> {
    let len = buf.count();
    let sleep = if kern::is_pagedaemon() {
        Sleep::No
    } else {
        Sleep::Yes
    };
    let made = Request::elsewhere(file.node.cookie, len, sleep).and_then(|mut request| {
        let message = request.body()?;
        subr::fscred(&mut message.cred);
        message.offset = buf.offset();
        message.resid = len;
        Ok(request)
    });
    let request = match made {
        Ok(request) => request,
        Err(error) => return fail(buf, error),
    };
    if buf.is_async() {
        request.complete_pages(file.mount(), file.vnode, Completion::Read(buf));
        return Ok(());
    }
    let (buf, read) = request.ask_into(file.mount(), &file.node, buf);
    finish(buf.ok_or(Errno::ENXIO)?, read)
}

fn write(file: &File, buf: Buf) -> Result<()> {
    let len = buf.count();
    // Nobody will ever read it.
    if file.node.state().dying {
        return finish(buf, Ok(()));
    }
    let forgets = file.vnode.is_dying();
    // On the queue it would take memory and give none back: it stays dirty.
    if kern::is_pagedaemon() && file.mount().msgif.is_full() {
        return fail(buf, Errno::ENOMEM);
    }
    let sleep = if forgets || kern::is_pagedaemon() {
        Sleep::No
    } else {
        Sleep::Yes
    };
    let made =
        Request::<vn::Write>::with_room(file.node.cookie, len, sleep).and_then(|mut request| {
            let message = request.body()?;
            subr::fscred(&mut message.cred);
            message.offset = buf.offset();
            message.resid = len;
            request.payload(0..len)?.copy_from_slice(buf.data());
            Ok(request)
        });
    let mut request = match made {
        Ok(request) => request,
        Err(error) => return fail(buf, error),
    };
    if forgets {
        // Nobody says whether that went well.
        request.forget(file.mount());
        return finish(buf, Ok(()));
    }
    if buf.is_async() {
        request.complete_pages(file.mount(), file.vnode, Completion::Write(buf));
        return Ok(());
    }
    let left = file
        .ask(&mut request)
        .and_then(|()| Ok(request.body()?.resid));
    match left {
        Ok(0) => finish(buf, Ok(())),
        // A server that takes only a part has failed.
        Ok(_) => fail(buf, Errno::EIO),
        // Pages are taken to be written after any error but this, and a signal
        // is to lose nothing; see `Vnode::put_pages`.
        Err(Errno::EINTR | Errno::ERESTART) => fail(buf, Errno::ENOMEM),
        // Nor is it, where too many callers left.
        Err(Errno::EBUSY) if !request.was_seen() => fail(buf, Errno::ENOMEM),
        Err(error) => fail(buf, error),
    }
}
