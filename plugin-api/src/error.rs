//! The one error of the contract: a status code and a message.
//!
//! Every fallible slot of the C tables returns a status and may fill a message; this type carries
//! both on either side of the line. It never carries a backtrace or a foreign pointer.

use std::fmt;

/// Result of everything a plugin does.
pub type Result<T, E = PluginError> = std::result::Result<T, E>;

/// The kind of failure, as it crosses the line (`fb_status` in the header).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Status {
    /// An argument is out of its range or has the wrong shape.
    Argument,
    /// The call is not allowed in the present state.
    State,
    /// The plugin does not offer this.
    Unsupported,
    /// The plugin panicked; the instance answers nothing more.
    Panic,
    /// The deadline passed before the work was done.
    Deadline,
    /// Memory could not be had.
    Memory,
    /// A bug, or a failure that fits nowhere else.
    Internal,
    /// The host asked to stop.
    Cancelled,
    /// The configuration is wrong.
    Config,
    /// The data or the artifact is wrong.
    Data,
    /// A native library is missing or too old.
    Library,
    /// The state schema cannot be read by this version.
    Schema,
    /// The process that ran the plugin is gone. Said by hosts, never by plugins.
    Crashed,
}

impl Status {
    /// Every status, in the order of the codes.
    pub const ALL: [Self; 13] = [
        Self::Argument,
        Self::State,
        Self::Unsupported,
        Self::Panic,
        Self::Deadline,
        Self::Memory,
        Self::Internal,
        Self::Cancelled,
        Self::Config,
        Self::Data,
        Self::Library,
        Self::Schema,
        Self::Crashed,
    ];

    /// The code of the header, always negative.
    #[must_use]
    pub const fn code(self) -> i32 {
        -1 - self as i32
    }

    /// The status of a failing `code`; a code of a later header reads as [`Status::Internal`].
    #[must_use]
    pub fn from_code(code: i32) -> Self {
        let known = Self::ALL.into_iter().find(|status| status.code() == code);
        known.unwrap_or(Self::Internal)
    }

    /// As [`Status::from_code`], for a code that a plugin returned: that a process is gone is said
    /// by hosts only, and no plugin makes another one look for a crash that did not happen.
    #[must_use]
    pub fn of_plugin(code: i32) -> Self {
        match Self::from_code(code) {
            Self::Crashed => Self::Internal,
            other => other,
        }
    }

    /// The name the header uses, without its prefix, such as `E_CONFIG`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Argument => "E_ARG",
            Self::State => "E_STATE",
            Self::Unsupported => "E_UNSUPPORTED",
            Self::Panic => "E_PANIC",
            Self::Deadline => "E_DEADLINE",
            Self::Memory => "E_MEMORY",
            Self::Internal => "E_INTERNAL",
            Self::Cancelled => "E_CANCELLED",
            Self::Config => "E_CONFIG",
            Self::Data => "E_DATA",
            Self::Library => "E_LIBRARY",
            Self::Schema => "E_SCHEMA",
            Self::Crashed => "E_CRASHED",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a call failed: its kind, and a message that says what is wrong, where, and what to do next.
///
/// On the wire the message is cut at 1007 bytes, at a character boundary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginError {
    status: Status,
    message: String,
}

impl PluginError {
    /// An error of any kind. The message becomes one line: it may quote what a plugin or a file
    /// says, and nobody steers a terminal through it.
    #[must_use]
    pub fn new(status: Status, message: impl Into<String>) -> Self {
        let message = one_line(message.into());
        Self { status, message }
    }

    /// An argument is wrong.
    #[must_use]
    pub fn argument(message: impl Into<String>) -> Self {
        Self::new(Status::Argument, message)
    }

    /// The call does not fit the present state.
    #[must_use]
    pub fn state(message: impl Into<String>) -> Self {
        Self::new(Status::State, message)
    }

    /// `what` is not offered by this plugin.
    #[must_use]
    pub fn unsupported(what: impl fmt::Display) -> Self {
        Self::new(
            Status::Unsupported,
            format!("this plugin does not support {what}"),
        )
    }

    /// A bug or a failure without a kind of its own.
    #[must_use]
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Status::Internal, message)
    }

    /// The host asked to stop.
    #[must_use]
    pub fn cancelled() -> Self {
        Self::new(Status::Cancelled, "cancelled by the host")
    }

    /// The configuration is wrong.
    #[must_use]
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(Status::Config, message)
    }

    /// The data or the artifact is wrong.
    #[must_use]
    pub fn data(message: impl Into<String>) -> Self {
        Self::new(Status::Data, message)
    }

    /// A native library is missing or too old.
    #[must_use]
    pub fn library(message: impl Into<String>) -> Self {
        Self::new(Status::Library, message)
    }

    /// A state schema that this version cannot read.
    #[must_use]
    pub fn schema(message: impl Into<String>) -> Self {
        Self::new(Status::Schema, message)
    }

    /// The kind.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status
    }

    /// The message.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The same error with `place` put before its message: `place: message`.
    #[must_use]
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.message = one_line(format!("{place}: {}", self.message));
        self
    }
}

/// The text with blanks for its control characters.
fn one_line(text: String) -> String {
    if text.contains(char::is_control) {
        text.replace(char::is_control, " ")
    } else {
        text
    }
}

impl fmt::Display for PluginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.status)
    }
}

impl std::error::Error for PluginError {}

impl From<serde_json::Error> for PluginError {
    fn from(error: serde_json::Error) -> Self {
        Self::data(format!("not the JSON that was expected: {error}"))
    }
}

impl From<std::array::TryFromSliceError> for PluginError {
    /// Lets an author turn state bytes into numbers with `?`.
    fn from(_: std::array::TryFromSliceError) -> Self {
        Self::data("the bytes do not have the expected length")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_survive_the_round_trip_and_are_all_different() {
        for (position, status) in Status::ALL.into_iter().enumerate() {
            assert_eq!(status.code(), -1 - i32::try_from(position).unwrap());
            assert_eq!(Status::from_code(status.code()), status);
        }
    }

    #[test]
    fn a_plugin_cannot_report_a_crash() {
        assert_eq!(Status::of_plugin(-13), Status::Internal);
        assert_eq!(Status::from_code(-13), Status::Crashed);
        assert_eq!(Status::of_plugin(-4), Status::Panic);
    }

    #[test]
    fn a_code_of_a_later_header_reads_as_internal() {
        assert_eq!(Status::from_code(-999), Status::Internal);
    }

    #[test]
    fn a_message_is_one_line_whatever_it_quotes() {
        let error = PluginError::data("its name is \"\x1b[31m\n\"").at("a\rb");
        assert_eq!(error.message(), "a b: its name is \" [31m \"");
    }

    #[test]
    fn a_place_goes_before_the_message() {
        let error = PluginError::config("alpha must be below 1").at("ema");
        assert_eq!(error.to_string(), "ema: alpha must be below 1 (E_CONFIG)");
    }
}
