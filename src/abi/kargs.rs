//! What server and kernel agree upon at mount.

use super::consts::{VFS_MNAMELEN, VFS_NAMELEN, VN_MAX, VN_SPARE};
use super::{Cookie, Pad};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The argument of `mount(2)` for a puffs file system
/// (`struct puffs_kargs`).
///
/// The kernel adjusts some of it and keeps the result, which is what
/// `MNT_GETARGS` hands out.
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct KArgs {
    /// IN: [`VERSION`](super::consts::VERSION).
    pub vers: u32,
    /// IN: the server's descriptor of `/dev/putter`.
    pub fd: i32,
    /// IN: `KFLAG_*`.
    pub flags: u32,
    _pad0: Pad<4, 0, 4>,
    /// IN: the longest frame that the server would take; 0 leaves it to the
    /// kernel. OUT: what it will be.
    pub maxmsglen: usize,
    /// IN: formerly the size of the hash table of nodes.
    pub nhashbuckets: i32,
    _pad1: Pad<4, 0, 4>,
    /// IN: how long the server's file handles are, or may become; 0 if it
    /// makes none.
    pub fhsize: usize,
    /// IN: `FHFLAG_*`.
    pub fhflags: i32,
    /// IN: not 0 for each [`VnOp`](super::VnOp) that the server handles.
    pub vnopmask: [u8; VN_MAX + VN_SPARE],
    /// IN: what the server calls its type of file system. OUT: the same
    /// behind [`TYPEPREFIX`](super::consts::TYPEPREFIX).
    pub typename: [u8; VFS_NAMELEN],
    /// IN: what is being mounted.
    pub mntfromname: [u8; VFS_MNAMELEN],
    _pad2: Pad<6, 2, 6>,
    /// IN: the root directory.
    pub root_cookie: Cookie,
    /// IN: what the root is, a [`Vtype`](super::Vtype).
    pub root_vtype: u32,
    _pad3: Pad<4, 0, 4>,
    /// IN: the size of the root.
    pub root_vsize: i64,
    /// IN: the device that the root stands for, if it does (a member of
    /// `devunion` in C).
    pub root_rdev: u64,
    /// IN: the statistics to begin with. OUT: completed by the kernel.
    pub svfsb: StatvfsBuf,
    /// IN: not 0 if the server's times have 32 bits, as before NetBSD 6.
    pub time32: u32,
    /// IN: zeroes.
    pub spare: [u32; 127],
}

/// [`KArgs::flags`]: do not cache names.
pub const KFLAG_NOCACHE_NAME: u32 = 0x001;

/// [`KArgs::flags`]: do not cache pages.
pub const KFLAG_NOCACHE_PAGE: u32 = 0x002;

/// [`KArgs::flags`]: cache neither.
pub const KFLAG_NOCACHE: u32 = KFLAG_NOCACHE_NAME | KFLAG_NOCACHE_PAGE;

/// [`KArgs::flags`]: send every operation, whatever
/// [`vnopmask`](KArgs::vnopmask) says.
pub const KFLAG_ALLOPS: u32 = 0x004;

/// [`KArgs::flags`]: a write to a cached page goes to the server at once.
pub const KFLAG_WTCACHE: u32 = 0x008;

/// [`KArgs::flags`]: send INACTIVE only for nodes with a setback that asks
/// for it.
pub const KFLAG_IAONDEMAND: u32 = 0x010;

/// [`KArgs::flags`]: give a lookup the rest of the path.
pub const KFLAG_LOOKUP_FULLPNBUF: u32 = 0x020;

/// [`KArgs::flags`]: do not cache attributes. It has a number and no effect,
/// and [`KFLAG_MASK`] refuses it.
pub const KFLAG_NOCACHE_ATTR: u32 = 0x040;

/// [`KArgs::flags`]: the server says for how long its answers may be cached.
pub const KFLAG_CACHE_FS_TTL: u32 = 0x080;

/// [`KArgs::flags`]: remember parent directories, do not ask for `..`.
pub const KFLAG_CACHE_DOTDOT: u32 = 0x100;

/// [`KArgs::flags`]: the server keeps times itself; do not send it those that
/// the kernel noted down.
pub const KFLAG_NOFLUSH_META: u32 = 0x200;

/// The flags that a server may set.
pub const KFLAG_MASK: u32 = 0x3bf;

/// [`KArgs::fhflags`]: handles vary in length.
pub const FHFLAG_DYNAMIC: i32 = 0x01;

/// [`KArgs::fhflags`]: handles must fit NFS version 2.
pub const FHFLAG_NFSV2: i32 = 0x02;

/// [`KArgs::fhflags`]: handles must fit NFS version 3.
pub const FHFLAG_NFSV3: i32 = 0x04;

/// Both of those.
pub const FHFLAG_PROTOMASK: i32 = FHFLAG_NFSV2 | FHFLAG_NFSV3;

/// [`KArgs::fhflags`]: the server makes the whole handle, its head included.
pub const FHFLAG_PASSTHROUGH: i32 = 0x08;

/// The flags that a server may set.
pub const FHFLAG_MASK: i32 = 0x0f;

/// The statistics of a file system: `struct statvfs` up to NetBSD 9, since
/// then `struct puffs_statvfs`. The message that holds it says which way it
/// travels; what is said here to be the kernel's, the kernel fills in.
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct StatvfsBuf {
    /// The kernel's: flags of the mount.
    pub flag: usize,
    /// Bytes in a block.
    pub bsize: usize,
    /// The unit in which blocks are counted below.
    pub frsize: usize,
    /// The size of I/O that suits it best.
    pub iosize: usize,
    /// Blocks altogether.
    pub blocks: u64,
    /// Blocks not in use.
    pub bfree: u64,
    /// Blocks that anybody may take.
    pub bavail: u64,
    /// Blocks set aside for the superuser.
    pub bresvd: u64,
    /// Files altogether.
    pub files: u64,
    /// Files not in use.
    pub ffree: u64,
    /// Files that anybody may make.
    pub favail: u64,
    /// Files set aside for the superuser.
    pub fresvd: u64,
    /// Reads that somebody waited for.
    pub syncreads: u64,
    /// Writes that somebody waited for.
    pub syncwrites: u64,
    /// Reads that nobody waited for.
    pub asyncreads: u64,
    /// Writes that nobody waited for.
    pub asyncwrites: u64,
    /// The kernel's: its id of the mount.
    pub fsidx: [i32; 2],
    /// The kernel's: the same in one word.
    pub fsid: usize,
    /// The longest name of a file.
    pub namemax: usize,
    /// The kernel's: who mounted it.
    pub owner: u32,
    /// Unused.
    pub spare: [u32; 4],
    /// The kernel's: the type of the file system, with a NUL.
    pub fstypename: [u8; VFS_NAMELEN],
    /// The kernel's: where it is mounted, with a NUL.
    pub mntonname: [u8; VFS_MNAMELEN],
    /// The kernel's: what is mounted, with a NUL.
    pub mntfromname: [u8; VFS_MNAMELEN],
    _pad0: Pad<4, 0, 4>,
}
