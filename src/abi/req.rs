//! What every frame starts with, and the numbers that say what it is about.

use super::{numbers, Cookie, Pad};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The header that putter reads, and the only one (`struct putter_hdr`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PutterHdr {
    /// Both ways: bytes in the frame, this header included.
    pub framelen: u64,
}

/// The header of every puffs frame (`struct puffs_req`).
///
/// Its size is a multiple of the strictest alignment of the port, so whatever
/// follows is aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
#[cfg_attr(target_arch = "aarch64", repr(align(16)))]
pub struct Req {
    /// Both ways: the length of this very frame.
    pub pth: PutterHdr,
    /// OUT: what the server repeats in its reply; unique within the mount.
    /// IN, in a request of the server's: what the kernel repeats.
    pub id: u64,
    /// OUT: the file that the request is about, where it is about one.
    pub cookie: Cookie,
    /// Both ways: an [`OpClass`], and the `OPCLASS_*` flags.
    pub opclass: u16,
    /// Both ways: the operation, as its class numbers them.
    pub optype: u16,
    /// IN: 0, or the errno that the operation fails with. OUT, in a response
    /// to the server: the same.
    pub rv: i32,
    /// IN: the `SETBACK_*` that the server wishes.
    pub setbacks: u32,
    /// OUT: the process on whose behalf the request is made.
    pub pid: i32,
    /// OUT: the thread of that process.
    pub lid: i32,
    _pad0: Pad<4, 0, 4>,
    /// OUT: how long a reply may be; at least the length of the request.
    pub buflen: usize,
    _pad1: Pad<0, 0, 8>,
    /// Where the rest of the message begins.
    pub buf: [u8; 0],
}

impl super::Frame for Req {
    fn req(&self) -> &Req {
        self
    }

    fn req_mut(&mut self) -> &mut Req {
        self
    }
}

/// The bits of [`Req::opclass`] that hold the [`OpClass`].
pub const OPCLASS_MASK: u16 = 0x07;

/// Set in [`Req::opclass`]: fire and forget, nobody waits for a reply.
pub const OPCLASS_FAF: u16 = 0x10;

/// Set in [`Req::opclass`]: the kernel answers a request of the server's.
pub const OPCLASS_RESPONSE: u16 = 0x20;

/// [`Req::setbacks`]: tell the server when the node that the request is about
/// becomes inactive.
pub const SETBACK_INACT_N1: u32 = 0x01;

/// [`Req::setbacks`]: the same for the second node of the request.
pub const SETBACK_INACT_N2: u32 = 0x02;

/// [`Req::setbacks`]: the node that the request is about has no more links,
/// so it can be reclaimed as soon as nobody uses it.
pub const SETBACK_NOREF_N1: u32 = 0x04;

/// [`Req::setbacks`]: the same for the second node of the request.
pub const SETBACK_NOREF_N2: u32 = 0x08;

/// All the setbacks there are.
pub const SETBACK_MASK: u32 = 0x0f;

numbers! {
    /// What kind of frame it is (`PUFFSOP_*`).
    pub enum OpClass: u16 {
        /// A [`VfsOp`] for the server.
        Vfs = 1,
        /// A [`VnOp`] for the server.
        Vn = 2,
        /// The kernel tells what it did to its page cache; no reply.
        Cache = 3,
        /// The kernel tells that the server sent nonsense; no reply.
        Error = 4,
        /// The server asks the kernel to flush or forget what it caches.
        Flush = 5,
        /// The server asks the kernel to suspend the file system.
        Suspend = 6,
        /// The server asks the kernel to unmount the file system.
        Unmount = 7,
    }
}

numbers! {
    /// An operation on the file system (`PUFFS_VFS_*`). Those without a
    /// message in [`vfs`](super::vfs) are numbers only.
    pub enum VfsOp: u16 {
        /// Never sent.
        Mount = 0,
        /// Never sent.
        Start = 1,
        /// End the service.
        Unmount = 2,
        /// Never sent.
        Root = 3,
        /// Never sent.
        Quotactl = 4,
        /// How much space there is.
        Statvfs = 5,
        /// Write everything to stable storage.
        Sync = 6,
        /// Never sent.
        Vget = 7,
        /// Find the file that a file handle stands for.
        Fhtovp = 8,
        /// Make a file handle for a file.
        Vptofh = 9,
        /// Never sent.
        Init = 10,
        /// Never sent.
        Done = 11,
        /// Never sent.
        Snapshot = 12,
        /// Control extended attributes.
        Extattrctl = 13,
        /// The file system is being suspended or resumed.
        Suspend = 14,
    }
}

numbers! {
    /// An operation on a file (`PUFFS_VN_*`). The numbers are also the
    /// indices of [`KArgs::vnopmask`](super::KArgs::vnopmask). Those without a
    /// message in [`vn`](super::vn) are numbers only.
    pub enum VnOp: u16 {
        /// Find a name in a directory.
        Lookup = 0,
        /// Make a regular file.
        Create = 1,
        /// Make a device, fifo or socket.
        Mknod = 2,
        /// A file is being opened.
        Open = 3,
        /// A file is being closed.
        Close = 4,
        /// May the caller do this?
        Access = 5,
        /// Read the attributes.
        Getattr = 6,
        /// Change the attributes.
        Setattr = 7,
        /// Read data.
        Read = 8,
        /// Write data.
        Write = 9,
        /// An `ioctl(2)`.
        Ioctl = 10,
        /// An `fcntl(2)`.
        Fcntl = 11,
        /// Which events are there?
        Poll = 12,
        /// Never sent.
        Kqfilter = 13,
        /// Never sent.
        Revoke = 14,
        /// A file is being mapped.
        Mmap = 15,
        /// Write a file to stable storage.
        Fsync = 16,
        /// May the offset be this?
        Seek = 17,
        /// Remove a name of a file.
        Remove = 18,
        /// Give a file another name.
        Link = 19,
        /// Move a name.
        Rename = 20,
        /// Make a directory.
        Mkdir = 21,
        /// Remove a directory.
        Rmdir = 22,
        /// Make a symbolic link.
        Symlink = 23,
        /// List a directory.
        Readdir = 24,
        /// Read where a symbolic link leads.
        Readlink = 25,
        /// What a lookup prepared will not happen.
        Abortop = 26,
        /// Nobody uses the file any more.
        Inactive = 27,
        /// The kernel forgets the file.
        Reclaim = 28,
        /// Never sent.
        Lock = 29,
        /// Never sent.
        Unlock = 30,
        /// Never sent.
        Bmap = 31,
        /// Never sent: block I/O travels as reads and writes.
        Strategy = 32,
        /// Print something about the file, for whoever debugs.
        Print = 33,
        /// Never sent.
        Islocked = 34,
        /// What does the file system promise?
        Pathconf = 35,
        /// An advisory lock.
        Advlock = 36,
        /// Never sent.
        Lease = 37,
        /// Never sent.
        Whiteout = 38,
        /// Never sent.
        Getpages = 39,
        /// Never sent.
        Putpages = 40,
        /// Read an extended attribute.
        Getextattr = 41,
        /// List the extended attributes.
        Listextattr = 42,
        /// Never sent.
        Openextattr = 43,
        /// Remove an extended attribute.
        Deleteextattr = 44,
        /// Write an extended attribute.
        Setextattr = 45,
        /// Never sent.
        Closeextattr = 46,
        /// Reserve space.
        Fallocate = 47,
        /// Give space back.
        Fdiscard = 48,
    }
}
