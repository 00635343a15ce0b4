//! The fit-scope check: a step that is fitted, such as a scaler, may look at training rows only.
//!
//! The step is given all rows and the range of the training rows, and gives all rows back. Rows
//! outside the range are then changed: no training row may change by that, and of the other rows
//! only those that were changed themselves.

use std::ops::Range;

use rand_core::Rng;

use super::compare::shown;
use super::plan::Dice;
use super::{Check, Finding};

/// Rows of a step.
#[derive(Debug, Clone, PartialEq)]
pub struct StepRows {
    /// Columns.
    pub width: usize,
    /// `rows x width` values, row after row.
    pub values: Vec<f64>,
}

/// A step that is fitted on some rows and applied to all.
pub trait FittedStep {
    /// Fits on the rows of `train` and transforms every row.
    ///
    /// # Errors
    /// Words that say why the step gave nothing usable.
    fn fit_and_apply(&mut self, rows: &StepRows, train: Range<usize>) -> Result<StepRows, String>;
}

impl<F: FnMut(&StepRows, Range<usize>) -> Result<StepRows, String>> FittedStep for F {
    fn fit_and_apply(&mut self, rows: &StepRows, train: Range<usize>) -> Result<StepRows, String> {
        self(rows, train)
    }
}

const TRAIN: &str = "a training row changes when rows outside the training part do: the step was \
                     fitted on more than the training part";
const OTHERS: &str = "a row outside the training part changes when another such row does: the \
                      step was fitted on more than the training part";

/// Checks a step on `rows` with the training part `train`, `rounds` times.
///
/// # Errors
/// Words where the step fails or does not give one row per row.
pub fn audit_step(
    step: &mut dyn FittedStep,
    rows: &StepRows,
    train: Range<usize>,
    (random, rounds): (&mut dyn Rng, u32),
) -> Result<Vec<Finding>, String> {
    let width = rows.width.max(1);
    let count = rows.values.len() / width;
    if train.end > count || train.is_empty() || train.len() == count {
        return Err(format!(
            "the training part {train:?} must be some, not all, of the {count} rows"
        ));
    }
    let whole = applied(step, rows, &train)?;
    let out_width = whole.width.max(1);
    let mut dice = Dice(random);
    let mut by_column: Vec<Option<Finding>> = vec![None; out_width];
    for _ in 0..rounds.max(1) {
        let (shaken, is_shaken) = shake(rows, &train, &mut dice);
        let after = applied(step, &shaken, &train)?;
        let pairs = whole.values.iter().zip(&after.values).enumerate();
        for (position, (before, after)) in pairs {
            let (row, column) = (position / out_width, position % out_width);
            let is_same = before.to_bits() == after.to_bits();
            if is_same || is_shaken[row] {
                continue;
            }
            let is_train = train.contains(&row);
            let finding = by_column[column].get_or_insert_with(|| Finding {
                check: Check::FitScope,
                column: format!("column {}", column + 1),
                symbol: String::new(),
                row,
                at: None,
                expected: shown(*before),
                found: shown(*after),
                rows: 0,
                meaning: if is_train { TRAIN } else { OTHERS }.to_owned(),
            });
            finding.rows += 1;
        }
    }
    Ok(by_column.into_iter().flatten().collect())
}

fn applied(
    step: &mut dyn FittedStep,
    rows: &StepRows,
    train: &Range<usize>,
) -> Result<StepRows, String> {
    let count = rows.values.len() / rows.width.max(1);
    let out = step.fit_and_apply(rows, train.clone())?;
    if out.values.len() != count * out.width || out.width == 0 {
        return Err(format!(
            "the step gave {} values of width {} for {count} rows",
            out.values.len(),
            out.width
        ));
    }
    Ok(out)
}

/// Changes about half of the rows outside the training part, and says which.
fn shake(rows: &StepRows, train: &Range<usize>, dice: &mut Dice<'_>) -> (StepRows, Vec<bool>) {
    let width = rows.width.max(1);
    let mut shaken = rows.clone();
    let count = rows.values.len() / width;
    let mut is_shaken = vec![false; count];
    for (row, line) in shaken.values.chunks_exact_mut(width).enumerate() {
        if train.contains(&row) || dice.share() < 0.5 {
            continue;
        }
        is_shaken[row] = true;
        for value in line {
            *value = *value * (1.0 + 5.0 * dice.share()) + dice.share() + 1.0;
        }
    }
    (shaken, is_shaken)
}
