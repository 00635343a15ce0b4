//! A block of finished rows on the way from the operators to a matrix.
//!
//! Operators fill whole columns, a matrix wants whole rows in `f32`; the turn happens here.

use crate::types::Timestamp;

/// Rows that are made at once over a history, and the most that a block holds: the bars and the
/// outputs of one lane stay in the nearest cache.
pub(super) const CHUNK_ROWS: usize = 128;

/// Rows that are turned at once.
const TILE_ROWS: usize = 16;

/// Some rows of one symbol.
#[derive(Debug, Clone)]
pub(super) struct Block {
    capacity: usize,
    /// Column-major, `capacity` to a column.
    values: Vec<f64>,
    rows: Vec<BlockRow>,
}

/// What is known of a row besides its values.
#[derive(Debug, Clone, Copy)]
pub(super) struct BlockRow {
    pub(super) closed_at: Timestamp,
    pub(super) segment: u32,
    /// Whether the row's own bar can be used; otherwise no column has a value.
    pub(super) is_usable: bool,
}

impl Block {
    /// Room for `capacity` rows, at most [`CHUNK_ROWS`], of `width` columns.
    pub(super) fn new(width: usize, capacity: usize) -> Self {
        Self {
            capacity,
            values: vec![f64::NAN; width * capacity],
            rows: Vec::with_capacity(capacity),
        }
    }

    pub(super) fn rows(&self) -> &[BlockRow] {
        &self.rows
    }

    pub(super) fn is_full(&self) -> bool {
        self.rows.len() == self.capacity
    }

    pub(super) fn push(&mut self, row: BlockRow) {
        self.rows.push(row);
    }

    pub(super) fn clear(&mut self) {
        self.rows.clear();
    }

    /// The whole column, `capacity` long.
    pub(super) fn column_mut(&mut self, column: usize) -> &mut [f64] {
        let start = column * self.capacity;
        &mut self.values[start..start + self.capacity]
    }

    /// Takes the values out of rows without a usable bar.
    pub(super) fn blank_unusable(&mut self) {
        let unusable = self.rows.iter().enumerate().filter(|row| !row.1.is_usable);
        for (row, _) in unusable {
            for column in self.values.chunks_exact_mut(self.capacity) {
                column[row] = f64::NAN;
            }
        }
    }

    /// Writes the rows as they are, row after row.
    pub(super) fn write_exact(&self, out: &mut Vec<f64>) {
        for row in 0..self.rows.len() {
            let values = self.values.chunks_exact(self.capacity);
            out.extend(values.map(|column| column[row]));
        }
    }

    /// Writes the rows in `f32`, row after row, and whether all values of each are finite.
    pub(super) fn write(&self, out: &mut [f32], is_valid: &mut [bool]) {
        let width = self.values.len() / self.capacity.max(1);
        let rows = self.rows.len();
        if let (1, [is_valid]) = (rows, &mut *is_valid) {
            *is_valid = self.write_first(&mut out[..width]);
            return;
        }
        // A few rows are turned at once: their lines and those of the column lie within the nearest
        // cache, and every line of the column is read once.
        let mut tile = vec![0.0; TILE_ROWS.min(rows) * width];
        let tiles = out[..rows * width].chunks_mut(TILE_ROWS * width);
        let tiles = tiles.zip(is_valid[..rows].chunks_mut(TILE_ROWS));
        for (first, (out, is_valid)) in (0..).step_by(TILE_ROWS).zip(tiles) {
            let end = first + is_valid.len();
            let lines = &mut tile[..out.len()];
            for (column, values) in self.values.chunks_exact(self.capacity).enumerate() {
                for (line, value) in lines.chunks_exact_mut(width).zip(&values[first..end]) {
                    line[column] = *value as f32;
                }
            }
            for (line, is_valid) in lines.chunks_exact(width).zip(is_valid) {
                let missing = line.iter().map(|value| u32::from(!value.is_finite()));
                *is_valid = missing.sum::<u32>() == 0;
            }
            out.copy_from_slice(lines);
        }
    }

    /// Writes the first row in `f32`, and whether all its values are finite.
    fn write_first(&self, out: &mut [f32]) -> bool {
        if self.capacity == 1 {
            for (out, value) in out.iter_mut().zip(&self.values) {
                *out = *value as f32;
            }
        } else {
            for (out, column) in out.iter_mut().zip(self.values.chunks_exact(self.capacity)) {
                *out = column[0] as f32;
            }
        }
        let missing = out.iter().map(|value| u32::from(!value.is_finite()));
        missing.sum::<u32>() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_out_as_they_were_filled_in_for_any_width() {
        for width in [1, 15, 16, 17, 40] {
            let (capacity, rows) = (48, 37);
            let mut block = Block::new(width, capacity);
            for row in 0..rows {
                block.push(BlockRow {
                    closed_at: Timestamp::from_nanos(0),
                    segment: 0,
                    is_usable: row != 3,
                });
            }
            for column in 0..width {
                let values = block.column_mut(column);
                for (row, value) in values.iter_mut().enumerate().take(rows) {
                    *value = (100 * row + column) as f64;
                }
            }
            block.column_mut(width - 1)[1] = 1e300;
            block.blank_unusable();
            let mut out = vec![7.0; rows * width];
            let mut is_valid = vec![true; rows];
            block.write(&mut out, &mut is_valid);
            let invalid: Vec<usize> = (0..rows).filter(|row| !is_valid[*row]).collect();
            assert_eq!(invalid, [1, 3]);
            let mut exact = Vec::new();
            block.write_exact(&mut exact);
            for (position, (narrow, exact)) in out.iter().zip(&exact).enumerate() {
                let (row, column) = (position / width, position % width);
                assert_eq!(narrow.to_bits(), (*exact as f32).to_bits());
                match (row, column) {
                    (3, _) => assert!(narrow.is_nan()),
                    (1, last) if last == width - 1 => assert!(narrow.is_infinite()),
                    _ => assert_eq!(*exact as usize, 100 * row + column),
                }
            }
        }
    }
}
