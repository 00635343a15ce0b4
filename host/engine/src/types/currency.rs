//! What one currency is worth in another, as an exact fraction.
//!
//! A rate is a price, a price turned round, or two of them one after the other. As a fraction it
//! loses nothing when it is turned round, where a price of 64,000 would leave five digits. What a
//! rate is taken from, and when, is decided elsewhere.

use serde::{Deserialize, Serialize};

use super::{Cash, Price};

/// A currency's position in the [`Currencies`](crate::portfolio::Currencies) of a run; the
/// reporting currency is the first.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct CurrencyId(pub u16);

impl CurrencyId {
    /// What equity, risk and reports count in.
    pub const REPORTING: Self = Self(0);

    /// The position as an index.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// Whether this is the reporting currency.
    #[must_use]
    pub fn is_reporting(&self) -> bool {
        *self == Self::REPORTING
    }
}

/// The largest number of a fraction.
const LARGEST: u128 = 1_000_000_000_000_000_000;

/// How many of one currency one of another is worth: a fraction in lowest terms, both numbers above
/// zero. While one of them is above 1e18, both are divided by ten, and what that leaves over is
/// dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "(u64, u64)", into = "(u64, u64)")]
pub struct Rate {
    above: u64,
    below: u64,
}

/// Two numbers are no rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{above}/{below} is no rate; both numbers must be above 0")]
pub struct NoRate {
    above: u64,
    below: u64,
}

impl TryFrom<(u64, u64)> for Rate {
    type Error = NoRate;

    fn try_from((above, below): (u64, u64)) -> Result<Self, NoRate> {
        match above > 0 && below > 0 {
            true => Ok(Self::lowest(u128::from(above), u128::from(below))),
            false => Err(NoRate { above, below }),
        }
    }
}

impl From<Rate> for (u64, u64) {
    fn from(rate: Rate) -> Self {
        (rate.above, rate.below)
    }
}

impl Rate {
    /// One for one.
    pub const ONE: Self = Self { above: 1, below: 1 };
    /// The least number that is taken as a rate.
    pub const LEAST: f64 = 1e-10;
    /// The largest.
    pub const MOST: f64 = 1e10;

    /// A price as a rate of its base in its quote; `None` where it is not above zero.
    #[must_use]
    pub fn of_price(price: Price) -> Option<Self> {
        let units = u128::try_from(price.units()).ok()?;
        let one = u128::try_from(super::UNITS_PER_ONE).ok()?;
        (units > 0).then(|| Self::lowest(units, one))
    }

    /// A number as a rate, by the shortest decimal number that is the same `f64`: 0.1 is a tenth.
    /// `None` where it is not from [`LEAST`](Self::LEAST) to [`MOST`](Self::MOST).
    #[must_use]
    pub fn of_number(number: f64) -> Option<Self> {
        if !(Self::LEAST..=Self::MOST).contains(&number) {
            return None;
        }
        let text = format!("{number:e}");
        let (digits, exponent) = text.split_once('e')?;
        let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
        let decimals = i32::try_from(part.len()).ok()?;
        let power = exponent.parse::<i32>().ok()? - decimals;
        let digits: u128 = format!("{whole}{part}").parse().ok()?;
        let ten = 10u128.checked_pow(power.unsigned_abs())?;
        Some(match power >= 0 {
            true => Self::lowest(digits.checked_mul(ten)?, 1),
            false => Self::lowest(digits, ten),
        })
    }

    /// The rate the other way round, exactly.
    #[must_use]
    pub fn inverted(self) -> Self {
        Self {
            above: self.below,
            below: self.above,
        }
    }

    /// This rate, then `next`.
    #[must_use]
    pub fn then(self, next: Self) -> Self {
        let product = |a: u64, b: u64| u128::from(a) * u128::from(b);
        Self::lowest(
            product(self.above, next.above),
            product(self.below, next.below),
        )
    }

    /// `amount` in the other currency, to the nearest unit, half away from zero.
    #[must_use]
    pub fn of(self, amount: Cash) -> Cash {
        // The only rate of most runs, asked for at every bar: no division of 128 bits for it.
        if self == Self::ONE {
            return amount;
        }
        let size = amount.units().unsigned_abs();
        let (above, below) = (u128::from(self.above), u128::from(self.below));
        // Of what is too large to multiply at once, the whole multiples of `below` come first.
        let units = match size.checked_mul(above) {
            Some(product) if product < u128::MAX / 2 => (product + below / 2) / below,
            _ => {
                let rest = ((size % below) * above + below / 2) / below;
                (size / below).saturating_mul(above).saturating_add(rest)
            }
        };
        let units = i128::try_from(units).unwrap_or(i128::MAX);
        Cash::from_units(units * amount.units().signum())
    }

    /// The most of one that is worth no more than `amount` of the other; nothing where that is
    /// negative.
    #[must_use]
    pub fn most_within(self, amount: Cash) -> Cash {
        let size = u128::try_from(amount.units()).unwrap_or(0);
        let (above, below) = (u128::from(self.above), u128::from(self.below));
        let rest = (size % above) * below / above;
        let units = (size / above).saturating_mul(below).saturating_add(rest);
        Cash::from_units(i128::try_from(units).unwrap_or(i128::MAX))
    }

    /// The nearest `f64`, for display.
    #[must_use]
    pub fn to_f64(self) -> f64 {
        self.above as f64 / self.below as f64
    }

    fn lowest(above: u128, below: u128) -> Self {
        let common = greatest_divisor(above, below).max(1);
        let (mut above, mut below) = (above / common, below / common);
        while above > LARGEST || below > LARGEST {
            (above, below) = (above / 10, below / 10);
        }
        let narrow = |value: u128| u64::try_from(value).unwrap_or(u64::MAX).max(1);
        Self {
            above: narrow(above),
            below: narrow(below),
        }
    }
}

/// Euclid's algorithm.
fn greatest_divisor(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Well-known names of what prices are quoted in, the longer before those that they end with.
const QUOTES: [&str; 11] = [
    "FDUSD", "USDT", "USDC", "USD", "EUR", "GBP", "JPY", "TRY", "BTC", "ETH", "BNB",
];

/// What ends like a dollar behind the last letter of a base (`DOTUSD`, `BNBUSD`), and so counts
/// behind a separator only.
const SEPARATED: [&str; 2] = ["TUSD", "BUSD"];

/// What a symbol trades and what it is quoted in, where its name ends in a well-known currency:
/// `BTCUSDT`, `BTC/USDT`, `BTC-USDT` and `BTC_USDT` are BTC in USDT.
#[must_use]
pub fn pair_of(symbol: &str) -> Option<(&str, &'static str)> {
    let separated = symbol.rsplit_once(['/', '-', '_']);
    if let Some((base, end)) = separated
        && let Some(quote) = SEPARATED.iter().find(|quote| **quote == end)
    {
        return (!base.is_empty()).then_some((base, *quote));
    }
    QUOTES.iter().find_map(|quote| {
        let base = symbol.strip_suffix(quote)?;
        let base = base.trim_end_matches(['/', '-', '_']);
        (!base.is_empty()).then_some((base, *quote))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rate(text: &str) -> Rate {
        Rate::of_price(text.parse().unwrap()).unwrap()
    }

    fn cash(text: &str) -> Cash {
        text.parse().unwrap()
    }

    #[test]
    fn amounts_are_worth_what_the_price_says_to_the_nearest_unit() {
        assert_eq!(rate("1.08").of(cash("100")), cash("108"));
        assert_eq!(rate("64000").inverted().of(cash("64000")), cash("1"));
        assert_eq!(rate("3").inverted().of(cash("1")), cash("0.33333333"));
        assert_eq!(rate("3").inverted().of(cash("-2")), cash("-0.66666667"));
        // A half goes away from zero.
        assert_eq!(rate("0.5").of(cash("0.00000001")), cash("0.00000001"));
        assert_eq!(rate("0.5").of(cash("-0.00000001")), cash("-0.00000001"));
        assert_eq!(Rate::ONE.of(cash("7.00000001")), cash("7.00000001"));
        assert_eq!(Rate::of_price(Price::ZERO), None);
    }

    #[test]
    fn two_prices_one_after_the_other_are_one_fraction() {
        let both = rate("0.05").then(rate("64000"));
        assert_eq!(both, rate("3200"));
        let back = rate("64000").then(rate("64000").inverted());
        assert_eq!(back, Rate::ONE);
        // 26 digits above the line are cut to 18, and as many below.
        let large = rate("99999.99999999").then(rate("99999.99999999"));
        assert_eq!(
            (large.above, large.below),
            (999_999_999_999_800_000, 100_000_000)
        );
    }

    #[test]
    fn a_number_is_the_fraction_that_it_is_written_as() {
        for (number, fraction) in [
            (1.0, (1, 1)),
            (1.08, (27, 25)),
            (0.1, (1, 10)),
            (6.25e-10, (1, 1_600_000_000)),
            (1.5625e-5, (1, 64_000)),
            (1e10, (10_000_000_000, 1)),
            (1.11e-8, (111, 10_000_000_000)),
        ] {
            let found = Rate::of_number(number).unwrap();
            assert_eq!((found.above, found.below), fraction, "{number}");
        }
        for wrong in [0.0, -1.0, 9e-11, 1.1e10, f64::NAN, f64::INFINITY] {
            assert_eq!(Rate::of_number(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_rate_is_written_as_its_two_numbers() {
        let text = serde_json::to_string(&rate("0.75")).unwrap();
        assert_eq!(text, "[3,4]");
        assert_eq!(serde_json::from_str::<Rate>("[6,8]").unwrap(), rate("0.75"));
        for wrong in ["[0,8]", "[6,0]"] {
            let words = serde_json::from_str::<Rate>(wrong).unwrap_err().to_string();
            assert!(words.contains("must be above 0"), "{words}");
        }
    }

    #[test]
    fn the_longest_known_end_is_what_a_symbol_is_quoted_in() {
        let names = [
            "BTCUSDT", "ETH/USD", "ETH-BTC", "BTC", "SPY", "BTCFDUSD", "DOTUSD", "BNBUSD",
            "USDTUSD", "BTC-TUSD", "/TUSD",
        ];
        let expected = [
            Some(("BTC", "USDT")),
            Some(("ETH", "USD")),
            Some(("ETH", "BTC")),
            None,
            None,
            Some(("BTC", "FDUSD")),
            Some(("DOT", "USD")),
            Some(("BNB", "USD")),
            Some(("USDT", "USD")),
            Some(("BTC", "TUSD")),
            None,
        ];
        assert_eq!(names.map(pair_of), expected);
    }

    proptest! {
        #[test]
        fn a_number_loses_nothing_that_counts(number in 1e-10f64..1e10) {
            let back = Rate::of_number(number).unwrap().to_f64();
            prop_assert!((back / number - 1.0).abs() < 2e-9, "{number} {back}");
        }

        #[test]
        fn the_most_within_an_amount_is_worth_no_more_and_a_unit_more_is(
            above in 1u64..1_000_000_000_000_000_000,
            below in 1u64..1_000_000_000_000_000_000,
            amount in 0i128..1_000_000_000_000_000_000,
        ) {
            let rate = Rate::try_from((above, below)).unwrap();
            let most = rate.most_within(Cash::from_units(amount)).units();
            let (above, below) = (i128::from(rate.above), i128::from(rate.below));
            // Against the definition, which fits 128 bits for these numbers one at a time.
            let is_within = |units: i128| match units.checked_mul(above) {
                Some(worth) => worth <= amount * below,
                None => false,
            };
            prop_assert!(is_within(most) && !is_within(most + 1), "{most}");
            prop_assert_eq!(rate.most_within(Cash::from_units(-1 - amount)), Cash::ZERO);
        }

        #[test]
        fn amounts_that_are_too_large_to_multiply_at_once_are_converted_like_others(
            above in 1u64..1_000_000_000_000_000_000,
            below in 1u64..1_000_000_000_000,
            whole in 1i128..1_000_000_000_000,
            rest in 0i128..1_000_000_000_000,
        ) {
            let rate = Rate::try_from((above, below)).unwrap();
            let large = Cash::from_units(whole * i128::from(rate.below) * 1_000_000);
            let small = Cash::from_units(rest % i128::from(rate.below));
            // Whole multiples of what stands below the line convert without a rest.
            let exact = whole * 1_000_000 * i128::from(rate.above);
            prop_assert_eq!(rate.of(large).units(), exact);
            prop_assert_eq!(rate.of(large + small).units(), exact + rate.of(small).units());
            prop_assert_eq!(rate.of(-(large + small)), -rate.of(large + small));
        }

        #[test]
        fn the_way_there_and_back_loses_at_most_what_a_unit_is_worth(
            amount in -1_000_000_000_000_000i64..1_000_000_000_000_000,
            price in 1_000i64..10_000_000_000_000,
        ) {
            let rate = Rate::of_price(Price::from_units(i128::from(price))).unwrap();
            let amount = Cash::from_units(i128::from(amount));
            let back = rate.inverted().of(rate.of(amount));
            // Half a unit there, which is worth so much here, and half a unit back.
            let unit = rate.inverted().of(Cash::from_units(1)).units().max(1);
            prop_assert!((back - amount).units().abs() <= unit);
        }
    }
}
