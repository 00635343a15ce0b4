//! What is needed to repeat a run and to know that it was the same.

use fusebox_engine::types::Timestamp;
use serde::{Deserialize, Serialize};

/// Inputs, code and outputs of a run, by digest.
///
/// Only `duration_s` and `command_line` may differ between two runs that are the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reproducibility {
    /// The resolved configuration.
    pub config: ConfigText,
    /// Files read.
    pub files: Vec<FileDigest>,
    /// SHA-256 of the canonical feature set.
    pub feature_set_sha256: String,
    /// Model artifacts, in fold order.
    pub models: Vec<ModelArtifact>,
    /// The plugin that trained them.
    pub plugin: PluginIdentity,
    /// Seeds by use.
    pub seeds: Vec<NamedText>,
    /// Versions by component: fusebox, rustc, LightGBM, ...
    pub versions: Vec<NamedText>,
    /// Events in the journal.
    pub journal_events: u64,
    /// SHA-256 of the journal's bytes.
    pub journal_sha256: String,
    /// The command as typed.
    pub command_line: String,
    /// Wall time of the run in seconds.
    pub duration_s: Option<f64>,
}

/// A configuration as text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigText {
    /// TOML with the origin of each value as a trailing comment.
    pub toml: String,
    /// SHA-256 of the resolved values.
    pub sha256: String,
}

/// A data file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileDigest {
    /// Path relative to the data directory.
    pub path: String,
    /// SHA-256 of its bytes.
    pub sha256: String,
    /// Rows used.
    pub rows: u64,
    /// Open time of the first row used.
    pub first_opened_at: Timestamp,
    /// Open time of the last row used.
    pub last_opened_at: Timestamp,
}

/// A model as saved by its plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelArtifact {
    /// Fold, from 1.
    pub fold: u32,
    /// Path relative to the run directory.
    pub path: String,
    /// SHA-256 of its bytes.
    pub sha256: String,
    /// Size.
    pub bytes: u64,
    /// Where the scaler is that it must be shown its rows through.
    pub scaler: Option<String>,
    /// Columns that the scaler could only move, because they are constant or have no range in the
    /// training samples.
    pub unscaled_columns: Vec<String>,
}

/// A loaded plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginIdentity {
    /// Reverse-domain id.
    pub id: String,
    /// Version.
    pub version: String,
    /// SHA-256 of the library file.
    pub sha256: String,
}

/// A named value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedText {
    /// What.
    pub name: String,
    /// Its value.
    pub value: String,
}
