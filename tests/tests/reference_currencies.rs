//! An account of three currencies beside the one of `tests/reference/currencies.py`: every fill,
//! the equity after every step and every balance to the last unit of 1e-8, and the balances of
//! NautilusTrader after the same fills.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::collections::BTreeMap;
use std::path::Path;

use fusebox_engine::backtest::{BacktestResult, BacktestSpec, PrecomputedSignals, run_backtest};
use fusebox_engine::execution::{ExecutionConfig, SymbolConfig};
use fusebox_engine::fusion::{FusionConfig, ModelInfo, ModelRef, Prediction};
use fusebox_engine::journal::NullJournal;
use fusebox_engine::portfolio::{InitialCash, PortfolioConfig};
use fusebox_engine::risk::RiskConfig;
use fusebox_engine::session::SessionConfig;
use fusebox_engine::strategy::{EntryOrder, FailSafe, Protection, StrategyConfig};
use fusebox_engine::types::{Bar, BarSeries, Cash, Market, SymbolId, TimeFrame, Timestamp};
use serde::Deserialize;

const NAMES: [&str; 3] = ["BTCUSDT", "ETHBTC", "EURUSDT"];
/// Decimals of a tick, and the first close in ticks.
const TICKS: [(i32, i64); 3] = [(2, 6_400_000), (6, 50_000), (4, 10_800)];

#[derive(Deserialize)]
struct Reference {
    steps: i64,
    with_interest: Run,
    without_interest: Totals,
    nautilus: Balances,
}

#[derive(Deserialize)]
struct Run {
    fills: Vec<(usize, u32, String, String, String)>,
    equity: Vec<String>,
    balances: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Totals {
    balances: BTreeMap<String, String>,
    fills: usize,
}

#[derive(Deserialize)]
struct Balances {
    balances: BTreeMap<String, String>,
}

fn reference() -> Reference {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference/data/currencies.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn generator(seed: u64) -> impl FnMut() -> i64 {
    let mut state = seed;
    move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        i64::try_from((state >> 33) % 2001).unwrap()
    }
}

fn series(symbol: usize, steps: i64) -> BarSeries {
    let time_frame: TimeFrame = "1h".parse().unwrap();
    let mut draw = generator(20_261_126 + symbol as u64);
    let (decimals, mut close) = TICKS[symbol];
    let mut bars = Vec::new();
    for step in 0..steps {
        let open = close * (999_000 + draw()) / 1_000_000;
        close = open * (98_000 + 2 * draw()) / 100_000;
        if symbol == 2 && (step % 11 == 4 || step % 11 == 5) {
            continue;
        }
        let price = |ticks: i64| ticks as f64 / 10_f64.powi(decimals);
        bars.push(Bar {
            opened_at: Timestamp::from_nanos(step * time_frame.nanos()),
            closed_at: Timestamp::from_nanos((step + 1) * time_frame.nanos()),
            open: price(open),
            high: price(open.max(close)),
            low: price(open.min(close)),
            close: price(close),
            volume: 1.0,
            quote_volume: None,
            trades: None,
            taker_buy_volume: None,
        });
    }
    BarSeries {
        name: NAMES[symbol].to_owned(),
        time_frame,
        bars,
    }
}

/// The table of sides, as predictions that leave no doubt.
fn predictions(market: &Market, steps: i64) -> PrecomputedSignals {
    let mut all = Vec::new();
    let mut tables: Vec<Vec<i64>> = Vec::new();
    for symbol in 0..2_u64 {
        let (mut draw, mut side, mut table) = (generator(77 + symbol), 0, Vec::new());
        for step in 0..steps {
            if draw() < 300 {
                side = draw() % 3 - 1;
            }
            table.push(if step < steps - 5 { side } else { 0 });
        }
        tables.push(table);
    }
    for step in 0..steps {
        for (symbol, table) in (0..).map(SymbolId).zip(&tables) {
            let probabilities = match table[usize::try_from(step).unwrap()] {
                1 => [0.0, 0.0, 1.0],
                -1 => [1.0, 0.0, 0.0],
                _ => [0.0, 1.0, 0.0],
            };
            all.push(Prediction {
                symbol,
                closed_at: Timestamp::from_nanos((step + 1) * market.time_frame().nanos()),
                probabilities,
                model: ModelRef(0),
            });
        }
    }
    let model = ModelInfo {
        name: "table".to_owned(),
        version: "1.0.0".to_owned(),
        digest: String::new(),
        generation: 0,
        fold: None,
    };
    PrecomputedSignals::new(market, vec![model], all).unwrap()
}

fn config(borrow_annual_bps: f64) -> SessionConfig {
    let ticks = NAMES.iter().zip(TICKS).map(|(name, (decimals, _))| {
        let own = SymbolConfig {
            tick_size: Some(10_f64.powi(-decimals)),
            ..SymbolConfig::default()
        };
        ((*name).to_owned(), own)
    });
    let initial = [("USDT", 1_000_000.0), ("BTC", 5.0), ("EUR", 20_000.0)];
    let initial = initial.map(|(name, amount)| (name.to_owned(), amount));
    SessionConfig {
        strategy: StrategyConfig {
            entry_threshold: 0.5,
            exit_threshold: 0.5,
            minimum_holding_bars: 0,
            minimum_confidence: None,
            allow_short: true,
            fail_safe: FailSafe::Flatten,
            entry: EntryOrder::Market,
            protection: Protection::default(),
        },
        fusion: FusionConfig::default(),
        risk: RiskConfig {
            position_fraction: Some(0.25),
            max_symbol_weight: Some(1.0),
            max_gross_exposure: Some(100.0),
            max_order_notional: Some(1e9),
            max_drawdown: Some(1.0),
            max_data_age_bars: Some(5),
            ..RiskConfig::default()
        },
        execution: ExecutionConfig {
            lot_size: 0.0001,
            symbols: ticks.collect(),
            borrow_annual_bps,
            ..ExecutionConfig::costing(10.0, 5.0)
        },
        portfolio: PortfolioConfig {
            initial_cash: InitialCash::Each(initial.into()),
            allow_short: true,
            currency: Some("USDT".to_owned()),
            ..PortfolioConfig::with_cash(0.0)
        },
    }
}

fn traded(steps: i64, config: &SessionConfig) -> BacktestResult {
    let market = Market::new((0..3).map(|symbol| series(symbol, steps)).collect()).unwrap();
    let spec = BacktestSpec {
        market: &market,
        config,
        config_digest: "",
    };
    let mut signals = predictions(&market, steps);
    run_backtest(&spec, &mut signals, &mut NullJournal).unwrap()
}

fn balances(result: &BacktestResult) -> BTreeMap<String, Cash> {
    let names = result.currencies.names().iter().cloned();
    names
        .zip(result.books.iter().map(|book| book.cash))
        .collect()
}

#[test]
fn fills_equity_and_balances_are_those_of_the_reference_to_the_last_unit() {
    let expected = reference();
    let result = traded(expected.steps, &config(500.0));
    let run = expected.with_interest;
    let fills: Vec<_> = result
        .fills
        .iter()
        .zip(&result.fill_steps)
        .map(|(fill, step)| {
            let units = |units: i128| units.to_string();
            let (quantity, price) = (fill.quantity.units(), fill.price.units());
            (
                *step,
                fill.symbol.0,
                units(quantity),
                units(price),
                units(fill.fee.units()),
            )
        })
        .collect();
    assert!(fills.len() > 50);
    assert_eq!(fills, run.fills);
    let equity: Vec<String> = result
        .equity
        .iter()
        .map(|point| point.equity.units().to_string())
        .collect();
    assert_eq!(equity, run.equity);
    for (name, cash) in balances(&result) {
        assert_eq!(cash.units().to_string(), run.balances[&name], "{name}");
    }
    let interest = |name: &str| {
        let at = result.currencies.names().iter().position(|own| own == name);
        result.books[at.unwrap()].interest
    };
    assert!(interest("BTC") < Cash::ZERO, "bitcoins are borrowed");
}

#[test]
fn nautilus_trader_has_the_same_left_of_each_currency() {
    let expected = reference();
    let result = traded(expected.steps, &config(0.0));
    assert_eq!(result.fills.len(), expected.without_interest.fills);
    assert!(result.open_positions.is_empty());
    for (name, cash) in balances(&result) {
        let plain = &expected.without_interest.balances[&name];
        assert_eq!(cash.units().to_string(), *plain, "{name}");
        let theirs: Cash = expected.nautilus.balances[&name].parse().unwrap();
        // It rounds the average price of a position, which costs a unit of a fill at most.
        let off = (cash - theirs).units().unsigned_abs();
        assert!(
            off <= result.fills.len() as u128,
            "{name} is off by {off} units"
        );
    }
}
