//! From settings and names of symbols to currencies and their ways to the reporting one, with
//! everything that is wrong told at once. Nothing is priced here.

use std::collections::BTreeSet;

use super::{Currencies, Leg, UNNAMED};
use crate::execution::ExecutionConfig;
use crate::portfolio::{InitialCash, PortfolioConfig, RateConfig};
use crate::problem::Problems;
use crate::types::{Cash, CurrencyId, Rate, SymbolId, pair_of};

/// What a symbol trades and is quoted in.
#[derive(Debug, Clone, Copy)]
struct Pair<'a> {
    base: Option<&'a str>,
    quote: Option<&'a str>,
}

/// Turns settings and names into currencies.
pub(super) struct Resolver<'a> {
    portfolio: &'a PortfolioConfig,
    execution: &'a ExecutionConfig,
    symbols: &'a [&'a str],
    pairs: Vec<Pair<'a>>,
    /// The reporting currency first.
    names: Vec<&'a str>,
}

impl<'a> Resolver<'a> {
    pub(super) fn new(
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

    pub(super) fn resolve(&self, problems: &mut Problems) -> Option<Currencies> {
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

    /// Whether the way of a currency of the run may lead by `name`, which then has a rate though
    /// nothing is quoted in it.
    fn is_between(&self, name: &str) -> bool {
        let mut others = self.names.iter().skip(1);
        others.any(|other| {
            let leads_there = |symbol: &&str| self.across(symbol, other) == Ok(name);
            self.step(other) == Ok(None) && self.symbols.iter().any(leads_there)
        })
    }

    /// Rates of what is no currency of the run, and of the reporting one.
    fn check_rates(&self, problems: &mut Problems) {
        for name in self.portfolio.rates.keys() {
            let key = format!("portfolio.rates.{name}");
            let is_known = self.names.contains(&name.as_str()) || self.is_between(name);
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
            self.check_minimum((name, &quoted), problems);
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

    /// Least sizes of the `quoted` symbols that the balance of `name` could never pay for.
    fn check_minimum(&self, (name, quoted): (&str, &[&str]), problems: &mut Problems) {
        let balance = self.balance(name);
        let mut require = |key: &str, least: f64, symbols: &str| {
            problems.require(
                // What is out of range by itself is told where it is set.
                symbols.is_empty() || !(balance > 0.0 && least > balance),
                key,
                format!(
                    "is {least}, more than the {balance} {name} that the account begins with: \
                     {symbols} could never be bought"
                ),
            );
        };
        let own = |symbol: &str| self.execution.symbols.get(symbol)?.min_notional;
        let mut others = quoted.to_vec();
        // What it is of another currency is told elsewhere.
        others.retain(|symbol| name == self.reporting() && own(symbol).is_none());
        let general = self.execution.min_notional;
        require("execution.min_notional", general, &others.join(", "));
        for symbol in quoted {
            if let Some(least) = own(symbol) {
                let key = format!("execution.symbols.{symbol}.min_notional");
                require(&key, least, symbol);
            }
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
        let (mut hops, mut unclear) = (Vec::new(), None);
        for symbol in self.symbols {
            let Ok(between) = self.across(symbol, name) else {
                continue;
            };
            let next = match self.step(between) {
                Ok(Some(next)) => next,
                Ok(None) => continue,
                Err(words) => {
                    unclear = Some(format!(
                        "could be taken by {symbol} and {between}, but `portfolio.rates.{between}` \
                         {words}"
                    ));
                    continue;
                }
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
            None => Err(unclear.unwrap_or_else(|| format!(
                "is missing: no symbol of the run links {name} with {reporting}, directly or by \
                 one currency between; set a number ({reporting} for one {name}), or add such a \
                 symbol to `data.symbols`",
            ))),
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
