//! Lots that an account could never pay for and ticks above the price: found before a backtest, not
//! after a run without a trade, or one in which every price is one tick.

use crate::execution::SymbolConfig;
use crate::portfolio::Currencies;
use crate::problem::{Problem, Problems};
use crate::session::SessionConfig;
use crate::types::{BarSeries, CurrencyId, Market};

/// Every symbol of which one lot costs more than the account can hold, at its lowest price of the
/// whole market, and every one whose tick is above the price that its data begins with. Settings
/// that are wrong in other ways are not looked at.
#[must_use]
pub fn impossible(market: &Market, config: &SessionConfig) -> Vec<Problem> {
    let mut problems = Problems::default();
    let names: Vec<&str> = market.names().collect();
    // What is wrong with currencies is told where the settings are validated.
    let Ok(currencies) = config.currencies(&names) else {
        return Vec::new();
    };
    let all = market.series().iter().zip(currencies.quotes());
    for (series, quote) in all {
        require_tick(series, config, &mut problems);
        let Some(most) = most_of(config, (&currencies, *quote)) else {
            continue;
        };
        let lot = config.execution.of_symbol(&series.name).lot_size;
        let Some(lowest) = lowest_above(series, most / lot) else {
            continue;
        };
        problems.require(
            false,
            &key_of(config, series, "lot_size", |own| own.lot_size),
            format!(
                "of {} is {lot}, which costs {} at the lowest price of the data, more than the \
                 account can pay for ({most}): nothing trades",
                series.name,
                lot * lowest
            ),
        );
    }
    problems.into_vec()
}

/// Asks for a tick that is no larger than the price that the data begins with. What falls below its
/// tick later is still traded, never in favour of an order.
fn require_tick(series: &BarSeries, config: &SessionConfig, problems: &mut Problems) {
    let tick = config.execution.of_symbol(&series.name).tick_size;
    let first = series.bars.first();
    let Some(bar) = first.filter(|bar| bar.close > 0.0 && bar.close < tick) else {
        return;
    };
    let (name, close) = (&series.name, bar.close);
    problems.require(
        false,
        &key_of(config, series, "tick_size", |own| own.tick_size),
        format!(
            "of {name} is {tick}, above its price ({close} at {}): prices are rounded to the tick \
             against every order, so nothing could be traded near its price; set the venue's tick, \
             at most {close}, in `execution.symbols.{name}.tick_size` or for all symbols",
            bar.closed_at
        ),
    );
}

/// The key that a setting of the symbol comes from.
fn key_of(
    config: &SessionConfig,
    series: &BarSeries,
    setting: &str,
    own: impl Fn(&SymbolConfig) -> Option<f64>,
) -> String {
    match config.execution.symbols.get(&series.name).and_then(own) {
        Some(_) => format!("execution.symbols.{}.{setting}", series.name),
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
