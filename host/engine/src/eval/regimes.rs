//! What kind of market a bar lies in, from what was known when it closed.
//!
//! Volatility is calm, usual or wild: the root mean square of the last log returns, ranked among
//! all its own earlier values (terciles of the past only, so the same number may be wild early and
//! usual late). Trend is up or down: the sign of the price change over a longer window. Nothing
//! that comes after a bar changes what is said of it.

use serde::{Deserialize, Serialize};

/// Windows, in bars.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegimeOptions {
    /// Returns in a reading of volatility, at least 1.
    pub volatility_bars: usize,
    /// Bars over which the price change gives the trend, at least 1.
    pub trend_bars: usize,
    /// Earlier readings of volatility without which none is ranked.
    pub least_readings: usize,
}

/// Volatility among its own past.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VolatilityRegime {
    /// Fewer than a third of the earlier readings are lower.
    Calm,
    /// Between a third and two thirds of them are.
    Usual,
    /// Two thirds of them or more are.
    Wild,
}

/// Where the price has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrendRegime {
    /// Above where it was.
    Up,
    /// Not above where it was.
    Down,
}

/// What kind of market it is; `None` before there is enough history.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Regime {
    /// Volatility among its own past.
    pub volatility: Option<VolatilityRegime>,
    /// Where the price has gone.
    pub trend: Option<TrendRegime>,
}

/// The regime at each close, from it and the closes before. Closes that are not above zero have no
/// returns, and readings that contain one do not count.
#[must_use]
pub fn regimes(closes: &[f64], options: &RegimeOptions) -> Vec<Regime> {
    let readings = volatility_readings(closes, options.volatility_bars.max(1));
    let ranked = past_terciles(&readings, options.least_readings.max(1));
    let trend = |at: usize| {
        let before = *closes.get(at.checked_sub(options.trend_bars.max(1))?)?;
        let now = *closes.get(at)?;
        let is_fine = before > 0.0 && now > 0.0;
        is_fine.then_some(match now > before {
            true => TrendRegime::Up,
            false => TrendRegime::Down,
        })
    };
    let both = (0..closes.len()).zip(ranked);
    both.map(|(at, volatility)| Regime {
        volatility,
        trend: trend(at),
    })
    .collect()
}

/// Root mean square of the last `window` log returns at each close.
fn volatility_readings(closes: &[f64], window: usize) -> Vec<Option<f64>> {
    let mut squares: Vec<Option<f64>> = vec![None];
    squares.extend(closes.windows(2).map(|pair| {
        let change = (pair[1] / pair[0]).ln();
        let is_fine = pair[0] > 0.0 && pair[1] > 0.0 && change.is_finite();
        is_fine.then_some(change * change)
    }));
    squares.truncate(closes.len());
    // The sum is made anew where it begins and once in a window, so that rounding cannot pile up.
    let (mut sum, mut run) = (0.0, 0_usize);
    let mut readings = Vec::with_capacity(closes.len());
    for at in 0..squares.len() {
        let Some(square) = squares[at] else {
            (sum, run) = (0.0, 0);
            readings.push(None);
            continue;
        };
        run += 1;
        sum += square;
        if run > window {
            sum -= squares[at - window].unwrap_or(0.0);
            if run.is_multiple_of(window) {
                sum = squares[at + 1 - window..=at].iter().flatten().sum();
            }
        }
        let reading = (sum.max(0.0) / window as f64).sqrt();
        readings.push((run >= window).then_some(reading));
    }
    readings
}

/// Where each reading ranks among those before it.
fn past_terciles(readings: &[Option<f64>], least: usize) -> Vec<Option<VolatilityRegime>> {
    let mut sorted: Vec<f64> = readings.iter().flatten().copied().collect();
    sorted.sort_by(f64::total_cmp);
    let mut counts = Counts::new(sorted.len());
    let mut seen = 0_usize;
    let mut ranked = Vec::with_capacity(readings.len());
    for reading in readings {
        let Some(value) = reading else {
            ranked.push(None);
            continue;
        };
        let place = sorted.partition_point(|one| one.total_cmp(value).is_lt());
        let lower = counts.before(place);
        ranked.push((seen >= least).then_some(match 3 * lower {
            lower if lower < seen => VolatilityRegime::Calm,
            lower if lower < 2 * seen => VolatilityRegime::Usual,
            _ => VolatilityRegime::Wild,
        }));
        counts.add(place);
        seen += 1;
    }
    ranked
}

/// Counts by place, with sums over the first places (P. Fenwick 1994). Sorting all readings
/// beforehand only names the places; a count never holds what comes later.
struct Counts {
    sums: Vec<usize>,
}

impl Counts {
    fn new(places: usize) -> Self {
        Self {
            sums: vec![0; places + 1],
        }
    }

    fn add(&mut self, place: usize) {
        let mut at = place + 1;
        while let Some(sum) = self.sums.get_mut(at) {
            *sum += 1;
            at += at & at.wrapping_neg();
        }
    }

    /// How many were added at places before `place`.
    fn before(&self, place: usize) -> usize {
        let (mut at, mut total) = (place, 0);
        while at > 0 {
            total += self.sums.get(at).copied().unwrap_or(0);
            at -= at & at.wrapping_neg();
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: RegimeOptions = RegimeOptions {
        volatility_bars: 3,
        trend_bars: 4,
        least_readings: 5,
    };

    fn wave(count: u32) -> Vec<f64> {
        (0..count)
            .map(|at| {
                let swing = f64::from(at * 7_919 % 101) / 101.0 - 0.5;
                100.0 + 30.0 * (f64::from(at) / 40.0).sin() + swing * f64::from(at % 50)
            })
            .collect()
    }

    #[test]
    fn what_comes_later_changes_nothing() {
        let closes = wave(300);
        let whole = regimes(&closes, &OPTIONS);
        for cut in [1, 8, 9, 120, 299] {
            assert_eq!(regimes(&closes[..cut], &OPTIONS), whole[..cut]);
        }
    }

    #[test]
    fn a_worked_example() {
        // Log returns of 1, 1, 1, 2, 0 and 5 steps: readings of one return each.
        let step = 0.01_f64;
        let mut closes = vec![100.0];
        for size in [1.0, -1.0, 1.0, 2.0, 0.0, 5.0] {
            closes.push(closes[closes.len() - 1] * (step * size).exp());
        }
        let options = RegimeOptions {
            volatility_bars: 1,
            trend_bars: 2,
            least_readings: 3,
        };
        let found = regimes(&closes, &options);
        let volatility: Vec<_> = found.iter().map(|one| one.volatility).collect();
        use VolatilityRegime::{Calm, Wild};
        assert_eq!(volatility[..4], [None; 4]);
        assert_eq!(volatility[4..], [Some(Wild), Some(Calm), Some(Wild)]);
        let trend: Vec<_> = found.iter().map(|one| one.trend).collect();
        use TrendRegime::{Down, Up};
        assert_eq!(trend[..2], [None; 2]);
        // Back to where it was is not above it.
        assert!(matches!(trend[2], Some(Down | Up)));
        assert_eq!(trend[4..], [Some(Up), Some(Up), Some(Up)]);
    }

    #[test]
    fn ranks_are_those_of_a_plain_count() {
        let closes = wave(400);
        let readings = volatility_readings(&closes, 3);
        let found = past_terciles(&readings, 5);
        for (at, reading) in readings.iter().enumerate() {
            let past: Vec<f64> = readings[..at].iter().flatten().copied().collect();
            let expected = reading.filter(|_| past.len() >= 5).map(|value| {
                let lower = past.iter().filter(|one| **one < value).count();
                match 3 * lower {
                    lower if lower < past.len() => VolatilityRegime::Calm,
                    lower if lower < 2 * past.len() => VolatilityRegime::Usual,
                    _ => VolatilityRegime::Wild,
                }
            });
            assert_eq!(found[at], expected, "{at}");
        }
        assert!(found.contains(&Some(VolatilityRegime::Usual)));
    }

    #[test]
    fn a_close_without_a_return_empties_the_window() {
        let mut closes = wave(40);
        closes[20] = 0.0;
        let readings = volatility_readings(&closes, 3);
        let missing: Vec<usize> = (0..40).filter(|at| readings[*at].is_none()).collect();
        assert_eq!(missing, [0, 1, 2, 20, 21, 22, 23]);
        assert!(regimes(&[], &OPTIONS).is_empty());
        assert_eq!(regimes(&[1.0], &OPTIONS), [Regime::default()]);
    }
}
