//! A NetBSD kernel source tree, for its headers.

use crate::{arch::Arch, setup, sh};
use anyhow::{bail, ensure, Context, Result};
use std::{
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

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
                setup::netbsd_headers()?.join("generic-netbsd/prop"),
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
