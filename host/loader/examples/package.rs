//! Puts a built plugin into a plugin directory, as `make build` does for the plugins of the tree:
//!
//! ```sh
//! cargo run -p fusebox-loader --example package -- \
//!     target/release/libfusebox_gbm.so .fusebox/plugins fb.model/1 fb.learner/1
//! ```
//!
//! The library comes first, then the plugin directory, then the factory ids that the library
//! offers. Id and version are read from the library. A package of the same id and version is
//! replaced.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use fusebox_loader::package::{PackageSpec, write_package};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [library, root, kinds @ ..] = arguments.as_slice() else {
        return said(
            Err("usage: package LIBRARY PLUGIN_DIR KIND...".to_owned()),
            2,
        );
    };
    let mut spec = PackageSpec::new(library);
    spec.replace = true;
    spec.license = Some("MIT OR Apache-2.0".to_owned());
    if !kinds.is_empty() {
        spec.kinds = kinds.to_vec();
    }
    let written = write_package(&PathBuf::from(root), &spec);
    said(
        written
            .map(|at| at.display().to_string())
            .map_err(|error| error.to_string()),
        1,
    )
}

fn said(outcome: Result<String, String>, failure: u8) -> ExitCode {
    // A closed pipe is no reason to fail.
    match outcome {
        Ok(text) => {
            let _ = writeln!(std::io::stdout(), "{text}");
            ExitCode::SUCCESS
        }
        Err(text) => {
            let _ = writeln!(std::io::stderr(), "error: {text}");
            ExitCode::from(failure)
        }
    }
}
