//! LightGBM's C API, resolved at run time, behind safe handles.
//!
//! The only file of this plugin that contains `unsafe`. Above it nothing sees a raw handle: a
//! [`Binned`] and a [`Booster`] free themselves, check every length before they hand a pointer
//! over, and turn `LGBM_GetLastError` into the contract's error. Signatures follow
//! `include/LightGBM/c_api.h` of version 4.7. It never decides anything about training.
//!
//! LightGBM catches its own C++ exceptions at this boundary, so no call unwinds. A fatal error is
//! also printed on the process's stderr by LightGBM itself, which offers no way to turn that off.

#![allow(
    unsafe_code,
    reason = "calls into the LightGBM library, which has only a C interface"
)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;
use std::ptr;

use fusebox_plugin_api::prelude::*;
use libloading::os::unix::{Library as Loaded, RTLD_LOCAL, RTLD_NOW};

use super::runs::{ROW_MAJOR, Runs};
use super::{FieldValues, Output};
use crate::booster::Importance;

/// Keeps the library mapped for good (`dlfcn.h`); its OpenMP threads may outlive every handle.
#[cfg(target_os = "macos")]
const RTLD_NODELETE: c_int = 0x80;
#[cfg(not(target_os = "macos"))]
const RTLD_NODELETE: c_int = 0x1000;

/// Present from 4.7.0 on. LightGBM has no version call, so this symbol stands for one.
const VERSION_SYMBOL: &str = "LGBM_DatasetCreateFromArrowStream";

const FLOAT32: c_int = 0;
const FLOAT64: c_int = 1;
/// LightGBM's codes for the importances.
const BY_SPLIT: c_int = 0;
const BY_GAIN: c_int = 1;
/// LightGBM's code for "every iteration".
const ALL_ITERATIONS: c_int = -1;

type Handle = *mut c_void;
type Free = unsafe extern "C" fn(Handle) -> c_int;
type LogCallback = unsafe extern "C" fn(*const c_char);
type CreateFromMats = unsafe extern "C" fn(
    i32,
    *const *const c_void,
    c_int,
    *const i32,
    i32,
    *const c_int,
    *const c_char,
    Handle,
    *mut Handle,
) -> c_int;
type SetField = unsafe extern "C" fn(Handle, *const c_char, *const c_void, c_int, c_int) -> c_int;
type LoadText = unsafe extern "C" fn(*const c_char, *mut c_int, *mut Handle) -> c_int;
type SaveText =
    unsafe extern "C" fn(Handle, c_int, c_int, c_int, i64, *mut i64, *mut c_char) -> c_int;
type PredictForMat = unsafe extern "C" fn(
    Handle,
    *const c_void,
    c_int,
    i32,
    i32,
    c_int,
    c_int,
    c_int,
    c_int,
    *const c_char,
    *mut i64,
    *mut f64,
) -> c_int;
type FastInit = unsafe extern "C" fn(
    Handle,
    c_int,
    c_int,
    c_int,
    c_int,
    i32,
    *const c_char,
    *mut Handle,
) -> c_int;
type FastPredict = unsafe extern "C" fn(Handle, *const c_void, *mut i64, *mut f64) -> c_int;
type CalcNumPredict = unsafe extern "C" fn(Handle, c_int, c_int, c_int, c_int, *mut i64) -> c_int;
type GetNumber = unsafe extern "C" fn(Handle, *mut c_int) -> c_int;

/// The functions this plugin calls, named as in the header without their prefix.
#[derive(Debug)]
struct Functions {
    get_last_error: unsafe extern "C" fn() -> *const c_char,
    register_log_callback: unsafe extern "C" fn(LogCallback) -> c_int,
    dataset_create_from_mats: CreateFromMats,
    dataset_set_field: SetField,
    dataset_free: Free,
    booster_create: unsafe extern "C" fn(Handle, *const c_char, *mut Handle) -> c_int,
    booster_load_model_from_string: LoadText,
    booster_save_model_to_string: SaveText,
    booster_add_valid_data: unsafe extern "C" fn(Handle, Handle) -> c_int,
    booster_merge: unsafe extern "C" fn(Handle, Handle) -> c_int,
    booster_update_one_iter: GetNumber,
    booster_get_eval_counts: GetNumber,
    booster_get_eval: unsafe extern "C" fn(Handle, c_int, *mut c_int, *mut f64) -> c_int,
    booster_get_num_feature: GetNumber,
    booster_get_current_iteration: GetNumber,
    booster_calc_num_predict: CalcNumPredict,
    booster_predict_for_mat: PredictForMat,
    booster_fast_init: FastInit,
    booster_fast_predict: FastPredict,
    fast_config_free: Free,
    booster_feature_importance: unsafe extern "C" fn(Handle, c_int, c_int, *mut f64) -> c_int,
    booster_free: Free,
}

impl Functions {
    /// Looks every function up.
    fn resolve(loaded: &Loaded) -> Result<Self, libloading::Error> {
        Ok(Self {
            get_last_error: symbol(loaded, "LGBM_GetLastError")?,
            register_log_callback: symbol(loaded, "LGBM_RegisterLogCallback")?,
            dataset_create_from_mats: symbol(loaded, "LGBM_DatasetCreateFromMats")?,
            dataset_set_field: symbol(loaded, "LGBM_DatasetSetField")?,
            dataset_free: symbol(loaded, "LGBM_DatasetFree")?,
            booster_create: symbol(loaded, "LGBM_BoosterCreate")?,
            booster_load_model_from_string: symbol(loaded, "LGBM_BoosterLoadModelFromString")?,
            booster_save_model_to_string: symbol(loaded, "LGBM_BoosterSaveModelToString")?,
            booster_add_valid_data: symbol(loaded, "LGBM_BoosterAddValidData")?,
            booster_merge: symbol(loaded, "LGBM_BoosterMerge")?,
            booster_update_one_iter: symbol(loaded, "LGBM_BoosterUpdateOneIter")?,
            booster_get_eval_counts: symbol(loaded, "LGBM_BoosterGetEvalCounts")?,
            booster_get_eval: symbol(loaded, "LGBM_BoosterGetEval")?,
            booster_get_num_feature: symbol(loaded, "LGBM_BoosterGetNumFeature")?,
            booster_get_current_iteration: symbol(loaded, "LGBM_BoosterGetCurrentIteration")?,
            booster_calc_num_predict: symbol(loaded, "LGBM_BoosterCalcNumPredict")?,
            booster_predict_for_mat: symbol(loaded, "LGBM_BoosterPredictForMat")?,
            booster_fast_init: symbol(loaded, "LGBM_BoosterPredictForMatSingleRowFastInit")?,
            booster_fast_predict: symbol(loaded, "LGBM_BoosterPredictForMatSingleRowFast")?,
            fast_config_free: symbol(loaded, "LGBM_FastConfigFree")?,
            booster_feature_importance: symbol(loaded, "LGBM_BoosterFeatureImportance")?,
            booster_free: symbol(loaded, "LGBM_BoosterFree")?,
        })
    }
}

/// The function `name`; `T` must be the type that the header gives it.
fn symbol<T: Copy>(loaded: &Loaded, name: &str) -> Result<T, libloading::Error> {
    // SAFETY: `Functions` gives every name the function type of the 4.7 header, and the library
    // stays mapped for the life of the process.
    let found = unsafe { loaded.get::<T>(name) }?;
    Ok(*found)
}

/// A loaded LightGBM library. It is never unloaded, so handles keep a plain reference.
#[derive(Debug)]
pub(crate) struct Library {
    functions: Functions,
}

impl Library {
    /// Loads the library at `path` (a bare file name is looked up as the system does) for good.
    pub(crate) fn load(path: &Path) -> Result<&'static Self> {
        // SAFETY: the operator names this file as LightGBM; its constructors are those of
        // libstdc++ and libgomp and need nothing from this process.
        let loaded = unsafe { Loaded::open(Some(path), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE) }
            .map_err(|error| super::cannot_be_loaded(path, &error))?;
        symbol::<*const c_void>(&loaded, VERSION_SYMBOL)
            .map_err(|_| super::is_too_old(path, VERSION_SYMBOL))?;
        let functions = Functions::resolve(&loaded)
            .map_err(|error| super::is_too_old(path, &error.to_string()))?;
        Ok(Box::leak(Box::new(Self { functions })))
    }

    /// Turns a return code into an error that says what LightGBM says.
    fn check(&self, code: c_int, call: &str) -> Result<()> {
        if code == 0 {
            return Ok(());
        }
        // SAFETY: the function takes nothing and may be called on any thread.
        let text = unsafe { (self.functions.get_last_error)() };
        // SAFETY: LightGBM returns its thread-local, zero-terminated message buffer, which stays
        // unchanged until its next failing call on this thread.
        let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
        let message = format!("LightGBM {call} failed: {text}");
        Err(PluginError::internal(message))
    }

    /// Sends LightGBM's messages on this thread to the log; it keeps the callback per thread.
    fn capture_log(&self) -> Result<()> {
        // SAFETY: `collect_log` has the declared type, never unwinds, and lives as long as this
        // plugin, which is never unmapped.
        let code = unsafe { (self.functions.register_log_callback)(collect_log) };
        self.check(code, "RegisterLogCallback")
    }
}

/// Collects LightGBM's pieces of text (prefix, message, newline) on the calling thread.
unsafe extern "C" fn collect_log(message: *const c_char) {
    if message.is_null() {
        return;
    }
    // SAFETY: LightGBM passes a zero-terminated buffer that lives during this call.
    let piece = unsafe { CStr::from_ptr(message) };
    super::log::collect(&piece.to_string_lossy());
}

/// A binned data set inside LightGBM; the rows it was made from are no longer needed.
#[derive(Debug)]
pub(crate) struct Binned {
    handle: Handle,
    rows: usize,
    library: &'static Library,
}

// SAFETY: a LightGBM data set has no thread affinity, and every use goes through `&mut` or happens
// inside the one booster that owns it.
unsafe impl Send for Binned {}

impl Binned {
    /// Bins runs of rows, in order, without joining them first. `reference` lends its bins, as
    /// validation rows need.
    pub(crate) fn from_runs(
        library: &'static Library,
        runs: &Runs<'_>,
        parameters: &CStr,
        reference: Option<&Self>,
    ) -> Result<Self> {
        library.capture_log()?;
        let mut handle = ptr::null_mut();
        // SAFETY: `Runs` guarantees three arrays of equal length and pointers to whole borrowed
        // rows, and LightGBM reads them only during the call.
        let code = unsafe {
            (library.functions.dataset_create_from_mats)(
                runs.count(),
                runs.pointers().as_ptr(),
                FLOAT32,
                runs.lengths().as_ptr(),
                runs.columns(),
                runs.layouts().as_ptr(),
                parameters.as_ptr(),
                reference.map_or(ptr::null_mut(), |reference| reference.handle),
                &raw mut handle,
            )
        };
        library.check(code, "DatasetCreateFromMats")?;
        let rows = runs.rows();
        Ok(Self {
            handle,
            rows,
            library,
        })
    }

    /// Sets a field: `label` and `weight` take one f32 per row, `init_score` one f64 per row and
    /// class, class by class.
    pub(crate) fn set(&mut self, field: &CStr, values: FieldValues<'_>) -> Result<()> {
        let (pointer, count, kind) = match values {
            FieldValues::Float(values) => (values.as_ptr().cast(), values.len(), FLOAT32),
            FieldValues::Double(values) => (values.as_ptr().cast(), values.len(), FLOAT64),
        };
        let length = c_int::try_from(count).ok();
        let Some(length) = length.filter(|_| count.is_multiple_of(self.rows)) else {
            let (field, rows) = (field.to_string_lossy(), self.rows);
            let message = format!("{count} values of {field} for {rows} rows");
            return Err(PluginError::argument(message));
        };
        let set = self.library.functions.dataset_set_field;
        // SAFETY: `values` is a live slice of `length` values of the stated kind, and LightGBM
        // copies them.
        let code = unsafe { set(self.handle, field.as_ptr(), pointer, length, kind) };
        self.library.check(code, "DatasetSetField")
    }
}

impl Drop for Binned {
    fn drop(&mut self) {
        // SAFETY: the handle came from LightGBM, is owned by this value alone and freed once; the
        // booster that used it is freed before its fields are.
        unsafe { (self.library.functions.dataset_free)(self.handle) };
    }
}

/// A model, in training (it then owns its data sets) or read from text.
#[derive(Debug)]
pub(crate) struct Booster {
    handle: Handle,
    library: &'static Library,
    datasets: Vec<Binned>,
}

// SAFETY: a LightGBM booster has no thread affinity; this type hands out no second reference to
// its handle, and its `&self` methods only read under LightGBM's own lock.
unsafe impl Send for Booster {}

impl Booster {
    /// Starts training on `train`.
    pub(crate) fn train(train: Binned, parameters: &CStr) -> Result<Self> {
        let library = train.library;
        library.capture_log()?;
        let create = library.functions.booster_create;
        let mut handle = ptr::null_mut();
        // SAFETY: the data set lives as long as the booster, which takes it over below.
        let code = unsafe { create(train.handle, parameters.as_ptr(), &raw mut handle) };
        library.check(code, "BoosterCreate")?;
        Ok(Self {
            handle,
            library,
            datasets: vec![train],
        })
    }

    /// Reads a model; returns it with its number of iterations. The text must be one that
    /// LightGBM wrote: its reader trusts it.
    pub(crate) fn from_text(library: &'static Library, text: &CStr) -> Result<(Self, usize)> {
        library.capture_log()?;
        let load = library.functions.booster_load_model_from_string;
        let (mut handle, mut iterations) = (ptr::null_mut(), 0);
        // SAFETY: the text is zero-terminated and both results outlive the call.
        let code = unsafe { load(text.as_ptr(), &raw mut iterations, &raw mut handle) };
        library.check(code, "BoosterLoadModelFromString")?;
        let booster = Self {
            handle,
            library,
            datasets: Vec::new(),
        };
        Ok((booster, usize::try_from(iterations).unwrap_or(0)))
    }

    /// Puts the trees of `earlier` before those of this booster, which has none yet.
    pub(crate) fn continue_from(&mut self, earlier: &Self) -> Result<()> {
        // SAFETY: both handles are live; LightGBM copies the trees.
        let code = unsafe { (self.library.functions.booster_merge)(self.handle, earlier.handle) };
        self.library.check(code, "BoosterMerge")
    }

    /// Adds rows on which the metric is evaluated; made with the training set as reference.
    pub(crate) fn add_validation(&mut self, valid: Binned) -> Result<()> {
        let add = self.library.functions.booster_add_valid_data;
        // SAFETY: both handles are live and the booster takes the data set over.
        let code = unsafe { add(self.handle, valid.handle) };
        self.datasets.push(valid);
        self.library.check(code, "BoosterAddValidData")
    }

    /// The data set that lends its bins to validation rows.
    pub(crate) fn training_set(&self) -> Option<&Binned> {
        self.datasets.first()
    }

    /// Adds one iteration; `true` where no leaf could be split any more.
    pub(crate) fn update(&mut self) -> Result<bool> {
        self.library.capture_log()?;
        let call = self.library.functions.booster_update_one_iter;
        Ok(self.number(call, "BoosterUpdateOneIter")? != 0)
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

    /// The first metric on data set `index`: 0 training, 1 validation.
    pub(crate) fn metric(&self, index: c_int) -> Result<Option<f64>> {
        let call = self.library.functions.booster_get_eval_counts;
        let count = self.number(call, "BoosterGetEvalCounts")?;
        let mut values = vec![0.0; count];
        let mut written = 0;
        let evaluate = self.library.functions.booster_get_eval;
        // SAFETY: LightGBM writes one value per metric, and there is room for all of them.
        let code = unsafe { evaluate(self.handle, index, &raw mut written, values.as_mut_ptr()) };
        self.library.check(code, "BoosterGetEval")?;
        values.truncate(usize::try_from(written).unwrap_or(0));
        Ok(values.first().copied())
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
        // SAFETY: the handle came from LightGBM, is owned by this value alone and freed once,
        // before the data sets that it points to.
        unsafe { (self.library.functions.booster_free)(self.handle) };
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
