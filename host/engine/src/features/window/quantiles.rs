//! A few places in the order of a window, without the order of the rest.
//!
//! A value that comes and one that leaves on the same side of a place change nothing there; only
//! where one crosses is its neighbour looked up among all values. Places near an end are crossed
//! rarely. The lookup reads the whole window, so a long one is kept in order instead.

use super::{Ring, SortedWindow};
use crate::features::state::{State, StateError, StateReader, StateWriter};

/// Longest window whose values are looked up rather than kept in order.
const LOOKED_UP: usize = 256;

/// `N` quantiles of the last `period` values, interpolated between neighbours as NumPy's default
/// does. Every step is exact, so the values alone determine the result.
#[derive(Debug, Clone)]
pub(in crate::features) enum RollingQuantiles<const N: usize> {
    LookedUp {
        window: Ring,
        pairs: [Pair; N],
    },
    Sorted {
        window: SortedWindow,
        shares: [f64; N],
    },
}

impl<const N: usize> RollingQuantiles<N> {
    /// The quantiles below which `shares` of the values lie.
    pub(in crate::features) fn new(period: usize, shares: [f64; N]) -> Self {
        if period <= LOOKED_UP {
            Self::LookedUp {
                window: Ring::new(period),
                pairs: shares.map(|share| Pair::new(share, period)),
            }
        } else {
            Self::Sorted {
                window: SortedWindow::new(period),
                shares,
            }
        }
    }

    /// Adds a value; the quantiles once `period` values have been seen. What is no number counts
    /// as the largest one.
    pub(in crate::features) fn push(&mut self, value: f64) -> Option<[f64; N]> {
        match self {
            Self::Sorted { window, shares } => window
                .push(value)
                .then(|| shares.map(|share| window.quantile(share))),
            Self::LookedUp { window, pairs } => {
                // The sum makes one zero of both.
                let value = if value.is_nan() { f64::INFINITY } else { value } + 0.0;
                match window.push(value) {
                    Some(old) => {
                        for pair in pairs.iter_mut() {
                            pair.replace(old, value, &window.values);
                        }
                    }
                    None if window.is_full() => order(pairs, window),
                    None => return None,
                }
                Some(pairs.each_ref().map(Pair::quantile))
            }
        }
    }
}

fn order(pairs: &mut [Pair], window: &Ring) {
    let mut sorted: Vec<f64> = window.iter().collect();
    sorted.sort_by(f64::total_cmp);
    pairs.iter_mut().for_each(|pair| pair.read(&sorted));
}

/// Two neighbours in the order of a window.
#[derive(Debug, Clone, Copy)]
pub(in crate::features) struct Pair {
    /// Values up to and including the lower one.
    up_to: f64,
    /// Values above those; none where the lower one is the largest of all.
    above: f64,
    /// The part of the way from the lower to the upper one.
    fraction: f64,
    lower: f64,
    upper: f64,
}

impl Pair {
    fn new(share: f64, period: usize) -> Self {
        let place = share * (period as f64 - 1.0);
        let index = place as usize;
        Self {
            up_to: index as f64 + 1.0,
            above: (period - 1).saturating_sub(index) as f64,
            fraction: place - index as f64,
            lower: 0.0,
            upper: 0.0,
        }
    }

    fn read(&mut self, sorted: &[f64]) {
        let index = self.up_to as usize - 1;
        self.lower = sorted.get(index).copied().unwrap_or(f64::NAN);
        self.upper = sorted.get(index + 1).copied().unwrap_or(f64::INFINITY);
    }

    fn quantile(&self) -> f64 {
        if self.above < 1.0 {
            self.lower
        } else {
            self.lower + (self.upper - self.lower) * self.fraction
        }
    }

    /// `old` has left and `new` has come; `values` are those that are there now, in any order.
    fn replace(&mut self, old: f64, new: f64, values: &[f64]) {
        let (lower, upper) = (self.lower, self.upper);
        if old <= lower {
            if new <= lower {
                if old >= lower && new < lower {
                    self.lower = largest_below(lower, self.up_to, values);
                }
            } else if new <= upper {
                self.lower = new;
            } else {
                self.lower = upper;
                self.upper = smallest_above(upper, self.above, values);
            }
        } else if new >= upper {
            if old <= upper && new > upper {
                self.upper = smallest_above(upper, self.above, values);
            }
        } else if new >= lower {
            self.upper = new;
        } else {
            self.upper = lower;
            self.lower = largest_below(lower, self.up_to, values);
        }
    }
}

/// The largest of the `count` smallest values, none of which is above `bound`.
fn largest_below(bound: f64, count: f64, values: &[f64]) -> f64 {
    let negated = nearest_above(-bound, count, values, |value| -value);
    -negated
}

/// The smallest of the `count` largest values, none of which is below `bound`.
fn smallest_above(bound: f64, count: f64, values: &[f64]) -> f64 {
    nearest_above(bound, count, values, |value| value)
}

/// The smallest value above `bound`, or `bound` where fewer than `count` are above it: in four
/// lanes without branches, which a processor does side by side.
#[inline(always)]
fn nearest_above(bound: f64, count: f64, values: &[f64], read: impl Fn(f64) -> f64) -> f64 {
    let (mut nearest, mut above) = ([f64::INFINITY; 4], [0.0; 4]);
    let (fours, rest) = values.as_chunks::<4>();
    let mut look = |lane: usize, value: f64| {
        let is_above = value > bound;
        above[lane] += if is_above { 1.0 } else { 0.0 };
        let candidate = if is_above { value } else { f64::INFINITY };
        nearest[lane] = if candidate < nearest[lane] {
            candidate
        } else {
            nearest[lane]
        };
    };
    for four in fours {
        for (lane, value) in four.iter().enumerate() {
            look(lane, read(*value));
        }
    }
    for value in rest {
        look(0, read(*value));
    }
    if above.iter().sum::<f64>() >= count {
        nearest.into_iter().fold(f64::INFINITY, f64::min)
    } else {
        bound
    }
}

/// Mean of the `count` smallest of the last `period` values.
#[derive(Debug, Clone)]
pub(in crate::features) struct LowerTail {
    window: Ring,
    count: usize,
    /// The smallest values, ascending; empty before the window is full.
    tail: Vec<f64>,
}

impl LowerTail {
    pub(in crate::features) fn new(period: usize, count: usize) -> Self {
        let count = count.clamp(1, period);
        Self {
            window: Ring::new(period),
            count,
            tail: Vec::with_capacity(count + 1),
        }
    }

    /// Adds a value; the mean once `period` values have been seen. What is no number counts as the
    /// largest one.
    pub(in crate::features) fn push(&mut self, value: f64) -> Option<f64> {
        let value = if value.is_nan() { f64::INFINITY } else { value } + 0.0;
        match self.window.push(value) {
            Some(old) => self.replace(old, value),
            None if self.window.is_full() => self.order(),
            None => return None,
        }
        Some(self.tail.iter().sum::<f64>() / self.count as f64)
    }

    fn order(&mut self) {
        self.tail.clear();
        self.tail.extend(self.window.iter());
        self.tail.sort_by(f64::total_cmp);
        self.tail.truncate(self.count);
    }

    fn replace(&mut self, old: f64, new: f64) {
        let last = self.tail.last().copied().unwrap_or(f64::INFINITY);
        let place_of = |tail: &[f64], value: f64| tail.partition_point(|one| *one < value);
        let is_in_tail = old <= last;
        if is_in_tail {
            self.tail.remove(place_of(&self.tail, old));
        }
        if new < last {
            self.tail.insert(place_of(&self.tail, new), new);
            self.tail.truncate(self.count);
        } else if is_in_tail {
            let beyond = (self.window.capacity - self.count) as f64 + 1.0;
            let next = smallest_above(last, beyond, &self.window.values);
            self.tail.push(next);
        }
    }
}

impl<const N: usize> State for RollingQuantiles<N> {
    fn save(&self, to: &mut StateWriter) {
        match self {
            Self::LookedUp { window, .. } => window.save(to),
            Self::Sorted { window, .. } => window.save(to),
        }
    }

    fn load(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        match self {
            Self::Sorted { window, .. } => window.load(from),
            Self::LookedUp { window, pairs } => {
                window.load(from)?;
                require_numbers(window)?;
                if window.is_full() {
                    order(pairs, window);
                }
                Ok(())
            }
        }
    }
}

impl State for LowerTail {
    fn save(&self, to: &mut StateWriter) {
        self.window.save(to);
    }

    fn load(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        self.window.load(from)?;
        require_numbers(&self.window)?;
        if self.window.is_full() {
            self.order();
        }
        Ok(())
    }
}

fn require_numbers(window: &Ring) -> Result<(), StateError> {
    if window.iter().any(f64::is_nan) {
        return Err(StateError::Damaged("a window without an order"));
    }
    Ok(())
}
