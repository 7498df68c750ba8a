//! The ports of NetBSD that the project knows.

use clap::ValueEnum;
use object::elf;
use std::fmt;

/// A port of NetBSD.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Arch {
    /// 64-bit x86
    Amd64,
    /// 32-bit x86
    I386,
    /// 64-bit Arm
    Aarch64,
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Amd64 => "amd64",
            Self::I386 => "i386",
            Self::Aarch64 => "aarch64",
        })
    }
}

impl Arch {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Amd64, Self::I386, Self::Aarch64];

    /// The port whose objects have this `e_machine`.
    pub fn of_machine(machine: u16) -> Option<Self> {
        match machine {
            elf::EM_X86_64 => Some(Self::Amd64),
            elf::EM_386 => Some(Self::I386),
            elf::EM_AARCH64 => Some(Self::Aarch64),
            _ => None,
        }
    }

    /// The description of the Rust target for kernel code, under `etc/targets`.
    pub fn rust_target(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64-netbsd-kernel",
            Self::I386 => "i386-netbsd-kernel",
            Self::Aarch64 => "aarch64-netbsd-kernel",
        }
    }

    /// What clang calls the port.
    pub fn clang_triple(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-unknown-netbsd10",
            Self::I386 => "i486-unknown-netbsdelf10",
            Self::Aarch64 => "aarch64-unknown-netbsd10",
        }
    }

    /// The system whose GNU ld and objcopy know the port, where they are not the
    /// host's own: they have its name in front of theirs.
    pub fn gnu_triple(self) -> &'static str {
        match self {
            Self::Amd64 | Self::I386 => "x86_64-linux-gnu",
            Self::Aarch64 => "aarch64-linux-gnu",
        }
    }

    /// What GNU ld calls the port.
    pub fn ld_emulation(self) -> &'static str {
        match self {
            Self::Amd64 => "elf_x86_64",
            Self::I386 => "elf_i386",
            Self::Aarch64 => "aarch64elf",
        }
    }

    /// The directories of `sys/arch` whose `include` is known to sources under
    /// their own name. The first is the port's own, also known as `machine`;
    /// for aarch64 that of its generic kernel, `evbarm`.
    pub fn include_dirs(self) -> &'static [&'static str] {
        match self {
            Self::Amd64 => &["amd64", "x86", "i386"],
            Self::I386 => &["i386", "x86"],
            Self::Aarch64 => &["evbarm", "aarch64", "arm"],
        }
    }

    /// The flags that keep compiled C within what kernel code may do.
    pub fn c_flags(self) -> &'static [&'static str] {
        match self {
            Self::Amd64 => &[
                "-mcmodel=kernel",
                "-mno-red-zone",
                "-mno-mmx",
                "-mno-sse",
                "-mno-avx",
                "-msoft-float",
            ],
            Self::I386 => &["-mno-mmx", "-mno-sse", "-mno-avx", "-msoft-float"],
            Self::Aarch64 => &["-mgeneral-regs-only", "-mstrict-align"],
        }
    }

    /// How the zig project calls the port in the names of its header directories.
    pub fn zig_name(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64",
            Self::I386 => "x86",
            Self::Aarch64 => "aarch64",
        }
    }
}
