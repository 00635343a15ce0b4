//! Orders, and what becomes of them. The rules that they follow are in `docs/execution.md`.

use serde::{Deserialize, Serialize};

use crate::fusion::ModelRef;
use crate::strategy::Direction;
use crate::types::{Cash, CurrencyId, Fixed, Price, Quantity, SymbolId, Timestamp, Unit};

/// An order's number, unique within a session, from zero in the order of approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OrderId(pub u64);

impl OrderId {
    /// Numbers from here on are of orders that the exchange itself makes.
    pub const OF_EXCHANGE: u64 = 1 << 63;
}

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
    /// Protects a position: a stop, a take-profit or a trailing stop.
    Protection,
    /// The exchange closes a position whose margin is used up.
    Liquidation,
}

impl OrderReason {
    /// Whether orders of this reason may open a position.
    #[must_use]
    pub fn opens(self) -> bool {
        matches!(self, Self::Entry | Self::Flip)
    }
}

/// What an order waits for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum OrderKind {
    /// Nothing.
    #[default]
    Market,
    /// The market at this price or better.
    Limit {
        /// The worst price to trade at.
        price: Price,
    },
    /// The market at the trigger or worse; then it is a market order.
    Stop {
        /// The price that turns it into a market order.
        trigger: Price,
    },
    /// The market at the trigger or worse; then it is a limit order.
    StopLimit {
        /// The price that turns it into a limit order.
        trigger: Price,
        /// The worst price to trade at.
        price: Price,
    },
    /// The market at the trigger or better; then it is a market order.
    TakeProfit {
        /// The price that turns it into a market order.
        trigger: Price,
    },
    /// A stop whose trigger follows the best price since the order arrived.
    TrailingStop {
        /// Distance of the trigger from the best price, millionths of a basis point of it.
        distance_micro_bps: i64,
    },
}

/// How long an order waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeInForce {
    /// Until it is filled or cancelled.
    #[default]
    Gtc,
    /// Fills what it can in the slice in which it first meets the market; the rest is cancelled.
    Ioc,
    /// Fills whole in the slice in which it first meets the market, or not at all.
    Fok,
}

/// The conditions of an order; the default is a plain market order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OrderTerms {
    /// What it waits for.
    pub kind: OrderKind,
    /// How long.
    pub time_in_force: TimeInForce,
    /// The moment from which a waiting order is expired; `None` is never.
    #[serde(rename = "expires_at_ns", skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Never takes: an order that would is rejected.
    pub post_only: bool,
    /// Never opens: cut to what is held on the other side.
    pub reduce_only: bool,
    /// Orders of one group are one-cancels-the-other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<u64>,
    /// Waits for the fills of this order and has their quantity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<OrderId>,
}

impl OrderTerms {
    /// Whether these are the terms of a plain market order.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

/// An order.
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
    /// Its conditions; not written for a plain market order.
    #[serde(default, skip_serializing_if = "OrderTerms::is_plain")]
    pub terms: OrderTerms,
}

impl Order {
    /// Whether it may only reduce a position; what waits for a parent always.
    #[must_use]
    pub fn reduces_only(&self) -> bool {
        self.terms.reduce_only || self.terms.parent.is_some()
    }

    /// Whether it buys.
    #[must_use]
    pub fn buys(&self) -> bool {
        self.quantity > Quantity::ZERO
    }
}

/// An order that was carried out, whole or in part.
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
    /// What the fill lost against the price without spread and slippage, positive where it is a
    /// loss; `price` contains it already.
    pub slippage: Cash,
    /// The spread's part of `slippage`.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub spread: Cash,
    /// What of the order still waits; nothing where the fill ends it.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub remaining: Quantity,
    /// Whether it rested and was taken.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_maker: bool,
    /// What its amounts are in: what the symbol is quoted in; not written for the reporting
    /// currency.
    #[serde(default, skip_serializing_if = "CurrencyId::is_reporting")]
    pub currency: CurrencyId,
    /// When.
    #[serde(rename = "filled_at_ns")]
    pub filled_at: Timestamp,
}

fn is_nothing<U: Unit>(amount: &Fixed<U>) -> bool {
    amount.is_zero()
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

    /// Whether this can be the answer to `order`, of which `waiting` is not filled yet, in the step
    /// at `closed_at`.
    ///
    /// # Errors
    /// What is impossible about it.
    pub fn check_against(
        &self,
        order: &Order,
        waiting: Quantity,
        closed_at: Timestamp,
    ) -> Result<(), &'static str> {
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
        if !same_side || self.quantity.abs() > waiting.abs() {
            return Err("a fill is larger than its order or on the other side");
        }
        let left = waiting - self.quantity;
        // What waits for a parent has come in part only, and a group takes from its orders.
        let may_be_less = order.terms.parent.is_some() || order.terms.group.is_some();
        let fits = self.remaining == left
            || may_be_less
                && self.remaining.signum() == left.signum()
                && self.remaining.abs() < left.abs();
        if !self.remaining.is_zero() && !fits {
            return Err("a fill leaves another quantity than its order has left");
        }
        if self.price.signum() <= 0 {
            return Err("a fill has a price that is not positive");
        }
        Ok(())
    }
}

/// Why an order ended without being filled, or without being filled whole.
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
    /// Its time was up.
    TimedOut,
    /// It was to fill at once and could not, or not whole.
    Unfilled,
    /// Nothing is held any more that it could reduce.
    NothingToReduce,
    /// Another order of its group was filled.
    GroupFilled,
    /// The order that it waited for ended.
    ParentEnded,
    /// Its position was liquidated.
    Liquidated,
    /// The session cancelled it.
    Cancelled,
    /// Rejected: a price is not above zero or no multiple of the tick.
    InvalidPrice,
    /// Rejected: the quantity is no multiple of the lot.
    InvalidQuantity,
    /// Rejected: it is worth less than the venue takes.
    BelowMinimum,
    /// Rejected: it was to rest and would have filled at once.
    WouldTake,
    /// Rejected: the account's margin does not carry it.
    InsufficientMargin,
    /// Rejected: it would open a position in a currency whose rate is not known yet.
    NoRate,
}

/// Why money moved without a trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentKind {
    /// Between long and short holders of a perpetual future.
    Funding,
    /// Interest on what is borrowed.
    Borrowing,
    /// What the exchange bears of a liquidated position.
    Insurance,
}

/// Money that moved without a trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    /// The position that it is for; `None` where it is for the account.
    pub symbol: Option<SymbolId>,
    /// Why.
    pub kind: PaymentKind,
    /// What the account gets; negative is paid.
    pub amount: Cash,
    /// What it is in; not written for the reporting currency.
    #[serde(default, skip_serializing_if = "CurrencyId::is_reporting")]
    pub currency: CurrencyId,
    /// When.
    #[serde(rename = "paid_at_ns")]
    pub paid_at: Timestamp,
}

/// What happened at the exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// An order was carried out, whole or in part.
    Filled(Fill),
    /// An order ended; what was not filled of it never will be.
    Expired {
        /// The order.
        order: OrderId,
        /// Why.
        expiry: Expiry,
    },
    /// The exchange closes a position; its fill follows.
    Liquidating(Order),
    /// Money moved.
    Paid(Payment),
}
