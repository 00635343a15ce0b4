//! Keeps a model alive: makes a spare worker, brings it to the model's state when the first one
//! dies, waits longer after every death and gives up in the end.
//!
//! One thread per model, started when the model is first used. It owns the spare; the model owns
//! the worker that serves. What both need lies behind one lock: the rows since the newest
//! snapshot, the snapshot, and who sits where.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use fusebox_plugin_api::error::{PluginError, Result, Status};
use fusebox_plugin_api::model::Snapshot;
use serde_json::Value;

use super::frames::Passage;
use super::handle::{CallError, CallResult, Worker};
use super::history::{Group, History};
use super::options::WorkerOptions;
use super::process::{Process, lock};
use super::recipe::Recipe;
use crate::clock::{Clock, SystemClock};
use crate::worker::ring::PREDICT;
use crate::worker::wire::{Ask, Blob};

/// How often a spare that waits is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// Who sits where the model is served.
#[derive(Debug)]
enum Place {
    /// The model has its worker.
    Taken,
    /// The worker died.
    Vacant,
    /// A spare is being brought to the model's state.
    Promised,
    /// A worker in the model's state waits to be taken.
    Ready(Box<Worker>),
    /// Too many died.
    GivenUp(PluginError),
}

/// What the model and its keeper share.
#[derive(Debug)]
pub(super) struct State {
    pub(super) history: History,
    pub(super) snapshot: Option<Snapshot>,
    place: Place,
    spare: Option<Worker>,
    recipe: Result<Recipe>,
    /// Counts changes of the recipe.
    edition: u64,
    /// The process that is being made ready, so that it can be ended from outside.
    begun: Option<Arc<Process>>,
    deaths: VecDeque<u64>,
    wait_ms: u64,
    next_try_ns: u64,
    last_cause: Option<PluginError>,
    is_stopped: bool,
}

#[derive(Debug)]
struct Shared {
    plugin: String,
    options: Arc<WorkerOptions>,
    state: Mutex<State>,
    changed: Condvar,
}

/// The keeper of one model.
#[derive(Debug)]
pub(super) struct Keeper {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What the keeper's thread does next.
enum Step {
    Stop,
    TakeOver(Worker),
    Make(Recipe, u64),
    Rest(Option<Duration>),
}

impl Keeper {
    pub(super) fn new(
        plugin: &str,
        options: Arc<WorkerOptions>,
        recipe: Result<Recipe>,
        snapshot: Option<Snapshot>,
    ) -> Self {
        let history = History::new(options.history_rows);
        Self {
            shared: Arc::new(Shared {
                plugin: plugin.to_owned(),
                options,
                state: Mutex::new(State {
                    history,
                    snapshot,
                    place: Place::Taken,
                    spare: None,
                    recipe,
                    edition: 0,
                    begun: None,
                    deaths: VecDeque::new(),
                    wait_ms: 0,
                    next_try_ns: 0,
                    last_cause: None,
                    is_stopped: false,
                }),
                changed: Condvar::new(),
            }),
            thread: None,
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.shared.state)
    }

    /// Starts the thread, where it does not run yet.
    pub(super) fn rouse(&mut self) {
        if self.thread.is_some() {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let builder = std::thread::Builder::new().name("fusebox-keeper".to_owned());
        match builder.spawn(move || shared.run()) {
            Ok(thread) => self.thread = Some(thread),
            Err(error) => tracing::warn!("a model has no spare: no thread for it: {error}"),
        }
    }

    /// The model's worker is dead: asks for another one.
    pub(super) fn vacate(&mut self, lived_ns: u64, cause: PluginError) {
        self.rouse();
        let mut state = self.state();
        if !matches!(state.place, Place::GivenUp(_)) {
            state.place = Place::Vacant;
        }
        self.shared.note_death(&mut state, lived_ns, cause);
        drop(state);
        self.shared.changed.notify_all();
    }

    /// Takes the next worker, waiting for one that is on its way at most `takeover_ms` and not
    /// beyond `deadline_ns`.
    ///
    /// # Errors
    /// Where there is none yet, or there will be none any more.
    pub(super) fn take(&self, deadline_ns: Option<u64>) -> Result<Worker> {
        let now = SystemClock.now_ns();
        let most = now.saturating_add(self.shared.options.takeover_ms.saturating_mul(1_000_000));
        let until = deadline_ns.map_or(most, |deadline| deadline.min(most));
        let mut state = self.state();
        loop {
            match std::mem::replace(&mut state.place, Place::Taken) {
                Place::Ready(worker) if worker.is_dead() => {
                    let lived = now.saturating_sub(worker.process.started_ns);
                    let cause = worker.process.obituary("its wait to serve");
                    state.place = Place::Vacant;
                    self.shared.note_death(&mut state, lived, cause);
                    self.shared.changed.notify_all();
                }
                Place::Ready(worker) => {
                    drop(state);
                    self.shared.changed.notify_all();
                    return Ok(*worker);
                }
                other => state.place = other,
            }
            let left = until.saturating_sub(SystemClock.now_ns());
            let is_coming = match &state.place {
                Place::GivenUp(error) => return Err(error.clone()),
                Place::Vacant => state.spare.is_some(),
                _ => true,
            };
            if !is_coming || left == 0 {
                return Err(self.restarting(&state));
            }
            let wait = Duration::from_nanos(left);
            let waited = self.shared.changed.wait_timeout(state, wait);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    #[cold]
    fn restarting(&self, state: &State) -> PluginError {
        let cause = state
            .last_cause
            .as_ref()
            .map_or("", |cause| cause.message());
        PluginError::new(
            Status::Crashed,
            format!(
                "{}: its worker is being restarted; why it died: {cause}",
                self.shared.plugin
            ),
        )
    }

    /// From now on the model is made with another artifact; a spare of the old one goes.
    pub(super) fn renew(&self, artifact: Result<Vec<u8>>) {
        let mut state = self.state();
        match (&mut state.recipe, artifact) {
            (Ok(recipe), Ok(artifact)) => recipe.artifact = Arc::new(artifact),
            (recipe, Err(error)) => *recipe = Err(error),
            (Err(_), Ok(_)) => {}
        }
        state.edition += 1;
        let spare = state.spare.take();
        drop(state);
        drop(spare);
        self.shared.changed.notify_all();
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let mut state = self.state();
        state.is_stopped = true;
        if let Some(begun) = state.begun.take() {
            begun.kill("its host no longer needs it");
        }
        let (spare, place) = (
            state.spare.take(),
            std::mem::replace(&mut state.place, Place::Taken),
        );
        drop(state);
        self.shared.changed.notify_all();
        drop((spare, place));
        if let Some(thread) = self.thread.take() {
            // A keeper that panicked has ended, too.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self) {
        loop {
            let mut state = lock(&self.state);
            match self.next_step(&mut state) {
                Step::Stop => return,
                Step::Rest(Some(limit)) => {
                    drop(self.changed.wait_timeout(state, limit));
                }
                Step::Rest(None) => drop(self.changed.wait(state)),
                Step::TakeOver(worker) => {
                    state.place = Place::Promised;
                    state.begun = Some(Arc::clone(&worker.process));
                    drop(state);
                    self.take_over(worker);
                }
                Step::Make(recipe, edition) => {
                    drop(state);
                    self.make(&recipe, edition);
                }
            }
        }
    }

    fn next_step(&self, state: &mut State) -> Step {
        if state.is_stopped {
            return Step::Stop;
        }
        let now = SystemClock.now_ns();
        if let Some(spare) = state.spare.take_if(|spare| spare.is_dead()) {
            let lived = now.saturating_sub(spare.process.started_ns);
            self.note_death(state, lived, spare.process.obituary("its wait as a spare"));
        }
        let is_vacant = matches!(state.place, Place::Vacant);
        if matches!(state.place, Place::GivenUp(_)) {
            return Step::Rest(None);
        }
        if is_vacant && let Some(spare) = state.spare.take() {
            return Step::TakeOver(spare);
        }
        let wants_spare = self.options.hot_spare && state.spare.is_none();
        if !is_vacant && !wants_spare {
            return Step::Rest(Some(LOOK));
        }
        match &state.recipe {
            Err(error) if is_vacant => {
                state.place = Place::GivenUp(error.clone());
                self.changed.notify_all();
                Step::Rest(None)
            }
            Err(_) => Step::Rest(None),
            Ok(_) if now < state.next_try_ns => {
                Step::Rest(Some(Duration::from_nanos(state.next_try_ns - now)))
            }
            Ok(recipe) => Step::Make(recipe.clone(), state.edition),
        }
    }

    fn make(&self, recipe: &Recipe, edition: u64) {
        let start = SystemClock.now_ns();
        let made = recipe.make(&mut |process| {
            let mut state = lock(&self.state);
            state.begun = Some(Arc::clone(process));
            if state.is_stopped {
                process.kill("its host no longer needs it");
            }
        });
        let mut state = lock(&self.state);
        state.begun = None;
        match made {
            Ok(worker) if state.edition == edition && !state.is_stopped => {
                state.spare = Some(worker);
            }
            Ok(worker) => {
                drop(state);
                drop(worker);
            }
            Err(_) if state.is_stopped => {}
            Err(error) => {
                let lived = SystemClock.now_ns().saturating_sub(start);
                self.note_death(&mut state, lived, error.into());
            }
        }
        self.changed.notify_all();
    }

    /// Brings a spare to the model's state and offers it. Rows that come in meanwhile are replayed
    /// in further rounds, until none is left while the state is locked.
    fn take_over(&self, mut worker: Worker) {
        let mut outcome = self.rebuild(&mut worker);
        loop {
            let mut state = lock(&self.state);
            state.begun = None;
            if state.is_stopped {
                return;
            }
            match outcome {
                Ok(at) if state.history.next_group(at, &mut Group::default()) => {
                    drop(state);
                    outcome = self.replay(&mut worker, at);
                }
                Ok(_) => {
                    state.place = Place::Ready(Box::new(worker));
                    break;
                }
                Err(error) => {
                    let lived = SystemClock
                        .now_ns()
                        .saturating_sub(worker.process.started_ns);
                    state.place = Place::Vacant;
                    self.note_death(&mut state, lived, error.into());
                    break;
                }
            }
        }
        self.changed.notify_all();
    }

    /// Restores the newest snapshot and replays the rows since; gives the row to go on with.
    fn rebuild(&self, worker: &mut Worker) -> CallResult<u64> {
        let (snapshot, start, missing) = {
            let state = lock(&self.state);
            let (start, missing) = state.history.replay_start();
            (state.snapshot.clone(), start, missing)
        };
        if let Some(snapshot) = &snapshot {
            let ask = Ask::Restore {
                schema: snapshot.schema,
            };
            worker.ask::<Value>("`restore`", &ask, &[Blob::Bytes(&snapshot.bytes)])?;
        }
        if missing > 0 {
            tracing::warn!(
                plugin = self.plugin,
                missing,
                "a model was rebuilt without its oldest rows; its state may differ for a while"
            );
        }
        self.replay(worker, start)
    }

    fn replay(&self, worker: &mut Worker, mut at: u64) -> CallResult<u64> {
        let limit_ms = self.options.control_timeout_ms;
        let passage = Passage::wide(PREDICT, limit_ms, limit_ms);
        let mut group = Group::default();
        while lock(&self.state).history.next_group(at, &mut group) {
            at = group.end;
            let shown = group.replay(|frame| {
                let rows = 0..frame.rows();
                worker.pass(frame, rows, passage, "a replay of earlier rows")
            });
            match shown.map_err(CallError::Refused).flatten() {
                // A row that the model refused before is refused again.
                Ok(()) | Err(CallError::Refused(_)) => {}
                Err(error) => {
                    lock(&self.state).history.strike(group.frame);
                    return Err(error);
                }
            }
        }
        Ok(at)
    }

    fn note_death(&self, state: &mut State, lived_ns: u64, cause: PluginError) {
        tracing::warn!(plugin = self.plugin, "{cause}");
        let policy = &self.options.restart;
        let now = SystemClock.now_ns();
        let ns = |ms: u64| ms.saturating_mul(1_000_000);
        let is_old = |death: &u64| now.saturating_sub(*death) > ns(policy.window_ms);
        while state.deaths.front().is_some_and(is_old) {
            state.deaths.pop_front();
        }
        state.deaths.push_back(now);
        let is_first = state.wait_ms == 0 || lived_ns >= ns(policy.healthy_ms);
        let doubled = state.wait_ms.saturating_mul(2);
        state.wait_ms = if is_first {
            policy.least_ms
        } else {
            doubled.min(policy.most_ms)
        };
        state.next_try_ns = now.saturating_add(ns(state.wait_ms));
        if state.deaths.len() > policy.most_deaths {
            let error = PluginError::state(format!(
                "{}: given up after {} deaths of its workers within {} s; the last one: {}; mend \
                 the plugin, then load it again",
                self.plugin,
                state.deaths.len(),
                policy.window_ms / 1000,
                cause.message()
            ));
            if matches!(state.place, Place::Taken) {
                // The model is served; only spares die. They are tried again after the window.
                state.next_try_ns = now.saturating_add(ns(policy.window_ms));
            } else {
                state.place = Place::GivenUp(error);
            }
        }
        state.last_cause = Some(cause);
    }
}
