//! The promises of a session, held against random markets, a lying broker and a full disk.

mod called_off;
mod currencies;
mod entries;
mod fail_safe;
mod fine;
mod orders;

use super::*;
use crate::backtest::{
    BacktestError, BacktestResult, BacktestSpec, PrecomputedSignals, run_backtest,
};
use crate::execution::{ExecutionConfig, OrderId, Outcome};
use crate::fusion::{FusionConfig, FusionKind, ModelRef};
use crate::journal::{JsonLines, NullJournal, read_entries, replay};
use crate::portfolio::PortfolioConfig;
use crate::ports::BrokerTick;
use crate::risk::{ApprovedOrder, RiskConfig};
use crate::strategy::{FailSafe, StrategyConfig};
use crate::types::{BarSeries, Market, Quantity};
use proptest::prelude::*;
use proptest::strategy::Strategy as Generator;

const HOUR: i64 = 3_600_000_000_000;

fn config(allow_short: bool) -> SessionConfig {
    SessionConfig {
        strategy: StrategyConfig {
            entry_threshold: 0.2,
            exit_threshold: 0.05,
            minimum_holding_bars: 1,
            minimum_confidence: None,
            allow_short,
            fail_safe: FailSafe::Flatten,
            entry: crate::strategy::EntryOrder::Market,
            protection: crate::strategy::Protection::default(),
        },
        fusion: FusionConfig::default(),
        risk: RiskConfig {
            position_fraction: Some(0.6),
            max_symbol_weight: Some(0.7),
            max_gross_exposure: Some(1.1),
            max_order_notional: Some(1e6),
            max_drawdown: Some(0.4),
            max_data_age_bars: Some(1),
            ..RiskConfig::default()
        },
        execution: ExecutionConfig {
            lot_size: 0.001,
            tick_size: 0.01,
            min_notional: 5.0,
            order_expiry_bars: 1,
            ..ExecutionConfig::costing(7.5, 3.0)
        },
        portfolio: PortfolioConfig {
            allow_short,
            margin: None,
            ..PortfolioConfig::with_cash(10_000.0)
        },
    }
}

fn model() -> ModelInfo {
    ModelInfo {
        name: "random".to_owned(),
        version: "1.0.0".to_owned(),
        digest: "00".to_owned(),
        generation: 1,
        fold: Some(0),
    }
}

fn bar(hour: i64, open: f64, close: f64) -> Bar {
    Bar {
        opened_at: Timestamp::from_nanos((hour - 1) * HOUR),
        closed_at: Timestamp::from_nanos(hour * HOUR),
        open,
        high: open.max(close),
        low: open.min(close),
        close,
        volume: 1.0,
        quote_volume: None,
        trades: None,
        taker_buy_volume: None,
    }
}

/// What happens to one symbol in one hour; a missing open is a missing bar.
#[derive(Debug, Clone, Copy)]
struct Cell {
    open: Option<f64>,
    close: f64,
    score: Option<f32>,
}

fn cell() -> impl Generator<Value = Cell> {
    let price = || prop_oneof![9 => 50.0f64..200.0, 1 => 0.5f64..2_000.0];
    let open = prop_oneof![1 => Just(None), 9 => price().prop_map(Some)];
    let score = prop_oneof![
        1 => Just(None),
        1 => Just(Some(f32::NAN)),
        18 => (-1.0f32..1.0).prop_map(Some),
    ];
    (open, price(), score).prop_map(|(open, close, score)| Cell { open, close, score })
}

fn table() -> impl Generator<Value = Vec<[Cell; 3]>> {
    prop::collection::vec([cell(), cell(), cell()], 2..60)
}

fn market(table: &[[Cell; 3]]) -> Market {
    let series = (0..3).map(|symbol| {
        let hours = (1..).zip(table);
        let bars = hours.filter_map(|(hour, cells)| {
            let Cell { open, close, .. } = cells[symbol];
            open.map(|open| bar(hour, open, close))
        });
        BarSeries {
            name: format!("S{symbol}"),
            time_frame: "1h".parse().unwrap(),
            bars: bars.collect(),
        }
    });
    Market::new(series.collect()).unwrap()
}

fn signals(table: &[[Cell; 3]], market: &Market) -> PrecomputedSignals {
    let mut predictions = Vec::new();
    for (hour, cells) in (1..).zip(table) {
        if cells.iter().all(|cell| cell.open.is_none()) {
            continue;
        }
        for (symbol, cell) in (0..).map(SymbolId).zip(cells) {
            let Some(score) = cell.score else { continue };
            predictions.push(Prediction {
                symbol,
                closed_at: Timestamp::from_nanos(hour * HOUR),
                probabilities: [(1.0 - score) / 2.0, 0.0, (1.0 + score) / 2.0],
                model: ModelRef(0),
            });
        }
    }
    PrecomputedSignals::new(market, vec![model()], predictions).unwrap()
}

fn backtest(config: &SessionConfig, table: &[[Cell; 3]]) -> (BacktestResult, Vec<u8>) {
    try_backtest(config, table).unwrap()
}

fn try_backtest(
    config: &SessionConfig,
    table: &[[Cell; 3]],
) -> Result<(BacktestResult, Vec<u8>), BacktestError> {
    let mut journal = JsonLines::new(Vec::new());
    let result = backtest_into(config, table, &mut journal)?;
    Ok((result, journal.into_inner().unwrap()))
}

fn backtest_into(
    config: &SessionConfig,
    table: &[[Cell; 3]],
    journal: &mut dyn JournalSink,
) -> Result<BacktestResult, BacktestError> {
    let market = market(table);
    let spec = BacktestSpec {
        market: &market,
        config,
        config_digest: "00",
    };
    let mut signals = signals(table, &market);
    run_backtest(&spec, &mut signals, journal)
}

/// The journal's lines up to `hour`.
fn lines_until(journal: &[u8], hour: i64) -> Vec<JournalEntry> {
    let entries = read_entries(journal).map(Result::unwrap);
    entries
        .filter(|entry| entry.at.as_nanos() <= hour * HOUR)
        .filter(|entry| !matches!(entry.event, Event::SessionEnded { .. }))
        .collect()
}

fn is_session_end(entry: &JournalEntry) -> bool {
    let ended = Expiry::SessionEnded;
    matches!(entry.event, Event::OrderExpired { reason, .. } if reason == ended)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    // In debug builds the session itself checks the ledger after every step.
    #[test]
    fn random_flows_keep_every_promise(table in table(), allow_short: bool) {
        let config = config(allow_short);
        let (result, journal) = backtest(&config, &table);
        let mut decided = BTreeMap::new();
        for entry in read_entries(journal.as_slice()).map(Result::unwrap) {
            match entry.event {
                Event::OrderApproved(order) => {
                    prop_assert_eq!(order.decided_at, entry.at);
                    decided.insert(order.id, entry.at);
                }
                Event::OrderFilled(fill) => {
                    prop_assert!(fill.filled_at >= decided[&fill.order]);
                    prop_assert!(entry.at > decided[&fill.order]);
                }
                Event::Marked { equity, cash, gross_exposure, .. } if !allow_short => {
                    prop_assert!(cash >= Cash::ZERO);
                    prop_assert_eq!(equity, cash + gross_exposure);
                }
                _ => {}
            }
        }
        let explained = result.realised + result.unrealised - result.costs.fees;
        prop_assert_eq!(explained, result.final_equity() - result.initial_cash);
        let of_trades: Cash = result.trades.iter().map(|trade| trade.gross - trade.slippage).sum();
        prop_assert!(!result.open_positions.is_empty() || of_trades == result.realised);
        for trade in &result.trades {
            prop_assert_eq!(trade.net, trade.gross - trade.fees - trade.slippage);
        }
    }

    #[test]
    fn journals_replay_to_the_same_portfolio_and_repeat_byte_by_byte(table in table()) {
        let config = config(true);
        let (result, journal) = backtest(&config, &table);
        let (_, again) = backtest(&config, &table);
        prop_assert_eq!(&journal, &again);
        let mut unkept = backtest_into(&config, &table, &mut NullJournal).unwrap();
        unkept.journal_digest.clone_from(&result.journal_digest);
        prop_assert_eq!(&unkept, &result);
        if result.equity.is_empty() {
            return Ok(());
        }
        let replayed = replay(journal.as_slice(), result.journal_digest.as_deref()).unwrap();
        prop_assert!(replayed.ended);
        prop_assert_eq!(&replayed.fills, &result.fills);
        prop_assert_eq!(&replayed.trades, &result.trades);
        prop_assert_eq!(replayed.portfolio.realised(), result.realised);
        prop_assert_eq!(replayed.portfolio.fees(), result.costs.fees);
        prop_assert_eq!(replayed.portfolio.slippage(), result.costs.slippage);
        let positions = (0..).map(SymbolId).zip(replayed.portfolio.positions());
        let held: Vec<(SymbolId, Quantity)> = positions
            .filter(|(_, position)| !position.quantity().is_zero())
            .map(|(symbol, position)| (symbol, position.quantity()))
            .collect();
        let open = result.open_positions.iter();
        let open: Vec<_> = open.map(|one| (one.symbol, one.quantity)).collect();
        prop_assert_eq!(held, open);
    }

    #[test]
    fn the_future_never_changes_the_past(
        table in table(),
        other in table(),
        allow_short: bool,
        cut: prop::sample::Index,
    ) {
        let cut = cut.index(table.len());
        let mut changed = table[..=cut].to_vec();
        changed.extend(other.into_iter().skip(cut + 1));
        let config = config(allow_short);
        let hour = i64::try_from(cut).unwrap() + 1;
        let past = |table: &[[Cell; 3]]| {
            let (_, journal) = backtest(&config, table);
            let mut lines = lines_until(&journal, hour);
            // Where the walk ends is the range of predictions, not the market's past.
            lines.retain(|entry| !is_session_end(entry));
            lines
        };
        let (before, after) = (past(&table), past(&changed));
        let shared = before.len().min(after.len());
        prop_assert_eq!(&before[..shared], &after[..shared]);
        let both_reach = changed.len() == table.len()
            && [&table, &changed].iter().all(|table| {
                table.last().is_some_and(|cells| {
 cells.iter().any(|cell| cell.score.is_some()) && cells.iter().any(|cell| cell.open.is_some()) })
            });
        prop_assert!(!both_reach || before.len() == after.len());
    }
}

fn session(broker: Option<Box<dyn Broker>>) -> Session {
    let config = config(true);
    let setup = SessionSetup {
        config: &config,
        config_digest: String::new(),
        symbols: vec!["A".to_owned()],
        time_frame: "1h".parse().unwrap(),
        models: vec![model()],
    };
    match broker {
        Some(broker) => Session::with_broker(setup, broker).unwrap(),
        None => Session::new(setup).unwrap(),
    }
}

fn step(
    session: &mut Session,
    bar: &Bar,
    journal: &mut dyn JournalSink,
) -> Result<EquityPoint, StepError> {
    let prediction = Prediction {
        symbol: SymbolId(0),
        closed_at: bar.closed_at,
        probabilities: [0.0, 0.0, 1.0],
        model: ModelRef(0),
    };
    let input = StepInput {
        closed_at: bar.closed_at,
        bars: &[Some(bar)],
        predictions: &[Some(prediction)],
        failures: &[],
        fine: &[],
    };
    session.step(&input, journal).map(|report| report.point)
}

/// Answers every order at once with what it is told to.
#[derive(Debug)]
struct Liar {
    orders: Vec<Order>,
    lie: fn(&Order, &BrokerTick<'_>) -> Outcome,
}

impl Broker for Liar {
    fn submit(&mut self, order: ApprovedOrder) {
        self.orders.push(*order.order());
    }

    fn poll(&mut self, tick: &BrokerTick<'_>) -> Option<Outcome> {
        self.orders.pop().map(|order| (self.lie)(&order, tick))
    }
}

fn fill(order: &Order) -> Fill {
    Fill {
        order: order.id,
        symbol: order.symbol,
        quantity: order.quantity,
        price: "100".parse().unwrap(),
        fee: Cash::ZERO,
        slippage: Cash::ZERO,
        filled_at: order.decided_at,
        spread: Cash::ZERO,
        remaining: Quantity::ZERO,
        is_maker: false,
        currency: crate::types::CurrencyId::REPORTING,
    }
}

#[test]
fn impossible_reports_halt_the_session_before_they_are_booked() {
    let lies: [fn(&Order, &BrokerTick<'_>) -> Outcome; 5] = [
        |order, _| {
            let filled_at = order.decided_at.saturating_add_nanos(-1);
            Outcome::Filled(Fill {
                filled_at,
                ..fill(order)
            })
        },
        |order, tick| {
            let filled_at = tick.closed_at.saturating_add_nanos(1);
            Outcome::Filled(Fill {
                filled_at,
                ..fill(order)
            })
        },
        |order, _| {
            let quantity = order.quantity + order.quantity;
            Outcome::Filled(Fill {
                quantity,
                ..fill(order)
            })
        },
        |order, _| {
            let quantity = -order.quantity;
            Outcome::Filled(Fill {
                quantity,
                ..fill(order)
            })
        },
        |_, _| Outcome::Expired {
            order: OrderId(77),
            expiry: Expiry::Stale,
        },
    ];
    for (number, lie) in lies.into_iter().enumerate() {
        let orders = Vec::new();
        let mut session = session(Some(Box::new(Liar { orders, lie })));
        step(&mut session, &bar(1, 100.0, 100.0), &mut NullJournal).unwrap();
        let error = step(&mut session, &bar(2, 100.0, 100.0), &mut NullJournal).unwrap_err();
        assert!(matches!(error, StepError::Broker { .. }), "{number}");
        assert_eq!(
            session.portfolio().positions()[0].quantity(),
            Quantity::ZERO
        );
        let later = step(&mut session, &bar(3, 100.0, 100.0), &mut NullJournal);
        assert!(matches!(later, Err(StepError::Halted)));
    }
}

/// Keeps a number of entries and then fails.
struct SmallDisk(u64);

impl JournalSink for SmallDisk {
    fn record(&mut self, entry: &JournalEntry) -> Result<(), JournalError> {
        if entry.seq < self.0 {
            return Ok(());
        }
        Err(JournalError::Write {
            seq: entry.seq,
            source: std::io::Error::other("full"),
        })
    }

    fn digest(&self) -> Option<String> {
        None
    }
}

#[test]
fn what_cannot_be_journaled_does_not_happen() {
    // Entries of the first step: started, marked, activated, predicted, signalled, approved; the
    // second step begins with the fill.
    let mut journal = SmallDisk(6);
    let mut session = session(None);
    step(&mut session, &bar(1, 100.0, 100.0), &mut journal).unwrap();
    let error = step(&mut session, &bar(2, 100.0, 100.0), &mut journal).unwrap_err();
    assert!(matches!(error, StepError::Journal(_)), "{error}");
    assert_eq!(session.portfolio().fees(), Cash::ZERO);
    assert!(matches!(
        session.finish(&mut journal),
        Err(StepError::Halted)
    ));
}

#[test]
fn wrong_input_is_listed_whole_and_changes_nothing() {
    let mut session = session(None);
    let mut journal = JsonLines::new(Vec::new());
    step(&mut session, &bar(5, 100.0, 100.0), &mut journal).unwrap();
    let digest = journal.digest();
    let broken = bar(4, f64::NAN, 100.0);
    let prediction = Prediction {
        symbol: SymbolId(1),
        closed_at: Timestamp::from_nanos(6 * HOUR),
        probabilities: [0.0, 0.0, 1.0],
        model: ModelRef(1),
    };
    let input = StepInput {
        closed_at: Timestamp::from_nanos(4 * HOUR),
        bars: &[Some(&broken), None],
        predictions: &[Some(prediction)],
        failures: &[],
        fine: &[],
    };
    let Err(StepError::Input { problems, .. }) = session.step(&input, &mut journal) else {
        panic!("accepted");
    };
    assert_eq!(problems.len(), 6, "{problems:#?}");
    assert_eq!(journal.digest(), digest);
    let negative = step(&mut session, &bar(6, 100.0, -1.0), &mut journal).unwrap_err();
    assert!(negative.to_string().contains("close -1"), "{negative}");
    step(&mut session, &bar(6, 100.0, 100.0), &mut journal).unwrap();
}

#[test]
fn a_breaker_that_is_reset_lets_orders_pass_again() {
    let mut session = session(None);
    let mut journal = NullJournal;
    session.reset_breaker(&mut journal).unwrap();
    for (hour, close) in [(1, 100.0), (2, 100.0), (3, 1.0), (4, 100.0)] {
        step(&mut session, &bar(hour, close, close), &mut journal).unwrap();
    }
    assert!(session.breaker().is_tripped());
    assert_eq!(session.pending(SymbolId(0)), None);
    assert_eq!(session.refusals()[&Refusal::BreakerTripped], 1);
    session.reset_breaker(&mut journal).unwrap();
    step(&mut session, &bar(5, 100.0, 100.0), &mut journal).unwrap();
    assert!(session.pending(SymbolId(0)).is_some());
}

#[test]
fn several_models_become_one_signal_and_each_is_activated_once() {
    let mut config = config(true);
    config.fusion.kind = FusionKind::WeightedMean;
    config.fusion.weights = [("random", 1.0), ("other", 3.0)]
        .map(|(name, weight)| (name.to_owned(), weight))
        .into();
    let other = ModelInfo {
        name: "other".to_owned(),
        ..model()
    };
    let mut session = Session::new(SessionSetup {
        config: &config,
        config_digest: String::new(),
        symbols: vec!["A".to_owned()],
        time_frame: "1h".parse().unwrap(),
        models: vec![model(), other],
    })
    .unwrap();
    let mut journal = JsonLines::new(Vec::new());
    for hour in [1, 2] {
        let bar = bar(hour, 100.0, 100.0);
        let says = |model, probabilities| Prediction {
            symbol: SymbolId(0),
            closed_at: bar.closed_at,
            probabilities,
            model: ModelRef(model),
        };
        let input = StepInput {
            closed_at: bar.closed_at,
            bars: &[Some(&bar)],
            predictions: &[
                Some(says(0, [0.0, 0.0, 1.0])),
                Some(says(1, [1.0, 0.0, 0.0])),
            ],
            failures: &[],
            fine: &[],
        };
        session.step(&input, &mut journal).unwrap();
    }
    let short = session.portfolio().positions()[0].quantity();
    assert!(short < Quantity::ZERO);
    let journal = journal.into_inner().unwrap();
    let events: Vec<Event> = lines_until(&journal, 2)
        .into_iter()
        .map(|entry| entry.event)
        .collect();
    let activated = |event: &&Event| matches!(event, Event::ModelActivated { .. });
    assert_eq!(events.iter().filter(activated).count(), 2);
    let order = events.iter().find_map(|event| match event {
        Event::OrderApproved(order) => order.model,
        _ => None,
    });
    assert_eq!(order, Some(ModelRef(1)));
}

#[test]
fn a_session_that_has_ended_takes_no_step() {
    let mut session = session(None);
    step(&mut session, &bar(1, 100.0, 100.0), &mut NullJournal).unwrap();
    session.finish(&mut NullJournal).unwrap();
    assert_eq!(session.pending(SymbolId(0)), None);
    let late = step(&mut session, &bar(2, 100.0, 100.0), &mut NullJournal);
    assert!(matches!(late, Err(StepError::Halted)));
}

#[test]
fn settings_are_refused_with_every_problem() {
    let mut wrong = config(true);
    wrong.portfolio.allow_short = false;
    wrong.execution.fee_bps = -1.0;
    wrong.strategy.entry_threshold = 2.0;
    let keys: Vec<String> = wrong.validate().into_iter().map(|p| p.key).collect();
    assert_eq!(
        keys,
        [
            "strategy.entry_threshold",
            "execution.fee_bps",
            "strategy.allow_short"
        ]
    );
    let refused = Session::new(SessionSetup {
        config: &wrong,
        config_digest: String::new(),
        symbols: Vec::new(),
        time_frame: "1h".parse().unwrap(),
        models: Vec::new(),
    });
    let text = refused.unwrap_err().to_string();
    assert!(
        text.contains("fee_bps") && text.contains("entry_threshold"),
        "{text}"
    );
    assert_ne!(config(true).digest(), config(false).digest());
}
