//! Does a mount of puffs behave as a file system?
//!
//! A [`Check`] does what programs do to a file system, by system calls, and says
//! what has to come of it. Its server is a real one, [`memfs`], which runs in a
//! thread of a process of its own and counts what it is asked. Most checks are
//! played under each of the [`Flags`] that a mount may have: what they change is
//! the traffic, not the outcome. What a flag changes is said by checks of its
//! own, in numbers of requests.
//!
//! A check knows of the kernel only what a [`World`](puffs_script::World) has: it
//! is the same one on the hosted kernel, on a rump kernel, and in a NetBSD.

mod bed;
mod check;
pub mod checks;
pub mod errno;
pub mod fsx;
pub mod memfs;
mod model;
mod play;
mod sequence;
pub mod table;

pub use bed::{Bed, Entry, File, Outcome};
pub use check::{Check, Flags};
pub use memfs::MemFs;
pub use play::Play;
