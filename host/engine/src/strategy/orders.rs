//! How a strategy's wish to open a position becomes orders: how it is entered, and what protects it
//! from its first fill on.

use serde::{Deserialize, Serialize};

use crate::problem::Problems;

/// How positions are opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum EntryOrder {
    /// At the market.
    #[default]
    Market,
    /// By a limit order that waits; a signal for another side cancels it.
    Limit {
        /// How far below the close a purchase waits (a sale above it), in basis points, from 0 to
        /// 10,000.
        offset_bps: f64,
        /// Bars that it waits, from 1 to 10,000.
        valid_bars: u32,
        /// Whether it must not take.
        #[serde(default)]
        post_only: bool,
    },
}

impl EntryOrder {
    pub(crate) fn is_market(&self) -> bool {
        *self == Self::Market
    }

    pub(super) fn validate(&self, problems: &mut Problems) {
        if let Self::Limit {
            offset_bps,
            valid_bars,
            ..
        } = *self
        {
            problems.within("entry.offset_bps", offset_bps, (0.0, 10_000.0));
            problems.require(
                (1..=10_000).contains(&valid_bars),
                "entry.valid_bars",
                format!("is {valid_bars}; it must lie between 1 and 10000"),
            );
        }
    }
}

/// What protects a position: orders at the exchange, one-cancels-the-other, from its first fill on.
/// Distances are parts of the close at which it was decided, above 0 and below 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Protection {
    /// Distance of a stop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_loss: Option<f64>,
    /// Distance of a take-profit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub take_profit: Option<f64>,
    /// Distance of a trailing stop from the best price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trailing_stop: Option<f64>,
}

impl Protection {
    pub(crate) fn is_none(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn validate(&self, problems: &mut Problems) {
        for (key, distance) in [
            ("protection.stop_loss", self.stop_loss),
            ("protection.take_profit", self.take_profit),
            ("protection.trailing_stop", self.trailing_stop),
        ] {
            if let Some(distance) = distance {
                problems.require(
                    distance > 0.0 && distance < 1.0,
                    key,
                    format!("is {distance}; it must be above 0 and below 1"),
                );
            }
        }
    }
}
