//! XGBoost's boosters behind safe handles: training, models read from text, and predictions.
//!
//! What XGBoost returns is copied before a call returns, because its next call overwrites it. It
//! never decides anything about training.

#![allow(
    unsafe_code,
    reason = "calls into the XGBoost library, which has only a C interface"
)]

use std::ffi::{CStr, CString, c_char, c_int};
use std::{ptr, slice};

use fusebox_plugin_api::prelude::*;

use super::super::array::interface;
use super::{Handle, Library, Matrix, zero_terminated};

/// A model, in training or read from text.
#[derive(Debug)]
pub(crate) struct Booster {
    handle: Handle,
    library: &'static Library,
}

// SAFETY: an XGBoost booster has no thread affinity, and no second reference to its handle is
// handed out; what its calls return is copied before they return here.
unsafe impl Send for Booster {}

impl Booster {
    /// A booster that keeps the sums of the trees for the rows of `matrices`.
    pub(crate) fn new(library: &'static Library, matrices: &[&Matrix]) -> Result<Self> {
        let handles: Vec<Handle> = matrices.iter().map(|matrix| matrix.handle).collect();
        let mut handle = ptr::null_mut();
        let create = library.functions.booster_create;
        let count = handles.len() as u64;
        // SAFETY: the array holds that many live matrices.
        let code = unsafe { create(handles.as_ptr(), count, &raw mut handle) };
        library.check(code, "BoosterCreate")?;
        Ok(Self { handle, library })
    }

    /// Sets a parameter.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let (name, value) = (zero_terminated(name)?, zero_terminated(value)?);
        let set = self.library.functions.booster_set_param;
        // SAFETY: both texts are zero-terminated and live, and XGBoost copies them.
        let code = unsafe { set(self.handle, name.as_ptr(), value.as_ptr()) };
        self.library.check(code, "BoosterSetParam")
    }

    /// Takes the trees of `text` over, which must be one that XGBoost wrote.
    pub(crate) fn load(&mut self, text: &CStr) -> Result<()> {
        let (bytes, load) = (text.to_bytes(), self.library.functions.booster_load);
        let length = bytes.len() as u64;
        // SAFETY: the buffer is live and that long.
        let code = unsafe { load(self.handle, bytes.as_ptr().cast(), length) };
        self.library.check(code, "BoosterLoadModelFromBuffer")
    }

    /// The model as JSON.
    pub(crate) fn to_text(&self) -> Result<CString> {
        let (mut length, mut text) = (0, ptr::null());
        let save = self.library.functions.booster_save;
        let format = c"{\"format\":\"json\"}";
        // SAFETY: the handle is live and both results outlive the call.
        let code = unsafe { save(self.handle, format.as_ptr(), &raw mut length, &raw mut text) };
        self.library.check(code, "BoosterSaveModelToBuffer")?;
        let length = usize::try_from(length).unwrap_or(0);
        // SAFETY: XGBoost returns that many bytes of its own, unchanged until its next call.
        let bytes = unsafe { slice::from_raw_parts(text.cast::<u8>(), length) };
        CString::new(bytes)
            .map_err(|_| PluginError::internal("XGBoost wrote a model with a zero byte"))
    }

    /// The first `rounds` rounds as a booster of its own.
    pub(crate) fn first_rounds(&self, rounds: usize) -> Result<Self> {
        let end = c_int::try_from(rounds)
            .map_err(|_| PluginError::argument("at most 2^31 - 1 rounds"))?;
        let mut handle = ptr::null_mut();
        // SAFETY: the handle is live and the result outlives the call.
        let code = unsafe {
            (self.library.functions.booster_slice)(self.handle, 0, end, 1, &raw mut handle)
        };
        self.library.check(code, "BoosterSlice")?;
        let library = self.library;
        Ok(Self { handle, library })
    }

    /// Rounds held, those of an earlier model included.
    pub(crate) fn rounds(&self) -> Result<usize> {
        let mut rounds = 0;
        let count = self.library.functions.booster_rounds;
        // SAFETY: the handle is live and the result outlives the call.
        let code = unsafe { count(self.handle, &raw mut rounds) };
        self.library.check(code, "BoosterBoostedRounds")?;
        Ok(usize::try_from(rounds).unwrap_or(0))
    }

    /// The columns a row must have.
    pub(crate) fn columns(&self) -> Result<usize> {
        let mut columns = 0;
        let count = self.library.functions.booster_num_feature;
        // SAFETY: the handle is live and the result outlives the call.
        let code = unsafe { count(self.handle, &raw mut columns) };
        self.library.check(code, "BoosterGetNumFeature")?;
        Ok(usize::try_from(columns).unwrap_or(0))
    }

    /// Adds the trees of round `round`.
    pub(crate) fn update(&mut self, round: u32, train: &Matrix) -> Result<()> {
        let round = c_int::try_from(round).unwrap_or(c_int::MAX);
        let update = self.library.functions.booster_update;
        // SAFETY: both handles are live.
        let code = unsafe { update(self.handle, round, train.handle) };
        self.library.check(code, "BoosterUpdateOneIter")
    }

    /// XGBoost's line about its metrics on `rows`, such as `[3]\tvalid-rmse:0.25`.
    pub(crate) fn evaluate(&mut self, round: u32, rows: &Matrix) -> Result<String> {
        let round = c_int::try_from(round).unwrap_or(c_int::MAX);
        let (matrices, names) = ([rows.handle], [c"valid".as_ptr()]);
        let mut text = ptr::null();
        // SAFETY: both arrays have the one element that is announced, and the result outlives the
        // call.
        let code = unsafe {
            (self.library.functions.booster_evaluate)(
                self.handle,
                round,
                matrices.as_ptr(),
                names.as_ptr(),
                1,
                &raw mut text,
            )
        };
        self.library.check(code, "BoosterEvalOneIter")?;
        // SAFETY: XGBoost returns a zero-terminated text, unchanged until its next call.
        let text = unsafe { CStr::from_ptr(text) };
        Ok(text.to_string_lossy().into_owned())
    }

    /// Answers packed rows of `columns` numbers, row by row.
    pub(crate) fn predict(&self, rows: &[f32], columns: usize) -> Result<Vec<f32>> {
        let data = zero_terminated(&interface(rows, columns))?;
        let settings = c"{\"type\":0,\"training\":false,\"iteration_begin\":0,\
            \"iteration_end\":0,\"strict_shape\":true,\"cache_id\":0,\"missing\":NaN}";
        let (mut shape, mut dimensions, mut values) = (ptr::null(), 0, ptr::null());
        // SAFETY: the description names live memory of whole rows, read during the call only.
        let code = unsafe {
            (self.library.functions.booster_predict_dense)(
                self.handle,
                data.as_ptr(),
                settings.as_ptr(),
                ptr::null_mut(),
                &raw mut shape,
                &raw mut dimensions,
                &raw mut values,
            )
        };
        self.library.check(code, "BoosterPredictFromDense")?;
        Ok(copied(shape, dimensions, values))
    }

    /// SHAP values of the rows: for each row and output one per column, then the expected value.
    pub(crate) fn contributions(&self, rows: &Matrix) -> Result<Vec<f32>> {
        let settings = c"{\"type\":2,\"training\":false,\"iteration_begin\":0,\
            \"iteration_end\":0,\"strict_shape\":true}";
        self.predict_matrix(rows, settings)
    }

    /// Answers the rows of a matrix, row by row. Those of a matrix that the booster was made with
    /// cost only the trees that are new.
    pub(crate) fn answers(&self, rows: &Matrix) -> Result<Vec<f32>> {
        let settings = c"{\"type\":0,\"training\":false,\"iteration_begin\":0,\
            \"iteration_end\":0,\"strict_shape\":true}";
        self.predict_matrix(rows, settings)
    }

    fn predict_matrix(&self, rows: &Matrix, settings: &CStr) -> Result<Vec<f32>> {
        let (mut shape, mut dimensions, mut values) = (ptr::null(), 0, ptr::null());
        // SAFETY: both handles are live and the results outlive the call.
        let code = unsafe {
            (self.library.functions.booster_predict_matrix)(
                self.handle,
                rows.handle,
                settings.as_ptr(),
                &raw mut shape,
                &raw mut dimensions,
                &raw mut values,
            )
        };
        self.library.check(code, "BoosterPredictFromDMatrix")?;
        Ok(copied(shape, dimensions, values))
    }

    /// For each row and tree the node of the leaf.
    #[cfg(test)]
    pub(crate) fn leaves(&self, rows: &Matrix) -> Result<Vec<f32>> {
        let settings = c"{\"type\":6,\"training\":false,\"iteration_begin\":0,\
            \"iteration_end\":0,\"strict_shape\":false}";
        let (mut shape, mut dimensions, mut values) = (ptr::null(), 0, ptr::null());
        // SAFETY: both handles are live and the results outlive the call.
        let code = unsafe {
            (self.library.functions.booster_predict_matrix)(
                self.handle,
                rows.handle,
                settings.as_ptr(),
                &raw mut shape,
                &raw mut dimensions,
                &raw mut values,
            )
        };
        self.library.check(code, "BoosterPredictFromDMatrix")?;
        Ok(copied(shape, dimensions, values))
    }

    /// Name, `f` with the column's position, and score of every column that is used.
    pub(crate) fn scores(&self, kind: &str) -> Result<Vec<(String, f32)>> {
        let settings = zero_terminated(&format!("{{\"importance_type\":\"{kind}\"}}"))?;
        let (mut count, mut names) = (0, ptr::null());
        let (mut dimensions, mut shape, mut values) = (0, ptr::null(), ptr::null());
        // SAFETY: the handle is live and every result outlives the call.
        let code = unsafe {
            (self.library.functions.booster_feature_score)(
                self.handle,
                settings.as_ptr(),
                &raw mut count,
                &raw mut names,
                &raw mut dimensions,
                &raw mut shape,
                &raw mut values,
            )
        };
        self.library.check(code, "BoosterFeatureScore")?;
        let values = copied(shape, dimensions, values);
        let count = usize::try_from(count).unwrap_or(0);
        if count == 0 {
            return Ok(Vec::new());
        }
        // SAFETY: XGBoost returns that many names of its own, unchanged until its next call.
        let names = unsafe { slice::from_raw_parts(names, count) };
        let text = |name: &*const c_char| {
            // SAFETY: each name is zero-terminated and lives as long as the array.
            let name = unsafe { CStr::from_ptr(*name) };
            name.to_string_lossy().into_owned()
        };
        Ok(names.iter().map(text).zip(values).collect())
    }
}

impl Drop for Booster {
    fn drop(&mut self) {
        // SAFETY: the handle came from XGBoost, is owned by this value alone and freed once.
        unsafe { (self.library.functions.booster_free)(self.handle) };
    }
}

/// A copy of an array that XGBoost returned with its shape.
fn copied(shape: *const u64, dimensions: u64, values: *const f32) -> Vec<f32> {
    let dimensions = usize::try_from(dimensions).unwrap_or(0);
    if dimensions == 0 || shape.is_null() {
        return Vec::new();
    }
    // SAFETY: XGBoost returns one size per dimension, unchanged until its next call.
    let shape = unsafe { slice::from_raw_parts(shape, dimensions) };
    let count = usize::try_from(shape.iter().product::<u64>()).unwrap_or(0);
    if count == 0 || values.is_null() {
        return Vec::new();
    }
    // SAFETY: XGBoost returns as many values as the shape has places, unchanged until its next
    // call.
    unsafe { slice::from_raw_parts(values, count) }.to_vec()
}
