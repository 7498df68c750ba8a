//! `cargo xtask fuzz`: libFuzzer over the hosted kernel.
//!
//! The targets are in `tests/fuzz`, a workspace of its own; cargo-fuzz builds
//! them. What they find out is kept under `target/fuzz`: the corpus of each
//! target, its log, the inputs that broke something.

use crate::{paths, setup, sh, toolchain};
use anyhow::{bail, ensure, Context, Result};
use clap::{Args, ValueEnum};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// A target.
struct Target {
    name: &'static str,
    /// What the hosted kernel runs on.
    kernel: Kernel,
}

/// What the hosted kernel runs on: there is one in a build.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kernel {
    Threads,
    Coroutines,
}

impl Kernel {
    const ALL: [Kernel; 2] = [Kernel::Threads, Kernel::Coroutines];

    fn name(self) -> &'static str {
        match self {
            Kernel::Threads => "threads",
            Kernel::Coroutines => "coroutines",
        }
    }

    /// The feature of the targets' package that brings it.
    fn feature(self) -> Option<&'static str> {
        match self {
            Kernel::Threads => None,
            Kernel::Coroutines => Some("schedule"),
        }
    }
}

/// The targets.
const TARGETS: [Target; 3] = [
    Target {
        name: "dispatch",
        kernel: Kernel::Threads,
    },
    Target {
        name: "mount_args",
        kernel: Kernel::Threads,
    },
    Target {
        name: "schedule",
        kernel: Kernel::Coroutines,
    },
];

/// The longest input, in bytes. Most of what an input finds, it finds early;
/// longer ones only take longer.
const MAX_LEN: u32 = 256;

/// How long one input may take, in seconds.
const TIMEOUT: u32 = 20;

/// The files whose coverage is told.
const COVERED: [&str; 2] = ["src/msgif/", "src/vfsops/args.rs"];

/// Lets random input loose on the core, in the hosted kernel
///
/// Each target starts with the seeds of `tests/fuzz/seeds` and with what it found before, which is
/// kept under `target/fuzz/corpus`. An input that breaks something stays in
/// `target/fuzz/artifacts`, and you are told how to run it again. Without a limit it goes on until
/// it is stopped.
#[derive(Args)]
pub struct Fuzz {
    /// The targets, which run at once [default: all]
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    /// Stop each target after so many seconds
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// Stop each target after so many inputs
    #[arg(long, value_name = "N")]
    runs: Option<u64>,
    /// Run so many processes for each target
    #[arg(long, default_value_t = 1, value_name = "N")]
    jobs: u32,
    /// What the programs are built with [default: address, if this Rust brings it]
    ///
    /// AddressSanitizer sees every wrong access. The hosted kernel fences its memory by itself,
    /// so that without it little less is found, in a fraction of the time.
    #[arg(long, value_enum)]
    sanitizer: Option<Sanitizer>,
    /// Say which lines of the message path the seeds and the corpora reach, instead of fuzzing
    #[arg(long)]
    coverage: bool,
    /// Write the seeds anew, instead of fuzzing
    #[arg(long)]
    write_seeds: bool,
}

/// What finds wrong accesses to memory.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Sanitizer {
    Address,
    None,
}

impl Sanitizer {
    /// AddressSanitizer, if the toolchain has it.
    fn best() -> Result<Sanitizer> {
        if toolchain::has_asan()? {
            return Ok(Sanitizer::Address);
        }
        sh::say(
            "this Rust brings no AddressSanitizer: fuzzing without; \
             the hosted kernel fences its memory by itself",
        );
        Ok(Sanitizer::None)
    }

    fn name(self) -> &'static str {
        match self {
            Sanitizer::Address => "address",
            Sanitizer::None => "none",
        }
    }

    /// The feature of the targets' package that goes with it.
    fn feature(self) -> Option<&'static str> {
        match self {
            Sanitizer::Address => Some("asan"),
            Sanitizer::None => None,
        }
    }
}

impl Fuzz {
    /// Does what the options say.
    pub fn run(&self) -> Result<()> {
        let targets = self.targets()?;
        if self.write_seeds {
            return write_seeds();
        }
        if self.coverage {
            return coverage(&targets);
        }
        let mut limits = Vec::new();
        limits.extend(
            self.seconds
                .map(|seconds| format!("-max_total_time={seconds}")),
        );
        limits.extend(self.runs.map(|runs| format!("-runs={runs}")));
        if self.jobs > 1 {
            limits.push(format!("-fork={}", self.jobs));
        }
        let sanitizer = self.sanitizer.map_or_else(Sanitizer::best, Ok)?;
        fuzz(&targets, sanitizer, &limits)
    }

    fn targets(&self) -> Result<Vec<&'static Target>> {
        for name in &self.targets {
            ensure!(
                TARGETS.iter().any(|target| target.name == name),
                "there is no target {name}; there are {}",
                TARGETS.map(|target| target.name).join(", ")
            );
        }
        let wanted = |target: &&Target| {
            self.targets.is_empty() || self.targets.iter().any(|name| name == target.name)
        };
        Ok(TARGETS.iter().filter(wanted).collect())
    }
}

/// Runs every target for so many seconds; returns how many there are.
pub fn all(seconds: u64) -> Result<usize> {
    let targets: Vec<_> = TARGETS.iter().collect();
    let limits = [format!("-max_total_time={seconds}")];
    fuzz(&targets, Sanitizer::best()?, &limits)?;
    Ok(TARGETS.len())
}

/// The directory of the targets.
pub fn dir() -> PathBuf {
    paths::root().join("tests/fuzz")
}

fn seeds() -> PathBuf {
    dir().join("seeds")
}

/// Where everything goes that is built or found out.
fn work() -> PathBuf {
    paths::target().join("fuzz")
}

/// The features of a build.
fn features(kernel: Kernel, sanitizer: Sanitizer) -> String {
    let features: Vec<_> = [kernel.feature(), sanitizer.feature()]
        .into_iter()
        .flatten()
        .collect();
    features.join(",")
}

/// Builds targets; returns the directory of the programs.
fn build(targets: &[&Target], sanitizer: Sanitizer) -> Result<PathBuf> {
    let cargo_fuzz = setup::fuzz_tools()?;
    let host = toolchain::host_triple()?;
    let out = work().join("build").join(sanitizer.name());
    for target in targets {
        // cargo-fuzz finds the cargo and rustc of this driver by the environment.
        let mut command = sh::cmd(&cargo_fuzz);
        command
            .current_dir(paths::root())
            .env("RUSTC_BOOTSTRAP", "1")
            // Comparisons are most of what the hosted kernel does.
            .args(["fuzz", "build", "--release", "--no-trace-compares"])
            .args(["--sanitizer", sanitizer.name(), "--target", &host])
            .arg("--features")
            .arg(features(target.kernel, sanitizer))
            .arg("--fuzz-dir")
            .arg(dir())
            .arg("--target-dir")
            .arg(&out)
            .arg(target.name);
        sh::run(&mut command)?;
    }
    Ok(out.join(host).join("release"))
}

/// A target at work.
struct Running {
    target: &'static Target,
    child: Child,
    log: PathBuf,
}

fn fuzz(targets: &[&'static Target], sanitizer: Sanitizer, limits: &[String]) -> Result<()> {
    let programs = build(targets, sanitizer)?;
    let running: Vec<_> = targets
        .iter()
        .map(|target| start(target, &programs, limits))
        .collect::<Result<_>>()?;
    let mut failed = Vec::new();
    for running in running {
        let name = running.target.name;
        if let Err(error) = finish(running, &programs) {
            eprintln!("error: {error:#}");
            failed.push(name);
        }
    }
    ensure!(failed.is_empty(), "{} failed", failed.join(", "));
    Ok(())
}

fn start(target: &'static Target, programs: &Path, limits: &[String]) -> Result<Running> {
    let name = target.name;
    let corpus = work().join("corpus").join(name);
    let artifacts = work().join("artifacts").join(name);
    let logs = work().join("logs");
    for dir in [&corpus, &artifacts, &logs] {
        sh::mkdir(dir)?;
    }
    let log = logs.join(name);
    let file = File::create(&log).with_context(|| format!("cannot make {}", log.display()))?;
    let mut command = sh::cmd(programs.join(name));
    command
        .arg(&corpus)
        .arg(seeds().join(name))
        .args(limits)
        .arg(format!("-timeout={TIMEOUT}"))
        .arg(format!("-max_len={MAX_LEN}"))
        .arg("-detect_leaks=0")
        // How often each line is reached tells nothing, and takes time.
        .args(["-use_counters=0", "-entropic=0"])
        .arg("-print_final_stats=1")
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        // Inputs are short: what is freed need not be kept for long. The
        // targets count what is left, and keep the kernel from one input to
        // the next. Stacks that are copied for their coroutines' sake are not
        // given back.
        .env(
            "ASAN_OPTIONS",
            "quarantine_size_mb=4:malloc_context_size=4:detect_leaks=0\
             :detect_stack_use_after_return=0",
        )
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file);
    sh::say(format!("{name}: {}", sh::show(&command)));
    let child = command
        .spawn()
        .with_context(|| format!("cannot run {name}"))?;
    Ok(Running { target, child, log })
}

fn finish(mut running: Running, programs: &Path) -> Result<()> {
    let name = running.target.name;
    let status = running.child.wait()?;
    let log = String::from_utf8_lossy(&sh::read(&running.log)?).into_owned();
    let stat = |what: &str| {
        let line = log.lines().rev().find(|line| line.contains(what));
        let word = line.and_then(|line| line.split_whitespace().last());
        word.unwrap_or("?").to_owned()
    };
    let kept = fs::read_dir(work().join("corpus").join(name))?.count();
    sh::say(format!(
        "{name}: {} inputs, {} a second, {kept} kept",
        stat("stat::number_of_executed_units:"),
        stat("stat::average_exec_per_sec:"),
    ));
    if status.success() {
        return Ok(());
    }
    let lines: Vec<_> = log.lines().collect();
    let last = lines[lines.len().saturating_sub(60)..].join("\n");
    let artifact = log
        .lines()
        .rev()
        .find_map(|line| {
            line.split_once("Test unit written to ")
                .map(|(_, file)| file)
        })
        .unwrap_or("FILE");
    bail!(
        "{last}\n{name}: {status}; all of it is in {}\n\
         run it again with: {} {artifact}",
        running.log.display(),
        programs.join(name).display()
    );
}

/// Lints of the targets.
pub fn clippy() -> Result<()> {
    setup::fuzz_compiler()?;
    for kernel in Kernel::ALL {
        let mut command = cargo("clippy", "debug", kernel);
        sh::run(command.args(["--all-targets", "--", "-D", "warnings"]))?;
    }
    Ok(())
}

/// A cargo command in the workspace of the targets, which builds in a directory
/// of this name.
fn cargo(verb: &str, place: &str, kernel: Kernel) -> Command {
    let mut command = toolchain::host_cargo();
    command
        .current_dir(dir())
        .env("CARGO_TARGET_DIR", work().join(place))
        .args([verb, "--quiet", "--locked", "--features"])
        .arg(features(kernel, Sanitizer::None));
    command
}

/// Writes the seeds of all targets.
fn write_seeds() -> Result<()> {
    for kernel in Kernel::ALL {
        let mut command = cargo("run", "debug", kernel);
        command.args(["--example", "puffs-fuzz", "--", "seeds"]);
        sh::run(command.arg(seeds()))?;
    }
    Ok(())
}

/// Says which lines the seeds and the corpora reach.
fn coverage(targets: &[&Target]) -> Result<()> {
    setup::fuzz_compiler()?;
    let mut files = Lines::new();
    for kernel in Kernel::ALL {
        let of_kernel = targets.iter().filter(|target| target.kernel == kernel);
        let names: Vec<_> = of_kernel.map(|target| target.name).collect();
        if !names.is_empty() {
            add_lines(&mut files, &reached(kernel, &names)?);
        }
    }
    report(&files);
    Ok(())
}

/// Which lines targets reach, as llvm-cov exports it.
fn reached(kernel: Kernel, targets: &[&str]) -> Result<String> {
    let tools = setup::llvm_tools()?;
    let raw = work().join("profiles").join(kernel.name());
    sh::fresh_dir(&raw)?;
    let driver = |verb: &str| {
        let mut command = cargo(verb, "coverage", kernel);
        command
            .env("RUSTFLAGS", "-Cinstrument-coverage")
            // Build scripts leave theirs where nobody looks for it.
            .env("LLVM_PROFILE_FILE", raw.join("build-%p"))
            .args(["--example", "puffs-fuzz"]);
        command
    };
    sh::run(&mut driver("build"))?;
    for target in targets {
        let mut command = driver("run");
        command
            .env(
                "LLVM_PROFILE_FILE",
                raw.join(format!("{target}-%p.profraw")),
            )
            .args(["--", "run", target])
            .arg(seeds().join(target));
        let corpus = work().join("corpus").join(target);
        if corpus.is_dir() {
            command.arg(corpus);
        }
        sh::run(&mut command)?;
    }
    let merged = raw.join("merged.profdata");
    let mut profiles = Vec::new();
    for entry in fs::read_dir(&raw)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "profraw")
        {
            profiles.push(path);
        }
    }
    let mut merge = sh::cmd(&tools.profdata);
    sh::output(merge.args(["merge", "-o"]).arg(&merged).args(profiles))?;
    let mut export = sh::cmd(&tools.cov);
    sh::output(
        export
            .args(["export", "-format=lcov"])
            .arg(format!("-instr-profile={}", merged.display()))
            .arg(work().join("coverage/debug/examples/puffs-fuzz")),
    )
}

/// How often each line of each file was reached.
type Lines = BTreeMap<String, BTreeMap<u32, u64>>;

/// Adds what llvm-cov exports.
fn add_lines(files: &mut Lines, lcov: &str) {
    let root = paths::root();
    let mut file = None;
    for line in lcov.lines() {
        if let Some(path) = line.strip_prefix("SF:") {
            let path = Path::new(path);
            let name = path.strip_prefix(&root).unwrap_or(path).to_string_lossy();
            let wanted = COVERED.iter().any(|covered| name.starts_with(covered));
            file = wanted.then(|| name.into_owned());
        } else if let (Some(file), Some(data)) = (&file, line.strip_prefix("DA:")) {
            let mut numbers = data.split(',').map(str::parse::<u64>);
            if let (Some(Ok(number)), Some(Ok(count))) = (numbers.next(), numbers.next()) {
                let lines = files.entry(file.clone()).or_default();
                *lines.entry(number as u32).or_default() += count;
            }
        }
    }
}

fn report(files: &Lines) {
    let (mut all, mut reached) = (0, 0);
    println!("file                       lines  reached  missed lines");
    for (name, lines) in files {
        let missed: Vec<_> = lines
            .iter()
            .filter(|(_, count)| **count == 0)
            .map(|(line, _)| line.to_string())
            .collect();
        let hit = lines.len() - missed.len();
        println!(
            "{name:<26} {:>5} {:>7.1}%  {}",
            lines.len(),
            percent(hit, lines.len()),
            missed.join(" ")
        );
        all += lines.len();
        reached += hit;
    }
    println!("{:<26} {all:>5} {:>7.1}%", "all", percent(reached, all));
}

fn percent(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    100.0 * part as f64 / whole as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_message_path_are_counted() {
        let root = paths::root();
        let lcov = format!(
            "SF:{0}/src/msgif/park.rs\nDA:1,5\nDA:2,0\nend_of_record\n\
             SF:{0}/src/node.rs\nDA:1,0\nend_of_record\n",
            root.display()
        );
        let mut lines = Lines::new();
        add_lines(&mut lines, &lcov);
        add_lines(&mut lines, &lcov);
        assert_eq!(lines.len(), 1);
        let counts = BTreeMap::from([(1, 10), (2, 0)]);
        assert_eq!(lines["src/msgif/park.rs"], counts);
    }
}
