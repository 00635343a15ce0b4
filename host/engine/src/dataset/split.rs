//! Splits: which rows each fold learns from, watches and predicts, whatever the plan.
//!
//! A plan is a [`Splitter`]; [`Samples::split`] carries it out and gives [`Fold`]s and the paths
//! that their predictions form. Every fold keeps labels apart by the same rule, [`HeldOut`].

use std::fmt;

use serde::{Deserialize, Serialize};

use super::groups::GroupSplit;
use super::{Samples, Span, SplitConfig};
use crate::labels::{CLASSES, Direction, Label, LabelTask};
use crate::problem::Problem;
use crate::types::Timestamp;

/// A plan of folds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Splitter {
    /// Train on the past, predict what comes next, move on.
    WalkForward(SplitConfig),
    /// Cut time into groups and predict each from all others, or several at once.
    Groups(GroupSplit),
}

impl From<SplitConfig> for Splitter {
    fn from(config: SplitConfig) -> Self {
        Self::WalkForward(config)
    }
}

impl From<GroupSplit> for Splitter {
    fn from(config: GroupSplit) -> Self {
        Self::Groups(config)
    }
}

impl Splitter {
    /// Whether some fold learns from bars after those that it predicts. Its results estimate
    /// skill; nobody could have traded them.
    #[must_use]
    pub fn trains_on_the_future(&self) -> bool {
        matches!(self, Self::Groups(_))
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

impl Period {
    /// Whether a bar that closes at `at` belongs to it.
    #[must_use]
    pub fn contains(&self, at: Timestamp) -> bool {
        self.from < at && at <= self.to
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.from, self.to)
    }
}

/// A period whose labels must stay apart from those of rows around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct HeldOut {
    /// When its rows are.
    pub period: Period,
    /// When the last label of its rows is known; no earlier than its end.
    pub labels_end: Timestamp,
    /// Time that a label before it must end before it begins, in nanoseconds.
    pub before_nanos: i64,
    /// Time after its last label in which no row is taken, in nanoseconds.
    pub after_nanos: i64,
}

/// What becomes of a row that has a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Sample,
    Purged,
    Embargoed,
}

impl HeldOut {
    /// Whether the label of a row outside this period keeps apart from it. A label covers the time
    /// from its row's close to its end; two that touch at a moment overlap (M. Lopez de Prado,
    /// Advances in Financial Machine Learning, 7.4.1).
    pub(super) fn judge(&self, closed_at: Timestamp, label_end: Timestamp) -> Verdict {
        let Period { from, to } = self.period;
        if closed_at > to {
            let free = self.labels_end.saturating_add_nanos(self.after_nanos);
            return match closed_at {
                at if at <= self.labels_end => Verdict::Purged,
                at if at <= free => Verdict::Embargoed,
                _ => Verdict::Sample,
            };
        }
        // The first bar of the period closes after `from`, so a label may end there.
        if closed_at > from || label_end > from {
            Verdict::Purged
        } else if label_end > from.saturating_add_nanos(-self.before_nanos) {
            Verdict::Embargoed
        } else {
            Verdict::Sample
        }
    }
}

/// What all of `held_out` say together: purged where any of them says so.
pub(super) fn judge(held_out: &[HeldOut], closed_at: Timestamp, label: &Label) -> Verdict {
    let mut verdict = Verdict::Sample;
    for one in held_out {
        match one.judge(closed_at, label.end) {
            Verdict::Purged => return Verdict::Purged,
            Verdict::Embargoed => verdict = Verdict::Embargoed,
            Verdict::Sample => {}
        }
    }
    verdict
}

/// What lies in one part of a fold, over all symbols.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct PartCounts {
    /// Rows in which every feature is there.
    pub rows: usize,
    /// Rows to learn from or to score.
    pub samples: usize,
    /// Rows left out because their label overlaps with one that is held out.
    pub purged: usize,
    /// Rows left out because they lie within the embargo.
    pub embargoed: usize,
    /// Rows without a label.
    pub unlabelled: usize,
    /// Samples per class: down, flat, up.
    pub class_counts: [usize; 3],
}

/// One model's share of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fold {
    /// Number of the fold, from 0.
    pub index: usize,
    /// What is learned from: periods in time order, at least one.
    pub train: Vec<Period>,
    /// What training is watched on.
    pub valid: Option<Period>,
    /// What is predicted: periods in time order, at least one.
    pub test: Vec<Period>,
    /// Whether the end of the data cuts the test period short.
    pub is_shortened: bool,
    /// What training labels keep apart from.
    pub train_held_out: Vec<HeldOut>,
    /// What validation labels keep apart from.
    pub valid_held_out: Vec<HeldOut>,
    /// Rows of the training periods.
    pub train_counts: PartCounts,
    /// Rows of the validation period.
    pub valid_counts: PartCounts,
    /// Rows of the test periods.
    pub test_counts: PartCounts,
}

/// A part of a fold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoldPart {
    /// What is learned from.
    Training,
    /// What training is watched on.
    Validation,
    /// What is predicted.
    Test,
}

impl fmt::Display for FoldPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Training => "training",
            Self::Validation => "validation",
            Self::Test => "test",
        })
    }
}

/// What makes training, validation and test period longer, in words.
type PartLengths = [&'static str; 3];

impl Splitter {
    fn part_lengths(&self) -> PartLengths {
        match self {
            Self::WalkForward(_) => [
                "lengthen `split.train`",
                "lengthen `split.valid`",
                "lengthen `split.test`",
            ],
            Self::Groups(_) => ["lower `split.groups` or `split.test_groups`"; 3],
        }
    }
}

/// From the start of the first of some periods to the end of the last.
fn around(periods: &[Period]) -> Period {
    let epoch = Timestamp::from_nanos(0);
    Period {
        from: periods.first().map_or(epoch, |period| period.from),
        to: periods.last().map_or(epoch, |period| period.to),
    }
}

impl Fold {
    /// From the start of its first training period to the end of the last.
    #[must_use]
    pub fn train_period(&self) -> Period {
        around(&self.train)
    }

    /// From the start of its first test period to the end of the last.
    #[must_use]
    pub fn test_period(&self) -> Period {
        around(&self.test)
    }

    pub(super) fn report_problems(
        &self,
        (task, lengths): (&LabelTask, PartLengths),
        problems: &mut Vec<SplitProblem>,
    ) {
        let fold = self.index;
        let mut require = |count: usize, (part, longer), period, counts| {
            if count == 0 {
                problems.push(SplitProblem::Empty {
                    fold,
                    part,
                    period,
                    counts,
                    longer,
                });
            }
        };
        let (period, [train, valid, test]) = (self.train_period(), lengths);
        let counts = self.train_counts;
        require(counts.samples, (FoldPart::Training, train), period, counts);
        if let Some(period) = self.valid {
            let counts = self.valid_counts;
            require(
                counts.samples,
                (FoldPart::Validation, valid),
                period,
                counts,
            );
        }
        let (counts, tested) = (self.test_counts, self.test_period());
        require(counts.rows, (FoldPart::Test, test), tested, counts);
        if self.train_counts.samples == 0 {
            return;
        }
        for (class, count) in learned_classes(task, self.train_counts.class_counts) {
            if count == 0 {
                problems.push(SplitProblem::MissingClass {
                    fold,
                    class,
                    period,
                });
            }
        }
    }
}

/// The classes that a learner must have seen, with the number of their samples.
fn learned_classes(task: &LabelTask, counts: [usize; 3]) -> Vec<(&'static str, usize)> {
    let names = task.classes();
    match task {
        LabelTask::Direction => CLASSES.into_iter().zip(counts).collect(),
        LabelTask::Acting => {
            let passed = counts[Direction::Flat.index()];
            let acted = counts.iter().sum::<usize>() - passed;
            names.iter().copied().zip([passed, acted]).collect()
        }
        LabelTask::Returns { .. } => Vec::new(),
    }
}

/// One complete set of predictions: every tested row once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SplitPath {
    /// Periods in time order and the position of the fold that predicts each.
    pub parts: Vec<(Period, usize)>,
}

impl SplitPath {
    /// The fold whose prediction for a bar that closes at `at` belongs to this path.
    #[must_use]
    pub fn fold_at(&self, at: Timestamp) -> Option<usize> {
        let part = self.parts.partition_point(|(period, _)| period.to < at);
        let (period, fold) = self.parts.get(part)?;
        period.contains(at).then_some(*fold)
    }
}

/// A plan carried out on the rows of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SplitPlan {
    /// The folds.
    pub folds: Vec<Fold>,
    /// The sets of predictions that the folds make together; at least one.
    pub paths: Vec<SplitPath>,
}

impl SplitPlan {
    /// From the start of the first test period to the end of the last.
    #[must_use]
    pub fn tested(&self) -> Option<Period> {
        let tests = || self.folds.iter().flat_map(|fold| &fold.test);
        Some(Period {
            from: tests().map(|period| period.from).min()?,
            to: tests().map(|period| period.to).max()?,
        })
    }
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
    /// A value of the plan that cannot be used.
    #[error("`split.{}` {}", .0.key, .0.message)]
    Invalid(Problem),
    /// There are fewer closing times than groups.
    #[error("{groups} groups need as many closing times with rows; there are {found}")]
    TooFewRows {
        /// Groups in all.
        groups: u32,
        /// Distinct closing times of rows.
        found: usize,
    },
    /// No symbol has a bar.
    #[error("there are no bars to split; take a range that has data")]
    NoBars,
    /// A part of a fold has nothing in it.
    #[error(
        "fold {} has no {} in its {part} period, {period}: {}",
        .fold + 1, lacking(*.part), why_empty(.counts, .longer)
    )]
    Empty {
        /// The fold's index, from 0; texts count folds from 1, as the report does.
        fold: usize,
        /// Which part.
        part: FoldPart,
        /// When it is.
        period: Period,
        /// What became of its rows.
        counts: PartCounts,
        /// What would make it longer, in words.
        longer: &'static str,
    },
    /// A class cannot be learned in a fold.
    #[error(
        "fold {} has no sample of class `{class}` in its training period, {period}; train \
         longer or {}", .fold + 1, more_of(class)
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

/// What makes a class of labels more frequent.
fn more_of(class: &str) -> &'static str {
    let is = |one: Direction| CLASSES[one.index()] == class;
    match class {
        _ if is(Direction::Flat) => {
            "move the label thresholds apart, or shorten `labels.horizon_bars`"
        }
        _ if is(Direction::Up) || is(Direction::Down) => "bring the label thresholds nearer",
        _ => "take a primary signal of both outcomes",
    }
}

/// What a part needs.
fn lacking(part: FoldPart) -> &'static str {
    match part {
        FoldPart::Training | FoldPart::Validation => "samples",
        FoldPart::Test => "rows",
    }
}

/// What became of the rows of an empty part, and what to change.
fn why_empty(counts: &PartCounts, longer: &str) -> String {
    if counts.rows == 0 {
        return format!(
            "no bar there has every feature; {longer}, take data without that hole or with more \
             bars before it, or features that look back less far"
        );
    }
    let parts = [
        (
            counts.purged,
            "have labels that end in what is held out",
            "shorten `labels.horizon_bars`",
        ),
        (
            counts.embargoed,
            "lie in the embargo",
            "lower `split.embargo_bars`",
        ),
        (
            counts.unlabelled,
            "have no label",
            "look at the settings of `labels`, and whether the price moves there",
        ),
    ];
    let mut parts: Vec<_> = parts
        .into_iter()
        .filter(|(count, _, _)| *count > 0)
        .collect();
    parts.sort_by_key(|(count, _, _)| std::cmp::Reverse(*count));
    let (mut found, mut advice) = (Vec::new(), vec![longer]);
    for (count, what, change) in parts {
        found.push(format!("{count} {what}"));
        advice.push(change);
    }
    let rows = counts.rows;
    format!(
        "of {rows} rows {}; {}",
        found.join(", "),
        advice.join(", or ")
    )
}

/// Everything that keeps a plan from being carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitError {
    /// The problems; never empty.
    pub problems: Vec<SplitProblem>,
}

impl fmt::Display for SplitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} problem(s) with the split:", self.problems.len())?;
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

impl Samples {
    /// The folds of a plan with what lies in each, and the paths that they form.
    ///
    /// # Errors
    /// [`SplitError`] with everything that is wrong with the plan, or every fold that lacks
    /// samples, rows to predict or a class to learn.
    pub fn split(&self, splitter: &Splitter) -> Result<SplitPlan, SplitError> {
        let mut plan = match splitter {
            Splitter::WalkForward(config) => self.walk_forward(config)?,
            Splitter::Groups(config) => self.split_groups(config)?,
        };
        let mut problems = Vec::new();
        for fold in &mut plan.folds {
            fold.train_counts = self.count(&fold.train, &fold.train_held_out);
            if let Some(valid) = fold.valid {
                fold.valid_counts = self.count(&[valid], &fold.valid_held_out);
            }
            fold.test_counts = self.count(&fold.test, &[]);
            fold.report_problems((self.task(), splitter.part_lengths()), &mut problems);
        }
        if problems.is_empty() {
            Ok(plan)
        } else {
            Err(SplitError { problems })
        }
    }

    /// One fold that learns from every sample there is, without validation: for a model that is
    /// used afterwards and never scored on these rows. Its number is `index`; its test period, the
    /// same bars, is for looking at rows, not for scores. `None` without bars.
    #[must_use]
    pub fn whole(&self, index: usize) -> Option<Fold> {
        let period = self.period()?;
        let counts = self.count(&[period], &[]);
        Some(Fold {
            index,
            train: vec![period],
            valid: None,
            test: vec![period],
            is_shortened: false,
            train_held_out: Vec::new(),
            valid_held_out: Vec::new(),
            train_counts: counts,
            valid_counts: PartCounts::default(),
            test_counts: counts,
        })
    }
}
