//! Many settings over the same predictions: a session without its journal.
//!
//! [`SweepTable::run`] takes the same decisions as a [`Session`](crate::session::Session) with the
//! same strategy, risk desk and breakers, and comes to the same equity, to the last unit. It trades
//! market orders at the opens, as much as volume leaves of them; settings that need more are
//! refused, all at once, with their keys. The table is read only, so runs may share it across
//! threads.
//!
//! | file | part |
//! |---|---|
//! | `run` | one run: the steps in which something is decided or filled |
//! | `quiet` | the steps in between, which only value what is held |
//! | `seat` | one symbol: what is held of it, and which orders wait |
//! | `stretches` | where on the way equity is kept |
//! | `venue` | what a market order gets at an open |

mod quiet;
mod run;
mod seat;
mod stretches;
mod venue;

use crate::backtest::SignalTableError;
use crate::execution::{ExecutionConfig, SlippageConfig, SymbolConfig};
use crate::fusion::{Fused, FusionConfig, FusionError, ModelInfo, ModelRef, Prediction};
use crate::portfolio::PortfolioConfig;
use crate::problem::{Problem, Problems};
use crate::risk::{RiskConfig, Sizing};
use crate::session::{SessionConfig, SetupError};
use crate::strategy::StrategyConfig;
use crate::types::{
    Bar, Cash, Market, MoneyError, Price, SymbolId, TimeFrame, Timestamp, VenueRecords,
};
use run::Run;
pub use stretches::Stretches;

/// One symbol at one step, as much as a step needs in which nothing happens.
#[derive(Debug, Clone, Copy)]
struct Glance {
    /// Units of the newest close; 0 before the first bar.
    close: i64,
    /// Probability of up minus that of down; not a number without a prediction that may be acted
    /// on, so that it lies beyond no threshold.
    score: f64,
}

/// The rest of one symbol at one step.
#[derive(Debug, Clone, Copy)]
struct Cell {
    /// Units of the open; 0 without a bar that orders can meet.
    open: i64,
    opened_at: Timestamp,
    /// When the newest bar closed; the beginning of time before the first.
    bar_closed_at: Timestamp,
    probabilities: [f32; 3],
    /// The model behind `probabilities`; [`NOBODY`] without a prediction.
    model: u32,
    /// Place of the newest bar in its series.
    bar: u32,
}

const NOBODY: u32 = u32::MAX;
const NEVER: Timestamp = Timestamp::from_nanos(i64::MIN);

impl Cell {
    const NOTHING: Self = Self {
        open: 0,
        opened_at: NEVER,
        bar_closed_at: NEVER,
        probabilities: [0.0; 3],
        model: NOBODY,
        bar: 0,
    };

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
    glances: Vec<Glance>,
    /// The same.
    cells: Vec<Cell>,
    /// Largest close of each symbol, in units.
    highest: Vec<i64>,
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
    /// A bar cannot be stepped over.
    #[error(
        "the bar of {symbol} that closes at {closed_at} has {name} {value}; it must be above 0"
    )]
    Bar {
        /// The symbol's name.
        symbol: String,
        /// When it closes.
        closed_at: Timestamp,
        /// Which price.
        name: &'static str,
        /// The price.
        value: f64,
    },
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
    /// Sharpe ratio of one step, not annualised; `None` where nothing varied, and where everything
    /// was lost.
    #[must_use]
    pub fn sharpe(&self) -> Option<f64> {
        let is_defined = self.return_variance > 0.0 && !self.is_ruined();
        is_defined.then(|| self.mean_return / self.return_variance.sqrt())
    }

    /// Whether equity was gone at some step, so that returns after it mean nothing.
    #[must_use]
    pub fn is_ruined(&self) -> bool {
        self.max_drawdown >= 1.0
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
            glances: Vec::new(),
            cells: Vec::new(),
            highest: vec![0; symbols],
            symbols,
            time_frame: market.time_frame(),
            fusion: fusion.clone(),
        };
        let mut left = predictions;
        let mut newest = table.before_first(range);
        let mut own = Vec::new();
        for (closed_at, bars) in super::steps_within(market, range) {
            let count = left.partition_point(|one| one.closed_at <= closed_at);
            let (now, later) = left.split_at(count);
            left = later;
            table.times.push(closed_at);
            for (symbol, bar) in (0..).map(SymbolId).zip(bars) {
                own.clear();
                own.extend(now.iter().filter(|one| one.symbol == symbol));
                let is_valid = own.iter().all(Prediction::is_valid);
                let fused = if is_valid { fuses.fuse(&own)? } else { None };
                let Some((close, cell)) = newest.get_mut(symbol.index()) else {
                    continue;
                };
                if let Some(bar) = bar {
                    *close = table.take_bar(symbol, bar, cell)?;
                } else {
                    cell.open = 0;
                }
                cell.model = fused.map_or(NOBODY, |fused| fused.model.0);
                cell.probabilities = fused.map_or([0.0; 3], |fused| fused.probabilities);
                let score = fused.map_or(f64::NAN, |fused| {
                    let [down, _, up] = fused.probabilities.map(f64::from);
                    up - down
                });
                table.glances.push(Glance {
                    close: *close,
                    score,
                });
                table.cells.push(*cell);
            }
        }
        Ok(table)
    }

    /// What is known of each symbol before the first step; the bar is the one before the next.
    fn before_first(&self, range: Option<(Timestamp, Timestamp)>) -> Vec<(i64, Cell)> {
        let series = self.market.series().iter();
        let place = series.map(|series| {
            let first = range.map_or(0, |(first, _)| {
                series.bars.partition_point(|bar| bar.closed_at < first)
            });
            // The first bar that is met counts on from here.
            let bar = u32::try_from(first).unwrap_or(u32::MAX).wrapping_sub(1);
            (
                0,
                Cell {
                    bar,
                    ..Cell::NOTHING
                },
            )
        });
        place.collect()
    }

    /// Puts a bar's part into `cell`, and gives its close in units.
    fn take_bar(
        &mut self,
        symbol: SymbolId,
        bar: &Bar,
        cell: &mut Cell,
    ) -> Result<i64, SweepError> {
        let market = self.market;
        let units = |price: f64, what: &'static str| {
            let exact = Price::from_f64(price)?;
            if exact <= Price::ZERO {
                return Err(SweepError::Bar {
                    symbol: market
                        .get(symbol)
                        .map_or_else(String::new, |series| series.name.clone()),
                    closed_at: bar.closed_at,
                    name: what,
                    value: price,
                });
            }
            i64::try_from(exact.units()).map_err(|_| {
                SweepError::Money(MoneyError::OutOfRange {
                    value: price.to_string(),
                    kind: "price of a sweep",
                })
            })
        };
        let (open, close) = (units(bar.open, "open")?, units(bar.close, "close")?);
        let is_price = |price: f64| Price::from_f64(price).is_ok_and(|price| price > Price::ZERO);
        // The exchange passes over a bar without a range.
        let can_fill = is_price(bar.high) && is_price(bar.low);
        cell.open = if can_fill { open } else { 0 };
        cell.opened_at = bar.opened_at;
        cell.bar_closed_at = bar.closed_at;
        cell.bar = cell.bar.wrapping_add(1);
        if let Some(highest) = self.highest.get_mut(symbol.index()) {
            *highest = close.max(*highest);
        }
        Ok(close)
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
        let (result, _) = self.run_along(config, &Stretches::default())?;
        Ok(result)
    }

    /// The same, with equity at the end of each stretch that ends within the steps.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_along(
        &self,
        config: &SessionConfig,
        stretches: &Stretches,
    ) -> Result<(SweepResult, Vec<Cash>), SweepError> {
        let problems = self.problems(config);
        if !problems.is_empty() {
            return Err(SweepError::Unsupported(problems));
        }
        Ok(Run::new(self, config, stretches)?.finish())
    }

    /// Everything that is wrong with these settings, and every one that a sweep leaves out.
    // Every setting is named here, so that a new one cannot be left out unseen.
    #[must_use]
    pub fn problems(&self, config: &SessionConfig) -> Vec<Problem> {
        let SessionConfig {
            strategy,
            fusion,
            risk,
            execution,
            portfolio,
        } = config;
        let mut problems = Problems::default();
        let left_out = "is set, but a sweep leaves it out; run a backtest for this";
        let parts = strategy_parts(strategy)
            .into_iter()
            .chain(execution_parts(execution, self.market.records()))
            .chain(risk_parts(risk))
            .chain(portfolio_parts(portfolio));
        for (key, is_plain) in parts {
            problems.require(is_plain, key, left_out);
        }
        problems.require(
            *fusion == self.fusion,
            "fusion",
            "differs from that of the table; make a table for it",
        );
        let names: Vec<&str> = self.market.names().collect();
        let found = config.currencies(&names);
        if let Ok(several) = &found
            && !several.is_single()
        {
            problems.require(
                false,
                "portfolio.currency",
                format!(
                    "there are several ({}), and a sweep has no rates; run a backtest for this, or \
                     sweep the symbols of one currency",
                    several.names().join(", ")
                ),
            );
        }
        let mut problems = problems.into_vec();
        problems.extend(config.validate());
        problems.extend(super::lots::impossible(self.market, config));
        problems.extend(found.err().unwrap_or_default());
        problems
    }
}

type Parts = Vec<(&'static str, bool)>;

fn strategy_parts(config: &StrategyConfig) -> Parts {
    let StrategyConfig {
        entry_threshold: _,
        exit_threshold: _,
        minimum_holding_bars: _,
        minimum_confidence: _,
        allow_short: _,
        // Predictions that exist do not fail.
        fail_safe: _,
        entry,
        protection,
    } = config;
    vec![
        ("strategy.entry", entry.is_market()),
        ("strategy.protection", protection.is_none()),
    ]
}

fn execution_parts(config: &ExecutionConfig, records: &VenueRecords) -> Parts {
    let ExecutionConfig {
        fee_bps: _,
        slippage_bps: _,
        lot_size: _,
        tick_size: _,
        min_notional: _,
        order_expiry_bars: _,
        spread_bps: _,
        // Nothing rests.
        maker_fee_bps: _,
        limit_through_ticks: _,
        limit_queue_ahead: _,
        fee_tiers,
        slippage,
        latency_ms,
        participation: _,
        funding,
        borrow_annual_bps,
        symbols,
    } = config;
    vec![
        ("execution.slippage", *slippage == SlippageConfig::None),
        ("execution.latency_ms", *latency_ms == 0),
        ("execution.fee_tiers", fee_tiers.is_empty()),
        (
            "execution.funding",
            funding.is_none() && records.funding.is_empty(),
        ),
        ("execution.fine_time_frame", records.fine.is_empty()),
        (
            "execution.symbols",
            symbols.values().all(SymbolConfig::only_names_currencies),
        ),
        (
            "execution.borrow_annual_bps",
            borrow_annual_bps.abs() == 0.0,
        ),
    ]
}

fn risk_parts(config: &RiskConfig) -> Parts {
    let RiskConfig {
        position_fraction: _,
        max_symbol_weight: _,
        max_gross_exposure: _,
        max_order_notional: _,
        max_drawdown: _,
        max_data_age_bars: _,
        max_net_exposure: _,
        max_daily_loss: _,
        cool_down_bars: _,
        reset_after_cool_down: _,
        sizing,
        max_daily_turnover,
        max_silence_bars,
        price_collar_bps,
    } = config;
    let knows_its_size = matches!(sizing, Sizing::FixedFraction | Sizing::Kelly { .. });
    vec![
        ("risk.sizing", knows_its_size),
        ("risk.max_daily_turnover", max_daily_turnover.is_none()),
        ("risk.max_silence_bars", max_silence_bars.is_none()),
        ("risk.price_collar_bps", price_collar_bps.is_none()),
    ]
}

fn portfolio_parts(config: &PortfolioConfig) -> Parts {
    let PortfolioConfig {
        initial_cash: _,
        allow_short: _,
        // Of several currencies, whatever else is set, more is said where they are told apart.
        currency: _,
        rates: _,
        max_rate_age_bars: _,
        margin,
    } = config;
    vec![("portfolio.margin", margin.is_none())]
}

#[cfg(test)]
mod tests;
