//! `fusebox plugin remove`: a package leaves the plugin directory.

use clap::Args;
use fusebox_loader::PackageError;
use fusebox_loader::package::remove_package;
use serde_json::json;

use super::plugin_root;
use crate::cli::{Context, EngineArgs, engine_settings};
use crate::failure::Failure;
use crate::wiring;

/// Remove a version of a plugin, or all of them
#[derive(Debug, Args)]
#[command(after_help = "\
The package disappears in one step and is deleted then. Without a version all versions go, which
needs --yes. A version that is in use stays, unless forced. It is looked for in the first plugin
directory.

Examples:
  fusebox plugin remove com.example.ema 1.4.1
  fusebox plugin remove com.example.ema --yes")]
pub(crate) struct RemoveArgs {
    /// Id of the plugin
    id: String,
    /// Version to remove; all where it is left out
    #[arg(id = "plugin_version", value_name = "VERSION")]
    version: Option<String>,
    /// Remove all versions
    #[arg(long)]
    yes: bool,
    /// Remove a version that is in use, too
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    engine: EngineArgs,
}

pub(super) fn run(args: &RemoveArgs, context: &Context) -> Result<(), Failure> {
    let settings = engine_settings(&args.engine, context)?;
    let root = plugin_root(&settings)?;
    if args.version.is_none() && !args.yes {
        return Err(Failure::Usage(format!(
            "all versions of {} would be removed; add --yes, or name one version",
            args.id
        )));
    }
    let in_use = |version: &str| {
        let reason = wiring::in_use(&settings, &args.id, version);
        reason.filter(|_| !args.force)
    };
    let removed = remove_package(root, &args.id, args.version.as_deref(), &in_use);
    let removed = removed.map_err(|error| match error {
        PackageError::Missing { .. } => Failure::Refused(error.into()),
        error => Failure::Failed(error.into()),
    })?;
    let document = json!({
        "id": removed.id,
        "versions": removed.versions,
        "plugin_dir": root,
    });
    context.output.show(&document, || {
        format!("removed {} {}\n", removed.id, removed.versions.join(", "))
    })
}
