//! Concurrency and average uniqueness of labels (M. Lopez de Prado, Advances in Financial Machine
//! Learning, 4.3 and 4.4).

/// The bars whose returns decide a label: those after `start_bar`, up to and including `end_bar`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LabelSpan {
    /// Position of the labelled bar.
    pub start_bar: usize,
    /// Position of the bar that decided the label; after `start_bar`.
    pub end_bar: usize,
}

impl LabelSpan {
    /// How many bars decide the label.
    #[must_use]
    pub fn bars(&self) -> usize {
        self.end_bar.saturating_sub(self.start_bar)
    }
}

/// How many labels each bar decides: `counts[i]` is about bar `first_bar + i`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Concurrency {
    /// Bar of the first count.
    pub first_bar: usize,
    /// Labels of each bar, from the first start to the last end.
    pub counts: Vec<u32>,
}

/// How many of `spans` each bar decides.
#[must_use]
pub fn concurrency(spans: &[LabelSpan]) -> Concurrency {
    let first_bar = spans.iter().map(|span| span.start_bar).min().unwrap_or(0);
    let last = spans.iter().map(|span| span.end_bar).max().unwrap_or(0);
    let mut changes = vec![0_i64; (last + 1).saturating_sub(first_bar) + 1];
    for span in spans.iter().filter(|span| span.bars() > 0) {
        changes[span.start_bar + 1 - first_bar] += 1;
        changes[span.end_bar + 1 - first_bar] -= 1;
    }
    changes.pop();
    let mut concurrent = 0_i64;
    let counts = changes.into_iter().map(|change| {
        concurrent += change;
        u32::try_from(concurrent).unwrap_or(0)
    });
    Concurrency {
        first_bar,
        counts: counts.collect(),
    }
}

impl Concurrency {
    /// For each span, the sum over its bars of `value` of the bar divided by the number of labels
    /// that share it. Every span must be one of those that were counted.
    pub(super) fn shared_sums(
        &self,
        spans: &[LabelSpan],
        value: impl Fn(usize) -> f64,
    ) -> Vec<f64> {
        // `shares[i]` is the sum over the bars before `first_bar + i`.
        let mut shares = Vec::with_capacity(self.counts.len() + 1);
        let mut total = 0.0_f64;
        shares.push(0.0);
        for (offset, count) in self.counts.iter().enumerate() {
            if *count > 0 {
                total += value(self.first_bar + offset) / f64::from(*count);
            }
            shares.push(total);
        }
        let sum = |span: &LabelSpan| {
            shares[span.end_bar + 1 - self.first_bar] - shares[span.start_bar + 1 - self.first_bar]
        };
        spans
            .iter()
            .map(|span| if span.bars() == 0 { 0.0 } else { sum(span) })
            .collect()
    }
}

/// How unique each label is among all of `spans`: the mean over its bars of one divided by the
/// number of labels that share the bar. In (0, 1]; 1 means that no other label shares a bar.
/// A span that ends where it starts gives 1.
#[must_use]
pub fn average_uniqueness(spans: &[LabelSpan]) -> Vec<f64> {
    let sums = concurrency(spans).shared_sums(spans, |_| 1.0);
    spans
        .iter()
        .zip(sums)
        .map(|(span, sum)| match span.bars() {
            0 => 1.0,
            bars => sum / bars as f64,
        })
        .collect()
}
