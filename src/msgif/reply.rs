//! Judging replies.
//!
//! A reply is judged once, before anyone sees it: does it answer the request
//! that has its id, and is it what that operation needs to read back? What
//! fails the judgement ends the request with EPROTO, and the server is told.
//! So the code that reads a reply never sees a byte that the server did not
//! send, nor a length or count that does not agree with what it sent.

use super::listing;
use crate::{
    abi::{
        self, consts, vfs, vn, Cookie, ErrorOp, Kcn, OpClass, Payload, Req, Vattr, VfsOp, VnOp,
        Vtype,
    },
    kern::Errno,
    msgif::Outcome,
    node::is_file_size,
};
use core::mem::offset_of;
use zerocopy::{FromBytes, Immutable, KnownLayout};

/// What the judgement needs to know of the mount.
#[derive(Clone, Copy)]
pub(super) struct Terms {
    /// The cookie of the root.
    pub(super) root: Cookie,
    /// The server's replies carry attributes with a time to live
    /// (`PUFFS_KFLAG_CACHE_FS_TTL`).
    pub(super) ttl: bool,
    /// The longest message; nothing larger can be moved.
    pub(super) maxmsglen: usize,
}

/// How long a reply may be.
#[derive(Clone, Copy)]
pub(super) struct Lengths {
    /// In the form that the kernel knows.
    pub(super) native: usize,
    /// In the server's, which differs for a 32-bit time_t.
    pub(super) wire: usize,
}

/// What is wrong with a reply: what the server is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Fault {
    /// Which kind of nonsense.
    pub(super) kind: ErrorOp,
    /// The errno that goes with it.
    pub(super) error: i32,
    /// In words.
    pub(super) text: &'static str,
}

const fn fault(kind: ErrorOp, error: Errno, text: &'static str) -> Fault {
    Fault {
        kind,
        error: error.get(),
        text,
    }
}

/// Judges `frame`, whose header is `header`, as the reply to `request`.
///
/// `request` is the message as the kernel made it.
///
/// # Errors
/// The fault.
pub(super) fn judge(
    terms: Terms,
    request: &[u8],
    lengths: Lengths,
    header: &Req,
    frame: &[u8],
) -> Result<Outcome, Fault> {
    const ERROR: ErrorOp = ErrorOp::Error;

    if frame.len() > lengths.wire {
        return Err(fault(ERROR, Errno::E2BIG, "reply longer than its request"));
    }
    let Some(asked) = read::<Req>(request) else {
        return Err(fault(ERROR, Errno::EINVAL, "reply to a broken request"));
    };
    let class = asked.opclass & abi::OPCLASS_MASK;
    if header.opclass & abi::OPCLASS_MASK != class || header.optype != asked.optype {
        return Err(fault(ERROR, Errno::EINVAL, "reply to another operation"));
    }
    if header.rv < 0 || header.rv > Errno::LAST {
        return Err(Fault {
            kind: ERROR,
            error: header.rv,
            text: "errno out of range",
        });
    }
    let case = Case {
        terms,
        request,
        frame,
        // A native frame is as long as its struct says.
        excess: lengths.native as isize - lengths.wire as isize,
    };
    if class == OpClass::Vfs as u16 {
        case.vfs(asked.optype, header.rv)?;
    } else if header.rv == 0 {
        case.vn(asked.optype)?;
    }
    Ok(Outcome {
        rv: header.rv,
        setbacks: header.setbacks & abi::SETBACK_MASK,
    })
}

/// The `T` at the start of `bytes`.
fn read<T: FromBytes + KnownLayout + Immutable>(bytes: &[u8]) -> Option<&T> {
    T::ref_from_prefix(bytes).ok().map(|(value, _)| value)
}

/// The field of type `T` at `offset`, in a message of which that much is the
/// same in both forms.
fn field<T: FromBytes + Immutable>(bytes: &[u8], offset: usize) -> Result<T, Fault> {
    bytes
        .get(offset..)
        .and_then(|bytes| T::read_from_prefix(bytes).ok())
        .map(|(value, _)| value)
        .ok_or(fault(ErrorOp::Error, Errno::EPROTO, SHORT))
}

struct Case<'a> {
    terms: Terms,
    request: &'a [u8],
    frame: &'a [u8],
    /// How much shorter the server's form of the fixed part is.
    excess: isize,
}

const SHORT: &str = "reply shorter than its operation needs";

impl Case<'_> {
    /// The reply is a whole `T`.
    fn is_whole<T>(&self) -> Result<(), Fault> {
        self.reaches(size_of::<T>(), 0)
    }

    /// The reply has `more` bytes where the payload of a `T` starts.
    fn carries<T: Payload>(&self, more: usize) -> Result<(), Fault> {
        self.reaches(T::DATA, more)
    }

    /// The reply has `len` bytes from `start` on, counted as in the native
    /// form.
    fn reaches(&self, start: usize, len: usize) -> Result<(), Fault> {
        let needed = start
            .checked_add_signed(-self.excess)
            .and_then(|start| start.checked_add(len));
        if needed.is_some_and(|needed| needed <= self.frame.len()) {
            Ok(())
        } else {
            Err(fault(ErrorOp::Error, Errno::EPROTO, SHORT))
        }
    }

    /// Both sides of an operation with the same form for every server: what
    /// was asked and what is answered.
    fn sides<T>(&self) -> Result<(&T, &T), Fault>
    where
        T: FromBytes + KnownLayout + Immutable,
    {
        self.is_whole::<T>()?;
        read(self.request)
            .zip(read(self.frame))
            .ok_or(fault(ErrorOp::Error, Errno::EPROTO, SHORT))
    }

    /// What is left did not grow; returns how much was moved.
    fn moved(kind: ErrorOp, asked: usize, left: usize) -> Result<usize, Fault> {
        asked
            .checked_sub(left)
            .ok_or(fault(kind, Errno::E2BIG, "resid grew"))
    }

    fn vfs(&self, op: u16, rv: i32) -> Result<(), Fault> {
        const KIND: ErrorOp = ErrorOp::Vptofh;

        if op == VfsOp::Vptofh as u16 && (rv == 0 || rv == Errno::E2BIG.get()) {
            let (asked, answer) = self.sides::<vfs::NodeToFh>()?;
            // Who asks for the size only has no room; some servers say that it
            // does not fit, and some just say the size.
            if rv != 0 || asked.dsize == 0 {
                return Ok(());
            }
            if answer.dsize > asked.dsize {
                return Err(fault(KIND, Errno::E2BIG, "file handle too big"));
            }
            return self.carries::<vfs::NodeToFh>(answer.dsize);
        }
        if rv != 0 {
            return Ok(());
        }
        match VfsOp::try_from(op) {
            Ok(VfsOp::Statvfs) => self.is_whole::<vfs::Statvfs>(),
            Ok(VfsOp::Fhtovp) => self.is_whole::<vfs::FhToNode>(),
            _ => Ok(()),
        }
    }

    fn vn(&self, op: u16) -> Result<(), Fault> {
        match VnOp::try_from(op) {
            Ok(VnOp::Lookup) => self.lookup(),
            Ok(VnOp::Create) => self.made::<vn::Create>(offset_of!(vn::Create, va)),
            Ok(VnOp::Mknod) => self.made::<vn::Mknod>(offset_of!(vn::Mknod, va)),
            Ok(VnOp::Mkdir) => self.made::<vn::Mkdir>(offset_of!(vn::Mkdir, va)),
            Ok(VnOp::Symlink) => self.made::<vn::Symlink>(offset_of!(vn::Symlink, va)),
            Ok(VnOp::Open) => self.is_whole::<vn::Open>(),
            Ok(VnOp::Getattr) => self.attributes(),
            Ok(VnOp::Setattr) if self.terms.ttl => self.attributes(),
            // The payload starts inside what C calls the struct, so that a
            // reply may be shorter than that.
            Ok(VnOp::Read) => {
                let asked = field(self.request, offset_of!(vn::Read, resid))?;
                let left = field(self.frame, offset_of!(vn::Read, resid))?;
                self.carries::<vn::Read>(Self::moved(ErrorOp::Read, asked, left)?)
            }
            Ok(VnOp::Write) => {
                let asked = field(self.request, offset_of!(vn::Write, resid))?;
                let left = field(self.frame, offset_of!(vn::Write, resid))?;
                Self::moved(ErrorOp::Write, asked, left)?;
                self.carries::<vn::Write>(0)
            }
            Ok(VnOp::Poll) => self.is_whole::<vn::Poll>(),
            Ok(VnOp::Readdir) => self.directory(),
            Ok(VnOp::Readlink) => {
                let len = field(self.frame, offset_of!(vn::Readlink, linklen))?;
                if len > consts::MAXPATHLEN {
                    let kind = ErrorOp::Readlink;
                    return Err(fault(kind, Errno::E2BIG, "linklen too big"));
                }
                const LINK: usize = offset_of!(vn::Readlink, link);
                self.reaches(LINK, len)?;
                // Some servers count the NUL at the end.
                let link = self.frame.get(LINK..).and_then(|link| link.get(..len));
                let text = link.map(|link| link.strip_suffix(&[0]).unwrap_or(link));
                if text.is_none_or(|text| text.contains(&0)) {
                    let kind = ErrorOp::Readlink;
                    return Err(fault(kind, Errno::EINVAL, "NUL in a link"));
                }
                Ok(())
            }
            Ok(VnOp::Pathconf) => self.is_whole::<vn::Pathconf>(),
            Ok(VnOp::Getextattr) => {
                let (asked, answer) = self.sides::<vn::Getextattr>()?;
                let kind = ErrorOp::Getextattr;
                self.attribute(kind, asked.datasize, answer.datasize)?;
                self.carries::<vn::Getextattr>(Self::moved(kind, asked.resid, answer.resid)?)
            }
            Ok(VnOp::Listextattr) => {
                let (asked, answer) = self.sides::<vn::Listextattr>()?;
                let kind = ErrorOp::Listextattr;
                self.attribute(kind, asked.datasize, answer.datasize)?;
                self.carries::<vn::Listextattr>(Self::moved(kind, asked.resid, answer.resid)?)
            }
            Ok(VnOp::Setextattr) => {
                let (asked, answer) = self.sides::<vn::Setextattr>()?;
                Self::moved(ErrorOp::Error, asked.resid, answer.resid)?;
                Ok(())
            }
            // The others read nothing back: a header is enough.
            _ => Ok(()),
        }
    }

    fn lookup(&self) -> Result<(), Fault> {
        const NAME: usize = offset_of!(vn::Lookup, cn) + offset_of!(Kcn, name);
        const LEN: usize = offset_of!(vn::Lookup, cn) + offset_of!(Kcn, namelen);

        self.is_whole::<vn::Lookup>()?;
        let found: Cookie = field(self.frame, offset_of!(vn::Lookup, newnode))?;
        let len: usize = field(self.request, LEN)?;
        let component = self.request.get(NAME..).and_then(|name| name.get(..len));
        if found == self.terms.root && component != Some(b"..") {
            let kind = ErrorOp::Lookup;
            return Err(fault(
                kind,
                Errno::EINVAL,
                "lookup produced the root's cookie",
            ));
        }
        Ok(())
    }

    /// A new file, whose attributes at `va` are cached if they have a time to
    /// live: they are of the type that was asked for, or name none.
    ///
    /// That is not always the one that the operation is called after: bind(2)
    /// makes sockets by CREATE.
    fn made<T>(&self, va: usize) -> Result<(), Fault> {
        self.is_whole::<T>()?;
        if !self.terms.ttl {
            return Ok(());
        }
        // What precedes the times is the same in both forms.
        let asked: u32 = field(self.request, va + offset_of!(Vattr, vtype))?;
        let vtype: u32 = field(self.frame, va + offset_of!(Vattr, vtype))?;
        if vtype != asked && vtype != u32::from(Vtype::Non) {
            let text = "attributes of another type than was asked for";
            return Err(fault(ErrorOp::Error, Errno::EINVAL, text));
        }
        Ok(())
    }

    fn attributes(&self) -> Result<(), Fault> {
        self.is_whole::<vn::Getattr>()?;
        // What precedes the size is the same in both forms.
        const SIZE: usize = offset_of!(vn::Getattr, va) + offset_of!(Vattr, size);
        let size: i64 = field(self.frame, SIZE)?;
        if size != i64::from(consts::VNOVAL) && !is_file_size(size) {
            let kind = ErrorOp::Error;
            return Err(fault(kind, Errno::EINVAL, "impossible file size"));
        }
        Ok(())
    }

    /// An extended attribute cannot be larger than what can be moved.
    fn attribute(&self, kind: ErrorOp, asked: usize, answer: usize) -> Result<(), Fault> {
        if asked != 0 && answer > self.terms.maxmsglen {
            return Err(fault(kind, Errno::E2BIG, "impossible attribute size"));
        }
        Ok(())
    }

    fn directory(&self) -> Result<(), Fault> {
        const KIND: ErrorOp = ErrorOp::Readdir;

        let (asked, answer) = self.sides::<vn::Readdir>()?;
        let moved = Self::moved(KIND, asked.resid, answer.resid)?;
        if answer.ncookies > asked.ncookies {
            return Err(fault(KIND, Errno::E2BIG, "too many cookies"));
        }
        if moved == 0 {
            return Ok(());
        }
        self.carries::<vn::Readdir>(asked.dentoff.saturating_add(moved))?;
        let entries = self.frame.get(vn::Readdir::DATA..);
        let entries = entries.and_then(|data| data.get(asked.dentoff..)?.get(..moved));
        if entries.and_then(listing::count).is_none() {
            return Err(fault(KIND, Errno::EINVAL, "impossible directory entry"));
        }
        // Whoever goes on from there gets the same entries again, for ever.
        if answer.offset == asked.offset {
            return Err(fault(KIND, Errno::EINVAL, "readdir goes nowhere"));
        }
        Ok(())
    }
}
