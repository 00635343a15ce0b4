use proptest::prelude::*;

use super::*;
use crate::types::{BarSeries, TimeFrame};

/// Bars from (open, high, low, close), one an hour from `first_hour` on.
fn bars(first_hour: i64, prices: &[(f64, f64, f64, f64)]) -> Vec<Bar> {
    let frame: TimeFrame = "1h".parse().unwrap();
    prices
        .iter()
        .enumerate()
        .map(|(i, &(open, high, low, close))| {
            let opened_at = Timestamp::from_nanos((first_hour + i as i64) * frame.nanos());
            Bar {
                opened_at,
                closed_at: opened_at.saturating_add_nanos(frame.nanos()),
                open,
                high,
                low,
                close,
                volume: 1.0,
                quote_volume: None,
                trades: None,
                taker_buy_volume: None,
            }
        })
        .collect()
}

fn series(bars: Vec<Bar>) -> BarSeries {
    BarSeries {
        name: "A".to_owned(),
        time_frame: "1h".parse().unwrap(),
        bars,
    }
}

/// Closes that alternate by one percent, so that volatility is known.
fn wobble(count: usize) -> Vec<(f64, f64, f64, f64)> {
    let close = |i: usize| if i.is_multiple_of(2) { 100.0 } else { 101.0 };
    (0..count)
        .map(|i| (100.5, close(i) + 0.2, close(i) - 0.2, close(i)))
        .collect()
}

const BARRIERS: TripleBarrier = TripleBarrier {
    horizon_bars: 3,
    upper_sigmas: 2.0,
    lower_sigmas: 1.0,
    ambiguous: Ambiguity::Pessimistic,
};

fn outcome(labeler: &TripleBarrier, path: &[(f64, f64, f64, f64)]) -> Option<LabelOutcome> {
    let path = bars(0, path);
    labeler.outcome(LabelInput {
        entry_price: 100.0,
        sigma: 0.01,
        side: Direction::Flat,
        path: &path,
    })
}

#[test]
fn triple_barrier_worked_examples() {
    // Barriers: upper 100 exp(0.02) = 102.0201, lower 100 exp(-0.01) = 99.0050.
    let quiet = (100.0, 101.0, 99.5, 100.5);
    let up = (100.5, 102.03, 100.0, 101.0);
    type Expected = Option<(Direction, usize, f64, LabelReason)>;
    let cases: [(&str, &[_], Expected); 8] = [
        (
            "upper",
            &[quiet, up],
            Some((Direction::Up, 1, 0.02, LabelReason::Upper)),
        ),
        (
            "lower",
            &[(100.0, 100.1, 98.0, 100.0)],
            Some((Direction::Down, 0, -0.01, LabelReason::Lower)),
        ),
        (
            "vertical",
            &[quiet, quiet, quiet],
            Some((Direction::Flat, 2, 1.005_f64.ln(), LabelReason::Vertical)),
        ),
        (
            "both in one bar",
            &[(100.0, 103.0, 98.0, 102.9)],
            Some((Direction::Down, 0, -0.01, LabelReason::Ambiguous)),
        ),
        (
            "opens above, then falls through both",
            &[(104.0, 104.0, 98.0, 98.0)],
            Some((Direction::Up, 0, 1.04_f64.ln(), LabelReason::Upper)),
        ),
        (
            "opens below, then rises through both",
            &[(98.0, 104.0, 97.0, 104.0)],
            Some((Direction::Down, 0, 0.98_f64.ln(), LabelReason::Lower)),
        ),
        ("undecided at the end of the data", &[quiet, quiet], None),
        ("no bar after the entry", &[], None),
    ];
    for (name, path, expected) in cases {
        let got = outcome(&BARRIERS, path);
        assert_eq!(got.is_some(), expected.is_some(), "{name}");
        let (Some(got), Some((class, decided_by, log_return, reason))) = (got, expected) else {
            continue;
        };
        assert_eq!(
            (got.class, got.decided_by, got.reason),
            (class, decided_by, reason),
            "{name}"
        );
        assert!(
            (got.log_return - log_return).abs() < 1e-12,
            "{name}: {}",
            got.log_return
        );
    }
}

#[test]
fn an_ambiguous_bar_can_count_as_flat() {
    let labeler = TripleBarrier {
        ambiguous: Ambiguity::Flat,
        ..BARRIERS
    };
    let got = outcome(&labeler, &[(100.0, 103.0, 98.0, 102.9)]).unwrap();
    assert_eq!(
        (got.class, got.reason),
        (Direction::Flat, LabelReason::Ambiguous)
    );
    assert!((got.log_return - 1.029_f64.ln()).abs() < 1e-12);
}

#[test]
fn fixed_horizon_scales_with_the_root_of_the_horizon() {
    let labeler = FixedHorizon {
        horizon_bars: 4,
        upper_sigmas: 1.0,
        lower_sigmas: 1.0,
    };
    for (last, class) in [
        (100.0 * 0.021_f64.exp(), Direction::Up),
        (100.0 * 0.019_f64.exp(), Direction::Flat),
        (100.0 * (-0.019_f64).exp(), Direction::Flat),
        (100.0 * (-0.021_f64).exp(), Direction::Down),
    ] {
        let mut prices = vec![(100.0, 200.0, 50.0, 100.0); 3];
        prices.push((100.0, last.max(100.0), last.min(100.0), last));
        let path = bars(0, &prices);
        let input = LabelInput {
            entry_price: 100.0,
            sigma: 0.01,
            side: Direction::Flat,
            path: &path,
        };
        assert_eq!(labeler.outcome(input).unwrap().class, class, "{last}");
        let short = LabelInput {
            path: &path[..3],
            ..input
        };
        assert_eq!(labeler.outcome(short), None);
    }
}

#[test]
fn volatility_is_the_weighted_root_mean_square() {
    let found = volatility(&bars(0, &wobble(4)), 3, i64::MAX);
    assert_eq!(found[..3], [None, None, None]);
    // All squared returns are equal, so every weighting gives the same.
    assert!((found[3].unwrap() - 1.01_f64.ln()).abs() < 1e-15);
    let flat = volatility(&bars(0, &[(1.0, 1.0, 1.0, 1.0); 10]), 3, i64::MAX);
    assert!(
        flat.iter().all(Option::is_none),
        "a flat price has no scale"
    );
}

#[test]
fn labels_do_not_cross_a_long_gap_and_volatility_starts_over() {
    let config = LabelConfig {
        kind: LabelKind::FixedHorizon,
        horizon_bars: 2,
        volatility_span_bars: 4,
        ..LabelConfig::default()
    };
    let mut all = bars(0, &wobble(10));
    all.extend(bars(10 + 6, &wobble(10)));
    let passed_over = label_series(&series(all.clone()), &config, 6);
    let broken = label_series(&series(all), &config, 5);
    let present = |labels: &[Option<Label>]| -> Vec<usize> {
        (0..labels.len())
            .filter(|at| labels[*at].is_some())
            .collect()
    };
    assert_eq!(present(&passed_over), (4..18).collect::<Vec<_>>());
    assert_eq!(present(&broken), [4, 5, 6, 7, 14, 15, 16, 17]);
    assert_eq!(broken[7].unwrap().end_bar, 9);
}

#[test]
fn uniqueness_counts_shared_bars() {
    let span = |start_bar, end_bar| LabelSpan { start_bar, end_bar };
    // Bars after each start: {1,2}, {2,3}, {10}; bar 2 is shared.
    let got = average_uniqueness(&[span(0, 2), span(1, 3), span(9, 10)]);
    let expected = [0.75, 0.75, 1.0];
    assert!(
        got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12),
        "{got:?}"
    );
    assert!(average_uniqueness(&[]).is_empty());
}

#[test]
fn the_report_counts_and_measures() {
    let label = |class, end_bar, reason| {
        let end = Timestamp::from_nanos(0);
        Some(Label {
            class,
            end,
            end_bar,
            log_return: 0.0,
            reason,
            trend: None,
        })
    };
    let report = LabelReport::of(&[
        label(Direction::Up, 2, LabelReason::Upper),
        label(Direction::Down, 3, LabelReason::Ambiguous),
        None,
        None,
    ]);
    assert_eq!((report.bars, report.labelled), (4, 2));
    assert_eq!(
        (report.class_counts, report.ambiguous, report.upper),
        ([1, 0, 1], 1, 1)
    );
    assert_eq!(report.mean_duration_bars, Some(2.0));
    assert_eq!(report.average_uniqueness, Some(0.75));
    // Bars after each start: {1, 2} and {2, 3}.
    assert_eq!(report.durations, [0, 2]);
    assert_eq!(report.duration_quartiles_bars, Some([2, 2, 2]));
    assert_eq!(report.largest_concurrency, 2);
    assert!((report.mean_concurrency.unwrap() - 4.0 / 3.0).abs() < 1e-12);
    assert!((report.effective_samples - 1.5).abs() < 1e-12);
    let lags: Vec<(usize, usize)> = report
        .autocorrelation
        .iter()
        .map(|one| (one.lag_bars, one.pairs))
        .collect();
    assert_eq!(lags, [(1, 1), (2, 0), (4, 0)]);
    assert!(report.autocorrelation.iter().all(|one| one.value.is_none()));
    let nothing = LabelReport::of(&[None]);
    assert_eq!(nothing.average_uniqueness, None);
    assert!(nothing.autocorrelation.is_empty() && nothing.duration_quartiles_bars.is_none());
}

#[test]
fn autocorrelation_is_pearson_over_pairs_that_are_both_there() {
    let label = |class| {
        Some(Label {
            class,
            end: Timestamp::from_nanos(0),
            end_bar: 1,
            log_return: 0.0,
            reason: LabelReason::Vertical,
            trend: None,
        })
    };
    let (up, flat, down) = (
        label(Direction::Up),
        label(Direction::Flat),
        label(Direction::Down),
    );
    let labels: Vec<Option<Label>> = [up, down, up, None, down, up, flat]
        .into_iter()
        .enumerate()
        .map(|(at, one)| {
            one.map(|one: Label| Label {
                end_bar: at + 1,
                ..one
            })
        })
        .collect();
    let report = LabelReport::of(&labels);
    // Pairs (1,-1) (-1,1) (-1,1) (1,0): means 0 and 1/4; covariance -3, variances 4 and 2.75.
    let one = report.autocorrelation[0];
    assert_eq!((one.lag_bars, one.pairs), (1, 4));
    assert!((one.value.unwrap() + 3.0 / (4.0_f64 * 2.75).sqrt()).abs() < 1e-12);
}

#[test]
fn validation_lists_every_problem() {
    let config = LabelConfig {
        horizon_bars: 0,
        upper_sigmas: f64::NAN,
        lower_sigmas: -1.0,
        volatility_span_bars: 1,
        ..LabelConfig::default()
    };
    let keys: Vec<&str> = config
        .validate()
        .iter()
        .map(|problem| problem.key)
        .collect();
    let expected = [
        "horizon_bars",
        "volatility_span_bars",
        "upper_sigmas",
        "lower_sigmas",
    ];
    assert_eq!(keys, expected);
    assert!(LabelConfig::default().validate().is_empty());
}

#[test]
fn a_short_position_has_its_profit_below_and_fears_the_upper_barrier() {
    let scheme = MetaBarrier {
        barrier: BARRIERS,
        minimum_profit: 0.0,
    };
    let judge = |side, prices: &[(f64, f64, f64, f64)]| {
        let path = bars(0, prices);
        scheme.outcome(LabelInput {
            entry_price: 100.0,
            sigma: 0.01,
            side,
            path: &path,
        })
    };
    // A short one: profit at 100 exp(-0.02) = 98.0199, loss at 100 exp(0.01) = 101.0050.
    let falls = [(100.0, 100.5, 97.9, 98.5)];
    let short = judge(Direction::Down, &falls).unwrap();
    assert_eq!(
        (short.class, short.reason),
        (Direction::Down, LabelReason::Lower)
    );
    assert!((short.log_return + 0.02).abs() < 1e-12);
    let long = judge(Direction::Up, &falls).unwrap();
    assert_eq!(
        (long.class, long.reason),
        (Direction::Flat, LabelReason::Lower)
    );
    assert!((long.log_return + 0.01).abs() < 1e-12);
    let both = judge(Direction::Down, &[(100.0, 101.5, 97.0, 97.0)]).unwrap();
    assert_eq!(
        (both.class, both.reason),
        (Direction::Flat, LabelReason::Ambiguous)
    );
    assert!((both.log_return - 0.01).abs() < 1e-12, "the loss was first");
    // The horizon is reached with a small profit: acting paid, unless it must pay for its costs.
    let drifts = [(100.0, 100.2, 99.8, 99.9); 3];
    assert_eq!(
        judge(Direction::Down, &drifts).unwrap().class,
        Direction::Down
    );
    assert_eq!(
        judge(Direction::Up, &drifts).unwrap().class,
        Direction::Flat
    );
    assert_eq!(judge(Direction::Flat, &drifts), None, "nothing to judge");
    let costly = MetaBarrier {
        minimum_profit: 0.002,
        ..scheme
    };
    let path = bars(0, &drifts);
    let input = LabelInput {
        entry_price: 100.0,
        sigma: 0.01,
        side: Direction::Down,
        path: &path,
    };
    assert_eq!(costly.outcome(input).unwrap().class, Direction::Flat);
}

#[test]
fn primary_signals_see_closes_so_far_and_start_over_after_a_gap() {
    let closes = [1.0, 2.0, 3.0, 2.0, 1.0, 1.0, 1.0];
    let prices: Vec<_> = closes.iter().map(|c| (*c, *c, *c, *c)).collect();
    let all = bars(0, &prices);
    let sides = |kind, bars: &[Bar], longest_gap| {
        let signal = PrimarySignal {
            kind,
            fast_bars: 1,
            slow_bars: 2,
        };
        let sides = signal.sides(bars, longest_gap);
        sides
            .iter()
            .map(|side| side.sign() as i32)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        sides(PrimaryKind::Momentum, &all, 0),
        [0, 0, 1, 0, -1, -1, 0]
    );
    assert_eq!(
        sides(PrimaryKind::Reversal, &all, 0),
        [0, 0, -1, 0, 1, 1, 0]
    );
    assert_eq!(
        sides(PrimaryKind::Crossover, &all, 0),
        [0, 1, 1, -1, -1, 0, 0]
    );
    let mut broken = bars(0, &prices[..3]);
    broken.extend(bars(9, &prices[3..]));
    assert_eq!(
        sides(PrimaryKind::Momentum, &broken, 0),
        [0, 0, 1, 0, 0, -1, 0]
    );
}

#[test]
fn cusum_events_come_after_a_run_and_not_across_a_gap() {
    let steps = [0.0, 0.006, 0.006, -0.001, 0.007, 0.004, -0.02, 0.005];
    let mut close = 100.0;
    let prices: Vec<_> = steps
        .iter()
        .map(|step: &f64| {
            close *= step.exp();
            (close, close, close, close)
        })
        .collect();
    let all = bars(0, &prices);
    let at =
        |events: Vec<bool>| -> Vec<usize> { (0..events.len()).filter(|at| events[*at]).collect() };
    let constant = CusumThreshold::LogReturn(0.01);
    // Sums: .006, .012 (event), 0, .007, .011 (event), then -.02 (event).
    assert_eq!(at(cusum_events(&all, constant, 0)), [2, 5, 6]);
    let sigmas: Vec<Option<f64>> = (0..8).map(|at| (at > 4).then_some(0.005)).collect();
    let scaled = CusumThreshold::Sigmas(2.0, &sigmas);
    assert_eq!(at(cusum_events(&all, scaled, 0)), [5, 6]);
    let mut broken = bars(0, &prices[..2]);
    broken.extend(bars(9, &prices[2..]));
    assert_eq!(
        at(cusum_events(&broken, constant, 0)),
        [5, 6],
        "the sums start over"
    );
}

#[test]
fn forward_returns_carry_targets_and_a_class() {
    let closes = [100.0, 101.0, 102.0, 101.0, 104.0, 103.0, 100.0, 100.5];
    let prices: Vec<_> = closes.iter().map(|c| (*c, *c, *c, *c)).collect();
    let config = LabelConfig {
        kind: LabelKind::ForwardReturns,
        horizon_bars: 1,
        more_horizons_bars: vec![3],
        target_unit: ReturnUnit::LogReturn,
        volatility_span_bars: 2,
        upper_sigmas: 0.5,
        lower_sigmas: 0.5,
        ..LabelConfig::default()
    };
    assert!(config.validate().is_empty());
    let labels = LabelSeries::of(&series(bars(0, &prices)), &config, 0);
    assert_eq!(labels.task.columns(), ["return_1", "return_3"]);
    assert!(labels.task.classes().is_empty());
    let present: Vec<usize> = (0..8).filter(|at| labels.get(*at).is_some()).collect();
    assert_eq!(
        present,
        [2, 3, 4],
        "volatility first, the longest horizon last"
    );
    let label = labels.get(2).unwrap();
    assert_eq!((label.end_bar, label.class), (5, Direction::Down));
    assert!((label.log_return - (101.0_f64 / 102.0).ln()).abs() < 1e-12);
    let mut shown = Vec::new();
    labels.learner_values(2, &mut shown);
    let expected = [(101.0_f64 / 102.0).ln(), (103.0_f64 / 102.0).ln()].map(|x| x as f32);
    assert_eq!(shown, expected);
    labels.learner_values(7, &mut shown);
    assert!(shown[2].is_nan() && shown[3].is_nan());
    let scaled = LabelConfig {
        target_unit: ReturnUnit::Sigmas,
        ..config
    };
    let scaled = LabelSeries::of(&series(bars(0, &prices)), &scaled, 0);
    let got = scaled.targets.unwrap().row(2)[1];
    let unit = scaled.sigmas[2].unwrap() * 3.0_f64.sqrt();
    assert!((got - (103.0_f64 / 102.0).ln() / unit).abs() < 1e-12);
}

#[test]
fn a_predicted_return_reads_as_probabilities() {
    let readout = ReturnReadout {
        upper_sigmas: 0.5,
        lower_sigmas: 0.5,
        spread_sigmas: 1.0,
    };
    let [down, flat, up] = readout.probabilities(0.0);
    assert!((down - 0.308_537_5).abs() < 1e-6 && (up - down).abs() < 1e-6);
    assert!((down + flat + up - 1.0).abs() < 1e-6);
    let [down, _, up] = readout.probabilities(0.5);
    assert!((up - 0.5).abs() < 1e-6 && (down - 0.158_655_3).abs() < 1e-6);
}

#[test]
fn time_decay_follows_the_three_cases_of_the_book() {
    let near = |got: &[f64], expected: &[f64]| {
        assert!(
            got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12),
            "{got:?} against {expected:?}"
        );
    };
    let uniqueness = [1.0, 0.5, 0.5, 1.0, 1.0];
    near(&time_decay(&uniqueness, 1.0), &[1.0; 5]);
    near(
        &time_decay(&uniqueness, 0.0),
        &[0.25, 0.375, 0.5, 0.75, 1.0],
    );
    near(
        &time_decay(&uniqueness, 0.5),
        &[0.625, 0.6875, 0.75, 0.875, 1.0],
    );
    // Half of the uniqueness, the first three samples, is forgotten.
    near(&time_decay(&uniqueness, -0.5), &[0.0, 0.0, 0.0, 0.5, 1.0]);
    assert!(time_decay(&[], 0.5).is_empty());
}

#[test]
fn return_attribution_shares_returns_and_class_weights_balance() {
    let span = |start_bar, end_bar| LabelSpan { start_bar, end_bar };
    let returns = [9.0, 0.02, -0.04, 0.01, 0.03];
    let got = return_attribution(&[span(0, 2), span(1, 3), span(3, 4)], &returns);
    let expected = [0.0, 0.01, 0.03];
    assert!(
        got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12),
        "{got:?}"
    );
    let classes = [(0, 1.0), (0, 1.0), (0, 1.0), (2, 1.0)];
    let got: [f64; 3] = balanced_class_weights(classes.into_iter());
    let expected = [4.0 / 6.0, 0.0, 2.0];
    assert!(
        got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12),
        "{got:?}"
    );
}

#[test]
fn problems_of_the_chosen_scheme_are_found_and_those_of_others_are_not() {
    let of = |config: LabelConfig| -> Vec<&'static str> {
        config
            .validate()
            .iter()
            .map(|problem| problem.key)
            .collect()
    };
    let trend = LabelConfig {
        kind: LabelKind::TrendScanning,
        horizon_bars: 5,
        trend_min_bars: 6,
        ..LabelConfig::default()
    };
    assert_eq!(of(trend), ["trend_min_bars"]);
    let returns = LabelConfig {
        kind: LabelKind::ForwardReturns,
        horizon_bars: 5,
        more_horizons_bars: vec![5, 7, 7, 0],
        ..LabelConfig::default()
    };
    assert_eq!(of(returns), ["more_horizons_bars"; 3]);
    let meta = LabelConfig {
        kind: LabelKind::MetaLabels,
        primary_fast_bars: 48,
        oldest_weight: -1.0,
        minimum_profit_bps: -1.0,
        cusum_threshold: 0.0,
        ..LabelConfig::default()
    };
    assert_eq!(
        of(meta),
        [
            "cusum_threshold",
            "minimum_profit_bps",
            "oldest_weight",
            "primary_fast_bars"
        ]
    );
}

const KINDS: [LabelKind; 6] = [
    LabelKind::FixedHorizon,
    LabelKind::FixedThreshold,
    LabelKind::TripleBarrier,
    LabelKind::TrendScanning,
    LabelKind::ForwardReturns,
    LabelKind::MetaLabels,
];

proptest! {
    #[test]
    fn a_label_reads_only_bars_up_to_its_end(
        steps in prop::collection::vec(-0.03_f64..0.03, 40..120),
        kind in prop::sample::select(KINDS.to_vec()),
        cusum: bool,
    ) {
        let mut close = 100.0;
        let prices: Vec<_> = steps
            .iter()
            .map(|step| {
                let open = close;
                close *= step.exp();
                (open, open.max(close) * 1.002, open.min(close) * 0.998, close)
            })
            .collect();
        let config = LabelConfig {
            kind,
            horizon_bars: 6,
            trend_min_bars: 3,
            more_horizons_bars: if kind == LabelKind::ForwardReturns { vec![2] } else { vec![] },
            primary_fast_bars: 2,
            primary_slow_bars: 5,
            events: if cusum { EventFilter::Cusum } else { EventFilter::All },
            upper_sigmas: 1.5,
            lower_sigmas: 1.5,
            volatility_span_bars: 10,
            ..LabelConfig::default()
        };
        let all = label_series(&series(bars(0, &prices)), &config, 0);
        for (at, label) in all.iter().enumerate() {
            let Some(label) = label else { continue };
            prop_assert!(label.end_bar > at && label.end_bar <= at + 6);
            prop_assert_eq!(label.end, bars(0, &prices)[label.end_bar].closed_at);
            // Cut right after the deciding bar: the label stays. One bar earlier: it is unknown.
            let kept = series(bars(0, &prices[..=label.end_bar]));
            prop_assert_eq!(label_series(&kept, &config, 0)[at], Some(*label));
            let cut = series(bars(0, &prices[..label.end_bar]));
            prop_assert_eq!(label_series(&cut, &config, 0).get(at).copied().flatten(), None);
        }
    }
}
