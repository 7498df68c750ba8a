//! `cargo xtask`: the one driver of the project.
//!
//! Each verb is a module of the same name, and gets for itself what it needs
//! (see [`setup`]).

mod anita;
mod arch;
mod atf;
mod audit;
mod bench;
mod check;
mod demo;
mod elf;
mod fuzz;
mod guest_tests;
mod headers;
mod kmod;
mod paths;
mod report;
mod rump;
mod rump_test;
mod runner;
mod rustlib;
mod sanitize;
mod setup;
mod sh;
mod shim;
mod source;
mod test;
mod toolchain;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Builds, checks and tests puffs-rs
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version = None, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
    /// Show the commands that are run
    #[arg(short = 'V', long, global = true)]
    verbose: bool,
}

#[derive(Subcommand)]
enum Verb {
    /// Gets everything that the other verbs need
    ///
    /// On Debian that is installed, as root or with sudo; on other systems you are told what to
    /// install. No verb needs this to be called first.
    Setup,
    Demo(demo::Demo),
    Test(test::Test),
    Sanitize(sanitize::Sanitize),
    Fuzz(fuzz::Fuzz),
    Kmod(kmod::Kmod),
    Object(kmod::Object),
    CheckKmod(check::CheckKmod),
    Rump(rump::Rump),
    RumpTest(Box<rump_test::RumpTest>),
    Bench(Box<bench::Bench>),
    Anita(Box<anita::Anita>),
    GuestTests(guest_tests::GuestTests),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    sh::init(cli.verbose);
    let result = match cli.verb {
        Verb::Setup => setup::run(),
        Verb::Demo(demo) => demo.run(),
        Verb::Test(test) => test.run(),
        Verb::Sanitize(sanitize) => sanitize.run(),
        Verb::Fuzz(fuzz) => fuzz.run(),
        Verb::Kmod(kmod) => kmod.run(),
        Verb::Object(object) => object.run(),
        Verb::CheckKmod(check) => check.run(),
        Verb::Rump(rump) => rump.run(),
        Verb::RumpTest(test) => test.run(),
        Verb::Bench(bench) => bench.run(),
        Verb::Anita(anita) => anita.run(),
        Verb::GuestTests(tests) => tests.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
