//! Shapes that many operators share: numbers of each bar, or of each step from one bar to the
//! next, that go through a window and are then shown. A kind states the numbers and what to show.

use std::fmt::Debug;

use super::kind::Parameter;
use super::wide::wide;
use super::window::{
    Moments, PairMoments, ROWS, RollingMoments, RollingPair, RollingQuantiles, RollingRank,
    RollingSum,
};
use super::{Bars, Operator, State, StateError, StateReader, StateWriter};
use crate::types::Bar;

/// A window of `default` bars.
pub(super) const fn window(default: u32) -> Parameter {
    Parameter::bars("period", default, 2, "window length in bars")
}

/// What is remembered of the bar before.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Prices {
    pub(super) open: f64,
    pub(super) high: f64,
    pub(super) low: f64,
    pub(super) close: f64,
    pub(super) volume: f64,
}

impl Prices {
    pub(super) fn of(bar: &Bar) -> Self {
        Self {
            open: bar.open,
            high: bar.high,
            low: bar.low,
            close: bar.close,
            volume: bar.volume,
        }
    }
}

/// Ratios closer to one than this are taken by the series.
const NEAR: f64 = 0.04;

/// `ln(a / b)` of positive numbers.
///
/// Prices of one market are close to each other: `a - b` is then exact, where the rounding of
/// `a / b` would cost a small return its last digits, and four terms of the series
/// `2 (s + s^3 / 3 + s^5 / 5 + ...)` with `s = (a - b) / (a + b)` leave out less than a rounding.
#[inline]
pub(super) fn log_ratio(a: f64, b: f64) -> f64 {
    let difference = a - b;
    if difference.abs() >= NEAR * b || difference.is_nan() {
        return log_of_far_ratio(a, b);
    }
    log_of_near_ratio(a, b)
}

#[inline(always)]
fn log_of_near_ratio(a: f64, b: f64) -> f64 {
    let s = (a - b) / (a + b);
    let square = s * s;
    let terms = 1.0 / 7.0 + square * (1.0 / 9.0);
    let terms = square * (1.0 / 3.0 + square * (1.0 / 5.0 + square * terms));
    2.0 * (s + s * terms)
}

/// Makes `ln(a[i] / values[i])` of each of `values`, with the bits of [`log_ratio`].
pub(super) fn log_ratios(a: &[f64], values: &mut [f64]) {
    wide(
        #[inline(always)]
        || {
            // Without an early end, the comparisons are done several at a time.
            let far = a.iter().zip(&*values).map(|(a, b)| {
                let is_near = (a - b).abs() < NEAR * b;
                u64::from(!is_near)
            });
            if far.sum::<u64>() == 0 {
                for (a, value) in a.iter().zip(values) {
                    *value = log_of_near_ratio(*a, *value);
                }
            } else {
                for (a, value) in a.iter().zip(values) {
                    *value = log_ratio(*a, *value);
                }
            }
        },
    );
}

#[inline(never)]
fn log_of_far_ratio(a: f64, b: f64) -> f64 {
    (a / b).ln()
}

/// Log return from one bar to the next.
#[inline]
pub(super) fn log_return(bar: &Bar, before: &Prices) -> f64 {
    log_ratio(bar.close, before.close)
}

/// `a / b`, and `otherwise` where `b` is zero. A missing number stays missing.
#[inline(always)]
pub(super) fn share(a: f64, b: f64, otherwise: f64) -> f64 {
    let ratio = a / b;
    let is_zero = b.abs() <= 0.0;
    if is_zero { otherwise } else { ratio }
}

/// Fewer bars than these are shown one by one: passes over columns would not pay.
pub(super) const FEW: usize = 16;

/// Shows bars to `pass` in parts of at most [`ROWS`], a few one by one. For operators that take
/// columns in several passes and keep what they find between them in arrays of [`ROWS`].
#[inline]
pub(super) fn in_parts<O: Operator>(
    operator: &mut O,
    bars: Bars<'_>,
    values: &mut [f64],
    mut pass: impl FnMut(&mut O, Bars<'_>, &mut [f64]),
) {
    if bars.len() < FEW {
        one_by_one(operator, bars, values);
        return;
    }
    wide(
        #[inline(always)]
        || {
            for (part, values) in values.chunks_mut(ROWS).enumerate() {
                let begin = part * ROWS;
                pass(operator, bars.slice(begin..begin + values.len()), values);
            }
        },
    );
}

/// [`in_parts`], but one by one until the operator `is_warm`: `pass` then finds nothing missing.
#[inline]
pub(super) fn in_warm_parts<O: Operator>(
    operator: &mut O,
    bars: Bars<'_>,
    values: &mut [f64],
    is_warm: impl Fn(&O) -> bool,
    mut pass: impl FnMut(&mut O, Bars<'_>, &mut [f64]),
) {
    in_parts(
        operator,
        bars,
        values,
        #[inline(always)]
        |all, bars, values| {
            if is_warm(all) {
                pass(all, bars, values);
            } else {
                one_by_one(all, bars, values);
            }
        },
    );
}

/// Shows bars to an operator one after the other until it `is_warm` or there are no more; how many
/// it has seen then. Where there are few of them it sees them all.
pub(super) fn until_warm<O: Operator>(
    operator: &mut O,
    bars: Bars<'_>,
    values: &mut [f64],
    is_warm: impl Fn(&O) -> bool,
) -> usize {
    let are_few = bars.len() < FEW;
    let mut shown = 0;
    for (bar, value) in bars.rows().iter().zip(values) {
        if !are_few && is_warm(operator) {
            break;
        }
        *value = operator.update(bar).unwrap_or(f64::NAN);
        shown += 1;
    }
    shown
}

/// Shows bars to an operator one after the other.
pub(super) fn one_by_one<O: Operator>(operator: &mut O, bars: Bars<'_>, values: &mut [f64]) {
    for (bar, value) in bars.rows().iter().zip(values) {
        *value = operator.update(bar).unwrap_or(f64::NAN);
    }
}

/// The deviation of moments, for [`RollingMoments::push_all`].
pub(super) fn deviation(moments: Moments, _: f64) -> f64 {
    moments.standard_deviation
}

/// `N` numbers of each bar that go through a window.
///
/// Kinds write them as closures, which the compiler joins with the window into one loop.
pub(super) trait Term<const N: usize>: State + Clone + Send + Sync + 'static {
    fn push(&mut self, bar: &Bar) -> Option<[f64; N]>;

    /// The numbers of at most [`ROWS`] bars, from the first place of each column on; how many there
    /// are: all bars' or, at the start, one bar fewer.
    fn push_all(&mut self, bars: Bars<'_>, columns: &mut [[f64; ROWS]; N]) -> usize;
}

/// How kinds write their numbers.
pub(super) struct Terms;

impl Terms {
    /// Numbers of each bar alone.
    pub(super) fn bars<const N: usize, F>(of: F) -> BarTerms<F>
    where
        F: Fn(&Bar) -> [f64; N] + Formula,
    {
        BarTerms { of }
    }

    /// Numbers of each bar and the one before; one bar more is needed before the first ones.
    pub(super) fn steps<const N: usize, F>(of: F) -> StepTerms<F>
    where
        F: Fn(&Bar, &Prices) -> [f64; N] + Formula,
    {
        StepTerms { of, previous: None }
    }
}

/// What a formula in a closure must allow.
pub(super) trait Formula: Copy + Send + Sync + 'static {}

impl<F: Copy + Send + Sync + 'static> Formula for F {}

/// Numbers of each bar alone.
#[derive(Clone)]
pub(super) struct BarTerms<F> {
    of: F,
}

/// Numbers of each bar and the one before.
#[derive(Clone)]
pub(super) struct StepTerms<F> {
    of: F,
    previous: Option<Prices>,
}

impl<const N: usize, F: Fn(&Bar) -> [f64; N] + Formula> Term<N> for BarTerms<F> {
    #[inline]
    fn push(&mut self, bar: &Bar) -> Option<[f64; N]> {
        Some((self.of)(bar))
    }

    #[inline]
    fn push_all(&mut self, bars: Bars<'_>, columns: &mut [[f64; ROWS]; N]) -> usize {
        for (place, bar) in bars.iter().enumerate().take(ROWS) {
            for (column, number) in columns.iter_mut().zip((self.of)(&bar)) {
                column[place] = number;
            }
        }
        bars.len().min(ROWS)
    }
}

impl<const N: usize, F: Fn(&Bar, &Prices) -> [f64; N] + Formula> Term<N> for StepTerms<F> {
    #[inline]
    fn push(&mut self, bar: &Bar) -> Option<[f64; N]> {
        let previous = self.previous.replace(Prices::of(bar))?;
        Some((self.of)(bar, &previous))
    }

    #[inline]
    fn push_all(&mut self, bars: Bars<'_>, columns: &mut [[f64; ROWS]; N]) -> usize {
        let mut bars = bars.iter();
        let first = if self.previous.is_none() {
            bars.next()
        } else {
            None
        };
        let Some(mut previous) = self.previous.or(first.as_ref().map(Prices::of)) else {
            return 0;
        };
        let count = bars.len().min(ROWS);
        for (place, bar) in bars.enumerate().take(ROWS) {
            for (column, number) in columns.iter_mut().zip((self.of)(&bar, &previous)) {
                column[place] = number;
            }
            previous = Prices::of(&bar);
        }
        self.previous = Some(previous);
        count
    }
}

impl<F> State for BarTerms<F> {
    fn save(&self, _to: &mut StateWriter) {}

    fn load(&mut self, _from: &mut StateReader<'_>) -> Result<(), StateError> {
        Ok(())
    }
}

impl<F> State for StepTerms<F> {
    fn save(&self, to: &mut StateWriter) {
        self.previous.save(to);
    }

    fn load(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        self.previous.load(from)
    }
}

/// Numbers that go through a window `W`, of which `show` makes the value.
#[derive(Clone)]
pub(super) struct Through<T, W, S> {
    pub(super) terms: T,
    pub(super) window: W,
    pub(super) show: S,
}

impl<T: State, W: State, S> State for Through<T, W, S> {
    fn save(&self, to: &mut StateWriter) {
        self.terms.save(to);
        self.window.save(to);
    }

    fn load(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        self.terms.load(from)?;
        self.window.load(from)
    }
}

impl<T, W: Debug, S> Debug for Through<T, W, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Through")
            .field("window", &self.window)
            .finish_non_exhaustive()
    }
}

/// Sums of several numbers over a window, and its length.
#[derive(Debug, Clone)]
pub(super) struct SumWindows<const N: usize> {
    sums: [RollingSum; N],
    period: f64,
}

impl<const N: usize> State for SumWindows<N> {
    fn save(&self, to: &mut StateWriter) {
        self.sums.save(to);
    }

    fn load(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        self.sums.load(from)
    }
}

/// Sums of numbers over a window; `show` gets the sums and the length of the window.
pub(super) fn sums<const N: usize, T, S>(
    period: usize,
    terms: T,
    show: S,
) -> Through<T, SumWindows<N>, S>
where
    T: Term<N>,
    S: Fn(&[f64; N], f64) -> f64 + Formula,
{
    let window = SumWindows {
        sums: std::array::from_fn(|_| RollingSum::new(period)),
        period: period as f64,
    };
    Through {
        terms,
        window,
        show,
    }
}

impl<const N: usize, T, S> Operator for Through<T, SumWindows<N>, S>
where
    T: Term<N>,
    S: Fn(&[f64; N], f64) -> f64 + Formula,
{
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let terms = self.terms.push(bar)?;
        let mut shown = [0.0; N];
        let mut is_full = true;
        for ((sum, term), shown) in self.window.sums.iter_mut().zip(terms).zip(&mut shown) {
            match sum.push(term) {
                Some(total) => *shown = total,
                None => is_full = false,
            }
        }
        is_full.then(|| (self.show)(&shown, self.window.period))
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_parts(
            self,
            bars,
            values,
            #[inline(always)]
            |all, bars, values| {
                let (mut terms, mut totals) = ([[0.0; ROWS]; N], [[0.0; ROWS]; N]);
                let count = all.terms.push_all(bars, &mut terms);
                let missing = all.window.sums.first().map_or(0, RollingSum::missing);
                let sums = all.window.sums.iter_mut();
                for (sum, (terms, totals)) in sums.zip(terms.iter().zip(&mut totals)) {
                    sum.push_all(&terms[..count], &mut totals[..count]);
                }
                let first = values.len() - count;
                for (place, value) in values[first..].iter_mut().enumerate() {
                    let shown = std::array::from_fn(|n| totals[n][place]);
                    *value = (all.show)(&shown, all.window.period);
                }
                let blank = (first + missing).min(values.len());
                values[..blank].fill(f64::NAN);
            },
        );
    }
}

/// Mean and deviation of a number over a window; `show` gets them and the newest number.
pub(super) fn moments<T, S>(period: usize, terms: T, show: S) -> Through<T, RollingMoments, S>
where
    T: Term<1>,
    S: Fn(Moments, f64) -> f64 + Formula,
{
    Through {
        terms,
        window: RollingMoments::new(period),
        show,
    }
}

impl<T, S> Operator for Through<T, RollingMoments, S>
where
    T: Term<1>,
    S: Fn(Moments, f64) -> f64 + Formula,
{
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let [value] = self.terms.push(bar)?;
        Some((self.show)(self.window.push(value)?, value))
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_parts(
            self,
            bars,
            values,
            #[inline(always)]
            |all, bars, values| {
                let mut terms = [[0.0; ROWS]];
                let count = all.terms.push_all(bars, &mut terms);
                let (blank, values) = values.split_at_mut(values.len() - count);
                blank.fill(f64::NAN);
                let [terms] = &terms;
                all.window.push_all(&terms[..count], values, all.show);
            },
        );
    }
}

/// Moments of pairs of numbers over a window.
pub(super) fn pairs<T, S>(period: usize, terms: T, show: S) -> Through<T, RollingPair, S>
where
    T: Term<2>,
    S: Fn(&PairMoments) -> f64 + Formula,
{
    Through {
        terms,
        window: RollingPair::new(period),
        show,
    }
}

impl<T, S> Operator for Through<T, RollingPair, S>
where
    T: Term<2>,
    S: Fn(&PairMoments) -> f64 + Formula,
{
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let [x, y] = self.terms.push(bar)?;
        Some((self.show)(&self.window.push(x, y)?))
    }
}

/// Quantiles of a number over a window; `show` gets them, in the order of `shares`, and the newest
/// number.
pub(super) fn quantiles<const N: usize, T, S>(
    period: usize,
    shares: [f64; N],
    terms: T,
    show: S,
) -> Through<T, RollingQuantiles<N>, S>
where
    T: Term<1>,
    S: Fn([f64; N], f64) -> f64 + Formula,
{
    Through {
        terms,
        window: RollingQuantiles::new(period, shares),
        show,
    }
}

impl<const N: usize, T, S> Operator for Through<T, RollingQuantiles<N>, S>
where
    T: Term<1>,
    S: Fn([f64; N], f64) -> f64 + Formula,
{
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let [value] = self.terms.push(bar)?;
        Some((self.show)(self.window.push(value)?, value))
    }
}

/// The rank of a number in its window.
pub(super) fn rank<T: Term<1>>(period: usize, terms: T) -> Through<T, RollingRank, ()> {
    Through {
        terms,
        window: RollingRank::new(period),
        show: (),
    }
}

impl<T: Term<1>> Operator for Through<T, RollingRank, ()> {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let [value] = self.terms.push(bar)?;
        self.window.push(value)
    }
}

/// The UTC day in which a bar opened, counted from the epoch.
pub(super) fn day_of(bar: &Bar) -> i64 {
    bar.opened_at.as_millis().div_euclid(86_400_000)
}

crate::state! {
    Prices { open, high, low, close, volume }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logarithm_of_a_ratio_keeps_its_digits_near_one() {
        for price in [1e-7, 0.37, 1.0, 9_123.5, 4e9] {
            for step in -300..=300 {
                let change = f64::from(step) * 1e-3 + f64::from(step).powi(5) * 1e-17;
                let other = price * (1.0 + change);
                // The difference of near numbers is exact.
                let expected = ((other - price) / price).ln_1p();
                let got = log_ratio(other, price);
                // Farther away the quotient is rounded first.
                let tolerance = if change.abs() < NEAR { 5e-16 } else { 4e-15 };
                assert!(
                    (got - expected).abs() <= tolerance * expected.abs(),
                    "{price}, {change}"
                );
            }
        }
        assert_eq!(log_ratio(7.3, 7.3).to_bits(), 0);
        assert!(log_ratio(0.0, 7.3).is_infinite() && log_ratio(0.0, 7.3) < 0.0);
        assert!(log_ratio(f64::NAN, 7.3).is_nan() && log_ratio(7.3, f64::NAN).is_nan());
        assert!(log_ratio(-1.0, 7.3).is_nan() && log_ratio(0.0, 0.0).is_nan());
    }
}
