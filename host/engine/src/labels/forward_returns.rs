//! Real targets: returns over one or several horizons, and how a prediction of one is read as
//! probabilities of the three classes.

use super::{Direction, LabelInput, LabelOutcome, LabelReason, Labeler, ReturnUnit};
use crate::eval::trading::normal::{probability, quantile};
use crate::types::Bar;

/// Log returns from the entry to each horizon. The first horizon is the one that is traded: its
/// return, in volatilities of the horizon, also gives the class. The label is known once the
/// longest horizon is.
#[derive(Debug, Clone, PartialEq)]
pub struct ForwardReturns {
    /// Bars from the entry to each end, the traded one first; at least one.
    pub horizons_bars: Vec<usize>,
    /// Upper threshold of the class in volatilities of the horizon.
    pub upper_sigmas: f64,
    /// Lower threshold of the class in volatilities of the horizon.
    pub lower_sigmas: f64,
    /// Unit of the targets.
    pub unit: ReturnUnit,
}

impl ForwardReturns {
    /// The target of each horizon after an entry at `entry_price` with volatility `sigma` per bar;
    /// `None` where the path is shorter than the longest horizon.
    pub(super) fn targets(&self, entry_price: f64, sigma: f64, path: &[Bar]) -> Option<Vec<f64>> {
        let target = |&bars: &usize| {
            let log_return = (path.get(bars.checked_sub(1)?)?.close / entry_price).ln();
            Some(match self.unit {
                ReturnUnit::LogReturn => log_return,
                ReturnUnit::Sigmas => log_return / (sigma * (bars as f64).sqrt()),
            })
        };
        self.horizons_bars.iter().map(target).collect()
    }
}

impl Labeler for ForwardReturns {
    fn horizon_bars(&self) -> usize {
        self.horizons_bars.iter().copied().max().unwrap_or(0)
    }

    fn outcome(&self, input: LabelInput<'_>) -> Option<LabelOutcome> {
        let traded = *self.horizons_bars.first()?;
        let decided_by = self.horizon_bars().checked_sub(1)?;
        input.path.get(decided_by)?;
        let close = input.path.get(traded.checked_sub(1)?)?.close;
        let log_return = (close / input.entry_price).ln();
        let scale = input.sigma * (traded as f64).sqrt();
        let class = Direction::beyond(
            log_return,
            self.upper_sigmas * scale,
            self.lower_sigmas * scale,
        );
        Some(LabelOutcome {
            class,
            decided_by,
            log_return,
            reason: LabelReason::Vertical,
            trend: None,
        })
    }
}

/// Reads a predicted return as probabilities of the three classes: the return is taken to be
/// normal around the prediction, with the spread of the training targets. A prediction explains
/// little of a return, so the spread of what it leaves is nearly that of the return itself, and
/// never larger: the probabilities err to the side of caution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReturnReadout {
    /// Upper threshold of the class in volatilities of the horizon.
    pub upper_sigmas: f64,
    /// Lower threshold of the class in volatilities of the horizon.
    pub lower_sigmas: f64,
    /// Standard deviation of the training targets in volatilities of the horizon; positive.
    pub spread_sigmas: f64,
}

impl ReturnReadout {
    /// The same with the spread that predicted quantiles, ascending with their `levels`, show: that
    /// of the normal distribution whose outer quantiles lie as far apart. Unchanged where they show
    /// none.
    #[must_use]
    pub fn with_spread_of(self, levels: &[f64], quantiles: &[f64]) -> Self {
        let outer = |values: &[f64]| Some(values.last()? - values.first()?);
        let places: Option<Vec<f64>> = levels.iter().map(|level| quantile(*level)).collect();
        let spread = outer(quantiles).zip(places.as_deref().and_then(outer));
        let spread = spread.map(|(apart, normal)| apart / normal);
        match spread.filter(|spread| spread.is_finite() && *spread > 0.0) {
            Some(spread_sigmas) => Self {
                spread_sigmas,
                ..self
            },
            None => self,
        }
    }

    /// Probabilities of down, flat and up for a return predicted as `predicted_sigmas` volatilities
    /// of the horizon.
    #[must_use]
    pub fn probabilities(&self, predicted_sigmas: f64) -> [f32; 3] {
        let below =
            |threshold: f64| probability((threshold - predicted_sigmas) / self.spread_sigmas);
        let down = below(-self.lower_sigmas);
        let up = 1.0 - below(self.upper_sigmas);
        let flat = (1.0 - down - up).max(0.0);
        [down as f32, flat as f32, up as f32]
    }
}
