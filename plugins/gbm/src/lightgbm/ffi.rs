//! LightGBM's C API, resolved at run time, behind safe handles.
//!
//! Only here, in `booster` below and in XGBoost's `ffi` does this plugin contain `unsafe`. Above it
//! nothing sees a raw handle: a [`Binned`] and a [`Booster`] free themselves, check every length
//! before they hand a pointer over, and turn `LGBM_GetLastError` into the contract's error.
//! Signatures follow `include/LightGBM/c_api.h` of version 4.7. It never decides anything about
//! training.
//!
//! LightGBM catches its own C++ exceptions at this boundary, so no call unwinds. A fatal error is
//! also printed on the process's stderr by LightGBM itself, which offers no way to turn that off.

#![allow(
    unsafe_code,
    reason = "calls into the LightGBM library, which has only a C interface"
)]

mod booster;

use std::ffi::{CStr, c_char, c_double, c_int, c_void};
use std::path::Path;
use std::ptr;

use fusebox_plugin_api::prelude::*;
use libloading::os::unix::{Library as Loaded, RTLD_LOCAL, RTLD_NOW};

use super::FieldValues;
use super::runs::Runs;
use super::sample::BinSample;
use crate::native::loader_reason;

pub(crate) use booster::{Booster, RowPredictor, Training};

/// Keeps the library mapped for good (`dlfcn.h`); its OpenMP threads may outlive every handle.
#[cfg(target_os = "macos")]
const RTLD_NODELETE: c_int = 0x80;
#[cfg(not(target_os = "macos"))]
const RTLD_NODELETE: c_int = 0x1000;

/// Present from 4.7.0 on. LightGBM has no version call, so this symbol stands for one.
const VERSION_SYMBOL: &str = "LGBM_DatasetCreateFromArrowStream";

const FLOAT32: c_int = 0;
const FLOAT64: c_int = 1;

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
type CreateFromSample = unsafe extern "C" fn(
    *mut *mut c_double,
    *mut *mut c_int,
    i32,
    *const c_int,
    i32,
    i32,
    i64,
    *const c_char,
    *mut Handle,
) -> c_int;
type PushRows = unsafe extern "C" fn(Handle, *const c_void, c_int, i32, i32, i32) -> c_int;
type SampleCount = unsafe extern "C" fn(i32, *const c_char, *mut c_int) -> c_int;
type SampleIndices = unsafe extern "C" fn(i32, *const c_char, *mut c_void, *mut i32) -> c_int;
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
    get_sample_count: SampleCount,
    sample_indices: SampleIndices,
    dataset_create_from_sampled_column: CreateFromSample,
    dataset_push_rows: PushRows,
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
    booster_get_num_predict: unsafe extern "C" fn(Handle, c_int, *mut i64) -> c_int,
    booster_get_predict: unsafe extern "C" fn(Handle, c_int, *mut i64, *mut f64) -> c_int,
    booster_refit: unsafe extern "C" fn(Handle, *const i32, i32, i32) -> c_int,
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
            get_sample_count: symbol(loaded, "LGBM_GetSampleCount")?,
            sample_indices: symbol(loaded, "LGBM_SampleIndices")?,
            dataset_create_from_sampled_column: symbol(
                loaded,
                "LGBM_DatasetCreateFromSampledColumn",
            )?,
            dataset_push_rows: symbol(loaded, "LGBM_DatasetPushRows")?,
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
            booster_get_num_predict: symbol(loaded, "LGBM_BoosterGetNumPredict")?,
            booster_get_predict: symbol(loaded, "LGBM_BoosterGetPredict")?,
            booster_refit: symbol(loaded, "LGBM_BoosterRefit")?,
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
            .map_err(|error| super::NATIVE.cannot_be_loaded(path, &error))?;
        symbol::<*const c_void>(&loaded, VERSION_SYMBOL)
            .map_err(|_| super::NATIVE.is_another(path, &format!("it lacks {VERSION_SYMBOL}")))?;
        let functions = Functions::resolve(&loaded)
            .map_err(|error| super::NATIVE.is_another(path, &loader_reason(path, &error)))?;
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
        Err(super::NATIVE.failed(call, &text))
    }

    /// The numbers of the rows, of `rows` in all, by which LightGBM would choose bins; they rise.
    fn sample_indices(&self, rows: c_int, parameters: &CStr) -> Result<Vec<c_int>> {
        let (mut count, mut written) = (0, 0);
        let call = self.functions.get_sample_count;
        // SAFETY: the parameters are zero-terminated and the result outlives the call.
        let code = unsafe { call(rows, parameters.as_ptr(), &raw mut count) };
        self.check(code, "GetSampleCount")?;
        let mut chosen: Vec<c_int> = vec![0; usize::try_from(count).unwrap_or(0)];
        let call = self.functions.sample_indices;
        let (room, written_at) = (chosen.as_mut_ptr().cast(), &raw mut written);
        // SAFETY: LightGBM writes at most the number of rows that it announced, and there is room
        // for them.
        let code = unsafe { call(rows, parameters.as_ptr(), room, written_at) };
        self.check(code, "SampleIndices")?;
        chosen.truncate(usize::try_from(written).unwrap_or(0));
        Ok(chosen)
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

/// A binned data set inside LightGBM; the rows it was made from are no longer needed. It stays on
/// its thread, where several boosters may share it.
#[derive(Debug)]
pub(crate) struct Binned {
    handle: Handle,
    rows: usize,
    library: &'static Library,
}

impl Binned {
    /// Bins runs of rows, in order, as they lie. `reference` lends its bins, as validation rows
    /// need.
    pub(crate) fn from_runs(
        library: &'static Library,
        runs: &Runs<'_>,
        parameters: &CStr,
        reference: Option<&Self>,
    ) -> Result<Self> {
        library.capture_log()?;
        match reference {
            Some(reference) => Self::from_mats(library, runs, parameters, reference.handle),
            None => {
                let mut set = Self::from_sample(library, runs, parameters)?;
                set.push(runs)?;
                Ok(set)
            }
        }
    }

    /// A data set with the bins of `reference`. Without one (null) LightGBM looks for bins in a
    /// sample of the rows, as [`from_sample`](Self::from_sample) does, with the same result, but
    /// for half as much memory again.
    fn from_mats(
        library: &'static Library,
        runs: &Runs<'_>,
        parameters: &CStr,
        reference: Handle,
    ) -> Result<Self> {
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
                reference,
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

    /// A data set without rows yet, with bins for them. The sample is gone when it returns.
    fn from_sample(library: &'static Library, runs: &Runs<'_>, parameters: &CStr) -> Result<Self> {
        let chosen = library.sample_indices(runs.row_count(), parameters)?;
        let mut sample = BinSample::take(runs.slices(), runs.columns() as usize, &chosen)?;
        drop(chosen);
        let (mut values, mut positions) = (sample.values(), sample.positions());
        let mut handle = ptr::null_mut();
        // SAFETY: there are as many values, positions and counts as columns; each points at as many
        // numbers as its count says, which live in `sample` during the call. LightGBM sorts the
        // values, each column by itself, and replaces pointers, but writes no position, so that
        // columns may share them.
        let code = unsafe {
            (library.functions.dataset_create_from_sampled_column)(
                values.as_mut_ptr(),
                positions.as_mut_ptr(),
                runs.columns(),
                sample.counts().as_ptr(),
                sample.rows(),
                runs.row_count(),
                i64::from(runs.row_count()),
                parameters.as_ptr(),
                &raw mut handle,
            )
        };
        library.check(code, "DatasetCreateFromSampledColumn")?;
        let rows = runs.rows();
        Ok(Self {
            handle,
            rows,
            library,
        })
    }

    /// Puts the rows into their bins. With the last of them LightGBM finishes the data set.
    fn push(&mut self, runs: &Runs<'_>) -> Result<()> {
        let push = self.library.functions.dataset_push_rows;
        let mut first_row = 0;
        for (pointer, rows) in runs.pointers().iter().zip(runs.lengths()) {
            let (handle, columns) = (self.handle, runs.columns());
            // SAFETY: `Runs` guarantees `rows` whole borrowed rows behind the pointer, which
            // LightGBM reads only during the call, and that all of them are as many as the data
            // set was made for.
            let code = unsafe { push(handle, *pointer, FLOAT32, *rows, columns, first_row) };
            self.library.check(code, "DatasetPushRows")?;
            first_row += rows;
        }
        Ok(())
    }

    /// Sets a field: `label` and `weight` take one f32 per row, `init_score` one f64 per row and
    /// class, class by class. A booster takes `init_score` in when it gets the data set; for the
    /// next booster it may be set anew. Labels and weights stay while a booster uses them.
    pub(crate) fn set(&self, field: &CStr, values: FieldValues<'_>) -> Result<()> {
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
        // SAFETY: the handle came from LightGBM, is owned by this value alone and freed once; a
        // booster that uses it keeps it alive.
        unsafe { (self.library.functions.dataset_free)(self.handle) };
    }
}

#[cfg(test)]
mod tests;
