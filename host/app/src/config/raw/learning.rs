//! `[features]`, `[labels]`, `[split]`, `[model]` and `[evaluation]`: what is learned and how it is
//! judged.

use std::collections::BTreeMap;

use fusebox_engine::dataset::SplitConfig;
use fusebox_engine::features::ExtractOptions;
use fusebox_engine::labels::LabelConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `[features]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawFeatures {
    /// Feature expressions, such as `rsi(14)`, `rsi(14)@4h` on closed 4-hour bars, or
    /// `log_return(1)#BTCUSDT` of a lead symbol. `fusebox features list` shows them all.
    pub(crate) set: Vec<String>,
    /// Gaps up to this many missing bars are passed over; a longer one restarts every feature.
    pub(crate) max_gap_bars: u32,
}

impl Default for RawFeatures {
    fn default() -> Self {
        Self {
            set: Vec::new(),
            max_gap_bars: ExtractOptions::default().max_gap_bars,
        }
    }
}

/// `[labels]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawLabels {
    /// How a bar gets its label.
    pub(crate) kind: RawLabelKind,
    /// Bars after which a label ends at the latest.
    #[schemars(range(min = 1, max = 100_000))]
    pub(crate) horizon_bars: u32,
    /// Distance of the upper threshold in units of volatility. One unit is the volatility of one
    /// bar for barriers, of the whole horizon for the fixed horizon and forward returns. For
    /// meta-labels, where a profit is taken.
    #[schemars(range(max = 1000), extend("exclusiveMinimum" = 0))]
    pub(crate) upper_sigmas: f64,
    /// Distance of the lower threshold, in the same units. For meta-labels, where a loss is
    /// stopped.
    #[schemars(range(max = 1000), extend("exclusiveMinimum" = 0))]
    pub(crate) lower_sigmas: f64,
    /// Log return above which a fixed threshold says up.
    #[schemars(range(max = 1000), extend("exclusiveMinimum" = 0))]
    pub(crate) upper_return: f64,
    /// Log return below whose negative a fixed threshold says down.
    #[schemars(range(max = 1000), extend("exclusiveMinimum" = 0))]
    pub(crate) lower_return: f64,
    /// Span of the exponential average that estimates volatility, in bars.
    #[schemars(range(min = 2, max = 100_000))]
    pub(crate) volatility_span_bars: u32,
    /// What a bar that touches both barriers means.
    pub(crate) ambiguous: RawAmbiguity,
    /// Trend scanning: fewest bars of a trend; `horizon_bars` are the most.
    #[schemars(range(min = 2, max = 100_000))]
    pub(crate) trend_min_bars: u32,
    /// Trend scanning: absolute t-value of the slope below which a trend is flat.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(crate) trend_min_t_value: f64,
    /// Forward returns: further horizons to learn beside `horizon_bars`, which is the traded one.
    pub(crate) more_horizons_bars: Vec<u32>,
    /// Forward returns: levels of the quantiles to learn, such as [0.05, 0.5, 0.95], ascending
    /// between 0 and 1; empty to learn the return itself.
    pub(crate) quantiles: Vec<f64>,
    /// Forward returns: unit of what is learned.
    pub(crate) target_unit: RawReturnUnit,
    /// Meta-labels: the signal that is judged.
    pub(crate) primary: RawPrimary,
    /// Meta-labels: bars of the crossover's fast mean.
    #[schemars(range(min = 1, max = 100_000))]
    pub(crate) primary_fast_bars: u32,
    /// Meta-labels: bars of the crossover's slow mean, or of the return.
    #[schemars(range(min = 1, max = 100_000))]
    pub(crate) primary_slow_bars: u32,
    /// Meta-labels: what acting must earn to have paid, in basis points, such as the costs of a
    /// trade.
    #[schemars(range(min = 0, max = 10_000))]
    pub(crate) minimum_profit_bps: f64,
    /// Which bars become samples to train on and to score; every bar is predicted.
    pub(crate) events: RawEvents,
    /// CUSUM events: how far the price must move since the last one, in `cusum_unit`.
    #[schemars(range(max = 1000), extend("exclusiveMinimum" = 0))]
    pub(crate) cusum_threshold: f64,
    /// CUSUM events: unit of the threshold; sigmas are of one bar.
    pub(crate) cusum_unit: RawReturnUnit,
    /// How samples are weighted in training.
    pub(crate) weights: RawWeighting,
    /// Factor of the oldest sample's weight, on a line over the uniqueness that has passed: 1 for
    /// no decay, 0 for a line down to nothing, negative to forget that share of the past.
    #[schemars(range(max = 1), extend("exclusiveMinimum" = -1))]
    pub(crate) oldest_weight: f64,
    /// Whether classes count by their number or alike.
    pub(crate) class_weights: RawClassWeights,
}

impl Default for RawLabels {
    fn default() -> Self {
        let engine = LabelConfig::default();
        Self {
            kind: RawLabelKind::TripleBarrier,
            horizon_bars: engine.horizon_bars,
            upper_sigmas: engine.upper_sigmas,
            lower_sigmas: engine.lower_sigmas,
            upper_return: engine.upper_return,
            lower_return: engine.lower_return,
            volatility_span_bars: engine.volatility_span_bars,
            ambiguous: RawAmbiguity::Pessimistic,
            trend_min_bars: engine.trend_min_bars,
            trend_min_t_value: engine.trend_min_t_value,
            more_horizons_bars: engine.more_horizons_bars,
            quantiles: engine.quantiles,
            target_unit: RawReturnUnit::Sigmas,
            primary: RawPrimary::Crossover,
            primary_fast_bars: engine.primary_fast_bars,
            primary_slow_bars: engine.primary_slow_bars,
            minimum_profit_bps: engine.minimum_profit_bps,
            events: RawEvents::All,
            cusum_threshold: engine.cusum_threshold,
            cusum_unit: RawReturnUnit::Sigmas,
            weights: RawWeighting::Uniform,
            oldest_weight: engine.oldest_weight,
            class_weights: RawClassWeights::None,
        }
    }
}

/// How a bar gets its label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawLabelKind {
    /// Down, flat or up by the barrier that the price touches first: upper, lower, or the end of
    /// the horizon.
    TripleBarrier,
    /// Down, flat or up by the return at the end of the horizon, against thresholds that scale with
    /// volatility.
    FixedHorizon,
    /// Down, flat or up by the return at the end of the horizon, against constant thresholds.
    FixedThreshold,
    /// Down, flat or up by the clearest trend within the horizon.
    TrendScanning,
    /// The returns themselves, over one or several horizons.
    ForwardReturns,
    /// Whether acting on a primary signal paid.
    MetaLabels,
}

/// The unit of a return.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawReturnUnit {
    /// Volatilities known at the bar.
    Sigmas,
    /// Log returns as they are.
    LogReturn,
}

/// The signal that meta-labels judge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawPrimary {
    /// The side of the return over the slow span.
    Momentum,
    /// The other side of the return over the slow span.
    Reversal,
    /// The side of the fast mean of closes against the slow one.
    Crossover,
}

/// Which bars become samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawEvents {
    /// Every bar.
    All,
    /// Those at which the price has moved far enough since the last one.
    Cusum,
}

/// Whether classes count by their number or alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawClassWeights {
    /// By their number.
    None,
    /// All classes have the same weight together.
    Balanced,
}

/// What a bar that touches both barriers means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawAmbiguity {
    /// The loss was first: the lower barrier, for whoever bought.
    Pessimistic,
    /// Flat.
    Flat,
}

/// How samples are weighted in training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawWeighting {
    /// All alike.
    Uniform,
    /// Labels that share bars with others count less.
    Uniqueness,
    /// Labels with large returns of their own count more.
    ReturnAttribution,
    /// By how often a bootstrap draws them that avoids overlap.
    SequentialBootstrap,
}

/// `[split]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawSplit {
    /// Whether training periods move along or grow, or time is cut into groups that are predicted
    /// from the others.
    pub(crate) kind: RawSplitKind,
    /// Groups of `purged_kfold` and `combinatorial`.
    #[schemars(range(min = 2, max = 1_000))]
    pub(crate) groups: u32,
    /// Groups that each fold of `combinatorial` predicts at once.
    #[schemars(range(min = 1, max = 999))]
    pub(crate) test_groups: u32,
    /// `rolling` and `anchored`: length of the (first) training period, a count and one of y, mo,
    /// w, d, h, m, such as `18mo`.
    pub(crate) train: String,
    /// Length of the validation period between training and test, for early stopping; an empty
    /// text for no validation.
    pub(crate) valid: String,
    /// Length of the test period, which is predicted out of sample.
    pub(crate) test: String,
    /// How far each fold moves; at least the test period.
    pub(crate) step: String,
    /// Bars between the last label of one period and the start of the next; with groups, bars after
    /// the last label of a predicted group that are not learned from.
    pub(crate) embargo_bars: u32,
}

impl Default for RawSplit {
    fn default() -> Self {
        let engine = SplitConfig::default();
        Self {
            kind: RawSplitKind::Rolling,
            groups: 6,
            test_groups: 2,
            train: engine.train.to_string(),
            valid: engine
                .valid
                .map(|span| span.to_string())
                .unwrap_or_default(),
            test: engine.test.to_string(),
            step: engine.step.to_string(),
            embargo_bars: engine.embargo_bars,
        }
    }
}

/// How folds are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawSplitKind {
    /// Training periods move along: every fold trains on the same length.
    Rolling,
    /// Training periods stay at the start: every fold trains on all that came before.
    Anchored,
    /// Each group of time is predicted from all others, without a validation period. An estimate of
    /// skill, not of a history that could have been traded.
    PurgedKfold,
    /// Every choice of `test_groups` groups is predicted from the others, which gives several
    /// complete histories. An estimate of skill, as `purged_kfold`.
    Combinatorial,
}

/// `[model]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawModel {
    /// Id of the plugin, such as `ai.fusebox.gbm`. `fusebox plugin list` shows what is there.
    pub(crate) plugin: Option<String>,
    /// Version of the plugin; without it, the latest.
    pub(crate) version: Option<String>,
    /// How feature columns are scaled; fitted on the training samples of each fold and stored with
    /// its model.
    pub(crate) scaler: RawScaler,
    /// Hyper-parameters, which the plugin declares and checks.
    pub(crate) params: BTreeMap<String, Value>,
}

/// How feature columns are scaled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawScaler {
    /// They stay as they are.
    #[default]
    None,
    /// Mean 0 and standard deviation 1.
    Standard,
    /// Median 0 and interquartile range 1.
    Robust,
    /// The rank among the training values, spread like a normal distribution.
    RankGauss,
}

/// `[train]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawTrain {
    /// Which model `fusebox train` keeps and registers.
    #[serde(rename = "final")]
    pub(crate) final_model: RawFinalModel,
    /// Test rows of all folds together whose predictions are explained on the evaluation page, and
    /// by which importance by permutation is measured; 0 for none.
    #[schemars(range(max = 1_000_000))]
    pub(crate) explain_rows: u32,
    /// Times that each column is shuffled for importance by permutation; 0 for none.
    #[schemars(range(max = 1_000))]
    pub(crate) permutation_repeats: u32,
}

impl Default for RawTrain {
    fn default() -> Self {
        Self {
            final_model: RawFinalModel::LastFold,
            explain_rows: 1000,
            permutation_repeats: 3,
        }
    }
}

/// The model that is used after a training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawFinalModel {
    /// That of the last fold, which has never seen what the report scores it on.
    LastFold,
    /// One that is fitted on every sample there is, for as many rounds as the median fold kept. No
    /// number is measured on it.
    Refit,
}

/// `[evaluation]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawEvaluation {
    /// Confidence level of the intervals.
    #[schemars(range(min = 0.5, max = 0.999))]
    pub(crate) confidence: f64,
    /// Resamples of the block bootstrap.
    #[schemars(range(min = 100, max = 1_000_000))]
    pub(crate) bootstrap_samples: u32,
    /// How many variants were tried before this one, itself included; the deflated Sharpe ratio
    /// answers for them.
    #[schemars(range(min = 1))]
    pub(crate) trials: u32,
    /// Bins of the calibration curves.
    #[schemars(range(min = 2, max = 100))]
    pub(crate) calibration_bins: u32,
    /// Random strategies with the same turnover that the strategy is ranked among; 0 for none.
    #[schemars(range(max = 100_000))]
    pub(crate) random_runs: u32,
    /// Simulated histories of the trades in another order; 0 for none.
    #[schemars(range(max = 1_000_000))]
    pub(crate) trade_simulations: u32,
    /// Parts of the initial cash that the same decisions are run with for the capacity curve, one
    /// session each; empty for none.
    pub(crate) capacity_multiples: Vec<f64>,
}

impl Default for RawEvaluation {
    fn default() -> Self {
        Self {
            confidence: 0.95,
            bootstrap_samples: 2000,
            trials: 1,
            calibration_bins: 10,
            random_runs: 100,
            trade_simulations: 2000,
            capacity_multiples: vec![0.1, 1.0, 10.0, 100.0, 1000.0],
        }
    }
}
