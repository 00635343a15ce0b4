//! What the host lends to a plugin for one call, behind the safe types: frames, sinks, progress and
//! environments.
//!
//! Sizes are honoured and NULL slots read as absent; lengths are checked before a pointer is used.
#![allow(
    unsafe_code,
    reason = "reads the memory and calls the tables the host lends"
)]

use crate::abi::{
    self, FB_AUTORESET_NEXT_STEP, FB_AUTORESET_SAME_STEP, FB_ENV_ACTION_MASK, FB_FRAME_REPLAY,
    FB_OK, FB_SPACE_BOX, FB_SPACE_DISCRETE, fb_buf, fb_env, fb_env_reset, fb_env_step, fb_env_vt,
    fb_error, fb_frame, fb_metric, fb_progress, fb_sink, fb_space, fb_status, fb_str,
};
use std::ptr;

use crate::env::{Actions, Autoreset, EnvReset, EnvSpec, EnvStep, Environment, Space};
use crate::error::{PluginError, Result, Status};
use crate::frame::{Frame, FrameShape};
use crate::model::{Metric, Progress};

/// The safe frame over a lent one; `room` is for a frame of an older host.
///
/// # Safety
/// `frame` is NULL or a live frame as large as it says, whose memory is the callee's for `'a`.
#[expect(
    clippy::inline_always,
    reason = "a frame that is returned through memory costs more than a small model"
)]
#[inline(always)]
pub(super) unsafe fn lend_frame<'a>(
    frame: *const fb_frame,
    room: &'a mut Option<fb_frame>,
) -> Result<Frame<'a>> {
    // SAFETY: the caller guarantees NULL or a live frame.
    let frame = unsafe { abi::view(frame, room) };
    let frame = frame.ok_or_else(|| unusable("the frame is NULL"))?;
    let shape = FrameShape {
        rows: frame.rows as usize,
        window: frame.window as usize,
        columns: frame.cols as usize,
        row_stride: frame.row_stride as usize,
        step_stride: frame.step_stride as usize,
        output_columns: frame.output_cols as usize,
        output_stride: frame.output_stride as usize,
    };
    let too_large = || unusable("the frame is larger than memory");
    let input = shape.input_len().ok_or_else(too_large)? as u64;
    let output = shape.output_len().ok_or_else(too_large)? as u64;
    // SAFETY: the input reaches as far as the strides say.
    let input = unsafe { abi::all(frame.input, input) };
    let input = input.ok_or_else(|| unusable("the frame has no input, or not a whole one"))?;
    // SAFETY: the output reaches as far as the strides say and is the callee's for the call.
    let output = unsafe { abi::all_mut(frame.output, output) };
    let output = output.ok_or_else(|| unusable("the frame has no output, or not a whole one"))?;
    let mut lent = Frame::new(input, output, shape)?;
    lent.event_ns = (frame.event_ns != 0).then_some(frame.event_ns);
    lent.deadline_ns = (frame.deadline_ns != 0).then_some(frame.deadline_ns);
    lent.replay = frame.flags & FB_FRAME_REPLAY != 0;
    if !frame.row_event_ns.is_null() {
        // SAFETY: the array has one value per row.
        let times = unsafe { abi::all(frame.row_event_ns, frame.rows) };
        let missing = || unusable("the frame has no `row_event_ns` for every row");
        lent.row_event_ns = Some(times.ok_or_else(missing)?);
    }
    if !frame.symbols.is_null() {
        // SAFETY: the array has one value per row.
        let symbols = unsafe { abi::all(frame.symbols, frame.rows) };
        let missing = || unusable("the frame has no `symbols` for every row");
        lent.symbols = Some(symbols.ok_or_else(missing)?);
    }
    Ok(lent)
}

#[cold]
#[inline(never)]
fn unusable(problem: &'static str) -> PluginError {
    PluginError::argument(problem)
}

/// Writes an answer into a lent sink.
///
/// # Safety
/// `sink` is NULL or a live sink as large as it says.
pub(super) unsafe fn write_sink(sink: *const fb_sink, bytes: &[u8]) -> Result<()> {
    // SAFETY: the caller guarantees NULL or a live sink.
    let sink = unsafe { abi::read(sink) };
    let Some((sink, write)) = sink.and_then(|sink| Some((sink, sink.write?))) else {
        return Err(PluginError::argument("there is no sink for the answer"));
    };
    // SAFETY: the sink is live and the bytes are lent for the call.
    match unsafe { write(sink.ctx, fb_buf::lend(bytes)) } {
        FB_OK => Ok(()),
        code => Err(PluginError::new(
            Status::from_code(code),
            format!("the host did not take an answer of {} bytes", bytes.len()),
        )),
    }
}

/// The host's progress; listens to nothing where the host lends none.
pub(super) struct LentProgress(Option<fb_progress>);

impl LentProgress {
    /// # Safety
    /// `progress` is NULL or a live table as large as it says, for as long as the value is used.
    pub(super) unsafe fn new(progress: *const fb_progress) -> Self {
        // SAFETY: the caller guarantees NULL or a live table.
        Self(unsafe { abi::read(progress) })
    }
}

fn answer(code: fb_status, what: &str) -> Result<()> {
    match Status::from_code(code) {
        _ if code == FB_OK => Ok(()),
        Status::Cancelled => Err(PluginError::cancelled()),
        status => Err(PluginError::new(
            status,
            format!("the host did not take the {what}"),
        )),
    }
}

impl Progress for LentProgress {
    fn report(
        &mut self,
        step: u64,
        total_steps: Option<u64>,
        metrics: &[Metric<'_>],
    ) -> Result<()> {
        let Some((lent, report)) = self.0.and_then(|lent| Some((lent, lent.report?))) else {
            return Ok(());
        };
        let metrics: Vec<fb_metric> = metrics
            .iter()
            .map(|metric| fb_metric {
                name: fb_str::lend(metric.name),
                value: metric.value,
            })
            .collect();
        let (total, count) = (total_steps.unwrap_or(0), metrics.len() as u64);
        // SAFETY: the table is live, and the metrics are lent for the call.
        let code = unsafe { report(lent.ctx, step, total, metrics.as_ptr(), count) };
        answer(code, "report")
    }

    fn is_cancelled(&self) -> bool {
        let Some((lent, cancelled)) = self.0.and_then(|lent| Some((lent, lent.cancelled?))) else {
            return false;
        };
        // SAFETY: the table is live.
        unsafe { cancelled(lent.ctx) != 0 }
    }

    fn checkpoint(&mut self, step: u64, bytes: &[u8]) -> Result<()> {
        let Some((lent, checkpoint)) = self.0.and_then(|lent| Some((lent, lent.checkpoint?)))
        else {
            return Ok(());
        };
        // SAFETY: the table is live, and the bytes are lent for the call.
        let code = unsafe { checkpoint(lent.ctx, step, fb_buf::lend(bytes)) };
        answer(code, "checkpoint")
    }
}

/// The host's environment.
pub(super) struct LentEnvironment {
    table: fb_env_vt,
    env: *mut fb_env,
    spec: EnvSpec,
}

// SAFETY: the environment is used by one thread at a time and may be used by any; the learner holds
// it mutably, so it cannot do otherwise.
unsafe impl Send for LentEnvironment {}

impl LentEnvironment {
    /// The lent environment; `None` where there is none.
    ///
    /// # Safety
    /// `table` is NULL or a live table as large as it says; it and `env` are lent for as long as
    /// the value is used.
    pub(super) unsafe fn new(table: *const fb_env_vt, env: *mut fb_env) -> Result<Option<Self>> {
        // SAFETY: the caller guarantees NULL or a live table.
        let Some(table) = (unsafe { abi::read(table) }) else {
            return Ok(None);
        };
        let absent = || PluginError::argument("the environment cannot describe itself");
        let describe = table.describe.ok_or_else(absent)?;
        // SAFETY: the environment is live.
        let spec = unsafe { describe(env) };
        // SAFETY: the host returns NULL or a live description.
        let spec = unsafe { abi::read(spec) }.ok_or_else(absent)?;
        // SAFETY: the description points to live spaces.
        let observation = unsafe { read_space(spec.observation) }?;
        // SAFETY: the description points to live spaces.
        let action = unsafe { read_space(spec.action) }?;
        // SAFETY: the description has `info_count` names.
        let names = unsafe { abi::elements(spec.info_names, spec.info_count) };
        // SAFETY: each name lives as long as the description.
        let names = names
            .iter()
            .map(|name| unsafe { name.text() }.unwrap_or("").to_owned());
        let spec = EnvSpec {
            environments: spec.n_envs as usize,
            observation,
            action,
            autoreset: match spec.autoreset {
                FB_AUTORESET_SAME_STEP => Autoreset::SameStep,
                FB_AUTORESET_NEXT_STEP => Autoreset::NextStep,
                _ => Autoreset::Disabled,
            },
            info_names: names.collect(),
            action_mask: spec.flags & FB_ENV_ACTION_MASK != 0,
            reward_range: (finite(spec.reward_low), finite(spec.reward_high)),
            max_episode_steps: (spec.max_episode_steps != 0).then_some(spec.max_episode_steps),
        };
        Ok(Some(Self { table, env, spec }))
    }
}

fn finite(bound: f64) -> Option<f64> {
    bound.is_finite().then_some(bound)
}

/// # Safety
/// `space` is NULL or a live space as large as it says.
unsafe fn read_space(space: *const fb_space) -> Result<Space> {
    // SAFETY: the caller guarantees NULL or a live space.
    let space = unsafe { abi::read(space) };
    let space = space.ok_or_else(|| PluginError::argument("the environment lacks a space"))?;
    // SAFETY: the space has `rank` lengths.
    let shape = unsafe { abi::elements(space.shape, space.rank) };
    let counts = if space.kind == FB_SPACE_DISCRETE {
        1
    } else {
        space.elements
    };
    // SAFETY: a discrete space has one count, a multi-discrete one per element; others have NULL.
    let counts = unsafe { abi::elements(space.counts, counts) };
    match (space.kind, counts) {
        (FB_SPACE_BOX, _) => Ok(Space::Box {
            shape: shape.to_vec(),
            // SAFETY: bounds are NULL or have one value per element.
            low: unsafe { bounds(space.low, space.elements) },
            // SAFETY: bounds are NULL or have one value per element.
            high: unsafe { bounds(space.high, space.elements) },
        }),
        (FB_SPACE_DISCRETE, [count]) => Ok(Space::Discrete {
            count: *count,
            start: space.start,
        }),
        (abi::FB_SPACE_MULTI_DISCRETE, [_, ..]) => Ok(Space::MultiDiscrete {
            counts: counts.to_vec(),
        }),
        (kind, _) => Err(PluginError::argument(format!(
            "the environment has a space of kind {kind} that this version cannot read"
        ))),
    }
}

/// # Safety
/// `values` is NULL or has `count` live values.
unsafe fn bounds(values: *const f32, count: u64) -> Option<Vec<f32>> {
    // SAFETY: the caller guarantees the values.
    (!values.is_null()).then(|| unsafe { abi::elements(values, count) }.to_vec())
}

fn or_null<T>(values: Option<&mut [T]>) -> *mut T {
    values.map_or(ptr::null_mut(), <[T]>::as_mut_ptr)
}

impl Environment for LentEnvironment {
    fn spec(&self) -> &EnvSpec {
        &self.spec
    }

    fn reset(&mut self, reset: EnvReset<'_>) -> Result<()> {
        reset.check(&self.spec)?;
        let slot = self
            .table
            .reset
            .ok_or_else(|| PluginError::unsupported("a reset"))?;
        let lent = fb_env_reset {
            size: abi::size::<fb_env_reset>(),
            reserved: 0,
            seeds: reset.seeds.map_or(ptr::null(), <[u64]>::as_ptr),
            mask: reset.mask.map_or(ptr::null(), <[u8]>::as_ptr),
            observations: reset.observations.as_mut_ptr(),
            action_mask: or_null(reset.action_mask),
        };
        let mut error = fb_error::new();
        // SAFETY: the environment is live, and every array has the length the spec asks for.
        match unsafe { slot(self.env, &lent, &mut error) } {
            FB_OK => Ok(()),
            code => Err(error.to_error(code).at("environment")),
        }
    }

    fn step(&mut self, step: EnvStep<'_>) -> Result<()> {
        step.check(&self.spec)?;
        let slot = self
            .table
            .step
            .ok_or_else(|| PluginError::unsupported("a step"))?;
        let (actions, discrete_actions) = match step.actions {
            Actions::Continuous(values) => (values.as_ptr(), ptr::null()),
            Actions::Discrete(values) => (ptr::null(), values.as_ptr()),
        };
        let lent = fb_env_step {
            size: abi::size::<fb_env_step>(),
            reserved: 0,
            actions,
            discrete_actions,
            observations: step.observations.as_mut_ptr(),
            rewards: step.rewards.as_mut_ptr(),
            terminated: step.terminated.as_mut_ptr(),
            truncated: step.truncated.as_mut_ptr(),
            final_observations: or_null(step.final_observations),
            infos: or_null(step.infos),
            action_mask: or_null(step.action_mask),
        };
        let mut error = fb_error::new();
        // SAFETY: the environment is live, and every array has the length the spec asks for.
        match unsafe { slot(self.env, &lent, &mut error) } {
            FB_OK => Ok(()),
            code => Err(error.to_error(code).at("environment")),
        }
    }

    fn close(&mut self) -> Result<()> {
        let Some(slot) = self.table.close else {
            return Ok(());
        };
        let mut error = fb_error::new();
        // SAFETY: the environment is live.
        match unsafe { slot(self.env, &mut error) } {
            FB_OK => Ok(()),
            code => Err(error.to_error(code).at("environment")),
        }
    }
}
