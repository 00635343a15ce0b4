//! Every path of a combinatorial split, traded and scored: how the result of one history spreads
//! when the folds are put together in another way.

use fusebox_engine::backtest::{BacktestSpec, run_backtest};
use fusebox_engine::eval::EvaluationOptions;
use fusebox_engine::eval::trading::TradingReportOptions;
use fusebox_engine::journal::NullJournal;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::describe;
use super::error::TrainingError;
use super::folds::FoldModel;
use super::plugin::PluginId;
use super::prepare::Prepared;
use super::run::evaluation_options;
use super::score::{FoldScores, Scored, fold_scores};
use super::spec::PipelineSpec;
use super::trade::signals;
use crate::backtesting::{Curve, judge};
use crate::report::PathRow;

/// One row a path; empty where the folds form a single one, which is the report itself.
pub(super) fn path_rows(
    spec: &PipelineSpec,
    prepared: &Prepared,
    (models, scored): (&[FoldModel], &Scored),
    plugin: &PluginId,
) -> Result<Vec<PathRow>, TrainingError> {
    let paths = &prepared.plan.paths;
    if paths.len() < 2 {
        return Ok(Vec::new());
    }
    let market = &prepared.loaded.market;
    // Intervals are those of the report; between paths, the spread itself is the answer.
    let options = EvaluationOptions {
        bootstrap_samples: 0,
        ..evaluation_options(spec)
    };
    let trading = TradingReportOptions {
        confidence: spec.evaluation.confidence,
        bootstrap_samples: 0,
        trials: spec.evaluation.trials,
        trials_variance: None,
        overlap_steps: options.overlap_steps,
    };
    let how = (&trading, market.time_frame().bars_per_year());
    let mut rows = Vec::with_capacity(paths.len());
    for (index, path) in paths.iter().enumerate() {
        let mut random = ChaCha8Rng::seed_from_u64(spec.seed);
        let scores = match &scored.returns {
            Some(rows) => {
                let own = rows.of_path(path);
                FoldScores::of_returns((&own, &rows.levels), &options, &mut random)
            }
            None => fold_scores(&scored.of_path(path), &options, &mut random)?,
        };
        let mut table = signals(spec, plugin, market, (models, path))?;
        let backtest = BacktestSpec {
            market,
            config: &spec.session,
            config_digest: "",
        };
        let result = run_backtest(&backtest, &mut table, &mut NullJournal)?;
        let judged = judge(&result, &Curve::of(&result), None, how, &mut random);
        rows.push(PathRow {
            path: describe::number(index),
            accuracy: scores.accuracy,
            log_loss: scores.log_loss,
            errors: scores.errors,
            information_coefficient: scores.information_coefficient,
            total_return: judged.performance.total_return,
            sharpe_ratio: judged.performance.sharpe_ratio.value,
            max_drawdown: judged.performance.max_drawdown,
        });
    }
    Ok(rows)
}
