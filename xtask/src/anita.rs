//! `cargo xtask anita`: the module in NetBSD itself.
//!
//! anita, NetBSD's own driver of such tests, installs a release or takes what
//! is installed, and boots it in QEMU. The guest gets the module and the tests
//! on a second disk and goes through the [steps](step). Which ones is told by
//! `etc/anita/steps`; what came of them is told by the exit status of each, and
//! by the [console] of a guest that did not survive one.

mod console;
mod guest;
mod machine;
mod pools;
mod results;
mod session;
mod step;

pub use machine::{Load, Machine, Ready};
pub use step::{Output, Step};

use crate::{
    arch::Arch,
    headers::Source,
    paths,
    report::{Outputs, Report},
};
use anyhow::{ensure, Result};
use clap::Args;
use std::{path::PathBuf, time::Instant};

/// Runs everything in a NetBSD guest, by anita and QEMU
#[derive(Args)]
pub struct Anita {
    #[command(flatten)]
    machine: Machine,
    #[command(flatten)]
    source: Source,
    /// Do everything with the stock module as well
    #[arg(long)]
    stock: bool,

    /// A directory of programs to hand over, of servers, say; they come before the guest's own
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
    /// A directory with our librumpfs_syspuffs for the guest: its /usr/tests of puffs run on a rump
    /// kernel, not on the module
    #[arg(long, value_name = "DIR")]
    rump: Option<PathBuf>,
    /// A step to do beside those of etc/anita/steps, or a directory of steps; the turn of each is
    /// where its name stands among theirs
    #[arg(long = "step", value_name = "FILE-OR-DIR")]
    extra: Vec<PathBuf>,

    /// Take so many times the limit of each step, for a slow machine
    #[arg(long, default_value_t = 1, value_name = "N")]
    patience: u32,

    #[command(flatten)]
    outputs: Outputs,
    /// Do only steps whose names contain one of these, and what is done after each boot
    #[arg(value_name = "FILTER")]
    filters: Vec<String>,
}

impl Anita {
    /// Runs the steps.
    pub fn run(&self) -> Result<()> {
        let steps = self.steps()?;
        let of_ours = |step: &Step| step.output == Output::Tap;
        // A program for the guest is made for this port only.
        let tests = self.machine.arch == Arch::Amd64 && steps.iter().any(of_ours);
        let ready = self.machine.ready("anita", &self.source, tests)?;
        let load = Load {
            steps: &steps,
            programs: self.programs.as_deref(),
            rump: self.rump.as_deref(),
        };
        let mut facts = self.machine.facts(&ready);
        let mut runs = Vec::new();
        let stock = self.stock || self.machine.stock_module.is_some();
        let stock = stock.then_some(&ready.stock);
        for library in [Some(&ready.ours), stock].into_iter().flatten() {
            let begun = Instant::now();
            let run = ready.play(library, &load)?;
            facts.push((
                format!("console, {}", library.name),
                ready.console_log(library).display().to_string(),
            ));
            let seconds = begun.elapsed().as_secs();
            facts.push((format!("time, {}", library.name), format!("{seconds} s")));
            runs.push(run);
        }
        self.outputs.finish(&Report {
            title: "puffs in a NetBSD guest".into(),
            facts,
            runs,
        })
    }

    /// The steps, in their order.
    fn steps(&self) -> Result<Vec<Step>> {
        let mut steps = Step::read_all(&paths::etc("anita").join("steps"))?;
        for file in &self.extra {
            if file.is_dir() {
                steps.extend(Step::read_all(file)?);
            } else {
                steps.push(Step::read(file)?);
            }
        }
        steps.sort_by(|a, b| a.order.cmp(&b.order));
        for pair in steps.windows(2) {
            ensure!(
                pair[0].name != pair[1].name,
                "two steps are called {}",
                pair[0].name
            );
        }
        for step in &mut steps {
            step.limit *= self.patience;
        }
        let filters = &self.filters;
        steps.retain(|step| {
            let wanted = |filter: &String| step.name.contains(filter);
            step.each_boot || filters.is_empty() || filters.iter().any(wanted)
        });
        Ok(steps)
    }
}
