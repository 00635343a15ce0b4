//! Contributions of features to many rows: one line of points a feature, coloured by where the
//! feature's value lies among the rows (S. Lundberg and others 2020 call it a beeswarm).

use super::super::data::FeatureContribution;
use super::super::format;
use super::axis::{Scale, extent, round_step, ticks};
use super::canvas::{Area, Canvas};

const WIDTH: f64 = 640.0;
const LINE: f64 = 24.0;
const NAMES: f64 = 190.0;
/// Width of the columns in which points are piled up.
const PILE: f64 = 3.0;
/// Characters of a name that fit.
const CHARACTERS: usize = 30;

/// The picture of the features that have points; `None` where there are none.
pub(crate) fn swarm(features: &[FeatureContribution], label: &str) -> Option<String> {
    let drawn: Vec<&FeatureContribution> = features
        .iter()
        .filter(|feature| !feature.points.is_empty())
        .collect();
    let points = drawn.iter().flat_map(|feature| &feature.points);
    let (low, high) = extent(points.map(|point| f64::from(point.contribution)))?;
    let most = low.abs().max(high.abs()).max(1e-9) * 1.04;
    let plot = Area {
        x: NAMES,
        y: 8.0,
        width: WIDTH - NAMES - 14.0,
        height: LINE * drawn.len() as f64,
    };
    let x = Scale::new((-most, most), (plot.x, plot.x + plot.width));
    let height = plot.y + plot.height + 44.0;
    let mut canvas = Canvas::new(WIDTH, height);
    let (_, decimals) = round_step(2.0 * most, 6);
    for tick in ticks(-most, most, 6) {
        let class = if tick == 0.0 { "axis" } else { "grid" };
        let at = x.at(tick);
        canvas.line(class, (at, plot.y), (at, plot.y + plot.height));
        let label = format::number(tick, decimals).unwrap_or_default();
        canvas.text("tick middle", (at, plot.y + plot.height + 16.0), &label);
    }
    for (at, feature) in drawn.iter().enumerate() {
        let middle = plot.y + LINE * (at as f64 + 0.5);
        canvas.text(
            "tick end",
            (NAMES - 8.0, middle + 4.0),
            &shortened(&feature.feature),
        );
        line(&mut canvas, feature, (&x, middle));
    }
    let below = (plot.x + plot.width / 2.0, height - 8.0);
    canvas.text("tick middle", below, "contribution to the score");
    Some(canvas.finish(label))
}

/// Piles the points of a feature up around the middle of its line, where they are dense.
fn line(canvas: &mut Canvas, feature: &FeatureContribution, (x, middle): (&Scale, f64)) {
    let mut piles = std::collections::BTreeMap::<i64, u32>::new();
    for point in &feature.points {
        let place = x.at(f64::from(point.contribution));
        let pile = piles.entry((place / PILE) as i64).or_default();
        // 0, 1, -1, 2, -2, ... steps from the middle, as far as the line is high.
        let step = f64::from(pile.div_ceil(2)) * if pile.is_multiple_of(2) { 1.0 } else { -1.0 };
        *pile += 1;
        let away = (step * 1.6).clamp(-LINE / 2.0 + 2.0, LINE / 2.0 - 2.0);
        let class = match point.rank {
            Some(rank) => format!("rank-{}", (rank * 4.0).round().clamp(0.0, 4.0) as u8),
            None => "rank-none".to_owned(),
        };
        canvas.spot(&class, (place, middle + away), 1.7);
    }
}

fn shortened(name: &str) -> String {
    if name.chars().count() <= CHARACTERS {
        return name.to_owned();
    }
    let start: String = name.chars().take(CHARACTERS - 1).collect();
    format!("{start}\u{2026}")
}

#[cfg(test)]
mod tests {
    use super::super::super::data::ContributionPoint;
    use super::*;

    #[test]
    fn every_point_is_drawn_and_missing_values_have_a_colour_of_their_own() {
        let point = |rank, contribution| ContributionPoint { rank, contribution };
        let feature = FeatureContribution {
            feature: "<rsi(14)>".to_owned(),
            mean_absolute: 0.5,
            points: vec![
                point(Some(0.0), -1.0),
                point(Some(1.0), 1.0),
                point(Some(1.0), 1.0),
                point(None, 0.2),
            ],
        };
        let svg = swarm(std::slice::from_ref(&feature), "label").unwrap();
        assert_eq!(svg.matches("<circle").count(), 4);
        assert_eq!(svg.matches("rank-none").count(), 1);
        assert_eq!(svg.matches("rank-4").count(), 2);
        assert!(svg.contains("&lt;rsi(14)&gt;"));
        let empty = FeatureContribution {
            points: Vec::new(),
            ..feature
        };
        assert_eq!(swarm(&[empty], "label"), None);
    }
}
