//! The seam between this plugin and the libraries: what a fit and a model need of either.
//!
//! A fit drives a [`Trainer`], round by round; a model keeps an [`Answers`] for what flat trees
//! cannot tell. Which library it is stands in the configuration of a fit (`booster`) and in the
//! head of an artifact. Both may be loaded in one process.

use std::ffi::CString;
use std::fmt::Debug;

use fusebox_plugin_api::prelude::*;

use crate::flat::{self, Forest};
use crate::learner::Plan;
use crate::{lightgbm, xgboost};

/// A library that grows trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Booster {
    /// LightGBM (Ke et al. 2017).
    LightGbm,
    /// XGBoost (Chen and Guestrin 2016).
    XgBoost,
}

/// A booster with its library loaded.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Loaded {
    /// LightGBM.
    LightGbm(&'static lightgbm::Library),
    /// XGBoost.
    XgBoost(&'static xgboost::Library),
}

/// How feature importance is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Importance {
    /// Number of splits.
    Split,
    /// Sum of the gains of the splits.
    Gain,
}

/// An unfinished fit inside a library.
pub(crate) trait Trainer: Debug {
    /// Adds the trees of round `round`; `true` where nothing could be split any more.
    fn update(&mut self, round: u32) -> Result<bool>;

    /// The metric on the validation rows after round `round`.
    fn metric(&mut self, round: u32) -> Result<Option<f64>>;

    /// The metric on the rows that are learned from, as the fit weighs them; a pass over them.
    fn training_metric(&mut self, round: u32) -> Result<Option<f64>>;

    /// The answers for the validation rows so far, row by row; none without such rows.
    fn answers(&mut self) -> Result<Vec<f64>>;

    /// Rounds held, those of an earlier fit included.
    fn iterations(&self) -> Result<usize>;

    /// The model as texts: the first `iterations` rounds, or all of them.
    fn to_texts(&mut self, iterations: Option<usize>) -> Result<Vec<CString>>;
}

/// A finished model inside a library.
pub(crate) trait Answers: Debug + Send {
    /// Columns of a row.
    fn columns(&self) -> usize;

    /// Values per row.
    fn outputs(&self) -> usize;

    /// Rounds.
    fn iterations(&self) -> usize;

    /// Answers every row of a frame whose shape was checked; `write` turns an answer of the
    /// library's into the contract's.
    fn predict(&mut self, frame: &mut Frame<'_>, write: WriteAnswer<'_>) -> Result<()>;

    /// One number per column.
    fn importance(&self, kind: Importance) -> Result<Vec<f64>>;

    /// SHAP values of one row: for each output one per column, then the expected value.
    fn contributions(&self, row: &[f32]) -> Result<Vec<f64>>;
}

/// Writes one answer of a library into its row of a frame.
pub(crate) type WriteAnswer<'a> = &'a dyn Fn(&[f64], &mut [f32]);

impl Booster {
    /// Name in a configuration.
    pub(crate) const NAMES: [&'static str; 2] = ["lightgbm", "xgboost"];

    /// The booster of that name.
    pub(crate) fn named(name: &str) -> Self {
        match name == Self::NAMES[1] {
            true => Self::XgBoost,
            false => Self::LightGbm,
        }
    }

    /// Library whose text an artifact holds, and the version from which on it is written and read.
    pub(crate) fn library_name(self) -> &'static str {
        match self {
            Self::LightGbm => "LightGBM >= 4.7.0",
            Self::XgBoost => "XGBoost >= 3.4.1",
        }
    }

    /// The booster that the head of an artifact names.
    pub(crate) fn of_artifact(library: &str) -> Result<Self> {
        let known = [Self::LightGbm, Self::XgBoost];
        let found = known.into_iter().find(|one| one.library_name() == library);
        found.ok_or_else(|| {
            PluginError::schema(format!(
                "the artifact is of `{library}`, which this plugin does not read; use a plugin of \
                 the version that wrote it, or train again"
            ))
        })
    }

    /// Loads the library that the configuration names.
    pub(crate) fn load(self, config: &Config) -> Result<Loaded> {
        Ok(match self {
            Self::LightGbm => Loaded::LightGbm(lightgbm::library(config)?),
            Self::XgBoost => Loaded::XgBoost(xgboost::library(config)?),
        })
    }

    /// Reads the texts of a model of the library's into flat trees.
    pub(crate) fn flat(self, texts: &[CString]) -> Result<Forest> {
        match (self, texts) {
            (Self::LightGbm, [text]) => flat::lightgbm::read(&text.to_string_lossy()),
            (Self::LightGbm, texts) => flat::lightgbm::read_levels(texts),
            (Self::XgBoost, [text]) => flat::xgboost::read(&text.to_string_lossy()),
            (Self::XgBoost, texts) => Err(Self::several(texts.len())),
        }
    }

    /// XGBoost learns everything in one model.
    fn several(texts: usize) -> PluginError {
        PluginError::data(format!(
            "not a usable artifact: {texts} texts of XGBoost, which writes one"
        ))
    }
}

impl Loaded {
    /// Starts a fit.
    pub(crate) fn start<'a>(
        self,
        plan: &Plan<'_>,
        threads: u32,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<Box<dyn Trainer + 'a>> {
        Ok(match self {
            Self::LightGbm(library) => Box::new(lightgbm::LightGbmTrainer::start(
                library,
                plan,
                threads,
                is_cancelled,
            )?),
            Self::XgBoost(library) => {
                Box::new(xgboost::XgBoostTrainer::start(library, plan, threads)?)
            }
        })
    }

    /// Reads a model. The texts must be those that the library wrote.
    pub(crate) fn open(self, texts: &[CString], threads: u32) -> Result<Box<dyn Answers>> {
        Ok(match (self, texts) {
            (Self::LightGbm(library), texts) => {
                Box::new(lightgbm::LightGbmAnswers::open(library, texts, threads)?)
            }
            (Self::XgBoost(library), [text]) => {
                Box::new(xgboost::XgBoostAnswers::open(library, text, threads)?)
            }
            (Self::XgBoost(_), texts) => return Err(Booster::several(texts.len())),
        })
    }

    /// The texts that `plan` goes on from, with leaves that the plan's rows give, blended with the
    /// old ones.
    pub(crate) fn refit(
        self,
        plan: &Plan<'_>,
        decay: f64,
        threads: u32,
        progress: &mut dyn Progress,
    ) -> Result<Vec<CString>> {
        match self {
            Self::LightGbm(library) => lightgbm::refit(library, plan, decay, threads, progress),
            Self::XgBoost(library) => {
                let text = xgboost::refresh(library, plan, decay, threads, progress)?;
                Ok(vec![text])
            }
        }
    }
}
