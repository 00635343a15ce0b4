//! Sessions beside backtesting.py and vectorbt: same strategies, data and costs, same fills and
//! final equity. `tests/reference/backtesting_parity.py` says what was made comparable and how.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]
#![allow(clippy::print_stdout, reason = "a skipped test says why")]

use std::path::Path;

use fusebox_engine::backtest::{BacktestSpec, run_backtest};
use fusebox_engine::execution::ExecutionConfig;
use fusebox_engine::fusion::{FusionConfig, ModelInfo, ModelRef, Prediction};
use fusebox_engine::journal::{Event, JsonLines, read_entries, replay};
use fusebox_engine::portfolio::PortfolioConfig;
use fusebox_engine::ports::{Answers, SignalError, SignalSource};
use fusebox_engine::risk::RiskConfig;
use fusebox_engine::session::SessionConfig;
use fusebox_engine::strategy::{EntryOrder, EntryTime, FailSafe, Protection, StrategyConfig};
use fusebox_engine::types::{Bar, BarSeries, Market, SymbolId, TimeFrame, Timestamp};
use fusebox_services::data::{DataRequest, load_market};
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// Equity of a billion, to this much: fees are rounded here and not there.
const CENT: f64 = 0.01;

#[derive(Deserialize)]
struct Reference {
    bars: usize,
    cash: f64,
    fraction: f64,
    fee_bps: f64,
    stop_loss: f64,
    take_profit: f64,
    limit_offset_bps: f64,
    averages: [usize; 2],
    formula: Vec<Case<Vec<(usize, i64, f64)>>>,
    recorded: Vec<Case<usize>>,
}

#[derive(Deserialize)]
struct Case<F> {
    by: String,
    sides: String,
    orders: String,
    slippage_bps: f64,
    fills: F,
    #[serde(default)]
    digest: String,
    final_equity: f64,
}

fn reference() -> Reference {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference/data/backtesting_parity.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The walk in whole cents that the script makes.
fn formula(bars: usize) -> Market {
    let (mut state, mut close) = (20_240_501_u64, 2_000_000_i64);
    let mut draw = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        i64::try_from((state >> 33) % 2001).unwrap()
    };
    let time_frame: TimeFrame = "1h".parse().unwrap();
    let bars = (0..i64::try_from(bars).unwrap()).map(|hour| {
        let open = close + draw() - 1000;
        let moved = open * (98_000 + 2 * draw()) / 100_000;
        let high = open.max(moved) + 10 * draw();
        let low = open.min(moved) - 10 * draw();
        close = moved;
        let price = |cents: i64| cents as f64 / 100.0;
        Bar {
            opened_at: Timestamp::from_nanos(hour * time_frame.nanos()),
            closed_at: Timestamp::from_nanos((hour + 1) * time_frame.nanos()),
            open: price(open),
            high: price(high),
            low: price(low),
            close: price(close),
            volume: 1.0,
            quote_volume: None,
            trades: None,
            taker_buy_volume: None,
        }
    });
    let bars = bars.collect();
    let name = "FORMULA".to_owned();
    Market::new(vec![BarSeries {
        name,
        time_frame,
        bars,
    }])
    .unwrap()
}

/// Long where the fast average of the closes that it was shown is above the slow one.
struct Crossover {
    models: Vec<ModelInfo>,
    averages: [usize; 2],
    allow_short: bool,
    closes: Vec<f64>,
}

impl Crossover {
    fn new(averages: [usize; 2], allow_short: bool) -> Self {
        Self {
            models: vec![ModelInfo {
                name: "crossover".to_owned(),
                version: "1.0.0".to_owned(),
                digest: String::new(),
                generation: 0,
                fold: None,
            }],
            averages,
            allow_short,
            closes: Vec::new(),
        }
    }
}

impl SignalSource for Crossover {
    fn models(&self) -> &[ModelInfo] {
        &self.models
    }

    fn predict(
        &mut self,
        closed_at: Timestamp,
        bars: &[Option<&Bar>],
        answers: &mut Answers,
    ) -> Result<(), SignalError> {
        self.closes.extend(bars[0].map(|bar| bar.close));
        let [fast, slow] = self.averages.map(|bars| {
            let from = self.closes.len().checked_sub(bars)?;
            // From left to right, as the script does.
            let sum = self.closes[from..].iter().fold(0.0, |sum, one| sum + one);
            Some(sum / bars as f64)
        });
        let probabilities = match (fast, slow) {
            (Some(fast), Some(slow)) if fast > slow => [0.0, 0.0, 1.0],
            (Some(fast), Some(slow)) if fast < slow && self.allow_short => [1.0, 0.0, 0.0],
            _ => [0.0, 1.0, 0.0],
        };
        answers.predictions.push(Some(Prediction {
            symbol: SymbolId(0),
            closed_at,
            probabilities,
            model: ModelRef(0),
        }));
        Ok(())
    }
}

fn config<F>(all: &Reference, case: &Case<F>) -> SessionConfig {
    let allow_short = case.sides == "long_short";
    let protected = case.orders == "protected";
    // Slippage leads off the ticks in the other programs.
    let tick_size = if case.slippage_bps > 0.0 { 1e-8 } else { 0.01 };
    SessionConfig {
        strategy: StrategyConfig {
            entry_threshold: 0.5,
            exit_threshold: 0.5,
            minimum_holding_bars: 0,
            minimum_confidence: None,
            allow_short,
            fail_safe: FailSafe::Flatten,
            entry: match case.orders.as_str() {
                "limit" => EntryOrder::Limit {
                    offset_bps: all.limit_offset_bps,
                    valid_bars: 1,
                    time_in_force: EntryTime::Gtc,
                },
                _ => EntryOrder::Market,
            },
            protection: Protection {
                stop_loss: protected.then_some(all.stop_loss),
                take_profit: protected.then_some(all.take_profit),
                ..Protection::default()
            },
        },
        fusion: FusionConfig::default(),
        risk: RiskConfig {
            position_fraction: Some(all.fraction),
            max_symbol_weight: Some(1.0),
            max_gross_exposure: Some(1.0),
            max_order_notional: Some(1e10),
            max_drawdown: Some(1.0),
            max_data_age_bars: Some(0),
            ..RiskConfig::default()
        },
        execution: ExecutionConfig {
            lot_size: 1.0,
            tick_size,
            order_expiry_bars: 1_000,
            // A touch fills, without a queue.
            limit_through_ticks: 0,
            ..ExecutionConfig::costing(all.fee_bps, case.slippage_bps)
        },
        portfolio: PortfolioConfig {
            allow_short,
            margin: None,
            ..PortfolioConfig::with_cash(all.cash)
        },
    }
}

/// Fills as bar, quantity and price, those of one bar and price as one; and equity at the end.
fn traded(
    market: &Market,
    config: &SessionConfig,
    averages: [usize; 2],
) -> (Vec<(usize, i64, f64)>, f64) {
    let spec = BacktestSpec {
        market,
        config,
        config_digest: "parity",
    };
    let mut journal = JsonLines::new(Vec::new());
    let mut signals = Crossover::new(averages, config.strategy.allow_short);
    let result = run_backtest(&spec, &mut signals, &mut journal).unwrap();
    let bytes = journal.into_inner().unwrap();
    replay(bytes.as_slice(), result.journal_digest.as_deref()).unwrap();
    let bars = &market.series()[0].bars;
    let mut fills: Vec<(usize, i64, f64)> = Vec::new();
    for entry in read_entries(bytes.as_slice()).map(Result::unwrap) {
        let Event::OrderFilled(fill) = entry.event else {
            continue;
        };
        let bar = bars.binary_search_by_key(&entry.at, |bar| bar.closed_at);
        let (bar, price) = (bar.unwrap(), fill.price.to_f64());
        let coins = fill.quantity.to_f64() as i64;
        match fills.last_mut() {
            Some(last) if last.0 == bar && last.2.to_bits() == price.to_bits() => last.1 += coins,
            _ => fills.push((bar, coins, price)),
        }
    }
    fills.retain(|fill| fill.1 != 0);
    (fills, result.final_equity().to_f64())
}

#[test]
fn fills_and_equity_are_those_of_other_backtesters() {
    let all = reference();
    let market = formula(all.bars);
    assert!(all.formula.len() >= 7);
    for case in &all.formula {
        let name = format!("{} {} {}", case.by, case.sides, case.orders);
        let (fills, equity) = traded(&market, &config(&all, case), all.averages);
        assert!(fills.len() > 25, "{name}");
        for (number, (found, expected)) in fills.iter().zip(&case.fills).enumerate() {
            let same = (found.0, found.1) == (expected.0, expected.1);
            let priced = (found.2 - expected.2).abs() < 1e-8;
            assert!(
                same && priced,
                "{name}, fill {number}: {found:?} {expected:?}"
            );
        }
        assert_eq!(fills.len(), case.fills.len(), "{name}");
        let expected = case.final_equity;
        assert!(
            (equity - expected).abs() < CENT,
            "{name}: {equity} {expected}"
        );
    }
}

#[test]
fn recorded_hours_of_bitcoin_come_to_the_same_in_other_backtesters() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/candles");
    if !dir.is_dir() {
        println!("skipped: there are no recorded candles in ../shared/data/candles");
        return;
    }
    let request = DataRequest {
        dir,
        exchange: "BINANCE".to_owned(),
        symbols: vec!["BTCUSDT".to_owned()],
        time_frame: "1h".parse().unwrap(),
        from: None,
        to: None,
    };
    let market = load_market(&request).unwrap().market;
    let all = reference();
    assert!(all.recorded.len() >= 7);
    for case in &all.recorded {
        let name = format!("{} {} {}", case.by, case.sides, case.orders);
        let (fills, equity) = traded(&market, &config(&all, case), all.averages);
        assert_eq!(fills.len(), case.fills, "{name}");
        let lines: String = fills
            .iter()
            .map(|(bar, coins, price)| format!("{bar},{coins},{price:.8}\n"))
            .collect();
        let digest: String = Sha256::digest(lines)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(digest, case.digest, "{name}");
        let expected = case.final_equity;
        assert!(
            (equity - expected).abs() < CENT,
            "{name}: {equity} {expected}"
        );
    }
}
