//! Traded amounts, who traded, and what a trade moves. A market without volume gives the neutral
//! value that each formula names.

use super::kind::{Family, FeatureKind, Input, Parameter};
use super::momentum::{typical_of, typical_price};
use super::parts::{in_parts, in_warm_parts, log_ratio};
use super::returns::close_location;
use super::volatility::Returns;
use super::window::{ROWS, RollingLine, RollingMean, RollingMoments, RollingSum};
use super::{Bars, Operator};
use crate::types::Bar;

const BASE: FeatureKind = FeatureKind {
    family: Family::Volume,
    source: "standard definition",
    parameters: &[Parameter::bars("period", 24, 2, "window length in bars")],
    inputs: &[Input::Volume],
    warmup_bars: |a| a.bars_u32(0),
    ..FeatureKind::BASE
};

const PRICED: &[Input] = &[Input::High, Input::Low, Input::Close, Input::Volume];

pub(super) const KINDS: &[FeatureKind] = &[
    FeatureKind {
        name: "volume_zscore",
        summary: "How unusual the bar's volume is.",
        formula: "(volume - SMA) / STDDEV; 0 where the volume does not vary",
        source: "TA-Lib SMA and STDDEV",
        units: "standard deviations",
        operator: |a| Box::new(ZScoreOf::new(a.bars(0), |bar| bar.volume)),
        ..BASE
    },
    FeatureKind {
        name: "relative_volume",
        summary: "The bar's volume against its average.",
        formula: "volume / SMA(volume); 1 where nothing was traded",
        source: "TA-Lib SMA",
        operator: |a| {
            Box::new(RelativeVolume {
                mean: RollingMean::new(a.bars(0)),
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "obv_slope",
        summary: "Trend of the volume that came with rising against falling closes.",
        formula: "LINEARREG_SLOPE(OBV) / SMA(volume); 0 where nothing was traded",
        source: "J. Granville 1963; TA-Lib OBV, LINEARREG_SLOPE",
        units: "average volumes per bar",
        inputs: &[Input::Close, Input::Volume],
        operator: |a| Box::new(ObvSlope::new(a.bars(0))),
        ..BASE
    },
    FeatureKind {
        name: "mfi",
        summary: "Share of the money that flowed with rising typical prices.",
        formula: "100 positive / (positive + negative flow), flow = typical price x volume; equal \
                  typical prices flow nowhere; 0 where nothing flowed",
        source: "G. Quong, A. Soudack 1989; TA-Lib MFI",
        units: "0 to 100",
        parameters: &[Parameter::bars("period", 14, 2, "window length in bars")],
        inputs: PRICED,
        warmup_bars: |a| a.bars_u32(0) + 1,
        operator: |a| {
            Box::new(MoneyFlowIndex {
                previous: None,
                positive: RollingSum::new(a.bars(0)),
                negative: RollingSum::new(a.bars(0)),
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "cmf",
        summary: "Whether volume came with closes near the high or near the low.",
        formula: "sum(close location x volume) / sum(volume); 0 where nothing was traded",
        source: "M. Chaikin, money flow",
        units: "-1 to 1",
        parameters: &[Parameter::bars("period", 20, 2, "window length in bars")],
        inputs: PRICED,
        operator: |a| {
            Box::new(VolumeWeighted::new(a.bars(0), close_location, |mean, _| {
                mean
            }))
        },
        ..BASE
    },
    FeatureKind {
        name: "vwap_distance",
        summary: "How far the close lies above the volume-weighted average price.",
        formula: "ln(close / (sum(typical price x volume) / sum(volume))); 0 where nothing was \
                  traded",
        units: "log return",
        inputs: PRICED,
        operator: |a| {
            let show = |mean: f64, close: f64| {
                if mean > 0.0 {
                    log_ratio(close, mean)
                } else {
                    0.0
                }
            };
            Box::new(VolumeWeighted::new(a.bars(0), typical_price, show))
        },
        ..BASE
    },
    FeatureKind {
        name: "taker_buy_imbalance",
        summary: "Bought against sold volume of those who crossed the spread.",
        formula: "(2 sum(taker_buy_volume) - sum(volume)) / sum(volume); 0 where nothing was \
                  traded",
        units: "-1 to 1",
        parameters: &[Parameter::bars("period", 1, 1, "window length in bars")],
        inputs: &[Input::Volume, Input::TakerBuyVolume],
        operator: |a| {
            Box::new(TakerBuyImbalance {
                bought: RollingSum::new(a.bars(0)),
                traded: RollingSum::new(a.bars(0)),
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "amihud",
        summary: "What a million of the quote asset moves the price: illiquidity.",
        formula: "mean of |log return| / (quote_volume / 1e6), leaving out bars without trades; 0 \
                  where nothing was traded",
        source: "Y. Amihud 2002",
        units: "log return per million",
        inputs: &[Input::Close, Input::QuoteVolume],
        warmup_bars: |a| a.bars_u32(0) + 1,
        operator: |a| {
            Box::new(Amihud {
                returns: Returns::default(),
                impact: RollingSum::new(a.bars(0)),
                traded_bars: RollingSum::new(a.bars(0)),
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "trades_zscore",
        summary: "How unusual the number of trades is.",
        formula: "(trades - SMA) / STDDEV; 0 where it does not vary",
        source: "TA-Lib SMA and STDDEV",
        units: "standard deviations",
        inputs: &[Input::Trades],
        operator: |a| {
            Box::new(ZScoreOf::new(a.bars(0), |bar| {
                bar.trades.unwrap_or(f64::NAN)
            }))
        },
        ..BASE
    },
];

#[derive(Debug, Clone)]
struct ZScoreOf {
    moments: RollingMoments,
    value: fn(&Bar) -> f64,
}

impl ZScoreOf {
    fn new(period: usize, value: fn(&Bar) -> f64) -> Self {
        Self {
            moments: RollingMoments::new(period),
            value,
        }
    }
}

impl Operator for ZScoreOf {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let value = (self.value)(bar);
        Some(self.moments.push(value)?.z_score(value))
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_warm_parts(
            self,
            bars,
            values,
            |_| true,
            #[inline(always)]
            |all, bars, values| {
                let mut terms = [0.0; ROWS];
                let terms = &mut terms[..bars.len()];
                for (term, bar) in terms.iter_mut().zip(bars.iter()) {
                    *term = (all.value)(&bar);
                }
                all.moments
                    .push_all(terms, values, |moments, value| moments.z_score(value));
            },
        );
    }
}

#[derive(Debug, Clone)]
struct RelativeVolume {
    mean: RollingMean,
}

impl Operator for RelativeVolume {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let mean = self.mean.push(bar.volume)?;
        Some(if mean > 0.0 { bar.volume / mean } else { 1.0 })
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_parts(
            self,
            bars,
            values,
            #[inline(always)]
            |all, bars, values| {
                let missing = all.mean.missing().min(values.len());
                all.mean.push_shown(bars.volume(), values, |mean, volume| {
                    let ratio = volume / mean;
                    if mean > 0.0 { ratio } else { 1.0 }
                });
                values[..missing].fill(f64::NAN);
            },
        );
    }
}

#[derive(Debug, Clone)]
struct ObvSlope {
    previous_close: Option<f64>,
    balance: f64,
    line: RollingLine,
    volume: RollingMean,
}

impl ObvSlope {
    fn new(period: usize) -> Self {
        Self {
            previous_close: None,
            balance: 0.0,
            line: RollingLine::new(period),
            volume: RollingMean::new(period),
        }
    }
}

impl ObvSlope {
    /// On-balance volume after a bar.
    #[inline]
    fn balance_after(&mut self, close: f64, volume: f64) -> f64 {
        let previous = self.previous_close.replace(close).unwrap_or(close);
        if close > previous {
            self.balance += volume;
        } else if close < previous {
            self.balance -= volume;
        }
        self.balance
    }
}

impl Operator for ObvSlope {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let balance = self.balance_after(bar.close, bar.volume);
        let volume = self.volume.push(bar.volume);
        let slope = self.line.push(balance)?.slope;
        let volume = volume?;
        Some(if volume > 0.0 { slope / volume } else { 0.0 })
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_warm_parts(
            self,
            bars,
            values,
            |all| all.previous_close.is_some() && all.line.missing() + all.volume.missing() == 0,
            #[inline(always)]
            |all, bars, values| {
                let (mut balances, mut means) = ([0.0; ROWS], [0.0; ROWS]);
                let balances = &mut balances[..bars.len()];
                let means = &mut means[..bars.len()];

                for (balance, (close, volume)) in balances
                    .iter_mut()
                    .zip(bars.close().iter().zip(bars.volume()))
                {
                    *balance = all.balance_after(*close, *volume);
                }
                all.volume.push_all(bars.volume(), means);
                let show = |slope: f64, mean: f64| {
                    let ratio = slope / mean;
                    if mean > 0.0 { ratio } else { 0.0 }
                };
                all.line.push_slopes([balances, means], values, show);
            },
        );
    }
}

/// Typical prices nearer than this share of the price are equal: the mean of three prices is
/// rounded, and a tie must not count as a move.
const SAME_PRICE: f64 = 1e-12;

#[derive(Debug, Clone)]
struct MoneyFlowIndex {
    previous: Option<f64>,
    positive: RollingSum,
    negative: RollingSum,
}

impl Operator for MoneyFlowIndex {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let typical = typical_price(bar);
        let previous = self.previous.replace(typical)?;
        let [rising, falling] = Self::flows(typical, previous, bar.volume);
        let positive = self.positive.push(rising);
        let negative = self.negative.push(falling)?;
        Some(Self::share(positive?, negative))
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_parts(
            self,
            bars,
            values,
            #[inline(always)]
            |all, bars, values| {
                let (mut typical, mut rising, mut falling) =
                    ([0.0; ROWS + 1], [0.0; ROWS], [0.0; ROWS]);
                // The one before the first bar stands before it, where there is one.
                let first = usize::from(all.previous.is_none());
                typical[0] = all.previous.unwrap_or(f64::NAN);
                let prices = bars.high().iter().zip(bars.low()).zip(bars.close());
                for (typical, ((high, low), close)) in typical[1..].iter_mut().zip(prices) {
                    *typical = typical_of(*high, *low, *close);
                }
                all.previous = Some(typical[bars.len()]);
                let count = bars.len() - first;
                let steps = typical[first + 1..].iter().zip(&typical[first..]);
                let flows = rising.iter_mut().zip(&mut falling);
                let bars_of = steps.zip(&bars.volume()[first..]);
                for ((rising, falling), ((typical, previous), volume)) in flows.zip(bars_of) {
                    [*rising, *falling] = Self::flows(*typical, *previous, *volume);
                }
                let (blank, values) = values.split_at_mut(bars.len() - count);
                blank.fill(f64::NAN);
                let missing = all.positive.missing().min(count);
                let mut negative = [0.0; ROWS];
                all.positive.push_all(&rising[..count], values);
                all.negative
                    .push_all(&falling[..count], &mut negative[..count]);
                for (value, negative) in values.iter_mut().zip(negative) {
                    *value = Self::share(*value, negative);
                }
                values[..missing].fill(f64::NAN);
            },
        );
    }
}

impl MoneyFlowIndex {
    /// What flowed with a rising and with a falling typical price.
    #[inline(always)]
    fn flows(typical: f64, previous: f64, volume: f64) -> [f64; 2] {
        let flow = typical * volume;
        let change = typical - previous;
        let moved = change.abs() > SAME_PRICE * typical;
        let flow_if = |counts: bool| if moved & counts { flow } else { 0.0 };
        [flow_if(change > 0.0), flow_if(change < 0.0)]
    }

    #[inline(always)]
    fn share(positive: f64, negative: f64) -> f64 {
        let total = positive + negative;
        let share = 100.0 * positive / total;
        if total > 0.0 { share } else { 0.0 }
    }
}

/// A price or ratio of each bar, averaged with the volume as weight.
#[derive(Debug, Clone)]
struct VolumeWeighted {
    value: fn(&Bar) -> f64,
    show: fn(f64, f64) -> f64,
    weighted: RollingSum,
    volume: RollingSum,
}

impl VolumeWeighted {
    fn new(period: usize, value: fn(&Bar) -> f64, show: fn(f64, f64) -> f64) -> Self {
        Self {
            value,
            show,
            weighted: RollingSum::new(period),
            volume: RollingSum::new(period),
        }
    }
}

impl Operator for VolumeWeighted {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let weighted = self.weighted.push((self.value)(bar) * bar.volume);
        let volume = self.volume.push(bar.volume)?;
        if volume > 0.0 {
            Some((self.show)(weighted? / volume, bar.close))
        } else {
            Some(0.0)
        }
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_warm_parts(
            self,
            bars,
            values,
            |all| all.volume.missing() == 0,
            #[inline(always)]
            |all, bars, values| {
                let (mut weighted, mut sums) = ([0.0; ROWS], [0.0; ROWS]);
                let weighted = &mut weighted[..bars.len()];
                let sums = &mut sums[..bars.len()];

                for (weighted, bar) in weighted.iter_mut().zip(bars.iter()) {
                    *weighted = (all.value)(&bar) * bar.volume;
                }
                all.weighted.push_all(weighted, sums);
                all.volume.push_all(bars.volume(), values);
                let sums = sums.iter().zip(bars.close());
                for (value, (weighted, close)) in values.iter_mut().zip(sums) {
                    *value = if *value > 0.0 {
                        (all.show)(weighted / *value, *close)
                    } else {
                        0.0
                    };
                }
            },
        );
    }
}

#[derive(Debug, Clone)]
struct TakerBuyImbalance {
    bought: RollingSum,
    traded: RollingSum,
}

impl Operator for TakerBuyImbalance {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let bought = self.bought.push(bar.taker_buy_volume.unwrap_or(f64::NAN));
        let traded = self.traded.push(bar.volume)?;
        if traded > 0.0 {
            Some((2.0 * bought? - traded) / traded)
        } else {
            Some(0.0)
        }
    }
}

#[derive(Debug, Clone)]
struct Amihud {
    returns: Returns,
    impact: RollingSum,
    traded_bars: RollingSum,
}

impl Operator for Amihud {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let change = self.returns.push(bar)?;
        let millions = bar.quote_volume.unwrap_or(f64::NAN) / 1e6;
        let (impact, counted) = if millions > 0.0 || millions.is_nan() {
            (change.abs() / millions, 1.0)
        } else {
            (0.0, 0.0)
        };
        let impact = self.impact.push(impact);
        let bars = self.traded_bars.push(counted)?;
        Some(if bars > 0.0 { impact? / bars } else { 0.0 })
    }
}

crate::state! {
    ZScoreOf { moments }
    RelativeVolume { mean }
    ObvSlope { previous_close, balance, line, volume }
    MoneyFlowIndex { previous, positive, negative }
    VolumeWeighted { weighted, volume }
    TakerBuyImbalance { bought, traded }
    Amihud { returns, impact, traded_bars }
}
