//! A LightGBM model that answers itself.
//!
//! LightGBM gets a packed batch as a whole; a single row, rows with gaps between them, and rows
//! that would have to wait for a fit with another number of threads go one by one through its
//! prepared single-row path. The answers are the same bits. Quantiles are one booster for each
//! level, put in order.

use std::ffi::CString;

use fusebox_plugin_api::prelude::*;

use super::{Booster, Grant, Library, Output, RowPredictor, ascending, share, try_acquire};
use crate::booster::{Answers, Importance, WriteAnswer};
use crate::params::predict_text;

/// Rows predicted by one call of LightGBM's batch path; bounds the buffer of raw answers.
const BATCH_ROWS: usize = 4_096;
/// Fewest rows for which setting up a batch pays.
const FEWEST_BATCH_ROWS: usize = 16;

/// A finished model.
#[derive(Debug)]
pub(crate) struct LightGbmAnswers {
    /// One, or one for each level.
    predictors: Vec<RowPredictor>,
    columns: usize,
    outputs: usize,
    iterations: usize,
    threads: u32,
    batch_parameters: CString,
    /// LightGBM's answers in f64, one booster after the other; grows to the largest batch seen and
    /// stays.
    raw: Vec<f64>,
    /// The answer of one row.
    answer: Vec<f64>,
}

impl LightGbmAnswers {
    /// Reads a model that LightGBM wrote.
    pub(crate) fn open(library: &'static Library, texts: &[CString], threads: u32) -> Result<Self> {
        let grant = share();
        let parameters = predict_text(grant.threads())?;
        let (mut predictors, mut iterations) = (Vec::with_capacity(texts.len()), 0);
        for text in texts {
            let (booster, held) = Booster::from_text(library, text)?;
            iterations = iterations.max(held);
            predictors.push(RowPredictor::new(booster, &parameters)?);
        }
        drop(grant);
        let columns = predictors.first().map_or(0, RowPredictor::columns);
        let outputs = predictors.iter().map(RowPredictor::outputs).sum();
        let alike = |one: &RowPredictor| one.columns() == columns;
        let single = |one: &RowPredictor| predictors.len() == 1 || one.outputs() == 1;
        if predictors.is_empty() || !predictors.iter().all(|one| alike(one) && single(one)) {
            return Err(PluginError::data(
                "not a usable artifact: its models do not belong together",
            ));
        }
        Ok(Self {
            predictors,
            columns,
            outputs,
            iterations,
            threads,
            batch_parameters: predict_text(threads)?,
            raw: Vec::new(),
            answer: vec![0.0; outputs],
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
        for row in 0..frame.rows() {
            let mut rest = &mut self.answer[..];
            for predictor in &mut self.predictors {
                let (own, after) = rest.split_at_mut(predictor.outputs());
                predictor.predict_row(frame.features(row), own)?;
                rest = after;
            }
            self.put_in_order();
            write(&self.answer, frame.output_row_mut(row));
        }
        Ok(())
    }

    fn predict_batch(&mut self, frame: &mut Frame<'_>, write: WriteAnswer<'_>) -> Result<()> {
        let (rows, columns) = (frame.rows(), frame.columns());
        let room = rows.min(BATCH_ROWS) * self.outputs;
        if self.raw.len() < room {
            self.raw.resize(room, 0.0);
        }
        for first in (0..rows).step_by(BATCH_ROWS) {
            let count = BATCH_ROWS.min(rows - first);
            let block = &frame.input()[first * columns..(first + count) * columns];
            let mut rest = &mut self.raw[..count * self.outputs];
            for predictor in &self.predictors {
                let (own, after) = rest.split_at_mut(count * predictor.outputs());
                let booster = predictor.booster();
                booster.predict(block, Output::Normal, &self.batch_parameters, own)?;
                rest = after;
            }
            for row in 0..count {
                self.gather(row, count);
                self.put_in_order();
                write(&self.answer, frame.output_row_mut(first + row));
            }
        }
        Ok(())
    }

    /// Takes the answer of a row out of a batch of `count` rows.
    fn gather(&mut self, row: usize, count: usize) {
        let per_booster = self.outputs / self.predictors.len();
        for (position, place) in self.answer.iter_mut().enumerate() {
            let (booster, output) = (position / per_booster, position % per_booster);
            *place = self.raw[(booster * count + row) * per_booster + output];
        }
    }

    fn put_in_order(&mut self) {
        if self.predictors.len() > 1 {
            ascending(&mut self.answer);
        }
    }
}

impl Answers for LightGbmAnswers {
    fn columns(&self) -> usize {
        self.columns
    }

    fn outputs(&self) -> usize {
        self.outputs
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
        let mut total = vec![0.0; self.columns];
        for predictor in &self.predictors {
            let own = predictor.booster().importance(kind)?;
            for (total, own) in total.iter_mut().zip(own) {
                *total += own;
            }
        }
        Ok(total)
    }

    fn contributions(&self, row: &[f32]) -> Result<Vec<f64>> {
        let grant = share();
        let parameters = predict_text(grant.threads())?;
        let mut all = Vec::new();
        for predictor in &self.predictors {
            let booster = predictor.booster();
            let mut values = vec![0.0; booster.output_len(1, Output::Contributions)?];
            booster.predict(row, Output::Contributions, &parameters, &mut values)?;
            all.append(&mut values);
        }
        Ok(all)
    }
}
