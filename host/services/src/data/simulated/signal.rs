//! The planted signal: how strong the drift must be so that its best linear use has the stated
//! correlation with later returns.
//!
//! Each symbol has a latent state `s`, a stationary AR(1) of unit variance with factor
//! `phi = 0.5^(1 / half life)`. In units of the bar's volatility the mean of the next return is
//! `beta s`. Two things show it. The taker-buy imbalance of a bar is `x = g s + sqrt(1 - g^2) n`
//! in standard units, with white noise `n` and visibility `g`. And of a follower's state a share
//! `c` of the variance is the leader's momentum: `s = sqrt(1 - c) u + sqrt(c) l`, where
//! `l' = phi l + sqrt(1 - phi^2) e` sums the leader's standardised returns `e`.
//!
//! The best linear estimate of `s` from the history of `x` and `l` is the steady Kalman filter of
//! `u` ([`Filter`]); its variance `v` tells how much of `s` can be known. Over `H` bars the mean
//! adds up to `beta G s`, with `G = 1 + phi + ... + phi^(H-1)`, so the estimate's correlation with
//! the log return of the next `H` bars is
//!
//! ```text
//! ic = beta kappa G sqrt(v) / sqrt(H + beta^2 V)
//! ```
//!
//! where `V` is the variance of the sum of `H` states and `kappa`, the mean volatility over its
//! root mean square with jumps, is what changing volatility takes off. Solved for `beta`.

/// What the strength of the signal depends on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct SignalShape {
    /// Stated correlation.
    pub(super) ic: f64,
    /// Horizon at which it is stated.
    pub(super) horizon_bars: u32,
    /// `phi`.
    pub(super) persistence: f64,
    /// `g`.
    pub(super) visibility: f64,
    /// `c`; 0 for the leader.
    pub(super) lead_share: f64,
    /// `kappa`.
    pub(super) mean_over_rms_volatility: f64,
}

/// The steady Kalman filter of the part of the state that only the imbalance shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Filter {
    /// What of the surprise in `x` goes into the estimate of `u`.
    pub(super) gain: f64,
    /// `v`, the variance of the best estimate of `s`.
    pub(super) known_variance: f64,
}

/// Bound of the fixed-point iteration; it converges geometrically, far earlier.
const ITERATIONS: usize = 100_000;

impl SignalShape {
    /// The best linear estimator of the state.
    pub(super) fn filter(&self) -> Filter {
        let own = 1.0 - self.lead_share;
        let seen = self.visibility * own.sqrt();
        let noise = 1.0 - self.visibility * self.visibility;
        let squared = self.persistence * self.persistence;
        let mut unknown = 1.0;
        let mut gain = 0.0;
        for _ in 0..ITERATIONS {
            let predicted = squared * unknown + 1.0 - squared;
            gain = predicted * seen / (seen * seen * predicted + noise);
            let next = (1.0 - gain * seen) * predicted;
            let change: f64 = next - unknown;
            unknown = next;
            if change.abs() < 1e-15 {
                break;
            }
        }
        Filter {
            gain,
            known_variance: own * (1.0 - unknown) + self.lead_share,
        }
    }

    /// `beta`; `None` where no drift, however strong, gives the stated correlation.
    pub(super) fn drift(&self) -> Option<f64> {
        let (squared_reach, spread) = self.reach_and_spread();
        let squared_ic = self.ic * self.ic;
        let left = squared_reach - squared_ic * spread;
        let drift = (squared_ic * f64::from(self.horizon_bars) / left).sqrt();
        (left > 0.0 && drift <= MAX_DRIFT).then_some(drift)
    }

    /// The largest correlation that [`drift`](Self::drift) can give.
    pub(super) fn largest_ic(&self) -> f64 {
        let (squared_reach, spread) = self.reach_and_spread();
        let horizon = f64::from(self.horizon_bars);
        let squared_drift = MAX_DRIFT * MAX_DRIFT;
        (squared_drift * squared_reach / (horizon + squared_drift * spread)).sqrt()
    }

    /// `(kappa G)^2 v`, and `V`.
    fn reach_and_spread(&self) -> (f64, f64) {
        let horizon = self.horizon_bars;
        let (mut reach, mut spread, mut power) = (0.0, f64::from(horizon), 1.0);
        for lag in 0..horizon {
            reach += power;
            power *= self.persistence;
            spread += 2.0 * f64::from(horizon - lag - 1) * power;
        }
        let reach = reach * self.mean_over_rms_volatility;
        (reach * reach * self.filter().known_variance, spread)
    }
}

/// The mean may be at most this share of a bar's volatility: more is no market.
const MAX_DRIFT: f64 = 0.5;

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: SignalShape = SignalShape {
        ic: 0.12,
        horizon_bars: 12,
        persistence: 0.943_874,
        visibility: 0.6,
        lead_share: 0.3,
        mean_over_rms_volatility: 0.9,
    };

    #[test]
    fn the_drift_gives_back_the_stated_correlation() {
        let drift = SHAPE.drift().unwrap();
        let (squared_reach, spread) = SHAPE.reach_and_spread();
        let variance = f64::from(SHAPE.horizon_bars) + drift * drift * spread;
        let ic = drift * squared_reach.sqrt() / variance.sqrt();
        assert!((ic - SHAPE.ic).abs() < 1e-12, "{ic}");
    }

    #[test]
    fn one_bar_and_a_visible_state_are_simple() {
        let shape = SignalShape {
            ic: 0.1,
            horizon_bars: 1,
            persistence: 0.0,
            visibility: 0.5,
            lead_share: 0.0,
            mean_over_rms_volatility: 1.0,
        };
        // Without memory the best estimate of s is 0.5 x, whose variance is 0.25.
        assert!((shape.filter().known_variance - 0.25).abs() < 1e-12);
        let drift = shape.drift().unwrap();
        let ic = drift * 0.5 / (1.0 + drift * drift).sqrt();
        assert!((ic - 0.1).abs() < 1e-12);
    }

    #[test]
    fn more_memory_and_more_lead_make_more_of_the_state_known() {
        let known = |persistence, lead_share| {
            let shape = SignalShape {
                persistence,
                lead_share,
                ..SHAPE
            };
            shape.filter().known_variance
        };
        assert!(known(0.99, 0.0) > known(0.9, 0.0));
        assert!(known(0.9, 0.3) > known(0.9, 0.0));
        assert!(known(0.99, 0.3) < 1.0);
    }

    #[test]
    fn an_impossible_strength_has_no_drift() {
        let ic = SHAPE.largest_ic();
        let at = |ic| SignalShape { ic, ..SHAPE }.drift();
        assert!(at(ic * 0.999).is_some());
        assert!(at(ic * 1.001).is_none());
        assert!(at(0.0) == Some(0.0));
    }
}
