//! The console.

use super::sys;
use core::fmt::{self, Write};

/// A line on the stack; what does not fit is cut off.
struct Line {
    bytes: [u8; 160],
    len: usize,
}

impl Write for Line {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let room = &mut self.bytes[self.len..];
        let n = s.len().min(room.len());
        room[..n].copy_from_slice(&s.as_bytes()[..n]);
        self.len += n;
        Ok(())
    }
}

fn format(args: fmt::Arguments<'_>) -> Line {
    let mut line = Line {
        bytes: [0; 160],
        len: 0,
    };
    // Writing to a `Line` does not fail.
    let _ = line.write_fmt(args);
    line
}

/// Prints one line on the console. The kernel limits the rate, for what a
/// server does can be behind it.
pub fn console(args: fmt::Arguments<'_>) {
    let line = format(args);
    // SAFETY: the pointer and length of initialised bytes.
    unsafe { sys::pk_log(line.bytes.as_ptr().cast(), line.len) };
}

/// How much the operator wants to see of the messages (`puffsdebug`): nothing
/// unless the shim was compiled with PUFFSDEBUG.
pub fn debug_level() -> i32 {
    // SAFETY: reads a variable.
    unsafe { sys::pk_debug_level() }
}

/// Prints one line for who debugs; see [`debug_level`].
pub fn debug(args: fmt::Arguments<'_>) {
    let line = format(args);
    // SAFETY: as in `console`.
    unsafe { sys::pk_debug(line.bytes.as_ptr().cast(), line.len) };
}

/// Stops the kernel: an invariant of our own is broken.
pub fn panic(args: fmt::Arguments<'_>) -> ! {
    let line = format(args);
    loop {
        // SAFETY: as in `console`. It does not return.
        unsafe { sys::pk_panic(line.bytes.as_ptr().cast(), line.len) };
    }
}
