//! From sums of leaves to what the library answers, operation by operation as the library does it.
//!
//! The only function that is not plain arithmetic is the exponential: the standard library calls
//! the same one of the system's mathematical library that LightGBM and XGBoost call. XGBoost's sums
//! are f32 in places for f64.

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
    /// The logistic function as XGBoost computes it, in f32.
    SingleLogistic,
    /// Shares of the exponentials as XGBoost computes them, in f32.
    SingleSoftmax,
    /// In ascending order, as XGBoost keeps quantiles from crossing, and as this plugin does for
    /// LightGBM (Chernozhukov, Fernandez-Val and Galichon 2010).
    Ascending,
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
            Self::SingleLogistic => sums
                .iter_mut()
                .for_each(|sum| *sum = f64::from(single_logistic(*sum as f32))),
            Self::SingleSoftmax => single_softmax(sums),
            Self::Ascending => sums.sort_by(f64::total_cmp),
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

/// XGBoost bounds the exponent, so that nothing overflows.
fn single_logistic(sum: f32) -> f32 {
    let exponent = if 88.7 < -sum { 88.7 } else { -sum };
    1.0 / (exponent.exp() + 1.0 + 1e-16)
}

fn single_softmax(sums: &mut [f64]) {
    let largest = sums
        .iter()
        .fold(f32::NEG_INFINITY, |so_far, sum| so_far.max(*sum as f32));
    let mut total = 0.0;
    for sum in sums.iter_mut() {
        *sum = f64::from((*sum as f32 - largest).exp());
        total += *sum;
    }
    for sum in sums {
        *sum = f64::from(*sum as f32 / total as f32);
    }
}
