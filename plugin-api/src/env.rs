//! The vectorised environment a host lends to a policy learner.
//!
//! N environments advance together over flat arrays, environment-major. The host's trading
//! environment and small control problems implement the same trait; across the line it is the table
//! `fb.env/1`. A plugin never owns an environment and never keeps one past `fit`.

use serde::{Deserialize, Serialize};

use crate::error::{PluginError, Result};

/// The values an observation or an action may take, as data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Space {
    /// Real numbers inside bounds.
    Box {
        /// Length of each dimension.
        shape: Vec<u64>,
        /// Lower bounds, one per element in row-major order; `None` where there are none.
        low: Option<Vec<f32>>,
        /// Upper bounds, one per element in row-major order; `None` where there are none.
        high: Option<Vec<f32>>,
    },
    /// One of `count` numbers beginning with `start`.
    Discrete {
        /// How many numbers.
        count: i64,
        /// The first of them.
        start: i64,
    },
    /// Several independent choices, each from 0 to its count less one.
    MultiDiscrete {
        /// How many numbers each choice has.
        counts: Vec<i64>,
    },
}

impl Space {
    /// Values per environment in a flat array; `usize::MAX`, which no array has, where they cannot
    /// be counted.
    #[must_use]
    pub fn elements(&self) -> usize {
        match self {
            Self::Box { shape, .. } => shape
                .iter()
                .map(|length| *length as usize)
                .fold(1, usize::saturating_mul),
            Self::Discrete { .. } => 1,
            Self::MultiDiscrete { counts } => counts.len(),
        }
    }

    /// How many flags an action mask has per environment: one per choice; 0 for a box.
    #[must_use]
    pub fn mask_elements(&self) -> usize {
        match self {
            Self::Box { .. } => 0,
            Self::Discrete { count, .. } => (*count).max(0) as usize,
            Self::MultiDiscrete { counts } => {
                let flags = counts.iter().map(|count| (*count).max(0) as usize);
                flags.fold(0, usize::saturating_add)
            }
        }
    }
}

/// What happens when an episode ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Autoreset {
    /// The step that ends an episode already returns the first observation of the next one; the
    /// last observation is in `final_observations`.
    SameStep,
    /// The step after the end ignores its action and returns the first observation.
    NextStep,
    /// The learner resets finished environments itself.
    Disabled,
}

/// The description of an environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EnvSpec {
    /// How many environments advance together, at least 1.
    pub environments: usize,
    /// Observation of one environment; written as `f32` whatever its kind.
    pub observation: Space,
    /// Action of one environment; `f32` for a box, `i64` otherwise.
    pub action: Space,
    /// What happens when an episode ends.
    pub autoreset: Autoreset,
    /// Names of the numbers in [`EnvStep::infos`].
    pub info_names: Vec<String>,
    /// Whether [`EnvStep::action_mask`] is filled.
    pub action_mask: bool,
    /// Lowest and highest possible reward, where known.
    pub reward_range: (Option<f64>, Option<f64>),
    /// Steps after which an episode is truncated, where there is a limit.
    pub max_episode_steps: Option<u64>,
}

/// Actions of all environments.
#[derive(Debug, Clone, Copy)]
pub enum Actions<'a> {
    /// For a box: `environments x elements`.
    Continuous(&'a [f32]),
    /// For discrete spaces: `environments x elements`.
    Discrete(&'a [i64]),
}

/// Arrays of one reset.
#[derive(Debug)]
pub struct EnvReset<'a> {
    /// One seed per environment; `None` continues each environment's own sequence.
    pub seeds: Option<&'a [u64]>,
    /// 1 resets the environment, 0 leaves it; `None` resets all.
    pub mask: Option<&'a [u8]>,
    /// Out: `environments x observation elements`; untouched where the mask is 0.
    pub observations: &'a mut [f32],
    /// Out: `environments x mask elements`, 1 allowed, 0 not.
    pub action_mask: Option<&'a mut [u8]>,
}

/// Arrays of one step. `terminated` (the task ended) and `truncated` (cut off) stay separate,
/// because only the first ends the return.
#[derive(Debug)]
pub struct EnvStep<'a> {
    /// In: what each environment does.
    pub actions: Actions<'a>,
    /// Out: `environments x observation elements`.
    pub observations: &'a mut [f32],
    /// Out: one per environment.
    pub rewards: &'a mut [f32],
    /// Out: 1 where the episode reached its end.
    pub terminated: &'a mut [u8],
    /// Out: 1 where the episode was cut off.
    pub truncated: &'a mut [u8],
    /// Out: last observation of the episodes that ended in this step, other rows untouched.
    pub final_observations: Option<&'a mut [f32]>,
    /// Out: `environments x info names`.
    pub infos: Option<&'a mut [f64]>,
    /// Out: `environments x mask elements`, 1 allowed, 0 not.
    pub action_mask: Option<&'a mut [u8]>,
}

impl EnvReset<'_> {
    /// Refuses arrays whose length does not fit `spec`; both sides of the line call this first.
    ///
    /// # Errors
    /// `E_ARG` listing every array that does not fit.
    pub fn check(&self, spec: &EnvSpec) -> Result<()> {
        let count = spec.environments;
        let mut lengths = Lengths::default();
        lengths.optional("seeds", self.seeds.map(<[u64]>::len), count);
        lengths.optional("mask", self.mask.map(<[u8]>::len), count);
        let observations = count.saturating_mul(spec.observation.elements());
        lengths.needed("observations", self.observations.len(), observations);
        let flags = self.action_mask.as_deref().map(<[u8]>::len);
        lengths.optional(
            "action_mask",
            flags,
            count.saturating_mul(spec.action.mask_elements()),
        );
        lengths.done()
    }
}

impl EnvStep<'_> {
    /// Refuses arrays whose length does not fit `spec`; both sides of the line call this first.
    ///
    /// # Errors
    /// `E_ARG` listing every array that does not fit, and actions of the wrong kind.
    pub fn check(&self, spec: &EnvSpec) -> Result<()> {
        let count = spec.environments;
        let mut lengths = Lengths::default();
        let (given, is_box) = match self.actions {
            Actions::Continuous(values) => (values.len(), true),
            Actions::Discrete(values) => (values.len(), false),
        };
        if is_box != matches!(spec.action, Space::Box { .. }) {
            lengths
                .problems
                .push("the actions have another kind than the action space".to_owned());
        }
        let observations = count.saturating_mul(spec.observation.elements());
        lengths.needed(
            "actions",
            given,
            count.saturating_mul(spec.action.elements()),
        );
        lengths.needed("observations", self.observations.len(), observations);
        lengths.needed("rewards", self.rewards.len(), count);
        lengths.needed("terminated", self.terminated.len(), count);
        lengths.needed("truncated", self.truncated.len(), count);
        let last = self.final_observations.as_deref().map(<[f32]>::len);
        lengths.optional("final_observations", last, observations);
        let infos = self.infos.as_deref().map(<[f64]>::len);
        lengths.optional("infos", infos, count.saturating_mul(spec.info_names.len()));
        let flags = self.action_mask.as_deref().map(<[u8]>::len);
        lengths.optional(
            "action_mask",
            flags,
            count.saturating_mul(spec.action.mask_elements()),
        );
        lengths.done()
    }
}

/// Collects the arrays whose length does not fit.
#[derive(Default)]
struct Lengths {
    problems: Vec<String>,
}

impl Lengths {
    fn needed(&mut self, name: &str, found: usize, expected: usize) {
        if found != expected {
            self.problems.push(format!(
                "`{name}` has {found} values; {expected} were expected"
            ));
        }
    }

    fn optional(&mut self, name: &str, found: Option<usize>, expected: usize) {
        self.needed(name, found.unwrap_or(expected), expected);
    }

    fn done(self) -> Result<()> {
        if self.problems.is_empty() {
            return Ok(());
        }
        Err(PluginError::argument(self.problems.join("; ")))
    }
}

/// N environments that advance together. Used by one thread at a time.
pub trait Environment: Send {
    /// The description; it never changes.
    fn spec(&self) -> &EnvSpec;

    /// Starts episodes.
    ///
    /// # Errors
    /// `E_ARG` where an array has the wrong length.
    fn reset(&mut self, reset: EnvReset<'_>) -> Result<()>;

    /// Advances every environment by one step.
    ///
    /// # Errors
    /// `E_ARG` where an array has the wrong length or an action lies outside its space; `E_STATE`
    /// before the first reset.
    fn step(&mut self, step: EnvStep<'_>) -> Result<()>;

    /// Ends all episodes; only a reset may follow.
    ///
    /// # Errors
    /// Where the environment cannot let go of what it holds.
    fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_array_of_the_wrong_length_is_reported() {
        let spec = EnvSpec {
            environments: 2,
            observation: Space::Box {
                shape: vec![3],
                low: None,
                high: None,
            },
            action: Space::MultiDiscrete { counts: vec![3, 2] },
            autoreset: Autoreset::SameStep,
            info_names: vec!["equity".to_owned()],
            action_mask: true,
            reward_range: (None, None),
            max_episode_steps: None,
        };
        let step = EnvStep {
            actions: Actions::Discrete(&[0, 1, 2]),
            observations: &mut [0.0; 6],
            rewards: &mut [0.0; 1],
            terminated: &mut [0; 2],
            truncated: &mut [0; 2],
            final_observations: None,
            infos: Some(&mut [0.0; 3]),
            action_mask: Some(&mut [0; 10]),
        };
        let error = step.check(&spec).unwrap_err();
        for part in ["`actions` has 3", "`rewards` has 1", "`infos` has 3"] {
            assert!(error.message().contains(part), "{part} not in {error}");
        }
        assert!(!error.message().contains("action_mask"), "{error}");
    }
}
