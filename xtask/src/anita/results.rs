//! The results that a step's output has for tests of its own.

use crate::{
    report::{Outcome, TestResult},
    rump_test::CONFORM,
};

/// What a step printed about its tests.
#[derive(Default)]
pub struct Parsed {
    /// How they ended.
    pub results: Vec<TestResult>,
    /// How many there were to be, if it said that.
    pub planned: Option<usize>,
    /// The test that was under way when the output ended.
    pub running: Option<String>,
    /// Why the program gave up after the last test, if it did.
    pub gave_up: Option<String>,
}

/// Reads the Test Anything Protocol, as `puffs-guest` writes it: before a test
/// is run, its title stands in a comment; on its line is how long it took; what
/// it printed follows in comments that are indented.
pub fn tap(suite: &str, output: &str) -> Parsed {
    let mut parsed = Parsed::default();
    for line in output.lines() {
        if let Some(plan) = line.strip_prefix("1..") {
            parsed.planned = plan.split_whitespace().next().and_then(|n| n.parse().ok());
        } else if let Some(why) = line.strip_prefix("Bail out!") {
            parsed.gave_up = Some(why.trim().to_owned());
        } else if let Some(result) = tap_line(suite, line) {
            parsed.running = None;
            parsed.results.push(result);
        } else if let Some(comment) = line.strip_prefix("# ") {
            match comment.strip_prefix("  ") {
                Some(printed) => {
                    if let Some(last) = parsed.results.last_mut() {
                        last.output += printed;
                        last.output.push('\n');
                    }
                }
                None => parsed.running = Some(comment.to_owned()),
            }
        }
    }
    for result in &mut parsed.results {
        if let Outcome::Fail(why) = &result.outcome {
            if why.is_empty() {
                result.outcome = why_failed(&result.output);
            }
        }
    }
    parsed
}

/// The suite of a test: the conformance checks, of whose names this is the
/// beginning, have their own, as they do on a rump kernel.
pub fn tap_suite<'a>(suite: &'a str, title: &str) -> &'a str {
    match title.split("::").next() {
        Some(CONFORM) => CONFORM,
        _ => suite,
    }
}

/// One test's line.
fn tap_line(suite: &str, line: &str) -> Option<TestResult> {
    let (passed, rest) = match line.strip_prefix("not ok") {
        Some(rest) => (false, rest),
        None => (true, line.strip_prefix("ok")?),
    };
    if !rest.is_empty() && !rest.starts_with(' ') {
        return None;
    }
    let rest = rest.trim_start();
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    let rest = rest.trim_start();
    let rest = rest.strip_prefix("- ").unwrap_or(rest);
    // A `#` of the title itself has a backslash before it.
    let (title, directive) = match rest.find(" # ") {
        Some(at) => (&rest[..at], rest[at + 3..].trim()),
        None => (rest, ""),
    };
    let (word, why) = directive.split_once(' ').unwrap_or((directive, ""));
    let time = word.strip_prefix("time=");
    let seconds = time.and_then(|time| time.strip_suffix('s')?.parse().ok());
    let outcome = match (word.to_ascii_uppercase().as_str(), passed) {
        ("SKIP", _) => Outcome::Skip(why.to_owned()),
        (_, true) => Outcome::Pass,
        (_, false) => Outcome::Fail(String::new()),
    };
    let title = title.trim().replace("\\#", "#").replace("\\\\", "\\");
    Some(TestResult {
        suite: tap_suite(suite, &title).to_owned(),
        name: title,
        outcome,
        seconds: seconds.unwrap_or_default(),
        output: String::new(),
    })
}

/// How a test failed that printed this.
fn why_failed(output: &str) -> Outcome {
    if let Some((_, why)) = output.split_once("(hang: ") {
        let why = why.lines().next().unwrap_or_default();
        return Outcome::Hang(why.trim_end_matches(')').to_owned());
    }
    let mut lines = output
        .lines()
        .skip_while(|line| !line.contains("panicked at "));
    // Rust says where on a line, and what on the next.
    let why = lines.nth(1).or_else(|| output.lines().next_back());
    Outcome::Fail(why.unwrap_or("it does not say why").trim().to_owned())
}

/// Reads lines that a step's shell functions print:
///
/// ```text
/// == begin SUITE NAME
/// == result SUITE NAME SECONDS OUTCOME[: reason]
/// ```
///
/// The outcomes are those of ATF.
pub fn lines(output: &str) -> Parsed {
    let mut parsed = Parsed::default();
    let mut printed = String::new();
    for line in output.lines() {
        if let Some(rest) = line.strip_prefix("== begin ") {
            parsed.running = Some(rest.replacen(' ', ":", 1));
            printed.clear();
            continue;
        }
        let result = line
            .strip_prefix("== result ")
            .and_then(|rest| result_line(rest, &printed));
        match result {
            Some(result) => {
                parsed.running = None;
                parsed.results.push(result);
                printed.clear();
            }
            None => {
                printed += line;
                printed.push('\n');
            }
        }
    }
    parsed
}

fn result_line(rest: &str, output: &str) -> Option<TestResult> {
    let mut words = rest.splitn(4, ' ');
    let (suite, name) = (words.next()?, words.next()?);
    let seconds = words.next()?.parse().ok()?;
    let outcome = words.next()?;
    let (word, why) = outcome.split_once(':').unwrap_or((outcome, ""));
    // With the errno that was expected, say.
    let (word, detail) = word.split_once('(').unwrap_or((word, ""));
    let why = match (why.trim(), detail) {
        ("", "") => word.to_owned(),
        ("", detail) => format!("{word}({detail}"),
        (why, _) => why.to_owned(),
    };
    Some(TestResult {
        suite: suite.to_owned(),
        name: name.to_owned(),
        outcome: match word {
            "passed" | "expected_failure" | "expected_exit" | "expected_signal"
            | "expected_death" | "expected_timeout" => Outcome::Pass,
            "skipped" => Outcome::Skip(why),
            "timeout" => Outcome::Hang("no end within its time".into()),
            _ => Outcome::Fail(why),
        },
        seconds,
        output: output.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(parsed: &Parsed) -> Vec<(String, Outcome)> {
        let results = parsed.results.iter();
        results
            .map(|result| (result.id(), result.outcome.clone()))
            .collect()
    }

    #[test]
    fn tap_has_a_result_for_each_test() {
        let output = "TAP version 13\n1..4\n# one\nok 1 - one # time=0.25s\n\
                      # two #2\nnot ok 2 - two \\#2 # time=1.50s\n\
                      #   thread 'main' panicked at src/cases/two.rs:7:9:\n\
                      #   not 3\n#   (exit status: 134)\n\
                      ok 3 - three # SKIP needs Mmap\n# four\n";
        let parsed = tap("conformance", output);
        assert_eq!(parsed.planned, Some(4));
        assert_eq!(parsed.running.as_deref(), Some("four"));
        assert_eq!(
            outcomes(&parsed),
            [
                ("conformance:one".into(), Outcome::Pass),
                ("conformance:two #2".into(), Outcome::Fail("not 3".into())),
                (
                    "conformance:three".into(),
                    Outcome::Skip("needs Mmap".into())
                ),
            ]
        );
        assert_eq!(parsed.results[0].seconds, 0.25);
        assert_eq!(parsed.results[1].output.lines().count(), 3);
    }

    #[test]
    fn conformance_checks_are_a_suite_of_their_own() {
        let output = "ok 1 - readers::two\nok 2 - conform::names::a_name_is_taken::default\n";
        let results = tap("cases", output).results;
        let ids: Vec<_> = results.iter().map(TestResult::id).collect();
        assert_eq!(
            ids,
            [
                "cases:readers::two",
                "conform:conform::names::a_name_is_taken::default"
            ]
        );
    }

    #[test]
    fn a_test_that_hangs_says_so_in_tap() {
        let output = "1..2\n# x\nnot ok 1 - x # time=60.01s\n\
                      #   (hang: not done after 60 s, killed)\n\
                      Bail out! x left a mount that does not go\n";
        let parsed = tap("c", output);
        let why = "not done after 60 s, killed".to_owned();
        assert_eq!(outcomes(&parsed), [("c:x".into(), Outcome::Hang(why))]);
        let gave_up = parsed.gave_up.as_deref();
        assert_eq!(gave_up, Some("x left a mount that does not go"));
    }

    #[test]
    fn what_only_looks_like_tap_is_no_result() {
        assert!(tap("c", "okay\nnotok\n# ok 1 - x\n").results.is_empty());
    }

    #[test]
    fn atf_has_its_own_words() {
        let output = "== begin fs/puffs/t_basic mount\nsome output\n\
                      == result fs/puffs/t_basic mount 2 passed\n\
                      == result fs/puffs/t_basic root_reg 1 skipped: no rump\n\
                      == result fs/vfs/t_unpriv puffs_dirperms 1 failed: line 7: no\n\
                      == result fs/vfs/t_io puffs_mmap 1 expected_failure(1): PR kern/1\n\
                      == result fs/vfs/t_io puffs_shrink 300 timeout\n\
                      == begin fs/vfs/t_io puffs_last\n";
        let parsed = lines(output);
        let ends: Vec<_> = parsed
            .results
            .iter()
            .map(|result| &result.outcome)
            .collect();
        assert_eq!(
            ends,
            [
                &Outcome::Pass,
                &Outcome::Skip("no rump".into()),
                &Outcome::Fail("line 7: no".into()),
                &Outcome::Pass,
                &Outcome::Hang("no end within its time".into()),
            ]
        );
        assert_eq!(parsed.results[0].output, "some output\n");
        assert_eq!(parsed.results[0].seconds, 2.0);
        assert_eq!(parsed.running.as_deref(), Some("fs/vfs/t_io:puffs_last"));
    }
}
