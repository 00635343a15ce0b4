//! The host's hold on one worker: questions on the socket, rows through the ring.
//!
//! Everything a worker writes is hostile. Shapes and offsets are the host's own copies, an answer
//! counts only with the number that is waited for, and a reply that cannot be read ends the worker.
//! Dropping the hold ends the process and waits until it is gone.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fusebox_plugin_api::error::{PluginError, Status};
use fusebox_plugin_api::import::HostServices;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::options::WorkerOptions;
use super::process::Process;
use super::spawn::{Spawned, spawn};
use crate::backend::Prepared;
use crate::clock::{Clock, SystemClock};
use crate::worker::ring::{ANSWER, HOST_SLEEPS};
use crate::worker::ring::{CANCELLED, CONTROL, DOORBELL, Patience, SLOTS, WORKER_SLEEPS, place};
use crate::worker::wire::{
    Ask, Blob, Opened, Opening, PROTOCOL, Reply, Say, Trust, broken, receive, send,
};

/// Between two looks at what else may have happened, milliseconds.
const SLICE_MS: u64 = 20;

/// How long an orderly `destroy` may take before the process is killed, milliseconds.
const DESTROY_MS: u64 = 250;

/// How long a killed process may take to be gone.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// Why a call gave nothing.
#[derive(Debug)]
pub(super) enum CallError {
    /// The plugin said no; the worker lives.
    Refused(PluginError),
    /// The answer is not there in time; the worker still works on it.
    Late(PluginError),
    /// The deadline passed before the rows could be sent; the worker does not know of them.
    Unsent(PluginError),
    /// The worker is dead.
    Dead(PluginError),
}

impl From<CallError> for PluginError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Refused(error)
            | CallError::Late(error)
            | CallError::Unsent(error)
            | CallError::Dead(error) => error,
        }
    }
}

pub(super) type CallResult<T> = Result<T, CallError>;

/// What an answer carries: a value, and the blobs behind it.
pub(super) type Answer = (Value, Vec<Vec<u8>>);

/// A question to a worker.
#[derive(Debug)]
pub(super) struct Question<'a> {
    /// What it is, for messages.
    pub(super) doing: &'a str,
    pub(super) ask: &'a Ask,
    pub(super) blobs: &'a [Blob<'a>],
    /// How long the answer may take, milliseconds.
    pub(super) limit_ms: Option<u64>,
}

/// What the host does while a worker works on a question.
pub(super) trait Listener {
    /// Whether the worker should stop, looked at every few milliseconds.
    fn is_cancelled(&mut self) -> bool {
        false
    }

    /// Answers a question of the worker: the reply and its arrays. `None` where it must not ask.
    fn asked(&mut self, say: Say, blobs: Vec<Vec<u8>>) -> Option<(Reply, Vec<Vec<u8>>)> {
        let _ = (say, blobs);
        None
    }
}

/// Listens to nothing.
pub(super) struct Deaf;

impl Listener for Deaf {}

/// A worker process in the hands of its owner.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) process: Arc<Process>,
    pub(super) link: UnixStream,
    pub(super) submitted: u32,
    pub(super) patience: Patience,
    control_timeout_ms: u64,
    has_model: bool,
}

/// A worker whose plugin is open, and what it told about the plugin.
pub(super) struct OpenWorker {
    pub(super) worker: Worker,
    pub(super) opened: Opened,
}

impl Worker {
    /// Starts a process and opens the plugin in it. `begun` gets the process as soon as there is
    /// one, so that somebody else can end it.
    pub(super) fn open(
        prepared: &Prepared,
        options: &WorkerOptions,
        services: HostServices,
        begun: &mut dyn FnMut(&Arc<Process>),
    ) -> CallResult<OpenWorker> {
        let name = prepared.origin.display().to_string();
        let generation = services.generation;
        let no_start = |error: io::Error| {
            let program = options.program.as_deref().map_or_else(
                || "this program".to_owned(),
                |program| program.display().to_string(),
            );
            CallError::Dead(PluginError::new(
                Status::Crashed,
                format!("{name}: a worker ({program}) cannot be started: {error}"),
            ))
        };
        let Spawned { process, link } = spawn(&name, options, services).map_err(no_start)?;
        begun(&process);
        let slice = Some(Duration::from_millis(SLICE_MS));
        link.set_read_timeout(slice).map_err(no_start)?;
        link.set_write_timeout(slice).map_err(no_start)?;
        let mut worker = Self {
            process,
            link,
            submitted: 0,
            patience: Patience::new(options.spin_us),
            control_timeout_ms: options.control_timeout_ms,
            has_model: false,
        };
        let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
        let ask = Ask::Open(Opening {
            protocol: PROTOCOL,
            library: text(&prepared.path),
            origin: text(&prepared.origin),
            generation,
            ring_bytes: options.ring_bytes as u64,
            spin_us: options.spin_us,
            memory_mb: options.memory_mb,
            readable: options
                .readable
                .iter()
                .map(|path| text(&std::path::absolute(path).unwrap_or_else(|_| path.clone())))
                .collect(),
        });
        let opened: Opened = worker
            .converse(
                &Question {
                    doing: "the opening of its library",
                    ask: &ask,
                    blobs: &[],
                    limit_ms: Some(options.control_timeout_ms),
                },
                &mut Deaf,
            )
            .and_then(|(value, _)| worker.parse(value))?;
        worker.rest();
        worker.process.rename(&opened.id);
        warn_of_missing(&opened.missing);
        Ok(OpenWorker { worker, opened })
    }

    pub(super) fn is_dead(&self) -> bool {
        self.process.is_dead()
    }

    /// Asks for a value, within the time of control calls.
    pub(super) fn ask<T: DeserializeOwned>(
        &mut self,
        doing: &str,
        ask: &Ask,
        blobs: &[Blob<'_>],
    ) -> CallResult<(T, Vec<Vec<u8>>)> {
        let question = Question {
            doing,
            ask,
            blobs,
            limit_ms: Some(self.control_timeout_ms),
        };
        let (value, blobs) = self.call(&question, &mut Deaf)?;
        Ok((self.parse(value)?, blobs))
    }

    /// Asks a question and listens until it is answered, at most `limit_ms`.
    pub(super) fn call(
        &mut self,
        question: &Question<'_>,
        listener: &mut dyn Listener,
    ) -> CallResult<Answer> {
        let (doing, ask) = (question.doing, question.ask);
        self.process
            .ring
            .word(CANCELLED)
            .store(0, Ordering::Release);
        let sequence = self.submit_control(doing, question.limit_ms)?;
        let answer = self.converse(question, listener);
        if !matches!(answer, Err(CallError::Dead(_))) {
            // The answer is on the socket; its number follows at once.
            let now = SystemClock.now_ns();
            let limit = self.control_timeout_ms.saturating_mul(1_000_000);
            self.process.arm(now.saturating_add(limit));
            self.await_answer(sequence, None, doing)?;
            self.has_model |= matches!(ask, Ask::Create { .. } | Ask::Fit(_));
            self.has_model &= !matches!(ask, Ask::Destroy);
        }
        self.rest();
        self.process.take_log();
        answer
    }

    fn submit_control(&mut self, doing: &str, limit_ms: Option<u64>) -> CallResult<u32> {
        self.process.is_busy.store(true, Ordering::Relaxed);
        if let Some(limit) = limit_ms {
            let now = SystemClock.now_ns();
            self.process
                .arm(now.saturating_add(limit.saturating_mul(1_000_000)));
        }
        let sequence = self.submitted.wrapping_add(1);
        // The slot may still belong to an earlier request.
        self.await_answer(sequence.wrapping_sub(SLOTS), None, doing)?;
        self.process.ring.slot(sequence).set(place::KIND, CONTROL);
        self.submit(sequence);
        Ok(sequence)
    }

    /// Nothing is on its way any more.
    pub(super) fn rest(&self) {
        self.process.disarm();
        self.process.is_busy.store(false, Ordering::Relaxed);
    }

    pub(super) fn submit(&mut self, sequence: u32) {
        self.submitted = sequence;
        self.process.ring.ring(DOORBELL, WORKER_SLEEPS, sequence);
    }

    /// Whether request `sequence` is answered. What lies outside of the requests on their way is no
    /// answer.
    pub(super) fn has_answered(&self, sequence: u32) -> bool {
        let answer = self.process.ring.word(ANSWER).load(Ordering::Acquire);
        let behind = self.submitted.wrapping_sub(answer);
        behind <= self.submitted.wrapping_sub(sequence)
    }

    /// Waits until request `sequence` is answered, until `deadline_ns`, or until the worker is
    /// dead; the monitor sees to it that one of them happens.
    pub(super) fn await_answer(
        &mut self,
        sequence: u32,
        deadline_ns: Option<u64>,
        doing: &str,
    ) -> CallResult<()> {
        loop {
            let (submitted, process) = (self.submitted, &self.process);
            let behind = submitted.wrapping_sub(sequence);
            let answer = process.ring.word(ANSWER);
            let is_there = || submitted.wrapping_sub(answer.load(Ordering::Acquire)) <= behind;
            if self.patience.look(is_there) {
                return Ok(());
            }
            if process.is_dead() {
                return Err(CallError::Dead(process.obituary(doing)));
            }
            let now = SystemClock.now_ns();
            let left = deadline_ns.map_or(u64::MAX, |deadline| deadline.saturating_sub(now));
            if left == 0 {
                return Err(CallError::Late(PluginError::new(
                    Status::Deadline,
                    format!("{}: no answer before the deadline", process.name()),
                )));
            }
            let seen = answer.load(Ordering::SeqCst);
            if submitted.wrapping_sub(seen) > behind {
                let limit = left.min(SLICE_MS * 1_000_000);
                process.ring.sleep(ANSWER, HOST_SLEEPS, seen, limit);
            }
        }
    }

    /// Sends a question and answers those of the worker until its own answer comes.
    fn converse(
        &mut self,
        question: &Question<'_>,
        listener: &mut dyn Listener,
    ) -> CallResult<Answer> {
        if let Some(limit) = question.limit_ms {
            let now = SystemClock.now_ns();
            self.process
                .arm(now.saturating_add(limit.saturating_mul(1_000_000)));
        }
        let outcome = self.talk(question, listener);
        match outcome {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(CallError::Refused(error)),
            Err(error) => Err(self.lost(question.doing, &error)),
        }
    }

    fn talk(
        &self,
        question: &Question<'_>,
        listener: &mut dyn Listener,
    ) -> io::Result<Result<Answer, PluginError>> {
        self.look_at(listener);
        send(
            &mut Sliced {
                worker: self,
                listener,
            },
            question.ask,
            question.blobs,
        )?;
        loop {
            let (say, blobs) = receive(
                &mut Sliced {
                    worker: self,
                    listener,
                },
                Trust::None,
            )?;
            match say {
                Say::Done { value } => return Ok(Ok((value, blobs))),
                Say::Failed(failure) => return Ok(Err(failure.into())),
                question => {
                    let answer = listener.asked(question, blobs);
                    let (reply, arrays) =
                        answer.ok_or_else(|| broken("it asked what nobody may ask now"))?;
                    self.look_at(listener);
                    let arrays: Vec<Blob<'_>> =
                        arrays.iter().map(|array| Blob::Bytes(array)).collect();
                    send(
                        &mut Sliced {
                            worker: self,
                            listener,
                        },
                        &reply,
                        &arrays,
                    )?;
                }
            }
        }
    }

    fn look_at(&self, listener: &mut dyn Listener) {
        let is_cancelled = u32::from(listener.is_cancelled());
        let flag = self.process.ring.word(CANCELLED);
        flag.store(is_cancelled, Ordering::Release);
    }

    /// The socket gives nothing more: learns why, and ends the worker where it still lives.
    #[cold]
    fn lost(&self, doing: &str, error: &io::Error) -> CallError {
        if error.kind() == io::ErrorKind::InvalidData {
            self.process
                .kill(&format!("it broke the protocol: {error}"));
        }
        // A dying process closes its socket a little before it can be waited for.
        if !self.process.await_end(Duration::from_millis(200)) {
            self.process
                .kill(&format!("it no longer speaks to its host ({error})"));
            self.process.await_end(LAST_WAIT);
        }
        CallError::Dead(self.process.obituary(doing))
    }

    /// Reads a value of an answer; a worker that answers something else is ended.
    pub(super) fn parse<T: DeserializeOwned>(&self, value: Value) -> CallResult<T> {
        serde_json::from_value(value)
            .map_err(|error| self.lost("an answer", &broken(&error.to_string())))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if self.has_model && !self.is_dead() && !std::thread::panicking() {
            let is_idle = self.has_answered(self.submitted);
            if is_idle {
                // The process ends in any case.
                let question = Question {
                    doing: "`destroy`",
                    ask: &Ask::Destroy,
                    blobs: &[],
                    limit_ms: Some(DESTROY_MS),
                };
                let _ = self.call(&question, &mut Deaf);
            }
        }
        self.process.kill("its host no longer needs it");
        if !self.process.await_end(LAST_WAIT) {
            tracing::warn!(pid = self.process.pid, "a killed worker is not gone yet");
        }
    }
}

/// The socket with a look at everything else whenever nothing moves.
struct Sliced<'a, 'b> {
    worker: &'a Worker,
    listener: &'b mut dyn Listener,
}

impl Sliced<'_, '_> {
    fn patiently<T>(&mut self, mut go: impl FnMut(&UnixStream) -> io::Result<T>) -> io::Result<T> {
        loop {
            match go(&self.worker.link) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.worker.look_at(self.listener);
                    if self.worker.is_dead() {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                other => return other,
            }
        }
    }
}

impl Read for Sliced<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.patiently(|mut link| link.read(buffer))
    }
}

impl Write for Sliced<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.patiently(|mut link| link.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Tells the operator once what this kernel does not offer.
fn warn_of_missing(missing: &[String]) {
    static WARNED: std::sync::Once = std::sync::Once::new();
    if let Some(line) = missing_line(missing) {
        WARNED.call_once(|| tracing::warn!("{line}"));
    }
}

/// What the operator is told; nothing where every wall stands. A worker says what is missing, so
/// little of it is believed.
fn missing_line(missing: &[String]) -> Option<String> {
    const MOST: usize = 8;
    const MOST_CHARS: usize = 200;
    let plain = |one: &String| -> String {
        let plain = one.chars().filter(|one| !one.is_control());
        plain.take(MOST_CHARS).collect()
    };
    let missing: Vec<String> = missing.iter().take(MOST).map(plain).collect();
    (!missing.is_empty()).then(|| {
        format!(
            "workers run without some of their walls, because this kernel does not offer: {}",
            missing.join("; ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::missing_line;

    #[test]
    fn missing_walls_are_one_bounded_line() {
        assert_eq!(missing_line(&[]), None);
        let seccomp = "seccomp (not built in)".to_owned();
        let line = missing_line(&["Landlock (off)\n".to_owned(), seccomp]).unwrap();
        assert!(
            line.ends_with("does not offer: Landlock (off); seccomp (not built in)"),
            "{line}"
        );
        let long = vec!["x".repeat(10_000); 100];
        assert!(missing_line(&long).unwrap().len() < 2_000);
    }
}
