//! Thins a curve for drawing: the lowest and highest point of every bucket stay, so that no spike
//! is lost, and one that is not defined, so that no gap is. Numbers in the report never come from
//! here.

/// Positions to keep of several aligned series, ascending, at most `limit` of them.
///
/// The first and the last position always stay (`limit` is taken as at least 2).
pub(super) fn keep(series: &[&[f64]], limit: usize) -> Vec<usize> {
    let length = series.iter().map(|values| values.len()).min().unwrap_or(0);
    if length <= limit.max(2) {
        return (0..length).collect();
    }
    let inner = length - 2;
    let buckets = (limit.saturating_sub(2) / (3 * series.len())).min(inner);
    let mut kept = vec![0, length - 1];
    for bucket in 0..buckets {
        let from = 1 + bucket * inner / buckets;
        let to = 1 + (bucket + 1) * inner / buckets;
        for values in series {
            let order = |a: &usize, b: &usize| values[*a].total_cmp(&values[*b]);
            let defined = || (from..to).filter(|at| values[*at].is_finite());
            kept.extend(defined().min_by(order));
            kept.extend(defined().max_by(order));
            kept.extend((from..to).find(|at| !values[*at].is_finite()));
        }
    }
    kept.sort_unstable();
    kept.dedup();
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(length: usize, scale: f64) -> Vec<f64> {
        (0..length)
            .map(|at| (at as f64 * 0.01).sin() * scale)
            .collect()
    }

    #[test]
    fn short_curves_stay_whole() {
        assert_eq!(keep(&[&[1.0, 2.0, 3.0]], 4_000), vec![0, 1, 2]);
        assert!(keep(&[&[]], 4_000).is_empty());
        assert!(keep(&[], 4_000).is_empty());
    }

    #[test]
    fn one_bar_spikes_of_every_series_survive() {
        let (mut first, mut second) = (wave(50_000, 1.0), wave(50_000, -2.0));
        first[12_345] = 99.0;
        second[33_333] = -99.0;
        let kept = keep(&[&first, &second], 4_000);
        assert!(kept.len() <= 4_000 && kept.len() > 1_200, "{}", kept.len());
        assert!(kept.contains(&12_345) && kept.contains(&33_333));
        assert!(kept.contains(&0) && kept.contains(&49_999));
        assert!(kept.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn a_gap_survives_and_hides_no_spike() {
        let mut curve = wave(50_000, 1.0);
        curve[..9_000].fill(f64::NAN);
        curve[20_000] = f64::NAN;
        curve[20_001] = 99.0;
        let kept = keep(&[&curve], 3_000);
        assert!(kept.len() <= 3_000);
        assert!(kept.contains(&20_000) && kept.contains(&20_001));
        let gaps = kept.iter().filter(|at| curve[**at].is_nan()).count();
        assert!(gaps > 100, "{gaps}");
    }

    #[test]
    fn the_limit_holds_at_its_edges() {
        let curve = wave(1_000, 1.0);
        for limit in [0, 2, 3, 5, 999, 1_000] {
            assert!(keep(&[&curve], limit).len() <= limit.max(2), "{limit}");
        }
    }
}
