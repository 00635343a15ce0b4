//! The guard of a learner: what it says of itself, and that a fit gives what was asked for.

use fusebox_plugin_api::error::{PluginError, Result};
use fusebox_plugin_api::model::{FitRequest, InputShape, Learner, LearnerInfo, Model, Task};
use fusebox_plugin_api::schema::DatasetSchema;

use super::GuardedModel;

/// A window longer than this is a plugin's mistake.
const MAX_WINDOW_STEPS: u32 = 1 << 20;

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

impl GuardedModel {
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
