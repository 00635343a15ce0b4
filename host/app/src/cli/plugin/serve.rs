//! `fusebox plugin serve`: models kept live over bars that close one after the other.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Args;
use serde_json::{Value, json};

use crate::cli::{Context, EngineArgs, engine_sources};
use crate::config;
use crate::failure::Failure;
use crate::wiring::EngineSettings;
use crate::wiring::live::{self, Pace, ServePlan};

/// Keep a model live: show every answer, and swap versions without losing a bar
#[derive(Debug, Args)]
#[command(after_help = "\
Bars close one after the other, from the pipeline's data or from the simulated market, and the model
answers each. A newer version that is installed meanwhile goes live by itself; `fusebox plugin
reload|pin|unpin|rollback` steer it from another terminal, `fusebox plugin audit` tells what
happened. It ends with the bars, or at an interrupt. Features need some bars before the first
answer. With --json there is one document per line: answers, failures, events, and a summary at the
end.

Examples:
  fusebox plugin serve --plugin com.example.ema --params '{\"alpha\": 0.1}'
  fusebox plugin serve direction.toml --data candles --plugin com.example.ema --bars-per-second 0
  fusebox plugin serve --model direction --bars 100 --json")]
pub(crate) struct ServeArgs {
    /// Pipeline file: data, features and plugin are taken from it
    pipeline: Option<PathBuf>,
    /// Plugin to keep live, instead of the pipeline's
    #[arg(long, value_name = "ID", conflicts_with = "model")]
    plugin: Option<String>,
    /// Versions to follow: latest, latest-N (N stay loaded), or one such as 1.4.2
    #[arg(long, value_name = "POLICY", default_value = "latest")]
    versions: String,
    /// Configuration of the model, as JSON
    #[arg(long, value_name = "JSON", conflicts_with = "model")]
    params: Option<String>,
    /// Artifact of the model, such as a trained one of a run
    #[arg(long, value_name = "FILE", conflicts_with = "model")]
    artifact: Option<PathBuf>,
    /// Model package to keep live, by name, from engine.live.model_dirs
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Data directory with recorded candles; without it and without a pipeline, the market is
    /// simulated
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Features, separated by `;`, instead of the pipeline's or the model's own
    #[arg(long, value_name = "LIST")]
    features: Option<String>,
    /// Set one value, which is TOML; a text needs no quotes. May be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    assignments: Vec<String>,
    /// How fast bars close; 0 is as fast as the model answers
    #[arg(long, value_name = "COUNT", default_value_t = 2.0)]
    bars_per_second: f64,
    /// Stop after this many closing times
    #[arg(long, value_name = "COUNT")]
    bars: Option<u64>,
    /// Go on after the bar where the last serving of the model with this flag stopped, without
    /// replaying those before it; the state of the features is kept in engine.state_dir
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    engine: EngineArgs,
}

/// The market of a command without a pipeline.
const DEFAULTS: [&str; 6] = [
    "data.source=simulated",
    "data.exchange=BINANCE",
    "data.symbols=[\"BTCUSDT\"]",
    "data.time_frame=1h",
    "data.from=2024-01-01",
    "data.to=2025-01-01",
];

pub(crate) fn run(args: ServeArgs, context: &Context) -> Result<(), Failure> {
    let (loaded, problems) = config::load(&sources(&args, context))?;
    context.terminal.use_level(loaded.raw.engine.log);
    if !problems.is_empty() {
        return Err(problems.into());
    }
    let settings = EngineSettings::new(&loaded, &context.variables);
    let pace = Pace::new(args.bars_per_second, args.bars).map_err(Failure::Usage)?;
    let plan = ServePlan {
        plugin: args.plugin,
        versions: args.versions,
        params: args.params,
        artifact: args.artifact,
        model: args.model,
        features: args.features,
        resume: args.resume,
        pace,
    };
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).map_err(anyhow::Error::from)?;
    }
    live::serve(&loaded, &settings, &plan, &stop, context.output)
}

fn sources(args: &ServeArgs, context: &Context) -> config::Sources {
    let mut sources = engine_sources(&args.engine, context);
    sources.pipeline.clone_from(&args.pipeline);
    if args.pipeline.is_none() {
        // Without a pipeline there is something to serve all the same; --set and --data change it.
        sources.assignments = DEFAULTS.map(str::to_owned).to_vec();
    }
    sources.assignments.extend(args.assignments.iter().cloned());
    if let Some(dir) = &args.data {
        let dir = Value::String(dir.to_string_lossy().into_owned());
        sources
            .flags
            .push(("data.source", json!("files"), "--data"));
        sources.flags.push(("data.dir", dir, "--data"));
    }
    sources
}
