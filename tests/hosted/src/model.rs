//! Models: programs on the hosted kernel that are run on many schedules.
//!
//! ```text
//! search(Search::Random { runs: 10_000, seed: 1 }, || {
//!     let bench = Bench::new();
//!     explore(|| {
//!         let call = bench.call(|user| user.stat(MNT));
//!         bench.die();
//!         assert!(call.join().is_err());
//!     });
//!     bench.finish();
//! });
//! ```
//!
//! An execution fails if it panics, if nobody can run and nobody waits for the
//! clock (with a table of who sleeps for what), if it comes to no end, or if a
//! rule of the kernel is broken. The schedule is on stderr then, as a string;
//! with that in `PUFFS_SCHEDULE` the same test runs the same schedule again.

mod bounded;

use crate::{
    rt::model::{active, config, interesting, Clocked, WHIM},
    user::User,
};
use bounded::Bounded;
use shuttle::{
    scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Scheduler},
    Runner,
};

/// How the schedules of a model are searched.
#[derive(Clone, Copy, Debug)]
pub enum Search {
    /// All in which nobody is stopped who could go on, but at so many points:
    /// one after the other, until there are no more.
    Bounded {
        /// How many at most.
        runs: usize,
        /// At how many points.
        preemptions: usize,
    },
    /// Threads have priorities, which change at a few random points: finds
    /// what takes few switches at the right points.
    Priorities {
        /// How many schedules.
        runs: usize,
        /// At how many points.
        depth: usize,
        /// What they are drawn from.
        seed: u64,
    },
    /// Anybody at any point.
    Random {
        /// How many schedules.
        runs: usize,
        /// What they are drawn from.
        seed: u64,
    },
}

/// Runs `program` on many schedules, as a process of its own; returns how
/// many it were. One search runs at a time.
///
/// # Panics
/// If an execution fails.
pub fn search(search: Search, program: impl Fn() + Send + Sync + 'static) -> usize {
    let program = move || User::new("model").run(|_| program());
    if let Ok(schedule) = std::env::var("PUFFS_SCHEDULE") {
        let again = ReplayScheduler::new_from_encoded(&schedule);
        return run(Clocked::replay(again), program);
    }
    match search {
        Search::Bounded { runs, preemptions } => {
            run(Clocked::new(Bounded::new(runs, preemptions), 0), program)
        }
        Search::Priorities { runs, depth, seed } => {
            let inner = PctScheduler::new_from_seed(seed, depth, runs);
            run(Clocked::new(inner, WHIM), program)
        }
        Search::Random { runs, seed } => {
            let inner = RandomScheduler::new_from_seed(seed, runs);
            run(Clocked::new(inner, WHIM), program)
        }
    }
}

fn run(scheduler: impl Scheduler + 'static, program: impl Fn() + Send + Sync + 'static) -> usize {
    active(|| Runner::new(scheduler, config()).run(program))
}

/// Runs the part of a model that is of interest: before and after it nobody is
/// stopped who can go on, so that no schedules are spent on it.
pub fn explore<R>(part: impl FnOnce() -> R) -> R {
    interesting(true);
    let result = part();
    interesting(false);
    result
}
