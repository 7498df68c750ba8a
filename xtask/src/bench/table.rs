//! The tables, for a terminal and as a page.

use super::{
    numbers::{Results, Series},
    Side,
};
use std::fmt::Write as _;

/// The table of a setting, in columns.
pub fn text(results: &Results) -> String {
    let rows: Vec<_> = std::iter::once(HEAD.map(str::to_owned))
        .chain(results.rows.iter().map(|series| cells(results, series)))
        .collect();
    let width = |column: usize| {
        let lengths = rows.iter().map(|row| row[column].chars().count());
        lengths.max().unwrap_or(0)
    };
    let mut text = format!("\n{}\n", results.about);
    for row in &rows {
        let cells = row.iter().enumerate().map(|(column, cell)| {
            let width = width(column);
            match column {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            }
        });
        let cells: Vec<_> = cells.collect();
        text += cells.join("  ").trim_end();
        text.push('\n');
    }
    text += &remarks(results);
    text.push('\n');
    text
}

const HEAD: [&str; 7] = [
    "workload",
    "stock",
    "ours",
    "ours/stock",
    "stock/floor",
    "ours/floor",
    "switches",
];

fn cells(results: &Results, series: &Series) -> [String; 7] {
    let [stock, ours] = [Side::Stock, Side::Ours].map(|side| rates(results, series, side));
    let ratio = results.ratios(series).map_or_else(String::new, |ratio| {
        format!("{:.2} ({:.2}–{:.2})", ratio.median, ratio.min, ratio.max)
    });
    let [stock_floor, ours_floor] = [Side::Stock, Side::Ours].map(|side| {
        let floor = results.floor(side);
        match (floor, results.rates(series, side)) {
            (Some(floor), Some(rates)) => format!("{:.2}", floor / rates.median),
            _ => String::new(),
        }
    });
    let switches = [Side::Stock, Side::Ours].map(|side| {
        let switches = series.spread(side, |measured| measured.switches);
        switches.map_or("–".to_owned(), |spread| format!("{:.1}", spread.median))
    });
    [
        series.row.title.to_owned(),
        stock,
        ours,
        ratio,
        stock_floor,
        ours_floor,
        switches.join(", "),
    ]
}

/// The rates of a side, or how it failed.
fn rates(results: &Results, series: &Series, side: Side) -> String {
    let rates = results.rates(series, side).map(|spread| {
        let scale = |rate: f64| match series.row.bytes {
            Some(bytes) => rate * bytes as f64 / 1e6,
            None => rate,
        };
        let [median, min, max] = [spread.median, spread.min, spread.max].map(scale);
        let unit = if series.row.bytes.is_some() {
            " MB/s"
        } else {
            ""
        };
        format!("{}{unit} ({}–{})", number(median), number(min), number(max))
    });
    match (rates, series.failure(side)) {
        (Some(rates), None) => rates,
        (Some(rates), Some(_)) => {
            format!("{rates}, {} failed", series.failures(side))
        }
        (None, Some(failure)) => failure.to_owned(),
        (None, None) => String::new(),
    }
}

/// With four digits or so, and commas between thousands.
fn number(value: f64) -> String {
    let round = if value >= 10_000.0 { 100.0 } else { 1.0 };
    if value < 100.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{:.0}", (value / round).round() * round);
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// What is odd about a run.
fn remarks(results: &Results) -> String {
    let mut text = String::new();
    let busy = results.least_busy();
    if results.setting.is_pinned() && busy < 0.95 {
        let _ = writeln!(
            text,
            "Something else used the processor: one measurement had {:.0} % of it.",
            busy * 100.0
        );
    }
    for series in &results.rows {
        for (name, side) in [("stock", Side::Stock), ("ours", Side::Ours)] {
            if let Some(failure) = series.failure(side) {
                let _ = writeln!(text, "{}: {name}: {failure}", series.row.title);
            }
        }
    }
    text
}

/// The page, with the plots of each setting.
pub fn page(facts: &[(String, String)], results: &[Results], plots: &[Vec<String>]) -> String {
    let mut text = String::from(INTRODUCTION);
    for (name, fact) in facts {
        let _ = writeln!(text, "| {name} | {fact} |");
    }
    for (results, plots) in results.iter().zip(plots) {
        let name = results.setting.name();
        let _ = writeln!(text, "\n## {name}\n\n{}\n", results.about);
        let _ = writeln!(text, "| {} |", HEAD.join(" | "));
        let _ = writeln!(text, "|---|{}", "--:|".repeat(HEAD.len() - 1));
        for series in &results.rows {
            let _ = writeln!(text, "| {} |", cells(results, series).join(" | "));
        }
        let remarks = remarks(results);
        if !remarks.is_empty() {
            let _ = writeln!(text, "\n{}", remarks.trim_end().replace('\n', "\\\n"));
        }
        for plot in plots {
            let _ = writeln!(text, "\n![]({plot})");
        }
    }
    text
}

const INTRODUCTION: &str = "\
# Benchmarks

How many calls a second a mount answers on a rump kernel or in a NetBSD guest, with the
stock code of puffs and with ours. This page is made by the command in it, and is not to
be edited.

The server is the leanest that can be written, one thread that reads a request, makes
the reply in place and writes it, so what is measured is the kernel. Each measurement
is a process of its own; the two take turns, and what is in the tables is the
median of all rounds, with the least and the greatest. *ours/stock* is the median of
the ratios of each round. *The floor* is a byte that goes to another thread through a
pipe and comes back through another one, in the same kernel: two wakeups and two
switches, which no call that another thread answers can do without; the columns with
that name say how many times as long as that a call takes. *switches* says how often
there was a switch to another thread for a call, with the stock code and with ours: the
host's, or in a guest the guest's.

On one processor of a host's, a second is one of the processor's: if something else had
it for a while, that time does not count.

| | |
|---|---|
";

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_have_commas_between_thousands() {
        assert_eq!(number(12.34), "12.3");
        assert_eq!(number(999.6), "1,000");
        assert_eq!(number(123_456.0), "123,500");
    }
}
