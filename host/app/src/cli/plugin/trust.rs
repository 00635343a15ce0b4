//! `fusebox plugin trust`: the keyring and the list of revocations.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use fusebox_loader::package::write_file;
use fusebox_loader::trust::{
    Date, Key, Keyring, Revocation, Revocations, Role, Subject, is_scope, public_key,
    signature_path,
};
use serde_json::json;

use super::keys::read;
use super::refused;
use crate::cli::{Context, EngineArgs, engine_settings};
use crate::failure::Failure;
use crate::output::table;
use crate::wiring::now_unix_s;

/// Whose signatures count, and what is revoked
#[derive(Debug, Subcommand)]
pub(crate) enum TrustCommand {
    Add(AddArgs),
    List(ListArgs),
    Remove(RemoveArgs),
    Revoke(RevokeArgs),
}

/// Add a public key to the keyring
#[derive(Debug, Args)]
#[command(after_help = "\
What a first-party key signed may run inside this process, what a vendor's key signed runs in a
worker process. Adding the same key again changes nothing.

Examples:
  fusebox plugin trust add acme.pub --role vendor --plugin 'com.acme.*' --expires 2027-12-31
  fusebox plugin trust add .fusebox/keys/local.pub --role first-party --name local")]
pub(crate) struct AddArgs {
    /// File of the public key, or its line of base64
    key: String,
    /// What the key stands for: first-party or vendor
    #[arg(long, value_parser = role)]
    role: Role,
    /// What to call it; the name of the file where it is left out
    #[arg(long)]
    name: Option<String>,
    /// Id that it may sign, or com.example.* for all below; may be repeated, all where left out
    #[arg(long = "plugin", value_name = "ID", value_parser = scope)]
    plugins: Vec<String>,
    /// First day on which it no longer counts, in UTC
    #[arg(long, value_name = "DAY")]
    expires: Option<Date>,
    #[command(flatten)]
    files: KeyringArgs,
}

/// List the keys of the keyring and what is revoked
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fusebox plugin trust list
  fusebox plugin trust list --keyring keyring.toml --json")]
pub(crate) struct ListArgs {
    #[command(flatten)]
    files: KeyringArgs,
}

/// Take a key out of the keyring
#[derive(Debug, Args)]
#[command(after_help = "\
What only this key signed is refused from then on, as if it were not signed. A key that was stolen
should be revoked, too.

Examples:
  fusebox plugin trust remove acme
  fusebox plugin trust remove E7620F1842B4E81F")]
pub(crate) struct RemoveArgs {
    /// Name or number of the key
    key: String,
    #[command(flatten)]
    files: KeyringArgs,
}

/// Revoke versions of a plugin, a digest, or a key
#[derive(Debug, Args)]
#[command(after_help = "\
A digest is the SHA-256 of a plugin.toml or of any file of a package. What is live is held to the
list as well: it goes back to an allowed version by itself (`engine.live.leave_revoked`), or stays
live where there is none, and `fusebox plugin audit` says which.

Examples:
  fusebox plugin trust revoke --plugin com.example.ema --versions '>=1.2.0, <1.4.3' \\
      --reason 'leaks file descriptors'
  fusebox plugin trust revoke --key E7620F1842B4E81F --reason stolen")]
#[command(group(clap::ArgGroup::new("what").required(true).args(["plugin", "digest", "key"])))]
pub(crate) struct RevokeArgs {
    /// Id of a plugin
    #[arg(long, value_name = "ID")]
    plugin: Option<String>,
    /// Its versions, such as 1.4.2, '<1.4.3' or '>=1.2.0, <1.4.3'; all where left out
    #[arg(long, value_name = "RANGE", requires = "plugin")]
    versions: Option<String>,
    /// SHA-256 of a manifest or a file
    #[arg(long, value_name = "SHA256")]
    digest: Option<String>,
    /// Number of a key
    #[arg(long, value_name = "KEY_ID")]
    key: Option<String>,
    /// Why; shown to whoever tries to run it
    #[arg(long)]
    reason: String,
    /// List to add to, instead of that of the configuration
    #[arg(long, value_name = "FILE")]
    revocations: Option<PathBuf>,
    #[command(flatten)]
    engine: EngineArgs,
}

/// Which keyring.
#[derive(Debug, Args)]
struct KeyringArgs {
    /// Keyring, instead of that of the configuration
    #[arg(long, value_name = "FILE")]
    keyring: Option<PathBuf>,
    #[command(flatten)]
    engine: EngineArgs,
}

impl KeyringArgs {
    /// The path of the keyring and what it holds; one that does not exist holds nothing.
    fn open(&self, context: &Context) -> Result<(PathBuf, Keyring), Failure> {
        let settings = engine_settings(&self.engine, context)?;
        let path = self.keyring.clone().unwrap_or(settings.trust.keyring);
        let keyring = Keyring::read(&path).map_err(|error| Failure::Refused(error.into()))?;
        Ok((path, keyring.unwrap_or_default()))
    }
}

fn role(text: &str) -> Result<Role, String> {
    let known = Role::ALL.into_iter().find(|role| role.to_string() == text);
    known.ok_or_else(|| "a role is first-party or vendor".to_owned())
}

fn scope(text: &str) -> Result<String, String> {
    is_scope(text)
        .then(|| text.to_owned())
        .ok_or_else(|| "write an id such as com.example.ema, or com.example.*".to_owned())
}

pub(super) fn run(command: &TrustCommand, context: &Context) -> Result<(), Failure> {
    match command {
        TrustCommand::Add(args) => add(args, context),
        TrustCommand::List(args) => list(args, context),
        TrustCommand::Remove(args) => remove(args, context),
        TrustCommand::Revoke(args) => revoke(args, context),
    }
}

fn add(args: &AddArgs, context: &Context) -> Result<(), Failure> {
    let (path, mut keyring) = args.files.open(context)?;
    let file = Path::new(&args.key);
    let text = if file.exists() {
        read(file)?
    } else {
        args.key.clone()
    };
    if !file.exists() && public_key(&text).is_err() {
        return Err(Failure::Usage(format!(
            "{} is neither a file nor a public key; name the `.pub` file that `fusebox plugin \
             keygen` or `minisign -G` wrote",
            args.key
        )));
    }
    let stem = file.file_stem().filter(|_| file.exists());
    let stem = stem.map(|stem| stem.to_string_lossy().into_owned());
    let Some(name) = args.name.clone().or(stem) else {
        return Err(Failure::Usage(format!(
            "{} is no file; where it is meant to be a key itself, give it a --name",
            args.key
        )));
    };
    let key = Key::new(&name, &text, args.role)
        .map_err(|problem| refused(format!("{} cannot be trusted: {problem}", args.key)))?;
    let key = Key {
        plugins: args.plugins.clone(),
        expires: args.expires,
        ..key
    };
    let is_there = keyring.find(&key.key_id) == Some(&key);
    if !is_there {
        let problem = |problem| refused(format!("{}: {problem}", path.display()));
        keyring.add(key.clone()).map_err(problem)?;
        write_file(&path, keyring.to_toml().as_bytes()).map_err(anyhow::Error::from)?;
    }
    let document = json!({"keyring": path, "added": !is_there, "key": key});
    context.output.show(&document, || {
        let verb = if is_there {
            "is in it already"
        } else {
            "is trusted"
        };
        let (id, role, path) = (&key.key_id, key.role, path.display());
        format!("{path}: key {id} {verb}, as `{}` ({role})\n", key.name)
    })
}

fn list(args: &ListArgs, context: &Context) -> Result<(), Failure> {
    let (path, keyring) = args.files.open(context)?;
    let settings = engine_settings(&args.files.engine, context)?;
    let revocations = settings.trust.revocations;
    let revoked = Revocations::read(&revocations, &keyring)
        .map_err(|error| Failure::Refused(error.into()))?
        .unwrap_or_default();
    let document = json!({
        "keyring": path,
        "keys": keyring.keys(),
        "revocations": revocations,
        "revoked": revoked.entries(),
    });
    context.output.show(&document, || {
        let mut text = format!("{}\n{}", path.display(), keys(&keyring));
        text.push_str(&format!("{}\n{}", revocations.display(), entries(&revoked)));
        text
    })
}

fn keys(keyring: &Keyring) -> String {
    if keyring.keys().is_empty() {
        return "no keys; add one with `fusebox plugin trust add`\n".to_owned();
    }
    let now = now_unix_s();
    let mut table = table(&["name", "key", "role", "may sign", "expires"]);
    for key in keyring.keys() {
        let expires = match key.expires {
            None => "never".to_owned(),
            Some(day) if key.is_expired(now) => format!("EXPIRED {day}"),
            Some(day) => day.to_string(),
        };
        let scope = if key.plugins.is_empty() {
            "everything".to_owned()
        } else {
            key.plugins.join(", ")
        };
        let (id, role) = (key.key_id.to_string(), key.role.to_string());
        table.add_row([key.name.clone(), id, role, scope, expires]);
    }
    format!("{table}\n")
}

fn entries(revocations: &Revocations) -> String {
    if revocations.entries().is_empty() {
        return "nothing is revoked\n".to_owned();
    }
    let mut table = table(&["revoked", "reason"]);
    for entry in revocations.entries() {
        table.add_row([entry.subject.to_string(), entry.reason.clone()]);
    }
    format!("{table}\n")
}

fn remove(args: &RemoveArgs, context: &Context) -> Result<(), Failure> {
    let (path, mut keyring) = args.files.open(context)?;
    let Some(key) = keyring.remove(&args.key) else {
        let names: Vec<&str> = keyring.keys().iter().map(|key| key.name.as_str()).collect();
        let there = if names.is_empty() {
            "nothing".to_owned()
        } else {
            names.join(", ")
        };
        let path = path.display();
        return Err(refused(format!(
            "{path} has no key `{}`; it has: {there}",
            args.key
        )));
    };
    write_file(&path, keyring.to_toml().as_bytes()).map_err(anyhow::Error::from)?;
    let document = json!({"keyring": path, "removed": key});
    context.output.show(&document, || {
        format!(
            "{}: `{}` ({}) is out\n",
            path.display(),
            key.name,
            key.key_id
        )
    })
}

fn revoke(args: &RevokeArgs, context: &Context) -> Result<(), Failure> {
    let settings = engine_settings(&args.engine, context)?;
    let path = args
        .revocations
        .clone()
        .unwrap_or(settings.trust.revocations);
    let subject = match (&args.plugin, &args.digest, &args.key) {
        (Some(id), _, _) => Subject::plugin(id, args.versions.as_deref().unwrap_or("*")),
        (_, Some(digest), _) => Subject::digest(digest),
        (_, _, Some(key)) => Subject::key(key),
        // The group of arguments rules it out.
        _ => Err("name a --plugin, a --digest or a --key".to_owned()),
    };
    let subject = subject.map_err(Failure::Usage)?;
    if signature_path(&path).exists() {
        return Err(refused(format!(
            "{} is signed by somebody else, and a change would break that; name a list of your own \
             with --revocations",
            path.display()
        )));
    }
    let list = Revocations::read(&path, &Keyring::default());
    let list = list.map_err(|error| Failure::Refused(error.into()))?;
    let mut list = list.unwrap_or_default();
    let entry = Revocation {
        subject,
        reason: args.reason.clone(),
    };
    list.add(entry.clone());
    write_file(&path, list.to_toml().as_bytes()).map_err(anyhow::Error::from)?;
    let document = json!({"revocations": path, "revoked": entry});
    context.output.show(&document, || {
        let (path, subject) = (path.display(), &entry.subject);
        format!("{path}: {subject} is revoked: {}\n", entry.reason)
    })
}
