//! How fast a session walks through precomputed predictions, in bars per second.
//!
//! One symbol of one-minute bars, one `ml_signal` strategy, every part of the session: `null` keeps
//! no journal, `journal` encodes and hashes it into nothing.
use criterion::{BatchSize, Criterion, Throughput};
use fusebox_engine::backtest::{BacktestSpec, PrecomputedSignals, run_backtest};
use fusebox_engine::execution::ExecutionConfig;
use fusebox_engine::fusion::{FusionConfig, ModelInfo, ModelRef, Prediction};
use fusebox_engine::journal::{JsonLines, NullJournal};
use fusebox_engine::portfolio::PortfolioConfig;
use fusebox_engine::ports::JournalSink;
use fusebox_engine::risk::RiskConfig;
use fusebox_engine::session::SessionConfig;
use fusebox_engine::strategy::{FailSafe, StrategyConfig};
use fusebox_engine::types::{Bar, BarSeries, Market, SymbolId, Timestamp};

const BARS: i64 = 131_400;
const MINUTE: i64 = 60_000_000_000;

pub(crate) fn config() -> SessionConfig {
    SessionConfig {
        strategy: StrategyConfig {
            entry_threshold: 0.2,
            exit_threshold: 0.05,
            minimum_holding_bars: 5,
            minimum_confidence: None,
            allow_short: false,
            fail_safe: FailSafe::Flatten,
            entry: fusebox_engine::strategy::EntryOrder::Market,
            protection: fusebox_engine::strategy::Protection::default(),
        },
        fusion: FusionConfig::default(),
        risk: RiskConfig {
            position_fraction: Some(0.5),
            max_symbol_weight: Some(0.6),
            max_gross_exposure: Some(1.0),
            max_order_notional: Some(1e9),
            max_drawdown: Some(0.99),
            max_data_age_bars: Some(0),
            ..RiskConfig::default()
        },
        execution: ExecutionConfig {
            lot_size: 1e-5,
            tick_size: 0.01,
            min_notional: 10.0,
            order_expiry_bars: 1,
            ..ExecutionConfig::costing(0.0, 0.0)
        },
        portfolio: PortfolioConfig {
            allow_short: false,
            margin: None,
            ..PortfolioConfig::with_cash(1e6)
        },
    }
}

/// So many minutes of a price that comes and goes.
pub(crate) fn market(bars: i64) -> Market {
    let price = |minute: i64| 30_000.0 + 3_000.0 * (minute as f64 / 500.0).sin();
    let bars = (0..bars).map(|minute| Bar {
        opened_at: Timestamp::from_nanos(minute * MINUTE),
        closed_at: Timestamp::from_nanos((minute + 1) * MINUTE),
        open: price(minute),
        high: price(minute) + 1.0,
        low: price(minute) - 1.0,
        close: price(minute + 1),
        volume: 1.0,
        quote_volume: None,
        trades: None,
        taker_buy_volume: None,
    });
    let series = BarSeries {
        name: "BTCUSDT".to_owned(),
        time_frame: "1m".parse().unwrap(),
        bars: bars.collect(),
    };
    Market::new(vec![series]).unwrap()
}

/// A prediction at every close, with the score that `score` gives to its number.
pub(crate) fn signals(market: &Market, score: impl Fn(i64) -> f32) -> PrecomputedSignals {
    let bars = i64::try_from(market.series()[0].bars.len()).unwrap();
    let predictions = (0..bars).map(|minute| {
        let score = score(minute);
        Prediction {
            symbol: SymbolId(0),
            closed_at: Timestamp::from_nanos((minute + 1) * MINUTE),
            probabilities: [(1.0 - score) / 2.0, 0.0, (1.0 + score) / 2.0],
            model: ModelRef(0),
        }
    });
    let model = ModelInfo {
        name: "sine".to_owned(),
        version: "1.0.0".to_owned(),
        digest: String::new(),
        generation: 0,
        fold: None,
    };
    PrecomputedSignals::new(market, vec![model], predictions.collect()).unwrap()
}

/// A score that asks for an entry and an exit every 44 bars.
pub(crate) fn wave(minute: i64) -> f32 {
    (minute as f32 / 7.0).sin() * 0.4
}

pub(crate) fn session(criterion: &mut Criterion) {
    let (market, config) = (market(BARS), config());
    let signals = signals(&market, wave);
    let spec = BacktestSpec {
        market: &market,
        config: &config,
        config_digest: "bench",
    };
    let run = |journal: &mut dyn JournalSink| {
        let mut signals = signals.clone();
        let result = run_backtest(&spec, &mut signals, journal).unwrap();
        assert!(result.fills.len() > 1_000);
        result
    };
    let mut group = criterion.benchmark_group("session");
    group.throughput(Throughput::Elements(BARS.unsigned_abs()));
    group.sample_size(10);
    group.bench_function("null", |bencher| bencher.iter(|| run(&mut NullJournal)));
    group.bench_function("journal", |bencher| {
        let sink = || JsonLines::new(std::io::sink());
        bencher.iter_batched(sink, |mut sink| run(&mut sink), BatchSize::PerIteration);
    });
    group.finish();
}
