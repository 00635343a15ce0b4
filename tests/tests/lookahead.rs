//! Strategies that cheat: they look at everything that they are given, keep it, and decide by it.
//!
//! Two runs share their past and have different futures, of which one is garbage. Whatever a
//! strategy, a journal or an order could have seen of a later bar would show as a difference before
//! it. What the types forbid is in the documentation of `ports`.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail the test that calls them"
)]

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use fusebox_engine::backtest::{BacktestSpec, run_backtest};
use fusebox_engine::execution::{ExecutionConfig, OrderId, SlippageConfig};
use fusebox_engine::fusion::{FusionConfig, ModelInfo, ModelRef, Prediction};
use fusebox_engine::journal::{Event, JournalEntry, JsonLines, NullJournal, read_entries};
use fusebox_engine::portfolio::PortfolioConfig;
use fusebox_engine::ports::{Answers, SignalError, SignalSource};
use fusebox_engine::risk::{RiskConfig, Sizing};
use fusebox_engine::session::{Session, SessionConfig, SessionSetup, StepError, StepInput};
use fusebox_engine::strategy::{EntryOrder, EntryTime, FailSafe, Protection, StrategyConfig};
use fusebox_engine::types::{Bar, BarSeries, Market, SymbolId, TimeFrame, Timestamp};
use proptest::prelude::*;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

const HOUR: i64 = 3_600_000_000_000;
const SYMBOLS: usize = 2;

fn model() -> ModelInfo {
    ModelInfo {
        name: "spy".to_owned(),
        version: "1.0.0".to_owned(),
        digest: String::new(),
        generation: 0,
        fold: None,
    }
}

/// Sees what a strategy sees, remembers all of it, and decides by every bit of it.
struct Spy {
    models: Vec<ModelInfo>,
    /// Everything seen so far.
    seen: DefaultHasher,
    /// What was known at each moment.
    known: Vec<(Timestamp, u64)>,
}

impl Spy {
    fn new() -> Self {
        Self {
            models: vec![model()],
            seen: DefaultHasher::new(),
            known: Vec::new(),
        }
    }

    fn look(&mut self, bar: &Bar) {
        let times = [bar.opened_at, bar.closed_at];
        times.map(Timestamp::as_nanos).hash(&mut self.seen);
        let prices = [bar.open, bar.high, bar.low, bar.close, bar.volume];
        prices.map(f64::to_bits).hash(&mut self.seen);
        let more = [bar.quote_volume, bar.trades, bar.taker_buy_volume];
        more.map(|one| one.map(f64::to_bits)).hash(&mut self.seen);
    }
}

impl SignalSource for Spy {
    fn models(&self) -> &[ModelInfo] {
        &self.models
    }

    fn predict(
        &mut self,
        closed_at: Timestamp,
        bars: &[Option<&Bar>],
        answers: &mut Answers,
    ) -> Result<(), SignalError> {
        // Whatever an answer of before could have left behind is seen, too.
        answers.predictions.len().hash(&mut self.seen);
        answers.predictions.capacity().min(1).hash(&mut self.seen);
        bars.len().hash(&mut self.seen);
        for bar in bars.iter().flatten() {
            self.look(bar);
        }
        let known = self.seen.finish();
        self.known.push((closed_at, known));
        for (symbol, bar) in (0..).map(SymbolId).zip(bars) {
            if bar.is_none() {
                continue;
            }
            let draw = (known >> (8 * symbol.0)) as u8;
            let probabilities = match draw % 4 {
                0 => [0.9, 0.05, 0.05],
                1 => [0.3, 0.4, 0.3],
                _ => [0.05, 0.05, 0.9],
            };
            answers.predictions.push(Some(Prediction {
                symbol,
                closed_at,
                probabilities,
                model: ModelRef(0),
            }));
        }
        Ok(())
    }
}

/// Bars of one symbol by hour.
type Rows = Vec<Option<[f64; 5]>>;

fn market(rows: &[Rows]) -> Market {
    let time_frame: TimeFrame = "1h".parse().unwrap();
    let series = rows.iter().enumerate().map(|(symbol, rows)| BarSeries {
        name: format!("S{symbol}"),
        time_frame,
        bars: (0..)
            .zip(rows)
            .filter_map(|(hour, row)| {
                let [open, high, low, close, volume] = (*row)?;
                Some(Bar {
                    opened_at: Timestamp::from_nanos(hour * HOUR),
                    closed_at: Timestamp::from_nanos((hour + 1) * HOUR),
                    open,
                    high,
                    low,
                    close,
                    volume,
                    quote_volume: Some(volume * close),
                    trades: None,
                    taker_buy_volume: None,
                })
            })
            .collect(),
    });
    Market::new(series.collect()).unwrap()
}

fn history(rng: &mut ChaCha8Rng, hours: usize) -> Vec<Rows> {
    let mut one = |start: f64| -> Rows {
        let mut price = start;
        let mut rows = Vec::new();
        for _ in 0..hours {
            let open = price * (1.0 + 0.01 * (rng.random::<f64>() - 0.5));
            price = open * (1.0 + 0.05 * (rng.random::<f64>() - 0.5));
            let high = open.max(price) * (1.0 + 0.01 * rng.random::<f64>());
            let low = open.min(price) * (1.0 - 0.01 * rng.random::<f64>());
            let volume = 500.0 * rng.random::<f64>();
            let there = rng.random::<f64>() > 0.07;
            rows.push(there.then_some([open, high, low, price, volume]));
        }
        rows
    };
    (0..SYMBOLS)
        .map(|symbol| one(100.0 * (symbol + 1) as f64))
        .collect()
}

/// The same up to the hour `kept`, and garbage after it.
fn poisoned(rows: &[Rows], kept: usize, rng: &mut ChaCha8Rng) -> Vec<Rows> {
    let mut spoil = |row: &Option<[f64; 5]>| {
        let mut any = |low: f64, high: f64| low + (high - low) * rng.random::<f64>();
        match any(0.0, 6.0) as u8 {
            0 => None,
            1 => Some([
                any(1e3, 1e5),
                f64::NAN,
                f64::INFINITY,
                any(1e3, 1e5),
                f64::NAN,
            ]),
            2 => Some([any(0.02, 1.0), 1e-9, 1e9, any(0.02, 1.0), -1.0]),
            3 => row.map(|[open, high, low, close, volume]| [close, low, high, open, -volume]),
            _ => Some([
                any(1.0, 1e4),
                any(1e4, 1e5),
                any(1e-3, 1.0),
                any(1.0, 1e4),
                any(0.0, 9.0),
            ]),
        }
    };
    let one = |rows: &Rows| -> Rows {
        let (past, future) = rows.split_at(kept + 1);
        let mut mixed = past.to_vec();
        mixed.extend(future.iter().map(&mut spoil));
        mixed
    };
    rows.iter().map(one).collect()
}

/// A venue of which `some` is drawn.
fn execution(some: &mut impl FnMut(f64, f64) -> Option<f64>) -> ExecutionConfig {
    ExecutionConfig {
        lot_size: 0.001,
        tick_size: 0.01,
        order_expiry_bars: some(0.0, 4.0).unwrap_or(0.0) as u32,
        latency_ms: some(0.0, 7_200_000.0).unwrap_or(0.0) as u64,
        participation: some(0.01, 1.0),
        spread_bps: some(0.0, 5.0).unwrap_or(0.0),
        slippage: match some(0.1, 1.0) {
            Some(factor) => SlippageConfig::Impact {
                factor,
                span_bars: 20,
            },
            None => SlippageConfig::None,
        },
        limit_through_ticks: some(0.0, 2.0).unwrap_or(1.0) as u32,
        limit_queue_ahead: some(0.0, 1.0).unwrap_or(0.0),
        ..ExecutionConfig::costing(
            some(0.0, 20.0).unwrap_or(0.0),
            some(0.0, 5.0).unwrap_or(0.0),
        )
    }
}

/// An entry of any kind.
fn entry(draw: &mut impl FnMut(f64, f64) -> f64) -> EntryOrder {
    let (offset_bps, valid_bars) = (draw(0.0, 80.0), draw(1.0, 4.0) as u32);
    let time = |part: f64| match part {
        ..0.25 => EntryTime::Gtc,
        0.25..0.5 => EntryTime::Ioc,
        0.5..0.75 => EntryTime::Fok,
        _ => EntryTime::PostOnly,
    };
    match draw(0.0, 1.0) {
        ..0.3 => EntryOrder::Market,
        0.3..0.4 => EntryOrder::AtOnce {
            whole: draw(0.0, 1.0) > 0.5,
        },
        0.4..0.65 => EntryOrder::Limit {
            offset_bps,
            valid_bars,
            time_in_force: time(draw(0.0, 1.0)),
        },
        0.65..0.85 => EntryOrder::Stop {
            offset_bps,
            valid_bars,
            time_in_force: time(draw(0.0, 0.75)),
        },
        _ => EntryOrder::StopLimit {
            offset_bps,
            limit_offset_bps: draw(-80.0, 80.0),
            valid_bars,
            time_in_force: time(draw(0.0, 1.0)),
        },
    }
}

/// Settings that reach every kind of order which a strategy has.
fn config(rng: &mut ChaCha8Rng) -> SessionConfig {
    let mut draw = |low: f64, high: f64| low + (high - low) * rng.random::<f64>();
    let allow_short = draw(0.0, 1.0) > 0.4;
    let entry = entry(&mut draw);
    let mut some = |low: f64, high: f64| (draw(0.0, 1.0) > 0.5).then(|| draw(low, high));
    let protection = Protection {
        stop_loss: some(0.005, 0.05),
        take_profit: some(0.005, 0.05),
        trailing_stop: some(0.005, 0.05),
    };
    let execution = execution(&mut some);
    let risk = RiskConfig {
        position_fraction: Some(0.4),
        max_symbol_weight: Some(0.9),
        max_gross_exposure: Some(1.0),
        max_order_notional: Some(1e9),
        max_drawdown: Some(0.95),
        max_data_age_bars: Some(1),
        // No stop lies farther away than that.
        price_collar_bps: some(80.0, 200.0),
        sizing: match some(0.1, 2.0) {
            Some(annual_volatility) => Sizing::VolatilityTarget {
                annual_volatility,
                span_bars: 12,
            },
            None => Sizing::FixedFraction,
        },
        ..RiskConfig::default()
    };
    SessionConfig {
        strategy: StrategyConfig {
            entry_threshold: 0.5,
            exit_threshold: 0.1,
            minimum_holding_bars: some(0.0, 3.0).unwrap_or(0.0) as u32,
            minimum_confidence: None,
            allow_short,
            fail_safe: FailSafe::Flatten,
            entry,
            protection,
        },
        fusion: FusionConfig::default(),
        risk,
        execution,
        portfolio: PortfolioConfig {
            allow_short,
            margin: None,
            ..PortfolioConfig::with_cash(100_000.0)
        },
    }
}

/// What the spy knew at each moment, and the journal's lines with their times.
type Trail = (Vec<(Timestamp, u64)>, Vec<(Timestamp, String)>);

fn run(rows: &[Rows], config: &SessionConfig) -> Trail {
    let market = market(rows);
    let spec = BacktestSpec {
        market: &market,
        config,
        config_digest: "spy",
    };
    let (mut spy, mut journal) = (Spy::new(), JsonLines::new(Vec::new()));
    run_backtest(&spec, &mut spy, &mut journal).unwrap();
    let bytes = journal.into_inner().unwrap();
    let times = read_entries(bytes.as_slice()).map(|entry| entry.unwrap().at);
    let lines = std::str::from_utf8(&bytes)
        .unwrap()
        .lines()
        .map(str::to_owned);
    // Where a session ends is no part of any moment.
    let lines = times.zip(lines);
    let lines = lines.filter(|(_, line)| !line.contains("session_ended"));
    (spy.known, lines.collect())
}

/// The part of a trail up to `until`, without what ends a session.
fn until<T: Clone>(all: &[(Timestamp, T)], until: Timestamp) -> Vec<(Timestamp, T)> {
    all.iter().filter(|(at, _)| *at <= until).cloned().collect()
}

#[test]
fn no_bit_of_a_later_bar_reaches_a_strategy_an_order_or_the_journal() {
    const HOURS: usize = 60;
    let (mut fills, mut kinds) = (0, BTreeMap::<String, u32>::new());
    for seed in 0..24_u64 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let config = config(&mut rng);
        let rows = history(&mut rng, HOURS);
        let (known, lines) = run(&rows, &config);
        for (_, line) in &lines {
            fills += u32::from(line.contains("\"order_filled\""));
            for kind in ["limit", "stop", "take_profit", "trailing_stop"] {
                let has = line.contains(&format!("\"kind\":\"{kind}\""));
                *kinds.entry(kind.to_owned()).or_default() += u32::from(has);
            }
        }
        for kept in (0..HOURS - 1).step_by(3) {
            let other = poisoned(&rows, kept, &mut rng);
            let (known_again, lines_again) = run(&other, &config);
            let now = Timestamp::from_nanos((i64::try_from(kept).unwrap() + 1) * HOUR);
            assert_eq!(
                until(&known, now),
                until(&known_again, now),
                "seed {seed}, {now}"
            );
            // To the byte, links included: orders decided now are among the lines of now.
            let (before, after) = (until(&lines, now), until(&lines_again, now));
            assert_eq!(before, after, "seed {seed}, {now}");
        }
    }
    assert!(fills > 300, "{fills}");
    assert!(
        kinds.len() == 4 && kinds.values().all(|count| *count > 10),
        "{kinds:?}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn orders_fill_after_the_close_that_decided_them_and_their_latency(seed: u64) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let config = config(&mut rng);
        let latency = i64::try_from(config.execution.latency_ms).unwrap() * 1_000_000;
        let rows = history(&mut rng, 120);
        let (_, lines) = run(&rows, &config);
        let mut decided: BTreeMap<OrderId, Timestamp> = BTreeMap::new();
        for (_, line) in lines {
            let entry: JournalEntry = serde_json::from_str(&line).unwrap();
            match entry.event {
                Event::OrderApproved(order) => {
                    prop_assert_eq!(order.decided_at, entry.at);
                    decided.insert(order.id, entry.at);
                }
                Event::OrderFilled(fill) => {
                    let at = decided[&fill.order];
                    prop_assert!(entry.at > at, "{fill:?} in its own bar");
                    prop_assert!(fill.filled_at >= at, "{fill:?} before {at}");
                    prop_assert!(entry.at.nanos_since(at) > latency, "{fill:?} within {latency}");
                    // Nobody buys below or sells above the bar that fills.
                    let hour = usize::try_from(entry.at.as_nanos() / HOUR - 1).unwrap();
                    let [_, high, low, ..] = rows[fill.symbol.index()][hour].unwrap();
                    let price = fill.price.to_f64();
                    let is_purchase = fill.quantity.signum() > 0;
                    let fair = if is_purchase { price > low - 1e-8 } else { price < high + 1e-8 };
                    prop_assert!(fair, "{fill:?} of a bar from {low} to {high}");
                }
                _ => {}
            }
        }
    }
}

#[test]
fn a_prediction_of_the_future_is_no_input() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let config = config(&mut rng);
    let mut session = Session::new(SessionSetup {
        config: &config,
        config_digest: String::new(),
        symbols: vec!["A".to_owned()],
        time_frame: "1h".parse().unwrap(),
        models: vec![model()],
    })
    .unwrap();
    let market = market(&[vec![Some([10.0, 11.0, 9.0, 10.0, 1.0]); 3]]);
    let bars = &market.series()[0].bars;
    let step = |session: &mut Session, bar: &Bar, predicted_at: Timestamp, closed_at: Timestamp| {
        let prediction = Prediction {
            symbol: SymbolId(0),
            closed_at: predicted_at,
            probabilities: [0.0, 0.0, 1.0],
            model: ModelRef(0),
        };
        let input = StepInput {
            closed_at,
            bars: &[Some(bar)],
            fine: &[],
            predictions: &[Some(prediction)],
            failures: &[],
        };
        session
            .step(&input, &mut NullJournal)
            .map(|report| report.fills.len())
    };
    // A prediction, or a bar, of a later moment than the step.
    let (now, later) = (bars[0].closed_at, bars[1].closed_at);
    for (bar, predicted_at) in [(&bars[0], later), (&bars[1], now)] {
        let refused = step(&mut session, bar, predicted_at, now);
        assert!(
            matches!(refused, Err(StepError::Input { .. })),
            "{refused:?}"
        );
    }
    assert_eq!(step(&mut session, &bars[0], now, now).unwrap(), 0);
    // A step back, to trade what is known by now, is refused as well.
    let back = step(&mut session, &bars[0], now, now);
    assert!(matches!(back, Err(StepError::Input { .. })), "{back:?}");
}
