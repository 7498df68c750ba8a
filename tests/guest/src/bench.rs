//! Measures workloads on the NetBSD that it runs on, with the puffs that is
//! loaded.
//!
//! The file server and who makes the calls are threads of one process, as the
//! workloads count in memory that they share. Threads of two take longer for a
//! call, by what a change of the address space costs, whatever the module is.

use crate::run::{run_child, Ended, OwnGate, TIDY_LIMIT};
use puffs_bench::{Place, Plan, Role, Work};
use std::{
    sync::{
        atomic::{AtomicUsize, Ordering::Relaxed},
        Arc,
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// How long a measurement may take beside its time: for the callers to begin, and
/// for the last call.
const PATIENCE: Duration = Duration::from_secs(60);

/// Room for what a thread does here: there may be thousands.
const STACK: usize = 128 * 1024;

/// Measures in a process of its own, whose end ends the mount, and prints one line.
pub(crate) fn run(arguments: &[&str]) -> Result<bool, String> {
    let plan = parse(arguments)?;
    let words: Vec<&str> = std::iter::once("measure")
        .chain(arguments.iter().copied())
        .collect();
    let measured = run_child(&words, plan.warmup + plan.time + PATIENCE)?;
    let tidied = run_child(&["tidy"], TIDY_LIMIT * 2)?;
    for ended in [&measured, &tidied] {
        let (Ended::Well(output) | Ended::Badly(output)) = ended;
        output.lines().for_each(|line| println!("{line}"));
    }
    Ok(matches!(
        (measured, tidied),
        (Ended::Well(_), Ended::Well(_))
    ))
}

/// Measures in this process, whose end is that of the mount.
pub(crate) fn measure(arguments: &[&str]) -> Result<(), String> {
    let threads = Threads::default();
    let measured = puffs_bench::run(&threads, &parse(arguments)?)?;
    println!("{measured}");
    threads.wait_for_callers();
    Ok(())
}

fn parse(arguments: &[&str]) -> Result<Plan, String> {
    let plan = Plan::parse(arguments);
    plan.map_err(|error| format!("{error}: puffs-guest bench {}", Plan::USAGE))
}

/// For so long callers may take to see that it is over.
const LAST_CALLS: Duration = Duration::from_secs(2);

/// Those of this process.
#[derive(Default)]
struct Threads {
    /// How many callers there are.
    callers: Arc<AtomicUsize>,
}

impl Threads {
    /// Waits for the last calls. The process ends thread by thread: who waits for a
    /// page would wait for a server that is no more. Who asked for what is never
    /// answered is only waited for in vain.
    fn wait_for_callers(&self) {
        let begun = Instant::now();
        while self.callers.load(Relaxed) > 0 && begun.elapsed() < LAST_CALLS {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Place for Threads {
    fn spawn(&self, role: Role, work: Work) -> JoinHandle<()> {
        let callers = self.callers.clone();
        let body = move || {
            work(&OwnGate);
            if role == Role::Caller {
                callers.fetch_sub(1, Relaxed);
            }
        };
        if role == Role::Caller {
            self.callers.fetch_add(1, Relaxed);
        }
        let thread = std::thread::Builder::new().stack_size(STACK);
        match thread.spawn(body) {
            Ok(handle) => handle,
            Err(error) => panic!("a thread: {error}"),
        }
    }

    fn is_own(&self) -> bool {
        true
    }
}
