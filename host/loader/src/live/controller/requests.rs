//! What an operator asks for, carried out once per model that it is meant for.

use std::sync::Arc;

use super::running::About;
use super::slot::Slot;
use super::{Controller, at_once, version_of};
use crate::live::audit::{AuditEvent, Occasion};
use crate::live::control::{Command, Request, read_desired};
use crate::live::facts::Generation;
use crate::live::link::{self, Port};
use crate::live::reload::{Plan, Start};
use crate::live::state::{Reason, Rejection};

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
        self.open_requests.insert(request.request, meant.max(1));
        if meant == 0 {
            let names: Vec<&str> = self.slots.keys().map(String::as_str).collect();
            let message = format!(
                "no live model or plugin is called `{target}`; live models: {}",
                names.join(", ")
            );
            self.answer(
                request.request,
                "",
                Some(Rejection::new(Reason::Operator, message)),
            );
        }
    }

    /// Concludes a request for one model; once it is for all, the audit log answers it.
    pub(super) fn answer(&mut self, request: u64, model: &str, refusal: Option<Rejection>) {
        let left = self
            .open_requests
            .get(&request)
            .map_or(0, |open| open.saturating_sub(1));
        let is_refused = refusal.is_some();
        if left > 0 && !is_refused {
            self.open_requests.insert(request, left);
            return;
        }
        self.open_requests.remove(&request);
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
            Command::Rollback { .. } => self.go_back(name, number),
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
    fn go_back(&mut self, name: &str, request: u64) -> Result<Carried, Rejection> {
        let goes_from = self.live_kept_out(name, Reason::Operator);
        // The same content again would be no way back, and what was left before is not wanted.
        let is_no_way = |slot: &Slot, one: &Generation| {
            one.fingerprint == slot.live.fingerprint || slot.is_kept_out(one)
        };
        self.end_standbys(name, is_no_way);
        let Some(slot) = self.slots.get_mut(name) else {
            return Ok(Carried::Done);
        };
        let plugin = slot.live.plugin().to_owned();
        let is_pinned = [name, &plugin]
            .iter()
            .any(|key| self.desired.pins.contains_key(*key));
        if is_pinned {
            let message = "it is pinned; unpin it first, or pin the version that it shall run";
            return Err(Rejection::new(Reason::Operator, message));
        }
        if slot.is_in_probation {
            let port = Port::new(&self.signal);
            slot.link.send(link::Command::GoBack(Arc::clone(&port)));
            slot.going_back = Some((request, port));
            return Ok(Carried::Begun);
        }
        let about = About {
            request: Some(request),
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
            return self.load_lower(name, about);
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
            swap: at_once(slot.spec.swap),
            guard: slot.spec.guard,
            request: Some(request),
        };
        let version = super::known_version(&generation);
        self.run(name, (plan, start), About { version, ..about })?;
        Ok(Carried::Begun)
    }

    fn load_lower(&mut self, name: &str, about: About) -> Result<Carried, Rejection> {
        let Some(slot) = self.slots.get(name) else {
            return Ok(Carried::Done);
        };
        let lower = self.catalog.below(&slot.live);
        let target = self.choose_in(&lower, &slot.spec, &slot.kept_out);
        let Some(target) = target else {
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

    /// The probation was over before the order to go back was read: it is carried out the long way.
    fn hear_that_nobody_waited(&mut self, name: &str) -> bool {
        let Some(slot) = self.slots.get_mut(name) else {
            return false;
        };
        let is_refused = slot.going_back.as_ref().and_then(|(_, port)| port.take()) == Some(false);
        if !is_refused {
            return false;
        }
        if let Some((request, _)) = slot.going_back.take() {
            slot.is_in_probation = false;
            let command = Command::Rollback {
                target: name.to_owned(),
            };
            slot.queued.push_front(Request { request, command });
        }
        true
    }
}

/// How far a request is.
enum Carried {
    Done,
    Begun,
}
