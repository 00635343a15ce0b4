//! Lengths of time as written in a config: calendar months, or days, hours and minutes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::types::Timestamp;

/// A length of time: calendar months, or a fixed number of nanoseconds, or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    months: i32,
    nanos: i64,
}

/// Why a text is not a [`Span`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a span; write a count above 0 and one of y, mo, w, d, h, m, such as 18mo")]
pub struct SpanError(String);

const NANOS_PER_MINUTE: i64 = 60 * 1_000_000_000;

/// Suffix, months, nanoseconds. `mo` comes before `m`.
const UNITS: [(&str, i32, i64); 6] = [
    ("y", 12, 0),
    ("mo", 1, 0),
    ("w", 0, 7 * 24 * 60 * NANOS_PER_MINUTE),
    ("d", 0, 24 * 60 * NANOS_PER_MINUTE),
    ("h", 0, 60 * NANOS_PER_MINUTE),
    ("m", 0, NANOS_PER_MINUTE),
];

impl Span {
    /// `count` calendar months.
    #[must_use]
    pub const fn months(count: i32) -> Self {
        Self {
            months: count,
            nanos: 0,
        }
    }

    /// `count` days of 24 hours.
    #[must_use]
    pub const fn days(count: i64) -> Self {
        Self {
            months: 0,
            nanos: count * 24 * 60 * NANOS_PER_MINUTE,
        }
    }

    /// Both lengths, one after the other; `None` where they overflow.
    #[must_use]
    pub fn plus(self, other: Self) -> Option<Self> {
        Some(Self {
            months: self.months.checked_add(other.months)?,
            nanos: self.nanos.checked_add(other.nanos)?,
        })
    }

    /// This length `count` times; `None` where it overflows.
    #[must_use]
    pub fn times(self, count: u32) -> Option<Self> {
        Some(Self {
            months: self.months.checked_mul(i32::try_from(count).ok()?)?,
            nanos: self.nanos.checked_mul(i64::from(count))?,
        })
    }

    /// The moment this long after `start`: months on the UTC calendar first (a day that the month
    /// lacks becomes its last one), then the fixed part. `None` outside the calendar.
    #[must_use]
    pub fn after(self, start: Timestamp) -> Option<Timestamp> {
        let months = jiff::Span::new().try_months(self.months).ok()?;
        let civil = start.civil()?.checked_add(months).ok()?;
        let moved = Timestamp::from_civil(civil)?.as_nanos();
        moved.checked_add(self.nanos).map(Timestamp::from_nanos)
    }
}

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let wrong = || SpanError(text.to_owned());
        let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (digits, suffix) = text.split_at(split);
        let count: u32 = digits.parse().map_err(|_| wrong())?;
        let unit = UNITS.iter().find(|(name, ..)| *name == suffix);
        let (_, months, nanos) = *unit.ok_or_else(wrong)?;
        let span = Self { months, nanos }.times(count);
        span.filter(|_| count > 0).ok_or_else(wrong)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return write!(f, "{}mo", self.months);
        }
        if self.months != 0 {
            write!(f, "{}mo+", self.months)?;
        }
        let fixed = UNITS.iter().filter(|(_, months, _)| *months == 0);
        for (name, _, unit) in fixed {
            if self.nanos % unit == 0 {
                return write!(f, "{}{name}", self.nanos / unit);
            }
        }
        write!(f, "{}ns", self.nanos)
    }
}

impl Serialize for Span {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_spans() {
        for (text, written) in [
            ("18mo", "18mo"),
            ("2y", "24mo"),
            ("90d", "90d"),
            ("14d", "2w"),
            ("500h", "500h"),
            ("30m", "30m"),
        ] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), written, "{text}");
        }
        for text in [
            "",
            "mo",
            "0d",
            "-1d",
            "1.5mo",
            "3",
            "3 mo",
            "9999999999d",
            "4000000000y",
        ] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    #[test]
    fn months_follow_the_calendar() {
        let start: Timestamp = "2024-01-31".parse().unwrap();
        let month: Span = "1mo".parse().unwrap();
        assert_eq!(
            month.after(start).unwrap().to_string(),
            "2024-02-29T00:00:00Z"
        );
        let two = month.times(2).unwrap();
        assert_eq!(
            two.after(start).unwrap().to_string(),
            "2024-03-31T00:00:00Z"
        );
        let both = two.plus(Span::days(1)).unwrap();
        assert_eq!(
            both.after(start).unwrap().to_string(),
            "2024-04-01T00:00:00Z"
        );
    }
}
