//! The local registry of trained models: content-addressed objects, and names with versions that
//! point to them.
//!
//! ```text
//! .fusebox/registry/
//!   registry.json                   what this directory is
//!   objects/3f/9a…                  files, named by the SHA-256 of their bytes
//!   models/direction/1.0.2.json     a version: which objects it is made of
//!   .lock                           held while something is written
//! ```
//!
//! Everything is written beside its place, reaches the disk and takes its name in one step, objects
//! before the version that points to them. What was interrupted leaves the old state and at most
//! objects that nobody points to, which [`Registry::collect`] removes. Two processes may use one
//! registry at once: writers wait for each other, readers never see half of anything. An object
//! whose bytes are no longer those of its name is never handed out.
//!
//! | file | about |
//! |---|---|
//! | `entry` | versions and what they point to |
//! | `objects` | the files |
//! | `verify` | everything that is damaged, missing or should not be there |

mod entry;
mod objects;
#[cfg(test)]
mod tests;
mod verify;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use entry::{Entry, EntryFile, NewModel, Role};
pub use verify::{Finding, FindingKind};

use crate::data::atomic::write_atomically;

const ABOUT_FILE: &str = "registry.json";
const LOCK_FILE: &str = ".lock";
const OBJECTS: &str = "objects";
const MODELS: &str = "models";
const KIND: &str = "fusebox-registry";
const FORMAT: u32 = 1;

/// Why the registry cannot do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// There is none.
    #[error("there is no registry at {0}; `fusebox train` makes one, --registry names another")]
    Absent(PathBuf),
    /// Something else is there.
    #[error(
        "{0} is not a registry of models: it holds files and no {ABOUT_FILE}; set \
         engine.registry_dir to another directory"
    )]
    NotARegistry(PathBuf),
    /// Its layout is not known here.
    #[error("{path} has the format {found}, this version reads {FORMAT}; use a newer fusebox")]
    Format {
        /// The registry.
        path: PathBuf,
        /// What it says of itself.
        found: String,
    },
    /// A name that cannot be one.
    #[error(
        "`{0}` cannot name a model: use letters, digits, `-`, `_` and `.`, beginning with a letter \
         or a digit, 64 at most"
    )]
    Name(String),
    /// A version that cannot be one.
    #[error("`{0}` is no version; use three numbers, such as 1.0.0")]
    Version(String),
    /// No such model.
    #[error("{0}")]
    Unknown(String),
    /// A version is damaged.
    #[error("{path} is damaged: {message}; `fusebox model verify` tells what else is")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// The file system refused.
    #[error("cannot {doing} {path}: {source}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

#[derive(Debug, Serialize, Deserialize)]
struct About {
    kind: String,
    format: u32,
}

/// A registry that is there.
#[derive(Debug, Clone)]
pub struct Registry {
    root: PathBuf,
}

/// What [`Registry::collect`] removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Collected {
    /// Files.
    pub files: u64,
    /// Their size together.
    pub bytes: u64,
}

impl Registry {
    /// Opens the registry in `root`.
    ///
    /// # Errors
    /// [`RegistryError::Absent`] where there is none, [`RegistryError::NotARegistry`] where the
    /// directory is something else.
    pub fn open(root: &Path) -> Result<Self, RegistryError> {
        let path = root.join(ABOUT_FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(match is_empty(root) {
                    true => RegistryError::Absent(root.to_owned()),
                    false => RegistryError::NotARegistry(root.to_owned()),
                });
            }
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                return Err(RegistryError::NotARegistry(root.to_owned()));
            }
            Err(source) => return Err(io_error("read", &path, source)),
        };
        let about = serde_json::from_slice::<About>(&text);
        match about {
            Ok(about) if about.kind == KIND && about.format == FORMAT => Ok(Self {
                root: root.to_owned(),
            }),
            Ok(about) if about.kind == KIND => Err(RegistryError::Format {
                path,
                found: about.format.to_string(),
            }),
            _ => Err(RegistryError::NotARegistry(root.to_owned())),
        }
    }

    /// Opens the registry in `root`, or makes an empty one.
    ///
    /// # Errors
    /// As [`open`](Self::open), without [`RegistryError::Absent`].
    pub fn open_or_create(root: &Path) -> Result<Self, RegistryError> {
        match Self::open(root) {
            Err(RegistryError::Absent(_)) => {}
            opened => return opened,
        }
        for folder in [root.join(OBJECTS), root.join(MODELS)] {
            fs::create_dir_all(&folder).map_err(|source| io_error("make", &folder, source))?;
        }
        let about = About {
            kind: KIND.to_owned(),
            format: FORMAT,
        };
        let text = serde_json::to_vec_pretty(&about).unwrap_or_default();
        put(&root.join(ABOUT_FILE), &text)?;
        Self::open(root)
    }

    /// Where it is.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Adds a model as the next version of its name and answers it; `false` beside it where the
    /// latest version is this very model already, which is then answered and nothing is written.
    ///
    /// # Errors
    /// [`RegistryError`]; no version is added then.
    pub fn add(&self, model: &NewModel) -> Result<(Entry, bool), RegistryError> {
        entry::check_name(&model.name)?;
        let _lock = self.lock()?;
        let versions = self.versions(&model.name)?;
        let files = model.files.iter();
        let files: Vec<EntryFile> = files
            .map(|(role, bytes)| EntryFile::of(*role, bytes))
            .collect();
        let digest = entry::digest(&files);
        if let Some(latest) = versions.last()
            && latest.digest == digest
        {
            return Ok((latest.clone(), false));
        }
        for (_, bytes) in &model.files {
            self.put_object(bytes)?;
        }
        let next = entry::next_version(versions.last().map(|latest| latest.version.as_str()));
        let entry = Entry::new(model, (next, digest), files);
        let path = self.entry_path(&entry.name, &entry.version);
        let folder = path.parent().unwrap_or(&self.root);
        fs::create_dir_all(folder).map_err(|source| io_error("make", folder, source))?;
        let mut text = serde_json::to_vec_pretty(&entry).unwrap_or_default();
        text.push(b'\n');
        put(&path, &text)?;
        Ok((entry, true))
    }

    /// Removes a version. Its objects stay until [`collect`](Self::collect).
    ///
    /// # Errors
    /// [`RegistryError`]; the version is then still there.
    pub fn remove(&self, name: &str, version: &str) -> Result<Entry, RegistryError> {
        let _lock = self.lock()?;
        let entry = self.find(name, Some(version))?;
        let path = self.entry_path(name, version);
        fs::remove_file(&path).map_err(|source| io_error("remove", &path, source))?;
        if let Some(folder) = path.parent() {
            // Other versions keep it.
            let _ = fs::remove_dir(folder);
        }
        Ok(entry)
    }

    /// Removes objects that no version points to, and what interrupted writers left.
    ///
    /// # Errors
    /// [`RegistryError`], also where a version is damaged: what it points to is not known then.
    pub fn collect(&self) -> Result<Collected, RegistryError> {
        let _lock = self.lock()?;
        let kept: BTreeSet<String> = self
            .list()?
            .iter()
            .flat_map(|entry| entry.files.iter().map(|file| file.sha256.clone()))
            .collect();
        let mut collected = Collected::default();
        for path in files_below(&self.root.join(OBJECTS))? {
            let is_kept = self
                .object_name(&path)
                .is_some_and(|name| kept.contains(&name));
            if is_kept {
                continue;
            }
            let bytes = fs::metadata(&path).map_or(0, |found| found.len());
            fs::remove_file(&path).map_err(|source| io_error("remove", &path, source))?;
            collected.files += 1;
            collected.bytes += bytes;
        }
        Ok(collected)
    }

    fn lock(&self) -> Result<File, RegistryError> {
        let path = self.root.join(LOCK_FILE);
        let failed = |source| io_error("lock", &path, source);
        let file = File::create(&path).map_err(failed)?;
        file.lock().map_err(failed)?;
        Ok(file)
    }
}

fn is_empty(root: &Path) -> bool {
    match fs::read_dir(root) {
        Ok(mut entries) => entries.all(|entry| {
            // What another process is just making.
            let name = entry.map(|entry| entry.file_name().to_string_lossy().into_owned());
            name.is_ok_and(|name| name == OBJECTS || name == MODELS || name.starts_with('.'))
        }),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// Every file below a folder, in order; none where the folder is not there.
fn files_below(folder: &Path) -> Result<Vec<PathBuf>, RegistryError> {
    let mut found = Vec::new();
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        entries => entries.map_err(|source| io_error("read", folder, source))?,
    };
    for entry in entries {
        let path = entry
            .map_err(|source| io_error("read", folder, source))?
            .path();
        match path.is_dir() {
            true => found.extend(files_below(&path)?),
            false => found.push(path),
        }
    }
    found.sort();
    Ok(found)
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), RegistryError> {
    write_atomically(path, |file| file.write_all(bytes))
        .map_err(|source: io::Error| io_error("write", path, source))
}

fn io_error(doing: &'static str, path: &Path, source: io::Error) -> RegistryError {
    RegistryError::Io {
        doing,
        path: path.to_owned(),
        source,
    }
}
