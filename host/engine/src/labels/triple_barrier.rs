//! Triple-barrier labels (M. Lopez de Prado, Advances in Financial Machine Learning, chapter 3).

use super::{Ambiguity, Direction, LabelInput, LabelOutcome, LabelReason, Labeler};
use crate::types::Bar;

/// Which of an upper barrier, a lower barrier and the horizon is reached first.
///
/// Barriers lie at `entry * exp(+/- sigmas * sigma)` and are touched by the high and the low of a
/// bar. A bar that opens beyond a barrier has touched that one first, and the label ends at its
/// open; any other bar that touches both is ambiguous, because the order inside it is unknown. The
/// horizon gives class flat.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TripleBarrier {
    /// Bars until the vertical barrier.
    pub horizon_bars: usize,
    /// Distance of the upper barrier in volatilities of one bar.
    pub upper_sigmas: f64,
    /// Distance of the lower barrier in volatilities of one bar.
    pub lower_sigmas: f64,
    /// What a bar that touches both barriers means.
    pub ambiguous: Ambiguity,
}

impl Labeler for TripleBarrier {
    fn horizon_bars(&self) -> usize {
        self.horizon_bars
    }

    fn outcome(&self, input: LabelInput<'_>) -> Option<LabelOutcome> {
        let upper = input.entry_price * (self.upper_sigmas * input.sigma).exp();
        let lower = input.entry_price * (-self.lower_sigmas * input.sigma).exp();
        let touches = |bar: &Bar| bar.high >= upper || bar.low <= lower;
        let horizontal = input.path.iter().position(touches);
        let decided_by = horizontal.or_else(|| {
            let last = self.horizon_bars.checked_sub(1)?;
            (last < input.path.len()).then_some(last)
        })?;
        let bar = input.path.get(decided_by)?;
        let (reason, class, price) = match first_touch(bar, upper, lower) {
            Some(LabelReason::Upper) => (LabelReason::Upper, Direction::Up, bar.open.max(upper)),
            Some(LabelReason::Lower) => (LabelReason::Lower, Direction::Down, bar.open.min(lower)),
            Some(_) => match self.ambiguous {
                Ambiguity::Pessimistic => (LabelReason::Ambiguous, Direction::Down, lower),
                Ambiguity::Flat => (LabelReason::Ambiguous, Direction::Flat, bar.close),
            },
            None => (LabelReason::Vertical, Direction::Flat, bar.close),
        };
        Some(LabelOutcome {
            class,
            decided_by,
            log_return: (price / input.entry_price).ln(),
            reason,
        })
    }
}

/// The barrier that a bar touches first; `None` where it touches none.
fn first_touch(bar: &Bar, upper: f64, lower: f64) -> Option<LabelReason> {
    match (bar.high >= upper, bar.low <= lower) {
        (false, false) => None,
        _ if bar.open >= upper => Some(LabelReason::Upper),
        _ if bar.open <= lower => Some(LabelReason::Lower),
        (true, true) => Some(LabelReason::Ambiguous),
        (true, false) => Some(LabelReason::Upper),
        (false, true) => Some(LabelReason::Lower),
    }
}
