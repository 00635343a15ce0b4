//! Who may run, and where: real libraries in packages that are signed, changed, revoked, faked and
//! cut off, through the loader and through the real binary.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail the test that calls them"
)]

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use fusebox_loader::generation::sha256_hex;
use fusebox_loader::manifest::{MANIFEST_FILE, SIGNATURE_FILE};
use fusebox_loader::package::sign_package;
use fusebox_loader::trust::{
    Key, Revocation, Revocations, Role, Signer, Standing, Subject, generate_keys,
};
use fusebox_loader::{
    Discovered, Isolation, LoadError, LoadOptions, LoadedPlugin, PackageSpec, TrustPolicy,
    discover, load, write_signed_package,
};
use fusebox_plugin_api::config::Config;
use fusebox_plugin_api::frame::{Frame, FrameShape};
use fusebox_tests::binary::{Ran, strict_command};
use fusebox_tests::fixtures::{build_dir, compile};

const ID: &str = "com.example.ema-c";

fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let out = build_dir()
            .join("trust")
            .join(std::process::id().to_string());
        fs::create_dir_all(&out).unwrap();
        compile("ema-c/ema.c", &[], &out)
    })
}

fn new_signer() -> Signer {
    Signer::read(&generate_keys("test", None).unwrap().secret, None).unwrap()
}

fn policy(signer: &Signer, role: Role) -> TrustPolicy {
    let mut policy = TrustPolicy::default();
    let key = Key::new("test", signer.public_key(), role).unwrap();
    policy.keyring.add(key).unwrap();
    policy
}

/// A plugin directory with one package that `signer` signed.
struct Shop {
    root: tempfile::TempDir,
    package: PathBuf,
    signer: Signer,
}

impl Shop {
    fn new() -> Self {
        let (root, signer) = (tempfile::tempdir().unwrap(), new_signer());
        let golden = root.path().join("golden.arrow");
        fs::write(&golden, b"known answers").unwrap();
        let spec = PackageSpec {
            golden: Some(golden),
            files: vec![(library().to_owned(), "more/copy.bin".to_owned())],
            ..PackageSpec::new(library())
        };
        let plugins = root.path().join("plugins");
        let package = write_signed_package(&plugins, &spec, Some(&signer)).unwrap();
        Self {
            root,
            package,
            signer,
        }
    }

    fn found(&self) -> Discovered {
        let mut found = discover(&[self.root.path().join("plugins")]);
        assert_eq!(found.len(), 1);
        found.remove(0)
    }

    fn load(&self, policy: &TrustPolicy) -> Result<LoadedPlugin, LoadError> {
        let options = LoadOptions::new(self.root.path().join("cache"));
        load(&self.found(), &options.with_trust(policy.clone()))
    }

    fn refusal(&self, policy: &TrustPolicy) -> String {
        let error = self.load(policy).err();
        error.unwrap_or_else(|| panic!("it was loaded")).to_string()
    }

    fn first_party(&self) -> TrustPolicy {
        policy(&self.signer, Role::FirstParty)
    }

    fn manifest(&self) -> String {
        fs::read_to_string(self.package.join(MANIFEST_FILE)).unwrap()
    }

    fn put_manifest(&self, text: &str) {
        fs::write(self.package.join(MANIFEST_FILE), text).unwrap();
    }

    fn library(&self) -> PathBuf {
        let found = self.found();
        let manifest = found.manifest().unwrap();
        self.package
            .join(&manifest.artifact.values().next().unwrap().path)
    }
}

fn contains(text: &str, part: &str) {
    assert!(text.contains(part), "`{part}` is not in: {text}");
}

fn answer(plugin: &LoadedPlugin) -> f32 {
    let config = Config::new().with("alpha", 0.5);
    let mut model = plugin.create_model(&config, &[]).unwrap();
    let mut output = [0.0];
    let mut frame = Frame::new(&[1.0], &mut output, FrameShape::dense(1, 1, 1)).unwrap();
    model.predict(&mut frame).unwrap();
    output[0]
}

#[test]
fn a_first_party_plugin_runs_here_and_says_who_signed_it() {
    let shop = Shop::new();
    let plugin = shop.load(&shop.first_party()).unwrap();
    assert_eq!(plugin.tier(), Isolation::InProcess);
    let trust = plugin.trust();
    assert_eq!(trust.standing, Standing::FirstParty);
    assert_eq!(trust.key_id.as_ref(), Some(shop.signer.key_id()));
    assert_eq!(trust.signer(), "test (first-party)");
    assert!((answer(&plugin) - 0.5).abs() < 1e-6);
    let golden = shop.found().read_golden(1000).unwrap();
    assert_eq!(golden.as_deref(), Some(&b"known answers"[..]));
}

#[test]
fn a_vendors_plugin_is_sent_to_a_worker() {
    let shop = Shop::new();
    let decision = policy(&shop.signer, Role::Vendor)
        .judge(&shop.found(), 0)
        .unwrap();
    assert_eq!(decision.tier, Isolation::Worker);
    assert_eq!(decision.standing, Standing::Vendor);
}

#[test]
fn who_is_not_known_is_refused_unless_the_operator_lets_strangers_run() {
    let shop = Shop::new();
    let stranger = policy(&new_signer(), Role::FirstParty);
    let told = shop.refusal(&stranger);
    let key_id = shop.signer.key_id();
    contains(
        &told,
        &format!("it is signed by key {key_id}, which is not in the keyring"),
    );
    contains(&told, "fusebox plugin trust add");
    fs::remove_file(shop.package.join(SIGNATURE_FILE)).unwrap();
    let told = shop.refusal(&shop.first_party());
    contains(
        &told,
        "plugin com.example.ema-c 1.0.0 may not run: it is not signed",
    );
    let plugin = shop.load(&TrustPolicy::trusting()).unwrap();
    assert_eq!(plugin.trust().signer(), "unsigned");
    let mut careful = TrustPolicy::trusting();
    careful.unsigned = Some(Isolation::Worker);
    assert_eq!(
        careful.judge(&shop.found(), 0).unwrap().tier,
        Isolation::Worker
    );
}

#[test]
fn a_signature_of_another_package_and_a_changed_manifest_are_refused() {
    let (shop, other) = (Shop::new(), Shop::new());
    let text = shop.manifest();
    let signature = other
        .signer
        .sign_manifest(b"x", "com.example.other", "2.0.0")
        .unwrap();
    fs::write(shop.package.join(SIGNATURE_FILE), signature).unwrap();
    let trusts_other = policy(&other.signer, Role::FirstParty);
    let told = shop.refusal(&trusts_other);
    contains(
        &told,
        "it is the signature of com.example.other 2.0.0, not of com.example.ema-c",
    );
    sign_package(&shop.package, &shop.signer).unwrap();
    shop.load(&shop.first_party()).unwrap();
    shop.put_manifest(&text.replace("tolerance_ulp = 0", "tolerance_ulp = 9"));
    let told = shop.refusal(&shop.first_party());
    contains(&told, "plugin.toml was changed after key `test` signed it");
}

#[test]
fn changed_files_and_files_that_nobody_named_are_refused() {
    let shop = Shop::new();
    let library = shop.library();
    let good = fs::read(&library).unwrap();
    let mut bad = good.clone();
    *bad.last_mut().unwrap() ^= 1;
    fs::write(&library, &bad).unwrap();
    contains(&shop.refusal(&shop.first_party()), "the manifest states");
    fs::write(&library, &good).unwrap();
    fs::write(shop.package.join("golden.arrow"), b"false answers").unwrap();
    let told = shop.found().read_golden(1000).unwrap_err().to_string();
    contains(&told, "golden.arrow has sha256");
    fs::write(shop.package.join("golden.arrow"), b"known answers").unwrap();
    fs::write(shop.package.join("more/extra.so"), b"").unwrap();
    let told = shop.refusal(&shop.first_party());
    contains(&told, "the file more/extra.so is not named in plugin.toml");
    fs::remove_file(shop.package.join("more/extra.so")).unwrap();
    shop.load(&shop.first_party()).unwrap();
}

#[test]
fn what_is_revoked_does_not_run() {
    let shop = Shop::new();
    let library = sha256_hex(&fs::read(library()).unwrap());
    let subjects = [
        Subject::plugin(ID, "<=1.0.0").unwrap(),
        Subject::digest(&library).unwrap(),
        Subject::digest(&sha256_hex(shop.manifest().as_bytes())).unwrap(),
        Subject::key(&shop.signer.key_id().to_string()).unwrap(),
    ];
    let loaded = shop.load(&shop.first_party()).unwrap();
    for subject in subjects {
        let mut policy = shop.first_party();
        let reason = "it was stolen".to_owned();
        policy.revocations.add(Revocation { subject, reason });
        contains(&shop.refusal(&policy), "is revoked: it was stolen");
        let hits = policy.revocations.against(&loaded);
        assert_eq!(hits.len(), 1, "what was loaded before is hit as well");
    }
    let mut others = Revocations::default();
    for subject in [
        Subject::plugin(ID, ">1.0.0").unwrap(),
        Subject::digest(&sha256_hex(b"another")).unwrap(),
        Subject::key(&new_signer().key_id().to_string()).unwrap(),
    ] {
        let reason = "it was stolen".to_owned();
        others.add(Revocation { subject, reason });
    }
    assert!(others.against(&loaded).is_empty());
}

#[test]
fn keys_end_and_have_bounds() {
    let shop = Shop::new();
    let with = |expires: &str, scope: &str| {
        let mut policy = TrustPolicy::default();
        let key = Key::new("test", shop.signer.public_key(), Role::FirstParty).unwrap();
        let key = Key {
            expires: Some(expires.parse().unwrap()),
            plugins: vec![scope.to_owned()],
            ..key
        };
        policy.keyring.add(key).unwrap();
        policy
    };
    shop.load(&with("9999-01-01", "com.example.*")).unwrap();
    let told = shop.refusal(&with("2001-01-01", "com.example.*"));
    contains(&told, "key `test` expired on 2001-01-01");
    let told = shop.refusal(&with("9999-01-01", "com.exam.*"));
    contains(&told, "key `test` may sign com.exam.* only");
}

#[test]
fn nothing_outside_the_package_is_opened() {
    let shop = Shop::new();
    let policy = shop.first_party();
    let library = shop.library();
    let outside = shop.root.path().join("outside.so");
    fs::rename(&library, &outside).unwrap();
    symlink(&outside, &library).unwrap();
    contains(
        &shop.refusal(&policy),
        "is a symbolic link; a package holds plain files only",
    );
    // A link that appears after the package was found is not followed either.
    fs::remove_file(&library).unwrap();
    fs::copy(&outside, &library).unwrap();
    let found = shop.found();
    fs::remove_file(&library).unwrap();
    symlink(&outside, &library).unwrap();
    let options = LoadOptions::new(shop.root.path().join("cache")).with_trust(policy.clone());
    let told = load(&found, &options).unwrap_err().to_string();
    contains(&told, "it is a symbolic link");
    // So is a directory that became one.
    let dir = library.parent().unwrap();
    let moved = shop.root.path().join("moved");
    fs::remove_file(&library).unwrap();
    fs::rename(&outside, &library).unwrap();
    let found = shop.found();
    fs::rename(dir, &moved).unwrap();
    symlink(&moved, dir).unwrap();
    let told = load(&found, &options).unwrap_err().to_string();
    contains(&told, "is a symbolic link");
}

#[test]
fn a_fifo_a_directory_and_a_device_are_no_files() {
    let shop = Shop::new();
    let library = shop.library();
    fs::remove_file(&library).unwrap();
    let made = Command::new("mkfifo").arg(&library).status().unwrap();
    assert!(made.success());
    contains(
        &shop.refusal(&shop.first_party()),
        "is a FIFO; a package holds plain files only",
    );
    fs::remove_file(&library).unwrap();
    fs::create_dir(&library).unwrap();
    contains(
        &shop.refusal(&shop.first_party()),
        "is a directory; plugin.toml names a file",
    );
    fs::remove_dir(&library).unwrap();
    // The null device has no content, and making one needs rights that a test may not have.
    symlink("/dev/null", &library).unwrap();
    contains(&shop.refusal(&shop.first_party()), "is a symbolic link");
}

#[test]
fn a_hard_link_is_what_it_holds() {
    let shop = Shop::new();
    let library = shop.library();
    let twin = shop.root.path().join("twin.so");
    fs::hard_link(&library, &twin).unwrap();
    let plugin = shop.load(&shop.first_party()).unwrap();
    // Whoever holds the other name can change the file, and the next load says so; what runs is a
    // copy that does not change.
    let bytes = fs::read(&twin).unwrap();
    fs::write(&twin, &bytes[..bytes.len() / 2]).unwrap();
    assert!((answer(&plugin) - 0.5).abs() < 1e-6);
    contains(&shop.refusal(&shop.first_party()), "the manifest states");
}

#[test]
fn a_huge_package_is_refused_unread() {
    let shop = Shop::new();
    let text = shop.manifest();
    // Sparse: nothing could read 300 MB from here and have the stated digest.
    let huge = shop.package.join("more/copy.bin");
    File::create(&huge).unwrap().set_len(300_000_000).unwrap();
    let told = shop.refusal(&shop.first_party());
    contains(
        &told,
        "over the limit of 256 MiB; raise `engine.max_package_mb`",
    );
    let mut generous = shop.first_party();
    generous.max_package_mb = 512;
    shop.load(&generous).unwrap();
    // A manifest itself is read up to its own limit only.
    let manifest = shop.package.join(MANIFEST_FILE);
    File::create(&manifest)
        .unwrap()
        .set_len(300_000_000)
        .unwrap();
    contains(
        &shop.refusal(&generous),
        "it has 300000000 bytes; at most 262144 are read",
    );
    shop.put_manifest(&text);
}

#[test]
fn manifest_bombs_and_truncated_manifests_are_refused_in_one_sentence() {
    let shop = Shop::new();
    let whole = shop.manifest();
    let deep = format!("{whole}x = {}\n# end\n", "[".repeat(100_000));
    let names = format!("{}.b = 1\n{whole}", ["a"; 50_000].join("."));
    let keys: String = (0..20_000).map(|key| format!("k{key} = 1\n")).collect();
    for bomb in [deep, names, format!("{keys}{whole}")] {
        shop.put_manifest(&bomb);
        let told = shop.refusal(&shop.first_party());
        contains(&told, "it is not a plugin's manifest");
        assert!(told.len() < 400, "{told}");
    }
    let mut sound = Vec::new();
    for len in 0..whole.len() {
        shop.put_manifest(&whole[..len]);
        if shop.found().state.is_ok() {
            sound.push(len);
        }
    }
    assert_eq!(sound, Vec::<usize>::new());
    shop.put_manifest(&whole);
    shop.load(&shop.first_party()).unwrap();
}

/// A directory in which the binary works as on an operator's machine.
struct Operator(tempfile::TempDir);

impl Operator {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let output = strict_command(self.0.path()).args(arguments).output();
        Ran::from(output.unwrap())
    }

    /// Runs a command that must succeed, and gives its document.
    fn ok(&self, arguments: &[&str]) -> serde_json::Value {
        let ran = self.run(&[arguments, &["--json"]].concat());
        assert_eq!(ran.code, Some(0), "{arguments:?}: {ran:?}");
        ran.json()
    }

    /// Runs a command that must fail with `code`, and gives what it says.
    fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert_eq!(ran.code, Some(code), "{arguments:?}: {ran:?}");
        format!("{}{}", ran.stdout, ran.stderr)
    }

    /// Packs the example at `version` into `dist` and gives the package directory.
    fn pack(&self, version: &str, more: &[&str]) -> String {
        let library = library().to_string_lossy().into_owned();
        let source = library_of_version(&library, version, self.0.path());
        let mut words = vec!["plugin", "pack", &source, "--out", "dist"];
        words.extend(more);
        let document = self.ok(&words);
        assert_eq!(document["version"], version);
        document["path"].as_str().unwrap().to_owned()
    }
}

/// The library with another version in its note and its entry, which must be as long.
fn library_of_version(library: &str, version: &str, dir: &Path) -> String {
    let bytes = fs::read(library).unwrap();
    let (from, to) = (b"1.0.0", version.as_bytes());
    assert_eq!(from.len(), to.len());
    let mut changed = bytes.clone();
    for at in 0..bytes.len() - from.len() {
        if &bytes[at..at + from.len()] == from {
            changed[at..at + from.len()].copy_from_slice(to);
        }
    }
    let path = dir.join(format!("libema-{version}.so"));
    fs::write(&path, changed).unwrap();
    path.to_string_lossy().into_owned()
}

#[test]
fn keys_are_made_once_and_for_their_owner_alone() {
    let operator = Operator::new();
    let made = operator.ok(&["plugin", "keygen", "--out", "keys", "--name", "acme"]);
    let mode = fs::metadata(operator.path("keys/acme.key"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let told = operator.fails(2, &["plugin", "keygen", "--out", "keys", "--name", "acme"]);
    contains(&told, "is there already");
    let again = [
        "plugin",
        "keygen",
        "--out",
        "keys",
        "--name",
        "acme",
        "--if-missing",
    ];
    assert_eq!(operator.ok(&again)["key_id"], made["key_id"]);
}

/// Makes a key called acme and a package that it signs, trusts the key, and gives the package.
fn signed_package(operator: &Operator) -> String {
    let made = operator.ok(&["plugin", "keygen", "--out", "keys", "--name", "acme"]);
    let frame = r#"{"rows": 1, "window": 1, "columns": 1, "inputs": [1], "outputs": 1,
        "expected": ["0x3f000000"]}"#;
    let golden = format!("{{\"golden\": 1, \"frames\": [{frame}]}}");
    fs::write(operator.path("golden.json"), golden).unwrap();
    let package = operator.pack(
        "1.2.0",
        &["--golden", "golden.json", "--budget-p99-us", "20"],
    );
    let told = operator.fails(1, &["plugin", "verify", &package]);
    contains(&told, "it is not signed");
    let told = operator.fails(1, &["plugin", "install", &package]);
    contains(&told, "it is not signed");

    let signed = operator.ok(&["plugin", "sign", &package, "--key", "keys/acme.key"]);
    assert_eq!(signed["key_id"], made["key_id"]);
    contains(
        &operator.fails(1, &["plugin", "verify", &package]),
        "which is not in the keyring",
    );
    let add = [
        "plugin",
        "trust",
        "add",
        "keys/acme.pub",
        "--role",
        "first-party",
    ];
    assert_eq!(operator.ok(&add)["added"], true);
    assert_eq!(operator.ok(&add)["added"], false);
    let verified = operator.ok(&["plugin", "verify", &package]);
    assert_eq!(verified["trust"]["tier"], "in-process");
    assert_eq!(verified["trust"]["key_name"], "acme");
    assert_eq!(verified["files"].as_array().unwrap().len(), 2);
    package
}

#[test]
fn from_a_key_to_an_installed_plugin() {
    let operator = Operator::new();
    let package = signed_package(&operator);
    let installed = operator.ok(&["plugin", "install", &package]);
    assert_eq!(installed["unchanged"], false);
    assert_eq!(
        operator.ok(&["plugin", "install", &package])["unchanged"],
        true
    );
    let listed = operator.ok(&["plugin", "list"]);
    assert_eq!(listed[0]["state"], "ok");
    assert_eq!(listed[0]["tier"], "in-process");
    let table = operator.run(&["plugin", "list"]).stdout;
    contains(&table, "acme (first-party)");
    let checks = operator.run(&["doctor", "--json"]).json();
    let checks = checks["checks"].as_array().unwrap();
    let keyring = checks.iter().find(|one| one["name"] == "keyring").unwrap();
    assert_eq!(keyring["state"], "ok", "{keyring}");

    let raised = ["plugin", "verify", &package, "--json"];
    let mut command = strict_command(operator.0.path());
    command
        .env("FUSEBOX_ENGINE__ISOLATION", "worker")
        .args(raised);
    let raised = Ran::from(command.output().unwrap()).json();
    assert_eq!(raised["trust"]["tier"], "worker");

    let told = operator.fails(2, &["plugin", "remove", ID]);
    contains(&told, "add --yes");
    operator.ok(&["plugin", "remove", ID, "--yes"]);
    assert_eq!(
        operator.ok(&["plugin", "list"]).as_array().unwrap().len(),
        0
    );
    contains(
        &operator.fails(2, &["plugin", "remove", ID, "--yes"]),
        "is not installed",
    );
}

#[test]
fn versions_go_up_unless_forced_and_the_revoked_never_come_back() {
    let operator = Operator::new();
    let keygen = operator.ok(&["plugin", "keygen", "--name", "own"]);
    operator.ok(&["plugin", "trust", "add", "own.pub", "--role", "first-party"]);
    let old = operator.pack("1.2.0", &["--key", "own.key"]);
    let new = operator.pack("1.3.0", &["--key", "own.key"]);
    operator.ok(&["plugin", "install", &new]);
    let told = operator.fails(1, &["plugin", "install", &old]);
    contains(&told, "1.2.0 is older than 1.3.0");
    assert_eq!(
        operator.ok(&["plugin", "list"]).as_array().unwrap().len(),
        1
    );
    operator.ok(&["plugin", "install", &old, "--force"]);
    assert_eq!(
        operator.ok(&["plugin", "list"]).as_array().unwrap().len(),
        2
    );

    // Another package of the same version.
    let again = operator.pack(
        "1.3.0",
        &["--description", "x", "--replace", "--key", "own.key"],
    );
    let told = operator.fails(2, &["plugin", "install", &again]);
    contains(&told, "holds another package of this version already");
    operator.ok(&["plugin", "install", &again, "--force"]);

    // A record of a version that was live and is gone.
    operator.ok(&["plugin", "remove", ID, "--yes"]);
    fs::create_dir_all(operator.path(".fusebox/state")).unwrap();
    let record = format!("{{\"{ID}\": \"1.3.0\"}}");
    fs::write(
        operator.path(".fusebox/state/highest-versions.json"),
        record,
    )
    .unwrap();
    contains(
        &operator.fails(1, &["plugin", "install", &old]),
        "1.2.0 is older than 1.3.0",
    );

    let revoke = [
        "plugin",
        "trust",
        "revoke",
        "--plugin",
        ID,
        "--versions",
        "<1.3.0",
    ];
    operator.ok(&[&revoke[..], &["--reason", "leaks memory"]].concat());
    let told = operator.fails(1, &["plugin", "install", &old, "--force"]);
    contains(&told, "com.example.ema-c <1.3.0 is revoked: leaks memory");
    operator.ok(&["plugin", "install", &again]);
    let key_id = keygen["key_id"].as_str().unwrap();
    operator.ok(&[
        "plugin", "trust", "revoke", "--key", key_id, "--reason", "stolen",
    ]);
    let listed = operator.ok(&["plugin", "list"]);
    assert_eq!(listed[0]["state"], "refused");
    contains(listed[0]["reason"].as_str().unwrap(), "is revoked: stolen");
    let trust = operator.ok(&["plugin", "trust", "list"]);
    assert_eq!(trust["keys"].as_array().unwrap().len(), 1);
    assert_eq!(trust["revoked"].as_array().unwrap().len(), 2);
    operator.ok(&["plugin", "trust", "remove", "own"]);
    contains(
        &operator.fails(2, &["plugin", "trust", "remove", "own"]),
        "has no key `own`",
    );
}

#[test]
fn a_wrong_keyring_stops_everything_and_says_why() {
    let operator = Operator::new();
    fs::create_dir_all(operator.path(".fusebox")).unwrap();
    fs::write(
        operator.path(".fusebox/keyring.toml"),
        "keyring = 1\n[[key]]\nnmae = \"x\"\n",
    )
    .unwrap();
    let told = operator.fails(2, &["plugin", "list"]);
    contains(&told, "did you mean `name`?");
    contains(&told, "`public_key` is missing");
    let doctor = operator.run(&["doctor", "--json"]);
    assert_eq!(doctor.code, Some(1));
    let checks = doctor.json();
    let checks = checks["checks"].as_array().unwrap();
    let keyring = checks.iter().find(|one| one["name"] == "keyring").unwrap();
    assert_eq!(keyring["state"], "failed", "{keyring}");
    let mut command = strict_command(operator.0.path());
    command.args(["plugin", "list"]);
    command.env("FUSEBOX_ENGINE__KEYRING", "elsewhere.toml");
    let told = Ran::from(command.output().unwrap());
    assert_eq!(told.code, Some(2), "{told:?}");
    contains(
        &told.stderr,
        "`engine.keyring` names elsewhere.toml, which does not exist",
    );
    let mut command = strict_command(operator.0.path());
    command.args(["plugin", "list"]);
    command.env("FUSEBOX_ENGINE__UNSIGNED", "maybe");
    let told = Ran::from(command.output().unwrap());
    assert_eq!(told.code, Some(2), "{told:?}");
    contains(
        &told.stderr,
        "must be one of \"refuse\", \"in-process\", \"worker\"",
    );
}

#[test]
fn an_encrypted_key_signs_with_its_password_only() {
    let operator = Operator::new();
    fs::write(operator.path("password"), "open sesame\n").unwrap();
    fs::write(operator.path("wrong"), "open barley\n").unwrap();
    operator.ok(&["plugin", "keygen", "--password-file", "password"]);
    let package = operator.pack("1.2.0", &[]);
    let sign = ["plugin", "sign", &package, "--key", "fusebox.key"];
    contains(
        &operator.fails(2, &sign),
        "give its password with --password-file",
    );
    let with = |file| [&sign[..], &["--password-file", file]].concat();
    contains(
        &operator.fails(2, &with("wrong")),
        "or the password is wrong",
    );
    operator.ok(&with("password"));
}

#[test]
fn a_list_of_revocations_from_elsewhere_needs_a_signature() {
    let shop = Shop::new();
    let path = shop.root.path().join("list.toml");
    let mut list = Revocations::default();
    list.add(Revocation {
        subject: Subject::plugin(ID, "*").unwrap(),
        reason: "unsafe".to_owned(),
    });
    let text = list.to_toml();
    fs::write(&path, &text).unwrap();
    let signature = shop.signer.sign(text.as_bytes(), "revocations").unwrap();
    fs::write(shop.root.path().join("list.toml.minisig"), signature).unwrap();
    let mut policy = shop.first_party();
    policy.revocations = Revocations::read(&path, &policy.keyring).unwrap().unwrap();
    contains(&shop.refusal(&policy), "is revoked: unsafe");
    fs::write(&path, Revocations::default().to_toml()).unwrap();
    let told = Revocations::read(&path, &policy.keyring)
        .unwrap_err()
        .to_string();
    contains(&told, "the list was changed after it was signed");
}

#[test]
fn what_is_no_package_and_no_key_is_told_in_one_sentence() {
    let operator = Operator::new();
    operator.ok(&["plugin", "keygen", "--name", "own"]);
    let library = library().to_string_lossy().into_owned();
    fs::create_dir(operator.path("empty")).unwrap();
    let key: &[&str] = &["--key", "own.key"];
    for (command, more) in [("sign", key), ("install", &[]), ("verify", &[])] {
        for (path, words) in [
            (
                "nowhere",
                "nowhere does not exist; name the directory that holds plugin.toml",
            ),
            (
                "empty",
                "empty is no package, because it holds no plugin.toml",
            ),
            (
                library.as_str(),
                "is a file; name the directory of its plugin.toml",
            ),
        ] {
            let told = operator.fails(2, &[&["plugin", command, path], more].concat());
            contains(&told, words);
            assert_eq!(told.lines().count(), 1, "{told}");
        }
    }
    let package = operator.pack("1.2.0", key);
    let told = operator.fails(2, &["plugin", "install", "dist"]);
    contains(&told, &format!("did you mean {package}?"));

    let add = |key: &str| operator.fails(2, &["plugin", "trust", "add", key, "--role", "vendor"]);
    contains(
        &add("acme.pub"),
        "acme.pub is neither a file nor a public key",
    );
    let told = add("own.key");
    contains(&told, "it is a SECRET key");
    contains(&told, "give the public one");
    assert!(!operator.path("keyring.toml").exists());
}

#[test]
fn a_bad_golden_file_is_not_packed_and_a_model_without_its_plugin_is_told() {
    let operator = Operator::new();
    operator.ok(&["plugin", "keygen", "--name", "own"]);
    let library = library().to_string_lossy().into_owned();
    let package = operator.pack("1.2.0", &["--key", "own.key"]);
    let pack = |golden: &str| {
        operator.fails(
            2,
            &[
                "plugin", "pack", &library, "--out", "other", "--golden", golden,
            ],
        )
    };
    contains(&pack("absent.json"), "--golden absent.json: cannot read it");
    fs::write(operator.path("bad.json"), "{\"golden\": 1, \"frames\": []}").unwrap();
    contains(
        &pack("bad.json"),
        "it has no frames; `fusebox plugin golden` writes such a file",
    );
    contains(&pack("own.key"), "is not of layout 1");
    assert!(!operator.path("other").exists(), "nothing was packed");

    let model = |plugin: &str, more: &[&str]| {
        let words = [
            "plugin",
            "model",
            "m",
            "1.0.0",
            "--replace",
            "--plugin",
            plugin,
        ];
        operator.ok(&[&words, more].concat())["warning"].clone()
    };
    let warned = model("com.example.absent", &[]);
    contains(
        warned.as_str().unwrap(),
        "com.example.absent is not installed in",
    );
    operator.ok(&["plugin", "trust", "add", "own.pub", "--role", "first-party"]);
    operator.ok(&["plugin", "install", &package]);
    let warned = model(ID, &["--plugin-version", ">1.2.0"]);
    contains(warned.as_str().unwrap(), "fits `>1.2.0`; there are: 1.2.0");
    assert!(model(ID, &["--plugin-version", "<=1.2.0"]).is_null());
}
