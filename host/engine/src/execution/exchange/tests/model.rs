//! A second exchange, written from `docs/execution.md` alone and slow on purpose: it steps through
//! a slice tick by tick, keeps all orders in one flat list, tries both ways on copies of
//! everything, and works out positions again from their fills whenever it needs one.
//!
//! It shares no code with the real exchange, not even roundings. Where the two differ, one of them
//! misreads the page, or the page can be read in two ways.

use std::collections::BTreeSet;

use super::account::{Account, Money, Settings, floor_to, nearest, part_of};
use crate::execution::{
    Expiry, Fill, Order, OrderId, OrderKind, OrderReason, OrderTerms, Outcome, Payment,
    PaymentKind, SlippageConfig, TimeInForce,
};
use crate::types::{
    Bar, BookSnapshot, Cash, CurrencyId, Price, Quantity, SymbolId, Timestamp, VenueRecords,
};

const ONE: i128 = 100_000_000;

/// Where an order is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// On its way to the exchange.
    Coming,
    /// Waits for its parent.
    Held,
    /// Has met the market.
    Active,
}

#[derive(Debug, Clone)]
struct Entry {
    order: Order,
    /// What it is now: a stop that was hit is a market order.
    kind: OrderKind,
    arrives: i64,
    /// When its cancellation arrives.
    cancelled: Option<i64>,
    place: Place,
    left: i128,
    best: i128,
    ahead: i128,
    /// Touched in this slice.
    touched: bool,
    /// Gets nothing more in this slice.
    spent: bool,
    /// Began inside this slice.
    late: bool,
}

impl Entry {
    fn buys(&self) -> bool {
        self.order.quantity.units() > 0
    }

    /// Whether `price` is at `level` or, for a buyer, below it.
    fn as_good(&self, price: i128, level: i128) -> bool {
        if self.buys() {
            price <= level
        } else {
            price >= level
        }
    }

    fn limit(&self) -> Option<i128> {
        match self.kind {
            OrderKind::Limit { price } | OrderKind::StopLimit { price, .. } => Some(price.units()),
            _ => None,
        }
    }

    /// The trigger, and whether it is on the worse side of the market.
    fn trigger(&self, tick: i128) -> Option<(i128, bool)> {
        match self.kind {
            OrderKind::Stop { trigger } | OrderKind::StopLimit { trigger, .. } => {
                Some((trigger.units(), true))
            }
            OrderKind::TakeProfit { trigger } => Some((trigger.units(), false)),
            OrderKind::TrailingStop { distance_micro_bps } => {
                let away = part_of(self.best, i128::from(distance_micro_bps));
                let raw = if self.buys() {
                    self.best + away + tick - 1
                } else {
                    self.best - away
                };
                Some((floor_to(raw, tick), true))
            }
            _ => None,
        }
    }
}

/// A slice in units.
#[derive(Debug, Clone, Copy)]
struct Candle {
    opened: i64,
    closed: i64,
    prices: [i128; 4],
    volume: f64,
}

impl Candle {
    /// Whether an order arrives before the slice's second half, or a stop before its end.
    fn reaches(&self, one: &Entry) -> bool {
        let waits_for_worse = matches!(
            one.kind,
            OrderKind::Stop { .. } | OrderKind::StopLimit { .. } | OrderKind::TrailingStop { .. }
        );
        2 * (one.arrives - self.opened) <= self.closed - self.opened
            || (waits_for_worse && one.arrives < self.closed)
    }
}

/// The second exchange.
#[derive(Debug, Clone)]
pub(super) struct Model {
    /// Those of the symbol that is walked.
    settings: Settings,
    all: Vec<Settings>,
    records: VenueRecords,
    account: Account,
    entries: Vec<Entry>,
    /// Closes and volumes of every slice of each symbol.
    history: Vec<Vec<(i128, f64)>>,
    traded: Vec<(i64, i128)>,
    funded_to: Vec<Option<i64>>,
    charged_to: Option<i64>,
    outbox: Vec<Outcome>,
    own: u64,
    ambiguous: u64,
    slices: u64,
    now: i64,
    // Of the slice that is walked:
    symbol: usize,
    candle: Candle,
    at_open: bool,
    stands: i128,
    budget: Option<i128>,
    /// When the signal's bar opened.
    bar_opened: i64,
    /// Whether nobody can say what becomes of an order that began inside the slice.
    unsure: bool,
    /// What was had of order books in this slice: of when, whether bought, how much.
    had: Vec<(i64, bool, i128)>,
}

impl Model {
    pub(super) fn new(all: Vec<Settings>, records: &VenueRecords, money: Money) -> Self {
        let symbols = all.len();
        let candle = Candle {
            opened: 0,
            closed: 0,
            prices: [0; 4],
            volume: 0.0,
        };
        Self {
            account: Account::new(&all, money),
            settings: all[0].clone(),
            all,
            records: records.clone(),
            entries: Vec::new(),
            history: vec![Vec::new(); symbols],
            traded: Vec::new(),
            funded_to: vec![None; symbols],
            charged_to: None,
            outbox: Vec::new(),
            own: 0,
            ambiguous: 0,
            slices: 0,
            now: 0,
            symbol: 0,
            candle,
            at_open: true,
            stands: 0,
            budget: None,
            bar_opened: 0,
            unsure: false,
            had: Vec::new(),
        }
    }

    pub(super) fn balances(&self) -> Vec<i128> {
        self.account.cash.clone()
    }

    pub(super) fn held(&self, symbol: usize) -> i128 {
        self.account.position(symbol).held
    }

    pub(super) fn ambiguous_slices(&self) -> (u64, u64) {
        (self.ambiguous, self.slices)
    }

    pub(super) fn submit(&mut self, order: Order) {
        let held = order.terms.parent.is_some();
        let of_parent = |one: &Entry| {
            Some(one.order.id) == order.terms.parent && one.order.symbol == order.symbol
        };
        if held && !self.entries.iter().any(of_parent) {
            return self.outbox.push(Outcome::Expired {
                order: order.id,
                expiry: Expiry::ParentEnded,
            });
        }
        self.entries.push(Entry {
            order,
            kind: order.terms.kind,
            arrives: order.decided_at.as_nanos() + self.settings.latency,
            cancelled: None,
            place: if held { Place::Held } else { Place::Coming },
            left: if held {
                0
            } else {
                order.quantity.units().abs()
            },
            best: 0,
            ahead: 0,
            touched: false,
            spent: false,
            late: false,
        });
    }

    pub(super) fn cancel(&mut self, order: OrderId) {
        let there = self.now + self.settings.latency;
        for one in &mut self.entries {
            if one.order.id == order && one.cancelled.is_none() {
                one.cancelled = Some(there);
            }
        }
    }

    /// Ends the symbol's orders whose cancellation is there before `moment`.
    fn end_cancelled(&mut self, symbol: usize, moment: i64) {
        self.symbol = symbol;
        for id in self.ids(|one| one.cancelled.is_some_and(|at| at < moment)) {
            self.end(id, Expiry::Cancelled);
        }
    }

    /// Everything up to `closed_at`; returns what happened.
    pub(super) fn step(
        &mut self,
        closed_at: i64,
        bars: &[Option<Bar>],
        fine: &[Vec<Bar>],
    ) -> Vec<Outcome> {
        self.now = closed_at;
        let buys = |symbol: &usize| {
            let mut own = self.entries.iter();
            own.any(|one| {
                one.order.symbol.index() == *symbol && one.place != Place::Held && one.buys()
            })
        };
        let (last, first): (Vec<usize>, Vec<usize>) = (0..bars.len()).partition(buys);
        for (symbol, bar) in bars.iter().enumerate() {
            let slices = match &fine[symbol][..] {
                [] => bar.iter().copied().collect(),
                fine => fine.to_vec(),
            };
            let known = &mut self.account.closes[symbol];
            for slice in slices {
                let close = (slice.close * 1e8).round() as i128;
                known.push((slice.closed_at.as_nanos(), close));
            }
        }
        for symbol in first.into_iter().chain(last) {
            let Some(bar) = bars[symbol] else { continue };
            let slices = match &fine[symbol][..] {
                [] => vec![bar],
                fine => fine.to_vec(),
            };
            self.bar_opened = bar.opened_at.as_nanos();
            for slice in slices {
                self.slice(symbol, &slice);
            }
            // Where finer bars are missing at the end, orders may have arrived behind the last.
            let end = bar.closed_at.as_nanos();
            for one in &mut self.entries {
                let inside = one.arrives > self.bar_opened && one.arrives < end;
                if one.order.symbol.index() == symbol && inside && !fine[symbol].is_empty() {
                    one.arrives = end;
                }
            }
        }
        for (symbol, bar) in bars.iter().enumerate() {
            self.end_cancelled(symbol, closed_at + 1);
            if bar.is_none() {
                self.bar_opened = closed_at;
                self.end_overdue(symbol, closed_at);
            }
        }
        self.borrow(closed_at);
        std::mem::take(&mut self.outbox)
    }

    fn borrow(&mut self, now: i64) {
        let since = self.charged_to.replace(now);
        let Some(since) = since.filter(|_| self.settings.borrowing > 0.0) else {
            return;
        };
        let year = 365.0 * 86_400.0 * 1e9;
        let rate = (self.settings.borrowing * ((now - since) as f64 / year) * 1e10).round();
        for (symbol, currency, borrowed) in self.account.borrowed() {
            let amount = part_of(borrowed, rate as i128);
            if amount > 0 {
                self.pay((symbol, currency), PaymentKind::Borrowing, -amount, now);
            }
        }
    }

    fn pay(
        &mut self,
        (symbol, currency): (Option<usize>, usize),
        kind: PaymentKind,
        amount: i128,
        at: i64,
    ) {
        self.account.cash[currency] += amount;
        self.outbox.push(Outcome::Paid(Payment {
            symbol: symbol.map(|symbol| SymbolId(symbol as u32)),
            kind,
            amount: Cash::from_units(amount),
            currency: CurrencyId(currency as u16),
            paid_at: Timestamp::from_nanos(at),
        }));
    }

    fn fund(&mut self) {
        let from = self.funded_to[self.symbol].unwrap_or(self.candle.opened);
        self.funded_to[self.symbol] = Some(self.candle.closed);
        let held = self.account.position(self.symbol).held;
        let Some(last) = self.account.last[self.symbol].filter(|_| held != 0) else {
            return;
        };
        for (moment, rate) in self.fundings() {
            let amount = -part_of(nearest(last * held, ONE), rate);
            if moment >= from && moment < self.candle.closed && amount != 0 {
                let own = self.account.currency(self.symbol);
                self.pay(
                    (Some(self.symbol), own),
                    PaymentKind::Funding,
                    amount,
                    moment,
                );
            }
        }
    }

    /// All fundings up to the slice's end: when, and at which rate.
    fn fundings(&self) -> Vec<(i64, i128)> {
        if let Some(rates) = self.records.funding.get(self.symbol) {
            let rates = rates.iter();
            return rates
                .map(|one| (one.at.as_nanos(), i128::from(one.micro_bps)))
                .collect();
        }
        let Some((interval, rate)) = self.settings.funding else {
            return vec![];
        };
        let mut moment = 0;
        let mut all = Vec::new();
        while moment < self.candle.closed {
            all.push((moment, rate));
            moment += interval;
        }
        all
    }

    fn slice(&mut self, symbol: usize, bar: &Bar) {
        let units = |price: f64| (price * 1e8).round() as i128;
        self.slices += 1;
        self.symbol = symbol;
        self.settings = self.all[symbol].clone();
        self.had.clear();
        self.unsure = false;
        self.entries.iter_mut().for_each(|one| one.late = false);
        self.account.opened = bar.opened_at.as_nanos();
        self.candle = Candle {
            opened: bar.opened_at.as_nanos(),
            closed: bar.closed_at.as_nanos(),
            prices: [bar.open, bar.high, bar.low, bar.close].map(units),
            volume: bar.volume,
        };
        let [open, high, low, close] = self.candle.prices;
        self.fund();
        let part = self.settings.participation;
        self.budget = part.map(|part| self.lots(part * bar.volume));
        let before = std::mem::take(&mut self.outbox);
        self.at_open = true;
        self.stands = open;
        self.end_cancelled(symbol, self.candle.opened + 1);
        self.end_overdue(symbol, self.candle.opened);
        self.open();
        self.at_open = false;
        // Cancellations from inside the slice come before the way, or behind it.
        let closed = self.candle.closed;
        let has_cancels = !self
            .ids(|one| one.cancelled.is_some_and(|at| at < closed))
            .is_empty();
        let mut tried: Vec<Self> = Vec::new();
        for comes_before in [true, false] {
            for way in [[open, low, high, close], [open, high, low, close]] {
                let mut copy = self.clone();
                if comes_before {
                    copy.end_cancelled(symbol, closed);
                }
                copy.follow(way);
                copy.end_cancelled(symbol, closed);
                if comes_before || has_cancels {
                    tried.push(copy);
                }
            }
        }
        let differs = tried
            .iter()
            .any(|one| one.unsure || told(&one.outbox) != told(&tried[0].outbox));
        let equity = |one: &Self| one.account.equity(symbol, close);
        let least = tried.iter().map(equity).min();
        let chosen = tried.into_iter().find(|one| Some(equity(one)) == least);
        *self = chosen.expect("two ways at least");
        self.ambiguous += u64::from(differs);
        self.outbox.splice(0..0, before);
        self.age_queues();
        self.history[symbol].push((close, bar.volume));
        self.account.last[symbol] = Some(close);
    }

    fn lots(&self, amount: f64) -> i128 {
        floor_to((amount * 1e8).round() as i128, self.settings.lot)
    }

    fn ids(&self, mut which: impl FnMut(&Entry) -> bool) -> Vec<OrderId> {
        let of_symbol = |one: &&Entry| one.order.symbol.index() == self.symbol;
        let mut ids: Vec<OrderId> = self
            .entries
            .iter()
            .filter(of_symbol)
            .filter(|one| which(one))
            .map(|one| one.order.id)
            .collect();
        ids.sort_unstable();
        ids
    }

    fn get(&self, id: OrderId) -> Option<&Entry> {
        self.entries.iter().find(|one| one.order.id == id)
    }

    fn get_mut(&mut self, id: OrderId) -> &mut Entry {
        let found = self.entries.iter_mut().find(|one| one.order.id == id);
        found.expect("the model changes orders that are there")
    }

    fn end(&mut self, id: OrderId, expiry: Expiry) {
        let Some(at) = self.entries.iter().position(|one| one.order.id == id) else {
            return;
        };
        let gone = self.entries.remove(at);
        self.outbox.push(Outcome::Expired { order: id, expiry });
        self.symbol = gone.order.symbol.index();
        for child in self.ids(|one| {
            one.order.terms.parent == Some(id) && one.place == Place::Held && one.left == 0
        }) {
            self.end(child, Expiry::ParentEnded);
        }
    }

    fn end_overdue(&mut self, symbol: usize, now: i64) {
        self.symbol = symbol;
        let patience = self.settings.patience;
        for id in self.ids(|_| true) {
            let Some(one) = self.get(id) else { continue };
            let expires = one.order.terms.expires_at.map(Timestamp::as_nanos);
            let is_new_market = one.kind == OrderKind::Market && one.place == Place::Coming;
            if expires.is_some_and(|at| at <= now) {
                self.end(id, Expiry::TimedOut);
            } else if expires.is_none() && is_new_market && self.bar_opened - one.arrives > patience
            {
                self.end(id, Expiry::Stale);
            }
        }
    }

    fn open(&mut self) {
        let open = self.stands;
        if self.is_due(open) {
            self.liquidate(open);
        }
        let here = |one: &Entry, candle: &Candle| {
            one.place == Place::Active || (one.place == Place::Coming && candle.reaches(one))
        };
        let candle = self.candle;
        for buys in [false, true] {
            for id in self.ids(|one| here(one, &candle) && one.buys() == buys) {
                let Some(one) = self.get(id) else { continue };
                if one.place == Place::Active {
                    self.meet_again(id, open);
                } else {
                    let (price, late) = (self.price_met(one), one.arrives > candle.opened);
                    self.get_mut(id).late = late;
                    self.begin(id, price);
                }
            }
        }
        for id in self.ids(|one| one.place == Place::Active && !one.late) {
            self.trail(id, open);
        }
        // What is not there by now but arrives before the close is there from the close on, whether
        // it waits for a parent or not.
        for id in self.ids(|one| one.place != Place::Active) {
            let one = self.get_mut(id);
            if !candle.reaches(one) && one.arrives < candle.closed {
                one.arrives = candle.closed;
            }
        }
    }

    /// Section 5.
    fn price_met(&self, one: &Entry) -> i128 {
        let [open, high, low, _] = self.candle.prices;
        let late = (one.arrives - self.candle.opened).max(0) as f64;
        let root = (late / (self.candle.closed - self.candle.opened) as f64).sqrt();
        if one.buys() {
            open + ((high - open) as f64 * root).round() as i128
        } else {
            open - ((open - low) as f64 * root).round() as i128
        }
    }

    /// An order's first meeting with the market.
    fn begin(&mut self, id: OrderId, price: i128) {
        let one = self.get_mut(id);
        one.place = Place::Active;
        one.best = price;
        if let Some(expiry) = self.rejection(id, price) {
            self.end(id, expiry);
        } else {
            self.act(id, price);
        }
    }

    fn rejection(&self, id: OrderId, price: i128) -> Option<Expiry> {
        let settings = &self.settings;
        let one = self.get(id)?;
        if one.cancelled.is_some_and(|at| at <= one.arrives) {
            return Some(Expiry::Cancelled);
        }
        let signed = if one.buys() { one.left } else { -one.left };
        let held = self.account.position(self.symbol).held;
        let trigger = one.trigger(settings.tick).map(|(trigger, _)| trigger);
        let bad = |price: i128| price <= 0 || price % settings.tick != 0;
        if let OrderKind::TrailingStop { distance_micro_bps } = one.kind {
            if distance_micro_bps <= 0 || distance_micro_bps >= 10_000_000_000 {
                return Some(Expiry::InvalidPrice);
            }
        } else if trigger.is_some_and(bad) || one.limit().is_some_and(bad) {
            return Some(Expiry::InvalidPrice);
        }
        let closes = held * signed < 0 && signed.abs() <= held.abs();
        let only_closes = closes || one.order.reduces_only();
        let has_side = one.order.quantity.units() != 0;
        if signed == 0 || !has_side || (one.left % settings.lot != 0 && !only_closes) {
            return Some(Expiry::InvalidQuantity);
        }
        let value = nearest(one.limit().unwrap_or(price) * one.left, ONE);
        if value < settings.min_notional && !only_closes {
            return Some(Expiry::BelowMinimum);
        }
        if one.order.reduces_only() && held * signed >= 0 {
            return Some(Expiry::NothingToReduce);
        }
        if let OrderKind::Limit { price: limit } = one.kind
            && one.order.terms.post_only
            && one.as_good(price, limit.units())
        {
            return Some(Expiry::WouldTake);
        }
        if !self.account.has_rate(self.symbol) && !only_closes {
            return Some(Expiry::NoRate);
        }
        if self.needs(one, price) > 0
            && self.needs(one, price) > self.free(id)
            && settings.has_margin()
        {
            return Some(Expiry::InsufficientMargin);
        }
        None
    }

    /// The margin of what an order would open.
    fn needs(&self, one: &Entry, price: i128) -> i128 {
        let held = self.account.position(self.symbol).held;
        let signed = if one.buys() { one.left } else { -one.left };
        if one.order.reduces_only() {
            return 0;
        }
        let opened = if held * signed < 0 {
            (one.left - held.abs()).max(0)
        } else {
            one.left
        };
        let value = nearest(one.limit().unwrap_or(price) * opened, ONE);
        part_of(value, self.settings.initial)
    }

    fn free(&self, id: OrderId) -> i128 {
        let others = self.entries.iter().filter(|one| {
            one.order.id != id
                && one.order.symbol.index() == self.symbol
                && one.place == Place::Active
        });
        let reserved: i128 = others
            .map(|one| {
                let trigger = one.trigger(self.settings.tick);
                self.needs(one, trigger.map_or(self.stands, |(trigger, _)| trigger))
            })
            .sum();
        self.account.free(self.symbol, self.stands) - reserved
    }

    /// An order that has just begun, or has just been hit, at `price`.
    fn act(&mut self, id: OrderId, price: i128) {
        let tick = self.settings.tick;
        let Some(one) = self.get(id).cloned() else {
            return;
        };
        let gtc = one.order.terms.time_in_force == TimeInForce::Gtc;
        match one.kind {
            OrderKind::Market => self.take(id, price, None),
            OrderKind::Limit { price: limit } => {
                if one.as_good(price, limit.units()) {
                    self.take(id, price, Some(limit.units()));
                } else if !gtc {
                    self.end(id, Expiry::Unfilled);
                }
                if self.get(id).is_some() {
                    let ahead = self.lots(self.settings.queue * self.candle.volume);
                    self.get_mut(id).ahead = ahead;
                }
            }
            _ => {
                let Some((trigger, worse)) = one.trigger(tick) else {
                    return;
                };
                let reached = if worse {
                    price == trigger || !one.as_good(price, trigger)
                } else {
                    one.as_good(price, trigger)
                };
                if reached {
                    self.convert(id, price);
                }
            }
        }
    }

    fn convert(&mut self, id: OrderId, price: i128) {
        let one = self.get_mut(id);
        one.kind = match one.kind {
            OrderKind::StopLimit { price, .. } => OrderKind::Limit { price },
            _ => OrderKind::Market,
        };
        if let Some(limit) = one.limit()
            && one.order.terms.post_only
            && one.as_good(price, limit)
        {
            self.end(id, Expiry::WouldTake);
        } else {
            self.act(id, price);
        }
    }

    /// An order that met an earlier slice, at this one's open.
    fn meet_again(&mut self, id: OrderId, open: i128) {
        let tick = self.settings.tick;
        let Some(one) = self.get(id).cloned() else {
            return;
        };
        if one.limit().is_some() && one.trigger(tick).is_none() {
            self.rest(id, open);
        } else {
            self.act(id, open);
        }
    }

    fn trail(&mut self, id: OrderId, price: i128) {
        let one = self.get_mut(id);
        one.best = if one.buys() {
            one.best.min(price)
        } else {
            one.best.max(price)
        };
    }

    /// A resting limit order while the way stands at `price`.
    fn rest(&mut self, id: OrderId, price: i128) {
        let Some(one) = self.get(id).cloned() else {
            return;
        };
        let Some(limit) = one.limit().filter(|_| !one.spent) else {
            return;
        };
        let beyond = if one.buys() {
            limit - price
        } else {
            price - limit
        };
        let ticks = self.settings.through;
        let through = beyond >= ticks.max(1) * self.settings.tick;
        if through {
            self.make(id, limit, i128::MAX);
            self.spend(id);
        } else if ticks == 0 && beyond >= 0 && !one.touched {
            self.get_mut(id).touched = true;
            let volume = self.lots(self.candle.volume);
            if volume > one.ahead {
                self.make(id, limit, volume - one.ahead);
            }
        }
    }

    fn spend(&mut self, id: OrderId) {
        if self.get(id).is_some() {
            self.get_mut(id).spent = true;
        }
    }

    fn age_queues(&mut self) {
        let volume = self.lots(self.candle.volume);
        for one in &mut self.entries {
            one.spent = false;
            if std::mem::take(&mut one.touched) {
                one.ahead = (one.ahead - volume).max(0);
            }
        }
    }

    /// What an order may reduce; its whole quantity where it may open.
    fn reducible(&self, one: &Entry) -> i128 {
        let bound = one.order.reduces_only() || (self.settings.is_spot() && !one.buys());
        let held = self.account.position(self.symbol).held;
        if !bound {
            one.left
        } else if (held > 0) == one.buys() {
            0
        } else {
            held.abs().min(one.left)
        }
    }

    fn within_budget(&self, quantity: i128) -> i128 {
        match self.budget {
            Some(budget) if budget < quantity => floor_to(budget, self.settings.lot),
            _ => quantity,
        }
    }

    /// Fills a taker at `price` moved by costs, but not beyond `limit`.
    fn take(&mut self, id: OrderId, price: i128, limit: Option<i128>) {
        let Some(one) = self.get(id).cloned() else {
            return;
        };
        let terms = one.order.terms;
        let want = self.reducible(&one);
        if want == 0 {
            return self.end(id, Expiry::NothingToReduce);
        }
        let cut = self.within_budget(want);
        let cut = self.within_book(&one, cut, (price, limit));
        if cut == 0 || (terms.time_in_force == TimeInForce::Fok && cut < one.left) {
            if terms.time_in_force != TimeInForce::Gtc {
                self.end(id, Expiry::Unfilled);
            }
            return self.spend(id);
        }
        let paid = self.taker_price(price, (one.buys(), one.arrives), cut);
        let spread = self.spread_rate((one.buys(), one.arrives));
        let paid = match limit {
            Some(limit) if !one.as_good(paid, limit) => limit,
            _ => paid,
        };
        let paid_for = self.affordable(&one, paid, cut, false);
        if paid_for < cut {
            let value = nearest(paid_for * paid, ONE);
            let fok = terms.time_in_force == TimeInForce::Fok;
            if paid_for > 0 && value >= self.settings.min_notional && !fok {
                self.drain((one.buys(), one.arrives), paid_for);
                self.fill(id, paid_for, (paid, price), Some(spread));
            }
            return self.end(id, Expiry::InsufficientCash);
        }
        self.drain((one.buys(), one.arrives), cut);
        self.fill(id, cut, (paid, price), Some(spread));
        let Some(rest) = self.get(id) else { return };
        if want < one.left && self.reducible(rest) == 0 {
            self.end(id, Expiry::NothingToReduce);
        } else if terms.time_in_force != TimeInForce::Gtc {
            self.end(id, Expiry::Unfilled);
        } else {
            self.spend(id);
        }
    }

    fn make(&mut self, id: OrderId, limit: i128, most: i128) {
        let Some(one) = self.get(id).cloned() else {
            return;
        };
        let want = self.reducible(&one);
        if want == 0 {
            return self.end(id, Expiry::NothingToReduce);
        }
        let cut = self.within_budget(want.min(most));
        let cut = self.affordable(&one, limit, cut, true);
        if cut < want.min(most) {
            self.spend(id);
        }
        if cut == 0 {
            return;
        }
        self.fill(id, cut, (limit, limit), None);
        if let Some(rest) = self.get(id)
            && want < one.left
            && self.reducible(rest) == 0
        {
            self.end(id, Expiry::NothingToReduce);
        }
    }

    /// The most lots that the cash of a spot account pays for.
    fn affordable(&self, one: &Entry, price: i128, quantity: i128, maker: bool) -> i128 {
        if !self.settings.is_spot() || !one.buys() {
            return quantity;
        }
        let rate = self.fee_rate(maker);
        let costs = |quantity: i128| {
            let notional = nearest(price * quantity, ONE);
            notional + part_of(notional, rate)
        };
        let mut quantity = quantity;
        while quantity > 0 && costs(quantity) > self.own_cash() {
            quantity = floor_to(quantity - 1, self.settings.lot);
        }
        quantity
    }

    fn own_cash(&self) -> i128 {
        self.account.cash[self.account.currency(self.symbol)]
    }

    fn fee_rate(&self, maker: bool) -> i128 {
        let since = self.now - 30 * 86_400 * 1_000_000_000;
        let recent = self.traded.iter().filter(|(at, _)| *at > since);
        let sum: i128 = recent.map(|(_, amount)| amount).sum();
        self.settings.fee_rate(sum, maker)
    }

    fn taker_price(&self, reference: i128, taker: (bool, i64), quantity: i128) -> i128 {
        let rate = match self.book(taker) {
            Some(book) => {
                let average = nearest(self.book_pays(&book, taker, quantity), quantity.max(1));
                self.settings.fixed + distance(&book, taker.0, average)
            }
            None => self
                .settings
                .taker_moves(&self.history[self.symbol], quantity),
        };
        self.moved(reference, taker.0, rate)
    }

    fn moved(&self, reference: i128, buys: bool, rate: i128) -> i128 {
        let away = part_of(reference, rate);
        let tick = self.settings.tick;
        if buys {
            floor_to(reference + away + tick - 1, tick)
        } else {
            floor_to(reference - away, tick).max(tick.min(reference))
        }
    }

    /// The order book that one who buys or sells and arrived then meets.
    fn book(&self, (_, arrived): (bool, i64)) -> Option<BookSnapshot> {
        let SlippageConfig::Book { max_age_ms, .. } = self.settings.slippage else {
            return None;
        };
        let now = arrived.max(self.candle.opened);
        let mut newest = None;
        for book in self.records.books.get(self.symbol)?.iter() {
            if book.at.as_nanos() <= now {
                newest = Some(book.clone());
            }
        }
        newest.filter(|book| now - book.at.as_nanos() <= max_age_ms as i64 * 1_000_000)
    }

    /// Price and size of every level of a side, and the price beyond the last.
    fn side(&self, book: &BookSnapshot, buys: bool) -> (Vec<(i128, i128)>, i128) {
        let levels = if buys { &book.asks } else { &book.bids };
        let levels: Vec<(i128, i128)> = levels
            .iter()
            .map(|level| (level.price.units(), level.size.units()))
            .collect();
        let SlippageConfig::Book { otherwise_bps, .. } = self.settings.slippage else {
            panic!("a book is asked for where there is none");
        };
        let last = levels.last().map_or(0, |level| level.0);
        let further = part_of(last, (otherwise_bps * 1e6).round() as i128);
        (levels, last + if buys { further } else { -further })
    }

    fn gone(&self, book: &BookSnapshot, buys: bool) -> i128 {
        let of_book = (book.at.as_nanos(), buys);
        let same = self.had.iter().filter(|one| (one.0, one.1) == of_book);
        same.map(|one| one.2).sum()
    }

    /// Price times quantity of the next `quantity` of the book, each level being a stretch of it.
    fn book_pays(&self, book: &BookSnapshot, (buys, _): (bool, i64), quantity: i128) -> i128 {
        let from = self.gone(book, buys);
        let to = from + quantity;
        let (levels, beyond) = self.side(book, buys);
        let mut start = 0;
        let mut sum = 0;
        for (price, size) in levels {
            let overlap = (start + size).min(to) - start.max(from);
            sum += price * overlap.max(0);
            start += size;
        }
        sum + beyond * (to - start.max(from)).max(0)
    }

    fn within_book(
        &self,
        one: &Entry,
        quantity: i128,
        (reference, limit): (i128, Option<i128>),
    ) -> i128 {
        let taker = (one.buys(), one.arrives);
        let (Some(book), Some(limit)) = (self.book(taker), limit) else {
            return quantity;
        };
        let reaches = |price: i128| {
            let rate = self.settings.fixed + distance(&book, one.buys(), price);
            one.as_good(self.moved(reference, one.buys(), rate), limit)
        };
        let (levels, beyond) = self.side(&book, one.buys());
        if reaches(beyond) {
            return quantity;
        }
        let mut there = 0;
        for (price, size) in levels {
            if reaches(price) {
                there += size;
            }
        }
        let left = (there - self.gone(&book, one.buys())).max(0);
        quantity.min(floor_to(left, self.settings.lot))
    }

    /// The spread's part of what a taker pays.
    fn spread_rate(&self, taker: (bool, i64)) -> i128 {
        let Some(book) = self.book(taker) else {
            return self.settings.half_spread;
        };
        let (levels, _) = self.side(&book, taker.0);
        distance(&book, taker.0, levels[0].0)
    }

    fn drain(&mut self, taker: (bool, i64), quantity: i128) {
        if let Some(book) = self.book(taker) {
            self.had.push((book.at.as_nanos(), taker.0, quantity));
        }
    }

    fn fill(&mut self, id: OrderId, quantity: i128, prices: (i128, i128), spread: Option<i128>) {
        let rate = self.fee_rate(spread.is_none());
        let one = self.get_mut(id);
        one.left -= quantity;
        let one = one.clone();
        if one.left == 0 {
            self.entries.retain(|other| other.order.id != id);
        }
        let signed = if one.buys() { quantity } else { -quantity };
        self.budget = self.budget.map(|budget| budget - quantity);
        self.note(&one.order, (signed, one.left), prices, (rate, 0, spread));
        self.follow_up(&one, quantity);
    }

    fn note(
        &mut self,
        order: &Order,
        (signed, remaining): (i128, i128),
        (price, reference): (i128, i128),
        (rate, extra, spread_rate): (i128, i128, Option<i128>),
    ) {
        let notional = nearest(price * signed, ONE);
        let fee = part_of(notional.abs(), rate) + part_of(notional.abs(), extra);
        self.account.trade(self.symbol, signed, price, fee);
        let at = if self.at_open {
            self.candle.opened
        } else {
            self.candle.closed
        };
        let reported = self.account.reported(self.symbol, notional.abs());
        self.traded.push((self.candle.closed, reported));
        let slippage = nearest((price - reference) * signed, ONE);
        let is_maker = spread_rate.is_none();
        let half = part_of(reference, spread_rate.unwrap_or(0));
        let spread = nearest(half * signed.abs(), ONE).min(slippage).max(0);
        self.outbox.push(Outcome::Filled(Fill {
            order: order.id,
            symbol: order.symbol,
            quantity: Quantity::from_units(signed),
            price: Price::from_units(price),
            fee: Cash::from_units(fee),
            slippage: Cash::from_units(slippage),
            spread: Cash::from_units(if is_maker { 0 } else { spread }),
            remaining: Quantity::from_units(remaining * signed.signum()),
            is_maker,
            currency: CurrencyId(self.account.currency(self.symbol) as u16),
            filled_at: Timestamp::from_nanos(at),
        }));
    }

    /// What a fill does to other orders, in the order of section 2.
    fn follow_up(&mut self, filled: &Entry, quantity: i128) {
        let id = filled.order.id;
        if let Some(group) = filled.order.terms.group {
            for other in self.ids(|one| {
                one.order.terms.group == Some(group) && one.order.id != id && one.left > 0
            }) {
                let Some(one) = self.entries.iter_mut().find(|one| one.order.id == other) else {
                    continue;
                };
                one.left = (one.left - quantity).max(0);
                if one.left == 0 {
                    self.end(other, Expiry::GroupFilled);
                }
            }
        }
        if let Some(parent) = filled.order.terms.parent {
            self.end(parent, Expiry::GroupFilled);
        }
        let children = self.ids(|one| one.order.terms.parent == Some(id));
        for child in &children {
            self.get_mut(*child).left += quantity;
        }
        let candle = self.candle;
        for child in &children {
            let one = self.get_mut(*child);
            if one.place == Place::Held && !candle.reaches(one) {
                one.place = Place::Coming;
            }
        }
        for child in children {
            if self.get(child).is_some_and(|one| one.place == Place::Held) {
                let one = self.get_mut(child);
                one.late = filled.late || one.arrives > candle.opened;
                self.begin(child, self.stands);
            }
        }
        for id in self.ids(|one| one.place == Place::Active && one.order.reduces_only()) {
            let idle = |one: &Entry| {
                let held = self.account.position(self.symbol).held;
                held == 0 || (held > 0) == one.buys()
            };
            if self.get(id).is_some_and(idle) {
                self.end(id, Expiry::NothingToReduce);
            }
        }
    }

    fn is_due(&self, price: i128) -> bool {
        self.account.is_due(self.symbol, price)
    }

    fn liquidate(&mut self, price: i128) {
        for id in self.ids(|_| true) {
            self.end(id, Expiry::Liquidated);
        }
        let position = self.account.position(self.symbol);
        let order = Order {
            id: OrderId(OrderId::OF_EXCHANGE + self.own),
            symbol: SymbolId(self.symbol as u32),
            quantity: Quantity::from_units(-position.held),
            decided_at: Timestamp::from_nanos(self.candle.opened),
            reason: OrderReason::Liquidation,
            model: None,
            terms: OrderTerms::default(),
        };
        self.own += 1;
        self.outbox.push(Outcome::Liquidating(order));
        let buys = position.held < 0;
        let taker = (buys, self.candle.opened);
        let paid = self.taker_price(price, taker, position.held.abs());
        let spread = self.spread_rate(taker);
        self.drain(taker, position.held.abs());
        let rates = (
            self.fee_rate(false),
            self.settings.liquidation_fee,
            Some(spread),
        );
        let before = self.own_cash() + position.cost;
        self.note(&order, (-position.held, 0), (paid, price), rates);
        let lost = before - self.own_cash();
        if self.settings.is_isolated() && lost > position.margin {
            let at = if self.at_open {
                self.candle.opened
            } else {
                self.candle.closed
            };
            let amount = lost - position.margin;
            let own = self.account.currency(self.symbol);
            self.pay((Some(self.symbol), own), PaymentKind::Insurance, amount, at);
        }
    }

    fn follow(&mut self, prices: [i128; 4]) {
        for leg in prices.windows(2) {
            if leg[1] <= leg[0] {
                self.leg(leg[0], leg[1], false);
            }
            if leg[1] >= leg[0] {
                self.leg(leg[0], leg[1], true);
            }
        }
        self.stands = prices[3];
        self.judge_late();
    }

    /// The close is behind everything that began inside the slice; of the rest of the way nobody
    /// knows.
    fn judge_late(&mut self) {
        let [_, high, low, close] = self.candle.prices;
        let tick = self.settings.tick;
        for id in self.ids(|one| one.place == Place::Active && one.late && !one.spent) {
            let Some(one) = self.get(id).cloned().filter(|one| !one.spent) else {
                continue;
            };
            let (good, bad) = if one.buys() { (low, high) } else { (high, low) };
            let side = if one.buys() { -1 } else { 1 };
            match one.kind {
                OrderKind::Limit { price } => {
                    let mark = price.units() + side * self.settings.through * tick;
                    if one.as_good(close, mark) {
                        self.rest(id, close);
                    } else {
                        self.unsure |= one.as_good(good, mark);
                    }
                }
                OrderKind::TakeProfit { trigger } => {
                    if one.as_good(close, trigger.units()) {
                        self.convert(id, trigger.units());
                    } else {
                        self.unsure |= one.as_good(good, trigger.units());
                    }
                }
                OrderKind::TrailingStop { .. } => {
                    let mut moved = one.clone();
                    moved.best = if one.buys() {
                        one.best.min(good)
                    } else {
                        one.best.max(good)
                    };
                    let trigger = moved.trigger(tick).map_or(0, |(trigger, _)| trigger);
                    self.unsure |= bad == trigger || !one.as_good(bad, trigger);
                    self.trail(id, close);
                }
                _ => {}
            }
            if self.is_due(close) {
                self.liquidate(close);
            }
        }
    }

    fn leg(&mut self, from: i128, to: i128, rising: bool) {
        let tick = self.settings.tick;
        let (low, high) = (from.min(to), from.max(to));
        let mut stops: BTreeSet<i128> = [from, to].into();
        let mut level = floor_to(low, tick);
        while level <= high {
            if level >= low {
                stops.insert(level);
            }
            level += tick;
        }
        let stops: Vec<i128> = stops.into_iter().collect();
        if rising {
            for price in stops {
                self.stand(price, true);
            }
        } else {
            for price in stops.into_iter().rev() {
                self.stand(price, false);
            }
        }
    }

    /// A stop that began inside the slice is hit: the close may be no reason for it.
    fn doubt(&mut self, id: OrderId) {
        let close = self.candle.prices[3];
        if let Some(one) = self.get(id).filter(|one| one.late)
            && let Some((trigger, true)) = one.trigger(self.settings.tick)
        {
            let certain = close == trigger || !one.as_good(close, trigger);
            self.unsure |= !certain;
        }
    }

    /// Everything that a leg hits while it stands at `price`.
    fn stand(&mut self, price: i128, rising: bool) {
        self.stands = price;
        for id in self.ids(|one| one.place == Place::Active && one.buys() != rising && !one.late) {
            self.trail(id, price);
        }
        let mut done = BTreeSet::new();
        loop {
            if self.is_due(price) {
                self.liquidate(price);
            }
            let tick = self.settings.tick;
            let hit = self.ids(|one| {
                one.place == Place::Active
                    && !done.contains(&one.order.id)
                    && match (one.trigger(tick), one.limit()) {
                        (Some((trigger, worse)), _) => {
                            let reached = if rising {
                                price >= trigger
                            } else {
                                price <= trigger
                            };
                            reached && (one.buys() == rising) == worse && (worse || !one.late)
                        }
                        (None, Some(limit)) => {
                            one.buys() != rising && one.as_good(price, limit) && !one.late
                        }
                        (None, None) => false,
                    }
            });
            let Some(id) = hit.first().copied() else {
                return;
            };
            done.insert(id);
            let is_limit = self.get(id).is_some_and(|one| one.trigger(tick).is_none());
            if is_limit {
                self.rest(id, price);
            } else {
                self.doubt(id);
                let kind = self.get(id).map(|one| one.kind);
                self.convert(
                    id,
                    match kind {
                        Some(OrderKind::TakeProfit { trigger }) => trigger.units(),
                        _ => price,
                    },
                );
            }
        }
    }
}

/// How far `price` is from the middle of the book, against one who buys, or sells.
fn distance(book: &BookSnapshot, buys: bool, price: i128) -> i128 {
    let twice = book.bids[0].price.units() + book.asks[0].price.units();
    let away = (2 * price - twice) * if buys { 1 } else { -1 };
    nearest(away.max(0) * 10_000_000_000, twice).min(10_000_000_000)
}

/// Fills and endings, in whatever order.
fn told(outcomes: &[Outcome]) -> Vec<String> {
    let mut told: Vec<String> = outcomes
        .iter()
        .map(|outcome| match outcome {
            Outcome::Filled(fill) => format!("{:?} {} {}", fill.order, fill.quantity, fill.price),
            Outcome::Liquidating(order) => format!("{:?} {}", order.id, order.quantity),
            Outcome::Expired { order, expiry } => format!("{order:?} {expiry:?}"),
            Outcome::Paid(payment) => format!("{:?} {}", payment.kind, payment.amount),
        })
        .collect();
    told.sort();
    told
}
