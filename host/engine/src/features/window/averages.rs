//! Recursive averages, with the seeding of TA-Lib.

/// Exponential average with weight `2 / (period + 1)`, seeded with the mean of the first `period`
/// values, as TA-Lib does.
#[derive(Debug, Clone)]
pub(in crate::features) struct Ema {
    period: usize,
    weight: f64,
    seen: usize,
    value: f64,
}

impl Ema {
    pub(in crate::features) fn new(period: usize) -> Self {
        Self {
            period,
            weight: 2.0 / (period as f64 + 1.0),
            seen: 0,
            value: 0.0,
        }
    }

    #[inline]
    pub(in crate::features) fn push(&mut self, value: f64) -> Option<f64> {
        if self.seen < self.period {
            self.seen += 1;
            self.value += value;
            if self.seen < self.period {
                return None;
            }
            self.value /= self.period as f64;
        } else {
            self.value += (value - self.value) * self.weight;
        }
        Some(self.value)
    }

    /// The averages after each of `values`, NaN where there is none yet.
    pub(in crate::features) fn push_all(&mut self, values: &[f64], averages: &mut [f64]) {
        // A copy stays in registers: the next value waits for no store.
        let mut held = self.clone();
        for (value, average) in values.iter().zip(averages) {
            *average = held.push(*value).unwrap_or(f64::NAN);
        }
        *self = held;
    }
}

/// Exponential averages of one period in a row; each is seeded with the values of the one before.
#[derive(Debug, Clone)]
pub(in crate::features) struct EmaChain<const STAGES: usize>([Ema; STAGES]);

impl<const STAGES: usize> EmaChain<STAGES> {
    pub(in crate::features) fn new(period: usize) -> Self {
        Self(std::array::from_fn(|_| Ema::new(period)))
    }

    /// The value of each stage, once the last one has one.
    #[inline]
    pub(in crate::features) fn push(&mut self, value: f64) -> Option<[f64; STAGES]> {
        let mut values = [value; STAGES];
        let mut input = value;
        for (stage, output) in self.0.iter_mut().zip(&mut values) {
            input = stage.push(input)?;
            *output = input;
        }
        Some(values)
    }
}

impl<const STAGES: usize> crate::features::State for EmaChain<STAGES> {
    fn save(&self, to: &mut crate::features::StateWriter) {
        self.0.save(to);
    }

    fn load(
        &mut self,
        from: &mut crate::features::StateReader<'_>,
    ) -> Result<(), crate::features::StateError> {
        self.0.load(from)
    }
}

/// Wilder's average, weight `1 / period`, seeded with the mean of the first `period` values.
#[derive(Debug, Clone)]
pub(in crate::features) struct WilderMean {
    period: usize,
    weight: f64,
    seen: usize,
    value: f64,
}

impl WilderMean {
    pub(in crate::features) fn new(period: usize) -> Self {
        Self {
            period,
            weight: 1.0 / period as f64,
            seen: 0,
            value: 0.0,
        }
    }

    #[inline]
    pub(in crate::features) fn push(&mut self, value: f64) -> Option<f64> {
        if self.seen < self.period {
            self.seen += 1;
            self.value += value;
            if self.seen < self.period {
                return None;
            }
            self.value *= self.weight;
        } else {
            self.value += (value - self.value) * self.weight;
        }
        Some(self.value)
    }

    /// The averages after each of `values`, NaN where there is none yet.
    pub(in crate::features) fn push_all(&mut self, values: &[f64], averages: &mut [f64]) {
        // A copy stays in registers: the next value waits for no store.
        let mut held = self.clone();
        for (value, average) in values.iter().zip(averages) {
            *average = held.push(*value).unwrap_or(f64::NAN);
        }
        *self = held;
    }
}

/// Wilder's running sum: `s - s / period + x`, seeded with the first `period - 1` values.
#[derive(Debug, Clone)]
pub(in crate::features) struct WilderSum {
    period: usize,
    kept: f64,
    seen: usize,
    value: f64,
}

impl WilderSum {
    pub(in crate::features) fn new(period: usize) -> Self {
        Self {
            period,
            kept: 1.0 - 1.0 / period as f64,
            seen: 0,
            value: 0.0,
        }
    }

    #[inline]
    pub(in crate::features) fn push(&mut self, value: f64) -> Option<f64> {
        if self.seen < self.period - 1 {
            self.seen += 1;
            self.value += value;
            return None;
        }
        self.value = self.value * self.kept + value;
        Some(self.value)
    }
}

crate::state! {
    Ema { seen, value }
    WilderMean { seen, value }
    WilderSum { seen, value }
}
