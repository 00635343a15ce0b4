//! XGBoost's C API, resolved at run time, behind safe handles.
//!
//! Beside `lightgbm/ffi.rs` the only file of this plugin that contains `unsafe`. Above it nothing
//! sees a raw handle: a [`Matrix`] and a [`Booster`] free themselves, check every length before
//! they hand a pointer over, and turn `XGBGetLastError` into the contract's error. Signatures
//! follow `include/xgboost/c_api.h` of version 3.4. It never decides anything about training.
//!
//! XGBoost catches its own C++ exceptions at this boundary, so no call unwinds.

#![allow(
    unsafe_code,
    reason = "calls into the XGBoost library, which has only a C interface"
)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;
use std::{ptr, slice};

use fusebox_plugin_api::prelude::*;
use libloading::os::unix::{Library as Loaded, RTLD_LOCAL, RTLD_NOW};

use super::array::{Batches, interface};

/// Keeps the library mapped for good (`dlfcn.h`); its OpenMP threads may outlive every handle.
#[cfg(target_os = "macos")]
const RTLD_NODELETE: c_int = 0x80;
#[cfg(not(target_os = "macos"))]
const RTLD_NODELETE: c_int = 0x1000;

type Handle = *mut c_void;
type Free = unsafe extern "C" fn(Handle) -> c_int;
type SetData = unsafe extern "C" fn(Handle, BatchCsr) -> c_int;
type NextBatch = unsafe extern "C" fn(Handle, SetData, Handle) -> c_int;
type CreateFromIter =
    unsafe extern "C" fn(Handle, NextBatch, *const c_char, f32, *mut Handle) -> c_int;
type CreateFromDense = unsafe extern "C" fn(*const c_char, *const c_char, *mut Handle) -> c_int;
type SetFloats = unsafe extern "C" fn(Handle, *const c_char, *const f32, u64) -> c_int;
type GetCount = unsafe extern "C" fn(Handle, *mut u64) -> c_int;
type Slice = unsafe extern "C" fn(Handle, c_int, c_int, c_int, *mut Handle) -> c_int;
type Evaluate = unsafe extern "C" fn(
    Handle,
    c_int,
    *const Handle,
    *const *const c_char,
    u64,
    *mut *const c_char,
) -> c_int;
type PredictMatrix = unsafe extern "C" fn(
    Handle,
    Handle,
    *const c_char,
    *mut *const u64,
    *mut u64,
    *mut *const f32,
) -> c_int;
type PredictDense = unsafe extern "C" fn(
    Handle,
    *const c_char,
    *const c_char,
    Handle,
    *mut *const u64,
    *mut u64,
    *mut *const f32,
) -> c_int;
type Save = unsafe extern "C" fn(Handle, *const c_char, *mut u64, *mut *const c_char) -> c_int;
type FeatureScore = unsafe extern "C" fn(
    Handle,
    *const c_char,
    *mut u64,
    *mut *const *const c_char,
    *mut u64,
    *mut *const u64,
    *mut *const f32,
) -> c_int;

/// `XGBoostBatchCSR`.
#[repr(C)]
struct BatchCsr {
    size: usize,
    columns: usize,
    offset: *const i64,
    label: *const f32,
    weight: *const f32,
    index: *const c_int,
    value: *const f32,
}

/// The functions this plugin calls, named as in the header without their prefix.
#[derive(Debug)]
struct Functions {
    get_last_error: unsafe extern "C" fn() -> *const c_char,
    matrix_from_iter: CreateFromIter,
    matrix_from_dense: CreateFromDense,
    matrix_set_floats: SetFloats,
    matrix_num_row: GetCount,
    matrix_free: Free,
    booster_create: unsafe extern "C" fn(*const Handle, u64, *mut Handle) -> c_int,
    booster_set_param: unsafe extern "C" fn(Handle, *const c_char, *const c_char) -> c_int,
    booster_load: unsafe extern "C" fn(Handle, *const c_void, u64) -> c_int,
    booster_save: Save,
    booster_slice: Slice,
    booster_rounds: unsafe extern "C" fn(Handle, *mut c_int) -> c_int,
    booster_num_feature: GetCount,
    booster_update: unsafe extern "C" fn(Handle, c_int, Handle) -> c_int,
    booster_evaluate: Evaluate,
    booster_predict_matrix: PredictMatrix,
    booster_predict_dense: PredictDense,
    booster_feature_score: FeatureScore,
    booster_free: Free,
}

impl Functions {
    /// Looks every function up.
    fn resolve(loaded: &Loaded) -> Result<Self, libloading::Error> {
        Ok(Self {
            get_last_error: symbol(loaded, "XGBGetLastError")?,
            matrix_from_iter: symbol(loaded, "XGDMatrixCreateFromDataIter")?,
            matrix_from_dense: symbol(loaded, "XGDMatrixCreateFromDense")?,
            matrix_set_floats: symbol(loaded, "XGDMatrixSetFloatInfo")?,
            matrix_num_row: symbol(loaded, "XGDMatrixNumRow")?,
            matrix_free: symbol(loaded, "XGDMatrixFree")?,
            booster_create: symbol(loaded, "XGBoosterCreate")?,
            booster_set_param: symbol(loaded, "XGBoosterSetParam")?,
            booster_load: symbol(loaded, "XGBoosterLoadModelFromBuffer")?,
            booster_save: symbol(loaded, "XGBoosterSaveModelToBuffer")?,
            booster_slice: symbol(loaded, "XGBoosterSlice")?,
            booster_rounds: symbol(loaded, "XGBoosterBoostedRounds")?,
            booster_num_feature: symbol(loaded, "XGBoosterGetNumFeature")?,
            booster_update: symbol(loaded, "XGBoosterUpdateOneIter")?,
            booster_evaluate: symbol(loaded, "XGBoosterEvalOneIter")?,
            booster_predict_matrix: symbol(loaded, "XGBoosterPredictFromDMatrix")?,
            booster_predict_dense: symbol(loaded, "XGBoosterPredictFromDense")?,
            booster_feature_score: symbol(loaded, "XGBoosterFeatureScore")?,
            booster_free: symbol(loaded, "XGBoosterFree")?,
        })
    }
}

/// The function `name`; `T` must be the type that the header gives it.
fn symbol<T: Copy>(loaded: &Loaded, name: &str) -> Result<T, libloading::Error> {
    // SAFETY: every name gets the function type of the 3.4 header, and the library stays mapped
    // for the life of the process.
    let found = unsafe { loaded.get::<T>(name) }?;
    Ok(*found)
}

/// A loaded XGBoost library. It is never unloaded, so handles keep a plain reference.
#[derive(Debug)]
pub(crate) struct Library {
    functions: Functions,
}

impl Library {
    /// Loads the library at `path` (a bare file name is looked up as the system does) for good.
    pub(crate) fn load(path: &Path) -> Result<&'static Self> {
        // SAFETY: the operator names this file as XGBoost; its constructors are those of libstdc++
        // and libgomp and need nothing from this process.
        let loaded = unsafe { Loaded::open(Some(path), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE) }
            .map_err(|error| super::cannot_be_loaded(path, &error))?;
        let is_not = |error: libloading::Error| {
            let path = path.display();
            PluginError::library(format!("`{path}` is not XGBoost 3.4 or newer: {error}"))
        };
        let version: unsafe extern "C" fn(*mut c_int, *mut c_int, *mut c_int) =
            symbol(&loaded, "XGBoostVersion").map_err(is_not)?;
        let (mut major, mut minor, mut patch) = (0, 0, 0);
        // SAFETY: the function has had this signature in every version and writes three numbers.
        unsafe { version(&raw mut major, &raw mut minor, &raw mut patch) };
        super::check_version(path, (major, minor))?;
        let functions = Functions::resolve(&loaded).map_err(is_not)?;
        Ok(Box::leak(Box::new(Self { functions })))
    }

    /// Turns a return code into an error that says what XGBoost says.
    fn check(&self, code: c_int, call: &str) -> Result<()> {
        if code == 0 {
            return Ok(());
        }
        // SAFETY: the function takes nothing and may be called on any thread.
        let text = unsafe { (self.functions.get_last_error)() };
        // SAFETY: XGBoost returns its thread-local, zero-terminated message, which stays unchanged
        // until its next failing call on this thread.
        let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
        let reason = super::reason(&text);
        Err(PluginError::internal(format!(
            "XGBoost {call} failed: {reason}"
        )))
    }
}

fn zero_terminated(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| PluginError::config("a parameter contains a zero byte"))
}

/// Rows inside XGBoost; those it was made from are no longer needed.
#[derive(Debug)]
pub(crate) struct Matrix {
    handle: Handle,
    rows: usize,
    library: &'static Library,
}

// SAFETY: an XGBoost matrix has no thread affinity, and no second reference to its handle is handed
// out.
unsafe impl Send for Matrix {}

impl Matrix {
    /// Takes runs of rows in, in order, without joining them first.
    pub(crate) fn from_runs(
        library: &'static Library,
        runs: &[&[f32]],
        columns: usize,
    ) -> Result<Self> {
        let mut batches = Batches::new(runs, columns)?;
        let rows = batches.rows();
        let mut handle = ptr::null_mut();
        let create = library.functions.matrix_from_iter;
        let source = (&raw mut batches).cast();
        // SAFETY: `next_batch` gets back the pointer to `batches`, which lives and is not used
        // otherwise during the call; without cache information nothing is kept of it.
        let code = unsafe { create(source, next_batch, ptr::null(), f32::NAN, &raw mut handle) };
        library.check(code, "DMatrixCreateFromDataIter")?;
        let matrix = Self {
            handle,
            rows,
            library,
        };
        matrix.check_rows()?;
        Ok(matrix)
    }

    /// Takes packed rows in.
    pub(crate) fn from_rows(
        library: &'static Library,
        rows: &[f32],
        columns: usize,
    ) -> Result<Self> {
        let data = zero_terminated(&interface(rows, columns))?;
        let mut handle = ptr::null_mut();
        let create = library.functions.matrix_from_dense;
        let settings = c"{\"missing\":NaN,\"nthread\":1}";
        // SAFETY: the description names live memory of whole rows, which XGBoost copies.
        let code = unsafe { create(data.as_ptr(), settings.as_ptr(), &raw mut handle) };
        library.check(code, "DMatrixCreateFromDense")?;
        Ok(Self {
            handle,
            rows: rows.len() / columns.max(1),
            library,
        })
    }

    /// A batch that XGBoost did not take would otherwise be missing without a word.
    fn check_rows(&self) -> Result<()> {
        let mut found = 0;
        let count = self.library.functions.matrix_num_row;
        // SAFETY: the handle is live and the result outlives the call.
        let code = unsafe { count(self.handle, &raw mut found) };
        self.library.check(code, "DMatrixNumRow")?;
        match usize::try_from(found) == Ok(self.rows) {
            true => Ok(()),
            false => self.library.check(-1, "DMatrixCreateFromDataIter"),
        }
    }

    /// Sets `label` or `weight`, one number per row.
    pub(crate) fn set(&mut self, field: &CStr, values: &[f32]) -> Result<()> {
        if values.len() != self.rows {
            let (count, field, rows) = (values.len(), field.to_string_lossy(), self.rows);
            let message = format!("{count} values of {field} for {rows} rows");
            return Err(PluginError::argument(message));
        }
        let set = self.library.functions.matrix_set_floats;
        let (pointer, count) = (values.as_ptr(), values.len() as u64);
        // SAFETY: `values` is a live slice of that length, and XGBoost copies it.
        let code = unsafe { set(self.handle, field.as_ptr(), pointer, count) };
        self.library.check(code, "DMatrixSetFloatInfo")
    }
}

impl Drop for Matrix {
    fn drop(&mut self) {
        // SAFETY: the handle came from XGBoost, is owned by this value alone and freed once;
        // boosters keep a counted reference of their own.
        unsafe { (self.library.functions.matrix_free)(self.handle) };
    }
}

/// Gives XGBoost the next batch of the [`Batches`] behind `source`; 0 at their end.
unsafe extern "C" fn next_batch(source: Handle, set: SetData, holder: Handle) -> c_int {
    // SAFETY: `from_runs` passed a pointer to its `Batches`, which nothing else uses meanwhile.
    let batches = unsafe { &mut *source.cast::<Batches<'_>>() };
    let columns = batches.columns();
    let Some(batch) = batches.next() else {
        return 0;
    };
    let batch = BatchCsr {
        size: batch.ends.len() - 1,
        columns,
        offset: batch.ends.as_ptr(),
        label: ptr::null(),
        weight: ptr::null(),
        index: batch.indices.as_ptr(),
        value: batch.values.as_ptr(),
    };
    // SAFETY: XGBoost passed the function with its holder; the batch describes live slices of equal
    // length, which XGBoost copies before it returns.
    let code = unsafe { set(holder, batch) };
    c_int::from(code == 0)
}

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
