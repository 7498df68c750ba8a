//! The C half: compiling `c_shim/`.

use crate::{paths, sh, toolchain};
use anyhow::{ensure, Result};
use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
};

/// The warnings that the shim is free of.
const WARNINGS: &[&str] = &[
    "-Wall",
    "-Wextra",
    "-Wno-unused-parameter",
    "-Wmissing-prototypes",
    "-Wstrict-prototypes",
    "-Wold-style-definition",
    "-Wshadow",
    "-Wcast-qual",
    "-Wwrite-strings",
    "-Wpointer-arith",
    "-Werror",
];

/// The C files of the shim.
pub fn sources() -> Result<Vec<PathBuf>> {
    let mut files: Vec<_> = std::fs::read_dir(paths::c_shim())?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension() == Some(OsStr::new("c")))
        .collect();
    files.sort();
    ensure!(
        !files.is_empty(),
        "there are no C files in {}",
        paths::c_shim().display()
    );
    Ok(files)
}

/// A clang command with what is common to all kernel code, for a target or for
/// the host's.
pub fn compiler(triple: Option<&str>) -> Command {
    let mut command = sh::cmd(toolchain::clang());
    command
        .args(triple.map(|triple| format!("--target={triple}")))
        .args(["-std=gnu99", "-O2", "-g", "-ffreestanding", "-nostdinc"])
        .args([
            "-fno-strict-aliasing",
            "-fno-common",
            "-fno-stack-protector",
        ])
        .args(["-fno-unwind-tables", "-fno-asynchronous-unwind-tables"])
        .args(["-fno-omit-frame-pointer", "-fno-addrsig"])
        .args(WARNINGS);
    command
}

/// Compiles every file of the shim into `dir`, where `puffs_rs.h` is, with the
/// command that `compiler` gives. Returns the objects.
pub fn compile(dir: &Path, compiler: impl Fn() -> Result<Command>) -> Result<Vec<PathBuf>> {
    let mut objects = Vec::new();
    for source in sources()? {
        let name = source.file_stem().unwrap_or_default();
        let object = dir.join(name).with_extension("o");
        sh::run(
            compiler()?
                .arg("-I")
                .arg(dir)
                .arg("-I")
                .arg(paths::c_shim())
                .arg("-c")
                .arg(&source)
                .arg("-o")
                .arg(&object),
        )?;
        objects.push(object);
    }
    Ok(objects)
}
