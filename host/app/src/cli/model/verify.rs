//! `fusebox model verify`: every file of the registry, and every model asked again.

use clap::Args;
use fusebox_services::registry::{Entry, Finding, FindingKind, Role};
use serde_json::json;

use super::{RegistryArgs, failure, open};
use crate::cli::Context;
use crate::failure::Failure;
use crate::output::table;
use crate::wiring::models::ModelPlugins;

/// Check that every file is what it was, and that models still answer the same
#[derive(Debug, Args)]
#[command(after_help = "\
Every object is read and hashed; what is damaged, missing or needed by no version is told. Then each
model is loaded with the plugin that trained it and asked for its known answers, bit by bit.
The exit code is 1 where anything is wrong.

Examples:
  fusebox model verify
  fusebox model verify --files-only --json")]
pub(in crate::cli) struct VerifyArgs {
    /// Load no plugin; look at files only
    #[arg(long)]
    files_only: bool,
    #[command(flatten)]
    registry: RegistryArgs,
}

pub(super) fn run(args: &VerifyArgs, context: &Context) -> Result<(), Failure> {
    let (registry, settings) = open(&args.registry, context)?;
    let (entries, mut findings) = registry.verify().map_err(failure)?;
    let is_sound = |entry: &Entry, findings: &[Finding]| {
        let title = entry.title();
        !findings.iter().any(|one| one.models.contains(&title))
    };
    let mut loaded = 0_u64;
    if !args.files_only {
        let mut plugins = ModelPlugins::default();
        for entry in &entries {
            if !is_sound(entry, &findings) {
                continue;
            }
            let problems = plugins.problems((&registry, entry), &settings);
            loaded += u64::from(problems.is_empty());
            let model = entry
                .file(Role::Model)
                .map_or("", |file| file.sha256.as_str());
            for message in problems {
                findings.push(Finding {
                    kind: FindingKind::Unusable,
                    path: model.to_owned(),
                    models: vec![entry.title()],
                    message,
                });
            }
        }
    }
    let document = json!({
        "registry": registry.root(),
        "versions": entries.len(),
        "answered_as_known": loaded,
        "findings": findings,
    });
    context.output.show(&document, || {
        if findings.is_empty() {
            let asked = match args.files_only {
                true => "their models were not asked".to_owned(),
                false => format!("{loaded} answered as they did"),
            };
            return format!("{} versions are sound, {asked}\n", entries.len());
        }
        let mut lines = table(&["what", "file", "models", "why"]);
        for one in &findings {
            let kind = serde_json::to_value(one.kind).unwrap_or_default();
            lines.add_row([
                kind.as_str().unwrap_or_default().to_owned(),
                one.path.clone(),
                one.models.join(", "),
                one.message.clone(),
            ]);
        }
        format!("{lines}\n")
    })?;
    match findings.is_empty() {
        true => Ok(()),
        false => Err(Failure::Reported),
    }
}
