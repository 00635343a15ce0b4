//! Where simulated curves lie: bands between percentiles around the median.

use fusebox_engine::eval::trading::FanPoint;

use super::super::format;
use super::axis::{Scale, extent, ticks, value_axis};
use super::canvas::{Area, Canvas};

/// Percentiles of simulated curves over their trades.
#[derive(Debug, Clone)]
pub(crate) struct FanChart<'a> {
    /// What the chart shows, for readers who do not see it.
    pub(crate) label: &'static str,
    /// The percentiles, ascending in trades.
    pub(crate) points: &'a [FanPoint],
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 280.0;
const PLOT: Area = Area {
    x: 64.0,
    y: 26.0,
    width: WIDTH - 76.0,
    height: HEIGHT - 74.0,
};

/// Positions of the percentiles around each band, the widest first: 1 to 99, 5 to 95, 25 to 75.
const BANDS: [(usize, usize, &str, &str); 3] = [
    (0, 6, "band outer", "1 to 99\u{a0}%"),
    (1, 5, "band middle", "5 to 95\u{a0}%"),
    (2, 4, "band inner", "25 to 75\u{a0}%"),
];
const MEDIAN: usize = 3;

impl FanChart<'_> {
    /// The picture; `None` where there is nothing to draw.
    pub(crate) fn draw(&self) -> Option<String> {
        let last = self.points.last()?.trade as f64;
        let percent = |growth: f64| (growth - 1.0) * 100.0;
        let values = self.points.iter().flat_map(|point| point.growth);
        let range = extent(values.map(percent))?;
        let x = Scale::new((0.0, last), (PLOT.x, PLOT.x + PLOT.width));
        let y = Scale::new(range, (PLOT.y + PLOT.height, PLOT.y));
        let mut canvas = Canvas::new(WIDTH, HEIGHT);
        let at = |point: &FanPoint, place: usize| {
            (x.at(point.trade as f64), y.at(percent(point.growth[place])))
        };
        for (number, (low, high, class, name)) in BANDS.into_iter().enumerate() {
            let there = self.points.iter().map(|point| at(point, high));
            let back = self.points.iter().rev().map(|point| at(point, low));
            canvas.area(class, there.chain(back));
            let left = PLOT.x + 130.0 * number as f64;
            let key = Area {
                x: left,
                y: 6.0,
                width: 18.0,
                height: 10.0,
            };
            canvas.rect(class, key, name);
            canvas.text("tick", (left + 24.0, 15.0), name);
        }
        value_axis(&mut canvas, PLOT, &y, "\u{a0}%");
        canvas.path(
            "stroke strategy",
            self.points.iter().map(|point| at(point, MEDIAN)),
        );
        let left = PLOT.x + 130.0 * BANDS.len() as f64;
        canvas.line("stroke strategy", (left, 11.0), (left + 18.0, 11.0));
        canvas.text("tick", (left + 24.0, 15.0), "median");
        for tick in ticks(0.0, last, 6) {
            let label = format::number(tick, 0).unwrap_or_default();
            canvas.text(
                "tick middle",
                (x.at(tick), PLOT.y + PLOT.height + 18.0),
                &label,
            );
        }
        let below = (PLOT.x + PLOT.width / 2.0, HEIGHT - 10.0);
        canvas.text(
            "tick middle",
            below,
            "trades so far; return since the start",
        );
        Some(canvas.finish(self.label))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_lie_around_the_median_and_nothing_is_no_picture() {
        let points = [0_usize, 10, 20].map(|trade| {
            let wide = trade as f64 / 100.0;
            let growth = [-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0].map(|step| 1.0 + wide * step);
            FanPoint { trade, growth }
        });
        let chart = FanChart {
            label: "test",
            points: &points,
        };
        let svg = chart.draw().unwrap();
        for class in ["band outer", "band middle", "band inner"] {
            assert_eq!(svg.matches(class).count(), 2, "{class}");
        }
        assert_eq!(svg.matches("Z\"/>").count(), 3);
        assert!(!svg.contains("NaN"));
        let empty = FanChart {
            label: "test",
            points: &[],
        };
        assert_eq!(empty.draw(), None);
    }
}
