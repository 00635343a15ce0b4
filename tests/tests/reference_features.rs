//! Every kind of feature against TA-Lib, NumPy and SciPy.
//!
//! The values come from tests/reference/talib_features.py; nothing is computed in Python here.
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
    bars: BTreeMap<String, Vec<f64>>,
    features: BTreeMap<String, Vec<Option<f64>>>,
}

fn reference() -> Reference {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference/data/talib_features.json");
    let text = std::fs::read_to_string(&path).unwrap();
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

#[test]
fn features_equal_their_references_after_the_warm_up() {
    let reference = reference();
    let market = market(&reference);
    let mut problems = Vec::new();
    for (name, expected) in &reference.features {
        let context = FeatureContext::of(&market);
        let set = FeatureSet::parse(std::slice::from_ref(name), &context).unwrap();
        let options = ExtractOptions::default();
        let got = extract_exact(&set, &market, SymbolId(0), options).unwrap();
        assert_eq!(got.len(), expected.len(), "{name}");
        let largest = expected
            .iter()
            .flatten()
            .fold(0.0_f64, |most, one| most.max(one.abs()));
        for (row, (got, expected)) in got.iter().zip(expected).enumerate() {
            let agrees = match expected {
                None => got.is_nan(),
                Some(expected) => {
                    let scale = expected.abs().max(largest * 1e-3);
                    (got - expected).abs() <= TOLERANCE * scale
                }
            };
            if !agrees {
                problems.push(format!("{name} at row {row}: {got}, expected {expected:?}"));
                break;
            }
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn every_registered_kind_has_a_reference() {
    let reference = reference();
    let known: BTreeSet<&str> = reference
        .features
        .keys()
        .map(|name| name.split('(').next().unwrap_or(name))
        .collect();
    let lacking: Vec<&str> = registry()
        .filter(|kind| matches!(kind.reads, Reads::Bars))
        .map(|kind| kind.name)
        .filter(|name| !known.contains(name))
        .collect();
    assert!(
        lacking.is_empty(),
        "add these to talib_features.py: {lacking:?}"
    );
}
