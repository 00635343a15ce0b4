//! The rows that LightGBM chooses the bounds of its bins by, column by column.
//!
//! They are at most as many as the parameter `bin_construct_sample_cnt` says (200,000), whatever
//! the number of rows. LightGBM takes the same rows itself where it is given a matrix, but beside
//! each value it notes the position, and grows 2 lists a column in steps. Here the room is counted
//! first, and columns without a zero share one list of positions, so that a fit takes a third less
//! memory. It never decides which rows those are.

use std::ffi::{c_double, c_int};

use fusebox_plugin_api::prelude::*;

/// LightGBM's `kZeroThreshold`: what is not further from zero is a zero and not listed.
const ZERO: f32 = 1e-35;

/// Values that are not zero, and their positions, column after column.
#[derive(Debug)]
pub(crate) struct BinSample {
    rows: c_int,
    values: Vec<c_double>,
    /// Every position, and after them those of each column that has a zero.
    positions: Vec<c_int>,
    columns: Vec<Column>,
    counts: Vec<c_int>,
}

/// Where the parts of one column begin.
#[derive(Debug, Clone, Copy)]
struct Column {
    values: usize,
    positions: usize,
}

impl BinSample {
    /// Takes the rows with the numbers `chosen`, which rise, out of row-major `runs`.
    ///
    /// # Errors
    /// `E_MEMORY` where there is no room for them, and `E_ARG` where a row is not there.
    pub(super) fn take(runs: &[&[f32]], columns: usize, chosen: &[c_int]) -> Result<Self> {
        let rows = c_int::try_from(chosen.len())
            .map_err(|_| PluginError::argument("at most 2^31 - 1 rows in a sample"))?;
        let mut found = vec![0_usize; columns];
        let mut seen = 0;
        for row in chosen_rows(runs, columns, chosen) {
            seen += 1;
            for (count, value) in found.iter_mut().zip(row) {
                *count += usize::from(is_listed(*value));
            }
        }
        if seen != chosen.len() {
            let message = format!("{} of {} rows are not there", chosen.len() - seen, seen);
            return Err(PluginError::argument(message));
        }
        let mut sample = Self::with_room(rows, &found)?;
        sample.fill(chosen_rows(runs, columns, chosen));
        Ok(sample)
    }

    /// Room for as many values of each column as were counted.
    fn with_room(rows: c_int, found: &[usize]) -> Result<Self> {
        let all = rows as usize;
        let (mut values, mut positions) = (0, all);
        let mut columns = Vec::with_capacity(found.len());
        for count in found {
            let full = *count == all;
            columns.push(Column {
                values,
                positions: if full { 0 } else { positions },
            });
            values += count;
            positions += if full { 0 } else { *count };
        }
        let mut sample = Self {
            rows,
            values: zeros(values)?,
            positions: zeros(positions)?,
            columns,
            counts: found.iter().map(|count| *count as c_int).collect(),
        };
        for (place, position) in sample.positions.iter_mut().zip(0..rows) {
            *place = position;
        }
        Ok(sample)
    }

    fn fill<'a>(&mut self, rows: impl Iterator<Item = &'a [f32]>) {
        let mut next = self.columns.clone();
        for (position, row) in (0..self.rows).zip(rows) {
            for (column, value) in next.iter_mut().zip(row) {
                if is_listed(*value) {
                    self.values[column.values] = f64::from(*value);
                    self.positions[column.positions] = position;
                    column.values += 1;
                    column.positions += 1;
                }
            }
        }
    }

    /// Rows of the sample.
    pub(super) fn rows(&self) -> c_int {
        self.rows
    }

    /// Values of each column.
    pub(super) fn counts(&self) -> &[c_int] {
        &self.counts
    }

    /// First value of each column; LightGBM sorts them where they lie.
    pub(super) fn values(&mut self) -> Vec<*mut c_double> {
        let (columns, values) = (&self.columns, &mut self.values);
        let first = |column: &Column| values[column.values..].as_mut_ptr();
        columns.iter().map(first).collect()
    }

    /// First position of each column; LightGBM reads them.
    pub(super) fn positions(&mut self) -> Vec<*mut c_int> {
        let (columns, positions) = (&self.columns, &mut self.positions);
        let first = |column: &Column| positions[column.positions..].as_mut_ptr();
        columns.iter().map(first).collect()
    }
}

fn is_listed(value: f32) -> bool {
    value.is_nan() || value.abs() > ZERO
}

/// The chosen rows that are there, in order.
fn chosen_rows<'a>(
    runs: &'a [&'a [f32]],
    columns: usize,
    chosen: &'a [c_int],
) -> impl Iterator<Item = &'a [f32]> {
    let mut runs = runs.iter();
    let (mut run, mut first_row): (&[f32], usize) = (&[], 0);
    chosen.iter().map_while(move |number| {
        let number = usize::try_from(*number).ok()?;
        while number.checked_sub(first_row)? >= run.len() / columns {
            first_row += run.len() / columns;
            run = runs.next()?;
        }
        let start = (number - first_row) * columns;
        run.get(start..start + columns)
    })
}

fn zeros<T: Clone + Default>(length: usize) -> Result<Vec<T>> {
    let mut room = Vec::new();
    room.try_reserve_exact(length).map_err(|_| {
        let bytes = length.saturating_mul(size_of::<T>());
        let message = format!(
            "the fit ran out of memory: the {bytes} bytes of the sample by which LightGBM chooses \
             its bins cannot be had; take fewer rows or columns"
        );
        PluginError::new(Status::Memory, message)
    })?;
    room.resize(length, T::default());
    Ok(room)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_without_a_zero_share_their_positions() {
        let first = [1.0, 0.0, 2.0, f32::NAN];
        let second = [3.0, -0.0, 4.0, 5.0, 6.0, 1e-36];
        let mut sample = BinSample::take(&[&first, &[], &second], 2, &[0, 1, 3, 4]).unwrap();
        assert_eq!((sample.rows(), sample.counts()), (4, &[4, 2][..]));
        assert_eq!(sample.values[..4], [1.0, 2.0, 4.0, 6.0]);
        assert!(sample.values[4].is_nan());
        assert_eq!(sample.values[5..], [5.0]);
        assert_eq!(sample.positions, [0, 1, 2, 3, 1, 2]);
        let positions = sample.positions();
        assert_eq!(positions[0], sample.positions.as_mut_ptr());
        assert_eq!(positions[1], sample.positions[4..].as_mut_ptr());
        let values = sample.values();
        assert_eq!(values[1], sample.values[4..].as_mut_ptr());
    }

    #[test]
    fn a_column_of_zeros_has_a_place_and_nothing_in_it() {
        let mut sample = BinSample::take(&[&[0.0, 1.0, 0.0, 2.0]], 2, &[0, 1]).unwrap();
        assert_eq!(sample.counts(), [0, 2]);
        assert_eq!((sample.values().len(), sample.positions().len()), (2, 2));
    }

    #[test]
    fn rows_that_are_not_there_are_an_error() {
        for chosen in [&[0, 2][..], &[-1]] {
            let error = BinSample::take(&[&[1.0, 2.0]], 1, chosen).unwrap_err();
            assert_eq!(error.status(), Status::Argument, "{error}");
        }
    }

    #[test]
    fn room_that_cannot_be_had_is_an_error() {
        let error = zeros::<f64>(usize::MAX / 16).unwrap_err();
        assert_eq!(error.status(), Status::Memory);
    }
}
