//! A learner in a worker process: one process per fit, which then keeps the model it learned.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::vec::IntoIter;

use fusebox_plugin_api::env::{Actions, EnvReset, EnvStep, Environment};
use fusebox_plugin_api::error::{PluginError, Result, Status};
use fusebox_plugin_api::model::{FitRequest, Learner, LearnerInfo, Metric, Model, Progress};
use serde_json::Value;

use super::handle::{CallError, Listener, Question};
use super::model::WorkerModel;
use super::plugin::Desk;
use super::recipe::{Facts, Recipe};
use crate::worker::data::{DatasetHead, SpecHead};
use crate::worker::wire::{Ask, Blob, Failure, FitHead, Made, Reply, Say, unpack};

/// The learner of a plugin.
#[derive(Debug)]
pub(super) struct WorkerLearner {
    desk: Arc<Desk>,
}

impl WorkerLearner {
    pub(super) fn new(desk: Arc<Desk>) -> Self {
        Self { desk }
    }
}

impl Learner for WorkerLearner {
    fn describe(&self) -> Result<LearnerInfo> {
        let doing = "`describe`";
        self.desk.ask(doing, &Ask::Describe)
    }

    fn fit(&self, request: FitRequest<'_>) -> Result<Box<dyn Model>> {
        let mut worker = self.desk.take()?;
        let mut blobs = Vec::new();
        let train = DatasetHead::new(request.train, &mut blobs);
        let valid = request.valid.map(|rows| DatasetHead::new(rows, &mut blobs));
        blobs.extend(request.checkpoint.map(Blob::Bytes));
        let keys = request.config.keys();
        let config =
            keys.filter_map(|key| Some((key.to_owned(), request.config.value(key)?.clone())));
        let head = FitHead {
            task: serde_json::to_value(request.task)?,
            config: Value::Object(config.collect()),
            train,
            valid,
            environment: request
                .environment
                .as_ref()
                .map(|environment| SpecHead::from(environment.spec())),
            has_checkpoint: request.checkpoint.is_some(),
            seed: request.seed,
            max_threads: request.max_threads.max(1),
        };
        let plugin = self.desk.id();
        let mut listener = FitListener::new(plugin, request.progress, request.environment);
        let ask = Ask::Fit(Box::new(head));
        let question = Question {
            doing: "`fit`",
            ask: &ask,
            blobs: &blobs,
            limit_ms: None,
        };
        let answer = worker
            .call(&question, &mut listener)
            .and_then(|(value, blobs)| Ok((worker.parse::<Made>(value)?, blobs)));
        let (made, blobs) = answer?;
        let mut facts = Facts::read(made, blobs)?;
        let artifact = std::mem::replace(&mut facts.artifact, Ok(None));
        let recipe = artifact.map(|artifact| Recipe {
            source: self.desk.source().clone(),
            config: request.config.clone(),
            artifact: Arc::new(artifact.unwrap_or_default()),
        });
        let options = Arc::clone(&self.desk.source().options);
        Ok(Box::new(WorkerModel::new(
            plugin, options, worker, facts, recipe,
        )))
    }
}

/// Answers what a fit or an update asks its host.
pub(super) struct FitListener<'a> {
    plugin: String,
    progress: &'a mut dyn Progress,
    environment: Option<&'a mut dyn Environment>,
}

/// A reply's arrays.
type Arrays = Vec<Vec<u8>>;

impl<'a> FitListener<'a> {
    pub(super) fn new(
        plugin: &str,
        progress: &'a mut dyn Progress,
        environment: Option<&'a mut dyn Environment>,
    ) -> Self {
        Self {
            plugin: plugin.to_owned(),
            progress,
            environment,
        }
    }

    fn answer(&mut self, say: Say, blobs: Arrays) -> Result<Arrays> {
        let mut blobs = blobs.into_iter();
        match say {
            Say::Report {
                step,
                total,
                metrics,
            } => {
                let metrics: Vec<Metric<'_>> = metrics
                    .iter()
                    .map(|(name, bits)| Metric {
                        name,
                        value: f64::from_bits(*bits),
                    })
                    .collect();
                self.progress.report(step, total, &metrics)?;
                Ok(Vec::new())
            }
            Say::Checkpoint { step } => {
                let bytes = blobs.next().unwrap_or_default();
                self.progress.checkpoint(step, &bytes)?;
                Ok(Vec::new())
            }
            Say::EnvReset { has } => self.reset(has, blobs),
            Say::EnvStep { is_box, has } => self.step(is_box, has, blobs),
            Say::EnvClose => self.environment()?.close().map(|()| Vec::new()),
            Say::Done { .. } | Say::Failed(_) => Ok(Vec::new()),
        }
    }

    fn environment(&mut self) -> Result<&mut (dyn Environment + 'a)> {
        match &mut self.environment {
            Some(environment) => Ok(&mut **environment),
            None => Err(PluginError::state("this fit was lent no environment")),
        }
    }

    fn reset(&mut self, has: [bool; 3], mut blobs: IntoIter<Vec<u8>>) -> Result<Arrays> {
        let environment = self.environment()?;
        let seeds = numbers(blobs.next(), u64::from_le_bytes)?;
        let mask = blobs.next().unwrap_or_default();
        let mut observations = numbers(blobs.next(), f32::from_le_bytes)?;
        let mut action_mask = blobs.next().unwrap_or_default();
        let reset = EnvReset {
            seeds: has[0].then_some(&seeds),
            mask: has[1].then_some(&mask),
            observations: &mut observations,
            action_mask: has[2].then_some(&mut action_mask),
        };
        reset.check(environment.spec())?;
        environment.reset(reset)?;
        Ok(vec![
            bytes(&observations, |value| value.to_le_bytes()),
            action_mask,
        ])
    }

    fn step(
        &mut self,
        is_box: bool,
        has: [bool; 3],
        mut blobs: IntoIter<Vec<u8>>,
    ) -> Result<Arrays> {
        let environment = self.environment()?;
        let actions = blobs.next();
        let (continuous, discrete) = if is_box {
            (numbers(actions, f32::from_le_bytes)?, Vec::new())
        } else {
            (Vec::new(), numbers(actions, i64::from_le_bytes)?)
        };
        let mut observations = numbers(blobs.next(), f32::from_le_bytes)?;
        let mut rewards = numbers(blobs.next(), f32::from_le_bytes)?;
        let mut terminated = blobs.next().unwrap_or_default();
        let mut truncated = blobs.next().unwrap_or_default();
        let mut last = numbers(blobs.next(), f32::from_le_bytes)?;
        let mut infos = numbers(blobs.next(), f64::from_le_bytes)?;
        let mut action_mask = blobs.next().unwrap_or_default();
        let step = EnvStep {
            actions: if is_box {
                Actions::Continuous(&continuous)
            } else {
                Actions::Discrete(&discrete)
            },
            observations: &mut observations,
            rewards: &mut rewards,
            terminated: &mut terminated,
            truncated: &mut truncated,
            final_observations: has[0].then_some(&mut last),
            infos: has[1].then_some(&mut infos),
            action_mask: has[2].then_some(&mut action_mask),
        };
        step.check(environment.spec())?;
        environment.step(step)?;
        Ok(vec![
            bytes(&observations, |value| value.to_le_bytes()),
            bytes(&rewards, |value| value.to_le_bytes()),
            terminated,
            truncated,
            bytes(&last, |value| value.to_le_bytes()),
            bytes(&infos, |value| value.to_le_bytes()),
            action_mask,
        ])
    }
}

impl Listener for FitListener<'_> {
    fn is_cancelled(&mut self) -> bool {
        let progress = &*self.progress;
        // A listener that panics wants nothing more.
        catch_unwind(AssertUnwindSafe(|| progress.is_cancelled())).unwrap_or(true)
    }

    fn asked(&mut self, say: Say, blobs: Arrays) -> Option<(Reply, Arrays)> {
        let answer = catch_unwind(AssertUnwindSafe(|| self.answer(say, blobs)));
        let answer = answer.unwrap_or_else(|_| {
            let plugin = &self.plugin;
            let message = format!("{plugin}: the host panicked while its plugin was training");
            Err(PluginError::new(Status::Panic, message))
        });
        Some(match answer {
            Ok(arrays) => (Reply::Done, arrays),
            Err(error) => (Reply::Failed(Failure::from(&error)), Vec::new()),
        })
    }
}

fn numbers<T, const N: usize>(blob: Option<Vec<u8>>, of: impl Fn([u8; N]) -> T) -> Result<Vec<T>> {
    unpack(&blob.unwrap_or_default(), of)
        .ok_or_else(|| PluginError::argument("an array of the environment is torn"))
}

fn bytes<T: Copy, const N: usize>(values: &[T], of: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    values.iter().flat_map(|value| of(*value)).collect()
}

/// A worker that is dead or no longer sound is not used again.
pub(super) fn is_lost(error: &CallError) -> bool {
    !matches!(error, CallError::Refused(_))
}
