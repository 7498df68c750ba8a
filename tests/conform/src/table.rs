//! The table of the checks, for the documentation.

use crate::{checks, Check, Flags};
use std::fmt::Write as _;

/// A line of the table: a check, and which of many alike there are.
struct Line {
    first: Check,
    variants: Vec<String>,
    flags: Vec<Flags>,
}

fn lines() -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for check in checks::all() {
        let alike =
            |line: &&mut Line| (line.first.family, line.first.title) == (check.family, check.title);
        if lines.iter_mut().find(alike).is_none() {
            lines.push(Line {
                first: check.clone(),
                variants: Vec::new(),
                flags: Vec::new(),
            });
        }
        let Some(line) = lines.iter_mut().find(alike) else {
            unreachable!("it was put there");
        };
        if let Some(variant) = check.variant {
            if !line.variants.contains(&variant) {
                line.variants.push(variant);
            }
        }
        for flags in check.flags {
            if !line.flags.contains(flags) {
                line.flags.push(*flags);
            }
        }
    }
    lines
}

/// Some flags, in few words.
fn among(flags: &[Flags]) -> String {
    let name = |flags: &Flags| flags.name.to_owned();
    let missing: Vec<_> = Flags::ALL
        .iter()
        .filter(|one| !flags.contains(one))
        .map(name)
        .collect();
    match missing.len() {
        0 => "all".into(),
        1 | 2 => format!("all but {}", missing.join(", ")),
        _ => flags.iter().map(name).collect::<Vec<_>>().join(", "),
    }
}

fn heading(words: &str) -> String {
    let words = words.replace('_', " ");
    let mut chars = words.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string());
    first.unwrap_or_default() + chars.as_str()
}

/// The whole document.
pub fn markdown() -> String {
    let lines = lines();
    let mut text = format!(
        "{HEAD}\nThere are {} checks, {} counted under each of their flags.\n",
        lines.len(),
        checks::all().len()
    );
    let mut family = "";
    for line in &lines {
        let check = &line.first;
        if check.family != family {
            family = check.family;
            // Writing to a `String` does not fail.
            let _ = write!(
                text,
                "\n## {}\n\n| what is true | flags | needs |\n|---|---|---|\n",
                heading(family)
            );
        }
        let mut title = heading(check.title);
        if !line.variants.is_empty() {
            let _ = write!(title, ": {}", line.variants.join(", "));
        }
        let needs: Vec<_> = check.needs.iter().map(|need| format!("{need:?}")).collect();
        let _ = writeln!(
            text,
            "| {title} | {} | {} |",
            among(&line.flags),
            needs.join(", ")
        );
    }
    text
}

const HEAD: &str = "\
# What a mount has to do as a file system

This file is made from the checks in `tests/conform/src/checks`
(`cargo run -p puffs-conform > docs/CHECKS.md`); a test compares the two.
`cargo xtask test` plays them on the hosted kernel, `cargo xtask rump-test` on a
rump kernel, and `puffs-guest` inside a NetBSD, under each of the flags. What a
world must be able to for a check is in the last column
(`puffs_script::world::Ability`). Where a check is not played under a flag, a
comment beside it says what the C code gets wrong under it.
";
