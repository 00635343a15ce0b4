//! Thresholds with hysteresis on a classifier's score.
//!
//! The score is the probability of up minus that of down. A position is opened where the score
//! reaches the entry threshold and kept until it falls below the exit threshold, so that a score
//! that trembles around one level does not pay fees at every bar.

use super::{Direction, Holding, Signal, Strategy, StrategyConfig};
use crate::fusion::Fused;

/// The strategy; see the head of the file.
#[derive(Debug, Clone)]
pub struct MlSignal {
    config: StrategyConfig,
}

impl MlSignal {
    /// From settings without [problems](StrategyConfig::validate).
    #[must_use]
    pub fn new(config: StrategyConfig) -> Self {
        Self { config }
    }

    /// The side that `score` opens by itself.
    fn entry(&self, score: f64, confidence: f64) -> Direction {
        let confident = self
            .config
            .minimum_confidence
            .is_none_or(|minimum| confidence >= minimum);
        if confident && score >= self.config.entry_threshold {
            return Direction::Long;
        }
        if confident && self.config.allow_short && score <= -self.config.entry_threshold {
            return Direction::Short;
        }
        Direction::Flat
    }
}

impl Strategy for MlSignal {
    fn decide(&self, prediction: &Fused, holding: Holding) -> Signal {
        let [down, flat, up] = prediction.probabilities.map(f64::from);
        let score = up - down;
        let entry = self.entry(score, down.max(flat).max(up));
        let on_its_side = match holding.direction {
            Direction::Long => score,
            Direction::Short => -score,
            Direction::Flat => f64::NEG_INFINITY,
        };
        let held = holding.direction != Direction::Flat;
        let too_early = held && holding.bars < self.config.minimum_holding_bars;
        let keep = too_early || on_its_side >= self.config.exit_threshold;
        // An entry on the other side wins over keeping, except before the minimum holding time.
        let target = match entry {
            Direction::Flat if keep => holding.direction,
            _ if too_early => holding.direction,
            entry => entry,
        };
        Signal {
            target,
            score: score as f32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fusion::ModelRef;
    use Direction::{Flat, Long, Short};

    fn target(config: &StrategyConfig, score: f32, held: Direction, bars: u32) -> Direction {
        let rest = (1.0 - score.abs()) / 2.0;
        let prediction = Fused {
            probabilities: [rest + (-score).max(0.0), 0.0, rest + score.max(0.0)],
            model: ModelRef(0),
        };
        let holding = Holding {
            direction: held,
            bars,
        };
        let signal = MlSignal::new(config.clone()).decide(&prediction, holding);
        assert!((signal.score - score).abs() < 1e-6);
        signal.target
    }

    fn config() -> StrategyConfig {
        StrategyConfig {
            entry_threshold: 0.25,
            exit_threshold: 0.125,
            minimum_holding_bars: 2,
            minimum_confidence: None,
            allow_short: true,
            fail_safe: crate::strategy::FailSafe::Flatten,
            entry: crate::strategy::EntryOrder::Market,
            protection: crate::strategy::Protection::default(),
        }
    }

    #[test]
    fn positions_are_kept_between_the_thresholds() {
        let cases = [
            (0.5, Flat, Long),
            (0.1875, Flat, Flat),
            (0.1875, Long, Long),
            (0.0625, Long, Flat),
            (-0.5, Long, Short),
            (-0.5, Flat, Short),
            (-0.1875, Short, Short),
            (-0.0625, Short, Flat),
            (0.5, Short, Long),
        ];
        for (score, held, wanted) in cases {
            assert_eq!(
                target(&config(), score, held, 2),
                wanted,
                "{score} {held:?}"
            );
        }
    }

    #[test]
    fn positions_are_kept_for_the_minimum_time() {
        assert_eq!(target(&config(), -0.5, Long, 1), Long);
        assert_eq!(target(&config(), 0.5, Short, 1), Short);
        assert_eq!(target(&config(), 0.0, Long, 1), Long);
        assert_eq!(target(&config(), 0.0, Long, 2), Flat);
    }

    #[test]
    fn shorts_need_permission_and_entries_need_confidence() {
        let long_only = StrategyConfig {
            allow_short: false,
            ..config()
        };
        assert_eq!(target(&long_only, -0.5, Flat, 0), Flat);
        assert_eq!(target(&long_only, -0.5, Long, 9), Flat);
        let confident = StrategyConfig {
            minimum_confidence: Some(0.8),
            ..config()
        };
        assert_eq!(target(&confident, 0.5, Flat, 0), Flat);
        assert_eq!(target(&confident, 0.75, Flat, 0), Long);
        assert_eq!(target(&confident, 0.0, Long, 9), Flat);
    }
}
