//! Lots that an account could never pay for and ticks above the price: found before a backtest, not
//! after a run without a trade, or one in which every price is one tick.

use crate::execution::SymbolConfig;
use crate::portfolio::Currencies;
use crate::problem::{Problem, Problems};
use crate::session::{SessionConfig, SetupError};
use crate::types::{Bar, BarSeries, CurrencyId, Market, Timestamp, VenueRecords};

/// What has to be known of a symbol's prices to judge its lot and its tick: enough where its bars
/// are read once and forgotten.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct PriceSpan {
    first: Option<(Timestamp, f64)>,
    lowest: f64,
}

impl PriceSpan {
    /// Of no bar.
    pub(super) const EMPTY: Self = Self {
        first: None,
        lowest: f64::INFINITY,
    };

    /// Takes the next bar.
    pub(super) fn take(&mut self, bar: &Bar) {
        self.first.get_or_insert((bar.closed_at, bar.close));
        self.lowest = self.lowest.min(bar.low);
    }

    /// Whether there was a bar.
    pub(super) fn has_begun(&self) -> bool {
        self.first.is_some()
    }

    /// The lowest price, where that is above `price`.
    fn lowest_above(&self, price: f64) -> Option<f64> {
        (self.lowest.is_finite() && self.lowest > price).then_some(self.lowest)
    }
}

/// Every symbol of which one lot costs more than the account can hold, at its lowest price of the
/// whole market, and every one whose tick is above the price that its data begins with. Settings
/// that are wrong in other ways are not looked at.
#[must_use]
pub fn impossible(market: &Market, config: &SessionConfig) -> Vec<Problem> {
    let names: Vec<&str> = market.names().collect();
    let series = market.series();
    let first = |at: usize| {
        let bar = series.get(at)?.bars.first()?;
        Some((bar.closed_at, bar.close))
    };
    judged(
        &names,
        config,
        (first, |at: usize, price: f64| {
            lowest_above(series.get(at)?, price)
        }),
    )
}

/// The same of bars that are known by their spans, in the order of `names`.
pub(super) fn impossible_within(
    names: &[&str],
    spans: &[PriceSpan],
    config: &SessionConfig,
) -> Vec<Problem> {
    let first = |at: usize| spans.get(at)?.first;
    judged(
        names,
        config,
        (first, |at: usize, price: f64| {
            spans.get(at)?.lowest_above(price)
        }),
    )
}

/// What keeps a session from beginning, with everything else that is wrong with its settings;
/// nothing where `problems` are none.
pub(super) fn refused(
    mut problems: Vec<Problem>,
    names: &[&str],
    (config, records): (&SessionConfig, &VenueRecords),
) -> Result<(), SetupError> {
    if problems.is_empty() {
        return Ok(());
    }
    problems.extend(config.validate_for(names));
    problems.extend(config.validate_records(records));
    Err(SetupError::Config(problems))
}

/// Judges each symbol by when its bars begin and at which close, and by its lowest price where that
/// is above one that is asked for.
fn judged(
    names: &[&str],
    config: &SessionConfig,
    (first, lowest_above): (
        impl Fn(usize) -> Option<(Timestamp, f64)>,
        impl Fn(usize, f64) -> Option<f64>,
    ),
) -> Vec<Problem> {
    let mut problems = Problems::default();
    // What is wrong with currencies is told where the settings are validated.
    let Ok(currencies) = config.currencies(names) else {
        return Vec::new();
    };
    for (at, (name, quote)) in names.iter().zip(currencies.quotes()).enumerate() {
        require_tick((name, first(at)), config, &mut problems);
        let Some(most) = most_of(config, (&currencies, *quote)) else {
            continue;
        };
        let lot = config.execution.of_symbol(name).lot_size;
        let Some(lowest) = lowest_above(at, most / lot) else {
            continue;
        };
        problems.require(
            false,
            &key_of(config, name, "lot_size", |own| own.lot_size),
            format!(
                "of {name} is {lot}, which costs {} at the lowest price of the data, more than the \
                 account can pay for ({most}): nothing trades",
                lot * lowest
            ),
        );
    }
    problems.into_vec()
}

/// Asks for a tick that is no larger than the price that the data begins with. What falls below its
/// tick later is still traded, never in favour of an order.
fn require_tick(
    (name, first): (&str, Option<(Timestamp, f64)>),
    config: &SessionConfig,
    problems: &mut Problems,
) {
    let tick = config.execution.of_symbol(name).tick_size;
    let Some((closed_at, close)) = first.filter(|(_, close)| *close > 0.0 && *close < tick) else {
        return;
    };
    problems.require(
        false,
        &key_of(config, name, "tick_size", |own| own.tick_size),
        format!(
            "of {name} is {tick}, above its price ({close} at {closed_at}): prices are rounded to \
             the tick against every order, so nothing could be traded near its price; set the \
             venue's tick, at most {close}, in `execution.symbols.{name}.tick_size` or for all \
             symbols"
        ),
    );
}

/// The key that a setting of the symbol comes from.
fn key_of(
    config: &SessionConfig,
    name: &str,
    setting: &str,
    own: impl Fn(&SymbolConfig) -> Option<f64>,
) -> String {
    match config.execution.symbols.get(name).and_then(own) {
        Some(_) => format!("execution.symbols.{name}.{setting}"),
        None => format!("execution.{setting}"),
    }
}

/// The most that the account can pay in `quote`; `None` where it borrows against several
/// currencies, whose worth is another in every bar.
fn most_of(config: &SessionConfig, (currencies, quote): (&Currencies, CurrencyId)) -> Option<f64> {
    let initial = currencies.initial();
    if currencies.is_single() || !config.portfolio.allow_short {
        let own = initial.get(quote.index()).copied().unwrap_or_default();
        return Some(own.to_f64() * config.leverage());
    }
    None
}

/// The lowest price of a series, where that is above `price`. Almost always the first bar says that
/// it is not.
fn lowest_above(series: &BarSeries, price: f64) -> Option<f64> {
    let mut lowest = f64::INFINITY;
    for bar in &series.bars {
        lowest = lowest.min(bar.low);
        if lowest <= price {
            return None;
        }
    }
    (lowest.is_finite() && lowest > price).then_some(lowest)
}
