//! The registry on a disk that fails, with writers side by side, and damaged file by file.

use std::os::unix::fs::PermissionsExt;
use std::thread;

use super::*;

fn model(name: &str, weights: &str) -> NewModel {
    NewModel {
        name: name.to_owned(),
        created_at_unix_s: 1_700_000_000,
        from: "out/run".to_owned(),
        files: vec![
            (Role::Model, weights.as_bytes().to_vec()),
            (Role::Card, b"{}".to_vec()),
            (Role::CardText, b"# card".to_vec()),
        ],
    }
}

fn registry() -> (tempfile::TempDir, Registry) {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::open_or_create(&dir.path().join("registry")).unwrap();
    (dir, registry)
}

#[test]
fn versions_count_up_and_the_same_model_is_not_added_twice() {
    let (_dir, registry) = registry();
    let (first, is_new) = registry.add(&model("direction", "a")).unwrap();
    assert!(is_new && first.version == "1.0.0");
    let (same, is_new) = registry.add(&model("direction", "a")).unwrap();
    assert!(!is_new && same == first);
    let (second, _) = registry.add(&model("direction", "b")).unwrap();
    assert_eq!(second.version, "1.0.1");
    for at in 2..=10 {
        registry
            .add(&model("direction", &format!("w{at}")))
            .unwrap();
    }
    let latest = registry.find("direction", None).unwrap();
    assert_eq!(latest.version, "1.0.10", "by number, not by letter");
    let weights = registry.read(&second, Role::Model).unwrap().unwrap();
    assert_eq!(weights, b"b");
    assert_eq!(registry.read(&second, Role::Scaler).unwrap(), None);
    // The card is shared: one object for eleven versions.
    let objects = files_below(&registry.root().join(OBJECTS)).unwrap();
    assert_eq!(objects.len(), 11 + 2);
}

#[test]
fn unknown_names_and_versions_are_told_with_what_there_is() {
    let (_dir, registry) = registry();
    assert!(
        registry
            .find("direction", None)
            .unwrap_err()
            .to_string()
            .contains("is empty")
    );
    registry.add(&model("direction", "a")).unwrap();
    let near = registry.find("directoin", None).unwrap_err().to_string();
    assert!(near.contains("did you mean `direction`?"), "{near}");
    let version = registry
        .find("direction", Some("2.0.0"))
        .unwrap_err()
        .to_string();
    assert!(version.contains("1.0.0"), "{version}");
    for name in ["", "..", "a/b", "big name", ".hidden", &"x".repeat(65)] {
        assert!(
            matches!(registry.find(name, None), Err(RegistryError::Name(_))),
            "{name}"
        );
        assert!(matches!(
            registry.add(&model(name, "a")),
            Err(RegistryError::Name(_))
        ));
    }
    let version = registry.find("direction", Some("1.0"));
    assert!(matches!(version, Err(RegistryError::Version(_))));
}

#[test]
fn what_is_no_registry_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let absent = dir.path().join("absent");
    assert!(matches!(
        Registry::open(&absent),
        Err(RegistryError::Absent(_))
    ));
    fs::write(dir.path().join("thesis.txt"), b"years").unwrap();
    let told = Registry::open_or_create(dir.path()).unwrap_err();
    assert!(matches!(told, RegistryError::NotARegistry(_)), "{told}");
    assert!(!dir.path().join(ABOUT_FILE).exists());
    let file = dir.path().join("thesis.txt");
    let told = Registry::open_or_create(&file).unwrap_err();
    assert!(matches!(told, RegistryError::NotARegistry(_)), "{told}");
    let (_dir, registry) = registry();
    let text = r#"{"kind": "fusebox-registry", "format": 9}"#;
    fs::write(registry.root().join(ABOUT_FILE), text).unwrap();
    let newer = Registry::open(registry.root()).unwrap_err();
    assert!(matches!(newer, RegistryError::Format { .. }), "{newer}");
}

#[test]
fn writers_side_by_side_lose_nothing() {
    let (_dir, registry) = registry();
    thread::scope(|scope| {
        for writer in 0..4 {
            let registry = &registry;
            scope.spawn(move || {
                for at in 0..8 {
                    let weights = format!("{writer}-{at}");
                    registry.add(&model("shared", &weights)).unwrap();
                }
            });
        }
        for _ in 0..50 {
            registry.list().unwrap();
        }
    });
    let entries = registry.list().unwrap();
    assert_eq!(entries.len(), 32);
    assert_eq!(entries[31].version, "1.0.31");
    let weights: BTreeSet<Vec<u8>> = entries
        .iter()
        .map(|entry| registry.read(entry, Role::Model).unwrap().unwrap())
        .collect();
    assert_eq!(weights.len(), 32);
}

#[test]
fn a_disk_that_refuses_leaves_the_old_state() {
    let (_dir, registry) = registry();
    registry.add(&model("direction", "a")).unwrap();
    let models = registry.root().join(MODELS).join("direction");
    let locked = |mode| {
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(&models, permissions).unwrap();
    };
    locked(0o555);
    let refused = registry.add(&model("direction", "b"));
    locked(0o755);
    // The superuser is never refused.
    if let Err(error) = refused {
        assert!(error.to_string().contains("cannot write"), "{error}");
        assert_eq!(registry.list().unwrap().len(), 1);
        assert!(registry.collect().unwrap().files > 0);
    }
    assert_eq!(
        registry.find("direction", Some("1.0.0")).unwrap().version,
        "1.0.0"
    );
}

#[test]
fn every_damaged_missing_and_extra_file_is_found() {
    let (_dir, registry) = registry();
    let (entry, _) = registry.add(&model("direction", "weights")).unwrap();
    let (other, _) = registry.add(&model("other", "others")).unwrap();
    let sound = |findings: &[Finding]| {
        let mut findings = findings.iter();
        // `{}` is no card, which is told of each.
        findings.all(|one| one.kind == FindingKind::Contradiction)
    };
    assert!(sound(&registry.verify().unwrap().1));
    let object = registry.object_path(&entry.file(Role::Model).unwrap().sha256);
    fs::write(&object, b"weightz").unwrap();
    let missing = registry.object_path(&other.file(Role::Model).unwrap().sha256);
    fs::remove_file(&missing).unwrap();
    let stray = registry.root().join("objects/aa/stray");
    fs::create_dir_all(stray.parent().unwrap()).unwrap();
    fs::write(&stray, b"?").unwrap();
    let broken = registry.entry_path("other", "1.0.9");
    fs::write(&broken, b"{").unwrap();
    let (entries, findings) = registry.verify().unwrap();
    assert_eq!(entries.len(), 2);
    let find = |kind: FindingKind| -> Vec<&Finding> {
        findings.iter().filter(|one| one.kind == kind).collect()
    };
    let damaged = find(FindingKind::Damaged);
    assert_eq!(damaged.len(), 2, "{findings:?}");
    assert!(damaged.iter().any(|one| one.models == ["direction 1.0.0"]));
    assert!(damaged.iter().any(|one| one.path.ends_with("1.0.9.json")));
    assert_eq!(find(FindingKind::Missing)[0].models, ["other 1.0.0"]);
    assert!(find(FindingKind::Extra)[0].path.ends_with("stray"));
    let told = damaged.iter().find(|one| one.path.ends_with("1.0.9.json"));
    assert!(told.unwrap().message.contains("none is removed"));
    for entry in [&entry, &other] {
        let told = registry.read(entry, Role::Model).unwrap_err();
        assert!(matches!(told, RegistryError::Damaged { .. }), "{told}");
    }
    // What a version points to is not known while one is damaged.
    assert!(registry.collect().is_err());
    fs::remove_file(&broken).unwrap();
    assert_eq!(registry.collect().unwrap().files, 1);
    // The same model added again mends its object.
    registry.add(&model("mended", "weights")).unwrap();
    assert_eq!(
        registry.read(&entry, Role::Model).unwrap().unwrap(),
        b"weights"
    );
}

#[test]
fn objects_of_a_version_that_cannot_be_read_are_not_told_as_needless() {
    let (_dir, registry) = registry();
    let (entry, _) = registry.add(&model("direction", "weights")).unwrap();
    fs::write(registry.entry_path("direction", "1.0.0"), b"{").unwrap();
    let (_, findings) = registry.verify().unwrap();
    let kinds: Vec<FindingKind> = findings.iter().map(|one| one.kind).collect();
    assert_eq!(kinds, [FindingKind::Damaged], "{findings:?}");
    assert!(!findings[0].message.contains("gc"), "{findings:?}");
    let object = registry.object_path(&entry.file(Role::Model).unwrap().sha256);
    assert!(object.exists());
    fs::remove_file(registry.entry_path("direction", "1.0.0")).unwrap();
    let (_, findings) = registry.verify().unwrap();
    assert_eq!(findings.len(), 3, "{findings:?}");
    assert!(
        findings
            .iter()
            .all(|one| one.message.contains("fusebox model gc"))
    );
}

#[test]
fn removed_versions_free_their_objects_once_nobody_needs_them() {
    let (_dir, registry) = registry();
    registry.add(&model("one", "same")).unwrap();
    registry.add(&model("two", "same")).unwrap();
    registry.remove("one", "1.0.0").unwrap();
    assert_eq!(registry.collect().unwrap(), Collected::default());
    registry.remove("two", "1.0.0").unwrap();
    assert_eq!(registry.collect().unwrap().files, 3);
    assert!(registry.remove("two", "1.0.0").is_err());
    assert!(registry.verify().unwrap().1.is_empty());
}
