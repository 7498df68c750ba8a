//! The forms of messages for servers whose `time_t` and `dev_t` have 32 bits:
//! programs of NetBSD 5 and earlier, which ask for them by
//! [`KArgs::time32`](super::KArgs::time32) (C: `puffs50_*`).
//!
//! Only messages with a time or a device differ. Each begins like its native
//! form, up to the first of those; what had a time to live later has none here.

use super::consts::MAXPATHLEN;
use super::{layout::TARGET, Cookie, Kcn, Kcred, Pad, Req};
use core::mem::offset_of;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A point in time (`struct timespec50`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Timespec {
    /// Whole seconds.
    pub sec: i32,
    _pad0: Pad<4, 0, 4>,
    /// Nanoseconds beyond them.
    pub nsec: isize,
}

/// The attributes of a file (`struct vattr50`); see [`super::Vattr`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Vattr {
    /// What it is: a [`Vtype`](super::Vtype).
    pub vtype: u32,
    /// Permission bits.
    pub mode: u32,
    /// How many names it has.
    pub nlink: u32,
    /// The user who owns it.
    pub uid: u32,
    /// The group that owns it.
    pub gid: u32,
    /// The file system that it is in.
    pub fsid: u32,
    /// Its number within the file system.
    pub fileid: u64,
    /// Bytes of data.
    pub size: u64,
    /// The size of I/O that suits it best.
    pub blocksize: isize,
    /// When it was last read.
    pub atime: Timespec,
    /// When it was last written.
    pub mtime: Timespec,
    /// When its attributes were last changed.
    pub ctime: Timespec,
    /// When it was made.
    pub birthtime: Timespec,
    /// How often its number has been reused.
    pub gen: usize,
    /// What `chflags(2)` set.
    pub flags: usize,
    /// The device that it stands for, if it does.
    pub rdev: u32,
    _pad0: Pad<4, 0, 4>,
    /// Bytes that it takes up on the medium.
    pub bytes: u64,
    /// How often it has been changed.
    pub filerev: u64,
    /// `VA_*`: how a change is meant.
    pub vaflags: u32,
    _pad1: Pad<4, 0, 4>,
    /// Unused.
    pub spare: isize,
}

/// Find a name in a directory (`struct puffs50_vnmsg_lookup`).
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
    pub rdev: u32,
    _pad2: Pad<4, 0, 4>,
}

/// Make a file, a device or a directory (`struct puffs50_vnmsg_create`,
/// `_mknod` and `_mkdir`).
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Create {
    /// The header, with the directory to make it in.
    pub req: Req,
    /// OUT: the name.
    pub cn: Kcn,
    /// OUT: who asks.
    pub cn_cred: Kcred,
    _pad0: Pad<4, 0, 4>,
    /// OUT: the attributes to make it with.
    pub va: Vattr,
    /// IN: the file.
    pub newnode: Cookie,
}

/// Read or change the attributes (`struct puffs50_vnmsg_setgetattr`).
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Attributes {
    /// The header.
    pub req: Req,
    /// OUT: who asks.
    pub cred: Kcred,
    _pad0: Pad<4, 0, 4>,
    /// The attributes: to change OUT, as they are IN.
    pub va: Vattr,
}

/// Make a symbolic link (`struct puffs50_vnmsg_symlink`).
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
    /// OUT: the attributes to make it with.
    pub va: Vattr,
    /// IN: the link.
    pub newnode: Cookie,
    /// OUT: where it leads, with a NUL.
    pub link: [u8; MAXPATHLEN],
}

/// Which file does a file handle stand for (`struct puffs50_vfsmsg_fhtonode`)?
/// The handle is the payload, OUT.
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FhToNode {
    /// The header.
    pub req: Req,
    /// IN: the file.
    pub fhcookie: Cookie,
    /// IN: what it is, a [`Vtype`](super::Vtype).
    pub vtype: u32,
    _pad0: Pad<4, 0, 4>,
    /// IN: its size.
    pub size: i64,
    /// IN: the device that it stands for, if it does.
    pub rdev: u32,
    _pad1: Pad<4, 0, 4>,
    /// OUT: bytes in the handle.
    pub dsize: usize,
    _pad2: Pad<0, 0, 8>,
    /// OUT: where the handle begins.
    pub data: [u8; 0],
}

/// Asserts what C compilers make of it on amd64, i386 and aarch64.
macro_rules! at {
    ($($what:expr => $places:expr,)+) => { $( const _: () = assert!($what == $places[TARGET]); )+ };
}

at! {
    size_of::<Timespec>() => [16, 8, 16],
    size_of::<Vattr>() => [168, 112, 168],
    offset_of!(Vattr, fileid) => [24, 24, 24],
    offset_of!(Vattr, atime) => [48, 44, 48],
    offset_of!(Vattr, rdev) => [128, 84, 128],
    offset_of!(Vattr, bytes) => [136, 88, 136],
    offset_of!(Vattr, vaflags) => [152, 104, 152],
    size_of::<Lookup>() => [1224, 1188, 1232],
    offset_of!(Lookup, newnode) => [1192, 1168, 1200],
    offset_of!(Lookup, rdev) => [1216, 1184, 1224],
    size_of::<Create>() => [1368, 1284, 1376],
    offset_of!(Create, va) => [1192, 1168, 1200],
    offset_of!(Create, newnode) => [1360, 1280, 1368],
    size_of::<Attributes>() => [312, 240, 320],
    offset_of!(Attributes, va) => [144, 128, 152],
    size_of::<Symlink>() => [2392, 2308, 2400],
    offset_of!(Symlink, link) => [1368, 1284, 1376],
    size_of::<FhToNode>() => [96, 68, 112],
    offset_of!(FhToNode, rdev) => [80, 60, 88],
    offset_of!(FhToNode, dsize) => [88, 64, 96],
    offset_of!(FhToNode, data) => [96, 68, 112],
}
