//! `fusebox plugin describe`: what a plugin learns, and its settings, as the plugin itself says.

use clap::Args;
use fusebox_plugin_api::model::{InputShape, LearnerInfo};
use fusebox_plugin_api::params::ParamSpec;
use fusebox_services::training::PluginId;
use serde_json::{Value, json};

use crate::cli::{Context, EngineArgs, engine_settings};
use crate::failure::Failure;
use crate::output::table;
use crate::wiring;

/// Show what a plugin learns, and every setting of `model.params`
#[derive(Debug, Args)]
#[command(after_help = "\
The plugin is loaded and asked, so the list is that of the version that a run takes. ID may be the
last word of an id, such as gbm for ai.fusebox.gbm. A search looks between the bounds of `search`,
`log` meaning evenly over the logarithm.

Examples:
  fusebox plugin describe gbm
  fusebox plugin describe ai.fusebox.gbm 0.1.0 --json")]
pub(crate) struct DescribeArgs {
    /// Id of the plugin, or its last word
    #[arg(value_name = "ID")]
    id: String,
    /// Version; without it, the latest
    #[arg(value_name = "VERSION")]
    number: Option<String>,
    #[command(flatten)]
    engine: EngineArgs,
}

pub(crate) fn run(args: &DescribeArgs, context: &Context) -> Result<(), Failure> {
    let settings = engine_settings(&args.engine, context)?;
    let chosen = (args.id.as_str(), args.number.as_deref());
    let (plugin, learner) = wiring::describe(chosen, &settings)?;
    let document = json!({
        "id": plugin.id,
        "version": plugin.version,
        "sha256": plugin.sha256,
        "learner": learner,
    });
    context
        .output
        .show(&document, || text(&plugin, learner.as_ref()))
}

fn text(plugin: &PluginId, learner: Option<&LearnerInfo>) -> String {
    let (id, version) = (&plugin.id, &plugin.version);
    let Some(learner) = learner else {
        return format!("{id} {version} learns nothing: it answers with models from elsewhere\n");
    };
    let words = |value: Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    let tasks = learner.tasks.iter();
    let tasks = tasks.map(|task| words(serde_json::to_value(task).unwrap_or_default()));
    let rows = match &learner.input {
        InputShape::Row => "one row at a time".to_owned(),
        InputShape::Window { default_steps, .. } => format!("windows of {default_steps} rows"),
    };
    let resumes = match learner.resumes {
        true => "goes on from checkpoints",
        false => "begins anew when it was interrupted",
    };
    let tasks = tasks.collect::<Vec<String>>().join(", ");
    let mut text = format!(
        "{} ({id} {version})\n  {}\n\n  tasks    {tasks}\n  takes    {rows}\n  \
         a fit    {resumes}\n",
        learner.name, learner.doc
    );
    if learner.params.is_empty() {
        text.push_str("\nIt has no settings.\n");
        return text;
    }
    let mut settings = table(&["setting", "default", "is", "search", "means"]);
    for spec in &learner.params {
        settings.add_row([
            spec.name.clone(),
            default(spec),
            spec.domain.to_string(),
            search(spec),
            spec.doc.clone(),
        ]);
    }
    text.push_str(&format!("\n{settings}\n"));
    text
}

fn default(spec: &ParamSpec) -> String {
    match &spec.default {
        Value::String(text) if text.is_empty() => "empty".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Where a search looks; a dash where it leaves the setting alone.
fn search(spec: &ParamSpec) -> String {
    match spec.search {
        Some(range) => {
            let scale = if range.log { ", log" } else { "" };
            format!("{} to {}{scale}", range.low, range.high)
        }
        None if spec.searched => "all".to_owned(),
        None => "-".to_owned(),
    }
}
