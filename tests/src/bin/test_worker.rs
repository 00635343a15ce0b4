//! A worker process and nothing else: what `fusebox worker` is, without the rest of the program, so
//! that tests of the worker tier start it quickly.
#![expect(
    clippy::print_stderr,
    reason = "the host reads the last words of a worker from its standard error"
)]

use std::process::ExitCode;

fn main() -> ExitCode {
    match fusebox_loader::worker::serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
