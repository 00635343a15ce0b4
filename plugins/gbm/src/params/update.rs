//! How a fitted model takes in new rows.

use fusebox_plugin_api::prelude::*;

use super::Params;

/// The keys, which change no fit and may differ between an artifact and its user.
pub(super) const KEYS: [&str; 4] = [
    "update",
    "update_rounds",
    "update_most_rounds",
    "refit_decay_rate",
];

/// How a model takes in new rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum UpdateRule {
    /// More rounds after those it has.
    Continue {
        /// Rounds of one update.
        rounds: u32,
        /// Most rounds that the model may have.
        most: u32,
    },
    /// The same splits with leaves that are `decay` of the old and the rest of the new value.
    Refit {
        /// Share of the old value.
        decay: f64,
    },
}

/// The settings.
pub(super) fn specs() -> Vec<ParamSpec> {
    vec![
        ParamSpec::choice(
            KEYS[0],
            "continue",
            &["continue", "refit"],
            "How a fitted model takes in new rows: by more rounds, or by new values for the leaves \
             it has.",
        ),
        ParamSpec::integer(KEYS[1], 20, "Rounds that one update adds (`continue`).")
            .at_least(1.0)
            .at_most(100_000.0),
        ParamSpec::integer(
            KEYS[2],
            2_000,
            "Most rounds that updates may bring a model to (`continue`).",
        )
        .at_least(1.0)
        .at_most(1_000_000.0),
        ParamSpec::float(
            KEYS[3],
            0.9,
            "Share of a leaf's old value in its new one (`refit`).",
        )
        .at_least(0.0)
        .at_most(1.0),
    ]
}

impl Params {
    /// How a model takes in new rows.
    pub(crate) fn update(&self) -> Result<UpdateRule> {
        Ok(match self.resolved.get::<String>(KEYS[0])? == "refit" {
            true => UpdateRule::Refit {
                decay: self.resolved.get(KEYS[3])?,
            },
            false => UpdateRule::Continue {
                rounds: self.resolved.get(KEYS[1])?,
                most: self.resolved.get(KEYS[2])?,
            },
        })
    }
}
