//! One reload, as a machine that takes one step at a time: from files that were seen to a
//! generation that answers, or to a refusal.
//!
//! Nothing here waits. [`Reload::advance`] takes the next step and says whether there may be
//! another; who calls it (a thread of its own, or a test) decides when. The live generation is
//! asked for its state and handed its successor through the link; nothing else touches it.

mod follow;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::audit::{AuditEvent, AuditLog, Occasion};
use super::candidate::Candidate;
use super::facts::{Generation, Instance, Made, StateMode};
use super::files::Stamp;
use super::golden;
use super::leaks::Leaks;
use super::link::{Handed, Link, Port, Signal, Synced};
use super::origin::{Origin, Step, Verification};
use super::policy::SwapPolicy;
use super::shadow::Comparison;
use super::state::{Reason, Rejection, State};
use super::tap::TapReader;
use crate::clock::Clock;
use crate::guard::GuardPolicy;
use crate::load::LoadedPlugin;
use crate::manifest::Isolation;

/// Parcels of the tap that are looked at in one step.
const PARCELS_PER_STEP: usize = 64;

/// How files come to rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SettlePolicy {
    /// Between two looks at the files, milliseconds. Doubled after every look that found a change.
    pub first_ms: u64,
    /// Longest time between two looks, milliseconds.
    pub longest_ms: u64,
    /// Looks after which a package that keeps changing, or stays incomplete, is refused.
    pub looks: u32,
    /// Looks for which an incomplete package may lie still.
    pub still_looks: u32,
}

impl Default for SettlePolicy {
    fn default() -> Self {
        Self {
            first_ms: 5,
            longest_ms: 500,
            looks: 30,
            still_looks: 6,
        }
    }
}

/// What all reloads of a supervisor share.
#[derive(Debug)]
pub struct ReloadEnv {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Where every step is written down.
    pub audit: Arc<AuditLog>,
    /// What stays mapped.
    pub leaks: Arc<Leaks>,
    /// How files come to rest.
    pub settle: SettlePolicy,
}

/// What a reload begins with.
#[derive(Debug)]
pub enum Start {
    /// Files.
    Origin(Box<dyn Origin>),
    /// An instance that is warm already.
    Standby(Box<Instance>),
    /// Code that is still there, of a generation whose instances are gone.
    Retained(Arc<Generation>),
}

/// What to do.
#[derive(Debug)]
pub struct Plan {
    /// The live model.
    pub model: String,
    /// Identifies what it is made of.
    pub fingerprint: String,
    /// Id of the plugin, as far as known.
    pub plugin: String,
    /// Version of the plugin, as far as known.
    pub version: String,
    /// Version of the model package, where it comes from one.
    pub weights: Option<String>,
    /// What the generation has to prove.
    pub swap: SwapPolicy,
    /// What its answers are held to.
    pub guard: GuardPolicy,
    /// The operator's request that it belongs to.
    pub request: Option<u64>,
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// There is another step.
    Moved,
    /// Nothing to do before this time on the monotonic clock, or before the live side answers.
    Waiting(Option<u64>),
    /// It is over; [`Reload::finish`] has the outcome.
    Done,
}

/// How it ended.
#[derive(Debug)]
pub enum Outcome {
    /// The generation answers.
    Promoted(Arc<Generation>),
    /// The first generation of a model is ready.
    Ready(Box<Instance>),
    /// It goes no further.
    Rejected(Rejection),
}

#[derive(Debug)]
enum Stage {
    Seen(Look),
    Settled(Look),
    Verified(Box<Verification>),
    Scanned(Box<Verification>),
    Probed(Box<Verification>),
    Mapped(Box<(Verification, LoadedPlugin)>),
    Created(Candidate),
    Syncing(Candidate, Arc<Port<Synced>>),
    Restored(Candidate),
    Warmed(Candidate),
    Checked(Candidate),
    ShadowSync(Shadowing, Arc<Port<Synced>>),
    Shadow(Shadowing),
    Handing(Box<(StateMode, Arc<Generation>)>, Arc<Port<Handed>>),
    Over(Option<Outcome>),
}

#[derive(Debug)]
struct Look {
    stamp: Option<Stamp>,
    not_before_ns: u64,
    delay_ms: u64,
    looks: u32,
    still: u32,
}

#[derive(Debug)]
struct Shadowing {
    candidate: Candidate,
    reader: Option<TapReader>,
    comparison: Comparison,
}

/// A reload in progress.
#[derive(Debug)]
pub struct Reload {
    env: Arc<ReloadEnv>,
    plan: Plan,
    link: Option<Arc<Link>>,
    signal: Arc<Signal>,
    cancelled: Arc<AtomicBool>,
    stage: Stage,
    entered_ns: u64,
    label: AuditEvent,
    origin: Option<Box<dyn Origin>>,
    /// What it begins with, where that is no files.
    from: Option<Start>,
    /// Code that this reload added to this process.
    mapped_copy: Option<PathBuf>,
    golden: Vec<golden::GoldenSet>,
    /// What the files looked like that were verified last.
    judged: Option<Stamp>,
    needs_history: bool,
}

impl Reload {
    /// A reload of the live model behind `link`, or the making of a first generation.
    pub(crate) fn new(
        env: Arc<ReloadEnv>,
        plan: Plan,
        start: Start,
        link: Option<Arc<Link>>,
    ) -> Self {
        let (origin, from) = match start {
            Start::Origin(origin) => (Some(origin), None),
            start => (None, Some(start)),
        };
        let label = AuditEvent {
            plugin: plan.plugin.clone(),
            version: plan.version.clone(),
            weights: plan.weights.clone(),
            digest: plan.fingerprint.clone(),
            request: plan.request,
            ..AuditEvent::new(State::Seen, &plan.model)
        };
        let look = Look {
            stamp: None,
            not_before_ns: 0,
            delay_ms: env.settle.first_ms,
            looks: 0,
            still: 0,
        };
        let entered_ns = env.clock.now_ns();
        let mut reload = Self {
            env,
            plan,
            link,
            signal: Arc::default(),
            cancelled: Arc::default(),
            stage: Stage::Seen(look),
            entered_ns,
            label,
            origin,
            from,
            mapped_copy: None,
            golden: Vec::new(),
            judged: None,
            needs_history: false,
        };
        reload.enter(State::Seen, None, String::new());
        reload
    }

    /// Wakes whoever waits for this reload's next step.
    #[must_use]
    pub fn signal(&self) -> Arc<Signal> {
        Arc::clone(&self.signal)
    }

    /// Set it, and the reload ends before its next step, if it has not taken over yet.
    #[must_use]
    pub fn cancel_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.cancelled)
    }

    /// The fingerprint of what is being loaded.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.plan.fingerprint
    }

    /// What the files looked like when they were verified last: what is said of them is not said
    /// again before they look different. `None` where it did not come to that.
    #[must_use]
    pub fn judged(&self) -> Option<&Stamp> {
        self.judged.as_ref()
    }

    /// How it ended; `None` while it goes on.
    pub fn finish(&mut self) -> Option<Outcome> {
        match &mut self.stage {
            Stage::Over(outcome) => outcome.take(),
            _ => None,
        }
    }

    /// Takes the next step.
    pub fn advance(&mut self) -> Progress {
        if matches!(self.stage, Stage::Over(_)) {
            return Progress::Done;
        }
        let stage = std::mem::replace(&mut self.stage, Stage::Over(None));
        if self.cancelled.load(Ordering::Relaxed) && !matches!(stage, Stage::Handing(..)) {
            return self.reject(Rejection::new(Reason::Superseded, "it was called off"));
        }
        match self.step(stage) {
            Ok((stage, progress)) => {
                self.stage = stage;
                progress
            }
            Err(rejection) => self.reject(rejection),
        }
    }

    fn step(&mut self, stage: Stage) -> Result<(Stage, Progress), Rejection> {
        let moved = |stage| Ok((stage, Progress::Moved));
        match stage {
            Stage::Seen(look) => self.settle(look),
            Stage::Settled(look) => self.verify(look),
            Stage::Verified(found) => {
                let step = self.origin()?.scan()?;
                self.enter_step(State::Scanned, step);
                moved(Stage::Scanned(found))
            }
            Stage::Scanned(found) => {
                let step = self.origin()?.probe()?;
                self.enter_step(State::Probed, step);
                moved(Stage::Probed(found))
            }
            Stage::Probed(found) => self.map(*found),
            Stage::Mapped(both) => self.create(*both),
            Stage::Created(candidate) => self.begin_sync(candidate),
            Stage::Syncing(candidate, port) => self.restore(candidate, port),
            Stage::Restored(candidate) => self.warm(candidate),
            Stage::Warmed(candidate) => self.check_golden(candidate),
            Stage::Checked(candidate) => self.begin_shadow(candidate),
            Stage::ShadowSync(shadowing, port) => self.sync_shadow(shadowing, port),
            Stage::Shadow(shadowing) => self.shadow(shadowing),
            Stage::Handing(both, port) => self.handed(both, port),
            over @ Stage::Over(_) => Ok((over, Progress::Done)),
        }
    }

    fn settle(&mut self, mut look: Look) -> Result<(Stage, Progress), Rejection> {
        match self.from.take() {
            Some(Start::Standby(instance)) => {
                let candidate = Candidate::used(*instance);
                self.skip_to_created(&candidate, Reason::SkippedStandby);
                return Ok((Stage::Created(candidate), Progress::Moved));
            }
            Some(Start::Retained(generation)) => {
                let instance = generation
                    .instance(&self.env.clock)
                    .map_err(|error| Rejection::of_plugin(Reason::Create, &error))?;
                let candidate = Candidate::new(instance);
                self.skip_to_created(&candidate, Reason::SkippedMapped);
                return Ok((Stage::Created(candidate), Progress::Moved));
            }
            Some(Start::Origin(_)) | None => {}
        }
        let now_ns = self.env.clock.now_ns();
        if now_ns < look.not_before_ns {
            let until = look.not_before_ns;
            return Ok((Stage::Seen(look), Progress::Waiting(Some(until))));
        }
        let stamp = self.origin()?.stamp();
        let is_still = look.stamp.as_ref() == Some(&stamp);
        look.looks += 1;
        if is_still {
            look.still += 1;
            if look.still == 1 {
                self.enter(State::Settled, None, String::new());
            }
            return Ok((Stage::Settled(look), Progress::Moved));
        }
        let is_first = look.stamp.is_none();
        (look.stamp, look.still) = (Some(stamp), 0);
        if look.looks > self.env.settle.looks {
            let message = format!("its files still changed after {} looks", look.looks);
            return Err(Rejection::new(Reason::Unfinished, message));
        }
        Ok(self.look_again(look, !is_first))
    }

    fn look_again(&self, mut look: Look, is_slower: bool) -> (Stage, Progress) {
        if is_slower {
            look.delay_ms = (look.delay_ms * 2).min(self.env.settle.longest_ms);
        }
        look.not_before_ns = self.env.clock.now_ns() + look.delay_ms * 1_000_000;
        let until = look.not_before_ns;
        (Stage::Seen(look), Progress::Waiting(Some(until)))
    }

    /// A failure that an unfinished writer explains sends it back to look again, for a while.
    fn verify(&mut self, look: Look) -> Result<(Stage, Progress), Rejection> {
        let settle = self.env.settle;
        self.judged.clone_from(&look.stamp);
        match self.origin()?.verify() {
            Ok(found) => {
                self.label.plugin.clone_from(&found.plugin);
                self.label.version.clone_from(&found.version);
                self.label.digest.clone_from(&found.digest);
                self.label.generation = Some(found.generation);
                self.label.tier = Some(found.tier.to_string());
                self.label.weights = found.weights.as_ref().map(|one| one.version.clone());
                self.golden.clone_from(&found.golden);
                if let Some(words) = &found.warning {
                    tracing::warn!(model = self.plan.model, "{words}");
                }
                let note = found.warning.clone().unwrap_or_default();
                self.enter(State::Verified, None, note);
                Ok((Stage::Verified(Box::new(found)), Progress::Moved))
            }
            Err(rejection) => {
                let may_wait = look.still < settle.still_looks && look.looks < settle.looks;
                if rejection.may_be_unfinished() && may_wait {
                    return Ok(self.look_again(look, true));
                }
                Err(rejection)
            }
        }
    }

    fn map(&mut self, found: Verification) -> Result<(Stage, Progress), Rejection> {
        let leaks = Arc::clone(&self.env.leaks);
        if found.tier == Isolation::InProcess && leaks.is_over() && !self.origin()?.is_mapped() {
            let figures = leaks.figures();
            return Err(Rejection::new(
                Reason::LeakLimit,
                format!(
                    "code of {} retired generations holds {} KiB, {} are the limit; restart the \
                     program, or move this plugin to the worker tier",
                    figures.generations_leaked,
                    figures.leaked_kib,
                    leaks.limits().hard_kib
                ),
            ));
        }
        let (step, loaded) = self.origin()?.map()?;
        if step == Step::Done && loaded.tier() == Isolation::InProcess {
            leaks.count_mapped();
            self.mapped_copy = loaded.private_copy().map(Path::to_owned);
        }
        self.enter_step(State::Mapped, step);
        Ok((Stage::Mapped(Box::new((found, loaded))), Progress::Moved))
    }

    fn create(
        &mut self,
        (found, loaded): (Verification, LoadedPlugin),
    ) -> Result<(Stage, Progress), Rejection> {
        let generation = Arc::new(Generation::new(Made {
            number: found.generation,
            loaded,
            config: found.config,
            artifact: found.artifact,
            weights: found.weights,
            feature_set: found.feature_set,
            dressing: found.dressing,
            fingerprint: self.plan.fingerprint.clone(),
            guard: self.plan.guard,
        }));
        let instance = generation
            .instance(&self.env.clock)
            .map_err(|error| Rejection::of_plugin(Reason::Create, &error))?;
        self.check_interface(&instance)?;
        generation.set_state(State::Created);
        self.enter(State::Created, None, String::new());
        Ok((Stage::Created(Candidate::new(instance)), Progress::Moved))
    }

    fn skip_to_created(&mut self, candidate: &Candidate, reason: Reason) {
        let generation = &candidate.instance.generation;
        self.label.plugin = generation.plugin().to_owned();
        self.label.version = generation.version().to_owned();
        self.label.digest = generation.loaded.digest().unwrap_or_default().to_owned();
        self.label.generation = Some(generation.number);
        self.label.tier = Some(generation.tier().to_string());
        self.label.weights = generation.weights.as_ref().map(|one| one.version.clone());
        let skipped = [
            State::Settled,
            State::Verified,
            State::Scanned,
            State::Probed,
            State::Mapped,
            State::Created,
        ];
        for state in skipped {
            self.enter(state, Some(reason), String::new());
        }
    }

    fn check_open(&self) -> Result<(), Rejection> {
        match &self.link {
            Some(link) if link.is_closed() => Err(Rejection::new(
                Reason::Stopping,
                "nobody uses the model any more",
            )),
            _ => Ok(()),
        }
    }

    fn origin(&mut self) -> Result<&mut dyn Origin, Rejection> {
        match &mut self.origin {
            Some(origin) => Ok(&mut **origin),
            None => Err(Rejection::new(
                Reason::Create,
                "there are no files to begin with",
            )),
        }
    }

    fn enter_step(&mut self, state: State, step: Step) {
        let reason = match step {
            Step::Done => None,
            Step::Skipped(reason) => Some(reason),
        };
        self.enter(state, reason, String::new());
    }

    /// Writes down that a state was entered, or passed over.
    fn enter(&mut self, state: State, reason: Option<Reason>, note: String) {
        let now_ns = self.env.clock.now_ns();
        self.env.audit.write(AuditEvent {
            event: state.into(),
            reason,
            message: Some(note).filter(|note| !note.is_empty()),
            duration_us: now_ns.saturating_sub(self.entered_ns) / 1_000,
            ..self.label.clone()
        });
        self.entered_ns = now_ns;
    }

    fn reject(&mut self, rejection: Rejection) -> Progress {
        let now_ns = self.env.clock.now_ns();
        let event = AuditEvent {
            event: Occasion::Rejected.into(),
            duration_us: now_ns.saturating_sub(self.entered_ns) / 1_000,
            ..self.label.clone()
        };
        if let Some(copy) = self.mapped_copy.take() {
            self.env.leaks.count_retired(&copy);
        }
        let message = rejection.message.clone();
        self.env
            .audit
            .write(event.because(rejection.reason, message));
        self.stage = Stage::Over(Some(Outcome::Rejected(rejection)));
        Progress::Done
    }
}
