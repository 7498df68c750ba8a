//! `cargo xtask fuzz`: libFuzzer over the hosted kernel.
//!
//! The targets are in `tests/fuzz`, a workspace of its own; cargo-fuzz builds
//! them. What they find out is kept under `target/fuzz`: the corpus of each
//! target, its log, the inputs that broke something.

use crate::{paths, setup, sh, toolchain};
use anyhow::{bail, ensure, Context, Result};
use clap::Args;
use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// The targets.
const TARGETS: [&str; 2] = ["dispatch", "mount_args"];

/// How long one input may take, in seconds.
const TIMEOUT: u32 = 20;

/// The longest input, in bytes.
const MAX_LEN: u32 = 2048;

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
    /// The targets [default: all, two at a time]
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
    /// Say which lines of the message path the seeds and the corpora reach, instead of fuzzing
    #[arg(long)]
    coverage: bool,
    /// Write the seeds anew, instead of fuzzing
    #[arg(long)]
    write_seeds: bool,
}

impl Fuzz {
    /// Does what the options say.
    pub fn run(&self) -> Result<()> {
        let targets = self.targets()?;
        if self.write_seeds {
            return sh::run(driver("debug").args(["seeds".as_ref(), seeds().as_os_str()]));
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
        fuzz(&targets, &limits)
    }

    fn targets(&self) -> Result<Vec<&'static str>> {
        for name in &self.targets {
            ensure!(
                TARGETS.contains(&name.as_str()),
                "there is no target {name}; there are {}",
                TARGETS.join(", ")
            );
        }
        let wanted = |target: &&str| {
            self.targets.is_empty() || self.targets.iter().any(|name| name == target)
        };
        Ok(TARGETS.into_iter().filter(wanted).collect())
    }
}

/// Runs every target for so many seconds; returns how many there are.
pub fn all(seconds: u64) -> Result<usize> {
    fuzz(&TARGETS, &[format!("-max_total_time={seconds}")])?;
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

/// How the targets are built: with AddressSanitizer, if the toolchain has it.
fn sanitizer() -> Result<&'static str> {
    if toolchain::has_asan()? {
        return Ok("address");
    }
    sh::say(
        "this Rust brings no AddressSanitizer: fuzzing without; \
         the hosted kernel fences its memory by itself",
    );
    Ok("none")
}

/// Builds the targets; returns the directory of the programs.
fn build() -> Result<PathBuf> {
    let cargo_fuzz = setup::fuzz_tools()?;
    let host = toolchain::host_triple()?;
    let out = work().join("build");
    // cargo-fuzz finds the cargo and rustc of this driver by the environment.
    let mut command = sh::cmd(cargo_fuzz);
    command
        .current_dir(paths::root())
        .env("RUSTC_BOOTSTRAP", "1")
        // Comparisons are most of what the hosted kernel does.
        .args(["fuzz", "build", "--release", "--no-trace-compares"])
        .args(["--sanitizer", sanitizer()?, "--target", &host])
        .arg("--fuzz-dir")
        .arg(dir())
        .arg("--target-dir")
        .arg(&out);
    sh::run(&mut command)?;
    Ok(out.join(host).join("release"))
}

/// A target at work.
struct Running {
    target: &'static str,
    child: Child,
    log: PathBuf,
}

fn fuzz(targets: &[&'static str], limits: &[String]) -> Result<()> {
    let programs = build()?;
    let mut failed = Vec::new();
    // One for each core of the least machine that this is for.
    for pair in targets.chunks(2) {
        let running: Vec<_> = pair
            .iter()
            .map(|target| start(target, &programs, limits))
            .collect::<Result<_>>()?;
        for running in running {
            let target = running.target;
            if let Err(error) = finish(running, &programs) {
                eprintln!("error: {error:#}");
                failed.push(target);
            }
        }
    }
    ensure!(failed.is_empty(), "{} failed", failed.join(", "));
    Ok(())
}

fn start(target: &'static str, programs: &Path, limits: &[String]) -> Result<Running> {
    let corpus = work().join("corpus").join(target);
    let artifacts = work().join("artifacts").join(target);
    let logs = work().join("logs");
    for dir in [&corpus, &artifacts, &logs] {
        sh::mkdir(dir)?;
    }
    let log = logs.join(target);
    let file = File::create(&log).with_context(|| format!("cannot make {}", log.display()))?;
    let mut command = sh::cmd(programs.join(target));
    command
        .arg(&corpus)
        .arg(seeds().join(target))
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
        // the next.
        .env(
            "ASAN_OPTIONS",
            "quarantine_size_mb=4:malloc_context_size=4:detect_leaks=0",
        )
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file);
    sh::say(format!("{target}: {}", sh::show(&command)));
    let child = command
        .spawn()
        .with_context(|| format!("cannot run {target}"))?;
    Ok(Running { target, child, log })
}

fn finish(mut running: Running, programs: &Path) -> Result<()> {
    let target = running.target;
    let status = running.child.wait()?;
    let log = String::from_utf8_lossy(&sh::read(&running.log)?).into_owned();
    let stat = |name: &str| {
        let line = log.lines().rev().find(|line| line.contains(name));
        let word = line.and_then(|line| line.split_whitespace().last());
        word.unwrap_or("?").to_owned()
    };
    let kept = fs::read_dir(work().join("corpus").join(target))?.count();
    sh::say(format!(
        "{target}: {} inputs, {} a second, {kept} kept",
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
        "{last}\n{target}: {status}; all of it is in {}\n\
         run it again with: {} {artifact}",
        running.log.display(),
        programs.join(target).display()
    );
}

/// Lints of the targets.
pub fn clippy() -> Result<()> {
    setup::fuzz_compiler()?;
    let mut command = toolchain::host_cargo();
    command
        .current_dir(dir())
        .env("CARGO_TARGET_DIR", work().join("debug"))
        .args([
            "clippy",
            "--quiet",
            "--locked",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ]);
    sh::run(&mut command)
}

/// The program that runs inputs without libFuzzer, built in its own way.
fn driver(how: &str) -> Command {
    let mut command = toolchain::host_cargo();
    command
        .current_dir(dir())
        .env("CARGO_TARGET_DIR", work().join(how))
        .args([
            "run",
            "--quiet",
            "--locked",
            "--example",
            "puffs-fuzz",
            "--",
        ]);
    command
}

/// Says which lines the seeds and the corpora reach.
fn coverage(targets: &[&str]) -> Result<()> {
    setup::fuzz_compiler()?;
    let tools = setup::llvm_tools()?;
    let raw = work().join("profiles");
    sh::fresh_dir(&raw)?;
    for target in targets {
        let mut command = driver("coverage");
        command
            .env("RUSTFLAGS", "-Cinstrument-coverage")
            .env(
                "LLVM_PROFILE_FILE",
                raw.join(format!("{target}-%p.profraw")),
            )
            .args(["run", target])
            .arg(seeds().join(target));
        let corpus = work().join("corpus").join(target);
        if corpus.is_dir() {
            command.arg(corpus);
        }
        sh::run(&mut command)?;
    }
    let merged = raw.join("merged.profdata");
    let profiles = fs::read_dir(&raw)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    // Build scripts leave theirs in their own directories.
    let mut merge = sh::cmd(&tools.profdata);
    sh::output(merge.args(["merge", "-o"]).arg(&merged).args(profiles))?;
    let mut export = sh::cmd(&tools.cov);
    let lcov = sh::output(
        export
            .args(["export", "-format=lcov"])
            .arg(format!("-instr-profile={}", merged.display()))
            .arg(work().join("coverage/debug/examples/puffs-fuzz")),
    )?;
    report(&lines(&lcov));
    Ok(())
}

/// How often each line of each file was reached.
type Lines = BTreeMap<String, BTreeMap<u32, u64>>;

/// Reads what llvm-cov exports.
fn lines(lcov: &str) -> Lines {
    let root = paths::root();
    let mut files = Lines::new();
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
    files
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
        let lines = lines(&lcov);
        assert_eq!(lines.len(), 1);
        assert_eq!(lines["src/msgif/park.rs"], BTreeMap::from([(1, 5), (2, 0)]));
    }
}
