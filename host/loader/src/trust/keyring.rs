//! The keyring: whose signatures count, for what, and until when.
//!
//! ```toml
//! keyring = 1
//!
//! [[key]]
//! name = "acme"
//! public_key = "RWQ…"
//! role = "vendor"                  # first-party | vendor
//! plugins = ["com.acme.*"]         # optional: the ids it may sign; all where left out
//! expires = 2027-12-31             # optional: the first day on which it no longer counts (UTC)
//! ```

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use minisign_verify::PublicKey;
use serde::Serialize;
use toml::{Table, Value};

use super::signature::{KeyId, public_key};
use super::{TrustFileError, date::Date, file};
use crate::manifest::{Isolation, is_valid_id};

/// Number of the layout.
const KEYRING_VERSION: i64 = 1;

/// More keys than this are a mistake.
const MAX_KEYS: usize = 1024;

/// What a key stands for; it decides the weakest tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The operator's own: may run in the host's process.
    FirstParty,
    /// Somebody else's: runs in a worker process.
    Vendor,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 2] = [Self::FirstParty, Self::Vendor];

    /// The weakest tier of what such a key signed.
    #[must_use]
    pub fn tier(self) -> Isolation {
        match self {
            Self::FirstParty => Isolation::InProcess,
            Self::Vendor => Isolation::Worker,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FirstParty => "first-party",
            Self::Vendor => "vendor",
        })
    }
}

/// A key whose signatures count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Key {
    /// What people call it.
    pub name: String,
    /// One line of base64.
    pub public_key: String,
    /// Its number.
    pub key_id: KeyId,
    /// What it stands for.
    pub role: Role,
    /// The ids that it may sign, each exact or ending in `.*`; empty for all.
    pub plugins: Vec<String>,
    /// The first day on which it no longer counts.
    pub expires: Option<Date>,
}

impl Key {
    /// A key for all plugins that never expires.
    ///
    /// # Errors
    /// What is wrong with the public key.
    pub fn new(name: &str, text: &str, role: Role) -> Result<Self, String> {
        let (public_key, key_id) = public_key(text).map_err(|error| error.to_string())?;
        Ok(Self {
            name: name.to_owned(),
            public_key,
            key_id,
            role,
            plugins: Vec::new(),
            expires: None,
        })
    }

    /// Whether it may sign the plugin `id`.
    #[must_use]
    pub fn covers(&self, id: &str) -> bool {
        let fits = |scope: &String| match scope.strip_suffix(".*") {
            Some(above) => id
                .strip_prefix(above)
                .is_some_and(|rest| rest.starts_with('.')),
            None => scope == id,
        };
        self.plugins.is_empty() || self.plugins.iter().any(fits)
    }

    /// Whether it no longer counts.
    #[must_use]
    pub fn is_expired(&self, now_unix_s: i64) -> bool {
        self.expires
            .is_some_and(|day| now_unix_s >= day.begins_at_unix_s())
    }

    pub(super) fn verifier(&self) -> Option<PublicKey> {
        PublicKey::from_base64(&self.public_key).ok()
    }
}

/// Whether a text is a scope: an id, or an id with `.*` behind it.
#[must_use]
pub fn is_scope(text: &str) -> bool {
    let above = text.strip_suffix(".*");
    // One word alone, such as `com.*`, is a scope and no id.
    is_valid_id(text) || above.is_some_and(|above| is_valid_id(&format!("{above}.x")))
}

/// Whose signatures count.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Keyring {
    keys: Vec<Key>,
}

impl Keyring {
    /// The keys, in the order of the file.
    #[must_use]
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// The key of this number.
    #[must_use]
    pub fn find(&self, key_id: &KeyId) -> Option<&Key> {
        self.keys.iter().find(|key| key.key_id == *key_id)
    }

    /// Adds a key.
    ///
    /// # Errors
    /// Where a key of that number or that name is there already.
    pub fn add(&mut self, key: Key) -> Result<(), String> {
        if let Some(old) = self.find(&key.key_id) {
            return Err(format!(
                "key {} is in the keyring already, as `{}` ({})",
                key.key_id, old.name, old.role
            ));
        }
        if self.keys.iter().any(|old| old.name == key.name) {
            return Err(format!(
                "another key is called `{}`; give this one another name",
                key.name
            ));
        }
        self.keys.push(key);
        Ok(())
    }

    /// Takes out the key of this name or number.
    #[must_use]
    pub fn remove(&mut self, wanted: &str) -> Option<Key> {
        let id = KeyId::parse(wanted);
        let fits = |key: &Key| key.name == wanted || Some(&key.key_id) == id.as_ref();
        let at = self.keys.iter().position(fits)?;
        Some(self.keys.remove(at))
    }

    /// Reads a keyring file; `None` where there is none.
    ///
    /// # Errors
    /// [`TrustFileError`] with every problem.
    pub fn read(path: &Path) -> Result<Option<Self>, TrustFileError> {
        let Some(text) = file::read(path)? else {
            return Ok(None);
        };
        let keyring = Self::parse(&text).map_err(|problems| file::wrong(path, problems))?;
        Ok(Some(keyring))
    }

    /// Reads the text of a keyring.
    ///
    /// # Errors
    /// Every problem, one sentence each.
    pub fn parse(text: &str) -> Result<Self, Vec<String>> {
        let table = file::table(text)?;
        let mut reader = file::Reader::new(&table, &["keyring", "key"]);
        reader.layout("keyring", KEYRING_VERSION);
        let entries = reader.entries("key", MAX_KEYS);
        let mut problems = reader.problems;
        let mut keyring = Self::default();
        for (position, entry) in entries.iter().enumerate() {
            let told = |problem: String| format!("key {}: {problem}", position + 1);
            match key(entry) {
                Err(found) => problems.extend(found.into_iter().map(told)),
                Ok(key) => problems.extend(keyring.add(key).err().map(told)),
            }
        }
        if problems.is_empty() {
            Ok(keyring)
        } else {
            Err(problems)
        }
    }

    /// The text of the keyring.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut text = format!(
            "# Whose signatures of plugins count; see `fusebox plugin trust --help`.\n\
             keyring = {KEYRING_VERSION}\n"
        );
        for key in &self.keys {
            text.push_str("\n[[key]]\n");
            let mut line = |name: &str, value: Value| text.push_str(&format!("{name} = {value}\n"));
            line("name", key.name.clone().into());
            line("public_key", key.public_key.clone().into());
            line("role", key.role.to_string().into());
            if !key.plugins.is_empty() {
                line("plugins", key.plugins.clone().into());
            }
            if let Some(day) = key.expires {
                line("expires", day.to_string().into());
            }
        }
        text
    }
}

fn key(table: &Table) -> Result<Key, Vec<String>> {
    const KEYS: [&str; 5] = ["name", "public_key", "role", "plugins", "expires"];
    let mut reader = file::Reader::new(table, &KEYS);
    let name = reader.needed_text("name");
    let text = reader.needed_text("public_key");
    let role = reader.needed_text("role");
    let scopes = reader.texts("plugins");
    let expires = reader.date("expires");
    let mut problems = reader.problems;
    let role = Role::ALL.into_iter().find(|one| one.to_string() == role);
    if role.is_none() && table.contains_key("role") {
        problems.push("`role` must be one of first-party, vendor".to_owned());
    }
    let seen: BTreeSet<&String> = scopes.iter().filter(|scope| !is_scope(scope)).collect();
    for scope in seen {
        problems.push(format!(
            "`plugins` holds \"{scope}\"; it must be an id such as com.example.ema, or \
             com.example.*"
        ));
    }
    let key = match (role, problems.is_empty()) {
        (Some(role), true) => Key::new(&name, &text, role),
        _ => return Err(problems),
    };
    key.map(|key| Key {
        plugins: scopes,
        expires,
        ..key
    })
    .map_err(|problem| vec![format!("`public_key` is wrong: {problem}")])
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";

    #[test]
    fn a_keyring_survives_being_written() {
        let text = format!(
            "keyring = 1\n[[key]]\nname = \"acme\"\npublic_key = \"{PUBLIC}\"\nrole = \"vendor\"\n\
             plugins = [\"com.acme.*\", \"org.one.two\"]\nexpires = 2027-12-31\n"
        );
        let keyring = Keyring::parse(&text).unwrap();
        assert_eq!(Keyring::parse(&keyring.to_toml()).unwrap(), keyring);
        let key = &keyring.keys()[0];
        assert_eq!(key.key_id.to_string(), "E7620F1842B4E81F");
        for (id, covered) in [
            ("com.acme.x", true),
            ("com.acme.x.y", true),
            ("com.acme", false),
            ("com.acmeevil.x", false),
            ("org.one.two", true),
            ("org.one.two.three", false),
        ] {
            assert_eq!(key.covers(id), covered, "{id}");
        }
        // 2027-12-31 00:00 UTC
        assert!(!key.is_expired(1_830_211_199));
        assert!(key.is_expired(1_830_211_200));
    }

    #[test]
    fn every_problem_is_reported_at_once() {
        let text = format!(
            "keyring = 2\nkeys = 1\n[[key]]\nname = \"a\"\npublic_key = \"x\"\nrole = \"vendor\"\n\
             [[key]]\nname = 1\npublic_key = \"{PUBLIC}\"\nrole = \"boss\"\nplugins = [\"*\"]\n\
             expires = \"soon\"\nexpirse = 1\n[[key]]\n"
        );
        let problems = Keyring::parse(&text).unwrap_err().join("\n");
        for part in [
            "unknown key `keys`; did you mean `key`?",
            "`keyring` is 2; this version reads 1",
            "key 1: `public_key` is wrong: it is not a minisign public key",
            "key 2: unknown key `expirse`; did you mean `expires`?",
            "key 2: `name` must be a text",
            "key 2: `role` must be one of first-party, vendor",
            "key 2: `plugins` holds \"*\"",
            "key 2: `expires` must be a day such as 2027-12-31",
            "key 3: `name` is missing",
            "key 3: `role` is missing",
        ] {
            assert!(problems.contains(part), "{part} not in:\n{problems}");
        }
    }

    #[test]
    fn a_key_and_a_name_stand_for_one_thing() {
        let mut keyring = Keyring::default();
        keyring
            .add(Key::new("a", PUBLIC, Role::Vendor).unwrap())
            .unwrap();
        let again = Key::new("b", PUBLIC, Role::FirstParty).unwrap();
        let told = keyring.add(again).unwrap_err();
        assert!(told.contains("already, as `a` (vendor)"), "{told}");
        assert!(keyring.remove("b").is_none());
        assert!(keyring.remove("e7620f1842b4e81f").is_some());
        assert!(keyring.keys().is_empty());
    }
}
