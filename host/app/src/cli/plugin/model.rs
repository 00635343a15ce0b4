//! `fusebox plugin model`: weights and configuration under a name, apart from the code.

use std::path::{Path, PathBuf};

use clap::Args;
use fusebox_loader::live::catalog::Catalog;
use fusebox_loader::live::model_package::ModelManifest;
use fusebox_loader::live::{ModelPackageError, ModelPackageSpec, TrainedBars, write_model_package};
use fusebox_plugin_api::config::{Config, nearest};
use fusebox_services::audit::Verdict;
use fusebox_services::training::{ModelFeatures, ModelFiles};
use serde_json::json;

use crate::cli::{Context, EngineArgs, engine_settings};
use crate::failure::Failure;
use crate::wiring::EngineSettings;

/// Put weights and configuration under a name; a newer version goes live by itself
#[derive(Debug, Args)]
#[command(after_help = "\
The model package is DIR/NAME/VERSION/model.toml with the artifact beside it; DIR is the first of
engine.live.model_dirs. What a run kept beside the artifact goes into it too: the digest of the
features (NAME.features.json), without which nobody can tell whether the model fits the rows, its
scaler and its readout. A model whose features failed their last `fusebox features audit` is
refused; with --require-audit one whose features were never audited is, too.
`fusebox plugin serve --model NAME` keeps it live; weights are replaced without loading the
plugin's code again.

Examples:
  fusebox plugin model fast 1.0.0 --plugin com.example.ema --params '{\"alpha\": 0.5}'
  fusebox plugin model direction 1.1.0 --plugin ai.fusebox.gbm \\
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
    /// Refuse a model whose features have not passed an audit
    #[arg(long)]
    require_audit: bool,
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
    let audited = audited(args, &files, &settings)?;
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
        "audit_passed": audited,
        "has_scaler": !spec.scaler.is_empty(),
        "has_readout": !spec.readout.is_empty(),
    });
    if !warnings.is_empty() {
        document["warning"] = json!(warnings.join("; "));
    }
    context.output.show(&document, || {
        let mut text = format!("{}: model {} {}\n", path.display(), spec.name, spec.version);
        if spec.feature_set.is_some() && audited.is_none() {
            text.push_str("its features were not audited: see fusebox features audit --help\n");
        }
        for warning in &warnings {
            text.push_str(&format!("warning: {warning}\n"));
        }
        text
    })
}

/// Whether the features of the model passed their last audit; `None` where they had none.
///
/// # Errors
/// [`Failure::Refused`] where they failed it, or have to have passed one and did not.
fn audited(
    args: &ModelArgs,
    files: &ModelFiles,
    settings: &EngineSettings,
) -> Result<Option<bool>, Failure> {
    let refuse = |words: String| Err(Failure::Refused(anyhow::anyhow!(words)));
    let Some(features) = &files.features else {
        return if args.require_audit {
            refuse(
                "--require-audit: no features file says what the model was trained on".to_owned(),
            )
        } else {
            Ok(None)
        };
    };
    let digest = &features.feature_set_sha256;
    let passed = Verdict::passed(&settings.state_dir, digest)
        .map_err(|error| Failure::Refused(error.into()))?;
    match passed {
        Some(false) => refuse(format!(
            "the features of the model failed their last audit ({}); mend them, audit them again \
             and train anew",
            Verdict::path(&settings.state_dir, digest).display()
        )),
        None if args.require_audit => refuse(format!(
            "--require-audit: the features of the model ({digest}) were never audited here; run \
             `fusebox features audit PIPELINE` first"
        )),
        _ => Ok(passed),
    }
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
