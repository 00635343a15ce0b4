//! The checks that compare the code with itself on another history.

use super::histories::{rows_by, shaken_after, up_to};
use super::plan::{Dice, cuts};
use super::{AuditError, Check, CheckSummary, FeatureTable, Finding, Run};
use crate::types::{Market, Timestamp};

/// Bars below which code may fail without that being held against it.
const SHORT_HISTORY: usize = 128;

/// Differences that belong together: one finding for each column.
pub(super) struct Differences {
    check: Check,
    by_column: Vec<Option<Finding>>,
    histories: usize,
    values: usize,
}

impl Differences {
    pub(super) fn new(check: Check, columns: usize) -> Self {
        Self {
            check,
            by_column: vec![None; columns],
            histories: 0,
            values: 0,
        }
    }

    /// Counts a history.
    pub(super) fn begin_history(&mut self) {
        self.histories += 1;
    }

    /// Counts a comparison that held.
    pub(super) fn count(&mut self) {
        self.values += 1;
    }

    /// Takes in a difference; the first one of a column is kept as its example.
    pub(super) fn add(&mut self, column: usize, make: impl FnOnce() -> Finding) {
        self.values += 1;
        match &mut self.by_column[column] {
            Some(finding) => finding.rows += 1,
            empty => *empty = Some(make()),
        }
    }

    /// Hands everything to the report.
    pub(super) fn conclude(self, run: &mut Run<'_>) {
        let summary = CheckSummary {
            check: self.check,
            histories: self.histories,
            values: self.values,
            findings: 0,
        };
        run.conclude(summary, self.by_column.into_iter().flatten().collect());
    }
}

/// A value, or none.
pub(super) fn shown(value: f64) -> Option<f64> {
    (!value.is_nan()).then_some(value)
}

fn is_equal(a: f64, b: f64, tolerance: f64) -> bool {
    if a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()) {
        return true;
    }
    tolerance > 0.0 && (a - b).abs() <= tolerance * a.abs().max(b.abs())
}

impl Run<'_> {
    /// Compares the first `rows` rows of each symbol with those of the whole history.
    fn compare(
        &self,
        (table, rows): (&FeatureTable, &[usize]),
        differences: &mut Differences,
        meaning: &str,
    ) {
        let width = self.width();
        differences.begin_history();
        let check = differences.check;
        for (symbol, series) in self.market.series().iter().enumerate() {
            let whole = self.whole.values[symbol].chunks_exact(width);
            let part = table.values[symbol].chunks_exact(width);
            for (row, (whole, part)) in whole.zip(part).take(rows[symbol]).enumerate() {
                for (column, (&whole, &part)) in whole.iter().zip(part).enumerate() {
                    if is_equal(whole, part, self.options.tolerance) {
                        differences.count();
                        continue;
                    }
                    differences.add(column, || Finding {
                        check,
                        column: self.whole.columns[column].clone(),
                        symbol: series.name.clone(),
                        row,
                        at: Some(series.bars[row].closed_at),
                        expected: shown(part),
                        found: shown(whole),
                        rows: 1,
                        meaning: meaning.to_owned(),
                    });
                }
            }
        }
    }

    /// The same bars give the same values.
    pub(super) fn check_repeat(&mut self) -> Result<(), AuditError> {
        let market = self.market;
        let again = self.compute(market, "the whole history, again")?;
        let rows: Vec<usize> = market.series().iter().map(|one| one.bars.len()).collect();
        let mut differences = Differences::new(Check::Repeat, self.width());
        self.compare((&again, &rows), &mut differences, REPEAT);
        differences.conclude(self);
        Ok(())
    }

    /// No row changes when later bars are removed.
    pub(super) fn check_truncation(&mut self, dice: &mut Dice<'_>) -> Result<(), AuditError> {
        let mut differences = Differences::new(Check::Truncation, self.width());
        for last in cuts(self.market, self.options.rounds, dice) {
            let prefix = up_to(self.market, last);
            if let Some(table) = self.compute_or_note(&prefix, last)? {
                let rows = rows_by(self.market, last);
                self.compare((&table, &rows), &mut differences, TRUNCATION);
            }
        }
        differences.conclude(self);
        Ok(())
    }

    /// No row changes when later bars do.
    pub(super) fn check_shift(&mut self, dice: &mut Dice<'_>) -> Result<(), AuditError> {
        let mut differences = Differences::new(Check::Shift, self.width());
        for last in cuts(self.market, self.options.rounds, dice) {
            let shaken = shaken_after(self.market, last, dice);
            let history = format!("the history with other bars after {last}");
            let table = self.compute(&shaken, &history)?;
            let rows = rows_by(self.market, last);
            self.compare((&table, &rows), &mut differences, SHIFT);
        }
        differences.conclude(self);
        Ok(())
    }

    /// What the code makes of a prefix; a note where a short one is too little for it.
    fn compute_or_note(
        &mut self,
        prefix: &Market,
        last: Timestamp,
    ) -> Result<Option<FeatureTable>, AuditError> {
        let history = format!("the history up to {last}");
        let bars = prefix.series().iter().map(|one| one.bars.len()).max();
        match self.compute(prefix, &history) {
            Ok(table) => Ok(Some(table)),
            Err(error) if bars.unwrap_or(0) < SHORT_HISTORY => {
                self.report.notes.push(format!("not looked at: {error}"));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Every column has a value somewhere.
    pub(super) fn check_coverage(&mut self) {
        let width = self.width();
        let mut differences = Differences::new(Check::Coverage, width);
        differences.begin_history();
        for column in 0..width {
            let values = self.whole.values.iter().flat_map(|values| {
                let column = values.iter().skip(column).step_by(width);
                column.copied()
            });
            if values.into_iter().any(f64::is_finite) {
                differences.count();
                continue;
            }
            differences.add(column, || Finding {
                check: Check::Coverage,
                column: self.whole.columns[column].clone(),
                symbol: String::new(),
                row: 0,
                at: None,
                expected: None,
                found: None,
                rows: 1,
                meaning: "the column never has a value, so nothing about it is known; give the \
                          audit more bars, or drop the column"
                    .to_owned(),
            });
        }
        differences.conclude(self);
    }
}

const REPEAT: &str = "the same bars gave another value: the code is random, or keeps something \
                      from one call to the next";
const TRUNCATION: &str = "the value changes when the bars after this row are removed: it uses \
                          bars that had not closed yet";
const SHIFT: &str = "the value changes when the bars after this row change: it uses bars that \
                     had not closed yet";
