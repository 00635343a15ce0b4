//! What a session does when a model fails, with every figure worked out by hand, and when a model
//! appears while it runs.
//!
//! The account has 10,000 and no slippage; half of it buys 50 at 100 and pays 5 in fees, which
//! leaves 4,995 in cash.

use super::*;
use crate::backtest::BacktestError;
use crate::execution::OrderReason;
use crate::fusion::FailureReason;
use crate::ports::{Answers, SignalError, SignalSource};
use crate::strategy::Direction;

/// Open and close of each hour, from the first on.
const PRICES: [(f64, f64); 6] = [
    (100.0, 100.0),
    (100.0, 110.0),
    (120.0, 115.0),
    (116.0, 118.0),
    (125.0, 125.0),
    (125.0, 125.0),
];

fn careful(fail_safe: FailSafe) -> SessionConfig {
    let mut config = config(false);
    config.strategy.minimum_holding_bars = 100;
    config.strategy.fail_safe = fail_safe;
    config.risk.position_fraction = Some(0.5);
    config.risk.max_data_age_bars = Some(2);
    config.execution.fee_bps = 10.0;
    config.execution.slippage_bps = 0.0;
    config
}

/// What one model does in one hour.
#[derive(Debug, Clone, Copy)]
enum Does {
    Answers(f32),
    Fails(FailureReason),
    Nothing,
}

use Does::{Answers as Says, Fails, Nothing};

/// One symbol, whose models do what a table says; a model exists from its first column on.
struct Script {
    models: Vec<ModelInfo>,
    /// Models that exist before the first hour.
    begin_with: usize,
    hours: Vec<Vec<Does>>,
    hour: usize,
}

impl Script {
    fn new(models: &[ModelInfo], hours: &[&[Does]]) -> Self {
        Self {
            models: models.to_vec(),
            begin_with: hours.first().map_or(0, |hour| hour.len()),
            hours: hours.iter().map(|hour| hour.to_vec()).collect(),
            hour: 0,
        }
    }
}

impl SignalSource for Script {
    fn models(&self) -> &[ModelInfo] {
        let reached = self
            .hour
            .checked_sub(1)
            .and_then(|hour| self.hours.get(hour));
        &self.models[..reached.map_or(self.begin_with, Vec::len)]
    }

    fn predict(
        &mut self,
        closed_at: Timestamp,
        _: &[Option<&Bar>],
        answers: &mut Answers,
    ) -> Result<(), SignalError> {
        let symbol = SymbolId(0);
        let hour = self.hours.get(self.hour).cloned().unwrap_or_default();
        self.hour = (self.hour + 1).min(self.hours.len());
        for (model, does) in (0..).map(ModelRef).zip(hour) {
            match does {
                Says(score) => answers.predictions.push(Some(Prediction {
                    symbol,
                    closed_at,
                    probabilities: [(1.0 - score) / 2.0, 0.0, (1.0 + score) / 2.0],
                    model,
                })),
                Fails(reason) => answers.failures.push(PredictionFailure {
                    symbol,
                    model,
                    reason,
                }),
                Nothing => {}
            }
        }
        Ok(())
    }
}

fn generation(name: &str, generation: u64) -> ModelInfo {
    ModelInfo {
        name: name.to_owned(),
        generation,
        ..model()
    }
}

struct Run {
    result: BacktestResult,
    entries: Vec<JournalEntry>,
}

impl Run {
    fn equity(&self) -> Vec<String> {
        let points = self.result.equity.iter();
        points.map(|point| point.equity.to_string()).collect()
    }

    /// The hours, reasons and models of all orders.
    fn orders(&self) -> Vec<(i64, OrderReason, Option<u32>)> {
        let order = |entry: &JournalEntry| match entry.event {
            Event::OrderApproved(order) => Some((
                entry.at.as_nanos() / HOUR,
                order.reason,
                order.model.map(|model| model.0),
            )),
            _ => None,
        };
        self.entries.iter().filter_map(order).collect()
    }

    /// The hours of all failures, and of what stood in for them.
    fn failures(&self) -> Vec<(i64, Option<i64>)> {
        let failure = |entry: &JournalEntry| match entry.event {
            Event::PredictionFailed { stand_in_at_ns, .. } => Some((
                entry.at.as_nanos() / HOUR,
                stand_in_at_ns.map(|at| at.as_nanos() / HOUR),
            )),
            _ => None,
        };
        self.entries.iter().filter_map(failure).collect()
    }
}

fn try_run(config: &SessionConfig, script: &mut Script) -> Result<Run, BacktestError> {
    let bars = (1..).zip(PRICES).take(script.hours.len());
    let market = Market::new(vec![BarSeries {
        name: "A".to_owned(),
        time_frame: "1h".parse().unwrap(),
        bars: bars
            .map(|(hour, (open, close))| bar(hour, open, close))
            .collect(),
    }])
    .unwrap();
    let spec = BacktestSpec {
        market: &market,
        config,
        config_digest: "00",
    };
    let mut journal = JsonLines::new(Vec::new());
    let result = run_backtest(&spec, script, &mut journal)?;
    let bytes = journal.into_inner().unwrap();
    let replayed = replay(bytes.as_slice(), result.journal_digest.as_deref()).unwrap();
    assert_eq!(replayed.fills, result.fills);
    assert_eq!(replayed.trades, result.trades);
    assert_eq!(replayed.models, script.models);
    let entries = read_entries(bytes.as_slice()).map(Result::unwrap).collect();
    Ok(Run { result, entries })
}

fn run(config: &SessionConfig, models: &[ModelInfo], hours: &[&[Does]]) -> Run {
    try_run(config, &mut Script::new(models, hours)).unwrap()
}

const CRASH: Does = Fails(FailureReason::Crash);

#[test]
fn flatten_closes_at_the_next_open_and_does_not_wait_for_the_holding_time() {
    let config = careful(FailSafe::Flatten);
    let hours: [&[Does]; 4] = [&[Says(0.9)], &[CRASH], &[CRASH], &[Nothing]];
    let run = run(&config, &[model()], &hours);
    // 4,995 + 50 x 110; then 50 are sold at 120 for 6,000 less 6: 4,995 + 5,994.
    assert_eq!(run.equity(), ["10000", "10495", "10989", "10989"]);
    let expected = [
        (1, OrderReason::Entry, Some(0)),
        (2, OrderReason::FailSafe, Some(0)),
    ];
    assert_eq!(run.orders(), expected);
    assert_eq!(run.result.trades.len(), 1);
    assert_eq!(run.result.trades[0].exit_reason, OrderReason::FailSafe);
    // The failure is in the journal before the order that follows from it.
    let place = |is: fn(&Event) -> bool| run.entries.iter().position(|entry| is(&entry.event));
    let failed = place(|event| matches!(event, Event::PredictionFailed { .. }));
    let closed = place(|event| match event {
        Event::OrderApproved(order) => order.reason == OrderReason::FailSafe,
        _ => false,
    });
    assert!(failed.unwrap() < closed.unwrap());
}

#[test]
fn having_nothing_to_say_is_no_failure() {
    let config = careful(FailSafe::Flatten);
    let hours: [&[Does]; 3] = [&[Says(0.9)], &[Nothing], &[Nothing]];
    let run = run(&config, &[model()], &hours);
    // 4,995 + 50 x 110, then 50 x 115.
    assert_eq!(run.equity(), ["10000", "10495", "10745"]);
    assert_eq!(run.orders().len(), 1);
}

#[test]
fn hold_keeps_the_position_and_opens_none() {
    let config = careful(FailSafe::Hold);
    let hours: [&[Does]; 3] = [&[Says(0.9)], &[CRASH], &[CRASH]];
    let held = run(&config, &[model()], &hours);
    assert_eq!(held.equity(), ["10000", "10495", "10745"]);
    assert_eq!(held.orders().len(), 1);
    assert_eq!(held.failures(), [(2, None), (3, None)]);
    let hours: [&[Does]; 2] = [&[CRASH], &[CRASH]];
    assert_eq!(run(&config, &[model()], &hours).orders(), []);
}

#[test]
fn the_last_good_answer_stands_in_until_it_is_too_old() {
    let config = careful(FailSafe::LastGood { max_bars: 2 });
    assert_eq!(config.validate(), []);
    let hours: [&[Does]; 5] = [&[Says(0.9)], &[CRASH], &[CRASH], &[CRASH], &[CRASH]];
    let run = run(&config, &[model()], &hours);
    // 4,995 + 50 x 110, 115, 118; at 125 for 6,250 less 6.25 it is sold in the fifth hour.
    let expected = ["10000", "10495", "10745", "10895", "11238.75"];
    assert_eq!(run.equity(), expected);
    let failures = [(2, Some(1)), (3, Some(1)), (4, None), (5, None)];
    assert_eq!(run.failures(), failures);
    let expected = [
        (1, OrderReason::Entry, Some(0)),
        (4, OrderReason::FailSafe, Some(0)),
    ];
    assert_eq!(run.orders(), expected);
}

#[test]
fn a_last_good_answer_is_acted_on_like_an_answer() {
    let config = careful(FailSafe::LastGood { max_bars: 2 });
    // The answer of the second hour wants nothing; the third hour acts on it, not on the first's.
    let mut impatient = config;
    impatient.strategy.minimum_holding_bars = 2;
    let hours: [&[Does]; 4] = [&[Says(0.9)], &[Says(-0.9)], &[CRASH], &[Nothing]];
    let run = run(&impatient, &[model()], &hours);
    let expected = [
        (1, OrderReason::Entry, Some(0)),
        (3, OrderReason::Exit, Some(0)),
    ];
    assert_eq!(run.orders(), expected);
    // Sold at 116 for 5,800 less 5.8.
    assert_eq!(run.equity()[3], "10789.2");
}

#[test]
fn settings_that_leave_the_fail_safe_alone_keep_their_digest() {
    let text = |fail_safe| serde_json::to_string(&careful(fail_safe)).unwrap();
    let default = text(FailSafe::Flatten);
    assert!(!default.contains("fail_safe"), "{default}");
    assert!(text(FailSafe::Hold).contains(r#""fail_safe":"hold""#));
    for one in [FailSafe::Flatten, FailSafe::LastGood { max_bars: 2 }] {
        let read: SessionConfig = serde_json::from_str(&text(one)).unwrap();
        assert_eq!(read, careful(one));
    }
}

#[test]
fn an_answer_that_risk_would_refuse_may_not_stand_in() {
    let mut config = careful(FailSafe::LastGood { max_bars: 3 });
    let problems = config.validate();
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].key, "strategy.last_good_max_bars");
    assert!(problems[0].message.contains("risk.max_data_age_bars"));
    config.strategy.fail_safe = FailSafe::LastGood { max_bars: 0 };
    assert_eq!(config.validate().len(), 1);
}

/// Two models with weights, and one that weighs nothing.
fn pool() -> (SessionConfig, [ModelInfo; 3]) {
    let mut config = careful(FailSafe::Flatten);
    config.fusion.kind = FusionKind::WeightedMean;
    let weights = [("a", 3.0), ("b", 1.0), ("mute", 0.0)];
    config.fusion.weights = weights
        .map(|(name, weight)| (name.to_owned(), weight))
        .into();
    (config, weights.map(|(name, _)| generation(name, 1)))
}

#[test]
fn a_model_that_answers_is_heard_when_another_fails() {
    let (config, models) = pool();
    let hours: [&[Does]; 3] = [
        &[Says(0.9), Says(0.9), Nothing],
        &[CRASH, Says(0.9), Nothing],
        // Who weighs nothing may fail.
        &[Nothing, Nothing, CRASH],
    ];
    let run = run(&config, &models, &hours);
    assert_eq!(run.orders(), [(1, OrderReason::Entry, Some(0))]);
    assert_eq!(run.failures().len(), 2);
    assert_eq!(run.equity(), ["10000", "10495", "10745"]);
}

#[test]
fn a_new_generation_inherits_the_weight_and_is_named_by_its_orders() {
    let (config, [a, b, mute]) = pool();
    let models = [a, b, mute, generation("a", 2)];
    let hours: [&[Does]; 4] = [
        &[Nothing, Nothing, Nothing],
        // Three against one: the mean of 0.9 and -0.9 is 0.45.
        &[Nothing, Says(-0.9), Nothing, Says(0.9)],
        &[Nothing, Nothing, Nothing, CRASH],
        &[Nothing, Nothing, Nothing, Nothing],
    ];
    let run = run(&config, &models, &hours);
    let expected = [
        (2, OrderReason::Entry, Some(3)),
        (3, OrderReason::FailSafe, Some(3)),
    ];
    assert_eq!(run.orders(), expected);
    let added = run.entries.iter().find_map(|entry| match &entry.event {
        Event::ModelAdded { model, info } => Some((*model, info.generation, entry.at)),
        _ => None,
    });
    // It appeared after the first hour was over and before the second was taken.
    assert_eq!(added, Some((ModelRef(3), 2, Timestamp::from_nanos(HOUR))));
}

#[test]
fn the_last_good_answer_of_an_older_generation_stands_in_for_the_next() {
    let config = careful(FailSafe::LastGood { max_bars: 2 });
    let models = [generation("a", 1), generation("a", 2)];
    let hours: [&[Does]; 3] = [&[Says(0.9)], &[Nothing, CRASH], &[Nothing, Says(0.9)]];
    let run = run(&config, &models, &hours);
    assert_eq!(run.failures(), [(2, Some(1))]);
    assert_eq!(run.orders(), [(1, OrderReason::Entry, Some(0))]);
}

#[test]
fn a_model_without_a_weight_is_refused_and_the_session_goes_on() {
    let (config, [a, ..]) = pool();
    let mut session = Session::new(SessionSetup {
        config: &config,
        config_digest: String::new(),
        symbols: vec!["A".to_owned()],
        time_frame: "1h".parse().unwrap(),
        models: vec![a.clone()],
    })
    .unwrap();
    let mut journal = NullJournal;
    let stranger = session.add_model(generation("c", 1), &mut journal);
    assert!(matches!(stranger, Err(StepError::Fusion(_))));
    assert_eq!(session.models(), [a]);
    step(&mut session, &bar(1, 100.0, 100.0), &mut journal).unwrap();
    assert_eq!(
        session.add_model(generation("a", 2), &mut journal).unwrap(),
        ModelRef(1)
    );
}

#[test]
fn impossible_failures_are_refused_and_nothing_happens() {
    let mut session = session(None);
    let now = bar(1, 100.0, 100.0);
    let failure = |symbol, model| PredictionFailure {
        symbol: SymbolId(symbol),
        model: ModelRef(model),
        reason: FailureReason::Nan,
    };
    let prediction = Prediction {
        symbol: SymbolId(0),
        closed_at: now.closed_at,
        probabilities: [0.0, 0.0, 1.0],
        model: ModelRef(0),
    };
    let input = StepInput {
        closed_at: now.closed_at,
        bars: &[Some(&now)],
        predictions: &[Some(prediction)],
        failures: &[failure(0, 0), failure(1, 0), failure(0, 1)],
        fine: &[],
    };
    let Err(StepError::Input { problems, .. }) = session.step(&input, &mut NullJournal) else {
        panic!("the input is impossible");
    };
    let expected = [
        "there is no symbol 1",
        "there is no model 1",
        "model 0 both answered and failed for symbol 0",
    ];
    assert_eq!(problems, expected);
    step(&mut session, &now, &mut NullJournal).unwrap();
    assert_eq!(
        session
            .portfolio()
            .position(SymbolId(0))
            .unwrap()
            .direction(),
        Direction::Flat
    );
}
