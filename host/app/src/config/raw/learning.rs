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
    /// How a bar gets its class down, flat or up.
    pub(crate) kind: RawLabelKind,
    /// Bars after which a label ends at the latest.
    #[schemars(range(min = 1, max = 100_000))]
    pub(crate) horizon_bars: u32,
    /// Distance of the upper threshold in units of volatility. One unit is the volatility of one
    /// bar for the triple barrier, of the whole horizon for the fixed horizon.
    #[schemars(range(max = 1000), extend("exclusiveMinimum" = 0))]
    pub(crate) upper_sigmas: f64,
    /// Distance of the lower threshold, in the same units.
    #[schemars(range(max = 1000), extend("exclusiveMinimum" = 0))]
    pub(crate) lower_sigmas: f64,
    /// Span of the exponential average that estimates volatility, in bars.
    #[schemars(range(min = 2, max = 100_000))]
    pub(crate) volatility_span_bars: u32,
    /// What a bar that touches both barriers means.
    pub(crate) ambiguous: RawAmbiguity,
    /// How samples are weighted in training.
    pub(crate) weights: RawWeighting,
}

impl Default for RawLabels {
    fn default() -> Self {
        let engine = LabelConfig::default();
        Self {
            kind: RawLabelKind::TripleBarrier,
            horizon_bars: engine.horizon_bars,
            upper_sigmas: engine.upper_sigmas,
            lower_sigmas: engine.lower_sigmas,
            volatility_span_bars: engine.volatility_span_bars,
            ambiguous: RawAmbiguity::Pessimistic,
            weights: RawWeighting::Uniform,
        }
    }
}

/// How a bar gets its class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawLabelKind {
    /// By the barrier that the price touches first: upper, lower, or the end of the horizon.
    TripleBarrier,
    /// By the return at the end of the horizon.
    FixedHorizon,
}

/// What a bar that touches both barriers means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawAmbiguity {
    /// The lower barrier was first: the loss, for whoever bought.
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
}

/// `[split]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawSplit {
    /// Whether training periods move along or grow.
    pub(crate) kind: RawSplitKind,
    /// Length of the (first) training period: a count and one of y, mo, w, d, h, m, such as
    /// `18mo`.
    pub(crate) train: String,
    /// Length of the validation period between training and test, for early stopping; an empty
    /// text for no validation.
    pub(crate) valid: String,
    /// Length of the test period, which is predicted out of sample.
    pub(crate) test: String,
    /// How far each fold moves; at least the test period.
    pub(crate) step: String,
    /// Bars between the last label of one period and the start of the next.
    pub(crate) embargo_bars: u32,
}

impl Default for RawSplit {
    fn default() -> Self {
        let engine = SplitConfig::default();
        Self {
            kind: RawSplitKind::Rolling,
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

/// Where training periods begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawSplitKind {
    /// They move along: every fold trains on the same length.
    Rolling,
    /// They stay at the start: every fold trains on all that came before.
    Anchored,
}

/// `[model]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawModel {
    /// Id of the plugin, such as `ai.fusebox.gbm`. `fusebox plugin list` shows what is there.
    pub(crate) plugin: Option<String>,
    /// Version of the plugin; without it, the latest.
    pub(crate) version: Option<String>,
    /// Hyper-parameters, which the plugin declares and checks.
    pub(crate) params: BTreeMap<String, Value>,
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
}

impl Default for RawEvaluation {
    fn default() -> Self {
        Self {
            confidence: 0.95,
            bootstrap_samples: 2000,
            trials: 1,
            calibration_bins: 10,
        }
    }
}
