//! Fills become positions, cash and equity, exact to the last unit.
//!
//! One quote currency, any number of symbols, long and short, average-price cost basis. The
//! portfolio never rounds away a unit: what a reduction does not take from a position's cost stays
//! in it, so that at every moment
//!
//! - equity = cash + sum of (mark x quantity), and
//! - realised + unrealised - fees + funding + interest + insurance = equity - initial cash.

mod config;
mod position;
mod trades;

pub use config::{MarginConfig, MarginMode, PortfolioConfig};
pub use position::Position;
pub use trades::{Trade, TradeBook};

use crate::execution::{Fill, Payment, PaymentKind};
use crate::types::{Cash, Price, Quantity, SymbolId};

/// A broken promise of the ledger: a defect of the program, never of the market.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// A fill is of a symbol that the portfolio does not have.
    #[error("there is no symbol {0:?} in this portfolio")]
    UnknownSymbol(SymbolId),
    /// Equity is not cash plus the marked positions.
    #[error("equity is {equity}, cash and positions are {parts}")]
    Equity {
        /// What the portfolio says.
        equity: Cash,
        /// What its parts sum to.
        parts: Cash,
    },
    /// Profit, loss and fees do not explain the change of equity.
    #[error("profits, fees and payments make {explained}, equity changed by {changed}")]
    Change {
        /// Realised plus unrealised less fees, with payments.
        explained: Cash,
        /// Equity less initial cash.
        changed: Cash,
    },
    /// Something is held that was never traded.
    #[error("{symbol:?} has a position of {quantity} without a fill")]
    Unexplained {
        /// The symbol.
        symbol: SymbolId,
        /// What is held.
        quantity: Quantity,
    },
}

/// Positions and cash; see the head of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Portfolio {
    initial_cash: Cash,
    cash: Cash,
    realised: Cash,
    fees: Cash,
    slippage: Cash,
    funding: Cash,
    interest: Cash,
    insurance: Cash,
    positions: Vec<Position>,
}

impl Portfolio {
    /// Cash only, for `symbols` symbols.
    #[must_use]
    pub fn new(initial_cash: Cash, symbols: usize) -> Self {
        Self {
            initial_cash,
            cash: initial_cash,
            realised: Cash::ZERO,
            fees: Cash::ZERO,
            slippage: Cash::ZERO,
            funding: Cash::ZERO,
            interest: Cash::ZERO,
            insurance: Cash::ZERO,
            positions: vec![Position::default(); symbols],
        }
    }

    /// Books a fill and marks its position at the fill's price.
    ///
    /// # Errors
    /// [`LedgerError::UnknownSymbol`]; nothing is booked then.
    pub fn apply(&mut self, fill: &Fill) -> Result<(), LedgerError> {
        let position = self
            .positions
            .get_mut(fill.symbol.index())
            .ok_or(LedgerError::UnknownSymbol(fill.symbol))?;
        self.realised += position.apply(fill);
        self.cash -= fill.notional() + fill.fee;
        self.fees += fill.fee;
        self.slippage += fill.slippage;
        Ok(())
    }

    /// Books money that moved without a trade.
    pub fn pay(&mut self, payment: &Payment) {
        self.cash += payment.amount;
        let account = match payment.kind {
            PaymentKind::Funding => &mut self.funding,
            PaymentKind::Borrowing => &mut self.interest,
            PaymentKind::Insurance => &mut self.insurance,
        };
        *account += payment.amount;
    }

    /// Funding received; negative was paid.
    #[must_use]
    pub fn funding(&self) -> Cash {
        self.funding
    }

    /// Interest on what was borrowed; negative was paid.
    #[must_use]
    pub fn interest(&self) -> Cash {
        self.interest
    }

    /// What the exchange bore of liquidated positions.
    #[must_use]
    pub fn insurance(&self) -> Cash {
        self.insurance
    }

    /// Values the position of `symbol` at `price` from now on; does nothing for a symbol that the
    /// portfolio does not have.
    pub fn mark(&mut self, symbol: SymbolId, price: Price) {
        if let Some(position) = self.positions.get_mut(symbol.index()) {
            position.mark(price);
        }
    }

    /// Cash at the start.
    #[must_use]
    pub fn initial_cash(&self) -> Cash {
        self.initial_cash
    }

    /// Cash now; negative is borrowed.
    #[must_use]
    pub fn cash(&self) -> Cash {
        self.cash
    }

    /// Cash plus all positions at their marks.
    #[must_use]
    pub fn equity(&self) -> Cash {
        self.cash + self.positions.iter().map(Position::value).sum()
    }

    /// The positions' values without their signs.
    #[must_use]
    pub fn gross_exposure(&self) -> Cash {
        self.positions.iter().map(|one| one.value().abs()).sum()
    }

    /// Profit of what was closed, after slippage and before fees.
    #[must_use]
    pub fn realised(&self) -> Cash {
        self.realised
    }

    /// Profit of what is held, after slippage and before fees.
    #[must_use]
    pub fn unrealised(&self) -> Cash {
        self.positions.iter().map(Position::unrealised).sum()
    }

    /// Fees paid.
    #[must_use]
    pub fn fees(&self) -> Cash {
        self.fees
    }

    /// What slippage has cost; realised and unrealised profit contain it already.
    #[must_use]
    pub fn slippage(&self) -> Cash {
        self.slippage
    }

    /// All positions in the order of symbol ids, those without a quantity included.
    #[must_use]
    pub fn positions(&self) -> &[Position] {
        &self.positions
    }

    /// The position of `symbol`; `None` where the portfolio does not have it.
    #[must_use]
    pub fn position(&self, symbol: SymbolId) -> Option<&Position> {
        self.positions.get(symbol.index())
    }

    /// Checks every promise of the ledger from its parts.
    ///
    /// # Errors
    /// The first [`LedgerError`] found.
    pub fn check(&self) -> Result<(), LedgerError> {
        let mut parts = self.cash;
        for (index, position) in self.positions.iter().enumerate() {
            let quantity = position.quantity();
            if !quantity.is_zero() && position.fills() == 0 {
                let symbol = SymbolId(u32::try_from(index).unwrap_or(u32::MAX));
                return Err(LedgerError::Unexplained { symbol, quantity });
            }
            parts += position.mark_price().unwrap_or_default().times(quantity);
        }
        let equity = self.equity();
        if parts != equity {
            return Err(LedgerError::Equity { equity, parts });
        }
        let paid = self.funding + self.interest + self.insurance;
        let explained = self.realised + self.unrealised() - self.fees + paid;
        let changed = equity - self.initial_cash;
        if explained != changed {
            return Err(LedgerError::Change { explained, changed });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::execution::OrderId;
    use crate::types::Timestamp;
    use proptest::prelude::*;

    fn fill(symbol: u32, quantity: Quantity, price: Price, fee: Cash) -> Fill {
        Fill {
            order: OrderId(0),
            symbol: SymbolId(symbol),
            quantity,
            price,
            fee,
            slippage: Cash::ZERO,
            filled_at: Timestamp::from_nanos(0),
            spread: Cash::ZERO,
            remaining: Quantity::ZERO,
            is_maker: false,
        }
    }

    #[test]
    fn a_fill_of_another_market_is_refused() {
        let mut portfolio = Portfolio::new(Cash::ZERO, 1);
        let before = portfolio.clone();
        let one = fill(1, Quantity::from_units(1), Price::ZERO, Cash::ZERO);
        let refused = portfolio.apply(&one);
        assert_eq!(refused, Err(LedgerError::UnknownSymbol(SymbolId(1))));
        assert_eq!(portfolio, before);
    }

    #[test]
    fn the_check_finds_a_lost_unit() {
        let mut portfolio = Portfolio::new(Cash::from_units(1_000), 1);
        assert_eq!(portfolio.check(), Ok(()));
        portfolio.cash += Cash::from_units(1);
        assert!(matches!(portfolio.check(), Err(LedgerError::Change { .. })));
    }

    proptest! {
        #[test]
        fn no_unit_is_ever_lost(
            steps in prop::collection::vec(
                (0u32..3, -1_000_000_000i64..1_000_000_000, 1i64..50_000_000_000, 0i64..1_000),
                1..60,
            ),
        ) {
            let mut portfolio = Portfolio::new(Cash::from_units(1_000_000_007), 3);
            for (symbol, quantity, price, fee) in steps {
                let quantity = Quantity::from_units(i128::from(quantity));
                let price = Price::from_units(i128::from(price));
                let fee = Cash::from_units(i128::from(fee));
                portfolio.apply(&fill(symbol, quantity, price, fee)).unwrap();
                prop_assert_eq!(portfolio.check(), Ok(()));
                portfolio.mark(SymbolId((symbol + 1) % 3), price);
                prop_assert_eq!(portfolio.check(), Ok(()));
            }
        }
    }
}
