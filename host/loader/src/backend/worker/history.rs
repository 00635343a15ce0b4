//! The newest rows a model was shown, so that another process can be brought to the same state.
//!
//! Rows are kept with everything that a frame says about them, and with the number of their frame,
//! because a model may tell frames apart. Memory is taken once per shape.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use fusebox_plugin_api::error::Result;
use fusebox_plugin_api::frame::{Frame, FrameShape};

/// Most bytes of kept values; fewer rows are kept where a row is large.
const MOST_BYTES: usize = 64 << 20;

/// Workers that a frame may cost before its rows are dropped: the one that was shown it first, and
/// one that was shown it again.
const MOST_STRIKES: u8 = 2;

/// The newest rows.
#[derive(Debug)]
pub(super) struct History {
    most_rows: usize,
    shape: RowShape,
    values: Vec<f32>,
    facts: VecDeque<RowFacts>,
    /// Number of the row after the newest.
    next_row: u64,
    next_frame: u64,
    /// The first row that the newest snapshot does not know of.
    first_unknown: u64,
    strikes: BTreeMap<u64, u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct RowShape {
    window: usize,
    columns: usize,
    outputs: usize,
}

impl RowShape {
    fn of(shape: FrameShape) -> Self {
        Self {
            window: shape.window,
            columns: shape.columns,
            outputs: shape.output_columns,
        }
    }

    fn values(&self) -> usize {
        self.window.saturating_mul(self.columns)
    }
}

/// What a frame says about one of its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct RowFacts {
    frame: u64,
    event_ns: Option<i64>,
    row_event_ns: Option<i64>,
    symbol: Option<u32>,
}

/// Rows of one frame, copied out to be replayed.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) frame: u64,
    /// Number of the row after them.
    pub(super) end: u64,
    input: Vec<f32>,
    output: Vec<f32>,
    row_events: Vec<i64>,
    symbols: Vec<u32>,
    event_ns: Option<i64>,
    shape: RowShape,
}

impl Group {
    /// Calls `with` with the rows as a frame that only rebuilds state.
    pub(super) fn replay<T>(&mut self, with: impl FnOnce(&mut Frame<'_>) -> T) -> Result<T> {
        let rows = self
            .input
            .len()
            .checked_div(self.shape.values())
            .unwrap_or(0);
        let shape = FrameShape {
            window: self.shape.window,
            row_stride: self.shape.values(),
            ..FrameShape::dense(rows, self.shape.columns, self.shape.outputs)
        };
        self.output.clear();
        self.output.resize(rows * self.shape.outputs, f32::NAN);
        let mut frame = Frame::new(&self.input, &mut self.output, shape)?.with_replay(true);
        if let Some(event) = self.event_ns {
            frame = frame.with_event_ns(event);
        }
        if self.row_events.len() == rows && rows > 0 {
            frame = frame.with_row_event_ns(&self.row_events)?;
        }
        if self.symbols.len() == rows && rows > 0 {
            frame = frame.with_symbols(&self.symbols)?;
        }
        Ok(with(&mut frame))
    }
}

impl History {
    /// Keeps at most `most_rows`.
    pub(super) fn new(most_rows: usize) -> Self {
        Self {
            most_rows,
            shape: RowShape::default(),
            values: Vec::new(),
            facts: VecDeque::new(),
            next_row: 0,
            next_frame: 0,
            first_unknown: 0,
            strikes: BTreeMap::new(),
        }
    }

    /// Whether rows of this frame lie beside those that are kept.
    pub(super) fn fits(&self, shape: FrameShape) -> bool {
        self.facts.is_empty() || self.shape == RowShape::of(shape)
    }

    /// Numbers the next frame; its rows are then recorded with that number.
    pub(super) fn begin(&mut self, shape: FrameShape) -> u64 {
        if !self.fits(shape) {
            self.clear();
        }
        let shape = RowShape::of(shape);
        if self.shape != shape || self.values.is_empty() {
            self.shape = shape;
            let values = self.capacity() * shape.values();
            self.values = vec![0.0; values];
            self.facts.reserve(self.capacity());
        }
        self.next_frame += 1;
        self.next_frame
    }

    /// Rows that are kept at most.
    pub(super) fn capacity(&self) -> usize {
        let fitting = MOST_BYTES / (4 * self.shape.values()).max(1);
        self.most_rows.min(fitting)
    }

    /// Keeps rows of frame number `number`.
    pub(super) fn record(&mut self, number: u64, frame: &Frame<'_>, rows: Range<usize>) {
        let capacity = self.capacity();
        if capacity == 0 {
            self.next_row += rows.len() as u64;
            return;
        }
        for row in rows {
            if self.facts.len() == capacity {
                self.facts.pop_front();
            }
            let facts = RowFacts {
                frame: number,
                event_ns: frame.event_ns(),
                row_event_ns: frame.row_event_ns().map(|times| times[row]),
                symbol: frame.symbols().map(|symbols| symbols[row]),
            };
            self.facts.push_back(facts);
            let window = frame.row(row);
            let mut at = self.place(self.next_row);
            for step in 0..window.steps() {
                let values = window.step(step);
                self.values[at..at + values.len()].copy_from_slice(values);
                at += values.len();
            }
            self.next_row += 1;
        }
        self.forget_strikes();
    }

    fn place(&self, row: u64) -> usize {
        (row % self.capacity().max(1) as u64) as usize * self.shape.values()
    }

    /// Takes back the newest `rows`, which the model refused or never saw.
    pub(super) fn take_back(&mut self, rows: usize) {
        for _ in 0..rows {
            if self.facts.pop_back().is_none() {
                return;
            }
            self.next_row -= 1;
        }
    }

    /// The newest snapshot knows of every row that is kept now.
    pub(super) fn snapshot_taken(&mut self) {
        self.first_unknown = self.next_row;
    }

    /// Forgets every row.
    pub(super) fn clear(&mut self) {
        self.facts.clear();
        self.strikes.clear();
        self.snapshot_taken();
    }

    /// Rows that the newest snapshot does not know of.
    pub(super) fn unknown_rows(&self) -> u64 {
        self.next_row.saturating_sub(self.first_unknown)
    }

    fn first_row(&self) -> u64 {
        self.next_row - self.facts.len() as u64
    }

    /// Where a replay begins, and how many rows are missing before that.
    pub(super) fn replay_start(&self) -> (u64, u64) {
        let start = self.first_row().max(self.first_unknown);
        (start, start - self.first_unknown)
    }

    /// Notes that a worker died while it was shown this frame.
    pub(super) fn strike(&mut self, frame: u64) {
        let strikes = self.strikes.entry(frame).or_default();
        *strikes = strikes.saturating_add(1);
    }

    /// Whether the rows of this frame are no longer replayed.
    pub(super) fn is_dropped(&self, frame: u64) -> bool {
        self.strikes
            .get(&frame)
            .is_some_and(|strikes| *strikes >= MOST_STRIKES)
    }

    fn forget_strikes(&mut self) {
        if let Some(oldest) = self.facts.front() {
            let kept = self.strikes.split_off(&oldest.frame);
            self.strikes = kept;
        }
    }

    /// Copies the next rows of one frame from row `from` on into `group`; `false` where there are
    /// none. Rows of dropped frames are passed over.
    pub(super) fn next_group(&self, from: u64, group: &mut Group) -> bool {
        let first = self.first_row();
        let mut row = from.max(first);
        let facts_of = |row: u64| self.facts.get((row - first) as usize);
        while facts_of(row).is_some_and(|facts| self.is_dropped(facts.frame)) {
            row += 1;
        }
        let Some(begin) = facts_of(row).copied() else {
            return false;
        };
        (group.frame, group.event_ns, group.shape) = (begin.frame, begin.event_ns, self.shape);
        group.input.clear();
        group.row_events.clear();
        group.symbols.clear();
        while let Some(facts) = facts_of(row).filter(|facts| facts.frame == begin.frame) {
            let at = self.place(row);
            group
                .input
                .extend(&self.values[at..at + self.shape.values()]);
            group.row_events.extend(facts.row_event_ns);
            group.symbols.extend(facts.symbol);
            row += 1;
        }
        group.end = row;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    fn record(history: &mut History, values: &[f32], symbol: Option<u32>) -> u64 {
        let shape = FrameShape::dense(values.len(), 1, 1);
        let mut output = vec![0.0; values.len()];
        let symbols = vec![symbol.unwrap_or(0); values.len()];
        let mut frame = Frame::new(values, &mut output, shape).unwrap();
        if symbol.is_some() {
            frame = frame.with_symbols(&symbols).unwrap();
        }
        let number = history.begin(shape);
        history.record(number, &frame, 0..values.len());
        number
    }

    fn replayed(history: &History) -> Vec<f32> {
        let (mut at, _) = history.replay_start();
        let mut group = Group::default();
        let mut seen = Vec::new();
        while history.next_group(at, &mut group) {
            at = group.end;
            let values = group.replay(|frame| {
                assert!(frame.is_replay());
                (0..frame.rows())
                    .map(|row| frame.features(row)[0])
                    .collect::<Vec<_>>()
            });
            seen.extend(values.unwrap());
        }
        seen
    }

    proptest! {
        /// Against a plain list: what is replayed is what came after the snapshot, as far as it is
        /// kept, without refused and dropped frames.
        #[test]
        fn it_replays_what_a_list_would(
            steps in proptest::collection::vec((0_u8..5, 1_usize..6), 1..60),
        ) {
            const ROWS: usize = 8;
            let mut history = History::new(ROWS);
            let mut model: VecDeque<(f32, u64, bool)> = VecDeque::new();
            let mut dropped = Vec::new();
            let mut value = 0.0;
            for (step, rows) in steps {
                match step {
                    0 => {
                        history.snapshot_taken();
                        model.iter_mut().for_each(|row| row.2 = true);
                    }
                    1 => {
                        if let Some((_, frame, _)) = model.back().copied() {
                            history.strike(frame);
                            history.strike(frame);
                            dropped.push(frame);
                        }
                    }
                    2 => {
                        let values: Vec<f32> = (0..rows.min(2)).map(|row| row as f32).collect();
                        // As many rows as were there before stay: a refused frame takes none away
                        // while there is room.
                        if model.len() + values.len() <= ROWS {
                            record(&mut history, &values, None);
                            history.take_back(values.len());
                        }
                    }
                    _ => {
                        let values: Vec<f32> = (0..rows).map(|row| value + row as f32).collect();
                        value += rows as f32;
                        let number = record(&mut history, &values, None);
                        model.extend(values.iter().map(|value| (*value, number, false)));
                        while model.len() > ROWS {
                            model.pop_front();
                        }
                    }
                }
                let expected: Vec<f32> = model
                    .iter()
                    .filter(|(_, frame, is_known)| !is_known && !dropped.contains(frame))
                    .map(|(value, ..)| *value)
                    .collect();
                prop_assert_eq!(replayed(&history), expected);
            }
        }
    }

    #[test]
    fn rows_that_were_pushed_out_before_a_snapshot_are_counted() {
        let mut history = History::new(4);
        record(&mut history, &[1.0, 2.0, 3.0], Some(7));
        assert_eq!(history.replay_start(), (0, 0));
        record(&mut history, &[4.0, 5.0, 6.0], None);
        assert_eq!(history.replay_start(), (2, 2));
        assert_eq!(replayed(&history), [3.0, 4.0, 5.0, 6.0]);
        let mut group = Group::default();
        assert!(history.next_group(0, &mut group));
        assert_eq!(group.symbols, [7], "the rest of its frame");
    }

    #[test]
    fn another_shape_starts_over() {
        let mut history = History::new(4);
        record(&mut history, &[1.0], None);
        let shape = FrameShape::dense(1, 2, 1);
        assert!(!history.fits(shape));
        history.begin(shape);
        assert_eq!(replayed(&history), [0.0; 0]);
    }

    #[test]
    fn a_first_death_may_be_chance_a_second_is_not() {
        let mut history = History::new(8);
        record(&mut history, &[1.0], None);
        let poison = record(&mut history, &[2.0, 2.5], None);
        record(&mut history, &[3.0], None);
        history.strike(poison);
        assert_eq!(replayed(&history), [1.0, 2.0, 2.5, 3.0]);
        history.strike(poison);
        assert_eq!(replayed(&history), [1.0, 3.0]);
    }
}
