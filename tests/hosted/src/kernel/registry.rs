//! The structures of this kernel that the core knows by their address.
//!
//! The "address" is a number that is never used twice, and every use looks it
//! up. So a structure that was freed is found out at the first touch, whatever
//! the allocator did with its memory.

use super::fatal::fatal;
use std::{
    collections::BTreeMap,
    ptr,
    sync::{
        atomic::{AtomicUsize, Ordering},
        Arc, PoisonError, RwLock,
    },
};

const SHARDS: usize = 16;

/// All live structures of one type.
pub(crate) struct Registry<T> {
    kind: &'static str,
    alive: AtomicUsize,
    shards: [RwLock<BTreeMap<usize, Arc<T>>>; SHARDS],
}

/// A number that nothing had before; it looks like an aligned address.
fn next_handle() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0x1_0000);
    NEXT.fetch_add(1, Ordering::Relaxed) * 16
}

impl<T> Registry<T> {
    pub(crate) const fn new(kind: &'static str) -> Self {
        Registry {
            kind,
            alive: AtomicUsize::new(0),
            shards: [const { RwLock::new(BTreeMap::new()) }; SHARDS],
        }
    }

    fn shard(&self, handle: usize) -> &RwLock<BTreeMap<usize, Arc<T>>> {
        &self.shards[handle / 16 % SHARDS]
    }

    /// Makes a structure that knows its own handle.
    pub(crate) fn add(&self, make: impl FnOnce(usize) -> T) -> Arc<T> {
        let handle = next_handle();
        let made = Arc::new(make(handle));
        let mut shard = self
            .shard(handle)
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        shard.insert(handle, Arc::clone(&made));
        self.alive.fetch_add(1, Ordering::Relaxed);
        made
    }

    /// The structure of a handle, if it is alive.
    pub(crate) fn find(&self, handle: usize) -> Option<Arc<T>> {
        let shard = self
            .shard(handle)
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        shard.get(&handle).cloned()
    }

    /// The structure that `raw` stands for, which must be alive.
    pub(crate) fn get<R>(&self, raw: *const R) -> Arc<T> {
        match self.find(raw.addr()) {
            Some(found) => found,
            None => fatal!(
                "use of a {} that is not there: {:#x}",
                self.kind,
                raw.addr()
            ),
        }
    }

    /// Ends the life of a structure.
    pub(crate) fn remove(&self, handle: usize) -> Arc<T> {
        let mut shard = self
            .shard(handle)
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        match shard.remove(&handle) {
            Some(found) => {
                self.alive.fetch_sub(1, Ordering::Relaxed);
                found
            }
            None => fatal!("{} freed twice: {handle:#x}", self.kind),
        }
    }

    /// All live structures, the oldest first.
    pub(crate) fn all(&self) -> Vec<Arc<T>> {
        let mut all = Vec::new();
        for shard in &self.shards {
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            all.extend(shard.iter().map(|(&handle, it)| (handle, it.clone())));
        }
        all.sort_unstable_by_key(|&(handle, _)| handle);
        all.into_iter().map(|(_, it)| it).collect()
    }

    /// How many are alive.
    pub(crate) fn count(&self) -> usize {
        self.alive.load(Ordering::Relaxed)
    }
}

/// A handle as the pointer that the core is given.
pub(crate) fn raw<R>(handle: usize) -> *mut R {
    ptr::without_provenance_mut(handle)
}

pub(crate) use crate::rt::host_lock as lock;
