//! The state of features as bytes, so that a live run goes on after a restart where it stopped.
//!
//! Only what changes with the bars is written; parameters and formulas come from the feature set.
//! State is therefore read into a fresh operator of the same expression, and whoever stores it puts
//! the digest of the set beside it ([`FeatureExtractor::save`](super::FeatureExtractor::save)).
//! Numbers are little-endian and floats keep every bit.

use std::collections::VecDeque;

use super::Operator;
use crate::types::{Bar, Timestamp};

/// Why state cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The bytes end too early.
    #[error("the saved feature state is cut off; start without it, or from an older copy")]
    CutOff,
    /// A number that no state of this feature has.
    #[error("the saved feature state is damaged ({0}); start without it, or from an older copy")]
    Damaged(&'static str),
}

/// Bytes that state is written to.
#[derive(Debug, Default)]
pub struct StateWriter {
    bytes: Vec<u8>,
}

impl StateWriter {
    /// Adds bytes of a known length.
    pub fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Adds what `write` writes, with its length before it.
    pub fn framed(&mut self, write: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.put(&[0; 8]);
        write(self);
        let length = (self.bytes.len() - start - 8) as u64;
        self.bytes[start..start + 8].copy_from_slice(&length.to_le_bytes());
    }

    /// What was written.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Bytes that state is read from.
#[derive(Debug)]
pub struct StateReader<'a> {
    left: &'a [u8],
}

impl<'a> StateReader<'a> {
    /// A reader from the first of `bytes` on.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { left: bytes }
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// [`StateError::CutOff`] where fewer are left.
    pub fn take<const N: usize>(&mut self) -> Result<[u8; N], StateError> {
        let (taken, left) = self.left.split_first_chunk().ok_or(StateError::CutOff)?;
        self.left = left;
        Ok(*taken)
    }

    /// A number of things that need at least one byte each.
    ///
    /// # Errors
    /// [`StateError`] where there cannot be as many.
    pub fn count(&mut self) -> Result<usize, StateError> {
        let mut count = 0_u64;
        count.load(self)?;
        let fits = usize::try_from(count).ok();
        let fits = fits.filter(|count| *count <= self.left.len());
        fits.ok_or(StateError::Damaged("an impossible count"))
    }

    /// Reads what [`StateWriter::framed`] wrote; `read` must read all of it.
    ///
    /// # Errors
    /// [`StateError`] of `read`, or where it leaves something over.
    pub fn framed(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<(), StateError>,
    ) -> Result<(), StateError> {
        let length = self.count()?;
        let (inner, left) = self.left.split_at(length);
        let mut inner = Self { left: inner };
        read(&mut inner)?;
        self.left = left;
        let is_read = inner.is_at_end();
        is_read
            .then_some(())
            .ok_or(StateError::Damaged("a part of another length"))
    }

    /// The next `length` bytes.
    ///
    /// # Errors
    /// [`StateError::CutOff`] where fewer are left.
    pub fn bytes(&mut self, length: usize) -> Result<&'a [u8], StateError> {
        let taken = self.left.split_at_checked(length);
        let (taken, left) = taken.ok_or(StateError::CutOff)?;
        self.left = left;
        Ok(taken)
    }

    /// Everything that is left.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.left
    }

    /// Whether everything was read.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        self.left.is_empty()
    }
}

/// What changes with the bars, written and read back bit by bit.
pub trait State {
    /// Writes it.
    fn save(&self, to: &mut StateWriter);

    /// Reads it into a fresh value of the same parameters.
    ///
    /// # Errors
    /// [`StateError`] where the bytes are not what [`State::save`] writes; the value is of no use
    /// then.
    fn load(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError>;
}

/// Implements [`State`] by the fields that change with the bars, in this order.
#[macro_export]
macro_rules! state {
    ($($type:ty { $($field:tt),* $(,)? })*) => {$(
        impl $crate::features::State for $type {
            fn save(&self, to: &mut $crate::features::StateWriter) {
                let _ = &to;
                $($crate::features::State::save(&self.$field, to);)*
            }

            fn load(
                &mut self,
                from: &mut $crate::features::StateReader<'_>,
            ) -> ::std::result::Result<(), $crate::features::StateError> {
                let _ = &from;
                $($crate::features::State::load(&mut self.$field, from)?;)*
                Ok(())
            }
        }
    )*};
}

macro_rules! numbers {
    ($($number:ty)*) => {$(
        impl State for $number {
            fn save(&self, to: &mut StateWriter) {
                to.put(&self.to_le_bytes());
            }

            fn load(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
                *self = <$number>::from_le_bytes(from.take()?);
                Ok(())
            }
        }
    )*};
}

numbers!(f64 f32 u64 u32 i64 u8);

impl State for usize {
    fn save(&self, to: &mut StateWriter) {
        (*self as u64).save(to);
    }

    fn load(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        let mut wide = 0_u64;
        wide.load(from)?;
        *self = Self::try_from(wide).map_err(|_| StateError::Damaged("an impossible position"))?;
        Ok(())
    }
}

impl State for bool {
    fn save(&self, to: &mut StateWriter) {
        u8::from(*self).save(to);
    }

    fn load(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        *self = match from.take()? {
            [0] => false,
            [1] => true,
            _ => return Err(StateError::Damaged("neither yes nor no")),
        };
        Ok(())
    }
}

impl<T: State + Default> State for Option<T> {
    fn save(&self, to: &mut StateWriter) {
        self.is_some().save(to);
        if let Some(value) = self {
            value.save(to);
        }
    }

    fn load(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        let mut is_some = false;
        is_some.load(from)?;
        *self = None;
        if is_some {
            self.insert(T::default()).load(from)?;
        }
        Ok(())
    }
}

impl State for Option<Bar> {
    fn save(&self, to: &mut StateWriter) {
        self.is_some().save(to);
        if let Some(bar) = self {
            bar.opened_at.as_nanos().save(to);
            bar.closed_at.as_nanos().save(to);
            [bar.open, bar.high, bar.low, bar.close, bar.volume].save(to);
            [bar.quote_volume, bar.trades, bar.taker_buy_volume].save(to);
        }
    }

    fn load(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        let (mut is_some, mut times) = (false, [0_i64; 2]);
        let (mut prices, mut optional) = ([0.0_f64; 5], [None::<f64>; 3]);
        is_some.load(from)?;
        *self = None;
        if !is_some {
            return Ok(());
        }
        times.load(from)?;
        prices.load(from)?;
        optional.load(from)?;
        let [open, high, low, close, volume] = prices;
        let [quote_volume, trades, taker_buy_volume] = optional;
        *self = Some(Bar {
            opened_at: Timestamp::from_nanos(times[0]),
            closed_at: Timestamp::from_nanos(times[1]),
            open,
            high,
            low,
            close,
            volume,
            quote_volume,
            trades,
            taker_buy_volume,
        });
        Ok(())
    }
}

impl<A: State, B: State> State for (A, B) {
    fn save(&self, to: &mut StateWriter) {
        self.0.save(to);
        self.1.save(to);
    }

    fn load(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        self.0.load(from)?;
        self.1.load(from)
    }
}

impl<T: State, const N: usize> State for [T; N] {
    fn save(&self, to: &mut StateWriter) {
        self.iter().for_each(|one| one.save(to));
    }

    fn load(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        self.iter_mut().try_for_each(|one| one.load(from))
    }
}

impl<T: State + Default> State for Vec<T> {
    fn save(&self, to: &mut StateWriter) {
        self.len().save(to);
        self.iter().for_each(|one| one.save(to));
    }

    fn load(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        self.clear();
        load_each(from, |one| self.push(one))
    }
}

impl<T: State + Default> State for VecDeque<T> {
    fn save(&self, to: &mut StateWriter) {
        self.len().save(to);
        self.iter().for_each(|one| one.save(to));
    }

    fn load(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        self.clear();
        load_each(from, |one| self.push_back(one))
    }
}

fn load_each<T: State + Default>(
    from: &mut StateReader<'_>,
    mut take: impl FnMut(T),
) -> Result<(), StateError> {
    for _ in 0..from.count()? {
        let mut one = T::default();
        one.load(from)?;
        take(one);
    }
    Ok(())
}

impl State for Box<dyn Operator> {
    fn save(&self, to: &mut StateWriter) {
        self.as_ref().save(to);
    }

    fn load(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        self.as_mut().load(from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Default, Clone, PartialEq)]
    struct Everything {
        number: f64,
        place: usize,
        flag: bool,
        maybe: Option<f64>,
        window: Vec<f64>,
        queue: VecDeque<(u64, f64)>,
        pair: [u64; 2],
    }

    state!(Everything {
        number,
        place,
        flag,
        maybe,
        window,
        queue,
        pair,
    });

    fn bytes_of(state: &impl State) -> Vec<u8> {
        let mut writer = StateWriter::default();
        state.save(&mut writer);
        writer.into_bytes()
    }

    fn example() -> Everything {
        Everything {
            number: -0.0,
            place: 7,
            flag: true,
            maybe: Some(f64::MIN_POSITIVE),
            window: vec![1.0, 2.5],
            queue: VecDeque::from([(3, 4.0)]),
            pair: [u64::MAX, 0],
        }
    }

    #[test]
    fn what_was_written_comes_back_and_no_shorter_form_does() {
        let bytes = bytes_of(&example());
        let mut read = Everything::default();
        let mut reader = StateReader::new(&bytes);
        read.load(&mut reader).unwrap();
        assert!(reader.is_at_end());
        assert_eq!(bytes_of(&read), bytes, "every bit");
        for length in 0..bytes.len() {
            let mut reader = StateReader::new(&bytes[..length]);
            assert!(read.load(&mut reader).is_err(), "{length} bytes");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            let _ = Everything::default().load(&mut StateReader::new(&bytes));
        }
    }
}
