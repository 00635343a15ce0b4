//! The random process behind a simulated market.
//!
//! The log return of symbol `i` in bar `t` is
//!
//! ```text
//! r = vol (beta s + e) + jump
//! ```
//!
//! - `vol` is stochastic: its log follows an AR(1) (Taylor 1986), of whose variance the market
//!   shares half, times a pattern within the day.
//! - `e` is Student t of unit variance: correlated normals, all divided by the root of one
//!   chi-squared number, so that wild bars are wild in all symbols.
//! - `s` is the planted signal as it stood at the end of the bar before (see `signal`).
//!
//! Within a bar the price walks a Brownian bridge that ends at `r`, which gives high and low. The
//! taker-buy imbalance of a bar shows `s` of that bar with noise and is independent of the bar's
//! own return, unlike on real venues, so that the stated strength is exact. Volume grows with
//! volatility and with the size of the return. Nothing else depends on the future.

use fusebox_engine::types::{Bar, Timestamp};

use super::config::SimulatedConfig;
use super::draws::Draws;

/// Steps that the price walks within a bar.
const STEPS: usize = 12;
/// How much of the variance of log volatility the symbols share.
const SHARED_VOLATILITY: f64 = 0.5;
/// Taker-buy share of the volume per standard unit of imbalance, around one half.
const IMBALANCE_SCALE: f64 = 0.1;
/// Typical size of a trade in the quote asset.
const TRADE_QUOTE: f64 = 1_000.0;
/// Significant digits of a price at its start.
const PRICE_DIGITS: i32 = 7;
const VOLUME_DECIMALS: usize = 5;
const QUOTE_DECIMALS: usize = 4;
const POWERS_OF_TEN: [f64; 9] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8];

/// Random streams: one for the market, then three for each symbol.
const MARKET_STREAM: u64 = 0;
const STREAMS_PER_SYMBOL: u64 = 3;

fn symbol_stream(symbol: usize, purpose: u64) -> u64 {
    MARKET_STREAM + 1 + STREAMS_PER_SYMBOL * symbol as u64 + purpose
}

/// What all symbols have in common in one bar.
struct Common {
    normal: f64,
    /// Turns a normal into a Student t of unit variance.
    tail_scale: f64,
    log_volatility: f64,
    pattern: f64,
}

/// One symbol on its way through time.
struct Walker {
    path: Draws,
    flow: Draws,
    drift: f64,
    /// Of the signal's variance, the share that is the leader's momentum.
    lead_share: f64,
    log_price: f64,
    decimals: usize,
    own_state: f64,
    signal: f64,
    log_volatility: f64,
}

/// Numbers that are the same in every bar.
struct Constants {
    length_nanos: i64,
    volatility: f64,
    volatility_persistence: f64,
    volatility_spread: f64,
    persistence: f64,
    correlation: f64,
    jump_probability: f64,
    jump_volatility: f64,
    visibility: f64,
    quote_per_bar: f64,
}

/// Bars of every symbol, gaps not yet taken out. `config` must have no problems.
pub(super) fn walk(config: &SimulatedConfig) -> Vec<Vec<Bar>> {
    let constants = Constants::new(config);
    let pattern = config.intraday_pattern();
    let mut market = Draws::new(config.seed, MARKET_STREAM);
    let mut walkers: Vec<Walker> = (0..config.symbols.len())
        .map(|symbol| Walker::new(config, symbol))
        .collect();
    let mut lead = market.normal();
    let mut log_volatility = market.normal();
    let count = config.bar_count();
    let mut bars: Vec<Vec<Bar>> = vec![Vec::with_capacity(count); walkers.len()];
    let first = config.first_bar();
    for step in 0..count {
        let elapsed = constants.length_nanos.saturating_mul(step as i64);
        let opened_at = first.saturating_add_nanos(elapsed);
        log_volatility = next_state(
            constants.volatility_persistence,
            log_volatility,
            &mut market,
        );
        let common = Common {
            normal: market.normal(),
            tail_scale: tail_scale(config.tail_degrees_of_freedom, &mut market),
            log_volatility,
            pattern: pattern[bar_of_day(opened_at, constants.length_nanos, pattern.len())],
        };
        for (symbol, walker) in walkers.iter_mut().enumerate() {
            let (bar, shock) = walker.step(&constants, &common, opened_at);
            if symbol == 0 {
                let persistence = constants.persistence;
                lead = persistence * lead + (1.0 - persistence * persistence).sqrt() * shock;
            }
            // Followers see the leader's return of this same bar: it moves their next one.
            walker.update_signal(&constants, lead);
            bars[symbol].push(walker.with_flow(&constants, bar));
        }
    }
    bars
}

/// One step of a stationary AR(1) of unit variance.
fn next_state(persistence: f64, state: f64, draws: &mut Draws) -> f64 {
    persistence * state + (1.0 - persistence * persistence).sqrt() * draws.normal()
}

fn tail_scale(degrees: u32, draws: &mut Draws) -> f64 {
    (f64::from(degrees - 2) / draws.chi_squared(degrees)).sqrt()
}

fn bar_of_day(opened_at: Timestamp, length_nanos: i64, bars_per_day: usize) -> usize {
    let bar = opened_at.as_nanos().div_euclid(length_nanos);
    let within = bar.rem_euclid(i64::try_from(bars_per_day).unwrap_or(1));
    usize::try_from(within).unwrap_or_default()
}

impl Constants {
    fn new(config: &SimulatedConfig) -> Self {
        let days = config.time_frame.nanos() as f64 / (24.0 * 3600.0 * 1e9);
        let diffusion = config.bar_variance() - config.jump_variance();
        Self {
            length_nanos: config.time_frame.nanos(),
            volatility: diffusion.sqrt(),
            volatility_persistence: config.volatility_persistence(),
            volatility_spread: config.volatility_of_volatility,
            persistence: config.persistence(),
            correlation: config.correlation,
            jump_probability: config.jump_probability(),
            jump_volatility: config.jump_volatility,
            visibility: config.signal_visibility,
            quote_per_bar: config.quote_volume_per_day * days,
        }
    }
}

impl Walker {
    fn new(config: &SimulatedConfig, symbol: usize) -> Self {
        let price = config.start_price(symbol);
        let shape = config.signal_shape(symbol);
        let mut path = Draws::new(config.seed, symbol_stream(symbol, 0));
        let own_state = path.normal();
        Self {
            drift: shape.drift().unwrap_or_default(),
            lead_share: shape.lead_share,
            log_price: libm::log(price),
            decimals: price_decimals(price),
            log_volatility: path.normal(),
            signal: own_state,
            own_state,
            flow: Draws::new(config.seed, symbol_stream(symbol, 1)),
            path,
        }
    }

    /// Walks through one bar; answers with its prices and its standardised return without drift.
    fn step(&mut self, constants: &Constants, common: &Common, opened_at: Timestamp) -> (Bar, f64) {
        self.log_volatility = next_state(
            constants.volatility_persistence,
            self.log_volatility,
            &mut self.path,
        );
        let spread = constants.volatility_spread;
        let log_volatility = SHARED_VOLATILITY.sqrt() * common.log_volatility
            + (1.0 - SHARED_VOLATILITY).sqrt() * self.log_volatility;
        let level = libm::exp(spread * log_volatility - spread * spread);
        let volatility = constants.volatility * common.pattern * level;
        let normal = constants.correlation.sqrt() * common.normal
            + (1.0 - constants.correlation).sqrt() * self.path.normal();
        let shock = normal * common.tail_scale;
        let diffusion = volatility * (self.drift * self.signal + shock);
        let bridge = self.bridge(volatility * common.tail_scale);
        let (jump_step, jump) = self.jump(constants);
        let at_step = |step: usize| {
            let share = (step + 1) as f64 / STEPS as f64;
            let jumped = if step >= jump_step { jump } else { 0.0 };
            libm::exp(self.log_price + diffusion * share + bridge[step] + jumped)
        };
        let walked: [f64; STEPS] = std::array::from_fn(at_step);
        let open = libm::exp(self.log_price);
        let bar = self.bar(opened_at, open, &walked, constants.length_nanos);
        self.log_price += diffusion + jump;
        let busy = level * common.pattern * (0.5 + 0.5 * shock.abs());
        let volume = constants.quote_per_bar * busy * libm::exp(0.4 * self.flow.normal());
        (self.with_volume(bar, volume, &walked), shock)
    }

    /// A walk of [`STEPS`] steps that begins and ends at 0.
    fn bridge(&mut self, volatility: f64) -> [f64; STEPS] {
        let mut walked = [0.0; STEPS];
        let mut at = 0.0;
        for one in &mut walked {
            at += self.path.normal();
            *one = at;
        }
        let scale = volatility / (STEPS as f64).sqrt();
        std::array::from_fn(|step| {
            let share = (step + 1) as f64 / STEPS as f64;
            scale * (walked[step] - share * at)
        })
    }

    /// The step at which the price jumps, and how far. Every bar draws the same numbers.
    fn jump(&mut self, constants: &Constants) -> (usize, f64) {
        let happens = self.path.uniform() < constants.jump_probability;
        let step = self.path.below(STEPS);
        let size = constants.jump_volatility * self.path.normal();
        (step, if happens { size } else { 0.0 })
    }

    /// The prices of a bar on the symbol's tick.
    fn bar(&self, opened_at: Timestamp, open: f64, walked: &[f64], length_nanos: i64) -> Bar {
        let close = walked.last().copied().unwrap_or(open);
        let high = walked.iter().copied().fold(open, f64::max);
        let low = walked.iter().copied().fold(open, f64::min);
        let on_tick = |price: f64| rounded(price, self.decimals).max(tick(self.decimals));
        Bar {
            opened_at,
            closed_at: opened_at.saturating_add_nanos(length_nanos),
            open: on_tick(open),
            high: on_tick(high),
            low: on_tick(low),
            close: on_tick(close),
            volume: 0.0,
            quote_volume: None,
            trades: None,
            taker_buy_volume: None,
        }
    }

    fn with_volume(&mut self, bar: Bar, quote: f64, walked: &[f64]) -> Bar {
        let average = walked.iter().sum::<f64>() / walked.len() as f64;
        let average = average.max(bar.low).min(bar.high);
        let volume = rounded(quote / average, VOLUME_DECIMALS).max(tick(VOLUME_DECIMALS));
        let trades = quote / TRADE_QUOTE * libm::exp(0.2 * self.flow.normal());
        Bar {
            volume,
            quote_volume: Some(quote_volume(volume, average)),
            trades: Some(trades.round().max(1.0)),
            ..bar
        }
    }

    /// Moves the signal to the end of the bar; it then drives the next one.
    fn update_signal(&mut self, constants: &Constants, lead: f64) {
        self.own_state = next_state(constants.persistence, self.own_state, &mut self.path);
        let own = (1.0 - self.lead_share).sqrt() * self.own_state;
        self.signal = own + self.lead_share.sqrt() * lead;
    }

    /// The bar with its taker-buy volume, which shows the signal.
    fn with_flow(&mut self, constants: &Constants, bar: Bar) -> Bar {
        let visible = constants.visibility;
        let noise = (1.0 - visible * visible).sqrt() * self.flow.normal();
        let share = 0.5 + IMBALANCE_SCALE * (visible * self.signal + noise);
        let bought = rounded(bar.volume * share.clamp(0.01, 0.99), VOLUME_DECIMALS);
        Bar {
            taker_buy_volume: Some(bought.min(bar.volume)),
            ..bar
        }
    }
}

/// Decimals that give a price its digits, at most the eight that money has.
fn price_decimals(price: f64) -> usize {
    let mut digits_before = 1;
    let mut power = 10.0;
    while price >= power {
        power *= 10.0;
        digits_before += 1;
    }
    let mut power = 1.0;
    while price < power && digits_before > -3 {
        power /= 10.0;
        digits_before -= 1;
    }
    usize::try_from((PRICE_DIGITS - digits_before).clamp(0, 8)).unwrap_or_default()
}

/// The nearest number with so many decimals.
fn rounded(value: f64, decimals: usize) -> f64 {
    let power = POWERS_OF_TEN[decimals];
    (value * power).round() / power
}

fn tick(decimals: usize) -> f64 {
    1.0 / POWERS_OF_TEN[decimals]
}

/// The turnover; amounts too small for its decimals keep all of theirs.
fn quote_volume(volume: f64, average: f64) -> f64 {
    let quote = volume * average;
    if quote < POWERS_OF_TEN[QUOTE_DECIMALS] {
        return quote;
    }
    rounded(quote, QUOTE_DECIMALS)
}

/// Which bars of a symbol are there: short gaps of its own, and the outage that all have.
pub(super) fn present(config: &SimulatedConfig, symbol: usize) -> Vec<bool> {
    let count = config.bar_count();
    let mut present = vec![true; count];
    let mut draws = Draws::new(config.seed, symbol_stream(symbol, 2));
    for step in 0..count {
        let begins = draws.uniform() < config.gap_probability;
        let length = 1 + draws.below(3);
        if begins {
            present
                .iter_mut()
                .skip(step)
                .take(length)
                .for_each(|one| *one = false);
        }
    }
    let outage = config.outage_bars as usize;
    // The outage lies in the middle half, at the same bars for every symbol.
    let mut market = Draws::new(config.seed, u64::MAX);
    let start = count / 4 + market.below((count / 2).saturating_sub(outage).max(1));
    present
        .iter_mut()
        .skip(start)
        .take(outage)
        .for_each(|one| *one = false);
    present
}
