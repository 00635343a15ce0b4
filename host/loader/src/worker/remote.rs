//! The host's progress and environment, as a fit in the worker sees them: each call is a question
//! on the socket.

use std::fs::File;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

use fusebox_plugin_api::env::{Actions, EnvReset, EnvSpec, EnvStep, Environment};
use fusebox_plugin_api::error::{PluginError, Result};
use fusebox_plugin_api::model::{Metric, Progress};

use super::ring::{CANCELLED, Ring};
use super::wire::{Blob, Reply, Say, Trust, receive, send, unpack};

/// Asks the host and waits for its reply.
fn ask(link: &Mutex<File>, say: &Say, blobs: &[Blob<'_>]) -> Result<Vec<Vec<u8>>> {
    let gone = |error: std::io::Error| PluginError::internal(format!("the host is gone: {error}"));
    let mut link = link.lock().unwrap_or_else(PoisonError::into_inner);
    send(&mut *link, say, blobs).map_err(gone)?;
    let (reply, blobs) = receive(&mut *link, Trust::Full).map_err(gone)?;
    match reply {
        Reply::Done => Ok(blobs),
        Reply::Failed(failure) => Err(failure.into()),
    }
}

/// The host's [`Progress`].
pub(super) struct RemoteProgress<'a> {
    link: &'a Mutex<File>,
    ring: &'a Ring,
}

impl<'a> RemoteProgress<'a> {
    pub(super) fn new(link: &'a Mutex<File>, ring: &'a Ring) -> Self {
        Self { link, ring }
    }
}

impl Progress for RemoteProgress<'_> {
    fn report(&mut self, step: u64, total: Option<u64>, metrics: &[Metric<'_>]) -> Result<()> {
        let metrics = metrics
            .iter()
            .map(|metric| (metric.name.to_owned(), metric.value.to_bits()))
            .collect();
        let say = Say::Report {
            step,
            total,
            metrics,
        };
        ask(self.link, &say, &[]).map(drop)
    }

    /// The host keeps the answer in the shared memory, so that polling costs nothing.
    fn is_cancelled(&self) -> bool {
        self.ring.word(CANCELLED).load(Ordering::Acquire) != 0
    }

    fn checkpoint(&mut self, step: u64, bytes: &[u8]) -> Result<()> {
        ask(self.link, &Say::Checkpoint { step }, &[Blob::Bytes(bytes)]).map(drop)
    }
}

/// The host's [`Environment`].
pub(super) struct RemoteEnv<'a> {
    link: &'a Mutex<File>,
    spec: EnvSpec,
}

impl<'a> RemoteEnv<'a> {
    pub(super) fn new(link: &'a Mutex<File>, spec: EnvSpec) -> Self {
        Self { link, spec }
    }
}

/// Copies a filled array back to where the learner wants it.
fn fill<T: Copy, const N: usize>(
    to: &mut [T],
    from: Option<Vec<u8>>,
    of: impl Fn([u8; N]) -> T,
) -> Result<()> {
    let values = from.and_then(|bytes| unpack(&bytes, of));
    match values {
        Some(values) if values.len() == to.len() => {
            to.copy_from_slice(&values);
            Ok(())
        }
        _ => Err(PluginError::internal(
            "the host's environment gave an array of another length",
        )),
    }
}

fn byte(bytes: [u8; 1]) -> u8 {
    bytes[0]
}

impl Environment for RemoteEnv<'_> {
    fn spec(&self) -> &EnvSpec {
        &self.spec
    }

    fn reset(&mut self, reset: EnvReset<'_>) -> Result<()> {
        reset.check(&self.spec)?;
        let say = Say::EnvReset {
            has: [
                reset.seeds.is_some(),
                reset.mask.is_some(),
                reset.action_mask.is_some(),
            ],
        };
        let blobs = [
            Blob::U64(reset.seeds.unwrap_or_default()),
            Blob::Bytes(reset.mask.unwrap_or_default()),
            Blob::F32(reset.observations),
            Blob::Bytes(reset.action_mask.as_deref().unwrap_or_default()),
        ];
        let mut filled = ask(self.link, &say, &blobs)?.into_iter();
        fill(reset.observations, filled.next(), f32::from_le_bytes)?;
        match reset.action_mask {
            Some(mask) => fill(mask, filled.next(), byte),
            None => Ok(()),
        }
    }

    fn step(&mut self, step: EnvStep<'_>) -> Result<()> {
        step.check(&self.spec)?;
        let say = Say::EnvStep {
            is_box: matches!(step.actions, Actions::Continuous(_)),
            has: [
                step.final_observations.is_some(),
                step.infos.is_some(),
                step.action_mask.is_some(),
            ],
        };
        let blobs = [
            match step.actions {
                Actions::Continuous(values) => Blob::F32(values),
                Actions::Discrete(values) => Blob::I64(values),
            },
            Blob::F32(step.observations),
            Blob::F32(step.rewards),
            Blob::Bytes(step.terminated),
            Blob::Bytes(step.truncated),
            Blob::F32(step.final_observations.as_deref().unwrap_or_default()),
            Blob::F64(step.infos.as_deref().unwrap_or_default()),
            Blob::Bytes(step.action_mask.as_deref().unwrap_or_default()),
        ];
        let mut filled = ask(self.link, &say, &blobs)?.into_iter();
        fill(step.observations, filled.next(), f32::from_le_bytes)?;
        fill(step.rewards, filled.next(), f32::from_le_bytes)?;
        fill(step.terminated, filled.next(), byte)?;
        fill(step.truncated, filled.next(), byte)?;
        let (last, infos, mask) = (filled.next(), filled.next(), filled.next());
        if let Some(to) = step.final_observations {
            fill(to, last, f32::from_le_bytes)?;
        }
        if let Some(to) = step.infos {
            fill(to, infos, f64::from_le_bytes)?;
        }
        match step.action_mask {
            Some(to) => fill(to, mask, byte),
            None => Ok(()),
        }
    }

    fn close(&mut self) -> Result<()> {
        ask(self.link, &Say::EnvClose, &[]).map(drop)
    }
}
