//! What a training is of, value by value, so that what differs can be told.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use super::super::error::TrainingError;
use super::super::output::hex;
use super::super::prepare::Prepared;
use super::TrainJob;
use super::partial::Identity;

/// Settings of the machine, which no result depends on.
const OF_THE_MACHINE: [&str; 3] = ["engine", "run.threads", "data.dir"];

/// Refuses names that cannot be directories beside each other, all problems at once.
pub(super) fn check_names(jobs: &[TrainJob<'_>]) -> Result<(), TrainingError> {
    let mut problems = Vec::new();
    let mut seen = BTreeSet::new();
    for job in jobs {
        let name = job.spec.name.as_str();
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if !name.bytes().all(is_plain) || name.starts_with('.') || name.is_empty() {
            problems.push(format!(
                "`run.name` is `{name}`; it names a directory here, so use letters, digits, `-`, \
                 `_` and `.` only, and no `.` at the start"
            ));
        } else if !seen.insert(name) {
            problems.push(format!(
                "two pipelines have the `run.name` `{name}`; give each its own"
            ));
        }
    }
    match problems.is_empty() {
        true => Ok(()),
        false => Err(TrainingError::Config(problems)),
    }
}

/// The settings and the code of every pipeline.
pub(super) fn of_training(jobs: &[TrainJob<'_>]) -> Identity {
    let mut identity = Identity::new();
    let mut add = |key: String, value: String| {
        identity.insert(key, value);
    };
    add("fusebox".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    for (at, job) in (1..).zip(jobs) {
        let (spec, name) = (&job.spec, &job.spec.name);
        let position: u32 = at;
        add(format!("pipeline {position}"), name.clone());
        let plugin = job.plugin.identity();
        add(
            format!("{name}: plugin"),
            format!("{} {}", plugin.id, plugin.version),
        );
        add(format!("{name}: plugin sha256"), plugin.sha256);
        for (component, version) in &spec.provenance.versions {
            add(format!("{name}: version of {component}"), version.clone());
        }
        add(format!("{name}: seed"), spec.seed.to_string());
        let settings: toml::Table = spec.provenance.config_toml.parse().unwrap_or_default();
        if settings.is_empty() {
            let params = serde_json::to_string(&spec.model.params).unwrap_or_default();
            add(format!("{name}: params"), params);
        }
        flatten("", &toml::Value::Table(settings), &mut |key, value| {
            let is_own = |one: &str| key == one || key.starts_with(&format!("{one}."));
            if !OF_THE_MACHINE.iter().any(|one| is_own(one)) {
                add(format!("{name}: {key}"), value);
            }
        });
    }
    identity
}

/// The data of one pipeline, and what was made of it before any fit.
pub(super) fn of_inputs(prepared: &Prepared) -> Identity {
    let files = prepared.loaded.files.iter();
    let mut identity: Identity = files
        .map(|file| (format!("data file {}", file.path), file.sha256.clone()))
        .collect();
    let digest = prepared.features.digest().to_owned();
    identity.insert("digest of the features".to_owned(), digest);
    // Plain values, which JSON can always hold.
    let plan = serde_json::to_vec(&prepared.plan).unwrap_or_default();
    let plan = hex(&Sha256::digest(plan));
    identity.insert("digest of the folds".to_owned(), plan);
    identity
}

fn flatten(prefix: &str, value: &toml::Value, each: &mut dyn FnMut(&str, String)) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                let key = match prefix.is_empty() {
                    true => key.clone(),
                    false => format!("{prefix}.{key}"),
                };
                flatten(&key, value, each);
            }
        }
        value => each(prefix, value.to_string()),
    }
}
