//! `fusebox data`: bring candles in, judge them, list them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use fusebox_engine::types::{TimeFrame, Timestamp};
use fusebox_services::data::csv::TimeUnit;
use fusebox_services::data::import::ImportFormat;
use fusebox_services::data::{
    DataError, Entry, EntryContent, ImportOptions, ImportOutcome, Problem, ValidateOptions,
    ValidationReport, import, list, validate_paths,
};
use serde_json::{Value, json};

use super::Context;
use crate::failure::Failure;
use crate::output::{grouped, table};

/// Candles: import, validate, list
#[derive(Debug, Subcommand)]
pub(super) enum DataCommand {
    Import(ImportArgs),
    Validate(ValidateArgs),
    List(ListArgs),
}

/// Import a CSV or Parquet file into a data directory
#[derive(Debug, Args)]
#[command(after_help = "\
The file is validated first; one with errors is refused and changes nothing. Candles are added to
those already there, which must agree where both have one.

Examples:
  fusebox data import BTCUSDT-1h.csv --into candles --exchange BINANCE --symbol BTCUSDT
  fusebox data import dump.csv --into candles --exchange BINANCE --symbol ETHUSDT \\
      --format binance-klines --time-frame 1h
  fusebox data import bars.parquet --into candles --exchange KRAKEN --symbol XBTUSD \\
      --column ts=time --column volume=vol")]
pub(super) struct ImportArgs {
    /// File to import
    file: PathBuf,
    /// Data directory; it is made where it does not exist
    #[arg(long, value_name = "DIR")]
    into: PathBuf,
    /// Exchange, the folder below the data directory
    #[arg(long)]
    exchange: String,
    /// Symbol as the venue writes it
    #[arg(long)]
    symbol: String,
    /// Length of a bar, such as 1h; taken from the file's name or the spacing where it is left out
    #[arg(long)]
    time_frame: Option<TimeFrame>,
    /// What the file is; seen by its name and first line where it is left out
    #[arg(long)]
    format: Option<Format>,
    /// Byte between the cells of a CSV file
    #[arg(long, default_value = ",", value_parser = delimiter)]
    delimiter: u8,
    /// Unit of integer times
    #[arg(long, default_value = "auto")]
    time_unit: Unit,
    /// Name of one of our columns in the file, or - to leave it out; may be repeated
    #[arg(long = "column", value_name = "OURS=THEIRS", value_parser = column)]
    columns: Vec<(String, String)>,
    /// Overwrite the candles of that symbol instead of adding to them
    #[arg(long)]
    replace: bool,
}

/// Find everything that is wrong or odd in candle files
#[derive(Debug, Args)]
#[command(after_help = "\
Exit code 1 where a file has errors; warnings do not count.

Examples:
  fusebox data validate candles
  fusebox data validate candles/BINANCE/BTCUSDT-1h.parquet --json
  fusebox data validate download.csv --time-frame 15m")]
pub(super) struct ValidateArgs {
    /// Files, or directories with .parquet files below them
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Length that the bars must have; else that of the file's name or the spacing
    #[arg(long)]
    time_frame: Option<TimeFrame>,
    /// Call a move that came back a possible bad print from this many standard deviations on
    #[arg(long, default_value_t = ValidateOptions::default().outlier_sigmas)]
    outlier_sigmas: f64,
    /// Show notes too, such as bars without trades
    #[arg(long)]
    notes: bool,
}

/// List the candle files of a data directory
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fusebox data list candles
  fusebox data list candles --json")]
pub(super) struct ListArgs {
    /// Data directory, as DIR/EXCHANGE/SYMBOL-TIMEFRAME.parquet
    dir: PathBuf,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Csv,
    BinanceKlines,
    Parquet,
}

impl From<Format> for ImportFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Csv => Self::Csv,
            Format::BinanceKlines => Self::BinanceKlines,
            Format::Parquet => Self::Parquet,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Unit {
    Auto,
    S,
    Ms,
    Us,
    Ns,
}

impl From<Unit> for TimeUnit {
    fn from(unit: Unit) -> Self {
        match unit {
            Unit::Auto => Self::Auto,
            Unit::S => Self::Seconds,
            Unit::Ms => Self::Millis,
            Unit::Us => Self::Micros,
            Unit::Ns => Self::Nanos,
        }
    }
}

fn delimiter(text: &str) -> Result<u8, String> {
    match (text, text.as_bytes()) {
        ("\\t" | "tab", _) => Ok(b'\t'),
        (_, [byte]) => Ok(*byte),
        _ => Err("the delimiter is one character; write tab for a tab".to_owned()),
    }
}

fn column(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((ours, theirs)) if !ours.is_empty() && !theirs.is_empty() => {
            Ok((ours.to_owned(), theirs.to_owned()))
        }
        _ => Err("write ours=theirs, such as ts=time".to_owned()),
    }
}

pub(super) fn run(command: DataCommand, context: &Context) -> Result<(), Failure> {
    match command {
        DataCommand::Import(args) => run_import(args, context),
        DataCommand::Validate(args) => run_validate(&args, context),
        DataCommand::List(args) => run_list(&args, context),
    }
}

fn run_import(args: ImportArgs, context: &Context) -> Result<(), Failure> {
    let columns: BTreeMap<String, String> = args.columns.into_iter().collect();
    let options = ImportOptions {
        time_frame: args.time_frame,
        format: args.format.map(ImportFormat::from),
        delimiter: args.delimiter,
        time_unit: args.time_unit.into(),
        columns,
        replace: args.replace,
        ..ImportOptions::new(args.file, args.into, args.exchange, args.symbol)
    };
    let outcome = import(&options, &context.terminal).map_err(|error| match error {
        // What was typed is wrong, not what was read.
        DataError::BadName { .. } => Failure::Usage(error.to_string()),
        error => Failure::Failed(error.into()),
    })?;
    context
        .output
        .show(&import_document(&outcome), || import_text(&outcome))
}

fn import_document(outcome: &ImportOutcome) -> Value {
    json!({
        "path": outcome.path,
        "time_frame": outcome.time_frame,
        "rows_read": outcome.rows_read,
        "rows_added": outcome.rows_added,
        "rows": outcome.rows,
        "first": time(Some(outcome.first)),
        "last": time(Some(outcome.last)),
        "replaced": outcome.replaced,
        "sha256": outcome.sha256,
        "report": report_document(&outcome.report),
    })
}

fn import_text(outcome: &ImportOutcome) -> String {
    let mut text = format!(
        "{}: {} candles read, {} added, {} in all, {} to {}\n",
        outcome.path.display(),
        grouped(outcome.rows_read),
        grouped(outcome.rows_added),
        grouped(outcome.rows),
        outcome.first,
        outcome.last,
    );
    for problem in &outcome.report.problems {
        text.push_str(&problem_line(problem));
    }
    text
}

fn run_validate(args: &ValidateArgs, context: &Context) -> Result<(), Failure> {
    let options = ValidateOptions {
        time_frame: args.time_frame,
        outlier_sigmas: args.outlier_sigmas,
        ..ValidateOptions::default()
    };
    let reports =
        validate_paths(&args.paths, &options, &context.terminal).map_err(anyhow::Error::from)?;
    let is_usable = reports.iter().all(ValidationReport::is_usable);
    let document = json!({
        "ok": is_usable,
        "files": reports.iter().map(report_document).collect::<Vec<Value>>(),
    });
    context
        .output
        .show(&document, || validation_text(&reports, args.notes))?;
    if is_usable {
        Ok(())
    } else {
        Err(Failure::Reported)
    }
}

fn validation_text(reports: &[ValidationReport], notes: bool) -> String {
    let mut text = String::new();
    for report in reports {
        let state = match (report.is_usable(), report.warnings().count()) {
            (false, _) => "ERRORS".to_owned(),
            (true, 0) => "ok".to_owned(),
            (true, count) => format!("ok, {count} warning(s)"),
        };
        text.push_str(&format!(
            "{}: {state}; {} rows of {}, {} to {}\n",
            report.file,
            grouped(report.rows),
            shown(report.time_frame),
            shown(report.first),
            shown(report.last),
        ));
        let is_note = |problem: &&Problem| severity(problem) == "info";
        for problem in report.problems.iter().filter(|one| notes || !is_note(one)) {
            text.push_str(&problem_line(problem));
        }
    }
    let broken = reports.iter().filter(|report| !report.is_usable()).count();
    text.push_str(&format!(
        "{} file(s), {broken} with errors\n",
        reports.len()
    ));
    text
}

fn problem_line(problem: &Problem) -> String {
    format!("  {:<8}{}\n", severity(problem), problem.message)
}

fn severity(problem: &Problem) -> &'static str {
    use fusebox_services::data::Severity;
    match problem.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "info",
    }
}

fn report_document(report: &ValidationReport) -> Value {
    let problems: Vec<Value> = report
        .problems
        .iter()
        .map(|problem| {
            let rows: Vec<Value> = problem
                .rows
                .iter()
                .map(|row| json!({"row": row.row, "opened_at": time(row.opened_at)}))
                .collect();
            json!({
                "severity": severity(problem),
                "code": problem.code,
                "message": problem.message,
                "count": problem.count,
                "rows": rows,
            })
        })
        .collect();
    let gaps = report.gaps.as_ref().map(|gaps| {
        let longest: Vec<Value> = gaps
            .longest
            .iter()
            .map(|gap| {
                let (after, before) = (time(Some(gap.after)), time(Some(gap.before)));
                json!({"after": after, "before": before, "missing": gap.missing})
            })
            .collect();
        json!({
            "count": gaps.count,
            "missing": gaps.missing,
            "missing_percent": gaps.missing_percent,
            "long": gaps.long,
            "longest": longest,
        })
    });
    json!({
        "file": report.file,
        "ok": report.is_usable(),
        "rows": report.rows,
        "first": time(report.first),
        "last": time(report.last),
        "time_frame": report.time_frame,
        "problems": problems,
        "gaps": gaps,
        "zero_volume_rows": report.zero_volume_rows,
        "flat_rows": report.flat_rows,
    })
}

fn run_list(args: &ListArgs, context: &Context) -> Result<(), Failure> {
    let entries = list(&args.dir).map_err(anyhow::Error::from)?;
    let documents: Vec<Value> = entries.iter().map(entry_document).collect();
    context.output.show(&documents, || list_text(&entries))
}

fn entry_document(entry: &Entry) -> Value {
    let mut document = json!({
        "exchange": entry.exchange,
        "symbol": entry.symbol,
        "time_frame": entry.time_frame,
        "path": entry.path,
        "bytes": entry.bytes,
    });
    let content = match &entry.content {
        EntryContent::Candles { rows, first, last } => json!({
            "state": "ok", "rows": rows, "first": time(*first), "last": time(*last),
        }),
        EntryContent::Broken { error } => json!({"state": "broken", "error": error}),
    };
    if let (Some(document), Value::Object(content)) = (document.as_object_mut(), content) {
        document.extend(content);
    }
    document
}

fn list_text(entries: &[Entry]) -> String {
    if entries.is_empty() {
        return "no candle files; bring some in with `fusebox data import`\n".to_owned();
    }
    let mut table = table(&[
        "exchange",
        "symbol",
        "time frame",
        "rows",
        "first",
        "last",
        "KiB",
    ]);
    for entry in entries {
        let (rows, first, last) = match &entry.content {
            EntryContent::Candles { rows, first, last } => {
                (grouped(*rows), shown(*first), shown(*last))
            }
            EntryContent::Broken { error } => ("broken".to_owned(), error.clone(), String::new()),
        };
        table.add_row([
            entry.exchange.clone(),
            entry.symbol.clone(),
            shown(entry.time_frame),
            rows,
            first,
            last,
            grouped(entry.bytes.div_ceil(1024)),
        ]);
    }
    table.to_string()
}

/// A time for programs: RFC 3339, or nothing.
fn time(at: Option<Timestamp>) -> Option<String> {
    at.map(|at| at.to_string())
}

/// What is known, or a dash.
fn shown(known: Option<impl ToString>) -> String {
    known.map_or_else(|| "-".to_owned(), |known| known.to_string())
}
