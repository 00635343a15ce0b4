//! Which quantile levels the outputs of a model are.

/// Id of the capability.
pub const QUANTILES_ID: &str = "fb.quantiles/1";

/// A model whose outputs are quantiles, target by target, levels ascending within a target.
pub trait Quantiles {
    /// The levels, ascending, each between 0 and 1.
    fn levels(&self) -> Vec<f64>;
}
