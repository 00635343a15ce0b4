//! A fit with XGBoost: dataset -> XGBoost matrices -> boosting rounds -> model as JSON.
//!
//! It equals the Python package's `xgboost.train` with the same parameters, data and seed, tree by
//! tree.

use std::ffi::CString;

use fusebox_plugin_api::prelude::*;

use super::Library;
use super::ffi::{Booster, Matrix};
use crate::booster::Trainer;
use crate::learner::Plan;
use crate::params::ClassWeight;
use crate::samples::Samples;

/// An unfinished fit.
#[derive(Debug)]
pub(crate) struct XgBoostTrainer {
    booster: Booster,
    train: Matrix,
    valid: Option<Matrix>,
}

impl XgBoostTrainer {
    /// Hands the rows over and takes up the trees of an earlier fit.
    pub(crate) fn start(library: &'static Library, plan: &Plan<'_>, threads: u32) -> Result<Self> {
        let train = training_matrix(library, plan)?;
        // Rows count as they are here: balancing classes is a means of learning, not a measure.
        let valid = plan.valid.as_ref().map(|valid| {
            let weights = valid.loss_weights(plan.task, ClassWeight::None);
            matrix(library, plan, valid, weights.as_deref())
        });
        let valid = valid.transpose()?;
        let matrices: Vec<&Matrix> = [Some(&train), valid.as_ref()]
            .into_iter()
            .flatten()
            .collect();
        let mut booster = Booster::new(library, &matrices)?;
        if let Some(text) = earlier_text(plan)? {
            booster.load(text)?;
        }
        let given = plan.circumstances(None, threads);
        for (name, value) in plan.params.xgboost_pairs(given)? {
            booster.set(name, &value)?;
        }
        Ok(Self {
            booster,
            train,
            valid,
        })
    }
}

/// The model that the plan goes on from.
pub(super) fn earlier_text<'a>(plan: &'a Plan<'_>) -> Result<Option<&'a CString>> {
    match plan.earlier_texts() {
        [] => Ok(None),
        [text] => Ok(Some(text)),
        texts => Err(PluginError::data(format!(
            "the trees to go on from are of {} models instead of one",
            texts.len()
        ))),
    }
}

/// The rows to learn from.
pub(super) fn training_matrix(library: &'static Library, plan: &Plan<'_>) -> Result<Matrix> {
    let weights = plan.train.loss_weights(plan.task, plan.params.class_weight);
    matrix(library, plan, &plan.train, weights.as_deref())
}

fn matrix(
    library: &'static Library,
    plan: &Plan<'_>,
    samples: &Samples<'_>,
    weights: Option<&[f32]>,
) -> Result<Matrix> {
    let mut matrix = Matrix::from_runs(library, &samples.runs, samples.columns)?;
    matrix.set(c"label", &samples.labels)?;
    if let Some(weights) = weights {
        matrix.set(c"weight", weights)?;
    }
    let categorical = plan.params.categorical(plan.features())?;
    if categorical.contains(&true) {
        matrix.set_categorical(&categorical)?;
    }
    Ok(matrix)
}

impl Trainer for XgBoostTrainer {
    /// XGBoost does not say whether it could split anything.
    fn update(&mut self, round: u32) -> Result<bool> {
        self.booster.update(round, &self.train)?;
        Ok(false)
    }

    fn metric(&mut self, round: u32) -> Result<Option<f64>> {
        let Some(valid) = &self.valid else {
            return Ok(None);
        };
        last_value(&self.booster.evaluate(round, valid)?).map(Some)
    }

    fn training_metric(&mut self, round: u32) -> Result<Option<f64>> {
        last_value(&self.booster.evaluate(round, &self.train)?).map(Some)
    }

    fn answers(&mut self) -> Result<Vec<f64>> {
        let Some(valid) = &self.valid else {
            return Ok(Vec::new());
        };
        let answers = self.booster.answers(valid)?;
        Ok(answers.into_iter().map(f64::from).collect())
    }

    fn iterations(&self) -> Result<usize> {
        self.booster.rounds()
    }

    fn to_texts(&mut self, iterations: Option<usize>) -> Result<Vec<CString>> {
        let text = match iterations {
            Some(rounds) if rounds < self.booster.rounds()? => {
                self.booster.first_rounds(rounds)?.to_text()
            }
            _ => self.booster.to_text(),
        };
        Ok(vec![text?])
    }
}

/// The value at the end of a line in which XGBoost tells of an evaluation.
fn last_value(line: &str) -> Result<f64> {
    let value = line.rsplit_once(':').map(|(_, value)| value.trim().parse());
    let value = value.and_then(std::result::Result::ok);
    value.ok_or_else(|| PluginError::internal(format!("XGBoost evaluates to `{line}`")))
}
