//! The documentation has the table of the checks as they are.

use puffs_conform::{table, Play};
use std::collections::BTreeSet;

#[test]
fn the_documentation_has_the_table_as_it_is() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/CHECKS.md");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        text == table::markdown(),
        "run: cargo run -p puffs-conform > docs/CHECKS.md"
    );
}

#[test]
fn everything_that_is_played_has_a_name_of_its_own() {
    let mut names = BTreeSet::new();
    for play in Play::all() {
        let name = play.name();
        assert!(names.insert(name.clone()), "{name} is there twice");
    }
}
