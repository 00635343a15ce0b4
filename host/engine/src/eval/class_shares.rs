//! Log loss of predicting nothing but how often each class came before.

use crate::labels::Direction;

/// Mean negative log likelihood in nats of always predicting the class shares of the training
/// samples; each entry is a label and the shares that its model had seen. `None` without samples.
#[must_use]
pub fn class_share_log_loss(samples: &[(Direction, [f64; 3])]) -> Option<f64> {
    let loss = |(label, shares): &(Direction, [f64; 3])| {
        -shares[label.index()].clamp(f64::EPSILON, 1.0).ln()
    };
    let sum: f64 = samples.iter().map(loss).sum();
    (!samples.is_empty()).then(|| sum / samples.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_shares_cost_the_logarithm_of_the_number_of_classes() {
        let third = [1.0 / 3.0; 3];
        let loss = class_share_log_loss(&[(Direction::Up, third), (Direction::Down, third)]);
        assert!((loss.unwrap() - 3f64.ln()).abs() < 1e-12);
        assert_eq!(class_share_log_loss(&[]), None);
    }
}
