//! From sums of leaves to what the library answers, operation by operation as the library does it.
//!
//! The only function that is not plain arithmetic is the exponential: the standard library calls
//! the same one of the system's mathematical library that LightGBM calls.

/// How sums become answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    /// As they are.
    Identity,
    /// The square with the sign of the sum.
    SignedSquare,
    /// The exponential.
    Exponential,
    /// The logistic function of each sum.
    Logistic,
    /// Shares of the exponentials.
    Softmax,
}

impl Link {
    /// Turns the sums of one row into its answer.
    pub(super) fn apply(self, sums: &mut [f64]) {
        match self {
            Self::Identity => {}
            Self::SignedSquare => sums
                .iter_mut()
                .for_each(|sum| *sum = sign(*sum) * *sum * *sum),
            Self::Exponential => sums.iter_mut().for_each(|sum| *sum = sum.exp()),
            Self::Logistic => sums
                .iter_mut()
                .for_each(|sum| *sum = 1.0 / (1.0 + (-*sum).exp())),
            Self::Softmax => softmax(sums),
        }
    }
}

/// LightGBM's sign: 0 for 0.
fn sign(value: f64) -> f64 {
    f64::from(i8::from(value > 0.0) - i8::from(value < 0.0))
}

fn softmax(sums: &mut [f64]) {
    let largest = |so_far: f64, sum: &f64| if so_far < *sum { *sum } else { so_far };
    let largest = sums.iter().skip(1).fold(sums[0], largest);
    let mut total = 0.0;
    for sum in sums.iter_mut() {
        *sum = (*sum - largest).exp();
        total += *sum;
    }
    for sum in sums {
        *sum /= total;
    }
}
