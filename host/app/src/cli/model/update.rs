//! `fusebox model update`: a registered model takes in newer rows.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::{Args, ValueEnum};
use fusebox_services::registry::{Entry, Registry};
use fusebox_services::training::{UpdateMode, UpdateOptions, UpdateVerdict, Updated};
use serde_json::json;

use super::failure;
use crate::cli::run::{LayerArgs, quoted, sources};
use crate::cli::{Context, summary};
use crate::config::{self, ConfigError, Loaded, Problem};
use crate::failure::Failure;
use crate::output::grouped;
use crate::wiring::{self, EngineSettings, now_unix_s};

/// Let a registered model take in newer rows, judged against what it was
#[derive(Debug, Args)]
#[command(after_help = "\
PIPELINE names the data, and must have the features, labels, scaler and bars of the model's
training; the settings of the fit are those of the model. Of the rows after its training the newest
share is held out, with the labels before purged and the split's embargo kept; the model learns from
the others, and both are judged by what was held out. The updated model becomes the next version of
its name, with a card that says what it came from and whether it is better. Nothing changes where
anything fails, or the command is killed.

continue adds --rounds rounds; refit keeps the splits and blends the leaves: --decay of the old
value, the rest of the new one.

Examples:
  fusebox model update direction direction.toml --data candles --mode refit --decay 0.9
  fusebox model update direction direction.toml --data candles --mode continue --rounds 20
  fusebox model update direction direction.toml --data candles --mode refit --only-if-better")]
pub(in crate::cli) struct UpdateArgs {
    /// Name of the model
    name: String,
    /// Pipeline file
    pipeline: PathBuf,
    /// Version to begin from; without it, the latest
    #[arg(long = "from", value_name = "VERSION")]
    number: Option<String>,
    /// How rows are taken in
    #[arg(long, value_enum)]
    mode: Mode,
    /// Rounds that are added (continue); 20 unless given
    #[arg(long, value_name = "NUMBER")]
    rounds: Option<u32>,
    /// Share of a leaf's old value in its new one (refit); 0.9 unless given
    #[arg(long, value_name = "SHARE")]
    decay: Option<f64>,
    /// Share of the newer rows that both models are judged by
    #[arg(long, value_name = "SHARE", default_value_t = 0.3)]
    held_out: f64,
    /// Register nothing, and end with exit code 1, unless the update is better beyond its interval
    #[arg(long)]
    only_if_better: bool,
    /// Registry to use instead of engine.registry_dir
    #[arg(long, value_name = "DIR")]
    registry: Option<PathBuf>,
    #[command(flatten)]
    layers: LayerArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// More rounds.
    Continue,
    /// New values for the leaves.
    Refit,
}

pub(super) fn run(args: &UpdateArgs, context: &Context) -> Result<(), Failure> {
    let (loaded, found) = config::load(&sources(&args.pipeline, &args.layers, context))?;
    context.terminal.use_level(loaded.raw.engine.log);
    let settings = EngineSettings::new(&loaded, &context.variables);
    let mut problems = found;
    let options = options(args, &loaded, &mut problems);
    let own = problems.clone();
    let command_line = quoted(&context.arguments);
    let checked = match wiring::check(&loaded, problems, settings.clone(), command_line) {
        Ok(checked) if own.is_empty() => checked,
        Ok(_) => return Err(own.into()),
        Err(ConfigError::Problems(all)) => return Err(all.into()),
        Err(error) => return Err(error.into()),
    };
    let root = args.registry.as_ref().unwrap_or(&settings.registry_dir);
    let registry = Registry::open(root).map_err(failure)?;
    let parent = registry.find(&args.name, args.number.as_deref());
    let parent = parent.map_err(failure)?;
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // The second signal ends the process at once; nothing is written until the end.
        signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&interrupted))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&interrupted)))
            .map_err(anyhow::Error::from)?;
    }
    let how = (&context.terminal as _, interrupted.as_ref());
    let updated = wiring::update(checked, (&registry, &parent), &options, how)?;
    let is_kept = !args.only_if_better || updated.verdict == UpdateVerdict::Better;
    let added = match is_kept {
        true => {
            let now = u64::try_from(now_unix_s()).unwrap_or(0);
            let added = wiring::register_update((&registry, &parent), &updated, now);
            Some(added.map_err(failure)?)
        }
        false => None,
    };
    show((&parent, added.as_ref()), &updated, context)?;
    match is_kept {
        true => Ok(()),
        false => Err(Failure::Reported),
    }
}

/// What is asked for; what is wrong with it goes to the problems.
fn options(args: &UpdateArgs, loaded: &Loaded, problems: &mut Vec<Problem>) -> UpdateOptions {
    let mut refuse = |key: &str, words: String| problems.push(loaded.problem(key, words));
    let (rounds, decay) = (args.rounds.unwrap_or(20), args.decay.unwrap_or(0.9));
    match args.mode {
        Mode::Continue if args.decay.is_some() => {
            let words = "belongs to --mode refit; leave it out, or give --rounds";
            refuse("--decay", words.to_owned());
        }
        Mode::Refit if args.rounds.is_some() => {
            let words = "belongs to --mode continue; leave it out, or give --decay";
            refuse("--rounds", words.to_owned());
        }
        _ => {}
    }
    if !(1..=100_000).contains(&rounds) {
        refuse(
            "--rounds",
            format!("is {rounds}; it must lie between 1 and 100000"),
        );
    }
    if !(0.0..=1.0).contains(&decay) {
        refuse(
            "--decay",
            format!("is {decay}; it must lie between 0 and 1"),
        );
    }
    let share = args.held_out;
    if !(share > 0.0 && share < 1.0) {
        refuse(
            "--held-out",
            format!("is {share}; it must lie between 0 and 1, both left out"),
        );
    }
    UpdateOptions {
        mode: match args.mode {
            Mode::Continue => UpdateMode::Continue { rounds },
            Mode::Refit => UpdateMode::Refit { decay },
        },
        held_out_share: share,
    }
}

fn show(
    (parent, added): (&Entry, Option<&(Entry, bool)>),
    updated: &Updated,
    context: &Context,
) -> Result<(), Failure> {
    let registered = added.map(
        |(entry, _)| json!({"name": entry.name, "version": entry.version, "digest": entry.digest}),
    );
    let document = json!({
        "parent": {"name": parent.name, "version": parent.version, "digest": parent.digest},
        "registered": registered,
        "is_new": added.is_some_and(|(_, is_new)| *is_new),
        "verdict": updated.verdict,
        "model_sha256": updated.card.model.sha256,
        "test": updated.test,
        "card": updated.card,
    });
    context
        .output
        .show(&document, || text(parent, added, updated))
}

fn text(parent: &Entry, added: Option<&(Entry, bool)>, updated: &Updated) -> String {
    let card = &updated.card;
    let learned = card.parent.as_ref().map_or(0, |parent| parent.learned_rows);
    let mut text = format!(
        "{} took in {} rows up to {}; {} rows up to {} were held out\n",
        parent.title(),
        grouped(learned),
        card.model.trained.to,
        grouped(updated.test.rows),
        card.split.tested.to
    );
    for metric in &card.metrics {
        let interval = metric.interval.map_or_else(String::new, |interval| {
            format!(" ({:+.4} to {:+.4})", interval.low, interval.high)
        });
        let before = match metric.baseline {
            Some(_) => format!(", before {}", summary::number(metric.baseline)),
            None => String::new(),
        };
        let value = summary::number(metric.value);
        text.push_str(&format!(
            "  {:<21} {value}{interval}{before}\n",
            metric.name
        ));
    }
    text.push_str(match updated.verdict {
        UpdateVerdict::Better => "the update is better on what was held out\n",
        UpdateVerdict::Undecided => {
            "the update is no better as far as the held-out rows tell: the interval of the \
             difference in loss holds zero\n"
        }
        UpdateVerdict::Worse => "the update is WORSE on what was held out\n",
    });
    match added {
        None => text.push_str("nothing was registered (--only-if-better)\n"),
        Some((entry, true)) => text.push_str(&format!("registered as {}\n", entry.title())),
        Some((entry, false)) => {
            text.push_str(&format!("is registered already as {}\n", entry.title()));
        }
    }
    text
}
