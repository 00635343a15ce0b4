//! Ranks and quantiles of a window.

use super::Ring;
use crate::features::state::{State, StateError, StateReader, StateWriter};

/// Values that are compared one by one rather than halved again.
const COUNTED: usize = 48;

/// The last `period` values in order of size: binary search to find, one move of the part between
/// the leaving and the coming value.
#[derive(Debug, Clone)]
pub(in crate::features) struct SortedWindow {
    window: Ring,
    sorted: Vec<f64>,
    /// Where the newest value stands: how many values are smaller.
    newest: usize,
}

impl SortedWindow {
    pub(in crate::features) fn new(period: usize) -> Self {
        Self {
            window: Ring::new(period),
            sorted: Vec::with_capacity(period),
            newest: 0,
        }
    }

    /// Adds a value; whether `period` values have been seen. Prices and volumes that reach a
    /// feature are numbers; anything else counts as the largest value.
    pub(in crate::features) fn push(&mut self, value: f64) -> bool {
        let value = if value.is_nan() { f64::INFINITY } else { value };
        let to = self.below(value);
        self.newest = to;
        match self.window.push(value) {
            None => self.sorted.insert(to, value),
            Some(removed) => {
                let from = self.below(removed);
                if from < to {
                    self.sorted.copy_within(from + 1..to, from);
                    self.newest = to - 1;
                } else {
                    self.sorted.copy_within(to..from, to + 1);
                }
                self.sorted[self.newest] = value;
            }
        }
        self.window.is_full()
    }

    /// Share of the other values that lie below the newest one; equal ones count half. At least
    /// two values must have been seen.
    pub(in crate::features) fn rank(&self) -> f64 {
        let mut equal = self.sorted[self.newest..].windows(2);
        let others_equal = equal.position(|pair| pair[0] < pair[1]);
        let others_equal = others_equal.unwrap_or(self.sorted.len() - 1 - self.newest);
        (self.newest as f64 + 0.5 * others_equal as f64) / (self.sorted.len() as f64 - 1.0)
    }

    /// Share of the other values that lie below the newest one. At least two values must have been
    /// seen.
    pub(in crate::features) fn share_below(&self) -> f64 {
        self.newest as f64 / (self.sorted.len() as f64 - 1.0)
    }

    /// How many values there are.
    pub(in crate::features) fn len(&self) -> usize {
        self.sorted.len()
    }

    /// How many values are smaller: halves without branches, then a count, which a processor does
    /// side by side.
    fn below(&self, value: f64) -> usize {
        let (mut below, mut left) = (0, self.sorted.as_slice());
        while left.len() > COUNTED {
            let (smaller, larger) = left.split_at(left.len() / 2);
            let is_above = smaller.last().is_some_and(|last| *last < value);
            below += if is_above { smaller.len() } else { 0 };
            left = std::hint::select_unpredictable(is_above, larger, smaller);
        }
        let counted = left.iter().map(|one| u64::from(*one < value));
        below + counted.sum::<u64>() as usize
    }

    /// The value below which `share` of the values lie, interpolated between neighbours as NumPy's
    /// default does.
    pub(in crate::features) fn quantile(&self, share: f64) -> f64 {
        let place = share * (self.sorted.len() as f64 - 1.0);
        let index = place as usize;
        let below = self.sorted.get(index).copied().unwrap_or(f64::NAN);
        let above = self.sorted.get(index + 1).copied().unwrap_or(below);
        below + (above - below) * (place - index as f64)
    }

    /// Mean of the `count` smallest values.
    pub(in crate::features) fn mean_of_smallest(&self, count: usize) -> f64 {
        self.sorted.iter().take(count).sum::<f64>() / count as f64
    }
}

impl State for SortedWindow {
    fn save(&self, to: &mut StateWriter) {
        self.window.save(to);
    }

    fn load(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        self.window.load(from)?;
        self.sorted = self.window.iter().collect();
        if self.sorted.iter().any(|one| one.is_nan()) {
            return Err(StateError::Damaged("a window without an order"));
        }
        self.sorted.sort_by(f64::total_cmp);
        Ok(())
    }
}

/// Longest window whose rank is counted rather than kept in order.
const COUNTED_WINDOW: usize = 64;

/// The share of the other values of a window that lie below the newest one; equal ones count half.
/// A short window is counted, which costs less than keeping it in order.
#[derive(Debug, Clone)]
pub(in crate::features) enum RollingRank {
    Counted(Ring),
    Sorted(SortedWindow),
}

impl RollingRank {
    pub(in crate::features) fn new(period: usize) -> Self {
        if period <= COUNTED_WINDOW {
            Self::Counted(Ring::new(period))
        } else {
            Self::Sorted(SortedWindow::new(period))
        }
    }

    /// Adds a value; its rank once `period` values, at least two, have been seen.
    pub(in crate::features) fn push(&mut self, value: f64) -> Option<f64> {
        match self {
            Self::Counted(window) => {
                window.push(value);
                window.is_full().then(|| counted_rank(window, value))
            }
            Self::Sorted(window) => window.push(value).then(|| window.rank()),
        }
    }
}

/// Twice the number of smaller values and the number of equal ones, over twice the others.
fn counted_rank(window: &Ring, value: f64) -> f64 {
    let (mut below, mut up_to) = (0, 0);
    for run in window.runs() {
        below += run.iter().map(|one| u64::from(*one < value)).sum::<u64>();
        up_to += run.iter().map(|one| u64::from(*one <= value)).sum::<u64>();
    }
    // One of the equal values is the newest one itself.
    let equal = up_to.saturating_sub(below).saturating_sub(1);
    (below as f64 + 0.5 * equal as f64) / (window.capacity as f64 - 1.0)
}

impl State for RollingRank {
    fn save(&self, to: &mut StateWriter) {
        match self {
            Self::Counted(window) => window.save(to),
            Self::Sorted(window) => window.save(to),
        }
    }

    fn load(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        match self {
            Self::Counted(window) => window.load(from),
            Self::Sorted(window) => window.load(from),
        }
    }
}
