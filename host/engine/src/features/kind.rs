//! What a kind of feature declares about itself: documentation, parameters, inputs, warm-up.
//!
//! This is data for the expression parser and for `features list|describe`; it computes nothing.

use serde::Serialize;

use super::{CrossOperator, Operator};
use crate::types::SymbolId;

/// A kind of feature, such as `rsi`, of which an expression such as `rsi(14)` is one use.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct FeatureKind {
    /// The name in expressions.
    pub name: &'static str,
    /// The group of `features list`.
    pub family: Family,
    /// Grows whenever the same arguments give other values; part of a feature set's digest.
    pub version: u32,
    /// One sentence: what the value tells.
    pub summary: &'static str,
    /// The definition.
    pub formula: &'static str,
    /// The paper or reference implementation of the definition.
    pub source: &'static str,
    /// The unit of the value.
    pub units: &'static str,
    /// Parameters in the order of the expression.
    pub parameters: &'static [Parameter],
    /// What parameters must hold together.
    #[serde(skip)]
    pub constraint: Option<Constraint>,
    /// The fields of a bar that the value depends on.
    pub inputs: &'static [Input],
    /// How far back the value depends on bars.
    pub memory: Memory,
    /// Bars up to and including the one with the first value.
    #[serde(skip)]
    pub warmup_bars: fn(&Arguments) -> u32,
    /// A fresh operator, where the kind reads one stream of bars.
    #[serde(skip)]
    pub operator: fn(&Arguments) -> Box<dyn Operator>,
    /// Whose bars it reads.
    #[serde(skip)]
    pub reads: Reads,
}

/// Whose bars a kind reads.
#[derive(Debug, Clone, Copy)]
pub enum Reads {
    /// Those of one symbol: the row's own, or the lead's with `#SYMBOL`.
    Bars,
    /// Those of the row's own symbol (source 0) and of the lead (source 1), which `#SYMBOL` names.
    Pair(fn(&Arguments) -> Box<dyn CrossOperator>),
    /// Those of every symbol of the market, each at its id; the row's own id is given.
    Market(fn(&Arguments, usize, SymbolId) -> Box<dyn CrossOperator>),
}

/// What several parameters must hold together: the check, and the sentence that names it.
#[derive(Debug, Clone, Copy)]
pub struct Constraint {
    /// Whether the arguments are fine.
    pub holds: fn(&Arguments) -> bool,
    /// The requirement, such as "`fast` must be below `slow`".
    pub requirement: &'static str,
}

/// A group of features; one file each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// Returns, candle shape, position in the recent range: tier 1.
    Returns,
    /// Direction and strength of a trend: tier 2.
    Trend,
    /// Oscillators: tier 2.
    Momentum,
    /// Size and shape of price changes: tier 3.
    Volatility,
    /// Traded amounts and who traded: tier 4.
    Volume,
    /// What trading costs and what the order flow tells.
    Microstructure,
    /// Position in the day and in the week.
    Calendar,
    /// What kind of market it is: persistence, disorder, calm or storm.
    Regime,
    /// The symbol against another one or against the whole market.
    Cross,
}

/// The tiers, lowest first, and what each is about.
pub const TIERS: [(u8, &str); 5] = [
    (1, "price: returns, candles, place in the recent range"),
    (2, "trend and momentum"),
    (3, "volatility"),
    (4, "volume and microstructure"),
    (
        5,
        "context: calendar, regime, other symbols, higher time frames",
    ),
];

impl Family {
    /// The tier that the family belongs to, one of [`TIERS`].
    #[must_use]
    pub const fn tier(self) -> u8 {
        match self {
            Self::Returns => 1,
            Self::Trend | Self::Momentum => 2,
            Self::Volatility => 3,
            Self::Volume | Self::Microstructure => 4,
            Self::Calendar | Self::Regime | Self::Cross => 5,
        }
    }
}

/// A field of a bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// First traded price.
    Open,
    /// Highest traded price.
    High,
    /// Lowest traded price.
    Low,
    /// Last traded price.
    Close,
    /// Traded amount in the base asset.
    Volume,
    /// Traded amount in the quote asset; not every venue publishes it.
    QuoteVolume,
    /// Number of trades; not every venue publishes it.
    Trades,
    /// Amount bought by takers; not every venue publishes it.
    TakerBuyVolume,
    /// The closing time.
    Time,
}

impl Input {
    /// The column name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::High => "high",
            Self::Low => "low",
            Self::Close => "close",
            Self::Volume => "volume",
            Self::QuoteVolume => "quote_volume",
            Self::Trades => "trades",
            Self::TakerBuyVolume => "taker_buy_volume",
            Self::Time => "time",
        }
    }

    /// Whether some venues leave this field out.
    #[must_use]
    pub const fn is_optional(self) -> bool {
        matches!(
            self,
            Self::QuoteVolume | Self::Trades | Self::TakerBuyVolume
        )
    }
}

/// One-minute bars of a day.
const MINUTES_OF_A_DAY: u32 = 1440;

/// How far back a value depends on bars.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Memory {
    /// On the bars of the warm-up only: two histories that share them agree, up to rounding in the
    /// last digits where sums are carried along.
    Window,
    /// On the UTC day so far and the end of the one before: two histories agree once a day has
    /// begun in both.
    Day,
    /// On every earlier bar, with weights that fade.
    Recursive {
        /// Bars after the warm-up until the start of the history moves the value by less than
        /// about a millionth of its size.
        #[serde(skip)]
        settling_bars: fn(&Arguments) -> u32,
    },
}

/// One parameter of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Parameter {
    /// The name.
    pub name: &'static str,
    /// The value when the expression leaves it out.
    pub default: f64,
    /// Smallest allowed value.
    pub min: f64,
    /// Largest allowed value.
    pub max: f64,
    /// Whether only whole numbers are allowed.
    pub whole: bool,
    /// What it means.
    pub doc: &'static str,
}

/// The longest window, in bars of the feature's time frame.
pub(super) const MAX_PERIOD: f64 = 20_000.0;

impl Parameter {
    /// A number of bars from `min` on.
    pub(super) const fn bars(
        name: &'static str,
        default: u32,
        min: u32,
        doc: &'static str,
    ) -> Self {
        Self {
            name,
            default: default as f64,
            min: min as f64,
            max: MAX_PERIOD,
            whole: true,
            doc,
        }
    }
}

/// Checked values of a kind's parameters, in its order.
#[derive(Debug, Clone, PartialEq)]
pub struct Arguments(Vec<f64>);

impl Arguments {
    /// The kind's defaults.
    #[must_use]
    pub fn defaults(kind: &FeatureKind) -> Self {
        Self(kind.parameters.iter().map(|one| one.default).collect())
    }

    pub(super) fn new(values: Vec<f64>) -> Self {
        Self(values)
    }

    /// The values.
    #[must_use]
    pub fn values(&self) -> &[f64] {
        &self.0
    }

    /// The number at `position`; 0 past the end.
    #[must_use]
    pub fn number(&self, position: usize) -> f64 {
        self.0.get(position).copied().unwrap_or(0.0)
    }

    /// The number of bars at `position`.
    #[must_use]
    pub fn bars(&self, position: usize) -> usize {
        self.number(position) as usize
    }

    /// The number of bars at `position`, for warm-up arithmetic.
    #[must_use]
    pub fn bars_u32(&self, position: usize) -> u32 {
        self.number(position) as u32
    }
}

impl FeatureKind {
    /// What the rest of a declaration falls back to.
    pub(super) const BASE: Self = Self {
        name: "",
        family: Family::Returns,
        version: 1,
        summary: "",
        formula: "",
        source: "",
        units: "ratio",
        parameters: &[],
        constraint: None,
        inputs: &[Input::Close],
        memory: Memory::Window,
        warmup_bars: |_| 1,
        operator: |_| Box::new(Never),
        reads: Reads::Bars,
    };

    /// The tier of its plain use; on a higher time frame or of a lead symbol every kind is context
    /// ([`Feature::tier`](super::Feature::tier)).
    #[must_use]
    pub fn tier(&self) -> u8 {
        self.family.tier()
    }

    /// Bars after the warm-up until the start of the history no longer matters; 0 for a window,
    /// and a day of one-minute bars for what depends on the day
    /// ([`Feature::settled_bars`](super::Feature::settled_bars) knows the time frame).
    #[must_use]
    pub fn settling_bars(&self, arguments: &Arguments) -> u32 {
        match self.memory {
            Memory::Window => 0,
            Memory::Day => MINUTES_OF_A_DAY,
            Memory::Recursive { settling_bars } => settling_bars(arguments),
        }
    }

    /// An expression of this kind with its defaults written out.
    #[must_use]
    pub fn example(&self) -> String {
        let text = self.text(&Arguments::defaults(self));
        match self.reads {
            Reads::Pair(_) => format!("{text}#BTCUSDT"),
            Reads::Bars | Reads::Market(_) => text,
        }
    }

    /// The canonical text of this kind with `arguments`.
    pub(super) fn text(&self, arguments: &Arguments) -> String {
        if self.parameters.is_empty() {
            return self.name.to_owned();
        }
        let numbers: Vec<String> = arguments.values().iter().map(f64::to_string).collect();
        format!("{}({})", self.name, numbers.join(","))
    }
}

/// The operator of [`FeatureKind::BASE`], which every declared kind replaces.
#[derive(Debug, Clone)]
struct Never;

crate::state! {
    Never {}
}

impl Operator for Never {
    fn update(&mut self, _bar: &crate::types::Bar) -> Option<f64> {
        None
    }
}

/// Steps until `factor` to their power is below a millionth, with room for polynomial factors of
/// `stages` smoothings in a row.
pub(super) fn settling_steps(factor: f64, stages: u32) -> u32 {
    let one_stage = (1e-6_f64).ln() / factor.ln();
    (one_stage * (1.0 + 0.35 * f64::from(stages - 1))).ceil() as u32
}

/// Settling of exponential averages of `period` with weight `2 / (period + 1)`.
pub(super) fn settling_ema(period: f64, stages: u32) -> u32 {
    settling_steps((period - 1.0) / (period + 1.0), stages)
}

/// Settling of Wilder averages of `period` with weight `1 / period`.
pub(super) fn settling_wilder(period: f64, stages: u32) -> u32 {
    settling_steps((period - 1.0) / period, stages)
}
