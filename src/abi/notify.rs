//! Frames that are not a question of the kernel's: what the server asks for,
//! and what the kernel merely mentions.

use super::{frames, numbers, payloads, Cookie, Pad, Req};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The server asks the kernel to flush or to forget what it has cached
/// (`struct puffs_flush`, of class [`Flush`](super::OpClass::Flush)). The
/// kernel answers with a bare [`Req`].
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Flush {
    /// The header. It is the server that chose [`Req::id`].
    pub req: Req,
    /// IN: the file.
    pub cookie: Cookie,
    /// IN: a [`FlushOp`].
    pub op: i32,
    _pad0: Pad<4, 0, 4>,
    /// IN: where a range of pages begins.
    pub start: i64,
    /// IN: where it ends; 0 stands for the end of the file.
    pub end: i64,
}

numbers! {
    /// What to flush or to forget (`PUFFS_INVAL_*`, `PUFFS_FLUSH_*`).
    pub enum FlushOp: i32 {
        /// Forget one name. No kernel has ever done it.
        InvalNamecacheNode = 0,
        /// Forget the names in a directory.
        InvalNamecacheDir = 1,
        /// Forget all names.
        InvalNamecacheAll = 2,
        /// Forget a range of pages of a file.
        InvalPagecacheNodeRange = 3,
        /// Write back a range of pages of a file.
        FlushPagecacheNodeRange = 4,
    }
}

/// The kernel tells the server that a reply was no good
/// (`struct puffs_error`, of class [`Error`](super::OpClass::Error)). Its
/// [`Req::optype`] is an [`ErrorOp`], its [`Req::cookie`] the file concerned;
/// there is no answer.
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Error {
    /// The header.
    pub req: Req,
    /// OUT: an errno.
    pub error: i32,
    /// OUT: the same in words, with a NUL.
    pub str: [u8; 256],
    _pad0: Pad<4, 0, 12>,
}

numbers! {
    /// Which reply was no good (`PUFFS_ERR_*`).
    pub enum ErrorOp: u16 {
        /// An errno that is none.
        Error = 0,
        /// The node for a new file.
        MakeNode = 1,
        /// The node that a lookup found.
        Lookup = 2,
        /// A directory listing.
        Readdir = 3,
        /// Where a symbolic link leads.
        Readlink = 4,
        /// Data read.
        Read = 5,
        /// The count of data written.
        Write = 6,
        /// A file handle.
        Vptofh = 7,
        /// An extended attribute.
        Getextattr = 8,
        /// The list of extended attributes.
        Listextattr = 9,
    }
}

/// The kernel tells the server which pages it has read or written
/// (`struct puffs_cacheinfo`, of class [`Cache`](super::OpClass::Cache)). A
/// payload of [`CacheRun`]s follows, OUT; there is no answer.
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CacheInfo {
    /// The header.
    pub req: Req,
    /// OUT: a [`CacheUse`].
    pub kind: i32,
    _pad0: Pad<4, 0, 4>,
    /// OUT: how many runs follow.
    pub nruns: usize,
    /// OUT: where the runs begin.
    pub data: [u8; 0],
}

/// A run of bytes that were read or written (`struct puffs_cacherun`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CacheRun {
    /// OUT: where it begins.
    pub runstart: i64,
    /// OUT: where it ends.
    pub runend: i64,
}

numbers! {
    /// What was done to the pages (`PCACHE_TYPE_*`).
    pub enum CacheUse: i32 {
        /// They were read.
        Read = 0,
        /// They were written.
        Write = 1,
    }
}

frames!(Flush, Error, CacheInfo);
payloads!(CacheInfo);
