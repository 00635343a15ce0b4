use proptest::prelude::*;

use super::*;
use crate::dataset::{
    GroupSplit, NewerRows, Span, SplitConfig, SplitError, SplitKind, SplitPlan, SplitProblem,
    Splitter,
};
use crate::labels::{ClassWeights, Direction, LabelReason, Targets, Weighting};

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
            trend: None,
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
        labels: LabelSeries::of_classes((0..rows).map(label).collect()),
    }
}

/// The folds of a walk.
fn walk(all: &Samples, config: &SplitConfig) -> Result<Vec<Fold>, SplitError> {
    let plan = all.split(&config.clone().into())?;
    assert_eq!(plan.paths.len(), 1);
    assert_eq!(plan.paths[0].parts.len(), plan.folds.len());
    Ok(plan.folds)
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
    let folds = walk(&all, &plan()).unwrap();
    let hours = |period: Period| (period.from.as_nanos() / HOUR, period.to.as_nanos() / HOUR);
    let told: Vec<_> = folds
        .iter()
        .map(|fold| {
            (
                hours(fold.train[0]),
                hours(fold.valid.unwrap()),
                hours(fold.test[0]).0,
            )
        })
        .collect();
    let expected = [
        ((0, 40), (40, 50), 50),
        ((20, 60), (60, 70), 70),
        ((40, 80), (80, 90), 90),
    ];
    assert_eq!(told, expected);
    assert_eq!(hours(folds[1].test[0]), (70, 90));
    assert_eq!(
        folds
            .iter()
            .map(|fold| fold.is_shortened)
            .collect::<Vec<_>>(),
        [false, false, true]
    );
    assert_eq!(hours(folds[2].test[0]), (90, 100), "the last close itself");
    assert_eq!(folds[2].test_counts.rows, 10, "closes at hours 91 to 100");
    let anchored = SplitConfig {
        kind: SplitKind::Anchored,
        ..plan()
    };
    let folds = walk(&all, &anchored).unwrap();
    assert_eq!(hours(folds[2].train[0]), (0, 80));
}

#[test]
fn a_bar_belongs_to_the_period_that_it_covers() {
    let all = samples(vec![symbol(0, 90, 1)]);
    let folds = walk(&all, &plan()).unwrap();
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
    let too_short = walk(&samples(vec![symbol(0, 50, 1)]), &plan()).unwrap_err();
    let told = too_short.to_string();
    assert!(
        told.contains("1970-01-03T02:00:00Z, but the first test period"),
        "{told}"
    );
}

#[test]
fn labels_that_reach_into_the_next_period_are_purged_and_the_embargo_widens_the_gap() {
    let all = samples(vec![symbol(0, 100, 5)]);
    let fold = &walk(&all, &plan()).unwrap()[0];
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
    let fold = &walk(&all, &with_embargo).unwrap()[0];
    let counts = fold.train_counts;
    assert_eq!(
        (counts.samples, counts.embargoed, counts.purged),
        (32, 3, 5)
    );
}

#[test]
fn training_never_shows_a_label_that_ends_after_the_next_period_begins() {
    let all = samples(vec![symbol(0, 100, 5), symbol(1, 100, 7)]);
    let fold = &walk(&all, &plan()).unwrap()[0];
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
    let folds = walk(&all, &plan()).unwrap();
    for fold in &folds {
        let train = all.train(fold, &DatasetOptions::default()).unwrap();
        for (view, symbol) in train.views().zip(all.symbols()) {
            let first = symbol
                .features
                .closed_at
                .partition_point(|at| *at <= fold.train[0].from);
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
        train: vec![Period {
            from: at(0),
            to: at(30),
        }],
        ..walk(
            &all,
            &SplitConfig {
                test: "1h".parse().unwrap(),
                ..plan()
            },
        )
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
        test: vec![Period {
            from: at(21),
            to: at(25),
        }],
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
    let fold = &walk(&all, &plan()).unwrap()[1];
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
fn forward_returns_stand_after_the_label_where_they_are_asked_for() {
    let all = samples(vec![symbol(0, 100, 3)]);
    let fold = &walk(&all, &plan()).unwrap()[1];
    let options = DatasetOptions {
        context_rows: 2,
        forward_return: true,
        ..DatasetOptions::default()
    };
    let valid = all.valid(fold, &options).unwrap();
    assert_eq!(valid.schema().labels, ["direction", FORWARD_RETURN]);
    assert_eq!(all.schema().labels, ["direction"], "others do not see it");
    let plain = all.valid(fold, &DatasetOptions::default()).unwrap();
    let (view, plain) = (valid.views().next().unwrap(), plain.views().next().unwrap());
    let labels = &all.get(SymbolId(0)).unwrap().labels;
    for row in 0..view.rows() {
        let [class, returned] = view.label_row(row) else {
            panic!("two labels");
        };
        if !view.is_sample(row) {
            assert!(class.is_nan() && returned.is_nan());
            continue;
        }
        let bar = (view.event_ns[row] / HOUR - 1) as usize;
        let known = labels.get(bar).unwrap();
        assert_eq!(returned.to_bits(), (known.log_return as f32).to_bits());
        let alone = plain.label_row(row - 2)[0];
        assert_eq!(class.to_bits(), alone.to_bits());
    }
}

#[test]
fn uniqueness_weights_have_mean_one_and_favour_labels_that_stand_alone() {
    let mut one = symbol(0, 100, 4);
    for row in 20..30 {
        one.labels.labels[row] = None;
    }
    let all = samples(vec![one]);
    let fold = &walk(&all, &plan()).unwrap()[0];
    let options = DatasetOptions {
        weights: WeightOptions {
            scheme: Weighting::Uniqueness,
            ..WeightOptions::default()
        },
        ..DatasetOptions::default()
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
    let problems = |plan: &SplitConfig| match walk(&all, plan) {
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
    let told = walk(&samples(vec![symbol(0, 0, 1)]), &plan()).unwrap_err();
    assert_eq!(told.problems, [SplitProblem::NoBars]);
    let mut no_up = symbol(0, 100, 1);
    for label in no_up.labels.labels[..39].iter_mut() {
        *label = label.filter(|one| one.class != Direction::Up);
    }
    for label in no_up.labels.labels[39..52].iter_mut() {
        *label = None;
    }
    no_up.features.is_valid[70..90].fill(false);
    let error = walk(&samples(vec![no_up]), &plan()).unwrap_err();
    let told = error.to_string();
    for part in [
        "fold 1 has no sample of class `up` in its training period",
        "train longer or bring the label thresholds nearer",
        "fold 1 has no samples in its validation period",
        "have no label; lengthen `split.valid`, or look at the settings of `labels`, and ",
        "fold 2 has no rows in its test period",
        "no bar there has every feature; lengthen `split.test`",
        "4 problem(s)",
    ] {
        assert!(told.contains(part), "{part:?} is not in:\n{told}");
    }
}

#[test]
fn rows_and_labels_that_do_not_fit_are_refused() {
    let mut short = symbol(0, 10, 1);
    short.labels.labels.pop();
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
        let Ok(folds) = walk(&all, &config) else { return Ok(()) };
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
            for (data, next) in [(&train, fold.valid.unwrap().from), (&valid, fold.test[0].from)] {
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

fn groups(groups: u32, test_groups: u32, embargo_bars: u32) -> Splitter {
    GroupSplit {
        groups,
        test_groups,
        embargo_bars,
    }
    .into()
}

#[test]
fn groups_are_predicted_from_both_sides_and_purged_by_real_ends() {
    let all = samples(vec![symbol(0, 60, 4)]);
    let plan = all.split(&groups(3, 1, 2)).unwrap();
    let fold = &plan.folds[1];
    let hours = |period: &Period| (period.from.as_nanos() / HOUR, period.to.as_nanos() / HOUR);
    assert_eq!(
        fold.train.iter().map(hours).collect::<Vec<_>>(),
        [(0, 20), (40, 60)]
    );
    assert_eq!(fold.test.iter().map(hours).collect::<Vec<_>>(), [(20, 40)]);
    // Before: labels of closes 17 to 20 end after hour 20. After: the last tested label ends at
    // hour 44, so closes 41 to 44 are purged and 45, 46 embargoed; the last four have no label.
    let counts = fold.train_counts;
    assert_eq!((counts.rows, counts.purged), (40, 4 + 4));
    assert_eq!((counts.embargoed, counts.unlabelled), (2, 4));
    let train = all.train(fold, &DatasetOptions::default()).unwrap();
    let taken: Vec<i64> = train
        .views()
        .flat_map(|view| {
            let rows = (0..view.rows()).filter(|row| view.is_sample(*row));
            rows.map(|row| view.event_ns[row] / HOUR)
                .collect::<Vec<_>>()
        })
        .collect();
    let expected: Vec<i64> = (1..=16).chain(47..=56).collect();
    assert_eq!(taken, expected);
    assert_eq!(plan.tested().as_ref().map(hours), Some((0, 60)));
    assert_eq!(plan.paths[0].fold_at(at(20)), Some(0));
    assert_eq!(plan.paths[0].fold_at(at(21)), Some(1));
    assert_eq!(plan.paths[0].fold_at(at(61)), None);
}

#[test]
fn a_group_plan_that_cannot_be_carried_out_says_why() {
    let all = samples(vec![symbol(0, 5, 1)]);
    let told = |splitter: &Splitter| all.split(splitter).unwrap_err().to_string();
    assert!(told(&groups(6, 2, 0)).contains("there are 5"));
    assert!(told(&groups(1, 3, 0)).contains("2 problem(s)"));
    let wide = samples(vec![symbol(0, 30, 12)]);
    let told = wide.split(&groups(3, 1, 30)).unwrap_err().to_string();
    for part in [
        "2 problem(s)",
        "fold 1 has no samples in its training period, 1970-01-01T10:00:00Z to ",
        "fold 2 has no samples in its training period",
        "of 20 rows 10 have labels that end in what is held out, 10 have no label",
        "; lower `split.groups` or `split.test_groups`, or shorten `labels.horizon_bars`",
    ] {
        assert!(told.contains(part), "{part:?} is not in:\n{told}");
    }
}

#[test]
fn every_fold_that_an_embargo_leaves_nothing_of_says_so() {
    let embargoed = SplitConfig {
        embargo_bars: 1_000,
        ..plan()
    };
    let all = samples(vec![symbol(0, 100, 1)]);
    let told = walk(&all, &embargoed).unwrap_err();
    let folds: std::collections::BTreeSet<usize> = told
        .problems
        .iter()
        .map(|problem| match problem {
            SplitProblem::Empty { fold, counts, .. } if counts.embargoed > 0 => *fold,
            other => panic!("{other}"),
        })
        .collect();
    assert_eq!(folds.len(), walk(&all, &plan()).unwrap().len());
    let words = told.to_string();
    assert!(
        words.contains(" lie in the embargo, ") && words.contains("lower `split.embargo_bars`"),
        "{words}"
    );
}

#[test]
fn a_fold_without_the_class_between_says_what_makes_it_more_frequent() {
    let mut always = symbol(0, 100, 1);
    for label in &mut always.labels.labels {
        *label = label.filter(|one| one.class != Direction::Flat);
    }
    let told = walk(&samples(vec![always]), &plan())
        .unwrap_err()
        .to_string();
    assert!(
        told.contains("no sample of class `flat`")
            && told.contains("move the label thresholds apart"),
        "{told}"
    );
}

/// The samples that a dataset shows, as (close, end of label).
fn shown(data: &Dataset) -> Vec<(i64, i64)> {
    let samples = data.views().flat_map(|view| {
        let rows = (0..view.rows()).filter(|row| view.is_sample(*row));
        rows.map(|row| (view.event_ns[row], view.label_end_ns[row]))
            .collect::<Vec<_>>()
    });
    samples.collect()
}

proptest! {
    #[test]
    fn no_training_label_overlaps_a_tested_one_and_each_row_is_tested_as_often(
        lengths in prop::collection::vec(1_usize..14, 120),
        count in 2_u32..7,
        tested in 1_u32..6,
        embargo_bars in 0_u32..5,
        invalid in prop::collection::vec(0_usize..120, 0..6),
    ) {
        prop_assume!(tested < count);
        let config = GroupSplit { groups: count, test_groups: tested, embargo_bars };
        let make = |id: u32| {
            let mut one = symbol(id, 120, 1);
            for (row, length) in lengths.iter().enumerate() {
                let end_bar = row + (length + id as usize) % 13 + 1;
                one.labels.labels[row] = (end_bar < 120).then(|| Label {
                    class: Direction::ALL[(row + length) % 3],
                    end: at(end_bar as i64 + 1),
                    end_bar,
                    log_return: 0.0,
                    reason: LabelReason::Vertical,
                    trend: None,
                });
            }
            for row in &invalid {
                one.features.is_valid[*row] = false;
            }
            one
        };
        let all = samples(vec![make(0), make(1)]);
        let Ok(SplitPlan { folds, paths }) = all.split(&config.into()) else { return Ok(()) };
        prop_assert_eq!(Some(folds.len()), config.folds());
        prop_assert_eq!(Some(paths.len()), config.paths());
        let embargo = i64::from(embargo_bars) * HOUR;
        let mut times_tested = std::collections::BTreeMap::new();
        for fold in &folds {
            let train = shown(&all.train(fold, &DatasetOptions::default()).unwrap());
            prop_assert_eq!(train.len(), fold.train_counts.samples);
            for block in all.test_blocks(fold, 0) {
                let symbol = all.get(block.symbol).unwrap();
                for row in block.rows {
                    let start = symbol.features.closed_at[row];
                    *times_tested.entry((block.symbol, row)).or_insert(0_usize) += 1;
                    let mut of_start = paths.iter().map(|path| path.fold_at(start));
                    let on_a_path = of_start.any(|found| found == Some(fold.index));
                    prop_assert!(on_a_path);
                    let Some(label) = symbol.labels.get(row) else { continue };
                    let (start, end) = (start.as_nanos(), label.end.as_nanos());
                    for &(from, to) in &train {
                        let apart = to < start || from > end + embargo;
                        prop_assert!(apart, "{from}..{to} against {start}..{end}");
                    }
                }
            }
        }
        let valid = all.symbols().map(|one| one.features.valid_rows()).sum::<usize>();
        prop_assert_eq!(times_tested.len(), valid);
        prop_assert!(times_tested.values().all(|times| *times == paths.len()));
        for path in &paths {
            prop_assert_eq!(path.parts.len(), count as usize);
        }
    }
}

#[test]
fn every_scheme_of_weights_has_mean_one_over_the_samples() {
    let mut one = symbol(0, 100, 4);
    for (row, value) in one.labels.log_returns.iter_mut().enumerate() {
        *value = 0.001 * ((row * 7 % 11) as f64 - 5.0);
    }
    for row in 0..100 {
        if row % 9 < 6
            && let Some(label) = &mut one.labels.labels[row]
        {
            label.class = Direction::Flat;
        }
    }
    let all = samples(vec![one, symbol(1, 100, 6)]);
    let fold = &walk(&all, &plan()).unwrap()[0];
    let weights = |weights: WeightOptions| {
        let options = DatasetOptions {
            weights,
            ..DatasetOptions::default()
        };
        let train = all.train(fold, &options).unwrap();
        let samples = train.views().flat_map(|view| {
            let rows = (0..view.rows()).filter(|row| view.is_sample(*row));
            rows.map(|row| (view.event_ns[row], view.label_row(row)[0], view.weight[row]))
                .collect::<Vec<_>>()
        });
        samples.collect::<Vec<_>>()
    };
    for scheme in [
        Weighting::Uniform,
        Weighting::Uniqueness,
        Weighting::ReturnAttribution,
        Weighting::SequentialBootstrap,
    ] {
        for oldest_weight in [1.0, 0.25, -0.5] {
            let options = WeightOptions {
                scheme,
                oldest_weight,
                class_weights: ClassWeights::Balanced,
                seed: 3,
            };
            let got = weights(options);
            let total: f32 = got.iter().map(|one| one.2).sum();
            assert!((total / got.len() as f32 - 1.0).abs() < 1e-4, "{options:?}");
            let by_class = [0.0, 1.0, 2.0].map(|class: f32| {
                let own = got.iter().filter(|one| (one.1 - class).abs() < 0.5);
                own.map(|one| one.2).sum::<f32>()
            });
            assert!(
                by_class
                    .iter()
                    .all(|sum| (sum - by_class[0]).abs() < 1e-3 * total),
                "{options:?}: {by_class:?}"
            );
            if oldest_weight < 0.0 {
                let first = got.iter().min_by_key(|one| one.0).unwrap();
                assert!(first.2.abs() < f32::EPSILON, "the oldest are forgotten");
            }
            assert_eq!(got, weights(options), "the same seed draws the same");
        }
    }
    let aged = weights(WeightOptions {
        oldest_weight: 0.0,
        ..WeightOptions::default()
    });
    let by_time = aged.iter().map(|one| (one.0, one.2));
    let mut by_time: Vec<(i64, f32)> = by_time.collect();
    by_time.sort_by_key(|one| one.0);
    assert!(by_time.windows(2).all(|pair| pair[0].1 <= pair[1].1 + 1e-6));
}

#[test]
fn learners_are_shown_what_the_task_asks_for() {
    let mut acting = symbol(0, 100, 1);
    acting.labels.task = LabelTask::Acting;
    let all = samples(vec![acting]);
    assert_eq!(all.schema().classes, ["pass", "act"]);
    let fold = &walk(&all, &plan()).unwrap()[0];
    let train = all.train(fold, &DatasetOptions::default()).unwrap();
    let view = train.views().next().unwrap();
    assert_eq!(view.labels[..6], [1.0, 0.0, 1.0, 1.0, 0.0, 1.0]);

    let mut returns = symbol(0, 100, 1);
    returns.labels.task = LabelTask::Returns {
        horizons_bars: vec![1, 5],
        unit: crate::labels::ReturnUnit::Sigmas,
    };
    returns.labels.targets = Some(Targets {
        columns: 2,
        values: (0..200).map(f64::from).collect(),
    });
    let other = symbol(1, 100, 1);
    let refused = Samples::new(vec![returns.clone(), other], "1h".parse().unwrap());
    let told = refused.unwrap_err().to_string();
    assert!(
        told.contains("symbol 1 has labels of another kind"),
        "{told}"
    );
    let all = samples(vec![returns]);
    assert_eq!(all.schema().labels, ["return_1", "return_5"]);
    assert!(all.schema().classes.is_empty());
    let fold = &walk(&all, &plan()).unwrap()[0];
    let train = all.train(fold, &DatasetOptions::default()).unwrap();
    let view = train.views().next().unwrap();
    assert_eq!(view.label_row(3), [6.0, 7.0]);
    assert!(view.label_row(39).iter().all(|one| one.is_nan()), "purged");
}

#[test]
fn newer_rows_are_cut_in_two_that_share_no_bar() {
    let all = samples(vec![symbol(0, 200, 3), symbol(1, 180, 6)]);
    let since = Timestamp::from_nanos(100 * HOUR);
    for (held_out_share, embargo_bars) in [(0.3, 0), (0.3, 5), (0.05, 2), (0.9, 1)] {
        let wanted = NewerRows {
            since,
            held_out_share,
            embargo_bars,
        };
        let fold = all.newer(wanted).unwrap();
        let (train, test) = (fold.train_period(), fold.test_period());
        assert_eq!((train.from, train.to), (since, test.from));
        let learned = all.train(&fold, &DatasetOptions::default()).unwrap();
        let free = test.from.as_nanos() - i64::from(embargo_bars) * HOUR;
        let mut count = 0;
        for view in learned.views() {
            for row in (0..view.rows()).filter(|row| view.is_sample(*row)) {
                assert!(view.event_ns[row] > since.as_nanos());
                assert!(
                    view.label_end_ns[row] <= free,
                    "a label reaches into the test"
                );
                count += 1;
            }
        }
        assert_eq!(count, fold.train_counts.samples);
        let rows = |counts: PartCounts| counts.rows as f64;
        let share = rows(fold.test_counts) / (rows(fold.train_counts) + rows(fold.test_counts));
        assert!((share - held_out_share).abs() < 0.02, "{share}");
    }
    let told = |since: i64, held_out_share: f64| {
        let wanted = NewerRows {
            since: Timestamp::from_nanos(since * HOUR),
            held_out_share,
            embargo_bars: 0,
        };
        all.newer(wanted).unwrap_err().to_string()
    };
    assert!(told(200, 0.3).contains("no row is newer"));
    assert!(told(195, 0.5).contains("could be learned from"));
}
