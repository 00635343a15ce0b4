//! Every feature that is made of TA-Lib's indicators against TA-Lib itself, on recorded candles;
//! the few for which TA-Lib loses digits there against windows by themselves, as the script says.
//!
//! Skips with a printed reason where the optional data folder is not at hand, or Python with
//! TA-Lib (`make reference`, or `FUSEBOX_PYTHON`). Nothing of the recording is kept.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]
#![allow(clippy::print_stdout, reason = "a skipped test says why")]

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

use fusebox_engine::features::{
    ExtractOptions, FeatureContext, FeatureSet, extract_exact, extract_symbol,
};
use fusebox_engine::types::{Bar, Market, SymbolId};
use fusebox_services::data::{DataRequest, load_market};

const OWN: SymbolId = SymbolId(0);
const OPTIONS: ExtractOptions = ExtractOptions { max_gap_bars: 60 };

/// Relative to the value, or to the column's median size where the value is smaller than that:
/// both sides carry sums.
const TOLERANCE: f64 = 1e-9;

/// Two weeks of minutes with many absent ones and a hole that is too long to pass over.
fn minutes() -> Option<Market> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/candles");
    if !dir.is_dir() {
        println!("skipped: there are no recorded candles in ../shared/data/candles");
        return None;
    }
    let request = DataRequest {
        dir,
        exchange: "BITFINEX".to_owned(),
        symbols: vec!["BTCUSD".to_owned()],
        time_frame: "1m".parse().unwrap(),
        from: Some("2018-05-28".parse().unwrap()),
        to: Some("2018-06-12".parse().unwrap()),
    };
    Some(load_market(&request).unwrap().market)
}

/// The interpreter, or a printed reason why the test is skipped.
fn python() -> Option<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv/bin/python");
    let python = std::env::var_os("FUSEBOX_PYTHON").map_or(own, PathBuf::from);
    let probe = Command::new(&python)
        .args(["-c", "import numpy, scipy, talib"])
        .output();
    if probe.is_ok_and(|probe| probe.status.success()) {
        return Some(python);
    }
    println!("skipped: no Python with TA-Lib; run `make reference`, or set FUSEBOX_PYTHON");
    None
}

/// The stretches of bars without a long hole, those that are too short for a warm-up left out.
fn stretches(market: &Market) -> Vec<Range<usize>> {
    let context = FeatureContext::of(market);
    let set = FeatureSet::parse(&["body".to_owned()], &context).unwrap();
    let segments = extract_symbol(&set, market, OWN, OPTIONS).unwrap().segment;
    let mut begin = 0;
    let mut found = Vec::new();
    for part in segments.chunk_by(|a, b| a == b) {
        found.push(begin..begin + part.len());
        begin += part.len();
    }
    found.retain(|part| part.len() > 1000);
    found
}

/// What TA-Lib makes of the stretches: each feature's name and its values, one stretch after the
/// other.
fn reference(python: &Path, bars: &[Bar], stretches: &[Range<usize>]) -> Vec<(String, Vec<f64>)> {
    let columns: [fn(&Bar) -> f64; 5] = [
        |bar| bar.open,
        |bar| bar.high,
        |bar| bar.low,
        |bar| bar.close,
        |bar| bar.volume,
    ];
    let rows = || stretches.iter().flat_map(|part| &bars[part.clone()]);
    let bytes = columns
        .iter()
        .flat_map(|column| rows().flat_map(move |bar| column(bar).to_le_bytes()));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("candles");
    std::fs::write(&file, bytes.collect::<Vec<u8>>()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference/talib_features.py");
    let output = Command::new(python)
        .arg(script)
        .arg("--candles")
        .arg(&file)
        .args(stretches.iter().map(|part| part.len().to_string()))
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the script failed: {words}");
    let names: Vec<String> = serde_json::from_slice(&output.stdout).unwrap();
    let values = std::fs::read(folder.path().join("candles.values")).unwrap();
    let (values, _) = values.as_chunks::<8>();
    let count = rows().count();
    assert_eq!(values.len(), names.len() * count);
    let columns = values.chunks(count);
    let columns = columns.map(|column| column.iter().map(|one| f64::from_le_bytes(*one)).collect());
    names.into_iter().zip(columns).collect()
}

/// How far a column is from TA-Lib's.
#[derive(Debug, Default)]
struct Distance {
    compared: usize,
    /// Rows that TA-Lib has no finite value for, after the first one.
    undefined: usize,
    /// Rows that are not within the tolerance, and the largest of their relative errors.
    apart: usize,
    largest: f64,
}

fn distance(own: &[f64], expected: &[f64], stretches: &[Range<usize>]) -> Distance {
    let mut sizes: Vec<f64> = expected.iter().map(|one| one.abs()).collect();
    sizes.retain(|one| one.is_finite());
    sizes.sort_by(f64::total_cmp);
    let median = sizes[sizes.len() / 2];
    let mut found = Distance::default();
    let mut begin = 0;
    for part in stretches {
        let expected = &expected[begin..begin + part.len()];
        begin += part.len();
        let own = &own[part.clone()];
        let first = expected.iter().position(|one| one.is_finite()).unwrap();
        assert_eq!(own.iter().position(|one| !one.is_nan()), Some(first));
        for (own, expected) in own[first..].iter().zip(&expected[first..]) {
            if !expected.is_finite() {
                assert!(own.is_finite(), "a value is missing");
                found.undefined += 1;
                continue;
            }
            found.compared += 1;
            let (error, scale) = ((own - expected).abs(), expected.abs().max(median));
            // A missing value is apart too.
            if error.is_nan() || error > TOLERANCE * scale {
                found.apart += 1;
                found.largest = found.largest.max(error / scale);
            }
        }
    }
    found
}

#[test]
fn features_equal_talib_on_recorded_candles() {
    let Some(market) = minutes() else { return };
    let Some(python) = python() else { return };
    let bars = &market.series()[0].bars;
    let stretches = stretches(&market);
    assert_eq!(stretches.len(), 2, "a hole of more than an hour");
    let context = FeatureContext::of(&market);
    let parsed = |name: &String| FeatureSet::parse(std::slice::from_ref(name), &context);
    let mut problems = Vec::new();
    let mut compared = 0;
    for (name, expected) in reference(&python, bars, &stretches) {
        // Of trades or of the taker's side, which this recording does not have.
        let Ok(set) = parsed(&name) else { continue };
        let own = extract_exact(&set, &market, OWN, OPTIONS).unwrap();
        let found = distance(&own, &expected, &stretches);
        println!("{name}: {found:?}");
        compared += 1;
        // TA-Lib divides by nothing where prices stand still; ours is defined there.
        if found.apart > 0 || found.undefined * 100 > found.compared {
            problems.push(format!("{name}: {found:?}"));
        }
    }
    assert!(compared > 100, "{compared} features");
    assert!(problems.is_empty(), "{problems:#?}");
}
