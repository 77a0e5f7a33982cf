//! Spawn: the agent's part of a launch.
//!
//! Everything that needs the node's rights happens here: the cgroup and its limits, mounts made
//! detached, output files, the clone and its id maps. [`spawn`] returns when the task's own
//! execve(2) has happened, or with the name of the step that went wrong; then nothing is left over.

use std::ffi::CString;
use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use model::ContainerId;
use model::sandbox::{
    Access, Content, Enforcement, ExitStatus, Isolation, LaunchPlan, Missing, Mount, Namespace,
};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::pipe2;

use super::orders::{Order, Orders, What};
use crate::cgroup::{self, Cgroup, CgroupError, Tree};
use crate::files::{self, above_stdio};
use crate::mounts::{self, Attributes, Detached, PlaceKind};
use crate::namespaces::{self, Launcher};
use crate::process::{self, Pid};

/// How long a launcher may take from the clone to the task's execve(2).
const LAUNCH_MAX: Duration = Duration::from_secs(30);

/// The most that is read of a file of a task's root, such as `etc/passwd`.
const ROOT_FILE_BYTES_MAX: u64 = 1 << 20;

/// What all launches of this agent share.
#[derive(Debug)]
pub struct Host {
    program: OwnedFd,
    null: OwnedFd,
    cgroups: Option<Tree>,
    runtime: PathBuf,
}

/// A container whose task runs.
#[derive(Debug)]
pub struct Launched {
    /// The container's init, which ends when the task does.
    pub pid: Pid,
    /// The same, safe from reuse of the number.
    pub pidfd: OwnedFd,
    /// Its cgroup; `None` on a host without version 2.
    pub cgroup: Option<Cgroup>,
    /// What keeps it in its bounds, and what is missing.
    pub enforcement: Enforcement,
}

/// The step of a launch that went wrong.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The cgroup could not be made.
    #[error("launch: place in a cgroup")]
    Cgroup(#[source] CgroupError),
    /// A step of the agent or of the launcher.
    #[error("launch: {step}")]
    Step {
        /// The act and its object.
        step: String,
        /// What the kernel said.
        source: Errno,
    },
    /// The task's own program could not be executed.
    #[error("execute {program:?}")]
    Execute {
        /// The program, as the task named it.
        program: String,
        /// What the kernel said.
        source: Errno,
    },
    /// The launcher did not get to the task's execve(2) in time, and was killed.
    #[error("launch: no task after {} s", LAUNCH_MAX.as_secs())]
    Timeout,
}

/// Names a step.
fn step(name: impl Into<String>) -> impl FnOnce(Errno) -> LaunchError {
    let step = name.into();
    move |source| LaunchError::Step { step, source }
}

/// Reads a small text file of a root, such as `etc/passwd`; empty where there is none, and no link
/// in the root leads to a file of the node.
#[must_use]
pub fn root_file(root: &Path, path: &str) -> String {
    let read = || -> io::Result<String> {
        let root = fs::File::open(root)?;
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let file = files::in_root(root, Path::new(path), flags)?;
        let content = files::read_bounded(file, ROOT_FILE_BYTES_MAX)?;
        Ok(String::from_utf8_lossy(&content).into_owned())
    };
    read().unwrap_or_default()
}

impl Host {
    /// Gets ready to launch: opens the agent's own program, and makes the runtime directory.
    ///
    /// # Errors
    /// The program or the directory is out of reach.
    pub fn open(cgroups: Option<Tree>, runtime: &Path) -> Result<Self, LaunchError> {
        let open = |path: &str, flags| {
            open(path, flags | OFlag::O_CLOEXEC, Mode::empty())
                .and_then(above_stdio)
                .map_err(step(format!("open {path}")))
        };
        fs::create_dir_all(runtime)
            .map_err(|error| step(format!("make {}", runtime.display()))(files::errno(&error)))?;
        Ok(Self {
            program: open("/proc/self/exe", OFlag::O_PATH)?,
            null: open("/dev/null", OFlag::O_RDONLY)?,
            cgroups,
            runtime: runtime.to_path_buf(),
        })
    }

    /// The cgroups of the containers.
    #[must_use]
    pub fn cgroups(&self) -> Option<&Tree> {
        self.cgroups.as_ref()
    }

    /// The status of the task, given that of the container's init as the reaper saw it.
    ///
    /// The init cannot die of the signal that ended the task (a pid namespace's init ignores what it
    /// sends itself), so it leaves the exact status in a file. Without one the init was itself
    /// killed, and the task with it.
    #[must_use]
    pub fn exit_status(&self, container: &ContainerId, init: ExitStatus) -> ExitStatus {
        self.recorded_exit(container).unwrap_or(init)
    }

    /// The status that the container's init left behind; for containers that ended unseen.
    #[must_use]
    pub fn recorded_exit(&self, container: &ContainerId) -> Option<ExitStatus> {
        let record = fs::read_to_string(self.exit_file(container)).ok()?;
        // The line's end marks that it is whole.
        let status = record.strip_suffix('\n')?.parse().ok()?;
        ExitStatus::from_wait_status(status)
    }

    /// Forgets a container that has ended: its exit file goes.
    pub fn forget(&self, container: &ContainerId) {
        // Already gone is as good; a directory out of reach shows at the next launch.
        let _ = fs::remove_file(self.exit_file(container));
    }

    fn exit_file(&self, container: &ContainerId) -> PathBuf {
        self.runtime.join(format!("{container}.exit"))
    }
}

/// Starts a container; blocks until its task has been executed.
///
/// # Errors
/// The first step that went wrong; nothing of the container is left then.
pub fn spawn(host: &Host, plan: &LaunchPlan) -> Result<Launched, LaunchError> {
    let (cgroup, mut enforcement) = match &host.cgroups {
        Some(tree) => {
            let (cgroup, report) =
                cgroup::create(tree, &plan.container, &plan.cgroup).map_err(LaunchError::Cgroup)?;
            (Some(cgroup), report)
        }
        None => (None, without_cgroups()),
    };
    let started = start(host, plan, cgroup.as_ref());
    match started {
        Ok((pid, pidfd)) => {
            enforcement
                .enforced
                .extend(plan.namespaces.iter().copied().map(Isolation::Namespace));
            enforcement.enforced.extend([
                Isolation::Root,
                Isolation::Capabilities,
                Isolation::NoNewPrivileges,
            ]);
            Ok(Launched {
                pid,
                pidfd,
                cgroup,
                enforcement,
            })
        }
        Err(error) => {
            host.forget(&plan.container);
            if let Some(cgroup) = cgroup {
                // The error that is being returned says more than one of tidying up.
                let _ = cgroup.remove();
            }
            Err(error)
        }
    }
}

fn without_cgroups() -> Enforcement {
    let mut report = Enforcement::default();
    for isolation in [
        Isolation::Placement,
        Isolation::Cpu,
        Isolation::Memory,
        Isolation::Pids,
    ] {
        report.note(isolation, Err("this host has no cgroup v2".into()));
    }
    report
}

fn start(
    host: &Host,
    plan: &LaunchPlan,
    cgroup: Option<&Cgroup>,
) -> Result<(Pid, OwnedFd), LaunchError> {
    let parts = Parts::make(host, plan)?;
    let (gate_reader, gate_writer) = pipe()?;
    let (report_reader, report_writer) = pipe()?;
    let orders = parts.orders(plan, report_writer.as_raw_fd());
    let orders = files::sealed("tepui-launch", &orders.encode())
        .and_then(above_stdio)
        .map_err(step("seal the plan"))?;
    let mut kept = parts.descriptors();
    kept.extend([orders.as_raw_fd(), report_writer.as_raw_fd()]);

    let arguments = arguments(&plan.container, orders.as_raw_fd())?;
    let mut pointers: Vec<_> = arguments.iter().map(|text| text.as_ptr()).collect();
    pointers.push(std::ptr::null());
    let launcher = Launcher {
        program: host.program.as_raw_fd(),
        arguments: &pointers,
        stdio: [
            host.null.as_raw_fd(),
            parts.stdout.as_raw_fd(),
            parts.stderr.as_raw_fd(),
        ],
        kept: &kept,
        gate: gate_reader.as_raw_fd(),
        gate_writer: gate_writer.as_raw_fd(),
        report: report_writer.as_raw_fd(),
    };
    let directory = cgroup
        .map(Cgroup::open)
        .transpose()
        .map_err(LaunchError::Cgroup)?;
    let into = directory.as_ref().map(AsRawFd::as_raw_fd);
    let (pid, pidfd) =
        namespaces::clone_launcher(&plan.namespaces, into, &launcher).map_err(step("clone3"))?;
    drop(report_writer);

    let result = open_gate(plan, pid, gate_writer).and_then(|()| await_task(plan, &report_reader));
    match result {
        Ok(()) => Ok((pid, pidfd)),
        Err(error) => {
            bury(&pidfd);
            Err(error)
        }
    }
}

/// The descriptors of a container, made before the clone.
struct Parts {
    root: OwnedFd,
    made: Vec<(usize, OwnedFd)>,
    sandbox: OwnedFd,
    stdout: OwnedFd,
    stderr: OwnedFd,
    exit: OwnedFd,
}

impl Parts {
    fn make(host: &Host, plan: &LaunchPlan) -> Result<Self, LaunchError> {
        let sandbox = plan.sandbox.source.as_str();
        let in_sandbox = |what: &str| step(format!("{what} sandbox {sandbox}"));
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let directory = open(sandbox, flags, Mode::empty()).map_err(in_sandbox("open"))?;
        let user = &plan.process.user;
        let owner = plan.ids.on_node(user.uid).zip(plan.ids.on_node(user.gid));
        let (uid, gid) = owner.ok_or(Errno::EINVAL).map_err(step(format!(
            "user {}:{} is outside the container's ids",
            user.uid, user.gid
        )))?;
        mounts::give(&directory, uid, gid).map_err(in_sandbox("chown"))?;
        // The files are opened through the container's own mount, so that /proc/PID/fd names them as
        // the task knows them and tells nothing of the node.
        let attributes = Attributes::NO_DEVICES.with(Access::ReadWrite);
        let directory = Detached::bind_open(&directory, attributes)
            .and_then(|mount| above_stdio(mount.into_fd()))
            .map_err(in_sandbox("clone"))?;
        let output = |name: &str| {
            let file = files::append(&directory, Path::new(name)).and_then(above_stdio);
            let file = file.map_err(step(format!("open {name} in the sandbox")))?;
            mounts::give(&file, uid, gid).map_err(step(format!("chown {name}")))?;
            Ok(file)
        };
        let (stdout, stderr) = (output(&plan.sandbox.stdout)?, output(&plan.sandbox.stderr)?);
        Ok(Self {
            root: make_root(plan)?,
            made: make_mounts(plan)?,
            sandbox: directory,
            stdout,
            stderr,
            exit: make_exit_file(host, &plan.container)?,
        })
    }

    fn descriptors(&self) -> Vec<RawFd> {
        let own = [&self.root, &self.sandbox, &self.exit];
        let mut all: Vec<RawFd> = own.map(AsRawFd::as_raw_fd).to_vec();
        all.extend(self.made.iter().map(|(_, fd)| fd.as_raw_fd()));
        all
    }

    fn orders(&self, plan: &LaunchPlan, report: RawFd) -> Orders {
        let order = |(index, mount): (usize, &Mount)| {
            let made = self.made.iter().find(|(of, _)| *of == index);
            let what = match &mount.content {
                Content::Proc => Some(What::Proc),
                Content::Cgroup => Some(What::Cgroup),
                Content::Mask => Some(What::Mask),
                Content::ReadOnly => Some(What::ReadOnly),
                Content::Sandbox => Some(What::Made(self.sandbox.as_raw_fd())),
                Content::Bind { .. }
                | Content::Tmpfs { .. }
                | Content::Devices(_)
                | Content::Terminals { .. } => made.map(|(_, fd)| What::Made(fd.as_raw_fd())),
            };
            what.map(|what| Order {
                target: mount.target.clone(),
                what,
            })
        };
        Orders {
            report,
            exit: self.exit.as_raw_fd(),
            root: self.root.as_raw_fd(),
            hostname: plan.hostname.clone(),
            cgroup_namespace: plan.namespaces.contains(&Namespace::Cgroup),
            mounts: plan.mounts.iter().enumerate().filter_map(order).collect(),
            process: plan.process.clone(),
            capabilities: plan.capabilities.clone(),
        }
    }
}

/// The root as a detached mount, with a place for every mount that stands on it.
fn make_root(plan: &LaunchPlan) -> Result<OwnedFd, LaunchError> {
    let source = Path::new(&plan.root.source);
    let failed = |what: &str| step(format!("{what} root {}", source.display()));
    let directory = fs::File::open(source).map_err(|error| failed("open")(files::errno(&error)))?;
    for (index, mount) in plan.mounts.iter().enumerate() {
        let kind = match &mount.content {
            Content::Mask | Content::ReadOnly => continue,
            Content::Bind { source, .. } if !Path::new(source).is_dir() => PlaceKind::File,
            Content::Bind { .. }
            | Content::Sandbox
            | Content::Tmpfs { .. }
            | Content::Devices(_)
            | Content::Terminals { .. }
            | Content::Proc
            | Content::Cgroup => PlaceKind::Directory,
        };
        let stands_on_another = plan.mounts[..index]
            .iter()
            .any(|other| Path::new(&mount.target).starts_with(&other.target));
        if !stands_on_another {
            mounts::make_place(directory.as_fd(), &mount.target, kind)
                .map_err(step(format!("make {} in the root", mount.target)))?;
        }
    }
    Detached::bind(source, Attributes::NO_DEVICES.with(plan.root.access))
        .and_then(|mount| above_stdio(mount.into_fd()))
        .map_err(failed("clone"))
}

/// All mounts that are the agent's to make, each with its index in the plan.
fn make_mounts(plan: &LaunchPlan) -> Result<Vec<(usize, OwnedFd)>, LaunchError> {
    let mut made = Vec::new();
    for (index, mount) in plan.mounts.iter().enumerate() {
        if let Some(detached) =
            make_mount(plan, mount).map_err(step(format!("make mount {}", mount.target)))?
        {
            let fd = above_stdio(detached.into_fd()).map_err(step("dup"))?;
            made.push((index, fd));
        }
    }
    Ok(made)
}

fn make_mount(plan: &LaunchPlan, mount: &Mount) -> Result<Option<Detached>, Errno> {
    let detached = match &mount.content {
        Content::Bind {
            source,
            access,
            missing,
        } => match Detached::bind(Path::new(source), Attributes::NO_DEVICES.with(*access)) {
            Err(Errno::ENOENT) if *missing == Missing::IsLeftOut => return Ok(None),
            result => result?,
        },
        Content::Tmpfs { bytes_max, mode } => {
            Detached::tmpfs(*bytes_max, *mode, Attributes::NO_DEVICES)?
        }
        Content::Devices(devices) => Detached::devices(devices)?,
        Content::Terminals { group } => {
            let gid = plan.ids.on_node(*group).ok_or(Errno::EINVAL)?.to_string();
            let options = [
                (c"gid", gid.as_str()),
                (c"mode", "620"),
                (c"ptmxmode", "666"),
            ];
            Detached::filesystem(c"devpts", &options, Attributes::NO_EXEC)?
        }
        Content::Sandbox | Content::Proc | Content::Cgroup | Content::Mask | Content::ReadOnly => {
            return Ok(None);
        }
    };
    Ok(Some(detached))
}

fn make_exit_file(host: &Host, container: &ContainerId) -> Result<OwnedFd, LaunchError> {
    let path = host.exit_file(container);
    fs::File::create(&path)
        .map_err(|error| files::errno(&error))
        .and_then(|file| above_stdio(file.into()))
        .map_err(step(format!("make {}", path.display())))
}

fn pipe() -> Result<(OwnedFd, OwnedFd), LaunchError> {
    let make = || {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
        Ok((above_stdio(reader)?, above_stdio(writer)?))
    };
    make().map_err(step("pipe"))
}

/// The launcher's command line; the container's id is there for whoever lists processes.
fn arguments(container: &ContainerId, orders: RawFd) -> Result<[CString; 4], LaunchError> {
    let text = |text: &str| CString::new(text).map_err(|_| step("arguments")(Errno::EINVAL));
    Ok([
        text("tepui-agent")?,
        text("launch")?,
        text(&orders.to_string())?,
        text(container.as_str())?,
    ])
}

/// Writes the id maps and lets the child go on.
fn open_gate(plan: &LaunchPlan, pid: Pid, gate: OwnedFd) -> Result<(), LaunchError> {
    if plan.namespaces.contains(&Namespace::User) {
        namespaces::write_id_maps(pid, plan.ids).map_err(step("write the id maps"))?;
    }
    namespaces::reset_oom_score(pid).map_err(step("write oom_score_adj"))?;
    fs::File::from(gate)
        .write_all(&[1])
        .map_err(|error| step("open the gate")(files::errno(&error)))
}

/// Waits until the report is closed: by execve(2) of the task, or after a record of what went wrong.
fn await_task(plan: &LaunchPlan, report: &OwnedFd) -> Result<(), LaunchError> {
    let deadline = Instant::now() + LAUNCH_MAX;
    let mut record = Vec::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(
            &mut [PollFd::new(report.as_fd(), PollFlags::POLLIN)],
            timeout,
        ) {
            Ok(0) => return Err(LaunchError::Timeout),
            Err(Errno::EINTR) => continue,
            result => result.map_err(step("wait for the launcher"))?,
        };
        let mut chunk = [0_u8; 512];
        match nix::unistd::read(report, &mut chunk) {
            Ok(0) => return judge(plan, &record),
            Ok(length) => record.extend_from_slice(&chunk[..length]),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(step("read the launcher's report")(errno)),
        }
    }
}

/// What a finished report says: nothing is good.
fn judge(plan: &LaunchPlan, record: &[u8]) -> Result<(), LaunchError> {
    let Some((errno, rest)) = record.split_first_chunk() else {
        return Ok(());
    };
    let source = Errno::from_raw(i32::from_le_bytes(*errno));
    match rest.split_first() {
        Some((&super::KIND_EXECUTE, _)) => Err(LaunchError::Execute {
            program: plan.process.program.clone(),
            source,
        }),
        Some((_, name)) => Err(step(String::from_utf8_lossy(name))(source)),
        None => Err(step("read the launcher's report")(Errno::EPROTO)),
    }
}

/// Ends a launcher that did not get to its task, and takes its status: nobody else knows its number.
fn bury(pidfd: &OwnedFd) {
    // It may have ended by itself, and the agent's reaper may have been faster; both are the aim.
    let _ = process::signal(pidfd, Signal::SIGKILL);
    let _ = waitid(Id::PIDFd(pidfd.as_fd()), WaitPidFlag::WEXITED);
}
