//! Names, credentials, and what a finished request does (`puffs_subr.c`).

use crate::{
    abi::{self, consts::MAXPATHLEN, vn, Cookie, ErrorOp, Kcn, Kcred, KernelCred, Payload, Req},
    kern::{self, sys, Buf, ComponentName, Cred, CredKind, Errno},
    mount::Mount,
    node::NodeRef,
};
use core::mem::offset_of;
use zerocopy::FromBytes;

const POLLERR: i32 = sys::PK_POLLERR as i32;
const POLLHUP: i32 = sys::PK_POLLHUP as i32;

/// Writes a path component for the server (C: `puffs_makecn`): the component,
/// or with `full` all that is left of the path. What does not fit is cut off.
pub fn makecn(kcn: &mut Kcn, kcred: &mut Kcred, name: &ComponentName<'_>, full: bool) {
    let text = if full {
        name.rest_of_path()
    } else {
        name.name()
    };
    // One byte stays for the NUL.
    let len = text.len().min(MAXPATHLEN - 1);
    kcn.name[..len].copy_from_slice(&text[..len]);
    kcn.name[len] = 0;
    kcn.nameiop = name.nameiop();
    kcn.flags = name.flags();
    kcn.namelen = name.name().len();
    kcn.consume = 0;
    credcvt(kcred, &name.cred());
}

/// Writes credentials for the server (C: `puffs_credcvt`).
pub fn credcvt(kcred: &mut Kcred, cred: &Cred<'_>) {
    *kcred = zerocopy::FromZeros::new_zeroed();
    match cred.kind() {
        CredKind::User => {
            kcred.kind = abi::CredKind::Process.into();
            cred.to_uucred(&mut kcred.uuc);
        }
        CredKind::NoCred => {
            kcred.kind = abi::CredKind::Kernel.into();
            kcred.internal = KernelCred::NoCred.into();
        }
        CredKind::FsCred => fscred(kcred),
    }
}

/// Copies what fits of a string into a zeroed field, so that a NUL ends it (C:
/// `strlcpy`).
pub(crate) fn copy_str(field: &mut [u8], text: &[u8]) {
    let room = field.len().saturating_sub(1);
    for (to, from) in field.iter_mut().take(room).zip(text) {
        *to = *from;
    }
}

/// Says that the kernel's file system code asks.
pub(crate) fn fscred(kcred: &mut Kcred) {
    *kcred = zerocopy::FromZeros::new_zeroed();
    kcred.kind = abi::CredKind::Kernel.into();
    kcred.internal = KernelCred::FsCred.into();
}

/// Completes an asynchronous read of pages (C: `puffs_parkdone_asyncbioread`).
///
/// `reply` starts with a header; if that says success it was judged to hold
/// what it says that it holds. What the server had no more data for becomes
/// zeroes: the pages may hold what another file left there.
pub(crate) fn bio_read_done(reply: &[u8], mut buf: Buf) {
    let error = fill(&mut buf, reply);
    let resid = if error == 0 { 0 } else { buf.count() };
    buf.done(error, resid);
}

/// Puts what such a reply has into a buffer; returns the errno that it has
/// instead.
pub(crate) fn fill(buf: &mut Buf, reply: &[u8]) -> i32 {
    match reply_to_io(reply, buf.count()) {
        Ok(data) => {
            let room = buf.data_mut();
            let moved = data.len().min(room.len());
            room[..moved].copy_from_slice(&data[..moved]);
            room[moved..].fill(0);
            0
        }
        Err(error) => error,
    }
}

/// Completes an asynchronous write of pages (C:
/// `puffs_parkdone_asyncbiowrite`).
pub(crate) fn bio_write_done(reply: &[u8], buf: Buf) {
    // The reply may end where the payload of a write starts, which is inside
    // what C calls the struct.
    let left = reply
        .get(offset_of!(vn::Write, resid)..)
        .and_then(|bytes| usize::read_from_prefix(bytes).ok());
    let (error, resid) = match (header_error(reply), left) {
        (0, Some((left, _))) => (0, left.min(buf.count())),
        (0, None) => (Errno::EPROTO.get(), buf.count()),
        (error, _) => (error, buf.count()),
    };
    // A server that takes only a part has failed: nobody would write the rest.
    let error = if error == 0 && resid != 0 {
        Errno::EIO.get()
    } else {
        error
    };
    buf.done(error, resid);
}

/// Completes a poll (C: `puffs_parkdone_poll`): wakes who waits with the
/// server's events, or with an error.
pub(crate) fn poll_done(reply: &[u8], node: &NodeRef) {
    let events = match header_error(reply) {
        0 => vn::Poll::read_from_prefix(reply).map_or(POLLERR, |(answer, _)| answer.events),
        error if error == Errno::ENXIO.get() => POLLHUP,
        _ => POLLERR,
    };
    // No event wakes them as well, to ask again: a poll that was not sent
    // because of this one might have been answered otherwise.
    let events = events & 0x7fff;
    let mut state = node.state();
    state.revents |= events;
    node.wake_pollers(events, &state);
}

/// The errno in a reply's header.
fn header_error(reply: &[u8]) -> i32 {
    Req::read_from_prefix(reply).map_or(Errno::EPROTO.get(), |(header, _)| header.rv)
}

/// The data of a read's reply: so much of what was asked for as it says that it
/// has. The frame may be longer: libpuffs counts the data from the end of what C
/// calls the struct, and sends whatever lies behind it.
fn reply_to_io(reply: &[u8], asked: usize) -> Result<&[u8], i32> {
    let error = header_error(reply);
    if error != 0 {
        return Err(error);
    }
    let left = reply
        .get(offset_of!(vn::Read, resid)..)
        .and_then(|bytes| usize::read_from_prefix(bytes).ok());
    let moved = left.map(|(left, _)| asked.saturating_sub(left));
    moved
        .and_then(|moved| reply.get(vn::Read::DATA..)?.get(..moved))
        .ok_or(Errno::EPROTO.get())
}

impl Mount {
    /// Tells the server that it broke the protocol (C: `puffs_senderr`).
    pub fn senderr(&self, kind: ErrorOp, error: i32, text: &str, cookie: Cookie) {
        self.msgif.senderr(kind, error, text, cookie);
    }

    /// Tells the server that a node of its making cannot be, and the operator
    /// too.
    pub(crate) fn bad_node(&self, error: Errno, text: &str, cookie: Cookie) -> Errno {
        self.senderr(ErrorOp::MakeNode, error.get(), text, cookie);
        kern::console(format_args!("server of {self}: {text}"));
        Errno::EPROTO
    }
}
