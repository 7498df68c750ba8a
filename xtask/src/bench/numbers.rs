//! What was measured, and what it comes to.

use super::{Row, Setting, Side, FLOOR};
use anyhow::{bail, Context, Error};
use std::str::FromStr;

/// One line of what measures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// Calls a second.
    pub rate: f64,
    /// How many processors were used.
    pub busy: f64,
    /// Switches to another thread, for each call: the host's, or the guest's.
    pub switches: f64,
}

impl FromStr for Measured {
    type Err = Error;

    fn from_str(line: &str) -> Result<Measured, Error> {
        let get = |name: &str| -> Result<f64, Error> {
            let mut words = line.split(' ').filter_map(|word| word.split_once('='));
            let Some((_, value)) = words.find(|(found, _)| *found == name) else {
                bail!("no {name} in {line:?}");
            };
            value.parse().with_context(|| line.to_owned())
        };
        Ok(Measured {
            rate: get("rate")?,
            busy: get("busy")?,
            switches: get("switches")?,
        })
    }
}

/// A median, and between what the values are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The least.
    pub min: f64,
    /// The one in the middle.
    pub median: f64,
    /// The greatest.
    pub max: f64,
}

impl Spread {
    /// That of some values; there is none of no values.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            (values[middle - 1] + values[middle]) / 2.0
        };
        Some(Spread { min, median, max })
    }
}

/// What came of one measurement: numbers, or how it failed.
pub type Outcome = Result<Measured, String>;

/// All measurements of one workload, a pair for each round.
pub struct Series {
    /// The workload.
    pub row: &'static Row,
    outcomes: [Vec<Outcome>; 2],
}

impl Series {
    /// None yet.
    pub fn of(row: &'static Row) -> Series {
        Series {
            row,
            outcomes: [Vec::new(), Vec::new()],
        }
    }

    /// One more.
    pub fn add(&mut self, side: Side, outcome: Outcome) {
        self.outcomes[side as usize].push(outcome);
    }

    fn good(&self, side: Side) -> impl Iterator<Item = &Measured> {
        self.outcomes[side as usize].iter().flatten()
    }

    /// How many failed.
    pub fn failures(&self, side: Side) -> usize {
        let outcomes = &self.outcomes[side as usize];
        outcomes.iter().filter(|outcome| outcome.is_err()).count()
    }

    /// How the first of those failed.
    pub fn failure(&self, side: Side) -> Option<&str> {
        let mut outcomes = self.outcomes[side as usize].iter();
        outcomes.find_map(|outcome| outcome.as_ref().err().map(String::as_str))
    }

    /// The median of something, and its spread.
    pub fn spread(&self, side: Side, value: impl Fn(&Measured) -> f64) -> Option<Spread> {
        Spread::of(self.good(side).map(value))
    }
}

/// All workloads on one setting.
pub struct Results {
    /// On what.
    pub setting: Setting,
    /// What a reader has to know of that.
    pub about: String,
    /// The workloads.
    pub rows: Vec<Series>,
}

impl Results {
    /// Calls a second. On one processor that is a second of the processor's: if
    /// something else had it for a while, that is not counted.
    fn rate(&self, row: &Row, measured: &Measured) -> f64 {
        if self.setting.is_pinned() && !row.by_clock {
            measured.rate / measured.busy
        } else {
            measured.rate
        }
    }

    /// The rates of a side.
    pub fn rates(&self, series: &Series, side: Side) -> Option<Spread> {
        series.spread(side, |measured| self.rate(series.row, measured))
    }

    /// How many times as fast ours is, round by round.
    pub fn ratios(&self, series: &Series) -> Option<Spread> {
        let [stock, ours] = &series.outcomes;
        let pairs = stock.iter().zip(ours);
        Spread::of(pairs.filter_map(|pair| match pair {
            (Ok(stock), Ok(ours)) => {
                Some(self.rate(series.row, ours) / self.rate(series.row, stock))
            }
            _ => None,
        }))
    }

    /// The floor of a side: what its rates are compared with.
    pub fn floor(&self, side: Side) -> Option<f64> {
        let floor = self.rows.iter().find(|series| series.row.title == FLOOR)?;
        Some(self.rates(floor, side)?.median)
    }

    /// The least part of the processor that a measurement had.
    pub fn least_busy(&self) -> f64 {
        let both = |series| [Side::Stock, Side::Ours].map(|side| (series, side));
        let rows = self.rows.iter().filter(|series| !series.row.by_clock);
        let each = rows.flat_map(both);
        each.flat_map(|(series, side)| series.good(side))
            .map(|measured| measured.busy)
            .fold(1.0, f64::min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::ROWS;

    const LINE: &str = "rate=100.5 calls=1 seconds=1 busy=0.5 requests=1.000 switches=2.1";

    #[test]
    fn a_line_of_words_is_read() {
        let measured: Measured = LINE.parse().unwrap();
        assert_eq!((measured.rate, measured.switches), (100.5, 2.1));
        assert!("rate=1".parse::<Measured>().is_err());
    }

    #[test]
    fn the_median_is_in_the_middle() {
        let of = |values: &[f64]| Spread::of(values.iter().copied()).map(|spread| spread.median);
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[3.0, 1.0, 9.0]), Some(3.0));
        assert_eq!(of(&[4.0, 1.0, 9.0, 2.0]), Some(3.0));
    }

    #[test]
    fn a_ratio_is_of_one_round_and_of_the_processors_time() {
        let mut series = Series::of(&ROWS[0]);
        let measured = |rate, busy| Measured {
            rate,
            busy,
            switches: 2.0,
        };
        series.add(Side::Stock, Ok(measured(100.0, 1.0)));
        series.add(Side::Ours, Ok(measured(100.0, 0.5)));
        series.add(Side::Stock, Err("hang".into()));
        series.add(Side::Ours, Ok(measured(7.0, 1.0)));
        let results = Results {
            setting: Setting::Pinned,
            about: String::new(),
            rows: vec![series],
        };
        let ratio = results.ratios(&results.rows[0]).unwrap();
        assert_eq!((ratio.min, ratio.median, ratio.max), (2.0, 2.0, 2.0));
        assert_eq!(results.rows[0].failures(Side::Stock), 1);
        assert_eq!(results.least_busy(), 0.5);
    }
}
