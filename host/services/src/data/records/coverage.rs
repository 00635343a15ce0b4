//! What a person should know about records: where they end, and where they say nothing.

use fusebox_engine::types::{Bar, BarSeries, BookSnapshot, FundingRate, Timestamp};

use super::within;

/// Distance of prices, in parts of them, that is no difference.
const SAME: f64 = 1e-9;

/// Bars without finer ones, with holes in them, or of other prices.
pub(super) fn fine(
    bars: &BarSeries,
    fine: &BarSeries,
    range: Option<(Timestamp, Timestamp)>,
) -> Option<String> {
    let whole = bars.time_frame.nanos() / fine.time_frame.nanos();
    let whole = usize::try_from(whole).unwrap_or(usize::MAX);
    let (mut empty, mut holed, mut other) = (0_u64, 0_u64, 0_u64);
    let own = within(bars, range);
    let mut rest = fine.bars.as_slice();
    for bar in own {
        let first = rest.partition_point(|one| one.opened_at < bar.opened_at);
        rest = &rest[first..];
        let near = &rest[..whole.min(rest.len())];
        let count = near.partition_point(|one| one.closed_at <= bar.closed_at);
        let (inside, later) = rest.split_at(count);
        rest = later;
        match inside.len() {
            0 => empty += 1,
            count if count < whole => holed += 1,
            _ => other += u64::from(differs(bar, inside)),
        }
    }
    let (name, coarse, finer) = (&bars.name, bars.time_frame, fine.time_frame);
    let mut told = Vec::new();
    if empty > 0 {
        told.push(format!(
            "{empty} have no {finer} bar in them, and orders meet the {coarse} bar itself"
        ));
    }
    if holed > 0 {
        told.push(format!(
            "{holed} lack some of their {finer} bars, and nothing fills there"
        ));
    }
    if other > 0 {
        told.push(format!(
            "{other} have other prices than their {finer} bars make, which the fills take"
        ));
    }
    let count = own.len();
    (!told.is_empty()).then(|| {
        format!(
            "{name}: of {count} {coarse} bars that are traded, {}",
            told.join("; ")
        )
    })
}

/// Whether complete finer bars make another bar.
fn differs(bar: &Bar, inside: &[Bar]) -> bool {
    let (Some(first), Some(last)) = (inside.first(), inside.last()) else {
        return false;
    };
    let high = inside.iter().fold(f64::NEG_INFINITY, |a, b| a.max(b.high));
    let low = inside.iter().fold(f64::INFINITY, |a, b| a.min(b.low));
    [
        (bar.open, first.open),
        (bar.high, high),
        (bar.low, low),
        (bar.close, last.close),
    ]
    .iter()
    .any(|(one, other)| (one - other).abs() > SAME * one.abs())
}

/// Where recorded fundings begin too late or end too early.
pub(super) fn funding(
    bars: &BarSeries,
    rates: &[FundingRate],
    range: Option<(Timestamp, Timestamp)>,
) -> Option<String> {
    let own = within(bars, range);
    let (from, to) = (own.first()?.opened_at, own.last()?.closed_at);
    let name = &bars.name;
    let (Some(first), Some(last)) = (rates.first(), rates.last()) else {
        return Some(format!(
            "{name}: there is no recorded funding; none is paid"
        ));
    };
    // A pause that is usual is no gap.
    let usual = rates
        .windows(2)
        .map(|pair| pair[1].at.nanos_since(pair[0].at));
    let usual = usual.max().unwrap_or(0);
    let late = first.at.nanos_since(from) > usual;
    let early = to.nanos_since(last.at) > usual;
    (late || early).then(|| {
        format!(
            "{name}: recorded fundings are from {} to {}, the bars that are traded from {from} to \
             {to}; none is paid outside",
            first.at, last.at
        )
    })
}

/// Bars that open where no order book is known that is young enough.
pub(super) fn books(
    bars: &BarSeries,
    (books, max_age_ms): (&[BookSnapshot], u64),
    range: Option<(Timestamp, Timestamp)>,
) -> Option<String> {
    let own = within(bars, range);
    let oldest = i64::try_from(max_age_ms)
        .unwrap_or(i64::MAX)
        .saturating_mul(1_000_000);
    let is_blind = |bar: &&Bar| {
        let after = books.partition_point(|book| book.at <= bar.opened_at);
        let newest = after.checked_sub(1).and_then(|at| books.get(at));
        newest.is_none_or(|book| bar.opened_at.nanos_since(book.at) > oldest)
    };
    let blind = own.iter().filter(is_blind).count();
    (blind > 0).then(|| {
        format!(
            "{}: of {} bars that are traded, {blind} open where no order book of the last \
             {max_age_ms} ms is known; takers pay execution.slippage.otherwise_bps there",
            bars.name,
            own.len()
        )
    })
}
