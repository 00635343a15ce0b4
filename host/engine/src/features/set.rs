//! The features of a run: expressions checked against a market, with every problem at once.

use std::collections::BTreeMap;
use std::fmt;

use sha2::{Digest, Sha256};

use super::expression::{self, Argument};
use super::{Arguments, FeatureKind, Input, Memory, Operator, Reads, find, nearest};
use crate::types::{Market, SymbolId, TimeFrame};

/// What a market offers to features.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureContext {
    /// Length of the bars.
    pub time_frame: TimeFrame,
    /// The symbols, in id order.
    pub symbols: Vec<SymbolInputs>,
}

/// What one symbol's bars carry beyond prices and volume. A column counts as present when every
/// bar has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SymbolInputs {
    /// Name as the venue writes it.
    pub name: String,
    /// Whether `quote_volume` is there.
    pub quote_volume: bool,
    /// Whether `trades` is there.
    pub trades: bool,
    /// Whether `taker_buy_volume` is there.
    pub taker_buy_volume: bool,
}

impl FeatureContext {
    /// The context of a market at hand.
    #[must_use]
    pub fn of(market: &Market) -> Self {
        let symbols = market.series().iter().map(|series| SymbolInputs {
            name: series.name.clone(),
            quote_volume: series.bars.iter().all(|bar| bar.quote_volume.is_some()),
            trades: series.bars.iter().all(|bar| bar.trades.is_some()),
            taker_buy_volume: series.bars.iter().all(|bar| bar.taker_buy_volume.is_some()),
        });
        Self {
            time_frame: market.time_frame(),
            symbols: symbols.collect(),
        }
    }
}

impl FeatureContext {
    /// The context before any data is read: every column counts as there, and the data has the
    /// last word.
    #[must_use]
    pub fn before_data(time_frame: TimeFrame, symbols: &[String]) -> Self {
        let inputs = |name: &String| SymbolInputs {
            name: name.clone(),
            quote_volume: true,
            trades: true,
            taker_buy_volume: true,
        };
        Self {
            time_frame,
            symbols: symbols.iter().map(inputs).collect(),
        }
    }

    /// The context of a market without a look at its columns, for what needs the names only.
    pub(super) fn of_names(market: &Market) -> Self {
        let symbols = market.names().map(|name| SymbolInputs {
            name: name.to_owned(),
            quote_volume: false,
            trades: false,
            taker_buy_volume: false,
        });
        Self {
            time_frame: market.time_frame(),
            symbols: symbols.collect(),
        }
    }
}

impl SymbolInputs {
    fn has(&self, input: Input) -> bool {
        match input {
            Input::QuoteVolume => self.quote_volume,
            Input::Trades => self.trades,
            Input::TakerBuyVolume => self.taker_buy_volume,
            _ => true,
        }
    }
}

/// One feature of a set.
#[derive(Debug, Clone)]
pub struct Feature {
    name: String,
    kind: &'static FeatureKind,
    arguments: Arguments,
    time_frame: Option<TimeFrame>,
    lead: Option<SymbolId>,
}

impl Feature {
    /// The canonical expression, which is also the column's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> &'static FeatureKind {
        self.kind
    }

    /// The values of its parameters.
    #[must_use]
    pub fn arguments(&self) -> &Arguments {
        &self.arguments
    }

    /// The higher time frame it is computed on; `None` is the market's own.
    #[must_use]
    pub fn time_frame(&self) -> Option<TimeFrame> {
        self.time_frame
    }

    /// The symbol it is computed on; `None` is the row's own.
    #[must_use]
    pub fn lead(&self) -> Option<SymbolId> {
        self.lead
    }

    /// The tier: that of its kind, or 5 where it looks at a higher time frame or another symbol.
    #[must_use]
    pub fn tier(&self) -> u8 {
        if self.time_frame.is_some() || self.lead.is_some() {
            5
        } else {
            self.kind.tier()
        }
    }

    /// Whether it reads bars of other symbols than the row's own.
    pub(super) fn reads_others(&self) -> bool {
        self.lead.is_some() || !matches!(self.kind.reads, Reads::Bars)
    }

    pub(super) fn operator(&self) -> Box<dyn Operator> {
        (self.kind.operator)(&self.arguments)
    }

    /// Base bars of an unbroken history after which the value does not depend on where the history
    /// begins: exactly for a window (up to the rounding of carried sums), to about a millionth of
    /// its size for a recursive kind.
    #[must_use]
    pub fn settled_bars(&self, base: TimeFrame) -> u32 {
        let own = match self.kind.memory {
            Memory::Day => bars_of_a_day(self.time_frame.unwrap_or(base)),
            Memory::Window | Memory::Recursive { .. } => self.kind.settling_bars(&self.arguments),
        };
        self.warmup_bars(base)
            .saturating_add(own.saturating_mul(self.base_bars(base)))
    }

    /// Base bars of one bar of its time frame.
    fn base_bars(&self, base: TimeFrame) -> u32 {
        let nanos = self.time_frame.unwrap_or(base).nanos();
        u32::try_from(nanos / base.nanos()).unwrap_or(u32::MAX)
    }

    /// Base bars up to and including the first value, wherever the history begins inside a bar of
    /// the higher time frame.
    fn warmup_bars(&self, base: TimeFrame) -> u32 {
        let own = (self.kind.warmup_bars)(&self.arguments);
        let ratio = self.base_bars(base);
        own.saturating_mul(ratio).saturating_add(ratio - 1)
    }
}

/// Bars of a day, the last one begun included.
fn bars_of_a_day(time_frame: TimeFrame) -> u32 {
    const DAY_NANOS: i64 = 86_400_000_000_000;
    u32::try_from(DAY_NANOS.div_euclid(time_frame.nanos()) + 1).unwrap_or(u32::MAX)
}

/// The features of a run, in column order.
#[derive(Debug, Clone)]
pub struct FeatureSet {
    features: Vec<Feature>,
    warmup_bars: u32,
    digest: String,
}

/// One thing that is wrong with a list of features.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FeatureProblem {
    /// The list is empty.
    #[error("the feature list is empty; name at least one, such as `log_return(1)`")]
    Empty,
    /// The text has not the form of an expression.
    #[error("`{expression}`: {detail}")]
    Form {
        /// The text.
        expression: String,
        /// What is wrong.
        detail: String,
    },
    /// No feature has this name.
    #[error("`{expression}`: there is no feature `{name}`{}", hint(nearest.as_deref()))]
    UnknownFeature {
        /// The text.
        expression: String,
        /// The name.
        name: String,
        /// A known name that may be meant.
        nearest: Option<String>,
    },
    /// A parameter is unknown, out of its range or against another one.
    #[error("`{expression}`: {detail}")]
    Parameter {
        /// The text.
        expression: String,
        /// What is wrong.
        detail: String,
    },
    /// The time frame is not one, or does not hold whole base bars.
    #[error("`{expression}`: {detail}")]
    TimeFrame {
        /// The text.
        expression: String,
        /// What is wrong.
        detail: String,
    },
    /// A kind that compares symbols lacks one, or has one too many.
    #[error("`{expression}`: {detail}")]
    Cross {
        /// The text.
        expression: String,
        /// What is wrong.
        detail: String,
    },
    /// The market has no such symbol.
    #[error("`{expression}`: the run has no symbol {symbol}; it has {}", known.join(", "))]
    UnknownSymbol {
        /// The text.
        expression: String,
        /// The symbol.
        symbol: String,
        /// The symbols of the run.
        known: Vec<String>,
    },
    /// The bars lack a column that the feature needs.
    #[error(
        "`{expression}` needs the column `{input}`, which {} lacks (in some bars at least); \
         leave the feature out or take data that has it",
        symbols.join(", ")
    )]
    MissingInput {
        /// The text.
        expression: String,
        /// The column.
        input: &'static str,
        /// The symbols that lack it.
        symbols: Vec<String>,
    },
    /// Two expressions mean the same feature.
    #[error("`{expression}` is the same feature as `{first}`; drop one of them")]
    Duplicate {
        /// The later text.
        expression: String,
        /// The earlier text.
        first: String,
    },
}

fn hint(nearest: Option<&str>) -> String {
    match nearest {
        Some(name) => format!("; did you mean `{name}`?"),
        None => "; `fusebox features list` shows all".to_owned(),
    }
}

/// Everything that is wrong with a list of features.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureSetError {
    /// The problems, in the order of the list; never empty.
    pub problems: Vec<FeatureProblem>,
}

impl fmt::Display for FeatureSetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} problem(s) in the feature list:", self.problems.len())?;
        for problem in &self.problems {
            write!(f, "\n  - {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for FeatureSetError {}

impl FeatureSet {
    /// Reads the expressions of a config for the market that `context` describes.
    ///
    /// # Errors
    /// [`FeatureSetError`] with every problem of every expression.
    pub fn parse(
        expressions: &[String],
        context: &FeatureContext,
    ) -> Result<Self, FeatureSetError> {
        let mut problems = Vec::new();
        let mut features: Vec<Feature> = Vec::new();
        let mut written: BTreeMap<String, &str> = BTreeMap::new();
        if expressions.is_empty() {
            problems.push(FeatureProblem::Empty);
        }
        for text in expressions {
            let Some(feature) = read(text, context, &mut problems) else {
                continue;
            };
            if let Some(first) = written.get(&feature.name) {
                problems.push(FeatureProblem::Duplicate {
                    expression: text.clone(),
                    first: (*first).to_owned(),
                });
            } else {
                written.insert(feature.name.clone(), text);
                features.push(feature);
            }
        }
        if !problems.is_empty() {
            return Err(FeatureSetError { problems });
        }
        let warmups = features
            .iter()
            .map(|one| one.warmup_bars(context.time_frame));
        Ok(Self {
            warmup_bars: warmups.max().unwrap_or(0),
            digest: digest(&features),
            features,
        })
    }

    /// The features, in column order.
    #[must_use]
    pub fn features(&self) -> &[Feature] {
        &self.features
    }

    /// Column names: the canonical expressions.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.features.iter().map(Feature::name)
    }

    /// Number of columns.
    #[must_use]
    pub fn len(&self) -> usize {
        self.features.len()
    }

    /// Whether there is no column; never true of a parsed set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.features.is_empty()
    }

    /// Base bars of an unbroken history after which every feature has its value.
    #[must_use]
    pub fn warmup_bars(&self) -> u32 {
        self.warmup_bars
    }

    /// SHA-256, in hexadecimal, of the canonical expressions and the versions of their formulas:
    /// equal digests mean equal columns.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }
}

fn digest(features: &[Feature]) -> String {
    let mut hasher = Sha256::new();
    for feature in features {
        hasher.update(format!("{} v{}\n", feature.name, feature.kind.version));
    }
    hasher
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn read(
    text: &str,
    context: &FeatureContext,
    problems: &mut Vec<FeatureProblem>,
) -> Option<Feature> {
    let before = problems.len();
    let expression = text.to_owned();
    let parts = match expression::parse(text) {
        Ok(parts) => parts,
        Err(detail) => {
            problems.push(FeatureProblem::Form { expression, detail });
            return None;
        }
    };
    let time_frame = parts.time_frame.and_then(|frame| {
        higher_time_frame(frame, context.time_frame)
            .map_err(|detail| {
                problems.push(FeatureProblem::TimeFrame {
                    expression: text.into(),
                    detail,
                })
            })
            .ok()
    });
    let lead = parts.symbol.and_then(|symbol| {
        let position = context.symbols.iter().position(|one| one.name == symbol);
        if position.is_none() {
            problems.push(FeatureProblem::UnknownSymbol {
                expression: text.into(),
                symbol: symbol.to_owned(),
                known: context.symbols.iter().map(|one| one.name.clone()).collect(),
            });
        }
        u32::try_from(position?).ok().map(SymbolId)
    });
    let Some(kind) = find(parts.name) else {
        problems.push(FeatureProblem::UnknownFeature {
            expression,
            name: parts.name.to_owned(),
            nearest: nearest(parts.name).map(str::to_owned),
        });
        return None;
    };
    let arguments = read_arguments(kind, &parts.arguments, |detail| {
        problems.push(FeatureProblem::Parameter {
            expression: text.into(),
            detail,
        });
    });
    require_inputs(text, kind, (context, lead), problems);
    if let Some(detail) = crossing_problem(kind, parts.symbol, context) {
        problems.push(FeatureProblem::Cross { expression, detail });
    }
    if problems.len() > before {
        return None;
    }
    let mut name = kind.text(&arguments);
    if let Some(frame) = time_frame {
        name.push_str(&format!("@{frame}"));
    }
    if let Some(symbol) = parts.symbol {
        name.push_str(&format!("#{symbol}"));
    }
    Some(Feature {
        name,
        kind,
        arguments,
        time_frame,
        lead,
    })
}

/// What is wrong with the symbols that a kind reads, beyond an unknown name.
fn crossing_problem(
    kind: &FeatureKind,
    lead: Option<&str>,
    context: &FeatureContext,
) -> Option<String> {
    let names: Vec<&str> = context
        .symbols
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    match (kind.reads, lead) {
        (Reads::Bars, _) => None,
        (Reads::Pair(_), None) => Some(format!(
            "`{}` compares two symbols; name the other one, as in `{}`",
            kind.name,
            kind.example()
        )),
        (Reads::Pair(_), Some(lead)) if names == [lead] => Some(format!(
            "{lead} would be compared with itself, the run has no other symbol; add one"
        )),
        (Reads::Pair(_), Some(_)) => None,
        (Reads::Market(_), Some(lead)) => Some(format!(
            "`{}` is about all symbols of the run; leave `#{lead}` out",
            kind.name
        )),
        (Reads::Market(_), None) if names.len() < 2 => Some(format!(
            "`{}` compares the symbols of the run, which has one only; add others or leave it out",
            kind.name
        )),
        (Reads::Market(_), None) => None,
    }
}

fn higher_time_frame(text: &str, base: TimeFrame) -> Result<TimeFrame, String> {
    let higher: TimeFrame = text.parse().map_err(|error| format!("{error}"))?;
    if higher == base {
        return Err(format!("the bars are {base} already; leave `@{text}` out"));
    }
    if higher.nanos() % base.nanos() != 0 {
        return Err(format!(
            "{higher} does not hold a whole number of the run's {base} bars"
        ));
    }
    Ok(higher)
}

fn read_arguments(
    kind: &FeatureKind,
    given: &[Argument<'_>],
    mut report: impl FnMut(String),
) -> Arguments {
    let mut values: Vec<f64> = kind.parameters.iter().map(|one| one.default).collect();
    let mut is_set = vec![false; values.len()];
    let names = || {
        kind.parameters
            .iter()
            .map(|one| one.name)
            .collect::<Vec<_>>()
            .join(", ")
    };
    for (position, argument) in given.iter().enumerate() {
        let slot = match argument.name {
            None => (position < values.len()).then_some(position),
            Some(name) => kind.parameters.iter().position(|one| one.name == name),
        };
        let Some(slot) = slot else {
            let what = match argument.name {
                Some(name) => format!("there is no parameter `{name}`"),
                None => "there are too many parameters".to_owned(),
            };
            report(format!("{what}; `{}` takes ({})", kind.name, names()));
            continue;
        };
        let parameter = &kind.parameters[slot];
        if std::mem::replace(&mut is_set[slot], true) {
            report(format!("`{}` is given twice", parameter.name));
        }
        let (value, whole) = (argument.value, parameter.whole);
        let inside = (parameter.min..=parameter.max).contains(&value);
        if !inside || (whole && value.fract() != 0.0) {
            let number = if whole { "a whole number" } else { "a number" };
            report(format!(
                "`{}` is {value}; it must be {number} from {} to {}",
                parameter.name, parameter.min, parameter.max
            ));
            continue;
        }
        values[slot] = value;
    }
    let arguments = Arguments::new(values);
    if let Some(constraint) = kind.constraint
        && !(constraint.holds)(&arguments)
    {
        report(constraint.requirement.to_owned());
    }
    arguments
}

fn require_inputs(
    text: &str,
    kind: &FeatureKind,
    (context, lead): (&FeatureContext, Option<SymbolId>),
    problems: &mut Vec<FeatureProblem>,
) {
    for &input in kind.inputs.iter().filter(|input| input.is_optional()) {
        let read = context
            .symbols
            .iter()
            .enumerate()
            .filter(|(position, _)| lead.is_none_or(|lead| lead.index() == *position));
        let lacking: Vec<String> = read
            .filter(|(_, symbol)| !symbol.has(input))
            .map(|(_, symbol)| symbol.name.clone())
            .collect();
        if !lacking.is_empty() {
            problems.push(FeatureProblem::MissingInput {
                expression: text.to_owned(),
                input: input.name(),
                symbols: lacking,
            });
        }
    }
}
