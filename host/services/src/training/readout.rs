//! What a model writes for a row, read as probabilities of down, flat and up, which evaluation and
//! trading understand.
//!
//! The same value reads the answers in a backtest and in live serving. It is stored beside its
//! model where the answers are no such probabilities already, and a backtest uses it as it was
//! read back, so that what is scored is exactly what can be deployed.

use std::ops::Range;

use fusebox_engine::dataset::{Fold, Samples};
use fusebox_engine::labels::{
    Direction, LabelConfig, LabelTask, LabelVolatility, PrimaryKind, PrimarySides, PrimarySignal,
    ReturnReadout, ReturnUnit,
};
use fusebox_engine::types::Bar;
use fusebox_plugin_api::error::PluginError;
use fusebox_plugin_api::model::{ModelInfo, Task};
use serde::{Deserialize, Serialize};

use super::returns::middle;

/// A row about which nothing can be said.
const FLAT: [f32; 3] = [0.0, 1.0, 0.0];

/// Layout of the file.
const FORMAT: u32 = 1;

/// What the learner is to learn.
pub(super) fn task(labels: &LabelConfig) -> Task {
    let asked = labels.task();
    match &asked {
        LabelTask::Direction | LabelTask::Acting => {
            let names = asked.classes().iter();
            let classes = names.map(|name| (*name).to_owned()).collect();
            Task::Classification { classes }
        }
        LabelTask::Returns { .. } if labels.quantiles.is_empty() => Task::Regression,
        LabelTask::Returns { .. } => Task::Quantiles {
            levels: labels.quantiles.clone(),
        },
    }
}

/// How the answers of one model are read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelReadout {
    /// Layout of the file, 1.
    format: u32,
    /// Values that the model writes for a row.
    outputs: usize,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// The three probabilities themselves.
    Direction,
    /// Probabilities of passing and acting: acting is the side of the primary signal.
    Acting(PrimaryNeeds),
    /// A return, or quantiles of it.
    Returns(Returns),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Returns {
    /// Position of the traded return, or of its first quantile, among the outputs.
    position: usize,
    /// Levels of the quantiles, one output each; empty where the return itself is predicted.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "exact_list")]
    levels: Vec<f64>,
    unit: ReturnUnit,
    horizon_bars: usize,
    volatility: VolatilityNeeds,
    #[serde(with = "exact")]
    upper_sigmas: f64,
    #[serde(with = "exact")]
    lower_sigmas: f64,
    #[serde(with = "exact")]
    spread_sigmas: f64,
}

/// What a readout has to know of a symbol besides the answers, from its bars alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadoutNeeds {
    /// Nothing.
    #[default]
    Nothing,
    /// The volatility that scales labels.
    Volatility(VolatilityNeeds),
    /// The side of the primary signal.
    Side(PrimaryNeeds),
}

/// An estimate of volatility.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VolatilityNeeds {
    span_bars: u32,
    longest_gap_ns: i64,
}

/// A primary signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrimaryNeeds {
    kind: PrimaryKind,
    fast_bars: usize,
    slow_bars: usize,
    longest_gap_ns: i64,
}

/// What is known of one symbol at one close; `None` where a readout does not need it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct RowFacts {
    /// Volatility per bar.
    pub sigma: Option<f64>,
    /// Side of the primary signal.
    pub side: Option<Direction>,
}

/// Follows the bars of one symbol for what a readout needs.
#[derive(Debug, Clone, PartialEq)]
pub enum FactWatch {
    /// Nothing to follow.
    Nothing,
    /// Volatility.
    Volatility(LabelVolatility),
    /// The primary signal.
    Side(PrimarySides),
}

impl ReadoutNeeds {
    /// Follows a symbol from its first bar on.
    #[must_use]
    pub fn watch(&self) -> FactWatch {
        match *self {
            Self::Nothing => FactWatch::Nothing,
            Self::Volatility(needs) => {
                let volatility = LabelVolatility::new(needs.span_bars, needs.longest_gap_ns);
                FactWatch::Volatility(volatility)
            }
            Self::Side(needs) => {
                let signal = PrimarySignal {
                    kind: needs.kind,
                    fast_bars: needs.fast_bars,
                    slow_bars: needs.slow_bars,
                };
                FactWatch::Side(PrimarySides::new(signal, needs.longest_gap_ns))
            }
        }
    }
}

impl FactWatch {
    /// What is known at the close of the symbol's next bar.
    pub fn step(&mut self, bar: &Bar) -> RowFacts {
        match self {
            Self::Nothing => RowFacts::default(),
            Self::Volatility(volatility) => RowFacts {
                sigma: volatility.step(bar),
                side: None,
            },
            Self::Side(sides) => RowFacts {
                sigma: None,
                side: Some(sides.step(bar)),
            },
        }
    }
}

impl ModelReadout {
    /// The readout of a model, trained on a fold, that says `info` of itself. Holes longer than
    /// `longest_gap_ns` break what is known of a symbol.
    ///
    /// # Errors
    /// A model that states another task than was asked for would escape the guard's check of
    /// probabilities; one that does not predict the traded return cannot be traded.
    pub(super) fn new(
        info: &ModelInfo,
        (labels, longest_gap_ns): (&LabelConfig, i64),
        (samples, fold): (&Samples, &Fold),
    ) -> Result<Self, PluginError> {
        let asked = task(labels);
        let outputs = info.outputs.len();
        let expected = asked.output_columns(samples.schema().labels.len());
        let kind = match samples.task() {
            LabelTask::Direction => Kind::Direction,
            LabelTask::Acting => {
                let signal = labels.primary_signal();
                Kind::Acting(PrimaryNeeds {
                    kind: signal.kind,
                    fast_bars: signal.fast_bars,
                    slow_bars: signal.slow_bars,
                    longest_gap_ns,
                })
            }
            LabelTask::Returns {
                horizons_bars,
                unit,
            } => Kind::Returns(Returns {
                position: traded(info, samples, labels.quantiles.len().max(1))?,
                levels: labels.quantiles.clone(),
                unit: *unit,
                horizon_bars: horizons_bars.first().copied().unwrap_or_default(),
                volatility: VolatilityNeeds {
                    span_bars: labels.volatility_span_bars,
                    longest_gap_ns,
                },
                upper_sigmas: labels.upper_sigmas,
                lower_sigmas: labels.lower_sigmas,
                spread_sigmas: samples.traded_spread(fold).ok_or_else(|| {
                    PluginError::data("the returns of the training rows are all the same")
                })?,
            }),
        };
        // A regression may leave horizons out, as long as the traded one is there.
        let fits = match &kind {
            Kind::Returns(returns) => returns.range().end <= outputs,
            _ => outputs == expected,
        };
        let is_asked = match &asked {
            Task::Quantiles { .. } => info.task == asked,
            _ => info.task.kind() == asked.kind(),
        };
        if is_asked && fits {
            return Ok(Self {
                format: FORMAT,
                outputs,
                kind,
            });
        }
        Err(PluginError::internal(format!(
            "its model states the task {:?} with {outputs} outputs; {:?} with {expected} outputs \
             was asked for",
            info.task.kind(),
            asked.kind(),
        )))
    }

    /// Reads a stored readout.
    ///
    /// # Errors
    /// What is wrong with the bytes, in words.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let damaged = |words: String| {
            format!("the stored readout is damaged ({words}); train again or restore the file")
        };
        let read: Self =
            serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
        if read.format != FORMAT {
            return Err(damaged(format!(
                "its format is {}, not {FORMAT}",
                read.format
            )));
        }
        let is_usable = match &read.kind {
            Kind::Direction => read.outputs == 3,
            Kind::Acting(_) => read.outputs == 2,
            Kind::Returns(returns) => {
                let sigmas = [
                    returns.upper_sigmas,
                    returns.lower_sigmas,
                    returns.spread_sigmas,
                ];
                let is_positive = |one: &f64| one.is_finite() && *one > 0.0;
                let ascend = returns.levels.windows(2).all(|pair| pair[0] < pair[1]);
                let inside = returns.levels.iter().all(|one| *one > 0.0 && *one < 1.0);
                let is_there = returns.range().end <= read.outputs;
                is_there && ascend && inside && sigmas.iter().all(is_positive)
            }
        };
        if is_usable {
            return Ok(read);
        }
        Err(damaged("its numbers contradict each other".to_owned()))
    }

    /// Values that the model writes for a row.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Whether the answers are the three probabilities already.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.kind == Kind::Direction
    }

    /// Whether something in it was fitted to the returns of the training part.
    #[must_use]
    pub fn is_fitted(&self) -> bool {
        matches!(self.kind, Kind::Returns(_))
    }

    /// What has to be known of every symbol.
    #[must_use]
    pub fn needs(&self) -> ReadoutNeeds {
        match &self.kind {
            Kind::Direction => ReadoutNeeds::Nothing,
            Kind::Acting(signal) => ReadoutNeeds::Side(*signal),
            Kind::Returns(returns) => match returns.unit {
                ReturnUnit::Sigmas => ReadoutNeeds::Nothing,
                ReturnUnit::LogReturn => ReadoutNeeds::Volatility(returns.volatility),
            },
        }
    }

    /// The probabilities of down, flat and up that `values`, the model's answer for a row of which
    /// `facts` are known, stand for.
    #[must_use]
    pub fn read(&self, facts: RowFacts, values: &[f32]) -> [f32; 3] {
        match (&self.kind, values) {
            (Kind::Direction, &[down, flat, up]) => [down, flat, up],
            (Kind::Acting(_), &[pass, act]) => match facts.side {
                Some(Direction::Up) => [0.0, pass, act],
                Some(Direction::Down) => [act, pass, 0.0],
                _ => FLAT,
            },
            (Kind::Returns(returns), values) => {
                let own = values.get(returns.range()).unwrap_or(&[0.0]);
                let in_sigmas = |value: &f32| {
                    let (value, bars) = (f64::from(*value), returns.horizon_bars);
                    returns.unit.in_sigmas(value, facts.sigma, bars)
                };
                let own: Option<Vec<f64>> = own.iter().map(in_sigmas).collect();
                own.map_or(FLAT, |own| returns.probabilities(&own))
            }
            _ => FLAT,
        }
    }
}

impl ModelReadout {
    /// What `values`, the model's answer for a row, say of the traded return: one number, or one
    /// for each of the levels that come with it. `None` where no return is predicted.
    pub(super) fn forecast<'a>(&self, values: &'a [f32]) -> Option<(&[f64], &'a [f32])> {
        match &self.kind {
            Kind::Returns(returns) => Some((&returns.levels, values.get(returns.range())?)),
            Kind::Direction | Kind::Acting(_) => None,
        }
    }

    /// Levels of the quantiles that the model writes; `None` where it predicts no return.
    pub(super) fn levels(&self) -> Option<&[f64]> {
        match &self.kind {
            Kind::Returns(returns) => Some(&returns.levels),
            Kind::Direction | Kind::Acting(_) => None,
        }
    }
}

impl Returns {
    /// The outputs that are about the traded return.
    fn range(&self) -> Range<usize> {
        self.position..self.position + self.levels.len().max(1)
    }

    /// Of one prediction in volatilities, or of its quantiles: these show the spread as well.
    fn probabilities(&self, own: &[f64]) -> [f32; 3] {
        let readout = self.readout().with_spread_of(&self.levels, own);
        readout.probabilities(middle(&self.levels, own))
    }

    fn readout(&self) -> ReturnReadout {
        ReturnReadout {
            upper_sigmas: self.upper_sigmas,
            lower_sigmas: self.lower_sigmas,
            spread_sigmas: self.spread_sigmas,
        }
    }
}

/// Position of the traded return among a model's outputs, of which each label has `width`:
/// quantiles are called after their label.
fn traded(info: &ModelInfo, samples: &Samples, width: usize) -> Result<usize, PluginError> {
    let columns = &samples.schema().labels;
    let name = columns.first().map_or("", String::as_str);
    let quantile = format!("{name}_q");
    let is_it = |output: &String| match width {
        1 => output == name || output.starts_with(&quantile),
        _ => output.starts_with(&quantile),
    };
    let by_name = info.outputs.iter().position(is_it);
    by_name
        .or_else(|| (info.outputs.len() == columns.len() * width).then_some(0))
        .ok_or_else(|| {
            PluginError::config(format!(
                "its model predicts {}, and the horizon that is traded is `{name}`; set \
                 `model.params.label` to that",
                info.outputs.join(", ")
            ))
        })
}

/// Numbers as texts.
mod exact_list {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(values: &[f64], to: S) -> Result<S::Ok, S::Error> {
        let texts: Vec<String> = values.iter().map(f64::to_string).collect();
        texts.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<f64>, D::Error> {
        let texts = Vec::<String>::deserialize(from)?;
        let values = texts
            .iter()
            .map(|text| text.parse().map_err(D::Error::custom));
        values.collect()
    }
}

/// A number as text: readers of JSON may round the last bit of a number.
mod exact {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &f64, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&value.to_string())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn returns(spread_sigmas: f64) -> ModelReadout {
        ModelReadout {
            format: FORMAT,
            outputs: 2,
            kind: Kind::Returns(Returns {
                position: 1,
                levels: Vec::new(),
                unit: ReturnUnit::LogReturn,
                horizon_bars: 4,
                volatility: VolatilityNeeds {
                    span_bars: 10,
                    longest_gap_ns: 0,
                },
                upper_sigmas: 0.1,
                lower_sigmas: 0.3,
                spread_sigmas,
            }),
        }
    }

    #[test]
    fn a_stored_readout_is_the_same_to_the_bit_and_damage_is_found() {
        let own = returns(1.0 / 3.0);
        let text = serde_json::to_string(&own).unwrap();
        assert_eq!(ModelReadout::parse(text.as_bytes()).unwrap(), own);
        let broken = [
            text.replace("\"format\":1", "\"format\":2"),
            text.replace("\"position\":1", "\"position\":2"),
            text.replace("\"0.3\"", "\"-0.3\""),
            text.replace("\"0.3\"", "\"NaN\""),
            text.replace("outputs", "inputs"),
            String::new(),
        ];
        for text in broken {
            let error = ModelReadout::parse(text.as_bytes()).unwrap_err();
            assert!(error.contains("is damaged"), "{error}");
        }
    }

    #[test]
    fn quantiles_show_the_middle_and_the_spread() {
        let mut own = returns(1.0);
        let Kind::Returns(inner) = &mut own.kind else {
            panic!("it reads returns");
        };
        inner.levels = vec![0.1, 0.5, 0.9];
        assert!(
            ModelReadout::parse(&serde_json::to_vec(&own).unwrap()).is_err(),
            "4 outputs"
        );
        own.outputs = 4;
        let text = serde_json::to_vec(&own).unwrap();
        assert_eq!(ModelReadout::parse(&text).unwrap(), own);
        let facts = RowFacts {
            sigma: Some(0.5),
            side: None,
        };
        // Four bars of half a volatility: values are in volatilities of the horizon as they are.
        let [down, _, up] = own.read(facts, &[9.0, -1.0, 0.0, 1.0]);
        let [tight_down, tight_flat, tight_up] = own.read(facts, &[9.0, -0.01, 0.0, 0.01]);
        assert!(
            up > down && tight_up < up && tight_down < down,
            "{up} {tight_up}"
        );
        assert!(tight_flat > 0.99, "{tight_flat}");
        let [down, _, up] = own.read(facts, &[9.0, -2.0, -1.0, 0.0]);
        assert!(down > up);
        let (levels, said) = own.forecast(&[9.0, -2.0, -1.0, 0.0]).unwrap();
        assert_eq!((levels.len(), said), (3, &[-2.0, -1.0, 0.0][..]));
    }

    #[test]
    fn what_is_not_known_is_flat() {
        let readout = returns(1.0);
        let unknown = readout.read(RowFacts::default(), &[9.0, 9.0]);
        assert_eq!(unknown.map(f32::to_bits), FLAT.map(f32::to_bits));
        let known = RowFacts {
            sigma: Some(0.01),
            side: None,
        };
        let [down, _, up] = readout.read(known, &[0.0, 0.1]);
        assert!(up > 0.9 && down < 0.01, "{up} {down}");
    }
}
