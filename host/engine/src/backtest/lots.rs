//! Lots that an account could never pay for: found before a backtest, not after a run without a
//! trade.

use crate::problem::{Problem, Problems};
use crate::session::SessionConfig;
use crate::types::{BarSeries, Market};

/// Every symbol of which one lot costs more than the account can hold, at its lowest price of the
/// whole market.
pub(super) fn impossible(market: &Market, config: &SessionConfig) -> Vec<Problem> {
    let mut problems = Problems::default();
    let most = config.portfolio.initial_cash * config.leverage();
    for series in market.series() {
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
