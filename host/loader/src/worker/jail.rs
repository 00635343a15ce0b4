//! The jail of a worker process: limits, files, system calls. Entered before any code of a plugin
//! is mapped, and nothing leads out of it.
//!
//! | layer | what it takes away |
//! |---|---|
//! | limits | core dumps, address space, large files, many descriptors |
//! | `no_new_privs` | gaining rights through a program |
//! | Landlock | the network, and files but those of the system, the plugin and the operator |
//! | seccomp | all but memory, threads of this process, time and reading of files |
//!
//! What the kernel does not offer is reported, so that the host can tell the operator. The number
//! of processes needs no limit: the filter lets nothing start one, and the kernel counts that limit
//! per user, so it would hit the user's other programs.
#![allow(unsafe_code, reason = "closes the descriptors that were inherited")]

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, Scope, path_beneath_rules,
};
use rustix::process::{
    Resource, Rlimit, Signal, getpid, set_parent_process_death_signal, setrlimit,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

/// What a worker may use.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    pub(super) memory_mb: u64,
    pub(super) library: PathBuf,
    pub(super) readable: Vec<PathBuf>,
}

/// Most bytes of a file; more than the standard error takes, so that its end is no signal.
const FILE_BYTES: u64 = 4 << 20;
const DESCRIPTORS: u64 = 256;

/// What a dynamic linker and a C library read.
const SYSTEM_PATHS: [&str; 18] = [
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/etc/ld.so.cache",
    "/etc/ld.so.preload",
    "/etc/localtime",
    "/usr/share/zoneinfo",
    "/dev/null",
    "/dev/zero",
    "/dev/urandom",
    "/proc/self/maps",
    "/proc/self/status",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/sys/devices/system/cpu",
];

/// Lets this process die with its parent, and closes what it was not given on purpose.
pub(super) fn prepare() -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // SAFETY: called first of all, when nothing in this process owns a descriptor above 2.
    let closed = unsafe { libc::close_range(3, libc::c_uint::MAX, 0) };
    if closed != 0 {
        tracing::debug!("close_range: {}", io::Error::last_os_error());
    }
    Ok(())
}

/// What builds the walls: the kernel, or a test that plays one which does not offer them.
trait Builder {
    fn limit(&self, resource: Resource, most: u64) -> io::Result<()>;
    fn no_new_privs(&self) -> io::Result<()>;
    fn files(&self, limits: &Limits) -> Result<RulesetStatus, String>;
    fn calls(&self) -> Result<(), String>;
}

struct Kernel;

impl Builder for Kernel {
    fn limit(&self, resource: Resource, most: u64) -> io::Result<()> {
        let most = Some(most);
        let limit = Rlimit {
            current: most,
            maximum: most,
        };
        Ok(setrlimit(resource, limit)?)
    }

    fn no_new_privs(&self) -> io::Result<()> {
        Ok(rustix::thread::set_no_new_privs(true)?)
    }

    fn files(&self, limits: &Limits) -> Result<RulesetStatus, String> {
        restrict_files(limits).map_err(|error| error.to_string())
    }

    fn calls(&self) -> Result<(), String> {
        restrict_calls().map_err(|error| error.to_string())
    }
}

/// Shuts this process in and tells which walls this kernel cannot build. Those that it can build
/// stand whatever is missing, and the worker goes on: whether that is enough is the operator's
/// decision, whom the host tells.
pub(super) fn enter(limits: &Limits) -> Vec<String> {
    build(&Kernel, limits)
}

fn build(builder: &dyn Builder, limits: &Limits) -> Vec<String> {
    let mut missing = Vec::new();
    for (resource, name, most) in [
        (Resource::Core, "core", 0),
        (
            Resource::As,
            "address space",
            limits.memory_mb.saturating_mul(1 << 20),
        ),
        (Resource::Fsize, "file size", FILE_BYTES),
        (Resource::Nofile, "descriptors", DESCRIPTORS),
    ] {
        if let Err(error) = builder.limit(resource, most) {
            missing.push(format!("limit of {name} ({error})"));
        }
    }
    if let Err(error) = builder.no_new_privs() {
        missing.push(format!("no_new_privs ({error})"));
    }
    match builder.files(limits) {
        Ok(RulesetStatus::NotEnforced) => {
            missing.push("Landlock (this kernel does not have it, or it is switched off)".into());
        }
        Ok(_) => {}
        Err(error) => missing.push(format!("Landlock ({error})")),
    }
    if let Err(error) = builder.calls() {
        missing.push(format!("seccomp ({error})"));
    }
    missing
}

fn restrict_files(limits: &Limits) -> Result<RulesetStatus, landlock::RulesetError> {
    let reading = AccessFs::ReadFile | AccessFs::ReadDir;
    let system = SYSTEM_PATHS.iter().map(Path::new);
    let own = std::iter::once(limits.library.as_path());
    let readable = limits.readable.iter().map(PathBuf::as_path);
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI::V5))?
        .handle_access(AccessNet::from_all(ABI::V4))?
        .scope(Scope::from_all(ABI::V6))?
        .create()?
        .add_rules(path_beneath_rules(
            system.chain(own).chain(readable),
            reading,
        ))?
        .restrict_self()?;
    Ok(status.ruleset)
}

/// Installs two filters, because one has a single answer for what it refuses: the C library falls
/// back from `clone3`, whose flags a filter cannot see, to `clone` only where it does not exist.
fn restrict_calls() -> Result<(), seccompiler::Error> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let no_clone3 = SeccompFilter::new(
        [(libc::SYS_clone3, Vec::new())].into(),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::ENOSYS as u32),
        arch,
    )?;
    let allowed = SeccompFilter::new(
        allowed_calls()?,
        SeccompAction::Errno(libc::EPERM as u32),
        SeccompAction::Allow,
        arch,
    )?;
    for filter in [no_clone3, allowed] {
        seccompiler::apply_filter_all_threads(&BpfProgram::try_from(filter)?)?;
    }
    Ok(())
}

/// System calls that are allowed whatever their arguments are.
const ALLOWED: &[i64] = &[
    // Memory.
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_mincore,
    libc::SYS_mlock,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munlock,
    libc::SYS_munmap,
    libc::SYS_get_mempolicy,
    // Files that are open, and what is known about others.
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fadvise64,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_lseek,
    libc::SYS_newfstatat,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_pwrite64,
    libc::SYS_read,
    libc::SYS_readlinkat,
    libc::SYS_readv,
    libc::SYS_statfs,
    libc::SYS_statx,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    libc::SYS_pipe2,
    libc::SYS_eventfd2,
    // Threads of this process.
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_futex_waitv,
    libc::SYS_get_robust_list,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_rseq,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_getattr,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_sched_get_priority_max,
    libc::SYS_sched_get_priority_min,
    libc::SYS_getpriority,
    libc::SYS_getcpu,
    // Allowed here and refused by the filter before.
    libc::SYS_clone3,
    // Signals to itself.
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigpending,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigsuspend,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_sigaltstack,
    // Time, identity, chance.
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_getrandom,
    libc::SYS_gettimeofday,
    libc::SYS_nanosleep,
    libc::SYS_times,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getrusage,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_sysinfo,
    libc::SYS_uname,
];

/// Older names of calls above.
#[cfg(target_arch = "x86_64")]
const ALLOWED_OLD: &[i64] = &[
    libc::SYS_access,
    libc::SYS_arch_prctl,
    libc::SYS_dup2,
    libc::SYS_getdents,
    libc::SYS_getrlimit,
    libc::SYS_lstat,
    libc::SYS_pause,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_readlink,
    libc::SYS_select,
    libc::SYS_stat,
    libc::SYS_time,
];
#[cfg(not(target_arch = "x86_64"))]
const ALLOWED_OLD: &[i64] = &[];

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Every allowed call with the arguments that it is allowed with.
fn allowed_calls() -> Result<Rules, seccompiler::Error> {
    use SeccompCmpOp::{Eq, MaskedEq};
    const THREAD: u64 = (libc::CLONE_VM | libc::CLONE_SIGHAND | libc::CLONE_THREAD) as u64;
    const WRITING: u64 =
        (libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC | libc::O_APPEND | libc::O_PATH) as u64;
    let own_pid = getpid().as_raw_nonzero().get() as u64;
    let plain = ALLOWED
        .iter()
        .chain(ALLOWED_OLD)
        .map(|call| (*call, Vec::new()));
    let mut rules: Rules = plain.collect();
    let mut only = |call: i64, argument: u8, how: SeccompCmpOp, value: u64| {
        let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, how, value)?;
        rules
            .entry(call)
            .or_default()
            .push(SeccompRule::new(vec![condition])?);
        Ok::<_, seccompiler::BackendError>(())
    };
    only(libc::SYS_clone, 0, MaskedEq(THREAD), THREAD)?;
    only(
        libc::SYS_openat,
        2,
        MaskedEq(WRITING),
        libc::O_RDONLY as u64,
    )?;
    #[cfg(target_arch = "x86_64")]
    only(libc::SYS_open, 1, MaskedEq(WRITING), libc::O_RDONLY as u64)?;
    for call in [libc::SYS_tgkill, libc::SYS_kill] {
        only(call, 0, Eq, own_pid)?;
    }
    only(libc::SYS_ioctl, 1, Eq, libc::TCGETS)?;
    for command in [
        libc::F_GETFD,
        libc::F_SETFD,
        libc::F_GETFL,
        libc::F_SETFL,
        libc::F_DUPFD,
        libc::F_DUPFD_CLOEXEC,
    ] {
        only(libc::SYS_fcntl, 1, Eq, command as u64)?;
    }
    const PR_SET_VMA: u64 = 0x5356_4d41;
    for option in [
        libc::PR_SET_NAME as u64,
        libc::PR_GET_NAME as u64,
        PR_SET_VMA,
    ] {
        only(libc::SYS_prctl, 0, Eq, option)?;
    }
    // Limits may be read: the pointer to new ones is NULL.
    let nothing = SeccompCondition::new(2, SeccompCmpArgLen::Qword, Eq, 0)?;
    rules.insert(libc::SYS_prlimit64, vec![SeccompRule::new(vec![nothing])?]);
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    /// A kernel that offers what it is told to, and notes what it was asked for.
    #[derive(Default)]
    struct Old {
        has_limits: bool,
        landlock: Option<&'static str>,
        asked: RefCell<Vec<&'static str>>,
    }

    impl Builder for Old {
        fn limit(&self, _: Resource, _: u64) -> io::Result<()> {
            self.asked.borrow_mut().push("limit");
            match self.has_limits {
                true => Ok(()),
                false => Err(io::Error::from_raw_os_error(libc::EPERM)),
            }
        }

        fn no_new_privs(&self) -> io::Result<()> {
            self.asked.borrow_mut().push("privileges");
            Ok(())
        }

        fn files(&self, _: &Limits) -> Result<RulesetStatus, String> {
            self.asked.borrow_mut().push("files");
            match self.landlock {
                None => Ok(RulesetStatus::NotEnforced),
                Some(error) => Err(error.to_owned()),
            }
        }

        fn calls(&self) -> Result<(), String> {
            self.asked.borrow_mut().push("calls");
            Err("the kernel was built without it".to_owned())
        }
    }

    fn limits() -> Limits {
        Limits {
            memory_mb: 64,
            library: PathBuf::from("/x.so"),
            readable: Vec::new(),
        }
    }

    #[test]
    fn what_the_kernel_does_not_offer_is_named_and_the_rest_is_built() {
        let old = Old {
            has_limits: true,
            ..Old::default()
        };
        let missing = build(&old, &limits());
        assert_eq!(
            missing,
            [
                "Landlock (this kernel does not have it, or it is switched off)",
                "seccomp (the kernel was built without it)"
            ]
        );
        let asked = old.asked.into_inner();
        assert_eq!(asked.iter().filter(|one| **one == "limit").count(), 4);
        assert_eq!(&asked[4..], ["privileges", "files", "calls"]);
    }

    #[test]
    fn every_wall_is_tried_also_after_others_failed() {
        let old = Old {
            landlock: Some("no"),
            ..Old::default()
        };
        let missing = build(&old, &limits()).join("; ");
        for part in [
            "limit of core",
            "limit of descriptors",
            "Landlock (no)",
            "seccomp (",
        ] {
            assert!(missing.contains(part), "{part} is not in {missing}");
        }
    }

    #[test]
    fn the_filter_compiles_and_names_no_way_out() {
        let rules = allowed_calls().unwrap();
        for call in [
            libc::SYS_execve,
            libc::SYS_execveat,
            libc::SYS_socket,
            libc::SYS_connect,
            libc::SYS_ptrace,
            libc::SYS_process_vm_writev,
            libc::SYS_pidfd_send_signal,
            libc::SYS_unlinkat,
            libc::SYS_openat2,
            libc::SYS_io_uring_setup,
            libc::SYS_bpf,
            libc::SYS_setuid,
            libc::SYS_setrlimit,
        ] {
            assert!(!rules.contains_key(&call), "call {call}");
        }
        for call in [
            libc::SYS_clone,
            libc::SYS_openat,
            libc::SYS_kill,
            libc::SYS_prlimit64,
        ] {
            assert!(!rules[&call].is_empty(), "call {call} needs a condition");
        }
        let arch = TargetArch::try_from(std::env::consts::ARCH).unwrap();
        let (refused, allowed) = (SeccompAction::Errno(1), SeccompAction::Allow);
        let filter = SeccompFilter::new(rules, refused, allowed, arch).unwrap();
        assert!(BpfProgram::try_from(filter).unwrap().len() > 50);
    }
}
