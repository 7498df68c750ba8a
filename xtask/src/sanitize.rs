//! `cargo xtask sanitize`: the tests of the hosted kernel under a sanitizer.
//!
//! ThreadSanitizer has to see everything that orders memory, so it gets a
//! standard library that is compiled with it; AddressSanitizer does with the
//! one that is there. Build scripts and macros run in the compiler and are
//! never instrumented: cargo keeps them apart from the code for a `--target`.
//!
//! rustup's toolchains bring the runtime libraries of the sanitizers. Debian's
//! do not; there the ones of the clang of the same LLVM are linked.

use crate::{
    paths,
    runner::{self, Outcome},
    setup, sh,
    toolchain::KernelRust,
};
use anyhow::{ensure, Result};
use clap::{Args, ValueEnum};
use std::{process::Command, time::Duration};

/// Runs the tests of the hosted kernel under a sanitizer
#[derive(Args)]
pub struct Sanitize {
    /// Which one [default: both]
    sanitizer: Option<Sanitizer>,
    /// Run the tests only whose file or name has this in it
    #[arg(long, value_name = "TEXT", default_value = "")]
    filter: String,
    /// How long one test may take, in seconds
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    limit: u64,
}

/// A sanitizer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Sanitizer {
    /// Memory used after it was freed or behind its end, and leaks
    Address,
    /// Data races
    Thread,
}

impl Sanitize {
    /// Runs all that is wanted.
    pub fn run(&self) -> Result<()> {
        let both = [Sanitizer::Address, Sanitizer::Thread];
        let wanted = |one: &Sanitizer| self.sanitizer.is_none_or(|wanted| wanted == *one);
        let mut failed = 0;
        for sanitizer in both.into_iter().filter(wanted) {
            let limit = Duration::from_secs(self.limit);
            let filter = |test: &str| test.contains(&self.filter);
            failed += run(sanitizer, limit, &[], &filter)?.failed;
        }
        ensure!(failed == 0, "{failed} failed");
        Ok(())
    }
}

/// What a step of `cargo xtask test` runs.
pub fn step(sanitizer: Sanitizer, limit: Duration) -> Result<Outcome> {
    run(sanitizer, limit, sanitizer.leaves_out(), &|_| true)
}

/// The programs of tests of the hosted kernel, but for those that need it to be
/// built for models, and for `conform`: its tests are many, and each is the
/// system calls of one thread, which others make as well.
const PROGRAMS: [&str; 2] = ["cases", "suite"];

/// Runs those tests that are wanted, but for those in programs or modules that
/// are left out. A test is known by its file and its name.
fn run(
    sanitizer: Sanitizer,
    limit: Duration,
    left_out: &[&str],
    wanted: &dyn Fn(&str) -> bool,
) -> Result<Outcome> {
    setup::bindgen()?;
    let rust = setup::kernel_rust()?;
    let out = paths::target().join("sanitize");
    let _lock = sh::lock(&out)?;
    sh::say(format!("compiling the tests for {}", sanitizer.title()));
    let mut cargo = sanitizer.cargo(&rust)?;
    cargo
        .current_dir(paths::root())
        .args(["--package", "puffs-hosted", "--lib"])
        .args(["--target", &rust.host()?])
        .arg("--target-dir")
        .arg(&out);
    for program in PROGRAMS {
        if !left_out.contains(&program) {
            cargo.args(["--test", program]);
        }
    }
    let environment = [(sanitizer.variable(), sanitizer.options().as_ref())];
    let in_module = |test: &str, module: &&str| test.contains(&format!(" {module}::"));
    runner::run(&mut cargo, &environment, limit, &|test| {
        wanted(test) && !left_out.iter().any(|module| in_module(test, module))
    })
}

impl Sanitizer {
    /// The programs and modules of tests that `cargo xtask test` leaves out, for the time
    /// they would take; `cargo xtask sanitize` does not.
    ///
    /// `faults` are thousands of runs of one script. The tests of `rules` are
    /// about one thread, and each of those that die looks for the lines of a
    /// backtrace, which takes ThreadSanitizer ten seconds. `cases` and `fuzz`
    /// are about one frame at a time: what they do with threads, the others do
    /// too.
    fn leaves_out(self) -> &'static [&'static str] {
        match self {
            Sanitizer::Address => &["faults"],
            Sanitizer::Thread => &["cases", "faults", "fuzz", "rules"],
        }
    }

    fn name(self) -> &'static str {
        match self {
            Sanitizer::Address => "address",
            Sanitizer::Thread => "thread",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Sanitizer::Address => "AddressSanitizer",
            Sanitizer::Thread => "ThreadSanitizer, and the standard library with them",
        }
    }

    /// Where it takes its options from.
    fn variable(self) -> &'static str {
        match self {
            Sanitizer::Address => "ASAN_OPTIONS",
            Sanitizer::Thread => "TSAN_OPTIONS",
        }
    }

    fn options(self) -> &'static str {
        match self {
            // Leaks are looked for when a test's process ends.
            Sanitizer::Address => "detect_leaks=1:detect_stack_use_after_return=1",
            // Nobody but the test's own thread is to be waited for in the end.
            Sanitizer::Thread => "halt_on_error=1:second_deadlock_stack=1:atexit_sleep_ms=0",
        }
    }

    /// The names of its runtime libraries: that of rustup's toolchains, and
    /// those of clang.
    fn runtimes(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Sanitizer::Address => ("asan", &["asan_static", "asan"]),
            Sanitizer::Thread => ("tsan", &["tsan"]),
        }
    }

    /// The command that compiles tests with it, up to what is compiled.
    fn cargo(self, rust: &KernelRust) -> Result<Command> {
        let mut flags = vec![format!("-Zsanitizer={}", self.name())];
        let (own, of_clang) = self.runtimes();
        if !rust.has_sanitizer(own) {
            flags.push("-Zexternal-clangrt".into());
            for name in of_clang {
                let library = setup::sanitizer_runtime(rust, name)?;
                // Before everything else, for it takes the place of functions
                // of the C library.
                flags.push(format!(
                    "-Zpre-link-args=-Wl,--whole-archive,{},--no-whole-archive",
                    library.display()
                ));
                let symbols = library.with_extension("a.syms");
                if symbols.is_file() {
                    // Shared libraries are to use those, too.
                    flags.push(format!(
                        "-Clink-arg=-Wl,--dynamic-list={}",
                        symbols.display()
                    ));
                }
            }
        }
        let mut cargo = rust.host_cargo("test");
        match self {
            // The standard library is not instrumented, which is said to be
            // all right here.
            Sanitizer::Address => flags.push("-Cunsafe-allow-abi-mismatch=sanitizer".into()),
            Sanitizer::Thread => {
                cargo.args(["-Z", "build-std"]);
            }
        }
        cargo.env("RUSTFLAGS", flags.join(" "));
        Ok(cargo)
    }
}
