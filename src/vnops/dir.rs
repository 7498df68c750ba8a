//! Reading directories and symbolic links.

use super::File;
use crate::{
    abi::{vn, VnOp},
    kern::{Cookies, Cred, Errno, Result, Uio},
    subr,
};

/// The shortest that a `struct dirent` can be (`_DIRENT_MINSIZE`).
const DIRENT_MIN: usize = 16;

/// What else than entries a reader of a directory gets.
#[derive(Default)]
pub struct Listed {
    /// That was the last entry.
    pub eof: bool,
    /// Where to go on after each entry, if that was wanted.
    pub cookies: Option<Cookies>,
}

/// Reads entries of a directory (VOP_READDIR), which is locked, from the
/// offset of `uio` on, which becomes that of the next one.
///
/// # Errors
/// EOPNOTSUPP if the server does not handle it, or offsets are wanted by nfsd(8)
/// and it has no file handles; else what the server says.
pub fn readdir(dir: &File, uio: &mut Uio<'_>, cred: &Cred<'_>, offsets: bool) -> Result<Listed> {
    let config = dir.mount().config;
    dir.needs(VnOp::Readdir)?;
    let mut room = uio.resid().min(config.move_max());
    let mut ncookies = 0;
    if offsets {
        if config.fhsize == 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        // An offset is shorter than any entry, so half is enough for them.
        room /= 2;
        ncookies = room / DIRENT_MIN;
    }
    let start = (ncookies * size_of::<i64>()).next_multiple_of(DIRENT_MIN);
    let mut request = dir.request_with::<vn::Readdir>(start + room)?;
    let message = request.body()?;
    subr::credcvt(&mut message.cred, cred);
    message.offset = uio.offset();
    message.resid = room;
    message.ncookies = ncookies;
    message.dentoff = start;
    request.keep_back(start + room);
    dir.ask(&mut request)?;

    let answer = request.body()?;
    let (next, given) = (answer.offset, answer.ncookies);
    let mut listed = Listed {
        eof: answer.eofflag != 0,
        cookies: None,
    };
    let len = room.checked_sub(answer.resid).ok_or(Errno::EPROTO)?;
    if len == 0 {
        return Ok(listed);
    }
    uio.write(request.payload(start..start + len)?)?;
    uio.set_offset(next);
    if offsets {
        listed.cookies = Cookies::copy_of(request.payload(0..given * size_of::<i64>())?);
    }
    Ok(listed)
}

/// Reads where a symbolic link leads (VOP_READLINK); it is locked.
///
/// # Errors
/// EOPNOTSUPP if the server does not handle it, else what the server says.
pub fn readlink(file: &File, uio: &mut Uio<'_>, cred: &Cred<'_>) -> Result<()> {
    file.needs(VnOp::Readlink)?;
    let mut request = file.request::<vn::Readlink>()?;
    let message = request.body()?;
    subr::credcvt(&mut message.cred, cred);
    message.linklen = message.link.len();
    file.ask(&mut request)?;
    let answer = request.body()?;
    let link = answer.link.get(..answer.linklen).ok_or(Errno::EPROTO)?;
    // Some servers count the NUL at the end.
    uio.write(link.strip_suffix(&[0]).unwrap_or(link))
}
