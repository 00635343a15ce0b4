//! Random calls: made from a seed, announced before they are made, and reduced where they fail.
//!
//! A round is a list of [`Call`]s on one instance at a time. The contract allows every list, so
//! whatever crashes, panics, hangs or writes where it must not is a finding.

use std::fmt;

use fusebox_plugin_api::frame::FrameShape;
use serde::{Deserialize, Serialize};

use super::lent::{ErrorBuffer, FrameBytes, Sink};
use super::raw::{Instance, Table};
use super::rng::Rng;
use super::{Bench, Stop, hold};

/// Status of a caught panic or exception.
const PANIC: i32 = -4;
const CANARY: u32 = 0x7FC0_BEEF;
const AROUND: usize = 16;
/// Most tries to leave calls out.
const REDUCTIONS: usize = 60;

/// One call of a round. What is random in it comes from its own seed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "call")]
pub enum Call {
    /// Makes an instance in place of the one there is; a seed other than 0 changes bytes of the
    /// configuration.
    Create {
        /// Drives the changes.
        seed: u64,
    },
    /// Warms up.
    Warmup,
    /// Asks for the description.
    Info,
    /// Predicts.
    Predict {
        /// Rows.
        rows: usize,
        /// Columns beyond those that the model takes.
        more_columns: usize,
        /// Numbers between two output rows.
        gap: usize,
        /// Drives the input, where every fourth seed has missing and extreme values.
        seed: u64,
        /// Whether the rows are a replay.
        replay: bool,
    },
    /// Takes a snapshot.
    Snapshot,
    /// Restores the last snapshot, or, with a seed other than 0, something made from it.
    Restore {
        /// Drives the changes.
        seed: u64,
        /// Added to the schema number.
        schema: u32,
    },
    /// Writes the artifact.
    Save,
    /// Quiesces.
    Quiesce,
    /// Destroys the instance.
    Destroy,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create { seed: 0 } => f.write_str("create"),
            Self::Create { seed } => write!(f, "create with a configuration changed by {seed}"),
            Self::Warmup => f.write_str("warmup"),
            Self::Info => f.write_str("info"),
            Self::Predict {
                rows,
                more_columns,
                gap,
                seed,
                replay,
            } => {
                let replay = if *replay { ", replay" } else { "" };
                write!(
                    f,
                    "predict {rows} rows, {more_columns} columns too many, gap {gap}, \
                     seed {seed}{replay}"
                )
            }
            Self::Snapshot => f.write_str("snapshot"),
            Self::Restore { seed: 0, schema: 0 } => f.write_str("restore the last snapshot"),
            Self::Restore { seed, schema } => {
                write!(
                    f,
                    "restore something made from it by {seed}, schema +{schema}"
                )
            }
            Self::Save => f.write_str("save"),
            Self::Quiesce => f.write_str("quiesce"),
            Self::Destroy => f.write_str("destroy"),
        }
    }
}

/// What a fuzz case is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Theme {
    Frames,
    Config,
    State,
    Calls,
}

/// The calls of a round.
pub(super) fn round(theme: Theme, rng: &mut Rng) -> Vec<Call> {
    let length = 2 + rng.below(18);
    let mut calls = vec![Call::Create { seed: 0 }];
    for _ in 0..length {
        calls.push(match theme {
            Theme::Frames => predict_call(rng),
            Theme::Config => Call::Create {
                seed: rng.next() | 1,
            },
            Theme::State => match rng.below(4) {
                0 => predict_call(rng),
                1 => Call::Snapshot,
                _ => restore_call(rng),
            },
            Theme::Calls => any_call(rng),
        });
    }
    calls
}

fn any_call(rng: &mut Rng) -> Call {
    match rng.below(14) {
        0 => Call::Create { seed: 0 },
        1 => Call::Create {
            seed: rng.next() | 1,
        },
        2 => Call::Warmup,
        3 => Call::Info,
        4 => Call::Save,
        5 => Call::Quiesce,
        6 => Call::Destroy,
        7 | 8 => Call::Snapshot,
        9 | 10 => restore_call(rng),
        _ => predict_call(rng),
    }
}

fn predict_call(rng: &mut Rng) -> Call {
    const ROWS: [usize; 8] = [1, 1, 1, 0, 2, 7, 64, 500];
    Call::Predict {
        rows: rng.pick(&ROWS).copied().unwrap_or(1),
        more_columns: if rng.below(8) == 0 { 1 } else { 0 },
        gap: rng.below(4) as usize,
        seed: rng.next(),
        replay: rng.below(8) == 0,
    }
}

fn restore_call(rng: &mut Rng) -> Call {
    let is_honest = rng.below(3) == 0;
    let seed = if is_honest { 0 } else { rng.next() | 1 };
    let schema = if rng.below(6) == 0 {
        1 + rng.below(1000) as u32
    } else {
        0
    };
    Call::Restore { seed, schema }
}

/// What the calls of a round work on.
#[derive(Debug)]
pub(super) struct Round<'a> {
    bench: &'a Bench<'a>,
    table: Table,
    instance: Option<Instance>,
    state: Option<(u32, Vec<u8>)>,
    error: ErrorBuffer,
}

impl<'a> Round<'a> {
    pub(super) fn new(bench: &'a Bench<'a>, table: Table) -> Self {
        let (instance, state, error) = (None, None, ErrorBuffer::new());
        Self {
            bench,
            table,
            instance,
            state,
            error,
        }
    }

    pub(super) fn make(&mut self, call: &Call) -> Result<(), Stop> {
        if let Call::Create { seed } = call {
            return self.create(*seed);
        }
        let Some(mut instance) = self.instance.take() else {
            return Ok(());
        };
        let mut sink = Sink::whole();
        let error = &mut self.error;
        let ended = match call {
            Call::Create { .. } | Call::Destroy => {
                drop(instance);
                return Ok(());
            }
            Call::Warmup => instance.warmup(error),
            Call::Info => instance.info(&mut sink, error),
            Call::Save => instance.save(&mut sink, error),
            Call::Quiesce => instance.quiesce(0, error),
            Call::Snapshot => instance.snapshot(&mut sink, error).map(|schema| {
                self.state = Some((schema, sink.bytes));
            }),
            Call::Restore { seed, schema } => {
                let (own, bytes) = self.state.clone().unwrap_or_default();
                let bytes = changed(bytes, *seed);
                instance.restore(&bytes, own.wrapping_add(*schema), error)
            }
            Call::Predict { .. } => return self.predict(call, instance),
        };
        self.instance = Some(instance);
        self.judge(call, ended)
    }

    fn judge(&self, call: &Call, ended: Result<(), i32>) -> Result<(), Stop> {
        if let Err(code) = ended {
            hold(code != PANIC, || {
                format!("{call}: {}", self.error.told("panicked", code))
            })?;
            hold(code < 0, || {
                format!("{call}: answered {code}; codes are FB_OK or negative")
            })?;
        }
        hold(self.error.overrun().is_none(), || {
            format!("{call}: wrote past the error buffer")
        })?;
        Ok(())
    }

    fn create(&mut self, seed: u64) -> Result<(), Stop> {
        let config = changed(self.bench.config_json(), seed);
        self.instance = None;
        let artifact = &self.bench.settings.artifact;
        let created = self.table.create(&config, artifact, &mut self.error);
        let ended = created.map(|instance| self.instance = Some(instance));
        hold(ended.is_ok() || seed != 0, || {
            format!(
                "create with the given configuration: {}",
                self.error.message()
            )
        })?;
        self.judge(&Call::Create { seed }, ended)
    }

    fn predict(&mut self, call: &Call, mut instance: Instance) -> Result<(), Stop> {
        let Call::Predict {
            rows,
            more_columns,
            gap,
            seed,
            replay,
        } = call
        else {
            return Ok(());
        };
        let dense = Bench::shape(&self.bench.info(&instance)?, *rows);
        let columns = dense.columns + more_columns;
        let shape = FrameShape {
            columns,
            step_stride: columns,
            row_stride: columns * dense.window,
            output_stride: dense.output_stride + gap,
            ..dense
        };
        let input = numbers(shape.input_len().unwrap_or(0), *seed);
        let length = shape.output_len().unwrap_or(0);
        let mut memory = vec![f32::from_bits(CANARY); length + 2 * AROUND];
        let block = memory.get_mut(AROUND..AROUND + length).unwrap_or_default();
        let frame = FrameBytes::new(&input, block, shape)?.with_flags(u32::from(*replay));
        let ended = instance.predict(&frame, &mut self.error);
        self.instance = Some(instance);
        for (at, value) in memory.iter().enumerate() {
            let inside = at.checked_sub(AROUND).filter(|at| *at < length);
            let is_answer =
                inside.is_some_and(|at| at % shape.output_stride < shape.output_columns);
            hold(is_answer || value.to_bits() == CANARY, || {
                format!("{call}: wrote at output[{}]", at as i64 - AROUND as i64)
            })?;
        }
        self.judge(call, ended)
    }
}

/// Seeded numbers; every fourth seed has missing and extreme ones among them.
fn numbers(count: usize, seed: u64) -> Vec<f32> {
    const EXTREME: [f32; 7] = [
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::MIN_POSITIVE / 4.0,
        f32::MAX,
        f32::MIN,
        -0.0,
    ];
    let mut rng = Rng::new(seed);
    let mut values = rng.units(count);
    if seed.is_multiple_of(4) {
        for value in &mut values {
            if rng.below(3) == 0 {
                *value = rng.pick(&EXTREME).copied().unwrap_or(0.0);
            }
        }
    }
    values
}

/// The same bytes for seed 0, else with some changed, inserted, doubled or cut off.
fn changed(mut bytes: Vec<u8>, seed: u64) -> Vec<u8> {
    if seed == 0 {
        return bytes;
    }
    let mut rng = Rng::new(seed);
    for _ in 0..=rng.below(4) {
        let at = rng.below(bytes.len() as u64 + 1) as usize;
        match rng.below(6) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, rng.next() as u8),
            2 => bytes.extend_from_within(at.min(bytes.len())..),
            3 => {
                let more = rng.below(2000) as usize;
                bytes.extend(rng.bytes(more));
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << rng.below(8);
                }
            }
        }
    }
    bytes
}

/// Leaves out calls as long as the rest still fails: halves, then quarters, then single calls.
pub(super) fn fewest(calls: Vec<Call>, fails: impl Fn(&[Call]) -> bool) -> Vec<Call> {
    let mut left = calls;
    let mut tries = 0;
    let mut piece = left.len().div_ceil(2).max(1);
    loop {
        let mut start = 0;
        while start < left.len() {
            if tries == REDUCTIONS {
                return left;
            }
            tries += 1;
            let end = (start + piece).min(left.len());
            let without: Vec<Call> = left[..start].iter().chain(&left[end..]).cloned().collect();
            if !without.is_empty() && fails(&without) {
                left = without;
            } else {
                start = end;
            }
        }
        if piece == 1 {
            return left;
        }
        piece = piece.div_ceil(2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_calls_and_they_survive_as_text() {
        for theme in [Theme::Frames, Theme::Config, Theme::State, Theme::Calls] {
            let calls = round(theme, &mut Rng::new(7));
            assert_eq!(calls, round(theme, &mut Rng::new(7)));
            let text = serde_json::to_string(&calls).unwrap();
            assert_eq!(serde_json::from_str::<Vec<Call>>(&text).unwrap(), calls);
        }
    }

    #[test]
    fn what_is_not_needed_is_left_out() {
        let calls: Vec<Call> = round(Theme::Calls, &mut Rng::new(3));
        let mut with_two = calls.clone();
        with_two.insert(2, Call::Quiesce);
        with_two.push(Call::Save);
        let fails = |calls: &[Call]| calls.contains(&Call::Quiesce) && calls.contains(&Call::Save);
        assert_eq!(fewest(with_two, fails).len(), 2);
    }

    #[test]
    fn bytes_change_by_seed_alone() {
        assert_eq!(changed(b"{}".to_vec(), 0), b"{}");
        for seed in 1..200 {
            assert_eq!(
                changed(b"{\"a\":1}".to_vec(), seed),
                changed(b"{\"a\":1}".to_vec(), seed)
            );
        }
    }
}
