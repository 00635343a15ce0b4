//! Where the money of a backtest came from and where it went, symbol by symbol and step by step.
//!
//! A result's fills and payments are booked again and valued at the market's closes, so what is
//! told here is counted from the fills' reference prices up and owes nothing to the session's own
//! sums: that both meet to the last unit is a check of both. Nothing is decided here.
//!
//! Amounts of a step are worth what its closing rates say. What the account already had when the
//! step began is worth more or less by its end than by its beginning: that is the currencies' part
//! (`currency`), the account's and no symbol's.

use std::ops::AddAssign;

use super::{BacktestResult, steps_within};
use crate::execution::{Fill, OrderId, Payment, PaymentKind};
use crate::portfolio::{LedgerError, Portfolio, Position};
use crate::problem::micro_bps_of_bps;
use crate::session::{EquityPoint, SessionConfig};
use crate::strategy::Direction;
use crate::types::{Cash, CurrencyId, Market, Price, Rate, SymbolId, Timestamp};

/// What was earned at reference prices and what of it went elsewhere, in the reporting currency.
/// `gross - costs + payments + currency = net`, exactly.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flows {
    /// Profit at the prices without spread and slippage, before fees and payments.
    pub gross: Cash,
    /// Fees of trading; a rebate is negative.
    pub fees: Cash,
    /// Half of the spread, paid by every taker.
    pub spread: Cash,
    /// Slippage beside the spread: fixed, by volatility, or the impact of one's own size.
    pub impact: Cash,
    /// Fees that liquidations cost beside those of trading.
    pub liquidation: Cash,
    /// Funding received; negative was paid.
    pub funding: Cash,
    /// Interest on what was borrowed; negative was paid.
    pub interest: Cash,
    /// What the exchange bore of liquidated positions.
    pub insurance: Cash,
    /// What changes of rates made of what the account had, with the units that rounding leaves.
    pub currency: Cash,
    /// Value of all fills without their signs.
    pub turnover: Cash,
    /// Number of fills.
    pub fills: u64,
}

impl Flows {
    /// Everything that trading has cost.
    #[must_use]
    pub fn costs(&self) -> Cash {
        self.fees + self.spread + self.impact + self.liquidation
    }

    /// Everything that was received without a trade; negative was paid.
    #[must_use]
    pub fn payments(&self) -> Cash {
        self.funding + self.interest + self.insurance
    }

    /// What is left: the change of equity.
    #[must_use]
    pub fn net(&self) -> Cash {
        self.gross - self.costs() + self.payments() + self.currency
    }

    /// Every amount at this rate.
    fn at(&self, rate: Rate) -> Self {
        if rate == Rate::ONE {
            return *self;
        }
        Self {
            gross: rate.of(self.gross),
            fees: rate.of(self.fees),
            spread: rate.of(self.spread),
            impact: rate.of(self.impact),
            liquidation: rate.of(self.liquidation),
            funding: rate.of(self.funding),
            interest: rate.of(self.interest),
            insurance: rate.of(self.insurance),
            currency: rate.of(self.currency),
            turnover: rate.of(self.turnover),
            fills: self.fills,
        }
    }

    fn take_fill(&mut self, fill: &Fill, liquidation_micro_bps: i64) {
        let notional = fill.notional();
        let of_exchange = fill.order.0 >= OrderId::OF_EXCHANGE;
        let liquidation = match of_exchange {
            true => notional.abs().scaled_by_micro_bps(liquidation_micro_bps),
            false => Cash::ZERO,
        };
        // What is bought is worth its price less what was lost against the reference; the value
        // itself comes in when the step is valued.
        self.gross -= notional - fill.slippage;
        self.fees += fill.fee - liquidation;
        self.liquidation += liquidation;
        self.spread += fill.spread;
        self.impact += fill.slippage - fill.spread;
        self.turnover += notional.abs();
        self.fills += 1;
    }

    fn take_payment(&mut self, payment: &Payment) {
        let account = match payment.kind {
            PaymentKind::Funding => &mut self.funding,
            PaymentKind::Borrowing => &mut self.interest,
            PaymentKind::Insurance => &mut self.insurance,
        };
        *account += payment.amount;
    }
}

impl AddAssign for Flows {
    fn add_assign(&mut self, other: Self) {
        self.gross += other.gross;
        self.fees += other.fees;
        self.spread += other.spread;
        self.impact += other.impact;
        self.liquidation += other.liquidation;
        self.funding += other.funding;
        self.interest += other.interest;
        self.insurance += other.insurance;
        self.currency += other.currency;
        self.turnover += other.turnover;
        self.fills += other.fills;
    }
}

/// What one symbol did in one step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SymbolFlows {
    /// What it earned and paid.
    pub flows: Flows,
    /// Its position at the step's end, in the reporting currency; negative is short.
    pub value: Cash,
    /// Whether a bar of it closes now.
    pub has_bar: bool,
    /// Positions opened or turned in the step: the trades that began.
    pub opened: u32,
}

/// What happened in one step.
#[derive(Debug, Clone, Copy)]
pub struct StepFlows<'a> {
    /// The step's position in the result's `equity`.
    pub step: usize,
    /// Each symbol, in the order of ids.
    pub symbols: &'a [SymbolFlows],
    /// What belongs to the account and no symbol: interest on negative cash, and currencies.
    pub account: Flows,
}

/// Shows `visit` every step of `result`, a backtest of `market` under `config`.
///
/// # Errors
/// [`LedgerError`] where the result is of another market: at each step, what is told of must be the
/// change of the result's equity, to the last unit.
pub fn attribute(
    market: &Market,
    config: &SessionConfig,
    result: &BacktestResult,
    visit: &mut dyn FnMut(&StepFlows<'_>),
) -> Result<(), LedgerError> {
    let (Some(first), Some(last)) = (result.equity.first(), result.equity.last()) else {
        return Ok(());
    };
    let margin = config.portfolio.margin;
    let micro_bps = margin.map_or(0, |margin| micro_bps_of_bps(margin.liquidation_fee_bps));
    let mut booking = Booking::new(result, micro_bps);
    let mut fills = result.fill_steps.iter().zip(&result.fills).peekable();
    let mut payments = result.payments.iter().peekable();
    let steps = steps_within(market, Some((first.at, last.at)));
    let mut told = 0;
    for (step, (closed_at, bars)) in steps.enumerate() {
        booking.begin();
        while let Some((_, fill)) = fills.next_if(|(at, _)| **at <= step) {
            booking.fill(fill)?;
        }
        while let Some((_, payment)) = payments.next_if(|(at, _)| *at <= step) {
            booking.pay(payment)?;
        }
        for (symbol, bar) in (0..).map(SymbolId).zip(&bars) {
            let close = bar.and_then(|bar| Price::from_f64(bar.close).ok());
            booking.value(symbol, close);
        }
        let rates = booking.portfolio.books().len() * step..;
        booking.report(result.rates.get(rates).unwrap_or(&[]));
        booking.check(closed_at, result.equity.get(step))?;
        visit(&StepFlows {
            step,
            symbols: &booking.symbols,
            account: booking.account,
        });
        told = step + 1;
    }
    if told < result.equity.len() {
        return Err(booking.differs(last.equity));
    }
    Ok(())
}

/// The sum of everything that [`attribute`] shows.
///
/// # Errors
/// [`LedgerError`] where the result is of another market.
pub fn total_flows(
    market: &Market,
    config: &SessionConfig,
    result: &BacktestResult,
) -> Result<Flows, LedgerError> {
    let mut total = Flows::default();
    attribute(market, config, result, &mut |step| {
        step.symbols.iter().for_each(|one| total += one.flows);
        total += step.account;
    })?;
    Ok(total)
}

struct Booking {
    portfolio: Portfolio,
    /// What each symbol is quoted in, and its flows and value in that.
    quoted: Vec<(CurrencyId, Flows, Cash)>,
    /// Flows of the account in each currency.
    accounts: Vec<Flows>,
    /// Equity at the end of the step before, and what of its change no flow explains.
    equity: Cash,
    unexplained: Cash,
    symbols: Vec<SymbolFlows>,
    account: Flows,
    liquidation_micro_bps: i64,
}

impl Booking {
    fn new(result: &BacktestResult, liquidation_micro_bps: i64) -> Self {
        let quotes = result.currencies.quotes().iter();
        Self {
            portfolio: Portfolio::with(&result.currencies),
            quoted: quotes
                .map(|quote| (*quote, Flows::default(), Cash::ZERO))
                .collect(),
            accounts: vec![Flows::default(); result.currencies.names().len()],
            equity: result.initial_cash,
            unexplained: Cash::ZERO,
            symbols: vec![SymbolFlows::default(); result.currencies.quotes().len()],
            account: Flows::default(),
            liquidation_micro_bps,
        }
    }

    fn begin(&mut self) {
        self.accounts.fill(Flows::default());
        for (_, flows, _) in &mut self.quoted {
            *flows = Flows::default();
        }
        for one in &mut self.symbols {
            (one.has_bar, one.opened) = (false, 0);
        }
    }

    fn fill(&mut self, fill: &Fill) -> Result<(), LedgerError> {
        let side = |portfolio: &Portfolio| {
            let position = portfolio.position(fill.symbol);
            position.map_or(Direction::Flat, Position::direction)
        };
        let before = side(&self.portfolio);
        self.portfolio.apply(fill)?;
        let after = side(&self.portfolio);
        let at = fill.symbol.index();
        if let Some((_, flows, _)) = self.quoted.get_mut(at) {
            flows.take_fill(fill, self.liquidation_micro_bps);
        }
        if let Some(one) = self.symbols.get_mut(at) {
            one.opened += u32::from(after != Direction::Flat && after != before);
        }
        Ok(())
    }

    fn pay(&mut self, payment: &Payment) -> Result<(), LedgerError> {
        self.portfolio.pay(payment)?;
        let symbol = payment
            .symbol
            .and_then(|symbol| self.quoted.get_mut(symbol.index()));
        match symbol {
            Some((_, flows, _)) => flows.take_payment(payment),
            None => {
                if let Some(flows) = self.accounts.get_mut(payment.currency.index()) {
                    flows.take_payment(payment);
                }
            }
        }
        Ok(())
    }

    /// Values a symbol at the step's end.
    fn value(&mut self, symbol: SymbolId, close: Option<Price>) {
        if let Some(close) = close {
            self.portfolio.mark(symbol, close);
        }
        let position = self.portfolio.position(symbol);
        let now = position.map_or(Cash::ZERO, Position::value);
        if let Some((_, flows, value)) = self.quoted.get_mut(symbol.index()) {
            flows.gross += now - *value;
            *value = now;
        }
        if let Some(one) = self.symbols.get_mut(symbol.index()) {
            one.has_bar = close.is_some();
        }
    }

    /// Puts everything into the reporting currency; what is left of the change of equity is the
    /// currencies' part.
    fn report(&mut self, rates: &[Option<Rate>]) {
        self.portfolio.revalue(rates);
        let rate_of = |currency: CurrencyId| match currency.is_reporting() {
            true => Rate::ONE,
            // Nothing is booked in a currency before its rate is known.
            false => rates
                .get(currency.index())
                .copied()
                .flatten()
                .unwrap_or(Rate::ONE),
        };
        let mut explained = Cash::ZERO;
        for (one, (quote, flows, value)) in self.symbols.iter_mut().zip(&self.quoted) {
            let rate = rate_of(*quote);
            one.flows = flows.at(rate);
            one.value = rate.of(*value);
            explained += one.flows.net();
        }
        self.account = Flows::default();
        for (currency, flows) in (0..).map(CurrencyId).zip(&self.accounts) {
            self.account += flows.at(rate_of(currency));
        }
        explained += self.account.net();
        let equity = self.portfolio.equity();
        let changed = equity - self.equity;
        if self.accounts.len() > 1 {
            self.account.currency = changed - explained;
            explained = changed;
        }
        (self.equity, self.unexplained) = (equity, changed - explained);
    }

    /// Whether the step at `closed_at` explains that equity became what `point` says.
    fn check(&self, closed_at: Timestamp, point: Option<&EquityPoint>) -> Result<(), LedgerError> {
        let found = point.filter(|point| point.at == closed_at);
        let told = found.map(|point| point.equity).unwrap_or_default();
        match found.is_some() && told == self.equity && self.unexplained.is_zero() {
            true => Ok(()),
            false => Err(self.differs(told)),
        }
    }

    /// What is told of does not make `equity`.
    fn differs(&self, equity: Cash) -> LedgerError {
        LedgerError::Equity {
            equity,
            parts: self.equity - self.unexplained,
        }
    }
}

#[cfg(test)]
mod tests;
