//! A window kept in order of size.

use super::Ring;
use crate::features::state::{State, StateError, StateReader, StateWriter};

/// The last `period` values in order of size: binary search to find, one move of the part between
/// the leaving and the coming value.
#[derive(Debug, Clone)]
pub(in crate::features) struct SortedWindow {
    window: Ring,
    sorted: Vec<f64>,
}

impl SortedWindow {
    pub(in crate::features) fn new(period: usize) -> Self {
        Self {
            window: Ring::new(period),
            sorted: Vec::with_capacity(period),
        }
    }

    /// Adds a value; whether `period` values have been seen.
    pub(in crate::features) fn push(&mut self, value: f64) -> bool {
        // Makes the two zeros equal, also in the total order that keeps a NaN in its place.
        let value = value + 0.0;
        let to = self.below(value);
        match self.window.push(value) {
            None => self.sorted.insert(to, value),
            Some(removed) => {
                let from = self.below(removed);
                if from < to {
                    self.sorted.copy_within(from + 1..to, from);
                    self.sorted[to - 1] = value;
                } else {
                    self.sorted.copy_within(to..from, to + 1);
                    self.sorted[to] = value;
                }
            }
        }
        self.window.is_full()
    }

    /// How many values there are.
    pub(in crate::features) fn len(&self) -> usize {
        self.sorted.len()
    }

    fn below(&self, value: f64) -> usize {
        self.sorted
            .partition_point(|one| one.total_cmp(&value).is_lt())
    }

    /// Share of the other values that lie below `value`, which is one of the window; equal ones
    /// count half. At least two values must have been seen.
    pub(in crate::features) fn rank(&self, value: f64) -> f64 {
        let value = value + 0.0;
        let below = self.below(value);
        let equal = self.sorted[below..]
            .iter()
            .take_while(|one| one.total_cmp(&value).is_eq())
            .count();
        let others = self.sorted.len() as f64 - 1.0;
        (below as f64 + 0.5 * (equal as f64 - 1.0)) / others
    }

    /// Share of the other values that lie below `value`, which is one of the window. At least two
    /// values must have been seen.
    pub(in crate::features) fn share_below(&self, value: f64) -> f64 {
        self.below(value + 0.0) as f64 / (self.sorted.len() as f64 - 1.0)
    }

    /// The value below which `share` of the values lie, interpolated between neighbours as NumPy's
    /// default does.
    pub(in crate::features) fn quantile(&self, share: f64) -> f64 {
        let place = share * (self.sorted.len() as f64 - 1.0);
        let at = |index: f64| self.sorted.get(index as usize).copied();
        let below = at(place.floor()).unwrap_or(f64::NAN);
        let above = at(place.ceil()).unwrap_or(below);
        below + (above - below) * place.fract()
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
        self.sorted.sort_by(f64::total_cmp);
        Ok(())
    }
}
