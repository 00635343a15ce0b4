//! How large a position aims to be, as a part of equity, before any limit.
//!
//! `position_fraction` of the configuration is the most that any of them gives.

use serde::{Deserialize, Serialize};

use crate::problem::{Problem, Problems};
use crate::strategy::Direction;

/// How a position is sized.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Sizing {
    /// Always `position_fraction`.
    #[default]
    FixedFraction,
    /// As large as gives the position this volatility: `target / volatility`.
    VolatilityTarget {
        /// Volatility of a year that one position aims at, as a fraction, above 0 and at most 10.
        annual_volatility: f64,
        /// Span of the exponential average that estimates a symbol's volatility, in bars.
        span_bars: u32,
    },
    /// A part of Kelly's (1956) fraction for an even bet, `p - q`, where `p` is the probability of
    /// the side that is taken and `q` that of the other side, both of all moves that are not flat.
    Kelly {
        /// The part, above 0 and at most 1; a half or less forgives errors of the probabilities.
        part: f64,
    },
    /// So that all symbols carry the same risk: `position_fraction` times the harmonic mean of the
    /// volatilities over the symbol's own (inverse-volatility weights).
    EqualRisk {
        /// Span of the exponential average that estimates volatilities, in bars.
        span_bars: u32,
    },
}

/// What sizing depends on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SizingInput {
    /// The side to open.
    pub side: Direction,
    /// Probabilities of down, flat, up; `None` where no model was asked.
    pub probabilities: Option<[f32; 3]>,
    /// The symbol's volatility of one bar's log return; `None` before there is one.
    pub volatility: Option<f64>,
    /// Harmonic mean of the volatilities of all symbols; `None` before there is one.
    pub typical_volatility: Option<f64>,
    /// Bars of a year.
    pub bars_per_year: f64,
    /// The most.
    pub position_fraction: f64,
}

impl Sizing {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::FixedFraction
    }

    /// The span of the averages of volatility; `None` where there are none.
    #[must_use]
    pub fn span_bars(&self) -> Option<u32> {
        match *self {
            Self::FixedFraction | Self::Kelly { .. } => None,
            Self::VolatilityTarget { span_bars, .. } | Self::EqualRisk { span_bars } => {
                Some(span_bars)
            }
        }
    }

    /// Every problem of these settings.
    #[must_use]
    pub fn validate(&self) -> Vec<Problem> {
        let mut problems = Problems::default();
        match *self {
            Self::VolatilityTarget {
                annual_volatility, ..
            } => problems.above_zero("annual_volatility", annual_volatility, 10.0),
            Self::Kelly { part } => problems.above_zero("part", part, 1.0),
            Self::FixedFraction | Self::EqualRisk { .. } => {}
        }
        if let Some(span) = self.span_bars() {
            problems.require(
                (2..=100_000).contains(&span),
                "span_bars",
                format!("is {span}; it must lie between 2 and 100000"),
            );
        }
        problems.into_vec()
    }

    /// The part of equity that the position aims at, from 0 to `position_fraction`; `None` where
    /// what it depends on is not known yet.
    #[must_use]
    pub fn fraction(&self, input: &SizingInput) -> Option<f64> {
        let most = input.position_fraction;
        let volatility = || input.volatility.filter(|volatility| *volatility > 0.0);
        let wanted = match *self {
            Self::FixedFraction => most,
            Self::VolatilityTarget {
                annual_volatility, ..
            } => annual_volatility / (volatility()? * input.bars_per_year.sqrt()),
            Self::Kelly { part } => {
                let [down, _, up] = input.probabilities?.map(f64::from);
                let (side, other) = match input.side {
                    Direction::Short => (down, up),
                    Direction::Flat | Direction::Long => (up, down),
                };
                let moves = side + other;
                let edge = if moves > 0.0 {
                    (side - other) / moves
                } else {
                    0.0
                };
                part * edge
            }
            Self::EqualRisk { .. } => most * input.typical_volatility? / volatility()?,
        };
        wanted.is_finite().then(|| wanted.clamp(0.0, most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input() -> SizingInput {
        SizingInput {
            side: Direction::Long,
            probabilities: Some([0.2, 0.5, 0.3]),
            volatility: Some(0.01),
            typical_volatility: Some(0.005),
            bars_per_year: 8_760.0,
            position_fraction: 0.5,
        }
    }

    #[test]
    fn sizes_follow_their_formulas_and_stay_below_the_most() {
        let near = |sizing: Sizing, input: SizingInput, expected: f64| {
            let found = sizing.fraction(&input).unwrap();
            assert!((found - expected).abs() < 1e-7, "{sizing:?}: {found}");
        };
        near(Sizing::FixedFraction, input(), 0.5);
        let target = |annual_volatility| Sizing::VolatilityTarget {
            annual_volatility,
            span_bars: 50,
        };
        near(target(0.2), input(), 0.2 / (0.01 * 8_760.0_f64.sqrt()));
        near(target(5.0), input(), 0.5);
        near(Sizing::Kelly { part: 0.5 }, input(), 0.5 * 0.2);
        let short = SizingInput {
            side: Direction::Short,
            ..input()
        };
        near(Sizing::Kelly { part: 0.5 }, short, 0.0);
        near(Sizing::EqualRisk { span_bars: 50 }, input(), 0.25);
        let early = SizingInput {
            volatility: None,
            ..input()
        };
        assert_eq!(Sizing::EqualRisk { span_bars: 50 }.fraction(&early), None);
        assert_eq!(target(0.2).fraction(&early), None);
    }

    #[test]
    fn impossible_settings_are_named() {
        let keys = |sizing: Sizing| -> Vec<String> {
            sizing.validate().into_iter().map(|p| p.key).collect()
        };
        let wrong = Sizing::VolatilityTarget {
            annual_volatility: f64::NAN,
            span_bars: 1,
        };
        assert_eq!(keys(wrong), ["annual_volatility", "span_bars"]);
        assert_eq!(keys(Sizing::Kelly { part: 0.0 }), ["part"]);
        assert!(keys(Sizing::FixedFraction).is_empty());
    }
}
