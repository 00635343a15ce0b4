//! New values for the leaves of a LightGBM model, as the Python package's `Booster.refit` finds
//! them: the splits stay, and a leaf becomes `decay x old + (1 - decay) x new`, tree after tree,
//! the new value being what the new rows in that leaf would have given it.

use std::ffi::CString;

use fusebox_plugin_api::prelude::*;

use super::trainer::binned;
use super::{Booster, Library, LogRelay, Output, Training, acquire};
use crate::learner::Plan;
use crate::samples::Samples;

/// Rows whose leaves are asked for at once; bounds the buffer of answers.
const BATCH_ROWS: usize = 4_096;

/// The texts of the plan's earlier model with new leaves.
pub(crate) fn refit(
    library: &'static Library,
    plan: &Plan<'_>,
    decay: f64,
    threads: u32,
    progress: &mut dyn Progress,
) -> Result<Vec<CString>> {
    let grant = acquire(threads, &|| progress.is_cancelled())?;
    let mut given = plan.circumstances(None, grant.threads());
    given.decay = Some(decay);
    let text = plan.params.lightgbm_text(given)?;
    let weights = plan.train.loss_weights(plan.task, plan.params.class_weight);
    let train = binned(library, &plan.train, weights.as_deref(), (&text, None))?;
    let mut log = LogRelay::default();
    let mut refitted = Vec::new();
    let earlier = plan.earlier_texts();
    for (position, earlier_text) in earlier.iter().enumerate() {
        if progress.is_cancelled() {
            return Err(PluginError::cancelled());
        }
        let (earlier_booster, _) = Booster::from_text(library, earlier_text)?;
        let leaves = leaves(&earlier_booster, &plan.train, &text)?;
        let mut booster = Training::start(&train, &text)?;
        booster.continue_from(&earlier_booster)?;
        booster.refit(&leaves)?;
        refitted.push(booster.booster().to_text(None)?);
        let (done, all) = (position as u64 + 1, earlier.len() as u64);
        progress.report(done, Some(all), &[])?;
    }
    log.forward();
    Ok(refitted)
}

/// The leaf of every tree that each row reaches, row by row.
fn leaves(booster: &Booster, samples: &Samples<'_>, text: &CString) -> Result<Vec<i32>> {
    let trees = booster.output_len(1, Output::Leaves)?;
    let mut leaves = Vec::with_capacity(samples.labels.len() * trees);
    for run in &samples.runs {
        for block in run.chunks(BATCH_ROWS * samples.columns) {
            let mut values = vec![0.0; block.len() / samples.columns * trees];
            booster.predict(block, Output::Leaves, text, &mut values)?;
            leaves.extend(values.into_iter().map(|leaf| leaf as i32));
        }
    }
    Ok(leaves)
}
