//! `fusebox backtest`: trade predictions that exist, carry out a journal again, sweep settings.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::Args;
use fusebox_engine::backtest::{Reexecuted, Streamed};
use fusebox_engine::risk::Refusal;
use fusebox_engine::types::{Cash, CurrencyId};
use fusebox_services::backtesting::{BacktestTarget, SweepFigures, SweepLuck, Swept};
use serde_json::{Value, json};

use super::{Context, luck, review};
use crate::config::{self, ConfigError, Problem, Sources};
use crate::failure::Failure;
use crate::output::{grouped, table};
use crate::wiring::{self, Asked, CheckedRun, EngineSettings};

/// Most combinations of a sweep.
const MAX_POINTS: usize = 100_000;

/// Trials of a sweep that a table shows.
const SHOWN_TRIALS: usize = 20;

/// Figures of a trial and of what it has to beat.
const FIGURES: [&str; 5] = ["Sharpe", "return", "drawdown", "fills", "traded, x cash"];

/// Trade predictions that exist, without training: other costs, limits and thresholds
#[derive(Debug, Args)]
#[command(after_help = "\
Predictions are a CSV file with the columns closed_at, symbol, p_down, p_flat and p_up, and fold
where there are folds: the predictions.csv of a run, or your own.

A sweep trades the same predictions with other settings of strategy, risk, execution and portfolio.
It tells how far luck explains the best of its combinations: how many trials are known (these,
and what evaluation.trials says was tried before) and how many independent ones the combinations are
worth, the deflated Sharpe ratio, the probability of backtest overfitting (CSCV), and Hansen's SPA
and White's reality check against cash and against buy and hold. evaluation.bootstrap_samples
histories are resampled, from run.seed.

Examples:
  fusebox backtest direction.toml --data candles --predictions out/first/predictions.csv \\
      --out out/again
  fusebox backtest direction.toml --data candles --predictions out/first/predictions.csv \\
      --set execution.latency_ms=250 --set execution.participation=0.05 --journal again.jsonl
  fusebox backtest direction.toml --data candles --replay out/first/journal.jsonl
  fusebox backtest direction.toml --data candles --predictions out/first/predictions.csv \\
      --sweep strategy.entry_threshold=0.05,0.1,0.15 --sweep risk.position_fraction=0.1,0.3")]
pub(super) struct BacktestArgs {
    /// Pipeline file; its data, strategy, risk, execution and portfolio count
    pipeline: PathBuf,
    /// Data directory with recorded candles; sets data.source and data.dir
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Predictions to trade
    #[arg(long, value_name = "FILE", required_unless_present = "replay")]
    predictions: Option<PathBuf>,
    /// Directory for report, metrics, tables and journal; it must not exist or be empty
    #[arg(long, value_name = "DIR", conflicts_with_all = ["replay", "sweep"])]
    out: Option<PathBuf>,
    /// Replace the run that is in --out, once the new one is complete
    #[arg(long, requires = "out")]
    overwrite: bool,
    /// Write the journal of the session here, without a directory
    #[arg(long, value_name = "FILE", conflicts_with_all = ["replay", "sweep", "out"])]
    journal: Option<PathBuf>,
    /// Carry out the orders of this journal again and say where the exchange does something else
    #[arg(long, value_name = "JOURNAL", conflicts_with_all = ["predictions", "sweep"])]
    replay: Option<PathBuf>,
    /// Try each of these values of a key, in every combination; may be repeated
    #[arg(long, value_name = "KEY=VALUE,VALUE")]
    sweep: Vec<String>,
    /// Hold neither candles nor predictions in memory, whatever their length; the predictions must
    /// be in the order of closed_at, and nothing is compared
    #[arg(long, conflicts_with_all = ["replay", "sweep", "out"])]
    stream: bool,
    /// Set one value, which is TOML; a text needs no quotes. May be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    assignments: Vec<String>,
    #[command(flatten)]
    engine: super::EngineArgs,
}

pub(super) fn run(args: BacktestArgs, context: &Context) -> Result<(), Failure> {
    if let (false, Some(predictions)) = (args.sweep.is_empty(), &args.predictions) {
        return sweep_over(&args, predictions, context);
    }
    let run = checked(&args, context, &[], &mut Asked::default())?;
    let progress = &context.terminal;
    if let Some(journal) = &args.replay {
        let again = wiring::backtest::replay(&run, journal, progress)?;
        let document = json!({
            "orders": again.orders,
            "recorded_fills": again.recorded_fills,
            "fills": again.fills,
            "differences": again.difference_count,
            "listed": again.differences,
            "cash_difference": largest(&again).to_string(),
            "cash_differences": by_currency(&again),
            "config_digest": again.config_digest,
            "same_config": again.config_digest == run.config_digest(),
            "linked": again.is_linked,
            "complete": again.is_complete,
        });
        context
            .output
            .show(&document, || replay_text(&again, run.config_digest()))?;
        return if again.difference_count == 0 {
            Ok(())
        } else {
            Err(Failure::Reported)
        };
    }
    let Some(predictions) = &args.predictions else {
        return Err(Failure::Usage("--predictions is missing".to_owned()));
    };
    if args.stream {
        let files = (predictions.as_path(), args.journal.as_deref());
        let (found, notes) = wiring::backtest::stream(&run, files, progress)?;
        return context.output.show(&stream_document(&found, &notes), || {
            stream_text(&found, &notes)
        });
    }
    let target = BacktestTarget {
        out: args.out.as_deref(),
        overwrite: args.overwrite,
        journal: args.journal.as_deref(),
    };
    let done = wiring::backtest::trade(&run, predictions, target, progress)?;
    let document = review::document(&done, args.out.as_deref());
    context
        .output
        .show(&document, || review::text(&done, args.out.as_deref()))
}

/// A sweep; what is wrong with any combination is told with what is wrong with the others, once.
fn sweep_over(args: &BacktestArgs, predictions: &Path, context: &Context) -> Result<(), Failure> {
    let combinations = combinations(&args.sweep)?;
    let (mut asked, mut seen) = (Asked::default(), BTreeSet::new());
    let mut problems: Vec<Problem> = Vec::new();
    let mut one = |settings: &[(String, String)]| match checked(args, context, settings, &mut asked)
    {
        Ok(run) => Ok(Some(run)),
        Err(Failure::Config(ConfigError::Problems(found))) => {
            let new = found.into_iter();
            problems.extend(new.filter(|one| seen.insert(one.message.clone())));
            Ok(None)
        }
        Err(other) => Err(other),
    };
    // All of them have the same data and predictions, so any of them stands for the run.
    let run = match combinations.first() {
        Some(first) => one(first)?,
        None => None,
    };
    let mut points = Vec::with_capacity(combinations.len());
    for settings in combinations {
        if let Some(point) = one(&settings)? {
            points.push((settings, point));
        }
    }
    let Some(run) = run.filter(|_| problems.is_empty()) else {
        return Err(problems.into());
    };
    let swept = wiring::backtest::sweep_over(&run, predictions, points, &context.terminal)?;
    context.output.show(&swept, || sweep_text(&swept))
}

/// The configuration with `more` values set, checked.
fn checked(
    args: &BacktestArgs,
    context: &Context,
    more: &[(String, String)],
    asked: &mut Asked,
) -> Result<CheckedRun, Failure> {
    let mut sources: Sources = super::engine_sources(&args.engine, context);
    sources.pipeline = Some(args.pipeline.clone());
    sources.assignments.clone_from(&args.assignments);
    let more = more.iter().map(|(key, value)| format!("{key}={value}"));
    sources.assignments.extend(more);
    if let Some(dir) = &args.data {
        let dir = Value::String(dir.to_string_lossy().into_owned());
        sources
            .flags
            .push(("data.source", json!("files"), "--data"));
        sources.flags.push(("data.dir", dir, "--data"));
    }
    let (loaded, problems) = config::load(&sources)?;
    context.terminal.use_level(loaded.raw.engine.log);
    let settings = EngineSettings::new(&loaded, &context.variables);
    let command_line = super::run::quoted(&context.arguments);
    let by = (settings, command_line);
    Ok(wiring::check_again(&loaded, problems, by, asked)?)
}

/// Settings that the same predictions can be traded with.
const SWEPT_SECTIONS: [&str; 4] = ["strategy", "risk", "execution", "portfolio"];

/// What is wrong with the keys and values of a sweep, apart from what the settings say of them.
fn swept_twice_or_in_vain(sweep: &[String]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut keys: Vec<&str> = Vec::new();
    for (key, values) in sweep.iter().filter_map(|text| text.split_once('=')) {
        let key = key.trim();
        let section = key.split('.').next().unwrap_or(key);
        if !SWEPT_SECTIONS.contains(&section) {
            problems.push(format!(
                "--sweep {key}: a sweep trades the same predictions with other settings of {}; \
                 what else changes them needs a run of its own",
                SWEPT_SECTIONS.join(", ")
            ));
        }
        if keys.contains(&key) {
            problems.push(format!(
                "--sweep {key}: the key stands twice; put all of its values into one list"
            ));
        }
        keys.push(key);
        let values: Vec<&str> = values.split(',').map(str::trim).collect();
        let is_same = |a: &str, b: &str| match (a.parse::<f64>(), b.parse::<f64>()) {
            (Ok(a), Ok(b)) => a.total_cmp(&b).is_eq(),
            _ => a == b,
        };
        for (at, value) in values.iter().enumerate() {
            let before = values[..at].iter();
            if before.filter(|one| is_same(one, value)).count() == 1 {
                problems.push(format!(
                    "--sweep {key}: {value} stands more than once, and copies are no trials"
                ));
            }
        }
    }
    problems
}

/// Every combination of the values.
fn combinations(sweep: &[String]) -> Result<Vec<Vec<(String, String)>>, Failure> {
    let mut all: Vec<Vec<(String, String)>> = vec![Vec::new()];
    let problems = swept_twice_or_in_vain(sweep);
    if !problems.is_empty() {
        return Err(Failure::Usage(problems.join("; ")));
    }
    for text in sweep {
        let split = text
            .split_once('=')
            .filter(|(_, values)| !values.is_empty());
        let Some((key, values)) = split else {
            return Err(Failure::Usage(format!(
                "--sweep {text}: write it as KEY=VALUE,VALUE, such as \
                 strategy.entry_threshold=0.1,0.2"
            )));
        };
        let values: Vec<&str> = values.split(',').map(str::trim).collect();
        if all.len().saturating_mul(values.len()) > MAX_POINTS {
            return Err(Failure::Usage(format!(
                "the sweep has more than {MAX_POINTS} combinations; leave values out"
            )));
        }
        all = all
            .iter()
            .flat_map(|before| {
                values.iter().map(|value| {
                    let mut settings = before.clone();
                    settings.push((key.trim().to_owned(), (*value).to_owned()));
                    settings
                })
            })
            .collect();
    }
    Ok(all)
}

fn percent(value: f64) -> String {
    format!("{:.2} %", value * 100.0)
}

fn ratio(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"))
}

fn stream_document(found: &Streamed, notes: &[String]) -> Value {
    json!({
        "warnings": notes,
        "currency": found.currencies.name(CurrencyId::REPORTING),
        "initial_cash": found.initial_cash.to_string(),
        "final_equity": found.final_equity.to_string(),
        "balances": balances(found),
        "steps": found.steps,
        "fills": found.costs.fills,
        "trades": found.trades,
        "fees": found.costs.fees.to_string(),
        "slippage": found.costs.slippage.to_string(),
        "turnover": found.costs.turnover.to_string(),
        "max_drawdown": found.max_drawdown,
        "refusals": found.refusals,
        "journal_digest": found.journal_digest,
    })
}

fn stream_text(found: &Streamed, notes: &[String]) -> String {
    let mut text = format!(
        "{} steps, {} fills, {} trades: {} became {}, with a drawdown of {}\n\
         fees {}, slippage {}, turnover {}\n",
        grouped(found.steps),
        grouped(found.costs.fills),
        grouped(found.trades),
        found.initial_cash,
        found.final_equity,
        percent(found.max_drawdown),
        found.costs.fees,
        found.costs.slippage,
        found.costs.turnover,
    );
    if !found.currencies.is_single() {
        for (name, cash) in balances(found) {
            text.push_str(&format!("cash in {name}: {cash}\n"));
        }
    }
    for note in notes {
        text.push_str(&format!("note: {note}\n"));
    }
    text.push_str(&refusals_text(&found.refusals));
    text.push_str(&digest_text(found.journal_digest.as_deref()));
    text
}

/// Cash at the end by currency.
fn balances(found: &Streamed) -> BTreeMap<&str, String> {
    let names = found.currencies.names().iter().map(String::as_str);
    let cash = found.books.iter().map(|book| book.cash.to_string());
    names.zip(cash).collect()
}

fn refusals_text(refusals: &BTreeMap<Refusal, u64>) -> String {
    let lines = refusals
        .iter()
        .map(|(refusal, count)| format!("refused {}: {refusal}\n", grouped(*count)));
    lines.collect()
}

fn digest_text(digest: Option<&str>) -> String {
    digest.map_or_else(String::new, |digest| format!("journal sha256 {digest}\n"))
}

/// The largest difference of cash in any currency.
fn largest(again: &Reexecuted) -> Cash {
    let differences = again.cash_differences.iter().copied();
    differences.max().unwrap_or_default()
}

/// The largest difference of cash by currency.
fn by_currency(again: &Reexecuted) -> BTreeMap<String, String> {
    let named = again.currencies.iter().zip(&again.cash_differences);
    named
        .map(|(name, one)| (name.clone(), one.to_string()))
        .collect()
}

fn replay_text(again: &Reexecuted, config_digest: &str) -> String {
    let mut text = format!(
        "{} orders carried out again: {} fills recorded, {} this time\n\
         differences: {}\n",
        grouped(again.orders),
        grouped(again.recorded_fills),
        grouped(again.fills),
        grouped(again.difference_count),
    );
    let named = again.currencies.iter().zip(&again.cash_differences);
    for (name, one) in named {
        text.push_str(&match again.currencies.len() {
            1 => format!("largest difference of cash: {one}\n"),
            _ => format!("largest difference of cash in {name}: {one}\n"),
        });
    }
    for words in &again.differences {
        text.push_str(&format!("  {words}\n"));
    }
    text.push_str(if again.is_linked {
        "every line follows from the one before: none was changed, removed or moved\n"
    } else {
        "its lines are not linked (an older journal); its digest alone tells of changes\n"
    });
    if again.config_digest != config_digest {
        text.push_str(&format!(
            "the settings are not those of the journal: their digest is {}, the journal's {}\n",
            short(config_digest),
            short(&again.config_digest)
        ));
    }
    text
}

/// The head of a digest.
fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

fn sweep_text(swept: &Swept) -> String {
    let mut keys: Vec<&str> = Vec::new();
    if let Some(first) = swept.trials.first() {
        keys.extend(first.settings.iter().map(|(key, _)| key.as_str()));
    }
    let mut titles = keys;
    titles.extend(FIGURES);
    let mut lines = table(&titles);
    for trial in swept.trials.iter().take(SHOWN_TRIALS) {
        let mut row: Vec<String> = trial
            .settings
            .iter()
            .map(|(_, value)| value.clone())
            .collect();
        row.extend(cells(&trial.figures));
        lines.add_row(row);
    }
    let mut text = format!("{lines}\n");
    let count = swept.trials.len();
    if count > SHOWN_TRIALS {
        text.push_str(&format!(
            "{} more; --json has all\n",
            grouped((count - SHOWN_TRIALS) as u64)
        ));
    }
    text.push_str(&format!("\n{}\n", benchmarks_text(swept)));
    text.push_str(&format!("\n{}\n", luck_text(swept)));
    text.push_str(&format!(
        "{} combination{} over {} steps",
        grouped(count as u64),
        if count == 1 { "" } else { "s" },
        grouped(swept.steps as u64),
    ));
    text.push_str(&match &swept.luck {
        None => "\n".to_owned(),
        Some(_) => format!(
            "; overfitting and p-values are of returns over {} stretches of {}\n",
            grouped(swept.stretches as u64),
            match swept.stretch_steps {
                1 => "1 step".to_owned(),
                steps => format!("{} steps", grouped(steps as u64)),
            },
        ),
    });
    match swept.ruined {
        0 => {}
        1 => {
            text.push_str("1 combination lost everything; it counts as a trial and is not judged\n")
        }
        ruined => text.push_str(&format!(
            "{} combinations lost everything; they count as trials and are not judged\n",
            grouped(ruined as u64)
        )),
    }
    text
}

/// The best combination beside what it has to beat.
fn benchmarks_text(swept: &Swept) -> String {
    let mut lines = table(&[&["over the same steps"][..], &FIGURES].concat());
    let best = swept.trials.first();
    let best = best.map(|best| ("the best", &best.figures));
    let others = swept.benchmarks.iter().map(|one| (one.name, &one.figures));
    for (name, figures) in best.into_iter().chain(others) {
        lines.add_row(std::iter::once(name.to_owned()).chain(cells(figures)));
    }
    lines.to_string()
}

/// Under the titles [`FIGURES`].
fn cells(figures: &SweepFigures) -> [String; 5] {
    [
        ratio(figures.sharpe),
        percent(figures.total_return),
        percent(figures.max_drawdown),
        grouped(figures.fills),
        format!("{:.1}", figures.turnover),
    ]
}

/// How far luck explains the best combination.
fn luck_text(swept: &Swept) -> String {
    let deflated = [
        "deflated Sharpe ratio of the best".to_owned(),
        swept
            .deflated_sharpe
            .map_or_else(|| "-".to_owned(), |share| format!("{share:.3}")),
    ];
    let name = |at: usize| {
        let settings = &swept.trials.get(at)?.settings;
        // The table above has the whole keys.
        let words = settings.iter().map(|(key, value)| {
            let name = key.rsplit('.').next().unwrap_or(key);
            format!("{name}={value}")
        });
        Some(words.collect::<Vec<_>>().join(", "))
    };
    let mut rows = match &swept.luck {
        Some(SweepLuck { all, .. }) => luck::rows(all, "combinations", name),
        None => {
            let trials = format!("{} known", grouped(u64::from(swept.known_trials)));
            let mut rows = vec![["trials".to_owned(), trials], luck::overfitting(None)];
            rows.extend(luck::beats(None, "cash", name));
            rows
        }
    };
    rows.insert(1, deflated);
    let held = swept.luck.as_ref();
    let held = held.and_then(|one| one.superior_to_holding.as_ref());
    rows.extend(luck::beats(held, "buy and hold", name));
    luck::text(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_is_made_once() {
        let sweep = ["risk.a=1,2".to_owned(), "strategy.b=x, y,z".to_owned()];
        let found = combinations(&sweep).unwrap();
        assert_eq!(found.len(), 6);
        let pair = |a: &str, b: &str| {
            vec![
                ("risk.a".to_owned(), a.to_owned()),
                ("strategy.b".to_owned(), b.to_owned()),
            ]
        };
        assert_eq!(found[0], pair("1", "x"));
        assert_eq!(found[4], pair("2", "y"));
        for wrong in ["risk.a", "risk.a=", "run.seed=1,2", "risk.a=1,1.0"] {
            assert!(combinations(&[wrong.to_owned()]).is_err(), "{wrong}");
        }
        let ten: Vec<String> = (0..10).map(|one| one.to_string()).collect();
        let many: Vec<String> = (0..6)
            .map(|key| format!("risk.k{key}={}", ten.join(",")))
            .collect();
        assert!(combinations(&many[..5]).is_ok());
        let told = format!("{:?}", combinations(&many).unwrap_err());
        assert!(told.contains("more than 100000 combinations"), "{told}");
    }
}
