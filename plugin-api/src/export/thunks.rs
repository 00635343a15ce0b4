//! The slots of the model and learner tables and of the optional capabilities.
//!
//! An instance is a box with the author's model and a flag that is set for good by a panic. The
//! host promises that one thread at a time uses an instance, so a slot may take it mutably.
#![allow(unsafe_code, reason = "is called by the host through the C table")]

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use super::lent::{LentEnvironment, LentProgress, lend_frame, write_sink};
use super::{Plugin, guarded, panicked};
use crate::abi::{
    self, ArrowArrayStream, FB_MODEL_REALTIME, FB_OK, fb_buf, fb_error, fb_explain_vt,
    fb_fit_request, fb_frame, fb_host, fb_incremental_vt, fb_instance, fb_learner_vt, fb_model_vt,
    fb_onnx_export_vt, fb_progress, fb_quantiles_vt, fb_sink, fb_status, fb_str,
};
use crate::arrow;
use crate::config::Config;
use crate::env::Environment;
use crate::error::{PluginError, Result};
use crate::ext::{EXPLAIN_ID, INCREMENTAL_ID, ONNX_EXPORT_ID, QUANTILES_ID};
use crate::model::{FitRequest, Learner, Model, Snapshot, Task};

pub(super) fn model_table<P: Plugin>() -> &'static fb_model_vt {
    const {
        &fb_model_vt {
            size: abi::size::<fb_model_vt>(),
            flags: if P::REALTIME { FB_MODEL_REALTIME } else { 0 },
            create: Some(create::<P>),
            info: Some(info),
            warmup: Some(warmup),
            predict: Some(predict),
            save: Some(save),
            snapshot: Some(snapshot),
            restore: Some(restore),
            quiesce: Some(quiesce),
            destroy: Some(destroy),
            get_extension: Some(get_extension),
        }
    }
}

pub(super) fn learner_table<P: Plugin>() -> &'static fb_learner_vt {
    const {
        &fb_learner_vt {
            size: abi::size::<fb_learner_vt>(),
            flags: 0,
            describe: Some(describe::<P>),
            fit: Some(fit::<P>),
            get_extension: None,
        }
    }
}

static EXPLAIN: fb_explain_vt = fb_explain_vt {
    size: abi::size::<fb_explain_vt>(),
    flags: 0,
    kinds: Some(explain_kinds),
    importance: Some(explain_importance),
    contributions: Some(explain_contributions),
};

static INCREMENTAL: fb_incremental_vt = fb_incremental_vt {
    size: abi::size::<fb_incremental_vt>(),
    flags: 0,
    update: Some(incremental_update),
};

static QUANTILES: fb_quantiles_vt = fb_quantiles_vt {
    size: abi::size::<fb_quantiles_vt>(),
    flags: 0,
    levels: Some(quantile_levels),
};

static ONNX_EXPORT: fb_onnx_export_vt = fb_onnx_export_vt {
    size: abi::size::<fb_onnx_export_vt>(),
    flags: 0,
    write_onnx: Some(write_onnx),
};

/// What an `fb_instance` of this kit points to.
struct Instance {
    model: Box<dyn Model>,
    is_poisoned: bool,
}

/// Gives a model to the host.
///
/// # Safety
/// `out` is NULL or writable.
unsafe fn hand_out(model: Box<dyn Model>, out: *mut *mut fb_instance) -> Result<()> {
    if out.is_null() {
        return Err(PluginError::argument("there is no place for the instance"));
    }
    let is_poisoned = false;
    let instance = Box::into_raw(Box::new(Instance { model, is_poisoned }));
    // SAFETY: the caller lends a writable place.
    unsafe { out.write(instance.cast()) };
    Ok(())
}

/// Runs `body` on the model of an instance; a panic poisons it.
///
/// # Safety
/// `instance` is NULL or came from [`hand_out`], is not destroyed and is used by nobody else during
/// the call; `err` is NULL or a writable error buffer as large as it says.
#[inline]
unsafe fn with_model(
    what: &str,
    instance: *mut fb_instance,
    err: *mut fb_error,
    body: impl FnOnce(&mut dyn Model) -> Result<()>,
) -> fb_status {
    // SAFETY: the caller guarantees NULL or an instance of ours without another user.
    let error = match unsafe { instance.cast::<Instance>().as_mut() } {
        Some(instance) if !instance.is_poisoned => {
            let model = &mut *instance.model;
            match catch_unwind(AssertUnwindSafe(|| body(model))) {
                Ok(Ok(())) => return FB_OK,
                Ok(Err(error)) => error,
                Err(payload) => {
                    instance.is_poisoned = true;
                    panicked(what, payload)
                }
            }
        }
        instance => unusable(instance.is_some()),
    };
    // SAFETY: the caller guarantees the buffer.
    unsafe { refuse(err, &error) }
}

#[cold]
#[inline(never)]
fn unusable(is_poisoned: bool) -> PluginError {
    if is_poisoned {
        return PluginError::state(
            "the instance panicked before and answers nothing more; make a new one",
        );
    }
    PluginError::argument("the instance is NULL")
}

/// Kept out of the way of calls that succeed, which would otherwise carry its buffer.
///
/// # Safety
/// `err` is NULL or a writable error buffer as large as it says.
#[cold]
#[inline(never)]
unsafe fn refuse(err: *mut fb_error, error: &PluginError) -> fb_status {
    // SAFETY: the caller guarantees the buffer.
    unsafe { fb_error::write(err, error) }
}

unsafe extern "C" fn create<P: Plugin>(
    _host: *const fb_host,
    config: fb_buf,
    artifact: fb_buf,
    out: *mut *mut fb_instance,
    err: *mut fb_error,
) -> fb_status {
    let body = || {
        // SAFETY: the host lends the bytes for the call.
        let config = Config::from_json(unsafe { config.bytes() })?;
        // SAFETY: the host lends the bytes for the call.
        let model = P::create_model(&config, unsafe { artifact.bytes() })?;
        // SAFETY: the host lends a place for the instance.
        unsafe { hand_out(model, out) }
    };
    // SAFETY: the host lends the error buffer.
    unsafe { guarded("create", err, body) }
}

unsafe extern "C" fn info(
    instance: *mut fb_instance,
    out: *const fb_sink,
    err: *mut fb_error,
) -> fb_status {
    let body = |model: &mut dyn Model| {
        let json = serde_json::to_vec(&model.info()?)?;
        // SAFETY: the host lends the sink for the call.
        unsafe { write_sink(out, &json) }
    };
    // SAFETY: the host keeps the promises of a [control] slot.
    unsafe { with_model("info", instance, err, body) }
}

unsafe extern "C" fn warmup(instance: *mut fb_instance, err: *mut fb_error) -> fb_status {
    // SAFETY: the host keeps the promises of a [control] slot.
    unsafe { with_model("warmup", instance, err, |model| model.warmup()) }
}

unsafe extern "C" fn predict(
    instance: *mut fb_instance,
    frame: *const fb_frame,
    err: *mut fb_error,
) -> fb_status {
    let body = |model: &mut dyn Model| {
        let mut room = None;
        // SAFETY: the host lends the frame and its memory for the call.
        let mut frame = unsafe { lend_frame(frame, &mut room) }?;
        model.predict(&mut frame)
    };
    // SAFETY: the host keeps the promises of an [infer] slot.
    unsafe { with_model("predict", instance, err, body) }
}

unsafe extern "C" fn save(
    instance: *mut fb_instance,
    out: *const fb_sink,
    err: *mut fb_error,
) -> fb_status {
    let body = |model: &mut dyn Model| {
        let artifact = model.save()?;
        // SAFETY: the host lends the sink for the call.
        unsafe { write_sink(out, &artifact) }
    };
    // SAFETY: the host keeps the promises of a [control] slot.
    unsafe { with_model("save", instance, err, body) }
}

unsafe extern "C" fn snapshot(
    instance: *mut fb_instance,
    out: *const fb_sink,
    schema: *mut u32,
    err: *mut fb_error,
) -> fb_status {
    let body = |model: &mut dyn Model| {
        if schema.is_null() {
            return Err(PluginError::argument(
                "there is no place for the schema number",
            ));
        }
        let snapshot = model.snapshot()?;
        // SAFETY: the host lends a writable place.
        unsafe { schema.write(snapshot.schema) };
        // SAFETY: the host lends the sink for the call.
        unsafe { write_sink(out, &snapshot.bytes) }
    };
    // SAFETY: the host keeps the promises of a [control] slot.
    unsafe { with_model("snapshot", instance, err, body) }
}

unsafe extern "C" fn restore(
    instance: *mut fb_instance,
    state: fb_buf,
    schema: u32,
    err: *mut fb_error,
) -> fb_status {
    let body = |model: &mut dyn Model| {
        // SAFETY: the host lends the bytes for the call.
        let bytes = unsafe { state.bytes() };
        model.restore(&Snapshot::new(schema, bytes))
    };
    // SAFETY: the host keeps the promises of a [control] slot.
    unsafe { with_model("restore", instance, err, body) }
}

unsafe extern "C" fn quiesce(
    instance: *mut fb_instance,
    deadline_ns: u64,
    err: *mut fb_error,
) -> fb_status {
    let body = |model: &mut dyn Model| model.quiesce(deadline_ns);
    // SAFETY: the host keeps the promises of a [control] slot.
    unsafe { with_model("quiesce", instance, err, body) }
}

unsafe extern "C" fn destroy(instance: *mut fb_instance) {
    if instance.is_null() {
        return;
    }
    // SAFETY: the host gives back what `hand_out` gave it, once.
    let instance = unsafe { Box::from_raw(instance.cast::<Instance>()) };
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(instance))) {
        let error = panicked("destroy", payload);
        super::log(super::LogLevel::Error, error.message());
    }
}

unsafe extern "C" fn get_extension(instance: *mut fb_instance, id: fb_str) -> *const c_void {
    let mut found: *const c_void = ptr::null();
    let body = |model: &mut dyn Model| {
        // SAFETY: the host lends the id for the call.
        found = match unsafe { id.text() } {
            Some(EXPLAIN_ID) if model.explain().is_some() => ptr::from_ref(&EXPLAIN).cast(),
            Some(INCREMENTAL_ID) if model.incremental().is_some() => {
                ptr::from_ref(&INCREMENTAL).cast()
            }
            Some(QUANTILES_ID) if model.quantiles().is_some() => ptr::from_ref(&QUANTILES).cast(),
            Some(ONNX_EXPORT_ID) if model.onnx_export().is_some() => {
                ptr::from_ref(&ONNX_EXPORT).cast()
            }
            _ => ptr::null(),
        };
        Ok(())
    };
    // SAFETY: the host keeps the promises of a [control] slot; there is no error buffer.
    unsafe { with_model("get_extension", instance, ptr::null_mut(), body) };
    found
}

unsafe extern "C" fn explain_kinds(
    instance: *mut fb_instance,
    out: *const fb_sink,
    err: *mut fb_error,
) -> fb_status {
    let body = |model: &mut dyn Model| {
        let explain = model
            .explain()
            .ok_or_else(|| PluginError::unsupported(EXPLAIN_ID))?;
        let json = serde_json::to_vec(&explain.importance_kinds())?;
        // SAFETY: the host lends the sink for the call.
        unsafe { write_sink(out, &json) }
    };
    // SAFETY: the host keeps the promises of a [control] slot.
    unsafe { with_model("explain.kinds", instance, err, body) }
}

unsafe extern "C" fn explain_importance(
    instance: *mut fb_instance,
    kind: fb_str,
    out: *mut f64,
    count: u64,
    err: *mut fb_error,
) -> fb_status {
    let body = |model: &mut dyn Model| {
        let explain = model
            .explain()
            .ok_or_else(|| PluginError::unsupported(EXPLAIN_ID))?;
        // SAFETY: the host lends the text for the call.
        let kind = unsafe { kind.text() };
        let kind = kind.ok_or_else(|| PluginError::argument("the kind is not UTF-8"))?;
        let values = explain.importance(kind)?;
        // SAFETY: the host lends `count` writable values.
        let out = unsafe { abi::elements_mut(out, count) };
        if out.len() != values.len() {
            return Err(PluginError::argument(format!(
                "there is room for {} importances; the model has {}",
                out.len(),
                values.len()
            )));
        }
        out.copy_from_slice(&values);
        Ok(())
    };
    // SAFETY: the host keeps the promises of a [control] slot.
    unsafe { with_model("explain.importance", instance, err, body) }
}

unsafe extern "C" fn explain_contributions(
    instance: *mut fb_instance,
    frame: *const fb_frame,
    err: *mut fb_error,
) -> fb_status {
    let body = |model: &mut dyn Model| {
        let explain = model
            .explain()
            .ok_or_else(|| PluginError::unsupported(EXPLAIN_ID))?;
        let mut room = None;
        // SAFETY: the host lends the frame and its memory for the call.
        let mut frame = unsafe { lend_frame(frame, &mut room) }?;
        explain.contributions(&mut frame)
    };
    // SAFETY: the host keeps the promises of an [infer] slot.
    unsafe { with_model("explain.contributions", instance, err, body) }
}

unsafe extern "C" fn incremental_update(
    instance: *mut fb_instance,
    rows: *mut ArrowArrayStream,
    progress: *const fb_progress,
    err: *mut fb_error,
) -> fb_status {
    let body = |model: &mut dyn Model| {
        let incremental = model.incremental();
        let incremental = incremental.ok_or_else(|| PluginError::unsupported(INCREMENTAL_ID))?;
        // SAFETY: the host gives a stream that keeps the rules of Arrow.
        let rows = unsafe { arrow::import(rows) }?;
        // SAFETY: the host lends the progress for the call.
        let mut progress = unsafe { LentProgress::new(progress) };
        incremental.update(&rows, &mut progress)
    };
    // SAFETY: the host keeps the promises of a [control] slot.
    unsafe { with_model("incremental.update", instance, err, body) }
}

unsafe extern "C" fn quantile_levels(
    instance: *mut fb_instance,
    out: *mut f64,
    capacity: u64,
    count: *mut u64,
    err: *mut fb_error,
) -> fb_status {
    let body = |model: &mut dyn Model| {
        let quantiles = model
            .quantiles()
            .ok_or_else(|| PluginError::unsupported(QUANTILES_ID))?;
        let levels = quantiles.levels();
        if count.is_null() {
            return Err(PluginError::argument("there is no place for the count"));
        }
        // SAFETY: the host lends a writable place.
        unsafe { count.write(levels.len() as u64) };
        // SAFETY: the host lends `capacity` writable values.
        let out = unsafe { abi::elements_mut(out, capacity) };
        out.iter_mut()
            .zip(levels)
            .for_each(|(out, level)| *out = level);
        Ok(())
    };
    // SAFETY: the host keeps the promises of a [control] slot.
    unsafe { with_model("quantiles.levels", instance, err, body) }
}

unsafe extern "C" fn write_onnx(
    instance: *mut fb_instance,
    opset: u32,
    out: *const fb_sink,
    err: *mut fb_error,
) -> fb_status {
    let body = |model: &mut dyn Model| {
        let export = model.onnx_export();
        let export = export.ok_or_else(|| PluginError::unsupported(ONNX_EXPORT_ID))?;
        let bytes = export.to_onnx(opset)?;
        // SAFETY: the host lends the sink for the call.
        unsafe { write_sink(out, &bytes) }
    };
    // SAFETY: the host keeps the promises of a [control] slot.
    unsafe { with_model("onnx_export.write_onnx", instance, err, body) }
}

fn learner<P: Plugin>() -> Result<Box<dyn Learner>> {
    P::learner().ok_or_else(|| PluginError::unsupported("training"))
}

unsafe extern "C" fn describe<P: Plugin>(
    _host: *const fb_host,
    out: *const fb_sink,
    err: *mut fb_error,
) -> fb_status {
    let body = || {
        let json = serde_json::to_vec(&learner::<P>()?.describe()?)?;
        // SAFETY: the host lends the sink for the call.
        unsafe { write_sink(out, &json) }
    };
    // SAFETY: the host lends the error buffer.
    unsafe { guarded("describe", err, body) }
}

unsafe extern "C" fn fit<P: Plugin>(
    _host: *const fb_host,
    request: *const fb_fit_request,
    out: *mut *mut fb_instance,
    err: *mut fb_error,
) -> fb_status {
    let body = || {
        // SAFETY: the host lends a request as large as it says.
        let request = unsafe { abi::read(request) };
        let request = request.ok_or_else(|| PluginError::argument("the fit request is NULL"))?;
        // SAFETY: the request was lent by the host, with everything it points to.
        let model = unsafe { fit_request::<P>(&request) }?;
        // SAFETY: the host lends a place for the instance.
        unsafe { hand_out(model, out) }
    };
    // SAFETY: the host lends the error buffer.
    unsafe { guarded("fit", err, body) }
}

/// # Safety
/// What `request` points to is lent for the call and keeps the contract of the header.
unsafe fn fit_request<P: Plugin>(request: &fb_fit_request) -> Result<Box<dyn Model>> {
    // SAFETY: the host lends the bytes for the call.
    let task: Task = serde_json::from_slice(unsafe { request.task_json.bytes() })
        .map_err(|error| PluginError::config(format!("the task cannot be read: {error}")))?;
    // SAFETY: the host lends the bytes for the call.
    let config = Config::from_json(unsafe { request.config_json.bytes() })?;
    // SAFETY: the host gives a stream that keeps the rules of Arrow.
    let train = unsafe { arrow::import(request.train) }.map_err(|error| error.at("train"))?;
    let mut valid = None;
    if !request.valid.is_null() {
        // SAFETY: the host gives a stream that keeps the rules of Arrow.
        let rows = unsafe { arrow::import(request.valid) };
        valid = Some(rows.map_err(|error| error.at("valid"))?);
    }
    // SAFETY: the host lends the environment for the call.
    let mut environment = unsafe { LentEnvironment::new(request.env_vt, request.env) }?;
    // SAFETY: the host lends the progress for the call.
    let mut progress = unsafe { LentProgress::new(request.progress) };
    // SAFETY: the host lends the bytes for the call.
    let checkpoint = unsafe { request.checkpoint.bytes() };
    learner::<P>()?.fit(FitRequest {
        task: &task,
        config: &config,
        train: &train,
        valid: valid.as_ref(),
        environment: environment
            .as_mut()
            .map(|lent| lent as &mut dyn Environment),
        progress: &mut progress,
        checkpoint: (!checkpoint.is_empty()).then_some(checkpoint),
        seed: request.seed,
        max_threads: request.max_threads.max(1),
    })
}
