//! Traps: functions and system calls that the plugin must not reach while they are set.
//!
//! A function trap is a breakpoint on the first instruction of a function of the C library, as a
//! debugger sets it, so it sees every caller: the plugin, the C++ library, the C library itself. A
//! system-call trap is a seccomp filter of this thread. Whoever steps into one ends this process
//! with a verdict that says what was called and from where. Both are for a process that ends soon.
#![allow(
    unsafe_code,
    reason = "installs signal handlers and writes a breakpoint into libc"
)]

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_int, c_void};
use std::fmt::Write as _;
use std::io;
use std::mem::zeroed;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use rustix::mm::{MprotectFlags, mprotect};
use rustix::param::page_size;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

use super::child::VERDICT_FD;
use super::{Stop, Verdict, process};

/// Functions that take or give back memory.
pub(super) const ALLOCATION: [&str; 8] = [
    "malloc",
    "calloc",
    "realloc",
    "free",
    "posix_memalign",
    "aligned_alloc",
    "memalign",
    "reallocarray",
];

/// Functions that open files or sockets, start threads or processes, or write.
pub(super) const OUTSIDE: [&str; 33] = [
    "open",
    "open64",
    "openat",
    "openat64",
    "creat",
    "fopen",
    "fopen64",
    "opendir",
    "shm_open",
    "socket",
    "connect",
    "bind",
    "pthread_create",
    "fork",
    "vfork",
    "execve",
    "posix_spawn",
    "system",
    "popen",
    "write",
    "unlink",
    "rename",
    "printf",
    "puts",
    "putchar",
    "fputs",
    "fputc",
    "fprintf",
    "vprintf",
    "vfprintf",
    "fwrite",
    "__printf_chk",
    "__fprintf_chk",
];

/// What a breakpoint overwrites: `int3`.
#[cfg(target_arch = "x86_64")]
const BREAKPOINT: u8 = 0xCC;

#[derive(Debug)]
struct Trap {
    name: &'static str,
    address: usize,
    original: u8,
}

#[derive(Debug)]
struct Armed {
    traps: Vec<Trap>,
    /// The library whose code is looked for among the callers.
    library: String,
    what: &'static str,
}

/// The traps that are set, or NULL.
static ARMED: AtomicPtr<Armed> = AtomicPtr::new(ptr::null_mut());

/// Sets traps on `names` until [`disarm`]; `library` is the end of the plugin's path, `what` says
/// what is going on meanwhile. Names that this C library does not have are passed over.
#[cfg(target_arch = "x86_64")]
pub(super) fn arm(names: &[&'static str], library: &str, what: &'static str) -> Result<(), Stop> {
    handle(libc::SIGTRAP, on_breakpoint)?;
    let mut traps: Vec<Trap> = Vec::new();
    for name in names {
        let Ok(symbol) = CString::new(*name) else {
            continue;
        };
        // SAFETY: the name is NUL-terminated; the default handle is always valid.
        let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, symbol.as_ptr()) } as usize;
        if address == 0 || traps.iter().any(|trap| trap.address == address) {
            continue;
        }
        // SAFETY: a function of the C library is readable.
        let original = unsafe { ptr::read_volatile(address as *const u8) };
        traps.push(Trap {
            name,
            address,
            original,
        });
    }
    let library = library.to_owned();
    let armed = Box::leak(Box::new(Armed {
        traps,
        library,
        what,
    }));
    ARMED.store(ptr::from_mut(armed), Ordering::Release);
    // From here on nothing of ours may call a trapped function.
    for trap in &armed.traps {
        write_code(trap.address, BREAKPOINT)
            .map_err(|error| format!("cannot set a breakpoint on {}: {error}", trap.name))?;
    }
    Ok(())
}

/// Breakpoints are known for one machine only.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn arm(_: &[&'static str], _: &str, _: &'static str) -> Result<(), Stop> {
    super::skip("this machine is not x86-64, for which alone the kit can set breakpoints")
}

/// Takes the traps away.
pub(super) fn disarm() {
    let armed = ARMED.swap(ptr::null_mut(), Ordering::AcqRel);
    // SAFETY: what is stored there is leaked and never written again.
    if let Some(armed) = unsafe { armed.cast_const().as_ref() } {
        for trap in &armed.traps {
            // A function that cannot be put right still has its breakpoint, and its handler ends
            // this process with a verdict.
            let _ = write_code(trap.address, trap.original);
        }
    }
}

fn write_code(address: usize, byte: u8) -> rustix::io::Result<()> {
    let page = address & !(page_size() - 1);
    let all = MprotectFlags::READ | MprotectFlags::WRITE | MprotectFlags::EXEC;
    let page = page as *mut c_void;
    // SAFETY: the page is mapped, because a function lies in it; it stays readable and executable.
    unsafe { mprotect(page, page_size(), all) }?;
    // SAFETY: the page is writable now; a byte is written whole or not at all.
    unsafe { ptr::write_volatile(address as *mut u8, byte) };
    // SAFETY: as before, and the right to write goes.
    unsafe { mprotect(page, page_size(), MprotectFlags::READ | MprotectFlags::EXEC) }
}

type Handler = extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);

fn handle(signal: c_int, handler: Handler) -> Result<(), Stop> {
    // SAFETY: zero is valid for every field of the struct.
    let mut action: libc::sigaction = unsafe { zeroed() };
    action.sa_sigaction = handler as usize;
    action.sa_flags = libc::SA_SIGINFO;
    // SAFETY: the action is complete, and the old one is not asked for.
    let code = unsafe { libc::sigaction(signal, &action, ptr::null_mut()) };
    if code == 0 {
        return Ok(());
    }
    Err(Stop::Fail(format!(
        "cannot handle signal {signal}: {}",
        io::Error::last_os_error()
    )))
}

/// Ends the process with the caller's verdict. The stopped function has not begun, so it holds no
/// lock, and once the traps are gone everything may be called again.
#[cfg(target_arch = "x86_64")]
extern "C" fn on_breakpoint(_: c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
    let armed = ARMED.load(Ordering::Acquire);
    disarm();
    // SAFETY: the kernel passes the context of the stopped thread.
    let Some(context) = (unsafe { context.cast::<libc::ucontext_t>().cast_const().as_ref() })
    else {
        exit_at_once();
    };
    let registers = &context.uc_mcontext.gregs;
    let at = registers[libc::REG_RIP as usize] as usize - 1;
    let stack = registers[libc::REG_RSP as usize] as *const u64;
    // SAFETY: what is stored there is leaked and never written again.
    let found = match unsafe { armed.cast_const().as_ref() } {
        Some(armed) => {
            let trap = armed.traps.iter().find(|trap| trap.address == at);
            let name = trap.map_or("an unknown breakpoint", |trap| trap.name);
            format!(
                "called `{name}` {}{}",
                armed.what,
                callers(stack, &armed.library)
            )
        }
        None => "stepped on a breakpoint of its own".to_owned(),
    };
    say_and_exit(&Verdict::Failed { found });
}

/// Who called, from the return address and the first address of the plugin on the stack.
#[cfg(target_arch = "x86_64")]
fn callers(stack: *const u64, library: &str) -> String {
    const WORDS: usize = 512;
    let range = process::code_range(library);
    // SAFETY: at the first instruction of a function the return address is on top of the stack.
    let caller = unsafe { stack.read() };
    let mut text = String::new();
    let mut plugin_at = None;
    for word in 0..WORDS {
        // SAFETY: the stack of a thread goes on above its top; main's is preceded by its arguments.
        let place = unsafe { stack.add(word) };
        // SAFETY: as above.
        let value = unsafe { place.read_volatile() };
        if let Some((base, start, end)) = range
            && (start..end).contains(&value)
        {
            plugin_at = Some(value - base);
            break;
        }
    }
    if let Some(offset) = plugin_at {
        // A String takes every write.
        let _ = write!(
            text,
            ", at +{offset:#x} of the library (`addr2line -f -e LIBRARY`)"
        );
    }
    let is_direct = range.is_some_and(|(_, start, end)| (start..end).contains(&caller));
    if let Some((object, name)) = nearest_symbol(caller).filter(|_| !is_direct) {
        let name = name.map_or_else(String::new, |name| format!(" (`{name}`)"));
        let _ = write!(text, ", through {object}{name}");
    }
    text
}

#[cfg(target_arch = "x86_64")]
fn nearest_symbol(address: u64) -> Option<(String, Option<String>)> {
    // SAFETY: zero is valid for every field of the struct.
    let mut info: libc::Dl_info = unsafe { zeroed() };
    // SAFETY: any address may be asked for.
    let is_known = unsafe { libc::dladdr(address as *const c_void, &mut info) } != 0;
    if !is_known || info.dli_fname.is_null() {
        return None;
    }
    // SAFETY: the linker's own text, which lives as long as the object.
    let object = unsafe { CStr::from_ptr(info.dli_fname) }
        .to_string_lossy()
        .into_owned();
    let name = (!info.dli_sname.is_null()).then(|| {
        // SAFETY: as above.
        unsafe { CStr::from_ptr(info.dli_sname) }
            .to_string_lossy()
            .into_owned()
    });
    Some((object, name))
}

/// From here on this thread may make no system call but the one that says the verdict, and the
/// exit. There is no way back.
pub(super) fn forbid_system_calls() -> Result<(), Stop> {
    handle(libc::SIGSYS, on_system_call)?;
    let program =
        filter().map_err(|error| Stop::Skip(format!("no system-call filter: {error}")))?;
    seccompiler::apply_filter(&program)
        .map_err(|error| Stop::Skip(format!("this kernel takes no system-call filter: {error}")))
}

fn filter() -> Result<BpfProgram, seccompiler::BackendError> {
    let to_verdict = SeccompCondition::new(
        0,
        SeccompCmpArgLen::Dword,
        SeccompCmpOp::Eq,
        VERDICT_FD as u64,
    )?;
    let rules: BTreeMap<i64, Vec<SeccompRule>> = [
        (libc::SYS_write, vec![SeccompRule::new(vec![to_verdict])?]),
        (libc::SYS_exit_group, Vec::new()),
        (libc::SYS_rt_sigreturn, Vec::new()),
    ]
    .into();
    let arch = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, SeccompAction::Trap, SeccompAction::Allow, arch)?.try_into()
}

/// Writes a verdict without allocating, and ends the process.
extern "C" fn on_system_call(_: c_int, info: *mut libc::siginfo_t, _: *mut c_void) {
    /// Offset of the system call's number in the information of SIGSYS, on 64-bit Linux.
    const NUMBER_AT: usize = 24;
    // SAFETY: the kernel passes the information of the signal, which is longer than this.
    let number = unsafe { info.cast::<u8>().add(NUMBER_AT) };
    // SAFETY: as above; the field is an aligned 32-bit number.
    let number = unsafe { number.cast::<i32>().read() };
    let mut text = FixedText::default();
    // A number always fits.
    let _ = writeln!(text, "{{\"verdict\":\"system-call\",\"number\":{number}}}");
    write_verdict(&text.bytes[..text.len]);
    exit_at_once();
}

/// Says the last verdict of this process and ends it, with two system calls.
pub(super) fn say_and_exit(verdict: &Verdict) -> ! {
    let mut line = serde_json::to_vec(verdict).unwrap_or_default();
    line.push(b'\n');
    write_verdict(&line);
    exit_at_once();
}

/// A verdict in words, made before the traps are set.
pub(super) fn prepare(verdict: &Verdict) -> Vec<u8> {
    let mut line = serde_json::to_vec(verdict).unwrap_or_default();
    line.push(b'\n');
    line
}

/// Says a prepared verdict and ends the process.
pub(super) fn say_prepared_and_exit(line: &[u8]) -> ! {
    write_verdict(line);
    exit_at_once();
}

fn write_verdict(bytes: &[u8]) {
    // SAFETY: the bytes are live. A short write loses the verdict, and the parent says so.
    unsafe { libc::write(VERDICT_FD, bytes.as_ptr().cast(), bytes.len()) };
}

fn exit_at_once() -> ! {
    // SAFETY: ends the process without running anything more of it.
    unsafe { libc::_exit(0) }
}

/// Text in memory of its own, because the heap may not be touched.
#[derive(Debug)]
struct FixedText {
    bytes: [u8; 96],
    len: usize,
}

impl Default for FixedText {
    fn default() -> Self {
        let bytes = [0; 96];
        Self { bytes, len: 0 }
    }
}

impl std::fmt::Write for FixedText {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let room = self
            .bytes
            .get_mut(self.len..self.len + text.len())
            .ok_or(std::fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}

/// The name of a system call, for the words of a verdict.
pub(super) fn system_call_name(number: i64) -> String {
    const NAMES: [(i64, &str); 40] = [
        (libc::SYS_read, "read"),
        (libc::SYS_write, "write"),
        (libc::SYS_openat, "openat"),
        (libc::SYS_close, "close"),
        (libc::SYS_fstat, "fstat"),
        (libc::SYS_newfstatat, "newfstatat"),
        (libc::SYS_lseek, "lseek"),
        (libc::SYS_mmap, "mmap"),
        (libc::SYS_munmap, "munmap"),
        (libc::SYS_mremap, "mremap"),
        (libc::SYS_mprotect, "mprotect"),
        (libc::SYS_madvise, "madvise"),
        (libc::SYS_brk, "brk"),
        (libc::SYS_ioctl, "ioctl"),
        (libc::SYS_writev, "writev"),
        (libc::SYS_futex, "futex"),
        (libc::SYS_sched_yield, "sched_yield"),
        (libc::SYS_nanosleep, "nanosleep"),
        (libc::SYS_clock_nanosleep, "clock_nanosleep"),
        (libc::SYS_clock_gettime, "clock_gettime"),
        (libc::SYS_gettimeofday, "gettimeofday"),
        (libc::SYS_getpid, "getpid"),
        (libc::SYS_gettid, "gettid"),
        (libc::SYS_getppid, "getppid"),
        (libc::SYS_getcpu, "getcpu"),
        (libc::SYS_sched_getaffinity, "sched_getaffinity"),
        (libc::SYS_tgkill, "tgkill"),
        (libc::SYS_ppoll, "ppoll"),
        (libc::SYS_pselect6, "pselect6"),
        (libc::SYS_epoll_pwait, "epoll_pwait"),
        (libc::SYS_pread64, "pread64"),
        (libc::SYS_pwrite64, "pwrite64"),
        (libc::SYS_membarrier, "membarrier"),
        (libc::SYS_getrandom, "getrandom"),
        (libc::SYS_socket, "socket"),
        (libc::SYS_sendto, "sendto"),
        (libc::SYS_recvfrom, "recvfrom"),
        (libc::SYS_clone, "clone"),
        (libc::SYS_clone3, "clone3"),
        (libc::SYS_rt_sigprocmask, "rt_sigprocmask"),
    ];
    let known = NAMES.iter().find(|(known, _)| *known == number);
    known.map_or_else(
        || format!("number {number}"),
        |(_, name)| format!("`{name}`"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_can_be_made_and_calls_have_names() {
        assert!(!filter().unwrap().is_empty());
        assert_eq!(system_call_name(libc::SYS_futex), "`futex`");
        assert_eq!(system_call_name(9999), "number 9999");
    }
}
