//! Versions only go up: the highest version of each plugin that was seen live, kept across
//! restarts, so that nobody slips an old version with a known hole back in.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;

use crate::disk;
use crate::manifest::version_numbers;

/// Where the record is kept; injected, so that tests need no disk.
pub trait VersionStore: std::fmt::Debug + Send + Sync {
    /// The record: plugin id and version. Empty where none was written yet.
    ///
    /// # Errors
    /// Where there is one and it cannot be read.
    fn read(&self) -> io::Result<BTreeMap<String, String>>;

    /// Replaces the record as a whole.
    ///
    /// # Errors
    /// Where it cannot be written; the old one is intact then.
    fn write(&self, record: &BTreeMap<String, String>) -> io::Result<()>;
}

/// The record as a JSON file in the state directory.
#[derive(Debug, Clone)]
pub struct FileVersionStore {
    path: PathBuf,
}

impl FileVersionStore {
    /// The record in a state directory.
    #[must_use]
    pub fn new(state_dir: impl Into<PathBuf>) -> Self {
        Self {
            path: state_dir.into().join("highest-versions.json"),
        }
    }
}

impl VersionStore for FileVersionStore {
    fn read(&self) -> io::Result<BTreeMap<String, String>> {
        match fs::read(&self.path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(error) => Err(error),
        }
    }

    fn write(&self, record: &BTreeMap<String, String>) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(record).map_err(io::Error::other)?;
        text.push(b'\n');
        disk::replace_file(&self.path, &text)
    }
}

/// Why a version is not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VersionError {
    /// A higher one was live before.
    #[error(
        "plugin {id} {version} is older than {highest}, which is or was in use; raise the \
         version, or force it if the step back is meant"
    )]
    Lower {
        /// The plugin.
        id: String,
        /// The version at hand.
        version: String,
        /// The highest one that was seen.
        highest: String,
    },
    /// The record cannot be read or written.
    #[error("the record of versions cannot be used: {0}; repair it or take it away")]
    Store(#[from] io::Error),
}

/// The highest version of each plugin that was seen live.
#[derive(Debug)]
pub struct HighestVersions<S> {
    store: S,
}

impl<S: VersionStore> HighestVersions<S> {
    /// Over a record that is kept in `store`.
    #[must_use]
    pub fn new(store: S) -> Self {
        Self { store }
    }

    /// The highest version of a plugin.
    ///
    /// # Errors
    /// [`VersionError::Store`].
    pub fn highest(&self, id: &str) -> Result<Option<String>, VersionError> {
        Ok(self.store.read()?.remove(id))
    }

    /// Refuses a version that is lower than the highest one.
    ///
    /// # Errors
    /// [`VersionError::Lower`], or [`VersionError::Store`].
    pub fn check(&self, id: &str, version: &str) -> Result<(), VersionError> {
        match self.highest(id)? {
            Some(highest) if is_lower(version, &highest) => Err(VersionError::Lower {
                id: id.to_owned(),
                version: version.to_owned(),
                highest,
            }),
            _ => Ok(()),
        }
    }

    /// Notes that a version is live. A lower one changes nothing.
    ///
    /// # Errors
    /// [`VersionError::Store`].
    pub fn record(&self, id: &str, version: &str) -> Result<(), VersionError> {
        let mut record = self.store.read()?;
        if record
            .get(id)
            .is_some_and(|highest| !is_lower(highest, version))
        {
            return Ok(());
        }
        record.insert(id.to_owned(), version.to_owned());
        Ok(self.store.write(&record)?)
    }

    /// Makes a version the highest one, also where it is lower: the operator forced it.
    ///
    /// # Errors
    /// [`VersionError::Store`].
    pub fn force(&self, id: &str, version: &str) -> Result<(), VersionError> {
        let mut record = self.store.read()?;
        record.insert(id.to_owned(), version.to_owned());
        Ok(self.store.write(&record)?)
    }
}

/// Whether one version is lower than another; what is no version is lower than any.
#[must_use]
pub fn is_lower(version: &str, than: &str) -> bool {
    version_numbers(version) < version_numbers(than)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Debug, Default)]
    struct Memory(Mutex<BTreeMap<String, String>>);

    impl VersionStore for Memory {
        fn read(&self) -> io::Result<BTreeMap<String, String>> {
            Ok(self.0.lock().unwrap().clone())
        }

        fn write(&self, record: &BTreeMap<String, String>) -> io::Result<()> {
            *self.0.lock().unwrap() = record.clone();
            Ok(())
        }
    }

    #[test]
    fn versions_only_go_up_unless_forced() {
        let versions = HighestVersions::new(Memory::default());
        versions.check("a.b", "1.0.0").unwrap();
        versions.record("a.b", "1.9.0").unwrap();
        versions.record("a.b", "1.10.0").unwrap();
        versions.record("a.b", "1.2.0").unwrap();
        assert_eq!(versions.highest("a.b").unwrap().as_deref(), Some("1.10.0"));
        let told = versions.check("a.b", "1.9.0").unwrap_err().to_string();
        assert!(told.contains("1.9.0 is older than 1.10.0"), "{told}");
        versions.check("a.b", "1.10.0").unwrap();
        versions.check("a.c", "0.0.1").unwrap();
        versions.force("a.b", "1.9.0").unwrap();
        versions.check("a.b", "1.9.0").unwrap();
    }

    #[test]
    fn the_record_survives_and_a_broken_one_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let open = || HighestVersions::new(FileVersionStore::new(dir.path().join("state")));
        open().record("a.b", "1.0.0").unwrap();
        assert!(open().check("a.b", "0.9.0").is_err());
        fs::write(dir.path().join("state/highest-versions.json"), "{").unwrap();
        let told = open().check("a.b", "2.0.0").unwrap_err().to_string();
        assert!(told.contains("repair it or take it away"), "{told}");
    }
}
