//! Fills the report's data from the pieces of a run.

use std::collections::BTreeMap;

use fusebox_engine::backtest::BacktestResult;
use fusebox_engine::dataset::{Fold, Period as EnginePeriod};
use fusebox_engine::execution::OrderReason;
use fusebox_engine::portfolio::Trade;
use fusebox_engine::strategy::Direction as Side;
use fusebox_engine::types::{Cash, Market, Quantity, SymbolId, Timestamp};

use super::folds::FoldModel;
use super::prepare::Prepared;
use super::score::FoldScores;
use super::spec::PipelineSpec;
use super::trade::{Curve, Traded, net_return};
use crate::data::Origin;
use crate::report::{
    Costs, CurvePoint, DataSource, FeatureImportance, FoldRow, MarketSummary, MonthReturn,
    NamedCount, Period, SymbolSummary, TradeRow, TradeSide,
};

/// What the run saw.
pub(super) fn market_summary(spec: &PipelineSpec, prepared: &Prepared) -> MarketSummary {
    let loaded = &prepared.loaded;
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
        Origin::Files => (DataSource::Files, Some(spec.data.exchange.clone())),
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
    MarketSummary {
        source,
        exchange,
        symbols: market.names().map(str::to_owned).collect(),
        time_frame: market.time_frame(),
        first_opened_at: all().map(|s| s.bars[0].opened_at).min().unwrap_or(epoch),
        last_closed_at: all()
            .map(|s| s.bars[s.bars.len() - 1].closed_at)
            .max()
            .unwrap_or(epoch),
        bars: all().map(|series| series.bars.len() as u64).sum(),
        missing_bars: missing.sum(),
        warnings: warnings(spec, prepared),
    }
}

/// What the data's validation found, and what the plan of folds means for the results.
fn warnings(spec: &PipelineSpec, prepared: &Prepared) -> Vec<String> {
    let mut warnings = prepared.loaded.warnings.clone();
    if spec.split.trains_on_the_future() {
        warnings.push(
            "the split trains on bars after those that it predicts: the results estimate skill, \
             nobody could have traded them"
                .to_owned(),
        );
    }
    warnings
}

/// One row of the table of folds.
pub(super) fn fold_row(
    fold: &Fold,
    model: &FoldModel,
    scores: FoldScores,
    sharpe_ratio: Option<f64>,
) -> FoldRow {
    let counts = (fold.train_counts, fold.valid_counts);
    let test = fold.test_period();
    FoldRow {
        fold: number(fold.index),
        train: period(fold.train_period()),
        valid: period(fold.valid.unwrap_or(EnginePeriod {
            from: test.from,
            to: test.from,
        })),
        test: period(test),
        test_parts: fold.test.iter().copied().map(period).collect(),
        train_rows: counts.0.samples as u64,
        valid_rows: counts.1.samples as u64,
        test_rows: model.predictions.len() as u64,
        purged_rows: (counts.0.purged + counts.1.purged) as u64,
        embargoed_rows: (counts.0.embargoed + counts.1.embargoed) as u64,
        best_iteration: model.best_iteration,
        accuracy: scores.accuracy,
        majority_accuracy: scores.majority_accuracy,
        accuracy_difference: scores.accuracy_difference,
        log_loss: scores.log_loss,
        matthews_correlation: scores.matthews_correlation,
        information_coefficient: scores.information_coefficient,
        sharpe_ratio,
    }
}

/// A fold's number in files and tables, from 1.
pub(super) fn number(index: usize) -> u32 {
    u32::try_from(index + 1).unwrap_or(u32::MAX)
}

fn period(period: EnginePeriod) -> Period {
    Period {
        from: period.from,
        to: period.to,
    }
}

/// Each column's share of its fold model's gain; empty where a model has no importance.
pub(super) fn importance(columns: &[String], models: &[FoldModel]) -> Vec<FeatureImportance> {
    let by_fold: Option<Vec<&Vec<f64>>> = models
        .iter()
        .map(|model| model.importance.as_ref())
        .collect();
    let Some(by_fold) = by_fold else {
        return Vec::new();
    };
    let share = |gains: &[f64], position: usize| {
        let total: f64 = gains.iter().sum();
        let own = gains.get(position).copied().unwrap_or(0.0);
        if total > 0.0 { own / total } else { 0.0 }
    };
    columns
        .iter()
        .enumerate()
        .map(|(position, feature)| FeatureImportance {
            feature: feature.clone(),
            gain_share_by_fold: by_fold.iter().map(|gains| share(gains, position)).collect(),
        })
        .collect()
}

/// The curve that the page draws.
pub(super) fn curve(strategy: &Curve, held: &Curve) -> Vec<CurvePoint> {
    let points = strategy
        .times
        .iter()
        .zip(&strategy.equity)
        .zip(&held.equity);
    points
        .zip(&strategy.exposure)
        .map(|(((at, strategy), held), exposure)| CurvePoint {
            closed_at: *at,
            strategy_equity: *strategy,
            buy_and_hold_equity: *held,
            gross_exposure: *exposure,
        })
        .collect()
}

/// Months of both curves side by side.
pub(super) fn months(
    strategy: &[fusebox_engine::eval::trading::MonthlyReturn],
    held: &[fusebox_engine::eval::trading::MonthlyReturn],
) -> Vec<MonthReturn> {
    let mut all: BTreeMap<(i16, i8), (Option<f64>, Option<f64>)> = BTreeMap::new();
    for one in strategy {
        all.entry((one.year, one.month)).or_default().0 = Some(one.change);
    }
    for one in held {
        all.entry((one.year, one.month)).or_default().1 = Some(one.change);
    }
    all.into_iter()
        .map(|((year, month), (strategy, buy_and_hold))| MonthReturn {
            year,
            month: month.unsigned_abs(),
            strategy,
            buy_and_hold,
        })
        .collect()
}

/// From gross to net, over all symbols.
pub(super) fn costs(result: &BacktestResult) -> Costs {
    let net = result.final_equity() - result.initial_cash;
    let (fees, slippage) = (result.costs.fees, result.costs.slippage);
    Costs {
        gross_profit: (net + fees + slippage).to_f64(),
        fees: fees.to_f64(),
        slippage: slippage.to_f64(),
        net_profit: net.to_f64(),
        traded_value: result.costs.turnover.to_f64(),
        fills: result.costs.fills,
    }
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

/// Totals by symbol.
pub(super) fn symbols(market: &Market, traded: &Traded) -> Vec<SymbolSummary> {
    (0..)
        .map(SymbolId)
        .zip(market.names())
        .map(|(symbol, name)| symbol_summary(symbol, name, &traded.strategy))
        .collect()
}

fn symbol_summary(symbol: SymbolId, name: &str, result: &BacktestResult) -> SymbolSummary {
    let ratio = |above: f64, below: f64| (below > 0.0).then(|| above / below);
    let trades: Vec<&Trade> = result
        .trades
        .iter()
        .filter(|one| one.symbol == symbol)
        .collect();
    let nets: Vec<f64> = trades.iter().map(|trade| trade.net.to_f64()).collect();
    let returns: Vec<f64> = trades
        .iter()
        .filter_map(|trade| net_return(trade))
        .collect();
    let wins = nets.iter().filter(|net| **net > 0.0).count();
    let gains: f64 = nets.iter().filter(|net| **net > 0.0).sum();
    let losses: f64 = nets.iter().filter(|net| **net < 0.0).sum();
    let bars: u64 = trades.iter().map(|trade| u64::from(trade.bars_held)).sum();
    let count = trades.len() as f64;
    SymbolSummary {
        symbol: name.to_owned(),
        trades: trades.len() as u64,
        win_rate: ratio(wins as f64, count),
        profit_factor: ratio(gains, -losses),
        mean_trade_return: ratio(returns.iter().sum(), returns.len() as f64),
        mean_bars_held: ratio(bars as f64, count),
        costs: symbol_costs(symbol, &trades, result),
    }
}

fn symbol_costs(symbol: SymbolId, trades: &[&Trade], result: &BacktestResult) -> Costs {
    let own = result
        .costs_by_symbol
        .get(symbol.index())
        .copied()
        .unwrap_or_default();
    let ended: Cash = trades.iter().map(|trade| trade.gross).sum();
    let ended_slippage: Cash = trades.iter().map(|trade| trade.slippage).sum();
    let held = result
        .open_positions
        .iter()
        .find(|one| one.symbol == symbol);
    let unrealised = held.map_or(Cash::ZERO, |one| one.unrealised);
    // An open position's profit is after its slippage; before costs it is that much better.
    let gross = ended + unrealised + (own.slippage - ended_slippage);
    Costs {
        gross_profit: gross.to_f64(),
        fees: own.fees.to_f64(),
        slippage: own.slippage.to_f64(),
        net_profit: (gross - own.fees - own.slippage).to_f64(),
        traded_value: own.turnover.to_f64(),
        fills: own.fills,
    }
}

/// All round trips by entry, those still open included.
pub(super) fn trades(market: &Market, result: &BacktestResult) -> Vec<TradeRow> {
    let name = |symbol| {
        market
            .get(symbol)
            .map_or(String::new(), |series| series.name.clone())
    };
    let ended = result.trades.iter().map(|trade| TradeRow {
        symbol: name(trade.symbol),
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
    let mut held = Quantity::ZERO;
    let mut since = None;
    for fill in result.fills.iter().filter(|fill| fill.symbol == symbol) {
        let before = held.signum();
        held += fill.quantity;
        if held.signum() != before {
            since = Some(fill.filled_at);
        }
    }
    let entered_at = since?;
    // The costs that no ended trade has paid: a fill that turns a position is shared by both.
    let all = result.costs_by_symbol.get(symbol.index())?;
    let ended = || result.trades.iter().filter(|one| one.symbol == symbol);
    let fees = all.fees - ended().map(|one| one.fees).sum::<Cash>();
    let slippage = all.slippage - ended().map(|one| one.slippage).sum::<Cash>();
    let last = result.equity.last()?.at;
    let gross = position.unrealised + slippage;
    let net = position.unrealised - fees;
    let entry = position
        .average_price
        .times(position.quantity)
        .abs()
        .to_f64();
    let bars_held = last.nanos_since(entered_at) / market.time_frame().nanos();
    Some(TradeRow {
        symbol: name,
        side: side(position.quantity.signum() < 0),
        entered_at,
        exited_at: None,
        quantity: position.quantity.abs().to_f64(),
        entry_price: position.average_price.to_f64(),
        exit_price: None,
        gross_profit: gross.to_f64(),
        fees: fees.to_f64(),
        slippage: slippage.to_f64(),
        net_profit: net.to_f64(),
        net_return: (entry > 0.0).then(|| net.to_f64() / entry),
        bars_held: u64::try_from(bars_held).unwrap_or(0),
        exit_reason: "open".to_owned(),
    })
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

/// The quote asset's name, where every symbol ends with the same well-known one.
pub(super) fn currency(market: &Market) -> String {
    const QUOTES: [&str; 8] = ["USDT", "USDC", "FDUSD", "USD", "EUR", "GBP", "BTC", "ETH"];
    let known = QUOTES
        .iter()
        .find(|quote| market.names().all(|name| name.ends_with(**quote)));
    known.map_or_else(|| "quote".to_owned(), |quote| (*quote).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use fusebox_engine::backtest::{Costs as EngineCosts, OpenPosition};
    use fusebox_engine::execution::{Fill, Order, OrderId};
    use fusebox_engine::portfolio::{Portfolio, TradeBook};
    use fusebox_engine::session::EquityPoint;
    use fusebox_engine::types::{Bar, BarSeries};

    const HOUR: i64 = 3_600_000_000_000;

    fn market() -> Market {
        let bar = |hour: i64| Bar {
            opened_at: Timestamp::from_nanos(hour * HOUR),
            closed_at: Timestamp::from_nanos((hour + 1) * HOUR),
            open: 90.0,
            high: 90.0,
            low: 90.0,
            close: 90.0,
            volume: 1.0,
            quote_volume: None,
            trades: None,
            taker_buy_volume: None,
        };
        let series = BarSeries {
            name: "AUSDT".to_owned(),
            time_frame: "1h".parse().unwrap(),
            bars: (0..4).map(bar).collect(),
        };
        Market::new(vec![series]).unwrap()
    }

    /// A fill of the only symbol, with its order.
    fn fill(hour: i64, quantity: &str, price: &str) -> (Fill, Order) {
        let fill = Fill {
            order: OrderId(0),
            symbol: SymbolId(0),
            quantity: quantity.parse().unwrap(),
            price: price.parse().unwrap(),
            fee: "0.5".parse().unwrap(),
            slippage: "0.1".parse().unwrap(),
            filled_at: Timestamp::from_nanos(hour * HOUR),
            spread: Cash::ZERO,
            remaining: Quantity::ZERO,
            is_maker: false,
        };
        let order = Order {
            id: fill.order,
            symbol: fill.symbol,
            quantity: fill.quantity,
            decided_at: fill.filled_at,
            reason: OrderReason::Flip,
            model: None,
            terms: fusebox_engine::execution::OrderTerms::default(),
        };
        (fill, order)
    }

    /// Buys 1 at 100, then sells 5 at 90: the long ends, and a short of 4 is still held.
    fn turned() -> BacktestResult {
        let mut portfolio = Portfolio::new("1000".parse().unwrap(), 1);
        let mut book = TradeBook::new("1h".parse().unwrap(), 1);
        let mut costs = EngineCosts::default();
        let (mut fills, mut trades) = (Vec::new(), Vec::new());
        for (fill, order) in [fill(1, "1", "100"), fill(2, "-5", "90")] {
            portfolio.apply(&fill).unwrap();
            trades.extend(book.apply(&fill, &order));
            costs.fees += fill.fee;
            costs.slippage += fill.slippage;
            costs.turnover += fill.notional().abs();
            costs.fills += 1;
            fills.push(fill);
        }
        let symbol = SymbolId(0);
        portfolio.mark(symbol, "85".parse().unwrap());
        let position = portfolio.position(symbol).unwrap();
        BacktestResult {
            initial_cash: portfolio.initial_cash(),
            equity: vec![EquityPoint {
                at: Timestamp::from_nanos(4 * HOUR),
                equity: portfolio.equity(),
                cash: portfolio.cash(),
                gross_exposure: portfolio.gross_exposure(),
            }],
            fills,
            trades,
            open_positions: vec![OpenPosition {
                symbol,
                quantity: position.quantity(),
                average_price: position.average_price().unwrap(),
                unrealised: position.unrealised(),
            }],
            realised: portfolio.realised(),
            unrealised: portfolio.unrealised(),
            costs,
            costs_by_symbol: vec![costs],
            refusals: BTreeMap::new(),
            breaker_tripped: false,
            ruined: false,
            journal_digest: None,
        }
    }

    #[test]
    fn trades_and_what_is_still_open_add_up_to_the_totals() {
        let result = turned();
        let rows = trades(&market(), &result);
        assert_eq!(rows.len(), 2);
        let open = &rows[1];
        assert_eq!((open.exited_at, open.bars_held), (None, 2));
        // Four fifths of the turning fill's fee and slippage belong to the short.
        assert!((open.fees - 0.4).abs() < 1e-9, "{}", open.fees);
        assert!((open.slippage - 0.08).abs() < 1e-9, "{}", open.slippage);
        assert!((open.net_profit - (4.0 * 5.0 - 0.4)).abs() < 1e-9);
        let all = costs(&result);
        let ended: Vec<&Trade> = result.trades.iter().collect();
        let own = symbol_costs(SymbolId(0), &ended, &result);
        let sum = |value: &dyn Fn(&TradeRow) -> f64| rows.iter().map(value).sum::<f64>();
        for (told, by_symbol, total) in [
            (
                sum(&|row| row.gross_profit),
                own.gross_profit,
                all.gross_profit,
            ),
            (sum(&|row| row.fees), own.fees, all.fees),
            (sum(&|row| row.slippage), own.slippage, all.slippage),
            (sum(&|row| row.net_profit), own.net_profit, all.net_profit),
        ] {
            assert!((told - total).abs() < 1e-9, "{told} {total}");
            assert!((by_symbol - total).abs() < 1e-9, "{by_symbol} {total}");
        }
    }
}
