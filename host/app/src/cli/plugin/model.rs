//! `fusebox plugin model`: weights and configuration under a name, apart from the code.

use std::path::{Path, PathBuf};

use clap::Args;
use fusebox_loader::live::catalog::Catalog;
use fusebox_loader::live::model_package::ModelManifest;
use fusebox_loader::live::{
    AuditState, ModelPackageError, ModelPackageSpec, PackedAudit, TrainedBars, write_model_package,
};
use fusebox_plugin_api::config::{Config, nearest};
use fusebox_services::audit::Program;
use fusebox_services::training::{ModelFeatures, ModelFiles};
use serde_json::json;

use crate::cli::{Context, EngineArgs, engine_settings};
use crate::failure::Failure;
use crate::wiring::EngineSettings;
use crate::wiring::gate::{self, Gated};

/// Put weights and configuration under a name; a newer version goes live by itself
#[derive(Debug, Args)]
#[command(after_help = "\
The model package is DIR/NAME/VERSION/model.toml with the artifact beside it; DIR is the first of
engine.live.model_dirs. What a run kept beside the artifact goes into it too: the digest of the
features (NAME.features.json), without which nobody can tell whether the model fits the rows, its
scaler and its readout.

A trained model goes on only where its features passed their last `fusebox features audit`, with
its scaler and the readout of its returns, where it has them. --allow-unaudited lets one through
that nobody audited, never one that failed; the package records that, and whoever serves it is told.
Rows that a program of yours makes are vouched for by the audit of that program as it is now
(--features-by).
`fusebox plugin serve --model NAME` keeps it live; weights are replaced without loading the
plugin's code again.

Examples:
  fusebox plugin model fast 1.0.0 --plugin com.example.ema --params '{\"alpha\": 0.5}'
  fusebox features audit direction.toml && \
    fusebox plugin model direction 1.1.0 --plugin ai.fusebox.gbm \
      --artifact out/demo/models/fold-09.model")]
pub(crate) struct ModelArgs {
    /// Name of the model
    name: String,
    /// Version, three numbers
    #[arg(value_name = "VERSION")]
    number: String,
    /// Id of the plugin whose code it needs
    #[arg(long, value_name = "ID")]
    plugin: String,
    /// Versions of the plugin that fit, such as '>=1.2.0, <2.0.0'; any where left out
    #[arg(long, value_name = "RANGE")]
    plugin_version: Option<String>,
    /// Configuration of the model, as JSON
    #[arg(long, value_name = "JSON", default_value = "{}")]
    params: String,
    /// File with the weights
    #[arg(long, value_name = "FILE")]
    artifact: Option<PathBuf>,
    /// Replace another package of the same name and version
    #[arg(long)]
    replace: bool,
    /// Let a model through whose features were never audited; its package records that
    #[arg(long)]
    allow_unaudited: bool,
    /// Shell command that makes the rows of the model, instead of a feature set
    #[arg(long, value_name = "COMMAND")]
    features_by: Option<String>,
    /// File or directory that this command reads without naming it, as in its audit. May be
    /// repeated
    #[arg(long = "source", value_name = "PATH", requires = "features_by")]
    sources: Vec<PathBuf>,
    #[command(flatten)]
    engine: EngineArgs,
}

pub(crate) fn run(args: &ModelArgs, context: &Context) -> Result<(), Failure> {
    let settings = engine_settings(&args.engine, context)?;
    let Some(root) = settings.model_dirs.first() else {
        return Err(Failure::Usage(
            "there is no model directory; set engine.live.model_dirs".to_owned(),
        ));
    };
    let mut problems = Vec::new();
    let params = Config::from_json(args.params.as_bytes())
        .map_err(|error| problems.push(format!("--params cannot be read: {error}")));
    let files = args.artifact.as_deref().map(ModelFiles::read).transpose();
    let files = files.map_err(|error| problems.push(error.to_string()));
    let (Ok(params), Ok(files)) = (params, files) else {
        return Err(Failure::Usage(problems.join("; ")));
    };
    let files = files.unwrap_or_default();
    let audit = audit(args, &files, &settings)?;
    let is_passed = audit.as_ref().map(|one| one.state == AuditState::Passed);
    let spec = ModelPackageSpec {
        name: args.name.clone(),
        version: args.number.clone(),
        plugin: args.plugin.clone(),
        plugin_version: args.plugin_version.clone(),
        params,
        bars: files.features.as_ref().map(|features| TrainedBars {
            time_frame: features.time_frame.to_string(),
            max_gap_bars: features.max_gap_bars,
        }),
        audit,
        feature_set: files.features.map(|features| features.feature_set_sha256),
        artifact: files.artifact,
        scaler: files.scaler,
        readout: files.readout,
        golden: None,
        replace: args.replace,
    };
    let path = write_model_package(root, &spec).map_err(failure)?;
    let mut warnings: Vec<String> = unknown_features(args, &spec).into_iter().collect();
    warnings.extend(warning(&path, &settings)?);
    let mut document = json!({
        "path": path,
        "name": spec.name,
        "version": spec.version,
        "feature_set": spec.feature_set,
        "bars": spec.bars,
        "audit": spec.audit,
        "audit_passed": is_passed,
        "has_scaler": !spec.scaler.is_empty(),
        "has_readout": !spec.readout.is_empty(),
    });
    if !warnings.is_empty() {
        document["warning"] = json!(warnings.join("; "));
    }
    context.output.show(&document, || {
        let mut text = format!("{}: model {} {}\n", path.display(), spec.name, spec.version);
        match is_passed {
            Some(true) => text.push_str("its features passed their audit\n"),
            Some(false) => {
                text.push_str("its features were not audited, and the package says so\n")
            }
            None => {}
        }
        for warning in &warnings {
            text.push_str(&format!("warning: {warning}\n"));
        }
        text
    })
}

/// What the package records of the audit of its features; `None` for a model that was not trained.
///
/// # Errors
/// [`Failure::Refused`] where they failed it, or never had one and nobody allowed that.
fn audit(
    args: &ModelArgs,
    files: &ModelFiles,
    settings: &EngineSettings,
) -> Result<Option<PackedAudit>, Failure> {
    if args.artifact.is_none() {
        return Ok(None);
    }
    if let (Some(command), Some(features)) = (&args.features_by, &files.features) {
        return Err(Failure::Usage(format!(
            "--features-by names `{command}`, but the model was trained on a feature set of this \
             engine ({}), which makes its rows; leave it out",
            features.feature_set_sha256
        )));
    }
    let program = args.features_by.as_deref();
    let program = program
        .map(|command| Program::of(command, &args.sources))
        .transpose();
    let program = program.map_err(|words| Failure::Refused(anyhow::anyhow!(words)))?;
    let gated = Gated {
        program: program.as_ref(),
        allow_unaudited: args.allow_unaudited,
        ..Gated::of_files(files)
    };
    gate::pass(&gated, settings).map(Some)
}

/// What to know where the features of a trained model are not known.
fn unknown_features(args: &ModelArgs, spec: &ModelPackageSpec) -> Option<String> {
    let artifact = args.artifact.as_ref()?;
    spec.feature_set.is_none().then(|| {
        let path = ModelFeatures::path_of(artifact);
        format!(
            "there is no {}, so that the package does not say which features the model was \
             trained on, and goes live over any; keep that file of the run beside the artifact",
            path.display()
        )
    })
}

/// Why the model cannot be served yet: its plugin may come later, so this is no failure.
fn warning(path: &Path, settings: &EngineSettings) -> Result<Option<String>, Failure> {
    let manifest = ModelManifest::read(path).map_err(failure)?;
    let installed = Catalog::read(&settings.plugin_dirs, &[]).plugins;
    let (id, dirs) = (&manifest.plugin, &settings.plugin_dirs);
    let dirs: Vec<String> = dirs.iter().map(|dir| dir.display().to_string()).collect();
    let versions: Vec<&str> = installed
        .iter()
        .filter(|one| one.name == *id)
        .map(|one| one.version.as_str())
        .collect();
    if versions.is_empty() {
        let names: Vec<&str> = installed.iter().map(|one| one.name.as_str()).collect();
        let hint = match nearest(id, &names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "install it before the model is served".to_owned(),
        };
        let dirs = dirs.join(", ");
        return Ok(Some(format!(
            "plugin {id} is not installed in {dirs}; {hint}"
        )));
    }
    if versions
        .iter()
        .any(|version| manifest.takes_plugin(version))
    {
        return Ok(None);
    }
    Ok(Some(format!(
        "no installed version of {id} fits `{}`; there are: {}",
        manifest.plugin_version.unwrap_or_default(),
        versions.join(", ")
    )))
}

fn failure(error: ModelPackageError) -> Failure {
    match error {
        ModelPackageError::Io { .. } => Failure::Failed(error.into()),
        error => Failure::Refused(error.into()),
    }
}
