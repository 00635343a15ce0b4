//! Who may run, and where: signatures, keys with roles, revocations and the isolation tier that
//! follows from them.
//!
//! | file | holds |
//! |---|---|
//! | `keyring` | whose signatures count, for what, and until when |
//! | `revocations` | what may run no longer, and why |
//! | `range` | which versions are meant |
//! | `signature` | keys and signatures, in the format of minisign |
//! | `versions` | the highest version of each plugin that was live |
//! | `date` | days, for keys that expire |
//! | `file` | reading the operator's files |
//!
//! [`TrustPolicy::judge`] is the one decision. It looks at the bytes that were read when the
//! package was found, the same bytes that its manifest was parsed from, and opens nothing.

mod date;
mod file;
mod keyring;
mod range;
mod revocations;
mod signature;
#[cfg(test)]
mod tests;
mod versions;

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

pub use date::Date;
pub use file::TrustFileError;
pub use keyring::{Key, Keyring, Role, is_scope};
pub use range::VersionRange;
pub use revocations::{Revocation, Revocations, Subject, signature_path};
pub use signature::{KeyId, NewKeys, Signer, SigningError, generate_keys, public_key};
pub use versions::{FileVersionStore, HighestVersions, VersionError, VersionStore, is_lower};

use revocations::Revocable;
use signature::Claimed;

use crate::discover::{Discovered, SignatureBytes};
use crate::error::LoadError;
use crate::generation::sha256_hex;
use crate::manifest::{Isolation, MANIFEST_FILE, Manifest, SIGNATURE_FILE};

/// Largest package where the operator says nothing, MiB.
pub const DEFAULT_MAX_PACKAGE_MB: u64 = 256;

/// The operator's policy. Its default trusts nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustPolicy {
    /// Whose signatures count.
    pub keyring: Keyring,
    /// What may run no longer.
    pub revocations: Revocations,
    /// The weakest tier in which an unsigned plugin runs; `None` refuses unsigned plugins.
    pub unsigned: Option<Isolation>,
    /// The weakest tier of every plugin, whatever its manifest and its signature allow.
    pub floor: Isolation,
    /// The same for single plugins, by id.
    pub floors: BTreeMap<String, Isolation>,
    /// Largest package, MiB, all its files together; a larger one is refused unread.
    pub max_package_mb: u64,
}

impl Default for TrustPolicy {
    fn default() -> Self {
        Self {
            keyring: Keyring::default(),
            revocations: Revocations::default(),
            unsigned: None,
            floor: Isolation::InProcess,
            floors: BTreeMap::new(),
            max_package_mb: DEFAULT_MAX_PACKAGE_MB,
        }
    }
}

/// What the signature of a package is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Signed by a first-party key of the keyring.
    FirstParty,
    /// Signed by a vendor's key of the keyring.
    Vendor,
    /// Signed by a key that is not in the keyring, which is worth nothing.
    UnknownKey,
    /// Not signed.
    Unsigned,
    /// Part of this program.
    Linked,
}

/// That a plugin may run, and where: what was decided, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// Where its code runs.
    pub tier: Isolation,
    /// What its signature is worth.
    pub standing: Standing,
    /// The key that signed it.
    pub key_id: Option<KeyId>,
    /// What the keyring calls that key.
    pub key_name: Option<String>,
    /// The reasons, in one line.
    pub why: String,
}

impl Decision {
    /// The decision about code that is part of this program.
    #[must_use]
    pub fn linked() -> Self {
        Self {
            tier: Isolation::InProcess,
            standing: Standing::Linked,
            key_id: None,
            key_name: None,
            why: "part of this program".to_owned(),
        }
    }

    /// The role of the key that signed it; `None` where no signature counts.
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        match self.standing {
            Standing::FirstParty => Some(Role::FirstParty),
            Standing::Vendor => Some(Role::Vendor),
            Standing::UnknownKey | Standing::Unsigned | Standing::Linked => None,
        }
    }

    /// Who vouches for it, in a few words.
    #[must_use]
    pub fn signer(&self) -> String {
        match (self.role(), &self.key_name, &self.key_id) {
            (Some(role), Some(name), _) => format!("{name} ({role})"),
            (None, _, Some(key_id)) => format!("unknown key {key_id}"),
            _ if self.standing == Standing::Linked => "linked".to_owned(),
            _ => "unsigned".to_owned(),
        }
    }
}

/// One reason why a plugin may not run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It is not signed.
    #[error(
        "it is not signed; sign it with `fusebox plugin sign`, or say where unsigned plugins run, \
         such as `engine.unsigned = \"worker\"`"
    )]
    Unsigned,
    /// Its key is not in the keyring.
    #[error(
        "it is signed by key {key_id}, which is not in the keyring; if you trust its owner, add it \
         with `fusebox plugin trust add`"
    )]
    UnknownKey {
        /// The key that is said to have signed it.
        key_id: KeyId,
    },
    /// Its signature is not one of this manifest.
    #[error("{SIGNATURE_FILE} is wrong: {reason}")]
    Signature {
        /// What is wrong.
        reason: String,
    },
    /// Its key counts no longer.
    #[error("key `{name}` expired on {on}; the owner must sign with a new one")]
    Expired {
        /// The key.
        name: String,
        /// The first day on which it did not count.
        on: Date,
    },
    /// Its key counts for other plugins only.
    #[error("key `{name}` may sign {scope} only")]
    Scope {
        /// The key.
        name: String,
        /// What it may sign.
        scope: String,
    },
    /// It is on the list of revocations.
    #[error("{what} is revoked: {reason}")]
    Revoked {
        /// What is revoked.
        what: String,
        /// Why.
        reason: String,
    },
    /// It is larger than the operator allows.
    #[error(
        "its files have {bytes} bytes, over the limit of {limit_mb} MiB; raise \
         `engine.max_package_mb` if that is meant"
    )]
    TooLarge {
        /// Size of all files.
        bytes: u64,
        /// The limit.
        limit_mb: u64,
    },
    /// The tier is not there yet.
    #[error("it must run in isolation `{tier}` ({why}), which this version cannot give")]
    NoTier {
        /// The tier.
        tier: Isolation,
        /// Who demands it.
        why: String,
    },
}

impl Refusal {
    /// Whether the package may be installed all the same, to be trusted later: nothing is wrong
    /// with it but that nobody vouches for it, or that it has no place to run yet.
    #[must_use]
    pub fn may_be_forced(&self) -> bool {
        matches!(
            self,
            Self::Unsigned | Self::UnknownKey { .. } | Self::NoTier { .. }
        )
    }
}

/// Why a plugin may not run: every reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct TrustError {
    /// The plugin.
    pub id: String,
    /// Its version.
    pub version: String,
    /// Every reason.
    pub refusals: Vec<Refusal>,
}

impl fmt::Display for TrustError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reasons: Vec<String> = self.refusals.iter().map(Refusal::to_string).collect();
        let (id, version) = (&self.id, &self.version);
        write!(
            f,
            "plugin {id} {version} may not run: {}",
            reasons.join("; ")
        )
    }
}

/// What a signature was found to be.
struct Judged<'a> {
    standing: Standing,
    key_id: Option<KeyId>,
    key: Option<&'a Key>,
    refusals: Vec<Refusal>,
}

impl TrustPolicy {
    /// A policy that lets unsigned plugins run in this process: for tests, and for tools that made
    /// the package themselves.
    #[must_use]
    pub fn trusting() -> Self {
        Self {
            unsigned: Some(Isolation::InProcess),
            ..Self::default()
        }
    }

    /// Bytes that all files of a package may have together.
    #[must_use]
    pub fn max_package_bytes(&self) -> u64 {
        self.max_package_mb.saturating_mul(1 << 20)
    }

    /// Decides whether a package may run at the time `now_unix_s`, and where.
    ///
    /// # Errors
    /// [`LoadError::Broken`] where its manifest is, [`LoadError::Trust`] with every reason against
    /// it.
    pub fn judge(&self, package: &Discovered, now_unix_s: i64) -> Result<Decision, LoadError> {
        let manifest = package.manifest()?;
        let judged = self.judge_signature(package, manifest, now_unix_s);
        let mut refusals = judged.refusals;
        let hits = self.revocations.hits(Revocable {
            id: &manifest.id,
            version: &manifest.version,
            manifest: Some(manifest),
            manifest_digest: &sha256_hex(package.manifest_bytes()),
            key: judged.key_id.as_ref(),
        });
        refusals.extend(hits.into_iter().map(|hit| Refusal::Revoked {
            what: hit.subject.to_string(),
            reason: hit.reason.clone(),
        }));
        if package.bytes() > self.max_package_bytes() {
            refusals.push(Refusal::TooLarge {
                bytes: package.bytes(),
                limit_mb: self.max_package_mb,
            });
        }
        let granted = match judged.key {
            Some(key) => Some(key.role.tier()),
            None => self.unsigned,
        };
        // Where nothing is granted, a refusal says so already.
        let (tier, demand) = self.tier(manifest, granted.unwrap_or_default());
        if tier > Isolation::Worker {
            let why = demand.to_owned();
            refusals.push(Refusal::NoTier { tier, why });
        }
        if !refusals.is_empty() {
            return Err(LoadError::Trust(TrustError {
                id: manifest.id.clone(),
                version: manifest.version.clone(),
                refusals,
            }));
        }
        let mut decision = Decision {
            tier,
            standing: judged.standing,
            key_name: judged.key.map(|key| key.name.clone()),
            key_id: judged.key_id,
            why: String::new(),
        };
        decision.why = format!("{}; {tier}: {demand}", decision.signer());
        Ok(decision)
    }

    /// The strongest tier that anybody demands, and who does. `granted` is what the signature
    /// allows.
    fn tier(&self, manifest: &Manifest, granted: Isolation) -> (Isolation, &'static str) {
        let floor = self.floors.get(&manifest.id).copied().unwrap_or_default();
        let demands = [
            (granted, "as far as its signature reaches"),
            (manifest.isolation.minimum, "its manifest demands it"),
            (self.floor, "`engine.isolation` demands it"),
            (floor, "`engine.isolation_of` demands it"),
        ];
        let mut strongest = demands[0];
        for demand in demands {
            if demand.0 > strongest.0 {
                strongest = demand;
            }
        }
        strongest
    }

    fn judge_signature(
        &self,
        package: &Discovered,
        manifest: &Manifest,
        now_unix_s: i64,
    ) -> Judged<'_> {
        let mut judged = Judged {
            standing: Standing::Unsigned,
            key_id: None,
            key: None,
            refusals: Vec::new(),
        };
        let wrong = |reason: String| Refusal::Signature { reason };
        let claimed = match package.signature() {
            SignatureBytes::Absent => {
                judged
                    .refusals
                    .extend(self.refuse_unsigned(Refusal::Unsigned));
                return judged;
            }
            SignatureBytes::Unreadable(reason) => Err(reason.clone()),
            SignatureBytes::Present(bytes) => Claimed::read(bytes),
        };
        let claimed = match claimed {
            Ok(claimed) => claimed,
            Err(reason) => {
                judged.refusals.push(wrong(reason));
                return judged;
            }
        };
        let key_id = claimed.key_id.clone();
        judged.key_id = Some(key_id.clone());
        let Some(key) = self.keyring.find(&key_id) else {
            judged.standing = Standing::UnknownKey;
            judged
                .refusals
                .extend(self.refuse_unsigned(Refusal::UnknownKey { key_id }));
            return judged;
        };
        judged.key = Some(key);
        judged.standing = match key.role {
            Role::FirstParty => Standing::FirstParty,
            Role::Vendor => Standing::Vendor,
        };
        judged
            .refusals
            .extend(check_fit(&claimed, key, package, manifest).err().map(wrong));
        if let Some(on) = key.expires.filter(|_| key.is_expired(now_unix_s)) {
            let name = key.name.clone();
            judged.refusals.push(Refusal::Expired { name, on });
        }
        if !key.covers(&manifest.id) {
            judged.refusals.push(Refusal::Scope {
                name: key.name.clone(),
                scope: key.plugins.join(", "),
            });
        }
        judged
    }

    /// The refusal, unless unsigned plugins may run: a signature that nobody can check is worth as
    /// much as none, for who could strip it.
    fn refuse_unsigned(&self, refusal: Refusal) -> Option<Refusal> {
        self.unsigned.is_none().then_some(refusal)
    }
}

/// Checks that the signature is one of this manifest by this key.
fn check_fit(
    claimed: &Claimed,
    key: &Key,
    package: &Discovered,
    manifest: &Manifest,
) -> Result<(), String> {
    let verifier = key
        .verifier()
        .ok_or_else(|| format!("key `{}` cannot be used", key.name))?;
    let own = (manifest.id.as_str(), manifest.version.as_str());
    let subject = claimed.subject();
    claimed
        .verify(package.manifest_bytes(), &verifier)
        .map_err(|reason| match subject {
            Some((id, version)) if (id, version) != own => format!(
                "it is the signature of {id} {version}, not of {} {}; sign this package",
                own.0, own.1
            ),
            _ => format!(
                "{reason}: {MANIFEST_FILE} was changed after key `{}` signed it; get the package \
                 again, or sign it again",
                key.name
            ),
        })?;
    match subject {
        Some((id, version)) if (id, version) != own => Err(format!(
            "its trusted comment says {id} {version}, the manifest says {} {}; sign it again",
            own.0, own.1
        )),
        _ => Ok(()),
    }
}
