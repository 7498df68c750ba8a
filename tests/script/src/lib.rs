//! A scripted file server, and the cases that it plays.
//!
//! A [`Script`] is a puffs server that a test plays by hand or from a list of
//! expectations, down to the single frame: it can answer wrongly, late, twice
//! or never, and die at any point. It needs a kernel to play against, a
//! [`World`]. The hosted kernel is one; a rump kernel with NetBSD's putter
//! device is another.
//!
//! [`cases`] are what every such kernel has to stand: for each [`Case`], what
//! the caller gets, what the server is told, and whether the mount goes on.
//! The table in `docs/CASES.md` is made from them.

mod case;
pub mod cases;
mod frame;
mod names;
mod script;
pub mod table;
pub mod text;
pub mod world;

pub use case::{After, Case, Ends, Told};
pub use frame::Frame;
pub use names::describe;
pub use script::{
    ask_for, attributes, errno, file_attributes, flush, found, header, is_for_creation, mount_args,
    name_of, statvfs, Answer, Call, Notice, Rule, Script, BLOCKS, ENOENT, MNT, ROOT,
};
pub use world::World;
