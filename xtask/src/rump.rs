//! `cargo xtask rump`: the drop-in for rump's library of puffs.
//!
//! A rump kernel is NetBSD's kernel code as libraries of a process. This verb
//! takes the stock `librumpfs_syspuffs` apart and replaces all of its members but
//! the glue that attaches the component.
//!
//! Kernel names live in a name space of their own there: every global symbol
//! that does not begin with `rump`, `RUMP` or `__` has the prefix `rumpns_`.
//! The new code is linked into one object first, so that what is Rust's own can
//! become local to it, and renamed then.

use crate::{
    arch::Arch,
    elf::{self, Elf, Place},
    headers::{KernelTree, Source},
    paths, rustlib, setup, sh, shim, toolchain,
};
use anyhow::{ensure, Context, Result};
use clap::Args;
use object::elf::{SHT_INIT_ARRAY, STB_LOCAL};
use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

/// Builds the drop-in for a rump kernel's puffs library
#[derive(Args)]
pub struct Rump {
    /// Where the rump kernel is installed: lib/librumpfs_syspuffs_pic.a is under it
    #[arg(long, value_name = "DIR")]
    rump_prefix: PathBuf,
    /// The source tree of that rump kernel (its directory sys, or the one above), for its headers
    #[arg(long, value_name = "DIR")]
    headers: PathBuf,
    /// A kernel option to compile the shim with
    #[arg(short = 'D', long = "option", value_name = "NAME[=VALUE]")]
    options: Vec<String>,
    /// Where to put the libraries [default: target/rump]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Have AddressSanitizer watch it, whose runtime library the process has to load first
    #[arg(long)]
    asan: bool,
}

/// A rump kernel that is installed, and which library of ours is for it.
#[derive(Args)]
pub struct Kernel {
    /// Where the rump kernel is installed: its libraries are in lib under it
    #[arg(long, value_name = "DIR")]
    pub rump_prefix: Option<PathBuf>,
    /// Where our librumpfs_syspuffs is [default: target/rump, made anew if --headers is given]
    #[arg(long, value_name = "DIR")]
    ours: Option<PathBuf>,
}

impl Kernel {
    /// Where it is installed.
    pub fn prefix(&self) -> Result<&Path> {
        let prefix = self.rump_prefix.as_deref();
        prefix.context("which rump kernel? Give --rump-prefix")
    }

    /// Its release, as its library has it.
    pub fn release(&self) -> Result<String> {
        let library = self.prefix()?.join("lib/librump.so");
        elf::dynamic_string(&sh::read(&library)?, "rumpns_osrelease")
            .with_context(|| library.display().to_string())
    }

    /// Where the libraries are: the stock ones, and ours, which is made if that is
    /// asked for.
    pub fn libraries(&self, source: &Source, asan: bool) -> Result<[PathBuf; 2]> {
        let prefix = self.prefix()?;
        let lib = prefix.join("lib").canonicalize();
        let lib = lib.with_context(|| format!("{} has no lib", prefix.display()))?;
        let ours = match (&self.ours, &source.headers) {
            (Some(ours), _) => ours.clone(),
            (None, headers) => {
                let name = if asan { "rump-asan" } else { "rump" };
                let out = paths::target().join(name);
                if let Some(headers) = headers {
                    Rump::of(prefix, headers, &source.options, &out, asan).run()?;
                }
                out
            }
        };
        let ours = ours.canonicalize().with_context(|| {
            let ours = ours.display();
            format!("{ours} is not there; give --headers to have it made")
        })?;
        Ok([lib, ours])
    }
}

/// The library, without its suffix.
const LIBRARY: &str = "librumpfs_syspuffs";

/// Its members that this project replaces.
const REPLACED: [&str; 5] = [
    "puffs_msgif",
    "puffs_subr",
    "puffs_node",
    "puffs_vfsops",
    "puffs_vnops",
];

/// One more that was there before NetBSD 10, in which it belongs to compat_50.
const COMPAT: &str = "puffs_compat";

/// The options that rump's own makefiles set for this component.
const OPTIONS: [&str; 6] = [
    "PUFFSDEBUG",
    "COMPAT_50",
    "COMPAT_60",
    "COMPAT_70",
    "DIAGNOSTIC",
    "KTRACE",
];

/// Names that are none of the shim's and none of `entry`'s: those that rustc
/// makes up, and those of the compiler's run-time library.
const RUST_NAMES: [&str; 4] = ["_R*", "_ZN*", "rust_*", "__*"];

/// What has AddressSanitizer watch the Rust code. The target is no system that
/// it knows: it is told where the shadow of a Linux process is.
const ASAN: [&str; 3] = [
    "-Zsanitizer=address",
    "-Cunsafe-allow-abi-mismatch=sanitizer",
    "-Cllvm-args=-asan-mapping-offset=0x7fff8000",
];

impl Rump {
    /// The drop-in for the rump kernel that is installed under `prefix`, to be
    /// put into `out`.
    pub fn of(prefix: &Path, headers: &Path, options: &[String], out: &Path, asan: bool) -> Self {
        Self {
            rump_prefix: prefix.to_owned(),
            headers: headers.to_owned(),
            options: options.to_vec(),
            out: Some(out.to_owned()),
            asan,
        }
    }

    /// Builds the libraries.
    pub fn run(&self) -> Result<()> {
        setup::c_tools(Arch::Amd64)?;
        let tree = KernelTree::open(&self.headers)?;
        let out = self
            .out
            .clone()
            .unwrap_or_else(|| paths::target().join("rump"));
        let work = paths::target().join("rump-build");
        let _lock = sh::lock(&work)?;
        let build = work.join("build");
        sh::fresh_dir(&build)?;
        sh::say(format!(
            "building {LIBRARY} for rump kernels, version {}",
            tree.version()?
        ));

        let stock = Stock::take_apart(&self.rump_prefix, &build.join("stock"))?;
        let library = rustlib::build("amd64-rump", if self.asan { &ASAN } else { &[] })?;
        let shim = self.compile_shim(&tree, &build, stock.by_constructor)?;

        sh::say("linking");
        let ours = build.join("puffs_rs.o");
        link_ours(&ours, &shim, &library)?;
        rename(&ours, &build)?;

        sh::mkdir(&out)?;
        let archive = out.join(format!("{LIBRARY}_pic.a"));
        make_archive(&archive, stock.kept.iter().chain([&ours]))?;
        // The stock static library is not position-independent; this one is,
        // and so goes with programs that are and with those that are not.
        fs::copy(&archive, out.join(format!("{LIBRARY}.a")))?;
        let script = (!stock.by_constructor).then(|| tree.sys().join("rump/ldscript.rump"));
        link_shared(&out, &archive, script.as_deref())?;
        sh::say(format!(
            "made {}/{LIBRARY}.so.0.0, .a and _pic.a",
            out.display()
        ));
        Ok(())
    }

    fn compile_shim(
        &self,
        tree: &KernelTree,
        build: &Path,
        by_constructor: bool,
    ) -> Result<Vec<PathBuf>> {
        sh::say("compiling the shim");
        let links = build.join("include");
        tree.link_machine(Arch::Amd64, &links)?;
        rustlib::write_header(build)?;
        let rump = tree.sys().join("rump/include");
        let options = rump.join("opt/opt_rumpkernel.h");
        ensure!(
            options.is_file(),
            "the tree has no rump kernels: no {}",
            options.display()
        );
        shim::compile(build, || {
            // The host's own compiler target: this is code of a host process.
            let mut clang = shim::compiler(None);
            clang
                .args(
                    Arch::Amd64
                        .c_flags()
                        .iter()
                        .filter(|flag| !flag.starts_with("-mcmodel")),
                )
                .args([
                    "-fPIC",
                    "-Ulinux",
                    "-U__linux",
                    "-U__linux__",
                    "-U__gnu_linux__",
                ])
                .arg("-imacros")
                .arg(&options)
                .args(OPTIONS.iter().map(|name| format!("-D{name}")))
                .args(self.options.iter().map(|option| format!("-D{option}")));
            if by_constructor {
                clang.arg("-DRUMP_USE_CTOR");
            }
            if self.asan {
                clang.arg("-fsanitize=address");
            }
            for dir in [&links, &rump, &rump.join("opt")] {
                clang.arg("-isystem").arg(dir);
            }
            tree.add_includes(&mut clang);
            Ok(clang)
        })
    }
}

/// The parts of the stock library.
struct Stock {
    /// The members that stay.
    kept: Vec<PathBuf>,
    /// Do components announce themselves by constructors (and not by link sets
    /// that a linker script collects)?
    by_constructor: bool,
}

impl Stock {
    fn take_apart(prefix: &Path, dir: &Path) -> Result<Self> {
        let archive = prefix
            .join(format!("lib/{LIBRARY}_pic.a"))
            .canonicalize()
            .with_context(|| format!("{} has no lib/{LIBRARY}_pic.a", prefix.display()))?;
        sh::fresh_dir(dir)?;
        sh::output(sh::cmd("ar").current_dir(dir).arg("x").arg(&archive))?;
        let mut kept = Vec::new();
        let mut replaced = BTreeSet::new();
        let mut by_constructor = false;
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            let stem = path
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if REPLACED.contains(&stem.as_str()) {
                let elf = Elf::parse(&sh::read(&path)?)?;
                by_constructor |= elf.sections.iter().any(|section| {
                    section.kind == SHT_INIT_ARRAY || section.name.starts_with(".ctors")
                });
                replaced.insert(stem);
            } else if stem != COMPAT {
                kept.push(path);
            }
        }
        kept.sort();
        ensure!(
            replaced.len() == REPLACED.len(),
            "{} is not the stock library: it should hold {}",
            archive.display(),
            REPLACED.join(", ")
        );
        Ok(Self {
            kept,
            by_constructor,
        })
    }
}

/// Links the shim and what it wants of Rust into one object, in which what is
/// Rust's own is local: a program that is Rust itself has the same names.
fn link_ours(out: &Path, shim: &[PathBuf], library: &Path) -> Result<()> {
    sh::output(
        toolchain::ld(Arch::Amd64)?
            .args(["-r", "--force-group-allocation", "-o"])
            .arg(out)
            .args(shim)
            .arg(library),
    )?;
    let mut localize = sh::cmd("objcopy");
    localize.arg("--wildcard");
    for name in RUST_NAMES {
        localize.arg(format!("--localize-symbol={name}"));
    }
    sh::output(localize.arg(out))?;
    Ok(())
}

/// Gives every symbol its name in the kernel's name space.
fn rename(object: &Path, build: &Path) -> Result<()> {
    const HOST: [&str; 4] = ["rump", "RUMP", "__", "_GLOBAL_OFFSET_TABLE"];
    let elf = Elf::parse(&sh::read(object)?)?;
    let names: BTreeSet<_> = elf
        .symbols
        .iter()
        .filter(|symbol| symbol.bind != STB_LOCAL && symbol.place != Place::Absolute)
        .map(|symbol| symbol.name.as_str())
        .filter(|name| !name.is_empty() && !HOST.iter().any(|prefix| name.starts_with(prefix)))
        .collect();
    let list: String = names
        .iter()
        .map(|name| format!("{name} rumpns_{name}\n"))
        .collect();
    let file = build.join("rename.list");
    sh::write(&file, list)?;
    sh::output(
        sh::cmd("objcopy")
            .arg("--redefine-syms")
            .arg(&file)
            .arg(object),
    )?;
    Ok(())
}

fn make_archive<'a>(archive: &Path, members: impl Iterator<Item = &'a PathBuf>) -> Result<()> {
    if archive.exists() {
        fs::remove_file(archive)?;
    }
    sh::output(sh::cmd("ar").arg("crs").arg(archive).args(members))?;
    Ok(())
}

/// Links the shared library, as NetBSD's makefiles do, and its two links.
fn link_shared(out: &Path, archive: &Path, script: Option<&Path>) -> Result<()> {
    let soname = format!("{LIBRARY}.so.0");
    let file = format!("{soname}.0");
    let mut ld = toolchain::ld(Arch::Amd64)?;
    ld.args(["-shared", "-x", "-z", "relro", "-z", "noexecstack"])
        .args([
            "--warn-shared-textrel",
            "--fatal-warnings",
            "-soname",
            &soname,
        ]);
    if let Some(script) = script {
        ld.arg("-T").arg(script);
    }
    ld.arg("-o")
        .arg(out.join(&file))
        .arg("--whole-archive")
        .arg(archive);
    sh::output(&mut ld)?;
    for link in [soname, format!("{LIBRARY}.so")] {
        let link = out.join(link);
        if link.symlink_metadata().is_ok() {
            fs::remove_file(&link)?;
        }
        symlink(&file, &link)?;
    }
    Ok(())
}
