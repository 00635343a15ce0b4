//! The second half of a reload: following the live generation, and taking its place.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use fusebox_plugin_api::model::Model;

use super::{Outcome, PARCELS_PER_STEP, Progress, Reload, Shadowing, Stage};
use crate::live::candidate::{Candidate, InStep};
use crate::live::facts::{Generation, Instance, StateMode};
use crate::live::golden;
use crate::live::history::History;
use crate::live::link::{
    Basis, Command, Handed, Handover, Link, Port, Promoted, SyncRequest, Synced, basis_of,
};
use crate::live::shadow::Comparison;
use crate::live::state::{Reason, Rejection, State};
use crate::live::tap::{Tap, Tapped, tap};

impl Reload {
    pub(super) fn begin_sync(
        &mut self,
        candidate: Candidate,
    ) -> Result<(Stage, Progress), Rejection> {
        let Some(link) = self.link.clone() else {
            self.enter(State::Restored, Some(Reason::SkippedFirst), String::new());
            return Ok((Stage::Restored(candidate), Progress::Moved));
        };
        let port = self.request_sync(&link, None);
        Ok((Stage::Syncing(candidate, port), Progress::Moved))
    }

    fn request_sync(&self, link: &Link, tap: Option<Tap>) -> Arc<Port<Synced>> {
        let port = Port::new(&self.signal);
        let policy = &self.plan.swap;
        let memory = || {
            let (rows, bytes) = (policy.history_rows, policy.history_bytes);
            let shape = link.shape()?;
            Some(Box::new(History::new(shape, rows, bytes)))
        };
        link.send(Command::Sync(SyncRequest {
            history: self.needs_history.then(memory),
            tap,
            port: Arc::clone(&port),
        }));
        port
    }

    pub(super) fn restore(
        &mut self,
        mut candidate: Candidate,
        port: Arc<Port<Synced>>,
    ) -> Result<(Stage, Progress), Rejection> {
        let Some(synced) = port.take() else {
            self.check_open()?;
            return Ok((Stage::Syncing(candidate, port), Progress::Waiting(None)));
        };
        let rows = self.plan.swap.replay_rows;
        match candidate.bring_in_step(synced, rows, &self.env.clock)? {
            InStep::NeedsHistory(_) => {
                self.needs_history = true;
                self.begin_sync(candidate)
            }
            InStep::Yes { note, .. } => {
                let is_stateless = candidate.mode == StateMode::Stateless;
                let reason = is_stateless.then_some(Reason::SkippedStateless);
                self.enter(State::Restored, reason, note);
                let generation = &candidate.instance.generation;
                generation.set_took_over(candidate.mode);
                generation.set_state(State::Restored);
                Ok((Stage::Restored(candidate), Progress::Moved))
            }
        }
    }

    pub(super) fn warm(
        &mut self,
        mut candidate: Candidate,
    ) -> Result<(Stage, Progress), Rejection> {
        let warmed = candidate.instance.model.warmup();
        warmed.map_err(|error| Rejection::of_plugin(Reason::Warmup, &error))?;
        self.enter(State::Warmed, None, String::new());
        candidate.instance.generation.set_state(State::Warmed);
        Ok((Stage::Warmed(candidate), Progress::Moved))
    }

    pub(super) fn check_golden(
        &mut self,
        candidate: Candidate,
    ) -> Result<(Stage, Progress), Rejection> {
        let sets = std::mem::take(&mut self.golden);
        let generation = Arc::clone(&candidate.instance.generation);
        for set in &sets {
            let refuse = |error| Rejection::of_plugin(Reason::Golden, &error);
            let config = set.golden.config_or(&generation.config).map_err(refuse)?;
            let artifact = set.artifact.as_deref().unwrap_or(&generation.artifact);
            let fresh = generation.loaded.create_guarded(&config, artifact);
            golden::check(&mut fresh.map_err(refuse)?, set)?;
        }
        let reason = sets.is_empty().then_some(Reason::SkippedNoGolden);
        self.enter(State::GoldenChecked, reason, String::new());
        generation.set_state(State::GoldenChecked);
        Ok((Stage::Checked(candidate), Progress::Moved))
    }

    pub(super) fn begin_shadow(
        &mut self,
        candidate: Candidate,
    ) -> Result<(Stage, Progress), Rejection> {
        let Some(link) = self.link.clone() else {
            self.enter(State::Shadow, Some(Reason::SkippedFirst), String::new());
            let outcome = Outcome::Ready(Box::new(candidate.instance));
            return Ok((Stage::Over(Some(outcome)), Progress::Done));
        };
        if self.plan.swap.shadow_rows == 0 {
            self.enter(State::Shadow, Some(Reason::SkippedPolicy), String::new());
            let basis = basis_of(candidate.mode, candidate.row);
            return self.hand_over(candidate, basis);
        }
        let Some(shape) = link.shape() else {
            // No row was seen yet, so nobody knows how wide they are.
            self.check_open()?;
            let until = self.env.clock.now_ns() + 5_000_000;
            return Ok((Stage::Checked(candidate), Progress::Waiting(Some(until))));
        };
        candidate.instance.generation.set_state(State::Shadow);
        let metrics = Arc::clone(&candidate.instance.generation.metrics);
        let (tap, reader) = tap(shape, self.plan.swap.shadow_rows, &metrics);
        let port = self.request_sync(&link, Some(tap));
        let shadowing = Shadowing {
            candidate,
            reader: Some(reader),
            comparison: Comparison::default(),
        };
        Ok((Stage::ShadowSync(shadowing, port), Progress::Moved))
    }

    pub(super) fn check_interface(&self, instance: &Instance) -> Result<(), Rejection> {
        let Some(link) = &self.link else {
            return Ok(());
        };
        let problems = instance.differences(link.info());
        if problems.is_empty() {
            return Ok(());
        }
        Err(Rejection::new(
            Reason::Interface,
            format!(
                "{}; a model of another shape is a new model, start it under another name",
                problems.join("; ")
            ),
        ))
    }

    pub(super) fn sync_shadow(
        &mut self,
        mut shadowing: Shadowing,
        port: Arc<Port<Synced>>,
    ) -> Result<(Stage, Progress), Rejection> {
        let Some(synced) = port.take() else {
            self.check_open()?;
            return Ok((Stage::ShadowSync(shadowing, port), Progress::Waiting(None)));
        };
        let rows = self.plan.swap.replay_rows;
        let (candidate, clock) = (&mut shadowing.candidate, &self.env.clock);
        match candidate.bring_in_step(synced, rows, clock)? {
            InStep::NeedsHistory(_) => self.resync_shadow(shadowing, true),
            InStep::Yes { .. } => Ok((Stage::Shadow(shadowing), Progress::Moved)),
        }
    }

    fn resync_shadow(
        &mut self,
        mut shadowing: Shadowing,
        needs_history: bool,
    ) -> Result<(Stage, Progress), Rejection> {
        self.needs_history |= needs_history;
        let link = self.link.clone();
        let Some((link, shape)) = link.and_then(|link| Some((Arc::clone(&link), link.shape()?)))
        else {
            return Err(Rejection::new(Reason::Shadow, "the live model is gone"));
        };
        let left = self
            .plan
            .swap
            .shadow_rows
            .saturating_sub(shadowing.comparison.rows());
        let metrics = Arc::clone(&shadowing.candidate.instance.generation.metrics);
        let (tap, reader) = tap(shape, left, &metrics);
        let port = self.request_sync(&link, Some(tap));
        shadowing.reader = Some(reader);
        Ok((Stage::ShadowSync(shadowing, port), Progress::Moved))
    }

    pub(super) fn shadow(
        &mut self,
        mut shadowing: Shadowing,
    ) -> Result<(Stage, Progress), Rejection> {
        let wanted = self.plan.swap.shadow_rows;
        for _ in 0..PARCELS_PER_STEP {
            if shadowing.comparison.rows() >= wanted {
                return self.end_shadow(shadowing);
            }
            let Some(reader) = &shadowing.reader else {
                break;
            };
            match reader.next() {
                Tapped::Parcel(mut parcel) => {
                    let candidate = &mut shadowing.candidate;
                    let row = candidate.row + parcel.count as u64;
                    let model = &mut candidate.instance.model;
                    shadowing
                        .comparison
                        .show(model, &mut parcel, &*self.env.clock);
                    candidate.advance_to(row);
                    if candidate.instance.model.is_poisoned() {
                        let message = "it panicked in shadow; see the log";
                        return Err(Rejection::new(Reason::Panic, message));
                    }
                    reader.give_back(parcel);
                }
                Tapped::Nothing => {
                    self.check_open()?;
                    let until = self.env.clock.now_ns() + 200_000;
                    return Ok((Stage::Shadow(shadowing), Progress::Waiting(Some(until))));
                }
                Tapped::Broken => {
                    self.check_open()?;
                    shadowing.comparison.resyncs += 1;
                    return self.resync_shadow(shadowing, false);
                }
            }
        }
        Ok((Stage::Shadow(shadowing), Progress::Moved))
    }

    fn end_shadow(&mut self, shadowing: Shadowing) -> Result<(Stage, Progress), Rejection> {
        let candidate = shadowing.candidate;
        let budget = candidate.instance.generation.budget_p99_us;
        let report = shadowing.comparison.verdict(&self.plan.swap, budget)?;
        let note = serde_json::to_string(&report).unwrap_or_default();
        self.enter(State::Shadow, None, note);
        let basis = basis_of(candidate.mode, candidate.row);
        self.hand_over(candidate, basis)
    }

    fn hand_over(
        &mut self,
        candidate: Candidate,
        basis: Basis,
    ) -> Result<(Stage, Progress), Rejection> {
        let Some(link) = &self.link else {
            return Err(Rejection::new(Reason::CatchUp, "there is no live model"));
        };
        // The plugin may have held up the very step that ends here, and have been given up.
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(Rejection::new(Reason::Superseded, "it was called off"));
        }
        let port = Port::new(&self.signal);
        let generation = Arc::clone(&candidate.instance.generation);
        link.send(Command::Promote(Box::new(Handover {
            instance: candidate.instance,
            basis,
            probation: self.plan.swap.probation,
            port: Arc::clone(&port),
        })));
        let both = Box::new((candidate.mode, generation));
        Ok((Stage::Handing(both, port), Progress::Moved))
    }

    pub(super) fn handed(
        &mut self,
        both: Box<(StateMode, Arc<Generation>)>,
        port: Arc<Port<Handed>>,
    ) -> Result<(Stage, Progress), Rejection> {
        match port.take() {
            Some(Handed::Promoted(promoted)) => Ok(self.promoted(both.1, promoted)),
            Some(Handed::Behind(instance)) => self.hand_over_afresh(both.0, instance),
            Some(Handed::Refused(instance, rejection)) => {
                // It ends here, not on the thread that predicts.
                drop(instance);
                Err(rejection)
            }
            None => {
                if self.cancelled.load(Ordering::Relaxed) && self.withdraw() {
                    return Err(Rejection::new(Reason::Superseded, "it was called off"));
                }
                self.check_open()?;
                Ok((Stage::Handing(both, port), Progress::Waiting(None)))
            }
        }
    }

    /// Rows came faster than they could be followed: the state is taken over at the very moment.
    fn hand_over_afresh(
        &mut self,
        mode: StateMode,
        instance: Instance,
    ) -> Result<(Stage, Progress), Rejection> {
        let mut candidate = Candidate::used(instance);
        candidate.mode = mode;
        let basis = match mode {
            StateMode::Stateless => Basis::Nothing,
            StateMode::Snapshot => Basis::Snapshot,
            StateMode::Replay => {
                candidate.renew_if_used(&self.env.clock)?;
                Basis::Rows(self.plan.swap.replay_rows as u64)
            }
        };
        self.hand_over(candidate, basis)
    }

    /// Takes a hand-over back that was not read yet. Gives whether it did.
    fn withdraw(&self) -> bool {
        let commands = self.link.as_ref().map(|link| link.withdraw());
        let mut commands = commands.unwrap_or_default().into_iter();
        commands.any(|command| matches!(command, Command::Promote(_)))
    }

    fn promoted(&mut self, generation: Arc<Generation>, promoted: Promoted) -> (Stage, Progress) {
        let note = format!(
            "from row {} on, after {} rows of catching up in {} us",
            promoted.row,
            promoted.replayed,
            promoted.pause_ns / 1_000
        );
        self.enter(State::Promoted, None, note);
        if promoted.is_in_probation {
            self.enter(State::Probation, None, String::new());
        }
        (
            Stage::Over(Some(Outcome::Promoted(generation))),
            Progress::Done,
        )
    }
}
