//! The steps on the disk that make a package appear.
//!
//! A new version: files under a hidden name -> renamed to the version -> `plugin.toml` renamed in.
//! A replaced one: everything under a hidden name -> the two directories change places in one step
//! -> `plugin.toml` renamed in again, for those who watch for that -> the old one is removed. Where
//! the file system cannot exchange two names, the old directory is put aside for a moment; a writer
//! that dies in that moment leaves it to the next one to put it back.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::{PackageError, io};
use crate::discover::is_committed;
use crate::disk::{Disk, hidden_name};
use crate::manifest::{MANIFEST_FILE, SIGNATURE_FILE};

/// Held while packages of a plugin directory are written.
const LOCK_FILE: &str = ".writer.lock";

/// Gives the content of a file of the package by its path.
pub(super) type Content<'a> = dyn Fn(&str) -> Result<Vec<u8>, PackageError> + 'a;

/// A package that can be written.
pub(super) struct Image<'a> {
    pub(super) id: &'a str,
    pub(super) version: &'a str,
    pub(super) manifest: &'a [u8],
    pub(super) signature: Option<&'a [u8]>,
    /// Paths of the files.
    pub(super) files: Vec<&'a str>,
    /// Their content, one at a time.
    pub(super) content: &'a Content<'a>,
}

/// Keeps other writers out of a plugin directory for as long as it is held.
pub(super) fn lock(root: &Path) -> Result<File, PackageError> {
    fs::create_dir_all(root).map_err(|source| io("create", root, source))?;
    let path = root.join(LOCK_FILE);
    let mut options = File::options();
    let file = options.create(true).append(true).open(&path);
    file.and_then(|file| file.lock().map(|()| file))
        .map_err(|source| io("lock", &path, source))
}

/// Writes a package into a plugin directory whose lock is held, and returns its directory.
pub(super) fn commit(
    disk: &dyn Disk,
    root: &Path,
    image: &Image<'_>,
) -> Result<PathBuf, PackageError> {
    let dir = root.join(image.id);
    disk.create_dirs(&dir)
        .map_err(|source| io("create", &dir, source))?;
    let target = dir.join(image.version);
    recover(disk, &target)?;
    clear(disk, &dir);
    let stage = hidden_name(&target, "new-");
    let outcome = write_files(disk, &stage, image).and_then(|()| {
        if is_committed(&target) {
            replace(disk, &stage, &target, image)
        } else {
            appear(disk, &stage, &target, image)
        }
    });
    if outcome.is_err() {
        let _ = disk.remove_tree(&stage);
    }
    outcome.map(|()| target)
}

/// Writes everything but the manifest.
fn write_files(disk: &dyn Disk, stage: &Path, image: &Image<'_>) -> Result<(), PackageError> {
    disk.create_dirs(stage)
        .map_err(|source| io("create", stage, source))?;
    let mut dirs = vec![stage.to_owned()];
    for file in &image.files {
        let path = stage.join(file);
        let dir = path.parent().unwrap_or(stage);
        disk.create_dirs(dir)
            .map_err(|source| io("create", dir, source))?;
        let bytes = (image.content)(file)?;
        disk.write_new(&path, &bytes)
            .map_err(|source| io("write", &path, source))?;
        let inner = dir.ancestors().take_while(|dir| *dir != stage);
        dirs.extend(inner.map(Path::to_owned));
    }
    if let Some(signature) = image.signature {
        let path = stage.join(SIGNATURE_FILE);
        disk.write_new(&path, signature)
            .map_err(|source| io("write", &path, source))?;
    }
    dirs.sort();
    dirs.dedup();
    for dir in dirs.iter().rev() {
        sync(disk, dir)?;
    }
    Ok(())
}

/// A version that was not there.
fn appear(
    disk: &dyn Disk,
    stage: &Path,
    target: &Path,
    image: &Image<'_>,
) -> Result<(), PackageError> {
    if target.exists() {
        // What a writer left that died before its manifest was in.
        let aside = hidden_name(target, "left-");
        disk.rename(target, &aside)
            .map_err(|source| io("rename", target, source))?;
        let _ = disk.remove_tree(&aside);
    }
    disk.rename(stage, target)
        .map_err(|source| io("write", target, source))?;
    sync(disk, target.parent().unwrap_or(target))?;
    put_manifest(disk, target, image.manifest)
}

/// A version that is there and is replaced.
fn replace(
    disk: &dyn Disk,
    stage: &Path,
    target: &Path,
    image: &Image<'_>,
) -> Result<(), PackageError> {
    let manifest = stage.join(MANIFEST_FILE);
    disk.write_new(&manifest, image.manifest)
        .map_err(|source| io("write", &manifest, source))?;
    sync(disk, stage)?;
    let above = target.parent().unwrap_or(target);
    match disk.exchange(stage, target) {
        Ok(()) => sync(disk, above)?,
        Err(error) if error.kind() == std::io::ErrorKind::Unsupported => {
            let aside = aside(target);
            disk.rename(target, &aside)
                .and_then(|()| disk.rename(stage, target))
                .map_err(|source| io("write", target, source))?;
            sync(disk, above)?;
            let _ = disk.remove_tree(&aside);
        }
        Err(source) => return Err(io("write", target, source)),
    }
    // It is committed; what follows is for watchers and for tidiness.
    let _ = put_manifest(disk, target, image.manifest);
    let _ = disk.remove_tree(stage);
    Ok(())
}

/// Renames the manifest in: the step that commits.
pub(super) fn put_manifest(
    disk: &dyn Disk,
    package: &Path,
    bytes: &[u8],
) -> Result<(), PackageError> {
    put(disk, &package.join(MANIFEST_FILE), bytes)
}

/// Writes a file of a package under a hidden name and renames it in.
pub(super) fn put(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<(), PackageError> {
    let partial = hidden_name(path, "");
    disk.write_new(&partial, bytes)
        .and_then(|()| disk.rename(&partial, path))
        .map_err(|source| io("write", path, source))?;
    sync(disk, path.parent().unwrap_or(path))
}

/// The one name under which an old version waits while it is replaced without an exchange.
fn aside(target: &Path) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    target.with_file_name(format!(".{name}.aside.tmp"))
}

/// Puts back what a writer put aside and did not live to replace, or removes what it did replace.
fn recover(disk: &dyn Disk, target: &Path) -> Result<(), PackageError> {
    let aside = aside(target);
    if !aside.exists() {
        return Ok(());
    }
    if is_committed(&aside) && !target.exists() {
        return disk
            .rename(&aside, target)
            .map_err(|source| io("rename", &aside, source));
    }
    disk.remove_tree(&aside)
        .map_err(|source| io("remove", &aside, source))
}

/// Removes what writers left that died. What cannot be removed only takes room.
fn clear(disk: &dyn Disk, dir: &Path) {
    let entries = fs::read_dir(dir).into_iter().flatten();
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_left = name.starts_with('.') && name.ends_with(".tmp");
        // Another version may wait there to be put back.
        if is_left && !name.ends_with(".aside.tmp") {
            let _ = disk.remove_tree(&entry.path());
        }
    }
}

fn sync(disk: &dyn Disk, dir: &Path) -> Result<(), PackageError> {
    disk.sync_dir(dir)
        .map_err(|source| io("write", dir, source))
}
