//! Writing back.

use super::{attr, page_end, page_start, File};
use crate::{
    abi::{vn, Vattr, VnOp, Vtype},
    kern::{sys, Cred, Errno, Put, Result},
    subr,
};

/// `FSYNC_WAIT`.
const WAIT: i32 = sys::PK_FSYNC_WAIT as i32;

/// Writes a file to stable storage (VOP_FSYNC); it is locked.
///
/// # Errors
/// EDEADLK if it does not wait, and somebody changes the size of the file or as
/// much is under way to the server as may be: it is to be tried again; else what the
/// server says.
pub fn fsync(file: &File, cred: &Cred<'_>, flags: i32, start: i64, end: i64) -> Result<()> {
    // One that was made by a question for its cookie.
    if file.node.is(Vtype::Non) {
        return Ok(());
    }
    let wait = flags & WAIT != 0;
    if !wait && file.mount().msgif.is_full() {
        return Err(Errno::EDEADLK);
    }
    let _sizing = if wait {
        file.node.sizing()
    } else {
        file.node.try_sizing().ok_or(Errno::EDEADLK)?
    };
    flush(file, start, end, wait)?;
    if !file.handles(VnOp::Fsync) || file.node.state().dying {
        return Ok(());
    }
    let mut request = file.request::<vn::Fsync>()?;
    let message = request.body()?;
    subr::credcvt(&mut message.cred, cred);
    message.flags = flags;
    message.offlo = start;
    message.offhi = end;
    // Who reclaims a vnode may be the server itself, at work on another file
    // system.
    if wait && !file.vnode.is_dying() {
        return file.ask(&mut request);
    }
    request.forget(file.mount());
    Ok(())
}

/// Writes back what is cached of a file (C: `flushvncache`): what was noted, and
/// the pages of a range, whose end is that of the file if it is 0. The caller is
/// inside `pn_sizemtx`.
///
/// # Errors
/// EDEADLK if pages are on their way to the server, and who does not wait for them
/// works for other file systems too; else what the server says.
pub(super) fn flush(file: &File, start: i64, end: i64, wait: bool) -> Result<()> {
    let noted = {
        let state = file.node.state();
        !state.notes.is_empty() && !state.dying
    };
    // A server that cannot be told has the notes stay.
    if noted && file.handles(VnOp::Setattr) {
        // As for FSYNC.
        let by = if wait && !file.vnode.is_dying() {
            attr::By::Kernel
        } else {
            attr::By::KernelForgets
        };
        attr::change(file, Vattr::unset(), by, attr::Then::Resize)?;
    }
    if !file.node.is(Vtype::Reg) {
        return Ok(());
    }
    // The kernel waits for pages that are being written, to write the others.
    if !wait && file.is_for_all() && file.vnode.is_being_written() {
        return Err(Errno::EDEADLK);
    }
    let put = if wait { Put::Sync } else { Put::Clean };
    file.vnode
        .put_pages(page_start(start.max(0)), page_end(end.max(0)), put)
}
