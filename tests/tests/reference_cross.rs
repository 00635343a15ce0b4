//! The features that compare symbols, against NumPy.
//!
//! The values come from tests/reference/cross_features.py; nothing is computed in Python here.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::collections::BTreeMap;
use std::path::Path;

use fusebox_engine::features::{
    ExtractOptions, FeatureContext, FeatureSet, Reads, extract_exact, registry,
};
use fusebox_engine::types::{Bar, BarSeries, Market, TimeFrame, Timestamp};
use serde::Deserialize;

#[derive(Deserialize)]
struct Reference {
    closes: BTreeMap<String, Vec<(i64, f64)>>,
    features: BTreeMap<String, Vec<Option<f64>>>,
}

fn reference() -> Reference {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference/data/cross_features.json");
    serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap()
}

fn market(reference: &Reference) -> Market {
    let hour: TimeFrame = "1h".parse().unwrap();
    let bar = |&(at, close): &(i64, f64)| {
        let opened_at = Timestamp::from_nanos(at * hour.nanos());
        Bar {
            opened_at,
            closed_at: opened_at.saturating_add_nanos(hour.nanos()),
            open: close,
            high: close,
            low: close,
            close,
            volume: 1.0,
            quote_volume: None,
            trades: None,
            taker_buy_volume: None,
        }
    };
    let series = reference.closes.iter().map(|(name, closes)| BarSeries {
        name: name.clone(),
        time_frame: hour,
        bars: closes.iter().map(bar).collect(),
    });
    Market::new(series.collect()).unwrap()
}

#[test]
fn features_across_symbols_equal_their_references() {
    let reference = reference();
    let market = market(&reference);
    let own = market.id("OWN").unwrap();
    for (name, expected) in &reference.features {
        let context = FeatureContext::of(&market);
        let set = FeatureSet::parse(std::slice::from_ref(name), &context).unwrap();
        let got = extract_exact(&set, &market, own, ExtractOptions::default()).unwrap();
        assert_eq!(got.len(), expected.len(), "{name}");
        let largest = expected
            .iter()
            .flatten()
            .fold(0.0_f64, |most, one| most.max(one.abs()));
        for (row, (got, expected)) in got.iter().zip(expected).enumerate() {
            let agrees = match expected {
                None => got.is_nan(),
                Some(expected) => (got - expected).abs() <= 1e-9 * largest,
            };
            assert!(agrees, "{name} at row {row}: {got}, expected {expected:?}");
        }
        assert!(expected.iter().flatten().count() > 100, "{name}");
    }
    for kind in registry().filter(|kind| !matches!(kind.reads, Reads::Bars)) {
        let start = format!("{}(", kind.name);
        let is_known = reference
            .features
            .keys()
            .any(|name| name.starts_with(&start));
        assert!(is_known, "add {} to cross_features.py", kind.name);
    }
}
