//! Runs tests, each in a process of its own and with a time limit.
//!
//! Many tests here are about waiting and waking, and a wrong one hangs. cargo
//! would wait for it for ever; this kills it, says so, and goes on.

use crate::{paths, sh};
use anyhow::{bail, Context, Result};
use std::{
    collections::VecDeque,
    ffi::OsStr,
    io::Read,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{mpsc, Mutex},
    thread,
    time::{Duration, Instant},
};

/// How the tests went.
#[derive(Default, Clone, Copy)]
pub struct Outcome {
    /// How many passed.
    pub passed: usize,
    /// How many failed, or ran out of time.
    pub failed: usize,
    /// How many are marked to be left out.
    pub ignored: usize,
}

/// A test: the program that has it, and its name.
#[derive(Clone)]
struct Test {
    program: PathBuf,
    dir: PathBuf,
    /// The file that it stands in, and its name there.
    title: String,
    name: String,
}

/// The variables that tests see.
pub type Environment<'a> = [(&'a str, &'a OsStr)];

/// Compiles the tests that `cargo` names, a command `cargo test` without what
/// is said here, and runs those that are wanted, by file and name.
pub fn run(
    cargo: &mut Command,
    environment: &Environment<'_>,
    limit: Duration,
    wanted: &dyn Fn(&str) -> bool,
) -> Result<Outcome> {
    let (mut tests, mut ignored) = (Vec::new(), 0);
    for program in compile(cargo.envs(environment.iter().copied()))? {
        let (here, left_out) = list(&program)?;
        tests.extend(here.into_iter().filter(|test| wanted(&test.title)));
        ignored += left_out;
    }
    println!("running {} tests", tests.len());
    let begun = Instant::now();
    let failed = run_all(&tests, environment, limit)?;
    if !failed.is_empty() {
        println!("\nfailures:");
        for title in &failed {
            println!("    {title}");
        }
    }
    let outcome = Outcome {
        passed: tests.len() - failed.len(),
        failed: failed.len(),
        ignored,
    };
    println!(
        "\ntest result: {}. {} passed; {} failed; {ignored} ignored; finished in {:.2}s",
        if failed.is_empty() { "ok" } else { "FAILED" },
        outcome.passed,
        outcome.failed,
        begun.elapsed().as_secs_f64()
    );
    Ok(outcome)
}

/// A program with tests.
struct Program {
    /// The file that it was made from.
    source: String,
    file: PathBuf,
    /// Its package's directory.
    dir: PathBuf,
}

/// Compiles the test programs.
fn compile(cargo: &mut Command) -> Result<Vec<Program>> {
    let messages = sh::output_with_progress(
        cargo.args(["--no-run", "--message-format=json-render-diagnostics"]),
    )?;
    let mut programs = Vec::new();
    for message in messages.lines() {
        // A line is an object of fixed form; of it, two strings are wanted.
        let (Some(file), Some(manifest)) = (
            string_field(message, "executable"),
            string_field(message, "manifest_path"),
        ) else {
            continue;
        };
        if !message.contains("\"test\":true}") {
            continue;
        }
        let dir = Path::new(&manifest)
            .parent()
            .context("a manifest in no directory")?
            .to_owned();
        let source = string_field(message, "src_path").unwrap_or_default();
        let source = Path::new(&source);
        let source = source.strip_prefix(paths::root()).unwrap_or(source);
        programs.push(Program {
            source: source.display().to_string(),
            file: file.into(),
            dir,
        });
    }
    if programs.is_empty() {
        bail!("cargo made no test programs");
    }
    Ok(programs)
}

/// The string of a field of cargo's messages.
fn string_field(json: &str, field: &str) -> Option<String> {
    let start = json.find(&format!("\"{field}\":\""))? + field.len() + 4;
    let end = start + json[start..].find('"')?;
    Some(json[start..end].replace("\\\\", "\\"))
}

/// A program's tests, and how many are ignored.
fn list(program: &Program) -> Result<(Vec<Test>, usize)> {
    let names = |arguments: &[&str]| -> Result<Vec<String>> {
        let text = sh::output(
            sh::cmd(&program.file)
                .current_dir(&program.dir)
                .args(["--list", "--format", "terse"])
                .args(arguments),
        )?;
        Ok(text
            .lines()
            .filter_map(|line| line.strip_suffix(": test"))
            .map(str::to_owned)
            .collect())
    };
    let all = names(&[])?;
    let ignored = names(&["--ignored"])?;
    let tests = all
        .into_iter()
        .filter(|name| !ignored.contains(name))
        .map(|name| Test {
            program: program.file.clone(),
            dir: program.dir.clone(),
            title: format!("{} {name}", program.source),
            name,
        })
        .collect();
    Ok((tests, ignored.len()))
}

/// Runs tests, two at a time for each processor, as many of them mostly sleep.
/// Returns the titles of those that failed.
fn run_all(tests: &[Test], environment: &Environment<'_>, limit: Duration) -> Result<Vec<String>> {
    let queue = Mutex::new(tests.iter().collect::<VecDeque<_>>());
    let workers = 2 * thread::available_parallelism().map_or(2, usize::from);
    let (sender, results) = mpsc::channel();
    let mut failed = Vec::new();
    thread::scope(|scope| {
        for _ in 0..workers {
            let (queue, sender) = (&queue, sender.clone());
            scope.spawn(move || loop {
                let next = queue.lock().expect("no worker panics with it").pop_front();
                let Some(test) = next else { return };
                let _ = sender.send((test, run_one(test, environment, limit)));
            });
        }
        drop(sender);
        for (test, result) in results {
            match result? {
                Ended::Well => println!("test {} ... ok", test.title),
                Ended::Badly(output) | Ended::Late(output) => {
                    println!("test {} ... FAILED", test.title);
                    println!("---- {} ----\n{output}", test.title);
                    failed.push(test.title.clone());
                }
            }
        }
        Ok::<_, anyhow::Error>(())
    })?;
    failed.sort();
    Ok(failed)
}

/// Does some work on each item, at so many at a time, and returns the results
/// in the order of the items.
pub fn in_parallel<T: Sync, R: Send>(
    jobs: usize,
    items: &[T],
    work: impl Fn(&T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let queue = Mutex::new(items.iter().enumerate());
    let done: Mutex<Vec<Option<R>>> = Mutex::new(items.iter().map(|_| None).collect());
    thread::scope(|scope| {
        let worker = || loop {
            let next = queue.lock().expect("no worker panics with it").next();
            let Some((number, item)) = next else {
                return Ok::<_, anyhow::Error>(());
            };
            let result = work(item)?;
            done.lock().expect("no worker panics with it")[number] = Some(result);
        };
        let workers: Vec<_> = (0..jobs.max(1)).map(|_| scope.spawn(worker)).collect();
        for worker in workers {
            worker.join().expect("a worker does not panic")?;
        }
        Ok::<_, anyhow::Error>(())
    })?;
    let done = done.into_inner().expect("no worker panics with it");
    Ok(done.into_iter().flatten().collect())
}

/// How a program ended.
pub enum Ended {
    /// With success.
    Well,
    /// With what it had printed by then.
    Badly(String),
    /// Not within the limit; with what it had printed by then.
    Late(String),
}

fn run_one(test: &Test, environment: &Environment<'_>, limit: Duration) -> Result<Ended> {
    let mut command = Command::new(&test.program);
    command
        .current_dir(&test.dir)
        .envs(environment.iter().copied())
        .env("CARGO_MANIFEST_DIR", &test.dir)
        .args(["--exact", &test.name, "--nocapture"]);
    run_limited(&mut command, limit)
}

/// Runs a program, and kills it when the time is over.
pub fn run_limited(command: &mut Command, limit: Duration) -> Result<Ended> {
    run_for_output(command, limit).map(|(ended, _)| ended)
}

/// The same, for what it prints on its standard output when it ends well.
pub fn run_for_output(command: &mut Command, limit: Duration) -> Result<(Ended, String)> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {}", sh::show(command)))?;
    // Readers of their own, so that a full pipe does not stop the test.
    let drain = |pipe: Option<Box<dyn Read + Send>>| {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(mut pipe) = pipe {
                let _ = pipe.read_to_end(&mut bytes);
            }
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let out = drain(child.stdout.take().map(|pipe| Box::new(pipe) as _));
    let errors = drain(child.stderr.take().map(|pipe| Box::new(pipe) as _));
    let deadline = Instant::now() + limit;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if Instant::now() >= deadline {
            let _ = child.kill();
            child.wait()?;
            break None;
        }
        thread::sleep(Duration::from_millis(2));
    };
    if status.is_some_and(|status| status.success()) {
        return Ok((Ended::Well, out.join().unwrap_or_default()));
    }
    let why = match status {
        Some(status) => status.to_string(),
        None => format!("killed: it ran for more than {} s", limit.as_secs()),
    };
    let output = [out, errors]
        .map(|reader| reader.join().unwrap_or_default())
        .concat();
    let output = format!("{output}({why})\n");
    let ended = match status {
        Some(_) => Ended::Badly(output),
        None => Ended::Late(output),
    };
    Ok((ended, String::new()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_parallel_work_are_in_the_order_of_the_items() {
        let items: Vec<u64> = (0..20).rev().collect();
        let squares = in_parallel(7, &items, |item| {
            thread::sleep(Duration::from_millis(*item));
            Ok(item * item)
        });
        let expected: Vec<_> = items.iter().map(|item| item * item).collect();
        assert_eq!(squares.unwrap(), expected);
    }

    #[test]
    fn parallel_work_fails_with_one_of_its_parts() {
        let done = in_parallel(2, &[1, 2, 3], |&item| match item {
            2 => bail!("not {item}"),
            _ => Ok(item),
        });
        assert_eq!(done.unwrap_err().to_string(), "not 2");
    }
}
