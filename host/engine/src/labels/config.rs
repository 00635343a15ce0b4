//! What labels and weights are made by, as configured: the keys of `[labels]` with their ranges.

use serde::{Deserialize, Serialize};

use super::{
    FixedHorizon, FixedThreshold, ForwardReturns, LabelTask, Labeler, MetaBarrier, PrimarySignal,
    TrendScanning, TripleBarrier,
};

/// The scheme that labels are made by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LabelKind {
    /// [`FixedHorizon`]: three classes whose thresholds scale with volatility.
    FixedHorizon,
    /// [`FixedThreshold`]: three classes whose thresholds are constant log returns.
    FixedThreshold,
    /// [`TripleBarrier`].
    TripleBarrier,
    /// [`TrendScanning`].
    TrendScanning,
    /// [`ForwardReturns`]: real targets, one or several horizons.
    ForwardReturns,
    /// [`MetaBarrier`]: whether acting on a primary signal paid.
    MetaLabels,
}

/// What a bar that touches both barriers means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ambiguity {
    /// The loss was first: the lower barrier, for whoever bought.
    Pessimistic,
    /// Class flat, with the return to the close of that bar.
    Flat,
}

/// The unit of a return.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReturnUnit {
    /// Volatilities known at the bar: of one bar, or of the horizon where there is one.
    Sigmas,
    /// Log returns as they are.
    LogReturn,
}

impl ReturnUnit {
    /// A return over `horizon_bars` in volatilities of that horizon, from this unit; `None` where
    /// that takes the volatility per bar, `sigma`, and it is not known.
    #[must_use]
    pub fn in_sigmas(self, value: f64, sigma: Option<f64>, horizon_bars: usize) -> Option<f64> {
        match self {
            Self::Sigmas => Some(value),
            Self::LogReturn => Some(value / (sigma? * (horizon_bars as f64).sqrt())),
        }
    }
}

/// Which bars become samples. Models are trained and scored on samples; every bar is predicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventFilter {
    /// Every bar.
    All,
    /// Those at which [`cusum_events`](super::cusum_events) finds that the price has moved.
    Cusum,
}

/// A rule that says long, short or nothing at each bar, for meta-labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrimaryKind {
    /// The side of the return over the slow span.
    Momentum,
    /// The other side of the return over the slow span.
    Reversal,
    /// The side of the fast moving average against the slow one.
    Crossover,
}

/// How samples are weighted in training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weighting {
    /// All alike.
    Uniform,
    /// By [`average_uniqueness`](super::average_uniqueness): labels that share bars with others
    /// count less.
    Uniqueness,
    /// By [`return_attribution`](super::return_attribution): labels with large returns of their
    /// own count more.
    ReturnAttribution,
    /// By how often a [`SequentialBootstrap`](super::SequentialBootstrap) draws them.
    SequentialBootstrap,
}

/// Whether classes count by their number of samples or alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClassWeights {
    /// By their number.
    None,
    /// All classes have the same weight together.
    Balanced,
}

/// The labels of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LabelConfig {
    /// The scheme.
    pub kind: LabelKind,
    /// Bars after which a label ends at the latest.
    pub horizon_bars: u32,
    /// Distance of the upper threshold in units of volatility. One unit is the volatility of one
    /// bar for barriers, of the whole horizon for fixed horizons and forward returns. For
    /// meta-labels, the distance at which a profit is taken.
    pub upper_sigmas: f64,
    /// Distance of the lower threshold, in the same units. For meta-labels, the distance at which
    /// a loss is stopped.
    pub lower_sigmas: f64,
    /// Log return above which a fixed threshold says up.
    pub upper_return: f64,
    /// Log return below whose negative a fixed threshold says down.
    pub lower_return: f64,
    /// Span of the exponential average that estimates volatility, in bars.
    pub volatility_span_bars: u32,
    /// What a bar that touches both barriers means.
    pub ambiguous: Ambiguity,
    /// Fewest bars of a trend.
    pub trend_min_bars: u32,
    /// Absolute t-value below which a trend is flat.
    pub trend_min_t_value: f64,
    /// Horizons of forward returns besides `horizon_bars`, which stays the one that is traded.
    pub more_horizons_bars: Vec<u32>,
    /// Levels of the quantiles of forward returns that a learner is asked for, ascending between 0
    /// and 1; empty for the return itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub quantiles: Vec<f64>,
    /// Unit of forward returns.
    pub target_unit: ReturnUnit,
    /// The signal that meta-labels judge.
    pub primary: PrimaryKind,
    /// Bars of its fast moving average.
    pub primary_fast_bars: u32,
    /// Bars of its slow moving average, or of its return.
    pub primary_slow_bars: u32,
    /// What acting must earn to have paid, in basis points of log return: the costs of a trade.
    pub minimum_profit_bps: f64,
    /// Which bars become samples.
    pub events: EventFilter,
    /// How far the price must have moved to be an event, in `cusum_unit`.
    pub cusum_threshold: f64,
    /// Unit of that distance.
    pub cusum_unit: ReturnUnit,
    /// How samples are weighted in training.
    pub weights: Weighting,
    /// Factor of the oldest sample's weight, see [`time_decay`](super::time_decay): 1 for no
    /// decay, 0 for a line down to nothing, negative to forget that share of the past.
    pub oldest_weight: f64,
    /// Whether all classes count alike.
    pub class_weights: ClassWeights,
}

impl Default for LabelConfig {
    fn default() -> Self {
        Self {
            kind: LabelKind::TripleBarrier,
            horizon_bars: 24,
            upper_sigmas: 3.0,
            lower_sigmas: 3.0,
            upper_return: 0.01,
            lower_return: 0.01,
            volatility_span_bars: 168,
            ambiguous: Ambiguity::Pessimistic,
            trend_min_bars: 6,
            // With the other defaults a third of the bars of a random walk are flat.
            trend_min_t_value: 5.5,
            more_horizons_bars: Vec::new(),
            quantiles: Vec::new(),
            target_unit: ReturnUnit::Sigmas,
            primary: PrimaryKind::Crossover,
            primary_fast_bars: 12,
            primary_slow_bars: 48,
            minimum_profit_bps: 0.0,
            events: EventFilter::All,
            cusum_threshold: 2.0,
            cusum_unit: ReturnUnit::Sigmas,
            weights: Weighting::Uniform,
            oldest_weight: 1.0,
            class_weights: ClassWeights::None,
        }
    }
}

/// One value of a [`LabelConfig`] that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`labels.{key}`: {message}")]
pub struct LabelProblem {
    /// The key.
    pub key: &'static str,
    /// What is wrong and what is allowed.
    pub message: String,
}

/// Longest horizon and volatility span, in bars.
const MAX_BARS: u32 = 100_000;
/// Most levels of quantiles.
const MAX_QUANTILES: usize = 32;
/// Most horizons of forward returns.
const MAX_HORIZONS: usize = 16;

impl LabelConfig {
    /// Everything that is wrong with the values, those of other schemes included; empty when they
    /// can be used.
    #[must_use]
    pub fn validate(&self) -> Vec<LabelProblem> {
        let mut problems = Vec::new();
        let mut report = |key, message| problems.push(LabelProblem { key, message });
        let bars = [
            ("horizon_bars", self.horizon_bars, 1),
            ("volatility_span_bars", self.volatility_span_bars, 2),
            ("trend_min_bars", self.trend_min_bars, 2),
            ("primary_fast_bars", self.primary_fast_bars, 1),
            ("primary_slow_bars", self.primary_slow_bars, 1),
        ];
        for (key, value, min) in bars {
            if !(min..=MAX_BARS).contains(&value) {
                report(key, format!("{value} is not from {min} to {MAX_BARS} bars"));
            }
        }
        for (key, value) in [
            ("upper_sigmas", self.upper_sigmas),
            ("lower_sigmas", self.lower_sigmas),
            ("upper_return", self.upper_return),
            ("lower_return", self.lower_return),
            ("cusum_threshold", self.cusum_threshold),
        ] {
            if !(value > 0.0 && value <= 1000.0) {
                report(key, format!("{value} is not above 0 and at most 1000"));
            }
        }
        for (key, value, low, high) in [
            ("trend_min_t_value", self.trend_min_t_value, 0.0, 1e6),
            ("minimum_profit_bps", self.minimum_profit_bps, 0.0, 1e4),
        ] {
            if !(low..=high).contains(&value) {
                report(key, format!("{value} is not from {low} to {high}"));
            }
        }
        if !(self.oldest_weight > -1.0 && self.oldest_weight <= 1.0) {
            let value = self.oldest_weight;
            report(
                "oldest_weight",
                format!("{value} is not above -1 and at most 1"),
            );
        }
        self.validate_together(&mut report);
        problems
    }

    /// What is wrong between several keys of the scheme that is chosen.
    fn validate_together(&self, report: &mut impl FnMut(&'static str, String)) {
        let horizon = self.horizon_bars;
        if self.kind == LabelKind::TrendScanning && self.trend_min_bars > horizon {
            let least = self.trend_min_bars;
            report(
                "trend_min_bars",
                format!("{least} bars are more than `labels.horizon_bars` ({horizon})"),
            );
        }
        if self.kind == LabelKind::MetaLabels
            && self.primary == PrimaryKind::Crossover
            && self.primary_fast_bars >= self.primary_slow_bars
        {
            let (fast, slow) = (self.primary_fast_bars, self.primary_slow_bars);
            report(
                "primary_fast_bars",
                format!("{fast} bars are not fewer than `labels.primary_slow_bars` ({slow})"),
            );
        }
        let more = &self.more_horizons_bars;
        let key = "more_horizons_bars";
        if !more.is_empty() && self.kind != LabelKind::ForwardReturns {
            report(key, "is for `kind = \"forward_returns\"` only".to_owned());
        }
        if more.len() >= MAX_HORIZONS {
            report(
                key,
                format!(
                    "has {} horizons; at most {} fit",
                    more.len(),
                    MAX_HORIZONS - 1
                ),
            );
        }
        for (position, one) in more.iter().enumerate() {
            if !(1..=MAX_BARS).contains(one) {
                report(key, format!("{one} is not from 1 to {MAX_BARS} bars"));
            } else if more[..position].contains(one) {
                // The second of several says it for all.
                if more[..position]
                    .iter()
                    .filter(|other| *other == one)
                    .count()
                    == 1
                {
                    report(key, format!("names {one} bars more than once"));
                }
            } else if *one == horizon {
                report(
                    key,
                    format!("names {one} bars, which `labels.horizon_bars` has already"),
                );
            }
        }
        self.validate_quantiles(report);
    }

    /// What is wrong with the levels of quantiles.
    fn validate_quantiles(&self, report: &mut impl FnMut(&'static str, String)) {
        let (levels, key) = (&self.quantiles, "quantiles");
        if !levels.is_empty() && self.kind != LabelKind::ForwardReturns {
            report(key, "is for `kind = \"forward_returns\"` only".to_owned());
        }
        if levels.len() > MAX_QUANTILES {
            let count = levels.len();
            report(
                key,
                format!("has {count} levels; at most {MAX_QUANTILES} fit"),
            );
        }
        for level in levels
            .iter()
            .filter(|level| !(**level > 0.0 && **level < 1.0))
        {
            report(key, format!("has {level}; each must lie between 0 and 1"));
        }
        if !levels.is_empty() && !levels.iter().any(|level| (level - 0.5).abs() < 1e-9) {
            report(
                key,
                "lacks 0.5: the median is the forecast that errors are counted of and that is \
                 traded"
                    .to_owned(),
            );
        }
        if levels.windows(2).any(|pair| pair[0] >= pair[1]) {
            report(key, "must ascend, each level once".to_owned());
        }
    }

    /// The scheme with its thresholds.
    #[must_use]
    pub fn labeler(&self) -> Box<dyn Labeler> {
        let (upper_sigmas, lower_sigmas) = (self.upper_sigmas, self.lower_sigmas);
        let horizon_bars = self.horizon_bars as usize;
        let barrier = TripleBarrier {
            horizon_bars,
            upper_sigmas,
            lower_sigmas,
            ambiguous: self.ambiguous,
        };
        match self.kind {
            LabelKind::FixedHorizon => Box::new(FixedHorizon {
                horizon_bars,
                upper_sigmas,
                lower_sigmas,
            }),
            LabelKind::FixedThreshold => Box::new(FixedThreshold {
                horizon_bars,
                upper_return: self.upper_return,
                lower_return: self.lower_return,
            }),
            LabelKind::TripleBarrier => Box::new(barrier),
            LabelKind::TrendScanning => Box::new(TrendScanning {
                min_bars: self.trend_min_bars as usize,
                max_bars: horizon_bars,
                min_t_value: self.trend_min_t_value,
            }),
            LabelKind::ForwardReturns => Box::new(ForwardReturns {
                horizons_bars: self.horizons_bars(),
                upper_sigmas,
                lower_sigmas,
                unit: self.target_unit,
            }),
            LabelKind::MetaLabels => Box::new(MetaBarrier {
                barrier,
                minimum_profit: self.minimum_profit_bps * 1e-4,
            }),
        }
    }

    /// Horizons of forward returns, the traded one first.
    #[must_use]
    pub fn horizons_bars(&self) -> Vec<usize> {
        let more = self.more_horizons_bars.iter();
        std::iter::once(&self.horizon_bars)
            .chain(more)
            .map(|bars| *bars as usize)
            .collect()
    }

    /// Bars after which every label is known.
    #[must_use]
    pub fn longest_horizon_bars(&self) -> u32 {
        let more = self.more_horizons_bars.iter().copied();
        more.fold(self.horizon_bars, u32::max)
    }

    /// What a learner is asked for.
    #[must_use]
    pub fn task(&self) -> LabelTask {
        match self.kind {
            LabelKind::ForwardReturns => LabelTask::Returns {
                horizons_bars: self.horizons_bars(),
                unit: self.target_unit,
            },
            LabelKind::MetaLabels => LabelTask::Acting,
            _ => LabelTask::Direction,
        }
    }

    /// The signal that meta-labels judge.
    #[must_use]
    pub fn primary_signal(&self) -> PrimarySignal {
        PrimarySignal {
            kind: self.primary,
            fast_bars: self.primary_fast_bars as usize,
            slow_bars: self.primary_slow_bars as usize,
        }
    }
}
