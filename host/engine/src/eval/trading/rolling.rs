//! The Sharpe ratio of a window that moves along.

/// Annualised Sharpe ratio of the last `window` returns at each point of a curve: mean over sample
/// standard deviation, times the root of the steps per year, risk-free rate 0.
///
/// `None` for the first `window` points, where the curve is not above zero anywhere in the window,
/// where the returns in it do not vary, and everywhere for a window of fewer than two.
#[must_use]
pub fn rolling_sharpe(equity: &[f64], window: usize, steps_per_year: f64) -> Vec<Option<f64>> {
    let sums = Sums::of(equity);
    let at = |end: usize| {
        let start = end.checked_sub(window).filter(|_| window > 1)?;
        sums.sharpe(start, end)
    };
    let annual = steps_per_year.sqrt();
    (0..equity.len())
        .map(|end| at(end).map(|sharpe| sharpe * annual))
        .collect()
}

/// Sums over the first returns, so that those of any window are one subtraction. They are kept to
/// twice the digits of a float: what a window leaves of long sums must still have digits.
struct Sums {
    returns: Vec<Double>,
    squares: Vec<Double>,
    /// Returns that are not defined, and returns that differ from the one before.
    broken: Vec<usize>,
    changes: Vec<usize>,
}

impl Sums {
    fn of(equity: &[f64]) -> Self {
        let mut sums = Self {
            returns: vec![Double::default()],
            squares: vec![Double::default()],
            broken: vec![0],
            changes: vec![0],
        };
        let (mut sum, mut squares) = (Double::default(), Double::default());
        let (mut broken, mut changes) = (0, 0);
        let mut before = f64::NAN;
        for pair in equity.windows(2) {
            let is_fine = pair.iter().all(|value| *value > 0.0 && value.is_finite());
            let change = if is_fine {
                pair[1] / pair[0] - 1.0
            } else {
                0.0
            };
            broken += usize::from(!is_fine);
            changes += usize::from(change.total_cmp(&before).is_ne());
            sum = sum.plus(change);
            squares = squares.plus(change * change);
            before = change;
            sums.returns.push(sum);
            sums.squares.push(squares);
            sums.broken.push(broken);
            sums.changes.push(changes);
        }
        sums
    }

    /// Sharpe ratio per step of the returns from position `start` to before `end`.
    fn sharpe(&self, start: usize, end: usize) -> Option<f64> {
        let count = (end - start) as f64;
        let changed = self.changes.get(end)? - self.changes.get(start + 1)?;
        if self.broken.get(end)? != self.broken.get(start)? || changed == 0 {
            return None;
        }
        let sum = self.returns.get(end)?.minus(*self.returns.get(start)?);
        let squares = self.squares.get(end)?.minus(*self.squares.get(start)?);
        let variance = (squares - sum * sum / count) / (count - 1.0);
        (variance > 0.0).then(|| sum / count / variance.sqrt())
    }
}

/// A number as the sum of two floats (D. Knuth 1969, volume 2, section 4.2.2).
#[derive(Debug, Clone, Copy, Default)]
struct Double {
    high: f64,
    low: f64,
}

impl Double {
    fn plus(self, value: f64) -> Self {
        let (sum, lost) = two_sum(self.high, value);
        let (high, low) = two_sum(sum, self.low + lost);
        Self { high, low }
    }

    fn minus(self, other: Self) -> f64 {
        (self.high - other.high) + (self.low - other.low)
    }
}

/// The rounded sum, and what rounding lost.
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let of_b = sum - a;
    (sum, (a - (sum - of_b)) + (b - of_b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::trading::{deviation, mean, returns_of};

    #[test]
    fn each_window_has_the_ratio_of_its_own_returns() {
        let equity: Vec<f64> = (0..400)
            .map(|at| 1e5 * (1.0 + 0.1 * (f64::from(at) * 0.7).sin()) + f64::from(at * at % 13))
            .collect();
        let found = rolling_sharpe(&equity, 24, 8760.0);
        assert_eq!(found.iter().position(Option::is_some), Some(24));
        for end in 24..equity.len() {
            let returns = returns_of(&equity[end - 24..=end]).unwrap();
            let direct = mean(&returns).unwrap() / deviation(&returns, 1).unwrap();
            let direct = direct * 8760_f64.sqrt();
            let got = found[end].unwrap();
            assert!((got - direct).abs() < 1e-9 * (1.0 + direct.abs()), "{end}");
        }
    }

    #[test]
    fn small_returns_after_large_ones_keep_their_digits() {
        let mut equity = vec![1.0];
        for step in 0..2_000_u32 {
            let change = if step < 1_000 {
                0.3
            } else {
                1e-9 * f64::from(step % 3)
            };
            let sign = if step % 2 == 0 { 1.0 } else { -1.0 };
            equity.push(equity[step as usize] * (1.0 + sign * change));
        }
        let found = rolling_sharpe(&equity, 30, 1.0);
        let returns = returns_of(&equity[1_970..=2_000]).unwrap();
        let direct = mean(&returns).unwrap() / deviation(&returns, 1).unwrap();
        let got = found[2_000].unwrap();
        assert!((got - direct).abs() < 1e-6, "{got} {direct}");
    }

    #[test]
    fn what_is_not_defined_is_a_gap() {
        let flat = rolling_sharpe(&[1.0; 10], 3, 1.0);
        assert_eq!(flat, vec![None; 10]);
        let steady: Vec<f64> = (0..10).map(|at| 2_f64.powi(at)).collect();
        assert_eq!(rolling_sharpe(&steady, 3, 1.0), vec![None; 10]);
        let gone = [1.0, 2.0, 1.0, 0.0, 0.0, 1.0, 2.0, 1.0, 2.5];
        let found = rolling_sharpe(&gone, 2, 1.0);
        let there: Vec<usize> = (0..9).filter(|at| found[*at].is_some()).collect();
        assert_eq!(there, [2, 7, 8]);
        assert_eq!(rolling_sharpe(&[1.0, 2.0, 1.0], 1, 1.0), vec![None; 3]);
        assert!(rolling_sharpe(&[], 5, 1.0).is_empty());
    }
}
