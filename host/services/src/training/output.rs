//! The directory of one run: written under a hidden temporary name beside its target and renamed
//! to it when everything is there, so that a directory under its real name is always complete.
//!
//! `manifest.json` is written last and names every file with its size and SHA-256.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// The name of the file that makes a directory a complete run.
pub const MANIFEST_FILE: &str = "manifest.json";

/// Held while a run is written, so that what a killed process left behind can be told apart.
pub(super) const LOCK_FILE: &str = ".lock";

/// What `kind` says in the manifest of a run.
pub const RUN_KIND: &str = "fusebox-run";

/// Why a run's directory could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutputError {
    /// The target holds something and may not be replaced.
    #[error("{0} is not empty; choose another --out, or add --overwrite to replace that run")]
    NotEmpty(PathBuf),
    /// The target holds something that is not a run, so it is never replaced.
    #[error("{0} holds files that are not a run of Fusebox; choose another --out")]
    NotARun(PathBuf),
    /// The target is a file.
    #[error("{0} is not a directory; choose another --out")]
    NotADirectory(PathBuf),
    /// A training was begun there, of something else.
    #[error(
        "{path} holds the beginning of another training: {}; restore that, choose another --out, \
         or add --fresh to throw it away",
        .differences.join("; "), path = .path.display()
    )]
    PartialDiffers {
        /// The directory.
        path: PathBuf,
        /// What differs, one sentence each.
        differences: Vec<String>,
    },
    /// Another process works on it.
    #[error("{0} is in use by another process; wait for it, or choose another --out")]
    InUse(PathBuf),
    /// The place for the beginning of a training holds something else.
    #[error(
        "{0} holds files that are not the beginning of a training; move them, or choose another \
         --out"
    )]
    NotATraining(PathBuf),
    /// A name inside the run leads out of it.
    #[error("`{0}` is not a relative path inside the run directory")]
    OutsideRun(String),
    /// The file system refused.
    #[error("cannot write {path}: {source}; check that the folder exists and is writable")]
    Io {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A result could not be written as JSON.
    #[error("cannot encode {file}: {source}")]
    Encode {
        /// The file that was to be written.
        file: String,
        /// What was wrong.
        source: serde_json::Error,
    },
}

/// A file of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFile {
    /// Path relative to the run directory, with `/`.
    pub path: String,
    /// Size in bytes.
    pub bytes: u64,
    /// `sha256:` and the digest in hex.
    pub digest: String,
}

/// What `manifest.json` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunManifest {
    /// Always `fusebox-run`.
    pub kind: String,
    /// Format of the run directory.
    pub format: u32,
    /// Version of Fusebox that wrote it.
    pub fusebox_version: String,
    /// Every other file of the run, by path.
    pub files: Vec<RunFile>,
}

/// A run directory that is being written.
#[derive(Debug)]
pub struct RunDirectory {
    target: PathBuf,
    partial: TempDir,
    lock: File,
    files: Vec<RunFile>,
    overwrite: bool,
}

impl RunDirectory {
    /// Prepares a run that will appear at `target`. Nothing is visible there until
    /// [`commit`](Self::commit); dropping the value before removes what was written.
    ///
    /// # Errors
    /// [`OutputError`] where `target` may not be replaced or its parent is not writable.
    pub fn create(target: &Path, overwrite: bool) -> Result<Self, OutputError> {
        check_target(target, overwrite)?;
        let parent = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        fs::create_dir_all(parent).map_err(|source| io_error(parent, source))?;
        let name = target
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let prefix = format!(".{name}.partial-");
        sweep(parent, &prefix);
        let partial = tempfile::Builder::new()
            .prefix(&prefix)
            .tempdir_in(parent)
            .map_err(|source| io_error(parent, source))?;
        let lock_path = partial.path().join(LOCK_FILE);
        let lock = File::create_new(&lock_path)
            .and_then(|file| file.lock().map(|()| file))
            .map_err(|source| io_error(&lock_path, source))?;
        Ok(Self {
            target: target.to_path_buf(),
            partial,
            lock,
            files: Vec::new(),
            overwrite,
        })
    }

    /// Writes one file; `path` is relative to the run.
    ///
    /// # Errors
    /// [`OutputError`] where the path leads out of the run or the file system refuses.
    pub fn write(&mut self, path: &str, bytes: &[u8]) -> Result<&RunFile, OutputError> {
        let mut file = self.open(path)?;
        file.write_all(bytes)
            .map_err(|source| io_error(Path::new(path), source))?;
        self.close(file)
    }

    /// Writes one file as readable JSON.
    ///
    /// # Errors
    /// As [`write`](Self::write), and where the value cannot be encoded.
    pub fn write_json<T: Serialize>(&mut self, path: &str, value: &T) -> Result<(), OutputError> {
        let mut text = serde_json::to_vec_pretty(value).map_err(|source| OutputError::Encode {
            file: path.to_owned(),
            source,
        })?;
        text.push(b'\n');
        self.write(path, &text).map(|_| ())
    }

    /// Opens a file for streaming; hand it to [`close`](Self::close) when it is complete.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn open(&self, path: &str) -> Result<RunFileWriter, OutputError> {
        let inside = Path::new(path)
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        if !inside || path.is_empty() {
            return Err(OutputError::OutsideRun(path.to_owned()));
        }
        let full = self.partial.path().join(path);
        if let Some(folder) = full.parent() {
            fs::create_dir_all(folder).map_err(|source| io_error(folder, source))?;
        }
        let file = File::create_new(&full).map_err(|source| io_error(&full, source))?;
        Ok(RunFileWriter {
            path: path.to_owned(),
            file: BufWriter::new(file),
            hasher: Sha256::new(),
            bytes: 0,
        })
    }

    /// Completes a file of [`open`](Self::open): flushed, synced and listed.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn close(&mut self, writer: RunFileWriter) -> Result<&RunFile, OutputError> {
        let RunFileWriter {
            path,
            file,
            hasher,
            bytes,
        } = writer;
        let synced = file
            .into_inner()
            .map_err(io::IntoInnerError::into_error)
            .and_then(|file| file.sync_all());
        synced.map_err(|source| io_error(Path::new(&path), source))?;
        let digest = format!("sha256:{}", hex(&hasher.finalize()));
        let position = self.files.partition_point(|file| file.path < path);
        self.files.insert(
            position,
            RunFile {
                path,
                bytes,
                digest,
            },
        );
        Ok(&self.files[position])
    }

    /// Writes the manifest, then moves the run to its target in one rename.
    ///
    /// # Errors
    /// [`OutputError`]; the target is then as it was before.
    pub fn commit(mut self) -> Result<RunManifest, OutputError> {
        let manifest = RunManifest {
            kind: RUN_KIND.to_owned(),
            format: 1,
            fusebox_version: env!("CARGO_PKG_VERSION").to_owned(),
            files: std::mem::take(&mut self.files),
        };
        self.write_json(MANIFEST_FILE, &manifest)?;
        let lock_path = self.partial.path().join(LOCK_FILE);
        fs::remove_file(&lock_path).map_err(|source| io_error(&lock_path, source))?;
        sync_folder(self.partial.path())?;
        check_target(&self.target, self.overwrite)?;
        let old = self.set_old_aside()?;
        let moved = fs::rename(self.partial.path(), &self.target);
        if let Err(source) = moved {
            if let Some(old) = &old {
                fs::rename(old.path().join("run"), &self.target)
                    .map_err(|source| io_error(&self.target, source))?;
            }
            return Err(io_error(&self.target, source));
        }
        // The directory now bears its real name; the guard must not remove it.
        let _moved_away = self.partial.keep();
        drop(self.lock);
        if let Some(parent) = self
            .target
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
        {
            sync_folder(parent)?;
        }
        Ok(manifest)
    }

    /// Moves a run that is to be replaced out of the way; removed when the value drops.
    fn set_old_aside(&self) -> Result<Option<TempDir>, OutputError> {
        if !self.target.join(MANIFEST_FILE).exists() {
            return Ok(None);
        }
        let parent = self.partial.path().parent().unwrap_or(Path::new("."));
        let aside = tempfile::Builder::new()
            .prefix(".replaced-")
            .tempdir_in(parent)
            .map_err(|source| io_error(parent, source))?;
        fs::rename(&self.target, aside.path().join("run"))
            .map_err(|source| io_error(&self.target, source))?;
        Ok(Some(aside))
    }
}

/// A file of a run that is being streamed; hashed on the way.
#[derive(Debug)]
pub struct RunFileWriter {
    path: String,
    file: BufWriter<File>,
    hasher: Sha256,
    bytes: u64,
}

impl Write for RunFileWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Lower-case hex.
#[must_use]
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// Removes what killed processes left of runs for the same target: nobody holds their lock.
fn sweep(parent: &Path, prefix: &str) {
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let lock = File::open(path.join(LOCK_FILE));
        if name.starts_with(prefix) && lock.is_ok_and(|file| file.try_lock().is_ok()) {
            // What cannot be removed is in nobody's way.
            let _ = fs::remove_dir_all(&path);
        }
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
    if is_run(target) {
        Ok(())
    } else {
        Err(OutputError::NotARun(target.to_path_buf()))
    }
}

fn is_run(target: &Path) -> bool {
    let Ok(text) = fs::read(target.join(MANIFEST_FILE)) else {
        return false;
    };
    serde_json::from_slice::<RunManifest>(&text).is_ok_and(|manifest| manifest.kind == RUN_KIND)
}

pub(super) fn sync_folder(folder: &Path) -> Result<(), OutputError> {
    File::open(folder)
        .and_then(|handle| handle.sync_all())
        .map_err(|source| io_error(folder, source))
}

pub(super) fn io_error(path: &Path, source: io::Error) -> OutputError {
    OutputError::Io {
        path: path.to_path_buf(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_run_appears_only_when_it_is_complete() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("run");
        let mut run = RunDirectory::create(&target, false).unwrap();
        run.write("models/fold-1.bin", b"abc").unwrap();
        assert!(!target.exists());
        let manifest = run.commit().unwrap();
        assert_eq!(names(&target), ["manifest.json", "models"]);
        assert_eq!(manifest.files.len(), 1);
        assert_eq!(
            manifest.files[0].digest,
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(names(folder.path()), ["run"]);
    }

    #[test]
    fn a_run_that_fails_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("run");
        let mut run = RunDirectory::create(&target, false).unwrap();
        run.write("metrics.json", b"{}").unwrap();
        drop(run);
        assert_eq!(names(folder.path()), Vec::<String>::new());
    }

    #[test]
    fn what_a_killed_run_left_is_swept_and_a_running_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("run");
        let running = RunDirectory::create(&target, false).unwrap();
        let killed = folder.path().join(".run.partial-killed");
        fs::create_dir(&killed).unwrap();
        fs::write(killed.join(LOCK_FILE), b"").unwrap();
        let other = folder.path().join(".other.partial-killed");
        fs::create_dir(&other).unwrap();
        fs::write(other.join(LOCK_FILE), b"").unwrap();
        let second = RunDirectory::create(&target, false).unwrap();
        assert!(!killed.exists() && other.exists());
        assert!(running.partial.path().exists());
        second.commit().unwrap();
        assert_eq!(names(&target), ["manifest.json"]);
    }

    #[test]
    fn only_a_run_may_be_replaced_and_only_when_asked() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("run");
        RunDirectory::create(&target, false)
            .unwrap()
            .commit()
            .unwrap();
        let refused = RunDirectory::create(&target, false).unwrap_err();
        assert!(matches!(refused, OutputError::NotEmpty(_)), "{refused}");
        let mut second = RunDirectory::create(&target, true).unwrap();
        second.write("new.txt", b"new").unwrap();
        second.commit().unwrap();
        assert_eq!(names(&target), ["manifest.json", "new.txt"]);
        assert_eq!(names(folder.path()), ["run"]);

        let foreign = folder.path().join("home");
        fs::create_dir(&foreign).unwrap();
        fs::write(foreign.join("thesis.txt"), b"years of work").unwrap();
        let refused = RunDirectory::create(&foreign, true).unwrap_err();
        assert!(matches!(refused, OutputError::NotARun(_)), "{refused}");
        assert!(foreign.join("thesis.txt").exists());
    }

    #[test]
    fn names_that_lead_out_of_the_run_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut run = RunDirectory::create(&folder.path().join("run"), false).unwrap();
        for name in ["../escape", "/etc/passwd", "", "a/../../b"] {
            let refused = run.write(name, b"").unwrap_err();
            assert!(matches!(refused, OutputError::OutsideRun(_)), "{refused}");
        }
    }

    #[test]
    fn a_file_is_not_a_target() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("run");
        fs::write(&target, b"file").unwrap();
        let refused = RunDirectory::create(&target, true).unwrap_err();
        assert!(
            matches!(refused, OutputError::NotADirectory(_)),
            "{refused}"
        );
        let below = RunDirectory::create(&target.join("deeper"), false).unwrap_err();
        assert!(matches!(below, OutputError::Io { .. }), "{below}");
    }
}
