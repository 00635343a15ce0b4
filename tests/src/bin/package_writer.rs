//! A deployment tool that never rests: `package_writer ROOT TIMES LIBRARY...`.
//!
//! Commits packages of these libraries in turn, each in the place of the one before, so that a test
//! can kill it at any point of its work. Says so on standard output when it begins.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use fusebox_loader::{PackageSpec, write_package};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match work(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn work(arguments: &[String]) -> Outcome {
    let [root, times, libraries @ ..] = arguments else {
        return Err("usage: package_writer ROOT TIMES LIBRARY...".into());
    };
    let times = times.parse()?;
    let mut output = std::io::stdout();
    writeln!(output, "begins")?;
    output.flush()?;
    for library in libraries.iter().cycle().take(times) {
        let spec = PackageSpec {
            replace: true,
            ..PackageSpec::new(library)
        };
        write_package(Path::new(root), &spec)?;
    }
    Ok(())
}
