//! Average uniqueness of labels (M. Lopez de Prado, Advances in Financial Machine Learning, 4.4).

/// The bars whose returns decide a label: those after `start_bar`, up to and including `end_bar`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LabelSpan {
    /// Position of the labelled bar.
    pub start_bar: usize,
    /// Position of the bar that decided the label; after `start_bar`.
    pub end_bar: usize,
}

/// How unique each label is among all of `spans`: the mean over its bars of one divided by the
/// number of labels that share the bar. In (0, 1]; 1 means that no other label shares a bar.
/// A span that ends where it starts gives 1.
#[must_use]
pub fn average_uniqueness(spans: &[LabelSpan]) -> Vec<f64> {
    let first = spans.iter().map(|span| span.start_bar).min().unwrap_or(0);
    let last = spans.iter().map(|span| span.end_bar).max().unwrap_or(0);
    let mut changes = vec![0_i64; last.saturating_sub(first) + 2];
    for span in spans.iter().filter(|span| span.end_bar > span.start_bar) {
        changes[span.start_bar + 1 - first] += 1;
        changes[span.end_bar + 1 - first] -= 1;
    }
    // `shares[i]` is the sum of one over the concurrency of the bars before `first + i`.
    let mut shares = Vec::with_capacity(changes.len() + 1);
    let (mut concurrent, mut total) = (0_i64, 0.0_f64);
    shares.push(0.0);
    for change in changes {
        concurrent += change;
        total += if concurrent > 0 {
            1.0 / concurrent as f64
        } else {
            0.0
        };
        shares.push(total);
    }
    let uniqueness = |span: &LabelSpan| match span.end_bar.checked_sub(span.start_bar) {
        None | Some(0) => 1.0,
        Some(bars) => {
            let sum = shares[span.end_bar + 1 - first] - shares[span.start_bar + 1 - first];
            sum / bars as f64
        }
    };
    spans.iter().map(uniqueness).collect()
}
