//! What a strategy must beat: buying everything once, and doing nothing.
//!
//! Baselines meet the same venue at the same costs and are valued at the same closing times as the
//! strategy, so that the three series can be compared point by point.

use super::{BacktestResult, steps_within};
use crate::execution::{Fill, Order, OrderId, OrderReason, Outcome, Venue};
use crate::portfolio::{LedgerError, Portfolio};
use crate::session::{EquityPoint, SessionConfig, SetupError};
use crate::types::{Bar, Cash, Market, MoneyError, Price, SymbolId, Timestamp};

/// Puts an equal part of the initial cash into every symbol at its first open after the first
/// moment of `range`, and holds. A symbol that appears later is bought then; until then its part is
/// cash. Costs are part of each symbol's part, so nothing is borrowed.
///
/// # Errors
/// [`SetupError`] where the settings are wrong.
pub fn buy_and_hold(
    market: &Market,
    config: &SessionConfig,
    range: Option<(Timestamp, Timestamp)>,
) -> Result<BacktestResult, SetupError> {
    let mut holder = Holder::new(market, config)?;
    for (closed_at, bars) in steps_within(market, range) {
        let decided_at = *holder.decided_at.get_or_insert(closed_at);
        for (symbol, bar) in (0..).map(SymbolId).zip(&bars) {
            if let Some(bar) = bar {
                holder.meet(symbol, bar, decided_at);
            }
        }
        holder
            .result
            .equity
            .push(point(&holder.portfolio, closed_at));
    }
    holder.result.take_portfolio(&holder.portfolio);
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
    venue: Venue,
    portfolio: Portfolio,
    result: BacktestResult,
    /// The cash set aside for each symbol.
    part: Cash,
    bought: Vec<bool>,
    decided_at: Option<Timestamp>,
}

impl Holder {
    fn new(market: &Market, config: &SessionConfig) -> Result<Self, SetupError> {
        let problems = config.validate();
        if !problems.is_empty() {
            return Err(SetupError::Config(problems));
        }
        let count = market.series().len();
        let initial_cash = Cash::from_f64(config.portfolio.initial_cash)?;
        let parts = i128::try_from(count).unwrap_or(i128::MAX).max(1);
        Ok(Self {
            venue: Venue::new(&config.execution)?,
            portfolio: Portfolio::new(initial_cash, count),
            result: BacktestResult::empty(initial_cash, count),
            part: Cash::from_units(initial_cash.units() / parts),
            bought: vec![false; count],
            decided_at: None,
        })
    }

    /// Buys at the bar's open where that is due, and marks at its close.
    fn meet(&mut self, symbol: SymbolId, bar: &Bar, decided_at: Timestamp) {
        if self.bought.get(symbol.index()) == Some(&false)
            && let Some(fill) = self.purchase(symbol, bar, decided_at)
            && self.book(&fill).is_ok()
            && let Some(bought) = self.bought.get_mut(symbol.index())
        {
            *bought = true;
        }
        if let Ok(close) = mark_price(bar) {
            self.portfolio.mark(symbol, close);
        }
    }

    /// The largest purchase that the symbol's part pays for; `None` where it is not due or the
    /// part is too small.
    fn purchase(&self, symbol: SymbolId, bar: &Bar, decided_at: Timestamp) -> Option<Fill> {
        let open = Price::from_f64(bar.open).ok()?;
        let order = Order {
            id: OrderId(u64::from(symbol.0)),
            symbol,
            quantity: self.part.divided_by(open)?,
            decided_at,
            reason: OrderReason::Entry,
            model: None,
        };
        match self.venue.execute(&order, bar, Some(self.part))? {
            Outcome::Filled(fill) => Some(fill),
            Outcome::Expired { .. } => None,
        }
    }

    fn book(&mut self, fill: &Fill) -> Result<(), LedgerError> {
        self.portfolio.apply(fill)?;
        self.result.take_fill(fill);
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
