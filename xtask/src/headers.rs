//! The headers that kernel code is compiled with: those of a source tree, or
//! those that NetBSD installs, and `sys_headers` for what it does not.

use crate::{arch::Arch, paths, setup, sh};
use anyhow::{bail, ensure, Context, Result};
use clap::{Args, ValueEnum};
use std::{
    fmt,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

/// What ours is made from, for a verb that needs it made.
#[derive(Args)]
pub struct Source {
    /// The kernel's source tree, for its headers: makes ours from it
    #[arg(long, value_name = "DIR")]
    pub headers: Option<PathBuf>,
    /// A kernel option to compile the shim with, if ours is made
    #[arg(short = 'D', long = "option", value_name = "NAME[=VALUE]")]
    pub options: Vec<String>,
}

/// A release of NetBSD whose installed headers there are without NetBSD: a
/// version of PyPI's package `ziglang` brings them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Installed {
    /// NetBSD 10.1
    #[value(name = "10.1")]
    V10_1,
    /// NetBSD 11.0
    #[value(name = "11.0")]
    V11_0,
}

impl fmt::Display for Installed {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::V10_1 => "10.1",
            Self::V11_0 => "11.0",
        })
    }
}

impl Installed {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::V10_1, Self::V11_0];
    /// The latest.
    pub const LATEST: Self = Self::V11_0;

    /// The version, as `__NetBSD_Version__` has it: the package took that out of
    /// `sys/param.h`.
    pub fn version(self) -> u32 {
        match self {
            Self::V10_1 => 1_001_000_000,
            Self::V11_0 => 1_100_000_000,
        }
    }

    /// The version of the package.
    pub fn ziglang(self) -> &'static str {
        match self {
            Self::V10_1 => "0.16.0",
            Self::V11_0 => "0.17.0",
        }
    }

    /// The revision of `sys/param.h`, of the release's branch, by which its
    /// headers are known to be its.
    fn param_revision(self) -> &'static str {
        match self {
            Self::V10_1 => "1.722.2.10",
            Self::V11_0 => "1.738.2.9",
        }
    }

    /// Adds to a compiler's command where the headers are, and the version.
    pub fn add_to(self, compiler: &mut Command, arch: Arch) -> Result<()> {
        let dir = setup::netbsd_headers(self)?;
        let param = sh::read(&dir.join("generic-netbsd/sys/param.h"))?;
        let revision = format!("param.h,v {} ", self.param_revision());
        ensure!(
            String::from_utf8_lossy(&param).contains(&revision),
            "the headers in {} are not those of NetBSD {self}",
            dir.display()
        );
        compiler
            .arg("-U__NetBSD_Version__")
            .arg(format!("-D__NetBSD_Version__={}", self.version()))
            .arg("-I")
            .arg(paths::sys_headers());
        let of_port = format!("{}-netbsd-none", arch.zig_name());
        for name in [of_port.as_str(), "generic-netbsd"] {
            compiler.arg("-isystem").arg(dir.join(name));
        }
        Ok(())
    }
}

/// A kernel source tree.
pub struct KernelTree {
    sys: PathBuf,
}

impl KernelTree {
    /// Opens the tree at `dir`, which is the `sys` directory or the one above.
    pub fn open(dir: &Path) -> Result<Self> {
        for sys in [dir.to_owned(), dir.join("sys")] {
            if sys.join("sys/param.h").is_file() && sys.join("arch").is_dir() {
                let sys = sys
                    .canonicalize()
                    .with_context(|| format!("cannot resolve {}", sys.display()))?;
                return Ok(Self { sys });
            }
        }
        bail!(
            "{} is no kernel source tree: neither it nor its directory sys has sys/param.h and arch",
            dir.display()
        )
    }

    /// The `sys` directory.
    pub fn sys(&self) -> &Path {
        &self.sys
    }

    /// The version, as `__NetBSD_Version__` has it.
    pub fn version(&self) -> Result<u32> {
        let param = sh::read(&self.sys.join("sys/param.h"))?;
        String::from_utf8_lossy(&param)
            .lines()
            .filter_map(|line| line.trim().strip_prefix("#define"))
            .filter_map(|line| line.trim().strip_prefix("__NetBSD_Version__"))
            .find_map(|value| value.split_whitespace().next()?.parse().ok())
            .context("sys/param.h does not define __NetBSD_Version__")
    }

    /// Fills `dir` with what `config` and `make` would put into a build
    /// directory: the names under which sources know the port's headers.
    ///
    /// A complete source tree has `common/include` beside `sys`. Of that, kernel
    /// headers want `prop` alone, for a few types that the shim does not use;
    /// for a tree without it the copy among NetBSD's installed headers serves.
    pub fn link_machine(&self, arch: Arch, dir: &Path) -> Result<()> {
        sh::fresh_dir(dir)?;
        let names = arch.include_dirs();
        let links =
            std::iter::once(("machine", names[0])).chain(names.iter().map(|name| (*name, *name)));
        for (link, name) in links {
            let include = self.sys.join("arch").join(name).join("include");
            ensure!(
                include.is_dir(),
                "the tree {} has no headers for {arch}: no {}",
                self.sys.display(),
                include.display()
            );
            symlink(&include, dir.join(link))
                .with_context(|| format!("cannot make the link {link} in {}", dir.display()))?;
        }
        if self.common().is_none() {
            symlink(
                setup::netbsd_headers(Installed::LATEST)?.join("generic-netbsd/prop"),
                dir.join("prop"),
            )?;
        }
        Ok(())
    }

    /// The directory `common/include`.
    fn common(&self) -> Option<PathBuf> {
        let common = self.sys.with_file_name("common").join("include");
        common.is_dir().then_some(common)
    }

    /// Adds to a compiler's command where the headers are.
    pub fn add_includes(&self, compiler: &mut Command) {
        let sys = [self.sys.clone(), self.sys.join("arch")];
        for dir in sys.into_iter().chain(self.common()) {
            compiler.arg("-isystem").arg(dir);
        }
    }
}
