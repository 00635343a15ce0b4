//! What a strategy must beat: buying everything once, and doing nothing.
//!
//! Baselines meet the same venue at the same costs and are valued at the same closing times as the
//! strategy, so that the three series can be compared point by point.

use super::{BacktestResult, steps_within};
use crate::execution::{
    Exchange, ExchangeSetup, Fill, Order, OrderId, OrderReason, OrderTerms, Outcome, Payment,
};
use crate::portfolio::{Currencies, LedgerError, Portfolio, PortfolioConfig};
use crate::ports::{Broker, BrokerTick};
use crate::session::{EquityPoint, SessionConfig, SetupError};
use crate::types::{Bar, Cash, Market, MoneyError, Price, Quantity, Rate, SymbolId, Timestamp};

/// Puts an equal part of the initial cash into every symbol at its first open after the first
/// moment of `range`, and holds. A symbol that appears later is bought then; until then its part is
/// cash. Costs are part of each symbol's part, so nothing is borrowed to buy. Where the market has
/// funding, it is paid and received like by everybody who holds.
///
/// The holder begins with what the account's balances are worth, spread over the currencies of the
/// symbols at the rates of the beginning, without costs; a symbol whose currency has no rate by
/// then is not bought, and its part stays in the reporting currency.
///
/// # Errors
/// [`SetupError`] where the settings are wrong.
pub fn buy_and_hold(
    market: &Market,
    config: &SessionConfig,
    range: Option<(Timestamp, Timestamp)>,
) -> Result<BacktestResult, SetupError> {
    let mut holder = Holder::new(market, config)?;
    let (mut fine_steps, mut fine) = (market.fine_steps(), Vec::new());
    for (closed_at, bars) in steps_within(market, range) {
        if !holder.begins(&bars)? {
            continue;
        }
        let decided_at = *holder.decided_at.get_or_insert(closed_at);
        fine_steps.within(&bars, &mut fine);
        holder.revalue(&bars);
        for (symbol, bar) in (0..).map(SymbolId).zip(&bars) {
            if let Some(bar) = bar {
                let fine = fine.get(symbol.index()).copied().unwrap_or(&[]);
                holder.meet(symbol, (bar, fine), decided_at);
            }
        }
        let point = point(&holder.portfolio, closed_at);
        holder.result.equity.push(point);
    }
    holder.result.take_portfolio(&holder.portfolio);
    let slices = holder.exchanges.iter().map(Exchange::ambiguous_slices);
    holder.result.ambiguous_slices = slices.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    Ok(holder.result)
}

/// Holds cash.
///
/// # Errors
/// [`SetupError`] where the settings are wrong.
pub fn flat(
    market: &Market,
    config: &SessionConfig,
    range: Option<(Timestamp, Timestamp)>,
) -> Result<BacktestResult, SetupError> {
    let mut holder = Holder::new(market, config)?;
    for (closed_at, bars) in steps_within(market, range) {
        // It keeps what it has.
        if holder.decided_at.is_none() && !holder.is_valued(&bars) {
            continue;
        }
        if holder.decided_at.replace(closed_at).is_none() {
            holder.portfolio.begin(&holder.known);
        }
        holder.revalue(&bars);
        let point = point(&holder.portfolio, closed_at);
        holder.result.equity.push(point);
    }
    holder.result.take_portfolio(&holder.portfolio);
    Ok(holder.result)
}

/// A buyer of everything.
struct Holder<'a> {
    market: &'a Market,
    config: &'a SessionConfig,
    currencies: Currencies,
    /// The newest close of each symbol.
    closes: Vec<Option<Price>>,
    /// The rates by them.
    known: Vec<Option<Rate>>,
    /// One for each symbol, with its part of the cash.
    exchanges: Vec<Exchange>,
    portfolio: Portfolio,
    result: BacktestResult,
    /// The cash set aside for each symbol, in what it is quoted in.
    parts: Vec<Cash>,
    /// The lot of each symbol.
    lots: Vec<Quantity>,
    bought: Vec<bool>,
    decided_at: Option<Timestamp>,
}

impl<'a> Holder<'a> {
    fn new(market: &'a Market, config: &'a SessionConfig) -> Result<Self, SetupError> {
        let names: Vec<&str> = market.names().collect();
        let mut problems = config.validate_for(&names);
        problems.extend(config.validate_records(market.records()));
        if !problems.is_empty() {
            return Err(SetupError::Config(problems));
        }
        let currencies = config.currencies(&names).map_err(SetupError::Config)?;
        let count = names.len();
        let lot = |name: &&str| Quantity::from_f64(config.execution.of_symbol(name).lot_size);
        Ok(Self {
            market,
            config,
            closes: vec![None; count],
            known: vec![None; currencies.names().len()],
            exchanges: Vec::new(),
            portfolio: Portfolio::with(&currencies),
            result: BacktestResult::empty(&currencies),
            parts: vec![Cash::ZERO; count],
            lots: names.iter().map(lot).collect::<Result<_, _>>()?,
            bought: vec![false; count],
            decided_at: None,
            currencies,
        })
    }

    /// Takes in the closes of a step.
    fn see(&mut self, bars: &[Option<&Bar>]) {
        for (known, bar) in self.closes.iter_mut().zip(bars) {
            *known = bar.and_then(|bar| mark_price(bar).ok()).or(*known);
        }
        let closes = &self.closes;
        let close = |symbol: SymbolId| closes.get(symbol.index()).copied().flatten();
        for (currency, rate) in self.currencies.ids().zip(&mut self.known) {
            *rate = self.currencies.rate(currency, close);
        }
    }

    /// Whether what the account begins with has a value.
    fn is_valued(&mut self, bars: &[Option<&Bar>]) -> bool {
        self.see(bars);
        let mut balances = self.currencies.initial().iter().zip(&self.known);
        let is_valued = self.currencies.is_single()
            || balances.all(|(initial, rate)| initial.is_zero() || rate.is_some());
        if !is_valued {
            // Like a session, which begins with the closes of one step.
            self.closes.fill(None);
        }
        is_valued
    }

    /// Whether the holder begins by now; it then has its parts and its exchanges.
    fn begins(&mut self, bars: &[Option<&Bar>]) -> Result<bool, SetupError> {
        if !self.exchanges.is_empty() {
            return Ok(true);
        }
        if !self.is_valued(bars) {
            return Ok(false);
        }
        let mut whole = Portfolio::with(&self.currencies);
        whole.begin(&self.known);
        let count = i128::try_from(self.closes.len())
            .unwrap_or(i128::MAX)
            .max(1);
        let part = Cash::from_units(whole.initial_cash().units() / count);
        let mut balances = vec![Cash::ZERO; self.known.len()];
        let mut left = whole.initial_cash();
        for (own, quote) in self.parts.iter_mut().zip(self.currencies.quotes()) {
            let rate = self.known.get(quote.index()).copied().flatten();
            let Some(rate) = rate else { continue };
            // Never worth more than the part, nor are several together worth more than theirs.
            *own = rate.most_within(part);
            if let Some(balance) = balances.get_mut(quote.index())
                && !quote.is_reporting()
            {
                *balance += *own;
            }
        }
        for (balance, rate) in balances.iter().zip(&self.known).skip(1) {
            left -= rate.map_or(Cash::ZERO, |rate| rate.of(*balance));
        }
        if let Some(first) = balances.first_mut() {
            *first = left;
        }
        self.currencies = self.currencies.with_initial(&balances);
        self.portfolio = Portfolio::with(&self.currencies);
        self.portfolio.begin(&self.known);
        self.result = BacktestResult::empty(&self.currencies);
        let exchanges = (0..self.closes.len()).map(|at| self.exchange(at));
        self.exchanges = exchanges.collect::<Result<_, _>>()?;
        Ok(true)
    }

    /// The exchange of the symbol at `at`, with the symbol's part as its cash. Fee tiers count at
    /// the rate of the beginning.
    fn exchange(&self, at: usize) -> Result<Exchange, MoneyError> {
        let name = self.market.names().nth(at).unwrap_or_default();
        // A holder of spot owes nothing, whatever the strategy may do.
        let spot = PortfolioConfig {
            allow_short: false,
            margin: None,
            ..self.config.portfolio.clone()
        };
        let part = self.parts.get(at).copied().unwrap_or_default();
        let quote = self
            .currencies
            .quotes()
            .get(at)
            .copied()
            .unwrap_or_default();
        let rate = self.known.get(quote.index()).copied().flatten();
        let own = match rate.filter(|_| !quote.is_reporting()) {
            None => Currencies::single(self.currencies.name(quote), part, 1),
            Some(rate) => Currencies::at_fixed_rate(self.currencies.name(quote), part, rate),
        };
        Exchange::new(&ExchangeSetup {
            execution: &self.config.execution,
            portfolio: &spot,
            currencies: &own,
            names: &[name],
            time_frame: self.market.time_frame(),
            records: &self.market.records().of_symbol(at),
        })
    }

    /// Values currencies by the closes of a step, at its beginning: its fills are worth what they
    /// say.
    fn revalue(&mut self, bars: &[Option<&Bar>]) {
        if self.currencies.is_single() {
            return;
        }
        self.see(bars);
        self.portfolio.revalue(&self.known);
        self.result.rates.extend_from_slice(&self.known);
    }

    /// Buys from the bar's open on where that is due, and marks at its close.
    fn meet(&mut self, symbol: SymbolId, (bar, fine): (&Bar, &[Bar]), decided_at: Timestamp) {
        let at = symbol.index();
        if self.bought.get(at) == Some(&false) && bar.opened_at >= decided_at {
            let order = self.purchase(at, bar);
            if let (Some(order), Some(exchange)) = (order, self.exchanges.get_mut(at)) {
                exchange.take_order(order);
                self.bought[at] = true;
            }
        }
        let currency = self.currencies.quote(symbol);
        for outcome in self.outcomes(at, (bar, fine)) {
            // The exchange counts its one symbol and its currency by itself.
            let booked = match outcome {
                Outcome::Filled(fill) => self.book(&Fill {
                    symbol,
                    currency,
                    ..fill
                }),
                Outcome::Paid(payment) => self.pay(symbol, payment),
                _ => Ok(()),
            };
            if booked.is_err() {
                return;
            }
        }
        if let Ok(close) = mark_price(bar) {
            self.portfolio.mark(symbol, close);
        }
    }

    /// What the exchange of the symbol at `at` does with `bar`.
    fn outcomes(&mut self, at: usize, (bar, fine): (&Bar, &[Bar])) -> Vec<Outcome> {
        let Some(exchange) = self.exchanges.get_mut(at) else {
            return Vec::new();
        };
        let tick = BrokerTick {
            closed_at: bar.closed_at,
            bars: &[Some(bar)],
            fine: &[fine],
        };
        std::iter::from_fn(|| exchange.poll(&tick)).collect()
    }

    /// The order for what the part of the symbol at `at` pays for at the open, without costs; the
    /// exchange cuts it to what it pays for with them.
    fn purchase(&self, at: usize, bar: &Bar) -> Option<Order> {
        let open = Price::from_f64(bar.open).ok()?;
        let part = self.parts.get(at)?;
        let quantity = part.divided_by(open)?.toward_zero(*self.lots.get(at)?);
        (!quantity.is_zero()).then_some(Order {
            id: OrderId(0),
            symbol: SymbolId(0),
            quantity,
            decided_at: bar.opened_at,
            reason: OrderReason::Entry,
            model: None,
            terms: OrderTerms::default(),
        })
    }

    fn book(&mut self, fill: &Fill) -> Result<(), LedgerError> {
        self.portfolio.apply(fill)?;
        self.result.take_fill(self.result.equity.len(), fill);
        Ok(())
    }

    /// What is paid for the cash of a symbol's part is paid by the account.
    fn pay(&mut self, symbol: SymbolId, payment: Payment) -> Result<(), LedgerError> {
        let payment = Payment {
            symbol: payment.symbol.map(|_| symbol),
            currency: self.currencies.quote(symbol),
            ..payment
        };
        self.portfolio.pay(&payment)?;
        let step = self.result.equity.len();
        self.result.payments.push((step, payment));
        Ok(())
    }
}

fn mark_price(bar: &Bar) -> Result<Price, MoneyError> {
    Price::from_f64(bar.close)
}

fn point(portfolio: &Portfolio, at: Timestamp) -> EquityPoint {
    EquityPoint {
        at,
        equity: portfolio.equity(),
        cash: portfolio.cash(),
        gross_exposure: portfolio.gross_exposure(),
    }
}
