//! `cargo xtask demo`: puffs at work on a machine without NetBSD.
//!
//! A hosted kernel (the crate `puffs-hosted`) mounts a small file server over
//! the putter framing, and shows what crosses the wire.

use crate::{paths, setup, sh, toolchain};
use anyhow::Result;
use clap::Args;

/// Mounts an in-memory file server in a hosted kernel, and shows the traffic
#[derive(Args)]
pub struct Demo {
    /// Arguments for the demo itself
    #[arg(last = true)]
    arguments: Vec<String>,
}

impl Demo {
    /// Compiles and runs the demo.
    pub fn run(&self) -> Result<()> {
        setup::bindgen()?;
        sh::say("compiling the hosted kernel and the demo");
        let cargo = |verb| {
            let mut command = toolchain::host_cargo();
            command.current_dir(paths::root()).arg(verb).args([
                "--release",
                "--package",
                "puffs-hosted",
                "--example",
                "demo",
            ]);
            command
        };
        sh::run(&mut cargo("build"))?;
        sh::say("running it");
        sh::run(cargo("run").arg("--quiet").arg("--").args(&self.arguments))
    }
}
