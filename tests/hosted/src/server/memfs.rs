//! The file system in memory, as servers here serve it.

use super::{Answer, Frame};
use crate::{kernel::HZ, rt};
use puffs_rs::abi::Timespec;
use std::ops::{Deref, DerefMut};

pub use puffs_conform::memfs::{dirent, BLOCKS};

/// A [`puffs_conform::MemFs`] with the time of day of this kernel.
pub struct MemFs(puffs_conform::MemFs);

fn now() -> Timespec {
    let now = rt::wall_clock();
    Timespec {
        sec: now.as_secs() as i64,
        nsec: now.subsec_nanos() as isize,
    }
}

impl Default for MemFs {
    fn default() -> Self {
        MemFs::new()
    }
}

impl MemFs {
    /// A file system with an empty root.
    pub fn new() -> MemFs {
        MemFs(puffs_conform::MemFs::new(now))
    }

    /// Refuses to be unmounted.
    #[must_use]
    pub fn refusing_unmount(self) -> MemFs {
        MemFs(self.0.refusing_unmount())
    }

    /// Lets names and attributes be cached for so many ticks.
    #[must_use]
    pub fn with_ttl(self, ticks: i64) -> MemFs {
        MemFs(self.0.with_ttl(Timespec {
            sec: ticks / HZ,
            nsec: (ticks % HZ * (1_000_000_000 / HZ)) as isize,
        }))
    }

    /// Answers one request. Nobody here waits for a lock, whose answer would
    /// come late.
    pub fn serve(&mut self, request: &Frame) -> Answer {
        self.0.serve(request).map_or(Answer::Nothing, Answer::Reply)
    }
}

impl Deref for MemFs {
    type Target = puffs_conform::MemFs;

    fn deref(&self) -> &puffs_conform::MemFs {
        &self.0
    }
}

impl DerefMut for MemFs {
    fn deref_mut(&mut self) -> &mut puffs_conform::MemFs {
        &mut self.0
    }
}
