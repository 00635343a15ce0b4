//! Labels and weights against mlfinpy, with the differences that its script explains.
//!
//! The values come from tests/reference/mlfinpy_labels.py; nothing is computed in Python here.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::collections::BTreeMap;
use std::path::Path;

use fusebox_engine::labels::{
    CusumThreshold, Direction, LabelConfig, LabelKind, LabelReason, LabelSeries, LabelSpan,
    PrimaryKind, SequentialBootstrap, average_uniqueness, cusum_events, return_attribution,
    time_decay, volatility,
};
use fusebox_engine::types::{Bar, BarSeries, TimeFrame, Timestamp};
use serde::Deserialize;

#[derive(Deserialize)]
struct Reference {
    closes: Vec<f64>,
    volatility_span_bars: u32,
    horizon_bars: u32,
    upper_sigmas: f64,
    lower_sigmas: f64,
    cusum_sigmas: f64,
    cusum_log_return: f64,
    primary_bars: [u32; 2],
    trend_bars: [u32; 2],
    volatility: Vec<Option<f64>>,
    triple_barrier: Touches,
    meta_labels: Meta,
    cusum: Cusum,
    trend_scanning: Trends,
    weights: Weights,
}

#[derive(Deserialize)]
struct Touches {
    start: Vec<usize>,
    end: Vec<usize>,
    reason: Vec<LabelReason>,
}

#[derive(Deserialize)]
struct Meta {
    side: Vec<f64>,
    start: Vec<usize>,
    end: Vec<usize>,
    paid: Vec<u8>,
}

#[derive(Deserialize)]
struct Cusum {
    sigmas: Vec<usize>,
    log_return: Vec<usize>,
}

#[derive(Deserialize)]
struct Trends {
    start: Vec<usize>,
    bars: Vec<usize>,
    t_value: Vec<f64>,
}

#[derive(Deserialize)]
struct Weights {
    start: Vec<usize>,
    end: Vec<usize>,
    uniqueness: Vec<f64>,
    return_attribution: Vec<f64>,
    time_decay: BTreeMap<String, Vec<f64>>,
    drawn: Vec<usize>,
    sequential_probabilities: Vec<f64>,
}

fn reference() -> Reference {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference/data/mlfinpy_labels.json");
    serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap()
}

/// Bars that are their close alone, as mlfinpy sees them.
fn series(reference: &Reference) -> BarSeries {
    let hour: TimeFrame = "1h".parse().unwrap();
    let bar = |(row, close): (usize, &f64)| {
        let opened_at = Timestamp::from_nanos(row as i64 * hour.nanos());
        Bar {
            opened_at,
            closed_at: opened_at.saturating_add_nanos(hour.nanos()),
            open: *close,
            high: *close,
            low: *close,
            close: *close,
            volume: 1.0,
            quote_volume: None,
            trades: None,
            taker_buy_volume: None,
        }
    };
    BarSeries {
        name: "A".to_owned(),
        time_frame: hour,
        bars: reference.closes.iter().enumerate().map(bar).collect(),
    }
}

fn config(reference: &Reference, kind: LabelKind) -> LabelConfig {
    let config = LabelConfig {
        kind,
        horizon_bars: reference.horizon_bars,
        upper_sigmas: reference.upper_sigmas,
        lower_sigmas: reference.lower_sigmas,
        volatility_span_bars: reference.volatility_span_bars,
        primary: PrimaryKind::Crossover,
        primary_fast_bars: reference.primary_bars[0],
        primary_slow_bars: reference.primary_bars[1],
        trend_min_bars: reference.trend_bars[0],
        ..LabelConfig::default()
    };
    assert!(config.validate().is_empty());
    config
}

fn labels(reference: &Reference, kind: LabelKind) -> LabelSeries {
    LabelSeries::of(&series(reference), &config(reference, kind), 0)
}

fn near(got: &[f64], expected: &[f64], relative: f64) {
    assert_eq!(got.len(), expected.len());
    for (at, (got, expected)) in got.iter().zip(expected).enumerate() {
        let allowed = relative * expected.abs().max(1e-3);
        assert!((got - expected).abs() <= allowed, "{at}: {got}, {expected}");
    }
}

#[test]
fn volatility_equals_pandas() {
    let reference = reference();
    let got = volatility(
        &series(&reference).bars,
        reference.volatility_span_bars,
        i64::MAX,
    );
    assert!(reference.volatility.iter().flatten().count() > 300);
    for (row, (got, expected)) in got.iter().zip(&reference.volatility).enumerate() {
        assert_eq!(got.is_some(), expected.is_some(), "{row}");
        if let (Some(got), Some(expected)) = (got, expected) {
            assert!(
                (got / expected - 1.0).abs() < 1e-10,
                "{row}: {got}, {expected}"
            );
        }
    }
}

#[test]
fn triple_barrier_touches_equal_mlfinpy() {
    let reference = reference();
    let labels = labels(&reference, LabelKind::TripleBarrier);
    let expected = &reference.triple_barrier;
    let mut seen = BTreeMap::new();
    for ((start, end), reason) in expected
        .start
        .iter()
        .zip(&expected.end)
        .zip(&expected.reason)
    {
        let label = labels.get(*start).unwrap();
        assert_eq!(
            (label.end_bar, label.reason),
            (*end, *reason),
            "row {start}"
        );
        let class = match reason {
            LabelReason::Upper => Direction::Up,
            LabelReason::Lower => Direction::Down,
            _ => Direction::Flat,
        };
        assert_eq!(label.class, class);
        *seen.entry(*reason).or_insert(0) += 1;
    }
    assert!(
        seen.len() == 3 && seen.values().all(|count| *count > 20),
        "{seen:?}"
    );
    let first = expected.start[0];
    assert!(
        (0..first).all(|row| labels.get(row).is_none()),
        "no volatility yet"
    );
}

#[test]
fn meta_labels_equal_the_book_on_mlfinpy_touches() {
    let reference = reference();
    let labels = labels(&reference, LabelKind::MetaLabels);
    let expected = &reference.meta_labels;
    let sides = labels.sides.as_ref().unwrap();
    for (row, (got, side)) in sides.iter().zip(&expected.side).enumerate() {
        assert!(
            (got.sign() - side).abs() < 0.5,
            "row {row}: {got:?}, {side}"
        );
    }
    let mut counts = [0; 2];
    for ((start, end), paid) in expected.start.iter().zip(&expected.end).zip(&expected.paid) {
        let label = labels.get(*start).unwrap();
        assert_eq!(label.end_bar, *end, "row {start}");
        let acted = label.class != Direction::Flat;
        assert_eq!(u8::from(acted), *paid, "row {start}");
        assert!(!acted || label.class == sides[*start]);
        counts[usize::from(acted)] += 1;
    }
    assert!(counts.iter().all(|count| *count > 50), "{counts:?}");
}

#[test]
fn cusum_events_equal_mlfinpy() {
    let reference = reference();
    let bars = series(&reference).bars;
    let sigmas = volatility(&bars, reference.volatility_span_bars, i64::MAX);
    let at = |threshold| -> Vec<usize> {
        let events = cusum_events(&bars, threshold, i64::MAX);
        (0..bars.len()).filter(|at| events[*at]).collect()
    };
    let scaled = at(CusumThreshold::Sigmas(reference.cusum_sigmas, &sigmas));
    assert_eq!(scaled, reference.cusum.sigmas);
    let constant = at(CusumThreshold::LogReturn(reference.cusum_log_return));
    assert_eq!(constant, reference.cusum.log_return);
    assert!(scaled.len() > 20 && constant.len() > 20);
}

#[test]
fn trends_equal_mlfinpy_and_their_labels_end_where_the_choice_is_known() {
    let reference = reference();
    let labels = labels(&reference, LabelKind::TrendScanning);
    let expected = &reference.trend_scanning;
    let horizon = reference.trend_bars[1] as usize;
    let mut compared = 0;
    let trends = expected.start.iter().zip(&expected.bars);
    for ((start, bars), t_value) in trends.zip(&expected.t_value) {
        let Some(label) = labels.get(*start) else {
            assert!(reference.volatility[*start].is_none());
            continue;
        };
        let trend = label.trend.unwrap();
        assert_eq!(trend.bars, *bars, "row {start}");
        assert!(
            (trend.t_value / t_value - 1.0).abs() < 1e-7,
            "row {start}: {} {t_value}",
            trend.t_value
        );
        assert_eq!(label.end_bar, start + horizon);
        let change = reference.closes[start + bars] / reference.closes[*start];
        assert!((label.log_return - change.ln()).abs() < 1e-12);
        compared += 1;
    }
    assert!(compared > 300, "{compared}");
}

#[test]
fn weights_equal_mlfinpy() {
    let reference = reference();
    let expected = &reference.weights;
    let spans: Vec<LabelSpan> = expected
        .start
        .iter()
        .zip(&expected.end)
        .map(|(&start_bar, &end_bar)| LabelSpan { start_bar, end_bar })
        .collect();
    let uniqueness = average_uniqueness(&spans);
    near(&uniqueness, &expected.uniqueness, 1e-12);
    let returns = labels(&reference, LabelKind::TripleBarrier).log_returns;
    let mut by_return = return_attribution(&spans, &returns);
    let scale = spans.len() as f64 / by_return.iter().sum::<f64>();
    by_return.iter_mut().for_each(|weight| *weight *= scale);
    near(&by_return, &expected.return_attribution, 1e-9);
    assert_eq!(expected.time_decay.len(), 4);
    for (oldest_weight, expected) in &expected.time_decay {
        near(
            &time_decay(&uniqueness, oldest_weight.parse().unwrap()),
            expected,
            1e-10,
        );
    }
    let mut bootstrap = SequentialBootstrap::new(&spans);
    expected.drawn.iter().for_each(|one| bootstrap.take(*one));
    near(
        &bootstrap.probabilities(),
        &expected.sequential_probabilities,
        1e-11,
    );
}
