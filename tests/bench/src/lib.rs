//! What takes how long on a puffs mount.
//!
//! A workload is callers that make system calls on a mount, over and over, and
//! the leanest server that can be written: one thread that reads a frame, makes
//! the reply in place and writes it. Nothing of libpuffs is in it, so what is
//! measured is the kernel. The kernel is a [`Place`]: a rump kernel in this
//! process, or the NetBSD that this process runs on.
//!
//! A measurement counts the calls that are made in a time, after a warm-up, by
//! the host's monotonic clock. Nothing is printed or allocated meanwhile.

mod measure;
mod plan;
mod server;
mod sys;
mod workload;

pub use measure::Measured;
pub use plan::Plan;
pub use workload::run;

use puffs_netbsd::Gate;
use std::thread::JoinHandle;

/// Whose thread it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The file server's.
    Server,
    /// The process' that makes the calls.
    Caller,
}

/// The work of a thread.
pub type Work = Box<dyn FnOnce(&dyn Gate) + Send>;

/// A kernel whose speed is measured.
pub trait Place {
    /// Starts a thread of one of the two processes.
    fn spawn(&self, role: Role, work: Work) -> JoinHandle<()>;

    /// Is it the one that this process runs on, so that programs mount on it?
    fn is_own(&self) -> bool {
        false
    }
}
