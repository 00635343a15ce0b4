//! Extension point: approved orders become fills, at a price, with a fee.
//!
//! Each part of a venue's behaviour is a small trait with one file per model; [`Venue`] joins them
//! and [`SimulatedBroker`] queues orders in front of it. Nothing here decides whether an order is
//! wise: that is risk's part, and only risk can make an [`ApprovedOrder`].
//!
//! | file | model |
//! |---|---|
//! | `next_open` | fills at the open of the first bar after the decision |
//! | `slippage` | moves that price against the order |
//! | `fees` | charges a part of the notional |
//!
//! [`ApprovedOrder`]: crate::risk::ApprovedOrder

mod config;
mod fees;
mod next_open;
mod simulated;
mod slippage;
mod venue;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use config::ExecutionConfig;
pub use fees::ProportionalFee;
pub use next_open::NextOpen;
pub use simulated::SimulatedBroker;
pub use slippage::ProportionalSlippage;
pub use venue::Venue;

use crate::fusion::ModelRef;
use crate::strategy::Direction;
use crate::types::{Bar, Cash, Price, Quantity, SymbolId, Timestamp};

/// An order's number, unique within a session, from zero in the order of approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OrderId(pub u64);

/// Why an order was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OrderReason {
    /// The signal opens a position.
    Entry,
    /// The signal closes the position.
    Exit,
    /// The signal turns the position to the other side.
    Flip,
    /// The drawdown breaker closes the position.
    Breaker,
    /// The account is ruined and the position is closed.
    Ruin,
    /// The model failed and its strategy's fail-safe closes the position.
    FailSafe,
}

/// An order at the market.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The order's number.
    pub id: OrderId,
    /// What is traded.
    pub symbol: SymbolId,
    /// How much, in the base asset; negative sells.
    pub quantity: Quantity,
    /// The closing time at which it was decided; it never fills earlier.
    #[serde(rename = "decided_at_ns")]
    pub decided_at: Timestamp,
    /// Why.
    pub reason: OrderReason,
    /// The model behind the decision; `None` where no model was asked.
    pub model: Option<ModelRef>,
}

/// An order that was carried out, whole or in part. The part that was not is cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fill {
    /// The order.
    pub order: OrderId,
    /// What was traded.
    pub symbol: SymbolId,
    /// How much, in the base asset; negative was sold.
    pub quantity: Quantity,
    /// The price paid or received.
    pub price: Price,
    /// The fee, positive where it is paid.
    pub fee: Cash,
    /// What the fill lost against the price without slippage, positive where it is a loss; `price`
    /// contains it already.
    pub slippage: Cash,
    /// When.
    #[serde(rename = "filled_at_ns")]
    pub filled_at: Timestamp,
}

impl Fill {
    /// The value of the fill at its price; negative was sold.
    #[must_use]
    pub fn notional(&self) -> Cash {
        self.price.times(self.quantity)
    }

    /// The side that the fill moves the position to.
    #[must_use]
    pub fn direction(&self) -> Direction {
        Direction::of_sign(self.quantity.signum())
    }

    /// Whether this can be the answer to `order` in the step at `closed_at`.
    ///
    /// # Errors
    /// What is impossible about it.
    pub fn check_against(&self, order: &Order, closed_at: Timestamp) -> Result<(), &'static str> {
        if self.order != order.id || self.symbol != order.symbol {
            return Err("a fill is of another order or symbol than was asked for");
        }
        if self.filled_at < order.decided_at {
            return Err("a fill is earlier than the decision of its order");
        }
        if self.filled_at > closed_at {
            return Err("a fill is later than the step that reports it");
        }
        let same_side = self.quantity.signum() == order.quantity.signum();
        if !same_side || self.quantity.abs() > order.quantity.abs() {
            return Err("a fill is larger than its order or on the other side");
        }
        if self.price.signum() <= 0 {
            return Err("a fill has a price that is not positive");
        }
        Ok(())
    }
}

/// Why an order came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Expiry {
    /// No bar opened within the time that an order waits.
    Stale,
    /// The cash does not pay for the smallest order.
    InsufficientCash,
    /// The session ended first.
    SessionEnded,
}

/// How an order ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was carried out.
    Filled(Fill),
    /// It came to nothing.
    Expired {
        /// The order.
        order: OrderId,
        /// Why.
        expiry: Expiry,
    },
}

/// When and at what price, before slippage, an order meets the market.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reference {
    /// The moment of the fill.
    pub at: Timestamp,
    /// The price without slippage.
    pub price: Price,
}

/// Where in a bar an order fills.
pub trait FillModel: fmt::Debug + Send {
    /// The moment and price at which `order` meets `bar`; `None` where the order must wait for
    /// another bar. The moment is never before the order's decision.
    fn reference(&self, order: &Order, bar: &Bar) -> Option<Reference>;
}

/// How far the price moves against an order.
pub trait SlippageModel: fmt::Debug + Send {
    /// The price for `quantity` (signed) where the market stands at `price`, before the tick.
    fn slipped(&self, price: Price, quantity: Quantity) -> Price;
}

/// What a fill costs.
pub trait FeeModel: fmt::Debug + Send {
    /// The fee on a fill of this notional (positive); it never falls as the notional rises.
    fn fee(&self, notional: Cash) -> Cash;
}
