//! Reads predictions that were written before: the `predictions.csv` of a run, or of anybody who
//! writes the same columns.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use fusebox_engine::backtest::{PrecomputedSignals, SignalTableError};
use fusebox_engine::fusion::{ModelInfo, ModelRef, Prediction};
use fusebox_engine::types::{Market, Timestamp};
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
    let digest: String = Sha256::digest(&bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let mut reading = Reading {
        market,
        folds: BTreeMap::new(),
        predictions: Vec::new(),
        problems: Vec::new(),
    };
    reading.read(&bytes);
    if !reading.problems.is_empty() {
        return Err(PredictionsError::Content {
            path: path.to_owned(),
            problems: reading.problems,
        });
    }
    let mut folds: Vec<(Option<u32>, u32)> = reading.folds.into_iter().collect();
    folds.sort_by_key(|(_, reference)| *reference);
    let models = folds.into_iter().map(|(fold, _)| ModelInfo {
        name: name.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        digest: digest.clone(),
        generation: 0,
        fold,
    });
    PrecomputedSignals::new(market, models.collect(), reading.predictions).map_err(|source| {
        PredictionsError::Market {
            path: path.to_owned(),
            source,
        }
    })
}

struct Reading<'a> {
    market: &'a Market,
    /// References by fold, in the order of appearance.
    folds: BTreeMap<Option<u32>, u32>,
    predictions: Vec<Prediction>,
    problems: Vec<String>,
}

impl Reading<'_> {
    fn problem(&mut self, words: String) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(words);
        }
    }

    fn read(&mut self, bytes: &[u8]) {
        let mut reader = csv::Reader::from_reader(bytes);
        let headers = match reader.headers() {
            Ok(headers) => headers.clone(),
            Err(error) => return self.problem(format!("the first line is no header: {error}")),
        };
        let place = |name: &str| headers.iter().position(|header| header == name);
        let places = COLUMNS.map(place);
        for (name, place) in COLUMNS.iter().zip(places) {
            if place.is_none() {
                self.problem(format!("the column `{name}` is missing"));
            }
        }
        let [Some(at), Some(symbol), Some(down), Some(flat), Some(up)] = places else {
            return;
        };
        let fold = place("fold");
        for (row, line) in reader.records().zip(2_u64..) {
            match row {
                Ok(row) => {
                    let field = |place: usize| row.get(place).unwrap_or("").trim();
                    let probabilities = [down, flat, up].map(field);
                    let fold = fold.map(field).filter(|text| !text.is_empty());
                    self.take(line, (field(at), field(symbol), fold), probabilities);
                }
                Err(error) => self.problem(format!("line {line}: {error}")),
            }
        }
        if self.predictions.is_empty() && self.problems.is_empty() {
            self.problem("there is no prediction".to_owned());
        }
    }

    fn take(
        &mut self,
        line: u64,
        (at, symbol, fold): (&str, &str, Option<&str>),
        texts: [&str; 3],
    ) {
        let closed_at = at.parse::<Timestamp>();
        let id = self.market.id(symbol);
        let fold = fold.map(str::parse::<u32>).transpose();
        let numbers = texts.map(str::parse::<f32>);
        if let Err(error) = &closed_at {
            self.problem(format!("line {line}: `{at}` is no time ({error})"));
        }
        if id.is_none() {
            let known: Vec<&str> = self.market.names().collect();
            let known = known.join(", ");
            self.problem(format!(
                "line {line}: there is no symbol `{symbol}` in the data ({known})"
            ));
        }
        if fold.is_err() {
            self.problem(format!("line {line}: the fold is no whole number"));
        }
        let [Ok(down), Ok(flat), Ok(up)] = numbers else {
            return self.problem(format!("line {line}: a probability is no number"));
        };
        let (Ok(closed_at), Some(symbol), Ok(fold)) = (closed_at, id, fold) else {
            return;
        };
        let next = u32::try_from(self.folds.len()).unwrap_or(u32::MAX);
        let model = ModelRef(*self.folds.entry(fold).or_insert(next));
        // Whether they are probabilities the session says, bar by bar, and journals it.
        self.predictions.push(Prediction {
            symbol,
            closed_at,
            probabilities: [down, flat, up],
            model,
        });
    }
}
