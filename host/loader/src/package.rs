//! Writing packages: from a built library, or from another package, to `<root>/<id>/<version>/`.
//!
//! | file | does |
//! |---|---|
//! | `build` | a package from a built library |
//! | `install` | a package from a package directory, checked; and removing one |
//! | `commit` | the steps on the disk, the same for both |
//!
//! Everything is written under a hidden name first; a package is there from the moment its
//! `plugin.toml` is renamed into place. A reader sees the old package or the new one, never a
//! mixture; what a crash leaves behind is passed over, and the next writer clears it away.

mod build;
mod commit;
mod install;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub use build::{PackageSpec, sign_package, write_package, write_signed_package};
pub use install::{InstallOptions, Installed, Removed, install_package, remove_package};

use crate::disk;
use crate::error::LoadError;
use crate::manifest::ManifestError;
use crate::trust::{SigningError, VersionError};

/// Why a package cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackageError {
    /// The library is not a plugin for this machine, or the package is broken or not trusted.
    #[error(transparent)]
    Library(#[from] LoadError),
    /// The facts do not make a valid manifest.
    #[error("the package would not be valid: {0}")]
    Manifest(#[from] ManifestError),
    /// Another package is committed under this id and version.
    #[error(
        "{path} holds another package already; raise the version, or ask to replace it",
        path = .0.display()
    )]
    Committed(PathBuf),
    /// Files are not the ones that the manifest was written for.
    #[error("{path} is broken: {all}", path = .path.display(), all = .problems.join("; "))]
    Files {
        /// The package.
        path: PathBuf,
        /// Every problem, the file first.
        problems: Vec<String>,
    },
    /// A higher version is there.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// The package cannot be signed.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// There is no such package.
    #[error("{wanted} is not installed in {root}{found}", root = .root.display())]
    Missing {
        /// What was asked for.
        wanted: String,
        /// The plugin directory.
        root: PathBuf,
        /// What is there, as an addition to the sentence.
        found: String,
    },
    /// The package is in use.
    #[error("{wanted} is in use: {reason}; ask again with force if that is meant")]
    InUse {
        /// What was asked for.
        wanted: String,
        /// By whom.
        reason: String,
    },
    /// A file cannot be written.
    #[error("cannot {doing} {path}: {source}", path = .path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

fn io(doing: &'static str, path: &Path, source: std::io::Error) -> PackageError {
    PackageError::Io {
        doing,
        path: path.to_owned(),
        source,
    }
}

/// Replaces a small file of the operator's as a whole: a keyring, a list, a public key.
///
/// # Errors
/// Where it cannot be written; the old content is intact then.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), PackageError> {
    disk::replace_file(path, bytes).map_err(|source| io("write", path, source))
}

/// The same for a secret key, readable by its owner alone.
///
/// # Errors
/// As [`write_file`].
pub fn write_secret_file(path: &Path, bytes: &[u8]) -> Result<(), PackageError> {
    disk::replace_secret(path, bytes).map_err(|source| io("write", path, source))
}
