//! LightGBM's boosters behind safe handles: training, models read from text, and predictions.
//!
//! Every length is checked before a pointer is handed over. It never decides anything about
//! training.

#![allow(
    unsafe_code,
    reason = "calls into the LightGBM library, which has only a C interface"
)]

use std::ffi::{CStr, CString, c_int};
use std::ptr;
use std::rc::Rc;

use fusebox_plugin_api::prelude::*;

use super::super::Output;
use super::super::runs::ROW_MAJOR;
use super::{Binned, FLOAT32, GetNumber, Handle, Library};
use crate::booster::Importance;

/// LightGBM's codes for the importances.
const BY_SPLIT: c_int = 0;
const BY_GAIN: c_int = 1;
/// LightGBM's code for "every iteration".
const ALL_ITERATIONS: c_int = -1;

/// A model read from text.
#[derive(Debug)]
pub(crate) struct Booster {
    handle: Handle,
    library: &'static Library,
}

// SAFETY: a LightGBM booster has no thread affinity; this type hands out no second reference to
// its handle, and its `&self` methods only read under LightGBM's own lock.
unsafe impl Send for Booster {}

impl Booster {
    /// Reads a model; returns it with its number of iterations. The text must be one that
    /// LightGBM wrote: its reader trusts it.
    pub(crate) fn from_text(library: &'static Library, text: &CStr) -> Result<(Self, usize)> {
        library.capture_log()?;
        let load = library.functions.booster_load_model_from_string;
        let (mut handle, mut iterations) = (ptr::null_mut(), 0);
        // SAFETY: the text is zero-terminated and both results outlive the call.
        let code = unsafe { load(text.as_ptr(), &raw mut iterations, &raw mut handle) };
        library.check(code, "BoosterLoadModelFromString")?;
        let booster = Self { handle, library };
        Ok((booster, usize::try_from(iterations).unwrap_or(0)))
    }

    /// The iterations held, those of an earlier model included.
    pub(crate) fn iterations(&self) -> Result<usize> {
        let call = self.library.functions.booster_get_current_iteration;
        self.number(call, "BoosterGetCurrentIteration")
    }

    /// The columns a row must have.
    pub(crate) fn columns(&self) -> Result<usize> {
        let call = self.library.functions.booster_get_num_feature;
        self.number(call, "BoosterGetNumFeature")
    }

    fn number(&self, call: GetNumber, name: &str) -> Result<usize> {
        let mut number: c_int = 0;
        // SAFETY: the handle is live and the result outlives the call.
        let code = unsafe { call(self.handle, &raw mut number) };
        self.library.check(code, name)?;
        Ok(usize::try_from(number).unwrap_or(0))
    }

    /// The model as LightGBM's text: the first `iterations`, or all of them.
    pub(crate) fn to_text(&self, iterations: Option<usize>) -> Result<CString> {
        let count = iterations.map_or(ALL_ITERATIONS, |count| {
            c_int::try_from(count).unwrap_or(ALL_ITERATIONS)
        });
        let mut buffer: Vec<u8> = vec![0; 1 << 16];
        loop {
            let room = i64::try_from(buffer.len()).unwrap_or(i64::MAX);
            let mut needed = 0;
            let save = self.library.functions.booster_save_model_to_string;
            // SAFETY: the buffer has `room` bytes; LightGBM writes only where the text fits.
            let code = unsafe {
                let text = buffer.as_mut_ptr().cast();
                save(self.handle, 0, count, BY_GAIN, room, &raw mut needed, text)
            };
            self.library.check(code, "BoosterSaveModelToString")?;
            let needed = usize::try_from(needed).unwrap_or(0);
            if needed <= buffer.len() {
                buffer.truncate(needed);
                return CString::from_vec_with_nul(buffer)
                    .map_err(|_| PluginError::internal("LightGBM wrote a text with a zero byte"));
            }
            buffer.resize(needed, 0);
        }
    }

    /// One number per column.
    pub(crate) fn importance(&self, kind: Importance) -> Result<Vec<f64>> {
        let mut values = vec![0.0; self.columns()?];
        let call = self.library.functions.booster_feature_importance;
        // SAFETY: LightGBM writes one value per column, and there is room for all of them.
        let code = unsafe {
            call(
                self.handle,
                ALL_ITERATIONS,
                match kind {
                    Importance::Split => BY_SPLIT,
                    Importance::Gain => BY_GAIN,
                },
                values.as_mut_ptr(),
            )
        };
        self.library.check(code, "BoosterFeatureImportance")?;
        Ok(values)
    }

    /// The values [`predict`](Self::predict) writes for `rows` rows.
    pub(crate) fn output_len(&self, rows: usize, output: Output) -> Result<usize> {
        let rows = i32::try_from(rows)
            .map_err(|_| PluginError::argument("at most 2^31 - 1 rows in one prediction"))?;
        let mut length = 0;
        let call = self.library.functions.booster_calc_num_predict;
        let kind = output as c_int;
        // SAFETY: the handle is live and the result outlives the call.
        let code = unsafe { call(self.handle, rows, kind, 0, ALL_ITERATIONS, &raw mut length) };
        self.library.check(code, "BoosterCalcNumPredict")?;
        Ok(usize::try_from(length).unwrap_or(0))
    }

    /// Predicts contiguous row-major `rows` on LightGBM's threads; the number of threads is among
    /// `parameters` and must be the one that the process-wide gate granted.
    pub(crate) fn predict(
        &self,
        rows: &[f32],
        output: Output,
        parameters: &CStr,
        values: &mut [f64],
    ) -> Result<()> {
        let columns = self.columns()?;
        let count = rows.len() / columns.max(1);
        let expected = self.output_len(count, output)?;
        if rows.len() != count * columns || values.len() != expected {
            let (given, room) = (rows.len(), values.len());
            return Err(PluginError::argument(format!(
                "{given} values are not whole rows of {columns} columns, or room for {room} \
                 outputs is not the {expected} that they yield"
            )));
        }
        let (count, columns) = (count as i32, columns as i32);
        let mut written = 0;
        // SAFETY: `rows` holds count x columns values and `values` has room for what LightGBM
        // announced for them; both were checked above.
        let code = unsafe {
            (self.library.functions.booster_predict_for_mat)(
                self.handle,
                rows.as_ptr().cast(),
                FLOAT32,
                count,
                columns,
                ROW_MAJOR,
                output as c_int,
                0,
                ALL_ITERATIONS,
                parameters.as_ptr(),
                &raw mut written,
                values.as_mut_ptr(),
            )
        };
        self.library.check(code, "BoosterPredictForMat")
    }
}

impl Drop for Booster {
    fn drop(&mut self) {
        // SAFETY: the handle came from LightGBM, is owned by this value alone and freed once.
        unsafe { (self.library.functions.booster_free)(self.handle) };
    }
}

/// A model in training, with the data sets that it points to.
#[derive(Debug)]
pub(crate) struct Training {
    // Freed first.
    booster: Booster,
    datasets: Vec<Rc<Binned>>,
}

impl Training {
    /// Starts training on `train`.
    pub(crate) fn start(train: &Rc<Binned>, parameters: &CStr) -> Result<Self> {
        let library = train.library;
        library.capture_log()?;
        let create = library.functions.booster_create;
        let mut handle = ptr::null_mut();
        // SAFETY: the data set lives at least as long as the booster, which keeps it below.
        let code = unsafe { create(train.handle, parameters.as_ptr(), &raw mut handle) };
        library.check(code, "BoosterCreate")?;
        Ok(Self {
            booster: Booster { handle, library },
            datasets: vec![Rc::clone(train)],
        })
    }

    /// The model so far.
    pub(crate) fn booster(&self) -> &Booster {
        &self.booster
    }

    fn functions(&self) -> &super::Functions {
        &self.booster.library.functions
    }

    fn check(&self, code: c_int, call: &str) -> Result<()> {
        self.booster.library.check(code, call)
    }

    /// Puts the trees of `earlier` before those of this booster, which has none yet.
    pub(crate) fn continue_from(&mut self, earlier: &Booster) -> Result<()> {
        let merge = self.functions().booster_merge;
        // SAFETY: both handles are live; LightGBM copies the trees.
        let code = unsafe { merge(self.booster.handle, earlier.handle) };
        self.check(code, "BoosterMerge")
    }

    /// Adds rows on which the metric is evaluated; made with the training set as reference.
    pub(crate) fn add_validation(&mut self, valid: &Rc<Binned>) -> Result<()> {
        let add = self.functions().booster_add_valid_data;
        // SAFETY: both handles are live, and the data set is kept as long as the booster.
        let code = unsafe { add(self.booster.handle, valid.handle) };
        self.datasets.push(Rc::clone(valid));
        self.check(code, "BoosterAddValidData")
    }

    /// Adds one iteration; `true` where no leaf could be split any more.
    pub(crate) fn update(&mut self) -> Result<bool> {
        self.booster.library.capture_log()?;
        let call = self.functions().booster_update_one_iter;
        Ok(self.booster.number(call, "BoosterUpdateOneIter")? != 0)
    }

    /// The first metric on data set `index`: 0 training, 1 validation.
    pub(crate) fn metric(&self, index: c_int) -> Result<Option<f64>> {
        let call = self.functions().booster_get_eval_counts;
        let count = self.booster.number(call, "BoosterGetEvalCounts")?;
        let mut values = vec![0.0; count];
        let mut written = 0;
        let evaluate = self.functions().booster_get_eval;
        let handle = self.booster.handle;
        // SAFETY: LightGBM writes one value per metric, and there is room for all of them.
        let code = unsafe { evaluate(handle, index, &raw mut written, values.as_mut_ptr()) };
        self.check(code, "BoosterGetEval")?;
        values.truncate(usize::try_from(written).unwrap_or(0));
        Ok(values.first().copied())
    }

    /// The answers for data set `index`, class by class, each with one value per row.
    pub(crate) fn answers(&self, index: c_int) -> Result<Vec<f64>> {
        let mut count = 0;
        let call = self.functions().booster_get_num_predict;
        // SAFETY: the handle is live and the result outlives the call.
        let code = unsafe { call(self.booster.handle, index, &raw mut count) };
        self.check(code, "BoosterGetNumPredict")?;
        let mut values = vec![0.0; usize::try_from(count).unwrap_or(0)];
        let mut written = 0;
        let call = self.functions().booster_get_predict;
        let (handle, room) = (self.booster.handle, values.as_mut_ptr());
        // SAFETY: LightGBM announced how many values it writes, and there is room for them.
        let code = unsafe { call(handle, index, &raw mut written, room) };
        self.check(code, "BoosterGetPredict")?;
        Ok(values)
    }

    /// Gives every leaf a new value from the training rows, blended with its old one by the
    /// parameter `refit_decay_rate`. `leaves` says for each row, row by row, which leaf of each
    /// tree it reaches.
    pub(crate) fn refit(&mut self, leaves: &[i32]) -> Result<()> {
        let rows = self.datasets.first().map_or(0, |train| train.rows);
        let trees = leaves.len() / rows.max(1);
        if leaves.len() != rows * trees || trees == 0 {
            let count = leaves.len();
            let message = format!("{count} leaves for {rows} rows are not whole rows");
            return Err(PluginError::argument(message));
        }
        let too_many = |_| PluginError::data("LightGBM refits at most 2^31 - 1 rows and trees");
        let trees = i32::try_from(trees).map_err(too_many)?;
        let rows = i32::try_from(rows).map_err(too_many)?;
        let refit = self.functions().booster_refit;
        // SAFETY: the table has rows x trees entries, and LightGBM checks that the trees are as
        // many as it has; the leaves are those that it itself predicted for these trees.
        let code = unsafe { refit(self.booster.handle, leaves.as_ptr(), rows, trees) };
        self.check(code, "BoosterRefit")
    }
}

/// A booster with LightGBM's prepared configuration for one row at a time, without OpenMP.
#[derive(Debug)]
pub(crate) struct RowPredictor {
    fast_config: Handle,
    columns: usize,
    outputs: usize,
    booster: Booster,
}

// SAFETY: the prepared configuration belongs to the booster beside it, has no thread affinity, and
// is used through `&mut` alone.
unsafe impl Send for RowPredictor {}

impl RowPredictor {
    /// Prepares `booster` for single rows; `parameters` carry the granted number of threads.
    pub(crate) fn new(booster: Booster, parameters: &CStr) -> Result<Self> {
        let columns = booster.columns()?;
        let outputs = booster.output_len(1, Output::Normal)?;
        let width = i32::try_from(columns)
            .map_err(|_| PluginError::argument("at most 2^31 - 1 columns"))?;
        let library = booster.library;
        let mut fast_config = ptr::null_mut();
        // SAFETY: the booster is live and moves into the value that frees the configuration first.
        let code = unsafe {
            (library.functions.booster_fast_init)(
                booster.handle,
                Output::Normal as c_int,
                0,
                ALL_ITERATIONS,
                FLOAT32,
                width,
                parameters.as_ptr(),
                &raw mut fast_config,
            )
        };
        library.check(code, "BoosterPredictForMatSingleRowFastInit")?;
        Ok(Self {
            fast_config,
            columns,
            outputs,
            booster,
        })
    }

    /// The booster inside.
    pub(crate) fn booster(&self) -> &Booster {
        &self.booster
    }

    /// Values per row.
    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    /// Columns per row.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// Predicts one row into `values`, which has one place per output.
    pub(crate) fn predict_row(&mut self, row: &[f32], values: &mut [f64]) -> Result<()> {
        if row.len() != self.columns || values.len() != self.outputs {
            let (given, columns) = (row.len(), self.columns);
            let (room, outputs) = (values.len(), self.outputs);
            return Err(PluginError::argument(format!(
                "{given} values for a row of {columns}, room for {room} outputs of {outputs}"
            )));
        }
        let library = self.booster.library;
        let predict = library.functions.booster_fast_predict;
        let mut written = 0;
        // SAFETY: the row has the columns the configuration was made for and `values` the room
        // LightGBM announced for one row; both were checked above.
        let code = unsafe {
            predict(
                self.fast_config,
                row.as_ptr().cast(),
                &raw mut written,
                values.as_mut_ptr(),
            )
        };
        library.check(code, "BoosterPredictForMatSingleRowFast")
    }
}

impl Drop for RowPredictor {
    fn drop(&mut self) {
        // SAFETY: the configuration came from LightGBM and is freed once, before its booster.
        unsafe { (self.booster.library.functions.fast_config_free)(self.fast_config) };
    }
}
