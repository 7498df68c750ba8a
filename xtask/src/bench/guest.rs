//! Measuring in a NetBSD guest, whose `puffs-guest bench` does it.
//!
//! The guest is booted for each library in each round. Modules that are loaded
//! one after the other in one guest would not find the same: memory, vnodes and
//! names that the other left, and a mount that some thread of the kernel keeps
//! would be in the way. A guest whose clock counts instructions does the same
//! after each boot anyway.

use super::{Results, Row, Series, Side, PATIENCE};
use crate::{
    anita::{Load, Machine, Output, Ready, Step},
    paths,
    report::{Outcome, TestResult},
    sh,
};
use anyhow::{Context, Result};
use std::time::Duration;

/// How long a measurement may take: seconds in the guest are many outside.
const LIMIT: Duration = Duration::from_secs(300);

/// What is measured, and for how long.
pub struct Measure<'a> {
    /// The workloads.
    pub rows: &'a [&'static Row],
    /// How often.
    pub rounds: usize,
    /// What `puffs-guest bench` is told beside the workload.
    pub times: String,
}

/// Measures, and says which NetBSD it was.
pub fn measure(
    machine: &Machine,
    ready: &Ready<'_>,
    what: &Measure<'_>,
) -> Result<(Results, String)> {
    let load = Step::read(&paths::etc("anita").join("steps/10-load.sh"))?;
    let mut results = Results {
        setting: super::Setting::Guest,
        about: about(machine),
        rows: what.rows.iter().map(|row| Series::of(row)).collect(),
    };
    let mut netbsd = String::new();
    for round in 0..what.rounds {
        let mut sides = [Side::Stock, Side::Ours];
        if round % 2 == 1 {
            sides.reverse();
        }
        for side in sides {
            sh::say(format!("guest: round {} of {}", round + 1, what.rounds));
            let library = match side {
                Side::Stock => &ready.stock,
                Side::Ours => &ready.ours,
            };
            let wanted = |series: &&mut Series| series.failures(side) < PATIENCE;
            let mut series: Vec<_> = results.rows.iter_mut().filter(wanted).collect();
            let steps = series.iter().map(|series| step(series.row, &what.times));
            let steps: Vec<_> = std::iter::once(load.clone()).chain(steps).collect();
            let run = ready.play(
                library,
                &Load {
                    steps: &steps,
                    programs: None,
                    rump: None,
                },
            )?;
            netbsd = run.netbsd;
            for (series, step) in series.iter_mut().zip(&steps[1..]) {
                let result = run.results.iter().find(|result| result.name == step.name);
                let result = result.with_context(|| format!("{} was not done", step.name))?;
                series.add(side, outcome(result)?);
            }
        }
    }
    Ok((results, netbsd))
}

/// What a reader has to know.
fn about(machine: &Machine) -> String {
    let processors = match machine.cpus {
        1 => "one processor".to_owned(),
        cpus => format!("{cpus} processors"),
    };
    let clock = if machine.counts_instructions() {
        "Its clock counts instructions, one for each nanosecond: 10^9 divided by a rate is how \
         many a call takes, on one processor. That is the same whatever else the machine does; \
         what caches and TLBs cost is not in it."
    } else {
        "A second is one of its clock's."
    };
    format!(
        "A NetBSD in QEMU that has {processors}, booted for each library in each round. The \
         server and the callers are threads of one process, but for a server with libpuffs, \
         whose switches are not counted. {clock}"
    )
}

/// What has the guest measure a row.
fn step(row: &Row, times: &str) -> Step {
    let name = row.arguments.replace(" --", "-").replace(' ', "-");
    let (before, server) = match row.libpuffs {
        true => ("dtfs_program\n", " --server \"$(command -v dtfs)\""),
        false => ("", ""),
    };
    Step {
        order: name.clone(),
        name,
        limit: LIMIT,
        each_boot: false,
        output: Output::Text,
        script: format!(
            ". ./lib.sh\n{before}exec puffs-guest bench {}{server} {times}\n",
            row.arguments
        ),
    }
}

/// What came of it. What a workload or the kernel does wrong is a result, too.
fn outcome(result: &TestResult) -> Result<super::numbers::Outcome> {
    let lines = || result.output.lines().map(str::trim);
    Ok(match &result.outcome {
        Outcome::Pass => {
            let line = lines().find(|line| line.starts_with("rate="));
            Ok(line
                .with_context(|| format!("{} measured nothing", result.name))?
                .parse()?)
        }
        Outcome::Fail(_) => Err(lines().next_back().unwrap_or_default().to_owned()),
        other => Err(other.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::{super::ROWS, *};
    use std::collections::BTreeSet;

    #[test]
    fn each_row_has_a_step_of_its_own() {
        let names: BTreeSet<_> = ROWS.iter().map(|row| step(row, "").name).collect();
        assert_eq!(names.len(), ROWS.len());
    }

    fn result(outcome: Outcome, output: &str) -> TestResult {
        TestResult {
            suite: "guest".into(),
            name: "floor".into(),
            outcome,
            seconds: 1.0,
            output: output.into(),
        }
    }

    #[test]
    fn a_line_among_others_is_what_was_measured_and_a_panic_is_a_result() {
        let text = "a message\nrate=7.5 calls=1 busy=0.5 switches=2.0\r\n";
        let measured = outcome(&result(Outcome::Pass, text)).unwrap().unwrap();
        assert_eq!(measured.rate, 7.5);
        assert!(outcome(&result(Outcome::Pass, "nothing")).is_err());
        let panic = outcome(&result(Outcome::Panic("why".into()), text)).unwrap();
        assert_eq!(panic.unwrap_err(), "panic: why");
        let failed = outcome(&result(
            Outcome::Fail("exit status 1".into()),
            "mount: EBUSY\n",
        ));
        assert_eq!(failed.unwrap().unwrap_err(), "mount: EBUSY");
    }
}
