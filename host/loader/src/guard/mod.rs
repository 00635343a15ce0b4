//! The one guard between the house and any model: shapes, complete answers, panics, counts.
//!
//! Everything a loaded plugin hands out is wrapped here, so no other stage checks a plugin again.
//! Every value of an answer is NaN before the model is asked, so one that reports success without
//! writing is found out like one that answers NaN. After a panic the model answers nothing more.

mod metrics;
mod policy;

pub use metrics::{MetricsSnapshot, ModelMetrics};
pub use policy::{BreakerConfig, BreakerState, FailureKind, GuardPolicy};

use std::panic::{AssertUnwindSafe, catch_unwind};

use fusebox_plugin_api::error::{PluginError, Result, Status};
use fusebox_plugin_api::ext::{Explain, Incremental, OnnxExport, Quantiles};
use fusebox_plugin_api::frame::Frame;
use fusebox_plugin_api::model::{
    FitRequest, InputShape, Learner, LearnerInfo, Model, ModelInfo, Snapshot, Task,
};
use fusebox_plugin_api::schema::DatasetSchema;

/// A window longer than this is a plugin's mistake.
const MAX_WINDOW_STEPS: u32 = 1 << 20;

/// How far probabilities may miss 0, 1 and a sum of 1, as sums of many `f32` do.
const PROBABILITY_TOLERANCE: f32 = 1e-3;

/// What went through a guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GuardStats {
    /// Predictions asked for.
    pub calls: u64,
    /// Rows in them.
    pub rows: u64,
    /// Calls that failed, for whatever reason.
    pub errors: u64,
}

/// A model behind the guard.
pub struct GuardedModel {
    plugin: String,
    info: ModelInfo,
    model: Box<dyn Model>,
    stats: GuardStats,
    is_poisoned: bool,
}

impl std::fmt::Debug for GuardedModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GuardedModel")
            .field("plugin", &self.plugin)
            .field("stats", &self.stats)
            .field("is_poisoned", &self.is_poisoned)
            .finish_non_exhaustive()
    }
}

impl GuardedModel {
    /// Guards a model of the plugin called `plugin`, and asks it once what it takes and answers.
    ///
    /// # Errors
    /// Where the model cannot tell, or describes itself in a way that makes no sense.
    pub fn new(plugin: &str, model: Box<dyn Model>) -> Result<Self> {
        let info = model.info()?;
        let mut problems = Vec::new();
        if info.window == 0 {
            problems.push("it takes windows of no steps");
        }
        if info.outputs.is_empty() {
            problems.push("it names no outputs");
        }
        if !info.features.is_empty() && info.columns != Some(info.features.len()) {
            problems.push("its column count is not the number of its features");
        }
        if !problems.is_empty() {
            let problems = problems.join("; ");
            return Err(PluginError::data(format!(
                "{plugin}: the model makes no sense: {problems}"
            )));
        }
        let (plugin, stats) = (plugin.to_owned(), GuardStats::default());
        Ok(Self {
            plugin,
            info,
            model,
            stats,
            is_poisoned: false,
        })
    }

    /// What went through so far.
    #[must_use]
    pub fn stats(&self) -> GuardStats {
        self.stats
    }

    /// What the model takes and answers, as it said when it was made.
    #[must_use]
    pub fn known_info(&self) -> &ModelInfo {
        &self.info
    }

    /// Whether the model panicked and answers nothing more.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.is_poisoned
    }

    fn guarded_predict(&mut self, frame: &mut Frame<'_>) -> Result<()> {
        if self.is_poisoned {
            return Err(self.poisoned());
        }
        let columns = self.info.columns.unwrap_or(frame.columns());
        frame
            .expect(columns, self.info.window, self.info.outputs.len())
            .map_err(|error| error.at(&self.plugin))?;
        for row in 0..frame.rows() {
            frame.output_row_mut(row).fill(f32::NAN);
        }
        let model = &mut self.model;
        match catch_unwind(AssertUnwindSafe(|| model.predict(frame))) {
            Ok(Ok(())) => self.check_answers(frame),
            Ok(Err(error)) => {
                self.is_poisoned = error.status() == Status::Panic;
                Err(error)
            }
            Err(_) => {
                self.is_poisoned = true;
                let plugin = &self.plugin;
                let message = format!("{plugin}: panicked in predict; see the log");
                Err(PluginError::new(Status::Panic, message))
            }
        }
    }

    #[cold]
    fn poisoned(&self) -> PluginError {
        PluginError::state(format!(
            "{}: the model panicked before and answers nothing more; make a new one",
            self.plugin
        ))
    }

    /// Refuses NaN, which is also what the model did not write, infinity, and probabilities that
    /// are none: nothing behind the guard handles them.
    fn check_answers(&self, frame: &Frame<'_>) -> Result<()> {
        if frame.is_replay() {
            return Ok(());
        }
        let classes = match &self.info.task {
            Task::Classification { classes } => classes.len().max(1),
            _ => 0,
        };
        for row in 0..frame.rows() {
            let answers = frame.output_row(row);
            if let Some(column) = answers.iter().position(|answer| !answer.is_finite()) {
                return Err(self.wrong_answer(row, column, answers[column]));
            }
            if classes > 0 && !answers.chunks(classes).all(is_distribution) {
                return Err(PluginError::data(format!(
                    "{}: answered {answers:?} in row {row}; probabilities of classes lie between \
                     0 and 1 and add up to 1",
                    self.plugin
                )));
            }
        }
        Ok(())
    }

    #[cold]
    fn wrong_answer(&self, row: usize, column: usize, answer: f32) -> PluginError {
        PluginError::data(format!(
            "{}: answered {answer} in row {row}, column {column} (`{}`), or nothing at all; \
             predictions must be finite numbers",
            self.plugin, self.info.outputs[column]
        ))
    }

    /// Refuses a model that is not what was asked for.
    fn check_fit(&self, task: &Task, data: &DatasetSchema) -> Result<()> {
        let mut problems = Vec::new();
        let (outputs, expected) = (
            self.info.outputs.len(),
            task.output_columns(data.labels.len()),
        );
        if self.info.task != *task {
            problems.push("it states another task".to_owned());
        }
        let is_policy = matches!(task, Task::Policy { .. });
        // A model may learn one of several labels, and a policy sees its environment instead.
        let is_one_label = outputs == task.output_columns(1);
        if outputs != expected && !is_one_label {
            problems.push(format!("it answers {outputs} values instead of {expected}"));
        }
        let is_other_width = |columns| columns != data.features.len();
        if !is_policy && self.info.columns.is_some_and(is_other_width) {
            problems.push(format!(
                "it takes {} features instead of {}",
                self.info.columns.unwrap_or_default(),
                data.features.len()
            ));
        } else if !is_policy
            && !self.info.features.is_empty()
            && self.info.features != data.features
        {
            problems.push("it names other features, or another order of them".to_owned());
        }
        if problems.is_empty() {
            return Ok(());
        }
        Err(PluginError::data(format!(
            "{}: the fit gave another model than was asked for: {}",
            self.plugin,
            problems.join("; ")
        )))
    }
}

impl Model for GuardedModel {
    fn info(&self) -> Result<ModelInfo> {
        Ok(self.info.clone())
    }

    fn predict(&mut self, frame: &mut Frame<'_>) -> Result<()> {
        self.stats.calls += 1;
        self.stats.rows += frame.rows() as u64;
        let result = self.guarded_predict(frame);
        self.stats.errors += u64::from(result.is_err());
        result
    }

    fn warmup(&mut self) -> Result<()> {
        self.model.warmup()
    }

    fn save(&self) -> Result<Vec<u8>> {
        self.model.save()
    }

    fn snapshot(&self) -> Result<Snapshot> {
        self.model.snapshot()
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        self.model.restore(snapshot)
    }

    fn quiesce(&mut self, deadline_ns: u64) -> Result<()> {
        self.model.quiesce(deadline_ns)
    }

    fn explain(&self) -> Option<&dyn Explain> {
        self.model.explain()
    }

    fn incremental(&mut self) -> Option<&mut dyn Incremental> {
        self.model.incremental()
    }

    fn quantiles(&self) -> Option<&dyn Quantiles> {
        self.model.quantiles()
    }

    fn onnx_export(&self) -> Option<&dyn OnnxExport> {
        self.model.onnx_export()
    }
}

/// A learner whose models come out guarded.
pub(crate) struct GuardedLearner {
    pub(crate) plugin: String,
    pub(crate) learner: Box<dyn Learner>,
}

impl Learner for GuardedLearner {
    fn describe(&self) -> Result<LearnerInfo> {
        let info = self.learner.describe()?;
        let InputShape::Window {
            default_steps,
            max_steps,
        } = info.input
        else {
            return Ok(info);
        };
        if 0 < default_steps && default_steps <= max_steps && default_steps <= MAX_WINDOW_STEPS {
            return Ok(info);
        }
        Err(PluginError::data(format!(
            "{}: its learner takes windows of {default_steps} steps by default and {max_steps} at \
             most; that makes no sense",
            self.plugin
        )))
    }

    fn fit(&self, request: FitRequest<'_>) -> Result<Box<dyn Model>> {
        let (task, train) = (request.task, request.train);
        let model = GuardedModel::new(&self.plugin, self.learner.fit(request)?)?;
        model.check_fit(task, train.schema())?;
        Ok(Box::new(model))
    }
}

fn is_distribution(probabilities: &[f32]) -> bool {
    let least = -PROBABILITY_TOLERANCE;
    let sum: f32 = probabilities.iter().sum();
    probabilities.iter().all(|one| *one >= least) && (sum - 1.0).abs() <= PROBABILITY_TOLERANCE
}

#[cfg(test)]
mod tests {
    use super::*;
    use fusebox_plugin_api::config::Config;
    use fusebox_plugin_api::frame::FrameShape;
    use fusebox_plugin_api::model::NoProgress;
    use fusebox_plugin_api::schema::Dataset;

    /// Answers its first feature; panics on 13.
    struct Echo;

    impl Model for Echo {
        fn info(&self) -> Result<ModelInfo> {
            let info = ModelInfo::new(Task::Regression, &["echo"]);
            Ok(info.with_features(&["a".to_owned()]))
        }

        fn predict(&mut self, frame: &mut Frame<'_>) -> Result<()> {
            for row in 0..frame.rows() {
                let value = frame.features(row)[0];
                assert!(value.is_nan() || value < 13.0, "thirteen");
                frame.output_row_mut(row)[0] = value;
            }
            Ok(())
        }
    }

    /// Reports success and writes nothing.
    struct Silent(ModelInfo);

    impl Model for Silent {
        fn info(&self) -> Result<ModelInfo> {
            Ok(self.0.clone())
        }

        fn predict(&mut self, _: &mut Frame<'_>) -> Result<()> {
            Ok(())
        }
    }

    /// Makes `Silent` models of fixed description, whatever it is asked for.
    struct Stubborn(ModelInfo, InputShape);

    impl Learner for Stubborn {
        fn describe(&self) -> Result<LearnerInfo> {
            Ok(LearnerInfo {
                name: "Stubborn".to_owned(),
                doc: String::new(),
                tasks: vec![self.0.task.kind()],
                input: self.1,
                params: Vec::new(),
                needs_environment: false,
                resumes: false,
            })
        }

        fn fit(&self, _: FitRequest<'_>) -> Result<Box<dyn Model>> {
            Ok(Box::new(Silent(self.0.clone())))
        }
    }

    fn stubborn(info: ModelInfo, input: InputShape) -> GuardedLearner {
        GuardedLearner {
            plugin: "a.b".to_owned(),
            learner: Box::new(Stubborn(info, input)),
        }
    }

    fn fit(info: ModelInfo) -> Result<Box<dyn Model>> {
        let schema = DatasetSchema {
            features: vec!["a".to_owned(), "b".to_owned()],
            labels: vec!["next".to_owned()],
            classes: Vec::new(),
        };
        let train = Dataset::new(schema, Vec::new()).unwrap();
        stubborn(info, InputShape::Row).fit(FitRequest {
            task: &Task::Regression,
            config: &Config::new(),
            train: &train,
            valid: None,
            environment: None,
            progress: &mut NoProgress,
            checkpoint: None,
            seed: 1,
            max_threads: 1,
        })
    }

    #[test]
    fn a_model_that_writes_nothing_does_not_answer_what_lay_there_before() {
        let info = ModelInfo::new(Task::Regression, &["nothing"]);
        let mut model = GuardedModel::new("a.b", Box::new(Silent(info))).unwrap();
        let mut output = [7.0, 8.0, 9.0];
        let shape = FrameShape {
            output_stride: 2,
            ..FrameShape::dense(2, 1, 1)
        };
        let mut frame = Frame::new(&[1.0, 2.0], &mut output, shape).unwrap();
        let error = model.predict(&mut frame).unwrap_err();
        let words = "a.b: answered NaN in row 0, column 0 (`nothing`), or nothing at all";
        assert!(error.message().starts_with(words), "{error}");
        assert_eq!(
            output[1..2],
            [8.0],
            "what lies between the rows is nobody's"
        );
    }

    #[test]
    fn probabilities_that_are_none_are_refused() {
        /// Answers its first features as they are.
        struct Copy;
        impl Model for Copy {
            fn info(&self) -> Result<ModelInfo> {
                let classes = ["down", "flat", "up"].map(str::to_owned).to_vec();
                let task = Task::Classification { classes };
                Ok(ModelInfo::new(task, &["p_down", "p_flat", "p_up"]))
            }

            fn predict(&mut self, frame: &mut Frame<'_>) -> Result<()> {
                let features = frame.features(0);
                frame.output_row_mut(0).copy_from_slice(features);
                Ok(())
            }
        }
        let mut model = GuardedModel::new("a.b", Box::new(Copy)).unwrap();
        let mut answer = |input: [f32; 3]| {
            let mut output = [0.0; 3];
            let shape = FrameShape::dense(1, 3, 3);
            model.predict(&mut Frame::new(&input, &mut output, shape)?)
        };
        assert!(answer([0.2, 0.3, 0.5]).is_ok());
        for wrong in [
            [2.0, -1.5, 0.5],
            [0.2, 0.2, 0.2],
            [0.0, 0.0, 0.0],
            [1.0, 1.0, 1.0],
        ] {
            let error = answer(wrong).unwrap_err();
            assert!(error.message().contains("add up to 1"), "{error}");
        }
    }

    #[test]
    fn a_fit_that_gives_another_model_is_refused() {
        let named = |features: [&str; 2]| {
            let info = ModelInfo::new(Task::Regression, &["next"]);
            info.with_features(&features.map(str::to_owned))
        };
        assert!(fit(named(["a", "b"])).is_ok());
        let error = fit(named(["b", "a"])).err().unwrap();
        assert!(error.message().contains("another order"), "{error}");
        let mut wide = ModelInfo::new(Task::Quantiles { levels: vec![0.5] }, &["x", "y"]);
        wide.columns = Some(9);
        let error = fit(wide).err().unwrap();
        for words in [
            "another task",
            "2 values instead of 1",
            "9 features instead of 2",
        ] {
            assert!(error.message().contains(words), "{words} not in {error}");
        }
    }

    #[test]
    fn a_learner_with_windows_of_no_steps_is_refused() {
        let describe = |default_steps, max_steps| {
            let info = ModelInfo::new(Task::Regression, &["next"]);
            let input = InputShape::Window {
                default_steps,
                max_steps,
            };
            stubborn(info, input).describe()
        };
        assert!(describe(64, 256).is_ok());
        for (default_steps, max_steps) in [(0, 10), (11, 10), (u32::MAX, u32::MAX)] {
            let error = describe(default_steps, max_steps).unwrap_err();
            assert!(error.message().contains("makes no sense"), "{error}");
        }
    }

    fn predict(model: &mut GuardedModel, input: &[f32], columns: usize) -> Result<Vec<f32>> {
        let rows = input.len() / columns;
        let mut output = vec![0.0; rows];
        let shape = FrameShape::dense(rows, columns, 1);
        model.predict(&mut Frame::new(input, &mut output, shape)?)?;
        Ok(output)
    }

    #[test]
    fn an_answer_that_is_no_number_names_plugin_row_and_column() {
        let mut model = GuardedModel::new("a.b", Box::new(Echo)).unwrap();
        let error = predict(&mut model, &[1.0, f32::NAN], 1).unwrap_err();
        assert_eq!(error.status(), Status::Data);
        let expected = "a.b: answered NaN in row 1, column 0 (`echo`)";
        assert!(error.message().starts_with(expected), "{error}");
        assert_eq!(
            predict(&mut model, &[2.0], 1).unwrap(),
            [2.0],
            "the model lives on"
        );
        assert_eq!(
            model.stats(),
            GuardStats {
                calls: 2,
                rows: 3,
                errors: 1
            }
        );
    }

    #[test]
    fn a_frame_of_another_shape_does_not_reach_the_model() {
        let mut model = GuardedModel::new("a.b", Box::new(Echo)).unwrap();
        let error = predict(&mut model, &[13.0, 13.0], 2).unwrap_err();
        assert_eq!(error.status(), Status::Argument);
        assert!(!model.is_poisoned());
    }

    #[test]
    fn a_panic_poisons_the_model() {
        let mut model = GuardedModel::new("a.b", Box::new(Echo)).unwrap();
        assert_eq!(
            predict(&mut model, &[14.0], 1).unwrap_err().status(),
            Status::Panic
        );
        assert_eq!(
            predict(&mut model, &[1.0], 1).unwrap_err().status(),
            Status::State
        );
        assert!(model.is_poisoned());
    }
}
