//! The prediction check: a column must not know the bars that follow.
//!
//! Truncation cannot catch a leak that is part of the input. A column that equals a future price,
//! return or label, or that orders the next returns almost as they come, is one.

use super::compare::{Differences, shown};
use super::{Check, Finding, Run};
use crate::types::{BarSeries, Timestamp};

/// Bars ahead that are looked at.
const HORIZONS: [usize; 8] = [1, 2, 3, 4, 6, 8, 12, 24];
/// Share of rows in which a column may equal a future number.
const MAX_EQUAL: f64 = 0.5;
/// Share of rows in which a column of few values may have the sign of a future return.
const MAX_SAME_SIGN: f64 = 0.9;
/// Largest rank correlation with a future return that anybody has honestly found, with room.
const MAX_RANK_CORRELATION: f64 = 0.5;
/// Rows below which shares mean nothing, and stretches apart from each other below which a
/// correlation with the returns over them does not.
const MIN_ROWS: usize = 60;

/// A number of a later bar, seen from an earlier one.
struct Target {
    name: String,
    /// One for each row, NaN where the later bar is not there.
    values: Vec<f64>,
    is_return: bool,
    ahead: usize,
}

pub(super) fn check(run: &mut Run<'_>) {
    let width = run.width();
    let mut differences = Differences::new(Check::Prediction, width);
    differences.begin_history();
    for (symbol, series) in run.market.series().iter().enumerate() {
        let targets = targets(series);
        let closes: Vec<f64> = series.bars.iter().map(|bar| bar.close).collect();
        for column in 0..width {
            let values = run.whole.values[symbol].iter().skip(column).step_by(width);
            let values: Vec<f64> = values.copied().collect();
            let leak = targets
                .iter()
                .find_map(|target| leak(&values, &closes, target).map(|leak| (target, leak)));
            let Some((target, (row, meaning))) = leak else {
                differences.count();
                continue;
            };
            differences.add(column, || Finding {
                check: Check::Prediction,
                column: run.whole.columns[column].clone(),
                symbol: series.name.clone(),
                row,
                at: series.bars.get(row).map(|bar| bar.closed_at),
                expected: None,
                found: values.get(row).copied().and_then(shown),
                rows: 1,
                meaning: format!("{meaning} {}: it knows what comes next", target.name),
            });
        }
    }
    differences.conclude(run);
}

/// What a column must not know.
fn targets(series: &BarSeries) -> Vec<Target> {
    let bars = &series.bars;
    let mut targets = Vec::new();
    for ahead in HORIZONS {
        let of = |value: &dyn Fn(usize, usize) -> f64| -> Vec<f64> {
            let later = |row: usize| {
                let due = due(series, row, ahead);
                bars.get(row + ahead)
                    .filter(|bar| bar.closed_at == due)
                    .map_or(f64::NAN, |_| value(row, row + ahead))
            };
            (0..bars.len()).map(later).collect()
        };
        let mut add = |name: &str, is_return, values| {
            let name = format!("the {name} {ahead} bar(s) later");
            targets.push(Target {
                name,
                values,
                is_return,
                ahead,
            });
        };
        let log = |row: usize, later: usize| (bars[later].close / bars[row].close).ln();
        add("log return", true, of(&log));
        add(
            "return",
            false,
            of(&|row, later| bars[later].close / bars[row].close - 1.0),
        );
        add("close", false, of(&|_, later| bars[later].close));
        add("open", false, of(&|_, later| bars[later].open));
        add("high", false, of(&|_, later| bars[later].high));
        add("low", false, of(&|_, later| bars[later].low));
        add("volume", false, of(&|_, later| bars[later].volume));
    }
    targets
}

/// When the bar `ahead` bars after `row` closes, where none is missing.
fn due(series: &BarSeries, row: usize, ahead: usize) -> Timestamp {
    let nanos = i64::try_from(ahead).unwrap_or(i64::MAX);
    let nanos = nanos.saturating_mul(series.time_frame.nanos());
    series.bars[row].closed_at.saturating_add_nanos(nanos)
}

/// The first row that gives a column away, and in what way.
fn leak(values: &[f64], closes: &[f64], target: &Target) -> Option<(usize, String)> {
    let known: Vec<(usize, f64, f64)> = values
        .iter()
        .zip(&target.values)
        .enumerate()
        .filter(|(_, (value, target))| value.is_finite() && target.is_finite())
        .map(|(row, (value, target))| (row, *value, *target))
        .collect();
    if known.len() < MIN_ROWS {
        return None;
    }
    // A market that stands still tells nothing: the future equals the present.
    let moving = |row: usize| {
        closes
            .get(row + 1)
            .is_some_and(|next| (next - closes[row]).abs() > 0.0)
    };
    let count = known.len() as f64;
    let equal = known
        .iter()
        .filter(|(row, value, target)| {
            let near = (value - target).abs() <= 1e-9 * target.abs();
            near && moving(*row) && value.abs() > 0.0
        })
        .collect::<Vec<_>>();
    if equal.len() as f64 > MAX_EQUAL * count {
        return equal
            .first()
            .map(|one| (one.0, "the column equals".to_owned()));
    }
    if !target.is_return {
        return None;
    }
    if is_label(&known) {
        let moved = known.iter().filter(|one| one.2.abs() > 0.0);
        let (same, all) = moved.fold((0_usize, 0_usize), |(same, all), one| {
            (same + usize::from(one.1 * one.2 > 0.0), all + 1)
        });
        let share = same as f64 / all.max(1) as f64;
        if all >= MIN_ROWS && share > MAX_SAME_SIGN {
            let words = format!(
                "in {:.0} % of rows the column has the sign of",
                100.0 * share
            );
            return known.first().map(|one| (one.0, words));
        }
    }
    // Returns over `ahead` bars that begin a bar apart are almost one and the same.
    if known.len() < MIN_ROWS * target.ahead {
        return None;
    }
    let rank = rank_correlation(&known)?;
    (rank.abs() > MAX_RANK_CORRELATION).then(|| {
        let words = format!("the column has a rank correlation of {rank:.2} with");
        (known[0].0, words)
    })
}

/// Whether a column has both signs and at most three values, as a class label has.
fn is_label(known: &[(usize, f64, f64)]) -> bool {
    let mut seen: Vec<f64> = Vec::new();
    for (_, value, _) in known {
        if !seen.contains(value) {
            seen.push(*value);
        }
        if seen.len() > 3 {
            return false;
        }
    }
    seen.iter().any(|value| *value > 0.0) && seen.iter().any(|value| *value < 0.0)
}

/// Spearman's correlation; `None` where one side does not vary.
fn rank_correlation(known: &[(usize, f64, f64)]) -> Option<f64> {
    let ranks = |of: &dyn Fn(&(usize, f64, f64)) -> f64| {
        let mut order: Vec<usize> = (0..known.len()).collect();
        order.sort_by(|a, b| of(&known[*a]).total_cmp(&of(&known[*b])));
        let mut ranks = vec![0.0; known.len()];
        let mut begin = 0;
        while begin < order.len() {
            let value = of(&known[order[begin]]);
            let end = order[begin..].partition_point(|row| of(&known[*row]) <= value) + begin;
            let middle = (begin + end.max(begin + 1) - 1) as f64 / 2.0;
            for row in &order[begin..end.max(begin + 1)] {
                ranks[*row] = middle;
            }
            begin = end.max(begin + 1);
        }
        ranks
    };
    let (a, b) = (ranks(&|one| one.1), ranks(&|one| one.2));
    let mean = (known.len() as f64 - 1.0) / 2.0;
    let moments = a.iter().zip(&b).fold([0.0; 3], |[ab, aa, bb], (a, b)| {
        let (a, b) = (a - mean, b - mean);
        [ab + a * b, aa + a * a, bb + b * b]
    });
    let scale = (moments[1] * moments[2]).sqrt();
    (scale > 0.0).then(|| moments[0] / scale)
}
