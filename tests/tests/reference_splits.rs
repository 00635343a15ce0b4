//! Splits against skfolio and purgedcv, scalers against scikit-learn.
//!
//! The values come from tests/reference/skfolio_cpcv.py and sklearn_scalers.py, which explain where
//! the libraries differ; nothing is computed in Python here.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::collections::BTreeMap;
use std::path::Path;

use fusebox_engine::dataset::{
    DatasetOptions, GroupSplit, Samples, Scaler, ScalerKind, SymbolSamples,
};
use fusebox_engine::features::FeatureMatrix;
use fusebox_engine::labels::{
    Direction, Label, LabelReason, LabelSeries, LabelTask, ReturnUnit, Targets,
};
use fusebox_engine::types::{SymbolId, Timestamp};
use fusebox_plugin_api::schema::{BatchColumns, Dataset, DatasetBatch, DatasetSchema};
use serde::Deserialize;
use serde::de::DeserializeOwned;

const HOUR: i64 = 3_600_000_000_000;

fn read<T: DeserializeOwned>(name: &str) -> T {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference/data");
    serde_json::from_str(&std::fs::read_to_string(folder.join(name)).unwrap()).unwrap()
}

#[derive(Deserialize)]
struct Splits {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    rows: usize,
    groups: u32,
    test_groups: u32,
    label_bars: Vec<usize>,
    embargo_bars: u32,
    folds: Vec<ExpectedFold>,
    paths: Option<Vec<Vec<usize>>>,
}

#[derive(Deserialize)]
struct ExpectedFold {
    train: Vec<usize>,
    test: Vec<Vec<usize>>,
}

/// Hourly rows of which each has a label that spans the given number of bars; those of the last
/// rows end after the data.
fn samples(label_bars: &[usize]) -> Samples {
    let at = |row: usize| Timestamp::from_nanos((row as i64 + 1) * HOUR);
    let rows = label_bars.len();
    let label = |(row, bars): (usize, &usize)| {
        Some(Label {
            class: Direction::Flat,
            end: at(row + bars),
            end_bar: row + bars,
            log_return: 0.0,
            reason: LabelReason::Vertical,
            trend: None,
        })
    };
    let mut labels = LabelSeries::of_classes(label_bars.iter().enumerate().map(label).collect());
    labels.task = LabelTask::Returns {
        horizons_bars: vec![1],
        unit: ReturnUnit::LogReturn,
    };
    labels.targets = Some(Targets {
        columns: 1,
        values: vec![0.0; rows],
    });
    let features = FeatureMatrix {
        symbol: SymbolId(0),
        columns: ["a".to_owned()].into(),
        closed_at: (0..rows).map(at).collect(),
        segment: vec![0; rows],
        is_valid: vec![true; rows],
        values: vec![0.0; rows].into(),
    };
    let symbol = SymbolSamples { features, labels };
    Samples::new(vec![symbol], "1h".parse().unwrap()).unwrap()
}

#[test]
fn group_splits_equal_skfolio_and_purgedcv() {
    let cases = read::<Splits>("skfolio_cpcv.json").cases;
    assert_eq!(cases.len(), 8);
    for case in cases {
        let name = format!("{} of {} groups", case.test_groups, case.groups);
        assert_eq!(case.label_bars.len(), case.rows);
        let samples = samples(&case.label_bars);
        let split = GroupSplit {
            groups: case.groups,
            test_groups: case.test_groups,
            embargo_bars: case.embargo_bars,
        };
        let plan = samples.split(&split.into()).unwrap();
        assert_eq!(plan.folds.len(), case.folds.len(), "{name}");
        for (fold, expected) in plan.folds.iter().zip(&case.folds) {
            let train = samples.train(fold, &DatasetOptions::default()).unwrap();
            let taken = train.views().flat_map(|view| {
                let rows = (0..view.rows()).filter(|row| view.is_sample(*row));
                rows.map(|row| (view.event_ns[row] / HOUR - 1) as usize)
                    .collect::<Vec<_>>()
            });
            assert_eq!(taken.collect::<Vec<_>>(), expected.train, "{name}");
            let tested: Vec<usize> = samples
                .test_blocks(fold, 0)
                .into_iter()
                .flat_map(|block| block.rows)
                .collect();
            assert_eq!(tested, expected.test.concat(), "{name}");
            assert_eq!(fold.test.len(), expected.test.len());
        }
        let paths = plan.paths.iter().map(|path| {
            let folds = path.parts.iter().map(|(_, fold)| *fold);
            folds.collect::<Vec<usize>>()
        });
        let paths: Vec<_> = paths.collect();
        assert_eq!(Some(paths.len()), split.paths());
        if let Some(expected) = case.paths {
            assert_eq!(paths, expected, "{name}");
        }
    }
}

#[derive(Deserialize)]
struct Scalers {
    fitted_rows: usize,
    columns: usize,
    values: Vec<f32>,
    expected: BTreeMap<String, Vec<f64>>,
}

/// All rows, of which the first are samples and the others context.
fn dataset(reference: &Scalers) -> Dataset {
    let rows = reference.values.len() / reference.columns;
    let schema = DatasetSchema {
        features: (0..reference.columns).map(|i| format!("x{i}")).collect(),
        labels: vec!["direction".to_owned()],
        classes: Vec::new(),
    };
    let times: Vec<i64> = (0..rows as i64).collect();
    let role = (0..rows).map(|row| u8::from(row < reference.fitted_rows));
    let columns = BatchColumns {
        features: reference.values.clone().into(),
        labels: vec![0.0; rows].into(),
        weight: vec![1.0; rows].into(),
        event_ns: times.clone().into(),
        label_end_ns: times.into(),
        symbol: vec![0; rows].into(),
        segment: vec![0; rows].into(),
        role: role.collect::<Vec<u8>>().into(),
    };
    let batch = DatasetBatch::new(&schema, columns).unwrap();
    Dataset::new(schema, vec![batch]).unwrap()
}

#[test]
fn scalers_equal_scikit_learn() {
    let reference: Scalers = read("sklearn_scalers.json");
    let data = dataset(&reference);
    for (kind, name) in [
        (ScalerKind::Standard, "standard"),
        (ScalerKind::Robust, "robust"),
        (ScalerKind::RankGauss, "rank_gauss"),
    ] {
        let (scaler, report) = Scaler::fit(kind, &data).unwrap().unwrap();
        assert_eq!(report.samples, reference.fitted_rows);
        let mut got = reference.values.clone();
        scaler.apply(&mut got).unwrap();
        let expected = &reference.expected[name];
        assert_eq!(got.len(), expected.len());
        for (at, (got, expected)) in got.iter().zip(expected).enumerate() {
            // The result is rounded to f32.
            let allowed = 2e-6 * expected.abs().max(0.1);
            assert!(
                (f64::from(*got) - expected).abs() <= allowed,
                "{name} at {at}: {got}, {expected}"
            );
        }
    }
}
