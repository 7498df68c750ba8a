//! The back-end on std threads, or on [fibers](fiber) of one.

use super::fiber;
use std::{
    io,
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc, LazyLock, Mutex, MutexGuard, PoisonError,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

pub(crate) use super::fiber::{gather, is_fiber};
pub(crate) use std::thread_local;

/// Does a scheduler decide who runs, and does time pass when it says so?
pub(crate) const MODEL: bool = false;

/// A thread, to be woken.
#[derive(Clone)]
pub(crate) enum Thread {
    /// One of the host's.
    Host(thread::Thread),
    /// A fiber, or the one that runs them.
    Fiber(fiber::Token),
}

impl PartialEq for Thread {
    fn eq(&self, other: &Thread) -> bool {
        match (self, other) {
            (Thread::Host(one), Thread::Host(other)) => one.id() == other.id(),
            (Thread::Fiber(one), Thread::Fiber(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

impl Thread {
    /// Lets it go on, now or when it next wants to park.
    pub(crate) fn unpark(&self) {
        match self {
            Thread::Host(thread) => thread.unpark(),
            Thread::Fiber(token) => token.store(true, Ordering::Release),
        }
    }
}

/// The calling thread.
pub(crate) fn current() -> Thread {
    match fiber::current() {
        Some(token) => Thread::Fiber(token),
        None => Thread::Host(thread::current()),
    }
}

/// What the calling thread was named when it was made.
pub(crate) fn name() -> String {
    let host = || thread::current().name().unwrap_or("thread").to_owned();
    fiber::name().unwrap_or_else(host)
}

/// Blocks until somebody unparks the thread, for at most `limit`. It may
/// return for no reason.
pub(crate) fn park(limit: Option<Duration>) {
    if fiber::park(limit) {
        return;
    }
    match limit {
        Some(limit) => thread::park_timeout(limit),
        None => thread::park(),
    }
}

/// A point where another thread may go on: any, here.
pub(crate) fn point() {}

/// Nothing more is known of how it came to the end that `text` tells.
pub(crate) fn testify(_text: &str) {}

/// Who can run: the host knows.
pub(crate) fn describe() -> String {
    String::new()
}

/// Lets others go on.
pub(crate) fn yield_now() {
    if !fiber::park(Some(Duration::ZERO)) {
        thread::yield_now();
    }
}

/// Lets time pass, in a loop that waits for what tells nobody when it comes.
pub(crate) fn pause() {
    const POLL: Duration = Duration::from_micros(50);
    if !fiber::park(Some(POLL)) {
        thread::sleep(POLL);
    }
}

/// How long the system is up.
pub(crate) fn uptime() -> Duration {
    static BOOT: LazyLock<Instant> = LazyLock::new(Instant::now);
    fiber::uptime().unwrap_or_else(|| BOOT.elapsed())
}

/// The time since 1970.
pub(crate) fn wall_clock() -> Duration {
    if let Some(uptime) = fiber::uptime() {
        return Duration::from_secs(1 << 30) + uptime;
    }
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// A thread, to wait for its end.
pub(crate) enum Handle<T> {
    /// One of the host's.
    Host(JoinHandle<T>),
    /// A fiber.
    Fiber(Arc<End<T>>),
}

/// The end of a fiber.
pub(crate) struct End<T> {
    result: Mutex<Option<T>>,
    came: AtomicBool,
}

impl<T> Handle<T> {
    /// Did it end?
    pub(crate) fn is_finished(&self) -> bool {
        match self {
            Handle::Host(thread) => thread.is_finished(),
            Handle::Fiber(end) => end.came.load(Ordering::Acquire),
        }
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// What it panicked with.
    pub(crate) fn join(self) -> thread::Result<T> {
        let end = match self {
            Handle::Host(thread) => return thread.join(),
            Handle::Fiber(end) => end,
        };
        loop {
            if let Some(result) = host_lock(&end.result).take() {
                return Ok(result);
            }
            pause();
        }
    }
}

/// Starts a thread.
///
/// # Errors
/// What the host says.
pub(crate) fn spawn<T: Send + 'static>(
    name: String,
    run: impl FnOnce() -> T + Send + 'static,
) -> io::Result<Handle<T>> {
    if fiber::uptime().is_none() {
        let spawned = thread::Builder::new().name(name).spawn(run);
        return spawned.map(Handle::Host);
    }
    let end = Arc::new(End {
        result: Mutex::new(None),
        came: AtomicBool::new(false),
    });
    let mine = end.clone();
    fiber::spawn(name, move || {
        *host_lock(&mine.result) = Some(run());
        mine.came.store(true, Ordering::Release);
    })?;
    Ok(Handle::Fiber(end))
}

/// Locks a mutex of the host's, also after a test failed in it.
pub(crate) fn host_lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
