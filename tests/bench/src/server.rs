//! The server: one thread, one buffer.

use crate::{measure::Counts, sys::Sys};
use puffs_rs::abi::{vfs, vn, Cookie, OpClass, Req, VfsOp, VnOp, Vtype, OPCLASS_FAF, OPCLASS_MASK};
use puffs_script::{ENOENT, ROOT};
use zerocopy::{FromBytes, IntoBytes, KnownLayout};

/// Longer than any frame.
const ROOM: usize = 256 * 1024;

/// The cookie of the first file; the others follow.
const FILES: usize = 0x2000;

/// How long a file is, in bytes.
const SIZE: u64 = 4096;

const EOPNOTSUPP: i32 = 45;

/// The name of a file, which the server has as many of as are asked for.
pub(crate) fn name(file: usize) -> String {
    format!("f{file}")
}

/// What the server does that is not the same in all workloads.
pub(crate) struct Manner {
    /// Requests for attributes of this file and those after it stay without an
    /// answer.
    pub(crate) hold: usize,
}

/// Serves until the mount is gone.
pub(crate) fn serve(sys: Sys<'_>, device: i32, counts: &Counts, manner: &Manner) {
    let mut room = vec![0_u128; ROOM / 16];
    let buffer = room.as_mut_bytes();
    while sys.read(device, buffer).is_ok() {
        counts.requests.add(1);
        if is_getattr(buffer) && get::<Req>(buffer).cookie.0 >= FILES + manner.hold {
            counts.held.add(1);
            continue;
        }
        let len = answer(buffer);
        // A caller who left is no concern of the server's.
        if len > 0 && sys.write(device, &buffer[..len]).is_err() {
            break;
        }
    }
    let _ = sys.close(device);
}

fn get<T: FromBytes + IntoBytes + KnownLayout>(buffer: &mut [u8]) -> &mut T {
    match T::mut_from_prefix(buffer) {
        Ok((message, _)) => message,
        Err(_) => unreachable!("the buffer is aligned, and longer than any message"),
    }
}

fn is_getattr(buffer: &mut [u8]) -> bool {
    let req = get::<Req>(buffer);
    OpClass::try_from(req.opclass & OPCLASS_MASK) == Ok(OpClass::Vn)
        && VnOp::try_from(req.optype) == Ok(VnOp::Getattr)
}

/// Makes the reply of the request; returns how long it is, 0 if there is none.
fn answer(buffer: &mut [u8]) -> usize {
    let req = get::<Req>(buffer);
    if req.opclass & OPCLASS_FAF != 0 {
        return 0;
    }
    let (class, op) = (req.opclass & OPCLASS_MASK, req.optype);
    req.rv = 0;
    let len = match OpClass::try_from(class) {
        Ok(OpClass::Vn) => match VnOp::try_from(op) {
            Ok(VnOp::Getattr) => {
                attributes(get(buffer));
                size_of::<vn::Getattr>()
            }
            Ok(VnOp::Lookup) => lookup(get(buffer)),
            Ok(VnOp::Open | VnOp::Close | VnOp::Access | VnOp::Inactive | VnOp::Reclaim) => {
                size_of::<Req>()
            }
            _ => fail(req, EOPNOTSUPP),
        },
        Ok(OpClass::Vfs) if VfsOp::try_from(op) == Ok(VfsOp::Statvfs) => size_of::<vfs::Statvfs>(),
        Ok(OpClass::Vfs) => size_of::<Req>(),
        _ => return 0,
    };
    get::<Req>(buffer).pth.framelen = len as u64;
    len
}

fn fail(req: &mut Req, errno: i32) -> usize {
    req.rv = errno;
    size_of::<Req>()
}

/// Those of the root, or of the file. They hold for no time, so the next call
/// asks again.
fn attributes(message: &mut vn::Getattr) {
    let is_root = message.req.cookie == ROOT;
    let vtype = if is_root { Vtype::Dir } else { Vtype::Reg };
    let va = &mut message.va;
    va.vtype = vtype.into();
    va.mode = 0o755;
    va.nlink = 2;
    va.fileid = message.req.cookie.0 as u64;
    va.size = SIZE;
    va.blocksize = 4096;
    va.bytes = SIZE;
}

fn lookup(message: &mut vn::Lookup) -> usize {
    let name = &message.cn.name[..message.cn.namelen];
    let Some(file) = name.strip_prefix(b"f").and_then(number) else {
        return fail(&mut message.req, ENOENT);
    };
    message.newnode = Cookie(FILES + file);
    message.vtype = Vtype::Reg.into();
    message.size = SIZE as i64;
    size_of::<vn::Lookup>()
}

fn number(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}
