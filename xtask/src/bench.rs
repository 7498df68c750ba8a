//! `cargo xtask bench`: how fast puffs is on a rump kernel, side by side with the
//! stock library.
//!
//! Each measurement is a process of its own, `puffs-rump-bench`: the kernel boots,
//! a workload runs for a fixed time after a warm-up, one line is printed. The two
//! libraries take turns within each round, so that what changes on the machine
//! changes for both, and the floor, a byte's way to another thread and back
//! through the kernel's pipes, is measured among the rest.

mod numbers;
mod plot;
mod table;

use crate::{
    elf, paths,
    rump::Rump,
    runner::{self, Ended},
    setup, sh, toolchain,
};
use anyhow::{bail, ensure, Context, Result};
use clap::{Args, ValueEnum};
use numbers::{Measured, Results, Series};
use std::{
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

/// A gigabyte, which no kernel here has.
const NEVER: &str = "1073741824";

/// Measures how fast puffs is on a rump kernel, side by side with the stock library
#[derive(Args)]
pub struct Bench {
    /// Where the rump kernel is installed: its libraries are in lib under it
    #[arg(long, value_name = "DIR")]
    rump_prefix: PathBuf,
    /// Where our librumpfs_syspuffs is [default: target/rump, made anew if --headers is given]
    #[arg(long, value_name = "DIR", conflicts_with = "headers")]
    ours: Option<PathBuf>,
    /// The source tree of that rump kernel, for its headers: makes ours from it
    #[arg(long, value_name = "DIR")]
    headers: Option<PathBuf>,
    /// A kernel option to compile the shim with, if it is made
    #[arg(short = 'D', long = "option", value_name = "NAME[=VALUE]")]
    options: Vec<String>,
    /// Measure only what has one of these in its name [default: all]
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    workloads: Vec<String>,
    /// On what the kernel runs
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "SETTING,...",
        default_value = "pinned"
    )]
    settings: Vec<Setting>,
    /// How often each is measured
    #[arg(long, default_value_t = 5, value_name = "N")]
    rounds: usize,
    /// For how long each time
    #[arg(long, default_value_t = 1.0, value_name = "SECONDS")]
    seconds: f64,
    /// Measure each once, for a moment: to see that it works
    #[arg(long, conflicts_with_all = ["rounds", "seconds"])]
    quick: bool,
    /// The processor for what runs on one [default: the last]
    #[arg(long, value_name = "NUMBER")]
    cpu: Option<usize>,
    /// A server with libpuffs, as NetBSD's tests have it in fs/puffs/h_dtfs: measures that as well
    #[arg(long, value_name = "PROGRAM")]
    dtfs: Option<PathBuf>,
    /// List the workloads
    #[arg(long)]
    list: bool,
    /// Write BENCHMARKS.md and the plots, in bench, to this directory
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// On what the kernel runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Setting {
    /// One processor of the host's, and one of the rump kernel's: whoever is in the kernel keeps
    /// all others out of it
    Pinned,
    /// One processor of the host's, and two of the rump kernel's: who waits for the host's is in
    /// nobody's way
    Pinned2,
    /// As pinned, and nobody loses the processor to whom it wakes (SCHED_BATCH)
    Batch,
    /// All processors
    Free,
}

impl Setting {
    pub fn name(self) -> &'static str {
        match self {
            Setting::Pinned => "pinned",
            Setting::Pinned2 => "pinned2",
            Setting::Batch => "batch",
            Setting::Free => "free",
        }
    }

    /// What a reader has to know.
    pub fn describe(self) -> &'static str {
        match self {
            Setting::Pinned => {
                "One processor of the host's, one of the rump kernel's (RUMP_NCPU=1): whoever is \
                 in the kernel keeps all others out, until it sleeps or returns."
            }
            Setting::Pinned2 => {
                "One processor of the host's, two of the rump kernel's (RUMP_NCPU=2): a thread \
                 that the host took off the processor inside the kernel is in nobody's way but \
                 by the locks that it has."
            }
            Setting::Batch => {
                "One processor of the host's, one of the rump kernel's, and SCHED_BATCH: a thread \
                 keeps the processor when it wakes another. That is nearest to what a kernel \
                 does with threads that are in it."
            }
            Setting::Free => "All processors of the host's, as many of the rump kernel's.",
        }
    }

    /// Is there one processor of the host's?
    pub fn is_pinned(self) -> bool {
        self != Setting::Free
    }

    fn virtual_processors(self) -> usize {
        match self {
            Setting::Pinned | Setting::Batch => 1,
            Setting::Pinned2 => 2,
            Setting::Free => processors(),
        }
    }
}

fn processors() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// What is measured.
pub struct Row {
    /// What it is called.
    pub title: &'static str,
    /// What `puffs-rump-bench` is told.
    arguments: &'static str,
    /// How many bytes a call is about, if what matters is how many there are in a second.
    pub bytes: Option<u64>,
    /// How many callers there are, for the plot of that.
    pub callers: Option<usize>,
    /// Is the time that of the clock, even on one processor, because the kernel
    /// waits for something?
    pub by_clock: bool,
    /// Does the server have libpuffs?
    libpuffs: bool,
}

/// The workload that the others are compared with.
pub const FLOOR: &str = "floor: a byte through two pipes";

const fn row(title: &'static str, arguments: &'static str) -> Row {
    Row {
        title,
        arguments,
        bytes: None,
        callers: None,
        by_clock: false,
        libpuffs: false,
    }
}

const fn stat(callers: usize, title: &'static str, arguments: &'static str) -> Row {
    Row {
        callers: Some(callers),
        ..row(title, arguments)
    }
}

const fn transfer(bytes: u64, title: &'static str, arguments: &'static str) -> Row {
    Row {
        bytes: Some(bytes),
        ..row(title, arguments)
    }
}

const fn libpuffs(title: &'static str, arguments: &'static str) -> Row {
    Row {
        libpuffs: true,
        ..row(title, arguments)
    }
}

const LONG: u64 = 64 * 1024;
const SHORT: u64 = 4096;

const ROWS: [Row; 33] = [
    row(FLOOR, "floor"),
    stat(1, "stat, 1 caller", "stat"),
    stat(2, "stat, 2 callers", "stat --callers 2"),
    stat(8, "stat, 8 callers", "stat --callers 8"),
    stat(64, "stat, 64 callers", "stat --callers 64"),
    stat(512, "stat, 512 callers", "stat --callers 512"),
    row("fstat, 1 caller", "fstat"),
    row("stat of one file, 8 callers", "stat-shared --callers 8"),
    row("stat, 16 outstanding", "stat --outstanding 16"),
    row("stat, 64 outstanding", "stat --outstanding 64"),
    row("stat, 2,048 outstanding", "stat --outstanding 2048"),
    row(
        "stat, 8 callers, 2,048 outstanding",
        "stat --callers 8 --outstanding 2048",
    ),
    libpuffs("stat, libpuffs, 1 caller", "dtfs"),
    libpuffs("stat, libpuffs, 8 callers", "dtfs --callers 8"),
    libpuffs("stat, libpuffs, 64 callers", "dtfs --callers 64"),
    row("create, unlink; 1 caller", "create"),
    row("create, unlink; 8 callers", "create --callers 8"),
    row("stat of an absent name, 1 caller", "absent"),
    row("stat of an absent name, 8 callers", "absent --callers 8"),
    row("listing of 10,000 entries", "readdir"),
    transfer(LONG, "64 KiB reads, direct", "read-direct"),
    transfer(LONG, "64 KiB writes, direct", "write-direct"),
    transfer(SHORT, "4 KiB random reads, direct", "read-random-direct"),
    transfer(SHORT, "4 KiB random writes, direct", "write-random-direct"),
    transfer(LONG, "64 KiB reads, cached", "read"),
    transfer(LONG, "64 KiB writes, cached", "write"),
    transfer(SHORT, "4 KiB random reads, cached", "read-random"),
    transfer(SHORT, "4 KiB random writes, cached", "write-random"),
    row("4 KiB write and fsync, 1 caller", "fsync"),
    row("4 KiB write and fsync, 8 callers", "fsync --callers 8"),
    transfer(SHORT, "4 KiB reads beside RECLAIMs, 1 reader", "reclaim"),
    transfer(
        SHORT,
        "4 KiB reads beside RECLAIMs, 8 readers",
        "reclaim --callers 8",
    ),
    Row {
        by_clock: true,
        ..row("mount, unmount", "mount")
    },
];

/// The two libraries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one to compare with.
    Stock,
    /// The drop-in.
    Ours,
}

/// How often a workload may fail before it is left out.
const PATIENCE: usize = 2;

/// A measurement that did not have that much of its processor is made again, so
/// often: a thread that is interrupted by others wakes and sleeps in another order.
const ENOUGH: f64 = 0.97;
const TRIES: usize = 3;

impl Bench {
    /// Measures.
    pub fn run(&self) -> Result<()> {
        let rows: Vec<&Row> = ROWS.iter().filter(|row| self.wants(row)).collect();
        if self.list {
            rows.iter().for_each(|row| println!("{}", row.title));
            return Ok(());
        }
        ensure!(rows.len() > 1, "there is no workload of that name");
        setup::bindgen()?;
        let libraries = self.libraries()?;
        let program = build()?;
        // Two that measure on one machine at once would measure each other.
        let _lock = sh::lock(&std::env::temp_dir().join("puffs-bench"))?;
        let mut results = Vec::new();
        for &setting in &self.settings {
            let measured = self.measure(&program, &libraries, setting, &rows)?;
            print!("{}", table::text(&measured));
            results.push(measured);
        }
        if let Some(out) = &self.out {
            let facts = self.facts()?;
            sh::mkdir(&out.join("bench"))?;
            let mut plots = Vec::new();
            for results in &results {
                plots.push(plot::draw(results, &out.join("bench"))?);
            }
            let file = out.join("BENCHMARKS.md");
            sh::write(&file, table::page(&facts, &results, &plots))?;
            sh::say(format!("wrote {}", file.display()));
        }
        Ok(())
    }

    fn wants(&self, row: &Row) -> bool {
        if row.libpuffs && self.dtfs.is_none() {
            return false;
        }
        let named = || self.workloads.iter().any(|name| row.title.contains(name));
        row.title == FLOOR || self.workloads.is_empty() || named()
    }

    /// Where the libraries are looked for: stock's, then ours.
    fn libraries(&self) -> Result<[PathBuf; 2]> {
        let lib = self.rump_prefix.join("lib").canonicalize();
        let lib = lib.with_context(|| format!("{} has no lib", self.rump_prefix.display()))?;
        let ours = match (&self.ours, &self.headers) {
            (Some(ours), _) => ours.clone(),
            (None, Some(headers)) => {
                let out = paths::target().join("rump");
                Rump::of(&self.rump_prefix, headers, &self.options, &out, false).run()?;
                out
            }
            (None, None) => paths::target().join("rump"),
        };
        let ours = ours.canonicalize().with_context(|| {
            let ours = ours.display();
            format!("{ours} is not there; give --headers to have it made")
        })?;
        let both = std::env::join_paths([&ours, &lib])?;
        Ok([lib, both.into()])
    }

    fn measure(
        &self,
        program: &Path,
        libraries: &[PathBuf; 2],
        setting: Setting,
        rows: &[&'static Row],
    ) -> Result<Results> {
        let mut results = Results {
            setting,
            rows: rows.iter().map(|row| Series::of(row)).collect(),
        };
        let rounds = if self.quick { 1 } else { self.rounds };
        for round in 0..rounds {
            sh::say(format!(
                "{}: round {} of {rounds}",
                setting.name(),
                round + 1
            ));
            for series in &mut results.rows {
                let mut sides = [Side::Stock, Side::Ours];
                if round % 2 == 1 {
                    sides.reverse();
                }
                for side in sides {
                    if series.failures(side) < PATIENCE {
                        let libraries = &libraries[side as usize];
                        let command = || self.command(program, libraries, setting, series.row);
                        let measured = self.undisturbed(setting, series.row, command)?;
                        series.add(side, measured);
                    }
                }
            }
        }
        Ok(results)
    }

    fn command(
        &self,
        program: &Path,
        libraries: &Path,
        setting: Setting,
        row: &Row,
    ) -> Result<Command> {
        let mut words: Vec<String> = Vec::new();
        if setting.is_pinned() {
            let cpu = self.cpu.unwrap_or(processors() - 1);
            words.extend(["taskset", "-c"].map(str::to_owned));
            words.push(cpu.to_string());
        }
        if setting == Setting::Batch {
            words.extend(["chrt", "-b", "0"].map(str::to_owned));
        }
        words.push(program.display().to_string());
        words.extend(row.arguments.split(' ').map(str::to_owned));
        if let (true, Some(server)) = (row.libpuffs, &self.dtfs) {
            words.extend(["--server".to_owned(), server.display().to_string()]);
        }
        let seconds = if self.quick { 0.2 } else { self.seconds };
        words.extend(["--seconds".to_owned(), seconds.to_string()]);
        if self.quick {
            words.extend(["--warmup", "0.1"].map(str::to_owned));
        }
        let (program, arguments) = words.split_first().context("no command")?;
        let mut command = sh::cmd(program);
        command
            .args(arguments)
            .env("LD_LIBRARY_PATH", libraries)
            .env("RUMP_NCPU", setting.virtual_processors().to_string())
            // A rump kernel's pages are malloc(3)'s, which gives large ones back
            // to the host each time: what that costs depends on who else
            // allocates, and no kernel does it.
            .env("MALLOC_MMAP_THRESHOLD_", NEVER)
            .env("MALLOC_TRIM_THRESHOLD_", NEVER);
        Ok(command)
    }

    /// Measures one, again if something else used the processor meanwhile; the least
    /// disturbed one counts.
    fn undisturbed(
        &self,
        setting: Setting,
        row: &Row,
        command: impl Fn() -> Result<Command>,
    ) -> Result<std::result::Result<Measured, String>> {
        let mut best = self.once(&mut command()?)?;
        if !setting.is_pinned() || row.by_clock || self.quick {
            return Ok(best);
        }
        for _ in 1..TRIES {
            let Ok(before) = best else { break };
            if before.busy >= ENOUGH {
                break;
            }
            match self.once(&mut command()?)? {
                Ok(again) if again.busy <= before.busy => {}
                again => best = again,
            }
        }
        Ok(best)
    }

    /// Runs one. What the workload does wrong is a result, too.
    fn once(&self, command: &mut Command) -> Result<std::result::Result<Measured, String>> {
        let limit = Duration::from_secs_f64(30.0 + self.seconds);
        let (ended, output) = runner::run_for_output(command, limit)?;
        let line = output.lines().rev().find(|line| line.starts_with("rate="));
        Ok(match (ended, line) {
            (Ended::Well, Some(line)) => Ok(line.parse()?),
            (Ended::Well, None) => bail!("{} measured nothing", sh::show(command)),
            (Ended::Late(_), _) => Err("hang".to_owned()),
            (Ended::Badly(output), _) => Err(match output.lines().find(|l| l.contains("panic")) {
                Some(panic) => panic.trim().to_owned(),
                None => output.lines().next_back().unwrap_or_default().to_owned(),
            }),
        })
    }

    /// What the numbers depend on.
    fn facts(&self) -> Result<Vec<(String, String)>> {
        let library = self.rump_prefix.join("lib/librump.so");
        let release = elf::dynamic_string(&sh::read(&library)?, "rumpns_osrelease")?;
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpuinfo
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
        let host = sh::output(sh::cmd("uname").args(["-s", "-r"]))?;
        let names = self.settings.iter().map(|setting| setting.name());
        let mut command = format!(
            "cargo xtask bench --rump-prefix DIR --headers DIR --settings {}",
            names.collect::<Vec<_>>().join(",")
        );
        if self.quick {
            command += " --quick";
        } else {
            command += &format!(" --rounds {} --seconds {}", self.rounds, self.seconds);
        }
        if self.dtfs.is_some() {
            command += " --dtfs PROGRAM";
        }
        if !self.workloads.is_empty() {
            command += &format!(" --workloads {}", self.workloads.join(","));
        }
        let fact = |name: &str, what: String| (name.to_owned(), what);
        Ok(vec![
            fact("made by", format!("{command} --out docs")),
            fact("rump kernel", format!("NetBSD {release}")),
            fact(
                "host",
                format!(
                    "{}, {} processors, {}",
                    host.trim(),
                    processors(),
                    model.unwrap_or("of an unknown kind")
                ),
            ),
        ])
    }
}

/// Compiles the program that measures.
fn build() -> Result<PathBuf> {
    const PROGRAM: &str = "puffs-rump-bench";
    sh::say(format!("compiling {PROGRAM}"));
    let mut cargo = toolchain::host_cargo();
    cargo.current_dir(paths::root());
    cargo.args([
        "build",
        "--quiet",
        "--package",
        "puffs-rump",
        "--bin",
        PROGRAM,
    ]);
    sh::run(cargo.args(["--profile", "measure"]))?;
    Ok(paths::target().join("measure").join(PROGRAM))
}
