//! What an operator asks for, carried out once per model that it is meant for.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use fusebox_plugin_api::config::nearest;

use super::running::About;
use super::slot::{GoingBack, Slot};
use super::{Controller, at_once, known_version, version_of};
use crate::live::audit::{AuditEvent, Occasion};
use crate::live::choose::Target;
use crate::live::control::{Command, Request, read_desired};
use crate::live::facts::{Generation, StateMode};
use crate::live::link::{self, Port};
use crate::live::reload::{Plan, Start};
use crate::live::state::{Reason, Rejection};

/// A request that is being carried out.
#[derive(Debug)]
pub(super) struct OpenRequest {
    /// Models that it still has to be carried out for.
    left: usize,
    /// What became of it at the others.
    told: Vec<String>,
}

/// Why, and for whom, a model goes back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Back {
    /// An operator's order, or a revocation.
    pub(super) reason: Reason,
    /// The operator's request.
    pub(super) request: Option<u64>,
}

impl Controller {
    /// Reads what is wanted, and gives new requests to the models that they are meant for.
    pub(super) fn hear_requests(&mut self) -> bool {
        let Some(dir) = &self.state_dir else {
            return false;
        };
        let desired = match read_desired(&dir.path) {
            Ok(desired) => desired,
            Err(error) => {
                tracing::warn!(%error, "what is wanted of live models cannot be read");
                return false;
            }
        };
        if desired == self.desired {
            return false;
        }
        self.desired = desired;
        let new: Vec<Request> = self
            .desired
            .requests
            .iter()
            .filter(|request| request.request > self.seen_request)
            .cloned()
            .collect();
        for request in new {
            self.seen_request = request.request;
            self.give_out(&request);
        }
        true
    }

    /// As if the request had been read from the state directory.
    #[cfg(test)]
    pub(crate) fn ask(&mut self, command: Command) -> u64 {
        match &command {
            Command::Pin { target, version } => {
                self.desired.pins.insert(target.clone(), version.clone());
            }
            Command::Unpin { target } => {
                self.desired.pins.remove(target);
            }
            Command::Reload { .. } | Command::Rollback { .. } => {}
        }
        self.seen_request += 1;
        let request = self.seen_request;
        self.give_out(&Request { request, command });
        request
    }

    /// Puts a request into the queues of the models that it is meant for.
    pub(crate) fn give_out(&mut self, request: &Request) {
        let target = request.command.target();
        let mut meant = 0;
        for slot in self.slots.values_mut().filter(|slot| slot.is_meant(target)) {
            slot.queued.push_back(request.clone());
            meant += 1;
        }
        let open = OpenRequest {
            left: meant.max(1),
            told: Vec::new(),
        };
        self.open_requests.insert(request.request, open);
        if meant == 0 {
            let plugins = self.slots.values().map(|slot| slot.live.plugin());
            let names = self.slots.keys().map(String::as_str);
            let known: Vec<&str> = names.clone().chain(plugins).collect();
            let hint = match nearest(target, &known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("live models: {}", names.collect::<Vec<_>>().join(", ")),
            };
            let message = format!("no live model or plugin is called `{target}`; {hint}");
            self.answer(
                request.request,
                "",
                Some(Rejection::new(Reason::Operator, message)),
            );
        }
    }

    /// Concludes a request for one model; once it is for all, the audit log answers it.
    pub(super) fn answer(&mut self, request: u64, model: &str, refusal: Option<Rejection>) {
        let words = self.slots.get_mut(model).map(what_happened);
        let mut told = Vec::new();
        if let Some(open) = self.open_requests.get_mut(&request) {
            open.left = open.left.saturating_sub(1);
            open.told.extend(words);
            if open.left > 0 && refusal.is_none() {
                return;
            }
            told = std::mem::take(&mut open.told);
        }
        self.open_requests.remove(&request);
        // Who asked hears of it by the event, and may look at once what is loaded now.
        self.note_loaded();
        self.save_memories();
        let mut event = AuditEvent {
            request: Some(request),
            ..AuditEvent::new(Occasion::Request, model)
        };
        if let Some(slot) = self.slots.get(model) {
            event.plugin = slot.live.plugin().to_owned();
            event.version = slot.live.version().to_owned();
            event.generation = Some(slot.live.number);
            event.weights = slot
                .live
                .weights
                .as_ref()
                .map(|weights| weights.version.clone());
        }
        if let Some(refusal) = refusal {
            event = event.because(refusal.reason, refusal.message);
        } else {
            event.message = Some(told.join("; ")).filter(|words| !words.is_empty());
        }
        self.env.audit.write(event);
    }

    /// Carries out the next request of every model that is free for one.
    pub(super) fn carry_out_queued(&mut self) -> bool {
        let names: Vec<String> = self.slots.keys().cloned().collect();
        let mut has_moved = false;
        for name in names {
            has_moved |= self.hear_that_nobody_waited(&name);
            let Some(slot) = self.slots.get_mut(&name) else {
                continue;
            };
            if slot.going_back.is_some() || slot.queued.is_empty() {
                continue;
            }
            if let Some(running) = &slot.running {
                if running.request.is_none() {
                    running.cancel();
                }
                continue;
            }
            if let Some(request) = slot.queued.pop_front() {
                has_moved = true;
                let number = request.request;
                slot.asked_at = Some((known_version(&slot.live), slot.live.number));
                match self.carry_out(&name, request) {
                    Ok(Carried::Done) => self.answer(number, &name, None),
                    Ok(Carried::Begun) => {}
                    Err(refusal) => self.answer(number, &name, Some(refusal)),
                }
            }
        }
        has_moved
    }

    fn carry_out(&mut self, name: &str, request: Request) -> Result<Carried, Rejection> {
        // What lies there now counts, not what lay there at the last look.
        self.catalog = self.store.catalog();
        let number = request.request;
        match request.command {
            Command::Reload { .. } => {
                self.let_in(name, None);
                self.load_wanted(name, number, true)
            }
            Command::Pin { version, .. } => {
                self.let_in(name, Some(&version));
                self.load_wanted(name, number, false)
            }
            Command::Unpin { .. } => self.load_wanted(name, number, false),
            Command::Rollback { .. } => {
                let back = Back {
                    reason: Reason::Operator,
                    request: Some(number),
                };
                self.go_back(name, back)
            }
        }
    }

    fn let_in(&mut self, name: &str, version: Option<&str>) {
        if let Some(slot) = self.slots.get_mut(name) {
            slot.let_in(version);
            let memory = self.memories.entry(name.to_owned()).or_default();
            memory.kept_out.clone_from(&slot.kept_out);
            self.is_memory_new = true;
        }
    }

    /// Begins to load what policy and pins say; also what is live already, where `is_forced`.
    fn load_wanted(
        &mut self,
        name: &str,
        request: u64,
        is_forced: bool,
    ) -> Result<Carried, Rejection> {
        let Some(slot) = self.slots.get(name) else {
            return Ok(Carried::Done);
        };
        let Some(best) = self.choose_for(&slot.spec, &slot.kept_out, None) else {
            let message = "no package that is installed and wanted can be loaded; it goes live \
                           when one arrives";
            return Err(Rejection::new(Reason::Operator, message));
        };
        let is_live = best.fingerprint() == slot.live.fingerprint;
        let target = match self.wanted_by(name) {
            Some(target) => target,
            None if is_live && !is_forced => return Ok(Carried::Done),
            None if is_forced => best,
            None => return Ok(Carried::Done),
        };
        let about = About {
            request: Some(request),
            ..About::default()
        };
        self.start_reload(name, &target, about)?;
        Ok(Carried::Begun)
    }

    /// Goes back to the generation before: the one that waits in probation, a standby, code that is
    /// still there, or a package with a lower version.
    pub(super) fn go_back(&mut self, name: &str, back: Back) -> Result<Carried, Rejection> {
        let goes_from = self.live_kept_out(name, back.reason);
        // The same content again would be no way back, and what was left before is not wanted.
        let is_no_way = |slot: &Slot, one: &Generation| {
            one.fingerprint == slot.live.fingerprint || slot.is_kept_out(one)
        };
        self.end_standbys(name, is_no_way);
        let Some(slot) = self.slots.get_mut(name) else {
            return Ok(Carried::Done);
        };
        if slot.is_pinned(&self.desired.pins) {
            let message = "it is pinned; unpin it first, or pin the version that it shall run";
            return Err(Rejection::new(Reason::Operator, message));
        }
        if slot.is_in_probation {
            let port = Port::new(&self.signal);
            let order = link::Command::GoBack(back.reason, Arc::clone(&port));
            slot.link.send(order);
            let request = back.request;
            slot.going_back = Some(GoingBack { request, port });
            return Ok(Carried::Begun);
        }
        let about = About {
            request: back.request,
            goes_from,
            ..About::default()
        };
        let before = std::mem::take(&mut slot.before).into_iter();
        slot.before = before.filter(|one| !is_no_way(slot, one)).collect();
        let start = if let Some(instance) = slot.standbys.pop() {
            slot.before
                .retain(|one| one.number != instance.generation.number);
            Start::Standby(Box::new(instance))
        } else if let Some(generation) = slot.before.pop() {
            Start::Retained(generation)
        } else {
            return self.load_lower(name, back.reason, about);
        };
        let generation = match &start {
            Start::Standby(instance) => Arc::clone(&instance.generation),
            Start::Retained(generation) => Arc::clone(generation),
            Start::Origin(_) => return Ok(Carried::Done),
        };
        let plan = Plan {
            model: name.to_owned(),
            fingerprint: generation.fingerprint.clone(),
            plugin: generation.plugin().to_owned(),
            version: generation.version().to_owned(),
            weights: generation.weights.as_ref().map(|one| one.version.clone()),
            swap: at_once(slot.spec.swap),
            guard: slot.spec.guard,
            request: back.request,
        };
        let version = known_version(&generation);
        self.run(name, (plan, start), About { version, ..about })?;
        Ok(Carried::Begun)
    }

    fn load_lower(
        &mut self,
        name: &str,
        reason: Reason,
        about: About,
    ) -> Result<Carried, Rejection> {
        let target = match reason {
            Reason::Revoked => self.allowed_below(name),
            _ => self.wanted_below(name),
        };
        let (Some(target), Some(slot)) = (target, self.slots.get(name)) else {
            let message = "there is no generation to go back to; pin a version that is installed";
            return Err(Rejection::new(Reason::Operator, message));
        };
        // Nobody knows whether it is any good, so it has its probation.
        let mut spec = slot.spec.clone();
        spec.swap.shadow_rows = 0;
        let (plan, start) = self.plan(&spec, &target, None, about.request);
        let (stamp, version) = (Some(self.store.stamp(&target)), version_of(&target));
        let about = About {
            stamp,
            version,
            ..about
        };
        self.run(name, (plan, start), about)?;
        Ok(Carried::Begun)
    }

    fn wanted_below(&self, name: &str) -> Option<Target> {
        let slot = self.slots.get(name)?;
        let lower = self.catalog.below(&slot.live);
        self.choose_in(&lower, &slot.spec, &slot.kept_out)
    }

    /// The probation was over before the order to go back was read: it is carried out the long way.
    fn hear_that_nobody_waited(&mut self, name: &str) -> bool {
        let Some(slot) = self.slots.get_mut(name) else {
            return false;
        };
        let is_refused = slot.going_back.as_ref().and_then(|one| one.port.take()) == Some(false);
        if !is_refused {
            return false;
        }
        let going_back = slot.going_back.take();
        slot.is_in_probation = false;
        // A revocation is heeded again at the next look.
        self.is_scan_due.store(true, Ordering::Release);
        if let Some(request) = going_back.and_then(|one| one.request) {
            let command = Command::Rollback {
                target: name.to_owned(),
            };
            slot.queued.push_front(Request { request, command });
        }
        true
    }
}

/// What a request led to at a model, in one line.
fn what_happened(slot: &mut Slot) -> String {
    let (name, live) = (&slot.spec.name, &slot.live);
    let (version, number) = (known_version(live), live.number);
    let (before, asked_at) = match slot.asked_at.take() {
        Some((before, asked_at)) if asked_at != number => (before, asked_at),
        _ => return format!("{name}: {version} stays live, generation {number}"),
    };
    let change = if before == version {
        format!("{version} again")
    } else {
        format!("{before} -> {version}")
    };
    let state = match live.took_over() {
        // It waited beside the other one, and was shown every row.
        _ if slot.returned_to == Some((asked_at, number)) => "state kept in step",
        Some(StateMode::Snapshot) => "state restored by snapshot",
        Some(StateMode::Replay) => "state rebuilt by replay",
        Some(StateMode::Stateless) | None => "no state to take over",
    };
    let probation = if slot.is_in_probation {
        ", in probation"
    } else {
        ""
    };
    format!("{name}: {change}, generation {number}, {state}{probation}")
}

/// How far a request is.
pub(super) enum Carried {
    Done,
    Begun,
}
