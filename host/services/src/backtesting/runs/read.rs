//! Reads a run directory for a comparison, and finds everything wrong with it.

use std::fs;
use std::path::{Path, PathBuf};

use fusebox_engine::types::Timestamp;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::report::{ConfigText, FileDigest, MarketSummary, Trading};
use crate::training::{
    EQUITY_FILE, MANIFEST_FILE, METRICS_FILE, METRICS_FORMAT, RUN_KIND, RunManifest, hex,
};

/// Problems of one table that are listed at most.
const MAX_PROBLEMS: usize = 5;

/// A run as far as a comparison needs it.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) directory: PathBuf,
    pub(super) metrics: Metrics,
    /// Equity of the strategy at each closing time, ascending.
    pub(super) equity: Vec<(Timestamp, f64)>,
}

/// What of `metrics.json` is needed; a run's and a backtest's have it alike.
#[derive(Debug, Deserialize)]
pub(super) struct Metrics {
    pub(super) title: String,
    pub(super) market: MarketSummary,
    pub(super) trading: Trading,
    pub(super) reproducibility: Record,
}

/// What of the record of a run is needed.
#[derive(Debug, Deserialize)]
pub(super) struct Record {
    pub(super) config: ConfigText,
    pub(super) files: Vec<FileDigest>,
    #[serde(default)]
    pub(super) feature_set_sha256: String,
}

/// The run in `directory`; what is wrong with it goes to `problems`, and then there is none.
pub(super) fn run(directory: &Path, problems: &mut Vec<String>) -> Option<Run> {
    let before = problems.len();
    let mut reading = Reading {
        directory,
        problems,
    };
    let manifest = reading.manifest()?;
    let metrics = reading.file(&manifest, METRICS_FILE);
    let metrics = metrics.and_then(|bytes| reading.metrics(&bytes));
    let equity = reading.file(&manifest, EQUITY_FILE);
    let equity = equity.map(|bytes| reading.equity(&bytes));
    let is_whole = problems.len() == before;
    let run = Run {
        directory: directory.to_owned(),
        metrics: metrics?,
        equity: equity?,
    };
    is_whole.then_some(run)
}

struct Reading<'a> {
    directory: &'a Path,
    problems: &'a mut Vec<String>,
}

impl Reading<'_> {
    fn problem(&mut self, words: impl std::fmt::Display) {
        let directory = self.directory.display();
        self.problems.push(format!("{directory}: {words}"));
    }

    fn manifest(&mut self) -> Option<RunManifest> {
        if !self.directory.is_dir() {
            self.problem("there is no such directory");
            return None;
        }
        let bytes = match fs::read(self.directory.join(MANIFEST_FILE)) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.problem(format!(
                    "{MANIFEST_FILE} cannot be read ({error}), so it is no complete run; name what \
                     `fusebox run --out` or `fusebox backtest --out` wrote"
                ));
                return None;
            }
        };
        match serde_json::from_slice::<RunManifest>(&bytes) {
            Ok(manifest) if manifest.kind == RUN_KIND => return Some(manifest),
            Ok(manifest) => self.problem(format!("it holds a `{}`, no run", manifest.kind)),
            Err(error) => self.problem(format!("{MANIFEST_FILE} is broken: {error}")),
        }
        None
    }

    /// The bytes of a file, where they are those that the manifest names.
    fn file(&mut self, manifest: &RunManifest, name: &str) -> Option<Vec<u8>> {
        let Some(named) = manifest.files.iter().find(|file| file.path == name) else {
            self.problem(format!("{MANIFEST_FILE} names no {name}"));
            return None;
        };
        let bytes = match fs::read(self.directory.join(name)) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.problem(format!("{name} cannot be read: {error}"));
                return None;
            }
        };
        let digest = format!("sha256:{}", hex(&Sha256::digest(&bytes)));
        if digest != named.digest {
            self.problem(format!(
                "{name} has been changed since the run; run it again"
            ));
            return None;
        }
        Some(bytes)
    }

    fn metrics(&mut self, bytes: &[u8]) -> Option<Metrics> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let format = serde_json::from_slice::<Format>(bytes);
        if let Ok(Format { format }) = &format
            && *format != METRICS_FORMAT
        {
            self.problem(format!(
                "{METRICS_FILE} has format {format}, and this version reads {METRICS_FORMAT}; run \
                 it again"
            ));
            return None;
        }
        match format.and_then(|_| serde_json::from_slice(bytes)) {
            Ok(metrics) => Some(metrics),
            Err(error) => {
                self.problem(format!("{METRICS_FILE} is broken: {error}"));
                None
            }
        }
    }

    fn equity(&mut self, bytes: &[u8]) -> Vec<(Timestamp, f64)> {
        let mut rows: Vec<(Timestamp, f64)> = Vec::new();
        let mut found = 0;
        let mut table = csv::Reader::from_reader(bytes);
        let place = |name: &str, table: &mut csv::Reader<&[u8]>| {
            let headers = table.headers().ok()?;
            headers.iter().position(|header| header == name)
        };
        let at = place("closed_at", &mut table);
        let value = place("strategy_equity", &mut table);
        let (Some(at), Some(value)) = (at, value) else {
            self.problem(format!(
                "{EQUITY_FILE} lacks the column `closed_at` or `strategy_equity`"
            ));
            return rows;
        };
        for (line, row) in (2_u64..).zip(table.records()) {
            let read = row.map_err(|error| error.to_string()).and_then(|row| {
                let text = |place: usize| row.get(place).unwrap_or("").to_owned();
                parse(&text(at), &text(value), rows.last())
            });
            match read {
                Ok(row) => rows.push(row),
                Err(words) => {
                    found += 1;
                    if found <= MAX_PROBLEMS {
                        self.problem(format!("{EQUITY_FILE}, line {line}: {words}"));
                    }
                }
            }
        }
        if found > MAX_PROBLEMS {
            let more = found - MAX_PROBLEMS;
            self.problem(format!("{EQUITY_FILE} has {more} more such lines"));
        }
        if rows.is_empty() && found == 0 {
            self.problem(format!("{EQUITY_FILE} has no rows: nothing was traded"));
        }
        rows
    }
}

/// A row after `last`, or what is wrong with it.
fn parse(
    at: &str,
    value: &str,
    last: Option<&(Timestamp, f64)>,
) -> Result<(Timestamp, f64), String> {
    let time: Timestamp = at
        .parse()
        .map_err(|error| format!("`{at}` is no time ({error})"))?;
    let equity: f64 = value
        .parse()
        .map_err(|_| format!("`{value}` is no number"))?;
    if !equity.is_finite() {
        return Err(format!("`{value}` is not finite"));
    }
    match last {
        Some((before, _)) if *before >= time => {
            Err(format!("{time} does not come after the line before"))
        }
        _ => Ok((time, equity)),
    }
}
