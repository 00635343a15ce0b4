//! A fit with LightGBM: dataset -> LightGBM data sets -> boosting rounds -> model text.
//!
//! It equals the Python package's `lightgbm.train` with the same parameters, data and seed, tree by
//! tree, and never copies the feature matrix: LightGBM bins the host's rows where they lie.

use std::ffi::{CStr, CString};

use fusebox_plugin_api::prelude::*;

use super::{Binned, Booster, FieldValues, Grant, Library, LogRelay, Output, Runs, acquire};
use crate::booster::Trainer;
use crate::learner::Plan;
use crate::params::ClassWeight;
use crate::samples::Samples;

/// An unfinished fit.
#[derive(Debug)]
pub(crate) struct LightGbmTrainer {
    // Dropped in this order: the data sets go before the threads are given back.
    booster: Booster,
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
        let text = {
            let (features, seed) = (plan.features(), plan.library_seed());
            let params = &plan.params;
            params.lightgbm_text(plan.task, features, seed, grant.threads())?
        };
        let earlier = plan.earlier_text();
        let earlier = earlier
            .map(|text| Booster::from_text(library, text))
            .transpose()?;
        let earlier = earlier.map(|(booster, _)| booster);
        let sets = Sets {
            library,
            text: &text,
            earlier: earlier.as_ref(),
        };
        let weights = plan.train.loss_weights(plan.task, plan.params.class_weight);
        let train_set = sets.binned(&plan.train, weights.as_deref(), None)?;
        let mut booster = Booster::train(train_set, &text)?;
        if let Some(earlier) = &earlier {
            booster.continue_from(earlier)?;
        }
        if let Some(valid) = &plan.valid {
            // Rows count as they are here: balancing classes is a means of learning, not a measure.
            let weights = valid.loss_weights(plan.task, ClassWeight::None);
            let reference = booster.training_set();
            let valid_set = sets.binned(valid, weights.as_deref(), reference)?;
            booster.add_validation(valid_set)?;
        }
        let mut log = LogRelay::default();
        log.forward();
        Ok(Self {
            booster,
            log,
            validates: plan.valid.is_some(),
            _grant: grant,
        })
    }
}

impl Trainer for LightGbmTrainer {
    fn update(&mut self, _: u32) -> Result<bool> {
        let exhausted = self.booster.update()?;
        self.log.forward();
        Ok(exhausted)
    }

    fn metric(&mut self, _: u32) -> Result<Option<f64>> {
        match self.validates {
            true => self.booster.metric(1),
            false => Ok(None),
        }
    }

    fn iterations(&self) -> Result<usize> {
        self.booster.iterations()
    }

    fn to_text(&mut self, iterations: Option<usize>) -> Result<CString> {
        let text = self.booster.to_text(iterations)?;
        self.log.forward();
        Ok(text)
    }
}

/// What all data sets of a fit have in common.
struct Sets<'a> {
    library: &'static Library,
    text: &'a CStr,
    earlier: Option<&'a Booster>,
}

impl Sets<'_> {
    /// A LightGBM data set of `samples`, which starts from the trees of an earlier fit where there
    /// is one.
    fn binned(
        &self,
        samples: &Samples<'_>,
        weights: Option<&[f32]>,
        reference: Option<&Binned>,
    ) -> Result<Binned> {
        let Samples {
            runs,
            columns,
            labels,
            ..
        } = samples;
        let runs = Runs::new(runs, *columns)?;
        let mut set = Binned::from_runs(self.library, &runs, self.text, reference)?;
        set.set(c"label", FieldValues::Float(labels))?;
        if let Some(weights) = weights {
            set.set(c"weight", FieldValues::Float(weights))?;
        }
        if let Some(earlier) = self.earlier {
            let scores = scores(earlier, samples, self.text)?;
            set.set(c"init_score", FieldValues::Double(&scores))?;
        }
        Ok(set)
    }
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
