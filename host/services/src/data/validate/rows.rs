//! Checks of single bars: values that cannot be, and bars that contradict themselves.

use super::{Finding, Judge, Problem, Severity, ValidationReport};
use crate::data::raw::{Column, NumberColumn};

/// How far rounding may carry a ratio of two rounded amounts, relative.
const ROUNDING: f64 = 1e-6;

/// Runs every check of single bars and counts the quiet ones into `report`.
pub(super) fn check(judge: &Judge<'_>, report: &mut ValidationReport, problems: &mut Vec<Problem>) {
    for column in Column::ALL {
        if let Some(values) = judge.candles.column(column) {
            problems.extend(check_values(judge, column, values));
        }
    }
    problems.extend(check_shape(judge));
    problems.extend(check_flow(judge));
    count_quiet(judge, report, problems);
}

/// Cells of one column that cannot be right whatever the others say.
fn check_values(
    judge: &Judge<'_>,
    column: Column,
    values: &NumberColumn,
) -> impl Iterator<Item = Problem> {
    let name = column.name();
    let rows = |wrong: fn(f64) -> bool| {
        (0..values.values.len()).filter(move |&row| values.get(row).is_some_and(wrong))
    };
    let value = |row: usize| format!("{name} is {}", values.values[row]);
    let severity = if column.is_required() {
        Severity::Error
    } else {
        Severity::Warning
    };
    let null = Finding::error("null_value", name, "no value").with_severity(severity);
    let infinite = Finding::error("not_finite", name, "NaN or infinite");
    let below = if Column::PRICES.contains(&column) {
        let finding = Finding::error("not_positive", name, "zero or negative price");
        judge.problem(finding, rows(|one| one.is_finite() && one <= 0.0), value)
    } else {
        let finding = Finding::error("negative", name, "negative amount");
        judge.problem(finding, rows(|one| one.is_finite() && one < 0.0), value)
    };
    let nulls = values.null_rows.iter().copied();
    let found = [
        judge.problem(null, nulls, |_| String::new()),
        judge.problem(infinite, rows(|one| !one.is_finite()), value),
        below,
    ];
    found.into_iter().flatten()
}

/// Bars whose prices contradict each other.
fn check_shape(judge: &Judge<'_>) -> impl Iterator<Item = Problem> {
    let value = |column, row| finite(judge, column, row);
    let high_low = |row| Some((value(Column::High, row)?, value(Column::Low, row)?));
    let text = |row: usize| match high_low(row) {
        Some((high, low)) => format!("high {high}, low {low}"),
        None => String::new(),
    };
    let crossed =
        (0..judge.candles.rows).filter(|&row| high_low(row).is_some_and(|(high, low)| high < low));
    let finding = Finding::error("high_below_low", Column::High.name(), "high below low");
    let mut found = vec![judge.problem(finding, crossed, text)];
    for column in [Column::Open, Column::Close] {
        let outside = (0..judge.candles.rows).filter(|&row| {
            let bounds = high_low(row).filter(|(high, low)| high >= low);
            let inside = bounds.zip(value(column, row));
            inside.is_some_and(|((high, low), one)| one > high || one < low)
        });
        let what = format!("{} outside low to high", column.name());
        let finding = Finding::error("outside_range", column.name(), what);
        found.push(judge.problem(finding, outside, |row| {
            let one = value(column, row).unwrap_or_default();
            format!("{} {one}, {}", column.name(), text(row))
        }));
    }
    found.into_iter().flatten()
}

/// Amounts that contradict each other or the prices.
fn check_flow(judge: &Judge<'_>) -> impl Iterator<Item = Problem> {
    let value = |column, row| finite(judge, column, row);
    let taker = |row| {
        Some((
            value(Column::TakerBuyVolume, row)?,
            value(Column::Volume, row).filter(|&volume| volume >= 0.0)?,
        ))
    };
    let above = (0..judge.candles.rows)
        .filter(|&row| taker(row).is_some_and(|(bought, all)| bought > all * (1.0 + ROUNDING)));
    let name = Column::TakerBuyVolume.name();
    let finding = Finding::error("taker_above_volume", name, "more than the whole volume");
    let above = judge.problem(finding, above, |row| match taker(row) {
        Some((bought, all)) => format!("{name} {bought}, volume {all}"),
        None => String::new(),
    });
    let average = |row| {
        let volume = value(Column::Volume, row).filter(|&volume| volume > 0.0)?;
        Some(value(Column::QuoteVolume, row)? / volume)
    };
    let is_outside = |row| {
        let (Some(average), Some(low), Some(high)) = (
            average(row),
            value(Column::Low, row),
            value(Column::High, row),
        ) else {
            return false;
        };
        // A bar with high below low is told as that.
        low <= high && (average < low * (1.0 - ROUNDING) || average > high * (1.0 + ROUNDING))
    };
    let outside = (0..judge.candles.rows).filter(|&row| is_outside(row));
    let name = Column::QuoteVolume.name();
    let finding = Finding::error(
        "vwap_outside_range",
        name,
        "quote_volume / volume outside low to high",
    );
    let outside = judge.problem(finding.with_severity(Severity::Warning), outside, |row| {
        format!("{}", average(row).unwrap_or_default())
    });
    [above, outside].into_iter().flatten()
}

/// Bars without trades and bars that did not move: true on quiet markets, so only told.
fn count_quiet(judge: &Judge<'_>, report: &mut ValidationReport, problems: &mut Vec<Problem>) {
    let value = |column, row| finite(judge, column, row);
    let is_zero = |row: &usize| value(Column::Volume, *row) == Some(0.0);
    let is_flat = |row: &usize| {
        let low = value(Column::Low, *row);
        let others = [Column::Open, Column::High, Column::Close];
        low.is_some() && others.iter().all(|&column| value(column, *row) == low)
    };
    let zero = Finding::error("zero_volume", Column::Volume.name(), "no trade");
    let zero_run = longest_run((0..judge.candles.rows).map(|row| is_zero(&row)));
    let zero = judge.problem(
        zero.with_severity(Severity::Info),
        (0..judge.candles.rows).filter(is_zero),
        |_| format!("the longest run has {zero_run}"),
    );
    let flat = Finding::error("flat", Column::Close.name(), "open = high = low = close");
    let flat_run = longest_run((0..judge.candles.rows).map(|row| is_flat(&row)));
    let flat = judge.problem(
        flat.with_severity(Severity::Info),
        (0..judge.candles.rows).filter(is_flat),
        |_| format!("the longest run has {flat_run}"),
    );
    report.zero_volume_rows = zero.as_ref().map_or(0, |problem| problem.count);
    report.flat_rows = flat.as_ref().map_or(0, |problem| problem.count);
    problems.extend([zero, flat].into_iter().flatten());
}

fn finite(judge: &Judge<'_>, column: Column, row: usize) -> Option<f64> {
    judge
        .candles
        .value(column, row)
        .filter(|value| value.is_finite())
}

fn longest_run(flags: impl Iterator<Item = bool>) -> u64 {
    let mut longest = 0;
    let mut run = 0;
    for flag in flags {
        run = if flag { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}
