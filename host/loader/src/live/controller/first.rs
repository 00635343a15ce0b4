//! The first generation of a model: the one that the policy says, else the last good one, else what
//! is left.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use fusebox_plugin_api::config::nearest;

use super::{Controller, version_of};
use crate::clock::Clock;
use crate::live::audit::Occasion;
use crate::live::catalog::Catalog;
use crate::live::choose::{Live, Target, Wanted, choose, code_of};
use crate::live::control::{KeptOut, LastGood};
use crate::live::facts::{Generation, Instance};
use crate::live::link::Link;
use crate::live::owner::LiveModel;
use crate::live::policy::{ModelSource, ModelSpec};
use crate::live::reaper::label;
use crate::live::reload::{Outcome, Progress, Reload};
use crate::live::state::{Rejection, State};
use crate::trust::{FileVersionStore, HighestVersions};

use super::slot::Slot;

/// Generations that are tried for a first start.
const MAX_FIRST_TRIES: usize = 16;

/// Why a model cannot be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The specification contradicts itself; every problem, one sentence each.
    #[error("model {name}: {problems}", problems = .problems.join("; "))]
    Spec {
        /// The model.
        name: String,
        /// What is wrong.
        problems: Vec<String>,
    },
    /// A model of this name runs already.
    #[error("a model called `{0}` runs already; choose another name")]
    Taken(String),
    /// Nothing is installed that it could run.
    #[error("model {name}: nothing is installed that it could run; {hint}")]
    Nothing {
        /// The model.
        name: String,
        /// What to do.
        hint: String,
    },
    /// Everything that is installed was refused; the first refusal counts.
    #[error("model {name}: {version} was refused: {rejection}")]
    Refused {
        /// The model.
        name: String,
        /// The newest version that was tried.
        version: String,
        /// Why.
        rejection: Rejection,
    },
}

/// Making the first generation of a model. It takes its time, so the controller is not held for it.
pub(crate) fn start_model(
    controller: &std::sync::Mutex<Controller>,
    spec: ModelSpec,
) -> Result<LiveModel, StartError> {
    let lock = || controller.lock().unwrap_or_else(PoisonError::into_inner);
    let problems = spec.problems();
    if !problems.is_empty() {
        let name = spec.name;
        return Err(StartError::Spec { name, problems });
    }
    if lock().slots.contains_key(&spec.name) {
        return Err(StartError::Taken(spec.name));
    }
    lock().forget_circumstances(&spec.name);
    let (mut first_refusal, mut refused_now) = (None, Vec::new());
    for _ in 0..MAX_FIRST_TRIES {
        let Some((mut reload, version)) = lock().first_reload(&spec, &refused_now) else {
            break;
        };
        let outcome = drive_first(&mut reload, &*lock().env.clock.clone());
        match outcome {
            Outcome::Ready(instance) => {
                let model = lock().adopt_first(spec.clone(), *instance, refused_now);
                load_standbys(controller, &spec);
                return Ok(model);
            }
            Outcome::Rejected(rejection) => {
                let refused = KeptOut::refused(reload.fingerprint(), &version, &rejection);
                refused_now.push(refused);
                first_refusal.get_or_insert((version, rejection));
            }
            Outcome::Promoted(_) => {}
        }
    }
    let name = spec.name;
    match first_refusal {
        Some((version, rejection)) => Err(StartError::Refused {
            name,
            version,
            rejection,
        }),
        None => Err(StartError::Nothing {
            hint: lock().hint(&name, &spec.source),
            name,
        }),
    }
}

/// Loads what waits behind the first generation, where the policy keeps the newest versions warm. A
/// version that is refused is kept out, and the next lower one takes its place.
fn load_standbys(controller: &std::sync::Mutex<Controller>, spec: &ModelSpec) {
    let lock = || controller.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..MAX_FIRST_TRIES {
        let Some((mut reload, version)) = lock().standby_reload(spec) else {
            return;
        };
        let outcome = drive_first(&mut reload, &*lock().env.clock.clone());
        match outcome {
            Outcome::Ready(instance) => lock().adopt_standby(&spec.name, *instance),
            Outcome::Rejected(rejection) => {
                let refused = KeptOut::refused(reload.fingerprint(), &version, &rejection);
                lock().keep_out(&spec.name, refused);
            }
            Outcome::Promoted(_) => {}
        }
    }
}

fn drive_first(reload: &mut Reload, clock: &dyn Clock) -> Outcome {
    let signal = reload.signal();
    loop {
        if let Progress::Waiting(until_ns) = reload.advance() {
            let left_ns = until_ns.unwrap_or(0).saturating_sub(clock.now_ns());
            signal.wait(std::time::Duration::from_nanos(left_ns.min(50_000_000)));
        }
        if let Some(outcome) = reload.finish() {
            return outcome;
        }
    }
}

impl Controller {
    /// The reload that could give a first generation: of what the policy says, then, where that was
    /// refused, of the last good one, then of what is left.
    fn first_reload(
        &mut self,
        spec: &ModelSpec,
        refused_now: &[KeptOut],
    ) -> Option<(Reload, String)> {
        self.catalog = self.store.catalog();
        let mut memory = self.memories.entry(spec.name.clone()).or_default().clone();
        let is_out = |good: &LastGood| {
            memory
                .kept_out
                .iter()
                .any(|one| one.holds(&good.fingerprint))
        };
        // What an operator went away from is no floor.
        let floor = memory.last_good.clone().filter(|good| !is_out(good));
        memory.kept_out.extend_from_slice(refused_now);
        let last_good = memory
            .last_good
            .as_ref()
            .filter(|_| !refused_now.is_empty());
        let target = last_good
            .and_then(|good| {
                let mut catalog = self.catalog.clone();
                catalog.keep_only(&good.fingerprint);
                self.choose_in(&catalog, spec, &memory.kept_out)
            })
            .or_else(|| {
                // What was live before a restart is what versions must not fall below.
                let floor = floor.as_ref().map(|good| Live {
                    plugin: &good.plugin_version,
                    model: good.model_version.as_deref(),
                    fingerprint: "",
                });
                self.choose_for(spec, &memory.kept_out, floor)
            })?;
        let (plan, start) = self.plan(spec, &target, None, None);
        let reload = Reload::new(Arc::clone(&self.env), plan, start, None);
        Some((reload, version_of(&target)))
    }

    /// The reload that could give the next standby: of the newest version below those that are
    /// loaded. A pinned model has none, because it goes nowhere.
    fn standby_reload(&mut self, spec: &ModelSpec) -> Option<(Reload, String)> {
        let slot = self.slots.get(&spec.name)?;
        if slot.is_pinned(&self.desired.pins) || slot.standbys.len() >= slot.wanted_standbys() {
            return None;
        }
        let lowest = slot.standbys.first().map(|one| &one.generation);
        let lower = self.catalog.below(lowest.unwrap_or(&slot.live));
        let target = self.choose_in(&lower, spec, &slot.kept_out)?;
        let is_same_code = code_of(&target.fingerprint()) == code_of(&slot.live.fingerprint);
        let mapped = is_same_code.then(|| slot.live.loaded.clone());
        let (plan, start) = self.plan(spec, &target, mapped, None);
        let reload = Reload::new(Arc::clone(&self.env), plan, start, None);
        Some((reload, version_of(&target)))
    }

    fn adopt_standby(&mut self, name: &str, instance: Instance) {
        let waits = label(Occasion::Standby, name, &instance.generation);
        self.env.audit.write(waits);
        match self.slots.get_mut(name) {
            // They come from the newest to the oldest, which is the first to leave.
            Some(slot) => slot.standbys.insert(0, instance),
            None => self.end(name, instance, 0),
        }
    }

    /// The newest of what lies in `catalog`, whatever is live or pinned.
    pub(super) fn choose_in(
        &self,
        catalog: &Catalog,
        spec: &ModelSpec,
        kept_out: &[KeptOut],
    ) -> Option<Target> {
        let is_out = |fingerprint: &str| kept_out.iter().any(|one| one.holds(fingerprint));
        let wanted = Wanted {
            name: &spec.name,
            source: &spec.source,
            pin: None,
            plugin_pin: None,
            kept_out: &is_out,
            live: None,
        };
        choose(catalog, &wanted)
    }

    /// Lets in again what was refused for reasons of the moment.
    fn forget_circumstances(&mut self, name: &str) {
        if let Some(memory) = self.memories.get_mut(name) {
            memory.kept_out.retain(|one| one.reason.is_lasting());
        }
    }

    /// What to do where nothing is left to try.
    fn hint(&self, name: &str, source: &ModelSource) -> String {
        let memory = self.memories.get(name);
        let refused: Vec<String> = memory
            .map_or(&[][..], |memory| &memory.kept_out)
            .iter()
            .map(|one| {
                let (version, reason, message) = (&one.version, one.reason, &one.message);
                format!("{version} was refused before ({reason}: {message})")
            })
            .collect();
        if !refused.is_empty() {
            return format!(
                "{}; install another version, or let it in again with `fusebox plugin reload \
                 {name}`",
                refused.join("; ")
            );
        }
        let (what, wanted, known) = match source {
            ModelSource::Plugin { id, .. } => ("plugin", id.as_str(), &self.catalog.plugins),
            ModelSource::Packages { .. } => {
                return self.hint_of_package(name, memory.and_then(|one| one.last_good.as_ref()));
            }
        };
        let mut known: Vec<&str> = known.iter().map(|found| found.name.as_str()).collect();
        known.dedup();
        if known.contains(&wanted) {
            let before = memory.and_then(|memory| memory.last_good.as_ref());
            return match before {
                Some(before) => format!(
                    "{} of {what} {wanted} was live before, and a lower version goes live only \
                     where it is pinned (`fusebox plugin pin`)",
                    before.plugin_version
                ),
                None => format!("no version of {what} {wanted} that is installed is wanted"),
            };
        }
        let near = nearest(wanted, &known).map(|near| format!("; did you mean `{near}`?"));
        format!(
            "{what} {wanted} is not installed{}",
            near.unwrap_or_else(|| "; `fusebox plugin list` shows what is".to_owned())
        )
    }

    fn hint_of_package(&self, name: &str, before: Option<&LastGood>) -> String {
        let known: Vec<&str> = self
            .catalog
            .models
            .iter()
            .map(|one| one.found.name.as_str())
            .collect();
        if !known.contains(&name) {
            let near = nearest(name, &known).map(|near| format!("; did you mean `{near}`?"));
            return format!(
                "there is no model package `{name}`{}",
                near.unwrap_or_default()
            );
        }
        match before.and_then(|before| before.model_version.as_ref()) {
            Some(version) => format!(
                "{version} was live before, and a lower version goes live only where it is pinned"
            ),
            None => "its model package needs a plugin that is not installed, or another version \
                     of it"
                .to_owned(),
        }
    }

    fn adopt_first(
        &mut self,
        spec: ModelSpec,
        instance: Instance,
        refused_now: Vec<KeptOut>,
    ) -> LiveModel {
        let link = Link::new(&instance, &self.signal);
        let generation = Arc::clone(&instance.generation);
        let promoted = label(State::Promoted, &spec.name, &generation);
        self.env.audit.write(promoted);
        let kept_out = self
            .memories
            .get(&spec.name)
            .map(|memory| memory.kept_out.clone());
        let model = LiveModel::new(
            instance,
            spec.swap,
            Arc::clone(&self.env.clock),
            Arc::clone(&link),
        );
        let name = spec.name.clone();
        let mut kept_out = kept_out.unwrap_or_default();
        kept_out.extend(refused_now);
        let slot = Slot::new(spec, link, kept_out);
        self.slots.insert(name.clone(), slot);
        self.is_scan_due.store(true, Ordering::Release);
        self.is_good(&name, &generation);
        self.note_loaded();
        self.save_memories();
        model
    }

    /// Remembers a generation that has proven itself.
    pub(super) fn is_good(&mut self, name: &str, generation: &Generation) {
        let memory = self.memories.entry(name.to_owned()).or_default();
        let weights = generation.weights.as_ref();
        memory.last_good = Some(LastGood {
            plugin_version: generation.version().to_owned(),
            model_version: weights.map(|weights| weights.version.clone()),
            fingerprint: generation.fingerprint.clone(),
        });
        if let Some(slot) = self.slots.get(name) {
            memory.kept_out.clone_from(&slot.kept_out);
        }
        self.is_memory_new = true;
        self.remember_version(generation);
    }

    /// Tells those who install packages which version was good last.
    fn remember_version(&self, generation: &Generation) {
        let Some(dir) = &self.state_dir else {
            return;
        };
        let versions = HighestVersions::new(FileVersionStore::new(&dir.path));
        let (plugin, version) = (generation.plugin(), generation.version());
        if let Err(error) = versions.force(plugin, version) {
            tracing::warn!(plugin, version, "the version cannot be recorded: {error}");
        }
    }
}
