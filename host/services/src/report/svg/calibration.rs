//! The reliability diagram of one class: observed frequency over predicted probability, with the
//! number of rows of each bin below.

use super::super::data::{CalibrationBin, CalibrationCurve};
use super::super::format;
use super::axis::{Scale, round_step, ticks};
use super::canvas::{Area, Canvas};

const WIDTH: f64 = 330.0;
const HEIGHT: f64 = 350.0;
const PLOT: Area = Area {
    x: 48.0,
    y: 10.0,
    width: 270.0,
    height: 230.0,
};
const COUNTS: Area = Area {
    x: 48.0,
    y: 270.0,
    width: 270.0,
    height: 44.0,
};

/// The picture; `None` where every bin is empty.
pub(crate) fn reliability(curve: &CalibrationCurve) -> Option<String> {
    let filled: Vec<(CalibrationBin, f64, f64)> = curve
        .bins
        .iter()
        .filter_map(|bin| Some((*bin, bin.mean_probability?, bin.observed_frequency?)))
        .filter(|(_, predicted, observed)| predicted.is_finite() && observed.is_finite())
        .collect();
    let most = filled
        .iter()
        .flat_map(|(bin, predicted, observed)| [*predicted, *observed, bin.upper])
        .fold(None, |most: Option<f64>, value| {
            Some(most.map_or(value, |most| most.max(value)))
        })?;
    let most = most.clamp(0.1, 1.0);
    let x = Scale::new((0.0, most), (PLOT.x, PLOT.x + PLOT.width));
    let y = Scale::new((0.0, most), (PLOT.y + PLOT.height, PLOT.y));
    let mut canvas = Canvas::new(WIDTH, HEIGHT);
    draw_frame(&mut canvas, &x, &y);
    canvas.path(
        "stroke strategy",
        filled
            .iter()
            .map(|(_, predicted, observed)| (x.at(*predicted), y.at(*observed))),
    );
    for (bin, predicted, observed) in &filled {
        let hint = hint(bin, *predicted, *observed);
        canvas.circle("dot", (x.at(*predicted), y.at(*observed)), 3.5, &hint);
    }
    draw_counts(&mut canvas, &x, &filled);
    Some(canvas.finish(&format!(
        "reliability of the probability of {}",
        curve.class
    )))
}

fn draw_frame(canvas: &mut Canvas, x: &Scale, y: &Scale) {
    let (_, decimals) = round_step(x.high, 5);
    for tick in ticks(0.0, x.high, 5) {
        let label = format::number(tick, decimals).unwrap_or_default();
        canvas.line(
            "grid",
            (PLOT.x, y.at(tick)),
            (PLOT.x + PLOT.width, y.at(tick)),
        );
        canvas.line(
            "grid",
            (x.at(tick), PLOT.y),
            (x.at(tick), PLOT.y + PLOT.height),
        );
        canvas.text("tick end", (PLOT.x - 6.0, y.at(tick) + 4.0), &label);
        canvas.text(
            "tick middle",
            (x.at(tick), PLOT.y + PLOT.height + 16.0),
            &label,
        );
    }
    canvas.line(
        "diagonal",
        (x.at(0.0), y.at(0.0)),
        (x.at(x.high), y.at(y.high)),
    );
    let below = (PLOT.x + PLOT.width / 2.0, HEIGHT - 10.0);
    canvas.text("tick middle", below, "predicted probability; rows a bin");
}

fn draw_counts(canvas: &mut Canvas, x: &Scale, filled: &[(CalibrationBin, f64, f64)]) {
    let most = filled
        .iter()
        .map(|(bin, ..)| bin.rows)
        .max()
        .unwrap_or(1)
        .max(1);
    for (bin, predicted, observed) in filled {
        let height = bin.rows as f64 / most as f64 * COUNTS.height;
        let (from, to) = (x.at(bin.lower), x.at(bin.upper));
        let area = Area {
            x: from + 0.5,
            y: COUNTS.y + COUNTS.height - height,
            width: to - from - 1.0,
            height,
        };
        canvas.rect("bar muted", area, &hint(bin, *predicted, *observed));
    }
    let bottom = COUNTS.y + COUNTS.height;
    canvas.line(
        "axis",
        (COUNTS.x, bottom),
        (COUNTS.x + COUNTS.width, bottom),
    );
    canvas.text(
        "tick end",
        (COUNTS.x - 6.0, COUNTS.y + 8.0),
        &format::count(most),
    );
}

fn hint(bin: &CalibrationBin, predicted: f64, observed: f64) -> String {
    let three = |value| format::number(value, 3).unwrap_or_default();
    format!(
        "predicted {}, observed {}, {} rows",
        three(predicted),
        three(observed),
        format::count(bin.rows)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_bins_are_left_out() {
        let bin = |lower: f64, mean: Option<f64>| CalibrationBin {
            lower,
            upper: lower + 0.1,
            rows: u64::from(mean.is_some()) * 5,
            mean_probability: mean,
            observed_frequency: mean,
        };
        let mut curve = CalibrationCurve {
            class: "up & away".to_owned(),
            expected_calibration_error: None,
            bins: vec![bin(0.2, Some(0.25)), bin(0.3, None), bin(0.4, Some(0.45))],
        };
        let svg = reliability(&curve).unwrap();
        assert_eq!(svg.matches("<circle").count(), 2);
        assert_eq!(svg.matches("bar muted").count(), 2);
        assert!(svg.contains("up &amp; away"));
        curve.bins = vec![bin(0.3, None)];
        assert_eq!(reliability(&curve), None);
    }
}
