//! What the operator decides about one live model: which versions it follows, what a new
//! generation has to prove, and when the one before it takes over again.

use std::sync::Arc;

use fusebox_plugin_api::config::Config;
use serde::{Deserialize, Serialize};

use super::rows::RowContract;
use crate::guard::GuardPolicy;
use crate::manifest::version_numbers;

/// Which versions a model follows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VersionPolicy {
    /// The newest one.
    #[default]
    Latest,
    /// This one, whatever else is there.
    Pinned(String),
    /// The newest one answers; this many of the newest stay loaded and warm, so that going back
    /// loads nothing.
    LatestN(usize),
}

impl VersionPolicy {
    /// How many generations behind the live one stay loaded.
    #[must_use]
    pub fn standbys(&self) -> usize {
        match self {
            Self::LatestN(count) => count.saturating_sub(1).min(MAX_STANDBYS),
            Self::Latest | Self::Pinned(_) => 0,
        }
    }
}

/// Most generations that wait behind a live one.
pub const MAX_STANDBYS: usize = 8;

/// When a generation in probation is sent back. Rates are of its calls since it was promoted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProbationPolicy {
    /// Rows that it must answer; 0 is no probation. At most the rows of the history, because the
    /// generation before it is brought up to date from there.
    pub rows: usize,
    /// Calls below which no rate counts.
    pub minimum_calls: u64,
    /// Sent back above this share of failed calls, whatever the reason.
    pub error_rate: f64,
    /// Sent back above this share of answers that are no numbers.
    pub nan_rate: f64,
    /// Sent back above this share of late answers.
    pub deadline_rate: f64,
    /// Deaths of its process that it may have, each healed by a spare.
    pub crashes: u64,
}

impl Default for ProbationPolicy {
    fn default() -> Self {
        Self {
            rows: 64,
            minimum_calls: 4,
            error_rate: 0.25,
            nan_rate: 0.0,
            deadline_rate: 0.25,
            crashes: 0,
        }
    }
}

/// What a new generation has to prove before and after it takes over.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SwapPolicy {
    /// Rows that the host keeps for bringing generations up to date.
    pub history_rows: usize,
    /// Memory that those rows may take; fewer rows are kept where they are wide.
    pub history_bytes: usize,
    /// Rows that warm a generation which cannot take over the state.
    pub replay_rows: usize,
    /// Rows that it answers in shadow; 0 is none.
    pub shadow_rows: u64,
    /// Share of the shadow rows that it may fail to answer while the live generation does.
    pub shadow_error_rate: f64,
    /// Largest difference between its answers and the live ones in shadow; `None` allows any.
    pub max_difference: Option<f64>,
    /// Whether it must keep to the latency that its manifest promises, in shadow.
    pub enforce_budget: bool,
    /// What follows its promotion.
    pub probation: ProbationPolicy,
    /// Whether a generation that is revoked while it is live gives way by itself to one that is
    /// allowed; otherwise it stays live, and the audit log says so.
    pub leave_revoked: bool,
    /// How long a retired generation has to end its threads, milliseconds.
    pub quiesce_ms: u64,
}

impl Default for SwapPolicy {
    fn default() -> Self {
        Self {
            history_rows: 512,
            history_bytes: 64 << 20,
            replay_rows: 512,
            shadow_rows: 0,
            shadow_error_rate: 0.0,
            max_difference: None,
            enforce_budget: true,
            probation: ProbationPolicy::default(),
            leave_revoked: true,
            quiesce_ms: 1_000,
        }
    }
}

impl SwapPolicy {
    /// Every contradiction in it, one sentence each.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.history_rows == 0 || self.history_rows > 1 << 20 {
            problems.push("`history_rows` must lie between 1 and 1048576".to_owned());
        }
        for (name, rows) in [
            ("replay_rows", self.replay_rows),
            ("probation.rows", self.probation.rows),
        ] {
            if rows > self.history_rows {
                problems.push(format!(
                    "`{name}` is {rows}, but only {} rows are kept; raise `history_rows`",
                    self.history_rows
                ));
            }
        }
        let probation = &self.probation;
        for (name, share) in [
            ("shadow_error_rate", self.shadow_error_rate),
            ("probation.error_rate", probation.error_rate),
            ("probation.nan_rate", probation.nan_rate),
            ("probation.deadline_rate", probation.deadline_rate),
        ] {
            if !(0.0..=1.0).contains(&share) {
                problems.push(format!("`{name}` is {share}; it must lie between 0 and 1"));
            }
        }
        if self
            .max_difference
            .is_some_and(|most| most.is_nan() || most < 0.0)
        {
            problems.push("`max_difference` must be a number of at least 0".to_owned());
        }
        problems
    }
}

/// Where the code and the numbers of a model come from.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelSource {
    /// A plugin, with a fixed configuration and artifact.
    Plugin {
        /// Its id.
        id: String,
        /// Which versions of it.
        versions: VersionPolicy,
        /// The configuration of the model.
        config: Config,
        /// What `create` gets; empty where the model needs none.
        artifact: Vec<u8>,
    },
    /// The model packages of the model's name; each names its plugin.
    Packages {
        /// Which versions of the model package.
        versions: VersionPolicy,
        /// Which versions of its plugin.
        plugin_versions: VersionPolicy,
    },
}

/// One model that is kept live.
#[derive(Debug, Clone)]
pub struct ModelSpec {
    /// Name, of this model alone; for model packages also their directory.
    pub name: String,
    /// Where it comes from.
    pub source: ModelSource,
    /// What a new generation has to prove.
    pub swap: SwapPolicy,
    /// What its answers are held to.
    pub guard: GuardPolicy,
    /// What the host says of the rows that it gives to the model, above all the digest of their
    /// feature set: a package that was trained on another set does not go live. `None` says
    /// nothing, and a package with a scaler or a readout is then refused.
    pub rows: Option<Arc<dyn RowContract>>,
}

impl ModelSpec {
    /// A model of the newest version of a plugin.
    #[must_use]
    pub fn of_plugin(name: &str, id: &str, config: Config) -> Self {
        Self {
            name: name.to_owned(),
            source: ModelSource::Plugin {
                id: id.to_owned(),
                versions: VersionPolicy::Latest,
                config,
                artifact: Vec::new(),
            },
            swap: SwapPolicy::default(),
            guard: GuardPolicy::default(),
            rows: None,
        }
    }

    /// The newest model package of this name.
    #[must_use]
    pub fn of_packages(name: &str) -> Self {
        Self {
            source: ModelSource::Packages {
                versions: VersionPolicy::Latest,
                plugin_versions: VersionPolicy::Latest,
            },
            ..Self::of_plugin(name, "", Config::new())
        }
    }

    /// Every contradiction in it, one sentence each.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = self.swap.problems();
        let named = match &self.source {
            ModelSource::Plugin { versions, .. } => vec![versions],
            ModelSource::Packages {
                versions,
                plugin_versions,
            } => vec![versions, plugin_versions],
        };
        for versions in named {
            match versions {
                VersionPolicy::Pinned(version) if version_numbers(version).is_none() => {
                    problems.push(format!(
                        "the pinned version `{version}` is not three numbers"
                    ));
                }
                VersionPolicy::LatestN(0) => {
                    problems.push("`latest-n` must keep at least 1 version".to_owned());
                }
                VersionPolicy::LatestN(count) if *count > MAX_STANDBYS + 1 => {
                    problems.push(format!(
                        "`latest-n` keeps {count} versions; {} are possible",
                        MAX_STANDBYS + 1
                    ))
                }
                _ => {}
            }
        }
        if !is_valid_name(&self.name) {
            problems.push(format!(
                "the model name `{}` must be letters, digits, `.`, `-` and `_`, not begin with a \
                 dot, and not end in `.tmp`",
                self.name
            ));
        }
        problems
    }
}

/// Whether a name may be the name of a model and of its directory.
#[must_use]
pub fn is_valid_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 128
        && !name.starts_with('.')
        && !name.ends_with(".tmp")
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_contradiction_is_named_at_once() {
        let mut spec = ModelSpec::of_plugin("../x", "a.b", Config::new());
        spec.swap.history_rows = 8;
        spec.swap.max_difference = Some(-1.0);
        spec.swap.probation.nan_rate = 2.0;
        spec.source = ModelSource::Packages {
            versions: VersionPolicy::Pinned("1.2".to_owned()),
            plugin_versions: VersionPolicy::LatestN(0),
        };
        let problems = spec.problems().join("\n");
        for words in [
            "`replay_rows` is 512, but only 8",
            "`probation.rows` is 64",
            "`max_difference`",
            "`probation.nan_rate` is 2",
            "`1.2` is not three numbers",
            "at least 1 version",
            "model name `../x`",
        ] {
            assert!(problems.contains(words), "{words} not in {problems}");
        }
        assert!(ModelSpec::of_packages("good-1").problems().is_empty());
    }
}
