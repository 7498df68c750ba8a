//! The compilers and binary tools.
//!
//! Kernel code needs `core` compiled from source for a target of its own,
//! which wants a Rust toolchain with its library's sources. Two are looked at:
//! the one that runs this driver (rustup's with the component `rust-src`), and
//! Debian's (packages `rustc-web`, `cargo-web`, `rust-web-src`).

use crate::{arch::Arch, sh};
use anyhow::{Context, Result};
use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// The cargo that runs this driver, for everything on the host.
pub fn host_cargo() -> Command {
    sh::cmd(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// The rustc that this driver's cargo uses.
fn host_rustc() -> Command {
    sh::cmd(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
}

/// What `rustc -vV` says under a heading.
fn about_rustc(heading: &str) -> Result<String> {
    let text = sh::output(host_rustc().arg("-vV"))?;
    text.lines()
        .find_map(|line| line.strip_prefix(heading)?.strip_prefix(": "))
        .map(str::to_owned)
        .with_context(|| format!("rustc -vV does not say its {heading}"))
}

/// The machine that this runs on, in Rust's words.
pub fn host_triple() -> Result<String> {
    about_rustc("host")
}

/// The major version of the LLVM that rustc has.
pub fn llvm_major() -> Result<u32> {
    let version = about_rustc("LLVM version")?;
    let major = version.split('.').next().unwrap_or_default();
    major
        .parse()
        .with_context(|| format!("{version} is no version of LLVM"))
}

/// Where rustc has libraries and programs for the host.
fn host_rustlib() -> Result<PathBuf> {
    let sysroot = sh::output(host_rustc().args(["--print", "sysroot"]))?;
    Ok(Path::new(sysroot.trim())
        .join("lib/rustlib")
        .join(host_triple()?))
}

/// Does the toolchain bring AddressSanitizer's runtime?
pub fn has_asan() -> Result<bool> {
    let is_runtime = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with("_rt.asan.a")
    };
    Ok(has_entry(&host_rustlib()?.join("lib"), is_runtime))
}

/// The programs that read coverage data.
pub struct LlvmTools {
    /// llvm-profdata.
    pub profdata: PathBuf,
    /// llvm-cov.
    pub cov: PathBuf,
}

impl LlvmTools {
    /// Those of rustc's own version: the toolchain's (rustup's component
    /// `llvm-tools`), or the system's.
    pub fn find() -> Option<LlvmTools> {
        let llvm = llvm_major().ok()?;
        let own = host_rustlib().ok()?.join("bin");
        let system = Path::new("/usr/lib").join(format!("llvm-{llvm}/bin"));
        [own, system]
            .into_iter()
            .map(|dir| LlvmTools {
                profdata: dir.join("llvm-profdata"),
                cov: dir.join("llvm-cov"),
            })
            .find(|tools| tools.profdata.is_file() && tools.cov.is_file())
    }
}

/// A Rust toolchain that can compile `core`.
pub struct KernelRust {
    cargo: PathBuf,
    rustc: PathBuf,
}

impl KernelRust {
    /// Finds one; none is an answer too.
    pub fn find() -> Option<Self> {
        let running = || {
            let cargo = PathBuf::from(env::var_os("CARGO")?);
            let rustc = cargo.with_file_name("rustc");
            Some(Self { cargo, rustc })
        };
        let debian = || {
            Some(Self {
                cargo: "/usr/bin/cargo".into(),
                rustc: "/usr/bin/rustc".into(),
            })
        };
        [running(), debian()]
            .into_iter()
            .flatten()
            .find(|rust| rust.cargo.is_file() && rust.is_usable().unwrap_or(false))
    }

    /// Is it new enough, and does it have the sources of `core`?
    fn is_usable(&self) -> Result<bool> {
        let version = self.print(&["--version"])?;
        let minor = version
            .split('.')
            .nth(1)
            .and_then(|minor| minor.parse::<u32>().ok())
            .context("a rustc without a version")?;
        let core = Path::new(&self.print(&["--print", "sysroot"])?)
            .join("lib/rustlib/src/rust/library/core/Cargo.toml");
        Ok(minor >= 95 && core.is_file())
    }

    /// A cargo command of this toolchain for the host, with unstable features.
    pub fn host_cargo(&self, verb: &str) -> Command {
        let mut command = sh::cmd(&self.cargo);
        clean_env(&mut command)
            .env("RUSTC", &self.rustc)
            .env("RUSTC_BOOTSTRAP", "1")
            .arg(verb);
        command
    }

    /// The same with the unstable features that a target of our own needs.
    pub fn cargo(&self, verb: &str) -> Command {
        let mut command = self.host_cargo(verb);
        command
            .args(["-Z", "build-std=core,compiler_builtins"])
            .args(["-Z", "build-std-features="])
            .args(["-Z", "json-target-spec"]);
        command
    }

    fn print(&self, arguments: &[&str]) -> Result<String> {
        let text = sh::output(clean_env(sh::cmd(&self.rustc).args(arguments)))?;
        Ok(text.trim().to_owned())
    }

    /// The name of the target that is this machine.
    pub fn host(&self) -> Result<String> {
        self.version("host")
    }

    /// The number of the LLVM that it compiles with.
    pub fn llvm(&self) -> Result<String> {
        let version = self.version("LLVM version")?;
        Ok(version.split('.').next().unwrap_or_default().to_owned())
    }

    /// A line of `rustc -vV`.
    fn version(&self, what: &str) -> Result<String> {
        let text = self.print(&["-vV"])?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(what)?.strip_prefix(": "));
        Ok(line
            .with_context(|| format!("rustc -vV without {what}"))?
            .to_owned())
    }

    /// Does it bring the runtime library of a sanitizer (`asan`, `tsan`)?
    pub fn has_sanitizer(&self, name: &str) -> bool {
        let brings = || -> Result<bool> {
            let libraries = self.print(&["--print", "target-libdir"])?;
            let end = format!("_rt.{name}.a");
            Ok(has_entry(Path::new(&libraries), |path| {
                path.to_string_lossy().ends_with(&end)
            }))
        };
        brings().unwrap_or(false)
    }

    /// A runtime library of clang's that this compiler's code can be linked
    /// with: one of the same LLVM.
    pub fn clang_runtime(&self, name: &str) -> Result<PathBuf> {
        let (llvm, host) = (self.llvm()?, self.host()?);
        let arch = host.split('-').next().unwrap_or_default();
        Ok(PathBuf::from(format!(
            "/usr/lib/llvm-{llvm}/lib/clang/{llvm}/lib/linux/libclang_rt.{name}-{arch}.a"
        )))
    }
}

/// Takes out of a command's environment what the cargo that runs this driver
/// put there for its own toolchain.
fn clean_env(command: &mut Command) -> &mut Command {
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let of_package = text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_");
        let of_toolchain = [
            "CARGO",
            "RUSTC",
            "RUSTDOC",
            "LD_LIBRARY_PATH",
            "RUSTUP_TOOLCHAIN",
        ];
        if of_package || of_toolchain.contains(&text.as_ref()) {
            command.env_remove(&name);
        }
    }
    command
}

/// clang: version 14, which the project is developed with, or any other.
pub fn clang() -> &'static str {
    if sh::on_path("clang-14") {
        "clang-14"
    } else {
        "clang"
    }
}

/// The directories that distributions put a version of LLVM into.
fn llvm_dirs() -> impl Iterator<Item = PathBuf> {
    let versions = std::fs::read_dir("/usr/lib")
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("llvm"))
        .map(|entry| entry.path().join("lib"));
    ["/usr/lib", "/usr/lib64", "/usr/local/lib"]
        .into_iter()
        .map(PathBuf::from)
        .chain(versions)
}

/// Does the directory have an entry of which this is true?
fn has_entry(dir: &Path, test: impl Fn(&Path) -> bool) -> bool {
    std::fs::read_dir(dir).is_ok_and(|entries| entries.flatten().any(|entry| test(&entry.path())))
}

/// Is there a libclang for bindgen?
pub fn has_libclang() -> bool {
    let is_libclang = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // libclang-cpp is another library, and of no use to bindgen.
        (name.starts_with("libclang.so") || name.starts_with("libclang-"))
            && !name.starts_with("libclang-cpp")
    };
    env::var_os("LIBCLANG_PATH").is_some() || llvm_dirs().any(|dir| has_entry(&dir, is_libclang))
}

/// Are there the headers that are clang's own (`stddef.h` and the like)?
pub fn has_clang_headers() -> bool {
    let has_stddef = |version: &Path| version.join("include/stddef.h").is_file();
    env::var_os("LIBCLANG_PATH").is_some()
        || llvm_dirs().any(|dir| has_entry(&dir.join("clang"), has_stddef))
}

/// The linker, for a port.
pub fn ld(arch: Arch) -> Result<Command> {
    let mut command = sh::cmd(binutils(arch)? + "ld");
    command.args(["-m", arch.ld_emulation()]);
    Ok(command)
}

/// What copies objects of a port.
pub fn objcopy(arch: Arch) -> Result<Command> {
    Ok(sh::cmd(binutils(arch)? + "objcopy"))
}

/// What the names of those of GNU's tools begin with that know the port.
fn binutils(arch: Arch) -> Result<String> {
    let knows = |prefix: &String| {
        let known = sh::output(sh::cmd(format!("{prefix}ld")).arg("-V"));
        known.is_ok_and(|known| {
            known
                .split_whitespace()
                .any(|word| word == arch.ld_emulation())
        })
    };
    [String::new(), format!("{}-", arch.gnu_triple())]
        .into_iter()
        .find(knows)
        .with_context(|| format!("no GNU ld on this machine links for {arch}"))
}
