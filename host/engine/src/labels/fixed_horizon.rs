//! Class of the return over a fixed number of bars.

use super::{Direction, LabelInput, LabelOutcome, LabelReason, Labeler};

/// Up or down where the log return over the horizon is beyond
/// `sigmas * sigma * sqrt(horizon)`, flat between: the scale of a random walk over the horizon.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FixedHorizon {
    /// Bars from the entry to the end.
    pub horizon_bars: usize,
    /// Upper threshold in volatilities of the horizon.
    pub upper_sigmas: f64,
    /// Lower threshold in volatilities of the horizon.
    pub lower_sigmas: f64,
}

impl Labeler for FixedHorizon {
    fn horizon_bars(&self) -> usize {
        self.horizon_bars
    }

    fn outcome(&self, input: LabelInput<'_>) -> Option<LabelOutcome> {
        let decided_by = self.horizon_bars.checked_sub(1)?;
        let log_return = (input.path.get(decided_by)?.close / input.entry_price).ln();
        let scale = input.sigma * (self.horizon_bars as f64).sqrt();
        let class = if log_return > self.upper_sigmas * scale {
            Direction::Up
        } else if log_return < -self.lower_sigmas * scale {
            Direction::Down
        } else {
            Direction::Flat
        };
        Some(LabelOutcome {
            class,
            decided_by,
            log_return,
            reason: LabelReason::Vertical,
        })
    }
}
