//! What a model was trained on, in a file beside its artifact, so that it is never asked about
//! other numbers under the same names.
//!
//! The names of columns alone do not tell: a formula can change its version, a gap can be passed
//! over or not.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use fusebox_engine::features::{ExtractOptions, FeatureSet};
use fusebox_engine::types::TimeFrame;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::output::hex;

/// Layout of the file.
const FORMAT: u32 = 1;

/// The features of a trained model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFeatures {
    /// Layout of the file, 1.
    pub format: u32,
    /// SHA-256 of the artifact.
    pub model_sha256: String,
    /// Digest of the feature set.
    pub feature_set_sha256: String,
    /// Its columns.
    pub features: Vec<String>,
    /// Length of the bars.
    pub time_frame: TimeFrame,
    /// Longest run of missing bars that was passed over.
    pub max_gap_bars: u32,
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelFeaturesError {
    /// The file system refuses.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
    /// It is not such a file.
    #[error("{path} is not the features file of a model: {message}")]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
}

impl ModelFeatures {
    /// The features of the model in `artifact`, which was trained on `set`.
    #[must_use]
    pub fn new(
        set: &FeatureSet,
        time_frame: TimeFrame,
        options: ExtractOptions,
        artifact: &[u8],
    ) -> Self {
        Self {
            format: FORMAT,
            model_sha256: hex(&Sha256::digest(artifact)),
            feature_set_sha256: set.digest().to_owned(),
            features: set.names().map(str::to_owned).collect(),
            time_frame,
            max_gap_bars: options.max_gap_bars,
        }
    }

    /// The file that belongs to the artifact at `artifact`: its name with `.features.json` in
    /// place of the extension.
    #[must_use]
    pub fn path_of(artifact: &Path) -> PathBuf {
        artifact.with_extension("features.json")
    }

    /// Reads the file of an artifact; `None` where there is none.
    ///
    /// # Errors
    /// [`ModelFeaturesError`] where it cannot be read.
    pub fn read(artifact: &Path) -> Result<Option<Self>, ModelFeaturesError> {
        let path = Self::path_of(artifact);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(ModelFeaturesError::Io { path, source }),
        };
        let form = |message: String| ModelFeaturesError::Form {
            path: path.clone(),
            message,
        };
        let read: Self = serde_json::from_slice(&bytes).map_err(|error| form(error.to_string()))?;
        if read.format != FORMAT {
            return Err(form(format!("its format is {}, not {FORMAT}", read.format)));
        }
        Ok(Some(read))
    }

    /// What differs from the features that `artifact` would be asked with, each as a sentence;
    /// empty where the model may be used.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut told = Vec::new();
        if self.model_sha256 != other.model_sha256 {
            told.push("the features file belongs to another artifact".to_owned());
        }
        if self.features != other.features {
            let pairs = self.features.iter().zip(&other.features);
            let first = pairs.enumerate().find(|(_, (own, given))| own != given);
            told.push(match first {
                Some((column, (own, given))) => format!(
                    "column {} of its training was `{own}`, it is given `{given}`",
                    column + 1
                ),
                None => format!(
                    "it was trained on {} columns, it is given {}",
                    self.features.len(),
                    other.features.len()
                ),
            });
        } else if self.feature_set_sha256 != other.feature_set_sha256 {
            told.push(
                "the formula of a feature has changed since it was trained; train it again"
                    .to_owned(),
            );
        }
        if self.time_frame != other.time_frame {
            told.push(format!(
                "it was trained on {} bars, it is given {} bars",
                self.time_frame, other.time_frame
            ));
        }
        if self.max_gap_bars != other.max_gap_bars {
            told.push(format!(
                "it was trained with max_gap_bars = {}, here it is {}",
                self.max_gap_bars, other.max_gap_bars
            ));
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fusebox_engine::features::{FeatureContext, SymbolInputs};

    fn features(names: &[&str]) -> ModelFeatures {
        let context = FeatureContext {
            time_frame: "1h".parse().unwrap(),
            symbols: vec![SymbolInputs {
                name: "A".to_owned(),
                quote_volume: false,
                trades: false,
                taker_buy_volume: false,
            }],
        };
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let set = FeatureSet::parse(&names, &context).unwrap();
        ModelFeatures::new(
            &set,
            context.time_frame,
            ExtractOptions::default(),
            b"weights",
        )
    }

    #[test]
    fn every_difference_is_told() {
        let own = features(&["rsi(14)", "roc(3)"]);
        assert!(own.differences(&own).is_empty());
        let mut other = features(&["rsi(14)", "roc(4)"]);
        other.model_sha256 = "cd".to_owned();
        other.time_frame = "4h".parse().unwrap();
        other.max_gap_bars = 3;
        let told = own.differences(&other).join("; ");
        for part in [
            "another artifact",
            "column 2",
            "`roc(3)`",
            "4h bars",
            "max_gap_bars = 12",
        ] {
            assert!(told.contains(part), "{part:?} is not in: {told}");
        }
        let fewer = own.differences(&features(&["rsi(14)"]));
        assert!(fewer[0].contains("2 columns, it is given 1"), "{fewer:?}");
        let mut formula = own.clone();
        formula.feature_set_sha256 = "other".to_owned();
        assert!(own.differences(&formula)[0].contains("formula"));
    }

    #[test]
    fn the_file_is_read_back_and_others_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let artifact = dir.path().join("fold-01.model");
        assert_eq!(ModelFeatures::read(&artifact).unwrap(), None);
        let own = features(&["rsi(14)"]);
        let path = ModelFeatures::path_of(&artifact);
        fs::write(&path, serde_json::to_vec(&own).unwrap()).unwrap();
        assert_eq!(ModelFeatures::read(&artifact).unwrap(), Some(own));
        fs::write(&path, "{}").unwrap();
        let error = ModelFeatures::read(&artifact).unwrap_err().to_string();
        assert!(error.contains("not the features file"), "{error}");
    }
}
