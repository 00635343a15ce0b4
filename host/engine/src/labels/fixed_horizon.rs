//! Class of the return over a fixed number of bars, against thresholds that scale with volatility
//! or stay where they are.

use super::{Direction, LabelInput, LabelOutcome, LabelReason, Labeler};

/// Up or down where the log return over the horizon is beyond
/// `sigmas * sigma * sqrt(horizon)`, flat between: the scale of a random walk over the horizon.
/// The share of flat rows is then about the same in quiet and in wild markets.
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
        let scale = input.sigma * (self.horizon_bars as f64).sqrt();
        let thresholds = (self.upper_sigmas * scale, self.lower_sigmas * scale);
        at_horizon(input, self.horizon_bars, thresholds)
    }
}

/// Up or down where the log return over the horizon is beyond a constant, such as the costs of a
/// trade, flat between. Quiet markets are mostly flat and wild ones hardly ever.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FixedThreshold {
    /// Bars from the entry to the end.
    pub horizon_bars: usize,
    /// Upper threshold, a log return.
    pub upper_return: f64,
    /// Lower threshold, a log return, positive.
    pub lower_return: f64,
}

impl Labeler for FixedThreshold {
    fn horizon_bars(&self) -> usize {
        self.horizon_bars
    }

    fn outcome(&self, input: LabelInput<'_>) -> Option<LabelOutcome> {
        let thresholds = (self.upper_return, self.lower_return);
        at_horizon(input, self.horizon_bars, thresholds)
    }
}

fn at_horizon(
    input: LabelInput<'_>,
    horizon_bars: usize,
    (upper, lower): (f64, f64),
) -> Option<LabelOutcome> {
    let decided_by = horizon_bars.checked_sub(1)?;
    let log_return = (input.path.get(decided_by)?.close / input.entry_price).ln();
    Some(LabelOutcome {
        class: Direction::beyond(log_return, upper, lower),
        decided_by,
        log_return,
        reason: LabelReason::Vertical,
        trend: None,
    })
}
