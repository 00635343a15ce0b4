//! What a set of labels looks like, for the run's report.

use serde::Serialize;

use super::{Label, LabelReason, LabelSpan, average_uniqueness};

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
    /// Mean bars from entry to end; `None` without labels.
    pub mean_duration_bars: Option<f64>,
    /// Mean of [`average_uniqueness`]; `None` without labels.
    pub average_uniqueness: Option<f64>,
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
        let durations = spans
            .iter()
            .map(|span| (span.end_bar - span.start_bar) as f64);
        Self {
            bars: labels.len(),
            labelled: spans.len(),
            class_counts,
            upper: ended_by(LabelReason::Upper),
            lower: ended_by(LabelReason::Lower),
            vertical: ended_by(LabelReason::Vertical),
            ambiguous: ended_by(LabelReason::Ambiguous),
            mean_duration_bars: mean(durations.sum(), spans.len()),
            average_uniqueness: mean(average_uniqueness(&spans).iter().sum(), spans.len()),
        }
    }
}

fn mean(sum: f64, count: usize) -> Option<f64> {
    (count > 0).then(|| sum / count as f64)
}
