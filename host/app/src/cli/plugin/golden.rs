//! `fusebox plugin golden`: known answers of a library, for its package.

use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::RangedI64ValueParser;
use fusebox_loader::backend::{Backend, Prepared, WorkerBackend};
use fusebox_loader::generation::{next_generation, private_copy, sha256_hex};
use fusebox_loader::live::golden::{Golden, GoldenInput, record};
use fusebox_loader::package::write_file;
use fusebox_plugin_api::config::Config;
use fusebox_plugin_api::import::HostServices;
use fusebox_plugin_api::model::ModelInfo;
use serde_json::json;

use crate::cli::{Context, EngineArgs, engine_settings};
use crate::failure::Failure;
use crate::wiring::load_options;

/// Write down what a library answers, as the known answers of its package
#[derive(Debug, Args)]
#[command(after_help = "\
The library runs in a worker process. The inputs are drawn from the seed; the answers are kept bit
by bit, and every machine checks them before the plugin goes live there.

Examples:
  fusebox plugin golden libema.so --config '{\"alpha\": 0.1}' --out golden.json
  fusebox plugin pack libema.so --golden golden.json --key .fusebox/keys/local.key")]
pub(crate) struct GoldenArgs {
    /// The built library
    library: PathBuf,
    /// Configuration of the model, as JSON
    #[arg(long, value_name = "JSON", default_value = "{}")]
    config: String,
    /// Rows to ask for, in frames of one row
    #[arg(long, value_name = "COUNT", default_value_t = 64, value_parser = count())]
    rows: u16,
    /// Columns where the model takes any number
    #[arg(long, value_name = "COUNT", default_value_t = 8, value_parser = count())]
    columns: u16,
    /// Seed of the inputs
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// File to write
    #[arg(long, value_name = "FILE", default_value = "golden.json")]
    out: PathBuf,
    #[command(flatten)]
    engine: EngineArgs,
}

fn count() -> RangedI64ValueParser<u16> {
    clap::value_parser!(u16).range(1..=4096)
}

pub(crate) fn run(args: &GoldenArgs, context: &Context) -> Result<(), Failure> {
    let settings = engine_settings(&args.engine, context)?;
    let config = Config::from_json(args.config.as_bytes())
        .map_err(|error| Failure::Usage(format!("--config cannot be read: {error}")))?;
    let options = load_options(&settings)?;
    let bytes = std::fs::read(&args.library).map_err(|error| {
        Failure::Usage(format!(
            "{} cannot be read: {error}",
            args.library.display()
        ))
    })?;
    let generation = next_generation();
    let copy = private_copy(
        &args.library,
        &sha256_hex(&bytes),
        &options.cache_dir,
        generation,
    )
    .map_err(anyhow::Error::from)?;
    let prepared = Prepared {
        path: copy.path,
        origin: args.library.clone(),
    };
    let golden = answers(args, &config, WorkerBackend::new(prepared, options.worker))?;
    write_file(&args.out, golden.to_json().as_bytes()).map_err(anyhow::Error::from)?;
    show(&args.out, &golden, context)
}

fn answers(args: &GoldenArgs, config: &Config, backend: WorkerBackend) -> Result<Golden, Failure> {
    let plugin = backend
        .open(HostServices::silent())
        .map_err(anyhow::Error::from)?;
    let mut model = plugin
        .create_model(config, &[])
        .map_err(anyhow::Error::from)?;
    let info = model.info().map_err(anyhow::Error::from)?;
    let inputs = inputs(args, &info);
    Ok(record(&mut *model, Some(config), &inputs).map_err(anyhow::Error::from)?)
}

/// One frame per row, so that state moves on between answers.
fn inputs(args: &GoldenArgs, info: &ModelInfo) -> Vec<GoldenInput> {
    let columns = info.columns.unwrap_or(usize::from(args.columns));
    let mut state = args.seed;
    let frame = |_| GoldenInput {
        rows: 1,
        columns,
        inputs: (0..info.window * columns)
            .map(|_| draw(&mut state))
            .collect(),
        event_ns: None,
    };
    (0..args.rows).map(frame).collect()
}

/// The next value between -4 and 4 (SplitMix64; Steele, Lea and Flood, 2014).
fn draw(state: &mut u64) -> f32 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^= mixed >> 31;
    (mixed >> 40) as f32 / (1_u32 << 24) as f32 * 8.0 - 4.0
}

fn show(out: &Path, golden: &Golden, context: &Context) -> Result<(), Failure> {
    let frames = golden.frames.len();
    let document = json!({"path": out, "frames": frames});
    context.output.show(&document, || {
        format!("{}: {frames} known answers\n", out.display())
    })
}
