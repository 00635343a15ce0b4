//! Starting a child process that becomes a worker.
//!
//! A thread of its own starts them all: the kernel ends a worker with the *thread* that started
//! it, and the thread that happens to make a model may end long before the model does.

use std::fs::File;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use fusebox_plugin_api::import::HostServices;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::io::ioctl_fionbio;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
    sendmsg, socketpair,
};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::monitor;
use super::options::WorkerOptions;
use super::process::{Parts, Process, STDERR_BYTES, lock};
use crate::clock::{Clock, SystemClock};
use crate::worker::ring::Ring;

/// This program, also where its file was replaced since it was started.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// What a worker keeps of the host's environment: settings of native libraries.
const KEPT: [&str; 5] = [
    "LD_LIBRARY_PATH",
    "RUST_BACKTRACE",
    "TZ",
    "LANG",
    "ORT_DISABLE_TELEMETRY",
];
const KEPT_PREFIXES: [&str; 3] = ["OMP_", "KMP_", "GOMP_"];

/// A started process and the host's end of its socket.
pub(super) struct Spawned {
    pub(super) process: Arc<Process>,
    pub(super) link: UnixStream,
}

/// Starts a process called `name` in messages and hands it its shared memory.
pub(super) fn spawn(
    name: &str,
    options: &WorkerOptions,
    services: HostServices,
) -> io::Result<Spawned> {
    let (link, far_link) = UnixStream::pair()?;
    let (log, far_log) = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?;
    ioctl_fionbio(&far_log, true)?;
    let (ring, memory) = Ring::create(options.ring_bytes)?;
    let (stderr, far_stderr) = sealed_file()?;
    let mut command = Command::new(options.program.as_deref().unwrap_or(OWN_PROGRAM.as_ref()));
    command
        .arg0("fusebox-worker")
        .args(&options.arguments)
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, _)| is_kept(&name.to_string_lossy())))
        .current_dir("/")
        .stdin(OwnedFd::from(far_link))
        .stdout(Stdio::null())
        .stderr(far_stderr);
    let started_ns = SystemClock.now_ns();
    let child = spawn_on_own_thread(command)?;
    let pid = child.id();
    // Nobody else waits for this child, so its id cannot be another process's by now.
    let id = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let id = id.ok_or_else(|| io::Error::other("the child has no process id"))?;
    let descriptor = pidfd_open(id, PidfdFlags::empty())?;
    let process = Arc::new(Process::new(Parts {
        name: name.to_owned(),
        pid,
        started_ns,
        descriptor,
        ring,
        log,
        stderr,
        services,
    }));
    if let Err(error) = monitor::watch(Arc::clone(&process), options.heartbeat_timeout_ms) {
        process.kill("the monitor cannot watch it");
        return Err(error);
    }
    if let Err(error) = hand_over(&link, &memory, &far_log) {
        process.kill("it does not take its shared memory");
        return Err(error);
    }
    Ok(Spawned { process, link })
}

fn is_kept(name: &str) -> bool {
    KEPT.contains(&name) || KEPT_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// A file in memory for the standard error: nobody has to read it, and it cannot grow.
fn sealed_file() -> io::Result<(File, Stdio)> {
    let file = memfd_create(
        "fusebox-worker-stderr",
        MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING,
    )?;
    ftruncate(&file, STDERR_BYTES)?;
    fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    let far = file.try_clone()?;
    Ok((File::from(file), Stdio::from(far)))
}

fn hand_over(link: &UnixStream, memory: &OwnedFd, log: &OwnedFd) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [memory.as_fd(), log.as_fd()];
    if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::Error::other("no room for two descriptors"));
    }
    sendmsg(
        link,
        &[IoSlice::new(&[1])],
        &mut control,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

struct Job {
    command: Command,
    done: SyncSender<io::Result<Child>>,
}

/// Children that may wait to be started.
const MOST_WAITING: usize = 64;

fn spawn_on_own_thread(command: Command) -> io::Result<Child> {
    static SPAWNER: Mutex<Option<SyncSender<Job>>> = Mutex::new(None);
    let gone = || io::Error::other("the thread that starts workers is gone");
    let jobs = {
        let mut spawner = lock(&SPAWNER);
        match &*spawner {
            Some(jobs) => jobs.clone(),
            None => spawner.insert(start_spawner()?).clone(),
        }
    };
    let (done, answer) = sync_channel(1);
    jobs.send(Job { command, done }).map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}

fn start_spawner() -> io::Result<SyncSender<Job>> {
    let (jobs, waiting): (_, Receiver<Job>) = sync_channel(MOST_WAITING);
    let work = move || {
        for mut job in waiting {
            // Whoever asked may have been unwound.
            let _ = job.done.send(job.command.spawn());
        }
    };
    std::thread::Builder::new()
        .name("fusebox-spawner".to_owned())
        .spawn(work)?;
    Ok(jobs)
}
