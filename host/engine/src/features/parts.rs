//! Shapes that many operators share: numbers of each bar, or of each step from one bar to the
//! next, that go through a window and are then shown. A kind states the numbers and what to show.

use super::Operator;
use super::kind::Parameter;
use super::window::{
    Moments, PairMoments, RollingLine, RollingMean, RollingMoments, RollingPair, RollingSum,
    SortedWindow,
};
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

/// Log return from one bar to the next.
pub(super) fn log_return(bar: &Bar, before: &Prices) -> f64 {
    (bar.close / before.close).ln()
}

/// `a / b`, and `otherwise` where `b` is zero. A missing number stays missing.
pub(super) fn share(a: f64, b: f64, otherwise: f64) -> f64 {
    let ratio = a / b;
    if b.abs() > 0.0 || b.is_nan() {
        ratio
    } else {
        otherwise
    }
}

/// `N` numbers of each bar, or of each bar and the one before.
#[derive(Debug, Clone)]
pub(super) struct Terms<const N: usize> {
    source: Source<N>,
    previous: Option<Prices>,
}

#[derive(Debug, Clone, Copy)]
enum Source<const N: usize> {
    Bars(fn(&Bar) -> [f64; N]),
    Steps(fn(&Bar, &Prices) -> [f64; N]),
}

impl<const N: usize> Terms<N> {
    pub(super) fn bars(of: fn(&Bar) -> [f64; N]) -> Self {
        Self {
            source: Source::Bars(of),
            previous: None,
        }
    }

    /// One bar more is needed before the first numbers.
    pub(super) fn steps(of: fn(&Bar, &Prices) -> [f64; N]) -> Self {
        Self {
            source: Source::Steps(of),
            previous: None,
        }
    }

    #[inline]
    pub(super) fn push(&mut self, bar: &Bar) -> Option<[f64; N]> {
        match self.source {
            Source::Bars(of) => Some(of(bar)),
            Source::Steps(of) => {
                let previous = self.previous.replace(Prices::of(bar))?;
                Some(of(bar, &previous))
            }
        }
    }
}

/// Sums of numbers over a window.
#[derive(Debug, Clone)]
pub(super) struct Sums<const N: usize> {
    terms: Terms<N>,
    sums: [RollingSum; N],
    period: f64,
    show: fn(&[f64; N], f64) -> f64,
}

impl<const N: usize> Sums<N> {
    /// `show` gets the sums and the length of the window.
    pub(super) fn new(period: usize, terms: Terms<N>, show: fn(&[f64; N], f64) -> f64) -> Self {
        Self {
            terms,
            sums: std::array::from_fn(|_| RollingSum::new(period)),
            period: period as f64,
            show,
        }
    }
}

impl<const N: usize> Operator for Sums<N> {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let terms = self.terms.push(bar)?;
        let mut sums = [0.0; N];
        let mut is_full = true;
        for ((sum, term), shown) in self.sums.iter_mut().zip(terms).zip(&mut sums) {
            match sum.push(term) {
                Some(total) => *shown = total,
                None => is_full = false,
            }
        }
        is_full.then(|| (self.show)(&sums, self.period))
    }
}

/// Mean and deviation of a number over a window.
#[derive(Debug, Clone)]
pub(super) struct MomentsOf {
    terms: Terms<1>,
    moments: RollingMoments,
    show: fn(Moments, f64) -> f64,
}

impl MomentsOf {
    /// `show` gets the moments and the newest number.
    pub(super) fn new(period: usize, terms: Terms<1>, show: fn(Moments, f64) -> f64) -> Self {
        Self {
            terms,
            moments: RollingMoments::new(period),
            show,
        }
    }
}

impl Operator for MomentsOf {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let [value] = self.terms.push(bar)?;
        Some((self.show)(self.moments.push(value)?, value))
    }
}

/// Moments of pairs of numbers over a window.
#[derive(Debug, Clone)]
pub(super) struct PairsOf {
    terms: Terms<2>,
    pairs: RollingPair,
    show: fn(&PairMoments) -> f64,
}

impl PairsOf {
    pub(super) fn new(period: usize, terms: Terms<2>, show: fn(&PairMoments) -> f64) -> Self {
        Self {
            terms,
            pairs: RollingPair::new(period),
            show,
        }
    }
}

impl Operator for PairsOf {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let [x, y] = self.terms.push(bar)?;
        Some((self.show)(&self.pairs.push(x, y)?))
    }
}

/// A number among the sorted ones of a window.
#[derive(Debug, Clone)]
pub(super) struct SortedOf {
    terms: Terms<1>,
    window: SortedWindow,
    show: fn(&SortedWindow, f64) -> f64,
}

impl SortedOf {
    /// `show` gets the window and the newest number.
    pub(super) fn new(period: usize, terms: Terms<1>, show: fn(&SortedWindow, f64) -> f64) -> Self {
        Self {
            terms,
            window: SortedWindow::new(period),
            show,
        }
    }
}

impl Operator for SortedOf {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let [value] = self.terms.push(bar)?;
        let is_full = self.window.push(value);
        is_full.then(|| (self.show)(&self.window, value))
    }
}

/// Slope of the line through a running total, in mean amounts per bar: where a total such as
/// on-balance volume began says nothing, its slope does. 0 where nothing was traded.
#[derive(Debug, Clone)]
pub(super) struct TotalSlope {
    /// What a bar adds to the total, and the amount that the slope is measured in.
    terms: Terms<2>,
    total: f64,
    line: RollingLine,
    amount: RollingMean,
}

impl TotalSlope {
    pub(super) fn new(period: usize, terms: Terms<2>) -> Self {
        Self {
            terms,
            total: 0.0,
            line: RollingLine::new(period),
            amount: RollingMean::new(period),
        }
    }
}

impl Operator for TotalSlope {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let [flow, amount] = self.terms.push(bar)?;
        self.total += flow;
        let line = self.line.push(self.total);
        let amount = self.amount.push(amount)?;
        Some(share(line?.slope, amount, 0.0))
    }
}

/// The UTC day in which a bar opened, counted from the epoch.
pub(super) fn day_of(bar: &Bar) -> i64 {
    bar.opened_at.as_millis().div_euclid(86_400_000)
}

/// Bars until the next UTC day has begun for sure: a day of one-minute bars, the shortest that
/// these kinds are meant for.
pub(super) const BARS_OF_A_DAY: u32 = 1440;

impl<const N: usize> super::State for Terms<N> {
    fn save(&self, to: &mut super::StateWriter) {
        self.previous.save(to);
    }

    fn load(&mut self, from: &mut super::StateReader<'_>) -> Result<(), super::StateError> {
        self.previous.load(from)
    }
}

impl<const N: usize> super::State for Sums<N> {
    fn save(&self, to: &mut super::StateWriter) {
        self.terms.save(to);
        self.sums.save(to);
    }

    fn load(&mut self, from: &mut super::StateReader<'_>) -> Result<(), super::StateError> {
        self.terms.load(from)?;
        self.sums.load(from)
    }
}

crate::state! {
    Prices { open, high, low, close, volume }
    MomentsOf { terms, moments }
    PairsOf { terms, pairs }
    SortedOf { terms, window }
    TotalSlope { terms, total, line, amount }
}
