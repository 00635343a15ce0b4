//! What a simulated market is made like.

use fusebox_engine::types::{TimeFrame, Timestamp};
use serde::{Deserialize, Serialize};

use super::signal::SignalShape;
use crate::data::layout::check_name;
use crate::data::resample::first_start;

/// Bars that one simulated market may have over all symbols: about 2 GiB.
const MOST_BARS: u64 = 20_000_000;
const MOST_SYMBOLS: usize = 200;
const DAY_NANOS: i64 = 24 * 3600 * 1_000_000_000;
/// Prices that symbols without one begin at, by position.
const START_PRICES: [f64; 6] = [40_000.0, 2_500.0, 0.5, 100.0, 15.0, 1.0];

/// How a market is simulated. Every field has a default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SimulatedConfig {
    /// The same seed gives the same bars, to the bit, on every machine.
    pub seed: u64,
    /// Symbols; the first one leads, the others follow it.
    pub symbols: Vec<String>,
    /// Length of the bars, at most a week.
    pub time_frame: TimeFrame,
    /// The first bar opens at this time, or at the next whole bar.
    #[serde(with = "time_text")]
    pub from: Timestamp,
    /// Every bar opens before this time.
    #[serde(with = "time_text")]
    pub to: Timestamp,
    /// First price of each symbol; empty for built-in ones.
    pub start_prices: Vec<f64>,
    /// Standard deviation of a year's log return, jumps included.
    pub annual_volatility: f64,
    /// Correlation between the bars' log returns of any two symbols, jumps left out.
    pub correlation: f64,
    /// Degrees of freedom of the Student t law of returns, at least 3; fewer give fatter tails.
    pub tail_degrees_of_freedom: u32,
    /// Standard deviation of the log of volatility, which is an AR(1): how strongly it clusters.
    pub volatility_of_volatility: f64,
    /// Half-life of a change of volatility in days.
    pub volatility_half_life_days: f64,
    /// How far volatility swings around its mean within a day; 0 for not at all.
    pub intraday_amplitude: f64,
    /// Expected number of jumps per symbol and year.
    pub jumps_per_year: f64,
    /// Standard deviation of a jump's log size.
    pub jump_volatility: f64,
    /// Strength of the planted signal: the expected correlation between its best linear use and the
    /// log return of the next `signal_horizon_bars` bars. 0 plants none: nothing is predictable.
    pub signal_ic: f64,
    /// Horizon at which `signal_ic` is stated.
    pub signal_horizon_bars: u32,
    /// Half-life of the signal.
    pub signal_half_life_bars: f64,
    /// Correlation between the signal and the taker-buy imbalance of the same bar.
    pub signal_visibility: f64,
    /// Share of a follower's signal that is the leader's past return instead of its own state.
    pub lead_share: f64,
    /// Probability that a gap of one to three bars begins at a bar.
    pub gap_probability: f64,
    /// Length of the one outage that all symbols have together; 0 for none.
    pub outage_bars: u32,
    /// Typical turnover of a symbol in the quote asset.
    pub quote_volume_per_day: f64,
}

impl Default for SimulatedConfig {
    fn default() -> Self {
        let symbols = ["BTCUSDT", "ETHUSDT", "XRPUSDT"];
        Self {
            seed: 1,
            symbols: symbols.map(str::to_owned).to_vec(),
            time_frame: default_time_frame(),
            from: Self::DEFAULT_FROM,
            to: Self::DEFAULT_TO,
            start_prices: Vec::new(),
            annual_volatility: 0.7,
            correlation: 0.6,
            tail_degrees_of_freedom: 6,
            volatility_of_volatility: 0.4,
            volatility_half_life_days: 3.0,
            intraday_amplitude: 0.3,
            jumps_per_year: 12.0,
            jump_volatility: 0.03,
            signal_ic: 0.12,
            signal_horizon_bars: 12,
            signal_half_life_bars: 12.0,
            signal_visibility: 0.6,
            lead_share: 0.3,
            gap_probability: 0.0002,
            outage_bars: 6,
            quote_volume_per_day: 500e6,
        }
    }
}

#[expect(
    clippy::expect_used,
    reason = "the literal is a time frame, as a test shows"
)]
fn default_time_frame() -> TimeFrame {
    "1h".parse().expect("1h is a time frame")
}

impl SimulatedConfig {
    /// 2022-01-01.
    const DEFAULT_FROM: Timestamp = Timestamp::from_nanos(1_640_995_200_000_000_000);
    /// 2026-01-01.
    const DEFAULT_TO: Timestamp = Timestamp::from_nanos(1_767_225_600_000_000_000);

    /// Everything that is wrong, one sentence each; empty where a market can be made.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = self.symbol_problems();
        problems.extend(self.range_problems());
        let ranges = [
            ("annual_volatility", self.annual_volatility, 0.01, 3.0),
            ("correlation", self.correlation, 0.0, 0.99),
            (
                "volatility_of_volatility",
                self.volatility_of_volatility,
                0.0,
                1.0,
            ),
            (
                "volatility_half_life_days",
                self.volatility_half_life_days,
                0.01,
                365.0,
            ),
            ("intraday_amplitude", self.intraday_amplitude, 0.0, 0.9),
            ("jumps_per_year", self.jumps_per_year, 0.0, 1_000.0),
            ("jump_volatility", self.jump_volatility, 0.0, 1.0),
            ("signal_ic", self.signal_ic, 0.0, 1.0),
            (
                "signal_half_life_bars",
                self.signal_half_life_bars,
                0.1,
                10_000.0,
            ),
            ("signal_visibility", self.signal_visibility, 0.01, 0.999),
            ("lead_share", self.lead_share, 0.0, 0.9),
            ("gap_probability", self.gap_probability, 0.0, 0.2),
            ("quote_volume_per_day", self.quote_volume_per_day, 1.0, 1e13),
            (
                "tail_degrees_of_freedom",
                f64::from(self.tail_degrees_of_freedom),
                3.0,
                200.0,
            ),
            (
                "signal_horizon_bars",
                f64::from(self.signal_horizon_bars),
                1.0,
                10_000.0,
            ),
        ];
        for (key, value, low, high) in ranges {
            if !(low..=high).contains(&value) {
                problems.push(format!(
                    "`{key}` is {value}; it must be from {low} to {high}"
                ));
            }
        }
        if problems.is_empty() {
            problems.extend(self.strength_problem());
        }
        problems
    }

    fn symbol_problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let count = self.symbols.len();
        if count == 0 || count > MOST_SYMBOLS {
            problems.push(format!(
                "`symbols` has {count}; it must have 1 to {MOST_SYMBOLS}"
            ));
        }
        for (position, symbol) in self.symbols.iter().enumerate() {
            if let Err(error) = check_name(symbol, "a symbol") {
                problems.push(format!("`symbols`: {error}"));
            }
            if self.symbols[..position].contains(symbol) {
                problems.push(format!("`symbols` has {symbol} twice"));
            }
        }
        let prices = &self.start_prices;
        if !prices.is_empty() && prices.len() != count {
            problems.push(format!(
                "`start_prices` has {}; it must have one for each of the {count} symbols or none",
                prices.len()
            ));
        }
        for price in prices {
            if !(1e-4..=1e7).contains(price) {
                problems.push(format!(
                    "`start_prices` has {price}; it must be from 1e-4 to 1e7"
                ));
            }
        }
        problems
    }

    fn range_problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.time_frame.nanos() > 7 * DAY_NANOS {
            let frame = self.time_frame;
            problems.push(format!("`time_frame` is {frame}; it must be at most 1w"));
        }
        let bars = self.bar_count() as u64;
        if bars == 0 {
            let (from, to) = (self.from, self.to);
            problems.push(format!(
                "`from` {from} and `to` {to} leave no room for a bar; `to` must be later"
            ));
        }
        let all = bars.saturating_mul(self.symbols.len() as u64);
        if all > MOST_BARS {
            problems.push(format!(
                "it would have {all} bars; shorten `from` to `to` or lengthen `time_frame` until \
                 there are at most {MOST_BARS}"
            ));
        }
        if self.outage_bars > 0 && u64::from(self.outage_bars) * 4 > bars {
            problems.push(format!(
                "`outage_bars` is {}; it must be at most a quarter of the {bars} bars",
                self.outage_bars
            ));
        }
        problems
    }

    fn strength_problem(&self) -> Option<String> {
        if self.jump_variance() > 0.5 * self.bar_variance() {
            let message = "`jumps_per_year` times the square of `jump_volatility` is more than \
                           half of the square of `annual_volatility`; lower one of the first two";
            return Some(message.to_owned());
        }
        let shapes = [self.signal_shape(0), self.signal_shape(1)];
        if shapes.iter().all(|shape| shape.drift().is_some()) {
            return None;
        }
        let largest = shapes.map(|shape| shape.largest_ic());
        Some(format!(
            "`signal_ic` is {}; this horizon, half-life and visibility allow at most {:.3}",
            self.signal_ic,
            largest[0].min(largest[1])
        ))
    }

    /// Open time of the first bar.
    pub(super) fn first_bar(&self) -> Timestamp {
        first_start(self.time_frame, self.from)
    }

    /// Bars of one symbol before any is taken out.
    pub(super) fn bar_count(&self) -> usize {
        let length = self.time_frame.nanos();
        let span = self.to.nanos_since(self.first_bar()).max(0);
        usize::try_from(span / length + i64::from(span % length != 0)).unwrap_or_default()
    }

    pub(super) fn start_price(&self, symbol: usize) -> f64 {
        let given = self.start_prices.get(symbol).copied();
        given.unwrap_or(START_PRICES[symbol % START_PRICES.len()])
    }

    /// Variance of a bar's log return.
    pub(super) fn bar_variance(&self) -> f64 {
        self.annual_volatility * self.annual_volatility / self.time_frame.bars_per_year()
    }

    /// The part of [`bar_variance`](Self::bar_variance) that jumps make.
    pub(super) fn jump_variance(&self) -> f64 {
        self.jump_probability() * self.jump_volatility * self.jump_volatility
    }

    pub(super) fn jump_probability(&self) -> f64 {
        (self.jumps_per_year / self.time_frame.bars_per_year()).min(1.0)
    }

    /// The volatility factor of each bar of a day: mean square 1. One factor from a day on.
    pub(super) fn intraday_pattern(&self) -> Vec<f64> {
        let bars = usize::try_from(DAY_NANOS / self.time_frame.nanos()).unwrap_or_default();
        if bars < 2 {
            return vec![1.0];
        }
        let swing = |bar: usize| {
            let hour = 24.0 * bar as f64 / bars as f64;
            // Busiest at 15:00 UTC, when Europe and America trade, as on real venues.
            let angle = std::f64::consts::TAU * (hour - 15.0) / 24.0;
            1.0 + self.intraday_amplitude * libm::cos(angle)
        };
        let pattern: Vec<f64> = (0..bars).map(swing).collect();
        let square: f64 = pattern.iter().map(|one| one * one).sum::<f64>() / bars as f64;
        pattern.iter().map(|one| one / square.sqrt()).collect()
    }

    /// AR(1) factor of the signal per bar.
    pub(super) fn persistence(&self) -> f64 {
        half_life_factor(self.signal_half_life_bars)
    }

    /// AR(1) factor of the log of volatility per bar.
    pub(super) fn volatility_persistence(&self) -> f64 {
        let bars_per_day = DAY_NANOS as f64 / self.time_frame.nanos() as f64;
        half_life_factor(self.volatility_half_life_days * bars_per_day)
    }

    /// The signal of the symbol at a position.
    pub(super) fn signal_shape(&self, symbol: usize) -> SignalShape {
        let pattern = self.intraday_pattern();
        let mean_pattern = pattern.iter().sum::<f64>() / pattern.len() as f64;
        let spread = self.volatility_of_volatility;
        let diffusion = 1.0 - self.jump_variance() / self.bar_variance();
        SignalShape {
            ic: self.signal_ic,
            horizon_bars: self.signal_horizon_bars,
            persistence: self.persistence(),
            visibility: self.signal_visibility,
            lead_share: if symbol == 0 { 0.0 } else { self.lead_share },
            mean_over_rms_volatility: mean_pattern
                * libm::exp(-spread * spread / 2.0)
                * diffusion.sqrt(),
        }
    }
}

fn half_life_factor(half_life: f64) -> f64 {
    libm::exp(-std::f64::consts::LN_2 / half_life)
}

/// Times as people write them in a configuration.
mod time_text {
    use fusebox_engine::types::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(at)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
