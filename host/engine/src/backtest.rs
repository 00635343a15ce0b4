//! The synchronous driver: walks a market, asks for predictions and steps a session.
//!
//! Only the time that has predictions is traded, so a result is out of sample as far as its
//! predictions are. The baselines pay the same costs over the same closing times.

mod attribution;
mod baseline;
mod lots;
mod reexecute;
mod rehearsal;
mod rules;
mod signals;
mod stream;
mod sweep;
mod waiting;

use std::collections::BTreeMap;

use crate::execution::{Fill, Payment};
use crate::fusion::ModelInfo;
use crate::journal::JournalError;
use crate::portfolio::{Currencies, CurrencyBook, Portfolio, Trade};
use crate::ports::{Answers, JournalSink, SignalError, SignalSource};
use crate::problem::{Problem, lines};
use crate::risk::Refusal;
use crate::session::{
    EquityPoint, Session, SessionConfig, SessionSetup, SetupError, StepError, StepInput, StepReport,
};
use crate::types::{
    Bar, Cash, CurrencyId, Market, MarketSteps, Price, Quantity, Rate, SymbolId, Timestamp,
};

use waiting::Waiting;

pub use attribution::{Flows, StepFlows, SymbolFlows, attribute, total_flows};
pub use baseline::{buy_and_hold, flat};
pub use lots::impossible as impossible_lots;
pub use reexecute::{ReexecuteError, Reexecuted, reexecute};
pub use rehearsal::rehearse;
pub use rules::{Rule, RuleSignals, rule_config, run_rule, without_loss_breakers};
pub use signals::{PrecomputedSignals, SignalTableError};
pub use stream::{StreamSpec, Streamed, require_possible, run_stream};
pub use sweep::{Stretches, SweepError, SweepResult, SweepTable};
pub use waiting::rate_notes;

/// Why a backtest stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BacktestError {
    /// The session cannot begin.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// A step could not be taken.
    #[error(transparent)]
    Step(#[from] StepError),
    /// The models gave no answer.
    #[error(transparent)]
    Signal(#[from] SignalError),
    /// The journal could not be kept.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The account never had a value, so that no step could be taken.
    #[error(
        "none of the {steps} steps from {from} to {to} could be taken, because nobody knows what \
         the account's cash is worth: {}",
        lines(problems)
    )]
    NeverValued {
        /// Steps that were passed over.
        steps: u64,
        /// The first of them.
        from: Timestamp,
        /// The last.
        to: Timestamp,
        /// What is missing, by the keys that may be set.
        problems: Vec<Problem>,
    },
    /// A stream of bars broke.
    #[error("the bars cannot be read on: {0}")]
    Bars(String),
    /// A stream of bars has others than it began with, or goes back in time.
    #[error("the bars that are read next {found}, expected {expected}; take them in order")]
    NotNext {
        /// What they have.
        found: String,
        /// What they should have.
        expected: String,
    },
}

/// What is tested.
#[derive(Debug, Clone, Copy)]
pub struct BacktestSpec<'a> {
    /// The bars.
    pub market: &'a Market,
    /// The session's settings.
    pub config: &'a SessionConfig,
    /// What the journal calls the configuration.
    pub config_digest: &'a str,
}

/// What trading has cost, in the reporting currency at the rates of the steps in which it did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Costs {
    /// Fees paid.
    pub fees: Cash,
    /// What slippage has cost.
    pub slippage: Cash,
    /// Value of all fills without their signs.
    pub turnover: Cash,
    /// Number of fills.
    pub fills: u64,
}

impl Costs {
    /// Takes a fill whose currency has this rate.
    fn add(&mut self, fill: &Fill, rate: Rate) {
        self.fees += rate.of(fill.fee);
        self.slippage += rate.of(fill.slippage);
        self.turnover += rate.of(fill.notional().abs());
        self.fills += 1;
    }
}

/// A position that is held when the backtest ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenPosition {
    /// The symbol.
    pub symbol: SymbolId,
    /// How much, in the base asset; negative is short.
    pub quantity: Quantity,
    /// The average price that it was traded for.
    pub average_price: Price,
    /// What it is worth at the last close, in what the symbol is quoted in; negative for a short.
    pub value: Cash,
    /// Profit at the last close, after slippage and before fees, in what the symbol is quoted in.
    pub unrealised: Cash,
}

/// What a backtest found. Equity and sums are in the reporting currency; fills, payments, trades
/// and open positions are in what their symbols are quoted in. What there is of each currency at
/// the end is explained to the last unit by its book; with one currency,
/// `realised + unrealised - costs.fees` plus all payments is the last equity less the initial cash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BacktestResult {
    /// What the cash at the start was worth.
    pub initial_cash: Cash,
    /// The currencies of the account.
    pub currencies: Currencies,
    /// The rates at the close of each step, a row of all currencies each; empty where there is one
    /// only.
    pub rates: Vec<Option<Rate>>,
    /// What was booked in each currency, the reporting one first.
    pub books: Vec<CurrencyBook>,
    /// The account at each closing time, ascending.
    pub equity: Vec<EquityPoint>,
    /// All fills in order.
    pub fills: Vec<Fill>,
    /// The step of each fill, as its position in `equity`.
    pub fill_steps: Vec<usize>,
    /// Money that moved without a trade, in order, each with its step's position in `equity`.
    pub payments: Vec<(usize, Payment)>,
    /// Slices in which the unknown way inside a bar made a difference, and slices in all.
    pub ambiguous_slices: (u64, u64),
    /// All round trips that ended, in the order of their ends.
    pub trades: Vec<Trade>,
    /// What is held at the end, in the order of symbol ids.
    pub open_positions: Vec<OpenPosition>,
    /// Profit of what was closed, after slippage and before fees, at the last rates.
    pub realised: Cash,
    /// Profit of what is held, after slippage and before fees, at the last rates.
    pub unrealised: Cash,
    /// Costs of all symbols.
    pub costs: Costs,
    /// Costs of each symbol, in the order of symbol ids.
    pub costs_by_symbol: Vec<Costs>,
    /// How often each refusal was given.
    pub refusals: BTreeMap<Refusal, u64>,
    /// Steps that were passed over before the first, because the account had no value yet.
    pub waited_steps: u64,
    /// Whether the drawdown breaker is tripped at the end.
    pub breaker_tripped: bool,
    /// Whether equity was ever gone.
    pub ruined: bool,
    /// SHA-256 of the journal; `None` where none is kept.
    pub journal_digest: Option<String>,
}

impl BacktestResult {
    /// A result without steps.
    fn empty(currencies: &Currencies) -> Self {
        Self {
            initial_cash: currencies.initial().first().copied().unwrap_or_default(),
            currencies: currencies.clone(),
            rates: Vec::new(),
            books: Vec::new(),
            equity: Vec::new(),
            fills: Vec::new(),
            fill_steps: Vec::new(),
            payments: Vec::new(),
            ambiguous_slices: (0, 0),
            trades: Vec::new(),
            open_positions: Vec::new(),
            realised: Cash::ZERO,
            unrealised: Cash::ZERO,
            costs: Costs::default(),
            costs_by_symbol: vec![Costs::default(); currencies.quotes().len()],
            refusals: BTreeMap::new(),
            waited_steps: 0,
            breaker_tripped: false,
            ruined: false,
            journal_digest: None,
        }
    }

    /// Takes a fill of the step at position `step`, whose rates are there already.
    fn take_fill(&mut self, step: usize, fill: &Fill) {
        let rate = self.rate(step, fill.currency).unwrap_or(Rate::ONE);
        self.fills.push(*fill);
        self.fill_steps.push(step);
        self.costs.add(fill, rate);
        if let Some(costs) = self.costs_by_symbol.get_mut(fill.symbol.index()) {
            costs.add(fill, rate);
        }
    }

    /// What one of `currency` was worth in the reporting one at the close of the step at position
    /// `step`; `None` before it was known, and where there is no such step.
    #[must_use]
    pub fn rate(&self, step: usize, currency: CurrencyId) -> Option<Rate> {
        if currency.is_reporting() {
            return Some(Rate::ONE);
        }
        let at = step * self.currencies.names().len() + currency.index();
        self.rates.get(at).copied().flatten()
    }

    /// The currencies whose rates never came in the steps that were taken; none without a step.
    #[must_use]
    pub fn unknown_rates(&self) -> Vec<CurrencyId> {
        let Some(last) = self.equity.len().checked_sub(1) else {
            return Vec::new();
        };
        let ids = self.currencies.ids();
        ids.filter(|currency| self.rate(last, *currency).is_none())
            .collect()
    }

    /// What an amount in the currency of `symbol` was worth in the reporting one at the first close
    /// that is not before `at`; the last rate where there is none.
    #[must_use]
    pub fn worth_at(&self, symbol: SymbolId, at: Timestamp, amount: Cash) -> Cash {
        self.rate_at(symbol, at)
            .map_or(Cash::ZERO, |rate| rate.of(amount))
    }

    /// The rate of the currency of `symbol` at the first close that is not before `at`; the last
    /// one where there is none.
    #[must_use]
    pub fn rate_at(&self, symbol: SymbolId, at: Timestamp) -> Option<Rate> {
        let currency = self.currencies.quote(symbol);
        if currency.is_reporting() {
            return Some(Rate::ONE);
        }
        let step = self.equity.partition_point(|point| point.at < at);
        let step = step.min(self.equity.len().saturating_sub(1));
        self.rate(step, currency)
    }

    fn take_portfolio(&mut self, portfolio: &Portfolio) {
        self.realised = portfolio.realised();
        self.unrealised = portfolio.unrealised();
        self.initial_cash = portfolio.initial_cash();
        self.books = portfolio.books().to_vec();
        let positions = (0..).map(SymbolId).zip(portfolio.positions());
        let open = positions.filter_map(|(symbol, position)| {
            Some(OpenPosition {
                symbol,
                quantity: position.quantity(),
                average_price: position.average_price()?,
                value: position.value(),
                unrealised: position.unrealised(),
            })
        });
        self.open_positions = open.collect();
    }

    /// Equity at the end; the initial cash where there was no step.
    #[must_use]
    pub fn final_equity(&self) -> Cash {
        self.equity
            .last()
            .map_or(self.initial_cash, |point| point.equity)
    }
}

/// Trades the predictions of `signals` over their range.
///
/// # Errors
/// [`BacktestError`]; the journal then holds everything up to the failure.
pub fn run_backtest(
    spec: &BacktestSpec<'_>,
    signals: &mut dyn SignalSource,
    journal: &mut dyn JournalSink,
) -> Result<BacktestResult, BacktestError> {
    let market = spec.market;
    let session = session(spec, signals.models())?;
    let mut result = BacktestResult::empty(session.currencies());
    let mut driver = Driver::new(session, signals);
    result.equity.reserve_exact(driver.most_steps(market));
    driver.walk(market, (signals, journal), |report| {
        result.equity.push(report.point);
        result.rates.extend_from_slice(report.rates);
        result.trades.extend_from_slice(report.trades);
        let step = result.equity.len() - 1;
        for fill in report.fills {
            result.take_fill(step, fill);
        }
        let payments = report.payments.iter();
        result.payments.extend(payments.map(|one| (step, *one)));
    })?;
    result.waited_steps = driver.waiting.steps();
    let session = driver.finish(journal)?;
    result.take_portfolio(session.portfolio());
    result.ambiguous_slices = session.ambiguous_slices();
    result.refusals = session.refusals().clone();
    result.breaker_tripped = session.breaker().is_tripped();
    result.ruined = session.breaker().is_ruined();
    result.journal_digest = journal.digest();
    Ok(result)
}

/// A session that is walked over markets, one after the other in time.
struct Driver {
    session: Session,
    range: Option<(Timestamp, Timestamp)>,
    answers: Answers,
    waiting: Waiting,
}

impl Driver {
    fn new(session: Session, signals: &dyn SignalSource) -> Self {
        Self {
            session,
            range: signals.range(),
            answers: Answers::default(),
            waiting: Waiting::default(),
        }
    }

    /// The bars in the range of the symbol that has most: about the number of steps.
    fn most_steps(&self, market: &Market) -> usize {
        let before = |bars: &[Bar], limit: Timestamp| bars.partition_point(|b| b.closed_at < limit);
        let bars = market.series().iter().map(|series| {
            let all = series.bars.len();
            self.range.map_or(all, |(first, last)| {
                let last = last.saturating_add_nanos(1);
                before(&series.bars, last).saturating_sub(before(&series.bars, first))
            })
        });
        bars.max().unwrap_or(0)
    }

    /// Takes the steps of `market` that lie in the range; gives whether later ones may.
    fn walk(
        &mut self,
        market: &Market,
        (signals, journal): (&mut dyn SignalSource, &mut dyn JournalSink),
        mut each: impl FnMut(&StepReport<'_>),
    ) -> Result<bool, BacktestError> {
        let (mut steps, mut bars) = (market.steps(), Vec::new());
        let (mut fine_steps, mut fine) = (market.fine_steps(), Vec::new());
        if let Some((first, _)) = self.range {
            steps.skip_to(first);
        }
        let answers = &mut self.answers;
        while let Some(closed_at) = steps.next_into(&mut bars) {
            if self.range.is_some_and(|(_, last)| closed_at > last) {
                return Ok(false);
            }
            answers.clear();
            signals.predict(closed_at, &bars, answers)?;
            while let Some(added) = signals.models().get(self.session.models().len()) {
                self.session.add_model(added.clone(), journal)?;
            }
            fine_steps.within(&bars, &mut fine);
            let input = StepInput {
                closed_at,
                bars: &bars,
                fine: &fine,
                predictions: &answers.predictions,
                failures: &answers.failures,
            };
            let awaited = self.session.awaits_rates(&input)?;
            if !awaited.is_empty() {
                self.waiting.take(closed_at, &awaited);
                continue;
            }
            self.waiting.end();
            each(&self.session.step(&input, journal)?);
        }
        Ok(true)
    }

    /// Ends the session, and says why where it waited for rates that never came.
    fn finish(mut self, journal: &mut dyn JournalSink) -> Result<Session, BacktestError> {
        if let Some(error) = self.waiting.in_vain(&self.session) {
            return Err(error);
        }
        self.session.finish(journal)?;
        Ok(self.session)
    }
}

/// A session of `spec` that has taken no step.
fn session(spec: &BacktestSpec<'_>, models: &[ModelInfo]) -> Result<Session, SetupError> {
    let market = spec.market;
    let names: Vec<&str> = market.names().collect();
    let problems = lots::impossible(market, spec.config);
    lots::refused(problems, &names, (spec.config, market.records()))?;
    let setup = SessionSetup {
        config: spec.config,
        config_digest: spec.config_digest.to_owned(),
        symbols: market.names().map(str::to_owned).collect(),
        time_frame: market.time_frame(),
        models: models.to_vec(),
    };
    Session::at_venue(setup, market.records())
}

/// The steps of `market` from the first to the last moment of `range`, both included; all of them
/// without a range.
fn steps_within(
    market: &Market,
    range: Option<(Timestamp, Timestamp)>,
) -> impl Iterator<Item = <MarketSteps<'_> as Iterator>::Item> {
    market
        .steps()
        .skip_while(move |(at, _)| range.is_some_and(|(first, _)| *at < first))
        .take_while(move |(at, _)| range.is_none_or(|(_, last)| *at <= last))
}

#[cfg(test)]
mod tests;
