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
        self.decide(
            input,
            (self.upper_sigmas, self.lower_sigmas),
            Direction::Down,
        )
    }
}

impl TripleBarrier {
    /// The outcome of a position on `input.side`: profits are taken `upper_sigmas` and losses
    /// stopped `lower_sigmas` away, on whichever side of the entry they lie.
    pub(super) fn outcome_of_position(&self, input: LabelInput<'_>) -> Option<LabelOutcome> {
        match input.side {
            Direction::Down => {
                let mirrored = (self.lower_sigmas, self.upper_sigmas);
                self.decide(input, mirrored, Direction::Up)
            }
            _ => self.outcome(input),
        }
    }

    /// `loss` is the side on which whoever holds the position loses.
    fn decide(
        &self,
        input: LabelInput<'_>,
        (upper_sigmas, lower_sigmas): (f64, f64),
        loss: Direction,
    ) -> Option<LabelOutcome> {
        let upper = input.entry_price * (upper_sigmas * input.sigma).exp();
        let lower = input.entry_price * (-lower_sigmas * input.sigma).exp();
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
            Some(_) => match (self.ambiguous, loss) {
                (Ambiguity::Flat, _) => (LabelReason::Ambiguous, Direction::Flat, bar.close),
                (_, Direction::Up) => (LabelReason::Ambiguous, Direction::Up, upper),
                (_, _) => (LabelReason::Ambiguous, Direction::Down, lower),
            },
            None => (LabelReason::Vertical, Direction::Flat, bar.close),
        };
        Some(LabelOutcome {
            class,
            decided_by,
            log_return: (price / input.entry_price).ln(),
            reason,
            trend: None,
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
