//! The preparing side: what lies there, what is wanted, what runs, what has ended.
//!
//! [`Controller::tick`] does everything that can be done now and returns; nothing in it runs code
//! of a plugin, except where reloads are driven inline, as tests do to have everything in one
//! thread and in a known order. The supervisor calls it from its thread.

mod events;
mod first;
mod requests;
mod revoked;
mod running;
mod slot;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use first::StartError;
pub(crate) use first::start_model;
pub(crate) use running::Drive;

use super::audit::{AuditEvent, AuditLog, Occasion};
use super::catalog::Catalog;
use super::choose::{Live, Target, Wanted, choose, code_of};
use super::control::{Desired, KeptOut, LoadedNow, Memories, Role, StateDir};
use super::facts::Generation;
use super::link::Signal;
use super::policy::{ModelSource, ModelSpec, SwapPolicy};
use super::reaper::Reaper;
use super::reload::{Plan, Reload, ReloadEnv, Start};
use super::state::{Reason, Rejection};
use super::status::{ModelStatus, SystemStatus};
use super::store::{Order, Store};
use crate::manifest::Isolation;
use requests::OpenRequest;
use running::{Abandoned, About, Running};
use slot::Slot;

/// Reloads that may run at once.
const MAX_RUNNING: usize = 4;

/// Reloads whose plugin has not come back, beyond which no new one is started.
const MAX_ABANDONED: usize = 8;

/// What a controller is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) env: Arc<ReloadEnv>,
    pub(crate) store: Box<dyn Store>,
    /// `None` remembers nothing and hears nobody.
    pub(crate) state_dir: Option<StateDir>,
    pub(crate) drive: Drive,
    pub(crate) rescan_ms: u64,
    pub(crate) step_timeout_ms: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Controller {
    env: Arc<ReloadEnv>,
    store: Box<dyn Store>,
    state_dir: Option<StateDir>,
    drive: Drive,
    rescan_ms: u64,
    step_timeout_ms: u64,
    signal: Arc<Signal>,
    is_scan_due: Arc<AtomicBool>,
    next_scan_ns: u64,
    reaper: Reaper,
    slots: BTreeMap<String, Slot>,
    catalog: Catalog,
    /// Directories and fingerprints of packages that were said to be unusable.
    told_unusable: BTreeSet<(PathBuf, String)>,
    desired: Desired,
    /// Requests up to this number were seen.
    seen_request: u64,
    /// Requests that still have to be carried out.
    open_requests: BTreeMap<u64, OpenRequest>,
    memories: Memories,
    is_memory_new: bool,
    abandoned: Vec<Abandoned>,
}

impl Controller {
    pub(crate) fn new(parts: Parts) -> std::io::Result<Self> {
        let (memories, desired) = match &parts.state_dir {
            Some(dir) => (dir.memories()?, super::control::read_desired(&dir.path)?),
            None => Default::default(),
        };
        let signal = Arc::new(Signal::default());
        let mut reaper = Reaper::inline(&parts.env.clock, &parts.env.audit, &signal);
        if parts.drive == Drive::Threads {
            reaper.start_thread()?;
        }
        parts
            .env
            .audit
            .write(AuditEvent::new(Occasion::Started, ""));
        Ok(Self {
            reaper,
            env: parts.env,
            store: parts.store,
            state_dir: parts.state_dir,
            drive: parts.drive,
            rescan_ms: parts.rescan_ms,
            step_timeout_ms: parts.step_timeout_ms,
            signal,
            is_scan_due: Arc::new(AtomicBool::new(true)),
            next_scan_ns: 0,
            slots: BTreeMap::new(),
            catalog: Catalog::default(),
            told_unusable: BTreeSet::new(),
            // Old requests were for another run; pins stay.
            seen_request: desired.requests.last().map_or(0, |last| last.request),
            desired,
            open_requests: BTreeMap::new(),
            memories,
            is_memory_new: false,
            abandoned: Vec::new(),
        })
    }

    pub(crate) fn signal(&self) -> Arc<Signal> {
        Arc::clone(&self.signal)
    }

    pub(crate) fn audit(&self) -> Arc<AuditLog> {
        Arc::clone(&self.env.audit)
    }

    /// Raise it, and the directories are read at the next tick.
    pub(crate) fn scan_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_scan_due)
    }

    /// Does what can be done now. Gives whether anything moved.
    pub(crate) fn tick(&mut self) -> bool {
        // Outcomes first: a notice that came before an outcome is then already there to be read.
        let outcomes = self.poll_running();
        let mut has_moved = self.hear_notices();
        for (name, outcome) in outcomes {
            has_moved |= self.conclude(&name, outcome);
        }
        has_moved |= self.hear_requests();
        if self.scan_if_due() {
            has_moved = true;
            self.heed_revocations();
            self.follow_policies();
        }
        has_moved |= self.carry_out_queued();
        self.account_for_ended();
        self.note_loaded();
        self.save_memories();
        has_moved
    }

    /// Remembers what is loaded, for those who ask from another process.
    fn note_loaded(&mut self) {
        for (name, slot) in &self.slots {
            let memory = self.memories.entry(name.clone()).or_default();
            let known = memory.loaded.iter().map(|one| (one.role, one.generation));
            if !known.eq(slot.loaded().map(|(role, one)| (role, one.number))) {
                memory.loaded = slot.loaded().map(loaded_now).collect();
                self.is_memory_new = true;
            }
        }
    }

    fn save_memories(&mut self) {
        if !std::mem::take(&mut self.is_memory_new) {
            return;
        }
        let saved = self
            .state_dir
            .as_ref()
            .map(|dir| dir.remember(&self.memories));
        if let Some(Err(error)) = saved {
            tracing::warn!(%error, "the state of live models could not be written");
        }
    }

    fn scan_if_due(&mut self) -> bool {
        let now_ns = self.env.clock.now_ns();
        let is_time = now_ns >= self.next_scan_ns;
        if !self.is_scan_due.swap(false, Ordering::Acquire) && !is_time {
            return false;
        }
        self.next_scan_ns = now_ns + self.rescan_ms * 1_000_000;
        let before = std::mem::replace(&mut self.catalog, self.store.catalog());
        for gone in self.catalog.removed_since(&before) {
            self.env.audit.write(AuditEvent {
                plugin: gone.name.clone(),
                version: gone.version.clone(),
                digest: gone.fingerprint.clone(),
                ..AuditEvent::new(Occasion::Removed, "")
            });
            self.told_unusable.retain(|(path, _)| *path != gone.path);
        }
        self.tell_unusable(&before);
        true
    }

    /// Says once of each package of a live model that it can never be chosen, and why.
    fn tell_unusable(&mut self, before: &Catalog) {
        for (found, words) in self.catalog.unusable_since(before) {
            let is_ours = self.slots.contains_key(&found.name);
            let known = (found.path.clone(), found.fingerprint.clone());
            if !is_ours || !self.told_unusable.insert(known) {
                continue;
            }
            let event = AuditEvent {
                weights: Some(found.version.clone()),
                digest: found.fingerprint.clone(),
                ..AuditEvent::new(Occasion::Rejected, &found.name)
            };
            self.env.audit.write(event.because(Reason::Manifest, words));
        }
    }

    /// Starts a reload for every model that should run something else.
    fn follow_policies(&mut self) {
        let names: Vec<String> = self.slots.keys().cloned().collect();
        for name in names {
            let Some(target) = self.wanted_by(&name) else {
                continue;
            };
            let Some(slot) = self.slots.get(&name) else {
                continue;
            };
            // What an operator asked for comes first.
            if slot.going_back.is_some() || !slot.queued.is_empty() {
                continue;
            }
            match &slot.running {
                None => {
                    let about = About::default();
                    let _ = self.start_reload(&name, &target, about);
                }
                // Something newer than what is being loaded: that one has to give way, unless
                // an operator asked for it.
                Some(running)
                    if running.request.is_none() && running.fingerprint != target.fingerprint() =>
                {
                    running.cancel();
                }
                Some(_) => {}
            }
        }
    }

    /// What a model should run, where that is something else than it does.
    fn wanted_by(&mut self, name: &str) -> Option<Target> {
        let slot = self.slots.get(name)?;
        let live = Arc::clone(&slot.live);
        let mut kept_out = slot.kept_out.clone();
        let unfinished = slot.unfinished.clone();
        let spec = slot.spec.clone();
        // Each turn leaves one package out that was refused while it may have been unfinished. Such
        // a package counts as new once its files changed.
        for _ in 0..=unfinished.len() {
            let live = Live {
                plugin: live.version(),
                model: live
                    .weights
                    .as_ref()
                    .map(|weights| weights.version.as_str()),
                fingerprint: &live.fingerprint,
            };
            let target = self.choose_for(&spec, &kept_out, Some(live))?;
            let fingerprint = target.fingerprint();
            let refused = unfinished.get(&fingerprint);
            if refused.is_none_or(|stamp| *stamp != self.store.stamp(&target)) {
                return Some(target);
            }
            kept_out.push(KeptOut {
                fingerprint,
                version: version_of(&target),
                reason: Reason::Unfinished,
                message: String::new(),
            });
        }
        None
    }

    fn choose_for(
        &self,
        spec: &ModelSpec,
        kept_out: &[KeptOut],
        live: Option<Live<'_>>,
    ) -> Option<Target> {
        let pins = &self.desired.pins;
        let plugin_pin = |plugin: &str| pins.get(plugin).cloned();
        let pin = pins.get(&spec.name).or_else(|| match &spec.source {
            ModelSource::Plugin { id, .. } => pins.get(id),
            ModelSource::Packages { .. } => None,
        });
        let is_out = |fingerprint: &str| kept_out.iter().any(|one| one.holds(fingerprint));
        let wanted = Wanted {
            name: &spec.name,
            source: &spec.source,
            pin: pin.map(String::as_str),
            plugin_pin: Some(&plugin_pin),
            kept_out: &is_out,
            live,
        };
        choose(&self.catalog, &wanted)
    }

    /// Begins to load a target for a model that runs.
    fn start_reload(&mut self, name: &str, target: &Target, about: About) -> Result<(), Rejection> {
        let Some(slot) = self.slots.get(name) else {
            return Ok(());
        };
        // The same code with other weights is not loaded again, unless it has to be judged again.
        let is_same_code = code_of(&target.fingerprint()) == code_of(&slot.live.fingerprint);
        let is_revoked = slot.told_revoked.contains_key(&slot.live.number);
        let may_reuse = is_same_code && target.model.is_some() && !is_revoked;
        let mapped = may_reuse.then(|| slot.live.loaded.clone());
        let (plan, start) = self.plan(&slot.spec.clone(), target, mapped, about.request);
        let stamp = Some(self.store.stamp(target));
        let version = version_of(target);
        self.run(
            name,
            (plan, start),
            About {
                stamp,
                version,
                ..about
            },
        )
    }

    fn plan(
        &mut self,
        spec: &ModelSpec,
        target: &Target,
        mapped: Option<crate::load::LoadedPlugin>,
        request: Option<u64>,
    ) -> (Plan, Start) {
        let (config, artifact) = match &spec.source {
            ModelSource::Plugin {
                config, artifact, ..
            } => (config.clone(), artifact.as_slice().into()),
            ModelSource::Packages { .. } => Default::default(),
        };
        let limits = self.env.leaks.limits();
        let floor = if self.env.leaks.is_over() && limits.overflow_to_worker {
            Isolation::Worker
        } else {
            Isolation::InProcess
        };
        let origin = self.store.origin(Order {
            target,
            mapped,
            config,
            artifact,
            floor,
            rows: spec.rows.clone(),
        });
        let plan = Plan {
            model: spec.name.clone(),
            fingerprint: target.fingerprint(),
            plugin: target.plugin.name.clone(),
            version: target.plugin.version.clone(),
            weights: target.model.as_ref().map(|one| one.found.version.clone()),
            swap: spec.swap,
            guard: spec.guard,
            request,
        };
        (plan, Start::Origin(origin))
    }

    fn run(
        &mut self,
        name: &str,
        (plan, start): (Plan, Start),
        about: About,
    ) -> Result<(), Rejection> {
        let running = self
            .slots
            .values()
            .filter(|slot| slot.running.is_some())
            .count();
        if running >= MAX_RUNNING {
            // The end of one of them starts another look.
            let message = format!("{running} reloads run already; ask again when one has ended");
            return Err(Rejection::new(Reason::Timeout, message));
        }
        if self.abandoned.len() >= MAX_ABANDONED {
            let message = "too many reloads have not come back; restart the program";
            return Err(Rejection::new(Reason::Timeout, message));
        }
        let Some(slot) = self.slots.get_mut(name) else {
            return Ok(());
        };
        let reload = Reload::new(
            Arc::clone(&self.env),
            plan,
            start,
            Some(Arc::clone(&slot.link)),
        );
        let seams = (&self.env.clock, &self.signal);
        match Running::start(reload, about, self.drive, seams) {
            Ok(running) => {
                slot.running = Some(running);
                Ok(())
            }
            Err(error) => Err(Rejection::new(
                Reason::Timeout,
                format!("no thread for the reload: {error}"),
            )),
        }
    }

    /// Has the directories read at the next tick, whatever the time.
    pub(crate) fn look_again(&mut self) {
        self.next_scan_ns = 0;
    }

    /// What a model runs and what ran before it, for people and metrics.
    pub(crate) fn status(&self) -> SystemStatus {
        SystemStatus {
            models: self.slots.values().map(model_status).collect(),
            leaks: self.env.leaks.figures(),
            abandoned_reloads: self.abandoned.len(),
        }
    }
}

/// The version that a target is known by.
fn version_of(target: &Target) -> String {
    match &target.model {
        Some(model) => model.found.version.clone(),
        None => target.plugin.version.clone(),
    }
}

/// The version that a generation is known by.
fn known_version(generation: &Generation) -> String {
    match &generation.weights {
        Some(weights) => weights.version.clone(),
        None => generation.version().to_owned(),
    }
}

fn loaded_now((role, generation): (Role, &Arc<Generation>)) -> LoadedNow {
    LoadedNow {
        role,
        plugin: generation.plugin().to_owned(),
        version: generation.version().to_owned(),
        weights: generation.weights.as_ref().map(|one| one.version.clone()),
        generation: generation.number,
        fingerprint: generation.fingerprint.clone(),
    }
}

/// What an operator's order to go back proves: nothing, it is wanted at once.
fn at_once(swap: SwapPolicy) -> SwapPolicy {
    let mut swap = swap;
    swap.shadow_rows = 0;
    swap.probation.rows = 0;
    swap
}

fn model_status(slot: &Slot) -> ModelStatus {
    let parked = slot.parked();
    ModelStatus {
        name: slot.spec.name.clone(),
        rows: slot.link.rows(),
        live: (&*slot.live).into(),
        parked: parked.map(|one| (&**one).into()),
        standbys: slot
            .standbys
            .iter()
            .map(|one| (&*one.generation).into())
            .collect(),
        loading: slot.running.as_ref().map(|running| running.version.clone()),
        last_rejection: slot.last_rejection.clone(),
        kept_out: slot.kept_out.clone(),
        earlier: slot
            .facts
            .iter()
            .filter(|one| one.number != slot.live.number)
            .map(|one| (&**one).into())
            .collect(),
    }
}
