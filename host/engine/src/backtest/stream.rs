//! A backtest over bars that come in blocks and are forgotten: memory does not grow with the length
//! of the history.
//!
//! A block is a market of some time, of every symbol; the next block begins where it ends. What is
//! kept from step to step is the session's state; what is told of each step is the caller's to keep
//! or to sum up. The journal is written as it is made, as ever.

use std::collections::BTreeMap;

use super::lots::{PriceSpan, impossible_within, refused};
use super::{BacktestError, Costs, Driver};
use crate::portfolio::{Currencies, CurrencyBook};
use crate::ports::{JournalSink, SignalSource};
use crate::risk::Refusal;
use crate::session::{Session, SessionConfig, SessionSetup, SetupError, StepReport};
use crate::types::{Cash, CurrencyId, Market, Rate, TimeFrame, Timestamp, VenueRecords};

/// What is tested.
#[derive(Debug, Clone, Copy)]
pub struct StreamSpec<'a> {
    /// Names in the order of symbol ids, those of every block.
    pub symbols: &'a [String],
    /// Length of every bar.
    pub time_frame: TimeFrame,
    /// The session's settings.
    pub config: &'a SessionConfig,
    /// What the journal calls the configuration.
    pub config_digest: &'a str,
}

/// What a backtest found, in sums.
#[derive(Debug, Clone, PartialEq)]
pub struct Streamed {
    /// What the cash at the start was worth.
    pub initial_cash: Cash,
    /// The currencies of the account; sums are in the first, the reporting one.
    pub currencies: Currencies,
    /// What was booked in each currency.
    pub books: Vec<CurrencyBook>,
    /// Equity at the end.
    pub final_equity: Cash,
    /// Profit of what was closed, after slippage and before fees.
    pub realised: Cash,
    /// Profit of what is held, after slippage and before fees.
    pub unrealised: Cash,
    /// Costs of all symbols.
    pub costs: Costs,
    /// Steps taken.
    pub steps: u64,
    /// Round trips that ended.
    pub trades: u64,
    /// Largest loss from a peak of equity, as a fraction of the peak.
    pub max_drawdown: f64,
    /// How often each refusal was given.
    pub refusals: BTreeMap<Refusal, u64>,
    /// Steps that were passed over before the first, because the account had no value yet.
    pub waited_steps: u64,
    /// Whether a loss breaker is tripped at the end.
    pub breaker_tripped: bool,
    /// Whether equity was ever gone.
    pub ruined: bool,
    /// SHA-256 of the journal; `None` where none is kept.
    pub journal_digest: Option<String>,
}

impl Streamed {
    /// The currencies whose rates never came in the steps that were taken; none without a step.
    #[must_use]
    pub fn unknown_rates(&self) -> Vec<CurrencyId> {
        let books = self.currencies.ids().zip(&self.books);
        let unknown = books.filter(|(_, book)| self.steps > 0 && book.rate.is_none());
        unknown.map(|(currency, _)| currency).collect()
    }
}

/// Refuses what [`run_backtest`](super::run_backtest) refuses because of the prices of its market:
/// lots that the account could never pay for, and ticks above the price. It takes blocks until
/// nothing can be wrong any more, which is almost always the first, and keeps none; the run itself
/// then begins with the first block again.
///
/// # Errors
/// [`SetupError::Config`] with everything that is wrong with the settings, and what `next_block`
/// fails with.
pub fn require_possible<E: From<SetupError>>(
    spec: &StreamSpec<'_>,
    mut next_block: impl FnMut() -> Result<Option<Market>, E>,
) -> Result<(), E> {
    let names: Vec<&str> = spec.symbols.iter().map(String::as_str).collect();
    let mut spans = vec![PriceSpan::EMPTY; names.len()];
    while let Some(block) = next_block()? {
        for (span, series) in spans.iter_mut().zip(block.series()) {
            series.bars.iter().for_each(|bar| span.take(bar));
        }
        // A first bar stays the first and the lowest price only falls, so this is final.
        if spans.iter().all(PriceSpan::has_begun)
            && impossible_within(&names, &spans, spec.config).is_empty()
        {
            return Ok(());
        }
    }
    let problems = impossible_within(&names, &spans, spec.config);
    refused(problems, &names, (spec.config, &VenueRecords::default()))?;
    Ok(())
}

/// Trades the predictions of `signals` over the blocks of `next_block`, as
/// [`run_backtest`](super::run_backtest) does over a market that holds them all; `each` is told of
/// every step.
///
/// `next_block` gives `None` after the last block, and an error in words where the bars cannot be
/// read.
///
/// # Errors
/// [`BacktestError`]; the journal then holds everything up to the failure.
pub fn run_stream(
    spec: &StreamSpec<'_>,
    mut next_block: impl FnMut() -> Result<Option<Market>, String>,
    signals: &mut dyn SignalSource,
    journal: &mut dyn JournalSink,
    mut each: impl FnMut(&StepReport<'_>),
) -> Result<Streamed, BacktestError> {
    let session = Session::new(SessionSetup {
        config: spec.config,
        config_digest: spec.config_digest.to_owned(),
        symbols: spec.symbols.to_vec(),
        time_frame: spec.time_frame,
        models: signals.models().to_vec(),
    })?;
    let mut sums = Sums::new(session.currencies());
    let mut driver = Driver::new(session, signals);
    let mut ends_at = None;
    while let Some(block) = next_block().map_err(BacktestError::Bars)? {
        check_next(spec, &block, &mut ends_at)?;
        let goes_on = driver.walk(&block, (&mut *signals, &mut *journal), |report| {
            sums.take(report);
            each(report);
        })?;
        if !goes_on {
            break;
        }
    }
    let waited_steps = driver.waiting.steps();
    let session = driver.finish(journal)?;
    let portfolio = session.portfolio();
    Ok(Streamed {
        initial_cash: portfolio.initial_cash(),
        currencies: sums.currencies,
        books: portfolio.books().to_vec(),
        final_equity: match sums.steps {
            0 => portfolio.initial_cash(),
            _ => sums.equity,
        },
        realised: portfolio.realised(),
        unrealised: portfolio.unrealised(),
        costs: sums.costs,
        steps: sums.steps,
        trades: sums.trades,
        max_drawdown: sums.deepest,
        refusals: session.refusals().clone(),
        waited_steps,
        breaker_tripped: session.breaker().is_tripped(),
        ruined: session.breaker().is_ruined(),
        journal_digest: journal.digest(),
    })
}

/// Whether `block` is of the same symbols and begins after what was before.
fn check_next(
    spec: &StreamSpec<'_>,
    block: &Market,
    ends_at: &mut Option<Timestamp>,
) -> Result<(), BacktestError> {
    let names: Vec<&str> = block.names().collect();
    if names != spec.symbols || block.time_frame() != spec.time_frame {
        let told = |names: String, frame: TimeFrame| format!("are of {names} ({frame})");
        return Err(BacktestError::NotNext {
            found: told(names.join(", "), block.time_frame()),
            expected: told(spec.symbols.join(", "), spec.time_frame),
        });
    }
    let records = block.records();
    if !records.funding.is_empty() || !records.books.is_empty() {
        // They would have to be known when the session begins.
        return Err(BacktestError::NotNext {
            found: "come with recorded fundings or order books".to_owned(),
            expected: "bars, and finer bars maybe".to_owned(),
        });
    }
    let bars = || block.series().iter().map(|series| &series.bars);
    let first = bars()
        .filter_map(|bars| bars.first())
        .map(|bar| bar.closed_at);
    let last = bars()
        .filter_map(|bars| bars.last())
        .map(|bar| bar.closed_at);
    let (Some(first), Some(last)) = (first.min(), last.max()) else {
        return Ok(());
    };
    if let Some(end) = ends_at.filter(|end| first <= *end) {
        return Err(BacktestError::NotNext {
            found: format!("close from {first} on"),
            expected: format!("later ones than {end}"),
        });
    }
    *ends_at = Some(last);
    Ok(())
}

/// Sums over the steps.
struct Sums {
    currencies: Currencies,
    equity: Cash,
    costs: Costs,
    steps: u64,
    trades: u64,
    peak: f64,
    deepest: f64,
}

impl Sums {
    fn new(currencies: &Currencies) -> Self {
        // Of several, only the first step says what the account begins with.
        let cash = match currencies.initial() {
            [only] => *only,
            _ => Cash::ZERO,
        };
        Self {
            currencies: currencies.clone(),
            equity: cash,
            costs: Costs::default(),
            steps: 0,
            trades: 0,
            peak: cash.to_f64(),
            deepest: 0.0,
        }
    }

    fn take(&mut self, report: &StepReport<'_>) {
        self.steps += 1;
        self.trades += report.trades.len() as u64;
        for fill in report.fills {
            let rate = report.rates.get(fill.currency.index()).copied().flatten();
            self.costs.add(fill, rate.unwrap_or(Rate::ONE));
        }
        self.equity = report.point.equity;
        let equity = self.equity.to_f64();
        self.peak = self.peak.max(equity);
        self.deepest = self.deepest.max(1.0 - equity / self.peak);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backtest::{BacktestSpec, Rule, RuleSignals, run_backtest};
    use crate::execution::ExecutionConfig;
    use crate::fusion::FusionConfig;
    use crate::journal::JsonLines;
    use crate::portfolio::PortfolioConfig;
    use crate::risk::RiskConfig;
    use crate::strategy::{EntryOrder, FailSafe, Protection, StrategyConfig};
    use crate::types::{Bar, BarSeries};

    fn series(name: &str, shift: f64, hours: std::ops::Range<i64>) -> BarSeries {
        let time_frame: TimeFrame = "1h".parse().unwrap();
        let price = |hour: i64| 100.0 + 10.0 * (hour as f64 * 0.11 + shift).sin();
        let bars = hours.filter(|hour| hour % 23 != 5).map(|hour| {
            let opened_at = Timestamp::from_nanos(hour * time_frame.nanos());
            Bar {
                opened_at,
                closed_at: opened_at.saturating_add_nanos(time_frame.nanos()),
                open: price(hour),
                high: price(hour) + 2.0,
                low: price(hour) - 2.0,
                close: price(hour + 1),
                volume: 5.0,
                quote_volume: None,
                trades: None,
                taker_buy_volume: None,
            }
        });
        BarSeries {
            name: name.to_owned(),
            time_frame,
            bars: bars.collect(),
        }
    }

    fn market(hours: std::ops::Range<i64>) -> Market {
        let other = series("B", 1.0, hours.clone());
        Market::new(vec![series("A", 0.0, hours), other]).unwrap()
    }

    fn config() -> SessionConfig {
        SessionConfig {
            strategy: StrategyConfig {
                entry_threshold: 0.5,
                exit_threshold: 0.5,
                minimum_holding_bars: 0,
                minimum_confidence: None,
                allow_short: true,
                fail_safe: FailSafe::Flatten,
                entry: EntryOrder::Market,
                protection: Protection::default(),
            },
            fusion: FusionConfig::default(),
            risk: RiskConfig {
                position_fraction: Some(0.4),
                max_symbol_weight: Some(1.0),
                max_gross_exposure: Some(1.0),
                max_order_notional: Some(1e6),
                max_drawdown: Some(0.9),
                max_data_age_bars: Some(0),
                ..RiskConfig::default()
            },
            execution: ExecutionConfig {
                participation: Some(0.5),
                order_expiry_bars: 2,
                ..ExecutionConfig::costing(5.0, 2.0)
            },
            portfolio: PortfolioConfig {
                allow_short: true,
                margin: None,
                ..PortfolioConfig::with_cash(10_000.0)
            },
        }
    }

    fn rule() -> RuleSignals {
        let rule = Rule::MomentumCrossover {
            fast_bars: 3,
            slow_bars: 9,
        };
        RuleSignals::new(rule, 2, None)
    }

    fn streamed(blocks: Vec<Market>) -> (Result<Streamed, BacktestError>, u64) {
        let (config, mut told) = (config(), 0);
        let symbols = ["A".to_owned(), "B".to_owned()];
        let spec = StreamSpec {
            symbols: &symbols,
            time_frame: "1h".parse().unwrap(),
            config: &config,
            config_digest: "d",
        };
        let mut blocks = blocks.into_iter();
        let mut journal = JsonLines::new(Vec::new());
        let next = || Ok(blocks.next());
        let found = run_stream(&spec, next, &mut rule(), &mut journal, |_| told += 1);
        (found, told)
    }

    #[test]
    fn blocks_come_to_what_the_whole_comes_to() {
        let (whole, config) = (market(0..900), config());
        let spec = BacktestSpec {
            market: &whole,
            config: &config,
            config_digest: "d",
        };
        let mut journal = JsonLines::new(Vec::new());
        let expected = run_backtest(&spec, &mut rule(), &mut journal).unwrap();
        assert!(expected.fills.len() > 50);
        for length in [1, 7, 250, 900] {
            let blocks = (0..900).step_by(length).map(|from| {
                let to = (from + length as i64).min(900);
                market(from..to)
            });
            let (found, told) = streamed(blocks.collect());
            let found = found.unwrap();
            assert_eq!(found.journal_digest, expected.journal_digest, "{length}");
            assert_eq!(found.final_equity, expected.final_equity());
            assert_eq!(found.costs, expected.costs);
            assert_eq!(found.trades, expected.trades.len() as u64);
            assert_eq!(
                (found.steps, told),
                (expected.equity.len() as u64, found.steps)
            );
        }
    }

    #[test]
    fn blocks_out_of_order_or_of_others_are_refused() {
        let (found, _) = streamed(vec![market(0..50), market(40..60)]);
        let words = found.unwrap_err().to_string();
        assert!(words.contains("later ones than"), "{words}");
        let one = Market::new(vec![series("A", 0.0, 0..9)]).unwrap();
        let words = streamed(vec![one]).0.unwrap_err().to_string();
        assert!(
            words.contains("are of A (1h)") && words.contains("A, B (1h)"),
            "{words}"
        );
    }
}
