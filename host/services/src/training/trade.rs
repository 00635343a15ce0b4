//! The predictions as the table of signals that the session is stepped with.

use fusebox_engine::backtest::PrecomputedSignals;
use fusebox_engine::dataset::SplitPath;
use fusebox_engine::fusion::{ModelInfo, ModelRef, Prediction};
use fusebox_engine::types::Market;

use super::error::TrainingError;
use super::folds::{FoldModel, RowPrediction};
use super::plugin::PluginId;
use super::spec::PipelineSpec;

/// The table of predictions that the session is stepped with: those that belong to `path`.
pub(super) fn signals(
    spec: &PipelineSpec,
    plugin: &PluginId,
    market: &Market,
    (models, path): (&[FoldModel], &SplitPath),
) -> Result<PrecomputedSignals, TrainingError> {
    let infos = (1..)
        .zip(models)
        .map(|(fold, model)| ModelInfo {
            name: spec.name.clone(),
            version: plugin.version.clone(),
            digest: model.sha256.clone(),
            generation: plugin.generation,
            fold: Some(fold),
        })
        .collect();
    let predictions = (0..)
        .map(ModelRef)
        .zip(models)
        .flat_map(|(reference, model)| {
            let belongs =
                move |one: &&RowPrediction| path.fold_at(one.closed_at) == Some(reference.index());
            let own = model.predictions.iter().filter(belongs);
            own.map(move |one| Prediction {
                symbol: one.symbol,
                closed_at: one.closed_at,
                probabilities: one.probabilities,
                model: reference,
            })
        })
        .collect();
    Ok(PrecomputedSignals::new(market, infos, predictions)?)
}
