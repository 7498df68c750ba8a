//! Running other programs, and saying what is going on.
//!
//! Everything here prints to standard error, so that what a verb prints to
//! standard output (a check report, say) can be kept.

use anyhow::{bail, ensure, Context, Result};
use std::{
    ffi::OsStr,
    fs::File,
    path::Path,
    process::{Command, Stdio},
    sync::{
        atomic::{AtomicBool, Ordering},
        OnceLock,
    },
    time::Instant,
};

static VERBOSE: AtomicBool = AtomicBool::new(false);
static START: OnceLock<Instant> = OnceLock::new();

/// Starts the clock that [`say`] shows, and sets whether commands are shown.
pub fn init(verbose: bool) {
    VERBOSE.store(verbose, Ordering::Relaxed);
    START.get_or_init(Instant::now);
}

fn verbose() -> bool {
    VERBOSE.load(Ordering::Relaxed)
}

/// Prints one line of progress, with the seconds since the driver started.
pub fn say(text: impl AsRef<str>) {
    let seconds = START.get_or_init(Instant::now).elapsed().as_secs();
    eprintln!("[{seconds:4}s] {}", text.as_ref());
}

/// A command of the given program.
pub fn cmd(program: impl AsRef<OsStr>) -> Command {
    Command::new(program)
}

/// The command as one would type it, without what it inherits.
pub fn show(command: &Command) -> String {
    let mut words = Vec::new();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            words.push(format!("{}={}", name.to_string_lossy(), quote(value)));
        }
    }
    words.push(quote(command.get_program()));
    words.extend(command.get_args().map(quote));
    words.join(" ")
}

fn quote(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_alphanumeric() || "-_./=+:,@%^".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

fn trace(command: &Command) {
    if verbose() {
        eprintln!("        + {}", show(command));
    }
}

fn start_error(command: &Command) -> String {
    format!("cannot run {}", command.get_program().to_string_lossy())
}

/// Runs a command that shows its own progress.
pub fn run(command: &mut Command) -> Result<()> {
    trace(command);
    let status = command.status().with_context(|| start_error(command))?;
    ensure!(status.success(), "{status}: {}", show(command));
    Ok(())
}

/// Runs a command whose output matters only if it fails, and returns its
/// standard output. Warnings (standard error of a success) are passed on.
pub fn output(command: &mut Command) -> Result<String> {
    trace(command);
    let out = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| start_error(command))?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let errors = String::from_utf8_lossy(&out.stderr);
    if !out.status.success() {
        eprint!("{text}{errors}");
        bail!("{}: {}", out.status, show(command));
    }
    if !errors.trim().is_empty() {
        eprint!("{errors}");
    }
    Ok(text)
}

/// Runs a command that shows its own progress on standard error, and returns
/// its standard output.
pub fn output_with_progress(command: &mut Command) -> Result<String> {
    trace(command);
    let out = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| start_error(command))?;
    ensure!(out.status.success(), "{}: {}", out.status, show(command));
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// Does the program start and succeed? Its output goes nowhere.
pub fn works(command: &mut Command) -> bool {
    trace(command);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Is there a program of that name on the search path?
pub fn on_path(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}

/// Makes a directory and those above it.
pub fn mkdir(dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))
}

/// Makes a directory that is empty.
pub fn fresh_dir(dir: &Path) -> Result<()> {
    if dir.exists() {
        std::fs::remove_dir_all(dir).with_context(|| format!("cannot clear {}", dir.display()))?;
    }
    mkdir(dir)
}

/// Takes a directory for this process: another driver that wants it too waits
/// until the value that is returned is dropped.
pub fn lock(dir: &Path) -> Result<File> {
    mkdir(dir)?;
    let path = dir.join(".lock");
    let file = File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
    if file.try_lock().is_err() {
        say(format!(
            "waiting for another driver to leave {}",
            dir.display()
        ));
        file.lock()
            .with_context(|| format!("cannot lock {}", path.display()))?;
    }
    Ok(file)
}

/// Reads a file, with its name in the error.
pub fn read(file: &Path) -> Result<Vec<u8>> {
    std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

/// Writes a file, with its name in the error.
pub fn write(file: &Path, bytes: impl AsRef<[u8]>) -> Result<()> {
    std::fs::write(file, bytes).with_context(|| format!("cannot write {}", file.display()))
}
