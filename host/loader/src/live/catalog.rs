//! What lies in the plugin and model directories, by its commit markers alone.
//!
//! Only committed packages are in it: a directory without its marker is not there yet. The content
//! of the marker (and of its signature) is the fingerprint of a package, because the marker names
//! the digest of everything else.

use std::fs;
use std::path::{Path, PathBuf};

use super::choose::{code_of, weights_of};
use super::facts::Generation;
use super::model_package::{MODEL_FILE, ModelManifest};
use crate::generation::sha256_hex;
use crate::manifest::{MANIFEST_FILE, is_passed_over, version_numbers};

/// A marker larger than this is no marker.
const MAX_MARKER_BYTES: u64 = 1 << 20;

/// A committed package.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Id of the plugin, or name of the model.
    pub name: String,
    /// Its version, as text and as numbers.
    pub version: String,
    /// The version, comparable.
    pub numbers: [u64; 3],
    /// Its directory.
    pub path: PathBuf,
    /// Identifies its content.
    pub fingerprint: String,
}

/// A committed model package.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundModel {
    /// Where and what.
    pub found: Found,
    /// Its `model.toml`; `None` where it is not usable.
    pub manifest: Option<ModelManifest>,
    /// Why it is not usable, in words; `None` where it is.
    pub problem: Option<String>,
}

/// Everything that was found.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Catalog {
    /// Plugins.
    pub plugins: Vec<Found>,
    /// Model packages.
    pub models: Vec<FoundModel>,
}

impl Catalog {
    /// Looks into the directories. Of equal packages the first directory's is taken.
    #[must_use]
    pub fn read(plugin_dirs: &[PathBuf], model_dirs: &[PathBuf]) -> Self {
        let models = packages(model_dirs, MODEL_FILE).into_iter().map(|found| {
            let (manifest, problem) = match ModelManifest::read(&found.path) {
                Ok(manifest) => (Some(manifest), None),
                Err(error) => (None, Some(error.to_string())),
            };
            FoundModel {
                found,
                manifest,
                problem,
            }
        });
        Self {
            plugins: packages(plugin_dirs, MANIFEST_FILE),
            models: models.collect(),
        }
    }

    /// What is below a live generation: model packages with a lower version, where it has one, with
    /// plugins that are not newer; else plugins with a lower version.
    #[must_use]
    pub fn below(&self, live: &Generation) -> Self {
        let mut lower = self.clone();
        let plugin = version_numbers(live.version());
        match &live.weights {
            Some(weights) => {
                let model = version_numbers(&weights.version);
                lower.models.retain(|one| Some(one.found.numbers) < model);
                lower.plugins.retain(|one| Some(one.numbers) <= plugin);
            }
            None => lower.plugins.retain(|one| Some(one.numbers) < plugin),
        }
        lower
    }

    /// What is below the code of a live generation: plugins with a lower version, and the model
    /// packages that it could take over with.
    #[must_use]
    pub fn below_code(&self, live: &Generation) -> Self {
        let mut lower = self.clone();
        let plugin = version_numbers(live.version());
        lower.plugins.retain(|one| Some(one.numbers) < plugin);
        if let Some(weights) = &live.weights {
            let model = version_numbers(&weights.version);
            lower.models.retain(|one| Some(one.found.numbers) <= model);
        }
        lower
    }

    /// Keeps what this fingerprint is made of.
    pub fn keep_only(&mut self, fingerprint: &str) {
        let (plugin, model) = (code_of(fingerprint), weights_of(fingerprint));
        self.plugins.retain(|one| one.fingerprint == plugin);
        self.models
            .retain(|one| Some(one.found.fingerprint.as_str()) == model);
    }

    /// Model packages that cannot be used, with why, and that were the same when `before` was read:
    /// nobody is about to finish them.
    pub fn unusable_since<'a>(
        &'a self,
        before: &'a Self,
    ) -> impl Iterator<Item = (&'a Found, &'a str)> {
        self.models.iter().filter_map(|one| {
            let words = one.problem.as_deref()?;
            let was_there = before.models.iter().any(|other| other.found == one.found);
            was_there.then_some((&one.found, words))
        })
    }

    /// The packages of `before` whose directory is gone.
    #[must_use]
    pub fn removed_since<'a>(&self, before: &'a Self) -> Vec<&'a Found> {
        let is_here = |found: &Found| {
            let mut all = self
                .plugins
                .iter()
                .chain(self.models.iter().map(|one| &one.found));
            all.any(|one| one.path == found.path)
        };
        let all = before
            .plugins
            .iter()
            .chain(before.models.iter().map(|one| &one.found));
        all.filter(|found| !is_here(found)).collect()
    }
}

fn packages(dirs: &[PathBuf], marker: &str) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    for dir in dirs {
        for (name, path) in folders(dir) {
            for (version, path) in folders(&path) {
                let Some(numbers) = version_numbers(&version) else {
                    continue;
                };
                let is_known = |one: &Found| one.name == name && one.numbers == numbers;
                if found.iter().any(is_known) {
                    continue;
                }
                if let Some(fingerprint) = fingerprint(&path.join(marker)) {
                    found.push(Found {
                        name: name.clone(),
                        version,
                        numbers,
                        path,
                        fingerprint,
                    });
                }
            }
        }
    }
    found.sort_by(|a, b| (&a.name, a.numbers).cmp(&(&b.name, b.numbers)));
    found
}

fn folders(dir: &Path) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    let mut folders: Vec<(String, PathBuf)> = entries
        .map(|entry| {
            (
                entry.file_name().to_string_lossy().into_owned(),
                entry.path(),
            )
        })
        .filter(|(name, path)| !is_passed_over(name) && path.is_dir())
        .collect();
    folders.sort();
    folders
}

/// Identifies a committed package by its marker; `None` where it is not committed.
fn fingerprint(marker: &Path) -> Option<String> {
    let len = fs::metadata(marker).ok()?.len();
    if len > MAX_MARKER_BYTES {
        // Not worth reading; loading says what is wrong with it.
        return Some(sha256_hex(len.to_string().as_bytes()));
    }
    let mut bytes = fs::read(marker).ok()?;
    let mut signature = marker.as_os_str().to_owned();
    signature.push(".minisig");
    let is_small = fs::metadata(&signature).is_ok_and(|facts| facts.len() <= MAX_MARKER_BYTES);
    if is_small && let Ok(mut signed) = fs::read(&signature) {
        bytes.push(0);
        bytes.append(&mut signed);
    }
    Some(sha256_hex(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::replace_file;

    #[test]
    fn a_package_that_cannot_be_read_is_told_once_nobody_writes_to_it() {
        let root = tempfile::tempdir().unwrap();
        let marker = root.path().join("btc/1.0.0/model.toml");
        replace_file(&marker, b"").unwrap();
        let read = || Catalog::read(&[], &[root.path().to_owned()]);
        let first = read();
        assert_eq!(first.unusable_since(&Catalog::default()).count(), 0);
        let again = read();
        let told: Vec<&str> = again.unusable_since(&first).map(|one| one.1).collect();
        assert!(
            told.len() == 1 && told[0].contains("model.toml"),
            "{told:?}"
        );
        // One that changed meanwhile is being written.
        replace_file(&marker, b"model = 1").unwrap();
        assert_eq!(read().unusable_since(&again).count(), 0);
    }

    #[test]
    fn only_committed_packages_with_proper_names_are_found() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path();
        for path in [
            "a.b/1.10.0/plugin.toml",
            "a.b/1.9.0/plugin.toml",
            "a.b/1.11.0/.plugin.toml.1.tmp",
            "a.b/1.12.0.tmp/plugin.toml",
            "a.b/latest/plugin.toml",
            ".c.d/1.0.0/plugin.toml",
        ] {
            replace_file(&dir.join(path), b"x").unwrap();
        }
        let catalog = Catalog::read(&[dir.to_owned(), dir.join("absent")], &[]);
        let versions: Vec<&str> = catalog
            .plugins
            .iter()
            .map(|one| one.version.as_str())
            .collect();
        assert_eq!(versions, ["1.9.0", "1.10.0"]);
        replace_file(&dir.join("a.b/1.9.0/plugin.toml.minisig"), b"signed").unwrap();
        fs::remove_dir_all(dir.join("a.b/1.10.0")).unwrap();
        let later = Catalog::read(&[dir.to_owned()], &[]);
        assert_ne!(later.plugins[0].fingerprint, catalog.plugins[0].fingerprint);
        let removed = later.removed_since(&catalog);
        assert_eq!(removed.len(), 1);
        assert_eq!(removed[0].version, "1.10.0");
    }
}
