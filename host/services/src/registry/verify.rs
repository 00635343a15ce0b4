//! Everything in a registry that is damaged, missing or should not be there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde::Serialize;

use super::entry::{Entry, EntryFile, Role, read_entry};
use super::objects::digest_of;
use super::{ABOUT_FILE, LOCK_FILE, Registry, RegistryError, files_below};
use crate::training::ModelFeatures;

/// What is wrong with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// Its bytes are not those that it should have.
    Damaged,
    /// It is not there.
    Missing,
    /// Nobody needs it.
    Extra,
    /// Files of one version contradict each other.
    Contradiction,
    /// The model cannot be loaded, or answers something else.
    Unusable,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What.
    pub kind: FindingKind,
    /// The file, relative to the registry.
    pub path: String,
    /// The models that need it, each name and version.
    pub models: Vec<String>,
    /// What is wrong and what to do.
    pub message: String,
}

impl Registry {
    /// Reads every file and hashes every object. Answers all versions that can be read, and
    /// everything that is wrong.
    ///
    /// # Errors
    /// [`RegistryError`] where directories cannot be read.
    pub fn verify(&self) -> Result<(Vec<Entry>, Vec<Finding>), RegistryError> {
        let (mut entries, mut findings) = (Vec::new(), Vec::new());
        let mut known: BTreeSet<_> = [ABOUT_FILE, LOCK_FILE]
            .map(|name| self.root().join(name))
            .into();
        for path in self.entry_paths()? {
            match read_entry(&path) {
                Ok(entry) => entries.push(entry),
                Err(RegistryError::Damaged { message, .. }) => {
                    let message = format!(
                        "{message}; restore this file, or remove it and train again: until then \
                         nobody knows which objects it needs, and none is removed"
                    );
                    findings.push(self.finding((FindingKind::Damaged, &path), &[], message));
                }
                Err(error) => return Err(error),
            }
            known.insert(path);
        }
        let is_all_read = findings.is_empty();
        let mut needed: BTreeMap<&str, (&EntryFile, Vec<String>)> = BTreeMap::new();
        for entry in &entries {
            for file in &entry.files {
                let place = needed.entry(&file.sha256).or_insert((file, Vec::new()));
                place.1.push(entry.title());
            }
        }
        for (sha256, (file, models)) in &needed {
            let path = self.object_path(sha256);
            findings.extend(self.check_object(&path, (file, models)));
            known.insert(path);
        }
        for path in files_below(self.root())? {
            // What a version needs is not known while it cannot be read.
            let may_be_needed = !is_all_read && self.object_name(&path).is_some();
            if !known.contains(&path) && !may_be_needed {
                let message = match is_all_read {
                    true => "no version needs it; `fusebox model gc` removes objects",
                    false => "no version can need it; remove it by hand",
                };
                findings.push(self.finding((FindingKind::Extra, &path), &[], message.to_owned()));
            }
        }
        for entry in &entries {
            let path = self.entry_path(&entry.name, &entry.version);
            for message in self.contradictions(entry) {
                let title = [entry.title()];
                findings.push(self.finding((FindingKind::Contradiction, &path), &title, message));
            }
        }
        Ok((entries, findings))
    }

    fn check_object(
        &self,
        path: &Path,
        (file, models): (&EntryFile, &[String]),
    ) -> Option<Finding> {
        let train_again = "train again, or restore the file";
        match fs::read(path) {
            Err(error) => {
                let message = format!("it cannot be read: {error}; {train_again}");
                Some(self.finding((FindingKind::Missing, path), models, message))
            }
            Ok(bytes) if digest_of(&bytes) != file.sha256 => {
                let message = format!(
                    "its {} bytes have the sha256 {}; {train_again}",
                    bytes.len(),
                    digest_of(&bytes)
                );
                Some(self.finding((FindingKind::Damaged, path), models, message))
            }
            Ok(_) => None,
        }
    }

    /// What the files of a version say of each other. Those that cannot be read are told of
    /// elsewhere.
    fn contradictions(&self, entry: &Entry) -> Vec<String> {
        let mut told = Vec::new();
        let read = |role| self.read(entry, role).ok().flatten();
        let model = entry.file(Role::Model).map(|file| file.sha256.as_str());
        let card = read(Role::Card).and_then(|_| match self.card(entry) {
            Ok(card) => Some(card),
            Err(error) => {
                told.push(error.to_string());
                None
            }
        });
        let features = read(Role::Features);
        let features = features.map(|bytes| serde_json::from_slice::<ModelFeatures>(&bytes));
        if let Some(card) = &card
            && Some(card.model.sha256.as_str()) != model
        {
            told.push("its card is of another artifact".to_owned());
        }
        match (&card, features) {
            (_, Some(Err(error))) => told.push(format!("its features do not read: {error}")),
            (card, Some(Ok(features))) => {
                if Some(features.model_sha256.as_str()) != model {
                    told.push("its features are those of another artifact".to_owned());
                }
                if let Some(card) = card
                    && (card.features.sha256 != features.feature_set_sha256
                        || card.features.columns != features.features)
                {
                    told.push("its card and its features name different columns".to_owned());
                }
            }
            (_, None) => {}
        }
        told
    }

    /// A finding about a file.
    #[must_use]
    pub fn finding(
        &self,
        (kind, path): (FindingKind, &Path),
        models: &[String],
        message: String,
    ) -> Finding {
        let relative = path.strip_prefix(self.root()).unwrap_or(path);
        Finding {
            kind,
            path: relative.display().to_string(),
            models: models.to_vec(),
            message,
        }
    }
}
