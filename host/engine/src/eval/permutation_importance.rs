//! Permutation importance: how much worse a model scores when one feature is shuffled among the
//! rows (L. Breiman, "Random Forests", 2001; scikit-learn's `permutation_importance`).
//!
//! It serves any model and any score, on rows that the model was not trained on. A feature that
//! others stand in for loses little, so a small number does not say that a feature knows nothing.
//! Nothing here calls a model: the caller scores the rows it is shown.

use rand_core::Rng;
use serde::Serialize;

use super::bootstrap::below;

/// Rows of features as one matrix.
#[derive(Debug, Clone, Copy)]
pub struct FeatureRows<'a> {
    /// Row-major values, whole rows.
    pub values: &'a [f32],
    /// Numbers of a row.
    pub columns: usize,
}

/// What shuffling one feature costs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FeatureLoss {
    /// Score of the rows as they are less the score of the shuffled rows, one for each shuffle;
    /// `None` where the shuffled rows have no score.
    pub losses: Vec<Option<f64>>,
    /// Their mean; `None` where one is not defined.
    pub mean: Option<f64>,
    /// Their standard deviation over the shuffles, as of a population.
    pub standard_deviation: Option<f64>,
}

/// The importance of every feature.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PermutationImportance {
    /// The score of the rows as they are.
    pub baseline: f64,
    /// One entry for each column, in order.
    pub features: Vec<FeatureLoss>,
}

/// Shuffles every feature `repeats` times and scores the rows after each; `score` gets the whole
/// matrix, row-major, and returns a number of which more is better. `None` where the rows as they
/// are have no score, or there is nothing to shuffle.
///
/// The same shuffles serve every feature, so that what differs between two of them is the feature.
/// It scores `columns x repeats + 1` times, one copy of the matrix besides.
///
/// # Errors
/// The first that `score` returns.
pub fn permutation_importance<E>(
    rows: FeatureRows<'_>,
    repeats: usize,
    rng: &mut impl Rng,
    score: impl FnMut(&[f32]) -> Result<Option<f64>, E>,
) -> Result<Option<PermutationImportance>, E> {
    let count = rows.count();
    let orders: Vec<Vec<usize>> = (0..repeats).map(|_| shuffled(count, rng)).collect();
    importance_of_orders(rows, &orders, score)
}

/// The same with given shuffles: row `i` gets the value of row `order[i]`. An order that does not
/// name each row once is no shuffle; positions beyond the rows are taken as the row itself.
///
/// # Errors
/// The first that `score` returns.
pub fn importance_of_orders<E>(
    rows: FeatureRows<'_>,
    orders: &[Vec<usize>],
    mut score: impl FnMut(&[f32]) -> Result<Option<f64>, E>,
) -> Result<Option<PermutationImportance>, E> {
    if rows.count() == 0 || orders.is_empty() {
        return Ok(None);
    }
    let Some(baseline) = score(rows.values)? else {
        return Ok(None);
    };
    let mut matrix = rows.values.to_vec();
    let mut features = Vec::with_capacity(rows.columns);
    for column in 0..rows.columns {
        let mut losses = Vec::with_capacity(orders.len());
        for order in orders {
            rows.put(&mut matrix, column, |row| {
                order.get(row).copied().unwrap_or(row)
            });
            losses.push(score(&matrix)?.map(|shuffled| baseline - shuffled));
        }
        rows.put(&mut matrix, column, |row| row);
        features.push(FeatureLoss::of(losses));
    }
    Ok(Some(PermutationImportance { baseline, features }))
}

impl FeatureRows<'_> {
    fn count(&self) -> usize {
        self.values.len() / self.columns.max(1)
    }

    /// Fills a column of `matrix` with these rows' values, row by row that of row `from(row)`.
    fn put(&self, matrix: &mut [f32], column: usize, from: impl Fn(usize) -> usize) {
        for (row, place) in matrix.chunks_exact_mut(self.columns).enumerate() {
            let position = from(row) * self.columns + column;
            place[column] = self.values.get(position).copied().unwrap_or(place[column]);
        }
    }
}

impl FeatureLoss {
    fn of(losses: Vec<Option<f64>>) -> Self {
        let defined: Option<Vec<f64>> = losses.iter().copied().collect();
        let count = losses.len() as f64;
        let mean = defined
            .as_ref()
            .map(|values| values.iter().sum::<f64>() / count);
        let deviation = |mean: f64| {
            let squares = defined.iter().flatten().map(|value| (value - mean).powi(2));
            (squares.sum::<f64>() / count).sqrt()
        };
        Self {
            mean,
            standard_deviation: mean.map(deviation),
            losses,
        }
    }
}

/// Positions in a random order, each order equally likely (Fisher and Yates; Durstenfeld 1964).
fn shuffled(count: usize, rng: &mut impl Rng) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        order.swap(last, below(last + 1, rng));
    }
    order
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    /// Three columns: the answer, noise, and a constant.
    fn matrix() -> Vec<f32> {
        let row = |row: u32| [row as f32, (row * 37 % 50) as f32, 7.0];
        (0..50).flat_map(row).collect()
    }

    fn rows(values: &[f32]) -> FeatureRows<'_> {
        let columns = 3;
        FeatureRows { values, columns }
    }

    /// Less the mean error of taking the first column for the row's position.
    fn error(values: &[f32]) -> Result<Option<f64>, Infallible> {
        let errors = values.chunks(3).enumerate();
        let errors = errors.map(|(row, values)| f64::from((values[0] - row as f32).abs()));
        Ok(Some(-errors.sum::<f64>() / 50.0))
    }

    #[test]
    fn only_what_the_score_reads_loses_and_the_rows_come_back() {
        let values = matrix();
        let mut random = ChaCha8Rng::seed_from_u64(3);
        let found = permutation_importance(rows(&values), 4, &mut random, error);
        let found = found.unwrap().unwrap();
        assert!(found.baseline.abs() < 1e-12 && found.features.len() == 3);
        assert!(found.features[0].mean.unwrap() > 5.0);
        assert!(found.features[0].standard_deviation.unwrap() > 0.0);
        for other in &found.features[1..] {
            assert_eq!(other.losses, vec![Some(0.0); 4]);
        }
    }

    #[test]
    fn one_seed_gives_one_result_and_another_seed_another() {
        let values = matrix();
        let of = |seed| {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            permutation_importance(rows(&values), 3, &mut random, error).unwrap()
        };
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }

    #[test]
    fn what_has_no_score_has_no_importance() {
        let values = matrix();
        let mut random = ChaCha8Rng::seed_from_u64(3);
        let mut of = |values, repeats, score: fn(&[f32]) -> Result<Option<f64>, Infallible>| {
            permutation_importance(rows(values), repeats, &mut random, score).unwrap()
        };
        assert_eq!(of(&[], 3, error), None);
        assert_eq!(of(&values, 0, error), None);
        assert_eq!(of(&values, 3, |_| Ok(None)), None);
        // Defined on the rows as they are only.
        let in_order = |values: &[f32]| Ok((values[0] < values[3]).then_some(1.0));
        let orders = [vec![1, 0], vec![0, 1]];
        let found = importance_of_orders::<Infallible>(rows(&values[..6]), &orders, in_order);
        let found = found.unwrap().unwrap();
        assert_eq!(found.features[0].losses, [None, Some(0.0)]);
        assert_eq!(found.features[0].mean, None);
        assert_eq!(found.features[1].mean, Some(0.0));
    }

    #[test]
    fn an_error_of_the_score_comes_back() {
        let values = matrix();
        let mut random = ChaCha8Rng::seed_from_u64(3);
        let failing = |_: &[f32]| Err("no model");
        let found = permutation_importance(rows(&values), 2, &mut random, failing);
        assert_eq!(found, Err("no model"));
    }

    #[test]
    fn every_order_names_each_row_once() {
        let mut random = ChaCha8Rng::seed_from_u64(9);
        for count in [0, 1, 2, 97] {
            let mut order = shuffled(count, &mut random);
            order.sort_unstable();
            assert_eq!(order, (0..count).collect::<Vec<_>>());
        }
    }
}
