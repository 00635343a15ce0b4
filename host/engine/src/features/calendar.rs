//! Position in the UTC day, week, month and year, as points on a circle, so that 23:00 and 00:00
//! are close, and the hours of the large markets.
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
    FeatureKind {
        name: "month_sin",
        summary: "Time of the month, first coordinate.",
        formula: "sin(2 pi share of the UTC month that has passed)",
        operator: |_| Box::new(PerBar(|bar| (TAU * share_of_month(bar)).sin())),
        ..BASE
    },
    FeatureKind {
        name: "month_cos",
        summary: "Time of the month, second coordinate.",
        formula: "cos(2 pi share of the UTC month that has passed)",
        operator: |_| Box::new(PerBar(|bar| (TAU * share_of_month(bar)).cos())),
        ..BASE
    },
    FeatureKind {
        name: "year_sin",
        summary: "Time of the year, first coordinate.",
        formula: "sin(2 pi share of the UTC year that has passed)",
        operator: |_| Box::new(PerBar(|bar| (TAU * share_of_year(bar)).sin())),
        ..BASE
    },
    FeatureKind {
        name: "year_cos",
        summary: "Time of the year, second coordinate.",
        formula: "cos(2 pi share of the UTC year that has passed)",
        operator: |_| Box::new(PerBar(|bar| (TAU * share_of_year(bar)).cos())),
        ..BASE
    },
    FeatureKind {
        name: "funding_sin",
        summary: "Time between two fundings of perpetual futures, first coordinate.",
        formula: "sin(2 pi seconds since 00:00, 08:00 or 16:00 UTC / 28800)",
        source: "funding interval of the large perpetual-futures venues",
        operator: |_| Box::new(PerBar(|bar| funding_angle(bar).sin())),
        ..BASE
    },
    FeatureKind {
        name: "funding_cos",
        summary: "Time between two fundings of perpetual futures, second coordinate.",
        formula: "cos(2 pi seconds since 00:00, 08:00 or 16:00 UTC / 28800)",
        source: "funding interval of the large perpetual-futures venues",
        operator: |_| Box::new(PerBar(|bar| funding_angle(bar).cos())),
        ..BASE
    },
    FeatureKind {
        name: "asia_session",
        summary: "Whether Asia trades: the hours of the Tokyo Stock Exchange.",
        formula: "1 from 00:00 to 06:30 UTC, Monday to Friday, else 0",
        operator: |_| Box::new(PerBar(|bar| is_open(bar, 0, 390))),
        ..SESSION
    },
    FeatureKind {
        name: "europe_session",
        summary: "Whether Europe trades: the hours of the London Stock Exchange in winter time.",
        formula: "1 from 08:00 to 16:30 UTC, Monday to Friday, else 0",
        operator: |_| Box::new(PerBar(|bar| is_open(bar, 480, 990))),
        ..SESSION
    },
    FeatureKind {
        name: "us_session",
        summary: "Whether the US trades: the hours of the New York Stock Exchange in winter time.",
        formula: "1 from 14:30 to 21:00 UTC, Monday to Friday, else 0",
        operator: |_| Box::new(PerBar(|bar| is_open(bar, 870, 1260))),
        ..SESSION
    },
    FeatureKind {
        name: "weekend",
        summary: "Whether it is Saturday or Sunday.",
        formula: "1 from Saturday 00:00 to Monday 00:00 UTC, else 0",
        operator: |_| Box::new(PerBar(|bar| f64::from(u8::from(is_weekend(bar))))),
        ..SESSION
    },
];

/// Flags; the closing time belongs to the interval that begins with it, and holidays are not known.
const SESSION: FeatureKind = FeatureKind {
    source: "hours published by the exchanges; daylight saving time is left out",
    units: "0 or 1",
    ..BASE
};

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

fn funding_angle(bar: &Bar) -> f64 {
    let interval = MILLIS_PER_DAY / 3;
    TAU * bar.closed_at.as_millis().rem_euclid(interval) as f64 / interval as f64
}

fn is_weekend(bar: &Bar) -> bool {
    let days = bar.closed_at.as_millis().div_euclid(MILLIS_PER_DAY);
    // Counted from a Monday.
    (days + 3).rem_euclid(7) >= 5
}

/// Whether the time lies between two minutes of a working day: 1 or 0.
fn is_open(bar: &Bar, from_minute: i64, to_minute: i64) -> f64 {
    let minute = bar.closed_at.as_millis().rem_euclid(MILLIS_PER_DAY) / 60_000;
    let open = !is_weekend(bar) && (from_minute..to_minute).contains(&minute);
    f64::from(u8::from(open))
}

/// Days since the epoch with the part of the day that has passed.
fn days(bar: &Bar) -> f64 {
    bar.closed_at.as_millis() as f64 / MILLIS_PER_DAY as f64
}

fn share_of_month(bar: &Bar) -> f64 {
    let (year, month) = year_and_month(bar);
    let first = days_before(year, month);
    let next = if month == 12 {
        days_before(year + 1, 1)
    } else {
        days_before(year, month + 1)
    };
    (days(bar) - first as f64) / (next - first) as f64
}

fn share_of_year(bar: &Bar) -> f64 {
    let (year, _) = year_and_month(bar);
    let (first, next) = (days_before(year, 1), days_before(year + 1, 1));
    (days(bar) - first as f64) / (next - first) as f64
}

/// The Gregorian year and month (H. Hinnant, chrono-compatible low-level date algorithms).
fn year_and_month(bar: &Bar) -> (i64, i64) {
    // Days from 0000-03-01, so that a leap day ends its year.
    let days = bar.closed_at.as_millis().div_euclid(MILLIS_PER_DAY) + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = (from_march + 2) % 12 + 1;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month)
}

/// Days from the epoch to the first of a month.
fn days_before(year: i64, month: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5;
    let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
    era * 146_097 + of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Timestamp;

    fn bar_at(millis: i64) -> Bar {
        let at = Timestamp::from_millis(millis).unwrap();
        Bar {
            opened_at: at,
            closed_at: at,
            open: 1.0,
            high: 1.0,
            low: 1.0,
            close: 1.0,
            volume: 0.0,
            quote_volume: None,
            trades: None,
            taker_buy_volume: None,
        }
    }

    #[test]
    fn months_and_years_are_those_of_the_calendar() {
        // Odd steps from 1897 to 2103, over every leap rule.
        let mut millis = -2_300_000_000_123;
        while millis < 4_200_000_000_000 {
            let bar = bar_at(millis);
            let told = jiff::Timestamp::from_millisecond(millis).unwrap();
            let date = told.to_zoned(jiff::tz::TimeZone::UTC);
            let expected = (i64::from(date.year()), i64::from(date.month()));
            assert_eq!(year_and_month(&bar), expected, "{told}");
            let seconds = f64::from(date.hour()) * 3600.0
                + f64::from(date.minute()) * 60.0
                + f64::from(date.second());
            let of_day = (seconds + f64::from(date.millisecond()) / 1000.0) / 86_400.0;
            let of_month = (f64::from(date.day()) - 1.0 + of_day) / f64::from(date.days_in_month());
            let of_year =
                (f64::from(date.day_of_year()) - 1.0 + of_day) / f64::from(date.days_in_year());
            assert!((share_of_month(&bar) - of_month).abs() < 1e-9, "{told}");
            assert!((share_of_year(&bar) - of_year).abs() < 1e-9, "{told}");
            let weekend = date.weekday().to_monday_zero_offset() >= 5;
            assert_eq!(is_weekend(&bar), weekend, "{told}");
            millis += 27_654_321_000;
        }
    }

    #[test]
    fn sessions_begin_with_their_first_minute_and_end_before_their_last() {
        let minute = |day: i64, minute: i64| (day * 1440 + minute) * 60_000;
        // 1970-01-05 was a Monday.
        for (at, asia, europe, us) in [
            (minute(4, 0), 1.0, 0.0, 0.0),
            (minute(4, 389), 1.0, 0.0, 0.0),
            (minute(4, 390), 0.0, 0.0, 0.0),
            (minute(4, 480), 0.0, 1.0, 0.0),
            (minute(8, 870), 0.0, 1.0, 1.0),
            (minute(8, 990), 0.0, 0.0, 1.0),
            (minute(8, 1260), 0.0, 0.0, 0.0),
            (minute(9, 900), 0.0, 0.0, 0.0),
        ] {
            let bar = bar_at(at);
            let flags = [
                is_open(&bar, 0, 390),
                is_open(&bar, 480, 990),
                is_open(&bar, 870, 1260),
            ];
            assert_eq!(
                flags.map(f64::to_bits),
                [asia, europe, us].map(f64::to_bits),
                "{at}"
            );
        }
    }
}
