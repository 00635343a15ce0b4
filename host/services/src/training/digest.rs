//! The digest of a run: what two runs must share to give the same journal and the same models.

use serde::Serialize;
use sha2::{Digest, Sha256};

use fusebox_engine::dataset::{ScalerKind, Splitter};
use fusebox_engine::labels::LabelConfig;
use fusebox_engine::session::SessionConfig;
use fusebox_engine::types::TimeFrame;
use serde_json::{Map, Value};

use super::output::hex;
use super::plugin::PluginId;
use super::prepare::Prepared;
use super::spec::PipelineSpec;

/// Everything that a result depends on, in a fixed order. Threads, paths and names do not belong.
#[derive(Serialize)]
struct Inputs<'a> {
    seed: u64,
    data: Vec<&'a str>,
    features: &'a str,
    max_gap_bars: u32,
    labels: &'a LabelConfig,
    split: &'a Splitter,
    scaler: ScalerKind,
    plugin: [&'a str; 3],
    params: &'a Map<String, Value>,
    session: &'a SessionConfig,
    /// Length of the finer bars, which may come from the same files as the bars.
    #[serde(skip_serializing_if = "Option::is_none")]
    fine: Option<TimeFrame>,
}

/// SHA-256, in hexadecimal, of the settings, the data and the plugin of a run.
pub(super) fn run_digest(spec: &PipelineSpec, prepared: &Prepared, plugin: &PluginId) -> String {
    let inputs = Inputs {
        seed: spec.seed,
        data: prepared
            .loaded
            .files
            .iter()
            .map(|file| file.sha256.as_str())
            .collect(),
        features: prepared.features.digest(),
        max_gap_bars: spec.extract.max_gap_bars,
        labels: &spec.labels,
        split: &spec.split,
        scaler: spec.model.scaler,
        plugin: [&plugin.id, &plugin.version, &plugin.sha256],
        params: &spec.model.params,
        session: &spec.session,
        fine: spec.records.fine,
    };
    // Plain values, which JSON can always hold.
    hex(&Sha256::digest(
        serde_json::to_vec(&inputs).unwrap_or_default(),
    ))
}
