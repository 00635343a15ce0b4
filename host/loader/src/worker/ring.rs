//! The memory that host and worker share: a ring of two slots, two sequence numbers, two bells.
//!
//! All of it is seen as atomic words, on both sides. So what the other side does to it at any time
//! is defined behaviour, and it has no way to lend a pointer that changes under a reader. The file
//! behind it is sealed: neither side can cut it off and kill the other one with SIGBUS.
#![allow(unsafe_code, reason = "maps memory that two processes share")]

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use rustix::thread::futex;
use rustix::time::Timespec;

use crate::clock::{Clock, SystemClock};

/// Requests that may be on their way at once: the host packs one while the worker computes the
/// other.
pub(crate) const SLOTS: u32 = 2;

/// Words on one cache line.
const LINE: usize = 16;

/// Number of the newest request; written by the host.
pub(crate) const DOORBELL: usize = 0;
/// Number of the newest request that is answered; written by the worker.
pub(crate) const ANSWER: usize = LINE;
/// Not 0 while the worker sleeps until [`DOORBELL`] changes.
pub(crate) const WORKER_SLEEPS: usize = 2 * LINE;
/// Not 0 while the host sleeps until [`ANSWER`] changes.
pub(crate) const HOST_SLEEPS: usize = 3 * LINE;
/// Grows for as long as the idle worker lives.
pub(crate) const BEAT: usize = 4 * LINE;
/// Not 0 where the host asks a fit or an update to stop.
pub(crate) const CANCELLED: usize = 5 * LINE;

const HEADER_WORDS: usize = 8 * LINE;

/// Bytes of an error's text in a slot.
pub(crate) const ERROR_BYTES: usize = 1008;

/// Words of a slot before its values.
const SLOT_HEADER_WORDS: usize = 32 + ERROR_BYTES / 4;

/// The request of a slot: predict its rows.
pub(crate) const PREDICT: u32 = 1;
/// The request of a slot: write the contributions of its rows.
pub(crate) const CONTRIBUTIONS: u32 = 2;
/// The request of a slot: read a message from the socket and answer it there.
pub(crate) const CONTROL: u32 = 3;

/// The rows rebuild state.
pub(crate) const REPLAY: u32 = 1;
/// The frame states the close time of its newest bar.
pub(crate) const EVENT: u32 = 2;
/// The frame states when its answer is due.
pub(crate) const DEADLINE: u32 = 4;
/// The frame states the close time of each row.
pub(crate) const ROW_EVENTS: u32 = 8;
/// The frame states the symbol of each row.
pub(crate) const SYMBOLS: u32 = 16;

/// Places of a slot's words, counted from its first.
pub(crate) mod place {
    pub(crate) const KIND: usize = 0;
    pub(crate) const FLAGS: usize = 1;
    pub(crate) const ROWS: usize = 2;
    pub(crate) const WINDOW: usize = 3;
    pub(crate) const COLUMNS: usize = 4;
    pub(crate) const OUTPUTS: usize = 5;
    pub(crate) const EVENT_NS: usize = 6;
    pub(crate) const DEADLINE_NS: usize = 8;
    pub(crate) const STATUS: usize = 16;
    pub(crate) const ERROR_LEN: usize = 17;
    pub(crate) const ERROR: usize = 32;
}

/// The shape of the rows in a slot; rows and steps lie back to back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PieceShape {
    pub(crate) rows: usize,
    pub(crate) window: usize,
    pub(crate) columns: usize,
    pub(crate) outputs: usize,
    pub(crate) flags: u32,
}

/// Where the values of a slot lie, in words from its first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Places {
    pub(crate) input: usize,
    pub(crate) row_events: usize,
    pub(crate) symbols: usize,
    pub(crate) output: usize,
}

impl PieceShape {
    /// Input values of one row; `None` on overflow.
    pub(crate) fn row_values(&self) -> Option<usize> {
        self.window.checked_mul(self.columns)
    }

    /// Words that one row takes in a slot; `None` on overflow.
    pub(crate) fn row_words(&self) -> Option<usize> {
        let times = if self.flags & ROW_EVENTS == 0 { 0 } else { 2 };
        let symbols = usize::from(self.flags & SYMBOLS != 0);
        let all = self.row_values()?.checked_add(self.outputs)?;
        all.checked_add(times + symbols)
    }

    /// Where the values lie. The shape has passed [`Ring::fits`].
    pub(crate) fn places(&self) -> Places {
        let input = SLOT_HEADER_WORDS;
        let row_events = input + self.rows * self.window * self.columns;
        let has = |flag: u32| if self.flags & flag == 0 { 0 } else { self.rows };
        let symbols = row_events + 2 * has(ROW_EVENTS);
        let output = symbols + has(SYMBOLS);
        Places {
            input,
            row_events,
            symbols,
            output,
        }
    }
}

/// The shared memory.
#[derive(Debug)]
pub(crate) struct Ring {
    start: NonNull<AtomicU32>,
    words: usize,
    slot_words: usize,
}

// SAFETY: the memory is reached through atomic words only.
unsafe impl Send for Ring {}
// SAFETY: as for `Send`.
unsafe impl Sync for Ring {}

impl Ring {
    /// Makes sealed memory whose slots hold `slot_bytes` of values each, and the file to share it.
    pub(crate) fn create(slot_bytes: usize) -> io::Result<(Self, OwnedFd)> {
        let file = memfd_create(
            "fusebox-ring",
            MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING,
        )?;
        let bytes = Self::bytes(slot_bytes).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "ring_bytes is too large")
        })?;
        ftruncate(&file, bytes as u64)?;
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        Ok((Self::map(&file, slot_bytes)?, file))
    }

    fn bytes(slot_bytes: usize) -> Option<usize> {
        let slot = (slot_bytes.div_ceil(4)).checked_add(SLOT_HEADER_WORDS)?;
        let words = slot
            .checked_mul(SLOTS as usize)?
            .checked_add(HEADER_WORDS)?;
        words.checked_mul(4)
    }

    /// Maps memory that [`Ring::create`] made with the same `slot_bytes`.
    pub(crate) fn map(file: impl AsFd, slot_bytes: usize) -> io::Result<Self> {
        let bytes = Self::bytes(slot_bytes).ok_or(Errno::INVAL)?;
        let length = rustix::fs::fstat(&file)?.st_size;
        if u64::try_from(length) != Ok(bytes as u64) {
            return Err(io::Error::other("the shared memory has another size"));
        }
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice touches nobody else's memory.
        let start = unsafe { mmap(ptr::null_mut(), bytes, access, MapFlags::SHARED, file, 0) }?;
        let start = NonNull::new(start.cast()).ok_or(Errno::NOMEM)?;
        Ok(Self {
            start,
            words: bytes / 4,
            slot_words: slot_bytes.div_ceil(4) + SLOT_HEADER_WORDS,
        })
    }

    fn words(&self) -> &[AtomicU32] {
        // SAFETY: the mapping is that long, page-aligned, zeroed at first, and lives as long as
        // `self`; the file behind it is sealed, so it cannot shrink.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.words) }
    }

    /// One of the words of the header.
    pub(crate) fn word(&self, place: usize) -> &AtomicU32 {
        &self.words()[place]
    }

    /// The slot of request `sequence`.
    pub(crate) fn slot(&self, sequence: u32) -> Slot<'_> {
        let start = HEADER_WORDS + (sequence % SLOTS) as usize * self.slot_words;
        Slot(&self.words()[start..start + self.slot_words])
    }

    /// Writes anything anywhere, as a worker can: for the fuzz target.
    pub(super) fn scribble(&self, scribbles: &[(u16, u32)]) {
        let words = self.words();
        for (place, value) in scribbles {
            words[usize::from(*place) % words.len()].store(*value, Ordering::Relaxed);
        }
    }

    /// Words that a slot has for values.
    pub(crate) fn value_words(&self) -> usize {
        self.slot_words - SLOT_HEADER_WORDS
    }

    /// Whether a piece of this shape fits into a slot.
    pub(crate) fn fits(&self, shape: &PieceShape) -> bool {
        let words = shape
            .row_words()
            .and_then(|row| row.checked_mul(shape.rows));
        words.is_some_and(|words| words <= self.value_words())
    }

    /// Writes a number of the header and wakes whoever sleeps on it.
    pub(crate) fn ring(&self, place: usize, sleeper: usize, sequence: u32) {
        self.word(place).store(sequence, Ordering::SeqCst);
        if self.word(sleeper).load(Ordering::SeqCst) != 0 {
            self.word(sleeper).store(0, Ordering::SeqCst);
            self.wake(place);
        }
    }

    /// Wakes whoever sleeps on a number of the header.
    pub(crate) fn wake(&self, place: usize) {
        // The call fails for a wrong address only.
        let _ = futex::wake(self.word(place), futex::Flags::empty(), u32::MAX >> 1);
    }

    /// Sleeps until a number of the header is no longer `seen`, at most `limit_ns`.
    pub(crate) fn sleep(&self, place: usize, sleeper: usize, seen: u32, limit_ns: u64) {
        self.word(sleeper).store(1, Ordering::SeqCst);
        if self.word(place).load(Ordering::SeqCst) == seen {
            let limit = timespec(limit_ns);
            // Woken, too late, interrupted: the caller looks again in every case.
            let _ = futex::wait(self.word(place), futex::Flags::empty(), seen, Some(&limit));
        }
        self.word(sleeper).store(0, Ordering::SeqCst);
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: the mapping is this one's own, and no reference outlives `self`.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.words * 4) };
    }
}

/// A time span as the kernel takes it.
pub(crate) fn timespec(ns: u64) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(ns / 1_000_000_000).unwrap_or(i64::MAX),
        tv_nsec: (ns % 1_000_000_000) as i64,
    }
}

/// The words of one slot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot<'a>(&'a [AtomicU32]);

impl Slot<'_> {
    pub(crate) fn get(&self, place: usize) -> u32 {
        self.0[place].load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, place: usize, value: u32) {
        self.0[place].store(value, Ordering::Relaxed);
    }

    pub(crate) fn get_wide(&self, place: usize) -> u64 {
        u64::from(self.get(place)) | u64::from(self.get(place + 1)) << 32
    }

    pub(crate) fn set_wide(&self, place: usize, value: u64) {
        self.set(place, value as u32);
        self.set(place + 1, (value >> 32) as u32);
    }

    pub(crate) fn read_floats(&self, place: usize, into: &mut [f32]) {
        let words = &self.0[place..place + into.len()];
        for (value, word) in into.iter_mut().zip(words) {
            *value = f32::from_bits(word.load(Ordering::Relaxed));
        }
    }

    pub(crate) fn write_floats(&self, place: usize, values: &[f32]) {
        let words = &self.0[place..place + values.len()];
        for (value, word) in values.iter().zip(words) {
            word.store(value.to_bits(), Ordering::Relaxed);
        }
    }

    /// Writes the text of an error, cut where it is too long.
    pub(crate) fn write_error(&self, text: &str) {
        let bytes = text.as_bytes();
        let bytes = &bytes[..bytes.len().min(ERROR_BYTES)];
        self.set(place::ERROR_LEN, bytes.len() as u32);
        for (at, chunk) in bytes.chunks(4).enumerate() {
            let mut word = [0; 4];
            word[..chunk.len()].copy_from_slice(chunk);
            self.set(place::ERROR + at, u32::from_le_bytes(word));
        }
    }

    /// The text of an error, whatever lies there: never longer than its place, always one line.
    pub(crate) fn read_error(&self) -> String {
        let length = (self.get(place::ERROR_LEN) as usize).min(ERROR_BYTES);
        let words =
            (0..length.div_ceil(4)).flat_map(|at| self.get(place::ERROR + at).to_le_bytes());
        let bytes: Vec<u8> = words.take(length).collect();
        String::from_utf8_lossy(&bytes).replace(char::is_control, " ")
    }
}

/// How long one looks for a change before one sleeps; less where looking was in vain before.
#[derive(Debug)]
pub(crate) struct Patience {
    most_ns: u64,
    now_ns: u64,
    /// How long one holds the core before one gives it away; nothing where the partner seems to
    /// need the same core.
    hold_ns: u64,
    looks: u32,
}

/// Looking stays this long whatever happened, so that a quick partner is noticed again.
const LEAST_PATIENCE_NS: u64 = 1_000;

/// A partner on a core of its own has answered by then, mostly.
const HOLD_NS: u64 = 3_000;

/// Every so often the core is held whatever happened before, to learn where the partner is now.
const LEARN_EVERY: u32 = 64;

/// Looks between two glances at the clock.
const LOOKS: u32 = 8;

impl Patience {
    pub(crate) fn new(spin_us: u64) -> Self {
        let most_ns = spin_us.saturating_mul(1_000);
        Self {
            most_ns,
            now_ns: most_ns,
            hold_ns: HOLD_NS,
            looks: 0,
        }
    }

    /// Looks until `is_there`, for as long as patience lasts.
    pub(crate) fn look(&mut self, is_there: impl Fn() -> bool) -> bool {
        if is_there() {
            return true;
        }
        if self.most_ns == 0 {
            return false;
        }
        self.looks = self.looks.wrapping_add(1);
        let learns = self.looks.is_multiple_of(LEARN_EVERY);
        let hold_ns = if learns { HOLD_NS } else { self.hold_ns };
        let start = SystemClock.now_ns();
        let mut gave_away = false;
        loop {
            let spent = SystemClock.now_ns().saturating_sub(start);
            if spent >= self.now_ns {
                self.now_ns = (self.now_ns / 2).max(LEAST_PATIENCE_NS.min(self.most_ns));
                return false;
            }
            let is_found = if spent >= hold_ns {
                gave_away = true;
                std::thread::yield_now();
                is_there()
            } else {
                (0..LOOKS).any(|_| {
                    std::hint::spin_loop();
                    is_there()
                })
            };
            if is_found {
                self.now_ns = (2 * self.now_ns + LEAST_PATIENCE_NS).min(self.most_ns);
                self.hold_ns = if gave_away { self.hold_ns / 2 } else { HOLD_NS };
                return true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(rows: usize, flags: u32) -> PieceShape {
        PieceShape {
            rows,
            window: 2,
            columns: 3,
            outputs: 1,
            flags,
        }
    }

    #[test]
    fn a_second_mapping_sees_what_the_first_wrote_and_neither_can_cut_it_off() {
        let (ring, file) = Ring::create(1024).unwrap();
        let other = Ring::map(&file, 1024).unwrap();
        ring.slot(7).write_floats(300, &[1.5, f32::NAN]);
        let mut read = [0.0; 2];
        other.slot(7).read_floats(300, &mut read);
        assert_eq!(read.map(f32::to_bits), [1.5, f32::NAN].map(f32::to_bits));
        assert!(ftruncate(&file, 0).is_err());
        assert!(ftruncate(&file, 1 << 20).is_err());
        assert!(Ring::map(&file, 2048).is_err());
    }

    #[test]
    fn places_do_not_overlap_and_stay_inside() {
        let (ring, _file) = Ring::create(4 * 100).unwrap();
        let full = shape(10, ROW_EVENTS | SYMBOLS);
        assert_eq!(full.row_words(), Some(10));
        assert!(ring.fits(&full));
        let places = full.places();
        assert_eq!(places.row_events - places.input, 60);
        assert_eq!(places.symbols - places.row_events, 20);
        assert_eq!(places.output - places.symbols, 10);
        assert_eq!(places.output + 10, SLOT_HEADER_WORDS + ring.value_words());
        assert!(!ring.fits(&shape(11, ROW_EVENTS | SYMBOLS)));
        let absurd = PieceShape {
            columns: usize::MAX,
            ..full
        };
        assert!(!ring.fits(&absurd));
    }

    #[test]
    fn an_error_of_absurd_length_is_cut() {
        let (ring, _file) = Ring::create(64).unwrap();
        let slot = ring.slot(1);
        slot.write_error("what\nwent wrong");
        assert_eq!(slot.read_error(), "what went wrong");
        slot.set(place::ERROR_LEN, u32::MAX);
        assert_eq!(slot.read_error().chars().count(), ERROR_BYTES);
        let long = "x".repeat(5000);
        slot.write_error(&long);
        assert_eq!(slot.read_error(), &long[..ERROR_BYTES]);
    }

    #[test]
    fn patience_shrinks_in_vain_and_grows_with_success() {
        let mut patience = Patience::new(50);
        for _ in 0..10 {
            assert!(!patience.look(|| false));
        }
        assert_eq!(patience.now_ns, LEAST_PATIENCE_NS);
        let looks = std::cell::Cell::new(0);
        for _ in 0..10 {
            looks.set(0);
            let found = patience.look(|| {
                looks.set(looks.get() + 1);
                looks.get() > 3
            });
            assert!(found);
        }
        assert_eq!(patience.now_ns, 50_000);
    }
}
