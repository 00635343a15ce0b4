//! How far luck explains a result: what must be known about having tried many strategies.
//!
//! [`minimum_track_record`] and [`minimum_backtest_length`] say how long a history must be,
//! [`effective_trials`] and [`cluster_trials`] how many different things were tried,
//! [`backtest_overfitting`] how often the best of them in one half of the data is among the worse
//! in the other, [`superior_ability`] whether the best beats a benchmark at all. The probabilistic
//! and the deflated Sharpe ratio stand with the Sharpe ratio, in [`super::trading`].
//!
//! Sharpe ratios here are per step, not annualised.

mod effective_trials;
mod overfitting;
mod returns_table;
mod superior_ability;
mod track_record;

pub use effective_trials::{
    TrialClusters, cluster_trials, effective_trials, ratios_variance, trials_variance,
};
pub use overfitting::{BacktestOverfitting, MAX_OVERFITTING_BLOCKS, backtest_overfitting};
pub use returns_table::{ReturnsTable, ReturnsTableError};
pub use superior_ability::{
    SuperiorAbility, SuperiorAbilityOptions, superior_ability, superior_ability_of,
};
pub use track_record::{minimum_backtest_length, minimum_track_record};
