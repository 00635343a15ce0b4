//! The operator's policy for plugins, from the configuration and the files that it names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fusebox_loader::trust::{Keyring, Revocations, TrustFileError};
use fusebox_loader::{Clock, Isolation, SystemClock, TrustPolicy};

use super::EngineSettings;
use crate::config::raw::{KEYRING, REVOCATIONS, RawEngine};
use crate::failure::Failure;

/// What the configuration says of trust.
#[derive(Debug, Clone)]
pub(crate) struct TrustSettings {
    /// The keyring.
    pub(crate) keyring: PathBuf,
    /// The list of revocations.
    pub(crate) revocations: PathBuf,
    unsigned: Option<Isolation>,
    floor: Isolation,
    floors: BTreeMap<String, Isolation>,
    max_package_mb: u64,
}

impl TrustSettings {
    pub(super) fn new(engine: &RawEngine) -> Self {
        let floors = engine.isolation_of.iter();
        Self {
            keyring: PathBuf::from(&engine.keyring),
            revocations: PathBuf::from(&engine.revocations),
            unsigned: engine.unsigned.tier(),
            floor: engine.isolation.into(),
            floors: floors
                .map(|(id, floor)| (id.clone(), (*floor).into()))
                .collect(),
            max_package_mb: engine.max_package_mb,
        }
    }

    /// The same with another keyring.
    pub(crate) fn with_keyring(mut self, keyring: Option<&Path>) -> Self {
        if let Some(keyring) = keyring {
            self.keyring = keyring.to_owned();
        }
        self
    }

    /// The policy: the files are read and checked.
    ///
    /// # Errors
    /// [`Failure::Refused`] with what is wrong with a file, or where one that is not the default
    /// does not exist: a list that was meant to protect must not be passed over.
    pub(crate) fn policy(&self) -> Result<TrustPolicy, Failure> {
        let keyring = Keyring::read(&self.keyring).map_err(refused)?;
        let keyring = or_default(keyring, &self.keyring, ("engine.keyring", KEYRING))?;
        let revocations = Revocations::read(&self.revocations, &keyring).map_err(refused)?;
        let key = ("engine.revocations", REVOCATIONS);
        let revocations = or_default(revocations, &self.revocations, key)?;
        Ok(TrustPolicy {
            keyring,
            revocations,
            unsigned: self.unsigned,
            floor: self.floor,
            floors: self.floors.clone(),
            max_package_mb: self.max_package_mb,
        })
    }
}

fn refused(error: TrustFileError) -> Failure {
    Failure::Refused(error.into())
}

fn or_default<T: Default>(
    read: Option<T>,
    path: &Path,
    (key, default): (&str, &str),
) -> Result<T, Failure> {
    match read {
        Some(read) => Ok(read),
        None if path == Path::new(default) => Ok(T::default()),
        None => Err(Failure::Refused(anyhow::anyhow!(
            "`{key}` names {}, which does not exist; make it with `fusebox plugin trust`, or name \
             another file",
            path.display()
        ))),
    }
}

/// The time, for keys that expire.
pub(crate) fn now_unix_s() -> i64 {
    SystemClock.unix_ns().div_euclid(1_000_000_000)
}

/// Why a version of a plugin must stay in its directory. A program that serves live models holds
/// the versions that it may still go back to; this version of Fusebox has no such program, so
/// nothing holds one.
pub(crate) fn in_use(_settings: &EngineSettings, _id: &str, _version: &str) -> Option<String> {
    None
}
