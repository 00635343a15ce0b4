//! The account as one symbol's trading sees it: cash, the position, and what the others are worth,
//! all in what the symbol is quoted in.
//!
//! It is small and copied for every trial. Equity is cash plus positions; cash pays the whole value
//! of what is bought, for spot and futures alike, so equity needs no case.

use crate::types::{Cash, Price, Quantity};

/// A whole in millionths of a basis point.
const WHOLE: i128 = 10_000_000_000;
const UNITS: i128 = crate::types::UNITS_PER_ONE;
/// Above every price of a market, with room for what is done with it.
const FARTHEST: Price = Price::from_units(1_000_000_000_000_000_000_000_000);

/// What the account may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AccountKind {
    /// Nothing is borrowed.
    Spot,
    /// Anything is borrowed, without margin: for research.
    Unlimited,
    /// One margin for all positions.
    Cross(Margin),
    /// A margin for each position.
    Isolated(Margin),
}

/// What margin accounts are held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Margin {
    /// Part of the notional that opening needs, `micro_bps`; one over the leverage.
    pub(super) initial: i64,
    /// Part of the value below which a position is liquidated, `micro_bps`.
    pub(super) maintenance: i64,
    /// What liquidation costs on top, `micro_bps` of the notional.
    pub(super) liquidation_fee: i64,
}

/// See the head of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stand {
    pub(super) kind: AccountKind,
    pub(super) cash: Cash,
    pub(super) held: Quantity,
    /// What the held quantity was traded for, signed.
    pub(super) cost: Cash,
    /// Margin of an isolated position.
    pub(super) margin: Cash,
    /// Values of the other positions at their last prices, and cash of other currencies.
    pub(super) others: Cash,
    /// Values of the other positions without signs.
    pub(super) others_gross: Cash,
    /// What the others need as initial margin of a cross account: units of value times `micro_bps`.
    pub(super) others_initial: i128,
    /// Costs of the other positions less their margins, and cash of other currencies.
    pub(super) others_free: Cash,
}

impl Stand {
    /// What the account is worth with the symbol at `price`.
    pub(super) fn equity(&self, price: Price) -> Cash {
        self.cash + price.times(self.held) + self.others
    }

    /// The part of `quantity` that closes the position, with its sign.
    pub(super) fn closing(&self, quantity: Quantity) -> Quantity {
        if self.held.signum() * quantity.signum() >= 0 {
            Quantity::ZERO
        } else if quantity.abs() <= self.held.abs() {
            quantity
        } else {
            -self.held
        }
    }

    /// Books a trade.
    pub(super) fn trade(&mut self, quantity: Quantity, price: Price, fee: Cash) {
        let closing = self.closing(quantity);
        let mut opened = price.times(quantity);
        self.cash -= opened + fee;
        if !closing.is_zero() {
            let released = self.cost.share(-closing, self.held);
            let freed = self.margin.share(-closing, self.held);
            opened -= price.times(closing);
            self.cost -= released;
            self.margin -= freed;
        }
        self.cost += opened;
        self.held += quantity;
        if let AccountKind::Isolated(margin) = self.kind {
            self.margin += opened.abs().scaled_by_micro_bps(margin.initial);
        }
        if self.held.is_zero() {
            self.margin = Cash::ZERO;
        }
    }

    /// Equity that new positions may use, with the symbol at `price`; `None` where there is no
    /// limit.
    pub(super) fn free(&self, price: Price) -> Option<Cash> {
        match self.kind {
            AccountKind::Spot => Some(self.cash),
            AccountKind::Unlimited => None,
            AccountKind::Cross(margin) => {
                let own = initial_of(price.times(self.held), margin);
                Some(self.equity(price) - in_whole_units(self.others_initial + own))
            }
            AccountKind::Isolated(_) => {
                Some(self.cash + self.cost - self.margin + self.others_free)
            }
        }
    }

    /// The margin rules, where there are any.
    pub(super) fn rules(&self) -> Option<Margin> {
        match self.kind {
            AccountKind::Spot | AccountKind::Unlimited => None,
            AccountKind::Cross(margin) | AccountKind::Isolated(margin) => Some(margin),
        }
    }

    /// What stands behind the position beside its own value, less what the others need.
    fn backing(&self, margin: Margin) -> Cash {
        match self.kind {
            AccountKind::Isolated(_) => self.margin - self.cost,
            _ => {
                let needed = self.others_gross.scaled_by_micro_bps(margin.maintenance);
                self.cash + self.others - needed
            }
        }
    }

    /// Whether the position is liquidated at `price`.
    pub(super) fn is_due(&self, price: Price, tick: Price) -> bool {
        let is_long = self.held > Quantity::ZERO;
        self.liquidation_price(tick)
            .is_some_and(|due| if is_long { price <= due } else { price >= due })
    }

    /// The price at which the position is liquidated, to the tick against the account: at it or
    /// worse; `None` where no price does that.
    pub(super) fn liquidation_price(&self, tick: Price) -> Option<Price> {
        let margin = self.rules().filter(|_| !self.held.is_zero())?;
        let backing = self.backing(margin).units();
        let size = self.held.abs().units();
        let maintenance = i128::from(margin.maintenance);
        let (owed, share) = if self.held.signum() > 0 {
            (-backing, WHOLE - maintenance)
        } else {
            (backing, WHOLE + maintenance)
        };
        let is_long = self.held > Quantity::ZERO;
        if owed <= 0 || share <= 0 {
            // A long position that is paid for never falls so far; a short one without backing is
            // due at any price.
            return (!is_long).then_some(Price::ZERO);
        }
        let solved = size
            .checked_mul(share)
            .and_then(|by| divided(owed, by, UNITS.checked_mul(WHOLE)?));
        let Some((exact, is_whole)) = solved else {
            // Numbers beyond all accounts are taken for the worst, never for safety.
            return Some(if is_long { FARTHEST } else { Price::ZERO });
        };
        Some(if is_long {
            Price::from_units(exact + i128::from(!is_whole)).up_to(tick)
        } else {
            Price::from_units(exact).down_to(tick)
        })
    }
}

/// `owed * times / by` towards zero, and whether nothing is left over; `times` is a power of ten.
/// `None` where the result does not fit. In one piece where the product fits, else digit by digit.
fn divided(owed: i128, by: i128, times: i128) -> Option<(i128, bool)> {
    if let Some(scaled) = owed.checked_mul(times) {
        return Some((scaled / by, scaled % by == 0));
    }
    let (mut exact, mut left, mut times) = (owed / by, owed % by, times);
    while times > 1 {
        left = left.checked_mul(10)?;
        exact = exact.checked_mul(10)?.checked_add(left / by)?;
        left %= by;
        times /= 10;
    }
    (exact < FARTHEST.units()).then_some((exact, left == 0))
}

/// What a position of this value needs as initial margin, in units of value times `micro_bps`: the
/// needs of several symbols are added before they are rounded.
pub(super) fn initial_of(value: Cash, margin: Margin) -> i128 {
    value
        .abs()
        .units()
        .saturating_mul(i128::from(margin.initial))
}

/// To the nearest unit of cash, from units of value times `micro_bps` that are not negative.
fn in_whole_units(scaled: i128) -> Cash {
    Cash::from_units(scaled.saturating_add(WHOLE / 2) / WHOLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stand(kind: AccountKind, cash: &str) -> Stand {
        Stand {
            kind,
            cash: cash.parse().unwrap(),
            held: Quantity::ZERO,
            cost: Cash::ZERO,
            margin: Cash::ZERO,
            others: Cash::ZERO,
            others_gross: Cash::ZERO,
            others_initial: 0,
            others_free: Cash::ZERO,
        }
    }

    fn margin() -> Margin {
        Margin {
            initial: 1_000_000_000,
            maintenance: 50_000_000,
            liquidation_fee: 0,
        }
    }

    fn price(text: &str) -> Price {
        text.parse().unwrap()
    }

    #[test]
    fn a_cross_position_is_due_exactly_at_its_liquidation_price() {
        for (quantity, expected) in [("10", "90.45226131"), ("-10", "109.45273631")] {
            let mut account = stand(AccountKind::Cross(margin()), "100");
            account.trade(quantity.parse().unwrap(), price("100"), Cash::ZERO);
            let tick = Price::from_units(1);
            let found = account.liquidation_price(tick).unwrap();
            assert_eq!(found.to_string(), expected);
            let (better, worse) = if quantity.starts_with('-') {
                (found - tick, found + tick)
            } else {
                (found + tick, found - tick)
            };
            assert!(account.is_due(worse, tick) && account.is_due(found, tick));
            assert!(!account.is_due(better, tick));
            let is_safe = |at: Price| {
                let value = at.times(account.held).abs();
                account.equity(at) > value.scaled_by_micro_bps(margin().maintenance)
            };
            assert!(is_safe(better) && !is_safe(worse), "{quantity}");
        }
    }

    #[test]
    fn large_debts_are_divided_like_small_ones() {
        let whole = UNITS * WHOLE;
        for (owed, by) in [
            (7, 3),
            (90, 9),
            (123_456_789_012_345, 995_000_000_000),
            (3_200_000_000_000 * UNITS, 7 * UNITS * (WHOLE - 50_000_000)),
            (1_700_000_000_000 * UNITS, 16_000 * UNITS * WHOLE),
        ] {
            let small = divided(owed, by, whole).unwrap();
            // The same quotient of numbers that need the long way.
            let large = 1_000_000_000;
            let long = divided(owed * large, by * large, whole).unwrap();
            assert_eq!(small, long, "{owed} / {by}");
        }
        assert_eq!(divided(i128::MAX, 1, whole), None);
    }

    #[test]
    fn a_position_that_owes_trillions_is_still_liquidated() {
        let mut account = stand(AccountKind::Cross(margin()), "0");
        account.cash = Cash::from_units(-4_800_000_000_000 * UNITS);
        account.others = Cash::from_units(1_600_000_000_000 * UNITS);
        account.held = "2000".parse().unwrap();
        let tick = Price::from_units(1);
        let found = account.liquidation_price(tick).unwrap();
        // 3.2e12 / (2,000 x 0.995)
        assert_eq!(found.to_string(), "1608040201.00502513");
        assert!(account.is_due(found, tick) && !account.is_due(found + tick, tick));
        account.cash = Cash::from_units(i128::MIN / 8);
        assert!(
            account.is_due(found, tick),
            "a debt beyond all numbers is no safety"
        );
    }

    #[test]
    fn a_short_position_without_backing_is_due_at_any_price() {
        let mut account = stand(AccountKind::Cross(margin()), "0");
        account.trade("-1".parse().unwrap(), price("10"), "11".parse().unwrap());
        let tick = price("1");
        assert_eq!(account.liquidation_price(tick), Some(Price::ZERO));
        assert!(account.is_due(price("1"), tick));
    }

    #[test]
    fn an_isolated_position_risks_its_margin_only() {
        let mut account = stand(AccountKind::Isolated(margin()), "1000");
        account.trade("10".parse().unwrap(), price("100"), Cash::ZERO);
        assert_eq!(account.margin.to_string(), "100");
        assert_eq!(account.free(price("50")).unwrap().to_string(), "900");
        let found = account.liquidation_price(Price::from_units(1)).unwrap();
        assert_eq!(found.to_string(), "90.45226131");
        account.trade("-4".parse().unwrap(), price("100"), Cash::ZERO);
        assert_eq!(account.margin.to_string(), "60");
        account.trade("-6".parse().unwrap(), price("95"), Cash::ZERO);
        assert_eq!(account.margin, Cash::ZERO);
        assert_eq!(account.free(price("95")).unwrap().to_string(), "970");
    }
}
