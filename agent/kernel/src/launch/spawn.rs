//! Spawn: the agent's part of a launch.
//!
//! Everything that needs the node's rights happens here: the cgroup and its limits, mounts made
//! detached, output files, the clone and its id maps. [`spawn`] returns when the task's own
//! execve(2) has happened, or with the name of the step that went wrong; then nothing is left over.

use std::ffi::{CStr, CString};
use std::fs;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use model::ContainerId;
use model::sandbox::{Enforcement, Isolation, LaunchPlan, Namespace, Network, Rates, Run};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, waitid};

use super::filters::Filters;
use super::host::Host;
use super::parts::Parts;
use super::streams::{Streams, pipe};
use crate::cgroup::{self, Cgroup, CgroupError};
use crate::clock::Beginning;
use crate::files::{self, above_stdio};
use crate::namespaces::{self, Launcher, Spaces};
use crate::network::Space;
use crate::process::{self, Pid};
use crate::procview::Binds;
use crate::seccomp::TooLong;

/// The launcher stays as an init with next to no heap, of which each page that is touched would be 2 MB.
/// The allocator looks for this before anything is allocated; of other programs nothing is this early.
const ALLOCATOR: &CStr = c"MIMALLOC_ALLOW_THP=0";

/// How long a launcher may take from the clone to the task's execve(2).
const LAUNCH_MAX: Duration = Duration::from_secs(30);

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
    /// The agent's ends of its input and output.
    pub streams: Streams,
}

/// The step of a launch that went wrong.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The cgroup could not be made.
    #[error("launch: place in a cgroup")]
    Cgroup(#[source] CgroupError),
    /// The operator asks for what this kernel does not give.
    #[error("{isolation} is required on this agent (--isolation_minimum) and missing: {why}")]
    Required {
        /// What.
        isolation: Isolation,
        /// Why it is missing.
        why: String,
    },
    /// The profile makes no filter.
    #[error("launch: filter system calls")]
    Seccomp(#[source] TooLong),
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
pub(super) fn step(name: impl Into<String>) -> impl FnOnce(Errno) -> LaunchError {
    let step = name.into();
    move |source| LaunchError::Step { step, source }
}

/// Starts a container; blocks until its task has been executed. Where it is nested, the first process
/// of its parent is needed, too.
///
/// # Errors
/// The first step that went wrong; nothing of the container is left then.
pub fn spawn(
    host: &Host,
    plan: &LaunchPlan,
    parent: Option<&OwnedFd>,
) -> Result<Launched, LaunchError> {
    spawn_in(host, plan, parent, None)
}

/// The same in a network that was made before, which a plan with [`Network::Ready`] wants.
///
/// # Errors
/// As [`spawn`].
pub fn spawn_in(
    host: &Host,
    plan: &LaunchPlan,
    parent: Option<&OwnedFd>,
    space: Option<&Space>,
) -> Result<Launched, LaunchError> {
    spawn_noted(host, plan, parent, space, &|_| Ok(()))
}

/// Notes a container's process down, before that does anything: a launcher whose agent dies until then
/// dies with it, and one that is noted is found again.
pub type Note<'a> = &'a dyn Fn(Pid) -> std::io::Result<()>;

/// The same, with a note of the process.
///
/// # Errors
/// As [`spawn`]; what cannot be noted is not started.
pub fn spawn_noted(
    host: &Host,
    plan: &LaunchPlan,
    parent: Option<&OwnedFd>,
    space: Option<&Space>,
    note: Note<'_>,
) -> Result<Launched, LaunchError> {
    if matches!(plan.network, Network::Ready { .. }) && space.is_none() {
        return Err(step("enter a ready network: there is none")(Errno::ENXIO));
    }
    let (cgroup, mut enforcement) = match host.cgroups() {
        Some(tree) => {
            let (cgroup, report) =
                cgroup::create(tree, &plan.container, &plan.cgroup).map_err(LaunchError::Cgroup)?;
            (Some(cgroup), report)
        }
        None => (None, without_cgroups(plan)),
    };
    let (binds, outcome) = host.view(plan);
    let seen: Vec<_> = binds.iter().map(|(index, _)| *index).collect();
    if plan.namespaces.contains(&Namespace::Time) {
        enforcement.note(Isolation::Namespace(Namespace::Time), host.clocks.clone());
    }
    let filters = Filters::of(host, plan, &mut enforcement);
    let lacking = enforcement.lacking(&plan.required);
    let filters = match lacking {
        Some((isolation, why)) => Err(LaunchError::Required {
            isolation,
            why: why.to_string(),
        }),
        None => filters,
    };
    let started = filters.and_then(|filters| {
        let ground = Ground {
            host,
            plan,
            parent,
            cgroup: cgroup.as_ref(),
            space,
        };
        start(&ground, &filters, binds, note)
    });
    match started {
        Ok((pid, pidfd, streams)) => {
            if let Some(outcome) = outcome {
                enforcement.note(Isolation::ProcView, outcome);
            }
            host.viewed(plan, &pidfd, &seen);
            note_network(plan, &mut enforcement);
            let others = plan.namespaces.iter().copied();
            let others = others.filter(|kind| *kind != Namespace::Time);
            enforcement
                .enforced
                .extend(others.map(Isolation::Namespace));
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
                streams,
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

/// What an end on a network does is done before the container.
fn note_network(plan: &LaunchPlan, enforcement: &mut Enforcement) {
    if let Network::Ready {
        endpoint: Some(endpoint),
    } = &plan.network
    {
        enforcement.note(Isolation::Senders, Ok(()));
        if endpoint.rates != Rates::default() {
            enforcement.note(Isolation::Rates, Ok(()));
        }
    }
}

fn without_cgroups(plan: &LaunchPlan) -> Enforcement {
    let mut report = Enforcement::default();
    for isolation in [
        Isolation::Placement,
        Isolation::Cpu,
        Isolation::Memory,
        Isolation::Pids,
        Isolation::Io,
        Isolation::Devices,
    ] {
        report.note(isolation, Err("this host has no cgroup v2".into()));
    }
    if plan.cgroup.ports.is_some() {
        report.note(Isolation::Ports, Err("this host has no cgroup v2".into()));
    }
    report
}

/// What a launch stands on.
struct Ground<'a> {
    host: &'a Host,
    plan: &'a LaunchPlan,
    parent: Option<&'a OwnedFd>,
    cgroup: Option<&'a Cgroup>,
    space: Option<&'a Space>,
}

fn start(
    ground: &Ground<'_>,
    filters: &Filters,
    view: Binds,
    note: Note<'_>,
) -> Result<(Pid, OwnedFd, Streams), LaunchError> {
    let Ground {
        host,
        plan,
        parent,
        cgroup,
        space,
    } = *ground;
    let parts = Parts::make(host, plan, parent, cgroup, space, view)?;
    let (gate_reader, gate_writer) = pipe()?;
    let (report_reader, report_writer) = pipe()?;
    let has_clocks = plan.namespaces.contains(&Namespace::Time) && host.clocks.is_ok();
    let mut orders = parts.orders(plan, filters, report_writer.as_raw_fd());
    orders.beginning = has_clocks.then(Beginning::now);
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
        environment: &[ALLOCATOR.as_ptr(), std::ptr::null()],
        stdio: parts.ends.stdio(),
        kept: &kept,
        gate: gate_reader.as_raw_fd(),
        gate_writer: gate_writer.as_raw_fd(),
        report: report_writer.as_raw_fd(),
    };
    let directory = cgroup
        .map(Cgroup::open)
        .transpose()
        .map_err(LaunchError::Cgroup)?;
    let own: Vec<Namespace> = match plan.network {
        // What is ready is entered before the clone.
        Network::Ready { .. } => {
            let all = plan.namespaces.iter().copied();
            all.filter(|kind| *kind != Namespace::Network).collect()
        }
        Network::Own | Network::Shared => plan.namespaces.clone(),
    };
    let clocks = match parent {
        Some(parent) if plan.joined.contains(&Namespace::Time) && host.clocks.is_ok() => {
            let clocks = namespaces::clocks_of(parent).and_then(above_stdio);
            Some(clocks.map_err(step("open the parent's time namespace"))?)
        }
        _ => None,
    };
    let spaces = Spaces {
        own: &own,
        clocks: clocks.as_ref().map(AsFd::as_fd),
        network: space.map(AsFd::as_fd),
        joined: &plan.joined,
        parent: parent.map(AsFd::as_fd),
        cgroup: directory.as_ref().map(AsRawFd::as_raw_fd),
    };
    namespaces::clone_launcher(&spaces, &launcher, |cloned| {
        drop(report_writer);
        let (pid, pidfd) = match cloned {
            Ok(cloned) => cloned,
            // A step on the way into the parent's namespaces has said more than this number does.
            Err(errno) => {
                await_task(plan, &report_reader)?;
                return Err(step("clone3")(errno));
            }
        };
        let result = note(pid)
            .map_err(|error| step("note the process down")(files::errno(&error)))
            .and_then(|()| open_gate(plan, pid, gate_writer))
            .and_then(|()| await_task(plan, &report_reader));
        match result {
            Ok(()) => Ok((pid, pidfd)),
            Err(error) => {
                bury(&pidfd);
                Err(error)
            }
        }
    })
    .map(|(pid, pidfd)| (pid, pidfd, parts.ends.streams))
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
    namespaces::set_oom_score(pid, plan.oom_score_adj).map_err(step("write oom_score_adj"))?;
    if let Run::Process(process) = &plan.run {
        for limit in &process.rlimits {
            let name = format!("raise rlimit {}", limit.resource);
            process::raise_limit(pid, limit).map_err(step(name))?;
        }
    }
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
            program: match &plan.run {
                Run::Process(process) => process.program.clone(),
                Run::Hold(_) => String::new(),
            },
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
