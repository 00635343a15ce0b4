//! A sweep and a session of the same settings come to the same, to the last unit.

use proptest::prelude::*;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;

use super::*;
use crate::backtest::{BacktestSpec, PrecomputedSignals, run_backtest};
use crate::journal::NullJournal;
use crate::portfolio::PortfolioConfig;
use crate::risk::RiskConfig;
use crate::strategy::{FailSafe, StrategyConfig};
use crate::types::{Bar, BarSeries};

fn model() -> ModelInfo {
    ModelInfo {
        name: "m".to_owned(),
        version: "1.0.0".to_owned(),
        digest: String::new(),
        generation: 1,
        fold: None,
    }
}

/// Random walks with gaps, and predictions at most of their closes. Some symbols close at the half
/// hour, so that orders come late in their bars, and some bars have no range that fills.
fn market(seed: u64, symbols: usize, bars: i64) -> (Market, Vec<Prediction>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let time_frame: TimeFrame = "1h".parse().unwrap();
    let mut predictions = Vec::new();
    let mut all = Vec::new();
    for symbol in 0..symbols {
        let mut price = 50.0 + 50.0 * symbol as f64;
        let mut series = Vec::new();
        let shift = if symbol > 0 && rng.random::<f64>() < 0.4 {
            time_frame.nanos() / 2
        } else {
            0
        };
        for hour in 0..bars {
            let open = price * (1.0 + 0.01 * (rng.random::<f64>() - 0.5));
            price = open * (1.0 + 0.06 * (rng.random::<f64>() - 0.5));
            if rng.random::<f64>() < 0.1 {
                continue;
            }
            let opened_at = Timestamp::from_nanos(hour * time_frame.nanos() + shift);
            let closed_at = opened_at.saturating_add_nanos(time_frame.nanos());
            let has_range = rng.random::<f64>() > 0.03;
            series.push(Bar {
                opened_at,
                closed_at,
                open,
                high: if has_range {
                    open.max(price) * 1.01
                } else {
                    f64::NAN
                },
                low: open.min(price) * 0.99,
                close: price,
                volume: 10.0,
                quote_volume: None,
                trades: None,
                taker_buy_volume: None,
            });
            if rng.random::<f64>() < 0.9 {
                let up: f32 = rng.random();
                let down = (1.0 - up) * rng.random::<f32>();
                // Now and then an answer that is none, or one about a symbol without a bar.
                let is_answer = rng.random::<f64>() > 0.02;
                let other = rng.random::<u32>() % u32::try_from(symbols).unwrap();
                let own = u32::try_from(symbol).unwrap();
                let is_own = shift == 0 || rng.random::<f64>() > 0.2;
                predictions.push(Prediction {
                    symbol: SymbolId(if is_own { own } else { other }),
                    closed_at,
                    probabilities: [down, 1.0 - up - down, if is_answer { up } else { 2.0 }],
                    model: ModelRef(0),
                });
            }
        }
        all.push(BarSeries {
            name: format!("S{symbol}"),
            time_frame,
            bars: series,
        });
    }
    let key = |one: &Prediction| (one.closed_at, one.symbol);
    predictions.sort_by_key(key);
    predictions.dedup_by_key(|one| key(one));
    (Market::new(all).unwrap(), predictions)
}

fn config(seed: u64, allow_short: bool) -> SessionConfig {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut draw = |low: f64, high: f64| low + (high - low) * rng.random::<f64>();
    let entry_threshold = draw(0.05, 0.6);
    let fraction = draw(0.1, 0.9);
    SessionConfig {
        strategy: StrategyConfig {
            entry_threshold,
            exit_threshold: draw(-0.3, entry_threshold),
            minimum_holding_bars: draw(0.0, 12.0) as u32,
            minimum_confidence: (draw(0.0, 1.0) > 0.5).then_some(0.45),
            allow_short,
            fail_safe: FailSafe::Flatten,
            entry: crate::strategy::EntryOrder::Market,
            protection: crate::strategy::Protection::default(),
        },
        fusion: FusionConfig::default(),
        risk: RiskConfig {
            position_fraction: Some(fraction),
            max_symbol_weight: Some(0.9),
            max_gross_exposure: Some(draw(0.9, 2.0)),
            max_order_notional: Some(1e6),
            max_drawdown: Some(draw(0.05, 0.5)),
            max_data_age_bars: Some(1),
            max_daily_loss: (draw(0.0, 1.0) > 0.5).then_some(0.04),
            max_net_exposure: (draw(0.0, 1.0) > 0.5).then_some(0.95),
            cool_down_bars: 9,
            reset_after_cool_down: draw(0.0, 1.0) > 0.3,
            ..RiskConfig::default()
        },
        execution: ExecutionConfig {
            lot_size: 0.001,
            tick_size: 0.01,
            min_notional: 5.0,
            order_expiry_bars: draw(0.0, 3.0) as u32,
            spread_bps: draw(0.0, 5.0),
            // Bars of 10, so that most of these cut most orders.
            participation: (draw(0.0, 1.0) > 0.5).then(|| draw(0.01, 1.0)),
            ..ExecutionConfig::costing(draw(0.0, 20.0), draw(0.0, 5.0))
        },
        portfolio: PortfolioConfig {
            allow_short,
            margin: None,
            ..PortfolioConfig::with_cash(10_000.0)
        },
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn a_sweep_is_a_session_without_its_journal(
        seed: u64,
        symbols in 1_usize..4,
        allow_short: bool,
        most in 1_usize..260,
    ) {
        let (market, predictions) = market(seed, symbols, 200);
        let signals = PrecomputedSignals::new(&market, vec![model()], predictions).unwrap();
        let table = SweepTable::new(
            &market,
            &[model()],
            signals.predictions(),
            &FusionConfig::default(),
        )
        .unwrap();
        for round in 0..4 {
            let config = config(seed ^ round, allow_short);
            let spec = BacktestSpec { market: &market, config: &config, config_digest: "" };
            let session = run_backtest(&spec, &mut signals.clone(), &mut NullJournal).unwrap();
            let stretches = Stretches::of(table.steps(), most);
            let (swept, on_the_way) = table.run_along(&config, &stretches).unwrap();
            let points = stretches.ends().iter().map(|end| session.equity[end - 1].equity);
            prop_assert_eq!(&on_the_way, &points.collect::<Vec<_>>());
            prop_assert_eq!(swept, table.run(&config).unwrap());
            prop_assert_eq!(swept.final_equity, session.final_equity());
            prop_assert_eq!(swept.fees, session.costs.fees);
            prop_assert_eq!(swept.slippage, session.costs.slippage);
            prop_assert_eq!(swept.turnover, session.costs.turnover);
            prop_assert_eq!(swept.fills, session.costs.fills);
            prop_assert_eq!(swept.steps, session.equity.len() as u64);
            let mut peak = session.initial_cash.to_f64();
            let (mut deepest, mut last) = (0.0_f64, peak);
            let mut returns = Vec::new();
            for point in &session.equity {
                let equity = point.equity.to_f64();
                peak = peak.max(equity);
                deepest = deepest.max(1.0 - equity / peak);
                returns.push(equity / last - 1.0);
                last = equity;
            }
            prop_assert!((swept.max_drawdown - deepest).abs() < 1e-12);
            let count = returns.len().max(1) as f64;
            let mean = returns.iter().sum::<f64>() / count;
            let variance = returns.iter().map(|one| (one - mean).powi(2)).sum::<f64>() / count;
            prop_assert!((swept.mean_return - mean).abs() < 1e-14);
            prop_assert!((swept.return_variance - variance).abs() < 1e-14);
        }
    }
}

#[test]
fn settings_that_need_more_are_all_named() {
    let (market, predictions) = market(1, 1, 20);
    let fusion = FusionConfig::default();
    let table = SweepTable::new(&market, &[model()], &predictions, &fusion).unwrap();
    let mut config = config(1, true);
    config.execution.latency_ms = 5;
    config.execution.borrow_annual_bps = 1.0;
    config.risk.price_collar_bps = Some(50.0);
    config.strategy.entry_threshold = -1.0;
    let error = table.run(&config).unwrap_err().to_string();
    for key in [
        "latency_ms",
        "borrow_annual_bps",
        "price_collar_bps",
        "entry_threshold",
    ] {
        assert!(error.contains(key), "{key} is not in {error}");
    }
}

/// A property over sessions that never call an order off would say nothing of those that do.
#[test]
fn the_random_sessions_call_orders_off_and_some_fill_before_that() {
    use crate::journal::{Event, JsonLines, read_entries};
    let (mut called_off, mut filled) = (0, 0);
    for seed in 0..60 {
        let (market, predictions) = market(seed, 3, 200);
        let mut signals = PrecomputedSignals::new(&market, vec![model()], predictions).unwrap();
        let config = config(seed, true);
        let spec = BacktestSpec {
            market: &market,
            config: &config,
            config_digest: "",
        };
        let mut journal = JsonLines::new(Vec::new());
        run_backtest(&spec, &mut signals, &mut journal).unwrap();
        let mut asked = std::collections::BTreeSet::new();
        for entry in read_entries(journal.into_inner().unwrap().as_slice()) {
            match entry.unwrap().event {
                Event::CancelRequested { order } => {
                    asked.insert(order);
                    called_off += 1;
                }
                Event::OrderFilled(fill) if asked.contains(&fill.order) => filled += 1,
                _ => {}
            }
        }
    }
    assert!(called_off > 20 && filled > 2, "{called_off} {filled}");
}
