//! The built-in profile, group by group.
//!
//! It allows what Docker's default allows, but for what only serves to attack the kernel today, and
//! what no capability of a container makes work: modules, clocks and the like ask for rights over the
//! node. Every call that Linux has is in some group, with the reason; a call that is newer than all of
//! them is missing until somebody has looked at it.

use alloc::borrow::Cow;
use alloc::sync::Arc;
use alloc::vec::Vec;

use model::sandbox::{
    ArgumentTest, ArgumentWidth, Capability, SeccompAction, SeccompCondition, SeccompRule,
};

use super::Entry;

/// A call that is not allowed is an error that programs know.
pub(super) const DEFAULT: SeccompAction = REFUSED;

/// EPERM.
const REFUSED: SeccompAction = SeccompAction::Errno(1);
/// ENOSYS, by which programs learn to do without.
const MISSING: SeccompAction = SeccompAction::Errno(38);
/// EPROTONOSUPPORT.
const NO_PROTOCOL: SeccompAction = SeccompAction::Errno(93);
/// EAFNOSUPPORT, as of a kernel that was built without.
const NO_FAMILY: SeccompAction = SeccompAction::Errno(97);

const NET_ADMIN: u8 = 12;
const NET_RAW: u8 = 13;
const SYS_CHROOT: u8 = 18;
const SYS_PTRACE: u8 = 19;
const SYS_ADMIN: u8 = 21;
const SYS_BOOT: u8 = 22;
const SYS_NICE: u8 = 23;

/// CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET.
const NAMESPACES: u64 = 0x7e02_0000;
/// CLONE_NEWTIME, which means a signal to clone(2).
const TIME_NAMESPACE: u64 = 0x80;

const AF_UNIX: u64 = 1;
const AF_INET: u64 = 2;
const AF_INET6: u64 = 10;
const AF_NETLINK: u64 = 16;
const AF_PACKET: u64 = 17;

/// Protocols of netlink that tell of the network and of devices: ROUTE, SOCK_DIAG, AUDIT (which
/// answers nobody outside of the node's own namespaces, and without which PAM gives up), KOBJECT_UEVENT
/// and GENERIC.
const TELLING: [u64; 5] = [0, 4, 9, 15, 16];

/// Of `asm-generic/ioctls.h`.
const TIOCSTI: u64 = 0x5412;
const TIOCLINUX: u64 = 0x541c;
const TIOCSETD: u64 = 0x5423;

/// PER_LINUX, PER_LINUX32, each also with UNAME26, and the question.
const PERSONALITIES: [u64; 5] = [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// Whom a group is for.
enum For {
    /// Every container.
    All,
    /// Those that have a capability.
    With(u8),
    /// Those that have it not.
    Without(u8),
}

struct Group {
    whom: For,
    action: SeccompAction,
    why: &'static str,
    /// With blanks between them.
    calls: &'static str,
}

/// Groups that look at no argument.
const GROUPS: &[Group] = &[
    Group {
        whom: For::All,
        action: SeccompAction::Allow,
        why: "files that the process may open anyway: permissions, mounts and landlock say which",
        calls: "access chdir chmod chown close close_range copy_file_range creat dup dup2 dup3 \
                execve execveat faccessat faccessat2 fadvise64 fallocate fchdir fchmod fchmodat \
                fchmodat2 fchown fchownat fcntl fdatasync fgetxattr file_getattr file_setattr \
                flistxattr flock fremovexattr fsetxattr fstat fstatfs fsync ftruncate futimesat \
                getcwd getdents getdents64 getxattr getxattrat inotify_add_watch inotify_init \
                inotify_init1 inotify_rm_watch lchown lgetxattr link linkat listxattr listxattrat \
                llistxattr lremovexattr lseek lsetxattr lstat mkdir mkdirat mknod mknodat \
                name_to_handle_at newfstatat open openat openat2 pread64 preadv preadv2 pwrite64 \
                pwritev pwritev2 read readahead readlink readlinkat readv removexattr removexattrat \
                rename renameat renameat2 rmdir sendfile setxattr setxattrat splice stat statfs \
                statx symlink symlinkat sync sync_file_range syncfs tee truncate umask unlink \
                unlinkat utime utimensat utimes vmsplice write writev",
    },
    Group {
        whom: For::All,
        action: SeccompAction::Allow,
        why: "memory of the process itself",
        calls: "brk cachestat madvise map_shadow_stack memfd_create memfd_secret mincore mlock \
                mlock2 mlockall mmap mprotect mremap mseal msync munlock munlockall munmap \
                pkey_alloc pkey_free pkey_mprotect process_mrelease remap_file_pages",
    },
    Group {
        whom: For::All,
        action: SeccompAction::Allow,
        why: "processes and threads, which the pid namespace and the limit of processes bound",
        calls: "exit exit_group fork futex futex_requeue futex_wait futex_waitv futex_wake \
                get_robust_list getpgid getpgrp getpid getppid getpriority getrlimit getrusage \
                getsid gettid kill membarrier pidfd_open pidfd_send_signal prctl prlimit64 \
                restart_syscall rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo \
                rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo set_robust_list \
                set_tid_address setpgid setpriority setrlimit setsid sigaltstack tgkill tkill vfork \
                wait4 waitid",
    },
    Group {
        whom: For::All,
        action: SeccompAction::Allow,
        why: "scheduling, within what the cgroup gives",
        calls: "getcpu ioprio_get ioprio_set sched_get_priority_max sched_get_priority_min \
                sched_getaffinity sched_getattr sched_getparam sched_getscheduler \
                sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam \
                sched_setscheduler sched_yield",
    },
    Group {
        whom: For::All,
        action: SeccompAction::Allow,
        why: "users and groups of the container's own range; without a capability none is gained",
        calls: "capget capset getegid geteuid getgid getgroups getresgid getresuid getuid setfsgid \
                setfsuid setgid setgroups setregid setresgid setresuid setreuid setuid",
    },
    Group {
        whom: For::All,
        action: SeccompAction::Allow,
        why: "waiting, timers and clocks, which are read and not set",
        calls: "adjtimex alarm clock_adjtime clock_getres clock_gettime clock_nanosleep epoll_create \
                epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 \
                getitimer gettimeofday nanosleep pause poll ppoll pselect6 select setitimer signalfd \
                signalfd4 time timer_create timer_delete timer_getoverrun timer_gettime \
                timer_settime timerfd_create timerfd_gettime timerfd_settime times",
    },
    Group {
        whom: For::All,
        action: SeccompAction::Allow,
        why: "pipes, queues and shared memory of the ipc namespace",
        calls: "mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink msgctl msgget \
                msgrcv msgsnd pipe pipe2 semctl semget semop semtimedop shmat shmctl shmdt shmget",
    },
    Group {
        whom: For::All,
        action: SeccompAction::Allow,
        why: "sockets once they are made: which families, the next groups say",
        calls: "accept accept4 bind connect getpeername getsockname getsockopt listen recvfrom \
                recvmmsg recvmsg sendmmsg sendmsg sendto setsockopt shutdown",
    },
    Group {
        whom: For::All,
        action: SeccompAction::Allow,
        why: "asynchronous reads and writes of the older kind, which databases use",
        calls: "io_cancel io_destroy io_getevents io_pgetevents io_setup io_submit",
    },
    Group {
        whom: For::All,
        action: SeccompAction::Allow,
        why: "what programs ask of the system",
        calls: "getrandom listmount lsm_get_self_attr lsm_list_modules statmount sysinfo uname",
    },
    Group {
        whom: For::All,
        action: SeccompAction::Allow,
        why: "a process that gives up more of its own rights",
        calls: "landlock_add_rule landlock_create_ruleset landlock_restrict_self seccomp",
    },
    Group {
        whom: For::All,
        action: SeccompAction::Allow,
        why: "registers of the thread itself",
        calls: "arch_prctl get_thread_area riscv_flush_icache riscv_hwprobe set_thread_area",
    },
    Group {
        whom: For::All,
        action: SeccompAction::Allow,
        why: "how the kernel returns from a probe that an operator has set",
        calls: "uretprobe",
    },
    Group {
        whom: For::All,
        action: SeccompAction::Allow,
        why: "debuggers and profilers of the container's own processes: others have no number here, and an init cannot be traced (prctl(2), PR_SET_DUMPABLE)",
        calls: "process_vm_readv process_vm_writev ptrace",
    },
    Group {
        whom: For::All,
        action: SeccompAction::Allow,
        why: "marks for a descriptor that fanotify_init made",
        calls: "fanotify_mark",
    },
    Group {
        whom: For::With(SYS_PTRACE),
        action: SeccompAction::Allow,
        why: "a look into other processes of the container",
        calls: "kcmp pidfd_getfd process_madvise",
    },
    Group {
        whom: For::Without(SYS_ADMIN),
        action: MISSING,
        why: "its flags lie in memory, where no filter sees them; the C library takes clone then",
        calls: "clone3",
    },
    Group {
        whom: For::With(SYS_ADMIN),
        action: SeccompAction::Allow,
        why: "namespaces, as CAP_SYS_ADMIN of a container gives them",
        calls: "clone clone3 setns unshare",
    },
    Group {
        whom: For::With(SYS_ADMIN),
        action: SeccompAction::Allow,
        why: "mounts of the container's own, as CAP_SYS_ADMIN of a container gives them",
        calls: "fsconfig fsmount fsopen fspick mount mount_setattr move_mount open_tree \
                open_tree_attr pivot_root umount2",
    },
    Group {
        whom: For::With(SYS_ADMIN),
        action: SeccompAction::Allow,
        why: "names of the uts namespace",
        calls: "setdomainname sethostname",
    },
    Group {
        whom: For::With(SYS_ADMIN),
        action: SeccompAction::Allow,
        why: "watching a whole mount",
        calls: "fanotify_init",
    },
    Group {
        whom: For::With(SYS_CHROOT),
        action: SeccompAction::Allow,
        why: "another root within that of the container",
        calls: "chroot",
    },
    Group {
        whom: For::With(SYS_BOOT),
        action: SeccompAction::Allow,
        why: "in a pid namespace it ends the container, and nothing else (reboot(2))",
        calls: "reboot",
    },
    Group {
        whom: For::With(SYS_NICE),
        action: SeccompAction::Allow,
        why: "places of memory on machines with several nodes of it",
        calls: "get_mempolicy mbind migrate_pages move_pages set_mempolicy set_mempolicy_home_node",
    },
    Group {
        whom: For::All,
        action: REFUSED,
        why: "modules, other kernels, swap, process accounting, quotas and the kernel's log are the node's, and no capability of a container counts there",
        calls: "acct delete_module finit_module init_module kexec_file_load kexec_load quotactl \
                quotactl_fd swapoff swapon syslog vhangup",
    },
    Group {
        whom: For::All,
        action: REFUSED,
        why: "the clock is the node's",
        calls: "clock_settime settimeofday",
    },
    Group {
        whom: For::All,
        action: REFUSED,
        why: "programs in the kernel, and its counters: both ask for rights over the node, and have given more than that",
        calls: "bpf perf_event_open",
    },
    Group {
        whom: For::All,
        action: MISSING,
        why: "files behind rings, past every filter of system calls, and a source of holes; programs do without",
        calls: "io_uring_enter io_uring_register io_uring_setup",
    },
    Group {
        whom: For::All,
        action: REFUSED,
        why: "keys are found by number across containers",
        calls: "add_key keyctl request_key",
    },
    Group {
        whom: For::All,
        action: REFUSED,
        why: "lets a process stop the kernel amid its own work, which turns small mistakes there into holes",
        calls: "userfaultfd",
    },
    Group {
        whom: For::All,
        action: REFUSED,
        why: "opens a file by its number, past directories and mounts",
        calls: "open_by_handle_at",
    },
    Group {
        whom: For::All,
        action: REFUSED,
        why: "marks for other security modules, of which containers have none",
        calls: "lsm_set_self_attr",
    },
    Group {
        whom: For::All,
        action: MISSING,
        why: "ports and segments of the processor, for programs of other times",
        calls: "ioperm iopl modify_ldt",
    },
    Group {
        whom: For::All,
        action: MISSING,
        why: "calls that kernels of today have not, or only for programs of other times",
        calls: "_sysctl afs_syscall create_module epoll_ctl_old epoll_wait_old get_kernel_syms \
                getpmsg lookup_dcookie nfsservctl putpmsg query_module security sysfs tuxcall uselib \
                ustat vserver",
    },
];

/// All entries of the profile.
pub(super) fn entries() -> Vec<Entry> {
    let groups = GROUPS.iter().map(|group| {
        let calls = group.calls.split_whitespace().map(Cow::Borrowed).collect();
        entry(&group.whom, group.action, group.why, calls, Vec::new())
    });
    groups.chain(by_argument()).collect()
}

/// Groups that go by arguments. The kernel reads the lower half of each: an `int`, or flags.
fn by_argument() -> Vec<Entry> {
    use ArgumentTest::{Equal, Masked, NotEqual};
    let allow = SeccompAction::Allow;
    let one = |whom: For, action, why, call, conditions: Vec<(u8, ArgumentTest)>| {
        entry(
            &whom,
            action,
            why,
            Vec::from([Cow::Borrowed(call)]),
            conditions,
        )
    };
    let none_of = |argument, values: &[u64]| -> Vec<_> {
        let each = values.iter().map(|value| (argument, NotEqual(*value)));
        each.collect()
    };
    let no = |mask| Masked { mask, value: 0 };
    let mut all = Vec::from([
        one(
            For::Without(SYS_ADMIN),
            allow,
            "processes and threads without namespaces: in a user namespace of its own a process has \
             every right, and with that most of what is dangerous in a kernel",
            "clone",
            Vec::from([(0, no(NAMESPACES))]),
        ),
        one(
            For::Without(SYS_ADMIN),
            allow,
            "what a process does not share with others, namespaces apart",
            "unshare",
            Vec::from([(0, no(NAMESPACES | TIME_NAMESPACE))]),
        ),
        one(
            For::All,
            allow,
            "devices and terminals; the next rules say what not",
            "ioctl",
            Vec::new(),
        ),
        one(
            For::All,
            allow,
            "sockets; the next rules say which not",
            "socket",
            Vec::new(),
        ),
        one(
            For::Without(NET_RAW),
            NO_FAMILY,
            "the network, processes beside this one, and what tells of them; all other families are \
             rarely used code of the kernel, or lead out of the machine (AF_VSOCK)",
            "socket",
            none_of(0, &[AF_UNIX, AF_INET, AF_INET6, AF_NETLINK]),
        ),
        one(
            For::With(NET_RAW),
            NO_FAMILY,
            "the same, and packets as they are on the wire",
            "socket",
            none_of(0, &[AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET]),
        ),
        one(
            For::All,
            allow,
            "two sockets for processes beside this one",
            "socketpair",
            Vec::from([(0, Equal(AF_UNIX))]),
        ),
    ]);
    all.extend([TIOCSTI, TIOCLINUX, TIOCSETD].map(|request| {
        let why = match request {
            TIOCSETD => "loads drivers that no terminal of a container has",
            _ => "types into a terminal in place of whoever sits there",
        };
        one(
            For::All,
            REFUSED,
            why,
            "ioctl",
            Vec::from([(1, Equal(request))]),
        )
    }));
    let mut netlink = none_of(2, &TELLING);
    netlink.push((0, Equal(AF_NETLINK)));
    all.push(one(
        For::Without(NET_ADMIN),
        NO_PROTOCOL,
        "netlink that tells of the network; what changes firewalls and ciphers is a large part of the \
         kernel, and refuses who has no CAP_NET_ADMIN",
        "socket",
        netlink,
    ));
    all.extend(PERSONALITIES.map(|personality| {
        let why = "how the kernel names itself; what makes addresses known beforehand is left out";
        one(
            For::All,
            allow,
            why,
            "personality",
            Vec::from([(0, Equal(personality))]),
        )
    }));
    all
}

fn entry(
    whom: &For,
    action: SeccompAction,
    why: &'static str,
    calls: Vec<Cow<'static, str>>,
    conditions: Vec<(u8, ArgumentTest)>,
) -> Entry {
    let conditions = conditions
        .into_iter()
        .map(|(argument, test)| SeccompCondition {
            argument,
            width: ArgumentWidth::Half,
            test,
        });
    let only = |capability: u8| Vec::from([Capability(capability)]);
    let (with, without) = match *whom {
        For::All => (Vec::new(), Vec::new()),
        For::With(capability) => (only(capability), Vec::new()),
        For::Without(capability) => (Vec::new(), only(capability)),
    };
    Entry {
        rule: Arc::new(SeccompRule {
            calls,
            conditions: conditions.collect(),
            action,
            why: Cow::Borrowed(why),
        }),
        with,
        without,
    }
}
