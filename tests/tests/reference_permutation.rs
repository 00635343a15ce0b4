//! Permutation importance against scikit-learn, with the shuffles that it drew.
//!
//! The values come from tests/reference/permutation_importance.py; nothing is computed in Python
//! here.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::convert::Infallible;

use fusebox_engine::eval::permutation_importance::{FeatureRows, importance_of_orders};
use serde::Deserialize;

#[derive(Deserialize)]
struct Reference {
    weights: Vec<f64>,
    columns: usize,
    values: Vec<f32>,
    target: Vec<f64>,
    orders: Vec<Vec<usize>>,
    expected: BTreeMap<String, Expected>,
}

#[derive(Deserialize)]
struct Expected {
    baseline: f64,
    losses: Vec<Vec<f64>>,
    mean: Vec<f64>,
    standard_deviation: Vec<f64>,
}

fn score(name: &str, answers: &[f64], target: &[f64]) -> f64 {
    let pairs = || answers.iter().zip(target);
    if name == "accuracy" {
        let hits = pairs().filter(|(answer, truth)| (**answer > 0.0) == (**truth > 0.0));
        return hits.count() as f64 / target.len() as f64;
    }
    let mean = target.iter().sum::<f64>() / target.len() as f64;
    let total: f64 = target.iter().map(|truth| (truth - mean).powi(2)).sum();
    let left: f64 = pairs()
        .map(|(answer, truth)| (answer - truth).powi(2))
        .sum();
    1.0 - left / total
}

fn close(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= 1e-12 * expected.abs().max(1.0)
}

#[test]
fn importances_equal_scikit_learns() {
    let text = include_str!("../reference/data/permutation_importance.json");
    let reference: Reference = serde_json::from_str(text).unwrap();
    let rows = FeatureRows {
        values: &reference.values,
        columns: reference.columns,
    };
    for (name, expected) in &reference.expected {
        let scored = |values: &[f32]| -> Result<Option<f64>, Infallible> {
            let answer = |row: &[f32]| -> f64 {
                let products = row.iter().zip(&reference.weights);
                products
                    .map(|(value, weight)| f64::from(*value) * weight)
                    .sum()
            };
            let answers: Vec<f64> = values.chunks(reference.columns).map(answer).collect();
            Ok(Some(score(name, &answers, &reference.target)))
        };
        let found = importance_of_orders(rows, &reference.orders, scored);
        let found = found.unwrap().unwrap();
        assert!(close(found.baseline, expected.baseline), "{name}");
        assert_eq!(found.features.len(), expected.mean.len());
        for (column, feature) in found.features.iter().enumerate() {
            for (loss, wanted) in feature.losses.iter().zip(&expected.losses[column]) {
                assert!(
                    close(loss.unwrap(), *wanted),
                    "{name} {column}: {loss:?} {wanted}"
                );
            }
            let (mean, deviation) = (feature.mean.unwrap(), feature.standard_deviation.unwrap());
            assert!(close(mean, expected.mean[column]), "{name} {column}");
            assert!(
                close(deviation, expected.standard_deviation[column]),
                "{name} {column}"
            );
        }
    }
}
