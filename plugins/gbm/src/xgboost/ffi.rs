//! XGBoost's C API, resolved at run time, behind safe handles.
//!
//! Only here, in `booster` below and in LightGBM's `ffi` does this plugin contain `unsafe`. Above
//! it nothing sees a raw handle: a [`Matrix`] and a [`Booster`] free themselves, check every length
//! before they hand a pointer over, and turn `XGBGetLastError` into the contract's error.
//! Signatures follow `include/xgboost/c_api.h` of version 3.4. It never decides anything about
//! training.
//!
//! XGBoost catches its own C++ exceptions at this boundary, so no call unwinds.

#![allow(
    unsafe_code,
    reason = "calls into the XGBoost library, which has only a C interface"
)]

mod booster;

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;
use std::ptr;

use fusebox_plugin_api::prelude::*;
use libloading::os::unix::{Library as Loaded, RTLD_LOCAL, RTLD_NOW};

use super::array::{Batches, interface};
use crate::native::loader_reason;

pub(crate) use booster::Booster;

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
type SetTexts = unsafe extern "C" fn(Handle, *const c_char, *const *const c_char, u64) -> c_int;
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
    matrix_set_texts: SetTexts,
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
            matrix_set_texts: symbol(loaded, "XGDMatrixSetStrFeatureInfo")?,
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
            .map_err(|error| super::NATIVE.cannot_be_loaded(path, &error))?;
        let is_not =
            |error: libloading::Error| super::NATIVE.is_another(path, &loader_reason(path, &error));
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
        Err(super::NATIVE.failed(call, super::reason(&text)))
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
    /// Takes runs of rows in, in order, without joining them first. XGBoost knows of one run how
    /// much room it needs, and of several it finds out on the way.
    pub(crate) fn from_runs(
        library: &'static Library,
        runs: &[&[f32]],
        columns: usize,
    ) -> Result<Self> {
        let mut batches = Batches::new(runs, columns)?;
        if let [run] = runs {
            return Self::from_rows(library, run, columns);
        }
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

impl Matrix {
    /// Says which columns are categorical.
    pub(crate) fn set_categorical(&mut self, columns: &[bool]) -> Result<()> {
        let types: Vec<*const c_char> = columns
            .iter()
            .map(|categorical| match categorical {
                true => c"c".as_ptr(),
                false => c"q".as_ptr(),
            })
            .collect();
        let set = self.library.functions.matrix_set_texts;
        let (field, count) = (c"feature_type".as_ptr(), types.len() as u64);
        // SAFETY: `types` holds that many zero-terminated constants, and XGBoost copies them.
        let code = unsafe { set(self.handle, field, types.as_ptr(), count) };
        self.library.check(code, "DMatrixSetStrFeatureInfo")
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
