//! Every unit of a random account is told of once, and a worked example comes to its numbers.

use proptest::prelude::*;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;

use super::*;
use crate::backtest::{BacktestSpec, PrecomputedSignals, buy_and_hold, run_backtest};
use crate::execution::{ExecutionConfig, FundingConfig, SlippageConfig};
use crate::fusion::{FusionConfig, ModelInfo, ModelRef, Prediction};
use crate::journal::NullJournal;
use crate::portfolio::{MarginConfig, MarginMode, PortfolioConfig};
use crate::risk::RiskConfig;
use crate::strategy::{EntryOrder, FailSafe, Protection, StrategyConfig};
use crate::types::{Bar, BarSeries, Timestamp};

const HOUR: i64 = 3_600_000_000_000;

fn bar(hour: i64, (open, high, low, close): (f64, f64, f64, f64)) -> Bar {
    Bar {
        opened_at: Timestamp::from_nanos((hour - 1) * HOUR),
        closed_at: Timestamp::from_nanos(hour * HOUR),
        open,
        high,
        low,
        close,
        volume: 1_000.0,
        quote_volume: None,
        trades: None,
        taker_buy_volume: None,
    }
}

fn market(series: Vec<Vec<Bar>>) -> Market {
    let named = (0..).zip(series).map(|(at, bars): (u32, _)| BarSeries {
        name: format!("S{at}"),
        time_frame: "1h".parse().unwrap(),
        bars,
    });
    Market::new(named.collect()).unwrap()
}

fn prediction(symbol: u32, hour: i64, score: f32) -> Prediction {
    Prediction {
        symbol: SymbolId(symbol),
        closed_at: Timestamp::from_nanos(hour * HOUR),
        probabilities: [(1.0 - score) / 2.0, 0.0, (1.0 + score) / 2.0],
        model: ModelRef(0),
    }
}

fn config(margin: Option<MarginConfig>) -> SessionConfig {
    SessionConfig {
        strategy: StrategyConfig {
            entry_threshold: 0.2,
            exit_threshold: 0.05,
            minimum_holding_bars: 0,
            minimum_confidence: None,
            allow_short: true,
            fail_safe: FailSafe::Flatten,
            entry: EntryOrder::Market,
            protection: Protection::default(),
        },
        fusion: FusionConfig::default(),
        risk: RiskConfig {
            position_fraction: Some(3.0),
            max_symbol_weight: Some(4.0),
            max_gross_exposure: Some(8.0),
            max_order_notional: Some(1e6),
            max_drawdown: Some(1.0),
            max_data_age_bars: Some(2),
            ..RiskConfig::default()
        },
        execution: ExecutionConfig {
            lot_size: 0.001,
            tick_size: 0.01,
            min_notional: 5.0,
            order_expiry_bars: 2,
            spread_bps: 4.0,
            slippage: SlippageConfig::Impact {
                factor: 0.7,
                span_bars: 5,
            },
            funding: Some(FundingConfig {
                interval_hours: 8,
                rate_bps: 3.0,
            }),
            borrow_annual_bps: 700.0,
            ..ExecutionConfig::costing(6.5, 1.0)
        },
        portfolio: PortfolioConfig {
            allow_short: true,
            margin,
            ..PortfolioConfig::with_cash(10_000.0)
        },
    }
}

fn run(market: &Market, config: &SessionConfig, table: Vec<Prediction>) -> BacktestResult {
    let model = ModelInfo {
        name: "m".to_owned(),
        version: "1.0.0".to_owned(),
        digest: String::new(),
        generation: 1,
        fold: None,
    };
    let mut signals = PrecomputedSignals::new(market, vec![model], table).unwrap();
    let spec = BacktestSpec {
        market,
        config,
        config_digest: "",
    };
    run_backtest(&spec, &mut signals, &mut NullJournal).unwrap()
}

/// Two symbols that jump about, so that leveraged positions are liquidated, and scores at most
/// closes.
fn wild(seed: u64) -> (Market, Vec<Prediction>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut table = Vec::new();
    let series = (0..2_u32).map(|symbol| {
        let mut price = 100.0;
        let mut bars = Vec::new();
        for hour in 1..80 {
            let open: f64 = price * (0.97 + 0.06 * rng.random::<f64>());
            price = open * (0.9 + 0.2 * rng.random::<f64>());
            let (high, low) = (open.max(price) * 1.02, open.min(price) * 0.98);
            if rng.random::<f64>() < 0.1 {
                continue;
            }
            bars.push(bar(hour, (open, high, low, price)));
            let score = 2.0 * rng.random::<f32>() - 1.0;
            table.push(prediction(symbol, hour, score));
        }
        bars
    });
    let market = market(series.collect());
    (market, table)
}

/// Checks that every step's flows make its change of equity, and returns the sum.
fn explained(market: &Market, config: &SessionConfig, result: &BacktestResult) -> Flows {
    let mut before = result.initial_cash;
    let mut total = Flows::default();
    let mut opened = 0;
    attribute(market, config, result, &mut |step| {
        let mut all = step.account;
        for one in step.symbols {
            all += one.flows;
            opened += one.opened as usize;
        }
        let point = result.equity[step.step];
        assert_eq!(all.net(), point.equity - before, "step {}", step.step);
        let value: Cash = step.symbols.iter().map(|one| one.value).sum();
        assert_eq!(value, point.equity - point.cash);
        let gross: Cash = step.symbols.iter().map(|one| one.value.abs()).sum();
        assert_eq!(gross, point.gross_exposure);
        before = point.equity;
        total += all;
    })
    .unwrap();
    assert_eq!(total.net(), result.final_equity() - result.initial_cash);
    assert_eq!(total.fees + total.liquidation, result.costs.fees);
    assert_eq!(total.spread + total.impact, result.costs.slippage);
    assert_eq!(total.turnover, result.costs.turnover);
    assert_eq!(total.fills, result.costs.fills);
    assert_eq!(opened, result.trades.len() + result.open_positions.len());
    assert_eq!(total, total_flows(market, config, result).unwrap());
    total
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_unit_is_told_of_once(seed: u64, kind in 0..3) {
        let mode = [None, Some(MarginMode::Cross), Some(MarginMode::Isolated)][kind as usize];
        let margin = mode.map(|mode| MarginConfig {
            mode,
            leverage: 5.0,
            maintenance: 0.05,
            liquidation_fee_bps: 45.0,
        });
        let (market, table) = wild(seed);
        let config = config(margin);
        let result = run(&market, &config, table);
        prop_assert!(!result.fills.is_empty());
        explained(&market, &config, &result);
        explained(&market, &config, &buy_and_hold(&market, &config, None).unwrap());
    }
}

#[test]
fn liquidations_funding_and_interest_do_occur() {
    let mut found = Flows::default();
    for (seed, mode) in (0..12).map(|seed| (seed, [MarginMode::Cross, MarginMode::Isolated])) {
        for mode in mode {
            let margin = MarginConfig {
                mode,
                leverage: 5.0,
                maintenance: 0.05,
                liquidation_fee_bps: 45.0,
            };
            let (market, table) = wild(seed);
            let config = config(Some(margin));
            found += explained(&market, &config, &run(&market, &config, table));
        }
    }
    for (name, amount) in [
        ("fees", found.fees),
        ("spread", found.spread),
        ("impact", found.impact),
        ("liquidation", found.liquidation),
        ("funding", found.funding.abs()),
        ("interest", -found.interest),
        ("insurance", found.insurance),
    ] {
        assert!(amount > Cash::ZERO, "{name}: {amount}");
    }
}

/// One purchase of 100 units of cash at 50 with 10 bps of spread, 20 bps of slippage, a fee of 10
/// bps, and a sale at 60: worked out by hand.
#[test]
fn a_round_trip_comes_to_the_numbers_worked_out_by_hand() {
    let hours = [(50.0, 50.0), (50.0, 50.0), (50.0, 55.0), (60.0, 60.0)];
    let bars = (1..).zip(hours).map(|(hour, (open, close)): (i64, _)| {
        let (high, low) = (f64::max(open, close), f64::min(open, close));
        bar(hour, (open, high, low, close))
    });
    let market = market(vec![bars.collect()]);
    let mut config = config(None);
    config.risk.position_fraction = Some(0.5);
    config.risk.max_symbol_weight = Some(1.0);
    config.execution = ExecutionConfig {
        lot_size: 1.0,
        tick_size: 0.001,
        min_notional: 0.0,
        order_expiry_bars: 2,
        spread_bps: 20.0,
        ..ExecutionConfig::costing(10.0, 20.0)
    };
    // The last one only makes the session go on to hour 4.
    let scores = [(2, 0.9), (3, 0.0), (4, 0.0)];
    let table = scores.map(|(hour, score)| prediction(0, hour, score));
    let table = table.to_vec();
    let result = run(&market, &config, table);
    // Half of 10,000 at 50 is 100 pieces: bought at the open of hour 3 at 50 x 1.003 = 50.15, sold
    // at the open of hour 4 at 60 x 0.997 = 59.82.
    let quantities: Vec<String> = result
        .fills
        .iter()
        .map(|f| f.quantity.to_string())
        .collect();
    let prices: Vec<String> = result.fills.iter().map(|f| f.price.to_string()).collect();
    let bought: f64 = quantities[0].parse().unwrap();
    assert_eq!(prices, ["50.15", "59.82"]);
    let total = explained(&market, &config, &result);
    let times = |each: f64| Cash::from_f64(each * bought).unwrap();
    assert_eq!(total.gross, times(10.0));
    assert_eq!(total.spread, times(0.05 + 0.06));
    assert_eq!(total.impact, times(0.1 + 0.12));
    assert_eq!(total.fees, times(0.05015 + 0.05982));
    assert_eq!(total.net(), times(10.0 - 0.11 - 0.22 - 0.10997));
    assert_eq!(total.turnover, times(50.15 + 59.82));
    assert_eq!((total.fills, total.payments()), (2, Cash::ZERO));
}
