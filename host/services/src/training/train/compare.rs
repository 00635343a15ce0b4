//! Models against their baselines and against each other, on the very same rows.
//!
//! Only models with the same folds and the same labels are compared: otherwise one may have learned
//! from what the other was to predict, or was asked something else. What is not compared is told.

use std::collections::BTreeMap;

use fusebox_engine::eval::Outcome;
use fusebox_engine::eval::bootstrap::{AutomaticOptions, automatic_interval};
use fusebox_engine::eval::comparison::{diebold_mariano, holm, mcnemar};
use fusebox_engine::eval::forecast::pinball_loss;
use fusebox_engine::labels::Direction;
use fusebox_engine::types::Timestamp;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::super::returns::{ReturnRow, ReturnRows};
use crate::backtesting::shown;
use crate::report::{DieboldMarianoRow, Estimate, McNemarRow, PairedTest, Period};

/// Name of the baseline that says how often each class came in the training rows.
const BASELINE: &str = "class shares of the training rows";
/// Names of the baselines of returns.
const MEAN: &str = "mean of the training rows";
const ZERO: &str = "zero";
const QUANTILES: &str = "quantiles of the training rows";

/// What a model predicted out of sample, for comparisons.
pub(super) struct Predicted {
    pub name: String,
    pub symbols: Vec<String>,
    pub outcomes: Vec<Outcome>,
    /// Class shares of the training rows behind each outcome.
    pub shares: Vec<[f64; 3]>,
    /// Training and test periods of every fold.
    pub folds: Vec<(Vec<Period>, Vec<Period>)>,
    pub overlap_steps: usize,
    /// The same as forecasts of returns; then outcomes are compared by their returns alone.
    pub returns: Option<ReturnRows>,
}

impl Predicted {
    /// What is lost, in words.
    pub(super) fn loss_name(&self) -> &'static str {
        match &self.returns {
            None => "log loss, nats",
            Some(rows) if rows.levels.is_empty() => "squared error",
            Some(_) => "pinball loss",
        }
    }
}

/// How comparisons are judged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Judging {
    pub confidence: f64,
    pub bootstrap_samples: u32,
    pub seed: u64,
}

/// One row of a comparison.
struct Row {
    closed_at: Timestamp,
    /// Loss of the first less that of the second.
    loss: f64,
    /// Whether each named the right class; `None` of returns.
    hits: Option<[bool; 2]>,
}

/// Everything that can be compared, and sentences about what cannot.
pub(super) fn compare(models: &[Predicted], how: Judging) -> (Vec<PairedTest>, Vec<String>) {
    let (mut planned, mut notes) = (Vec::new(), Vec::new());
    for model in models {
        let named = |second: &str| Named {
            first: model.name.clone(),
            second: second.to_owned(),
            is_baseline: true,
            loss: model.loss_name(),
        };
        match &model.returns {
            None => planned.push((
                named(BASELINE),
                against_baseline(model),
                model.overlap_steps,
            )),
            Some(rows) => {
                for second in baselines_of(rows) {
                    let own = against_constant(rows, second);
                    planned.push((named(second), own, model.overlap_steps));
                }
            }
        }
    }
    for (at, first) in models.iter().enumerate() {
        for second in &models[at + 1..] {
            let names = Named {
                first: first.name.clone(),
                second: second.name.clone(),
                is_baseline: false,
                loss: first.loss_name(),
            };
            let overlap = first.overlap_steps.max(second.overlap_steps);
            match pair(first, second) {
                Ok(rows) => planned.push((names, rows, overlap)),
                Err(why) => notes.push(format!(
                    "`{}` and `{}` are not tested against each other: {why}",
                    first.name, second.name
                )),
            }
        }
    }
    let comparisons = u32::try_from(planned.len()).unwrap_or(u32::MAX);
    let judged = (0..).zip(&planned);
    let mut tests: Vec<PairedTest> = judged
        .map(|(stream, (names, rows, overlap))| {
            let mut random = ChaCha8Rng::seed_from_u64(how.seed);
            random.set_stream(stream);
            let options = AutomaticOptions {
                samples: how.bootstrap_samples,
                overlap_steps: *overlap,
                confidence: how.confidence,
                trials: comparisons.max(1),
            };
            judge(names, rows, &options, &mut random)
        })
        .collect();
    let p_values: Vec<Option<f64>> = tests
        .iter()
        .map(|test| Some(test.diebold_mariano.as_ref()?.p))
        .collect();
    for (test, adjusted) in tests.iter_mut().zip(holm(&p_values)) {
        test.adjusted_p = adjusted;
    }
    (tests, notes)
}

/// What is compared.
struct Named {
    first: String,
    second: String,
    is_baseline: bool,
    loss: &'static str,
}

/// The constants that forecasts of returns are held against.
fn baselines_of(rows: &ReturnRows) -> &'static [&'static str] {
    match rows.levels.is_empty() {
        true => &[MEAN, ZERO],
        false => &[QUANTILES],
    }
}

/// What a forecast, or its quantiles, loses.
pub(super) fn loss_of((forecast, quantiles): (f64, &[f64]), levels: &[f64], outcome: f64) -> f64 {
    if levels.is_empty() {
        return (outcome - forecast).powi(2);
    }
    let pairs = quantiles.iter().zip(levels);
    let losses = pairs.filter_map(|(one, level)| pinball_loss(&[*one], &[outcome], *level));
    losses.sum::<f64>() / levels.len() as f64
}

fn against_constant(rows: &ReturnRows, second: &str) -> Vec<Row> {
    let row = |one: &ReturnRow| {
        let constant = if second == ZERO {
            0.0
        } else {
            one.training_mean
        };
        let own = loss_of((one.forecast, &one.quantiles), &rows.levels, one.outcome);
        let other = loss_of(
            (constant, &one.training_quantiles),
            &rows.levels,
            one.outcome,
        );
        Row {
            closed_at: one.closed_at,
            loss: own - other,
            hits: None,
        }
    };
    let is_known = |one: &&ReturnRow| one.outcome.is_finite() && one.forecast.is_finite();
    rows.all.iter().filter(is_known).map(row).collect()
}

/// The rows of two models of returns, joined; or why they cannot be.
fn pair_of_returns(
    (first, own): (&Predicted, &ReturnRows),
    (second, other): (&Predicted, &ReturnRows),
) -> Result<Vec<Row>, String> {
    if own.levels.is_empty() != other.levels.is_empty() {
        return Err("one forecasts quantiles and the other the return itself".to_owned());
    }
    if own.levels != other.levels {
        return Err("they forecast other quantiles; give both the same [labels]".to_owned());
    }
    let name = |model: &Predicted, one: &ReturnRow| -> Option<String> {
        model.symbols.get(one.symbol.index()).cloned()
    };
    let others: BTreeMap<(Timestamp, String), &ReturnRow> = other
        .all
        .iter()
        .filter_map(|one| Some(((one.closed_at, name(second, one)?), one)))
        .collect();
    let mut rows = Vec::new();
    for one in &own.all {
        let found = name(first, one).and_then(|symbol| others.get(&(one.closed_at, symbol)));
        let Some(other) = found else {
            continue;
        };
        if one.outcome.to_bits() != other.outcome.to_bits() {
            return Err("their labels differ; give both the same [labels]".to_owned());
        }
        let of =
            |row: &ReturnRow| loss_of((row.forecast, &row.quantiles), &own.levels, row.outcome);
        rows.push(Row {
            closed_at: one.closed_at,
            loss: of(one) - of(other),
            hits: None,
        });
    }
    match rows.is_empty() {
        true => Err("they predicted no row in common".to_owned()),
        false => Ok(rows),
    }
}

fn log_loss(probability: f64) -> f64 {
    -probability.clamp(f64::EPSILON, 1.0 - f64::EPSILON).ln()
}

fn of_label(one: &Outcome) -> f64 {
    f64::from(one.probabilities[one.label.index()])
}

fn against_baseline(model: &Predicted) -> Vec<Row> {
    let rows = model.outcomes.iter().zip(&model.shares);
    rows.map(|(one, shares)| Row {
        closed_at: one.closed_at,
        loss: log_loss(of_label(one)) - log_loss(shares[one.label.index()]),
        hits: Some([one.predicted() == one.label, one.majority == one.label]),
    })
    .collect()
}

/// The rows of two models, joined; or why they cannot be.
fn pair(first: &Predicted, second: &Predicted) -> Result<Vec<Row>, String> {
    if first.folds != second.folds {
        return Err("their folds differ; give both the same [split], data and labels".to_owned());
    }
    match (&first.returns, &second.returns) {
        (Some(own), Some(other)) => return pair_of_returns((first, own), (second, other)),
        (None, None) => {}
        _ => return Err("one learned classes, the other returns".to_owned()),
    }
    let name = |model: &Predicted, one: &Outcome| -> Option<String> {
        model.symbols.get(one.symbol.index()).cloned()
    };
    let others: BTreeMap<(Timestamp, String), &Outcome> = second
        .outcomes
        .iter()
        .filter_map(|one| Some(((one.closed_at, name(second, one)?), one)))
        .collect();
    let mut rows = Vec::new();
    for one in &first.outcomes {
        let Some(symbol) = name(first, one) else {
            continue;
        };
        let Some(other) = others.get(&(one.closed_at, symbol)) else {
            continue;
        };
        if one.label != other.label
            || one.forward_return.to_bits() != other.forward_return.to_bits()
        {
            return Err("their labels differ; give both the same [labels]".to_owned());
        }
        let right = |one: &Outcome| -> bool { one.predicted() == one.label };
        rows.push(Row {
            closed_at: one.closed_at,
            loss: log_loss(of_label(one)) - log_loss(of_label(other)),
            hits: Some([right(one), right(other)]),
        });
    }
    match rows.is_empty() {
        true => Err("they predicted no row in common".to_owned()),
        false => Ok(rows),
    }
}

fn judge(
    named: &Named,
    rows: &[Row],
    options: &AutomaticOptions,
    random: &mut ChaCha8Rng,
) -> PairedTest {
    // By moment: the sum of the differences of losses and of hits, and the rows.
    let mut moments: BTreeMap<Timestamp, [f64; 3]> = BTreeMap::new();
    let (mut only_first, mut only_second) = (0, 0);
    for row in rows {
        let moment = moments.entry(row.closed_at).or_default();
        moment[0] += row.loss;
        let [own, other] = row.hits.unwrap_or_default();
        moment[1] += f64::from(u8::from(own)) - f64::from(u8::from(other));
        moment[2] += 1.0;
        only_first += u64::from(own && !other);
        only_second += u64::from(other && !own);
    }
    let steps: Vec<[f64; 3]> = moments.into_values().collect();
    let mut estimate = |column: usize| -> Estimate {
        let pairs: Vec<[f64; 2]> = steps.iter().map(|step| [step[column], step[2]]).collect();
        let (sum, count) = pairs.iter().fold((0.0, 0.0), |total, pair| {
            (total.0 + pair[0], total.1 + pair[1])
        });
        let ratio = |[sum, count]: [f64; 2], _: usize| (count > 0.0).then(|| sum / count);
        Estimate {
            value: (count > 0.0).then(|| sum / count),
            interval: automatic_interval(&pairs, options, random, ratio).map(shown),
        }
    };
    let loss = estimate(0);
    let has_classes = rows.iter().all(|row| row.hits.is_some());
    let accuracy = match has_classes {
        true => estimate(1),
        false => Estimate::default(),
    };
    // Every row counts alike, as in the mean that stands beside it: closes of few symbols less.
    let per_close = rows.len() as f64 / steps.len().max(1) as f64;
    let losses: Vec<f64> = steps.iter().map(|step| step[0] / per_close).collect();
    let found = diebold_mariano(&losses, options.overlap_steps);
    let disagreement = mcnemar(only_first, only_second).filter(|_| has_classes);
    PairedTest {
        first: named.first.clone(),
        second: named.second.clone(),
        is_baseline: named.is_baseline,
        rows: rows.len() as u64,
        steps: steps.len() as u64,
        loss_name: named.loss.to_owned(),
        loss,
        diebold_mariano: found.map(|one| DieboldMarianoRow {
            statistic: one.statistic,
            p: one.p,
            lags: one.lags as u64,
            kernel: match one.kernel {
                fusebox_engine::eval::comparison::Kernel::Rectangular => "rectangular",
                fusebox_engine::eval::comparison::Kernel::Bartlett => "Bartlett",
            }
            .to_owned(),
        }),
        adjusted_p: None,
        accuracy,
        mcnemar: disagreement.map(|one| McNemarRow {
            only_first: one.only_first,
            only_second: one.only_second,
            p: one.p,
            is_exact: one.is_exact,
        }),
    }
}

/// Rows by label and majority class: what always saying the majority class comes to.
pub(super) fn majority_confusion(outcomes: &[Outcome]) -> Vec<Vec<u64>> {
    let mut confusion = vec![vec![0; Direction::ALL.len()]; Direction::ALL.len()];
    for one in outcomes {
        confusion[one.label.index()][one.majority.index()] += 1;
    }
    confusion
}

#[cfg(test)]
mod tests {
    use fusebox_engine::types::SymbolId;
    use rand::RngExt;

    use super::*;

    const HOW: Judging = Judging {
        confidence: 0.95,
        bootstrap_samples: 400,
        seed: 7,
    };

    /// A model that gives the label the probability `skill` on average.
    fn predicted(name: &str, skill: f32, seed: u64) -> Predicted {
        let mut labels = ChaCha8Rng::seed_from_u64(1);
        let mut noise = ChaCha8Rng::seed_from_u64(seed);
        let outcomes: Vec<Outcome> = (0..1200)
            .map(|at| {
                let label = Direction::ALL[labels.random_range(0..3)];
                let own = (skill + noise.random::<f32>() * 0.2 - 0.1).clamp(0.01, 0.98);
                let mut probabilities = [(1.0 - own) / 2.0; 3];
                probabilities[label.index()] = own;
                Outcome {
                    closed_at: Timestamp::from_nanos(at / 2),
                    symbol: SymbolId(u32::try_from(at % 2).unwrap()),
                    label,
                    forward_return: 0.0,
                    probabilities,
                    majority: Direction::Flat,
                }
            })
            .collect();
        let shares = vec![[1.0 / 3.0; 3]; outcomes.len()];
        Predicted {
            name: name.to_owned(),
            symbols: vec!["A".to_owned(), "B".to_owned()],
            outcomes,
            shares,
            folds: Vec::new(),
            overlap_steps: 1,
            returns: None,
        }
    }

    #[test]
    fn skill_is_told_from_none_and_equals_from_each_other() {
        let models = [
            predicted("good", 0.5, 2),
            predicted("also good", 0.5, 3),
            predicted("bad", 0.2, 4),
        ];
        let (tests, notes) = compare(&models, HOW);
        assert_eq!((tests.len(), notes.len()), (6, 0));
        let find = |first: &str, second: &str| {
            let mut found = tests.iter();
            found
                .find(|test| test.first == first && test.second.starts_with(second))
                .unwrap()
        };
        let good = find("good", "class shares");
        assert!(good.is_baseline && good.adjusted_p.unwrap() < 0.01);
        assert!(good.loss.interval.unwrap().high < 0.0);
        assert!(find("bad", "class shares").loss.interval.unwrap().low > 0.0);
        let equals = find("good", "also good");
        assert!(equals.adjusted_p.unwrap() > 0.05, "{equals:?}");
        assert_eq!((equals.rows, equals.steps), (1200, 600));
        let apart = find("good", "bad");
        assert!(apart.accuracy.interval.unwrap().low > 0.0);
        assert!(apart.mcnemar.unwrap().p < 1e-6);
        let raw = equals.diebold_mariano.as_ref().unwrap().p;
        assert!(equals.adjusted_p.unwrap() >= raw);
    }

    #[test]
    fn forecasts_of_returns_are_held_against_every_constant_and_each_other() {
        let forecasts = |name: &str, skill: f64| {
            let mut random = ChaCha8Rng::seed_from_u64(4);
            let row = |at: i64| {
                let known = random.random::<f64>() - 0.5;
                ReturnRow {
                    closed_at: Timestamp::from_nanos(at / 2),
                    symbol: SymbolId(u32::try_from(at % 2).unwrap()),
                    outcome: known + random.random::<f64>() - 0.5,
                    log_return: 0.0,
                    forecast: skill * known,
                    training_mean: 0.1,
                    quantiles: Vec::new(),
                    training_quantiles: Vec::new(),
                }
            };
            let rows = ReturnRows {
                levels: Vec::new(),
                folds: Vec::new(),
                all: (0..1200).map(row).collect(),
            };
            Predicted {
                returns: Some(rows),
                ..predicted(name, 0.5, 2)
            }
        };
        let models = [forecasts("good", 1.0), forecasts("wrong", -1.0)];
        let (tests, notes) = compare(&models, HOW);
        assert_eq!((tests.len(), notes.len()), (5, 0));
        let below = |test: &PairedTest| test.loss.interval.unwrap().high < 0.0;
        for test in &tests {
            assert_eq!(test.loss_name, "squared error");
            assert_eq!((test.accuracy, test.mcnemar), (Estimate::default(), None));
            assert_eq!(below(test), test.first == "good", "{test:?}");
        }
        let (tests, notes) = compare(&[forecasts("a", 1.0), predicted("b", 0.5, 2)], HOW);
        assert_eq!(tests.len(), 3);
        assert!(notes[0].contains("one learned classes"), "{notes:?}");
    }

    #[test]
    fn other_folds_and_other_labels_are_told_and_not_tested() {
        let mut folds = predicted("folds", 0.5, 3);
        let period = Period {
            from: Timestamp::from_nanos(0),
            to: Timestamp::from_nanos(9),
        };
        folds.folds = vec![(vec![period], vec![period])];
        let mut labels = predicted("labels", 0.5, 3);
        labels.outcomes[3].forward_return = 0.5;
        let models = [predicted("a", 0.5, 2), folds, labels];
        let (tests, notes) = compare(&models, HOW);
        assert_eq!(tests.len(), 3, "baselines only");
        assert!(notes[0].contains("`a` and `folds`") && notes[0].contains("[split]"));
        assert!(notes[1].contains("[labels]"), "{notes:?}");
    }
}
