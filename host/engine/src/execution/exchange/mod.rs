//! The simulated exchange: orders of several symbols against bars, with one account.
//!
//! What it does is written down in `docs/execution.md`, rule by rule. It sees bars that have closed
//! and orders that were decided before them; it never sees predictions, and never asks for the
//! time.

mod arrival;
mod depth;
mod endings;
mod legs;
mod payments;
mod rates;
mod rules;
mod setup;
mod stand;
mod walk;
mod working;

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Expiry, Order, OrderId, Outcome};
use crate::ports::{Broker, BrokerTick};
use crate::risk::ApprovedOrder;
use crate::types::{Bar, BookSnapshot, Cash, CurrencyId, Price, Quantity, SymbolId, Timestamp};
use payments::Payments;
use rates::Rates;
use rules::{Climate, Rules};
pub use setup::ExchangeSetup;
use stand::AccountKind;
use walk::{Setting, Slice, Walk};
use working::{Stage, Working};

/// Days that count for fee tiers, in nanoseconds.
const FEE_WINDOW: i64 = 30 * 86_400_000_000_000;

/// What the exchange knows of one symbol.
#[derive(Debug, Clone)]
struct Book {
    /// What the symbol is quoted in.
    currency: CurrencyId,
    rules: Rules,
    /// The account with the symbol's own leverage.
    kind: AccountKind,
    orders: Vec<Working>,
    held: Quantity,
    cost: Cash,
    margin: Cash,
    last: Option<Price>,
    /// When the newest bar of the signal closed.
    bar_closed_at: Option<Timestamp>,
    climate: Climate,
    /// Exponentially weighted mean of squared log returns, and slices seen.
    variance: f64,
    slices: u64,
    /// Recorded order books, ascending.
    depth: Arc<[BookSnapshot]>,
}

/// See the head of the file.
#[derive(Debug)]
pub struct Exchange {
    kind: AccountKind,
    /// By currency.
    cash: Vec<Cash>,
    rates: Rates,
    books: Vec<Book>,
    latency: i64,
    /// Length of a bar of the signal.
    bar_nanos: i64,
    patience: i64,
    /// Weight of the newest slice in climate.
    weight: f64,
    needs_climate: bool,
    payments: Payments,
    /// Notionals of the last 30 days; kept where fees have tiers only.
    traded: VecDeque<(Timestamp, Cash)>,
    traded_sum: Cash,
    has_tiers: bool,
    outbox: VecDeque<Outcome>,
    /// Memory that steps reuse: the symbols in the order of their turns.
    turns: Vec<usize>,
    advanced_to: Option<Timestamp>,
    next_own: u64,
    ambiguous: u64,
    slices: u64,
}

impl Exchange {
    /// Slices in which the unknown way inside made a difference, and slices in all.
    #[must_use]
    pub fn ambiguous_slices(&self) -> (u64, u64) {
        (self.ambiguous, self.slices)
    }

    /// What is held of `symbol`, as the exchange sees it.
    #[must_use]
    pub fn held(&self, symbol: SymbolId) -> Quantity {
        self.books
            .get(symbol.index())
            .map_or(Quantity::ZERO, |book| book.held)
    }

    /// The account's cash by currency, as the exchange sees it.
    #[must_use]
    pub fn balances(&self) -> &[Cash] {
        &self.cash
    }

    /// Takes an order; it arrives after the latency.
    pub(crate) fn take_order(&mut self, order: Order) {
        let arrives_at = order.decided_at.saturating_add_nanos(self.latency);
        let Some(book) = self.books.get_mut(order.symbol.index()) else {
            return self.outbox.push_back(Outcome::Expired {
                order: order.id,
                expiry: Expiry::InvalidQuantity,
            });
        };
        let is_there = |id: OrderId| book.orders.iter().any(|one| one.order.id == id);
        if order.terms.parent.is_none_or(is_there) {
            book.orders.push(Working::new(order, arrives_at));
        } else {
            // It would wait for ever, and whoever counts on it should know.
            self.outbox.push_back(Outcome::Expired {
                order: order.id,
                expiry: Expiry::ParentEnded,
            });
        }
    }

    /// Takes the request of `at` for an order's end, which arrives after the latency.
    pub(crate) fn take_cancel(&mut self, order: OrderId, at: Timestamp) {
        let arrives_at = at.saturating_add_nanos(self.latency);
        let mut orders = self.books.iter_mut().flat_map(|book| &mut book.orders);
        if let Some(one) = orders.find(|one| one.order.id == order) {
            one.cancelled_at.get_or_insert(arrives_at);
        }
    }

    /// Does everything that happens up to `tick.closed_at`.
    fn advance(&mut self, tick: &BrokerTick<'_>) {
        if self.advanced_to == Some(tick.closed_at) {
            return;
        }
        self.advanced_to = Some(tick.closed_at);
        self.rates.observe(tick);
        // Symbols without a purchase at the open come first, so that their proceeds pay for those
        // of the others.
        // Once, because the slices of one symbol go back behind those of another.
        self.forget_old_trades(tick.closed_at);
        // Said before the first moves: what begins on the way must not bring a symbol's turn twice.
        let mut turns = std::mem::take(&mut self.turns);
        turns.clear();
        turns.extend(0..self.books.len());
        // Stable, so that each of the two groups keeps its order.
        turns.sort_by_key(|at| self.buys_at_open(*at));
        for at in &turns {
            self.advance_symbol(*at, tick);
        }
        self.turns = turns;
        self.end_between_slices(tick);
        self.pay_for_borrowing(tick.closed_at);
    }

    fn buys_at_open(&self, at: usize) -> bool {
        self.books.get(at).is_some_and(|book| {
            let mut coming = book.orders.iter();
            coming.any(|one| one.stage != Stage::Held && one.buys())
        })
    }

    fn advance_symbol(&mut self, at: usize, tick: &BrokerTick<'_>) {
        let fine = tick.fine.get(at).copied().unwrap_or(&[]);
        let Some(bar) = tick.bars.get(at).copied().flatten() else {
            return;
        };
        let bars = if fine.is_empty() {
            std::slice::from_ref(bar)
        } else {
            fine
        };
        for one in bars {
            if one.closed_at <= tick.closed_at
                && let Some(slice) = slice_of(one, bar.opened_at)
            {
                self.advance_slice(at, &slice);
            }
        }
        if !fine.is_empty() {
            self.keep_for_next_bar(at, bar);
        }
        if let Some(book) = self.books.get_mut(at) {
            book.bar_closed_at = Some(bar.closed_at);
        }
    }

    /// What arrived in a bar after its last slice is there from the bar's end on.
    fn keep_for_next_bar(&mut self, at: usize, bar: &Bar) {
        let orders = self.books.get_mut(at).map(|book| &mut book.orders);
        for one in orders.into_iter().flatten() {
            if one.arrives_at > bar.opened_at && one.arrives_at < bar.closed_at {
                one.arrives_at = bar.closed_at;
            }
        }
    }

    fn advance_slice(&mut self, at: usize, slice: &Slice) {
        self.slices += 1;
        self.pay_funding(at, slice);
        let Some(book) = self.books.get(at) else {
            return;
        };
        let has_margin = !matches!(self.kind, AccountKind::Spot | AccountKind::Unlimited);
        if !book.orders.is_empty() || (has_margin && !book.held.is_zero()) {
            self.walk(at, slice);
        }
        self.learn(at, slice);
    }

    /// Walks both ways where there is a question, and takes the worse one.
    fn walk(&mut self, at: usize, slice: &Slice) {
        let worths = self.rates.at(slice.opened_at);
        let stand = self.stand(at, &worths);
        let Some(book) = self.books.get_mut(at) else {
            return;
        };
        let orders = std::mem::take(&mut book.orders);
        let setting = Setting {
            rules: &book.rules,
            climate: book.climate,
            slice: *slice,
            symbol: SymbolId(u32::try_from(at).unwrap_or(u32::MAX)),
            traded: self.traded_sum,
            patience: self.patience,
            next_own: self.next_own,
            books: &book.depth,
            currency: book.currency,
            rate: worths.rate(book.currency),
        };
        let mut walk = Walk::new(setting, stand, orders);
        walk.open();
        let (walk, is_ambiguous) = walk.go_worst();
        let (stand, orders, outcomes) = (walk.stand, walk.orders, walk.outcomes);
        let (next_own, traded) = (walk.next_own, walk.traded);
        book.orders = orders;
        (book.held, book.cost, book.margin) = (stand.held, stand.cost, stand.margin);
        if let Some(cash) = self.cash.get_mut(book.currency.index()) {
            *cash = stand.cash;
        }
        self.next_own = next_own;
        self.ambiguous += u64::from(is_ambiguous);
        if self.has_tiers {
            let new = traded - self.traded_sum;
            if !new.is_zero() {
                self.traded.push_back((slice.closed_at, new));
                self.traded_sum = traded;
            }
        }
        self.outbox.extend(outcomes);
    }

    /// Takes a slice into what the next one's costs depend on.
    fn learn(&mut self, at: usize, slice: &Slice) {
        let (weight, needs_climate) = (self.weight, self.needs_climate);
        let Some(book) = self.books.get_mut(at) else {
            return;
        };
        if needs_climate {
            if let Some(last) = book.last {
                let change = (slice.close.to_f64() / last.to_f64()).ln();
                let square = change * change;
                // The first return stands for all before it.
                book.variance = if book.slices == 1 {
                    square
                } else {
                    book.variance + weight * (square - book.variance)
                };
                book.climate.sigma = book.variance.sqrt();
            }
            book.climate.volume = if book.slices == 0 {
                slice.volume
            } else {
                book.climate.volume + weight * (slice.volume - book.climate.volume)
            };
            book.slices += 1;
        }
        book.last = Some(slice.close);
    }

    fn forget_old_trades(&mut self, now: Timestamp) {
        while let Some((at, amount)) = self.traded.front().copied() {
            if now.nanos_since(at) < FEE_WINDOW {
                break;
            }
            self.traded_sum -= amount;
            self.traded.pop_front();
        }
    }

    /// Orders that end without a slice: whose end was asked for by the time that the step's slices
    /// have closed, and whose time is up although no slice came.
    fn end_between_slices(&mut self, tick: &BrokerTick<'_>) {
        for (at, book) in self.books.iter_mut().enumerate() {
            if book.orders.is_empty() {
                continue;
            }
            let has_bar = tick.bars.get(at).copied().flatten().is_some();
            // A bar that is not over yet may have opened by now, and what it holds is not known.
            let known = match book.bar_closed_at {
                Some(last) if !has_bar => {
                    let bars = tick.closed_at.nanos_since(last) / self.bar_nanos.max(1);
                    last.saturating_add_nanos(bars.saturating_mul(self.bar_nanos))
                }
                _ => tick.closed_at,
            };
            let cancelled = book.orders.iter().filter(|one| one.is_cancelled_by(known));
            let cancelled = cancelled.map(|one| (one.order.id, Expiry::Cancelled));
            let mut gone: Vec<(OrderId, Expiry)> = cancelled.collect();
            if !has_bar {
                gone.extend(book.orders.iter().filter_map(|one| {
                    let expiry = one.overdue((known, known), self.patience)?;
                    Some((one.order.id, expiry))
                }));
            }
            for (id, expiry) in gone {
                drop_with_children(&mut book.orders, id, expiry, &mut self.outbox);
            }
        }
    }
}

impl Broker for Exchange {
    fn submit(&mut self, order: ApprovedOrder) {
        self.take_order(*order.order());
    }

    fn cancel(&mut self, order: OrderId, at: Timestamp) {
        self.take_cancel(order, at);
    }

    fn ambiguous_slices(&self) -> (u64, u64) {
        Self::ambiguous_slices(self)
    }

    fn poll(&mut self, tick: &BrokerTick<'_>) -> Option<Outcome> {
        self.advance(tick);
        self.outbox.pop_front()
    }
}

/// Ends an order, and the children that wait for it.
fn drop_with_children(
    orders: &mut Vec<Working>,
    id: OrderId,
    expiry: Expiry,
    outbox: &mut VecDeque<Outcome>,
) {
    let Some(at) = orders.iter().position(|one| one.order.id == id) else {
        return;
    };
    orders.remove(at);
    outbox.push_back(Outcome::Expired { order: id, expiry });
    let waits = |one: &&Working| one.order.terms.parent == Some(id) && one.is_orphan();
    let children: Vec<OrderId> = orders
        .iter()
        .filter(waits)
        .map(|one| one.order.id)
        .collect();
    for child in children {
        drop_with_children(orders, child, Expiry::ParentEnded, outbox);
    }
}

/// A bar as prices; it lies in a bar of the signal that opened at `bar_opened_at`.
fn slice_of(bar: &Bar, bar_opened_at: Timestamp) -> Option<Slice> {
    let price = |value: f64| {
        Price::from_f64(value)
            .ok()
            .filter(|price| *price > Price::ZERO)
    };
    Some(Slice {
        bar_opened_at,
        opened_at: bar.opened_at,
        closed_at: bar.closed_at,
        open: price(bar.open)?,
        high: price(bar.high)?,
        low: price(bar.low)?,
        close: price(bar.close)?,
        volume: bar.volume,
    })
}

#[cfg(test)]
mod tests;
