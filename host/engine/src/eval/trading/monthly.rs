//! The table of monthly returns.

use serde::Serialize;

use super::TradingHistory;
use crate::types::Timestamp;

/// Return of one calendar month, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MonthlyReturn {
    /// The year.
    pub year: i16,
    /// The month, 1 to 12.
    pub month: i8,
    /// Last equity of the month over the last one before it, minus one.
    pub change: f64,
}

/// Returns month by month. The first month begins with the first equity; a step that ends exactly
/// at midnight of the first day belongs to the month before. Months after ruin are left out.
#[must_use]
pub fn monthly_returns(history: &TradingHistory<'_>) -> Vec<MonthlyReturn> {
    let mut months: Vec<MonthlyReturn> = Vec::new();
    let Some(&first) = history.equity.first() else {
        return months;
    };
    let (mut opening, mut latest) = (first, first);
    for (&equity, &at) in history.equity.iter().zip(history.times).skip(1) {
        let Some((year, month)) = month_of(at) else {
            continue;
        };
        let is_open = months
            .last()
            .is_some_and(|one| (one.year, one.month) == (year, month));
        if !is_open {
            if latest <= 0.0 {
                break;
            }
            opening = latest;
            months.push(MonthlyReturn {
                year,
                month,
                change: 0.0,
            });
        }
        if let Some(open) = months.last_mut() {
            open.change = equity / opening - 1.0;
        }
        latest = equity;
    }
    months
}

fn month_of(at: Timestamp) -> Option<(i16, i8)> {
    let civil = at.saturating_add_nanos(-1).civil()?;
    Some((civil.year(), civil.month()))
}
