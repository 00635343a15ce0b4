//! `fusebox model`: the registry of trained models.

mod export;
mod list;
mod remove;
mod update;
mod verify;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use fusebox_services::registry::{Registry, RegistryError};

use super::{Context, EngineArgs, engine_settings};
use crate::failure::Failure;
use crate::wiring::EngineSettings;

/// List, show, export and verify trained models
#[derive(Debug, Subcommand)]
pub(super) enum ModelCommand {
    List(list::ListArgs),
    Show(list::ShowArgs),
    Export(export::ExportArgs),
    Verify(verify::VerifyArgs),
    Update(update::UpdateArgs),
    Remove(remove::RemoveArgs),
    Gc(remove::GcArgs),
}

/// Where models are kept, and the machine's settings.
#[derive(Debug, Args)]
struct RegistryArgs {
    /// Registry to use instead of engine.registry_dir
    #[arg(long, value_name = "DIR")]
    registry: Option<PathBuf>,
    #[command(flatten)]
    engine: EngineArgs,
}

pub(super) fn run(command: ModelCommand, context: &Context) -> Result<(), Failure> {
    match command {
        ModelCommand::List(args) => list::list(&args, context),
        ModelCommand::Show(args) => list::show(&args, context),
        ModelCommand::Export(args) => export::run(&args, context),
        ModelCommand::Verify(args) => verify::run(&args, context),
        ModelCommand::Update(args) => update::run(&args, context),
        ModelCommand::Remove(args) => remove::remove(&args, context),
        ModelCommand::Gc(args) => remove::gc(&args, context),
    }
}

/// The registry of a command, with the machine's settings.
fn open(args: &RegistryArgs, context: &Context) -> Result<(Registry, EngineSettings), Failure> {
    let settings = engine_settings(&args.engine, context)?;
    let root = args.registry.as_ref().unwrap_or(&settings.registry_dir);
    let registry = Registry::open(root).map_err(failure)?;
    Ok((registry, settings))
}

/// What cannot be asked for has exit code 2, what went wrong 1.
pub(super) fn failure(error: RegistryError) -> Failure {
    match error {
        RegistryError::Io { .. } | RegistryError::Damaged { .. } => Failure::Failed(error.into()),
        error => Failure::Refused(error.into()),
    }
}
