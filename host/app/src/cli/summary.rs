//! What `fusebox run` says at the end: the verdicts, the figures beside their baselines, the
//! digests, the files.

use fusebox_services::report::{
    Classification, Estimate, LabelReport, PathRow, Performance, Quality, Trading, model_verdict,
    strategy_verdict,
};
use fusebox_services::training::{JOURNAL_FILE, METRICS_FILE, REPORT_FILE, RunSummary};
use serde_json::{Value, json};

use super::{forecasts, review};
use crate::output::{grouped, table};

/// The summary for programs. `metrics.json` holds everything.
pub(super) fn document(summary: &RunSummary) -> Value {
    let report = &summary.report;
    let (quality, trading) = (&report.quality, &report.trading);
    let (predictions, scored) = quality.counts();
    let classes = quality.classification();
    let models: Vec<Value> = report
        .reproducibility
        .models
        .iter()
        .map(|model| json!({"fold": model.fold, "path": model.path, "sha256": model.sha256}))
        .collect();
    let mut document = json!({
        "out": summary.out,
        "warnings": report.market.warnings,
        "report": summary.out.join(REPORT_FILE),
        "metrics": summary.out.join(METRICS_FILE),
        "journal": summary.out.join(JOURNAL_FILE),
        "journal_sha256": report.reproducibility.journal_sha256,
        "journal_events": report.reproducibility.journal_events,
        "models": models,
        "files": summary.manifest.files,
        "folds": report.folds.len(),
        "labels": report.labels,
        "paths": report.paths,
        "predictions": predictions,
        "scored_predictions": scored,
        "strategy": trading.strategy,
        "buy_and_hold": trading.buy_and_hold,
        "excess_return": trading.excess_return,
        "probabilistic_sharpe_ratio": trading.probabilistic_sharpe_ratio,
        "minimum_track_record_bars": trading.minimum_track_record_bars,
        "track_record_bars": trading.track_record_bars,
        "deflated_sharpe_ratio": trading.deflated_sharpe_ratio,
        "trials": trading.trials,
        "costs": trading.costs,
        "comparison": {
            "lines": trading.analysis.compared,
            "random_runs": trading.analysis.random_runs,
            "random_turnover": trading.analysis.random_turnover,
            "random_is_alike": trading.analysis.random_is_alike,
            "beaten_by_random": trading.analysis.beaten_by_random,
        },
        "regimes": trading.analysis.regimes,
        "capacity": trading.analysis.capacity,
        "slices": trading.analysis.slices,
        "ambiguous_slices": trading.analysis.ambiguous_slices,
        "model_verdict": model_verdict(report).headline,
        "strategy_verdict": strategy_verdict(&report.trading).headline,
    });
    if let Some(quality) = classes {
        document["accuracy"] = json!(quality.accuracy);
        document["majority_accuracy"] = json!(quality.majority_accuracy);
        document["accuracy_difference"] = json!(quality.accuracy_difference);
        document["directional_accuracy"] = json!(quality.directional_accuracy);
        document["best_constant_direction"] = json!(quality.best_constant_direction);
    }
    if let Some(quality) = quality.regression() {
        document["regression"] = json!(quality);
    }
    document
}

/// The summary for people.
pub(super) fn text(summary: &RunSummary) -> String {
    let report = &summary.report;
    let (model, strategy) = (model_verdict(report), strategy_verdict(&report.trading));
    let warnings = report.market.warnings.iter();
    let warnings: String = warnings.map(|one| format!("warning: {one}\n")).collect();
    format!(
        "{warnings}{}\n{}\n\n{}\n  {}\n{}\n\n{}\n  {}\n{}\n\n{}\n{}",
        report.labels.description,
        labels(&report.labels),
        model.headline,
        model.explanation,
        quality(summary),
        strategy.headline,
        strategy.explanation,
        performance(summary),
        review::behind(&report.trading),
        files(summary),
    )
}

/// Balance, overlap and likeness of the labels; as in the report.
fn labels(labels: &LabelReport) -> String {
    let mut table = table(&["labels", ""]);
    let mut row = |name: &str, value: String| {
        table.add_row([name.to_owned(), value]);
    };
    let total = labels.labelled_rows.max(1) as f64;
    let share = |rows: u64| percent(Some(rows as f64 / total));
    row(
        "rows with a label",
        format!(
            "{} of {} events; {} without",
            grouped(labels.labelled_rows),
            grouped(labels.event_rows),
            grouped(labels.unlabelled_rows)
        ),
    );
    let balance = labels.balance.iter();
    let balance: Vec<String> = balance
        .map(|class| format!("{} {}", class.name, share(class.rows)))
        .collect();
    row("balance", balance.join(", "));
    row(
        "both barriers in one bar",
        format!(
            "{} ({})",
            grouped(labels.ambiguous_rows),
            share(labels.ambiguous_rows)
        ),
    );
    row("mean bars until known", short(labels.mean_horizon_bars));
    row(
        "overlap",
        format!(
            "uniqueness {}, {} labels a bar (most {}): worth {:.0} rows",
            number(labels.mean_uniqueness),
            short(labels.mean_concurrency),
            grouped(labels.largest_concurrency),
            labels.effective_rows
        ),
    );
    let likeness = labels.autocorrelation.iter();
    let likeness: Vec<String> = likeness
        .map(|one| format!("{}: {}", one.lag_bars, signed(one.value)))
        .collect();
    row("correlation by bars apart", likeness.join(", "));
    table.to_string()
}

fn quality(summary: &RunSummary) -> String {
    match &summary.report.quality {
        Quality::Classification(quality) => of_classes(quality),
        Quality::Regression(quality) => forecasts::text(quality),
    }
}

fn of_classes(quality: &Classification) -> String {
    let mut table = table(&["out of sample", "model", "majority class", "difference"]);
    let points = quality.accuracy_difference;
    table.add_row([
        "accuracy".to_owned(),
        percent(quality.accuracy.value),
        percent(quality.majority_accuracy),
        with_interval(points, |value| format!("{:+.2} pp", 100.0 * value)),
    ]);
    table.add_row([
        "direction".to_owned(),
        percent(quality.directional_accuracy.value),
        format!(
            "{} (best constant)",
            percent(quality.best_constant_direction)
        ),
        quality
            .directional_accuracy
            .value
            .zip(quality.best_constant_direction)
            .map_or_else(
                || "-".to_owned(),
                |(own, base)| format!("{:+.2} pp", 100.0 * (own - base)),
            ),
    ]);
    table.add_row([
        "log loss".to_owned(),
        number(quality.log_loss),
        number(quality.baseline_log_loss),
        quality.log_loss.zip(quality.baseline_log_loss).map_or_else(
            || "-".to_owned(),
            |(own, base)| format!("{:+.4}", own - base),
        ),
    ]);
    table.to_string()
}

fn performance(summary: &RunSummary) -> String {
    let trading = &summary.report.trading;
    let mut table = table(&["after costs", "strategy", "buy and hold"]);
    let (own, held) = (&trading.strategy, &trading.buy_and_hold);
    let mut row = |name: &str, show: &dyn Fn(&Performance) -> String| {
        table.add_row([name.to_owned(), show(own), show(held)]);
    };
    row("total return", &|one| percent(one.total_return));
    row("annual volatility", &|one| percent(one.annual_volatility));
    row("Sharpe ratio", &|one| {
        with_interval(one.sharpe_ratio, |value| format!("{value:.2}"))
    });
    row("Sharpe ratio (Lo)", &|one| {
        decimals(one.autocorrelation_corrected_sharpe_ratio)
    });
    row("tail ratio", &|one| decimals(one.tail_ratio));
    row("max drawdown", &|one| percent(one.max_drawdown));
    row("trades", &|one| {
        one.trades.map_or_else(|| "-".to_owned(), grouped)
    });
    for (name, value) in luck(trading) {
        table.add_row([name, value, String::new()]);
    }
    let spread = paths(&summary.report.paths);
    format!("{table}{spread}")
}

/// How the paths of a combinatorial split lie apart; nothing where there is one.
fn paths(paths: &[PathRow]) -> String {
    let mut values: Vec<f64> = paths.iter().filter_map(|one| one.sharpe_ratio).collect();
    values.sort_by(f64::total_cmp);
    match (values.first(), values.get(values.len() / 2), values.last()) {
        (Some(low), Some(middle), Some(high)) => format!(
            "\n  Sharpe ratio over {} paths: {low:.2} to {high:.2}, median {middle:.2}; the table \
             is about the first",
            paths.len()
        ),
        _ => String::new(),
    }
}

/// How far luck explains the strategy's Sharpe ratio.
fn luck(trading: &Trading) -> [(String, String); 3] {
    let least = trading.minimum_track_record_bars;
    let least = least.map_or_else(|| "no length is enough".to_owned(), grouped);
    let trials = match trading.trials {
        1 => "1 trial known".to_owned(),
        trials => format!("{} trials", grouped(u64::from(trials))),
    };
    let here = grouped(trading.track_record_bars);
    [
        (
            "probabilistic Sharpe".to_owned(),
            percent(trading.probabilistic_sharpe_ratio),
        ),
        (
            "bars that it needs".to_owned(),
            format!("{least} ({here} here)"),
        ),
        (
            format!("deflated, {trials}"),
            percent(trading.deflated_sharpe_ratio),
        ),
    ]
}

fn files(summary: &RunSummary) -> String {
    let report = &summary.report;
    let mut lines = vec![
        (
            "report".to_owned(),
            summary.out.join(REPORT_FILE).display().to_string(),
        ),
        (
            "metrics".to_owned(),
            summary.out.join(METRICS_FILE).display().to_string(),
        ),
        (
            "journal".to_owned(),
            format!(
                "{} ({} events)",
                summary.out.join(JOURNAL_FILE).display(),
                grouped(report.reproducibility.journal_events)
            ),
        ),
        (
            "journal sha256".to_owned(),
            report.reproducibility.journal_sha256.clone(),
        ),
    ];
    let models = report.reproducibility.models.iter();
    lines
        .extend(models.map(|model| (format!("model {} sha256", model.fold), model.sha256.clone())));
    lines
        .iter()
        .map(|(name, value)| format!("{name:<16}{value}\n"))
        .collect()
}

pub(super) fn percent(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{:.2} %", 100.0 * value))
}

pub(super) fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"))
}

pub(super) fn decimals(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"))
}

fn short(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"))
}

fn signed(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:+.2}"))
}

pub(super) fn with_interval(estimate: Estimate, show: impl Fn(f64) -> String) -> String {
    let value = estimate.value.map_or_else(|| "-".to_owned(), &show);
    match estimate.interval {
        Some(interval) => format!(
            "{value} ({:.0} %: {} to {})",
            100.0 * interval.level,
            show(interval.low),
            show(interval.high)
        ),
        None => value,
    }
}
