//! What is checked: a package directory, or a library on its own.

use std::fs;
use std::path::{Path, PathBuf};

use crate::discover::Discovered;
use crate::manifest::{MANIFEST_FILE, Manifest, host_target};

/// What is checked.
#[derive(Debug, Clone)]
pub struct Target {
    /// The path that was given.
    pub path: PathBuf,
    /// The package; `None` where a bare library is checked.
    pub package: Option<Discovered>,
    /// The library for this machine.
    pub library: PathBuf,
}

/// Why there is nothing to check.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// Neither a package nor a library.
    #[error(
        "{path} is neither a package nor a library: give a `.so` file, or a directory with a \
         {MANIFEST_FILE}{hint}",
        path = .path.display()
    )]
    Neither {
        /// What was given.
        path: PathBuf,
        /// Where a package lies nearby.
        hint: String,
    },
    /// The manifest cannot be read, or names no library for this machine.
    #[error("{path}: {reason}", path = .path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl Target {
    /// Looks at `path`, without running anything.
    ///
    /// # Errors
    /// [`TargetError`] where there is no library to check.
    pub fn open(path: &Path) -> Result<Self, TargetError> {
        if path.is_file() {
            return Ok(Self {
                path: path.to_owned(),
                package: None,
                library: path.to_owned(),
            });
        }
        let file = path.join(MANIFEST_FILE);
        if !file.is_file() {
            let (path, hint) = (path.to_owned(), package_below(path));
            return Err(TargetError::Neither { path, hint });
        }
        let refuse = |reason: String| TargetError::Manifest {
            path: file.clone(),
            reason,
        };
        let package = Discovered::at(path);
        let sound = package
            .state
            .as_ref()
            .map_err(|error| refuse(error.to_string()))?;
        let target = host_target();
        let artifact = sound.artifact.get(&target).ok_or_else(|| {
            let found: Vec<&str> = sound.artifact.keys().map(String::as_str).collect();
            refuse(format!(
                "it has no library for {target}, only for {}; build and pack it on this machine",
                found.join(", ")
            ))
        })?;
        Ok(Self {
            path: path.to_owned(),
            library: path.join(&artifact.path),
            package: Some(package),
        })
    }

    /// The manifest, where there is a sound one.
    #[must_use]
    pub fn manifest(&self) -> Option<&Manifest> {
        self.package.as_ref()?.state.as_ref().ok()
    }

    /// The budget of one prediction in microseconds, where the manifest states one.
    #[must_use]
    pub fn budget_us(&self) -> Option<u64> {
        self.manifest()?.budget.predict_p99_us
    }
}

/// Where a package lies one or two directories below, for people who gave the plugin directory: the
/// end of a sentence, empty where there is none.
#[must_use]
pub fn package_below(dir: &Path) -> String {
    let below = |dir: PathBuf| -> Vec<PathBuf> {
        let entries = fs::read_dir(dir)
            .into_iter()
            .flatten()
            .filter_map(Result::ok);
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        paths.sort();
        paths
    };
    let mut candidates = below(dir.to_owned());
    candidates.extend(candidates.clone().into_iter().flat_map(below));
    let found = candidates
        .into_iter()
        .find(|path| path.join(MANIFEST_FILE).is_file());
    found.map_or_else(String::new, |path| {
        format!("; did you mean {}?", path.display())
    })
}
