//! A plain view of a relocatable ELF object, of either class.
//!
//! The kernel's loader looks at raw section types, flags and relocation
//! numbers, so that is what this has; the rules of [`crate::check`] are written
//! in terms of it.

use crate::arch::Arch;
use anyhow::{bail, ensure, Context, Result};
use object::{
    elf,
    read::elf::{FileHeader, Rel, Rela, SectionHeader, Sym},
    Endianness, FileKind, Object, ObjectSection, ObjectSymbol, SectionIndex,
};

/// An object file.
pub struct Elf {
    /// `e_type`
    pub file_type: u16,
    /// `e_machine`
    pub machine: u16,
    /// Is it of class ELF64?
    pub is_64: bool,
    /// The sections, by their index; number 0 is the null section.
    pub sections: Vec<Section>,
    /// The symbols of the last symbol table, by their index.
    pub symbols: Vec<Symbol>,
}

/// A section.
pub struct Section {
    /// Its name, in lossy UTF-8.
    pub name: String,
    /// `sh_type`
    pub kind: u32,
    /// `sh_flags`
    pub flags: u64,
    /// `sh_addralign`
    pub align: u64,
    /// `sh_size`
    pub size: u64,
    /// The bytes; empty if it has none in the file.
    pub data: Vec<u8>,
    /// The relocations that apply to it.
    pub relocs: Vec<Reloc>,
}

/// A relocation.
pub struct Reloc {
    /// Where in the section.
    pub offset: u64,
    /// `ELF_R_TYPE`
    pub kind: u32,
    /// The index of the symbol.
    pub symbol: usize,
    /// The addend, if it is not in the section.
    pub addend: Option<i64>,
    /// Where in the file the low byte of the type is.
    type_at: usize,
}

/// A symbol.
pub struct Symbol {
    /// Its name, in lossy UTF-8.
    pub name: String,
    /// `STB_*`
    pub bind: u8,
    /// `STT_*`
    pub kind: u8,
    /// `st_shndx`, or the full index where that says "extended".
    pub place: Place,
    /// `st_value`
    pub value: u64,
}

/// Where a symbol is defined.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// Nowhere here.
    Undefined,
    /// An absolute value.
    Absolute,
    /// A common block, yet to be placed.
    Common,
    /// A section.
    Section(usize),
}

impl Section {
    /// Does the loader map it? It does so whether or not it is `SHF_ALLOC`.
    pub fn is_loaded(&self) -> bool {
        matches!(self.kind, elf::SHT_PROGBITS | elf::SHT_NOBITS)
    }

    /// Does it hold code?
    pub fn is_text(&self) -> bool {
        self.is_loaded() && self.flags & u64::from(elf::SHF_EXECINSTR) != 0
    }
}

impl Elf {
    /// Reads an object.
    pub fn parse(file: &[u8]) -> Result<Self> {
        match FileKind::parse(file) {
            Ok(FileKind::Elf32) => Self::read::<elf::FileHeader32<Endianness>>(file),
            Ok(FileKind::Elf64) => Self::read::<elf::FileHeader64<Endianness>>(file),
            _ => bail!("not an ELF file"),
        }
    }

    fn read<H: FileHeader<Endian = Endianness>>(file: &[u8]) -> Result<Self> {
        let header = H::parse(file)?;
        let endian = header.endian()?;
        ensure!(endian == Endianness::Little, "not a little-endian file");
        let table = header.sections(endian, file)?;
        let mut sections = Vec::new();
        for (_, section) in table.enumerate() {
            sections.push(Section {
                name: String::from_utf8_lossy(table.section_name(endian, section).unwrap_or(b"?"))
                    .into_owned(),
                kind: section.sh_type(endian),
                flags: section.sh_flags(endian).into(),
                align: section.sh_addralign(endian).into(),
                size: section.sh_size(endian).into(),
                data: section
                    .data(endian, file)
                    .context("a section reaches beyond the file")?
                    .to_vec(),
                relocs: Vec::new(),
            });
        }
        for (_, section) in table.enumerate() {
            let Some(target) = sections.get_mut(section.info_link(endian).0) else {
                continue;
            };
            let file_offset: u64 = section.sh_offset(endian).into();
            let entry_size: u64 = section.sh_entsize(endian).into();
            // r_info comes after r_offset; its low byte first.
            let info_offset = if H::is_type_64_sized() { 8 } else { 4 };
            let type_at =
                |index: usize| (file_offset + info_offset) as usize + index * entry_size as usize;
            if let Some((entries, _)) = section.rel(endian, file)? {
                target
                    .relocs
                    .extend(entries.iter().enumerate().map(|(index, entry)| Reloc {
                        offset: entry.r_offset(endian).into(),
                        kind: entry.r_type(endian),
                        symbol: entry.r_sym(endian) as usize,
                        addend: None,
                        type_at: type_at(index),
                    }));
            }
            if let Some((entries, _)) = section.rela(endian, file)? {
                target
                    .relocs
                    .extend(entries.iter().enumerate().map(|(index, entry)| Reloc {
                        offset: entry.r_offset(endian).into(),
                        kind: entry.r_type(endian, false),
                        symbol: entry.r_sym(endian, false) as usize,
                        addend: Some(entry.r_addend(endian).into()),
                        type_at: type_at(index),
                    }));
            }
        }
        let table = table.symbols(endian, file, elf::SHT_SYMTAB)?;
        let mut symbols = Vec::new();
        for (index, symbol) in table.enumerate() {
            symbols.push(Symbol {
                name: String::from_utf8_lossy(table.symbol_name(endian, symbol).unwrap_or(b"?"))
                    .into_owned(),
                bind: symbol.st_bind(),
                kind: symbol.st_type(),
                place: match symbol.st_shndx(endian) {
                    elf::SHN_UNDEF => Place::Undefined,
                    elf::SHN_ABS => Place::Absolute,
                    elf::SHN_COMMON => Place::Common,
                    _ => match table.symbol_section(endian, symbol, index)? {
                        Some(SectionIndex(section)) => Place::Section(section),
                        None => Place::Absolute,
                    },
                },
                value: symbol.st_value(endian).into(),
            });
        }
        Ok(Self {
            file_type: header.e_type(endian),
            machine: header.e_machine(endian),
            is_64: H::is_type_64_sized(),
            sections,
            symbols,
        })
    }

    /// The port whose code it is, if it is one of ours.
    pub fn arch(&self) -> Option<Arch> {
        Arch::of_machine(self.machine)
    }

    /// The names that it does not define.
    pub fn undefined(&self) -> impl Iterator<Item = &str> {
        self.symbols
            .iter()
            .filter(|symbol| symbol.place == Place::Undefined && !symbol.name.is_empty())
            .map(|symbol| symbol.name.as_str())
    }

    /// The names of its global (not weak) definitions.
    pub fn globals(&self) -> impl Iterator<Item = &str> {
        self.symbols
            .iter()
            .filter(|symbol| symbol.bind == elf::STB_GLOBAL && symbol.place != Place::Undefined)
            .map(|symbol| symbol.name.as_str())
    }

    /// The name of a symbol, or of the section that it stands for.
    pub fn symbol_name(&self, index: usize) -> &str {
        match self.symbols.get(index) {
            Some(symbol) if symbol.kind == elf::STT_SECTION => match symbol.place {
                Place::Section(section) => self
                    .sections
                    .get(section)
                    .map_or("?", |section| &section.name),
                _ => "?",
            },
            Some(symbol) => &symbol.name,
            None => "?",
        }
    }

    /// The function that an offset of a section lies in, with the offset from
    /// its beginning.
    pub fn function_at(&self, section: usize, offset: u64) -> Option<(&str, u64)> {
        self.symbols
            .iter()
            .filter(|symbol| {
                symbol.place == Place::Section(section) && symbol.kind != elf::STT_SECTION
            })
            .filter(|symbol| {
                symbol.value <= offset && !symbol.name.is_empty() && !symbol.name.starts_with('$')
            })
            .max_by_key(|symbol| symbol.value)
            .map(|symbol| (symbol.name.as_str(), offset - symbol.value))
    }

    /// Changes every `PLT32` relocation, which `file` is parsed from, into the
    /// `PC32` that it amounts to. Returns how many there were.
    pub fn turn_plt32_into_pc32(&self, file: &mut [u8]) -> usize {
        let (plt32, pc32) = match self.arch() {
            Some(Arch::Amd64) => (elf::R_X86_64_PLT32, elf::R_X86_64_PC32),
            Some(Arch::I386) => (elf::R_386_PLT32, elf::R_386_PC32),
            _ => return 0,
        };
        let mut changed = 0;
        for reloc in self.sections.iter().flat_map(|section| &section.relocs) {
            if reloc.kind == plt32 {
                // Both numbers fit into the low byte of the type.
                file[reloc.type_at] = pc32 as u8;
                changed += 1;
            }
        }
        changed
    }
}

/// The string that a symbol of a shared library stands for.
pub fn dynamic_string(file: &[u8], name: &str) -> Result<String> {
    let file = object::File::parse(file)?;
    let string = file
        .dynamic_symbols()
        .find(|symbol| symbol.name() == Ok(name))
        .and_then(|symbol| {
            let section = file.section_by_index(symbol.section_index()?).ok()?;
            let data = section.data_range(symbol.address(), symbol.size()).ok()??;
            let end = data.iter().position(|&byte| byte == 0)?;
            String::from_utf8(data[..end].to_vec()).ok()
        });
    string.with_context(|| format!("it has no string {name}"))
}
