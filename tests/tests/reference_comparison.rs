//! The tests that compare two models, against statsmodels and scipy.
//!
//! The values come from tests/reference/model_comparison.py; nothing is computed in Python here.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::path::Path;

use fusebox_engine::eval::comparison::{diebold_mariano, holm, mcnemar};
use serde::Deserialize;

#[derive(Deserialize)]
struct Differences {
    values: Vec<f64>,
    overlap: usize,
    kernel: String,
    statistic: f64,
    p: f64,
}

#[derive(Deserialize)]
struct Reference {
    diebold_mariano: Vec<Differences>,
    mcnemar: Vec<(u64, u64, f64)>,
    p_values: Vec<f64>,
    holm: Vec<f64>,
}

fn reference() -> Reference {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference/data/model_comparison.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn is_close(found: f64, wanted: f64) -> bool {
    (found - wanted).abs() <= 1e-9 * wanted.abs().max(1.0)
}

#[test]
fn diebold_mariano_is_that_of_statsmodels_with_the_published_correction() {
    let mut kernels = Vec::new();
    for one in reference().diebold_mariano {
        let found = diebold_mariano(&one.values, one.overlap).unwrap();
        assert!(
            is_close(found.statistic, one.statistic),
            "{found:?} {}",
            one.statistic
        );
        assert!(is_close(found.p, one.p), "{found:?} {}", one.p);
        let kernel = serde_json::to_value(found.kernel).unwrap();
        assert_eq!(kernel, one.kernel);
        kernels.push(one.kernel);
    }
    kernels.sort();
    kernels.dedup();
    assert_eq!(kernels, ["bartlett", "rectangular"]);
}

#[test]
fn mcnemar_and_holm_are_those_of_statsmodels() {
    let reference = reference();
    for (only_first, only_second, p) in reference.mcnemar {
        let found = mcnemar(only_first, only_second).unwrap();
        assert!(is_close(found.p, p), "{found:?} {p}");
    }
    let given: Vec<Option<f64>> = reference.p_values.into_iter().map(Some).collect();
    for (found, wanted) in holm(&given).into_iter().zip(reference.holm) {
        assert!(is_close(found.unwrap(), wanted), "{found:?} {wanted}");
    }
}
