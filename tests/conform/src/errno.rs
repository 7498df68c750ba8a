//! The errors that checks are about, in NetBSD's numbers.
#![allow(missing_docs)] // They are those of errno(2).

pub const EPERM: i32 = 1;
pub const ENOENT: i32 = 2;
pub const EBADF: i32 = 9;
pub const EDEADLK: i32 = 11;
pub const EACCES: i32 = 13;
pub const EBUSY: i32 = 16;
pub const EEXIST: i32 = 17;
pub const EXDEV: i32 = 18;
pub const ENOTDIR: i32 = 20;
pub const EISDIR: i32 = 21;
pub const EINVAL: i32 = 22;
pub const EFBIG: i32 = 27;
pub const ENOSPC: i32 = 28;
pub const EAGAIN: i32 = 35;
pub const EOPNOTSUPP: i32 = 45;
pub const EADDRINUSE: i32 = 48;
pub const ECONNREFUSED: i32 = 61;
pub const ELOOP: i32 = 62;
pub const ENAMETOOLONG: i32 = 63;
pub const ENOTEMPTY: i32 = 66;
pub const ESTALE: i32 = 70;
pub const EFTYPE: i32 = 79;
pub const ENOATTR: i32 = 93;
