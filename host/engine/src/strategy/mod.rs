//! Extension point: a fused prediction and what is held become a signal, the wanted direction.
//!
//! A strategy says which side it wants to be on, never how much: size, limits and costs belong to
//! risk and execution. It keeps no state of its own; what it must remember is in [`Holding`], so
//! that a refused order never leaves a strategy believing in a position that does not exist.
//!
//! | file | strategy |
//! |---|---|
//! | `ml_signal` | thresholds with hysteresis on the difference of up and down probability |
//!
//! `fail_safe` says what becomes of a position when the model behind it fails, `orders` how a
//! position is entered and protected.

mod fail_safe;
mod ml_signal;
mod orders;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use fail_safe::FailSafe;
pub use ml_signal::MlSignal;
pub use orders::{EntryOrder, EntryTime, Protection};

use crate::fusion::Fused;
use crate::problem::{Problem, Problems};

/// A side of the market.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Gains when the price falls.
    Short,
    /// Holds nothing.
    Flat,
    /// Gains when the price rises.
    Long,
}

impl Direction {
    /// The side of a signed amount.
    #[must_use]
    pub fn of_sign(sign: i8) -> Self {
        match sign {
            ..0 => Self::Short,
            0 => Self::Flat,
            1.. => Self::Long,
        }
    }
}

/// What is held of the symbol at the moment of decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holding {
    /// The side that is held.
    pub direction: Direction,
    /// Bars since the position was opened, the one that it was opened in included.
    pub bars: u32,
}

/// What a strategy wants.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Signal {
    /// The side wanted from the next open on.
    pub target: Direction,
    /// Strength from -1 (certainly down) to 1 (certainly up).
    pub score: f32,
}

/// Decides which side to be on.
pub trait Strategy: fmt::Debug + Send {
    /// The wanted side, given a valid prediction and what is held.
    fn decide(&self, prediction: &Fused, holding: Holding) -> Signal;
}

/// Settings of the strategy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StrategyConfig {
    /// Opens a long position from this score on, and a short one from its negative down; score is
    /// the probability of up minus that of down, above 0 and at most 1.
    pub entry_threshold: f64,
    /// Keeps a position while the score on its side is at least this; from -1 to
    /// `entry_threshold`.
    pub exit_threshold: f64,
    /// Bars that a position is held at least, whatever the score.
    #[serde(default)]
    pub minimum_holding_bars: u32,
    /// Opens a position only where the largest of the three probabilities is at least this, from 0
    /// to 1; without it, every score counts.
    #[serde(default)]
    pub minimum_confidence: Option<f64>,
    /// Opens short positions too; the account must allow them (`portfolio.allow_short`).
    #[serde(default)]
    pub allow_short: bool,
    /// What becomes of a position when its model fails. Written only where it is not the default,
    /// which keeps the digests of configurations that are older than the setting.
    #[serde(default, skip_serializing_if = "FailSafe::is_default")]
    pub fail_safe: FailSafe,
    /// How positions are opened.
    #[serde(default, skip_serializing_if = "EntryOrder::is_market")]
    pub entry: EntryOrder,
    /// What protects a position.
    #[serde(default, skip_serializing_if = "Protection::is_none")]
    pub protection: Protection,
}

impl StrategyConfig {
    /// Every problem of these settings.
    #[must_use]
    pub fn validate(&self) -> Vec<Problem> {
        let mut problems = Problems::default();
        problems.above_zero("entry_threshold", self.entry_threshold, 1.0);
        problems.within("exit_threshold", self.exit_threshold, (-1.0, 1.0));
        problems.require(
            self.exit_threshold.is_nan() || self.exit_threshold <= self.entry_threshold,
            "exit_threshold",
            format!(
                "is {}, above `entry_threshold` ({}); a position would be closed as soon as it \
                 is opened",
                self.exit_threshold, self.entry_threshold
            ),
        );
        if let Some(confidence) = self.minimum_confidence {
            problems.within("minimum_confidence", confidence, (0.0, 1.0));
        }
        self.entry.validate(&mut problems);
        self.protection.validate(&mut problems);
        problems.into_vec()
    }

    /// The strategy that these settings describe.
    #[must_use]
    pub fn build(&self) -> Box<dyn Strategy> {
        Box::new(MlSignal::new(self.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_reported_at_once() {
        let config = StrategyConfig {
            entry_threshold: 0.0,
            exit_threshold: 0.5,
            minimum_holding_bars: 0,
            minimum_confidence: Some(1.5),
            allow_short: false,
            fail_safe: FailSafe::Flatten,
            entry: EntryOrder::Market,
            protection: Protection::default(),
        };
        let keys: Vec<String> = config.validate().into_iter().map(|p| p.key).collect();
        assert_eq!(
            keys,
            ["entry_threshold", "exit_threshold", "minimum_confidence"]
        );
    }
}
