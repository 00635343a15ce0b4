//! Recursive averages, with the seeding of TA-Lib.
//!
//! Their step `e[t] = keep e[t - 1] + weight x[t]` waits for the one before it. Once there are
//! values enough, four steps are taken in one: `e[t] = keep^4 e[t - 4] + weight (x[t] +
//! keep x[t - 1] + keep^2 x[t - 2] + keep^3 x[t - 3])`, which is the same number and does not wait
//! for the three before it. Four values are then found side by side.

use std::fmt::Debug;
use std::marker::PhantomData;

use crate::features::state::{State, StateError, StateReader, StateWriter};
use crate::features::wide::wide;

/// Steps that are taken in one.
const STEPS: usize = 4;

/// The recursion, after its seed.
#[derive(Debug, Clone)]
struct Recursion {
    keep: f64,
    weight: f64,
    /// `keep^4`.
    keep_all: f64,
    /// Of the newest value and those before it.
    weights: [f64; STEPS],
    /// Steps since the seed, at most three.
    steps: usize,
    /// The place of the next one below.
    next: usize,
    /// The last averages, the oldest at `next`.
    averages: [f64; STEPS],
    /// The last values, likewise.
    values: [f64; STEPS],
}

impl Recursion {
    /// With weights that sum to what is not kept.
    fn mean(weight: f64) -> Self {
        let mut new = Self::new(1.0 - weight, weight);
        // An average of equal values is that value, however slow it is.
        new.keep_all = 1.0 - new.weights.iter().sum::<f64>();
        new
    }

    fn new(keep: f64, weight: f64) -> Self {
        let square = keep * keep;
        Self {
            keep,
            weight,
            keep_all: square * square,
            weights: [1.0, keep, square, square * keep].map(|kept| weight * kept),
            steps: 0,
            next: 0,
            averages: [0.0; STEPS],
            values: [0.0; STEPS],
        }
    }

    /// The place `later` places after `next`.
    #[inline(always)]
    fn place(&self, later: usize) -> usize {
        (self.next + later) % STEPS
    }

    /// The newest average.
    #[inline(always)]
    fn newest(&self) -> f64 {
        self.averages[self.place(STEPS - 1)]
    }

    /// Begins with an average.
    #[inline(always)]
    fn begin(&mut self, average: f64) {
        self.averages[self.place(STEPS - 1)] = average;
    }

    /// Whether four steps are taken in one.
    #[inline(always)]
    fn is_fast(&self) -> bool {
        self.steps == STEPS - 1
    }

    #[inline(always)]
    fn push(&mut self, value: f64) -> f64 {
        let place = self.place(0);
        let average = if self.is_fast() {
            let before = [1, 2, 3].map(|later| self.values[self.place(later)]);
            let [third, second, first] = before;
            self.combine([third, second, first, value], self.averages[place])
        } else {
            self.steps += 1;
            self.keep * self.newest() + self.weight * value
        };
        self.averages[place] = average;
        self.values[place] = value;
        self.next = self.place(1);
        average
    }

    /// Four steps from an average on, over the four values after it.
    #[inline(always)]
    fn combine(&self, [third, second, first, value]: [f64; STEPS], from: f64) -> f64 {
        let [newest, before, second_before, third_before] = self.weights;
        let newer = newest * value + before * first;
        let older = second_before * second + third_before * third;
        (newer + older) + self.keep_all * from
    }

    /// [`Recursion::push`] of each value.
    #[inline(always)]
    fn push_all(&mut self, values: &[f64], averages: &mut [f64]) {
        let slow = if self.is_fast() {
            0
        } else {
            STEPS - 1 - self.steps
        };
        let slow = slow.min(values.len());
        for (value, average) in values[..slow].iter().zip(&mut *averages) {
            *average = self.push(*value);
        }
        let (values, averages) = (&values[slow..], &mut averages[slow..]);
        let (fours, rest) = values.as_chunks();
        let (of_fours, of_rest) = averages.as_chunks_mut();
        if self.is_fast() {
            let mut held = self.fours();
            for (found, four) in of_fours.iter_mut().zip(fours) {
                *found = held.step(*four);
            }
            self.go_on(&held);
        }
        for (value, average) in rest.iter().zip(of_rest) {
            *average = self.push(*value);
        }
    }

    #[inline(always)]
    fn fours(&self) -> Fours {
        let places = [0, 1, 2, 3].map(|later| self.place(later));
        Fours {
            weights: self.weights,
            keep_all: self.keep_all,
            values: places.map(|place| self.values[place]),
            averages: places.map(|place| self.averages[place]),
        }
    }

    /// Goes on after a multiple of four values.
    #[inline(always)]
    fn go_on(&mut self, after: &Fours) {
        for later in 0..STEPS {
            let place = self.place(later);
            self.values[place] = after.values[later];
            self.averages[place] = after.averages[later];
        }
    }
}

/// An average on its way through a column, four values at a time.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::features) struct Fours {
    weights: [f64; STEPS],
    keep_all: f64,
    /// The last values and averages, oldest first.
    values: [f64; STEPS],
    averages: [f64; STEPS],
}

impl Fours {
    /// Adds four values; the averages after each.
    #[inline(always)]
    pub(in crate::features) fn step(&mut self, values: [f64; STEPS]) -> [f64; STEPS] {
        let [_, third, second, first] = self.values;
        let [a, b, c, _] = values;
        let one_back = [first, a, b, c];
        let two_back = [second, first, a, b];
        let three_back = [third, second, first, a];
        let [newest, before, second_before, third_before] = self.weights;
        for lane in 0..STEPS {
            let newer = newest * values[lane] + before * one_back[lane];
            let older = second_before * two_back[lane] + third_before * three_back[lane];
            self.averages[lane] = (newer + older) + self.keep_all * self.averages[lane];
        }
        self.values = values;
        self.averages
    }
}

impl State for Recursion {
    fn save(&self, to: &mut StateWriter) {
        self.steps.save(to);
        self.next.save(to);
        self.averages.save(to);
        self.values.save(to);
    }

    fn load(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        self.steps.load(from)?;
        self.next.load(from)?;
        self.averages.load(from)?;
        self.values.load(from)?;
        (self.steps < STEPS && self.next < STEPS)
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
            recursion: Recursion::new(1.0 - 1.0 / period as f64, 1.0),
        }
    }
}

impl Plan {
    fn mean(period: usize, weight: f64) -> Self {
        Self {
            seed_values: period,
            divisor: period as f64,
            shows_seed: true,
            recursion: Recursion::mean(weight),
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

    /// Itself for four values at a time, once it is far enough from its seed. It has to go on
    /// ([`Average::go_on`]) after them.
    #[inline(always)]
    pub(in crate::features) fn fours(&self) -> Option<Fours> {
        let is_fast = self.missing() == 0 && self.plan.recursion.is_fast();
        is_fast.then(|| self.plan.recursion.fours())
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

    /// The values of each stage after each of `values`, where nothing is missing.
    #[inline(always)]
    pub(in crate::features) fn push_all(&mut self, values: &[f64], stages: [&mut [f64]; STAGES]) {
        let mut input = values;
        for (stage, output) in self.0.iter_mut().zip(stages) {
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
