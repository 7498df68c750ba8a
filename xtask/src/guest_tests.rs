//! `cargo xtask guest-tests`: the program that plays the cases inside a NetBSD.
//!
//! Rust's standard library for NetBSD is compiled from its sources, as no
//! toolchain of Debian's brings it. The linker that comes with the zig project
//! has stubs of NetBSD's shared libraries: what it makes is a dynamic program.
//! Of a NetBSD's own libraries GNU ld makes a static one.

use crate::{arch::Arch, paths, setup, sh, toolchain};
use anyhow::{Context, Result};
use clap::Args;
use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

const TARGET: &str = "x86_64-unknown-netbsd";

/// The package, and the program.
const PACKAGE: &str = "puffs-guest";

/// What Rust's standard library wants to be linked with, beside libc and
/// libpthread. It uses nothing of it here that a sysroot may lack, but for what
/// walks a stack.
const UNUSED_LIBRARIES: [&str; 5] = ["execinfo", "gcc_s", "m", "rt", "util"];

/// The functions that walk a stack, for a backtrace: they are in libgcc_eh,
/// where there is one, and a failed case is over without one.
const UNWINDER: [&str; 2] = ["_Unwind_Backtrace", "_Unwind_GetIP"];

/// Makes the program that plays the scripted cases inside a NetBSD/amd64
#[derive(Args)]
pub struct GuestTests {
    /// Where to put the program, puffs-guest
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Where a NetBSD is installed, or its sets base and comp were unpacked: makes a static
    /// program of its libraries [default: a dynamic one, for NetBSD 8 and later]
    #[arg(long, value_name = "DIR")]
    sysroot: Option<PathBuf>,
}

impl GuestTests {
    /// What makes it for another verb.
    pub fn of(out: &Path, sysroot: Option<&Path>) -> Self {
        Self {
            out: out.to_owned(),
            sysroot: sysroot.map(Path::to_owned),
        }
    }

    /// Makes it.
    pub fn run(&self) -> Result<()> {
        setup::bindgen()?;
        let rust = setup::kernel_rust()?;
        let work = paths::target().join("guest");
        let _lock = sh::lock(&work)?;
        let flags = match &self.sysroot {
            Some(sysroot) => static_flags(&library_dir(sysroot)?, &work)?,
            None => dynamic_flags(&work)?,
        };
        let mut cargo = rust.host_cargo("build");
        cargo
            .current_dir(paths::root())
            .args(["-Z", "build-std=std,panic_abort"])
            .args(["-Z", "build-std-features="])
            .args(["--release", "--package", PACKAGE, "--target", TARGET])
            // The time to compile counts for more here.
            .args(["--config", "profile.release.lto=false"])
            .args(["--config", "profile.release.codegen-units=16"])
            .arg("--target-dir")
            .arg(&work)
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
            .env("ZIG_GLOBAL_CACHE_DIR", work.join("zig-cache"))
            .env("ZIG_LOCAL_CACHE_DIR", work.join("zig-cache"));
        sh::say("compiling puffs-guest, and the standard library, for NetBSD/amd64");
        sh::run(&mut cargo)?;
        let made = work.join(TARGET).join("release").join(PACKAGE);
        sh::mkdir(&self.out)?;
        let program = self.out.join(PACKAGE);
        std::fs::copy(&made, &program)
            .with_context(|| format!("cannot write {}", program.display()))?;
        sh::say(format!("{} is made", program.display()));
        Ok(())
    }
}

/// How rustc has a dynamic program linked.
fn dynamic_flags(work: &Path) -> Result<Vec<String>> {
    let zig = setup::zig()?;
    let linker = work.join("zig-cc");
    let script = format!(
        "#!/bin/sh\nexec '{}' cc -target x86_64-netbsd \"$@\"\n",
        zig.display()
    );
    sh::write(&linker, script)?;
    std::fs::set_permissions(&linker, std::fs::Permissions::from_mode(0o755))?;
    Ok(vec![format!("-Clinker={}", linker.display())])
}

/// Where the libraries are.
fn library_dir(sysroot: &Path) -> Result<PathBuf> {
    let candidates = [sysroot.join("usr/lib"), sysroot.join("lib")];
    let found = candidates.iter().find(|dir| dir.join("libc.a").is_file());
    let found = found.with_context(|| format!("{} has no usr/lib/libc.a", sysroot.display()))?;
    Ok(found.canonicalize()?)
}

/// How rustc has a static program linked.
fn static_flags(libraries: &Path, work: &Path) -> Result<Vec<String>> {
    // As empty archives, behind those that are there.
    let empty = work.join("empty");
    sh::mkdir(&empty)?;
    for name in UNUSED_LIBRARIES {
        sh::write(&empty.join(format!("lib{name}.a")), "!<arch>\n")?;
    }
    let ld = toolchain::ld(Arch::Amd64)?;
    let object = |name: &str| libraries.join(name).display().to_string();
    let mut flags = vec![
        format!("-Clinker={}", ld.get_program().to_string_lossy()),
        "-Clinker-flavor=ld".into(),
        "-Crelocation-model=static".into(),
        "-Ctarget-feature=+crt-static".into(),
        "-Zpre-link-args=-static".into(),
    ];
    for start in ["crt0.o", "crti.o", "crtbegin.o"] {
        flags.push(format!("-Zpre-link-args={}", object(start)));
    }
    let mut arguments = vec![
        format!("-L{}", libraries.display()),
        format!("-L{}", empty.display()),
    ];
    let has_unwinder = libraries.join("libgcc_eh.a").is_file();
    if !has_unwinder {
        let undefined = |name: &str| format!("--defsym={name}=abort");
        arguments.extend(UNWINDER.map(undefined));
    }
    arguments.extend(["--start-group", "-lpthread", "-lc"].map(str::to_owned));
    if has_unwinder {
        arguments.extend(["-lgcc_eh", "-lgcc"].map(str::to_owned));
    }
    arguments.push("--end-group".into());
    arguments.extend(["crtend.o", "crtn.o"].map(object));
    let as_flag = |argument| format!("-Clink-arg={argument}");
    flags.extend(arguments.into_iter().map(as_flag));
    Ok(flags)
}
