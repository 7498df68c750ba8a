//! `link_set_modules`, by which the kernel finds a module's `struct modinfo`.

use super::{Release, Report};
use crate::elf::{Elf, Place, Reloc};
use object::elf::STB_LOCAL;

/// The link set.
const LINK_SET: &str = "link_set_modules";

/// What a `struct modinfo` says.
pub(super) struct ModInfo {
    /// `mi_version`
    pub(super) version: u32,
    name: String,
    required: Option<String>,
}

/// Finds the one that there must be.
pub(super) fn find(elf: &Elf) -> Result<ModInfo, String> {
    let pointer = if elf.is_64 { 8 } else { 4 };
    let mut sets = elf
        .sections
        .iter()
        .filter(|section| section.name == LINK_SET && section.is_loaded());
    let set = sets
        .next()
        .ok_or(format!("there is no section {LINK_SET}"))?;
    if sets.next().is_some() {
        return Err(format!("there is more than one section {LINK_SET}"));
    }
    if set.size != pointer {
        return Err(format!(
            "{LINK_SET} has {} bytes, not one pointer ({pointer})",
            set.size
        ));
    }
    let [reloc] = &set.relocs[..] else {
        return Err(format!(
            "{LINK_SET} has {} relocations, not one",
            set.relocs.len()
        ));
    };
    let bind = elf.symbols.get(reloc.symbol).map(|symbol| symbol.bind);
    if bind != Some(STB_LOCAL) {
        // The kernel reads the structure before it does global relocations.
        return Err(format!(
            "{LINK_SET} points to {}, which is not local",
            elf.symbol_name(reloc.symbol)
        ));
    }
    let (section, offset) =
        follow(elf, set.data.as_slice(), reloc).ok_or(format!("{LINK_SET} points nowhere"))?;
    // struct modinfo: u_int version, an enum, three pointers (command, name,
    // required modules).
    let field = |offset: u64| {
        let section = elf.sections.get(section)?;
        let reloc = section.relocs.iter().find(|reloc| reloc.offset == offset)?;
        let (section, start) = follow(elf, &section.data, reloc)?;
        let text = elf
            .sections
            .get(section)?
            .data
            .get(usize::try_from(start).ok()?..)?;
        let end = text.iter().position(|byte| *byte == 0)?;
        Some(String::from_utf8_lossy(&text[..end]).into_owned())
    };
    let version = elf.sections[section]
        .data
        .get(offset as usize..offset as usize + 4)
        .and_then(|bytes| bytes.try_into().ok())
        .map(u32::from_le_bytes)
        .ok_or("struct modinfo reaches beyond its section")?;
    Ok(ModInfo {
        version,
        name: field(offset + 8 + pointer).ok_or("struct modinfo has no name")?,
        required: field(offset + 8 + 2 * pointer),
    })
}

/// Where a relocation for a pointer leads to.
fn follow(elf: &Elf, data: &[u8], reloc: &Reloc) -> Option<(usize, u64)> {
    let symbol = elf.symbols.get(reloc.symbol)?;
    let Place::Section(section) = symbol.place else {
        return None;
    };
    let addend = match reloc.addend {
        Some(addend) => addend,
        None => {
            let at = usize::try_from(reloc.offset).ok()?;
            i64::from(i32::from_le_bytes(data.get(at..at + 4)?.try_into().ok()?))
        }
    };
    elf.sections.get(section)?;
    Some((section, symbol.value.checked_add_signed(addend)?))
}

pub(super) fn rules(found: Result<ModInfo, String>, release: Option<Release>, report: &mut Report) {
    let info = match found {
        Ok(info) => info,
        Err(why) => return report.add("modinfo", "", vec![why]),
    };
    let required = info.required.as_deref().unwrap_or("no other module");
    report.add(
        "modinfo",
        format!("module {}, needs {required}", info.name),
        vec![],
    );

    let made_for = Release::of_version(info.version);
    let summary = format!("made for NetBSD {made_for} ({})", info.version);
    let failures = match release {
        Some(release) if !release.takes_module(info.version) => {
            vec![format!("{summary}, which NetBSD {release} rejects")]
        }
        _ => vec![],
    };
    report.add("version", summary, failures);
}
