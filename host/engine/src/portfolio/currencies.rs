//! The currencies of a run: what each symbol is quoted in, what the account begins with, and what
//! each currency's rate is taken from.
//!
//! Settings and names become [`Currencies`] once, in `resolve`. A rate is fixed, or the close of a
//! symbol that links the currency with the reporting one, or those of two symbols by one currency
//! between. Nothing here knows the time: callers say which closes count.

mod resolve;

use std::collections::BTreeSet;

use super::PortfolioConfig;
use crate::execution::ExecutionConfig;
use crate::problem::{Problem, Problems};
use crate::types::{Cash, CurrencyId, Price, Rate, SymbolId};
use resolve::Resolver;

/// What the only currency is called where no symbol and no setting says.
const UNNAMED: &str = "quote";

/// One step from a currency to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leg {
    Fixed(Rate),
    /// The close of a symbol, turned round where it is quoted in the currency that is left.
    Close {
        symbol: SymbolId,
        is_inverted: bool,
    },
}

/// See the head of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Currencies {
    /// The reporting currency, then the others by name.
    names: Vec<String>,
    /// What each symbol is quoted in.
    quotes: Vec<CurrencyId>,
    initial: Vec<Cash>,
    /// The way from each currency to the reporting one.
    ways: Vec<Vec<Leg>>,
}

impl Currencies {
    /// One currency, for `symbols` symbols.
    #[must_use]
    pub fn single(name: &str, initial: Cash, symbols: usize) -> Self {
        Self {
            names: vec![name.to_owned()],
            quotes: vec![CurrencyId::REPORTING; symbols],
            initial: vec![initial],
            ways: vec![Vec::new()],
        }
    }

    /// A currency that one symbol is quoted in, with a rate that never changes, beside the
    /// reporting currency, of which there is nothing.
    #[must_use]
    pub fn at_fixed_rate(name: &str, initial: Cash, rate: Rate) -> Self {
        Self {
            names: vec![UNNAMED.to_owned(), name.to_owned()],
            quotes: vec![CurrencyId(1)],
            initial: vec![Cash::ZERO, initial],
            ways: vec![Vec::new(), vec![Leg::Fixed(rate)]],
        }
    }

    /// Those that a journal names. They have no rates of their own: the journal tells them.
    #[must_use]
    pub fn recorded(names: Vec<String>, quotes: Vec<CurrencyId>, initial: Vec<Cash>) -> Self {
        Self {
            ways: vec![Vec::new(); names.len()],
            names,
            quotes,
            initial,
        }
    }

    /// Those of a run of the symbols called `names`.
    ///
    /// # Errors
    /// Every problem, with whole keys. What is wrong with the settings by themselves,
    /// [`PortfolioConfig::validate`] says.
    pub fn resolve(
        portfolio: &PortfolioConfig,
        execution: &ExecutionConfig,
        names: &[&str],
    ) -> Result<Self, Vec<Problem>> {
        let mut problems = Problems::default();
        let resolver = Resolver::new(portfolio, execution, names, &mut problems);
        let found = resolver.and_then(|one| one.resolve(&mut problems));
        let problems = problems.into_vec();
        match found {
            Some(found) if problems.is_empty() => Ok(found),
            _ => Err(problems),
        }
    }

    /// The same currencies with other balances at the start, the reporting currency's first; those
    /// that are left out are zero.
    #[must_use]
    pub fn with_initial(&self, balances: &[Cash]) -> Self {
        let mut initial = balances.to_vec();
        initial.resize(self.names.len(), Cash::ZERO);
        Self {
            initial,
            ..self.clone()
        }
    }

    /// Whether there is one only, so that nothing has a rate.
    #[must_use]
    pub fn is_single(&self) -> bool {
        self.names.len() == 1
    }

    /// Names, the reporting currency's first.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The name of `currency`; that of the reporting one where it is none of these.
    #[must_use]
    pub fn name(&self, currency: CurrencyId) -> &str {
        let own = self.names.get(currency.index()).or(self.names.first());
        own.map_or(UNNAMED, String::as_str)
    }

    /// What each symbol is quoted in.
    #[must_use]
    pub fn quotes(&self) -> &[CurrencyId] {
        &self.quotes
    }

    /// What `symbol` is quoted in.
    #[must_use]
    pub fn quote(&self, symbol: SymbolId) -> CurrencyId {
        let own = self.quotes.get(symbol.index());
        own.copied().unwrap_or(CurrencyId::REPORTING)
    }

    /// Cash at the start by currency.
    #[must_use]
    pub fn initial(&self) -> &[Cash] {
        &self.initial
    }

    /// All currencies.
    pub fn ids(&self) -> impl Iterator<Item = CurrencyId> + use<> {
        let count = u16::try_from(self.names.len()).unwrap_or(u16::MAX);
        (0..count).map(CurrencyId)
    }

    /// The symbols that rates are taken from, each once.
    #[must_use]
    pub fn rate_symbols(&self) -> Vec<SymbolId> {
        let legs = self.ways.iter().flatten();
        let symbols = legs.filter_map(|leg| match leg {
            Leg::Close { symbol, .. } => Some(*symbol),
            Leg::Fixed(_) => None,
        });
        symbols.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// What the rate of `currency` is taken from: the symbols, none where it is fixed.
    pub fn sources(&self, currency: CurrencyId) -> impl Iterator<Item = SymbolId> {
        let way = self.ways.get(currency.index()).into_iter().flatten();
        way.filter_map(|leg| match leg {
            Leg::Close { symbol, .. } => Some(*symbol),
            Leg::Fixed(_) => None,
        })
    }

    /// The rate of `currency` in the reporting one by these closes; `None` where one that it needs
    /// is not known.
    pub fn rate(
        &self,
        currency: CurrencyId,
        mut close: impl FnMut(SymbolId) -> Option<Price>,
    ) -> Option<Rate> {
        let mut whole = Rate::ONE;
        for leg in self.ways.get(currency.index())? {
            let rate = match *leg {
                Leg::Fixed(rate) => rate,
                Leg::Close {
                    symbol,
                    is_inverted,
                } => {
                    let rate = Rate::of_price(close(symbol)?)?;
                    if is_inverted { rate.inverted() } else { rate }
                }
            };
            whole = whole.then(rate);
        }
        Some(whole)
    }

    /// What each rate is taken from, in words, for journals and reports.
    #[must_use]
    pub fn sources_in_words(&self, symbols: &[String]) -> Vec<String> {
        let name = |symbol: SymbolId| symbols.get(symbol.index()).map_or("?", String::as_str);
        let word = |leg: &Leg| match *leg {
            Leg::Fixed(rate) => format!("fixed {}", rate.to_f64()),
            Leg::Close {
                symbol,
                is_inverted: false,
            } => name(symbol).to_owned(),
            Leg::Close { symbol, .. } => format!("1/{}", name(symbol)),
        };
        let ways = self.ways.iter();
        ways.map(|way| match &way[..] {
            [] => "1".to_owned(),
            legs => legs.iter().map(word).collect::<Vec<_>>().join(" x "),
        })
        .collect()
    }
}

#[cfg(test)]
mod tests;
