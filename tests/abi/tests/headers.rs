//! The wire layout of puffs-rs is that of NetBSD's C headers.
//!
//! `puffs_rs::abi::layout` asserts its table of sizes and offsets of the Rust
//! structs when it is compiled, for whichever architecture that is. Here the
//! table is compared with the headers, for all the architectures. Together
//! they say: the Rust structs are the C ones.

use puffs_abi_test::{directory, Headers, PORTS};
use puffs_rs::abi::consts::ELAST;
use puffs_rs::abi::layout::{ARCHES, CONSTANTS, LAYOUT, TARGET};
use std::collections::BTreeSet;
use std::ops::Range;

/// What the headers define that is not a number of the protocol.
const NO_NUMBERS: &[&str] = &[
    // Guards against double inclusion, and a mark for programs to test.
    "_DEV_PUTTER_PUTTER_H_",
    "_FS_PUFFS_PUFFS_MSGIF_H_",
    "PUFFS_HAVE_FALLOCATE",
    // A string, whose length is in the table.
    "PUFFS_TYPEPREFIX",
    // Other names for fields and structs.
    "pa_root_rdev",
    "puffs_vnmsg_fcntl",
    "puffs_vnmsg_getattr",
    "puffs_vnmsg_ioctl",
    "puffs_vnmsg_read",
    "puffs_vnmsg_setattr",
    "puffs_vnmsg_write",
];

/// Facts about the protocol, one to a line.
type Facts = BTreeSet<String>;

/// The constants, as C expressions, and what we think their values are.
fn constants() -> Vec<(String, i64)> {
    let table = CONSTANTS.iter();
    let table = table.map(|(name, value)| (String::from(*name), *value));
    // Each release may add to the errnos.
    table.chain([(format!("ELAST >= {ELAST}"), 1)]).collect()
}

/// Gathers facts from us and from C, once for each column of the tables, and
/// fails with a list of those that only one of the two has.
fn agree(ours: impl Fn(usize) -> Facts, in_c: impl Fn(&Headers) -> Facts) {
    let dir = directory();
    let constants = constants();
    let mut differences = String::new();
    for (column, port) in PORTS.iter().enumerate() {
        let expressions = constants.iter().map(|(expression, _)| expression.as_str());
        let headers = Headers::read(&dir, port, expressions);
        let (ours, in_c) = (ours(column), in_c(&headers));
        assert!(!in_c.is_empty(), "{}: C has no such facts", port.arch);
        for fact in ours.symmetric_difference(&in_c) {
            let side = if ours.contains(fact) { "ours" } else { "C" };
            differences += &format!("{:8} {side:4} {fact}\n", port.arch);
        }
    }
    assert!(
        differences.is_empty(),
        "puffs-rs and C differ:\n{differences}"
    );
}

/// The facts about the layout of a struct.
fn layout<'f>(
    name: &str,
    size: usize,
    align: usize,
    fields: impl Iterator<Item = (&'f str, &'f Range<usize>)>,
) -> Facts {
    fields
        .map(|(field, span)| format!("{name}.{field} at {span:?}"))
        .chain([format!("{name} of size {size}, aligned to {align}")])
        .collect()
}

#[test]
fn the_tables_have_these_columns() {
    assert_eq!(ARCHES, PORTS.map(|port| port.arch));
    assert_eq!(ARCHES[TARGET], std::env::consts::ARCH);
}

#[test]
fn structs_are_laid_out_alike() {
    agree(
        |column| {
            let facts = LAYOUT.iter().flat_map(|it| {
                let fields = it
                    .fields
                    .iter()
                    .map(|field| (field.name, &field.span[column]));
                layout(it.name, it.size[column], it.align[column], fields)
            });
            facts.collect()
        },
        |headers| {
            let facts = LAYOUT.iter().flat_map(|it| {
                // Up to NetBSD 9 the protocol has the system's own statvfs.
                let system = it.name.strip_prefix("puffs_").unwrap_or(it.name);
                let in_c = headers.structs.get(it.name);
                let Some(in_c) = in_c.or_else(|| headers.structs.get(system)) else {
                    return Facts::new();
                };
                let fields = in_c.fields.iter().map(|(name, span)| (name.as_str(), span));
                layout(it.name, in_c.size, in_c.align, fields)
            });
            facts.collect()
        },
    );
}

#[test]
fn no_struct_is_missing() {
    let others = ["flock", "timespec", "uucred", "vattr"];
    agree(
        |_| {
            let names = LAYOUT.iter().map(|it| it.name);
            names
                .filter(|name| !others.contains(name))
                .map(String::from)
                .collect()
        },
        |headers| headers.own_structs.clone(),
    );
}

#[test]
fn constants_are_equal() {
    let fact = |name: &str, value: i64| format!("{name} is {value}");
    agree(
        |_| {
            let ours = constants().into_iter();
            ours.map(|(name, value)| fact(&name, value)).collect()
        },
        |headers| {
            let in_c = headers.values.iter();
            in_c.map(|(name, value)| fact(name, *value)).collect()
        },
    );
}

#[test]
fn no_constant_is_missing() {
    agree(
        |_| {
            let ours = CONSTANTS.iter().map(|(name, _)| *name);
            let ours: BTreeSet<_> = ours.chain(NO_NUMBERS.iter().copied()).collect();
            ours.into_iter().map(String::from).collect()
        },
        |headers| {
            // Beyond the protocol's own constants we have some of the system.
            let system = CONSTANTS.iter().map(|(name, _)| String::from(*name));
            let system =
                system.filter(|name| !name.starts_with("PUFF") && !name.starts_with("PCACHE"));
            headers
                .own_constants
                .iter()
                .cloned()
                .chain(system)
                .collect()
        },
    );
}
