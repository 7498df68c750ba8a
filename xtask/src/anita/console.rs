//! What a guest's console tells of a command that did not end by itself.

use super::guest::{Answer, End};
use crate::report::Outcome;
use std::time::Duration;

/// What became of a command; `None` of one that ended by itself.
pub fn outcome(answer: &Answer, limit: Duration) -> Option<Outcome> {
    let console = &answer.console;
    let end = match answer.end {
        End::Status { .. } => return None,
        end => end,
    };
    // A kernel that panics may be in its debugger, gone, or busy with a dump.
    if let Some(why) = panic(console) {
        return Some(Outcome::Panic(why));
    }
    Some(match end {
        End::Status { .. } => return None,
        End::Ddb => Outcome::Panic(
            trap(console).unwrap_or_else(|| "the kernel stopped in its debugger".into()),
        ),
        End::Gone => {
            let how = answer.qemu.as_deref().unwrap_or("nobody knows how");
            Outcome::Panic(format!("QEMU ended, {how}, without a panic"))
        }
        End::Limit => {
            let mut why = format!("no end within {} s", limit.as_secs());
            if let Some(line) = last_line(console) {
                why += &format!(", after: {line}");
            }
            Outcome::Hang(why)
        }
    })
}

/// The message of a panic.
pub fn panic(console: &str) -> Option<String> {
    let mut messages = console.lines().map(without_time);
    let message = messages.find_map(|line| line.strip_prefix("panic: "))?;
    Some(shorten(message.trim()))
}

/// What brought a kernel into its debugger without a panic: the processor's
/// trap, and where it was.
fn trap(console: &str) -> Option<String> {
    let lines = || console.lines().map(without_time);
    let trap = lines().find(|line| {
        line.starts_with("kernel: ") || line.starts_with("fatal ") || line.starts_with("uvm_fault(")
    });
    let place = lines().find(|line| line.starts_with("Stopped "));
    let found: Vec<_> = trap.into_iter().chain(place).collect();
    (!found.is_empty()).then(|| found.join("; "))
}

/// A message of the kernel without the time that newer kernels put before it.
fn without_time(line: &str) -> &str {
    let time = line
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("] "));
    match time {
        Some((time, rest)) if time.trim().parse::<f64>().is_ok() => rest,
        _ => line,
    }
}

/// Without the path of the kernel's sources, which is somebody's own.
fn shorten(message: &str) -> String {
    match (message.find("file \""), message.rfind("/sys/")) {
        (Some(file), Some(sys)) if file < sys => {
            format!("{}file \"{}", &message[..file], &message[sys + 1..])
        }
        _ => message.to_owned(),
    }
}

/// The last line before what the debugger said, if it was asked.
fn last_line(console: &str) -> Option<&str> {
    let lines = console.lines().map(str::trim);
    lines
        .take_while(|line| !is_debugger(without_time(line)))
        // What the driver typed, and what a terminal shows of a break.
        .filter(|line| !line.is_empty() && !line.contains("==end-"))
        .last()
}

fn is_debugger(line: &str) -> bool {
    ["fatal breakpoint trap", "Stopped ", "db{", "db>"]
        .iter()
        .any(|start| line.starts_with(start))
}

#[cfg(test)]
mod tests;
