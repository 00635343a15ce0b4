//! The audit: does feature code look ahead?
//!
//! It judges code by what it does, not by what it says: the code ([`FeatureCode`]) is given bars
//! and gives columns, again and again, on histories that were changed in a known way. So it works
//! for a feature set of ours and for code in any language. [`audit`] runs these checks:
//!
//! | check | what is done | what it catches |
//! |---|---|---|
//! | repeat | the same bars again | random numbers, state between calls |
//! | truncation | later bars removed | centred windows, unclosed bars, fits over everything |
//! | shift | later bars changed | the same, where code is careful with the end of its input |
//! | prediction | columns against later bars | a future price, return or label in the input |
//! | warm-up | earlier bars removed | more memory than declared |
//! | coverage | every column has values | an audit that saw nothing |
//!
//! [`audit_step`] does the same for a step that is fitted, such as a scaler: it may look at the
//! training rows only. Everything random comes from the
//! caller's generator, so that an audit can be repeated.
//!
//! # How histories are cut, and what the audit cannot see
//! Truncation and shift look at the values before a cut. Cuts lie shortly after the beginning and
//! just before the end, before holes and at missing bars, one row before the ends of hours, days,
//! weeks and months, and at random moments ([`AuditOptions::rounds`]), half of them evenly over
//! the history and half of them early. A cut shows a row that reads bars beyond it. So a leak that
//! shows at every row, or every day, is found; one at a single fixed moment of the data, that
//! reads fewer bars ahead than lie between it and the next cut, can pass. More rounds and other
//! seeds make that less likely, never impossible. Code that behaves otherwise when it knows that
//! it is audited is not found either.

mod compare;
mod histories;
mod plan;
mod prediction;
mod set_code;
mod step;
mod warm_up;

use rand_core::Rng;
use serde::Serialize;

use self::plan::Dice;
use crate::types::{Market, Timestamp};

pub use set_code::SetCode;
pub use step::{FittedStep, StepAudit, StepRows, audit_step};

/// Code that makes columns from bars.
pub trait FeatureCode {
    /// Computes the columns of every symbol of `market`: one row per bar.
    ///
    /// # Errors
    /// Words that say why the code gave nothing usable.
    fn compute(&mut self, market: &Market) -> Result<FeatureTable, String>;

    /// What the code declares about a column's memory; `None` where it declares nothing.
    fn declared(&self, column: usize) -> Option<Declared> {
        let _ = column;
        None
    }
}

/// What code made of a market.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureTable {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// For each symbol, in id order, `rows x columns` values, row after row; NaN where there is
    /// none.
    pub values: Vec<Vec<f64>>,
}

/// How much history a column needs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Declared {
    /// Bars after which the value must not depend on where the history begins.
    pub settled_bars: usize,
    /// By how much it may all the same, as a share of the column's largest value.
    pub tolerance: f64,
}

/// How the audit goes about it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AuditOptions {
    /// Random cuts of each check, besides those at places that often give leaks away.
    pub rounds: u32,
    /// By how much values may differ where they should be equal, relative to the larger one; 0
    /// compares bit by bit.
    pub tolerance: f64,
}

impl Default for AuditOptions {
    fn default() -> Self {
        Self {
            rounds: 8,
            tolerance: 0.0,
        }
    }
}

/// One of the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// The same bars again.
    Repeat,
    /// Later bars removed.
    Truncation,
    /// Later bars changed.
    Shift,
    /// Columns against the bars that follow.
    Prediction,
    /// Earlier bars removed.
    WarmUp,
    /// Every column has values.
    Coverage,
    /// A step that is fitted on more than its training rows.
    FitScope,
}

impl Check {
    /// The name in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Repeat => "repeat",
            Self::Truncation => "truncation",
            Self::Shift => "shift",
            Self::Prediction => "prediction",
            Self::WarmUp => "warm-up",
            Self::Coverage => "coverage",
            Self::FitScope => "fit scope",
        }
    }
}

/// Something that is wrong with a column.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// What found it.
    pub check: Check,
    /// The column.
    pub column: String,
    /// Whose row.
    pub symbol: String,
    /// The first row where it shows.
    pub row: usize,
    /// When that row is known.
    pub at: Option<Timestamp>,
    /// The value as it should be, or as it was on the whole history.
    pub expected: Option<f64>,
    /// The other value.
    pub found: Option<f64>,
    /// Rows where it shows.
    pub rows: usize,
    /// What it means.
    pub meaning: String,
}

/// What one check did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckSummary {
    /// The check.
    pub check: Check,
    /// Histories that the code was run on.
    pub histories: usize,
    /// Values that were compared.
    pub values: usize,
    /// Columns with a finding.
    pub findings: usize,
}

/// The verdict.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AuditReport {
    /// Columns that were looked at.
    pub columns: Vec<String>,
    /// Rows of all symbols.
    pub rows: usize,
    /// What was done.
    pub checks: Vec<CheckSummary>,
    /// What is wrong, one for each column and check.
    pub findings: Vec<Finding>,
    /// What could not be looked at, and why.
    pub notes: Vec<String>,
}

impl AuditReport {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.findings.is_empty()
    }
}

/// Why there is no verdict.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// The code failed.
    #[error("the feature code failed on {history}: {message}")]
    Code {
        /// Which history.
        history: String,
        /// What it said.
        message: String,
    },
    /// The code gave something else than one row per bar.
    #[error(
        "the feature code gave {found} rows for the {expected} bars of {symbol} on {history}; it \
         must give one row per bar, empty values where it has none"
    )]
    Rows {
        /// Which history.
        history: String,
        /// Whose rows.
        symbol: String,
        /// Rows that came.
        found: usize,
        /// Bars that were given.
        expected: usize,
    },
    /// The columns changed from one call to the next.
    #[error("the feature code gave other columns on {history} than before: {found}")]
    Columns {
        /// Which history.
        history: String,
        /// The names that came.
        found: String,
    },
    /// There is too little to look at.
    #[error("the audit needs at least {needed} bars, there are {found}")]
    TooShort {
        /// Bars needed.
        needed: usize,
        /// Bars there.
        found: usize,
    },
}

/// Bars below which the checks mean nothing.
const MIN_BARS: usize = 100;

/// Runs every check of columns; see the head of the module.
///
/// # Errors
/// [`AuditError`] where the code fails or does not give one row per bar.
pub fn audit(
    code: &mut dyn FeatureCode,
    market: &Market,
    options: AuditOptions,
    random: &mut dyn Rng,
) -> Result<AuditReport, AuditError> {
    let longest = market.series().iter().map(|series| series.bars.len()).max();
    let found = longest.unwrap_or(0);
    if found < MIN_BARS {
        let needed = MIN_BARS;
        return Err(AuditError::TooShort { needed, found });
    }
    let dice = &mut Dice(random);
    let mut run = Run::new(code, market, options)?;
    run.check_coverage();
    run.check_repeat()?;
    run.check_truncation(dice)?;
    run.check_shift(dice)?;
    prediction::check(&mut run);
    warm_up::check(&mut run, dice)?;
    run.report.findings.sort_by_key(|finding| finding.check);
    Ok(run.report)
}

/// An audit that is going on.
struct Run<'a> {
    code: &'a mut dyn FeatureCode,
    market: &'a Market,
    options: AuditOptions,
    /// What the code makes of the whole history.
    whole: FeatureTable,
    report: AuditReport,
}

impl<'a> Run<'a> {
    fn new(
        code: &'a mut dyn FeatureCode,
        market: &'a Market,
        options: AuditOptions,
    ) -> Result<Self, AuditError> {
        let whole = compute(code, market, None, "the whole history")?;
        let report = AuditReport {
            columns: whole.columns.clone(),
            rows: market.series().iter().map(|series| series.bars.len()).sum(),
            checks: Vec::new(),
            findings: Vec::new(),
            notes: Vec::new(),
        };
        Ok(Self {
            code,
            market,
            options,
            whole,
            report,
        })
    }

    fn width(&self) -> usize {
        self.whole.columns.len()
    }

    /// What the code makes of another history.
    fn compute(&mut self, market: &Market, history: &str) -> Result<FeatureTable, AuditError> {
        compute(self.code, market, Some(&self.whole.columns), history)
    }

    /// Adds what a check found.
    fn conclude(&mut self, summary: CheckSummary, findings: Vec<Finding>) {
        let findings_count = findings.len();
        self.report.checks.push(CheckSummary {
            findings: findings_count,
            ..summary
        });
        self.report.findings.extend(findings);
    }
}

/// Runs the code and checks the shape of what it gives.
fn compute(
    code: &mut dyn FeatureCode,
    market: &Market,
    columns: Option<&Vec<String>>,
    history: &str,
) -> Result<FeatureTable, AuditError> {
    let history = history.to_owned();
    let table = match code.compute(market) {
        Ok(table) => table,
        Err(message) => return Err(AuditError::Code { history, message }),
    };
    if table.columns.is_empty() || columns.is_some_and(|columns| *columns != table.columns) {
        let found = table.columns.join(", ");
        return Err(AuditError::Columns { history, found });
    }
    let width = table.columns.len();
    for (symbol, series) in market.series().iter().enumerate() {
        let values = table.values.get(symbol).map_or(0, Vec::len);
        let expected = series.bars.len();
        if values != expected * width {
            return Err(AuditError::Rows {
                history,
                symbol: series.name.clone(),
                found: values / width,
                expected,
            });
        }
    }
    Ok(table)
}
