//! `cargo xtask kmod`: the kernel module.
//!
//! The module is one relocatable object, made of
//!
//! 1. the Rust library, compiled for the kernel of the port,
//! 2. the shim, compiled against the headers of that kernel's source tree.
//!
//! GNU ld merges them by `etc/kmod.ld`. Then every global symbol becomes a
//! local one, as the kernel rejects a module that defines a global symbol of
//! the kernel, and reaches this one through `link_set_modules` alone. Debug
//! sections stay in `puffs.kmod.debug` beside the module: the kernel would
//! load them as data. `R_*_PLT32` relocations, which compilers emit for calls
//! and 8.99.5 does not know, become the `PC32` that they mean in code without
//! a procedure linkage table.

use crate::{
    arch::Arch,
    check::{self, Rules},
    elf::Elf,
    headers::KernelTree,
    paths, rustlib, setup, sh, shim, toolchain,
};
use anyhow::{bail, ensure, Result};
use clap::Args;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// Builds puffs.kmod for a kernel
#[derive(Args)]
pub struct Kmod {
    /// The kernel's source tree (its directory sys, or the one above), for its headers
    #[arg(long, value_name = "DIR")]
    headers: PathBuf,
    /// The port
    #[arg(long, value_enum, default_value_t = Arch::Amd64)]
    arch: Arch,
    /// A kernel option to compile the shim with, such as DIAGNOSTIC
    #[arg(short = 'D', long = "option", value_name = "NAME[=VALUE]")]
    options: Vec<String>,
    /// The kernel image that will load it, for the check of its symbols
    #[arg(long, value_name = "IMAGE")]
    kernel: Vec<PathBuf>,
    /// The module [default: target/kmod/ARCH/puffs.kmod]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Makes the Rust code one object, for a module that NetBSD's own makefiles build
#[derive(Args)]
pub struct Object {
    /// The port
    #[arg(long, value_enum, default_value_t = Arch::Amd64)]
    arch: Arch,
    /// The directory for puffs_rs.o and puffs_rs.h [default: target/object/ARCH]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Object {
    /// Makes the object and its header.
    pub fn run(&self) -> Result<()> {
        setup::c_tools()?;
        let work = paths::target().join("object").join(self.arch.to_string());
        let _lock = sh::lock(&work)?;
        let dir = self.out.clone().unwrap_or_else(|| work.clone());
        sh::mkdir(&dir)?;
        let library = rustlib::build(self.arch.rust_target(), &[])?;
        let whole = work.join("whole.o");
        link_library(self.arch, &library, &whole)?;
        let out = dir.join("puffs_rs.o");
        strip(
            &whole,
            &out,
            &[
                "--wildcard",
                "--keep-global-symbol=puffs_*",
                "--strip-debug",
            ],
        )?;
        turn_calls(&out)?;
        rustlib::write_header(&dir)?;
        sh::say(format!("made {} and puffs_rs.h", out.display()));
        Ok(())
    }
}

/// What objcopy takes away: nothing that the kernel would use.
const BALLAST: [&str; 8] = [
    ".comment",
    ".note*",
    ".rela.note*",
    ".eh_frame",
    ".rela.eh_frame",
    ".rel.eh_frame",
    ".ident",
    ".SUNW_ctf",
];

impl Kmod {
    /// What makes a module for another verb.
    pub fn of(headers: &Path, arch: Arch, options: &[String], out: &Path) -> Self {
        Self {
            headers: headers.to_owned(),
            arch,
            options: options.to_vec(),
            kernel: Vec::new(),
            out: Some(out.to_owned()),
        }
    }

    /// Builds the module and checks it.
    pub fn run(&self) -> Result<()> {
        setup::c_tools()?;
        let arch = self.arch;
        let tree = KernelTree::open(&self.headers)?;
        let version = tree.version()?;

        let work = paths::target().join("kmod").join(arch.to_string());
        let _lock = sh::lock(&work)?;
        let build = work.join("build");
        sh::fresh_dir(&build)?;
        sh::say(format!(
            "building puffs.kmod for NetBSD/{arch}, version {version}"
        ));

        let library = rustlib::build(arch.rust_target(), &[])?;
        let shim = self.compile_shim(&tree, &build)?;

        sh::say("linking");
        let whole = build.join("puffs.kmod");
        link(arch, &whole, &[any_global(&shim)?], shim.iter(), &library)?;
        let out = self.out.clone().unwrap_or_else(|| work.join("puffs.kmod"));
        finish(&whole, &out)?;

        sh::say(format!("checking {}", out.display()));
        check::run(
            &out,
            &Rules::module(Some(check::Release::of_version(version)), &self.kernel)?,
        )?;
        let size = std::fs::metadata(&out)?.len();
        sh::say(format!("made {} ({} kB)", out.display(), size / 1024));
        Ok(())
    }

    fn compile_shim(&self, tree: &KernelTree, build: &Path) -> Result<Vec<PathBuf>> {
        sh::say("compiling the shim");
        let links = build.join("include");
        tree.link_machine(self.arch, &links)?;
        rustlib::write_header(build)?;
        shim::compile(build, || {
            let mut clang = shim::compiler(Some(self.arch.clang_triple()));
            clang
                .args(self.arch.c_flags())
                .args(["-fno-pic", "-D_KERNEL", "-D_MODULE", "-D_LKM"])
                .args(self.options.iter().map(|option| format!("-D{option}")))
                .arg("-isystem")
                .arg(&links);
            tree.add_includes(&mut clang);
            clang
        })
    }
}

/// Links objects, and what they want of the archive, into one, without the
/// sections that neither a root nor a link set leads to: a compiler's run-time
/// library comes as one big object.
pub fn link<'a>(
    arch: Arch,
    out: &Path,
    roots: &[String],
    objects: impl Iterator<Item = &'a PathBuf>,
    archive: &Path,
) -> Result<()> {
    sh::output(
        toolchain::ld(arch.ld_emulation())?
            // Space for common symbols; no groups of sections.
            .args(["-r", "-d", "--gc-sections", "--force-group-allocation"])
            .args(roots.iter().flat_map(|root| ["-u", root]))
            .arg("-T")
            .arg(paths::etc("kmod.ld"))
            .arg("-Map")
            .arg(out.with_extension("map"))
            .arg("-o")
            .arg(out)
            .args(objects)
            .arg(archive),
    )?;
    Ok(())
}

/// A symbol that the shim defines. The link set is the root of the module, but
/// GNU ld wants to be given one by name too.
fn any_global(shim: &[PathBuf]) -> Result<String> {
    for object in shim {
        if let Some(name) = Elf::parse(&sh::read(object)?)?.globals().next() {
            return Ok(name.to_owned());
        }
    }
    bail!("the shim defines nothing")
}

/// Makes the module, and its copy with debug sections, of what ld linked.
fn finish(whole: &Path, out: &Path) -> Result<()> {
    if let Some(dir) = out.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        sh::mkdir(dir)?;
    }
    let mut debug = out.as_os_str().to_owned();
    debug.push(".debug");
    // There is no symbol of that name to stay global.
    sh::output(
        sh::cmd("objcopy")
            .args(["-G", "@none@"])
            .arg(whole)
            .arg(&debug),
    )?;
    strip(Path::new(&debug), out, &["--strip-debug"])?;
    turn_calls(out)?;
    let unresolved: BTreeSet<_> = Elf::parse(&sh::read(out)?)?
        .undefined()
        .map(str::to_owned)
        .collect();
    sh::say(format!(
        "{} symbols are the kernel's to provide",
        unresolved.len()
    ));
    Ok(())
}

/// Links what the library exports, and what that wants of it, into one object.
pub fn link_library(arch: Arch, library: &Path, out: &Path) -> Result<()> {
    let mut exports = Vec::new();
    for (_, object) in rustlib::members(library)? {
        if let Ok(elf) = Elf::parse(&object) {
            let ours = elf.globals().filter(|name| name.starts_with("puffs_"));
            exports.extend(ours.map(str::to_owned));
        }
    }
    ensure!(!exports.is_empty(), "{} exports nothing", library.display());
    link(arch, out, &exports, std::iter::empty(), library)
}

/// Copies an object without what the kernel has no use for.
fn strip(from: &Path, to: &Path, options: &[&str]) -> Result<()> {
    let mut objcopy = sh::cmd("objcopy");
    objcopy.args(options);
    for name in BALLAST {
        objcopy.args(["-R", name]);
    }
    sh::output(objcopy.arg(from).arg(to))?;
    Ok(())
}

/// Has an object's calls be of the kind that every release's loader knows.
fn turn_calls(object: &Path) -> Result<()> {
    let mut bytes = sh::read(object)?;
    let changed = Elf::parse(&bytes)?.turn_plt32_into_pc32(&mut bytes);
    sh::write(object, &bytes)?;
    sh::say(format!("turned {changed} PLT32 relocations into PC32"));
    Ok(())
}
