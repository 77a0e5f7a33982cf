//! Cgroups: the tree of version 2, one group a container; limits, placement, kill and usage.
//!
//! Invariant: a group has its limits before the first process enters it, and controllers are
//! enabled on the way down before that.
//!
//! ```text
//! MOUNT/agent  the agent itself, on a node
//! MOUNT/tepui/CONTAINER  one container each, those that are nested in it beneath it
//! MOUNT/tepui/CONTAINER/own.group  the processes of a container whose nested ones may have limits
//! ```
//!
//! The controllers that cgroups-rs models are written through it; it knows no `memory.oom.group`,
//! no `cgroup.kill`, no `memory.events` and no pressure, which are written and read here.

mod disks;
mod files;
mod huge_pages;
mod limits;
mod usage;

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use model::ContainerId;
use model::sandbox::{
    CgroupLimits, CgroupPlan, CpuList, CpuQuota, CpuSet, Enforcement, Isolation, Nesting,
};

use crate::devices::Filters;
use crate::process::Pid;
use disks::Sharing;
use files::{make, processes, read, remove, value, write};
use huge_pages::Pool;

pub use usage::{DiskIo, Pressure, Resource, Usage};

/// The group above all containers, beneath the mount.
const CONTAINERS: &str = "tepui";

/// The group of a container's own processes, where it has one beneath its group. No container's name
/// holds a `.`.
const OWN: &str = "own.group";

/// The group of the agent itself, beneath the mount.
const AGENT: &str = "agent";

/// The controllers a container needs.
const CONTROLLERS: [&str; 5] = ["cpu", "memory", "pids", "io", CPUSET];

/// The controller of the processors that processes run on.
const CPUSET: &str = "cpuset";

/// The controller of huge pages, which containers need where the node has any.
const HUGE_PAGES: &str = "hugetlb";

/// How deep groups of nested containers lie, with one more for the processes of the innermost.
const NESTED_MAX: usize = model::container_id::DEPTH_MAX + 1;

/// What an operation on the tree was doing when the kernel refused.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// Making a group.
    #[error("create cgroup {path}")]
    Create {
        /// The group.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Writing a file of a group.
    #[error("write {value:?} to {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What should have been written.
        value: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// Reading a file of a group.
    #[error("read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Removing a group.
    #[error("remove cgroup {path}")]
    Remove {
        /// The group.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Where the agent's own process belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentPlace {
    /// Into a group of its own: on a node, where the whole tree is the agent's.
    OwnGroup,
    /// Where it is: on a host whose tree another program rules.
    Stays,
}

/// The groups of all containers of this agent.
#[derive(Debug, Clone)]
pub struct Tree {
    containers: PathBuf,
    enabled: Vec<&'static str>,
    huge_pages: Pool,
    disks: Sharing,
    devices: Filters,
}

/// Where version 2 of cgroups is mounted; `None` where it is not.
#[must_use]
pub fn mount_point() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ');
        let target = fields.nth(1)?;
        (fields.next()? == "cgroup2").then(|| PathBuf::from(target))
    })
}

/// Makes the tree beneath a mount of version 2 ready for containers.
///
/// Controllers that this kernel lacks, or that version 1 holds, are left out; [`Tree::controllers`]
/// tells which are there.
///
/// # Errors
/// A group cannot be made, or the agent not be moved.
pub fn root_setup(mount: &Path, place: AgentPlace) -> Result<Tree, CgroupError> {
    if place == AgentPlace::OwnGroup {
        let own = mount.join(AGENT);
        make(&own)?;
        write(&own.join("cgroup.procs"), "0")?;
    }
    let containers = mount.join(CONTAINERS);
    make(&containers)?;
    // Controllers are enabled before the first process enters: a cgroup that holds processes
    // cannot enable domain controllers for its children (cgroups(7), "no internal processes").
    // One write for each, since a single refusal would refuse a whole line.
    let offered = read(&mount.join("cgroup.controllers"))?;
    let enable = |controller: &str, above: &[&Path]| {
        let on = format!("+{controller}");
        let mut above = above.iter();
        offered.split_whitespace().any(|name| name == controller)
            && above.all(|group| write(&group.join("cgroup.subtree_control"), &on).is_ok())
    };
    let mut enabled = CONTROLLERS.to_vec();
    enabled.retain(|controller| enable(controller, &[mount, &containers]));
    let huge_pages = match huge_pages::are_set_aside() {
        // No container has to be asked one by one for what all of them are kept from.
        false if enable(HUGE_PAGES, &[mount]) => huge_pages::close(&containers),
        true if enable(HUGE_PAGES, &[mount, &containers]) => Pool::Shared,
        is_there => huge_pages::unbounded(is_there),
    };
    if huge_pages == Pool::Shared {
        enabled.push(HUGE_PAGES);
    }
    if enabled.contains(&"memory") {
        // What a container is promised counts as far as those above it are promised as much.
        write(&containers.join("memory.low"), "max")?;
    }
    Ok(Tree {
        containers,
        enabled,
        huge_pages,
        disks: Sharing::of(mount),
        devices: Filters::default(),
    })
}

/// Has the kernel's iocost share a disk, by its number, out by the weights of groups, with what the kernel
/// takes for right for a disk of its kind (cgroup-v2.rst, `io.cost.qos`).
///
/// # Errors
/// No cgroup v2 is mounted, the kernel has no iocost, or it does not take the disk.
pub fn weigh_disk((major, minor): (u32, u32)) -> io::Result<()> {
    let mount = mount_point().ok_or(io::ErrorKind::NotFound)?;
    fs::write(
        mount.join("io.cost.qos"),
        format!("{major}:{minor} enable=1 ctrl=auto"),
    )
}

impl Tree {
    /// The group above those of all containers.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.containers
    }

    /// The controllers that limit containers here.
    #[must_use]
    pub fn controllers(&self) -> &[&'static str] {
        &self.enabled
    }

    /// Bounds the processes and threads of all containers together.
    ///
    /// # Errors
    /// The group takes no such limit.
    pub fn limit_pids(&self, pids_max: u64) -> Result<(), CgroupError> {
        write(&self.containers.join("pids.max"), &pids_max.to_string())
    }

    /// Bounds the memory of all containers together, so that the kernel looks among them for what to
    /// kill, and not on the whole node; and keeps this much of the agent's own from being taken.
    ///
    /// # Errors
    /// The groups take no such limits.
    pub fn limit_memory(&self, bytes_max: u64, agent_bytes_min: u64) -> Result<(), CgroupError> {
        write(&self.containers.join("memory.max"), &bytes_max.to_string())?;
        let agent = self.containers.with_file_name(AGENT);
        write(&agent.join("memory.min"), &agent_bytes_min.to_string())
    }

    /// The group of all containers.
    #[must_use]
    pub fn all(&self) -> Cgroup {
        Cgroup {
            path: self.containers.clone(),
        }
    }

    /// The group of a container, whether it exists or not.
    #[must_use]
    pub fn container(&self, container: &ContainerId) -> Cgroup {
        Cgroup {
            path: container
                .names()
                .fold(self.containers.clone(), |path, name| path.join(name)),
        }
    }

    /// The groups of a container and of those that it is nested in, the innermost first.
    #[must_use]
    pub fn groups_of(&self, container: &ContainerId) -> Vec<PathBuf> {
        let all = std::iter::successors(Some(container.clone()), ContainerId::parent);
        all.map(|container| self.container(&container).path)
            .collect()
    }
}

/// Makes the group of a container with its limits, and tells which of them are in force. That of its
/// parent is there already.
///
/// # Errors
/// The group cannot be made; a limit that cannot be set is not an error but a missing one.
pub fn create(
    tree: &Tree,
    container: &ContainerId,
    plan: &CgroupPlan,
) -> Result<(Cgroup, Enforcement), CgroupError> {
    let cgroup = tree.container(container);
    make(&cgroup.path)?;
    if plan.nesting == Nesting::Limited {
        make(&cgroup.path.join(OWN))?;
    }
    let mut report = Enforcement::default();
    report.note(Isolation::Placement, Ok(()));
    let filtered = tree.devices.attach(&plan.devices, cgroup.open()?);
    report.note(Isolation::Devices, filtered.map_err(text));
    if let Some(ranges) = &plan.ports {
        let bound = crate::ports::attach(ranges, cgroup.open()?);
        report.note(Isolation::Ports, bound.map_err(text));
    }
    if let Some(cpus) = &plan.cpus {
        report.note(Isolation::Cpuset, run_on(tree, &cgroup, cpus));
    }
    if let Some(limits) = &plan.limits {
        limit(tree, container, limits, &mut report);
    }
    Ok((cgroup, report))
}

fn lacking(controller: &str) -> String {
    format!("this host has no {controller} controller of cgroup v2")
}

fn run_on(tree: &Tree, cgroup: &Cgroup, cpus: &CpuSet) -> Result<(), String> {
    if !tree.enabled.contains(&CPUSET) {
        return Err(lacking(CPUSET));
    }
    cgroup.run_on(cpus.cpus()).map_err(text)?;
    match cpus {
        CpuSet::Own(_) | CpuSet::Shared(_) => Ok(()),
        CpuSet::Lacking { wanted, .. } => Err(format!(
            "{wanted} processors of its own were wanted, and not so many are left"
        )),
    }
}

/// Gives a container that runs already other limits, and tells which of them are in force.
#[must_use]
pub fn update(tree: &Tree, container: &ContainerId, limits: &CgroupLimits) -> Enforcement {
    let mut report = Enforcement::default();
    limit(tree, container, limits, &mut report);
    report
}

/// Gives a container that runs, and whose ports are bounded, others; tells what became of it. What is
/// not bounded stays so, and nothing is told of it.
#[must_use]
pub fn update_ports(tree: &Tree, container: &ContainerId, ranges: &[(u16, u16)]) -> Enforcement {
    let mut report = Enforcement::default();
    let replaced = match tree.container(container).open() {
        Ok(cgroup) => crate::ports::replace(ranges, cgroup).map_err(text),
        Err(error) => Err(text(error)),
    };
    match replaced {
        Ok(true) => report.note(Isolation::Ports, Ok(())),
        Ok(false) => {}
        Err(why) => report.note(Isolation::Ports, Err(why)),
    }
    report
}

fn limit(tree: &Tree, container: &ContainerId, limits: &CgroupLimits, report: &mut Enforcement) {
    let cgroup = tree.container(container);
    let above = container.parent().map(|parent| tree.container(&parent));
    let limit = |controller: &str, set: &dyn Fn() -> Result<(), String>| {
        if !tree.enabled.contains(&controller) {
            return Err(lacking(controller));
        }
        if let Some(above) = &above {
            let file = above.path.join("cgroup.subtree_control");
            write(&file, &format!("+{controller}")).map_err(text)?;
        }
        set()
    };
    report.note(Isolation::Cpu, limit("cpu", &|| cgroup.limit_cpu(limits)));
    report.note(
        Isolation::Memory,
        limit("memory", &|| cgroup.limit_memory(limits)),
    );
    let huge_pages = match tree.huge_pages {
        Pool::Shared => limit(HUGE_PAGES, &|| cgroup.limit_huge_pages(limits.huge_pages)),
        Pool::Closed => huge_pages::of_none(limits.huge_pages),
        Pool::Unbounded => Err(lacking(HUGE_PAGES)),
    };
    report.note(Isolation::HugePages, huge_pages);
    report.note(
        Isolation::Pids,
        limit("pids", &|| cgroup.limit_pids(limits)),
    );
    report.note(
        Isolation::Io,
        limit("io", &|| cgroup.limit_io(limits, tree.disks)),
    );
}

/// One container's group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// Its directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A descriptor for `CLONE_INTO_CGROUP`.
    pub(crate) fn open(&self) -> Result<OwnedFd, CgroupError> {
        File::open(&self.path)
            .map(OwnedFd::from)
            .map_err(|source| CgroupError::Read {
                path: self.path.clone(),
                source,
            })
    }

    /// The file that moves its writer into the group of the container's own processes, where it is one
    /// beneath.
    pub(crate) fn open_own(&self) -> Result<Option<OwnedFd>, CgroupError> {
        let path = self.path.join(OWN).join("cgroup.procs");
        match File::options().write(true).open(&path) {
            Ok(file) => Ok(Some(file.into())),
            Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(CgroupError::Read { path, source }),
        }
    }

    /// Keeps its processes on these processors, those that run included; an empty list leaves them those
    /// of the group above.
    ///
    /// # Errors
    /// The group is gone, or takes no such list.
    pub fn run_on(&self, cpus: &CpuList) -> Result<(), CgroupError> {
        // An empty write would not reach the kernel at all.
        write(&self.path.join("cpuset.cpus"), &format!("{cpus}\n"))
    }

    /// Kills every process in it, and in those beneath it, all at once.
    ///
    /// # Errors
    /// The group does not exist.
    pub fn kill(&self) -> Result<(), CgroupError> {
        write(&self.path.join("cgroup.kill"), "1")
    }

    /// The memory limit in force, in bytes.
    #[must_use]
    pub fn memory_bytes_max(&self) -> Option<u64> {
        self.number("memory.max")
    }

    /// The limit of the processor in force.
    #[must_use]
    pub fn cpu_quota(&self) -> Option<CpuQuota> {
        let line = self.table("cpu.max");
        let (quota, period) = line.trim().split_once(' ')?;
        Some(CpuQuota {
            quota_us: quota.parse().ok()?,
            period_us: period.parse().ok()?,
        })
    }

    /// The groups that its own processes are in, and not those of containers nested in it.
    pub(crate) fn paths_of_processes(&self) -> [PathBuf; 2] {
        [self.path.clone(), self.path.join(OWN)]
    }

    /// Its processes, and those of the groups beneath it, by number.
    #[must_use]
    pub fn processes(&self) -> Vec<Pid> {
        let mut found = Vec::new();
        processes(&self.path, NESTED_MAX, &mut found);
        found
    }

    /// Whether the kernel killed for lack of memory in it.
    #[must_use]
    pub fn oom_killed(&self) -> bool {
        value(&self.table("memory.events"), "oom_kill").is_some_and(|kills| kills > 0)
    }

    /// Whether a process is alive in it.
    #[must_use]
    pub fn is_populated(&self) -> bool {
        value(&self.table("cgroup.events"), "populated") == Some(1)
    }

    /// Removes it with those beneath it; one that is gone already is no error.
    ///
    /// # Errors
    /// It still holds processes.
    pub fn remove(&self) -> Result<(), CgroupError> {
        remove(&self.path)
    }

    fn table(&self, file: &str) -> String {
        read(&self.path.join(file)).unwrap_or_default()
    }

    fn number(&self, file: &str) -> Option<u64> {
        self.table(file).trim().parse().ok()
    }
}

/// The reason a limit is not in force: the whole chain, since it is handled as text.
fn text(error: impl std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_that_is_gone_uses_nothing_and_was_not_killed() {
        let cgroup = Cgroup {
            path: PathBuf::from("/nonexistent/cgroup"),
        };
        assert_eq!(cgroup.usage(), Usage::default());
        assert!(!cgroup.oom_killed());
        assert!(cgroup.remove().is_ok());
    }
}
