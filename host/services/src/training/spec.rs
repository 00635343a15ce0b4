//! What a run does, resolved: every value checked and in the types that use it.
//!
//! The application makes a [`PipelineSpec`] from its layered configuration; nothing below this line
//! knows where a value came from.

use std::collections::BTreeMap;

use fusebox_engine::dataset::{ScalerKind, Splitter};
use fusebox_engine::features::ExtractOptions;
use fusebox_engine::labels::LabelConfig;
use fusebox_engine::session::SessionConfig;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::explain::ExplainSpec;
use crate::data::{DataRequest, RecordsRequest};

/// One run.
#[derive(Debug, Clone)]
pub struct PipelineSpec {
    /// The pipeline's name, the title of its report.
    pub name: String,
    /// Drives every random choice: the learner's and the bootstrap's.
    pub seed: u64,
    /// Threads for symbols and folds, at least 1. Results do not depend on it.
    pub threads: usize,
    /// Which bars.
    pub data: DataRequest,
    /// What the venue recorded beside them, for the backtest.
    pub records: RecordsRequest,
    /// Feature expressions, one a column.
    pub features: Vec<String>,
    /// How bars are taken in.
    pub extract: ExtractOptions,
    /// How bars are labelled and weighted.
    pub labels: LabelConfig,
    /// The plan of folds.
    pub split: Splitter,
    /// What is trained.
    pub model: ModelSpec,
    /// How predictions are traded.
    pub session: SessionConfig,
    /// How results are judged.
    pub evaluation: EvaluationSpec,
    /// What the report says of how the run was made.
    pub provenance: Provenance,
}

/// The learner's part.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelSpec {
    /// How feature columns are scaled, fitted on each fold's training samples.
    pub scaler: ScalerKind,
    /// Hyper-parameters by name; those left out take the learner's defaults.
    pub params: Map<String, Value>,
    /// Which model is used afterwards, where one is kept.
    pub final_model: FinalModel,
    /// How closely the models are looked at for an evaluation; `None` for not at all.
    pub explain: Option<ExplainSpec>,
    /// Settings that the host adds, such as the path of a native library. They do not belong to
    /// the model and are not part of any digest.
    pub host_settings: BTreeMap<String, Value>,
}

/// The model that is used after a training.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinalModel {
    /// That of the last fold: what a walk forward would trade with next, and never seen the rows
    /// that its numbers are of.
    #[default]
    LastFold,
    /// One that is fitted on every sample there is, for as many rounds as the median fold kept. No
    /// number is ever measured on it.
    Refit,
}

/// How results are judged.
#[derive(Debug, Clone, PartialEq)]
pub struct EvaluationSpec {
    /// Probability that intervals cover the true value, such as 0.95.
    pub confidence: f64,
    /// Resampled histories behind each interval.
    pub bootstrap_samples: u32,
    /// Configurations tried so far, this one included; intervals and the deflated Sharpe ratio
    /// allow for them.
    pub trials: u32,
    /// Bins of the calibration curves.
    pub calibration_bins: usize,
    /// Random strategies with the same turnover that the strategy is ranked among; 0 for none.
    pub random_runs: u32,
    /// Simulated histories of the trades in another order; 0 for none.
    pub trade_simulations: u32,
    /// Parts of the initial cash that the same decisions are run with; empty for none.
    pub capacity_multiples: Vec<f64>,
}

/// How the run was made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Provenance {
    /// The resolved configuration as TOML, each value with its origin.
    pub config_toml: String,
    /// SHA-256 in hexadecimal of the resolved values without their origins.
    pub config_sha256: String,
    /// The command as typed.
    pub command_line: String,
    /// Versions by component.
    pub versions: Vec<(String, String)>,
}
