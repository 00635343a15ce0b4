//! The quality of predictions, by what was learned: classes or returns.

use serde::{Deserialize, Serialize};

use super::{Classification, Period, Regression};

/// Quality of all out-of-sample predictions together, under the name of its kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quality {
    /// Of probabilities of classes.
    Classification(Box<Classification>),
    /// Of forecasts of returns.
    Regression(Box<Regression>),
}

impl Quality {
    /// That of classes.
    #[must_use]
    pub fn classification(&self) -> Option<&Classification> {
        match self {
            Self::Classification(quality) => Some(quality),
            Self::Regression(_) => None,
        }
    }

    /// That of returns.
    #[must_use]
    pub fn regression(&self) -> Option<&Regression> {
        match self {
            Self::Regression(quality) => Some(quality),
            Self::Classification(_) => None,
        }
    }

    /// First and last close time of the predictions.
    #[must_use]
    pub fn period(&self) -> Period {
        match self {
            Self::Classification(quality) => quality.period,
            Self::Regression(quality) => quality.period,
        }
    }

    /// Predictions made, and those that could be scored.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        match self {
            Self::Classification(one) => (one.predictions, one.scored_predictions),
            Self::Regression(one) => (one.predictions, one.scored_predictions),
        }
    }

    /// That of classes, to be changed in a test.
    #[cfg(test)]
    pub(crate) fn classes_mut(&mut self) -> &mut Classification {
        match self {
            Self::Classification(quality) => quality,
            Self::Regression(_) => panic!("it is the quality of returns"),
        }
    }
}
