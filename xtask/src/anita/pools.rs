//! Leaks, found by `vmstat -m` and `vmstat -s` before, between and after two
//! halves of some work.
//!
//! The script prints a line `== start N`, N being the rounds of a half, and one
//! `== half` and `== end` before what `vmstat` says there. A leak is what goes on
//! in the second half as in the first, by an object in every second round, or a
//! page in every round: caches grow as well, but the more they have the less.

use crate::report::{Outcome, TestResult};
use std::collections::BTreeMap;

/// What is in use: objects by pool, and how many pages are free.
#[derive(Default, Debug)]
struct Usage {
    pools: BTreeMap<String, i64>,
    free: Option<i64>,
}

impl Usage {
    /// Reads what both commands printed.
    fn parse(text: &str) -> Usage {
        let mut usage = Usage::default();
        let mut columns = None;
        for line in text.lines() {
            let words: Vec<_> = line.split_whitespace().collect();
            if let [free, "pages", "free"] = words[..] {
                usage.free = free.parse().ok();
            }
            let column = |name: &str| words.iter().position(|word| *word == name);
            if let (Some(requests), Some(releases)) = (column("Requests"), column("Releases")) {
                columns = Some((requests, releases));
                continue;
            }
            let number = |column: usize| words.get(column)?.parse::<i64>().ok();
            let numbers = columns
                .and_then(|(requests, releases)| Some((number(requests)?, number(releases)?)));
            match numbers {
                Some(_) if words[0] == "Totals" => columns = None,
                // Two pools may have the same name.
                Some((requests, releases)) => {
                    *usage.pools.entry(words[0].to_owned()).or_default() += requests - releases;
                }
                None => columns = None,
            }
        }
        usage
    }
}

/// The results of a script's output: one for each pool that leaks, one for the
/// pages, and one for all others together.
pub fn results(suite: &str, output: &str) -> Vec<TestResult> {
    let result = |name: &str, outcome, output: String| TestResult {
        suite: suite.to_owned(),
        name: name.to_owned(),
        outcome,
        seconds: 0.0,
        output,
    };
    let Some((rounds, [start, half, end])) = sections(output) else {
        let why = "the three listings are not there".to_owned();
        return vec![result("pools", Outcome::Fail(why), String::new())];
    };
    let mut results = Vec::new();
    let mut changes = String::new();
    for (name, last) in &end.pools {
        let of = |usage: &Usage| usage.pools.get(name).copied().unwrap_or(0);
        let grown = [of(&half) - of(&start), last - of(&half)];
        if grown != [0, 0] {
            changes += &format!("{name}: {:+} and {:+}\n", grown[0], grown[1]);
        }
        if goes_on(grown, (rounds + 1) / 2) {
            let why = format!(
                "{} and {} objects are lost in twice {rounds} rounds",
                grown[0], grown[1]
            );
            results.push(result(
                &format!("pool {name}"),
                Outcome::Fail(why),
                String::new(),
            ));
        }
    }
    let outcome = match (end.pools.len(), results.len()) {
        (0, _) => Outcome::Fail("vmstat lists no pools".into()),
        (_, 0) => Outcome::Pass,
        (_, leaks) => Outcome::Fail(format!("{leaks} of them leak")),
    };
    results.push(result("pools", outcome, changes));
    let outcome = match [start.free, half.free, end.free] {
        [Some(start), Some(half), Some(end)] => {
            let lost = [start - half, half - end];
            if goes_on(lost, rounds) {
                Outcome::Fail(format!(
                    "{} and {} pages are lost in twice {rounds} rounds",
                    lost[0], lost[1]
                ))
            } else {
                Outcome::Pass
            }
        }
        _ => Outcome::Skip("vmstat does not say how many pages are free".into()),
    };
    let free = [&start, &half, &end].map(|usage| usage.free.unwrap_or(0));
    results.push(result("pages", outcome, format!("free: {free:?}\n")));
    results
}

/// Is that much or more lost in both halves, and about as much in the second?
fn goes_on(lost: [i64; 2], least: i64) -> bool {
    lost.iter().all(|lost| *lost >= least.max(1)) && 4 * lost[1] >= 3 * lost[0]
}

/// The rounds of a half, and what is in use at the three points.
fn sections(output: &str) -> Option<(i64, [Usage; 3])> {
    let after = |text: &'_ str, mark: &str| -> Option<usize> {
        let mut at = 0;
        for line in text.split_inclusive('\n') {
            at += line.len();
            if line.starts_with(mark) {
                return Some(at);
            }
        }
        None
    };
    let start = after(output, "== start ")?;
    let rounds = output[..start].lines().next_back()?;
    let rounds = rounds.strip_prefix("== start ")?.trim().parse().ok()?;
    let half = start + after(&output[start..], "== half")?;
    let end = half + after(&output[half..], "== end")?;
    Some((
        rounds,
        [&output[start..half], &output[half..end], &output[end..]].map(Usage::parse),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Kind;

    /// A listing as vmstat prints it, with so many objects in use.
    fn listing(nodes: i64, buffers: i64, free: i64) -> String {
        format!(
            "Memory resource pool statistics\n\
             Name        Size Requests Fail Releases Pgreq Pgrel Npage Hiwat Minpg Maxpg Idle\n\
             bufpl        288       {}    0        9     2     0     2     2     0   inf    0\n\
             puffpnpl     448      {}    0      500    60     0    60    60     0   inf    0\n\
             Totals               6091    0       91   444     0   444\n\
             \n\
             In use 2024K, total allocated 3464K; utilization 58.4%\n\
             \n   125017 pages managed\n   {free} pages free\n      408 pages active\n",
            buffers + 9,
            nodes + 500
        )
    }

    fn judge(listings: [String; 3]) -> Vec<(String, Kind)> {
        let [start, half, end] = listings;
        let output = format!("== start 50\n{start}round 1\n== half\n{half}round 2\n== end\n{end}");
        results("rounds", &output)
            .into_iter()
            .map(|result| (result.name, result.outcome.kind()))
            .collect()
    }

    #[test]
    fn what_stays_is_no_leak() {
        let results = judge([(); 3].map(|()| listing(4, 8, 1000)));
        let passed = |name: &str| (name.to_owned(), Kind::Pass);
        assert_eq!(results, [passed("pools"), passed("pages")]);
    }

    #[test]
    fn an_object_in_each_round_is_a_leak_of_its_pool() {
        let results = judge([
            listing(4, 8, 1000),
            listing(54, 8, 1000),
            listing(104, 8, 1000),
        ]);
        assert_eq!(results[0], ("pool puffpnpl".into(), Kind::Fail));
        assert_eq!(results[1], ("pools".into(), Kind::Fail));
        assert_eq!(results[2], ("pages".into(), Kind::Pass));
    }

    #[test]
    fn a_cache_that_fills_up_is_no_leak() {
        let results = judge([
            listing(4, 8, 2000),
            listing(4, 90, 1800),
            listing(4, 130, 1730),
        ]);
        assert!(results.iter().all(|(_, kind)| *kind == Kind::Pass));
    }

    #[test]
    fn pages_that_go_in_both_halves_are_a_leak() {
        let results = judge([
            listing(4, 8, 2000),
            listing(4, 8, 1950),
            listing(4, 8, 1899),
        ]);
        assert_eq!(results[1], ("pages".into(), Kind::Fail));
    }

    #[test]
    fn listings_that_are_missing_are_a_failure() {
        let results = results(
            "rounds",
            "== start 50\n== half\nvmstat: no\n== end\nvmstat: no\n",
        );
        assert_eq!(results[0].outcome.kind(), Kind::Fail);
        assert_eq!(
            super::results("rounds", "nothing")[0].outcome.kind(),
            Kind::Fail
        );
    }
}
