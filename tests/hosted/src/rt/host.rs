//! The back-end on std threads.

use std::{
    io,
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

pub(crate) use std::thread_local;

/// Does a scheduler decide who runs, and does time pass when it says so?
pub(crate) const MODEL: bool = false;

/// A thread, to be woken.
#[derive(Clone)]
pub(crate) struct Thread(thread::Thread);

impl PartialEq for Thread {
    fn eq(&self, other: &Thread) -> bool {
        self.0.id() == other.0.id()
    }
}

impl Thread {
    /// Lets it go on, now or when it next wants to park.
    pub(crate) fn unpark(&self) {
        self.0.unpark();
    }
}

/// The calling thread.
pub(crate) fn current() -> Thread {
    Thread(thread::current())
}

/// What the calling thread was named when it was made.
pub(crate) fn name() -> String {
    thread::current().name().unwrap_or("thread").to_owned()
}

/// Blocks until somebody unparks the thread, for at most `limit`. It may
/// return for no reason.
pub(crate) fn park(limit: Option<Duration>) {
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
    thread::yield_now();
}

/// Lets time pass, in a loop that waits for what tells nobody when it comes.
pub(crate) fn pause() {
    thread::sleep(Duration::from_micros(50));
}

/// How long the system is up.
pub(crate) fn uptime() -> Duration {
    static BOOT: LazyLock<Instant> = LazyLock::new(Instant::now);
    BOOT.elapsed()
}

/// The time since 1970.
pub(crate) fn wall_clock() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// A thread, to wait for its end.
pub(crate) struct Handle<T>(JoinHandle<T>);

impl<T> Handle<T> {
    /// Did it end?
    pub(crate) fn is_finished(&self) -> bool {
        self.0.is_finished()
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// What it panicked with.
    pub(crate) fn join(self) -> thread::Result<T> {
        self.0.join()
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
    let spawned = thread::Builder::new().name(name).spawn(run);
    spawned.map(Handle)
}

/// Locks a mutex of the host's, also after a test failed in it.
pub(crate) fn host_lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
