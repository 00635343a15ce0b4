//! One symbol's way through one slice, on a copy of everything that it changes.
//!
//! The rules are sections 3 to 8 of `docs/execution.md`; the legs are in `legs.rs`, the
//! checks on arrival in `arrival.rs`.

use super::depth::Drained;
use super::rules::{Climate, Rules};
use super::stand::Stand;
use super::working::{Stage, Working};
use crate::execution::{
    Expiry, Fill, Order, OrderId, OrderKind, OrderReason, OrderTerms, Outcome, Payment,
    PaymentKind, TimeInForce,
};
use crate::types::{BookSnapshot, Cash, CurrencyId, Price, Quantity, Rate, SymbolId, Timestamp};

/// The finest bar that is there, as prices.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Slice {
    /// The opening of the signal's bar that it lies in.
    pub(super) bar_opened_at: Timestamp,
    pub(super) opened_at: Timestamp,
    pub(super) closed_at: Timestamp,
    pub(super) open: Price,
    pub(super) high: Price,
    pub(super) low: Price,
    pub(super) close: Price,
    pub(super) volume: f64,
}

/// What a walk begins with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting<'a> {
    pub(super) rules: &'a Rules,
    pub(super) climate: Climate,
    pub(super) slice: Slice,
    pub(super) symbol: SymbolId,
    /// Notional of the last 30 days, in the reporting currency.
    pub(super) traded: Cash,
    /// How long a market order waits for its first slice, nanoseconds.
    pub(super) patience: i64,
    /// Number of the next order that the exchange makes.
    pub(super) next_own: u64,
    /// Recorded order books of the symbol, ascending.
    pub(super) books: &'a [BookSnapshot],
    /// What the symbol is quoted in.
    pub(super) currency: CurrencyId,
    /// What one of that is worth in the reporting currency; `None` before it is known.
    pub(super) rate: Option<Rate>,
}

/// See the head of the file.
#[derive(Debug, Clone)]
pub(super) struct Walk<'a> {
    pub(super) setting: Setting<'a>,
    pub(super) stand: Stand,
    pub(super) orders: Vec<Working>,
    pub(super) outcomes: Vec<Outcome>,
    /// Notional of the last 30 days and of this walk.
    pub(super) traded: Cash,
    pub(super) next_own: u64,
    /// Where the way stands.
    pub(super) price: Price,
    budget: Option<Quantity>,
    /// What takers have had of an order book.
    pub(super) drained: Drained,
    /// Whether an order that began inside the slice left open what becomes of it.
    pub(super) is_ambiguous: bool,
    dated: Timestamp,
}

impl<'a> Walk<'a> {
    pub(super) fn new(setting: Setting<'a>, stand: Stand, orders: Vec<Working>) -> Self {
        let slice = &setting.slice;
        let part = setting.rules.participation;
        Self {
            stand,
            orders,
            outcomes: Vec::new(),
            traded: setting.traded,
            next_own: setting.next_own,
            price: slice.open,
            budget: part.map(|part| setting.rules.part_of(slice.volume, part)),
            drained: Drained::default(),
            is_ambiguous: false,
            dated: slice.opened_at,
            setting,
        }
    }

    pub(super) fn rules(&self) -> &'a Rules {
        self.setting.rules
    }

    /// Where an order is; `None` where it has ended.
    pub(super) fn place(&self, id: OrderId) -> Option<usize> {
        self.orders.iter().position(|one| one.order.id == id)
    }

    /// The open: everything that is there meets it.
    pub(super) fn open(&mut self) {
        for one in &mut self.orders {
            (one.is_spent, one.is_touched, one.is_late) = (false, false, false);
        }
        self.end_cancelled_by(self.setting.slice.opened_at);
        self.expire_old();
        if self.stand.is_due(self.price, self.rules().tick) {
            self.liquidate();
        }
        let opened_at = self.setting.slice.opened_at;
        let mut present: Vec<(bool, OrderId)> = self
            .orders
            .iter()
            .filter(|one| one.stage != Stage::Held && self.is_there(one))
            .map(|one| (one.buys(), one.order.id))
            .collect();
        present.sort_unstable();
        self.keep_for_next();
        for (_, id) in present {
            let Some(at) = self.place(id) else { continue };
            let (is_new, arrives_at) = (
                self.orders[at].stage == Stage::Coming,
                self.orders[at].arrives_at,
            );
            let is_late = is_new && arrives_at > opened_at;
            self.orders[at].is_late = is_late;
            let met = if is_late {
                self.late_price(&self.orders[at])
            } else {
                self.price
            };
            if is_new && !self.arrive(id, met) {
                continue;
            }
            self.meet(id, met, !is_new);
        }
        self.orders.iter_mut().for_each(|one| {
            if one.stage == Stage::Active && !one.is_late {
                one.see(self.price);
            }
        });
        self.dated = self.setting.slice.closed_at;
    }

    /// Whether an order is there at the open: one that arrives in the first half, and a stop
    /// whenever it arrives.
    fn is_there(&self, one: &Working) -> bool {
        let slice = &self.setting.slice;
        let elapsed = one.arrives_at.nanos_since(slice.opened_at);
        let length = slice.closed_at.nanos_since(slice.opened_at);
        elapsed <= 0 || elapsed.saturating_mul(2) <= length || (one.is_stop() && elapsed < length)
    }

    /// What arrives in the second half of the slice is there from its end on, and its patience
    /// begins there too.
    fn keep_for_next(&mut self) {
        let closed_at = self.setting.slice.closed_at;
        for at in 0..self.orders.len() {
            if !self.is_there(&self.orders[at]) && self.orders[at].arrives_at < closed_at {
                self.orders[at].arrives_at = closed_at;
            }
        }
    }

    /// What an order that arrives inside the slice meets: see section 5.
    fn late_price(&self, one: &Working) -> Price {
        let slice = &self.setting.slice;
        let elapsed = one.arrives_at.nanos_since(slice.opened_at) as f64;
        let length = slice.closed_at.nanos_since(slice.opened_at) as f64;
        let part = (elapsed / length).sqrt();
        let moved = |range: Price| Price::from_f64(range.to_f64() * part).unwrap_or_default();
        if one.buys() {
            slice.open + moved(slice.high - slice.open)
        } else {
            slice.open - moved(slice.open - slice.low)
        }
    }

    /// What a market at `price` does to an order; it came there by a jump where it was there
    /// before.
    pub(super) fn meet(&mut self, id: OrderId, price: Price, rested_before: bool) {
        let Some(at) = self.place(id) else { return };
        let one = self.orders[at];
        match one.kind {
            OrderKind::Market => self.take(id, price, None),
            OrderKind::Limit { price: limit } if one.rests && rested_before => {
                self.jump_over(id, limit, price);
            }
            OrderKind::Limit { .. } if one.rests => {}
            OrderKind::Limit { price: limit } => self.meet_limit(id, limit, price),
            _ if one.is_triggered_at(price, self.rules().tick) => {
                self.orders[at].turn();
                match self.orders[at].kind {
                    OrderKind::Limit { price: limit }
                        if one.order.terms.post_only && one.is_as_good(price, limit) =>
                    {
                        self.end(id, Expiry::WouldTake);
                    }
                    OrderKind::Limit { price: limit } => self.meet_limit(id, limit, price),
                    _ => self.take(id, price, None),
                }
            }
            _ => {}
        }
    }

    /// A limit order that does not rest yet: takes what it can, then rests or ends.
    fn meet_limit(&mut self, id: OrderId, limit: Price, price: Price) {
        let Some(at) = self.place(id) else { return };
        if self.orders[at].is_as_good(price, limit) {
            self.take(id, price, Some(limit));
        }
        let Some(at) = self.place(id) else { return };
        if self.orders[at].order.terms.time_in_force == TimeInForce::Gtc {
            let ahead = self.rules().queue_ahead;
            let volume = self.setting.slice.volume;
            let ahead = self.rules().part_of(volume, ahead);
            (self.orders[at].rests, self.orders[at].ahead) = (true, ahead);
        } else {
            self.end(id, Expiry::Unfilled);
        }
    }

    /// What of an order may be filled now at `price`, whatever the budget.
    fn fillable(&self, one: &Working) -> Quantity {
        use super::stand::AccountKind::Spot;
        let closing = self.stand.closing(one.waiting);
        let sells_spot = self.stand.kind == Spot && !one.buys();
        if one.reduces_only() || sells_spot {
            closing
        } else {
            one.waiting
        }
    }

    fn within_budget(&self, quantity: Quantity) -> Quantity {
        let sign = |amount: Quantity| {
            if quantity.signum() < 0 {
                -amount
            } else {
                amount
            }
        };
        match self.budget {
            // What a closing order off the lot has left of the budget may lie off it too.
            Some(budget) if quantity.abs() > budget => sign(budget.toward_zero(self.rules().lot)),
            _ => quantity,
        }
    }

    /// Fills an order as taker where the market stands at `reference`, never beyond `limit`.
    pub(super) fn take(&mut self, id: OrderId, reference: Price, limit: Option<Price>) {
        let Some(at) = self.place(id) else { return };
        let one = self.orders[at];
        let wanted = self.fillable(&one);
        if wanted.is_zero() {
            return self.end(id, Expiry::NothingToReduce);
        }
        let depth = self.depth(one.buys(), one.arrives_at);
        let quantity = self.within_book(self.within_budget(wanted), depth, (reference, limit));
        let is_fok = one.order.terms.time_in_force == TimeInForce::Fok;
        if is_fok && quantity != one.waiting {
            return self.end(id, Expiry::Unfilled);
        }
        let taker = self.taker(reference, quantity, depth);
        let price = match limit {
            Some(limit) if one.buys() => taker.price.min(limit),
            Some(limit) => taker.price.max(limit),
            None => taker.price,
        };
        let affordable = self.affordable(&one, quantity, (price, false));
        if affordable != quantity
            && (affordable.is_zero()
                || is_fok
                || price.times(affordable) < self.rules().min_notional)
        {
            return self.end(id, Expiry::InsufficientCash);
        }
        if !affordable.is_zero() {
            if let Some(depth) = depth {
                depth.take(affordable, &mut self.drained);
            }
            self.fill(id, affordable, (reference, price), Some(taker.spread));
        }
        self.after_take(id, affordable != quantity, wanted != one.waiting);
    }

    /// What becomes of the rest of an order that took.
    fn after_take(&mut self, id: OrderId, lacked_cash: bool, was_cut: bool) {
        let Some(at) = self.place(id) else { return };
        let one = &mut self.orders[at];
        one.is_spent = true;
        if lacked_cash {
            self.end(id, Expiry::InsufficientCash);
        } else if was_cut && self.fillable(&self.orders[at]).is_zero() {
            self.end(id, Expiry::NothingToReduce);
        } else if self.orders[at].order.terms.time_in_force != TimeInForce::Gtc {
            self.end(id, Expiry::Unfilled);
        }
    }

    /// What of `quantity` the cash of a spot account pays for at `price`, in whole lots where it is
    /// cut.
    fn affordable(
        &self,
        one: &Working,
        quantity: Quantity,
        (price, is_maker): (Price, bool),
    ) -> Quantity {
        use super::stand::AccountKind::Spot;
        if self.stand.kind != Spot || !one.buys() {
            return quantity;
        }
        let lot = self.rules().lot.units().max(1);
        let cost = |quantity: Quantity| {
            let notional = price.times(quantity);
            notional + self.rules().fee(notional, is_maker, self.traded)
        };
        if cost(quantity) <= self.stand.cash {
            return quantity;
        }
        // The cost never falls as lots are added, so halving finds the last affordable one.
        let (mut paid, mut unpaid) = (0, quantity.units() / lot + 1);
        while unpaid - paid > 1 {
            let middle = paid + (unpaid - paid) / 2;
            if cost(Quantity::from_units(middle * lot)) <= self.stand.cash {
                paid = middle;
            } else {
                unpaid = middle;
            }
        }
        Quantity::from_units(paid * lot)
    }

    /// Fills a resting limit order at its price, as far as `most` and the budget go.
    pub(super) fn make(&mut self, id: OrderId, limit: Price, most: Option<Quantity>) {
        let Some(at) = self.place(id) else { return };
        let one = self.orders[at];
        let wanted = self.fillable(&one);
        if wanted.is_zero() {
            return self.end(id, Expiry::NothingToReduce);
        }
        let capped = match most {
            Some(most) if wanted.abs() > most && wanted.signum() < 0 => -most,
            Some(most) if wanted.abs() > most => most,
            _ => wanted,
        };
        let quantity = self.within_budget(capped);
        let quantity = self.affordable(&one, quantity, (limit, true));
        if quantity != capped {
            self.orders[at].is_spent = true;
        }
        if !quantity.is_zero() {
            self.fill(id, quantity, (limit, limit), None);
        }
        // What a spot account cannot deliver ends, as it does for a taker.
        if wanted != one.waiting
            && let Some(at) = self.place(id)
            && self.fillable(&self.orders[at]).is_zero()
        {
            self.end(id, Expiry::NothingToReduce);
        }
    }

    /// Books a fill at `price`, where the market stood at `reference`; `spread` is a taker's.
    pub(super) fn fill(
        &mut self,
        id: OrderId,
        quantity: Quantity,
        (reference, price): (Price, Price),
        spread: Option<Price>,
    ) {
        let Some(at) = self.place(id) else { return };
        let notional = price.times(quantity).abs();
        let is_maker = spread.is_none();
        let mut fee = self.rules().fee(notional, is_maker, self.traded);
        if self.orders[at].order.reason == OrderReason::Liquidation {
            let extra = self
                .stand
                .rules()
                .map_or(0, |margin| margin.liquidation_fee);
            fee += notional.scaled_by_micro_bps(extra);
        }
        let one = &mut self.orders[at];
        one.waiting -= quantity;
        let (waiting, decided_at) = (one.waiting, one.order.decided_at);
        let lost = (price - reference).times(quantity);
        // Of a price that the limit capped, the spread comes first.
        let spread = spread.map_or(Cash::ZERO, |spread| spread.times(quantity.abs()).min(lost));
        self.stand.trade(quantity, price, fee);
        let rate = self.setting.rate;
        self.traded += rate.map_or(Cash::ZERO, |rate| rate.of(notional));
        self.budget = self.budget.map(|budget| budget - quantity.abs());
        self.outcomes.push(Outcome::Filled(Fill {
            order: id,
            symbol: self.setting.symbol,
            quantity,
            price,
            fee,
            slippage: lost,
            spread,
            remaining: waiting,
            is_maker,
            currency: self.setting.currency,
            // One that was decided inside the slice is there at its open, but not before itself.
            filled_at: self.dated.max(decided_at),
        }));
        self.follow(id, quantity);
    }

    /// What a fill means to other orders: its group, its children, its parent, and those that have
    /// nothing left to reduce.
    fn follow(&mut self, id: OrderId, quantity: Quantity) {
        let Some(at) = self.place(id) else { return };
        let filled = self.orders[at];
        if filled.waiting.is_zero() {
            self.orders.remove(at);
        }
        if let Some(group) = filled.order.terms.group {
            self.shrink_group(group, id, quantity.abs());
        }
        if let Some(parent) = filled.order.terms.parent {
            self.end(parent, Expiry::GroupFilled);
        }
        self.feed_children(&filled, quantity.abs());
        self.drop_pointless();
    }

    fn shrink_group(&mut self, group: u64, id: OrderId, amount: Quantity) {
        let mut ended = Vec::new();
        for one in &mut self.orders {
            if one.order.terms.group != Some(group) || one.order.id == id {
                continue;
            }
            if one.waiting.abs() <= amount {
                ended.push(one.order.id);
            } else if one.buys() {
                one.waiting -= amount;
            } else {
                one.waiting += amount;
            }
        }
        for id in ended {
            self.end(id, Expiry::GroupFilled);
        }
    }

    fn feed_children(&mut self, parent: &Working, amount: Quantity) {
        let opened_at = self.setting.slice.opened_at;
        let mut born = Vec::new();
        for at in 0..self.orders.len() {
            if self.orders[at].order.terms.parent != Some(parent.order.id) {
                continue;
            }
            let is_there = self.is_there(&self.orders[at]);
            let one = &mut self.orders[at];
            one.waiting += if one.buys() { amount } else { -amount };
            if one.stage == Stage::Held && is_there {
                one.is_late = parent.is_late || one.arrives_at > opened_at;
                born.push(one.order.id);
            } else if one.stage == Stage::Held {
                // Decided later than its parent, it is still on its way.
                one.stage = Stage::Coming;
            }
        }
        for id in born {
            let price = self.price;
            if self.arrive(id, price) {
                self.meet(id, price, false);
            }
        }
    }

    /// Closes the position where the way stands, and ends every order of the symbol.
    pub(super) fn liquidate(&mut self) {
        let all: Vec<OrderId> = self.orders.iter().map(|one| one.order.id).collect();
        for id in all {
            self.end(id, Expiry::Liquidated);
        }
        let order = Order {
            id: OrderId(OrderId::OF_EXCHANGE + self.next_own),
            symbol: self.setting.symbol,
            quantity: -self.stand.held,
            decided_at: self.setting.slice.opened_at,
            reason: OrderReason::Liquidation,
            model: None,
            terms: OrderTerms::default(),
        };
        self.next_own += 1;
        self.outcomes.push(Outcome::Liquidating(order));
        let before = self.stand;
        let mut working = Working::new(order, order.decided_at);
        working.stage = Stage::Active;
        self.orders.push(working);
        let (reference, quantity) = (self.price, order.quantity);
        let depth = self.depth(quantity > Quantity::ZERO, order.decided_at);
        let taker = self.taker(reference, quantity, depth);
        if let Some(depth) = depth {
            depth.take(quantity, &mut self.drained);
        }
        // A position that is closed by force takes what there is, whatever the budget.
        self.budget = None;
        self.fill(
            order.id,
            quantity,
            (reference, taker.price),
            Some(taker.spread),
        );
        self.insure(&before);
    }

    /// The exchange bears what an isolated position lost beyond its margin.
    fn insure(&mut self, before: &Stand) {
        if !matches!(before.kind, super::stand::AccountKind::Isolated(_)) {
            return;
        }
        let balance = before.cash + before.cost;
        let left = self.stand.cash - (balance - before.margin);
        if left < Cash::ZERO {
            self.stand.cash -= left;
            self.outcomes.push(Outcome::Paid(Payment {
                symbol: Some(self.setting.symbol),
                kind: PaymentKind::Insurance,
                amount: -left,
                currency: self.setting.currency,
                paid_at: self.dated,
            }));
        }
    }
}
