//! `fusebox plugin`: one file per command.

mod list;

use clap::Subcommand;

use super::Context;
use crate::failure::Failure;

/// Plugins: list
#[derive(Debug, Subcommand)]
pub(super) enum PluginCommand {
    List(list::ListArgs),
}

pub(super) fn run(command: PluginCommand, context: &Context) -> Result<(), Failure> {
    match command {
        PluginCommand::List(args) => list::run(&args, context),
    }
}
