//! The directory of a training: `NAME.partial` beside its target while it is going on, renamed to
//! it when everything is there.
//!
//! ```text
//! out/both.partial/
//!   training.json     what the training is of, written first
//!   .lock             held while a process works on it
//!   .state/lightgbm/  identity.json, finished folds, checkpoints
//!   lightgbm/         the run of a pipeline, complete or absent
//! ```
//!
//! A process that was killed leaves it behind, and the same command takes it up. One of another
//! configuration or of other data is never touched: what differs is told.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::super::output::{
    LOCK_FILE, MANIFEST_FILE, OutputError, RunFile, RunManifest, hex, io_error, sync_folder,
};
use crate::data::atomic::write_atomically;

/// What `kind` says in the manifest of a training.
pub const TRAINING_KIND: &str = "fusebox-training";

const IDENTITY_FILE: &str = "training.json";
/// The identity of one pipeline's data and code.
const INPUTS_FILE: &str = "identity.json";
const STATE_DIR: &str = ".state";
const FORMAT: u32 = 1;
/// Differences that are told one by one.
const MOST_DIFFERENCES: usize = 12;

/// What a training is of, by name.
pub(super) type Identity = BTreeMap<String, String>;

#[derive(Debug, Serialize, Deserialize)]
struct IdentityFile {
    kind: String,
    format: u32,
    values: Identity,
}

/// What may become of what is there already.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Opening {
    /// Replace a finished training at the target.
    pub overwrite: bool,
    /// Throw away the beginning of one.
    pub fresh: bool,
}

/// A training that is going on.
#[derive(Debug)]
pub(super) struct Partial {
    target: PathBuf,
    path: PathBuf,
    lock: File,
    overwrite: bool,
    is_resumed: bool,
}

impl Partial {
    /// Starts a training that will appear at `target`, or takes up the one that was begun.
    pub(super) fn open(
        target: &Path,
        identity: &Identity,
        how: Opening,
    ) -> Result<Self, OutputError> {
        check_target(target, how.overwrite)?;
        let path = partial_path(target);
        fs::create_dir_all(&path).map_err(|source| io_error(&path, source))?;
        refuse_foreign(&path)?;
        let lock = lock(&path)?;
        if how.fresh || is_bare(&path) {
            clear(&path)?;
        }
        let is_resumed = check_identity(&path.join(IDENTITY_FILE), &path, identity)?;
        Ok(Self {
            target: target.to_path_buf(),
            path,
            lock,
            overwrite: how.overwrite,
            is_resumed,
        })
    }

    /// Where it is going on.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it had been begun before.
    pub(super) fn is_resumed(&self) -> bool {
        self.is_resumed
    }

    /// The place of one pipeline's folds, whose data and code are `identity`.
    pub(super) fn state(&self, name: &str, identity: &Identity) -> Result<PathBuf, OutputError> {
        let dir = self.path.join(STATE_DIR).join(name);
        fs::create_dir_all(&dir).map_err(|source| io_error(&dir, source))?;
        check_identity(&dir.join(INPUTS_FILE), &self.path, identity)?;
        Ok(dir)
    }

    /// Writes a file of the training itself.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), OutputError> {
        let path = self.path.join(name);
        write_atomically(&path, |file| file.write_all(bytes))
            .map_err(|source: io::Error| io_error(&path, source))
    }

    /// Removes what was for resuming, lists everything in the manifest and renames the directory to
    /// its target.
    pub(super) fn commit(self) -> Result<RunManifest, OutputError> {
        let mut files = Vec::new();
        remove_leftovers(&self.path)?;
        list(&self.path, &self.path, &mut files)?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let manifest = RunManifest {
            kind: TRAINING_KIND.to_owned(),
            format: FORMAT,
            fusebox_version: env!("CARGO_PKG_VERSION").to_owned(),
            files,
        };
        let mut text =
            serde_json::to_vec_pretty(&manifest).map_err(|source| OutputError::Encode {
                file: MANIFEST_FILE.to_owned(),
                source,
            })?;
        text.push(b'\n');
        self.write(MANIFEST_FILE, &text)?;
        check_target(&self.target, self.overwrite)?;
        self.move_to_target()?;
        // From here on the training is there; what was for resuming is in nobody's way.
        let _ = fs::remove_dir_all(self.target.join(STATE_DIR));
        let _ = fs::remove_file(self.target.join(LOCK_FILE));
        drop(self.lock);
        Ok(manifest)
    }

    fn move_to_target(&self) -> Result<(), OutputError> {
        let parent = parent(&self.target);
        let aside = match self.target.join(MANIFEST_FILE).exists() {
            true => {
                let aside = tempfile::Builder::new()
                    .prefix(".replaced-")
                    .tempdir_in(parent);
                let aside = aside.map_err(|source| io_error(parent, source))?;
                fs::rename(&self.target, aside.path().join("old"))
                    .map_err(|source| io_error(&self.target, source))?;
                Some(aside)
            }
            false => None,
        };
        if let Err(source) = fs::rename(&self.path, &self.target) {
            if let Some(aside) = &aside {
                fs::rename(aside.path().join("old"), &self.target)
                    .map_err(|source| io_error(&self.target, source))?;
            }
            return Err(io_error(&self.target, source));
        }
        sync_folder(parent)
    }
}

/// The directory of a training that is going on.
fn partial_path(target: &Path) -> PathBuf {
    let mut name = target.file_name().unwrap_or_default().to_os_string();
    name.push(".partial");
    target.with_file_name(name)
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn check_target(target: &Path, overwrite: bool) -> Result<(), OutputError> {
    match fs::metadata(target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(io_error(target, source)),
        Ok(found) if !found.is_dir() => {
            return Err(OutputError::NotADirectory(target.to_path_buf()));
        }
        Ok(_) => {}
    }
    let mut entries = fs::read_dir(target).map_err(|source| io_error(target, source))?;
    if entries.next().is_none() {
        return Ok(());
    }
    if !overwrite {
        return Err(OutputError::NotEmpty(target.to_path_buf()));
    }
    let manifest = fs::read(target.join(MANIFEST_FILE)).ok();
    let manifest = manifest.and_then(|text| serde_json::from_slice::<RunManifest>(&text).ok());
    match manifest {
        Some(manifest) if manifest.kind == TRAINING_KIND => Ok(()),
        _ => Err(OutputError::NotARun(target.to_path_buf())),
    }
}

/// Only what a training left is taken up: its identity comes first, so what holds other files and
/// none of that is somebody else's.
fn refuse_foreign(path: &Path) -> Result<(), OutputError> {
    let entries = fs::read_dir(path).map_err(|source| io_error(path, source))?;
    let names = entries.filter_map(|entry| Some(entry.ok()?.file_name()));
    let names: BTreeSet<String> = names
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    let is_temporary = |name: &String| name == LOCK_FILE || name.starts_with(".training.json.");
    if names.contains(IDENTITY_FILE) || names.iter().all(is_temporary) {
        return Ok(());
    }
    Err(OutputError::NotATraining(path.to_path_buf()))
}

/// Whether nothing but identities was written, so that there is nothing to take up: what stopped
/// such a training, a setting or a library, may be another now.
fn is_bare(path: &Path) -> bool {
    // What cannot be read may be work.
    let Ok(mut entries) = fs::read_dir(path) else {
        return false;
    };
    entries.all(|entry| {
        let Ok(entry) = entry else { return false };
        let (name, found) = (entry.file_name(), entry.path());
        let is_known = [LOCK_FILE, IDENTITY_FILE, INPUTS_FILE];
        match found.is_dir() {
            true => is_bare(&found),
            false => is_known.iter().any(|known| name == *known),
        }
    })
}

fn lock(path: &Path) -> Result<File, OutputError> {
    let name = path.join(LOCK_FILE);
    let file = File::create(&name).map_err(|source| io_error(&name, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OutputError::InUse(path.to_path_buf())),
        Err(TryLockError::Error(source)) => Err(io_error(&name, source)),
    }
}

/// Removes everything but the lock, which is held. The identity goes last, so that what remains
/// where this is cut off still says whose it is.
fn clear(path: &Path) -> Result<(), OutputError> {
    let entries = fs::read_dir(path).map_err(|source| io_error(path, source))?;
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name();
        if name == LOCK_FILE || name == IDENTITY_FILE {
            continue;
        }
        let found = entry.path();
        let removed = match found.is_dir() {
            true => fs::remove_dir_all(&found),
            false => fs::remove_file(&found),
        };
        removed.map_err(|source| io_error(&found, source))?;
    }
    match fs::remove_file(path.join(IDENTITY_FILE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(path, error)),
        _ => Ok(()),
    }
}

/// Writes an identity where there is none and answers `false`; compares it with the one that is
/// there and answers `true`.
fn check_identity(file: &Path, partial: &Path, identity: &Identity) -> Result<bool, OutputError> {
    let differ = |differences: Vec<String>| OutputError::PartialDiffers {
        path: partial.to_path_buf(),
        differences,
    };
    match fs::read(file) {
        Ok(text) => {
            let found: IdentityFile = serde_json::from_slice(&text)
                .map_err(|error| differ(vec![format!("{} is damaged: {error}", file.display())]))?;
            let differences = differences(&found.values, identity);
            match found.kind == TRAINING_KIND && found.format == FORMAT && differences.is_empty() {
                true => Ok(true),
                false if differences.is_empty() => {
                    Err(differ(vec!["it is of another version".to_owned()]))
                }
                false => Err(differ(differences)),
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let found = IdentityFile {
                kind: TRAINING_KIND.to_owned(),
                format: FORMAT,
                values: identity.clone(),
            };
            let text = serde_json::to_vec_pretty(&found).map_err(|source| OutputError::Encode {
                file: file.display().to_string(),
                source,
            })?;
            write_atomically(file, |file| file.write_all(&text))
                .map_err(|source: io::Error| io_error(file, source))?;
            Ok(false)
        }
        Err(source) => Err(io_error(file, source)),
    }
}

/// One sentence for each value that differs.
fn differences(begun: &Identity, now: &Identity) -> Vec<String> {
    let keys: BTreeSet<&String> = begun.keys().chain(now.keys()).collect();
    let differing = keys
        .into_iter()
        .filter(|key| begun.get(*key) != now.get(*key));
    let absent = || "absent".to_owned();
    let mut told: Vec<String> = differing
        .map(|key| {
            let (then, now) = (begun.get(key).cloned(), now.get(key).cloned());
            let (then, now) = (then.unwrap_or_else(absent), now.unwrap_or_else(absent));
            format!("{key} was {then}, it is {now}")
        })
        .collect();
    if told.len() > MOST_DIFFERENCES {
        let more = told.len() - MOST_DIFFERENCES;
        told.truncate(MOST_DIFFERENCES);
        told.push(format!("and {more} more"));
    }
    told
}

/// Removes what processes that were killed left half written.
fn remove_leftovers(path: &Path) -> Result<(), OutputError> {
    let entries = fs::read_dir(path).map_err(|source| io_error(path, source))?;
    for entry in entries.filter_map(Result::ok) {
        let (name, found) = (entry.file_name(), entry.path());
        let is_own = name == LOCK_FILE || name == STATE_DIR;
        if is_own || !name.to_string_lossy().starts_with('.') {
            continue;
        }
        let removed = match found.is_dir() {
            true => fs::remove_dir_all(&found),
            false => fs::remove_file(&found),
        };
        removed.map_err(|source| io_error(&found, source))?;
    }
    Ok(())
}

/// Every file of a training but what is for resuming, with its digest.
fn list(root: &Path, folder: &Path, files: &mut Vec<RunFile>) -> Result<(), OutputError> {
    let entries = fs::read_dir(folder).map_err(|source| io_error(folder, source))?;
    for entry in entries {
        let entry = entry.map_err(|source| io_error(folder, source))?;
        let (name, path) = (entry.file_name(), entry.path());
        if folder == root && (name == STATE_DIR || name == LOCK_FILE || name == MANIFEST_FILE) {
            continue;
        }
        if path.is_dir() {
            list(root, &path, files)?;
            continue;
        }
        let bytes = fs::read(&path).map_err(|source| io_error(&path, source))?;
        let relative = path.strip_prefix(root).unwrap_or(&path);
        files.push(RunFile {
            path: relative.to_string_lossy().replace('\\', "/"),
            bytes: bytes.len() as u64,
            digest: format!("sha256:{}", hex(&Sha256::digest(&bytes))),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(rounds: &str) -> Identity {
        [("a: model.params.rounds".to_owned(), rounds.to_owned())].into()
    }

    fn open(target: &Path, rounds: &str, how: Opening) -> Result<Partial, OutputError> {
        Partial::open(target, &identity(rounds), how)
    }

    #[test]
    fn the_same_training_is_taken_up_and_another_is_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("out");
        let first = open(&target, "400", Opening::default()).unwrap();
        assert!(!first.is_resumed());
        let held = open(&target, "400", Opening::default()).unwrap_err();
        assert!(matches!(held, OutputError::InUse(_)), "{held}");
        let state = first.state("a", &identity("data")).unwrap();
        fs::write(state.join("fold-01.finished"), b"x").unwrap();
        drop(first);
        let other = open(&target, "300", Opening::default())
            .unwrap_err()
            .to_string();
        for words in [
            "model.params.rounds was 400, it is 300",
            "--fresh",
            "out.partial",
        ] {
            assert!(other.contains(words), "{other}");
        }
        let again = open(&target, "400", Opening::default()).unwrap();
        assert!(again.is_resumed());
        let state = again.state("a", &identity("data")).unwrap();
        assert!(again.state("a", &identity("other data")).is_err());
        fs::write(state.join("fold-01.finished"), b"x").unwrap();
        again.write("evaluation.html", b"page").unwrap();
        let manifest = again.commit().unwrap();
        let paths: Vec<&str> = manifest.files.iter().map(|file| &*file.path).collect();
        assert_eq!(paths, ["evaluation.html", "training.json"]);
        let mut names: Vec<_> = fs::read_dir(&target).unwrap().collect();
        assert_eq!(names.len(), 3, "{names:?}");
        names.clear();
        assert!(!target.with_file_name("out.partial").exists());
        let full = open(&target, "400", Opening::default()).unwrap_err();
        assert!(matches!(full, OutputError::NotEmpty(_)), "{full}");
        let overwrite = Opening {
            overwrite: true,
            fresh: false,
        };
        open(&target, "300", overwrite).unwrap().commit().unwrap();
        assert!(!target.join("evaluation.html").exists());
    }

    #[test]
    fn a_training_that_did_nothing_stands_in_nobodys_way() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("out");
        let first = open(&target, "400", Opening::default()).unwrap();
        first.state("a", &identity("no library")).unwrap();
        drop(first);
        let other = open(&target, "300", Opening::default()).unwrap();
        assert!(!other.is_resumed());
        other.state("a", &identity("a library")).unwrap();
    }

    #[test]
    fn what_is_no_training_is_never_touched() {
        let dir = tempfile::tempdir().unwrap();
        let partial = dir.path().join("out.partial");
        fs::create_dir(&partial).unwrap();
        fs::write(partial.join("thesis.txt"), b"years of work").unwrap();
        let fresh = Opening {
            overwrite: true,
            fresh: true,
        };
        let refused = open(&dir.path().join("out"), "1", fresh).unwrap_err();
        assert!(matches!(refused, OutputError::NotATraining(_)), "{refused}");
        assert!(partial.join("thesis.txt").exists());
    }

    #[test]
    fn a_fresh_start_forgets_the_beginning() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("out");
        let first = open(&target, "400", Opening::default()).unwrap();
        let state = first.state("a", &identity("data")).unwrap();
        fs::write(state.join("fold-01.finished"), b"x").unwrap();
        drop(first);
        let fresh = Opening {
            overwrite: false,
            fresh: true,
        };
        let second = open(&target, "300", fresh).unwrap();
        assert!(!second.is_resumed());
        assert!(!state.join("fold-01.finished").exists());
    }
}
