//! Why a plugin cannot be loaded.

use std::io;
use std::path::PathBuf;

use fusebox_plugin_api::error::PluginError;
use fusebox_plugin_api::import::ImportError;

use crate::manifest::ManifestError;
use crate::trust::TrustError;

/// Why a plugin cannot be loaded. Each message names the plugin or its file, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// No package of this id (and version) is in the plugin directories.
    #[error("plugin `{wanted}` is not installed{hint}; installed: {installed}")]
    Missing {
        /// Id, with the version where one was asked for.
        wanted: String,
        /// The nearest id, as a question, or nothing.
        hint: String,
        /// What is there.
        installed: String,
    },
    /// The package is there, but its manifest is not usable.
    #[error("plugin {id} {version} in {path} is broken: {source}", path = .path.display())]
    Broken {
        /// Id, from the directory.
        id: String,
        /// Version, from the directory.
        version: String,
        /// The package.
        path: PathBuf,
        /// What is wrong.
        source: ManifestError,
    },
    /// The package carries no library for this machine.
    #[error("plugin {id} has no library for {target}; it has: {found}")]
    NoArtifact {
        /// Id.
        id: String,
        /// This machine, such as `linux-x86_64`.
        target: String,
        /// Targets it has.
        found: String,
    },
    /// The operator's policy does not let it run.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The manifest demands an isolation that this program does not offer.
    #[error("plugin {id} demands isolation `{demanded}`, which this version cannot give")]
    Isolation {
        /// Id.
        id: String,
        /// What the manifest demands.
        demanded: String,
    },
    /// A file cannot be read or written.
    #[error("cannot {doing} {path}: {source}", path = .path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The library is not the one the manifest was written for.
    #[error(
        "{path} has sha256 {found}, the manifest states {stated}; \
         the file was changed or cut off: install the package again",
        path = .path.display()
    )]
    Digest {
        /// The library.
        path: PathBuf,
        /// Digest of the file.
        found: String,
        /// Digest in the manifest.
        stated: String,
    },
    /// The library is not a shared object for this machine.
    #[error("{path} is not a plugin library for this machine: {reason}", path = .path.display())]
    NotALibrary {
        /// The library.
        path: PathBuf,
        /// What it is instead.
        reason: String,
    },
    /// The library speaks another version of the contract.
    #[error(
        "{path} speaks another contract: it exports `{found}`, this host needs `{needed}`; \
         rebuild it with the matching header or kit",
        path = .path.display()
    )]
    WrongAbi {
        /// The library.
        path: PathBuf,
        /// The entry symbols it has.
        found: String,
        /// The entry symbol that was needed.
        needed: &'static str,
    },
    /// The library has no entry at all.
    #[error(
        "{path} exports no `{needed}`: it is not a Fusebox plugin, or its entry is not exported",
        path = .path.display()
    )]
    NoEntry {
        /// The library.
        path: PathBuf,
        /// The entry symbol that was needed.
        needed: &'static str,
    },
    /// Manifest, note and entry do not agree.
    #[error(
        "{path}: {field} is `{found}` in the {place}, but `{stated}` in plugin.toml; \
         package the library again",
        path = .path.display()
    )]
    Mismatch {
        /// The library.
        path: PathBuf,
        /// Which fact.
        field: &'static str,
        /// Where the other value stands.
        place: &'static str,
        /// The other value.
        found: String,
        /// The value of the manifest.
        stated: String,
    },
    /// The dynamic linker refuses the library.
    #[error("cannot map {path}: {reason}", path = .path.display())]
    Map {
        /// The library.
        path: PathBuf,
        /// The words of the linker.
        reason: String,
    },
    /// The entry does not give a plugin.
    #[error("plugin {plugin} cannot be used: {source}")]
    Import {
        /// Id, or the file.
        plugin: String,
        /// Why.
        source: ImportError,
    },
    /// No worker process can run the plugin.
    #[error("{path} cannot be run in a worker process: {source}", path = .path.display())]
    Worker {
        /// The library.
        path: PathBuf,
        /// Why not, in the words of the plugin or of what is left of its process.
        source: PluginError,
    },
}

impl LoadError {
    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io {
            doing,
            path: path.into(),
            source,
        }
    }
}
