//! Sandbox: what a command task's container is made of, decided before anything is done.
//!
//! [`plan`] turns a task and facts about the node into a [`LaunchPlan`] that `agent-kernel` carries
//! out. Nothing is asked of the kernel here, and nothing is left for it to choose.

mod capabilities;
mod cgroup;
mod command;
mod image;
mod mounts;
mod namespaces;
mod users;

use alloc::string::{String, ToString};

use model::ContainerId;
use model::sandbox::{Access, Handover, IdRange, LaunchPlan, Sandbox};

pub use cgroup::{Cfs, MEMORY_BYTES_MIN};
pub use command::Command;
pub use image::ImageConfig;
pub use mounts::SANDBOX;
pub use namespaces::{ID_RANGES_MAX, STORE_IDS, id_range};
pub use users::{Accounts, SwitchUser};

/// What a command task asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskSpec<'a> {
    /// The container's name.
    pub container: &'a ContainerId,
    /// What to run.
    pub command: &'a Command,
    /// The environment that the task and the agent set, later entries winning.
    pub environment: &'a [(String, String)],
    /// Whom to run as: a name or a number; `None` leaves it to the node.
    pub user: Option<&'a str>,
    /// Processors of the task alone, in thousandths.
    pub cpus_milli: u64,
    /// Memory of the task alone, in bytes.
    pub memory_bytes: u64,
    /// The sandbox directory on the node.
    pub sandbox: &'a str,
    /// Its persistent volumes.
    pub volumes: &'a [Volume],
}

/// A persistent volume of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// The directory on the node.
    pub source: String,
    /// Where the task sees it, relative to its sandbox.
    pub container_path: String,
    /// Whether it may be written to.
    pub access: Access,
    /// Whose it becomes.
    pub handover: Handover,
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
    /// The ids of this container, from [`id_range`].
    pub ids: IdRange,
    /// Whether the user that a task asks for is looked up.
    pub switch_user: SwitchUser,
    /// The users and groups of the root.
    pub accounts: Accounts<'a>,
    /// Whether the share of the processor is a limit as well.
    pub cfs: Cfs,
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
    /// A volume that would be seen outside of the sandbox, or instead of it.
    #[error("{0:?} is no path within the sandbox")]
    Volume(String),
    /// A variable that no process could read.
    #[error("{0:?} is no name of an environment variable")]
    Variable(String),
}

/// Decides everything about the container of a command task.
///
/// # Errors
/// The task asks for a user that is not there, or for a command that cannot be run anywhere.
pub fn plan(task: &TaskSpec<'_>, node: &NodeFacts<'_>) -> Result<LaunchPlan, PlanError> {
    let user = users::resolve(task.user, node.switch_user, node.accounts, node.ids)?;
    Ok(LaunchPlan {
        container: task.container.clone(),
        hostname: node.hostname.to_string(),
        namespaces: namespaces::ALL.to_vec(),
        ids: node.ids,
        root: mounts::root(node.root),
        mounts: mounts::list(node.etc, task.volumes)?,
        sandbox: Sandbox {
            source: task.sandbox.to_string(),
            stdout: "stdout".to_string(),
            stderr: "stderr".to_string(),
        },
        process: command::process(task.command, task.environment, user)?,
        capabilities: capabilities::KEPT.to_vec(),
        cgroup: cgroup::limits(task.cpus_milli, task.memory_bytes, node.cfs),
    })
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
    use alloc::format;
    use alloc::vec::Vec;
    use expect_test::{Expect, expect};

    /// One line for each thing that the kernel is asked for.
    fn render(plan: &LaunchPlan) -> String {
        let mut text = format!("container {} on {}\n", plan.container, plan.hostname);
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
        let process = &plan.process;
        text += &format!(
            "{:?}\nexecute {} {:?}\n",
            plan.sandbox, process.program, process.arguments
        );
        for (name, value) in &process.environment {
            text += &format!("{name}={value}\n");
        }
        text += &format!("in {} as {:?}\n", process.directory, process.user);
        text + &format!("{:?}\n{:?}\n", plan.capabilities, plan.cgroup)
    }

    fn node() -> NodeFacts<'static> {
        NodeFacts {
            root: "/run/tepui/rootfs",
            hostname: "node1",
            etc: "/run/tepui/etc",
            ids: id_range(0).expect("the first range"),
            switch_user: SwitchUser::Yes,
            accounts: Accounts {
                passwd: "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n",
                group: "root:x:0:\n",
            },
            cfs: Cfs::Off,
        }
    }

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
            command: &command,
            environment: &[("GREETING".into(), "hello".into())],
            user: Some("nobody"),
            cpus_milli: 500,
            memory_bytes: 64 << 20,
            sandbox: "/var/lib/mesos/sandboxes/7f3a",
            volumes: &[],
        };
        check(
            &task,
            &expect![[r#"
            container 7f3a on node1
            namespaces user pid mnt ipc uts cgroup
            IdRange { first: 524288, length: 65536 }
            Root { source: "/run/tepui/rootfs", access: ReadOnly }
            /proc Proc
            /dev Devices(Devices { nodes: [DeviceNode { name: "null", major: 1, minor: 3 }, DeviceNode { name: "zero", major: 1, minor: 5 }, DeviceNode { name: "full", major: 1, minor: 7 }, DeviceNode { name: "random", major: 1, minor: 8 }, DeviceNode { name: "urandom", major: 1, minor: 9 }, DeviceNode { name: "tty", major: 5, minor: 0 }], links: [("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1"), ("stderr", "/proc/self/fd/2"), ("ptmx", "pts/ptmx")], directories: ["pts", "shm"] })
            /dev/pts Terminals { group: 5 }
            /dev/shm Tmpfs { bytes_max: 67108864, mode: 1023 }
            /sys Bind { source: "/sys", access: ReadOnly, missing: IsLeftOut }
            /sys/fs/cgroup Cgroup
            /tmp Tmpfs { bytes_max: 268435456, mode: 1023 }
            /mnt/mesos/sandbox Sandbox
            /etc/hostname Bind { source: "/run/tepui/etc/hostname", access: ReadOnly, missing: IsLeftOut }
            /etc/hosts Bind { source: "/run/tepui/etc/hosts", access: ReadOnly, missing: IsLeftOut }
            /etc/resolv.conf Bind { source: "/run/tepui/etc/resolv.conf", access: ReadOnly, missing: IsLeftOut }
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
            Sandbox { source: "/var/lib/mesos/sandboxes/7f3a", stdout: "stdout", stderr: "stderr" }
            execute /bin/sh ["sh", "-c", "sleep 1"]
            PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
            MESOS_SANDBOX=/mnt/mesos/sandbox
            GREETING=hello
            in /mnt/mesos/sandbox as User { uid: 65534, gid: 65534, groups: [] }
            []
            CgroupLimits { cpu_weight: 60, cpu_quota: None, memory_bytes_max: 100663296, pids_max: 4096 }
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
        let volume = |container_path: &str| Volume {
            source: "/var/lib/mesos/volumes/roles/a b/v".into(),
            container_path: container_path.into(),
            access: Access::ReadWrite,
            handover: Handover::Always,
        };
        let seen = [volume("data"), volume("data/inner/")];
        let seen = mounts::list("/etc", &seen).expect("mounts");
        let targets = seen.iter().map(|mount| mount.target.as_str());
        let targets: Vec<_> = targets
            .filter(|target| target.starts_with(SANDBOX))
            .collect();
        let expected = ["", "/data", "/data/inner"].map(|end| format!("{SANDBOX}{end}"));
        assert_eq!(targets, expected);
        for outside in ["", "/data", "../data", "a/../../b", ".", "a//b"] {
            let outside = TaskSpec {
                volumes: &[volume(outside)],
                ..task.clone()
            };
            let fault = plan(&outside, &node()).expect_err("no plan");
            assert!(matches!(fault, PlanError::Volume(_)));
        }
        let nul = TaskSpec {
            command: &Command::Shell("a\0b".into()),
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
