//! A guest is taken through its steps, and booted again when one was too much
//! for it.

use super::{
    console,
    guest::{Answer, End, Guest},
    pools,
    results::{self, Parsed},
    step::{Output, Step},
};
use crate::{
    report::{Outcome, TestResult},
    sh,
};
use anyhow::Result;
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

/// What is to be done.
pub struct Plan<'a> {
    /// Whose module it is, for messages.
    pub library: &'a str,
    /// How long a boot may take.
    pub boot_limit: Duration,
    /// The command that gets what is handed over, after each boot.
    pub unpack: String,
    /// The steps, in their order.
    pub steps: &'a [Step],
}

/// What came of it.
pub struct Outcomes {
    /// The guest's release.
    pub netbsd: String,
    /// The results: of the steps, the suite `guest`; of the tests that they
    /// have, suites of their own.
    pub results: Vec<TestResult>,
}

/// The suite of the steps.
pub const SUITE: &str = "guest";

/// How long a small command may take.
const MOMENT: Duration = Duration::from_secs(60);

/// How often the guest is booted again for the rest of one step.
const RETURNS: usize = 1000;

/// The exit status of a step that is skipped.
const SKIPPED: i32 = 77;

/// Takes a guest through the steps.
pub fn run(guest: &mut dyn Guest, plan: &Plan<'_>) -> Result<Outcomes> {
    let mut session = Session {
        guest,
        plan,
        state: State::Down,
        netbsd: "unknown".into(),
        reported: BTreeSet::new(),
        results: Vec::new(),
    };
    for step in plan.steps {
        if !session.is_up()? {
            // What is done after each boot may be what failed.
            if !session.reported.contains(&step.name) {
                let why = "the guest does not get as far as this".to_owned();
                session.report(SUITE, &step.name, Outcome::Skip(why), Instant::now(), "");
            }
        } else if !step.each_boot {
            session.step(step)?;
        }
    }
    session.halt()?;
    Ok(Outcomes {
        netbsd: session.netbsd,
        results: session.results,
    })
}

#[derive(PartialEq, Eq)]
enum State {
    /// It has to be booted.
    Down,
    /// It waits for a command.
    Up,
    /// It cannot be booted.
    Broken,
}

struct Session<'a> {
    guest: &'a mut dyn Guest,
    plan: &'a Plan<'a>,
    state: State,
    netbsd: String,
    /// What is done after each boot and has a result already.
    reported: BTreeSet<String>,
    results: Vec<TestResult>,
}

impl Session<'_> {
    /// Is the guest up? If not, it is booted.
    fn is_up(&mut self) -> Result<bool> {
        if self.state == State::Down {
            self.state = State::Broken;
            if self.boot()? {
                self.state = State::Up;
            }
        }
        Ok(self.state == State::Up)
    }

    /// Boots it, and makes it ready for steps.
    fn boot(&mut self) -> Result<bool> {
        let begun = Instant::now();
        let answer = self.guest.boot()?;
        let outcome = ended(&answer, self.plan.boot_limit);
        if !self.report_once("boot", &outcome, begun, &answer.console) {
            return Ok(false);
        }
        let begun = Instant::now();
        let answer = self.guest.run(&self.plan.unpack, MOMENT)?;
        let outcome = ended(&answer, MOMENT);
        if !self.report_once("unpack", &outcome, begun, &answer.console) {
            return Ok(false);
        }
        let answer = self.guest.run("uname -r", MOMENT)?;
        if let Some(release) = printed(&answer.console).lines().next() {
            self.netbsd = release.trim().to_owned();
        }
        for step in self.plan.steps.iter().filter(|step| step.each_boot) {
            let begun = Instant::now();
            let answer = self.guest.run(&command(step, None), step.limit)?;
            let outcome = ended(&answer, step.limit);
            if !self.report_once(&step.name, &outcome, begun, &printed(&answer.console)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Does a step, and what is left of it when the guest did not survive a
    /// part that it names.
    fn step(&mut self, step: &Step) -> Result<()> {
        let mut after = None;
        for _ in 0..RETURNS {
            if !self.is_up()? {
                let why = "the guest does not come up for the rest of it".to_owned();
                self.report(SUITE, &step.name, Outcome::Fail(why), Instant::now(), "");
                return Ok(());
            }
            let begun = Instant::now();
            let answer = self
                .guest
                .run(&command(step, after.as_deref()), step.limit)?;
            let text = printed(&answer.console);
            let mut outcome = ended(&answer, step.limit);
            let died = !matches!(answer.end, End::Status { .. });
            if died {
                self.state = State::Down;
            }
            let parsed = match outcome {
                Outcome::Skip(_) => Parsed::default(),
                _ => parse(step, &text, died),
            };
            let (done, planned) = (parsed.results.len(), parsed.planned);
            let any_failed = parsed.results.iter().any(failed);
            let last = parsed.results.last().map(|result| result.name.clone());
            self.results.extend(parsed.results);
            match (died, parsed.running) {
                // The test is what failed.
                (true, Some(test)) => {
                    let (suite, name) = match step.output {
                        Output::Tap => (results::tap_suite(&step.name, &test), test.as_str()),
                        _ => test.split_once(':').unwrap_or((&step.name, &test)),
                    };
                    self.report(suite, name, outcome, begun, &text);
                    if step.output == Output::Tap {
                        after = Some(test);
                        continue;
                    }
                    outcome = Outcome::Fail("it did not get to its end".into());
                }
                // What the last test left was too much.
                (true, None) if step.output == Output::Tap && last.is_some() => {
                    if let Some(result) = self.results.last_mut() {
                        result.outcome = outcome;
                        result.output = text;
                    }
                    after = last;
                    continue;
                }
                // Another guest can do the rest.
                (false, _) if parsed.gave_up.is_some() && last.is_some() => {
                    self.state = State::Down;
                    after = last;
                    continue;
                }
                (false, _) => {
                    outcome = match (outcome, parsed.gave_up, planned) {
                        (_, Some(why), _) => Outcome::Fail(why),
                        // A program that says so of its tests has said it.
                        (Outcome::Fail(_), ..) if any_failed => Outcome::Pass,
                        (Outcome::Pass, _, Some(planned)) if planned != done => {
                            Outcome::Fail(format!("{done} of {planned} tests were run"))
                        }
                        // What is left after a test may be nothing.
                        (Outcome::Pass, ..)
                            if step.output != Output::Text && done == 0 && after.is_none() =>
                        {
                            Outcome::Fail("no test was run".into())
                        }
                        (outcome, ..) => outcome,
                    };
                }
                (true, None) => {}
            }
            self.report(SUITE, &step.name, outcome, begun, &text);
            return Ok(());
        }
        let why = format!("the guest died {RETURNS} times");
        self.report(SUITE, &step.name, Outcome::Fail(why), Instant::now(), "");
        Ok(())
    }

    fn halt(&mut self) -> Result<()> {
        if self.state != State::Up {
            return Ok(());
        }
        let begun = Instant::now();
        let answer = self.guest.halt()?;
        // The kernel may be gone before it says that it has halted.
        let outcome = match console::panic(&answer.console) {
            Some(why) => Outcome::Panic(why),
            None => Outcome::Pass,
        };
        self.report(SUITE, "halt", outcome, begun, &answer.console);
        Ok(())
    }

    /// Reports what is done after each boot: the first time, and when it goes
    /// wrong. Did it not?
    fn report_once(&mut self, name: &str, outcome: &Outcome, begun: Instant, text: &str) -> bool {
        let well = *outcome == Outcome::Pass;
        if self.reported.insert(name.to_owned()) || !well {
            self.report(SUITE, name, outcome.clone(), begun, text);
        }
        well
    }

    fn report(&mut self, suite: &str, name: &str, outcome: Outcome, begun: Instant, text: &str) {
        let seconds = begun.elapsed().as_secs_f64();
        sh::say(format!(
            "{}: {suite}:{name}: {outcome} ({seconds:.1} s)",
            self.plan.library
        ));
        self.results.push(TestResult {
            suite: suite.to_owned(),
            name: name.to_owned(),
            outcome,
            seconds,
            output: text.to_owned(),
        });
    }
}

fn failed(result: &TestResult) -> bool {
    !matches!(result.outcome, Outcome::Pass | Outcome::Skip(_))
}

/// The command that does a step, or what of it comes after a test.
fn command(step: &Step, after: Option<&str>) -> String {
    match after {
        None => format!("sh steps/{}.sh", step.name),
        Some(test) => format!(
            "sh steps/{}.sh '{}'",
            step.name,
            test.replace('\'', r"'\''")
        ),
    }
}

/// How a step ended, if its exit status is all there is to know.
fn ended(answer: &Answer, limit: Duration) -> Outcome {
    if let Some(outcome) = console::outcome(answer, limit) {
        return outcome;
    }
    let text = printed(&answer.console);
    let said = |mark: &str| {
        let mut lines = text.lines().rev();
        lines.find_map(|line| Some(line.strip_prefix(mark)?.trim().to_owned()))
    };
    match answer.end {
        End::Status { status: 0 } => Outcome::Pass,
        End::Status { status: SKIPPED } => {
            Outcome::Skip(said("skip:").unwrap_or_else(|| "it does not say why".into()))
        }
        End::Status { status } => {
            Outcome::Fail(said("fail:").unwrap_or_else(|| format!("exit status {status}")))
        }
        End::Ddb | End::Gone | End::Limit => unreachable!("these have an outcome of their own"),
    }
}

/// What a command printed: without the line that the terminal echoed, before which
/// may be the end of the last command's, and without what came after its end.
fn printed(console: &str) -> String {
    /// Only the echo has this.
    const ECHO: &str = "==$s==";
    let echo = console.find(ECHO).unwrap_or(0);
    let lines = console[echo..].split_once('\n');
    let lines = lines.map_or("", |(_, lines)| lines);
    match lines.find("==end-") {
        Some(end) => lines[..end].to_owned(),
        None => lines.to_owned(),
    }
}

/// The results that a step's output has.
fn parse(step: &Step, text: &str, died: bool) -> Parsed {
    match step.output {
        Output::Text => Parsed::default(),
        // There is nothing to compare.
        Output::Pools if died => Parsed::default(),
        Output::Tap => results::tap(&step.name, text),
        Output::Results => results::lines(text),
        Output::Pools => Parsed {
            results: pools::results(&step.name, text),
            ..Parsed::default()
        },
    }
}

#[cfg(test)]
mod tests;
