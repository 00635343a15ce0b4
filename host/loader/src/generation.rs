//! A private copy of a library per load, so that a load always gets the code it verified.
//!
//! The dynamic linker recognises a file by its inode and its path: opening a replaced path, a hard
//! link or a reused descriptor gives the OLD code without an error, and a file that is cut off
//! while it is mapped kills the process. So every load copies the library, through one descriptor
//! for hash and copy, to a name that was never used before, and the copy stays for as long as the
//! process lives. Copies of processes that are gone are swept by the next one.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

use crate::error::LoadError;

/// A library larger than this is refused.
const MAX_LIBRARY_BYTES: u64 = 2 << 30;

const LOCK_FILE: &str = "in-use.lock";

/// Numbers the loads of this process; 0 is never given.
static NEXT_GENERATION: AtomicU64 = AtomicU64::new(1);

/// The private directories of this process, by cache directory.
static STORES: Mutex<BTreeMap<PathBuf, Arc<Store>>> = Mutex::new(BTreeMap::new());

/// The next load's number.
#[must_use]
pub fn next_generation() -> u64 {
    NEXT_GENERATION.fetch_add(1, Ordering::Relaxed)
}

/// A verified private copy.
#[derive(Debug)]
pub struct PrivateCopy {
    /// Where it lies.
    pub path: PathBuf,
    /// Its content.
    pub bytes: Vec<u8>,
    /// SHA-256 of the content, in hexadecimal.
    pub sha256: String,
}

#[derive(Debug)]
struct Store {
    dir: PathBuf,
    /// Held, and thereby locked, for as long as the process lives.
    _lock: File,
}

/// Copies a library at `source` into a private directory under `cache_dir`, for load number
/// `generation`, and refuses it where its digest is not `sha256`.
///
/// # Errors
/// [`LoadError::Io`], or [`LoadError::Digest`] where the content is another one.
pub fn private_copy(
    source: &Path,
    sha256: &str,
    cache_dir: &Path,
    generation: u64,
) -> Result<PrivateCopy, LoadError> {
    let file = File::open(source).map_err(|error| LoadError::io("open", source, error))?;
    let mut bytes = Vec::new();
    file.take(MAX_LIBRARY_BYTES)
        .read_to_end(&mut bytes)
        .map_err(|error| LoadError::io("read", source, error))?;
    let found = check_digest(source, &bytes, sha256)?;
    store_private(bytes, found, cache_dir, generation)
}

/// The digest of what was read from `path`, if it is the stated one.
pub(crate) fn check_digest(path: &Path, bytes: &[u8], stated: &str) -> Result<String, LoadError> {
    let found = sha256_hex(bytes);
    if found == stated {
        return Ok(found);
    }
    let (path, stated) = (path.to_owned(), stated.to_owned());
    Err(LoadError::Digest {
        path,
        found,
        stated,
    })
}

/// Writes verified bytes, whose digest is `sha256`, into a private directory under `cache_dir`.
pub(crate) fn store_private(
    bytes: Vec<u8>,
    sha256: String,
    cache_dir: &Path,
    generation: u64,
) -> Result<PrivateCopy, LoadError> {
    let store = store(cache_dir)?;
    let name = format!("{}-{generation}.so", &sha256[..16]);
    let path = store.dir.join(name);
    write_new(&path, &bytes).map_err(|error| LoadError::io("write", &path, error))?;
    Ok(PrivateCopy {
        path,
        bytes,
        sha256,
    })
}

/// SHA-256 as a manifest states it: 64 lower-case hexadecimal digits.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o500);
    options.open(path)?.write_all(bytes)
}

/// The private directory of this process under `cache_dir`, made on first use.
fn store(cache_dir: &Path) -> Result<Arc<Store>, LoadError> {
    let mut stores = STORES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(store) = stores.get(cache_dir) {
        return Ok(Arc::clone(store));
    }
    make_cache_dir(cache_dir)
        .map_err(|error| LoadError::io("use the cache directory", cache_dir, error))?;
    sweep(cache_dir);
    // A worker has another working directory, so the copies go by their full names.
    let full = std::path::absolute(cache_dir)
        .map_err(|error| LoadError::io("find the cache directory", cache_dir, error))?;
    let store = Arc::new(
        make_store(&full)
            .map_err(|error| LoadError::io("make a private directory in", cache_dir, error))?,
    );
    stores.insert(cache_dir.to_owned(), Arc::clone(&store));
    Ok(store)
}

/// Makes the cache directory for the owner alone, or takes one in which nobody can exchange what
/// another user wrote.
fn make_cache_dir(dir: &Path) -> io::Result<()> {
    if let Some(parent) = dir.parent() {
        fs::create_dir_all(parent)?;
    }
    match private_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {}
        other => return other,
    }
    #[cfg(unix)]
    {
        const OTHERS_WRITE: u32 = 0o002;
        const STICKY: u32 = 0o1000;
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(dir)?.permissions());
        if mode & OTHERS_WRITE != 0 && mode & STICKY == 0 {
            return Err(io::Error::other(
                "everybody may exchange files in it; take the right to write from others \
                 (chmod o-w) or name another directory as `engine.cache_dir`",
            ));
        }
    }
    Ok(())
}

fn private_dir(dir: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

/// Makes a locked directory under a hidden name and then moves it to its visible one, so that a
/// sweep never sees it unlocked.
fn make_store(cache_dir: &Path) -> io::Result<Store> {
    let process = std::process::id();
    for attempt in 0_u32..10_000 {
        let hidden = cache_dir.join(format!(".new-{process}-{attempt}"));
        let dir = cache_dir.join(format!("process-{process}-{attempt}"));
        if dir.exists() {
            continue;
        }
        match private_dir(&hidden) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(error),
        }
        let lock = File::create_new(hidden.join(LOCK_FILE))?;
        lock.lock()?;
        fs::rename(&hidden, &dir)?;
        return Ok(Store { dir, _lock: lock });
    }
    Err(io::Error::other("no free name for a private directory"))
}

/// Removes the private directories whose process is gone, which its lock tells. What cannot be
/// removed stays; it only takes room.
fn sweep(cache_dir: &Path) {
    for entry in fs::read_dir(cache_dir)
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
    {
        if !entry.file_name().to_string_lossy().starts_with("process-") {
            continue;
        }
        let is_abandoned =
            File::open(entry.path().join(LOCK_FILE)).is_ok_and(|lock| lock.try_lock().is_ok());
        if is_abandoned && let Err(error) = fs::remove_dir_all(entry.path()) {
            tracing::debug!(path = %entry.path().display(), %error, "an old copy stays");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_copy_has_a_name_of_its_own_and_the_verified_content() {
        let dir = tempfile::tempdir().unwrap();
        let (source, cache) = (dir.path().join("lib.so"), dir.path().join("cache"));
        fs::write(&source, b"one").unwrap();
        let digest = sha256_hex(b"one");
        let first = private_copy(&source, &digest, &cache, 1).unwrap();
        let second = private_copy(&source, &digest, &cache, 2).unwrap();
        assert_ne!(first.path, second.path);
        assert_eq!(fs::read(&second.path).unwrap(), b"one");
        fs::write(&source, b"two").unwrap();
        let error = private_copy(&source, &digest, &cache, 3).unwrap_err();
        assert!(error.to_string().contains("the manifest states"), "{error}");
        assert_eq!(
            fs::read(&first.path).unwrap(),
            b"one",
            "a copy never changes"
        );
    }

    #[cfg(unix)]
    #[test]
    fn copies_are_for_the_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let (source, cache) = (dir.path().join("lib.so"), dir.path().join("cache"));
        fs::write(&source, b"one").unwrap();
        let copy = private_copy(&source, &sha256_hex(b"one"), &cache, 1).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&copy.path), 0o500);
        assert_eq!(mode(copy.path.parent().unwrap()), 0o700);
        assert_eq!(mode(&cache), 0o700);

        let shared = dir.path().join("shared");
        fs::create_dir(&shared).unwrap();
        let open_to_all = |mode| {
            fs::set_permissions(&shared, fs::Permissions::from_mode(mode)).unwrap();
            private_copy(&source, &sha256_hex(b"one"), &shared, 2)
        };
        let error = open_to_all(0o777).unwrap_err().to_string();
        assert!(error.contains("engine.cache_dir"), "{error}");
        open_to_all(0o1777).unwrap();
    }

    #[test]
    fn a_sweep_takes_the_dead_and_leaves_the_living() {
        let dir = tempfile::tempdir().unwrap();
        let (dead, living) = (
            dir.path().join("process-1-0"),
            dir.path().join("process-2-0"),
        );
        for path in [&dead, &living] {
            fs::create_dir(path).unwrap();
            fs::write(path.join(LOCK_FILE), b"").unwrap();
        }
        let held = File::open(living.join(LOCK_FILE)).unwrap();
        held.lock().unwrap();
        sweep(dir.path());
        assert!(!dead.exists());
        assert!(living.exists());
    }
}
