//! Several tests at once (S. Holm 1979).

/// The p-values, each raised so that a level holds for all of them together; those that are not
/// defined stay so and count for nothing.
#[must_use]
pub fn holm(p_values: &[Option<f64>]) -> Vec<Option<f64>> {
    let mut order: Vec<(usize, f64)> = p_values
        .iter()
        .enumerate()
        .filter_map(|(at, p)| Some((at, (*p)?)))
        .collect();
    order.sort_by(|a, b| a.1.total_cmp(&b.1));
    let mut adjusted = vec![None; p_values.len()];
    let mut highest = 0.0_f64;
    for (rank, (at, p)) in order.iter().enumerate() {
        let left = (order.len() - rank) as f64;
        highest = highest.max((p * left).min(1.0));
        adjusted[*at] = Some(highest);
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_raised_by_those_that_are_left_and_never_below_one_before() {
        let adjusted = holm(&[Some(0.01), None, Some(0.04), Some(0.03), Some(0.9)]);
        let expected = [Some(0.04), None, Some(0.09), Some(0.09), Some(0.9)];
        for (found, wanted) in adjusted.iter().zip(expected) {
            assert_eq!(found.is_some(), wanted.is_some());
            let (found, wanted) = (found.unwrap_or(0.0), wanted.unwrap_or(0.0));
            assert!((found - wanted).abs() < 1e-12, "{found} {wanted}");
        }
        assert!(holm(&[]).is_empty());
    }
}
