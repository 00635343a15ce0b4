//! `fusebox plugin check`: the conformance kit on the command line.
//!
//! With the hidden `--in-child` this program is the process of one case.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::Args;
use fusebox_loader::SystemClock;
use fusebox_loader::check::{
    self, Case, CaseReport, LISTING_LEVEL, MAX_LEVEL, Plan, Report, Settings, Status, Target,
    supervise,
};
use fusebox_plugin_api::config::Config;
use serde_json::json;

use crate::cli::Context;
use crate::failure::Failure;
use crate::output::table;

/// The levels there are.
const LEVELS: std::ops::RangeInclusive<i64> = 1..=MAX_LEVEL as i64;

/// Check a plugin against the contract, every case in a process of its own
#[derive(Debug, Args)]
#[command(after_help = "\
A plugin that crashes or hangs fails the case it crashes in; the others go on. Level 5 is needed to
list a plugin as installable, level 7 to run it inside the host's process. --list shows all cases.

Exit codes: 0 every case holds, 1 one does not, 2 there is nothing to check.

Examples:
  fusebox plugin check build/libmy_model.so
  fusebox plugin check dist/com.example.my-model/0.1.0 --level 7
  fusebox plugin check libema.so --config '{\"alpha\": 0.5}' --case predict-no-allocation
  fusebox plugin check libema.so --level 10 --junit check.xml --json
  fusebox plugin check --list")]
pub(crate) struct CheckArgs {
    /// A package directory, or a library
    #[arg(required_unless_present = "list")]
    path: Option<PathBuf>,
    /// Highest level to try, 1 to 10
    #[arg(long, default_value_t = LISTING_LEVEL)]
    #[arg(value_parser = clap::value_parser!(u8).range(LEVELS))]
    level: u8,
    /// Configuration that the model accepts, as a JSON object
    #[arg(long, value_name = "JSON", default_value = "{}")]
    config: String,
    /// Artifact that the model accepts
    #[arg(long, value_name = "FILE")]
    artifact: Option<PathBuf>,
    /// Write a JUnit report as well
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Seed of everything random
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Try this case only, of whatever level; may be repeated
    #[arg(long = "case", value_name = "NAME")]
    cases: Vec<String>,
    /// Time that one case may take, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    timeout_s: u64,
    /// Calls to make in a fuzz case, as a failure printed them
    #[arg(long, value_name = "JSON")]
    calls: Option<String>,
    /// Show every case with what it checks, and check nothing
    #[arg(long)]
    list: bool,
    /// Fewer repetitions, for the tests of the kit itself
    #[arg(long, hide = true)]
    quick: bool,
    /// Be the process of one case, with this directory for private copies
    #[arg(long, hide = true, value_name = "SCRATCH")]
    in_child: Option<PathBuf>,
}

pub(crate) fn run(args: &CheckArgs, context: &Context) -> Result<(), Failure> {
    let chosen = chosen(args)?;
    if args.list {
        return list(context);
    }
    let path = args.path.clone().unwrap_or_default();
    let target = Target::open(&path)
        .map_err(anyhow::Error::from)
        .map_err(Failure::Refused)?;
    if let Some(scratch) = &args.in_child {
        return in_child(args, &target, scratch);
    }
    // Wrong settings are told once, not by every case.
    settings(args, Path::new(""))?;
    let report = check(args, &target, &chosen)?;
    if let Some(path) = &args.junit {
        write_whole(path, report.to_junit().as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    context.output.show(&report, || text(&report))?;
    if report.passed {
        Ok(())
    } else {
        Err(Failure::Reported)
    }
}

/// The cases to try.
fn chosen(args: &CheckArgs) -> Result<Vec<Case>, Failure> {
    let all = check::cases();
    if args.cases.is_empty() {
        return Ok(all
            .into_iter()
            .filter(|case| case.level <= args.level)
            .collect());
    }
    let names: Vec<&str> = all.iter().map(|case| case.name).collect();
    let unknown: Vec<String> = args
        .cases
        .iter()
        .filter(|wanted| !names.contains(&wanted.as_str()))
        .map(
            |wanted| match fusebox_plugin_api::config::nearest(wanted, &names) {
                Some(near) => format!("there is no case `{wanted}`; did you mean `{near}`?"),
                None => format!("there is no case `{wanted}`; --list shows all"),
            },
        )
        .collect();
    if !unknown.is_empty() {
        return Err(Failure::Usage(unknown.join("; ")));
    }
    Ok(all
        .into_iter()
        .filter(|case| args.cases.iter().any(|name| name == case.name))
        .collect())
}

fn settings(args: &CheckArgs, scratch: &Path) -> Result<Settings, Failure> {
    let config = Config::from_json(args.config.as_bytes())
        .map_err(|error| Failure::Usage(format!("--config: {}", error.message())))?;
    let artifact = match &args.artifact {
        None => Vec::new(),
        Some(path) => fs::read(path)
            .map_err(|error| Failure::Usage(format!("--artifact: {}: {error}", path.display())))?,
    };
    let replay = match &args.calls {
        None => None,
        Some(calls) => Some(
            serde_json::from_str(calls)
                .map_err(|error| Failure::Usage(format!("--calls: {error}")))?,
        ),
    };
    Ok(Settings {
        config,
        artifact,
        seed: args.seed,
        quick: args.quick,
        scratch: scratch.to_owned(),
        clock: Arc::new(SystemClock),
        replay,
    })
}

/// Runs one case in this process.
fn in_child(args: &CheckArgs, target: &Target, scratch: &Path) -> Result<(), Failure> {
    let settings = settings(args, scratch)?;
    let name = args.cases.first().map(String::as_str).unwrap_or_default();
    match check::child::run_case(name, target, &settings) {
        Some(code) if code == ExitCode::SUCCESS => Ok(()),
        _ => Err(Failure::Failed(anyhow!("there is no case `{name}`"))),
    }
}

fn check(args: &CheckArgs, target: &Target, cases: &[Case]) -> Result<Report, Failure> {
    let program = std::env::current_exe().context("this program does not know its own path")?;
    let scratch = tempfile::tempdir().context("cannot make a directory for private copies")?;
    let plan = Plan {
        timeout: Duration::from_secs(args.timeout_s.max(1)),
        clock: Arc::new(SystemClock),
        repeat: repeat(args, target),
    };
    let runner = |case: &Case, calls: Option<&str>| {
        command_of(args, target, &program, scratch.path(), (case, calls))
    };
    let plugin = target
        .manifest()
        .map(|manifest| format!("{} {}", manifest.id, manifest.version));
    let path = target.path.display().to_string();
    let mut report = Report::new(path, plugin, args.level, args.seed);
    if !args.cases.is_empty() {
        report = report.of_some_cases();
    }
    for case in cases {
        report.push(supervise(case, &plan, &runner));
    }
    Ok(report)
}

/// This program as the process of a case.
fn command_of(
    args: &CheckArgs,
    target: &Target,
    program: &Path,
    scratch: &Path,
    (case, calls): (&Case, Option<&str>),
) -> Command {
    let mut command = Command::new(program);
    command.args(["plugin", "check"]).arg(&target.path);
    command.args(["--case", case.name, "--config", &args.config]);
    command.args(["--seed", &args.seed.to_string()]);
    if let Some(artifact) = &args.artifact {
        command.arg("--artifact").arg(artifact);
    }
    if let Some(calls) = calls.or(args.calls.as_deref()) {
        command.args(["--calls", calls]);
    }
    if args.quick {
        command.arg("--quick");
    }
    command.arg("--in-child").arg(scratch);
    command
}

/// The command line that repeats a finding, up to the case.
fn repeat(args: &CheckArgs, target: &Target) -> String {
    let mut line = format!("fusebox plugin check {}", target.path.display());
    if args.config != "{}" {
        line.push_str(&format!(" --config '{}'", args.config));
    }
    if let Some(artifact) = &args.artifact {
        line.push_str(&format!(" --artifact {}", artifact.display()));
    }
    line.push_str(&format!(" --seed {}", args.seed));
    line
}

fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path
        .parent()
        .filter(|dir| !dir.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    io::Write::write_all(&mut file, bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

fn list(context: &Context) -> Result<(), Failure> {
    let cases = check::cases();
    let document: Vec<_> = cases
        .iter()
        .map(|case| json!({"name": case.name, "level": case.level, "about": case.about}))
        .collect();
    context.output.show(&document, || {
        let mut table = table(&["level", "case", "what must hold"]);
        for case in &cases {
            table.add_row([
                case.level.to_string(),
                case.name.to_owned(),
                case.about.to_owned(),
            ]);
        }
        table.to_string()
    })
}

fn text(report: &Report) -> String {
    let mut table = table(&["level", "case", "result", "found"]);
    let repeats = repeats(report);
    for (case, first) in report.cases.iter().zip(&repeats) {
        let found = match first {
            Some(first) => format!("as `{first}`"),
            None => case.found.clone().unwrap_or_default(),
        };
        table.add_row([
            case.level.to_string(),
            case.name.to_owned(),
            case.status.word().to_owned(),
            found,
        ]);
    }
    let mut text = table.to_string();
    text.push('\n');
    for (case, first) in report.cases.iter().zip(&repeats) {
        if case.status == Status::Failed && first.is_none() {
            let more = repeats.iter().filter(|one| **one == Some(case.name));
            text.push_str(&failure(case, more.count()));
        }
    }
    let count = |status| report.count(status);
    let (passed, failed, skipped) = (
        count(Status::Passed),
        count(Status::Failed),
        count(Status::Skipped),
    );
    let name = report.plugin.as_deref().unwrap_or(&report.target);
    text.push_str(&format!(
        "\n{name}: {passed} passed, {failed} failed, {skipped} skipped; {}\n",
        report.good_for()
    ));
    text
}

/// For every case the one before it that failed for the same reason, where there is one: a wrong
/// configuration fails nearly all of them, and is said once.
fn repeats(report: &Report) -> Vec<Option<&'static str>> {
    let is_plain = |case: &CaseReport| {
        case.status == Status::Failed && case.found.is_some() && case.calls.is_none()
    };
    let first_like = |(position, case): (usize, &CaseReport)| {
        let before = report.cases[..position].iter();
        let mut alike = before.filter(|one| is_plain(one) && one.found == case.found);
        alike.next().filter(|_| is_plain(case)).map(|one| one.name)
    };
    report.cases.iter().enumerate().map(first_like).collect()
}

/// A failed case in full, and how many others failed for the same reason.
fn failure(case: &CaseReport, more: usize) -> String {
    let mut text = format!(
        "\n{} (level {}): {}\n  must hold: {}\n",
        case.name,
        case.level,
        case.found.as_deref().unwrap_or("failed"),
        case.about
    );
    match more {
        0 => {}
        1 => text.push_str("  and 1 more case for the same reason\n"),
        more => text.push_str(&format!("  and {more} more cases for the same reason\n")),
    }
    for line in &case.output {
        text.push_str(&format!("  it printed: {line}\n"));
    }
    for (number, call) in case.calls.iter().flatten().enumerate() {
        text.push_str(&format!("  call {}: {call}\n", number + 1));
    }
    if let Some(reproduce) = &case.reproduce {
        text.push_str(&format!("  again: {reproduce}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_level_is_the_one_for_listing() {
        assert_eq!((LISTING_LEVEL, MAX_LEVEL), (5, 10));
        assert_eq!(check::IN_PROCESS_LEVEL, 7);
    }
}
