//! The limits of the protocol, and the special values of its fields.

/// The version of the protocol, which a server states in
/// [`KArgs::vers`](super::KArgs::vers).
pub const VERSION: u32 = 30;

/// `MAXPHYS`: how much NetBSD moves in one piece of raw I/O.
pub const MAXPHYS: usize = 64 * 1024;

/// The longest frame that may be agreed upon at mount.
pub const MSG_MAXSIZE: usize = 2 * MAXPHYS;

/// What a server must allow a message for itself, its payload aside; no
/// message of the protocol is larger.
pub const MSGSTRUCT_MAX: usize = 4096;

/// `MAXPATHLEN`: room for a path and its terminating NUL.
pub const MAXPATHLEN: usize = 1024;

/// `MAXNAMLEN`: how long the name of a file in a directory may be.
pub const MAXNAMLEN: usize = 511;

/// Room for the name of an extended attribute (`KERNEL_NAME_MAX`).
pub const EXTNAMELEN: usize = 255;

/// Room for the name of a file system type, with its NUL.
pub const VFS_NAMELEN: usize = 32;

/// Room for what is mounted, or where, with its NUL.
pub const VFS_MNAMELEN: usize = 1024;

/// What the kernel puts in front of the type name that a server chose.
pub const TYPEPREFIX: &[u8] = b"puffs|";

/// How long the type name of a server may be, so that it fits behind
/// [`TYPEPREFIX`].
pub const TYPELEN: usize = VFS_NAMELEN - (TYPEPREFIX.len() + 2);

/// How long the name of what is mounted may be.
pub const NAMELEN: usize = VFS_MNAMELEN - 1;

/// Room for a short name of the protocol's own.
pub const NAMESIZE: usize = 32;

/// The largest file handle that a server may make: NetBSD's limit, less the
/// four bytes that the kernel puts in front of it.
pub const FHSIZE_MAX: usize = 1020;

/// How many groups credentials have room for.
pub const NGROUPS_MAX: usize = 16;

/// The highest [`VnOp`](super::VnOp).
pub const VN_MAX: usize = super::VnOp::Fdiscard as usize;

/// How much room [`KArgs::vnopmask`](super::KArgs::vnopmask) has beyond
/// [`VN_MAX`] entries.
pub const VN_SPARE: usize = 30;

/// The largest errno that every supported release knows.
///
/// NetBSD 10 knows two more; what the running kernel accepts is for its shim
/// to say.
pub const ELAST: i32 = 96;

/// In a field of [`Vattr`](super::Vattr): no value, or leave the value alone.
///
/// It is -1 in the type of the field, and `VNOVAL as` that type is right for
/// all of them.
pub const VNOVAL: i32 = -1;

/// In place of the size of a file: the server does not say.
pub const VSIZENOTSET: i64 = -1;
