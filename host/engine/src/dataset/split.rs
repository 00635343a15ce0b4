//! Walk-forward splits: which stretch of time each fold trains on, validates on and predicts.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Samples, Span};
use crate::labels::CLASSES;
use crate::types::Timestamp;

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

/// A stretch of time. A bar belongs to the period that it covers: its close lies after `from` and
/// at `to` at the latest, so the bar of a month's last hour belongs to that month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Period {
    /// Where it begins; what closes at this moment belongs to the period before.
    pub from: Timestamp,
    /// Where it ends; what closes at this moment belongs to it.
    pub to: Timestamp,
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.from, self.to)
    }
}

/// What lies in one period of a fold, over all symbols.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct PartCounts {
    /// Rows in which every feature is there.
    pub rows: usize,
    /// Rows to learn from or to score.
    pub samples: usize,
    /// Rows left out because their label ends after the next period has begun.
    pub purged: usize,
    /// Rows left out because their label ends within the embargo before the next period.
    pub embargoed: usize,
    /// Rows without a label.
    pub unlabelled: usize,
    /// Samples per class: down, flat, up.
    pub class_counts: [usize; 3],
}

/// One step of the walk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fold {
    /// Number of the fold, from 0.
    pub index: usize,
    /// What is learned from.
    pub train: Period,
    /// What training is watched on.
    pub valid: Option<Period>,
    /// What is predicted.
    pub test: Period,
    /// Whether the end of the data cuts the test period short.
    pub is_shortened: bool,
    /// Time between the last label of one period and the next period, in nanoseconds.
    pub embargo_nanos: i64,
    /// Rows of the training period.
    pub train_counts: PartCounts,
    /// Rows of the validation period.
    pub valid_counts: PartCounts,
    /// Rows of the test period.
    pub test_counts: PartCounts,
}

/// One thing that keeps a plan from being carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SplitProblem {
    /// The step is shorter than the test period.
    #[error(
        "`split.step` ({step}) is shorter than `split.test` ({test}): rows would be predicted twice"
    )]
    StepTooShort {
        /// The step.
        step: Span,
        /// The test period.
        test: Span,
    },
    /// The data does not reach into the first test period.
    #[error(
        "the data covers {available}, but the first test period begins at {first_test}; shorten \
         `split.train` or `split.valid`, or take more data"
    )]
    RangeTooShort {
        /// What the data covers.
        available: Period,
        /// Where the first test period begins.
        first_test: Timestamp,
    },
    /// The dates leave the calendar.
    #[error("the periods of `split` leave the calendar; shorten them")]
    OutOfCalendar,
    /// The plan has too many folds.
    #[error("`split.step` gives more than {limit} folds; make it longer")]
    TooManyFolds {
        /// The most that is allowed.
        limit: usize,
    },
    /// No symbol has a bar.
    #[error("there are no bars to split; take a range that has data")]
    NoBars,
    /// A period of a fold has nothing in it.
    #[error("fold {} has no {what} in its {part} period, {period}", .fold + 1)]
    Empty {
        /// The fold's index, from 0; texts count folds from 1, as the report does.
        fold: usize,
        /// Which period.
        part: &'static str,
        /// What is missing.
        what: &'static str,
        /// When it is.
        period: Period,
    },
    /// A class cannot be learned in a fold.
    #[error(
        "fold {} has no sample of class `{class}` in its training period, {period}; train \
         longer or bring the label thresholds nearer", .fold + 1
    )]
    MissingClass {
        /// The fold's index, from 0.
        fold: usize,
        /// The class.
        class: &'static str,
        /// When it is.
        period: Period,
    },
}

/// Everything that keeps a plan from being carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitError {
    /// The problems; never empty.
    pub problems: Vec<SplitProblem>,
}

impl fmt::Display for SplitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} problem(s) with the walk-forward split:",
            self.problems.len()
        )?;
        for problem in &self.problems {
            write!(f, "\n  - {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for SplitError {}

impl From<SplitProblem> for SplitError {
    fn from(problem: SplitProblem) -> Self {
        Self {
            problems: vec![problem],
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
    pub fn periods(
        &self,
        available: Period,
    ) -> Result<Vec<(Period, Option<Period>, Period)>, SplitError> {
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
    /// The folds of a plan, with what lies in each.
    ///
    /// # Errors
    /// [`SplitError`] with every fold that lacks samples, rows to predict or a class to learn.
    pub fn split(&self, config: &SplitConfig) -> Result<Vec<Fold>, SplitError> {
        let available = self.period().ok_or(SplitProblem::NoBars)?;
        let embargo_nanos =
            i64::from(config.embargo_bars).saturating_mul(self.time_frame().nanos());
        let mut problems = Vec::new();
        let mut folds = Vec::new();
        for (index, (train, valid, test)) in config.periods(available)?.into_iter().enumerate() {
            let mut fold = Fold {
                index,
                train,
                valid,
                test,
                is_shortened: config
                    .test
                    .after(test.from)
                    .is_some_and(|end| end > test.to),
                embargo_nanos,
                train_counts: PartCounts::default(),
                valid_counts: PartCounts::default(),
                test_counts: PartCounts::default(),
            };
            fold.train_counts = self.count(fold.train, fold.after_train(), embargo_nanos);
            if let Some(valid) = fold.valid {
                fold.valid_counts = self.count(valid, Some(fold.test.from), embargo_nanos);
            }
            fold.test_counts = self.count(fold.test, None, 0);
            fold.report_problems(&mut problems);
            folds.push(fold);
        }
        if problems.is_empty() {
            Ok(folds)
        } else {
            Err(SplitError { problems })
        }
    }
}

impl Fold {
    /// When the period after training begins.
    pub(super) fn after_train(&self) -> Option<Timestamp> {
        Some(self.valid.map_or(self.test.from, |valid| valid.from))
    }

    fn report_problems(&self, problems: &mut Vec<SplitProblem>) {
        let fold = self.index;
        let mut require = |count: usize, part, what, period| {
            if count == 0 {
                problems.push(SplitProblem::Empty {
                    fold,
                    part,
                    what,
                    period,
                });
            }
        };
        require(self.train_counts.samples, "training", "samples", self.train);
        if let Some(valid) = self.valid {
            require(self.valid_counts.samples, "validation", "samples", valid);
        }
        require(self.test_counts.rows, "test", "rows", self.test);
        if self.train_counts.samples == 0 {
            return;
        }
        for (class, count) in CLASSES.into_iter().zip(self.train_counts.class_counts) {
            if count == 0 {
                let period = self.train;
                problems.push(SplitProblem::MissingClass {
                    fold,
                    class,
                    period,
                });
            }
        }
    }
}
