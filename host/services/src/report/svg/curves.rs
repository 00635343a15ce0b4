//! Lines over a number of steps, such as a metric after each boosting round, with the step that was
//! kept marked on each.

use super::super::format;
use super::axis::{Scale, extent, round_step, ticks, value_axis};
use super::canvas::{Area, Canvas};

/// One line.
#[derive(Debug, Clone)]
pub(crate) struct Curve {
    /// Name in the legend; empty for a line that needs none.
    pub(crate) name: String,
    /// Classes of its stroke.
    pub(crate) class: String,
    /// Points, ascending in the first number; one without a value is a gap.
    pub(crate) points: Vec<(f64, Option<f64>)>,
    /// Step that is marked.
    pub(crate) mark: Option<f64>,
}

/// Lines over the same kind of steps.
#[derive(Debug, Clone)]
pub(crate) struct CurveChart {
    /// What the chart shows, for readers who do not see it.
    pub(crate) label: String,
    /// Name of the horizontal axis.
    pub(crate) x_title: &'static str,
    /// The lines.
    pub(crate) curves: Vec<Curve>,
}

const WIDTH: f64 = 640.0;
const LEGEND_LINE: f64 = 18.0;
const LEGEND_COLUMNS: usize = 6;
const PLOT_HEIGHT: f64 = 220.0;
const MOST_POINTS: usize = 400;

impl CurveChart {
    /// The picture; `None` where no point has a value.
    pub(crate) fn draw(&self) -> Option<String> {
        let named = self.curves.iter().filter(|curve| !curve.name.is_empty());
        let legend_lines = named.clone().count().div_ceil(LEGEND_COLUMNS);
        let top = 8.0 + LEGEND_LINE * legend_lines as f64;
        let plot = Area {
            x: 72.0,
            y: top,
            width: WIDTH - 84.0,
            height: PLOT_HEIGHT,
        };
        let height = top + PLOT_HEIGHT + 46.0;
        let points = self.curves.iter().flat_map(|curve| &curve.points);
        let (low, high) = extent(points.clone().filter_map(|(_, value)| *value))?;
        let (first, last) = extent(points.map(|(step, _)| *step))?;
        let pad = (high - low) * 0.05;
        let y = Scale::new((low - pad, high + pad), (plot.y + plot.height, plot.y));
        let x = Scale::new((first, last), (plot.x, plot.x + plot.width));
        let mut canvas = Canvas::new(WIDTH, height);
        value_axis(&mut canvas, plot, &y, "");
        step_axis(&mut canvas, plot, &x);
        for curve in &self.curves {
            draw_curve(&mut canvas, curve, (&x, &y));
        }
        for (at, curve) in named.enumerate() {
            let place = (
                plot.x + (at % LEGEND_COLUMNS) as f64 * plot.width / LEGEND_COLUMNS as f64,
                14.0 + LEGEND_LINE * (at / LEGEND_COLUMNS) as f64,
            );
            let class = format!("stroke {}", curve.class);
            canvas.line(
                &class,
                (place.0, place.1 - 4.0),
                (place.0 + 16.0, place.1 - 4.0),
            );
            canvas.text("tick", (place.0 + 21.0, place.1), &curve.name);
        }
        let below = (plot.x + plot.width / 2.0, height - 8.0);
        canvas.text("tick middle", below, self.x_title);
        Some(canvas.finish(&self.label))
    }
}

fn step_axis(canvas: &mut Canvas, plot: Area, x: &Scale) {
    let (_, decimals) = round_step(x.high - x.low, 6);
    for tick in ticks(x.low, x.high, 6) {
        let label = format::number(tick, decimals).unwrap_or_default();
        let bottom = plot.y + plot.height + 16.0;
        canvas.text("tick middle", (x.at(tick), bottom), &label);
    }
}

fn draw_curve(canvas: &mut Canvas, curve: &Curve, (x, y): (&Scale, &Scale)) {
    // A picture has few pixels; the mark is drawn from all points.
    let every = curve.points.len().div_ceil(MOST_POINTS).max(1);
    let drawn: Vec<(f64, Option<f64>)> = curve.points.iter().copied().step_by(every).collect();
    for stretch in drawn.split(|(_, value)| value.is_none()) {
        let points = stretch
            .iter()
            .filter_map(|(step, value)| Some((x.at(*step), y.at((*value)?))));
        canvas.path(&format!("stroke {}", curve.class), points);
    }
    let is_marked = |(step, _): &&(f64, Option<f64>)| Some(*step) == curve.mark;
    if let Some((step, Some(value))) = curve.points.iter().find(is_marked) {
        let hint = format!(
            "{}: step {} kept, {}",
            curve.name,
            format::number(*step, 0).unwrap_or_default(),
            format::number(*value, 5).unwrap_or_default()
        );
        let class = format!("ring {}", curve.class);
        canvas.circle(&class, (x.at(*step), y.at(*value)), 4.0, &hint);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_stay_gaps_and_the_kept_step_is_marked() {
        let curve = Curve {
            name: "<fold 1>".to_owned(),
            class: "line-1".to_owned(),
            points: vec![
                (1.0, Some(1.0)),
                (2.0, None),
                (3.0, Some(0.5)),
                (4.0, Some(0.6)),
            ],
            mark: Some(3.0),
        };
        let mut chart = CurveChart {
            label: "loss".to_owned(),
            x_title: "round",
            curves: vec![curve],
        };
        let svg = chart.draw().unwrap();
        assert_eq!(svg.matches("<path").count(), 2);
        assert_eq!(svg.matches("<circle").count(), 1);
        assert!(svg.contains("&lt;fold 1&gt;") && svg.contains("step 3 kept"));
        chart.curves[0].points = vec![(1.0, None)];
        assert_eq!(chart.draw(), None);
    }
}
