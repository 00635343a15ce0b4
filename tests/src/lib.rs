//! Helpers of the whole-system tests.

pub mod binary;
pub mod fixtures;
pub mod gbm;
pub mod hostile;
pub mod live;
pub mod onnx;
pub mod training;
pub mod workers;
