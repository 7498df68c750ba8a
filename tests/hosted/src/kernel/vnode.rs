//! The vnode cache: one vnode for a cookie, references, locks, and reclaim.
//!
//! States and their changes are those of `vfs_vnode.c`: a vnode gains no
//! reference while it is loading, being made inactive, or being reclaimed, and
//! who wants one waits.

use super::{
    cache,
    component::{nocred, CredHold},
    fatal::{fatal, kassert},
    faults::{self, Kind},
    lwp::{self, Limits},
    node::{self, Node},
    pages::{self, Pages},
    registry::{lock, raw, Registry},
    sync::{self, Class, KMutex},
    vfs::{self, Mount},
};
use crate::{
    rt::{self, wait_for, Handle, Waiters},
    vnops,
};
use puffs_rs::{
    abi::Vtype,
    entry,
    kern::{
        sys::{self, kauth_cred, pk_mutex},
        Errno, Result,
    },
};
use std::{
    cell::Cell,
    collections::{BTreeSet, HashMap, VecDeque},
    ffi::c_void,
    ptr,
    sync::{Arc, LazyLock, Mutex},
};

rt::thread_local! {
    /// How many vnodes the thread has locked.
    static LOCKED: Cell<usize> = const { Cell::new(0) };
}

/// Takes away how many vnodes the calling thread has locked, for another lwp
/// on it.
pub(crate) fn take_locked() -> usize {
    LOCKED.replace(0)
}

/// Gives it back.
pub(crate) fn give_locked(locked: usize) {
    LOCKED.set(locked);
}

/// Panics if the calling thread has a vnode locked.
pub(crate) fn assert_none_locked(when: &str) {
    kassert!(
        LOCKED.get() == 0,
        "{when} with {} vnodes locked",
        LOCKED.get()
    );
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Life {
    Loading,
    Loaded,
    /// Being made inactive.
    Blocked,
    Reclaiming,
    Reclaimed,
}

impl Life {
    fn is_stable(self) -> bool {
        matches!(self, Life::Loaded | Life::Reclaimed)
    }
}

/// A vnode.
pub struct Vnode {
    handle: usize,
    interlock: Arc<KMutex>,
    inner: Mutex<Inner>,
    pub(super) pages: Pages,
}

struct Inner {
    life: Life,
    uses: usize,
    holds: usize,
    locked_by: Option<i32>,
    mount: usize,
    cookie: usize,
    node: usize,
    vtype: u32,
    root: bool,
    size: i64,
    /// `v_writesize`: what the size will be when a write is done.
    writesize: i64,
    rdev: Option<u64>,
    fifo: bool,
}

type Index = HashMap<(usize, usize), usize>;

static VNODES: Registry<Vnode> = Registry::new("vnode");
static VCACHE: Mutex<Option<Index>> = Mutex::new(None);
/// Where those sleep who wait for a vnode that is being loaded.
const LOADING: usize = 0x10;

fn vcache() -> std::sync::MutexGuard<'static, Option<Index>> {
    lock(&VCACHE)
}

pub(crate) fn count() -> usize {
    VNODES.count()
}

/// How many vnodes are those of a mount.
pub(crate) fn count_of(mount: usize) -> usize {
    handles_of(mount).len()
}

/// The vnodes of a mount.
pub(crate) fn handles_of(mount: usize) -> BTreeSet<usize> {
    let all = VNODES.all();
    let of_mount = all.iter().filter(|vnode| lock(&vnode.inner).mount == mount);
    of_mount.map(|vnode| vnode.handle).collect()
}

pub(crate) fn of(vp: *const sys::vnode) -> Arc<Vnode> {
    VNODES.get(vp)
}

/// The superuser, who the kernel's own calls are made by.
pub(crate) fn proc_cred() -> *mut kauth_cred {
    static CRED: LazyLock<CredHold> = LazyLock::new(|| CredHold::new(0, 0, &[0]));
    CRED.raw()
}

impl Vnode {
    fn new(cookie: usize) -> Arc<Vnode> {
        VNODES.add(|handle| Vnode {
            handle,
            interlock: KMutex::new(Class::Interlock),
            inner: Mutex::new(Inner {
                life: Life::Loading,
                uses: 1,
                holds: 0,
                locked_by: None,
                mount: 0,
                cookie,
                node: 0,
                vtype: Vtype::Non as u32,
                root: false,
                size: 0,
                writesize: 0,
                rdev: None,
                fifo: false,
            }),
            pages: Pages::new(),
        })
    }

    /// The vnode as the core knows it.
    pub fn raw(&self) -> *mut sys::vnode {
        raw(self.handle)
    }

    pub(crate) fn handle(&self) -> usize {
        self.handle
    }

    fn inner<R>(&self, f: impl FnOnce(&mut Inner) -> R) -> R {
        f(&mut lock(&self.inner))
    }

    fn state_channel(&self) -> usize {
        self.handle + 3
    }

    fn lock_channel(&self) -> usize {
        self.handle + 4
    }

    /// The number of its type.
    pub fn vtype(&self) -> u32 {
        self.inner(|inner| inner.vtype)
    }

    /// Is it a directory?
    pub fn is_dir(&self) -> bool {
        self.vtype() == Vtype::Dir as u32
    }

    /// Its size.
    pub fn size(&self) -> i64 {
        self.inner(|inner| inner.size)
    }

    /// `uvm_vnp_setsize`.
    pub(crate) fn set_size(&self, size: i64) {
        self.inner(|inner| {
            let (old, write) = (inner.size, inner.writesize);
            kassert!(
                size >= 0 && (old == write || size == write || size <= old),
                "uvm_vnp_setsize to {size}, of {old} and {write}"
            );
            inner.size = size;
            inner.writesize = size;
        });
        // What is behind the end in the last page stays, as on NetBSD.
        self.pages.cut(size);
    }

    /// What the size will be when a write is done.
    pub(crate) fn writesize(&self) -> i64 {
        self.inner(|inner| inner.writesize)
    }

    /// The device, if it is one.
    pub fn rdev(&self) -> Option<u64> {
        self.inner(|inner| inner.rdev)
    }

    /// Is it a fifo?
    pub fn is_fifo(&self) -> bool {
        self.inner(|inner| inner.fifo)
    }

    /// Was it reclaimed?
    pub fn is_dead(&self) -> bool {
        self.inner(|inner| inner.life == Life::Reclaimed)
    }

    /// Is it being reclaimed, or was it?
    pub(crate) fn is_dying(&self) -> bool {
        self.inner(|inner| matches!(inner.life, Life::Reclaiming | Life::Reclaimed))
    }

    pub(crate) fn mount(&self) -> Arc<Mount> {
        // Looked up inside: the mount is there as long as it is the vnode's.
        self.inner(|inner| vfs::of(raw(inner.mount)))
    }

    /// The kernel's part of its node, which stays while the vnode is locked.
    pub(crate) fn node(&self) -> Option<Arc<Node>> {
        node::find(self.data())
    }

    /// `v_data`: where the core's part of its node is, or 0.
    pub(crate) fn data(&self) -> usize {
        self.inner(|inner| inner.node)
    }

    /// What the server calls it.
    pub fn cookie(&self) -> usize {
        self.inner(|inner| inner.cookie)
    }

    pub(crate) fn attach(&self, node: usize, root: bool) {
        self.inner(|inner| {
            inner.node = node;
            inner.root = root;
        });
    }

    pub(crate) fn detach(&self) {
        let detach = || self.inner(|inner| inner.node = 0);
        self.pages.object.with(|| self.interlock.with(detach));
    }

    /// Has the caller what keeps others from detaching the node: the interlock, the
    /// lock of the pages, or the vnode's, or is it being reclaimed?
    pub(crate) fn assert_node_kept(&self) {
        let me = lwp::current().lid();
        let locked = self
            .inner(|inner| inner.locked_by == Some(me) || matches!(inner.life, Life::Reclaiming));
        kassert!(
            locked || self.interlock.is_mine() || self.pages.object.is_mine(),
            "a node may be detached while it is looked for"
        );
    }

    /// Locks it (`vn_lock(9)`).
    pub(crate) fn lock(&self, wait: bool, retry: bool) -> Result<()> {
        if wait {
            sync::assert_sleepable("vn_lock");
        }
        let me = lwp::current().lid();
        loop {
            let mount = self.mount();
            mount.trans_start(wait)?;
            let mut inner = lock(&self.inner);
            if inner.mount != mount.handle() {
                // It was reclaimed while we waited.
                drop(inner);
                mount.trans_done();
                continue;
            }
            kassert!(
                inner.locked_by != Some(me),
                "a vnode is locked by who has it locked"
            );
            if inner.locked_by.is_none() {
                if inner.life == Life::Reclaimed && !retry {
                    drop(inner);
                    mount.trans_done();
                    return Err(Errno::ENOENT);
                }
                inner.locked_by = Some(me);
                LOCKED.set(LOCKED.get() + 1);
                return Ok(());
            }
            if !wait {
                drop(inner);
                mount.trans_done();
                return Err(Errno::EBUSY);
            }
            lwp::sleep(self.lock_channel(), "vnlock", Limits::default(), || {
                drop(inner)
            });
            mount.trans_done();
        }
    }

    /// Gives the lock up.
    pub(crate) fn unlock(&self) {
        let me = lwp::current().lid();
        let mount = self.mount();
        self.inner(|inner| {
            kassert!(
                inner.locked_by == Some(me),
                "a vnode is unlocked by who has it not"
            );
            inner.locked_by = None;
        });
        LOCKED.set(LOCKED.get() - 1);
        lwp::wakeup_all(self.lock_channel());
        mount.trans_done();
    }

    /// Is it locked, by anyone?
    pub fn is_locked(&self) -> bool {
        self.inner(|inner| inner.locked_by.is_some())
    }

    /// Inside the interlock: waits until the state is one to work with.
    fn wait_stable(&self) {
        loop {
            let inner = lock(&self.inner);
            if inner.life.is_stable() {
                return;
            }
            lwp::sleep(self.state_channel(), "vstate", Limits::default(), || {
                drop(inner);
                self.interlock.exit();
            });
            self.interlock.enter();
        }
    }

    fn change(&self, from: Life, to: Life) {
        self.inner(|inner| {
            kassert!(
                inner.life == from,
                "a vnode is {:?}, not {from:?}",
                inner.life
            );
            inner.life = to;
        });
        lwp::wakeup_all(self.state_channel());
    }

    /// Takes a reference, once the state is stable (`vcache_vget`).
    fn vget(self: &Arc<Self>) -> Result<()> {
        self.interlock.enter();
        self.inner(|inner| inner.holds += 1);
        self.wait_stable();
        let (dead, free) = self.inner(|inner| {
            inner.holds -= 1;
            let dead = inner.life == Life::Reclaimed;
            if !dead {
                inner.uses += 1;
            }
            (dead, dead && inner.holds == 0 && inner.uses == 0)
        });
        self.interlock.exit();
        if free {
            self.free();
        }
        if dead {
            Err(Errno::ENOENT)
        } else {
            Ok(())
        }
    }

    fn free(&self) {
        // Two may find it unused at once.
        if VNODES.find(self.handle).is_some() {
            VNODES.remove(self.handle);
            self.interlock.destroy();
            self.pages.destroy();
        }
    }

    /// Drops a reference unless it is the last, inside the interlock.
    fn try_release(&self) -> bool {
        self.inner(|inner| {
            kassert!(inner.uses > 0, "a vnode released too often");
            let shared = inner.uses > 1;
            if shared {
                inner.uses -= 1;
            }
            shared
        })
    }

    /// Gives a reference back (`vrele(9)`). With `force` it waits for the
    /// lock, else who finds it locked leaves the rest to a thread.
    fn release(self: Arc<Self>, force: bool) {
        sync::assert_sleepable("vrele");
        self.interlock.enter();
        if self.try_release() {
            self.interlock.exit();
            return;
        }
        self.interlock.exit();
        if self.lock(force, true).is_err() {
            defer(self);
            return;
        }
        self.interlock.enter();
        if self.try_release() {
            self.interlock.exit();
            self.unlock();
            return;
        }
        if self.inner(|inner| inner.life) == Life::Reclaimed {
            self.interlock.exit();
            self.unlock();
            self.interlock.enter();
        } else {
            self.change(Life::Loaded, Life::Blocked);
            self.interlock.exit();
            let recycle = vnops::inactive(&self);
            if !recycle {
                self.unlock();
            }
            self.interlock.enter();
            self.change(Life::Blocked, Life::Loaded);
            if !recycle && self.try_release() {
                self.interlock.exit();
                return;
            }
            if recycle {
                self.reclaim();
            }
        }
        let free = self.inner(|inner| {
            inner.uses -= 1;
            inner.uses == 0 && inner.holds == 0 && inner.life == Life::Reclaimed
        });
        self.interlock.exit();
        if free {
            self.free();
        }
    }

    /// Ends its life (`vcache_reclaim`): locked and inside the interlock at
    /// first, unlocked and inside the interlock at last.
    fn reclaim(self: &Arc<Self>) {
        self.change(Life::Loaded, Life::Reclaiming);
        self.interlock.exit();
        let mount = self.mount();
        mount.with_trans(|| {
            pages::flush_for_reclaim(self);
            vnops::inactive(self);
            // Unlocks it.
            vnops::reclaim(self);
        });
        kassert!(
            self.inner(|inner| inner.node) == 0,
            "a reclaimed vnode has a node"
        );
        kassert!(self.pages.is_empty(), "a reclaimed vnode has pages");
        cache::purge(self.handle);
        let key = self.inner(|inner| (inner.mount, inner.cookie));
        {
            let mut index = vcache();
            let removed = index.get_or_insert_default().remove(&key);
            kassert!(
                removed == Some(self.handle),
                "the vnode cache has another vnode"
            );
        }
        self.interlock.enter();
        self.inner(|inner| inner.mount = vfs::dead().handle());
        self.change(Life::Reclaiming, Life::Reclaimed);
        self.interlock.exit();
        mount.release();
        self.interlock.enter();
    }
}

/// A reference to a vnode, given back on drop.
pub struct VnodeRef(Option<Arc<Vnode>>);

impl VnodeRef {
    /// Gives the reference to the core.
    pub(crate) fn into_raw(self) -> *mut sys::vnode {
        self.into_inner().raw()
    }

    /// Takes over a reference that the core hands out.
    pub(crate) fn adopt(vp: *mut sys::vnode) -> VnodeRef {
        VnodeRef(Some(of(vp)))
    }

    /// Another reference.
    pub fn again(&self) -> VnodeRef {
        self.inner(|inner| inner.uses += 1);
        VnodeRef(self.0.clone())
    }

    /// Gives the lock up, and keeps the reference.
    pub(crate) fn unlock(self) -> VnodeRef {
        Vnode::unlock(&self);
        self
    }

    fn into_inner(mut self) -> Arc<Vnode> {
        match self.0.take() {
            Some(vnode) => vnode,
            None => fatal!("an empty vnode reference"),
        }
    }
}

impl std::ops::Deref for VnodeRef {
    type Target = Arc<Vnode>;

    fn deref(&self) -> &Arc<Vnode> {
        match &self.0 {
            Some(vnode) => vnode,
            None => fatal!("an empty vnode reference"),
        }
    }
}

impl Drop for VnodeRef {
    fn drop(&mut self) {
        if let Some(vnode) = self.0.take() {
            vnode.release(false);
        }
    }
}

/// The vnode of a handle, if it is loaded.
pub(crate) fn try_get(handle: usize) -> Option<VnodeRef> {
    let vnode = VNODES.find(handle)?;
    let loaded = vnode.inner(|inner| {
        let loaded = inner.life == Life::Loaded;
        if loaded {
            inner.uses += 1;
        }
        loaded
    });
    loaded.then(|| VnodeRef(Some(vnode)))
}

/// Finds or makes the vnode of a cookie (`vcache_get(9)`).
fn get(mount: &Arc<Mount>, cookie: usize) -> Result<VnodeRef> {
    sync::assert_sleepable("vcache_get");
    let key = (mount.handle(), cookie);
    loop {
        let mut index = vcache();
        let known = index.get_or_insert_default().get(&key).copied();
        if let Some(vnode) = known.and_then(|handle| VNODES.find(handle)) {
            if vnode.inner(|inner| inner.life) == Life::Loading {
                lwp::sleep(LOADING, "vcache", Limits::default(), || drop(index));
                continue;
            }
            drop(index);
            if vnode.vget().is_ok() {
                return Ok(VnodeRef(Some(vnode)));
            }
            continue;
        }
        drop(index);

        // vfs_busy
        mount.trans_start(true)?;
        if mount.is_gone() {
            mount.trans_done();
            return Err(Errno::ENOENT);
        }
        let vnode = Vnode::new(cookie);
        let inserted = {
            let mut index = vcache();
            let index = index.get_or_insert_default();
            let fresh = !index.contains_key(&key);
            if fresh {
                index.insert(key, vnode.handle);
            }
            fresh
        };
        if !inserted {
            vnode.free();
            mount.trans_done();
            continue;
        }
        load(mount, &vnode, cookie);
        vnode.inner(|inner| inner.mount = key.0);
        mount.reference();
        mount.trans_done();
        vnode.interlock.enter();
        vnode.change(Life::Loading, Life::Loaded);
        vnode.interlock.exit();
        // Who saw it loading sleeps before it gives the index up.
        drop(vcache());
        lwp::wakeup_all(LOADING);
        return Ok(VnodeRef(Some(vnode)));
    }
}

fn load(mount: &Mount, vnode: &Vnode, cookie: usize) {
    let key = cookie.to_ne_bytes();
    let mut kept = ptr::null();
    // SAFETY: a live mount, a new vnode, a key, and a place for the new one.
    let error = sync::making(&[Class::Size, Class::Node], || unsafe {
        entry::puffs_vfsop_loadvnode(
            mount.raw(),
            vnode.raw(),
            key.as_ptr().cast::<c_void>(),
            key.len(),
            &mut kept,
        )
    });
    kassert!(
        error == 0 && !kept.is_null(),
        "loadvnode failed with {error}"
    );
    // SAFETY: the core stored where the node keeps its cookie.
    let kept = unsafe { kept.cast::<usize>().read() };
    kassert!(kept == cookie, "the new key of a vnode differs");
}

// Releases that have to wait for the vnode's lock.

struct Deferred {
    vnodes: VecDeque<Arc<Vnode>>,
    /// The thread is to end, when all is released.
    stop: bool,
    waiters: Waiters,
}

static DEFERRED: Mutex<Deferred> = Mutex::new(Deferred {
    vnodes: VecDeque::new(),
    stop: false,
    waiters: Waiters::new(),
});
static DRAINER: Mutex<Option<Handle<()>>> = Mutex::new(None);

fn defer(vnode: Arc<Vnode>) {
    let mut deferred = lock(&DEFERRED);
    deferred.vnodes.push_back(vnode);
    deferred.waiters.wake_one();
}

/// Starts the thread that releases vnodes which were locked.
pub(crate) fn start_drain() {
    lock(&DEFERRED).stop = false;
    let spawned = rt::spawn("vdrain".into(), || {
        let _bound = lwp::Bound::new(lwp::Lwp::new(0, "vdrain"));
        let next = |deferred: &mut Deferred| match deferred.vnodes.pop_front() {
            Some(vnode) => Some(Some(vnode)),
            None => deferred.stop.then_some(None),
        };
        while let Some(vnode) = wait_for(&DEFERRED, |deferred| &mut deferred.waiters, next) {
            // As on NetBSD: not while the file system is suspended.
            let mount = vnode.mount();
            if mount.trans_start(false).is_err() {
                rt::pause();
                lock(&DEFERRED).vnodes.push_back(vnode);
                continue;
            }
            vnode.release(true);
            mount.trans_done();
        }
    });
    *lock(&DRAINER) = spawned.ok();
}

/// Ends it, when all is released.
pub(crate) fn stop_drain() {
    {
        let mut deferred = lock(&DEFERRED);
        deferred.stop = true;
        deferred.waiters.wake_all();
    }
    if let Some(thread) = lock(&DRAINER).take() {
        // A panic in it was reported by itself.
        let _ = thread.join();
    }
}

/// Releases what was deferred of a mount, at once (`vrele_flush`).
fn flush_deferred(mount: &Mount) {
    loop {
        let next = {
            let deferred = &mut lock(&DEFERRED).vnodes;
            let at = deferred
                .iter()
                .position(|vnode| lock(&vnode.inner).mount == mount.handle());
            at.and_then(|at| deferred.remove(at))
        };
        let Some(vnode) = next else { return };
        vnode.release(true);
    }
}

/// Gets rid of all vnodes of a mount (`vflush(9)`).
pub(crate) fn vflush(mount: &Arc<Mount>, force: bool) -> Result<()> {
    for _ in 0..3 {
        let mut busy = 0;
        flush_deferred(mount);
        for handle in handles_of(mount.handle()) {
            let Some(vnode) = VNODES.find(handle) else {
                continue;
            };
            if vnode.vget().is_err() {
                continue;
            }
            let vnode = VnodeRef(Some(vnode));
            if !flush_one(vnode, force) {
                busy += 1;
            }
        }
        if busy == 0 {
            return Ok(());
        }
    }
    Err(Errno::EBUSY)
}

fn flush_one(vnode: VnodeRef, force: bool) -> bool {
    let vnode = match recycle(vnode) {
        Ok(()) => return true,
        Err(vnode) => vnode,
    };
    if force {
        gone(vnode);
        return true;
    }
    false
}

/// Reclaims a vnode if the reference is its last (`vrecycle(9)`).
pub(crate) fn recycle(vnode: VnodeRef) -> std::result::Result<(), VnodeRef> {
    vnode.interlock.enter();
    vnode.wait_stable();
    let (uses, life) = vnode.inner(|inner| (inner.uses, inner.life));
    if uses != 1 {
        vnode.interlock.exit();
        return Err(vnode);
    }
    if life == Life::Reclaimed {
        vnode.interlock.exit();
        return Ok(());
    }
    vnode.change(Life::Loaded, Life::Blocked);
    vnode.interlock.exit();
    let locked = vnode.lock(false, true);
    vnode.interlock.enter();
    vnode.change(Life::Blocked, Life::Loaded);
    if locked.is_err() {
        vnode.interlock.exit();
        return Err(vnode);
    }
    vnode.reclaim();
    vnode.interlock.exit();
    vnode.into_inner().release(true);
    Ok(())
}

/// Reclaims a vnode, whoever uses it (`vgone(9)`).
fn gone(vnode: VnodeRef) {
    // It waits and takes a dead one too, so it does not fail.
    let _ = vnode.lock(true, true);
    vnode.interlock.enter();
    vnode.wait_stable();
    if vnode.inner(|inner| inner.life) == Life::Loaded {
        vnode.reclaim();
        vnode.interlock.exit();
    } else {
        vnode.interlock.exit();
        Vnode::unlock(&vnode);
    }
    vnode.into_inner().release(true);
}

/// Writes a file back as the syncer does, if nobody has it locked
/// (`lazy_sync_vnode`).
///
/// # Errors
/// What VOP_FSYNC says.
pub fn sync_lazily(vnode: &VnodeRef) -> Result<()> {
    if vnode.lock(false, false).is_err() {
        return Ok(());
    }
    let synced = vnops::fsync(vnode, nocred(), false);
    Vnode::unlock(vnode);
    synced
}

/// Reclaims every vnode that nobody uses, as the kernel does when it wants
/// memory; returns how many.
pub(crate) fn shrink() -> usize {
    let mut shrunk = 0;
    for vnode in VNODES.all() {
        let unused = vnode.inner(|inner| {
            let unused = inner.uses == 0 && inner.life == Life::Loaded;
            if unused {
                inner.uses = 1;
            }
            unused
        });
        if unused && recycle(VnodeRef(Some(vnode))).is_ok() {
            shrunk += 1;
        }
    }
    shrunk
}

/// Iterates over the vnodes of a mount.
pub(crate) struct Iter {
    handle: usize,
    left: Mutex<Vec<usize>>,
}

static ITERS: Registry<Iter> = Registry::new("vnode iterator");

pub(crate) fn iter_count() -> usize {
    ITERS.count()
}

// What the core asks of vnodes.

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_vnode_get(
    mp: *mut sys::mount,
    cookie: *mut c_void,
    vpp: *mut *mut sys::vnode,
) -> i32 {
    let found = faults::check(Kind::Vnode).and_then(|()| get(&vfs::of(mp), cookie.addr()));
    match found {
        Ok(vnode) => {
            // SAFETY: the core passes a place for the vnode.
            unsafe { vpp.write(vnode.into_raw()) };
            0
        }
        Err(error) => error.get(),
    }
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_vnode_ref(vp: *mut sys::vnode) {
    of(vp).inner(|inner| {
        kassert!(inner.uses > 0, "vref of a vnode that nobody uses");
        inner.uses += 1;
    });
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_vnode_rele(vp: *mut sys::vnode) {
    of(vp).release(false);
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_vnode_lock(vp: *mut sys::vnode) -> i32 {
    Errno::code(faults::check(Kind::Lock).and_then(|()| of(vp).lock(true, false)))
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_vnode_trylock(vp: *mut sys::vnode) -> i32 {
    Errno::code(faults::check(Kind::Trylock).and_then(|()| of(vp).lock(false, false)))
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_vnode_lock_retry(vp: *mut sys::vnode) {
    let error = Errno::code(of(vp).lock(true, true));
    kassert!(error == 0, "vn_lock with LK_RETRY failed with {error}");
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_vnode_unlock(vp: *mut sys::vnode) {
    of(vp).unlock();
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_vnode_interlock(vp: *mut sys::vnode) -> *mut pk_mutex {
    of(vp).interlock.raw()
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_vnode_mount(vp: *mut sys::vnode) -> *mut sys::mount {
    raw(of(vp).inner(|inner| inner.mount))
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_vnode_type(vp: *mut sys::vnode) -> u32 {
    of(vp).vtype()
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_vnode_set_type(vp: *mut sys::vnode, vtype: u32) {
    of(vp).inner(|inner| {
        kassert!(inner.vtype == Vtype::Non as u32, "a vnode changes its type");
        inner.vtype = vtype;
    });
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_vnode_is_root(vp: *mut sys::vnode) -> bool {
    of(vp).inner(|inner| inner.root)
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_vnode_is_dying(vp: *mut sys::vnode) -> bool {
    let vnode = of(vp);
    vnode.interlock.with(|| vnode.is_dying())
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_vnode_size(vp: *mut sys::vnode) -> i64 {
    of(vp).size()
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_vnode_set_size(vp: *mut sys::vnode, size: i64) {
    of(vp).set_size(size);
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_vnode_set_writesize(vp: *mut sys::vnode, size: i64) {
    of(vp).inner(|inner| {
        kassert!(
            inner.size <= size,
            "uvm_vnp_setwritesize to {size}, of {}",
            inner.size
        );
        inner.writesize = size;
    });
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_vnode_to_special(vp: *mut sys::vnode, rdev: u64) {
    of(vp).inner(|inner| inner.rdev = Some(rdev));
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_vnode_to_fifo(vp: *mut sys::vnode) {
    of(vp).inner(|inner| inner.fifo = true);
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_vnode_fsync(
    vp: *mut sys::vnode,
    cred: *mut kauth_cred,
    wait: bool,
) -> i32 {
    sync::assert_sleepable("pk_vnode_fsync");
    if let Err(error) = faults::check(Kind::Fsync) {
        return error.get();
    }
    Errno::code(vnops::fsync(&of(vp), cred, wait))
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_vnode_iter_create(
    mp: *mut sys::mount,
) -> *mut sys::vnode_iterator {
    let left = handles_of(vfs::of(mp).handle()).into_iter().collect();
    let iter = ITERS.add(|handle| Iter {
        handle,
        left: Mutex::new(left),
    });
    raw(iter.handle)
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_vnode_iter_next(
    iter: *mut sys::vnode_iterator,
    dirty: bool,
) -> *mut sys::vnode {
    let iter = ITERS.get(iter);
    loop {
        let next = lock(&iter.left).pop();
        let Some(handle) = next else {
            return ptr::null_mut();
        };
        let Some(vnode) = VNODES.find(handle) else {
            continue;
        };
        let wanted = !dirty || (vnode.vtype() == Vtype::Reg as u32 && vnode.pages.is_dirty());
        if wanted && vnode.vget().is_ok() {
            return vnode.raw();
        }
    }
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_vnode_iter_destroy(iter: *mut sys::vnode_iterator) {
    let handle = ITERS.get(iter).handle;
    ITERS.remove(handle);
}
