//! Rule-based strategies to compare with: each answers like a model, so that it goes through the
//! same session, at the same costs, limits and moments of decision.
//!
//! None of them sees more than the closes of bars that have closed.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use super::{BacktestError, BacktestResult, BacktestSpec, run_backtest};
use crate::fusion::{FusionConfig, ModelInfo, ModelRef, Prediction};
use crate::journal::NullJournal;
use crate::ports::{Answers, SignalError, SignalSource};
use crate::session::SessionConfig;
use crate::strategy::{Direction, StrategyConfig};
use crate::types::{Bar, SymbolId, Timestamp};

/// A rule.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Rule {
    /// Long while the fast exponential average of closes is above the slow one, short (where the
    /// account may) while it is below.
    MomentumCrossover {
        /// Span of the fast average, in bars.
        fast_bars: u32,
        /// Span of the slow average, in bars.
        slow_bars: u32,
    },
    /// Long where the close is `entry` deviations below its mean, short where it is as far above;
    /// closed where it has come back to the mean.
    MeanReversion {
        /// Bars of the mean and the deviation.
        window_bars: u32,
        /// Deviations that open a position.
        entry: f64,
    },
    /// Sides drawn at random: at each bar the side is drawn anew with `change` probability, with
    /// the given shares of time on each side. With the numbers of a strategy it trades as much as
    /// that one and knows nothing.
    Random {
        /// Seed.
        seed: u64,
        /// Probability that a bar draws anew.
        change: f64,
        /// Share of the time that is long.
        long: f64,
        /// Share of the time that is short.
        short: f64,
    },
}

impl Rule {
    /// The name in reports.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::MomentumCrossover { .. } => "momentum crossover",
            Self::MeanReversion { .. } => "mean reversion",
            Self::Random { .. } => "random",
        }
    }

    /// Draws like a strategy that made `result`: as often, and as much on each side. The bars are
    /// those of all symbols. How much is traded depends on sizes and limits, too: see
    /// [`busier`](Self::busier).
    #[must_use]
    pub fn random_like(result: &BacktestResult, bars: usize, seed: u64) -> Self {
        let bars = bars.max(1) as f64;
        let mut held = [0.0_f64; 2];
        let mut changes = 0.0;
        for trade in &result.trades {
            let side = usize::from(trade.direction == Direction::Short);
            held[side] += f64::from(trade.bars_held);
            // It opened and it closed.
            changes += 2.0;
        }
        changes += result.open_positions.len() as f64;
        let [long, short] = held.map(|held| (held / bars).min(1.0));
        // A draw that gives the same side is no change.
        let flat = (1.0 - long - short).max(0.0);
        let stays = long * long + short * short + flat * flat;
        let change = changes / bars / (1.0 - stays).max(1e-9);
        Self::Random {
            seed,
            change: change.min(1.0),
            long,
            short,
        }
    }

    /// The same, drawing anew `factor` times as often; a rule that draws nothing is as it was.
    #[must_use]
    pub fn busier(self, factor: f64) -> Self {
        match self {
            Self::Random {
                seed,
                change,
                long,
                short,
            } => Self::Random {
                seed,
                change: (change * factor).clamp(0.0, 1.0),
                long,
                short,
            },
            other => other,
        }
    }
}

/// The state of a rule for one symbol.
#[derive(Debug, Clone)]
enum State {
    Averages {
        fast: Option<f64>,
        slow: Option<f64>,
        bars: u32,
    },
    Window {
        closes: Vec<f64>,
        next: usize,
        side: Direction,
    },
    Drawn {
        side: Direction,
    },
}

/// The answers of a rule.
#[derive(Debug)]
pub struct RuleSignals {
    rule: Rule,
    models: Vec<ModelInfo>,
    range: Option<(Timestamp, Timestamp)>,
    states: Vec<State>,
    rng: ChaCha8Rng,
}

impl RuleSignals {
    /// A rule that has seen nothing, for `symbols` symbols; it answers within `range` where one is
    /// given.
    #[must_use]
    pub fn new(rule: Rule, symbols: usize, range: Option<(Timestamp, Timestamp)>) -> Self {
        let state = match rule {
            Rule::MomentumCrossover { .. } => State::Averages {
                fast: None,
                slow: None,
                bars: 0,
            },
            Rule::MeanReversion { window_bars, .. } => State::Window {
                closes: Vec::with_capacity(window_bars as usize),
                next: 0,
                side: Direction::Flat,
            },
            Rule::Random { .. } => State::Drawn {
                side: Direction::Flat,
            },
        };
        let seed = match rule {
            Rule::Random { seed, .. } => seed,
            _ => 0,
        };
        Self {
            rule,
            models: vec![ModelInfo {
                name: rule.name().to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                digest: String::new(),
                generation: 0,
                fold: None,
            }],
            range,
            states: vec![state; symbols],
            rng: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    fn side(&mut self, symbol: usize, close: f64) -> Option<Direction> {
        let state = self.states.get_mut(symbol)?;
        match (self.rule, state) {
            (
                Rule::MomentumCrossover {
                    fast_bars,
                    slow_bars,
                },
                State::Averages { fast, slow, bars },
            ) => {
                let average = |average: &mut Option<f64>, span: u32| {
                    let weight = 2.0 / (f64::from(span) + 1.0);
                    let before = average.unwrap_or(close);
                    *average.insert(before + weight * (close - before))
                };
                let (fast, slow) = (average(fast, fast_bars), average(slow, slow_bars));
                *bars = bars.saturating_add(1);
                (*bars >= slow_bars).then(|| Direction::of_sign(sign(fast - slow)))
            }
            (Rule::MeanReversion { window_bars, entry }, State::Window { closes, next, side }) => {
                let distance = deviations(closes, next, window_bars, close)?;
                *side = match *side {
                    _ if distance <= -entry => Direction::Long,
                    _ if distance >= entry => Direction::Short,
                    Direction::Long if distance < 0.0 => Direction::Long,
                    Direction::Short if distance > 0.0 => Direction::Short,
                    _ => Direction::Flat,
                };
                Some(*side)
            }
            (
                Rule::Random {
                    change,
                    long,
                    short,
                    ..
                },
                State::Drawn { side },
            ) => {
                let draw =
                    |rng: &mut ChaCha8Rng| (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
                let (renews, which) = (draw(&mut self.rng), draw(&mut self.rng));
                if renews < change {
                    *side = match which {
                        which if which < long => Direction::Long,
                        which if which < long + short => Direction::Short,
                        _ => Direction::Flat,
                    };
                }
                Some(*side)
            }
            _ => None,
        }
    }
}

impl SignalSource for RuleSignals {
    fn models(&self) -> &[ModelInfo] {
        &self.models
    }

    fn range(&self) -> Option<(Timestamp, Timestamp)> {
        self.range
    }

    fn predict(
        &mut self,
        closed_at: Timestamp,
        bars: &[Option<&Bar>],
        answers: &mut Answers,
    ) -> Result<(), SignalError> {
        for (symbol, bar) in (0..).map(SymbolId).zip(bars) {
            let Some(bar) = bar else { continue };
            let Some(side) = self.side(symbol.index(), bar.close) else {
                continue;
            };
            let probabilities = match side {
                Direction::Short => [1.0, 0.0, 0.0],
                Direction::Flat => [0.0, 1.0, 0.0],
                Direction::Long => [0.0, 0.0, 1.0],
            };
            answers.predictions.push(Some(Prediction {
                symbol,
                closed_at,
                probabilities,
                model: ModelRef(0),
            }));
        }
        Ok(())
    }
}

/// The settings of a session that follows a rule at once, with the account, costs and limits of
/// `config`.
#[must_use]
pub fn rule_config(config: &SessionConfig) -> SessionConfig {
    SessionConfig {
        strategy: StrategyConfig {
            entry_threshold: 0.5,
            exit_threshold: 0.5,
            minimum_holding_bars: 0,
            minimum_confidence: None,
            ..config.strategy.clone()
        },
        fusion: FusionConfig::default(),
        ..config.clone()
    }
}

/// The settings without the breakers of loss: equity may fall until it is gone, and in a day as far
/// as it likes. Everything else is as it was.
///
/// For random strategies, which lose by their costs: stopped for good, they would trade less than
/// what they are measured against, for lack of skill and not by chance.
#[must_use]
pub fn without_loss_breakers(config: &SessionConfig) -> SessionConfig {
    let mut config = config.clone();
    config.risk.max_drawdown = config.risk.max_drawdown.map(|_| 1.0);
    config.risk.max_daily_loss = None;
    config
}

/// What a rule makes of the same market with the same account, costs and limits.
///
/// # Errors
/// [`BacktestError`] where the settings are wrong.
pub fn run_rule(
    spec: &BacktestSpec<'_>,
    rule: Rule,
    range: Option<(Timestamp, Timestamp)>,
) -> Result<BacktestResult, BacktestError> {
    let config = rule_config(spec.config);
    let spec = BacktestSpec {
        config: &config,
        ..*spec
    };
    let mut signals = RuleSignals::new(rule, spec.market.series().len(), range);
    run_backtest(&spec, &mut signals, &mut NullJournal)
}

/// How many deviations `close` lies above the mean of the window that it is put into; `None` until
/// the window is full.
fn deviations(
    closes: &mut Vec<f64>,
    next: &mut usize,
    window_bars: u32,
    close: f64,
) -> Option<f64> {
    let window = window_bars.max(2) as usize;
    if closes.len() < window {
        closes.push(close);
    } else if let Some(oldest) = closes.get_mut(*next) {
        *oldest = close;
        *next = (*next + 1) % window;
    }
    if closes.len() < window {
        return None;
    }
    let count = window as f64;
    let mean = closes.iter().sum::<f64>() / count;
    let squares: f64 = closes.iter().map(|one| (one - mean).powi(2)).sum();
    let deviation = (squares / count).sqrt();
    Some(if deviation > 0.0 {
        (close - mean) / deviation
    } else {
        0.0
    })
}

fn sign(value: f64) -> i8 {
    match value {
        value if value > 0.0 => 1,
        value if value < 0.0 => -1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sides(rule: Rule, closes: &[f64]) -> Vec<Option<Direction>> {
        let mut signals = RuleSignals::new(rule, 1, None);
        closes.iter().map(|close| signals.side(0, *close)).collect()
    }

    #[test]
    fn a_crossover_follows_the_trend_once_it_is_warm() {
        let rule = Rule::MomentumCrossover {
            fast_bars: 2,
            slow_bars: 4,
        };
        let up: Vec<f64> = (0..10).map(f64::from).collect();
        let found = sides(rule, &up);
        assert_eq!(found[..3], [None; 3]);
        assert!(found[3..].iter().all(|side| *side == Some(Direction::Long)));
        let down: Vec<f64> = up.iter().rev().copied().collect();
        assert_eq!(sides(rule, &down).pop().unwrap(), Some(Direction::Short));
    }

    #[test]
    fn a_reversion_buys_a_fall_and_sells_at_the_mean() {
        let rule = Rule::MeanReversion {
            window_bars: 4,
            entry: 1.5,
        };
        let found = sides(rule, &[10.0, 10.0, 10.0, 10.0, 8.0, 8.5, 11.5]);
        assert_eq!(found[3], Some(Direction::Flat));
        assert_eq!(found[4], Some(Direction::Long), "1.73 deviations below");
        assert_eq!(found[5], Some(Direction::Long), "not back yet");
        assert_eq!(
            found[6],
            Some(Direction::Flat),
            "1.46 deviations above, past the mean"
        );
    }

    #[test]
    fn a_random_rule_keeps_its_shares_and_its_seed() {
        let rule = |seed| Rule::Random {
            seed,
            change: 0.2,
            long: 0.5,
            short: 0.3,
        };
        let closes = vec![1.0; 20_000];
        let found = sides(rule(7), &closes);
        let share = |wanted: Direction| {
            let count = found.iter().filter(|side| **side == Some(wanted)).count();
            count as f64 / closes.len() as f64
        };
        assert!((share(Direction::Long) - 0.5).abs() < 0.04);
        assert!((share(Direction::Short) - 0.3).abs() < 0.04);
        assert_eq!(found, sides(rule(7), &closes));
        assert_ne!(found, sides(rule(8), &closes));
    }
}
