//! `fusebox doctor`: can this machine do the job, and if not, what to do.

use std::path::{Path, PathBuf};

use clap::Args;
use fusebox_loader::TrustPolicy;
use serde::Serialize;
use serde_json::json;

use super::{Context, EngineArgs};
use crate::failure::Failure;
use crate::output::{grouped, table};
use crate::process;
use crate::wiring::{self, EngineSettings};

/// Check this machine: libraries, plugins, folders
#[derive(Debug, Args)]
#[command(after_help = "\
Exit code 1 where something is missing that a run needs.

Examples:
  fusebox doctor
  fusebox doctor --data candles
  fusebox doctor --json")]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    engine: EngineArgs,
    /// Data directory to check too
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Ok,
    Warning,
    Failed,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Check {
    name: String,
    state: State,
    detail: String,
    /// What to do about it.
    advice: Option<String>,
}

impl Check {
    fn ok(name: &str, detail: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            state: State::Ok,
            detail: detail.into(),
            advice: None,
        }
    }

    fn not_ok(name: &str, state: State, detail: impl Into<String>, advice: &str) -> Self {
        Self {
            name: name.to_owned(),
            state,
            detail: detail.into(),
            advice: Some(advice.to_owned()),
        }
    }
}

pub(super) fn run(args: DoctorArgs, context: &Context) -> Result<(), Failure> {
    let settings = super::engine_settings(&args.engine, context)?;
    let mut checks = vec![
        Check::ok("version", format!("fusebox {}", env!("CARGO_PKG_VERSION"))),
        cores(),
        memory(),
        working_directory(),
        openmp_runtime(context),
        openmp_settings(context),
    ];
    checks.extend(libraries(&settings));
    checks.extend(trust(&settings));
    checks.extend(providers(&settings));
    checks.extend(models_alone(&settings));
    checks.extend(args.data.as_deref().map(data_directory));
    let is_ok = checks.iter().all(|check| check.state != State::Failed);
    let document = json!({"ok": is_ok, "checks": checks});
    context.output.show(&document, || text(&checks, is_ok))?;
    if is_ok {
        Ok(())
    } else {
        Err(Failure::Reported)
    }
}

/// Most columns of a line; paths and reasons are long, and wrap.
const WIDTH: u16 = 100;

fn text(checks: &[Check], is_ok: bool) -> String {
    let mut table = table(&["check", "state", "found", "what to do"]);
    let width = table.width().map_or(WIDTH, |terminal| terminal.min(WIDTH));
    table.set_width(width);
    for check in checks {
        let state = match check.state {
            State::Ok => "ok",
            State::Warning => "warning",
            State::Failed => "FAILED",
        };
        table.add_row([
            check.name.as_str(),
            state,
            check.detail.as_str(),
            check.advice.as_deref().unwrap_or(""),
        ]);
    }
    let verdict = if is_ok {
        "This machine is ready."
    } else {
        "Something that a run needs is missing."
    };
    format!("{table}\n{verdict}\n")
}

fn cores() -> Check {
    match std::thread::available_parallelism() {
        Ok(count) => Check::ok("cores", count.to_string()),
        Err(error) => Check::not_ok(
            "cores",
            State::Warning,
            format!("not known: {error}"),
            "set run.threads",
        ),
    }
}

fn memory() -> Check {
    /// A run of three symbols and four years of hours stays below this.
    const WANTED_KIB: u64 = 1024 * 1024;
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let field = |name: &str| -> Option<u64> {
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    let (Some(total), Some(available)) = (field("MemTotal:"), field("MemAvailable:")) else {
        return Check::ok("memory", "not known on this system");
    };
    let detail = format!(
        "{} MiB, {} MiB free",
        grouped(total / 1024),
        grouped(available / 1024)
    );
    if available < WANTED_KIB {
        let advice = "close other programs; a run wants about 1 GiB";
        return Check::not_ok("memory", State::Warning, detail, advice);
    }
    Check::ok("memory", detail)
}

fn working_directory() -> Check {
    let name = "working directory";
    let shown = std::env::current_dir()
        .map_or_else(|error| error.to_string(), |path| path.display().to_string());
    match tempfile::tempfile_in(".") {
        Ok(_) => Check::ok(name, format!("{shown}, writable")),
        Err(error) => Check::not_ok(
            name,
            State::Warning,
            format!("{shown}: {error}"),
            "write results elsewhere with --out",
        ),
    }
}

/// LightGBM's library needs GNU's OpenMP runtime from the system.
fn openmp_runtime(context: &Context) -> Check {
    const FILE: &str = "libgomp.so.1";
    const FOLDERS: [&str; 9] = [
        "/lib",
        "/usr/lib",
        "/lib64",
        "/usr/lib64",
        "/usr/local/lib",
        "/lib/x86_64-linux-gnu",
        "/usr/lib/x86_64-linux-gnu",
        "/lib/aarch64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
    ];
    let own = variable(context, "LD_LIBRARY_PATH").unwrap_or_default();
    let own = own.split(':').filter(|folder| !folder.is_empty());
    let found = own
        .chain(FOLDERS)
        .map(|folder| Path::new(folder).join(FILE))
        .find(|path| path.exists());
    match found {
        Some(path) => Check::ok("libgomp", path.display().to_string()),
        None => Check::not_ok(
            "libgomp",
            State::Failed,
            format!("{FILE} is not in the usual folders"),
            "install it (Debian: apt-get install libgomp1)",
        ),
    }
}

fn openmp_settings(context: &Context) -> Check {
    let settings: Vec<String> = process::DEFAULTS
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| !name.starts_with("ORT_"))
        .chain(["OMP_NUM_THREADS"])
        .filter_map(|name| Some(format!("{name}={}", variable(context, name)?)))
        .collect();
    let passive = variable(context, "OMP_WAIT_POLICY")
        .is_some_and(|policy| policy.eq_ignore_ascii_case("passive"));
    if passive {
        return Check::ok("OpenMP settings", settings.join(", "));
    }
    Check::not_ok(
        "OpenMP settings",
        State::Warning,
        settings.join(", "),
        "set OMP_WAIT_POLICY=passive: waiting threads that spin make training slow",
    )
}

fn variable<'a>(context: &'a Context, name: &str) -> Option<&'a str> {
    let found = context.variables.iter().find(|(other, _)| other == name);
    found.map(|(_, value)| value.as_str())
}

fn libraries(settings: &EngineSettings) -> Vec<Check> {
    wiring::libraries(settings)
        .into_iter()
        .map(|library| match library.outcome {
            Ok(found) => {
                let version = found.version.as_deref().unwrap_or("version not recorded");
                let short: String = found.sha256.chars().take(16).collect();
                let path = found.path.display();
                let from = found.from;
                let detail = format!("{version}, {path} ({from}), sha256 {short}...");
                Check::ok(library.name, detail)
            }
            Err(reason) => Check::not_ok(library.name, State::Failed, reason, library.advice),
        })
        .collect()
}

/// Where ONNX models run. What is not here is no fault: the processor answers as well.
fn providers(settings: &EngineSettings) -> Vec<Check> {
    const NAME: &str = "ONNX Runtime";
    match wiring::providers(settings) {
        None => Vec::new(),
        Some(Err(unknown)) => {
            let (reason, advice) = (unknown.reason, unknown.advice);
            vec![Check::not_ok(NAME, State::Warning, reason, advice)]
        }
        Some(Ok((version, found))) => {
            let works = |one: &&wiring::ProviderState| one.problem.is_none();
            let names: Vec<&str> = found
                .iter()
                .filter(works)
                .map(|one| one.name.as_str())
                .collect();
            let here = format!("{version}, works with {}", names.join(", "));
            let missing = found.iter().filter_map(|one| {
                let problem = one.problem.as_ref()?;
                let name = format!("{NAME} with {}", one.name);
                Some(Check::ok(&name, format!("not here: {problem}")))
            });
            std::iter::once(Check::ok(NAME, here))
                .chain(missing)
                .collect()
        }
    }
}

/// Model files that nobody takes, because nothing lies beside them.
fn models_alone(settings: &EngineSettings) -> Vec<Check> {
    let alone = fusebox_loader::live::files_without_sidecar(&settings.model_dirs);
    let check = |(path, words): (PathBuf, String)| {
        let detail = format!("{} is not taken", path.display());
        Check::not_ok("model file", State::Warning, detail, &words)
    };
    alone.into_iter().map(check).collect()
}

/// The keyring and the list of revocations, and the plugins under them.
fn trust(settings: &EngineSettings) -> Vec<Check> {
    let advice = "repair the file, or name another with `engine.keyring` or `engine.revocations`";
    let policy = match settings.trust.policy() {
        Ok(policy) => policy,
        Err(failure) => {
            return vec![Check::not_ok(
                "keyring",
                State::Failed,
                failure.message(),
                advice,
            )];
        }
    };
    let mut checks = vec![keyring(settings, &policy)];
    checks.extend(plugins(settings, &policy));
    checks
}

fn keyring(settings: &EngineSettings, policy: &TrustPolicy) -> Check {
    let path = settings.trust.keyring.display();
    let now = wiring::now_unix_s();
    let keys = policy.keyring.keys();
    let revoked = policy.revocations.entries().len();
    let detail = format!("{path}, {} keys, {revoked} revocations", keys.len());
    let expired: Vec<&str> = keys
        .iter()
        .filter(|key| key.is_expired(now))
        .map(|key| key.name.as_str())
        .collect();
    let unsigned = match policy.unsigned {
        None => String::new(),
        Some(tier) => format!("; unsigned plugins run: {tier}"),
    };
    if keys.is_empty() && policy.unsigned.is_none() {
        let advice = "run `make build`, or make a key with `fusebox plugin keygen` and trust it \
                      with `fusebox plugin trust add`";
        let detail = format!("{path} holds no key, and unsigned plugins are refused");
        return Check::not_ok("keyring", State::Warning, detail, advice);
    }
    if !expired.is_empty() {
        let detail = format!("{detail}; expired: {}", expired.join(", "));
        let advice = "take it out with `fusebox plugin trust remove`";
        return Check::not_ok("keyring", State::Warning, detail, advice);
    }
    Check::ok("keyring", format!("{detail}{unsigned}"))
}

fn plugins(settings: &EngineSettings, policy: &TrustPolicy) -> Vec<Check> {
    let plugins = wiring::plugins(settings, policy);
    if plugins.is_empty() {
        let dirs: Vec<String> = settings
            .plugin_dirs
            .iter()
            .map(|dir| dir.display().to_string())
            .collect();
        return vec![Check::not_ok(
            "plugins",
            State::Failed,
            format!("none in {}", dirs.join(", ")),
            "run `make build`, or name a directory with --plugin-dir",
        )];
    }
    plugins.into_iter().map(plugin).collect()
}

fn plugin(plugin: wiring::PluginState) -> Check {
    let name = format!("plugin {}", plugin.id);
    let reason = plugin.reason.unwrap_or_default();
    match (plugin.state, plugin.trust) {
        (wiring::State::Broken, _) => Check::not_ok(
            &name,
            State::Failed,
            reason,
            "install it again, or remove its folder",
        ),
        (wiring::State::Refused, _) => Check::not_ok(
            &name,
            State::Failed,
            format!("{} may not run: {reason}", plugin.version),
            "see `fusebox plugin trust --help`, or take it out with `fusebox plugin remove`",
        ),
        (wiring::State::Ok, trust) => {
            let why = trust.map(|decision| decision.why).unwrap_or_default();
            Check::ok(&name, format!("{}, {}, {why}", plugin.version, plugin.path))
        }
    }
}

fn data_directory(dir: &Path) -> Check {
    use fusebox_services::data::{EntryContent, list};
    let advice = "bring candles in with `fusebox data import`";
    match list(dir) {
        Err(error) => Check::not_ok("data", State::Failed, error.to_string(), advice),
        Ok(entries) if entries.is_empty() => {
            let detail = format!("{} holds no candle files", dir.display());
            Check::not_ok("data", State::Failed, detail, advice)
        }
        Ok(entries) => {
            let is_broken = |content: &EntryContent| matches!(content, EntryContent::Broken { .. });
            let broken = entries.iter().filter(|one| is_broken(&one.content)).count();
            let detail = format!("{} files, {broken} broken", entries.len());
            if broken > 0 {
                let advice = "`fusebox data list` shows which";
                return Check::not_ok("data", State::Warning, detail, advice);
            }
            Check::ok("data", detail)
        }
    }
}
