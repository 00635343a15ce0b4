//! Several currencies: rates as they are known when a slice opens, and the account as a symbol of
//! one currency sees it.
//!
//! A rate in a slice comes from closes at or before the slice's opening, whatever is walked first.
//! With one currency there is nothing to know, and nothing is done.

use std::collections::VecDeque;

use super::setup::ExchangeSetup;
use super::stand::{AccountKind, Stand, initial_of};
use super::{Exchange, slice_of};
use crate::portfolio::Currencies;
use crate::ports::BrokerTick;
use crate::types::{Cash, CurrencyId, Price, Quantity, Rate, SymbolId, Timestamp};

/// The newest closes of the symbols that rates are taken from.
#[derive(Debug)]
pub(super) struct Rates {
    /// `None` where there is one currency.
    several: Option<Several>,
}

#[derive(Debug)]
struct Several {
    currencies: Currencies,
    /// Closes of each symbol, ascending; empty for symbols that no rate is taken from.
    closes: Vec<VecDeque<(Timestamp, Price)>>,
    /// The symbols that rates are taken from.
    symbols: Vec<SymbolId>,
    /// Length of a bar of the signal, nanoseconds.
    bar: i64,
}

/// The rates at one moment.
#[derive(Debug, Clone)]
pub(super) struct Worths(Vec<Option<Rate>>);

impl Rates {
    pub(super) fn new(setup: &ExchangeSetup<'_>) -> Self {
        let several = (!setup.currencies.is_single()).then(|| Several {
            currencies: setup.currencies.clone(),
            closes: vec![VecDeque::new(); setup.names.len()],
            symbols: setup.currencies.rate_symbols(),
            bar: setup.time_frame.nanos(),
        });
        Self { several }
    }

    /// Takes in every close of a step; each counts from its own moment on.
    pub(super) fn observe(&mut self, tick: &BrokerTick<'_>) {
        let Some(several) = &mut self.several else {
            return;
        };
        // No slice of this step opens before.
        let oldest = tick.closed_at.saturating_add_nanos(-several.bar);
        for symbol in &several.symbols {
            let Some(closes) = several.closes.get_mut(symbol.index()) else {
                continue;
            };
            while closes.get(1).is_some_and(|(at, _)| *at <= oldest) {
                closes.pop_front();
            }
            let fine = tick.fine.get(symbol.index()).copied().unwrap_or(&[]);
            let Some(bar) = tick.bars.get(symbol.index()).copied().flatten() else {
                continue;
            };
            let bars = if fine.is_empty() {
                std::slice::from_ref(bar)
            } else {
                fine
            };
            let slices = bars.iter().filter_map(|one| slice_of(one, bar.opened_at));
            let slices = slices.filter(|one| one.closed_at <= tick.closed_at);
            closes.extend(slices.map(|slice| (slice.closed_at, slice.close)));
        }
    }

    /// The rates of what has closed by `now`.
    pub(super) fn at(&self, now: Timestamp) -> Worths {
        let Some(several) = &self.several else {
            return Worths(Vec::new());
        };
        let close = |symbol: SymbolId| {
            let known = several.closes.get(symbol.index())?.iter();
            known
                .rev()
                .find(|(at, _)| *at <= now)
                .map(|(_, close)| *close)
        };
        let currencies = &several.currencies;
        Worths(
            currencies
                .ids()
                .map(|one| currencies.rate(one, close))
                .collect(),
        )
    }
}

impl Worths {
    /// The rate of `currency` in the reporting one, where it is known.
    pub(super) fn rate(&self, currency: CurrencyId) -> Option<Rate> {
        if currency.is_reporting() {
            return Some(Rate::ONE);
        }
        self.0.get(currency.index()).copied().flatten()
    }

    /// What one of `from` is worth in `to`.
    fn between(&self, from: CurrencyId, to: CurrencyId) -> Option<Rate> {
        if from == to {
            return Some(Rate::ONE);
        }
        Some(self.rate(from)?.then(self.rate(to)?.inverted()))
    }
}

impl Exchange {
    /// The account as the symbol at `at` sees it, in what it is quoted in. What is of a currency
    /// without a rate counts for nothing.
    pub(super) fn stand(&self, at: usize, worths: &Worths) -> Stand {
        let own = self.books.get(at);
        let currency = own.map_or(CurrencyId::REPORTING, |book| book.currency);
        let mut stand = Stand {
            kind: own.map_or(self.kind, |book| book.kind),
            cash: self.cash.get(currency.index()).copied().unwrap_or_default(),
            held: Quantity::ZERO,
            cost: Cash::ZERO,
            margin: Cash::ZERO,
            others: Cash::ZERO,
            others_gross: Cash::ZERO,
            others_initial: 0,
            others_free: Cash::ZERO,
        };
        if let Some(book) = own {
            (stand.held, stand.cost, stand.margin) = (book.held, book.cost, book.margin);
        }
        for (index, cash) in self.cash.iter().enumerate() {
            let other = CurrencyId(u16::try_from(index).unwrap_or(u16::MAX));
            let Some(rate) = worths.between(other, currency) else {
                continue;
            };
            let cash = if other == currency { Cash::ZERO } else { *cash };
            self.add_others(&mut stand, at, (other, cash, rate));
        }
        stand
    }

    /// Adds what the account has in `other`, its `cash` and its positions but that of the symbol
    /// at `at`, where one of it is worth `rate`.
    fn add_others(
        &self,
        stand: &mut Stand,
        at: usize,
        (other, cash, rate): (CurrencyId, Cash, Rate),
    ) {
        let (mut whole, mut free) = (cash, cash);
        let books = self.books.iter().enumerate();
        for (_, book) in books.filter(|(index, book)| *index != at && book.currency == other) {
            if book.held.is_zero() {
                continue;
            }
            let value = book.last.unwrap_or_default().times(book.held);
            let worth = rate.of(value.abs());
            whole += value;
            free += book.cost - book.margin;
            stand.others_gross += worth;
            if let AccountKind::Cross(margin) = book.kind {
                stand.others_initial += initial_of(worth, margin);
            }
        }
        stand.others += rate.of(whole);
        stand.others_free += rate.of(free);
    }
}
