//! The moments at which histories are cut: random ones, and those that often give leaks away.

use std::collections::BTreeSet;

use rand_core::Rng;

use crate::types::{Market, Timestamp};

/// Cuts shortly after the beginning, where values that are filled in from later show.
const EARLY_ROWS: [usize; 5] = [3, 10, 30, 60, 100];
/// Cuts just before holes of the data, and where a bar is missing.
const HOLES: [usize; 2] = [2, 6];

/// Cuts one row before the end of an hour, four hours, a day, a week and a month, where a bar of a
/// higher time frame that is shown too early gives itself away.
const PERIODS: [(Period, usize); 5] = [
    (Period::Hours(1), 1),
    (Period::Hours(4), 1),
    (Period::Hours(24), 2),
    (Period::Weeks, 2),
    (Period::Months, 2),
];

const HOUR: i64 = 3_600_000_000_000;

/// What bars of higher time frames hold.
#[derive(Debug, Clone, Copy)]
enum Period {
    Hours(i64),
    /// From Monday, UTC.
    Weeks,
    Months,
}

impl Period {
    /// Which one a bar that closes at `time` belongs to; midnight ends a day.
    fn of(self, time: Timestamp) -> i64 {
        let last = time.as_nanos() - 1;
        match self {
            Self::Hours(hours) => last.div_euclid(hours * HOUR),
            // The epoch was a Thursday.
            Self::Weeks => (last.div_euclid(24 * HOUR) + 3).div_euclid(7),
            Self::Months => {
                let date = Timestamp::from_nanos(last).civil();
                date.map_or(0, |date| {
                    i64::from(date.year()) * 12 + i64::from(date.month())
                })
            }
        }
    }
}

/// The audit's random choices, drawn from the caller's generator.
pub(super) struct Dice<'a>(pub(super) &'a mut dyn Rng);

impl Dice<'_> {
    /// Evenly from 0 to below 1.
    pub(super) fn share(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 * (-53.0_f64).exp2()
    }

    /// Evenly from 0 to below `count`, which is not 0.
    pub(super) fn below(&mut self, count: usize) -> usize {
        (self.share() * count as f64) as usize
    }
}

/// Closing times after which a history is cut, ascending.
pub(super) fn cuts(market: &Market, rounds: u32, dice: &mut Dice<'_>) -> Vec<Timestamp> {
    let times: BTreeSet<Timestamp> = market
        .series()
        .iter()
        .flat_map(|series| series.bars.iter().map(|bar| bar.closed_at))
        .collect();
    let times: Vec<Timestamp> = times.into_iter().collect();
    let mut chosen = BTreeSet::new();
    let count = times.len();
    let mut choose = |row: usize| {
        // The last one would cut nothing off.
        if row + 1 < count {
            chosen.insert(times[row]);
        }
    };
    EARLY_ROWS.iter().for_each(|rows| choose(rows - 1));
    choose(count.saturating_sub(2));
    choose(count.saturating_sub(3));
    for round in 0..rounds {
        let at = dice.share();
        let row = if round % 2 == 0 {
            at * count as f64
        } else {
            (at * (count as f64).ln()).exp()
        };
        choose(row as usize);
    }
    for time in holes(market, dice) {
        chosen.insert(time);
    }
    for (period, count) in PERIODS {
        let mut found = almost_ends(&times, period);
        for _ in 0..count.min(found.len()) {
            chosen.insert(found.swap_remove(dice.below(found.len())));
        }
    }
    chosen.into_iter().collect()
}

/// The times of the rows before the last one of each period that has ended and has several rows.
fn almost_ends(times: &[Timestamp], period: Period) -> Vec<Timestamp> {
    let ends = times.windows(3).filter_map(|rows| match rows {
        [before, last, after] => {
            let at = period.of(*last);
            (period.of(*before) == at && period.of(*after) != at).then_some(*before)
        }
        _ => None,
    });
    ends.collect()
}

/// Some moments before which a symbol has a bar and after which it has none, and some at which its
/// bar is missing.
fn holes(market: &Market, dice: &mut Dice<'_>) -> Vec<Timestamp> {
    let mut found: [Vec<Timestamp>; 2] = Default::default();
    let last = market
        .series()
        .iter()
        .filter_map(|series| series.bars.last());
    let end = last.map(|bar| bar.closed_at).max();
    for series in market.series() {
        for pair in series.bars.windows(2) {
            let last = pair[0].closed_at;
            if pair[1].opened_at > last {
                found[0].push(last);
                found[1].push(last.saturating_add_nanos(market.time_frame().nanos()));
            }
        }
    }
    let mut some = Vec::new();
    for (mut found, count) in found.into_iter().zip(HOLES) {
        found.retain(|time| Some(*time) < end);
        for _ in 0..count.min(found.len()) {
            some.push(found.swap_remove(dice.below(found.len())));
        }
    }
    some
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_before_the_ends_of_periods_are_found() {
        // Hours from Thursday, 1970-01-01, 01:00 on, for 40 days.
        let times: Vec<Timestamp> = (1..=40 * 24)
            .map(|hour| Timestamp::from_nanos(hour * HOUR))
            .collect();
        let hours = |period| -> Vec<i64> {
            let found = almost_ends(&times, period);
            found.iter().map(|time| time.as_nanos() / HOUR).collect()
        };
        assert_eq!(hours(Period::Hours(1)), [] as [i64; 0]);
        assert_eq!(hours(Period::Hours(4))[..3], [3, 7, 11]);
        assert_eq!(hours(Period::Hours(24))[..2], [23, 47]);
        // The first week ends with Sunday the 4th.
        assert_eq!(hours(Period::Weeks)[..2], [4 * 24 - 1, 11 * 24 - 1]);
        assert_eq!(hours(Period::Months), [31 * 24 - 1]);
    }
}
