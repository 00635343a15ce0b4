//! Linear scales, round ticks, and the frame that charts share.

use fusebox_engine::types::Timestamp;

use super::super::format;
use super::canvas::{Area, Canvas};

/// Maps a range of values to a range of picture units.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    pub(super) low: f64,
    pub(super) high: f64,
    start: f64,
    end: f64,
}

impl Scale {
    /// A range without length is widened so that the mapping stays defined.
    pub(super) fn new((low, high): (f64, f64), (start, end): (f64, f64)) -> Self {
        let pad = if high > low {
            0.0
        } else {
            (low.abs() * 0.1).max(1e-9)
        };
        Self {
            low: low - pad,
            high: high + pad,
            start,
            end,
        }
    }

    pub(super) fn at(&self, value: f64) -> f64 {
        self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)
    }
}

/// Smallest and largest finite value; `None` where there is none.
pub(super) fn extent(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values
        .filter(|value| value.is_finite())
        .fold(None, |range, value| {
            let (low, high) = range.unwrap_or((value, value));
            Some((value.min(low), value.max(high)))
        })
}

/// A round step that cuts `span` into about `target` parts, and the decimals it needs.
pub(super) fn round_step(span: f64, target: usize) -> (f64, usize) {
    let raw = span / target.max(1) as f64;
    if !(raw.is_finite() && raw > 0.0) {
        return (1.0, 0);
    }
    let power = raw.log10().floor();
    let unit = 10f64.powf(power);
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * unit);
    let step = step
        .into_iter()
        .find(|step| *step >= raw * 0.999)
        .unwrap_or(unit * 10.0);
    let decimals = (-step.log10().floor()).clamp(0.0, 8.0) as usize;
    (step, decimals)
}

/// Multiples of a round step inside the range.
pub(super) fn ticks(low: f64, high: f64, target: usize) -> Vec<f64> {
    let (step, _) = round_step(high - low, target);
    let first = (low / step - 1e-9).ceil();
    let count = ((high - first * step) / step + 1e-9)
        .floor()
        .clamp(0.0, 100.0) as usize;
    (0..=count)
        .map(|position| (first + position as f64) * step)
        .collect()
}

/// Draws horizontal grid lines with labels left of `plot`; values carry `suffix`.
pub(super) fn value_axis(canvas: &mut Canvas, plot: Area, scale: &Scale, suffix: &str) {
    let (_, decimals) = round_step(scale.high - scale.low, 5);
    for tick in ticks(scale.low, scale.high, 5) {
        let y = scale.at(tick);
        let zero = if tick == 0.0 { "axis" } else { "grid" };
        canvas.line(zero, (plot.x, y), (plot.x + plot.width, y));
        let label = format::number(tick, decimals).unwrap_or_default();
        canvas.text(
            "tick end",
            (plot.x - 6.0, y + 4.0),
            &format!("{label}{suffix}"),
        );
    }
}

/// Draws up to `target` labels of days under `plot`; `scale` maps seconds since the epoch.
pub(super) fn day_axis(canvas: &mut Canvas, plot: Area, scale: &Scale, target: usize) {
    let step = (scale.high - scale.low) / target.max(1) as f64;
    for position in 0..=target {
        let seconds = scale.low + step * position as f64;
        let at = Timestamp::from_nanos((seconds * 1e9) as i64);
        let class = match position {
            0 => "tick",
            last if last == target => "tick end",
            _ => "tick middle",
        };
        let bottom = plot.y + plot.height + 16.0;
        canvas.text(class, (scale.at(seconds), bottom), &format::day(at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(ticks(0.0, 10.0, 5), vec![0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(ticks(-1.3, 2.2, 5), vec![-1.0, 0.0, 1.0, 2.0]);
        assert_eq!(round_step(0.0123, 5), (0.005, 3));
        assert_eq!(round_step(12_000.0, 5), (5_000.0, 0));
        assert_eq!(round_step(0.0, 5), (1.0, 0));
    }

    #[test]
    fn a_flat_range_still_maps() {
        let scale = Scale::new((3.0, 3.0), (0.0, 100.0));
        assert!((scale.at(3.0) - 50.0).abs() < 1e-6);
        assert!(Scale::new((0.0, 0.0), (0.0, 1.0)).at(0.0).is_finite());
    }

    #[test]
    fn extent_ignores_what_is_not_finite() {
        let values = [f64::NAN, 2.0, f64::INFINITY, -1.0];
        assert_eq!(extent(values.into_iter()), Some((-1.0, 2.0)));
        assert_eq!(extent([f64::NAN].into_iter()), None);
    }
}
