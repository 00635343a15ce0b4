//! Funding of perpetual futures and interest on what is borrowed: section 9 of `docs/execution.md`.

use std::sync::Arc;

use super::walk::Slice;
use super::{AccountKind, Exchange};
use crate::execution::{Outcome, Payment, PaymentKind};
use crate::types::{Cash, CurrencyId, FundingRate, Price, Quantity, SymbolId, Timestamp};

/// Nanoseconds of a year of 365 days.
const YEAR: f64 = 365.0 * 86_400.0 * 1e9;

/// What is paid when.
#[derive(Debug, Clone, Default)]
pub(super) struct Payments {
    /// Nanoseconds between fundings at a constant rate; 0 is none.
    pub(super) interval: i64,
    /// The constant rate, `micro_bps`.
    pub(super) rate: i64,
    /// Recorded fundings by symbol, ascending; empty where there are none.
    pub(super) series: Vec<Arc<[FundingRate]>>,
    /// Interest of a year, as a fraction.
    pub(super) borrowing: f64,
    pub(super) funded_to: Vec<Option<Timestamp>>,
    pub(super) charged_to: Option<Timestamp>,
}

impl Exchange {
    /// Pays every funding since the last slice and inside this one.
    pub(super) fn pay_funding(&mut self, at: usize, slice: &Slice) {
        let interval = self.payments.interval;
        if interval == 0 && self.payments.series.is_empty() {
            return;
        }
        let Some(until) = self.payments.funded_to.get_mut(at) else {
            return;
        };
        // The moment at which the slice closes belongs to the next one.
        let from = until.replace(slice.closed_at).unwrap_or(slice.opened_at);
        let Some(book) = self.books.get(at).filter(|book| !book.held.is_zero()) else {
            return;
        };
        let value = book.last.unwrap_or(slice.open).times(book.held);
        if let Some(series) = self.payments.series.get(at).map(Arc::clone) {
            let first = series.partition_point(|one| one.at < from);
            let due = series.get(first..).unwrap_or(&[]).iter();
            for one in due.take_while(|one| one.at < slice.closed_at) {
                self.fund(at, value.scaled_by_micro_bps(one.micro_bps), one.at);
            }
        }
        if interval == 0 {
            return;
        }
        let first = from.as_nanos().div_euclid(interval)
            + i64::from(from.as_nanos().rem_euclid(interval) != 0);
        let mut moment = first.saturating_mul(interval);
        let owed = value.scaled_by_micro_bps(self.payments.rate);
        while moment < slice.closed_at.as_nanos() {
            self.fund(at, owed, Timestamp::from_nanos(moment));
            moment = moment.saturating_add(interval);
        }
    }

    /// Takes what is owed for the position of the symbol at `at`.
    fn fund(&mut self, at: usize, owed: Cash, paid_at: Timestamp) {
        if !owed.is_zero() {
            self.pay(Payment {
                currency: self.currency(at),
                symbol: Some(SymbolId(u32::try_from(at).unwrap_or(u32::MAX))),
                kind: PaymentKind::Funding,
                amount: -owed,
                paid_at,
            });
        }
    }

    /// Charges interest since the last close on what is borrowed now.
    pub(super) fn pay_for_borrowing(&mut self, now: Timestamp) {
        let before = self.payments.charged_to.replace(now);
        let Some(before) = before.filter(|_| self.payments.borrowing > 0.0) else {
            return;
        };
        let part = self.payments.borrowing * (now.nanos_since(before) as f64 / YEAR);
        let micro_bps = (part * 1e10).round() as i64;
        for index in 0..self.cash.len() {
            let cash = self.cash.get(index).copied().unwrap_or_default();
            if cash < Cash::ZERO {
                let currency = CurrencyId(u16::try_from(index).unwrap_or(u16::MAX));
                let amount = cash.scaled_by_micro_bps(micro_bps);
                self.charge((None, currency), amount, now);
            }
        }
        if self.kind != AccountKind::Unlimited {
            return;
        }
        let shorts: Vec<(usize, Cash)> = self
            .books
            .iter()
            .enumerate()
            .filter(|(_, book)| book.held < Quantity::ZERO)
            .map(|(at, book)| (at, book.last.unwrap_or(Price::ZERO).times(book.held)))
            .collect();
        for (at, value) in shorts {
            let symbol = SymbolId(u32::try_from(at).unwrap_or(u32::MAX));
            let whose = (Some(symbol), self.currency(at));
            self.charge(whose, value.scaled_by_micro_bps(micro_bps), now);
        }
    }

    /// What the symbol at `at` is quoted in.
    fn currency(&self, at: usize) -> CurrencyId {
        let book = self.books.get(at);
        book.map_or(CurrencyId::REPORTING, |book| book.currency)
    }

    /// Takes a (negative) amount of interest.
    fn charge(
        &mut self,
        (symbol, currency): (Option<SymbolId>, CurrencyId),
        amount: Cash,
        paid_at: Timestamp,
    ) {
        if !amount.is_zero() {
            self.pay(Payment {
                currency,
                symbol,
                kind: PaymentKind::Borrowing,
                amount,
                paid_at,
            });
        }
    }

    fn pay(&mut self, payment: Payment) {
        if let Some(cash) = self.cash.get_mut(payment.currency.index()) {
            *cash += payment.amount;
        }
        self.outbox.push_back(Outcome::Paid(payment));
    }
}
