//! When a fit stops, and which round it keeps.
//!
//! The rule of LightGBM's Python callback with its defaults: one metric, no minimal improvement;
//! the first round counts as best whatever its value; a fit that runs to its last round keeps the
//! best round too. A round whose metric is not defined is no better than any other, and stops
//! nothing before the first one that is.

use serde::{Deserialize, Serialize};

/// The state of the rule; part of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct EarlyStopping {
    patience: u32,
    best: Option<Best>,
    /// Whether the larger value is the better one.
    #[serde(default)]
    larger_is_better: bool,
}

/// The best round so far.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Best {
    /// Position of the round, the first being 0.
    pub(crate) round: u32,
    /// The metric after it, exact in a checkpoint whatever its value.
    #[serde(with = "bits")]
    pub(crate) value: f64,
}

/// JSON has neither NaN nor infinity, and a resumed fit must compare with the very same number.
mod bits {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &f64, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(value.to_bits())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
        u64::deserialize(from).map(f64::from_bits)
    }
}

impl EarlyStopping {
    /// A rule that waits `patience` rounds for something better.
    pub(crate) fn new(patience: u32, larger_is_better: bool) -> Self {
        Self {
            patience,
            best: None,
            larger_is_better,
        }
    }

    /// Takes in the metric after round `round`; `true` where the fit should stop.
    pub(crate) fn observe(&mut self, round: u32, value: Option<f64>) -> bool {
        if let Some(value) = value {
            let is_better = |best: Best| match self.larger_is_better {
                true => value > best.value,
                false => value < best.value,
            };
            if self.best.is_none_or(is_better) {
                self.best = Some(Best { round, value });
            }
        }
        self.best
            .is_some_and(|best| round - best.round >= self.patience)
    }

    /// The best round so far.
    pub(crate) fn best(&self) -> Option<Best> {
        self.best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stops_at(patience: u32, values: &[f64]) -> (Option<u32>, u32) {
        let mut rule = EarlyStopping::new(patience, false);
        let stopped = (0u32..)
            .zip(values)
            .find(|(round, value)| rule.observe(*round, Some(**value)));
        (stopped.map(|(round, _)| round), rule.best().unwrap().round)
    }

    #[test]
    fn stops_after_patience_rounds_without_a_smaller_value() {
        assert_eq!(stops_at(2, &[3.0, 2.0, 2.0, 2.0, 1.0]), (Some(3), 1));
        assert_eq!(stops_at(3, &[3.0, 2.0, 2.0, 2.0, 1.0]), (None, 4));
    }

    #[test]
    fn a_first_value_that_is_not_a_number_stays_best_as_in_python() {
        assert_eq!(stops_at(2, &[f64::NAN, 1.0, 0.5]), (Some(2), 0));
        assert_eq!(stops_at(2, &[f64::INFINITY, 1.0, 0.5]), (None, 2));
    }

    #[test]
    fn a_coefficient_is_better_when_larger_and_undefined_rounds_only_cost_patience() {
        let mut rule = EarlyStopping::new(2, true);
        let values = [
            None,
            None,
            None,
            Some(0.1),
            None,
            Some(0.3),
            Some(0.2),
            None,
        ];
        let stopped = (0u32..)
            .zip(values)
            .find(|(round, value)| rule.observe(*round, *value));
        assert_eq!(stopped, Some((7, None)));
        assert_eq!(rule.best().map(|best| best.round), Some(5));
    }

    #[test]
    fn the_state_survives_json_bit_by_bit() {
        for value in [0.1 + 0.2, f64::INFINITY, -0.0] {
            let mut rule = EarlyStopping::new(3, true);
            rule.observe(4, Some(value));
            let text = serde_json::to_string(&rule).unwrap();
            assert_eq!(serde_json::from_str::<EarlyStopping>(&text).unwrap(), rule);
        }
    }
}
