//! `make bench`: how fast the parts are, printed as a table at the end.
//!
//! Figures are of this machine at this moment; compare them with each other, and with other
//! machines only as ratios. Nothing here is asserted.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark measures time, prints its table and stops when its set-up is wrong"
)]

mod c_table;
mod feature_matrix;
mod features;
mod gbm;
mod gbm_training;
mod onnx;
mod pbo;
mod plugin_call;
mod reload;
mod session;
mod trading;
mod walk_forward;
mod worker;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use criterion::Criterion;
use serde_json::Value;

/// One line of the table: the benchmark, its name for people, and what its elements are.
const LINES: [(&str, &str, &str); 15] = [
    ("features", "feature extraction", "rows/s"),
    ("session/null", "session step, no journal", "bars/s"),
    (
        "session/journal",
        "session step, journal encoded and hashed",
        "bars/s",
    ),
    (
        "plugin_call/trait",
        "predict one row, the trait alone",
        "ns",
    ),
    (
        "plugin_call/c-table",
        "predict one row, bare table of a plugin in C",
        "ns",
    ),
    ("plugin_call/c-dylib", "predict one row, plugin in C", "ns"),
    (
        "plugin_call/c-guarded",
        "predict one row, plugin in C, guard",
        "ns",
    ),
    ("plugin_call/dylib", "predict one row, plugin in Rust", "ns"),
    (
        "plugin_call/guarded",
        "predict one row, plugin in Rust, guard",
        "ns",
    ),
    (
        "plugin_call/live-guard-no-canaries",
        "same in C: deadline, breaker, counts",
        "ns",
    ),
    (
        "plugin_call/live-guard",
        "same in C: deadline, breaker, counts, canaries",
        "ns",
    ),
    (
        "pbo/16_blocks_1000x50",
        "backtest overfitting, 16 blocks of 1,000 x 50",
        "ms",
    ),
    ("worker/spin", "predict one row in a worker, spinning", "ns"),
    (
        "worker/futex",
        "predict one row in a worker, sleeping",
        "ns",
    ),
    (
        "walk_forward",
        "walk-forward run of the shipped pipeline",
        "s",
    ),
];

fn main() {
    if gbm_training::child() {
        return;
    }
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/criterion");
    let began = SystemTime::now();
    let mut criterion = Criterion::default()
        .output_directory(&home)
        .configure_from_args();
    features::features(&mut criterion);
    session::session(&mut criterion);
    plugin_call::plugin_call(&mut criterion);
    pbo::pbo(&mut criterion);
    if wants("worker") {
        worker::worker(&mut criterion);
    }
    let walk = wants("walk_forward")
        .then(walk_forward::walk_forward)
        .flatten();
    let mut more = wants("reload").then(reload::reload).unwrap_or_default();
    if wants("feature_matrix") {
        more.extend(feature_matrix::feature_matrix());
    }
    if wants("trading") {
        more.extend(trading::trading());
    }
    if wants("gbm") {
        more.extend(gbm::gbm());
    }
    if wants("gbm_training") {
        more.extend(gbm_training::training());
    }
    if wants("onnx") {
        more.extend(onnx::onnx());
    }
    criterion.final_summary();
    print_table((&home, began), walk, &more);
}

/// Whether the command line asks for a part that criterion does not run; it filters by name.
fn wants(part: &str) -> bool {
    let filters = filters();
    filters.is_empty() || filters.iter().any(|filter| part.contains(filter.as_str()))
}

fn filters() -> Vec<String> {
    std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect()
}

/// Prints what was measured since `began`, and says of the rest that it was not where all was asked
/// for.
fn print_table((home, began): (&Path, SystemTime), walk: Option<f64>, more: &[(String, String)]) {
    println!("\n{:<48} {:>16}", "what", "median");
    for (key, name, unit) in LINES {
        let value = if key == "walk_forward" {
            walk
        } else {
            median((home, began), key, unit)
        };
        if value.is_none() && !filters().is_empty() {
            continue;
        }
        let shown = value.map_or_else(|| "not measured".to_owned(), |value| number(value, unit));
        println!("{name:<48} {shown:>16}");
    }
    for (name, shown) in more {
        println!("{name:<48} {shown:>16}");
    }
}

fn number(value: f64, unit: &str) -> String {
    match unit {
        "rows/s" | "bars/s" => format!("{:.2} M {unit}", value / 1e6),
        _ => format!("{value:.1} {unit}"),
    }
}

/// The median of a benchmark in nanoseconds, or its throughput where it has elements; `None` where
/// it was not measured since `began`.
fn median((home, began): (&Path, SystemTime), key: &str, unit: &str) -> Option<f64> {
    let folder = find(home, key)?;
    let estimates = folder.join("new/estimates.json");
    let written = estimates.metadata().ok()?.modified().ok()?;
    // Some file systems keep whole seconds.
    if written + Duration::from_secs(1) < began {
        return None;
    }
    let read = |name: &str| -> Option<Value> {
        serde_json::from_str(&std::fs::read_to_string(folder.join("new").join(name)).ok()?).ok()
    };
    let nanos = read("estimates.json")?["median"]["point_estimate"].as_f64()?;
    if unit == "ns" {
        return Some(nanos);
    }
    if unit == "ms" {
        return Some(nanos / 1e6);
    }
    let elements = read("benchmark.json")?["throughput"]["Elements"].as_f64()?;
    Some(elements / nanos * 1e9)
}

/// The folder of a benchmark; a group with one benchmark may be named by the group alone.
fn find(home: &Path, key: &str) -> Option<PathBuf> {
    let folder = home.join(key);
    if folder.join("new").is_dir() {
        return Some(folder);
    }
    let inside = std::fs::read_dir(folder).ok()?;
    inside
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.join("new").is_dir())
}
