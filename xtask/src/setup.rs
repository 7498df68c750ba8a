//! `cargo xtask setup`: what the other verbs need and this machine lacks.
//!
//! Each verb asks for the parts it needs, so that nobody has to call this one.
//! On Debian the packages are installed, as root or with sudo; elsewhere the
//! error says what is missing. What does not come from Debian goes under
//! `target/`.

use crate::{
    arch::Arch,
    headers::Installed,
    paths, sh,
    toolchain::{self, KernelRust, LlvmTools},
};
use anyhow::{bail, ensure, Context, Result};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// The version of the PyPI package `ziglang` whose linker links programs for
/// NetBSD.
const ZIGLANG: &str = "0.17.0";

/// The version of cargo-fuzz.
const CARGO_FUZZ: &str = "0.13.1";

/// Everything at once.
pub fn run() -> Result<()> {
    for arch in Arch::ALL {
        c_tools(arch)?;
    }
    host_rust_tools()?;
    kernel_rust()?;
    for release in Installed::ALL {
        netbsd_headers(release)?;
    }
    fuzz_tools()?;
    llvm_tools()?;
    sh::say("everything is there");
    Ok(())
}

/// What bindgen parses C with.
const LIBCLANG: [Need; 2] = [
    ("libclang", "libclang1-14", &toolchain::has_libclang),
    (
        "clang's own headers",
        "libclang-common-14-dev",
        &toolchain::has_clang_headers,
    ),
];

/// libclang, for the build script of the library.
pub fn bindgen() -> Result<()> {
    need(&LIBCLANG)
}

/// What compiles and links C for a kernel of the port.
pub fn c_tools(arch: Arch) -> Result<()> {
    bindgen()?;
    let cross = format!("binutils-{}", arch.gnu_triple().replace('_', "-"));
    need(&[
        ("clang", "clang-14", &|| {
            sh::works(sh::cmd(toolchain::clang()).arg("--version"))
        }),
        ("GNU ld", "binutils", &|| sh::on_path("ld")),
        ("GNU objcopy", "binutils", &|| sh::on_path("objcopy")),
        ("GNU ld for the port", &cross, &|| {
            toolchain::ld(arch).is_ok()
        }),
    ])
}

/// rustfmt and clippy.
pub fn host_rust_tools() -> Result<()> {
    need(&[
        ("rustfmt", "rustfmt-web", &|| {
            sh::works(toolchain::host_cargo().args(["fmt", "--version"]))
        }),
        ("clippy", "rust-web-clippy", &|| {
            sh::works(toolchain::host_cargo().args(["clippy", "--version"]))
        }),
    ])
}

/// A Rust toolchain with the sources of `core`.
pub fn kernel_rust() -> Result<KernelRust> {
    let what = "a Rust toolchain of 1.95 or later with the sources of core (rustup component add rust-src)";
    need(&[
        (what, "rustc-web", &|| KernelRust::find().is_some()),
        (what, "cargo-web", &|| KernelRust::find().is_some()),
        (what, "rust-web-src", &|| KernelRust::find().is_some()),
    ])?;
    KernelRust::find().context("the Rust toolchain that was just installed is not usable")
}

/// A runtime library of clang's (`asan`, `tsan`) for the code of a toolchain
/// that brings none.
pub fn sanitizer_runtime(rust: &KernelRust, name: &str) -> Result<PathBuf> {
    let library = rust.clang_runtime(name)?;
    if !library.is_file() {
        let package = format!("libclang-rt-{}-dev", rust.llvm()?);
        let there = || library.is_file();
        need(&[("the runtime libraries of the sanitizers", &package, &there)])?;
    }
    Ok(library)
}

/// What boots a guest, and what anita is written with.
pub fn guest_tools(qemu: &str) -> Result<()> {
    let pexpect = || sh::works(sh::cmd("python3").args(["-c", "import pexpect"]));
    need(&[
        ("QEMU", "qemu-system-x86", &|| sh::on_path(qemu)),
        ("pexpect for Python 3", "python3-pexpect", &pexpect),
    ])
}

/// What anita makes the CD with the sets of a release with.
pub fn iso_tools() -> Result<()> {
    let there = || {
        ["genisoimage", "mkisofs"]
            .iter()
            .any(|name| sh::on_path(name))
    };
    need(&[("mkisofs", "genisoimage", &there)])
}

/// What compiles libFuzzer.
pub fn fuzz_compiler() -> Result<()> {
    bindgen()?;
    need(&[("a C++ compiler", "g++", &|| sh::on_path("c++"))])
}

/// cargo-fuzz, and what it needs; returns the program.
pub fn fuzz_tools() -> Result<PathBuf> {
    fuzz_compiler()?;
    let work = paths::target().join("tools");
    let _lock = sh::lock(&work)?;
    let program = work.join("bin/cargo-fuzz");
    let wanted = format!("cargo-fuzz {CARGO_FUZZ}");
    let is_there = || {
        let version = sh::cmd(&program).args(["fuzz", "--version"]).output();
        version.is_ok_and(|out| String::from_utf8_lossy(&out.stdout).trim() == wanted)
    };
    if !is_there() {
        sh::say(format!("installing {wanted}"));
        sh::run(
            toolchain::host_cargo()
                // It only starts cargo: not worth the time to be optimized.
                .args(["install", "--debug", "--quiet", "--locked", "--force"])
                .args(["cargo-fuzz", "--version", CARGO_FUZZ])
                .arg("--root")
                .arg(&work),
        )?;
        ensure!(is_there(), "{} is not {wanted}", program.display());
    }
    Ok(program)
}

/// What reads coverage data, of the version of rustc's LLVM.
pub fn llvm_tools() -> Result<LlvmTools> {
    let package = format!("llvm-{}", toolchain::llvm_major()?);
    let what = "llvm-cov of rustc's version (rustup component add llvm-tools)";
    need(&[(what, &package, &|| LlvmTools::find().is_some())])?;
    LlvmTools::find().context("the LLVM tools that were just installed are not usable")
}

/// The directory of NetBSD's installed headers of a release, in the layout of
/// the zig project: `generic-netbsd`, `x86_64-netbsd-none` and so on under it.
pub fn netbsd_headers(release: Installed) -> Result<PathBuf> {
    let work = paths::target().join("headers");
    let _lock = sh::lock(&work)?;
    let ziglang = release.ziglang();
    let dir = work.join(format!("ziglang-{ziglang}"));
    if dir.is_dir() {
        return Ok(dir);
    }
    let wheel = work.join("wheel");
    fetch_ziglang(ziglang, &format!("the headers of NetBSD {release}"), &wheel)?;
    // The headers are a small part of it. They get their name when they are
    // complete.
    let include = wheel.join("ziglang/lib/libc/include");
    ensure!(
        include.join("generic-netbsd").is_dir(),
        "{} is not where ziglang {ziglang} has its headers",
        include.display()
    );
    std::fs::rename(&include, &dir)?;
    std::fs::remove_dir_all(&wheel)?;
    Ok(dir)
}

/// A linker for programs of NetBSD, which brings what to link them with: the
/// program `zig`.
pub fn zig() -> Result<PathBuf> {
    let work = paths::target().join("tools");
    let _lock = sh::lock(&work)?;
    let dir = work.join(format!("ziglang-{ZIGLANG}"));
    let program = dir.join("ziglang/zig");
    if !dir.is_dir() {
        let wheel = work.join("wheel");
        fetch_ziglang(ZIGLANG, "a linker for NetBSD", &wheel)?;
        std::fs::rename(&wheel, &dir)?;
    }
    ensure!(
        sh::works(sh::cmd(&program).arg("version")),
        "{} does not work",
        program.display()
    );
    Ok(program)
}

/// Fetches a version of the package `ziglang` into a directory of its own.
fn fetch_ziglang(version: &str, what: &str, wheel: &Path) -> Result<()> {
    let has_pip = || sh::works(sh::cmd("python3").args(["-m", "pip", "--version"]));
    need(&[("pip for Python 3", "python3-pip", &has_pip)])?;
    sh::say(format!("fetching {what} (PyPI: ziglang {version}, 100 MB)"));
    sh::fresh_dir(wheel)?;
    sh::output(
        sh::cmd("python3")
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--no-deps",
                "--root-user-action=ignore",
            ])
            .arg("--target")
            .arg(wheel)
            .arg(format!("ziglang=={version}")),
    )?;
    Ok(())
}

/// Something to have: what it is, the Debian package that brings it, and
/// whether it is there.
type Need<'a> = (&'a str, &'a str, &'a dyn Fn() -> bool);

/// Installs what is missing.
fn need(needs: &[Need]) -> Result<()> {
    let missing: Vec<_> = needs.iter().filter(|(_, _, there)| !there()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut packages: Vec<_> = missing.iter().map(|(_, package, _)| *package).collect();
    packages.dedup();
    let mut names: Vec<_> = missing.iter().map(|(name, _, _)| *name).collect();
    names.dedup();
    if !sh::on_path("apt-get") {
        bail!(
            "missing: {}.\nThis is not a Debian system: please install that yourself.\n\
             (On Debian 12 it would be: apt-get install {})",
            names.join(", "),
            packages.join(" ")
        );
    }
    sh::say(format!("installing {}", packages.join(", ")));
    let mut installed = install(&packages);
    if installed.is_err() || missing.iter().any(|(_, _, there)| !there()) {
        // Lists of packages that are old name packages that are gone, or too old.
        installed = update().and_then(|()| install(&packages));
    }
    installed.with_context(|| {
        format!(
            "missing: {}.\nCould not install it; try: apt-get update && apt-get install {}",
            names.join(", "),
            packages.join(" ")
        )
    })?;
    for (name, package, there) in missing {
        ensure!(
            there(),
            "package {package} is installed, and still there is no usable {name}"
        );
    }
    Ok(())
}

/// Installs Debian packages, or newer versions of them.
fn install(packages: &[&str]) -> Result<()> {
    let mut arguments = vec!["install", "-y", "--no-install-recommends"];
    arguments.extend(packages);
    sh::run(&mut apt(&arguments)?)
}

/// Fetches Debian's lists of packages.
fn update() -> Result<()> {
    sh::say("fetching Debian's lists of packages");
    sh::run(&mut apt(&["update"])?)
}

/// An `apt-get` command, which asks nobody anything and waits for its turn.
fn apt(arguments: &[&str]) -> Result<Command> {
    let root = sh::output(sh::cmd("id").arg("-u"))?.trim() == "0";
    let mut command = sh::cmd(if root { "env" } else { "sudo" });
    if !root {
        command.args(["-n", "env"]);
    }
    command
        .args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"])
        .args(["-o", "DPkg::Lock::Timeout=600"])
        .args(arguments);
    Ok(command)
}
