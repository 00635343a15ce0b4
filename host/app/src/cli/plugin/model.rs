//! `fusebox plugin model`: weights and configuration under a name, apart from the code.

use std::path::PathBuf;

use clap::Args;
use fusebox_loader::live::{ModelPackageError, ModelPackageSpec, write_model_package};
use fusebox_plugin_api::config::Config;
use serde_json::json;

use crate::cli::{Context, EngineArgs, engine_settings};
use crate::failure::Failure;

/// Put weights and configuration under a name; a newer version goes live by itself
#[derive(Debug, Args)]
#[command(after_help = "\
The model package is DIR/NAME/VERSION/model.toml with the artifact beside it; DIR is the first of
engine.live.model_dirs. `fusebox plugin serve --model NAME` keeps it live; weights are replaced
without loading the plugin's code again.

Examples:
  fusebox plugin model fast 1.0.0 --plugin com.example.ema --params '{\"alpha\": 0.5}'
  fusebox plugin model direction 1.1.0 --plugin ai.fusebox.gbm --artifact out/demo/fold-9.model")]
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
    let artifact = match &args.artifact {
        None => Ok(Vec::new()),
        Some(path) => std::fs::read(path)
            .map_err(|error| problems.push(format!("{} cannot be read: {error}", path.display()))),
    };
    let (Ok(params), Ok(artifact)) = (params, artifact) else {
        return Err(Failure::Usage(problems.join("; ")));
    };
    let spec = ModelPackageSpec {
        name: args.name.clone(),
        version: args.number.clone(),
        plugin: args.plugin.clone(),
        plugin_version: args.plugin_version.clone(),
        params,
        artifact,
        golden: None,
        replace: args.replace,
    };
    let path = write_model_package(root, &spec).map_err(failure)?;
    let document = json!({"path": path, "name": spec.name, "version": spec.version});
    context.output.show(&document, || {
        format!("{}: model {} {}\n", path.display(), spec.name, spec.version)
    })
}

fn failure(error: ModelPackageError) -> Failure {
    match error {
        ModelPackageError::Io { .. } => Failure::Failed(error.into()),
        error => Failure::Refused(error.into()),
    }
}
