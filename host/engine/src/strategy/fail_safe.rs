//! What becomes of a position when its model fails.
//!
//! A model that has nothing to say, in its warm-up or after a gap, has not failed. One that
//! crashed, is not asked any more, was late or answered nonsense has, and a position that nobody
//! watches is a decision too: this is where the operator takes it.

use serde::{Deserialize, Serialize};

use crate::problem::Problems;

/// A last good prediction older than this is history.
const MAX_LAST_GOOD_BARS: u32 = 10_000;

/// What to do for a symbol whose model failed and that no other model answers for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailSafe {
    /// Closes the position; also before `minimum_holding_bars`.
    #[default]
    Flatten,
    /// Keeps what is held and opens nothing.
    Hold,
    /// Lets the model's newest good prediction stand in for its answer, and closes the position
    /// once that is too old. Risk sees its age: `risk.max_data_age_bars` must allow it.
    LastGood {
        /// Bars after which it is too old; at least 1.
        max_bars: u32,
    },
}

impl FailSafe {
    /// Whether this is what happens where nothing is set.
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Reports what makes no sense; `max_age_bars` is what risk allows.
    pub(crate) fn validate(self, max_age_bars: Option<u32>, problems: &mut Problems) {
        let Self::LastGood { max_bars } = self else {
            return;
        };
        problems.require(
            (1..=MAX_LAST_GOOD_BARS).contains(&max_bars),
            "strategy.last_good_max_bars",
            format!("is {max_bars}; it must be from 1 to {MAX_LAST_GOOD_BARS}"),
        );
        // Where risk has no limit, every prediction is refused, and that is another problem.
        if let Some(allowed) = max_age_bars {
            problems.require(
                max_bars <= allowed,
                "strategy.last_good_max_bars",
                format!(
                    "is {max_bars}, but risk refuses predictions older than \
                     `risk.max_data_age_bars` ({allowed}); raise that, or lower this"
                ),
            );
        }
    }
}
