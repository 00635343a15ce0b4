//! `[data]`: the market.

use fusebox_services::data::SimulatedConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[data]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawData {
    /// Recorded candles from files, or a simulated market.
    pub(crate) source: RawSource,
    /// The data directory, as `<dir>/<exchange>/<symbol>-<time_frame>.parquet`; relative to the
    /// working directory. `--data` sets it.
    pub(crate) dir: Option<String>,
    /// The folder below the data directory, such as `BINANCE`.
    pub(crate) exchange: Option<String>,
    /// Symbols as the venue writes them, such as `BTCUSDT`.
    pub(crate) symbols: Vec<String>,
    /// Length of a bar: a count and one of s, m, h, d, w, such as `1h`.
    pub(crate) time_frame: Option<String>,
    /// First bar by its open time in UTC, such as `2022-01-01`; without it, all there is.
    pub(crate) from: Option<String>,
    /// End of the bars by their open time in UTC, itself not included; without it, all there is.
    pub(crate) to: Option<String>,
    /// The simulated market, used with `source = "simulated"`. Symbols, time frame and range are
    /// those of `[data]`.
    pub(crate) simulated: RawSimulated,
}

impl Default for RawData {
    fn default() -> Self {
        Self {
            source: RawSource::Files,
            dir: None,
            exchange: None,
            symbols: Vec::new(),
            time_frame: None,
            from: None,
            to: None,
            simulated: RawSimulated::default(),
        }
    }
}

/// Where candles come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawSource {
    /// Parquet files in `data.dir`.
    Files,
    /// A seeded simulated market, `[data.simulated]`.
    Simulated,
}

/// `[data.simulated]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawSimulated {
    /// The same seed gives the same bars, to the bit. It is not the seed of the run, so that models
    /// with other seeds see the same market.
    pub(crate) seed: u64,
    /// First price of each symbol; empty for built-in ones.
    pub(crate) start_prices: Vec<f64>,
    /// Standard deviation of a year's log return, jumps included.
    #[schemars(range(min = 0.01, max = 3))]
    pub(crate) annual_volatility: f64,
    /// Correlation between the bars' log returns of any two symbols, jumps left out.
    #[schemars(range(min = 0, max = 0.99))]
    pub(crate) correlation: f64,
    /// Degrees of freedom of the Student t law of returns; fewer give fatter tails.
    #[schemars(range(min = 3, max = 200))]
    pub(crate) tail_degrees_of_freedom: u32,
    /// Standard deviation of the log of volatility: how strongly it clusters.
    #[schemars(range(min = 0, max = 1))]
    pub(crate) volatility_of_volatility: f64,
    /// Half-life of a change of volatility, in days.
    #[schemars(range(min = 0.01, max = 365))]
    pub(crate) volatility_half_life_days: f64,
    /// How far volatility swings around its mean within a day; 0 for not at all.
    #[schemars(range(min = 0, max = 0.9))]
    pub(crate) intraday_amplitude: f64,
    /// Expected number of jumps per symbol and year.
    #[schemars(range(min = 0, max = 1000))]
    pub(crate) jumps_per_year: f64,
    /// Standard deviation of a jump's log size.
    #[schemars(range(min = 0, max = 1))]
    pub(crate) jump_volatility: f64,
    /// Strength of the planted signal: the expected correlation between its best linear use and the
    /// log return of the next `signal_horizon_bars` bars. 0 plants none: nothing is predictable.
    #[schemars(range(min = 0, max = 1))]
    pub(crate) signal_ic: f64,
    /// Horizon at which `signal_ic` is stated, in bars.
    #[schemars(range(min = 1, max = 10_000))]
    pub(crate) signal_horizon_bars: u32,
    /// Half-life of the signal, in bars.
    #[schemars(range(min = 0.1, max = 10_000))]
    pub(crate) signal_half_life_bars: f64,
    /// Correlation between the signal and the taker-buy imbalance of the same bar.
    #[schemars(range(min = 0.01, max = 0.999))]
    pub(crate) signal_visibility: f64,
    /// Share of a follower's signal that is the leader's past return instead of its own state.
    #[schemars(range(min = 0, max = 0.9))]
    pub(crate) lead_share: f64,
    /// Probability that a gap of one to three bars begins at a bar.
    #[schemars(range(min = 0, max = 0.2))]
    pub(crate) gap_probability: f64,
    /// Length of the one outage that all symbols have together, in bars; 0 for none.
    pub(crate) outage_bars: u32,
    /// Typical turnover of a symbol per day, in the quote asset.
    #[schemars(range(min = 1, max = 1e13))]
    pub(crate) quote_volume_per_day: f64,
}

impl Default for RawSimulated {
    /// The defaults are the simulator's own.
    fn default() -> Self {
        let market = SimulatedConfig::default();
        Self {
            seed: market.seed,
            start_prices: market.start_prices,
            annual_volatility: market.annual_volatility,
            correlation: market.correlation,
            tail_degrees_of_freedom: market.tail_degrees_of_freedom,
            volatility_of_volatility: market.volatility_of_volatility,
            volatility_half_life_days: market.volatility_half_life_days,
            intraday_amplitude: market.intraday_amplitude,
            jumps_per_year: market.jumps_per_year,
            jump_volatility: market.jump_volatility,
            signal_ic: market.signal_ic,
            signal_horizon_bars: market.signal_horizon_bars,
            signal_half_life_bars: market.signal_half_life_bars,
            signal_visibility: market.signal_visibility,
            lead_share: market.lead_share,
            gap_probability: market.gap_probability,
            outage_bars: market.outage_bars,
            quote_volume_per_day: market.quote_volume_per_day,
        }
    }
}

impl RawSimulated {
    /// The simulator's settings; what `[data]` says comes from `market`.
    pub(crate) fn config(&self, market: SimulatedConfig) -> SimulatedConfig {
        SimulatedConfig {
            seed: self.seed,
            start_prices: self.start_prices.clone(),
            annual_volatility: self.annual_volatility,
            correlation: self.correlation,
            tail_degrees_of_freedom: self.tail_degrees_of_freedom,
            volatility_of_volatility: self.volatility_of_volatility,
            volatility_half_life_days: self.volatility_half_life_days,
            intraday_amplitude: self.intraday_amplitude,
            jumps_per_year: self.jumps_per_year,
            jump_volatility: self.jump_volatility,
            signal_ic: self.signal_ic,
            signal_horizon_bars: self.signal_horizon_bars,
            signal_half_life_bars: self.signal_half_life_bars,
            signal_visibility: self.signal_visibility,
            lead_share: self.lead_share,
            gap_probability: self.gap_probability,
            outage_bars: self.outage_bars,
            quote_volume_per_day: self.quote_volume_per_day,
            ..market
        }
    }
}
