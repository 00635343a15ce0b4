//! Weights of a fold's training samples: how much each counts by itself, by its age and by its
//! class.
//!
//! Overlap is counted among the samples themselves, so that no label outside the fold matters. The
//! mean over all samples is 1.

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::Samples;
use super::samples::SymbolRows;
use super::split::{HeldOut, Period};
use crate::labels::{
    ClassWeights, Direction, Label, LabelConfig, LabelSpan, LabelTask, SequentialBootstrap,
    Weighting, average_uniqueness, balanced_class_weights, return_attribution, time_decay,
};
use crate::types::Timestamp;

/// How training samples are weighted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WeightOptions {
    /// What each sample counts by itself.
    pub scheme: Weighting,
    /// Factor of the oldest sample, see [`time_decay`]; 1 for no decay.
    pub oldest_weight: f64,
    /// Whether all classes count alike; without effect where labels are numbers.
    pub class_weights: ClassWeights,
    /// Drives the sequential bootstrap.
    pub seed: u64,
}

impl Default for WeightOptions {
    fn default() -> Self {
        Self {
            scheme: Weighting::Uniform,
            oldest_weight: 1.0,
            class_weights: ClassWeights::None,
            seed: 0,
        }
    }
}

impl WeightOptions {
    /// What a configuration asks for.
    #[must_use]
    pub fn of(config: &LabelConfig, seed: u64) -> Self {
        Self {
            scheme: config.weights,
            oldest_weight: config.oldest_weight,
            class_weights: config.class_weights,
            seed,
        }
    }
}

/// The samples of one symbol.
struct Weighted {
    rows: Vec<usize>,
    closed_at: Vec<Timestamp>,
    labels: Vec<Label>,
    spans: Vec<LabelSpan>,
    weights: Vec<f64>,
}

impl Samples {
    /// A weight for every row of every symbol, 0 for those that are no sample of the periods.
    pub(super) fn weights(
        &self,
        periods: &[Period],
        held_out: &[HeldOut],
        options: &WeightOptions,
    ) -> Vec<Vec<f32>> {
        let mut all: Vec<Weighted> = (0..)
            .zip(&self.symbols)
            .map(|(stream, symbol)| {
                let mut random = ChaCha8Rng::seed_from_u64(options.seed);
                random.set_stream(stream);
                Weighted::new(symbol, periods, held_out).by_itself(
                    symbol,
                    options.scheme,
                    &mut random,
                )
            })
            .collect();
        if options.oldest_weight < 1.0 {
            decay(&mut all, options.oldest_weight);
        }
        if options.class_weights == ClassWeights::Balanced {
            balance(&mut all, self.task());
        }
        let count: usize = all.iter().map(|one| one.weights.len()).sum();
        let total: f64 = all.iter().flat_map(|one| &one.weights).sum();
        let scale = if total > 0.0 {
            count as f64 / total
        } else {
            0.0
        };
        let spread = |(symbol, one): (&SymbolRows, &Weighted)| {
            let mut weights = vec![0.0; symbol.samples.features.rows()];
            for (row, weight) in one.rows.iter().zip(&one.weights) {
                weights[*row] = (weight * scale) as f32;
            }
            weights
        };
        self.symbols.iter().zip(&all).map(spread).collect()
    }
}

impl Weighted {
    fn new(symbol: &SymbolRows, periods: &[Period], held_out: &[HeldOut]) -> Self {
        let inside = periods.iter().flat_map(|period| symbol.rows_in(*period));
        let (rows, labels): (Vec<usize>, Vec<Label>) = inside
            .filter_map(|row| Some((row, symbol.sample(row, held_out)?)))
            .unzip();
        let spans = rows
            .iter()
            .zip(&labels)
            .map(|(&start_bar, label)| LabelSpan {
                start_bar,
                end_bar: label.end_bar,
            });
        let closed_at = &symbol.samples.features.closed_at;
        Self {
            closed_at: rows.iter().map(|row| closed_at[*row]).collect(),
            spans: spans.collect(),
            weights: vec![1.0; rows.len()],
            rows,
            labels,
        }
    }

    fn by_itself(
        mut self,
        symbol: &SymbolRows,
        scheme: Weighting,
        random: &mut ChaCha8Rng,
    ) -> Self {
        let spans = &self.spans;
        match scheme {
            Weighting::Uniform => {}
            Weighting::Uniqueness => self.weights = average_uniqueness(spans),
            Weighting::ReturnAttribution => {
                let log_returns = &symbol.samples.labels.log_returns;
                self.weights = return_attribution(spans, log_returns);
            }
            Weighting::SequentialBootstrap => {
                let mut bootstrap = SequentialBootstrap::new(spans);
                self.weights = vec![0.0; spans.len()];
                for at in (0..spans.len()).filter_map(|_| bootstrap.draw(random)) {
                    self.weights[at] += 1.0;
                }
            }
        }
        self
    }
}

/// Ages the samples of all symbols together; those of one moment are as old.
fn decay(all: &mut [Weighted], oldest_weight: f64) {
    let mut moments: BTreeMap<Timestamp, f64> = BTreeMap::new();
    for one in all.iter() {
        for (at, unique) in one.closed_at.iter().zip(average_uniqueness(&one.spans)) {
            *moments.entry(*at).or_default() += unique;
        }
    }
    let uniqueness: Vec<f64> = moments.values().copied().collect();
    let factors = time_decay(&uniqueness, oldest_weight);
    for (factor, aged) in moments.values_mut().zip(factors) {
        *factor = aged;
    }
    for one in all {
        for (weight, at) in one.weights.iter_mut().zip(&one.closed_at) {
            *weight *= moments.get(at).copied().unwrap_or(1.0);
        }
    }
}

/// Gives all classes that a learner is shown the same weight together.
fn balance(all: &mut [Weighted], task: &LabelTask) {
    let class = |label: &Label| match task {
        LabelTask::Acting => usize::from(label.class != Direction::Flat),
        LabelTask::Direction | LabelTask::Returns { .. } => label.class.index(),
    };
    if matches!(task, LabelTask::Returns { .. }) {
        return;
    }
    let samples = all
        .iter()
        .flat_map(|one| one.labels.iter().map(class).zip(one.weights.clone()));
    let factors: [f64; 3] = balanced_class_weights(samples);
    for one in all {
        for (weight, label) in one.weights.iter_mut().zip(&one.labels) {
            *weight *= factors[class(label)];
        }
    }
}
