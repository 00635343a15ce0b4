//! Steps that a backtest passes over because the account has no value yet, and what to say where
//! that never ended.
//!
//! A result without a step says nothing; a reader wants to know which rate never came, from which
//! symbol it was to come, and which key to set.

use std::collections::BTreeMap;

use super::BacktestError;
use crate::portfolio::Currencies;
use crate::problem::Problem;
use crate::session::{AwaitedRate, Session};
use crate::types::{CurrencyId, SymbolId, Timestamp};

/// What was waited for.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    steps: u64,
    /// The first and the last step that were passed over, while no step has been taken.
    range: Option<(Timestamp, Timestamp)>,
    /// In how many steps each symbol was missing, by currency.
    missing: BTreeMap<CurrencyId, BTreeMap<SymbolId, u64>>,
}

impl Waiting {
    /// Steps passed over.
    pub(super) fn steps(&self) -> u64 {
        self.steps
    }

    /// A step is passed over for want of these rates.
    pub(super) fn take(&mut self, at: Timestamp, awaited: &[AwaitedRate]) {
        self.steps += 1;
        let (first, _) = self.range.unwrap_or((at, at));
        self.range = Some((first, at));
        for one in awaited {
            let symbols = self.missing.entry(one.currency).or_default();
            for symbol in &one.symbols {
                *symbols.entry(*symbol).or_default() += 1;
            }
        }
    }

    /// A step is taken: nothing was waited for in vain.
    pub(super) fn end(&mut self) {
        self.range = None;
    }

    /// Why a session that has come to its end took no step, where it waited.
    pub(super) fn in_vain(&self, session: &Session) -> Option<BacktestError> {
        let (from, to) = self.range?;
        let currencies = session.currencies();
        let problems = self.missing.iter().map(|(currency, symbols)| {
            let never = symbols.iter().filter(|(_, steps)| **steps == self.steps);
            let never = session.named(never.map(|(symbol, _)| *symbol));
            let all = session.named(symbols.keys().copied());
            let why = match (&never[..], all.len()) {
                ([], 1) => format!("{} does have bars, but not where others have", all.join("")),
                ([], _) => format!("{} have bars, but never together", all.join(" and ")),
                ([one], _) => format!("{one} has no bar in any of them"),
                _ => format!("{} have no bar in any of them", never.join(" and ")),
            };
            let remedies = remedies(currencies, *currency, &all.join(" and "));
            Problem {
                key: format!("portfolio.rates.{}", currencies.name(*currency)),
                message: format!("never had a value, and the account has some: {why}; {remedies}"),
            }
        });
        Some(BacktestError::NeverValued {
            steps: self.steps,
            from,
            to,
            problems: problems.collect(),
        })
    }
}

/// What may be done where the rate of `currency`, which comes from `symbols`, never comes.
fn remedies(currencies: &Currencies, currency: CurrencyId, symbols: &str) -> String {
    let (name, reporting) = (
        currencies.name(currency),
        currencies.name(CurrencyId::REPORTING),
    );
    format!(
        "set a number ({reporting} for one {name}), take data that has bars of {symbols}, or leave \
         {name} out of `portfolio.initial_cash`"
    )
}

/// What a reader of a result should know of rates, one sentence each: that steps were passed over
/// before the first, and which currencies never had a rate, with the key to be set. The account has
/// begun with nothing of those.
#[must_use]
pub fn rate_notes(
    currencies: &Currencies,
    symbols: &[String],
    (waited_steps, unknown): (u64, &[CurrencyId]),
) -> Vec<String> {
    let mut notes = Vec::new();
    if waited_steps > 0 {
        let steps = if waited_steps == 1 { "step" } else { "steps" };
        notes.push(format!(
            "the first {waited_steps} {steps} passed before everything that the account begins \
             with had a rate; trading begins behind them"
        ));
    }
    let problems = unknown
        .iter()
        .map(|one| without_rate(currencies, symbols, *one));
    notes.extend(problems.map(|one| one.to_string()));
    notes
}

/// A currency whose rate never came: the key that is to be set, the symbols that it was to come
/// from and those that could not be traded.
fn without_rate(currencies: &Currencies, symbols: &[String], unknown: CurrencyId) -> Problem {
    let name = |symbol: SymbolId| symbols.get(symbol.index()).map_or("?", String::as_str);
    let sources: Vec<&str> = currencies.sources(unknown).map(name).collect();
    let quoted = (0..).map(SymbolId).zip(currencies.quotes());
    let quoted = quoted.filter(|(_, quote)| **quote == unknown);
    let quoted: Vec<&str> = quoted.map(|(symbol, _)| name(symbol)).collect();
    let (own, reporting) = (
        currencies.name(unknown),
        currencies.name(CurrencyId::REPORTING),
    );
    let lacking = match sources.len() {
        1 => "has no bar",
        _ => "do not all have a bar",
    };
    let effect = match quoted.is_empty() {
        true => String::new(),
        false => format!(", so nothing could be opened in {}", quoted.join(" and ")),
    };
    Problem {
        key: format!("portfolio.rates.{own}"),
        message: format!(
            "never had a value: {} {lacking} in the time that was traded{effect}; set a number \
             ({reporting} for one {own}), or take data that has such bars",
            sources.join(" and "),
        ),
    }
}
