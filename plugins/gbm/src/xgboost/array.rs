//! Rows in the form XGBoost takes them in: small batches of compressed rows whose values are the
//! host's own memory.
//!
//! Runs of rows lie apart in the host's matrix, and the library's array interface describes only
//! one block of memory. Its iterator of batches has no such limit: each batch points into a run,
//! beside row ends and column numbers, which repeat and are therefore made once for the largest
//! batch. The library drops missing values itself and keeps what it needs, as it does for the
//! Python package's `DMatrix`, so that both hold the same.

use fusebox_plugin_api::prelude::*;

/// Rows of a batch; bounds what is made for it.
const BATCH_ROWS: usize = 1_024;

/// Batches of one set of runs.
#[derive(Debug)]
pub(super) struct Batches<'a> {
    /// Row-major values of each batch, whole rows.
    values: Vec<&'a [f32]>,
    columns: usize,
    ends: Vec<i64>,
    indices: Vec<i32>,
    next: usize,
}

/// One batch: values, where each row begins and ends among them, and their columns.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Batch<'a> {
    /// Row-major values.
    pub(super) values: &'a [f32],
    /// One number more than rows.
    pub(super) ends: &'a [i64],
    /// One number per value.
    pub(super) indices: &'a [i32],
}

impl<'a> Batches<'a> {
    /// Checks that every run consists of whole rows.
    pub(super) fn new(runs: &[&'a [f32]], columns: usize) -> Result<Self> {
        let width = i32::try_from(columns)
            .map_err(|_| PluginError::data("XGBoost takes at most 2^31 - 1 columns"))?;
        let uneven = |run: &&&[f32]| columns == 0 || !run.len().is_multiple_of(columns);
        if let Some(run) = runs.iter().find(uneven) {
            let values = run.len();
            return Err(PluginError::argument(format!(
                "{values} values are not whole rows of {columns} columns"
            )));
        }
        let values: Vec<&[f32]> = runs
            .iter()
            .flat_map(|run| run.chunks(BATCH_ROWS * columns))
            .collect();
        let longest = values.iter().map(|values| values.len()).max().unwrap_or(0);
        Ok(Self {
            ends: (0..=longest / columns.max(1))
                .map(|row| (row * columns) as i64)
                .collect(),
            indices: (0..width).cycle().take(longest).collect(),
            values,
            columns,
            next: 0,
        })
    }

    /// Columns of every row.
    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    /// Rows of all batches.
    pub(super) fn rows(&self) -> usize {
        self.values
            .iter()
            .map(|values| values.len() / self.columns)
            .sum()
    }

    /// The batch after the last one.
    pub(super) fn next(&mut self) -> Option<Batch<'_>> {
        let values = self.values.get(self.next)?;
        self.next += 1;
        Some(Batch {
            values,
            ends: &self.ends[..=values.len() / self.columns],
            indices: &self.indices[..values.len()],
        })
    }
}

/// The description of a packed row-major matrix (`numpy`'s `__array_interface__`, version 3).
pub(super) fn interface(values: &[f32], columns: usize) -> String {
    let rows = values.len() / columns.max(1);
    let address = values.as_ptr().addr();
    format!(
        "{{\"data\":[{address},true],\"shape\":[{rows},{columns}],\"strides\":null,\
         \"typestr\":\"<f4\",\"version\":3}}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_point_at_the_rows_themselves() {
        let matrix: Vec<f32> = (0..6_000).map(|value| value as f32).collect();
        let mut batches = Batches::new(&[&matrix[..4_500], &matrix[5_000..5_004]], 2).unwrap();
        assert_eq!((batches.rows(), batches.columns()), (2_252, 2));
        let mut sizes = Vec::new();
        while let Some(batch) = batches.next() {
            assert_eq!(batch.ends.last(), Some(&(batch.values.len() as i64)));
            assert_eq!(batch.indices.len(), batch.values.len());
            assert!(matrix.as_ptr_range().contains(&batch.values.as_ptr()));
            sizes.push(batch.values.len() / 2);
        }
        assert_eq!(sizes, [1_024, 1_024, 202, 2]);
        assert!(batches.ends.len() <= BATCH_ROWS + 1);
    }

    #[test]
    fn half_rows_and_no_columns_are_refused() {
        assert!(Batches::new(&[&[1.0, 2.0, 3.0]], 2).is_err());
        assert!(Batches::new(&[&[]], 0).is_err());
    }
}
