//! Everything that a run keeps beside the artifact of a model: a model is served with all of it.

use std::fs;
use std::io;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::features_file::{ModelFeatures, ModelFeaturesError};
use super::output::hex;

/// A trained model and what belongs to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelFiles {
    /// The model itself.
    pub artifact: Vec<u8>,
    /// What it was trained on, where that was kept.
    pub features: Option<ModelFeatures>,
    /// The scaler of its rows, as stored; empty where it takes them as they are.
    pub scaler: Vec<u8>,
    /// How its answers are read, as stored; empty where they are read as they are.
    pub readout: Vec<u8>,
}

impl ModelFiles {
    /// Reads `fold-01.model` and what lies beside it: `fold-01.features.json`,
    /// `fold-01.scaler.json` and `fold-01.readout.json`, each where there is one.
    ///
    /// # Errors
    /// [`ModelFeaturesError`] where a file cannot be read, or the features file is that of another
    /// artifact.
    pub fn read(artifact: &Path) -> Result<Self, ModelFeaturesError> {
        let io = |path: &Path, source| ModelFeaturesError::Io {
            path: path.to_owned(),
            source,
        };
        let beside = |extension: &str| {
            let path = artifact.with_extension(extension);
            match fs::read(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
                read => read.map_err(|error| io(&path, error)),
            }
        };
        let bytes = fs::read(artifact).map_err(|error| io(artifact, error))?;
        let features = ModelFeatures::read(artifact)?;
        if let Some(features) = &features
            && features.model_sha256 != hex(&Sha256::digest(&bytes))
        {
            return Err(ModelFeaturesError::Form {
                path: ModelFeatures::path_of(artifact),
                message:
                    "it belongs to another artifact: this one was changed or cut off, or is of \
                          another run; take both files from one run again, or leave this one out"
                        .to_owned(),
            });
        }
        Ok(Self {
            artifact: bytes,
            features,
            scaler: beside("scaler.json")?,
            readout: beside("readout.json")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_comes_with_what_lies_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let artifact = dir.path().join("fold-01.model");
        let missing = ModelFiles::read(&artifact).unwrap_err().to_string();
        assert!(missing.contains("fold-01.model"), "{missing}");
        fs::write(&artifact, b"weights").unwrap();
        let alone = ModelFiles::read(&artifact).unwrap();
        assert!(alone.features.is_none() && alone.scaler.is_empty() && alone.readout.is_empty());
        fs::write(dir.path().join("fold-01.scaler.json"), b"scale").unwrap();
        fs::write(dir.path().join("fold-01.readout.json"), b"read").unwrap();
        let all = ModelFiles::read(&artifact).unwrap();
        assert_eq!((&*all.scaler, &*all.readout), (&b"scale"[..], &b"read"[..]));
        let features = format!(
            "{{\"format\": 1, \"model_sha256\": \"{}\", \"feature_set_sha256\": \"cd\", \
             \"features\": [], \"time_frame\": \"1h\", \"max_gap_bars\": 1}}",
            "ab".repeat(32)
        );
        fs::write(ModelFeatures::path_of(&artifact), features).unwrap();
        let other = ModelFiles::read(&artifact).unwrap_err().to_string();
        assert!(other.contains("another artifact"), "{other}");
    }
}
