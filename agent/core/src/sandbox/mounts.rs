//! Mounts: the ordered list of what a container sees.
//!
//! The default root is the same for all containers and read-only. What a program needs to write to
//! is its sandbox, `/tmp` and `/dev/shm`; what it needs to know of the node is `/proc` of its own
//! processes, `/sys` and its own cgroup to read, and the node's resolver.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use model::sandbox::{
    Access, Content, Handover, Missing, Mount, MountsBeneath, Network, Overlay, Root, Scratch,
    Secret,
};

use super::{Class, Ipc, NodeFacts, PlanError, STORE_IDS, TaskSpec, devices, network, procview};

/// Where a container sees its sandbox (`--sandbox_directory`).
pub const SANDBOX: &str = "/mnt/mesos/sandbox";

/// The most that `/tmp` holds; what is in it counts as the container's memory, too.
const TMP_BYTES_MAX: u64 = 256 << 20;

/// The most that `/dev/shm` holds.
const SHM_BYTES_MAX: u64 = 64 << 20;

/// A file in memory for each page of it, within these bounds: an empty file takes about a kilobyte of
/// the kernel's memory, which counts as the container's, and which its size says nothing of.
const BYTES_PER_INODE: u64 = 4096;
const INODES: (u64, u64) = (1_024, 65_536);

/// The group `tty` of the terminals, as on every Linux system.
const TTY_GROUP: u32 = 5;

/// Files and directories that tell of the node, or of other containers.
const MASKED: [&str; 10] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/sys/firmware",
];

/// Switches of the node's kernel.
const READ_ONLY: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// Where only the kernel's own file systems are seen.
const KERNELS: [&str; 2] = ["/proc", "/sys"];

/// The most that the places of mounts take, where they cannot be made in the root itself.
const PLACES_BYTES_MAX: u64 = 1 << 20;

/// Files of the node that name resolution reads. A node's host name is also the container's.
const NETWORK_FILES: [&str; 3] = ["hostname", "hosts", "resolv.conf"];

/// What a container's root is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RootSpec<'a> {
    /// The node's default root.
    Default,
    /// An image, which the container may write to without changing it.
    Image {
        /// The directories of its layers on the node, the bottom first; files have [`STORE_IDS`].
        layers: &'a [String],
        /// An empty directory on the node that takes what the container changes.
        scratch: &'a str,
    },
    /// That of the container that it is nested in.
    Parent,
}

/// A volume of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// What is seen.
    pub source: VolumeSource,
    /// Where it is seen: an absolute path inside, or one relative to the sandbox.
    pub container_path: String,
    /// Whether it may be written to.
    pub access: Access,
}

/// What a volume shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VolumeSource {
    /// A persistent volume.
    Persistent {
        /// The directory on the node.
        directory: String,
        /// Whose it becomes.
        handover: Handover,
    },
    /// A directory or file of the node.
    Host {
        /// Its path.
        path: String,
        /// What is seen of mounts beneath it.
        beneath: MountsBeneath,
    },
    /// A part of a sandbox.
    Sandbox {
        /// The sandbox on the node: the container's own, or that of one it is nested in.
        directory: String,
        /// The path in it.
        path: String,
    },
    /// The files of an image; changes are kept in memory, and are gone with the container.
    Image {
        /// The directories of its layers on the node, the bottom first; files have [`STORE_IDS`].
        layers: Vec<String>,
    },
    /// A file with a secret.
    Secret(Secret),
}

/// The root.
pub(super) fn root(task: &TaskSpec<'_>, node: &NodeFacts<'_>) -> Root {
    if task.class == Class::Debug {
        return Root::Parent;
    }
    match task.root {
        RootSpec::Default if !task.volumes.iter().any(Volume::is_absolute) => Root::Directory {
            source: node.root.to_string(),
            access: Access::ReadOnly,
        },
        // The places of its volumes are not to be made in what all containers share.
        RootSpec::Default => Root::Overlay(Overlay {
            layers: Vec::from([node.root.to_string()]),
            ids: None,
            scratch: Scratch::Memory {
                bytes_max: PLACES_BYTES_MAX,
            },
            access: Access::ReadOnly,
        }),
        RootSpec::Image { layers, scratch } => {
            Root::Overlay(image(layers, Some(scratch), Access::ReadWrite))
        }
        RootSpec::Parent => Root::Parent,
    }
}

/// An image without a directory for its changes has them in memory.
fn image(layers: &[String], scratch: Option<&str>, access: Access) -> Overlay {
    let in_memory = Scratch::Memory {
        bytes_max: match access {
            Access::ReadOnly => PLACES_BYTES_MAX,
            Access::ReadWrite => TMP_BYTES_MAX,
        },
    };
    Overlay {
        layers: layers.to_vec(),
        ids: Some(STORE_IDS),
        scratch: scratch.map_or(in_memory, |path| Scratch::Directory(path.to_string())),
        access,
    }
}

/// All mounts on the root, each after the one that it stands on.
pub(super) fn list(
    task: &TaskSpec<'_>,
    node: &NodeFacts<'_>,
    network: &Network,
) -> Result<Vec<Mount>, PlanError> {
    if task.class == Class::Debug {
        return Ok(Vec::new());
    }
    let mut all = Vec::from([mount("/proc", Content::Proc)]);
    match task.root {
        RootSpec::Default => {
            all.extend(system(task, node, network));
            all.push(mount("/tmp", tmpfs(TMP_BYTES_MAX)));
        }
        RootSpec::Image { .. } => all.extend(system(task, node, network)),
        RootSpec::Parent => {}
    }
    if task.sandbox.is_some() {
        all.push(mount(SANDBOX, Content::Sandbox));
    }
    for volume in task.volumes {
        all.push(self::volume(volume, node)?);
    }
    if task.root != RootSpec::Parent {
        all.extend(network_files(task, node));
    }
    all.extend(procview::mounts(node));
    if !task.wishes.privileged {
        all.extend(READ_ONLY.map(|place| mount(place, Content::ReadOnly)));
        all.extend(MASKED.map(|place| mount(place, Content::Mask)));
    }
    Ok(all)
}

/// Devices, and what the kernel tells.
fn system(task: &TaskSpec<'_>, node: &NodeFacts<'_>, network: &Network) -> [Mount; 6] {
    let wishes = task.wishes;
    let bytes = wishes.shm_bytes.or(node.policy.shm_bytes);
    let shm = match (task.class, wishes.ipc) {
        (Class::Nested, Ipc::SharesParent) => Content::OfParent,
        _ => tmpfs(bytes.unwrap_or(SHM_BYTES_MAX)),
    };
    let sys = match network {
        Network::Ready { .. } => Content::Sysfs,
        // Nested: the devices of the one that it is in.
        Network::Shared if node.connection.is_some() => Content::Sysfs,
        Network::Own | Network::Shared => bind("/sys"),
    };
    [
        mount(
            "/dev",
            Content::Devices(devices::files(&node.policy.devices)),
        ),
        mount("/dev/pts", Content::Terminals { group: TTY_GROUP }),
        mount("/dev/shm", shm),
        mount("/dev/mqueue", Content::Queues),
        mount("/sys", sys),
        mount("/sys/fs/cgroup", Content::Cgroup),
    ]
}

/// The node's own files, except for a name and an address that are not the node's.
fn network_files(task: &TaskSpec<'_>, node: &NodeFacts<'_>) -> [Mount; 3] {
    let file = |text: String| Content::File {
        content: Secret(text.into_bytes()),
        mode: 0o444,
    };
    let connected = node.connection.map(|connection| &connection.hostname);
    let name = task.wishes.hostname.as_ref().or(connected);
    NETWORK_FILES.map(|place| {
        let content = match (name, node.connection, place) {
            (Some(name), _, "hostname") => file(format!("{name}\n")),
            (_, Some(connection), "hosts") => file(network::hosts(connection)),
            _ => bind(&format!("{}/{place}", node.etc)),
        };
        mount(&format!("/etc/{place}"), content)
    })
}

impl Volume {
    fn is_absolute(&self) -> bool {
        self.container_path.starts_with('/')
    }
}

fn volume(volume: &Volume, node: &NodeFacts<'_>) -> Result<Mount, PlanError> {
    let access = volume.access;
    let content = match &volume.source {
        VolumeSource::Persistent {
            directory,
            handover,
        } => Content::Volume {
            source: directory.clone(),
            access,
            handover: *handover,
        },
        VolumeSource::Host { path, beneath } => Content::Host {
            source: host_path(path, node)?,
            access,
            beneath: *beneath,
        },
        VolumeSource::Sandbox { directory, path } => Content::Beneath {
            directory: directory.clone(),
            path: names(path).ok_or_else(|| PlanError::SandboxPath(path.clone()))?,
            access,
        },
        VolumeSource::Image { layers } => Content::Image(image(layers, None, access)),
        VolumeSource::Secret(secret) => Content::File {
            content: secret.clone(),
            mode: 0o400,
        },
    };
    let wrong = || PlanError::Volume(volume.container_path.clone());
    let path = volume.container_path.as_str();
    let inside = names(path.strip_prefix('/').unwrap_or(path)).ok_or_else(wrong)?;
    let target = match volume.is_absolute() {
        true => format!("/{inside}"),
        false => format!("{SANDBOX}/{inside}"),
    };
    let within = |path: &str, above: &str| {
        let rest = path.strip_prefix(above);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    // What every container has stays where it is.
    if within(SANDBOX, &target) || target == "/dev" || KERNELS.iter().any(|at| within(&target, at))
    {
        return Err(wrong());
    }
    Ok(mount(&target, content))
}

/// A path of the node that the operator lets containers see.
fn host_path(path: &str, node: &NodeFacts<'_>) -> Result<String, PlanError> {
    let refused = || PlanError::HostPath(path.to_string());
    let inside = path.strip_prefix('/').and_then(names).ok_or_else(refused)?;
    let path = format!("/{inside}");
    let mut allowed = node.policy.host_paths.iter();
    let is_allowed = allowed.any(|allowed| {
        let rest = path.strip_prefix(allowed.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    });
    match is_allowed {
        true => Ok(path),
        false => Err(refused()),
    }
}

/// A relative path without a slash too many that stays in its directory.
fn names(path: &str) -> Option<String> {
    let path = path.trim_end_matches('/');
    let is_no_name = |name| matches!(name, "" | "." | "..");
    let bad = path.contains('\0') || path.split('/').any(is_no_name);
    (!bad).then(|| path.to_string())
}

fn mount(target: &str, content: Content) -> Mount {
    Mount {
        target: target.to_string(),
        content,
    }
}

fn tmpfs(bytes_max: u64) -> Content {
    Content::Tmpfs {
        bytes_max,
        inodes_max: (bytes_max / BYTES_PER_INODE).clamp(INODES.0, INODES.1),
        mode: 0o1777,
    }
}

fn bind(source: &str) -> Content {
    Content::Bind {
        source: source.to_string(),
        access: Access::ReadOnly,
        missing: Missing::IsLeftOut,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::{
        Accounts, Demand, DiskFacts, ParentsNetwork, Policy, Profile, Rules, SwitchUser, Wishes,
        id_range,
    };
    use model::ContainerId;
    use model::sandbox::Io;

    fn list(task: &TaskSpec<'_>, node: &NodeFacts<'_>) -> Result<Vec<Mount>, PlanError> {
        super::list(task, node, &Network::Shared)
    }

    /// Calls with a container of the default root, its node and its operator's rules.
    fn with<T>(
        volumes: &[Volume],
        root: RootSpec<'_>,
        host_paths: &[&str],
        check: impl FnOnce(&TaskSpec<'_>, &NodeFacts<'_>) -> T,
    ) -> T {
        let container = ContainerId::new("c").expect("an id");
        let wishes = Wishes::default();
        let task = TaskSpec {
            container: &container,
            class: Class::Task,
            command: None,
            environment: &[],
            user: None,
            demand: Demand::default(),
            ports: &[],
            root,
            directory: None,
            sandbox: Some("/sandboxes/c"),
            io: Io::Files,
            volumes,
            wishes: &wishes,
            parents_network: ParentsNetwork::Nodes,
        };
        let policy = Policy {
            host_paths: host_paths.iter().map(ToString::to_string).collect(),
            ..Policy::default()
        };
        let node = NodeFacts {
            root: "/r",
            hostname: "node1",
            etc: "/etc",
            connection: None,
            ids: id_range(0).expect("the first range"),
            switch_user: SwitchUser::No,
            accounts: Accounts {
                passwd: "",
                group: "",
            },
            rules: Rules::default(),
            cpus: None,
            disk: DiskFacts::default(),
            policy: &policy,
            seccomp: &Profile::built_in(),
            usual_seccomp: &Profile::built_in(),
            view: None,
        };
        check(&task, &node)
    }

    fn all() -> Vec<Mount> {
        with(&[], RootSpec::Default, &[], list).expect("mounts")
    }

    fn host(path: &str, container_path: &str) -> Volume {
        Volume {
            source: VolumeSource::Host {
                path: path.into(),
                beneath: MountsBeneath::Hidden,
            },
            container_path: container_path.into(),
            access: Access::ReadWrite,
        }
    }

    #[test]
    fn a_volume_is_seen_in_the_sandbox_or_at_its_absolute_path_and_never_instead_of_the_systems() {
        let target = |container_path: &str| {
            let volumes = [host("/data", container_path)];
            let list = with(&volumes, RootSpec::Default, &["/data"], list);
            list.map(|list| {
                let seen = list
                    .into_iter()
                    .find(|mount| matches!(mount.content, Content::Host { .. }));
                seen.expect("the volume").target
            })
        };
        for (path, expected) in [
            ("data", "/mnt/mesos/sandbox/data"),
            ("data/inner/", "/mnt/mesos/sandbox/data/inner"),
            ("/srv/web", "/srv/web"),
            ("/dev/shm", "/dev/shm"),
        ] {
            assert_eq!(target(path).as_deref(), Ok(expected), "{path}");
        }
        for path in [
            "",
            "/",
            "../data",
            "a/../../b",
            ".",
            "a//b",
            "/proc",
            "/proc/sys",
            "/sys/fs",
            "/dev",
            "/mnt",
            SANDBOX,
            "/a\0b",
        ] {
            assert_eq!(target(path), Err(PlanError::Volume(path.into())), "{path}");
        }
    }

    #[test]
    fn a_host_path_is_seen_only_where_the_operator_allows_it() {
        let source = |path: &str| {
            let volumes = [host(path, "data")];
            let allowed = ["/srv/", "/data/a"];
            with(&volumes, RootSpec::Default, &allowed, list).is_ok()
        };
        for path in ["/srv", "/srv/x/y", "/data/a", "/data/a/b/"] {
            assert!(source(path), "{path}");
        }
        for path in ["/", "/srvx", "/data", "/data/ab", "/srv/../etc", "srv", ""] {
            assert!(!source(path), "{path}");
        }
    }

    #[test]
    fn the_default_root_is_shared_unless_a_volume_needs_a_place_in_it() {
        let root = |container_path: &str| {
            let volumes = [host("/data", container_path)];
            with(&volumes, RootSpec::Default, &[], root)
        };
        assert!(matches!(root("data"), Root::Directory { .. }));
        let Root::Overlay(overlay) = root("/data") else {
            panic!("the place would be everyone's");
        };
        assert_eq!((overlay.ids, overlay.access), (None, Access::ReadOnly));
        let layers = ["/a".to_string(), "/b".to_string()];
        let image = RootSpec::Image {
            layers: &layers,
            scratch: "/s",
        };
        let root = with(&[], image, &[], super::root);
        let Root::Overlay(overlay) = root else {
            panic!("an image is an overlay");
        };
        assert_eq!(overlay.ids, Some(STORE_IDS));
        assert_eq!(overlay.scratch, Scratch::Directory("/s".into()));
    }

    #[test]
    fn every_mount_comes_after_the_one_it_stands_on() {
        let all = all();
        for (index, mount) in all.iter().enumerate() {
            let later = &all[index + 1..];
            let covers = |other: &&Mount| {
                let prefix = other.target.as_str();
                let rest = mount.target.strip_prefix(prefix);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            let hidden_by = later.iter().find(covers).map(|other| &other.target);
            assert_eq!(hidden_by, None, "{} would be hidden", mount.target);
        }
    }

    #[test]
    fn nothing_of_the_node_is_writable() {
        for mount in all() {
            if let Content::Bind { access, .. } = mount.content {
                assert_eq!(access, Access::ReadOnly, "{}", mount.target);
            }
        }
    }
}
