//! The one guard between the house and any model: shapes, complete answers, panics, time, counts.
//!
//! Everything a loaded plugin hands out is wrapped here, so no other stage checks a plugin again.
//! Every value of an answer is NaN before the model is asked, so one that reports success without
//! writing is found out like one that answers NaN, and NaN again after a call that failed. After a
//! panic or a write outside its cells the model answers nothing more.
//!
//! With a [`GuardPolicy`] the guard also holds the model to a deadline, stops asking one that keeps
//! failing, and counts. It stamps the deadline on the frame, where a worker process reads it and is
//! cut off. A model inside this process cannot be interrupted: the guard finds out afterwards that
//! an answer was late, throws it away and lets the breaker keep the next bars from waiting; a model
//! that never returns holds its caller for ever, and belongs into a worker.
//!
//! A call that succeeds takes no lock, no memory and no system call but the clock of the vDSO;
//! without a policy, as in a batch, it reads no clock either.

mod answers;
mod breaker;
pub mod histogram;
mod learner;
mod metrics;
mod policy;
mod scratch;
mod watch;

#[cfg(test)]
mod tests;

pub use breaker::{BreakerCause, BreakerTransition};
pub(crate) use learner::GuardedLearner;
pub use metrics::{MetricsSnapshot, ModelMetrics};
pub use policy::{BreakerConfig, BreakerState, FailureKind, GuardPolicy, PolicyError};
pub use watch::BreakerObserver;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use fusebox_plugin_api::error::{PluginError, Result, Status};
use fusebox_plugin_api::ext::{Explain, Incremental, OnnxExport, Quantiles};
use fusebox_plugin_api::frame::Frame;
use fusebox_plugin_api::model::{Model, ModelInfo, Progress, Snapshot};
use fusebox_plugin_api::schema::Dataset;

use crate::clock::Clock;
use answers::Answers;
use scratch::Scratch;
use watch::Watch;

/// What went through a guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GuardStats {
    /// Predictions asked for.
    pub calls: u64,
    /// Rows in them.
    pub rows: u64,
    /// Calls that failed, for whatever reason.
    pub errors: u64,
}

/// A model behind the guard.
pub struct GuardedModel {
    plugin: String,
    info: ModelInfo,
    answers: Answers,
    model: Box<dyn Model>,
    stats: GuardStats,
    last_failure: Option<FailureKind>,
    /// What poisoned the model.
    poison: Option<FailureKind>,
    watch: Option<Watch>,
    /// Boxed, so that setting it aside for a call moves a pointer.
    scratch: Option<Box<Scratch>>,
}

/// Why a call gave no answer.
struct Failure {
    kind: FailureKind,
    error: PluginError,
}

impl std::fmt::Debug for GuardedModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GuardedModel")
            .field("plugin", &self.plugin)
            .field("stats", &self.stats)
            .field("is_poisoned", &self.is_poisoned())
            .field("breaker", &self.breaker_state())
            .finish_non_exhaustive()
    }
}

impl GuardedModel {
    /// Guards a model of the plugin called `plugin`, and asks it once what it takes and answers.
    ///
    /// # Errors
    /// Where the model cannot tell, or describes itself in a way that makes no sense.
    pub fn new(plugin: &str, model: Box<dyn Model>) -> Result<Self> {
        let info = model.info()?;
        let mut problems = Vec::new();
        if info.window == 0 {
            problems.push("it takes windows of no steps");
        }
        if info.outputs.is_empty() {
            problems.push("it names no outputs");
        }
        if !info.features.is_empty() && info.columns != Some(info.features.len()) {
            problems.push("its column count is not the number of its features");
        }
        if !problems.is_empty() {
            let problems = problems.join("; ");
            return Err(PluginError::data(format!(
                "{plugin}: the model makes no sense: {problems}"
            )));
        }
        Ok(Self {
            plugin: plugin.to_owned(),
            answers: Answers::of(&info),
            info,
            model,
            stats: GuardStats::default(),
            last_failure: None,
            poison: None,
            watch: None,
            scratch: None,
        })
    }

    /// The same model, held to `policy`, counted in `metrics`, by the time of `clock`.
    ///
    /// Metrics may be those of other models too, such as of all of one generation. A policy that
    /// [`GuardPolicy::validate`] refuses is kept as far as its memory and time are bounded.
    #[must_use]
    pub fn with_policy(
        mut self,
        policy: &GuardPolicy,
        metrics: Arc<ModelMetrics>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        self.watch = Some(Watch::new(policy, metrics, clock));
        self.scratch = policy.canaries.then(Box::default);
        self
    }

    /// The same model behind what `wrap` puts between the guard and it, which must take and answer
    /// what the model does.
    #[must_use]
    pub(crate) fn wrapped(mut self, wrap: impl FnOnce(Box<dyn Model>) -> Box<dyn Model>) -> Self {
        self.model = wrap(self.model);
        self
    }

    /// The same model, telling `observer` of every change of its breaker, from within the
    /// prediction that changed it. Needs a policy, whose breaker it is.
    #[must_use]
    pub fn with_observer(mut self, observer: BreakerObserver) -> Self {
        if let Some(watch) = &mut self.watch {
            watch.observe(observer);
        }
        self
    }

    /// What went through so far.
    #[must_use]
    pub fn stats(&self) -> GuardStats {
        self.stats
    }

    /// What the model takes and answers, as it said when it was made.
    #[must_use]
    pub fn known_info(&self) -> &ModelInfo {
        &self.info
    }

    /// The plugin that the model is of.
    #[must_use]
    pub fn plugin(&self) -> &str {
        &self.plugin
    }

    /// Whether the model panicked or wrote outside its cells, and answers nothing more.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.poison.is_some()
    }

    /// Where the breaker stands; closed where the policy has none. One that is open stays so until
    /// the first call after its time.
    #[must_use]
    pub fn breaker_state(&self) -> BreakerState {
        let watch = self.watch.as_ref();
        watch.map_or(BreakerState::Closed, Watch::breaker_state)
    }

    /// Where the calls are counted; `None` without a policy.
    #[must_use]
    pub fn metrics(&self) -> Option<&Arc<ModelMetrics>> {
        self.watch.as_ref().map(Watch::metrics)
    }

    /// Why the newest call failed; `None` where it did not.
    #[must_use]
    pub fn last_failure(&self) -> Option<FailureKind> {
        self.last_failure
    }

    /// Refuses what must not reach the model.
    fn check(&self, frame: &Frame<'_>) -> Result<(), Failure> {
        if let Some(poison) = self.poison {
            return Err(self.poisoned(poison));
        }
        let columns = self.info.columns.unwrap_or(frame.columns());
        let (window, outputs) = (self.info.window, self.info.outputs.len());
        let checked = frame.expect(columns, window, outputs);
        checked.map_err(|error| Failure {
            kind: FailureKind::Shape,
            error: error.at(&self.plugin),
        })
    }

    /// Asks the model, through the scratch block where there is one.
    fn ask(&mut self, frame: &mut Frame<'_>) -> Result<(), Failure> {
        let Some(mut scratch) = self.scratch.take() else {
            wipe(frame);
            self.call(frame)?;
            return self.check_answers(frame);
        };
        let result = self.ask_through(&mut scratch, frame);
        self.scratch = Some(scratch);
        result
    }

    fn ask_through(&mut self, scratch: &mut Scratch, frame: &mut Frame<'_>) -> Result<(), Failure> {
        let called = match scratch.redirect(frame) {
            Ok(mut inner) => self.call(&mut inner),
            Err(error) => Err(Failure::of_model(error)),
        };
        // Also a call that failed may have written where it should not.
        if let Some(stray) = scratch.stray() {
            return Err(self.strayed(stray));
        }
        called?;
        for row in 0..frame.rows() {
            frame.output_row_mut(row).copy_from_slice(scratch.row(row));
        }
        self.check_answers(frame)
    }

    fn call(&mut self, frame: &mut Frame<'_>) -> Result<(), Failure> {
        let model = &mut self.model;
        match catch_unwind(AssertUnwindSafe(|| model.predict(frame))) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                let failure = Failure::of_model(error);
                if failure.kind == FailureKind::Panic {
                    self.poison = Some(FailureKind::Panic);
                }
                Err(failure)
            }
            Err(_) => Err(self.panicked()),
        }
    }

    fn check_answers(&self, frame: &Frame<'_>) -> Result<(), Failure> {
        let checked = self.answers.check(frame);
        checked.map_err(|wrong| Failure {
            kind: FailureKind::Nan,
            error: PluginError::data(format!("{}: {}", self.plugin, wrong.told(&self.info))),
        })
    }

    #[cold]
    fn panicked(&mut self) -> Failure {
        self.poison = Some(FailureKind::Panic);
        let message = format!("{}: panicked in predict; see the log", self.plugin);
        Failure {
            kind: FailureKind::Panic,
            error: PluginError::new(Status::Panic, message),
        }
    }

    #[cold]
    fn strayed(&mut self, stray: scratch::Stray) -> Failure {
        self.poison = Some(FailureKind::OutOfBounds);
        Failure {
            kind: FailureKind::OutOfBounds,
            error: PluginError::internal(format!(
                "{}: wrote outside its cells, first at offset {} from the beginning of row {} \
                 ({} values to write per row), {} cells in all; the model answers nothing more, \
                 and memory of the host may be damaged: run this plugin in a worker until it is \
                 mended",
                self.plugin,
                stray.offset,
                stray.row,
                self.info.outputs.len(),
                stray.cells
            )),
        }
    }

    #[cold]
    fn poisoned(&self, poison: FailureKind) -> Failure {
        let what = match poison {
            FailureKind::OutOfBounds => "wrote outside its cells",
            _ => "panicked",
        };
        Failure {
            kind: FailureKind::Poisoned,
            error: PluginError::state(format!(
                "{}: the model {what} before and answers nothing more; make a new one",
                self.plugin
            )),
        }
    }
}

impl Failure {
    fn of_model(error: PluginError) -> Self {
        Self {
            kind: FailureKind::of_error(&error),
            error,
        }
    }
}

/// Makes every answer NaN; what lies between the rows is the caller's.
fn wipe(frame: &mut Frame<'_>) {
    for row in 0..frame.rows() {
        frame.output_row_mut(row).fill(f32::NAN);
    }
}

impl Model for GuardedModel {
    fn info(&self) -> Result<ModelInfo> {
        Ok(self.info.clone())
    }

    fn predict(&mut self, frame: &mut Frame<'_>) -> Result<()> {
        self.stats.calls += 1;
        self.stats.rows += frame.rows() as u64;
        let result = match self.watch {
            None => self.check(frame).and_then(|()| self.ask(frame)),
            Some(_) => self.ask_watched(frame),
        };
        match result {
            Ok(()) => {
                self.last_failure = None;
                Ok(())
            }
            Err(failure) => {
                self.stats.errors += 1;
                self.last_failure = Some(failure.kind);
                wipe(frame);
                Err(failure.error)
            }
        }
    }

    fn warmup(&mut self) -> Result<()> {
        self.model.warmup()
    }

    fn save(&self) -> Result<Vec<u8>> {
        self.model.save()
    }

    fn snapshot(&self) -> Result<Snapshot> {
        self.model.snapshot()
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        self.model.restore(snapshot)
    }

    fn quiesce(&mut self, deadline_ns: u64) -> Result<()> {
        self.model.quiesce(deadline_ns)
    }

    fn explain(&self) -> Option<&dyn Explain> {
        self.model.explain()
    }

    fn incremental(&mut self) -> Option<&mut dyn Incremental> {
        self.model.incremental().is_some().then_some(self as _)
    }

    fn quantiles(&self) -> Option<&dyn Quantiles> {
        self.model.quantiles()
    }

    fn onnx_export(&self) -> Option<&dyn OnnxExport> {
        self.model.onnx_export()
    }
}

impl Incremental for GuardedModel {
    /// What the model takes and answers stays; what it notes of itself is asked for again.
    fn update(&mut self, rows: &Dataset, progress: &mut dyn Progress) -> Result<()> {
        let incremental = self.model.incremental();
        let incremental =
            incremental.ok_or_else(|| PluginError::unsupported("learning from new rows"))?;
        incremental.update(rows, progress)?;
        // A model that has learned and then cannot describe itself has learned all the same.
        if let Ok(info) = self.model.info() {
            self.info.notes = info.notes;
        }
        Ok(())
    }
}
