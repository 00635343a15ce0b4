//! A live model as the session's source of signals: probabilities of down, flat and up, each with
//! the generation that gave them, and failures for the strategy's fail-safe.

use fusebox_engine::fusion::{FailureReason, ModelInfo, ModelRef, Prediction, PredictionFailure};
use fusebox_engine::ports::{Answers, SignalError, SignalSource};
use fusebox_engine::types::{Bar, SymbolId, Timestamp};
use fusebox_loader::guard::FailureKind;
use fusebox_loader::live::Generation;

use super::server::{MisfitError, ModelServer};

/// Classes of a direction model.
const CLASSES: usize = 3;

/// A [`SignalSource`] over one live model. Every generation that answers becomes a model of its
/// own in the session, under the same name.
#[derive(Debug)]
pub struct LiveSignals {
    name: String,
    server: ModelServer,
    models: Vec<ModelInfo>,
    /// The generation of each model, in the same order.
    generations: Vec<u64>,
}

impl LiveSignals {
    /// Signals of `server`, whose generations go by `name`.
    ///
    /// # Errors
    /// [`MisfitError`] where the model does not answer with three probabilities.
    pub fn new(name: &str, server: ModelServer) -> Result<Self, MisfitError> {
        let outputs = server.outputs().len();
        if outputs != CLASSES {
            return Err(MisfitError {
                model: name.to_owned(),
                problems: vec![format!(
                    "it answers {outputs} values; signals need the probabilities of down, flat \
                     and up"
                )],
            });
        }
        let first = model_info(name, server.model().generation());
        let generations = vec![first.generation];
        Ok(Self {
            name: name.to_owned(),
            server,
            models: vec![first],
            generations,
        })
    }

    /// Lets generations change hands while no bar closes.
    pub fn poll(&mut self) {
        self.server.poll();
    }

    /// The server behind the signals.
    #[must_use]
    pub fn server(&self) -> &ModelServer {
        &self.server
    }
}

/// The session's reference to a generation; one that is new becomes the last of `models`.
fn reference(
    name: &str,
    generation: &Generation,
    models: &mut Vec<ModelInfo>,
    generations: &mut Vec<u64>,
) -> ModelRef {
    let known = generations
        .iter()
        .rposition(|one| *one == generation.number);
    let position = known.unwrap_or_else(|| {
        models.push(model_info(name, generation));
        generations.push(generation.number);
        models.len() - 1
    });
    ModelRef(u32::try_from(position).unwrap_or(u32::MAX))
}

fn model_info(name: &str, generation: &Generation) -> ModelInfo {
    let weights = generation
        .weights
        .as_ref()
        .map(|weights| weights.sha256.clone());
    let library = || generation.loaded.digest().map(str::to_owned);
    ModelInfo {
        name: name.to_owned(),
        version: generation.version().to_owned(),
        digest: weights.or_else(library).unwrap_or_default(),
        generation: generation.number,
        fold: None,
    }
}

fn reason(kind: FailureKind) -> FailureReason {
    match kind {
        FailureKind::Nan => FailureReason::Nan,
        FailureKind::Deadline => FailureReason::Deadline,
        FailureKind::Panic => FailureReason::Panic,
        FailureKind::Crash => FailureReason::Crash,
        FailureKind::Shape => FailureReason::Shape,
        FailureKind::BreakerOpen => FailureReason::BreakerOpen,
        FailureKind::Poisoned => FailureReason::Poisoned,
        FailureKind::OutOfBounds => FailureReason::OutOfBounds,
        _ => FailureReason::Error,
    }
}

impl SignalSource for LiveSignals {
    fn models(&self) -> &[ModelInfo] {
        &self.models
    }

    fn predict(
        &mut self,
        closed_at: Timestamp,
        bars: &[Option<&Bar>],
        answers: &mut Answers,
    ) -> Result<(), SignalError> {
        let served = self
            .server
            .step(closed_at, bars)
            .map_err(|error| SignalError {
                closed_at,
                message: error.to_string(),
            })?;
        let Some(served) = served else {
            return Ok(());
        };
        let model = reference(
            &self.name,
            served.generation,
            &mut self.models,
            &mut self.generations,
        );
        for (position, symbol) in served.symbols.iter().map(|id| SymbolId(*id)).enumerate() {
            match (
                &served.result,
                <[f32; CLASSES]>::try_from(served.answers(position)),
            ) {
                (Ok(_), Ok(probabilities)) => answers.predictions.push(Some(Prediction {
                    symbol,
                    closed_at,
                    probabilities,
                    model,
                })),
                (Err(error), _) => answers.failures.push(PredictionFailure {
                    symbol,
                    model,
                    reason: reason(error.kind),
                }),
                (Ok(_), Err(_)) => answers.failures.push(PredictionFailure {
                    symbol,
                    model,
                    reason: FailureReason::Shape,
                }),
            }
        }
        Ok(())
    }
}
