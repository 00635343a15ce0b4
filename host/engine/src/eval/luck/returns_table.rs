//! The returns of several strategies over the same steps.

/// The returns of at least one strategy, all over the same steps and finite.
#[derive(Debug, Clone, PartialEq)]
pub struct ReturnsTable {
    steps: usize,
    strategies: usize,
    /// Strategy by strategy, each from the first step to the last.
    values: Vec<f64>,
}

/// Returns that cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReturnsTableError {
    /// Nothing to compare.
    #[error("there is no strategy, or no step; give at least one return of one strategy")]
    Empty,
    /// Strategies that do not cover the same steps, or returns that are not numbers.
    #[error("{}", problems.join("; "))]
    Rows {
        /// Every strategy that is wrong, and why.
        problems: Vec<String>,
    },
}

impl ReturnsTable {
    /// From the returns of each strategy.
    ///
    /// # Errors
    /// [`ReturnsTableError`] with every strategy that differs in length from the first or has a
    /// return that is not finite.
    pub fn new<Row: AsRef<[f64]>>(rows: &[Row]) -> Result<Self, ReturnsTableError> {
        let steps = rows.first().map_or(0, |row| row.as_ref().len());
        if steps == 0 {
            return Err(ReturnsTableError::Empty);
        }
        let mut problems = Vec::new();
        for (strategy, row) in rows.iter().enumerate() {
            let row = row.as_ref();
            if row.len() != steps {
                problems.push(format!(
                    "strategy {strategy} has {} returns and strategy 0 has {steps}; all must \
                     cover the same steps",
                    row.len()
                ));
            }
            if let Some(step) = row.iter().position(|value| !value.is_finite()) {
                problems.push(format!(
                    "strategy {strategy} has the return {} at step {step}; it must be finite",
                    row[step]
                ));
            }
        }
        if problems.is_empty() {
            Ok(Self {
                steps,
                strategies: rows.len(),
                values: rows.iter().flat_map(|row| row.as_ref()).copied().collect(),
            })
        } else {
            Err(ReturnsTableError::Rows { problems })
        }
    }

    /// Number of steps.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Number of strategies.
    #[must_use]
    pub fn strategies(&self) -> usize {
        self.strategies
    }

    /// The returns of each strategy.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f64]> {
        self.values.chunks_exact(self.steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wrong_strategy_is_named() {
        let rows = [vec![0.1, 0.2], vec![0.1], vec![0.3, f64::NAN]];
        let told = ReturnsTable::new(&rows).unwrap_err().to_string();
        assert!(told.contains("strategy 1 has 1 returns"), "{told}");
        assert!(
            told.contains("strategy 2 has the return NaN at step 1"),
            "{told}"
        );
        let none: [Vec<f64>; 0] = [];
        assert_eq!(ReturnsTable::new(&none), Err(ReturnsTableError::Empty));
        assert_eq!(
            ReturnsTable::new(&[[0.0; 0]]),
            Err(ReturnsTableError::Empty)
        );
        let table = ReturnsTable::new(&[[0.1, 0.2], [0.3, 0.4]]).unwrap();
        assert_eq!((table.steps(), table.strategies()), (2, 2));
        assert_eq!(table.rows().nth(1), Some([0.3, 0.4].as_slice()));
    }
}
