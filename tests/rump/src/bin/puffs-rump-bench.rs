//! Measures workloads on a rump kernel. See `docs/TESTING.md`; the driver's verb
//! `bench` calls this.
//!
//! ```text
//! puffs-rump-bench WORKLOAD [--callers N] [--outstanding N] [--server PROGRAM]
//!                  [--seconds S] [--warmup S]
//!         measures, with the libraries of LD_LIBRARY_PATH, and prints one line
//! ```
//!
//! It has none of the stand-ins of `puffs-rump`: no signal ends a sleep, and
//! nothing is between the libraries.

use puffs_bench::{Place, Plan, Role, Work};
use puffs_netbsd::{Gate, WORDS};
use puffs_rs::kern::Result;
use rump_kernel::kernel::{self, functions};
use std::{process::ExitCode, thread::JoinHandle};

/// A new process starts without open files (`RUMP_RFCFDG`).
const NO_FILES: i32 = 2;

/// More than any workload has files: the kernel must not have to forget one that
/// is being measured.
const VNODES: u32 = 100_000;

const GETPID: i32 = 20;

fn main() -> ExitCode {
    puffs_netbsd::end_on_panic();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let measured = Plan::parse(&arguments)
        .map_err(|error| format!("{error}: puffs-rump-bench {}", Plan::USAGE))
        .and_then(|plan| puffs_bench::run(&Rump::boot()?, &plan));
    match measured {
        Ok(measured) => {
            println!("{measured}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The way into the kernel.
struct RumpGate;

impl Gate for RumpGate {
    unsafe fn enter(&self, number: i32, words: &mut [i64; WORDS]) -> Result<i64> {
        // SAFETY: as the caller's.
        unsafe { kernel::system_call(number, words) }
    }

    /// Nobody sends any.
    fn block(&self, _signal: i32) -> Result<()> {
        Ok(())
    }
}

/// A kernel with the two processes.
struct Rump {
    server: i32,
    caller: i32,
}

impl Rump {
    fn boot() -> std::result::Result<Rump, String> {
        kernel::boot()?;
        kernel::keep_vnodes(VNODES);
        Ok(Rump {
            server: fork()?,
            caller: fork()?,
        })
    }
}

/// Makes a process, whose first thread nobody is: it stays.
fn fork() -> std::result::Result<i32, String> {
    // SAFETY: the caller, which is no thread of the kernel's, becomes one.
    let error = unsafe { (functions().rump_pub_lwproc_rfork)(NO_FILES) };
    if error != 0 {
        return Err(format!("rfork: {error}"));
    }
    // SAFETY: it has no arguments.
    let pid = unsafe { RumpGate.enter(GETPID, &mut [0; WORDS]) };
    // SAFETY: the caller is that thread, and becomes none.
    unsafe { (functions().rump_pub_lwproc_switch)(std::ptr::null_mut()) };
    pid.map(|pid| pid as i32)
        .map_err(|error| format!("getpid: {error:?}"))
}

impl Place for Rump {
    fn spawn(&self, role: Role, work: Work) -> JoinHandle<()> {
        let pid = match role {
            Role::Server => self.server,
            Role::Caller => self.caller,
        };
        std::thread::spawn(move || {
            // SAFETY: the caller, which is no thread of the kernel's, becomes one.
            let error = unsafe { (functions().rump_pub_lwproc_newlwp)(pid) };
            assert_eq!(error, 0, "newlwp");
            work(&RumpGate);
            // SAFETY: it is the one that it became above.
            unsafe { (functions().rump_pub_lwproc_releaselwp)() };
        })
    }
}
