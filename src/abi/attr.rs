//! The attributes of a file on the wire.

use super::{consts::VNOVAL, numbers, Pad};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

/// A point in time or a span of it (`struct timespec`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Timespec {
    /// Whole seconds.
    pub sec: i64,
    /// Nanoseconds beyond them.
    pub nsec: isize,
}

/// The attributes of a file (`struct vattr`). The message that holds it says
/// which way it travels.
///
/// [`VNOVAL`](super::consts::VNOVAL) in a field means that the field says
/// nothing: the server does not know, or the caller does not wish a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Vattr {
    /// What it is: a [`Vtype`].
    pub vtype: u32,
    /// Permission bits.
    pub mode: u32,
    /// How many names it has.
    pub nlink: u32,
    /// The user who owns it.
    pub uid: u32,
    /// The group that owns it.
    pub gid: u32,
    _pad0: Pad<4, 0, 4>,
    /// The file system that it is in.
    pub fsid: u64,
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
    pub rdev: u64,
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

impl Vattr {
    /// Attributes that say nothing (C: `vattr_null`).
    pub fn unset() -> Vattr {
        const TIME: Timespec = Timespec {
            sec: VNOVAL as i64,
            nsec: VNOVAL as isize,
        };
        let mut va = Vattr::new_zeroed();
        va.mode = VNOVAL as u32;
        va.nlink = VNOVAL as u32;
        va.uid = VNOVAL as u32;
        va.gid = VNOVAL as u32;
        va.fsid = VNOVAL as u64;
        va.fileid = VNOVAL as u64;
        va.size = VNOVAL as u64;
        va.blocksize = VNOVAL as isize;
        va.atime = TIME;
        va.mtime = TIME;
        va.ctime = TIME;
        va.birthtime = TIME;
        va.gen = VNOVAL as usize;
        va.flags = VNOVAL as usize;
        va.rdev = VNOVAL as u64;
        va.bytes = VNOVAL as u64;
        va
    }
}

/// [`Vattr::vaflags`]: the times are to be the current time.
pub const VA_UTIMES_NULL: u32 = 0x01;

/// [`Vattr::vaflags`]: the file must not exist yet.
pub const VA_EXCLUSIVE: u32 = 0x02;

numbers! {
    /// What a file is (`enum vtype`).
    pub enum Vtype: u32 {
        /// Nothing (yet).
        Non = 0,
        /// A regular file.
        Reg = 1,
        /// A directory.
        Dir = 2,
        /// A block device.
        Blk = 3,
        /// A character device.
        Chr = 4,
        /// A symbolic link.
        Lnk = 5,
        /// A local socket.
        Sock = 6,
        /// A fifo.
        Fifo = 7,
        /// A file that was forcibly taken away.
        Bad = 8,
    }
}
