//! `struct puffs_node` and `struct puffs_mount`: what the vnode operations and
//! the core share.

use super::{
    clock,
    fatal::kassert,
    lwp,
    registry::{lock, raw, Registry},
    sync::{self, Class, KMutex},
    vfs, vnode,
};
use puffs_rs::{
    abi::KArgs,
    kern::sys::{self, pk_cv, pk_mutex, pk_timespec, puffs_mount, puffs_node},
};
use std::{
    cell::UnsafeCell,
    collections::VecDeque,
    ffi::c_void,
    ptr,
    sync::{
        atomic::{AtomicBool, AtomicUsize, Ordering},
        Arc, Mutex,
    },
};
use zerocopy::FromBytes;

/// The C part of a mount.
pub(crate) struct Pmp {
    handle: usize,
    mp: usize,
    args: KArgs,
    rust: AtomicUsize,
    lock: Arc<KMutex>,
    root: AtomicUsize,
    sopmtx: Arc<KMutex>,
    sopcv: SharedCv,
    sop: Mutex<Sop>,
}

#[derive(Default)]
struct Sop {
    running: bool,
    /// When, and of which file.
    expiries: VecDeque<(i64, usize)>,
}

/// Storage of a condition variable that many threads use.
struct SharedCv(Box<UnsafeCell<pk_cv>>);

// SAFETY: written once, before it is shared.
unsafe impl Send for SharedCv {}
// SAFETY: written once, before it is shared.
unsafe impl Sync for SharedCv {}

impl SharedCv {
    fn new() -> SharedCv {
        let cv = SharedCv(Box::default());
        // SAFETY: storage that nobody else knows, and a C string.
        unsafe { sync::pk_cv_init(cv.raw(), c"puffsop".as_ptr()) };
        cv
    }

    fn raw(&self) -> *mut pk_cv {
        self.0.get()
    }
}

impl Drop for SharedCv {
    fn drop(&mut self) {
        // SAFETY: initialised, and nobody else has it.
        unsafe { sync::pk_cv_destroy(self.raw()) };
    }
}

static PMPS: Registry<Pmp> = Registry::new("puffs_mount");

pub(crate) fn pmp_count() -> usize {
    PMPS.count()
}

pub(crate) fn find_pmp(handle: usize) -> Option<Arc<Pmp>> {
    PMPS.find(handle)
}

/// The C part of a mount is there.
pub(crate) fn assert_pmp(pmp: *mut puffs_mount) {
    PMPS.get(pmp);
}

impl Pmp {
    pub(crate) fn args(&self) -> &KArgs {
        &self.args
    }

    pub(crate) fn raw(&self) -> *mut puffs_mount {
        raw(self.handle)
    }

    /// The root's vnode is being reclaimed.
    pub(crate) fn forget_root(&self) {
        self.lock.with(|| self.root.store(0, Ordering::Release));
    }

    /// Queues the expiry of a node that nobody uses, at a time in ticks.
    /// False if the service thread takes none any more.
    pub(crate) fn queue_expiry(&self, at: i64, cookie: usize) -> bool {
        self.sopmtx.with(|| {
            let mut sop = lock(&self.sop);
            if sop.running {
                sop.expiries.push_back((at, cookie));
            }
            sop.running
        })
    }
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_pmp_create(
    mp: *mut sys::mount,
    args: *const c_void,
    rust: *mut c_void,
) -> *mut puffs_mount {
    sync::assert_sleepable("pk_pmp_create");
    // SAFETY: the core passes whole arguments.
    let bytes = unsafe { std::slice::from_raw_parts(args.cast::<u8>(), size_of::<KArgs>()) };
    let Ok(args) = KArgs::read_from_bytes(bytes) else {
        return ptr::null_mut();
    };
    let pmp = PMPS.add(|handle| Pmp {
        handle,
        mp: mp.addr(),
        args,
        rust: AtomicUsize::new(rust.expose_provenance()),
        lock: KMutex::new(Class::Pmp),
        root: AtomicUsize::new(0),
        sopmtx: KMutex::new(Class::Sop),
        sopcv: SharedCv::new(),
        sop: Mutex::default(),
    });
    pmp.raw()
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_pmp_destroy(pmp: *mut puffs_mount) {
    let pmp = PMPS.remove(PMPS.get(pmp).handle);
    let sop = lock(&pmp.sop);
    kassert!(
        sop.expiries.is_empty(),
        "pmp destroyed with {} expiries",
        sop.expiries.len()
    );
    kassert!(!sop.running, "pmp destroyed while the service thread runs");
    drop(sop);
    vfs_forget(&pmp);
    pmp.lock.destroy();
    pmp.sopmtx.destroy();
}

/// Who still holds the mount structure finds nothing.
fn vfs_forget(pmp: &Pmp) {
    vfs::of(raw(pmp.mp)).forget_data(pmp.handle);
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_pmp_rs(pmp: *mut puffs_mount) -> *mut c_void {
    ptr::with_exposed_provenance_mut(PMPS.get(pmp).rust.load(Ordering::Acquire))
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_pmp_set_rs(pmp: *mut puffs_mount, rust: *mut c_void) {
    PMPS.get(pmp)
        .rust
        .store(rust.expose_provenance(), Ordering::Release);
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_pmp_mount(pmp: *mut puffs_mount) -> *mut sys::mount {
    raw(PMPS.get(pmp).mp)
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_pmp_args(pmp: *mut puffs_mount) -> *const c_void {
    // The structure keeps them for as long as it lives.
    ptr::from_ref(&PMPS.get(pmp).args).cast()
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_pmp_lock(pmp: *mut puffs_mount) -> *mut pk_mutex {
    PMPS.get(pmp).lock.raw()
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_pmp_root(pmp: *mut puffs_mount) -> *mut sys::vnode {
    let pmp = PMPS.get(pmp);
    pmp.lock.assert_mine();
    raw(pmp.root.load(Ordering::Acquire))
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_pmp_set_root(pmp: *mut puffs_mount, vp: *mut sys::vnode) {
    let pmp = PMPS.get(pmp);
    pmp.lock.assert_mine();
    pmp.root.store(vp.addr(), Ordering::Release);
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_pmp_sopmtx(pmp: *mut puffs_mount) -> *mut pk_mutex {
    PMPS.get(pmp).sopmtx.raw()
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_pmp_sopcv(pmp: *mut puffs_mount) -> *mut pk_cv {
    PMPS.get(pmp).sopcv.raw()
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_pmp_sop_running(pmp: *mut puffs_mount, running: bool) {
    let pmp = PMPS.get(pmp);
    pmp.sopmtx.assert_mine();
    lock(&pmp.sop).running = running;
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_pmp_sop_take(
    pmp: *mut puffs_mount,
    any: bool,
    cookie: *mut *mut c_void,
) -> bool {
    let pmp = PMPS.get(pmp);
    pmp.sopmtx.assert_mine();
    let taken = {
        let mut sop = lock(&pmp.sop);
        let due = |&(at, _): &(i64, usize)| any || clock::now_ticks() > at;
        if sop.expiries.front().is_some_and(due) {
            sop.expiries.pop_front()
        } else {
            None
        }
    };
    let Some((_, key)) = taken else { return false };
    // SAFETY: the core passes a place for the cookie.
    unsafe { cookie.write(ptr::without_provenance_mut(key)) };
    true
}

/// What the kernel keeps of a file of the server's.
pub(crate) struct Node {
    handle: usize,
    /// The server's name for it. The vnode cache's key is this very field.
    cookie: usize,
    /// The address of its vnode, which may be reclaimed before the node goes.
    vnode: usize,
    mtx: Arc<KMutex>,
    pub(crate) sizemtx: Arc<KMutex>,
    state: Mutex<NodeState>,
    /// The core's, inside `mtx`.
    polls: Polls,
}

/// Storage that only the core uses, and only inside the node's lock.
struct Polls(UnsafeCell<sys::pk_polls>);

// SAFETY: reached inside the node's lock only.
unsafe impl Sync for Polls {}

/// What changes of a node.
#[derive(Default)]
pub(crate) struct NodeState {
    refs: i32,
    /// `PNODE_*`.
    pub(crate) stat: u32,
    /// The size that the server knows.
    pub(crate) serversize: i64,
    /// The cached size.
    pub(crate) mcsize: i64,
    /// The cached times: access, change, modification.
    pub(crate) mctimes: [(i64, i64); 3],
    pub(crate) revents: i32,
    /// How often pollers were woken.
    pub(crate) notified: u64,
    /// How often the server told of it.
    pub(crate) nlookup: i32,
    /// When its name is over, in ticks.
    pub(crate) named: i64,
    /// When its name and its grace are over, in ticks.
    pub(crate) expires: i64,
}

static NODES: Registry<Node> = Registry::new("puffs_node");
static POOLS: AtomicBool = AtomicBool::new(false);

pub(crate) fn node_count() -> usize {
    NODES.count()
}

pub(crate) fn of(pn: *const puffs_node) -> Arc<Node> {
    NODES.get(pn)
}

pub(crate) fn find(handle: usize) -> Option<Arc<Node>> {
    NODES.find(handle)
}

impl Node {
    pub(crate) fn raw(&self) -> *mut puffs_node {
        raw(self.handle)
    }

    pub(crate) fn cookie(&self) -> usize {
        self.cookie
    }

    pub(crate) fn stat(&self) -> u32 {
        lock(&self.state).stat
    }

    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut NodeState) -> R) -> R {
        f(&mut lock(&self.state))
    }

    /// Inside `pn_mtx`.
    pub(crate) fn with_mtx<R>(&self, f: impl FnOnce() -> R) -> R {
        self.mtx.with(f)
    }

    /// Where pollers sleep.
    pub(crate) fn channel(&self) -> usize {
        self.handle + 2
    }
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_node_pools_init() {
    kassert!(!POOLS.swap(true, Ordering::AcqRel), "node pools made twice");
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_node_pools_destroy() {
    kassert!(
        POOLS.swap(false, Ordering::AcqRel),
        "node pools destroyed twice"
    );
    kassert!(NODES.count() == 0, "node pools destroyed with nodes out");
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_node_create(
    vp: *mut sys::vnode,
    cookie: *mut c_void,
    root: bool,
) -> *const c_void {
    sync::assert_sleepable("pk_node_create");
    kassert!(POOLS.load(Ordering::Acquire), "a node without pools");
    let vnode = vnode::of(vp);
    let node = NODES.add(|handle| Node {
        handle,
        cookie: cookie.addr(),
        vnode: vp.addr(),
        mtx: KMutex::new(Class::Node),
        sizemtx: KMutex::new(Class::Size),
        state: Mutex::new(NodeState {
            refs: 1,
            ..NodeState::default()
        }),
        polls: Polls(UnsafeCell::default()),
    });
    vnode.attach(node.handle, root);
    // The node lives by the reference that the vnode keeps.
    ptr::from_ref(&node.cookie).cast()
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_node_detach(vp: *mut sys::vnode) -> *mut puffs_node {
    raw(vnode::of(vp).detach())
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_node_destroy(pn: *mut puffs_node) {
    let node = NODES.remove(of(pn).handle);
    kassert!(
        lock(&node.state).refs == 0,
        "a node destroyed with references"
    );
    lwp::wakeup_all(node.channel());
    node.mtx.destroy();
    node.sizemtx.destroy();
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_node_mutex(pn: *mut puffs_node) -> *mut pk_mutex {
    of(pn).mtx.raw()
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_node_addref(pn: *mut puffs_node, delta: i32) -> i32 {
    let node = of(pn);
    node.mtx.assert_mine();
    let mut state = lock(&node.state);
    state.refs += delta;
    kassert!(state.refs >= 0, "a node has {} references", state.refs);
    state.refs
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_node_cookie(pn: *mut puffs_node) -> *mut c_void {
    ptr::without_provenance_mut(of(pn).cookie)
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_node_vtype(pn: *mut puffs_node) -> u32 {
    vnode::of(ptr::without_provenance(of(pn).vnode)).vtype()
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_node_stat(pn: *mut puffs_node, set: u32, clear: u32) {
    let node = of(pn);
    let mut state = lock(&node.state);
    state.stat = (state.stat & !clear) | set;
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_node_set_serversize(pn: *mut puffs_node, size: i64) {
    lock(&of(pn).state).serversize = size;
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_node_set_mctime(
    pn: *mut puffs_node,
    which: u32,
    time: *const pk_timespec,
) {
    // SAFETY: the core passes a time.
    let time = unsafe { time.read() };
    let node = of(pn);
    let mut state = lock(&node.state);
    let bits = [
        sys::PK_PNODE_METACACHE_ATIME,
        sys::PK_PNODE_METACACHE_CTIME,
        sys::PK_PNODE_METACACHE_MTIME,
    ];
    for (i, bit) in bits.into_iter().enumerate() {
        if which & bit != 0 {
            state.mctimes[i] = (time.ts_sec, time.ts_nsec);
            state.stat |= bit;
        }
    }
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_node_set_mcsize(pn: *mut puffs_node, size: i64) {
    let node = of(pn);
    let mut state = lock(&node.state);
    state.mcsize = size;
    state.stat |= sys::PK_PNODE_METACACHE_SIZE;
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_node_revents(pn: *mut puffs_node) -> i32 {
    let node = of(pn);
    node.mtx.assert_mine();
    let revents = lock(&node.state).revents;
    revents
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_node_polls(pn: *mut puffs_node) -> *mut sys::pk_polls {
    let node = of(pn);
    node.mtx.assert_mine();
    node.polls.0.get()
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_node_add_revents(pn: *mut puffs_node, revents: i32) {
    let node = of(pn);
    node.mtx.assert_mine();
    lock(&node.state).revents |= revents;
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_node_selnotify(pn: *mut puffs_node, _revents: i32) {
    let node = of(pn);
    lock(&node.state).notified += 1;
    lwp::wakeup_all(node.channel());
}
