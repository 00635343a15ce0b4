//! Two models on the same rows: is one better, or were they only lucky apart?
//!
//! [`diebold_mariano`] judges the losses row by row, [`mcnemar`] which of two classifiers is right
//! where they disagree, [`holm`] takes into account that several pairs are looked at.

mod diebold_mariano;
mod holm;
mod mcnemar;

pub use diebold_mariano::{DieboldMariano, Kernel, diebold_mariano};
pub use holm::holm;
pub use mcnemar::{McNemar, mcnemar};
