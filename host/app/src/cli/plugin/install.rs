//! `fusebox plugin install`: a package goes into a plugin directory.

use std::path::PathBuf;

use clap::Args;
use fusebox_loader::package::{InstallOptions, install_package};
use fusebox_loader::trust::{FileVersionStore, HighestVersions};
use fusebox_loader::{Discovered, PackageError};
use serde_json::json;

use super::{check_is_package, plugin_root, refused};
use crate::cli::{Context, EngineArgs, engine_settings};
use crate::failure::Failure;
use crate::wiring::now_unix_s;

/// Check a package and copy it into the plugin directory
#[derive(Debug, Args)]
#[command(after_help = "\
Manifest, every file, signature, revocations and the library itself are checked first; then the
package appears as a whole, or not at all. A lower version than one that is there, another package
of the same version, and one that nobody vouches for go in only with --force; what is broken or
revoked never does. It goes into the first plugin directory.

Examples:
  fusebox plugin install dist/com.example.ema/1.4.2
  fusebox plugin install download/ema --plugin-dir ~/plugins --force")]
pub(crate) struct InstallArgs {
    /// The package: the directory of plugin.toml
    package: PathBuf,
    /// Install a lower version, another package of the same version, or an untrusted one
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    engine: EngineArgs,
}

pub(super) fn run(args: &InstallArgs, context: &Context) -> Result<(), Failure> {
    check_is_package(&args.package)?;
    let settings = engine_settings(&args.engine, context)?;
    let policy = settings.trust.policy()?;
    let root = plugin_root(&settings)?;
    let versions = HighestVersions::new(FileVersionStore::new(&settings.state_dir));
    let id = Discovered::at(&args.package).id;
    let options = InstallOptions {
        force: args.force,
        now_unix_s: now_unix_s(),
        highest_live: versions.highest(&id).map_err(anyhow::Error::from)?,
    };
    let installed = install_package(&args.package, root, &policy, &options).map_err(failure)?;
    let reason = installed.decision.as_ref().err().map(ToString::to_string);
    let document = json!({
        "path": installed.path,
        "id": installed.id,
        "version": installed.version,
        "unchanged": installed.is_unchanged,
        "trust": installed.decision.as_ref().ok(),
        "may_not_run": reason,
    });
    context.output.show(&document, || {
        let verb = if installed.is_unchanged {
            "is there already"
        } else {
            "is installed"
        };
        let (id, version, path) = (&installed.id, &installed.version, installed.path.display());
        let trust = match &installed.decision {
            Ok(decision) => decision.why.clone(),
            Err(error) => format!("it was forced in: {error}"),
        };
        format!("{id} {version} {verb}: {path}\n{trust}\n")
    })
}

fn failure(error: PackageError) -> Failure {
    match error {
        PackageError::Committed(path) => refused(format!(
            "{} holds another package of this version already; raise the version, or add --force",
            path.display()
        )),
        error => Failure::Failed(error.into()),
    }
}
