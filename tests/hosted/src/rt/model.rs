//! The back-end on the coroutines of the crate `shuttle`.
//!
//! Shuttle switches between the coroutines and asks a scheduler at every
//! point; [`Clocked`] stands between the two. To shuttle every thread that did
//! not end can run. `Clocked` knows who is parked, and offers its scheduler
//! those who are not. When all are, time passes until the first of them is to
//! go on; and when none of them ever is, that is a deadlock, which is reported
//! with what everybody sleeps for.
//!
//! A scheduler is asked only where there is a choice, and only in the part of
//! a program that is of interest ([`interesting`]): elsewhere a thread goes on
//! for as long as it can, and the oldest that can is next.
//!
//! All threads of an execution are one thread of the host, so what they share
//! here is a thread-local variable of the host's.

use crate::kernel::table;
use shuttle::{
    scheduler::{Schedule, Scheduler, Task, TaskId},
    thread::JoinHandle,
    Config, MaxSteps,
};
use shuttle_engine::runtime::{
    execution::Execution,
    thread::continuation::{ContinuationPool, CONTINUATION_POOL},
};
use std::{
    any::Any,
    cell::{Cell, RefCell},
    fmt::Write as _,
    io,
    panic::Location,
    rc::Rc,
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc, Mutex, MutexGuard, PoisonError, TryLockError,
    },
    thread,
    time::Duration,
};

/// Does a scheduler decide who runs, and does time pass when it says so?
pub(crate) const MODEL: bool = true;

/// How long a poll waits: a tick of the clock.
const POLL: Duration = Duration::from_millis(10);

/// What is known of a thread.
#[derive(Default)]
struct Slot {
    /// It is parked, until this time if there is one.
    parked: Option<Option<Duration>>,
    /// Somebody unparked it.
    token: bool,
    name: String,
    locals: Vec<(usize, Rc<dyn Any>)>,
}

impl Slot {
    fn can_run(&self) -> bool {
        self.parked.is_none() || self.token
    }
}

/// The state of an execution.
#[derive(Default)]
struct Run {
    current: usize,
    now: Duration,
    slots: Vec<Slot>,
    interesting: bool,
    steps: usize,
    decisions: usize,
    hash: u64,
}

std::thread_local! {
    static RUN: RefCell<Run> = RefCell::default();
    static ACTIVE: Cell<bool> = const { Cell::new(false) };
}

fn with<R>(f: impl FnOnce(&mut Run) -> R) -> R {
    RUN.with_borrow_mut(f)
}

impl Run {
    fn slot(&mut self, at: usize) -> &mut Slot {
        if self.slots.len() <= at {
            self.slots.resize_with(at + 1, Slot::default);
        }
        &mut self.slots[at]
    }
}

/// A thread, to be woken.
#[derive(Clone, PartialEq)]
pub(crate) struct Thread(usize);

impl Thread {
    /// Lets it go on, now or when it next wants to park.
    pub(crate) fn unpark(&self) {
        with(|run| run.slot(self.0).token = true);
    }
}

/// Has threads run on the calling thread of the host: they do.
pub(crate) fn gather() {}

/// Is the caller on the stack of another thread of the kernel's? No: each has
/// its own, and its own variables.
pub(crate) fn is_fiber() -> bool {
    false
}

/// The calling thread.
pub(crate) fn current() -> Thread {
    Thread(with(|run| run.current))
}

/// What the calling thread was named when it was made.
pub(crate) fn name() -> String {
    with(|run| {
        let at = run.current;
        run.slot(at).name.clone()
    })
}

fn switch() {
    // What shuttle's sleep is: the scheduler decides who is next.
    shuttle::thread::sleep(Duration::ZERO);
}

/// Blocks until somebody unparks the thread, for at most `limit`.
pub(crate) fn park(limit: Option<Duration>) {
    let parked = with(|run| {
        let (at, now) = (run.current, run.now);
        let slot = run.slot(at);
        if !std::mem::take(&mut slot.token) {
            slot.parked = Some(limit.map(|limit| now + limit));
        }
        slot.parked.is_some()
    });
    if parked {
        switch();
    }
}

/// A point where another thread may go on.
pub(crate) fn point() {
    if ACTIVE.get() {
        switch();
    }
}

/// From here on the scheduler decides, or does not any more.
pub(crate) fn interesting(so: bool) {
    with(|run| run.interesting = so);
}

/// Runs `f`, which runs executions.
///
/// There is one kernel in the process, so one thread of the host does that at a
/// time.
pub(crate) fn active<R>(f: impl FnOnce() -> R) -> R {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    ACTIVE.set(true);
    let result = f();
    ACTIVE.set(false);
    result
}

/// Who can run, and who is parked.
pub(crate) fn describe() -> String {
    let mut out = String::new();
    // A panic may come from inside.
    RUN.with(|run| {
        let Ok(run) = run.try_borrow() else { return };
        for (at, slot) in run.slots.iter().enumerate() {
            let state = match slot.parked {
                _ if at == run.current => "runs".to_owned(),
                _ if slot.can_run() => "can run".to_owned(),
                Some(Some(until)) => format!("parked until {until:?}"),
                _ => "parked".to_owned(),
            };
            // Writing to a `String` does not fail.
            let _ = writeln!(out, "thread {at} {}: {state}", slot.name);
        }
        let _ = writeln!(out, "{} steps, up for {:?}", run.steps, run.now);
    });
    out
}

/// How many decisions the last execution took, and a hash of them.
pub(crate) fn seen() -> (usize, u64) {
    with(|run| (run.decisions, run.hash))
}

/// How many steps an execution may take until it is said to be endless.
pub(crate) const STEPS: usize = 200_000;

/// In one of so many steps the clock may run ahead.
pub(crate) const WHIM: u64 = 64;

/// How shuttle runs what is here.
pub(crate) fn config() -> Config {
    let mut config = Config::new();
    // What an unoptimised build needs, with room.
    config.stack_size = 1 << 19;
    // Seen to by the scheduler.
    config.max_steps = MaxSteps::None;
    config.silence_warnings = true;
    // Unwinding would have to cross frames of C.
    config
        .ungraceful_shutdown_config
        .immediately_return_on_panic = true;
    config
}

/// Runs one execution.
pub(crate) fn run_once(
    scheduler: impl Scheduler + 'static,
    program: impl FnOnce() + Send + 'static,
) {
    thread_local_pool(|| {
        let mut scheduler = Clocked::new(scheduler, WHIM);
        let schedule = scheduler.new_execution().unwrap_or_default();
        let scheduler = Rc::new(RefCell::new(scheduler));
        active(|| {
            Execution::new(scheduler, schedule).run(&config(), program, Location::caller());
        });
    });
}

/// Runs `f` with the stacks of former executions.
fn thread_local_pool(f: impl FnOnce()) {
    std::thread_local! {
        static POOL: ContinuationPool = ContinuationPool::new();
    }
    POOL.with(|pool| CONTINUATION_POOL.set(pool, f));
}

/// Has shuttle write down on stderr what the schedule was so far, before the
/// process ends with `text`.
pub(crate) fn testify(text: &str) {
    if ACTIVE.get() {
        // Shuttle does it when a thread panics.
        let _ = std::panic::catch_unwind(|| panic!("{text}"));
    }
}

/// Lets others go on.
pub(crate) fn yield_now() {
    point();
}

/// Lets time pass, in a loop that waits for what tells nobody when it comes:
/// it goes on when nobody else can.
pub(crate) fn pause() {
    park(Some(POLL));
}

/// How long the system is up.
pub(crate) fn uptime() -> Duration {
    with(|run| run.now)
}

/// The time since 1970.
pub(crate) fn wall_clock() -> Duration {
    Duration::from_secs(1 << 30) + uptime()
}

/// A thread, to wait for its end.
pub(crate) struct Handle<T> {
    thread: JoinHandle<T>,
    finished: Arc<AtomicBool>,
}

impl<T> Handle<T> {
    /// Did it end?
    pub(crate) fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Relaxed)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// What it panicked with.
    pub(crate) fn join(self) -> thread::Result<T> {
        self.thread.join()
    }
}

/// Starts a thread.
///
/// # Errors
/// None, here.
pub(crate) fn spawn<T: Send + 'static>(
    name: String,
    run: impl FnOnce() -> T + Send + 'static,
) -> io::Result<Handle<T>> {
    let finished = Arc::new(AtomicBool::new(false));
    let end = finished.clone();
    let thread = shuttle::thread::spawn(move || {
        with(|run| {
            let at = run.current;
            run.slot(at).name = name;
        });
        let result = run();
        end.store(true, Ordering::Relaxed);
        result
    });
    Ok(Handle { thread, finished })
}

/// A variable that each thread has for itself; see
/// [`thread_local`](macro@thread_local).
pub(crate) struct LocalKey<T: 'static> {
    init: fn() -> T,
}

impl<T: 'static> LocalKey<T> {
    pub(crate) const fn new(init: fn() -> T) -> LocalKey<T> {
        LocalKey { init }
    }

    pub(crate) fn with<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        let key = std::ptr::from_ref(self).addr();
        let known = with(|run| {
            let at = run.current;
            let locals = &run.slot(at).locals;
            let found = locals.iter().find(|(known, _)| *known == key);
            found.map(|(_, value)| value.clone())
        });
        let value = known.unwrap_or_else(|| {
            let value: Rc<dyn Any> = Rc::new((self.init)());
            with(|run| {
                let at = run.current;
                run.slot(at).locals.push((key, value.clone()));
            });
            value
        });
        match value.downcast_ref::<T>() {
            Some(value) => f(value),
            None => unreachable!("a key has one type"),
        }
    }
}

impl<T: Copy> LocalKey<Cell<T>> {
    pub(crate) fn get(&'static self) -> T {
        self.with(Cell::get)
    }

    pub(crate) fn set(&'static self, value: T) {
        self.with(|cell| cell.set(value));
    }

    pub(crate) fn replace(&'static self, value: T) -> T {
        self.with(|cell| cell.replace(value))
    }
}

impl<T> LocalKey<RefCell<T>> {
    pub(crate) fn with_borrow<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        self.with(|cell| f(&cell.borrow()))
    }

    pub(crate) fn with_borrow_mut<R>(&'static self, f: impl FnOnce(&mut T) -> R) -> R {
        self.with(|cell| f(&mut cell.borrow_mut()))
    }
}

/// Declares variables that each thread has for itself, as std's does.
macro_rules! model_thread_local {
    ($($(#[$attr:meta])* static $name:ident: $t:ty = const { $init:expr };)+) => {
        $($(#[$attr])*
        static $name: $crate::rt::model::LocalKey<$t> =
            $crate::rt::model::LocalKey::new(|| $init);)+
    };
}
pub(crate) use model_thread_local as thread_local;

/// Locks a mutex of the host's, also after a test failed in it. Somebody who
/// has it does not run, so that would be for ever: the process ends.
pub(crate) fn host_lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    match mutex.try_lock() {
        Ok(guard) => guard,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => {
            panic!("a lock of the host is held over a scheduling point")
        }
    }
}

/// Stands between shuttle and a scheduler: see [the module](self).
pub(crate) struct Clocked<S> {
    inner: S,
    /// In one of so many steps those who wait for the clock are offered as
    /// well; 0: in none.
    whim: u64,
    dice: u64,
    /// The scheduler knows the whole schedule already.
    replay: bool,
}

impl<S: Scheduler> Clocked<S> {
    /// Time passes when nobody can run, and in one of `whim` steps also if the
    /// scheduler wants it to; 0 is never.
    pub(crate) fn new(inner: S, whim: u64) -> Clocked<S> {
        Clocked {
            inner,
            whim,
            dice: 0,
            replay: false,
        }
    }

    /// Does what `inner` says, which has a schedule that was written down.
    pub(crate) fn replay(inner: S) -> Clocked<S> {
        Clocked {
            replay: true,
            ..Clocked::new(inner, 1)
        }
    }

    fn roll(&mut self) -> bool {
        if self.whim == 0 {
            return false;
        }
        // Xorshift.
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice.is_multiple_of(self.whim)
    }
}

impl<S: Scheduler> Scheduler for Clocked<S> {
    fn new_execution(&mut self) -> Option<Schedule> {
        let schedule = self.inner.new_execution()?;
        self.dice = schedule.seed | 1;
        with(|run| {
            run.current = 0;
            run.now = Duration::ZERO;
            run.slots.clear();
            run.interesting = false;
            run.steps = 0;
            run.decisions = 0;
            run.hash = 0;
        });
        Some(schedule)
    }

    fn next_task(
        &mut self,
        tasks: &[&Task],
        current: Option<TaskId>,
        is_yielding: bool,
    ) -> Option<TaskId> {
        let (interesting, steps) = with(|run| {
            run.steps += 1;
            (run.interesting, run.steps)
        });
        if steps > STEPS {
            panic!("no end, {} is running\n{}", name(), table());
        }
        let whim = (interesting || self.replay) && self.roll();
        let mut offered: Vec<&Task> = Vec::with_capacity(tasks.len());
        with(|run| {
            for &task in tasks {
                let slot = run.slot(task.id().into());
                if slot.can_run() || (whim && slot.parked.flatten().is_some()) {
                    offered.push(task);
                }
            }
            if offered.is_empty() {
                let wakes = |task: &&&Task| run.slots[usize::from(task.id())].parked.flatten();
                let first = tasks.iter().filter(|task| wakes(task).is_some());
                // The first of those that come at the same time.
                offered.extend(first.min_by_key(|task| wakes(task)));
            }
        });
        if offered.is_empty() {
            // Shuttle stands below, and unwinding from here is what it expects.
            panic!("deadlock\n{}", table());
        }
        let chosen = match offered.as_slice() {
            [only] if !self.replay => only.id(),
            _ if interesting || self.replay => {
                self.inner.next_task(&offered, current, is_yielding)?
            }
            all => {
                let goes_on = all.iter().find(|task| Some(task.id()) == current);
                goes_on.unwrap_or(&all[0]).id()
            }
        };
        let at = usize::from(chosen);
        with(|run| {
            run.current = at;
            if offered.len() > 1 {
                run.decisions += 1;
                let known = run.hash ^ (at as u64) << 8 ^ offered.len() as u64;
                run.hash = known.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31);
            }
            let slot = run.slot(at);
            if let Some(until) = slot.parked.take() {
                if !std::mem::take(&mut slot.token) {
                    run.now = run.now.max(until.unwrap_or_default());
                }
            }
        });
        Some(chosen)
    }

    fn next_u64(&mut self) -> u64 {
        self.inner.next_u64()
    }
}
