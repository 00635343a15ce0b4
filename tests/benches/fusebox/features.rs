//! How fast features are extracted, in rows per second: one year of hourly bars of three symbols
//! with every feature of the shipped pipeline, on one thread.

use criterion::{Criterion, Throughput};
use fusebox_engine::features::{ExtractOptions, FeatureContext, FeatureSet, extract};
use fusebox_engine::types::Market;
use fusebox_services::data::{Simulated, SimulatedConfig};

pub(crate) fn features(criterion: &mut Criterion) {
    let config = SimulatedConfig {
        to: "2023-01-01".parse().unwrap(),
        ..SimulatedConfig::default()
    };
    let market = Market::new(Simulated::new(config).unwrap().series()).unwrap();
    let set = FeatureSet::parse(&shipped_features(), &FeatureContext::of(&market)).unwrap();
    let rows: usize = market.series().iter().map(|series| series.bars.len()).sum();
    let mut group = criterion.benchmark_group("features");
    group.throughput(Throughput::Elements(rows as u64));
    group.sample_size(10);
    let name = format!("extract_{}_columns", set.len());
    group.bench_function(name, |bencher| {
        bencher.iter(|| extract(&set, &market, ExtractOptions::default()).unwrap());
    });
    group.finish();
}

/// The feature list of the pipeline that the README runs.
fn shipped_features() -> Vec<String> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../configs/pipelines/direction-1h-lightgbm.toml"
    );
    let text = std::fs::read_to_string(path).unwrap();
    let table: toml::Table = toml::from_str(&text).unwrap();
    let set = table["features"]["set"].as_array().unwrap();
    set.iter()
        .map(|one| one.as_str().unwrap().to_owned())
        .collect()
}
