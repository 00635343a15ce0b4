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
        let mut sides = PrimarySides::new(*self, longest_gap_nanos);
        bars.iter().map(|bar| sides.step(bar)).collect()
    }

    /// Positive where the rule says long; `None` where it has not seen enough closes.
    fn lead(&self, closes: &[f64]) -> Option<f64> {
        let (last, slow) = (closes.last()?, self.slow_bars);
        let change = || Some(last - closes.get(closes.len().checked_sub(slow + 1)?)?);
        let mean = |bars: usize| {
            let window = &closes[closes.len().checked_sub(bars)?..];
            Some(window.iter().sum::<f64>() / bars as f64)
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

/// The sides of a primary signal, one bar at a time.
#[derive(Debug, Clone, PartialEq)]
pub struct PrimarySides {
    signal: PrimarySignal,
    longest_gap_nanos: i64,
    /// Closes since the start or the last long gap, as many as the rule looks back on.
    closes: Vec<f64>,
    previous: Option<Bar>,
}

crate::state! {
    PrimarySides { closes, previous }
}

impl PrimarySides {
    /// A signal that has seen nothing; gaps longer than `longest_gap_nanos` start it again.
    #[must_use]
    pub fn new(signal: PrimarySignal, longest_gap_nanos: i64) -> Self {
        Self {
            signal,
            longest_gap_nanos,
            closes: Vec::new(),
            previous: None,
        }
    }

    /// The side at the close of the next bar of the series.
    pub fn step(&mut self, bar: &Bar) -> Direction {
        let before = self.previous.replace(*bar);
        if before.is_some_and(|before| is_long_gap(&before, bar, self.longest_gap_nanos)) {
            self.closes.clear();
        }
        let most = self.signal.slow_bars.max(self.signal.fast_bars) + 1;
        // Dropped in blocks, so that a bar moves few closes.
        if self.closes.len() >= 2 * most {
            self.closes.drain(..self.closes.len() - most);
        }
        self.closes.push(bar.close);
        let lead = self.signal.lead(&self.closes).unwrap_or(0.0);
        // Means of equal prices differ by rounding; that is no lead.
        let nothing = 1e-12 * bar.close.abs();
        Direction::beyond(lead, nothing, nothing)
    }
}
