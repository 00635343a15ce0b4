//! A generation on its way: an instance, and how far it has followed the live one.

use std::sync::Arc;

use fusebox_plugin_api::error::Status;
use fusebox_plugin_api::model::Model;

use super::facts::{Instance, StateMode, is_stateless};
use super::link::Synced;
use super::state::{Reason, Rejection};
use crate::clock::Clock;

/// An instance that is being prepared.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) instance: Instance,
    pub(crate) mode: StateMode,
    /// Rows of the live model that its state stands for.
    pub(crate) row: u64,
    /// Whether it was used since it was made.
    is_used: bool,
}

/// What came of bringing a candidate in step.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum InStep {
    /// It stands where the live one stood.
    Yes { replayed: u64, note: String },
    /// The snapshot does not fit; the history is needed.
    NeedsHistory(String),
}

impl Candidate {
    pub(crate) fn new(instance: Instance) -> Self {
        Self {
            instance,
            mode: StateMode::Stateless,
            row: 0,
            is_used: false,
        }
    }

    /// A candidate whose instance has a state from earlier.
    pub(crate) fn used(instance: Instance) -> Self {
        Self {
            is_used: true,
            ..Self::new(instance)
        }
    }

    /// Marks that rows went through it.
    pub(crate) fn advance_to(&mut self, row: u64) {
        (self.row, self.is_used) = (row, true);
    }

    /// Takes over the state of the live generation: by its snapshot, else by replay.
    pub(crate) fn bring_in_step(
        &mut self,
        synced: Synced,
        replay_rows: usize,
        clock: &Arc<dyn Clock>,
    ) -> Result<InStep, Rejection> {
        let was_stateless = is_stateless(&synced.snapshot);
        let is_new_stateless = is_stateless(&self.instance.model.snapshot());
        if was_stateless && is_new_stateless {
            (self.mode, self.row) = (StateMode::Stateless, synced.row);
            let note = String::new();
            return Ok(InStep::Yes { replayed: 0, note });
        }
        let why = match &synced.snapshot {
            Ok(_) if was_stateless => "the generation before has no state".to_owned(),
            Ok(snapshot) => match self.instance.model.restore(snapshot) {
                Ok(()) => {
                    (self.mode, self.is_used) = (StateMode::Snapshot, true);
                    self.row = synced.row;
                    let note = format!(
                        "{} bytes of schema {}",
                        snapshot.bytes.len(),
                        snapshot.schema
                    );
                    return Ok(InStep::Yes { replayed: 0, note });
                }
                Err(error) if matches!(error.status(), Status::Panic | Status::Crashed) => {
                    return Err(Rejection::of_plugin(Reason::State, &error));
                }
                Err(error) => format!("the snapshot was refused: {error}"),
            },
            Err(error) => format!("there is no snapshot: {error}"),
        };
        self.mode = StateMode::Replay;
        self.replay(synced, replay_rows, clock, why)
    }

    fn replay(
        &mut self,
        synced: Synced,
        replay_rows: usize,
        clock: &Arc<dyn Clock>,
        why: String,
    ) -> Result<InStep, Rejection> {
        let Some(mut history) = synced.history else {
            if synced.row > 0 {
                return Ok(InStep::NeedsHistory(why));
            }
            self.row = 0;
            let note = format!("{why}; there are no rows to replay yet");
            return Ok(InStep::Yes { replayed: 0, note });
        };
        self.renew_if_used(clock)?;
        let from = history.seen().saturating_sub(replay_rows as u64);
        let replayed = history.replay(&mut self.instance.model, from);
        self.advance_to(synced.row);
        if self.instance.model.is_poisoned() {
            // A row that breaks every instance must not keep the model down for good.
            self.renew_if_used(clock)?;
            self.row = synced.row;
            let note = format!("{why}; it broke in the replay and starts without a state");
            return Ok(InStep::Yes { replayed: 0, note });
        }
        let replayed = replayed.map_err(|error| Rejection::of_plugin(Reason::State, &error))?;
        Ok(InStep::Yes {
            replayed: replayed.rows,
            note: format!("{why}; {} rows were replayed", replayed.rows),
        })
    }

    /// Makes a new instance where this one has seen rows: a replay begins from nothing.
    pub(crate) fn renew_if_used(&mut self, clock: &Arc<dyn Clock>) -> Result<(), Rejection> {
        if !self.is_used {
            return Ok(());
        }
        let refuse = |error| Rejection::of_plugin(Reason::Create, &error);
        let mut fresh = self.instance.generation.instance(clock).map_err(refuse)?;
        fresh.model.warmup().map_err(refuse)?;
        self.instance = fresh;
        self.is_used = false;
        Ok(())
    }
}
