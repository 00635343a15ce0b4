//! Points over a logarithmic horizontal axis, joined where they are neighbours.

use super::super::format;
use super::axis::{Scale, extent, value_axis};
use super::canvas::{Area, Canvas};

/// One point.
#[derive(Debug, Clone)]
pub(crate) struct Point {
    /// Place on the horizontal axis, above zero.
    pub(crate) x: f64,
    /// Height; an undefined point leaves a gap.
    pub(crate) y: Option<f64>,
    /// Text shown on hover.
    pub(crate) hint: String,
}

/// Points, ascending in `x`.
#[derive(Debug, Clone)]
pub(crate) struct PointChart {
    /// What the chart shows, for readers who do not see it.
    pub(crate) label: &'static str,
    /// Name of the horizontal axis.
    pub(crate) x_title: &'static str,
    /// Unit after each number of the vertical axis.
    pub(crate) suffix: &'static str,
    /// The points.
    pub(crate) points: Vec<Point>,
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 250.0;
const PLOT: Area = Area {
    x: 64.0,
    y: 12.0,
    width: WIDTH - 100.0,
    height: HEIGHT - 62.0,
};

impl PointChart {
    /// The picture; `None` where no point is defined.
    pub(crate) fn draw(&self) -> Option<String> {
        let values = self.points.iter().filter_map(|point| point.y);
        let (low, high) = extent(values)?;
        // Zero is where earning ends, so it is always in sight.
        let (low, high) = (low.min(0.0), high.max(0.0));
        let pad = (high - low) * 0.06;
        let y = Scale::new((low - pad, high + pad), (PLOT.y + PLOT.height, PLOT.y));
        let (first, last) = extent(self.points.iter().map(|point| point.x.log10()))?;
        let x = Scale::new((first, last), (PLOT.x + 24.0, PLOT.x + PLOT.width - 24.0));
        let mut canvas = Canvas::new(WIDTH, HEIGHT);
        value_axis(&mut canvas, PLOT, &y, self.suffix);
        let at = |point: &Point| Some((x.at(point.x.log10()), y.at(point.y?)));
        for stretch in self.points.split(|point| point.y.is_none()) {
            canvas.path("stroke strategy", stretch.iter().filter_map(at));
        }
        for point in &self.points {
            if let Some(place) = at(point) {
                canvas.circle("dot", place, 3.5, &point.hint);
            }
            let below = (x.at(point.x.log10()), PLOT.y + PLOT.height + 18.0);
            canvas.text("tick middle", below, &short(point.x));
        }
        let below = (PLOT.x + PLOT.width / 2.0, HEIGHT - 10.0);
        canvas.text("tick middle", below, self.x_title);
        Some(canvas.finish(self.label))
    }
}

/// An amount in thousands, millions or billions.
fn short(amount: f64) -> String {
    let (scaled, unit) = match amount {
        amount if amount >= 1e9 => (amount / 1e9, "b"),
        amount if amount >= 1e6 => (amount / 1e6, "m"),
        amount if amount >= 1e3 => (amount / 1e3, "k"),
        amount => (amount, ""),
    };
    let decimals = usize::from(scaled.fract().abs() > 0.05);
    let text = format::number(scaled, decimals).unwrap_or_default();
    format!("{text}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_undefined_point_leaves_a_gap_and_keeps_its_place() {
        let point = |x, y| Point {
            x,
            y,
            hint: "<hint>".to_owned(),
        };
        let mut chart = PointChart {
            label: "test",
            x_title: "x",
            suffix: "",
            points: vec![
                point(1e3, Some(1.0)),
                point(1e4, None),
                point(1e5, Some(-1.0)),
                point(1e6, Some(0.5)),
            ],
        };
        let svg = chart.draw().unwrap();
        assert_eq!(svg.matches("<circle").count(), 3);
        assert_eq!(svg.matches("<path").count(), 2);
        assert!(svg.contains(">10k<") && svg.contains(">1m<") && svg.contains("&lt;hint&gt;"));
        chart.points = vec![point(1.0, None)];
        assert_eq!(chart.draw(), None);
    }

    #[test]
    fn amounts_are_short() {
        let texts = [500.0, 10_000.0, 2_500_000.0, 1e10].map(short);
        assert_eq!(texts, ["500", "10k", "2.5m", "10b"]);
    }
}
