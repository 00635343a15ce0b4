//! The events of a session.

use serde::{Deserialize, Serialize};

use crate::execution::{Expiry, Fill, Order, OrderId, Payment};
use crate::fusion::{FailureReason, ModelInfo, ModelRef, Prediction};
use crate::risk::{BreakerKind, Refusal};
use crate::strategy::Direction;
use crate::types::{Cash, CurrencyId, Rate, SymbolId, TimeFrame, Timestamp};

/// The number of the newest format; it changes when an event loses or renames a field, or what is
/// written cannot be understood without a new one. New events and new fields that may be absent
/// leave it as it is. A journal of several currencies has this format: without their rates its
/// amounts add up to nothing.
pub const FORMAT: u32 = 2;

/// The format of a journal of one currency.
pub const FORMAT_OF_ONE: u32 = 1;

/// The currencies of a session; everything is in the order of their numbers, the reporting currency
/// first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountCurrencies {
    /// Names.
    pub names: Vec<String>,
    /// Cash at the start.
    pub balances: Vec<Cash>,
    /// What each rate is taken from: `1`, `fixed 1.08`, a symbol, `1/` a symbol, or two of these
    /// with ` x ` between them.
    pub rates: Vec<String>,
    /// The currency of each symbol, in the order of symbol ids.
    pub quotes: Vec<CurrencyId>,
}

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
        /// [`FORMAT`], or [`FORMAT_OF_ONE`].
        format: u32,
        /// Digest of the configuration, as the driver made it.
        config_digest: String,
        /// Names in the order of symbol ids.
        symbols: Vec<String>,
        /// Length of every bar.
        time_frame: TimeFrame,
        /// What the cash at the start is worth, in the reporting currency.
        initial_cash: Cash,
        /// The models in the order of their references.
        models: Vec<ModelInfo>,
        /// The currencies, where there are several.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        currencies: Option<AccountCurrencies>,
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
    /// The broker is asked to end an order that is no longer wanted.
    CancelRequested {
        /// The order.
        order: OrderId,
    },
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
        /// Cash, of all currencies.
        cash: Cash,
        /// Positions without their signs.
        gross_exposure: Cash,
        /// Cash by currency, where there are several.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        balances: Vec<Cash>,
        /// Their rates: what one is worth in the reporting currency, as the two numbers of a
        /// fraction; `null` before it is known.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        rates: Vec<Option<Rate>>,
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
        /// The currencies whose rates never came, so that nothing could be opened in them; not
        /// written where there are none.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        without_rate: Vec<CurrencyId>,
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
