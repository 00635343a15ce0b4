//! Vertical bars around zero with whiskers, and the one-line bar of the importance table.

use super::axis::{Scale, extent, value_axis};
use super::canvas::{Area, Canvas};

/// One bar.
#[derive(Debug, Clone)]
pub(crate) struct Bar {
    /// Text below the axis.
    pub(crate) label: String,
    /// Height; an undefined bar leaves its place empty.
    pub(crate) value: Option<f64>,
    /// Ends of the whisker.
    pub(crate) whisker: Option<(f64, f64)>,
    /// Text shown on hover.
    pub(crate) hint: String,
}

/// A bar chart.
#[derive(Debug, Clone)]
pub(crate) struct BarChart {
    /// What the chart shows, for readers who do not see it.
    pub(crate) label: String,
    /// Name of the horizontal axis.
    pub(crate) x_title: String,
    /// Unit after each number of the vertical axis.
    pub(crate) suffix: &'static str,
    /// Whether the sign is coloured (gain and loss).
    pub(crate) signed: bool,
    /// The bars, left to right.
    pub(crate) bars: Vec<Bar>,
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 250.0;
const PLOT: Area = Area {
    x: 64.0,
    y: 12.0,
    width: WIDTH - 76.0,
    height: HEIGHT - 62.0,
};
/// Labels below the axis that fit side by side.
const LABELS: usize = 14;

impl BarChart {
    /// The picture; `None` where no bar has a value.
    pub(crate) fn draw(&self) -> Option<String> {
        let values = self
            .bars
            .iter()
            .filter(|bar| bar.value.is_some())
            .flat_map(|bar| {
                let (low, high) = bar.whisker.unwrap_or((f64::NAN, f64::NAN));
                [bar.value.unwrap_or(f64::NAN), low, high]
            });
        let (low, high) = extent(values)?;
        let (low, high) = (low.min(0.0), high.max(0.0));
        let pad = (high - low) * 0.06;
        let range = (
            if low < 0.0 { low - pad } else { 0.0 },
            if high > 0.0 { high + pad } else { 0.0 },
        );
        let scale = Scale::new(range, (PLOT.y + PLOT.height, PLOT.y));
        let mut canvas = Canvas::new(WIDTH, HEIGHT);
        value_axis(&mut canvas, PLOT, &scale, self.suffix);
        for position in 0..self.bars.len() {
            self.draw_bar(&mut canvas, &scale, position);
        }
        canvas.line(
            "axis",
            (PLOT.x, scale.at(0.0)),
            (PLOT.x + PLOT.width, scale.at(0.0)),
        );
        let below = (PLOT.x + PLOT.width / 2.0, HEIGHT - 10.0);
        canvas.text("tick middle", below, &self.x_title);
        Some(canvas.finish(&self.label))
    }

    fn draw_bar(&self, canvas: &mut Canvas, scale: &Scale, position: usize) {
        let bar = &self.bars[position];
        let slot = PLOT.width / self.bars.len() as f64;
        let middle = PLOT.x + slot * (position as f64 + 0.5);
        if position.is_multiple_of(self.bars.len().div_ceil(LABELS)) {
            canvas.text(
                "tick middle",
                (middle, PLOT.y + PLOT.height + 18.0),
                &bar.label,
            );
        }
        let Some(value) = bar.value.filter(|value| value.is_finite()) else {
            return;
        };
        let class = match (self.signed, value < 0.0) {
            (true, true) => "bar loss",
            (true, false) => "bar gain",
            (false, _) => "bar",
        };
        let (zero, top) = (scale.at(0.0), scale.at(value));
        let width = (slot * 0.68).min(64.0);
        let area = Area {
            x: middle - width / 2.0,
            y: zero.min(top),
            width,
            height: (zero - top).abs().max(0.5),
        };
        canvas.rect(class, area, &bar.hint);
        if let Some((low, high)) = bar.whisker.filter(|(low, high)| (high - low).is_finite()) {
            let (bottom, top) = (scale.at(low), scale.at(high));
            canvas.line("whisker", (middle, bottom), (middle, top));
            for y in [bottom, top] {
                canvas.line("whisker", (middle - 4.0, y), (middle + 4.0, y));
            }
        }
    }
}

/// A horizontal bar of `value` with a whisker from `low` to `high`, all on a scale to `most`.
pub(crate) fn range_bar(value: f64, (low, high): (f64, f64), most: f64) -> String {
    let scale = Scale::new((0.0, most), (0.0, 200.0));
    let mut canvas = Canvas::new(204.0, 14.0);
    let area = Area {
        x: 0.0,
        y: 2.0,
        width: scale.at(value),
        height: 10.0,
    };
    canvas.rect("bar", area, "");
    canvas.line("whisker", (scale.at(low), 7.0), (scale.at(high), 7.0));
    for x in [low, high].map(|value| scale.at(value)) {
        canvas.line("whisker", (x, 4.0), (x, 10.0));
    }
    canvas.finish("mean and range over the folds")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(values: &[Option<f64>]) -> BarChart {
        let bars = values.iter().map(|value| Bar {
            label: "<b>".to_owned(),
            value: *value,
            whisker: value.map(|value| (value - 1.0, value + 1.0)),
            hint: "\"hint\" & more".to_owned(),
        });
        BarChart {
            label: "test".to_owned(),
            x_title: "x".to_owned(),
            suffix: "",
            signed: true,
            bars: bars.collect(),
        }
    }

    #[test]
    fn negative_bars_hang_from_zero() {
        let svg = chart(&[Some(2.0), Some(-2.0), None]).draw().unwrap();
        assert_eq!(svg.matches("bar gain").count(), 1);
        assert_eq!(svg.matches("bar loss").count(), 1);
        assert_eq!(svg.matches("class=\"whisker\"").count(), 6);
        assert!(svg.contains("&lt;b&gt;") && svg.contains("&quot;hint&quot; &amp; more"));
        assert!(!svg.contains("NaN"));
    }

    #[test]
    fn a_chart_without_values_is_absent() {
        assert_eq!(chart(&[None, None]).draw(), None);
        assert_eq!(chart(&[]).draw(), None);
        assert_eq!(chart(&[Some(f64::NAN)]).draw(), None);
    }
}
