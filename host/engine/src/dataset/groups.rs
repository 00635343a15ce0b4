//! Purged k-fold and combinatorial purged cross-validation (M. Lopez de Prado, Advances in
//! Financial Machine Learning, 7.4 and 12.4).
//!
//! The closing times of all rows are cut into groups of as many times each. Every fold predicts
//! some groups and learns from the others, less what overlaps: a row before a tested group whose
//! label ends in it, a row after it that closes before the group's last label has ended, and the
//! rows of the embargo after that. Ends are those that the labels have, not a number of rows.
//!
//! With `k` of `n` groups tested at once there are `C(n, k)` folds. Each group is predicted by
//! `k / n` of them, and so many paths can be laid through all groups. `k = 1` is purged k-fold.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Samples;
use super::split::{
    Fold, HeldOut, PartCounts, Period, SplitError, SplitPath, SplitPlan, SplitProblem,
};
use crate::problem::{Problem, Problems};
use crate::types::Timestamp;

/// The most groups of a plan.
const MAX_GROUPS: u32 = 1_000;
/// The most folds of a plan.
const MAX_FOLDS: usize = 10_000;

/// Cross-validation over groups of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupSplit {
    /// Groups that time is cut into.
    pub groups: u32,
    /// Groups that each fold predicts; 1 is purged k-fold.
    pub test_groups: u32,
    /// Bars after the last label of a tested group in which no row is learned from.
    pub embargo_bars: u32,
}

impl GroupSplit {
    /// Everything that is wrong with the plan by itself; empty when it can be carried out on
    /// enough rows.
    #[must_use]
    pub fn validate(&self) -> Vec<Problem> {
        let (groups, tested) = (self.groups, self.test_groups);
        let mut problems = Problems::default();
        let message = format!("is {groups}; it must be from 2 to {MAX_GROUPS}");
        problems.require((2..=MAX_GROUPS).contains(&groups), "groups", message);
        let most = groups.saturating_sub(1);
        let message = format!("is {tested}; it must be from 1 to {most}, below `split.groups`");
        let is_part = (1..=most).contains(&tested);
        problems.require(is_part, "test_groups", message);
        let few = self.folds().is_some_and(|folds| folds <= MAX_FOLDS);
        let message = format!(
            "is {tested} of {groups} groups, which makes more than {MAX_FOLDS} folds, each of \
             them a model to train; lower it or `split.groups`"
        );
        problems.require(few || !is_part, "test_groups", message);
        problems.into_vec()
    }

    /// How many folds the plan has: `C(groups, test_groups)`; `None` where that overflows.
    #[must_use]
    pub fn folds(&self) -> Option<usize> {
        let (n, k) = (self.groups as usize, self.test_groups as usize);
        let k = k.min(n.checked_sub(k)?);
        (0..k).try_fold(1_usize, |found, i| {
            Some(found.checked_mul(n - i)? / (i + 1))
        })
    }

    /// How many paths the folds form: `test_groups / groups * folds`.
    #[must_use]
    pub fn paths(&self) -> Option<usize> {
        let tested = self.folds()?.checked_mul(self.test_groups as usize)?;
        tested.checked_div(self.groups as usize)
    }

    /// The groups that each fold tests, folds in lexicographic order.
    fn combinations(&self) -> Vec<Vec<usize>> {
        let (n, k) = (self.groups as usize, self.test_groups as usize);
        let mut current: Vec<usize> = (0..k).collect();
        let mut all = vec![current.clone()];
        // The last position that can still move moves, and those after it follow closely.
        while let Some(at) = (0..k).rev().find(|at| current[*at] < n - k + at) {
            current[at] += 1;
            for next in at + 1..k {
                current[next] = current[next - 1] + 1;
            }
            all.push(current.clone());
        }
        all
    }
}

impl Samples {
    /// The folds of cross-validation over groups, their rows not counted yet.
    pub(super) fn split_groups(&self, config: &GroupSplit) -> Result<SplitPlan, SplitError> {
        let problems: Vec<SplitProblem> = config
            .validate()
            .into_iter()
            .map(SplitProblem::Invalid)
            .collect();
        if !problems.is_empty() {
            return Err(SplitError { problems });
        }
        let groups = self.group_periods(config)?;
        let embargo = i64::from(config.embargo_bars).saturating_mul(self.time_frame().nanos());
        let held_out: Vec<HeldOut> = groups
            .iter()
            .map(|period| HeldOut {
                period: *period,
                labels_end: self.labels_end(*period),
                before_nanos: 0,
                after_nanos: embargo,
            })
            .collect();
        let combinations = config.combinations();
        let folds = (0..)
            .zip(&combinations)
            .map(|(index, tested)| fold(index, &groups, tested, &held_out));
        Ok(SplitPlan {
            folds: folds.collect(),
            paths: paths(&groups, &combinations),
        })
    }

    /// Groups of as many closing times each; the last one takes what is left over.
    fn group_periods(&self, config: &GroupSplit) -> Result<Vec<Period>, SplitError> {
        let available = self.period().ok_or(SplitProblem::NoBars)?;
        let times: Vec<Timestamp> = self
            .row_times()
            .collect::<BTreeSet<Timestamp>>()
            .into_iter()
            .collect();
        let count = config.groups as usize;
        let size = times.len() / count;
        if size == 0 {
            return Err(SplitProblem::TooFewRows {
                groups: config.groups,
                found: times.len(),
            }
            .into());
        }
        let mut from = available.from;
        let group = |group: usize| {
            let to = if group + 1 == count {
                available.to
            } else {
                times[(group + 1) * size - 1]
            };
            let period = Period { from, to };
            from = to;
            period
        };
        Ok((0..count).map(group).collect())
    }

    /// When the last label of the rows of a period is known; its end where none is later.
    fn labels_end(&self, period: Period) -> Timestamp {
        self.label_ends(period).fold(period.to, Timestamp::max)
    }
}

fn fold(index: usize, groups: &[Period], tested: &[usize], held_out: &[HeldOut]) -> Fold {
    let is_tested = |group: &usize| tested.contains(group);
    let mut train: Vec<Period> = Vec::new();
    for group in (0..groups.len()).filter(|group| !is_tested(group)) {
        match train.last_mut() {
            Some(last) if last.to == groups[group].from => last.to = groups[group].to,
            _ => train.push(groups[group]),
        }
    }
    Fold {
        index,
        train,
        valid: None,
        test: tested.iter().map(|group| groups[*group]).collect(),
        is_shortened: false,
        train_held_out: tested.iter().map(|group| held_out[*group]).collect(),
        valid_held_out: Vec::new(),
        train_counts: PartCounts::default(),
        valid_counts: PartCounts::default(),
        test_counts: PartCounts::default(),
    }
}

/// Path `p` takes of each group the prediction of the `p`-th fold that tests it.
fn paths(groups: &[Period], combinations: &[Vec<usize>]) -> Vec<SplitPath> {
    let mut paths: Vec<SplitPath> = Vec::new();
    for (group, period) in groups.iter().enumerate() {
        let folds = (0..combinations.len()).filter(|fold| combinations[*fold].contains(&group));
        for (path, fold) in folds.enumerate() {
            if path == paths.len() {
                paths.push(SplitPath { parts: Vec::new() });
            }
            paths[path].parts.push((*period, fold));
        }
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(groups: u32, test_groups: u32) -> GroupSplit {
        GroupSplit {
            groups,
            test_groups,
            embargo_bars: 0,
        }
    }

    #[test]
    fn counts_of_folds_and_paths() {
        for (n, k, folds, paths) in [(6, 2, 15, 5), (10, 2, 45, 9), (10, 8, 45, 36), (5, 1, 5, 1)] {
            assert_eq!(split(n, k).folds(), Some(folds), "{n} {k}");
            assert_eq!(split(n, k).paths(), Some(paths), "{n} {k}");
            assert_eq!(split(n, k).combinations().len(), folds, "{n} {k}");
        }
        assert_eq!(split(1000, 500).folds(), None);
        assert_eq!(
            split(4, 2).combinations(),
            [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]
        );
    }

    #[test]
    fn every_problem_of_a_plan_is_reported() {
        let told = |groups, test_groups| {
            let problems = split(groups, test_groups).validate();
            problems.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(told(1, 1).len(), 2);
        assert!(told(1, 1)[0].contains("`groups` is 1; it must be from 2 to 1000"));
        assert!(told(6, 6)[0].contains("must be from 1 to 5"));
        assert!(told(6, 0)[0].contains("must be from 1 to 5"));
        assert!(told(40, 20)[0].contains("more than 10000 folds"));
        assert!(told(6, 2).is_empty());
    }
}
