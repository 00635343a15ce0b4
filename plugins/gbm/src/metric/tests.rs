//! Metrics against NumPy and SciPy, and where they are not defined.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Case {
    name: String,
    task: Task,
    outputs: usize,
    times: Vec<i64>,
    returns: Vec<Option<f32>>,
    answers: Vec<f64>,
    cost: f64,
    ic: Option<f64>,
    rank_ic: Option<f64>,
    sharpe_sign: Option<f64>,
    sharpe_score: Option<f64>,
}

#[test]
fn metrics_equal_numpy_and_scipy() {
    let text = include_str!("../../../../tests/reference/data/gbm_metrics.json");
    let cases: Vec<Case> = serde_json::from_str(text).unwrap();
    assert!(cases.len() >= 6);
    for case in cases {
        let outcomes = Outcomes {
            event_ns: case.times.clone(),
            returns: case
                .returns
                .iter()
                .map(|value| value.unwrap_or(f32::NAN))
                .collect(),
        };
        let sharpe = |position| MetricKind::Sharpe {
            position,
            cost: case.cost,
        };
        for (kind, expected) in [
            (MetricKind::Coefficient, case.ic),
            (MetricKind::RankCoefficient, case.rank_ic),
            (sharpe(Position::Sign), case.sharpe_sign),
            (sharpe(Position::Score), case.sharpe_score),
        ] {
            let metric = ReturnMetric::new(kind, &case.task, &outcomes).unwrap();
            let found = metric.value(&case.answers, case.outputs);
            let name = &case.name;
            match (found, expected) {
                (Some(found), Some(expected)) => assert!(
                    (found - expected).abs() < 1e-12,
                    "{name}, {kind:?}: {found} and {expected}"
                ),
                _ => assert_eq!(found, expected, "{name}, {kind:?}"),
            }
        }
        assert!(ReturnMetric::new(MetricKind::Loss, &case.task, &outcomes).is_none());
    }
}

#[test]
fn the_median_or_what_is_nearest_to_it_is_the_score_of_quantiles() {
    let of = |levels: &[f64]| {
        Scorer::of(&Task::Quantiles {
            levels: levels.to_vec(),
        })
    };
    assert_eq!(of(&[0.05, 0.5, 0.95]), Scorer::Number(1));
    assert_eq!(of(&[0.1, 0.45, 0.6]), Scorer::Number(1));
    assert_eq!(of(&[0.9]), Scorer::Number(0));
}

#[test]
fn an_answer_that_is_missing_leaves_the_metric_undefined() {
    let outcomes = Outcomes {
        event_ns: vec![0, 1, 2],
        returns: vec![0.1, 0.2, 0.4],
    };
    let metric = ReturnMetric::new(MetricKind::Coefficient, &Task::Regression, &outcomes);
    let metric = metric.unwrap();
    assert!(metric.value(&[1.0, 2.0, 3.0], 1).is_some());
    assert_eq!(metric.value(&[1.0, 2.0], 1), None);
    assert_eq!(metric.value(&[f64::NAN; 3], 1), None);
}
