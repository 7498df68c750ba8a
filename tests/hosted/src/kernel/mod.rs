//! The kernel services of `c_shim/puffs_kern.h`, on threads of the host, or of a
//! model.
//!
//! It is a small kernel, but the rules are those of the real one, and it
//! checks them: a mutex left by who is not inside, a structure used after it
//! was freed, a buffer completed twice, a lock entered out of order, a sleep
//! where none may be, all end the process with a message. The one instance is
//! [`Kernel`], and what a module of NetBSD lives through, it lives through:
//! loading, unloading, and every pool back to its count in between.

mod abi;
pub(crate) mod actor;
pub(crate) mod big;
pub(crate) mod buf;
pub(crate) mod cache;
mod chaos;
pub(crate) mod clock;
pub(crate) mod component;
mod console;
pub(crate) mod fatal;
mod faults;
pub(crate) mod lwp;
mod mem;
pub(crate) mod node;
pub(crate) mod pages;
mod putter;
pub(crate) mod registry;
mod sync;
mod thread;
pub(crate) mod uio;
pub(crate) mod vfs;
pub(crate) mod vnode;
mod watchdog;

pub use abi::SERVICES;
pub use actor::{on_sleep, pause, Actor};
pub use buf::STALE;
pub use clock::HZ;
pub use faults::{fails, served, Fault, Kind, Plan};
pub use lwp::{
    pause_until, Lwp, IMPORTANT, SIGALRM, SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGSTOP, SIGTERM,
    SIGUSR1,
};
pub use mem::Count;
pub use pages::PAGE;
pub use putter::{CopyHook, PutterFile, FRAME_MAX};
pub use vfs::{
    mount, unmount, unmount_mount, unmount_within, Mount, MountKind, MNT_FORCE, MNT_LAZY,
    MNT_NOWAIT, MNT_WAIT,
};
pub use vnode::{sync_lazily, Vnode, VnodeRef};

pub(crate) use lwp::table;
pub(crate) use mem::Fenced;

use crate::rt;
use puffs_rs::{entry, vfsops};
use registry::lock;
use std::{
    collections::BTreeMap,
    sync::{
        atomic::{AtomicBool, Ordering},
        Mutex, MutexGuard,
    },
    time::Duration,
};
use watchdog::Watchdog;

/// How long a test may take that says nothing else.
const LIMIT: Duration = Duration::from_secs(60);

/// The kernel, with the module loaded. There is one in the process; who else
/// wants one waits.
pub struct Kernel {
    unloaded: bool,
    /// What the module keeps for as long as it is loaded.
    module: Module,
    _watchdog: Watchdog,
    _only: MutexGuard<'static, ()>,
}

/// Memory and mutexes that belong to the loaded module.
#[derive(Clone, Copy)]
struct Module {
    kmem: Count,
    mutexes: usize,
}

static ONLY: Mutex<()> = Mutex::new(());
static BROKEN: AtomicBool = AtomicBool::new(false);

impl Kernel {
    /// Boots it and loads the module. The process is aborted if it still runs
    /// a minute later.
    ///
    /// # Panics
    /// If a test failed before and left the kernel in disorder.
    pub fn boot() -> Kernel {
        Kernel::boot_for(LIMIT)
    }

    /// Boots it for at most `limit`.
    ///
    /// # Panics
    /// If a test failed before and left the kernel in disorder.
    pub fn boot_for(limit: Duration) -> Kernel {
        let only = lock(&ONLY);
        assert!(
            !BROKEN.load(Ordering::Acquire),
            "an earlier test left the kernel in disorder"
        );
        let watchdog = Watchdog::new(limit);
        chaos::set(0);
        console::set_debug(0);
        lwp::set_queue_limit(0);
        faults::set(None);
        clock::reset();
        console::take();
        vfs::own_mutexes();
        putter::own_mutexes();
        vnode::start_drain();
        entry::puffs_vfsop_init();
        let module = Module {
            kmem: mem::kmem_count(),
            mutexes: sync::mutex_count(),
        };
        Kernel {
            unloaded: false,
            module,
            _watchdog: watchdog,
            _only: only,
        }
    }

    /// Has threads give way at random, and sleeps end for no reason.
    pub fn set_chaos(&self, seed: u64) {
        chaos::set(seed);
    }

    /// Moves the clock on.
    pub fn advance(&self, ticks: i64) {
        clock::advance(ticks);
    }

    /// Takes the lines that the console got since the last call.
    pub fn console(&self) -> Vec<String> {
        console::take()
    }

    /// Has the core say what becomes of each request, on the console.
    pub fn set_debug(&self, level: i32) {
        console::set_debug(level);
    }

    /// Sets `vfs.puffs.queuelimit`.
    pub fn set_queue_limit(&self, bytes: i64) {
        lwp::set_queue_limit(bytes);
    }

    /// Follows a plan of failures, whose points are counted from now on.
    pub fn plan(&self, plan: Plan) {
        faults::set(Some(plan));
    }

    /// Lets the next point of this kind fail.
    pub fn fail_next(&self, kind: Kind) {
        self.plan(Plan::new(&[Fault { kind, number: 1 }]));
    }

    /// How many points of each kind there were since the plan was made.
    pub fn points(&self) -> BTreeMap<Kind, usize> {
        faults::seen()
    }

    /// What failed since the plan was made, because it says so.
    pub fn hits(&self) -> Vec<Kind> {
        faults::hit()
    }

    /// Reclaims the vnodes that nobody uses; returns how many.
    pub fn shrink(&self) -> usize {
        vnode::shrink()
    }

    /// How many names are in the name cache.
    pub fn cached_names(&self) -> usize {
        cache::count()
    }

    /// How many file systems are mounted.
    pub fn mounted(&self) -> usize {
        vfs::mounted()
    }

    /// How often an object was taken out of each pool.
    pub fn pool_gets(&self) -> Vec<(String, usize)> {
        mem::pool_gets()
    }

    /// The most blocks of memory that were out at once.
    pub fn peak(&self) -> usize {
        mem::kmem_peak()
    }

    /// The sizes of the blocks that are out, and how many of each there are.
    pub fn block_sizes(&self) -> BTreeMap<usize, usize> {
        mem::kmem_sizes()
    }

    /// Everything that was taken and not given back: what is not empty after
    /// the last unmount is a leak.
    pub fn outstanding(&self) -> BTreeMap<String, Count> {
        let mut out = BTreeMap::new();
        let mut add = |name: &str, objects: usize, bytes: usize| {
            if objects != 0 {
                out.insert(name.to_owned(), Count { objects, bytes });
            }
        };
        let kmem = mem::kmem_count();
        let module = self.module;
        let bytes = kmem.bytes.saturating_sub(module.kmem.bytes);
        add(
            "kmem",
            kmem.objects.saturating_sub(module.kmem.objects),
            bytes,
        );
        for (name, count) in mem::pool_counts() {
            add(&name, count.objects, count.bytes);
        }
        add(
            "mutex",
            sync::mutex_count().saturating_sub(module.mutexes),
            0,
        );
        add(
            "condvar",
            sync::cv_count().saturating_sub(mem::pool_cached()),
            0,
        );
        add("mount", vfs::count(), 0);
        add("puffs_node", node::count(), 0);
        add("vnode", vnode::count(), 0);
        add("vnode iterator", vnode::iter_count(), 0);
        add("putter", putter::count(), 0);
        add("buf", buf::count(), 0);
        add("kernel thread", thread::count(), 0);
        out
    }

    /// How many vnodes there are.
    pub fn vnodes(&self) -> usize {
        vnode::count()
    }

    /// How many things of any kind are outstanding, all kinds together; quick,
    /// where [`outstanding`](Self::outstanding) is exact.
    pub fn tally(&self) -> usize {
        mem::kmem_blocks()
            + mem::pool_objects()
            + sync::mutex_count()
            + vfs::count()
            + node::count()
            + vnode::count()
            + vnode::iter_count()
            + putter::count()
            + buf::count()
            + thread::count()
    }

    /// Waits until nothing of one kind is outstanding.
    ///
    /// # Panics
    /// If something is left after a while.
    pub fn assert_clean_of(&self, kind: &str) {
        let start = rt::uptime();
        while self.outstanding().contains_key(kind) {
            assert!(
                rt::uptime() - start < Duration::from_secs(5),
                "{kind}: leaked"
            );
            rt::pause();
        }
    }

    /// Waits until nothing is outstanding: threads that are about to end need
    /// a moment.
    ///
    /// # Panics
    /// If something is left after a while.
    pub fn assert_clean(&self) {
        let start = rt::uptime();
        loop {
            // What the device forgot to give back goes when its reader has.
            let _is_quiet = vfsops::is_quiet();
            let left = self.outstanding();
            if left.is_empty() {
                return;
            }
            if rt::uptime() - start > Duration::from_secs(5) {
                panic!(
                    "leaked: {left:#?}\nblocks: {:?}\n{}",
                    self.block_sizes(),
                    lwp::table()
                );
            }
            rt::pause();
        }
    }

    /// Unloads the module.
    ///
    /// # Panics
    /// If something leaked.
    pub fn shutdown(mut self) {
        self.assert_clean();
        self.unload();
    }

    fn unload(&mut self) {
        self.unloaded = true;
        thread::join_all();
        vnode::stop_drain();
        assert!(vfsops::is_quiet(), "the device has requests of the module");
        // Panics if a pool has objects out.
        entry::puffs_vfsop_done();
        assert_eq!(
            mem::kmem_count(),
            Count::default(),
            "the module leaked memory"
        );
        assert_eq!(sync::cv_count(), 0, "condition variables of pools leaked");
        let own = vfs::own_mutexes() + putter::own_mutexes();
        assert_eq!(sync::mutex_count(), own, "the module leaked a mutex");
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        if std::thread::panicking() {
            BROKEN.store(true, Ordering::Release);
        } else if !self.unloaded {
            self.assert_clean();
            self.unload();
        }
    }
}
