//! The legs of a way: what is hit first, and then.

use super::walk::Walk;
use super::working::Working;
use crate::execution::{OrderId, OrderKind, Outcome};
use crate::types::{Price, Quantity};

/// Which extreme comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    LowFirst,
    HighFirst,
}

/// What a leg hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Hit {
    Liquidation,
    Order(OrderId),
}

impl Walk<'_> {
    /// Whether anything can happen after the open.
    fn may_move(&self) -> bool {
        self.orders.iter().any(Working::is_active)
            || (self.stand.rules().is_some() && !self.stand.held.is_zero())
    }

    /// The rest of the slice by the worst of the ways that it may have gone, of equals the first,
    /// and whether they differ: the low or the high first, and where the end of orders was asked
    /// for inside the slice, that before the way or behind it.
    pub(super) fn go_worst(self) -> (Self, bool) {
        if !self.has_cancels() {
            return self.go_both(false);
        }
        let mut before = self.clone();
        before.end_cancelled();
        let (before, one) = before.go_both(false);
        let (behind, other) = self.go_both(true);
        let (found, differs) = before.or_worse(behind);
        (found, one || other || differs)
    }

    /// Both ways, and then the ends that were asked for, where they come `behind`.
    fn go_both(mut self, behind: bool) -> (Self, bool) {
        let mut other = self.may_move().then(|| self.clone());
        if let Some(other) = &mut other {
            self.go(Way::LowFirst);
            other.go(Way::HighFirst);
        }
        if behind {
            self.end_cancelled();
            other.iter_mut().for_each(Self::end_cancelled);
        }
        match other {
            Some(other) => self.or_worse(other),
            None => (self, false),
        }
    }

    /// The one of two that leaves less, and whether they tell of different things.
    fn or_worse(self, other: Self) -> (Self, bool) {
        let is_open = self.is_ambiguous || other.is_ambiguous;
        let differs = is_open || !tells_the_same(&self.outcomes, &other.outcomes);
        let close = self.setting.slice.close;
        if other.stand.equity(close) < self.stand.equity(close) {
            (other, differs)
        } else {
            (self, differs)
        }
    }

    /// Walks from the open to the close.
    fn go(&mut self, way: Way) {
        let slice = self.setting.slice;
        let (first, second) = match way {
            Way::LowFirst => (slice.low, slice.high),
            Way::HighFirst => (slice.high, slice.low),
        };
        for to in [first, second, slice.close] {
            self.leg(to);
        }
        self.judge_late();
    }

    /// Judges the orders that began inside the slice by its close, which alone is behind them for
    /// certain; stops have met the whole way, as if all of it were.
    fn judge_late(&mut self) {
        let late = self
            .orders
            .iter()
            .filter(|one| one.is_active() && one.is_late);
        let mut late: Vec<OrderId> = late.map(|one| one.order.id).collect();
        late.sort_unstable();
        for id in late {
            let Some(at) = self.place(id) else { continue };
            let one = self.orders[at];
            if !one.is_active() {
                continue;
            }
            let is_reached = self.is_reached(&one, self.price);
            self.is_ambiguous |= !is_reached && self.may_have_reached(&one);
            match one.kind {
                OrderKind::Limit { price } if is_reached => self.jump_over(id, price, self.price),
                OrderKind::TakeProfit { trigger } if is_reached => self.meet(id, trigger, false),
                _ => self.orders[at].see(self.price),
            }
            if self.stand.is_due(self.price, self.rules().tick) {
                self.liquidate();
            }
        }
    }

    /// Whether a market at `price` fills a limit order or hits a take-profit; no stop.
    fn is_reached(&self, one: &Working, price: Price) -> bool {
        match one.kind {
            OrderKind::Limit { price: limit } => one.is_as_good(price, self.mark(one, limit)),
            OrderKind::TakeProfit { trigger } => one.is_as_good(price, trigger),
            _ => false,
        }
    }

    /// Whether the slice's extremes do to an order what its close does not.
    fn may_have_reached(&self, one: &Working) -> bool {
        let slice = &self.setting.slice;
        let (best, worst) = match one.buys() {
            true => (slice.low, slice.high),
            false => (slice.high, slice.low),
        };
        if !matches!(one.kind, OrderKind::TrailingStop { .. }) {
            return self.is_reached(one, best);
        }
        let mut moved = *one;
        moved.see(best);
        moved.is_triggered_at(worst, self.rules().tick)
    }

    fn leg(&mut self, to: Price) {
        while let Some((price, hit)) = self.next_hit(to) {
            self.price = price;
            match hit {
                Hit::Liquidation => self.liquidate(),
                Hit::Order(id) => self.hit(id),
            }
        }
        self.price = to;
        for one in &mut self.orders {
            if one.is_active() && !one.is_late {
                one.see(to);
            }
        }
    }

    /// The first thing between here and `to`, both included.
    fn next_hit(&self, to: Price) -> Option<(Price, Hit)> {
        let from = self.price;
        let rises = to >= from;
        let orders = self.orders.iter().filter(|one| one.is_active());
        let orders =
            orders.filter_map(|one| Some((self.hit_price(one, to)?, Hit::Order(one.order.id))));
        let due = self.due_price(to).map(|price| (price, Hit::Liquidation));
        let hits = orders.chain(due);
        if rises {
            hits.min_by(|a, b| a.0.cmp(&b.0).then(a.1.cmp(&b.1)))
        } else {
            hits.min_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)))
        }
    }

    /// Where the leg to `to` meets the liquidation price; here, whatever way it goes, where a fill
    /// has brought the account past it.
    fn due_price(&self, to: Price) -> Option<Price> {
        let from = self.price;
        let price = self.stand.liquidation_price(self.rules().tick)?;
        if self.stand.held > Quantity::ZERO {
            (price >= to.min(from)).then(|| price.min(from))
        } else {
            (price <= to.max(from)).then(|| price.max(from))
        }
    }

    /// Where the leg to `to` hits an order; `None` where it does not.
    fn hit_price(&self, one: &Working, to: Price) -> Option<Price> {
        let from = self.price;
        let tick = self.rules().tick;
        match one.kind {
            OrderKind::Market => None,
            OrderKind::Limit { .. } | OrderKind::TakeProfit { .. } if one.is_late => None,
            OrderKind::Limit { price } => {
                let mark = self.mark(one, price);
                // The market comes to a limit from its better side's other side.
                one.is_as_good(to, mark).then(|| nearer(one, from, mark))
            }
            _ => {
                let (trigger, is_worse) = one.trigger(tick)?;
                if !is_worse {
                    // Only a leg that moves its way hits a take-profit: what came late may have
                    // been past its trigger before it was there.
                    let is_hit = one.is_as_good(to, trigger) && one.is_as_good(to, from);
                    return is_hit.then(|| nearer(one, from, trigger));
                }
                let passed = one.is_triggered_at(from, tick);
                let is_hit = passed || one.is_as_good(trigger, to);
                is_hit.then_some(if passed { from } else { trigger })
            }
        }
    }

    /// The price that must trade so that something of a limit order fills.
    fn mark(&self, one: &Working, limit: Price) -> Price {
        let touches = self.rules().through_ticks == 0 && !one.is_touched;
        if touches {
            limit
        } else {
            self.through(one, limit)
        }
    }

    /// The price that must trade so that a limit order fills whatever is before it.
    fn through(&self, one: &Working, limit: Price) -> Price {
        let ticks = i128::from(self.rules().through_ticks.max(1));
        let distance = Price::from_units(self.rules().tick.units().max(1) * ticks);
        if one.buys() {
            limit - distance
        } else {
            limit + distance
        }
    }

    fn hit(&mut self, id: OrderId) {
        let Some(at) = self.place(id) else { return };
        let one = self.orders[at];
        let OrderKind::Limit { price } = one.kind else {
            let reference = match one.kind {
                OrderKind::TakeProfit { trigger } => trigger,
                _ => self.price,
            };
            // A stop that began inside the slice may have begun behind what hits it here.
            let tick = self.rules().tick;
            let is_certain = one.is_triggered_at(self.setting.slice.close, tick);
            self.is_ambiguous |= one.is_late && !is_certain;
            return self.meet(id, reference, false);
        };
        if one.is_as_good(self.price, self.through(&one, price)) {
            self.make(id, price, None);
            // It has what it gets of this slice.
            if let Some(at) = self.place(id) {
                self.orders[at].is_spent = true;
            }
        } else {
            self.touch(id, price);
        }
    }

    /// The market touches a limit without going through.
    fn touch(&mut self, id: OrderId, limit: Price) {
        let Some(at) = self.place(id) else { return };
        let volume = self.rules().part_of(self.setting.slice.volume, 1.0);
        let ahead = self.orders[at].ahead;
        self.orders[at].is_touched = true;
        self.orders[at].ahead = ahead - volume.min(ahead);
        if volume > ahead {
            self.make(id, limit, Some(volume - ahead));
        }
    }

    /// A jump to `price` over an order that rested before.
    pub(super) fn jump_over(&mut self, id: OrderId, limit: Price, price: Price) {
        let Some(at) = self.place(id) else { return };
        let one = self.orders[at];
        if one.is_as_good(price, self.through(&one, limit)) {
            self.make(id, limit, None);
            if let Some(at) = self.place(id) {
                self.orders[at].is_spent = true;
            }
        } else if self.rules().through_ticks == 0 && one.is_as_good(price, limit) {
            self.touch(id, limit);
        }
    }
}

/// The mark, or where the market stands where it is past it already.
fn nearer(one: &Working, from: Price, mark: Price) -> Price {
    if one.is_as_good(from, mark) {
        from
    } else {
        mark
    }
}

/// Whether two ways did the same to every order, in whatever order.
fn tells_the_same(one: &[Outcome], other: &[Outcome]) -> bool {
    let key = |outcome: &Outcome| match *outcome {
        Outcome::Filled(fill) => (fill.order, 0, fill.quantity.units(), fill.price.units()),
        Outcome::Expired { order, expiry } => (order, 1, expiry as i128, 0),
        Outcome::Liquidating(order) => (order.id, 2, order.quantity.units(), 0),
        Outcome::Paid(payment) => (OrderId(0), 3, payment.amount.units(), 0),
    };
    let sorted = |outcomes: &[Outcome]| {
        let mut keys: Vec<_> = outcomes.iter().map(key).collect();
        keys.sort_unstable();
        keys
    };
    one.len() == other.len() && sorted(one) == sorted(other)
}
