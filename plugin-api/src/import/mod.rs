//! From the C tables to the author's traits: how the host uses a plugin.
//!
//! [`ImportedPlugin`] is made from an entry, [`ImportedLearner`] and [`ImportedModel`] implement
//! the same traits an author implements, so nobody above cares on which side of the line a model
//! lives. Tables are copied once, as far as their size reaches; what a plugin does not offer reads
//! as absent. Every error names the plugin. Nothing here opens a file or a library.
#![allow(unsafe_code, reason = "calls the plugin through the C table")]

mod lend;
mod model;

use std::ffi::c_void;
use std::fmt;
use std::ptr;
use std::sync::Arc;

pub use lend::{HostLog, HostServices, LentHost};
pub use model::ImportedModel;

use crate::abi::{
    self, FB_ABI_MAJOR, FB_MODEL_REALTIME, FB_OK, LEARNER_ID, MODEL_ID, fb_buf, fb_entry,
    fb_entry_v1_fn, fb_error, fb_fit_request, fb_instance, fb_learner_vt, fb_model_vt, fb_sink,
    fb_status, fb_str,
};
use crate::arrow::OutgoingStream;
use crate::config::Config;
use crate::error::{PluginError, Result};
use crate::export::{Plugin, linked_entry};
use crate::model::{FitRequest, Learner, LearnerInfo, Model};
use lend::{Answer, LentEnv, MAX_JSON_BYTES, lend_progress};

/// Why an entry does not give a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImportError {
    /// The entry returned NULL.
    Refused,
    /// The entry is of another major version.
    Major {
        /// The major version it states.
        found: u16,
    },
    /// A text of the entry is empty, not UTF-8, or more than one line.
    Text(&'static str),
    /// The plugin has no table for models, or one without a slot that every model needs.
    Incomplete(&'static str),
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str(
                "its entry returned NULL: it refuses this host, or it panicked; see the log",
            ),
            Self::Major { found } => write!(
                f,
                "its entry states contract version {found}; this host speaks {FB_ABI_MAJOR}; \
                 rebuild the plugin with the matching header or kit"
            ),
            Self::Text(what) => write!(
                f,
                "the {what} of its entry is empty, not UTF-8, or has control characters"
            ),
            Self::Incomplete(what) => write!(
                f,
                "it does not offer {what}, which every plugin of contract version 1 has"
            ),
        }
    }
}

impl std::error::Error for ImportError {}

/// A plugin behind its entry.
#[derive(Debug, Clone)]
pub struct ImportedPlugin {
    facts: Arc<Facts>,
    get_factory: Option<GetFactory>,
    host: LentHost,
    model: fb_model_vt,
    learner: Option<fb_learner_vt>,
}

#[derive(Debug)]
struct Facts {
    id: String,
    version: String,
    sdk: String,
    capabilities: u64,
}

impl ImportedPlugin {
    /// Asks an entry for its plugin.
    ///
    /// # Errors
    /// [`ImportError`] where the plugin is of another major version or incomplete.
    ///
    /// # Safety
    /// `entry` is the entry of a plugin that keeps the contract of the header and is never
    /// unloaded.
    pub unsafe fn from_entry(entry: fb_entry_v1_fn, host: LentHost) -> Result<Self, ImportError> {
        // SAFETY: the caller guarantees an entry, and the host table is leaked.
        let entry = unsafe { entry(host.as_ptr()) };
        // SAFETY: the entry returns NULL or a struct that lives as long as the process.
        let entry = unsafe { abi::read::<fb_entry>(entry) }.ok_or(ImportError::Refused)?;
        if entry.abi_major != FB_ABI_MAJOR {
            return Err(ImportError::Major {
                found: entry.abi_major,
            });
        }
        let facts = Facts {
            // SAFETY: the texts of the entry live as long as the process.
            id: unsafe { owned(entry.id) }.ok_or(ImportError::Text("id"))?,
            // SAFETY: the texts of the entry live as long as the process.
            version: unsafe { owned(entry.version) }.ok_or(ImportError::Text("version"))?,
            // SAFETY: the texts of the entry live as long as the process.
            sdk: unsafe { owned(entry.sdk) }.unwrap_or_default(),
            capabilities: entry.caps,
        };
        let model: *const c_void = factory(entry.get_factory, MODEL_ID);
        // SAFETY: the factory of this id is NULL or a model table that lives as long as the
        // process.
        let model = unsafe { abi::read::<fb_model_vt>(model.cast()) };
        let model = model.ok_or(ImportError::Incomplete("models (`fb.model/1`)"))?;
        for (slot, is_there) in [
            ("`create` in its model table", model.create.is_some()),
            ("`info` in its model table", model.info.is_some()),
            ("`predict` in its model table", model.predict.is_some()),
            ("`destroy` in its model table", model.destroy.is_some()),
        ] {
            if !is_there {
                return Err(ImportError::Incomplete(slot));
            }
        }
        let learner: *const c_void = factory(entry.get_factory, LEARNER_ID);
        // SAFETY: the factory of this id is NULL or a learner table that lives as long as the
        // process.
        let learner = unsafe { abi::read::<fb_learner_vt>(learner.cast()) };
        let learner = learner.filter(|table| table.describe.is_some() && table.fit.is_some());
        let get_factory = entry.get_factory;
        Ok(Self {
            facts: Arc::new(facts),
            get_factory,
            host,
            model,
            learner,
        })
    }

    /// A plugin that is linked into this program.
    ///
    /// # Errors
    /// [`ImportError`] as for a loaded one.
    pub fn linked<P: Plugin>(host: LentHost) -> Result<Self, ImportError> {
        // SAFETY: the kit's own entry keeps the contract, and linked code is never unloaded.
        unsafe { Self::from_entry(linked_entry::<P>, host) }
    }

    /// Reverse DNS id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.facts.id
    }

    /// Version of the plugin.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.facts.version
    }

    /// Name and version of the kit the plugin was built with; empty where it does not say.
    #[must_use]
    pub fn sdk(&self) -> &str {
        &self.facts.sdk
    }

    /// Bits of `FB_CAP_*`.
    #[must_use]
    pub fn capabilities(&self) -> u64 {
        self.facts.capabilities
    }

    /// Whether `predict` promises neither to allocate, lock, log nor make system calls.
    #[must_use]
    pub fn is_realtime(&self) -> bool {
        self.model.flags & FB_MODEL_REALTIME != 0
    }

    /// Whether the plugin answers a factory id with a table.
    #[must_use]
    pub fn has_factory(&self, id: &str) -> bool {
        !factory(self.get_factory, id).is_null()
    }

    /// The learner, where the plugin trains.
    #[must_use]
    pub fn learner(&self) -> Option<ImportedLearner> {
        let table = self.learner?;
        Some(ImportedLearner {
            plugin: self.clone(),
            table,
        })
    }

    /// Makes a model from a configuration and an artifact.
    ///
    /// # Errors
    /// What the plugin says, with its id put before.
    pub fn create_model(&self, config: &Config, artifact: &[u8]) -> Result<ImportedModel> {
        let create = self.model.create.ok_or_else(|| self.lacks("models"))?;
        let config = config.to_json();
        let mut instance: *mut fb_instance = ptr::null_mut();
        let mut error = fb_error::new();
        let (config, artifact) = (fb_buf::lend(config.as_bytes()), fb_buf::lend(artifact));
        // SAFETY: [control] slot; everything is lent for the call, the host table for ever.
        let code = unsafe {
            create(
                self.host.as_ptr(),
                config,
                artifact,
                &mut instance,
                &mut error,
            )
        };
        self.check(code, &error)?;
        self.adopt(instance)
    }

    /// Makes a model of an instance this plugin just handed out.
    fn adopt(&self, instance: *mut fb_instance) -> Result<ImportedModel> {
        let instance = ptr::NonNull::new(instance).ok_or_else(|| {
            PluginError::internal("the plugin reported success without an instance")
                .at(&self.facts.id)
        })?;
        // SAFETY: the plugin handed the instance out for its own model table, to this owner.
        unsafe { ImportedModel::new(self.clone(), instance) }
    }

    fn check(&self, code: fb_status, error: &fb_error) -> Result<()> {
        match code {
            FB_OK => Ok(()),
            code => Err(error.to_error(code).at(&self.facts.id)),
        }
    }

    /// The error of asking for `what`, which this plugin does not offer.
    fn lacks(&self, what: &str) -> PluginError {
        PluginError::unsupported(what).at(&self.facts.id)
    }

    /// Asks a slot that writes into a sink, and returns what it wrote, `most` bytes or less.
    fn collect(
        &self,
        most: usize,
        ask: impl FnOnce(*const fb_sink, &mut fb_error) -> fb_status,
    ) -> Result<Vec<u8>> {
        let mut answer = Answer::of_at_most(most);
        let mut error = fb_error::new();
        let code = ask(&answer.sink(), &mut error);
        self.check(code, &error)?;
        answer.whole().map_err(|error| error.at(&self.facts.id))
    }
}

type GetFactory = unsafe extern "C" fn(fb_str) -> *const c_void;

fn factory(get_factory: Option<GetFactory>, id: &str) -> *const c_void {
    // SAFETY: the slot may be called from any thread, and the id lives for the call.
    get_factory.map_or(ptr::null(), |get| unsafe { get(fb_str::lend(id)) })
}

/// A copy of a text of the other side; `None` where it is empty, not UTF-8, or has control
/// characters, which no name needs.
///
/// # Safety
/// The text is live.
unsafe fn owned(text: fb_str) -> Option<String> {
    // SAFETY: the caller guarantees the text.
    let text = unsafe { text.text() }?;
    let is_name = !text.is_empty() && !text.contains(char::is_control);
    is_name.then(|| text.to_owned())
}

/// The learner of a plugin.
#[derive(Debug, Clone)]
pub struct ImportedLearner {
    plugin: ImportedPlugin,
    table: fb_learner_vt,
}

impl Learner for ImportedLearner {
    fn describe(&self) -> Result<LearnerInfo> {
        let describe = self
            .table
            .describe
            .ok_or_else(|| self.plugin.lacks("describe"))?;
        let host = self.plugin.host.as_ptr();
        let json = self.plugin.collect(MAX_JSON_BYTES, |sink, error| {
            // SAFETY: [any-thread] slot; sink and buffer are lent for the call.
            unsafe { describe(host, sink, error) }
        })?;
        serde_json::from_slice(&json).map_err(|error| {
            PluginError::data(format!("its learner describes itself wrongly: {error}"))
                .at(self.plugin.id())
        })
    }

    fn fit(&self, request: FitRequest<'_>) -> Result<Box<dyn Model>> {
        let fit = self.table.fit.ok_or_else(|| self.plugin.lacks("fit"))?;
        let task = serde_json::to_vec(request.task)?;
        let config = request.config.to_json();
        let mut train = OutgoingStream::new(request.train.clone());
        let mut valid = request
            .valid
            .map(|valid| OutgoingStream::new(valid.clone()));
        let mut environment = request.environment.map(LentEnv::new);
        let mut listener = request.progress;
        let progress = lend_progress(&mut listener);
        let (env_vt, env) = environment
            .as_mut()
            .map_or((ptr::null(), ptr::null_mut()), |env| {
                (LentEnv::table(), env.as_mut_ptr())
            });
        let lent = fb_fit_request {
            size: abi::size::<fb_fit_request>(),
            flags: 0,
            seed: request.seed,
            max_threads: request.max_threads.max(1),
            reserved: 0,
            task_json: fb_buf::lend(&task),
            config_json: fb_buf::lend(config.as_bytes()),
            train: train.as_mut_ptr(),
            valid: valid
                .as_mut()
                .map_or(ptr::null_mut(), OutgoingStream::as_mut_ptr),
            env_vt,
            env,
            progress: &progress,
            checkpoint: request.checkpoint.map_or(fb_buf::EMPTY, fb_buf::lend),
        };
        let mut instance: *mut fb_instance = ptr::null_mut();
        let mut error = fb_error::new();
        // SAFETY: [any-thread] slot; everything in the request lives until this call is over.
        let code = unsafe { fit(self.plugin.host.as_ptr(), &lent, &mut instance, &mut error) };
        self.plugin.check(code, &error)?;
        Ok(Box::new(self.plugin.adopt(instance)?))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::env::{Actions, Autoreset, EnvReset, EnvSpec, EnvStep, Environment, Space};
    use crate::error::Status;
    use crate::ext::{Explain, Incremental, OnnxExport, Quantiles};
    use crate::frame::{Frame, FrameShape};
    use crate::model::{
        CreateModel, InputShape, Metric, ModelInfo, NoProgress, Progress, Snapshot, Task, TaskKind,
    };
    use crate::params::ParamSpec;
    use crate::schema::{BatchColumns, Dataset, DatasetBatch, DatasetSchema};
    use crate::testing;

    /// Adds what it saw so far, weighted; offers every capability.
    #[derive(Debug, PartialEq)]
    struct Sum {
        weight: f32,
        total: f32,
    }

    impl Model for Sum {
        fn info(&self) -> Result<ModelInfo> {
            let info = ModelInfo::new(Task::Regression, &["sum"]);
            Ok(info.with_features(&["a".to_owned(), "b".to_owned()]))
        }

        fn predict(&mut self, frame: &mut Frame<'_>) -> Result<()> {
            frame.expect(2, 1, 1)?;
            for row in 0..frame.rows() {
                let features = frame.features(row);
                assert!(features[0] < 1e6, "a is far too large");
                self.total += self.weight * (features[0] + features[1]);
                frame.output_row_mut(row)[0] = self.total;
            }
            Ok(())
        }

        fn save(&self) -> Result<Vec<u8>> {
            Ok(self.weight.to_le_bytes().to_vec())
        }

        fn snapshot(&self) -> Result<Snapshot> {
            Ok(Snapshot::new(3, self.total.to_le_bytes()))
        }

        fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
            if snapshot.schema != 3 {
                return Err(PluginError::schema(format!(
                    "schema {} is not 3",
                    snapshot.schema
                )));
            }
            self.total = f32::from_le_bytes(snapshot.bytes.as_slice().try_into()?);
            Ok(())
        }

        fn quiesce(&mut self, deadline_ns: u64) -> Result<()> {
            match deadline_ns {
                1 => Err(PluginError::new(Status::Deadline, "too late")),
                _ => Ok(()),
            }
        }

        fn explain(&self) -> Option<&dyn Explain> {
            Some(self)
        }

        fn incremental(&mut self) -> Option<&mut dyn Incremental> {
            Some(self)
        }

        fn quantiles(&self) -> Option<&dyn Quantiles> {
            Some(self)
        }

        fn onnx_export(&self) -> Option<&dyn OnnxExport> {
            Some(self)
        }
    }

    impl Explain for Sum {
        fn importance_kinds(&self) -> Vec<String> {
            vec!["gain".to_owned(), "split".to_owned()]
        }

        fn importance(&self, kind: &str) -> Result<Vec<f64>> {
            match kind {
                "gain" => Ok(vec![1.0, 2.0]),
                other => Err(PluginError::unsupported(other)),
            }
        }

        fn contributions(&self, frame: &mut Frame<'_>) -> Result<()> {
            frame.expect(2, 1, 3)?;
            for row in 0..frame.rows() {
                let features = frame.features(row);
                frame
                    .output_row_mut(row)
                    .copy_from_slice(&[features[0], features[1], 0.5]);
            }
            Ok(())
        }
    }

    impl Incremental for Sum {
        fn update(&mut self, rows: &Dataset, progress: &mut dyn Progress) -> Result<()> {
            progress.report(
                1,
                Some(1),
                &[Metric {
                    name: "rows",
                    value: rows.rows() as f64,
                }],
            )?;
            self.weight += rows.rows() as f32;
            Ok(())
        }
    }

    impl Quantiles for Sum {
        fn levels(&self) -> Vec<f64> {
            vec![0.1, 0.5, 0.9]
        }
    }

    impl OnnxExport for Sum {
        fn to_onnx(&self, opset: u32) -> Result<Vec<u8>> {
            Ok(vec![opset as u8; 70_000])
        }
    }

    impl CreateModel for Sum {
        fn create(config: &Config, artifact: &[u8]) -> Result<Self> {
            config.refuse_unknown(&["weight"])?;
            let weight = match artifact {
                [] => config.get_or("weight", 1.0)?,
                bytes => f32::from_le_bytes(bytes.try_into()?),
            };
            Ok(Self { weight, total: 0.0 })
        }
    }

    /// Learns the mean of the first label; plays its environment when it has one.
    #[derive(Debug, Default)]
    struct Mean;

    impl Learner for Mean {
        fn describe(&self) -> Result<LearnerInfo> {
            Ok(LearnerInfo {
                name: "Mean".to_owned(),
                doc: "Averages.".to_owned(),
                tasks: vec![TaskKind::Regression],
                input: InputShape::Row,
                params: vec![ParamSpec::integer("steps", 3, "Reports.").at_least(1.0)],
                needs_environment: false,
                resumes: true,
            })
        }

        fn fit(&self, request: FitRequest<'_>) -> Result<Box<dyn Model>> {
            let config = ParamSpec::resolve(&self.describe()?.params, request.config, &[])?;
            assert_eq!(*request.task, Task::Regression, "the task crossed the line");
            let labels: Vec<f32> = request
                .train
                .views()
                .flat_map(|view| view.labels.to_vec())
                .collect();
            let mut weight = labels.iter().sum::<f32>() / labels.len() as f32;
            weight += request
                .valid
                .map_or(0.0, |valid| valid.rows() as f32 * 100.0);
            weight += request.seed as f32 * 1000.0 + request.max_threads as f32 * 1e4;
            let steps: u64 = config.get("steps")?;
            for step in 1..=steps {
                let metrics = [Metric {
                    name: "loss",
                    value: 1.0 / step as f64,
                }];
                request.progress.report(step, Some(steps), &metrics)?;
                request.progress.checkpoint(step, &[step as u8])?;
            }
            assert!(!request.progress.is_cancelled());
            if let Some(checkpoint) = request.checkpoint {
                weight = f32::from(checkpoint[0]);
            }
            if let Some(environment) = request.environment {
                weight = play(environment)?;
            }
            Ok(Box::new(Sum { weight, total: 0.0 }))
        }
    }

    fn play(environment: &mut dyn Environment) -> Result<f32> {
        let spec = environment.spec().clone();
        let mut observations = vec![0.0; 4];
        let mut action_mask = [9; 6];
        environment.reset(EnvReset {
            seeds: Some(&[5, 6]),
            mask: None,
            observations: &mut observations,
            action_mask: Some(&mut action_mask),
        })?;
        assert_eq!((observations[0], action_mask), (5.0, [1; 6]));
        let (mut rewards, mut terminated, mut truncated) = ([0.0; 2], [9; 2], [9; 2]);
        let mut infos = [0.0; 2];
        let mut step = |actions: &[i64]| {
            environment.step(EnvStep {
                actions: Actions::Discrete(actions),
                observations: &mut observations,
                rewards: &mut rewards,
                terminated: &mut terminated,
                truncated: &mut truncated,
                final_observations: None,
                infos: Some(&mut infos),
                action_mask: None,
            })
        };
        assert_eq!(step(&[0]).unwrap_err().status(), Status::Argument);
        let refused = step(&[0, 77]).unwrap_err();
        assert!(refused.message().contains("no action 77"), "{refused}");
        step(&[1, 2])?;
        environment.close()?;
        assert_eq!((terminated, truncated, infos), ([1, 0], [0, 1], [0.5, 0.5]));
        assert_eq!(spec.info_names, ["equity"]);
        Ok(rewards[0] * 10.0 + rewards[1])
    }

    struct Corridor(EnvSpec);

    impl Environment for Corridor {
        fn spec(&self) -> &EnvSpec {
            &self.0
        }

        fn reset(&mut self, reset: EnvReset<'_>) -> Result<()> {
            let seeds = reset.seeds.unwrap_or(&[0, 0]);
            reset.observations.fill(seeds[0] as f32);
            reset.action_mask.into_iter().for_each(|mask| mask.fill(1));
            Ok(())
        }

        fn step(&mut self, step: EnvStep<'_>) -> Result<()> {
            let Actions::Discrete(actions) = step.actions else {
                panic!("the space is discrete")
            };
            if let Some(action) = actions.iter().find(|action| **action > 2) {
                return Err(PluginError::argument(format!(
                    "there is no action {action}"
                )));
            }
            let actions = actions.iter().map(|action| *action as f32);
            step.rewards
                .iter_mut()
                .zip(actions)
                .for_each(|(reward, action)| *reward = action);
            step.terminated.copy_from_slice(&[1, 0]);
            step.truncated.copy_from_slice(&[0, 1]);
            step.infos.into_iter().for_each(|infos| infos.fill(0.5));
            Ok(())
        }
    }

    fn corridor() -> Corridor {
        Corridor(EnvSpec {
            environments: 2,
            observation: Space::Box {
                shape: vec![2],
                low: Some(vec![-1.0; 2]),
                high: None,
            },
            action: Space::Discrete { count: 3, start: 0 },
            autoreset: Autoreset::NextStep,
            info_names: vec!["equity".to_owned()],
            action_mask: true,
            reward_range: (Some(0.0), None),
            max_episode_steps: Some(7),
        })
    }

    struct TestPlugin;

    impl Plugin for TestPlugin {
        const ID: &'static str = "test.sum";
        const VERSION: &'static str = "1.2.3";
        const REALTIME: bool = true;

        fn create_model(config: &Config, artifact: &[u8]) -> Result<Box<dyn Model>> {
            Ok(Box::new(Sum::create(config, artifact)?))
        }

        fn learner() -> Option<Box<dyn Learner>> {
            Some(Box::new(Mean))
        }
    }

    fn plugin() -> ImportedPlugin {
        let host = LentHost::leak(HostServices::silent());
        ImportedPlugin::linked::<TestPlugin>(host).unwrap()
    }

    fn predict(model: &mut dyn Model, input: &[f32]) -> Result<Vec<f32>> {
        let mut output = vec![0.0; input.len() / 2];
        let shape = FrameShape::dense(output.len(), 2, 1);
        model.predict(&mut Frame::new(input, &mut output, shape)?)?;
        Ok(output)
    }

    fn dataset(labels: &[f32]) -> Dataset {
        let schema = DatasetSchema {
            features: vec!["a".to_owned(), "b".to_owned()],
            labels: vec!["next".to_owned()],
            classes: Vec::new(),
        };
        let rows = labels.len();
        let columns = BatchColumns {
            features: vec![0.5; 2 * rows].into(),
            labels: labels.to_vec().into(),
            weight: vec![1.0; rows].into(),
            event_ns: vec![1; rows].into(),
            label_end_ns: vec![2; rows].into(),
            symbol: vec![0; rows].into(),
            segment: vec![0; rows].into(),
            role: vec![1; rows].into(),
        };
        let batch = DatasetBatch::new(&schema, columns).unwrap();
        Dataset::new(schema, vec![batch]).unwrap()
    }

    #[derive(Default)]
    struct Recorder {
        seen: Vec<(u64, Option<u64>, String, f64)>,
        checkpoints: Vec<(u64, Vec<u8>)>,
        cancel_at: Option<u64>,
        panic_at: Option<u64>,
    }

    impl Progress for Recorder {
        fn report(&mut self, step: u64, total: Option<u64>, metrics: &[Metric<'_>]) -> Result<()> {
            assert_ne!(self.panic_at, Some(step), "the host panics");
            self.seen
                .push((step, total, metrics[0].name.to_owned(), metrics[0].value));
            match self.cancel_at {
                Some(at) if at == step => Err(PluginError::cancelled()),
                _ => Ok(()),
            }
        }

        fn is_cancelled(&self) -> bool {
            false
        }

        fn checkpoint(&mut self, step: u64, bytes: &[u8]) -> Result<()> {
            self.checkpoints.push((step, bytes.to_vec()));
            Ok(())
        }
    }

    fn request<'a>(
        train: &'a Dataset,
        config: &'a Config,
        progress: &'a mut dyn Progress,
    ) -> FitRequest<'a> {
        FitRequest {
            task: &Task::Regression,
            config,
            train,
            valid: None,
            environment: None,
            progress,
            checkpoint: None,
            seed: 0,
            max_threads: 1,
        }
    }

    #[test]
    fn facts_of_the_entry_arrive() {
        let plugin = plugin();
        assert_eq!((plugin.id(), plugin.version()), ("test.sum", "1.2.3"));
        assert!(plugin.sdk().starts_with("fusebox-plugin-api "));
        assert!(plugin.is_realtime());
        assert_ne!(plugin.capabilities() & abi::FB_CAP_GUARDED, 0);
    }

    #[test]
    fn the_conformance_cases_hold_for_the_kit_itself() {
        let plugin = plugin();
        let config = Config::new().with("weight", 0.5);
        let (backend, artifact) = (&plugin, &[][..]);
        let subject = testing::Subject {
            backend,
            config: &config,
            artifact,
            columns: 2,
        };
        for case in testing::cases() {
            // The model asserts on huge values on purpose, which is what another test is about.
            if case.name != "predict-nan-inf-denormal" {
                (case.run)(&subject).unwrap_or_else(|problem| panic!("{}: {problem}", case.name));
            }
        }
    }

    #[test]
    fn a_fit_sees_all_of_its_request() {
        let learner = plugin().learner().unwrap();
        assert_eq!(learner.describe().unwrap().params[0].name, "steps");
        let (train, valid) = (dataset(&[1.0, 3.0]), dataset(&[0.0; 4]));
        let config = Config::new().with("steps", 2);
        let mut recorder = Recorder::default();
        let mut model = learner
            .fit(FitRequest {
                valid: Some(&valid),
                seed: 7,
                max_threads: 3,
                ..request(&train, &config, &mut recorder)
            })
            .unwrap();
        let weight = 2.0 + 400.0 + 7000.0 + 3e4;
        assert_eq!(predict(&mut *model, &[1.0, 0.0]).unwrap(), [weight]);
        let expected = [
            (1, Some(2), "loss".to_owned(), 1.0),
            (2, Some(2), "loss".to_owned(), 0.5),
        ];
        assert_eq!(recorder.seen, expected);
        assert_eq!(recorder.checkpoints, [(1, vec![1]), (2, vec![2])]);
    }

    #[test]
    fn a_fit_can_be_cancelled_and_resumed() {
        let learner = plugin().learner().unwrap();
        let (train, config) = (dataset(&[1.0]), Config::new());
        let mut recorder = Recorder {
            cancel_at: Some(2),
            ..Recorder::default()
        };
        let Err(error) = learner.fit(request(&train, &config, &mut recorder)) else {
            panic!("a cancelled fit must not give a model");
        };
        assert_eq!(error.status(), Status::Cancelled);
        assert_eq!(recorder.checkpoints, [(1, vec![1])]);
        let mut nobody = NoProgress;
        let request = FitRequest {
            checkpoint: Some(&[42]),
            ..request(&train, &config, &mut nobody)
        };
        let mut model = learner.fit(request).unwrap();
        assert_eq!(predict(&mut *model, &[1.0, 0.0]).unwrap(), [42.0]);
    }

    #[test]
    fn a_wrong_config_and_a_panicking_host_come_back_as_errors() {
        let learner = plugin().learner().unwrap();
        let train = dataset(&[1.0]);
        let wrong = Config::new().with("stps", 2);
        let error = learner
            .fit(request(&train, &wrong, &mut NoProgress))
            .err()
            .unwrap();
        assert_eq!(error.status(), Status::Config);
        assert!(
            error.message().starts_with("test.sum: unknown key `stps`"),
            "{error}"
        );
        let mut recorder = Recorder {
            panic_at: Some(1),
            ..Recorder::default()
        };
        let config = Config::new();
        let error = learner
            .fit(request(&train, &config, &mut recorder))
            .err()
            .unwrap();
        assert_eq!(error.status(), Status::Panic);
    }

    #[test]
    fn a_learner_plays_the_hosts_environment() {
        let learner = plugin().learner().unwrap();
        let (train, config) = (dataset(&[1.0]), Config::new());
        let mut corridor = corridor();
        let mut nobody = NoProgress;
        let request = FitRequest {
            environment: Some(&mut corridor),
            ..request(&train, &config, &mut nobody)
        };
        let mut model = learner.fit(request).unwrap();
        assert_eq!(predict(&mut *model, &[1.0, 0.0]).unwrap(), [12.0]);
    }

    #[test]
    fn a_panic_poisons_the_instance_and_nothing_else() {
        let plugin = plugin();
        let config = Config::new();
        let mut model = plugin.create_model(&config, &[]).unwrap();
        let mut other = plugin.create_model(&config, &[]).unwrap();
        let error = predict(&mut model, &[1e7, 0.0]).unwrap_err();
        assert_eq!(error.status(), Status::Panic);
        let words = "test.sum: panicked in predict: a is far too large";
        assert_eq!(error.message(), words);
        let again = predict(&mut model, &[1.0, 0.0]).unwrap_err();
        assert_eq!(again.status(), Status::State);
        assert_eq!(model.save().unwrap_err().status(), Status::State);
        assert_eq!(predict(&mut other, &[1.0, 1.0]).unwrap(), [2.0]);
    }

    #[test]
    fn optional_capabilities_cross_the_line() {
        let plugin = plugin();
        let mut model = plugin.create_model(&Config::new(), &[]).unwrap();
        let explain = model.explain().unwrap();
        assert_eq!(explain.importance_kinds(), ["gain", "split"]);
        assert_eq!(explain.importance("gain").unwrap(), [1.0, 2.0]);
        assert_eq!(
            explain.importance("cover").unwrap_err().status(),
            Status::Unsupported
        );
        let mut output = [0.0; 3];
        let shape = FrameShape::dense(1, 2, 3);
        let mut frame = Frame::new(&[4.0, 5.0], &mut output, shape).unwrap();
        explain.contributions(&mut frame).unwrap();
        assert_eq!(
            output.map(f32::to_bits),
            [4.0_f32, 5.0, 0.5].map(f32::to_bits)
        );
        assert_eq!(model.quantiles().unwrap().levels(), [0.1, 0.5, 0.9]);
        assert_eq!(
            model.onnx_export().unwrap().to_onnx(17).unwrap(),
            vec![17; 70_000]
        );
        let mut recorder = Recorder::default();
        let rows = dataset(&[0.0; 5]);
        model
            .incremental()
            .unwrap()
            .update(&rows, &mut recorder)
            .unwrap();
        assert_eq!(recorder.seen, [(1, Some(1), "rows".to_owned(), 5.0)]);
        assert_eq!(predict(&mut model, &[1.0, 0.0]).unwrap(), [6.0]);
        assert_eq!(model.quiesce(1).unwrap_err().status(), Status::Deadline);
        model.quiesce(0).unwrap();
        model.warmup().unwrap();
    }

    #[test]
    fn a_refused_snapshot_says_why() {
        let mut model = plugin().create_model(&Config::new(), &[]).unwrap();
        let newer = model.restore(&Snapshot::new(4, [0; 4])).unwrap_err();
        assert_eq!(newer.status(), Status::Schema);
        let short = model.restore(&Snapshot::new(3, [0; 3])).unwrap_err();
        assert_eq!(short.status(), Status::Data);
    }

    #[test]
    fn a_smaller_table_reads_as_absent_slots() {
        let mut old = plugin();
        // What a plugin that knows the table only up to `predict` would hand out.
        let mut table = old.model;
        table.size = std::mem::offset_of!(fb_model_vt, save) as u32;
        // SAFETY: the table is our own and larger than it says.
        old.model = unsafe { abi::read(&table) }.unwrap();
        assert!(old.model.predict.is_some() && old.model.save.is_none());
        old.model.destroy = table.destroy;
        let mut model = old.create_model(&Config::new(), &[]).unwrap();
        assert!(model.explain().is_none());
        assert_eq!(model.save().unwrap(), Vec::<u8>::new());
        assert_eq!(model.snapshot().unwrap(), Snapshot::default());
        assert_eq!(
            model.restore(&Snapshot::new(3, [0])).unwrap_err().status(),
            Status::Schema
        );
        model.quiesce(1).unwrap();
        assert_eq!(predict(&mut model, &[1.0, 0.0]).unwrap(), [1.0]);
    }

    #[test]
    fn an_entry_of_another_kind_is_refused_with_its_reason() {
        unsafe extern "C" fn none(_: *const abi::fb_host) -> *const fb_entry {
            ptr::null()
        }
        unsafe extern "C" fn newer(host: *const abi::fb_host) -> *const fb_entry {
            // SAFETY: the host is passed on.
            let entry = unsafe { linked_entry::<TestPlugin>(host) };
            // SAFETY: the entry of the kit is live.
            let entry = unsafe { entry.read() };
            Box::leak(Box::new(fb_entry {
                abi_major: 2,
                ..entry
            }))
        }
        unsafe extern "C" fn small(host: *const abi::fb_host) -> *const fb_entry {
            // SAFETY: the host is passed on.
            let entry = unsafe { linked_entry::<TestPlugin>(host) };
            // SAFETY: the entry of the kit is live.
            let entry = unsafe { entry.read() };
            let size = std::mem::offset_of!(fb_entry, get_factory) as u32;
            Box::leak(Box::new(fb_entry { size, ..entry }))
        }
        let refusal = |entry: fb_entry_v1_fn| {
            let host = LentHost::leak(HostServices::silent());
            // SAFETY: the entries above keep the contract apart from what is tested.
            unsafe { ImportedPlugin::from_entry(entry, host) }.unwrap_err()
        };
        assert_eq!(refusal(none), ImportError::Refused);
        assert_eq!(refusal(newer), ImportError::Major { found: 2 });
        assert_eq!(
            refusal(small),
            ImportError::Incomplete("models (`fb.model/1`)")
        );
    }

    #[test]
    fn log_messages_reach_the_host() {
        static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());
        let services = HostServices::new(4, |level, message| {
            SEEN.lock().unwrap().push(format!("{level:?} {message}"));
        });
        let host = LentHost::leak(services);
        ImportedPlugin::linked::<TestPlugin>(host).unwrap();
        // SAFETY: the leaked table is live.
        let table = unsafe { abi::read(host.as_ptr()) }.unwrap();
        // SAFETY: the slot may be called from any thread.
        unsafe { table.log.unwrap()(table.ctx, 2, fb_str::lend("care\nful\x1b[2J")) };
        assert!(
            SEEN.lock()
                .unwrap()
                .contains(&"Warn care ful [2J".to_owned())
        );
        // SAFETY: as above; NULL is no host's context and is passed over.
        unsafe { table.log.unwrap()(ptr::null_mut(), 2, fb_str::lend("lost")) };
        assert!(
            !SEEN
                .lock()
                .unwrap()
                .iter()
                .any(|line| line.contains("lost"))
        );
    }
}
