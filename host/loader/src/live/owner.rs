//! The side that predicts: one thread, one live model, generations that change between two events.
//!
//! A prediction takes one relaxed load more than the guard where nothing happens, and a copy of its
//! rows into the history. Everything else (taking over, going back, giving away) happens between
//! two predictions, and nothing of it waits for another thread. Instances are never destroyed here;
//! they go back to the side that prepares.

use std::sync::Arc;

use fusebox_plugin_api::error::PluginError;
use fusebox_plugin_api::frame::Frame;
use fusebox_plugin_api::model::{Model, ModelInfo};

use super::facts::{Generation, Instance};
use super::history::{History, RowShape};
use super::link::{
    Basis, Command, Handed, Handover, Link, Notice, Promoted, RolledBack, SyncRequest, Synced,
};
use super::policy::SwapPolicy;
use super::probation::Probation;
use super::state::{Reason, Rejection, State};
use super::tap::Tap;
use crate::clock::Clock;
use crate::guard::FailureKind;

/// Most commands that are carried out between two events.
const COMMANDS_PER_EVENT: usize = 4;

/// Who answered, and what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered {
    /// The generation that answered every row of the frame.
    pub generation: u64,
    /// Number of the frame's first row, counted over all generations.
    pub first_row: u64,
}

/// Why a frame was not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("generation {generation}: {source}")]
pub struct LiveError {
    /// The generation that was asked last.
    pub generation: u64,
    /// What happened.
    pub kind: FailureKind,
    /// What it said.
    pub source: PluginError,
}

/// A model whose generations are replaced while it is used. One thread at a time uses it.
#[derive(Debug)]
pub struct LiveModel {
    link: Arc<Link>,
    clock: Arc<dyn Clock>,
    policy: SwapPolicy,
    active: Instance,
    parked: Option<Parked>,
    probation: Option<Probation>,
    /// The generation whose end was told already.
    told_down: Option<u64>,
    history: Option<History>,
    tap: Option<Tap>,
}

/// The generation before, waiting.
#[derive(Debug)]
struct Parked {
    instance: Instance,
    /// Rows seen when it answered last.
    row: u64,
}

impl LiveModel {
    pub(crate) fn new(
        active: Instance,
        policy: SwapPolicy,
        clock: Arc<dyn Clock>,
        link: Arc<Link>,
    ) -> Self {
        active.generation.set_state(State::Promoted);
        Self {
            link,
            clock,
            policy,
            active,
            parked: None,
            probation: None,
            told_down: None,
            history: None,
            tap: None,
        }
    }

    /// What the model takes and answers. Generations that differ in this do not take over.
    #[must_use]
    pub fn info(&self) -> &ModelInfo {
        self.active.model.known_info()
    }

    /// The generation that answers now.
    #[must_use]
    pub fn generation(&self) -> &Arc<Generation> {
        &self.active.generation
    }

    /// The generation that waits to take over again, during a probation.
    #[must_use]
    pub fn parked(&self) -> Option<&Arc<Generation>> {
        self.parked
            .as_ref()
            .map(|parked| &parked.instance.generation)
    }

    /// Rows seen so far, over all generations.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.history.as_ref().map_or(0, History::seen)
    }

    /// Answers every row of the frame by one generation.
    ///
    /// # Errors
    /// [`LiveError`] where the generation gives no answer, and none can step in for it.
    pub fn predict(&mut self, frame: &mut Frame<'_>) -> Result<Answered, LiveError> {
        self.poll();
        let first_row = self.rows();
        let mut result = self.active.model.predict(frame);
        if let Some(probation) = &mut self.probation {
            match &result {
                Ok(()) => probation.count_answer(),
                Err(_) => {
                    let kind = self.active.model.last_failure();
                    if let Some(reason) =
                        probation.count_failure(kind.unwrap_or(FailureKind::Error))
                        && self.go_back(reason)
                    {
                        result = self.active.model.predict(frame);
                    }
                }
            }
        }
        if let Err(error) = &result
            && self.active.model.is_poisoned()
        {
            self.tell_down(error);
        }
        let generation = self.active.generation.number;
        let kind = self.active.model.last_failure();
        if kind != Some(FailureKind::Shape) {
            self.remember(frame, result.is_ok());
        }
        match result {
            Ok(()) => Ok(Answered {
                generation,
                first_row,
            }),
            Err(source) => Err(LiveError {
                generation,
                kind: kind.unwrap_or(FailureKind::Error),
                source,
            }),
        }
    }

    /// Says once that the live generation answers nothing more.
    #[cold]
    fn tell_down(&mut self, error: &PluginError) {
        let generation = &self.active.generation;
        if self.told_down == Some(generation.number) {
            return;
        }
        self.told_down = Some(generation.number);
        let reason = match self.active.model.last_failure() {
            Some(FailureKind::OutOfBounds) => Reason::OutOfBounds,
            _ => Reason::Panic,
        };
        let rejection = Rejection::new(reason, error.to_string());
        self.link
            .notify(Notice::Down(Arc::clone(generation), rejection));
    }

    /// Carries out what the preparing side asks for. `predict` does so too; a loop that has no
    /// event for a while calls it, so that a change need not wait for the next one.
    #[inline]
    pub fn poll(&mut self) {
        if self.link.has_mail() {
            self.read_mail();
        }
    }

    #[cold]
    fn read_mail(&mut self) {
        for _ in 0..COMMANDS_PER_EVENT {
            match self.link.receive() {
                Some(Command::Sync(request)) => self.sync(request),
                Some(Command::Promote(handover)) => self.take_over(*handover),
                Some(Command::GoBack(reason, port)) => {
                    let is_back = self.go_back(reason);
                    port.put(is_back);
                }
                Some(Command::DropParked) => self.drop_parked(),
                None => return,
            }
        }
    }

    /// Writes down what was seen, for generations to come and the one that waits.
    fn remember(&mut self, frame: &Frame<'_>, answered: bool) {
        if frame.rows() == 0 || frame.is_replay() {
            return;
        }
        let shape = RowShape::of(frame);
        if self.history.as_ref().map(History::shape) != Some(shape) {
            self.restart_history(shape);
        }
        if let Some(history) = &mut self.history {
            history.push(frame);
            self.link.set_rows(history.seen());
        }
        if let Some(tap) = &self.tap
            && !tap.push(frame, answered)
        {
            self.tap = None;
        }
        if self.probation.is_some() {
            self.end_probation_in_time();
        }
    }

    /// Takes memory for rows of this shape: once, unless the caller changes the shape.
    #[cold]
    fn restart_history(&mut self, shape: RowShape) {
        let (rows, bytes) = (self.policy.history_rows, self.policy.history_bytes);
        self.history = Some(match &self.history {
            Some(history) => history.restarted(shape, rows, bytes),
            None => History::new(shape, rows, bytes),
        });
        self.tap = None;
        self.link.set_shape(shape);
    }

    fn end_probation_in_time(&mut self) {
        let rows = self.rows();
        let is_over = self.probation.as_ref().is_none_or(|one| one.is_over(rows));
        // Once rows are lost, the one that waits could not be brought up to date any more.
        let is_lost = match (&self.parked, &self.history) {
            (Some(parked), Some(history)) => !history.reaches(parked.row),
            _ => true,
        };
        if is_over || is_lost {
            self.probation = None;
            let generation = Arc::clone(&self.active.generation);
            generation.set_state(State::Promoted);
            self.link.notify(Notice::ProbationPassed(generation));
            self.retire_parked();
        }
    }

    fn retire_parked(&mut self) {
        if let Some(parked) = self.parked.take() {
            self.retire(parked.instance);
        }
    }

    fn drop_parked(&mut self) {
        if self.probation.take().is_some() {
            self.active.generation.set_state(State::Promoted);
            self.link.notify(Notice::ProbationCut);
        }
        self.retire_parked();
    }

    fn retire(&self, instance: Instance) {
        instance.generation.set_state(State::Retired);
        self.link.notify(Notice::Retired(instance));
    }

    fn sync(&mut self, request: SyncRequest) {
        let snapshot = self.active.model.snapshot();
        let history = match (request.history, &self.history) {
            (Some(memory), Some(history)) => Some(match memory {
                Some(mut memory) => {
                    memory.copy_from(history);
                    memory
                }
                None => Box::new(history.clone()),
            }),
            _ => None,
        };
        let row = self.rows();
        self.tap = request.tap;
        request.port.put(Synced {
            snapshot,
            row,
            history,
        });
    }

    /// Lets another generation take over, with the state that it has to have.
    fn take_over(&mut self, handover: Handover) {
        let started_ns = self.clock.now_ns();
        let Handover {
            mut instance,
            basis,
            probation,
            port,
        } = handover;
        let row = self.rows();
        let replayed = match self.bring_up_to_date(&mut instance, basis) {
            Ok(Some(replayed)) => replayed,
            Ok(None) => return port.put(Handed::Behind(instance)),
            Err(rejection) => return port.put(Handed::Refused(instance, rejection)),
        };
        self.tap = None;
        let before = std::mem::replace(&mut self.active, instance);
        let is_in_probation = probation.rows > 0;
        self.park(before, row, is_in_probation);
        self.probation = is_in_probation.then(|| Probation::new(probation, row));
        let state = if is_in_probation {
            State::Probation
        } else {
            State::Promoted
        };
        self.active.generation.set_state(state);
        self.link.set_active(&self.active.generation);
        port.put(Handed::Promoted(Promoted {
            row,
            replayed,
            pause_ns: self.clock.now_ns().saturating_sub(started_ns),
            is_in_probation,
        }));
    }

    /// Puts the generation that answered so far aside. Where it was in probation itself, the one
    /// behind it stays the one to go back to, because that one is proven.
    fn park(&mut self, before: Instance, row: u64, is_kept: bool) {
        if !is_kept {
            self.retire_parked();
            return self.retire(before);
        }
        let was_in_probation = self.probation.is_some();
        let is_current = was_in_probation && self.bring_parked_up_to_date().is_ok();
        if is_current {
            self.retire(before);
        } else {
            self.retire_parked();
            self.parked = Some(Parked {
                instance: before,
                row,
            });
        }
    }

    /// Gives how many rows the instance was shown, or nothing where it is too many behind.
    fn bring_up_to_date(
        &mut self,
        instance: &mut Instance,
        basis: Basis,
    ) -> Result<Option<u64>, Rejection> {
        let refuse = |error: PluginError| Rejection::of_plugin(Reason::CatchUp, &error);
        let Some(history) = &mut self.history else {
            return Ok(Some(0));
        };
        let from = match basis {
            Basis::Nothing => return Ok(Some(0)),
            Basis::Snapshot => {
                let snapshot = self.active.model.snapshot().map_err(refuse)?;
                instance.model.restore(&snapshot).map_err(refuse)?;
                return Ok(Some(0));
            }
            Basis::At(row) if !history.reaches(row) => return Ok(None),
            Basis::At(row) => row,
            Basis::Rows(rows) => history.seen().saturating_sub(rows),
        };
        let replayed = history.replay(&mut instance.model, from).map_err(refuse)?;
        if instance.model.is_poisoned() {
            let message = "it panicked while it was shown the newest rows; see the log";
            return Err(Rejection::new(Reason::Panic, message));
        }
        Ok(Some(replayed.rows))
    }

    fn bring_parked_up_to_date(&mut self) -> Result<u64, Rejection> {
        let Some(mut parked) = self.parked.take() else {
            let message = "no generation waits any more";
            return Err(Rejection::new(Reason::CatchUp, message));
        };
        let outcome = self.bring_up_to_date(&mut parked.instance, Basis::At(parked.row));
        parked.row = self.rows();
        self.parked = Some(parked);
        match outcome {
            Ok(Some(rows)) => Ok(rows),
            Ok(None) => {
                let message = "rows that the waiting generation needs are gone";
                Err(Rejection::new(Reason::CatchUp, message))
            }
            Err(rejection) => Err(rejection),
        }
    }

    /// Lets the generation before take over again. Gives whether it did.
    #[cold]
    fn go_back(&mut self, reason: Reason) -> bool {
        let started_ns = self.clock.now_ns();
        let brought = self.bring_parked_up_to_date();
        let message = self.probation.take().map(|probation| probation.summary());
        let parked = match (brought, self.parked.take()) {
            (Ok(_), Some(parked)) => parked,
            (brought, parked) => {
                let Err(rejection) = brought else {
                    return false;
                };
                if let Some(parked) = parked {
                    self.retire(parked.instance);
                    let generation = Arc::clone(&self.active.generation);
                    generation.set_state(State::Promoted);
                    self.link
                        .notify(Notice::RollbackFailed(generation, rejection));
                }
                return false;
            }
        };
        let bad = std::mem::replace(&mut self.active, parked.instance);
        self.tap = None;
        bad.generation.set_state(State::Retired);
        self.active.generation.set_state(State::Promoted);
        self.link.set_active(&self.active.generation);
        self.link.notify(Notice::RolledBack(RolledBack {
            bad,
            to: Arc::clone(&self.active.generation),
            reason,
            message: message.unwrap_or_default(),
            row: self.rows(),
            pause_ns: self.clock.now_ns().saturating_sub(started_ns),
        }));
        true
    }
}

impl Drop for LiveModel {
    fn drop(&mut self) {
        self.link.close();
    }
}
