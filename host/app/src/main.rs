//! The binary `fusebox`: reads the command line, runs one command, gives an exit code.
//!
//! | module | role |
//! |---|---|
//! | `cli` | one file per command: arguments in, tables or JSON out |
//! | `config` | the layers of configuration, checked and merged |
//! | `wiring` | the composition root: the only place that names concrete services |
//! | `output`, `terminal`, `failure` | the standard output, the standard error, exit codes |
//! | `process` | the environment, before any thread exists |

mod cli;
mod config;
mod failure;
mod output;
mod process;
mod terminal;
mod wiring;

use std::process::ExitCode;

fn main() -> ExitCode {
    let variables = process::prepare_environment();
    cli::run(std::env::args_os().collect(), variables)
}
