//! The same decisions with more and less capital: where size begins to cost what skill earns.

use fusebox_engine::backtest::{
    BacktestError, BacktestSpec, PrecomputedSignals, run_backtest, total_flows,
};
use fusebox_engine::eval::trading::TradingReportOptions;
use fusebox_engine::execution::{ExecutionConfig, SlippageConfig};
use fusebox_engine::journal::NullJournal;
use fusebox_engine::session::{SessionConfig, SetupError};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rayon::prelude::*;

use super::super::counting::Counting;
use super::super::pool::in_pool;
use super::{BacktestingError, Curve, ReviewSpec, judge};
use crate::progress::Progress;
use crate::report::{Capacity, CapacityPoint};

/// Runs `signals` once for each amount of capital. What is counted in money and belongs to the
/// account grows with it (`risk.max_order_notional`); what belongs to the venue stays (minimum,
/// lot, volume, fee tiers).
pub(super) fn capacity(
    spec: &ReviewSpec<'_>,
    signals: &PrecomputedSignals,
    progress: &dyn Progress,
) -> Result<Capacity, BacktestingError> {
    let mut multiples = spec.evaluation.capacity_multiples.clone();
    multiples.sort_by(f64::total_cmp);
    progress.start("capacity", multiples.len() as u64);
    let one = |multiple: &f64| {
        let config = with_capital(spec.session, *multiple);
        let found = point(spec, *multiple, &config, signals);
        progress.advance(1);
        found
    };
    let found: Vec<_> = in_pool(spec.threads, || multiples.par_iter().map(one).collect());
    progress.finish();
    let mut capacity = Capacity {
        size_matters: size_matters(&spec.session.execution),
        ..Capacity::default()
    };
    for one in found {
        match one {
            Ok(point) => capacity.points.push(point),
            // The account itself cannot be: too large for the engine, or too small for a lot.
            Err(BacktestingError::Backtest(BacktestError::Setup(SetupError::Config(_)))) => {
                capacity.left_out += 1;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(capacity)
}

/// Whether the exchange makes a larger order dearer (by impact, or by the levels of a book), or
/// fills less of it.
fn size_matters(execution: &ExecutionConfig) -> bool {
    let impact = match execution.slippage {
        SlippageConfig::Impact { factor, .. } => factor > 0.0,
        SlippageConfig::Book { .. } => true,
        _ => false,
    };
    impact || execution.participation.is_some()
}

fn with_capital(session: &SessionConfig, multiple: f64) -> SessionConfig {
    let mut config = session.clone();
    config.portfolio.initial_cash = config.portfolio.initial_cash.times(multiple);
    config.risk.max_order_notional = config.risk.max_order_notional.map(|most| most * multiple);
    config
}

fn point(
    spec: &ReviewSpec<'_>,
    multiple: f64,
    config: &SessionConfig,
    signals: &PrecomputedSignals,
) -> Result<CapacityPoint, BacktestingError> {
    let market = spec.market;
    let backtest = BacktestSpec {
        market,
        config,
        config_digest: "",
    };
    let mut journal = NullJournal;
    let mut counting = Counting::new(&mut journal);
    let result = run_backtest(&backtest, &mut signals.clone(), &mut counting)?;
    let ended_orders = counting.ended_orders;
    let flows = total_flows(market, config, &result)?;
    let options = TradingReportOptions {
        bootstrap_samples: 0,
        ..spec.options()
    };
    let how = (&options, market.time_frame().bars_per_year());
    let mut random = ChaCha8Rng::seed_from_u64(spec.seed);
    let judged = judge(&result, &Curve::of(&result), None, how, &mut random);
    let (traded, costs) = (flows.turnover.to_f64(), flows.costs().to_f64());
    Ok(CapacityPoint {
        capital: result.initial_cash.to_f64(),
        multiple,
        total_return: judged.performance.total_return,
        annual_growth_rate: judged.performance.annual_growth_rate,
        sharpe_ratio: judged.performance.sharpe_ratio.value,
        max_drawdown: judged.performance.max_drawdown,
        traded_value: traded,
        cost_bps: (traded > 0.0).then(|| costs / traded * 1e4),
        fills: flows.fills,
        ended_orders,
        refused_orders: result.refusals.values().sum(),
    })
}
