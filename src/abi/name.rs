//! One component of a path on the wire.

use super::consts::MAXPATHLEN;
use super::numbers;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A name in a directory, and why it is looked up (`struct puffs_kcn`, the
/// protocol's `struct componentname`).
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Kcn {
    /// OUT: a [`NameiOp`].
    pub nameiop: u32,
    /// OUT: the `NAMEI_*` flags, among others of the kernel's that servers
    /// have no business with.
    pub flags: u32,
    /// OUT: the name and a NUL; with
    /// [`KFLAG_LOOKUP_FULLPNBUF`](super::KFLAG_LOOKUP_FULLPNBUF) a lookup has
    /// the rest of the path here, too.
    pub name: [u8; MAXPATHLEN],
    /// OUT: bytes in the name alone.
    pub namelen: usize,
    /// IN, on lookup: how many bytes beyond the name the server has dealt
    /// with.
    pub consume: usize,
}

numbers! {
    /// What a name is looked up for (`NAMEI_*`).
    pub enum NameiOp: u32 {
        /// To use the file.
        Lookup = 0,
        /// To create it.
        Create = 1,
        /// To remove it.
        Delete = 2,
        /// To move it, or something over it.
        Rename = 3,
    }
}

/// [`Kcn::flags`]: the name is `..`.
pub const NAMEI_ISDOTDOT: u32 = 0x0000_2000;

/// [`Kcn::flags`]: the kernel is going to cache the answer.
pub const NAMEI_MAKEENTRY: u32 = 0x0000_4000;

/// [`Kcn::flags`]: the path ends with this name.
pub const NAMEI_ISLASTCN: u32 = 0x0000_8000;

/// [`Kcn::flags`]: only a directory will do.
pub const NAMEI_REQUIREDIR: u32 = 0x0008_0000;

/// [`Kcn::flags`]: slashes may follow the name, a directory is being made.
pub const NAMEI_CREATEDIR: u32 = 0x0020_0000;
