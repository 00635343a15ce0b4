//! Fills become positions, cash and equity, exact to the last unit.
//!
//! Any number of symbols and currencies, long and short, average-price cost basis. Everything of a
//! symbol is booked in the currency that it is quoted in. The portfolio never rounds away a unit:
//! what a reduction does not take from a position's cost stays in it, so that at every moment
//!
//! - in each currency, cash + sum of (mark x quantity) - initial cash
//!   = realised + unrealised - fees + funding + interest + insurance, and
//! - equity = sum over currencies of (cash + positions' values) x rate, each to the nearest unit of
//!   the reporting currency.

mod config;
mod currencies;
mod position;
mod trades;

pub use config::{InitialCash, MarginConfig, MarginMode, PortfolioConfig, RateConfig};
pub use currencies::Currencies;
pub use position::Position;
pub use trades::{Trade, TradeBook};

use crate::execution::{Fill, Payment, PaymentKind};
use crate::types::{Cash, CurrencyId, Price, Quantity, Rate, SymbolId};

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
    /// A fill or a payment is in a currency that its symbol is not quoted in, or that there is not.
    #[error("an amount is in currency {0:?}, which is not that of its symbol")]
    Currency(CurrencyId),
    /// Profit, loss and fees do not explain the change of what there is of a currency.
    #[error(
        "profits, fees and payments in {currency:?} make {explained}, what there is of it changed \
         by {changed}"
    )]
    Change {
        /// The currency.
        currency: CurrencyId,
        /// Realised plus unrealised less fees, with payments.
        explained: Cash,
        /// Cash and positions less the initial cash.
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

/// What was booked in one currency, in its own units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CurrencyBook {
    /// Cash at the start.
    pub initial: Cash,
    /// Cash now; negative is borrowed.
    pub cash: Cash,
    /// Profit of what was closed, after slippage and before fees.
    pub realised: Cash,
    /// Fees paid.
    pub fees: Cash,
    /// What slippage has cost; realised and unrealised profit contain it already.
    pub slippage: Cash,
    /// Funding received; negative was paid.
    pub funding: Cash,
    /// Interest on what was borrowed; negative was paid.
    pub interest: Cash,
    /// What the exchange bore of liquidated positions.
    pub insurance: Cash,
    /// The last rate in the reporting currency; `None` before there is one.
    pub rate: Option<Rate>,
}

impl CurrencyBook {
    /// What an amount of it is worth in the reporting currency; nothing before there is a rate.
    #[must_use]
    pub fn worth(&self, amount: Cash) -> Cash {
        self.rate.map_or(Cash::ZERO, |rate| rate.of(amount))
    }
}

/// Positions and cash; see the head of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Portfolio {
    /// What the initial cash was worth when the account began.
    initial_cash: Cash,
    /// By currency; the reporting currency is the first.
    books: Vec<CurrencyBook>,
    /// What each symbol is quoted in.
    quotes: Vec<CurrencyId>,
    positions: Vec<Position>,
}

impl Portfolio {
    /// Cash of one currency only, for `symbols` symbols.
    #[must_use]
    pub fn new(initial_cash: Cash, symbols: usize) -> Self {
        Self::with(&Currencies::single("", initial_cash, symbols))
    }

    /// Cash only. Where there are several currencies, the account is worth nothing but its
    /// reporting currency until [`begin`](Self::begin) knows the rates.
    #[must_use]
    pub fn with(currencies: &Currencies) -> Self {
        let mut books: Vec<CurrencyBook> = currencies
            .initial()
            .iter()
            .map(|initial| CurrencyBook {
                initial: *initial,
                cash: *initial,
                ..CurrencyBook::default()
            })
            .collect();
        if let Some(first) = books.first_mut() {
            first.rate = Some(Rate::ONE);
        }
        let quotes = currencies.quotes().to_vec();
        let mut one = Self {
            initial_cash: Cash::ZERO,
            books,
            positions: vec![Position::default(); quotes.len()],
            quotes,
        };
        one.initial_cash = one.equity();
        one
    }

    /// Takes the first rates: what the initial cash is worth by them is where equity begins.
    pub fn begin(&mut self, rates: &[Option<Rate>]) {
        self.revalue(rates);
        self.initial_cash = self.equity();
    }

    /// Values currencies by these rates from now on; one that is not known keeps its last.
    pub fn revalue(&mut self, rates: &[Option<Rate>]) {
        for (book, rate) in self.books.iter_mut().zip(rates) {
            book.rate = rate.or(book.rate);
        }
    }

    /// Books a fill and marks its position at the fill's price.
    ///
    /// # Errors
    /// [`LedgerError::UnknownSymbol`] and [`LedgerError::Currency`]; nothing is booked then.
    pub fn apply(&mut self, fill: &Fill) -> Result<(), LedgerError> {
        let at = fill.symbol.index();
        let (Some(position), Some(quote)) = (self.positions.get_mut(at), self.quotes.get(at))
        else {
            return Err(LedgerError::UnknownSymbol(fill.symbol));
        };
        let book = self.books.get_mut(quote.index());
        let Some(book) = book.filter(|_| *quote == fill.currency) else {
            return Err(LedgerError::Currency(fill.currency));
        };
        book.realised += position.apply(fill);
        book.cash -= fill.notional() + fill.fee;
        book.fees += fill.fee;
        book.slippage += fill.slippage;
        Ok(())
    }

    /// Books money that moved without a trade.
    ///
    /// # Errors
    /// [`LedgerError::Currency`]; nothing is booked then.
    pub fn pay(&mut self, payment: &Payment) -> Result<(), LedgerError> {
        let Some(book) = self.books.get_mut(payment.currency.index()) else {
            return Err(LedgerError::Currency(payment.currency));
        };
        book.cash += payment.amount;
        let account = match payment.kind {
            PaymentKind::Funding => &mut book.funding,
            PaymentKind::Borrowing => &mut book.interest,
            PaymentKind::Insurance => &mut book.insurance,
        };
        *account += payment.amount;
        Ok(())
    }

    /// What was booked in each currency, the reporting one first.
    #[must_use]
    pub fn books(&self) -> &[CurrencyBook] {
        &self.books
    }

    /// What an amount of `currency` is worth in the reporting one; nothing before there is a rate.
    #[must_use]
    pub fn worth(&self, currency: CurrencyId, amount: Cash) -> Cash {
        if currency.is_reporting() {
            return amount;
        }
        let book = self.books.get(currency.index());
        book.map_or(Cash::ZERO, |book| book.worth(amount))
    }

    /// What an amount in the currency of `symbol` is worth in the reporting one.
    #[must_use]
    pub fn worth_of(&self, symbol: SymbolId, amount: Cash) -> Cash {
        self.worth(self.quote(symbol), amount)
    }

    fn quote(&self, symbol: SymbolId) -> CurrencyId {
        let quote = self.quotes.get(symbol.index());
        quote.copied().unwrap_or(CurrencyId::REPORTING)
    }

    /// The sum over currencies of what `of` makes of each, at its rate.
    fn sum(&self, of: impl Fn(CurrencyId, &CurrencyBook) -> Cash) -> Cash {
        let books = (0..).map(CurrencyId).zip(&self.books);
        books
            .map(|(currency, book)| match currency.is_reporting() {
                true => of(currency, book),
                false => book.worth(of(currency, book)),
            })
            .sum()
    }

    /// The positions that are quoted in `currency`.
    fn positions_in(&self, currency: CurrencyId) -> impl Iterator<Item = &Position> {
        let quoted = self.positions.iter().zip(&self.quotes);
        quoted
            .filter(move |(_, quote)| **quote == currency)
            .map(|(position, _)| position)
    }

    /// Cash and positions in one currency, in its own units.
    #[must_use]
    pub fn holdings(&self, currency: CurrencyId) -> Cash {
        let cash = self.books.get(currency.index()).map(|book| book.cash);
        let values = self.positions_in(currency).map(Position::value);
        cash.unwrap_or_default() + values.sum()
    }

    /// Whether there is cash or a position in `currency`, though both may come to nothing.
    #[must_use]
    pub fn has(&self, currency: CurrencyId) -> bool {
        let book = self.books.get(currency.index());
        let mut positions = self.positions_in(currency);
        book.is_some_and(|book| !book.cash.is_zero())
            || positions.any(|one| !one.quantity().is_zero())
    }

    /// Funding received, at the last rates; negative was paid.
    #[must_use]
    pub fn funding(&self) -> Cash {
        self.sum(|_, book| book.funding)
    }

    /// Interest on what was borrowed, at the last rates; negative was paid.
    #[must_use]
    pub fn interest(&self) -> Cash {
        self.sum(|_, book| book.interest)
    }

    /// What the exchange bore of liquidated positions, at the last rates.
    #[must_use]
    pub fn insurance(&self) -> Cash {
        self.sum(|_, book| book.insurance)
    }

    /// Values the position of `symbol` at `price` from now on; does nothing for a symbol that the
    /// portfolio does not have.
    pub fn mark(&mut self, symbol: SymbolId, price: Price) {
        if let Some(position) = self.positions.get_mut(symbol.index()) {
            position.mark(price);
        }
    }

    /// What the cash at the start was worth, in the reporting currency.
    #[must_use]
    pub fn initial_cash(&self) -> Cash {
        self.initial_cash
    }

    /// Cash now, of all currencies at the last rates; negative is borrowed.
    #[must_use]
    pub fn cash(&self) -> Cash {
        self.sum(|_, book| book.cash)
    }

    /// Cash plus all positions at their marks, at the last rates.
    #[must_use]
    pub fn equity(&self) -> Cash {
        if let [only] = &self.books[..] {
            return only.cash + self.positions.iter().map(Position::value).sum();
        }
        self.sum(|currency, _| self.holdings(currency))
    }

    /// The positions' values without their signs.
    #[must_use]
    pub fn gross_exposure(&self) -> Cash {
        if self.books.len() == 1 {
            return self.positions.iter().map(|one| one.value().abs()).sum();
        }
        self.sum(|currency, _| {
            self.positions_in(currency)
                .map(|one| one.value().abs())
                .sum()
        })
    }

    /// Profit of what was closed, after slippage and before fees, at the last rates.
    #[must_use]
    pub fn realised(&self) -> Cash {
        self.sum(|_, book| book.realised)
    }

    /// Profit of what is held, after slippage and before fees, at the last rates.
    #[must_use]
    pub fn unrealised(&self) -> Cash {
        self.sum(|currency, _| self.positions_in(currency).map(Position::unrealised).sum())
    }

    /// Fees paid, at the last rates.
    #[must_use]
    pub fn fees(&self) -> Cash {
        self.sum(|_, book| book.fees)
    }

    /// What slippage has cost, at the last rates; realised and unrealised profit contain it
    /// already.
    #[must_use]
    pub fn slippage(&self) -> Cash {
        self.sum(|_, book| book.slippage)
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
        let mut parts: Vec<Cash> = self.books.iter().map(|book| book.cash).collect();
        for (index, position) in self.positions.iter().enumerate() {
            let quantity = position.quantity();
            let symbol = SymbolId(u32::try_from(index).unwrap_or(u32::MAX));
            if !quantity.is_zero() && position.fills() == 0 {
                return Err(LedgerError::Unexplained { symbol, quantity });
            }
            let value = position.mark_price().unwrap_or_default().times(quantity);
            if let Some(part) = parts.get_mut(self.quote(symbol).index()) {
                *part += value;
            }
        }
        let equity = self.equity();
        let currencies = || (0..).map(CurrencyId);
        let whole = currencies().zip(&parts);
        let whole = whole
            .map(|(currency, part)| self.worth(currency, *part))
            .sum();
        if whole != equity {
            return Err(LedgerError::Equity {
                equity,
                parts: whole,
            });
        }
        for (currency, (book, part)) in currencies().zip(self.books.iter().zip(parts)) {
            let unrealised: Cash = self.positions_in(currency).map(Position::unrealised).sum();
            let paid = book.funding + book.interest + book.insurance;
            let explained = book.realised + unrealised - book.fees + paid;
            let changed = part - book.initial;
            if explained != changed {
                return Err(LedgerError::Change {
                    currency,
                    explained,
                    changed,
                });
            }
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
            currency: CurrencyId::REPORTING,
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
        portfolio.books[0].cash += Cash::from_units(1);
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
