//! `fusebox run`: the whole path, from candles to a report.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::{Context, summary};
use crate::config::{self, Loaded, Problem, Sources};
use crate::failure::Failure;
use crate::wiring::{self, EngineSettings};

/// Train walk-forward, predict out of sample, backtest and report
#[derive(Debug, Args)]
#[command(after_help = "\
Layers of configuration, the strongest last: defaults, configs/engine.toml, the pipeline file,
FUSEBOX_* variables with __ between levels, --set, the flags below.

Examples:
  fusebox run configs/pipelines/direction-1h-lightgbm.toml --data candles --out out/first
  fusebox run direction.toml --set data.source=simulated --out out/simulated --overwrite
  fusebox run direction.toml --data candles --out out/deep --set model.params.num_leaves=63
  FUSEBOX_RUN__SEED=7 fusebox run direction.toml --data candles --print-config")]
pub(super) struct RunArgs {
    /// Pipeline file
    pipeline: PathBuf,
    #[command(flatten)]
    layers: LayerArgs,
    /// Directory for the result; it must not exist or be empty
    #[arg(long, value_name = "DIR", required_unless_present = "print_config")]
    out: Option<PathBuf>,
    /// Replace the run that is in --out, once the new one is complete
    #[arg(long)]
    overwrite: bool,
    /// Show the resolved configuration with the origin of each value, and run nothing
    #[arg(long)]
    print_config: bool,
}

/// Layers of a pipeline's configuration that the command line adds.
#[derive(Debug, Args)]
pub(super) struct LayerArgs {
    /// Data directory with recorded candles; sets data.source and data.dir
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Seed; sets run.seed
    #[arg(long)]
    seed: Option<u32>,
    /// Threads, 0 for one per core; sets run.threads
    #[arg(long)]
    threads: Option<u32>,
    /// Set one value, which is TOML; a text needs no quotes. May be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    assignments: Vec<String>,
    #[command(flatten)]
    engine: super::EngineArgs,
}

pub(super) fn run(args: RunArgs, context: &Context) -> Result<(), Failure> {
    let (loaded, problems) = config::load(&sources(&args.pipeline, &args.layers, context))?;
    context.terminal.use_level(loaded.raw.engine.log);
    if args.print_config {
        return print_config(&loaded, problems, context);
    }
    let settings = EngineSettings::new(&loaded, &context.variables);
    let command_line = quoted(&context.arguments);
    let checked = wiring::check(&loaded, problems, settings, command_line)?;
    let Some(out) = args.out else {
        return Err(Failure::Usage("--out is missing".to_owned()));
    };
    let target = wiring::Target {
        out: &out,
        overwrite: args.overwrite,
    };
    let summary = wiring::start(checked, target, &context.terminal)?;
    context
        .output
        .show(&summary::document(&summary), || summary::text(&summary))
}

/// The layers of one pipeline, the strongest last.
pub(super) fn sources(pipeline: &Path, args: &LayerArgs, context: &Context) -> Sources {
    let mut sources = super::engine_sources(&args.engine, context);
    sources.pipeline = Some(pipeline.to_path_buf());
    sources.assignments.clone_from(&args.assignments);
    if let Some(dir) = &args.data {
        let dir = Value::String(dir.to_string_lossy().into_owned());
        sources
            .flags
            .push(("data.source", json!("files"), "--data"));
        sources.flags.push(("data.dir", dir, "--data"));
    }
    if let Some(seed) = args.seed {
        sources.flags.push(("run.seed", json!(seed), "--seed"));
    }
    if let Some(threads) = args.threads {
        sources
            .flags
            .push(("run.threads", json!(threads), "--threads"));
    }
    sources
}

/// Shows the configuration. Keys and types must be right; whether the values make a run is not
/// asked, so that an unfinished pipeline can be looked at.
pub(super) fn print_config(
    loaded: &Loaded,
    problems: Vec<Problem>,
    context: &Context,
) -> Result<(), Failure> {
    if !problems.is_empty() {
        return Err(problems.into());
    }
    let text = config::to_toml(loaded)?;
    context.output.show(&config::to_json(loaded)?, || text)
}

/// The command line as it would be typed in a shell.
pub(super) fn quoted(arguments: &[String]) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./=:,@%+".contains(&byte);
    let words: Vec<String> = arguments
        .iter()
        .map(|word| {
            if !word.is_empty() && word.bytes().all(plain) {
                word.clone()
            } else {
                format!("'{}'", word.replace('\'', r"'\''"))
            }
        })
        .collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_can_be_typed_again() {
        let words = ["fusebox", "run", "a b.toml", "--set", "x=['it''s']", ""].map(str::to_owned);
        let text = quoted(&words);
        assert_eq!(
            text,
            r"fusebox run 'a b.toml' --set 'x=['\''it'\'''\''s'\'']' ''"
        );
    }
}
