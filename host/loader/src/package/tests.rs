//! Writers that die at every step: what readers see then, and what the next writer makes of it.

use std::cell::Cell;
use std::fs;
use std::io;
use std::path::Path;

use super::commit::{Image, commit, lock};
use super::*;
use crate::discover::{Discovered, discover};
use crate::disk::{Disk, RealDisk};
use crate::generation::sha256_hex;
use crate::manifest::{Artifact, MANIFEST_VERSION, Manifest};

/// A disk whose writer dies after some steps: half of that step is done, and none after it.
struct Dying {
    left: Cell<usize>,
    can_exchange: bool,
}

impl Dying {
    fn after(steps: usize, can_exchange: bool) -> Self {
        Self {
            left: Cell::new(steps),
            can_exchange,
        }
    }

    fn is_dead(&self) -> bool {
        self.left.get() == 0
    }

    /// Whether this step is the last: `Err` where the writer is dead already.
    fn step(&self) -> io::Result<()> {
        let left = self.left.get();
        if left == 0 {
            return Err(io::Error::other("killed"));
        }
        self.left.set(left - 1);
        Ok(())
    }
}

impl Disk for Dying {
    fn create_dirs(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        RealDisk.create_dirs(path)
    }

    fn write_new(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        // Opening, half of it, all of it: three places to die in.
        self.step()?;
        fs::write(path, b"")?;
        self.step()?;
        fs::write(path, &bytes[..bytes.len() / 2])?;
        self.step()?;
        fs::write(path, bytes)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step()?;
        RealDisk.rename(from, to)
    }

    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        if !self.can_exchange {
            return Err(io::Error::from(io::ErrorKind::Unsupported));
        }
        self.step()?;
        RealDisk.exchange(one, other)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        RealDisk.sync_dir(path)
    }

    fn remove_tree(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        // The first file goes, then the rest.
        let entries = fs::read_dir(path)?;
        if let Some(entry) = entries
            .filter_map(Result::ok)
            .find(|entry| entry.path().is_file())
        {
            fs::remove_file(entry.path())?;
        }
        self.step()?;
        RealDisk.remove_tree(path)
    }
}

/// Writes version 1.0.0 of a plugin whose two files hold `content`.
fn write(disk: &dyn Disk, root: &Path, content: &str) -> Result<PathBuf, PackageError> {
    let bytes = content.as_bytes().to_vec();
    let path = |dir: &str| format!("{dir}/{content}.bin");
    let manifest = Manifest {
        manifest: MANIFEST_VERSION,
        id: "com.example.a".to_owned(),
        version: "1.0.0".to_owned(),
        abi: "1.0".to_owned(),
        kind: vec!["fb.model/1".to_owned()],
        artifact: [(
            "linux-x86_64".to_owned(),
            Artifact {
                path: path("linux-x86_64"),
                sha256: sha256_hex(&bytes),
            },
        )]
        .into(),
        files: [(path("more/deep"), sha256_hex(&bytes))].into(),
        ..Manifest::default()
    };
    let text = manifest.to_toml();
    let digests = manifest.digests();
    let _lock = lock(root)?;
    let image = Image {
        id: &manifest.id,
        version: &manifest.version,
        manifest: text.as_bytes(),
        signature: Some(b"signature"),
        files: digests.into_keys().collect(),
        content: &|_| Ok(bytes.clone()),
    };
    commit(disk, root, &image)
}

/// What a reader finds: the content of a whole package, or nothing. Panics on anything between.
fn seen(root: &Path) -> Option<String> {
    let found = discover(&[root.to_owned()]);
    let package = match found.as_slice() {
        [] => return None,
        [one] => one,
        more => panic!("{more:?}"),
    };
    let manifest = package.manifest().unwrap_or_else(|error| panic!("{error}"));
    for file in package.check_files(1000).unwrap() {
        assert_eq!(file.problem, None, "{}", file.path);
    }
    let path = manifest.files.keys().next().unwrap();
    Some(String::from_utf8(package.read_file(path, 1000).unwrap().0).unwrap())
}

fn hidden(root: &Path) -> Vec<String> {
    let dir = root.join("com.example.a");
    let names = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    names
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with('.'))
        .collect()
}

/// Lets writers die after 0, 1, 2, ... steps until one lives, and gives the number of deaths.
fn kill_at_every_step(old: Option<&str>, can_exchange: bool, expect: &[Option<&str>]) -> usize {
    for steps in 0..200 {
        let root = tempfile::tempdir().unwrap();
        if let Some(old) = old {
            write(&RealDisk, root.path(), old).unwrap();
        }
        let disk = Dying::after(steps, can_exchange);
        let outcome = write(&disk, root.path(), "new");
        let found = seen(root.path());
        assert!(
            expect.contains(&found.as_deref()),
            "step {steps}: {found:?}"
        );
        if outcome.is_ok() {
            assert_eq!(found.as_deref(), Some("new"), "step {steps}");
        }
        if !disk.is_dead() {
            assert!(outcome.is_ok());
            assert_eq!(hidden(root.path()), Vec::<String>::new());
            return steps;
        }
        // Whatever is left, the next writer comes through and leaves nothing lying about.
        let next = Dying::after(usize::MAX, can_exchange);
        write(&next, root.path(), "next").unwrap();
        assert_eq!(seen(root.path()).as_deref(), Some("next"), "step {steps}");
        assert_eq!(hidden(root.path()), Vec::<String>::new(), "step {steps}");
    }
    panic!("a writer takes over 200 steps");
}

#[test]
fn a_new_package_is_there_as_a_whole_or_not_at_all() {
    let deaths = kill_at_every_step(None, true, &[None, Some("new")]);
    assert!(deaths > 15, "{deaths}");
}

#[test]
fn a_replaced_package_is_the_old_or_the_new_one_at_every_step() {
    let deaths = kill_at_every_step(Some("old"), true, &[Some("old"), Some("new")]);
    assert!(deaths > 20, "{deaths}");
}

#[test]
fn without_an_exchange_the_old_one_is_put_back() {
    let deaths = kill_at_every_step(Some("old"), false, &[Some("old"), Some("new"), None]);
    assert!(deaths > 20, "{deaths}");
    // The step at which the old one is aside and the new one not there yet.
    let mut was_aside = false;
    for steps in 0..deaths {
        let root = tempfile::tempdir().unwrap();
        write(&RealDisk, root.path(), "old").unwrap();
        let _ = write(&Dying::after(steps, false), root.path(), "new");
        if seen(root.path()).is_none() {
            was_aside = true;
            // A writer that dies too, but after its second step.
            let _ = write(&Dying::after(2, false), root.path(), "new");
            assert_eq!(seen(root.path()).as_deref(), Some("old"), "step {steps}");
        }
    }
    assert!(was_aside);
}

#[test]
fn a_removed_package_is_gone_and_one_in_use_stays() {
    let root = tempfile::tempdir().unwrap();
    let path = write(&RealDisk, root.path(), "old").unwrap();
    let id = "com.example.a";
    let in_use = |version: &str| Some(format!("{version} is live"));
    let told = remove_package(root.path(), id, None, &in_use)
        .unwrap_err()
        .to_string();
    assert!(
        told.contains("com.example.a 1.0.0 is in use: 1.0.0 is live"),
        "{told}"
    );
    assert!(Discovered::at(&path).state.is_ok());
    let free = |_: &str| None;
    let told = remove_package(root.path(), id, Some("2.0.0"), &free)
        .unwrap_err()
        .to_string();
    assert!(told.contains("versions there: 1.0.0"), "{told}");
    for id in ["com.example.b", "../a", ""] {
        let told = remove_package(root.path(), id, None, &free)
            .unwrap_err()
            .to_string();
        assert!(told.contains("installed: com.example.a"), "{told}");
    }
    let removed = remove_package(root.path(), id, Some("1.0.0"), &free).unwrap();
    assert_eq!(removed.versions, ["1.0.0"]);
    assert!(!root.path().join(id).exists());
}
