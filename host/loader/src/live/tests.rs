//! The whole machine in one thread, against a small reference: what must answer, with which state,
//! and that nothing is lost or doubled.
//!
//! Packages, plugins and the clock are fakes; the owner, the reloads, the controller and everything
//! between them are the real ones, driven step by step in an order that proptest chooses.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use fusebox_plugin_api::config::Config;
use fusebox_plugin_api::error::{PluginError, Result as PluginResult, Status};
use fusebox_plugin_api::frame::{Frame, FrameShape};
use fusebox_plugin_api::import::HostServices;
use fusebox_plugin_api::model::{Learner, Model, ModelInfo, Snapshot, Task};
use proptest::prelude::*;

use super::audit::{AuditEvent, AuditLog, Occasion};
use super::catalog::{Catalog, Found, FoundModel};
use super::choose::Target;
use super::control::Command;
use super::controller::{Controller, Drive, Parts, start_model};
use super::facts::{Generation, Instance, Made, WeightsFacts};
use super::files::Stamp;
use super::golden::{Golden, GoldenInput, GoldenSet, record};
use super::leaks::Leaks;
use super::link::{Link, Signal, lock};
use super::model_package::ModelManifest;
use super::origin::{Origin, Step, Verification};
use super::owner::LiveModel;
use super::policy::{ModelSpec, SwapPolicy};
use super::reload::{Outcome, Plan, Progress, Reload, ReloadEnv, SettlePolicy, Start};
use super::state::{Reason, Rejection, State};
use super::store::{Order, Store};
use crate::backend::{Backend, OpenPlugin};
use crate::clock::{Clock, ManualClock};
use crate::error::LoadError;
use crate::generation::next_generation;
use crate::guard::{FailureKind, GuardPolicy};
use crate::load::{LoadOptions, LoadedPlugin, open_with};
use crate::manifest::{Isolation, version_numbers};
use crate::trust::Revocations;

const PLUGIN: &str = "a.b";
const MODEL: &str = "m";

/// What is wrong with a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    /// Its state cannot be taken over; it has to be shown the rows.
    RefusesState,
    Unsettled,
    Verify,
    Digest,
    Scan,
    Probe,
    Map,
    Create,
    Interface,
    RestorePanics,
    Warmup,
    Golden,
    /// It answers something else than the live one.
    Shadow,
    /// It panics when it is live.
    PanicsLive,
    /// It answers errors when it is live.
    FailsLive,
    /// It answers NaN when it is live.
    NansLive,
}

impl Flaw {
    /// Whether a generation with it never answers.
    fn never_answers(self, has_shadow: bool) -> bool {
        use Flaw::*;
        match self {
            None | RefusesState => false,
            PanicsLive | FailsLive | NansLive => has_shadow,
            Shadow => has_shadow,
            _ => true,
        }
    }

    fn is_good(self, has_shadow: bool) -> bool {
        matches!(self, Flaw::None | Flaw::RefusesState) || self == Flaw::Shadow && !has_shadow
    }
}

/// What lies in the directories.
#[derive(Debug, Default)]
struct World {
    plugins: BTreeMap<[u64; 3], (u64, Flaw)>,
    weights: BTreeMap<[u64; 3], (u64, Flaw)>,
    revoked: Revocations,
    /// How often somebody wrote to files without committing them anew.
    touched: u64,
    /// The process of the next frame dies.
    crashes: bool,
    /// The next frame takes so long that this is raised meanwhile.
    given_up: Option<Arc<AtomicBool>>,
}

fn text([a, b, c]: [u64; 3]) -> String {
    format!("{a}.{b}.{c}")
}

/// What a plugin version adds to every answer, so that answers tell who gave them.
fn bias(version: &str) -> f32 {
    let [_, minor, patch] = version_numbers(version).unwrap();
    minor as f32 * 100.0 + patch as f32
}

/// The average that every version computes.
fn average(state: &mut f32, input: f32) -> f32 {
    *state += 0.25 * (input - *state);
    *state
}

#[derive(Debug)]
struct FakePlugin {
    world: Arc<Mutex<World>>,
    version: String,
    flaw: Flaw,
}

#[derive(Debug)]
struct FakeModel {
    world: Arc<Mutex<World>>,
    flaw: Flaw,
    bias: f32,
    state: f32,
}

impl Model for FakeModel {
    fn info(&self) -> PluginResult<ModelInfo> {
        let outputs: &[&str] = match self.flaw {
            Flaw::Interface => &["a", "b"],
            _ => &["a"],
        };
        Ok(ModelInfo::new(Task::Regression, outputs))
    }

    fn predict(&mut self, frame: &mut Frame<'_>) -> PluginResult<()> {
        for row in 0..frame.rows() {
            let input = frame.features(row)[0];
            let answer = average(&mut self.state, input) + self.bias;
            frame.output_row_mut(row)[0] = answer;
        }
        // A golden check is a frame without a time.
        if frame.is_replay() || frame.event_ns().is_none() {
            return Ok(());
        }
        if let Some(flag) = lock(&self.world).given_up.take() {
            flag.store(true, Ordering::Relaxed);
        }
        if std::mem::take(&mut lock(&self.world).crashes) {
            return Err(PluginError::new(Status::Crashed, "the process died"));
        }
        match self.flaw {
            Flaw::PanicsLive => Err(PluginError::new(Status::Panic, "panicked")),
            Flaw::FailsLive => Err(PluginError::internal("cannot")),
            Flaw::NansLive => {
                frame.output_row_mut(0)[0] = f32::NAN;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn warmup(&mut self) -> PluginResult<()> {
        match self.flaw {
            Flaw::Warmup => Err(PluginError::internal("cold")),
            _ => Ok(()),
        }
    }

    fn snapshot(&self) -> PluginResult<Snapshot> {
        Ok(Snapshot::new(1, self.state.to_le_bytes()))
    }

    fn restore(&mut self, snapshot: &Snapshot) -> PluginResult<()> {
        match self.flaw {
            Flaw::RefusesState => Err(PluginError::schema("another layout")),
            Flaw::RestorePanics => Err(PluginError::new(Status::Panic, "panicked")),
            _ => {
                self.state = f32::from_le_bytes(snapshot.bytes.as_slice().try_into()?);
                Ok(())
            }
        }
    }
}

impl OpenPlugin for FakePlugin {
    fn id(&self) -> &str {
        PLUGIN
    }

    fn version(&self) -> &str {
        &self.version
    }

    fn capabilities(&self) -> u64 {
        0
    }

    fn has_factory(&self, _: &str) -> bool {
        true
    }

    fn learner(&self) -> Option<Box<dyn Learner>> {
        None
    }

    fn create_model(&self, _: &Config, artifact: &[u8]) -> PluginResult<Box<dyn Model>> {
        let weights = String::from_utf8_lossy(artifact).into_owned();
        let is_bad_weights = weights.is_empty();
        if self.flaw == Flaw::Create || is_bad_weights {
            return Err(PluginError::data("no instance"));
        }
        Ok(Box::new(FakeModel {
            world: Arc::clone(&self.world),
            flaw: self.flaw,
            bias: bias(&self.version) + bias(&weights) * 1e4,
            state: 0.0,
        }))
    }
}

#[derive(Debug)]
struct FakeBackend(Arc<Mutex<World>>, String, Flaw);

impl Backend for FakeBackend {
    fn open(&self, _: HostServices) -> Result<Box<dyn OpenPlugin>, LoadError> {
        Ok(Box::new(FakePlugin {
            world: Arc::clone(&self.0),
            version: self.1.clone(),
            flaw: self.2,
        }))
    }
}

fn opened(world: &Arc<Mutex<World>>, version: &str, flaw: Flaw) -> LoadedPlugin {
    let backend = FakeBackend(Arc::clone(world), version.to_owned(), flaw);
    open_with(PLUGIN, &backend, &LoadOptions::new("/nowhere")).unwrap()
}

#[derive(Debug)]
struct FakeStore(Arc<Mutex<World>>);

impl Store for FakeStore {
    fn catalog(&mut self) -> Catalog {
        let world = lock(&self.0);
        let found = |name: &str, numbers: [u64; 3], content: u64| Found {
            name: name.to_owned(),
            version: text(numbers),
            numbers,
            path: format!("/{name}/{}", text(numbers)).into(),
            fingerprint: format!("{name}-{content}"),
        };
        let models = world
            .weights
            .iter()
            .map(|(numbers, (content, _))| FoundModel {
                found: found(MODEL, *numbers, *content),
                problem: None,
                manifest: Some(ModelManifest {
                    audit: None,
                    model: 1,
                    name: MODEL.to_owned(),
                    version: text(*numbers),
                    plugin: PLUGIN.to_owned(),
                    plugin_version: None,
                    feature_set: None,
                    bars: None,
                    params: toml::Table::new(),
                    artifact: None,
                    scaler: None,
                    readout: None,
                    golden: None,
                }),
            });
        let plugins = world.plugins.iter();
        Catalog {
            models: models.collect(),
            plugins: plugins
                .map(|(numbers, (content, _))| found(PLUGIN, *numbers, *content))
                .collect(),
        }
    }

    fn stamp(&mut self, _: &Target) -> Stamp {
        Stamp::numbered(lock(&self.0).touched)
    }

    fn revocations(&mut self) -> Revocations {
        lock(&self.0).revoked.clone()
    }

    fn judge(&mut self, _: &Target) -> Result<(), String> {
        Ok(())
    }

    fn origin(&mut self, order: Order<'_>) -> Box<dyn Origin> {
        let model = order.target.model.as_ref().unwrap();
        Box::new(FakeOrigin {
            world: Arc::clone(&self.0),
            plugin: order.target.plugin.numbers,
            weights: model.found.numbers,
            mapped: order.mapped,
            looks: 0,
        })
    }
}

#[derive(Debug)]
struct FakeOrigin {
    world: Arc<Mutex<World>>,
    plugin: [u64; 3],
    weights: [u64; 3],
    mapped: Option<LoadedPlugin>,
    looks: u64,
}

impl FakeOrigin {
    fn flaw(&self) -> Flaw {
        lock(&self.world).plugins[&self.plugin].1
    }

    fn fails(&self, flaw: Flaw, reason: Reason) -> Result<(), Rejection> {
        if self.flaw() == flaw && self.mapped.is_none() {
            return Err(Rejection::new(reason, "the fake says no"));
        }
        Ok(())
    }
}

impl Origin for FakeOrigin {
    fn stamp(&mut self) -> Stamp {
        self.looks += u64::from(self.flaw() == Flaw::Unsettled && self.mapped.is_none());
        Stamp::numbered(lock(&self.world).touched + self.looks)
    }

    fn verify(&mut self) -> Result<Verification, Rejection> {
        self.fails(Flaw::Verify, Reason::Untrusted)?;
        self.fails(Flaw::Digest, Reason::Digest)?;
        let weights = lock(&self.world).weights[&self.weights].1;
        if weights == Flaw::Verify {
            return Err(Rejection::new(Reason::Untrusted, "bad weights").of_weights());
        }
        let plugin = text(self.plugin);
        let golden_weights = "0.0.0";
        let mut known = opened(&self.world, &plugin, Flaw::None)
            .create_guarded(&Config::new(), golden_weights.as_bytes())
            .unwrap();
        let input = GoldenInput {
            rows: 2,
            columns: 1,
            inputs: vec![1.0, 2.0],
            event_ns: None,
        };
        let mut golden: Golden = record(&mut known, None, &[input]).unwrap();
        if self.flaw() == Flaw::Golden && self.mapped.is_none() {
            golden.frames[0].expected[1].0 += 1.0;
        }
        let artifact = match weights {
            Flaw::Create => String::new(),
            _ => text(self.weights),
        };
        Ok(Verification {
            plugin: PLUGIN.to_owned(),
            version: plugin,
            digest: "d".repeat(64),
            tier: Isolation::InProcess,
            generation: next_generation(),
            config: Config::new(),
            artifact: artifact.into_bytes().into(),
            weights: Some(WeightsFacts {
                version: text(self.weights),
                sha256: String::new(),
            }),
            golden: vec![GoldenSet {
                golden,
                artifact: Some(golden_weights.into()),
                tolerance_ulp: 0,
            }],
            feature_set: None,
            dressing: Default::default(),
            warning: None,
        })
    }

    fn scan(&mut self) -> Result<Step, Rejection> {
        self.fails(Flaw::Scan, Reason::Library)?;
        Ok(Step::Done)
    }

    fn probe(&mut self) -> Result<Step, Rejection> {
        self.fails(Flaw::Probe, Reason::Probe)?;
        Ok(Step::Done)
    }

    fn is_mapped(&self) -> bool {
        self.mapped.is_some()
    }

    fn map(&mut self) -> Result<(Step, LoadedPlugin), Rejection> {
        self.fails(Flaw::Map, Reason::Map)?;
        match &self.mapped {
            Some(loaded) => Ok((Step::Skipped(Reason::SkippedMapped), loaded.clone())),
            None => {
                let loaded = opened(&self.world, &text(self.plugin), self.flaw());
                Ok((Step::Done, loaded))
            }
        }
    }
}

/// The machine and its reference.
struct Bench {
    world: Arc<Mutex<World>>,
    clock: Arc<ManualClock>,
    audit: Arc<AuditLog>,
    controller: Mutex<Controller>,
    model: LiveModel,
    has_shadow: bool,
    /// The average over every row, whoever answered it.
    state: f32,
    rows: u64,
    next_input: u32,
    next_content: u64,
    failures: Vec<FailureKind>,
    answered_by: Vec<u64>,
    /// Plugin and weights of every generation that answered.
    known: BTreeMap<u64, (String, String)>,
}

impl Bench {
    fn new(history_rows: usize, shadow_rows: u64) -> Self {
        let world = Arc::new(Mutex::new(World::default()));
        lock(&world).plugins.insert([1, 0, 1], (1, Flaw::None));
        lock(&world).weights.insert([1, 0, 1], (2, Flaw::None));
        let clock = Arc::new(ManualClock::default());
        clock.advance_ns(1);
        let audit = Arc::new(AuditLog::in_memory(clock.clone()));
        let env = Arc::new(ReloadEnv {
            clock: clock.clone(),
            audit: Arc::clone(&audit),
            leaks: Arc::new(Leaks::default()),
            settle: SettlePolicy {
                first_ms: 0,
                longest_ms: 0,
                looks: 4,
                still_looks: 2,
            },
        });
        let controller = Controller::new(Parts {
            env,
            store: Box::new(FakeStore(Arc::clone(&world))),
            state_dir: None,
            drive: Drive::Inline,
            rescan_ms: 1,
            step_timeout_ms: 1_000,
        });
        let controller = Mutex::new(controller.unwrap());
        let mut spec = ModelSpec::of_packages(MODEL);
        spec.swap.history_rows = history_rows;
        spec.swap.replay_rows = history_rows;
        spec.swap.shadow_rows = shadow_rows;
        spec.swap.max_difference = Some(1e9);
        spec.swap.probation.rows = 6.min(history_rows);
        spec.swap.probation.minimum_calls = 2;
        let model = start_model(&controller, spec).unwrap();
        Self {
            world,
            clock,
            audit,
            controller,
            model,
            has_shadow: shadow_rows > 0,
            state: 0.0,
            rows: 0,
            next_input: 0,
            next_content: 10,
            failures: Vec::new(),
            answered_by: Vec::new(),
            known: BTreeMap::new(),
        }
    }

    /// Predicts a frame and compares it with the reference, bit by bit.
    fn predict(&mut self, rows: usize) {
        let inputs: Vec<f32> = (0..rows)
            .map(|n| ((self.next_input + n as u32) * 7 % 23) as f32)
            .collect();
        self.next_input += rows as u32;
        let mut output = vec![0.0; rows];
        let frame = Frame::new(&inputs, &mut output, FrameShape::dense(rows, 1, 1));
        let mut frame = frame.unwrap().with_event_ns(i64::from(self.next_input));
        let outcome = self.model.predict(&mut frame);
        let expected: Vec<f32> = inputs
            .iter()
            .map(|input| average(&mut self.state, *input))
            .collect();
        match outcome {
            Ok(answered) => {
                assert_eq!(answered.first_row, self.rows, "a row was lost or doubled");
                let facts = self.model.generation();
                assert_eq!(answered.generation, facts.number);
                let weights = facts.weights.clone().unwrap().version;
                let versions = (facts.version().to_owned(), weights);
                let bias = bias(&versions.0) + bias(&versions.1) * 1e4;
                let expected: Vec<u32> =
                    expected.iter().map(|one| (one + bias).to_bits()).collect();
                let found: Vec<u32> = output.iter().map(|one| one.to_bits()).collect();
                assert_eq!(found, expected, "{versions:?} continued with another state");
                let flaw = lock(&self.world).plugins[&version_numbers(&versions.0).unwrap()].1;
                assert!(!flaw.never_answers(self.has_shadow) || self.is_replaced(&versions.0));
                self.known.insert(answered.generation, versions);
                self.answered_by.push(answered.generation);
            }
            Err(error) => self.failures.push(error.kind),
        }
        self.rows += rows as u64;
        assert_eq!(self.model.rows(), self.rows);
    }

    /// Whether the package of a live version was exchanged since it was loaded.
    fn is_replaced(&self, version: &str) -> bool {
        let content = lock(&self.world).plugins[&version_numbers(version).unwrap()].0;
        let live = &self.model.generation().fingerprint;
        !live.starts_with(&format!("{PLUGIN}-{content}+"))
    }

    fn tick(&mut self, times: usize) {
        for _ in 0..times {
            self.clock.advance_ns(1_000_000);
            lock(&self.controller).tick();
        }
    }

    fn commit(&mut self, flaw: Flaw) {
        self.next_content += 1;
        let mut world = lock(&self.world);
        let newest = *world.plugins.keys().last().unwrap();
        let next = [newest[0], newest[1], newest[2] + 1];
        world.plugins.insert(next, (self.next_content, flaw));
    }

    fn commit_weights(&mut self, flaw: Flaw) {
        self.next_content += 1;
        let mut world = lock(&self.world);
        let newest = *world.weights.keys().last().unwrap();
        let next = [newest[0], newest[1], newest[2] + 1];
        world.weights.insert(next, (self.next_content, flaw));
    }

    fn ask(&mut self, command: Command) -> u64 {
        lock(&self.controller).ask(command)
    }

    /// Lets everything that was begun come to its end.
    fn settle(&mut self) {
        for _ in 0..400 {
            self.tick(2);
            self.predict(1);
        }
    }

    fn events(&self) -> Vec<AuditEvent> {
        self.audit.since(0)
    }

    fn live(&self) -> (String, String) {
        let facts = self.model.generation();
        let weights = facts.weights.clone().unwrap().version;
        (facts.version().to_owned(), weights)
    }

    fn target() -> String {
        MODEL.to_owned()
    }

    /// The outcome of a request, once there is one.
    fn outcome(&self, request: u64) -> Option<Option<Reason>> {
        let events = self.events();
        let answers = |event: &&AuditEvent| event.is(Occasion::Request);
        let mut answers = events.iter().filter(answers);
        answers
            .find(|event| event.request == Some(request))
            .map(|event| event.reason)
    }

    fn rejections(&self) -> Vec<Reason> {
        let events = self.events();
        let rejected = events.iter().filter(|event| event.is(Occasion::Rejected));
        rejected.filter_map(|event| event.reason).collect()
    }
}

#[test]
fn every_state_is_entered_once_and_in_order() {
    let mut bench = Bench::new(64, 3);
    bench.predict(5);
    bench.commit(Flaw::None);
    bench.settle();
    assert_eq!(bench.live().0, "1.0.2");
    let events = bench.events();
    let new = |event: &&AuditEvent| event.version == "1.0.2";
    let states: Vec<_> = events.iter().filter(new).map(|event| event.event).collect();
    let mut expected: Vec<_> = State::ALL[..13]
        .iter()
        .map(|state| (*state).into())
        .collect();
    expected.push(Occasion::Proven.into());
    assert_eq!(states, expected);
    let old = |event: &&AuditEvent| event.version == "1.0.1";
    let states: Vec<_> = events.iter().filter(old).map(|event| event.event).collect();
    assert!(states.ends_with(&[
        State::Retired.into(),
        State::Quiesced.into(),
        State::Destroyed.into(),
    ]));
}

#[test]
fn every_failure_has_its_reason_and_disturbs_nobody() {
    for (flaw, reason) in [
        (Flaw::Unsettled, Reason::Unfinished),
        (Flaw::Verify, Reason::Untrusted),
        (Flaw::Digest, Reason::Digest),
        (Flaw::Scan, Reason::Library),
        (Flaw::Probe, Reason::Probe),
        (Flaw::Map, Reason::Map),
        (Flaw::Create, Reason::Create),
        (Flaw::Interface, Reason::Interface),
        (Flaw::RestorePanics, Reason::Panic),
        (Flaw::Warmup, Reason::Warmup),
        (Flaw::Golden, Reason::Golden),
        (Flaw::PanicsLive, Reason::Panic),
        (Flaw::FailsLive, Reason::Shadow),
        (Flaw::NansLive, Reason::Shadow),
    ] {
        let mut bench = Bench::new(64, 3);
        bench.predict(3);
        bench.commit(flaw);
        bench.settle();
        assert_eq!(bench.rejections(), [reason], "{flaw:?}");
        assert_eq!(bench.live().0, "1.0.1", "{flaw:?}");
        assert_eq!(bench.failures, []);
        // It stays out until its digest changes, and a newer one is not held up by it.
        bench.commit(Flaw::None);
        bench.settle();
        assert_eq!(bench.live().0, "1.0.3", "{flaw:?}");
    }
}

#[test]
fn a_package_that_is_refused_is_told_once_until_its_files_change() {
    let mut bench = Bench::new(64, 3);
    bench.predict(3);
    bench.commit(Flaw::Digest);
    bench.tick(1);
    // Somebody still writes to it while it is looked at.
    lock(&bench.world).touched += 1;
    bench.settle();
    assert_eq!(bench.rejections(), [Reason::Digest]);
    let told = bench.events();
    let told = told.iter().find(|event| event.is(Occasion::Rejected));
    let told = told.unwrap();
    assert_eq!(
        (&*told.version, told.weights.as_deref()),
        ("1.0.2", Some("1.0.1"))
    );
    bench.settle();
    assert_eq!(bench.rejections().len(), 1, "nothing changed");
    lock(&bench.world).touched += 1;
    bench.settle();
    assert_eq!(
        bench.rejections(),
        [Reason::Digest; 2],
        "it is looked at anew"
    );
    assert_eq!(bench.live().0, "1.0.1");
}

#[test]
fn weights_that_are_refused_for_themselves_are_not_told_again_with_other_code() {
    let mut bench = Bench::new(64, 3);
    bench.commit(Flaw::None);
    bench.settle();
    bench.commit_weights(Flaw::Verify);
    bench.settle();
    bench.commit(Flaw::None);
    bench.settle();
    assert_eq!(bench.rejections(), [Reason::Untrusted]);
    assert_eq!(bench.live(), ("1.0.3".to_owned(), "1.0.1".to_owned()));
    bench.commit_weights(Flaw::Verify);
    bench.settle();
    assert_eq!(
        bench.rejections().len(),
        2,
        "other weights are another matter"
    );
}

#[test]
fn a_generation_that_fails_in_probation_is_sent_back_and_the_frame_is_answered() {
    for (flaw, reason, lost) in [
        (Flaw::PanicsLive, Reason::Panic, 0),
        (Flaw::FailsLive, Reason::ErrorRate, 1),
        (Flaw::NansLive, Reason::NanRate, 1),
    ] {
        let mut bench = Bench::new(64, 0);
        bench.predict(3);
        bench.commit(flaw);
        bench.settle();
        assert_eq!(bench.live().0, "1.0.1");
        assert_eq!(bench.failures.len(), lost, "{flaw:?}");
        let events = bench.events();
        let back: Vec<_> = events
            .iter()
            .filter(|event| event.is(Occasion::RolledBack))
            .collect();
        assert_eq!(back.len(), 1);
        assert_eq!(back[0].reason, Some(reason));
        assert_eq!(back[0].version, "1.0.2");
    }
}

#[test]
fn a_process_that_dies_in_probation_sends_its_generation_back() {
    let mut bench = Bench::new(64, 0);
    bench.predict(3);
    bench.commit(Flaw::None);
    while bench.live().0 == "1.0.1" {
        bench.tick(1);
        bench.model.poll();
    }
    bench.predict(2);
    lock(&bench.world).crashes = true;
    bench.predict(1);
    assert_eq!(bench.live().0, "1.0.1");
    assert_eq!(bench.failures, [], "the one before answered in its place");
    bench.settle();
    assert_eq!(bench.live().0, "1.0.1", "it is kept out");
    let request = bench.ask(Command::Reload {
        target: Bench::target(),
    });
    bench.settle();
    assert_eq!(bench.outcome(request), Some(None));
    assert_eq!(bench.live().0, "1.0.2", "an operator may try it again");
}

/// An instance of a sound generation, outside of any controller.
fn instance(world: &Arc<Mutex<World>>, version: &str, clock: &Arc<dyn Clock>) -> Instance {
    let generation = Arc::new(Generation::new(Made {
        number: next_generation(),
        loaded: opened(world, version, Flaw::None),
        config: Config::new(),
        artifact: Arc::from(*b"1.0.0"),
        weights: None,
        feature_set: None,
        dressing: Default::default(),
        fingerprint: version.to_owned(),
        guard: GuardPolicy::default(),
    }));
    generation.instance(clock).unwrap()
}

#[test]
fn a_reload_that_was_given_up_in_its_last_step_of_shadow_never_takes_over() {
    let world = Arc::new(Mutex::new(World::default()));
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    let env = Arc::new(ReloadEnv {
        clock: Arc::clone(&clock),
        audit: Arc::new(AuditLog::in_memory(Arc::clone(&clock))),
        leaks: Arc::default(),
        settle: SettlePolicy::default(),
    });
    let swap = SwapPolicy {
        shadow_rows: 1,
        ..SwapPolicy::default()
    };
    let first = instance(&world, "1.0.0", &clock);
    let link = Link::new(&first, &Arc::new(Signal::default()));
    let mut live = LiveModel::new(first, swap, Arc::clone(&clock), Arc::clone(&link));
    let predict = |live: &mut LiveModel| {
        let (input, mut output) = ([1.0], [0.0]);
        let frame = Frame::new(&input, &mut output, FrameShape::dense(1, 1, 1)).unwrap();
        live.predict(&mut frame.with_event_ns(1)).unwrap();
    };
    predict(&mut live);
    let plan = Plan {
        model: MODEL.to_owned(),
        fingerprint: "1.0.1".to_owned(),
        plugin: PLUGIN.to_owned(),
        version: "1.0.1".to_owned(),
        weights: None,
        swap,
        guard: GuardPolicy::default(),
        request: None,
    };
    let start = Start::Standby(Box::new(instance(&world, "1.0.1", &clock)));
    let mut reload = Reload::new(env, plan, start, Some(link));
    // Until it waits for a row in shadow: then there is one, and it takes too long over it.
    for _ in 0..20 {
        reload.advance();
        live.poll();
    }
    predict(&mut live);
    lock(&world).given_up = Some(reload.cancel_flag());
    assert_eq!(reload.advance(), Progress::Done);
    assert!(lock(&world).given_up.is_none(), "it was shown the row");
    live.poll();
    assert_eq!(live.generation().version(), "1.0.0");
    let Some(Outcome::Rejected(rejection)) = reload.finish() else {
        panic!("it ended without a refusal");
    };
    assert_eq!(rejection.reason, Reason::Superseded);
}

#[test]
fn an_operator_pins_unpins_and_goes_back() {
    let mut bench = Bench::new(64, 0);
    bench.predict(3);
    bench.commit_weights(Flaw::None);
    bench.settle();
    assert_eq!(bench.live().1, "1.0.2");
    let target = Bench::target;
    let back = bench.ask(Command::Rollback { target: target() });
    bench.settle();
    assert_eq!(bench.outcome(back), Some(None));
    assert_eq!(bench.live().1, "1.0.1");
    bench.commit_weights(Flaw::None);
    bench.settle();
    assert_eq!(bench.live().1, "1.0.3");
    let pin = bench.ask(Command::Pin {
        target: target(),
        version: "1.0.2".to_owned(),
    });
    bench.settle();
    assert_eq!(bench.outcome(pin), Some(None));
    assert_eq!(bench.live().1, "1.0.2", "a pin lets in what was kept out");
    let refused = bench.ask(Command::Rollback { target: target() });
    bench.settle();
    assert_eq!(bench.outcome(refused), Some(Some(Reason::Operator)));
    let absent = bench.ask(Command::Pin {
        target: target(),
        version: "9.9.9".to_owned(),
    });
    bench.settle();
    assert_eq!(bench.outcome(absent), Some(Some(Reason::Operator)));
    let unpin = bench.ask(Command::Unpin { target: target() });
    bench.settle();
    assert_eq!(bench.outcome(unpin), Some(None));
    assert_eq!(bench.live().1, "1.0.3");
    let nobody = bench.ask(Command::Unpin {
        target: "nobody".to_owned(),
    });
    assert_eq!(bench.outcome(nobody), Some(Some(Reason::Operator)));
    // In probation, going back needs no loading.
    bench.commit_weights(Flaw::None);
    while bench.live().1 == "1.0.3" {
        bench.tick(1);
        bench.model.poll();
    }
    bench.tick(2);
    let back = bench.ask(Command::Rollback { target: target() });
    bench.tick(1);
    bench.predict(1);
    assert_eq!(bench.live().1, "1.0.3");
    bench.tick(1);
    assert_eq!(bench.outcome(back), Some(None));
}

#[test]
fn weights_are_exchanged_without_touching_the_library() {
    let mut bench = Bench::new(64, 0);
    bench.predict(3);
    bench.commit_weights(Flaw::None);
    bench.settle();
    let events = bench.events();
    let mapped = events
        .iter()
        .find(|event| event.is_state(State::Mapped) && event.weights.as_deref() == Some("1.0.2"));
    assert_eq!(mapped.unwrap().reason, Some(Reason::SkippedMapped));
    bench.commit_weights(Flaw::Verify);
    bench.commit_weights(Flaw::Create);
    bench.settle();
    assert_eq!(bench.live().1, "1.0.2");
}

#[derive(Debug, Clone)]
enum Op {
    Predict(usize),
    Tick(usize),
    Commit(Flaw),
    CommitWeights(Flaw),
    Pin(u64),
    Unpin,
    Rollback,
    Reload,
    Crash,
}

fn flaws() -> impl Strategy<Value = Flaw> {
    use Flaw::*;
    prop_oneof![
        6 => Just(None),
        2 => Just(RefusesState),
        3 => prop::sample::select(vec![PanicsLive, FailsLive, NansLive]),
        3 => prop::sample::select(vec![
            Unsettled, Verify, Digest, Scan, Probe, Map, Create, Interface, RestorePanics, Warmup,
            Golden,
        ]),
    ]
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        8 => (1_usize..4).prop_map(Op::Predict),
        8 => (1_usize..12).prop_map(Op::Tick),
        3 => flaws().prop_map(Op::Commit),
        2 => prop::sample::select(vec![Flaw::None, Flaw::None, Flaw::Verify, Flaw::Create])
            .prop_map(Op::CommitWeights),
        1 => (1_u64..4).prop_map(Op::Pin),
        1 => Just(Op::Unpin),
        1 => Just(Op::Rollback),
        1 => Just(Op::Reload),
        1 => Just(Op::Crash),
    ];
    prop::collection::vec(op, 1..60)
}

/// Carries the operations out. Gives the requests that were made, and the pin that is left.
fn carry_out(bench: &mut Bench, ops: Vec<Op>, may_crash: bool) -> (Vec<u64>, Option<String>) {
    let (mut requests, target) = (Vec::new(), Bench::target);
    let mut pin = None;
    for op in ops {
        match op {
            Op::Predict(rows) => bench.predict(rows),
            Op::Tick(times) => bench.tick(times),
            Op::Commit(flaw) => bench.commit(flaw),
            Op::CommitWeights(flaw) => bench.commit_weights(flaw),
            Op::Pin(patch) => {
                let version = format!("1.0.{patch}");
                pin = Some(version.clone());
                let target = target();
                requests.push(bench.ask(Command::Pin { target, version }));
            }
            Op::Unpin => {
                pin = None;
                requests.push(bench.ask(Command::Unpin { target: target() }));
            }
            Op::Rollback => requests.push(bench.ask(Command::Rollback { target: target() })),
            Op::Reload => requests.push(bench.ask(Command::Reload { target: target() })),
            Op::Crash if may_crash => lock(&bench.world).crashes = true,
            Op::Crash => {}
        }
    }
    (requests, pin)
}

/// Carries the operations out, then lets everything come to its end and looks at who is live.
fn run(mut bench: Bench, ops: Vec<Op>, may_crash: bool) {
    let (requests, pin) = carry_out(&mut bench, ops, may_crash);
    bench.settle();
    for request in requests {
        assert!(
            bench.outcome(request).is_some(),
            "request {request} was never answered"
        );
    }
    let failures_before = bench.failures.len();
    bench.predict(3);
    assert_eq!(
        bench.failures.len(),
        failures_before,
        "what is live does not answer"
    );
    let (plugin, weights) = bench.live();
    let world = lock(&bench.world);
    let flaw = world.plugins[&version_numbers(&plugin).unwrap()].1;
    assert!(flaw.is_good(bench.has_shadow), "{plugin} is live");
    if let Some(pin) = pin.and_then(|pin| version_numbers(&pin))
        && let Some((_, Flaw::None)) = world.weights.get(&pin)
    {
        let kept_out = bench.controller.lock().unwrap().status().models[0]
            .kept_out
            .clone();
        let is_out = kept_out.iter().any(|one| one.version == text(pin));
        assert!(
            weights == text(pin) || is_out,
            "pinned to {pin:?}, but {weights} is live"
        );
    }
    drop(world);
    // Numbers of generations that answered never interleave: one goes when another comes.
    let mut runs = bench.answered_by.clone();
    runs.dedup();
    let distinct: BTreeSet<u64> = runs.iter().copied().collect();
    let returns = runs.len() - distinct.len();
    let backs = bench
        .events()
        .iter()
        .filter(|event| event.is(Occasion::RolledBack))
        .count();
    let retained = bench
        .events()
        .iter()
        .filter(|event| event.is_state(State::Created) && event.reason.is_some())
        .count();
    assert!(
        returns <= backs + retained,
        "a generation came back without a reason"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn any_interleaving_answers_every_row_once_with_the_right_state(ops in ops()) {
        run(Bench::new(4_096, 0), ops, true);
    }

    #[test]
    fn any_interleaving_with_shadow_does_too(ops in ops()) {
        run(Bench::new(4_096, 5), ops, false);
    }

    #[test]
    fn any_interleaving_with_a_short_history_does_too(ops in ops()) {
        let takes_snapshots = |op: &Op| !matches!(op, Op::Commit(Flaw::RefusesState));
        let ops = ops.into_iter().filter(takes_snapshots).collect();
        run(Bench::new(4, 0), ops, true);
    }
}
