//! A backtest of a history of any length in memory that does not grow with it: bars come out of the
//! data directory in blocks, predictions line by line, and the journal is written as it is made.

use std::fs::File;
use std::io::{BufWriter, Read};
use std::path::{Path, PathBuf};

use fusebox_engine::backtest::{StreamSpec, Streamed, require_possible, run_stream};
use fusebox_engine::fusion::{ModelInfo, ModelRef, Prediction};
use fusebox_engine::journal::{JsonLines, NullJournal};
use fusebox_engine::ports::{Answers, SignalError, SignalSource};
use fusebox_engine::session::SessionConfig;
use fusebox_engine::types::{Bar, SymbolId, Timestamp};
use sha2::{Digest, Sha256};

use super::BacktestingError;
use super::predictions::{Columns, Folds, PredictionsError, Reading, hexadecimal};
use crate::data::{DataRequest, MarketStream};

/// The predictions of a file, in the order of time, of which one row is in memory.
///
/// The file is read twice: once to find everything that is wrong with it, its models and its range,
/// and once while it is traded.
#[derive(Debug)]
pub struct PredictionStream {
    path: PathBuf,
    names: Vec<String>,
    models: Vec<ModelInfo>,
    range: (Timestamp, Timestamp),
    folds: Folds,
    columns: Columns,
    reader: csv::Reader<File>,
    row: csv::StringRecord,
    next: Option<Prediction>,
}

impl PredictionStream {
    /// Opens a file of predictions for the `symbols`, in the order of their ids.
    ///
    /// # Errors
    /// [`PredictionsError`] with every problem of the file, which must be in the order of time.
    pub fn open(path: &Path, name: &str, symbols: &[String]) -> Result<Self, PredictionsError> {
        let failed = |source: std::io::Error| PredictionsError::Read {
            path: path.to_owned(),
            source,
        };
        let names: Vec<&str> = symbols.iter().map(String::as_str).collect();
        let mut hashed = Hashed {
            reader: File::open(path).map_err(failed)?,
            hasher: Sha256::new(),
        };
        let mut order = Order::default();
        let mut reading = Reading::new(&names);
        reading.read(&mut hashed, |_, one| order.take(&one));
        let folds = reading.finish(path)?;
        let digest = hexadecimal(&hashed.hasher.finalize());
        let mut reader = csv::Reader::from_reader(File::open(path).map_err(failed)?);
        let content = |problems| PredictionsError::Content {
            path: path.to_owned(),
            problems,
        };
        let headers = reader
            .headers()
            .map_err(|error| content(vec![error.to_string()]))?;
        let columns = Columns::of(headers).map_err(content)?;
        let never = Timestamp::from_nanos(i64::MAX);
        let mut stream = Self {
            path: path.to_owned(),
            models: folds.models(name, &digest),
            names: symbols.to_vec(),
            range: (order.first.unwrap_or(never), order.last.unwrap_or(never)),
            folds,
            columns,
            reader,
            row: csv::StringRecord::new(),
            next: None,
        };
        stream.next = stream.read_on().map_err(|words| content(vec![words]))?;
        Ok(stream)
    }

    fn read_on(&mut self) -> Result<Option<Prediction>, String> {
        let is_row = self
            .reader
            .read_record(&mut self.row)
            .map_err(|error| error.to_string())?;
        if !is_row {
            return Ok(None);
        }
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        let found = self.columns.prediction(&self.row, &names, &mut self.folds);
        found.map(Some).map_err(|problems| problems.join("; "))
    }
}

impl SignalSource for PredictionStream {
    fn models(&self) -> &[ModelInfo] {
        &self.models
    }

    fn range(&self) -> Option<(Timestamp, Timestamp)> {
        Some(self.range)
    }

    fn predict(
        &mut self,
        closed_at: Timestamp,
        _: &[Option<&Bar>],
        answers: &mut Answers,
    ) -> Result<(), SignalError> {
        let failed = |message: String| SignalError { closed_at, message };
        while let Some(one) = self.next.filter(|one| one.closed_at <= closed_at) {
            if one.closed_at < closed_at {
                return Err(failed(format!(
                    "no bar closes at {}, of which {} has a prediction; check its time",
                    one.closed_at,
                    self.path.display()
                )));
            }
            answers.predictions.push(Some(one));
            self.next = self.read_on().map_err(|words| {
                failed(format!(
                    "{} was changed while it was read: {words}",
                    self.path.display()
                ))
            })?;
        }
        // As a table of them gives them out, whatever the order of the lines.
        let key = |one: &Option<Prediction>| one.map(|one| (one.symbol, one.model));
        answers.predictions.sort_by_key(key);
        Ok(())
    }
}

/// Whether predictions come in the order of time, and none twice.
#[derive(Debug, Default)]
struct Order {
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    /// Whose predictions of the last moment there are.
    seen: Vec<(SymbolId, ModelRef)>,
}

impl Order {
    fn take(&mut self, one: &Prediction) -> Result<(), String> {
        let closed_at = one.closed_at;
        if self.first.is_none() {
            self.first = Some(closed_at);
        }
        let before = self.last.replace(closed_at);
        if before != Some(closed_at) {
            self.seen.clear();
        }
        if let Some(before) = before.filter(|before| closed_at < *before) {
            return Err(format!(
                "it is of {closed_at}, before the line above ({before}); sort the file by closed_at"
            ));
        }
        let key = (one.symbol, one.model);
        if self.seen.contains(&key) {
            return Err(format!("the symbol is predicted twice at {closed_at}"));
        }
        self.seen.push(key);
        Ok(())
    }
}

/// What is read, and its digest.
struct Hashed<R> {
    reader: R,
    hasher: Sha256,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.hasher.update(buffer.get(..count).unwrap_or(&[]));
        Ok(count)
    }
}

/// Trades the predictions of a file over the bars of a data directory without holding either, with
/// a journal in `journal` where one is wanted. Before the first step the beginning of the bars is
/// read once more, to refuse the lots and ticks that a backtest in memory refuses.
///
/// # Errors
/// [`BacktestingError`]; the journal then holds everything up to the failure, under its name with
/// `.partial` at the end.
pub fn stream_backtest(
    request: &DataRequest,
    (config, config_digest): (&SessionConfig, &str),
    signals: &mut PredictionStream,
    journal: Option<&Path>,
) -> Result<Streamed, BacktestingError> {
    let spec = StreamSpec {
        symbols: &request.symbols,
        time_frame: request.time_frame,
        config,
        config_digest,
    };
    let mut judged = MarketStream::open(request)?;
    require_possible(&spec, || {
        judged.next_block().map_err(BacktestingError::from)
    })?;
    let mut bars = MarketStream::open(request)?;
    let next = || bars.next_block().map_err(|error| error.to_string());
    let Some(path) = journal else {
        return Ok(run_stream(&spec, next, signals, &mut NullJournal, |_| ())?);
    };
    let failed = |source: std::io::Error| BacktestingError::File {
        path: path.to_owned(),
        source,
    };
    let partial = path.with_extension("jsonl.partial");
    let mut sink = JsonLines::new(BufWriter::new(File::create(&partial).map_err(failed)?));
    let found = run_stream(&spec, next, signals, &mut sink, |_| ())?;
    super::keep(sink, &partial, path).map_err(failed)?;
    Ok(found)
}
