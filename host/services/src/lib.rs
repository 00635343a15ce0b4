//! Everything that touches files: candle sources, training, reports.
//!
//! The engine is pure; this crate feeds it. It knows the engine, the loader and the contract, and
//! nothing of the application: settings arrive resolved, progress leaves through a trait.

pub mod audit;
pub mod backtesting;
pub mod data;
pub mod progress;
pub mod registry;
pub mod report;
pub mod serving;
pub mod training;
