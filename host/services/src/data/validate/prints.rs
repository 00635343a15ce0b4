//! Moves far out of the ordinary that came back at once: perhaps a bad print, perhaps a crash.
//!
//! Nothing tells the two apart inside one file, so such bars are only pointed at. The yardstick is
//! the mean absolute log return of the surrounding block of bars, scaled to a standard deviation
//! of a normal law; it follows changes of volatility and one wild bar hardly moves it.

use super::{Finding, Judge, Problem, Severity};
use crate::data::raw::Column;

/// Bars in a block of the yardstick.
const BLOCK_BARS: usize = 1_000;
/// Standard deviation over mean absolute deviation of a normal law: sqrt(pi / 2).
const DEVIATION_PER_MEAN_ABSOLUTE: f64 = 1.253_314_137_315_500_3;
/// A move came back when less than this share of it is left one bar later.
const LEFT_AFTER_RETURN: f64 = 0.3;

/// The prices of one bar; only bars that make sense take part.
#[derive(Clone, Copy)]
struct Prices {
    open: f64,
    high: f64,
    low: f64,
    close: f64,
}

/// Points at moves that came back at once.
pub(super) fn check(judge: &Judge<'_>) -> Option<Problem> {
    let bars: Vec<Option<Prices>> = (0..judge.candles.rows)
        .map(|row| prices(judge, row))
        .collect();
    let returns: Vec<Option<f64>> = (0..bars.len())
        .map(|row| {
            let before = bars[row.checked_sub(1)?]?;
            Some((bars[row]?.close / before.close).ln())
        })
        .collect();
    let overall = deviation(&returns)?;
    let limits: Vec<f64> = returns
        .chunks(BLOCK_BARS)
        .map(|block| {
            let local = deviation(block).unwrap_or(overall).max(overall / 2.0);
            local * judge.options.outlier_sigmas
        })
        .collect();
    let excess = |row: usize| -> Option<f64> {
        let spike = came_back(&returns, row).unwrap_or_default();
        let size = wick(bars[row]?).max(spike);
        (size > limits[row / BLOCK_BARS]).then_some(size)
    };
    let sigmas = judge.options.outlier_sigmas;
    let what = format!("possible bad print (more than {sigmas} sigma and back at once, kept)");
    let finding = Finding::error("possible_bad_print", "high` / `low` / `close", what);
    let rows = (0..bars.len()).filter(|&row| excess(row).is_some());
    judge.problem(finding.with_severity(Severity::Warning), rows, |row| {
        let percent = 100.0 * (excess(row).unwrap_or_default().exp() - 1.0);
        let Some(bar) = bars[row] else {
            return String::new();
        };
        format!(
            "open {}, high {}, low {}, close {}, a move of {percent:.1} %",
            bar.open, bar.high, bar.low, bar.close
        )
    })
}

fn prices(judge: &Judge<'_>, row: usize) -> Option<Prices> {
    let value = |column| {
        let value = judge.candles.value(column, row)?;
        (value.is_finite() && value > 0.0).then_some(value)
    };
    Some(Prices {
        open: value(Column::Open)?,
        high: value(Column::High)?,
        low: value(Column::Low)?,
        close: value(Column::Close)?,
    })
}

/// How far, in log price, the bar reached beyond its open and close.
fn wick(bar: Prices) -> f64 {
    let up = (bar.high / bar.open.max(bar.close)).ln();
    let down = (bar.open.min(bar.close) / bar.low).ln();
    up.max(down)
}

/// The size of the move into `row`, where the next bar took it back.
fn came_back(returns: &[Option<f64>], row: usize) -> Option<f64> {
    let (there, back) = (returns[row]?, (*returns.get(row + 1)?)?);
    let left = (there + back).abs();
    (left < LEFT_AFTER_RETURN * there.abs()).then_some(there.abs())
}

fn deviation(returns: &[Option<f64>]) -> Option<f64> {
    let known = returns.iter().flatten();
    let (sum, count) = known.fold((0.0, 0_u32), |(sum, count), one| {
        (sum + one.abs(), count + 1)
    });
    let mean = sum / f64::from(count);
    (count > 0 && mean > 0.0).then_some(mean * DEVIATION_PER_MEAN_ABSOLUTE)
}
