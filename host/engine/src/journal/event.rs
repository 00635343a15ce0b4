//! The events of a session.

use serde::{Deserialize, Serialize};

use crate::execution::{Expiry, Fill, Order, OrderId, Payment};
use crate::fusion::{FailureReason, ModelInfo, ModelRef, Prediction};
use crate::risk::{BreakerKind, Refusal};
use crate::strategy::Direction;
use crate::types::{Cash, SymbolId, TimeFrame, Timestamp};

/// The number of the journal's format; it changes when an event loses or renames a field. New
/// events and new fields that may be absent leave it as it is.
pub const FORMAT: u32 = 1;

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// The entry's number, from zero without gaps.
    pub seq: u64,
    /// The closing time of the step that it belongs to, in nanoseconds since the epoch.
    #[serde(rename = "at_ns")]
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// A session begins; always the first entry.
    SessionStarted {
        /// [`FORMAT`].
        format: u32,
        /// Digest of the configuration, as the driver made it.
        config_digest: String,
        /// Names in the order of symbol ids.
        symbols: Vec<String>,
        /// Length of every bar.
        time_frame: TimeFrame,
        /// Cash at the start.
        initial_cash: Cash,
        /// The models in the order of their references.
        models: Vec<ModelInfo>,
    },
    /// A model appeared while the session runs.
    ModelAdded {
        /// Its reference, the next one.
        model: ModelRef,
        /// What it is.
        info: ModelInfo,
    },
    /// A model's predictions begin to be used.
    ModelActivated {
        /// The model.
        model: ModelRef,
    },
    /// A model answered.
    Predicted {
        /// What about.
        symbol: SymbolId,
        /// The model.
        model: ModelRef,
        /// Probabilities of down, flat, up; `None` is not a finite number.
        probabilities: [Option<f32>; 3],
        /// The closing time that the prediction was made at, where it is older than the step.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        predicted_at_ns: Option<Timestamp>,
    },
    /// A model failed to answer.
    PredictionFailed {
        /// What about.
        symbol: SymbolId,
        /// The model.
        model: ModelRef,
        /// Why.
        reason: FailureReason,
        /// The closing time of the older prediction that stands in for the answer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stand_in_at_ns: Option<Timestamp>,
    },
    /// The strategy wants another side than the one that is held.
    Signalled {
        /// The symbol.
        symbol: SymbolId,
        /// Strength from -1 to 1.
        score: f32,
        /// The side that is held.
        held: Direction,
        /// The side that is wanted.
        target: Direction,
    },
    /// Risk approved an order; it goes to the broker.
    OrderApproved(Order),
    /// Risk refused an order, or to act on a prediction.
    OrderRefused {
        /// The symbol.
        symbol: SymbolId,
        /// Why.
        reason: Refusal,
    },
    /// An order was carried out, whole or in part.
    OrderFilled(Fill),
    /// The exchange closes a position whose margin is used up; the fill follows.
    PositionLiquidated(Order),
    /// Money moved without a trade.
    Paid(Payment),
    /// An order came to nothing.
    OrderExpired {
        /// The order.
        order: OrderId,
        /// Why.
        reason: Expiry,
    },
    /// The portfolio was valued at the closes.
    Marked {
        /// Cash plus positions.
        equity: Cash,
        /// Cash.
        cash: Cash,
        /// Positions without their signs.
        gross_exposure: Cash,
    },
    /// A breaker tripped.
    BreakerTripped {
        /// What equity is compared with: the highest so far, or that of the day's beginning.
        peak: Cash,
        /// Equity now.
        equity: Cash,
        /// Which breaker; not written for drawdown.
        #[serde(default, skip_serializing_if = "BreakerKind::is_drawdown")]
        breaker: BreakerKind,
    },
    /// The breakers were reset, by hand or after their cool-down.
    BreakerReset {
        /// Equity now, the new peak.
        equity: Cash,
    },
    /// Equity is gone; nothing is opened any more.
    Ruined {
        /// Equity now.
        equity: Cash,
    },
    /// The session ends; always the last entry.
    SessionEnded {
        /// Cash plus positions at the last marks.
        equity: Cash,
        /// Steps taken.
        steps: u64,
        /// Fills booked.
        fills: u64,
    },
}

impl Event {
    /// The event of a prediction in the step at `closed_at`.
    pub(crate) fn predicted(prediction: &Prediction, closed_at: Timestamp) -> Self {
        let older = prediction.closed_at != closed_at;
        Self::Predicted {
            symbol: prediction.symbol,
            model: prediction.model,
            probabilities: prediction.probabilities.map(|p| p.is_finite().then_some(p)),
            predicted_at_ns: older.then_some(prediction.closed_at),
        }
    }
}
