//! Monte Carlo of trades: how much of a curve is the order in which its trades happened to come.
//!
//! Shuffling keeps every trade and changes the order: the end stays, the way to it does not, so it
//! tells how deep a drawdown the same trades could have made. Drawing with replacement also
//! changes which trades came, so it tells how far the end itself could lie apart. Both take trades
//! for exchangeable: what makes losses follow losses (one market, one model that fails for a
//! while, positions that overlap) is lost, so both err towards shallow drawdowns. Neither says
//! whether the trades have an edge.

use rand_core::Rng;
use serde::{Deserialize, Serialize};

use crate::eval::bootstrap::{below, sorted_quantile};

/// The percentiles that are told, as fractions.
pub const TRADE_PERCENTILES: [f64; 7] = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99];

/// Most points of the fan, its start included.
const FAN_POINTS: usize = 101;

/// How histories of trades are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TradeDraw {
    /// Every trade once, in random order.
    Shuffled,
    /// As many trades, each drawn from all of them.
    Resampled,
}

/// Where simulated curves are after so many trades.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FanPoint {
    /// Trades so far.
    pub trade: usize,
    /// Equity over initial equity at [`TRADE_PERCENTILES`].
    pub growth: [f64; 7],
}

/// What simulated histories of the same trades came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TradeOrder {
    /// How they were made.
    pub draw: TradeDraw,
    /// Trades in each.
    pub trades: usize,
    /// Histories.
    pub simulations: u32,
    /// The curves, from no trade to all.
    pub fan: Vec<FanPoint>,
    /// Final equity over initial equity at [`TRADE_PERCENTILES`].
    pub final_growth: [f64; 7],
    /// Deepest drawdown, counted at the ends of trades, at [`TRADE_PERCENTILES`].
    pub max_drawdown: [f64; 7],
    /// Final equity over initial equity of the trades in their own order.
    pub own_growth: f64,
    /// Deepest drawdown of the trades in their own order.
    pub own_drawdown: f64,
    /// Share of histories that end with a loss.
    pub share_losing: f64,
    /// Share of histories whose drawdown is at least as deep as in the trades' own order.
    pub share_deeper: f64,
}

impl TradeOrder {
    /// From each trade's profit over the equity when it was opened, compounded one after another;
    /// a loss of everything ends a history. `None` for fewer than two trades, a change that is not
    /// finite, or no simulations.
    #[must_use]
    pub fn of(
        changes: &[f64],
        draw: TradeDraw,
        simulations: u32,
        rng: &mut impl Rng,
    ) -> Option<Self> {
        let count = changes.len();
        let is_fine = changes.iter().all(|change| change.is_finite());
        if count < 2 || simulations == 0 || !is_fine {
            return None;
        }
        let stops = checkpoints(count);
        let mut at_stop: Vec<Vec<f64>> =
            vec![Vec::with_capacity(simulations as usize); stops.len()];
        let (mut ends, mut depths) = (Vec::new(), Vec::new());
        let mut order: Vec<f64> = changes.to_vec();
        for _ in 0..simulations {
            arrange(&mut order, changes, draw, rng);
            let mut next = 0;
            let (end, depth) = walk(&order, |trade, growth| {
                if stops.get(next) == Some(&trade) {
                    at_stop[next].push(growth);
                    next += 1;
                }
            });
            ends.push(end);
            depths.push(depth);
        }
        let (own_growth, own_drawdown) = walk(changes, |_, _| {});
        let share = |count: usize| count as f64 / f64::from(simulations);
        // The same trades in another order may differ by what rounding leaves.
        let deeper = depths
            .iter()
            .filter(|depth| **depth >= own_drawdown - 1e-12);
        Some(Self {
            draw,
            trades: count,
            simulations,
            share_losing: share(ends.iter().filter(|end| **end < 1.0).count()),
            share_deeper: share(deeper.count()),
            fan: stops
                .into_iter()
                .zip(at_stop)
                .map(|(trade, values)| FanPoint {
                    trade,
                    growth: percentiles(values),
                })
                .collect(),
            final_growth: percentiles(ends),
            max_drawdown: percentiles(depths),
            own_growth,
            own_drawdown,
        })
    }
}

/// Numbers of trades at which the fan is drawn, evenly apart, the first and the last included.
fn checkpoints(count: usize) -> Vec<usize> {
    let points = (count + 1).min(FAN_POINTS);
    (0..points).map(|at| at * count / (points - 1)).collect()
}

fn arrange(order: &mut [f64], changes: &[f64], draw: TradeDraw, rng: &mut impl Rng) {
    match draw {
        // R. Fisher, F. Yates 1938, as in D. Knuth, algorithm 3.4.2P.
        TradeDraw::Shuffled => {
            for at in (1..order.len()).rev() {
                order.swap(at, below(at + 1, rng));
            }
        }
        TradeDraw::Resampled => {
            for one in order.iter_mut() {
                *one = changes[below(changes.len(), rng)];
            }
        }
    }
}

/// Final growth and deepest drawdown of a history; `see` is shown the growth after every trade.
fn walk(changes: &[f64], mut see: impl FnMut(usize, f64)) -> (f64, f64) {
    let (mut growth, mut peak, mut deepest) = (1.0_f64, 1.0_f64, 0.0_f64);
    see(0, growth);
    for (trade, change) in (1..).zip(changes) {
        growth *= (1.0 + change).max(0.0);
        peak = peak.max(growth);
        deepest = deepest.max(1.0 - growth / peak);
        see(trade, growth);
    }
    (growth, deepest)
}

fn percentiles(mut values: Vec<f64>) -> [f64; 7] {
    values.sort_by(f64::total_cmp);
    TRADE_PERCENTILES.map(|at| sorted_quantile(&values, at))
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_core::SeedableRng;

    use super::*;

    fn of(changes: &[f64], draw: TradeDraw, simulations: u32) -> Option<TradeOrder> {
        TradeOrder::of(
            changes,
            draw,
            simulations,
            &mut ChaCha8Rng::seed_from_u64(7),
        )
    }

    fn are(values: &[f64], value: f64) -> bool {
        values.iter().all(|one| (one - value).abs() < 1e-12)
    }

    #[test]
    fn order_changes_the_way_and_not_the_end() {
        let changes = [0.1, -0.05, 0.2, -0.1, 0.03];
        let end: f64 = changes.iter().map(|change| 1.0 + change).product();
        let found = of(&changes, TradeDraw::Shuffled, 2_000).unwrap();
        for growth in found.final_growth {
            assert!((growth - end).abs() < 1e-12);
        }
        assert!((found.own_growth - end).abs() < 1e-12);
        // One loss at a time is the least, both in a row the most: 1 - 0.95 x 0.9.
        let (least, most) = (found.max_drawdown[0], found.max_drawdown[6]);
        assert!((least - 0.1).abs() < 1e-12, "{least}");
        assert!((most - 0.145).abs() < 1e-12, "{most}");
        assert!((found.own_drawdown - 0.1).abs() < 1e-12);
        assert!((found.share_deeper - 1.0).abs() < 1e-12);
        let stops: Vec<usize> = found.fan.iter().map(|point| point.trade).collect();
        assert_eq!(stops, [0, 1, 2, 3, 4, 5]);
        assert!(are(&found.fan[0].growth, 1.0));
    }

    #[test]
    fn both_losses_stand_together_as_often_as_chance_has_it() {
        // Of the 24 orders of these, half have both losses in a row.
        let found = of(&[0.1, 0.1, -0.1, -0.1], TradeDraw::Shuffled, 20_000).unwrap();
        let deep = of(&[0.1, -0.1, -0.1, 0.1], TradeDraw::Shuffled, 20_000).unwrap();
        assert!(
            (deep.share_deeper - 0.5).abs() < 0.015,
            "{}",
            deep.share_deeper
        );
        assert!(found.share_deeper >= deep.share_deeper);
    }

    #[test]
    fn drawing_anew_moves_the_end_too() {
        let found = of(&[0.5, -0.5], TradeDraw::Resampled, 20_000).unwrap();
        // Both losses a quarter of the time, one of each half of it, both gains a quarter.
        assert!(
            (found.share_losing - 0.75).abs() < 0.015,
            "{}",
            found.share_losing
        );
        for (at, growth) in [(0, 0.25), (3, 0.75), (6, 2.25)] {
            assert!(are(&found.final_growth[at..=at], growth));
        }
    }

    #[test]
    fn a_loss_of_everything_is_the_end_and_the_seed_decides() {
        let found = of(&[0.2, -1.5, 0.3], TradeDraw::Shuffled, 50).unwrap();
        assert!(are(&found.final_growth, 0.0) && are(&found.max_drawdown, 1.0));
        let changes: Vec<f64> = (0..500)
            .map(|at| f64::from(at % 7) / 100.0 - 0.02)
            .collect();
        let one = of(&changes, TradeDraw::Resampled, 100);
        assert_eq!(one, of(&changes, TradeDraw::Resampled, 100));
        assert_eq!(one.unwrap().fan.len(), FAN_POINTS);
        for nothing in [&[][..], &[0.1], &[0.1, f64::NAN]] {
            assert_eq!(of(nothing, TradeDraw::Shuffled, 100), None);
        }
        assert_eq!(of(&[0.1, 0.2], TradeDraw::Shuffled, 0), None);
    }
}
