//! What a run saw of the market, for the head of its page.

use fusebox_engine::backtest::{BacktestResult, rate_notes};
use fusebox_engine::types::Timestamp;

use crate::data::{DataRequest, LoadedMarket, Origin};
use crate::report::{DataSource, MarketSummary};

/// What the run saw, and what of it a reader of `result` should know.
pub(crate) fn market_summary(
    request: &DataRequest,
    loaded: &LoadedMarket,
    result: &BacktestResult,
) -> MarketSummary {
    let market = &loaded.market;
    let all = || {
        market
            .series()
            .iter()
            .filter(|series| !series.bars.is_empty())
    };
    let epoch = Timestamp::from_nanos(0);
    let expected = |first: Timestamp, last: Timestamp| {
        let bars = last.nanos_since(first) / market.time_frame().nanos() + 1;
        u64::try_from(bars).unwrap_or(0)
    };
    let missing = all().map(|series| {
        let (first, last) = (
            series.bars[0].opened_at,
            series.bars[series.bars.len() - 1].opened_at,
        );
        expected(first, last).saturating_sub(series.bars.len() as u64)
    });
    let (source, exchange) = match loaded.origin {
        Origin::Files => (DataSource::Files, Some(request.exchange.clone())),
        Origin::Simulated {
            seed,
            signal_ic,
            signal_horizon_bars,
        } => (
            DataSource::Simulated {
                signal_ic,
                horizon_bars: signal_horizon_bars,
                seed,
            },
            None,
        ),
    };
    let symbols: Vec<String> = market.names().map(str::to_owned).collect();
    let rates = (result.waited_steps, &result.unknown_rates()[..]);
    MarketSummary {
        source,
        exchange,
        time_frame: market.time_frame(),
        first_opened_at: all().map(|s| s.bars[0].opened_at).min().unwrap_or(epoch),
        last_closed_at: all()
            .map(|s| s.bars[s.bars.len() - 1].closed_at)
            .max()
            .unwrap_or(epoch),
        bars: all().map(|series| series.bars.len() as u64).sum(),
        missing_bars: missing.sum(),
        warnings: loaded
            .warnings
            .iter()
            .cloned()
            .chain(rate_notes(&result.currencies, &symbols, rates))
            .collect(),
        symbols,
    }
}
