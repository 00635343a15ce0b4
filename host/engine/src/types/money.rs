//! Fixed-point money: integers of 1e-8, so that sums are exact and order-independent.

use std::fmt;
use std::hash::Hash;
use std::iter::Sum;
use std::marker::PhantomData;
use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Units in one whole: eight decimals, as venues use for prices and amounts.
pub const UNITS_PER_ONE: i128 = 100_000_000;
const DECIMALS: usize = 8;
/// Characters of the longest amount: 39 digits, a sign and a point.
const DIGITS: usize = 41;

/// Why a number is not money.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MoneyError {
    /// Not finite, or too large.
    #[error("{value} is not a {kind}; it must be finite and below 1e11")]
    OutOfRange {
        /// The value, as text.
        value: String,
        /// What it should have been.
        kind: &'static str,
    },
    /// The text is not a decimal number with at most eight decimals.
    #[error("`{0}` is not a decimal number with at most 8 decimals")]
    NotANumber(String),
}

/// What a fixed-point amount counts; keeps prices, quantities and cash from being mixed up.
pub trait Unit: fmt::Debug + Copy + Default + Ord + Hash {
    /// The name in messages.
    const NAME: &'static str;
}

/// Marks [`Price`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QuotePerBase;
/// Marks [`Quantity`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Base;
/// Marks [`Cash`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quote;

impl Unit for QuotePerBase {
    const NAME: &'static str = "price";
}
impl Unit for Base {
    const NAME: &'static str = "quantity";
}
impl Unit for Quote {
    const NAME: &'static str = "cash amount";
}

/// A price in the quote asset per one base asset.
pub type Price = Fixed<QuotePerBase>;
/// An amount of the base asset; negative is short.
pub type Quantity = Fixed<Base>;
/// An amount of the quote asset.
pub type Cash = Fixed<Quote>;

/// A number of units of 1e-8, below 1e11 whole ones where it comes from outside, so that the
/// product of any two fits the integer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fixed<U: Unit> {
    units: i128,
    unit: PhantomData<U>,
}

/// Whole ones from which on a number from outside is refused.
const LIMIT: i128 = 100_000_000_000;

impl<U: Unit> Fixed<U> {
    /// Nothing.
    pub const ZERO: Self = Self::from_units(0);

    /// From units of 1e-8.
    #[must_use]
    pub const fn from_units(units: i128) -> Self {
        Self {
            units,
            unit: PhantomData,
        }
    }

    /// In units of 1e-8.
    #[must_use]
    pub const fn units(self) -> i128 {
        self.units
    }

    /// The nearest fixed-point value, ties away from zero.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`] where `value` is not finite or too large.
    #[inline]
    pub fn from_f64(value: f64) -> Result<Self, MoneyError> {
        // False for what is not a number, too.
        if value.abs() < LIMIT as f64 {
            return Ok(Self::from_units(rounded(value * UNITS_PER_ONE as f64)));
        }
        Err(out_of_range(value, U::NAME))
    }

    /// The nearest `f64`, for statistics and display only.
    #[must_use]
    pub fn to_f64(self) -> f64 {
        // 64 bits are converted by one instruction, 128 by a call; both round to the nearest.
        match i64::try_from(self.units) {
            Ok(units) => units as f64 / UNITS_PER_ONE as f64,
            Err(_) => self.units as f64 / UNITS_PER_ONE as f64,
        }
    }

    /// The distance from zero.
    #[must_use]
    pub const fn abs(self) -> Self {
        Self::from_units(self.units.saturating_abs())
    }

    /// Whether this is nothing.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.units == 0
    }

    /// -1, 0 or 1.
    #[must_use]
    pub const fn signum(self) -> i8 {
        self.units.signum() as i8
    }

    /// `micro_bps` millionths of a basis point of this amount, so that a fee of 0.25 bps is exact;
    /// rounded half away from zero.
    #[must_use]
    pub const fn scaled_by_micro_bps(self, micro_bps: i64) -> Self {
        let product = product(self.units, micro_bps as i128);
        Self::from_units(divide_rounded_by_whole(product))
    }

    /// The nearest multiple of `step` that is not farther from zero; itself where `step` is not
    /// positive.
    #[must_use]
    pub const fn toward_zero(self, step: Self) -> Self {
        if step.units <= 1 {
            return self;
        }
        Self::from_units(self.units - remainder(self.units, step.units))
    }

    /// The nearest multiple of `step` that is not below this; itself where `step` is not positive.
    #[must_use]
    pub const fn up_to(self, step: Self) -> Self {
        if step.units <= 1 {
            return self;
        }
        let above = euclidean_remainder(self.units, step.units);
        let missing = if above == 0 { 0 } else { step.units - above };
        Self::from_units(self.units.saturating_add(missing))
    }

    /// The nearest multiple of `step` that is not above this; itself where `step` is not positive.
    #[must_use]
    pub const fn down_to(self, step: Self) -> Self {
        if step.units <= 1 {
            return self;
        }
        Self::from_units(self.units - euclidean_remainder(self.units, step.units))
    }

    /// The part of this amount that falls on `part` of `whole`, rounded half away from zero; all of
    /// it where `whole` is zero. A caller that splits an amount gives the rest to the other part,
    /// so that nothing is lost to rounding.
    #[must_use]
    pub fn share<V: Unit>(self, part: Fixed<V>, whole: Fixed<V>) -> Self {
        if whole.is_zero() || part == whole {
            return self;
        }
        let sign = whole.units.signum();
        let mut part = part.units.saturating_mul(sign);
        let mut whole = whole.units.saturating_abs();
        // Only the ratio matters, so both shrink together until the product fits.
        while whole > 1 {
            match self.units.checked_mul(part) {
                Some(product) if product.unsigned_abs() < 1 << 126 => {
                    return Self::from_units(divide_rounded(product, whole));
                }
                _ => (part, whole) = (part / 2, whole / 2),
            }
        }
        Self::from_units(self.units.saturating_mul(part))
    }
}

impl<U: Unit> Add for Fixed<U> {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self::from_units(self.units.saturating_add(other.units))
    }
}

impl<U: Unit> Sub for Fixed<U> {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self::from_units(self.units.saturating_sub(other.units))
    }
}

impl<U: Unit> AddAssign for Fixed<U> {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl<U: Unit> SubAssign for Fixed<U> {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl<U: Unit> Neg for Fixed<U> {
    type Output = Self;
    fn neg(self) -> Self {
        Self::from_units(self.units.saturating_neg())
    }
}

impl<U: Unit> Sum for Fixed<U> {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

impl<U: Unit> fmt::Display for Fixed<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0; DIGITS];
        f.pad(decimal_text(self.units, &mut digits))
    }
}

impl<U: Unit> FromStr for Fixed<U> {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, MoneyError> {
        let amount = Self::from_text(text)?;
        if amount.units.saturating_abs() >= LIMIT * UNITS_PER_ONE {
            return Err(MoneyError::OutOfRange {
                value: text.to_owned(),
                kind: U::NAME,
            });
        }
        Ok(amount)
    }
}

impl<U: Unit> Fixed<U> {
    /// A decimal number of any size that the integer holds.
    fn from_text(text: &str) -> Result<Self, MoneyError> {
        let wrong = || MoneyError::NotANumber(text.to_owned());
        let digits = text.strip_prefix('-').unwrap_or(text);
        let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
        let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || decimals.len() > DECIMALS || !plain(whole) || !plain(decimals) {
            return Err(wrong());
        }
        let joined = format!("{whole}{decimals:0<DECIMALS$}");
        let units: i128 = joined.parse().map_err(|_| wrong())?;
        Ok(Self::from_units(if text.starts_with('-') {
            -units
        } else {
            units
        }))
    }
}

impl<U: Unit> Serialize for Fixed<U> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, U: Unit> Deserialize<'de> for Fixed<U> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Amounts grow beyond what is taken from outside, and a journal of them must be readable.
        let text = String::deserialize(deserializer)?;
        Self::from_text(&text).map_err(serde::de::Error::custom)
    }
}

impl Price {
    /// The value of `quantity` at this price, rounded half away from zero.
    #[must_use]
    pub const fn times(self, quantity: Quantity) -> Cash {
        let product = product(self.units, quantity.units);
        Cash::from_units(divide_rounded_by_units(product))
    }
}

impl Cash {
    /// The quantity that this amount buys at `price`, rounded toward zero; `None` where the price
    /// is zero.
    #[must_use]
    pub const fn divided_by(self, price: Price) -> Option<Quantity> {
        let scaled = self.units.saturating_mul(UNITS_PER_ONE);
        match scaled.checked_div(price.units) {
            Some(units) => Some(Quantity::from_units(units)),
            None => None,
        }
    }

    /// The average price at which `quantity` comes to this amount, rounded half away from zero;
    /// `None` where the quantity is zero.
    #[must_use]
    pub const fn per(self, quantity: Quantity) -> Option<Price> {
        let scaled = self.units.saturating_mul(UNITS_PER_ONE);
        if quantity.units == 0 {
            return None;
        }
        let scaled = scaled.saturating_mul(quantity.units.signum());
        let units = divide_rounded(scaled, quantity.units.saturating_abs());
        Some(Price::from_units(units))
    }
}

#[cold]
fn out_of_range(value: f64, kind: &'static str) -> MoneyError {
    MoneyError::OutOfRange {
        value: value.to_string(),
        kind,
    }
}

/// `value` rounded half away from zero, as `f64::round` does, without its call where it fits 64
/// bits.
#[inline]
fn rounded(value: f64) -> i128 {
    // From 2^52 on a float has no fraction; below, the whole part and the rest are exact.
    if value.abs() < 4.5e15 {
        let whole = value as i64;
        let rest = value - whole as f64;
        let step = i64::from(rest >= 0.5) - i64::from(rest <= -0.5);
        return i128::from(whole + step);
    }
    value.round() as i128
}

/// `a x b`, held at the ends of the range. What fits 64 bits, as most amounts do, is multiplied by
/// one instruction; so it is with the remainders below.
const fn product(a: i128, b: i128) -> i128 {
    let (small_a, small_b) = (a as i64, b as i64);
    if small_a as i128 == a && small_b as i128 == b {
        small_a as i128 * small_b as i128
    } else {
        a.saturating_mul(b)
    }
}

/// What `value / by` leaves, with the sign of `value`; `by` is above one.
const fn remainder(value: i128, by: i128) -> i128 {
    let (small_value, small_by) = (value as i64, by as i64);
    if small_value as i128 == value && small_by as i128 == by {
        (small_value % small_by) as i128
    } else {
        value % by
    }
}

/// The same, from zero on.
const fn euclidean_remainder(value: i128, by: i128) -> i128 {
    let left = remainder(value, by);
    if left < 0 { left + by } else { left }
}

/// `value / 1e8` rounded half away from zero.
const fn divide_rounded_by_units(value: i128) -> i128 {
    const HALF: u128 = 50_000_000;
    // 1e8 is 390,625 times 2^8.
    let size = divide_by_small::<390_625>(value.unsigned_abs().saturating_add(HALF) >> 8);
    if value < 0 {
        -(size as i128)
    } else {
        size as i128
    }
}

/// `value / 1e10` rounded half away from zero: the whole in millionths of a basis point.
const fn divide_rounded_by_whole(value: i128) -> i128 {
    const HALF: u128 = 5_000_000_000;
    // 1e10 is 9,765,625 times 2^10.
    let size = divide_by_small::<9_765_625>(value.unsigned_abs().saturating_add(HALF) >> 10);
    if value < 0 {
        -(size as i128)
    } else {
        size as i128
    }
}

/// `value / BY` for a constant below 2^24, in parts of at most 64 bits: the compiler turns each
/// division into a multiplication, where a division of 128 bits would be a call.
const fn divide_by_small<const BY: u64>(value: u128) -> u128 {
    const PART: u32 = 40;
    const REST: u64 = (1 << PART) - 1;
    let (high, low) = ((value >> PART) as u64, value as u64);
    if value >> 64 == 0 {
        return (low / BY) as u128;
    }
    if value >> (64 + PART) == 0 {
        let rest = ((high % BY) << PART) | (low & REST);
        return (((high / BY) as u128) << PART) + (rest / BY) as u128;
    }
    value / BY as u128
}

/// `value / by` rounded half away from zero; `by` is positive.
const fn divide_rounded(value: i128, by: i128) -> i128 {
    let half = by / 2;
    let shifted = if value >= 0 {
        value.saturating_add(half)
    } else {
        value.saturating_sub(half)
    };
    // Most amounts fit 64 bits, where the processor divides by itself.
    let fits = shifted as i64 as i128 == shifted && by as i64 as i128 == by;
    if fits {
        return (shifted as i64 / by as i64) as i128;
    }
    shifted / by
}

/// Writes `units` as a decimal number into `digits`, without trailing zeros.
fn decimal_text(units: i128, digits: &mut [u8; DIGITS]) -> &str {
    let mut left = units.unsigned_abs();
    let mut start = DIGITS;
    let mut decimals = 0;
    let mut significant = false;
    while left > 0 || decimals <= DECIMALS {
        let digit = b'0' + (left % 10) as u8;
        left /= 10;
        if decimals == DECIMALS && significant {
            start -= 1;
            digits[start] = b'.';
        }
        significant |= digit != b'0';
        if significant || decimals >= DECIMALS {
            start -= 1;
            digits[start] = digit;
        }
        decimals += 1;
    }
    if units < 0 {
        start -= 1;
        digits[start] = b'-';
    }
    std::str::from_utf8(&digits[start..]).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn quick_rounding_is_that_of_floats(value in -1e19_f64..1e19, part in -1e7_f64..1e7) {
            let half = part.trunc() + 0.5;
            for value in [value, part, half, -half, value / 1e3] {
                proptest::prop_assert_eq!(rounded(value), value.round() as i128);
                let units = value.round() as i128;
                let plain = units as f64 / UNITS_PER_ONE as f64;
                let quick = Cash::from_units(units).to_f64();
                proptest::prop_assert_eq!(quick.to_bits(), plain.to_bits());
            }
        }

        #[test]
        fn quick_divisions_round_like_the_plain_one(
            value: i128,
            shift in 2_u32..127,
            small in -1_000_000_000_000_i64..1_000_000_000_000,
        ) {
            let values = [value / 4, value >> shift, i128::from(small) * 50_000_000];
            for value in values.into_iter().chain([i128::from(small)]) {
                let plain = divide_rounded(value, UNITS_PER_ONE);
                proptest::prop_assert_eq!(divide_rounded_by_units(value), plain);
                let plain = divide_rounded(value, 10_000_000_000);
                proptest::prop_assert_eq!(divide_rounded_by_whole(value), plain);
            }
        }
    }
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn quick_products_and_remainders_are_the_plain_ones(
            a: i128,
            b: i128,
            (shift_a, shift_b) in (0_u32..127, 0_u32..127),
        ) {
            let (a, b) = (a >> shift_a, b >> shift_b);
            prop_assert_eq!(product(a, b), a.saturating_mul(b));
            let by = b.saturating_abs().max(2);
            prop_assert_eq!(remainder(a, by), a % by);
            prop_assert_eq!(euclidean_remainder(a, by), a.rem_euclid(by));
        }
    }

    #[test]
    fn what_was_written_can_be_read_whatever_its_size() {
        for units in [1, -1, 25_000_000_000_000_000_000, i128::MAX, -i128::MAX] {
            let text = serde_json::to_string(&Cash::from_units(units)).unwrap();
            let read: Cash = serde_json::from_str(&text).unwrap();
            assert_eq!(read.units(), units);
        }
        let beyond = format!("\"{}0\"", Cash::from_units(i128::MAX));
        assert!(serde_json::from_str::<Cash>(&beyond).is_err());
    }

    #[test]
    fn products_round_half_away_from_zero() {
        let price: Price = "0.00000001".parse().unwrap();
        let half: Quantity = "0.5".parse().unwrap();
        assert_eq!(price.times(half), Cash::from_units(1));
        let minus_half: Quantity = "-0.5".parse().unwrap();
        assert_eq!(price.times(minus_half), Cash::from_units(-1));
    }

    #[test]
    fn fees_in_fractions_of_a_basis_point_are_exact() {
        let notional: Cash = "10000".parse().unwrap();
        assert_eq!(notional.scaled_by_micro_bps(250_000).to_string(), "0.25");
    }

    #[test]
    fn steps_round_to_the_side_that_is_named() {
        let step = Quantity::from_units(300);
        let rounded = |units| {
            let amount = Quantity::from_units(units);
            let sides = [
                amount.toward_zero(step),
                amount.up_to(step),
                amount.down_to(step),
            ];
            sides.map(Quantity::units)
        };
        assert_eq!(rounded(700), [600, 900, 600]);
        assert_eq!(rounded(-700), [-600, -600, -900]);
        assert_eq!(rounded(600), [600, 600, 600]);
    }

    #[test]
    fn shares_of_amounts_beyond_the_integer_stay_proportional() {
        let amount = Cash::from_units(1 << 100);
        let (part, whole) = (Quantity::from_units(1 << 80), Quantity::from_units(1 << 82));
        assert_eq!(amount.share(part, whole), Cash::from_units(1 << 98));
        let minus = amount.share(-part, -whole);
        assert_eq!(minus, Cash::from_units(1 << 98));
        assert_eq!(Cash::from_units(7).share(part, Quantity::ZERO).units(), 7);
    }

    #[test]
    fn amounts_divide_into_quantities_and_prices() {
        let cash: Cash = "100".parse().unwrap();
        let price: Price = "3".parse().unwrap();
        let quantity = cash.divided_by(price).unwrap();
        assert_eq!(quantity.to_string(), "33.33333333");
        assert_eq!(cash.divided_by(Price::ZERO), None);
        let average = (-cash).per(Quantity::from_units(-700_000_000)).unwrap();
        assert_eq!(average.to_string(), "14.28571429");
        assert_eq!(cash.per(Quantity::ZERO), None);
    }

    #[test]
    fn text_has_no_needless_digits() {
        for (units, text) in [
            (0, "0"),
            (1, "0.00000001"),
            (-150_000_000, "-1.5"),
            (100_000_000, "1"),
            (12_345_678_900_000_000, "123456789"),
            (i128::MIN, "-1701411834604692317316873037158.84105728"),
        ] {
            assert_eq!(Price::from_units(units).to_string(), text);
        }
        assert_eq!(format!("{:>6}", Price::from_units(150_000_000)), "   1.5");
    }

    #[test]
    fn refuses_what_is_not_money() {
        assert!(Price::from_f64(f64::NAN).is_err());
        assert!(Price::from_f64(f64::INFINITY).is_err());
        assert!(Price::from_f64(1e11).is_err());
        for text in ["", ".", "1.123456789", "1e5", "--1", "+1", "1.2.3"] {
            assert!(text.parse::<Price>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn text_round_trip(units: i64) {
            let price = Price::from_units(i128::from(units));
            prop_assert_eq!(price.to_string().parse::<Price>().unwrap(), price);
        }

        #[test]
        fn float_round_trip(units in -(1i64 << 50)..(1i64 << 50)) {
            let price = Price::from_units(i128::from(units));
            prop_assert_eq!(Price::from_f64(price.to_f64()).unwrap(), price);
        }
    }
}
