//! `cargo xtask rump-test`: the scripted cases on rump kernels.
//!
//! The crate `puffs-rump` plays a case on a rump kernel in its own process;
//! this has it play all of them, with the drop-in that [`crate::rump`] makes
//! and, for comparison, with the stock library, and says which of the known
//! defects of the C code each still shows.

use crate::{
    atf::{self, Tests},
    headers::Source,
    paths,
    report::{count, Outcome, Outputs, Report, Run, TestResult},
    rump::Kernel,
    runner, setup, sh, toolchain,
};
use anyhow::{bail, ensure, Context, Result};
use clap::Args;
use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt::Write as _,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// Plays the scripted cases on rump kernels
#[derive(Args)]
pub struct RumpTest {
    #[command(flatten)]
    kernel: Kernel,
    #[command(flatten)]
    source: Source,
    /// Have AddressSanitizer watch ours
    #[arg(long, requires = "headers", conflicts_with = "ours")]
    asan: bool,
    /// Play them with the stock library too
    #[arg(long)]
    stock: bool,
    /// Run NetBSD's own tests of puffs as well, which are installed in this directory as they are
    /// in /usr/tests
    #[arg(long, value_name = "DIR")]
    tests: Option<PathBuf>,
    /// How many at a time [default: one for each processor]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// How long one may take that does not say, in seconds
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    limit: u64,
    /// Have so many servers die instead, while they are being called: one process has all of ours
    /// die, and each of the stock library's has a process of its own
    #[arg(long, value_name = "ROUNDS", conflicts_with_all = ["defects", "tap", "junit", "report", "filters"])]
    death: Option<u64>,
    /// How many threads call a server that dies
    #[arg(long, default_value_t = 64, value_name = "N", requires = "death")]
    callers: u64,
    /// What chance begins with, for deaths
    #[arg(long, default_value_t = 1, value_name = "NUMBER", requires = "death")]
    seed: u64,
    /// Write the summary, a row of the list of defects in each line, to this file
    #[arg(long, value_name = "FILE")]
    defects: Option<PathBuf>,
    #[command(flatten)]
    outputs: Outputs,
    /// Play and run only what has one of these in its name
    #[arg(value_name = "FILTER")]
    filters: Vec<String>,
}

/// A case, as the runner lists it.
struct Case {
    name: String,
    rows: Vec<u8>,
    played: bool,
}

/// The suite of the scripted cases.
const CASES: &str = "cases";
/// That of the conformance checks, and how their names begin.
pub const CONFORM: &str = "conform";

impl Case {
    /// What it is of.
    fn suite(&self) -> &'static str {
        match self.name.split("::").next() {
            Some(CONFORM) => CONFORM,
            _ => CASES,
        }
    }
}

/// How a case ended, by what the player printed.
fn outcome(ended: &runner::Ended) -> Outcome {
    let (output, in_time) = match ended {
        runner::Ended::Well => return Outcome::Pass,
        runner::Ended::Badly(output) => (output, true),
        runner::Ended::Late(output) => (output, false),
    };
    let after = |mark: &str| {
        let at = output.find(mark)? + mark.len();
        Some(output[at..].trim_start().lines().next()?.to_owned())
    };
    if let Some(why) = after("ERROR: AddressSanitizer: ") {
        return Outcome::Panic(format!("AddressSanitizer: {why}"));
    }
    // The kernel's first: a test may fail because the kernel is dead.
    if let Some(why) = after("panic: ") {
        return Outcome::Panic(shorten(&why));
    }
    if !in_time || output.contains("hang: ") {
        return Outcome::Hang(after("hang: ").unwrap_or_default());
    }
    if output.contains("(signal: 11 ") {
        return Outcome::Panic("SIGSEGV".into());
    }
    // Rust says where on a line, and what on the next.
    let place = after("panicked at ");
    Outcome::Fail(match place.and_then(|place| after(&place)) {
        Some(why) => why,
        None => output.lines().next_back().unwrap_or_default().to_owned(),
    })
}

/// Without the path of the source tree, which is long and somebody's own.
fn shorten(panic: &str) -> String {
    match (panic.find("file \""), panic.rfind("/sys/")) {
        (Some(file), Some(sys)) if file < sys => {
            format!("{}file \"{}", &panic[..file], &panic[sys + 1..])
        }
        _ => panic.to_owned(),
    }
}

/// The library that differs.
const LIBRARY: &str = "librumpfs_syspuffs";

/// A library that is tried.
struct Library {
    name: &'static str,
    /// Where it is.
    dir: PathBuf,
    /// What makes the runner load it.
    environment: Vec<(&'static str, OsString)>,
}

impl RumpTest {
    /// Plays the cases.
    pub fn run(&self) -> Result<()> {
        setup::bindgen()?;
        let libraries = self.libraries()?;
        let program = build()?;
        if let Some(rounds) = self.death {
            return self.deaths(&program, &libraries, rounds);
        }
        let cases = self.cases(&program)?;
        let tests = self.tests(&libraries[0])?;
        let of_netbsd = tests.as_ref().map_or(0, |tests| tests.cases.len());
        ensure!(cases.len() + of_netbsd > 0, "there is nothing of that name");
        let netbsd = self.kernel.release()?;
        let mut runs = Vec::new();
        for library in &libraries {
            sh::say(format!(
                "playing {} cases and running {} tests: {}",
                cases.len(),
                of_netbsd,
                library.name
            ));
            let mut results = self.play(&program, library, &cases)?;
            if let Some(tests) = &tests {
                results.extend(self.run_tests(library, tests)?);
            }
            // One looks at what the stock library does first.
            let run = Run {
                on: "rump".into(),
                netbsd: netbsd.clone(),
                library: library.name.into(),
                results,
            };
            runs.insert(0, run);
        }
        if !cases.is_empty() {
            let summary = summary(&runs, &cases);
            println!("{summary}");
            if let Some(file) = &self.defects {
                sh::write(file, &summary)?;
            }
        }
        let mut facts = Vec::new();
        for library in &libraries {
            facts.push((library.name.to_owned(), library.dir.display().to_string()));
        }
        if let (Some(dir), Some(tests)) = (&self.tests, &tests) {
            let dir = format!("{}, run by {}", dir.display(), tests.runner());
            facts.push(("NetBSD's tests".to_owned(), dir));
        }
        self.outputs.finish(&Report {
            title: format!("puffs-rs on a rump kernel of NetBSD {netbsd}"),
            facts,
            runs,
        })
    }

    fn wants(&self, name: &str) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|filter| name.contains(filter))
    }

    /// The cases that the player knows.
    fn cases(&self, program: &Path) -> Result<Vec<Case>> {
        let mut cases = list(program)?;
        cases.retain(|case| self.wants(&case.name));
        Ok(cases)
    }

    /// The tests that are installed.
    fn tests(&self, library: &Library) -> Result<Option<Tests>> {
        let Some(dir) = &self.tests else {
            return Ok(None);
        };
        let mut tests = Tests::find(dir, &library.environment)?;
        tests.cases.retain(|test| self.wants(&test.id()));
        Ok(Some(tests))
    }

    /// Ours first.
    fn libraries(&self) -> Result<Vec<Library>> {
        let [lib, ours] = self.kernel.libraries(&self.source, self.asan)?;
        let path = std::env::join_paths([&ours, &lib])?;
        let mut environment = vec![("LD_LIBRARY_PATH", path)];
        if self.asan {
            let rust = setup::kernel_rust()?;
            let runtime = setup::sanitizer_runtime(&rust, "asan")?;
            environment.push(("LD_PRELOAD", runtime.with_extension("so").into()));
            // The kernel never gives back what it has when the process ends.
            environment.push(("ASAN_OPTIONS", "detect_leaks=0:abort_on_error=1".into()));
        }
        let mut libraries = vec![Library {
            name: "ours",
            dir: ours,
            environment,
        }];
        if self.stock {
            libraries.push(Library {
                name: "stock",
                environment: vec![("LD_LIBRARY_PATH", lib.clone().into())],
                dir: lib,
            });
        }
        Ok(libraries)
    }

    fn jobs(&self) -> usize {
        let processors = || thread::available_parallelism().map_or(2, usize::from);
        self.jobs.unwrap_or_else(processors)
    }

    /// Plays each case in a process of its own.
    fn play(&self, program: &Path, library: &Library, cases: &[Case]) -> Result<Vec<TestResult>> {
        let limit = Duration::from_secs(self.limit);
        runner::in_parallel(self.jobs(), cases, |case| {
            let mut result = TestResult {
                suite: case.suite().into(),
                name: case.name.clone(),
                outcome: Outcome::Skip("a rump kernel cannot do that".into()),
                seconds: 0.0,
                output: String::new(),
            };
            if case.played {
                let mut command = Command::new(program);
                command.args(["play", &case.name]);
                command.envs(library.environment.iter().cloned());
                let begun = Instant::now();
                let ended = runner::run_limited(&mut command, limit)?;
                result.seconds = begun.elapsed().as_secs_f64();
                result.outcome = outcome(&ended);
                if let runner::Ended::Badly(output) | runner::Ended::Late(output) = ended {
                    result.output = output;
                }
            }
            Ok(result)
        })
    }

    /// Runs NetBSD's own tests.
    fn run_tests(&self, library: &Library, tests: &Tests) -> Result<Vec<TestResult>> {
        for test in &tests.cases {
            atf::check_loads(test, &library.environment, LIBRARY, &library.dir)?;
        }
        let work = paths::target().join("rump-tests").join(library.name);
        let _lock = sh::lock(&work)?;
        let limit = Duration::from_secs(self.limit);
        runner::in_parallel(self.jobs(), &tests.cases, |test| {
            let work = work.join(test.id().replace(['/', ':'], "."));
            tests.run(test, &library.environment, &work, limit)
        })
    }
}

impl RumpTest {
    /// Has servers die: ours in one process, each of the stock library's in one
    /// of its own, as it takes the process with it.
    fn deaths(&self, program: &Path, libraries: &[Library], rounds: u64) -> Result<()> {
        sh::say(format!("having {rounds} servers die: ours"));
        sh::run(&mut self.death_command(program, &libraries[0], rounds, self.seed))?;
        let Some(stock) = libraries.get(1) else {
            return Ok(());
        };
        sh::say(format!("having {rounds} servers die: stock"));
        let mut ends = Vec::new();
        for round in 0..rounds {
            let mut command = self.death_command(program, stock, 1, self.seed + round);
            // The runner's own limit is for a round, and comes first.
            let limit = Duration::from_secs(2 * self.limit);
            ends.push(outcome(&runner::run_limited(&mut command, limit)?));
        }
        let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
        for end in &ends {
            *reasons.entry(end.to_string()).or_default() += 1;
        }
        for (reason, times) in reasons {
            println!("{times:5} {reason}");
        }
        println!("stock: {}", count(ends.iter().map(Outcome::kind)));
        Ok(())
    }

    fn death_command(&self, program: &Path, library: &Library, rounds: u64, seed: u64) -> Command {
        let mut command = Command::new(program);
        let numbers = [rounds, self.callers, seed, self.limit];
        command
            .arg("death")
            .args(numbers.map(|number| number.to_string()));
        command.envs(library.environment.iter().cloned());
        command
    }
}

/// Compiles the runner.
fn build() -> Result<PathBuf> {
    let mut cargo = toolchain::host_cargo();
    cargo.current_dir(paths::root());
    sh::run(cargo.args(["build", "--quiet", "--package", "puffs-rump"]))?;
    Ok(paths::target().join("debug/puffs-rump"))
}

fn list(program: &Path) -> Result<Vec<Case>> {
    let text = sh::output(sh::cmd(program).arg("list"))?;
    let mut cases = Vec::new();
    for line in text.lines() {
        let fields: Vec<_> = line.split('\t').collect();
        let [name, rows, played] = fields[..] else {
            bail!("the runner lists {line:?}");
        };
        let rows = rows.split(',').filter(|row| !row.is_empty());
        cases.push(Case {
            name: name.to_owned(),
            rows: rows
                .map(str::parse)
                .collect::<Result<_, _>>()
                .with_context(|| line.to_owned())?,
            played: played == "played",
        });
    }
    Ok(cases)
}

/// A line for each known defect, in Markdown.
fn summary(runs: &[Run], cases: &[Case]) -> String {
    let mut rows: BTreeMap<Option<u8>, Vec<usize>> = BTreeMap::new();
    let played = |case: &Case| case.played && case.suite() == CASES;
    for (number, case) in cases.iter().enumerate().filter(|(_, case)| played(case)) {
        for &row in &case.rows {
            rows.entry(Some(row)).or_default().push(number);
        }
        // `None`: all of them.
        rows.entry(None).or_default().push(number);
    }
    let names: Vec<_> = runs.iter().map(|run| &*run.library).collect();
    let mut text = format!("| row | cases | {} |\n", names.join(" | "));
    text += &format!("|---|---|{}\n", "---|".repeat(names.len()));
    let numbered = rows.iter().filter(|(row, _)| row.is_some());
    for (row, numbers) in numbered.chain(rows.iter().filter(|(row, _)| row.is_none())) {
        let row = row.map_or_else(|| "all".to_owned(), |row| row.to_string());
        // Writing to a `String` does not fail.
        let _ = write!(text, "| {row} | {} |", numbers.len());
        for run in runs {
            let of_row = numbers.iter().map(|&number| &run.results[number]);
            let _ = write!(
                text,
                " {} |",
                count(of_row.map(|result| result.outcome.kind()))
            );
        }
        text.push('\n');
    }
    text
}
