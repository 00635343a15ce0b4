//! The currencies of a run: what each symbol is quoted in, what the account begins with, and what
//! each currency's rate is taken from.
//!
//! Settings and names become [`Currencies`] once, with every problem told at once. A rate is fixed,
//! or the close of a symbol that links the currency with the reporting one, or those of two symbols
//! by one currency between. Nothing here knows the time: callers say which closes count.

use std::collections::BTreeSet;

use super::{InitialCash, PortfolioConfig, RateConfig};
use crate::execution::ExecutionConfig;
use crate::problem::{Problem, Problems};
use crate::types::{Cash, CurrencyId, Price, Rate, SymbolId, pair_of};

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

/// What a symbol trades and is quoted in.
#[derive(Debug, Clone, Copy)]
struct Pair<'a> {
    base: Option<&'a str>,
    quote: Option<&'a str>,
}

/// Turns settings and names into currencies.
struct Resolver<'a> {
    portfolio: &'a PortfolioConfig,
    execution: &'a ExecutionConfig,
    symbols: &'a [&'a str],
    pairs: Vec<Pair<'a>>,
    /// The reporting currency first.
    names: Vec<&'a str>,
}

impl<'a> Resolver<'a> {
    fn new(
        portfolio: &'a PortfolioConfig,
        execution: &'a ExecutionConfig,
        symbols: &'a [&'a str],
        problems: &mut Problems,
    ) -> Option<Self> {
        let pair = |name: &&'a str| {
            let known = pair_of(name);
            let own = execution.symbols.get(*name);
            let base = own.and_then(|own| own.base.as_deref());
            let quote = own.and_then(|own| own.quote.as_deref());
            Pair {
                base: base.or(known.map(|pair| pair.0)),
                quote: quote.or(known.map(|pair| pair.1)),
            }
        };
        let pairs: Vec<Pair<'a>> = symbols.iter().map(pair).collect();
        let quotes: BTreeSet<&str> = pairs.iter().filter_map(|pair| pair.quote).collect();
        let balances: BTreeSet<&str> = match &portfolio.initial_cash {
            InitialCash::One(_) => BTreeSet::new(),
            InitialCash::Each(amounts) => amounts.keys().map(String::as_str).collect(),
        };
        let all: BTreeSet<&str> = quotes.union(&balances).copied().collect();
        let set = portfolio.currency.as_deref();
        let Some(reporting) = set.or_else(|| only(&all)) else {
            problems.require(
                false,
                "portfolio.currency",
                format!(
                    "is not set, and there are several currencies ({}); say which one equity, \
                     risk and the report count in, or what a symbol is really quoted in with \
                     `execution.symbols.NAME.quote`",
                    quoted_in_words(&all, symbols.iter().zip(&pairs))
                ),
            );
            check_pairs(symbols.iter().zip(&pairs), problems);
            check_unknown(symbols.iter().zip(&pairs), problems);
            return None;
        };
        let mut names = vec![reporting];
        names.extend(all.into_iter().filter(|name| *name != reporting));
        Some(Self {
            portfolio,
            execution,
            symbols,
            pairs,
            names,
        })
    }

    fn resolve(&self, problems: &mut Problems) -> Option<Currencies> {
        self.check_symbols(problems);
        self.check_rates(problems);
        let ways = self.names.iter().enumerate().map(|(at, name)| match at {
            0 => Some(Vec::new()),
            _ => match self.way(name) {
                Ok(way) => Some(way),
                Err(words) => {
                    problems.require(false, &format!("portfolio.rates.{name}"), words);
                    None
                }
            },
        });
        let ways: Option<Vec<_>> = ways.collect::<Vec<_>>().into_iter().collect();
        let initial: Option<Vec<Cash>> = self
            .names
            .iter()
            .map(|name| Cash::from_f64(self.balance(name)).ok())
            .collect();
        self.check_spot(problems);
        let quote = |pair: &Pair<'_>| {
            let at = self.names.iter().position(|name| Some(*name) == pair.quote);
            CurrencyId(at.and_then(|at| u16::try_from(at).ok()).unwrap_or(0))
        };
        Some(Currencies {
            names: self.names.iter().map(|name| (*name).to_owned()).collect(),
            quotes: self.pairs.iter().map(quote).collect(),
            initial: initial?,
            ways: ways?,
        })
    }

    fn reporting(&self) -> &'a str {
        self.names.first().copied().unwrap_or(UNNAMED)
    }

    fn is_single(&self) -> bool {
        self.names.len() == 1
    }

    /// Cash at the start.
    fn balance(&self, name: &str) -> f64 {
        match &self.portfolio.initial_cash {
            InitialCash::One(amount) if name == self.reporting() => *amount,
            InitialCash::One(_) => 0.0,
            InitialCash::Each(amounts) => amounts.get(name).copied().unwrap_or(0.0),
        }
    }

    /// Symbols whose quote nobody knows, and sizes that would be of another currency.
    fn check_symbols(&self, problems: &mut Problems) {
        let named = || self.symbols.iter().zip(&self.pairs);
        check_pairs(named(), problems);
        if self.is_single() {
            return;
        }
        check_unknown(named(), problems);
        let foreign: Vec<&str> = named()
            .filter(|(name, pair)| {
                let own = self.execution.symbols.get(**name);
                let has_own = own.is_some_and(|own| own.min_notional.is_some());
                pair.quote.is_some_and(|quote| quote != self.reporting()) && !has_own
            })
            .map(|(name, _)| *name)
            .collect();
        problems.require(
            self.execution.min_notional.abs() == 0.0 || foreign.is_empty(),
            "execution.min_notional",
            format!(
                "is {} of whatever a symbol is quoted in; {} are not quoted in {}: set \
                 `execution.symbols.NAME.min_notional` of each",
                self.execution.min_notional,
                foreign.join(", "),
                self.reporting()
            ),
        );
    }

    /// Rates of what is no currency of the run, and of the reporting one.
    fn check_rates(&self, problems: &mut Problems) {
        for name in self.portfolio.rates.keys() {
            let key = format!("portfolio.rates.{name}");
            let is_known = self.names.contains(&name.as_str());
            problems.require(
                is_known,
                &key,
                format!(
                    "is the rate of no currency of the run; it has {}",
                    self.names.join(", ")
                ),
            );
            problems.require(
                !is_known || *name != self.reporting(),
                &key,
                "is the rate of the reporting currency, which is 1; leave it out",
            );
        }
    }

    /// Purchases that a spot account could never pay for.
    fn check_spot(&self, problems: &mut Problems) {
        if self.portfolio.allow_short || self.is_single() {
            return;
        }
        for name in &self.names {
            let quoted = self.symbols.iter().zip(&self.pairs);
            let quoted: Vec<&str> = quoted
                .filter(|(_, pair)| pair.quote == Some(name))
                .map(|(symbol, _)| *symbol)
                .collect();
            problems.require(
                quoted.is_empty() || self.balance(name).abs() > 0.0,
                &format!("portfolio.initial_cash.{name}"),
                format!(
                    "is nothing, so this account can never buy {}: nothing is converted by \
                     itself. Give it an amount, or set `portfolio.allow_short` for an account \
                     that may borrow",
                    quoted.join(", ")
                ),
            );
        }
    }

    /// The symbols that link two currencies, as steps from the first to the second.
    fn links(&self, from: &str, to: &str) -> Vec<(Leg, &'a str)> {
        let symbols = (0..)
            .map(SymbolId)
            .zip(self.symbols.iter().zip(&self.pairs));
        let links = symbols.filter_map(|(symbol, (name, pair))| {
            let is_inverted = match (pair.base?, pair.quote?) {
                (base, quote) if base == from && quote == to => false,
                (base, quote) if base == to && quote == from => true,
                _ => return None,
            };
            let leg = Leg::Close {
                symbol,
                is_inverted,
            };
            Some((leg, *name))
        });
        links.collect()
    }

    /// What lies on the other side of the symbol called `name`, seen from `from`.
    fn across(&self, name: &str, from: &str) -> Result<&'a str, String> {
        let at = self.symbols.iter().position(|symbol| *symbol == name);
        let pair = at.and_then(|at| self.pairs.get(at)).ok_or_else(|| {
            format!(
                "is to come from {name}, which is no symbol of the run; it has {}",
                self.symbols.join(", ")
            )
        })?;
        match (pair.base, pair.quote) {
            (Some(base), Some(quote)) if base == from => Ok(quote),
            (Some(base), Some(quote)) if quote == from => Ok(base),
            _ => Err(format!(
                "is to come from {name}, which does not trade {from}"
            )),
        }
    }

    /// The way from `name` to the reporting currency.
    fn way(&self, name: &str) -> Result<Vec<Leg>, String> {
        let reporting = self.reporting();
        if let Some(RateConfig::Symbol(symbol)) = self.portfolio.rates.get(name) {
            let other = self.across(symbol, name)?;
            let links = self.links(name, other).into_iter();
            let mut own = links.filter(|(_, link)| link == symbol).map(|(leg, _)| leg);
            let first = own.next().ok_or_else(|| "has no symbol".to_owned())?;
            if other == reporting {
                return Ok(vec![first]);
            }
            let next = self.step(other)?.ok_or_else(|| {
                format!(
                    "is to come from {symbol}, which leads to {other}, and {other} has no rate in \
                     {reporting} of its own: a way has one currency between at most"
                )
            })?;
            return Ok(vec![first, next]);
        }
        if let Some(leg) = self.step(name)? {
            return Ok(vec![leg]);
        }
        let mut hops = Vec::new();
        for symbol in self.symbols {
            let Ok(between) = self.across(symbol, name) else {
                continue;
            };
            let Ok(Some(next)) = self.step(between) else {
                continue;
            };
            let links = self.links(name, between).into_iter();
            hops.extend(
                links
                    .filter(|(_, link)| link == symbol)
                    .map(|(leg, link)| (vec![leg, next], format!("{link} and {between}"))),
            );
        }
        let words: Vec<String> = hops.iter().map(|(_, words)| words.clone()).collect();
        match hops.pop() {
            Some((way, _)) if hops.is_empty() => Ok(way),
            Some(_) => Err(format!(
                "is not set, and several ways lead to {reporting} (by {}); name the symbol that \
                 counts, or a number",
                words.join("; by ")
            )),
            None => Err(format!(
                "is missing: no symbol of the run links {name} with {reporting}, directly or by \
                 one currency between; set a number ({reporting} for one {name}), or add such a \
                 symbol to `data.symbols`",
            )),
        }
    }

    /// One step from `name` to the reporting currency, where there is one.
    fn step(&self, name: &str) -> Result<Option<Leg>, String> {
        let reporting = self.reporting();
        let mut links = self.links(name, reporting);
        match self.portfolio.rates.get(name) {
            Some(RateConfig::Fixed(rate)) => {
                let known = Rate::of_number(*rate);
                let known = known.ok_or_else(|| format!("is {rate}, which is no rate"))?;
                return Ok(Some(Leg::Fixed(known)));
            }
            Some(RateConfig::Symbol(symbol)) => {
                links.retain(|(_, link)| link == symbol);
            }
            None => {}
        }
        let names: Vec<&str> = links.iter().map(|(_, link)| *link).collect();
        match links[..] {
            [] => Ok(None),
            [(leg, _)] => Ok(Some(leg)),
            _ => Err(format!(
                "is not set, and several symbols say what {name} is worth in {reporting} ({}); \
                 name the one that counts",
                names.join(", ")
            )),
        }
    }
}

/// Symbols that are quoted in what they trade.
fn check_pairs<'p, 'a: 'p>(
    named: impl Iterator<Item = (&'p &'a str, &'p Pair<'a>)>,
    problems: &mut Problems,
) {
    for (name, pair) in named {
        problems.require(
            pair.base.is_none() || pair.base != pair.quote,
            &format!("execution.symbols.{name}"),
            format!(
                "has {} as its base and as its quote",
                pair.base.unwrap_or("")
            ),
        );
    }
}

/// Symbols of which nobody knows what they are quoted in.
fn check_unknown<'p, 'a: 'p>(
    named: impl Iterator<Item = (&'p &'a str, &'p Pair<'a>)>,
    problems: &mut Problems,
) {
    let unknown: Vec<&str> = named
        .filter(|(_, pair)| pair.quote.is_none())
        .map(|(name, _)| *name)
        .collect();
    problems.require(
        unknown.is_empty(),
        "execution.symbols",
        format!(
            "do not say what {} trade and are quoted in, which their names do not tell; set \
             `base` and `quote` of each, such as `execution.symbols.{}.quote`",
            unknown.join(", "),
            unknown.first().unwrap_or(&"NAME")
        ),
    );
}

/// Currencies with the symbols that are quoted in each: `EUR of ETHEUR, USDT of BTCUSDT`.
fn quoted_in_words<'p, 'a: 'p>(
    all: &BTreeSet<&str>,
    named: impl Iterator<Item = (&'p &'a str, &'p Pair<'a>)> + Clone,
) -> String {
    let words = all.iter().map(|currency| {
        let own = named
            .clone()
            .filter(|(_, pair)| pair.quote == Some(currency));
        let own: Vec<&str> = own.map(|(name, _)| *name).collect();
        match own.is_empty() {
            true => format!("{currency} of `initial_cash`"),
            false => format!("{currency} of {}", own.join(" and ")),
        }
    });
    words.collect::<Vec<_>>().join(", ")
}

/// The only one, or the name for what has none.
fn only<'a>(all: &BTreeSet<&'a str>) -> Option<&'a str> {
    match all.len() {
        0 => Some(UNNAMED),
        1 => all.first().copied(),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
