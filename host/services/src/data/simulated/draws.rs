//! Random numbers that are the same on every machine.
//!
//! The bits come from ChaCha, which is defined exactly. What turns them into numbers uses only IEEE
//! arithmetic and square roots, which are exact everywhere, and the logarithm, exponential and
//! cosine of the `libm` crate, which are plain IEEE code. The system's own mathematics library is
//! never asked: it differs in the last bit from machine to machine.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub(super) struct Draws {
    bits: ChaCha8Rng,
    spare_normal: Option<f64>,
}

impl Draws {
    /// The stream with number `stream` of a seed; streams are independent of each other.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        let mut bits = ChaCha8Rng::seed_from_u64(seed);
        bits.set_stream(stream);
        Self {
            bits,
            spare_normal: None,
        }
    }

    /// Uniform in `[0, 1)`, in steps of 2^-53.
    pub(super) fn uniform(&mut self) -> f64 {
        const STEP: f64 = 1.0 / (1_u64 << 53) as f64;
        (self.bits.next_u64() >> 11) as f64 * STEP
    }

    /// Uniform in `0..count`; 0 where `count` is 0.
    pub(super) fn below(&mut self, count: usize) -> usize {
        let drawn = (self.uniform() * count as f64) as usize;
        drawn.min(count.saturating_sub(1))
    }

    /// Standard normal (Box and Muller 1958).
    pub(super) fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare_normal.take() {
            return spare;
        }
        let radius = (-2.0 * libm::log(1.0 - self.uniform())).sqrt();
        let (sine, cosine) = libm::sincos(std::f64::consts::TAU * self.uniform());
        self.spare_normal = Some(radius * sine);
        radius * cosine
    }

    /// Chi-squared: the sum of `degrees` squared normals.
    pub(super) fn chi_squared(&mut self, degrees: u32) -> f64 {
        (0..degrees)
            .map(|_| {
                let normal = self.normal();
                normal * normal
            })
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normals_have_the_moments_of_a_normal_law() {
        let mut draws = Draws::new(1, 0);
        let count = 200_000;
        let (mut sum, mut square, mut fourth) = (0.0, 0.0, 0.0);
        for _ in 0..count {
            let one = draws.normal();
            sum += one;
            square += one * one;
            fourth += one.powi(4);
        }
        let count = f64::from(count);
        assert!((sum / count).abs() < 0.01);
        assert!((square / count - 1.0).abs() < 0.015);
        assert!((fourth / count - 3.0).abs() < 0.12);
    }

    #[test]
    fn streams_differ_and_repeat() {
        let take = |seed, stream| Draws::new(seed, stream).bits.next_u64();
        assert_eq!(take(1, 0), take(1, 0));
        assert_ne!(take(1, 0), take(1, 1));
        assert_ne!(take(1, 0), take(2, 0));
    }
}
