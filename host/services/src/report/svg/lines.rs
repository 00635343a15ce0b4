//! Line charts over time: what print and readers without scripts see of the equity curves.

use super::axis::{Scale, day_axis, extent, value_axis};
use super::canvas::{Area, Canvas};

/// One line.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    /// Name in the legend.
    pub(crate) name: String,
    /// Class of its colour.
    pub(crate) class: &'static str,
    /// Values, aligned with the chart's times.
    pub(crate) values: Vec<f64>,
}

/// Lines over the same times.
#[derive(Debug, Clone)]
pub(crate) struct LineChart<'a> {
    /// What the chart shows, for readers who do not see it.
    pub(crate) label: &'a str,
    /// Height in picture units.
    pub(crate) height: f64,
    /// Unit after each number of the vertical axis.
    pub(crate) suffix: &'static str,
    /// Seconds since the epoch, ascending.
    pub(crate) seconds: Vec<i64>,
    /// Times of vertical marks, in seconds since the epoch.
    pub(crate) marks: Vec<i64>,
    /// The lines.
    pub(crate) lines: Vec<Line>,
}

const WIDTH: f64 = 1060.0;
/// Room for one line in the legend, and characters that fit into it.
const LEGEND: f64 = 150.0;
const LEGEND_CHARACTERS: usize = 18;

fn zip(seconds: &[i64], values: &[f64]) -> Vec<(i64, f64)> {
    seconds
        .iter()
        .copied()
        .zip(values.iter().copied())
        .collect()
}

fn shortened(name: &str) -> String {
    if name.chars().count() <= LEGEND_CHARACTERS {
        return name.to_owned();
    }
    let start: String = name.chars().take(LEGEND_CHARACTERS - 1).collect();
    format!("{start}\u{2026}")
}

impl LineChart<'_> {
    /// The picture; `None` where there is nothing to draw.
    pub(crate) fn draw(&self) -> Option<String> {
        let plot = Area {
            x: 84.0,
            y: 24.0,
            width: WIDTH - 94.0,
            height: self.height - 50.0,
        };
        let (first, last) = (*self.seconds.first()?, *self.seconds.last()?);
        let range = extent(
            self.lines
                .iter()
                .flat_map(|line| line.values.iter().copied()),
        )?;
        let x = Scale::new((first as f64, last as f64), (plot.x, plot.x + plot.width));
        let y = Scale::new(range, (plot.y + plot.height, plot.y));
        let mut canvas = Canvas::new(WIDTH, self.height);
        value_axis(&mut canvas, plot, &y, self.suffix);
        day_axis(&mut canvas, plot, &x, 6);
        for mark in self
            .marks
            .iter()
            .filter(|mark| (first..=last).contains(mark))
        {
            let at = x.at(*mark as f64);
            canvas.line("mark", (at, plot.y), (at, plot.y + plot.height));
        }
        for (position, line) in self.lines.iter().enumerate() {
            let points: Vec<(i64, f64)> = zip(&self.seconds, &line.values);
            // A value that is not defined is a gap, not a straight line over it.
            for stretch in points.split(|(_, value)| !value.is_finite()) {
                let points = stretch.iter();
                let points = points.map(|(at, value)| (x.at(*at as f64), y.at(*value)));
                canvas.path(&format!("stroke {}", line.class), points);
            }
            let legend = plot.x + LEGEND * position as f64;
            let class = format!("stroke {}", line.class);
            canvas.line(&class, (legend, 12.0), (legend + 18.0, 12.0));
            canvas.text("tick", (legend + 24.0, 16.0), &shortened(&line.name));
        }
        Some(canvas.finish(self.label))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_every_line_and_the_marks_inside_the_range() {
        let line = |name: &str, values| Line {
            name: name.to_owned(),
            class: "strategy",
            values,
        };
        let mut chart = LineChart {
            label: "equity",
            height: 300.0,
            suffix: "",
            seconds: vec![0, 86_400, 172_800],
            marks: vec![-5, 86_400, 999_999_999],
            lines: vec![
                line("a", vec![1.0, f64::NAN, 2.0]),
                line("b", vec![2.0, 2.0, 2.0]),
            ],
        };
        let svg = chart.draw().unwrap();
        // The gap cuts the first line in two.
        assert_eq!(svg.matches("<path").count(), 3);
        assert_eq!(svg.matches("class=\"mark\"").count(), 1);
        assert!(svg.contains("1970-01-03") && !svg.contains("NaN"));
        chart.seconds.clear();
        assert_eq!(chart.draw(), None);
    }
}
