//! Every operation of the protocol: how a request for it is filled, what a
//! good reply looks like, and what its caller takes for granted in a reply.

use puffs_rs::abi::{
    consts::{MAXPATHLEN, MSG_MAXSIZE, VNOVAL},
    time32, vfs, vn, Cookie, CredKind, Kcn, KernelCred, Message, NameiOp, OpClass, Payload, Req,
    Timespec, Vattr, VfsOp, VnOp, Vtype,
};
use std::mem::offset_of;
use zerocopy::{FromBytes, IntoBytes, KnownLayout};

/// An operation.
pub struct Op {
    /// What it is called, for the names of seeds.
    pub name: &'static str,
    /// Its class.
    pub class: u16,
    /// Its number within the class.
    pub op: u16,
    /// How long its message is.
    pub size: usize,
    /// Where its payload starts, if it can have one.
    pub data: Option<usize>,
    /// Where the words are that a reply fills and somebody believes.
    pub fields: &'static [usize],
}

macro_rules! op {
    ($module:ident :: $message:ident, $data:expr, [$($field:ident $(. $inner:ident)?),*]) => {
        Op {
            name: stringify!($message),
            class: <$module::$message as Message>::CLASS as u16,
            op: <$module::$message as Message>::OP,
            size: size_of::<$module::$message>(),
            data: $data,
            fields: &[$(offset_of!($module::$message, $field $(. $inner)?)),*],
        }
    };
    ($module:ident :: $message:ident) => { op!($module::$message, None, []) };
    ($module:ident :: $message:ident [$($field:ident $(. $inner:ident)?),*]) => {
        op!($module::$message, None, [$($field $(. $inner)?),*])
    };
    ($module:ident :: $message:ident + [$($field:ident $(. $inner:ident)?),*]) => {
        op!($module::$message, Some(<$module::$message as Payload>::DATA), [$($field $(. $inner)?),*])
    };
}

/// All operations. New ones go to the end: inputs know them by their place.
pub const OPS: [Op; 43] = [
    op!(vn::Lookup[newnode, vtype, size, cn.consume, va_ttl.sec, cn_ttl.nsec]),
    op!(vn::Create[newnode, va.vtype, va_ttl.sec]),
    op!(vn::Mknod[newnode, va.vtype, va_ttl.sec]),
    op!(vn::Open[oflags]),
    op!(vn::Close),
    op!(vn::Access),
    op!(vn::Getattr[va.size, va.vtype, va_ttl.sec, va.blocksize]),
    op!(vn::Setattr[va.size, va.vtype, va_ttl.nsec]),
    op!(vn::Read + [resid]),
    op!(vn::Write + [resid]),
    op!(vn::Ioctl),
    op!(vn::Fcntl),
    op!(vn::Poll[events]),
    op!(vn::Mmap),
    op!(vn::Fsync),
    op!(vn::Seek),
    op!(vn::Remove),
    op!(vn::Link),
    op!(vn::Rename),
    op!(vn::Mkdir[newnode, va.vtype, cn_ttl.sec]),
    op!(vn::Rmdir),
    op!(vn::Symlink[newnode, va.vtype, cn_ttl.sec]),
    op!(vn::Readdir + [resid, ncookies, dentoff, eofflag, offset, data]),
    op!(vn::Readlink[linklen]),
    op!(vn::Abortop),
    op!(vn::Inactive),
    op!(vn::Reclaim),
    op!(vn::Print),
    op!(vn::Pathconf[retval]),
    op!(vn::Advlock),
    op!(vn::Getextattr + [datasize, resid]),
    op!(vn::Listextattr + [datasize, resid]),
    op!(vn::Deleteextattr),
    op!(vn::Setextattr + [resid]),
    op!(vn::Fallocate),
    op!(vn::Fdiscard),
    op!(vfs::Unmount),
    op!(vfs::Statvfs),
    op!(vfs::Sync),
    op!(vfs::FhToNode + [fhcookie, vtype, size]),
    op!(vfs::NodeToFh + [dsize]),
    op!(vfs::Suspend),
    op!(vfs::ExtattrCtl),
];

/// The operation of a request, by the numbers in its header.
pub fn of(request: &[u8]) -> Option<&'static Op> {
    let (req, _) = Req::ref_from_prefix(request).ok()?;
    let class = req.opclass & puffs_rs::abi::OPCLASS_MASK;
    OPS.iter()
        .find(|op| op.class == class && op.op == req.optype)
}

/// How long the message is for servers with a 32-bit `time_t`, if it has another
/// form for them.
pub fn time32_size(op: &Op) -> Option<usize> {
    if op.class == u16::from(OpClass::Vfs) {
        let is_fhtovp = op.op == u16::from(VfsOp::Fhtovp);
        return is_fhtovp.then_some(size_of::<time32::FhToNode>());
    }
    match VnOp::try_from(op.op).ok()? {
        VnOp::Lookup => Some(size_of::<time32::Lookup>()),
        VnOp::Create | VnOp::Mknod | VnOp::Mkdir => Some(size_of::<time32::Create>()),
        VnOp::Symlink => Some(size_of::<time32::Symlink>()),
        VnOp::Getattr | VnOp::Setattr => Some(size_of::<time32::Attributes>()),
        _ => None,
    }
}

fn with<T: FromBytes + IntoBytes + KnownLayout>(message: &mut [u8], f: impl FnOnce(&mut T)) {
    if let Ok((value, _)) = T::mut_from_prefix(message) {
        f(value);
    }
}

/// The `T` at the start of a message; zeroes behind its end.
fn get<T: FromBytes>(message: &[u8]) -> T {
    let mut whole = vec![0; size_of::<T>()];
    let len = message.len().min(whole.len());
    whole[..len].copy_from_slice(&message[..len]);
    match T::read_from_bytes(&whole) {
        Ok(value) => value,
        Err(_) => unreachable!("as long as a T"),
    }
}

/// How a request is to be made.
#[derive(Clone, Copy, Default)]
pub struct Want {
    /// So much payload, if the operation has one.
    pub more: usize,
    /// The variant: the page cache reads; the name is `..`; sizes are wanted.
    pub other: bool,
}

/// A request, as an aligned message and how many bytes at its end the server
/// does not get.
pub fn request(op: &Op, want: Want) -> (Vec<u8>, usize) {
    let more = op.data.map_or(0, |_| want.more);
    let mut message = vec![0; op.size + more];
    let mut delta = 0;
    match (op.class, op.op) {
        (2, n) if n == VnOp::Lookup as u16 => with(&mut message, |msg: &mut vn::Lookup| {
            let name: &[u8] = if want.other { b".." } else { b"name" };
            fill_name(&mut msg.cn, name);
        }),
        (2, n) if n == VnOp::Read as u16 => {
            with(&mut message, |msg: &mut vn::Read| {
                msg.resid = more;
                if want.other {
                    msg.cred.kind = CredKind::Kernel.into();
                    msg.cred.internal = KernelCred::FsCred.into();
                }
            });
            delta = more;
        }
        (2, n) if n == VnOp::Write as u16 => {
            with(&mut message, |msg: &mut vn::Write| msg.resid = more);
        }
        (2, n) if n == VnOp::Readdir as u16 => {
            with(&mut message, |msg: &mut vn::Readdir| {
                let cookies = if want.other { more / 32 } else { 0 };
                msg.ncookies = cookies;
                msg.dentoff = (cookies * 8).next_multiple_of(16).min(more);
                msg.resid = more - msg.dentoff;
            });
            delta = more;
        }
        (2, n) if n == VnOp::Readlink as u16 => {
            with(&mut message, |msg: &mut vn::Readlink| {
                msg.linklen = MAXPATHLEN;
            });
            delta = MAXPATHLEN;
        }
        (2, n) if n == VnOp::Getextattr as u16 => {
            with(&mut message, |msg: &mut vn::Getextattr| {
                msg.resid = more;
                msg.datasize = usize::from(want.other);
            });
            delta = more;
        }
        (2, n) if n == VnOp::Listextattr as u16 => {
            with(&mut message, |msg: &mut vn::Listextattr| {
                msg.resid = more;
                msg.datasize = usize::from(want.other);
            });
            delta = more;
        }
        (2, n) if n == VnOp::Setextattr as u16 => {
            with(&mut message, |msg: &mut vn::Setextattr| msg.resid = more);
        }
        (1, n) if n == VfsOp::Vptofh as u16 => {
            with(&mut message, |msg: &mut vfs::NodeToFh| msg.dsize = more);
        }
        (1, n) if n == VfsOp::Fhtovp as u16 => {
            with(&mut message, |msg: &mut vfs::FhToNode| msg.dsize = more);
        }
        _ => {}
    }
    (message, delta)
}

fn fill_name(cn: &mut Kcn, name: &[u8]) {
    cn.nameiop = NameiOp::Lookup.into();
    cn.namelen = name.len();
    cn.name[..name.len()].copy_from_slice(name);
}

/// A good reply to a request as the server has it: about the file `cookie`,
/// where it is to name one.
pub fn reply(request: &[u8], cookie: Cookie) -> Vec<u8> {
    let mut reply = request.to_vec();
    let asked: Req = get(request);
    let Some(op) = of(request) else { return reply };
    // As much room as the kernel has.
    reply.resize(asked.buflen.clamp(size_of::<Req>(), 1 << 18), 0);
    with(&mut reply, |req: &mut Req| req.rv = 0);
    if time32_size(op).is_some_and(|size| (size..op.size).contains(&asked.buflen)) {
        fill_time32(op, &mut reply, cookie);
        return reply;
    }
    match (op.class, op.op) {
        (2, n) if n == VnOp::Lookup as u16 => with(&mut reply, |msg: &mut vn::Lookup| {
            (msg.newnode, msg.vtype, msg.size) = (cookie, Vtype::Reg.into(), 8192);
        }),
        (2, n) if n == VnOp::Create as u16 => {
            with(&mut reply, |msg: &mut vn::Create| msg.newnode = cookie);
        }
        (2, n) if n == VnOp::Mknod as u16 => {
            with(&mut reply, |msg: &mut vn::Mknod| msg.newnode = cookie);
        }
        (2, n) if n == VnOp::Mkdir as u16 => {
            with(&mut reply, |msg: &mut vn::Mkdir| msg.newnode = cookie);
        }
        (2, n) if n == VnOp::Symlink as u16 => {
            with(&mut reply, |msg: &mut vn::Symlink| msg.newnode = cookie);
        }
        (2, n) if n == VnOp::Getattr as u16 => with(&mut reply, |msg: &mut vn::Getattr| {
            fill_attributes(&mut msg.va);
        }),
        (2, n) if n == VnOp::Setattr as u16 => with(&mut reply, |msg: &mut vn::Setattr| {
            fill_attributes(&mut msg.va);
        }),
        (2, n) if n == VnOp::Read as u16 => with(&mut reply, |msg: &mut vn::Read| msg.resid = 0),
        (2, n) if n == VnOp::Write as u16 => {
            with(&mut reply, |msg: &mut vn::Write| msg.resid = 0);
            reply.truncate(<vn::Write as Payload>::DATA);
        }
        (2, n) if n == VnOp::Poll as u16 => with(&mut reply, |msg: &mut vn::Poll| msg.events = 1),
        (2, n) if n == VnOp::Readdir as u16 => fill_listing(&mut reply),
        (2, n) if n == VnOp::Readlink as u16 => with(&mut reply, |msg: &mut vn::Readlink| {
            msg.linklen = 4;
            msg.link[..4].copy_from_slice(b"link");
        }),
        (2, n) if n == VnOp::Pathconf as u16 => {
            with(&mut reply, |msg: &mut vn::Pathconf| msg.retval = 255);
        }
        (2, n) if n == VnOp::Getextattr as u16 => {
            with(&mut reply, |msg: &mut vn::Getextattr| {
                (msg.resid, msg.datasize) = (0, 16);
            });
        }
        (2, n) if n == VnOp::Listextattr as u16 => {
            with(&mut reply, |msg: &mut vn::Listextattr| {
                (msg.resid, msg.datasize) = (0, 16);
            });
        }
        (2, n) if n == VnOp::Setextattr as u16 => {
            with(&mut reply, |msg: &mut vn::Setextattr| msg.resid = 0);
            reply.truncate(op.size);
        }
        (1, n) if n == VfsOp::Fhtovp as u16 => with(&mut reply, |msg: &mut vfs::FhToNode| {
            (msg.fhcookie, msg.vtype, msg.size) = (cookie, Vtype::Reg.into(), 8192);
        }),
        (1, n) if n == VfsOp::Vptofh as u16 => {
            let mut len = 0;
            with(&mut reply, |msg: &mut vfs::NodeToFh| len = msg.dsize);
            // A handle that passes through starts with its own length.
            if let Some(start) = reply.get_mut(op.size..op.size + 2) {
                start.copy_from_slice(&(len as u16).to_ne_bytes());
            }
        }
        // Nobody reads more.
        _ => reply.truncate(op.size),
    }
    reply
}

/// Fills a reply in the form for servers with a 32-bit `time_t`.
fn fill_time32(op: &Op, reply: &mut [u8], cookie: Cookie) {
    if op.class == u16::from(OpClass::Vfs) {
        return with(reply, |msg: &mut time32::FhToNode| {
            (msg.fhcookie, msg.vtype, msg.size) = (cookie, Vtype::Reg.into(), 8192);
        });
    }
    match VnOp::try_from(op.op) {
        Ok(VnOp::Lookup) => with(reply, |msg: &mut time32::Lookup| {
            (msg.newnode, msg.vtype, msg.size) = (cookie, Vtype::Reg.into(), 8192);
        }),
        Ok(VnOp::Symlink) => with(reply, |msg: &mut time32::Symlink| msg.newnode = cookie),
        Ok(VnOp::Getattr | VnOp::Setattr) => with(reply, |msg: &mut time32::Attributes| {
            (msg.va.vtype, msg.va.size, msg.va.nlink) = (Vtype::Non.into(), 8192, 1);
        }),
        _ => with(reply, |msg: &mut time32::Create| msg.newnode = cookie),
    }
}

/// Lists one file, if there is room for that.
fn fill_listing(reply: &mut [u8]) {
    const ENTRY: &[u8] = b"\x02\0\0\0\0\0\0\0\x18\0\x01\0\x08a\0\0\0\0\0\0\0\0\0\0";

    let mut start = 0;
    with(reply, |msg: &mut vn::Readdir| {
        msg.eofflag = 1;
        msg.ncookies = 0;
        start = <vn::Readdir as Payload>::DATA.saturating_add(msg.dentoff);
        if let Some(left) = msg.resid.checked_sub(ENTRY.len()) {
            msg.resid = left;
            msg.offset += 1;
        }
    });
    let end = start.saturating_add(ENTRY.len());
    if let Some(room) = reply.get_mut(start..end) {
        room.copy_from_slice(ENTRY);
    }
}

/// Makes `wanted`, which is an accepted reply, what the core makes of it: it
/// puts into `got` what the server left out, and bounds what it must believe.
pub fn amend(op: &Op, asked: &[u8], wanted: &mut [u8], got: &[u8]) {
    /// How long something may hold at most, in seconds.
    const AGES: i64 = i32::MAX as i64 / 2 / puffs_hosted::kernel::HZ;

    let right =
        |time: Timespec| (0..=AGES).contains(&time.sec) && (0..1_000_000_000).contains(&time.nsec);
    macro_rules! attributes {
        ($message:ident: $($ttl:ident)+) => {{
            let got: vn::$message = get(got);
            with(wanted, |wanted: &mut vn::$message| {
                $(if right(got.$ttl) {
                    wanted.$ttl = got.$ttl;
                })+
                if got.va.blocksize <= MSG_MAXSIZE as isize {
                    wanted.va.blocksize = got.va.blocksize;
                }
            });
        }};
    }
    if op.class != OpClass::Vn as u16 {
        return;
    }
    match VnOp::try_from(op.op) {
        Ok(VnOp::Getattr) => attributes!(Getattr: va_ttl),
        Ok(VnOp::Setattr) => attributes!(Setattr: va_ttl),
        Ok(VnOp::Lookup) => attributes!(Lookup: va_ttl cn_ttl),
        Ok(VnOp::Create) => attributes!(Create: va_ttl cn_ttl),
        Ok(VnOp::Mknod) => attributes!(Mknod: va_ttl cn_ttl),
        Ok(VnOp::Mkdir) => attributes!(Mkdir: va_ttl cn_ttl),
        Ok(VnOp::Symlink) => attributes!(Symlink: va_ttl cn_ttl),
        Ok(VnOp::Readdir) => {
            let (asked, listing) = (get::<vn::Readdir>(asked), get::<vn::Readdir>(got));
            with(wanted, |wanted: &mut vn::Readdir| {
                wanted.eofflag = listing.eofflag;
                wanted.ncookies = listing.ncookies;
            });
            // The offsets of the entries, as far as the server gave none.
            let start = <vn::Readdir as Payload>::DATA;
            let offsets = start..start + asked.dentoff;
            if let Some((wanted, got)) = wanted.get_mut(offsets.clone()).zip(got.get(offsets)) {
                wanted.copy_from_slice(got);
            }
        }
        _ => {}
    }
}

fn fill_attributes(va: &mut Vattr) {
    va.vtype = Vtype::Non.into();
    va.size = 8192;
    va.nlink = 1;
}

/// Checks what the caller of a request that succeeded takes for granted:
/// `asked` is what it sent, `got` what it has then, of which the server sent
/// the first `sent` bytes.
///
/// # Panics
/// If it is not so.
pub fn check(op: &Op, asked: &[u8], got: &[u8], sent: usize, root: Cookie, ttl: bool) {
    let moved = |asked: usize, left: usize| {
        assert!(left <= asked, "{}: resid grew to {left}", op.name);
        asked - left
    };
    let has = |len: usize| {
        assert!(
            sent >= len,
            "{}: {len} bytes are read of a reply of {sent}",
            op.name
        );
    };
    match (op.class, op.op) {
        (2, n) if n == VnOp::Lookup as u16 => {
            has(op.size);
            let (asked, got) = (get::<vn::Lookup>(asked), get::<vn::Lookup>(got));
            let dotdot = asked.cn.name.starts_with(b"..\0");
            assert!(dotdot || got.newnode != root, "lookup found the root");
        }
        (2, n)
            if [
                VnOp::Create,
                VnOp::Mknod,
                VnOp::Mkdir,
                VnOp::Symlink,
                VnOp::Open,
                VnOp::Poll,
                VnOp::Pathconf,
            ]
            .iter()
            .any(|&op| op as u16 == n) =>
        {
            has(op.size);
        }
        (2, n) if n == VnOp::Getattr as u16 || (ttl && n == VnOp::Setattr as u16) => {
            has(op.size);
            let size = get::<vn::Getattr>(got).va.size as i64;
            let possible = size == i64::from(VNOVAL) || (0..=i64::MAX / 2).contains(&size);
            assert!(possible, "a file of {size} bytes");
        }
        (2, n) if n == VnOp::Read as u16 => {
            let (asked, got) = (get::<vn::Read>(asked), get::<vn::Read>(got));
            let moved = moved(asked.resid, got.resid);
            has(<vn::Read as Payload>::DATA + moved);
        }
        (2, n) if n == VnOp::Write as u16 => {
            let (asked, got) = (get::<vn::Write>(asked), get::<vn::Write>(got));
            moved(asked.resid, got.resid);
            has(<vn::Write as Payload>::DATA);
        }
        (2, n) if n == VnOp::Readdir as u16 => {
            let (asked, got) = (get::<vn::Readdir>(asked), get::<vn::Readdir>(got));
            let moved = moved(asked.resid, got.resid);
            assert!(got.ncookies <= asked.ncookies, "readdir: too many cookies");
            has(op.size);
            if moved != 0 {
                has(<vn::Readdir as Payload>::DATA + asked.dentoff + moved);
            }
        }
        (2, n) if n == VnOp::Readlink as u16 => {
            let len = get::<vn::Readlink>(got).linklen;
            assert!(len <= MAXPATHLEN, "a link of {len} bytes");
            has(offset_of!(vn::Readlink, link) + len);
        }
        (2, n) if n == VnOp::Getextattr as u16 => {
            let (asked, got) = (get::<vn::Getextattr>(asked), get::<vn::Getextattr>(got));
            has(op.size + moved(asked.resid, got.resid));
            assert!(asked.datasize == 0 || got.datasize <= 1 << 17);
        }
        (2, n) if n == VnOp::Listextattr as u16 => {
            let (asked, got) = (get::<vn::Listextattr>(asked), get::<vn::Listextattr>(got));
            has(<vn::Listextattr as Payload>::DATA + moved(asked.resid, got.resid));
            assert!(asked.datasize == 0 || got.datasize <= 1 << 17);
        }
        (2, n) if n == VnOp::Setextattr as u16 => {
            let (asked, got) = (get::<vn::Setextattr>(asked), get::<vn::Setextattr>(got));
            moved(asked.resid, got.resid);
            has(op.size);
        }
        (1, n) if n == VfsOp::Statvfs as u16 || n == VfsOp::Fhtovp as u16 => has(op.size),
        (1, n) if n == VfsOp::Vptofh as u16 => {
            let (asked, got) = (get::<vfs::NodeToFh>(asked), get::<vfs::NodeToFh>(got));
            has(op.size);
            if asked.dsize != 0 {
                assert!(got.dsize <= asked.dsize, "a handle of {}", got.dsize);
                has(op.size + got.dsize);
            }
        }
        _ => {}
    }
}
