//! The moments at which histories are cut: random ones, and those that often give leaks away.

use std::collections::BTreeSet;

use rand_core::Rng;

use crate::types::{Market, Timestamp};

/// Cuts shortly after the beginning, where values that are filled in from later show.
const EARLY_ROWS: [usize; 5] = [3, 10, 30, 60, 100];
/// Cuts just before holes of the data, and where a bar is missing.
const HOLES: [usize; 2] = [2, 6];

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
    chosen.into_iter().collect()
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
