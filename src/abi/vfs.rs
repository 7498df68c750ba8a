//! The messages about the whole file system ([`OpClass::Vfs`]).
//!
//! [`OpClass::Vfs`]: super::OpClass::Vfs

use super::consts::EXTNAMELEN;
use super::{messages, numbers, payloads, Cookie, Kcred, Pad, Req, StatvfsBuf, VfsOp};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The file system is being unmounted (`struct puffs_vfsmsg_unmount`).
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Unmount {
    /// The header.
    pub req: Req,
    /// OUT: the flags of `unmount(2)`.
    pub flags: i32,
    _pad0: Pad<4, 0, 12>,
}

/// Asks for the statistics (`struct puffs_vfsmsg_statvfs`).
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Statvfs {
    /// The header.
    pub req: Req,
    /// IN: the statistics.
    pub sb: StatvfsBuf,
}

/// Have everything written to stable storage
/// (`struct puffs_vfsmsg_sync`).
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Sync {
    /// The header.
    pub req: Req,
    /// OUT: who asks.
    pub cred: Kcred,
    /// OUT: whether to wait for completion, a `MNT_*WAIT*` of the kernel's.
    pub waitfor: i32,
    _pad0: Pad<0, 0, 8>,
}

/// Which file does a file handle stand for
/// (`struct puffs_vfsmsg_fhtonode`)? The handle is the payload, OUT.
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
    pub rdev: u64,
    /// OUT: bytes in the handle.
    pub dsize: usize,
    _pad1: Pad<0, 0, 8>,
    /// OUT: where the handle begins.
    pub data: [u8; 0],
}

/// Make a file handle for a file (`struct puffs_vfsmsg_nodetofh`). The
/// handle is the payload, IN.
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct NodeToFh {
    /// The header.
    pub req: Req,
    /// OUT: the file.
    pub fhcookie: Cookie,
    /// OUT: how many bytes the handle may have. IN: how many it has, or, with
    /// `E2BIG`, would have.
    pub dsize: usize,
    /// IN: where the handle begins.
    pub data: [u8; 0],
}

/// How far the suspension of the file system has come
/// (`struct puffs_vfsmsg_suspend`).
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Suspend {
    /// The header.
    pub req: Req,
    /// OUT: a [`SuspendStatus`].
    pub status: i32,
    _pad0: Pad<4, 0, 12>,
}

/// Controls extended attributes (`struct puffs_vfsmsg_extattrctl`). If
/// `flags` say that there is a file, [`Req::cookie`] is it.
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ExtattrCtl {
    /// The header.
    pub req: Req,
    /// OUT: the command of `extattrctl(2)`.
    pub cmd: i32,
    /// OUT: the namespace of the attribute.
    pub attrnamespace: i32,
    /// OUT: `EXTATTRCTL_*`.
    pub flags: i32,
    /// OUT: the attribute and a NUL, if `flags` say that there is one.
    pub attrname: [u8; EXTNAMELEN],
    _pad0: Pad<5, 1, 5>,
}

/// [`ExtattrCtl::flags`]: the command is about a file.
pub const EXTATTRCTL_HASNODE: i32 = 0x01;

/// [`ExtattrCtl::flags`]: the command is about an attribute.
pub const EXTATTRCTL_HASATTRNAME: i32 = 0x02;

numbers! {
    /// How far a suspension has come (`PUFFS_SUSPEND_*`).
    pub enum SuspendStatus: i32 {
        /// It begins.
        Start = 0,
        /// The file system is suspended.
        Suspended = 1,
        /// The file system has been resumed.
        Resume = 2,
        /// It did not work out.
        Error = 3,
    }
}

messages! { Vfs, VfsOp:
    Unmount = Unmount,
    Statvfs = Statvfs,
    Sync = Sync,
    FhToNode = Fhtovp,
    NodeToFh = Vptofh,
    Suspend = Suspend,
    ExtattrCtl = Extattrctl,
}

payloads!(FhToNode, NodeToFh);
