//! Points in time and bar lengths.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// Nanoseconds since 1970-01-01 00:00 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

/// Why a text is not a time or a bar length.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TimeError {
    /// The text is not a date or a date with time.
    #[error("`{0}` is not a time; write 2022-01-01 or 2022-01-01T00:00:00Z")]
    NotATime(String),
    /// The text is not a bar length.
    #[error("`{0}` is not a time frame; write a count and one of s, m, h, d, w, such as 15m or 1h")]
    NotATimeFrame(String),
}

impl Timestamp {
    /// From nanoseconds since the epoch.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// From milliseconds since the epoch; `None` where nanoseconds would overflow (year 2262).
    #[must_use]
    pub const fn from_millis(millis: i64) -> Option<Self> {
        match millis.checked_mul(1_000_000) {
            Some(nanos) => Some(Self(nanos)),
            None => None,
        }
    }

    /// Nanoseconds since the epoch.
    #[must_use]
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// Milliseconds since the epoch, rounded down.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// This time moved by `nanos`, held at the ends of the representable range.
    #[must_use]
    pub const fn saturating_add_nanos(self, nanos: i64) -> Self {
        Self(self.0.saturating_add(nanos))
    }

    /// Nanoseconds from `earlier` to `self`.
    #[must_use]
    pub const fn nanos_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The same moment on the UTC calendar; `None` outside the calendar's years.
    #[must_use]
    pub fn civil(self) -> Option<jiff::civil::DateTime> {
        let at = jiff::Timestamp::from_nanosecond(i128::from(self.0)).ok()?;
        Some(jiff::tz::Offset::UTC.to_datetime(at))
    }

    /// The moment of a UTC calendar time; `None` where nanoseconds overflow.
    #[must_use]
    pub fn from_civil(at: jiff::civil::DateTime) -> Option<Self> {
        let at = jiff::tz::Offset::UTC.to_timestamp(at).ok()?;
        i64::try_from(at.as_nanosecond()).ok().map(Self)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_nanosecond(i128::from(self.0)) {
            Ok(at) => write!(f, "{at}"),
            Err(_) => write!(f, "{} ns", self.0),
        }
    }
}

impl FromStr for Timestamp {
    type Err = TimeError;

    /// Reads `2022-01-01` (midnight UTC) or an RFC 3339 time with its offset.
    fn from_str(text: &str) -> Result<Self, TimeError> {
        let not_a_time = || TimeError::NotATime(text.to_owned());
        if let Ok(date) = text.parse::<jiff::civil::Date>()
            && !text.contains(['T', ' '])
        {
            return Self::from_civil(date.at(0, 0, 0, 0)).ok_or_else(not_a_time);
        }
        let at = text.parse::<jiff::Timestamp>().map_err(|_| not_a_time())?;
        i64::try_from(at.as_nanosecond())
            .map(Self)
            .map_err(|_| not_a_time())
    }
}

/// The length of a bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeFrame(i64);

impl TimeFrame {
    const UNITS: [(char, i64); 5] = [
        ('w', 7 * 24 * 3600 * NANOS_PER_SECOND),
        ('d', 24 * 3600 * NANOS_PER_SECOND),
        ('h', 3600 * NANOS_PER_SECOND),
        ('m', 60 * NANOS_PER_SECOND),
        ('s', NANOS_PER_SECOND),
    ];

    /// The length in nanoseconds, always positive.
    #[must_use]
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// How many bars of this length make a 365-day year, for annualising.
    #[must_use]
    pub fn bars_per_year(self) -> f64 {
        365.0 * 24.0 * 3600.0 * NANOS_PER_SECOND as f64 / self.0 as f64
    }

    /// The open time of the bar of this length that `at` falls into (bars start at the epoch's
    /// midnight; weeks on Thursday, as the epoch does).
    #[must_use]
    pub const fn floor(self, at: Timestamp) -> Timestamp {
        Timestamp(at.0.div_euclid(self.0).saturating_mul(self.0))
    }
}

impl fmt::Display for TimeFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, nanos) in Self::UNITS {
            if self.0 % nanos == 0 {
                return write!(f, "{}{unit}", self.0 / nanos);
            }
        }
        write!(f, "{}ns", self.0)
    }
}

impl FromStr for TimeFrame {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        let wrong = || TimeError::NotATimeFrame(text.to_owned());
        let unit = text.chars().last().ok_or_else(wrong)?;
        let (_, nanos) = Self::UNITS
            .into_iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(wrong)?;
        let digits = &text[..text.len() - 1];
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        let count: i64 = digits.parse().map_err(|_| wrong())?;
        match count.checked_mul(nanos) {
            Some(length) if length > 0 => Ok(Self(length)),
            _ => Err(wrong()),
        }
    }
}

impl Serialize for TimeFrame {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TimeFrame {
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
    fn reads_dates_and_times() {
        let midnight: Timestamp = "2022-01-01".parse().unwrap();
        assert_eq!(midnight.as_millis(), 1_640_995_200_000);
        assert_eq!("2022-01-01T02:00:00+02:00".parse(), Ok(midnight));
        assert_eq!(midnight.to_string(), "2022-01-01T00:00:00Z");
        assert!("2022-13-01".parse::<Timestamp>().is_err());
        assert!("yesterday".parse::<Timestamp>().is_err());
    }

    #[test]
    fn calendar_round_trip() {
        let at: Timestamp = "2024-02-29T13:45:00Z".parse().unwrap();
        assert_eq!(at.civil().and_then(Timestamp::from_civil), Some(at));
    }

    #[test]
    fn reads_time_frames() {
        for text in ["1s", "1m", "15m", "1h", "4h", "1d", "1w"] {
            assert_eq!(text.parse::<TimeFrame>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "h",
            "0h",
            "-1h",
            "1x",
            "1.5h",
            "é",
            "+1h",
            "99999999999w",
        ] {
            assert!(text.parse::<TimeFrame>().is_err(), "{text}");
        }
    }

    #[test]
    fn floors_before_the_epoch_too() {
        let hour: TimeFrame = "1h".parse().unwrap();
        assert_eq!(hour.floor(Timestamp(-1)).as_nanos(), -hour.nanos());
        assert_eq!(hour.floor(Timestamp(hour.nanos())).as_nanos(), hour.nanos());
    }
}
