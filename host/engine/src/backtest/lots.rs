//! Lots that an account could never pay for: found before a backtest, not after a run without a
//! trade.

use crate::portfolio::Currencies;
use crate::problem::{Problem, Problems};
use crate::session::SessionConfig;
use crate::types::{BarSeries, CurrencyId, Market};

/// Every symbol of which one lot costs more than the account can hold, at its lowest price of the
/// whole market. Settings that are wrong in other ways are not looked at.
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
        let Some(most) = most_of(config, (&currencies, *quote)) else {
            continue;
        };
        let lot = config.execution.of_symbol(&series.name).lot_size;
        let Some(lowest) = lowest_above(series, most / lot) else {
            continue;
        };
        problems.require(
            false,
            "execution.lot_size",
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
