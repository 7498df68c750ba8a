//! puffs-rs: the in-kernel half of NetBSD's puffs(4), in Rust.
//!
//! puffs lets an ordinary process be a file system. The kernel *parks* the
//! caller of a vnode or file system operation, sends a request through the
//! [putter] device, and completes the operation from the server's reply. The
//! server is an ordinary process: nothing it sends, and no moment it dies at,
//! may do more than fail its own mount.
//!
//! The modules are layers; each uses only those above it:
//!
//! | module | what it is | C counterpart |
//! |---|---|---|
//! | [`abi`] | the bytes that cross the wire, without logic | `puffs_msgif.h`, `putter.h` |
//! | [`kern`] | safe handles on the kernel services that `c_shim/puffs_kern.h` declares | `mutex(9)`, `condvar(9)`, `kmem(9)`, `vnode(9)`, … |
//! | [`msgif`] | parks, the queue to the server, the pending replies, the service thread | `puffs_msgif.c` |
//! | [`mount`] | a mount | `struct puffs_mount` |
//! | [`subr`], [`node`] | names and credentials, completions, the cookie–vnode tie | `puffs_subr.c`, `puffs_node.c` |
//! | [`vfsops`] | what the kernel calls on a mount | `puffs_vfsops.c` |
//! | [`vnops`] | what the kernel calls on a file | `puffs_vnops.c` |
//! | [`entry`] | the `extern "C"` edge | `struct vfsops`, `struct putter_ops`, the tables of vnode operations |
//!
//! `unsafe` stands in [`kern`] and [`entry`] only; everywhere else the
//! compiler refuses it.
//!
//! [putter]: https://man.netbsd.org/putter.4

#![no_std]
#![deny(unsafe_code)]

pub mod abi;
#[allow(unsafe_code)]
pub mod kern;
pub mod mount;
pub mod msgif;
pub mod node;
pub mod subr;
pub mod vfsops;
pub mod vnops;

#[allow(unsafe_code)]
pub mod entry;

#[cfg(target_os = "none")]
mod panic;
