//! Controls of the whole path from labels over splits to scores: where there is nothing to find,
//! nothing is found, and where a guard is taken away, the cheat shows.

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::*;
use crate::features::FeatureMatrix;
use crate::labels::{Direction, Label, LabelConfig, LabelKind, LabelSeries};
use crate::types::{Bar, BarSeries, SymbolId, TimeFrame, Timestamp};

/// Roughly normal.
fn noise(random: &mut ChaCha8Rng) -> f64 {
    (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0
}

/// A series whose log returns are `steps`, an hour apart.
fn series(steps: &[f64]) -> BarSeries {
    let time_frame: TimeFrame = "1h".parse().unwrap();
    let mut close = 100.0;
    let bar = |(hour, step): (usize, &f64)| {
        let opened_at = Timestamp::from_nanos(hour as i64 * time_frame.nanos());
        let open = close;
        close *= step.exp();
        Bar {
            opened_at,
            closed_at: opened_at.saturating_add_nanos(time_frame.nanos()),
            open,
            high: f64::max(open, close),
            low: f64::min(open, close),
            close,
            volume: 1.0,
            quote_volume: None,
            trades: None,
            taker_buy_volume: None,
        }
    };
    BarSeries {
        name: "A".to_owned(),
        time_frame,
        bars: steps.iter().enumerate().map(bar).collect(),
    }
}

fn samples(series: &BarSeries, features: Vec<[f32; 2]>, labels: LabelSeries) -> Samples {
    let rows = series.bars.len();
    let features = FeatureMatrix {
        symbol: SymbolId(0),
        columns: ["a".to_owned(), "b".to_owned()].into(),
        closed_at: series.bars.iter().map(|bar| bar.closed_at).collect(),
        segment: vec![0; rows],
        is_valid: vec![true; rows],
        values: features.concat().into(),
    };
    let symbol = SymbolSamples { features, labels };
    Samples::new(vec![symbol], series.time_frame).unwrap()
}

/// What a learner saw of a fold: features and class of every training sample.
fn training_rows(samples: &Samples, fold: &Fold) -> Vec<([f32; 2], f32)> {
    let train = samples.train(fold, &DatasetOptions::default()).unwrap();
    let rows = train.views().flat_map(|view| {
        let own = (0..view.rows()).filter(|row| view.is_sample(*row));
        own.map(|row| {
            let x = view.feature_row(row);
            ([x[0], x[1]], view.label_row(row)[0])
        })
        .collect::<Vec<_>>()
    });
    rows.collect()
}

/// The tested rows that have a label.
fn tested_rows(samples: &Samples, fold: &Fold) -> Vec<([f32; 2], Label)> {
    let symbol = samples.get(SymbolId(0)).unwrap();
    let rows = samples
        .test_blocks(fold, 0)
        .into_iter()
        .flat_map(|block| block.rows);
    rows.filter_map(|row| {
        let x = symbol.features.row(row);
        Some(([x[0], x[1]], symbol.labels.get(row)?))
    })
    .collect()
}

/// Share of tested rows whose nearest training row has their class.
fn nearest_neighbour_accuracy(samples: &Samples, folds: &[Fold]) -> f64 {
    let (mut right, mut all) = (0.0, 0.0);
    for fold in folds {
        let train = training_rows(samples, fold);
        for (x, label) in tested_rows(samples, fold) {
            let distance = |(y, _): &&([f32; 2], f32)| {
                f64::from((x[0] - y[0]).powi(2) + (x[1] - y[1]).powi(2))
            };
            let nearest = train
                .iter()
                .min_by(|a, b| distance(a).total_cmp(&distance(b)))
                .unwrap();
            right += f64::from(u8::from(nearest.1 as usize == label.class.index()));
            all += 1.0;
        }
    }
    right / all
}

#[test]
fn without_the_purge_overlapping_labels_make_noise_look_like_skill() {
    let mut random = ChaCha8Rng::seed_from_u64(20);
    let steps: Vec<f64> = (0..4000).map(|_| 0.01 * noise(&mut random)).collect();
    let series = series(&steps);
    let config = LabelConfig {
        kind: LabelKind::FixedThreshold,
        horizon_bars: 30,
        // Hardly any row is flat.
        upper_return: 1e-4,
        lower_return: 1e-4,
        volatility_span_bars: 20,
        ..LabelConfig::default()
    };
    let labels = LabelSeries::of(&series, &config, 0);
    // Features that trend and know nothing of the price: near in value is near in time.
    let mut at = [0.0_f32; 2];
    let features = (0..4000).map(|_| {
        at = at.map(|x| x + 0.5 + 0.5 * noise(&mut random) as f32);
        at
    });
    let samples = samples(&series, features.collect(), labels);
    let split = GroupSplit {
        groups: 200,
        test_groups: 1,
        embargo_bars: 0,
    };
    let mut folds = samples.split(&split.into()).unwrap().folds;
    let purged = nearest_neighbour_accuracy(&samples, &folds);
    let middle = folds[100].train_counts;
    assert_eq!(middle.purged, 2 * 30, "on both sides");
    for fold in &mut folds {
        fold.train_held_out.clear();
    }
    let leaking = nearest_neighbour_accuracy(&samples, &folds);
    // 4,000 rows of 30 bars are worth about 130: a standard error of 4.4 points around a half.
    assert!((purged - 0.5).abs() < 0.1, "{purged}");
    assert!(leaking > purged + 0.15, "{leaking} against {purged}");
}

/// A linear score from the training rows: each feature by its covariance with the class.
fn scores(train: &[([f32; 2], f32)], tested: &[([f32; 2], Label)]) -> Vec<f64> {
    let count = train.len() as f64;
    let mean_y = train.iter().map(|(_, y)| f64::from(*y)).sum::<f64>() / count;
    let slope = [0, 1].map(|i| {
        let products = train
            .iter()
            .map(|(x, y)| f64::from(x[i]) * (f64::from(*y) - mean_y));
        products.sum::<f64>() / count
    });
    let score = |(x, _): &([f32; 2], Label)| -> f64 {
        slope
            .iter()
            .zip(x)
            .map(|(slope, x)| slope * f64::from(*x))
            .sum()
    };
    tested.iter().map(score).collect()
}

/// Correlation of out-of-sample scores and returns over all folds, and the number of rows.
fn information_coefficient(samples: &Samples, plan: &SplitPlan) -> (f64, f64) {
    let (mut x, mut y) = (Vec::new(), Vec::new());
    for fold in &plan.folds {
        let tested = tested_rows(samples, fold);
        let own = scores(&training_rows(samples, fold), &tested);
        // Scores of different models have different scales.
        let size = own.iter().map(|one| one * one).sum::<f64>().sqrt();
        x.extend(own.iter().map(|one| one / size));
        y.extend(tested.iter().map(|(_, label)| label.log_return));
    }
    let count = x.len() as f64;
    let mean = |values: &[f64]| values.iter().sum::<f64>() / count;
    let (mean_x, mean_y) = (mean(&x), mean(&y));
    let sum = |f: &dyn Fn(f64, f64) -> f64| -> f64 {
        x.iter()
            .zip(&y)
            .map(|(x, y)| f(x - mean_x, y - mean_y))
            .sum()
    };
    let correlation = sum(&|x, y| x * y) / (sum(&|x, _| x * x) * sum(&|_, y| y * y)).sqrt();
    (correlation, count)
}

#[test]
fn permuted_labels_leave_no_information() {
    let mut random = ChaCha8Rng::seed_from_u64(21);
    let rows = 3000;
    let features: Vec<[f32; 2]> = (0..rows)
        .map(|_| [noise(&mut random) as f32, noise(&mut random) as f32])
        .collect();
    // The first feature of a bar says a little of the next bar's return.
    let step = |row: usize, random: &mut ChaCha8Rng| {
        let known = row
            .checked_sub(1)
            .map_or(0.0, |before| f64::from(features[before][0]));
        0.01 * (0.3 * known + noise(random))
    };
    let steps: Vec<f64> = (0..rows).map(|row| step(row, &mut random)).collect();
    let series = series(&steps);
    let config = LabelConfig {
        kind: LabelKind::FixedHorizon,
        horizon_bars: 1,
        upper_sigmas: 0.4,
        lower_sigmas: 0.4,
        volatility_span_bars: 50,
        ..LabelConfig::default()
    };
    let labels = LabelSeries::of(&series, &config, 0);
    let split = GroupSplit {
        groups: 5,
        test_groups: 1,
        embargo_bars: 1,
    };
    let measure = |labels: LabelSeries| {
        let samples = samples(&series, features.clone(), labels);
        let plan = samples.split(&split.into()).unwrap();
        information_coefficient(&samples, &plan)
    };
    let (found, count) = measure(labels.clone());
    assert!(found > 0.2, "the planted signal is found: {found}");
    let standard_error = 1.0 / count.sqrt();
    let permuted: Vec<f64> = (0..20)
        .map(|seed| {
            let present: Vec<usize> = (0..rows).filter(|row| labels.get(*row).is_some()).collect();
            let order = BatchOrder {
                batch_size: 1,
                shuffle: Some(seed),
                drop_last: false,
            };
            let mut mixed = labels.clone();
            for (to, from) in order.positions(present.len(), 0).into_iter().enumerate() {
                let (to, from) = (present[to], present[from]);
                let outcome =
                    |label: &Label| -> (Direction, f64) { (label.class, label.log_return) };
                let (Some(source), Some(own)) = (labels.get(from), &mut mixed.labels[to]) else {
                    continue;
                };
                (own.class, own.log_return) = outcome(&source);
            }
            measure(mixed).0
        })
        .collect();
    let inside = permuted
        .iter()
        .filter(|ic| ic.abs() <= 2.0 * standard_error);
    assert!(
        inside.count() >= 17,
        "{permuted:?} against {standard_error}"
    );
    let mean = permuted.iter().sum::<f64>() / 20.0;
    assert!(
        mean.abs() <= 2.0 * standard_error / 20.0_f64.sqrt(),
        "{mean}"
    );
}
