//! Versions of models: what each is made of, and where it came from.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::objects::{digest_of, is_digest};
use super::{MODELS, Registry, RegistryError, files_below, io_error};
use crate::training::ModelCard;

const KIND: &str = "fusebox-model";
const FORMAT: u32 = 1;
const LONGEST_NAME: usize = 64;

/// What a file of a model is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The artifact.
    Model,
    /// What it was trained on.
    Features,
    /// The scaler of its rows.
    Scaler,
    /// How its answers are read.
    Readout,
    /// Some of its answers.
    Golden,
    /// The card for programs.
    Card,
    /// The card for people.
    CardText,
}

impl Role {
    /// Every role with the extension of its file beside an artifact.
    pub const ALL: [(Self, &'static str); 7] = [
        (Self::Model, "model"),
        (Self::Features, "features.json"),
        (Self::Scaler, "scaler.json"),
        (Self::Readout, "readout.json"),
        (Self::Golden, "golden.json"),
        (Self::Card, "card.json"),
        (Self::CardText, "card.md"),
    ];
}

/// A model to be added.
#[derive(Debug, Clone)]
pub struct NewModel {
    /// Its name.
    pub name: String,
    /// The time, in seconds since 1970.
    pub created_at_unix_s: u64,
    /// Where it came from, such as a run directory.
    pub from: String,
    /// Its files.
    pub files: Vec<(Role, Vec<u8>)>,
}

/// A version of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    kind: String,
    format: u32,
    /// Name of the model.
    pub name: String,
    /// Three numbers.
    pub version: String,
    /// SHA-256 over the roles and digests of its files: what this version is.
    pub digest: String,
    /// When it was added, in seconds since 1970.
    pub created_at_unix_s: u64,
    /// Where it came from.
    pub from: String,
    /// Its files.
    pub files: Vec<EntryFile>,
}

/// A file of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntryFile {
    /// What it is.
    pub role: Role,
    /// SHA-256 of its bytes: the name of its object.
    pub sha256: String,
    /// Size.
    pub bytes: u64,
}

impl EntryFile {
    pub(super) fn of(role: Role, bytes: &[u8]) -> Self {
        Self {
            role,
            sha256: digest_of(bytes),
            bytes: bytes.len() as u64,
        }
    }
}

impl Entry {
    pub(super) fn new(
        model: &NewModel,
        (version, digest): (String, String),
        files: Vec<EntryFile>,
    ) -> Self {
        Self {
            kind: KIND.to_owned(),
            format: FORMAT,
            name: model.name.clone(),
            version,
            digest,
            created_at_unix_s: model.created_at_unix_s,
            from: model.from.clone(),
            files,
        }
    }

    /// The file of this role.
    #[must_use]
    pub fn file(&self, role: Role) -> Option<&EntryFile> {
        self.files.iter().find(|file| file.role == role)
    }

    /// Name and version.
    #[must_use]
    pub fn title(&self) -> String {
        format!("{} {}", self.name, self.version)
    }

    /// Everything that is wrong with it by itself.
    fn problems(&self, path: &Path) -> Vec<String> {
        let mut problems = Vec::new();
        if self.kind != KIND || self.format != FORMAT {
            problems.push(format!("it is not a {KIND} of format {FORMAT}"));
        }
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let folder = path.parent().and_then(Path::file_name).unwrap_or_default();
        if stem != self.version || folder.to_string_lossy() != self.name {
            problems.push(format!("it says that it is {}", self.title()));
        }
        if self.file(Role::Model).is_none() || self.file(Role::Card).is_none() {
            problems.push("it has no model or no card".to_owned());
        }
        if !self.files.iter().all(|file| is_digest(&file.sha256)) {
            problems.push("one of its digests is none".to_owned());
        }
        if self.digest != digest(&self.files) {
            problems.push("its files are not those that its digest is of".to_owned());
        }
        problems
    }
}

impl Registry {
    /// Every version of every model, by name and version.
    ///
    /// # Errors
    /// [`RegistryError::Damaged`] for the first version that cannot be read.
    pub fn list(&self) -> Result<Vec<Entry>, RegistryError> {
        let paths = self.entry_paths()?;
        let mut entries: Vec<Entry> = paths
            .iter()
            .map(|path| read_entry(path))
            .collect::<Result<_, _>>()?;
        entries.sort_by(|a, b| {
            let by_version = || numbers(&a.version).cmp(&numbers(&b.version));
            a.name.cmp(&b.name).then_with(by_version)
        });
        Ok(entries)
    }

    /// A version of a model, or its latest one.
    ///
    /// # Errors
    /// [`RegistryError::Unknown`] with the nearest name or the versions that there are.
    pub fn find(&self, name: &str, version: Option<&str>) -> Result<Entry, RegistryError> {
        check_name(name)?;
        if let Some(version) = version.filter(|version| numbers(version).is_none()) {
            return Err(RegistryError::Version(version.to_owned()));
        }
        let versions = self.versions(name)?;
        let found = match version {
            None => versions.last(),
            Some(version) => versions.iter().find(|entry| entry.version == version),
        };
        if let Some(found) = found {
            return Ok(found.clone());
        }
        Err(RegistryError::Unknown(match versions.is_empty() {
            true => self.unknown_name(name)?,
            false => {
                let versions: Vec<&str> = versions.iter().map(|one| one.version.as_str()).collect();
                let version = version.unwrap_or_default();
                format!(
                    "`{name}` has no version {version}; there are: {}",
                    versions.join(", ")
                )
            }
        }))
    }

    /// The card of a version.
    ///
    /// # Errors
    /// [`RegistryError`] where the object is damaged or is no card.
    pub fn card(&self, entry: &Entry) -> Result<ModelCard, RegistryError> {
        let bytes = self.read(entry, Role::Card)?.unwrap_or_default();
        serde_json::from_slice(&bytes).map_err(|error| RegistryError::Damaged {
            path: self.entry_path(&entry.name, &entry.version),
            message: format!("its card does not read: {error}"),
        })
    }

    /// The versions of a model, the latest last.
    pub(super) fn versions(&self, name: &str) -> Result<Vec<Entry>, RegistryError> {
        let all = self.list()?.into_iter();
        Ok(all.filter(|entry| entry.name == name).collect())
    }

    pub(super) fn entry_path(&self, name: &str, version: &str) -> PathBuf {
        let folder = self.root().join(MODELS).join(name);
        folder.join(format!("{version}.json"))
    }

    /// Every file that is a version by its place. Hidden ones are those of writers at work.
    pub(super) fn entry_paths(&self) -> Result<Vec<PathBuf>, RegistryError> {
        let is_entry = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.strip_suffix(".json")
                .is_some_and(|version| numbers(version).is_some())
        };
        let mut paths = files_below(&self.root().join(MODELS))?;
        paths.retain(is_entry);
        Ok(paths)
    }

    fn unknown_name(&self, name: &str) -> Result<String, RegistryError> {
        let mut names: Vec<String> = self.list()?.into_iter().map(|entry| entry.name).collect();
        names.dedup();
        let known: Vec<&str> = names.iter().map(String::as_str).collect();
        let hint = match fusebox_plugin_api::config::nearest(name, &known) {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.is_empty() => "the registry is empty".to_owned(),
            None => "`fusebox model list` shows them".to_owned(),
        };
        Ok(format!("no model is called `{name}`; {hint}"))
    }
}

/// Reads a version.
pub(super) fn read_entry(path: &Path) -> Result<Entry, RegistryError> {
    let text = fs::read(path).map_err(|source: io::Error| io_error("read", path, source))?;
    let damaged = |message: String| RegistryError::Damaged {
        path: path.to_owned(),
        message,
    };
    let entry: Entry = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
    let problems = entry.problems(path);
    match problems.is_empty() {
        true => Ok(entry),
        false => Err(damaged(problems.join("; "))),
    }
}

/// What a version is: its roles and the digests of their bytes.
pub(super) fn digest(files: &[EntryFile]) -> String {
    let mut sorted: Vec<&EntryFile> = files.iter().collect();
    sorted.sort_by_key(|file| file.role);
    let lines: Vec<String> = sorted
        .iter()
        .map(|file| format!("{:?} {}\n", file.role, file.sha256))
        .collect();
    digest_of(lines.concat().as_bytes())
}

pub(super) fn check_name(name: &str) -> Result<(), RegistryError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let starts = name
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphanumeric());
    match starts && name.len() <= LONGEST_NAME && name.bytes().all(is_plain) {
        true => Ok(()),
        false => Err(RegistryError::Name(name.to_owned())),
    }
}

/// The three numbers of a version, written the one way.
pub(super) fn numbers(version: &str) -> Option<[u64; 3]> {
    let parts: Option<Vec<u64>> = version.split('.').map(|part| part.parse().ok()).collect();
    let numbers: [u64; 3] = parts?.try_into().ok()?;
    let [major, minor, patch] = numbers;
    (format!("{major}.{minor}.{patch}") == version).then_some(numbers)
}

/// The version after the latest one: its last number raised, or 1.0.0.
pub(super) fn next_version(latest: Option<&str>) -> String {
    match latest.and_then(numbers) {
        Some([major, minor, patch]) => format!("{major}.{minor}.{}", patch + 1),
        None => "1.0.0".to_owned(),
    }
}

impl NewModel {
    /// The final model of a run, with its card and everything beside it.
    ///
    /// # Errors
    /// [`RegistryError::Io`] where a file cannot be read.
    pub fn of_run(run: &Path, name: &str, created_at_unix_s: u64) -> Result<Self, RegistryError> {
        let artifact = run.join(crate::training::FINAL_MODEL);
        let mut files = Vec::new();
        for (role, extension) in Role::ALL {
            let path = match role {
                Role::Card => run.join(crate::training::CARD_FILE),
                Role::CardText => run.join(crate::training::CARD_TEXT_FILE),
                _ => artifact.with_extension(extension),
            };
            match fs::read(&path) {
                Ok(bytes) => files.push((role, bytes)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(io_error("read", &path, source)),
            }
        }
        Ok(Self {
            name: name.to_owned(),
            created_at_unix_s,
            from: run.display().to_string(),
            files,
        })
    }
}
