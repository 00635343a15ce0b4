//! What makes runs hard to compare: other data, another time, other costs, other features.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::read::Run;

/// Sections of the configuration that decide what trading costs.
const COST_SECTIONS: [&str; 2] = ["execution", "portfolio"];
/// Settings that are told of one warning at most.
const MAX_SETTINGS: usize = 8;

/// One sentence for each difference of a run to the first.
pub(super) fn warnings(runs: &[Run], names: &[String]) -> Vec<String> {
    let mut warnings = Vec::new();
    let Some((first, others)) = runs.split_first() else {
        return warnings;
    };
    for (other, name) in others.iter().zip(&names[1..]) {
        let mut add = |words: Option<String>| {
            let pair = (names[0].as_str(), name);
            let told = words.map(|words| format!("`{}` and `{}` {words}", pair.0, pair.1));
            warnings.extend(told);
        };
        add(data(first, other));
        add(period(first, other));
        add(currency(first, other));
        add(costs(first, other));
        add(features(first, other));
    }
    warnings
}

fn data(one: &Run, other: &Run) -> Option<String> {
    let (own, others) = (&one.metrics.market, &other.metrics.market);
    if own.source != others.source {
        return Some("are of different markets: recorded or simulated otherwise".to_owned());
    }
    if own.symbols != others.symbols {
        return Some(format!(
            "trade different symbols: {} and {}",
            own.symbols.join(", "),
            others.symbols.join(", ")
        ));
    }
    if own.time_frame != others.time_frame {
        return Some(format!(
            "have bars of different length: {} and {}",
            own.time_frame, others.time_frame
        ));
    }
    let digests = |run: &Run| -> BTreeMap<String, String> {
        let files = run.metrics.reproducibility.files.iter();
        files
            .map(|file| (file.path.clone(), file.sha256.clone()))
            .collect()
    };
    let (own, others) = (digests(one), digests(other));
    let differs = |path: &&String| own.get(*path) != others.get(*path);
    let paths: std::collections::BTreeSet<&String> = own.keys().chain(others.keys()).collect();
    let changed: Vec<&str> = paths
        .iter()
        .filter(|path| differs(path))
        .map(|p| p.as_str())
        .collect();
    if !changed.is_empty() {
        return Some(format!("read different bytes of {}", changed.join(", ")));
    }
    let (own, others) = (section(one, "data"), section(other, "data"));
    (own.get("simulated") != others.get("simulated")
        && one.metrics.reproducibility.files.is_empty())
    .then(|| "are of differently simulated markets (`data.simulated`)".to_owned())
}

fn period(one: &Run, other: &Run) -> Option<String> {
    let range = |run: &Run| {
        let (first, last) = (run.equity.first()?, run.equity.last()?);
        Some((first.0, last.0))
    };
    let (own, others) = (range(one)?, range(other)?);
    (own != others).then(|| {
        format!(
            "cover different times: {} to {}, and {} to {}",
            own.0, own.1, others.0, others.1
        )
    })
}

fn currency(one: &Run, other: &Run) -> Option<String> {
    let (own, others) = (&one.metrics.trading, &other.metrics.trading);
    (own.currency != others.currency).then(|| {
        format!(
            "count in different currencies: {} and {}",
            own.currency, others.currency
        )
    })
}

fn costs(one: &Run, other: &Run) -> Option<String> {
    let settings = |run: &Run| {
        let mut all = BTreeMap::new();
        for name in COST_SECTIONS {
            flatten(name, &section(run, name), &mut all);
        }
        all
    };
    let (own, others) = (settings(one), settings(other));
    let unset = "not set".to_owned();
    let keys: std::collections::BTreeSet<&String> = own.keys().chain(others.keys()).collect();
    let changed: Vec<String> = keys
        .into_iter()
        .filter(|key| own.get(*key) != others.get(*key))
        .map(|key| {
            let of = |all: &BTreeMap<String, String>| all.get(key).unwrap_or(&unset).clone();
            format!("{key} is {} and {}", of(&own), of(&others))
        })
        .collect();
    let more = changed.len().saturating_sub(MAX_SETTINGS);
    let shown = changed.iter().take(MAX_SETTINGS).cloned();
    let mut words: Vec<String> = shown.collect();
    if more > 0 {
        words.push(format!("and {more} more"));
    }
    (!changed.is_empty()).then(|| format!("trade at different costs: {}", words.join("; ")))
}

fn features(one: &Run, other: &Run) -> Option<String> {
    let digest = |run: &Run| run.metrics.reproducibility.feature_set_sha256.clone();
    let (own, others) = (digest(one), digest(other));
    let both_known = !own.is_empty() && !others.is_empty();
    (both_known && own != others).then(|| "see different sets of features".to_owned())
}

/// A section of a run's configuration; empty where it cannot be read.
fn section(run: &Run, name: &str) -> Table {
    let text = &run.metrics.reproducibility.config.toml;
    let whole: Table = text.parse().unwrap_or_default();
    match whole.get(name) {
        Some(Value::Table(table)) => table.clone(),
        _ => Table::new(),
    }
}

/// Every value below `table` with its whole key.
fn flatten(prefix: &str, table: &Table, all: &mut BTreeMap<String, String>) {
    for (key, value) in table {
        let key = format!("{prefix}.{key}");
        match value {
            Value::Table(below) => flatten(&key, below, all),
            value => {
                all.insert(key, value.to_string());
            }
        }
    }
}
