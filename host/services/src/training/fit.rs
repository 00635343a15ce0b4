//! One fit: from checkpoint to checkpoint, so that a fit that was killed and went on is the same
//! computation as one that was not.
//!
//! A learner that takes up a checkpoint need not be where it was: a library's random streams start
//! anew, sums are added up in another order. So every fit is a chain: at each checkpoint that the
//! learner hands out it is asked to stop, and a new fit takes that checkpoint up. Where the chain
//! is cut makes no difference then. Without checkpoints (`checkpoint_rounds = 0` for gradient
//! boosting) the chain has one link, and an interrupted fit starts anew.

use std::sync::atomic::{AtomicBool, Ordering};

use fusebox_plugin_api::config::Config;
use fusebox_plugin_api::error::{PluginError, Status};
use fusebox_plugin_api::model::{self, FitRequest, Learner, Metric, Task};
use fusebox_plugin_api::schema::Dataset;

use super::output::OutputError;
use super::store::{FoldStore, Kept};
use crate::progress::Progress;
use crate::report::LearningCurve;

/// Takes in the metrics after a step. What was told of that step or later ones, before a fit was
/// cut off, is forgotten.
fn push(curve: &mut LearningCurve, step: u64, metrics: &[Metric<'_>]) {
    let kept = curve.steps.partition_point(|one| *one < step);
    curve.steps.truncate(kept);
    curve.steps.push(step);
    for metric in metrics {
        curve.metrics.entry(metric.name.to_owned()).or_default();
    }
    for (name, values) in &mut curve.metrics {
        values.truncate(kept);
        values.resize(kept, None);
        let told = metrics.iter().find(|metric| metric.name == name);
        let told = told.map(|metric| metric.value);
        values.push(told.filter(|value| value.is_finite()));
    }
}

/// Everything about a fit that does not change while it runs.
pub(super) struct Job<'a> {
    pub learner: &'a dyn Learner,
    pub task: &'a Task,
    pub config: &'a Config,
    pub train: &'a Dataset,
    pub valid: Option<&'a Dataset>,
    pub seed: u64,
    pub threads: usize,
    /// Whether the learner takes up checkpoints.
    pub resumes: bool,
}

/// Who watches a fit, and where its checkpoints go.
pub(super) struct Watch<'a> {
    /// Name of the fit in the store and for people, such as `fold-01`.
    pub key: &'a str,
    pub store: Option<&'a FoldStore>,
    pub interrupted: Option<&'a AtomicBool>,
    pub progress: &'a dyn Progress,
}

/// Why there is no model.
pub(super) enum FitError {
    /// Somebody asked to stop.
    Interrupted,
    /// The plugin failed at this.
    Plugin(&'static str, PluginError),
    /// The finished model cannot be stored.
    Output(OutputError),
}

/// Fits a model, or takes the one that an earlier process finished.
pub(super) fn fit(job: &Job<'_>, watch: &Watch<'_>) -> Result<Kept, FitError> {
    if let Some(kept) = watch.store.and_then(|store| store.finished(watch.key)) {
        return Ok(kept);
    }
    let mut from = match job.resumes {
        true => watch.store.and_then(|store| store.checkpoint(watch.key)),
        false => None,
    };
    loop {
        if watch.is_interrupted() {
            return Err(FitError::Interrupted);
        }
        let (first_step, checkpoint, curve) = match from.take() {
            Some((step, kept)) => (step, Some(kept.bytes), kept.curve),
            None => (0, None, LearningCurve::default()),
        };
        let mut listener = Listener {
            watch,
            takes_checkpoints: job.resumes,
            first_step,
            curve,
            next: None,
        };
        let request = FitRequest {
            task: job.task,
            config: job.config,
            train: job.train,
            valid: job.valid,
            environment: None,
            progress: &mut listener,
            checkpoint: checkpoint.as_deref(),
            seed: job.seed,
            max_threads: u32::try_from(job.threads).unwrap_or(u32::MAX),
        };
        let fitted = job.learner.fit(request);
        let Listener { curve, next, .. } = listener;
        match (fitted, next) {
            (Ok(model), _) => {
                let saved = model.save();
                let bytes = saved.map_err(|error| FitError::Plugin("save its model", error))?;
                return finish(Kept { bytes, curve }, watch);
            }
            (Err(error), Some((step, bytes))) if error.status() == Status::Cancelled => {
                from = Some((step, Kept { bytes, curve }));
            }
            (Err(error), _) if error.status() == Status::Cancelled && watch.is_interrupted() => {
                return Err(FitError::Interrupted);
            }
            (Err(error), _) => return Err(FitError::Plugin("fit", error)),
        }
    }
}

/// Stores the finished model.
fn finish(kept: Kept, watch: &Watch<'_>) -> Result<Kept, FitError> {
    if let Some(store) = watch.store {
        store
            .keep_finished(watch.key, &kept)
            .map_err(FitError::Output)?;
        tracing::info!("{} is trained and kept", watch.key);
    }
    Ok(kept)
}

impl Watch<'_> {
    fn is_interrupted(&self) -> bool {
        self.interrupted
            .is_some_and(|flag| flag.load(Ordering::Relaxed))
    }
}

/// Listens to one link of the chain.
struct Listener<'a> {
    watch: &'a Watch<'a>,
    takes_checkpoints: bool,
    /// Steps that were done when this link began.
    first_step: u64,
    curve: LearningCurve,
    /// Where the next link begins.
    next: Option<(u64, Vec<u8>)>,
}

impl model::Progress for Listener<'_> {
    fn report(
        &mut self,
        step: u64,
        total_steps: Option<u64>,
        metrics: &[Metric<'_>],
    ) -> Result<(), PluginError> {
        push(&mut self.curve, step, metrics);
        self.watch.progress.note(&|| {
            let total = total_steps.map_or_else(String::new, |total| format!("/{total}"));
            let metrics = metrics.iter();
            let values = metrics.map(|metric| format!(" {} {:.5}", metric.name, metric.value));
            let values: String = values.collect();
            format!("{} step {step}{total}{values}", self.watch.key)
        });
        if self.is_cancelled() {
            return Err(PluginError::cancelled());
        }
        Ok(())
    }

    fn is_cancelled(&self) -> bool {
        self.watch.is_interrupted()
    }

    fn checkpoint(&mut self, step: u64, bytes: &[u8]) -> Result<(), PluginError> {
        // One that leads nowhere would be taken up for ever.
        if !self.takes_checkpoints || step <= self.first_step {
            return Ok(());
        }
        let kept = Kept {
            bytes: bytes.to_vec(),
            curve: self.curve.clone(),
        };
        if let Some(store) = self.watch.store
            && let Err(error) = store.keep_checkpoint(self.watch.key, step, &kept)
        {
            // The chain goes on from memory; only a restart would begin earlier.
            tracing::warn!("the checkpoint of {} is not kept: {error}", self.watch.key);
        }
        self.next = Some((step, kept.bytes));
        Err(PluginError::cancelled())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use fusebox_plugin_api::error::Result;
    use fusebox_plugin_api::frame::Frame;
    use fusebox_plugin_api::model::{LearnerInfo, Model, ModelInfo};
    use fusebox_plugin_api::schema::DatasetSchema;

    use super::*;
    use crate::progress::Silent;

    const STEPS: u64 = 23;
    const EVERY: u64 = 5;

    /// A learner whose random numbers begin anew wherever it takes up a checkpoint, as those of the
    /// boosting libraries do. Its model is the text of everything it drew.
    #[derive(Default)]
    struct Drawing {
        fits: AtomicU64,
        /// Fails with this in the step of this number, once.
        dies_at: AtomicU64,
    }

    struct Drawn(String);

    impl Model for Drawn {
        fn info(&self) -> Result<ModelInfo> {
            Ok(ModelInfo::new(Task::Regression, &["y"]))
        }

        fn predict(&mut self, _: &mut Frame<'_>) -> Result<()> {
            Ok(())
        }

        fn save(&self) -> Result<Vec<u8>> {
            Ok(self.0.clone().into_bytes())
        }
    }

    impl Learner for Drawing {
        fn describe(&self) -> Result<LearnerInfo> {
            Err(PluginError::unsupported("not asked for here"))
        }

        fn fit(&self, request: FitRequest<'_>) -> Result<Box<dyn Model>> {
            self.fits.fetch_add(1, Ordering::Relaxed);
            let mut text = String::from_utf8(request.checkpoint.unwrap_or(b"").to_vec()).unwrap();
            let mut step = text.lines().count() as u64;
            let mut state = request.seed + step;
            while step < STEPS {
                step += 1;
                if self.dies_at.load(Ordering::Relaxed) == step {
                    self.dies_at.store(0, Ordering::Relaxed);
                    return Err(PluginError::internal("killed"));
                }
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                text.push_str(&format!("{state}\n"));
                let value = state as f64;
                let metric = Metric {
                    name: "valid_loss",
                    value,
                };
                request.progress.report(step, Some(STEPS), &[metric])?;
                if step.is_multiple_of(EVERY) {
                    request.progress.checkpoint(step, text.as_bytes())?;
                }
            }
            Ok(Box::new(Drawn(text)))
        }
    }

    fn dataset() -> Dataset {
        let schema = DatasetSchema {
            features: vec!["x".to_owned()],
            labels: vec!["y".to_owned()],
            classes: Vec::new(),
        };
        Dataset::new(schema, Vec::new()).unwrap()
    }

    fn run(
        learner: &Drawing,
        store: Option<&FoldStore>,
        interrupted: Option<&AtomicBool>,
    ) -> std::result::Result<Kept, FitError> {
        let (train, config) = (dataset(), Config::new());
        let job = Job {
            learner,
            task: &Task::Regression,
            config: &config,
            train: &train,
            valid: None,
            seed: 9,
            threads: 1,
            resumes: true,
        };
        let watch = Watch {
            key: "fold-01",
            store,
            interrupted,
            progress: &Silent,
        };
        fit(&job, &watch)
    }

    #[test]
    fn a_fit_that_was_cut_off_anywhere_comes_out_the_same() {
        let whole = run(&Drawing::default(), None, None).ok().unwrap();
        assert_eq!(whole.curve.steps, (1..=STEPS).collect::<Vec<u64>>());
        for dies_at in 1..=STEPS {
            let dir = tempfile::tempdir().unwrap();
            let store = FoldStore::open(dir.path()).unwrap();
            let learner = Drawing {
                dies_at: dies_at.into(),
                ..Drawing::default()
            };
            assert!(matches!(
                run(&learner, Some(&store), None),
                Err(FitError::Plugin("fit", _))
            ));
            let before = learner.fits.swap(0, Ordering::Relaxed);
            let resumed = run(&learner, Some(&store), None).ok().unwrap();
            assert!(resumed == whole, "{dies_at}");
            // The links before the last checkpoint are not gone through again.
            let links = STEPS.div_ceil(EVERY) + 1;
            assert_eq!(
                before + learner.fits.swap(0, Ordering::Relaxed),
                links,
                "{dies_at}"
            );
            let again = run(&learner, Some(&store), None).ok().unwrap();
            assert!(again == whole);
            assert_eq!(
                learner.fits.load(Ordering::Relaxed),
                0,
                "a finished fold is kept"
            );
        }
    }

    #[test]
    fn an_interrupt_is_told_as_one() {
        let flag = AtomicBool::new(true);
        let stopped = run(&Drawing::default(), None, Some(&flag));
        assert!(matches!(stopped, Err(FitError::Interrupted)));
    }

    #[test]
    fn a_checkpoint_that_cannot_be_stored_ends_no_fit_and_a_model_that_cannot_does() {
        let dir = tempfile::tempdir().unwrap();
        let gone = dir.path().join("gone");
        let store = FoldStore::open(&gone).unwrap();
        std::fs::remove_dir(&gone).unwrap();
        match run(&Drawing::default(), Some(&store), None) {
            Err(FitError::Output(error)) => {
                assert!(error.to_string().contains("fold-01.finished"), "{error}");
            }
            _ => panic!("the model cannot have been stored"),
        }
    }

    #[test]
    fn what_was_told_after_a_checkpoint_is_forgotten_when_it_is_told_again() {
        let mut curve = LearningCurve::default();
        let metric = |name, value| Metric { name, value };
        push(&mut curve, 1, &[metric("loss", 3.0)]);
        push(&mut curve, 2, &[metric("loss", 2.0)]);
        push(&mut curve, 3, &[metric("loss", 9.0), metric("late", 1.0)]);
        push(&mut curve, 2, &[metric("loss", 2.5)]);
        push(&mut curve, 3, &[metric("late", f64::NAN)]);
        assert_eq!(curve.steps, [1, 2, 3]);
        assert_eq!(curve.metrics["loss"], [Some(3.0), Some(2.5), None]);
        assert_eq!(curve.metrics["late"], [None; 3]);
    }
}
