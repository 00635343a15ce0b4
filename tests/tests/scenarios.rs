//! Whole trading days worked out by hand, exact to the last unit.
//!
//! A scenario is a market as a table, scores by hour and the events that must follow. Hour `h` is
//! the bar that closes at hour `h`; it opens at `h - 1`. Each scenario is run twice, which must
//! give the same journal, and its journal is replayed, which must give the same cash.
#![expect(
    clippy::unwrap_used,
    reason = "a fixture that is wrong must stop the run"
)]

use fusebox_engine::backtest::{
    BacktestResult, BacktestSpec, PrecomputedSignals, buy_and_hold, flat, run_backtest,
};
use fusebox_engine::execution::ExecutionConfig;
use fusebox_engine::fusion::{FusionConfig, ModelInfo, ModelRef, Prediction};
use fusebox_engine::journal::{Event, JournalEntry, JsonLines, read_entries, replay};
use fusebox_engine::portfolio::PortfolioConfig;
use fusebox_engine::ports::JournalSink;
use fusebox_engine::risk::{Refusal, RiskConfig};
use fusebox_engine::session::SessionConfig;
use fusebox_engine::strategy::{FailSafe, StrategyConfig};
use fusebox_engine::types::{Bar, BarSeries, Market, SymbolId, TimeFrame, Timestamp};

const HOUR: i64 = 3_600_000_000_000;

/// Closing hour, open, close.
type Row = (i64, f64, f64);
/// Closing hour, score.
type Score = (i64, f32);

/// Half of equity per position, a fee of 10 bps, no slippage, long only.
fn config() -> SessionConfig {
    SessionConfig {
        strategy: StrategyConfig {
            entry_threshold: 0.25,
            exit_threshold: 0.125,
            minimum_holding_bars: 0,
            minimum_confidence: None,
            allow_short: false,
            fail_safe: FailSafe::Flatten,
            entry: fusebox_engine::strategy::EntryOrder::Market,
            protection: fusebox_engine::strategy::Protection::default(),
        },
        fusion: FusionConfig::default(),
        risk: RiskConfig {
            position_fraction: Some(0.5),
            max_symbol_weight: Some(1.0),
            max_gross_exposure: Some(1.0),
            max_order_notional: Some(1e6),
            max_drawdown: Some(0.5),
            max_data_age_bars: Some(0),
            ..RiskConfig::default()
        },
        execution: ExecutionConfig {
            lot_size: 1e-8,
            tick_size: 1e-8,
            min_notional: 0.0,
            order_expiry_bars: 0,
            ..ExecutionConfig::costing(10.0, 0.0)
        },
        portfolio: PortfolioConfig {
            allow_short: false,
            margin: None,
            ..PortfolioConfig::with_cash(1_000.0)
        },
    }
}

/// As [`config`], with short positions.
fn margin() -> SessionConfig {
    let mut config = config();
    config.strategy.allow_short = true;
    config.portfolio.allow_short = true;
    config
}

fn at(hour: i64) -> Timestamp {
    Timestamp::from_nanos(hour * HOUR)
}

fn market(symbols: &[&[Row]]) -> Market {
    let time_frame: TimeFrame = "1h".parse().unwrap();
    let series = ["A", "B", "C"].iter().zip(symbols).map(|(name, rows)| {
        let bars = rows.iter().map(|&(hour, open, close)| Bar {
            opened_at: at(hour - 1),
            closed_at: at(hour),
            open,
            high: open.max(close),
            low: open.min(close),
            close,
            volume: 1.0,
            quote_volume: None,
            trades: None,
            taker_buy_volume: None,
        });
        BarSeries {
            name: (*name).to_owned(),
            time_frame,
            bars: bars.collect(),
        }
    });
    Market::new(series.collect()).unwrap()
}

fn signals(market: &Market, scores: &[&[Score]]) -> PrecomputedSignals {
    let model = ModelInfo {
        name: "by-hand".to_owned(),
        version: "1.0.0".to_owned(),
        digest: "00".to_owned(),
        generation: 1,
        fold: None,
    };
    let mut predictions = Vec::new();
    for (symbol, scores) in (0..).map(SymbolId).zip(scores) {
        for &(hour, score) in *scores {
            predictions.push(Prediction {
                symbol,
                closed_at: at(hour),
                probabilities: [(1.0 - score) / 2.0, 0.0, (1.0 + score) / 2.0],
                model: ModelRef(0),
            });
        }
    }
    PrecomputedSignals::new(market, vec![model], predictions).unwrap()
}

/// The events that matter, one short line each.
fn line(entry: &JournalEntry) -> Option<String> {
    let names = ["A", "B", "C"];
    let name = |symbol: SymbolId| names[symbol.index()];
    let text = match &entry.event {
        Event::OrderApproved(order) => {
            let reason = serde_json::to_value(order.reason).unwrap();
            let reason = reason.as_str().unwrap().to_owned();
            format!("order {} {} {reason}", name(order.symbol), order.quantity)
        }
        Event::OrderFilled(fill) => format!(
            "fill {} {} at {} fee {} slippage {}",
            name(fill.symbol),
            fill.quantity,
            fill.price,
            fill.fee,
            fill.slippage
        ),
        Event::OrderExpired { reason, .. } => format!("expired {reason:?}"),
        Event::OrderRefused { symbol, reason } => format!("refused {} {reason:?}", name(*symbol)),
        Event::Marked { equity, cash, .. } => format!("equity {equity} cash {cash}"),
        Event::BreakerTripped { peak, .. } => format!("breaker from {peak}"),
        Event::Ruined { .. } => "ruined".to_owned(),
        _ => return None,
    };
    Some(format!("{} {text}", entry.at.as_nanos() / HOUR))
}

fn run(
    config: &SessionConfig,
    symbols: &[&[Row]],
    scores: &[&[Score]],
) -> (BacktestResult, Vec<u8>) {
    let market = market(symbols);
    let spec = BacktestSpec {
        market: &market,
        config,
        config_digest: &config.digest(),
    };
    let mut journal = JsonLines::new(Vec::new());
    let result = run_backtest(&spec, &mut signals(&market, scores), &mut journal).unwrap();
    assert_eq!(journal.digest(), result.journal_digest);
    (result, journal.into_inner().unwrap())
}

/// Runs a scenario and holds its events against `expected`.
fn expect(
    config: &SessionConfig,
    symbols: &[&[Row]],
    scores: &[&[Score]],
    expected: &[&str],
) -> BacktestResult {
    let (result, journal) = run(config, symbols, scores);
    let (_, again) = run(config, symbols, scores);
    assert_eq!(journal, again);
    let entries = read_entries(journal.as_slice()).map(Result::unwrap);
    let found: Vec<String> = entries.filter_map(|entry| line(&entry)).collect();
    assert_eq!(found, expected, "found {found:#?}");
    let replayed = replay(journal.as_slice(), result.journal_digest.as_deref()).unwrap();
    assert_eq!(replayed.fills, result.fills);
    assert_eq!(replayed.trades, result.trades);
    let last = result.equity.last().unwrap();
    assert_eq!(replayed.portfolio.cash(), last.cash);
    let explained = result.realised + result.unrealised - result.costs.fees;
    assert_eq!(explained, last.equity - result.initial_cash);
    result
}

#[test]
fn a_long_round_trip_pays_its_fees() {
    // 500 / 100 = 5; fees 0.1 % of 500 and of 605.
    let result = expect(
        &config(),
        &[&[
            (1, 99.0, 100.0),
            (2, 100.0, 110.0),
            (3, 110.0, 120.0),
            (4, 121.0, 90.0),
        ]],
        &[&[(1, 0.5), (2, 0.5), (3, 0.0), (4, 0.0)]],
        &[
            "1 equity 1000 cash 1000",
            "1 order A 5 entry",
            "2 fill A 5 at 100 fee 0.5 slippage 0",
            "2 equity 1049.5 cash 499.5",
            "3 equity 1099.5 cash 499.5",
            "3 order A -5 exit",
            "4 fill A -5 at 121 fee 0.605 slippage 0",
            "4 equity 1103.895 cash 1103.895",
        ],
    );
    let trade = result.trades[0];
    assert_eq!(trade.gross.to_string(), "105");
    assert_eq!(trade.fees.to_string(), "1.105");
    assert_eq!(trade.net.to_string(), "103.895");
    assert_eq!(trade.bars_held, 2);
    assert_eq!((trade.opened_at, trade.closed_at), (at(1), at(3)));
    assert_eq!(result.costs.turnover.to_string(), "1105");
}

#[test]
fn slippage_and_ticks_are_against_the_order() {
    let mut config = config();
    config.execution.fee_bps = 0.0;
    config.execution.slippage_bps = 100.0;
    config.execution.tick_size = 0.5;
    // Buys at 100.1 x 1.01 = 101.101, up to 101.5; sells at 110.1 x 0.99 = 108.999, down to 108.5.
    let result = expect(
        &config,
        &[&[(1, 99.0, 100.0), (2, 100.1, 110.0), (3, 110.1, 111.0)]],
        &[&[(1, 0.5), (2, 0.0), (3, 0.0)]],
        &[
            "1 equity 1000 cash 1000",
            "1 order A 5 entry",
            "2 fill A 5 at 101.5 fee 0 slippage 7",
            "2 equity 1042.5 cash 492.5",
            "2 order A -5 exit",
            "3 fill A -5 at 108.5 fee 0 slippage 8",
            "3 equity 1035 cash 1035",
        ],
    );
    let trade = result.trades[0];
    assert_eq!(trade.gross.to_string(), "50");
    assert_eq!(trade.slippage.to_string(), "15");
    assert_eq!(trade.net.to_string(), "35");
}

#[test]
fn a_flip_turns_long_into_short_in_one_order() {
    // At hour 2: equity 499.5 + 5 x 120 = 1099.5; half of it is 549.75 / 120 = 4.58125 short.
    let result = expect(
        &margin(),
        &[&[
            (1, 99.0, 100.0),
            (2, 100.0, 120.0),
            (3, 120.0, 100.0),
            (4, 100.0, 100.0),
        ]],
        &[&[(1, 0.5), (2, -0.5), (3, 0.0), (4, 0.0)]],
        &[
            "1 equity 1000 cash 1000",
            "1 order A 5 entry",
            "2 fill A 5 at 100 fee 0.5 slippage 0",
            "2 equity 1099.5 cash 499.5",
            "2 order A -9.58125 flip",
            "3 fill A -9.58125 at 120 fee 1.14975 slippage 0",
            "3 equity 1189.97525 cash 1648.10025",
            "3 order A 4.58125 exit",
            "4 fill A 4.58125 at 100 fee 0.458125 slippage 0",
            "4 equity 1189.517125 cash 1189.517125",
        ],
    );
    // The flip's fee: 5 / 9.58125 of 1.14975 is 0.6 for the long, the rest for the short.
    assert_eq!(result.trades[0].net.to_string(), "98.9");
    assert_eq!(result.trades[1].fees.to_string(), "1.007875");
    assert_eq!(result.trades[1].net.to_string(), "90.617125");
}

#[test]
fn quantities_go_down_to_the_lot_and_small_orders_are_refused() {
    let mut config = config();
    config.execution.lot_size = 0.4;
    let rows: &[Row] = &[(1, 99.0, 300.0), (2, 300.0, 300.0)];
    // 500 / 300 = 1.666 is four lots of 0.4.
    let bought = [
        "1 equity 1000 cash 1000",
        "1 order A 1.6 entry",
        "2 fill A 1.6 at 300 fee 0.48 slippage 0",
        "2 equity 999.52 cash 519.52",
    ];
    expect(&config, &[rows], &[&[(1, 0.5), (2, 0.5)]], &bought);
    // 1.6 x 300 = 480.
    config.execution.min_notional = 480.0;
    expect(&config, &[rows], &[&[(1, 0.5), (2, 0.5)]], &bought);
    config.execution.min_notional = 480.00000001;
    let refused = [
        "1 equity 1000 cash 1000",
        "1 refused A BelowMinimum",
        "2 equity 1000 cash 1000",
        "2 refused A BelowMinimum",
    ];
    let result = expect(&config, &[rows], &[&[(1, 0.5), (2, 0.5)]], &refused);
    assert_eq!(result.refusals[&Refusal::BelowMinimum], 2);
}

#[test]
fn orders_wait_over_a_gap_as_long_as_they_may() {
    // A has no bar at hour 2, B tells the time.
    let a: &[Row] = &[(1, 99.0, 100.0), (3, 100.0, 100.0)];
    let b: &[Row] = &[(1, 9.0, 9.0), (2, 9.0, 9.0), (3, 9.0, 9.0)];
    let scores: &[&[Score]] = &[&[(1, 0.5), (3, 0.5)], &[]];
    let mut config = config();
    expect(
        &config,
        &[a, b],
        scores,
        &[
            "1 equity 1000 cash 1000",
            "1 order A 5 entry",
            "2 expired Stale",
            "2 equity 1000 cash 1000",
            "3 equity 1000 cash 1000",
            "3 order A 5 entry",
            "3 expired SessionEnded",
        ],
    );
    config.execution.order_expiry_bars = 1;
    expect(
        &config,
        &[a, b],
        scores,
        &[
            "1 equity 1000 cash 1000",
            "1 order A 5 entry",
            "2 equity 1000 cash 1000",
            "3 fill A 5 at 100 fee 0.5 slippage 0",
            "3 equity 999.5 cash 499.5",
        ],
    );
    // Alone, A has no step at hour 2; the order is found stale by the bar that opens too late.
    config.execution.order_expiry_bars = 0;
    let late: &[Row] = &[(1, 99.0, 100.0), (5, 100.0, 100.0)];
    expect(
        &config,
        &[late],
        &[&[(1, 0.5), (5, 0.0)]],
        &[
            "1 equity 1000 cash 1000",
            "1 order A 5 entry",
            "5 expired Stale",
            "5 equity 1000 cash 1000",
        ],
    );
}

#[test]
fn a_gap_in_data_is_marked_at_the_last_close_and_never_acted_on() {
    // The prediction of hour 3 has no bar of A behind it.
    expect(
        &config(),
        &[
            &[(1, 99.0, 100.0), (2, 100.0, 110.0), (4, 90.0, 80.0)],
            &[(1, 9.0, 9.0), (2, 9.0, 9.0), (3, 9.0, 9.0), (4, 9.0, 9.0)],
        ],
        &[&[(1, 0.5), (2, 0.5), (3, -0.5), (4, 0.5)], &[]],
        &[
            "1 equity 1000 cash 1000",
            "1 order A 5 entry",
            "2 fill A 5 at 100 fee 0.5 slippage 0",
            "2 equity 1049.5 cash 499.5",
            "3 equity 1049.5 cash 499.5",
            "3 refused A StaleData",
            "4 equity 899.5 cash 499.5",
        ],
    );
}

#[test]
fn the_drawdown_breaker_closes_everything_and_stays() {
    let mut config = config();
    config.risk.position_fraction = Some(0.8);
    config.risk.max_drawdown = Some(0.1);
    config.execution.fee_bps = 0.0;
    // The peak is 1160 at hour 2; 10 % below it is 1044. Equity then recovers, the breaker stays.
    let result = expect(
        &config,
        &[&[
            (1, 99.0, 100.0),
            (2, 100.0, 120.0),
            (3, 120.0, 105.5),
            (4, 110.0, 200.0),
            (5, 200.0, 200.0),
        ]],
        &[&[(1, 0.5), (2, 0.5), (3, 0.5), (4, 0.5), (5, 0.5)]],
        &[
            "1 equity 1000 cash 1000",
            "1 order A 8 entry",
            "2 fill A 8 at 100 fee 0 slippage 0",
            "2 equity 1160 cash 200",
            "3 equity 1044 cash 200",
            "3 breaker from 1160",
            "3 order A -8 breaker",
            "4 fill A -8 at 110 fee 0 slippage 0",
            "4 equity 1080 cash 1080",
            "4 refused A BreakerTripped",
            "5 equity 1080 cash 1080",
            "5 refused A BreakerTripped",
        ],
    );
    assert!(result.breaker_tripped);
    assert!(!result.ruined);
}

#[test]
fn an_empty_risk_configuration_refuses_every_order() {
    let mut config = config();
    config.risk = RiskConfig::default();
    let result = expect(
        &config,
        &[&[(1, 99.0, 100.0), (2, 100.0, 110.0)]],
        &[&[(1, 0.5), (2, 0.5)]],
        &[
            "1 equity 1000 cash 1000",
            "1 refused A NotConfigured",
            "2 equity 1000 cash 1000",
            "2 refused A NotConfigured",
        ],
    );
    assert_eq!(result.fills, []);
}

#[test]
fn purchases_are_cut_to_the_cash_when_the_open_is_higher() {
    let mut config = config();
    config.risk.position_fraction = Some(1.0);
    config.execution.lot_size = 0.1;
    // 10 wanted; 9.9 at 101 cost 999.9 and a fee of 0.9999, too much; 9.8 cost 989.8 and 0.9898.
    expect(
        &config,
        &[&[(1, 99.0, 100.0), (2, 101.0, 101.0)]],
        &[&[(1, 0.5), (2, 0.5)]],
        &[
            "1 equity 1000 cash 1000",
            "1 order A 10 entry",
            "2 fill A 9.8 at 101 fee 0.9898 slippage 0",
            "2 expired InsufficientCash",
            "2 equity 999.0102 cash 9.2102",
        ],
    );
}

#[test]
fn ruin_closes_the_account_for_good() {
    let mut config = margin();
    config.risk.position_fraction = Some(1.0);
    config.risk.max_drawdown = Some(1.0);
    config.execution.fee_bps = 0.0;
    // Short 10 at 100, the price goes to 200: 2000 - 2000 = 0 is ruin; bought back at 190.
    let result = expect(
        &config,
        &[&[
            (1, 99.0, 100.0),
            (2, 100.0, 200.0),
            (3, 190.0, 190.0),
            (4, 10.0, 10.0),
        ]],
        &[&[(1, -0.5), (2, -0.5), (3, 0.5), (4, 0.5)]],
        &[
            "1 equity 1000 cash 1000",
            "1 order A -10 entry",
            "2 fill A -10 at 100 fee 0 slippage 0",
            "2 equity 0 cash 2000",
            "2 ruined",
            "2 order A 10 ruin",
            "3 fill A 10 at 190 fee 0 slippage 0",
            "3 equity 100 cash 100",
            "3 refused A Ruined",
            "4 equity 100 cash 100",
            "4 refused A Ruined",
        ],
    );
    assert!(result.ruined);
}

#[test]
fn positions_are_held_for_the_minimum_time() {
    let mut config = config();
    config.strategy.minimum_holding_bars = 2;
    config.execution.fee_bps = 0.0;
    let rows: Vec<Row> = (1..6).map(|hour| (hour, 100.0, 100.0)).collect();
    let result = expect(
        &config,
        &[&rows],
        &[&[(1, 0.5), (2, 0.0), (3, 0.0), (4, 0.0), (5, 0.0)]],
        &[
            "1 equity 1000 cash 1000",
            "1 order A 5 entry",
            "2 fill A 5 at 100 fee 0 slippage 0",
            "2 equity 1000 cash 500",
            "3 equity 1000 cash 500",
            "3 order A -5 exit",
            "4 fill A -5 at 100 fee 0 slippage 0",
            "4 equity 1000 cash 1000",
            "5 equity 1000 cash 1000",
        ],
    );
    assert_eq!(result.trades[0].bars_held, 2);
}

#[test]
fn closings_make_room_and_pay_for_openings() {
    let mut config = config();
    config.risk.position_fraction = Some(0.75);
    config.execution.fee_bps = 0.0;
    // A is cut to the quarter of equity that C leaves, and is not topped up later.
    let still: Vec<Row> = (1..5).map(|hour| (hour, 50.0, 50.0)).collect();
    expect(
        &config,
        &[&still, &still, &still],
        &[
            &[(1, 0.0), (2, 0.5), (3, 0.5), (4, 0.5)],
            &[(1, 0.0), (2, 0.0), (3, 0.0), (4, 0.0)],
            &[(1, 0.5), (2, 0.5), (3, 0.0), (4, 0.0)],
        ],
        &[
            "1 equity 1000 cash 1000",
            "1 order C 15 entry",
            "2 fill C 15 at 50 fee 0 slippage 0",
            "2 equity 1000 cash 250",
            "2 order A 5 entry",
            "3 fill A 5 at 50 fee 0 slippage 0",
            "3 equity 1000 cash 0",
            "3 order C -15 exit",
            "4 fill C -15 at 50 fee 0 slippage 0",
            "4 equity 1000 cash 750",
        ],
    );
    // A is decided before B is, but B's closing comes first and A gets its whole 75 %.
    expect(
        &config,
        &[&still, &still],
        &[
            &[(1, 0.0), (2, 0.5), (3, 0.5), (4, 0.5)],
            &[(1, 0.5), (2, 0.0), (3, 0.0), (4, 0.0)],
        ],
        &[
            "1 equity 1000 cash 1000",
            "1 order B 15 entry",
            "2 fill B 15 at 50 fee 0 slippage 0",
            "2 equity 1000 cash 250",
            "2 order B -15 exit",
            "2 order A 15 entry",
            "3 fill B -15 at 50 fee 0 slippage 0",
            "3 fill A 15 at 50 fee 0 slippage 0",
            "3 equity 1000 cash 250",
            "4 equity 1000 cash 250",
        ],
    );
}

#[test]
fn a_prediction_that_is_not_a_number_is_refused_and_journaled() {
    let result = expect(
        &config(),
        &[&[(1, 99.0, 100.0), (2, 100.0, 100.0)]],
        &[&[(1, f32::NAN), (2, f32::INFINITY)]],
        &[
            "1 equity 1000 cash 1000",
            "1 refused A InvalidPrediction",
            "2 equity 1000 cash 1000",
            "2 refused A InvalidPrediction",
        ],
    );
    assert_eq!(result.refusals[&Refusal::InvalidPrediction], 2);
}

#[test]
fn baselines_pay_the_same_costs_over_the_same_hours() {
    let mut config = config();
    config.execution.fee_bps = 25.0;
    config.execution.lot_size = 0.01;
    let a: &[Row] = &[
        (1, 1.0, 1.0),
        (2, 90.0, 100.0),
        (3, 100.0, 110.0),
        (4, 110.0, 120.0),
    ];
    let b: &[Row] = &[(3, 7.0, 7.0), (4, 10.0, 20.0)];
    let market = market(&[a, b]);
    let range = Some((at(2), at(4)));
    let held = buy_and_hold(&market, &config, range).unwrap();
    // A: 500 buy 4.98 at 100 (498 and a fee of 1.245); B, seen at hour 3 first: 71.25 at 7.
    let fills: Vec<String> = held
        .fills
        .iter()
        .map(|fill| format!("{} at {} fee {}", fill.quantity, fill.price, fill.fee))
        .collect();
    assert_eq!(fills, ["4.98 at 100 fee 1.245", "71.25 at 7 fee 1.246875"]);
    let equity: Vec<String> = held
        .equity
        .iter()
        .map(|point| point.equity.to_string())
        .collect();
    // Cash 1000 - 499.245 - 499.996875 = 0.758125; then 547.8 + 498.75, then 597.6 + 1425.
    assert_eq!(equity, ["1000", "1047.308125", "2023.358125"]);
    assert_eq!(held.costs_by_symbol[1].fees.to_string(), "1.246875");
    let nothing = flat(&market, &config, range).unwrap();
    let hours: Vec<Timestamp> = held.equity.iter().map(|point| point.at).collect();
    assert_eq!(hours, [at(2), at(3), at(4)]);
    assert!(
        nothing
            .equity
            .iter()
            .zip(&hours)
            .all(|(point, hour)| point.at == *hour)
    );
    assert_eq!(nothing.final_equity().to_string(), "1000");
}
