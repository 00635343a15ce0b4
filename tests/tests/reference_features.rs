//! Every kind of feature against TA-Lib, pandas, SciPy, statsmodels, arch, antropy and NumPy.
//!
//! The values come from tests/reference/talib_features.py and feature_formulas.py; nothing is
//! computed in Python here.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use fusebox_engine::features::{
    ExtractOptions, FeatureContext, FeatureSet, Reads, extract_exact, registry,
};
use fusebox_engine::types::{Bar, BarSeries, Market, SymbolId, TimeFrame, Timestamp};
use serde::Deserialize;

#[derive(Deserialize)]
struct Reference {
    first_open_ms: i64,
    #[serde(default)]
    bars: BTreeMap<String, Vec<f64>>,
    /// The rows of every feature's values.
    rows: Vec<usize>,
    features: BTreeMap<String, Expected>,
}

#[derive(Deserialize)]
struct Expected {
    /// The first row with a value, and the value.
    first: (usize, f64),
    values: Vec<Option<f64>>,
}

fn reference(name: &str) -> Reference {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference/data");
    let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn market(reference: &Reference) -> Market {
    let hour: TimeFrame = "1h".parse().unwrap();
    let first = Timestamp::from_millis(reference.first_open_ms).unwrap();
    let column = |name: &str| &reference.bars[name];
    let bar = |row: usize| {
        let opened_at = first.saturating_add_nanos(row as i64 * hour.nanos());
        Bar {
            opened_at,
            closed_at: opened_at.saturating_add_nanos(hour.nanos()),
            open: column("open")[row],
            high: column("high")[row],
            low: column("low")[row],
            close: column("close")[row],
            volume: column("volume")[row],
            quote_volume: Some(column("quote_volume")[row]),
            trades: Some(column("trades")[row]),
            taker_buy_volume: Some(column("taker_buy_volume")[row]),
        }
    };
    let series = BarSeries {
        name: "A".to_owned(),
        time_frame: hour,
        bars: (0..column("close").len()).map(bar).collect(),
    };
    Market::new(vec![series]).unwrap()
}

/// Relative to the value, or to a thousandth of the column's largest one where the value is smaller
/// than that: both sides carry sums.
const TOLERANCE: f64 = 1e-9;

/// Where the first row in which a feature differs is, and how.
fn difference(name: &str, got: &[f64], reference: &Reference) -> Option<String> {
    let expected = &reference.features[name];
    let largest = expected
        .values
        .iter()
        .flatten()
        .fold(0.0_f64, |most, one| most.max(one.abs()));
    let first = got.iter().position(|value| !value.is_nan());
    if first != Some(expected.first.0) {
        return Some(format!(
            "{name} begins at {first:?}, expected {}",
            expected.first.0
        ));
    }
    let rows = reference.rows.iter().zip(&expected.values);
    let first = (expected.first.0, Some(expected.first.1));
    let mut cases = rows.map(|(row, value)| (*row, *value)).chain([first]);
    let wrong = cases.find(|(row, value)| match value {
        None => !got[*row].is_nan(),
        Some(value) => {
            let scale = value.abs().max(largest * 1e-3);
            // A missing value is wrong too.
            got[*row].is_nan() || (got[*row] - value).abs() > TOLERANCE * scale
        }
    });
    wrong.map(|(row, value)| format!("{name} at {row}: {}, expected {value:?}", got[row]))
}

#[test]
fn features_equal_their_references_after_the_warm_up() {
    let talib = reference("talib_features");
    let market = market(&talib);
    let mut problems = Vec::new();
    for reference in [&talib, &reference("feature_formulas")] {
        assert_eq!(reference.first_open_ms, talib.first_open_ms);
        for name in reference.features.keys() {
            let context = FeatureContext::of(&market);
            let set = FeatureSet::parse(std::slice::from_ref(name), &context).unwrap();
            let options = ExtractOptions::default();
            let got = extract_exact(&set, &market, SymbolId(0), options).unwrap();
            problems.extend(difference(name, &got, reference));
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn every_registered_kind_has_a_reference() {
    let all = ["talib_features", "feature_formulas"].map(reference);
    let known: BTreeSet<&str> = all
        .iter()
        .flat_map(|reference| reference.features.keys())
        .map(|name| name.split('(').next().unwrap_or(name))
        .collect();
    let lacking: Vec<&str> = registry()
        .filter(|kind| matches!(kind.reads, Reads::Bars))
        .map(|kind| kind.name)
        .filter(|name| !known.contains(name))
        .collect();
    assert!(
        lacking.is_empty(),
        "add these to talib_features.py or feature_formulas.py: {lacking:?}"
    );
}
