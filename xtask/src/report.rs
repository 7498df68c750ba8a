//! The results of test runs, what was expected of them, and reports.
//!
//! A [`Report`] has a [`Run`] for each kernel and library that tests were run
//! on. Compared with the list of what is [`Expected`] it is [`Judged`], and can
//! be written: as TAP and JUnit XML for programs, as one page of Markdown or
//! HTML for people.

mod expected;
mod page;

pub use expected::{Entry, Expected};

use crate::{paths, sh};
use anyhow::{ensure, Context, Result};
use clap::Args;
use page::{Block, Cell, Mark};
use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite, XmlString};
use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    path::PathBuf,
    time::Duration,
};

/// How a test ended, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// As its author wants it.
    Pass,
    /// Otherwise.
    Fail,
    /// It was not run, or gave up before it said anything.
    Skip,
    /// With a panic of the kernel, or what would be one.
    Panic,
    /// Not within its time.
    Hang,
}

impl Kind {
    const ALL: [Kind; 5] = [Kind::Pass, Kind::Fail, Kind::Skip, Kind::Panic, Kind::Hang];

    /// The kind that is called so.
    fn of_name(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Pass => "pass",
            Kind::Fail => "fail",
            Kind::Skip => "skip",
            Kind::Panic => "panic",
            Kind::Hang => "hang",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How a test ended, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// See [`Kind::Pass`].
    Pass,
    /// See [`Kind::Fail`].
    Fail(String),
    /// See [`Kind::Skip`].
    Skip(String),
    /// See [`Kind::Panic`].
    Panic(String),
    /// See [`Kind::Hang`]; with where it hangs, as far as that is known.
    Hang(String),
}

impl Outcome {
    /// In a word.
    pub fn kind(&self) -> Kind {
        match self {
            Outcome::Pass => Kind::Pass,
            Outcome::Fail(_) => Kind::Fail,
            Outcome::Skip(_) => Kind::Skip,
            Outcome::Panic(_) => Kind::Panic,
            Outcome::Hang(_) => Kind::Hang,
        }
    }

    /// The reason; empty for a test that passed.
    pub fn reason(&self) -> &str {
        match self {
            Outcome::Pass => "",
            Outcome::Fail(why) | Outcome::Skip(why) | Outcome::Panic(why) | Outcome::Hang(why) => {
                why
            }
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason() {
            "" => write!(f, "{}", self.kind()),
            why => write!(f, "{}: {why}", self.kind()),
        }
    }
}

/// What came of a test.
#[derive(Clone, Debug)]
pub struct TestResult {
    /// The program or the collection that it is in.
    pub suite: String,
    /// Its name there.
    pub name: String,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took.
    pub seconds: f64,
    /// What it printed, or the kernel meanwhile.
    pub output: String,
}

impl TestResult {
    /// The name of the test in lists and reports.
    pub fn id(&self) -> String {
        format!("{}:{}", self.suite, self.name)
    }
}

/// Tests that were run on one kernel with one library or module.
#[derive(Clone, Debug)]
pub struct Run {
    /// What kind of kernel: `rump` or `guest`.
    pub on: String,
    /// Its release.
    pub netbsd: String,
    /// Whose puffs: `ours` or `stock`.
    pub library: String,
    /// What came of each test.
    pub results: Vec<TestResult>,
}

impl Run {
    /// A heading for its results.
    fn title(&self) -> String {
        format!("{} ({} {})", self.library, self.on, self.netbsd)
    }
}

/// Everything that one command found out.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was done.
    pub title: String,
    /// What a reader wants to know of how: names and values.
    pub facts: Vec<(String, String)>,
    /// The runs, of which readers compare the same test.
    pub runs: Vec<Run>,
}

impl Report {
    /// Compares the results with what is expected of them.
    pub fn judge<'a>(&'a self, expected: &'a Expected) -> Judged<'a> {
        let mut verdicts = Vec::new();
        for run in &self.runs {
            for result in &run.results {
                let entry = expected.find(run, result);
                let kind = result.outcome.kind();
                let as_expected = match entry {
                    Some(entry) => entry.allows(kind),
                    None => matches!(kind, Kind::Pass | Kind::Skip),
                };
                verdicts.push(Verdict {
                    run,
                    result,
                    entry,
                    as_expected,
                });
            }
        }
        Judged {
            report: self,
            verdicts,
        }
    }
}

/// A result beside what was expected.
pub struct Verdict<'a> {
    /// The run that it is of.
    pub run: &'a Run,
    /// The result.
    pub result: &'a TestResult,
    /// What the list says of the test; nothing is: it passes, or is skipped.
    pub entry: Option<&'a Entry>,
    /// Is it so?
    pub as_expected: bool,
}

impl Verdict<'_> {
    /// What was expected, with the reason, beside what came of it.
    fn difference(&self) -> String {
        let outcome = &self.result.outcome;
        match self.entry {
            None => outcome.to_string(),
            Some(entry) => format!(
                "{outcome}; the list (line {}) wants {}: {}",
                entry.line(),
                entry.wanted(),
                entry.reason()
            ),
        }
    }
}

/// A report whose results were compared.
pub struct Judged<'a> {
    report: &'a Report,
    verdicts: Vec<Verdict<'a>>,
}

/// How much of what a test printed a page has.
const OUTPUT_LINES: usize = 80;

impl<'a> Judged<'a> {
    /// The results that are not as expected.
    pub fn differences(&self) -> impl Iterator<Item = &Verdict<'a>> {
        self.verdicts.iter().filter(|verdict| !verdict.as_expected)
    }

    /// The Test Anything Protocol, version 14. A test that fails as expected is
    /// what TAP calls `TODO`, which is no failure.
    pub fn tap(&self) -> String {
        let mut text = format!("TAP version 14\n1..{}\n", self.verdicts.len());
        for (number, verdict) in self.verdicts.iter().enumerate() {
            let result = verdict.result;
            let outcome = &result.outcome;
            let kind = outcome.kind();
            let passed = matches!(kind, Kind::Pass | Kind::Skip) && verdict.as_expected;
            let directive = match (verdict.as_expected, kind) {
                (true, Kind::Pass) | (false, _) => String::new(),
                (true, Kind::Skip) => format!(" # SKIP {}", one_line(outcome.reason())),
                (true, _) => {
                    let why = verdict.entry.map_or("", Entry::reason);
                    format!(" # TODO {}", one_line(why))
                }
            };
            let title = format!("{}: {}", verdict.run.title(), result.id());
            let title = one_line(&title).replace('\\', r"\\").replace('#', r"\#");
            // Writing to a `String` does not fail.
            let _ = writeln!(
                text,
                "{} {} - {title}{directive}",
                if passed { "ok" } else { "not ok" },
                number + 1
            );
            let _ = writeln!(text, "  ---\n  seconds: {:.3}", result.seconds);
            if !passed {
                let message = match verdict.as_expected {
                    true => outcome.to_string(),
                    false => verdict.difference(),
                };
                let _ = writeln!(text, "  outcome: {kind}\n  message: {}", quoted(&message));
                let output = plain(&result.output);
                if !output.trim().is_empty() {
                    text += "  output: |2\n";
                    for line in output.lines() {
                        let _ = writeln!(text, "    {line}");
                    }
                }
            }
            text += "  ...\n";
        }
        text
    }

    /// JUnit's XML, a suite for each of ours in each run. A test that fails as
    /// expected counts as skipped, with the reason.
    pub fn junit(&self) -> Result<String> {
        let mut report = quick_junit::Report::new(plain(&self.report.title));
        for run in &self.report.runs {
            let mut suites: Vec<TestSuite> = Vec::new();
            let of_run = |verdict: &&Verdict<'_>| std::ptr::eq(verdict.run, run);
            for verdict in self.verdicts.iter().filter(of_run) {
                let result = verdict.result;
                let name = XmlString::from(format!("{}: {}", run.title(), result.suite));
                let case = self.junit_case(verdict);
                match suites.iter_mut().find(|suite| suite.name == name) {
                    Some(suite) => {
                        suite.add_test_case(case);
                    }
                    None => {
                        let mut suite = TestSuite::new(name);
                        suite.add_test_case(case);
                        suites.push(suite);
                    }
                }
            }
            report.add_test_suites(suites);
        }
        report.to_string().context("cannot write JUnit XML")
    }

    fn junit_case(&self, verdict: &Verdict<'_>) -> TestCase {
        let result = verdict.result;
        let outcome = &result.outcome;
        let mut status = match (verdict.as_expected, outcome.kind()) {
            (true, Kind::Pass) => TestCaseStatus::success(),
            (true, _) => TestCaseStatus::skipped(),
            (false, Kind::Panic | Kind::Hang) => TestCaseStatus::non_success(NonSuccessKind::Error),
            (false, _) => TestCaseStatus::non_success(NonSuccessKind::Failure),
        };
        let message = match (verdict.as_expected, verdict.entry) {
            (true, Some(entry)) => format!("{outcome}; as expected: {}", entry.reason()),
            (true, None) => outcome.to_string(),
            (false, _) => verdict.difference(),
        };
        if (verdict.as_expected, outcome.kind()) != (true, Kind::Pass) {
            status.set_message(message);
        }
        if !verdict.as_expected {
            status.set_type(outcome.kind().name());
        }
        let mut case = TestCase::new(result.name.as_str(), status);
        case.set_classname(result.suite.as_str());
        case.set_time(Duration::try_from_secs_f64(result.seconds).unwrap_or_default());
        if outcome.kind() != Kind::Pass || !verdict.as_expected {
            case.set_system_out(result.output.as_str());
        }
        case
    }

    /// A page of Markdown.
    pub fn markdown(&self) -> String {
        page::markdown(&self.page())
    }

    /// A page of HTML, which needs no other file.
    pub fn html(&self) -> String {
        page::html(&self.report.title, &self.page())
    }

    fn page(&self) -> Vec<Block> {
        let mut page = vec![Block::Heading(1, self.report.title.clone())];
        let facts = self.report.facts.iter();
        if !self.report.facts.is_empty() {
            page.push(Block::Table {
                head: vec!["".into(), "".into()],
                rows: facts
                    .map(|(name, value)| vec![Cell::from(name), Cell::from(value)])
                    .collect(),
            });
        }
        let count = self.differences().count();
        page.push(Block::Heading(2, "Differences".into()));
        page.push(Block::Text(match count {
            0 => format!("All {} results are as expected.", self.verdicts.len()),
            1 => "One result is not as expected.".into(),
            _ => format!("{count} results are not as expected."),
        }));
        for verdict in self.differences() {
            let title = format!("{}: {}", verdict.run.title(), verdict.result.id());
            page.push(Block::Heading(3, title));
            page.push(Block::Text(verdict.difference()));
            page.push(Block::Output(tail(&plain(&verdict.result.output))));
        }
        page.push(Block::Heading(2, "Counts".into()));
        page.push(self.counts());
        page.extend(self.known());
        page.extend(self.skipped());
        page.push(Block::Heading(2, "All tests".into()));
        for (suite, rows) in self.by_suite() {
            page.push(Block::Fold {
                title: format!("{suite}: {}", rows.len()),
                blocks: vec![self.tests(rows)],
            });
        }
        page
    }

    /// How many tests of each suite ended how, in each run.
    fn counts(&self) -> Block {
        let row = |name: &str, suite: Option<&str>| {
            let mut cells = vec![Cell::from(name)];
            for run in &self.report.runs {
                let of_run = self.verdicts.iter().filter(|verdict| {
                    std::ptr::eq(verdict.run, run)
                        && suite.is_none_or(|suite| verdict.result.suite == suite)
                });
                let of_run: Vec<_> = of_run.collect();
                let mark = match of_run.iter().all(|verdict| verdict.as_expected) {
                    true => Mark::None,
                    false => Mark::Bad,
                };
                let kinds = of_run.iter().map(|verdict| verdict.result.outcome.kind());
                cells.push(Cell::marked(count(kinds), mark));
            }
            cells
        };
        let suites = self.by_suite();
        let mut rows: Vec<_> = suites
            .iter()
            .map(|(suite, _)| row(suite, Some(suite)))
            .collect();
        rows.push(row("all", None));
        Block::Table {
            head: self.head("suite"),
            rows,
        }
    }

    /// What became of the entries of the list.
    fn known(&self) -> Vec<Block> {
        let mut of_entry: BTreeMap<(usize, &str), Vec<&Verdict<'_>>> = BTreeMap::new();
        for verdict in &self.verdicts {
            if let Some(entry) = verdict.entry {
                let key = (entry.line(), &*verdict.run.library);
                of_entry.entry(key).or_default().push(verdict);
            }
        }
        let rows = of_entry.values().filter_map(|verdicts| {
            let entry = verdicts[0].entry?;
            let kinds = verdicts.iter().map(|verdict| verdict.result.outcome.kind());
            Some(vec![
                Cell::from(entry.tests()),
                Cell::from(verdicts[0].run.title()),
                Cell::from(count(kinds)),
                Cell::from(entry.reason()),
            ])
        });
        let head = ["tests", "run", "outcomes", "reason"];
        section(
            "What the list of expected results names",
            &head,
            rows.collect(),
        )
    }

    /// What was skipped.
    fn skipped(&self) -> Vec<Block> {
        let mut reasons: BTreeMap<(String, &str), usize> = BTreeMap::new();
        for verdict in &self.verdicts {
            if let Outcome::Skip(why) = &verdict.result.outcome {
                *reasons.entry((verdict.run.title(), why)).or_default() += 1;
            }
        }
        let rows = reasons.into_iter().map(|((run, why), count)| {
            vec![
                Cell::from(run),
                Cell::from(count.to_string()),
                Cell::from(why),
            ]
        });
        section(
            "What was skipped",
            &["run", "tests", "reason"],
            rows.collect(),
        )
    }

    fn head(&self, first: &str) -> Vec<String> {
        let titles = self.report.runs.iter().map(Run::title);
        std::iter::once(first.to_owned()).chain(titles).collect()
    }

    fn tests(&self, rows: Vec<Row<'a, '_>>) -> Block {
        let cell = |verdict: Option<&Verdict<'_>>| match verdict {
            None => Cell::from("–"),
            Some(verdict) => {
                let kind = verdict.result.outcome.kind();
                let mark = match (verdict.as_expected, kind) {
                    (false, _) => Mark::Bad,
                    (true, Kind::Pass) => Mark::Good,
                    (true, _) => Mark::Known,
                };
                Cell::marked(verdict.result.outcome.to_string(), mark)
            }
        };
        let row = |row: Row<'_, '_>| {
            let name = Cell::from(row.name);
            std::iter::once(name)
                .chain(row.verdicts.into_iter().map(cell))
                .collect()
        };
        Block::Table {
            head: self.head("test"),
            rows: rows.into_iter().map(row).collect(),
        }
    }

    /// The tests in the order in which they first occur, by suite: for each
    /// what came of it in every run.
    fn by_suite(&self) -> Vec<(&'a str, Vec<Row<'a, '_>>)> {
        let mut suites: Vec<(&str, Vec<Row<'_, '_>>)> = Vec::new();
        let mut places: BTreeMap<(&str, &str), (usize, usize)> = BTreeMap::new();
        for verdict in &self.verdicts {
            let (suite, name) = (&*verdict.result.suite, &*verdict.result.name);
            let run = self.report.runs.iter();
            let run = run.take_while(|run| !std::ptr::eq(*run, verdict.run));
            let (at, row) = *places.entry((suite, name)).or_insert_with(|| {
                let at = suites.iter().position(|(name, _)| *name == suite);
                let at = at.unwrap_or_else(|| {
                    suites.push((suite, Vec::new()));
                    suites.len() - 1
                });
                suites[at].1.push(Row {
                    name,
                    verdicts: self.report.runs.iter().map(|_| None).collect(),
                });
                (at, suites[at].1.len() - 1)
            });
            suites[at].1[row].verdicts[run.count()] = Some(verdict);
        }
        suites
    }

    /// The table for a terminal: each test, how it ended in each run, and why
    /// if it did not pass.
    pub fn table(&self) -> String {
        let runs = &self.report.runs;
        let mut text = String::new();
        let suites = self.by_suite();
        let rows = suites
            .iter()
            .flat_map(|(suite, rows)| rows.iter().map(move |row| (suite, row)));
        let rows: Vec<_> = rows
            .map(|(suite, row)| (format!("{suite}:{}", row.name), row))
            .collect();
        let width = rows.iter().map(|(id, _)| id.len()).max().unwrap_or(0);
        let _ = write!(text, "{:<width$}", "test");
        for run in runs {
            let _ = write!(text, "  {:<6}", run.library);
        }
        text.push('\n');
        for (id, row) in &rows {
            let _ = write!(text, "{id:<width$}");
            for verdict in &row.verdicts {
                let kind = verdict.map_or("-", |verdict| verdict.result.outcome.kind().name());
                let _ = write!(text, "  {kind:<6}");
            }
            for verdict in row.verdicts.iter().flatten() {
                let reason = verdict.result.outcome.reason();
                let known = match (verdict.as_expected, verdict.entry) {
                    (false, Some(entry)) => format!(", NOT {}", entry.wanted()),
                    (false, None) => ", NOT EXPECTED".into(),
                    (true, _) => String::new(),
                };
                if !reason.is_empty() || !known.is_empty() {
                    let library = &verdict.run.library;
                    let _ = write!(text, "  [{library}: {}{known}]", one_line(reason));
                }
            }
            text.truncate(text.trim_end().len());
            text.push('\n');
        }
        for run in runs {
            let kinds = run.results.iter().map(|result| result.outcome.kind());
            let _ = writeln!(text, "{}: {}", run.title(), count(kinds));
        }
        text
    }
}

/// A table under a heading; nothing, if the table would be empty.
fn section(title: &str, head: &[&str], rows: Vec<Vec<Cell>>) -> Vec<Block> {
    if rows.is_empty() {
        return Vec::new();
    }
    vec![
        Block::Heading(2, title.into()),
        Block::Table {
            head: head.iter().map(|&title| title.into()).collect(),
            rows,
        },
    ]
}

/// A test, and what came of it in each run.
struct Row<'a, 'v> {
    name: &'a str,
    verdicts: Vec<Option<&'v Verdict<'a>>>,
}

/// How many ended how, in words.
pub fn count(kinds: impl Iterator<Item = Kind>) -> String {
    let mut counts: BTreeMap<Kind, usize> = BTreeMap::new();
    for kind in kinds {
        *counts.entry(kind).or_default() += 1;
    }
    let counts = counts.iter().map(|(kind, count)| format!("{count} {kind}"));
    match counts.collect::<Vec<_>>() {
        none if none.is_empty() => "–".into(),
        some => some.join(", "),
    }
}

/// Without line ends and what moves a terminal's cursor.
fn one_line(text: &str) -> String {
    plain(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Without the escape sequences of terminals and other control characters, of
/// which a console has some, and XML and YAML must not.
fn plain(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\x1b' if chars.peek() == Some(&'[') => {
                chars.next();
                for char in chars.by_ref() {
                    if ('@'..='~').contains(&char) {
                        break;
                    }
                }
            }
            '\n' | '\t' => clean.push(char),
            char if char.is_control() || ('\u{fffe}'..='\u{ffff}').contains(&char) => {}
            char => clean.push(char),
        }
    }
    clean
}

/// As a string of YAML (and of JSON).
fn quoted(text: &str) -> String {
    let escaped = plain(text)
        .replace('\\', r"\\")
        .replace('"', "\\\"")
        .replace('\n', r"\n")
        .replace('\t', r"\t");
    format!("\"{escaped}\"")
}

/// The end of it, if it is long.
fn tail(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    match lines.len().checked_sub(OUTPUT_LINES) {
        None | Some(0) => lines.join("\n"),
        Some(left_out) => format!(
            "[{left_out} lines before this]\n{}",
            lines[left_out..].join("\n")
        ),
    }
}

/// Where reports go, and what they are compared with.
#[derive(Args)]
pub struct Outputs {
    /// Write the results to this file as TAP
    #[arg(long, value_name = "FILE")]
    tap: Option<PathBuf>,
    /// Write the results to this file as JUnit XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write a page about the results to this file: HTML if its name ends in .html, else Markdown
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// The list of expected results [default: tests/expected.txt]
    #[arg(long, value_name = "FILE")]
    expected: Option<PathBuf>,
}

impl Outputs {
    /// Compares and prints the results, writes the files, and fails if a result
    /// is not as expected.
    pub fn finish(&self, report: &Report) -> Result<()> {
        let default = || paths::root().join("tests/expected.txt");
        let expected = Expected::read(&self.expected.clone().unwrap_or_else(default))?;
        let judged = report.judge(&expected);
        // First: a file that cannot be written is not to cost the results.
        print!("{}", judged.table());
        let differences: Vec<_> = judged.differences().collect();
        for verdict in &differences {
            println!(
                "\n---- {}: {} ----\n{}\n{}",
                verdict.run.title(),
                verdict.result.id(),
                tail(&verdict.result.output),
                verdict.difference()
            );
        }
        if let Some(file) = &self.tap {
            sh::write(file, judged.tap())?;
        }
        if let Some(file) = &self.junit {
            sh::write(file, judged.junit()?)?;
        }
        if let Some(file) = &self.report {
            let html = file.extension().is_some_and(|name| name == "html");
            sh::write(
                file,
                if html {
                    judged.html()
                } else {
                    judged.markdown()
                },
            )?;
        }
        let count = differences.len();
        ensure!(count == 0, "{count} results are not as expected");
        Ok(())
    }
}

#[cfg(test)]
mod tests;
