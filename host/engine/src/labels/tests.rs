use proptest::prelude::*;

use super::*;
use crate::types::TimeFrame;

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
    assert_eq!(LabelReport::of(&[None]).average_uniqueness, None);
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

proptest! {
    #[test]
    fn a_label_reads_only_bars_up_to_its_end(
        steps in prop::collection::vec(-0.03_f64..0.03, 40..120),
        barrier: bool,
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
            kind: if barrier { LabelKind::TripleBarrier } else { LabelKind::FixedHorizon },
            horizon_bars: 6,
            upper_sigmas: 1.5,
            lower_sigmas: 1.5,
            volatility_span_bars: 10,
            ..LabelConfig::default()
        };
        let all = label_series(&series(bars(0, &prices)), &config, 0);
        for (at, label) in all.iter().enumerate() {
            let Some(label) = label else { continue };
            prop_assert!(label.end_bar > at && label.end_bar <= at + 6);
            // Cut right after the deciding bar: the label stays. One bar earlier: it is unknown.
            let kept = series(bars(0, &prices[..=label.end_bar]));
            prop_assert_eq!(label_series(&kept, &config, 0)[at], Some(*label));
            let cut = series(bars(0, &prices[..label.end_bar]));
            prop_assert_eq!(label_series(&cut, &config, 0).get(at).copied().flatten(), None);
        }
    }
}
