//! The one guard between the house and any model: shapes, finite answers, panics, counts.
//!
//! Everything a loaded plugin hands out is wrapped here, so no other stage checks a plugin again.
//! After a panic the model answers nothing more.

use std::panic::{AssertUnwindSafe, catch_unwind};

use fusebox_plugin_api::error::{PluginError, Result, Status};
use fusebox_plugin_api::ext::{Explain, Incremental, OnnxExport, Quantiles};
use fusebox_plugin_api::frame::Frame;
use fusebox_plugin_api::model::{FitRequest, Learner, LearnerInfo, Model, ModelInfo, Snapshot};

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

    /// Refuses NaN and infinity: nothing behind the guard handles them.
    fn check_answers(&self, frame: &Frame<'_>) -> Result<()> {
        if frame.is_replay() {
            return Ok(());
        }
        for row in 0..frame.rows() {
            let answers = frame.output_row(row);
            if let Some(column) = answers.iter().position(|answer| !answer.is_finite()) {
                return Err(PluginError::data(format!(
                    "{}: answered {} in row {row}, column {column} (`{}`); predictions must be \
                     finite numbers",
                    self.plugin, answers[column], self.info.outputs[column]
                )));
            }
        }
        Ok(())
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
        self.learner.describe()
    }

    fn fit(&self, request: FitRequest<'_>) -> Result<Box<dyn Model>> {
        let model = self.learner.fit(request)?;
        Ok(Box::new(GuardedModel::new(&self.plugin, model)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fusebox_plugin_api::frame::FrameShape;
    use fusebox_plugin_api::model::Task;

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
