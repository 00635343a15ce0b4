//! Position in the UTC day and week, as points on a circle, so that 23:00 and 00:00 are close.
//!
//! The time is the bar's closing time, the moment at which a decision is taken.

use std::f64::consts::TAU;

use super::kind::{Family, FeatureKind, Input};
use super::returns::PerBar;
use crate::types::Bar;

const BASE: FeatureKind = FeatureKind {
    family: Family::Calendar,
    source: "standard cyclical encoding",
    units: "-1 to 1",
    inputs: &[Input::Time],
    ..FeatureKind::BASE
};

pub(super) const KINDS: &[FeatureKind] = &[
    FeatureKind {
        name: "hour_sin",
        summary: "Time of day, first coordinate.",
        formula: "sin(2 pi seconds since midnight UTC / 86400)",
        operator: |_| Box::new(PerBar(|bar| day_angle(bar).sin())),
        ..BASE
    },
    FeatureKind {
        name: "hour_cos",
        summary: "Time of day, second coordinate.",
        formula: "cos(2 pi seconds since midnight UTC / 86400)",
        operator: |_| Box::new(PerBar(|bar| day_angle(bar).cos())),
        ..BASE
    },
    FeatureKind {
        name: "weekday_sin",
        summary: "Time of week, first coordinate.",
        formula: "sin(2 pi seconds since Monday 00:00 UTC / 604800)",
        operator: |_| Box::new(PerBar(|bar| week_angle(bar).sin())),
        ..BASE
    },
    FeatureKind {
        name: "weekday_cos",
        summary: "Time of week, second coordinate.",
        formula: "cos(2 pi seconds since Monday 00:00 UTC / 604800)",
        operator: |_| Box::new(PerBar(|bar| week_angle(bar).cos())),
        ..BASE
    },
];

const MILLIS_PER_DAY: i64 = 86_400_000;

fn day_angle(bar: &Bar) -> f64 {
    let since_midnight = bar.closed_at.as_millis().rem_euclid(MILLIS_PER_DAY);
    TAU * since_midnight as f64 / MILLIS_PER_DAY as f64
}

fn week_angle(bar: &Bar) -> f64 {
    // The epoch was a Thursday, three days after a Monday.
    let since_monday = bar.closed_at.as_millis() + 3 * MILLIS_PER_DAY;
    TAU * since_monday.rem_euclid(7 * MILLIS_PER_DAY) as f64 / (7 * MILLIS_PER_DAY) as f64
}
