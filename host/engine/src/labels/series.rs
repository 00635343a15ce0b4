//! The labels of one symbol: one slot per bar, and what weights and learners need beside them.

use super::{
    CusumThreshold, Direction, EventFilter, ForwardReturns, Label, LabelConfig, LabelInput,
    LabelKind, Labeler, ReturnUnit, cusum_events, is_long_gap, volatility,
};
use crate::types::{Bar, BarSeries};

/// What a learner is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelTask {
    /// The class of the move: down, flat or up.
    Direction,
    /// Whether acting on the primary signal pays: pass or act.
    Acting,
    /// Returns over one or several horizons, the traded one first.
    Returns {
        /// Bars of each horizon.
        horizons_bars: Vec<usize>,
        /// Unit of the returns.
        unit: ReturnUnit,
    },
}

impl LabelTask {
    /// Names of the label columns.
    #[must_use]
    pub fn columns(&self) -> Vec<String> {
        match self {
            Self::Direction => vec!["direction".to_owned()],
            Self::Acting => vec!["act".to_owned()],
            Self::Returns { horizons_bars, .. } => {
                let names = horizons_bars.iter().map(|bars| format!("return_{bars}"));
                names.collect()
            }
        }
    }

    /// Names of the classes; empty where labels are numbers.
    #[must_use]
    pub fn classes(&self) -> &'static [&'static str] {
        match self {
            Self::Direction => &super::CLASSES,
            Self::Acting => &super::ACTING_CLASSES,
            Self::Returns { .. } => &[],
        }
    }
}

/// Real targets of a series, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Targets {
    /// Targets of a row: one per horizon.
    pub columns: usize,
    /// `bars x columns` values; NaN where a bar has no label.
    pub values: Vec<f64>,
}

impl Targets {
    /// The targets of `bar`; empty past the end.
    #[must_use]
    pub fn row(&self, bar: usize) -> &[f64] {
        let range = bar * self.columns..(bar + 1) * self.columns;
        self.values.get(range).unwrap_or(&[])
    }
}

/// The labels of one symbol; every column has one entry per bar.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelSeries {
    /// What a learner is asked for.
    pub task: LabelTask,
    /// The label of each bar that is a sample; `None` where there is none, or no event.
    pub labels: Vec<Option<Label>>,
    /// Real targets, for [`LabelTask::Returns`].
    pub targets: Option<Targets>,
    /// What the primary signal says at each bar, for [`LabelTask::Acting`].
    pub sides: Option<Vec<Direction>>,
    /// Volatility per bar as known at each close.
    pub sigmas: Vec<Option<f64>>,
    /// Log return of each bar's close on the one before; 0 at the start and across long gaps.
    pub log_returns: Vec<f64>,
    /// Bars that the event filter let through, those without a label included.
    pub events: usize,
}

impl LabelSeries {
    /// Labels of a series. `config` must have passed [`validate`](LabelConfig::validate).
    #[must_use]
    pub fn of(series: &BarSeries, config: &LabelConfig, max_gap_bars: u32) -> Self {
        let bars = &series.bars;
        let longest_gap = i64::from(max_gap_bars).saturating_mul(series.time_frame.nanos());
        let sigmas = volatility(bars, config.volatility_span_bars, longest_gap);
        let sides = (config.kind == LabelKind::MetaLabels)
            .then(|| config.primary_signal().sides(bars, longest_gap));
        let threshold = match config.cusum_unit {
            ReturnUnit::Sigmas => CusumThreshold::Sigmas(config.cusum_threshold, &sigmas),
            ReturnUnit::LogReturn => CusumThreshold::LogReturn(config.cusum_threshold),
        };
        let is_event = match config.events {
            EventFilter::All => vec![true; bars.len()],
            EventFilter::Cusum => cusum_events(bars, threshold, longest_gap),
        };
        let known = Known {
            bars,
            sigmas: &sigmas,
            sides: sides.as_deref(),
            is_event: &is_event,
            longest_gap,
        };
        let labels = known.labels(config.labeler().as_ref());
        let targets =
            (config.kind == LabelKind::ForwardReturns).then(|| known.targets(config, &labels));
        Self {
            task: config.task(),
            targets,
            log_returns: log_returns(bars, longest_gap),
            events: is_event.iter().filter(|event| **event).count(),
            labels,
            sides,
            sigmas,
        }
    }

    /// Labels of the three-class task alone, for rows that come with theirs already.
    #[must_use]
    pub fn of_classes(labels: Vec<Option<Label>>) -> Self {
        let bars = labels.len();
        Self {
            task: LabelTask::Direction,
            events: bars,
            targets: None,
            sides: None,
            sigmas: vec![None; bars],
            log_returns: vec![0.0; bars],
            labels,
        }
    }

    /// Number of bars.
    #[must_use]
    pub fn bars(&self) -> usize {
        self.labels.len()
    }

    /// The label of `bar`; `None` past the end too.
    #[must_use]
    pub fn get(&self, bar: usize) -> Option<Label> {
        self.labels.get(bar).copied().flatten()
    }

    /// A traded return of `bar` in volatilities of its horizon, from the unit of the targets;
    /// `None` where labels are no returns or volatility is not known.
    #[must_use]
    pub fn in_sigmas(&self, bar: usize, value: f64) -> Option<f64> {
        let LabelTask::Returns {
            horizons_bars,
            unit,
        } = &self.task
        else {
            return None;
        };
        let sigma = self.sigmas.get(bar).copied().flatten();
        unit.in_sigmas(value, sigma, *horizons_bars.first()?)
    }

    /// Appends what a learner is shown of `bar` to `out`: one number per label column, NaN where
    /// the bar has no label.
    pub fn learner_values(&self, bar: usize, out: &mut Vec<f32>) {
        let label = self.get(bar);
        match (&self.task, &self.targets) {
            (LabelTask::Returns { horizons_bars, .. }, targets) => {
                let row = targets.as_ref().map_or(&[][..], |targets| targets.row(bar));
                let value = |at: usize| row.get(at).copied().filter(|_| label.is_some());
                let values = (0..horizons_bars.len()).map(value);
                out.extend(values.map(|value| value.map_or(f32::NAN, |value| value as f32)));
            }
            (LabelTask::Acting, _) => {
                let acted = |label: Label| f32::from(u8::from(label.class != Direction::Flat));
                out.push(label.map_or(f32::NAN, acted));
            }
            (LabelTask::Direction, _) => {
                out.push(label.map_or(f32::NAN, |label| label.class.index() as f32));
            }
        }
    }
}

/// Labels of a series, one slot per bar; `None` where volatility is not known or zero, where the
/// outcome lies beyond a gap or the end of the data, or where the bar is no event. `config` must
/// have passed [`validate`](LabelConfig::validate).
#[must_use]
pub fn label_series(
    series: &BarSeries,
    config: &LabelConfig,
    max_gap_bars: u32,
) -> Vec<Option<Label>> {
    LabelSeries::of(series, config, max_gap_bars).labels
}

/// What is known at each bar.
struct Known<'a> {
    bars: &'a [Bar],
    sigmas: &'a [Option<f64>],
    sides: Option<&'a [Direction]>,
    is_event: &'a [bool],
    longest_gap: i64,
}

impl Known<'_> {
    fn labels(&self, labeler: &dyn Labeler) -> Vec<Option<Label>> {
        let mut labels = vec![None; self.bars.len()];
        let mut start = 0;
        while start < self.bars.len() {
            let stretch = self.stretch_end(start);
            for at in (start..stretch).filter(|at| self.is_event[*at]) {
                let path_end = (at + 1 + labeler.horizon_bars()).min(stretch);
                labels[at] = self.label(labeler, at, &self.bars[at + 1..path_end]);
            }
            start = stretch;
        }
        labels
    }

    fn label(&self, labeler: &dyn Labeler, at: usize, path: &[Bar]) -> Option<Label> {
        let outcome = labeler.outcome(LabelInput {
            entry_price: self.bars[at].close,
            sigma: self.sigmas[at]?,
            side: self.sides.map_or(Direction::Flat, |sides| sides[at]),
            path,
        })?;
        Some(Label {
            class: outcome.class,
            end: path.get(outcome.decided_by)?.closed_at,
            end_bar: at + 1 + outcome.decided_by,
            log_return: outcome.log_return,
            reason: outcome.reason,
            trend: outcome.trend,
        })
    }

    /// The returns of every bar that has a label.
    fn targets(&self, config: &LabelConfig, labels: &[Option<Label>]) -> Targets {
        let scheme = ForwardReturns {
            horizons_bars: config.horizons_bars(),
            upper_sigmas: config.upper_sigmas,
            lower_sigmas: config.lower_sigmas,
            unit: config.target_unit,
        };
        let columns = scheme.horizons_bars.len();
        let mut values = Vec::with_capacity(columns * labels.len());
        for (at, label) in labels.iter().enumerate() {
            let targets = label.and_then(|label| {
                let path = &self.bars[at + 1..=label.end_bar];
                scheme.targets(self.bars[at].close, self.sigmas[at]?, path)
            });
            values.extend(targets.unwrap_or_else(|| vec![f64::NAN; columns]));
        }
        Targets { columns, values }
    }

    /// Position after the last bar that follows `start` without a long gap.
    fn stretch_end(&self, start: usize) -> usize {
        let breaks = |pair: &[Bar]| is_long_gap(&pair[0], &pair[1], self.longest_gap);
        let unbroken = self.bars[start..].windows(2).position(breaks);
        unbroken.map_or(self.bars.len(), |offset| start + offset + 1)
    }
}

fn log_returns(bars: &[Bar], longest_gap: i64) -> Vec<f64> {
    let change = |pair: &[Bar]| {
        if is_long_gap(&pair[0], &pair[1], longest_gap) {
            0.0
        } else {
            (pair[1].close / pair[0].close).ln()
        }
    };
    let first = bars.first().map(|_| 0.0);
    first
        .into_iter()
        .chain(bars.windows(2).map(change))
        .collect()
}
