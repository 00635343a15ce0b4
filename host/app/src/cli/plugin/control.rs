//! `fusebox plugin reload|pin|unpin|rollback`: what an operator says to the models that are live.
//!
//! The wish is written into the state directory; the process that keeps the models live carries it
//! out and answers in the audit log, which is what these commands wait for.

use std::path::Path;

use clap::Args;
use fusebox_loader::live::control::{self, Command, RequestOutcome};
use serde::Serialize;

use crate::cli::{Context, EngineArgs, engine_settings};
use crate::failure::Failure;
use crate::wiring::Installed;

/// Waits of 20 ms in a second.
const ATTEMPTS_PER_SECOND: u32 = 50;

/// Load the wanted version again, also where it was refused before
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fusebox plugin reload ema
  fusebox plugin reload com.example.ema --json")]
pub(crate) struct ReloadArgs {
    #[command(flatten)]
    common: CommonArgs,
}

/// Run one version and no other, also a lower one, until it is unpinned
#[derive(Debug, Args)]
#[command(after_help = "\
A pin is kept over restarts. It is recorded also while nothing is live, and takes effect with the
next start. A version that is neither installed nor live is pinned only with --force.

Examples:
  fusebox plugin pin com.example.ema 1.4.2
  fusebox plugin unpin com.example.ema")]
pub(crate) struct PinArgs {
    #[command(flatten)]
    common: CommonArgs,
    /// Version, three numbers
    #[arg(value_name = "VERSION")]
    wanted: String,
    /// Pin also what is neither installed nor live
    #[arg(long)]
    force: bool,
}

/// Follow the version policy again
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fusebox plugin unpin com.example.ema")]
pub(crate) struct UnpinArgs {
    #[command(flatten)]
    common: CommonArgs,
}

/// Go back to the generation before, and keep the present one out
#[derive(Debug, Args)]
#[command(after_help = "\
The version that is left is kept out until its package changes or it is reloaded by hand.

Examples:
  fusebox plugin rollback ema")]
pub(crate) struct RollbackArgs {
    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Debug, Args)]
struct CommonArgs {
    /// Name of a live model, or the id of a plugin
    target: String,
    /// Seconds to wait for the outcome; 0 does not wait
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    wait_s: u32,
    #[command(flatten)]
    engine: EngineArgs,
}

/// What was asked for and what came of it.
#[derive(Debug, Serialize)]
struct Answer {
    request: u64,
    #[serde(flatten)]
    command: Command,
    /// `done`, `refused`, `pending` or `recorded`.
    outcome: &'static str,
    /// Why it was refused, or what was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

pub(crate) fn reload(args: ReloadArgs, context: &Context) -> Result<(), Failure> {
    let target = args.common.target.clone();
    check_name(&args.common, context)?;
    ask(&args.common, Command::Reload { target }, context)
}

pub(crate) fn pin(args: PinArgs, context: &Context) -> Result<(), Failure> {
    let (target, version) = (args.common.target.clone(), args.wanted);
    if !args.force {
        let installed = Installed::read(&engine_settings(&args.common.engine, context)?)?;
        installed.check_name(&target).map_err(Failure::Usage)?;
        check_version(&installed, &target, &version)?;
    }
    ask(&args.common, Command::Pin { target, version }, context)
}

pub(crate) fn unpin(args: UnpinArgs, context: &Context) -> Result<(), Failure> {
    let target = args.common.target.clone();
    let installed = Installed::read(&engine_settings(&args.common.engine, context)?)?;
    // A pin of something that is gone can be taken back.
    if !installed.is_pinned(&target) {
        installed.check_name(&target).map_err(Failure::Usage)?;
    }
    ask(&args.common, Command::Unpin { target }, context)
}

pub(crate) fn rollback(args: RollbackArgs, context: &Context) -> Result<(), Failure> {
    let target = args.common.target.clone();
    check_name(&args.common, context)?;
    ask(&args.common, Command::Rollback { target }, context)
}

fn check_name(common: &CommonArgs, context: &Context) -> Result<(), Failure> {
    let installed = Installed::read(&engine_settings(&common.engine, context)?)?;
    installed.check_name(&common.target).map_err(Failure::Usage)
}

/// Refuses to pin what cannot be loaded.
fn check_version(installed: &Installed, target: &str, version: &str) -> Result<(), Failure> {
    let versions = installed.versions_of(target);
    let is_number = fusebox_loader::manifest::version_numbers(version).is_some();
    if !is_number || versions.contains(&version) {
        // What is no version at all is told where the wish is written down.
        return Ok(());
    }
    let there = match versions.is_empty() {
        true => "no version is".to_owned(),
        false => format!("there are: {}", versions.join(", ")),
    };
    Err(Failure::Usage(format!(
        "version {version} of `{target}` is neither installed nor live; {there}; install it first, \
         or pin it all the same with --force"
    )))
}

fn ask(common: &CommonArgs, command: Command, context: &Context) -> Result<(), Failure> {
    let settings = engine_settings(&common.engine, context)?;
    let state_dir = &settings.state_dir;
    let is_running = control::is_running(state_dir);
    let lasts = matches!(command, Command::Pin { .. } | Command::Unpin { .. });
    if !is_running && matches!(command, Command::Reload { .. }) {
        return forget(state_dir, command, context);
    }
    if !is_running && !lasts {
        return Err(Failure::Refused(anyhow::anyhow!(
            "no models are live on {}; start them with `fusebox plugin serve`",
            state_dir.display()
        )));
    }
    // What lasts is heeded when it goes live; nobody answers for it before.
    let is_awaited =
        is_running && (!lasts || Installed::read(&settings)?.is_live(command.target()));
    let request = control::request(state_dir, command.clone()).map_err(refuse)?;
    let mut answer = Answer {
        request,
        command,
        outcome: if is_awaited { "pending" } else { "recorded" },
        message: None,
    };
    if is_awaited && common.wait_s > 0 {
        let attempts = common.wait_s.saturating_mul(ATTEMPTS_PER_SECOND);
        match control::wait(state_dir, request, attempts).map_err(refuse)? {
            RequestOutcome::Done(event) => {
                answer.outcome = "done";
                answer.message = event.message;
            }
            RequestOutcome::Refused(event) => {
                answer.outcome = "refused";
                answer.message = event.message;
            }
            RequestOutcome::Open => {}
        }
    }
    context.output.show(&answer, || text(&answer))?;
    match answer.outcome {
        "refused" => Err(Failure::Reported),
        _ => Ok(()),
    }
}

/// Nothing is live: what was refused is tried again at the next start.
fn forget(state_dir: &Path, command: Command, context: &Context) -> Result<(), Failure> {
    let forgotten = control::forget_refusals(state_dir, command.target()).map_err(refuse)?;
    let answer = Answer {
        request: 0,
        command,
        outcome: "recorded",
        message: Some(match forgotten {
            0 => "nothing was kept out".to_owned(),
            1 => "1 refusal is forgotten".to_owned(),
            more => format!("{more} refusals are forgotten"),
        }),
    };
    context.output.show(&answer, || text(&answer))
}

fn refuse(error: control::ControlError) -> Failure {
    match error {
        control::ControlError::Version(_) => Failure::Usage(error.to_string()),
        error => Failure::Failed(error.into()),
    }
}

fn text(answer: &Answer) -> String {
    let words = answer.message.clone().unwrap_or_default();
    match answer.outcome {
        "done" if words.is_empty() => "done".to_owned(),
        "done" => words,
        "refused" => format!("refused: {words}"),
        "recorded" if words.is_empty() => {
            "recorded; it takes effect when the model is started".to_owned()
        }
        "recorded" => format!("recorded; {words}; it takes effect when the model is started"),
        _ => format!(
            "not finished yet; `fusebox plugin audit` shows what becomes of request {}",
            answer.request
        ),
    }
}
