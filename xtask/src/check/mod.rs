//! `cargo xtask check-kmod`: will the kernel take this module?
//!
//! The rules are those of NetBSD's `sys/kern/subr_kobj.c`, its
//! `kobj_machdep.c` of each port, and `sys/kern/kern_module.c`, and those of
//! code that runs in the kernel: no floating-point or vector registers, which
//! the kernel does not save on entry, and no red zone, which an interrupt
//! would overwrite. Each rule is a function that returns what breaks it; the
//! report has one line for each:
//!
//! ```text
//! ok    relocations   1423 of 3 types, all known to NetBSD 8.99.5/amd64
//! FAIL  fpu           .text+0x1c2 (puffs_x+0x12): movsd xmm0,[rdi]
//! ```

mod a64;
mod loader;
mod modinfo;
mod symbols;
#[cfg(test)]
mod tests;
mod x86;

use crate::{arch::Arch, elf::Elf, sh};
use anyhow::{bail, ensure, Context, Result};
use clap::Args;
use std::{
    collections::BTreeSet,
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

/// Checks that a module will be taken by the kernel's loader
#[derive(Args)]
pub struct CheckKmod {
    /// The module
    file: PathBuf,
    /// The kernel's release, such as 8.99.5 or 10.99.12 [default: what the module was made for]
    #[arg(long)]
    release: Option<Release>,
    /// The kernel image, or a module that is loaded before; may be given more than once
    #[arg(long, value_name = "IMAGE")]
    kernel: Vec<PathBuf>,
}

impl CheckKmod {
    /// Runs the check as a verb.
    pub fn run(&self) -> Result<()> {
        run(&self.file, &Rules::module(self.release, &self.kernel)?)
    }
}

/// A release of NetBSD, as `__NetBSD_Version__` encodes it: MMmmrrpp00.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release(u32);

impl Release {
    /// The first one known to take `PLT32` relocations on amd64.
    const WITH_PLT32: Self = Self(1_099_001_200);

    /// The release with this `__NetBSD_Version__`.
    pub fn of_version(version: u32) -> Self {
        Self(version)
    }

    /// Does a kernel of this release take a module of that version? A
    /// development kernel takes its own version only, a release those that
    /// differ by a patch at most.
    fn takes_module(self, version: u32) -> bool {
        if self.0 / 1_000_000 % 100 == 99 {
            self.0 == version
        } else {
            self.0.abs_diff(version) < 10_000
        }
    }
}

impl FromStr for Release {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        const FORM: &str = "a release looks like 8.99.5, or like 10.1";
        let parts: Result<Vec<u32>, _> = text.split('.').map(str::parse).collect();
        // 8.99.5 is 8 99 00 05 00; 9.3 is 9 03 00 00 00.
        let (major, minor, patch) = match parts.context(FORM)?[..] {
            [major @ 0..=42, minor @ 0..=98] => (major, minor, 0),
            [major @ 0..=42, minor @ 0..=99, patch @ 0..=9999] => (major, minor, patch),
            _ => bail!(FORM),
        };
        Ok(Self(major * 100_000_000 + minor * 1_000_000 + patch * 100))
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let (major, minor, patch) = (
            self.0 / 100_000_000,
            self.0 / 1_000_000 % 100,
            self.0 / 100 % 10_000,
        );
        write!(f, "{major}.{minor}")?;
        if minor == 99 || patch != 0 {
            write!(f, ".{patch}")?;
        }
        Ok(())
    }
}

/// What to check an object against.
pub struct Rules {
    /// Is it a finished module, or an object that will become part of one?
    whole: bool,
    /// The kernel's release, if it is known.
    release: Option<Release>,
    /// The global symbols of the kernel, if they are known.
    kernel: Option<BTreeSet<String>>,
}

impl Rules {
    /// The rules for a module.
    pub fn module(release: Option<Release>, kernels: &[PathBuf]) -> Result<Self> {
        Ok(Self {
            whole: true,
            release,
            kernel: (!kernels.is_empty())
                .then(|| kernel_symbols(kernels))
                .transpose()?,
        })
    }

    /// The rules for an object on its way to a module: those on the code in it.
    pub fn object() -> Self {
        Self {
            whole: false,
            release: None,
            kernel: None,
        }
    }
}

/// The symbols that the loader would find in kernel images and modules.
fn kernel_symbols(images: &[PathBuf]) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for image in images {
        let elf = Elf::parse(&sh::read(image)?).with_context(|| image.display().to_string())?;
        let before = names.len();
        names.extend(elf.globals().map(str::to_owned));
        ensure!(
            names.len() > before,
            "{} has no symbol table, or one without globals",
            image.display()
        );
    }
    Ok(names)
}

/// The outcome of one rule.
struct Line {
    rule: &'static str,
    /// What was found right, or what to know.
    summary: String,
    /// What is wrong.
    failures: Vec<String>,
}

/// The outcome of all.
#[derive(Default)]
pub struct Report {
    lines: Vec<Line>,
}

impl Report {
    /// Adds the outcome of a rule: a summary for the case that nothing is wrong,
    /// and what is.
    fn add(&mut self, rule: &'static str, summary: impl Into<String>, failures: Vec<String>) {
        self.lines.push(Line {
            rule,
            summary: summary.into(),
            failures,
        });
    }

    /// What was found right by some of the rules.
    pub fn summary(&self, rules: &[&str]) -> String {
        let lines = self
            .lines
            .iter()
            .filter(|line| rules.contains(&line.rule) && line.failures.is_empty());
        lines
            .map(|line| line.summary.as_str())
            .collect::<Vec<_>>()
            .join("; ")
    }

    /// The rules that were broken.
    pub fn broken(&self) -> Vec<&'static str> {
        self.lines
            .iter()
            .filter(|line| !line.failures.is_empty())
            .map(|line| line.rule)
            .collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        // One register in a wrong function is as good as a hundred.
        const SHOWN: usize = 8;
        for Line {
            rule,
            summary,
            failures,
        } in &self.lines
        {
            if failures.is_empty() {
                writeln!(f, "ok    {rule:<14}{summary}")?;
            }
            for failure in failures.iter().take(SHOWN) {
                writeln!(f, "FAIL  {rule:<14}{failure}")?;
            }
            if failures.len() > SHOWN {
                writeln!(f, "FAIL  {rule:<14}and {} more", failures.len() - SHOWN)?;
            }
        }
        Ok(())
    }
}

/// Checks a file and prints the report. An error if a rule is broken.
pub fn run(file: &Path, rules: &Rules) -> Result<()> {
    let report = inspect(&sh::read(file)?, rules).with_context(|| file.display().to_string())?;
    print!("{report}");
    let broken = report.broken();
    ensure!(
        broken.is_empty(),
        "{} is not fit for the kernel: {}",
        file.display(),
        broken.join(", ")
    );
    Ok(())
}

/// Checks the bytes of an object.
pub fn inspect(file: &[u8], rules: &Rules) -> Result<Report> {
    let elf = Elf::parse(file)?;
    let mut report = Report::default();
    loader::file_type(&elf, &mut report);
    let Some(arch) = elf.arch() else {
        report.add(
            "machine",
            "",
            vec![format!("e_machine {} is of no known port", elf.machine)],
        );
        return Ok(report);
    };
    report.add("machine", arch.to_string(), vec![]);
    if rules.whole {
        let module = modinfo::find(&elf);
        let release = rules.release.or_else(|| {
            let info = module.as_ref().ok()?;
            Some(Release::of_version(info.version))
        });
        loader::sections(&elf, &mut report);
        loader::ballast(&elf, &mut report);
        loader::relocations(&elf, loader::Loader::of(arch, release), &mut report);
        loader::relocation_targets(&elf, &mut report);
        symbols::rules(&elf, rules.kernel.as_ref(), &mut report);
        modinfo::rules(module, rules.release, &mut report);
    } else {
        loader::relocations(&elf, loader::Loader::before_link(arch), &mut report);
    }
    loader::constructors(&elf, &mut report);
    match arch {
        Arch::Amd64 | Arch::I386 => x86::rules(&elf, arch, &mut report),
        Arch::Aarch64 => a64::rules(&elf, &mut report),
    }
    Ok(report)
}

/// A place in a section, for the reader: `.text+0x1c2 (puffs_x+0x12)`.
fn place(elf: &Elf, section: usize, offset: u64) -> String {
    let name = &elf.sections[section].name;
    match elf.function_at(section, offset) {
        Some((function, 0)) => format!("{name}+{offset:#x} ({function})"),
        Some((function, within)) => format!("{name}+{offset:#x} ({function}+{within:#x})"),
        None => format!("{name}+{offset:#x}"),
    }
}
