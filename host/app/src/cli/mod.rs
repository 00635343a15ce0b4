//! The command line. The names of commands and flags are the project's for good; a command
//! appears here when it works.

mod backtest;
mod compare;
mod completions;
mod data;
mod doctor;
mod features;
mod forecasts;
mod luck;
mod model;
mod plugin;
mod review;
mod run;
mod summary;
mod train;
mod worker;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgAction, Args, Parser, Subcommand};

use crate::config::{self, Sources};
use crate::failure::Failure;
use crate::output::Output;
use crate::terminal::Terminal;
use crate::wiring::EngineSettings;

/// Trains, tests and reports plugin-based ML trading strategies.
#[derive(Debug, Parser)]
#[command(name = "fusebox", version, propagate_version = true, after_help = EXAMPLES)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  fusebox doctor
  fusebox data list candles
  fusebox run configs/pipelines/direction-1h-lightgbm.toml --data candles --out out/first

Exit codes: 0 ok, 1 failed, 2 bad usage or configuration.";

#[derive(Debug, Args)]
struct Global {
    /// Write one JSON document to the standard output; an error is the last line of the standard
    /// error, as JSON
    #[arg(long, global = true)]
    json: bool,
    /// Log errors only and show no progress
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Log more; give it twice or three times for details
    #[arg(long, short, global = true, action = ArgAction::Count)]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Command {
    Doctor(doctor::DoctorArgs),
    #[command(subcommand)]
    Data(data::DataCommand),
    #[command(subcommand)]
    Features(features::FeaturesCommand),
    #[command(subcommand)]
    Plugin(plugin::PluginCommand),
    Run(run::RunArgs),
    Train(train::TrainArgs),
    #[command(subcommand)]
    Model(model::ModelCommand),
    Backtest(backtest::BacktestArgs),
    Compare(compare::CompareArgs),
    Completions(completions::CompletionsArgs),
    Worker(worker::WorkerArgs),
    /// Print the JSON schema of pipeline files
    #[command(hide = true, after_help = "Examples:\n  fusebox schema")]
    Schema,
}

/// What every command works with.
#[derive(Debug)]
struct Context {
    output: Output,
    terminal: Terminal,
    /// The environment.
    variables: Vec<(String, String)>,
    /// The command line as it was given, for the record of a run.
    arguments: Vec<String>,
}

/// Arguments of commands that need the machine's configuration but no pipeline.
#[derive(Debug, Args)]
struct EngineArgs {
    /// Engine file to read instead of configs/engine.toml
    #[arg(long, value_name = "FILE")]
    engine: Option<PathBuf>,
    /// Directory with plugins, instead of those of the configuration; may be repeated
    #[arg(long = "plugin-dir", value_name = "DIR")]
    plugin_dirs: Vec<PathBuf>,
}

/// The layers of configuration for a command with [`EngineArgs`].
fn engine_sources(args: &EngineArgs, context: &Context) -> Sources {
    let mut flags = Vec::new();
    if !args.plugin_dirs.is_empty() {
        let dirs: Vec<String> = args
            .plugin_dirs
            .iter()
            .map(|dir| dir.to_string_lossy().into_owned())
            .collect();
        flags.push((
            "engine.plugin_dirs",
            serde_json::json!(dirs),
            "--plugin-dir",
        ));
    }
    Sources {
        engine: args.engine.clone(),
        variables: context.variables.clone(),
        flags,
        ..Sources::default()
    }
}

/// The machine's settings for a command without a pipeline.
fn engine_settings(args: &EngineArgs, context: &Context) -> Result<EngineSettings, Failure> {
    let (loaded, problems) = config::load(&engine_sources(args, context))?;
    if !problems.is_empty() {
        return Err(problems.into());
    }
    context.terminal.use_level(loaded.raw.engine.log);
    Ok(EngineSettings::new(&loaded, &context.variables))
}

/// Runs the command line and gives its exit code.
pub(crate) fn run(arguments: Vec<OsString>, variables: Vec<(String, String)>) -> ExitCode {
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return explain(&error, &arguments),
    };
    let json = cli.global.json;
    let context = Context {
        output: Output::new(json),
        terminal: Terminal::start(cli.global.quiet, cli.global.verbose),
        variables,
        arguments: arguments
            .iter()
            .map(|argument| argument.to_string_lossy().into_owned())
            .collect(),
    };
    let outcome = match cli.command {
        Command::Doctor(args) => doctor::run(args, &context),
        Command::Data(command) => data::run(command, &context),
        Command::Features(command) => features::run(command, &context),
        Command::Plugin(command) => plugin::run(command, &context),
        Command::Run(args) => run::run(args, &context),
        Command::Train(args) => train::run(&args, &context),
        Command::Model(command) => model::run(command, &context),
        Command::Backtest(args) => backtest::run(args, &context),
        Command::Compare(args) => compare::run(&args, &context),
        Command::Completions(args) => completions::run(&args, &context),
        Command::Worker(args) => worker::run(args, &context),
        Command::Schema => context
            .output
            .raw(config::Schema::pipeline().to_text().as_bytes()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(json),
    }
}

/// Shows help and version on the standard output, and wrong usage on the standard error.
fn explain(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    let is_json = arguments.iter().any(|argument| argument == "--json");
    if is_json && error.use_stderr() {
        let message = error.render().to_string();
        let message = message.trim_start_matches("error: ").trim_end().to_owned();
        return Failure::Usage(message).report(true);
    }
    // A closed output is the only way that this fails, and then there is nobody to tell.
    let _ = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_shows_examples() {
        fn walk(command: &clap::Command) {
            if !command.has_subcommands() {
                let help = command.get_after_help().map(ToString::to_string);
                let help = help.unwrap_or_default();
                assert!(help.contains("Examples:"), "{}", command.get_name());
            }
            command.get_subcommands().for_each(walk);
        }
        walk(&Cli::command());
    }
}
