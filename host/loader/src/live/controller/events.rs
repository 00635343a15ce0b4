//! What the predicting side and the reloads say, and what follows from it.

use std::sync::atomic::Ordering;

use super::slot::Slot;
use super::{Controller, KeptOut, MAX_ABANDONED, known_version};
use crate::live::audit::{AuditEvent, Occasion};
use crate::live::facts::{Generation, Instance};
use crate::live::link::{Notice, RolledBack};
use crate::live::reaper::{Retired, label};
use crate::live::reload::Outcome;
use crate::live::state::{Reason, Rejection, State};

impl Controller {
    /// Lets reloads go on, and collects those that ended.
    pub(super) fn poll_running(&mut self) -> Vec<(String, Option<Outcome>)> {
        let mut outcomes = Vec::new();
        let (now_ns, longest_ns) = (self.env.clock.now_ns(), self.step_timeout_ms * 1_000_000);
        for (name, slot) in &mut self.slots {
            let Some(running) = &mut slot.running else {
                continue;
            };
            if running.stuck_ns(now_ns) > longest_ns {
                // The plugin does not come back. Its thread is left to it; should it come back
                // after all, it finds that it was called off.
                running.cancel();
                let abandoned = self.abandoned.len() + 1;
                let message = format!(
                    "a step took longer than {} ms and was abandoned; {abandoned} of at most \
                     {MAX_ABANDONED} such reloads",
                    self.step_timeout_ms
                );
                let rejection = Rejection::new(Reason::Timeout, message);
                let event = AuditEvent {
                    digest: running.fingerprint.clone(),
                    version: running.version.clone(),
                    request: running.request,
                    ..AuditEvent::new(Occasion::Rejected, name)
                };
                let words = rejection.message.clone();
                self.env.audit.write(event.because(rejection.reason, words));
                self.abandoned.push(running.left_alone());
                outcomes.push((name.clone(), Some(Outcome::Rejected(rejection))));
                continue;
            }
            match running.poll() {
                (None, false) => {}
                (outcome, _) => outcomes.push((name.clone(), outcome)),
            }
        }
        self.abandoned.retain(|one| !one.has_ended());
        outcomes
    }

    /// Draws the consequences of a reload that ended. One that goes on has none.
    pub(super) fn conclude(&mut self, name: &str, outcome: Option<Outcome>) -> bool {
        let Some(outcome) = outcome else {
            return true;
        };
        let Some(running) = self
            .slots
            .get_mut(name)
            .and_then(|slot| slot.running.take())
        else {
            return true;
        };
        let (request, mut answer) = (running.request, None);
        match outcome {
            Outcome::Promoted(generation) => {
                let goes_from = running.goes_from.clone();
                self.promoted(name, generation.number, goes_from);
                if generation.state() == State::Promoted {
                    self.is_good(name, &generation);
                }
            }
            Outcome::Ready(_) => {}
            Outcome::Rejected(rejection) => {
                self.refused(name, &running.fingerprint, &running.version, &rejection);
                if let (Some(slot), Some(stamp)) = (self.slots.get_mut(name), running.stamp)
                    && (rejection.may_be_unfinished() || rejection.reason == Reason::Unfinished)
                {
                    slot.kept_out
                        .retain(|one| one.fingerprint != running.fingerprint);
                    slot.unfinished.insert(running.fingerprint, stamp);
                }
                answer = Some(rejection);
            }
        }
        if let Some(request) = request {
            self.answer(request, name, answer);
        }
        // What was wanted may have changed meanwhile.
        self.is_scan_due.store(true, Ordering::Release);
        true
    }

    fn promoted(&mut self, name: &str, number: u64, goes_from: Option<KeptOut>) {
        let Some(slot) = self.slots.get_mut(name) else {
            return;
        };
        let active = slot.link.active();
        if active.number != number {
            // It was sent back before this was heard.
            return;
        }
        slot.follow(goes_from.is_none());
        slot.is_in_probation = active.state() == State::Probation;
        if let Some(copy) = active.loaded.private_copy() {
            self.env.leaks.count_revived(copy);
        }
        if let Some(refused) = goes_from {
            let refused = match refused.reason {
                Reason::Operator => refused.going(&active.fingerprint),
                _ => refused,
            };
            self.keep_out(name, refused);
        }
    }

    fn refused(&mut self, name: &str, fingerprint: &str, version: &str, rejection: &Rejection) {
        if matches!(rejection.reason, Reason::Superseded | Reason::Stopping) {
            return;
        }
        self.keep_out(name, KeptOut::refused(fingerprint, version, rejection));
    }

    pub(super) fn keep_out(&mut self, name: &str, refused: KeptOut) {
        let Some(slot) = self.slots.get_mut(name) else {
            return;
        };
        slot.last_rejection = Some(refused.clone());
        slot.keep_out(refused);
        let memory = self.memories.entry(name.to_owned()).or_default();
        memory.kept_out.clone_from(&slot.kept_out);
        self.is_memory_new = true;
        // It may have been retired, and wait, before it was known that nobody wants it back.
        self.end_standbys(name, |slot, generation| slot.is_kept_out(generation));
    }

    /// Ends the standbys that are not wanted.
    pub(super) fn end_standbys(
        &mut self,
        name: &str,
        is_unwanted: impl Fn(&Slot, &Generation) -> bool,
    ) {
        let Some(slot) = self.slots.get_mut(name) else {
            return;
        };
        let (ended, kept): (Vec<Instance>, Vec<Instance>) = std::mem::take(&mut slot.standbys)
            .into_iter()
            .partition(|one| is_unwanted(slot, &one.generation));
        slot.standbys = kept;
        let quiesce_ms = slot.spec.swap.quiesce_ms;
        for instance in ended {
            self.end(name, instance, quiesce_ms);
        }
    }

    pub(super) fn hear_notices(&mut self) -> bool {
        let heard: Vec<(String, Vec<Notice>)> = self
            .slots
            .iter()
            .map(|(name, slot)| (name.clone(), slot.link.notices()))
            .collect();
        let mut has_moved = false;
        for (name, notices) in heard {
            for notice in notices {
                has_moved = true;
                self.hear(&name, notice);
            }
        }
        has_moved
    }

    fn hear(&mut self, name: &str, notice: Notice) {
        match notice {
            Notice::ProbationPassed(generation) => {
                if let Some(slot) = self.slots.get_mut(name) {
                    slot.follow(true);
                    slot.is_in_probation = false;
                }
                self.env
                    .audit
                    .write(label(Occasion::Proven, name, &generation));
                self.is_good(name, &generation);
            }
            Notice::ProbationCut => {
                if let Some(slot) = self.slots.get_mut(name) {
                    slot.follow(false);
                    slot.is_in_probation = false;
                }
            }
            Notice::Retired(instance) => self.retire(name, instance),
            Notice::RolledBack(rolled_back) => self.rolled_back(name, rolled_back),
            Notice::RollbackFailed(generation, rejection) => {
                if let Some(slot) = self.slots.get_mut(name) {
                    slot.is_in_probation = false;
                }
                let event = label(Occasion::RollbackFailed, name, &generation);
                self.env
                    .audit
                    .write(event.because(rejection.reason, rejection.message));
            }
            Notice::Down(generation, rejection) => {
                let message = format!(
                    "{}; it answers nothing more: `fusebox plugin reload {name}` makes a new \
                     instance, another version that is installed takes its place",
                    rejection.message
                );
                let (version, number) = (generation.version(), generation.number);
                tracing::error!(
                    model = name,
                    version,
                    generation = number,
                    "down: {message}"
                );
                let event = label(Occasion::Down, name, &generation);
                self.env
                    .audit
                    .write(event.because(rejection.reason, message));
            }
            Notice::Closed => self.close(name),
        }
    }

    fn retire(&mut self, name: &str, instance: Instance) {
        self.env
            .audit
            .write(label(State::Retired, name, &instance.generation));
        let Some(slot) = self.slots.get_mut(name) else {
            return self.end(name, instance, 0);
        };
        let is_out = slot.is_kept_out(&instance.generation);
        let quiesce_ms = slot.spec.swap.quiesce_ms;
        let surplus = if is_out || slot.wanted_standbys() == 0 {
            Some(instance)
        } else {
            slot.standbys.push(instance);
            let is_full = slot.standbys.len() > slot.wanted_standbys();
            is_full.then(|| slot.standbys.remove(0))
        };
        if let Some(instance) = surplus {
            self.end(name, instance, quiesce_ms);
        }
    }

    pub(super) fn end(&mut self, name: &str, instance: Instance, quiesce_ms: u64) {
        self.reaper.end(Retired {
            model: name.to_owned(),
            instance,
            quiesce_ms,
        });
    }

    fn rolled_back(&mut self, name: &str, rolled_back: RolledBack) {
        let bad = &rolled_back.bad.generation;
        let (reason, request) = (rolled_back.reason, self.request_of_going_back(name));
        let words = format!(
            "generation {} answers again from row {} on, after {} us; {}",
            rolled_back.to.number,
            rolled_back.row,
            rolled_back.pause_ns / 1_000,
            rolled_back.message
        );
        let event = AuditEvent {
            request,
            ..label(Occasion::RolledBack, name, bad)
        };
        self.env.audit.write(event.because(reason, words.clone()));
        let mut refused = KeptOut {
            fingerprint: bad.fingerprint.clone(),
            version: known_version(bad),
            reason,
            message: words,
        };
        match reason {
            Reason::Operator => refused = refused.going(&rolled_back.to.fingerprint),
            Reason::Revoked => refused = refused.with_any_weights(),
            _ => {}
        }
        if let Some(slot) = self.slots.get_mut(name) {
            slot.follow(false);
            slot.before
                .retain(|one| one.number != rolled_back.to.number);
            slot.is_in_probation = false;
            slot.returned_to = Some((bad.number, rolled_back.to.number));
        }
        self.keep_out(name, refused);
        if let Some(copy) = rolled_back.to.loaded.private_copy() {
            self.env.leaks.count_revived(copy);
        }
        self.is_good(name, &rolled_back.to);
        self.retire(name, rolled_back.bad);
        if let Some(request) = request {
            self.answer(request, name, None);
        }
        // What was wanted may have changed meanwhile.
        self.is_scan_due.store(true, Ordering::Release);
    }

    fn close(&mut self, name: &str) {
        let Some(mut slot) = self.slots.remove(name) else {
            return;
        };
        if let Some(memory) = self.memories.get_mut(name) {
            memory.loaded.clear();
            self.is_memory_new = true;
        }
        if let Some(running) = &slot.running {
            running.cancel();
            if let Some(request) = running.request {
                let rejection = Rejection::new(Reason::Stopping, "nobody uses the model any more");
                self.answer(request, name, Some(rejection));
            }
        }
        for standby in slot.standbys.drain(..) {
            self.end(name, standby, slot.spec.swap.quiesce_ms);
        }
        // What was in the mailbox may hold instances; they end here.
        drop(slot.link.withdraw());
    }

    /// Counts code that no instance uses any more.
    pub(super) fn account_for_ended(&mut self) {
        for generation in self.reaper.ended() {
            let Some(copy) = generation.loaded.private_copy() else {
                continue;
            };
            if !self.slots.values().any(|slot| slot.uses(copy)) {
                self.env.leaks.count_retired(copy);
            }
        }
        if let Some(warning) = self.env.leaks.refresh(&*self.env.clock) {
            let event = AuditEvent::new(Occasion::LeakWarning, "");
            self.env
                .audit
                .write(event.because(Reason::LeakLimit, warning));
        }
    }

    pub(super) fn request_of_going_back(&mut self, name: &str) -> Option<u64> {
        let slot = self.slots.get_mut(name)?;
        slot.going_back.take()?.request
    }

    /// Ends everything: what runs is called off, what waits is destroyed.
    pub(crate) fn stop(&mut self) {
        for slot in self.slots.values() {
            if let Some(running) = &slot.running {
                running.cancel();
            }
        }
        self.hear_notices();
        self.env.audit.write(AuditEvent::new(Occasion::Stopped, ""));
        for memory in self.memories.values_mut() {
            memory.loaded.clear();
        }
        self.is_memory_new = true;
        self.save_memories();
    }

    /// What going back keeps out: an operator's order what the other generation has not, a
    /// revocation the code.
    pub(super) fn live_kept_out(&self, name: &str, reason: Reason) -> Option<KeptOut> {
        let slot = self.slots.get(name)?;
        let live = &slot.live;
        let out = KeptOut {
            fingerprint: live.fingerprint.clone(),
            version: known_version(live),
            reason,
            message: "the operator went back to another version".to_owned(),
        };
        if reason != Reason::Revoked {
            return Some(out);
        }
        let message = slot.told_revoked.get(&live.number).cloned();
        Some(KeptOut {
            message: message.unwrap_or_default(),
            ..out.with_any_weights()
        })
    }
}
