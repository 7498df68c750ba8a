//! Extended attributes.

use super::File;
use crate::{
    abi::{vn, Message, Payload, VnOp},
    kern::{Cred, Errno, Result, Uio},
    msgif::Request,
    subr,
};

/// How much a caller wants to be moved, which has to fit a message.
fn room(file: &File, uio: Option<&Uio<'_>>) -> Result<usize> {
    let room = uio.map_or(0, Uio::resid);
    (room <= file.mount().config.move_max())
        .then_some(room)
        .ok_or(Errno::E2BIG)
}

/// Asks for something whose answer goes to the caller: `said` is its whole size,
/// and how much of `room` was not used.
fn fetch<T: Message + Payload>(
    file: &File,
    mut request: Request<T>,
    room: usize,
    uio: Option<Uio<'_>>,
    said: fn(&T) -> (usize, usize),
) -> Result<usize> {
    request.keep_back(room);
    file.ask(&mut request)?;
    let (size, left) = said(request.body()?);
    let len = room.checked_sub(left).ok_or(Errno::EPROTO)?;
    if let Some(mut uio) = uio {
        uio.write(request.payload(0..len)?)?;
    }
    Ok(size)
}

/// Reads the attribute `name` (VOP_GETEXTATTR): its value goes to `uio`, and its
/// size is returned, if that is wanted.
///
/// # Errors
/// EOPNOTSUPP if the server does not handle it, E2BIG for more than fits a
/// message, else what the server says.
pub fn getextattr(
    file: &File,
    namespace: i32,
    name: &[u8],
    uio: Option<Uio<'_>>,
    wants_size: bool,
    cred: &Cred<'_>,
) -> Result<usize> {
    file.needs(VnOp::Getextattr)?;
    let room = room(file, uio.as_ref())?;
    let mut request = file.request_with::<vn::Getextattr>(room)?;
    let message = request.body()?;
    message.attrnamespace = namespace;
    subr::copy_str(&mut message.attrname, name);
    subr::credcvt(&mut message.cred, cred);
    message.datasize = usize::from(wants_size);
    message.resid = room;
    fetch(file, request, room, uio, |answer| {
        (answer.datasize, answer.resid)
    })
}

/// Lists the attributes (VOP_LISTEXTATTR); `flag` says how. As [`getextattr`].
///
/// # Errors
/// As for [`getextattr`].
pub fn listextattr(
    file: &File,
    namespace: i32,
    uio: Option<Uio<'_>>,
    wants_size: bool,
    flag: i32,
    cred: &Cred<'_>,
) -> Result<usize> {
    file.needs(VnOp::Listextattr)?;
    let room = room(file, uio.as_ref())?;
    let mut request = file.request_with::<vn::Listextattr>(room)?;
    let message = request.body()?;
    message.attrnamespace = namespace;
    message.flag = flag;
    subr::credcvt(&mut message.cred, cred);
    message.datasize = usize::from(wants_size);
    message.resid = room;
    fetch(file, request, room, uio, |answer| {
        (answer.datasize, answer.resid)
    })
}

/// Writes the attribute `name` (VOP_SETEXTATTR).
///
/// # Errors
/// EOPNOTSUPP if the server does not handle it, E2BIG for more than fits a
/// message, EIO if the server took only a part, else what the server says.
pub fn setextattr(
    file: &File,
    namespace: i32,
    name: &[u8],
    uio: Option<Uio<'_>>,
    cred: &Cred<'_>,
) -> Result<()> {
    file.needs(VnOp::Setextattr)?;
    let room = room(file, uio.as_ref())?;
    let mut request = file.request_with::<vn::Setextattr>(room)?;
    let message = request.body()?;
    message.attrnamespace = namespace;
    subr::copy_str(&mut message.attrname, name);
    subr::credcvt(&mut message.cred, cred);
    message.resid = room;
    if let Some(mut uio) = uio {
        uio.read(request.payload(0..room)?)?;
    }
    file.ask(&mut request)?;
    if request.body()?.resid != 0 {
        return Err(Errno::EIO);
    }
    Ok(())
}

/// Removes the attribute `name` (VOP_DELETEEXTATTR).
///
/// # Errors
/// EOPNOTSUPP if the server does not handle it, else what the server says.
pub fn deleteextattr(file: &File, namespace: i32, name: &[u8], cred: &Cred<'_>) -> Result<()> {
    file.needs(VnOp::Deleteextattr)?;
    let mut request = file.request::<vn::Deleteextattr>()?;
    let message = request.body()?;
    message.attrnamespace = namespace;
    subr::copy_str(&mut message.attrname, name);
    subr::credcvt(&mut message.cred, cred);
    file.ask(&mut request)
}
