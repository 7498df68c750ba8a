//! A time limit for each test, that tells what everybody waits for.

use super::{fatal::fatal, registry::lock};
use crate::rt;
use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// Aborts the process if it still exists after its time. Under a model there is
/// none: the scheduler sees who does not come to an end.
pub(crate) struct Watchdog {
    off: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    pub(crate) fn new(limit: Duration) -> Watchdog {
        let off = Arc::new((Mutex::new(false), Condvar::new()));
        if rt::MODEL {
            return Watchdog { off, thread: None };
        }
        let shared = off.clone();
        let name = std::thread::current().name().unwrap_or("?").to_owned();
        let thread = std::thread::Builder::new()
            .name("watchdog".into())
            .spawn(move || {
                let start = Instant::now();
                let mut done = lock(&shared.0);
                while !*done {
                    let left = limit.saturating_sub(start.elapsed());
                    if left.is_zero() {
                        fatal!("{name}: not done after {limit:?}");
                    }
                    let waited = shared.1.wait_timeout(done, left);
                    done = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
            });
        Watchdog {
            off,
            thread: thread.ok(),
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        *lock(&self.off.0) = true;
        self.off.1.notify_all();
        if let Some(thread) = self.thread.take() {
            // It does not panic, it aborts.
            let _ = thread.join();
        }
    }
}
