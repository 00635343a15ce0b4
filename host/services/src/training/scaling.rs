//! The scaler of a fold: fitted on the samples of its training part, and read back from what will
//! be stored, so that what is scored is exactly what can be deployed.

use fusebox_engine::dataset::{Scaler, ScalerKind, ScalerReport};
use fusebox_plugin_api::schema::Dataset;

use super::error::TrainingError;
use super::output::OutputError;

/// A fitted scaler on its way to a file.
pub(super) struct StoredScaler {
    pub json: Vec<u8>,
    pub report: ScalerReport,
}

/// Fits on the samples of `train`; `None` where columns stay as they are.
///
/// # Errors
/// [`TrainingError::Scaler`] where the samples have no scale to give.
pub(super) fn fit_scaler(
    kind: ScalerKind,
    train: &Dataset,
) -> Result<Option<(Scaler, StoredScaler)>, TrainingError> {
    let Some((scaler, report)) = Scaler::fit(kind, train)? else {
        return Ok(None);
    };
    let encode = |source: serde_json::Error| OutputError::Encode {
        file: "a scaler".to_owned(),
        source,
    };
    let json = serde_json::to_vec_pretty(&scaler).map_err(encode)?;
    let scaler = serde_json::from_slice(&json).map_err(encode)?;
    Ok(Some((scaler, StoredScaler { json, report })))
}
