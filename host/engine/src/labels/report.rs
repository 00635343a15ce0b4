//! What a set of labels looks like: balance, length, overlap, and how much one says of the next.

use serde::Serialize;

use super::{Label, LabelReason, LabelSpan, average_uniqueness, concurrency};

/// Most lags at which labels are compared.
const MAX_LAGS: usize = 16;

/// How alike labels are that stand some bars apart.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LagCorrelation {
    /// Bars between the labels of a pair.
    pub lag_bars: usize,
    /// Pairs of which both are there.
    pub pairs: usize,
    /// Pearson correlation of down, flat, up as -1, 0, 1; `None` where it is not defined.
    pub value: Option<f64>,
}

/// Balance, length and overlap of the labels of one series.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LabelReport {
    /// Bars of the series.
    pub bars: usize,
    /// Bars that have a label.
    pub labelled: usize,
    /// Labels per class: down, flat, up.
    pub class_counts: [usize; 3],
    /// Labels that ended at the upper barrier.
    pub upper: usize,
    /// Labels that ended at the lower barrier.
    pub lower: usize,
    /// Labels that ended at the horizon.
    pub vertical: usize,
    /// Labels whose order of touches is unknown.
    pub ambiguous: usize,
    /// Labels by bars until they are known: `durations[i]` took `i + 1` bars.
    pub durations: Vec<usize>,
    /// Mean bars from entry to end; `None` without labels.
    pub mean_duration_bars: Option<f64>,
    /// Bars after which a quarter, half and three quarters of the labels are known.
    pub duration_quartiles_bars: Option<[usize; 3]>,
    /// Mean of [`average_uniqueness`]; `None` without labels.
    pub average_uniqueness: Option<f64>,
    /// Labels that would say as much if none overlapped: the sum of their uniqueness.
    pub effective_samples: f64,
    /// Mean number of labels that share a bar, over bars that have any.
    pub mean_concurrency: Option<f64>,
    /// Most labels that share a bar.
    pub largest_concurrency: usize,
    /// Likeness at lags of 1, 2, 4 and so on, up to twice the longest label, where an honest
    /// label is like others only by chance.
    pub autocorrelation: Vec<LagCorrelation>,
}

impl LabelReport {
    /// Describes the labels of one series.
    #[must_use]
    pub fn of(labels: &[Option<Label>]) -> Self {
        let present = || {
            labels
                .iter()
                .enumerate()
                .filter_map(|(at, one)| Some((at, (*one)?)))
        };
        let spans: Vec<LabelSpan> = present()
            .map(|(start_bar, label)| LabelSpan {
                start_bar,
                end_bar: label.end_bar,
            })
            .collect();
        let mut class_counts = [0; 3];
        for (_, label) in present() {
            class_counts[label.class.index()] += 1;
        }
        let ended_by = |reason| {
            present()
                .filter(|(_, label)| label.reason == reason)
                .count()
        };
        let unique: f64 = average_uniqueness(&spans).iter().sum();
        let total_bars: usize = spans.iter().map(LabelSpan::bars).sum();
        let shared = concurrency(&spans).counts;
        let covered = shared.iter().filter(|count| **count > 0).count();
        let durations = durations(&spans);
        Self {
            bars: labels.len(),
            labelled: spans.len(),
            class_counts,
            upper: ended_by(LabelReason::Upper),
            lower: ended_by(LabelReason::Lower),
            vertical: ended_by(LabelReason::Vertical),
            ambiguous: ended_by(LabelReason::Ambiguous),
            mean_duration_bars: mean(total_bars as f64, spans.len()),
            duration_quartiles_bars: quartiles(&durations, spans.len()),
            average_uniqueness: mean(unique, spans.len()),
            effective_samples: unique,
            mean_concurrency: mean(total_bars as f64, covered),
            largest_concurrency: shared.iter().max().map_or(0, |most| *most as usize),
            autocorrelation: lags(durations.len())
                .map(|lag| autocorrelation(labels, lag))
                .collect(),
            durations,
        }
    }
}

fn mean(sum: f64, count: usize) -> Option<f64> {
    (count > 0).then(|| sum / count as f64)
}

fn durations(spans: &[LabelSpan]) -> Vec<usize> {
    let longest = spans.iter().map(LabelSpan::bars).max().unwrap_or(0);
    let mut counts = vec![0; longest];
    for bars in spans.iter().map(LabelSpan::bars).filter(|bars| *bars > 0) {
        counts[bars - 1] += 1;
    }
    counts
}

fn quartiles(durations: &[usize], labels: usize) -> Option<[usize; 3]> {
    if labels == 0 {
        return None;
    }
    let after = |quarters: usize| {
        let mut seen = 0;
        let enough = durations.iter().position(|count| {
            seen += count;
            4 * seen >= quarters * labels
        });
        enough.map_or(durations.len(), |at| at + 1)
    };
    Some([after(1), after(2), after(3)])
}

fn lags(longest_bars: usize) -> impl Iterator<Item = usize> {
    (0..MAX_LAGS)
        .map(|power| 1 << power)
        .take_while(move |lag| *lag <= 2 * longest_bars)
}

/// The likeness of labels `lag_bars` apart, as -1, 0 and 1. Sums of small whole numbers are exact.
fn autocorrelation(labels: &[Option<Label>], lag_bars: usize) -> LagCorrelation {
    let value = |label: &Option<Label>| label.map(|label| label.class.sign());
    let later = labels.get(lag_bars..).unwrap_or(&[]);
    let (mut pairs, mut sums) = (0, [0.0_f64; 5]);
    for (x, y) in labels.iter().zip(later) {
        let (Some(x), Some(y)) = (value(x), value(y)) else {
            continue;
        };
        pairs += 1;
        for (sum, add) in sums.iter_mut().zip([x, y, x * x, y * y, x * y]) {
            *sum += add;
        }
    }
    let count = pairs as f64;
    let [x, y, xx, yy, xy] = sums;
    let below = ((count * xx - x * x) * (count * yy - y * y)).sqrt();
    LagCorrelation {
        lag_bars,
        pairs,
        value: (below > 0.0).then(|| (count * xy - x * y) / below),
    }
}
