//! The life of a worker: take what the host hands over, shut oneself in, open the plugin, answer.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

use fusebox_plugin_api::abi::{LEARNER_ID, MODEL_ID};
use fusebox_plugin_api::error::{PluginError, Result as PluginResult, Status};
use fusebox_plugin_api::frame::{Frame, FrameShape};
use fusebox_plugin_api::import::HostServices;
use fusebox_plugin_api::model::Model;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use super::jail::{self, Limits};
use super::ring::{
    ANSWER, BEAT, CONTRIBUTIONS, CONTROL, DEADLINE, DOORBELL, EVENT, HOST_SLEEPS, Patience,
    PieceShape, REPLAY, ROW_EVENTS, Ring, SYMBOLS, Slot, WORKER_SLEEPS, place,
};
use super::wire::{Ask, Failure, Opened, Opening, PROTOCOL, Say, Trust, receive, send};
use crate::backend::{Backend, DylibBackend, OpenPlugin, Prepared};

/// Longest sleep of an idle worker, nanoseconds; it shows that it lives each time it wakes.
pub(crate) const BEAT_NS: u64 = 100_000_000;

/// Longest text of a log message.
pub(crate) const LOG_BYTES: usize = 2048;

/// Bytes of the standard error after which the next text begins at its start again.
pub(crate) const STDERR_TURN: u64 = 192 << 10;

/// Why a worker ends by itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// There is no host at the other end.
    #[error("a worker is started by a host, with a socket as its standard input: {0}")]
    NoHost(io::Error),
    /// Host and worker are of different versions.
    #[error("the host speaks worker protocol {host}, this program {own}; start both from one file")]
    Protocol {
        /// The host's number.
        host: u32,
        /// This program's number.
        own: u32,
    },
    /// Something of the operating system failed.
    #[error("the worker cannot go on: {0}")]
    Io(#[from] io::Error),
}

/// Runs a worker until its host is gone. Called by a process that was started for it, before it
/// has a second thread or an open file of its own.
///
/// # Errors
/// [`ServeError`] where there is no host, or no understanding with it.
pub fn serve() -> Result<(), ServeError> {
    jail::prepare()?;
    if let Ok(name) = CString::new("fusebox-worker") {
        // Only a name for process lists.
        let _ = rustix::thread::set_name(&name);
    }
    let socket = io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .map_err(ServeError::NoHost)?;
    // As a file: the jail allows reading and writing, but no call for sockets.
    let mut link = File::from(socket);
    let (memory, log) = handed_over(&link).map_err(ServeError::NoHost)?;
    let (ask, _) = receive(&mut link, Trust::Full)?;
    let Ask::Open(opening) = ask else {
        return Err(io::Error::other("the first message is another one").into());
    };
    if opening.protocol != PROTOCOL {
        let (host, own) = (opening.protocol, PROTOCOL);
        return Err(ServeError::Protocol { host, own });
    }
    let ring = Ring::map(
        &memory,
        usize::try_from(opening.ring_bytes).map_err(io::Error::other)?,
    )?;
    drop(memory);
    let missing = jail::enter(&Limits {
        memory_mb: opening.memory_mb,
        library: PathBuf::from(&opening.library),
        readable: opening.readable.iter().map(PathBuf::from).collect(),
    });
    match open(&opening, log) {
        Ok(plugin) => {
            let opened = Say::Done {
                value: serde_json::to_value(facts(&*plugin, missing)).map_err(io::Error::other)?,
            };
            send(&mut link, &opened, &[])?;
            Server::new(link, ring, plugin, opening.spin_us).run()?;
        }
        Err(error) => send(&mut link, &Say::Failed(Failure::from(&error)), &[])?,
    }
    Ok(())
}

/// The shared memory and the end of the log, which come with the first byte.
fn handed_over(link: &File) -> io::Result<(OwnedFd, OwnedFd)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(
        link,
        &mut [IoSliceMut::new(&mut byte)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let mut found = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            found.extend(descriptors);
        }
    }
    let mut found = found.into_iter();
    match (found.next(), found.next()) {
        (Some(memory), Some(log)) => Ok((memory, log)),
        _ => Err(io::Error::other("the host handed over no shared memory")),
    }
}

fn open(opening: &Opening, log: OwnedFd) -> PluginResult<Box<dyn OpenPlugin>> {
    let services = HostServices::new(opening.generation, move |level, text: &str| {
        let mut end = text.len().min(LOG_BYTES);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let mut message = (level as i32).to_le_bytes().to_vec();
        message.extend(&text.as_bytes()[..end]);
        // A host that does not keep up loses messages, never the worker's time.
        let _ = rustix::io::write(&log, &message);
    });
    let prepared = Prepared {
        path: PathBuf::from(&opening.library),
        origin: PathBuf::from(&opening.origin),
    };
    DylibBackend::new(prepared)
        .open(services)
        .map_err(|error| PluginError::library(error.to_string()))
}

fn facts(plugin: &dyn OpenPlugin, missing: Vec<String>) -> Opened {
    Opened {
        protocol: PROTOCOL,
        id: plugin.id().to_owned(),
        version: plugin.version().to_owned(),
        capabilities: plugin.capabilities(),
        has_model: plugin.has_factory(MODEL_ID),
        has_learner: plugin.has_factory(LEARNER_ID) && plugin.learner().is_some(),
        missing,
    }
}

/// A worker whose plugin is open.
pub(super) struct Server {
    pub(super) link: Mutex<File>,
    pub(super) ring: Ring,
    pub(super) plugin: Box<dyn OpenPlugin>,
    pub(super) model: Option<Box<dyn Model>>,
    patience: Patience,
    rows: Rows,
}

impl Server {
    fn new(link: File, ring: Ring, plugin: Box<dyn OpenPlugin>, spin_us: u64) -> Self {
        Self {
            link: Mutex::new(link),
            ring,
            plugin,
            model: None,
            patience: Patience::new(spin_us),
            rows: Rows::default(),
        }
    }

    /// Answers requests in their order, until the host is gone.
    fn run(&mut self) -> io::Result<()> {
        let mut done: u32 = 0;
        loop {
            let next = done.wrapping_add(1);
            self.await_request(done);
            if self.ring.slot(next).get(place::KIND) == CONTROL {
                if !self.answer_message()? {
                    return Ok(());
                }
            } else {
                self.answer_rows(next);
            }
            self.ring.ring(ANSWER, HOST_SLEEPS, next);
            done = next;
        }
    }

    fn await_request(&mut self, done: u32) {
        let ring = &self.ring;
        let is_there = || ring.word(DOORBELL).load(Ordering::Acquire) != done;
        while !self.patience.look(is_there) {
            ring.sleep(DOORBELL, WORKER_SLEEPS, done, BEAT_NS);
            ring.word(BEAT).fetch_add(1, Ordering::Relaxed);
            turn_stderr();
        }
    }

    fn answer_rows(&mut self, sequence: u32) {
        let slot = self.ring.slot(sequence);
        let shape = PieceShape {
            rows: slot.get(place::ROWS) as usize,
            window: slot.get(place::WINDOW) as usize,
            columns: slot.get(place::COLUMNS) as usize,
            outputs: slot.get(place::OUTPUTS) as usize,
            flags: slot.get(place::FLAGS),
        };
        let outcome = if self.ring.fits(&shape) {
            self.rows.answer(&slot, shape, self.model.as_deref_mut())
        } else {
            Err(PluginError::internal(
                "a piece of a frame does not fit into its slot",
            ))
        };
        match outcome {
            Ok(()) => slot.set(place::STATUS, 0),
            Err(error) => {
                slot.write_error(error.message());
                slot.set(place::STATUS, error.status().code() as u32);
            }
        }
    }

    pub(super) fn say(&self, say: &Say, blobs: &[super::wire::Blob<'_>]) -> io::Result<()> {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        send(&mut *link, say, blobs)
    }
}

/// Starts the standard error over where it is nearly full; its newest lines are those that count.
fn turn_stderr() {
    use rustix::fs::{SeekFrom, seek};
    let error = io::stderr();
    if seek(&error, SeekFrom::Current(0)).is_ok_and(|at| at > STDERR_TURN) {
        let _ = seek(&error, SeekFrom::Start(0));
    }
}

/// What a plugin may not write to, before and after the answers.
const CANARY: f32 = f32::from_bits(0x7FC0_BEEF);
const CANARIES: usize = 16;

/// The rows of a request in this process's own memory: a plugin never sees the shared one.
#[derive(Default)]
struct Rows {
    input: Vec<f32>,
    output: Vec<f32>,
    row_events: Vec<i64>,
    symbols: Vec<u32>,
}

impl Rows {
    fn answer(
        &mut self,
        slot: &Slot<'_>,
        shape: PieceShape,
        model: Option<&mut (dyn Model + 'static)>,
    ) -> PluginResult<()> {
        let model = model.ok_or_else(|| PluginError::state("the worker has no model yet"))?;
        self.read(slot, shape);
        let (first, last) = (CANARIES, CANARIES + shape.rows * shape.outputs);
        let whole = FrameShape {
            window: shape.window,
            row_stride: shape.window * shape.columns,
            ..FrameShape::dense(shape.rows, shape.columns, shape.outputs)
        };
        let mut frame = Frame::new(&self.input, &mut self.output[first..last], whole)?
            .with_replay(shape.flags & REPLAY != 0);
        if shape.flags & EVENT != 0 {
            frame = frame.with_event_ns(slot.get_wide(place::EVENT_NS).cast_signed());
        }
        if shape.flags & DEADLINE != 0 {
            frame = frame.with_deadline_ns(slot.get_wide(place::DEADLINE_NS));
        }
        if shape.flags & ROW_EVENTS != 0 {
            frame = frame.with_row_event_ns(&self.row_events)?;
        }
        if shape.flags & SYMBOLS != 0 {
            frame = frame.with_symbols(&self.symbols)?;
        }
        if slot.get(place::KIND) == CONTRIBUTIONS {
            let explain = model
                .explain()
                .ok_or_else(|| PluginError::unsupported("explanations"))?;
            explain.contributions(&mut frame)?;
        } else {
            model.predict(&mut frame)?;
        }
        slot.write_floats(shape.places().output, &self.output[first..last]);
        let is_canary = |value: &f32| value.to_bits() == CANARY.to_bits();
        let (before, after) = (&self.output[..first], &self.output[last..]);
        if before.iter().chain(after).all(is_canary) {
            return Ok(());
        }
        // This process's memory is no longer to be trusted; the host gets its answer and the state
        // goes with the next worker.
        Err(PluginError::new(
            Status::Internal,
            "the plugin wrote outside of its answers",
        ))
    }

    fn read(&mut self, slot: &Slot<'_>, shape: PieceShape) {
        let places = shape.places();
        self.input
            .resize(shape.rows * shape.window * shape.columns, 0.0);
        slot.read_floats(places.input, &mut self.input);
        let outputs = shape.rows * shape.outputs;
        self.output.clear();
        self.output.resize(outputs + 2 * CANARIES, CANARY);
        slot.read_floats(
            places.output,
            &mut self.output[CANARIES..CANARIES + outputs],
        );
        if shape.flags & ROW_EVENTS != 0 {
            let times = (0..shape.rows).map(|row| slot.get_wide(places.row_events + 2 * row));
            self.row_events.clear();
            self.row_events.extend(times.map(u64::cast_signed));
        }
        if shape.flags & SYMBOLS != 0 {
            self.symbols.clear();
            self.symbols
                .extend((0..shape.rows).map(|row| slot.get(places.symbols + row)));
        }
    }
}
