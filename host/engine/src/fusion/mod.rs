//! Extension point: the answers of one or several models for a symbol become one.
//!
//! It stands between the models and the strategy. A fusion sees only valid predictions of one
//! symbol at one closing time, and never sees prices, positions or other symbols.
//!
//! | kind | answer |
//! |---|---|
//! | `single` | the one model's answer, as it is |
//! | `weighted_mean` | the mean of the models that answered, by weight |

mod prediction;
mod single;
mod weighted_mean;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

pub use prediction::{FailureReason, ModelInfo, ModelRef, Prediction, PredictionFailure};
pub use single::Single;
pub use weighted_mean::WeightedMean;

use crate::problem::{Problem, Problems};

/// The one answer for a symbol.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fused {
    /// Probabilities that the labelled move is down, flat, up.
    pub probabilities: [f32; 3],
    /// The model that weighs most in it.
    pub model: ModelRef,
}

/// Why predictions cannot be made one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FusionError {
    /// Several models answered where one is expected.
    #[error("{count} models answered for one symbol; set `fusion.kind` to `weighted_mean`")]
    Several {
        /// How many.
        count: usize,
    },
    /// A model has no weight.
    #[error("model `{name}` has no weight; add it to `fusion.weights`")]
    NoWeight {
        /// The model's name.
        name: String,
    },
}

/// Makes one answer of several.
pub trait Fusion: fmt::Debug + Send {
    /// Learns of a model before its first prediction.
    ///
    /// # Errors
    /// [`FusionError`] where predictions of this model could not be used.
    fn add_model(&mut self, model: ModelRef, info: &ModelInfo) -> Result<(), FusionError>;

    /// Whether the answers of `model` weigh anything, so that its failure does too.
    fn heeds(&self, model: ModelRef) -> bool {
        let _ = model;
        true
    }

    /// One answer from `predictions`, which are valid and of one symbol and closing time; `None`
    /// where there is nothing to answer with.
    ///
    /// # Errors
    /// [`FusionError`] where the predictions do not fit this fusion.
    fn fuse(&self, predictions: &[Prediction]) -> Result<Option<Fused>, FusionError>;
}

/// Names of the implementations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FusionKind {
    /// [`Single`].
    #[default]
    Single,
    /// [`WeightedMean`].
    WeightedMean,
}

/// Settings of the fusion.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FusionConfig {
    /// Which fusion.
    pub kind: FusionKind,
    /// Weight of each model by name, zero or more; for `weighted_mean` only.
    pub weights: BTreeMap<String, f64>,
}

impl FusionConfig {
    /// Every problem of these settings.
    #[must_use]
    pub fn validate(&self) -> Vec<Problem> {
        let mut problems = Problems::default();
        let mean = self.kind == FusionKind::WeightedMean;
        problems.require(
            mean || self.weights.is_empty(),
            "weights",
            "are for `kind = \"weighted_mean\"` only; remove them",
        );
        for (name, &weight) in &self.weights {
            problems.within(&format!("weights.{name}"), weight, (0.0, 1e6));
        }
        let any = self.weights.values().any(|&weight| weight > 0.0);
        problems.require(!mean || any, "weights", "need at least one above 0");
        problems.into_vec()
    }

    /// The fusion that these settings name.
    #[must_use]
    pub fn build(&self) -> Box<dyn Fusion> {
        match self.kind {
            FusionKind::Single => Box::new(Single),
            FusionKind::WeightedMean => Box::new(WeightedMean::new(self.weights.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_without_a_mean_and_a_mean_without_weights_are_problems() {
        let mut config = FusionConfig::default();
        assert_eq!(config.validate(), []);
        config.weights.insert("a".to_owned(), 1.0);
        assert_eq!(config.validate().len(), 1);
        config.kind = FusionKind::WeightedMean;
        assert_eq!(config.validate(), []);
        config.weights.insert("a".to_owned(), f64::NAN);
        let keys: Vec<String> = config.validate().into_iter().map(|p| p.key).collect();
        assert_eq!(keys, ["weights.a", "weights"]);
    }
}
