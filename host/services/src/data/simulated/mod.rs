//! A simulated market: several correlated pairs with volatility clustering, fat tails, jumps, an
//! intraday pattern, gaps, and a weak planted signal of stated strength.
//!
//! It is there so that the whole path runs anywhere, and so that a correct model provably beats its
//! baseline where something is to be found, and provably does not where nothing is
//! ([`SimulatedConfig::signal_ic`] = 0). The same configuration gives the same bars, to the bit, on
//! every machine. It says nothing about profit on a real market.
//!
//! `config` is what can be chosen, `process` the random process, `signal` the arithmetic of the
//! planted signal, `draws` the random numbers.

mod config;
mod draws;
mod process;
mod signal;

use fusebox_engine::types::{Bar, BarSeries, Market};
use sha2::{Digest, Sha256};

pub use config::SimulatedConfig;

use super::resample::{first_start, resample};
use super::store::TimeRange;
use super::{DataError, DataRequest, DataSource, FileRecord, LoadedMarket, Origin, parquet};

/// The source of a simulated market.
///
/// A request may take some of its symbols (none for all), part of its range and coarser bars; the
/// bars are then the same as in the whole market. Directory and exchange are not read.
#[derive(Debug, Clone, PartialEq)]
pub struct Simulated {
    config: SimulatedConfig,
}

impl Simulated {
    /// A market like `config`.
    ///
    /// # Errors
    /// [`DataError::Simulation`] with everything that is wrong in `config`.
    pub fn new(config: SimulatedConfig) -> Result<Self, DataError> {
        let problems = config.problems();
        if problems.is_empty() {
            return Ok(Self { config });
        }
        Err(DataError::Simulation(problems))
    }

    /// What the market is like.
    #[must_use]
    pub fn config(&self) -> &SimulatedConfig {
        &self.config
    }

    /// Every series in full, with its gaps.
    #[must_use]
    pub fn series(&self) -> Vec<BarSeries> {
        let walked = process::walk(&self.config).into_iter();
        let names = self.config.symbols.iter();
        walked
            .zip(names)
            .enumerate()
            .map(|(symbol, (bars, name))| {
                let present = process::present(&self.config, symbol);
                let bars = bars.into_iter().zip(present);
                BarSeries {
                    name: name.clone(),
                    time_frame: self.config.time_frame,
                    bars: bars
                        .filter_map(|(bar, there)| there.then_some(bar))
                        .collect(),
                }
            })
            .collect()
    }

    /// The part of a series that a request asks for, and what is to be said about it.
    fn requested(
        &self,
        series: BarSeries,
        request: &DataRequest,
        warnings: &mut Vec<String>,
    ) -> Result<BarSeries, DataError> {
        let whole = available(&series);
        let symbol = series.name.clone();
        let series = if request.time_frame == self.config.time_frame {
            TimeRange::of(request).cut(series)
        } else {
            let widened = DataRequest {
                from: request.from.map(|at| first_start(request.time_frame, at)),
                to: request.to.map(|at| first_start(request.time_frame, at)),
                ..request.clone()
            };
            let made = resample(&TimeRange::of(&widened).cut(series), request.time_frame)?;
            warnings.push(format!(
                "simulated {symbol}: {} bars are made of {} bars; {} of them are absent because a \
                 finer bar in them is",
                request.time_frame, self.config.time_frame, made.incomplete
            ));
            made.series
        };
        if series.bars.is_empty() {
            return Err(DataError::EmptyRange {
                symbol,
                time_frame: request.time_frame,
                from: request.from,
                to: request.to,
                available: whole,
            });
        }
        Ok(series)
    }
}

impl DataSource for Simulated {
    fn load(&self, request: &DataRequest) -> Result<LoadedMarket, DataError> {
        let mut all: Vec<Option<BarSeries>> = self.series().into_iter().map(Some).collect();
        let wanted = match request.symbols.as_slice() {
            [] => &self.config.symbols,
            _ => &request.symbols,
        };
        let (mut series, mut files) = (Vec::new(), Vec::new());
        let (mut warnings, mut errors) = (Vec::new(), Vec::new());
        for symbol in wanted {
            let position = self.config.symbols.iter().position(|name| name == symbol);
            let found = position.and_then(|at| all[at].take());
            let loaded = found
                .ok_or_else(|| DataError::SymbolMissing {
                    symbol: symbol.clone(),
                    place: "the simulated market".into(),
                    hint: format!("there are {}, each once", self.config.symbols.join(", ")),
                })
                .and_then(|one| self.requested(one, request, &mut warnings));
            match loaded {
                Ok(one) => {
                    files.extend(record(&one));
                    series.push(one);
                }
                Err(error) => errors.push(error),
            }
        }
        if let Some(error) = DataError::joined(errors) {
            return Err(error);
        }
        Ok(LoadedMarket {
            market: Market::new(series)?,
            files,
            warnings,
            origin: Origin::Simulated {
                seed: self.config.seed,
                signal_ic: self.config.signal_ic,
                signal_horizon_bars: self.config.signal_horizon_bars,
            },
        })
    }
}

fn available(series: &BarSeries) -> String {
    match (series.bars.first(), series.bars.last()) {
        (Some(first), Some(last)) => format!(
            "{} rows from {} to {}",
            series.bars.len(),
            first.opened_at,
            last.opened_at
        ),
        _ => "no rows at all".to_owned(),
    }
}

/// The identity of a simulated series: the digest of its bars' bytes.
fn record(series: &BarSeries) -> Option<FileRecord> {
    let mut hasher = Sha256::new();
    for bar in &series.bars {
        hash_bar(&mut hasher, bar);
    }
    Some(FileRecord {
        path: format!("simulated:{}", series.name),
        sha256: parquet::hex(&hasher.finalize()),
        rows: series.bars.len() as u64,
        first: series.bars.first()?.opened_at,
        last: series.bars.last()?.opened_at,
    })
}

/// A bar's canonical bytes: the open time, then each column as a little-endian `f64` after a byte
/// that says whether it is there.
fn hash_bar(hasher: &mut Sha256, bar: &Bar) {
    hasher.update(bar.opened_at.as_nanos().to_le_bytes());
    for column in super::Column::ALL {
        let value = parquet::value(bar, column);
        hasher.update([u8::from(value.is_some())]);
        hasher.update(value.unwrap_or_default().to_le_bytes());
    }
}

#[cfg(test)]
mod tests;
