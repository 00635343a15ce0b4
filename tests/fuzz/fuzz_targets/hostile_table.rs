//! A plugin whose tables lie: sizes, missing slots, statuses, error buffers, answers in any pieces,
//! JSON of any kind, numbers of any value. It keeps the one promise that nobody can check, which is
//! to point only at memory that is there.
//!
//! Whatever it says, the host answers with a value or with one line that names the plugin, and a
//! guarded prediction that succeeds is made of finite numbers.
#![no_main]

use std::cell::RefCell;
use std::ffi::c_void;
use std::ptr;
use std::sync::{Arc, OnceLock};

use arbitrary::Arbitrary;
use fusebox_loader::guard::GuardPolicy;
use fusebox_loader::{GuardedModel, ManualClock};
use fusebox_plugin_api::abi::*;
use fusebox_plugin_api::config::Config;
use fusebox_plugin_api::error::PluginError;
use fusebox_plugin_api::frame::{Frame, FrameShape};
use fusebox_plugin_api::import::{HostServices, ImportedPlugin, LentHost};
use fusebox_plugin_api::model::{FitRequest, Learner, Model, NoProgress, Snapshot, Task};
use fusebox_plugin_api::schema::{BatchColumns, Dataset, DatasetBatch, DatasetSchema};
use libfuzzer_sys::fuzz_target;

const ID: &str = "com.example.liar";
const SOUND_INFO: &[u8] =
    br#"{"task":{"kind":"regression"},"features":[],"columns":null,"window":1,"outputs":["x"]}"#;

#[derive(Debug, Arbitrary)]
struct Input {
    script: Script,
    uses: Vec<Use>,
}

/// What the plugin says.
#[derive(Debug, Arbitrary)]
struct Script {
    entry_size: Size,
    abi_major: Option<u16>,
    id: Option<Vec<u8>>,
    version: Option<Vec<u8>>,
    model_size: Size,
    missing_slots: u16,
    learner_size: Size,
    extensions: u8,
    extension_size: Size,
    info: Option<Vec<u8>>,
    gives_no_instance: bool,
    /// What the slots do in turn; over and over.
    acts: Vec<Act>,
}

/// The size that a table states.
#[derive(Debug, Clone, Copy, Arbitrary)]
enum Size {
    Right,
    Any(u32),
    Small(u8),
}

/// What a slot does.
#[derive(Debug, Clone, Arbitrary)]
struct Act {
    status: Option<i32>,
    error: Option<(u32, i32, u32, Vec<u8>)>,
    pieces: Vec<Option<Vec<u8>>>,
    number: f64,
    count: u64,
    answer: f32,
    writes: bool,
    /// How far beyond its cells the answer goes, within the canaries of the guard.
    strays: Option<i8>,
}

#[derive(Debug, Arbitrary)]
enum Use {
    Info,
    Warmup,
    Predict { rows: u8, columns: u8, outputs: u8 },
    Save,
    Snapshot,
    Restore { schema: u32, bytes: Vec<u8> },
    Quiesce(u64),
    Importance(String),
    Contributions,
    Levels,
    Onnx(u32),
    Update,
    Describe,
    Fit,
}

impl Size {
    fn of<T>(self) -> u32 {
        match self {
            Self::Right => size_of::<T>() as u32,
            Self::Any(size) => size,
            Self::Small(size) => u32::from(size),
        }
    }
}

/// The plugin of this run. The tables live in it, boxed, and are replaced with it.
struct Liar {
    script: Script,
    next: usize,
    entry: Box<fb_entry>,
    model: Box<fb_model_vt>,
    learner: Box<fb_learner_vt>,
    explain: Box<fb_explain_vt>,
    incremental: Box<fb_incremental_vt>,
    quantiles: Box<fb_quantiles_vt>,
    onnx: Box<fb_onnx_export_vt>,
}

thread_local! {
    static LIAR: RefCell<Option<Liar>> = const { RefCell::new(None) };
}

fn with_liar<T>(body: impl FnOnce(&mut Liar) -> T) -> T {
    LIAR.with_borrow_mut(|liar| body(liar.as_mut().expect("a run has its plugin")))
}

impl Liar {
    fn new(script: Script) -> Self {
        let missing = script.missing_slots;
        let has = |slot: u32| missing >> slot & 1 == 0;
        let text = |text: &Option<Vec<u8>>, sound: &'static str| match text {
            // The vector lives as long as the script does, and its bytes do not move with it.
            Some(bytes) => fb_str {
                ptr: bytes.as_ptr().cast(),
                len: bytes.len() as u64,
            },
            None => fb_str::lend(sound),
        };
        let extension = script.extension_size;
        Self {
            next: 0,
            entry: Box::new(fb_entry {
                size: script.entry_size.of::<fb_entry>(),
                abi_major: script.abi_major.unwrap_or(FB_ABI_MAJOR),
                abi_minor: 9,
                id: text(&script.id, ID),
                version: text(&script.version, "1.0.0"),
                sdk: fb_str {
                    ptr: ptr::null(),
                    len: u64::MAX,
                },
                caps: u64::MAX,
                get_factory: Some(get_factory),
            }),
            model: Box::new(fb_model_vt {
                size: script.model_size.of::<fb_model_vt>(),
                flags: u32::MAX,
                create: has(0).then_some(create as _),
                info: has(1).then_some(info as _),
                warmup: has(2).then_some(warmup as _),
                predict: has(3).then_some(predict as _),
                save: has(4).then_some(write as _),
                snapshot: has(5).then_some(snapshot as _),
                restore: has(6).then_some(restore as _),
                quiesce: has(7).then_some(quiesce as _),
                destroy: has(8).then_some(destroy as _),
                get_extension: has(9).then_some(get_extension as _),
            }),
            learner: Box::new(fb_learner_vt {
                size: script.learner_size.of::<fb_learner_vt>(),
                flags: 0,
                describe: has(10).then_some(describe as _),
                fit: has(11).then_some(fit as _),
                get_extension: None,
            }),
            explain: Box::new(fb_explain_vt {
                size: extension.of::<fb_explain_vt>(),
                flags: 0,
                kinds: has(12).then_some(write as _),
                importance: has(13).then_some(importance as _),
                contributions: has(14).then_some(predict as _),
            }),
            incremental: Box::new(fb_incremental_vt {
                size: extension.of::<fb_incremental_vt>(),
                flags: 0,
                update: has(15).then_some(update as _),
            }),
            quantiles: Box::new(fb_quantiles_vt {
                size: extension.of::<fb_quantiles_vt>(),
                flags: 0,
                levels: has(15).then_some(levels as _),
            }),
            onnx: Box::new(fb_onnx_export_vt {
                size: extension.of::<fb_onnx_export_vt>(),
                flags: 0,
                write_onnx: has(15).then_some(write_onnx as _),
            }),
            script,
        }
    }

    fn act(&mut self) -> Option<Act> {
        let acts = &self.script.acts;
        let act = acts.get(self.next % acts.len().max(1)).cloned();
        self.next += 1;
        act
    }
}

fn act() -> Option<Act> {
    with_liar(Liar::act)
}

/// Fills the error buffer as the act says, and returns its status.
fn end(act: Option<&Act>, err: *mut fb_error) -> fb_status {
    let Some(act) = act else { return FB_OK };
    if let (Some((size, code, length, words)), false) = (&act.error, err.is_null()) {
        // SAFETY: the host lends a whole error buffer.
        let err = unsafe { &mut *err };
        (err.size, err.code, err.length) = (*size, *code, *length);
        let taken = words.len().min(err.message.len());
        err.message[..taken].copy_from_slice(&words[..taken]);
    }
    act.status.unwrap_or(FB_OK)
}

/// Writes the pieces of the act; a piece that is absent is NULL with a length.
fn put(act: Option<&Act>, out: *const fb_sink) -> fb_status {
    let Some(act) = act else { return FB_OK };
    // SAFETY: the host lends the sink for the call.
    let sink = unsafe { &*out };
    for piece in &act.pieces {
        let bytes = match piece {
            Some(bytes) => fb_buf::lend(bytes),
            None => fb_buf {
                ptr: ptr::null(),
                len: act.count,
            },
        };
        if let Some(write) = sink.write {
            // SAFETY: the sink is live and the bytes are lent for the call.
            let code = unsafe { write(sink.ctx, bytes) };
            if code != FB_OK && !act.writes {
                return code;
            }
        }
    }
    FB_OK
}

unsafe extern "C" fn entry(_: *const fb_host) -> *const fb_entry {
    with_liar(|liar| &raw const *liar.entry)
}

unsafe extern "C" fn get_factory(id: fb_str) -> *const c_void {
    // SAFETY: the host lends the text for the call.
    let id = unsafe { id.text() };
    with_liar(|liar| match id {
        Some(MODEL_ID) => (&raw const *liar.model).cast(),
        Some(LEARNER_ID) => (&raw const *liar.learner).cast(),
        _ => ptr::null(),
    })
}

unsafe extern "C" fn create(
    _: *const fb_host,
    _: fb_buf,
    _: fb_buf,
    out: *mut *mut fb_instance,
    err: *mut fb_error,
) -> fb_status {
    give(out, act(), err)
}

/// Hands out an instance, which is nothing but an address.
fn give(out: *mut *mut fb_instance, act: Option<Act>, err: *mut fb_error) -> fb_status {
    static INSTANCE: u64 = 0;
    if !with_liar(|liar| liar.script.gives_no_instance) {
        // SAFETY: the host lends a place for the instance.
        unsafe { out.write((&raw const INSTANCE).cast_mut().cast()) };
    }
    end(act.as_ref(), err)
}

unsafe extern "C" fn info(
    instance: *mut fb_instance,
    out: *const fb_sink,
    err: *mut fb_error,
) -> fb_status {
    let text = with_liar(|liar| liar.script.info.clone());
    if text.as_ref().is_some_and(|text| text.is_empty()) {
        // SAFETY: as for this slot.
        return unsafe { write(instance, out, err) };
    }
    // SAFETY: the host lends the sink for the call.
    let sink = unsafe { &*out };
    let text = text.as_deref().unwrap_or(SOUND_INFO);
    let Some(write) = sink.write else {
        return FB_OK;
    };
    // SAFETY: the sink is live and the bytes are lent for the call.
    unsafe { write(sink.ctx, fb_buf::lend(text)) }
}

unsafe extern "C" fn write(
    _: *mut fb_instance,
    out: *const fb_sink,
    err: *mut fb_error,
) -> fb_status {
    let act = act();
    match put(act.as_ref(), out) {
        FB_OK => end(act.as_ref(), err),
        code => code,
    }
}

unsafe extern "C" fn warmup(_: *mut fb_instance, err: *mut fb_error) -> fb_status {
    end(act().as_ref(), err)
}

unsafe extern "C" fn predict(
    _: *mut fb_instance,
    frame: *const fb_frame,
    err: *mut fb_error,
) -> fb_status {
    let act = act();
    // SAFETY: the host lends the frame for the call.
    let frame = unsafe { &*frame };
    if let Some(act) = act.as_ref().filter(|act| act.writes) {
        for row in 0..frame.rows {
            for column in 0..frame.output_cols {
                let at = (row * frame.output_stride + column) as usize;
                // SAFETY: the cell lies in the frame's output.
                unsafe { frame.output.add(at).write(act.answer) };
            }
        }
        if let Some(stray) = act.strays.filter(|_| frame.rows > 0) {
            // One cell before the first row, or behind the last: a canary of the guard.
            let last = (frame.rows - 1) * frame.output_stride + frame.output_cols;
            let at = if stray < 0 { -1 } else { last as isize };
            // SAFETY: every frame of this target comes through a guard with canaries.
            unsafe { frame.output.offset(at).write(act.answer) };
        }
    }
    end(act.as_ref(), err)
}

unsafe extern "C" fn snapshot(
    instance: *mut fb_instance,
    out: *const fb_sink,
    schema: *mut u32,
    err: *mut fb_error,
) -> fb_status {
    // SAFETY: the host lends a place for the number.
    unsafe { schema.write(77) };
    // SAFETY: as for this slot.
    unsafe { write(instance, out, err) }
}

unsafe extern "C" fn restore(
    _: *mut fb_instance,
    _: fb_buf,
    _: u32,
    err: *mut fb_error,
) -> fb_status {
    end(act().as_ref(), err)
}

unsafe extern "C" fn quiesce(_: *mut fb_instance, _: u64, err: *mut fb_error) -> fb_status {
    end(act().as_ref(), err)
}

unsafe extern "C" fn destroy(_: *mut fb_instance) {}

unsafe extern "C" fn get_extension(_: *mut fb_instance, id: fb_str) -> *const c_void {
    // SAFETY: the host lends the text for the call.
    let id = unsafe { id.text() };
    with_liar(|liar| {
        let offers = |bit: u8| liar.script.extensions >> bit & 1 == 1;
        match id {
            Some("fb.explain/1") if offers(0) => (&raw const *liar.explain).cast(),
            Some("fb.incremental/1") if offers(1) => (&raw const *liar.incremental).cast(),
            Some("fb.quantiles/1") if offers(2) => (&raw const *liar.quantiles).cast(),
            Some("fb.onnx_export/1") if offers(3) => (&raw const *liar.onnx).cast(),
            _ => ptr::null(),
        }
    })
}

unsafe extern "C" fn importance(
    _: *mut fb_instance,
    _: fb_str,
    out: *mut f64,
    count: u64,
    err: *mut fb_error,
) -> fb_status {
    let act = act();
    if let Some(act) = act.as_ref().filter(|act| act.writes) {
        for at in 0..count as usize {
            // SAFETY: the host lends room for `count` values.
            unsafe { out.add(at).write(act.number) };
        }
    }
    end(act.as_ref(), err)
}

unsafe extern "C" fn update(
    _: *mut fb_instance,
    _: *mut ArrowArrayStream,
    progress: *const fb_progress,
    err: *mut fb_error,
) -> fb_status {
    let act = act();
    report(act.as_ref(), progress);
    end(act.as_ref(), err)
}

/// Reports a metric whose name may be no text, and hands out a checkpoint.
fn report(act: Option<&Act>, progress: *const fb_progress) {
    let (Some(act), false) = (act, progress.is_null()) else {
        return;
    };
    // SAFETY: the host lends the table for the call.
    let table = unsafe { &*progress };
    let name = act
        .pieces
        .iter()
        .flatten()
        .next()
        .map_or(&[][..], Vec::as_slice);
    let name = fb_str {
        ptr: name.as_ptr().cast(),
        len: name.len() as u64,
    };
    let metric = fb_metric {
        name,
        value: act.number,
    };
    if let Some(report) = table.report {
        // SAFETY: the context is the table's, and the metric is lent for the call.
        unsafe { report(table.ctx, act.count, act.count, &metric, 1) };
    }
    if let Some(checkpoint) = table.checkpoint {
        let state = fb_buf {
            ptr: ptr::null(),
            len: act.count,
        };
        // SAFETY: the context is the table's; NULL with a length has no bytes.
        unsafe { checkpoint(table.ctx, act.count, state) };
    }
}

unsafe extern "C" fn levels(
    _: *mut fb_instance,
    out: *mut f64,
    capacity: u64,
    count: *mut u64,
    err: *mut fb_error,
) -> fb_status {
    let act = act();
    if let Some(act) = &act {
        // SAFETY: the host lends a place for the number.
        unsafe { count.write(act.count % 5000) };
        for at in 0..capacity.min(act.count % 5000) as usize {
            // SAFETY: the host lends room for `capacity` values.
            unsafe { out.add(at).write(act.number * (at + 1) as f64) };
        }
    }
    end(act.as_ref(), err)
}

unsafe extern "C" fn write_onnx(
    instance: *mut fb_instance,
    _: u32,
    out: *const fb_sink,
    err: *mut fb_error,
) -> fb_status {
    // SAFETY: as for this slot.
    unsafe { write(instance, out, err) }
}

unsafe extern "C" fn describe(
    _: *const fb_host,
    out: *const fb_sink,
    err: *mut fb_error,
) -> fb_status {
    // SAFETY: as for this slot.
    unsafe { write(ptr::null_mut(), out, err) }
}

unsafe extern "C" fn fit(
    _: *const fb_host,
    request: *const fb_fit_request,
    model: *mut *mut fb_instance,
    err: *mut fb_error,
) -> fb_status {
    let act = act();
    // SAFETY: the host lends the request for the call.
    report(act.as_ref(), unsafe { (*request).progress });
    give(model, act, err)
}

fn host() -> LentHost {
    static HOST: OnceLock<LentHost> = OnceLock::new();
    *HOST.get_or_init(|| LentHost::leak(HostServices::silent()))
}

fuzz_target!(|input: Input| {
    let names_itself = input.script.id.is_none();
    LIAR.set(Some(Liar::new(input.script)));
    run(&input.uses, names_itself);
});

fn run(uses: &[Use], names_itself: bool) {
    // SAFETY: the entry keeps to memory that is there, and lives as long as this run uses it.
    let Ok(plugin) = (unsafe { ImportedPlugin::from_entry(entry, host()) }) else {
        return;
    };
    let check = |error: &PluginError| {
        let text = error.to_string();
        assert!(
            !text.contains(|c: char| c.is_control()),
            "{text:?} is not one line"
        );
        assert!(
            !names_itself || error.message().contains(ID),
            "{text:?} names no plugin"
        );
    };
    if let Some(learner) = plugin.learner() {
        use_learner(&learner, uses, &check);
    }
    let made = plugin
        .create_model(&Config::new(), &[])
        .and_then(|model| GuardedModel::new(ID, Box::new(model)));
    match made {
        Ok(model) => {
            let clock = Arc::new(ManualClock::default());
            let mut model = model.with_policy(&GuardPolicy::live(), Arc::default(), clock);
            for one in uses {
                if let Err(error) = use_model(&mut model, one) {
                    check(&error);
                }
            }
        }
        Err(error) => check(&error),
    }
}

fn use_model(model: &mut GuardedModel, one: &Use) -> Result<(), PluginError> {
    match one {
        Use::Info => model.info().map(drop),
        Use::Warmup => model.warmup(),
        Use::Predict {
            rows,
            columns,
            outputs,
        } => {
            let shape = FrameShape::dense(
                usize::from(rows % 8),
                usize::from(columns % 8),
                usize::from(outputs % 8),
            );
            let input = vec![1.0; shape.input_len().unwrap_or(0)];
            let mut output = vec![0.0; shape.output_len().unwrap_or(0)];
            let mut frame = Frame::new(&input, &mut output, shape)?;
            model.predict(&mut frame)?;
            assert!(output.iter().all(|answer| answer.is_finite()));
            Ok(())
        }
        Use::Save => model.save().map(drop),
        Use::Snapshot => model.snapshot().map(drop),
        Use::Restore { schema, bytes } => model.restore(&Snapshot::new(*schema, bytes.as_slice())),
        Use::Quiesce(deadline) => model.quiesce(*deadline),
        Use::Importance(kind) => match model.explain() {
            Some(explain) => explain.importance(kind).map(|values| {
                assert!(values.iter().all(|value| value.is_finite()));
            }),
            None => Ok(()),
        },
        Use::Contributions => {
            let mut output = [0.0; 64];
            // Canaries are the guard's, and contributions do not pass it: room for a stray cell.
            let mut frame = Frame::new(&[1.0], &mut output[8..9], FrameShape::dense(1, 1, 1))?;
            model
                .explain()
                .map_or(Ok(()), |explain| explain.contributions(&mut frame))
        }
        Use::Levels => {
            let levels = model
                .quantiles()
                .map(|quantiles| quantiles.levels())
                .unwrap_or_default();
            assert!(levels.is_sorted() && levels.iter().all(|level| *level > 0.0 && *level < 1.0));
            Ok(())
        }
        Use::Onnx(opset) => model
            .onnx_export()
            .map_or(Ok(()), |onnx| onnx.to_onnx(*opset).map(drop)),
        Use::Update => match model.incremental() {
            Some(incremental) => incremental.update(&rows(), &mut NoProgress),
            None => Ok(()),
        },
        Use::Describe | Use::Fit => Ok(()),
    }
}

fn use_learner(learner: &dyn Learner, uses: &[Use], check: &dyn Fn(&PluginError)) {
    for one in uses {
        let outcome = match one {
            Use::Describe => learner.describe().map(drop),
            Use::Fit => learner
                .fit(FitRequest {
                    task: &Task::Regression,
                    config: &Config::new(),
                    train: &rows(),
                    valid: None,
                    environment: None,
                    progress: &mut NoProgress,
                    checkpoint: None,
                    seed: 1,
                    max_threads: 1,
                })
                .map(drop),
            _ => Ok(()),
        };
        if let Err(error) = outcome {
            check(&error);
        }
    }
}

fn rows() -> Dataset {
    let schema = DatasetSchema {
        features: vec!["a".to_owned()],
        labels: vec!["b".to_owned()],
        classes: Vec::new(),
    };
    let columns = BatchColumns {
        features: vec![1.0].into(),
        labels: vec![1.0].into(),
        weight: vec![1.0].into(),
        event_ns: vec![1].into(),
        label_end_ns: vec![1].into(),
        symbol: vec![0].into(),
        segment: vec![0].into(),
        role: vec![1].into(),
    };
    let batch = DatasetBatch::new(&schema, columns).expect("one row is a batch");
    Dataset::new(schema, vec![batch]).expect("one batch is a data set")
}
