//! The table of the cases, for the documentation.

use crate::{
    case::{After, Case, Ends, Told},
    cases,
};
use puffs_rs::kern::Errno;
use std::fmt::Write as _;

/// The errnos that cases end with, by name.
const NAMES: [(i32, &str); 19] = [
    (1, "EPERM"),
    (2, "ENOENT"),
    (4, "EINTR"),
    (5, "EIO"),
    (6, "ENXIO"),
    (7, "E2BIG"),
    (12, "ENOMEM"),
    (13, "EACCES"),
    (16, "EBUSY"),
    (17, "EEXIST"),
    (20, "ENOTDIR"),
    (22, "EINVAL"),
    (28, "ENOSPC"),
    (35, "EAGAIN"),
    (45, "EOPNOTSUPP"),
    (63, "ENAMETOOLONG"),
    (70, "ESTALE"),
    (78, "ENOSYS"),
    (96, "EPROTO"),
];

fn name(errno: i32) -> String {
    let known = NAMES.iter().find(|(number, _)| *number == errno);
    known.map_or_else(|| format!("errno {errno}"), |(_, name)| (*name).to_owned())
}

fn caller(ends: Ends) -> String {
    match ends {
        Ends::Well => "success".into(),
        Ends::With(error) => name(Errno::get(error)),
        Ends::As(words) => words.into(),
    }
}

fn told(told: Told) -> String {
    match told {
        Told::Nothing => "–".into(),
        Told::Complaint(error) => format!("complaint, {}", name(error)),
        Told::Response(0) => "success".into(),
        Told::Response(rv) => name(rv),
        Told::As(words) => words.into(),
    }
}

fn after(after: After) -> &'static str {
    match after {
        After::GoesOn => "goes on",
        After::ComesDown => "comes down",
        After::NeverWas => "none",
    }
}

/// A line of the table: cases that are alike but for what they happen to.
struct Line {
    first: Case,
    variants: Vec<String>,
}

fn alike(a: &Case, b: &Case) -> bool {
    (a.family, a.title, a.caller, a.told, a.after) == (b.family, b.title, b.caller, b.told, b.after)
}

fn lines() -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for case in cases::all() {
        let variant = case.variant.clone();
        match lines.iter_mut().find(|line| alike(&line.first, &case)) {
            Some(line) => line.variants.extend(variant),
            None => lines.push(Line {
                variants: variant.into_iter().collect(),
                first: case,
            }),
        }
    }
    lines
}

/// The whole document.
pub fn markdown() -> String {
    let mut text = String::from(HEAD);
    let mut family = "";
    let lines = lines();
    for line in &lines {
        let case = &line.first;
        if case.family != family {
            family = case.family;
            let names = whole_family(family);
            let uses = |line: &Line| {
                line.first.family == family && among(&line.variants, &names).starts_with("all")
            };
            // Writing to a `String` does not fail.
            let _ = write!(
                text,
                "\n## {}\n\n{}| case | caller | server is told | mount | row |\n|---|---|---|---|---|\n",
                heading(family),
                if lines.iter().any(uses) {
                    format!("*All* are {}.\n\n", names.join(", "))
                } else {
                    String::new()
                }
            );
        }
        let rows: Vec<_> = case.rows.iter().map(u8::to_string).collect();
        let mut title = heading(case.title);
        if !line.variants.is_empty() {
            let _ = write!(title, ": {}", among(&line.variants, &whole_family(family)));
        }
        let _ = writeln!(
            text,
            "| {title} | {} | {} | {} | {} |",
            caller(case.caller),
            told(case.told),
            after(case.after),
            rows.join(", ")
        );
    }
    text
}

/// A list of so many words may stand in a line of the table.
const SHORT: usize = 10;

/// What the cases of a family happen to.
fn whole_family(family: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let of_family = |case: &Case| case.family == family;
    for variant in cases::all().into_iter().filter(of_family) {
        match variant.variant {
            Some(name) if !names.contains(&name) => names.push(name),
            _ => {}
        }
    }
    names
}

/// Some of these, in few words.
fn among(some: &[String], all: &[String]) -> String {
    if all.len() <= SHORT || some.len() <= SHORT {
        return some.join(", ");
    }
    let missing: Vec<_> = all.iter().filter(|name| !some.contains(name)).collect();
    let missing: Vec<_> = missing.into_iter().map(String::as_str).collect();
    match missing.len() {
        0 => "all".into(),
        1..=SHORT => format!("all but {}", missing.join(", ")),
        _ => some.join(", "),
    }
}

fn heading(words: &str) -> String {
    let mut chars = words.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string());
    first.unwrap_or_default() + chars.as_str()
}

const HEAD: &str = "\
# What a server may do, and what comes of it

This file is made from the cases in `tests/script/src/cases`
(`cargo run -p puffs-script > docs/CASES.md`); a test compares the two. Each
line was played: the caller got that, the server was told that, the mount went
on or came down, and when it was gone nothing was left of it. `cargo xtask test`
plays them on the hosted kernel, `cargo xtask rump-test` on a rump kernel with
NetBSD's own putter device.

*Complaint* is a frame of class `PUFFSOP_ERROR`. *Row* is the number of the known
defect of the C code that the case guards against (`docs/DEFECTS.md`).
";
