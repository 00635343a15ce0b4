//! How many different things were tried: trials that trade alike are not independent tries.
//!
//! Two estimates. [`effective_trials`] (D. Bailey, M. Lopez de Prado 2014, appendix) needs the mean
//! correlation only and errs towards many trials where they come in groups. [`cluster_trials`]
//! counts the groups. It merges by mean correlation and stops at a stated one, unlike clustering
//! that optimises silhouettes (M. Lopez de Prado, M. Lewis 2018), which always finds a few groups,
//! in independent trials too, and so flatters the best of them.

use super::ReturnsTable;
use crate::eval::trading::{deviation, mean};
use crate::eval::varies;

/// Number of independent trials with the same mean correlation, `r + (1 - r) n`, where `r` is the
/// mean correlation over all pairs, and at least 0. Trials whose returns do not vary are left out;
/// `None` where none is left.
#[must_use]
pub fn effective_trials(table: &ReturnsTable) -> Option<f64> {
    let rows = standardised(table);
    if rows.is_empty() {
        return None;
    }
    let count = rows.len() as f64;
    // The squared length of the sum of all rows holds every pair twice and each row once.
    let mut total = vec![0.0; table.steps()];
    for (_, row) in &rows {
        total
            .iter_mut()
            .zip(row)
            .for_each(|(sum, value)| *sum += value);
    }
    let pairs = count * (count - 1.0);
    let shared: f64 = total.iter().map(|sum| sum * sum).sum::<f64>() - count;
    let correlation = if pairs > 0.0 {
        (shared / pairs).clamp(0.0, 1.0)
    } else {
        0.0
    };
    Some(correlation + (1.0 - correlation) * count)
}

/// Sample variance (one degree of freedom lost) of the trials' Sharpe ratios per step, for
/// [`deflated_sharpe`](crate::eval::trading::deflated_sharpe). Trials whose returns do not vary
/// have none; `None` for fewer than two that have.
#[must_use]
pub fn trials_variance(table: &ReturnsTable) -> Option<f64> {
    let ratio = |row: &[f64]| {
        let spread = deviation(row, 0).filter(|spread| *spread > 0.0)?;
        Some(mean(row)? / spread)
    };
    let ratios: Vec<f64> = table.rows().filter_map(ratio).collect();
    ratios_variance(&ratios)
}

/// The same of ratios that are known already; `None` for fewer than two.
#[must_use]
pub fn ratios_variance(ratios: &[f64]) -> Option<f64> {
    Some(deviation(ratios, 1)?.powi(2))
}

/// Groups of trials that trade alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrialClusters {
    /// Each trial's group, numbered in the order of their first members; `None` for a trial whose
    /// returns do not vary.
    pub group_of: Vec<Option<usize>>,
    /// Number of groups.
    pub groups: usize,
}

/// Merges trials into groups while the mean correlation across two groups is at least
/// `least_correlation` (average linkage; R. Sokal, C. Michener 1958), the closest first. 0.5 is a
/// sensible bound. Takes time and memory by the square of the number of trials.
#[must_use]
pub fn cluster_trials(table: &ReturnsTable, least_correlation: f64) -> TrialClusters {
    let rows = standardised(table);
    let mut distances = Distances::of(&rows);
    let mut leader: Vec<usize> = (0..rows.len()).collect();
    let mut chain: Vec<usize> = Vec::new();
    while distances.groups() > 1 {
        let Some(&end) = chain.last().or(distances.active.first()) else {
            break;
        };
        if chain.is_empty() {
            chain.push(end);
        }
        let before = chain.len().checked_sub(2).map(|at| chain[at]);
        let Some(nearest) = distances.nearest(end, before) else {
            break;
        };
        if before != Some(nearest) {
            chain.push(nearest);
            continue;
        }
        // Each is the other's nearest, so no later merge comes before theirs.
        chain.truncate(chain.len() - 2);
        if 1.0 - distances.between(end, nearest) >= least_correlation {
            let (from, to) = (leader[end], leader[nearest]);
            leader
                .iter_mut()
                .filter(|one| **one == from)
                .for_each(|one| *one = to);
        }
        distances.merge(end, nearest);
    }
    let mut group_of = vec![None; table.strategies()];
    let mut names: Vec<usize> = Vec::new();
    for ((trial, _), leader) in rows.iter().zip(&leader) {
        let known = names.iter().position(|name| name == leader);
        group_of[*trial] = Some(known.unwrap_or(names.len()));
        if known.is_none() {
            names.push(*leader);
        }
    }
    TrialClusters {
        group_of,
        groups: names.len(),
    }
}

/// One minus the mean correlation of every pair of groups that are left.
struct Distances {
    values: Vec<Vec<f64>>,
    sizes: Vec<f64>,
    active: Vec<usize>,
}

impl Distances {
    fn of(rows: &[(usize, Vec<f64>)]) -> Self {
        let mut values = vec![vec![0.0; rows.len()]; rows.len()];
        for (at, (_, row)) in rows.iter().enumerate() {
            for (other, (_, column)) in rows.iter().enumerate().take(at) {
                let correlation: f64 = row.iter().zip(column).map(|(a, b)| a * b).sum();
                values[at][other] = 1.0 - correlation;
                values[other][at] = 1.0 - correlation;
            }
        }
        Self {
            values,
            sizes: vec![1.0; rows.len()],
            active: (0..rows.len()).collect(),
        }
    }

    fn groups(&self) -> usize {
        self.active.len()
    }

    fn between(&self, left: usize, right: usize) -> f64 {
        self.values[left][right]
    }

    /// The group nearest to `group`, `preferred` among equals.
    fn nearest(&self, group: usize, preferred: Option<usize>) -> Option<usize> {
        let mut best = preferred;
        for &other in self.active.iter().filter(|other| **other != group) {
            let is_nearer = |known| self.values[group][other] < self.values[group][known];
            if best.is_none_or(is_nearer) {
                best = Some(other);
            }
        }
        best
    }

    /// Puts `from` into `to`.
    fn merge(&mut self, from: usize, to: usize) {
        let (left, right) = (self.sizes[from], self.sizes[to]);
        self.active.retain(|group| *group != from);
        for at in 0..self.active.len() {
            let other = self.active[at];
            let sum = left * self.values[from][other] + right * self.values[to][other];
            self.values[to][other] = sum / (left + right);
            self.values[other][to] = sum / (left + right);
        }
        self.sizes[to] = left + right;
    }
}

/// Position and returns, centred and of length one, of each trial whose returns vary; products of
/// two are correlations.
fn standardised(table: &ReturnsTable) -> Vec<(usize, Vec<f64>)> {
    let of_row = |(position, row): (usize, &[f64])| {
        let mean = mean(row).filter(|_| varies(row))?;
        let length = row
            .iter()
            .map(|one| (one - mean).powi(2))
            .sum::<f64>()
            .sqrt();
        let unit = || row.iter().map(|one| (one - mean) / length).collect();
        (length > 0.0).then(|| (position, unit()))
    };
    table.rows().enumerate().filter_map(of_row).collect()
}

#[cfg(test)]
mod tests {
    use rand::RngExt;
    use rand_chacha::ChaCha8Rng;
    use rand_core::SeedableRng;

    use super::*;
    use crate::eval::trading::{SharpeEvidence, deflated_sharpe, probabilistic_sharpe};

    fn noise(rng: &mut ChaCha8Rng, steps: usize) -> Vec<f64> {
        (0..steps)
            .map(|_| (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0)
            .collect()
    }

    /// `groups` groups of `members` trials, of which each shares a part with its group.
    fn grouped(groups: usize, members: usize) -> ReturnsTable {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let mut rows = Vec::new();
        for _ in 0..groups {
            let shared = noise(&mut rng, 500);
            for _ in 0..members {
                let own = noise(&mut rng, 500);
                let mixed = shared.iter().zip(&own).map(|(a, b)| 2.0 * a + b);
                rows.push(mixed.collect::<Vec<f64>>());
            }
        }
        ReturnsTable::new(&rows).unwrap()
    }

    #[test]
    fn groups_of_like_trials_count_once() {
        let table = grouped(6, 7);
        let found = cluster_trials(&table, 0.5);
        assert_eq!(found.groups, 6);
        let expected: Vec<Option<usize>> = (0..42).map(|trial| Some(trial / 7)).collect();
        assert_eq!(found.group_of, expected);
        // By the mean correlation alone they are more, though fewer than all.
        let effective = effective_trials(&table).unwrap();
        assert!((30.0..42.0).contains(&effective), "{effective}");
    }

    #[test]
    fn independent_trials_all_count_and_equal_ones_once() {
        let independent = grouped(40, 1);
        assert_eq!(cluster_trials(&independent, 0.5).groups, 40);
        assert!(effective_trials(&independent).unwrap() > 39.0);
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let row = noise(&mut rng, 50);
        let equal = ReturnsTable::new(&vec![row.clone(); 9]).unwrap();
        assert_eq!(cluster_trials(&equal, 0.5).groups, 1);
        assert!((effective_trials(&equal).unwrap() - 1.0).abs() < 1e-9);
        let idle = ReturnsTable::new(&[row, vec![0.0; 50]]).unwrap();
        assert_eq!(cluster_trials(&idle, 0.5).group_of, [Some(0), None]);
        assert_eq!(effective_trials(&idle), Some(1.0));
        let none = ReturnsTable::new(&[[0.0; 5]]).unwrap();
        assert_eq!(
            (effective_trials(&none), cluster_trials(&none, 0.5).groups),
            (None, 0)
        );
    }

    #[test]
    fn the_best_of_a_thousand_noise_strategies_is_not_significant() {
        let mut rng = ChaCha8Rng::seed_from_u64(8);
        let mut deflated = Vec::new();
        for _ in 0..5 {
            let rows: Vec<Vec<f64>> = (0..1000).map(|_| noise(&mut rng, 250)).collect();
            let table = ReturnsTable::new(&rows).unwrap();
            let evidence = rows.iter().filter_map(|row| SharpeEvidence::of(row));
            let best = evidence
                .max_by(|a, b| a.sharpe.total_cmp(&b.sharpe))
                .unwrap();
            let trials = effective_trials(&table).unwrap().round() as u32;
            assert!(trials > 980, "{trials}");
            // Alone it would look like a discovery.
            assert!(probabilistic_sharpe(&best, 0.0).unwrap() > 0.99);
            let variance = trials_variance(&table);
            deflated.push(deflated_sharpe(&best, trials, variance).unwrap());
        }
        assert!(deflated.iter().all(|one| *one < 0.95), "{deflated:?}");
        let mean = deflated.iter().sum::<f64>() / 5.0;
        assert!((0.2..0.8).contains(&mean), "{deflated:?}");
    }
}
