//! What a model said about one symbol at one closing time, and which model it was.

use serde::{Deserialize, Serialize};

use crate::types::{SymbolId, Timestamp};

/// How far the sum of probabilities may be from one.
const SUM_TOLERANCE: f32 = 1e-2;

/// A model's position in the session's table of models, which the journal records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ModelRef(pub u32);

impl ModelRef {
    /// The position as an index.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Enough about a model to find it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelInfo {
    /// Name in the registry; the generations and folds of one model share it.
    pub name: String,
    /// Version of the plugin that made it.
    pub version: String,
    /// SHA-256 of the artifact, lower-case hexadecimal.
    pub digest: String,
    /// The plugin generation that serves it.
    pub generation: u64,
    /// The walk-forward fold that it was trained in; `None` outside of one.
    pub fold: Option<u32>,
}

/// One model's answer for one symbol.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prediction {
    /// The symbol that it is about.
    pub symbol: SymbolId,
    /// The closing time of the newest bar that the model has seen.
    pub closed_at: Timestamp,
    /// Probabilities that the labelled move is down, flat, up.
    pub probabilities: [f32; 3],
    /// The model that answered.
    pub model: ModelRef,
}

/// Why a model that was asked, or should have been, gave no answer that may be used. Having nothing
/// to say yet, in a warm-up or after a gap, is no failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailureReason {
    /// It answered with an error.
    Error,
    /// Its answer was no finite number, or no distribution.
    Nan,
    /// Its answer came too late.
    Deadline,
    /// It panicked.
    Panic,
    /// The process that ran it is gone.
    Crash,
    /// It was given a frame of another shape than it takes.
    Shape,
    /// Its breaker is open; it was not asked.
    BreakerOpen,
    /// It broke its contract before; it was not asked.
    Poisoned,
    /// It wrote outside the cells of its answer.
    OutOfBounds,
}

/// One model's failure to answer for one symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PredictionFailure {
    /// The symbol.
    pub symbol: SymbolId,
    /// The model.
    pub model: ModelRef,
    /// Why.
    pub reason: FailureReason,
}

impl Prediction {
    /// Whether the probabilities are finite, from zero to one and sum to one.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        let sum: f32 = self.probabilities.iter().sum();
        let one_by_one = self.probabilities.iter().all(|p| (0.0..=1.0).contains(p));
        one_by_one && (sum - 1.0).abs() <= SUM_TOLERANCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_probabilities_are_valid() {
        let valid = |probabilities| {
            let prediction = Prediction {
                symbol: SymbolId(0),
                closed_at: Timestamp::from_nanos(0),
                probabilities,
                model: ModelRef(0),
            };
            prediction.is_valid()
        };
        assert!(valid([0.2, 0.3, 0.5]));
        assert!(valid([0.0, 0.0, 1.0]));
        assert!(!valid([f32::NAN, 0.5, 0.5]));
        assert!(!valid([f32::INFINITY, 0.0, 0.0]));
        assert!(!valid([-0.1, 0.6, 0.5]));
        assert!(!valid([0.2, 0.2, 0.2]));
    }
}
