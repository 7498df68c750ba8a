//! What must be true after every input, whatever it was.

use puffs_hosted::kernel::{self, Count, Kernel};
use puffs_rs::{
    kern::{Errno, Result},
    vfsops,
};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// The largest errno that a caller may see.
const ELAST: i32 = Errno::LAST;

/// Checks that an outcome is success or an errno that a caller may see.
///
/// # Panics
/// If it is not.
pub fn legal<T>(what: &str, outcome: &Result<T>) {
    if let Err(error) = outcome {
        let number = error.get();
        assert!((1..=ELAST).contains(&number), "{what}: errno {number}");
    }
}

/// What is out of the kernel's pools and counted by it, at one time.
pub struct Baseline {
    exact: BTreeMap<String, Count>,
    tally: usize,
    checks: usize,
}

/// How many checks look at the sum alone for one that looks at everything.
const QUICK: usize = 64;

impl Baseline {
    /// What is out now.
    pub fn take(kernel: &Kernel) -> Baseline {
        Baseline {
            exact: kernel.outstanding(),
            tally: kernel.tally(),
            checks: 0,
        }
    }

    /// Waits until just that is out: threads of the kernel's need a moment to
    /// give back what they have.
    ///
    /// # Panics
    /// If it does not come to that.
    pub fn check(&mut self, kernel: &Kernel) {
        let start = Instant::now();
        self.checks += 1;
        loop {
            if kernel.tally() != self.tally {
                kernel::pause();
            }
            let same = kernel.tally() == self.tally;
            if same && !self.checks.is_multiple_of(QUICK) {
                return;
            }
            // A thread of the kernel's may have let a vnode go just now.
            kernel.shrink();
            // What the device forgot to give back goes when its reader has.
            let _is_quiet = vfsops::is_quiet();
            let now = kernel.outstanding();
            if now == self.exact {
                return;
            }
            assert!(
                start.elapsed() < Duration::from_secs(10),
                "leaked: {now:#?}\nbefore: {:#?}",
                self.exact
            );
            kernel::pause();
        }
    }
}

/// Takes what the console got and checks that it is not more than what the
/// input can have caused.
///
/// # Panics
/// If it is.
pub fn console(kernel: &Kernel, limit: usize) {
    let lines = kernel.console();
    assert!(
        lines.len() <= limit,
        "{} lines on the console, and {limit} are plenty: {lines:#?}",
        lines.len()
    );
    for line in &lines {
        assert!(line.len() <= 400, "a line of {} bytes", line.len());
    }
}
