//! What is asked of an order when it arrives: section 3 of `docs/execution.md`.

use super::walk::Walk;
use super::working::{Stage, Working};
use crate::execution::{Expiry, OrderId, OrderKind};
use crate::types::{Cash, Price, Quantity};

impl Walk<'_> {
    /// Checks an order on arrival, in the order of section 3.
    pub(super) fn arrive(&mut self, id: OrderId, met: Price) -> bool {
        let Some(at) = self.place(id) else {
            return false;
        };
        let one = self.orders[at];
        if let Some(expiry) = self.objection(&one, met) {
            self.end(id, expiry);
            return false;
        }
        let place = &mut self.orders[at];
        place.stage = Stage::Active;
        place.see(met);
        true
    }

    fn objection(&self, one: &Working, met: Price) -> Option<Expiry> {
        if one.is_cancelled_by(one.arrives_at) {
            return Some(Expiry::Cancelled);
        }
        let rules = self.rules();
        let is_price = |price: Price| price > Price::ZERO && price.up_to(rules.tick) == price;
        let prices_fit = match one.kind {
            OrderKind::Market => true,
            OrderKind::Limit { price } => is_price(price),
            OrderKind::Stop { trigger } | OrderKind::TakeProfit { trigger } => is_price(trigger),
            OrderKind::StopLimit { trigger, price } => is_price(trigger) && is_price(price),
            OrderKind::TrailingStop { distance_micro_bps } => {
                (1..10_000_000_000).contains(&distance_micro_bps)
            }
        };
        if !prices_fit {
            return Some(Expiry::InvalidPrice);
        }
        let quantity = one.waiting;
        let closing = self.stand.closing(quantity);
        let closes_only = closing == quantity;
        // A child's own quantity is its side, so it must not be nothing either.
        if quantity.is_zero()
            || one.order.quantity.is_zero()
            || (quantity.toward_zero(rules.lot) != quantity && !closes_only && !one.reduces_only())
        {
            return Some(Expiry::InvalidQuantity);
        }
        let valued = match one.kind {
            OrderKind::Limit { price } | OrderKind::StopLimit { price, .. } => price,
            _ => met,
        };
        let is_small = valued.times(quantity).abs() < rules.min_notional;
        if is_small && !closes_only && !one.reduces_only() {
            return Some(Expiry::BelowMinimum);
        }
        if one.reduces_only() && closing.is_zero() {
            return Some(Expiry::NothingToReduce);
        }
        let takes = match one.kind {
            OrderKind::Limit { price } => one.is_as_good(met, price),
            _ => false,
        };
        if one.order.terms.post_only && takes {
            return Some(Expiry::WouldTake);
        }
        if self.setting.rate.is_none() && !closes_only && !one.reduces_only() {
            return Some(Expiry::NoRate);
        }
        self.lacks_margin(one, valued)
            .then_some(Expiry::InsufficientMargin)
    }

    /// Whether the margin does not carry what the order opens, beside the orders that rest.
    fn lacks_margin(&self, one: &Working, valued: Price) -> bool {
        let (Some(margin), false) = (self.stand.rules(), one.reduces_only()) else {
            return false;
        };
        let need = |quantity: Quantity, price: Price| {
            let opens = quantity - self.stand.closing(quantity);
            price.times(opens).abs().scaled_by_micro_bps(margin.initial)
        };
        let wanted = need(one.waiting, valued);
        let resting: Cash = self
            .orders
            .iter()
            .filter(|other| other.stage == Stage::Active && !other.reduces_only())
            .map(
                |other| match (other.kind, other.trigger(self.rules().tick)) {
                    (OrderKind::Limit { price } | OrderKind::StopLimit { price, .. }, _) => {
                        need(other.waiting, price)
                    }
                    (_, Some((trigger, _))) => need(other.waiting, trigger),
                    (_, None) => need(other.waiting, self.price),
                },
            )
            .sum();
        !wanted.is_zero()
            && self
                .stand
                .free(self.price)
                .is_some_and(|free| wanted > free - resting)
    }
}
