//! puffs-rs on a machine without NetBSD.
//!
//! The core of puffs-rs asks a kernel for what it needs by a small C ABI
//! (`c_shim/puffs_kern.h`). This crate is such a kernel, on threads, and
//! all that it takes to use a file system with it:
//!
//! | module | what it is | on NetBSD |
//! |---|---|---|
//! | [`kernel`] | the kernel services, the vnode cache, the putter device | the kernel, `c_shim/puffs_kern.c`, `putter.c` |
//! | [`vnops`] | the vnode operations, as they are called | `vnode_if.c`, `c_shim/puffs_vnops.c` |
//! | [`user`] | processes that open, read and rename by path | system calls |
//! | [`server`] | servers: a raw client of the device, and a file system in memory | libpuffs and a file server |
//! | `model`, `schedule` | the same on many schedules, with the feature `shuttle` | |
//! | [`mod@bench`] | a kernel, a mount and a scripted server in one, for tests | |
//! | [`world`] | the kernel as the scripted cases of `puffs-script` see it | |
//!
//! Everything that crosses the device crosses it in the real framing, and the
//! core runs unchanged: what a test finds here, it finds in the product.

pub mod bench;
pub mod kernel;
#[cfg(feature = "shuttle")]
pub mod model;
mod rt;
#[cfg(feature = "shuttle")]
pub mod schedule;
pub mod server;
pub mod user;
pub mod vnops;
pub mod world;
