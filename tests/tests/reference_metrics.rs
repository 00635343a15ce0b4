//! Metrics against scikit-learn, SciPy, statsmodels, properscoring, empyrical and NumPy.
//!
//! The values come from tests/reference/sklearn_metrics.py; nothing is computed in Python here.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::collections::BTreeMap;
use std::path::Path;

use fusebox_engine::eval::classification::{
    ClassScores, class_metrics, confusion_matrix, roc_auc_of,
};
use fusebox_engine::eval::forecast::{
    IntervalForecasts, IntervalQuality, PointForecasts, crps_of_ensemble, crps_of_gaussian,
    crps_of_quantiles, pinball_loss, point_metrics,
};
use fusebox_engine::eval::ranking::{
    Coefficient, CoefficientSummary, RankScores, best_constant_direction, block_coefficients,
    cross_sectional_coefficients, rank_metrics,
};
use fusebox_engine::eval::trading::{
    SharpeEvidence, TradeOutcome, TradingHistory, autocorrelations, deflated_sharpe,
    expected_best_sharpe, lo_annualisation, monthly_returns, newey_west_lags, newey_west_t,
    normal_sharpe_standard_error, probabilistic_sharpe, sharpe_standard_error, trading_metrics,
};
use fusebox_engine::labels::Direction;
use fusebox_engine::types::Timestamp;
use serde::Deserialize;

type Expected = BTreeMap<String, Option<f64>>;

#[derive(Deserialize)]
struct Reference {
    classification: Vec<Classification>,
    ranking: Ranking,
    forecast: Forecast,
    autocorrelation: Autocorrelation,
    trading: Trading,
    sharpe: Sharpe,
}

#[derive(Deserialize)]
struct Classification {
    name: String,
    labels: Vec<usize>,
    probabilities: Vec<[f32; 3]>,
    expected: Expected,
    roc_auc_by_class: [Option<f64>; 3],
    confusion: [[u64; 3]; 3],
}

#[derive(Deserialize)]
struct Ranking {
    scores: Vec<f64>,
    returns: Vec<f64>,
    expected: Expected,
    best_constant_direction: f64,
    cross_sectional: Expected,
    blocks: Expected,
}

#[derive(Deserialize)]
struct Forecast {
    mean: Vec<f64>,
    spread: Vec<f64>,
    outcomes: Vec<f64>,
    members: Vec<Vec<f64>>,
    lower: Vec<f64>,
    upper: Vec<f64>,
    levels: Vec<f64>,
    quantiles: Vec<Vec<f64>>,
    interval_level: f64,
    expected: Expected,
    pinball: Vec<f64>,
    crps_gaussian: f64,
    crps_ensemble: f64,
    crps_quantiles: f64,
    coverage: f64,
    mean_width: f64,
    winkler_score: f64,
}

#[derive(Deserialize)]
struct Autocorrelation {
    returns: Vec<f64>,
    lags: usize,
    autocorrelations: Vec<f64>,
    t_statistic: f64,
    standard_error: f64,
    normal_standard_error: f64,
    sharpe: f64,
    autoregressions: Vec<(f64, f64, f64)>,
}

#[derive(Deserialize)]
struct Trading {
    first_ms: i64,
    step_ms: i64,
    steps_per_year: f64,
    equity: Vec<f64>,
    profits: Vec<f64>,
    bars_held: Vec<u64>,
    gross_exposure: Vec<f64>,
    traded_notional: f64,
    expected: Expected,
    monthly: Vec<(String, f64)>,
}

#[derive(Deserialize)]
struct Sharpe {
    returns: Vec<f64>,
    trials: u32,
    trials_variance: f64,
    expected: Expected,
}

fn reference() -> Reference {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference/data/sklearn_metrics.json");
    let text = std::fs::read_to_string(&path).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Both undefined, or equal to twelve digits.
fn near(got: Option<f64>, expected: Option<f64>) -> bool {
    match (got, expected) {
        (Some(got), Some(expected)) => (got - expected).abs() <= 1e-12 * expected.abs().max(1e-3),
        (got, expected) => got.is_none() && expected.is_none(),
    }
}

/// Requires that what is computed and what is expected have the same names and values.
fn compare(case: &str, got: &BTreeMap<String, Option<f64>>, expected: &Expected) {
    assert!(
        got.keys().eq(expected.keys()),
        "{case}: {got:?} against {expected:?}"
    );
    for (name, expected) in expected {
        assert!(
            near(got[name], *expected),
            "{case}, {name}: {:?}, expected {expected:?}",
            got[name]
        );
    }
}

#[test]
fn classification_metrics_equal_scikit_learn() {
    for case in reference().classification {
        let labels: Vec<Direction> = case.labels.iter().map(|at| Direction::ALL[*at]).collect();
        let probabilities = &case.probabilities;
        let scores = ClassScores {
            labels: &labels,
            probabilities,
        };
        let values = class_metrics().map(|one| (one.name().to_owned(), one.value(scores)));
        compare(&case.name, &values.collect(), &case.expected);
        assert_eq!(confusion_matrix(scores), case.confusion, "{}", case.name);
        for (class, expected) in Direction::ALL.into_iter().zip(case.roc_auc_by_class) {
            let got = roc_auc_of(scores, class);
            assert!(
                near(got, expected),
                "{}, {class:?}: {got:?}, {expected:?}",
                case.name
            );
        }
    }
}

#[test]
fn ranking_metrics_equal_scipy() {
    let case = reference().ranking;
    let scores = RankScores {
        scores: &case.scores,
        returns: &case.returns,
    };
    let values = rank_metrics().map(|one| (one.name().to_owned(), one.value(scores)));
    compare("ranking", &values.collect(), &case.expected);
    let best = best_constant_direction(scores);
    assert!(near(best, Some(case.best_constant_direction)), "{best:?}");
    let times: Vec<Timestamp> = (0..200).map(|at| Timestamp::from_nanos(at / 5)).collect();
    let across = cross_sectional_coefficients(&times, scores, 3, Coefficient::Rank);
    compare("cross-sectional", &summary(&across), &case.cross_sectional);
    let along = RankScores {
        scores: &case.scores[..196],
        returns: &case.returns[..196],
    };
    let blocks = block_coefficients(along, 7, Coefficient::Rank);
    compare("blocks", &summary(&blocks), &case.blocks);
}

fn summary(coefficients: &[f64]) -> BTreeMap<String, Option<f64>> {
    let found = CoefficientSummary::of(coefficients).unwrap();
    serde_json::from_value(serde_json::to_value(found).unwrap()).unwrap()
}

#[test]
fn forecast_metrics_equal_scikit_learn_and_properscoring() {
    let case = reference().forecast;
    let outcomes = &case.outcomes;
    let forecasts = PointForecasts {
        forecasts: &case.mean,
        outcomes,
    };
    let values = point_metrics().map(|one| (one.name().to_owned(), one.value(forecasts)));
    compare("points", &values.collect(), &case.expected);
    for (at, (level, expected)) in case.levels.iter().zip(&case.pinball).enumerate() {
        let quantiles: Vec<f64> = case.quantiles.iter().map(|row| row[at]).collect();
        let loss = pinball_loss(&quantiles, outcomes, *level);
        assert!(near(loss, Some(*expected)), "{level}: {loss:?}");
    }
    let normal: Vec<(f64, f64)> = case.mean.iter().copied().zip(case.spread).collect();
    // The error function of statrs is good to ten digits.
    let gaussian = crps_of_gaussian(&normal, outcomes).unwrap();
    let difference = gaussian / case.crps_gaussian - 1.0;
    assert!(difference.abs() < 1e-10, "{gaussian}");
    let quality = IntervalQuality::of(&IntervalForecasts {
        lower: &case.lower,
        upper: &case.upper,
        outcomes,
        level: case.interval_level,
    })
    .unwrap();
    for (name, got, expected) in [
        (
            "ensemble",
            crps_of_ensemble(&case.members, outcomes),
            case.crps_ensemble,
        ),
        (
            "quantiles",
            crps_of_quantiles(&case.quantiles, &case.levels, outcomes),
            case.crps_quantiles,
        ),
        ("coverage", Some(quality.coverage), case.coverage),
        ("width", Some(quality.mean_width), case.mean_width),
        ("winkler", Some(quality.winkler_score), case.winkler_score),
    ] {
        assert!(near(got, Some(expected)), "{name}: {got:?}, {expected}");
    }
}

#[test]
fn autocorrelated_returns_are_judged_as_by_statsmodels_and_lo() {
    let case = reference().autocorrelation;
    let lags = newey_west_lags(case.returns.len());
    assert_eq!(lags, case.lags);
    let found = autocorrelations(&case.returns, lags).unwrap();
    assert_eq!(found.len(), lags);
    for (got, expected) in found.iter().zip(&case.autocorrelations) {
        assert!(near(Some(*got), Some(*expected)), "{got}, {expected}");
    }
    let normal = normal_sharpe_standard_error(case.sharpe, case.returns.len());
    for (name, got, expected) in [
        ("t", newey_west_t(&case.returns, lags), case.t_statistic),
        (
            "error",
            sharpe_standard_error(&case.returns, lags),
            case.standard_error,
        ),
        ("normal error", normal, case.normal_standard_error),
    ] {
        assert!(near(got, Some(expected)), "{name}: {got:?}, {expected}");
    }
    for (share, steps, expected) in case.autoregressions {
        let powers: Vec<f64> = (1..steps as i32).map(|lag| share.powi(lag)).collect();
        let got = lo_annualisation(&powers, steps);
        assert!(
            near(got, Some(expected)),
            "{share}, {steps}: {got:?}, {expected}"
        );
    }
}

#[test]
fn trading_metrics_equal_numpy() {
    let case = reference().trading;
    let time = |step: usize| Timestamp::from_millis(case.first_ms + step as i64 * case.step_ms);
    let times: Vec<Timestamp> = (0..case.equity.len())
        .map(|step| time(step).unwrap())
        .collect();
    let trade = |(profit, bars_held): (&f64, &u64)| TradeOutcome {
        profit: *profit,
        bars_held: *bars_held,
    };
    let trades: Vec<TradeOutcome> = case
        .profits
        .iter()
        .zip(&case.bars_held)
        .map(trade)
        .collect();
    let history = TradingHistory {
        times: &times,
        equity: &case.equity,
        benchmark: None,
        gross_exposure: &case.gross_exposure,
        trades: &trades,
        traded_notional: case.traded_notional,
        steps_per_year: case.steps_per_year,
    };
    let values = trading_metrics().map(|one| (one.name().to_owned(), one.value(&history)));
    compare("trading", &values.collect(), &case.expected);
    let monthly = monthly_returns(&history);
    assert_eq!(monthly.len(), case.monthly.len());
    for (got, (month, change)) in monthly.iter().zip(&case.monthly) {
        assert_eq!(&format!("{}-{:02}", got.year, got.month), month);
        assert!(
            near(Some(got.change), Some(*change)),
            "{month}: {}",
            got.change
        );
    }
}

#[test]
fn sharpe_significance_equals_the_published_definitions() {
    let case = reference().sharpe;
    let evidence = SharpeEvidence::of(&case.returns).unwrap();
    let variance = case.trials_variance;
    let got = BTreeMap::from([
        ("skewness", Some(evidence.skewness)),
        ("kurtosis", Some(evidence.kurtosis)),
        ("probabilistic", probabilistic_sharpe(&evidence, 0.0)),
        (
            "deflated",
            deflated_sharpe(&evidence, case.trials, Some(variance)),
        ),
        ("expected_best", expected_best_sharpe(case.trials, variance)),
    ]);
    assert_eq!(got.len(), case.expected.len());
    for (name, expected) in &case.expected {
        let (got, expected) = (got[name.as_str()].unwrap(), expected.unwrap());
        assert!(
            (got - expected).abs() <= 1e-10 * expected.abs(),
            "{name}: {got}, {expected}"
        );
    }
}
