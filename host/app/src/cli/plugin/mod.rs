//! `fusebox plugin`: one file per command.

mod audit;
mod check;
mod control;
mod describe;
mod golden;
mod install;
mod keygen;
mod keys;
mod list;
mod model;
mod new;
mod pack;
mod remove;
mod serve;
mod sign;
mod trust;
mod verify;

use std::path::Path;

use clap::Subcommand;
use fusebox_loader::check::package_below;
use fusebox_loader::manifest::MANIFEST_FILE;

use super::Context;
use crate::failure::Failure;
use crate::wiring::EngineSettings;

/// Plugins: make, check, sign, install, keep live
#[derive(Debug, Subcommand)]
pub(super) enum PluginCommand {
    New(new::NewArgs),
    Check(check::CheckArgs),
    List(list::ListArgs),
    Describe(describe::DescribeArgs),
    Keygen(keygen::KeygenArgs),
    Pack(pack::PackArgs),
    Sign(sign::SignArgs),
    Golden(golden::GoldenArgs),
    Model(model::ModelArgs),
    Verify(verify::VerifyArgs),
    Install(install::InstallArgs),
    Remove(remove::RemoveArgs),
    Serve(serve::ServeArgs),
    Reload(control::ReloadArgs),
    Pin(control::PinArgs),
    Unpin(control::UnpinArgs),
    Rollback(control::RollbackArgs),
    Audit(audit::AuditArgs),
    #[command(subcommand)]
    Trust(trust::TrustCommand),
}

pub(super) fn run(command: PluginCommand, context: &Context) -> Result<(), Failure> {
    match command {
        PluginCommand::New(args) => new::run(&args, context),
        PluginCommand::Check(args) => check::run(&args, context),
        PluginCommand::List(args) => list::run(&args, context),
        PluginCommand::Describe(args) => describe::run(&args, context),
        PluginCommand::Keygen(args) => keygen::run(&args, context),
        PluginCommand::Pack(args) => pack::run(&args, context),
        PluginCommand::Sign(args) => sign::run(&args, context),
        PluginCommand::Golden(args) => golden::run(&args, context),
        PluginCommand::Model(args) => model::run(&args, context),
        PluginCommand::Verify(args) => verify::run(&args, context),
        PluginCommand::Install(args) => install::run(&args, context),
        PluginCommand::Remove(args) => remove::run(&args, context),
        PluginCommand::Serve(args) => serve::run(args, context),
        PluginCommand::Reload(args) => control::reload(args, context),
        PluginCommand::Pin(args) => control::pin(args, context),
        PluginCommand::Unpin(args) => control::unpin(args, context),
        PluginCommand::Rollback(args) => control::rollback(args, context),
        PluginCommand::Audit(args) => audit::run(&args, context),
        PluginCommand::Trust(command) => trust::run(&command, context),
    }
}

/// The plugin directory that packages are written to: the first one.
fn plugin_root(settings: &EngineSettings) -> Result<&Path, Failure> {
    let first = settings.plugin_dirs.first();
    first.map(std::path::PathBuf::as_path).ok_or_else(|| {
        Failure::Usage("there is no plugin directory; name one with --plugin-dir".to_owned())
    })
}

/// Refuses a path that holds no package at all, before anything is said about its content.
fn check_is_package(path: &Path) -> Result<(), Failure> {
    if path.join(MANIFEST_FILE).exists() {
        return Ok(());
    }
    let shown = path.display();
    Err(Failure::Usage(if path.is_file() {
        format!(
            "{shown} is a file; name the directory of its {MANIFEST_FILE} (a library becomes a \
             package with `fusebox plugin pack`)"
        )
    } else if path.exists() {
        let hint = package_below(path);
        format!("{shown} is no package, because it holds no {MANIFEST_FILE}{hint}")
    } else {
        format!("{shown} does not exist; name the directory that holds {MANIFEST_FILE}")
    }))
}

/// What is asked for cannot be done.
fn refused(message: String) -> Failure {
    Failure::Refused(anyhow::anyhow!(message))
}
