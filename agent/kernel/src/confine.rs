//! Confinement: what a worker gives up before it reads bytes of unknown origin.
//!
//! In this order: capabilities and user, resource limits, landlock, seccomp. Nothing of it can be
//! taken back. A kernel without landlock leaves the others, and [`Landlock`] says so.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::BorrowedFd;
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, Compatible, PathBeneath, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, Scope,
};
use model::sandbox::{Capabilities, Capability, User};
use nix::errno::Errno;
use nix::libc;
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

use crate::capabilities;

/// The rights that are asked of landlock; a kernel that knows fewer gives those.
const RIGHTS: ABI = ABI::V6;

/// What a worker keeps.
#[derive(Debug)]
pub struct Confinement<'a> {
    /// The folder beneath which it may do anything to files.
    pub folder: BorrowedFd<'a>,
    /// What else it may read; what is not there is left out.
    pub readable: &'a [&'a Path],
    /// Whom it may speak to.
    pub network: Network,
    /// Who it becomes, by the ids of its namespace.
    pub user: &'a User,
    /// The capabilities in its namespace.
    pub capabilities: &'a [Capability],
    /// The most memory that it may allocate.
    pub memory_bytes_max: u64,
    /// The most descriptors that it may have open.
    pub descriptors_max: u64,
}

/// Whom a worker may speak to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// Nobody.
    None,
    /// Others over TCP and UDP; it accepts no connections.
    Outwards,
}

/// What this kernel made of the landlock rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Landlock {
    /// All rules are in force.
    Full,
    /// Those that this kernel knows.
    Partial,
    /// None; the kernel has no landlock.
    Missing,
}

/// The step that went wrong.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    /// Capabilities, user or limits.
    #[error("{step}")]
    Step {
        /// Which.
        step: &'static str,
        /// What the kernel said.
        source: Errno,
    },
    /// The file system's rules.
    #[error("landlock")]
    Landlock(#[source] Box<landlock::RulesetError>),
    /// The system calls' rules.
    #[error("seccomp")]
    Seccomp(#[source] Box<seccompiler::Error>),
}

/// Confines the calling thread and those it will start.
///
/// # Errors
/// The first step that went wrong; the caller must not go on.
pub fn confine(wanted: &Confinement<'_>) -> Result<Landlock, ConfineError> {
    let step = |step| move |source| ConfineError::Step { step, source };
    let sets = Capabilities {
        effective: wanted.capabilities.to_vec(),
        bounding: wanted.capabilities.to_vec(),
    };
    capabilities::become_user(wanted.user, &sets).map_err(|(name, errno)| step(name)(errno))?;
    prctl::set_dumpable(false).map_err(step("dumpable"))?;
    for (resource, most) in [
        (Resource::RLIMIT_DATA, wanted.memory_bytes_max),
        (Resource::RLIMIT_NOFILE, wanted.descriptors_max),
        (Resource::RLIMIT_CORE, 0),
    ] {
        setrlimit(resource, most, most).map_err(step("rlimits"))?;
    }
    let landlock = restrict(wanted).map_err(|error| ConfineError::Landlock(Box::new(error)))?;
    filter(wanted.network).map_err(|error| ConfineError::Seccomp(Box::new(error)))?;
    Ok(landlock)
}

fn restrict(wanted: &Confinement<'_>) -> Result<Landlock, landlock::RulesetError> {
    let all = AccessFs::from_all(RIGHTS);
    let mut rules = Ruleset::default()
        .handle_access(all)?
        .handle_access(AccessNet::BindTcp)?
        .scope(Scope::from_all(RIGHTS))?;
    if wanted.network == Network::None {
        rules = rules.handle_access(AccessNet::ConnectTcp)?;
    }
    let inside = all & !(AccessFs::Execute | AccessFs::IoctlDev);
    let mut rules = rules
        .create()?
        .add_rule(PathBeneath::new(wanted.folder, inside))?;
    let readable = wanted
        .readable
        .iter()
        .filter_map(|path| File::open(path).ok());
    for file in readable {
        let rights = match file.metadata().is_ok_and(|data| data.is_dir()) {
            true => AccessFs::ReadFile | AccessFs::ReadDir,
            false => AccessFs::ReadFile.into(),
        };
        rules = rules.add_rule(PathBeneath::new(file, rights))?;
    }
    let status = rules
        .set_compatibility(landlock::CompatLevel::BestEffort)
        .restrict_self()?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => Landlock::Full,
        RulesetStatus::PartiallyEnforced => Landlock::Partial,
        RulesetStatus::NotEnforced => Landlock::Missing,
    })
}

/// Calls that every worker makes: memory, time, its own threads, and what is open.
const BASE: &[libc::c_long] = &[
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_close,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_fcntl,
    libc::SYS_fstat,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_lseek,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_ppoll,
    libc::SYS_pread64,
    libc::SYS_prctl,
    libc::SYS_pwrite64,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_sigaltstack,
    libc::SYS_tgkill,
    libc::SYS_tkill,
    libc::SYS_write,
    libc::SYS_writev,
];

/// Calls on files beneath a descriptor; landlock and the absence of rights say which.
const FILES: &[libc::c_long] = &[
    libc::SYS_copy_file_range,
    libc::SYS_fallocate,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_fsetxattr,
    libc::SYS_ftruncate,
    libc::SYS_getdents64,
    libc::SYS_linkat,
    libc::SYS_mkdirat,
    libc::SYS_mknodat,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_readlinkat,
    libc::SYS_renameat2,
    libc::SYS_statx,
    libc::SYS_symlinkat,
    libc::SYS_unlinkat,
    libc::SYS_utimensat,
];

/// Calls of one who speaks to others; there is no accept(2) and no listen(2).
const SPEAKING: &[libc::c_long] = &[
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_eventfd2,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_ioctl,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_sendmmsg,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    libc::SYS_uname,
];

/// The older names of some of these, by which C libraries still call.
#[cfg(target_arch = "x86_64")]
const OLDER: &[libc::c_long] = &[
    libc::SYS_epoll_create,
    libc::SYS_epoll_wait,
    libc::SYS_lstat,
    libc::SYS_open,
    libc::SYS_poll,
    libc::SYS_stat,
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[libc::c_long] = &[];

fn filter(network: Network) -> Result<(), seccompiler::Error> {
    let speaking = match network {
        Network::None => &[],
        Network::Outwards => SPEAKING,
    };
    let calls = [BASE, FILES, OLDER, speaking].concat();
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        calls.into_iter().map(|call| (call, Vec::new())).collect();
    // A thread, and no process.
    let thread = libc::CLONE_THREAD as u64;
    let condition = SeccompCondition::new(
        0,
        SeccompCmpArgLen::Qword,
        SeccompCmpOp::MaskedEq(thread),
        thread,
    )?;
    rules.insert(libc::SYS_clone, vec![SeccompRule::new(vec![condition])?]);
    if network == Network::Outwards {
        let family = |family: libc::c_int| -> Result<SeccompRule, seccompiler::BackendError> {
            let family = u64::from(family.unsigned_abs());
            let equal = SeccompCmpOp::Eq;
            SeccompRule::new(vec![SeccompCondition::new(
                0,
                SeccompCmpArgLen::Dword,
                equal,
                family,
            )?])
        };
        let families = vec![family(libc::AF_INET)?, family(libc::AF_INET6)?];
        rules.insert(libc::SYS_socket, families);
    }
    // A call that is missing, and not one that kills: C libraries try newer calls first. Numbers of
    // the x32 interface are in no list.
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Errno(Errno::ENOSYS as u32),
        SeccompAction::Allow,
        std::env::consts::ARCH.try_into()?,
    )?;
    let program: BpfProgram = filter.try_into()?;
    seccompiler::apply_filter(&program)
}
