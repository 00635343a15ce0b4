//! The file that keeps the state of live features over a restart.
//!
//! It is replaced whole or not at all. State that does not fit is never used: the caller replays
//! the bars instead.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use fusebox_engine::features::{ExtractOptions, FeatureContext, FeatureSet, RestoreError};

use super::rows::LiveRows;
use crate::data::atomic::write_atomically;

/// Why kept state is not used, or cannot be kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeptStateError {
    /// The file system refuses.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
    /// The state belongs to other work or is damaged.
    #[error("{path}: {source}")]
    Restore {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        source: RestoreError,
    },
}

/// The place of the state of one model's features.
#[derive(Debug, Clone)]
pub struct KeptState {
    path: PathBuf,
}

impl KeptState {
    /// `<state_dir>/features/<model>.state`, with what no file name should have replaced by `-`.
    #[must_use]
    pub fn of_model(state_dir: &Path, model: &str) -> Self {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let name: String = model
            .chars()
            .map(|c| if is_plain(c) { c } else { '-' })
            .collect();
        Self {
            path: state_dir.join("features").join(format!("{name}.state")),
        }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Rows that go on after the kept ones; `None` where nothing is kept.
    ///
    /// # Errors
    /// [`KeptStateError`] where the file cannot be read or does not fit; replay the bars then.
    pub fn resume(
        &self,
        set: &FeatureSet,
        context: &FeatureContext,
        options: ExtractOptions,
        window: usize,
    ) -> Result<Option<LiveRows>, KeptStateError> {
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.io(error)),
        };
        let rows = LiveRows::restore(set, context, options, window, &bytes);
        rows.map(Some).map_err(|source| KeptStateError::Restore {
            path: self.path.clone(),
            source,
        })
    }

    /// Replaces the kept state by that of `rows`.
    ///
    /// # Errors
    /// [`KeptStateError::Io`]; the older state is then still there.
    pub fn keep(&self, rows: &LiveRows) -> Result<(), KeptStateError> {
        let bytes = rows.save();
        let folder = self.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)
            .and_then(|()| write_atomically(&self.path, |file| file.write_all(&bytes)))
            .map_err(|error| self.io(error))
    }

    fn io(&self, source: io::Error) -> KeptStateError {
        let path = self.path.clone();
        KeptStateError::Io { path, source }
    }
}
