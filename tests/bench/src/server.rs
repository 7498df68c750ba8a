//! The server: one thread, one buffer, next to no state.
//!
//! It has as many files as are asked for; what one is like is said by the first
//! letter of its name, a [`Kind`].

use crate::{measure::Counts, sys::Sys};
use puffs_rs::abi::{
    vfs, vn, Cookie, OpClass, Payload, Req, VfsOp, VnOp, Vtype, OPCLASS_FAF, OPCLASS_MASK,
    SETBACK_NOREF_N1, SETBACK_NOREF_N2,
};
use puffs_script::{ENOENT, ROOT};
use std::ffi::CString;
use zerocopy::{FromBytes, IntoBytes, KnownLayout};

/// Longer than any frame.
const ROOM: usize = 256 * 1024;

const EOPNOTSUPP: i32 = 45;

/// Bytes in a [`Kind::Small`] file.
const SMALL: u64 = 4096;

/// Bytes in a [`Kind::Big`] one.
pub(crate) const BIG: u64 = 4 << 20;

/// How many entries the root has, as far as `getdents(2)` says.
pub(crate) const ENTRIES: usize = 10_000;

/// What a file is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It is there, and small.
    Small = 1,
    /// It is there when it was created.
    New = 2,
    /// It is there, and has [`BIG`] bytes.
    Big = 3,
    /// It is there, and can be forgotten as soon as nobody uses it.
    Brief = 4,
    /// It is not there.
    Absent = 5,
}

/// Where in a cookie its kind is.
const KIND_SHIFT: u32 = 28;

impl Kind {
    const ALL: [(Kind, u8); 5] = [
        (Kind::Small, b's'),
        (Kind::New, b'n'),
        (Kind::Big, b'b'),
        (Kind::Brief, b'f'),
        (Kind::Absent, b'a'),
    ];

    /// The path of a file of this kind.
    pub(crate) fn path(self, number: usize) -> CString {
        let letters = Kind::ALL.iter().filter(|(kind, _)| *kind == self);
        let letter: String = letters.map(|&(_, letter)| char::from(letter)).collect();
        let path = format!("{}/{letter}{number}", puffs_script::MNT);
        CString::new(path).unwrap_or_default()
    }

    fn cookie(self, number: usize) -> Cookie {
        Cookie((self as usize) << KIND_SHIFT | number)
    }

    /// The kind and the number that a name says.
    fn of_name(name: &[u8]) -> Option<(Kind, usize)> {
        let (first, digits) = name.split_first()?;
        let (kind, _) = Kind::ALL.into_iter().find(|(_, letter)| letter == first)?;
        let number = std::str::from_utf8(digits).ok()?.parse().ok()?;
        Some((kind, number))
    }

    fn is_of(self, cookie: Cookie) -> bool {
        cookie.0 >> KIND_SHIFT == self as usize
    }
}

/// How large a file is.
fn size(cookie: Cookie) -> u64 {
    if Kind::Big.is_of(cookie) {
        BIG
    } else {
        SMALL
    }
}

/// A server.
pub(crate) struct Server {
    /// Requests for attributes of the small file with this number, and of those
    /// after it, stay without an answer.
    hold: usize,
    /// The cookie of the file that has this number, if it was created.
    created: Vec<Option<Cookie>>,
    /// The number of the next file that is created: a cookie is not used again
    /// while the kernel may know the file that had it.
    next: usize,
    /// What `getdents(2)` lists.
    entries: Vec<u8>,
}

/// Bytes of each entry.
const ENTRY: usize = 24;

impl Default for Server {
    /// One that answers everything.
    fn default() -> Server {
        Server::holding(1 << KIND_SHIFT)
    }
}

impl Server {
    /// One that answers everything, but requests for the attributes of the small
    /// file with this number and of those after it.
    pub(crate) fn holding(hold: usize) -> Server {
        let mut entries = Vec::with_capacity(ENTRIES * ENTRY);
        for number in 0..ENTRIES {
            let name = format!("e{number:05}");
            let head = vn::DirentHead {
                fileno: (number as u64 + 100).into(),
                reclen: (ENTRY as u16).into(),
                namlen: (name.len() as u16).into(),
                // DT_REG
                kind: 8,
            };
            entries.extend_from_slice(head.as_bytes());
            entries.extend_from_slice(name.as_bytes());
            entries.resize((number + 1) * ENTRY, 0);
        }
        Server {
            hold,
            created: Vec::new(),
            next: 0,
            entries,
        }
    }

    /// Serves until the mount is gone.
    pub(crate) fn serve(&mut self, sys: Sys<'_>, device: i32, counts: &Counts) {
        let mut room = vec![0_u128; ROOM / 16];
        let buffer = room.as_mut_bytes();
        while sys.read(device, buffer).is_ok() {
            counts.requests.add(1);
            if self.is_held(buffer) {
                counts.held.add(1);
                continue;
            }
            let len = self.answer(buffer);
            // ENXIO and ENOENT: the mount was taken down meanwhile.
            if len > 0 && sys.write(device, &buffer[..len]).is_err() {
                break;
            }
        }
        let _ = sys.close(device);
    }

    fn is_held(&self, buffer: &mut [u8]) -> bool {
        let req = get::<Req>(buffer);
        let from = Kind::Small.cookie(self.hold);
        Kind::Small.is_of(req.cookie)
            && req.cookie >= from
            && OpClass::try_from(req.opclass & OPCLASS_MASK) == Ok(OpClass::Vn)
            && VnOp::try_from(req.optype) == Ok(VnOp::Getattr)
    }

    /// Makes the reply of the request; returns how long it is, 0 if there is none.
    fn answer(&mut self, buffer: &mut [u8]) -> usize {
        let req = get::<Req>(buffer);
        if req.opclass & OPCLASS_FAF != 0 {
            return 0;
        }
        let (class, op) = (req.opclass & OPCLASS_MASK, req.optype);
        req.rv = 0;
        let len = match OpClass::try_from(class) {
            Ok(OpClass::Vn) => match VnOp::try_from(op) {
                Ok(VnOp::Getattr) => attributes(get(buffer)),
                Ok(VnOp::Lookup) => self.lookup(get(buffer)),
                Ok(VnOp::Create) => self.create(get(buffer)),
                Ok(VnOp::Remove) => self.remove(get(buffer)),
                Ok(VnOp::Readdir) => self.readdir(buffer),
                Ok(VnOp::Read) => read(get(buffer)),
                Ok(VnOp::Write) => {
                    get::<vn::Write>(buffer).resid = 0;
                    size_of::<vn::Write>()
                }
                Ok(VnOp::Setattr) => size_of::<vn::Setattr>(),
                Ok(VnOp::Fsync) => size_of::<vn::Fsync>(),
                Ok(VnOp::Reclaim) => size_of::<vn::Reclaim>(),
                _ => fail(req, EOPNOTSUPP),
            },
            Ok(OpClass::Vfs) if VfsOp::try_from(op) == Ok(VfsOp::Statvfs) => {
                size_of::<vfs::Statvfs>()
            }
            Ok(OpClass::Vfs) => size_of::<Req>(),
            _ => return 0,
        };
        get::<Req>(buffer).pth.framelen = len as u64;
        len
    }

    fn lookup(&self, message: &mut vn::Lookup) -> usize {
        let name = &message.cn.name[..message.cn.namelen];
        let found = match Kind::of_name(name) {
            Some((Kind::Absent, _)) | None => None,
            Some((Kind::New, number)) => self.created.get(number).copied().flatten(),
            Some((kind, number)) => Some(kind.cookie(number)),
        };
        let Some(cookie) = found else {
            return fail(&mut message.req, ENOENT);
        };
        message.newnode = cookie;
        message.vtype = Vtype::Reg.into();
        message.size = size(cookie) as i64;
        size_of::<vn::Lookup>()
    }

    fn create(&mut self, message: &mut vn::Create) -> usize {
        let name = &message.cn.name[..message.cn.namelen];
        let Some((Kind::New, number)) = Kind::of_name(name) else {
            return fail(&mut message.req, EOPNOTSUPP);
        };
        let cookie = Kind::New.cookie(self.next);
        self.next += 1;
        if self.created.len() <= number {
            self.created.resize(number + 1, None);
        }
        self.created[number] = Some(cookie);
        message.newnode = cookie;
        size_of::<vn::Create>()
    }

    fn remove(&mut self, message: &mut vn::Remove) -> usize {
        let name = &message.cn.name[..message.cn.namelen];
        if let Some((Kind::New, number)) = Kind::of_name(name) {
            self.created[number] = None;
        }
        message.req.setbacks = SETBACK_NOREF_N2;
        size_of::<vn::Remove>()
    }

    fn readdir(&self, buffer: &mut [u8]) -> usize {
        let message = get::<vn::Readdir>(buffer);
        let first = message.offset as usize;
        let count = (ENTRIES - first.min(ENTRIES)).min(message.resid / ENTRY);
        message.offset = (first + count) as i64;
        message.resid -= count * ENTRY;
        message.ncookies = 0;
        message.eofflag = (first + count == ENTRIES).into();
        let start = vn::Readdir::DATA + message.dentoff;
        let bytes = &self.entries[first * ENTRY..][..count * ENTRY];
        buffer[start..][..bytes.len()].copy_from_slice(bytes);
        start + bytes.len()
    }
}

fn get<T: FromBytes + IntoBytes + KnownLayout>(buffer: &mut [u8]) -> &mut T {
    match T::mut_from_prefix(buffer) {
        Ok((message, _)) => message,
        Err(_) => unreachable!("the buffer is aligned, and longer than any message"),
    }
}

fn fail(req: &mut Req, errno: i32) -> usize {
    req.rv = errno;
    size_of::<Req>()
}

/// Those of the root, or of a file.
fn attributes(message: &mut vn::Getattr) -> usize {
    let cookie = message.req.cookie;
    if Kind::Brief.is_of(cookie) {
        message.req.setbacks = SETBACK_NOREF_N1;
    }
    let vtype = if cookie == ROOT {
        Vtype::Dir
    } else {
        Vtype::Reg
    };
    let va = &mut message.va;
    va.vtype = vtype.into();
    va.mode = 0o755;
    va.nlink = 2;
    va.fileid = cookie.0 as u64;
    va.size = size(cookie);
    va.blocksize = 4096;
    va.bytes = va.size;
    size_of::<vn::Getattr>()
}

/// The data is what lies in the buffer: nobody looks at it.
fn read(message: &mut vn::Read) -> usize {
    let left = size(message.req.cookie) as i64 - message.offset;
    let len = message.resid.min(left.max(0) as usize);
    message.resid -= len;
    size_of::<vn::Read>().max(vn::Read::DATA + len)
}
