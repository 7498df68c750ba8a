//! Lightweight processes: who runs, who sleeps, and signals.
//!
//! Each thread that enters the kernel is an [`Lwp`] of some process. All
//! sleeping goes through [`sleep`], under one lock as the sleep queues of a
//! kernel: a sleeper is woken by [`wakeup_one`] or [`wakeup_all`], by a signal
//! if it asked for that, or by the clock. Whoever sleeps gives the kernel lock
//! up, as [`kernel_lock`](super::big) has it.

use super::{actor, big, chaos, clock, fatal::fatal, faults, registry::lock, sync, vnode};
use crate::rt;
use puffs_rs::kern::sys::pk_sigset;
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    fmt::Write as _,
    sync::{
        atomic::{AtomicI32, AtomicI64, Ordering},
        Arc, Mutex,
    },
    time::Duration,
};

/// `SIGHUP`, in NetBSD's numbers, as all of these.
pub const SIGHUP: i32 = 1;
/// `SIGINT`.
pub const SIGINT: i32 = 2;
/// `SIGQUIT`.
pub const SIGQUIT: i32 = 3;
/// `SIGKILL`.
pub const SIGKILL: i32 = 9;
/// `SIGALRM`.
pub const SIGALRM: i32 = 14;
/// `SIGTERM`.
pub const SIGTERM: i32 = 15;
/// `SIGSTOP`.
pub const SIGSTOP: i32 = 17;
/// `SIGUSR1`.
pub const SIGUSR1: i32 = 30;

/// The signals that may end a request.
pub const IMPORTANT: [i32; 5] = [SIGINT, SIGTERM, SIGKILL, SIGHUP, SIGQUIT];

const EINTR: i32 = 4;
const EWOULDBLOCK: i32 = 35;
const ERESTART: i32 = -3;

const fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

/// What cannot be blocked.
const UNBLOCKABLE: u64 = bit(SIGKILL) | bit(SIGSTOP);

const fn important() -> u64 {
    let mut set = 0;
    let mut i = 0;
    while i < IMPORTANT.len() {
        set |= bit(IMPORTANT[i]);
        i += 1;
    }
    set
}

/// A thread of a process, or of the kernel (process 0).
#[derive(Debug)]
pub struct Lwp {
    pid: i32,
    lid: i32,
    name: String,
}

/// What the sleep queues' lock guards of an lwp.
struct State {
    lwp: Arc<Lwp>,
    pending: u64,
    mask: u64,
    /// Signals whose handlers want system calls to be restarted.
    restart: u64,
    sleep: Option<Sleep>,
    /// How often it fell asleep.
    sleeps: usize,
}

struct Sleep {
    channel: usize,
    why: String,
    interruptible: bool,
    deadline: Option<i64>,
    woken: Option<Wake>,
    thread: rt::Thread,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wake {
    Called,
    Signal,
}

#[derive(Default)]
struct Sched {
    lwps: BTreeMap<i32, State>,
    queues: HashMap<usize, VecDeque<i32>>,
}

static SCHED: Mutex<Option<Sched>> = Mutex::new(None);

fn with<R>(f: impl FnOnce(&mut Sched) -> R) -> R {
    f(lock(&SCHED).get_or_insert_default())
}

rt::thread_local! {
    static CURRENT: RefCell<Option<Arc<Lwp>>> = const { RefCell::new(None) };
}

/// The processes that exist whether or not a thread of theirs runs.
static PROCESSES: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// A process, until this is dropped.
pub(crate) struct Process(i32);

impl Process {
    /// A new one.
    pub(crate) fn new() -> Process {
        let pid = new_pid();
        lock(&PROCESSES).insert(pid);
        Process(pid)
    }

    /// The kernel's own.
    pub(crate) fn kernel() -> Process {
        Process(0)
    }

    pub(crate) fn pid(&self) -> i32 {
        self.0
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        lock(&PROCESSES).remove(&self.0);
    }
}

/// A process id that nobody had before.
fn new_pid() -> i32 {
    static NEXT: AtomicI32 = AtomicI32::new(100);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Lwp {
    /// A new lwp of a process.
    pub(crate) fn new(pid: i32, name: &str) -> Arc<Lwp> {
        static NEXT: AtomicI32 = AtomicI32::new(1);
        let lwp = Arc::new(Lwp {
            pid,
            lid: NEXT.fetch_add(1, Ordering::Relaxed),
            name: name.to_owned(),
        });
        let state = State {
            lwp: lwp.clone(),
            pending: 0,
            mask: 0,
            restart: 0,
            sleep: None,
            sleeps: 0,
        };
        with(|sched| sched.lwps.insert(lwp.lid, state));
        lwp
    }

    /// The process that it is of.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Its own id, unique in the system.
    pub fn lid(&self) -> i32 {
        self.lid
    }

    /// Posts a signal.
    pub fn signal(&self, signal: i32) {
        with(|sched| {
            let Some(state) = sched.lwps.get_mut(&self.lid) else {
                return;
            };
            state.pending |= bit(signal);
            let deliverable = state.pending & !state.mask != 0;
            if let Some(sleep) = &mut state.sleep {
                if sleep.interruptible && deliverable && sleep.woken.is_none() {
                    sleep.woken = Some(Wake::Signal);
                    sleep.thread.unpark();
                }
            }
        });
    }

    /// Says that the handler of `signal` wants system calls to be restarted
    /// (`SA_RESTART`).
    pub fn restarts_after(&self, signal: i32) {
        with(|sched| {
            if let Some(state) = sched.lwps.get_mut(&self.lid) {
                state.restart |= bit(signal);
            }
        });
    }

    /// Blocks a signal.
    pub fn block(&self, signal: i32) {
        with(|sched| {
            if let Some(state) = sched.lwps.get_mut(&self.lid) {
                state.mask |= bit(signal) & !UNBLOCKABLE;
            }
        });
    }

    /// What it sleeps for, if it does.
    pub fn asleep(&self) -> Option<String> {
        with(|sched| {
            let sleep = sched.lwps.get(&self.lid)?.sleep.as_ref()?;
            sleep.woken.is_none().then(|| sleep.why.clone())
        })
    }

    /// Waits until it sleeps for `why`.
    pub fn until_asleep(&self, why: &str) {
        while self.asleep().as_deref() != Some(why) {
            rt::pause();
        }
    }

    /// How often it fell asleep in the kernel.
    pub fn sleeps(&self) -> usize {
        with(|sched| sched.lwps.get(&self.lid).map_or(0, |state| state.sleeps))
    }

    /// The blocked signals.
    pub fn mask(&self) -> u64 {
        with(|sched| sched.lwps.get(&self.lid).map_or(0, |state| state.mask))
    }

    pub(crate) fn retire(&self) {
        with(|sched| sched.lwps.remove(&self.lid));
    }
}

/// The calling lwp. A thread that nobody made one of is a process of its own.
pub(crate) fn current() -> Arc<Lwp> {
    CURRENT.with(|current| {
        let mut current = current.borrow_mut();
        let made = current.get_or_insert_with(|| Lwp::new(new_pid(), &rt::name()));
        made.clone()
    })
}

/// The lwp of an id, if it is alive.
pub(crate) fn find(lid: i32) -> Option<Arc<Lwp>> {
    with(|sched| sched.lwps.get(&lid).map(|state| state.lwp.clone()))
}

/// Is the calling thread an lwp of this process?
pub(crate) fn is_of(pid: i32) -> bool {
    CURRENT.with(|current| current.borrow().as_ref().is_some_and(|lwp| lwp.pid == pid))
}

/// Makes another lwp the calling one; returns the one that was.
pub(crate) fn switch(to: Option<Arc<Lwp>>) -> Option<Arc<Lwp>> {
    CURRENT.with(|current| current.replace(to))
}

/// The calling thread as an lwp, for as long as this exists.
pub(crate) struct Bound {
    lwp: Arc<Lwp>,
    previous: Option<Arc<Lwp>>,
}

impl Bound {
    pub(crate) fn new(lwp: Arc<Lwp>) -> Bound {
        let previous = switch(Some(lwp.clone()));
        Bound { lwp, previous }
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        switch(self.previous.take());
        self.lwp.retire();
    }
}

/// Returns to user mode: locks must be left, and pending signals are
/// delivered. True if there were any.
pub(crate) fn user_return() -> bool {
    sync::assert_none_held("return to user mode");
    big::assert_unlocked("return to user mode");
    vnode::assert_none_locked("return to user mode");
    let lid = current().lid;
    with(|sched| {
        let Some(state) = sched.lwps.get_mut(&lid) else {
            return false;
        };
        let delivered = state.pending & !state.mask;
        state.pending &= !delivered;
        delivered != 0
    })
}

/// How a sleep may end, beside by a wakeup.
#[derive(Clone, Copy, Default)]
pub(crate) struct Limits {
    /// A signal may end it.
    pub(crate) interruptible: bool,
    /// It ends after so many ticks.
    pub(crate) ticks: Option<i32>,
}

/// Sleeps on `channel` until woken. `unlock` gives up what guards the
/// sleeper's condition: a wakeup that comes after it is not missed. `why` is
/// what `ps(1)` would show.
///
/// Returns 0, `EINTR` or `ERESTART` for a signal, `EWOULDBLOCK` for the clock.
pub(crate) fn sleep(channel: usize, why: &str, limits: Limits, unlock: impl FnOnce()) -> i32 {
    let me = current();
    if limits.interruptible {
        faults::interrupt(&me, why);
    }
    let deadline = limits
        .ticks
        .map(|ticks| clock::now_ticks() + i64::from(ticks));
    let fail = with(|sched| {
        let Some(state) = sched.lwps.get_mut(&me.lid) else {
            fatal!("a retired lwp sleeps");
        };
        let signalled = limits.interruptible && state.pending & !state.mask != 0;
        if !signalled {
            state.sleeps += 1;
            state.sleep = Some(Sleep {
                channel,
                why: why.to_owned(),
                interruptible: limits.interruptible,
                deadline,
                woken: None,
                thread: rt::current(),
            });
            sched.queues.entry(channel).or_default().push_back(me.lid);
        }
        signalled
    });
    if fail {
        unlock();
        return interrupted(&me);
    }
    unlock();
    let kernel_lock = big::give_up();
    let spurious = limits.ticks.is_none() && chaos::spurious();
    let outcome = loop {
        let outcome = with(|sched| {
            let slept = sched.outcome(me.lid, spurious);
            if slept.is_ok() {
                sched.end_sleep(me.lid, channel);
            }
            slept
        });
        match outcome {
            Ok(outcome) => break outcome,
            Err(left) => {
                // Whoever goes on there may wake us whatever it says.
                let woken = || with(|sched| sched.outcome(me.lid, spurious).is_ok());
                if !(actor::is_hooked() && (actor::sleeping(why) || woken())) {
                    rt::park(left.map(clock::duration));
                }
            }
        }
    };
    big::take_back(kernel_lock);
    match outcome {
        EINTR => interrupted(&me),
        other => other,
    }
}

impl Sched {
    /// How the sleep of an lwp ended, or how long it may last yet.
    fn outcome(&self, lid: i32, spurious: bool) -> Result<i32, Option<i64>> {
        let slept = self.lwps.get(&lid);
        let Some((state, sleep)) = slept.and_then(|state| Some((state, state.sleep.as_ref()?)))
        else {
            fatal!("a sleeper without a sleep");
        };
        let left = sleep.deadline.map(|deadline| deadline - clock::now_ticks());
        let signalled = sleep.interruptible && state.pending & !state.mask != 0;
        match sleep.woken {
            // Who was woken looks for signals when it runs: the wakeup is lost
            // on it then.
            Some(_) if signalled => Ok(EINTR),
            Some(Wake::Called) => Ok(0),
            Some(Wake::Signal) => Ok(EINTR),
            None if spurious => Ok(0),
            None if left.is_some_and(|left| left <= 0) => Ok(EWOULDBLOCK),
            None => Err(left),
        }
    }

    fn end_sleep(&mut self, lid: i32, channel: usize) {
        if let Some(state) = self.lwps.get_mut(&lid) {
            state.sleep = None;
        }
        if let Some(queue) = self.queues.get_mut(&channel) {
            queue.retain(|&sleeper| sleeper != lid);
            if queue.is_empty() {
                self.queues.remove(&channel);
            }
        }
    }
}

/// Whether a signal ends a system call or has it restarted.
fn interrupted(me: &Lwp) -> i32 {
    with(|sched| {
        let Some(state) = sched.lwps.get(&me.lid) else {
            return EINTR;
        };
        let deliverable = state.pending & !state.mask;
        if deliverable != 0 && deliverable & !state.restart == 0 {
            ERESTART
        } else {
            EINTR
        }
    })
}

fn wake(sched: &mut Sched, channel: usize, all: bool) -> usize {
    let mut woken = 0;
    while let Some(lid) = sched.queues.get_mut(&channel).and_then(VecDeque::pop_front) {
        let Some(state) = sched.lwps.get_mut(&lid) else {
            continue;
        };
        let Some(sleep) = &mut state.sleep else {
            continue;
        };
        if sleep.channel != channel || sleep.woken.is_some() {
            continue;
        }
        sleep.woken = Some(Wake::Called);
        sleep.thread.unpark();
        woken += 1;
        if !all {
            break;
        }
    }
    if sched.queues.get(&channel).is_some_and(VecDeque::is_empty) {
        sched.queues.remove(&channel);
    }
    woken
}

/// Wakes the first sleeper.
pub(crate) fn wakeup_one(channel: usize) {
    with(|sched| wake(sched, channel, false));
}

/// Wakes all sleepers; returns how many there were.
pub(crate) fn wakeup_all(channel: usize) -> usize {
    with(|sched| wake(sched, channel, true))
}

/// How many sleep there.
pub(crate) fn sleepers(channel: usize) -> usize {
    with(|sched| {
        let queue = sched.queues.get(&channel);
        queue.map_or(0, VecDeque::len)
    })
}

/// Has those look at the clock who wait for it.
pub(crate) fn clock_moved() {
    with(|sched| {
        for state in sched.lwps.values() {
            if let Some(sleep) = &state.sleep {
                if sleep.deadline.is_some() {
                    sleep.thread.unpark();
                }
            }
        }
    });
}

/// Waits until `done`, and gives the kernel lock up meanwhile: for hooks of a
/// test that stand for a page fault.
pub fn pause_until(done: impl Fn() -> bool) {
    let kernel_lock = big::give_up();
    let start = rt::uptime();
    while !done() {
        rt::pause();
        if rt::uptime() - start > Duration::from_secs(600) {
            fatal!("nobody ends a pause");
        }
    }
    big::take_back(kernel_lock);
}

/// All lwps, and what each sleeps for, as `ps(1)`.
pub(crate) fn table() -> String {
    let mut out = String::from("  pid   lid  name                 sleeps for\n");
    // A panic may come from inside the lock.
    let Ok(mut sched) = SCHED.try_lock() else {
        return out + "  (locked)\n" + &rt::describe();
    };
    for state in sched.get_or_insert_default().lwps.values() {
        let lwp = &state.lwp;
        let why = state.sleep.as_ref().map_or("-", |sleep| sleep.why.as_str());
        // Writing to a `String` does not fail.
        let _ = writeln!(out, "{:5} {:5}  {:20} {why}", lwp.pid, lwp.lid, lwp.name);
    }
    out + &rt::describe()
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_curlwp_ids(pid: *mut i32, lid: *mut i32) {
    let me = current();
    // SAFETY: the core passes places for the ids.
    unsafe { pid.write(me.pid) };
    // SAFETY: the core passes places for the ids.
    unsafe { lid.write(me.lid) };
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_process_exists(pid: i32) -> bool {
    let named = lock(&PROCESSES).contains(&pid);
    named || with(|sched| sched.lwps.values().any(|state| state.lwp.pid == pid))
}

/// `vfs.puffs.queuelimit`.
static QUEUE_LIMIT: AtomicI64 = AtomicI64::new(0);

pub(crate) fn set_queue_limit(bytes: i64) {
    QUEUE_LIMIT.store(bytes, Ordering::Relaxed);
}

#[no_mangle]
pub(crate) extern "C" fn pk_queue_limit() -> i64 {
    QUEUE_LIMIT.load(Ordering::Relaxed)
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_curlwp_is_pagedaemon() -> bool {
    current().name == "pgdaemon"
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_sig_pending() -> bool {
    let lid = current().lid;
    with(|sched| {
        let state = sched.lwps.get(&lid);
        state.is_some_and(|state| state.pending & !state.mask & important() != 0)
    })
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_sig_block(old: *mut pk_sigset) {
    let lid = current().lid;
    let mask = with(|sched| {
        let Some(state) = sched.lwps.get_mut(&lid) else {
            return 0;
        };
        let before = state.mask;
        state.mask |= !(important() | UNBLOCKABLE);
        before
    });
    let mut set = pk_sigset::default();
    set.ss_bits[0] = mask as u32;
    set.ss_bits[1] = (mask >> 32) as u32;
    // SAFETY: the core passes a place for the mask.
    unsafe { old.write(set) };
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_sig_restore(old: *const pk_sigset) {
    // SAFETY: the core passes what `pk_sig_block` stored.
    let set = unsafe { old.read() };
    let mask = u64::from(set.ss_bits[0]) | u64::from(set.ss_bits[1]) << 32;
    let lid = current().lid;
    with(|sched| {
        if let Some(state) = sched.lwps.get_mut(&lid) {
            state.mask = mask;
        }
    });
}
