//! What is to be measured, as the command line says it.

use std::{path::PathBuf, time::Duration};

/// One measurement.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The workload.
    pub workload: String,
    /// How many threads make calls.
    pub callers: usize,
    /// How many requests of other callers the server leaves without an answer.
    pub outstanding: usize,
    /// A server with libpuffs, for workloads that need one.
    pub server: Option<PathBuf>,
    /// For how long it is measured.
    pub time: Duration,
    /// For how long nothing is measured before that.
    pub warmup: Duration,
}

impl Plan {
    /// How it is written.
    pub const USAGE: &'static str =
        "WORKLOAD [--callers N] [--outstanding N] [--server PROGRAM] [--seconds S] [--warmup S]";

    /// What the arguments say.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn parse(arguments: &[&str]) -> Result<Plan, String> {
        let [workload, options @ ..] = arguments else {
            return Err("which workload?".into());
        };
        let mut plan = Plan {
            workload: (*workload).into(),
            callers: 1,
            outstanding: 0,
            server: None,
            time: Duration::from_secs(1),
            warmup: Duration::from_millis(300),
        };
        for option in options.chunks(2) {
            let &[name, value] = option else {
                return Err(format!("{} wants a value", option[0]));
            };
            match name {
                "--callers" => plan.callers = count(value)?.max(1),
                "--outstanding" => plan.outstanding = count(value)?,
                "--server" => plan.server = Some(value.into()),
                "--seconds" => plan.time = seconds(value)?,
                "--warmup" => plan.warmup = seconds(value)?,
                _ => return Err(format!("there is no option {name}")),
            }
        }
        Ok(plan)
    }
}

fn count(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("{text} is no number"))
}

fn seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| format!("{text} is no time"))
}
