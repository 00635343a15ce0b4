//! Manifests: whatever the text, parsing answers, what is accepted survives being written, cannot
//! leave its package, and is judged by a scan without harm.
#![no_main]

use std::cell::OnceCell;
use std::fs;
use std::path::{Component, Path};

use fusebox_loader::manifest::{MANIFEST_FILE, is_valid_id, version_numbers};
use fusebox_loader::trust::{Keyring, Revocations};
use fusebox_loader::{Manifest, discover};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

thread_local! {
    static DIR: OnceCell<TempDir> = const { OnceCell::new() };
}

fuzz_target!(|data: &[u8]| {
    let _ = Manifest::from_bytes(data);
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match Manifest::parse(text) {
        Ok(manifest) => check(&manifest),
        Err(error) => {
            assert!(!error.problems.is_empty(), "a refusal without a reason");
            for problem in &error.problems {
                assert!(!problem.trim().is_empty(), "a reason without words");
                assert!(
                    !problem.contains(char::is_control),
                    "{problem:?} would steer a terminal"
                );
            }
        }
    }
    // The other texts that decide what may run.
    if let Ok(keyring) = Keyring::parse(text) {
        assert_eq!(Keyring::parse(&keyring.to_toml()).as_ref(), Ok(&keyring));
    }
    if let Ok(revocations) = Revocations::parse(text) {
        assert_eq!(
            Revocations::parse(&revocations.to_toml()).as_ref(),
            Ok(&revocations)
        );
    }
});

fn check(manifest: &Manifest) {
    let text = manifest.to_toml();
    assert_eq!(
        Manifest::from_bytes(text.as_bytes()).as_ref(),
        Ok(manifest),
        "written as: {text}"
    );
    assert!(is_valid_id(&manifest.id));
    assert!(version_numbers(&manifest.version).is_some());
    for (path, digest) in manifest.digests() {
        assert!(stays_inside(path), "{path:?} leaves the package");
        assert!(digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
    DIR.with(|dir| {
        scan(
            dir.get_or_init(|| TempDir::new().unwrap()).path(),
            manifest,
            &text,
        )
    });
}

fn stays_inside(path: &str) -> bool {
    let parts = Path::new(path).components();
    !path.is_empty()
        && parts
            .into_iter()
            .all(|part| matches!(part, Component::Normal(_)))
}

/// A package with this manifest and nothing else is listed once, and broken: its library is
/// missing.
fn scan(root: &Path, manifest: &Manifest, text: &str) {
    let package = root.join(&manifest.id).join(&manifest.version);
    fs::create_dir_all(&package).unwrap();
    fs::write(package.join(MANIFEST_FILE), text).unwrap();
    let found = discover(&[root.to_owned()]);
    assert_eq!(found.len(), 1);
    assert_eq!(
        (&found[0].id, &found[0].version),
        (&manifest.id, &manifest.version)
    );
    assert!(manifest.artifact.is_empty() || found[0].state.is_err());
    fs::remove_dir_all(root.join(&manifest.id)).unwrap();
}
