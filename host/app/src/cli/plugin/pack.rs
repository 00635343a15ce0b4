//! `fusebox plugin pack`: a package from a built library.

use std::path::{Path, PathBuf};

use clap::Args;
use fusebox_loader::discover::Discovered;
use fusebox_loader::live::golden::{Golden, MAX_GOLDEN_BYTES};
use fusebox_loader::manifest::{Budget, IsolationTable, StateTable};
use fusebox_loader::{Isolation, PackageError, PackageSpec, write_signed_package};
use fusebox_plugin_api::abi::MODEL_ID;
use serde_json::json;

use super::keys::PasswordArgs;
use crate::cli::Context;
use crate::failure::Failure;

/// Put a built library into a package
#[derive(Debug, Args)]
#[command(after_help = "\
The package is the directory ROOT/ID/VERSION; id and version are read from the library. Every file
goes into plugin.toml with its digest, and the key signs that. Packing the same again changes
nothing.

Examples:
  fusebox plugin pack target/release/libema.so
  fusebox plugin pack libema.so --out dist --golden golden.json --key acme.key
  fusebox plugin pack libema.so --kind fb.model/1 --kind fb.learner/1 --replace \\
      --file weights.bin=models/weights.bin --isolation worker --budget-p99-us 20")]
pub(crate) struct PackArgs {
    /// The built library
    library: PathBuf,
    /// Directory that gets ID/VERSION; a plugin directory installs it at once
    #[arg(long, value_name = "ROOT", default_value = ".")]
    out: PathBuf,
    /// What the plugin offers; may be repeated
    #[arg(long = "kind", value_name = "FACTORY", default_value = MODEL_ID)]
    kinds: Vec<String>,
    /// What it is, in a sentence
    #[arg(long)]
    description: Option<String>,
    /// Licence as an SPDX expression
    #[arg(long)]
    license: Option<String>,
    /// Weakest isolation: in-process, worker, wasm or wasm-worker
    #[arg(long, default_value_t = Isolation::InProcess)]
    isolation: Isolation,
    /// Promised 99th percentile of one prediction, microseconds
    #[arg(long, value_name = "US")]
    budget_p99_us: Option<u64>,
    /// Promised memory, MiB
    #[arg(long, value_name = "MIB")]
    memory_mb: Option<u64>,
    /// File of known answers, checked before the plugin goes live
    #[arg(long, value_name = "FILE")]
    golden: Option<PathBuf>,
    /// Largest difference from the known answers, in units in the last place
    #[arg(long, value_name = "ULP", default_value_t = 0, requires = "golden")]
    tolerance_ulp: u64,
    /// Schema number of the state that the plugin's snapshots hold
    #[arg(long, value_name = "NUMBER")]
    state_schema: Option<u32>,
    /// Schema number that it restores, if not only its own; may be repeated
    #[arg(long, value_name = "NUMBER", requires = "state_schema")]
    state_reads: Vec<u32>,
    /// Another file, and its path in the package; may be repeated
    #[arg(long = "file", value_name = "FILE[=PATH]", value_parser = file)]
    files: Vec<(PathBuf, String)>,
    /// Secret key that signs the package
    #[arg(long, value_name = "KEY")]
    key: Option<PathBuf>,
    #[command(flatten)]
    password: PasswordArgs,
    /// Replace another package of the same id and version
    #[arg(long)]
    replace: bool,
}

fn file(text: &str) -> Result<(PathBuf, String), String> {
    if let Some((file, path)) = text.split_once('=') {
        return Ok((PathBuf::from(file), path.to_owned()));
    }
    let file = PathBuf::from(text);
    match file.file_name() {
        Some(name) => Ok((file.clone(), name.to_string_lossy().into_owned())),
        None => Err("it names no file".to_owned()),
    }
}

impl PackArgs {
    fn spec(&self) -> PackageSpec {
        PackageSpec {
            kinds: self.kinds.clone(),
            description: self.description.clone(),
            license: self.license.clone(),
            isolation: IsolationTable {
                minimum: self.isolation,
            },
            budget: Budget {
                predict_p99_us: self.budget_p99_us,
                memory_mb: self.memory_mb,
            },
            golden: self.golden.clone(),
            tolerance_ulp: self.tolerance_ulp,
            state: self.state_schema.map(|schema| StateTable {
                schema,
                reads: self.state_reads.clone(),
            }),
            files: self.files.clone(),
            replace: self.replace,
            ..PackageSpec::new(&self.library)
        }
    }
}

pub(super) fn run(args: &PackArgs, context: &Context) -> Result<(), Failure> {
    let signer = args.key.as_deref().map(|key| args.password.signer(key));
    let signer = signer.transpose()?;
    if let Some(golden) = &args.golden {
        check_golden(golden)?;
    }
    let path = write_signed_package(&args.out, &args.spec(), signer.as_ref()).map_err(failure)?;
    let package = Discovered::at(&path);
    let manifest = package.manifest().map_err(anyhow::Error::from)?;
    let key_id = signer.as_ref().map(|signer| signer.key_id());
    let document = json!({
        "path": path,
        "id": manifest.id,
        "version": manifest.version,
        "files": manifest.digests(),
        "key_id": key_id,
    });
    context.output.show(&document, || {
        let signed = match key_id {
            Some(key_id) => format!("signed by key {key_id}"),
            None => "not signed".to_owned(),
        };
        format!(
            "{}: {} {}, {} file(s), {signed}\n",
            path.display(),
            manifest.id,
            manifest.version,
            manifest.digests().len()
        )
    })
}

/// A host refuses a package whose known answers it cannot read, so nobody gets to make one.
fn check_golden(path: &Path) -> Result<(), Failure> {
    let problem = |words: String| {
        Failure::Usage(format!(
            "--golden {}: {words}; `fusebox plugin golden` writes such a file",
            path.display()
        ))
    };
    let bytes = std::fs::read(path).map_err(|error| problem(format!("cannot read it: {error}")))?;
    if bytes.len() as u64 > MAX_GOLDEN_BYTES {
        let most = MAX_GOLDEN_BYTES;
        return Err(problem(format!("it is larger than {most} bytes")));
    }
    let text = String::from_utf8(bytes).map_err(|_| problem("it is not text".to_owned()))?;
    Golden::parse(&text).map(drop).map_err(problem)
}

/// What was asked for cannot be packed, or the packing failed.
fn failure(error: PackageError) -> Failure {
    match error {
        PackageError::Committed(path) => Failure::Refused(anyhow::anyhow!(
            "{} holds another package already; raise the version, or add --replace",
            path.display()
        )),
        PackageError::Manifest(_) => Failure::Refused(error.into()),
        error => Failure::Failed(error.into()),
    }
}
