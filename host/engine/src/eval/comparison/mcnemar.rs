//! Which of two classifiers is right where only one is (Q. McNemar 1947).

use serde::Serialize;
use statrs::function::erf::erfc;

/// Disagreements below this number are judged by the exact binomial test.
const EXACT_BELOW: u64 = 25;

/// The judgement of two classifiers on the same rows, which it takes as independent: where labels
/// overlap in time they are not, and the p-value is too small.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct McNemar {
    /// Rows where only the first is right.
    pub only_first: u64,
    /// Rows where only the second is right.
    pub only_second: u64,
    /// Two-sided p-value of no difference.
    pub p: f64,
    /// Whether `p` comes from the exact binomial distribution, not from chi-squared with the
    /// continuity correction of A. Edwards (1948).
    pub is_exact: bool,
}

/// Judges the rows where only one of two classifiers is right; `None` where there are none.
#[must_use]
pub fn mcnemar(only_first: u64, only_second: u64) -> Option<McNemar> {
    let total = only_first + only_second;
    if total == 0 {
        return None;
    }
    let is_exact = total < EXACT_BELOW;
    let p = if is_exact {
        binomial_two_sided(only_first.min(only_second), total)
    } else {
        let apart = only_first.abs_diff(only_second) as f64 - 1.0;
        let chi_squared = apart.max(0.0).powi(2) / total as f64;
        // Chi-squared with one degree of freedom is the square of a normal.
        erfc((chi_squared / 2.0).sqrt())
    };
    Some(McNemar {
        only_first,
        only_second,
        p,
        is_exact,
    })
}

/// Twice the probability of at most `few` heads in `total` fair tosses, at most 1.
fn binomial_two_sided(few: u64, total: u64) -> f64 {
    let mut ways = 1.0_f64;
    let mut sum = 1.0;
    for heads in 1..=few {
        ways *= (total - heads + 1) as f64 / heads as f64;
        sum += ways;
    }
    (2.0 * sum / 2.0_f64.powi(total as i32)).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_disagreements_are_judged_exactly() {
        let found = mcnemar(1, 5).unwrap();
        // (C(6,0) + C(6,1)) / 2^6, twice.
        assert!((found.p - 2.0 * 7.0 / 64.0).abs() < 1e-12);
        assert!(found.is_exact);
        assert!((mcnemar(3, 3).unwrap().p - 1.0).abs() < 1e-12);
    }

    #[test]
    fn many_are_judged_by_chi_squared_and_none_says_nothing() {
        let found = mcnemar(40, 20).unwrap();
        assert!(
            !found.is_exact && (0.01..0.02).contains(&found.p),
            "{found:?}"
        );
        assert!((mcnemar(30, 30).unwrap().p - 1.0).abs() < 1e-12);
        assert_eq!(mcnemar(0, 0), None);
    }
}
