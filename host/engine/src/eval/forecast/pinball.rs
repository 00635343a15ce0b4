//! The pinball loss of quantile forecasts.

use super::finite_mean;

/// Mean pinball (quantile) loss of forecasts of the quantile `level` (R. Koenker, G. Bassett 1978):
/// an outcome above costs `level` per unit, one below `1 - level`. `None` unless `level` lies
/// between 0 and 1.
#[must_use]
pub fn pinball_loss(forecasts: &[f64], outcomes: &[f64], level: f64) -> Option<f64> {
    let is_level = level > 0.0 && level < 1.0;
    if !is_level || forecasts.len() != outcomes.len() {
        return None;
    }
    let pairs = forecasts.iter().zip(outcomes);
    finite_mean(pairs.map(|(forecast, outcome)| one_loss(*forecast, *outcome, level)))
}

/// The loss of one forecast.
pub(super) fn one_loss(forecast: f64, outcome: f64, level: f64) -> f64 {
    let error = outcome - forecast;
    if error >= 0.0 {
        level * error
    } else {
        (level - 1.0) * error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_high_quantile_pays_for_outcomes_above_it() {
        assert_eq!(pinball_loss(&[1.0], &[3.0], 0.75), Some(1.5));
        assert_eq!(pinball_loss(&[3.0], &[1.0], 0.75), Some(0.5));
        assert_eq!(pinball_loss(&[1.0], &[3.0], 1.0), None);
        assert_eq!(pinball_loss(&[], &[], 0.5), None);
        assert_eq!(pinball_loss(&[1.0], &[f64::NAN], 0.5), None);
    }
}
