//! How a strategy's wish to open a position becomes orders: how it is entered, and what protects it
//! from its first fill on.

use serde::{Deserialize, Serialize};

use crate::problem::Problems;

/// How positions are opened. Offsets are in basis points of the close at which the entry is
/// decided. A turn to the other side is a market order, whose closing half must not wait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum EntryOrder {
    /// At the market; what volume cuts off waits.
    #[default]
    Market,
    /// At the market, at once: what the first bar does not fill is cancelled.
    AtOnce {
        /// Whether it fills whole or not at all.
        whole: bool,
    },
    /// By a limit order that waits for its price; a signal for another side cancels it.
    Limit {
        /// How far below the close a purchase waits (a sale above it), from -5,000 to 10,000;
        /// below 0 it may take.
        offset_bps: f64,
        /// Bars that it waits, from 1 to 10,000.
        valid_bars: u32,
        /// How it waits.
        #[serde(default)]
        time_in_force: EntryTime,
    },
    /// By a stop: at the market once the price has moved the position's way.
    Stop {
        /// How far above the close a purchase is triggered (a sale below it), from 0 to 10,000.
        offset_bps: f64,
        /// Bars that it waits, from 1 to 10,000.
        valid_bars: u32,
        /// How it waits once it is triggered; never [`EntryTime::PostOnly`].
        #[serde(default)]
        time_in_force: EntryTime,
    },
    /// By a stop that becomes a limit order.
    StopLimit {
        /// How far above the close a purchase is triggered (a sale below it), from 0 to 10,000.
        offset_bps: f64,
        /// How far above its trigger a purchase may fill (a sale below it), from -5,000 to 10,000;
        /// below 0 it waits for the price to come back.
        limit_offset_bps: f64,
        /// Bars that it waits, from 1 to 10,000.
        valid_bars: u32,
        /// How it waits once it is triggered.
        #[serde(default)]
        time_in_force: EntryTime,
    },
}

/// How an entry waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryTime {
    /// Until it is filled.
    #[default]
    Gtc,
    /// What does not fill at once is cancelled.
    Ioc,
    /// It fills whole and at once, or not at all.
    Fok,
    /// Until it is filled, and it is rejected where it would take.
    PostOnly,
}

impl EntryOrder {
    pub(crate) fn is_market(&self) -> bool {
        *self == Self::Market
    }

    /// How far the price must move before the entry is triggered, basis points; `None` for entries
    /// without a trigger.
    pub(crate) fn trigger_bps(&self) -> Option<f64> {
        match *self {
            Self::Stop { offset_bps, .. } | Self::StopLimit { offset_bps, .. } => Some(offset_bps),
            Self::Market | Self::AtOnce { .. } | Self::Limit { .. } => None,
        }
    }

    pub(super) fn validate(&self, problems: &mut Problems) {
        let (offset_bps, least, valid_bars, time) = match *self {
            Self::Market | Self::AtOnce { .. } => return,
            Self::Limit {
                offset_bps,
                valid_bars,
                time_in_force,
            } => (offset_bps, -5_000.0, valid_bars, time_in_force),
            Self::Stop {
                offset_bps,
                valid_bars,
                time_in_force,
            }
            | Self::StopLimit {
                offset_bps,
                valid_bars,
                time_in_force,
                ..
            } => (offset_bps, 0.0, valid_bars, time_in_force),
        };
        problems.within("entry.offset_bps", offset_bps, (least, 10_000.0));
        if let Self::StopLimit {
            limit_offset_bps, ..
        } = *self
        {
            problems.within(
                "entry.limit_offset_bps",
                limit_offset_bps,
                (-5_000.0, 10_000.0),
            );
        }
        problems.require(
            (1..=10_000).contains(&valid_bars),
            "entry.valid_bars",
            format!("is {valid_bars}; it must lie between 1 and 10000"),
        );
        problems.require(
            !(matches!(self, Self::Stop { .. }) && time == EntryTime::PostOnly),
            "entry.time_in_force",
            "is post_only, but a stop takes when it is triggered; use gtc, ioc or fok, or \
             `kind = \"stop_limit\"`",
        );
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
