//! What can be known of a backtest before there are predictions: whether the account can trade at
//! all. Training takes hours, and a lot that costs more than the account should not be found after
//! it.

use super::waiting::Waiting;
use super::{BacktestError, BacktestSpec, session, steps_within};
use crate::session::StepInput;
use crate::types::Timestamp;

/// Whether a session of `spec` could take a step in `range`, both ends included.
///
/// # Errors
/// What [`run_backtest`](super::run_backtest) would find wrong with the settings, the lots and the
/// rates.
pub fn rehearse(
    spec: &BacktestSpec<'_>,
    range: Option<(Timestamp, Timestamp)>,
) -> Result<(), BacktestError> {
    let mut session = session(spec, &[])?;
    let mut waiting = Waiting::default();
    for (closed_at, bars) in steps_within(spec.market, range) {
        let input = StepInput {
            closed_at,
            bars: &bars,
            fine: &[],
            predictions: &[],
            failures: &[],
        };
        let awaited = session.awaits_rates(&input)?;
        if awaited.is_empty() {
            return Ok(());
        }
        waiting.take(closed_at, &awaited);
    }
    waiting.in_vain(&session).map_or(Ok(()), Err)
}
