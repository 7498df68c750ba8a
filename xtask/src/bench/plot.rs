//! The plots: SVG files.

use super::{
    numbers::{Results, Spread},
    Side,
};
use anyhow::{anyhow, Context, Result};
use plotters::{
    coord::ranged1d::{IntoSegmentedCoord, SegmentValue},
    prelude::*,
};
use std::path::Path;

const STOCK: RGBColor = RGBColor(0x99, 0x55, 0x22);
const OURS: RGBColor = RGBColor(0x22, 0x66, 0xaa);
const FLOOR: RGBColor = RGBColor(0x88, 0x88, 0x88);

const SIDES: [(&str, Side, RGBColor); 2] =
    [("stock", Side::Stock, STOCK), ("ours", Side::Ours, OURS)];

/// Draws what there is to draw of a setting; returns the files' names, from where
/// the page is.
pub fn draw(results: &Results, dir: &Path) -> Result<Vec<String>> {
    let name = results.setting.name();
    let mut drawn = Vec::new();
    let mut plot = |kind: &str, draw: &dyn Fn(&Path) -> Result<bool>| -> Result<()> {
        let file = format!("{kind}-{name}.svg");
        let path = dir.join(&file);
        if draw(&path).with_context(|| format!("cannot draw {}", path.display()))? {
            drawn.push(format!("bench/{file}"));
        }
        Ok(())
    };
    plot("callers", &|path| callers(results, path))?;
    plot("ratios", &|path| ratios(results, path))?;
    Ok(drawn)
}

/// An error of the plotters', which may borrow what is being drawn on.
fn failed(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("{error}")
}

/// Calls a second by the number of callers.
fn callers(results: &Results, path: &Path) -> Result<bool> {
    let points = |side| -> Vec<(f64, Spread)> {
        let rows = results.rows.iter();
        rows.filter_map(|series| {
            let rates = results.rates(series, side)?;
            Some((series.row.callers? as f64, rates))
        })
        .collect()
    };
    let both = SIDES.map(|(_, side, _)| points(side));
    let all = || both.iter().flatten();
    if both.iter().any(|points| points.len() < 2) {
        return Ok(false);
    }
    let floor = results.floor(Side::Stock);
    let most = all().map(|(_, rates)| rates.max);
    let most = most.chain(floor).fold(0.0, f64::max) / 1e3;
    let last = all().map(|(callers, _)| *callers).fold(1.0, f64::max);

    let area = SVGBackend::new(path, (720, 400)).into_drawing_area();
    area.fill(&WHITE).map_err(failed)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(56)
        .caption("stat(2), thousands of calls a second", ("sans-serif", 16))
        .build_cartesian_2d((0.9..last * 1.1).log_scale().base(2.0), 0.0..most * 1.08)
        .map_err(failed)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc("callers")
        .x_label_formatter(&|callers| format!("{callers:.0}"))
        .y_label_formatter(&|rate| format!("{rate:.0}"))
        .draw()
        .map_err(failed)?;
    if let Some(floor) = floor {
        let ends = [(0.9, floor / 1e3), (last * 1.1, floor / 1e3)];
        chart
            .draw_series(LineSeries::new(ends, FLOOR.stroke_width(1)))
            .map_err(failed)?
            .label("round trips through two pipes")
            .legend(|(x, y)| PathElement::new([(x, y), (x + 20, y)], FLOOR));
    }
    for ((name, _, colour), points) in SIDES.into_iter().zip(&both) {
        let medians = points.iter().map(|(x, rates)| (*x, rates.median / 1e3));
        chart
            .draw_series(LineSeries::new(medians, colour.stroke_width(2)).point_size(3))
            .map_err(failed)?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour));
        let whiskers = points.iter().map(|(x, rates)| {
            PathElement::new([(*x, rates.min / 1e3), (*x, rates.max / 1e3)], colour)
        });
        chart.draw_series(whiskers).map_err(failed)?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(FLOOR)
        .draw()
        .map_err(failed)?;
    area.present().map_err(failed)?;
    Ok(true)
}

/// How many times as fast ours is, a bar for each workload.
fn ratios(results: &Results, path: &Path) -> Result<bool> {
    let ratios: Vec<(&str, Spread)> = results
        .rows
        .iter()
        .filter_map(|series| Some((series.row.title, results.ratios(series)?)))
        .collect();
    if ratios.is_empty() {
        return Ok(false);
    }
    let most = ratios.iter().map(|(_, ratio)| ratio.max);
    let most = most.fold(1.0, f64::max) * 1.05;
    let rows = ratios.len();
    let height = 80 + 24 * rows as u32;

    let area = SVGBackend::new(path, (720, height)).into_drawing_area();
    area.fill(&WHITE).map_err(failed)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(12)
        .x_label_area_size(28)
        .y_label_area_size(260)
        .caption("ours/stock, calls a second", ("sans-serif", 16))
        // The first is at the top.
        .build_cartesian_2d(0.0..most, (0..rows - 1).into_segmented())
        .map_err(failed)?;
    let nth_from_below = |row: usize| rows - 1 - row;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .light_line_style(TRANSPARENT)
        .y_labels(rows)
        .y_label_formatter(&|segment| match segment {
            SegmentValue::CenterOf(row) if *row < rows => ratios[nth_from_below(*row)].0.to_owned(),
            _ => String::new(),
        })
        .x_label_formatter(&|ratio| format!("{ratio:.1}"))
        .draw()
        .map_err(failed)?;
    let bars = ratios.iter().enumerate().map(|(row, (_, ratio))| {
        let row = nth_from_below(row);
        let corners = [
            (0.0, SegmentValue::Exact(row)),
            (ratio.median, SegmentValue::Exact(row + 1)),
        ];
        let mut bar = Rectangle::new(corners, OURS.mix(0.5).filled());
        bar.set_margin(4, 4, 0, 0);
        bar
    });
    chart.draw_series(bars).map_err(failed)?;
    let whiskers = ratios.iter().enumerate().map(|(row, (_, ratio))| {
        let row = SegmentValue::CenterOf(nth_from_below(row));
        PathElement::new([(ratio.min, row.clone()), (ratio.max, row)], OURS)
    });
    chart.draw_series(whiskers).map_err(failed)?;
    let equal = [(1.0, SegmentValue::Exact(0)), (1.0, SegmentValue::Last)];
    chart
        .draw_series([PathElement::new(equal, STOCK.stroke_width(2))])
        .map_err(failed)?;
    area.present().map_err(failed)?;
    Ok(true)
}
