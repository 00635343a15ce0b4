//! The decision, exhaustively over its table, and signatures that do not count.

use std::fs;
use std::path::Path;

use super::*;
use crate::manifest::{Artifact, MANIFEST_VERSION};

const TIERS: [Isolation; 4] = [
    Isolation::InProcess,
    Isolation::Worker,
    Isolation::Wasm,
    Isolation::WasmWorker,
];

/// 2026-01-01.
const NOW: i64 = 1_767_225_600;

struct Package {
    dir: tempfile::TempDir,
    manifest: Manifest,
}

impl Package {
    fn new(minimum: Isolation) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("lib.so"), b"library").unwrap();
        let artifact = Artifact {
            path: "lib.so".to_owned(),
            sha256: sha256_hex(b"library"),
        };
        let mut manifest = Manifest {
            manifest: MANIFEST_VERSION,
            id: "com.example.a".to_owned(),
            version: "1.2.3".to_owned(),
            abi: "1.0".to_owned(),
            kind: vec!["fb.model/1".to_owned()],
            artifact: [("linux-x86_64".to_owned(), artifact)].into(),
            ..Manifest::default()
        };
        manifest.isolation.minimum = minimum;
        fs::write(dir.path().join(MANIFEST_FILE), manifest.to_toml()).unwrap();
        Self { dir, manifest }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn sign(&self, signer: &Signer) {
        let (id, version) = (&self.manifest.id, &self.manifest.version);
        let bytes = fs::read(self.path().join(MANIFEST_FILE)).unwrap();
        self.put_signature(&signer.sign_manifest(&bytes, id, version).unwrap());
    }

    fn put_signature(&self, text: &str) {
        fs::write(self.path().join(SIGNATURE_FILE), text).unwrap();
    }

    fn judge(&self, policy: &TrustPolicy) -> Result<Decision, TrustError> {
        policy
            .judge(&Discovered::at(self.path()), NOW)
            .map_err(|error| match error {
                LoadError::Trust(error) => error,
                other => panic!("{other}"),
            })
    }

    fn refusal(&self, policy: &TrustPolicy) -> String {
        self.judge(policy).unwrap_err().to_string()
    }
}

fn signer() -> Signer {
    Signer::read(&generate_keys("test", None).unwrap().secret, None).unwrap()
}

fn key(signer: &Signer, role: Role) -> Key {
    Key::new("test", signer.public_key(), role).unwrap()
}

fn policy(key: Key) -> TrustPolicy {
    let mut policy = TrustPolicy::default();
    policy.keyring.add(key).unwrap();
    policy
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Signed {
    By(Role),
    ByStranger,
    Not,
}

#[test]
fn the_strongest_demand_wins_over_the_whole_table() {
    let (known, stranger) = (signer(), signer());
    let allowed: Vec<Option<Isolation>> = TIERS.into_iter().map(Some).chain([None]).collect();
    let mut seen = 0;
    for signed in [
        Signed::By(Role::FirstParty),
        Signed::By(Role::Vendor),
        Signed::ByStranger,
        Signed::Not,
    ] {
        for minimum in TIERS {
            let package = Package::new(minimum);
            match signed {
                Signed::By(_) => package.sign(&known),
                Signed::ByStranger => package.sign(&stranger),
                Signed::Not => {}
            }
            let found = Discovered::at(package.path());
            let role = if signed == Signed::By(Role::FirstParty) {
                Role::FirstParty
            } else {
                Role::Vendor
            };
            let mut policy = policy(key(&known, role));
            for (floor, own_floor) in TIERS.into_iter().flat_map(|a| TIERS.map(|b| (a, b))) {
                for unsigned in &allowed {
                    policy.floor = floor;
                    policy.floors = [("com.example.a".to_owned(), own_floor)].into();
                    policy.unsigned = *unsigned;
                    let granted = match signed {
                        Signed::By(Role::FirstParty) => Some(Isolation::InProcess),
                        Signed::By(Role::Vendor) => Some(Isolation::Worker),
                        Signed::ByStranger | Signed::Not => *unsigned,
                    };
                    let strongest = granted.map(|tier| tier.max(minimum).max(floor).max(own_floor));
                    // Only what exists today can be given.
                    let expected = strongest.filter(|tier| *tier <= Isolation::Worker);
                    let decided = policy.judge(&found, NOW);
                    let case = (signed, minimum, floor, own_floor, unsigned);
                    assert_eq!(
                        decided.as_ref().ok().map(|one| one.tier),
                        expected,
                        "{case:?}"
                    );
                    if let (Some(tier), Err(error)) = (strongest, &decided) {
                        let words = format!("must run in isolation `{tier}`");
                        assert!(error.to_string().contains(&words), "{case:?}: {error}");
                    }
                    seen += 1;
                }
            }
        }
    }
    assert_eq!(seen, 4 * 4 * 16 * 5);
}

#[test]
fn a_decision_says_who_vouches_and_who_demands() {
    let signer = signer();
    let package = Package::new(Isolation::InProcess);
    package.sign(&signer);
    let mut policy = policy(key(&signer, Role::FirstParty));
    let decision = package.judge(&policy).unwrap();
    assert_eq!(decision.role(), Some(Role::FirstParty));
    assert_eq!(decision.key_id.as_ref(), Some(signer.key_id()));
    assert_eq!(decision.signer(), "test (first-party)");
    assert_eq!(
        decision.why,
        "test (first-party); in-process: as far as its signature reaches"
    );
    policy.floors = [("com.example.a".to_owned(), Isolation::Worker)].into();
    let why = package.judge(&policy).unwrap().why;
    assert_eq!(
        why,
        "test (first-party); worker: `engine.isolation_of` demands it"
    );
    policy.floors = [("com.example.b".to_owned(), Isolation::Worker)].into();
    assert_eq!(package.judge(&policy).unwrap().tier, Isolation::InProcess);
}

#[test]
fn a_wrong_signature_is_refused_even_where_none_is_needed() {
    let signer = signer();
    let mut policy = policy(key(&signer, Role::FirstParty));
    policy.unsigned = Some(Isolation::InProcess);
    let package = Package::new(Isolation::InProcess);
    package.sign(&signer);
    let text = fs::read_to_string(package.path().join(MANIFEST_FILE)).unwrap();
    let changed = text.replace("1.0", "1.1");
    fs::write(package.path().join(MANIFEST_FILE), changed).unwrap();
    let told = package.refusal(&policy);
    assert!(
        told.contains("plugin.toml was changed after key `test` signed it"),
        "{told}"
    );
    fs::write(package.path().join(MANIFEST_FILE), &text).unwrap();
    package.judge(&policy).unwrap();

    let foreign = signer
        .sign_manifest(b"other", "com.example.other", "1.0.0")
        .unwrap();
    package.put_signature(&foreign);
    let told = package.refusal(&policy);
    assert!(
        told.contains("it is the signature of com.example.other 1.0.0, not of com.example.a 1.2.3"),
        "{told}"
    );
    let lying = signer
        .sign_manifest(text.as_bytes(), "com.example.a", "9.0.0")
        .unwrap();
    package.put_signature(&lying);
    let told = package.refusal(&policy);
    assert!(
        told.contains("its trusted comment says com.example.a 9.0.0"),
        "{told}"
    );
    let by_another_tool = signer
        .sign(text.as_bytes(), "timestamp:1633700835")
        .unwrap();
    package.put_signature(&by_another_tool);
    package.judge(&policy).unwrap();
    package.put_signature("untrusted comment: x\n");
    let told = package.refusal(&policy);
    assert!(
        told.contains("it is not a minisign signature, or was cut off"),
        "{told}"
    );
}

#[test]
fn keys_count_for_their_plugins_and_their_time_only() {
    let signer = signer();
    let package = Package::new(Isolation::InProcess);
    package.sign(&signer);
    let with = |expires: Option<&str>, plugins: &[&str]| {
        let mut policy = policy(Key {
            expires: expires.map(|day| day.parse().unwrap()),
            plugins: plugins.iter().map(|&one| one.to_owned()).collect(),
            ..key(&signer, Role::Vendor)
        });
        policy.unsigned = Some(Isolation::InProcess);
        policy
    };
    package
        .judge(&with(Some("2026-01-02"), &["com.example.*"]))
        .unwrap();
    let told = package.refusal(&with(Some("2026-01-01"), &["com.other.*", "com.example.b"]));
    assert!(told.contains("key `test` expired on 2026-01-01"), "{told}");
    assert!(
        told.contains("key `test` may sign com.other.*, com.example.b only"),
        "every reason is told: {told}"
    );
    assert!(!TrustError::may_be_forced(
        &package.judge(&with(Some("2025-01-01"), &[])).unwrap_err()
    ));
}

impl TrustError {
    fn may_be_forced(&self) -> bool {
        self.refusals.iter().all(Refusal::may_be_forced)
    }
}

#[test]
fn revocations_hit_by_plugin_by_digest_and_by_key() {
    let signer = signer();
    let package = Package::new(Isolation::InProcess);
    package.sign(&signer);
    let manifest = fs::read(package.path().join(MANIFEST_FILE)).unwrap();
    let revoke = |subject: Subject| {
        let mut policy = policy(key(&signer, Role::FirstParty));
        policy.revocations.add(Revocation {
            subject,
            reason: "it was stolen".to_owned(),
        });
        policy
    };
    let digest = |bytes: &[u8]| Subject::digest(&sha256_hex(bytes)).unwrap();
    for subject in [
        Subject::plugin("com.example.a", "*").unwrap(),
        Subject::plugin("com.example.a", ">=1.2.0, <1.3.0").unwrap(),
        digest(b"library"),
        digest(&manifest),
        Subject::key(&signer.key_id().to_string()).unwrap(),
    ] {
        let told = package.refusal(&revoke(subject.clone()));
        let words = format!("{subject} is revoked: it was stolen");
        assert!(told.contains(&words), "{told}");
    }
    for subject in [
        Subject::plugin("com.example.b", "*").unwrap(),
        Subject::plugin("com.example.a", "<1.2.3").unwrap(),
        digest(b"another"),
        Subject::key("0000000000000000").unwrap(),
    ] {
        package.judge(&revoke(subject)).unwrap();
    }
    // A key that nobody knows can be revoked too, and so can what is not signed.
    let mut unsigned = TrustPolicy::trusting();
    unsigned.revocations = revoke(Subject::key(&signer.key_id().to_string()).unwrap()).revocations;
    assert!(package.refusal(&unsigned).contains("is revoked"));
}

#[test]
fn a_large_package_is_refused_by_its_size_on_disk() {
    let package = Package::new(Isolation::InProcess);
    let policy = TrustPolicy {
        max_package_mb: 0,
        ..TrustPolicy::trusting()
    };
    let told = package.refusal(&policy);
    assert!(told.contains("over the limit of 0 MiB"), "{told}");
    assert!(told.contains("`engine.max_package_mb`"), "{told}");
}

#[test]
fn a_list_from_elsewhere_needs_a_first_party_signature() {
    let (own, other) = (signer(), signer());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("revocations.toml");
    let text = "revocations = 1\n[[revoked]]\nplugin = \"a.b\"\nreason = \"x\"\n";
    fs::write(&path, text).unwrap();
    let keyring = policy(key(&own, Role::FirstParty)).keyring;
    let read = || Revocations::read(&path, &keyring);
    assert_eq!(
        read().unwrap().unwrap().entries().len(),
        1,
        "the operator's own"
    );
    let sign = |signer: &Signer, text: &str| {
        let signature = signer.sign(text.as_bytes(), "list").unwrap();
        fs::write(signature_path(&path), signature).unwrap();
    };
    sign(&own, text);
    assert_eq!(read().unwrap().unwrap().entries().len(), 1);
    sign(&own, "another text");
    assert!(
        read()
            .unwrap_err()
            .to_string()
            .contains("was changed after it was signed")
    );
    sign(&other, text);
    let told = read().unwrap_err().to_string();
    assert!(told.contains("no first-party key of the keyring"), "{told}");
    sign(&own, text);
    let vendor = policy(key(&own, Role::Vendor)).keyring;
    assert!(Revocations::read(&path, &vendor).is_err());
    assert_eq!(
        Revocations::read(&dir.path().join("absent"), &keyring).unwrap(),
        None
    );
}

#[test]
fn a_file_that_everybody_may_change_is_not_trusted() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keyring.toml");
    fs::write(&path, Keyring::default().to_toml()).unwrap();
    assert_eq!(Keyring::read(&path).unwrap(), Some(Keyring::default()));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let told = Keyring::read(&path).unwrap_err().to_string();
    assert!(told.contains("chmod o-w"), "{told}");
}
