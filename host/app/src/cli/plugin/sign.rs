//! `fusebox plugin sign`: puts a signature beside a manifest.

use std::path::PathBuf;

use clap::Args;
use fusebox_loader::package::sign_package;
use serde_json::json;

use super::check_is_package;
use super::keys::PasswordArgs;
use crate::cli::Context;
use crate::failure::Failure;

/// Sign a package
#[derive(Debug, Args)]
#[command(after_help = "\
The signature is over plugin.toml, which holds the digest of every file; all of them are checked
first. A signature that is there is replaced.

Examples:
  fusebox plugin sign com.example.ema/1.4.2 --key acme.key")]
pub(crate) struct SignArgs {
    /// The package: the directory of plugin.toml
    package: PathBuf,
    /// Secret key, as `fusebox plugin keygen` makes it
    #[arg(long, value_name = "KEY")]
    key: PathBuf,
    #[command(flatten)]
    password: PasswordArgs,
}

pub(super) fn run(args: &SignArgs, context: &Context) -> Result<(), Failure> {
    check_is_package(&args.package)?;
    let signer = args.password.signer(&args.key)?;
    let package = sign_package(&args.package, &signer).map_err(anyhow::Error::from)?;
    let key_id = signer.key_id();
    let document = json!({
        "path": args.package,
        "id": package.id,
        "version": package.version,
        "key_id": key_id,
    });
    context.output.show(&document, || {
        let (id, version) = (&package.id, &package.version);
        format!(
            "{}: {id} {version} is signed by key {key_id}\n",
            args.package.display()
        )
    })
}
