//! Metrics of predictions and of equity curves, their baselines and their uncertainty.
//!
//! One metric per file: [`classification`] for classes and probabilities, [`forecast`] for numbers,
//! quantiles and intervals, [`ranking`] for scores against returns, [`trading`] for equity curves
//! and trades, [`regimes`] for what kind of market a bar lies in, [`comparison`] for two models on
//! the same rows. [`PredictionReport`] and [`trading::TradingReport`] gather them for a run. What
//! is not defined (no samples, no variance, no loss) is `None`, never a number that stands for it.
//!
//! What a model's answers rest on is asked of any model by [`permutation_importance`].
//!
//! Uncertainty comes from [`bootstrap`], which resamples blocks of time, because samples overlap in
//! time and symbols move together. What of a result is the luck of having tried many is told by
//! [`luck`]. Randomness comes in as a seeded generator.

mod baseline;
pub mod bootstrap;
mod class_shares;
pub mod classification;
pub mod comparison;
pub mod forecast;
pub mod luck;
pub mod permutation_importance;
mod prediction;
pub mod ranking;
pub mod regimes;
pub mod trading;

use std::cmp::Ordering;

pub use baseline::{best_constant, majority_class};
pub use class_shares::class_share_log_loss;
pub use prediction::{
    AccuracyAgainst, EvaluationOptions, Outcome, OutcomeError, PredictionReport, score,
};

/// Whether values differ at all. The mean of equal values may be rounded, so their deviations from
/// it do not tell.
fn varies(values: &[f64]) -> bool {
    let differs = |pair: &[f64]| pair[0].partial_cmp(&pair[1]) != Some(Ordering::Equal);
    values.windows(2).any(differs)
}
