//! The made-up rest of the sample: what lies behind the figures, a backtest, a comparison.

use fusebox_engine::eval::regimes::RegimeOptions;
use fusebox_engine::eval::trading::{FanPoint, TradeDraw, TradeOrder};

use super::super::data::*;
use super::{digest, estimate, report};

/// Amounts that sum to the totals of `costs`.
pub(super) fn analysis(costs: &Costs, trades: &[TradeRow]) -> Analysis {
    let row = |name: &str, return_: f64, costs: Costs| ComparedRow {
        name: name.to_owned(),
        total_return: Some(return_),
        sharpe_ratio: (name != "cash").then_some(return_ * 2.0),
        max_drawdown: Some(0.2),
        trades: 100,
        costs,
    };
    Analysis {
        window_steps: 2_160,
        slices: 59_184,
        ambiguous_slices: 137,
        compared: vec![
            row("Direction 1h, LightGBM", 0.31, *costs),
            row("cash", 0.0, Costs::default()),
            row("buy and hold", 0.42, part(costs, 0.1)),
            row("momentum crossover", -0.05, with_funding(part(costs, 0.3))),
            row("mean reversion", -0.21, part(costs, 0.5)),
            row("random, same turnover (median)", -0.33, part(costs, 0.9)),
        ],
        random_runs: 100,
        random_turnover: Some(1.01),
        random_is_alike: true,
        beaten_by_random: Some(0.03),
        account_costs: Costs::default(),
        regimes: regimes(costs, trades.len() as u64),
        trade_orders: [TradeDraw::Shuffled, TradeDraw::Resampled]
            .map(order)
            .to_vec(),
        capacity: Capacity {
            size_matters: true,
            left_out: 0,
            points: (0..5).map(point).collect(),
        },
    }
}

fn part(costs: &Costs, share: f64) -> Costs {
    Costs {
        gross_profit: costs.gross_profit * share,
        fees: costs.fees * share,
        spread: costs.spread * share,
        impact: costs.impact * share,
        net_profit: costs.net_profit * share,
        traded_value: costs.traded_value * share,
        fills: (costs.fills as f64 * share) as u64,
        ..Costs::default()
    }
}

fn with_funding(costs: Costs) -> Costs {
    Costs {
        funding: -812.5,
        interest: -97.25,
        net_profit: costs.net_profit - 812.5 - 97.25,
        ..costs
    }
}

fn regimes(costs: &Costs, trades: u64) -> RegimeReport {
    let row = |group: &str, regime: &str, share: f64| RegimeRow {
        group: group.to_owned(),
        regime: regime.to_owned(),
        bars: (59_184.0 * share) as u64,
        time_in_market: Some(0.4 + share / 2.0),
        contribution: costs.net_profit * share / 100_000.0,
        sharpe_ratio: Some(share * 3.0 - 0.8),
        trades: (trades as f64 * share) as u64,
        win_rate: Some(0.45 + share / 4.0),
        costs: part(costs, share),
    };
    RegimeReport {
        options: RegimeOptions {
            volatility_bars: 168,
            trend_bars: 720,
            least_readings: 100,
        },
        rows: vec![
            row("volatility", "calm", 0.5),
            row("volatility", "usual", 0.3),
            row("volatility", "wild", 0.2),
            row("trend", "up", 0.55),
            row("trend", "down", 0.45),
            row("both", "calm, up", 0.3),
            row("both", "calm, down", 0.2),
            row("both", "usual, up", 0.15),
            row("both", "usual, down", 0.15),
            row("both", "wild, up", 0.1),
            row("both", "wild, down", -0.1),
        ],
    }
}

fn order(draw: TradeDraw) -> TradeOrder {
    let spread = match draw {
        TradeDraw::Shuffled => |done: f64| (done * (1.0 - done)).sqrt() * 0.3,
        TradeDraw::Resampled => |done: f64| done.sqrt() * 0.25,
    };
    let growth = |done: f64| {
        [-2.3, -1.6, -0.7, 0.0, 0.7, 1.6, 2.3].map(|step| 1.0 + 0.31 * done + step * spread(done))
    };
    let fan = (0..=100).map(|at| FanPoint {
        trade: at * 26,
        growth: growth(at as f64 / 100.0),
    });
    TradeOrder {
        draw,
        trades: 2_600,
        simulations: 2_000,
        fan: fan.collect(),
        final_growth: growth(1.0),
        max_drawdown: [0.11, 0.13, 0.17, 0.21, 0.26, 0.35, 0.44],
        own_growth: 1.31,
        own_drawdown: 0.24,
        share_losing: 0.09,
        share_deeper: 0.31,
    }
}

fn point(step: i32) -> CapacityPoint {
    let multiple = 10_f64.powi(step - 1);
    let earned = 0.14 - 0.05 * f64::from(step);
    CapacityPoint {
        capital: 100_000.0 * multiple,
        multiple,
        total_return: Some(earned * 2.3),
        annual_growth_rate: Some(earned),
        sharpe_ratio: Some(earned * 5.0),
        max_drawdown: Some(0.2 + 0.02 * f64::from(step)),
        traded_value: 2.1e7 * multiple,
        cost_bps: Some(12.0 + 9.0 * f64::from(step)),
        fills: 5_226,
        ended_orders: 2 * step.unsigned_abs().pow(4) as u64,
        refused_orders: 253,
    }
}

/// The same strategy as a backtest.
pub(crate) fn backtest() -> BacktestReport {
    let run = report();
    BacktestReport {
        title: run.title,
        market: run.market,
        trading: run.trading,
        reproducibility: BacktestRecord {
            config: run.reproducibility.config,
            files: run.reproducibility.files,
            predictions: "out/first/predictions.csv".to_owned(),
            predictions_sha256: digest(9),
            feature_set_sha256: String::new(),
            seeds: run.reproducibility.seeds,
            versions: run.reproducibility.versions,
            journal_events: 184_213,
            journal_sha256: digest(4),
            command_line: "fusebox backtest direction.toml --predictions p.csv --out out/again"
                .to_owned(),
        },
    }
}

fn run(base: &ReportData, at: u32, name: &str) -> ComparedRun {
    let lead = f64::from(at);
    let mut performance = base.trading.strategy.clone();
    performance.sharpe_ratio = estimate(0.71 - 0.2 * lead, -0.42, 1.83);
    performance.max_drawdown = Some(0.287 - 0.03 * lead);
    performance.final_equity = Some(131_000.0 - 7_000.0 * lead);
    ComparedRun {
        name: name.to_owned(),
        directory: format!("out/run-{at}"),
        currency: "USDT".to_owned(),
        initial_cash: 100_000.0,
        period: base.trading.period,
        trials: 12,
        performance,
        excess_return: base.trading.excess_return,
        probabilistic_sharpe_ratio: Some(0.87 - 0.1 * lead),
        deflated_sharpe_ratio: Some(0.31),
        cost_bps: Some(12.0 + lead),
        common: CommonFigures {
            total_return: Some(0.31 - 0.1 * lead),
            annual_volatility: Some(0.3),
            sharpe_ratio: Some(0.71 - 0.2 * lead),
            max_drawdown: Some(0.287 - 0.03 * lead),
        },
        config_sha256: digest(40 + u64::from(at)),
    }
}

/// Three runs over two years.
pub(crate) fn comparison() -> Comparison {
    let base = report();
    let names = [
        "Direction 1h, LightGBM",
        "A linear model of the same features",
        "Baseline",
    ];
    let step = base.trading.curve.len() / 1_000;
    let points: Vec<CurvePoint> = base.trading.curve.iter().step_by(step).copied().collect();
    let line = |shift: f64| -> Vec<f64> {
        let value = |point: &CurvePoint| {
            let own = point.strategy_equity / 100_000.0;
            1.0 + (own - 1.0) * shift
                + (point.buy_and_hold_equity / 100_000.0 - 1.0) * (1.0 - shift)
        };
        points.iter().map(value).collect()
    };
    let pair = |first: usize, second: usize| PairRow {
        first,
        second,
        mean_return: estimate(0.04, -0.11, 0.19),
        mean_return_p: Some(0.58),
        sharpe_ratio: estimate(0.2, 0.02 * (second as f64 - 1.5), 0.47),
        sharpe_ratio_p: Some(0.04),
        correlation: Some(0.93),
    };
    Comparison {
        runs: (0..)
            .zip(names)
            .map(|(at, name)| run(&base, at, name))
            .collect(),
        warnings: vec![
            "`Direction 1h, LightGBM` and `Baseline` trade at different costs: execution.fee_bps \
             is 10.0 and 7.5"
                .to_owned(),
        ],
        common: Some(base.trading.period),
        common_steps: points.len() as u64,
        curves: CurveOnCommon {
            closed_at: points.iter().map(|point| point.closed_at).collect(),
            growth: vec![line(1.0), line(0.6), line(0.2)],
        },
        pairs: vec![pair(0, 1), pair(0, 2), pair(1, 2)],
        luck: Some(RunsLuck {
            runs: 3,
            trials: 12,
            effective_trials: Some(1.4),
            overfitting: Some(Overfitting {
                blocks: 16,
                splits: 12_870,
                probability: 0.41,
                chance_level: 1.0 / 3.0,
                probability_of_loss: 0.38,
                degradation_slope: Some(-0.6),
            }),
            superior: Some(SuperiorTest {
                best: 0,
                statistic: 1.2,
                consistent_p: 0.18,
                lower_p: 0.15,
                upper_p: 0.22,
                reality_check_p: Some(0.24),
                mean_block_steps: 5.5,
            }),
        }),
        confidence: 0.95,
        bootstrap_samples: 2_000,
        seed: 42,
    }
}
