//! Many settings over the same predictions: a session without its journal.
//!
//! [`SweepTable::run`] takes the same decisions as a [`Session`](crate::session::Session) with the
//! same parts (strategy, risk desk, exchange, portfolio), and leaves out what does not change them:
//! bars in which nothing is held, nothing waits and nothing is wanted cost a comparison. It trades
//! whole market orders at the next open; settings that need more are refused, all at once, with
//! their keys. The table is read only, so runs may share it across threads.

mod run;

use crate::backtest::SignalTableError;
use crate::execution::{ExecutionConfig, SlippageConfig};
use crate::fusion::{Fused, FusionConfig, FusionError, ModelInfo, ModelRef, Prediction};
use crate::problem::{Problem, Problems};
use crate::risk::Sizing;
use crate::session::{SessionConfig, SetupError};
use crate::types::{Cash, Market, MoneyError, Price, SymbolId, TimeFrame, Timestamp};
use run::Run;

const DAY: i64 = 86_400_000_000_000;

/// One symbol at one step, in half a cache line.
#[derive(Debug, Clone, Copy)]
struct Cell {
    /// Units of the close; 0 without a bar.
    close: i64,
    /// Place of the bar in its series.
    bar: u32,
    /// The model behind `probabilities`; [`NOBODY`] without a prediction.
    model: u32,
    probabilities: [f32; 3],
}

const NOBODY: u32 = u32::MAX;

impl Cell {
    fn has_bar(&self) -> bool {
        self.close != 0
    }

    fn close(&self) -> Price {
        Price::from_units(i128::from(self.close))
    }

    fn fused(&self) -> Option<Fused> {
        (self.model != NOBODY).then_some(Fused {
            probabilities: self.probabilities,
            model: ModelRef(self.model),
        })
    }
}

/// Bars and fused predictions, step by step, made once for all runs.
#[derive(Debug)]
pub struct SweepTable<'a> {
    market: &'a Market,
    times: Vec<Timestamp>,
    /// Row-major, a row per step.
    cells: Vec<Cell>,
    symbols: usize,
    time_frame: TimeFrame,
    fusion: FusionConfig,
}

/// Why a table cannot be made or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SweepError {
    /// The settings have problems, or need what a sweep leaves out.
    #[error("these settings cannot be swept: {}", crate::problem::lines(.0))]
    Unsupported(Vec<Problem>),
    /// Predictions do not fit.
    #[error(transparent)]
    Signals(#[from] SignalTableError),
    /// Predictions do not fit the fusion.
    #[error(transparent)]
    Fusion(#[from] FusionError),
    /// A session cannot begin.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// A price is not money.
    #[error(transparent)]
    Money(#[from] MoneyError),
}

/// What one run found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SweepResult {
    /// Equity at the end.
    pub final_equity: Cash,
    /// Fees paid.
    pub fees: Cash,
    /// What spread and slippage have cost.
    pub slippage: Cash,
    /// Value of all fills without their signs.
    pub turnover: Cash,
    /// Number of fills.
    pub fills: u64,
    /// Largest loss from a peak of equity, as a fraction of the peak.
    pub max_drawdown: f64,
    /// Mean of the steps' simple returns.
    pub mean_return: f64,
    /// Population variance of the steps' simple returns.
    pub return_variance: f64,
    /// Steps.
    pub steps: u64,
}

impl SweepResult {
    /// Sharpe ratio of one step, not annualised; `None` where nothing varied.
    #[must_use]
    pub fn sharpe(&self) -> Option<f64> {
        (self.return_variance > 0.0).then(|| self.mean_return / self.return_variance.sqrt())
    }
}

impl<'a> SweepTable<'a> {
    /// From predictions in the order of a [`PrecomputedSignals`](super::PrecomputedSignals) table,
    /// over the steps from the first to the last of them.
    ///
    /// # Errors
    /// [`SweepError`] where predictions do not fit the fusion or a price is not money.
    pub fn new(
        market: &'a Market,
        models: &[ModelInfo],
        predictions: &[Prediction],
        fusion: &FusionConfig,
    ) -> Result<Self, SweepError> {
        let mut fuses = fusion.build();
        for (model, info) in (0..).map(ModelRef).zip(models) {
            fuses.add_model(model, info)?;
        }
        let symbols = market.series().len();
        let range = predictions
            .first()
            .zip(predictions.last())
            .map(|(first, last)| (first.closed_at, last.closed_at));
        let mut table = Self {
            market,
            times: Vec::new(),
            cells: Vec::new(),
            symbols,
            time_frame: market.time_frame(),
            fusion: fusion.clone(),
        };
        let mut left = predictions;
        let mut places = vec![0_u32; symbols];
        for (place, series) in places.iter_mut().zip(market.series()) {
            let first = range.map_or(0, |(first, _)| {
                series.bars.partition_point(|bar| bar.closed_at < first)
            });
            *place = u32::try_from(first).unwrap_or(u32::MAX);
        }
        for (closed_at, bars) in super::steps_within(market, range) {
            let count = left.partition_point(|one| one.closed_at <= closed_at);
            let (now, later) = left.split_at(count);
            left = later;
            table.times.push(closed_at);
            for (symbol, bar) in (0..).map(SymbolId).zip(bars) {
                let own: Vec<Prediction> = now
                    .iter()
                    .filter(|one| one.symbol == symbol)
                    .copied()
                    .collect();
                let is_valid = own.iter().all(Prediction::is_valid);
                let fused = if is_valid { fuses.fuse(&own)? } else { None };
                let mut cell = Cell {
                    close: 0,
                    bar: 0,
                    model: fused.map_or(NOBODY, |fused| fused.model.0),
                    probabilities: fused.map_or([0.0; 3], |fused| fused.probabilities),
                };
                if let (Some(bar), Some(place)) = (bar, places.get_mut(symbol.index())) {
                    let units = Price::from_f64(bar.close)?.units();
                    cell.close = i64::try_from(units).map_err(|_| MoneyError::OutOfRange {
                        value: bar.close.to_string(),
                        kind: "price of a sweep",
                    })?;
                    cell.bar = *place;
                    *place += 1;
                }
                table.cells.push(cell);
            }
        }
        Ok(table)
    }

    /// Number of steps.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.times.len()
    }

    /// What a session with these settings would have come to.
    ///
    /// # Errors
    /// [`SweepError::Unsupported`] with every setting that a sweep leaves out.
    pub fn run(&self, config: &SessionConfig) -> Result<SweepResult, SweepError> {
        let problems = self.unsupported(config);
        if !problems.is_empty() {
            return Err(SweepError::Unsupported(problems));
        }
        let mut run = Run::new(self, config)?;
        for (step, cells) in self.cells.chunks_exact(self.symbols.max(1)).enumerate() {
            let Some(&at) = self.times.get(step) else {
                break;
            };
            run.step(at, cells);
        }
        Ok(run.finish())
    }

    fn unsupported(&self, config: &SessionConfig) -> Vec<Problem> {
        let mut problems = Problems::default();
        let ExecutionConfig {
            slippage,
            latency_ms,
            participation,
            fee_tiers,
            funding,
            borrow_annual_bps,
            ..
        } = &config.execution;
        let left_out = "is set, but a sweep leaves it out; run a backtest for this";
        for (key, is_plain) in [
            ("execution.slippage", *slippage == SlippageConfig::None),
            ("strategy.entry", config.strategy.entry.is_market()),
            ("strategy.protection", config.strategy.protection.is_none()),
            ("execution.latency_ms", *latency_ms == 0),
            ("execution.participation", participation.is_none()),
            ("execution.fee_tiers", fee_tiers.is_empty()),
            ("execution.funding", funding.is_none()),
            (
                "execution.borrow_annual_bps",
                borrow_annual_bps.abs() == 0.0,
            ),
            ("portfolio.margin", config.portfolio.margin.is_none()),
            (
                "risk.sizing",
                matches!(
                    config.risk.sizing,
                    Sizing::FixedFraction | Sizing::Kelly { .. }
                ),
            ),
            (
                "risk.max_daily_turnover",
                config.risk.max_daily_turnover.is_none(),
            ),
            (
                "risk.max_silence_bars",
                config.risk.max_silence_bars.is_none(),
            ),
            (
                "risk.price_collar_bps",
                config.risk.price_collar_bps.is_none(),
            ),
        ] {
            problems.require(is_plain, key, left_out);
        }
        problems.require(
            config.fusion == self.fusion,
            "fusion",
            "differs from that of the table; make a table for it",
        );
        let mut problems = problems.into_vec();
        problems.extend(config.validate());
        problems
    }
}

#[cfg(test)]
mod tests;
