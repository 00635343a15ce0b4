//! The model that is used afterwards, and what lies beside it in the run directory:
//!
//! ```text
//! models/final.model          the artifact
//! models/final.features.json  what it was trained on
//! models/final.scaler.json    where its rows are scaled
//! models/final.readout.json   where its answers are no probabilities yet
//! models/final.golden.json    some of its answers, for whoever loads it later
//! card.json, card.md          the model card
//! ```

use std::path::Path;

use fusebox_engine::dataset::Fold;

use super::super::describe::number;
use super::super::error::TrainingError;
use super::super::features_file::ModelFeatures;
use super::super::folds::{FoldModel, Trainer};
use super::super::output::RunDirectory;
use super::super::plugin::PluginId;
use super::super::prepare::Prepared;
use super::super::spec::{FinalModel, PipelineSpec};
use super::card::{Carded, ModelCard, card};
use crate::progress::Progress;
use crate::report::{Period, ReportData};

/// The artifact of the final model, relative to its run directory.
pub const FINAL_MODEL: &str = "models/final.model";
/// Known answers of the final model, likewise.
pub const FINAL_GOLDEN: &str = "models/final.golden.json";
/// The card for programs, likewise.
pub const CARD_FILE: &str = "card.json";
/// The card for people, likewise.
pub const CARD_TEXT_FILE: &str = "card.md";

/// Rows whose answers are kept.
const GOLDEN_ROWS: usize = 32;

/// Makes the final model of a run.
pub(super) fn make(
    trainer: &Trainer<'_>,
    (spec, prepared): (&PipelineSpec, &Prepared),
    models: &[FoldModel],
    progress: &dyn Progress,
) -> Result<Option<(Fold, Made)>, TrainingError> {
    if spec.model.final_model == FinalModel::LastFold {
        let last = prepared.plan.folds.last().cloned();
        return Ok(last.map(|fold| (fold, Made::LastFold)));
    }
    let Some(fold) = prepared.samples.whole(prepared.plan.folds.len()) else {
        return Ok(None);
    };
    let rounds = median_rounds(models).filter(|_| trainer.knows_rounds());
    progress.start("final model", 1);
    let how = (&fold, rounds);
    let made = trainer.train_on_everything(&prepared.samples, how, progress);
    progress.finish();
    Ok(Some((fold, Made::Refit(Box::new(made?), rounds))))
}

/// Which model is the final one.
pub(super) enum Made {
    /// That of the last fold.
    LastFold,
    /// One that was fitted on everything, for so many rounds.
    Refit(Box<FoldModel>, Option<u64>),
}

/// The median of the rounds that early stopping kept, the larger of the middle two; `None` unless
/// every fold has some.
fn median_rounds(models: &[FoldModel]) -> Option<u64> {
    let rounds: Option<Vec<u64>> = models.iter().map(|model| model.best_iteration).collect();
    let mut rounds = rounds?;
    rounds.sort_unstable();
    rounds.get(rounds.len() / 2).copied()
}

/// Writes the final model with everything beside it, and its card.
pub(super) fn write(
    directory: &mut RunDirectory,
    (spec, prepared): (&PipelineSpec, &Prepared),
    (trainer, plugin): (&Trainer<'_>, &PluginId),
    (models, report): (&[FoldModel], &ReportData),
    (fold, made): &(Fold, Made),
) -> Result<ModelCard, TrainingError> {
    let (model, of_fold, rounds) = match made {
        Made::LastFold => match models.last() {
            Some(model) => (model, Some(fold.index), None),
            None => return Err(TrainingError::NoFinalModel(spec.name.clone())),
        },
        Made::Refit(model, rounds) => (model.as_ref(), None, *rounds),
    };
    directory.write(FINAL_MODEL, &model.artifact)?;
    if let Some(stored) = &model.scaler {
        directory.write("models/final.scaler.json", &stored.json)?;
    }
    if let Some(readout) = &model.readout {
        directory.write("models/final.readout.json", readout)?;
    }
    let time_frame = prepared.loaded.market.time_frame();
    let set = &prepared.features;
    let features = ModelFeatures::new(set, time_frame, spec.extract, &model.artifact);
    let beside = ModelFeatures::path_of(Path::new(FINAL_MODEL));
    directory.write_json(&beside.to_string_lossy(), &features)?;
    let golden = trainer.golden(&prepared.samples, (fold, model), GOLDEN_ROWS)?;
    directory.write(FINAL_GOLDEN, golden.to_json().as_bytes())?;
    let trained = fold.train_period();
    let carded = Carded {
        model,
        fold: of_fold,
        trained: Period {
            from: trained.from,
            to: trained.to,
        },
        training_samples: fold.train_counts.samples as u64,
        rounds,
    };
    let card = card((spec, prepared), report, &carded, plugin);
    directory.write_json(CARD_FILE, &card)?;
    directory.write(CARD_TEXT_FILE, card.to_markdown().as_bytes())?;
    tracing::info!(
        "the final model is {} of {} folds, {}",
        of_fold.map_or_else(|| "a refit".to_owned(), |at| format!("fold {}", number(at))),
        models.len(),
        card.model.sha256
    );
    Ok(card)
}
