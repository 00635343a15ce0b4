//! Metrics of the field for early stopping: how well the answers for the validation rows go with
//! the returns that followed, where the library's own loss is not what is wanted.
//!
//! | `metric` | what it is |
//! |---|---|
//! | `default` | the library's loss for the task |
//! | `ic` | information coefficient: Pearson's correlation of score and return |
//! | `rank_ic` | the same of their ranks (Spearman), equal values sharing the mean of their ranks |
//! | `sharpe` | mean over standard deviation of what positions by the score earn, not annualised |
//!
//! The score of a row is the answer of a regression, the quantile nearest to the median, or the
//! mean position of the classes with the middle one at 0, which is `p_up - p_down` of three. The
//! return is the label column named by `return_label`, else the learned label, a class counted from
//! the middle one. Rows without a return are left out, and weights are not looked at.
//!
//! Where some moment has three or more rows, the coefficients are those across the rows of each
//! moment, averaged over the moments that have one: which symbol, not which moment. Two rows always
//! correlate fully, so that fewer say nothing and all rows are correlated at once. What is not
//! defined, such as a score that does not vary, is `None`.

use std::collections::BTreeMap;

use fusebox_plugin_api::prelude::*;

/// Fewest rows of a moment for a coefficient across them.
const LEAST_ROWS: usize = 3;

/// Which metric decides on early stopping.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum MetricKind {
    /// The library's own.
    Loss,
    /// Pearson's correlation.
    Coefficient,
    /// Spearman's correlation.
    RankCoefficient,
    /// Mean over deviation of the positions' returns.
    Sharpe {
        /// How a score becomes a position.
        position: Position,
        /// What a position of one costs, as a return.
        cost: f64,
    },
}

/// How a score becomes a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Position {
    /// One, short or long; nothing at 0.
    Sign,
    /// The score itself.
    Score,
}

impl MetricKind {
    /// Names in a configuration.
    pub(crate) const NAMES: [&'static str; 4] = ["default", "ic", "rank_ic", "sharpe"];

    /// Name under which the metric with this name in a configuration is reported; `None` for the
    /// library's.
    pub(crate) fn reported_name(configured: &str) -> Option<&'static str> {
        match configured {
            "ic" => Some("valid_information_coefficient"),
            "rank_ic" => Some("valid_rank_information_coefficient"),
            "sharpe" => Some("valid_sharpe"),
            _ => None,
        }
    }
}

/// The validation rows as a metric of returns needs them.
#[derive(Debug)]
pub(crate) struct ReturnMetric {
    kind: MetricKind,
    /// How to score an answer.
    scorer: Scorer,
    /// Return of each row that has one, with the position of the row.
    returns: Vec<(usize, f64)>,
    /// Positions in `returns` of each moment, in order of time.
    moments: Vec<Vec<usize>>,
}

/// What is known of the rows of a data set besides features and labels.
#[derive(Debug, Default)]
pub(crate) struct Outcomes {
    /// Close of each row's bar.
    pub(crate) event_ns: Vec<i64>,
    /// What each row counts as having returned; NaN for nothing.
    pub(crate) returns: Vec<f32>,
}

impl ReturnMetric {
    /// A metric of these rows; `None` where the library's loss is wanted.
    pub(crate) fn new(kind: MetricKind, task: &Task, outcomes: &Outcomes) -> Option<Self> {
        if kind == MetricKind::Loss {
            return None;
        }
        let rows = outcomes.returns.iter().enumerate();
        let known = rows.filter(|(_, value)| value.is_finite());
        let returns: Vec<(usize, f64)> =
            known.map(|(row, value)| (row, f64::from(*value))).collect();
        let mut moments: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
        for (position, (row, _)) in returns.iter().enumerate() {
            let moment = moments.entry(outcomes.event_ns[*row]);
            moment.or_default().push(position);
        }
        Some(Self {
            kind,
            scorer: Scorer::of(task),
            returns,
            moments: moments.into_values().collect(),
        })
    }

    /// The metric of the library's answers, row by row, each of `outputs` numbers. More is better.
    pub(crate) fn value(&self, answers: &[f64], outputs: usize) -> Option<f64> {
        let answers: Vec<&[f64]> = answers.chunks_exact(outputs.max(1)).collect();
        let scored = self.returns.iter().map(|(row, outcome)| {
            let answer = answers.get(*row)?;
            Some((self.scorer.score(answer), *outcome))
        });
        let scored: Vec<(f64, f64)> = scored.collect::<Option<_>>()?;
        match self.kind {
            MetricKind::Loss => None,
            MetricKind::Coefficient => self.across(&scored, correlation),
            MetricKind::RankCoefficient => self.across(&scored, rank_correlation),
            MetricKind::Sharpe { position, cost } => self.sharpe(&scored, position, cost),
        }
    }

    /// The mean of a coefficient over the moments, or the coefficient of all rows.
    fn across(
        &self,
        scored: &[(f64, f64)],
        coefficient: fn(&[(f64, f64)]) -> Option<f64>,
    ) -> Option<f64> {
        if !self.moments.iter().any(|rows| rows.len() >= LEAST_ROWS) {
            return coefficient(scored);
        }
        let of_moment = |rows: &Vec<usize>| {
            let rows: Vec<(f64, f64)> = rows.iter().map(|row| scored[*row]).collect();
            (rows.len() >= LEAST_ROWS).then(|| coefficient(&rows))?
        };
        let defined: Vec<f64> = self.moments.iter().filter_map(of_moment).collect();
        mean(&defined)
    }

    /// Mean over sample deviation of the moments' mean earnings.
    fn sharpe(&self, scored: &[(f64, f64)], position: Position, cost: f64) -> Option<f64> {
        let earned = |row: &usize| {
            let (score, outcome) = scored[*row];
            let held = match position {
                Position::Sign if score == 0.0 => 0.0,
                Position::Sign => score.signum(),
                Position::Score => score,
            };
            held * outcome - cost * held.abs()
        };
        let of_moment = |rows: &Vec<usize>| mean(&rows.iter().map(earned).collect::<Vec<_>>());
        let earnings: Vec<f64> = self.moments.iter().filter_map(of_moment).collect();
        let mean = mean(&earnings)?;
        if earnings.len() < 2 || !varies(earnings.iter().copied()) {
            return None;
        }
        let squares: f64 = earnings.iter().map(|value| (value - mean).powi(2)).sum();
        let deviation = (squares / (earnings.len() - 1) as f64).sqrt();
        (deviation > 0.0).then(|| mean / deviation)
    }
}

/// One number of an answer, larger for a larger return expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scorer {
    /// The mean position of the classes, the middle one being at 0.
    Classes,
    /// One of the numbers.
    Number(usize),
}

impl Scorer {
    fn of(task: &Task) -> Self {
        match task {
            Task::Classification { .. } => Self::Classes,
            Task::Quantiles { levels } => {
                let distance = |level: &f64| (level - 0.5).abs();
                let all = levels.iter().enumerate();
                let nearest = all.min_by(|(_, a), (_, b)| distance(a).total_cmp(&distance(b)));
                Self::Number(nearest.map_or(0, |(position, _)| position))
            }
            _ => Self::Number(0),
        }
    }

    fn score(self, answer: &[f64]) -> f64 {
        match (self, answer) {
            // The libraries answer the probability of the second of two classes.
            (Self::Classes, [second]) => 2.0 * second - 1.0,
            (Self::Classes, answer) => {
                let middle = (answer.len() as f64 - 1.0) / 2.0;
                let parts = answer.iter().enumerate();
                parts
                    .map(|(class, probability)| (class as f64 - middle) * probability)
                    .sum()
            }
            (Self::Number(position), answer) => answer.get(position).copied().unwrap_or(f64::NAN),
        }
    }
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Whether values differ at all; the mean of equal ones may be rounded, so deviations do not tell.
fn varies(mut values: impl Iterator<Item = f64>) -> bool {
    let first = values.next();
    values.any(|value| Some(value) != first)
}

/// Pearson's correlation of pairs; `None` where one side does not vary.
fn correlation(pairs: &[(f64, f64)]) -> Option<f64> {
    let [scores, returns] = [
        pairs.iter().map(|pair| pair.0).collect::<Vec<_>>(),
        pairs.iter().map(|pair| pair.1).collect(),
    ];
    if !(varies(scores.iter().copied()) && varies(returns.iter().copied())) {
        return None;
    }
    let (mean_score, mean_return) = (mean(&scores)?, mean(&returns)?);
    let (mut both, mut of_scores, mut of_returns) = (0.0, 0.0, 0.0);
    for (score, outcome) in pairs {
        both += (score - mean_score) * (outcome - mean_return);
        of_scores += (score - mean_score).powi(2);
        of_returns += (outcome - mean_return).powi(2);
    }
    let spread = of_scores.sqrt() * of_returns.sqrt();
    (spread > 0.0).then(|| (both / spread).clamp(-1.0, 1.0))
}

/// Spearman's correlation of pairs.
fn rank_correlation(pairs: &[(f64, f64)]) -> Option<f64> {
    let ranks =
        |side: fn(&(f64, f64)) -> f64| mid_ranks(&pairs.iter().map(side).collect::<Vec<_>>());
    let (scores, returns) = (ranks(|pair| pair.0), ranks(|pair| pair.1));
    correlation(&scores.into_iter().zip(returns).collect::<Vec<_>>())
}

/// Ranks from 1 on; equal values share the mean of their ranks.
fn mid_ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for group in order.chunk_by(|a, b| values[*a] >= values[*b]) {
        let rank = before as f64 + (group.len() as f64 + 1.0) / 2.0;
        for position in group {
            ranks[*position] = rank;
        }
        before += group.len();
    }
    ranks
}

#[cfg(test)]
mod tests;
