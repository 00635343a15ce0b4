//! A block for a model's answers that tells whether the model wrote outside its cells.
//!
//! Before the first row, between the rows and after the last lie canaries: values that nobody
//! writes. They survive every call that keeps its promises, so they are laid out once per shape and
//! only compared after a call. In-process this finds a stray write after the fact and only where it
//! hits a canary; a model that must not be trusted with memory belongs into a worker.

use fusebox_plugin_api::error::Result;
use fusebox_plugin_api::frame::Frame;

/// Canaries before the first row and after the last: a cache line each.
const EDGE: usize = 16;

/// Canaries between two rows.
const GAP: usize = 2;

/// A finite number that no arithmetic arrives at by accident.
const CANARY_BITS: u32 = 0xC7A5_5A7C;

/// Where a model wrote outside its cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stray {
    /// The nearest row before the place, or the first.
    pub(super) row: usize,
    /// Cells from the first one of that row; negative lies before it.
    pub(super) offset: isize,
    /// How many canaries are gone.
    pub(super) cells: usize,
}

/// The block.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    cells: Vec<f32>,
    /// Rows and columns that the canaries stand for; `None` where they must be laid out.
    shape: Option<(usize, usize)>,
}

impl Scratch {
    /// The frame with its answers going here instead, every cell NaN.
    #[inline]
    pub(super) fn redirect<'a>(&'a mut self, frame: &'a Frame<'_>) -> Result<Frame<'a>> {
        let (rows, columns) = (frame.rows(), frame.output_columns());
        if self.shape != Some((rows, columns)) {
            self.lay_out(rows, columns);
        }
        let stride = columns + GAP;
        let len = (rows * stride).saturating_sub(GAP);
        let block = self.cells.get_mut(EDGE..EDGE + len).unwrap_or_default();
        for row in 0..rows {
            let start = row * stride;
            for cell in &mut block[start..start + columns] {
                *cell = f32::NAN;
            }
        }
        frame.redirected(block, stride)
    }

    fn lay_out(&mut self, rows: usize, columns: usize) {
        let len = (rows * (columns + GAP)).saturating_sub(GAP) + 2 * EDGE;
        self.cells.clear();
        self.cells.resize(len, f32::from_bits(CANARY_BITS));
        self.shape = Some((rows, columns));
    }

    /// The answers of a row.
    pub(super) fn row(&self, row: usize) -> &[f32] {
        let columns = self.shape.map_or(0, |(_, columns)| columns);
        let start = EDGE + row * (columns + GAP);
        self.cells.get(start..start + columns).unwrap_or_default()
    }

    /// Where a canary is gone; the next call then lays them out anew.
    pub(super) fn stray(&mut self) -> Option<Stray> {
        let (rows, columns) = self.shape?;
        let stride = columns + GAP;
        let tail = EDGE + (rows * stride).saturating_sub(GAP);
        // Without a way out in the middle, so that several are compared at once.
        let is_gone = |cells: &[f32]| {
            let wrong = |cell: &f32| cell.to_bits() ^ CANARY_BITS;
            cells.iter().map(wrong).fold(0, |all, one| all | one) != 0
        };
        let edges = is_gone(&self.cells[..EDGE]) || is_gone(&self.cells[tail..]);
        let between = |row: usize| {
            let start = EDGE + row * stride + columns;
            is_gone(&self.cells[start..start + GAP])
        };
        if !edges && !(0..rows.saturating_sub(1)).any(between) {
            return None;
        }
        self.shape = None;
        Some(self.describe(rows, columns))
    }

    #[cold]
    fn describe(&self, rows: usize, columns: usize) -> Stray {
        let stride = columns + GAP;
        let end = (rows * stride).saturating_sub(GAP);
        let is_canary = |position: usize| {
            let inside = position.checked_sub(EDGE).filter(|inside| *inside < end);
            inside.is_none_or(|inside| inside % stride >= columns)
        };
        let gone = |(position, cell): &(usize, &f32)| {
            is_canary(*position) && cell.to_bits() != CANARY_BITS
        };
        let first = self.cells.iter().enumerate().find(gone);
        let first = first.map_or(0, |(position, _)| position);
        let row = (first.saturating_sub(EDGE) / stride).min(rows.saturating_sub(1));
        let start = EDGE + row * stride;
        Stray {
            row,
            offset: first as isize - start as isize,
            cells: self.cells.iter().enumerate().filter(gone).count(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fusebox_plugin_api::frame::FrameShape;

    /// What the block tells after the cell `offset` cells from the first one was written.
    fn written_at(offset: isize) -> Option<Stray> {
        let mut output = [0.0; 6];
        let shape = FrameShape::dense(3, 1, 2);
        let frame = Frame::new(&[0.0; 3], &mut output, shape).unwrap();
        let mut scratch = Scratch::default();
        let len = scratch.redirect(&frame).unwrap().output_mut().len();
        assert_eq!(len, 3 * 2 + 2 * GAP);
        scratch.cells[(EDGE as isize + offset) as usize] = 1.0;
        let stray = scratch.stray();
        // The next call begins with whole canaries, whatever the last one did.
        scratch.redirect(&frame).unwrap();
        assert_eq!(scratch.stray(), None);
        stray
    }

    #[test]
    fn a_write_between_or_around_the_rows_is_placed() {
        let stride = 2 + GAP as isize;
        for row in 0..3 {
            for column in 0..2 {
                assert_eq!(written_at(row * stride + column), None);
            }
            let stray = Stray {
                row: row as usize,
                offset: 3,
                cells: 1,
            };
            assert_eq!(written_at(row * stride + 3), Some(stray));
        }
        let before = Stray {
            row: 0,
            offset: -1,
            cells: 1,
        };
        assert_eq!(written_at(-1), Some(before));
        let edge = EDGE as isize;
        assert_eq!(written_at(-edge).unwrap().offset, -edge);
        assert_eq!(written_at(2 * stride + 1 + edge).unwrap().row, 2);
    }

    #[test]
    fn a_frame_without_rows_or_outputs_has_its_edges_still() {
        for (rows, outputs) in [(0, 2), (2, 0), (0, 0)] {
            let shape = FrameShape::dense(rows, 1, outputs);
            let mut output = [0.0; 4];
            let frame = Frame::new(&[0.0; 3], &mut output, shape).unwrap();
            let mut scratch = Scratch::default();
            scratch.redirect(&frame).unwrap();
            assert_eq!(scratch.stray(), None);
        }
    }
}
