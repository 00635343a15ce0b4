//! Runs of rows in the layout that LightGBM's C API reads: addresses, lengths and layouts side by
//! side. Everything is checked when a value is made, so that the call needs no check.

use std::ffi::{c_int, c_void};

use fusebox_plugin_api::prelude::*;

/// LightGBM's code for row-major data.
pub(super) const ROW_MAJOR: c_int = 1;

/// Borrowed runs of whole row-major f32 rows.
#[derive(Debug)]
pub(crate) struct Runs<'a> {
    slices: Vec<&'a [f32]>,
    pointers: Vec<*const c_void>,
    lengths: Vec<i32>,
    layouts: Vec<c_int>,
    count: i32,
    columns: i32,
    rows: usize,
    row_count: i32,
}

impl<'a> Runs<'a> {
    /// Checks that every run consists of whole rows and that LightGBM can count them.
    pub(crate) fn new(runs: &[&'a [f32]], columns: usize) -> Result<Self> {
        let too_large = |_| PluginError::data("LightGBM takes at most 2^31 - 1 rows");
        let mut checked = Self {
            slices: runs.to_vec(),
            pointers: Vec::with_capacity(runs.len()),
            lengths: Vec::with_capacity(runs.len()),
            layouts: vec![ROW_MAJOR; runs.len()],
            count: i32::try_from(runs.len()).map_err(too_large)?,
            columns: i32::try_from(columns).map_err(too_large)?,
            rows: 0,
            row_count: 0,
        };
        for run in runs {
            if columns == 0 || !run.len().is_multiple_of(columns) {
                let values = run.len();
                return Err(PluginError::argument(format!(
                    "{values} values are not whole rows of {columns} columns"
                )));
            }
            let rows = run.len() / columns;
            checked.pointers.push(run.as_ptr().cast());
            checked
                .lengths
                .push(i32::try_from(rows).map_err(too_large)?);
            checked.rows += rows;
        }
        checked.row_count = i32::try_from(checked.rows).map_err(too_large)?;
        Ok(checked)
    }

    /// The rows themselves.
    pub(super) fn slices(&self) -> &[&'a [f32]] {
        &self.slices
    }

    /// Number of runs.
    pub(super) fn count(&self) -> i32 {
        self.count
    }

    /// First value of each run.
    pub(super) fn pointers(&self) -> &[*const c_void] {
        &self.pointers
    }

    /// Rows of each run.
    pub(super) fn lengths(&self) -> &[i32] {
        &self.lengths
    }

    /// Layout of each run.
    pub(super) fn layouts(&self) -> &[c_int] {
        &self.layouts
    }

    /// Columns of every row.
    pub(super) fn columns(&self) -> i32 {
        self.columns
    }

    /// Rows of all runs, as LightGBM counts them.
    pub(super) fn row_count(&self) -> i32 {
        self.row_count
    }

    /// Rows of all runs.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_point_at_the_rows_themselves_and_count_them() {
        let matrix = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let runs = Runs::new(&[&matrix[..4], &matrix[4..]], 2).unwrap();
        assert_eq!(runs.pointers()[1], matrix[4..].as_ptr().cast());
        assert_eq!(
            (runs.lengths(), runs.rows(), runs.count()),
            (&[2, 1][..], 3, 2)
        );
    }

    #[test]
    fn half_rows_and_no_columns_are_refused() {
        assert!(Runs::new(&[&[1.0, 2.0, 3.0]], 2).is_err());
        assert!(Runs::new(&[&[]], 0).is_err());
    }
}
