//! The audit of features where it touches the machine: code in other languages, and the verdict
//! that a promotion asks for. What is checked, and how, is the engine's
//! ([`fusebox_engine::features::audit`]).
//!
//! | file | role |
//! |---|---|
//! | `command` | a program that reads candles or rows and writes columns, as code to audit |
//! | `program` | what a command runs, as one digest |
//! | `table` | the CSV text that it reads and writes |
//! | `verdict` | the stored result of an audit |

mod command;
mod program;
mod table;
mod verdict;

pub use command::{CommandCode, CommandOptions, CommandStep};
pub use program::{Program, ProgramFile};
pub use verdict::{AuditedBars, StoredVerdict, Subject, Verdict, VerdictError};
