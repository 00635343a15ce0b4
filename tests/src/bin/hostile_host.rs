//! A host that loads one plugin into its own process and uses it once:
//! `hostile_host DIR ID CONFIG`.
//!
//! Tests run it in a process of its own to see what a hostile plugin does to its host. How it ends
//! tells: [`SURVIVED`], [`REPORTED`] (an error was reported), [`DAMAGED`] (standard output is gone
//! or a thread of the plugin still runs), or whatever the plugin made of the process.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use fusebox_loader::{LoadOptions, TrustPolicy, discover, find, load};
use fusebox_plugin_api::config::Config;
use fusebox_plugin_api::frame::{Frame, FrameShape};
use fusebox_tests::hostile::{DAMAGED, REPORTED, SURVIVED};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let threads = threads();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [dir, id, config] = arguments.as_slice() else {
        return ExitCode::from(REPORTED);
    };
    if let Err(error) = host(dir, id, config) {
        let _ = writeln!(std::io::stderr(), "{error}");
        return ExitCode::from(REPORTED);
    }
    // A write would not tell: the standard library takes a closed output for an empty one.
    let has_output = Path::new("/proc/self/fd/1").exists();
    if has_output && self::threads() == threads {
        ExitCode::from(SURVIVED)
    } else {
        ExitCode::from(DAMAGED)
    }
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

/// The whole life of a model, every slot of it.
fn host(dir: &str, id: &str, config: &str) -> Outcome {
    let dir = PathBuf::from(dir);
    let cache = tempfile::tempdir()?;
    let options = LoadOptions::new(cache.path()).with_trust(TrustPolicy::trusting());
    let packages = discover(&[dir]);
    let plugin = load(find(&packages, id, None)?, &options)?;
    let config = Config::from_json(config.as_bytes())?;
    let mut model = plugin.create_model(&config, &[])?;
    model.warmup()?;
    let mut output = [0.0];
    model.predict(&mut Frame::new(
        &[1.0],
        &mut output,
        FrameShape::dense(1, 1, 1),
    )?)?;
    model.save()?;
    let state = model.snapshot()?;
    model.restore(&state)?;
    model.quiesce(0)?;
    drop(model);
    Ok(())
}
