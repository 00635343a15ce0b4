//! Meta-labels (M. Lopez de Prado, Advances in Financial Machine Learning, 3.6): a primary signal
//! says long or short, and the label is whether acting on it paid.

use super::{
    Direction, LabelInput, LabelOutcome, Labeler, PrimaryKind, TripleBarrier, is_long_gap,
};
use crate::types::Bar;

/// Barriers around a position on the side of the primary signal. The class is that side where the
/// position earned more than `minimum_profit`, and flat where it did not; where the signal says
/// nothing there is no label. A position that reaches the horizon with a profit has paid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MetaBarrier {
    /// The barriers of a long position: profit above, loss below. A short one mirrors them.
    pub barrier: TripleBarrier,
    /// Log return that acting must exceed to have paid; not negative.
    pub minimum_profit: f64,
}

impl Labeler for MetaBarrier {
    fn horizon_bars(&self) -> usize {
        self.barrier.horizon_bars
    }

    fn outcome(&self, input: LabelInput<'_>) -> Option<LabelOutcome> {
        if input.side == Direction::Flat {
            return None;
        }
        let outcome = self.barrier.outcome_of_position(input)?;
        let paid = input.side.sign() * outcome.log_return > self.minimum_profit;
        Some(LabelOutcome {
            class: if paid { input.side } else { Direction::Flat },
            ..outcome
        })
    }
}

/// A rule that says long (up), short (down) or nothing (flat) at each close, from closes so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrimarySignal {
    /// The rule.
    pub kind: PrimaryKind,
    /// Bars of the fast moving average; the crossover only.
    pub fast_bars: usize,
    /// Bars of the slow moving average, or of the return.
    pub slow_bars: usize,
}

impl PrimarySignal {
    /// The side at each bar. It is flat until enough closes have been seen since the start or the
    /// last long gap, and where neither side is ahead.
    #[must_use]
    pub fn sides(&self, bars: &[Bar], longest_gap_nanos: i64) -> Vec<Direction> {
        let mut first = 0;
        let mut sides = Vec::with_capacity(bars.len());
        for (at, bar) in bars.iter().enumerate() {
            if at > 0 && is_long_gap(&bars[at - 1], bar, longest_gap_nanos) {
                first = at;
            }
            let lead = self.lead(&bars[first..=at]).unwrap_or(0.0);
            // Means of equal prices differ by rounding; that is no lead.
            let nothing = 1e-12 * bar.close.abs();
            sides.push(Direction::beyond(lead, nothing, nothing));
        }
        sides
    }

    /// Positive where the rule says long; `None` where it has not seen enough.
    fn lead(&self, seen: &[Bar]) -> Option<f64> {
        let (last, slow) = (seen.last()?.close, self.slow_bars);
        let change = || Some(last - seen.get(seen.len().checked_sub(slow + 1)?)?.close);
        let mean = |bars: usize| {
            let window = &seen[seen.len().checked_sub(bars)?..];
            Some(window.iter().map(|bar| bar.close).sum::<f64>() / bars as f64)
        };
        match self.kind {
            PrimaryKind::Momentum => change(),
            PrimaryKind::Reversal => change().map(|change| -change),
            PrimaryKind::Crossover => {
                let slow = mean(slow)?;
                Some(mean(self.fast_bars)? - slow)
            }
        }
    }
}
