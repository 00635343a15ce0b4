//! What validation answers with: every problem of a configuration at once, each under its key.
//!
//! It describes, it never repairs: a value out of range is reported, never clamped.

use std::fmt;

/// One thing that is wrong in a configuration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The key below the section that was validated, such as `fee_bps`.
    pub key: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.key, self.message)
    }
}

/// Gathers the problems of one configuration section.
#[derive(Debug, Default)]
pub(crate) struct Problems(Vec<Problem>);

impl Problems {
    /// Reports `key` unless `holds`.
    pub(crate) fn require(&mut self, holds: bool, key: &str, message: impl Into<String>) {
        if !holds {
            self.0.push(Problem {
                key: key.to_owned(),
                message: message.into(),
            });
        }
    }

    /// Reports `key` unless `value` lies between `low` and `high`, both allowed. A value that is
    /// not a number never does.
    pub(crate) fn within(&mut self, key: &str, value: f64, (low, high): (f64, f64)) {
        let message = format!("is {value}; it must be from {low} to {high}");
        self.require((low..=high).contains(&value), key, message);
    }

    /// Reports `key` unless `value` is above zero and at most `high`.
    pub(crate) fn above_zero(&mut self, key: &str, value: f64, high: f64) {
        let message = format!("is {value}; it must be above 0 and at most {high}");
        self.require(value > 0.0 && value <= high, key, message);
    }

    /// Takes over the problems of a section within this one.
    pub(crate) fn extend(&mut self, section: &str, problems: Vec<Problem>) {
        self.0.extend(problems.into_iter().map(|problem| Problem {
            key: format!("{section}.{}", problem.key),
            message: problem.message,
        }));
    }

    pub(crate) fn into_vec(self) -> Vec<Problem> {
        self.0
    }
}

/// The problems as one line each, for error messages.
pub(crate) fn lines(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
    lines.join("; ")
}

/// Millionths of a basis point in a `fraction` that validation has accepted.
pub(crate) fn micro_bps_of_fraction(fraction: f64) -> i64 {
    (fraction * 1e10).round() as i64
}

/// Millionths of a basis point in `bps` that validation has accepted.
pub(crate) fn micro_bps_of_bps(bps: f64) -> i64 {
    (bps * 1e6).round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn not_a_number_is_a_problem_of_every_range() {
        let mut problems = Problems::default();
        problems.within("a", f64::NAN, (0.0, 1.0));
        problems.above_zero("b", f64::NAN, 1.0);
        problems.within("c", 1.0, (0.0, 1.0));
        let keys: Vec<String> = problems.into_vec().into_iter().map(|p| p.key).collect();
        assert_eq!(keys, ["a", "b"]);
    }

    #[test]
    fn nested_problems_name_their_section() {
        let mut outer = Problems::default();
        let mut inner = Problems::default();
        inner.above_zero("fee_bps", -1.0, 10.0);
        outer.extend("execution", inner.into_vec());
        let text = lines(&outer.into_vec());
        assert_eq!(
            text,
            "`execution.fee_bps` is -1; it must be above 0 and at most 10"
        );
    }
}
