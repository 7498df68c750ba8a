//! `cargo xtask kmod`: the kernel module.
//!
//! The module is one relocatable object, made of
//!
//! 1. the Rust library, compiled for the kernel of the port,
//! 2. the shim, compiled against the headers of that kernel's source tree, or
//!    against those that NetBSD installs. The latter do not say everything that
//!    a kernel's structures are made of; that nothing in the shim depends on
//!    what they leave out is proven at each build (`sys_headers/README.md`).
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
    headers::{Installed, KernelTree},
    paths, rustlib, setup, sh, shim, toolchain,
};
use anyhow::{bail, ensure, Result};
use clap::Args;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
};

/// Builds puffs.kmod for a kernel
#[derive(Args)]
pub struct Kmod {
    /// The kernel's release, of those that need no source tree
    #[arg(long, value_enum, default_value_t = Installed::LATEST, conflicts_with = "headers")]
    release: Installed,
    /// The kernel's source tree (its directory sys, or the one above), for its headers
    #[arg(long, value_name = "DIR")]
    headers: Option<PathBuf>,
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
        setup::c_tools(self.arch)?;
        let work = paths::target().join("object").join(self.arch.to_string());
        let _lock = sh::lock(&work)?;
        let dir = self.out.clone().unwrap_or_else(|| work.clone());
        sh::mkdir(&dir)?;
        let library = rustlib::build(self.arch.rust_target(), &[])?;
        let whole = work.join("whole.o");
        link_library(self.arch, &library, &whole)?;
        let out = dir.join("puffs_rs.o");
        strip(
            self.arch,
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
    /// What makes a module for another verb, for the kernel of a source tree.
    pub fn of_tree(headers: &Path, arch: Arch, options: &[String], out: &Path) -> Self {
        Self {
            headers: Some(headers.to_owned()),
            options: options.to_vec(),
            ..Self::of_release(Installed::LATEST, arch, out)
        }
    }

    /// The same for a release.
    pub fn of_release(release: Installed, arch: Arch, out: &Path) -> Self {
        Self {
            release,
            headers: None,
            arch,
            options: Vec::new(),
            kernel: Vec::new(),
            out: Some(out.to_owned()),
        }
    }

    /// Builds the module and checks it.
    pub fn run(&self) -> Result<()> {
        setup::c_tools(self.arch)?;
        let library = rustlib::build(self.arch.rust_target(), &[])?;
        self.make(&library)
    }

    /// Makes the module with a Rust library that is there, and checks it.
    pub fn make(&self, library: &Path) -> Result<()> {
        let arch = self.arch;
        let tree = match &self.headers {
            Some(dir) => Some(KernelTree::open(dir)?),
            None => None,
        };
        let version = match &tree {
            Some(tree) => tree.version()?,
            None => self.release.version(),
        };

        let work = paths::target().join("kmod").join(arch.to_string());
        let _lock = sh::lock(&work)?;
        let build = work.join("build");
        sh::fresh_dir(&build)?;
        sh::say(format!(
            "building puffs.kmod for NetBSD/{arch}, version {version}"
        ));

        sh::say("compiling the shim");
        rustlib::write_header(&build)?;
        let shim = match &tree {
            Some(tree) => self.compile_with_tree(tree, &build)?,
            None => self.compile_with_installed(&build)?,
        };

        sh::say("linking");
        let whole = build.join("puffs.kmod");
        link(arch, &whole, &[any_global(&shim)?], shim.iter(), library)?;
        let out = self.out.clone().unwrap_or_else(|| work.join("puffs.kmod"));
        finish(arch, &whole, &out)?;

        sh::say(format!("checking {}", out.display()));
        check::run(
            &out,
            &Rules::module(Some(check::Release::of_version(version)), &self.kernel)?,
        )?;
        let size = std::fs::metadata(&out)?.len();
        sh::say(format!("made {} ({} kB)", out.display(), size / 1024));
        Ok(())
    }

    /// The compiler of both ways, which has no headers yet.
    fn compiler(&self) -> Command {
        let mut clang = shim::compiler(Some(self.arch.clang_triple()));
        clang
            .args(self.arch.c_flags())
            .args(["-fno-pic", "-D_KERNEL", "-D_MODULE", "-D_LKM"])
            .args(self.options.iter().map(|option| format!("-D{option}")));
        clang
    }

    /// Compiles the shim against a source tree, and compares what `sys_headers`
    /// says with that.
    fn compile_with_tree(&self, tree: &KernelTree, build: &Path) -> Result<Vec<PathBuf>> {
        let links = build.join("include");
        tree.link_machine(self.arch, &links)?;
        let compiler = || {
            let mut clang = self.compiler();
            clang.arg("-isystem").arg(&links);
            tree.add_includes(&mut clang);
            clang
        };
        sh::run(
            compiler()
                // Which lets a type have its name twice.
                .arg("-std=gnu11")
                .arg("-fsyntax-only")
                .arg(paths::sys_headers().join("compare.c")),
        )?;
        shim::compile(build, || Ok(compiler()))
    }

    /// Compiles the shim against installed headers, and again with other sizes
    /// of what they leave open: nothing may come of that. The second time the
    /// headers themselves must not use what nobody declares, which the compiler
    /// would take for a function.
    fn compile_with_installed(&self, build: &Path) -> Result<Vec<PathBuf>> {
        let compiler = || {
            let mut clang = self.compiler();
            self.release.add_to(&mut clang, self.arch)?;
            Ok(clang)
        };
        let objects = shim::compile(build, compiler)?;

        let again = build.join("again");
        sh::mkdir(&again)?;
        let others = shim::compile(&again, || {
            let mut clang = compiler()?;
            clang.arg("-I").arg(build);
            clang.arg("-DUNKNOWN_SIZE=4096").args([
                "-Wno-everything",
                "-Wsystem-headers",
                "-Werror=implicit-function-declaration",
                "-Werror=implicit-int",
            ]);
            Ok(clang)
        })?;
        for (object, other) in objects.iter().zip(&others) {
            ensure!(
                self.code(object)? == self.code(other)?,
                "{} depends on what sys_headers does not know of a structure",
                object.display()
            );
        }
        Ok(objects)
    }

    /// The bytes of an object without its debug sections, which speak of every
    /// structure.
    fn code(&self, object: &Path) -> Result<Vec<u8>> {
        let code = object.with_extension("code");
        strip(self.arch, object, &code, &["--strip-debug"])?;
        sh::read(&code)
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
        toolchain::ld(arch)?
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
fn finish(arch: Arch, whole: &Path, out: &Path) -> Result<()> {
    if let Some(dir) = out.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        sh::mkdir(dir)?;
    }
    let mut debug = out.as_os_str().to_owned();
    debug.push(".debug");
    // There is no symbol of that name to stay global.
    sh::output(
        toolchain::objcopy(arch)?
            .args(["-G", "@none@"])
            .arg(whole)
            .arg(&debug),
    )?;
    strip(arch, Path::new(&debug), out, &["--strip-debug"])?;
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
fn strip(arch: Arch, from: &Path, to: &Path, options: &[&str]) -> Result<()> {
    let mut objcopy = toolchain::objcopy(arch)?;
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
