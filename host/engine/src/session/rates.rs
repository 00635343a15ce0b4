//! Several currencies: what one of each is worth, as it becomes known with the closes of the steps.
//!
//! A session begins at the first step at which everything that it begins with has a rate. From then
//! on a rate is the last one known; one that is older than the settings allow still values what is
//! held, and opens nothing. With one currency nothing of this happens.

use super::{Session, SessionConfig, StepError, StepInput};
use crate::journal::AccountCurrencies;
use crate::portfolio::{Currencies, Portfolio};
use crate::types::{Cash, CurrencyId, Price, Rate, SymbolId, TimeFrame, Timestamp};

/// See the head of the file.
#[derive(Debug)]
pub(super) struct RateBook {
    currencies: Currencies,
    /// The newest close of each symbol that a rate is taken from, and when it closed.
    closes: Vec<Option<(Timestamp, Price)>>,
    /// By currency; empty where there is one only.
    current: Vec<Option<Rate>>,
    /// How old a close may be to open positions by, nanoseconds.
    max_age: i64,
}

/// A rate that a session waits for, because the account begins with something of its currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwaitedRate {
    /// The currency.
    pub currency: CurrencyId,
    /// The symbols that its rate is taken from and that have no bar now.
    pub symbols: Vec<SymbolId>,
}

impl RateBook {
    pub(super) fn new(
        currencies: Currencies,
        config: &SessionConfig,
        time_frame: TimeFrame,
    ) -> Self {
        let bars = config.portfolio.max_rate_age_bars;
        let bars = bars.or(config.risk.max_data_age_bars).unwrap_or(0);
        let count = match currencies.is_single() {
            true => 0,
            false => currencies.names().len(),
        };
        Self {
            closes: vec![None; currencies.quotes().len()],
            current: vec![None; count],
            max_age: time_frame.nanos().saturating_mul(i64::from(bars)),
            currencies,
        }
    }

    pub(super) fn currencies(&self) -> &Currencies {
        &self.currencies
    }

    /// The last rates, by currency; empty where there is one only.
    pub(super) fn current(&self) -> &[Option<Rate>] {
        &self.current
    }

    /// The currencies whose rates have never come.
    pub(super) fn unknown(&self) -> Vec<CurrencyId> {
        let rates = self.currencies.ids().zip(&self.current);
        let unknown = rates.filter(|(_, rate)| rate.is_none());
        unknown.map(|(currency, _)| currency).collect()
    }

    /// What the journal's first line says; `None` where there is one only.
    pub(super) fn told(&self, symbols: &[String]) -> Option<AccountCurrencies> {
        let several = &self.currencies;
        (!several.is_single()).then(|| AccountCurrencies {
            names: several.names().to_vec(),
            balances: several.initial().to_vec(),
            rates: several.sources_in_words(symbols),
            quotes: several.quotes().to_vec(),
        })
    }

    /// Cash by currency; empty where there is one only.
    pub(super) fn balances(&self, portfolio: &Portfolio) -> Vec<Cash> {
        let books = portfolio.books().iter().take(self.current.len());
        books.map(|book| book.cash).collect()
    }

    /// Takes in the closes of a first step; what has no rate by them that the account begins with.
    /// They are forgotten again where there is any: a session begins with the closes of one step.
    fn observe_first(
        &mut self,
        closed_at: Timestamp,
        closes: &[Option<Price>],
    ) -> Vec<AwaitedRate> {
        self.observe(closed_at, closes);
        let begun = self.currencies.ids().zip(self.currencies.initial());
        let begun = begun.filter(|(_, initial)| !initial.is_zero());
        let awaited = begun.map(|(currency, _)| AwaitedRate {
            currency,
            symbols: self.missing(currency).collect(),
        });
        let awaited: Vec<_> = awaited.filter(|one| !one.symbols.is_empty()).collect();
        if !awaited.is_empty() {
            self.closes.fill(None);
            self.current.fill(None);
        }
        awaited
    }

    /// Takes in the closes of a step.
    fn observe(&mut self, closed_at: Timestamp, closes: &[Option<Price>]) {
        for (known, close) in self.closes.iter_mut().zip(closes) {
            *known = close.map(|close| (closed_at, close)).or(*known);
        }
        let closes = &self.closes;
        let close = |symbol: SymbolId| Some(closes.get(symbol.index()).copied().flatten()?.1);
        let ids = self.currencies.ids();
        for (currency, rate) in ids.zip(&mut self.current) {
            *rate = self.currencies.rate(currency, close);
        }
    }

    /// The symbols whose closes are missing for the rate of `currency`.
    fn missing(&self, currency: CurrencyId) -> impl Iterator<Item = SymbolId> {
        let sources = self.currencies.sources(currency);
        sources.filter(|symbol| self.closes.get(symbol.index()).is_none_or(Option::is_none))
    }

    /// Whether positions may be opened by the rate of `currency` at `now`.
    fn is_fresh(&self, currency: CurrencyId, now: Timestamp) -> bool {
        self.currencies.sources(currency).all(|symbol| {
            let known = self.closes.get(symbol.index()).copied().flatten();
            known.is_some_and(|(at, _)| now.nanos_since(at) <= self.max_age)
        })
    }
}

impl Session {
    /// What has no rate yet that the account begins with, even with the closes of `input`, so that
    /// no step can be taken; nothing where one can. Its closes are forgotten again: a venue that is
    /// asked from the first step on does not know them either.
    ///
    /// # Errors
    /// [`StepError::Input`] where the input is wrong.
    pub fn awaits_rates(&mut self, input: &StepInput<'_>) -> Result<Vec<AwaitedRate>, StepError> {
        if self.closed_at.is_some() || self.rates.current.is_empty() {
            return Ok(Vec::new());
        }
        self.check(input)?;
        let closes = &self.buffers.closes;
        Ok(self.rates.observe_first(input.closed_at, closes))
    }

    /// The names of `symbols`.
    pub(crate) fn named(&self, symbols: impl IntoIterator<Item = SymbolId>) -> Vec<&str> {
        let names = symbols.into_iter().map(|symbol| {
            let name = self.symbols.get(symbol.index());
            name.map_or("?", String::as_str)
        });
        names.collect()
    }

    /// Takes in the closes of the first step, and refuses to begin an account without a value.
    pub(super) fn check_rates(&mut self, input: &StepInput<'_>) -> Result<(), StepError> {
        if self.closed_at.is_some() || self.rates.current.is_empty() {
            return Ok(());
        }
        let closes = &self.buffers.closes;
        let awaited = self.rates.observe_first(input.closed_at, closes);
        if awaited.is_empty() {
            return Ok(());
        }
        let problems = awaited.into_iter().map(|one| {
            let name = self.rates.currencies.name(one.currency);
            let symbols = self.named(one.symbols).join(" and ");
            format!(
                "the account begins with {name}, whose rate is not known yet: {symbols} has no \
                 bar; begin later, or set `portfolio.rates.{name}` to a number"
            )
        });
        Err(StepError::Input {
            closed_at: input.closed_at,
            problems: problems.collect(),
        })
    }

    /// Values what the account begins with; equity and the breakers begin there.
    pub(super) fn begin_account(&mut self) {
        if !self.rates.current.is_empty() {
            self.portfolio.begin(&self.rates.current);
            let initial = self.portfolio.initial_cash();
            self.desk.breaker = self.desk.breaker.armed_at(initial);
        }
    }

    /// Values currencies by the closes of this step.
    pub(super) fn revalue(&mut self) {
        let Some(closed_at) = self.closed_at.filter(|_| !self.rates.current.is_empty()) else {
            return;
        };
        self.rates.observe(closed_at, &self.buffers.closes);
        self.portfolio.revalue(&self.rates.current);
    }

    /// The rate of what `symbol` is quoted in; `None` where that, or the rate of anything that the
    /// account has, is not known or too old to open a position by.
    pub(super) fn opening_rate(&self, symbol: SymbolId, now: Timestamp) -> Option<Rate> {
        if self.rates.current.is_empty() {
            return Some(Rate::ONE);
        }
        let own = self.rates.currencies.quote(symbol);
        let mut counted = self.rates.currencies.ids();
        let all_fresh = counted.all(|currency| {
            let counts = currency == own || self.portfolio.has(currency);
            !counts || self.rates.is_fresh(currency, now)
        });
        let rate = self.rates.current.get(own.index()).copied().flatten();
        rate.filter(|_| all_fresh)
    }
}
