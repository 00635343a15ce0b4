//! Slopes of running totals, such as on-balance volume.

use super::parts::{Term, Through, in_warm_parts, share};
use super::window::{ROWS, RollingLine, RollingMean};
use super::{Bars, Operator};
use crate::types::Bar;

/// A running total and the mean amount that its slope is measured in.
#[derive(Debug, Clone)]
pub(super) struct Total {
    total: f64,
    line: RollingLine,
    amount: RollingMean,
}

/// Slope of the line through a running total, in mean amounts per bar: where a total such as
/// on-balance volume began says nothing, its slope does. 0 where nothing was traded. The terms are
/// what a bar adds to the total, and the amount.
pub(super) fn total_slope<T: Term<2>>(period: usize, terms: T) -> Through<T, Total, ()> {
    Through {
        terms,
        window: Total {
            total: 0.0,
            line: RollingLine::new(period),
            amount: RollingMean::new(period),
        },
        show: (),
    }
}

impl<T: Term<2>> Through<T, Total, ()> {
    fn is_warm(&self) -> bool {
        self.window.line.missing() + self.window.amount.missing() == 0
    }
}

impl<T: Term<2>> Operator for Through<T, Total, ()> {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let [flow, amount] = self.terms.push(bar)?;
        let window = &mut self.window;
        window.total += flow;
        let line = window.line.push(window.total);
        let amount = window.amount.push(amount)?;
        Some(share(line?.slope, amount, 0.0))
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_warm_parts(
            self,
            bars,
            values,
            |all| all.is_warm(),
            #[inline(always)]
            |all, bars, values| {
                let mut terms = [[0.0; ROWS]; 2];
                let count = all.terms.push_all(bars, &mut terms);
                let window = &mut all.window;
                let [totals, amounts] = &mut terms;
                let (totals, amounts) = (&mut totals[..count], &amounts[..count]);
                for flow in &mut *totals {
                    window.total += *flow;
                    *flow = window.total;
                }
                let mut means = [0.0; ROWS];
                let means = &mut means[..count];
                window.amount.push_all(amounts, means);
                let show = |slope: f64, mean: f64| share(slope, mean, 0.0);
                window.line.push_slopes([totals, means], values, show);
            },
        );
    }
}

crate::state! {
    Total { total, line, amount }
}
