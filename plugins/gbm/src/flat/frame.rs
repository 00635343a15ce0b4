//! Frames through a forest: one row at once, many rows in blocks, on several threads where it pays.

use std::sync::{Mutex, PoisonError};
use std::thread;

use fusebox_plugin_api::prelude::*;

use super::{Forest, Scratch};

/// Rows whose answers wait together, for each thread; bounds the buffer.
const BATCH_ROWS: usize = 4_096;
/// Rows that a thread takes at a time, and fewest rows for which another thread pays.
const SHARE_ROWS: usize = 1_024;

/// A forest with its buffers.
#[derive(Debug)]
pub(crate) struct FlatPredictor {
    forest: Forest,
    /// One for each thread.
    scratch: Vec<Scratch>,
    /// Answers in f64, as the library gives them; grows to the largest batch seen and stays.
    answers: Vec<f64>,
}

impl FlatPredictor {
    /// Answers on at most `threads` threads.
    pub(crate) fn new(forest: Forest, threads: u32) -> Self {
        Self {
            scratch: vec![Scratch::default(); threads.max(1) as usize],
            answers: vec![0.0; forest.outputs()],
            forest,
        }
    }

    /// The forest.
    pub(crate) fn forest(&self) -> &Forest {
        &self.forest
    }

    /// Answers every row of a frame that has the forest's columns; `write` puts an answer of the
    /// library's into the frame.
    pub(crate) fn predict(&mut self, frame: &mut Frame<'_>, write: impl Fn(&[f64], &mut [f32])) {
        let (rows, outputs) = (frame.rows(), self.forest.outputs());
        if let (1, Some(scratch)) = (rows, self.scratch.first_mut()) {
            let answer = &mut self.answers[..outputs];
            self.forest.predict_row(frame.features(0), scratch, answer);
            return write(answer, frame.output_row_mut(0));
        }
        let batch = BATCH_ROWS * self.scratch.len();
        let room = rows.min(batch) * outputs;
        if self.answers.len() < room {
            self.answers.resize(room, 0.0);
        }
        for first in (0..rows).step_by(batch) {
            let count = batch.min(rows - first);
            self.fill(frame, first, count);
            let answers = self.answers[..count * outputs].chunks_exact(outputs);
            for (row, answer) in (first..).zip(answers) {
                write(answer, frame.output_row_mut(row));
            }
        }
    }

    /// Puts the answers of `count` rows from `first` on at the beginning of the buffer. A thread
    /// that cannot be started leaves its share to the others.
    fn fill(&mut self, frame: &Frame<'_>, first: usize, count: usize) {
        let (forest, outputs) = (&self.forest, self.forest.outputs());
        let shares = self.answers[..count * outputs].chunks_mut(SHARE_ROWS * outputs);
        let threads = shares.len().min(self.scratch.len()).max(1);
        let queue = Mutex::new(shares.enumerate());
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        let work = |scratch: &mut Scratch| {
            while let Some((share, answers)) = next() {
                let start = first + share * SHARE_ROWS;
                forest.predict_rows(|row| frame.features(start + row), scratch, answers);
            }
        };
        let Some((own, others)) = self.scratch[..threads].split_first_mut() else {
            return;
        };
        thread::scope(|scope| {
            for scratch in others {
                let started = thread::Builder::new().spawn_scoped(scope, || work(scratch));
                if started.is_err() {
                    break;
                }
            }
            work(own);
        });
    }
}
