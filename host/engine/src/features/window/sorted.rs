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

    /// How many of the other values are smaller than the newest one, and how many equal it.
    pub(super) fn newest_counts(&self) -> (u64, u64) {
        let mut equal = self.sorted[self.newest..].windows(2);
        let others_equal = equal.position(|pair| pair[0] < pair[1]);
        let others_equal = others_equal.unwrap_or(self.sorted.len() - 1 - self.newest);
        (self.newest as u64, others_equal as u64)
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
        match self.sorted.get(index + 1) {
            Some(above) => below + (above - below) * (place - index as f64),
            None => below,
        }
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
const COUNTED_WINDOW: usize = 192;

/// The place of the newest value among the last `period` values. A short window is counted, which
/// costs less than keeping it in order.
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

    /// Adds a value; the share of the others that lie below it, equal ones counting half, once
    /// `period` values, at least two, have been seen.
    pub(in crate::features) fn push(&mut self, value: f64) -> Option<f64> {
        let (below, equal) = match self {
            Self::Counted(window) => {
                window.push(value);
                let below = count(window, |one| one < value)?;
                // The newest value equals itself.
                let up_to = count(window, |one| one <= value)?.saturating_sub(1);
                (below, up_to.saturating_sub(below))
            }
            Self::Sorted(window) => window.push(value).then(|| window.newest_counts())?,
        };
        Some((below as f64 + 0.5 * equal as f64) / self.others())
    }

    /// Adds a value; the share of the others that lie below it once `period` values, at least two,
    /// have been seen.
    pub(in crate::features) fn push_strict(&mut self, value: f64) -> Option<f64> {
        let below = match self {
            Self::Counted(window) => {
                window.push(value);
                count(window, |one| one < value)?
            }
            Self::Sorted(window) => window.push(value).then_some(window.newest as u64)?,
        };
        Some(below as f64 / self.others())
    }

    fn others(&self) -> f64 {
        let values = match self {
            Self::Counted(window) => window.values.len(),
            Self::Sorted(window) => window.sorted.len(),
        };
        values as f64 - 1.0
    }
}

/// How many values of a full window are `counted`, in whatever order.
#[inline]
fn count(window: &Ring, counted: impl Fn(f64) -> bool) -> Option<u64> {
    let values = window.values.iter();
    let counted = || values.map(|one| u64::from(counted(*one))).sum();
    window.is_full().then(counted)
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
