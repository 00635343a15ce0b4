//! `fusebox compare`: several runs on one page.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use fusebox_services::backtesting::{RunsOptions, compare_runs};
use fusebox_services::report::{Comparison, Estimate, render_comparison};
use serde_json::json;

use super::{Context, luck};
use crate::failure::Failure;
use crate::output::{grouped, table};

/// Compare runs on one page, and test their differences against luck
#[derive(Debug, Args)]
#[command(after_help = "\
Runs are directories of `fusebox run --out` and `fusebox backtest --out`. Where they saw other data,
another time, other costs or other features, the page and the terminal say so. How far luck explains
the best of them is told for all together: the number of trials and how many independent ones they
are worth, the probability of backtest overfitting (CSCV), Hansen's SPA and White's reality check.

Examples:
  fusebox compare out/first out/second --out comparison.html
  fusebox compare out/first out/second out/third --confidence 0.99 --json")]
pub(super) struct CompareArgs {
    /// Run directories, two at least
    #[arg(required = true, num_args = 1.., value_name = "RUN_DIR")]
    runs: Vec<PathBuf>,
    /// Write the page here; it must not exist
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace the page that is at --out
    #[arg(long, requires = "out")]
    overwrite: bool,
    /// Confidence of the intervals, over all pairs of runs together
    #[arg(long, default_value_t = 0.95, value_name = "SHARE")]
    confidence: f64,
    /// Resampled histories behind each interval
    #[arg(long, default_value_t = 2000, value_name = "COUNT")]
    samples: u32,
    /// Seed of the resampling
    #[arg(long, default_value_t = 42)]
    seed: u64,
}

pub(super) fn run(args: &CompareArgs, context: &Context) -> Result<(), Failure> {
    check(args)?;
    let options = RunsOptions {
        confidence: args.confidence,
        bootstrap_samples: args.samples,
        seed: args.seed,
    };
    let comparison =
        compare_runs(&args.runs, &options).map_err(|error| Failure::Refused(error.into()))?;
    if let Some(out) = &args.out {
        let page = render_comparison(&comparison).map_err(|error| Failure::Failed(error.into()))?;
        write(out, page.as_bytes(), args.overwrite)?;
    }
    let document = json!({
        "out": args.out,
        "runs": comparison.runs,
        "warnings": comparison.warnings,
        "common": comparison.common,
        "common_steps": comparison.common_steps,
        "pairs": comparison.pairs,
        "luck": comparison.luck,
        "confidence": comparison.confidence,
        "bootstrap_samples": comparison.bootstrap_samples,
        "seed": comparison.seed,
    });
    context
        .output
        .show(&document, || text(&comparison, args.out.as_deref()))
}

fn check(args: &CompareArgs) -> Result<(), Failure> {
    let mut problems = Vec::new();
    if !(0.5..=0.999).contains(&args.confidence) {
        problems.push(format!(
            "--confidence is {}; it must lie between 0.5 and 0.999",
            args.confidence
        ));
    }
    if !(100..=1_000_000).contains(&args.samples) {
        problems.push(format!(
            "--samples is {}; it must lie between 100 and 1000000",
            args.samples
        ));
    }
    if let Some(out) = args
        .out
        .as_ref()
        .filter(|out| out.exists() && !args.overwrite)
    {
        problems.push(format!(
            "{} exists; choose another --out, or add --overwrite",
            out.display()
        ));
    }
    match problems.is_empty() {
        true => Ok(()),
        false => Err(Failure::Usage(problems.join("; "))),
    }
}

/// Writes the page under a temporary name beside its target and renames it.
fn write(out: &Path, page: &[u8], overwrite: bool) -> Result<(), Failure> {
    let parent = match out.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let go = || -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(parent)?;
        file.write_all(page)?;
        file.as_file().sync_all()?;
        match overwrite {
            true => file.persist(out).map(|_| ()).map_err(|error| error.error),
            false => file
                .persist_noclobber(out)
                .map(|_| ())
                .map_err(|error| error.error),
        }
    };
    go().map_err(|error| {
        Failure::Failed(anyhow::anyhow!(
            "cannot write {}: {error}; check that the folder exists and is writable",
            out.display()
        ))
    })
}

fn percent(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{:.2} %", value * 100.0))
}

fn ratio(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"))
}

fn text(comparison: &Comparison, out: Option<&Path>) -> String {
    let mut text = String::new();
    for warning in &comparison.warnings {
        text.push_str(&format!("warning: {warning}\n"));
    }
    let mut lines = table(&[
        "over the shared closes",
        "return",
        "volatility",
        "Sharpe",
        "drawdown",
        "deflated",
        "trials",
    ]);
    for run in &comparison.runs {
        let common = &run.common;
        lines.add_row([
            run.name.clone(),
            percent(common.total_return),
            percent(common.annual_volatility),
            ratio(common.sharpe_ratio),
            percent(common.max_drawdown),
            percent(run.deflated_sharpe_ratio),
            grouped(u64::from(run.trials)),
        ]);
    }
    text.push_str(&format!("{lines}\n\n{}\n", pairs(comparison)));
    if let Some(one) = &comparison.luck {
        let name = |at: usize| comparison.runs.get(at).map(|run| run.name.clone());
        text.push_str(&format!(
            "\n{}\n",
            luck::text(luck::rows(one, "runs", name))
        ));
    }
    text.push_str(&format!(
        "{} shared closes; intervals hold at {:.0} % for all pairs together, p-values for each \
         alone\n",
        grouped(comparison.common_steps),
        comparison.confidence * 100.0
    ));
    if let Some(out) = out {
        text.push_str(&format!("page {}\n", out.display()));
    }
    text
}

fn pairs(comparison: &Comparison) -> String {
    let name = |at: usize| {
        let run = comparison.runs.get(at);
        run.map_or_else(String::new, |run| run.name.clone())
    };
    let mut lines = table(&[
        "first",
        "less second",
        "mean return a year",
        "p",
        "Sharpe",
        "p",
    ]);
    for pair in &comparison.pairs {
        lines.add_row([
            name(pair.first),
            name(pair.second),
            difference(&pair.mean_return, &percent),
            pair.mean_return_p
                .map_or_else(|| "-".to_owned(), |p| format!("{p:.3}")),
            difference(&pair.sharpe_ratio, &ratio),
            pair.sharpe_ratio_p
                .map_or_else(|| "-".to_owned(), |p| format!("{p:.3}")),
        ]);
    }
    lines.to_string()
}

fn difference(estimate: &Estimate, show: &dyn Fn(Option<f64>) -> String) -> String {
    match estimate.interval {
        Some(interval) => format!(
            "{} ({} to {})",
            show(estimate.value),
            show(Some(interval.low)),
            show(Some(interval.high))
        ),
        None => show(estimate.value),
    }
}
