//! What a plugin author implements: [`Model`], [`CreateModel`] and, to train, [`Learner`].
//!
//! The host implements nothing of this itself: it receives the same traits from the import proxy,
//! so a linked, a loaded and a remote model are used alike. One thread at a time uses a model;
//! several threads may call one learner at once.

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::env::{Environment, Space};
use crate::error::{PluginError, Result};
use crate::ext::{Explain, Incremental, OnnxExport, Quantiles};
use crate::frame::Frame;
use crate::params::ParamSpec;
use crate::schema::Dataset;

/// What a model answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Task {
    /// Probabilities of the classes, in this order, for each label column in turn. With two classes
    /// both probabilities are written.
    Classification {
        /// Names of the classes; a label is an index into them.
        classes: Vec<String>,
    },
    /// One number per label column.
    Regression,
    /// Quantiles: for each label column in turn, one number per level.
    Quantiles {
        /// Levels between 0 and 1, ascending.
        levels: Vec<f64>,
    },
    /// Actions of a policy.
    Policy {
        /// The action space.
        action: Space,
    },
}

impl Task {
    /// The kind without its details.
    #[must_use]
    pub fn kind(&self) -> TaskKind {
        match self {
            Self::Classification { classes } if classes.len() == 2 => {
                TaskKind::BinaryClassification
            }
            Self::Classification { .. } => TaskKind::MulticlassClassification,
            Self::Regression => TaskKind::Regression,
            Self::Quantiles { .. } => TaskKind::Quantiles,
            Self::Policy { .. } => TaskKind::Policy,
        }
    }

    /// How many values a model writes per row, for a dataset with `labels` label columns.
    #[must_use]
    pub fn output_columns(&self, labels: usize) -> usize {
        match self {
            Self::Classification { classes } => labels * classes.len(),
            Self::Regression => labels,
            Self::Quantiles { levels } => labels * levels.len(),
            Self::Policy { action } => action.elements(),
        }
    }
}

/// Kind of a [`Task`], for saying which ones a learner serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TaskKind {
    /// Two classes.
    BinaryClassification,
    /// Three or more classes.
    MulticlassClassification,
    /// Numbers.
    Regression,
    /// Quantiles of numbers.
    Quantiles,
    /// A policy, learned in an environment.
    Policy,
}

/// The rows a learner takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum InputShape {
    /// One step per row.
    Row,
    /// A window of steps per row; the length comes from the parameter of this name.
    Window {
        /// Steps where the parameter `window` is absent.
        default_steps: u32,
        /// Most steps the learner takes.
        max_steps: u32,
    },
}

/// What a learner is and takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LearnerInfo {
    /// Name for people, such as `LightGBM`.
    pub name: String,
    /// A sentence on what it learns and how.
    pub doc: String,
    /// Tasks it serves.
    pub tasks: Vec<TaskKind>,
    /// Rows it takes.
    pub input: InputShape,
    /// Hyper-parameters.
    pub params: Vec<ParamSpec>,
    /// Whether `fit` needs an environment.
    #[serde(default)]
    pub needs_environment: bool,
    /// Whether `fit` can continue from a checkpoint.
    #[serde(default)]
    pub resumes: bool,
}

/// What a model takes and answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// What it answers.
    pub task: Task,
    /// Names of its features, in order; empty where it takes any.
    pub features: Vec<String>,
    /// Features per step; `None` where it takes any number.
    pub columns: Option<usize>,
    /// Steps per row.
    pub window: usize,
    /// Names of the values it writes per row, such as `p_up`.
    pub outputs: Vec<String>,
    /// Facts about the training worth keeping, such as the best iteration; strings and numbers.
    #[serde(default)]
    pub notes: std::collections::BTreeMap<String, serde_json::Value>,
}

impl ModelInfo {
    /// A model that takes one step of any number of columns and writes `outputs`.
    #[must_use]
    pub fn new(task: Task, outputs: &[&str]) -> Self {
        Self {
            task,
            features: Vec::new(),
            columns: None,
            window: 1,
            outputs: outputs.iter().map(|name| (*name).to_owned()).collect(),
            notes: std::collections::BTreeMap::new(),
        }
    }

    /// The same model with these features, which also fix the number of columns.
    #[must_use]
    pub fn with_features(mut self, features: &[String]) -> Self {
        self.columns = Some(features.len());
        self.features = features.to_vec();
        self
    }
}

/// The state of a model between two rows, with the number of its layout.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// Number of the layout; the author raises it when the bytes change meaning.
    pub schema: u32,
    /// The state.
    pub bytes: Vec<u8>,
}

impl Snapshot {
    /// Schema of a model without state.
    pub const STATELESS: u32 = 0;

    /// State bytes of layout `schema`.
    #[must_use]
    pub fn new(schema: u32, bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self { schema, bytes }
    }
}

/// A trained model. Used by one thread at a time.
///
/// Only `info` and `predict` must be written; the rest has the meaning of a model without state and
/// without optional capabilities.
pub trait Model: Send {
    /// What the model takes and answers. Only its notes may be others after the model has learned
    /// from new rows. `[control]`
    ///
    /// # Errors
    /// Where the model cannot tell.
    fn info(&self) -> Result<ModelInfo>;

    /// Answers every row of the frame, in order. `[infer]`
    ///
    /// # Errors
    /// `E_ARG` where the frame has another shape than the model takes. The outputs are then
    /// undefined.
    fn predict(&mut self, frame: &mut Frame<'_>) -> Result<()>;

    /// Touches what the first prediction would otherwise have to wait for. `[control]`
    ///
    /// # Errors
    /// Where the model cannot be made ready.
    fn warmup(&mut self) -> Result<()> {
        Ok(())
    }

    /// The artifact: bytes from which [`CreateModel::create`] makes an equal model. `[control]`
    ///
    /// # Errors
    /// Where the model cannot be written.
    fn save(&self) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }

    /// The state between two rows. `[control]`
    ///
    /// # Errors
    /// Where the state cannot be read.
    fn snapshot(&self) -> Result<Snapshot> {
        Ok(Snapshot::default())
    }

    /// Takes over a state; on failure the model is as before. `[control]`
    ///
    /// # Errors
    /// `E_SCHEMA` for a layout this version cannot read, `E_DATA` for bytes that are not such a
    /// state.
    fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        if snapshot.schema == Snapshot::STATELESS && snapshot.bytes.is_empty() {
            return Ok(());
        }
        let schema = snapshot.schema;
        Err(PluginError::schema(format!(
            "this model has no state, yet it was given one of schema {schema}"
        )))
    }

    /// Joins every thread the model started. `[control]`
    ///
    /// # Errors
    /// `E_DEADLINE` where a thread is still running at `deadline_ns` (monotonic; 0 is no deadline).
    fn quiesce(&mut self, deadline_ns: u64) -> Result<()> {
        let _ = deadline_ns;
        Ok(())
    }

    /// Importances and contributions, where the model has them.
    fn explain(&self) -> Option<&dyn Explain> {
        None
    }

    /// Learning from new rows, where the model can.
    fn incremental(&mut self) -> Option<&mut dyn Incremental> {
        None
    }

    /// The quantile levels of the outputs, where they are quantiles.
    fn quantiles(&self) -> Option<&dyn Quantiles> {
        None
    }

    /// Writing as ONNX, where the model can.
    fn onnx_export(&self) -> Option<&dyn OnnxExport> {
        None
    }
}

/// How a plugin makes its model from a saved one.
pub trait CreateModel: Model + Sized + 'static {
    /// Makes a model from a configuration and the bytes [`Model::save`] returned; `artifact` is
    /// empty where a model needs none. `[control]`
    ///
    /// # Errors
    /// `E_CONFIG` for a wrong configuration, `E_DATA` for bytes that are not such an artifact.
    fn create(config: &Config, artifact: &[u8]) -> Result<Self>;
}

/// Everything a fit needs.
pub struct FitRequest<'a> {
    /// What to learn.
    pub task: &'a Task,
    /// The hyper-parameters.
    pub config: &'a Config,
    /// Rows to learn from. A policy learner may ignore them.
    pub train: &'a Dataset,
    /// Rows for early stopping; later in time than all of `train`.
    pub valid: Option<&'a Dataset>,
    /// The environment of a policy learner.
    pub environment: Option<&'a mut dyn Environment>,
    /// Where the fit reports.
    pub progress: &'a mut dyn Progress,
    /// Bytes an earlier fit handed to [`Progress::checkpoint`], to continue from.
    pub checkpoint: Option<&'a [u8]>,
    /// Drives every random choice: the same seed gives the same model.
    pub seed: u64,
    /// Most threads the fit may use, at least 1.
    pub max_threads: u32,
}

impl std::fmt::Debug for FitRequest<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FitRequest")
            .field("task", self.task)
            .field("config", self.config)
            .field("train_rows", &self.train.rows())
            .field("valid_rows", &self.valid.map(Dataset::rows))
            .field("environment", &self.environment.is_some())
            .field("checkpoint", &self.checkpoint.map(<[u8]>::len))
            .field("seed", &self.seed)
            .field("max_threads", &self.max_threads)
            .finish_non_exhaustive()
    }
}

/// A way to make models from data. Fits may run on several threads at once; none keeps state in the
/// learner.
pub trait Learner: Send + Sync {
    /// What the learner is and takes.
    ///
    /// # Errors
    /// Where the learner cannot tell, such as without its native library.
    fn describe(&self) -> Result<LearnerInfo>;

    /// Learns a model. Blocks until it is done.
    ///
    /// The host may ask for a fit without rows before it reads any data, to hear what is wrong with
    /// the settings and with native libraries while nothing is lost yet. A learner that looks at
    /// these first helps its users; what it says about the rows that are not there is passed over.
    ///
    /// # Errors
    /// `E_CONFIG`, `E_DATA`, `E_LIBRARY` for what is wrong with the request; `E_CANCELLED` where
    /// the host asked to stop.
    fn fit(&self, request: FitRequest<'_>) -> Result<Box<dyn Model>>;
}

/// A number reported by a fit, such as `valid_log_loss`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metric<'a> {
    /// Name, in snake case.
    pub name: &'a str,
    /// Value.
    pub value: f64,
}

/// Where a fit reports; called from the thread that runs the fit.
pub trait Progress {
    /// Reports that step `step` of `total_steps` (`None` where unknown) is done.
    ///
    /// # Errors
    /// `E_CANCELLED` where the host asks to stop; return it from the fit with `?`.
    fn report(&mut self, step: u64, total_steps: Option<u64>, metrics: &[Metric<'_>])
    -> Result<()>;

    /// Whether the host asks to stop, for polling between reports.
    fn is_cancelled(&self) -> bool;

    /// Hands out the state after `step` for the host to store. A later fit may continue from it.
    ///
    /// # Errors
    /// Where the host cannot store it; the fit may go on.
    fn checkpoint(&mut self, step: u64, bytes: &[u8]) -> Result<()>;
}

/// A [`Progress`] that listens to nothing and never cancels.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn report(&mut self, _: u64, _: Option<u64>, _: &[Metric<'_>]) -> Result<()> {
        Ok(())
    }

    fn is_cancelled(&self) -> bool {
        false
    }

    fn checkpoint(&mut self, _: u64, _: &[u8]) -> Result<()> {
        Ok(())
    }
}
