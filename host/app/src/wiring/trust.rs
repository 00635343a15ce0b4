//! The operator's policy for plugins, from the configuration and the files that it names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fusebox_loader::live::audit::read_events;
use fusebox_loader::live::control::is_running;
use fusebox_loader::live::store::TrustSource;
use fusebox_loader::live::{AuditEvent, Occasion, State, What};
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

impl TrustSource for TrustSettings {
    fn policy(&self) -> Result<TrustPolicy, String> {
        Self::policy(self).map_err(|failure| failure.message())
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

/// Why a version of a plugin must stay in its directory: while a supervisor runs, what answers now
/// and what it would go back to are in use. A log that cannot be read holds everything.
pub(crate) fn in_use(settings: &EngineSettings, id: &str, version: &str) -> Option<String> {
    if !is_running(&settings.state_dir) {
        return None;
    }
    match read_events(&settings.state_dir, 0) {
        Ok(events) => held(&events, id, version),
        Err(error) => Some(format!(
            "a supervisor runs on {}, and its log cannot be read ({error})",
            settings.state_dir.display()
        )),
    }
}

/// Which live model holds a version of a plugin, by the log of a supervisor: the last two versions
/// of each model that were promoted.
fn held(events: &[AuditEvent], id: &str, version: &str) -> Option<String> {
    let mut promoted: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    for event in events {
        let takes_over = [
            What::State(State::Promoted),
            What::Other(Occasion::RolledBack),
        ];
        if takes_over.contains(&event.event) && event.reason.is_none_or(|reason| !reason.is_skip())
        {
            let versions = promoted.entry(event.model.as_str()).or_default();
            let own = (event.plugin.as_str(), event.version.as_str());
            versions.retain(|other| *other != own);
            versions.push(own);
        }
    }
    promoted.iter().find_map(|(model, versions)| {
        let from_last = versions
            .iter()
            .rev()
            .position(|one| *one == (id, version))?;
        match from_last {
            0 => Some(format!("the live model `{model}` runs it")),
            1 => Some(format!("the live model `{model}` may go back to it")),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_two_versions_of_a_live_model_are_held() {
        let event = |event: What, version: &str| AuditEvent {
            plugin: "a.b".to_owned(),
            version: version.to_owned(),
            ..AuditEvent::new(event, "trend")
        };
        let promoted = What::State(State::Promoted);
        let mut events: Vec<AuditEvent> = ["1.0.0", "1.1.0", "1.2.0"]
            .map(|version| event(promoted, version))
            .into();
        let held = |events: &[AuditEvent], version: &str| held(events, "a.b", version);
        assert_eq!(held(&events, "1.0.0"), None);
        assert!(
            held(&events, "1.1.0")
                .unwrap()
                .contains("`trend` may go back")
        );
        assert!(held(&events, "1.2.0").unwrap().contains("`trend` runs it"));
        events.push(event(What::Other(Occasion::RolledBack), "1.1.0"));
        assert!(held(&events, "1.1.0").unwrap().contains("`trend` runs it"));
        assert!(held(&events, "1.2.0").unwrap().contains("may go back"));
        assert_eq!(super::held(&events, "a.c", "1.1.0"), None);
    }
}
