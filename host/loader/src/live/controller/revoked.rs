//! Generations that are revoked while they are loaded: told once, kept out, and left where
//! something allowed can take their place.
//!
//! Only revocations are heeded here. A key that is taken out of the keyring, or a policy that
//! cannot be read, counts for what is loaded next.

use std::sync::Arc;

use super::requests::Back;
use super::{Controller, known_version, version_of};
use crate::live::audit::Occasion;
use crate::live::choose::Target;
use crate::live::control::KeptOut;
use crate::live::facts::Generation;
use crate::live::link::Command;
use crate::live::reaper::label;
use crate::live::state::Reason;
use crate::trust::Revocations;

/// Packages that are judged in the search for one to go back to.
const MAX_JUDGED: usize = 16;

/// What follows from the revocation of a live generation.
#[derive(Debug, PartialEq)]
enum WayOut {
    /// Something else is on its way; it is looked at again when that has ended.
    Busy,
    /// The version policy wants another version anyway.
    Forward(String),
    /// This version takes over again.
    Back(String),
    /// It stays live, for this reason.
    Stays(String),
}

impl WayOut {
    fn words(&self) -> String {
        match self {
            Self::Busy => "a change of it is on its way already".to_owned(),
            Self::Forward(version) => format!("{version} is loaded in its place"),
            Self::Back(version) => format!("it goes back to {version}"),
            Self::Stays(why) => format!("it stays live: {why}"),
        }
    }
}

impl Controller {
    /// Holds everything that is loaded to the revocations as they are now.
    pub(super) fn heed_revocations(&mut self) {
        let revoked = self.store.revocations();
        if revoked.entries().is_empty() {
            return;
        }
        let names: Vec<String> = self.slots.keys().cloned().collect();
        for name in names {
            self.heed_of(&name, &revoked);
        }
    }

    fn heed_of(&mut self, name: &str, revoked: &Revocations) {
        let Some(slot) = self.slots.get(name) else {
            return;
        };
        let standbys = slot.standbys.iter().map(|one| &one.generation);
        let waiting: Vec<Arc<Generation>> = standbys.chain(&slot.before).cloned().collect();
        let live = Arc::clone(&slot.live);
        // What waits goes first, so that nobody goes back to it.
        for generation in waiting {
            if let Some(words) = words_of(revoked, &generation) {
                self.waiting_is_revoked(name, &generation, words);
            }
        }
        if let Some(words) = words_of(revoked, &live) {
            self.live_is_revoked(name, &live, words);
        }
        if let Some(slot) = self.slots.get_mut(name) {
            let (live, standbys, before) = (slot.live.number, &slot.standbys, &slot.before);
            slot.told_revoked.retain(|number, _| {
                *number == live
                    || standbys.iter().any(|one| one.generation.number == *number)
                    || before.iter().any(|one| one.number == *number)
            });
        }
    }

    /// Notes that a generation is revoked, and gives whether that is news.
    fn note_revoked(&mut self, name: &str, generation: &Generation, words: &str) -> bool {
        let Some(slot) = self.slots.get_mut(name) else {
            return false;
        };
        let before = slot
            .told_revoked
            .insert(generation.number, words.to_owned());
        before.as_deref() != Some(words)
    }

    fn keep_revoked_out(&mut self, name: &str, generation: &Generation, words: String) {
        let is_out = |slot: &super::slot::Slot| slot.is_kept_out(generation);
        if self.slots.get(name).is_none_or(is_out) {
            return;
        }
        let refused = KeptOut {
            fingerprint: generation.fingerprint.clone(),
            version: known_version(generation),
            reason: Reason::Revoked,
            message: words,
        };
        self.keep_out(name, refused.with_any_weights());
    }

    fn waiting_is_revoked(&mut self, name: &str, generation: &Generation, words: String) {
        let is_news = self.note_revoked(name, generation, &words);
        let Some(slot) = self.slots.get(name) else {
            return;
        };
        let is_parked = slot
            .parked()
            .is_some_and(|one| one.number == generation.number);
        let mut standbys = slot.standbys.iter();
        let is_standby = standbys.any(|one| one.generation.number == generation.number);
        if is_news && (is_parked || is_standby) {
            let message = format!("{words}; it waits no longer to take over again");
            tracing::warn!(
                model = name,
                version = generation.version(),
                generation = generation.number,
                "{message}"
            );
            let event = label(Occasion::Revoked, name, generation);
            self.env
                .audit
                .write(event.because(Reason::Revoked, message));
            if is_parked {
                slot.link.send(Command::DropParked);
            }
        }
        self.keep_revoked_out(name, generation, words);
    }

    fn live_is_revoked(&mut self, name: &str, live: &Generation, words: String) {
        let is_news = self.note_revoked(name, live, &words);
        self.keep_revoked_out(name, live, words.clone());
        let way = self.way_out(name);
        let message = format!("{words}; {}", way.words());
        let Some(slot) = self.slots.get_mut(name) else {
            return;
        };
        let is_stuck = matches!(way, WayOut::Stays(_));
        let is_stuck_news = is_stuck && slot.told_stuck != Some(live.number);
        if is_stuck {
            slot.told_stuck = Some(live.number);
        }
        if is_news || is_stuck_news {
            tracing::warn!(
                model = name,
                version = live.version(),
                generation = live.number,
                "{message}"
            );
            let what = if is_news {
                Occasion::Revoked
            } else {
                Occasion::RollbackFailed
            };
            let event = label(what, name, live);
            self.env
                .audit
                .write(event.because(Reason::Revoked, message));
        }
        if matches!(way, WayOut::Back(_)) {
            let back = Back {
                reason: Reason::Revoked,
                request: None,
            };
            if let Err(rejection) = self.go_back(name, back) {
                tracing::warn!(model = name, "it cannot go back yet: {rejection}");
            }
        }
    }

    fn way_out(&mut self, name: &str) -> WayOut {
        let Some(slot) = self.slots.get(name) else {
            return WayOut::Busy;
        };
        if slot.running.is_some() || slot.going_back.is_some() || !slot.queued.is_empty() {
            return WayOut::Busy;
        }
        if !slot.spec.swap.leave_revoked {
            return WayOut::Stays(format!(
                "`engine.live.leave_revoked` is off; go back with `fusebox plugin rollback \
                 {name}`, or install an allowed version"
            ));
        }
        if let Some(target) = self.wanted_by(name) {
            return WayOut::Forward(name_of_target(&target));
        }
        let Some(slot) = self.slots.get(name) else {
            return WayOut::Busy;
        };
        if slot.is_pinned(&self.desired.pins) {
            return WayOut::Stays(format!(
                "it is pinned; unpin it with `fusebox plugin unpin {name}`, or pin an allowed \
                 version"
            ));
        }
        let is_way = |one: &&Arc<Generation>| {
            one.fingerprint != slot.live.fingerprint && !slot.is_kept_out(one)
        };
        let standby = slot
            .standbys
            .iter()
            .map(|one| &one.generation)
            .rfind(is_way);
        let before = slot.before.iter().rfind(is_way);
        let known = slot.parked().filter(is_way).or(standby).or(before);
        let lower = match known {
            Some(generation) => return WayOut::Back(name_of(generation)),
            None => self.allowed_below(name),
        };
        match lower {
            Some(target) => WayOut::Back(name_of_target(&target)),
            None => WayOut::Stays(format!(
                "no other version that is installed may take its place; install an allowed one, \
                 or stop the program that serves {name}"
            )),
        }
    }

    /// The newest package with lower code that the policy allows.
    pub(super) fn allowed_below(&mut self, name: &str) -> Option<Target> {
        let slot = self.slots.get(name)?;
        let (lower, spec) = (self.catalog.below_code(&slot.live), slot.spec.clone());
        let mut kept_out = slot.kept_out.clone();
        for _ in 0..MAX_JUDGED {
            let target = self.choose_in(&lower, &spec, &kept_out)?;
            match self.store.judge(&target) {
                Ok(()) => return Some(target),
                Err(message) => kept_out.push(
                    KeptOut {
                        fingerprint: target.fingerprint(),
                        version: version_of(&target),
                        reason: Reason::Untrusted,
                        message,
                    }
                    .with_any_weights(),
                ),
            }
        }
        None
    }
}

/// A version, with that of the code where the two are not one.
fn name_of(generation: &Generation) -> String {
    match &generation.weights {
        Some(weights) => format!("{} with code {}", weights.version, generation.version()),
        None => generation.version().to_owned(),
    }
}

fn name_of_target(target: &Target) -> String {
    match &target.model {
        Some(model) => format!(
            "{} with code {}",
            model.found.version, target.plugin.version
        ),
        None => target.plugin.version.clone(),
    }
}

/// Why a generation may run no longer.
fn words_of(revoked: &Revocations, generation: &Generation) -> Option<String> {
    let hits = revoked.against(&generation.loaded);
    let words: Vec<String> = hits
        .iter()
        .map(|hit| format!("{} is revoked: {}", hit.subject, hit.reason))
        .collect();
    (!words.is_empty()).then(|| words.join("; "))
}
