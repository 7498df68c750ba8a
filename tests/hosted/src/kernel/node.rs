//! Nodes: what vnodes point to (`v_data`). The kernel's part is kept here, the
//! core's is memory behind a fence.

use super::{
    fatal::{fatal, kassert},
    lwp::{self, Limits},
    mem,
    registry::lock,
    sync, vnode,
};
use puffs_rs::kern::{
    sys::{self, pk_vop},
    Errno, Result,
};
use std::{
    collections::BTreeMap,
    ffi::c_void,
    ptr,
    sync::{
        atomic::{AtomicU64, AtomicUsize, Ordering},
        Arc, Mutex,
    },
};

/// The kernel's part of a node.
pub(crate) struct Node {
    /// Where the core's is.
    address: usize,
    /// How often pollers were woken.
    notified: AtomicU64,
    /// How often that was when an lwp was recorded.
    recorded: Mutex<BTreeMap<i32, u64>>,
}

/// All nodes, by where the core's part is.
static NODES: Mutex<BTreeMap<usize, Arc<Node>>> = Mutex::new(BTreeMap::new());
/// How long the core's part is; 0: there is no pool.
static SIZE: AtomicUsize = AtomicUsize::new(0);

pub(crate) fn count() -> usize {
    lock(&NODES).len()
}

pub(crate) fn find(address: usize) -> Option<Arc<Node>> {
    lock(&NODES).get(&address).cloned()
}

fn of(rs: *const c_void) -> Arc<Node> {
    match find(rs.addr()) {
        Some(node) => node,
        None => fatal!("use of a node that is not there: {rs:p}"),
    }
}

impl Node {
    fn notified(&self) -> u64 {
        self.notified.load(Ordering::Acquire)
    }

    /// Waits until the calling lwp is woken, which VOP_POLL recorded.
    ///
    /// # Errors
    /// EINTR.
    pub(crate) fn wait(&self) -> Result<()> {
        let lid = lwp::current().lid();
        let recorded = lock(&self.recorded).remove(&lid);
        let recorded = recorded.unwrap_or_else(|| self.notified());
        let limits = Limits {
            interruptible: true,
            ticks: Some(1),
        };
        while self.notified() == recorded {
            let error = lwp::sleep(self.channel(), "select", limits, || {});
            if error != 0 && error != Errno::EWOULDBLOCK.get() {
                return Err(Errno::EINTR);
            }
        }
        Ok(())
    }

    /// Where pollers sleep.
    fn channel(&self) -> usize {
        // Handles are far from addresses.
        self.address
    }
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_node_pool_init(size: usize) {
    kassert!(size != 0, "nodes of no size");
    let before = SIZE.swap(size, Ordering::AcqRel);
    kassert!(before == 0, "node pool made twice");
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_node_pool_destroy() {
    let before = SIZE.swap(0, Ordering::AcqRel);
    kassert!(before != 0, "node pool destroyed twice");
    kassert!(count() == 0, "node pool destroyed with nodes out");
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_node_create() -> *mut c_void {
    sync::assert_sleepable("pk_node_create");
    let size = SIZE.load(Ordering::Acquire);
    kassert!(size != 0, "a node without a pool");
    let start = mem::take(size);
    let address = start.expose_provenance();
    let node = Node {
        address,
        notified: AtomicU64::new(0),
        recorded: Mutex::default(),
    };
    lock(&NODES).insert(address, Arc::new(node));
    start.cast()
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_node_destroy(rs: *mut c_void) {
    let Some(node) = lock(&NODES).remove(&rs.addr()) else {
        fatal!("a node destroyed twice: {rs:p}");
    };
    lwp::wakeup_all(node.channel());
    let size = SIZE.load(Ordering::Acquire);
    // SAFETY: it was in the table, so it is one of `take`, once.
    unsafe { mem::give(rs.cast(), size, "node") };
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_node_attach(rs: *mut c_void, vp: *mut sys::vnode, root: bool) {
    vnode::of(vp).attach(of(rs).address, root);
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_node_detach(vp: *mut sys::vnode) {
    vnode::of(vp).detach();
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_vnode_node(vp: *mut sys::vnode) -> *mut c_void {
    let vnode = vnode::of(vp);
    vnode.assert_node_kept();
    ptr::with_exposed_provenance_mut(vnode.data())
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_node_selrecord(rs: *mut c_void) {
    let node = of(rs);
    lock(&node.recorded).insert(lwp::current().lid(), node.notified());
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_node_selnotify(rs: *mut c_void, _events: i32) {
    let node = of(rs);
    node.notified.fetch_add(1, Ordering::AcqRel);
    lwp::wakeup_all(node.channel());
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_node_advlock(
    rs: *mut c_void,
    _call: *mut pk_vop,
    _size: i64,
) -> i32 {
    // This kernel keeps no locks (`Ability::KernelLocks`).
    of(rs);
    Errno::EOPNOTSUPP.get()
}
