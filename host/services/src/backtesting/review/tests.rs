//! A review of a whole backtest: its parts make the whole, threads change nothing, and what has no
//! meaning is absent.

use fusebox_engine::backtest::{BacktestSpec, run_backtest};
use fusebox_engine::execution::{ExecutionConfig, FundingConfig, SlippageConfig};
use fusebox_engine::fusion::{FusionConfig, ModelInfo, ModelRef, Prediction};
use fusebox_engine::journal::NullJournal;
use fusebox_engine::portfolio::{MarginConfig, MarginMode, PortfolioConfig};
use fusebox_engine::risk::RiskConfig;
use fusebox_engine::strategy::{EntryOrder, FailSafe, Protection, StrategyConfig};
use fusebox_engine::types::{Bar, BarSeries, SymbolId};
use rand::RngExt;

use super::*;
use crate::progress::Silent;

const HOUR: i64 = 3_600_000_000_000;

/// A long-short account with every kind of cost.
pub(super) fn config() -> SessionConfig {
    SessionConfig {
        strategy: StrategyConfig {
            entry_threshold: 0.2,
            exit_threshold: 0.05,
            minimum_holding_bars: 2,
            minimum_confidence: None,
            allow_short: true,
            fail_safe: FailSafe::Flatten,
            entry: EntryOrder::Market,
            protection: Protection::default(),
        },
        fusion: FusionConfig::default(),
        risk: RiskConfig {
            position_fraction: Some(0.5),
            max_symbol_weight: Some(1.0),
            max_gross_exposure: Some(2.0),
            max_order_notional: Some(1e6),
            max_drawdown: Some(0.9),
            max_data_age_bars: Some(1),
            ..RiskConfig::default()
        },
        execution: ExecutionConfig {
            lot_size: 0.001,
            tick_size: 0.01,
            min_notional: 5.0,
            order_expiry_bars: 1,
            spread_bps: 2.0,
            slippage: SlippageConfig::Impact {
                factor: 1.0,
                span_bars: 24,
            },
            participation: Some(0.2),
            funding: Some(FundingConfig {
                interval_hours: 8,
                rate_bps: 1.0,
            }),
            borrow_annual_bps: 300.0,
            ..ExecutionConfig::costing(5.0, 1.0)
        },
        portfolio: PortfolioConfig {
            allow_short: true,
            margin: Some(MarginConfig {
                mode: MarginMode::Cross,
                leverage: 4.0,
                maintenance: 0.02,
                liquidation_fee_bps: 20.0,
            }),
            ..PortfolioConfig::with_cash(10_000.0)
        },
    }
}

fn evaluation() -> EvaluationSpec {
    EvaluationSpec {
        confidence: 0.9,
        bootstrap_samples: 200,
        trials: 3,
        calibration_bins: 10,
        random_runs: 8,
        trade_simulations: 200,
        capacity_multiples: vec![1_000.0, 1.0, 0.1, 1e9],
    }
}

/// Two symbols of 900 hours; the last third is predicted by what comes, with noise.
fn case() -> (Market, PrecomputedSignals) {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let mut table = Vec::new();
    let series = (0..2_u32).map(|symbol| {
        let mut price = 100.0;
        let mut bars = Vec::new();
        for hour in 1..=900_i64 {
            let open: f64 = price;
            let loud = if hour / 150 % 2 == 0 { 0.01 } else { 0.03 };
            price = open * (1.0 + loud * (rng.random::<f64>() - 0.49));
            bars.push(Bar {
                opened_at: Timestamp::from_nanos((hour - 1) * HOUR),
                closed_at: Timestamp::from_nanos(hour * HOUR),
                open,
                high: open.max(price) * 1.001,
                low: open.min(price) * 0.999,
                close: price,
                volume: 2_000.0,
                quote_volume: None,
                trades: None,
                taker_buy_volume: None,
            });
        }
        for hour in 600..899_usize {
            let ahead = (bars[hour].close / bars[hour].open - 1.0) * 40.0;
            let score = (ahead + rng.random::<f64>() - 0.5).clamp(-0.99, 0.99) as f32;
            table.push(Prediction {
                symbol: SymbolId(symbol),
                closed_at: bars[hour - 1].closed_at,
                probabilities: [(1.0 - score) / 2.0, 0.0, (1.0 + score) / 2.0],
                model: ModelRef(0),
            });
        }
        BarSeries {
            name: format!("S{symbol}USDT"),
            time_frame: "1h".parse().unwrap(),
            bars,
        }
    });
    let market = Market::new(series.collect()).unwrap();
    let model = ModelInfo {
        name: "m".to_owned(),
        version: "1.0.0".to_owned(),
        digest: String::new(),
        generation: 1,
        fold: None,
    };
    let signals = PrecomputedSignals::new(&market, vec![model], table).unwrap();
    (market, signals)
}

fn reviewed(threads: usize) -> Trading {
    reviewed_with(threads, config())
}

fn reviewed_with(threads: usize, session: SessionConfig) -> Trading {
    let (market, signals) = case();
    let evaluation = evaluation();
    let backtest = BacktestSpec {
        market: &market,
        config: &session,
        config_digest: "",
    };
    let result = run_backtest(&backtest, &mut signals.clone(), &mut NullJournal).unwrap();
    let spec = ReviewSpec {
        market: &market,
        session: &session,
        evaluation: &evaluation,
        name: "strategy",
        seed: 5,
        overlap_steps: 2,
        threads,
    };
    review(&spec, (&result, 0), &signals, &Silent)
        .unwrap()
        .trading
}

fn near(one: f64, other: f64) -> bool {
    (one - other).abs() < 1e-6
}

#[test]
fn parts_make_the_whole() {
    let trading = reviewed(2);
    let (analysis, net) = (&trading.analysis, trading.costs.net_profit);
    assert!(trading.costs.fills > 50, "{}", trading.costs.fills);
    for amount in [
        trading.costs.fees,
        trading.costs.spread,
        trading.costs.impact,
    ] {
        assert!(amount > 0.0);
    }
    assert!(trading.costs.funding != 0.0);
    let account = analysis.account_costs.net_profit;
    let symbols: f64 = trading.symbols.iter().map(|one| one.costs.net_profit).sum();
    assert!(near(symbols + account, net), "{symbols} {account} {net}");
    assert_eq!(
        trading.symbols.iter().map(|one| one.bars).sum::<u64>(),
        2 * 299
    );
    for group in ["volatility", "trend"] {
        let rows = || {
            analysis
                .regimes
                .rows
                .iter()
                .filter(|row| row.group == group)
        };
        let sum: f64 = rows().map(|row| row.costs.net_profit).sum();
        assert!(near(sum + account, net), "{group}");
        assert_eq!(rows().map(|row| row.bars).sum::<u64>(), 2 * 299, "{group}");
        let trades: u64 = rows().map(|row| row.trades).sum();
        assert_eq!(Some(trades), trading.strategy.trades, "{group}");
    }
    let total = trading.strategy.total_return.unwrap();
    assert!(near(net / trading.initial_cash, total));
    let last = trading.curve.last().unwrap();
    assert!(last.gross_exposure >= last.net_exposure.abs());
    let turnover: f64 = trading.curve.iter().map(|one| one.turnover).sum();
    assert!(turnover > 1.0);
    assert!(
        trading
            .curve
            .iter()
            .any(|one| one.rolling_sharpe_ratio.is_some())
    );
}

#[test]
fn everything_that_it_has_to_beat_is_there_and_strategy_comes_first() {
    let trading = reviewed(1);
    let names: Vec<&str> = trading
        .analysis
        .compared
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "strategy",
            "cash",
            "buy and hold",
            "momentum crossover",
            "mean reversion",
            "random, same turnover (median)"
        ]
    );
    let own = &trading.analysis.compared[0];
    assert_eq!(own.costs, trading.costs);
    assert_eq!(own.sharpe_ratio, trading.strategy.sharpe_ratio.value);
    assert_eq!(trading.analysis.random_runs, 8);
    let times = trading.analysis.random_turnover.unwrap();
    assert!((times - 1.0).abs() < 0.1, "{times}");
    assert!(trading.analysis.random_is_alike);
    // A strategy that knows the next bar beats luck.
    let p = trading.analysis.beaten_by_random.unwrap();
    assert!(near(p, 1.0 / 9.0), "{p}");
    let intervals = &trading.strategy.intervals;
    for interval in [
        intervals.total_return,
        intervals.max_drawdown,
        intervals.win_rate,
    ] {
        let one = interval.unwrap();
        assert!(one.low < one.high && near(one.level, 0.9));
    }
}

/// Random sides lose by their costs, so a breaker would stop them for good long before the end.
#[test]
fn random_strategies_trade_on_where_a_breaker_would_stop_them() {
    let mut session = config();
    session.risk.max_drawdown = Some(0.2);
    session.risk.max_daily_loss = Some(0.2);
    let trading = reviewed_with(2, session);
    let deepest = trading.strategy.max_drawdown.unwrap();
    assert!(deepest < 0.2, "the strategy is not stopped: {deepest}");
    let analysis = &trading.analysis;
    let random = analysis.compared.last().unwrap();
    assert!(random.max_drawdown.unwrap() > 0.2, "{random:?}");
    assert_eq!(random.name, "random, same turnover (median)");
    let times = analysis.random_turnover.unwrap();
    assert!((times - 1.0).abs() < 0.1, "{times}");
    assert!(analysis.random_is_alike);
}

#[test]
fn size_costs_what_skill_earns() {
    let capacity = reviewed(2).analysis.capacity;
    assert!(capacity.size_matters);
    assert_eq!((capacity.left_out, capacity.points.len()), (1, 3));
    let [small, own, large] = capacity.points[..] else {
        panic!("{:#?}", capacity.points);
    };
    assert!(near(own.capital, 10_000.0) && near(large.capital, 1e7));
    assert!(small.cost_bps < own.cost_bps && own.cost_bps < large.cost_bps);
    assert!(own.total_return > large.total_return, "{own:?} {large:?}");
}

#[test]
fn the_point_of_the_own_capital_is_the_run_itself() {
    let trading = reviewed(1);
    let own = trading.analysis.capacity.points[1];
    assert_eq!(own.total_return, trading.strategy.total_return);
    assert_eq!(own.sharpe_ratio, trading.strategy.sharpe_ratio.value);
    assert!(near(own.traded_value, trading.costs.traded_value));
}

#[test]
fn threads_change_nothing() {
    assert_eq!(reviewed(1), reviewed(3));
}
