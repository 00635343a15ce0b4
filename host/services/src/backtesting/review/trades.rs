//! Round trips and refusals as the report lists them.

use fusebox_engine::backtest::BacktestResult;
use fusebox_engine::execution::{Fill, OrderReason};
use fusebox_engine::portfolio::Trade;
use fusebox_engine::strategy::Direction as Side;
use fusebox_engine::types::{Cash, Market, Quantity, Rate, SymbolId, Timestamp};

use crate::report::{NamedCount, TradeRow, TradeSide};

/// Net profit over the value at entry.
pub(super) fn net_return(trade: &Trade) -> Option<f64> {
    let entry = trade.entry_price.times(trade.quantity).abs().to_f64();
    (entry > 0.0).then(|| trade.net.to_f64() / entry)
}

/// Net profit in the reporting currency, at the rate when the trade ended.
pub(super) fn reported_net(result: &BacktestResult, trade: &Trade) -> f64 {
    let net = result.worth_at(trade.symbol, trade.closed_at, trade.net);
    net.to_f64()
}

/// What one of the currency of `symbol` was worth at `at`.
fn rate_at(result: &BacktestResult, symbol: SymbolId, at: Timestamp) -> f64 {
    result.rate_at(symbol, at).map_or(f64::NAN, Rate::to_f64)
}

/// Refused orders by reason.
pub(super) fn refusals(result: &BacktestResult) -> Vec<NamedCount> {
    let named = result.refusals.iter();
    named
        .map(|(reason, count)| NamedCount {
            name: reason.to_string(),
            count: *count,
        })
        .collect()
}

/// All round trips by entry, those still open included.
pub(super) fn trades(market: &Market, result: &BacktestResult) -> Vec<TradeRow> {
    let name = |symbol| {
        market
            .get(symbol)
            .map_or(String::new(), |series| series.name.clone())
    };
    let currency = |symbol| {
        let currencies = &result.currencies;
        currencies.name(currencies.quote(symbol)).to_owned()
    };
    let ended = result.trades.iter().map(|trade| TradeRow {
        symbol: name(trade.symbol),
        currency: currency(trade.symbol),
        rate: rate_at(result, trade.symbol, trade.closed_at),
        side: side(trade.direction == Side::Short),
        entered_at: trade.opened_at,
        exited_at: Some(trade.closed_at),
        quantity: trade.quantity.to_f64(),
        entry_price: trade.entry_price.to_f64(),
        exit_price: Some(trade.exit_price.to_f64()),
        gross_profit: trade.gross.to_f64(),
        fees: trade.fees.to_f64(),
        slippage: trade.slippage.to_f64(),
        net_profit: trade.net.to_f64(),
        net_return: net_return(trade),
        bars_held: u64::from(trade.bars_held),
        exit_reason: reason(trade.exit_reason).to_owned(),
    });
    let mut rows: Vec<TradeRow> = ended.collect();
    for position in &result.open_positions {
        rows.extend(open_row(
            market,
            result,
            position.symbol,
            name(position.symbol),
        ));
    }
    rows.sort_by(|a, b| (a.entered_at, &a.symbol).cmp(&(b.entered_at, &b.symbol)));
    rows
}

/// The row of a position that is still held.
fn open_row(
    market: &Market,
    result: &BacktestResult,
    symbol: SymbolId,
    name: String,
) -> Option<TradeRow> {
    let position = result
        .open_positions
        .iter()
        .find(|one| one.symbol == symbol)?;
    let fills = || result.fills.iter().filter(|one| one.symbol == symbol);
    let entry = Entry::of(fills())?;
    // The costs that no ended trade has paid: a fill that turns a position is shared by both.
    let ended = || result.trades.iter().filter(|one| one.symbol == symbol);
    let of_all = |of: fn(&Fill) -> Cash| fills().map(of).sum::<Cash>();
    let of_ended = |of: fn(&Trade) -> Cash| ended().map(of).sum::<Cash>();
    let fees = of_all(|one| one.fee) - of_ended(|one| one.fees);
    let slippage = of_all(|one| one.slippage) - of_ended(|one| one.slippage);
    let last = result.equity.last()?.at;
    // What it is worth and what its fills have brought, of which a part may be closed already.
    let brought = -of_all(Fill::notional) - of_ended(|one| one.net + one.fees);
    let after_slippage = position.value + brought;
    let gross = after_slippage + slippage;
    let net = after_slippage - fees;
    let paid = entry.notional.abs().to_f64();
    let bars_held = last.nanos_since(entry.at) / market.time_frame().nanos();
    let currencies = &result.currencies;
    Some(TradeRow {
        symbol: name,
        currency: currencies.name(currencies.quote(symbol)).to_owned(),
        rate: rate_at(result, symbol, last),
        side: side(position.quantity.signum() < 0),
        entered_at: entry.at,
        exited_at: None,
        quantity: entry.quantity.abs().to_f64(),
        entry_price: entry.notional.per(entry.quantity)?.to_f64(),
        exit_price: None,
        gross_profit: gross.to_f64(),
        fees: fees.to_f64(),
        slippage: slippage.to_f64(),
        net_profit: net.to_f64(),
        net_return: (paid > 0.0).then(|| net.to_f64() / paid),
        bars_held: u64::try_from(bars_held).unwrap_or(0),
        exit_reason: "open".to_owned(),
    })
}

/// How a position that is still held was entered.
struct Entry {
    at: Timestamp,
    /// All that was bought (sold, for a short, as a negative number), closed parts included.
    quantity: Quantity,
    /// What that was traded for, with the sign of the quantity.
    notional: Cash,
}

impl Entry {
    /// `None` where the fills leave nothing.
    fn of<'f>(fills: impl Iterator<Item = &'f Fill>) -> Option<Self> {
        let mut held = Quantity::ZERO;
        let mut entry: Option<Self> = None;
        for fill in fills {
            let before = held.signum();
            held += fill.quantity;
            let opened = if held.signum() != before {
                entry = None; // Closed or turned: the rest of the fill opens.
                held
            } else if fill.quantity.signum() == before {
                fill.quantity
            } else {
                continue;
            };
            let entry = entry.get_or_insert(Self {
                at: fill.filled_at,
                quantity: Quantity::ZERO,
                notional: Cash::ZERO,
            });
            entry.quantity += opened;
            entry.notional += fill.price.times(opened);
        }
        entry.filter(|_| !held.is_zero())
    }
}

fn side(is_short: bool) -> TradeSide {
    if is_short {
        TradeSide::Short
    } else {
        TradeSide::Long
    }
}

fn reason(reason: OrderReason) -> &'static str {
    match reason {
        OrderReason::Entry => "entry",
        OrderReason::Exit => "signal",
        OrderReason::Flip => "flip",
        OrderReason::Breaker => "breaker",
        OrderReason::Protection => "protection",
        OrderReason::Liquidation => "liquidation",
        OrderReason::Ruin => "ruin",
        OrderReason::FailSafe => "fail-safe",
        _ => "other",
    }
}

#[cfg(test)]
mod tests;
