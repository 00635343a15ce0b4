//! The gate before a model goes where it goes live: its features must have passed an audit.
//!
//! What counts is the stored verdict on what makes the rows of the model: its feature set, or, for
//! feature code in another language, the program as it is now. Where the model has a scaler, or a
//! readout that was fitted to returns, the scope of such a fit must have been part of that audit.
//! Nothing is audited here.

use std::path::Path;

use fusebox_engine::dataset::Scaler;
use fusebox_loader::live::{AuditState, PackedAudit};
use fusebox_services::audit::{Program, StoredVerdict, Verdict};
use fusebox_services::training::{ModelFeatures, ModelFiles, ModelReadout, kind_name};

use super::EngineSettings;
use crate::failure::Failure;

/// Most features that a message names one by one.
const NAMED_FEATURES: usize = 8;

/// A model that is to go live.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gated<'a> {
    /// What it was trained on, where that was kept.
    pub(crate) features: Option<&'a ModelFeatures>,
    /// Its scaler, as stored; empty where it has none.
    pub(crate) scaler: &'a [u8],
    /// Its readout, as stored; empty where its answers are read as they are.
    pub(crate) readout: &'a [u8],
    /// The program that makes its rows, where no feature set of ours does.
    pub(crate) program: Option<&'a Program>,
    /// Whether it may go on although nobody audited its features.
    pub(crate) allow_unaudited: bool,
}

impl<'a> Gated<'a> {
    /// A model as a run left it.
    pub(crate) fn of_files(files: &'a ModelFiles) -> Self {
        Self {
            features: files.features.as_ref(),
            scaler: &files.scaler,
            readout: &files.readout,
            program: None,
            allow_unaudited: false,
        }
    }
}

/// What a package records of the audit of a model's features.
///
/// # Errors
/// [`Failure::Refused`] where they failed their last audit, or never had one that counts and
/// nobody allowed that.
pub(crate) fn pass(gated: &Gated<'_>, settings: &EngineSettings) -> Result<PackedAudit, Failure> {
    let refuse = |words: String| Err(Failure::Refused(anyhow::anyhow!(words)));
    if gated.allow_unaudited && settings.require_audit {
        return refuse(
            "engine.live.require_audit does not let models go live without an audit; leave \
             --allow-unaudited out, or set it to false"
                .to_owned(),
        );
    }
    let unaudited = |words: String| match gated.allow_unaudited {
        true => Ok(PackedAudit {
            state: AuditState::Unaudited,
            sha256: None,
            audited_at: None,
        }),
        false => refuse(format!(
            "{words}; or add --allow-unaudited, which the package records"
        )),
    };
    let Some(digest) = digest_of(gated) else {
        return unaudited(
            "nothing says which features the model was trained on, so no audit vouches for it: \
             keep NAME.features.json of its run beside the artifact, or name the program that \
             makes its rows with --features-by"
                .to_owned(),
        );
    };
    let stored = Verdict::stored(&settings.state_dir, digest)
        .map_err(|error| Failure::Refused(error.into()))?;
    let Some(stored) = stored else {
        return unaudited(format!(
            "the features of the model ({}) were never audited here; run {} first",
            &digest[..12],
            command(gated)
        ));
    };
    if !stored.passed {
        return refuse(format!(
            "the features of the model failed their last audit ({}); mend them, audit them again \
             with {} and train anew",
            Verdict::path(&settings.state_dir, digest).display(),
            command(gated)
        ));
    }
    let missing = missing_steps(gated, &stored)?;
    if !missing.is_empty() {
        return unaudited(format!(
            "the features of the model passed their audit, but what was fitted beside the model \
             was no part of it: {}; run `fusebox features audit PIPELINE` with the pipeline (and \
             the --data and --set) that trained it first",
            missing.join("; ")
        ));
    }
    Ok(PackedAudit {
        state: AuditState::Passed,
        sha256: Some(digest.to_owned()),
        audited_at: stored.audited_at.map(|at| at.to_string()),
    })
}

fn digest_of<'a>(gated: &Gated<'a>) -> Option<&'a str> {
    match gated.program {
        Some(program) => Some(&program.sha256),
        None => gated.features.map(|one| one.feature_set_sha256.as_str()),
    }
}

/// What was fitted beside the model and the audit did not look at.
fn missing_steps(gated: &Gated<'_>, stored: &StoredVerdict) -> Result<Vec<String>, Failure> {
    let is_there = |name: &str, kind: Option<&str>| {
        let mut steps = stored.fitted_steps.iter().filter(|one| one.name == name);
        steps.any(|one| kind.is_none_or(|kind| one.kind == kind))
    };
    let unread = |words: String| Failure::Refused(anyhow::anyhow!(words));
    let mut missing = Vec::new();
    if !gated.scaler.is_empty() {
        let scaler: Scaler = serde_json::from_slice(gated.scaler)
            .map_err(|error| unread(format!("the scaler of the model cannot be read: {error}")))?;
        let kind = kind_name(scaler.kind());
        if !is_there("scaler", Some(kind)) {
            missing.push(format!("its scaler ({kind})"));
        }
    }
    if !gated.readout.is_empty() {
        let readout = ModelReadout::parse(gated.readout).map_err(unread)?;
        if readout.is_fitted() && !is_there("readout", None) {
            missing.push("its readout (the spread of the traded return)".to_owned());
        }
    }
    Ok(missing)
}

/// The audit that is wanted, to be typed.
fn command(gated: &Gated<'_>) -> String {
    if let Some(program) = gated.program {
        let sources = program.sources.iter();
        let sources: String = sources
            .map(|path| format!(" --source {}", shown(path)))
            .collect();
        return format!(
            "`fusebox features audit --command '{}'{sources}`",
            program.command
        );
    }
    let names = gated
        .features
        .map_or(&[][..], |features| &features.features);
    let has_fits = !gated.scaler.is_empty() || !gated.readout.is_empty();
    let is_short = !has_fits && (1..=NAMED_FEATURES).contains(&names.len());
    match is_short {
        true => format!("`fusebox features audit --features '{}'`", names.join("; ")),
        false => {
            "`fusebox features audit PIPELINE` with the pipeline (and the --data and --set) that \
                  trained it"
                .to_owned()
        }
    }
}

fn shown(path: &Path) -> String {
    format!("'{}'", path.display())
}
