//! Counting over a time.

use std::{
    fmt,
    sync::{
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
        Arc,
    },
    time::{Duration, Instant},
};

/// A counter with a cache line of its own (two, as processors fetch pairs). One
/// thread writes it.
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// One more. Not an atomic addition: there is one writer.
    pub(crate) fn add(&self, more: u64) {
        self.0.store(self.0.load(Relaxed) + more, Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What the threads of a measurement count, and whether they go on.
pub(crate) struct Counts {
    /// The calls, a counter for each caller.
    calls: Vec<Counter>,
    /// What the server was asked.
    pub(crate) requests: Counter,
    /// What the server leaves without an answer.
    pub(crate) held: Counter,
    /// Another process whose time counts as this one's, by its number; 0 is none.
    pub(crate) other: AtomicU32,
    over: AtomicBool,
}

/// For so long requests may take to come that are not answered.
const PATIENCE: Duration = Duration::from_secs(20);

/// For so long callers may take to make their first calls.
const BEGINNING: Duration = Duration::from_secs(2);

impl Counts {
    pub(crate) fn new(callers: usize) -> Arc<Counts> {
        Arc::new(Counts {
            calls: (0..callers).map(|_| Counter::default()).collect(),
            requests: Counter::default(),
            held: Counter::default(),
            other: AtomicU32::new(0),
            over: AtomicBool::new(false),
        })
    }

    /// How many callers there are.
    pub(crate) fn callers(&self) -> usize {
        self.calls.len()
    }

    /// A caller made a call.
    pub(crate) fn add(&self, caller: usize) {
        self.calls[caller].add(1);
    }

    /// Is it not over yet?
    pub(crate) fn goes_on(&self) -> bool {
        !self.over.load(Relaxed)
    }

    /// Makes a call until it is over.
    pub(crate) fn repeat(&self, caller: usize, mut call: impl FnMut()) {
        while self.goes_on() {
            call();
            self.add(caller);
        }
    }

    /// Waits until the server has that many requests that it does not answer.
    pub(crate) fn wait_for_held(&self, held: usize) -> Result<(), String> {
        let began = Instant::now();
        while self.held.get() < held as u64 {
            if began.elapsed() > PATIENCE {
                return Err(format!("only {} requests came", self.held.get()));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Waits until each caller has made a call: the first ones of hundreds take long,
    /// as all look for their file in one directory. A caller that others keep from
    /// making any is not waited for.
    fn wait_for_callers(&self) {
        let began = Instant::now();
        let waits = || self.calls.iter().any(|calls| calls.get() == 0);
        while waits() && began.elapsed() < BEGINNING {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits, measures, and has the callers stop.
    pub(crate) fn measure(&self, warmup: Duration, time: Duration) -> Measured {
        self.wait_for_callers();
        std::thread::sleep(warmup);
        let before = self.look();
        std::thread::sleep(time);
        let after = self.look();
        self.over.store(true, Relaxed);
        let each = || {
            let pairs = before.calls.iter().zip(&after.calls);
            pairs.map(|(before, after)| after - before)
        };
        let seconds = (after.at - before.at).as_secs_f64();
        let calls = each().sum();
        let busy = after.usage.total() - before.usage.total();
        // The kernel guesses what of the time is which, and may have guessed better since.
        let user = after.usage.user.saturating_sub(before.usage.user);
        let system = after.usage.system.saturating_sub(before.usage.system);
        let per_call = |difference: u64| difference as f64 / calls as f64;
        Measured {
            calls,
            seconds,
            busy: busy as f64 / 1e9 / seconds,
            requests: per_call(after.requests - before.requests),
            switches: per_call(after.usage.switches - before.usage.switches),
            user: per_call(user),
            system: per_call(system),
            least: each().min().unwrap_or(0),
            most: each().max().unwrap_or(0),
        }
    }

    fn usage(&self) -> Usage {
        let mut usage = usage();
        match self.other.load(Relaxed) {
            0 => {}
            other => usage.user += time_of(other).unwrap_or(0),
        }
        usage
    }

    fn look(&self) -> Look {
        Look {
            // The clock first: what follows is as late in both looks.
            at: Instant::now(),
            calls: self.calls.iter().map(Counter::get).collect(),
            requests: self.requests.get(),
            usage: self.usage(),
        }
    }
}

struct Look {
    at: Instant,
    calls: Vec<u64>,
    requests: u64,
    usage: Usage,
}

/// What the host says about this process.
struct Usage {
    /// How often another thread was given the processor.
    switches: u64,
    /// Nanoseconds in the program.
    user: u64,
    /// Nanoseconds in the host's kernel.
    system: u64,
}

impl Usage {
    fn total(&self) -> u64 {
        self.user + self.system
    }
}

fn usage() -> Usage {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: it fills in a struct of this type; on an error it stays zero.
    unsafe { libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) };
    // SAFETY: it is initialized, with zeroes at least.
    let usage = unsafe { usage.assume_init() };
    let nanoseconds =
        |time: libc::timeval| time.tv_sec as u64 * 1_000_000_000 + time.tv_usec as u64 * 1_000;
    Usage {
        switches: (usage.ru_nvcsw + usage.ru_nivcsw) as u64,
        user: nanoseconds(usage.ru_utime),
        system: nanoseconds(usage.ru_stime),
    }
}

/// Nanoseconds that a process of one thread has had the processor. (It is a
/// Linux process: only a rump kernel has servers that are others.)
fn time_of(process: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/schedstat")).ok()?;
    text.split(' ').next()?.parse().ok()
}

/// What came out. It prints as one line of `name=value` words.
#[derive(Clone, Debug)]
pub struct Measured {
    /// How many calls were made.
    pub calls: u64,
    /// In what time.
    pub seconds: f64,
    /// How many processors were used, on average. On one processor it is less
    /// than 1 if others use that too, or if everybody here waits for time to pass.
    pub busy: f64,
    /// What the server was asked, for each call.
    pub requests: f64,
    /// How often a thread gave up the processor or lost it, for each call.
    pub switches: f64,
    /// Nanoseconds in the program, which a rump kernel is part of, and in the server
    /// if that is another, for each call.
    pub user: f64,
    /// Nanoseconds in the host's kernel, for each call.
    pub system: f64,
    /// The calls of the caller that made the fewest.
    pub least: u64,
    /// The calls of the caller that made the most.
    pub most: u64,
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = self.calls as f64 / self.seconds;
        write!(
            f,
            "rate={rate:.1} calls={} seconds={:.4} busy={:.3} requests={:.3} switches={:.3} user={:.0} system={:.0} least={} most={}",
            self.calls, self.seconds, self.busy, self.requests, self.switches, self.user, self.system, self.least, self.most
        )
    }
}
