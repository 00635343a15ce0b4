//! What is kept of folds while a training goes on, so that a process that was killed loses little.
//!
//! ```text
//! fold-01.finished      a model, with the curve of its fit
//! fold-02.checkpoint    where its fit can go on
//! ```
//!
//! A file is one line of JSON and the bytes of the plugin; it appears whole or not at all. One that
//! was damaged since is told of and counts as absent: what it held is trained again.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::output::{OutputError, hex, io_error};
use crate::data::atomic::write_atomically;
use crate::report::LearningCurve;

const FORMAT: u32 = 1;

/// A model or a checkpoint, with what its fit told up to there.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Kept {
    pub bytes: Vec<u8>,
    pub curve: LearningCurve,
}

/// The first line of a file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    format: u32,
    step: u64,
    sha256: String,
    steps: Vec<u64>,
    /// Bits of the values: a reader of JSON may round the last one of a number.
    metrics: BTreeMap<String, Vec<Option<u64>>>,
}

impl Head {
    /// SHA-256 of everything else in the file.
    fn digest(&self, bytes: &[u8]) -> String {
        let mut hasher = Sha256::new();
        // Plain values, which JSON can always hold.
        let own = serde_json::to_vec(&(self.step, &self.steps, &self.metrics));
        hasher.update(own.unwrap_or_default());
        hasher.update(bytes);
        hex(&hasher.finalize())
    }
}

/// The directory of one pipeline's folds.
#[derive(Debug)]
pub(super) struct FoldStore {
    dir: PathBuf,
}

impl FoldStore {
    /// Opens or makes the directory.
    pub(super) fn open(dir: &Path) -> Result<Self, OutputError> {
        fs::create_dir_all(dir).map_err(|source| io_error(dir, source))?;
        Ok(Self {
            dir: dir.to_path_buf(),
        })
    }

    /// The finished model of this name.
    pub(super) fn finished(&self, key: &str) -> Option<Kept> {
        read(&self.path(key, "finished")).map(|(_, kept)| kept)
    }

    /// The last checkpoint of this name, with the steps done.
    pub(super) fn checkpoint(&self, key: &str) -> Option<(u64, Kept)> {
        read(&self.path(key, "checkpoint"))
    }

    /// Replaces the checkpoint of this name.
    pub(super) fn keep_checkpoint(
        &self,
        key: &str,
        step: u64,
        kept: &Kept,
    ) -> Result<(), OutputError> {
        write(&self.path(key, "checkpoint"), step, kept)
    }

    /// Stores a finished model; its checkpoint has done its duty.
    pub(super) fn keep_finished(&self, key: &str, kept: &Kept) -> Result<(), OutputError> {
        let last = kept.curve.steps.last().copied().unwrap_or_default();
        write(&self.path(key, "finished"), last, kept)?;
        // A checkpoint that stays is overwritten or removed with the directory.
        let _ = fs::remove_file(self.path(key, "checkpoint"));
        Ok(())
    }

    fn path(&self, key: &str, kind: &str) -> PathBuf {
        self.dir.join(format!("{key}.{kind}"))
    }
}

fn write(path: &Path, step: u64, kept: &Kept) -> Result<(), OutputError> {
    let bits = |values: &Vec<Option<f64>>| -> Vec<Option<u64>> {
        values.iter().map(|value| value.map(f64::to_bits)).collect()
    };
    let curve = &kept.curve;
    let metrics = curve.metrics.iter();
    let mut head = Head {
        format: FORMAT,
        step,
        sha256: String::new(),
        steps: curve.steps.clone(),
        metrics: metrics
            .map(|(name, values)| (name.clone(), bits(values)))
            .collect(),
    };
    head.sha256 = head.digest(&kept.bytes);
    let mut line = serde_json::to_vec(&head).map_err(|source| OutputError::Encode {
        file: path.display().to_string(),
        source,
    })?;
    line.push(b'\n');
    write_atomically(path, |file| -> io::Result<()> {
        file.write_all(&line)?;
        file.write_all(&kept.bytes)
    })
    .map_err(|source| io_error(path, source))
}

fn read(path: &Path) -> Option<(u64, Kept)> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::warn!("{} is left aside: {error}", path.display());
            return None;
        }
    };
    let kept = parse(&bytes);
    if kept.is_none() {
        tracing::warn!(
            "{} is damaged and left aside; what it held is trained again",
            path.display()
        );
    }
    kept
}

fn parse(bytes: &[u8]) -> Option<(u64, Kept)> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
    let head: Head = serde_json::from_slice(line).ok()?;
    let fits = |values: &Vec<Option<u64>>| values.len() == head.steps.len();
    if head.format != FORMAT || head.sha256 != head.digest(rest) || !head.metrics.values().all(fits)
    {
        return None;
    }
    let metrics = head.metrics.into_iter().map(|(name, bits)| {
        let values = bits.into_iter().map(|bits| bits.map(f64::from_bits));
        (name, values.collect())
    });
    let kept = Kept {
        bytes: rest.to_vec(),
        curve: LearningCurve {
            steps: head.steps,
            metrics: metrics.collect(),
        },
    };
    Some((head.step, kept))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> Kept {
        let values = [1.0, 3.0, 7.0].map(|value: f64| Some(value.recip()));
        let curve = LearningCurve {
            steps: vec![1, 2, 3],
            metrics: [("loss".to_owned(), values.to_vec())].into(),
        };
        Kept {
            bytes: b"weights\nwith lines\0".to_vec(),
            curve,
        }
    }

    #[test]
    fn what_is_kept_comes_back_to_the_bit() {
        let dir = tempfile::tempdir().unwrap();
        let store = FoldStore::open(&dir.path().join("deep/er")).unwrap();
        assert!(store.finished("fold-01").is_none());
        store.keep_checkpoint("fold-01", 3, &kept()).unwrap();
        assert_eq!(store.checkpoint("fold-01"), Some((3, kept())));
        store.keep_finished("fold-01", &kept()).unwrap();
        assert_eq!(store.finished("fold-01"), Some(kept()));
        assert_eq!(store.checkpoint("fold-01"), None);
    }

    #[test]
    fn damage_counts_as_absence() {
        let dir = tempfile::tempdir().unwrap();
        let store = FoldStore::open(dir.path()).unwrap();
        store.keep_finished("fold-01", &kept()).unwrap();
        let path = dir.path().join("fold-01.finished");
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            assert!(store.finished("fold-01").is_none(), "{length}");
        }
        for position in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[position] ^= 4;
            fs::write(&path, &flipped).unwrap();
            assert!(store.finished("fold-01").is_none(), "{position}");
        }
    }
}
