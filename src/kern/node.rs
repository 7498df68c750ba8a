//! `struct puffs_node`: what the kernel keeps of a file of the server's.

use super::{sync::RawGuard, sys};
use core::ptr::NonNull;

/// A node that somebody keeps referenced for as long as the handle is used.
#[derive(Clone, Copy)]
pub struct NodeRef(NonNull<sys::puffs_node>);

// SAFETY: nodes are shared under their own lock.
unsafe impl Send for NodeRef {}
// SAFETY: nodes are shared under their own lock.
unsafe impl Sync for NodeRef {}

impl NodeRef {
    /// # Safety
    /// `pn` is NULL or stays referenced for as long as the handle is used.
    pub unsafe fn new(pn: *mut sys::puffs_node) -> Option<NodeRef> {
        NonNull::new(pn).map(NodeRef)
    }

    fn as_ptr(self) -> *mut sys::puffs_node {
        self.0.as_ptr()
    }

    /// Runs `f` inside `pn_mtx`.
    pub fn with_lock<R>(self, f: impl FnOnce() -> R) -> R {
        // SAFETY: referenced.
        let raw = unsafe { sys::pk_node_mutex(self.as_ptr()) };
        let _guard = NonNull::new(raw).map(|raw| {
            // SAFETY: the lock lives as long as its node.
            unsafe { RawGuard::enter(raw) }
        });
        f()
    }

    /// Adds a reference; the caller holds `pn_mtx`.
    pub fn reference_locked(self) {
        // SAFETY: referenced, inside its lock.
        unsafe { sys::pk_node_addref(self.as_ptr(), 1) };
    }

    /// Gives a reference back, the last of which frees the node.
    pub fn release(self) {
        // SAFETY: referenced by what is given back now, inside the lock.
        let left = self.with_lock(|| unsafe { sys::pk_node_addref(self.as_ptr(), -1) });
        if left == 0 {
            // SAFETY: that was the last reference.
            unsafe { sys::pk_node_destroy(self.as_ptr()) };
        }
    }

    /// What the server calls the node.
    pub fn cookie(self) -> usize {
        // SAFETY: referenced; the cookie never changes.
        unsafe { sys::pk_node_cookie(self.as_ptr()) as usize }
    }

    /// The number of the type of its vnode, which the caller has referenced.
    pub fn vtype(self) -> u32 {
        // SAFETY: referenced, and so is its vnode.
        unsafe { sys::pk_node_vtype(self.as_ptr()) }
    }

    /// Sets and clears bits of the node's status (PNODE_*).
    pub fn change_status(self, set: u32, clear: u32) {
        // SAFETY: referenced.
        unsafe { sys::pk_node_stat(self.as_ptr(), set, clear) };
    }

    /// Records the size that the server knows.
    pub fn set_server_size(self, size: i64) {
        // SAFETY: referenced.
        unsafe { sys::pk_node_set_serversize(self.as_ptr(), size) };
    }

    /// Records a time that the server is to learn later; `which` is the bit
    /// PNODE_METACACHE_* of the time.
    pub fn cache_time(self, which: u32, time: &sys::pk_timespec) {
        // SAFETY: referenced; a valid time.
        unsafe { sys::pk_node_set_mctime(self.as_ptr(), which, time) };
    }

    /// Records a size that the server is to learn later.
    pub fn cache_size(self, size: i64) {
        // SAFETY: referenced.
        unsafe { sys::pk_node_set_mcsize(self.as_ptr(), size) };
    }

    /// Runs `f`, inside `pn_mtx`, on the node's count of unanswered polls and
    /// the events that are there for whoever polls next.
    pub fn with_polls<R>(self, f: impl FnOnce(&mut sys::pk_polls, i32) -> R) -> R {
        self.with_lock(|| {
            // SAFETY: referenced, inside its lock.
            let there = unsafe { sys::pk_node_revents(self.as_ptr()) };
            // SAFETY: referenced, inside its lock.
            let polls = unsafe { sys::pk_node_polls(self.as_ptr()) };
            // SAFETY: lives in the node, which is referenced; zeroed at first,
            // and reached here only, inside the node's lock.
            f(unsafe { &mut *polls }, there)
        })
    }

    /// Adds poll events and wakes who polls the node.
    pub fn wake_pollers(self, events: i32) {
        // SAFETY: referenced, inside its lock.
        self.with_lock(|| unsafe { sys::pk_node_add_revents(self.as_ptr(), events) });
        // SAFETY: referenced.
        unsafe { sys::pk_node_selnotify(self.as_ptr(), events) };
    }

    /// Makes the pools that nodes and their attributes live in.
    pub fn init_pools() {
        // SAFETY: called once, before any node.
        unsafe { sys::pk_node_pools_init() };
    }

    /// Destroys the pools.
    pub fn destroy_pools() {
        // SAFETY: called once, after the last node.
        unsafe { sys::pk_node_pools_destroy() };
    }
}
