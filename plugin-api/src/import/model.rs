//! A model of a plugin, as a [`Model`].
//!
//! `predict` builds the C frame on the stack and lends an error buffer that lives beside the
//! instance: it costs the table call and nothing else. The instance is destroyed with the value.
#![allow(unsafe_code, reason = "calls the plugin through the C table")]

use std::ptr::{self, NonNull};

use super::ImportedPlugin;
use super::lend::{MAX_BINARY_BYTES, MAX_JSON_BYTES, lend_progress};
use crate::abi::{
    self, FB_FRAME_REPLAY, FB_OK, FrameSlot, WriteSlot, fb_buf, fb_error, fb_explain_vt, fb_frame,
    fb_incremental_vt, fb_instance, fb_onnx_export_vt, fb_quantiles_vt, fb_status, fb_str,
};
use crate::arrow::OutgoingStream;
use crate::error::{PluginError, Result};
use crate::ext::{
    EXPLAIN_ID, Explain, INCREMENTAL_ID, Incremental, ONNX_EXPORT_ID, OnnxExport, QUANTILES_ID,
    Quantiles,
};
use crate::frame::Frame;
use crate::model::{Model, ModelInfo, Progress, Snapshot};
use crate::schema::Dataset;

/// More quantile levels than this are a plugin's mistake.
const MAX_QUANTILE_LEVELS: u64 = 4096;

/// More features than this are a plugin's mistake.
const MAX_FEATURES: usize = 1 << 20;

/// An instance of a plugin's model.
#[derive(Debug)]
pub struct ImportedModel {
    plugin: ImportedPlugin,
    instance: NonNull<fb_instance>,
    predict: FrameSlot,
    error: Box<fb_error>,
    explain: Option<(fb_explain_vt, Vec<String>)>,
    incremental: Option<fb_incremental_vt>,
    quantiles: Option<Vec<f64>>,
    onnx_export: Option<fb_onnx_export_vt>,
}

// SAFETY: the contract lets an instance be used by any thread, one at a time; the methods that call
// it from `&self` are kept to one thread because the type is not `Sync`.
unsafe impl Send for ImportedModel {}

impl Drop for ImportedModel {
    fn drop(&mut self) {
        if let Some(destroy) = self.plugin.model.destroy {
            // SAFETY: [control] slot; the instance is live, and this is its last use.
            unsafe { destroy(self.instance.as_ptr()) };
        }
    }
}

impl ImportedModel {
    /// # Safety
    /// `instance` was just handed out by `plugin` and belongs to nobody else.
    pub(super) unsafe fn new(
        plugin: ImportedPlugin,
        instance: NonNull<fb_instance>,
    ) -> Result<Self> {
        let Some(predict) = plugin.model.predict else {
            return Err(plugin.lacks("predictions"));
        };
        let error = Box::new(fb_error::new());
        let mut model = Self {
            plugin,
            instance,
            predict,
            error,
            explain: None,
            incremental: None,
            quantiles: None,
            onnx_export: None,
        };
        model.find_extensions()?;
        Ok(model)
    }

    fn find_extensions(&mut self) -> Result<()> {
        // SAFETY: the id names this table.
        if let Some(table) = unsafe { self.extension::<fb_explain_vt>(EXPLAIN_ID) } {
            let kinds = match table.kinds {
                Some(slot) => serde_json::from_slice(&self.json_of(slot)?).map_err(|error| {
                    PluginError::data(format!("its kinds of importance cannot be read: {error}"))
                        .at(self.plugin.id())
                })?,
                None => Vec::new(),
            };
            self.explain = Some((table, kinds));
        }
        // SAFETY: the id names this table.
        self.incremental = unsafe { self.extension(INCREMENTAL_ID) };
        // SAFETY: the id names this table.
        self.onnx_export = unsafe { self.extension(ONNX_EXPORT_ID) };
        // SAFETY: the id names this table.
        if let Some(table) = unsafe { self.extension::<fb_quantiles_vt>(QUANTILES_ID) } {
            self.quantiles = Some(self.read_levels(table)?);
        }
        Ok(())
    }

    /// # Safety
    /// `T` is the table that `id` names.
    unsafe fn extension<T: Copy>(&self, id: &str) -> Option<T> {
        let get = self.plugin.model.get_extension?;
        // SAFETY: [control] slot; the instance is live and the id is lent for the call.
        let table = unsafe { get(self.instance.as_ptr(), fb_str::lend(id)) };
        // SAFETY: the plugin returns NULL or the table of the id, which lives as long as the
        // process.
        unsafe { abi::read(table.cast::<T>()) }
    }

    fn read_levels(&self, table: fb_quantiles_vt) -> Result<Vec<f64>> {
        let slot = table
            .levels
            .ok_or_else(|| self.plugin.lacks(QUANTILES_ID))?;
        let (mut error, mut count) = (fb_error::new(), 0);
        let mut levels: Vec<f64> = Vec::new();
        let refuse = |what: String| Err(PluginError::data(what).at(self.plugin.id()));
        // The first question has room for nothing and learns how many there are.
        for asked in 0..2 {
            let (out, room) = (levels.as_mut_ptr(), levels.len() as u64);
            // SAFETY: [control] slot; the instance is live and `out` has room for `room` values.
            let code = unsafe { slot(self.instance.as_ptr(), out, room, &mut count, &mut error) };
            self.plugin.check(code, &error)?;
            if count > MAX_QUANTILE_LEVELS {
                return refuse(format!("it claims {count} quantile levels"));
            }
            if asked > 0 && count != room {
                return refuse(format!("it has {room} quantile levels, then {count}"));
            }
            levels.resize(count as usize, f64::NAN);
        }
        let is_ascending = levels.is_sorted_by(|a, b| a < b);
        if !is_ascending || !levels.iter().all(|level| 0.0 < *level && *level < 1.0) {
            return refuse(format!(
                "its quantile levels are {levels:?}; they must ascend between 0 and 1"
            ));
        }
        Ok(levels)
    }

    /// Asks a slot that writes JSON into a sink.
    fn json_of(&self, slot: WriteSlot) -> Result<Vec<u8>> {
        self.written_by(slot, MAX_JSON_BYTES)
    }

    /// Asks a slot that writes into a sink, `most` bytes or less.
    fn written_by(&self, slot: WriteSlot, most: usize) -> Result<Vec<u8>> {
        self.plugin.collect(most, |sink, error| {
            // SAFETY: [control] slot; the instance is live, sink and buffer lent for the call.
            unsafe { slot(self.instance.as_ptr(), sink, error) }
        })
    }

    /// The plugin this is an instance of.
    #[must_use]
    pub fn plugin(&self) -> &ImportedPlugin {
        &self.plugin
    }

    #[cold]
    fn failure(&self, code: fb_status) -> PluginError {
        self.error.to_error(code).at(self.plugin.id())
    }
}

/// A number read by itself. The compiler would read neighbours two at a time, and a processor that
/// loads two numbers which were stored one by one a moment ago waits for both stores to leave its
/// queue, which takes longer than all of the rest of a call.
#[inline]
fn alone(number: &usize) -> u64 {
    // SAFETY: a reference can be read.
    let number = unsafe { ptr::from_ref(number).read_volatile() };
    number as u64
}

/// The C frame of a safe one; it borrows the same memory.
#[inline]
fn frame_to_lend(frame: &mut Frame<'_>) -> fb_frame {
    let shape = frame.layout();
    fb_frame {
        size: abi::size::<fb_frame>(),
        flags: if frame.is_replay() {
            FB_FRAME_REPLAY
        } else {
            0
        },
        event_ns: frame.event_ns().unwrap_or(0),
        deadline_ns: frame.deadline_ns().unwrap_or(0),
        rows: alone(&shape.rows),
        window: alone(&shape.window),
        cols: alone(&shape.columns),
        row_stride: alone(&shape.row_stride),
        step_stride: alone(&shape.step_stride),
        input: frame.input().as_ptr(),
        output_cols: alone(&shape.output_columns),
        output_stride: alone(&shape.output_stride),
        row_event_ns: frame.row_event_ns().map_or(ptr::null(), <[i64]>::as_ptr),
        symbols: frame.symbols().map_or(ptr::null(), <[u32]>::as_ptr),
        output: frame.output_mut().as_mut_ptr(),
    }
}

impl Model for ImportedModel {
    fn info(&self) -> Result<ModelInfo> {
        let slot = self
            .plugin
            .model
            .info
            .ok_or_else(|| self.plugin.lacks("info"))?;
        serde_json::from_slice(&self.json_of(slot)?).map_err(|error| {
            PluginError::data(format!("its model describes itself wrongly: {error}"))
                .at(self.plugin.id())
        })
    }

    fn predict(&mut self, frame: &mut Frame<'_>) -> Result<()> {
        let lent = frame_to_lend(frame);
        // The buffer is lent over and over, so what a plugin left in it is put right.
        (self.error.size, self.error.length) = (abi::size::<fb_error>(), 0);
        // SAFETY: [infer] slot; `&mut self` is the only user, and the frame lives for the call.
        match unsafe { (self.predict)(self.instance.as_ptr(), &lent, &mut *self.error) } {
            FB_OK => Ok(()),
            code => Err(self.failure(code)),
        }
    }

    fn warmup(&mut self) -> Result<()> {
        let Some(slot) = self.plugin.model.warmup else {
            return Ok(());
        };
        let mut error = fb_error::new();
        // SAFETY: [control] slot; the instance is live.
        let code = unsafe { slot(self.instance.as_ptr(), &mut error) };
        self.plugin.check(code, &error)
    }

    fn save(&self) -> Result<Vec<u8>> {
        match self.plugin.model.save {
            Some(slot) => self.written_by(slot, MAX_BINARY_BYTES),
            None => Ok(Vec::new()),
        }
    }

    fn snapshot(&self) -> Result<Snapshot> {
        let Some(slot) = self.plugin.model.snapshot else {
            return Ok(Snapshot::default());
        };
        let mut schema = 0;
        let bytes = self.plugin.collect(MAX_BINARY_BYTES, |sink, error| {
            // SAFETY: [control] slot; the instance is live, the rest is lent for the call.
            unsafe { slot(self.instance.as_ptr(), sink, &mut schema, error) }
        })?;
        Ok(Snapshot { schema, bytes })
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        let state = fb_buf::lend(&snapshot.bytes);
        let Some(slot) = self.plugin.model.restore else {
            if *snapshot == Snapshot::default() {
                return Ok(());
            }
            let error = PluginError::schema("this model has no state, yet it was given one");
            return Err(error.at(self.plugin.id()));
        };
        let mut error = fb_error::new();
        // SAFETY: [control] slot; the instance is live, the bytes are lent for the call.
        let code = unsafe { slot(self.instance.as_ptr(), state, snapshot.schema, &mut error) };
        self.plugin.check(code, &error)
    }

    fn quiesce(&mut self, deadline_ns: u64) -> Result<()> {
        let Some(slot) = self.plugin.model.quiesce else {
            return Ok(());
        };
        let mut error = fb_error::new();
        // SAFETY: [control] slot; the instance is live.
        let code = unsafe { slot(self.instance.as_ptr(), deadline_ns, &mut error) };
        self.plugin.check(code, &error)
    }

    fn explain(&self) -> Option<&dyn Explain> {
        self.explain.as_ref().map(|_| self as &dyn Explain)
    }

    fn incremental(&mut self) -> Option<&mut dyn Incremental> {
        self.incremental
            .is_some()
            .then_some(self as &mut dyn Incremental)
    }

    fn quantiles(&self) -> Option<&dyn Quantiles> {
        self.quantiles.as_ref().map(|_| self as &dyn Quantiles)
    }

    fn onnx_export(&self) -> Option<&dyn OnnxExport> {
        self.onnx_export.as_ref().map(|_| self as &dyn OnnxExport)
    }
}

impl Explain for ImportedModel {
    fn importance_kinds(&self) -> Vec<String> {
        self.explain
            .as_ref()
            .map(|(_, kinds)| kinds.clone())
            .unwrap_or_default()
    }

    fn importance(&self, kind: &str) -> Result<Vec<f64>> {
        let slot = self
            .explain
            .as_ref()
            .and_then(|(table, _)| table.importance);
        let slot = slot.ok_or_else(|| self.plugin.lacks("importances"))?;
        let info = self.info()?;
        let features = info.columns.unwrap_or(info.features.len());
        if features > MAX_FEATURES {
            let error = PluginError::data(format!("its model claims {features} features"));
            return Err(error.at(self.plugin.id()));
        }
        let asked = kind;
        let mut values = vec![f64::NAN; features];
        let mut error = fb_error::new();
        let (kind, out, count) = (fb_str::lend(kind), values.as_mut_ptr(), values.len() as u64);
        // SAFETY: [control] slot; the instance is live and `out` has room for `count` values.
        let code = unsafe { slot(self.instance.as_ptr(), kind, out, count, &mut error) };
        self.plugin.check(code, &error)?;
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok(values),
            Some(feature) => Err(PluginError::data(format!(
                "its importance by `{asked}` of feature {feature} is {}; it must be a finite \
                 number for each of the {features} features",
                values[feature]
            ))
            .at(self.plugin.id())),
        }
    }

    fn contributions(&self, frame: &mut Frame<'_>) -> Result<()> {
        let slot = self
            .explain
            .as_ref()
            .and_then(|(table, _)| table.contributions);
        let slot = slot.ok_or_else(|| self.plugin.lacks("contributions"))?;
        let lent = frame_to_lend(frame);
        let mut error = fb_error::new();
        // SAFETY: [infer] slot; the type is not `Sync`, and the frame lives for the call.
        let code = unsafe { slot(self.instance.as_ptr(), &lent, &mut error) };
        self.plugin.check(code, &error)
    }
}

impl Incremental for ImportedModel {
    fn update(&mut self, rows: &Dataset, progress: &mut dyn Progress) -> Result<()> {
        let slot = self.incremental.and_then(|table| table.update);
        let slot = slot.ok_or_else(|| self.plugin.lacks(INCREMENTAL_ID))?;
        let mut rows = OutgoingStream::new(rows.clone());
        let mut listener = progress;
        let lent = lend_progress(&mut listener);
        let mut error = fb_error::new();
        // SAFETY: [control] slot; the instance is live, rows and progress outlive the call.
        let code = unsafe { slot(self.instance.as_ptr(), rows.as_mut_ptr(), &lent, &mut error) };
        self.plugin.check(code, &error)
    }
}

impl Quantiles for ImportedModel {
    fn levels(&self) -> Vec<f64> {
        self.quantiles.clone().unwrap_or_default()
    }
}

impl OnnxExport for ImportedModel {
    fn to_onnx(&self, opset: u32) -> Result<Vec<u8>> {
        let slot = self.onnx_export.and_then(|table| table.write_onnx);
        let slot = slot.ok_or_else(|| self.plugin.lacks(ONNX_EXPORT_ID))?;
        self.plugin.collect(MAX_BINARY_BYTES, |sink, error| {
            // SAFETY: [control] slot; the instance is live, sink and buffer lent for the call.
            unsafe { slot(self.instance.as_ptr(), opset, sink, error) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::export::Plugin;
    use crate::import::{HostServices, LentHost};
    use crate::model::Task;

    /// Answers what its configuration says, however wrong that is.
    struct Liar {
        columns: usize,
        importance: Vec<f64>,
        levels: Vec<f64>,
    }

    impl Model for Liar {
        fn info(&self) -> Result<ModelInfo> {
            let mut info = ModelInfo::new(Task::Regression, &["lie"]);
            info.columns = Some(self.columns);
            Ok(info)
        }

        fn predict(&mut self, _: &mut Frame<'_>) -> Result<()> {
            Err(PluginError::data("first line\nsecond line"))
        }

        fn explain(&self) -> Option<&dyn Explain> {
            Some(self)
        }

        fn quantiles(&self) -> Option<&dyn Quantiles> {
            (!self.levels.is_empty()).then_some(self)
        }
    }

    impl Explain for Liar {
        fn importance_kinds(&self) -> Vec<String> {
            vec!["gain".to_owned()]
        }

        fn importance(&self, _: &str) -> Result<Vec<f64>> {
            Ok(self.importance.clone())
        }

        fn contributions(&self, _: &mut Frame<'_>) -> Result<()> {
            Ok(())
        }
    }

    impl Quantiles for Liar {
        fn levels(&self) -> Vec<f64> {
            self.levels.clone()
        }
    }

    struct LiarPlugin;

    impl Plugin for LiarPlugin {
        const ID: &'static str = "test.liar";
        const VERSION: &'static str = "1.0.0";

        fn create_model(config: &Config, _: &[u8]) -> Result<Box<dyn Model>> {
            let importance: Vec<f64> = config.get_or("importance", Vec::new())?;
            Ok(Box::new(Liar {
                columns: config.get_or("columns", 2)?,
                // JSON has no NaN; a negative number stands for it.
                importance: importance
                    .iter()
                    .map(|value| if *value < 0.0 { f64::NAN } else { *value })
                    .collect(),
                levels: config.get_or("levels", Vec::new())?,
            }))
        }
    }

    fn create(config: Config) -> Result<ImportedModel> {
        let host = LentHost::leak(HostServices::silent());
        let plugin = ImportedPlugin::linked::<LiarPlugin>(host).unwrap();
        plugin.create_model(&config, &[])
    }

    #[test]
    fn importances_that_are_no_numbers_or_of_absurd_number_are_refused() {
        let config = Config::new().with("importance", vec![1.0, 2.0]);
        let model = create(config).unwrap();
        assert_eq!(model.importance("gain").unwrap(), [1.0, 2.0]);

        let model = create(Config::new().with("importance", vec![1.0, -1.0])).unwrap();
        let error = model.importance("gain").unwrap_err().to_string();
        let words = "test.liar: its importance by `gain` of feature 1 is NaN";
        assert!(error.starts_with(words), "{error}");

        let model = create(Config::new().with("columns", u64::MAX / 2)).unwrap();
        let error = model.importance("gain").unwrap_err().to_string();
        assert!(
            error.contains("claims 9223372036854775807 features"),
            "{error}"
        );
    }

    #[test]
    fn quantile_levels_must_ascend_between_0_and_1() {
        let levels = |levels: Vec<f64>| create(Config::new().with("levels", levels));
        assert!(levels(vec![0.1, 0.5]).is_ok());
        for wrong in [
            vec![0.5, 0.1],
            vec![0.5, 0.5],
            vec![0.0, 0.5],
            vec![0.5, 2.0],
        ] {
            let error = levels(wrong.clone()).unwrap_err().to_string();
            assert!(error.contains("must ascend between 0 and 1"), "{error}");
        }
        assert!(levels(vec![0.5; 5000]).is_err());
    }

    #[test]
    fn a_buffer_that_a_plugin_spoiled_serves_the_next_error() {
        let mut model = create(Config::new()).unwrap();
        // What a careless memset of the whole buffer leaves behind.
        *model.error = fb_error {
            size: 0,
            ..fb_error::new()
        };
        let mut output = [0.0];
        let shape = crate::frame::FrameShape::dense(1, 2, 1);
        let mut frame = Frame::new(&[1.0, 2.0], &mut output, shape).unwrap();
        let error = model.predict(&mut frame).unwrap_err();
        assert_eq!(error.message(), "test.liar: first line second line");
    }
}
