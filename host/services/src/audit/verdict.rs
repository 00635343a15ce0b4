//! The stored result of an audit, by the digest of what was audited, so that whoever promotes a
//! model can ask whether its features passed.
//!
//! The file is `<state_dir>/audits/<digest>.json`. The digest is that of the feature set, which a
//! model's features file names, or that of what a command ran (see [`super::Program`]).

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use fusebox_engine::features::audit::AuditReport;
use fusebox_engine::types::{Market, TimeFrame, Timestamp};
use serde::{Deserialize, Serialize};

use super::program::Program;
use crate::data::atomic::write_atomically;
use crate::training::AuditedStep;

/// Layout of the file.
const FORMAT: u32 = 1;

/// What was audited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Subject {
    /// A feature set of ours.
    FeatureSet {
        /// Digest of the set.
        sha256: String,
    },
    /// A program.
    Command(Program),
    /// A program that is fitted, on rows of one of the others. It is no part of any model here, so
    /// its verdict stands for itself.
    Step {
        /// Digest of what made the rows.
        rows: String,
        /// What is fitted.
        program: Program,
        /// Digest of both.
        sha256: String,
    },
}

impl Subject {
    /// Its digest, 64 hexadecimal digits.
    #[must_use]
    pub fn sha256(&self) -> &str {
        match self {
            Self::FeatureSet { sha256 } | Self::Step { sha256, .. } => sha256,
            Self::Command(program) => &program.sha256,
        }
    }
}

/// The bars that the audit was made on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditedBars {
    /// Length of the bars.
    pub time_frame: TimeFrame,
    /// The symbols.
    pub symbols: Vec<String>,
    /// When the first bar opens.
    pub from: Option<Timestamp>,
    /// When the last bar closes.
    pub to: Option<Timestamp>,
}

impl AuditedBars {
    /// Those of `market`.
    #[must_use]
    pub fn of(market: &Market) -> Self {
        let series = || market.series().iter();
        let first = series().filter_map(|one| one.bars.first().map(|bar| bar.opened_at));
        let last = series().filter_map(|one| one.bars.last().map(|bar| bar.closed_at));
        Self {
            time_frame: market.time_frame(),
            symbols: market.names().map(str::to_owned).collect(),
            from: first.min(),
            to: last.max(),
        }
    }
}

/// The stored result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// Layout of the file, 1.
    pub format: u32,
    /// What was audited.
    pub subject: Subject,
    /// Whether nothing was found.
    pub passed: bool,
    /// The seed of every random choice.
    pub seed: u64,
    /// When it was made.
    pub audited_at: Timestamp,
    /// Version of Fusebox.
    pub fusebox_version: String,
    /// On what.
    pub bars: AuditedBars,
    /// Steps that are fitted, whose scope was looked at as well.
    pub fitted_steps: Vec<AuditedStep>,
    /// What was done and found.
    pub report: AuditReport,
}

/// What whoever promotes a model has to know of a stored verdict.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct StoredVerdict {
    format: u32,
    subject: StoredSubject,
    #[serde(default)]
    fusebox_version: String,
    /// Whether nothing was found.
    pub passed: bool,
    /// When it was made; absent in verdicts that do not say.
    #[serde(default)]
    pub audited_at: Option<Timestamp>,
    /// Steps whose fit scope was looked at.
    #[serde(default)]
    pub fitted_steps: Vec<AuditedStep>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct StoredSubject {
    sha256: String,
}

/// Why a verdict cannot be stored or asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerdictError {
    /// The file system refuses.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
    /// The file is none.
    #[error("{path} is not the verdict of an audit; run `fusebox features audit` again")]
    Form {
        /// The file.
        path: PathBuf,
    },
}

impl Verdict {
    /// The verdict that `report` is.
    #[must_use]
    pub fn new(
        subject: Subject,
        report: AuditReport,
        bars: AuditedBars,
        (seed, audited_at): (u64, Timestamp),
    ) -> Self {
        Self {
            format: FORMAT,
            subject,
            passed: report.passed(),
            seed,
            audited_at,
            fusebox_version: env!("CARGO_PKG_VERSION").to_owned(),
            bars,
            fitted_steps: Vec::new(),
            report,
        }
    }

    /// The same with the fitted steps that were looked at.
    #[must_use]
    pub fn with_steps(mut self, steps: Vec<AuditedStep>) -> Self {
        self.fitted_steps = steps;
        self
    }

    /// The file of the verdict on what has this digest.
    #[must_use]
    pub fn path(state_dir: &Path, sha256: &str) -> PathBuf {
        state_dir.join("audits").join(format!("{sha256}.json"))
    }

    /// Stores the verdict in place of an older one on the same subject. Where both passed, by the
    /// same version, the steps that the older one looked at stay looked at: pipelines that differ
    /// in their scaler alone have the same features.
    ///
    /// # Errors
    /// [`VerdictError::Io`]; an older verdict is then still there.
    pub fn store(&self, state_dir: &Path) -> Result<PathBuf, VerdictError> {
        let path = Self::path(state_dir, self.subject.sha256());
        let folder = path.parent().unwrap_or(state_dir);
        let whole = self.clone().with_steps(self.steps_with_earlier(state_dir));
        let written = fs::create_dir_all(folder).and_then(|()| {
            write_atomically(&path, |file| -> io::Result<()> {
                serde_json::to_writer_pretty(&mut *file, &whole)?;
                file.write_all(b"\n")
            })
        });
        match written {
            Ok(()) => Ok(path),
            Err(source) => Err(VerdictError::Io { path, source }),
        }
    }

    fn steps_with_earlier(&self, state_dir: &Path) -> Vec<AuditedStep> {
        let mut steps = self.fitted_steps.clone();
        let earlier = Self::stored(state_dir, self.subject.sha256())
            .ok()
            .flatten();
        let counts = |one: &StoredVerdict| {
            self.passed && one.passed && one.fusebox_version == self.fusebox_version
        };
        for step in earlier
            .filter(counts)
            .into_iter()
            .flat_map(|one| one.fitted_steps)
        {
            let is_there = |one: &AuditedStep| one.name == step.name && one.kind == step.kind;
            if !steps.iter().any(is_there) {
                steps.push(step);
            }
        }
        steps
    }

    /// The last verdict on what has this digest; `None` where there never was one.
    ///
    /// # Errors
    /// [`VerdictError`] where the file is there and cannot be read.
    pub fn stored(state_dir: &Path, sha256: &str) -> Result<Option<StoredVerdict>, VerdictError> {
        let path = Self::path(state_dir, sha256);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(VerdictError::Io { path, source }),
        };
        let stored: Option<StoredVerdict> = serde_json::from_slice(&bytes).ok();
        let is_of_subject =
            |one: &StoredVerdict| one.format == FORMAT && one.subject.sha256 == sha256;
        match stored.filter(is_of_subject) {
            Some(stored) => Ok(Some(stored)),
            None => Err(VerdictError::Form { path }),
        }
    }

    /// Whether what has this digest passed its last audit; `None` where it never had one.
    ///
    /// # Errors
    /// [`VerdictError`] where the file is there and cannot be read.
    pub fn passed(state_dir: &Path, sha256: &str) -> Result<Option<bool>, VerdictError> {
        Ok(Self::stored(state_dir, sha256)?.map(|stored| stored.passed))
    }
}
