//! The end of the kernel: a broken rule, as `panic(9)` is on NetBSD.

use super::{faults, lwp};
use crate::rt;
use std::{
    backtrace::Backtrace,
    fmt::{Arguments, Write as _},
    io::Write as _,
};

/// Stops the process with a message.
///
/// A Rust panic would have to unwind through C frames, so this aborts. It
/// writes past the capturing of the test harness, for nobody would print
/// what was captured.
pub(crate) fn panic(text: Arguments<'_>) -> ! {
    let mut report = String::new();
    // Writing to a `String` does not fail.
    let _ = writeln!(report, "\npanic: {text}");
    let _ = writeln!(report, "in thread {}", rt::name());
    let _ = writeln!(report, "faults: {}", faults::describe());
    let _ = write!(report, "{}", lwp::table());
    let _ = writeln!(report, "{}", Backtrace::force_capture());
    // There is nobody to tell if stderr is gone.
    let _ = std::io::stderr().write_all(report.as_bytes());
    // A panic in it may end the process at once.
    rt::testify(&text.to_string());
    std::process::abort()
}

/// [`panic`] with a format string.
macro_rules! fatal {
    ($($arg:tt)*) => { $crate::kernel::fatal::panic(format_args!($($arg)*)) };
}

/// [`fatal!`] unless a condition holds, as `KASSERTMSG(9)`.
macro_rules! kassert {
    ($cond:expr, $($arg:tt)*) => { if !$cond { $crate::kernel::fatal::fatal!($($arg)*); } };
}

pub(crate) use {fatal, kassert};
