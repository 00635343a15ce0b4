//! The steps of a run in which nothing is decided and nothing fills: a comparison where nothing is
//! held, a valuation where something is.
//!
//! Whether a step is quiet is judged with room to spare: what looks like a decision or a breaker is
//! left to the whole step in `run`, which then may find that there was none.

use super::Glance;
use super::run::{Run, Totals, units};
use crate::strategy::Direction;
use crate::types::{Cash, Timestamp};

const UNITS: i64 = crate::types::UNITS_PER_ONE as i64;

/// Amounts up to here are multiplied and summed in 64 bits.
const LIMIT: f64 = (1_u64 << 60) as f64;

/// Between which scores a symbol stays as it is, and what of it is held.
#[derive(Debug, Clone, Copy)]
struct Band {
    /// A score here or below calls for the whole step.
    low: f64,
    /// A score here or above does.
    high: f64,
    /// Units held, without their sign.
    size: i64,
    /// The same in whole ones.
    wholes: f64,
    sign: i64,
}

impl Band {
    fn calls(&self, score: f64) -> bool {
        score <= self.low || score >= self.high
    }

    /// The value at `close`, rounded half away from zero, as [`Price::times`] does.
    ///
    /// The float is near the quotient, and what it misses is small enough to be exact in 64 bits.
    ///
    /// [`Price::times`]: crate::types::Price::times
    fn value(&self, close: i64) -> i64 {
        let near = (close as f64 * self.wholes) as i64;
        let missing = close
            .wrapping_mul(self.size)
            .wrapping_sub(near.wrapping_mul(UNITS));
        self.sign * (near + (missing + UNITS / 2).div_euclid(UNITS))
    }
}

/// What a walk over quiet steps found.
struct Walked {
    /// The step that it stands before.
    step: usize,
    /// Whether that step needs the whole of it, or only new bands.
    is_due: bool,
}

/// What ends a walk, beside the scores.
struct Bounds {
    /// From this moment on the bands are others.
    until: Timestamp,
    /// Units of equity that no breaker cares for.
    alarm: f64,
    /// The drawdown breaker's part of it, and the part of a new peak that is its next.
    keeps: f64,
    peak: i64,
}

impl Run<'_> {
    /// Passes over quiet steps from `step` on, and gives the first that is none.
    pub(super) fn pass_quiet(&mut self, mut step: usize) -> usize {
        loop {
            if self.waiting > 0 {
                return step;
            }
            if self.holding == 0 {
                step = self.pass_flat(step);
                self.marks.pass(step, self.equity);
                return step;
            }
            let breaker = &self.desk.breaker;
            if breaker.is_ruined() || breaker.awaits_reset() || !self.fits() {
                return step;
            }
            let Some(&at) = self.table.times.get(step) else {
                return step;
            };
            self.enter(at);
            let walked = self.pass_held(step, at);
            step = walked.step;
            self.marks.pass(step, self.equity);
            if walked.is_due {
                return step;
            }
        }
    }

    /// Nothing is held: equity stands still until a score calls.
    fn pass_flat(&mut self, from: usize) -> usize {
        let count = self.table.times.len();
        let breaker = &self.desk.breaker;
        let next = if breaker.awaits_reset() {
            // Nothing is opened before the reset.
            let times = self.table.times.get(from..).unwrap_or(&[]);
            let resets = times.iter().position(|at| breaker.resets_at(*at));
            resets.map_or(count, |after| from + after)
        } else if breaker.is_ruined() {
            count
        } else {
            self.first_call(from)
        };
        self.totals.steps += (next - from) as u64;
        next
    }

    fn first_call(&self, from: usize) -> usize {
        let (low, high) = self.band_of(Direction::Flat);
        let symbols = self.table.symbols.max(1);
        let glances = self.table.glances.get(from * symbols..).unwrap_or(&[]);
        let calls = |one: &Glance| one.score <= low || one.score >= high;
        let after = glances.iter().position(calls).unwrap_or(glances.len());
        from + after / symbols
    }

    /// The scores, at and beyond which the strategy may want another side than `held`.
    fn band_of(&self, held: Direction) -> (f64, f64) {
        let rules = self.rules;
        let short_entry = if rules.allow_short {
            -rules.entry_threshold
        } else {
            f64::NEG_INFINITY
        };
        match held {
            Direction::Flat => (short_entry, rules.entry_threshold),
            Direction::Long => (
                rules.exit_threshold.next_down().max(short_entry),
                f64::INFINITY,
            ),
            Direction::Short => (
                f64::NEG_INFINITY,
                (-rules.exit_threshold).next_up().min(rules.entry_threshold),
            ),
        }
    }

    /// Whether everything that is held can be valued in 64 bits.
    fn fits(&self) -> bool {
        let seats = self.seats.iter().zip(&self.table.highest);
        let most = |(seat, highest): (&super::seat::Seat, &i64)| {
            let size = seat.held.abs().units() as f64;
            (*highest as f64 * size / UNITS as f64).max(size)
        };
        seats.map(most).sum::<f64>() + units(self.cash).abs() < LIMIT
    }

    /// The bands at `at`, and when they are others.
    fn bands(&self, at: Timestamp) -> (Vec<Band>, Timestamp) {
        let minimum = i64::from(self.rules.minimum_holding_bars);
        let kept = self.table.time_frame.nanos().saturating_mul(minimum);
        let mut until = Timestamp::from_nanos(match self.watch.max_daily_loss {
            Some(_) => self.watch.day_ends.saturating_add(1),
            None => i64::MAX,
        });
        let bands = self.seats.iter().map(|seat| {
            let side = seat.direction();
            let free_at = seat.opened_at.saturating_add_nanos(kept);
            let (low, high) = if side != Direction::Flat && free_at > at {
                until = until.min(free_at);
                (f64::NEG_INFINITY, f64::INFINITY)
            } else {
                self.band_of(side)
            };
            let size = seat.held.abs().units() as i64;
            Band {
                low,
                high,
                size,
                wholes: size as f64 / UNITS as f64,
                sign: i64::from(seat.held.signum()),
            }
        });
        (bands.collect(), until)
    }

    fn bounds(&self, until: Timestamp) -> Bounds {
        // A unit more than rounding can make of it.
        let floor = |equity: Cash, loss: f64| units(equity) * (1.0 - loss) * (1.0 + 1e-9) + 2.0;
        let watch = &self.watch;
        let by_day = watch
            .max_daily_loss
            .map_or(0.0, |loss| floor(watch.day_equity, loss));
        let keeps = (1.0 - watch.max_drawdown) * (1.0 + 1e-9);
        Bounds {
            until,
            alarm: floor(watch.peak, watch.max_drawdown).max(by_day).max(0.0),
            keeps,
            peak: i64::try_from(watch.peak.units()).unwrap_or(i64::MAX),
        }
    }

    fn pass_held(&mut self, from: usize, at: Timestamp) -> Walked {
        let (bands, until) = self.bands(at);
        let mut bounds = self.bounds(until);
        let table = self.table;
        // A walk stops where equity is to be kept, so that no step has to ask whether it is.
        let end = self.marks.next_end.min(table.times.len());
        let times = table.times.get(from..end).unwrap_or(&[]);
        let glances = table.glances.get(from * table.symbols..).unwrap_or(&[]);
        let cash = self.cash.units() as i64;
        let (passed, is_due, equity) = match bands.as_slice() {
            [band] => walk(
                times.iter().zip(glances),
                (&mut bounds, &mut self.totals),
                |glance| (band.calls(glance.score), cash + band.value(glance.close)),
            ),
            bands => walk(
                times.iter().zip(glances.chunks_exact(bands.len().max(1))),
                (&mut bounds, &mut self.totals),
                |row| {
                    let mut calls = false;
                    let mut equity = cash;
                    for (band, glance) in bands.iter().zip(row) {
                        calls |= band.calls(glance.score);
                        equity += band.value(glance.close);
                    }
                    (calls, equity)
                },
            ),
        };
        if let Some(equity) = equity {
            self.equity = Cash::from_units(i128::from(equity));
            let peak = Cash::from_units(i128::from(bounds.peak));
            self.watch.peak = self.watch.peak.max(peak);
            self.watch.unseen = Some(self.watch.peak);
        }
        Walked {
            step: from + passed,
            is_due: is_due && passed < times.len(),
        }
    }
}

/// Walks over rows until one calls; gives how many were passed, whether a whole step is due, and
/// the last equity.
fn walk<'a, R>(
    rows: impl Iterator<Item = (&'a Timestamp, R)>,
    (bounds, totals): (&mut Bounds, &mut Totals),
    look: impl Fn(R) -> (bool, i64),
) -> (usize, bool, Option<i64>) {
    let (mut passed, mut last) = (0, None);
    for (at, row) in rows {
        if *at >= bounds.until {
            return (passed, false, last);
        }
        let (calls, equity) = look(row);
        let worth = equity as f64;
        if calls || worth <= bounds.alarm {
            return (passed, true, last);
        }
        totals.take(worth);
        if equity > bounds.peak {
            bounds.peak = equity;
            bounds.alarm = bounds.alarm.max(worth * bounds.keeps + 2.0);
        }
        last = Some(equity);
        passed += 1;
    }
    (passed, true, last)
}
