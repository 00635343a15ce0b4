//! The warm-up check: a value must not depend on bars that lie further back than declared.

use super::compare::{Differences, shown};
use super::histories::from;
use super::plan::Dice;
use super::{AuditError, Check, Declared, FeatureTable, Finding, Run};

/// How far values of code that declares nothing may differ once half of the history has passed.
const UNDECLARED_TOLERANCE: f64 = 1e-6;
/// Histories with another beginning.
const BEGINNINGS: usize = 3;

pub(super) fn check(run: &mut Run<'_>, dice: &mut Dice<'_>) -> Result<(), AuditError> {
    let width = run.width();
    let mut differences = Differences::new(Check::WarmUp, width);
    let longest = run.market.series().iter().max_by_key(|one| one.bars.len());
    let bars = longest.map_or(&[][..], |series| &series.bars);
    let mut is_seen = vec![false; width];
    for _ in 0..BEGINNINGS {
        // At most a third is left out, so that most of the history remains to settle in.
        let first = 1 + dice.below((bars.len() / 3).max(1));
        let Some(opened_at) = bars.get(first).map(|bar| bar.opened_at) else {
            continue;
        };
        let market = from(run.market, opened_at);
        let table = run.compute(&market, &format!("the history from {opened_at}"))?;
        differences.begin_history();
        for (column, seen) in is_seen.iter_mut().enumerate() {
            *seen |= compare(run, &table, column, &mut differences);
        }
    }
    let unseen = (0..width).filter(|column| !is_seen[*column]);
    for column in unseen.collect::<Vec<_>>() {
        let name = &run.whole.columns[column];
        let note = format!("the warm-up of `{name}` is longer than this history could show");
        run.report.notes.push(note);
    }
    differences.conclude(run);
    Ok(())
}

/// Compares one column from where it must have settled; whether there was anything to compare.
fn compare(
    run: &Run<'_>,
    table: &FeatureTable,
    column: usize,
    differences: &mut Differences,
) -> bool {
    let width = run.width();
    let mut is_seen = false;
    for (symbol, series) in run.market.series().iter().enumerate() {
        let column_of = |values: &[f64]| -> Vec<f64> {
            values.iter().skip(column).step_by(width).copied().collect()
        };
        let whole = column_of(&run.whole.values[symbol]);
        let part = column_of(&table.values[symbol]);
        let late = whole.len() - part.len();
        let declared = run.code.declared(column).unwrap_or(Declared {
            settled_bars: part.len() / 2,
            tolerance: UNDECLARED_TOLERANCE,
        });
        let finite = part.iter().filter(|value| value.is_finite());
        let scale = finite.map(|value| value.abs()).fold(0.0, f64::max);
        for row in declared.settled_bars..part.len() {
            let (whole, part) = (whole[row + late], part[row]);
            let is_near = (whole.is_nan() && part.is_nan())
                || (whole - part).abs() <= declared.tolerance * scale;
            is_seen = true;
            if is_near {
                differences.count();
                continue;
            }
            differences.add(column, || Finding {
                check: Check::WarmUp,
                column: run.whole.columns[column].clone(),
                symbol: series.name.clone(),
                row: row + late,
                at: Some(series.bars[row + late].closed_at),
                expected: shown(whole),
                found: shown(part),
                rows: 1,
                meaning: format!(
                    "the value still depends on where the history begins {} bars later: the \
                     declared warm-up is too short, or the column never forgets",
                    declared.settled_bars
                ),
            });
        }
    }
    is_seen
}
