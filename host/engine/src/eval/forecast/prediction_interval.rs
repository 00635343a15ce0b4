//! Interval forecasts: how often they cover, how wide they are, and both in one score.

use serde::Serialize;

use super::finite_mean;

/// Interval forecasts and what came; one entry per sample.
#[derive(Debug, Clone, Copy)]
pub struct IntervalForecasts<'a> {
    /// Lower ends.
    pub lower: &'a [f64],
    /// Upper ends.
    pub upper: &'a [f64],
    /// What came.
    pub outcomes: &'a [f64],
    /// Probability that each interval claims to cover, such as 0.9.
    pub level: f64,
}

/// How good interval forecasts are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct IntervalQuality {
    /// Share of outcomes inside, ends included; to be compared with the level.
    pub coverage: f64,
    /// Mean width.
    pub mean_width: f64,
    /// Mean interval score (R. Winkler 1972): the width, plus `2 / (1 - level)` times the distance
    /// of an outcome outside. Smaller is better.
    pub winkler_score: f64,
}

impl IntervalQuality {
    /// Of the forecasts; `None` without samples, where lengths differ, a level is not between 0
    /// and 1, an interval ends before it begins, or a value is not a finite number.
    #[must_use]
    pub fn of(forecasts: &IntervalForecasts<'_>) -> Option<Self> {
        let IntervalForecasts {
            lower,
            upper,
            outcomes,
            level,
        } = *forecasts;
        let fits = lower.len() == outcomes.len() && upper.len() == outcomes.len();
        let is_level = level > 0.0 && level < 1.0;
        let ordered = lower.iter().zip(upper).all(|(low, high)| low <= high);
        if !(fits && is_level && ordered) {
            return None;
        }
        let rows = || lower.iter().zip(upper).zip(outcomes);
        let penalty = 2.0 / (1.0 - level);
        let score = |((low, high), outcome): ((&f64, &f64), &f64)| {
            let outside = (low - outcome).max(outcome - high).max(0.0);
            high - low + penalty * outside
        };
        let inside = |((low, high), outcome): ((&f64, &f64), &f64)| {
            f64::from(u8::from(low <= outcome && outcome <= high))
        };
        finite_mean(outcomes.iter().copied())?;
        Some(Self {
            coverage: finite_mean(rows().map(inside))?,
            mean_width: finite_mean(rows().map(|((low, high), _)| high - low))?,
            winkler_score: finite_mean(rows().map(score))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misses_cost_more_the_surer_the_interval_is() {
        let quality = |level, outcomes: &[f64]| {
            IntervalQuality::of(&IntervalForecasts {
                lower: &[0.0, 0.0, 0.0, 0.0],
                upper: &[1.0, 1.0, 1.0, 3.0],
                outcomes,
                level,
            })
        };
        let found = quality(0.5, &[0.0, 1.0, 2.0, -0.5]).unwrap();
        assert!((found.coverage - 0.5).abs() < 1e-12);
        assert!((found.mean_width - 1.5).abs() < 1e-12);
        assert!((found.winkler_score - (1.5 + 4.0 * 1.5 / 4.0)).abs() < 1e-12);
        let surer = quality(0.9, &[0.0, 1.0, 2.0, -0.5]).unwrap();
        assert!(surer.winkler_score > found.winkler_score);
        assert_eq!(quality(1.0, &[0.0; 4]), None);
        assert_eq!(quality(0.5, &[0.0; 3]), None);
        assert_eq!(quality(0.5, &[0.0, 0.0, f64::NAN, 0.0]), None);
    }
}
