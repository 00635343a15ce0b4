//! Coarser bars out of finer ones.
//!
//! A coarse bar is made only where **every** finer bar in it is there; a coarse bar with a hole in
//! it is absent, like one that the venue never published. So a resampled bar is what the venue
//! would have published, and its absence shows as a gap. On venues that publish no bar for a minute
//! without trades this drops much; then coarse candles of the venue itself are the better source.
//! Bars begin at whole multiples of their length since midnight UTC, weeks on Monday.

use fusebox_engine::types::{Bar, BarSeries, TimeFrame, Timestamp};

const DAY_NANOS: i64 = 24 * 3600 * 1_000_000_000;
const WEEK_NANOS: i64 = 7 * DAY_NANOS;
/// From 1970-01-01, a Thursday, to the first Monday.
const FIRST_MONDAY_NANOS: i64 = 4 * DAY_NANOS;

/// Why bars cannot be resampled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResampleError {
    /// The coarse length is no multiple of the fine one.
    #[error("{symbol}: {to} bars cannot be made of {from} bars; take a multiple of {from}")]
    NotAMultiple {
        /// The symbol.
        symbol: String,
        /// The length at hand.
        from: TimeFrame,
        /// The length asked for.
        to: TimeFrame,
    },
}

/// Coarser bars, and what could not become one.
#[derive(Debug, Clone, PartialEq)]
pub struct Resampled {
    /// The coarse bars.
    pub series: BarSeries,
    /// Coarse bars that are absent although some of their finer bars are there. The incomplete ones
    /// at the two ends count too.
    pub incomplete: u64,
}

/// Whether `coarse` bars can be made of `fine` ones.
#[must_use]
pub fn divides(fine: TimeFrame, coarse: TimeFrame) -> bool {
    coarse.nanos() % fine.nanos() == 0
}

/// Makes bars of length `to` out of a valid series.
///
/// # Errors
/// [`ResampleError`] where `to` is no multiple of the series' time frame.
pub fn resample(series: &BarSeries, to: TimeFrame) -> Result<Resampled, ResampleError> {
    if !divides(series.time_frame, to) {
        return Err(ResampleError::NotAMultiple {
            symbol: series.name.clone(),
            from: series.time_frame,
            to,
        });
    }
    let whole = to.nanos() / series.time_frame.nanos();
    let mut bars = Vec::new();
    let mut incomplete = 0;
    for group in series
        .bars
        .chunk_by(|a, b| start(to, a.opened_at) == start(to, b.opened_at))
    {
        let is_whole = i64::try_from(group.len()).is_ok_and(|count| count == whole);
        match merge(group, to).filter(|_| is_whole) {
            Some(bar) => bars.push(bar),
            None => incomplete += 1,
        }
    }
    let series = BarSeries {
        name: series.name.clone(),
        time_frame: to,
        bars,
    };
    Ok(Resampled { series, incomplete })
}

/// The open time of the coarse bar that `at` falls into.
fn start(length: TimeFrame, at: Timestamp) -> Timestamp {
    if length.nanos() % WEEK_NANOS != 0 {
        return length.floor(at);
    }
    let since_monday = at.saturating_add_nanos(-FIRST_MONDAY_NANOS);
    length
        .floor(since_monday)
        .saturating_add_nanos(FIRST_MONDAY_NANOS)
}

/// The open time of the first bar of this length that opens at `at` or later.
pub(super) fn first_start(length: TimeFrame, at: Timestamp) -> Timestamp {
    let before = start(length, at);
    if before == at {
        return at;
    }
    before.saturating_add_nanos(length.nanos())
}

/// One bar out of ascending ones; an optional amount is known only where all of them know it.
fn merge(bars: &[Bar], length: TimeFrame) -> Option<Bar> {
    let (first, last) = (bars.first()?, bars.last()?);
    let opened_at = start(length, first.opened_at);
    Some(Bar {
        opened_at,
        closed_at: opened_at.saturating_add_nanos(length.nanos()),
        open: first.open,
        high: bars.iter().map(|bar| bar.high).fold(first.high, f64::max),
        low: bars.iter().map(|bar| bar.low).fold(first.low, f64::min),
        close: last.close,
        volume: bars.iter().map(|bar| bar.volume).sum(),
        quote_volume: bars.iter().map(|bar| bar.quote_volume).sum(),
        trades: bars.iter().map(|bar| bar.trades).sum(),
        taker_buy_volume: bars.iter().map(|bar| bar.taker_buy_volume).sum(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3600 * 1_000_000_000;

    fn bar(hour: i64, price: f64) -> Bar {
        let opened_at = Timestamp::from_nanos(hour * HOUR);
        Bar {
            opened_at,
            closed_at: opened_at.saturating_add_nanos(HOUR),
            open: price,
            high: price + 2.0,
            low: price - 2.0,
            close: price + 1.0,
            volume: 10.0,
            quote_volume: Some(10.0 * price),
            trades: (hour != 5).then_some(3.0),
            taker_buy_volume: None,
        }
    }

    fn series(hours: &[i64]) -> BarSeries {
        BarSeries {
            name: "X".to_owned(),
            time_frame: "1h".parse().unwrap(),
            bars: hours
                .iter()
                .map(|&hour| bar(hour, 100.0 + hour as f64))
                .collect(),
        }
    }

    #[test]
    fn a_whole_bar_has_first_open_last_close_extremes_and_sums() {
        let made = resample(&series(&[0, 1, 2, 3]), "4h".parse().unwrap()).unwrap();
        assert_eq!(made.incomplete, 0);
        let expected = Bar {
            opened_at: Timestamp::from_nanos(0),
            closed_at: Timestamp::from_nanos(4 * HOUR),
            open: 100.0,
            high: 105.0,
            low: 98.0,
            close: 104.0,
            volume: 40.0,
            quote_volume: Some(4060.0),
            trades: Some(12.0),
            taker_buy_volume: None,
        };
        assert_eq!(made.series.bars, [expected]);
    }

    #[test]
    fn a_bar_with_a_hole_is_absent_and_counted() {
        let hours = [0, 1, 3, 4, 5, 6, 7, 8];
        let made = resample(&series(&hours), "4h".parse().unwrap()).unwrap();
        let starts: Vec<i64> = made
            .series
            .bars
            .iter()
            .map(|bar| bar.opened_at.as_nanos())
            .collect();
        assert_eq!((starts, made.incomplete), (vec![4 * HOUR], 2));
        assert_eq!(made.series.bars[0].trades, None);
    }

    #[test]
    fn weeks_begin_on_monday() {
        let monday: Timestamp = "2024-01-01".parse().unwrap();
        let sunday: Timestamp = "2024-01-07T23:00:00Z".parse().unwrap();
        let week: TimeFrame = "1w".parse().unwrap();
        assert_eq!(start(week, monday), monday);
        assert_eq!(start(week, sunday), monday);
    }

    #[test]
    fn only_multiples_can_be_made() {
        let error = resample(&series(&[0]), "90m".parse().unwrap()).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("90m bars cannot be made of 1h bars"),
            "{error}"
        );
    }
}
