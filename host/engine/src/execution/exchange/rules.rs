//! What the venue asks of orders and takes for them.

use super::depth::BookRule;
use crate::types::{Cash, Price, Quantity};

/// How far the price moves against a taker beside the spread and the fixed part.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Slippage {
    /// Not at all.
    None,
    /// In proportion to volatility.
    Volatility {
        /// Parts of one standard deviation of a slice.
        factor: f64,
    },
    /// By the square-root law of market impact.
    Impact {
        /// Its factor.
        factor: f64,
    },
    /// By recorded order books.
    Book(BookRule),
}

/// Fees from a traded notional on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FeeTier {
    pub(super) from: Cash,
    pub(super) maker: i64,
    pub(super) taker: i64,
}

/// The rules of one symbol.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rules {
    pub(super) lot: Quantity,
    pub(super) tick: Price,
    pub(super) min_notional: Cash,
    /// Half the spread, `micro_bps`.
    pub(super) half_spread: i64,
    /// Fixed slippage, `micro_bps`.
    pub(super) fixed: i64,
    pub(super) slippage: Slippage,
    /// Ascending; the first one is from zero on.
    pub(super) tiers: Vec<FeeTier>,
    /// Part of a slice's volume that fills may take; `None` is all that is asked for.
    pub(super) participation: Option<f64>,
    /// Ticks beyond a limit that the market must trade.
    pub(super) through_ticks: u32,
    /// Parts of a slice's volume before an order that comes to rest.
    pub(super) queue_ahead: f64,
}

/// What is known of a symbol before a slice.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Climate {
    /// Standard deviation of the log returns of slices.
    pub(super) sigma: f64,
    /// Mean volume of a slice in the base asset.
    pub(super) volume: f64,
}

/// A taker's price, and what of the distance is the spread's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TakerPrice {
    pub(super) price: Price,
    pub(super) spread: Price,
}

impl Rules {
    /// What `quantity` (signed) takes where the market stands at `reference`; by order books only
    /// where no snapshot says more.
    pub(super) fn taker(
        &self,
        reference: Price,
        quantity: Quantity,
        climate: &Climate,
    ) -> TakerPrice {
        let moved = match self.slippage {
            Slippage::None => 0,
            Slippage::Volatility { factor } => micro_bps(factor * climate.sigma),
            Slippage::Impact { factor } if climate.volume > 0.0 => {
                let share = quantity.abs().to_f64() / climate.volume;
                micro_bps(factor * climate.sigma * share.sqrt())
            }
            Slippage::Impact { .. } => 0,
            Slippage::Book(rule) => rule.otherwise,
        };
        let against = self.half_spread + self.fixed + moved;
        TakerPrice {
            price: self.moved(reference, quantity > Quantity::ZERO, against),
            spread: reference.scaled_by_micro_bps(self.half_spread),
        }
    }

    /// `reference` moved by `against` (`micro_bps`) against one who buys, or sells, to the tick.
    pub(super) fn moved(&self, reference: Price, buys: bool, against: i64) -> Price {
        let distance = reference.scaled_by_micro_bps(against);
        if buys {
            (reference + distance).up_to(self.tick)
        } else {
            // A price below the tick still sells for the tick at least, never for nothing, but not
            // for more than the market stands at.
            let least = self.tick.min(reference);
            (reference - distance).down_to(self.tick).max(least)
        }
    }

    /// The fee on a notional (positive) where `traded` was traded in the last 30 days.
    pub(super) fn fee(&self, notional: Cash, is_maker: bool, traded: Cash) -> Cash {
        let reached = self.tiers.iter().rev().find(|tier| traded >= tier.from);
        let rate = reached.map_or(0, |tier| if is_maker { tier.maker } else { tier.taker });
        notional.scaled_by_micro_bps(rate)
    }

    /// A part of a volume, in whole lots; of what is no volume, nothing.
    pub(super) fn part_of(&self, volume: f64, part: f64) -> Quantity {
        Quantity::from_f64(volume * part)
            .unwrap_or_default()
            .max(Quantity::ZERO)
            .toward_zero(self.lot)
    }
}

/// A fraction in millionths of a basis point, at most the whole.
fn micro_bps(fraction: f64) -> i64 {
    (fraction.clamp(0.0, 1.0) * 1e10).round() as i64
}
