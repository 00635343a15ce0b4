//! What the trees of the gradient-boosting plugin cost: its flat trees beside the fast paths of the
//! library that grew them, and beside the same library called from Python, in one run and turn by
//! turn, so that the ratios hold whatever else the machine does.
//!
//! Two classes, 50 features, 31 leaves, one thread; single rows by their median, a batch by its
//! shortest time. Python is timed in a process of its own, which answers the same rows between the
//! turns.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Instant;

use fusebox_gbm::{GbmLearner, GbmModel};
use fusebox_plugin_api::model::NoProgress;
use fusebox_plugin_api::prelude::*;
use fusebox_plugin_api::schema::{BatchColumns, DatasetBatch};
use rand::RngExt as _;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::gbm_training;

pub(crate) const COLUMNS: usize = 50;
pub(crate) const ROWS: usize = 20_000;
const BATCH_ROWS: usize = 10_000;
const TURNS: usize = 5;

/// The libraries with their names for people.
const LIBRARIES: [(&str, &str); 2] = [("lightgbm", "LightGBM"), ("xgboost", "XGBoost")];

/// The rows of the table, for 100 and 500 trees of both libraries.
pub(crate) fn gbm() -> Vec<(String, String)> {
    let train = dataset();
    let file = tempfile::NamedTempFile::new().unwrap();
    let rows = train.views().next().unwrap().features;
    let bytes: Vec<u8> = rows.iter().flat_map(|value| value.to_le_bytes()).collect();
    std::fs::write(file.path(), bytes).unwrap();
    let mut lines = Vec::new();
    for library in LIBRARIES {
        for trees in [100, 500] {
            lines.extend(compare(library, trees, (&train, file.path())));
        }
    }
    lines
}

/// Where the pinned libraries are, under the settings that name them.
fn libraries() -> Config {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut config = Config::new();
    for (name, key, file) in [
        ("lightgbm", "library", "lightgbm-4.7.0/lib_lightgbm.so"),
        (
            "xgboost",
            "xgboost_library",
            "xgboost-3.4.1/xgboost/lib/libxgboost.so",
        ),
    ] {
        let fetched = Command::new("python3")
            .args(["plugins/native/fetch.py", "--only", name])
            .current_dir(&root)
            .status()
            .unwrap();
        assert!(fetched.success(), "{name} is needed");
        let path = root.join(".fusebox/native").join(file);
        config.set(key, path.to_string_lossy().into_owned());
    }
    config
}

/// Noise with a planted signal that takes deep trees.
pub(crate) fn dataset() -> Dataset {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let features: Vec<f32> = (0..ROWS * COLUMNS)
        .map(|_| random.random_range(-1.0..1.0))
        .collect();
    let class = |row: &[f32]| row[0] + row[1] * row[2] + (3.0 * row[3]).sin() + 0.5 * row[4];
    let rows = features.chunks_exact(COLUMNS);
    let labels: Vec<f32> = rows
        .map(|row| f32::from(u8::from(class(row) > 0.0)))
        .collect();
    labelled(features, labels)
}

/// Rows with one label each, all of the same weight, one after the other in time.
pub(crate) fn labelled(features: Vec<f32>, labels: Vec<f32>) -> Dataset {
    let rows = labels.len();
    let columns = features.len() / rows;
    let schema = DatasetSchema {
        features: (0..columns).map(|column| format!("f{column}")).collect(),
        labels: vec!["direction".to_owned()],
        classes: Vec::new(),
    };
    let times: Vec<i64> = (0..rows as i64).collect();
    let batch = BatchColumns {
        features: features.into(),
        labels: labels.into(),
        weight: vec![1.0; rows].into(),
        event_ns: times.clone().into(),
        label_end_ns: times.into(),
        symbol: vec![0; rows].into(),
        segment: vec![0; rows].into(),
        role: vec![1; rows].into(),
    };
    let batch = DatasetBatch::new(&schema, batch).unwrap();
    Dataset::new(schema, vec![batch]).unwrap()
}

fn config(library: &str, trees: u32) -> Config {
    libraries()
        .with("booster", library)
        .with("rounds", trees)
        .with("early_stopping_rounds", 0)
}

/// A model of a library with so many trees of 31 leaves.
pub(crate) fn fitted(library: &str, trees: u32, train: &Dataset) -> Box<dyn Model> {
    let classes = ["down", "up"].map(str::to_owned).to_vec();
    GbmLearner
        .fit(FitRequest {
            task: &Task::Classification { classes },
            config: &config(library, trees),
            train,
            valid: None,
            environment: None,
            progress: &mut NoProgress,
            checkpoint: None,
            seed: 1,
            max_threads: 1,
        })
        .unwrap()
}

fn compare(
    (library, name): (&str, &str),
    trees: u32,
    (train, file): (&Dataset, &Path),
) -> Vec<(String, String)> {
    let artifact = fitted(library, trees, train).save().unwrap();
    let config = config(library, trees);
    let open = |evaluator: &str| {
        let config = config.clone().with("evaluator", evaluator);
        GbmModel::create(&config, &artifact).unwrap()
    };
    let mut models = [open("flat"), open("library")];
    let mut python = Peer::start(library, &artifact, file);
    let rows = train.views().next().unwrap().features;
    let (mut singles, mut batches) = ([f64::INFINITY; 3], [f64::INFINITY; 3]);
    for _ in 0..TURNS {
        for (which, model) in models.iter_mut().enumerate() {
            singles[which] = singles[which].min(single(model, rows));
            batches[which] = batches[which].min(batch(model, rows));
        }
        if let Some((one, many)) = python.as_mut().ok().and_then(Peer::turn) {
            (singles[2], batches[2]) = (singles[2].min(one), batches[2].min(many));
        }
    }
    let missing = python.err();
    [
        (
            format!("{name}, {trees} trees, one row"),
            singles,
            "us",
            1e6,
        ),
        (
            format!("{name}, {trees} trees, 10,000 rows"),
            batches,
            "ms",
            1e3,
        ),
    ]
    .into_iter()
    .flat_map(|(what, [flat, library, python], unit, scale)| {
        let time = |seconds: f64| format!("{:.2} {unit}", seconds * scale);
        let of_python = match (&missing, python.is_finite()) {
            (Some(reason), _) => reason.clone(),
            (None, false) => "it stopped".to_owned(),
            (None, true) => format!("{} ({:.2} x)", time(python), python / flat),
        };
        [
            (format!("{what}, flat"), time(flat)),
            (format!("{what}, library"), time(library)),
            (
                format!("{what}, library / flat"),
                format!("{:.2}", library / flat),
            ),
            (format!("{what}, Python (/ flat)"), of_python),
        ]
    })
    .collect()
}

/// The same model in the same library, called from Python in a process of its own.
struct Peer {
    child: Child,
    answers: Lines<BufReader<ChildStdout>>,
    /// Kept until Python has read it, and removed with this.
    _model: tempfile::NamedTempFile,
}

impl Peer {
    /// Starts it; why it cannot be, in words.
    fn start(library: &str, artifact: &[u8], rows: &Path) -> Result<Self, String> {
        let python = gbm_training::python(library)?;
        let model = tempfile::Builder::new().suffix(".json").tempfile();
        let model = model.unwrap();
        // The library's own text stands behind the two lines of the artifact's header.
        let text = artifact.splitn(3, |byte| *byte == b'\n').nth(2).unwrap();
        std::fs::write(model.path(), text).unwrap();
        let task = json!({
            "library": library, "model": model.path(), "columns": COLUMNS, "rows": ROWS,
            "batch_rows": BATCH_ROWS,
        });
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference/bench_gbm.py");
        let mut child = Command::new(python)
            .env("PYTHONPATH", gbm_training::packages())
            .env("OMP_NUM_THREADS", "1")
            .arg(script)
            .arg(rows)
            .arg(task.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("skipped: {error}"))?;
        let answers = BufReader::new(child.stdout.take().unwrap()).lines();
        Ok(Self {
            child,
            answers,
            _model: model,
        })
    }

    /// Median seconds of one row, and seconds of a batch; `None` where it has stopped.
    fn turn(&mut self) -> Option<(f64, f64)> {
        let stdin = self.child.stdin.as_mut()?;
        stdin.write_all(b"turn\n").ok()?;
        let line = self.answers.next()?.ok()?;
        let told: Value = serde_json::from_str(&line).ok()?;
        Some((told["one_row"].as_f64()?, told["batch"].as_f64()?))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // The end of its input ends it.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Median seconds of one row, over rows that are not in the caches in order.
fn single(model: &mut GbmModel, rows: &[f32]) -> f64 {
    let mut output = [0.0; 2];
    let shape = FrameShape::dense(1, COLUMNS, 2);
    let mut seconds: Vec<f64> = (0..ROWS)
        .map(|position| {
            let row = position * 7_919 % ROWS * COLUMNS;
            let started = Instant::now();
            let mut frame = Frame::new(&rows[row..row + COLUMNS], &mut output, shape).unwrap();
            model.predict(&mut frame).unwrap();
            started.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

fn batch(model: &mut GbmModel, rows: &[f32]) -> f64 {
    let mut output = vec![0.0; BATCH_ROWS * 2];
    let shape = FrameShape::dense(BATCH_ROWS, COLUMNS, 2);
    let started = Instant::now();
    let mut frame = Frame::new(&rows[..BATCH_ROWS * COLUMNS], &mut output, shape).unwrap();
    model.predict(&mut frame).unwrap();
    started.elapsed().as_secs_f64()
}
