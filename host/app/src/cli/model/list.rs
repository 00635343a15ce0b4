//! `fusebox model list` and `show`: what there is, and the card of one.

use clap::Args;
use fusebox_services::registry::{Entry, Registry, Role};
use fusebox_services::training::ModelCard;
use serde_json::{Value, json};

use super::{RegistryArgs, failure, open};
use crate::cli::{Context, summary};
use crate::failure::Failure;
use crate::output::table;

/// List the models of the registry with their key figures
#[derive(Debug, Args)]
#[command(after_help = "\
Figures are out of sample, each with its baseline where there is room for one.

Examples:
  fusebox model list
  fusebox model list direction --json")]
pub(in crate::cli) struct ListArgs {
    /// Only the versions of this model
    name: Option<String>,
    #[command(flatten)]
    registry: RegistryArgs,
}

/// Show the card of a model
#[derive(Debug, Args)]
#[command(after_help = "\
The card says what the model learned from and how, how good it is beside its baselines, and what to
beware of.

Examples:
  fusebox model show direction
  fusebox model show direction 1.0.2 --json")]
pub(in crate::cli) struct ShowArgs {
    /// Name of the model
    name: String,
    /// Version; without it, the latest
    #[arg(value_name = "VERSION")]
    number: Option<String>,
    #[command(flatten)]
    registry: RegistryArgs,
}

pub(super) fn list(args: &ListArgs, context: &Context) -> Result<(), Failure> {
    let (registry, _) = open(&args.registry, context)?;
    let entries = match &args.name {
        None => registry.list().map_err(failure)?,
        Some(name) => {
            registry.find(name, None).map_err(failure)?;
            let all = registry.list().map_err(failure)?.into_iter();
            all.filter(|entry| entry.name == *name).collect()
        }
    };
    let mut rows = Vec::new();
    for entry in &entries {
        rows.push((entry, registry.card(entry).map_err(failure)?));
    }
    let document = json!({
        "registry": registry.root(),
        "models": rows.iter().map(|(entry, card)| document(entry, card)).collect::<Vec<Value>>(),
    });
    context.output.show(&document, || text(&registry, &rows))
}

fn document(entry: &Entry, card: &ModelCard) -> Value {
    json!({
        "name": entry.name,
        "version": entry.version,
        "digest": entry.digest,
        "created_at_unix_s": entry.created_at_unix_s,
        "from": entry.from,
        "task": card.task,
        "plugin": card.plugin,
        "model_sha256": card.model.sha256,
        "trials": card.trials,
        "metrics": card.metrics,
        "warnings": card.warnings,
    })
}

fn metric(card: &ModelCard, name: &str) -> (Option<f64>, Option<f64>) {
    let found = card.metrics.iter().find(|metric| metric.name == name);
    found.map_or((None, None), |metric| (metric.value, metric.baseline))
}

fn text(registry: &Registry, rows: &[(&Entry, ModelCard)]) -> String {
    if rows.is_empty() {
        return format!("{} holds no model\n", registry.root().display());
    }
    let mut lines = table(&[
        "model",
        "version",
        "task",
        "loss",
        "baseline",
        "accuracy",
        "majority",
        "Sharpe",
        "hold",
        "from",
        "model sha256",
    ]);
    for (entry, card) in rows {
        // Of returns the pinball loss or the error stands in the place of the log loss.
        let losses = [
            "log_loss",
            "pinball_loss",
            "root_mean_squared_error",
            "squared_error",
        ];
        let losses = losses.iter().map(|name| metric(card, name));
        let known = losses.into_iter().find(|(value, _)| value.is_some());
        let (loss, shares) = known.unwrap_or_default();
        let (accuracy, majority) = metric(card, "accuracy");
        let (sharpe, hold) = metric(card, "sharpe_ratio");
        // What stands beside the figures of an update is the model before it, no baseline.
        let is_update = card.parent.is_some();
        let baseline = |value: Option<f64>| value.filter(|_| !is_update);
        lines.add_row([
            entry.name.clone(),
            entry.version.clone(),
            card.task.clone(),
            summary::number(loss),
            summary::number(baseline(shares)),
            summary::percent(accuracy),
            summary::percent(baseline(majority)),
            summary::decimals(sharpe),
            summary::decimals(hold),
            entry.from.clone(),
            card.model.sha256.chars().take(12).collect(),
        ]);
    }
    format!("{lines}\n")
}

pub(super) fn show(args: &ShowArgs, context: &Context) -> Result<(), Failure> {
    let (registry, _) = open(&args.registry, context)?;
    let found = registry.find(&args.name, args.number.as_deref());
    let entry = found.map_err(failure)?;
    let card = registry.card(&entry).map_err(failure)?;
    let told = registry.read(&entry, Role::CardText).map_err(failure)?;
    let document = json!({"entry": entry, "card": card});
    context.output.show(&document, || {
        let told = told.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let told = told.unwrap_or_else(|| card.to_markdown());
        format!(
            "{} from {}, digest {}\n\n{told}",
            entry.title(),
            entry.from,
            entry.digest
        )
    })
}
