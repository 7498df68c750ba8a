//! `cargo xtask test`: everything that needs no NetBSD.
//!
//! Each step is run whether or not those before it passed; the last line says
//! how many did, tests counted one by one.

use crate::{
    arch::Arch,
    audit,
    check::{self, Rules},
    elf::Elf,
    fuzz,
    headers::Installed,
    kmod::{self, Kmod},
    paths,
    runner::{self, Outcome},
    rustlib,
    sanitize::{self, Sanitizer},
    setup, sh, shim, toolchain,
};
use anyhow::{bail, ensure, Result};
use clap::Args;
use std::{
    panic::resume_unwind,
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// Runs everything that needs no NetBSD
#[derive(Args)]
pub struct Test {
    /// Run these steps only [default: all]
    #[arg(value_name = "STEP")]
    steps: Vec<String>,
    /// List the steps
    #[arg(long)]
    list: bool,
    /// How long one test may take, in seconds
    #[arg(long, default_value_t = 120, value_name = "SECONDS")]
    limit: u64,
}

/// What a step counts for in the end.
struct Count {
    passed: usize,
    failed: usize,
}

impl From<Outcome> for Count {
    fn from(outcome: Outcome) -> Count {
        Count {
            passed: outcome.passed,
            failed: outcome.failed,
        }
    }
}

/// A step that is one test.
fn one(result: Result<()>) -> Result<Count> {
    result.map(|()| Count {
        passed: 1,
        failed: 0,
    })
}

/// The steps: name, what it does, the function that does it.
type Step = (&'static str, &'static str, fn(&Test) -> Result<Count>);
const STEPS: [Step; 14] = [
    ("fmt", "the format of the sources (rustfmt)", |_| one(fmt())),
    (
        "unsafe",
        "where unsafe stands, and that it is argued",
        |_| one(unsafe_audit()),
    ),
    ("clippy", "lints (clippy, no warnings)", |_| one(clippy())),
    ("doc", "the documentation (no warnings)", |_| one(doc())),
    ("tests", "the tests of the workspace", tests),
    (
        "bench",
        "the benchmarks of the hosted kernel, once each",
        |_| one(bench()),
    ),
    ("models", "the models, on many schedules", models),
    ("fuzz", "the fuzz targets, for a minute", fuzz),
    (
        "asan",
        "the hosted kernel's tests under AddressSanitizer, without the slowest",
        |test| sanitize(Sanitizer::Address, test),
    ),
    (
        "tsan",
        "the hosted kernel's tests under ThreadSanitizer, without the slowest",
        |test| sanitize(Sanitizer::Thread, test),
    ),
    (
        "shim",
        "the C shim against NetBSD's installed headers",
        |_| one(compile_shim()),
    ),
    (
        "amd64",
        "the Rust for NetBSD/amd64, and modules of it",
        |_| kernel(Arch::Amd64),
    ),
    (
        "i386",
        "the Rust for NetBSD/i386, and modules of it",
        |_| kernel(Arch::I386),
    ),
    (
        "aarch64",
        "the Rust for NetBSD/aarch64, and modules of it",
        |_| kernel(Arch::Aarch64),
    ),
];

/// The steps that run beside the others: compilers, which use one processor for
/// most of their time, and measure none.
const ASIDE: [&str; 4] = ["shim", "amd64", "i386", "aarch64"];

impl Test {
    fn limit(&self) -> Duration {
        Duration::from_secs(self.limit)
    }

    /// Runs the steps.
    pub fn run(&self) -> Result<()> {
        if self.list {
            for (name, what, _) in STEPS {
                println!("{name:<10}{what}");
            }
            return Ok(());
        }
        for name in &self.steps {
            ensure!(
                STEPS.iter().any(|(step, ..)| step == name),
                "there is no step {name}; see cargo xtask test --list"
            );
        }
        let wanted =
            |name: &str| self.steps.is_empty() || self.steps.iter().any(|step| step == name);
        let steps: Vec<_> = STEPS.iter().filter(|(name, ..)| wanted(name)).collect();

        setup::bindgen()?;
        let (aside, in_turn): (Vec<_>, Vec<_>) =
            steps.iter().partition(|(name, ..)| ASIDE.contains(name));
        let play = |steps: Vec<&&Step>| -> Vec<(Count, String)> {
            steps.into_iter().map(|step| self.step(step)).collect()
        };
        let results = thread::scope(|scope| {
            let aside = scope.spawn(|| play(aside));
            let mut results = play(in_turn);
            results.extend(aside.join().unwrap_or_else(|panic| resume_unwind(panic)));
            results
        });
        println!();
        for (_, line) in &results {
            println!("{line}");
        }
        let passed: usize = results.iter().map(|(count, _)| count.passed).sum();
        let failed: usize = results.iter().map(|(count, _)| count.failed).sum();
        println!("{passed} passed, {failed} failed");
        ensure!(failed == 0, "{failed} failed");
        Ok(())
    }

    /// Runs a step; what it counts for, and a line for the end.
    fn step(&self, (name, what, step): &Step) -> (Count, String) {
        sh::say(format!("{name}: {what}"));
        let begun = Instant::now();
        let count = step(self).unwrap_or_else(|error| {
            eprintln!("error: {name}: {error:#}");
            Count {
                passed: 0,
                failed: 1,
            }
        });
        let verdict = if count.failed == 0 { "ok" } else { "FAILED" };
        let seconds = begun.elapsed().as_secs_f64();
        sh::say(format!("{name}: {verdict}, {seconds:.1} s"));
        (
            count,
            format!("{verdict:<8}{name:<10}{seconds:6.1} s  {what}"),
        )
    }
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = toolchain::host_cargo();
    command.current_dir(paths::root()).args(arguments);
    command
}

fn fmt() -> Result<()> {
    setup::host_rust_tools()?;
    sh::run(&mut cargo(&["fmt", "--all", "--check"]))?;
    // The fuzz targets are a workspace of their own.
    sh::run(cargo(&["fmt", "--check"]).current_dir(fuzz::dir()))
}

fn unsafe_audit() -> Result<()> {
    let blocks = audit::run()?;
    sh::say(format!(
        "{blocks} unsafe blocks, all in kern and entry and with a SAFETY comment"
    ));
    Ok(())
}

fn clippy() -> Result<()> {
    setup::host_rust_tools()?;
    let all: &[&str] = &["--workspace", "--all-targets"];
    // What is another program on the schedules of a search.
    let models = [&["--package", "puffs-hosted", "--lib"], &MODELS[..]].concat();
    for selection in [all, &models] {
        sh::run(
            cargo(&["clippy", "--quiet"])
                .args(selection)
                .args(["--", "-D", "warnings"]),
        )?;
    }
    fuzz::clippy()
}

fn doc() -> Result<()> {
    sh::run(
        cargo(&["doc", "--workspace", "--no-deps", "--quiet"]).env("RUSTDOCFLAGS", "-D warnings"),
    )
}

fn tests(options: &Test) -> Result<Count> {
    let headers = setup::netbsd_headers(Installed::LATEST)?;
    let environment = [("PUFFS_NETBSD_HEADERS", headers.as_os_str())];
    let mut cargo = cargo(&["test", "--workspace"]);
    let outcome = runner::run(&mut cargo, &environment, options.limit(), &|_| true)?;
    if outcome.ignored > 0 {
        sh::say(format!("{} tests are ignored", outcome.ignored));
    }
    Ok(outcome.into())
}

/// Sees that they still work; `cargo bench` measures.
fn bench() -> Result<()> {
    sh::run(&mut cargo(&[
        "test",
        "--workspace",
        "--quiet",
        "--bench",
        "messages",
    ]))
}

fn sanitize(sanitizer: Sanitizer, options: &Test) -> Result<Count> {
    sanitize::step(sanitizer, options.limit()).map(Count::from)
}

/// The models, and the feature that they need.
const MODELS: [&str; 6] = [
    "--features",
    "puffs-hosted/shuttle",
    "--test",
    "models",
    "--test",
    "schedules",
];

/// The hosted kernel on schedules that a search makes: see docs/TESTING.md.
fn models(options: &Test) -> Result<Count> {
    let selection = [&["test", "--workspace"], &MODELS[..]].concat();
    // Who asks for more schedules gives them the time.
    let limit = Duration::from_secs(match std::env::var_os("PUFFS_MODEL_RUNS") {
        Some(_) => u64::from(u32::MAX),
        None => options.limit,
    });
    let outcome = runner::run(&mut cargo(&selection), &[], limit, &|_| true)?;
    Ok(outcome.into())
}

/// How long each fuzz target runs.
const FUZZ_SECONDS: u64 = 60;

fn fuzz(_: &Test) -> Result<Count> {
    Ok(Count {
        passed: fuzz::all(FUZZ_SECONDS)?,
        failed: 0,
    })
}

/// Compiles every line of the shim, with its assertions and what else options
/// bring, for what it says; see `sys_headers/README.md`.
fn compile_shim() -> Result<()> {
    /// The release whose headers these are; and the other one that the shim
    /// knows, by its number alone.
    const RELEASES: [(&str, &[&str]); 2] = [
        ("11.0", &[]),
        (
            "8.99.5",
            &[
                "-U__NetBSD_Version__",
                "-D__NetBSD_Version__=899000500",
                "-Wno-incompatible-pointer-types",
                "-Wno-incompatible-function-pointer-types",
                // What later releases do not have any more.
                "-DUBC_UNMAP_FLAG(vp)=UBC_VNODE_FLAGS(vp)",
                "-Dcn_consume=cn_namelen",
                "-Dvop_remove_v2_args=vop_remove_v3_args",
                "-Da_mode=a_accmode",
            ],
        ),
    ];
    let work = paths::target().join("shim-test");
    let _lock = sh::lock(&work)?;
    for arch in [Arch::Amd64, Arch::I386] {
        setup::c_tools(arch)?;
        for (release, flags) in RELEASES {
            sh::say(format!("compiling the shim for {arch}, release {release}"));
            let dir = work.join(format!("{arch}-{release}"));
            sh::fresh_dir(&dir)?;
            rustlib::write_header(&dir)?;
            shim::compile(&dir, || {
                let mut clang = shim::compiler(Some(arch.clang_triple()));
                clang.args(arch.c_flags()).args([
                    "-D_KERNEL",
                    "-D_MODULE",
                    "-DDIAGNOSTIC",
                    "-DPUFFSDEBUG",
                ]);
                Installed::V11_0.add_to(&mut clang, arch)?;
                clang.args(flags);
                Ok(clang)
            })?;
        }
    }
    Ok(())
}

/// What the library may leave to every kernel, besides the services that
/// `puffs_kern.h` declares: functions of C that compilers call by themselves.
const LIBKERN: [&str; 5] = ["memcmp", "memcpy", "memmove", "memset", "strlen"];

/// Compiles the library for a kernel and checks the code that came out, and
/// makes modules of it, for the releases that need no source tree.
fn kernel(arch: Arch) -> Result<Count> {
    setup::c_tools(arch)?;
    // Code for a kernel alone is not seen by the lints of a build for the host.
    let archive = rustlib::build(arch.rust_target(), &["-D", "warnings"])?;
    // As a module has it: linked, without what nothing leads to.
    let linked = archive.with_extension("linked.o");
    kmod::link_library(arch, &archive, &linked)?;
    let object = sh::read(&linked)?;
    let report = check::inspect(&object, &Rules::object())?;
    let broken = report.broken();
    if !broken.is_empty() {
        print!("{report}");
        bail!("the library is not fit for a kernel: {}", broken.join(", "));
    }
    sh::say(report.summary(&["code", "fpu", "stack", "red-zone", "got"]));
    let elf = Elf::parse(&object)?;
    let strange: Vec<_> = elf
        .undefined()
        .filter(|name| !name.starts_with("pk_") && !LIBKERN.contains(name))
        .collect();
    ensure!(
        strange.is_empty(),
        "the library wants of the kernel what it may not have: {}",
        strange.join(", ")
    );
    for release in Installed::ALL {
        let dir = paths::target().join(format!("kmod-test/{arch}-{release}"));
        Kmod::of_release(release, arch, &dir.join("puffs.kmod")).make(&archive)?;
    }
    Ok(Count {
        passed: 1 + Installed::ALL.len(),
        failed: 0,
    })
}
