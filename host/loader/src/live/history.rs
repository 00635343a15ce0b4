//! The newest rows that a live model has seen, in memory that was taken once.
//!
//! From here a generation is brought up to date: rows go in as their frames came, and come out as
//! the same frames again, with the flag that says they are history. A ring of whole windows; the
//! boundaries of frames are kept, because a model may look at the time of a frame.

use std::ops::Range;

use fusebox_plugin_api::error::Result;
use fusebox_plugin_api::frame::{Frame, FrameShape};
use fusebox_plugin_api::model::Model;

/// What came with a row.
const STARTS_FRAME: u8 = 1;
const FRAME_TIME: u8 = 2;
const ROW_TIME: u8 = 4;
const SYMBOL: u8 = 8;

/// The shape of the rows that a history keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowShape {
    /// Steps of a row.
    pub window: usize,
    /// Features of a step.
    pub columns: usize,
    /// Values that a model answers per row.
    pub outputs: usize,
}

impl RowShape {
    /// The shape of the rows of a frame.
    #[must_use]
    pub fn of(frame: &Frame<'_>) -> Self {
        Self {
            window: frame.shape().window,
            columns: frame.columns(),
            outputs: frame.output_columns(),
        }
    }

    /// Values of one row.
    #[must_use]
    pub fn width(&self) -> usize {
        self.window * self.columns
    }

    fn frame(&self, rows: usize) -> FrameShape {
        FrameShape {
            rows,
            window: self.window,
            columns: self.columns,
            row_stride: self.width(),
            step_stride: self.columns,
            output_columns: self.outputs,
            output_stride: self.outputs,
        }
    }
}

/// The newest rows, by number: the first row that a live model ever saw is row 0.
#[derive(Debug, Clone)]
pub struct History {
    shape: RowShape,
    capacity: usize,
    /// Rows seen in all; the next row has this number.
    seen: u64,
    /// Rows below this number are not here.
    oldest: u64,
    inputs: Vec<f32>,
    frame_times: Vec<i64>,
    row_times: Vec<i64>,
    symbols: Vec<u32>,
    flags: Vec<u8>,
    /// Where replayed answers go.
    scratch: Vec<f32>,
}

impl History {
    /// An empty history of `rows` rows, fewer where those would take more than `bytes`.
    #[must_use]
    pub fn new(shape: RowShape, rows: usize, bytes: usize) -> Self {
        let row_bytes = (shape.width() + shape.outputs) * 4 + 21;
        let capacity = rows.min(bytes / row_bytes.max(1)).max(1);
        Self {
            shape,
            capacity,
            seen: 0,
            oldest: 0,
            inputs: vec![0.0; capacity * shape.width()],
            frame_times: vec![0; capacity],
            row_times: vec![0; capacity],
            symbols: vec![0; capacity],
            flags: vec![0; capacity],
            scratch: vec![0.0; capacity * shape.outputs],
        }
    }

    /// The shape of its rows.
    #[must_use]
    pub fn shape(&self) -> RowShape {
        self.shape
    }

    /// Most rows it keeps.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many rows were seen in all.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// The number of the oldest row that is still here.
    #[must_use]
    pub fn oldest(&self) -> u64 {
        self.oldest
    }

    /// Whether every row from number `row` on is here.
    #[must_use]
    pub fn reaches(&self, row: u64) -> bool {
        self.oldest <= row && row <= self.seen
    }

    /// Adds the rows of a frame; of a frame with more rows than it keeps, the newest. The frame has
    /// the shape of this history.
    pub fn push(&mut self, frame: &Frame<'_>) {
        self.push_rows(frame, 0..frame.rows());
    }

    /// As [`History::push`], for some rows of the frame.
    pub fn push_rows(&mut self, frame: &Frame<'_>, rows: Range<usize>) {
        let dropped = rows.len().saturating_sub(self.capacity);
        self.seen += dropped as u64;
        let first = rows.start + dropped;
        for row in first..rows.end {
            let slot = self.slot(self.seen);
            let width = self.shape.width();
            copy_window(
                frame,
                row,
                &mut self.inputs[slot * width..(slot + 1) * width],
            );
            let mut flags = if row == first { STARTS_FRAME } else { 0 };
            if let Some(time) = frame.event_ns() {
                (self.frame_times[slot], flags) = (time, flags | FRAME_TIME);
            }
            if let Some(times) = frame.row_event_ns() {
                (self.row_times[slot], flags) = (times[row], flags | ROW_TIME);
            }
            if let Some(symbols) = frame.symbols() {
                (self.symbols[slot], flags) = (symbols[row], flags | SYMBOL);
            }
            self.flags[slot] = flags;
            self.seen += 1;
        }
        self.oldest = self
            .oldest
            .max(self.seen.saturating_sub(self.capacity as u64));
    }

    /// The same without its rows, for rows of another shape; the numbering goes on.
    #[must_use]
    pub fn restarted(&self, shape: RowShape, rows: usize, bytes: usize) -> Self {
        let mut other = Self::new(shape, rows, bytes);
        (other.seen, other.oldest) = (self.seen, self.seen);
        other
    }

    /// Forgets every row.
    pub fn clear(&mut self) {
        (self.seen, self.oldest) = (0, 0);
    }

    /// Makes this the same as `other`, in the memory that it has where the shapes are the same.
    pub fn copy_from(&mut self, other: &Self) {
        (self.shape, self.capacity) = (other.shape, other.capacity);
        (self.seen, self.oldest) = (other.seen, other.oldest);
        self.inputs.clone_from(&other.inputs);
        self.frame_times.clone_from(&other.frame_times);
        self.row_times.clone_from(&other.row_times);
        self.symbols.clone_from(&other.symbols);
        self.flags.clone_from(&other.flags);
        self.scratch.resize(other.scratch.len(), 0.0);
    }

    /// Shows `model` every row from number `row` on, as the frames that they came in, flagged as
    /// history. Rows that are gone are left out. Errors of single frames are counted and passed
    /// over, as they would have been when they were live.
    ///
    /// # Errors
    /// The last error, where no frame at all went through.
    pub fn replay(&mut self, model: &mut dyn Model, row: u64) -> Result<Replayed> {
        let mut next = row.max(self.oldest);
        let mut replayed = Replayed { rows: 0, errors: 0 };
        let (mut frames, mut last_error) = (0_u64, None);
        while next < self.seen {
            let rows = self.run_from(next);
            frames += 1;
            if let Err(error) = self.run(model, next, rows, true) {
                replayed.errors += 1;
                last_error = Some(error);
            }
            replayed.rows += rows as u64;
            next += rows as u64;
        }
        match last_error {
            Some(error) if replayed.errors == frames => Err(error),
            _ => Ok(replayed),
        }
    }

    /// Lets `model` answer the rows as one live frame, and gives its answers, row after row. For
    /// rows that came in one frame and never wrapped around.
    ///
    /// # Errors
    /// What the model says.
    pub fn answer(&mut self, model: &mut dyn Model) -> Result<&[f32]> {
        let rows = (self.seen - self.oldest) as usize;
        if rows > 0 {
            self.run(model, self.oldest, rows, false)?;
        }
        Ok(&self.scratch[..rows * self.shape.outputs])
    }

    /// Rows from number `start` on that came in one frame and lie back to back.
    fn run_from(&self, start: u64) -> usize {
        let slot = self.slot(start);
        let most = (self.capacity - slot).min((self.seen - start) as usize);
        let starts = |offset: &usize| self.flags[slot + offset] & STARTS_FRAME != 0;
        (1..most).find(starts).unwrap_or(most)
    }

    fn run(
        &mut self,
        model: &mut dyn Model,
        start: u64,
        rows: usize,
        is_replay: bool,
    ) -> Result<()> {
        let slot = self.slot(start);
        let (width, flags) = (self.shape.width(), self.flags[slot]);
        let input = &self.inputs[slot * width..(slot + rows) * width];
        let output = &mut self.scratch[..rows * self.shape.outputs];
        let mut frame = Frame::new(input, output, self.shape.frame(rows))?.with_replay(is_replay);
        if flags & FRAME_TIME != 0 {
            frame = frame.with_event_ns(self.frame_times[slot]);
        }
        if flags & ROW_TIME != 0 {
            frame = frame.with_row_event_ns(&self.row_times[slot..slot + rows])?;
        }
        if flags & SYMBOL != 0 {
            frame = frame.with_symbols(&self.symbols[slot..slot + rows])?;
        }
        model.predict(&mut frame)
    }

    fn slot(&self, row: u64) -> usize {
        (row % self.capacity as u64) as usize
    }
}

/// What a replay did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replayed {
    /// Rows shown.
    pub rows: u64,
    /// Frames that the model refused.
    pub errors: u64,
}

/// Copies a row's window, step by step where the steps do not lie back to back.
pub(crate) fn copy_window(frame: &Frame<'_>, row: usize, to: &mut [f32]) {
    let window = frame.row(row);
    if let Some(values) = window.as_matrix() {
        to.copy_from_slice(values);
        return;
    }
    let columns = frame.columns();
    for step in 0..window.steps() {
        to[step * columns..(step + 1) * columns].copy_from_slice(window.step(step));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fusebox_plugin_api::model::{ModelInfo, Task};
    use proptest::prelude::*;

    /// Writes down every row with all that came with it.
    #[derive(Default)]
    struct Recorder(Vec<String>);

    impl Model for Recorder {
        fn info(&self) -> Result<ModelInfo> {
            Ok(ModelInfo::new(Task::Regression, &["x"]))
        }

        fn predict(&mut self, frame: &mut Frame<'_>) -> Result<()> {
            for row in 0..frame.rows() {
                let steps = (0..frame.row(row).steps()).map(|step| frame.row(row).step(step));
                self.0.push(format!(
                    "{:?} {:?} {:?} {:?}",
                    steps.collect::<Vec<_>>(),
                    frame.event_ns(),
                    frame.row_event_ns().map(|times| times[row]),
                    frame.symbols().map(|symbols| symbols[row]),
                ));
            }
            Ok(())
        }
    }

    proptest! {
        #[test]
        fn what_comes_out_is_what_went_in(
            capacity in 1_usize..20,
            frames in prop::collection::vec((1_usize..9, any::<[bool; 3]>()), 0..20),
            skipped in 0_u64..30,
        ) {
            let shape = RowShape { window: 2, columns: 2, outputs: 1 };
            let mut history = History::new(shape, capacity, 1 << 20);
            let mut reference = Recorder::default();
            let mut next = 0_u32;
            for (rows, [frame_time, row_times, symbols]) in frames {
                // Windows that overlap, in a matrix that is wider than the model.
                let values = 0..(rows + 1) * 3;
                let input: Vec<f32> = values.map(|n| (next as usize + n) as f32).collect();
                let times: Vec<i64> = (0..rows as i64).map(|n| i64::from(next) + n).collect();
                let names: Vec<u32> = (0..rows as u32).map(|n| next + n).collect();
                let mut output = vec![0.0; rows];
                let layout = FrameShape {
                    row_stride: 3,
                    step_stride: 3,
                    ..FrameShape::sliding(rows, 2, 2, 1)
                };
                let mut frame = Frame::new(&input, &mut output, layout).unwrap();
                if frame_time { frame = frame.with_event_ns(i64::from(next)); }
                if row_times { frame = frame.with_row_event_ns(&times).unwrap(); }
                if symbols { frame = frame.with_symbols(&names).unwrap(); }
                reference.predict(&mut frame).unwrap();
                history.push(&frame);
                next += 100;
            }
            let seen = reference.0.len() as u64;
            prop_assert_eq!(history.seen(), seen);
            prop_assert_eq!(history.oldest(), seen.saturating_sub(capacity as u64));
            let from = skipped.max(history.oldest()).min(seen);
            let mut replayed = Recorder::default();
            let outcome = history.replay(&mut replayed, skipped).unwrap();
            prop_assert_eq!(outcome.rows, if skipped > seen { 0 } else { seen - from });
            if skipped <= seen {
                prop_assert_eq!(&replayed.0, &reference.0[from as usize..]);
            }
        }
    }

    #[test]
    fn wide_rows_keep_to_the_memory_they_may_take() {
        let shape = RowShape {
            window: 64,
            columns: 16,
            outputs: 1,
        };
        let history = History::new(shape, 512, 1 << 20);
        assert!(history.capacity() < 256 && history.capacity() > 200);
    }
}
