//! Walk-forward splits: train on the past, validate on what follows, predict what comes after.

use serde::{Deserialize, Serialize};

use super::split::{
    Fold, HeldOut, PartCounts, Period, SplitError, SplitPath, SplitPlan, SplitProblem,
};
use super::{Samples, Span};
use crate::types::Timestamp;

/// Training, validation and test period of a fold.
pub type WalkPeriods = (Period, Option<Period>, Period);

/// Where the training period of each fold begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SplitKind {
    /// It moves along: every fold trains on the same length.
    Rolling,
    /// It stays at the start: every fold trains on all that came before.
    Anchored,
}

/// The walk-forward plan of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitConfig {
    /// Where training periods begin.
    pub kind: SplitKind,
    /// Length of the (first) training period.
    pub train: Span,
    /// Length of the validation period between training and test; `None` for no validation.
    pub valid: Option<Span>,
    /// Length of the test period; the last one ends with the data.
    pub test: Span,
    /// How far each fold moves; at least `test`, so that no row is predicted twice.
    pub step: Span,
    /// Bars between the last label of one period and the start of the next.
    #[serde(default)]
    pub embargo_bars: u32,
}

impl Default for SplitConfig {
    fn default() -> Self {
        Self {
            kind: SplitKind::Rolling,
            train: Span::months(18),
            valid: Some(Span::months(2)),
            test: Span::months(3),
            step: Span::months(3),
            embargo_bars: 0,
        }
    }
}

/// The most folds of a plan.
const MAX_FOLDS: usize = 10_000;

impl SplitConfig {
    /// The periods of every fold for data that covers `available`; a last test period that the data
    /// cuts short is kept.
    ///
    /// # Errors
    /// [`SplitError`] where the plan does not fit the data or the calendar.
    pub fn periods(&self, available: Period) -> Result<Vec<WalkPeriods>, SplitError> {
        let anchor = available.from;
        let none = Span::default();
        let at = |spans: [Span; 3]| -> Option<Timestamp> {
            spans.into_iter().try_fold(none, Span::plus)?.after(anchor)
        };
        let valid_span = self.valid.unwrap_or_default();
        let mut folds = Vec::new();
        for index in 0.. {
            let dates = || {
                let moved = self.step.times(index)?;
                let next = self.step.times(index + 1)?;
                let before_test = self.train.plus(valid_span)?;
                Some([
                    moved.after(anchor)?,
                    at([moved, self.train, none])?,
                    at([moved, before_test, none])?,
                    at([moved, before_test, self.test])?,
                    at([next, before_test, none])?,
                ])
            };
            let Some([train_from, train_to, test_from, test_to, next_test_from]) = dates() else {
                return Err(SplitProblem::OutOfCalendar.into());
            };
            if index == 0 {
                self.check_first(available, (test_from, test_to, next_test_from))?;
            }
            if test_from >= available.to {
                return Ok(folds);
            }
            if folds.len() == MAX_FOLDS {
                return Err(SplitProblem::TooManyFolds { limit: MAX_FOLDS }.into());
            }
            let from = match self.kind {
                SplitKind::Rolling => train_from,
                SplitKind::Anchored => anchor,
            };
            // Months of different lengths may make a period reach over its successor's start.
            let to = test_to.min(next_test_from).min(available.to);
            folds.push((
                Period { from, to: train_to },
                self.valid.map(|_| Period {
                    from: train_to,
                    to: test_from,
                }),
                Period {
                    from: test_from,
                    to,
                },
            ));
        }
        Ok(folds)
    }

    fn check_first(
        &self,
        available: Period,
        (test_from, test_to, next_test_from): (Timestamp, Timestamp, Timestamp),
    ) -> Result<(), SplitError> {
        let mut problems = Vec::new();
        if next_test_from < test_to {
            let (step, test) = (self.step, self.test);
            problems.push(SplitProblem::StepTooShort { step, test });
        }
        if test_from >= available.to {
            problems.push(SplitProblem::RangeTooShort {
                available,
                first_test: test_from,
            });
        }
        if problems.is_empty() {
            Ok(())
        } else {
            Err(SplitError { problems })
        }
    }
}

impl Samples {
    /// The folds of a walk, their rows not counted yet.
    pub(super) fn walk_forward(&self, config: &SplitConfig) -> Result<SplitPlan, SplitError> {
        let available = self.period().ok_or(SplitProblem::NoBars)?;
        let embargo = i64::from(config.embargo_bars).saturating_mul(self.time_frame().nanos());
        // All that is later is held out too: its first part keeps everything before it away.
        let held_out = |period: Period| HeldOut {
            period,
            labels_end: period.to,
            before_nanos: embargo,
            after_nanos: 0,
        };
        let fold = |(index, (train, valid, test)): (usize, WalkPeriods)| Fold {
            index,
            train: vec![train],
            valid,
            test: vec![test],
            is_shortened: config
                .test
                .after(test.from)
                .is_some_and(|end| end > test.to),
            train_held_out: vec![held_out(valid.unwrap_or(test))],
            valid_held_out: vec![held_out(test)],
            train_counts: PartCounts::default(),
            valid_counts: PartCounts::default(),
            test_counts: PartCounts::default(),
        };
        let periods = config.periods(available)?;
        let folds: Vec<Fold> = periods.into_iter().enumerate().map(fold).collect();
        let parts = folds.iter().map(|fold| (fold.test_period(), fold.index));
        let paths = vec![SplitPath {
            parts: parts.collect(),
        }];
        Ok(SplitPlan { folds, paths })
    }
}
