//! The messages about one file ([`OpClass::Vn`]). Where no other is named,
//! the file is [`Req::cookie`].
//!
//! A `ttl` counts only under [`KFLAG_CACHE_FS_TTL`]: it says for how long the
//! kernel may go by the attributes or the name that the reply established.
//!
//! [`OpClass::Vn`]: super::OpClass::Vn
//! [`KFLAG_CACHE_FS_TTL`]: super::KFLAG_CACHE_FS_TTL

use super::consts::{EXTNAMELEN, MAXPATHLEN};
use super::{messages, payloads, Cookie, Kcn, Kcred, Pad, Req, Timespec, Vattr, VnOp};
use zerocopy::native_endian::{U16, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Defines messages that are told apart by their names alone.
macro_rules! alike {
    ($( $(#[$doc:meta])* $message:ident, )+ = $fields:tt) => { $(
        $(#[$doc])*
        #[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
        #[repr(C)]
        pub struct $message $fields
    )+ };
}

/// Find a name in a directory (`struct puffs_vnmsg_lookup`).
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Lookup {
    /// The header, with the directory.
    pub req: Req,
    /// OUT: the name. IN: its `consume`.
    pub cn: Kcn,
    /// OUT: who asks.
    pub cn_cred: Kcred,
    _pad0: Pad<4, 0, 4>,
    /// IN: the file.
    pub newnode: Cookie,
    /// IN: what it is, a [`Vtype`](super::Vtype).
    pub vtype: u32,
    _pad1: Pad<4, 0, 4>,
    /// IN: its size.
    pub size: i64,
    /// IN: the device that it stands for, if it does.
    pub rdev: u64,
    /// IN: its attributes, if they may be cached.
    pub va: Vattr,
    /// IN: how long the attributes hold.
    pub va_ttl: Timespec,
    /// IN: how long the name holds.
    pub cn_ttl: Timespec,
}

alike! {
    /// Make a regular file (`struct puffs_vnmsg_create`).
    Create,
    /// Make a device, fifo or socket (`struct puffs_vnmsg_mknod`).
    Mknod,
    /// Make a directory (`struct puffs_vnmsg_mkdir`).
    Mkdir,
    = {
        /// The header, with the directory to make it in.
        pub req: Req,
        /// OUT: the name.
        pub cn: Kcn,
        /// OUT: who asks.
        pub cn_cred: Kcred,
        _pad0: Pad<4, 0, 4>,
        /// OUT: the attributes to make it with. IN: those it has, if they may
        /// be cached.
        pub va: Vattr,
        /// IN: the file.
        pub newnode: Cookie,
        /// IN: how long the attributes hold.
        pub va_ttl: Timespec,
        /// IN: how long the name holds.
        pub cn_ttl: Timespec,
        _pad1: Pad<0, 0, 8>,
    }
}

/// A file is being opened (`struct puffs_vnmsg_open`).
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Open {
    /// The header.
    pub req: Req,
    /// OUT: who opens it.
    pub cred: Kcred,
    /// OUT: what for, as the kernel's `FREAD`, `FWRITE` and so on.
    pub mode: i32,
    /// IN: `OPEN_*`.
    pub oflags: i32,
    _pad0: Pad<4, 0, 4>,
}

/// [`Open::oflags`]: read and write past the page cache.
pub const OPEN_IO_DIRECT: i32 = 0x01;

/// A file is being closed (`struct puffs_vnmsg_close`). There is no reply.
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Close {
    /// The header.
    pub req: Req,
    /// OUT: who closes it.
    pub cred: Kcred,
    /// OUT: what it was open for.
    pub fflag: i32,
    _pad0: Pad<0, 0, 8>,
}

/// May the caller do this (`struct puffs_vnmsg_access`)?
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Access {
    /// The header.
    pub req: Req,
    /// OUT: who asks.
    pub cred: Kcred,
    /// OUT: what the caller wants to do, as the kernel's `VREAD`, `VWRITE`
    /// and so on, whose values differ between releases.
    pub mode: i32,
    _pad0: Pad<0, 0, 8>,
}

/// Read the attributes (`struct puffs_vnmsg_setgetattr`).
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Getattr {
    /// The header.
    pub req: Req,
    /// OUT: who asks.
    pub cred: Kcred,
    _pad0: Pad<4, 0, 4>,
    /// IN: the attributes.
    pub va: Vattr,
    /// IN: how long they hold.
    pub va_ttl: Timespec,
    _pad1: Pad<0, 0, 8>,
}

/// Change the attributes (`struct puffs_vnmsg_setgetattr`).
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Setattr {
    /// The header.
    pub req: Req,
    /// OUT: who asks.
    pub cred: Kcred,
    _pad0: Pad<4, 0, 4>,
    /// OUT: what to change. IN: the attributes then, if they may be cached.
    pub va: Vattr,
    /// IN: how long they hold.
    pub va_ttl: Timespec,
    _pad1: Pad<0, 0, 8>,
}

/// Read data (`struct puffs_vnmsg_rw`). The payload is what was read, IN.
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Read {
    /// The header.
    pub req: Req,
    /// OUT: who reads.
    pub cred: Kcred,
    _pad0: Pad<4, 0, 4>,
    /// OUT: from where on.
    pub offset: i64,
    /// OUT: how many bytes. IN: how many of them were not read.
    pub resid: usize,
    /// OUT: the kernel's `IO_*`.
    pub ioflag: i32,
    /// IN: where the data begins, which is before the end of the struct.
    pub data: [u8; 0],
    _pad1: Pad<4, 0, 4>,
}

/// Write data (`struct puffs_vnmsg_rw`). The payload is what to write, OUT.
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Write {
    /// The header.
    pub req: Req,
    /// OUT: who writes.
    pub cred: Kcred,
    _pad0: Pad<4, 0, 4>,
    /// OUT: where to.
    pub offset: i64,
    /// OUT: how many bytes. IN: how many of them were not written.
    pub resid: usize,
    /// OUT: the kernel's `IO_*`.
    pub ioflag: i32,
    /// OUT: where the data begins, which is before the end of the struct.
    pub data: [u8; 0],
    _pad1: Pad<4, 0, 4>,
}

alike! {
    /// An `ioctl(2)` (`struct puffs_vnmsg_fcnioctl`). No kernel has ever sent
    /// one.
    Ioctl,
    /// An `fcntl(2)` (`struct puffs_vnmsg_fcnioctl`). No kernel has ever sent
    /// one.
    Fcntl,
    = {
        /// The header.
        pub req: Req,
        /// OUT: who asks.
        pub cred: Kcred,
        _pad0: Pad<4, 0, 4>,
        /// OUT: the command.
        pub command: usize,
        /// OUT: the process that asks.
        pub pid: i32,
        /// OUT: what the file is open for.
        pub fflag: i32,
        /// OUT: where that process has the argument.
        pub data: Cookie,
        /// OUT: bytes in the argument.
        pub datalen: usize,
        /// IN: whether the argument is to be copied back.
        pub copyback: i32,
        _pad1: Pad<4, 0, 4>,
    }
}

/// Which events are there (`struct puffs_vnmsg_poll`)?
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Poll {
    /// The header.
    pub req: Req,
    /// OUT: the `POLL*` of interest. IN: those that are there.
    pub events: i32,
    _pad0: Pad<4, 0, 12>,
}

/// Write a file to stable storage (`struct puffs_vnmsg_fsync`).
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Fsync {
    /// The header.
    pub req: Req,
    /// OUT: who asks.
    pub cred: Kcred,
    _pad0: Pad<4, 0, 4>,
    /// OUT: from where on.
    pub offlo: i64,
    /// OUT: up to where; 0 stands for the end of the file.
    pub offhi: i64,
    /// OUT: the kernel's `FSYNC_*`.
    pub flags: i32,
    _pad1: Pad<4, 0, 4>,
}

/// May the offset be this (`struct puffs_vnmsg_seek`)?
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Seek {
    /// The header.
    pub req: Req,
    /// OUT: who asks.
    pub cred: Kcred,
    _pad0: Pad<4, 0, 4>,
    /// OUT: the offset so far.
    pub oldoff: i64,
    /// OUT: the offset to be.
    pub newoff: i64,
    _pad1: Pad<0, 0, 8>,
}

alike! {
    /// Remove a name of a file (`struct puffs_vnmsg_remove`).
    Remove,
    /// Remove a directory (`struct puffs_vnmsg_rmdir`).
    Rmdir,
    /// Give a file another name (`struct puffs_vnmsg_link`).
    Link,
    = {
        /// The header, with the directory that the name is in or will be in.
        pub req: Req,
        /// OUT: the name.
        pub cn: Kcn,
        /// OUT: who asks.
        pub cn_cred: Kcred,
        _pad0: Pad<4, 0, 4>,
        /// OUT: the file.
        pub cookie_targ: Cookie,
        _pad1: Pad<0, 0, 8>,
    }
}

/// Move a name (`struct puffs_vnmsg_rename`).
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Rename {
    /// The header, with the directory that the name is in.
    pub req: Req,
    /// OUT: the name.
    pub cn_src: Kcn,
    /// OUT: who asks.
    pub cn_src_cred: Kcred,
    _pad0: Pad<4, 0, 4>,
    /// OUT: the name to be.
    pub cn_targ: Kcn,
    /// OUT: who asks.
    pub cn_targ_cred: Kcred,
    _pad1: Pad<4, 0, 4>,
    /// OUT: the file.
    pub cookie_src: Cookie,
    /// OUT: the file that bears the name to be, or [`Cookie::NULL`].
    pub cookie_targ: Cookie,
    /// OUT: the directory that the name will be in.
    pub cookie_targdir: Cookie,
    _pad2: Pad<0, 0, 8>,
}

/// Make a symbolic link (`struct puffs_vnmsg_symlink`).
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Symlink {
    /// The header, with the directory to make it in.
    pub req: Req,
    /// OUT: the name.
    pub cn: Kcn,
    /// OUT: who asks.
    pub cn_cred: Kcred,
    _pad0: Pad<4, 0, 4>,
    /// OUT: the attributes to make it with. IN: those it has, if they may be
    /// cached.
    pub va: Vattr,
    /// IN: the link.
    pub newnode: Cookie,
    /// OUT: where it leads, with a NUL.
    pub link: [u8; MAXPATHLEN],
    /// IN: how long the attributes hold.
    pub va_ttl: Timespec,
    /// IN: how long the name holds.
    pub cn_ttl: Timespec,
    _pad1: Pad<0, 0, 8>,
}

/// List a directory (`struct puffs_vnmsg_readdir`). The payload is what was
/// found, IN: `ncookies` offsets of 64 bits, to continue from after each
/// entry, and from `dentoff` on the entries, each of which starts with a
/// [`DirentHead`].
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Readdir {
    /// The header.
    pub req: Req,
    /// OUT: who reads.
    pub cred: Kcred,
    _pad0: Pad<4, 0, 4>,
    /// OUT: where to begin. IN: where to continue.
    pub offset: i64,
    /// OUT: how many bytes of entries. IN: how many of them are left.
    pub resid: usize,
    /// OUT: how many offsets, 0 if none are wanted. IN: how many there are.
    pub ncookies: usize,
    /// IN: whether that was the last entry.
    pub eofflag: i32,
    _pad1: Pad<4, 0, 4>,
    /// OUT: where in the payload the entries begin.
    pub dentoff: usize,
    /// IN: where the offsets begin.
    pub data: [u8; 0],
}

/// What a directory entry starts with (the head of `struct dirent`); `namlen`
/// bytes of name and a NUL follow at once.
///
/// The entries are the server's to place, so this claims no alignment.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct DirentHead {
    /// IN: the number of the file.
    pub fileno: U64,
    /// IN: bytes from this entry to the next.
    pub reclen: U16,
    /// IN: bytes in the name.
    pub namlen: U16,
    /// IN: what the file is, in `struct dirent`'s own numbers.
    pub kind: u8,
}

/// Where does a symbolic link lead (`struct puffs_vnmsg_readlink`)?
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Readlink {
    /// The header.
    pub req: Req,
    /// OUT: who asks.
    pub cred: Kcred,
    _pad0: Pad<4, 0, 4>,
    /// OUT: the room in `link`. IN: how much of it is in use.
    pub linklen: usize,
    /// IN: where it leads, without a NUL.
    pub link: [u8; MAXPATHLEN],
}

/// The kernel forgets the file (`struct puffs_vnmsg_reclaim`). There is no
/// reply.
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Reclaim {
    /// The header.
    pub req: Req,
    /// OUT: how often the server has told the kernel about the file.
    pub nlookup: i32,
    _pad0: Pad<4, 0, 12>,
}

alike! {
    /// Nobody uses the file any more (`struct puffs_vnmsg_inactive`).
    Inactive,
    /// Print something about the file, for whoever debugs
    /// (`struct puffs_vnmsg_print`).
    Print,
    = {
        /// The header, which is all of it.
        pub req: Req,
    }
}

/// What does the file system promise (`struct puffs_vnmsg_pathconf`)?
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Pathconf {
    /// The header.
    pub req: Req,
    /// OUT: the name of `pathconf(2)`.
    pub name: i32,
    _pad0: Pad<4, 0, 4>,
    /// IN: the value.
    pub retval: isize,
}

/// An advisory lock (`struct puffs_vnmsg_advlock`).
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Advlock {
    /// The header.
    pub req: Req,
    /// OUT: the lock.
    pub fl: Flock,
    /// OUT: who holds it, in the kernel's terms.
    pub id: Cookie,
    /// OUT: what to do with it, an `F_*` of the kernel's.
    pub op: i32,
    /// OUT: how to do it, also `F_*`.
    pub flags: i32,
    _pad0: Pad<0, 0, 8>,
}

/// A lock on a part of a file (`struct flock`). All OUT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Flock {
    /// OUT: where it begins.
    pub start: i64,
    /// OUT: how long it is; 0 stands for all the rest.
    pub len: i64,
    /// OUT: the process that holds it.
    pub pid: i32,
    /// OUT: shared, exclusive, or none.
    pub kind: i16,
    /// OUT: what `start` counts from.
    pub whence: i16,
}

/// A file is being mapped (`struct puffs_vnmsg_mmap`).
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Mmap {
    /// The header.
    pub req: Req,
    /// OUT: what for, as the kernel's `VM_PROT_*`.
    pub prot: i32,
    /// OUT: who maps it.
    pub cred: Kcred,
    _pad0: Pad<0, 0, 8>,
}

/// What a lookup prepared will not happen (`struct puffs_vnmsg_abortop`).
/// There is no reply.
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Abortop {
    /// The header, with the directory.
    pub req: Req,
    /// OUT: the name.
    pub cn: Kcn,
    /// OUT: who asked.
    pub cn_cred: Kcred,
    _pad0: Pad<4, 0, 4>,
}

/// Read an extended attribute (`struct puffs_vnmsg_getextattr`). The payload
/// is its value, IN.
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Getextattr {
    /// The header.
    pub req: Req,
    /// OUT: the namespace.
    pub attrnamespace: i32,
    /// OUT: the attribute and a NUL.
    pub attrname: [u8; EXTNAMELEN],
    _pad0: Pad<1, 1, 1>,
    /// OUT: who asks.
    pub cred: Kcred,
    /// OUT: not 0 if the size is wanted. IN: the size of the whole value.
    pub datasize: usize,
    /// OUT: how many bytes. IN: how many of them were not read.
    pub resid: usize,
    _pad1: Pad<0, 0, 8>,
    /// IN: where the value begins.
    pub data: [u8; 0],
}

/// Write an extended attribute (`struct puffs_vnmsg_setextattr`). The
/// payload is its value, OUT.
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Setextattr {
    /// The header.
    pub req: Req,
    /// OUT: the namespace.
    pub attrnamespace: i32,
    /// OUT: the attribute and a NUL.
    pub attrname: [u8; EXTNAMELEN],
    _pad0: Pad<1, 1, 1>,
    /// OUT: who asks.
    pub cred: Kcred,
    /// OUT: how many bytes. IN: how many of them were not written.
    pub resid: usize,
    /// OUT: where the value begins.
    pub data: [u8; 0],
}

/// List the extended attributes (`struct puffs_vnmsg_listextattr`). The
/// payload is their names, IN.
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Listextattr {
    /// The header.
    pub req: Req,
    /// OUT: the namespace.
    pub attrnamespace: i32,
    /// OUT: who asks.
    pub cred: Kcred,
    /// OUT: not 0 if the size is wanted. IN: the size of the whole list.
    pub datasize: usize,
    /// OUT: how many bytes. IN: how many of them were not read.
    pub resid: usize,
    /// OUT: the form of the list, an `EXTATTR_LIST_*` of the kernel's.
    pub flag: i32,
    _pad0: Pad<4, 0, 4>,
    /// IN: where the list begins.
    pub data: [u8; 0],
}

/// Remove an extended attribute (`struct puffs_vnmsg_deleteextattr`).
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Deleteextattr {
    /// The header.
    pub req: Req,
    /// OUT: the namespace.
    pub attrnamespace: i32,
    /// OUT: the attribute and a NUL.
    pub attrname: [u8; EXTNAMELEN],
    _pad0: Pad<1, 1, 1>,
    /// OUT: who asks.
    pub cred: Kcred,
    _pad1: Pad<0, 0, 8>,
}

alike! {
    /// Reserve space (`struct puffs_vnmsg_fallocate`).
    Fallocate,
    /// Give space back (`struct puffs_vnmsg_fdiscard`).
    Fdiscard,
    = {
        /// The header.
        pub req: Req,
        /// OUT: from where on.
        pub off: i64,
        /// OUT: how much.
        pub len: i64,
    }
}

messages! { Vn, VnOp:
    Lookup = Lookup,
    Create = Create,
    Mknod = Mknod,
    Open = Open,
    Close = Close,
    Access = Access,
    Getattr = Getattr,
    Setattr = Setattr,
    Read = Read,
    Write = Write,
    Ioctl = Ioctl,
    Fcntl = Fcntl,
    Poll = Poll,
    Mmap = Mmap,
    Fsync = Fsync,
    Seek = Seek,
    Remove = Remove,
    Link = Link,
    Rename = Rename,
    Mkdir = Mkdir,
    Rmdir = Rmdir,
    Symlink = Symlink,
    Readdir = Readdir,
    Readlink = Readlink,
    Abortop = Abortop,
    Inactive = Inactive,
    Reclaim = Reclaim,
    Print = Print,
    Pathconf = Pathconf,
    Advlock = Advlock,
    Getextattr = Getextattr,
    Listextattr = Listextattr,
    Deleteextattr = Deleteextattr,
    Setextattr = Setextattr,
    Fallocate = Fallocate,
    Fdiscard = Fdiscard,
}

payloads!(Read, Write, Readdir, Getextattr, Setextattr, Listextattr);
