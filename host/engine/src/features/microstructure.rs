//! What trading costs and who is informed, estimated from bars: spreads, price impact, toxicity.
//! A market without volume gives the neutral value that each formula names.

use statrs::function::erf::erf;

use super::Operator;
use super::kind::{Family, FeatureKind, Input};
use super::parts::{Prices, Terms, log_ratio, log_return, moments, pairs, share, sums, window};
use super::totals::total_slope;
use super::volatility::Returns;
use super::window::{PairMoments, RollingMoments, RollingPair, RollingSum};
use crate::types::Bar;

const CLOSED: &[Input] = &[Input::Close, Input::Volume];
const TAKEN: &[Input] = &[Input::Volume, Input::TakerBuyVolume];
const TAKEN_PRICED: &[Input] = &[Input::Close, Input::Volume, Input::TakerBuyVolume];

const BASE: FeatureKind = FeatureKind {
    family: Family::Microstructure,
    units: "log return",
    parameters: &[window(48)],
    inputs: CLOSED,
    warmup_bars: |a| a.bars_u32(0) + 1,
    ..FeatureKind::BASE
};

const TAKER: FeatureKind = FeatureKind {
    source: "standard definition",
    inputs: TAKEN,
    warmup_bars: |a| a.bars_u32(0),
    ..BASE
};

pub(super) const KINDS: &[FeatureKind] = &[
    FeatureKind {
        name: "kyle_lambda",
        summary: "Price impact of a mean volume: slope of returns over signed volume.",
        formula: "sum(r s volume) / sum((s volume)^2) SMA(volume), s the sign of the log return r \
                  (tick rule); 0 where nothing was traded",
        source: "A. Kyle 1985; M. Lopez de Prado 2018, 19.4.1",
        operator: |a| {
            let terms = Terms::steps(|bar, before| {
                let change = log_return(bar, before);
                let counted = if change.abs() > 0.0 { bar.volume } else { 0.0 };
                [change.abs() * counted, counted * counted, bar.volume]
            });
            Box::new(sums(a.bars(0), terms, |s, n| {
                share(s[0], s[1], 0.0) * s[2] / n
            }))
        },
        ..BASE
    },
    FeatureKind {
        name: "hasbrouck_lambda",
        summary: "Price impact of a mean amount, which grows with its square root.",
        formula: "sum(r s sqrt(A)) / sum(A where r is not 0) sqrt(SMA(A)), A = close volume, s the \
                  sign of the log return r; 0 where nothing was traded",
        source: "J. Hasbrouck 2009; M. Lopez de Prado 2018, 19.4.3",
        operator: |a| {
            let terms = Terms::steps(|bar, before| {
                let change = log_return(bar, before);
                let amount = bar.close * bar.volume;
                let counted = if change.abs() > 0.0 { amount } else { 0.0 };
                [change.abs() * counted.sqrt(), counted, amount]
            });
            Box::new(sums(a.bars(0), terms, |s, n| {
                share(s[0], s[1], 0.0) * (s[2].max(0.0) / n).sqrt()
            }))
        },
        ..BASE
    },
    FeatureKind {
        name: "taker_impact",
        summary: "Return of a bar in which takers only bought, against one without a side.",
        formula: "slope of the log return over the imbalance (2 taker_buy_volume - volume) / \
                  volume; 0 where the imbalance does not vary",
        source: "R. Cont, A. Kukanov, S. Stoikov 2014; numpy.polyfit",
        inputs: TAKEN_PRICED,
        operator: |a| {
            let terms = Terms::steps(|bar, before| [imbalance(bar), log_return(bar, before)]);
            Box::new(pairs(a.bars(0), terms, PairMoments::slope))
        },
        ..BASE
    },
    FeatureKind {
        name: "taker_return_correlation",
        summary: "How well the takers' side tells the return of its bar.",
        formula: "correlation of the log return and (2 taker_buy_volume - volume) / volume; 0 \
                  where either does not vary",
        source: "R. Cont, A. Kukanov, S. Stoikov 2014; numpy.corrcoef",
        units: "-1 to 1",
        inputs: TAKEN_PRICED,
        operator: |a| {
            let terms = Terms::steps(|bar, before| [imbalance(bar), log_return(bar, before)]);
            Box::new(pairs(a.bars(0), terms, PairMoments::correlation))
        },
        ..BASE
    },
    FeatureKind {
        name: "taker_imbalance_zscore",
        summary: "How unusual the bar's surplus of taker buying is.",
        formula: "(i - mean) / deviation of i = (2 taker_buy_volume - volume) / volume, population \
                  deviation; 0 where it does not vary",
        units: "standard deviations",
        operator: |a| {
            let terms = Terms::bars(|bar| [imbalance(bar)]);
            Box::new(moments(a.bars(0), terms, |m, value| m.z_score(value)))
        },
        ..TAKER
    },
    FeatureKind {
        name: "taker_flow_autocorrelation",
        summary: "Whether the takers' side persists, as when large orders are worked.",
        formula: "correlation of i and i[-1], i = (2 taker_buy_volume - volume) / volume; 0 where \
                  it does not vary",
        source: "F. Lillo, J. D. Farmer 2004; numpy.corrcoef",
        units: "-1 to 1",
        warmup_bars: |a| a.bars_u32(0) + 1,
        operator: |a| {
            Box::new(FlowAutocorrelation {
                previous: None,
                pairs: RollingPair::new(a.bars(0)),
            })
        },
        ..TAKER
    },
    FeatureKind {
        name: "cvd_slope",
        summary: "Trend of the cumulative volume delta.",
        formula: "LINEARREG_SLOPE(CVD) / SMA(volume), CVD sums 2 taker_buy_volume - volume; 0 \
                  where nothing was traded",
        source: "cumulative volume delta; TA-Lib LINEARREG_SLOPE",
        units: "mean volumes per bar",
        parameters: &[window(24)],
        operator: |a| {
            let terms = Terms::bars(|bar| [2.0 * bought(bar) - bar.volume, bar.volume]);
            Box::new(total_slope(a.bars(0), terms))
        },
        ..TAKER
    },
    FeatureKind {
        name: "taker_toxicity",
        summary: "How one-sided the bars' taker volume was, whichever the side.",
        formula: "sum |2 taker_buy_volume - volume| / sum(volume); 0 where nothing was traded",
        source: "D. Easley, M. Lopez de Prado, M. O'Hara 2012 (VPIN, with the true sides)",
        units: "0 to 1",
        operator: |a| {
            let terms = Terms::bars(|bar| [(2.0 * bought(bar) - bar.volume).abs(), bar.volume]);
            Box::new(sums(a.bars(0), terms, |s, _| share(s[0], s[1], 0.0)))
        },
        ..TAKER
    },
    FeatureKind {
        name: "vpin",
        summary: "Volume-synchronised probability of informed trading, with volume that is split \
                  by the size of the move.",
        formula: "sum |buy - sell| / sum(volume), buy - sell = volume (2 Phi(dp / sigma) - 1), dp \
                  the change of the close, sigma its deviation; bars are weighed by volume in \
                  place of buckets; 0 where nothing was traded",
        source: "D. Easley, M. Lopez de Prado, M. O'Hara 2012; scipy.stats.norm",
        units: "0 to 1",
        warmup_bars: |a| 2 * a.bars_u32(0),
        operator: |a| Box::new(Vpin::new(a.bars(0))),
        ..BASE
    },
    FeatureKind {
        name: "roll_spread",
        summary: "Spread that makes neighbouring returns move against each other.",
        formula: "2 sqrt(-cov(r, r[-1])) of log returns; 0 where the covariance is positive",
        source: "R. Roll 1984; numpy.cov",
        inputs: &[Input::Close],
        warmup_bars: |a| a.bars_u32(0) + 2,
        operator: |a| {
            Box::new(RollSpread {
                returns: Returns::default(),
                previous: None,
                pairs: RollingPair::new(a.bars(0)),
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "corwin_schultz",
        summary: "Spread from ranges: one over two bars holds twice the variance of one over one, \
                  but the same spread.",
        formula: "mean of max(0, 2 (e^a - 1) / (1 + e^a)); a = (sqrt(2 b) - sqrt(b)) / (3 - 2 \
                  sqrt(2)) - sqrt(g / (3 - 2 sqrt(2))), b the sum of ln(high / low)^2 of two \
                  bars, g the square of both together",
        source: "S. Corwin, P. Schultz 2012",
        units: "share of the price",
        inputs: &[Input::High, Input::Low],
        operator: |a| {
            let terms = Terms::steps(|bar, before| [corwin_schultz(bar, before)]);
            Box::new(sums(a.bars(0), terms, |[sum], n| sum / n))
        },
        ..BASE
    },
    FeatureKind {
        name: "abdi_ranaldo",
        summary: "Spread from closes that lie off the middles of their bars.",
        formula: "2 sqrt(max(0, mean of (c[-1] - m[-1]) (c[-1] - m))), c the log close, m the mean \
                  of the log high and the log low",
        source: "F. Abdi, A. Ranaldo 2017",
        units: "share of the price",
        inputs: &[Input::High, Input::Low, Input::Close],
        operator: |a| {
            let terms = Terms::steps(|bar, before| {
                let close = before.close * before.close;
                let past = log_ratio(close, before.high * before.low);
                let next = log_ratio(close, bar.high * bar.low);
                [0.25 * past * next]
            });
            Box::new(sums(a.bars(0), terms, |[sum], n| {
                2.0 * (sum / n).max(0.0).sqrt()
            }))
        },
        ..BASE
    },
    FeatureKind {
        name: "zero_return_share",
        summary: "Share of the bars that did not move the close: trading was not worth its cost.",
        formula: "mean of (close = close[-1])",
        source: "D. Lesmond, J. Ogden, C. Trzcinka 1999",
        units: "share",
        inputs: &[Input::Close],
        operator: |a| {
            let terms = Terms::steps(|bar, before| {
                let stayed = bar.close.to_bits() == before.close.to_bits();
                [f64::from(u8::from(stayed))]
            });
            Box::new(sums(a.bars(0), terms, |[sum], n| sum / n))
        },
        ..BASE
    },
    FeatureKind {
        name: "amihud_asymmetry",
        summary: "Whether money moved the price more on its way up or down.",
        formula: "(U - D) / (U + D); U, D sum |r| / (close volume) over rising, falling bars; 0 \
                  where neither",
        source: "M. Brennan, S.-W. Huh, A. Subrahmanyam 2013",
        units: "-1 to 1",
        operator: |a| {
            let terms = Terms::steps(|bar, before| {
                let change = log_return(bar, before);
                let impact = share(change, bar.close * bar.volume, 0.0);
                [impact, impact.abs()]
            });
            Box::new(sums(a.bars(0), terms, |s, _| share(s[0], s[1], 0.0)))
        },
        ..BASE
    },
    FeatureKind {
        name: "trade_size_ratio",
        summary: "Mean size of the bar's trades against that of the window's.",
        formula: "ln((volume / trades) / (sum(volume) / sum(trades))); 0 where nothing was traded",
        source: "M. Barclay, J. Warner 1993",
        units: "log ratio",
        parameters: &[window(24)],
        inputs: &[Input::Volume, Input::Trades],
        warmup_bars: |a| a.bars_u32(0),
        operator: |a| {
            Box::new(TradeSizeRatio {
                volume: RollingSum::new(a.bars(0)),
                trades: RollingSum::new(a.bars(0)),
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "volatility_per_trade",
        summary: "What one trade moves the price.",
        formula: "sqrt(sum r^2 / sum(trades)); 0 where nothing was traded",
        source: "C. Jones, G. Kaul, M. Lipson 1994",
        units: "log return per trade",
        inputs: &[Input::Close, Input::Trades],
        operator: |a| {
            let terms = Terms::steps(|bar, before| {
                let trades = bar.trades.unwrap_or(f64::NAN);
                [log_return(bar, before).powi(2), trades]
            });
            Box::new(sums(a.bars(0), terms, |s, _| {
                share(s[0].max(0.0), s[1], 0.0).sqrt()
            }))
        },
        ..BASE
    },
    FeatureKind {
        name: "trades_per_volume",
        summary: "How many trades the volume came in: high where it came in small ones.",
        formula: "sum(trades) / sum(volume); 0 where nothing was traded",
        source: "standard definition; the inverse of the mean trade size of M. Barclay, J. Warner \
                 1993",
        units: "trades per unit of volume",
        parameters: &[window(24)],
        inputs: &[Input::Volume, Input::Trades],
        warmup_bars: |a| a.bars_u32(0),
        operator: |a| {
            let terms = Terms::bars(|bar| [bar.trades.unwrap_or(f64::NAN), bar.volume]);
            Box::new(sums(a.bars(0), terms, |s, _| share(s[0], s[1], 0.0)))
        },
        ..BASE
    },
    FeatureKind {
        name: "bar_vwap_distance",
        summary: "How far the bar closed above the mean price of its own trades.",
        formula: "ln(close / (quote_volume / volume)); 0 where nothing was traded",
        source: "S. Berkowitz, D. Logue, E. Noser 1988",
        parameters: &[],
        inputs: &[Input::Close, Input::Volume, Input::QuoteVolume],
        warmup_bars: |_| 1,
        operator: |_| {
            Box::new(super::returns::PerBar(|bar| {
                let amount = bar.quote_volume.unwrap_or(f64::NAN);
                let traded = bar.volume > 0.0 && (amount > 0.0 || amount.is_nan());
                if traded {
                    (bar.close / (amount / bar.volume)).ln()
                } else {
                    0.0
                }
            }))
        },
        ..BASE
    },
];

fn bought(bar: &Bar) -> f64 {
    bar.taker_buy_volume.unwrap_or(f64::NAN)
}

/// The takers' surplus of buying, -1 to 1; 0 where nothing was traded.
fn imbalance(bar: &Bar) -> f64 {
    share(2.0 * bought(bar) - bar.volume, bar.volume, 0.0)
}

fn corwin_schultz(bar: &Bar, before: &Prices) -> f64 {
    let squares = log_ratio(bar.high, bar.low).powi(2) + log_ratio(before.high, before.low).powi(2);
    let both = log_ratio(bar.high.max(before.high), bar.low.min(before.low));
    // 3 - 2 sqrt(2) is the square of sqrt(2) - 1, which the difference of the roots leaves.
    let root = std::f64::consts::SQRT_2 - 1.0;
    let alpha = (squares.sqrt() - both) / root;
    let growth = alpha.exp();
    (2.0 * (growth - 1.0) / (1.0 + growth)).max(0.0)
}

#[derive(Debug, Clone)]
struct FlowAutocorrelation {
    previous: Option<f64>,
    pairs: RollingPair,
}

impl Operator for FlowAutocorrelation {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let newest = imbalance(bar);
        let previous = self.previous.replace(newest)?;
        Some(self.pairs.push(previous, newest)?.correlation())
    }
}

#[derive(Debug, Clone)]
struct Vpin {
    previous_close: Option<f64>,
    changes: RollingMoments,
    one_sided: RollingSum,
    volume: RollingSum,
}

impl Vpin {
    fn new(period: usize) -> Self {
        Self {
            previous_close: None,
            changes: RollingMoments::new(period),
            one_sided: RollingSum::new(period),
            volume: RollingSum::new(period),
        }
    }
}

impl Operator for Vpin {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let change = bar.close - self.previous_close.replace(bar.close)?;
        let deviation = self.changes.push(change)?.standard_deviation;
        // 2 Phi(z) - 1 = erf(z / sqrt(2)).
        let score = share(change, deviation, 0.0) * std::f64::consts::FRAC_1_SQRT_2;
        let one_sided = self.one_sided.push(bar.volume * erf(score).abs());
        let volume = self.volume.push(bar.volume)?;
        Some(share(one_sided?, volume, 0.0))
    }
}

#[derive(Debug, Clone)]
struct RollSpread {
    returns: Returns,
    previous: Option<f64>,
    pairs: RollingPair,
}

impl Operator for RollSpread {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let change = self.returns.push(bar)?;
        let previous = self.previous.replace(change)?;
        let covariance = self.pairs.push(previous, change)?.covariance;
        Some(2.0 * (-covariance).max(0.0).sqrt())
    }
}

#[derive(Debug, Clone)]
struct TradeSizeRatio {
    volume: RollingSum,
    trades: RollingSum,
}

impl Operator for TradeSizeRatio {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let newest = bar.trades.unwrap_or(f64::NAN);
        let volume = self.volume.push(bar.volume);
        let trades = self.trades.push(newest)?;
        let ratio = bar.volume / newest * (trades / volume?);
        let traded = bar.volume > 0.0 && (newest > 0.0 || newest.is_nan());
        Some(if traded { ratio.ln() } else { 0.0 })
    }
}

crate::state! {
    FlowAutocorrelation { previous, pairs }
    Vpin { previous_close, changes, one_sided, volume }
    RollSpread { returns, previous, pairs }
    TradeSizeRatio { volume, trades }
}
