//! `fusebox model export`: a registered model for others: a package that goes live, plain files, or
//! ONNX.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use fusebox_loader::live::golden::Golden;
use fusebox_loader::live::{ModelPackageError, ModelPackageSpec, TrainedBars, write_model_package};
use fusebox_loader::onnx_file::{FEATURE_SET_FACT, SOURCE_MODEL_FACT, with_facts};
use fusebox_plugin_api::config::Config;
use fusebox_services::data::atomic::write_atomically;
use fusebox_services::registry::{Entry, Registry, Role};
use fusebox_services::training::{ModelCard, ModelFeatures};
use serde_json::{Value, json};

use super::{RegistryArgs, failure, open};
use crate::cli::Context;
use crate::failure::Failure;
use crate::wiring::EngineSettings;
use crate::wiring::gate::{self, Gated};
use crate::wiring::models::ModelPlugins;

/// Write a model as a package that goes live, as plain files, or as ONNX
#[derive(Debug, Args)]
#[command(after_help = "\
package: DIR/NAME/VERSION with model.toml, which `fusebox plugin serve --model NAME` takes live; DIR
is the first of engine.live.model_dirs unless --out names another. Its known answers are checked
before it goes live. The gate is that of `fusebox plugin model`: its features, its scaler and the
readout of its returns must have passed `fusebox features audit`, or --allow-unaudited is given and
recorded.
files: the artifact and what lies beside it, as the run wrote them, into the directory --out.
onnx: one file at --out, where the plugin can write the model with the operator set --opset. It
says of itself which features and which artifact it comes from. A scaler and a readout are written
beside it; its sidecar names them (docs/onnx.md).

Examples:
  fusebox model export direction
  fusebox model export direction 1.0.2 --format files --out out/direction
  fusebox model export direction --format onnx --opset 15 --out direction.onnx")]
pub(in crate::cli) struct ExportArgs {
    /// Name of the model
    name: String,
    /// Version; without it, the latest
    #[arg(value_name = "VERSION")]
    number: Option<String>,
    /// What to write
    #[arg(long, value_enum, default_value_t = Format::Package)]
    format: Format,
    /// Where to write
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
    /// Newest version of ONNX's standard operators that may be used
    #[arg(long, value_name = "NUMBER", default_value_t = 17)]
    opset: u32,
    /// Replace what is there
    #[arg(long)]
    overwrite: bool,
    /// Let a package through whose features were never audited; it records that
    #[arg(long)]
    allow_unaudited: bool,
    #[command(flatten)]
    registry: RegistryArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A model package.
    Package,
    /// Plain files.
    Files,
    /// One ONNX file.
    Onnx,
}

/// What is exported.
struct Exported<'a> {
    registry: &'a Registry,
    entry: &'a Entry,
    card: &'a ModelCard,
}

pub(super) fn run(args: &ExportArgs, context: &Context) -> Result<(), Failure> {
    if args.out.is_none() && args.format != Format::Package {
        return Err(Failure::Usage(
            "--out is missing; only a package has a place of its own".to_owned(),
        ));
    }
    let (registry, settings) = open(&args.registry, context)?;
    let found = registry.find(&args.name, args.number.as_deref());
    let entry = found.map_err(failure)?;
    let card = registry.card(&entry).map_err(failure)?;
    let exported = Exported {
        registry: &registry,
        entry: &entry,
        card: &card,
    };
    let out = args.out.as_deref();
    let paths = match (args.format, out) {
        (Format::Files, Some(out)) => files(&exported, out, args.overwrite)?,
        (Format::Onnx, Some(out)) => onnx(&exported, (out, args), &settings)?,
        _ => package(&exported, (out, args), &settings)?,
    };
    let document = json!({
        "name": entry.name,
        "version": entry.version,
        "model_sha256": card.model.sha256,
        "paths": paths,
    });
    context.output.show(&document, || {
        let lines = paths.iter().map(|path| format!("{}\n", path.display()));
        lines.collect()
    })
}

impl Exported<'_> {
    fn read(&self, role: Role) -> Result<Vec<u8>, Failure> {
        let bytes = self.registry.read(self.entry, role).map_err(failure)?;
        Ok(bytes.unwrap_or_default())
    }
}

fn package(
    exported: &Exported<'_>,
    (out, args): (Option<&Path>, &ExportArgs),
    settings: &EngineSettings,
) -> Result<Vec<PathBuf>, Failure> {
    let Some(root) = out.or(settings.model_dirs.first().map(PathBuf::as_path)) else {
        return Err(Failure::Usage(
            "there is no model directory; set engine.live.model_dirs, or give --out".to_owned(),
        ));
    };
    let features = exported.read(Role::Features)?;
    let features: Option<ModelFeatures> = match features.is_empty() {
        true => None,
        false => Some(serde_json::from_slice(&features).map_err(anyhow::Error::from)?),
    };
    let golden = exported.read(Role::Golden)?;
    let golden = match golden.is_empty() {
        true => None,
        false => Some(
            Golden::parse(&String::from_utf8_lossy(&golden)).map_err(|words| {
                anyhow::anyhow!(
                    "{} has wrong known answers: {words}",
                    exported.entry.title()
                )
            })?,
        ),
    };
    let scaler = exported.read(Role::Scaler)?;
    let readout = exported.read(Role::Readout)?;
    let gated = Gated {
        features: features.as_ref(),
        scaler: &scaler,
        readout: &readout,
        program: None,
        allow_unaudited: args.allow_unaudited,
    };
    let audit = gate::pass(&gated, settings)?;
    let spec = ModelPackageSpec {
        audit: Some(audit),
        name: exported.entry.name.clone(),
        version: exported.entry.version.clone(),
        plugin: exported.card.plugin.id.clone(),
        plugin_version: None,
        // Without this machine's libraries, so that it goes live on others, too.
        params: Config::from_value(Value::Object(exported.card.params.clone()))
            .map_err(anyhow::Error::from)?,
        bars: features.as_ref().map(|features| TrainedBars {
            time_frame: features.time_frame.to_string(),
            max_gap_bars: features.max_gap_bars,
        }),
        feature_set: features.map(|features| features.feature_set_sha256),
        artifact: exported.read(Role::Model)?,
        scaler,
        readout,
        golden: golden.map(|golden| (golden, 0)),
        replace: args.overwrite,
    };
    let path = write_model_package(root, &spec).map_err(|error| match error {
        ModelPackageError::Io { .. } => Failure::Failed(error.into()),
        error => Failure::Refused(error.into()),
    })?;
    Ok(vec![path])
}

fn files(exported: &Exported<'_>, out: &Path, overwrite: bool) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for (role, extension) in Role::ALL {
        if exported.entry.file(role).is_some() {
            let path = out.join(format!("{}.{extension}", exported.entry.name));
            files.push((path, exported.read(role)?));
        }
    }
    check_free(files.iter().map(|(path, _)| path.as_path()), overwrite)?;
    // Everything was read, so that nothing is left behind where a file is damaged.
    std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    for (path, bytes) in &files {
        write(path, bytes)?;
    }
    Ok(files.into_iter().map(|(path, _)| path).collect())
}

fn onnx(
    exported: &Exported<'_>,
    (out, args): (&Path, &ExportArgs),
    settings: &EngineSettings,
) -> Result<Vec<PathBuf>, Failure> {
    let what = (exported.registry, exported.entry, exported.card);
    let model = ModelPlugins::default().create(what, settings)?;
    let Some(export) = model.onnx_export() else {
        let plugin = &exported.card.plugin;
        return Err(Failure::Refused(anyhow::anyhow!(
            "{} {} cannot write its models as ONNX; export a package or files",
            plugin.id,
            plugin.version
        )));
    };
    let bytes = export.to_onnx(args.opset).map_err(|error| {
        let place = format!("{} cannot be written as ONNX", exported.entry.title());
        Failure::Refused(anyhow::Error::from(error).context(place))
    })?;
    let card = exported.card;
    let digests = [
        (FEATURE_SET_FACT, card.features.sha256.as_str()),
        (SOURCE_MODEL_FACT, card.model.sha256.as_str()),
    ];
    let bytes = with_facts(bytes, &digests).map_err(|error| {
        let plugin = &card.plugin.id;
        let place = format!("{plugin} wrote {} as ONNX", exported.entry.title());
        Failure::Refused(anyhow::Error::from(error).context(place))
    })?;
    let mut files = vec![(out.to_owned(), bytes)];
    // The file takes scaled rows and gives raw answers, so both go with it.
    for role in [Role::Scaler, Role::Readout] {
        let bytes = exported.read(role)?;
        let extension = Role::ALL.iter().find(|(one, _)| *one == role);
        if let (false, Some((_, extension))) = (bytes.is_empty(), extension) {
            files.push((out.with_extension(extension), bytes));
        }
    }
    check_free(files.iter().map(|(path, _)| path.as_path()), args.overwrite)?;
    for (path, bytes) in &files {
        write(path, bytes)?;
    }
    Ok(files.into_iter().map(|(path, _)| path).collect())
}

/// Refuses to replace files unless that is wanted; all of them at once.
fn check_free<'a>(paths: impl Iterator<Item = &'a Path>, overwrite: bool) -> Result<(), Failure> {
    let there = paths.filter(|path| !overwrite && path.exists());
    let there: Vec<String> = there.map(|path| path.display().to_string()).collect();
    match there.is_empty() {
        true => Ok(()),
        false => Err(Failure::Usage(format!(
            "there already: {}; choose another --out, or add --overwrite",
            there.join(", ")
        ))),
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let written = write_atomically(path, |file| file.write_all(bytes));
    let place = || format!("cannot write {}", path.display());
    Ok(written
        .map_err(|error: std::io::Error| error)
        .with_context(place)?)
}
