//! The bounded queue from a live model to a generation in shadow: copies of rows, and what was
//! answered.
//!
//! The live side neither waits nor takes memory: every parcel was made before, goes there full and
//! comes back empty. Where no empty one is left, the tap breaks off at once; the other side sees
//! where, and asks for a new one that begins with the present state.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};

use fusebox_plugin_api::frame::Frame;

use crate::guard::ModelMetrics;

use super::history::{History, RowShape};

/// Rows in one parcel; a larger frame takes several.
const PARCEL_ROWS: usize = 8;

/// Memory that all parcels of a tap may take.
const TAP_BYTES: usize = 16 << 20;

/// Most parcels of a tap.
const MAX_PARCELS: usize = 512;

/// Rows of one frame, and the answers to them.
#[derive(Debug)]
pub(crate) struct Parcel {
    /// The rows, as a history of their own, so that they can be replayed as frames.
    pub(crate) rows: History,
    /// How many of them are filled.
    pub(crate) count: usize,
    /// The answers, row after row; meaningless where `answered` is false.
    pub(crate) answers: Vec<f32>,
    /// Whether the live model answered.
    pub(crate) answered: bool,
}

/// The live side.
#[derive(Debug)]
pub(crate) struct Tap {
    full: SyncSender<Box<Parcel>>,
    empty: Receiver<Box<Parcel>>,
    metrics: Arc<ModelMetrics>,
}

/// The shadow side.
#[derive(Debug)]
pub(crate) struct TapReader {
    full: Receiver<Box<Parcel>>,
    empty: SyncSender<Box<Parcel>>,
    metrics: Arc<ModelMetrics>,
}

/// What the shadow side finds.
#[derive(Debug)]
pub(crate) enum Tapped {
    /// Rows.
    Parcel(Box<Parcel>),
    /// Nothing at the moment.
    Nothing,
    /// The tap broke off, and everything before that was read.
    Broken,
}

/// Makes a tap for rows of this shape, with room for at most `rows` rows of single-row frames. What
/// waits in it is counted as the queue of the generation that is going to answer.
#[must_use]
pub(crate) fn tap(shape: RowShape, rows: u64, metrics: &Arc<ModelMetrics>) -> (Tap, TapReader) {
    let parcel_bytes = PARCEL_ROWS * ((shape.width() + 2 * shape.outputs) * 4 + 32);
    let wanted = usize::try_from(rows)
        .unwrap_or(MAX_PARCELS)
        .clamp(16, MAX_PARCELS);
    let parcels = wanted.min(TAP_BYTES / parcel_bytes).max(4);
    let (full, full_reader) = sync_channel(parcels);
    let (empty_writer, empty) = sync_channel(parcels);
    for _ in 0..parcels {
        let parcel = Parcel {
            rows: History::new(shape, PARCEL_ROWS, usize::MAX),
            count: 0,
            answers: vec![0.0; PARCEL_ROWS * shape.outputs],
            answered: false,
        };
        // There is room for every parcel.
        let _ = empty_writer.try_send(Box::new(parcel));
    }
    let reader = TapReader {
        full: full_reader,
        empty: empty_writer,
        metrics: Arc::clone(metrics),
    };
    let metrics = Arc::clone(metrics);
    let tap = Tap {
        full,
        empty,
        metrics,
    };
    (tap, reader)
}

impl Tap {
    /// Passes on the rows of a frame. Gives `false` where the tap is broken: it must be dropped.
    #[must_use]
    pub(crate) fn push(&self, frame: &Frame<'_>, answered: bool) -> bool {
        let mut row = 0;
        while row < frame.rows() {
            let rows = (frame.rows() - row).min(PARCEL_ROWS);
            let Ok(mut parcel) = self.empty.try_recv() else {
                return false;
            };
            parcel.fill(frame, row..row + rows, answered);
            // Counted before it can be taken out on the other side.
            self.metrics.queue_entered();
            if self.full.try_send(parcel).is_err() {
                self.metrics.queue_left();
                return false;
            }
            row += rows;
        }
        true
    }
}

impl Drop for TapReader {
    fn drop(&mut self) {
        while self.full.try_recv().is_ok() {
            self.metrics.queue_left();
        }
    }
}

impl TapReader {
    /// The next rows.
    pub(crate) fn next(&self) -> Tapped {
        match self.full.try_recv() {
            Ok(parcel) => {
                self.metrics.queue_left();
                Tapped::Parcel(parcel)
            }
            Err(TryRecvError::Empty) => Tapped::Nothing,
            Err(TryRecvError::Disconnected) => Tapped::Broken,
        }
    }

    /// Gives an empty parcel back.
    pub(crate) fn give_back(&self, parcel: Box<Parcel>) {
        let _ = self.empty.try_send(parcel);
    }
}

impl Parcel {
    fn fill(&mut self, frame: &Frame<'_>, rows: std::ops::Range<usize>, answered: bool) {
        self.rows.clear();
        self.rows.push_rows(frame, rows.clone());
        (self.count, self.answered) = (rows.len(), answered);
        if answered {
            let outputs = frame.output_columns();
            for (at, row) in rows.enumerate() {
                let to = &mut self.answers[at * outputs..(at + 1) * outputs];
                to.copy_from_slice(frame.output_row(row));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fusebox_plugin_api::frame::FrameShape;

    const SHAPE: RowShape = RowShape {
        window: 1,
        columns: 1,
        outputs: 1,
    };

    fn push(tap: &Tap, values: &[f32]) -> bool {
        let mut output: Vec<f32> = values.iter().map(|value| value * 10.0).collect();
        let shape = FrameShape::dense(values.len(), 1, 1);
        let frame = Frame::new(values, &mut output, shape).unwrap();
        tap.push(&frame, true)
    }

    #[test]
    fn rows_arrive_in_order_with_their_answers() {
        let metrics = Arc::default();
        let (tap, reader) = tap(SHAPE, 64, &metrics);
        let values: Vec<f32> = (0..20_u8).map(f32::from).collect();
        assert!(push(&tap, &values));
        let mut answers = Vec::new();
        while let Tapped::Parcel(parcel) = reader.next() {
            answers.extend_from_slice(&parcel.answers[..parcel.count]);
            reader.give_back(parcel);
        }
        let expected: Vec<f32> = values.iter().map(|value| value * 10.0).collect();
        assert_eq!(answers, expected);
        let snapshot = metrics.snapshot();
        assert_eq!(snapshot.queue_depth, 0);
        assert!(snapshot.queue_depth_max > 0);
    }

    #[test]
    fn a_full_tap_breaks_off_and_what_came_before_can_be_read() {
        let metrics: Arc<ModelMetrics> = Arc::default();
        let (tap, reader) = tap(SHAPE, 0, &metrics);
        let pushed = (0..100_u8)
            .take_while(|n| push(&tap, &[f32::from(*n)]))
            .count();
        assert_eq!(pushed, 16);
        assert_eq!(metrics.snapshot().queue_depth, 16);
        drop(tap);
        let mut read = 0;
        while let Tapped::Parcel(_) = reader.next() {
            read += 1;
        }
        assert_eq!(read, pushed);
        assert!(matches!(reader.next(), Tapped::Broken));
    }
}
