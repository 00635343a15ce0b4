use proptest::prelude::*;

use super::*;
use crate::dataset::{Span, SplitConfig, SplitError, SplitKind, SplitProblem};
use crate::labels::{Direction, LabelReason};

const HOUR: i64 = 3_600_000_000_000;

fn at(hour: i64) -> Timestamp {
    Timestamp::from_nanos(hour * HOUR)
}

/// Hourly rows from hour 0 on, two columns; row `i` closes at hour `i + 1`, its label ends
/// `horizon` bars later and is of class `i % 3`.
fn symbol(id: u32, rows: usize, horizon: usize) -> SymbolSamples {
    let label = |row: usize| {
        (row + horizon < rows).then(|| Label {
            class: Direction::ALL[row % 3],
            end: at((row + horizon) as i64 + 1),
            end_bar: row + horizon,
            log_return: 0.0,
            reason: LabelReason::Vertical,
        })
    };
    SymbolSamples {
        features: FeatureMatrix {
            symbol: SymbolId(id),
            columns: ["a".to_owned(), "b".to_owned()].into(),
            closed_at: (0..rows).map(|row| at(row as i64 + 1)).collect(),
            segment: vec![0; rows],
            is_valid: vec![true; rows],
            values: (0..rows * 2)
                .map(|i| (i + id as usize * 10_000) as f32)
                .collect(),
        },
        labels: (0..rows).map(label).collect(),
    }
}

fn samples(symbols: Vec<SymbolSamples>) -> Samples {
    Samples::new(symbols, "1h".parse().unwrap()).unwrap()
}

/// Rolling folds of 40, 10 and 20 hours that move by 20.
fn plan() -> SplitConfig {
    let span = |text: &str| text.parse::<Span>().unwrap();
    SplitConfig {
        kind: SplitKind::Rolling,
        train: span("40h"),
        valid: Some(span("10h")),
        test: span("20h"),
        step: span("20h"),
        embargo_bars: 0,
    }
}

#[test]
fn folds_walk_forward_and_keep_a_last_short_test() {
    let all = samples(vec![symbol(0, 100, 1)]);
    let folds = all.split(&plan()).unwrap();
    let hours = |period: Period| (period.from.as_nanos() / HOUR, period.to.as_nanos() / HOUR);
    let told: Vec<_> = folds
        .iter()
        .map(|fold| {
            (
                hours(fold.train),
                hours(fold.valid.unwrap()),
                hours(fold.test).0,
            )
        })
        .collect();
    let expected = [
        ((0, 40), (40, 50), 50),
        ((20, 60), (60, 70), 70),
        ((40, 80), (80, 90), 90),
    ];
    assert_eq!(told, expected);
    assert_eq!(hours(folds[1].test), (70, 90));
    assert_eq!(
        folds
            .iter()
            .map(|fold| fold.is_shortened)
            .collect::<Vec<_>>(),
        [false, false, true]
    );
    assert_eq!(hours(folds[2].test), (90, 100), "the last close itself");
    assert_eq!(folds[2].test_counts.rows, 10, "closes at hours 91 to 100");
    let anchored = SplitConfig {
        kind: SplitKind::Anchored,
        ..plan()
    };
    let folds = all.split(&anchored).unwrap();
    assert_eq!(hours(folds[2].train), (0, 80));
}

#[test]
fn a_bar_belongs_to_the_period_that_it_covers() {
    let all = samples(vec![symbol(0, 90, 1)]);
    let folds = all.split(&plan()).unwrap();
    assert_eq!(
        folds.len(),
        2,
        "data that ends with a test period starts no other"
    );
    assert!(folds.iter().all(|fold| !fold.is_shortened));
    let tested: Vec<_> = folds
        .iter()
        .flat_map(|fold| all.test_blocks(fold, 0))
        .map(|block| block.rows)
        .collect();
    assert_eq!(
        tested,
        [50..70, 70..90],
        "row 50 opens at hour 50 and closes at hour 51"
    );
    let too_short = samples(vec![symbol(0, 50, 1)]).split(&plan()).unwrap_err();
    let told = too_short.to_string();
    assert!(
        told.contains("1970-01-03T02:00:00Z, but the first test period"),
        "{told}"
    );
}

#[test]
fn labels_that_reach_into_the_next_period_are_purged_and_the_embargo_widens_the_gap() {
    let all = samples(vec![symbol(0, 100, 5)]);
    let fold = &all.split(&plan()).unwrap()[0];
    // Closes at hours 1 to 40; a label of five bars ends after hour 40 from close 36 on.
    let counts = fold.train_counts;
    assert_eq!((counts.rows, counts.samples, counts.purged), (40, 35, 5));
    assert_eq!(
        (fold.valid_counts.samples, fold.valid_counts.purged),
        (5, 5)
    );
    assert_eq!(fold.test_counts.samples, 20, "test rows are never purged");
    let with_embargo = SplitConfig {
        embargo_bars: 3,
        ..plan()
    };
    let fold = &all.split(&with_embargo).unwrap()[0];
    let counts = fold.train_counts;
    assert_eq!(
        (counts.samples, counts.embargoed, counts.purged),
        (32, 3, 5)
    );
}

#[test]
fn training_never_shows_a_label_that_ends_after_the_next_period_begins() {
    let all = samples(vec![symbol(0, 100, 5), symbol(1, 100, 7)]);
    let fold = &all.split(&plan()).unwrap()[0];
    let train = all.train(fold, &DatasetOptions::default()).unwrap();
    let (mut with_label, mut without) = (0, 0);
    for view in train.views() {
        for row in 0..view.rows() {
            if view.is_sample(row) {
                with_label += 1;
                assert!(view.label_end_ns[row] <= at(40).as_nanos());
                assert!(!view.label_row(row)[0].is_nan());
                assert!((view.weight[row] - 1.0).abs() < 1e-6);
            } else {
                without += 1;
                assert!(
                    view.label_row(row)[0].is_nan(),
                    "context rows carry no label"
                );
                assert_eq!(view.label_end_ns[row], view.event_ns[row]);
            }
        }
    }
    assert_eq!((with_label, without), (35 + 33, 5 + 7));
    assert_eq!(train.samples(), fold.train_counts.samples);
}

#[test]
fn batches_are_slices_of_the_symbols_matrices() {
    let all = samples(vec![symbol(0, 100, 1), symbol(1, 100, 1)]);
    let folds = all.split(&plan()).unwrap();
    for fold in &folds {
        let train = all.train(fold, &DatasetOptions::default()).unwrap();
        for (view, symbol) in train.views().zip(all.symbols()) {
            let first = symbol
                .features
                .closed_at
                .partition_point(|at| *at <= fold.train.from);
            assert_eq!(view.features.as_ptr(), symbol.features.row(first).as_ptr());
            assert_eq!(view.symbol[0], symbol.features.symbol.0);
        }
    }
}

#[test]
fn invalid_rows_and_segments_break_batches_and_windows() {
    let mut one = symbol(0, 60, 1);
    one.features.is_valid[10] = false;
    for segment in &mut one.features.segment[20..] {
        *segment = 1;
    }
    let all = samples(vec![one]);
    let fold = Fold {
        train: Period {
            from: at(0),
            to: at(30),
        },
        ..all
            .split(&SplitConfig {
                test: "1h".parse().unwrap(),
                ..plan()
            })
            .unwrap()[0]
            .clone()
    };
    let train = all.train(&fold, &DatasetOptions::default()).unwrap();
    let rows: Vec<usize> = train.views().map(|view| view.rows()).collect();
    assert_eq!(rows, [10, 9, 10]);
    let segments: Vec<u32> = train.views().map(|view| view.segment[0]).collect();
    assert_eq!(segments, [0, 1, 2], "each run has its own number");
    let blocks = all.test_blocks(&fold, 4);
    assert_eq!(
        (blocks[0].rows.start, blocks[0].context.clone()),
        (50, 46..50)
    );
    let early = Fold {
        test: Period {
            from: at(21),
            to: at(25),
        },
        ..fold
    };
    assert_eq!(
        all.test_blocks(&early, 4)[0].context,
        20..21,
        "context stays in its segment"
    );
}

#[test]
fn context_rows_come_before_the_period_without_labels_and_weight() {
    let all = samples(vec![symbol(0, 100, 1)]);
    let fold = &all.split(&plan()).unwrap()[1];
    let options = DatasetOptions {
        context_rows: 3,
        ..DatasetOptions::default()
    };
    let valid = all.valid(fold, &options).unwrap();
    let view = valid.views().next().unwrap();
    assert_eq!(view.role[..4], [0, 0, 0, 1]);
    assert!(view.labels[..3].iter().all(|label| label.is_nan()));
    assert_eq!(view.weight[..4], [0.0, 0.0, 0.0, 1.0]);
    assert_eq!(view.event_ns[3], fold.valid.unwrap().from.as_nanos() + HOUR);
    assert_eq!(valid.samples(), fold.valid_counts.samples);
}

#[test]
fn uniqueness_weights_have_mean_one_and_favour_labels_that_stand_alone() {
    let mut one = symbol(0, 100, 4);
    for row in 20..30 {
        one.labels[row] = None;
    }
    let all = samples(vec![one]);
    let fold = &all.split(&plan()).unwrap()[0];
    let options = DatasetOptions {
        weights: Weighting::Uniqueness,
        context_rows: 0,
    };
    let train = all.train(fold, &options).unwrap();
    let view = train.views().next().unwrap();
    let weights: Vec<f32> = (0..view.rows())
        .filter(|row| view.is_sample(*row))
        .map(|row| view.weight[row])
        .collect();
    let mean = weights.iter().sum::<f32>() / weights.len() as f32;
    assert!((mean - 1.0).abs() < 1e-5, "{mean}");
    assert!(
        view.weight[19] > view.weight[10],
        "the label at the hole shares fewer bars"
    );
    assert!(view.weight[25] < f32::EPSILON && !view.is_sample(25));
}

#[test]
fn a_plan_that_cannot_be_carried_out_reports_everything() {
    let all = samples(vec![symbol(0, 60, 1)]);
    let problems = |plan: &SplitConfig| match all.split(plan) {
        Err(SplitError { problems }) => problems,
        Ok(folds) => panic!("{} folds", folds.len()),
    };
    let long = SplitConfig {
        train: "2mo".parse().unwrap(),
        step: "1h".parse().unwrap(),
        ..plan()
    };
    let told = problems(&long);
    assert!(
        matches!(told[0], SplitProblem::StepTooShort { .. }),
        "{told:?}"
    );
    assert!(
        matches!(told[1], SplitProblem::RangeTooShort { .. }),
        "{told:?}"
    );
    let told = samples(vec![symbol(0, 0, 1)]).split(&plan()).unwrap_err();
    assert_eq!(told.problems, [SplitProblem::NoBars]);
    let mut no_up = symbol(0, 100, 1);
    for label in no_up.labels[..39].iter_mut() {
        *label = label.filter(|one| one.class != Direction::Up);
    }
    for label in no_up.labels[39..52].iter_mut() {
        *label = None;
    }
    no_up.features.is_valid[70..90].fill(false);
    let error = samples(vec![no_up]).split(&plan()).unwrap_err();
    let told = error.to_string();
    for part in [
        "fold 1 has no sample of class `up` in its training period",
        "fold 1 has no samples in its validation period",
        "fold 2 has no rows in its test period",
        "4 problem(s)",
    ] {
        assert!(told.contains(part), "{part:?} is not in:\n{told}");
    }
}

#[test]
fn rows_and_labels_that_do_not_fit_are_refused() {
    let mut short = symbol(0, 10, 1);
    short.labels.pop();
    let stranger = symbol(5, 10, 1);
    let error = Samples::new(vec![short, stranger], "1h".parse().unwrap()).unwrap_err();
    let told = error.to_string();
    assert!(told.contains("symbol 0 has 10 rows and 9 labels"), "{told}");
    assert!(
        told.contains("symbol 1 holds rows of another symbol"),
        "{told}"
    );
    assert!(Samples::new(vec![], "1h".parse().unwrap()).is_err());
}

proptest! {
    #[test]
    fn no_row_is_tested_twice_and_training_ends_before_testing(
        rows in 80_usize..300,
        horizon in 1_usize..12,
        embargo_bars in 0_u32..6,
        step in 20_i64..40,
        anchored: bool,
    ) {
        let all = samples(vec![symbol(0, rows, horizon), symbol(1, rows, horizon)]);
        let kind = if anchored { SplitKind::Anchored } else { SplitKind::Rolling };
        let step = format!("{step}h").parse().unwrap();
        let config = SplitConfig { kind, embargo_bars, step, ..plan() };
        let Ok(folds) = all.split(&config) else { return Ok(()) };
        let mut seen = std::collections::BTreeSet::new();
        for fold in &folds {
            for block in all.test_blocks(fold, 0) {
                for row in block.rows {
                    prop_assert!(seen.insert((block.symbol, row)));
                }
            }
            let embargo = i64::from(embargo_bars) * HOUR;
            let train = all.train(fold, &DatasetOptions::default()).unwrap();
            let valid = all.valid(fold, &DatasetOptions::default()).unwrap();
            for (data, next) in [(&train, fold.valid.unwrap().from), (&valid, fold.test.from)] {
                for view in data.views() {
                    let samples = (0..view.rows()).filter(|row| view.is_sample(*row));
                    for row in samples {
                        prop_assert!(view.label_end_ns[row] + embargo <= next.as_nanos());
                    }
                }
            }
        }
    }
}
