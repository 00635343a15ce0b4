//! Wall time of the whole path on the simulated market: the release binary on the shipped pipeline,
//! the best of three runs.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// Seconds, or `None` with a printed reason where the release binary is not there.
pub(crate) fn walk_forward() -> Option<f64> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let binary = root.join("target/release/fusebox");
    if !binary.is_file() {
        println!(
            "walk-forward: skipped, {} is missing; run `make build`",
            binary.display()
        );
        return None;
    }
    let out = tempfile::tempdir().unwrap();
    let run = |number: usize| {
        let started = Instant::now();
        let status = Command::new(&binary)
            .current_dir(&root)
            .args(["run", "configs/pipelines/direction-1h-lightgbm.toml"])
            .args(["--set", "data.source=simulated", "--quiet", "--out"])
            .arg(out.path().join(number.to_string()))
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "the run failed: {status}");
        started.elapsed().as_secs_f64()
    };
    (0..3).map(run).min_by(f64::total_cmp)
}
