//! The pure trading engine.
//!
//! Bars come in, journal events come out. Nothing in this crate reads a file, asks for the time,
//! draws a random number of its own or starts a thread: a run is a function of its bars, its
//! configuration and its seed. Drivers (backtest, paper, live) live outside and call
//! [`session`], the one step that all of them share.
#![forbid(unsafe_code)]

pub mod backtest;
pub mod dataset;
pub mod eval;
pub mod execution;
pub mod features;
pub mod fusion;
pub mod journal;
pub mod labels;
pub mod portfolio;
pub mod ports;
pub mod problem;
pub mod risk;
pub mod session;
pub mod strategy;
pub mod types;
