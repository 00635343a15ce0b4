//! Trying a library in a throw-away process before anything of it runs in this one.

use std::sync::Arc;

use fusebox_plugin_api::config::Config;
use fusebox_plugin_api::error::PluginError;
use fusebox_plugin_api::import::HostServices;
use fusebox_plugin_api::model::ModelInfo;
use serde_json::Value;

use super::handle::{CallError, OpenWorker};
use super::options::WorkerOptions;
use super::recipe::{Source, create};
use crate::backend::Prepared;
use crate::clock::{Clock, SystemClock};
use crate::worker::wire::Ask;

/// What the manifest says about the library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeFacts<'a> {
    /// Reverse DNS id.
    pub id: &'a str,
    /// Version.
    pub version: &'a str,
    /// Whether it claims a learner.
    pub has_learner: bool,
}

/// What a probe found.
#[derive(Debug, Clone, PartialEq)]
pub struct ProbeReport {
    /// How long it took, nanoseconds.
    pub took_ns: u64,
    /// Bits of `FB_CAP_*`.
    pub capabilities: u64,
    /// What the model that was tried takes and answers, where one was.
    pub model: Option<ModelInfo>,
}

/// Why a library must not be mapped into this process.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// The process that tried it is dead: a crash, an exit, or no answer in time.
    #[error("it does not survive a trial in a process of its own: {0}")]
    Died(PluginError),
    /// It can be mapped, but it or its model says no.
    #[error("a trial in a process of its own failed: {0}")]
    Refused(PluginError),
    /// It is another plugin than its manifest says.
    #[error("its {field} is `{found}` in the library, but `{stated}` in plugin.toml")]
    Mismatch {
        /// Which fact.
        field: &'static str,
        /// The library's.
        found: String,
        /// The manifest's.
        stated: String,
    },
}

impl From<CallError> for ProbeError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Refused(error) => Self::Refused(error),
            other => Self::Died(other.into()),
        }
    }
}

/// Maps the library in a child process, compares what it says with `facts`, and where `model` is
/// given makes, warms, quiesces and destroys a model. Each step has the time of a control call.
///
/// # Errors
/// [`ProbeError`]; the child is gone in any case.
pub fn probe(
    prepared: &Prepared,
    facts: ProbeFacts<'_>,
    model: Option<(&Config, &[u8])>,
    options: &WorkerOptions,
) -> Result<ProbeReport, ProbeError> {
    let start = SystemClock.now_ns();
    let source = Source {
        prepared: prepared.clone(),
        options: Arc::new(options.clone()),
        services: HostServices::silent(),
    };
    let OpenWorker { mut worker, opened } = source.open(&mut |_| {})?;
    let learner = |is_there: bool| {
        if is_there {
            "with a learner"
        } else {
            "without a learner"
        }
    };
    for (field, found, stated) in [
        ("id", opened.id.as_str(), facts.id),
        ("version", opened.version.as_str(), facts.version),
        (
            "kind",
            learner(opened.has_learner),
            learner(facts.has_learner),
        ),
    ] {
        if found != stated {
            let (found, stated) = (found.to_owned(), stated.to_owned());
            return Err(ProbeError::Mismatch {
                field,
                found,
                stated,
            });
        }
    }
    let mut info = None;
    if let Some((config, artifact)) = model {
        info = Some(create(&mut worker, config, artifact)?.info);
        worker.ask::<Value>("`warmup`", &Ask::Warmup, &[])?;
        worker.ask::<Value>("`quiesce`", &Ask::Quiesce { deadline_ns: 0 }, &[])?;
        worker.ask::<Value>("`destroy`", &Ask::Destroy, &[])?;
    }
    Ok(ProbeReport {
        took_ns: SystemClock.now_ns().saturating_sub(start),
        capabilities: opened.capabilities,
        model: info,
    })
}
