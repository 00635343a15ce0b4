//! A fit with LightGBM: dataset -> LightGBM data sets -> boosting rounds -> model texts.
//!
//! It equals the Python package's `lightgbm.train` with the same parameters, data and seed, tree by
//! tree, and never copies the feature matrix: LightGBM bins the host's rows where they lie.
//!
//! LightGBM learns one quantile at a time, so several levels are as many boosters that share one
//! binned data set, grow in step, and stop together by their mean loss.

use std::ffi::{CStr, CString};
use std::rc::Rc;

use fusebox_plugin_api::prelude::*;

use super::{Binned, Booster, FieldValues, Grant, Library, LogRelay, Output, Runs, Training};
use super::{acquire, ascending};
use crate::booster::Trainer;
use crate::learner::Plan;
use crate::params::ClassWeight;
use crate::samples::Samples;

/// Positions of the training and of the validation rows among a booster's data sets.
const TRAINING: i32 = 0;
const VALIDATION: i32 = 1;

/// An unfinished fit.
#[derive(Debug)]
pub(crate) struct LightGbmTrainer {
    // Dropped in this order: the data sets go before the threads are given back.
    /// One, or one for each level.
    boosters: Vec<Training>,
    log: LogRelay,
    validates: bool,
    _grant: Grant,
}

impl LightGbmTrainer {
    /// Bins the rows and takes over the trees of an earlier fit.
    pub(crate) fn start(
        library: &'static Library,
        plan: &Plan<'_>,
        threads: u32,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<Self> {
        let grant = acquire(threads, is_cancelled)?;
        let texts: Vec<CString> = plan
            .levels()
            .iter()
            .map(|level| {
                let given = plan.circumstances(*level, grant.threads());
                plan.params.lightgbm_text(given)
            })
            .collect::<Result<_>>()?;
        let earlier = earlier_boosters(library, plan, texts.len())?;
        let weights = plan.train.loss_weights(plan.task, plan.params.class_weight);
        let text = &texts[0];
        let train = binned(library, &plan.train, weights.as_deref(), (text, None))?;
        // Rows count as they are here: balancing classes is a means of learning, not a measure.
        let valid = plan.valid.as_ref().map(|valid| {
            let weights = valid.loss_weights(plan.task, ClassWeight::None);
            let set = binned(library, valid, weights.as_deref(), (text, Some(&train)));
            set.map(|set| (valid, set))
        });
        let valid = valid.transpose()?;
        let mut boosters = Vec::with_capacity(texts.len());
        for (text, earlier) in texts.iter().zip(&earlier) {
            let start = |set: &Binned, samples| start_from(set, samples, earlier.as_ref(), text);
            start(&train, &plan.train)?;
            let mut booster = Training::start(&train, text)?;
            if let Some(earlier) = earlier {
                booster.continue_from(earlier)?;
            }
            if let Some((samples, set)) = &valid {
                start(set, samples)?;
                booster.add_validation(set)?;
            }
            boosters.push(booster);
        }
        let mut log = LogRelay::default();
        log.forward();
        Ok(Self {
            boosters,
            log,
            validates: valid.is_some(),
            _grant: grant,
        })
    }
}

impl LightGbmTrainer {
    /// The mean over the boosters; `None` where one has no metric.
    fn mean_metric(&self, set: i32) -> Result<Option<f64>> {
        let metrics = self.boosters.iter();
        let metrics: Vec<Option<f64>> = metrics
            .map(|booster| booster.metric(set))
            .collect::<Result<_>>()?;
        let metrics: Option<Vec<f64>> = metrics.into_iter().collect();
        Ok(metrics.map(|values| values.iter().sum::<f64>() / values.len() as f64))
    }
}

impl Trainer for LightGbmTrainer {
    fn update(&mut self, _: u32) -> Result<bool> {
        let mut exhausted = true;
        for booster in &mut self.boosters {
            exhausted &= booster.update()?;
        }
        self.log.forward();
        Ok(exhausted)
    }

    fn metric(&mut self, _: u32) -> Result<Option<f64>> {
        if !self.validates {
            return Ok(None);
        }
        self.mean_metric(VALIDATION)
    }

    fn training_metric(&mut self, _: u32) -> Result<Option<f64>> {
        self.mean_metric(TRAINING)
    }

    fn answers(&mut self) -> Result<Vec<f64>> {
        if !self.validates {
            return Ok(Vec::new());
        }
        let columns = self.boosters.iter();
        let columns: Vec<Vec<f64>> = columns
            .map(|booster| booster.answers(VALIDATION))
            .collect::<Result<_>>()?;
        let several = columns.len() > 1;
        let outputs = match several {
            true => columns.len(),
            false => self.boosters[0].booster().output_len(1, Output::Normal)?,
        };
        let columns = columns.concat();
        let rows = columns.len() / outputs.max(1);
        let mut answers = Vec::with_capacity(columns.len());
        for row in 0..rows {
            answers.extend((0..outputs).map(|output| columns[output * rows + row]));
            if several {
                ascending(&mut answers[row * outputs..]);
            }
        }
        Ok(answers)
    }

    fn iterations(&self) -> Result<usize> {
        let held = self.boosters.iter();
        let held = held.map(|booster| booster.booster().iterations());
        let held: Vec<usize> = held.collect::<Result<_>>()?;
        Ok(held.into_iter().max().unwrap_or(0))
    }

    fn to_texts(&mut self, iterations: Option<usize>) -> Result<Vec<CString>> {
        let texts = self.boosters.iter();
        let texts = texts.map(|booster| booster.booster().to_text(iterations));
        let texts = texts.collect::<Result<_>>()?;
        self.log.forward();
        Ok(texts)
    }
}

/// The boosters that a fit of `parts` boosters goes on from.
fn earlier_boosters(
    library: &'static Library,
    plan: &Plan<'_>,
    parts: usize,
) -> Result<Vec<Option<Booster>>> {
    let texts = plan.earlier_texts();
    if texts.is_empty() {
        return Ok((0..parts).map(|_| None).collect());
    }
    if texts.len() != parts {
        let found = texts.len();
        return Err(PluginError::data(format!(
            "the trees to go on from are of {found} models instead of {parts}"
        )));
    }
    let read = |text: &CString| Ok(Some(Booster::from_text(library, text)?.0));
    texts.iter().map(read).collect()
}

/// A LightGBM data set of `samples`, made with a parameter text and, for validation rows, the bins
/// of the training rows.
pub(super) fn binned(
    library: &'static Library,
    samples: &Samples<'_>,
    weights: Option<&[f32]>,
    (text, reference): (&CStr, Option<&Rc<Binned>>),
) -> Result<Rc<Binned>> {
    let Samples {
        runs,
        columns,
        labels,
        ..
    } = samples;
    let runs = Runs::new(runs, *columns)?;
    let reference = reference.map(AsRef::as_ref);
    let set = Binned::from_runs(library, &runs, text, reference)?;
    set.set(c"label", FieldValues::Float(labels))?;
    if let Some(weights) = weights {
        set.set(c"weight", FieldValues::Float(weights))?;
    }
    Ok(Rc::new(set))
}

/// Lets the next booster of `set` start from the trees of an earlier one, where there is one.
fn start_from(
    set: &Binned,
    samples: &Samples<'_>,
    earlier: Option<&Booster>,
    text: &CStr,
) -> Result<()> {
    let Some(earlier) = earlier else {
        return Ok(());
    };
    let scores = scores(earlier, samples, text)?;
    set.set(c"init_score", FieldValues::Double(&scores))
}

/// The raw score of every row, class by class as LightGBM wants them for a start.
fn scores(booster: &Booster, samples: &Samples<'_>, text: &CStr) -> Result<Vec<f64>> {
    let rows = samples.labels.len();
    let classes = booster.output_len(1, Output::Raw)?;
    let mut scores = vec![0.0; rows * classes];
    let mut first_row = 0;
    for run in &samples.runs {
        let count = run.len() / samples.columns;
        let mut values = vec![0.0; count * classes];
        booster.predict(run, Output::Raw, text, &mut values)?;
        for (position, value) in values.into_iter().enumerate() {
            let (row, class) = (first_row + position / classes, position % classes);
            scores[class * rows + row] = value;
        }
        first_row += count;
    }
    Ok(scores)
}
