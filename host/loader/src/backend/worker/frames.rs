//! Frames through the ring: whole rows into slots, answers out of them.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::Ordering;

use fusebox_plugin_api::error::{PluginError, Status};
use fusebox_plugin_api::frame::{Frame, FrameShape};

use super::handle::{CallError, CallResult, Worker};
use crate::clock::{Clock, SystemClock};
use crate::worker::ring::{
    DEADLINE, EVENT, PieceShape, REPLAY, ROW_EVENTS, Ring, SLOTS, SYMBOLS, place,
};

/// How a frame is sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Passage {
    /// [`PREDICT`](crate::worker::ring::PREDICT) or
    /// [`CONTRIBUTIONS`](crate::worker::ring::CONTRIBUTIONS).
    pub(super) kind: u32,
    /// Most rows of one piece.
    pub(super) most_rows: usize,
    /// Pieces that may be on their way at once.
    pub(super) depth: usize,
    /// How long a piece without a deadline may take, milliseconds.
    pub(super) limit_ms: u64,
    /// How long after its deadline a piece may still end, milliseconds.
    pub(super) grace_ms: u64,
}

impl Passage {
    /// As many rows and pieces as the ring takes.
    pub(super) fn wide(kind: u32, limit_ms: u64, grace_ms: u64) -> Self {
        Self {
            kind,
            most_rows: usize::MAX,
            depth: SLOTS as usize,
            limit_ms,
            grace_ms,
        }
    }
}

/// A piece on its way.
struct Pending {
    sequence: u32,
    rows: Range<usize>,
    shape: PieceShape,
}

impl Worker {
    /// Sends rows `rows` of a frame and copies the answers into it, in pieces of whole rows.
    pub(super) fn pass(
        &mut self,
        frame: &mut Frame<'_>,
        rows: Range<usize>,
        passage: Passage,
        doing: &str,
    ) -> CallResult<()> {
        let per_piece = self.rows_per_piece(frame, &passage)?;
        let mut pending: VecDeque<Pending> = VecDeque::with_capacity(passage.depth);
        let (mut next, mut has_begun) = (rows.start, false);
        let mut refused = None;
        loop {
            let is_open = refused.is_none() && pending.len() < passage.depth;
            // A frame without rows is asked for, too.
            if is_open && (next < rows.end || !has_begun) {
                let piece = next..rows.end.min(next.saturating_add(per_piece));
                (next, has_begun) = (piece.end, true);
                pending.push_back(self.send_piece(frame, piece, &passage, doing)?);
                continue;
            }
            let Some(piece) = pending.pop_front() else {
                break;
            };
            let answer = self.take_piece(frame, &piece, doing);
            match answer {
                Err(CallError::Refused(error)) => refused = refused.or(Some(error)),
                Err(CallError::Late(error)) => {
                    self.process.excuse(self.submitted);
                    return Err(CallError::Late(error));
                }
                other => other?,
            }
        }
        self.rest();
        refused.map_or(Ok(()), |error| Err(CallError::Refused(error)))
    }

    fn rows_per_piece(&self, frame: &Frame<'_>, passage: &Passage) -> CallResult<usize> {
        let shape = piece_shape(frame, 1);
        let room = self.process.ring.value_words();
        let fitting = shape.row_words().map_or(0, |words| room / words.max(1));
        let most = passage.most_rows.min(u32::MAX as usize).max(1);
        if fitting > 0 || frame.rows() == 0 {
            return Ok(fitting.clamp(1, most));
        }
        let bytes = shape
            .row_words()
            .map_or(usize::MAX, |words| words.saturating_mul(4));
        Err(CallError::Refused(PluginError::argument(format!(
            "{}: one row takes {bytes} bytes with its answers, but the shared memory of its worker \
             holds {}; raise `ring_bytes`",
            self.process.name(),
            room * 4
        ))))
    }

    fn send_piece(
        &mut self,
        frame: &Frame<'_>,
        rows: Range<usize>,
        passage: &Passage,
        doing: &str,
    ) -> CallResult<Pending> {
        let shape = piece_shape(frame, rows.len());
        let sequence = self.submitted.wrapping_add(1);
        // The slot may still belong to an earlier frame whose answer was too late.
        let earlier = sequence.wrapping_sub(SLOTS);
        if !self.has_answered(earlier) {
            self.await_answer(earlier, frame.deadline_ns(), doing)
                .map_err(|error| match error {
                    CallError::Late(_) => CallError::Unsent(PluginError::new(
                        Status::Deadline,
                        format!(
                            "{}: its worker still works on earlier frames; this one was not sent",
                            self.process.name()
                        ),
                    )),
                    other => other,
                })?;
        }
        self.set_limit(frame.deadline_ns(), passage);
        write_piece(
            &self.process.ring,
            sequence,
            frame,
            (&rows, &shape, passage.kind),
        );
        self.submit(sequence);
        Ok(Pending {
            sequence,
            rows,
            shape,
        })
    }

    fn set_limit(&self, deadline_ns: Option<u64>, passage: &Passage) {
        let ns = |ms: u64| ms.saturating_mul(1_000_000);
        let now = SystemClock.now_ns();
        let limit = deadline_ns.map_or_else(
            || now.saturating_add(ns(passage.limit_ms)),
            // A deadline that has passed already gives the grace from now on.
            |deadline| deadline.max(now).saturating_add(ns(passage.grace_ms)),
        );
        self.process.is_busy.store(true, Ordering::Relaxed);
        self.process.arm(limit);
    }

    fn take_piece(
        &mut self,
        frame: &mut Frame<'_>,
        piece: &Pending,
        doing: &str,
    ) -> CallResult<()> {
        self.await_answer(piece.sequence, frame.deadline_ns(), doing)?;
        let slot = self.process.ring.slot(piece.sequence);
        let status = slot.get(place::STATUS).cast_signed();
        if status != 0 {
            let error = PluginError::new(Status::of_plugin(status), slot.read_error());
            return Err(CallError::Refused(error));
        }
        let output = piece.shape.places().output;
        for (position, row) in piece.rows.clone().enumerate() {
            let from = output + position * piece.shape.outputs;
            slot.read_floats(from, frame.output_row_mut(row));
        }
        Ok(())
    }
}

/// The shape of `rows` rows of a frame, as they lie in a slot.
fn piece_shape(frame: &Frame<'_>, rows: usize) -> PieceShape {
    let FrameShape {
        window,
        columns,
        output_columns,
        ..
    } = frame.shape();
    let mut flags = 0;
    for (flag, is_set) in [
        (REPLAY, frame.is_replay()),
        (EVENT, frame.event_ns().is_some()),
        (DEADLINE, frame.deadline_ns().is_some()),
        (ROW_EVENTS, frame.row_event_ns().is_some()),
        (SYMBOLS, frame.symbols().is_some()),
    ] {
        flags |= if is_set { flag } else { 0 };
    }
    PieceShape {
        rows,
        window,
        columns,
        outputs: output_columns,
        flags,
    }
}

fn write_piece(
    ring: &Ring,
    sequence: u32,
    frame: &Frame<'_>,
    (rows, shape, kind): (&Range<usize>, &PieceShape, u32),
) {
    let slot = ring.slot(sequence);
    let places = shape.places();
    slot.set(place::KIND, kind);
    slot.set(place::FLAGS, shape.flags);
    for (place, count) in [
        (place::ROWS, shape.rows),
        (place::WINDOW, shape.window),
        (place::COLUMNS, shape.columns),
        (place::OUTPUTS, shape.outputs),
    ] {
        // The piece fits into the ring, so its counts fit into a word.
        slot.set(place, u32::try_from(count).unwrap_or(u32::MAX));
    }
    slot.set_wide(
        place::EVENT_NS,
        frame.event_ns().unwrap_or(0).cast_unsigned(),
    );
    slot.set_wide(place::DEADLINE_NS, frame.deadline_ns().unwrap_or(0));
    let mut input = places.input;
    for (position, row) in rows.clone().enumerate() {
        let window = frame.row(row);
        match window.as_matrix() {
            Some(values) => {
                slot.write_floats(input, values);
                input += values.len();
            }
            None => {
                for step in 0..window.steps() {
                    slot.write_floats(input, window.step(step));
                    input += shape.columns;
                }
            }
        }
        if let Some(times) = frame.row_event_ns() {
            slot.set_wide(places.row_events + 2 * position, times[row].cast_unsigned());
        }
        if let Some(symbols) = frame.symbols() {
            slot.set(places.symbols + position, symbols[row]);
        }
        // What a model leaves unwritten stays as the caller had it, as in its own process.
        slot.write_floats(
            places.output + position * shape.outputs,
            frame.output_row(row),
        );
    }
}
