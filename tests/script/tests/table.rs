//! The documentation has the table of the cases as they are.

use puffs_script::{cases, table};
use std::collections::BTreeSet;

#[test]
fn the_documentation_has_the_table_as_it_is() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/CASES.md");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        text == table::markdown(),
        "run: cargo run -p puffs-script > docs/CASES.md"
    );
}

#[test]
fn every_case_has_a_name_of_its_own() {
    let mut names = BTreeSet::new();
    for case in cases::all() {
        assert!(names.insert(case.name()), "{case:?} is there twice");
    }
}
