//! Sandbox: what a container is made of, decided before anything is done.
//!
//! [`plan`] turns a task, or an executor, and facts about the node into a [`LaunchPlan`] that
//! `agent-kernel` carries out. Nothing is asked of the kernel here, and nothing is left for it to
//! choose.

mod capabilities;
mod cgroup;
mod command;
pub mod denials;
mod devices;
mod disk;
pub mod explain;
mod image;
mod landlock;
mod mounts;
mod namespaces;
mod network;
mod processors;
pub mod procview;
mod rlimits;
mod seccomp;
mod users;
mod wishes;

use alloc::string::{String, ToString};

use model::ContainerId;
use model::sandbox::{CgroupPlan, CpuSet, IdRange, Io, LaunchPlan, Run, Sandbox, Shares, User};

pub use capabilities::Policy;
pub use cgroup::{
    Ceiling, Cfs, Demand, MEMORY_BYTES_MIN, Protection, RevocableCpu, Rules, Swap, Throttling,
    limits,
};
pub use command::Command;
pub use devices::AllowedDevice;
pub use disk::{DiskFacts, DiskPolicy, HardLimits, disk_quota, passed, volume_quota};
pub use image::ImageConfig;
pub use landlock::ParentsNetwork;
pub use mounts::{RootSpec, SANDBOX, Volume, VolumeSource};
pub use namespaces::{ID_RANGES_MAX, STORE_IDS, id_range};
pub use network::{
    AddressBook, AddressError, Connection, MappingError, NamedNetwork, PortRanges, check_mappings,
};
pub use processors::{Core, Processors};
pub use seccomp::{BUILT_IN, Entry, Profile, ProfileWish};
pub use users::{Accounts, SwitchUser, resolve as user};
pub use wishes::{Ipc, Network, Wishes};

/// What a container is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskSpec<'a> {
    /// The container's name.
    pub container: &'a ContainerId,
    /// What kind of container it is.
    pub class: Class,
    /// What to run; a pod runs nothing.
    pub command: Option<&'a Command>,
    /// The environment that the task and the agent set, later entries winning.
    pub environment: &'a [(String, String)],
    /// Whom to run as: a name or a number; `None` leaves it to the node.
    pub user: Option<&'a str>,
    /// What it may use.
    pub demand: Demand,
    /// The ports of the node that are its own.
    pub ports: &'a PortRanges,
    /// Its root.
    pub root: RootSpec<'a>,
    /// Where it starts inside; `None` for its sandbox.
    pub directory: Option<&'a str>,
    /// The sandbox directory on the node; none for a container that leaves no traces.
    pub sandbox: Option<&'a str>,
    /// Where input comes from and output goes.
    pub io: Io,
    /// Its volumes, in the order of their mounts.
    pub volumes: &'a [Volume],
    /// What it asks for beyond that.
    pub wishes: &'a Wishes,
    /// Whose network the container has that it is nested in.
    pub parents_network: ParentsNetwork,
}

/// What kind of container one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A command task, which has the room of the executor that it is reported with.
    Task,
    /// An executor, or another container of its own that may have others nested in it.
    Executor,
    /// The same without a program: Mesos' default executor, which this agent is itself.
    Pod,
    /// Nested in another, with a root, processes and mounts of its own; the rest is the parent's.
    Nested,
    /// A process in another container.
    Debug,
}

/// What the node is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeFacts<'a> {
    /// The default root: a directory on a file system other than the initramfs.
    pub root: &'a str,
    /// The name that the container has, too, as long as it shares the node's network.
    pub hostname: &'a str,
    /// The directory that holds the `hosts`, `hostname` and `resolv.conf` for containers.
    pub etc: &'a str,
    /// How it is connected, or the one that it is nested in; unset with the node's network, and with
    /// none.
    pub connection: Option<&'a Connection>,
    /// The ids of this container, from [`id_range`]; those of the parent for a nested one.
    pub ids: IdRange,
    /// Whether the user that a task asks for is looked up.
    pub switch_user: SwitchUser,
    /// The users and groups of the root.
    pub accounts: Accounts<'a>,
    /// What the operator says of limits.
    pub rules: Rules,
    /// The processors of this container, from [`Processors`]; unset where they are not shared out, and
    /// for what is nested.
    pub cpus: Option<CpuSet>,
    /// The disk that sandboxes are on.
    pub disk: DiskFacts,
    /// What the operator allows.
    pub policy: &'a Policy,
    /// The seccomp profile of a container that is not unconfined: the one that it asks for, or that
    /// of the node.
    pub seccomp: &'a Profile,
    /// The profile of the node, beyond which none of a container's own goes.
    pub usual_seccomp: &'a Profile,
    /// How many processors a container with a share sees in its view of `/proc`; `None` where containers
    /// see the node's.
    pub view: Option<Shares>,
}

/// Why a task cannot be run on this node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The root has no such user.
    #[error("user {0:?} is not in the task's root, and names no number")]
    User(String),
    /// The user is a number that the container has no id for.
    #[error("user {id} is outside the container's ids, which are 0 to {}", ids - 1)]
    Id {
        /// The number asked for.
        id: u32,
        /// How many ids there are.
        ids: u32,
    },
    /// There is nothing to run.
    #[error("the command has no value")]
    NoCommand,
    /// There is nothing to run, in the image neither.
    #[error("the command has no value, and the image has neither entry point nor command")]
    NoProgram,
    /// A text that the kernel cannot take.
    #[error("{0} holds a NUL byte")]
    Nul(String),
    /// A volume that could be seen nowhere, or instead of what every container has.
    #[error("a volume cannot be seen at {0:?}")]
    Volume(String),
    /// A part of a sandbox that is not in it.
    #[error("{0:?} is no path within a sandbox")]
    SandboxPath(String),
    /// A directory of the node that the operator does not let containers have.
    #[error("host path {0:?} is not allowed on this agent (--allowed_host_paths)")]
    HostPath(String),
    /// A capability that the operator does not let containers have.
    #[error("capability {0} is not allowed on this agent (--bounding_capabilities)")]
    Capability(u8),
    /// An effective capability that is not in the bounding set asked for.
    #[error("effective capability {0} is not among the bounding ones")]
    Unbounded(u8),
    /// A privileged container where the operator allows none.
    #[error("privileged containers are not allowed on this agent (--allow_privileged)")]
    Privileged,
    /// A container without a seccomp filter where the operator allows none.
    #[error("unconfined containers are not allowed on this agent (--allow_seccomp_unconfined)")]
    Unconfined,
    /// A host name that the kernel does not take.
    #[error("{0:?} is no host name")]
    Hostname(String),
    /// A variable that no process could read.
    #[error("{0:?} is no name of an environment variable")]
    Variable(String),
}

/// Decides everything about a container.
///
/// # Errors
/// It asks for a user that is not there, for a command that cannot be run anywhere, or for what the
/// operator does not allow.
pub fn plan(task: &TaskSpec<'_>, node: &NodeFacts<'_>) -> Result<LaunchPlan, PlanError> {
    let user = users::resolve(task.user, node.switch_user, node.accounts, node.ids)?;
    let namespaces = namespaces::of(task.class, task.wishes);
    let capabilities = capabilities::kept(task.wishes, node.policy)?;
    let network = network::of(&namespaces.own, task.wishes, &capabilities, node.connection);
    let (root, mounts) = (
        mounts::root(task, node),
        mounts::list(task, node, &network)?,
    );
    let (own, effective) = (&namespaces.own, &capabilities.effective);
    let ports = network::bound_ports(task, node.policy);
    let landlock = landlock::of(task, own, &root, &mounts, effective, ports.as_deref());
    Ok(LaunchPlan {
        container: task.container.clone(),
        hostname: namespaces.hostname(task.wishes, node)?,
        joined: namespaces.joined,
        namespaces: namespaces.own,
        ids: node.ids,
        root,
        mounts,
        network,
        sandbox: task.sandbox.map(|source| Sandbox {
            source: source.to_string(),
            stdout: "stdout".to_string(),
            stderr: "stderr".to_string(),
        }),
        io: task.io,
        run: run(task, user)?,
        seccomp: seccomp::of(task.wishes, node, &capabilities.effective)?,
        landlock,
        required: node.policy.required.clone(),
        capabilities,
        cgroup: CgroupPlan {
            limits: cgroup::of(task, node.rules),
            nesting: cgroup::nesting(task.class),
            cpus: node.cpus.clone(),
            devices: devices::rules(&node.policy.devices),
            ports,
        },
        oom_score_adj: cgroup::oom_score_adj(task.demand.revocable),
        view: procview::of(task, node),
        disk: match task.class {
            Class::Task | Class::Executor | Class::Pod => Some(disk_quota(task.demand, node.disk)),
            Class::Nested | Class::Debug => None,
        },
    })
}

fn run(task: &TaskSpec<'_>, user: User) -> Result<Run, PlanError> {
    let command = match (task.class, task.command) {
        (Class::Pod, _) => return Ok(Run::Hold(user)),
        (_, Some(command)) => command,
        (_, None) => return Err(PlanError::NoCommand),
    };
    let mut process = command::process(command, task.environment, user)?;
    if let Some(directory) = task.directory {
        without_nul(directory, "the working directory")?;
        process.directory = directory.to_string();
    }
    process.rlimits = rlimits::of(task.wishes);
    Ok(Run::Process(process))
}

/// All texts that go to the kernel end at a NUL byte, so that none may hold one.
fn without_nul(text: &str, what: &str) -> Result<(), PlanError> {
    if text.contains('\0') {
        return Err(PlanError::Nul(what.to_string()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::boxed::Box;
    use alloc::format;
    use alloc::vec::Vec;
    use expect_test::{Expect, expect};
    use model::sandbox::Seccomp;

    /// One line for each thing that the kernel is asked for.
    fn render(plan: &LaunchPlan) -> String {
        let hostname = plan.hostname.as_deref().unwrap_or("its parent's");
        let mut text = format!("container {} on {hostname}\n", plan.container);
        let names: Vec<_> = plan.namespaces.iter().map(|kind| kind.name()).collect();
        text += &format!(
            "namespaces {}\n{:?}\n{:?}\n",
            names.join(" "),
            plan.ids,
            plan.root
        );
        for mount in &plan.mounts {
            text += &format!("{} {:?}\n", mount.target, mount.content);
        }
        text += &format!("{:?} {:?}\n", plan.sandbox, plan.io);
        match &plan.run {
            Run::Process(process) => {
                text += &format!("execute {} {:?}\n", process.program, process.arguments);
                for (name, value) in &process.environment {
                    text += &format!("{name}={value}\n");
                }
                text += &format!("in {} as {:?}\n", process.directory, process.user);
            }
            Run::Hold(user) => text += &format!("hold as {user:?}\n"),
        }
        text += &format!("{:?}\n", plan.capabilities);
        let cgroup = &plan.cgroup;
        text += &format!("{:?} {:?}\n", cgroup.limits, cgroup.nesting);
        text += &format!("{} rules of devices\n", cgroup.devices.len());
        text += &format!("{:?}\n", plan.disk);
        text += &format!("{:?}\n", plan.view);
        text += &format!("{:?}\n", plan.landlock);
        match &plan.seccomp {
            Seccomp::Unconfined => text + "unconfined\n",
            Seccomp::Filter(filter) => {
                let rules = filter.rules.len();
                text + &format!(
                    "seccomp {} of {rules} rules, else {}\n",
                    filter.profile, filter.default
                )
            }
        }
    }

    fn node() -> NodeFacts<'static> {
        NodeFacts {
            root: "/run/tepui/rootfs",
            hostname: "node1",
            etc: "/run/tepui/etc",
            connection: None,
            ids: id_range(0).expect("the first range"),
            switch_user: SwitchUser::Yes,
            accounts: Accounts {
                passwd: "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n",
                group: "root:x:0:\n",
            },
            rules: Rules::default(),
            cpus: None,
            disk: DiskFacts {
                bytes: 2 << 30,
                inodes: 65_536,
                offered_bytes: 1 << 30,
                policy: DiskPolicy::Bounded,
            },
            policy: &POLICY,
            seccomp: Box::leak(Box::new(Profile::built_in())),
            usual_seccomp: Box::leak(Box::new(Profile::built_in())),
            view: Some(Shares::Node),
        }
    }

    static POLICY: Policy = Policy {
        effective: Vec::new(),
        bounding: None,
        privileged: false,
        host_paths: Vec::new(),
        devices: Vec::new(),
        shm_bytes: None,
        seccomp_unconfined: false,
        enforce_ports: false,
        required: Vec::new(),
    };

    fn check(task: &TaskSpec<'_>, expected: &Expect) {
        match plan(task, &node()) {
            Ok(plan) => expected.assert_eq(&render(&plan)),
            Err(error) => expected.assert_eq(&format!("{error}\n")),
        }
    }

    #[test]
    fn a_task_that_asks_for_nothing_special_is_isolated_in_every_way() {
        let container = ContainerId::new("7f3a").expect("an id");
        let command = Command::Shell("sleep 1".into());
        let task = TaskSpec {
            container: &container,
            class: Class::Task,
            command: Some(&command),
            environment: &[("GREETING".into(), "hello".into())],
            user: Some("nobody"),
            demand: Demand {
                cpus_milli: 500,
                memory_bytes: 64 << 20,
                ..Demand::default()
            },
            ports: &[],
            root: RootSpec::Default,
            directory: None,
            sandbox: Some("/var/lib/mesos/sandboxes/7f3a"),
            io: Io::Files,
            volumes: &[],
            wishes: &Wishes::default(),
            parents_network: ParentsNetwork::Nodes,
        };
        check(
            &task,
            &expect![[r#"
                container 7f3a on node1
                namespaces user pid mnt ipc uts cgroup time
                IdRange { first: 524288, length: 65536 }
                Directory { source: "/run/tepui/rootfs", access: ReadOnly }
                /proc Proc
                /dev Devices(Devices { nodes: [DeviceNode { name: "null", kind: Character, mode: 438, major: 1, minor: 3 }, DeviceNode { name: "zero", kind: Character, mode: 438, major: 1, minor: 5 }, DeviceNode { name: "full", kind: Character, mode: 438, major: 1, minor: 7 }, DeviceNode { name: "random", kind: Character, mode: 438, major: 1, minor: 8 }, DeviceNode { name: "urandom", kind: Character, mode: 438, major: 1, minor: 9 }, DeviceNode { name: "tty", kind: Character, mode: 438, major: 5, minor: 0 }], links: [("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1"), ("stderr", "/proc/self/fd/2"), ("ptmx", "pts/ptmx")], directories: ["pts", "shm", "mqueue"] })
                /dev/pts Terminals { group: 5 }
                /dev/shm Tmpfs { bytes_max: 67108864, inodes_max: 16384, mode: 1023 }
                /dev/mqueue Queues
                /sys Bind { source: "/sys", access: ReadOnly, missing: IsLeftOut }
                /sys/fs/cgroup Cgroup
                /tmp Tmpfs { bytes_max: 268435456, inodes_max: 65536, mode: 1023 }
                /mnt/mesos/sandbox Sandbox
                /etc/hostname Bind { source: "/run/tepui/etc/hostname", access: ReadOnly, missing: IsLeftOut }
                /etc/hosts Bind { source: "/run/tepui/etc/hosts", access: ReadOnly, missing: IsLeftOut }
                /etc/resolv.conf Bind { source: "/run/tepui/etc/resolv.conf", access: ReadOnly, missing: IsLeftOut }
                /proc/meminfo View(Meminfo)
                /proc/cpuinfo View(Cpuinfo)
                /proc/stat View(Stat)
                /proc/uptime View(Uptime)
                /proc/loadavg View(Loadavg)
                /proc/swaps View(Swaps)
                /proc/diskstats View(Diskstats)
                /sys/devices/system/cpu/online View(OnlineCpus)
                /proc/bus ReadOnly
                /proc/fs ReadOnly
                /proc/irq ReadOnly
                /proc/sys ReadOnly
                /proc/sysrq-trigger ReadOnly
                /proc/acpi Mask
                /proc/asound Mask
                /proc/interrupts Mask
                /proc/kcore Mask
                /proc/keys Mask
                /proc/latency_stats Mask
                /proc/sched_debug Mask
                /proc/scsi Mask
                /proc/timer_list Mask
                /sys/firmware Mask
                Some(Sandbox { source: "/var/lib/mesos/sandboxes/7f3a", stdout: "stdout", stderr: "stderr" }) Files
                execute /bin/sh ["sh", "-c", "sleep 1"]
                PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
                MESOS_SANDBOX=/mnt/mesos/sandbox
                GREETING=hello
                in /mnt/mesos/sandbox as User { uid: 65534, gid: 65534, groups: [] }
                Capabilities { effective: [], bounding: [] }
                Some(CgroupLimits { cpu_weight: 60, cpu_quota: None, memory_bytes_min: 0, memory_bytes_low: 100663296, memory_bytes_high: None, memory_bytes_max: Some(100663296), swap_bytes_max: Some(0), huge_pages: HugePages([0, 0, 0, 0]), pids_max: 4096, io_weight: 60, io_max: None }) Shared
                14 rules of devices
                Some(DiskQuota { bytes_max: Some(1073741824), inodes_max: Some(32768) })
                Some(View { shares: Node, cpus_milli_apart: 100 })
                Some(Landlock { files: [FileRule { place: "/", rights: Read }, FileRule { place: "/proc", rights: Write }, FileRule { place: "/dev", rights: Devices }, FileRule { place: "/dev/shm", rights: Change }, FileRule { place: "/dev/mqueue", rights: Change }, FileRule { place: "/tmp", rights: Change }, FileRule { place: "/mnt/mesos/sandbox", rights: Change }], sockets: Container, signals: Container, ports: None })
                seccomp default of 41 rules, else errno 1
            "#]],
        );
        let alice = TaskSpec {
            user: Some("alice"),
            ..task.clone()
        };
        check(
            &alice,
            &expect![[r#"
            user "alice" is not in the task's root, and names no number
        "#]],
        );
        let nul = TaskSpec {
            command: Some(&Command::Shell("a\0b".into())),
            ..task
        };
        check(
            &nul,
            &expect![[r#"
            an argument of the command holds a NUL byte
        "#]],
        );
    }
}
