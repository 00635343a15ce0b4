//! On what hardware a model runs: the providers of ONNX Runtime, tried in the configured order.
//!
//! Whether a provider works is found out by building a session with it. Asking the runtime is not
//! enough: it says yes to some that cannot load, and builds a session on the processor instead.

use fusebox_plugin_api::prelude::*;
use ort::ep::{self, ExecutionProviderDispatch};
use ort::session::Session;
use ort::session::builder::SessionBuilder;

use crate::library::Runtime;
use crate::settings::Settings;

/// What computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Provider {
    /// AMD graphics processors. The provider called ROCm left ONNX Runtime with version 1.23.
    MiGraphX,
    /// NVIDIA graphics processors.
    Cuda,
    /// NVIDIA graphics processors, with models compiled for them.
    TensorRt,
    /// Intel processors and graphics processors.
    OpenVino,
    /// Every processor.
    Cpu,
}

/// A session with what was found on the way to it.
#[derive(Debug)]
pub(crate) struct Opened {
    /// The session.
    pub(crate) session: Session,
    /// What it runs on.
    pub(crate) provider: Provider,
    /// Providers that were preferred and do not work, each with the reason.
    pub(crate) passed_over: Vec<(Provider, String)>,
}

impl Provider {
    /// All of them, in the usual order of preference.
    pub(crate) const ALL: [Self; 5] = [
        Self::MiGraphX,
        Self::Cuda,
        Self::TensorRt,
        Self::OpenVino,
        Self::Cpu,
    ];
    /// Name of the one that is always there.
    pub(crate) const CPU: &'static str = "cpu";

    /// Name in a configuration.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::MiGraphX => "migraphx",
            Self::Cuda => "cuda",
            Self::TensorRt => "tensorrt",
            Self::OpenVino => "openvino",
            Self::Cpu => Self::CPU,
        }
    }

    /// The provider of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }

    /// Whether it computes in the memory that this process reads.
    pub(crate) fn shares_memory(self) -> bool {
        matches!(self, Self::Cpu | Self::OpenVino)
    }

    /// How the runtime is told; `None` for the processor, which it falls back to by itself.
    fn dispatch(self, device: i32) -> Option<ExecutionProviderDispatch> {
        let dispatch = match self {
            Self::MiGraphX => ep::MIGraphX::default().with_device_id(device).build(),
            // TensorFloat-32 keeps ten bits of a product: answers would differ from those that
            // the model gave where it was judged.
            Self::Cuda => ep::CUDA::default()
                .with_device_id(device)
                .with_tf32(false)
                .build(),
            Self::TensorRt => ep::TensorRT::default().with_device_id(device).build(),
            Self::OpenVino => ep::OpenVINO::default().build(),
            Self::Cpu => return None,
        };
        Some(dispatch.error_on_failure())
    }
}

/// Opens `model` with the first provider of the settings that works.
///
/// # Errors
/// `E_DATA` where the runtime does not take the model, `E_LIBRARY` where no provider works.
pub(crate) fn open(runtime: &Runtime, settings: &Settings, model: &[u8]) -> Result<Opened> {
    let mut passed_over = Vec::new();
    for provider in settings.providers.iter().copied() {
        match open_with(runtime, settings, provider, model) {
            Ok(session) => {
                tell(&passed_over, Some(provider));
                return Ok(Opened {
                    session,
                    provider,
                    passed_over,
                });
            }
            Err(reason) if provider == Provider::Cpu => {
                return Err(PluginError::data(format!(
                    "ONNX Runtime {} does not take this model: {reason}",
                    runtime.version
                )));
            }
            Err(reason) => passed_over.push((provider, reason)),
        }
    }
    tell(&passed_over, None);
    let reasons: Vec<String> = passed_over
        .iter()
        .map(|(provider, reason)| format!("{}: {reason}", provider.name()))
        .collect();
    Err(PluginError::library(format!(
        "no provider of `providers` works: {}; add `cpu` to fall back to the processor",
        reasons.join("; ")
    )))
}

/// One line for each provider that was passed over.
fn tell(passed_over: &[(Provider, String)], taken: Option<Provider>) {
    for (provider, reason) in passed_over {
        let instead = match taken {
            Some(taken) => format!("the model runs on {}", taken.name()),
            None => "and no other one does".to_owned(),
        };
        let name = provider.name();
        log(
            LogLevel::Warn,
            &format!("provider {name} does not work here, {instead}: {reason}"),
        );
    }
}

/// Opens `model` with one provider; why not, in a sentence.
pub(crate) fn open_with(
    runtime: &Runtime,
    settings: &Settings,
    provider: Provider,
    model: &[u8],
) -> std::result::Result<Session, String> {
    let builder = builder(runtime, settings).map_err(reason)?;
    let mut builder = match provider.dispatch(settings.device) {
        None => builder,
        Some(dispatch) => builder
            .with_execution_providers([dispatch])
            .map_err(|error| one_line(&error.to_string()))?,
    };
    builder.commit_from_memory(model).map_err(reason)
}

/// Bounded threads that do not spin, and answers that do not depend on them.
fn builder(runtime: &Runtime, settings: &Settings) -> ort::Result<SessionBuilder> {
    let builder = Session::builder(&runtime.environment)?
        .with_log_level(ort::logging::LogLevel::Warning)?
        .with_intra_threads(settings.intra_threads as usize)?
        .with_inter_threads(settings.inter_threads as usize)?
        .with_parallel_execution(settings.inter_threads > 1)?
        .with_intra_op_spinning(false)?
        .with_inter_op_spinning(false)?
        .with_deterministic_compute(true)?;
    Ok(builder)
}

fn reason(error: ort::Error) -> String {
    one_line(&error.to_string())
}

/// What the runtime says over several lines, without the places in its sources and its codes.
fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let text = words.join(" ");
    // `file:line function [ONNXRuntimeError] : 1 : FAIL : what` and the like.
    let text = match text.rsplit_once("] ") {
        Some((_, rest)) if text.starts_with('/') => rest,
        _ => &text,
    };
    let text = text.strip_prefix("[ONNXRuntimeError] ").unwrap_or(text);
    without_code(text).chars().take(300).collect()
}

/// `text` without `: 1 : FAIL : ` before it, a number and the name that the runtime has for it.
fn without_code(text: &str) -> &str {
    let inside = || {
        let text = after_colon(text)?;
        let text = after_colon(text.trim_start_matches(|one: char| one.is_ascii_digit()))?;
        let is_name = |one: char| one.is_ascii_uppercase() || one == '_';
        after_colon(text.trim_start_matches(is_name))
    };
    inside().filter(|rest| !rest.is_empty()).unwrap_or(text)
}

fn after_colon(text: &str) -> Option<&str> {
    text.trim_start().strip_prefix(':').map(str::trim_start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_runtime_says_is_one_line_without_places_and_codes() {
        let long = "/build/core/session/provider_bridge.cc:1 Provider& Get() [ONNXRuntimeError] \
                    : 1 : FAIL : Failed to load\n library libmigraphx.so: no such file";
        let wanted = "Failed to load library libmigraphx.so: no such file";
        assert_eq!(one_line(long), wanted);
        assert_eq!(
            one_line("[ONNXRuntimeError] : 10 : INVALID_GRAPH : a loop"),
            "a loop"
        );
        assert_eq!(one_line(": 1 : FAIL : "), ": 1 : FAIL :");
        assert_eq!(one_line("input `x` : 3 columns"), "input `x` : 3 columns");
        assert_eq!(one_line(": 3 of 4 are missing"), ": 3 of 4 are missing");
    }
}
