//! Enter: the launcher, which finishes a container from inside and starts its task.
//!
//! It runs alone in the new namespaces as the mapped 0, with one thread, all signals blocked and nothing
//! of the agent's environment. The orders leave nothing to decide; the first step that goes wrong is
//! reported by name, and the launcher ends.

use std::ffi::CString;
use std::os::fd::{AsFd, FromRawFd, OwnedFd, RawFd};

use model::sandbox::{Access, ExitStatus, Process, Rlimit, Run};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::sys::stat::{Mode, SFlag, fstat, umask};
use nix::unistd::{ForkResult, chdir, execve, fork, sethostname, setsid};

use super::lean::{List, Spare};
use super::orders::{Order, Orders, What};
use super::{KIND_EXECUTE, KIND_STEP, init};
use crate::landlock;
use crate::mounts::{self, Attributes, Detached, PlaceKind};
use crate::seccomp::{self, Refusals};
use crate::{capabilities, files, netlink, process, terminal};

/// The exit code of a launcher that did not get to its task, and of a shell's failed command.
const NOT_STARTED: u8 = 127;

/// The most bytes of a plan; the kernel bounds arguments and environment to about 2 MB itself.
const ORDERS_BYTES_MAX: u64 = 8 << 20;

/// A step that went wrong, by name.
struct Failed(String, Errno);

fn failed(name: impl Into<String>) -> impl FnOnce(Errno) -> Failed {
    let name = name.into();
    move |errno| Failed(name, errno)
}

/// The program's main function when it is run as `launch`; never returns.
///
/// It expects to be started by [`super::spawn`], with the number of the plan's descriptor as its
/// second argument; by hand it explains itself and ends.
pub fn enter() -> ! {
    let Some(orders) = std::env::args().nth(2).and_then(|text| text.parse().ok()) else {
        eprintln!("launch: started by the agent only, with the descriptor of a plan");
        std::process::exit(NOT_STARTED.into());
    };
    let orders = match read_orders(orders) {
        Ok(orders) => orders,
        Err(error) => {
            // There is no report to write to as yet; this ends in the sandbox's stderr.
            eprintln!("launch: {error}");
            std::process::exit(NOT_STARTED.into());
        }
    };
    let (report, exit) = (taken(orders.report), orders.exit.map(taken));
    match (begin(&orders, &report), exit) {
        (Ok(begun), Some(exit)) => {
            drop(report);
            match begun {
                Begun::Task(task, spare) => init::run(task, &exit, &spare),
                Begun::Nothing(spare) => init::hold(&exit, &spare),
            }
        }
        (Ok(_), None) => fail(&report, KIND_STEP, "no exit file", Errno::EINVAL),
        (Err(Failed(name, errno)), exit) => {
            // For an agent that started meanwhile: nobody reads the report then.
            if let Some(exit) = exit {
                init::leave_status(&exit, ExitStatus::Exited(NOT_STARTED));
            }
            fail(&report, KIND_STEP, &name, errno)
        }
    }
}

/// Takes over a descriptor that the agent left open for the launcher.
fn taken(fd: RawFd) -> OwnedFd {
    // SAFETY: the number stands once in the orders, the agent left it open for this process, and
    // nothing else here knows it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

fn read_orders(fd: RawFd) -> Result<Orders, String> {
    // SAFETY: F_GETFD takes no argument; a number that is not open is answered with EBADF.
    let rc = unsafe { libc::fcntl(fd, libc::F_GETFD) };
    Errno::result(rc).map_err(|errno| format!("descriptor {fd}: {errno}"))?;
    // The memory was written by the agent through this very description: back to its start.
    // SAFETY: lseek(2) takes three numbers.
    let rc = unsafe { libc::lseek(fd, 0, libc::SEEK_SET) };
    Errno::result(rc).map_err(|errno| format!("descriptor {fd}: {errno}"))?;
    let bytes = files::read_bounded(taken(fd), ORDERS_BYTES_MAX)
        .map_err(|error| format!("descriptor {fd}: {error}"))?;
    Orders::decode(&bytes).map_err(|error| error.to_string())
}

/// Writes the report and ends.
fn fail(report: &OwnedFd, kind: u8, name: &str, errno: Errno) -> ! {
    let mut record = (errno as i32).to_le_bytes().to_vec();
    record.push(kind);
    record.extend_from_slice(name.as_bytes());
    // Where the agent is gone there is nobody left to tell.
    let _ = nix::unistd::write(report, &record);
    // SAFETY: _exit(2) ends the process and runs no handlers.
    unsafe { libc::_exit(NOT_STARTED.into()) }
}

/// What an init has to look after.
enum Begun {
    /// The task. Beside it, what an init does without.
    Task(libc::pid_t, Spare),
    /// Nothing but the container itself.
    Nothing(Spare),
}

/// From the clone to the task's process. Returns in an init only: without a pid namespace of its own
/// the launcher becomes the task.
fn begin(orders: &Orders, report: &OwnedFd) -> Result<Begun, Failed> {
    // The agent's terminal, if it has one, is not the container's.
    setsid().map_err(failed("setsid"))?;
    // Nor are the keys of the session that the agent was started in.
    leave_keyring().map_err(failed("leave the session keyring"))?;
    // An ignored SIGCHLD would take the statuses away from the init, and the runtime of Rust has
    // SIGPIPE ignored, which the task does not expect.
    process::reset_signals().map_err(failed("reset the signals"))?;
    if orders.cgroup_namespace {
        unshare(CloneFlags::CLONE_NEWCGROUP).map_err(failed("unshare the cgroup namespace"))?;
    }
    if let Some(group) = orders.inner_group.map(taken) {
        // What is seen as the root of the tree is the group above, with its limits.
        let entered = nix::unistd::write(&group, b"0");
        entered.map_err(failed("enter the inner cgroup"))?;
    }
    if let Some(hostname) = &orders.hostname {
        sethostname(hostname).map_err(failed("sethostname"))?;
    }
    if orders.network {
        netlink::loopback_up().map_err(failed("bring the loopback device up"))?;
    }
    if let Some(beginning) = orders.beginning {
        let begun = beginning.for_children();
        begun.map_err(failed("make a time namespace"))?;
    }
    if orders.is_init {
        bound_inotify().map_err(failed("bound the instances of inotify"))?;
    }
    let list = List::open();
    if let Some(mounts) = orders.mount_namespace.map(taken) {
        setns(mounts, CloneFlags::CLONE_NEWNS).map_err(failed("join the parent's mounts"))?;
    }
    if let Some(root) = orders.root.map(taken) {
        enter_root(root, orders)?;
    }
    // Of what the container sees from here on, and with the rights to look anywhere in it.
    let ruleset = orders.landlock.as_ref().map(landlock::prepare).transpose();
    let ruleset = ruleset
        .map_err(|(name, errno)| Failed(name, errno))?
        .flatten();
    umask(Mode::from_bits_truncate(0o022));
    capabilities::become_user(orders.run.user(), &orders.capabilities)
        .map_err(|(name, errno)| Failed(name.into(), errno))?;
    // The task has the same user as its init and could look into it otherwise.
    prctl::set_dumpable(false).map_err(failed("dumpable"))?;
    let process = match &orders.run {
        Run::Process(process) => process,
        Run::Hold(_) => {
            restrict(ruleset)?;
            let spare = list.map(List::read).unwrap_or_default();
            filter(orders.init_seccomp.as_ref(), Refusals::Untold)?;
            return Ok(Begun::Nothing(spare));
        }
    };
    let directory = process.directory.as_str();
    chdir(directory).map_err(failed(format!("enter directory {directory}")))?;
    let program = Program::of(process).map_err(failed("arguments hold a NUL byte"))?;
    files::close_on_exec_from(3).map_err(failed("close_range"))?;
    // The init as well, so that it may signal what it starts.
    restrict(ruleset)?;
    let become_task = || -> ! {
        let ready = huge_pages()
            .and_then(|()| lead_session(orders))
            .and_then(|()| process.rlimits.iter().try_for_each(set_limit))
            // Last of all: what was needed up to here is nothing that the task may call.
            .and_then(|()| filter(orders.seccomp.as_ref(), orders.refusals));
        let (kind, name, errno) = match ready {
            Ok(()) => (KIND_EXECUTE, process.program.clone(), program.execute()),
            Err(Failed(name, errno)) => (KIND_STEP, name, errno),
        };
        fail(report, kind, &name, errno)
    };
    if !orders.is_init {
        become_task();
    }
    // SAFETY: the launcher has one thread, so its child may do whatever it may do itself.
    match unsafe { fork() }.map_err(failed("fork"))? {
        ForkResult::Parent { child } => {
            let spare = list.map(List::read).unwrap_or_default();
            filter(orders.init_seccomp.as_ref(), Refusals::Untold)?;
            Ok(Begun::Task(child.as_raw(), spare))
        }
        ForkResult::Child => become_task(),
    }
}

/// Bounds what each user of the container's own user namespace may have of inotify: the kernel counts
/// all containers together otherwise, and takes a while to close each.
fn bound_inotify() -> Result<(), Errno> {
    /// Several times what a desktop needs, and the kernel's own default is 128.
    const INSTANCES_MAX: &str = "1024";
    // The node's /proc is still seen; the file speaks of the user namespace of whoever opens it.
    let path = "/proc/sys/user/max_inotify_instances";
    let written = std::fs::write(path, INSTANCES_MAX).map_err(|error| files::errno(&error));
    match written {
        // A kernel without inotify, or a host that shows its settings read-only.
        Err(Errno::ENOENT | Errno::EROFS) => Ok(()),
        written => written,
    }
}

/// A session keyring of its own, without a name: an inherited one lends whoever has it its rights, by
/// no user id or namespace (keyrings(7)).
fn leave_keyring() -> Result<(), Errno> {
    /// Of `linux/keyctl.h`.
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;
    let unnamed = std::ptr::null::<libc::c_char>();
    // SAFETY: a number, and a null pointer for a keyring that has no name.
    let rc = unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, unnamed) };
    match Errno::result(rc) {
        // The kernel has no keys, or a filter above the agent keeps the call from its tasks, too.
        Ok(_) | Err(Errno::ENOSYS | Errno::EPERM) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Moves the mounts into place and makes the root the root.
fn enter_root(root: OwnedFd, orders: &Orders) -> Result<(), Failed> {
    let top = nix::fcntl::open("/", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())
        .map_err(failed("open /"))?;
    mounts::attach(&root, top).map_err(failed("mount /"))?;
    for order in &orders.mounts {
        mount(&root, order).map_err(failed(format!("mount {}", order.target)))?;
    }
    mounts::change_root(&root).map_err(failed("pivot_root"))
}

fn mount(root: &OwnedFd, order: &Order) -> Result<(), Errno> {
    let detached = match order.what {
        What::Made(fd) => return attach(root, taken(fd), &order.target),
        What::Proc => Detached::filesystem(c"proc", &[], Attributes::DATA)?,
        What::Queues => match Detached::filesystem(c"mqueue", &[], Attributes::DATA) {
            // A kernel without such queues.
            Err(Errno::ENODEV) => return Ok(()),
            made => made?,
        },
        What::Cgroup => {
            Detached::filesystem(c"cgroup2", &[], Attributes::DATA.with(Access::ReadOnly))?
        }
        What::Mask => return cover(root, order, mask),
        What::ReadOnly => {
            return cover(root, order, |_, target| {
                Detached::bind_open(target, Attributes::NO_SUID.with(Access::ReadOnly))
            });
        }
    };
    attach(root, detached.into_fd(), &order.target)
}

/// Puts a mount in its place, which is made where it is missing: in a volume, say.
fn attach(root: &OwnedFd, mount: OwnedFd, target: &str) -> Result<(), Errno> {
    let place = match mounts::place(root, target) {
        Err(Errno::ENOENT) => {
            mounts::make_place(root.as_fd(), target, PlaceKind::of(&mount)?, None)?;
            mounts::place(root, target)?
        }
        result => result?,
    };
    mounts::attach(mount, place)
}

/// Covers a place, where it exists, with a mount made for it.
fn cover(
    root: &OwnedFd,
    order: &Order,
    make: impl FnOnce(&OwnedFd, &OwnedFd) -> Result<Detached, Errno>,
) -> Result<(), Errno> {
    match mounts::place(root, &order.target) {
        Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(errno),
        Ok(target) => mounts::attach(make(root, &target)?, &target),
    }
}

fn mask(root: &OwnedFd, target: &OwnedFd) -> Result<Detached, Errno> {
    let attributes = Attributes::DATA.with(Access::ReadOnly);
    let kind = SFlag::from_bits_truncate(fstat(target)?.st_mode) & SFlag::S_IFMT;
    if kind == SFlag::S_IFDIR {
        return Detached::tmpfs(0, 0o555, attributes);
    }
    // Not dead as a device: it has to read as empty.
    let null = mounts::place(root, "/dev/null")?;
    Detached::bind_open(null, Attributes::NO_EXEC.with(Access::ReadOnly))
}

fn set_limit(limit: &Rlimit) -> Result<(), Failed> {
    process::set_limit(limit).map_err(failed(format!("rlimit {}", limit.resource)))
}

fn restrict(ruleset: Option<landlock::Ruleset>) -> Result<(), Failed> {
    let restricted = ruleset.map_or(Ok(()), landlock::restrict);
    restricted.map_err(failed("landlock"))
}

fn filter(program: Option<&seccomp::Program>, refusals: Refusals) -> Result<(), Failed> {
    let installed = program.map_or(Ok(()), |program| seccomp::install(program, refusals));
    installed.map_err(failed("seccomp"))
}

/// Huge pages, which the launcher does without, are the task's as they are every program's.
fn huge_pages() -> Result<(), Failed> {
    prctl::set_thp_disable(false).map_err(failed("allow huge pages"))
}

/// The task: a session of its own, with its terminal, and no signal blocked.
fn lead_session(orders: &Orders) -> Result<(), Failed> {
    if orders.is_init {
        setsid().map_err(failed("setsid of the task"))?;
    }
    if orders.terminal {
        terminal::control_session().map_err(failed("take the terminal"))?;
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)
        .map_err(failed("sigprocmask"))
}

/// What execve(2) gets, laid out before the fork.
struct Program {
    candidates: Vec<CString>,
    arguments: Vec<CString>,
    environment: Vec<CString>,
}

impl Program {
    fn of(process: &Process) -> Result<Self, Errno> {
        let text = |text: String| CString::new(text).map_err(|_| Errno::EINVAL);
        let variables = process.environment.iter();
        Ok(Self {
            candidates: candidates(process)
                .into_iter()
                .map(text)
                .collect::<Result<_, _>>()?,
            arguments: process
                .arguments
                .iter()
                .cloned()
                .map(text)
                .collect::<Result<_, _>>()?,
            environment: variables
                .map(|(name, value)| text(format!("{name}={value}")))
                .collect::<Result<_, _>>()?,
        })
    }

    /// Returns only with the reason why nothing was executed: of several candidates the last one
    /// that is there but cannot be executed.
    fn execute(&self) -> Errno {
        let mut reason = Errno::ENOENT;
        for path in &self.candidates {
            let Err(mut errno) = execve(path, &self.arguments, &self.environment);
            if errno == Errno::ENOEXEC {
                errno = self.execute_script(path);
            }
            if !matches!(errno, Errno::ENOENT | Errno::ENOTDIR) {
                reason = errno;
            }
        }
        reason
    }

    /// A file that names no interpreter is the shell's, as execvp(3) has it.
    fn execute_script(&self, path: &CString) -> Errno {
        let mut arguments = vec![c"sh".to_owned(), path.clone()];
        arguments.extend(self.arguments.iter().skip(1).cloned());
        let Err(errno) = execve(c"/bin/sh", &arguments, &self.environment);
        errno
    }
}

/// The files that a program may mean: itself where it is a path, or one in each directory of `PATH`.
fn candidates(process: &Process) -> Vec<String> {
    let program = process.program.as_str();
    if program.contains('/') {
        return vec![program.to_owned()];
    }
    let path = process.environment.iter().find(|(name, _)| name == "PATH");
    let path = path.map_or("", |(_, value)| value.as_str());
    path.split(':')
        .map(|directory| match directory {
            "" => format!("./{program}"),
            _ => format!("{directory}/{program}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::sandbox::User;

    #[test]
    fn a_name_is_looked_up_in_the_tasks_own_path() {
        for (program, path, expected) in [
            ("/bin/ls", Some("/usr/bin"), vec!["/bin/ls"]),
            ("./run", Some("/usr/bin"), vec!["./run"]),
            ("ls", Some("/usr/bin:/bin"), vec!["/usr/bin/ls", "/bin/ls"]),
            ("ls", Some("/bin:"), vec!["/bin/ls", "./ls"]),
            ("ls", None, vec!["./ls"]),
        ] {
            let process = Process {
                program: program.into(),
                arguments: Vec::new(),
                environment: path
                    .map(|path| ("PATH".into(), path.into()))
                    .into_iter()
                    .collect(),
                directory: "/".into(),
                user: User::default(),
                rlimits: Vec::new(),
            };
            assert_eq!(candidates(&process), expected, "{program} in {path:?}");
        }
    }
}
