//! Recursive averages, with the seeding of TA-Lib.
//!
//! Their step `e[t] = keep e[t - 1] + weight x[t]` waits for the one before it. Once there are
//! values enough, four steps are taken in one: `e[t] = keep^4 e[t - 4] + weight f[t]`, which is the
//! same number and does not wait for the three before it. `f` is found in pairs:
//! `p[t] = x[t] + keep x[t - 1]` and `f[t] = p[t] + keep^2 p[t - 2]`. Four values are then found
//! side by side.

use std::fmt::Debug;
use std::marker::PhantomData;

use crate::features::state::{State, StateError, StateReader, StateWriter};
use crate::features::wide::wide;

/// Steps that are taken in one.
pub(in crate::features) const STEPS: usize = 4;

/// Values of a chain that go through one stage before the next stage has its turn: while a stage
/// waits for itself, the processor has the next ones at work.
pub(in crate::features) const TOGETHER: usize = 8 * STEPS;

/// What a step weighs.
#[derive(Debug, Clone, Copy, Default)]
struct Weights {
    keep: f64,
    /// `keep^2`.
    keep_two: f64,
    /// `keep^4`.
    keep_all: f64,
    weight: f64,
}

impl Weights {
    /// That sum to what is not kept.
    fn mean(weight: f64) -> Self {
        let mut new = Self::new(1.0 - weight, weight);
        let pair = 1.0 + new.keep;
        // An average of equal values is that value, however slow it is.
        new.keep_all = 1.0 - weight * (pair + new.keep_two * pair);
        new
    }

    fn new(keep: f64, weight: f64) -> Self {
        let keep_two = keep * keep;
        Self {
            keep,
            keep_two,
            keep_all: keep_two * keep_two,
            weight,
        }
    }
}

/// The recursion, after its seed.
#[derive(Debug, Clone)]
struct Recursion {
    weights: Weights,
    /// Steps since the seed, at most three.
    steps: usize,
    /// The last averages, oldest first.
    averages: [f64; STEPS],
    /// The last two pairs, oldest first, and the last value.
    pairs: [f64; 2],
    value: f64,
}

impl Recursion {
    fn new(weights: Weights) -> Self {
        Self {
            weights,
            steps: 0,
            averages: [0.0; STEPS],
            pairs: [0.0; 2],
            value: 0.0,
        }
    }

    /// The newest average.
    #[inline(always)]
    fn newest(&self) -> f64 {
        self.averages[STEPS - 1]
    }

    /// Begins with an average.
    #[inline(always)]
    fn begin(&mut self, average: f64) {
        self.averages[STEPS - 1] = average;
    }

    /// Whether four steps are taken in one.
    #[inline(always)]
    fn is_fast(&self) -> bool {
        self.steps == STEPS - 1
    }

    #[inline(always)]
    fn push(&mut self, value: f64) -> f64 {
        let Weights {
            keep,
            keep_two,
            keep_all,
            weight,
        } = self.weights;
        let [oldest, second, first, newest] = self.averages;
        let [before, last] = self.pairs;
        let pair = value + keep * self.value;
        let average = if self.is_fast() {
            weight * (pair + keep_two * before) + keep_all * oldest
        } else {
            self.steps += 1;
            keep * newest + weight * value
        };
        self.averages = [second, first, newest, average];
        self.pairs = [last, pair];
        self.value = value;
        average
    }

    /// [`Recursion::push`] of each value.
    #[inline(always)]
    fn push_all(&mut self, values: &[f64], averages: &mut [f64]) {
        let slow = (STEPS - 1 - self.steps).min(values.len());
        for (value, average) in values[..slow].iter().zip(&mut *averages) {
            *average = self.push(*value);
        }
        let (fours, rest) = values[slow..].as_chunks();
        let (of_fours, of_rest) = averages[slow..].as_chunks_mut();
        if self.is_fast() {
            let mut held = self.fours();
            held.step_fours(fours, of_fours);
            self.go_on(&held);
        }
        for (value, average) in rest.iter().zip(of_rest) {
            *average = self.push(*value);
        }
    }

    #[inline(always)]
    fn fours(&self) -> Fours {
        let [before, last] = self.pairs;
        Fours {
            weights: self.weights,
            averages: self.averages,
            pairs: [0.0, 0.0, before, last],
            values: [0.0, 0.0, 0.0, self.value],
        }
    }

    /// Goes on after a multiple of four values.
    #[inline(always)]
    fn go_on(&mut self, after: &Fours) {
        self.averages = after.averages;
        [_, _, self.pairs[0], self.pairs[1]] = after.pairs;
        self.value = after.values[STEPS - 1];
    }
}

/// An average on its way through a column, four values at a time.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::features) struct Fours {
    weights: Weights,
    /// Of the last step, oldest first.
    averages: [f64; STEPS],
    pairs: [f64; STEPS],
    values: [f64; STEPS],
}

impl Fours {
    /// Adds four values; the averages after each.
    #[inline(always)]
    pub(in crate::features) fn step(&mut self, values: [f64; STEPS]) -> [f64; STEPS] {
        let weights = self.weights;
        let [a, b, c, _] = values;
        let before = [self.values[3], a, b, c];
        let pairs: [f64; STEPS] =
            std::array::from_fn(|lane| values[lane] + weights.keep * before[lane]);
        let before = [self.pairs[2], self.pairs[3], pairs[0], pairs[1]];
        for lane in 0..STEPS {
            let four = pairs[lane] + weights.keep_two * before[lane];
            let kept = weights.keep_all * self.averages[lane];
            self.averages[lane] = weights.weight * four + kept;
        }
        self.pairs = pairs;
        self.values = values;
        self.averages
    }

    /// [`Fours::step`] of each four values.
    #[inline(always)]
    fn step_fours(&mut self, values: &[[f64; STEPS]], averages: &mut [[f64; STEPS]]) {
        // In the processor's registers.
        let mut held = *self;
        for (average, value) in averages.iter_mut().zip(values) {
            *average = held.step(*value);
        }
        *self = held;
    }
}

impl State for Recursion {
    fn save(&self, to: &mut StateWriter) {
        self.steps.save(to);
        self.averages.save(to);
        self.pairs.save(to);
        self.value.save(to);
    }

    fn load(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        self.steps.load(from)?;
        self.averages.load(from)?;
        self.pairs.load(from)?;
        self.value.load(from)?;
        (self.steps < STEPS)
            .then_some(())
            .ok_or(StateError::Damaged("steps that no average takes"))
    }
}

/// What makes one recursive average differ from another one.
pub(in crate::features) trait Weighting: Debug + Clone + Send + Sync {
    /// What is known before the first value.
    fn plan(period: usize) -> Plan;
}

/// How an average begins and goes on.
#[derive(Debug, Clone)]
pub(in crate::features) struct Plan {
    /// Values whose sum over `divisor` is the seed.
    seed_values: usize,
    divisor: f64,
    /// Whether the seed is shown.
    shows_seed: bool,
    recursion: Recursion,
}

/// Exponential: weight `2 / (period + 1)`, seeded with the mean of the first `period` values.
#[derive(Debug, Clone)]
pub(in crate::features) struct Exponential;

impl Weighting for Exponential {
    fn plan(period: usize) -> Plan {
        Plan::mean(period, 2.0 / (period as f64 + 1.0))
    }
}

/// Wilder's: weight `1 / period`, seeded with the mean of the first `period` values.
#[derive(Debug, Clone)]
pub(in crate::features) struct Wilder;

impl Weighting for Wilder {
    fn plan(period: usize) -> Plan {
        Plan::mean(period, 1.0 / period as f64)
    }
}

/// Wilder's running sum: `s - s / period + x`, seeded with the first `period - 1` values.
#[derive(Debug, Clone)]
pub(in crate::features) struct WilderTotal;

impl Weighting for WilderTotal {
    fn plan(period: usize) -> Plan {
        Plan {
            seed_values: period - 1,
            divisor: 1.0,
            shows_seed: false,
            recursion: Recursion::new(Weights::new(1.0 - 1.0 / period as f64, 1.0)),
        }
    }
}

impl Plan {
    fn mean(period: usize, weight: f64) -> Self {
        Self {
            seed_values: period,
            divisor: period as f64,
            shows_seed: true,
            recursion: Recursion::new(Weights::mean(weight)),
        }
    }
}

/// A recursive average.
#[derive(Debug, Clone)]
pub(in crate::features) struct Average<W> {
    plan: Plan,
    seen: usize,
    weighting: PhantomData<W>,
}

/// Exponential average, as TA-Lib seeds it.
pub(in crate::features) type Ema = Average<Exponential>;
/// Wilder's average.
pub(in crate::features) type WilderMean = Average<Wilder>;
/// Wilder's running sum.
pub(in crate::features) type WilderSum = Average<WilderTotal>;

impl<W: Weighting> Average<W> {
    pub(in crate::features) fn new(period: usize) -> Self {
        Self {
            plan: W::plan(period),
            seen: 0,
            weighting: PhantomData,
        }
    }

    /// Adds a value; the average once there are values enough for its seed.
    #[inline]
    pub(in crate::features) fn push(&mut self, value: f64) -> Option<f64> {
        if self.seen < self.plan.seed_values {
            return self.push_seed(value);
        }
        Some(self.plan.recursion.push(value))
    }

    fn push_seed(&mut self, value: f64) -> Option<f64> {
        let plan = &mut self.plan;
        self.seen += 1;
        let total = plan.recursion.newest() + value;
        if self.seen < plan.seed_values {
            plan.recursion.begin(total);
            return None;
        }
        let seed = total / plan.divisor;
        plan.recursion.begin(seed);
        plan.shows_seed.then_some(seed)
    }

    /// How many values are missing until [`Average::push`] gives something.
    pub(in crate::features) fn missing(&self) -> usize {
        let left = self.plan.seed_values - self.seen;
        left.saturating_sub(usize::from(self.plan.shows_seed))
    }

    /// Whether four values are taken at a time ([`Average::fours`]).
    #[inline(always)]
    pub(in crate::features) fn is_fast(&self) -> bool {
        self.missing() == 0 && self.plan.recursion.is_fast()
    }

    /// Itself for four values at a time, once it is far enough from its seed. It has to go on
    /// ([`Average::go_on`]) after them.
    #[inline(always)]
    pub(in crate::features) fn fours(&self) -> Option<Fours> {
        self.is_fast().then(|| self.plan.recursion.fours())
    }

    /// Goes on after what [`Average::fours`] gave has taken in values.
    #[inline(always)]
    pub(in crate::features) fn go_on(&mut self, after: &Fours) {
        self.plan.recursion.go_on(after);
    }

    /// The averages after each of `values`, NaN where there is none yet.
    pub(in crate::features) fn push_all(&mut self, values: &[f64], averages: &mut [f64]) {
        let left = (self.plan.seed_values - self.seen).min(values.len());
        let (seeds, values) = values.split_at(left);
        let (first, averages) = averages.split_at_mut(left);
        for (value, average) in seeds.iter().zip(first) {
            *average = self.push_seed(*value).unwrap_or(f64::NAN);
        }
        let recursion = &mut self.plan.recursion;
        wide(
            #[inline(always)]
            || recursion.push_all(values, averages),
        );
    }
}

impl<W> State for Average<W> {
    fn save(&self, to: &mut StateWriter) {
        self.seen.save(to);
        self.plan.recursion.save(to);
    }

    fn load(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        self.seen.load(from)?;
        self.plan.recursion.load(from)?;
        (self.seen <= self.plan.seed_values)
            .then_some(())
            .ok_or(StateError::Damaged("more values than a seed has"))
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

    /// Whether the next value has one of each stage.
    pub(in crate::features) fn is_warm(&self) -> bool {
        self.0.iter().all(|stage| stage.missing() == 0)
    }

    /// Whether four values are taken at a time ([`EmaChain::fours`]).
    #[inline(always)]
    pub(in crate::features) fn is_fast(&self) -> bool {
        self.0.iter().all(Average::is_fast)
    }

    /// Its stages for four values at a time, once all are far enough from their seeds. The chain
    /// has to go on ([`EmaChain::go_on`]) after them.
    #[inline(always)]
    pub(in crate::features) fn fours(&self) -> Option<[Fours; STAGES]> {
        let stages = self.0.each_ref();
        self.is_fast()
            .then(|| stages.map(|stage| stage.plan.recursion.fours()))
    }

    /// Goes on after what [`EmaChain::fours`] gave has taken in values.
    #[inline(always)]
    pub(in crate::features) fn go_on(&mut self, after: &[Fours; STAGES]) {
        for (stage, after) in self.0.iter_mut().zip(after) {
            stage.go_on(after);
        }
    }

    /// The values of each stage after each of `values`, where nothing is missing.
    #[inline(always)]
    pub(in crate::features) fn push_all(
        &mut self,
        values: &[f64],
        mut stages: [&mut [f64]; STAGES],
    ) {
        let mut begin = 0;
        if let Some(mut held) = self.fours() {
            let fast = values.len() - values.len() % STEPS;
            while begin < fast {
                let end = (begin + TOGETHER).min(fast);
                let mut input = &values[begin..end];
                for (stage, column) in held.iter_mut().zip(&mut stages) {
                    let output = &mut column[begin..end];
                    stage.step_fours(input.as_chunks().0, output.as_chunks_mut().0);
                    input = output;
                }
                begin = end;
            }
            self.go_on(&held);
        }
        let mut input = &values[begin..];
        for (stage, column) in self.0.iter_mut().zip(stages) {
            let output = &mut column[begin..];
            stage.push_all(input, output);
            input = output;
        }
    }
}

impl<const STAGES: usize> State for EmaChain<STAGES> {
    fn save(&self, to: &mut StateWriter) {
        self.0.save(to);
    }

    fn load(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        self.0.load(from)
    }
}
