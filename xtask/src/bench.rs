//! `cargo xtask bench`: how fast puffs is on a rump kernel and in a guest, side by
//! side with the stock code.
//!
//! Each measurement is a process of its own, in which a workload runs for a fixed
//! time after a warm-up, and one line is printed. On a rump kernel that is
//! `puffs-rump-bench`: the kernel boots, and the two libraries take turns within
//! each round, so that what changes on the machine changes for both. In a [guest]
//! they take turns by boots. The floor, a byte's way to another thread and back
//! through the kernel's pipes, is measured among the rest.

mod guest;
mod numbers;
mod plot;
mod table;

use crate::{
    anita::Machine,
    headers::Source,
    paths,
    rump::Kernel,
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

/// Measures how fast puffs is on a rump kernel or in a guest, side by side with the stock code
#[derive(Args)]
pub struct Bench {
    #[command(flatten)]
    kernel: Kernel,
    #[command(flatten)]
    machine: Machine,
    #[command(flatten)]
    source: Source,
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
    /// on a rump kernel
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
    /// A NetBSD guest in QEMU
    Guest,
}

impl Setting {
    pub fn name(self) -> &'static str {
        match self {
            Setting::Pinned => "pinned",
            Setting::Pinned2 => "pinned2",
            Setting::Batch => "batch",
            Setting::Free => "free",
            Setting::Guest => "guest",
        }
    }

    /// What a reader has to know of one with a rump kernel.
    fn describe(self) -> String {
        let what = match self {
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
            Setting::Free => {
                let all = processors();
                return format!(
                    "All processors of the host's, {all}, and as many of the rump kernel's \
                     (RUMP_NCPU={all}): who is woken may run at once elsewhere, and its processor \
                     may have to be woken as well."
                );
            }
            Setting::Guest => "A NetBSD in QEMU.",
        };
        what.to_owned()
    }

    /// Is there one processor of the host's, which others may use as well?
    pub fn is_pinned(self) -> bool {
        !matches!(self, Setting::Free | Setting::Guest)
    }

    fn virtual_processors(self) -> usize {
        match self {
            Setting::Pinned | Setting::Batch => 1,
            Setting::Pinned2 => 2,
            Setting::Free | Setting::Guest => processors(),
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

/// What goes into the page.
struct Page {
    /// What the numbers depend on.
    facts: Vec<(String, String)>,
    results: Vec<Results>,
}

impl Page {
    fn add_fact(&mut self, name: &str, what: String) {
        self.facts.push((name.to_owned(), what));
    }

    fn add(&mut self, results: Results) {
        print!("{}", table::text(&results));
        self.results.push(results);
    }
}

impl Bench {
    /// Measures.
    pub fn run(&self) -> Result<()> {
        let rows: Vec<&Row> = ROWS.iter().filter(|row| self.wants(row)).collect();
        if self.list {
            rows.iter().for_each(|row| println!("{}", row.title));
            return Ok(());
        }
        ensure!(rows.len() > 1, "there is no workload of that name");
        // Two that measure on one machine at once would measure each other.
        let _lock = sh::lock(&std::env::temp_dir().join("puffs-bench"))?;
        let mut page = Page {
            facts: self.facts()?,
            results: Vec::new(),
        };
        let of_rump = |setting: &Setting| *setting != Setting::Guest;
        if self.settings.iter().any(of_rump) {
            self.in_rump_kernels(&rows, &mut page)?;
        }
        if self.settings.contains(&Setting::Guest) {
            self.in_guest(&rows, &mut page)?;
        }
        if let Some(out) = &self.out {
            sh::mkdir(&out.join("bench"))?;
            let mut plots = Vec::new();
            for results in &page.results {
                plots.push(plot::draw(results, &out.join("bench"))?);
            }
            let file = out.join("BENCHMARKS.md");
            sh::write(&file, table::page(&page.facts, &page.results, &plots))?;
            sh::say(format!("wrote {}", file.display()));
        }
        Ok(())
    }

    fn wants(&self, row: &Row) -> bool {
        let named = || self.workloads.iter().any(|name| row.title.contains(name));
        row.title == FLOOR || self.workloads.is_empty() || named()
    }

    fn in_rump_kernels(&self, rows: &[&'static Row], page: &mut Page) -> Result<()> {
        setup::bindgen()?;
        let [stock, ours] = self.kernel.libraries(&self.source, false)?;
        let both = std::env::join_paths([&ours, &stock])?;
        page.add_fact("rump kernel", format!("NetBSD {}", self.kernel.release()?));
        let program = build()?;
        let there_is = |row: &&&Row| self.dtfs.is_some() || !row.libpuffs;
        let rows: Vec<_> = rows.iter().filter(there_is).copied().collect();
        let libraries = [stock, both.into()];
        for &setting in &self.settings {
            if setting != Setting::Guest {
                page.add(self.measure(&program, &libraries, setting, &rows)?);
            }
        }
        Ok(())
    }

    fn in_guest(&self, rows: &[&'static Row], page: &mut Page) -> Result<()> {
        let ready = self.machine.ready("bench-guest", &self.source, true)?;
        // Where time is the same at each run, there need not be much of it.
        let (part, most) = match self.machine.counts_instructions() {
            true => (10.0, 2),
            false => (1.0, usize::MAX),
        };
        let (seconds, warmup) = self.times();
        let (results, netbsd) = guest::measure(
            &self.machine,
            &ready,
            &guest::Measure {
                rows,
                rounds: self.rounds().min(most),
                times: format!("--seconds {} --warmup {}", seconds / part, warmup / part),
            },
        )?;
        page.add_fact("guest", format!("NetBSD {netbsd}, {}", ready.qemu()));
        page.add(results);
        Ok(())
    }

    /// For how long each is measured, and for how long not before.
    fn times(&self) -> (f64, f64) {
        if self.quick {
            (0.2, 0.1)
        } else {
            (self.seconds, 0.3)
        }
    }

    fn rounds(&self) -> usize {
        if self.quick {
            1
        } else {
            self.rounds
        }
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
            about: setting.describe(),
            rows: rows.iter().map(|row| Series::of(row)).collect(),
        };
        let rounds = self.rounds();
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
        let (seconds, warmup) = self.times();
        words.extend(["--seconds".to_owned(), seconds.to_string()]);
        words.extend(["--warmup".to_owned(), warmup.to_string()]);
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
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpuinfo
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
        let host = sh::output(sh::cmd("uname").args(["-s", "-r"]))?;
        let names = self.settings.iter().map(|setting| setting.name());
        let mut command = format!(
            "cargo xtask bench --settings {}",
            names.collect::<Vec<_>>().join(",")
        );
        if self.kernel.rump_prefix.is_some() {
            command += " --rump-prefix DIR --headers DIR";
        }
        if self.settings.contains(&Setting::Guest) {
            command += &self.machine.command();
        }
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
