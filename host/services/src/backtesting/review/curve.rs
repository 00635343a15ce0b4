//! An equity curve as columns, for the metrics and for the charts over time.

use std::collections::BTreeMap;

use fusebox_engine::backtest::BacktestResult;
use fusebox_engine::eval::trading::{
    MonthlyReturn, Sharpe, TradingHistory, TradingMetric, rolling_sharpe,
};
use fusebox_engine::types::{TimeFrame, Timestamp};

use crate::report::{CurvePoint, MonthReturn};

/// Days of the rolling window.
const WINDOW_DAYS: i64 = 90;
/// Fewest steps of the rolling window.
const LEAST_WINDOW: usize = 30;
const NANOS_PER_DAY: i64 = 86_400_000_000_000;

/// An equity curve as columns.
#[derive(Debug)]
pub(crate) struct Curve {
    pub(crate) times: Vec<Timestamp>,
    pub(crate) equity: Vec<f64>,
    /// Gross exposure over equity; 0 where equity is gone.
    pub(crate) exposure: Vec<f64>,
    /// Exposure with its sign over equity; 0 where equity is gone.
    pub(crate) net_exposure: Vec<f64>,
}

impl Curve {
    pub(crate) fn of(result: &BacktestResult) -> Self {
        let points = || result.equity.iter();
        let part = |amount: f64, equity: f64| if equity > 0.0 { amount / equity } else { 0.0 };
        Self {
            times: points().map(|point| point.at).collect(),
            equity: points().map(|point| point.equity.to_f64()).collect(),
            exposure: points()
                .map(|point| part(point.gross_exposure.to_f64(), point.equity.to_f64()))
                .collect(),
            net_exposure: points()
                .map(|point| {
                    let held = point.equity - point.cash;
                    part(held.to_f64(), point.equity.to_f64())
                })
                .collect(),
        }
    }

    /// Annualised Sharpe ratio of the steps that end after `from` and at `to` at the latest, with
    /// the last step before them as the start.
    pub(crate) fn sharpe_within(
        &self,
        from: Timestamp,
        to: Timestamp,
        steps_per_year: f64,
    ) -> Option<f64> {
        let start = self
            .times
            .partition_point(|at| *at <= from)
            .saturating_sub(1);
        let end = self.times.partition_point(|at| *at <= to);
        Sharpe.value(&TradingHistory {
            times: self.times.get(start..end)?,
            equity: self.equity.get(start..end)?,
            benchmark: None,
            gross_exposure: self.exposure.get(start..end)?,
            trades: &[],
            traded_notional: 0.0,
            steps_per_year,
        })
    }
}

/// Steps of the rolling window: 90 days, or a quarter of a history that is shorter than twice that.
pub(super) fn rolling_window(time_frame: TimeFrame, steps: usize) -> usize {
    let wanted = usize::try_from(WINDOW_DAYS * NANOS_PER_DAY / time_frame.nanos().max(1));
    let wanted = wanted.unwrap_or(usize::MAX);
    let window = if wanted > steps / 2 {
        steps / 4
    } else {
        wanted
    };
    window.max(LEAST_WINDOW)
}

/// The curve that the page draws: the strategy beside buy and hold, with what the strategy traded
/// in each step, and both over a rolling window.
pub(super) fn points(
    (strategy, held): (&Curve, &Curve),
    traded: &[f64],
    (window, steps_per_year): (usize, f64),
) -> Vec<CurvePoint> {
    let turnover: Vec<f64> = traded
        .iter()
        .zip(&strategy.equity)
        .map(|(traded, equity)| if *equity > 0.0 { traded / equity } else { 0.0 })
        .collect();
    let rolling = rolling_sum(&turnover, window);
    let own_sharpe = rolling_sharpe(&strategy.equity, window, steps_per_year);
    let held_sharpe = rolling_sharpe(&held.equity, window, steps_per_year);
    let count = strategy.times.len().min(held.equity.len());
    (0..count)
        .map(|at| CurvePoint {
            closed_at: strategy.times[at],
            strategy_equity: strategy.equity[at],
            buy_and_hold_equity: held.equity[at],
            gross_exposure: strategy.exposure[at],
            net_exposure: strategy.net_exposure[at],
            turnover: turnover.get(at).copied().unwrap_or(0.0),
            rolling_turnover: rolling.get(at).copied().flatten(),
            rolling_sharpe_ratio: own_sharpe[at],
            buy_and_hold_rolling_sharpe_ratio: held_sharpe[at],
        })
        .collect()
}

/// Sum of the last `window` values; `None` before there are so many.
fn rolling_sum(values: &[f64], window: usize) -> Vec<Option<f64>> {
    // Sums of values that are never negative lose nothing that a chart would show.
    let mut before = vec![0.0];
    let mut sum = 0.0;
    before.extend(values.iter().map(|value| {
        sum += value;
        sum
    }));
    let at = |end: usize| Some(before.get(end)? - before.get(end.checked_sub(window)?)?);
    (1..=values.len()).map(at).collect()
}

/// Months of both curves side by side.
pub(super) fn months(strategy: &[MonthlyReturn], held: &[MonthlyReturn]) -> Vec<MonthReturn> {
    let mut all: BTreeMap<(i16, i8), (Option<f64>, Option<f64>)> = BTreeMap::new();
    for one in strategy {
        all.entry((one.year, one.month)).or_default().0 = Some(one.change);
    }
    for one in held {
        all.entry((one.year, one.month)).or_default().1 = Some(one.change);
    }
    all.into_iter()
        .map(|((year, month), (strategy, buy_and_hold))| MonthReturn {
            year,
            month: month.unsigned_abs(),
            strategy,
            buy_and_hold,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_is_ninety_days_or_a_quarter_of_a_short_history() {
        let hour: TimeFrame = "1h".parse().unwrap();
        assert_eq!(rolling_window(hour, 20_000), 2_160);
        assert_eq!(rolling_window(hour, 4_319), 1_079);
        assert_eq!(rolling_window(hour, 60), 30);
        assert_eq!(rolling_window("1d".parse().unwrap(), 1_000), 90);
    }

    #[test]
    fn a_rolling_sum_begins_with_a_whole_window() {
        let found = rolling_sum(&[1.0, 2.0, 3.0, 4.0], 2);
        assert_eq!(found, [None, Some(3.0), Some(5.0), Some(7.0)]);
        assert_eq!(rolling_sum(&[1.0], 3), [None]);
    }
}
