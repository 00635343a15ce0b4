//! Bars of a higher time frame, made from base bars.
//!
//! A higher bar is given out only when it has closed; nothing here knows features.

use crate::types::{Bar, TimeFrame, Timestamp};

/// Joins base bars into bars of a higher time frame.
///
/// The first higher bar after a start counts only when the history covers its beginning. Base bars
/// that are absent later on are passed over.
#[derive(Debug, Clone)]
pub(super) struct Aggregator {
    time_frame: TimeFrame,
    open_bar: Option<Bar>,
    /// Whether the open bar began before the history did.
    is_partial: bool,
    has_begun: bool,
}

impl Aggregator {
    pub(super) fn new(time_frame: TimeFrame) -> Self {
        Self {
            time_frame,
            open_bar: None,
            is_partial: false,
            has_begun: false,
        }
    }

    /// Adds a base bar; gives the higher bars that are closed now: one that this bar leaves behind,
    /// and one that it completes.
    pub(super) fn push(&mut self, bar: &Bar) -> [Option<Bar>; 2] {
        let left_behind = self.close_by(bar.opened_at);
        match &mut self.open_bar {
            Some(open) => join(open, bar),
            None => {
                let opened_at = self.time_frame.floor(bar.opened_at);
                self.is_partial = !self.has_begun && opened_at != bar.opened_at;
                self.has_begun = true;
                self.open_bar = Some(Bar {
                    opened_at,
                    closed_at: opened_at.saturating_add_nanos(self.time_frame.nanos()),
                    ..*bar
                });
            }
        }
        [left_behind, self.close_by(bar.closed_at)]
    }

    /// The open bar, when it closes at `now` or earlier.
    pub(super) fn close_by(&mut self, now: Timestamp) -> Option<Bar> {
        if self.open_bar.as_ref()?.closed_at > now {
            return None;
        }
        let closed = self.open_bar.take();
        closed.filter(|_| !self.is_partial)
    }
}

crate::state! {
    Aggregator { open_bar, is_partial, has_begun }
}

fn join(open: &mut Bar, bar: &Bar) {
    let sum = |a: Option<f64>, b: Option<f64>| Some(a? + b?);
    open.high = open.high.max(bar.high);
    open.low = open.low.min(bar.low);
    open.close = bar.close;
    open.volume += bar.volume;
    open.quote_volume = sum(open.quote_volume, bar.quote_volume);
    open.trades = sum(open.trades, bar.trades);
    open.taker_buy_volume = sum(open.taker_buy_volume, bar.taker_buy_volume);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(hour: i64, close: f64) -> Bar {
        let frame: TimeFrame = "1h".parse().unwrap();
        let opened_at = Timestamp::from_nanos(hour * frame.nanos());
        Bar {
            opened_at,
            closed_at: opened_at.saturating_add_nanos(frame.nanos()),
            open: close - 0.5,
            high: close + 1.0,
            low: close - 1.0,
            close,
            volume: 10.0,
            quote_volume: None,
            trades: Some(2.0),
            taker_buy_volume: None,
        }
    }

    /// Opening hour, open, close and volume of a higher bar.
    type Told = (i64, f64, f64, f64);

    /// The higher bars that each base bar closes.
    fn closings(hours: &[i64]) -> Vec<(i64, Vec<Told>)> {
        let mut aggregator = Aggregator::new("4h".parse().unwrap());
        let hour = |at: Timestamp| at.as_nanos() / 3_600_000_000_000;
        hours
            .iter()
            .map(|&at| {
                let closed = aggregator.push(&bar(at, at as f64 + 10.0));
                let told = closed.into_iter().flatten();
                (
                    at,
                    told.map(|one| (hour(one.opened_at), one.open, one.close, one.volume))
                        .collect(),
                )
            })
            .collect()
    }

    #[test]
    fn a_higher_bar_appears_with_the_base_bar_that_completes_it() {
        let got = closings(&[0, 1, 2, 3, 4]);
        assert!(got[..3].iter().all(|(_, closed)| closed.is_empty()));
        assert_eq!(got[3].1, [(0, 9.5, 13.0, 40.0)]);
        assert!(got[4].1.is_empty());
    }

    #[test]
    fn a_higher_bar_without_its_last_base_bar_appears_with_the_next_one() {
        let got = closings(&[0, 1, 2, 4, 5, 7]);
        assert_eq!(got[3].1, [(0, 9.5, 12.0, 30.0)]);
        assert_eq!(got[5].1, [(4, 13.5, 17.0, 30.0)]);
        let both = closings(&[0, 1, 7]);
        assert_eq!(both[2].1, [(0, 9.5, 11.0, 20.0), (4, 16.5, 17.0, 10.0)]);
    }

    #[test]
    fn the_first_higher_bar_counts_only_when_its_beginning_is_covered() {
        let got = closings(&[2, 3, 4, 5, 6, 7]);
        assert!(got[1].1.is_empty());
        assert_eq!(got[5].1, [(4, 13.5, 17.0, 40.0)]);
    }
}
