//! Runs cases, each in a process of its own and with a time limit, and says how
//! they end in the format of TAP (the Test Anything Protocol, version 13).

use crate::{bench, fsx, raw, world::Guest};
use puffs_conform::Play;
use puffs_netbsd::{Gate, Kernel, WORDS};
use puffs_rs::kern::{Errno, Result};
use puffs_script::{world::Calls, BLOCKS, MNT};
use std::{
    fs::File,
    io::{self, Write as _},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{self, Child, Command, ExitCode, ExitStatus, Stdio},
    rc::Rc,
    time::{Duration, Instant},
};

pub(crate) const USAGE: &str = "puffs-guest list | play CASE \
    | run [--stock] [--module FILE] [--limit SECONDS] [--after CASE] [--filter TEXT]... \
    [--without TEXT]... \
    | fsx --dir DIR [--seed N] [--steps N] [--no-mmap] \
    | fsx --mount FLAGS [--seed N] [--steps N] \
    | bench WORKLOAD [--callers N] [--outstanding N] [--server PROGRAM] [--seconds S] [--warmup S]";

/// How long a case may take, in seconds, unless something else is said.
const LIMIT: u64 = 60;

/// How long it may take to get rid of what a case left.
pub(crate) const TIDY_LIMIT: Duration = Duration::from_secs(30);

/// For so long puffs may be in use after its last unmount: a thread of the
/// kernel keeps a mount until it works on another one.
const UNLOAD_PATIENCE: Duration = Duration::from_secs(120);

/// The program.
pub(crate) fn main() -> ExitCode {
    puffs_netbsd::end_on_panic();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["list"] => {
            list();
            Ok(true)
        }
        ["play", case] => play(case).map(|()| true),
        ["tidy"] => tidy().map(|()| true),
        ["fsx", options @ ..] => fsx::run(options).map(|()| true),
        ["bench", arguments @ ..] => bench::run(arguments),
        ["measure", arguments @ ..] => bench::measure(arguments).map(|()| true),
        ["run", options @ ..] => Plan::parse(options).and_then(|plan| plan.run()),
        _ => Err(USAGE.into()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// What a case needs that there is not.
fn missing(case: &Play) -> Vec<String> {
    let missing = case.needs().iter().filter(|&&need| !Guest::can(need));
    missing.map(|need| format!("{need:?}")).collect()
}

fn list() {
    for case in Play::all() {
        let rows: Vec<_> = case.rows().iter().map(u8::to_string).collect();
        let played = if missing(&case).is_empty() {
            "played"
        } else {
            "left out"
        };
        println!("{}\t{}\t{played}", case.name(), rows.join(","));
    }
}

fn play(name: &str) -> std::result::Result<(), String> {
    let case = Play::of(name);
    let case = case.ok_or_else(|| format!("there is no case {name}"))?;
    case.play(Rc::new(Guest));
    Ok(())
}

/// The kernel as this program's own threads see it.
pub(crate) struct OwnGate;

impl Gate for OwnGate {
    unsafe fn enter(&self, number: i32, words: &mut [i64; WORDS]) -> Result<i64> {
        // SAFETY: as the caller's.
        unsafe { raw::syscall(number, words) }
    }

    fn block(&self, _signal: i32) -> Result<()> {
        // Nobody sends these threads signals.
        Ok(())
    }
}

pub(crate) fn kernel() -> Kernel<OwnGate> {
    Kernel::new(OwnGate)
}

fn is_mounted() -> bool {
    kernel()
        .statvfs_nowait(MNT)
        .is_ok_and(|room| room.blocks == BLOCKS)
}

/// Unmounts what a case left behind.
fn tidy() -> std::result::Result<(), String> {
    let start = Instant::now();
    while is_mounted() {
        let ended = kernel().unmount(MNT, true);
        if start.elapsed() > TIDY_LIMIT {
            return Err(format!("unmount: {ended:?}"));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// What is to be run.
struct Plan {
    /// The module is the C code: what that is known to get wrong is left out.
    stock: bool,
    module: Option<String>,
    limit: Duration,
    /// Those up to this one have been run.
    after: Option<String>,
    filters: Vec<String>,
    without: Vec<String>,
}

/// How a process ended, and what it printed.
pub(crate) enum Ended {
    Well(String),
    Badly(String),
}

impl Plan {
    fn parse(options: &[&str]) -> std::result::Result<Plan, String> {
        let mut plan = Plan {
            stock: false,
            module: None,
            limit: Duration::from_secs(LIMIT),
            after: None,
            filters: Vec::new(),
            without: Vec::new(),
        };
        let mut words = options.iter().copied();
        while let Some(option) = words.next() {
            if option == "--stock" {
                plan.stock = true;
                continue;
            }
            let value = words.next().ok_or(USAGE)?;
            match option {
                "--module" => plan.module = Some(value.into()),
                "--after" => plan.after = Some(value.into()),
                "--filter" => plan.filters.push(value.into()),
                "--without" => plan.without.push(value.into()),
                "--limit" => {
                    let seconds = value.parse().map_err(|_| USAGE)?;
                    plan.limit = Duration::from_secs(seconds);
                }
                _ => return Err(USAGE.into()),
            }
        }
        Ok(plan)
    }

    fn wants(&self, case: &Play) -> bool {
        let name = case.name();
        let named = |text: &String| name.contains(text.as_str());
        (self.filters.is_empty() || self.filters.iter().any(named))
            && !self.without.iter().any(named)
            && (!self.stock || case.rows().is_empty())
    }

    /// Runs it; was all well?
    fn run(&self) -> std::result::Result<bool, String> {
        let mut cases = Play::all();
        if let Some(last) = &self.after {
            let place = cases.iter().position(|case| case.name() == *last);
            let place = place.ok_or_else(|| format!("there is no case {last}"))?;
            cases.drain(..=place);
        }
        cases.retain(|case| self.wants(case));
        let modules = usize::from(self.module.is_some());
        println!("TAP version 13");
        println!("1..{}", cases.len() + modules);
        if let Some(file) = &self.module {
            if let Err(error) = kernel().load_module(file) {
                println!("Bail out! {file}: {error:?}");
                return Ok(false);
            }
        }
        let (mut well, mut left_out, mut failed) = (0, 0, 0);
        for (nth, case) in cases.iter().enumerate() {
            let (number, name) = (nth + 1, case.name());
            let missing = missing(case);
            if !missing.is_empty() {
                left_out += 1;
                println!("ok {number} - {name} # SKIP needs {}", missing.join(", "));
                continue;
            }
            // A kernel that panics is to have said by then at what.
            println!("# {name}");
            let start = Instant::now();
            let ended = self.run_one(&name)?;
            let seconds = start.elapsed().as_secs_f64();
            match ended {
                Ended::Well(_) => {
                    well += 1;
                    println!("ok {number} - {name} # time={seconds:.2}s");
                }
                Ended::Badly(output) => {
                    failed += 1;
                    println!("not ok {number} - {name} # time={seconds:.2}s");
                    output.lines().for_each(|line| println!("#   {line}"));
                    if let Ended::Badly(output) = run_child(&["tidy"], TIDY_LIMIT * 2)? {
                        output.lines().for_each(|line| println!("#   {line}"));
                        println!("Bail out! {name} left a mount that does not go");
                        return Ok(false);
                    }
                }
            }
        }
        if self.module.is_some() {
            let number = cases.len() + 1;
            match unload() {
                Ok(after) => {
                    well += 1;
                    println!(
                        "ok {number} - puffs is unloaded # time={:.2}s",
                        after.as_secs_f64()
                    );
                }
                Err(error) => {
                    failed += 1;
                    println!("not ok {number} - puffs is unloaded\n#   {error:?}");
                }
            }
        }
        println!("# {well} ok, {failed} not ok, {left_out} left out");
        Ok(failed == 0)
    }

    fn run_one(&self, name: &str) -> std::result::Result<Ended, String> {
        run_child(&["play", name], self.limit)
    }
}

/// Unloads puffs; returns how long it was in use.
fn unload() -> Result<Duration> {
    let start = Instant::now();
    let ended = loop {
        match kernel().unload_module("puffs") {
            Ok(()) => break Ok(start.elapsed()),
            Err(Errno::EBUSY) if start.elapsed() < UNLOAD_PATIENCE => {
                distract_kernel_threads();
                std::thread::sleep(Duration::from_millis(500));
            }
            Err(error) => break Err(error),
        }
    };
    for path in distractions() {
        let _ = std::fs::remove_file(path);
    }
    ended
}

/// Files that are there for the kernel to write them to the disk.
fn distractions() -> impl Iterator<Item = String> {
    (0..4).map(|number| format!("/var/tmp/puffs-guest.{number}"))
}

/// The threads of the kernel that keep a mount get others to work on: `ioflush`
/// writes what is new in these files, `vdrain` forgets vnodes.
fn distract_kernel_threads() {
    let _ = std::fs::create_dir_all("/var/tmp");
    for path in distractions() {
        // If it cannot be written, the unload is late.
        let _ = std::fs::write(&path, [0; 64]);
    }
    let Ok(wanted) = max_vnodes(None) else { return };
    // As few as nobody has, so that it forgets what it can. It says EBUSY then,
    // and wants as many as before.
    let _ = max_vnodes(Some(1));
    let _ = max_vnodes(Some(wanted));
}

/// `sysctl(3)` of how many vnodes the kernel wants to keep, `kern.maxvnodes`.
fn max_vnodes(new: Option<i32>) -> Result<i32> {
    let name: [i32; 2] = [1, 5];
    let mut old = 0_i32;
    let mut old_len = size_of_val(&old);
    let (place, len) = match &new {
        Some(new) => (&raw const *new as i64, size_of_val(new) as i64),
        None => (0, 0),
    };
    let words = [
        &raw const name as i64,
        name.len() as i64,
        &raw mut old as i64,
        &raw mut old_len as i64,
        place,
        len,
    ];
    // SAFETY: there is room for the old number, and the new one is there.
    unsafe { raw::call(raw::SYSCTL, words) }?;
    Ok(old)
}

/// Runs this program with these arguments, for so long at most.
pub(crate) fn run_child(arguments: &[&str], limit: Duration) -> std::result::Result<Ended, String> {
    let run = || -> io::Result<Ended> {
        let name = format!("puffs-guest.{}", process::id());
        let output = std::env::temp_dir().join(name);
        let mut child = start_child(arguments, &output)?;
        let why = match wait(&mut child, limit)? {
            Some(status) if status.success() => None,
            Some(status) => Some(status.to_string()),
            None => {
                kill_group(&child);
                // Who hangs in the kernel does not die of it.
                let dead = wait(&mut child, TIDY_LIMIT)?;
                let dead = if dead.is_some() {
                    "killed"
                } else {
                    "it cannot be killed"
                };
                Some(format!(
                    "hang: not done after {} s, {dead}",
                    limit.as_secs()
                ))
            }
        };
        // What it left is in its group, and ends with it.
        kill_group(&child);
        let said = std::fs::read(&output).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        Ok(match why {
            None => Ended::Well(said.into()),
            Some(why) => Ended::Badly(format!("{said}({why})")),
        })
    };
    io::stdout().flush().ok();
    run().map_err(|error| format!("{}: {error}", arguments.join(" ")))
}

fn start_child(arguments: &[&str], output: &PathBuf) -> io::Result<Child> {
    let file = File::create(output)?;
    let program = std::env::args_os().next().unwrap_or_default();
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .process_group(0)
        .spawn()
}

/// Waits so long for its end.
fn wait(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let deadline = Instant::now() + limit;
    loop {
        match child.try_wait()? {
            Some(status) => return Ok(Some(status)),
            None if Instant::now() >= deadline => return Ok(None),
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

fn kill_group(child: &Child) {
    let group = -i64::from(child.id());
    // SAFETY: numbers.
    let _ = unsafe { raw::call(raw::KILL, [group, raw::SIGKILL.into()]) };
}
