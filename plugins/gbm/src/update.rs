//! New rows taken in by a fitted model (`fb.incremental/1`).
//!
//! `continue` adds rounds on the new rows: the model learns what it does not know yet, forgets
//! nothing, and grows up to a bound. `refit` keeps the splits and blends the leaves' old values
//! with those that the new rows give: the model stays as large as it is. Either way a new model is
//! made beside the old one, which only gives way when the new one is ready; the fit's own settings
//! hold, and those about updates are the user's.
//!
//! A refit is not for every model. The leaves of quantile trees are quantiles of what was left
//! over, which neither library finds again, and neither keeps to monotone columns there: both are
//! refused.

use std::ffi::CString;

use fusebox_plugin_api::prelude::*;

use crate::artifact::{self, Header, Updates};
use crate::learner::{Plan, grow};
use crate::model::GbmModel;
use crate::params::{Params, UpdateRule};

impl Incremental for GbmModel {
    fn update(&mut self, rows: &Dataset, progress: &mut dyn Progress) -> Result<()> {
        *self = updated(self, rows, progress).map_err(|error| error.at("update"))?;
        Ok(())
    }
}

fn updated(model: &GbmModel, rows: &Dataset, progress: &mut dyn Progress) -> Result<GbmModel> {
    let (header, texts) = artifact::read(model.artifact())?;
    let params = model.params().of_artifact(&header.params)?;
    let threads = params.predict_threads;
    let rule = params.update()?;
    let plan = match rule {
        UpdateRule::Continue { rounds, most } => {
            let params = with_rounds(params, &header, (rounds, most))?;
            Plan::after(&header, texts, params, rows)?
        }
        UpdateRule::Refit { .. } => {
            check_refit(&header, &params)?;
            Plan::after(&header, texts, params, rows)?
        }
    };
    let (iterations, texts) = match rule {
        UpdateRule::Continue { .. } => {
            let (grown, texts) = grow(model.loaded(), &plan, threads, progress)?;
            (grown.iterations, texts)
        }
        UpdateRule::Refit { decay } => {
            let texts = model.loaded().refit(&plan, decay, threads, progress)?;
            (header.iterations, texts)
        }
    };
    let taken_in = plan.train.labels.len() as u64;
    let artifact = write(&header, (iterations, taken_in), &texts)?;
    GbmModel::from_artifact(model.loaded(), model.params().clone(), artifact)
}

/// The artifact of the updated model. What early stopping found out is about the old one.
fn write(header: &Header, (iterations, rows): (usize, u64), texts: &[CString]) -> Result<Vec<u8>> {
    let header = Header {
        iterations,
        best_iteration: None,
        best_score: None,
        updates: Updates {
            count: header.updates.count + 1,
            rows: header.updates.rows + rows,
        },
        ..header.clone()
    };
    artifact::write(&header, texts)
}

/// The settings with the round up to which the model may grow.
fn with_rounds(mut params: Params, header: &Header, (more, most): (u32, u32)) -> Result<Params> {
    let held = u32::try_from(header.iterations).unwrap_or(u32::MAX);
    if held >= most {
        return Err(PluginError::config(format!(
            "the model has {held} rounds, and `update_most_rounds` allows {most}; raise it, set \
             `update` to refit, or train again"
        )));
    }
    params.rounds = held.saturating_add(more).min(most);
    if held.saturating_add(more) > most {
        let added = most - held;
        log(
            LogLevel::Warn,
            &format!(
                "the model has {held} rounds and `update_most_rounds` allows {most}: {added} are \
                 added instead of {more}"
            ),
        );
    }
    params.checkpoint_rounds = 0;
    Ok(params)
}

fn check_refit(header: &Header, params: &Params) -> Result<()> {
    let reason = match &header.task {
        Task::Quantiles { .. } => "the leaves of quantiles are not found again by either library",
        _ if params.is_monotone()? => "new leaves would not keep to the monotone columns",
        _ => return Ok(()),
    };
    Err(PluginError::unsupported(format!(
        "`update` = refit, because {reason}; set it to continue"
    )))
}
