//! `fusebox worker`: the process that runs one plugin for a host. Not for people.

use clap::Args;
use fusebox_loader::worker;

use super::Context;
use crate::failure::Failure;

/// Run one plugin for the host that started this process
#[derive(Debug, Args)]
#[command(
    hide = true,
    after_help = "Examples:
  fusebox worker   (started by a host, not by hand)"
)]
pub(super) struct WorkerArgs {}

/// Serves the host until it is gone.
pub(super) fn run(_: WorkerArgs, _: &Context) -> Result<(), Failure> {
    worker::serve().map_err(anyhow::Error::from)?;
    Ok(())
}
