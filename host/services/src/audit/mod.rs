//! The audit of features where it touches the machine: code in other languages, and the verdict
//! that a promotion asks for. What is checked, and how, is the engine's
//! ([`fusebox_engine::features::audit`]).
//!
//! | file | role |
//! |---|---|
//! | `command` | a program that reads candles and writes columns, as code to audit |
//! | `table` | the CSV text that it reads and writes |
//! | `verdict` | the stored result of an audit |

mod command;
mod table;
mod verdict;

pub use command::{CommandCode, CommandOptions};
pub use verdict::{AuditedBars, Subject, Verdict, VerdictError};
