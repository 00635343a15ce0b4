//! Statistics of luck against purgedcv, SciPy and arch.
//!
//! The values come from tests/reference/purgedcv_stats.py and arch_spa.py; nothing is computed in
//! Python here.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use fusebox_engine::eval::bootstrap::optimal_block_length;
use fusebox_engine::eval::luck::{
    ReturnsTable, SuperiorAbility, SuperiorAbilityOptions, backtest_overfitting, cluster_trials,
    effective_trials, minimum_backtest_length, minimum_track_record, superior_ability,
    superior_ability_of, trials_variance,
};
use fusebox_engine::eval::trading::{
    SharpeEvidence, deflated_sharpe, expected_best_sharpe, probabilistic_sharpe,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::Deserialize;
use serde::de::DeserializeOwned;

#[derive(Deserialize)]
struct Luck {
    sharpe: Vec<Sharpe>,
    minimum_backtest_length: Vec<(u32, f64, f64)>,
    overfitting: Vec<Overfitting>,
    clusters: Clusters,
}

#[derive(Deserialize)]
struct Sharpe {
    name: String,
    ticks: Vec<f64>,
    trials: u32,
    trials_variance: f64,
    sharpe: f64,
    skewness: f64,
    kurtosis: f64,
    probabilistic: f64,
    probabilistic_above: f64,
    expected_best: f64,
    deflated: f64,
    minimum_track_record: Option<u64>,
}

#[derive(Deserialize)]
struct Overfitting {
    name: String,
    blocks: usize,
    ticks: Vec<Vec<f64>>,
    probability: f64,
    slope: f64,
    probability_of_loss: f64,
    logits: Vec<f64>,
    in_sample: Vec<f64>,
    out_of_sample: Vec<f64>,
}

#[derive(Deserialize)]
struct Clusters {
    ticks: Vec<Vec<f64>>,
    groups: Vec<(f64, Vec<usize>)>,
    effective: f64,
    trials_variance: f64,
}

#[derive(Deserialize)]
struct Resampling {
    tests: Vec<Test>,
    block_lengths: Vec<BlockLength>,
}

#[derive(Deserialize)]
struct Test {
    name: String,
    ticks: Vec<Vec<f64>>,
    block: f64,
    histories: Vec<Vec<[usize; 2]>>,
    plain: BTreeMap<String, f64>,
    studentized: BTreeMap<String, f64>,
    plain_of_20000: BTreeMap<String, f64>,
}

#[derive(Deserialize)]
struct BlockLength {
    name: String,
    values: Vec<f64>,
    stationary: f64,
    circular: f64,
}

fn read<T: DeserializeOwned>(name: &str) -> T {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference/data");
    let text = std::fs::read_to_string(folder.join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Whole ticks of 1e-4 as returns.
fn returns(ticks: &[f64]) -> Vec<f64> {
    ticks.iter().map(|tick| tick / 1e4).collect()
}

fn table(ticks: &[Vec<f64>]) -> ReturnsTable {
    let rows: Vec<Vec<f64>> = ticks.iter().map(|row| returns(row)).collect();
    ReturnsTable::new(&rows).unwrap()
}

fn near(got: f64, expected: f64, digits: f64) -> bool {
    (got - expected).abs() <= digits * expected.abs().max(1e-3)
}

#[test]
fn sharpe_ratios_are_judged_as_by_purgedcv() {
    for case in read::<Luck>("purgedcv_stats.json").sharpe {
        let evidence = SharpeEvidence::of(&returns(&case.ticks)).unwrap();
        let variance = case.trials_variance;
        let best = expected_best_sharpe(case.trials, variance).unwrap();
        let deflated = deflated_sharpe(&evidence, case.trials, Some(variance)).unwrap();
        let probabilistic = |threshold| probabilistic_sharpe(&evidence, threshold).unwrap();
        for (what, got, expected) in [
            ("sharpe", evidence.sharpe, case.sharpe),
            ("skewness", evidence.skewness, case.skewness),
            ("kurtosis", evidence.kurtosis, case.kurtosis),
            ("probabilistic", probabilistic(0.0), case.probabilistic),
            ("above", probabilistic(0.05), case.probabilistic_above),
            ("best", best, case.expected_best),
            ("deflated", deflated, case.deflated),
        ] {
            assert!(
                near(got, expected, 1e-10),
                "{}, {what}: {got}, {expected}",
                case.name
            );
        }
        let length = minimum_track_record(&evidence, 0.0, 0.95);
        assert_eq!(length, case.minimum_track_record, "{}", case.name);
    }
}

#[test]
fn backtest_lengths_equal_purgedcv() {
    for (trials, sharpe, expected) in read::<Luck>("purgedcv_stats.json").minimum_backtest_length {
        let got = minimum_backtest_length(trials, sharpe).unwrap();
        assert!(
            near(got, expected, 1e-10),
            "{trials} trials, {sharpe}: {got}, {expected}"
        );
    }
}

#[test]
fn overfitting_equals_purgedcv_split_by_split() {
    for case in read::<Luck>("purgedcv_stats.json").overfitting {
        let found = backtest_overfitting(&table(&case.ticks), case.blocks).unwrap();
        let name = &case.name;
        for (what, got, expected) in [
            ("logits", &found.logits, &case.logits),
            ("in sample", &found.in_sample, &case.in_sample),
            ("out of sample", &found.out_of_sample, &case.out_of_sample),
        ] {
            assert_eq!(got.len(), expected.len(), "{name}, {what}");
            for (split, (got, expected)) in got.iter().zip(expected).enumerate() {
                assert!(
                    near(*got, *expected, 1e-9),
                    "{name}, {what} of split {split}: {got}, {expected}"
                );
            }
        }
        for (what, got, expected) in [
            ("probability", found.probability, case.probability),
            ("loss", found.probability_of_loss, case.probability_of_loss),
            ("slope", found.degradation_slope.unwrap(), case.slope),
        ] {
            assert!(
                near(got, expected, 1e-9),
                "{name}, {what}: {got}, {expected}"
            );
        }
    }
}

#[test]
fn clusters_of_trials_equal_scipy() {
    let case = read::<Luck>("purgedcv_stats.json").clusters;
    let table = table(&case.ticks);
    for (least, expected) in case.groups {
        let found = cluster_trials(&table, least);
        let expected: Vec<Option<usize>> = expected.into_iter().map(Some).collect();
        assert_eq!(found.group_of, expected, "at {least}");
        assert_eq!(found.groups, expected.iter().flatten().max().unwrap() + 1);
    }
    let effective = effective_trials(&table).unwrap();
    assert!(near(effective, case.effective, 1e-9), "{effective}");
    let variance = trials_variance(&table).unwrap();
    assert!(near(variance, case.trials_variance, 1e-9), "{variance}");
}

fn check(name: &str, found: &SuperiorAbility, expected: &BTreeMap<String, f64>) {
    for (what, got) in [
        ("statistic", found.statistic),
        ("lower", found.lower),
        ("consistent", found.consistent),
        ("upper", found.upper),
    ] {
        assert!(
            near(got, expected[what], 1e-10),
            "{name}, {what}: {got}, {}",
            expected[what]
        );
    }
}

#[test]
fn superior_ability_equals_arch_on_the_same_histories() {
    for case in read::<Resampling>("arch_spa.json").tests {
        let table = table(&case.ticks);
        let to_ranges = |pairs: &Vec<[usize; 2]>| -> Vec<Range<usize>> {
            pairs.iter().map(|[from, to]| *from..*to).collect()
        };
        for (studentized, expected) in [(false, &case.plain), (true, &case.studentized)] {
            let options = SuperiorAbilityOptions {
                samples: 0,
                mean_block_steps: case.block,
                studentized,
            };
            let histories = case.histories.iter().map(to_ranges);
            let found = superior_ability_of(&table, &options, histories).unwrap();
            assert_eq!(found.samples as usize, case.histories.len());
            check(&case.name, &found, expected);
        }
    }
}

#[test]
fn superior_ability_of_own_histories_agrees_with_arch() {
    for case in read::<Resampling>("arch_spa.json").tests {
        let options = SuperiorAbilityOptions {
            samples: 10_000,
            mean_block_steps: case.block,
            studentized: false,
        };
        let mut rng = ChaCha8Rng::seed_from_u64(6);
        let found = superior_ability(&table(&case.ticks), &options, &mut rng).unwrap();
        for (what, got) in [
            ("lower", found.lower),
            ("consistent", found.consistent),
            ("upper", found.upper),
        ] {
            let expected = case.plain_of_20000[what];
            // Four standard errors of the difference of shares of 10,000 and of 20,000.
            let error = (expected * (1.0 - expected) * (1.0 / 10_000.0 + 1.0 / 20_000.0)).sqrt();
            assert!(
                (got - expected).abs() <= 4.0 * error + 1e-3,
                "{}, {what}: {got}, {expected}",
                case.name
            );
        }
    }
}

#[test]
fn automatic_block_lengths_equal_arch() {
    for case in read::<Resampling>("arch_spa.json").block_lengths {
        let found = optimal_block_length(&case.values).unwrap();
        for (got, expected) in [
            (found.stationary, case.stationary),
            (found.circular, case.circular),
        ] {
            assert!(
                near(got, expected, 1e-9),
                "{}: {got}, {expected}",
                case.name
            );
        }
    }
}
