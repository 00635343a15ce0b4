//! From gross profit over every cost and payment to net profit.

use super::super::data::Costs;
use super::super::format;
use super::axis::{Scale, extent, value_axis};
use super::canvas::{Area, Canvas};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 260.0;
const PLOT: Area = Area {
    x: 84.0,
    y: 24.0,
    width: WIDTH - 96.0,
    height: HEIGHT - 56.0,
};

/// The picture; `None` where an amount is not finite.
pub(crate) fn waterfall(costs: &Costs, currency: &str) -> Option<String> {
    let steps = steps(costs)?;
    let (low, high) = extent(steps.iter().flat_map(|(_, from, to)| [0.0, *from, *to]))?;
    let pad = (high - low) * 0.1;
    let range = (if low < 0.0 { low - pad } else { low }, high + pad);
    let scale = Scale::new(range, (PLOT.y + PLOT.height, PLOT.y));
    let mut canvas = Canvas::new(WIDTH, HEIGHT);
    value_axis(&mut canvas, PLOT, &scale, "");
    let slot = PLOT.width / steps.len() as f64;
    let last = steps.len() - 1;
    for (position, (name, from, to)) in steps.into_iter().enumerate() {
        let left = PLOT.x + slot * position as f64;
        let (top, bottom) = (scale.at(from.max(to)), scale.at(from.min(to)));
        let amount = to - from;
        let class = if amount < 0.0 { "bar loss" } else { "bar gain" };
        let area = Area {
            x: left + slot * 0.16,
            y: top,
            width: slot * 0.68,
            height: (bottom - top).max(0.5),
        };
        let text = format::signed(amount, decimals(high - low)).unwrap_or_default();
        canvas.rect(class, area, &format!("{name}: {text} {currency}"));
        let middle = left + slot / 2.0;
        canvas.text("value middle", (middle, top - 6.0), &text);
        canvas.text("tick middle", (middle, HEIGHT - 10.0), name);
        if position < last {
            let level = scale.at(to);
            canvas.line(
                "whisker",
                (left + slot * 0.84, level),
                (left + slot * 1.16, level),
            );
        }
    }
    Some(canvas.finish("gross profit to net profit"))
}

/// Name and ends of each bar; `None` where an amount is not finite. What did not occur is left out,
/// but for the three that every market has.
fn steps(costs: &Costs) -> Option<Vec<(&'static str, f64, f64)>> {
    let amounts = [
        ("fees", -costs.fees, true),
        ("spread", -costs.spread, true),
        ("impact", -costs.impact, true),
        ("liquidation", -costs.liquidation, false),
        ("funding", costs.funding, false),
        ("interest", costs.interest, false),
        ("insurance", costs.insurance, false),
        ("currencies", costs.currency_effect, false),
    ];
    let mut steps = vec![("gross profit", 0.0, costs.gross_profit)];
    let mut level = costs.gross_profit;
    for (name, amount, always) in amounts {
        if always || amount != 0.0 {
            steps.push((name, level, level + amount));
            level += amount;
        }
    }
    steps.push(("net profit", 0.0, costs.net_profit));
    let is_finite = steps
        .iter()
        .all(|(_, from, to)| from.is_finite() && to.is_finite());
    is_finite.then_some(steps)
}

fn decimals(span: f64) -> usize {
    if span < 100.0 { 2 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_every_amount_with_its_sign_and_leaves_out_what_did_not_occur() {
        let mut costs = Costs {
            gross_profit: 1_500.0,
            fees: 2_000.0,
            spread: 300.0,
            impact: 100.0,
            net_profit: -900.0,
            traded_value: 1e6,
            fills: 10,
            ..Costs::default()
        };
        let svg = waterfall(&costs, "<USDT>").unwrap();
        for text in [
            "+1,500",
            "\u{2212}2,000",
            "\u{2212}300",
            "\u{2212}100",
            "\u{2212}900",
            "&lt;USDT&gt;",
        ] {
            assert!(svg.contains(text), "{text}");
        }
        assert_eq!(svg.matches("bar loss").count(), 4);
        assert!(!svg.contains("funding") && !svg.contains("liquidation"));
        costs.funding = 50.0;
        assert!(waterfall(&costs, "USDT").unwrap().contains("funding"));
        costs.fees = f64::NAN;
        assert_eq!(waterfall(&costs, "USDT"), None);
    }
}
