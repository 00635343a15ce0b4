//! The models of a session: those it began with, those that appear while it runs, and what stands
//! in for one that fails.

use super::{Session, StepError, StepInput};
use crate::fusion::{ModelInfo, ModelRef, Prediction, PredictionFailure};
use crate::journal::Event;
use crate::ports::JournalSink;
use crate::strategy::FailSafe;
use crate::types::{SymbolId, Timestamp};

/// The table of models.
#[derive(Debug, Default)]
pub(super) struct Models {
    infos: Vec<ModelInfo>,
    /// Whether a model's predictions are in use.
    activated: Vec<bool>,
    /// The first model of the same name; generations of one model share it.
    first: Vec<usize>,
    /// Newest good predictions, by symbol and first model of the name.
    last_good: Vec<Vec<Option<Prediction>>>,
}

impl Models {
    pub(super) fn new(infos: Vec<ModelInfo>, symbols: usize) -> Self {
        let mut models = Self {
            last_good: vec![Vec::new(); symbols],
            ..Self::default()
        };
        infos.into_iter().for_each(|info| models.push(info));
        models
    }

    pub(super) fn infos(&self) -> &[ModelInfo] {
        &self.infos
    }

    fn push(&mut self, info: ModelInfo) {
        let same = self.infos.iter().position(|known| known.name == info.name);
        self.first.push(same.unwrap_or(self.infos.len()));
        self.infos.push(info);
        self.activated.push(false);
        for of_symbol in &mut self.last_good {
            of_symbol.push(None);
        }
    }

    /// Whether this is the first time that a prediction of `model` is used.
    pub(super) fn activate(&mut self, model: ModelRef) -> bool {
        let activated = self.activated.get_mut(model.index());
        activated.is_some_and(|activated| !std::mem::replace(activated, true))
    }

    fn good(&mut self, symbol: SymbolId, model: ModelRef) -> Option<&mut Option<Prediction>> {
        let first = *self.first.get(model.index())?;
        self.last_good.get_mut(symbol.index())?.get_mut(first)
    }
}

impl Session {
    /// The models in the order of their references.
    #[must_use]
    pub fn models(&self) -> &[ModelInfo] {
        self.models.infos()
    }

    /// Takes a model that appeared while the session runs, such as the next generation of one that
    /// it knows, which inherits the weight of its name. Orders that follow its predictions name it.
    ///
    /// # Errors
    /// [`StepError::Fusion`] where predictions of this model could not be used: nothing has
    /// happened, and the session goes on. [`StepError::Journal`] where the event could not be kept;
    /// [`StepError::Halted`] where the session is over.
    pub fn add_model(
        &mut self,
        info: ModelInfo,
        journal: &mut dyn JournalSink,
    ) -> Result<ModelRef, StepError> {
        if self.halted {
            return Err(StepError::Halted);
        }
        // Positions are 32-bit numbers, far beyond the reloads of any session.
        let model = ModelRef(u32::try_from(self.models().len()).unwrap_or(u32::MAX));
        self.fusion.add_model(model, &info)?;
        // Before the first step the model belongs to the start of the session.
        if let Some(closed_at) = self.closed_at {
            self.halted = true;
            let added = Event::ModelAdded {
                model,
                info: info.clone(),
            };
            self.record(closed_at, added, journal)?;
            self.halted = false;
        }
        self.models.push(info);
        Ok(model)
    }

    /// Finds what is wrong with the predictions and failures of `input`.
    pub(super) fn check_answers(&self, input: &StepInput<'_>, problems: &mut Vec<String>) {
        let predicted = input.predictions.iter().flatten();
        let predicted = predicted.map(|one| (one.symbol, one.model));
        let failed = input.failures.iter().map(|one| (one.symbol, one.model));
        for (symbol, model) in predicted.clone().chain(failed.clone()) {
            if symbol.index() >= self.symbols.len() {
                problems.push(format!("there is no symbol {}", symbol.0));
            }
            if model.index() >= self.models().len() {
                problems.push(format!("there is no model {}", model.0));
            }
        }
        for prediction in input.predictions.iter().flatten() {
            if prediction.closed_at > input.closed_at {
                let from = prediction.closed_at;
                problems.push(format!("a prediction is from the future, {from}"));
            }
        }
        for (symbol, model) in failed {
            if predicted.clone().any(|one| one == (symbol, model)) {
                problems.push(format!(
                    "model {} both answered and failed for symbol {}",
                    model.0, symbol.0
                ));
            }
        }
    }

    /// Remembers a prediction that may have to stand in for a later one.
    pub(super) fn keep_good(&mut self, prediction: &Prediction) {
        if !matches!(self.fail_safe, FailSafe::LastGood { .. }) || !prediction.is_valid() {
            return;
        }
        if let Some(place) = self.models.good(prediction.symbol, prediction.model) {
            *place = Some(*prediction);
        }
    }

    /// The prediction that stands in for one that failed, where the policy has one that is not too
    /// old.
    fn stand_in(&mut self, failure: &PredictionFailure, at: Timestamp) -> Option<Prediction> {
        let FailSafe::LastGood { max_bars } = self.fail_safe else {
            return None;
        };
        let oldest = i64::from(max_bars).saturating_mul(self.time_frame.nanos());
        let good = (*self.models.good(failure.symbol, failure.model)?)?;
        (at.nanos_since(good.closed_at) <= oldest).then_some(good)
    }

    /// Journals the failures and gathers what stands in for them.
    pub(super) fn gather_failures(
        &mut self,
        input: &StepInput<'_>,
        journal: &mut dyn JournalSink,
    ) -> Result<(), StepError> {
        self.buffers.failed.clear();
        self.buffers.failed.resize(self.symbols.len(), None);
        for failure in input.failures {
            let stand_in = self.stand_in(failure, input.closed_at);
            let failed = Event::PredictionFailed {
                symbol: failure.symbol,
                model: failure.model,
                reason: failure.reason,
                stand_in_at_ns: stand_in.map(|good| good.closed_at),
            };
            self.record(input.closed_at, failed, journal)?;
            if !self.fusion.heeds(failure.model) {
                continue;
            }
            let symbol = failure.symbol.index();
            if let Some(failed) = self.buffers.failed.get_mut(symbol) {
                failed.get_or_insert(failure.model);
            }
            if let Some(gathered) = self.buffers.gathered.get_mut(symbol) {
                gathered.extend(stand_in);
            }
        }
        Ok(())
    }
}
