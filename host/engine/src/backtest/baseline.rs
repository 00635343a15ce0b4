//! What a strategy must beat: buying everything once, and doing nothing.
//!
//! Baselines meet the same venue at the same costs and are valued at the same closing times as the
//! strategy, so that the three series can be compared point by point.

use super::{BacktestResult, steps_within};
use crate::execution::{
    Exchange, ExchangeSetup, Fill, Order, OrderId, OrderReason, OrderTerms, Outcome, Payment,
};
use crate::portfolio::{LedgerError, Portfolio, PortfolioConfig};
use crate::ports::{Broker, BrokerTick};
use crate::session::{EquityPoint, SessionConfig, SetupError};
use crate::types::{Bar, Cash, Market, MoneyError, Price, Quantity, SymbolId, Timestamp};

/// Puts an equal part of the initial cash into every symbol at its first open after the first
/// moment of `range`, and holds. A symbol that appears later is bought then; until then its part is
/// cash. Costs are part of each symbol's part, so nothing is borrowed to buy. Where the market has
/// funding, it is paid and received like by everybody who holds.
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
        let decided_at = *holder.decided_at.get_or_insert(closed_at);
        fine_steps.within(&bars, &mut fine);
        for (symbol, bar) in (0..).map(SymbolId).zip(&bars) {
            if let Some(bar) = bar {
                let fine = fine.get(symbol.index()).copied().unwrap_or(&[]);
                holder.meet(symbol, (bar, fine), decided_at);
            }
        }
        holder
            .result
            .equity
            .push(point(&holder.portfolio, closed_at));
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
    let holder = Holder::new(market, config)?;
    let mut result = holder.result;
    for (closed_at, _) in steps_within(market, range) {
        result.equity.push(point(&holder.portfolio, closed_at));
    }
    Ok(result)
}

/// A buyer of everything.
struct Holder {
    /// One for each symbol, with its part of the cash.
    exchanges: Vec<Exchange>,
    portfolio: Portfolio,
    result: BacktestResult,
    /// The cash set aside for each symbol.
    part: Cash,
    /// The lot of each symbol.
    lots: Vec<Quantity>,
    bought: Vec<bool>,
    decided_at: Option<Timestamp>,
}

impl Holder {
    fn new(market: &Market, config: &SessionConfig) -> Result<Self, SetupError> {
        let names: Vec<&str> = market.names().collect();
        let mut problems = config.validate_for(&names);
        problems.extend(config.validate_records(market.records()));
        if !problems.is_empty() {
            return Err(SetupError::Config(problems));
        }
        let count = names.len();
        let initial_cash = Cash::from_f64(config.portfolio.initial_cash)?;
        let parts = i128::try_from(count).unwrap_or(i128::MAX).max(1);
        let part = Cash::from_units(initial_cash.units() / parts);
        // A holder of spot owes nothing, whatever the strategy may do.
        let spot = PortfolioConfig {
            allow_short: false,
            margin: None,
            ..config.portfolio.clone()
        };
        let exchange = |(at, name): (usize, &&str)| {
            Exchange::new(&ExchangeSetup {
                execution: &config.execution,
                portfolio: &spot,
                cash: part,
                names: &[*name],
                time_frame: market.time_frame(),
                records: &market.records().of_symbol(at),
            })
        };
        let exchanges = names.iter().enumerate().map(exchange);
        let exchanges = exchanges.collect::<Result<_, _>>()?;
        let lot = |name: &&str| Quantity::from_f64(config.execution.of_symbol(name).lot_size);
        Ok(Self {
            exchanges,
            portfolio: Portfolio::new(initial_cash, count),
            result: BacktestResult::empty(initial_cash, count),
            part,
            lots: names.iter().map(lot).collect::<Result<_, _>>()?,
            bought: vec![false; count],
            decided_at: None,
        })
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
        for outcome in self.outcomes(at, (bar, fine)) {
            // The exchange counts its one symbol from zero.
            let booked = match outcome {
                Outcome::Filled(fill) => self.book(&Fill { symbol, ..fill }),
                Outcome::Paid(payment) => {
                    self.pay(symbol, payment);
                    Ok(())
                }
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
            funds: None,
        };
        std::iter::from_fn(|| exchange.poll(&tick)).collect()
    }

    /// The order for what the part of the symbol at `at` pays for at the open, without costs; the
    /// exchange cuts it to what it pays for with them.
    fn purchase(&self, at: usize, bar: &Bar) -> Option<Order> {
        let open = Price::from_f64(bar.open).ok()?;
        let quantity = self.part.divided_by(open)?.toward_zero(*self.lots.get(at)?);
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
    fn pay(&mut self, symbol: SymbolId, payment: Payment) {
        let payment = Payment {
            symbol: payment.symbol.map(|_| symbol),
            ..payment
        };
        self.portfolio.pay(&payment);
        let step = self.result.equity.len();
        self.result.payments.push((step, payment));
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
