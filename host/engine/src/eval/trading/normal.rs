//! The standard normal distribution.

use std::f64::consts::SQRT_2;

use statrs::function::erf::{erfc, erfc_inv};

/// Probability of a value up to `x`.
#[must_use]
pub(crate) fn probability(x: f64) -> f64 {
    0.5 * erfc(-x / SQRT_2)
}

/// The value that `probability` of all values do not exceed; `None` outside 0 to 1.
#[must_use]
pub(crate) fn quantile(probability: f64) -> Option<f64> {
    let is_inside = probability > 0.0 && probability < 1.0;
    is_inside.then(|| -SQRT_2 * erfc_inv(2.0 * probability))
}
