//! A plugin in worker processes: what it is, and where its models and learners come from.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use fusebox_plugin_api::config::Config;
use fusebox_plugin_api::error::Result;
use fusebox_plugin_api::model::{Learner, Model};
use serde::de::DeserializeOwned;

use super::handle::{CallError, OpenWorker, Worker};
use super::learner::{WorkerLearner, is_lost};
use super::model::WorkerModel;
use super::process::lock;
use super::recipe::{Recipe, Source, create};
use crate::backend::OpenPlugin;
use crate::worker::wire::{Ask, Opened};
use fusebox_plugin_api::abi::{LEARNER_ID, MODEL_ID};

/// Answers of factories that are remembered.
const MOST_FACTORIES: usize = 64;

/// A plugin whose code runs in other processes.
#[derive(Debug)]
pub(super) struct WorkerPlugin {
    desk: Arc<Desk>,
    factories: Mutex<BTreeMap<String, bool>>,
}

/// The worker that no model has taken yet; it answers questions about the plugin itself.
#[derive(Debug)]
pub(super) struct Desk {
    source: Source,
    opened: Opened,
    worker: Mutex<Option<Worker>>,
}

impl Desk {
    pub(super) fn id(&self) -> &str {
        &self.opened.id
    }

    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    /// Takes the worker away, or starts one.
    pub(super) fn take(&self) -> Result<Worker> {
        let waiting = lock(&self.worker).take().filter(|worker| !worker.is_dead());
        match waiting {
            Some(worker) => Ok(worker),
            None => Ok(self.source.open(&mut |_| {})?.worker),
        }
    }

    /// Asks the worker at the desk, which is started where there is none.
    pub(super) fn ask<T: DeserializeOwned>(&self, doing: &str, ask: &Ask) -> Result<T> {
        let mut worker = self.take()?;
        let answer = worker.ask(doing, ask, &[]);
        if !answer.as_ref().is_err_and(is_lost) {
            self.give_back(worker);
        }
        Ok(answer?.0)
    }

    /// Puts a worker without a model back, unless somebody else did.
    fn give_back(&self, worker: Worker) {
        let mut place = lock(&self.worker);
        if place.is_none() {
            *place = Some(worker);
        }
    }
}

impl WorkerPlugin {
    /// The plugin that a first worker opened.
    pub(super) fn new(source: Source, first: OpenWorker) -> Self {
        let OpenWorker { worker, opened } = first;
        let factories = [
            (MODEL_ID.to_owned(), opened.has_model),
            (LEARNER_ID.to_owned(), opened.has_learner),
        ];
        Self {
            desk: Arc::new(Desk {
                source,
                opened,
                worker: Mutex::new(Some(worker)),
            }),
            factories: Mutex::new(factories.into()),
        }
    }
}

impl OpenPlugin for WorkerPlugin {
    fn id(&self) -> &str {
        &self.desk.opened.id
    }

    fn version(&self) -> &str {
        &self.desk.opened.version
    }

    fn capabilities(&self) -> u64 {
        self.desk.opened.capabilities
    }

    fn has_factory(&self, id: &str) -> bool {
        let mut known = lock(&self.factories);
        if let Some(answer) = known.get(id) {
            return *answer;
        }
        let ask = Ask::HasFactory { id: id.to_owned() };
        let Ok(answer) = self.desk.ask::<bool>("the question for a factory", &ask) else {
            // A plugin that dies of the question has no such table.
            return false;
        };
        if known.len() < MOST_FACTORIES {
            known.insert(id.to_owned(), answer);
        }
        answer
    }

    fn learner(&self) -> Option<Box<dyn Learner>> {
        let desk = Arc::clone(&self.desk);
        let has_learner = desk.opened.has_learner;
        has_learner.then(|| Box::new(WorkerLearner::new(desk)) as Box<dyn Learner>)
    }

    fn create_model(&self, config: &Config, artifact: &[u8]) -> Result<Box<dyn Model>> {
        let mut worker = self.desk.take()?;
        let facts = match create(&mut worker, config, artifact) {
            Ok(facts) => facts,
            Err(error) => {
                if let CallError::Refused(_) = &error {
                    self.desk.give_back(worker);
                }
                return Err(error.into());
            }
        };
        let recipe = Recipe {
            source: self.desk.source.clone(),
            config: config.clone(),
            artifact: Arc::new(artifact.to_vec()),
        };
        let options = Arc::clone(&self.desk.source.options);
        let model = WorkerModel::new(self.desk.id(), options, worker, facts, Ok(recipe));
        Ok(Box::new(model))
    }
}
