//! Trend-scanning labels (M. Lopez de Prado, Machine Learning for Asset Managers, 5.4).

use super::{Direction, LabelInput, LabelOutcome, LabelReason, Labeler, Trend};

/// The direction of the clearest trend after a bar: a line is fitted to the log closes from the
/// entry over every number of bars from `min_bars` to `max_bars`, and the one whose slope has the
/// largest absolute t-value wins.
///
/// Which trend wins is known only when the longest one has been seen, so the label ends there,
/// although its return is the one to the end of the trend. (The book and its implementations state
/// the end of the trend instead; purging by that lets later bars into the training rows.)
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrendScanning {
    /// Fewest bars after the entry that are a trend; at least 2.
    pub min_bars: usize,
    /// Most bars after the entry.
    pub max_bars: usize,
    /// Absolute t-value below which the class is flat.
    pub min_t_value: f64,
}

impl Labeler for TrendScanning {
    fn horizon_bars(&self) -> usize {
        self.max_bars
    }

    fn outcome(&self, input: LabelInput<'_>) -> Option<LabelOutcome> {
        let decided_by = self.max_bars.checked_sub(1)?;
        let path = input.path.get(..self.max_bars)?;
        let mut line = Line::default();
        let mut best: Option<(Trend, f64)> = None;
        line.push(0.0);
        for (bars, bar) in (1..).zip(path) {
            let log_return = (bar.close / input.entry_price).ln();
            line.push(log_return);
            if bars < self.min_bars.max(2) {
                continue;
            }
            let Some(t_value) = line.t_value() else {
                continue;
            };
            if best.is_none_or(|(trend, _)| t_value.abs() > trend.t_value.abs()) {
                best = Some((Trend { t_value, bars }, log_return));
            }
        }
        let (trend, log_return) = best?;
        let is_clear = trend.t_value.abs() >= self.min_t_value;
        Some(LabelOutcome {
            class: match trend.t_value {
                t if is_clear && t > 0.0 => Direction::Up,
                t if is_clear && t < 0.0 => Direction::Down,
                _ => Direction::Flat,
            },
            decided_by,
            log_return,
            reason: LabelReason::Vertical,
            trend: Some(trend),
        })
    }
}

/// Sums of an ordinary least squares line over x = 0, 1, 2, ...; values begin at 0, so that the
/// sums lose no digits to a large level.
#[derive(Debug, Clone, Copy, Default)]
struct Line {
    count: f64,
    sum_y: f64,
    sum_xy: f64,
    sum_yy: f64,
}

impl Line {
    fn push(&mut self, y: f64) {
        self.sum_xy += self.count * y;
        self.sum_y += y;
        self.sum_yy += y * y;
        self.count += 1.0;
    }

    /// The slope over its standard error; `None` with fewer than three points or where nothing
    /// moves. Points on a line have an infinite one, with the slope's sign.
    fn t_value(&self) -> Option<f64> {
        let n = self.count;
        if n < 3.0 {
            return None;
        }
        // Of x = 0..n: mean (n - 1) / 2, sum of squared deviations n (n^2 - 1) / 12.
        let spread_x = n * (n * n - 1.0) / 12.0;
        let covariance = self.sum_xy - self.sum_y * (n - 1.0) / 2.0;
        let spread_y = self.sum_yy - self.sum_y * self.sum_y / n;
        let slope = covariance / spread_x;
        let residual = (spread_y - slope * covariance).max(0.0);
        // Rounding leaves about this much of a residual that is nothing.
        let nothing = 1e-14 * self.sum_yy;
        if slope.abs() * spread_x.sqrt() <= nothing.sqrt() && residual <= nothing {
            return None;
        }
        if residual <= nothing {
            return Some(slope.signum() * f64::INFINITY);
        }
        Some(slope / (residual / (n - 2.0) / spread_x).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(values: impl IntoIterator<Item = f64>) -> Line {
        let mut line = Line::default();
        values.into_iter().for_each(|y| line.push(y));
        line
    }

    #[test]
    fn t_value_worked_example() {
        // y = 0, 1, 3, 4: slope 1.4, residuals 0.1, -0.3, 0.3, -0.1, s^2 = 0.2 / 2, Sxx = 5.
        let t = line([0.0, 1.0, 3.0, 4.0]).t_value().unwrap();
        assert!((t - 1.4 / (0.1_f64 / 5.0).sqrt()).abs() < 1e-12, "{t}");
    }

    #[test]
    fn a_constant_has_none_and_an_exact_line_an_infinite_one() {
        assert_eq!(line([0.0; 5]).t_value(), None);
        assert_eq!(line([0.0, 0.1]).t_value(), None);
        let falling = line((0..30).map(|x| -0.01 * f64::from(x))).t_value();
        assert_eq!(falling, Some(f64::NEG_INFINITY));
    }
}
