//! Rows that a finished model has not learned from, the newest of them held out: what a model is
//! updated with, and what the update is judged by.

use super::Samples;
use super::split::{Fold, HeldOut, PartCounts, Period};
use crate::types::Timestamp;

/// Which rows, and how they are cut.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NewerRows {
    /// The last moment whose rows the model has learned from.
    pub since: Timestamp,
    /// Share of the newer rows that is held out, between 0 and 1.
    pub held_out_share: f64,
    /// Bars between the last label that is learned from and the first row that is held out.
    pub embargo_bars: u32,
}

/// Why a model cannot be updated with these rows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NewerError {
    /// Nothing came after.
    #[error(
        "no row is newer than {since}, up to which the model has learned{}; take newer data",
        ends(.end)
    )]
    None {
        /// Where its training ended.
        since: Timestamp,
        /// Where the data ends.
        end: Option<Timestamp>,
    },
    /// Too little came after.
    #[error(
        "after {since}, up to which the model has learned, {learned} rows could be learned from \
         and {held_out} with a known label be held out; take newer data, or hold out another share"
    )]
    TooFew {
        /// Where its training ended.
        since: Timestamp,
        /// Samples that are left to learn from.
        learned: usize,
        /// Samples that are left to judge by.
        held_out: usize,
    },
}

fn ends(end: &Option<Timestamp>) -> String {
    end.map_or_else(String::new, |end| format!(", the data ends at {end}"))
}

impl Samples {
    /// One fold of the rows after `wanted.since`: the older ones are learned from, the newest share
    /// is tested. Labels that are learned from end before the first tested row, by the embargo.
    ///
    /// # Errors
    /// [`NewerError`] where one of the parts would be empty.
    pub fn newer(&self, wanted: NewerRows) -> Result<Fold, NewerError> {
        let since = wanted.since;
        let end = self.period().map(|period| period.to);
        let mut times: Vec<Timestamp> = self.row_times().filter(|at| *at > since).collect();
        times.sort_unstable();
        let (Some(last), Some(end)) = (times.len().checked_sub(1), end) else {
            return Err(NewerError::None { since, end });
        };
        let share = wanted.held_out_share.clamp(0.0, 1.0);
        let position = (times.len() as f64 * (1.0 - share)) as usize;
        let cut = times[position.saturating_sub(1).min(last)];
        let train = Period {
            from: since,
            to: cut,
        };
        let test = Period { from: cut, to: end };
        let embargo = i64::from(wanted.embargo_bars).saturating_mul(self.time_frame().nanos());
        let held_out = HeldOut {
            period: test,
            labels_end: test.to,
            before_nanos: embargo,
            after_nanos: 0,
        };
        let (train_counts, test_counts) =
            (self.count(&[train], &[held_out]), self.count(&[test], &[]));
        if train_counts.samples == 0 || test_counts.samples == 0 {
            return Err(NewerError::TooFew {
                since,
                learned: train_counts.samples,
                held_out: test_counts.samples,
            });
        }
        Ok(Fold {
            index: 0,
            train: vec![train],
            valid: None,
            test: vec![test],
            is_shortened: false,
            train_held_out: vec![held_out],
            valid_held_out: Vec::new(),
            train_counts,
            valid_counts: PartCounts::default(),
            test_counts,
        })
    }
}
