//! How random the way of the price is: entropies, scaling exponents, roughness.

use super::Operator;
use super::kind::{Family, FeatureKind, Parameter};
use super::parts::{share, window};
use super::volatility::Returns;
use super::window::{Ring, RollingMean, RollingMoments, RollingSum};
use super::{State, StateError, StateReader, StateWriter};
use crate::types::Bar;

const BASE: FeatureKind = FeatureKind {
    family: Family::Regime,
    parameters: &[window(48)],
    ..FeatureKind::BASE
};

const HJORTH: FeatureKind = FeatureKind {
    source: "B. Hjorth 1970; antropy.hjorth_params",
    units: "ratio",
    parameters: &[Parameter::bars("period", 48, 4, "window length in bars")],
    warmup_bars: |a| a.bars_u32(0),
    ..BASE
};

pub(super) const KINDS: &[FeatureKind] = &[
    FeatureKind {
        name: "sign_entropy",
        summary: "Surprise in the order of rises and falls: 1 for a fair coin.",
        formula: "entropy in bits of the words of three signs of close - close[-1] (rise or not), \
                  over `period` words, divided by 3",
        source: "C. Shannon 1948; M. Lopez de Prado 2018, 18.3",
        units: "0 to 1",
        warmup_bars: |a| a.bars_u32(0) + 3,
        operator: |a| {
            Box::new(SignEntropy {
                previous_close: None,
                signs: 0,
                steps: 0,
                words: WordCounts::new(a.bars(0), 8),
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "permutation_entropy",
        summary: "Surprise in the order of neighbouring closes: 1 for noise, 0 for a straight way.",
        formula: "entropy of the orders of three closes in a row, over `period` closes, divided by \
                  ln 6; equal closes count as rising",
        source: "C. Bandt, B. Pompe 2002; antropy.perm_entropy",
        units: "0 to 1",
        parameters: &[Parameter::bars("period", 48, 4, "window length in bars")],
        warmup_bars: |a| a.bars_u32(0),
        operator: |a| {
            Box::new(PermutationEntropy {
                closes: Ring::new(3),
                words: WordCounts::new(a.bars(0) - 2, 6),
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "hurst",
        summary: "How moves grow with their length: 0.5 for a random walk, more for a trend.",
        formula: "slope of ln(sqrt(mean of (x[t] - x[t - k])^2)) over ln(k), k = 1, 2, 4, 8, 16, x \
                  = ln(close), `period` differences each; 0.5 where one of them is 0",
        source: "B. Mandelbrot, J. Van Ness 1968; T. Di Matteo 2007 (q = 2)",
        units: "about 0 to 1",
        parameters: &[window(100)],
        warmup_bars: |a| a.bars_u32(0) + 16,
        operator: |a| Box::new(HurstExponent::new(a.bars(0))),
        ..BASE
    },
    FeatureKind {
        name: "rescaled_range",
        summary: "Range of the added-up returns in deviations, as a Hurst exponent.",
        formula: "ln((max - min of the added-up r - mean(r), from 0) / deviation) / ln(n); 0.5 \
                  when flat; reads its whole window at each bar",
        source: "H. Hurst 1951; B. Mandelbrot 1972",
        units: "about 0 to 1",
        parameters: &[Parameter {
            max: 1000.0,
            ..Parameter::bars("period", 100, 4, "window length in bars")
        }],
        warmup_bars: |a| a.bars_u32(0) + 1,
        operator: |a| {
            Box::new(RescaledRange {
                count: a.number(0),
                returns: Returns::default(),
                prices: Ring::new(a.bars(0) + 1),
                moments: RollingMoments::new(a.bars(0)),
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "runs_z",
        summary: "Whether rises and falls come in longer (negative) or shorter runs than chance \
                  makes.",
        formula: "Wald-Wolfowitz z of the runs of rises and others among `period` changes of the \
                  close; 0 where all are alike",
        source: "A. Wald, J. Wolfowitz 1940; statsmodels runstest_1samp(correction=False)",
        units: "standard deviations",
        warmup_bars: |a| a.bars_u32(0) + 1,
        operator: |a| {
            Box::new(Runs {
                count: a.number(0),
                previous_close: None,
                previous_rise: None,
                rises: RollingSum::new(a.bars(0)),
                turns: RollingSum::new(a.bars(0) - 1),
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "hjorth_mobility",
        summary: "Share of the quick moves in the variation of the close: its mean frequency.",
        formula: "sqrt(var(close - close[-1]) / var(close)), population variances; 0 when flat",
        operator: |a| {
            Box::new(Hjorth::new(a.bars(0), |[level, change, _]| {
                share(change, level, 0.0)
            }))
        },
        ..HJORTH
    },
    FeatureKind {
        name: "hjorth_complexity",
        summary: "How many frequencies the close moves with: 1 for one wave.",
        formula: "mobility(close - close[-1]) / mobility(close); 0 when flat",
        operator: |a| {
            Box::new(Hjorth::new(a.bars(0), |[level, change, second]| {
                share(share(second, change, 0.0), share(change, level, 0.0), 0.0)
            }))
        },
        ..HJORTH
    },
    FeatureKind {
        name: "petrosian",
        summary: "Roughness of the close, from the number of its turns.",
        formula: "ln(n) / (ln(n) + ln(n / (n + 0.4 k))), k how often among n closes a \
                  fall follows a change that was none, or the reverse",
        source: "A. Petrosian 1995; antropy.petrosian_fd",
        units: "fractal dimension",
        parameters: &[Parameter::bars("period", 48, 3, "window length in bars")],
        warmup_bars: |a| a.bars_u32(0),
        operator: |a| Box::new(Petrosian::new(a.bars(0))),
        ..BASE
    },
];

/// How often each word came among the last `period` ones, and their entropy.
#[derive(Debug, Clone)]
struct WordCounts {
    window: Ring,
    counts: Vec<usize>,
    /// `p ln p` of each count.
    terms: Vec<f64>,
}

impl WordCounts {
    fn new(period: usize, words: usize) -> Self {
        let term = |count: usize| {
            let share = count as f64 / period as f64;
            if count > 0 { share * share.ln() } else { 0.0 }
        };
        Self {
            window: Ring::new(period),
            counts: vec![0; words],
            terms: (0..=period).map(term).collect(),
        }
    }

    /// Adds a word; the entropy in natural units once `period` words have been seen.
    fn push(&mut self, word: usize) -> Option<f64> {
        if let Some(removed) = self.window.push(word as f64) {
            self.counts[removed as usize] -= 1;
        }
        self.counts[word] += 1;
        let terms = self.counts.iter().map(|count| self.terms[*count]);
        let entropy = -terms.sum::<f64>();
        self.window.is_full().then_some(entropy.max(0.0))
    }
}

impl State for WordCounts {
    fn save(&self, to: &mut StateWriter) {
        self.window.save(to);
    }

    fn load(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        self.window.load(from)?;
        self.counts.fill(0);
        for word in self.window.iter() {
            let is_word = word >= 0.0 && word.fract().abs() < f64::MIN_POSITIVE;
            let count = self.counts.get_mut(word as usize).filter(|_| is_word);
            *count.ok_or(StateError::Damaged("an unknown word"))? += 1;
        }
        Ok(())
    }
}

#[derive(Debug, Clone)]
struct SignEntropy {
    previous_close: Option<f64>,
    /// The last three signs as bits, the newest lowest.
    signs: u8,
    steps: u8,
    words: WordCounts,
}

impl Operator for SignEntropy {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let previous = self.previous_close.replace(bar.close)?;
        self.signs = (self.signs << 1 | u8::from(bar.close > previous)) & 7;
        self.steps = self.steps.saturating_add(1).min(3);
        if self.steps < 3 {
            return None;
        }
        let entropy = self.words.push(usize::from(self.signs & 7))?;
        Some(entropy / (3.0 * std::f64::consts::LN_2))
    }
}

#[derive(Debug, Clone)]
struct PermutationEntropy {
    closes: Ring,
    words: WordCounts,
}

impl Operator for PermutationEntropy {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        self.closes.push(bar.close);
        if !self.closes.is_full() {
            return None;
        }
        let mut last = [0.0; 3];
        for (slot, close) in last.iter_mut().zip(self.closes.iter()) {
            *slot = close;
        }
        let entropy = self.words.push(order_of(last))?;
        Some(entropy / 6.0_f64.ln())
    }
}

/// Which of the six orders three values are in; of equal ones the earlier counts as lower.
fn order_of([a, b, c]: [f64; 3]) -> usize {
    match (a <= b, b <= c, a <= c) {
        (true, true, _) => 0,
        (true, false, true) => 1,
        (true, false, false) => 2,
        (false, true, true) => 3,
        (false, true, false) => 4,
        (false, false, _) => 5,
    }
}

/// The scales that move the slope: on a logarithmic axis they lie evenly, and the middle one of the
/// five, 4, has no weight. The others weigh -2, -1, 1 and 2 tenths per doubling.
const SCALES: [usize; 4] = [1, 2, 8, 16];

#[derive(Debug, Clone)]
struct HurstExponent {
    scales: [(Ring, RollingMean); 4],
}

impl HurstExponent {
    fn new(period: usize) -> Self {
        Self {
            scales: SCALES.map(|scale| (Ring::new(scale), RollingMean::new(period))),
        }
    }
}

impl Operator for HurstExponent {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let price = bar.close.ln();
        let squares = self.scales.each_mut().map(|(past, mean)| {
            let past = past.push(price)?;
            mean.push((price - past).powi(2))
        });
        let [first, second, fourth, fifth] = squares;
        let below = first?.powi(2) * second?;
        let above = fifth?.powi(2) * fourth?;
        // The slope of the logarithms of the roots, as one logarithm.
        Some(if below > 0.0 && above > 0.0 {
            0.05 / std::f64::consts::LN_2 * (above / below).ln()
        } else {
            0.5
        })
    }
}

#[derive(Debug, Clone)]
struct RescaledRange {
    count: f64,
    returns: Returns,
    /// Log closes before the newest one: added-up returns are differences to the oldest.
    prices: Ring,
    moments: RollingMoments,
}

impl Operator for RescaledRange {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        self.prices.push(bar.close.ln());
        let moments = self.moments.push(self.returns.push(bar)?)?;
        let [older, newer] = self.prices.runs();
        let (first, steps) = (range_above(older, 0, moments.mean), older.len());
        let second = range_above(newer, steps, moments.mean);
        let range = first.1.max(second.1) - first.0.min(second.0);
        let ratio = share(range, moments.standard_deviation, 0.0);
        Some(if ratio > 0.0 {
            ratio.ln() / self.count.ln()
        } else {
            0.5
        })
    }
}

/// Lowest and highest of the prices above a line that rises by `slope` a bar; four at a time, which
/// a processor compares side by side.
fn range_above(prices: &[f64], from: usize, slope: f64) -> (f64, f64) {
    let (mut lowest, mut highest) = ([f64::INFINITY; 4], [f64::NEG_INFINITY; 4]);
    let mut places = [0.0, 1.0, 2.0, 3.0].map(|place| place + from as f64);
    let chunks = prices.chunks_exact(4);
    for (lane, price) in chunks.remainder().iter().enumerate() {
        let place = (from + prices.len() - chunks.remainder().len() + lane) as f64;
        let above = price - place * slope;
        lowest[lane] = above;
        highest[lane] = above;
    }
    for chunk in chunks {
        for lane in 0..4 {
            let above = chunk[lane] - places[lane] * slope;
            lowest[lane] = if above < lowest[lane] {
                above
            } else {
                lowest[lane]
            };
            highest[lane] = if above > highest[lane] {
                above
            } else {
                highest[lane]
            };
            places[lane] += 4.0;
        }
    }
    let least = lowest.into_iter().fold(f64::INFINITY, f64::min);
    let most = highest.into_iter().fold(f64::NEG_INFINITY, f64::max);
    (least, most)
}

#[derive(Debug, Clone)]
struct Runs {
    count: f64,
    previous_close: Option<f64>,
    previous_rise: Option<bool>,
    rises: RollingSum,
    turns: RollingSum,
}

impl Operator for Runs {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let rise = bar.close > self.previous_close.replace(bar.close)?;
        let number = |holds: bool| f64::from(u8::from(holds));
        let rises = self.rises.push(number(rise));
        let previous = self.previous_rise.replace(rise)?;
        let turns = self.turns.push(number(rise != previous));
        let (rises, runs) = (rises?, turns? + 1.0);
        let products = 2.0 * rises * (self.count - rises);
        let expected = products / self.count + 1.0;
        let variance =
            products * (products - self.count) / (self.count * self.count * (self.count - 1.0));
        Some(if variance > 0.0 {
            (runs - expected) / variance.sqrt()
        } else {
            0.0
        })
    }
}

#[derive(Debug, Clone)]
struct Hjorth {
    previous_close: Option<f64>,
    previous_change: Option<f64>,
    levels: RollingMoments,
    changes: RollingMoments,
    seconds: RollingMoments,
    show: fn([f64; 3]) -> f64,
}

impl Hjorth {
    /// `show` gets the deviations of the closes, of their changes and of the changes of those.
    fn new(period: usize, show: fn([f64; 3]) -> f64) -> Self {
        Self {
            previous_close: None,
            previous_change: None,
            levels: RollingMoments::new(period),
            changes: RollingMoments::new(period - 1),
            seconds: RollingMoments::new(period - 2),
            show,
        }
    }
}

impl Operator for Hjorth {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let levels = self.levels.push(bar.close);
        let change = bar.close - self.previous_close.replace(bar.close)?;
        let changes = self.changes.push(change);
        let second = change - self.previous_change.replace(change)?;
        let seconds = self.seconds.push(second);
        let deviations = [levels?, changes?, seconds?].map(|one| one.standard_deviation);
        Some((self.show)(deviations))
    }
}

#[derive(Debug, Clone)]
struct Petrosian {
    /// The dimension by the number of turns.
    dimensions: Vec<f64>,
    previous_close: Option<f64>,
    previous_fall: Option<bool>,
    turns: RollingSum,
}

impl Petrosian {
    fn new(period: usize) -> Self {
        let count = period as f64;
        let dimension = |turns: usize| {
            let stretched = count / (count + 0.4 * turns as f64);
            count.ln() / (count.ln() + stretched.ln())
        };
        Self {
            dimensions: (0..period).map(dimension).collect(),
            previous_close: None,
            previous_fall: None,
            turns: RollingSum::new(period - 2),
        }
    }
}

impl Operator for Petrosian {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let fall = bar.close < self.previous_close.replace(bar.close)?;
        let previous = self.previous_fall.replace(fall)?;
        let turned = f64::from(u8::from(fall != previous));
        let turns = self.turns.push(turned)?;
        self.dimensions.get(turns as usize).copied()
    }
}

crate::state! {
    SignEntropy { previous_close, signs, steps, words }
    PermutationEntropy { closes, words }
    HurstExponent { scales }
    RescaledRange { returns, prices, moments }
    Runs { previous_close, previous_rise, rises, turns }
    Hjorth { previous_close, previous_change, levels, changes, seconds }
    Petrosian { previous_close, previous_fall, turns }
}
