//! Histories that differ from the given one in a known way.

use super::plan::Dice;
use crate::types::{Bar, BarSeries, Market, Timestamp};

/// The market with each bar replaced by what `change` makes of it, or left out.
fn changed(market: &Market, mut change: impl FnMut(&Bar) -> Option<Bar>) -> Market {
    let series = market.series().iter().map(|one| BarSeries {
        name: one.name.clone(),
        time_frame: one.time_frame,
        bars: one.bars.iter().filter_map(&mut change).collect(),
    });
    // The same names and time frames make a market again.
    Market::new(series.collect()).unwrap_or_else(|_| market.clone())
}

/// Without the bars that close after `last`.
pub(super) fn up_to(market: &Market, last: Timestamp) -> Market {
    changed(market, |bar| (bar.closed_at <= last).then_some(*bar))
}

/// Without the bars that open before `first`.
pub(super) fn from(market: &Market, first: Timestamp) -> Market {
    changed(market, |bar| (bar.opened_at >= first).then_some(*bar))
}

/// With other prices and volumes in the bars that close after `last`.
pub(super) fn shaken_after(market: &Market, last: Timestamp, dice: &mut Dice<'_>) -> Market {
    changed(market, |bar| {
        if bar.closed_at <= last {
            return Some(*bar);
        }
        let price = (2.0 * dice.share() - 1.0).exp();
        let traded = (3.0 * dice.share() - 1.0).exp();
        Some(Bar {
            open: bar.open * price,
            high: bar.high * price,
            low: bar.low * price,
            close: bar.close * price,
            volume: bar.volume * traded,
            quote_volume: bar.quote_volume.map(|volume| volume * traded * price),
            trades: bar.trades.map(|trades| (trades * traded).round()),
            taker_buy_volume: bar.taker_buy_volume.map(|volume| volume * traded),
            ..*bar
        })
    })
}

/// Bars of each symbol that have closed by `now`.
pub(super) fn rows_by(market: &Market, now: Timestamp) -> Vec<usize> {
    let closed = |series: &BarSeries| series.bars.partition_point(|bar| bar.closed_at <= now);
    market.series().iter().map(closed).collect()
}
