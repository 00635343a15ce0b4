//! Reads predictions that were written before: the `predictions.csv` of a run, or of anybody who
//! writes the same columns.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use fusebox_engine::backtest::{PrecomputedSignals, SignalTableError};
use fusebox_engine::fusion::{ModelInfo, ModelRef, Prediction};
use fusebox_engine::types::{Market, SymbolId, Timestamp};
use sha2::{Digest, Sha256};

/// Problems that are listed at most.
const MAX_PROBLEMS: usize = 20;

/// Columns that must be there; others are passed over.
const COLUMNS: [&str; 5] = ["closed_at", "symbol", "p_down", "p_flat", "p_up"];

/// Why predictions cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PredictionsError {
    /// The file cannot be read.
    #[error("cannot read predictions from {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The content is wrong; every problem, the first twenty at most.
    #[error("the predictions in {} are wrong: {}", path.display(), problems.join("; "))]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong, one sentence each.
        problems: Vec<String>,
    },
    /// They do not fit the market.
    #[error("the predictions in {} do not fit the data: {source}", path.display())]
    Market {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: SignalTableError,
    },
}

/// Predictions as a table of signals; each fold of the file is a model.
///
/// # Errors
/// [`PredictionsError`] with every problem of the file.
pub fn read_predictions(
    path: &Path,
    name: &str,
    market: &Market,
) -> Result<PrecomputedSignals, PredictionsError> {
    let bytes = fs::read(path).map_err(|source| PredictionsError::Read {
        path: path.to_owned(),
        source,
    })?;
    let names: Vec<&str> = market.names().collect();
    let mut predictions = Vec::new();
    let mut reading = Reading::new(&names);
    reading.read(bytes.as_slice(), |_, one| {
        predictions.push(one);
        Ok(())
    });
    let folds = reading.finish(path)?;
    let models = folds.models(name, &hexadecimal(&Sha256::digest(&bytes)));
    PrecomputedSignals::new(market, models, predictions).map_err(|source| {
        PredictionsError::Market {
            path: path.to_owned(),
            source,
        }
    })
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// References of models by fold, in the order of appearance.
#[derive(Debug, Clone, Default)]
pub(super) struct Folds(BTreeMap<Option<u32>, u32>);

impl Folds {
    fn reference(&mut self, fold: Option<u32>) -> ModelRef {
        let next = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        ModelRef(*self.0.entry(fold).or_insert(next))
    }

    /// The model of each fold, in the order of their references.
    pub(super) fn models(&self, name: &str, digest: &str) -> Vec<ModelInfo> {
        let mut folds: Vec<(Option<u32>, u32)> = self.0.iter().map(|(a, b)| (*a, *b)).collect();
        folds.sort_by_key(|(_, reference)| *reference);
        let models = folds.into_iter().map(|(fold, _)| ModelInfo {
            name: name.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            digest: digest.to_owned(),
            generation: 0,
            fold,
        });
        models.collect()
    }
}

/// Where the columns of a file are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Columns {
    at: usize,
    symbol: usize,
    probabilities: [usize; 3],
    fold: Option<usize>,
}

impl Columns {
    /// Finds the columns by name, or says which are missing.
    pub(super) fn of(headers: &csv::StringRecord) -> Result<Self, Vec<String>> {
        let place = |name: &str| headers.iter().position(|header| header == name);
        let places = COLUMNS.map(place);
        let [Some(at), Some(symbol), Some(down), Some(flat), Some(up)] = places else {
            let missing = COLUMNS
                .iter()
                .zip(places)
                .filter(|(_, place)| place.is_none());
            let words = missing.map(|(name, _)| format!("the column `{name}` is missing"));
            return Err(words.collect());
        };
        Ok(Self {
            at,
            symbol,
            probabilities: [down, flat, up],
            fold: place("fold"),
        })
    }

    /// A row as a prediction, or everything that is wrong with it.
    pub(super) fn prediction(
        &self,
        row: &csv::StringRecord,
        names: &[&str],
        folds: &mut Folds,
    ) -> Result<Prediction, Vec<String>> {
        let field = |place: usize| row.get(place).unwrap_or("").trim();
        let fold = self.fold.map(field).filter(|text| !text.is_empty());
        let (at, symbol) = (field(self.at), field(self.symbol));
        let mut problems = Vec::new();
        let closed_at = at.parse::<Timestamp>();
        let id = names.iter().position(|name| *name == symbol);
        let fold = fold.map(str::parse::<u32>).transpose();
        if let Err(error) = &closed_at {
            problems.push(format!("`{at}` is no time ({error})"));
        }
        if id.is_none() {
            let known = names.join(", ");
            problems.push(format!(
                "there is no symbol `{symbol}` in the data ({known})"
            ));
        }
        if fold.is_err() {
            problems.push("the fold is no whole number".to_owned());
        }
        let numbers = self.probabilities.map(|place| field(place).parse::<f32>());
        let [Ok(down), Ok(flat), Ok(up)] = numbers else {
            problems.push("a probability is no number".to_owned());
            return Err(problems);
        };
        let (Ok(closed_at), Some(id), Ok(fold)) = (closed_at, id, fold) else {
            return Err(problems);
        };
        // Whether they are probabilities the session says, bar by bar, and journals it.
        Ok(Prediction {
            symbol: SymbolId(u32::try_from(id).unwrap_or(u32::MAX)),
            closed_at,
            probabilities: [down, flat, up],
            model: folds.reference(fold),
        })
    }
}

/// A pass over a whole file that gathers what is wrong with it.
pub(super) struct Reading<'a> {
    names: &'a [&'a str],
    folds: Folds,
    rows: u64,
    problems: Vec<String>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(names: &'a [&'a str]) -> Self {
        Self {
            names,
            folds: Folds::default(),
            rows: 0,
            problems: Vec::new(),
        }
    }

    fn problem(&mut self, words: String) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(words);
        }
    }

    /// Reads everything; `each` is shown every prediction with its line, and may object.
    pub(super) fn read(
        &mut self,
        bytes: impl Read,
        mut each: impl FnMut(u64, Prediction) -> Result<(), String>,
    ) {
        let mut reader = csv::Reader::from_reader(bytes);
        let columns = match reader.headers().map(Columns::of) {
            Ok(Ok(columns)) => columns,
            Ok(Err(missing)) => return missing.into_iter().for_each(|one| self.problem(one)),
            Err(error) => return self.problem(format!("the first line is no header: {error}")),
        };
        let mut row = csv::StringRecord::new();
        for line in 2_u64.. {
            match reader.read_record(&mut row) {
                Ok(false) => break,
                Ok(true) => {
                    let found = columns.prediction(&row, self.names, &mut self.folds);
                    let found = found.and_then(|one| each(line, one).map_err(|words| vec![words]));
                    self.rows += 1;
                    for words in found.err().into_iter().flatten() {
                        self.problem(format!("line {line}: {words}"));
                    }
                }
                Err(error) => {
                    self.problem(format!("line {line}: {error}"));
                    if error.is_io_error() {
                        break;
                    }
                }
            }
        }
        if self.rows == 0 && self.problems.is_empty() {
            self.problem("there is no prediction".to_owned());
        }
    }

    /// The folds, or everything that is wrong.
    pub(super) fn finish(self, path: &Path) -> Result<Folds, PredictionsError> {
        if self.problems.is_empty() {
            return Ok(self.folds);
        }
        Err(PredictionsError::Content {
            path: path.to_owned(),
            problems: self.problems,
        })
    }
}
