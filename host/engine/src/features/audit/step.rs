//! The fit-scope check: a step that is fitted, such as a scaler, may look at training rows only.
//!
//! The step is given all rows and which of them are the training part, and gives all rows back.
//! Rows outside that part are then changed: no training row may change by that, and of the other
//! rows only those that were changed themselves.

use std::collections::BTreeMap;

use rand_core::Rng;

use super::compare::shown;
use super::plan::Dice;
use super::{AuditReport, Check, CheckSummary, Finding};
use crate::types::Market;

/// Rows of a step.
#[derive(Debug, Clone, PartialEq)]
pub struct StepRows {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// `rows x columns` values, row after row; NaN where there is none.
    pub values: Vec<f64>,
}

impl StepRows {
    /// Number of rows; 0 without columns.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.values
            .len()
            .checked_div(self.columns.len())
            .unwrap_or(0)
    }
}

/// A step that is fitted on some rows and applied to all.
pub trait FittedStep {
    /// Fits on the rows that are marked and transforms every row.
    ///
    /// # Errors
    /// Words that say why the step gave nothing usable.
    fn fit_and_apply(&mut self, rows: &StepRows, is_training: &[bool]) -> Result<StepRows, String>;
}

impl<F: FnMut(&StepRows, &[bool]) -> Result<StepRows, String>> FittedStep for F {
    fn fit_and_apply(&mut self, rows: &StepRows, is_training: &[bool]) -> Result<StepRows, String> {
        self(rows, is_training)
    }
}

/// What the checks of one step did and found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StepAudit {
    /// How often the step was fitted on changed rows.
    pub histories: usize,
    /// Values that were compared.
    pub values: usize,
    /// What is wrong, one for each column; `row` counts all rows that were given.
    pub findings: Vec<Finding>,
}

impl StepAudit {
    /// The same with findings that name the step, and whose row of `market` they are: rows are
    /// those of its bars, symbol after symbol.
    #[must_use]
    pub fn placed(mut self, step: &str, market: &Market) -> Self {
        for finding in &mut self.findings {
            finding.column = format!("{step}: {}", finding.column);
            let mut row = finding.row;
            for series in market.series() {
                if let Some(bar) = series.bars.get(row) {
                    finding.symbol.clone_from(&series.name);
                    finding.at = Some(bar.closed_at);
                    finding.row = row;
                    break;
                }
                row -= series.bars.len();
            }
        }
        self
    }
}

impl AuditReport {
    /// Takes in what the checks of a step found. Steps share one line of the summary; a column
    /// that was found already keeps its first example.
    pub fn add_step(&mut self, step: StepAudit) {
        let known = self
            .checks
            .iter()
            .position(|one| one.check == Check::FitScope);
        let at = known.unwrap_or_else(|| {
            self.checks.push(CheckSummary {
                check: Check::FitScope,
                histories: 0,
                values: 0,
                findings: 0,
            });
            self.checks.len() - 1
        });
        self.checks[at].histories += step.histories;
        self.checks[at].values += step.values;
        for finding in step.findings {
            let same =
                |one: &&mut Finding| one.check == finding.check && one.column == finding.column;
            match self.findings.iter_mut().find(same) {
                Some(before) => before.rows += finding.rows,
                None => {
                    self.checks[at].findings += 1;
                    self.findings.push(finding);
                }
            }
        }
    }
}

const TRAIN: &str = "a training row changes when rows outside the training part do: the step was \
                     fitted on more than the training part";
const OTHERS: &str = "a row outside the training part changes when another such row does: the \
                      step was fitted on more than the training part";
const REPEAT: &str = "the same rows gave another value: the step is random, or keeps something \
                      from one fit to the next";

/// Checks a step on `rows`, of which `is_training` marks the training part, `rounds` times.
///
/// # Errors
/// Words where the step fails or does not give one row per row.
pub fn audit_step(
    step: &mut dyn FittedStep,
    rows: &StepRows,
    is_training: &[bool],
    (random, rounds): (&mut dyn Rng, u32),
) -> Result<StepAudit, String> {
    let count = rows.rows();
    let training = is_training.iter().filter(|one| **one).count();
    if is_training.len() != count || training == 0 || training == count {
        return Err(format!(
            "the training part has {training} rows; it must be some, not all, of the {count} rows"
        ));
    }
    let whole = applied(step, rows, is_training)?;
    let mut found = Found {
        whole: &whole,
        audit: StepAudit::default(),
        by_column: BTreeMap::new(),
    };
    let again = applied(step, rows, is_training)?;
    found.compare(&again, |_| Some(REPEAT))?;
    let mut dice = Dice(random);
    for _ in 0..rounds.max(1) {
        let (shaken, is_shaken) = shake(rows, is_training, &mut dice);
        let after = applied(step, &shaken, is_training)?;
        found.compare(&after, |row| match (is_shaken[row], is_training[row]) {
            (true, _) => None,
            (false, true) => Some(TRAIN),
            (false, false) => Some(OTHERS),
        })?;
    }
    Ok(StepAudit {
        findings: found.by_column.into_values().collect(),
        ..found.audit
    })
}

/// What was found so far.
struct Found<'a> {
    /// What the step makes of the rows as they are.
    whole: &'a StepRows,
    audit: StepAudit,
    by_column: BTreeMap<usize, Finding>,
}

impl Found<'_> {
    /// Compares with what the step made of other rows; `meaning` says what a difference in a row
    /// means, and nothing where one is allowed.
    fn compare(
        &mut self,
        after: &StepRows,
        meaning: impl Fn(usize) -> Option<&'static str>,
    ) -> Result<(), String> {
        let whole = self.whole;
        if after.columns != whole.columns {
            let (before, after) = (whole.columns.join(", "), after.columns.join(", "));
            return Err(format!(
                "the step gave the columns {after}, and {before} before"
            ));
        }
        self.audit.histories += 1;
        let width = whole.columns.len();
        let pairs = whole.values.iter().zip(&after.values).enumerate();
        for (position, (before, after)) in pairs {
            let (row, column) = (position / width, position % width);
            let Some(meaning) = meaning(row) else {
                continue;
            };
            self.audit.values += 1;
            if before.to_bits() == after.to_bits() || (before.is_nan() && after.is_nan()) {
                continue;
            }
            let finding = self.by_column.entry(column).or_insert_with(|| Finding {
                check: Check::FitScope,
                column: whole.columns[column].clone(),
                symbol: String::new(),
                row,
                at: None,
                expected: shown(*before),
                found: shown(*after),
                rows: 0,
                meaning: meaning.to_owned(),
            });
            finding.rows += 1;
        }
        Ok(())
    }
}

fn applied(
    step: &mut dyn FittedStep,
    rows: &StepRows,
    is_training: &[bool],
) -> Result<StepRows, String> {
    let count = rows.rows();
    let out = step.fit_and_apply(rows, is_training)?;
    if out.columns.is_empty() || out.values.len() != count * out.columns.len() {
        return Err(format!(
            "the step gave {} values in {} columns for {count} rows",
            out.values.len(),
            out.columns.len()
        ));
    }
    Ok(out)
}

/// Changes about half of the rows outside the training part, and says which.
fn shake(rows: &StepRows, is_training: &[bool], dice: &mut Dice<'_>) -> (StepRows, Vec<bool>) {
    let mut shaken = rows.clone();
    let mut is_shaken = vec![false; is_training.len()];
    let width = rows.columns.len().max(1);
    for (row, line) in shaken.values.chunks_exact_mut(width).enumerate() {
        if is_training[row] || dice.share() < 0.5 {
            continue;
        }
        is_shaken[row] = true;
        for value in line {
            *value = *value * (1.0 + 5.0 * dice.share()) + dice.share() + 1.0;
        }
    }
    (shaken, is_shaken)
}
