//! What a market order gets at an open: the part of `docs/execution.md` that is left where nothing
//! rests and nothing is paid between fills.
//!
//! It says what the [`Exchange`](crate::execution::Exchange) would say, and the tests hold it to
//! that; it keeps no account of its own.

use crate::execution::ExecutionConfig;
use crate::portfolio::PortfolioConfig;
use crate::problem::micro_bps_of_bps;
use crate::types::{Bar, Cash, MoneyError, Price, Quantity, TimeFrame, Timestamp};

/// An order on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) quantity: Quantity,
    pub(super) reduces_only: bool,
    /// When it was called off: before that it may fill.
    pub(super) cancelled_at: Option<Timestamp>,
    /// When it is at the exchange.
    pub(super) arrives_at: Timestamp,
    /// Whether it has met a bar, and goes on with what volume left over.
    pub(super) is_active: bool,
}

impl Waiting {
    pub(super) fn is_called_off(&self) -> bool {
        self.cancelled_at.is_some()
    }

    /// Whether its end was asked for by `moment`.
    pub(super) fn is_cancelled_by(&self, moment: Timestamp) -> bool {
        self.cancelled_at.is_some_and(|at| at <= moment)
    }
}

/// The bar that an order meets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Opening<'a> {
    pub(super) open: Price,
    pub(super) opened_at: Timestamp,
    pub(super) closed_at: Timestamp,
    /// What fills may take of it still; `None` is everything.
    pub(super) budget: Option<Quantity>,
    /// The whole bar, which only an order needs that comes late.
    pub(super) bar: Option<&'a Bar>,
}

/// What came of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Met {
    /// It waits, from this moment on.
    Waits(Timestamp),
    /// It has met the bar, whose volume had nothing left.
    Goes,
    /// It is over, without a fill.
    Nothing,
    /// It is filled, whole or in part.
    Deal(Deal),
}

/// A fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Deal {
    pub(super) quantity: Quantity,
    /// Price times quantity, with its sign.
    pub(super) value: Cash,
    pub(super) fee: Cash,
    pub(super) slippage: Cash,
    /// What goes on waiting; nothing where the order is over.
    pub(super) rest: Quantity,
}

/// The rules of the venue.
#[derive(Debug, Clone, Copy)]
pub(super) struct Venue {
    /// Whether nothing may be borrowed.
    is_spot: bool,
    lot: Quantity,
    tick: Price,
    min_notional: Cash,
    /// How far a taker's price is worse, `micro_bps`.
    against: i64,
    /// The fee, `micro_bps`.
    fee: i64,
    /// How long an order waits for a bar, nanoseconds.
    patience: i64,
    /// Part of a bar's volume that fills may take.
    participation: Option<f64>,
}

impl Venue {
    pub(super) fn new(
        execution: &ExecutionConfig,
        portfolio: &PortfolioConfig,
        time_frame: TimeFrame,
    ) -> Result<Self, MoneyError> {
        let bars = i64::from(execution.order_expiry_bars);
        let half_spread = micro_bps_of_bps(execution.spread_bps / 2.0);
        Ok(Self {
            is_spot: !portfolio.allow_short,
            lot: Quantity::from_f64(execution.lot_size)?,
            tick: Price::from_f64(execution.tick_size)?,
            min_notional: Cash::from_f64(execution.min_notional)?,
            against: half_spread + micro_bps_of_bps(execution.slippage_bps),
            fee: micro_bps_of_bps(execution.fee_bps),
            patience: time_frame.nanos().saturating_mul(bars),
            participation: execution.participation,
        })
    }

    /// What fills may take of a bar; `None` where that is everything.
    pub(super) fn budget(&self, bar: Option<&Bar>) -> Option<Quantity> {
        let (part, bar) = self.participation.zip(bar)?;
        let budget = Quantity::from_f64(bar.volume * part).unwrap_or_default();
        Some(budget.max(Quantity::ZERO).toward_zero(self.lot))
    }

    /// Whether an order is given up at `now`, before it has met a bar.
    pub(super) fn gives_up(&self, order: &Waiting, now: Timestamp) -> bool {
        !order.is_active && now.nanos_since(order.arrives_at) > self.patience
    }

    /// What `order` gets where `held` and `cash` are there.
    pub(super) fn meet(
        &self,
        order: &Waiting,
        opening: &Opening<'_>,
        (held, cash): (Quantity, Cash),
    ) -> Met {
        if order.is_active {
            return match order.is_cancelled_by(opening.opened_at) {
                true => Met::Nothing,
                false => self.take(order, opening, opening.open, (held, cash)),
            };
        }
        if order.is_cancelled_by(opening.opened_at) || self.gives_up(order, opening.opened_at) {
            return Met::Nothing;
        }
        let elapsed = order.arrives_at.nanos_since(opening.opened_at);
        let length = opening.closed_at.nanos_since(opening.opened_at);
        if elapsed > 0 && elapsed.saturating_mul(2) > length {
            return Met::Waits(order.arrives_at.max(opening.closed_at));
        }
        if order.is_cancelled_by(order.arrives_at) {
            return Met::Nothing;
        }
        let reference = if elapsed > 0 {
            late(order, opening, elapsed as f64 / length as f64)
        } else {
            opening.open
        };
        let closing = closing(order.quantity, held);
        if closing != order.quantity
            && !order.reduces_only
            && (order.quantity.toward_zero(self.lot) != order.quantity
                || reference.times(order.quantity).abs() < self.min_notional)
        {
            return Met::Nothing;
        }
        self.take(order, opening, reference, (held, cash))
    }

    /// What an order takes that is there, where the market stands at `reference`.
    fn take(
        &self,
        order: &Waiting,
        opening: &Opening<'_>,
        reference: Price,
        (held, cash): (Quantity, Cash),
    ) -> Met {
        let sells_spot = self.is_spot && order.quantity.signum() < 0;
        let is_cut = sells_spot || order.reduces_only;
        let reducible = |quantity: Quantity, held: Quantity| match is_cut {
            true => closing(quantity, held),
            false => quantity,
        };
        let wanted = reducible(order.quantity, held);
        if wanted.is_zero() {
            return Met::Nothing;
        }
        let within = self.within(wanted, opening.budget);
        let price = self.price(reference, wanted);
        let (mut quantity, mut value, mut fee) = self.priced(within, price);
        let mut lacks_cash = false;
        if self.is_spot && value + fee > cash && value > Cash::ZERO {
            // Whole lots, as many as the cash pays for with their fee.
            (quantity, value, fee) = self.priced(self.affordable(within, price, cash), price);
            lacks_cash = quantity != within;
            if lacks_cash && (quantity.is_zero() || value < self.min_notional) {
                return Met::Nothing;
            }
        }
        if quantity.is_zero() {
            return Met::Goes;
        }
        let rest = order.quantity - quantity;
        let is_over = lacks_cash || reducible(rest, held + quantity).is_zero();
        Met::Deal(Deal {
            quantity,
            value,
            fee,
            slippage: (price - reference).times(quantity),
            rest: if is_over { Quantity::ZERO } else { rest },
        })
    }

    /// What of `quantity` a budget leaves.
    fn within(&self, quantity: Quantity, budget: Option<Quantity>) -> Quantity {
        match budget {
            Some(budget) if quantity.abs() > budget => {
                // What a close off the lot has left of the budget may lie off it too.
                let most = budget.toward_zero(self.lot);
                if quantity.signum() < 0 { -most } else { most }
            }
            _ => quantity,
        }
    }

    /// What `quantity` is worth at `price`, with its sign, and the fee on it.
    fn priced(&self, quantity: Quantity, price: Price) -> (Quantity, Cash, Cash) {
        let value = price.times(quantity);
        (quantity, value, value.abs().scaled_by_micro_bps(self.fee))
    }

    /// What a taker pays where the market stands at `reference`.
    fn price(&self, reference: Price, quantity: Quantity) -> Price {
        let distance = reference.scaled_by_micro_bps(self.against);
        if quantity > Quantity::ZERO {
            (reference + distance).up_to(self.tick)
        } else {
            let least = self.tick.min(reference);
            (reference - distance).down_to(self.tick).max(least)
        }
    }

    /// The most lots below `quantity`, above zero, whose value and fee are within `cash`.
    fn affordable(&self, quantity: Quantity, price: Price, cash: Cash) -> Quantity {
        let lot = self.lot.units().max(1);
        let (mut paid, mut unpaid) = (0, quantity.units() / lot + 1);
        while unpaid - paid > 1 {
            let middle = paid + (unpaid - paid) / 2;
            let (_, value, fee) = self.priced(Quantity::from_units(middle * lot), price);
            if value + fee <= cash {
                paid = middle;
            } else {
                unpaid = middle;
            }
        }
        Quantity::from_units(paid * lot)
    }
}

/// The part of `quantity` that closes what is held, with its sign.
fn closing(quantity: Quantity, held: Quantity) -> Quantity {
    if held.signum() * quantity.signum() >= 0 {
        Quantity::ZERO
    } else if quantity.abs() <= held.abs() {
        quantity
    } else {
        -held
    }
}

/// What an order meets that arrives after `part` of the bar.
fn late(order: &Waiting, opening: &Opening<'_>, part: f64) -> Price {
    let Some(bar) = opening.bar else {
        return opening.open;
    };
    let exact = |price: f64| Price::from_f64(price).unwrap_or_default();
    let moved = |range: Price| Price::from_f64(range.to_f64() * part.sqrt()).unwrap_or_default();
    if order.quantity > Quantity::ZERO {
        opening.open + moved(exact(bar.high) - opening.open)
    } else {
        opening.open - moved(opening.open - exact(bar.low))
    }
}
