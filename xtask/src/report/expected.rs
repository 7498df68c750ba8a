//! The list of expected results.
//!
//! A test that the list does not name is expected to pass, or to be skipped. An
//! entry is a line and its reason, which stands indented under it:
//!
//! ```text
//! # PATTERN   OUTCOME[,OUTCOME…] [on=PATTERN] [netbsd=PATTERN] [library=PATTERN]
//! fs/vfs/t_unpriv:puffs_dirperms  fail  on=rump netbsd=8.*
//!     The directory's owner is asked for what the group may do.
//! ```
//!
//! A pattern is a name in which `*` stands for anything. The outcomes are
//! `pass`, `fail`, `skip`, `panic` and `hang`; `any` is all of them. The first
//! entry that fits a result counts, and another outcome than it says is a
//! difference, also a better one.

use super::{Kind, Run, TestResult};
use crate::sh;
use anyhow::{ensure, Context, Result};
use glob::Pattern;
use std::path::Path;

/// The list.
pub struct Expected {
    entries: Vec<Entry>,
}

/// What is expected of tests, and why.
pub struct Entry {
    line: usize,
    test: Pattern,
    outcomes: Vec<Kind>,
    conditions: Vec<(Condition, Pattern)>,
    reason: String,
}

/// What of a run a pattern is for.
#[derive(Clone, Copy)]
enum Condition {
    On,
    NetBsd,
    Library,
}

impl Expected {
    /// Reads the list.
    pub fn read(file: &Path) -> Result<Self> {
        let text = sh::read(file)?;
        Self::parse(&String::from_utf8_lossy(&text)).with_context(|| file.display().to_string())
    }

    /// Parses the list.
    pub fn parse(text: &str) -> Result<Self> {
        let mut entries: Vec<Entry> = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            if line.starts_with(char::is_whitespace) {
                let entry = entries.last_mut();
                let entry = entry.with_context(|| format!("line {number}: a reason of nothing"))?;
                if !entry.reason.is_empty() {
                    entry.reason.push(' ');
                }
                entry.reason += line.trim();
            } else {
                let entry = Entry::parse(line, number);
                entries.push(entry.with_context(|| format!("line {number}: {line}"))?);
            }
        }
        for entry in &entries {
            ensure!(!entry.reason.is_empty(), "line {}: no reason", entry.line);
        }
        Ok(Self { entries })
    }

    /// What the list says of a test.
    pub fn find(&self, run: &Run, result: &TestResult) -> Option<&Entry> {
        let id = result.id();
        self.entries.iter().find(|entry| {
            entry.test.matches(&id)
                && entry.conditions.iter().all(|(condition, pattern)| {
                    pattern.matches(match condition {
                        Condition::On => &run.on,
                        Condition::NetBsd => &run.netbsd,
                        Condition::Library => &run.library,
                    })
                })
        })
    }
}

impl Entry {
    fn parse(line: &str, number: usize) -> Result<Self> {
        let mut words = line.split_whitespace();
        let test = pattern(words.next().unwrap_or_default())?;
        let names = words.next().context("what is expected?")?;
        let mut outcomes = Vec::new();
        for name in names.split(',') {
            if name == "any" {
                outcomes.extend(Kind::ALL);
            } else {
                let kind = Kind::of_name(name);
                outcomes.push(kind.with_context(|| format!("there is no outcome {name:?}"))?);
            }
        }
        let mut conditions = Vec::new();
        for word in words {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            let condition = match name {
                "on" => Condition::On,
                "netbsd" => Condition::NetBsd,
                "library" => Condition::Library,
                _ => anyhow::bail!("there is no condition {word:?}; a reason has its own line"),
            };
            conditions.push((condition, pattern(value)?));
        }
        Ok(Self {
            line: number,
            test,
            outcomes,
            conditions,
            reason: String::new(),
        })
    }

    /// The pattern of the tests that it is for.
    pub fn tests(&self) -> &str {
        self.test.as_str()
    }

    /// Is that an outcome that is expected?
    pub fn allows(&self, kind: Kind) -> bool {
        self.outcomes.contains(&kind)
    }

    /// The line of the list that it begins on.
    pub fn line(&self) -> usize {
        self.line
    }

    /// Why that is expected.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// What is expected, in words.
    pub fn wanted(&self) -> String {
        let kinds = self.outcomes.iter().map(Kind::to_string);
        kinds.collect::<Vec<_>>().join(" or ")
    }
}

fn pattern(text: &str) -> Result<Pattern> {
    Pattern::new(text).with_context(|| format!("{text:?} is no pattern"))
}
