//! `fusebox model remove` and `gc`: what is not needed any more.

use clap::Args;
use serde_json::json;

use super::{RegistryArgs, failure, open};
use crate::cli::Context;
use crate::failure::Failure;
use crate::output::grouped;

/// Remove one version of a model from the registry
#[derive(Debug, Args)]
#[command(after_help = "\
Its files stay until `fusebox model gc`; packages that were exported stay as they are.

Examples:
  fusebox model remove direction 1.0.0")]
pub(in crate::cli) struct RemoveArgs {
    /// Name of the model
    name: String,
    /// Version
    #[arg(value_name = "VERSION")]
    number: String,
    #[command(flatten)]
    registry: RegistryArgs,
}

/// Remove files of the registry that no version needs
#[derive(Debug, Args)]
#[command(after_help = "\
Also removes what interrupted writers left. It waits for writers that are at work.

Examples:
  fusebox model gc")]
pub(in crate::cli) struct GcArgs {
    #[command(flatten)]
    registry: RegistryArgs,
}

pub(super) fn remove(args: &RemoveArgs, context: &Context) -> Result<(), Failure> {
    let (registry, _) = open(&args.registry, context)?;
    let removed = registry.remove(&args.name, &args.number);
    let removed = removed.map_err(failure)?;
    let document = json!({"removed": removed});
    context
        .output
        .show(&document, || format!("{} is removed\n", removed.title()))
}

pub(super) fn gc(args: &GcArgs, context: &Context) -> Result<(), Failure> {
    let (registry, _) = open(&args.registry, context)?;
    let collected = registry.collect().map_err(failure)?;
    context.output.show(&collected, || {
        format!(
            "{} files with {} bytes are removed\n",
            grouped(collected.files),
            grouped(collected.bytes)
        )
    })
}
