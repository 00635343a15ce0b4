//! Round trips, the open one included, sum to the account's totals.

use std::collections::BTreeMap;

use super::*;
use fusebox_engine::backtest::{Costs as EngineCosts, OpenPosition, total_flows};
use fusebox_engine::execution::{Fill, Order, OrderId};
use fusebox_engine::portfolio::{Currencies, Portfolio, TradeBook};
use fusebox_engine::session::EquityPoint;
use fusebox_engine::types::{Bar, BarSeries, Timestamp};

use super::super::tests::config;

const HOUR: i64 = 3_600_000_000_000;

fn market() -> Market {
    // The last close is what the open position is valued at.
    let close = |hour: i64| if hour >= 3 { 85.0 } else { 90.0 };
    let bar = |hour: i64| Bar {
        opened_at: Timestamp::from_nanos(hour * HOUR),
        closed_at: Timestamp::from_nanos((hour + 1) * HOUR),
        open: 90.0,
        high: 90.0,
        low: 85.0,
        close: close(hour),
        volume: 1.0,
        quote_volume: None,
        trades: None,
        taker_buy_volume: None,
    };
    let series = BarSeries {
        name: "AUSDT".to_owned(),
        time_frame: "1h".parse().unwrap(),
        bars: (0..5).map(bar).collect(),
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
        currency: Default::default(),
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
    after([fill(1, "1", "100"), fill(2, "-5", "90")])
}

/// The same short, of which 3 are bought back at 95.
fn partly_closed() -> BacktestResult {
    after([fill(1, "1", "100"), fill(2, "-5", "90"), fill(3, "3", "95")])
}

/// These fills an hour each, and the close of 85.
fn after<const N: usize>(list: [(Fill, Order); N]) -> BacktestResult {
    let mut portfolio = Portfolio::new("1000".parse().unwrap(), 1);
    let mut book = TradeBook::new("1h".parse().unwrap(), 1);
    let mut costs = EngineCosts::default();
    let (mut fills, mut trades) = (Vec::new(), Vec::new());
    let point = |hour: i64, portfolio: &Portfolio| EquityPoint {
        at: Timestamp::from_nanos(hour * HOUR),
        equity: portfolio.equity(),
        cash: portfolio.cash(),
        gross_exposure: portfolio.gross_exposure(),
    };
    let symbol = SymbolId(0);
    let mut equity = vec![point(1, &portfolio)];
    for (hour, (fill, order)) in (2..).zip(list) {
        portfolio.apply(&fill).unwrap();
        let close = if hour >= 4 { "85" } else { "90" };
        portfolio.mark(symbol, close.parse().unwrap());
        equity.push(point(hour, &portfolio));
        trades.extend(book.apply(&fill, &order));
        costs.fees += fill.fee;
        costs.slippage += fill.slippage;
        costs.turnover += fill.notional().abs();
        costs.fills += 1;
        fills.push(fill);
    }
    portfolio.mark(symbol, "85".parse().unwrap());
    equity.push(point(2 + i64::try_from(N).unwrap(), &portfolio));
    let position = portfolio.position(symbol).unwrap();
    BacktestResult {
        initial_cash: portfolio.initial_cash(),
        currencies: Currencies::single("USDT", portfolio.initial_cash(), 1),
        rates: Vec::new(),
        books: portfolio.books().to_vec(),
        equity,
        fills,
        fill_steps: (1..).take(N).collect(),
        payments: Vec::new(),
        ambiguous_slices: (0, 4),
        trades,
        open_positions: vec![OpenPosition {
            symbol,
            quantity: position.quantity(),
            average_price: position.average_price().unwrap(),
            value: position.value(),
            unrealised: position.unrealised(),
        }],
        realised: portfolio.realised(),
        unrealised: portfolio.unrealised(),
        costs,
        costs_by_symbol: vec![costs],
        refusals: BTreeMap::new(),
        waited_steps: 0,
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
    assert_adds_up(&rows, &result);
}

/// What a part that is closed has brought belongs to the trade that is still open.
#[test]
fn a_partly_closed_trade_keeps_what_it_has_realised() {
    let result = partly_closed();
    let rows = trades(&market(), &result);
    assert_eq!(rows.len(), 2);
    let open = &rows[1];
    assert_eq!((open.exited_at, open.quantity), (None, 4.0));
    assert!((open.entry_price - 90.0).abs() < 1e-9);
    // Three at a loss of 5 each, one at a profit of 5; four fifths of the turning fill's fee and
    // all of the exit's.
    assert!((open.fees - 0.9).abs() < 1e-9, "{}", open.fees);
    assert!((open.net_profit - (5.0 - 15.0 - 0.9)).abs() < 1e-9);
    let paid = 4.0 * 90.0;
    assert!((open.net_return.unwrap() - open.net_profit / paid).abs() < 1e-12);
    assert_adds_up(&rows, &result);
}

fn assert_adds_up(rows: &[TradeRow], result: &BacktestResult) {
    let (market, config) = (market(), config());
    let all = total_flows(&market, &config, result).unwrap();
    assert_eq!(all.net(), result.final_equity() - result.initial_cash);
    let sum = |value: &dyn Fn(&TradeRow) -> f64| rows.iter().map(value).sum::<f64>();
    for (told, total) in [
        (sum(&|row| row.gross_profit), all.gross),
        (sum(&|row| row.fees), all.fees),
        (sum(&|row| row.slippage), all.spread + all.impact),
        (sum(&|row| row.net_profit), all.net()),
    ] {
        assert!((told - total.to_f64()).abs() < 1e-9, "{told} {total}");
    }
}
