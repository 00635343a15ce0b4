//! The gradient-boosting plugin for whole-system tests: loaded as a host loads it, with the pinned
//! libraries, and data that the Python scripts make bit by bit alike.
//!
//! The data is integer arithmetic alone (`tests/reference/gbm_data.py` is its twin), so that
//! nothing depends on a generator of random numbers.
#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "helpers of tests fail the test that calls them"
)]

use std::process::Command;
use std::sync::OnceLock;

use fusebox_loader::{
    LoadOptions, LoadedPlugin, PackageSpec, TrustPolicy, discover, find, load, write_package,
};
use fusebox_plugin_api::abi::{LEARNER_ID, MODEL_ID};
use fusebox_plugin_api::model::NoProgress;
use fusebox_plugin_api::prelude::*;
use fusebox_plugin_api::schema::{BatchColumns, DatasetBatch};

use crate::fixtures::{build_dir, project_root};

/// Columns of every row.
pub const COLUMNS: u32 = 12;
/// The levels of the task `quantiles`.
pub const LEVELS: [f64; 3] = [0.1, 0.5, 0.9];
/// Tasks by name, with the values that they answer.
pub const TASKS: [(&str, usize); 4] = [
    ("multiclass", 3),
    ("binary", 2),
    ("regression", 1),
    ("quantiles", 3),
];

/// Murmur3's 32-bit finaliser.
fn mix(value: u32) -> u32 {
    let value = (value ^ (value >> 16)).wrapping_mul(0x85EB_CA6B);
    let value = (value ^ (value >> 13)).wrapping_mul(0xC2B2_AE35);
    value ^ (value >> 16)
}

/// A number of a row and a column.
#[must_use]
pub fn noise(row: u32, column: u32) -> u32 {
    mix(row * 64 + column + 1)
}

/// The weight of a row where weights are wanted.
#[must_use]
pub fn weight(row: u32) -> f32 {
    0.5 + 0.25 * (noise(row, 60) % 4) as f32
}

/// Which rows to make.
#[derive(Debug, Clone, Copy)]
pub struct Data {
    /// Whether column 4 has infinite values instead of missing ones, as LightGBM takes them.
    pub infinite: bool,
    /// Whether columns 9 and 10 are categories that the label depends on.
    pub categories: bool,
    /// Whether weights differ.
    pub weights: bool,
    /// Rows of one moment.
    pub per_moment: u32,
    /// Whether a second label column holds what was returned.
    pub returns: bool,
    /// Name of a column.
    pub name: fn(u32) -> String,
}

/// A plain name.
fn plain(column: u32) -> String {
    format!("column {column}")
}

/// A name that LightGBM itself would refuse or change.
#[must_use]
pub fn odd(column: u32) -> String {
    format!("feature [{column}], \"1h\"")
}

impl Default for Data {
    fn default() -> Self {
        Self {
            infinite: false,
            categories: false,
            weights: false,
            per_moment: 1,
            returns: false,
            name: plain,
        }
    }
}

/// A row: features, labels, weight, role, and the time of its bar.
#[derive(Debug, Clone)]
pub struct Row {
    /// One number per column.
    pub features: Vec<f32>,
    /// One number per label column.
    pub labels: Vec<f32>,
    /// Weight in the loss.
    pub weight: f32,
    /// 0 context, 1 sample.
    pub role: u8,
    /// Close of its bar.
    pub at: i64,
}

impl Row {
    /// A sample that weighs 1.
    #[must_use]
    pub fn sample(features: Vec<f32>, label: f32) -> Self {
        Self {
            features,
            labels: vec![label],
            weight: 1.0,
            role: 1,
            at: 0,
        }
    }
}

impl Data {
    /// A feature: a multiple of 1/256, a category, or missing. Column 11 is never there unless
    /// values may be infinite.
    #[must_use]
    pub fn feature(&self, row: u32, column: u32) -> f32 {
        let value = (noise(row, column) >> 16) as f32 / 256.0;
        match column {
            3 if noise(row, 40).is_multiple_of(7) => f32::NAN,
            4 if noise(row, 41).is_multiple_of(50) => match self.infinite {
                true if noise(row, 42).is_multiple_of(2) => f32::INFINITY,
                true => f32::NEG_INFINITY,
                false => f32::NAN,
            },
            9 if self.categories && noise(row, 43).is_multiple_of(11) => f32::NAN,
            9 if self.categories => (noise(row, 9) >> 8) as f32 % 23.0,
            10 if self.categories => (noise(row, 10) >> 8) as f32 % 3.0,
            11 if !self.infinite => f32::NAN,
            _ => value,
        }
    }

    /// The planted signal plus noise, a whole number.
    fn signal(&self, row: u32) -> i64 {
        let [a, b, c] = [0, 1, 2].map(|column| i64::from(noise(row, column) >> 24));
        let signal = 2 * a - b + (a * c) / 256 + i64::from(noise(row, 50) % 300) - 300;
        match self.categories {
            false => signal,
            true => {
                let (many, few) = ((noise(row, 9) >> 8) % 23, (noise(row, 10) >> 8) % 3);
                signal + 40 * (i64::from(many * 7 % 5) - 2) + 30 * (i64::from(few) - 1)
            }
        }
    }

    /// The label of a row for a task.
    #[must_use]
    pub fn label(&self, row: u32, task: &str) -> f32 {
        match (task, self.signal(row)) {
            ("regression" | "quantiles", signal) => signal as f32 / 64.0,
            ("binary", signal) => f32::from(u8::from(signal > 90)),
            (_, ..-60) => 0.0,
            (_, ..120) => 1.0,
            _ => 2.0,
        }
    }

    /// The features of a row.
    #[must_use]
    pub fn features(&self, row: u32) -> Vec<f32> {
        (0..COLUMNS)
            .map(|column| self.feature(row, column))
            .collect()
    }

    /// Packed rows.
    #[must_use]
    pub fn matrix(&self, first: u32, rows: u32) -> Vec<f32> {
        let rows = first..first + rows;
        rows.flat_map(|row| self.features(row)).collect()
    }

    /// Names of the columns and labels.
    #[must_use]
    pub fn schema(&self) -> DatasetSchema {
        let mut labels = vec!["direction".to_owned()];
        if self.returns {
            labels.push("forward_return".to_owned());
        }
        DatasetSchema {
            features: (0..COLUMNS).map(self.name).collect(),
            labels,
            classes: Vec::new(),
        }
    }

    /// A batch of rows.
    #[must_use]
    pub fn batch(&self, rows: &[Row]) -> DatasetBatch {
        let times: Vec<i64> = rows.iter().map(|row| row.at).collect();
        let joined = |part: fn(&Row) -> &[f32]| rows.iter().flat_map(part).copied().collect();
        let (features, labels): (Vec<f32>, Vec<f32>) =
            (joined(|row| &row.features), joined(|row| &row.labels));
        let weights: Vec<f32> = rows.iter().map(|row| row.weight).collect();
        let roles: Vec<u8> = rows.iter().map(|row| row.role).collect();
        let columns = BatchColumns {
            features: features.into(),
            labels: labels.into(),
            weight: weights.into(),
            event_ns: times.clone().into(),
            label_end_ns: times.into(),
            symbol: vec![0; rows.len()].into(),
            segment: vec![0; rows.len()].into(),
            role: roles.into(),
        };
        DatasetBatch::new(&self.schema(), columns).expect("columns of equal length")
    }

    /// Rows in one batch.
    #[must_use]
    pub fn of(&self, rows: &[Row]) -> Dataset {
        Dataset::new(self.schema(), vec![self.batch(rows)]).expect("one schema")
    }

    /// Rows of the generator in three batches, with rows between them that must not take part:
    /// context rows with labels, and samples without one.
    #[must_use]
    pub fn dataset(&self, first: u32, count: u32, task: &str) -> Dataset {
        let labels = |label: f32, outcome: f32| match self.returns {
            true => vec![label, outcome],
            false => vec![label],
        };
        let mut all = Vec::new();
        for row in first..first + count {
            let at = i64::from(row / self.per_moment);
            let other = |value: f32, label: f32, role: u8| Row {
                features: vec![value; COLUMNS as usize],
                labels: labels(label, label * 9.0),
                weight: 9.0,
                role,
                at,
            };
            if row % 97 == 0 {
                all.push(other(-5.0, 1.0, 0));
            }
            if row % 131 == 0 {
                all.push(other(f32::INFINITY, f32::NAN, 1));
            }
            all.push(Row {
                features: self.features(row),
                labels: labels(self.label(row, task), self.signal(row) as f32 / 64.0),
                weight: if self.weights { weight(row) } else { 1.0 },
                role: 1,
                at,
            });
        }
        let size = all.len().div_ceil(3).max(1);
        let batches = all.chunks(size).map(|rows| self.batch(rows)).collect();
        Dataset::new(self.schema(), batches).expect("one schema")
    }
}

/// The task of that name.
#[must_use]
pub fn task(name: &str) -> Task {
    let classes = |names: &[&str]| Task::Classification {
        classes: names.iter().map(|name| (*name).to_owned()).collect(),
    };
    match name {
        "multiclass" => classes(&["down", "flat", "up"]),
        "binary" => classes(&["down", "up"]),
        "quantiles" => Task::Quantiles {
            levels: LEVELS.to_vec(),
        },
        _ => Task::Regression,
    }
}

/// Values that the task of that name answers.
#[must_use]
pub fn outputs(name: &str) -> usize {
    task(name).output_columns(1)
}

/// The pinned libraries, fetched where they are missing: LightGBM's and XGBoost's.
///
/// # Panics
/// Where they cannot be fetched.
#[must_use]
pub fn libraries() -> &'static [String; 2] {
    static LIBRARIES: OnceLock<[String; 2]> = OnceLock::new();
    LIBRARIES.get_or_init(|| {
        let script = ["plugins/native/fetch.py", "--only", "lightgbm"];
        let fetched = Command::new("python3")
            .args(script)
            .args(["--only", "xgboost"])
            .current_dir(project_root())
            .output()
            .expect("python3 is needed to fetch the libraries: install Python 3.11");
        let problem = String::from_utf8_lossy(&fetched.stderr).into_owned();
        assert!(fetched.status.success(), "{problem}");
        [
            "lightgbm-4.7.0/lib_lightgbm.so",
            "xgboost-3.4.1/xgboost/lib/libxgboost.so",
        ]
        .map(|file| {
            let path = project_root().join(".fusebox/native").join(file);
            path.to_string_lossy().into_owned()
        })
    })
}

/// The plugin as a host gets it: packaged, discovered, verified, loaded. Cargo builds the library
/// beside the test, because the plugin is among the dependencies of this package.
///
/// # Panics
/// Where it cannot be loaded.
#[must_use]
pub fn plugin() -> &'static LoadedPlugin {
    static PLUGIN: OnceLock<LoadedPlugin> = OnceLock::new();
    PLUGIN.get_or_init(|| {
        let test = std::env::current_exe().expect("a running test");
        let built = test.with_file_name("libfusebox_gbm.so");
        // One directory for each test file: they may run at once.
        let home = build_dir()
            .join("gbm")
            .join(test.file_name().expect("a file"));
        let spec = PackageSpec {
            kinds: vec![MODEL_ID.to_owned(), LEARNER_ID.to_owned()],
            replace: true,
            ..PackageSpec::new(built)
        };
        let plugins = home.join("plugins");
        write_package(&plugins, &spec).expect("a package");
        let found = discover(&[plugins]);
        let package = find(&found, "ai.fusebox.gbm", None).expect("the package just written");
        let options = LoadOptions::new(home.join("cache"));
        load(package, &options.with_trust(TrustPolicy::trusting())).expect("a plugin")
    })
}

/// A model from an artifact.
///
/// # Errors
/// What the plugin says.
pub fn create(config: &Config, artifact: &[u8]) -> Result<Box<dyn Model>> {
    plugin().create_model(config, artifact)
}

/// A configuration with both libraries.
///
/// # Panics
/// Where `pairs` is no table.
#[must_use]
pub fn config(pairs: serde_json::Value) -> Config {
    let [lightgbm, xgboost] = libraries();
    let config = Config::from_value(pairs).expect("a table");
    config
        .with("library", lightgbm.as_str())
        .with("xgboost_library", xgboost.as_str())
}

/// A fit with what most tests leave as it is.
#[derive(Debug)]
pub struct Fit<'a> {
    /// Name of the task.
    pub task: &'a str,
    /// Hyper-parameters and libraries.
    pub config: Config,
    /// Rows to learn from.
    pub train: &'a Dataset,
    /// Rows for early stopping.
    pub valid: Option<&'a Dataset>,
    /// Where to go on.
    pub checkpoint: Option<&'a [u8]>,
    /// Seed of the draws.
    pub seed: u64,
    /// Most threads.
    pub max_threads: u32,
}

impl<'a> Fit<'a> {
    /// A fit with one thread and without validation rows.
    #[must_use]
    pub fn new(task: &'a str, pairs: serde_json::Value, train: &'a Dataset) -> Self {
        Fit {
            task,
            config: config(pairs),
            train,
            valid: None,
            checkpoint: None,
            seed: 7,
            max_threads: 1,
        }
    }

    /// Fits.
    ///
    /// # Errors
    /// What the learner says.
    pub fn run(&self) -> Result<Box<dyn Model>> {
        self.run_with(&mut NoProgress)
    }

    /// Fits, reporting to `progress`.
    ///
    /// # Errors
    /// What the learner says.
    ///
    /// # Panics
    /// Where the plugin has no learner.
    pub fn run_with(&self, progress: &mut dyn Progress) -> Result<Box<dyn Model>> {
        let learner = plugin().learner().expect("a learner");
        learner.fit(FitRequest {
            task: &task(self.task),
            config: &self.config,
            train: self.train,
            valid: self.valid,
            environment: None,
            progress,
            checkpoint: self.checkpoint,
            seed: self.seed,
            max_threads: self.max_threads,
        })
    }

    /// What the fit fails with.
    ///
    /// # Panics
    /// Where it does not.
    #[must_use]
    pub fn error(&self) -> PluginError {
        self.run().err().expect("the fit was expected to fail")
    }
}

/// The answers for packed rows.
///
/// # Panics
/// Where the model refuses them.
pub fn predict(model: &mut dyn Model, input: &[f32], outputs: usize) -> Vec<f32> {
    let rows = input.len() / COLUMNS as usize;
    let mut output = vec![f32::NAN; rows * outputs];
    let shape = FrameShape::dense(rows, COLUMNS as usize, outputs);
    let mut frame = Frame::new(input, &mut output, shape).expect("a frame");
    model.predict(&mut frame).expect("answers");
    output
}

/// SHAP values of packed rows, row by row.
///
/// # Panics
/// Where the model has none.
pub fn contributions(model: &dyn Model, input: &[f32], outputs: usize) -> Vec<f32> {
    let rows = input.len() / COLUMNS as usize;
    let width = outputs * (COLUMNS as usize + 1);
    let mut values = vec![f32::NAN; rows * width];
    let shape = FrameShape::dense(rows, COLUMNS as usize, width);
    let mut frame = Frame::new(input, &mut values, shape).expect("a frame");
    let explain = model.explain().expect("explanations");
    explain.contributions(&mut frame).expect("contributions");
    values
}

/// The bits of numbers, to compare them exactly.
#[must_use]
pub fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// The largest distance between two lists in units of the last place.
///
/// # Panics
/// Where they are not equally long.
#[must_use]
pub fn furthest_ulps(found: &[f32], expected: &[f32]) -> u32 {
    assert_eq!(found.len(), expected.len());
    let ordered = |value: f32| {
        let bits = value.to_bits().cast_signed();
        if bits < 0 { i32::MIN - bits } else { bits }
    };
    let pairs = found.iter().zip(expected);
    let distances = pairs.map(|(a, b)| ordered(*a).abs_diff(ordered(*b)));
    distances.max().unwrap_or(0)
}

/// Keeps what a fit reports; asks to stop after a number of steps.
#[derive(Debug, Default)]
pub struct Recorder {
    /// Each step with its first metric.
    pub steps: Vec<(u64, Option<f64>)>,
    /// Names of the metrics of the last step.
    pub names: Vec<String>,
    /// Each checkpoint with its step.
    pub checkpoints: Vec<(u64, Vec<u8>)>,
    /// The step after which to stop.
    pub cancel_after: Option<u64>,
    /// Whether only a poll says so.
    pub poll_only: bool,
}

impl Progress for Recorder {
    fn report(&mut self, step: u64, _: Option<u64>, metrics: &[Metric<'_>]) -> Result<()> {
        let first = metrics.first().map(|metric| metric.value);
        self.steps.push((step, first));
        self.names = metrics.iter().map(|one| one.name.to_owned()).collect();
        match self.cancel_after {
            Some(last) if step >= last && !self.poll_only => Err(PluginError::cancelled()),
            _ => Ok(()),
        }
    }

    fn is_cancelled(&self) -> bool {
        let done = self.steps.last().map_or(0, |(step, _)| *step);
        self.poll_only && self.cancel_after.is_some_and(|last| done >= last)
    }

    fn checkpoint(&mut self, step: u64, bytes: &[u8]) -> Result<()> {
        self.checkpoints.push((step, bytes.to_vec()));
        Ok(())
    }
}

/// Resident set in bytes, from `/proc`, whose pages are 4 KiB on the supported targets.
///
/// # Panics
/// Where there is no `/proc`.
#[must_use]
pub fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("/proc");
    let pages = statm.split(' ').nth(1).and_then(|text| text.parse().ok());
    pages.map_or(0, |pages: usize| pages * 4096)
}
