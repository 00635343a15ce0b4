//! Carries out the orders of a journal again, and says where the exchange does something else.
//!
//! Nothing is decided again: the journal's orders meet the same bars at a fresh exchange. Equal
//! data, settings and program give the same fills; anything else is listed, entry by entry.

use std::collections::VecDeque;
use std::io::BufRead;

use crate::execution::{Exchange, ExchangeSetup, Expiry, Order, OrderId, Outcome};
use crate::journal::{AccountCurrencies, Event, JournalEntry, JournalError, read_entries};
use crate::portfolio::Currencies;
use crate::ports::{Broker, BrokerTick};
use crate::problem::lines;
use crate::session::SessionConfig;
use crate::types::{Bar, Cash, CurrencyId, FineSteps, Market, MoneyError, Timestamp};

/// Differences that are listed at most.
const MAX_DIFFERENCES: usize = 100;

/// Why a journal cannot be carried out again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReexecuteError {
    /// A line cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The journal does not begin with the start of a session.
    #[error("the journal does not begin with `session_started`; its first lines are missing")]
    NotStarted,
    /// The market is another one.
    #[error("the journal is of {recorded}, the data has {found}; take the data of the run")]
    Market {
        /// The journal's symbols and time frame.
        recorded: String,
        /// The market's.
        found: String,
    },
    /// The settings have other currencies or take rates from elsewhere.
    #[error("the currencies of the settings are not those of the journal: {0}")]
    Currencies(String),
    /// A setting is not money.
    #[error(transparent)]
    Money(#[from] MoneyError),
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reexecuted {
    /// Orders carried out.
    pub orders: u64,
    /// Fills of the journal.
    pub recorded_fills: u64,
    /// Fills of this time.
    pub fills: u64,
    /// Steps in which the exchange did something else, or the first hundred, in words.
    pub differences: Vec<String>,
    /// Number of differences.
    pub difference_count: u64,
    /// Names of the currencies, the reporting one first.
    pub currencies: Vec<String>,
    /// Largest difference of cash at any step, by currency.
    pub cash_differences: Vec<Cash>,
    /// The configuration digest that the journal names.
    pub config_digest: String,
    /// Whether the journal's lines are linked, so that none was changed, removed or moved.
    pub is_linked: bool,
    /// Whether the journal ends with the end of its session; else that is a difference.
    pub is_complete: bool,
}

/// Carries out the orders of the journal in `reader` on the bars of `market`.
///
/// # Errors
/// [`ReexecuteError`] where the journal cannot be read, or is of another market.
pub fn reexecute(
    market: &Market,
    config: &SessionConfig,
    reader: impl BufRead,
) -> Result<Reexecuted, ReexecuteError> {
    let mut entries = read_entries(reader);
    let Some(first) = entries.next().transpose()? else {
        return Err(ReexecuteError::NotStarted);
    };
    let Event::SessionStarted {
        config_digest,
        symbols,
        time_frame,
        initial_cash,
        currencies: recorded,
        ..
    } = first.event
    else {
        return Err(ReexecuteError::NotStarted);
    };
    let names: Vec<&str> = market.names().collect();
    if names != symbols || market.time_frame() != time_frame {
        let text = |names: &[String], frame: String| format!("{} ({frame})", names.join(", "));
        let found: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        return Err(ReexecuteError::Market {
            recorded: text(&symbols, time_frame.to_string()),
            found: text(&found, market.time_frame().to_string()),
        });
    }
    let currencies = currencies_of(config, &names, (initial_cash, recorded))?;
    let exchange = Exchange::new(&ExchangeSetup {
        execution: &config.execution,
        portfolio: &config.portfolio,
        currencies: &currencies,
        names: &names,
        time_frame,
        records: market.records(),
    })?;
    let mut again = Again {
        exchange,
        fine_steps: market.fine_steps(),
        found: Reexecuted {
            config_digest,
            cash_differences: vec![Cash::ZERO; currencies.names().len()],
            currencies: currencies.names().to_vec(),
            ..Reexecuted::default()
        },
    };
    let mut steps = market.steps().peekable();
    let mut recorded = Recorded::default();
    let mut at = first.at;
    for entry in entries.by_ref() {
        let entry = entry?;
        if entry.at != at {
            again.step(&mut steps, at, &mut recorded);
            at = entry.at;
        }
        again.found.is_complete = matches!(entry.event, Event::SessionEnded { .. });
        recorded.take(&entry);
    }
    again.step(&mut steps, at, &mut recorded);
    again.found.is_linked = entries.is_linked();
    if !again.found.is_complete {
        again.note(format!(
            "after line {} the journal has no `session_ended`: its last lines are missing, or its \
             session was interrupted",
            entries.lines()
        ));
    }
    Ok(again.found)
}

/// The settings' currencies with what the journal's account begins with.
fn currencies_of(
    config: &SessionConfig,
    names: &[&str],
    (initial, recorded): (Cash, Option<AccountCurrencies>),
) -> Result<Currencies, ReexecuteError> {
    let found = config.currencies(names);
    let found = found.map_err(|problems| ReexecuteError::Currencies(lines(&problems)))?;
    let own = match &recorded {
        Some(all) => all.names.clone(),
        // A journal of one currency does not name it.
        None => found.names().iter().take(1).cloned().collect(),
    };
    let sources = recorded.as_ref().map(|all| all.rates.clone());
    let symbols: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let current = found.sources_in_words(&symbols);
    if found.names() != own || sources.as_ref().is_some_and(|all| *all != current) {
        return Err(ReexecuteError::Currencies(format!(
            "they are {}, those of the journal {}",
            with_sources(found.names(), Some(&current)),
            with_sources(&own, sources.as_ref())
        )));
    }
    if let Some(all) = recorded.as_ref().filter(|all| all.quotes != found.quotes()) {
        let quoted = |quotes: &[CurrencyId]| {
            let words = symbols.iter().zip(quotes);
            let words = words.map(|(name, quote)| format!("{name} in {}", found.name(*quote)));
            words.collect::<Vec<_>>().join(", ")
        };
        return Err(ReexecuteError::Currencies(format!(
            "they quote {}, those of the journal {}",
            quoted(found.quotes()),
            quoted(&all.quotes)
        )));
    }
    let balances = recorded.map_or_else(|| vec![initial], |all| all.balances);
    Ok(found.with_initial(&balances))
}

/// Currencies with what their rates come from, the reporting one's without.
fn with_sources(names: &[String], sources: Option<&Vec<String>>) -> String {
    let source = |at: usize| sources.filter(|_| at > 0).and_then(|all| all.get(at));
    let words = names.iter().enumerate().map(|(at, name)| match source(at) {
        Some(source) => format!("{name} ({source})"),
        None => name.clone(),
    });
    words.collect::<Vec<_>>().join(", ")
}

/// The events of one step.
#[derive(Debug, Default)]
struct Recorded {
    outcomes: VecDeque<Outcome>,
    cancelled: Vec<OrderId>,
    orders: Vec<Order>,
    /// By currency.
    cash: Option<Vec<Cash>>,
}

impl Recorded {
    fn take(&mut self, entry: &JournalEntry) {
        match &entry.event {
            Event::CancelRequested { order } => self.cancelled.push(*order),
            Event::OrderApproved(order) => self.orders.push(*order),
            Event::OrderFilled(fill) => self.outcomes.push_back(Outcome::Filled(*fill)),
            // What the session itself ends, the exchange does not know of.
            Event::OrderExpired { order, reason } if *reason != Expiry::SessionEnded => {
                self.outcomes.push_back(Outcome::Expired {
                    order: *order,
                    expiry: *reason,
                });
            }
            Event::PositionLiquidated(order) => {
                self.outcomes.push_back(Outcome::Liquidating(*order));
            }
            Event::Paid(payment) => self.outcomes.push_back(Outcome::Paid(*payment)),
            Event::Marked { cash, balances, .. } => {
                self.cash = Some(if balances.is_empty() {
                    vec![*cash]
                } else {
                    balances.clone()
                });
            }
            _ => {}
        }
    }
}

struct Again<'a> {
    exchange: Exchange,
    fine_steps: FineSteps<'a>,
    found: Reexecuted,
}

impl<'a> Again<'a> {
    /// Lets the exchange see the market's step at `at`, compares, and gives it the step's orders.
    fn step(
        &mut self,
        steps: &mut std::iter::Peekable<impl Iterator<Item = (Timestamp, Vec<Option<&'a Bar>>)>>,
        at: Timestamp,
        recorded: &mut Recorded,
    ) {
        // Steps before the session, which it has not seen.
        while steps.next_if(|(closed_at, _)| *closed_at < at).is_some() {}
        if let Some((closed_at, bars)) = steps.next_if(|(closed_at, _)| *closed_at == at) {
            let mut fine = Vec::new();
            self.fine_steps.within(&bars, &mut fine);
            let tick = BrokerTick {
                closed_at,
                bars: &bars,
                fine: &fine,
            };
            while let Some(outcome) = self.exchange.poll(&tick) {
                self.found.fills += u64::from(matches!(outcome, Outcome::Filled(_)));
                let expected = recorded.outcomes.pop_front();
                if let Some(Outcome::Filled(_)) = expected {
                    self.found.recorded_fills += 1;
                }
                if expected != Some(outcome) {
                    self.differs(at, expected, Some(outcome));
                }
            }
        } else {
            self.note(format!(
                "at {at} the data has no bar, but the journal has a step"
            ));
        }
        while let Some(missing) = recorded.outcomes.pop_front() {
            self.found.recorded_fills += u64::from(matches!(missing, Outcome::Filled(_)));
            self.differs(at, Some(missing), None);
        }
        if let Some(cash) = recorded.cash.take() {
            let found = self.exchange.balances().iter().zip(cash);
            for (largest, (found, told)) in self.found.cash_differences.iter_mut().zip(found) {
                *largest = (told - *found).abs().max(*largest);
            }
        }
        // A step asks for the end of orders before it makes new ones.
        for order in recorded.cancelled.drain(..) {
            self.exchange.cancel(order, at);
        }
        for order in recorded.orders.drain(..) {
            self.found.orders += 1;
            self.exchange.take_order(order);
        }
    }

    fn differs(&mut self, at: Timestamp, recorded: Option<Outcome>, found: Option<Outcome>) {
        let text = |outcome: Option<Outcome>| {
            outcome.map_or_else(|| "nothing".to_owned(), |outcome| told(&outcome))
        };
        self.note(format!(
            "at {at} the journal has {}, this time came {}",
            text(recorded),
            text(found)
        ));
    }

    fn note(&mut self, words: String) {
        self.found.difference_count += 1;
        if self.found.differences.len() < MAX_DIFFERENCES {
            self.found.differences.push(words);
        }
    }
}

fn told(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Filled(fill) => format!(
            "a fill of {} at {} for order {} (fee {})",
            fill.quantity, fill.price, fill.order.0, fill.fee
        ),
        Outcome::Expired { order, expiry } => format!("the end of order {} ({expiry:?})", order.0),
        Outcome::Liquidating(order) => format!("a liquidation of {}", order.quantity),
        Outcome::Paid(payment) => format!("a payment of {} ({:?})", payment.amount, payment.kind),
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
    use crate::strategy::{FailSafe, StrategyConfig};
    use crate::types::{BarSeries, TimeFrame};

    fn market() -> Market {
        let time_frame: TimeFrame = "1h".parse().unwrap();
        let bar = |hour: i64| {
            let wave = (hour as f64 * 0.7).sin() * 5.0 + 100.0;
            let opened_at = Timestamp::from_nanos(hour * time_frame.nanos());
            Bar {
                opened_at,
                closed_at: opened_at.saturating_add_nanos(time_frame.nanos()),
                open: wave,
                high: wave + 2.0,
                low: wave - 2.0,
                close: wave + (hour as f64 * 1.3).cos(),
                volume: 50.0,
                quote_volume: None,
                trades: None,
                taker_buy_volume: None,
            }
        };
        Market::new(vec![BarSeries {
            name: "A".to_owned(),
            time_frame,
            bars: (0..300).filter(|hour| hour % 17 != 3).map(bar).collect(),
        }])
        .unwrap()
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
                entry: crate::strategy::EntryOrder::Market,
                protection: crate::strategy::Protection::default(),
            },
            fusion: FusionConfig::default(),
            risk: RiskConfig {
                position_fraction: Some(0.9),
                max_symbol_weight: Some(1.0),
                max_gross_exposure: Some(1.0),
                max_order_notional: Some(1e6),
                max_drawdown: Some(0.9),
                max_data_age_bars: Some(0),
                ..RiskConfig::default()
            },
            execution: ExecutionConfig {
                participation: Some(0.3),
                latency_ms: 250,
                order_expiry_bars: 2,
                borrow_annual_bps: 500.0,
                ..ExecutionConfig::costing(5.0, 2.0)
            },
            portfolio: PortfolioConfig {
                allow_short: true,
                margin: None,
                ..PortfolioConfig::with_cash(10_000.0)
            },
        }
    }

    fn journal(market: &Market, config: &SessionConfig) -> Vec<u8> {
        let rule = Rule::Random {
            seed: 3,
            change: 0.3,
            long: 0.4,
            short: 0.4,
        };
        let spec = BacktestSpec {
            market,
            config,
            config_digest: "abc",
        };
        let mut sink = JsonLines::new(Vec::new());
        run_backtest(&spec, &mut RuleSignals::new(rule, 1, None), &mut sink).unwrap();
        sink.into_inner().unwrap()
    }

    #[test]
    fn a_journal_gives_the_same_fills_again() {
        let (market, config) = (market(), config());
        let bytes = journal(&market, &config);
        let found = reexecute(&market, &config, bytes.as_slice()).unwrap();
        assert_eq!(found.differences, Vec::<String>::new());
        assert!(found.fills > 50, "{found:?}");
        assert_eq!(found.fills, found.recorded_fills);
        assert_eq!(found.cash_differences, [Cash::ZERO]);
        assert_eq!(found.config_digest, "abc");
        assert!(found.is_linked && found.is_complete);
    }

    #[test]
    fn entries_that_are_called_off_are_called_off_again() {
        let (market, mut config) = (market(), config());
        config.strategy.entry = crate::strategy::EntryOrder::Limit {
            offset_bps: 500.0,
            valid_bars: 6,
            time_in_force: crate::strategy::EntryTime::Gtc,
        };
        let bytes = journal(&market, &config);
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert!(text.matches("cancel_requested").count() > 3, "none");
        let found = reexecute(&market, &config, bytes.as_slice()).unwrap();
        assert_eq!(found.differences, Vec::<String>::new());
        assert!(found.fills > 10, "{found:?}");
        // The request is what does it.
        let lines = text.split_inclusive('\n');
        let without: String = lines
            .filter(|line| !line.contains("cancel_requested"))
            .collect();
        let other = reexecute(&market, &config, without.as_bytes());
        assert!(other.is_err() || other.unwrap().difference_count > 0);
    }

    #[test]
    fn a_journal_that_is_not_whole_says_where() {
        let (market, config) = (market(), config());
        let bytes = journal(&market, &config);
        let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
        let short = lines[..lines.len() - 1].concat();
        let found = reexecute(&market, &config, short.as_slice()).unwrap();
        assert_eq!(found.difference_count, 1);
        let expected = format!("after line {} the journal has no", lines.len() - 1);
        assert!(found.differences[0].starts_with(&expected), "{found:?}");
        let mut removed = lines.clone();
        removed.remove(40);
        let error = reexecute(&market, &config, removed.concat().as_slice()).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("line 41 of the journal is entry 41"),
            "{error}"
        );
    }

    #[test]
    fn other_costs_data_or_markets_are_told() {
        let (market, config) = (market(), config());
        let bytes = journal(&market, &config);
        let mut dearer = config.clone();
        dearer.execution.fee_bps += 1.0;
        let found = reexecute(&market, &dearer, bytes.as_slice()).unwrap();
        assert!(found.difference_count > 50 && found.differences[0].contains("fee"));
        assert!(found.cash_differences[0] > Cash::ZERO);
        let mut series = market.series().to_vec();
        series[0].bars[100..140]
            .iter_mut()
            .for_each(|bar| bar.open += 0.5);
        let moved = Market::new(series.clone()).unwrap();
        let found = reexecute(&moved, &config, bytes.as_slice()).unwrap();
        assert!(found.difference_count > 0);
        series[0].name = "B".to_owned();
        let other = Market::new(series).unwrap();
        let error = reexecute(&other, &config, bytes.as_slice()).unwrap_err();
        assert!(error.to_string().contains("the data has B"), "{error}");
    }
}
