//! `fusebox train`: one or several pipelines, resumable, with one evaluation page.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Args;
use fusebox_services::registry::{Entry, NewModel, Registry, RegistryError};
use fusebox_services::report::{Estimate, PairedTest, Quality};
use fusebox_services::training::{EVALUATION_PAGE, TrainSummary, TrainedRun};
use serde_json::{Value, json};

use super::model::failure as registry_failure;
use super::run::{LayerArgs, print_config, quoted, sources};
use super::{Context, summary};
use crate::config::{self, Problem};
use crate::failure::Failure;
use crate::output::{grouped, table};
use crate::wiring::{self, EngineSettings, Target, now_unix_s};

/// Train, evaluate and backtest pipelines, resumable, with one page that compares them
#[derive(Debug, Args)]
#[command(after_help = "\
DIR gets one run directory for each pipeline, by its run.name, with the final model, its card and
its report, and evaluation.html, which compares all of them. While it goes on it is DIR.partial; a
training that was interrupted or killed goes on from there with the same command, and comes out as
if nothing had happened. model.params.checkpoint_rounds says how often a fit can be taken up.
The final models go into the registry as the next version of their name (`fusebox model list`).

Examples:
  fusebox train direction.toml --data candles --out out/direction
  fusebox train lightgbm.toml xgboost.toml --data candles --out out/both
  fusebox train direction.toml --data candles --out out/direction --set train.final=refit
  fusebox train direction.toml --data candles --out out/direction --fresh")]
pub(super) struct TrainArgs {
    /// Pipeline files
    #[arg(required = true, num_args = 1.., value_name = "PIPELINE")]
    pipelines: Vec<PathBuf>,
    /// Directory for the result; it must not exist or be empty
    #[arg(long, value_name = "DIR", required_unless_present = "print_config")]
    out: Option<PathBuf>,
    #[command(flatten)]
    layers: LayerArgs,
    /// Replace the training that is in --out, once the new one is complete
    #[arg(long)]
    overwrite: bool,
    /// Throw away what an interrupted training left, instead of going on
    #[arg(long)]
    fresh: bool,
    /// Do not put the final models into the registry
    #[arg(long)]
    no_register: bool,
    /// Registry to use instead of engine.registry_dir
    #[arg(long, value_name = "DIR", conflicts_with = "no_register")]
    registry: Option<PathBuf>,
    /// Show the resolved configuration of each pipeline, and train nothing
    #[arg(long)]
    print_config: bool,
}

pub(super) fn run(args: &TrainArgs, context: &Context) -> Result<(), Failure> {
    if args.print_config && args.pipelines.len() > 1 {
        return Err(Failure::Usage(
            "--print-config shows one pipeline at a time".to_owned(),
        ));
    }
    let command_line = quoted(&context.arguments);
    let (mut checked, mut sound, mut problems) = (Vec::new(), Vec::new(), Vec::new());
    let mut registry_dir = args.registry.clone();
    for pipeline in &args.pipelines {
        let (loaded, found) = config::load(&sources(pipeline, &args.layers, context))?;
        context.terminal.use_level(loaded.raw.engine.log);
        if args.print_config {
            print_config(&loaded, found, context)?;
            continue;
        }
        let settings = EngineSettings::new(&loaded, &context.variables);
        registry_dir.get_or_insert_with(|| settings.registry_dir.clone());
        match wiring::check(&loaded, found, settings.clone(), command_line.clone()) {
            Ok(run) => {
                checked.push(run);
                sound.push((loaded, settings));
            }
            Err(config::ConfigError::Problems(found)) => problems.extend(found),
            Err(error) => return Err(error.into()),
        }
    }
    // Only their plugins know what is wrong with hyper-parameters, and the first would speak alone.
    if !problems.is_empty() || sound.len() > 1 {
        for (loaded, settings) in &sound {
            problems.extend(wiring::param_problems(loaded, settings, true));
        }
    }
    if !problems.is_empty() {
        return Err(each_once(problems).into());
    }
    let (Some(out), false) = (&args.out, args.print_config) else {
        return Ok(());
    };
    // A registry that cannot be used is told before hours of work, not after.
    let registry = match (registry_dir, args.no_register) {
        (Some(dir), false) => {
            let registry = Registry::open_or_create(&dir).map_err(registry_failure)?;
            registry.list().map_err(registry_failure)?;
            Some(registry)
        }
        _ => None,
    };
    let target = Target {
        out,
        overwrite: args.overwrite,
    };
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // The second signal ends the process at once; what is kept stays good.
        signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&interrupted))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&interrupted)))
            .map_err(anyhow::Error::from)?;
    }
    let how = (target, args.fresh);
    let summary = wiring::train::start(checked, how, &context.terminal, &interrupted)?;
    let registered = register(registry.as_ref(), &summary)?;
    context.output.show(&document(&summary, &registered), || {
        text(&summary, &registered)
    })
}

/// What several pipelines share, such as a setting of the command line, is told once.
fn each_once(problems: Vec<Problem>) -> Vec<Problem> {
    let mut told: Vec<Problem> = Vec::with_capacity(problems.len());
    for problem in problems {
        if !told.contains(&problem) {
            told.push(problem);
        }
    }
    told
}

/// Puts the final models into the registry: what each is there, and whether it is new.
fn register(
    registry: Option<&Registry>,
    summary: &TrainSummary,
) -> Result<Vec<(Entry, bool)>, Failure> {
    let Some(registry) = registry else {
        return Ok(Vec::new());
    };
    let now = u64::try_from(now_unix_s()).unwrap_or(0);
    let add = |run: &TrainedRun| {
        let model = NewModel::of_run(&run.directory, &run.card.name, now)?;
        registry.add(&model)
    };
    let added: Result<Vec<(Entry, bool)>, RegistryError> = summary.runs.iter().map(add).collect();
    added.map_err(registry_failure)
}

fn document(summary: &TrainSummary, registered: &[(Entry, bool)]) -> Value {
    let runs = summary.runs.iter().enumerate().map(|(at, run)| {
        let entry = registered.get(at).map(|(entry, _)| entry);
        json!({
            "registered": entry.map(|entry| json!({
                "name": entry.name,
                "version": entry.version,
                "digest": entry.digest,
            })),
            "name": run.card.name,
            "directory": run.directory,
            "model_sha256": run.card.model.sha256,
            "card": run.card,
        })
    });
    json!({
        "out": summary.out,
        "page": summary.out.join(EVALUATION_PAGE),
        "resumed": summary.is_resumed,
        "runs": runs.collect::<Vec<Value>>(),
        "tests": summary.evaluation.tests,
        "notes": summary.evaluation.notes,
        "confidence": summary.evaluation.confidence,
    })
}

fn text(summary: &TrainSummary, registered: &[(Entry, bool)]) -> String {
    let mut text = String::new();
    if summary.is_resumed {
        text.push_str("went on from what was kept\n\n");
    }
    let mut lines = table(&[
        "model", "rows", "loss", "baseline", "accuracy", "baseline", "IC", "return", "hold",
        "Sharpe",
    ]);
    for run in &summary.runs {
        let (quality, trading) = (&run.report.quality, &run.report.trading);
        let [loss, baseline, accuracy, majority, correlation] = key_figures(quality);
        lines.add_row([
            run.card.name.clone(),
            grouped(quality.counts().1),
            loss,
            baseline,
            accuracy,
            majority,
            correlation,
            summary::percent(trading.strategy.total_return),
            summary::percent(trading.buy_and_hold.total_return),
            summary::decimals(trading.strategy.sharpe_ratio.value),
        ]);
    }
    text.push_str(&format!("{lines}\n\n{}\n", tests(summary)));
    for note in &summary.evaluation.notes {
        text.push_str(&format!("note: {note}\n"));
    }
    for run in &summary.runs {
        let of_data = &run.report.market.warnings;
        let own = run.card.warnings.iter();
        for warning in own.filter(|one| !of_data.contains(one)) {
            text.push_str(&format!("{}: {warning}\n", run.card.name));
        }
        if !of_data.is_empty() {
            let count = of_data.len();
            text.push_str(&format!(
                "{}: {count} warnings of the data stand on its card\n",
                run.card.name
            ));
        }
    }
    text.push_str(&format!(
        "\npage {}\n",
        summary.out.join(EVALUATION_PAGE).display()
    ));
    for run in &summary.runs {
        text.push_str(&format!(
            "run  {}, final model {}\n",
            run.directory.display(),
            run.card.model.sha256
        ));
    }
    for (entry, is_new) in registered {
        let words = if *is_new {
            "registered as"
        } else {
            "is registered already as"
        };
        text.push_str(&format!("{words} {}\n", entry.title()));
    }
    text
}

/// Loss and that of the baseline, accuracy and that of the majority class (none of returns), and
/// the correlation of the score and the return.
fn key_figures(quality: &Quality) -> [String; 5] {
    match quality {
        Quality::Classification(one) => [
            summary::number(one.log_loss),
            summary::number(one.baseline_log_loss),
            summary::percent(one.accuracy.value),
            summary::percent(one.majority_accuracy),
            summary::number(one.information_coefficient.value),
        ],
        Quality::Regression(one) => {
            let (loss, baseline) = match &one.quantiles {
                Some(quantiles) => (
                    quantiles.pinball_loss.value,
                    quantiles.baseline_pinball_loss,
                ),
                None => {
                    let mean = one.baselines.first();
                    let mean = mean.and_then(|one| one.root_mean_squared_error);
                    (one.root_mean_squared_error.value, mean)
                }
            };
            let unit = if one.quantiles.is_some() {
                "pinball"
            } else {
                "RMSE"
            };
            [
                format!("{} {unit}", summary::number(loss)),
                summary::number(baseline),
                String::new(),
                String::new(),
                summary::number(one.information_coefficient.value),
            ]
        }
    }
}

fn tests(summary: &TrainSummary) -> String {
    let mut lines = table(&["first", "less second", "loss", "DM p", "Holm", "accuracy"]);
    let p = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |p| format!("{p:.3}"));
    let of = |one: &Estimate, factor: f64| -> String {
        let value = |value: f64| format!("{:+.4}", value * factor);
        match (one.value, one.interval) {
            (Some(estimate), Some(interval)) => format!(
                "{} ({} to {})",
                value(estimate),
                value(interval.low),
                value(interval.high)
            ),
            (Some(estimate), None) => value(estimate),
            (None, _) => "-".to_owned(),
        }
    };
    let row = |test: &PairedTest| -> [String; 6] {
        [
            test.first.clone(),
            test.second.clone(),
            of(&test.loss, 1.0),
            p(test.diebold_mariano.as_ref().map(|one| one.p)),
            p(test.adjusted_p),
            of(&test.accuracy, 1.0),
        ]
    };
    for test in &summary.evaluation.tests {
        lines.add_row(row(test));
    }
    format!(
        "{lines}\nintervals hold at {:.0} % for all comparisons together; DM p is for each alone, \
         Holm for all",
        summary.evaluation.confidence * 100.0
    )
}
