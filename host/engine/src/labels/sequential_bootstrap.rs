//! The sequential bootstrap (M. Lopez de Prado, Advances in Financial Machine Learning, 4.5).
//!
//! Each draw prefers labels that share few bars with those already drawn: the probability of label
//! `i` is in proportion to the mean over its bars of `1 / (1 + labels drawn that share the bar)`.
//! The book recomputes all of them at each draw, which costs labels x bars. A draw changes only
//! labels that overlap with the drawn one, so here it costs in proportion to those, plus a step
//! down a tree of sums.

use rand_core::Rng;

use super::LabelSpan;

/// A bootstrap that goes on drawing, with replacement.
#[derive(Debug, Clone)]
pub struct SequentialBootstrap {
    /// By start, then end.
    spans: Vec<LabelSpan>,
    /// Position of each sorted span among those that were given.
    original: Vec<usize>,
    longest: usize,
    first_bar: usize,
    /// Labels drawn so far that share each bar.
    drawn: Vec<u32>,
    tree: SumTree,
}

impl SequentialBootstrap {
    /// A bootstrap over `spans` that has drawn nothing: all are as likely.
    #[must_use]
    pub fn new(spans: &[LabelSpan]) -> Self {
        let mut original: Vec<usize> = (0..spans.len()).collect();
        original.sort_by_key(|at| (spans[*at].start_bar, spans[*at].end_bar));
        let sorted: Vec<LabelSpan> = original.iter().map(|at| spans[*at]).collect();
        let first_bar = sorted.first().map_or(0, |span| span.start_bar);
        let last = sorted.iter().map(|span| span.end_bar).max().unwrap_or(0);
        Self {
            longest: sorted.iter().map(LabelSpan::bars).max().unwrap_or(0),
            tree: SumTree::new(vec![1.0; sorted.len()]),
            drawn: vec![0; (last + 1).saturating_sub(first_bar)],
            spans: sorted,
            original,
            first_bar,
        }
    }

    /// The probability of each span at the next draw, in the order in which they were given.
    #[must_use]
    pub fn probabilities(&self) -> Vec<f64> {
        let mut all = vec![0.0; self.spans.len()];
        for (sorted, at) in self.original.iter().enumerate() {
            all[*at] = self.tree.value(sorted) / self.tree.total();
        }
        all
    }

    /// Draws one span and gives its position among those that were given; `None` without spans.
    pub fn draw(&mut self, random: &mut impl Rng) -> Option<usize> {
        if self.spans.is_empty() {
            return None;
        }
        // 53 random bits, the spacing of doubles below one.
        let uniform = (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        let sorted = self.tree.find(uniform * self.tree.total());
        self.add(sorted);
        Some(self.original[sorted])
    }

    /// Counts the span at `position` among those that were given as drawn.
    pub fn take(&mut self, position: usize) {
        if let Some(sorted) = self.original.iter().position(|at| *at == position) {
            self.add(sorted);
        }
    }

    fn add(&mut self, sorted: usize) {
        let LabelSpan { start_bar, end_bar } = self.spans[sorted];
        if end_bar <= start_bar {
            return;
        }
        for count in &mut self.drawn[start_bar + 1 - self.first_bar..=end_bar - self.first_bar] {
            *count += 1;
        }
        // Spans that start a longest span or more before the drawn one end before it begins.
        let earliest = (start_bar + 1).saturating_sub(self.longest);
        let from = self.spans.partition_point(|span| span.start_bar < earliest);
        let to = self.spans.partition_point(|span| span.start_bar < end_bar);
        let near = &self.spans[from..to];
        let first = near.first().map_or(start_bar, |span| span.start_bar);
        let last = near
            .iter()
            .map(|span| span.end_bar)
            .fold(end_bar, usize::max);
        // `shares[i]` is the sum of one over one more than the drawn labels, over bars up to
        // `first + i`, the bar `first` left out.
        let mut shares = Vec::with_capacity(last - first + 1);
        let mut total = 0.0;
        shares.push(0.0);
        for count in &self.drawn[first + 1 - self.first_bar..=last - self.first_bar] {
            total += 1.0 / (1.0 + f64::from(*count));
            shares.push(total);
        }
        let uniqueness = |span: &LabelSpan| match span.bars() {
            0 => 1.0,
            bars => (shares[span.end_bar - first] - shares[span.start_bar - first]) / bars as f64,
        };
        let values: Vec<f64> = near.iter().map(uniqueness).collect();
        self.tree.set(from, &values);
    }
}

/// Values with the sums of all halves, quarters and so on, so that a running total is found in
/// logarithmic time.
#[derive(Debug, Clone)]
struct SumTree {
    count: usize,
    /// Leaves before padding begin here; node `i` is the sum of `2 i` and `2 i + 1`.
    leaves: usize,
    nodes: Vec<f64>,
}

impl SumTree {
    fn new(values: Vec<f64>) -> Self {
        let leaves = values.len().next_power_of_two();
        let mut tree = Self {
            count: values.len(),
            leaves,
            nodes: vec![0.0; 2 * leaves],
        };
        tree.set(0, &values);
        tree
    }

    fn total(&self) -> f64 {
        self.nodes[1]
    }

    fn value(&self, at: usize) -> f64 {
        self.nodes[self.leaves + at]
    }

    /// Replaces the values from `from` on and renews the sums above them.
    fn set(&mut self, from: usize, values: &[f64]) {
        if values.is_empty() {
            return;
        }
        let mut low = self.leaves + from;
        let mut high = low + values.len() - 1;
        self.nodes[low..=high].copy_from_slice(values);
        while low > 1 {
            (low, high) = (low / 2, high / 2);
            for node in low..=high {
                self.nodes[node] = self.nodes[2 * node] + self.nodes[2 * node + 1];
            }
        }
    }

    /// The first position whose running total exceeds `target`; the last one with a value where
    /// rounding leaves none.
    fn find(&self, mut target: f64) -> usize {
        let mut node = 1;
        while node < self.leaves {
            node *= 2;
            if target >= self.nodes[node] && self.nodes[node + 1] > 0.0 {
                target -= self.nodes[node];
                node += 1;
            }
        }
        (node - self.leaves).min(self.count.saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    /// The book's loop: every probability anew at every draw.
    fn naive(spans: &[LabelSpan], draws: usize, random: &mut ChaCha8Rng) -> Vec<usize> {
        let bars = spans.iter().map(|span| span.end_bar + 1).max().unwrap();
        let mut drawn = vec![0_u32; bars];
        let mut chosen = Vec::new();
        for _ in 0..draws {
            let weights: Vec<f64> = spans.iter().map(|span| unique(*span, &drawn)).collect();
            let uniform = (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
            let mut rest = uniform * weights.iter().sum::<f64>();
            let mut at = 0;
            while at + 1 < spans.len() && rest >= weights[at] {
                rest -= weights[at];
                at += 1;
            }
            chosen.push(at);
            for count in &mut drawn[spans[at].start_bar + 1..=spans[at].end_bar] {
                *count += 1;
            }
        }
        chosen
    }

    fn unique(span: LabelSpan, drawn: &[u32]) -> f64 {
        let bars = &drawn[span.start_bar + 1..=span.end_bar];
        let shares = bars.iter().map(|count| 1.0 / (1.0 + f64::from(*count)));
        shares.sum::<f64>() / bars.len() as f64
    }

    proptest! {
        #[test]
        fn draws_are_those_of_the_naive_loop(
            shape in prop::collection::vec((0_usize..60, 1_usize..12), 1..40),
            seed: u64,
        ) {
            let mut spans: Vec<LabelSpan> = shape
                .iter()
                .map(|&(start_bar, bars)| LabelSpan { start_bar, end_bar: start_bar + bars })
                .collect();
            // In the order of the sorted spans, so that the same number means the same span.
            spans.sort_by_key(|span| (span.start_bar, span.end_bar));
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let expected = naive(&spans, 60, &mut random);
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let mut bootstrap = SequentialBootstrap::new(&spans);
            let got: Vec<usize> =
                (0..60).filter_map(|_| bootstrap.draw(&mut random)).collect();
            prop_assert_eq!(got, expected);
            let total: f64 = bootstrap.probabilities().iter().sum();
            prop_assert!((total - 1.0).abs() < 1e-12);
        }

        #[test]
        fn sums_stay_exact_under_many_changes(
            changes in prop::collection::vec((0_usize..37, 0.0_f64..5.0), 1..50),
        ) {
            let mut values = vec![1.0; 37];
            let mut tree = SumTree::new(values.clone());
            for (at, value) in changes {
                values[at] = value;
                tree.set(at, &[value]);
            }
            let fresh = SumTree::new(values);
            prop_assert_eq!(tree.nodes, fresh.nodes);
        }
    }

    #[test]
    fn a_drawn_label_makes_its_neighbours_less_likely() {
        let span = |start_bar, end_bar| LabelSpan { start_bar, end_bar };
        // The book's example of 4.5.3: labels over bars 0-2, 2-3 and 4-5, the second drawn.
        let mut bootstrap = SequentialBootstrap::new(&[span(0, 3), span(2, 4), span(4, 6)]);
        bootstrap.take(1);
        let got = bootstrap.probabilities();
        let expected = [5.0 / 14.0, 3.0 / 14.0, 6.0 / 14.0];
        assert!(
            got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12),
            "{got:?}"
        );
        let mut nothing = SequentialBootstrap::new(&[]);
        assert_eq!(nothing.draw(&mut ChaCha8Rng::seed_from_u64(1)), None);
        assert!(nothing.probabilities().is_empty());
    }

    #[test]
    fn years_of_labels_are_drawn_at_once_and_are_more_unique() {
        let spans: Vec<LabelSpan> = (0..20_000)
            .map(|number| LabelSpan {
                start_bar: number * 20,
                end_bar: number * 20 + 24,
            })
            .collect();
        let mut random = ChaCha8Rng::seed_from_u64(5);
        let mut bootstrap = SequentialBootstrap::new(&spans);
        let drawn: Vec<LabelSpan> = (0..spans.len())
            .filter_map(|_| Some(spans[bootstrap.draw(&mut random)?]))
            .collect();
        let plain: Vec<LabelSpan> = (0..spans.len())
            .map(|_| spans[(random.next_u64() % spans.len() as u64) as usize])
            .collect();
        let mean = |spans: &[LabelSpan]| {
            super::super::average_uniqueness(spans).iter().sum::<f64>() / spans.len() as f64
        };
        let (sequential, plain) = (mean(&drawn), mean(&plain));
        assert!(sequential > 1.05 * plain, "{sequential} against {plain}");
    }
}
