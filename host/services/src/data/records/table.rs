//! A table of records: a column of times, columns of texts and of numbers, from CSV or Parquet.
//!
//! Nothing here knows what the columns mean. What cannot be read is a problem of the answer.

use std::path::Path;

use fusebox_engine::types::Timestamp;
use sha2::{Digest, Sha256};

use crate::data::csv::{TimeUnit, parse_time};
use crate::data::raw::{RowNumbers, TimeColumn};
use crate::data::{DataError, NumberColumn, parquet};

/// Different texts of a column that are kept; more are as good as none.
const MAX_TEXTS: usize = 10_000;

/// Which columns a table must have; each by its names, the first that is there counts.
#[derive(Debug, Clone)]
pub(in crate::data) struct Wanted {
    /// The times.
    pub(in crate::data) time: &'static [&'static str],
    /// Texts, and whether they must be there.
    pub(in crate::data) texts: Vec<(&'static [&'static str], bool)>,
    /// Numbers, which must be there.
    pub(in crate::data) numbers: Vec<&'static [&'static str]>,
}

/// Where the columns of a [`Wanted`] are.
pub(in crate::data) type Places = (Option<usize>, Vec<Option<usize>>, Vec<Option<usize>>);

/// What was read.
#[derive(Debug, Clone)]
pub(in crate::data) struct Columns {
    pub(in crate::data) rows: usize,
    pub(in crate::data) times: TimeColumn,
    pub(in crate::data) texts: Vec<Texts>,
    pub(in crate::data) numbers: Vec<NumberColumn>,
    pub(in crate::data) row_numbers: RowNumbers,
    pub(in crate::data) places: Places,
    pub(in crate::data) sha256: String,
    pub(in crate::data) problems: Vec<String>,
}

/// Texts of which many are equal.
#[derive(Debug, Clone, Default)]
pub(in crate::data) struct Texts {
    names: Vec<String>,
    rows: Vec<Option<u32>>,
}

impl Texts {
    pub(in crate::data) fn push(&mut self, text: Option<&str>) {
        let code = text.and_then(|text| {
            let known = self.names.iter().position(|name| name == text);
            let at = known.unwrap_or(self.names.len());
            if at == self.names.len() {
                self.names.push(text.to_owned());
            }
            (at < MAX_TEXTS).then(|| u32::try_from(at).ok())?
        });
        self.names.truncate(MAX_TEXTS);
        self.rows.push(code);
    }

    /// The text of a row; `None` where there is none.
    pub(in crate::data) fn get(&self, row: usize) -> Option<&str> {
        let code = (*self.rows.get(row)?)?;
        self.names.get(code as usize).map(String::as_str)
    }
}

impl Columns {
    /// No rows yet; columns that are not among `names` are problems.
    pub(in crate::data) fn new(wanted: &Wanted, names: &[String]) -> Self {
        let place = |own: &[&str]| {
            let mut own = own.iter();
            own.find_map(|name| names.iter().position(|other| other == name))
        };
        let mut problems = Vec::new();
        let mut needed = |own: &[&str], place: Option<usize>| {
            if place.is_none() {
                problems.push(format!(
                    "the column `{}` is missing; there are {}",
                    own.join("` or `"),
                    names.join(", ")
                ));
            }
        };
        let time = place(wanted.time);
        needed(wanted.time, time);
        let texts: Vec<Option<usize>> = wanted.texts.iter().map(|one| place(one.0)).collect();
        for ((own, is_needed), place) in wanted.texts.iter().zip(&texts) {
            if *is_needed {
                needed(own, *place);
            }
        }
        let numbers: Vec<Option<usize>> = wanted.numbers.iter().map(|one| place(one)).collect();
        for (own, place) in wanted.numbers.iter().zip(&numbers) {
            needed(own, *place);
        }
        Self {
            texts: vec![Texts::default(); texts.len()],
            numbers: vec![NumberColumn::default(); numbers.len()],
            places: (time, texts, numbers),
            problems,
            rows: 0,
            times: TimeColumn::default(),
            row_numbers: RowNumbers::Rows { first: 0 },
            sha256: String::new(),
        }
    }

    /// Whether the optional text column at `at` is there.
    pub(in crate::data) fn has_text(&self, at: usize) -> bool {
        self.places.1.get(at).is_some_and(Option::is_some)
    }

    /// What a person calls a row, such as `line 7`.
    pub(in crate::data) fn row(&self, row: usize) -> String {
        format!(
            "{} {}",
            self.row_numbers.unit(),
            self.row_numbers.number(row)
        )
    }

    pub(in crate::data) fn time(&self, row: usize) -> Option<Timestamp> {
        self.times.get(row)
    }
}

/// Reads a table: CSV where the name ends in `.csv`, else Parquet.
///
/// # Errors
/// [`DataError`] where the file cannot be read as a whole.
pub(in crate::data) fn read(path: &Path, wanted: &Wanted) -> Result<Columns, DataError> {
    let is_csv = path
        .extension()
        .is_some_and(|end| end.eq_ignore_ascii_case("csv"));
    if is_csv {
        read_csv(path, wanted)
    } else {
        parquet::read_table(path, wanted)
    }
}

fn read_csv(path: &Path, wanted: &Wanted) -> Result<Columns, DataError> {
    let bytes = std::fs::read(path).map_err(DataError::io("read", path))?;
    let failed = |error: ::csv::Error| DataError::Csv {
        path: path.to_path_buf(),
        reason: error.to_string(),
    };
    let mut reader = ::csv::ReaderBuilder::new()
        .trim(::csv::Trim::All)
        .from_reader(bytes.as_slice());
    let names: Vec<String> = reader
        .headers()
        .map_err(failed)?
        .iter()
        .map(str::to_owned)
        .collect();
    let mut columns = Columns::new(wanted, &names);
    columns.sha256 = parquet::hex(&Sha256::digest(&bytes));
    let (time, texts, numbers) = columns.places.clone();
    let mut lines = Vec::new();
    for row in reader.records() {
        let row = row.map_err(failed)?;
        lines.push(row.position().map_or(0, ::csv::Position::line));
        let cell = |at: Option<usize>| {
            let text = at.and_then(|at| row.get(at));
            text.filter(|text| !text.is_empty())
        };
        columns.rows += 1;
        let at = cell(time).and_then(|text| parse_time(text, TimeUnit::Auto));
        columns.times.push(at);
        for (column, at) in columns.texts.iter_mut().zip(&texts) {
            column.push(cell(*at));
        }
        for (column, at) in columns.numbers.iter_mut().zip(&numbers) {
            column.push(cell(*at).and_then(|text| text.parse().ok()));
        }
    }
    columns.row_numbers = RowNumbers::Lines(lines);
    Ok(columns)
}
