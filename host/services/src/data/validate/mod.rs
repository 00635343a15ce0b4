//! Finds everything that is wrong or odd in candles, all at once, and changes nothing.
//!
//! An [`Severity::Error`] makes candles unusable for a run; a [`Severity::Warning`] is something a
//! person should look at; [`Severity::Info`] is worth knowing. Checks, by code:
//!
//! | code | severity | meaning |
//! |---|---|---|
//! | `not_parquet`, `truncated`, `corrupt` | error | the file cannot be decoded |
//! | `unreadable`, `not_csv` | error | the file cannot be read |
//! | `missing_column`, `ambiguous_column`, `wrong_type` | error | a column cannot be read |
//! | `not_a_number`, `not_a_time`, `inexact` | error | a cell cannot be read |
//! | `empty` | error | there is no row |
//! | `null_value` | error, warning in an optional column | a cell without a value |
//! | `not_finite` | error | NaN or infinite |
//! | `not_positive` | error | a price of zero or below |
//! | `negative` | error | a volume or count below zero |
//! | `high_below_low`, `outside_range` | error | a bar that contradicts itself |
//! | `taker_above_volume` | error | takers bought more than was traded |
//! | `unsorted`, `duplicate_time`, `misaligned`, `time_frame` | error | times that are no grid |
//! | `gap` | warning | candles are absent |
//! | `vwap_outside_range` | warning | `quote_volume / volume` outside low to high |
//! | `possible_bad_print` | warning | a move far out of the ordinary that came back at once |
//! | `unzoned_time` | warning | times without a zone, taken as UTC |
//! | `zero_volume`, `flat` | info | bars without trades, bars that did not move |

mod gaps;
mod prints;
mod rows;

use std::path::{Path, PathBuf};

use fusebox_engine::types::{TimeFrame, Timestamp};
use serde::Serialize;

use super::raw::{RawCandles, TIME_COLUMN};
use super::{DataError, csv, layout, parquet};
use crate::progress::Progress;

pub use gaps::{Gap, Gaps};

/// How much a problem matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// A person should look at it.
    Warning,
    /// The candles cannot be used.
    Error,
}

/// A row that shows a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RowAt {
    /// Its number in the file.
    pub row: u64,
    /// Its open time, where it has one.
    pub opened_at: Option<Timestamp>,
}

/// One thing that is wrong or odd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// How much it matters.
    pub severity: Severity,
    /// Its stable name; see the table of this module.
    pub code: &'static str,
    /// File, column and row, and what is wrong there.
    pub message: String,
    /// The first rows that show it.
    pub rows: Vec<RowAt>,
    /// How many rows show it; 0 for a problem that is not about rows.
    pub count: u64,
}

impl Problem {
    /// A problem of the whole file or of a column.
    pub(super) fn of_file(severity: Severity, code: &'static str, message: String) -> Self {
        Self {
            severity,
            code,
            message,
            rows: Vec::new(),
            count: 0,
        }
    }
}

/// What was found in one file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ValidationReport {
    /// The file, as given.
    pub file: String,
    /// How many rows it has.
    pub rows: u64,
    /// Earliest open time.
    pub first: Option<Timestamp>,
    /// Latest open time.
    pub last: Option<Timestamp>,
    /// The bars' length: as stated, else as the file's name says, else the commonest spacing.
    pub time_frame: Option<TimeFrame>,
    /// Everything found: errors first, then warnings, then information.
    pub problems: Vec<Problem>,
    /// Absent candles; `None` where the times are no grid.
    pub gaps: Option<Gaps>,
    /// Bars without trades.
    pub zero_volume_rows: u64,
    /// Bars with open = high = low = close.
    pub flat_rows: u64,
}

impl ValidationReport {
    /// Whether the candles can be used.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.errors().next().is_none()
    }

    /// The problems that make the candles unusable.
    pub fn errors(&self) -> impl Iterator<Item = &Problem> {
        self.of(Severity::Error)
    }

    /// The problems that a person should look at.
    pub fn warnings(&self) -> impl Iterator<Item = &Problem> {
        self.of(Severity::Warning)
    }

    fn of(&self, severity: Severity) -> impl Iterator<Item = &Problem> {
        self.problems
            .iter()
            .filter(move |problem| problem.severity == severity)
    }

    /// A report of a file that could not be read at all.
    fn unreadable(file: String, error: &DataError) -> Self {
        let code = match error {
            DataError::NotParquet { .. } => "not_parquet",
            DataError::Truncated { .. } => "truncated",
            DataError::Corrupt { .. } => "corrupt",
            DataError::Csv { .. } => "not_csv",
            _ => "unreadable",
        };
        Self {
            file,
            rows: 0,
            first: None,
            last: None,
            time_frame: None,
            problems: vec![Problem::of_file(Severity::Error, code, error.to_string())],
            gaps: None,
            zero_volume_rows: 0,
            flat_rows: 0,
        }
    }
}

/// What a validation holds candles against.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ValidateOptions {
    /// The length that the bars must have; `None` to take it from the file's name or the spacing.
    pub time_frame: Option<TimeFrame>,
    /// From how many standard deviations of the bars around it a move that came back is called a
    /// possible bad print.
    pub outlier_sigmas: f64,
    /// How many rows each problem shows.
    pub rows_shown: usize,
}

impl Default for ValidateOptions {
    fn default() -> Self {
        Self {
            time_frame: None,
            outlier_sigmas: 15.0,
            rows_shown: 5,
        }
    }
}

/// Judges candles. The bars' length is that of the options, else of the file's name, else the
/// commonest spacing.
#[must_use]
pub fn validate(candles: &RawCandles, options: &ValidateOptions) -> ValidationReport {
    let judge = Judge { candles, options };
    let named = layout::parse_file_name(Path::new(&candles.file)).map(|(_, frame)| frame);
    let stated = options.time_frame.or(named);
    let mut problems = candles.problems.clone();
    let grid = gaps::check(&judge, stated, &mut problems);
    let mut report = ValidationReport {
        file: candles.file.clone(),
        rows: candles.rows as u64,
        first: grid.first,
        last: grid.last,
        time_frame: grid.time_frame,
        problems: Vec::new(),
        gaps: grid.gaps,
        zero_volume_rows: 0,
        flat_rows: 0,
    };
    if candles.rows == 0 {
        let message = format!("{}: there is no candle in it", candles.file);
        problems.push(Problem::of_file(Severity::Error, "empty", message));
    }
    rows::check(&judge, &mut report, &mut problems);
    problems.extend(prints::check(&judge));
    problems.sort_by_key(|problem| std::cmp::Reverse(problem.severity));
    report.problems = problems;
    report
}

/// Reads and judges one file: Parquet, or CSV where the name ends in `.csv`. A file that cannot be
/// read is a report with that one error.
#[must_use]
pub fn validate_file(path: &Path, options: &ValidateOptions) -> ValidationReport {
    let is_csv = path
        .extension()
        .is_some_and(|ending| ending.eq_ignore_ascii_case("csv"));
    let read = if is_csv {
        csv::read(path, &csv::CsvOptions::default())
    } else {
        parquet::read(path, &parquet::ReadOptions::default()).map(|content| content.candles)
    };
    match read {
        Ok(candles) => validate(&candles, options),
        Err(error) => ValidationReport::unreadable(path.display().to_string(), &error),
    }
}

/// How deep [`validate_paths`] descends into folders.
const DEPTH_LIMIT: usize = 8;

/// Judges files, and every Parquet file below folders, in the order of their paths.
///
/// # Errors
/// [`DataError`] where a path cannot be listed or a folder holds no candle file.
pub fn validate_paths(
    paths: &[PathBuf],
    options: &ValidateOptions,
    progress: &dyn Progress,
) -> Result<Vec<ValidationReport>, DataError> {
    let mut files = Vec::new();
    let mut errors = Vec::new();
    for path in paths {
        match candle_files(path, DEPTH_LIMIT) {
            Ok(found) => files.extend(found),
            Err(error) => errors.push(error),
        }
    }
    if let Some(error) = DataError::joined(errors) {
        return Err(error);
    }
    progress.start("validating", files.len() as u64);
    let reports = files.iter().map(|file| {
        let report = validate_file(file, options);
        progress.advance(1);
        report
    });
    let reports = reports.collect();
    progress.finish();
    Ok(reports)
}

/// The file itself, or the candle files below the folder in the order of their paths.
fn candle_files(path: &Path, depth: usize) -> Result<Vec<PathBuf>, DataError> {
    let meta = std::fs::metadata(path).map_err(DataError::io("read", path))?;
    if !meta.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut inner: Vec<PathBuf> = std::fs::read_dir(path)
        .and_then(|entries| entries.map(|entry| entry.map(|one| one.path())).collect())
        .map_err(DataError::io("list", path))?;
    inner.sort();
    let mut files = Vec::new();
    for one in inner {
        if one.is_dir() && depth > 0 {
            files.extend(candle_files(&one, depth - 1)?);
        } else if layout::is_candle_file(&one) {
            files.push(one);
        }
    }
    if files.is_empty() && depth == DEPTH_LIMIT {
        let nothing = std::io::Error::other("there is no .parquet file in it or below");
        return Err(DataError::io("validate", path)(nothing));
    }
    Ok(files)
}

/// Candles under judgement, and how to put a finding into words.
struct Judge<'a> {
    candles: &'a RawCandles,
    options: &'a ValidateOptions,
}

/// What a check says about the rows that it finds.
struct Finding {
    severity: Severity,
    code: &'static str,
    /// The column that it is about.
    column: &'static str,
    /// What is wrong, without the rows.
    what: String,
}

impl Finding {
    fn error(code: &'static str, column: &'static str, what: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            column,
            what: what.into(),
        }
    }

    fn with_severity(self, severity: Severity) -> Self {
        Self { severity, ..self }
    }
}

impl Judge<'_> {
    /// The problem of `rows`, with the first of them told in full; `None` where there are none.
    fn problem(
        &self,
        finding: Finding,
        rows: impl Iterator<Item = usize>,
        detail: impl Fn(usize) -> String,
    ) -> Option<Problem> {
        let mut shown = Vec::new();
        let mut count = 0_u64;
        for row in rows {
            count += 1;
            if shown.len() < self.options.rows_shown.max(1) {
                shown.push(row);
            }
        }
        let first = *shown.first()?;
        let numbers = &self.candles.row_numbers;
        let unit = numbers.unit();
        let at = self
            .candles
            .time(first)
            .map(|at| format!(" ({at})"))
            .unwrap_or_default();
        let times = match count {
            1 => format!("at {unit} {}{at}", numbers.number(first)),
            _ => format!(
                "in {count} {unit}s, first {unit} {}{at}",
                numbers.number(first)
            ),
        };
        let detail = detail(first);
        let detail = if detail.is_empty() {
            detail
        } else {
            format!(": {detail}")
        };
        let Finding { column, what, .. } = &finding;
        let message = format!(
            "{}: column `{column}`: {what} {times}{detail}",
            self.candles.file
        );
        let row_at = |row| RowAt {
            row: numbers.number(row),
            opened_at: self.candles.time(row),
        };
        Some(Problem {
            severity: finding.severity,
            code: finding.code,
            message,
            rows: shown.into_iter().map(row_at).collect(),
            count,
        })
    }

    /// [`problem`](Self::problem) about the time column.
    fn time_problem(&self, code: &'static str, what: String, rows: &[usize]) -> Option<Problem> {
        let finding = Finding::error(code, TIME_COLUMN, what);
        self.problem(finding, rows.iter().copied(), |_| String::new())
    }
}

#[cfg(test)]
mod tests;
