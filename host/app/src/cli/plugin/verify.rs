//! `fusebox plugin verify`: everything that can be known of a package without running it.

use std::path::PathBuf;

use clap::Args;
use fusebox_loader::discover::{Discovered, FileCheck};
use fusebox_loader::load::check_library;
use fusebox_loader::{Decision, LoadError, Manifest, TrustPolicy};
use serde::Serialize;

use super::check_is_package;
use crate::cli::{Context, EngineArgs, engine_settings};
use crate::failure::Failure;
use crate::output::{grouped, table};
use crate::wiring::now_unix_s;

/// Check a package: files, signature, and where it would run
#[derive(Debug, Args)]
#[command(after_help = "\
Exit code 1 where the package would be refused. Nothing of it is run.

Examples:
  fusebox plugin verify com.example.ema/1.4.2
  fusebox plugin verify download/ema --keyring keyring.toml --json")]
pub(crate) struct VerifyArgs {
    /// The package: the directory of plugin.toml
    package: PathBuf,
    /// Keyring to judge by, instead of that of the configuration
    #[arg(long, value_name = "FILE")]
    keyring: Option<PathBuf>,
    #[command(flatten)]
    engine: EngineArgs,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Report {
    /// Whether it would run.
    ok: bool,
    id: String,
    version: String,
    path: String,
    bytes: u64,
    /// SHA-256 over manifest and signature.
    fingerprint: String,
    manifest: Option<Manifest>,
    files: Vec<FileCheck>,
    /// Who signed it and where it would run.
    trust: Option<Decision>,
    /// Why it would not run.
    problems: Vec<String>,
}

pub(super) fn run(args: &VerifyArgs, context: &Context) -> Result<(), Failure> {
    check_is_package(&args.package)?;
    let settings = engine_settings(&args.engine, context)?;
    let trust = settings.trust.with_keyring(args.keyring.as_deref());
    let report = report(&Discovered::at(&args.package), &trust.policy()?);
    context.output.show(&report, || text(&report))?;
    if report.ok {
        Ok(())
    } else {
        Err(Failure::Reported)
    }
}

fn report(package: &Discovered, policy: &TrustPolicy) -> Report {
    let limit = policy.max_package_bytes();
    let mut problems = match &package.state {
        Ok(_) => Vec::new(),
        Err(error) => error.problems.clone(),
    };
    let mut files = Vec::new();
    let mut trust = None;
    if package.state.is_ok() {
        match policy.judge(package, now_unix_s()) {
            Ok(decision) => trust = Some(decision),
            Err(LoadError::Trust(error)) => {
                problems.extend(error.refusals.iter().map(ToString::to_string));
            }
            Err(error) => problems.push(error.to_string()),
        }
        // What is too large is not read.
        if package.bytes() <= limit {
            match package.check_files(limit) {
                Ok(checks) => files = checks,
                Err(error) => problems.push(error.to_string()),
            }
            let wrong = files.iter().filter_map(|file| {
                let problem = file.problem.as_ref()?;
                Some(format!("{}: {problem}", file.path))
            });
            problems.extend(wrong);
            match check_library(package, limit) {
                // Told with the files.
                Ok(()) | Err(LoadError::Digest { .. } | LoadError::Io { .. }) => {}
                Err(error) => problems.push(error.to_string()),
            }
        }
    }
    Report {
        ok: problems.is_empty(),
        id: package.id.clone(),
        version: package.version.clone(),
        path: package.path.display().to_string(),
        bytes: package.bytes(),
        fingerprint: package.fingerprint(),
        manifest: package.state.clone().ok(),
        files,
        trust,
        problems,
    }
}

fn text(report: &Report) -> String {
    let mut text = format!(
        "{}: {} {}, {} bytes\n",
        report.path,
        report.id,
        report.version,
        grouped(report.bytes)
    );
    if let Some(manifest) = &report.manifest {
        text.push_str(&facts(manifest));
    }
    if !report.files.is_empty() {
        let mut table = table(&["file", "sha256", "state"]);
        for file in &report.files {
            let state = if file.problem.is_none() {
                "ok"
            } else {
                "WRONG"
            };
            table.add_row([file.path.as_str(), file.sha256.as_str(), state]);
        }
        text.push_str(&format!("{table}\n"));
    }
    if let Some(decision) = &report.trust {
        if let Some(key_id) = &decision.key_id {
            text.push_str(&format!("key: {key_id}\n"));
        }
        text.push_str(&format!("trust: {}\n", decision.why));
    }
    for problem in &report.problems {
        text.push_str(&format!("problem: {problem}\n"));
    }
    text.push_str(match (report.ok, &report.trust) {
        (true, Some(_)) => "This package would run.\n",
        _ => "This package would be REFUSED.\n",
    });
    text
}

fn facts(manifest: &Manifest) -> String {
    let mut facts = vec![
        ("contract", manifest.abi.clone()),
        ("offers", manifest.kind.join(", ")),
        (
            "isolation",
            format!("at least {}", manifest.isolation.minimum),
        ),
    ];
    let budget = manifest.budget;
    let optional = [
        ("description", manifest.description.clone()),
        ("licence", manifest.license.clone()),
        ("p99", budget.predict_p99_us.map(|us| format!("{us} us"))),
        ("memory", budget.memory_mb.map(|mb| format!("{mb} MiB"))),
        (
            "golden",
            manifest
                .golden
                .as_ref()
                .map(|golden| format!("{}, {} ULP", golden.vectors, golden.tolerance_ulp)),
        ),
        (
            "state",
            manifest
                .state
                .as_ref()
                .map(|state| format!("schema {}", state.schema)),
        ),
    ];
    let known = optional
        .into_iter()
        .filter_map(|(name, fact)| Some((name, fact?)));
    facts.extend(known);
    facts
        .into_iter()
        .map(|(name, fact)| format!("{name}: {fact}\n"))
        .collect()
}
