//! Signals.
//!
//! A rump kernel keeps signals for a process as a whole, if at all, and no
//! signal ends a sleep in it. So the functions of the kernel that deal with
//! them have stand-ins here: the program exports these, and as its names come
//! before those of the libraries that it loads, all callers get them. A thread
//! of a [`Process`](puffs_script::world::Process) has signals that are pending
//! and signals that are blocked, and a sleep that lets itself be interrupted
//! looks at them every hundredth of a second.
//!
//! Whether somebody was woken must not get lost between two such looks, and a
//! sleeper must not return without having been woken: the C code does not
//! bear either. So every wakeup is counted in a word of the condition variable
//! that a rump kernel does not use.
//!
//! Who sleeps in a sleep queue, as poll(2) does, must not even look: a sleeper
//! that runs for a moment is not woken in that moment, by `l_mutex`. There the
//! sender of a signal wakes it.

use rump_kernel::kernel::{functions, RawCondVar, RawMutex};
use std::{
    cell::{Cell, RefCell},
    ffi::{c_int, c_void},
    sync::{
        atomic::{AtomicPtr, AtomicUsize, Ordering},
        Arc, Mutex, MutexGuard, PoisonError,
    },
    time::Duration,
};

const EINTR: c_int = 4;
const EINVAL: c_int = 22;
const EWOULDBLOCK: c_int = 35;

pub(crate) const SIGKILL: i32 = 9;
const SIGSTOP: i32 = 17;

const SIG_BLOCK: c_int = 1;
const SIG_UNBLOCK: c_int = 2;
const SIG_SETMASK: c_int = 3;

/// A `sigset_t`.
type RawSet = [u32; 4];

fn pack(raw: RawSet) -> u128 {
    let words = raw.iter().rev();
    words.fold(0, |set, &word| set << 32 | u128::from(word))
}

fn unpack(set: u128) -> RawSet {
    std::array::from_fn(|word| (set >> (32 * word)) as u32)
}

/// The signals of a thread.
#[derive(Default)]
pub(crate) struct Signals(Mutex<Sets>);

#[derive(Default)]
struct Sets {
    pending: u128,
    blocked: u128,
    /// The thread sleeps in a sleep queue, or is about to.
    queued: bool,
}

impl Sets {
    /// Those that are pending and not blocked.
    fn deliverable(&self) -> u128 {
        self.pending & !self.blocked
    }

    /// Are there any?
    fn are_pending(&self) -> bool {
        self.deliverable() != 0
    }
}

/// The condition variable that all who sleep in sleep queues wait on; null
/// until somebody did.
static QUEUES: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());

impl Signals {
    fn sets(&self) -> MutexGuard<'_, Sets> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends one.
    pub(crate) fn send(&self, signal: i32) {
        self.sets().pending |= 1 << (signal - 1);
        let to_wake = || {
            let sets = self.sets();
            sets.queued && sets.are_pending()
        };
        // Whom it meets before the wait hears nothing of it.
        while to_wake() {
            // SAFETY: it is there as long as the kernel, and was set before
            // anybody was in a queue.
            unsafe { rumpns_cv_broadcast(QUEUES.load(Ordering::Relaxed)) };
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Blocks one; KILL and STOP cannot be.
    pub(crate) fn block(&self, signal: i32) {
        if signal != SIGKILL && signal != SIGSTOP {
            self.sets().blocked |= 1 << (signal - 1);
        }
    }

    /// Is there one that is not blocked?
    fn are_pending(&self) -> bool {
        self.sets().are_pending()
    }

    /// The return to user mode: what is not blocked is delivered.
    pub(crate) fn deliver(&self) {
        let mut sets = self.sets();
        sets.pending &= sets.blocked;
    }
}

thread_local! {
    /// The signals of the thread that the calling host thread is.
    static CURRENT: RefCell<Option<Arc<Signals>>> = const { RefCell::new(None) };
    /// May signals end the sleep queue's sleep that it is in?
    static CATCHES: Cell<Option<bool>> = const { Cell::new(None) };
}

/// The calling host thread becomes a thread with these signals; returns those
/// of the one that it was.
pub(crate) fn become_thread(signals: Option<Arc<Signals>>) -> Option<Arc<Signals>> {
    CURRENT.replace(signals)
}

/// The signals of the thread that the calling host thread is, if it is one.
pub(crate) fn current() -> Option<Arc<Signals>> {
    CURRENT.with_borrow(Clone::clone)
}

/// How often somebody was woken.
fn wakeups(cv: *mut RawCondVar) -> &'static AtomicUsize {
    // SAFETY: the word is aligned, nobody else uses it, and the condition
    // variable is there as long as its caller here is.
    unsafe { AtomicUsize::from_ptr(RawCondVar::free_word(cv)) }
}

/// A sleep of at most so many ticks, for ever if 0, that signals end.
fn sleep(cv: *mut RawCondVar, mutex: *mut RawMutex, ticks: c_int, signals: &Signals) -> c_int {
    let mut left = ticks;
    // The mutex is still held: who wakes us from now on is counted, also between
    // two ticks, when nobody sleeps.
    let before = wakeups(cv).load(Ordering::Relaxed);
    loop {
        if signals.are_pending() {
            return EINTR;
        }
        // SAFETY: the arguments are the kernel's, which wants to sleep.
        let error = unsafe { (functions().rumpns_cv_timedwait)(cv, mutex, 1) };
        if error != EWOULDBLOCK {
            return error;
        }
        if wakeups(cv).load(Ordering::Relaxed) != before {
            return 0;
        }
        if ticks > 0 {
            left -= 1;
            if left == 0 {
                return EWOULDBLOCK;
            }
        }
    }
}

/// A sleep in a sleep queue, of at most so many ticks, for ever if 0, that
/// signals end.
///
/// # Safety
/// As of `cv_timedwait(9)`.
unsafe fn sleep_queued(
    cv: *mut RawCondVar,
    mutex: *mut RawMutex,
    ticks: c_int,
    signals: &Signals,
) -> c_int {
    QUEUES.store(cv.cast(), Ordering::Relaxed);
    signals.sets().queued = true;
    let error = if signals.are_pending() {
        EINTR
    } else if ticks == 0 {
        // SAFETY: as the caller's.
        unsafe { (functions().rumpns_cv_wait_sig)(cv, mutex) }
    } else {
        // SAFETY: as the caller's.
        unsafe { (functions().rumpns_cv_timedwait)(cv, mutex, ticks) }
    };
    let mut sets = signals.sets();
    sets.queued = false;
    if sets.are_pending() {
        EINTR
    } else {
        error
    }
}

/// `cv_wait_sig(9)`.
///
/// # Safety
/// As of the function that it stands in for; the same for all below.
#[no_mangle]
pub(crate) unsafe extern "C" fn rumpns_cv_wait_sig(cv: *mut c_void, mutex: *mut c_void) -> c_int {
    let (cv, mutex) = (cv.cast(), mutex.cast());
    match current() {
        Some(signals) if CATCHES.get().is_none() => sleep(cv, mutex, 0, &signals),
        // SAFETY: as the caller's.
        _ => unsafe { (functions().rumpns_cv_wait_sig)(cv, mutex) },
    }
}

/// `cv_timedwait_sig(9)`.
///
/// # Safety
/// As above.
#[no_mangle]
pub(crate) unsafe extern "C" fn rumpns_cv_timedwait_sig(
    cv: *mut c_void,
    mutex: *mut c_void,
    ticks: c_int,
) -> c_int {
    let (cv, mutex) = (cv.cast(), mutex.cast());
    match current() {
        Some(signals) => sleep(cv, mutex, ticks, &signals),
        // SAFETY: as the caller's.
        None => unsafe { (functions().rumpns_cv_timedwait)(cv, mutex, ticks) },
    }
}

/// `cv_timedwait(9)`, which is also what sleep queues are made of.
///
/// # Safety
/// As above.
#[no_mangle]
pub(crate) unsafe extern "C" fn rumpns_cv_timedwait(
    cv: *mut c_void,
    mutex: *mut c_void,
    ticks: c_int,
) -> c_int {
    let (cv, mutex) = (cv.cast(), mutex.cast());
    match current() {
        Some(signals) if CATCHES.get() == Some(true) => {
            // SAFETY: as the caller's.
            unsafe { sleep_queued(cv, mutex, ticks, &signals) }
        }
        // SAFETY: as the caller's.
        _ => unsafe { (functions().rumpns_cv_timedwait)(cv, mutex, ticks) },
    }
}

/// A sleep in a sleep queue, that signals end if `catch`. Callers before NetBSD
/// 10 do not say what they wait for and how often they had the kernel lock; nor
/// does the function that this calls want to know it there.
///
/// # Safety
/// As above.
#[no_mangle]
pub(crate) unsafe extern "C" fn rumpns_sleepq_block(
    ticks: c_int,
    catch: bool,
    what: usize,
    locks: c_int,
) -> c_int {
    let before = CATCHES.replace(Some(catch));
    // SAFETY: as the caller's.
    let error = unsafe { (functions().rumpns_sleepq_block)(ticks, catch, what, locks) };
    CATCHES.set(before);
    error
}

/// `cv_signal(9)`.
///
/// # Safety
/// As above.
#[no_mangle]
pub(crate) unsafe extern "C" fn rumpns_cv_signal(cv: *mut c_void) {
    wakeups(cv.cast()).fetch_add(1, Ordering::Relaxed);
    // SAFETY: as the caller's.
    unsafe { (functions().rumpns_cv_signal)(cv.cast()) };
}

/// `cv_broadcast(9)`.
///
/// # Safety
/// As above.
#[no_mangle]
pub(crate) unsafe extern "C" fn rumpns_cv_broadcast(cv: *mut c_void) {
    wakeups(cv.cast()).fetch_add(1, Ordering::Relaxed);
    // SAFETY: as the caller's.
    unsafe { (functions().rumpns_cv_broadcast)(cv.cast()) };
}

/// Is that signal pending for the calling thread, or if 0, any that is not
/// blocked?
///
/// # Safety
/// As above.
#[no_mangle]
pub(crate) unsafe extern "C" fn rumpns_sigispending(_: *mut c_void, signal: c_int) -> c_int {
    let is_pending = |signals: Arc<Signals>| {
        let set = signals.sets().deliverable();
        set != 0 && (signal == 0 || set >> (signal - 1) & 1 != 0)
    };
    if current().is_some_and(is_pending) {
        EINTR
    } else {
        0
    }
}

/// Those that are pending for the calling thread.
///
/// # Safety
/// As above.
#[no_mangle]
pub(crate) unsafe extern "C" fn rumpns_sigpending1(_: *mut c_void, out: *mut c_void) {
    let pending = current().map_or(0, |signals| signals.sets().pending);
    // SAFETY: the caller's set is for this.
    unsafe { out.cast::<RawSet>().write(unpack(pending)) };
}

/// Changes what the calling thread blocks.
///
/// # Safety
/// As above.
#[no_mangle]
pub(crate) unsafe extern "C" fn rumpns_sigprocmask1(
    _: *mut c_void,
    how: c_int,
    new: *const c_void,
    old: *mut c_void,
) -> c_int {
    let signals = current().unwrap_or_default();
    let mut sets = signals.sets();
    if !old.is_null() {
        // SAFETY: the caller's set is for this.
        unsafe { old.cast::<RawSet>().write(unpack(sets.blocked)) };
    }
    if new.is_null() {
        return 0;
    }
    // SAFETY: the caller has filled it.
    let new = pack(unsafe { new.cast::<RawSet>().read() });
    match how {
        SIG_BLOCK => sets.blocked |= new,
        SIG_UNBLOCK => sets.blocked &= !new,
        SIG_SETMASK => sets.blocked = new,
        _ => return EINVAL,
    }
    0
}
