//! Metrics against scikit-learn, SciPy and NumPy.
//!
//! The values come from tests/reference/sklearn_metrics.py; nothing is computed in Python here.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::collections::BTreeMap;
use std::path::Path;

use fusebox_engine::eval::classification::{
    ClassScores, class_metrics, confusion_matrix, roc_auc_of,
};
use fusebox_engine::eval::ranking::{RankScores, rank_metrics};
use fusebox_engine::eval::trading::{
    SharpeEvidence, TradeOutcome, TradingHistory, deflated_sharpe, expected_best_sharpe,
    monthly_returns, probabilistic_sharpe, trading_metrics,
};
use fusebox_engine::labels::Direction;
use fusebox_engine::types::Timestamp;
use serde::Deserialize;

type Expected = BTreeMap<String, Option<f64>>;

#[derive(Deserialize)]
struct Reference {
    classification: Vec<Classification>,
    ranking: Ranking,
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
}

#[derive(Deserialize)]
struct Trading {
    first_ms: i64,
    step_ms: i64,
    steps_per_year: f64,
    equity: Vec<f64>,
    profits: Vec<f64>,
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
}

#[test]
fn trading_metrics_equal_numpy() {
    let case = reference().trading;
    let time = |step: usize| Timestamp::from_millis(case.first_ms + step as i64 * case.step_ms);
    let times: Vec<Timestamp> = (0..case.equity.len())
        .map(|step| time(step).unwrap())
        .collect();
    let trade = |profit: &f64| TradeOutcome {
        profit: *profit,
        bars_held: 1,
    };
    let trades: Vec<TradeOutcome> = case.profits.iter().map(trade).collect();
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
