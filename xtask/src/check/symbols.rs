//! What the loader demands of the symbol table.

use super::Report;
use crate::elf::{Elf, Place};
use object::elf::{STB_LOCAL, STB_WEAK};
use std::collections::BTreeSet;

/// Is this a name that the loader lets a module define although the kernel has
/// it too?
fn may_clash(name: &str) -> bool {
    const NAMES: [&str; 8] = [
        "_bss_start",
        "__bss_start",
        "_bss_end__",
        "__bss_end__",
        "_edata",
        "_end",
        "__end",
        "__end__",
    ];
    NAMES.contains(&name)
        || name.starts_with("__start_link_set_")
        || name.starts_with("__stop_link_set_")
}

pub(super) fn rules(elf: &Elf, kernel: Option<&BTreeSet<String>>, report: &mut Report) {
    let common = elf
        .symbols
        .iter()
        .filter(|symbol| symbol.place == Place::Common)
        .map(|symbol| {
            format!(
                "{} has no place: the loader knows no common symbols",
                symbol.name
            )
        })
        .collect();
    report.add("common", "none", common);

    let undefined = || {
        // Number 0 is the null symbol.
        elf.symbols
            .iter()
            .skip(1)
            .filter(|symbol| symbol.place == Place::Undefined)
    };
    let weak = undefined()
        .filter(|symbol| symbol.bind == STB_WEAK)
        .map(|symbol| {
            format!(
                "{} is undefined and weak: the loader does not look for it",
                symbol.name
            )
        })
        .collect();
    report.add("weak", "no undefined one", weak);

    let mut failures: Vec<_> = undefined()
        .filter(|symbol| symbol.bind == STB_LOCAL)
        .map(|symbol| format!("{:?} is local, and undefined", symbol.name))
        .collect();
    let count = undefined().count();
    let summary = if let Some(kernel) = kernel {
        failures.extend(
            undefined()
                .filter(|symbol| !kernel.contains(&symbol.name))
                .map(|symbol| format!("{}: nothing given with --kernel has it", symbol.name)),
        );
        format!("{count}, the kernel has them all")
    } else {
        format!("{count} (not compared with a kernel: give --kernel)")
    };
    report.add("undefined", summary, failures);

    let failures = elf
        .globals()
        .filter(|name| !may_clash(name))
        .filter_map(|name| match kernel {
            Some(kernel) if kernel.contains(name) => {
                Some(format!("{name}: the kernel has one too"))
            }
            Some(_) => None,
            None => Some(format!(
                "{name} is defined, and might clash with one of the kernel"
            )),
        })
        .collect();
    report.add("globals", "none that could clash", failures);
}
