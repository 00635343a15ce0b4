//! A LightGBM model that answers itself.
//!
//! LightGBM gets a packed batch as a whole; a single row, rows with gaps between them, and rows
//! that would have to wait for a fit with another number of threads go one by one through its
//! prepared single-row path. The answers are the same bits.

use std::ffi::{CStr, CString};

use fusebox_plugin_api::prelude::*;

use super::{Booster, Grant, Library, Output, RowPredictor, share, try_acquire};
use crate::booster::{Answers, Importance, WriteAnswer};
use crate::params::predict_text;

/// Rows predicted by one call of LightGBM's batch path; bounds the buffer of raw answers.
const BATCH_ROWS: usize = 4_096;
/// Fewest rows for which setting up a batch pays.
const FEWEST_BATCH_ROWS: usize = 16;

/// A finished model.
#[derive(Debug)]
pub(crate) struct LightGbmAnswers {
    predictor: RowPredictor,
    iterations: usize,
    threads: u32,
    batch_parameters: CString,
    /// LightGBM's answers in f64; grows to the largest batch seen and stays.
    answers: Vec<f64>,
}

impl LightGbmAnswers {
    /// Reads a model that LightGBM wrote.
    pub(crate) fn open(library: &'static Library, text: &CStr, threads: u32) -> Result<Self> {
        let (booster, iterations) = Booster::from_text(library, text)?;
        let grant = share();
        let predictor = RowPredictor::new(booster, &predict_text(grant.threads())?)?;
        drop(grant);
        Ok(Self {
            answers: vec![0.0; predictor.outputs()],
            predictor,
            iterations,
            threads,
            batch_parameters: predict_text(threads)?,
        })
    }

    /// The grant for a packed frame large enough, where it can be had without waiting.
    fn batch_grant(&self, frame: &Frame<'_>) -> Option<Grant> {
        let shape = frame.shape();
        let packed = shape.row_stride == shape.columns;
        let wanted = packed && shape.rows >= FEWEST_BATCH_ROWS;
        wanted.then(|| try_acquire(self.threads)).flatten()
    }

    fn predict_one_by_one(&mut self, frame: &mut Frame<'_>, write: WriteAnswer<'_>) -> Result<()> {
        let per_row = self.predictor.outputs();
        for row in 0..frame.rows() {
            let answers = &mut self.answers[..per_row];
            self.predictor.predict_row(frame.features(row), answers)?;
            write(answers, frame.output_row_mut(row));
        }
        Ok(())
    }

    fn predict_batch(&mut self, frame: &mut Frame<'_>, write: WriteAnswer<'_>) -> Result<()> {
        let (rows, columns) = (frame.rows(), frame.columns());
        let per_row = self.predictor.outputs();
        let room = rows.min(BATCH_ROWS) * per_row;
        if self.answers.len() < room {
            self.answers.resize(room, 0.0);
        }
        let input = frame.input();
        for first in (0..rows).step_by(BATCH_ROWS) {
            let last = rows.min(first + BATCH_ROWS);
            let answers = &mut self.answers[..(last - first) * per_row];
            let block = &input[first * columns..last * columns];
            let booster = self.predictor.booster();
            booster.predict(block, Output::Normal, &self.batch_parameters, answers)?;
            for (row, answer) in (first..last).zip(answers.chunks_exact(per_row)) {
                write(answer, frame.output_row_mut(row));
            }
        }
        Ok(())
    }
}

impl Answers for LightGbmAnswers {
    fn columns(&self) -> usize {
        self.predictor.columns()
    }

    fn outputs(&self) -> usize {
        self.predictor.outputs()
    }

    fn iterations(&self) -> usize {
        self.iterations
    }

    fn predict(&mut self, frame: &mut Frame<'_>, write: WriteAnswer<'_>) -> Result<()> {
        match self.batch_grant(frame) {
            Some(_grant) => self.predict_batch(frame, write),
            None => self.predict_one_by_one(frame, write),
        }
    }

    fn importance(&self, kind: Importance) -> Result<Vec<f64>> {
        self.predictor.booster().importance(kind)
    }

    fn contributions(&self, row: &[f32]) -> Result<Vec<f64>> {
        let booster = self.predictor.booster();
        let grant = share();
        let parameters = predict_text(grant.threads())?;
        let mut values = vec![0.0; booster.output_len(1, Output::Contributions)?];
        booster.predict(row, Output::Contributions, &parameters, &mut values)?;
        Ok(values)
    }
}
