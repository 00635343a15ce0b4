//! One order at the exchange, and what prices mean to it.

use crate::execution::{Expiry, Order, OrderKind};
use crate::types::{Price, Quantity, Timestamp};

/// How far an order has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// On its way, or waiting for its first slice.
    Coming,
    /// Waiting for its parent's fills.
    Held,
    /// There.
    Active,
}

/// One order at the exchange.
#[derive(Debug, Clone, Copy)]
pub(super) struct Working {
    pub(super) order: Order,
    /// What is not filled yet, signed.
    pub(super) waiting: Quantity,
    /// What it waits for now; triggers turn it.
    pub(super) kind: OrderKind,
    pub(super) arrives_at: Timestamp,
    /// When the request for its end is there.
    pub(super) cancelled_at: Option<Timestamp>,
    pub(super) stage: Stage,
    /// Whether it is a limit order that lies in the book.
    pub(super) rests: bool,
    /// The best price since a trailing stop arrived.
    pub(super) best: Price,
    /// What is before it in the queue.
    pub(super) ahead: Quantity,
    /// Whether the slice has touched its price.
    pub(super) is_touched: bool,
    /// Whether it gets nothing more in this slice.
    pub(super) is_spent: bool,
    /// Whether it began inside the slice: which part of the way is behind that, nobody knows.
    pub(super) is_late: bool,
}

impl Working {
    pub(super) fn new(order: Order, arrives_at: Timestamp) -> Self {
        let is_child = order.terms.parent.is_some();
        Self {
            order,
            waiting: if is_child {
                Quantity::ZERO
            } else {
                order.quantity
            },
            kind: order.terms.kind,
            arrives_at,
            cancelled_at: None,
            stage: if is_child { Stage::Held } else { Stage::Coming },
            rests: false,
            best: Price::ZERO,
            ahead: Quantity::ZERO,
            is_touched: false,
            is_spent: false,
            is_late: false,
        }
    }

    pub(super) fn buys(&self) -> bool {
        self.order.buys()
    }

    /// Whether it may only reduce a position; children always.
    pub(super) fn reduces_only(&self) -> bool {
        self.order.reduces_only()
    }

    /// Whether it waits for a parent of which nothing was filled: a sibling may end the parent
    /// before this one begins.
    pub(super) fn is_orphan(&self) -> bool {
        self.stage == Stage::Held && self.waiting.is_zero()
    }

    /// Whether it takes part in what comes.
    pub(super) fn is_active(&self) -> bool {
        self.stage == Stage::Active && !self.is_spent
    }

    /// Whether the request for its end is there by `moment`.
    pub(super) fn is_cancelled_by(&self, moment: Timestamp) -> bool {
        self.cancelled_at.is_some_and(|at| at <= moment)
    }

    /// Why its time is up at `now`, in a bar of the signal that opened at `bar_opened_at`, where it
    /// is and it has not met a slice yet.
    pub(super) fn overdue(
        &self,
        (now, bar_opened_at): (Timestamp, Timestamp),
        patience: i64,
    ) -> Option<Expiry> {
        if self.order.terms.expires_at.is_some_and(|at| at <= now) {
            return Some(Expiry::TimedOut);
        }
        let is_plain = self.order.terms.kind == OrderKind::Market
            && self.stage == Stage::Coming
            && self.order.terms.expires_at.is_none();
        (is_plain && bar_opened_at.nanos_since(self.arrives_at) > patience).then_some(Expiry::Stale)
    }

    /// `price` is as good as `mark` for this order, or better.
    pub(super) fn is_as_good(&self, price: Price, mark: Price) -> bool {
        if self.buys() {
            price <= mark
        } else {
            price >= mark
        }
    }

    /// The trigger of a trailing stop whose best price is `best`.
    pub(super) fn trail(&self, distance_micro_bps: i64, tick: Price) -> Price {
        let distance = self.best.scaled_by_micro_bps(distance_micro_bps);
        if self.buys() {
            (self.best + distance).up_to(tick)
        } else {
            (self.best - distance).down_to(tick)
        }
    }

    /// The price at which it is triggered, and whether that is a price that is worse for it than
    /// the market before; `None` for orders without a trigger.
    pub(super) fn trigger(&self, tick: Price) -> Option<(Price, bool)> {
        match self.kind {
            OrderKind::Market | OrderKind::Limit { .. } => None,
            OrderKind::Stop { trigger } | OrderKind::StopLimit { trigger, .. } => {
                Some((trigger, true))
            }
            OrderKind::TakeProfit { trigger } => Some((trigger, false)),
            OrderKind::TrailingStop { distance_micro_bps } => {
                Some((self.trail(distance_micro_bps, tick), true))
            }
        }
    }

    /// Whether it is a stop that was not hit: an order that a worse market triggers.
    pub(super) fn is_stop(&self) -> bool {
        matches!(
            self.kind,
            OrderKind::Stop { .. } | OrderKind::StopLimit { .. } | OrderKind::TrailingStop { .. }
        )
    }

    /// Whether a market at `price` triggers it.
    pub(super) fn is_triggered_at(&self, price: Price, tick: Price) -> bool {
        match self.trigger(tick) {
            None => false,
            Some((trigger, true)) => self.is_as_good(trigger, price),
            Some((trigger, false)) => self.is_as_good(price, trigger),
        }
    }

    /// What it becomes when its trigger is hit.
    pub(super) fn turn(&mut self) {
        self.kind = match self.kind {
            OrderKind::StopLimit { price, .. } => OrderKind::Limit { price },
            _ => OrderKind::Market,
        };
    }

    /// A trailing stop sees `price`.
    pub(super) fn see(&mut self, price: Price) {
        if matches!(self.kind, OrderKind::TrailingStop { .. }) {
            // Best for a sell stop is the highest price, for a buy stop the lowest.
            let is_best = if self.buys() {
                price < self.best
            } else {
                price > self.best
            };
            if self.best.is_zero() || is_best {
                self.best = price;
            }
        }
    }
}
