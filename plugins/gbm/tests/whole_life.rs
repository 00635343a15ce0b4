//! The whole life of models of both libraries, inside one process and without a host: what
//! `make leaks` runs under the address and leak sanitizers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking, and so do its helpers"
)]

use std::path::Path;
use std::process::Command;

use fusebox_gbm::{GbmLearner, GbmModel};
use fusebox_plugin_api::model::NoProgress;
use fusebox_plugin_api::prelude::*;
use fusebox_plugin_api::schema::{BatchColumns, DatasetBatch};

const COLUMNS: usize = 6;
const ROWS: usize = 400;

fn libraries() -> Config {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let fetched = Command::new("python3")
        .arg("plugins/native/fetch.py")
        .current_dir(&root)
        .output()
        .expect("python3 is needed to fetch the libraries: install Python 3.11");
    let problem = String::from_utf8_lossy(&fetched.stderr);
    assert!(fetched.status.success(), "{problem}");
    let path = |file: &str| {
        let path = root.join(".fusebox/native").join(file);
        path.to_string_lossy().into_owned()
    };
    Config::new()
        .with("library", path("lightgbm-4.7.0/lib_lightgbm.so"))
        .with(
            "xgboost_library",
            path("xgboost-3.4.1/xgboost/lib/libxgboost.so"),
        )
        .with("num_leaves", 6)
        .with("rounds", 6)
        .with("early_stopping_rounds", 3)
        .with("checkpoint_rounds", 2)
        .with("update_rounds", 2)
        .with("categorical", "f5")
}

fn feature(row: usize, column: usize) -> f32 {
    let mixed = (row * 7_919 + column * 104_729) % 1_009;
    match column {
        5 => (mixed % 9) as f32,
        3 if mixed.is_multiple_of(11) => f32::NAN,
        _ => mixed as f32,
    }
}

fn dataset(first: usize, classes: usize) -> Dataset {
    let rows = first..first + ROWS;
    let label = |row: usize| match classes {
        0 => feature(row, 0) - feature(row, 1),
        classes => ((feature(row, 0) + feature(row, 5) * 40.0) as usize % classes) as f32,
    };
    let schema = DatasetSchema {
        features: (0..COLUMNS).map(|column| format!("f{column}")).collect(),
        labels: vec!["y".to_owned()],
        classes: Vec::new(),
    };
    let cells = rows.clone();
    let cells = cells.flat_map(|row| (0..COLUMNS).map(move |column| feature(row, column)));
    let times: Vec<i64> = (0..ROWS as i64).collect();
    let roles: Vec<u8> = (0..ROWS).map(|row| u8::from(row % 20 != 0)).collect();
    let columns = BatchColumns {
        features: cells.collect::<Vec<f32>>().into(),
        labels: rows.map(label).collect::<Vec<f32>>().into(),
        weight: vec![if first == 0 { 1.0 } else { 1.5 }; ROWS].into(),
        event_ns: times.clone().into(),
        label_end_ns: times.into(),
        symbol: vec![0; ROWS].into(),
        segment: vec![0; ROWS].into(),
        role: roles.into(),
    };
    let batch = DatasetBatch::new(&schema, columns).unwrap();
    Dataset::new(schema, vec![batch]).unwrap()
}

/// Keeps the first checkpoint, and stops after a number of steps.
#[derive(Default)]
struct Keeper {
    checkpoint: Option<Vec<u8>>,
    stop_after: Option<u64>,
}

impl Progress for Keeper {
    fn report(&mut self, step: u64, _: Option<u64>, _: &[Metric<'_>]) -> Result<()> {
        match self.stop_after.is_some_and(|last| step >= last) {
            true => Err(PluginError::cancelled()),
            false => Ok(()),
        }
    }

    fn is_cancelled(&self) -> bool {
        false
    }

    fn checkpoint(&mut self, _: u64, bytes: &[u8]) -> Result<()> {
        self.checkpoint.get_or_insert(bytes.to_vec());
        Ok(())
    }
}

struct Life {
    task: Task,
    config: Config,
    train: Dataset,
    valid: Dataset,
}

impl Life {
    fn fit(
        &self,
        progress: &mut dyn Progress,
        checkpoint: Option<&[u8]>,
    ) -> Result<Box<dyn Model>> {
        GbmLearner.fit(FitRequest {
            task: &self.task,
            config: &self.config,
            train: &self.train,
            valid: Some(&self.valid),
            environment: None,
            progress,
            checkpoint,
            seed: 1,
            max_threads: 1,
        })
    }

    fn answer(&self, model: &mut dyn Model) -> Vec<f32> {
        let outputs = self.task.output_columns(1);
        let input: Vec<f32> = (0..40 * COLUMNS)
            .map(|cell| feature(cell / COLUMNS, cell % COLUMNS))
            .collect();
        let mut output = vec![0.0; 40 * outputs];
        let shape = FrameShape::dense(40, COLUMNS, outputs);
        let mut frame = Frame::new(&input, &mut output, shape).unwrap();
        model.predict(&mut frame).unwrap();
        let width = outputs * (COLUMNS + 1);
        let mut values = vec![0.0; width];
        let shape = FrameShape::dense(1, COLUMNS, width);
        let mut frame = Frame::new(&input[..COLUMNS], &mut values, shape).unwrap();
        let explain = model.explain().unwrap();
        explain.contributions(&mut frame).unwrap();
        assert_eq!(explain.importance("gain").unwrap().len(), COLUMNS);
        output
    }

    fn live(&self) {
        let mut keeper = Keeper::default();
        let mut model = self.fit(&mut keeper, None).unwrap();
        let resumed = self.fit(&mut NoProgress, keeper.checkpoint.as_deref());
        assert!(resumed.is_ok());
        let before = self.answer(model.as_mut());
        for (rule, evaluator) in [("continue", "library"), ("refit", "flat")] {
            let config = self.config.clone();
            let config = config.with("update", rule).with("evaluator", evaluator);
            let mut again = GbmModel::create(&config, &model.save().unwrap()).unwrap();
            assert_eq!(self.answer(&mut again), before);
            let refused = rule == "refit" && matches!(self.task, Task::Quantiles { .. });
            let updated = Incremental::update(&mut again, &self.valid, &mut NoProgress);
            assert_eq!(updated.is_err(), refused, "{updated:?}");
            self.answer(&mut again);
        }
        self.go_wrong(&model.save().unwrap());
    }

    /// Ways out through errors give back what was taken, too.
    fn go_wrong(&self, artifact: &[u8]) {
        let mut stopped = Keeper {
            stop_after: Some(2),
            ..Keeper::default()
        };
        let error = self.fit(&mut stopped, None).err().unwrap();
        assert_eq!(error.status(), Status::Cancelled);
        let mut model = GbmModel::create(&self.config, artifact).unwrap();
        let error = Incremental::update(&mut model, &self.valid, &mut stopped).unwrap_err();
        assert_eq!(error.status(), Status::Cancelled);
        assert!(GbmModel::create(&self.config, &artifact[..artifact.len() - 9]).is_err());
        let monotone = self.config.clone().with("monotone_increasing", "nothing");
        let wrong = Life {
            task: self.task.clone(),
            config: monotone,
            train: self.train.clone(),
            valid: self.valid.clone(),
        };
        assert!(wrong.fit(&mut NoProgress, None).is_err());
    }
}

#[test]
fn models_of_both_libraries_live_and_give_back_what_they_took() {
    let classes = |names: &[&str]| Task::Classification {
        classes: names.iter().map(|name| (*name).to_owned()).collect(),
    };
    let quantiles = Task::Quantiles {
        levels: vec![0.2, 0.5, 0.9],
    };
    for booster in ["lightgbm", "xgboost"] {
        for (task, count, metric) in [
            (classes(&["down", "flat", "up"]), 3, "rank_ic"),
            (classes(&["down", "up"]), 2, "sharpe"),
            (Task::Regression, 0, "ic"),
            (quantiles.clone(), 0, "default"),
        ] {
            let config = libraries().with("booster", booster).with("metric", metric);
            let life = Life {
                task,
                config,
                train: dataset(0, count),
                valid: dataset(ROWS, count),
            };
            life.live();
        }
    }
}
