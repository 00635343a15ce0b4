//! What the host lends: its log, sinks, progress and environments, as C tables.
//!
//! The slots here are called by the plugin, so each catches a panic of the host's own code.
#![allow(unsafe_code, reason = "is called by the plugin through the C tables")]

use std::ffi::c_void;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;

use crate::abi::{
    self, FB_ABI_MAJOR, FB_ABI_MINOR, FB_AUTORESET_DISABLED, FB_AUTORESET_NEXT_STEP,
    FB_AUTORESET_SAME_STEP, FB_ENV_ACTION_MASK, FB_OK, FB_SPACE_BOX, FB_SPACE_DISCRETE,
    FB_SPACE_MULTI_DISCRETE, fb_buf, fb_env, fb_env_reset, fb_env_spec, fb_env_step, fb_env_vt,
    fb_error, fb_host, fb_metric, fb_progress, fb_sink, fb_space, fb_status, fb_str,
};
use crate::env::{Actions, Autoreset, EnvReset, EnvSpec, EnvStep, Environment, Space};
use crate::error::{PluginError, Result, Status};
use crate::export::{LogLevel, panicked};
use crate::model::{Metric, Progress};

/// A longer answer in bytes, such as an artifact or a state, is refused.
pub(super) const MAX_BINARY_BYTES: usize = 1 << 31;

/// A longer answer in JSON, which a description is, is refused.
pub(super) const MAX_JSON_BYTES: usize = 1 << 24;

/// Takes a plugin's log messages; called from any thread.
pub type HostLog = dyn Fn(LogLevel, &str) + Send + Sync;

/// What the host offers to a plugin.
#[derive(Clone)]
pub struct HostServices {
    /// Number of this load, for the plugin's own use.
    pub generation: u64,
    /// Where log messages go.
    pub log: Arc<HostLog>,
}

impl HostServices {
    /// Services with a log.
    pub fn new(generation: u64, log: impl Fn(LogLevel, &str) + Send + Sync + 'static) -> Self {
        let log = Arc::new(log);
        Self { generation, log }
    }

    /// Services that throw log messages away.
    #[must_use]
    pub fn silent() -> Self {
        Self::new(0, |_, _| {})
    }
}

impl fmt::Debug for HostServices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostServices(generation {})", self.generation)
    }
}

/// A host table that lives as long as the process, because a plugin may keep it.
#[derive(Debug, Clone, Copy)]
pub struct LentHost(&'static fb_host);

// SAFETY: the table is never written again, and its slots may be called from any thread.
unsafe impl Send for LentHost {}
// SAFETY: as for `Send`.
unsafe impl Sync for LentHost {}

impl LentHost {
    /// Makes the table and gives its memory away for good: some 100 bytes per load.
    #[must_use]
    pub fn leak(services: HostServices) -> Self {
        let generation = services.generation;
        let ctx: *mut HostServices = Box::leak(Box::new(services));
        Self(Box::leak(Box::new(fb_host {
            size: abi::size::<fb_host>(),
            abi_major: FB_ABI_MAJOR,
            abi_minor: FB_ABI_MINOR,
            generation,
            ctx: ctx.cast(),
            log: Some(host_log),
            get_extension: Some(host_get_extension),
        })))
    }

    pub(super) fn as_ptr(self) -> *const fb_host {
        self.0
    }
}

unsafe extern "C" fn host_log(ctx: *mut c_void, level: i32, message: fb_str) {
    // SAFETY: the plugin passes NULL or the context of the table, a leaked `HostServices`.
    let Some(services) = (unsafe { ctx.cast::<HostServices>().cast_const().as_ref() }) else {
        return;
    };
    // SAFETY: the plugin lends the bytes for the call.
    let bytes = unsafe { abi::elements(message.ptr.cast::<u8>(), message.len) };
    let text = String::from_utf8_lossy(bytes);
    // One message is one line, and no plugin steers the operator's terminal.
    let text = text.replace(char::is_control, " ");
    let level = LogLevel::from_code(level);
    // A log that panics has nowhere to report it.
    let _ = catch_unwind(AssertUnwindSafe(|| (services.log)(level, &text)));
}

unsafe extern "C" fn host_get_extension(_: *mut c_void, _: fb_str) -> *const c_void {
    ptr::null()
}

/// An answer as a plugin writes it, piece by piece.
#[derive(Debug)]
pub(super) struct Answer {
    bytes: Vec<u8>,
    /// Most bytes that are taken.
    most: usize,
    /// Whether a piece was not taken. What came is then a torn answer, whatever the plugin says.
    is_torn: bool,
}

impl Answer {
    /// Takes at most `most` bytes.
    pub(super) fn of_at_most(most: usize) -> Self {
        let (bytes, is_torn) = (Vec::new(), false);
        Self {
            bytes,
            most,
            is_torn,
        }
    }

    /// A sink that collects here; it must not outlive the borrow.
    pub(super) fn sink(&mut self) -> fb_sink {
        fb_sink {
            size: abi::size::<fb_sink>(),
            reserved: 0,
            ctx: ptr::from_mut(self).cast(),
            write: Some(collect),
        }
    }

    /// The whole answer.
    ///
    /// # Errors
    /// `E_MEMORY` where a piece of it was not taken.
    pub(super) fn whole(self) -> Result<Vec<u8>> {
        if self.is_torn {
            let taken = self.bytes.len();
            return Err(PluginError::new(
                Status::Memory,
                format!("its answer was cut off after {taken} bytes; it is too long for this host"),
            ));
        }
        Ok(self.bytes)
    }
}

unsafe extern "C" fn collect(ctx: *mut c_void, piece: fb_buf) -> fb_status {
    // SAFETY: the plugin passes NULL or the context of such a sink, used by nobody else meanwhile.
    let Some(answer) = (unsafe { ctx.cast::<Answer>().as_mut() }) else {
        return Status::Argument.code();
    };
    let room = answer.most.saturating_sub(answer.bytes.len());
    let length = usize::try_from(piece.len).ok();
    let length = length.filter(|length| *length <= room && !answer.is_torn);
    let taken = length.filter(|length| answer.bytes.try_reserve(*length).is_ok());
    if taken.is_none() {
        answer.is_torn = true;
        return Status::Memory.code();
    }
    // SAFETY: the plugin lends the bytes for the call.
    answer.bytes.extend_from_slice(unsafe { piece.bytes() });
    FB_OK
}

type Listener<'a> = &'a mut dyn Progress;

/// The table over a listener; it must not outlive the borrow.
pub(super) fn lend_progress(listener: &mut Listener<'_>) -> fb_progress {
    let ctx: *mut Listener<'_> = listener;
    fb_progress {
        size: abi::size::<fb_progress>(),
        reserved: 0,
        ctx: ctx.cast(),
        report: Some(progress_report),
        cancelled: Some(progress_cancelled),
        checkpoint: Some(progress_checkpoint),
    }
}

/// The listener behind the context of [`lend_progress`].
///
/// # Safety
/// `ctx` came from a table that is still lent, and is used by one thread.
unsafe fn listener<'a>(ctx: *mut c_void) -> &'a mut Listener<'a> {
    // SAFETY: the caller guarantees a live context.
    unsafe { &mut *ctx.cast() }
}

fn code_of(result: std::thread::Result<Result<()>>) -> fb_status {
    match result {
        Ok(Ok(())) => FB_OK,
        Ok(Err(error)) => error.status().code(),
        Err(payload) => panicked("the host's progress", payload).status().code(),
    }
}

unsafe extern "C" fn progress_report(
    ctx: *mut c_void,
    step: u64,
    total_steps: u64,
    metrics: *const fb_metric,
    count: u64,
) -> fb_status {
    // SAFETY: the plugin passes the context of the lent table, from the thread of the fit.
    let listener = unsafe { listener(ctx) };
    // SAFETY: the plugin lends `count` metrics for the call.
    let metrics = unsafe { abi::elements(metrics, count) };
    let metrics: Vec<Metric<'_>> = metrics
        .iter()
        .map(|metric| Metric {
            // SAFETY: the plugin lends the name for the call.
            name: unsafe { metric.name.text() }.unwrap_or("?"),
            value: metric.value,
        })
        .collect();
    let total = (total_steps != 0).then_some(total_steps);
    code_of(catch_unwind(AssertUnwindSafe(|| {
        listener.report(step, total, &metrics)
    })))
}

unsafe extern "C" fn progress_cancelled(ctx: *mut c_void) -> i32 {
    // SAFETY: the plugin passes the context of the lent table, from the thread of the fit.
    let listener = unsafe { listener(ctx) };
    // A listener that panics asks to stop, because nobody listens any more.
    i32::from(catch_unwind(AssertUnwindSafe(|| listener.is_cancelled())).unwrap_or(true))
}

unsafe extern "C" fn progress_checkpoint(ctx: *mut c_void, step: u64, state: fb_buf) -> fb_status {
    // SAFETY: the plugin passes the context of the lent table, from the thread of the fit.
    let listener = unsafe { listener(ctx) };
    // SAFETY: the plugin lends the bytes for the call.
    let state = unsafe { state.bytes() };
    code_of(catch_unwind(AssertUnwindSafe(|| {
        listener.checkpoint(step, state)
    })))
}

static ENV_TABLE: fb_env_vt = fb_env_vt {
    size: abi::size::<fb_env_vt>(),
    flags: 0,
    describe: Some(env_describe),
    reset: Some(env_reset),
    step: Some(env_step),
    close: Some(env_close),
};

/// An environment behind the table `fb.env/1`.
pub(super) struct LentEnv<'a>(Box<EnvState<'a>>);

struct EnvState<'a> {
    environment: &'a mut dyn Environment,
    spec: Arc<EnvSpec>,
    lent: Rc<fb_env_spec>,
    _observation: Rc<fb_space>,
    _action: Rc<fb_space>,
    _names: Vec<fb_str>,
}

impl<'a> LentEnv<'a> {
    pub(super) fn new(environment: &'a mut dyn Environment) -> Self {
        // The pointers below lead into shared memory that is kept beside them and never changed.
        let spec = Arc::new(environment.spec().clone());
        let observation = Rc::new(lend_space(&spec.observation));
        let action = Rc::new(lend_space(&spec.action));
        let names: Vec<fb_str> = spec
            .info_names
            .iter()
            .map(|name| fb_str::lend(name))
            .collect();
        let lent = fb_env_spec {
            size: abi::size::<fb_env_spec>(),
            autoreset: match spec.autoreset {
                Autoreset::SameStep => FB_AUTORESET_SAME_STEP,
                Autoreset::NextStep => FB_AUTORESET_NEXT_STEP,
                Autoreset::Disabled => FB_AUTORESET_DISABLED,
            },
            n_envs: spec.environments as u64,
            observation: Rc::as_ptr(&observation),
            action: Rc::as_ptr(&action),
            info_names: names.as_ptr(),
            info_count: names.len() as u64,
            reward_low: spec.reward_range.0.unwrap_or(f64::NEG_INFINITY),
            reward_high: spec.reward_range.1.unwrap_or(f64::INFINITY),
            max_episode_steps: spec.max_episode_steps.unwrap_or(0),
            flags: if spec.action_mask {
                FB_ENV_ACTION_MASK
            } else {
                0
            },
            reserved: 0,
        };
        Self(Box::new(EnvState {
            environment,
            spec,
            lent: Rc::new(lent),
            _observation: observation,
            _action: action,
            _names: names,
        }))
    }

    pub(super) fn table() -> *const fb_env_vt {
        &ENV_TABLE
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut fb_env {
        ptr::from_mut(&mut *self.0).cast()
    }
}

fn lend_space(space: &Space) -> fb_space {
    let mut lent = fb_space {
        size: abi::size::<fb_space>(),
        kind: FB_SPACE_BOX,
        rank: 0,
        elements: space.elements() as u64,
        shape: ptr::null(),
        low: ptr::null(),
        high: ptr::null(),
        counts: ptr::null(),
        start: 0,
    };
    match space {
        Space::Box { shape, low, high } => {
            lent.rank = shape.len() as u64;
            lent.shape = shape.as_ptr();
            lent.low = low.as_ref().map_or(ptr::null(), Vec::as_ptr);
            lent.high = high.as_ref().map_or(ptr::null(), Vec::as_ptr);
        }
        Space::Discrete { count, start } => {
            lent.kind = FB_SPACE_DISCRETE;
            lent.counts = count;
            lent.start = *start;
        }
        Space::MultiDiscrete { counts } => {
            lent.kind = FB_SPACE_MULTI_DISCRETE;
            lent.counts = counts.as_ptr();
        }
    }
    lent
}

/// Runs `body` on a lent environment.
///
/// # Safety
/// `env` is the environment of a [`LentEnv`] that is still lent, used by one thread; `err` is NULL
/// or a writable error buffer as large as it says.
unsafe fn with_env(
    env: *mut fb_env,
    err: *mut fb_error,
    body: impl FnOnce(&mut dyn Environment, &EnvSpec) -> Result<()>,
) -> fb_status {
    // SAFETY: the caller guarantees NULL or a live environment without another user.
    let error = match unsafe { env.cast::<EnvState<'_>>().as_mut() } {
        None => PluginError::argument("the environment is NULL"),
        Some(state) => {
            let (environment, spec) = (&mut *state.environment, &state.spec);
            match catch_unwind(AssertUnwindSafe(|| body(environment, spec))) {
                Ok(Ok(())) => return FB_OK,
                Ok(Err(error)) => error,
                Err(payload) => panicked("the host's environment", payload),
            }
        }
    };
    // SAFETY: the caller guarantees the buffer.
    unsafe { fb_error::write(err, &error) }
}

unsafe extern "C" fn env_describe(env: *mut fb_env) -> *const fb_env_spec {
    // SAFETY: the plugin passes the lent environment.
    match unsafe { env.cast::<EnvState<'_>>().as_ref() } {
        Some(state) => Rc::as_ptr(&state.lent),
        None => ptr::null(),
    }
}

/// `count` values where the plugin gave an array, `None` where it gave NULL.
///
/// # Safety
/// `values` is NULL or has `count` live values that nobody else uses during `'a`.
unsafe fn given_mut<'a, T>(values: *mut T, count: usize) -> Option<&'a mut [T]> {
    // SAFETY: the caller guarantees the values.
    (!values.is_null()).then(|| unsafe { abi::elements_mut(values, count as u64) })
}

/// `count` values where the plugin gave an array, `None` where it gave NULL.
///
/// # Safety
/// `values` is NULL or has `count` live values that stay unchanged during `'a`.
unsafe fn given<'a, T>(values: *const T, count: usize) -> Option<&'a [T]> {
    // SAFETY: the caller guarantees the values.
    (!values.is_null()).then(|| unsafe { abi::elements(values, count as u64) })
}

unsafe extern "C" fn env_reset(
    env: *mut fb_env,
    reset: *const fb_env_reset,
    err: *mut fb_error,
) -> fb_status {
    let body = |environment: &mut dyn Environment, spec: &EnvSpec| {
        // SAFETY: the plugin lends arrays as large as it says.
        let lent = unsafe { abi::read(reset) };
        let lent = lent.ok_or_else(|| PluginError::argument("the reset is NULL"))?;
        let count = spec.environments;
        let reset = EnvReset {
            // SAFETY: the contract gives this array its length.
            seeds: unsafe { given(lent.seeds, count) },
            // SAFETY: the contract gives this array its length.
            mask: unsafe { given(lent.mask, count) },
            // SAFETY: the contract gives this array its length.
            observations: unsafe {
                abi::elements_mut(
                    lent.observations,
                    count.saturating_mul(spec.observation.elements()) as u64,
                )
            },
            // SAFETY: the contract gives this array its length.
            action_mask: unsafe {
                given_mut(
                    lent.action_mask,
                    count.saturating_mul(spec.action.mask_elements()),
                )
            },
        };
        reset.check(spec)?;
        environment.reset(reset)
    };
    // SAFETY: the plugin passes the lent environment and its own buffer.
    unsafe { with_env(env, err, body) }
}

unsafe extern "C" fn env_step(
    env: *mut fb_env,
    step: *const fb_env_step,
    err: *mut fb_error,
) -> fb_status {
    let body = |environment: &mut dyn Environment, spec: &EnvSpec| {
        // SAFETY: the plugin lends arrays as large as it says.
        let lent = unsafe { abi::read(step) };
        let lent = lent.ok_or_else(|| PluginError::argument("the step is NULL"))?;
        let count = spec.environments;
        let (observed, acted) = (
            count.saturating_mul(spec.observation.elements()),
            count.saturating_mul(spec.action.elements()) as u64,
        );
        let actions = if matches!(spec.action, Space::Box { .. }) {
            // SAFETY: the contract gives this array its length.
            Actions::Continuous(unsafe { abi::elements(lent.actions, acted) })
        } else {
            // SAFETY: the contract gives this array its length.
            Actions::Discrete(unsafe { abi::elements(lent.discrete_actions, acted) })
        };
        let step = EnvStep {
            actions,
            // SAFETY: the contract gives this array its length.
            observations: unsafe { abi::elements_mut(lent.observations, observed as u64) },
            // SAFETY: the contract gives this array its length.
            rewards: unsafe { abi::elements_mut(lent.rewards, count as u64) },
            // SAFETY: the contract gives this array its length.
            terminated: unsafe { abi::elements_mut(lent.terminated, count as u64) },
            // SAFETY: the contract gives this array its length.
            truncated: unsafe { abi::elements_mut(lent.truncated, count as u64) },
            // SAFETY: the contract gives this array its length.
            final_observations: unsafe { given_mut(lent.final_observations, observed) },
            // SAFETY: the contract gives this array its length.
            infos: unsafe { given_mut(lent.infos, count.saturating_mul(spec.info_names.len())) },
            // SAFETY: the contract gives this array its length.
            action_mask: unsafe {
                given_mut(
                    lent.action_mask,
                    count.saturating_mul(spec.action.mask_elements()),
                )
            },
        };
        step.check(spec)?;
        environment.step(step)
    };
    // SAFETY: the plugin passes the lent environment and its own buffer.
    unsafe { with_env(env, err, body) }
}

unsafe extern "C" fn env_close(env: *mut fb_env, err: *mut fb_error) -> fb_status {
    // SAFETY: the plugin passes the lent environment and its own buffer.
    unsafe { with_env(env, err, |environment, _| environment.close()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_answer_is_no_answer_even_where_the_plugin_reports_success() {
        let mut answer = Answer::of_at_most(MAX_BINARY_BYTES);
        let sink = answer.sink();
        let write = |bytes: fb_buf| {
            // SAFETY: the sink is live, and no byte is read of a piece that is too long.
            unsafe { sink.write.unwrap()(sink.ctx, bytes) }
        };
        assert_eq!(write(fb_buf::lend(b"{\"task\":")), FB_OK);
        let endless = fb_buf {
            len: u64::MAX,
            ..fb_buf::lend(b"1")
        };
        assert_eq!(write(endless), Status::Memory.code());
        assert_eq!(write(fb_buf::lend(b"1}")), Status::Memory.code());
        let error = answer.whole().unwrap_err();
        assert_eq!(error.status(), Status::Memory);
        assert!(error.message().contains("cut off after 8 bytes"), "{error}");
    }

    #[test]
    fn a_space_that_cannot_be_counted_is_refused_and_not_wrapped_around() {
        let space = Space::Box {
            shape: vec![1 << 63, 2, 3],
            low: None,
            high: None,
        };
        assert_eq!(space.elements(), usize::MAX);
        let counts = vec![i64::MAX; 4];
        let flags = Space::MultiDiscrete { counts }.mask_elements();
        assert_eq!(flags, usize::MAX);
    }
}
