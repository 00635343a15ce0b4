//! Operators of variation beside jumps and of the sides of it; their kinds are in
//! [`variation`](super::variation).

use std::f64::consts::{FRAC_PI_2, PI};

use super::parts::{deviation, in_warm_parts, share};
use super::volatility::Returns;
use super::window::{ROWS, RollingMoments, RollingSum, WilderMean};
use super::{Bars, Operator};
use crate::types::Bar;

#[derive(Debug, Clone)]
pub(super) struct JumpShare {
    pub(super) scale: f64,
    pub(super) returns: Returns,
    pub(super) previous: Option<f64>,
    pub(super) squares: RollingSum,
    pub(super) products: RollingSum,
}

impl JumpShare {
    pub(super) fn new(period: usize) -> Self {
        let count = period as f64;
        Self {
            scale: FRAC_PI_2 * count / (count - 1.0),
            returns: Returns::default(),
            previous: None,
            squares: RollingSum::new(period),
            products: RollingSum::new(period - 1),
        }
    }
}

impl Operator for JumpShare {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let size = self.returns.push(bar)?.abs();
        let squares = self.squares.push(size * size);
        let previous = self.previous.replace(size)?;
        let products = self.products.push(size * previous);
        let variation = squares?;
        let smooth = self.scale * products?;
        Some(share(variation - smooth, variation, 0.0).max(0.0))
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_warm_parts(
            self,
            bars,
            values,
            |all| all.previous.is_some() && all.squares.missing() + all.products.missing() == 0,
            #[inline(always)]
            |all, bars, values| {
                let (mut squares, mut products) = ([0.0; ROWS], [0.0; ROWS]);
                let squares = &mut squares[..bars.len()];
                let products = &mut products[..bars.len()];

                let mut sizes = [0.0; ROWS];
                let count = all.returns.push_all(bars, &mut sizes);
                let mut previous = all.previous.unwrap_or(f64::NAN);
                let terms = squares.iter_mut().zip(&mut *products);
                for ((square, product), change) in terms.zip(&sizes[..count]) {
                    let size = change.abs();
                    (*square, *product) = (size * size, size * previous);
                    previous = size;
                }
                all.previous = Some(previous);
                all.squares.push_all(squares, values);
                all.products.push_all(products, squares);
                for (value, products) in values.iter_mut().zip(&*squares) {
                    let smooth = all.scale * products;
                    *value = share(*value - smooth, *value, 0.0).max(0.0);
                }
            },
        );
    }
}

#[derive(Debug, Clone)]
pub(super) struct MedianVolatility {
    pub(super) scale: f64,
    pub(super) returns: Returns,
    pub(super) last: [Option<f64>; 2],
    pub(super) squares: RollingSum,
}

impl MedianVolatility {
    pub(super) fn new(period: usize) -> Self {
        let count = period as f64;
        Self {
            // MedRV / n = constant / (n - 2) times the sum.
            scale: PI / (6.0 - 4.0 * 3.0_f64.sqrt() + PI) / (count - 2.0),
            returns: Returns::default(),
            last: [None; 2],
            squares: RollingSum::new(period - 2),
        }
    }
}

impl Operator for MedianVolatility {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let size = self.returns.push(bar)?.abs();
        let [before, newest] = self.last;
        self.last = [newest, Some(size)];
        let (a, b) = (before?, newest?);
        let median = a.min(b).max(a.max(b).min(size));
        let sum = self.squares.push(median * median)?;
        Some((self.scale * sum).max(0.0).sqrt())
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_warm_parts(
            self,
            bars,
            values,
            |all| all.last[0].is_some() && all.squares.missing() == 0,
            #[inline(always)]
            |all, bars, values| {
                let mut sizes = [0.0; ROWS];
                let count = all.returns.push_all(bars, &mut sizes);
                let [mut a, mut b] = all.last.map(|size| size.unwrap_or(f64::NAN));
                for size in &mut sizes[..count] {
                    let newest = size.abs();
                    let median = a.min(b).max(a.max(b).min(newest));
                    *size = median * median;
                    (a, b) = (b, newest);
                }
                all.last = [Some(a), Some(b)];
                all.squares.push_all(&sizes[..count], values);
                for value in values {
                    *value = (all.scale * *value).max(0.0).sqrt();
                }
            },
        );
    }
}

#[derive(Debug, Clone)]
pub(super) struct RelativeVolatility {
    pub(super) previous_close: Option<f64>,
    pub(super) closes: RollingMoments,
    pub(super) up: WilderMean,
    pub(super) down: WilderMean,
}

impl RelativeVolatility {
    pub(super) fn new(period: usize, average: usize) -> Self {
        Self {
            previous_close: None,
            closes: RollingMoments::new(period),
            up: WilderMean::new(average),
            down: WilderMean::new(average),
        }
    }
}

impl Operator for RelativeVolatility {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let previous = self.previous_close.replace(bar.close).unwrap_or(bar.close);
        let deviation = self.closes.push(bar.close)?.standard_deviation;
        let part = |holds: bool| if holds { deviation } else { 0.0 };
        let up = self.up.push(part(bar.close > previous));
        let down = self.down.push(part(bar.close < previous))?;
        Some(100.0 * share(up?, up? + down, 0.5))
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_warm_parts(
            self,
            bars,
            values,
            |all| all.previous_close.is_some() && all.down.missing() == 0,
            #[inline(always)]
            |all, bars, values| {
                let (mut ups, mut downs) = ([0.0; ROWS], [0.0; ROWS]);
                let ups = &mut ups[..bars.len()];
                let downs = &mut downs[..bars.len()];

                all.closes.push_all(bars.close(), ups, deviation);
                let mut previous = all.previous_close.unwrap_or(f64::NAN);
                let parts = ups.iter_mut().zip(&mut *downs);
                for ((up, down), close) in parts.zip(bars.close()) {
                    let deviation = *up;
                    *up = if *close > previous { deviation } else { 0.0 };
                    *down = if *close < previous { deviation } else { 0.0 };
                    previous = *close;
                }
                all.previous_close = Some(previous);
                all.up.push_all(ups, values);
                all.down.push_all(downs, ups);
                for (value, down) in values.iter_mut().zip(&*ups) {
                    *value = 100.0 * share(*value, *value + down, 0.5);
                }
            },
        );
    }
}

crate::state! {
    JumpShare { returns, previous, squares, products }
    MedianVolatility { returns, last, squares }
    RelativeVolatility { previous_close, closes, up, down }
}
