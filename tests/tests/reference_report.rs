//! The statistics behind the reports of backtests, against pandas, arch, plain counting and
//! complete enumeration.
//!
//! The values come from tests/reference/report_statistics.py; nothing is computed in Python here.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::collections::BTreeMap;
use std::path::Path;

use fusebox_engine::eval::bootstrap::{AutomaticOptions, Interval};
use fusebox_engine::eval::regimes::{RegimeOptions, TrendRegime, VolatilityRegime, regimes};
use fusebox_engine::eval::trading::{
    HeadlineIntervals, PairedDifference, PairedOptions, TRADE_PERCENTILES, TradeDraw, TradeOrder,
    rolling_sharpe,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::Deserialize;

const STEPS_PER_YEAR: f64 = 8760.0;
const SAMPLES: u32 = 20_000;

#[derive(Deserialize)]
struct Bootstrapped {
    estimate: f64,
    low: f64,
    high: f64,
    p: f64,
    block: f64,
}

/// Value, and the share of all histories at or below it.
type Atoms = Vec<(f64, f64)>;

#[derive(Deserialize)]
struct Exact {
    final_growth: Atoms,
    max_drawdown: Atoms,
}

#[derive(Deserialize)]
struct Reference {
    equity: Vec<f64>,
    rolling: BTreeMap<String, Vec<Option<f64>>>,
    closes: Vec<f64>,
    regime_options: [usize; 3],
    regimes: Vec<(Option<String>, Option<String>)>,
    trades: Vec<f64>,
    shuffled: Exact,
    drawn_from: Vec<f64>,
    resampled: Exact,
    returns: Vec<f64>,
    others: Vec<f64>,
    difference_of_means: Bootstrapped,
    difference_of_sharpe: Bootstrapped,
    total_return: Bootstrapped,
    annual_volatility: Bootstrapped,
    max_drawdown: Bootstrapped,
}

fn reference() -> Reference {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference/data/report_statistics.json");
    serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap()
}

#[test]
fn rolling_sharpe_ratios_are_those_of_pandas() {
    let reference = reference();
    for (window, expected) in &reference.rolling {
        let window: usize = window.parse().unwrap();
        let found = rolling_sharpe(&reference.equity, window, STEPS_PER_YEAR);
        assert_eq!(found.len(), expected.len());
        let mut gaps = 0;
        for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
            match (found, expected) {
                (Some(found), Some(expected)) => {
                    let error = (found - expected).abs() / (1.0 + expected.abs());
                    // The window slides in pandas, which loses digits where it is short.
                    assert!(error < 1e-6, "{window} at {at}: {found} {expected}");
                }
                (None, None) => gaps += 1,
                _ => panic!("{window} at {at}: {found:?} {expected:?}"),
            }
        }
        // The start, and the stretch without a position where it is longer than the window.
        assert_eq!(
            gaps,
            window + 60_usize.saturating_sub(window - 1) * usize::from(window <= 60)
        );
    }
}

#[test]
fn regimes_are_those_of_counting_anew_for_every_bar() {
    let reference = reference();
    let [volatility_bars, trend_bars, least_readings] = reference.regime_options;
    let options = RegimeOptions {
        volatility_bars,
        trend_bars,
        least_readings,
    };
    let found = regimes(&reference.closes, &options);
    assert_eq!(found.len(), reference.regimes.len());
    let mut seen = BTreeMap::new();
    for (at, (found, (volatility, trend))) in found.iter().zip(&reference.regimes).enumerate() {
        let own = found.volatility.map(|kind| match kind {
            VolatilityRegime::Calm => "calm",
            VolatilityRegime::Usual => "usual",
            VolatilityRegime::Wild => "wild",
        });
        assert_eq!(own, volatility.as_deref(), "{at}");
        let own = found.trend.map(|kind| match kind {
            TrendRegime::Up => "up",
            TrendRegime::Down => "down",
        });
        assert_eq!(own, trend.as_deref(), "{at}");
        *seen.entry(*found).or_insert(0) += 1;
    }
    assert!(seen.len() >= 7, "{seen:?}");
}

/// Checks that a quantile of simulations is one of the exact distribution, as closely as so many
/// simulations can tell.
fn is_quantile(value: f64, share: f64, atoms: &Atoms) -> bool {
    let at_or_below = |limit: f64| {
        let place = atoms.partition_point(|(atom, _)| *atom <= limit);
        place.checked_sub(1).map_or(0.0, |last| atoms[last].1)
    };
    let (below, with) = (at_or_below(value - 1e-9), at_or_below(value + 1e-9));
    below - 0.012 <= share && share <= with + 0.012
}

#[test]
fn trades_in_another_order_come_to_the_exact_distributions() {
    let reference = reference();
    for (trades, draw, exact) in [
        (&reference.trades, TradeDraw::Shuffled, &reference.shuffled),
        (
            &reference.drawn_from,
            TradeDraw::Resampled,
            &reference.resampled,
        ),
    ] {
        let mut random = ChaCha8Rng::seed_from_u64(3);
        let found = TradeOrder::of(trades, draw, SAMPLES, &mut random).unwrap();
        for (at, share) in TRADE_PERCENTILES.into_iter().enumerate() {
            let (end, depth) = (found.final_growth[at], found.max_drawdown[at]);
            assert!(
                is_quantile(end, share, &exact.final_growth),
                "{draw:?} {share}: {end}"
            );
            assert!(
                is_quantile(depth, share, &exact.max_drawdown),
                "{draw:?} {share}: {depth}"
            );
        }
        let losing = exact
            .final_growth
            .iter()
            .rev()
            .find(|(value, _)| *value < 1.0);
        let losing = losing.map_or(0.0, |(_, share)| *share);
        assert!((found.share_losing - losing).abs() < 0.012, "{draw:?}");
        let shallower = exact.max_drawdown.iter().rev();
        let shallower = shallower.map(|(value, share)| (*value, *share));
        let shallower = shallower.filter(|(value, _)| *value < found.own_drawdown - 1e-9);
        let deeper = 1.0 - shallower.map(|(_, share)| share).next().unwrap_or(0.0);
        assert!(
            (found.share_deeper - deeper).abs() < 0.012,
            "{draw:?} {deeper}"
        );
    }
}

/// Both resample at random, so ends differ by what so many histories leave open.
fn agrees(name: &str, found: Option<Interval>, expected: &Bootstrapped) {
    let found = found.unwrap();
    let scale = 1.0 + expected.estimate.abs();
    let error = (found.estimate - expected.estimate).abs();
    assert!(
        error < 1e-9 * scale,
        "{name}: {} {}",
        found.estimate,
        expected.estimate
    );
    let block = found.mean_block_steps / expected.block;
    assert!(
        (block - 1.0).abs() < 1e-3,
        "{name}: {} {}",
        found.mean_block_steps,
        expected.block
    );
    let width = expected.high - expected.low;
    for (own, other) in [(found.low, expected.low), (found.high, expected.high)] {
        assert!(
            (own - other).abs() < 0.03 * width,
            "{name}: {found:?} {other}"
        );
    }
}

#[test]
fn differences_between_runs_are_those_of_arch() {
    let reference = reference();
    let options = PairedOptions {
        samples: SAMPLES,
        overlap_steps: 1,
        confidence: 0.95,
        comparisons: 1,
        steps_per_year: STEPS_PER_YEAR,
    };
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let (own, others) = (&reference.returns, &reference.others);
    let found = PairedDifference::of(own, others, &options, &mut random);
    agrees("means", found.mean_return, &reference.difference_of_means);
    agrees(
        "Sharpe ratios",
        found.sharpe,
        &reference.difference_of_sharpe,
    );
    for (own, other) in [
        (found.mean_return_p, reference.difference_of_means.p),
        (found.sharpe_p, reference.difference_of_sharpe.p),
    ] {
        let own = own.unwrap();
        assert!((own - other).abs() < 0.01 + 0.1 * other, "{own} {other}");
    }
}

#[test]
fn intervals_of_the_key_figures_are_those_of_arch() {
    let reference = reference();
    let mut equity = vec![1.0];
    for change in &reference.returns {
        equity.push(equity[equity.len() - 1] * (1.0 + change));
    }
    let options = AutomaticOptions {
        samples: SAMPLES,
        overlap_steps: 1,
        confidence: 0.95,
        trials: 1,
    };
    let mut random = ChaCha8Rng::seed_from_u64(9);
    let curve = (equity.as_slice(), STEPS_PER_YEAR);
    let found = HeadlineIntervals::of(curve, None, &[], &options, &mut random);
    agrees("total return", found.total_return, &reference.total_return);
    agrees(
        "volatility",
        found.annual_volatility,
        &reference.annual_volatility,
    );
    agrees("drawdown", found.max_drawdown, &reference.max_drawdown);
}
