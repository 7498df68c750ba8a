//! Plays scripted cases on the NetBSD that it runs on. See `docs/TESTING.md`;
//! the driver's verb `guest-tests` makes this program.
//!
//! ```text
//! puffs-guest list           each case: its name, its rows, and whether it is played
//! puffs-guest play CASE      plays one
//! puffs-guest run [--stock] [--module FILE] [--limit SECONDS] [--after CASE]
//!                 [--filter TEXT]... [--without TEXT]...
//!                            plays all (those after that one, those of these names and
//!                            not of those), one after another, and writes how they end
//!                            in the format of TAP; --module loads puffs from there
//!                            before the first, and unloads it after the last; --stock
//!                            leaves out the cases that the C code is known to get wrong
//! puffs-guest fsx --dir DIR [--seed N] [--steps N] [--no-mmap]
//!                            random operations on a file in a directory, of whatever
//!                            file system that is
//! puffs-guest fsx --mount FLAGS [--seed N] [--steps N]
//!                            the same on a mount of its own, with the flags of a check
//! puffs-guest bench WORKLOAD [--callers N] [--outstanding N] [--server PROGRAM]
//!                   [--seconds S] [--warmup S]
//!                            measures a workload of puffs-bench, and prints one line
//! ```

// On other systems it is only compiled.
#![cfg_attr(not(target_os = "netbsd"), allow(dead_code))]

#[cfg(target_arch = "x86_64")]
mod bench;
#[cfg(target_arch = "x86_64")]
mod fsx;
#[cfg(target_arch = "x86_64")]
mod here;
#[cfg(target_arch = "x86_64")]
mod raw;
#[cfg(target_arch = "x86_64")]
mod remote;
#[cfg(target_arch = "x86_64")]
mod run;
#[cfg(target_arch = "x86_64")]
mod world;

use std::process::ExitCode;

#[cfg(all(target_os = "netbsd", target_arch = "x86_64"))]
fn main() -> ExitCode {
    run::main()
}

#[cfg(not(all(target_os = "netbsd", target_arch = "x86_64")))]
fn main() -> ExitCode {
    eprintln!("this program is for NetBSD/amd64: cargo xtask guest-tests makes it");
    ExitCode::FAILURE
}
