//! What `subr_kobj.c` and `kobj_machdep.c` demand of a file.

use super::{place, Release, Report};
use crate::{
    arch::Arch,
    elf::{Elf, Place},
};
use object::elf::*;
use std::collections::BTreeSet;

/// A section's address is aligned within pages.
const PAGE: u64 = 4096;

pub(super) fn file_type(elf: &Elf, report: &mut Report) {
    let failures = if elf.file_type == ET_REL {
        vec![]
    } else {
        vec![format!(
            "e_type is {}, not ET_REL ({ET_REL})",
            elf.file_type
        )]
    };
    report.add("type", "relocatable", failures);
}

/// One symbol table, something to run, and alignments that can be had.
pub(super) fn sections(elf: &Elf, report: &mut Report) {
    let tables = elf
        .sections
        .iter()
        .filter(|section| section.kind == SHT_SYMTAB)
        .count();
    let mut failures = vec![];
    if tables != 1 {
        failures.push(format!("{tables} symbol tables, not one"));
    } else if elf.symbols.len() <= 1 {
        failures.push("the symbol table is empty".into());
    }
    report.add("symtab", format!("{} symbols", elf.symbols.len()), failures);

    let text: u64 = elf
        .sections
        .iter()
        .filter(|section| section.is_text())
        .map(|section| section.size)
        .sum();
    let failures = if text == 0 {
        vec!["there is no code".into()]
    } else {
        vec![]
    };
    report.add("text", format!("{text} bytes of code"), failures);

    // The loader computes with sh_addralign - 1, so that 0 would wrap around.
    let failures = elf
        .sections
        .iter()
        .filter(|section| {
            section.is_loaded() && !(section.align.is_power_of_two() && section.align <= PAGE)
        })
        .map(|section| format!("{} wants an alignment of {}", section.name, section.align))
        .collect();
    report.add(
        "alignment",
        "every loaded section has one that the loader can give",
        failures,
    );
}

/// Sections that are for other programs: the loader maps every `PROGBITS`
/// section, whether or not it is `SHF_ALLOC`.
pub(super) fn ballast(elf: &Elf, report: &mut Report) {
    let loaded = || {
        elf.sections
            .iter()
            .filter(|section| section.is_loaded() && section.size != 0)
    };
    let failures = loaded()
        .filter(|section| {
            section.flags & u64::from(SHF_ALLOC) == 0 || section.name.starts_with(".eh_frame")
        })
        .map(|section| {
            format!(
                "{} ({} bytes) would be loaded to no use",
                section.name, section.size
            )
        })
        .collect();
    let names: Vec<_> = loaded().map(|section| section.name.as_str()).collect();
    report.add("ballast", format!("loaded: {}", names.join(" ")), failures);
}

/// Nobody would call them.
pub(super) fn constructors(elf: &Elf, report: &mut Report) {
    const PREFIXES: [&str; 5] = [
        ".init_array",
        ".fini_array",
        ".preinit_array",
        ".ctors",
        ".dtors",
    ];
    let failures = elf
        .sections
        .iter()
        .filter(|section| {
            let by_type = matches!(
                section.kind,
                SHT_INIT_ARRAY | SHT_FINI_ARRAY | SHT_PREINIT_ARRAY
            );
            by_type
                || (section.size != 0
                    && PREFIXES
                        .iter()
                        .any(|prefix| section.name.starts_with(prefix)))
        })
        .filter(|section| !section.name.starts_with(".rel"))
        .map(|section| format!("{} would not be run", section.name))
        .collect();
    report.add("constructors", "none", failures);
}

/// The relocations that a loader knows.
pub(super) struct Loader {
    known: &'static [&'static [u32]],
    /// Those that speak of a global offset table, which there is none of.
    got: &'static [u32],
    name: String,
}

const AMD64: &[u32] = &[
    R_X86_64_NONE,
    R_X86_64_64,
    R_X86_64_PC32,
    R_X86_64_32,
    R_X86_64_32S,
    R_X86_64_GLOB_DAT,
    R_X86_64_JUMP_SLOT,
    R_X86_64_RELATIVE,
];
const AMD64_PLT32: &[u32] = &[R_X86_64_PLT32];
const AMD64_GOT: &[u32] = &[
    R_X86_64_GOT32,
    R_X86_64_GOTPCREL,
    R_X86_64_GOTPCRELX,
    R_X86_64_REX_GOTPCRELX,
    R_X86_64_GOTOFF64,
    R_X86_64_GOTPC32,
    R_X86_64_GOT64,
    R_X86_64_GOTPCREL64,
    R_X86_64_GOTPC64,
    R_X86_64_GOTPLT64,
    R_X86_64_PLTOFF64,
    R_X86_64_GOTTPOFF,
];
const I386: &[u32] = &[
    R_386_NONE,
    R_386_32,
    R_386_PC32,
    R_386_GLOB_DAT,
    R_386_RELATIVE,
];
const I386_PLT32: &[u32] = &[R_386_PLT32];
const I386_GOT: &[u32] = &[
    R_386_GOT32,
    R_386_GOT32X,
    R_386_GOTOFF,
    R_386_GOTPC,
    R_386_TLS_GOTIE,
];
const AARCH64: &[u32] = &[
    R_AARCH64_NONE,
    // The same by its old number.
    256,
    R_AARCH64_ABS64,
    R_AARCH64_ABS32,
    R_AARCH64_ABS16,
    R_AARCH64_ADD_ABS_LO12_NC,
    R_AARCH64_LDST8_ABS_LO12_NC,
    R_AARCH64_LDST16_ABS_LO12_NC,
    R_AARCH64_LDST32_ABS_LO12_NC,
    R_AARCH64_LDST64_ABS_LO12_NC,
    R_AARCH64_ADR_PREL_PG_HI21,
    R_AARCH64_ADR_PREL_PG_HI21_NC,
    R_AARCH64_JUMP26,
    R_AARCH64_CALL26,
    R_AARCH64_PREL64,
    R_AARCH64_PREL32,
    R_AARCH64_PREL16,
];
const AARCH64_GOT: &[u32] = &[
    R_AARCH64_ADR_GOT_PAGE,
    R_AARCH64_LD64_GOT_LO12_NC,
    R_AARCH64_LD64_GOTPAGE_LO15,
    R_AARCH64_LD64_GOTOFF_LO15,
    R_AARCH64_GOT_LD_PREL19,
    R_AARCH64_GOTREL64,
    R_AARCH64_GOTREL32,
];

impl Loader {
    /// The loader of a release; of the strictest one if it is not known.
    ///
    /// For aarch64, which had no loader in 8.99.5, it is the first one's.
    pub(super) fn of(arch: Arch, release: Option<Release>) -> Self {
        let newer = release >= Some(Release::WITH_PLT32);
        let known: &[&[u32]] = match arch {
            Arch::Amd64 if newer => &[AMD64, AMD64_PLT32],
            Arch::Amd64 => &[AMD64],
            Arch::I386 => &[I386],
            Arch::Aarch64 => &[AARCH64],
        };
        let release = release.map_or("of any release".into(), |release| release.to_string());
        Self {
            known,
            got: Self::got(arch),
            name: format!("NetBSD/{arch} {release}"),
        }
    }

    /// What may stand in an object before the driver links it: `PLT32` too,
    /// which becomes `PC32` then.
    pub(super) fn before_link(arch: Arch) -> Self {
        let known: &[&[u32]] = match arch {
            Arch::Amd64 => &[AMD64, AMD64_PLT32],
            Arch::I386 => &[I386, I386_PLT32],
            Arch::Aarch64 => &[AARCH64],
        };
        Self {
            known,
            got: Self::got(arch),
            name: format!("the link for {arch}"),
        }
    }

    fn got(arch: Arch) -> &'static [u32] {
        match arch {
            Arch::Amd64 => AMD64_GOT,
            Arch::I386 => I386_GOT,
            Arch::Aarch64 => AARCH64_GOT,
        }
    }

    fn knows(&self, kind: u32) -> bool {
        self.known.iter().any(|table| table.contains(&kind))
    }
}

/// The relocations that the loader will see: those of sections that it loads.
/// Of an object that is not linked yet, debug sections do not count.
pub(super) fn relocations(elf: &Elf, loader: Loader, report: &mut Report) {
    let mut count = 0;
    let mut kinds = BTreeSet::new();
    let (mut unknown, mut got) = (vec![], vec![]);
    for (index, section) in elf.sections.iter().enumerate() {
        if !section.is_loaded() || section.flags & u64::from(SHF_ALLOC) == 0 {
            continue;
        }
        for reloc in &section.relocs {
            count += 1;
            kinds.insert(reloc.kind);
            let what = || {
                format!(
                    "{}: type {} against {}",
                    place(elf, index, reloc.offset),
                    reloc.kind,
                    elf.symbol_name(reloc.symbol)
                )
            };
            if loader.got.contains(&reloc.kind) {
                got.push(what());
            } else if !loader.knows(reloc.kind) {
                unknown.push(what());
            }
        }
    }
    let summary = format!(
        "{count} of {} types, all known to {}",
        kinds.len(),
        loader.name
    );
    report.add("relocations", summary, unknown);
    report.add("got", "no use of a global offset table", got);
}

/// Relocations have to lie within their section and lead to something loaded:
/// the loader does not look.
pub(super) fn relocation_targets(elf: &Elf, report: &mut Report) {
    let mut failures = vec![];
    for (index, section) in elf
        .sections
        .iter()
        .enumerate()
        .filter(|(_, section)| section.is_loaded())
    {
        for reloc in &section.relocs {
            let at = || place(elf, index, reloc.offset);
            if reloc.offset >= section.size {
                failures.push(format!("{}: beyond the end of the section", at()));
            }
            let Some(symbol) = elf.symbols.get(reloc.symbol) else {
                failures.push(format!("{}: there is no symbol {}", at(), reloc.symbol));
                continue;
            };
            if let Place::Section(target) = symbol.place {
                if !elf
                    .sections
                    .get(target)
                    .is_some_and(|target| target.is_loaded())
                {
                    failures.push(format!(
                        "{}: {} is in a section that is not loaded",
                        at(),
                        elf.symbol_name(reloc.symbol)
                    ));
                }
            }
        }
        if section.kind == SHT_NOBITS && !section.relocs.is_empty() {
            failures.push(format!(
                "{}: relocations of a section without bytes are ignored",
                section.name
            ));
        }
    }
    report.add(
        "targets",
        "every relocation leads to a loaded section or to the kernel",
        failures,
    );
}
