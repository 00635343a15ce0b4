//! Revocations: what may run no longer, and why.
//!
//! ```toml
//! revocations = 1
//!
//! [[revoked]]
//! plugin = "com.example.ema"
//! versions = ">=1.2.0, <1.4.3"     # optional: all where left out
//! reason = "leaks file descriptors"
//!
//! [[revoked]]
//! digest = "…"                     # SHA-256 of a manifest, or of any file of a package
//! reason = "built on a machine that was broken into"
//!
//! [[revoked]]
//! key = "E7620F1842B4E81F"
//! reason = "lost"
//! ```
//!
//! A list with a signature beside it (`<file>.minisig`) comes from somebody else: a first-party key
//! of the keyring must have made the signature. A list without one is the operator's own.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use toml::{Table, Value};

use super::keyring::{Keyring, Role};
use super::range::VersionRange;
use super::signature::{Claimed, KeyId};
use super::{TrustFileError, file};
use crate::load::LoadedPlugin;
use crate::manifest::{Manifest, is_digest, is_valid_id, version_numbers};

/// Number of the layout.
const REVOCATIONS_VERSION: i64 = 1;

/// More entries than this are a mistake.
const MAX_ENTRIES: usize = 20_000;

/// What is revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Subject {
    /// Versions of a plugin.
    Plugin {
        /// Its id.
        plugin: String,
        /// Which versions.
        versions: VersionRange,
    },
    /// Every package with this manifest or this file.
    Digest {
        /// SHA-256 in hexadecimal.
        digest: String,
    },
    /// Everything that a key signed.
    Key {
        /// Its number.
        key: KeyId,
    },
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plugin { plugin, versions } => write!(f, "{plugin} {versions}"),
            Self::Digest { digest } => write!(f, "the digest {digest}"),
            Self::Key { key } => write!(f, "key {key}"),
        }
    }
}

/// One entry of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Revocation {
    /// What is revoked.
    #[serde(flatten)]
    pub subject: Subject,
    /// Why.
    pub reason: String,
}

/// What may run no longer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Revocations {
    entries: Vec<Revocation>,
}

/// What a package is, as far as revocations go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Revocable<'a> {
    pub(super) id: &'a str,
    pub(super) version: &'a str,
    pub(super) manifest: Option<&'a Manifest>,
    /// SHA-256 of the bytes of the manifest.
    pub(super) manifest_digest: &'a str,
    pub(super) key: Option<&'a KeyId>,
}

impl Revocations {
    /// The entries, in the order of the file.
    #[must_use]
    pub fn entries(&self) -> &[Revocation] {
        &self.entries
    }

    /// Adds an entry; one that is there already stays as it is.
    pub fn add(&mut self, entry: Revocation) {
        if !self.entries.iter().any(|old| old.subject == entry.subject) {
            self.entries.push(entry);
        }
    }

    /// The entries of two lists.
    #[must_use]
    pub fn with(mut self, other: Self) -> Self {
        self.entries.extend(other.entries);
        self
    }

    /// The entries that hit a package.
    pub(super) fn hits(&self, package: Revocable<'_>) -> Vec<&Revocation> {
        let files = package.manifest.map(Manifest::digests).unwrap_or_default();
        let version = version_numbers(package.version);
        let is_hit = |entry: &&Revocation| match &entry.subject {
            Subject::Plugin { plugin, versions } => {
                plugin == package.id && version.is_none_or(|version| versions.contains(version))
            }
            Subject::Digest { digest: revoked } => {
                revoked == package.manifest_digest || files.values().any(|file| file == revoked)
            }
            Subject::Key { key } => package.key == Some(key),
        };
        self.entries.iter().filter(is_hit).collect()
    }

    /// The entries that hit code which was loaded, perhaps before they were written.
    #[must_use]
    pub fn against(&self, loaded: &LoadedPlugin) -> Vec<&Revocation> {
        self.hits(Revocable {
            id: loaded.id(),
            version: loaded.version(),
            manifest: loaded.manifest(),
            manifest_digest: loaded.manifest_digest(),
            key: loaded.trust().key_id.as_ref(),
        })
    }

    /// Reads a list; `None` where there is none.
    ///
    /// # Errors
    /// [`TrustFileError`] with every problem, also where the signature beside it does not count.
    pub fn read(path: &Path, keyring: &Keyring) -> Result<Option<Self>, TrustFileError> {
        let Some(text) = file::read(path)? else {
            return Ok(None);
        };
        if let Some(signature) = file::read(&signature_path(path))? {
            check_signature(&text, &signature, keyring)
                .map_err(|problem| file::wrong(path, vec![problem]))?;
        }
        let list = Self::parse(&text).map_err(|problems| file::wrong(path, problems))?;
        Ok(Some(list))
    }

    /// Reads the text of a list.
    ///
    /// # Errors
    /// Every problem, one sentence each.
    pub fn parse(text: &str) -> Result<Self, Vec<String>> {
        let table = file::table(text)?;
        let mut reader = file::Reader::new(&table, &["revocations", "revoked"]);
        reader.layout("revocations", REVOCATIONS_VERSION);
        let tables = reader.entries("revoked", MAX_ENTRIES);
        let mut problems = reader.problems;
        let mut entries = Vec::new();
        for (position, table) in tables.iter().enumerate() {
            match entry(table) {
                Ok(entry) => entries.push(entry),
                Err(found) => problems.extend(
                    found
                        .into_iter()
                        .map(|problem| format!("entry {}: {problem}", position + 1)),
                ),
            }
        }
        if problems.is_empty() {
            Ok(Self { entries })
        } else {
            Err(problems)
        }
    }

    /// The text of the list.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut text = format!(
            "# What may run no longer; see `fusebox plugin trust --help`.\n\
             revocations = {REVOCATIONS_VERSION}\n"
        );
        for entry in &self.entries {
            text.push_str("\n[[revoked]]\n");
            let mut line = |name: &str, value: String| {
                text.push_str(&format!("{name} = {}\n", Value::from(value)));
            };
            match &entry.subject {
                Subject::Plugin { plugin, versions } => {
                    line("plugin", plugin.clone());
                    line("versions", versions.to_string());
                }
                Subject::Digest { digest } => line("digest", digest.clone()),
                Subject::Key { key } => line("key", key.to_string()),
            }
            line("reason", entry.reason.clone());
        }
        text
    }
}

/// Where the signature of a list lies.
#[must_use]
pub fn signature_path(list: &Path) -> PathBuf {
    let mut name = list.as_os_str().to_owned();
    name.push(".minisig");
    PathBuf::from(name)
}

fn check_signature(text: &str, signature: &str, keyring: &Keyring) -> Result<(), String> {
    let claimed = Claimed::read(signature.as_bytes())
        .map_err(|reason| format!("its signature is unusable: {reason}"))?;
    let key = keyring.find(&claimed.key_id);
    let key = key
        .filter(|key| key.role == Role::FirstParty)
        .ok_or_else(|| {
            format!(
                "it is signed by key {}, which is no first-party key of the keyring",
                claimed.key_id
            )
        })?;
    let fits = key
        .verifier()
        .map(|verifier| claimed.verify(text.as_bytes(), &verifier));
    match fits {
        Some(Ok(())) => Ok(()),
        _ => Err(format!(
            "its signature by `{}` does not fit: the list was changed after it was signed",
            key.name
        )),
    }
}

fn entry(table: &Table) -> Result<Revocation, Vec<String>> {
    const KEYS: [&str; 5] = ["plugin", "versions", "digest", "key", "reason"];
    let mut reader = file::Reader::new(table, &KEYS);
    let (plugin, versions) = (reader.text("plugin"), reader.text("versions"));
    let (digest, key) = (reader.text("digest"), reader.text("key"));
    let reason = reader.needed_text("reason");
    let mut problems = reader.problems;
    if versions.is_some() && plugin.is_none() {
        problems.push("`versions` stands beside no `plugin`".to_owned());
    }
    let subject = match (plugin, digest, key) {
        (Some(plugin), None, None) => Subject::plugin(&plugin, versions.as_deref().unwrap_or("*")),
        (None, Some(digest), None) => Subject::digest(&digest),
        (None, None, Some(key)) => Subject::key(&key),
        _ => Err("it must have one of `plugin`, `digest` and `key`".to_owned()),
    };
    match subject {
        Ok(subject) if problems.is_empty() => Ok(Revocation { subject, reason }),
        Ok(_) => Err(problems),
        Err(problem) => {
            problems.push(problem);
            Err(problems)
        }
    }
}

impl Subject {
    /// Versions of a plugin.
    ///
    /// # Errors
    /// What is wrong with id or versions.
    pub fn plugin(id: &str, versions: &str) -> Result<Self, String> {
        if !is_valid_id(id) {
            return Err(format!("`{id}` is no plugin id such as com.example.ema"));
        }
        let range = VersionRange::parse(versions).ok_or_else(|| {
            format!("`{versions}` names no versions; write \"*\", \"1.4.2\" or \">=1.2.0, <1.4.3\"")
        })?;
        Ok(Self::Plugin {
            plugin: id.to_owned(),
            versions: range,
        })
    }

    /// A digest.
    ///
    /// # Errors
    /// Where it is none.
    pub fn digest(text: &str) -> Result<Self, String> {
        if !is_digest(text) {
            return Err(format!("`{text}` is no SHA-256 of 64 hexadecimal digits"));
        }
        Ok(Self::Digest {
            digest: text.to_ascii_lowercase(),
        })
    }

    /// A key.
    ///
    /// # Errors
    /// Where the text is no key number.
    pub fn key(text: &str) -> Result<Self, String> {
        let key = KeyId::parse(text);
        key.map(|key| Self::Key { key })
            .ok_or_else(|| format!("`{text}` is no key number of 16 hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_survives_being_written_and_wrong_ones_say_everything() {
        let mut list = Revocations::default();
        for subject in [
            Subject::plugin("com.example.a", ">=1.2.0, <1.4.3").unwrap(),
            Subject::digest(&"AB".repeat(32)).unwrap(),
            Subject::key("e7620f1842b4e81f").unwrap(),
        ] {
            let reason = "said \"no\"".to_owned();
            list.add(Revocation { subject, reason });
        }
        assert_eq!(Revocations::parse(&list.to_toml()).unwrap(), list);
        let text = "revocations = 1\n[[revoked]]\nplugin = \"a\"\n[[revoked]]\nreason = \"x\"\n\
                    [[revoked]]\nkey = \"1\"\ndigest = \"2\"\nreason = \"x\"\nversions = \"1\"\n";
        let problems = Revocations::parse(text).unwrap_err().join("\n");
        for part in [
            "entry 1: `reason` is missing",
            "entry 1: `a` is no plugin id",
            "entry 2: it must have one of",
            "entry 3: `versions` stands beside no `plugin`",
        ] {
            assert!(problems.contains(part), "{part} not in:\n{problems}");
        }
    }
}
