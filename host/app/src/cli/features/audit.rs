//! `fusebox features audit`: does feature code look ahead?

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use fusebox_engine::features::audit::{AuditOptions, Check, Finding};
use fusebox_services::audit::{Subject, Verdict};
use serde_json::{Value, json};

use crate::cli::{Context, EngineArgs, engine_sources};
use crate::config;
use crate::failure::Failure;
use crate::output::{grouped, table};
use crate::wiring::EngineSettings;
use crate::wiring::audit::{self, AuditPlan, Audited};

/// Find out whether features look ahead, also those of code in another language
#[derive(Debug, Args)]
#[command(after_help = "\
The code is run again and again on histories that were changed in a known way: the same bars
again, later bars removed, later bars changed, earlier bars removed; and its columns are held
against the bars that follow. What should not change and does is a finding.

Of a pipeline the fitted steps are audited too, on its own folds: rows outside a training part
are changed, and neither the scaler nor the readout may notice.

A command reads candles from its standard input, as CSV with the columns symbol, opened_at,
closed_at, open, high, low, close, volume, quote_volume, trades, taker_buy_volume, ordered by
closing time; it writes CSV with one named column per feature and one row per bar, empty where
there is no value. A step (--step) reads rows instead: the column training, 1 where it may be
fitted, then the columns; it writes one row per row. Both run with your rights, unjailed.

Histories are cut at fixed places that often give leaks away and at --rounds random moments. A
leak at one fixed moment of the data can lie between two cuts and pass: nothing found is no proof.

The verdict is stored as audits/DIGEST.json in engine.state_dir, by the digest of the feature set,
or of the command's text with the content of the files that it names and of every --source. A
model goes live only where it passed. The exit code is 1 where something was found.

Examples:
  fusebox features audit --all
  fusebox features audit configs/pipelines/direction-1h-lightgbm.toml --data candles
  fusebox features audit --features 'rsi(14); log_return(24)@4h' --seed 7
  fusebox features audit --command 'python my_features.py' --source my_lib --json
  fusebox features audit --features 'rsi(14)' --step 'python my_scaler.py'")]
pub(in crate::cli) struct AuditArgs {
    /// Pipeline file: data and features are taken from it
    pipeline: Option<PathBuf>,
    /// Features, separated by `;`, instead of the pipeline's
    #[arg(long, value_name = "LIST", conflicts_with_all = ["all", "command"])]
    features: Option<String>,
    /// Every feature that the bars have the columns for
    #[arg(long, conflicts_with = "command")]
    all: bool,
    /// Shell command that reads candles and writes columns
    #[arg(long, value_name = "COMMAND")]
    command: Option<String>,
    /// Shell command of a step that is fitted on some rows and applied to all, such as a scaler
    #[arg(long, value_name = "COMMAND")]
    step: Option<String>,
    /// File or directory that a command reads without naming it; part of its digest. May be
    /// repeated
    #[arg(long = "source", value_name = "PATH")]
    sources: Vec<PathBuf>,
    /// Longest time that a command may take for one history, seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0)]
    timeout: f64,
    /// Data directory with recorded candles; without it and without a pipeline, the market is
    /// simulated
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Set one value, which is TOML; a text needs no quotes. May be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    assignments: Vec<String>,
    /// Seed of every random choice
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Random cuts of each check, besides those at places that often give leaks away
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Newest bars of each symbol that are used; as many as the longest warm-up needs (3000 to
    /// 20000) where left out
    #[arg(long, value_name = "COUNT")]
    max_bars: Option<usize>,
    /// Relative difference that counts as none; 0 compares bit by bit
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    tolerance: f64,
    #[command(flatten)]
    engine: EngineArgs,
}

/// The market of an audit without a pipeline.
const DEFAULTS: [&str; 6] = [
    "data.source=simulated",
    "data.exchange=BINANCE",
    "data.symbols=[\"BTCUSDT\", \"ETHUSDT\"]",
    "data.time_frame=1h",
    "data.from=2022-01-01",
    "data.to=2024-07-01",
];

pub(super) fn run(args: &AuditArgs, context: &Context) -> Result<(), Failure> {
    let plan = plan(args)?;
    let (loaded, problems) = config::load(&sources(args, context))?;
    context.terminal.use_level(loaded.raw.engine.log);
    if !problems.is_empty() {
        return Err(problems.into());
    }
    let settings = EngineSettings::new(&loaded, &context.variables);
    let (verdict, path) = audit::run(&loaded, &settings, &plan)?;
    context
        .output
        .show(&document(&verdict, &path), || text(&verdict, &path))?;
    if verdict.passed {
        Ok(())
    } else {
        Err(Failure::Reported)
    }
}

fn plan(args: &AuditArgs) -> Result<AuditPlan, Failure> {
    let mut problems = Vec::new();
    if !(args.timeout > 0.0 && args.timeout <= 86_400.0) {
        problems.push("--timeout must be above 0 and at most 86400 seconds");
    }
    if !(0.0..=0.1).contains(&args.tolerance) {
        problems.push("--tolerance must be from 0 to 0.1");
    }
    let seconds = args.timeout.clamp(0.0, 86_400.0);
    let timeout = Duration::from_secs_f64(if seconds > 0.0 { seconds } else { 0.0 });
    if !args.sources.is_empty() && args.command.is_none() && args.step.is_none() {
        problems.push("--source is for --command and --step");
    }
    let audited = match (&args.features, &args.command) {
        (Some(list), _) => Some(Audited::Expressions(list.clone())),
        (None, Some(command)) => Some(Audited::Command(command.clone())),
        (None, None) if args.all => Some(Audited::Everything),
        (None, None) if args.pipeline.is_some() => Some(Audited::Pipeline),
        (None, None) => {
            problems
                .push("there is nothing to audit; give a pipeline, --features, --all or --command");
            None
        }
    };
    let Some(audited) = audited.filter(|_| problems.is_empty()) else {
        return Err(Failure::Usage(problems.join("; ")));
    };
    Ok(AuditPlan {
        audited,
        seed: args.seed,
        max_bars: args.max_bars,
        step: args.step.clone(),
        sources: args.sources.clone(),
        timeout,
        options: AuditOptions {
            rounds: args.rounds,
            tolerance: args.tolerance,
        },
    })
}

fn sources(args: &AuditArgs, context: &Context) -> config::Sources {
    let mut sources = engine_sources(&args.engine, context);
    sources.pipeline.clone_from(&args.pipeline);
    if args.pipeline.is_none() {
        sources.assignments = DEFAULTS.map(str::to_owned).to_vec();
    }
    sources.assignments.extend(args.assignments.iter().cloned());
    if let Some(dir) = &args.data {
        let dir = Value::String(dir.to_string_lossy().into_owned());
        let files = ("data.source", json!("files"), "--data");
        sources.flags.extend([files, ("data.dir", dir, "--data")]);
    }
    sources
}

fn document(verdict: &Verdict, path: &Path) -> Value {
    json!({"verdict": verdict, "stored": path})
}

fn text(verdict: &Verdict, path: &Path) -> String {
    let report = &verdict.report;
    let mut checks = table(&["check", "histories", "values compared", "columns found"]);
    for check in &report.checks {
        checks.add_row([
            check.check.name().to_owned(),
            check.histories.to_string(),
            grouped(check.values as u64),
            check.findings.to_string(),
        ]);
    }
    let subject = match &verdict.subject {
        Subject::FeatureSet { sha256 } => format!("feature set {}", &sha256[..12]),
        Subject::Step { rows, program, .. } => {
            format!("`{}` on the rows of {}", program.command, &rows[..12])
        }
        Subject::Command(program) => {
            let files = program.files.len();
            format!("`{}` with {files} file(s)", program.command)
        }
    };
    let mut text = format!(
        "{subject}: {} columns, {} rows, seed {}\n{checks}\n",
        report.columns.len(),
        grouped(report.rows as u64),
        verdict.seed
    );
    if !report.findings.is_empty() {
        text.push_str(&format!("{}\n", findings(&report.findings)));
    }
    for step in &verdict.fitted_steps {
        let (name, kind, folds) = (&step.name, &step.kind, step.folds);
        text.push_str(&format!(
            "fitted step: {name} ({kind}), {folds} training parts\n"
        ));
    }
    for note in &report.notes {
        text.push_str(&format!("note: {note}\n"));
    }
    let outcome = if verdict.passed {
        "nothing was found"
    } else {
        "it looks ahead, or cannot be trusted otherwise"
    };
    text.push_str(&format!("{outcome}; stored in {}\n", path.display()));
    text
}

fn findings(findings: &[Finding]) -> String {
    let titles = [
        "column",
        "check",
        "row",
        "value",
        "instead of",
        "rows",
        "means",
    ];
    let mut table = table(&titles);
    let number =
        |value: Option<f64>| value.map_or_else(|| "none".to_owned(), |one| one.to_string());
    for one in findings {
        let at = one.at.map_or_else(String::new, |at| format!(" {at}"));
        let value = match one.check {
            Check::Coverage => String::new(),
            _ => number(one.found),
        };
        let expected = match one.check {
            Check::Coverage | Check::Prediction => String::new(),
            _ => number(one.expected),
        };
        table.add_row([
            one.column.clone(),
            one.check.name().to_owned(),
            format!("{} {}{at}", one.symbol, one.row),
            value,
            expected,
            one.rows.to_string(),
            one.meaning.clone(),
        ]);
    }
    table.to_string()
}
