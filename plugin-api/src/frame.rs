//! One prediction request: a view of the host's features and the block the answers go to.
//!
//! The memory on both sides is the host's. A row is a window of steps, oldest first; windows may
//! overlap in memory, so a sequence model reads the host's matrix without a copy. Building and
//! reading a frame never allocates, and everything on the way of a prediction is inline: a frame
//! that is handed through memory costs several times what a small model does.

use crate::error::{PluginError, Result};

/// The layout of a [`Frame`], in elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameShape {
    /// Number of rows to predict.
    pub rows: usize,
    /// Steps of every row, at least 1.
    pub window: usize,
    /// Features of every step.
    pub columns: usize,
    /// Distance from a row to the next; smaller than a window where windows overlap.
    pub row_stride: usize,
    /// Distance from a step to the next, at least `columns`.
    pub step_stride: usize,
    /// Values the model writes per row.
    pub output_columns: usize,
    /// Distance from an output row to the next, at least `output_columns`.
    pub output_stride: usize,
}

impl FrameShape {
    /// `rows` single-step rows of `columns`, tightly packed.
    #[must_use]
    #[inline]
    pub const fn dense(rows: usize, columns: usize, output_columns: usize) -> Self {
        Self {
            rows,
            window: 1,
            columns,
            row_stride: columns,
            step_stride: columns,
            output_columns,
            output_stride: output_columns,
        }
    }

    /// `rows` windows of `window` steps over a tightly packed matrix, each one step later than the
    /// one before it.
    #[must_use]
    #[inline]
    pub const fn sliding(rows: usize, window: usize, columns: usize, outputs: usize) -> Self {
        Self {
            window,
            ..Self::dense(rows, columns, outputs)
        }
    }

    /// Elements from the first input value to one past the last; `None` on overflow.
    #[must_use]
    #[inline]
    pub fn input_len(&self) -> Option<usize> {
        if self.rows == 0 {
            return Some(0);
        }
        let rows = (self.rows - 1).checked_mul(self.row_stride)?;
        let steps = self.window.checked_sub(1)?.checked_mul(self.step_stride)?;
        rows.checked_add(steps)?.checked_add(self.columns)
    }

    /// Elements from the first output value to one past the last; `None` on overflow.
    #[must_use]
    #[inline]
    pub fn output_len(&self) -> Option<usize> {
        if self.rows == 0 {
            return Some(0);
        }
        let rows = (self.rows - 1).checked_mul(self.output_stride)?;
        rows.checked_add(self.output_columns)
    }

    #[inline]
    fn problem(&self, input: usize, output: usize) -> Option<&'static str> {
        let needs = (self.input_len(), self.output_len());
        if self.window == 0 {
            Some("a frame needs a window of at least one step")
        } else if self.window > 1 && self.step_stride < self.columns {
            Some("the steps of a frame overlap: step_stride is below columns")
        } else if self.rows > 1 && self.output_stride < self.output_columns {
            Some("the output rows of a frame overlap: output_stride is below output_columns")
        } else if needs.0.is_none_or(|needed| needed > input) {
            Some("the input of a frame is shorter than its shape")
        } else if needs.1.is_none_or(|needed| needed > output) {
            Some("the output of a frame is shorter than its shape")
        } else {
            None
        }
    }
}

/// One row's window, oldest step first.
#[derive(Debug, Clone, Copy)]
pub struct Window<'a> {
    values: &'a [f32],
    shape: FrameShape,
}

impl<'a> Window<'a> {
    /// Number of steps.
    #[must_use]
    #[inline]
    pub fn steps(&self) -> usize {
        self.shape.window
    }

    /// The features of step `step`, 0 being the oldest.
    #[must_use]
    #[inline]
    pub fn step(&self, step: usize) -> &'a [f32] {
        let start = step * self.shape.step_stride;
        &self.values[start..start + self.shape.columns]
    }

    /// The features of the newest step.
    #[must_use]
    #[inline]
    pub fn newest(&self) -> &'a [f32] {
        self.step(self.shape.window - 1)
    }

    /// The whole window as `steps x columns` where the steps lie back to back.
    #[must_use]
    #[inline]
    pub fn as_matrix(&self) -> Option<&'a [f32]> {
        let packed = self.shape.window == 1 || self.shape.step_stride == self.shape.columns;
        packed.then_some(self.values)
    }
}

/// A prediction request. Rows are in time order; NaN in the input means missing.
#[derive(Debug)]
pub struct Frame<'a> {
    shape: FrameShape,
    input: &'a [f32],
    output: &'a mut [f32],
    pub(crate) event_ns: Option<i64>,
    pub(crate) deadline_ns: Option<u64>,
    pub(crate) row_event_ns: Option<&'a [i64]>,
    pub(crate) symbols: Option<&'a [u32]>,
    pub(crate) replay: bool,
}

impl<'a> Frame<'a> {
    /// A frame over host memory.
    ///
    /// # Errors
    /// `E_ARG` where a slice is shorter than the shape says, or output rows or steps overlap.
    #[inline]
    pub fn new(input: &'a [f32], output: &'a mut [f32], shape: FrameShape) -> Result<Self> {
        if let Some(problem) = shape.problem(input.len(), output.len()) {
            return Err(refused(problem));
        }
        Ok(Self {
            shape,
            input,
            output,
            event_ns: None,
            deadline_ns: None,
            row_event_ns: None,
            symbols: None,
            replay: false,
        })
    }

    /// States the close time of the newest bar; absent in batch prediction.
    #[must_use]
    #[inline]
    pub fn with_event_ns(mut self, event_ns: i64) -> Self {
        self.event_ns = Some(event_ns);
        self
    }

    /// States when the answer is due, on the host's monotonic clock.
    #[must_use]
    #[inline]
    pub fn with_deadline_ns(mut self, deadline_ns: u64) -> Self {
        self.deadline_ns = Some(deadline_ns);
        self
    }

    /// Changes when the answer is due; `None` is no deadline.
    #[inline]
    pub fn set_deadline_ns(&mut self, deadline_ns: Option<u64>) {
        self.deadline_ns = deadline_ns;
    }

    /// The same request with its answers going elsewhere, rows `output_stride` apart.
    ///
    /// # Errors
    /// `E_ARG` where `output` is shorter than that, or its rows overlap.
    #[inline]
    pub fn redirected<'b>(
        &'b self,
        output: &'b mut [f32],
        output_stride: usize,
    ) -> Result<Frame<'b>> {
        let shape = FrameShape {
            output_stride,
            ..self.shape
        };
        let mut frame = Frame::new(self.input, output, shape)?;
        frame.event_ns = self.event_ns;
        frame.deadline_ns = self.deadline_ns;
        frame.row_event_ns = self.row_event_ns;
        frame.symbols = self.symbols;
        frame.replay = self.replay;
        Ok(frame)
    }

    /// States the close time of every row's newest bar.
    ///
    /// # Errors
    /// `E_ARG` where the length is not the number of rows.
    #[inline]
    pub fn with_row_event_ns(mut self, times: &'a [i64]) -> Result<Self> {
        self.check_rows("row_event_ns", times.len())?;
        self.row_event_ns = Some(times);
        Ok(self)
    }

    /// States every row's symbol.
    ///
    /// # Errors
    /// `E_ARG` where the length is not the number of rows.
    #[inline]
    pub fn with_symbols(mut self, symbols: &'a [u32]) -> Result<Self> {
        self.check_rows("symbols", symbols.len())?;
        self.symbols = Some(symbols);
        Ok(self)
    }

    /// Marks the rows as history that rebuilds state: the outputs are thrown away.
    #[must_use]
    #[inline]
    pub fn with_replay(mut self, replay: bool) -> Self {
        self.replay = replay;
        self
    }

    fn check_rows(&self, name: &str, found: usize) -> Result<()> {
        if found == self.shape.rows {
            return Ok(());
        }
        let rows = self.shape.rows;
        Err(PluginError::argument(format!(
            "`{name}` of a frame has {found} values for {rows} rows"
        )))
    }

    /// The layout.
    #[must_use]
    #[inline]
    pub fn shape(&self) -> FrameShape {
        self.shape
    }

    /// The layout where it lies.
    #[inline]
    pub(crate) fn layout(&self) -> &FrameShape {
        &self.shape
    }

    /// Number of rows.
    #[must_use]
    #[inline]
    pub fn rows(&self) -> usize {
        self.shape.rows
    }

    /// Features per step.
    #[must_use]
    #[inline]
    pub fn columns(&self) -> usize {
        self.shape.columns
    }

    /// Values to write per row.
    #[must_use]
    #[inline]
    pub fn output_columns(&self) -> usize {
        self.shape.output_columns
    }

    /// The window of a row.
    #[must_use]
    #[inline]
    pub fn row(&self, row: usize) -> Window<'a> {
        let start = row * self.shape.row_stride;
        let len = (self.shape.window - 1) * self.shape.step_stride + self.shape.columns;
        Window {
            values: &self.input[start..start + len],
            shape: self.shape,
        }
    }

    /// The newest step's features of a row.
    #[must_use]
    #[inline]
    pub fn features(&self, row: usize) -> &'a [f32] {
        // The newest step alone, rather than a window around it.
        let newest = (self.shape.window - 1) * self.shape.step_stride;
        let start = row * self.shape.row_stride + newest;
        &self.input[start..start + self.shape.columns]
    }

    /// The whole input, from the first value to the end of the last row; rows lie
    /// [`FrameShape::row_stride`] apart.
    #[must_use]
    #[inline]
    pub fn input(&self) -> &'a [f32] {
        self.input
    }

    /// Where the answers of a row go.
    #[inline]
    pub fn output_row_mut(&mut self, row: usize) -> &mut [f32] {
        let start = row * self.shape.output_stride;
        &mut self.output[start..start + self.shape.output_columns]
    }

    /// The answers of a row, as written so far.
    #[must_use]
    #[inline]
    pub fn output_row(&self, row: usize) -> &[f32] {
        let start = row * self.shape.output_stride;
        &self.output[start..start + self.shape.output_columns]
    }

    /// The whole output block; rows lie [`FrameShape::output_stride`] apart, and what lies between
    /// them belongs to the host and must stay as it is.
    #[inline]
    pub fn output_mut(&mut self) -> &mut [f32] {
        self.output
    }

    /// Close time of the newest bar, nanoseconds since the epoch; `None` in batch prediction.
    #[must_use]
    #[inline]
    pub fn event_ns(&self) -> Option<i64> {
        self.event_ns
    }

    /// When the answer is due, on the host's monotonic clock.
    #[must_use]
    #[inline]
    pub fn deadline_ns(&self) -> Option<u64> {
        self.deadline_ns
    }

    /// Close time of every row's newest bar, where the host states it.
    #[must_use]
    #[inline]
    pub fn row_event_ns(&self) -> Option<&'a [i64]> {
        self.row_event_ns
    }

    /// Symbol of every row, where the host states it.
    #[must_use]
    #[inline]
    pub fn symbols(&self) -> Option<&'a [u32]> {
        self.symbols
    }

    /// Whether the rows are history that rebuilds state; the outputs are thrown away.
    #[must_use]
    #[inline]
    pub fn is_replay(&self) -> bool {
        self.replay
    }

    /// Refuses a frame whose columns, window or outputs are not those the model was made for.
    ///
    /// # Errors
    /// `E_ARG` naming what was expected and what came.
    #[inline]
    pub fn expect(&self, columns: usize, window: usize, output_columns: usize) -> Result<()> {
        let expected = (columns, window, output_columns);
        let found = (
            self.shape.columns,
            self.shape.window,
            self.shape.output_columns,
        );
        if self.shape.rows == 0 || expected == found {
            return Ok(());
        }
        Err(unexpected(expected, found))
    }
}

#[cold]
#[inline(never)]
fn refused(problem: &'static str) -> PluginError {
    PluginError::argument(problem)
}

#[cold]
#[inline(never)]
fn unexpected(
    (columns, window, output_columns): (usize, usize, usize),
    found: (usize, usize, usize),
) -> PluginError {
    PluginError::argument(format!(
        "the model takes {columns} features x {window} steps and writes {output_columns} values; \
         the frame has {} x {} and room for {}",
        found.0, found.1, found.2
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_windows_are_views_of_one_matrix() {
        let matrix: Vec<f32> = (0..8).map(|i| i as f32).collect();
        let mut output = [0.0; 3];
        let shape = FrameShape::sliding(3, 2, 2, 1);
        let frame = Frame::new(&matrix, &mut output, shape).unwrap();
        assert_eq!(frame.row(1).as_matrix(), Some(&matrix[2..6]));
        assert_eq!(frame.row(2).step(0), [4.0, 5.0]);
        assert_eq!(frame.features(2), [6.0, 7.0]);
    }

    #[test]
    fn a_shape_that_leaves_its_slices_is_refused() {
        let shape = FrameShape::dense(3, 2, 1);
        assert!(Frame::new(&[0.0; 5], &mut [0.0; 3], shape).is_err());
        assert!(Frame::new(&[0.0; 6], &mut [0.0; 2], shape).is_err());
        assert!(Frame::new(&[0.0; 6], &mut [0.0; 3], shape).is_ok());
        let huge = FrameShape {
            row_stride: usize::MAX,
            ..shape
        };
        assert!(Frame::new(&[0.0; 6], &mut [0.0; 3], huge).is_err());
        let overlapping = FrameShape {
            output_columns: 2,
            output_stride: 1,
            ..shape
        };
        assert!(Frame::new(&[0.0; 6], &mut [0.0; 6], overlapping).is_err());
    }

    #[test]
    fn rows_are_optional_and_zero_rows_need_no_memory() {
        let frame = Frame::new(&[], &mut [], FrameShape::dense(0, 5, 2)).unwrap();
        assert!(frame.with_symbols(&[1]).is_err());
    }

    #[test]
    fn a_redirected_frame_asks_the_same_and_answers_elsewhere() {
        let (mut output, mut elsewhere) = ([0.0; 2], [0.0; 4]);
        let frame = Frame::new(&[1.0, 2.0], &mut output, FrameShape::dense(2, 1, 1)).unwrap();
        let frame = frame.with_event_ns(5).with_deadline_ns(7).with_replay(true);
        let frame = frame.with_symbols(&[3, 4]).unwrap();
        let mut frame = frame.with_row_event_ns(&[8, 9]).unwrap();
        assert!(frame.redirected(&mut elsewhere, 4).is_err());
        let mut other = frame.redirected(&mut elsewhere, 3).unwrap();
        other.output_row_mut(1)[0] = 6.0;
        assert_eq!((other.event_ns(), other.deadline_ns()), (Some(5), Some(7)));
        assert_eq!(other.symbols(), Some(&[3, 4][..]));
        assert_eq!(other.row_event_ns(), Some(&[8, 9][..]));
        assert!(other.is_replay() && other.features(1) == [2.0]);
        frame.set_deadline_ns(None);
        assert_eq!(frame.deadline_ns(), None);
        assert_eq!((output, elsewhere), ([0.0; 2], [0.0, 0.0, 0.0, 6.0]));
    }

    #[test]
    fn an_unexpected_shape_names_both_sides() {
        let mut output = [0.0; 1];
        let frame = Frame::new(&[1.0, 2.0], &mut output, FrameShape::dense(1, 2, 1)).unwrap();
        let error = frame.expect(3, 1, 1).unwrap_err();
        assert!(error.message().contains("takes 3 features"), "{error}");
    }
}
