//! A market out of the data directory, block by block: a history of any length needs the memory of
//! a few parts of its files.
//!
//! Parts are validated as they come, as whole files are; that they follow each other is checked
//! too. Bars must be at hand in the length that is asked for, for coarser ones are not made here.

use fusebox_engine::types::{Bar, BarSeries, Market, TimeFrame, Timestamp};

use super::import::usable;
use super::parquet::{Batches, ReadOptions};
use super::store::{candle_files, choose_file, exchange_folder};
use super::validate::{ValidateOptions, validate};
use super::{DataError, DataRequest};

/// Bars of several symbols in the order of time; see the head of the file.
#[derive(Debug)]
pub struct MarketStream {
    feeds: Vec<Feed>,
    time_frame: TimeFrame,
}

/// The bars of one symbol that were read and not given out.
#[derive(Debug)]
struct Feed {
    symbol: String,
    batches: Batches,
    waiting: Vec<Bar>,
    newest: Option<Timestamp>,
    is_over: bool,
}

impl MarketStream {
    /// Opens the files of a request; nothing of them is read but their footers.
    ///
    /// # Errors
    /// [`DataError`] with the problems of all symbols together.
    pub fn open(request: &DataRequest) -> Result<Self, DataError> {
        let place = exchange_folder(request)?;
        let files = candle_files(&place)?;
        let (mut feeds, mut errors) = (Vec::new(), Vec::new());
        for symbol in &request.symbols {
            let opened = choose_file(request, &place, &files, symbol).and_then(|file| {
                if file.time_frame != request.time_frame {
                    return Err(DataError::TimeFrameMissing {
                        symbol: symbol.clone(),
                        time_frame: request.time_frame,
                        place: place.clone(),
                        hint: format!(
                            "it has {} bars, and a stream makes no coarser ones; load it whole",
                            file.time_frame
                        ),
                    });
                }
                let options = ReadOptions {
                    from: request.from,
                    to: request.to,
                    ..ReadOptions::default()
                };
                Batches::open(&file.path, &options)
            });
            match opened {
                Ok(batches) => feeds.push(Feed {
                    symbol: symbol.clone(),
                    batches,
                    waiting: Vec::new(),
                    newest: None,
                    is_over: false,
                }),
                Err(error) => errors.push(error),
            }
        }
        DataError::joined(errors).map_or(
            Ok(Self {
                feeds,
                time_frame: request.time_frame,
            }),
            Err,
        )
    }

    /// The next block: every symbol's bars up to a moment that all of them have reached; `None`
    /// after the last.
    ///
    /// # Errors
    /// [`DataError`] where a part cannot be read, is not valid or does not follow the one before.
    pub fn next_block(&mut self) -> Result<Option<Market>, DataError> {
        for feed in &mut self.feeds {
            feed.fill(self.time_frame)?;
        }
        // A symbol that goes on may have more right after its last bar; the others wait for it.
        let open = self.feeds.iter().filter(|feed| !feed.is_over);
        let reached = open.filter_map(|feed| feed.newest).min();
        let until = reached.unwrap_or(Timestamp::from_nanos(i64::MAX));
        let time_frame = self.time_frame;
        let series = self.feeds.iter_mut().map(|feed| BarSeries {
            name: feed.symbol.clone(),
            time_frame,
            bars: feed.take_until(until),
        });
        let series: Vec<BarSeries> = series.collect();
        if series.iter().all(|one| one.bars.is_empty()) {
            return Ok(None);
        }
        Ok(Some(Market::new(series)?))
    }
}

impl Feed {
    /// Reads on where nothing waits.
    fn fill(&mut self, time_frame: TimeFrame) -> Result<(), DataError> {
        while self.waiting.is_empty() && !self.is_over {
            let Some(candles) = self.batches.next_part()? else {
                self.is_over = true;
                break;
            };
            if candles.rows == 0 && candles.problems.is_empty() {
                continue;
            }
            let options = ValidateOptions {
                time_frame: Some(time_frame),
                ..ValidateOptions::default()
            };
            let report = validate(&candles, &options);
            let bars = usable(&candles, &report, &self.symbol)?.bars;
            if let (Some(before), Some(first)) = (self.newest, bars.first())
                && first.closed_at <= before
            {
                return Err(DataError::Corrupt {
                    path: report.file.into(),
                    reason: format!(
                        "the bar that opens at {} comes after one that closes at {before}",
                        first.opened_at
                    ),
                });
            }
            self.newest = bars.last().map(|bar| bar.closed_at).or(self.newest);
            self.waiting = bars;
        }
        Ok(())
    }

    fn take_until(&mut self, until: Timestamp) -> Vec<Bar> {
        let count = self.waiting.partition_point(|bar| bar.closed_at <= until);
        let later = self.waiting.split_off(count);
        std::mem::replace(&mut self.waiting, later)
    }
}
