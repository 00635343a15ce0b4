//! Scalers of feature columns: fitted on the samples of a training dataset, then applied to
//! whatever the model is shown.
//!
//! A fitted scaler is a plain value that is stored beside its model. Missing values (NaN) take no
//! part in a fit and stay missing. A column that is constant in training says nothing about a
//! scale, so it is only moved; the report names it.

use std::collections::BTreeSet;

use fusebox_plugin_api::schema::{BatchColumns, Dataset, DatasetBatch, DatasetView};
use serde::{Deserialize, Serialize};

use super::DatasetError;
use crate::eval::trading::normal::quantile;

/// Quantiles that a rank scaler keeps of each column, at most.
const RANK_QUANTILES: usize = 1_000;
/// Probabilities nearer to 0 or 1 are taken as this near, as scikit-learn does: 5.2 deviations.
const RANK_EDGE: f64 = 1e-7;

/// How feature columns are brought to one scale.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScalerKind {
    /// They stay as they are, and no matrix is copied.
    #[default]
    None,
    /// Mean 0 and standard deviation 1.
    Standard,
    /// Median 0 and interquartile range 1: outliers do not move it.
    Robust,
    /// The rank among the training values, spread like a normal distribution: only order counts.
    RankGauss,
}

/// How one column is scaled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ColumnScale {
    /// `(x - center) / scale`.
    Linear {
        #[serde(with = "exact_number")]
        center: f64,
        #[serde(with = "exact_number")]
        scale: f64,
    },
    /// Evenly spaced quantiles of the training values, ascending.
    Ranks(#[serde(with = "exact_numbers")] Vec<f64>),
}

/// A fitted scaler.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, try_from = "StoredScaler")]
pub struct Scaler {
    kind: ScalerKind,
    /// Names of the columns that it was fitted on.
    columns: Vec<String>,
    scales: Vec<ColumnScale>,
}

/// A scaler as it is read, before it is known to be whole.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredScaler {
    kind: ScalerKind,
    columns: Vec<String>,
    scales: Vec<ColumnScale>,
}

impl TryFrom<StoredScaler> for Scaler {
    type Error = ScalerError;

    fn try_from(stored: StoredScaler) -> Result<Self, ScalerError> {
        let names = stored.columns.iter();
        let broken: Vec<String> = names
            .zip(&stored.scales)
            .filter(|(_, scale)| !scale.is_usable())
            .map(|(name, _)| name.clone())
            .collect();
        if stored.columns.len() != stored.scales.len() || !broken.is_empty() {
            return Err(ScalerError::Broken(broken));
        }
        Ok(Self {
            kind: stored.kind,
            columns: stored.columns,
            scales: stored.scales,
        })
    }
}

/// What a fit found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ScalerReport {
    /// Samples that it was fitted on.
    pub samples: usize,
    /// Columns with one value in all samples.
    pub constant_columns: Vec<String>,
    /// Columns that are not constant but have no scale: half of the values are one, so that the
    /// interquartile range is nothing. They are only moved, too.
    pub unscaled_columns: Vec<String>,
    /// Columns without any value in the samples.
    pub empty_columns: Vec<String>,
    /// Columns with missing values, and how many.
    pub missing_values: Vec<(String, usize)>,
}

/// Why a scaler cannot be fitted or used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScalerError {
    /// There is nothing to fit on.
    #[error("the training part has no samples to fit a scaler on; train on a longer range")]
    NoSamples,
    /// Values that are not finite, every column that has any.
    #[error("columns {} hold infinite values; a scaler needs finite ones", .0.join(", "))]
    Infinite(Vec<String>),
    /// The rows are of another feature set.
    #[error(
        "the scaler was fitted on {fitted} columns and was given rows of {found}; use the scaler \
         that is stored with the model"
    )]
    Columns {
        /// Columns of the fit.
        fitted: usize,
        /// Columns of the rows.
        found: usize,
    },
    /// A stored scaler is not what a fit gives; the columns that are wrong.
    #[error(
        "the stored scaler is damaged (columns: {}); train again or restore the file",
        .0.join(", ")
    )]
    Broken(Vec<String>),
    /// The contract's dataset refuses the scaled columns.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
}

impl Scaler {
    /// Fits on the samples of `train`; context rows, which may lie outside the training part, take
    /// no part. `None` for [`ScalerKind::None`].
    ///
    /// # Errors
    /// [`ScalerError`] where there is no sample, or every column with infinite values.
    pub fn fit(
        kind: ScalerKind,
        train: &Dataset,
    ) -> Result<Option<(Self, ScalerReport)>, ScalerError> {
        if kind == ScalerKind::None {
            return Ok(None);
        }
        let columns = train.schema().features.clone();
        let samples = train.samples();
        if samples == 0 {
            return Err(ScalerError::NoSamples);
        }
        let mut report = ScalerReport {
            samples,
            constant_columns: Vec::new(),
            unscaled_columns: Vec::new(),
            empty_columns: Vec::new(),
            missing_values: Vec::new(),
        };
        let mut infinite = BTreeSet::new();
        let mut scales = Vec::with_capacity(columns.len());
        for (position, name) in columns.iter().enumerate() {
            let mut values = column(train, position);
            let missing = samples - values.len();
            if missing > 0 {
                report.missing_values.push((name.clone(), missing));
            }
            if values.iter().any(|value| value.is_infinite()) {
                infinite.insert(name.clone());
                continue;
            }
            values.sort_by(f64::total_cmp);
            let (scale, is_scaled) = ColumnScale::fit(kind, &values);
            scales.push(scale);
            if values.is_empty() {
                report.empty_columns.push(name.clone());
            } else if is_constant(&values) {
                report.constant_columns.push(name.clone());
            } else if !is_scaled {
                report.unscaled_columns.push(name.clone());
            }
        }
        if !infinite.is_empty() {
            return Err(ScalerError::Infinite(infinite.into_iter().collect()));
        }
        let scaler = Self {
            kind,
            columns,
            scales,
        };
        Ok(Some((scaler, report)))
    }

    /// How it scales.
    #[must_use]
    pub fn kind(&self) -> ScalerKind {
        self.kind
    }

    /// Names of the columns that it was fitted on.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Scales whole rows, row-major, in place.
    ///
    /// # Errors
    /// [`ScalerError::Columns`] where the values are no whole rows.
    pub fn apply(&self, rows: &mut [f32]) -> Result<(), ScalerError> {
        let fitted = self.scales.len();
        if fitted == 0 || !rows.len().is_multiple_of(fitted) {
            return Err(ScalerError::Columns {
                fitted,
                found: rows.len(),
            });
        }
        for row in rows.chunks_exact_mut(fitted) {
            for (value, scale) in row.iter_mut().zip(&self.scales) {
                *value = scale.apply(f64::from(*value)) as f32;
            }
        }
        Ok(())
    }

    /// The dataset with scaled features; its other columns are the same.
    ///
    /// # Errors
    /// [`ScalerError::Columns`] where it has other features than the fit.
    pub fn dataset(&self, data: &Dataset) -> Result<Dataset, ScalerError> {
        let schema = data.shared_schema();
        if schema.features != self.columns {
            return Err(ScalerError::Columns {
                fitted: self.columns.len(),
                found: schema.features.len(),
            });
        }
        let refused = |error: &dyn std::fmt::Display| DatasetError::Refused(error.to_string());
        let batch = |view: DatasetView<'_>| {
            let mut features = view.features.to_vec();
            if !features.is_empty() {
                self.apply(&mut features)?;
            }
            let columns = BatchColumns {
                features: features.into(),
                labels: view.labels.to_vec().into(),
                weight: view.weight.to_vec().into(),
                event_ns: view.event_ns.to_vec().into(),
                label_end_ns: view.label_end_ns.to_vec().into(),
                symbol: view.symbol.to_vec().into(),
                segment: view.segment.to_vec().into(),
                role: view.role.to_vec().into(),
            };
            DatasetBatch::new(&schema, columns).map_err(|error| refused(&error).into())
        };
        let batches: Result<Vec<DatasetBatch>, ScalerError> = data.views().map(batch).collect();
        Dataset::new(schema.clone(), batches?).map_err(|error| refused(&error).into())
    }
}

/// The values of one column in the samples, missing ones left out.
fn column(data: &Dataset, position: usize) -> Vec<f64> {
    let mut values = Vec::with_capacity(data.samples());
    for view in data.views() {
        let samples = (0..view.rows()).filter(|row| view.is_sample(*row));
        let all = samples.map(|row| f64::from(view.feature_row(row)[position]));
        values.extend(all.filter(|value| !value.is_nan()));
    }
    values
}

impl ColumnScale {
    /// From the values in ascending order; with whether they have a scale at all.
    fn fit(kind: ScalerKind, sorted: &[f64]) -> (Self, bool) {
        let (Some(first), count) = (sorted.first(), sorted.len()) else {
            return Self::linear(0.0, 0.0);
        };
        if is_constant(sorted) {
            return Self::linear(*first, 0.0);
        }
        match kind {
            ScalerKind::None => (Self::linear(0.0, 1.0).0, true),
            ScalerKind::Standard => {
                let mean = sorted.iter().sum::<f64>() / count as f64;
                let squares: f64 = sorted.iter().map(|x| (x - mean).powi(2)).sum();
                Self::linear(mean, (squares / count as f64).sqrt())
            }
            ScalerKind::Robust => {
                let range = percentile(sorted, 3, 4) - percentile(sorted, 1, 4);
                Self::linear(percentile(sorted, 1, 2), range)
            }
            ScalerKind::RankGauss => {
                let kept = RANK_QUANTILES.min(count);
                let quantiles = (0..kept).map(|i| percentile(sorted, i, kept - 1)).collect();
                (Self::Ranks(quantiles), true)
            }
        }
    }

    /// A scale that is nothing beside the values is taken as one.
    fn linear(center: f64, scale: f64) -> (Self, bool) {
        let is_scaled = scale > 10.0 * f64::EPSILON * center.abs();
        let scale = if is_scaled { scale } else { 1.0 };
        (Self::Linear { center, scale }, is_scaled)
    }

    fn is_usable(&self) -> bool {
        match self {
            Self::Linear { center, scale } => {
                center.is_finite() && scale.is_finite() && *scale > 0.0
            }
            Self::Ranks(quantiles) => {
                let is_finite = quantiles.iter().all(|one| one.is_finite());
                is_finite && quantiles.len() > 1 && quantiles.is_sorted()
            }
        }
    }

    fn apply(&self, value: f64) -> f64 {
        match self {
            Self::Linear { center, scale } => (value - center) / scale,
            Self::Ranks(_) if value.is_nan() => value,
            Self::Ranks(quantiles) => {
                let rank = rank(quantiles, value).clamp(RANK_EDGE, 1.0 - RANK_EDGE);
                quantile(rank).unwrap_or(0.0)
            }
        }
    }
}

fn is_constant(sorted: &[f64]) -> bool {
    sorted
        .first()
        .zip(sorted.last())
        .is_some_and(|(first, last)| first.total_cmp(last).is_eq())
}

/// Quantile of ascending values at `part / parts`, between neighbours by a line. The place is found
/// in whole numbers, so that equal values give equal quantiles.
fn percentile(sorted: &[f64], part: usize, parts: usize) -> f64 {
    let place = part * (sorted.len() - 1);
    let (below, rest) = (place / parts, place % parts);
    if rest == 0 {
        return sorted[below];
    }
    let (from, to) = (sorted[below], sorted[below + 1]);
    (from + rest as f64 / parts as f64 * (to - from)).clamp(from, to)
}

/// The share of training values below `value`, from quantiles; where several quantiles are equal,
/// the middle of their shares.
fn rank(quantiles: &[f64], value: f64) -> f64 {
    let last = quantiles.len() - 1;
    let below = quantiles.partition_point(|one| *one < value);
    let up_to = quantiles.partition_point(|one| *one <= value);
    if value < quantiles[0] {
        return 0.0;
    }
    if value > quantiles[last] {
        return 1.0;
    }
    if up_to > below {
        return (below + up_to - 1) as f64 / 2.0 / last as f64;
    }
    let (from, to) = (quantiles[below - 1], quantiles[below]);
    ((below - 1) as f64 + (value - from) / (to - from)) / last as f64
}

/// Numbers as text: readers of JSON may round the last bit of a number, and a model must be shown
/// the very values that it was trained on.
mod exact_numbers {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(values: &[f64], to: S) -> Result<S::Ok, S::Error> {
        let texts: Vec<String> = values.iter().map(f64::to_string).collect();
        to.serialize_str(&texts.join(" "))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<f64>, D::Error> {
        let text = String::deserialize(from)?;
        let numbers = text.split(' ').map(str::parse);
        let numbers: Result<Vec<f64>, _> = numbers.collect();
        numbers.map_err(Error::custom)
    }
}

/// One number as [`exact_numbers`].
mod exact_number {
    use serde::de::Error;
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &f64, to: S) -> Result<S::Ok, S::Error> {
        super::exact_numbers::serialize(&[*value], to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
        match super::exact_numbers::deserialize(from)?.as_slice() {
            [value] => Ok(*value),
            _ => Err(D::Error::custom("one number was expected")),
        }
    }
}

#[cfg(test)]
mod tests;
