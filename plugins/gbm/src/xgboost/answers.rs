//! An XGBoost model that answers itself, in place: rows are read where the host has them.

use std::ffi::CStr;

use fusebox_plugin_api::prelude::*;

use super::Library;
use super::ffi::{Booster, Matrix};
use crate::booster::{Answers, Importance, WriteAnswer};

/// Rows answered by one call; bounds what XGBoost keeps for them.
const BATCH_ROWS: usize = 4_096;

/// A finished model.
#[derive(Debug)]
pub(crate) struct XgBoostAnswers {
    booster: Booster,
    library: &'static Library,
    columns: usize,
    outputs: usize,
    iterations: usize,
    answer: Vec<f64>,
}

impl XgBoostAnswers {
    /// Reads a model that XGBoost wrote.
    pub(crate) fn open(library: &'static Library, text: &CStr, threads: u32) -> Result<Self> {
        let mut booster = Booster::new(library, &[])?;
        booster.load(text)?;
        booster.set("nthread", &threads.to_string())?;
        booster.set("verbosity", "0")?;
        let columns = booster.columns()?;
        let outputs = booster.predict(&vec![f32::NAN; columns], columns)?.len();
        Ok(Self {
            library,
            columns,
            outputs,
            iterations: booster.rounds()?,
            answer: vec![0.0; outputs],
            booster,
        })
    }

    fn write(
        &mut self,
        frame: &mut Frame<'_>,
        first: usize,
        values: &[f32],
        write: WriteAnswer<'_>,
    ) {
        for (row, values) in (first..).zip(values.chunks_exact(self.outputs)) {
            for (place, value) in self.answer.iter_mut().zip(values) {
                *place = f64::from(*value);
            }
            write(&self.answer, frame.output_row_mut(row));
        }
    }
}

impl Answers for XgBoostAnswers {
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
        let (rows, shape) = (frame.rows(), frame.shape());
        let packed = shape.row_stride == shape.columns;
        let batch = if packed { BATCH_ROWS } else { 1 };
        for first in (0..rows).step_by(batch) {
            let input = match packed {
                true => {
                    let last = rows.min(first + batch);
                    &frame.input()[first * self.columns..last * self.columns]
                }
                false => frame.features(first),
            };
            let values = self.booster.predict(input, self.columns)?;
            self.write(frame, first, &values, write);
        }
        Ok(())
    }

    fn importance(&self, kind: Importance) -> Result<Vec<f64>> {
        let mut importance = vec![0.0; self.columns];
        let kind = match kind {
            Importance::Split => "weight",
            Importance::Gain => "total_gain",
        };
        for (name, score) in self.booster.scores(kind)? {
            let column = name
                .strip_prefix('f')
                .and_then(|text| text.parse::<usize>().ok());
            match column.and_then(|column| importance.get_mut(column)) {
                Some(place) => *place = f64::from(score),
                None => {
                    let message = format!("XGBoost scores a column `{name}` that it does not have");
                    return Err(PluginError::internal(message));
                }
            }
        }
        Ok(importance)
    }

    fn contributions(&self, row: &[f32]) -> Result<Vec<f64>> {
        let row = Matrix::from_rows(self.library, row, self.columns)?;
        let values = self.booster.contributions(&row)?;
        Ok(values.into_iter().map(f64::from).collect())
    }
}
