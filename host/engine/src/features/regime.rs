//! Which kind of process the prices follow: trending or reverting, steady or breaking.

use super::Operator;
use super::kind::{Constraint, Family, FeatureKind, Memory, Parameter, settling_steps};
use super::parts::{share, window};
use super::volatility::Returns;
use super::window::{
    Ring, RollingLine, RollingMean, RollingMoments, RollingPair, RollingRank, RollingSum,
};
use crate::types::Bar;

const BASE: FeatureKind = FeatureKind {
    family: Family::Regime,
    parameters: &[window(48)],
    warmup_bars: |a| a.bars_u32(0) + 1,
    ..FeatureKind::BASE
};

const REVERSION: FeatureKind = FeatureKind {
    parameters: &[Parameter::bars("period", 100, 4, "window length in bars")],
    ..BASE
};

pub(super) const KINDS: &[FeatureKind] = &[
    FeatureKind {
        name: "efficiency_ratio",
        summary: "How straight the way of the close was.",
        formula: "|close[t] - close[t - period]| / sum |close - close[-1]|; 0 where nothing moved",
        source: "P. Kaufman 1995",
        units: "0 to 1",
        parameters: &[window(10)],
        operator: |a| Box::new(EfficiencyRatio::new(a.bars(0))),
        ..BASE
    },
    FeatureKind {
        name: "trend_t_value",
        summary: "How sure the trend of the log closes is.",
        formula: "t-value of the slope of the least-squares line through ln(close), held within \
                  1000; 0 when flat",
        source: "M. Lopez de Prado 2019 (trend scanning); statsmodels OLS",
        units: "standard errors",
        parameters: &[Parameter::bars("period", 48, 3, "window length in bars")],
        warmup_bars: |a| a.bars_u32(0),
        operator: |a| {
            Box::new(TrendTValue {
                count: a.number(0),
                line: RollingLine::new(a.bars(0)),
                closes: RollingMoments::new(a.bars(0)),
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "return_t_value",
        summary: "Mean return in its standard errors: the window's Sharpe ratio times sqrt(n).",
        formula: "mean(r) / (s / sqrt(n)) of log returns, s the sample deviation; 0 when flat",
        source: "W. Sharpe 1994; scipy.stats.ttest_1samp",
        units: "standard errors",
        operator: |a| Box::new(ReturnTValue::new(a.bars(0))),
        ..BASE
    },
    FeatureKind {
        name: "mean_shift",
        summary: "Whether returns of the newer half of the window differ from those of the older.",
        formula: "Welch's t of the mean log returns of the two halves, newer minus older, period / \
                  2 returns each; 0 when flat",
        source: "B. Welch 1947; scipy.stats.ttest_ind(equal_var=False)",
        units: "standard errors",
        parameters: &[Parameter::bars("period", 48, 4, "window length in bars")],
        warmup_bars: |a| 2 * (a.bars_u32(0) / 2) + 1,
        operator: |a| Box::new(MeanShift::new(a.bars(0) / 2)),
        ..BASE
    },
    FeatureKind {
        name: "volatility_percentile",
        summary: "Share of the recent volatilities that lie below the newest one.",
        formula: "(below + half of the other equal ones) / (window - 1) among the last `window` \
                  values of realized_volatility(period), equal to nine digits of their squares; \
                  reads the window, a long one by binary search",
        source: "standard definition",
        units: "share",
        parameters: &[
            Parameter::bars("period", 24, 2, "window of each volatility"),
            Parameter::bars("window", 240, 2, "how many volatilities"),
        ],
        warmup_bars: |a| a.bars_u32(0) + a.bars_u32(1),
        operator: |a| {
            Box::new(VolatilityPercentile {
                returns: Returns::default(),
                squares: RollingMean::new(a.bars(0)),
                volatilities: RollingRank::new(a.bars(1)),
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "return_autocorrelation",
        summary: "Whether returns go on (positive) or are taken back (negative).",
        formula: "correlation of r and r[-lag] of log returns, over `period` pairs; 0 when flat",
        source: "standard definition; numpy.corrcoef",
        units: "-1 to 1",
        parameters: &[
            window(48),
            Parameter::bars("lag", 1, 1, "bars between the two returns"),
        ],
        warmup_bars: |a| a.bars_u32(0) + a.bars_u32(1) + 1,
        operator: |a| Box::new(Autocorrelation::new(a.bars(0), a.bars(1), |r| r)),
        ..BASE
    },
    FeatureKind {
        name: "volatility_clustering",
        summary: "Whether large moves follow large moves.",
        formula: "correlation of |r| and |r[-lag]| of log returns, over `period` pairs; 0 when \
                  flat",
        source: "R. Cont 2001; numpy.corrcoef",
        units: "-1 to 1",
        parameters: &[
            window(48),
            Parameter::bars("lag", 1, 1, "bars between the two returns"),
        ],
        warmup_bars: |a| a.bars_u32(0) + a.bars_u32(1) + 1,
        operator: |a| Box::new(Autocorrelation::new(a.bars(0), a.bars(1), f64::abs)),
        ..BASE
    },
    FeatureKind {
        name: "half_life",
        summary: "Bars in which half of a distance from the mean is gone.",
        formula: "-ln 2 / ln(1 + b), b the slope of x - x[-1] over x[-1], x = ln(close); `period` \
                  where b >= 0 or it takes longer, 0 where b <= -1",
        source: "E. Chan 2013; statsmodels OLS",
        units: "bars",
        operator: |a| Box::new(Reversion::new(a.bars(0), half_life)),
        ..REVERSION
    },
    FeatureKind {
        name: "dickey_fuller",
        summary: "How sure the log price returns to a mean: the more negative, the surer.",
        formula: "t-value of b in x - x[-1] = a + b x[-1] + e, x = ln(close), held within 1000; 0 \
                  when flat",
        source: "D. Dickey, W. Fuller 1979; statsmodels adfuller(maxlag=0)",
        units: "standard errors",
        operator: |a| Box::new(Reversion::new(a.bars(0), Fit::t_value)),
        ..REVERSION
    },
    FeatureKind {
        name: "cusum",
        summary: "Shift of the returns that has added up, up or down.",
        formula: "U - D; U = max(0, U[-1] + z - drift), D = max(0, D[-1] - z - drift), z = r / \
                  ewma_volatility(0.94) of the bar before, held within 10; 0 where it is 0",
        source: "E. Page 1954",
        units: "standard deviations",
        parameters: &[Parameter {
            name: "drift",
            default: 0.5,
            min: 0.1,
            max: 5.0,
            whole: false,
            doc: "what is forgiven per bar, in standard deviations",
        }],
        memory: Memory::Recursive {
            // The sums forget at their next zero, not by fading. A walk that is pulled to zero by
            // `drift` a step gets there like exp(-drift^2 / 2) a step (D. Siegmund 1985).
            settling_bars: |a| {
                settling_steps(0.94, 1) + 500.max((60.0 / a.number(0).powi(2)) as u32)
            },
        },
        warmup_bars: |_| 3,
        operator: |a| Box::new(Cusum::new(a.number(0))),
        ..BASE
    },
    FeatureKind {
        name: "fractional_difference",
        summary: "Log price differenced by a fraction of an order: stationary, yet with memory.",
        formula: "sum of w[k] ln(close[t - k]) over a fixed width, w[0] = 1, w[k] = -w[k - 1] \
                  (order - k + 1) / k; reads its whole window at each bar",
        source: "J. Hosking 1981; M. Lopez de Prado 2018, 5.5 (fixed width)",
        units: "log price",
        parameters: &[
            Parameter {
                name: "order",
                default: 0.4,
                min: 0.01,
                max: 1.0,
                whole: false,
                doc: "order of the difference; 1 gives returns",
            },
            Parameter {
                max: 2000.0,
                ..Parameter::bars("width", 100, 2, "how many closes are weighed")
            },
        ],
        warmup_bars: |a| a.bars_u32(1),
        operator: |a| Box::new(FractionalDifference::new(a.number(0), a.bars(1))),
        ..BASE
    },
    FeatureKind {
        name: "variance_ratio",
        summary: "Variance of longer against that of single returns: above 1 moves go on, below 1 \
                  they are taken back.",
        formula: "VR(lag) with overlapping returns, a drift and unbiased variances, over `period` \
                  returns; 1 when flat",
        source: "A. Lo, C. MacKinlay 1988; arch VarianceRatio",
        units: "ratio",
        parameters: &[
            Parameter::bars("period", 100, 8, "returns in the window"),
            Parameter {
                max: 1000.0,
                ..Parameter::bars("lag", 4, 2, "bars of a longer return")
            },
        ],
        constraint: Some(Constraint {
            holds: |a| 2.0 * a.number(1) <= a.number(0),
            requirement: "`lag` must be at most half of `period`",
        }),
        operator: |a| Box::new(VarianceRatio::new(a.bars(0), a.bars(1))),
        ..BASE
    },
];

#[derive(Debug, Clone)]
struct EfficiencyRatio {
    closes: Ring,
    previous_close: Option<f64>,
    path: RollingSum,
}

impl EfficiencyRatio {
    fn new(period: usize) -> Self {
        Self {
            closes: Ring::new(period),
            previous_close: None,
            path: RollingSum::new(period),
        }
    }
}

impl Operator for EfficiencyRatio {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let past = self.closes.push(bar.close);
        let previous = self.previous_close.replace(bar.close)?;
        let path = self.path.push((bar.close - previous).abs())?;
        Some(share((bar.close - past?).abs(), path, 0.0).min(1.0))
    }
}

/// Largest t-value that is told; a perfect fit has none.
const LARGEST_T: f64 = 1000.0;

#[derive(Debug, Clone)]
struct TrendTValue {
    count: f64,
    line: RollingLine,
    closes: RollingMoments,
}

impl Operator for TrendTValue {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let price = bar.close.ln();
        let moments = self.closes.push(price);
        let line = self.line.push(price)?;
        let explained = line.r_squared(self.count, moments?.standard_deviation);
        let size = (explained * (self.count - 2.0) / (1.0 - explained)).sqrt();
        Some(size.min(LARGEST_T).copysign(line.slope))
    }
}

#[derive(Debug, Clone)]
struct ReturnTValue {
    root: f64,
    returns: Returns,
    moments: RollingMoments,
}

impl ReturnTValue {
    fn new(period: usize) -> Self {
        Self {
            // The sample deviation is larger by sqrt(n / (n - 1)).
            root: (period as f64 - 1.0).sqrt(),
            returns: Returns::default(),
            moments: RollingMoments::new(period),
        }
    }
}

impl Operator for ReturnTValue {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let moments = self.moments.push(self.returns.push(bar)?)?;
        let ratio = share(moments.mean, moments.standard_deviation, 0.0);
        Some((ratio * self.root).clamp(-LARGEST_T, LARGEST_T))
    }
}

#[derive(Debug, Clone)]
struct MeanShift {
    count: f64,
    returns: Returns,
    newer: RollingMoments,
    /// Hands each return over to the older half when it leaves the newer one.
    handed: Ring,
    older: RollingMoments,
}

impl MeanShift {
    fn new(half: usize) -> Self {
        Self {
            count: half as f64,
            returns: Returns::default(),
            newer: RollingMoments::new(half),
            handed: Ring::new(half),
            older: RollingMoments::new(half),
        }
    }
}

impl Operator for MeanShift {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let change = self.returns.push(bar)?;
        let newer = self.newer.push(change);
        let handed = self.handed.push(change)?;
        let older = self.older.push(handed)?;
        let newer = newer?;
        let squares = newer.standard_deviation.powi(2) + older.standard_deviation.powi(2);
        let error = (squares / (self.count - 1.0)).sqrt();
        let ratio = share(newer.mean - older.mean, error, 0.0);
        Some(ratio.clamp(-LARGEST_T, LARGEST_T))
    }
}

#[derive(Debug, Clone)]
struct VolatilityPercentile {
    returns: Returns,
    squares: RollingMean,
    volatilities: RollingRank,
}

impl Operator for VolatilityPercentile {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let change = self.returns.push(bar)?;
        let variance = self.squares.push(change * change)?;
        self.volatilities.push(without_rounding(variance))
    }
}

/// A carried mean to 32 of its 52 bits. Windows over the same returns have the same volatility;
/// which of their sums is the larger in the last bit says nothing, and a rank would show it.
fn without_rounding(mean: f64) -> f64 {
    const KEPT: u64 = !((1 << 20) - 1);
    f64::from_bits(mean.to_bits().saturating_add(1 << 19) & KEPT)
}

#[derive(Debug, Clone)]
struct Autocorrelation {
    returns: Returns,
    lagged: Ring,
    pairs: RollingPair,
    part: fn(f64) -> f64,
}

impl Autocorrelation {
    fn new(period: usize, lag: usize, part: fn(f64) -> f64) -> Self {
        Self {
            returns: Returns::default(),
            lagged: Ring::new(lag),
            pairs: RollingPair::new(period),
            part,
        }
    }
}

impl Operator for Autocorrelation {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let newest = (self.part)(self.returns.push(bar)?);
        let past = self.lagged.push(newest)?;
        Some(self.pairs.push(past, newest)?.correlation())
    }
}

/// The fit of changes over levels.
#[derive(Debug, Clone, Copy)]
struct Fit {
    count: f64,
    slope: f64,
    /// Share of the variance of the changes that the levels explain.
    explained: f64,
}

impl Fit {
    /// t-value of the slope.
    fn t_value(self) -> f64 {
        let size = (self.explained * (self.count - 2.0) / (1.0 - self.explained)).sqrt();
        size.min(LARGEST_T).copysign(self.slope)
    }
}

fn half_life(fit: Fit) -> f64 {
    let kept = 1.0 + fit.slope;
    if kept <= 0.0 {
        0.0
    } else if kept >= 1.0 {
        fit.count
    } else {
        (-std::f64::consts::LN_2 / kept.ln()).min(fit.count)
    }
}

#[derive(Debug, Clone)]
struct Reversion {
    count: f64,
    previous: Option<f64>,
    pairs: RollingPair,
    show: fn(Fit) -> f64,
}

impl Reversion {
    fn new(period: usize, show: fn(Fit) -> f64) -> Self {
        Self {
            count: period as f64,
            previous: None,
            pairs: RollingPair::new(period),
            show,
        }
    }
}

impl Operator for Reversion {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let price = bar.close.ln();
        let previous = self.previous.replace(price)?;
        let pairs = self.pairs.push(previous, price - previous)?;
        Some((self.show)(Fit {
            count: self.count,
            slope: pairs.slope(),
            explained: pairs.correlation().powi(2),
        }))
    }
}

#[derive(Debug, Clone)]
struct Cusum {
    drift: f64,
    returns: Returns,
    variance: Option<f64>,
    up: f64,
    down: f64,
}

impl Cusum {
    fn new(drift: f64) -> Self {
        Self {
            drift,
            returns: Returns::default(),
            variance: None,
            up: 0.0,
            down: 0.0,
        }
    }
}

impl Operator for Cusum {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let change = self.returns.push(bar)?;
        let square = change * change;
        let Some(variance) = self.variance else {
            self.variance = Some(square);
            return None;
        };
        self.variance = Some(square + (variance - square) * 0.94);
        let score = share(change, variance.sqrt(), 0.0).clamp(-10.0, 10.0);
        self.up = (self.up + score - self.drift).max(0.0);
        self.down = (self.down - score - self.drift).max(0.0);
        Some(self.up - self.down)
    }
}

#[derive(Debug, Clone)]
struct FractionalDifference {
    prices: Ring,
    /// From the oldest to the newest price.
    weights: Vec<f64>,
}

impl FractionalDifference {
    fn new(order: f64, width: usize) -> Self {
        let mut weights = Vec::with_capacity(width);
        let mut weight = 1.0;
        for place in 1..=width {
            weights.push(weight);
            weight *= -(order - place as f64 + 1.0) / place as f64;
        }
        weights.reverse();
        Self {
            prices: Ring::new(width),
            weights,
        }
    }
}

impl Operator for FractionalDifference {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        self.prices.push(bar.close.ln());
        if !self.prices.is_full() {
            return None;
        }
        let [older, newer] = self.prices.runs();
        let (first, last) = self.weights.split_at(older.len());
        Some(dot(older, first) + dot(newer, last))
    }
}

/// Sum of products, in eight interleaved parts that a processor adds side by side.
fn dot(values: &[f64], weights: &[f64]) -> f64 {
    let mut parts = [0.0; 8];
    let (values, weights) = (values.chunks_exact(8), weights.chunks_exact(8));
    let rest = values.remainder().iter().zip(weights.remainder());
    let rest: f64 = rest.map(|(value, weight)| value * weight).sum();
    for (values, weights) in values.zip(weights) {
        for (part, (value, weight)) in parts.iter_mut().zip(values.iter().zip(weights)) {
            *part += value * weight;
        }
    }
    parts.iter().sum::<f64>() + rest
}

#[derive(Debug, Clone)]
struct VarianceRatio {
    count: f64,
    lag: f64,
    returns: Returns,
    single: RollingMoments,
    lagged: Ring,
    longer: RollingMoments,
}

impl VarianceRatio {
    fn new(period: usize, lag: usize) -> Self {
        Self {
            count: period as f64,
            lag: lag as f64,
            returns: Returns::default(),
            single: RollingMoments::new(period),
            lagged: Ring::new(lag),
            longer: RollingMoments::new(period + 1 - lag),
        }
    }
}

impl Operator for VarianceRatio {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let price = bar.close.ln();
        let change = self.returns.push(bar);
        let past = self.lagged.push(price);
        let longer = past.and_then(|past| self.longer.push(price - past));
        let single = self.single.push(change?)?;
        let longer = longer?;
        let (count, lag) = (self.count, self.lag);
        let one = single.standard_deviation.powi(2) * count / (count - 1.0);
        // Squares around the drift of single returns rather than around their own mean.
        let drift = longer.mean - lag * single.mean;
        let squares = longer.standard_deviation.powi(2) + drift * drift;
        let many = squares / (lag * (1.0 - lag / count));
        Some(share(many, one, 1.0))
    }
}

crate::state! {
    EfficiencyRatio { closes, previous_close, path }
    TrendTValue { line, closes }
    ReturnTValue { returns, moments }
    MeanShift { returns, newer, handed, older }
    VolatilityPercentile { returns, squares, volatilities }
    Autocorrelation { returns, lagged, pairs }
    Reversion { previous, pairs }
    Cusum { returns, variance, up, down }
    FractionalDifference { prices }
    VarianceRatio { returns, single, lagged, longer }
}
