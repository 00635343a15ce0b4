//! `fusebox plugin keygen`: a pair of keys for signing packages.

use std::path::PathBuf;

use clap::Args;
use fusebox_loader::package::{write_file, write_secret_file};
use fusebox_loader::trust::{generate_keys, public_key};
use serde_json::json;

use super::keys::{PasswordArgs, read};
use crate::cli::Context;
use crate::failure::Failure;

/// Make a pair of keys for signing packages
#[derive(Debug, Args)]
#[command(after_help = "\
NAME.key is the secret half: whoever has it can sign as you. Without --password-file it is not
encrypted, and only you may read the file. NAME.pub is the public half; an operator adds it to a
keyring with `fusebox plugin trust add`. Both are in the format of minisign.

Examples:
  fusebox plugin keygen
  fusebox plugin keygen --out ~/keys --name acme --password-file password.txt")]
pub(crate) struct KeygenArgs {
    /// Directory for the two files
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    /// Name of the files
    #[arg(long, default_value = "fusebox", value_parser = file_name)]
    name: String,
    /// Keep a pair of that name that is there already
    #[arg(long)]
    if_missing: bool,
    #[command(flatten)]
    password: PasswordArgs,
}

fn file_name(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let is_name = !text.is_empty() && !text.starts_with('.') && text.bytes().all(is_plain);
    is_name
        .then(|| text.to_owned())
        .ok_or_else(|| "a name has letters, digits and ._- only".to_owned())
}

pub(super) fn run(args: &KeygenArgs, context: &Context) -> Result<(), Failure> {
    let place = |end: &str| args.out.join(format!("{}.{end}", args.name));
    let (secret, public) = (place("key"), place("pub"));
    let is_there = secret.exists();
    if is_there && !args.if_missing {
        let secret = secret.display();
        return Err(Failure::Usage(format!(
            "{secret} is there already; a lost key cannot be had again, so move it away yourself, \
             or give another --name"
        )));
    }
    let key_id = if is_there {
        let (_, key_id) = public_key(&read(&public)?).map_err(anyhow::Error::from)?;
        key_id
    } else {
        let password = args.password.password()?;
        let is_encrypted = password.is_some();
        let keys = generate_keys(&args.name, password).map_err(anyhow::Error::from)?;
        write_secret_file(&secret, keys.secret.as_bytes()).map_err(anyhow::Error::from)?;
        write_file(&public, keys.public.as_bytes()).map_err(anyhow::Error::from)?;
        if !is_encrypted {
            tracing::warn!(
                "{} is not encrypted; keep it to yourself, or use --password-file",
                secret.display()
            );
        }
        keys.key_id
    };
    let document = json!({
        "key_id": key_id,
        "secret_key": secret,
        "public_key": public,
        "made": !is_there,
    });
    context.output.show(&document, || {
        let verb = if is_there { "kept" } else { "made" };
        let (secret, public) = (secret.display(), public.display());
        format!("{verb} key {key_id}: {secret} (secret), {public} (public)\n")
    })
}
