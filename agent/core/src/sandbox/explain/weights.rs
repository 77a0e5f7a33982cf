//! Weights: what each thing that keeps a container in its bounds counts for, and why.

/// What kind of thing a row is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Area {
    /// The user namespace and its ids.
    Users,
    /// The pid namespace.
    Processes,
    /// The mount namespace.
    Mounts,
    /// The ipc namespace.
    Ipc,
    /// The uts namespace.
    Hostname,
    /// The cgroup namespace.
    CgroupView,
    /// The time namespace.
    Clocks,
    /// The network namespace, and what is in it.
    Network,
    /// The root directory.
    Root,
    /// Directories of the node, and of other containers.
    Volumes,
    /// What of `/proc` and `/sys` is covered.
    Masks,
    /// What `/proc` tells of memory, processors, disks and load.
    View,
    /// The device files.
    Devices,
    /// Capabilities.
    Capabilities,
    /// `no_new_privs`.
    Privileges,
    /// System calls.
    Calls,
    /// The landlock ruleset for files.
    Landlock,
    /// Landlock's scopes.
    Scopes,
    /// The user that the program has.
    User,
    /// Limits by setrlimit(2).
    Rlimits,
    /// The cgroup.
    Placement,
    /// Processor time.
    Cpu,
    /// Memory.
    Memory,
    /// The number of processes.
    Pids,
    /// The bandwidth of the disk.
    Io,
    /// What is kept on the disk.
    Disk,
}

// The last one stands last.
const _: () = assert!(Area::Disk as usize + 1 == Area::ALL.len());

impl Area {
    /// All of them.
    pub const ALL: [Self; 26] = [
        Self::Users,
        Self::Processes,
        Self::Mounts,
        Self::Ipc,
        Self::Hostname,
        Self::CgroupView,
        Self::Clocks,
        Self::Network,
        Self::Root,
        Self::Volumes,
        Self::Masks,
        Self::View,
        Self::Devices,
        Self::Capabilities,
        Self::Privileges,
        Self::Calls,
        Self::Landlock,
        Self::Scopes,
        Self::User,
        Self::Rlimits,
        Self::Placement,
        Self::Cpu,
        Self::Memory,
        Self::Pids,
        Self::Io,
        Self::Disk,
    ];

    /// Its name in documents and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Processes => "processes",
            Self::Mounts => "mounts",
            Self::Ipc => "ipc",
            Self::Hostname => "hostname",
            Self::CgroupView => "cgroup view",
            Self::Clocks => "clocks",
            Self::Network => "network",
            Self::Root => "root",
            Self::Volumes => "volumes",
            Self::Masks => "masks",
            Self::View => "view",
            Self::Devices => "devices",
            Self::Capabilities => "capabilities",
            Self::Privileges => "privileges",
            Self::Calls => "system calls",
            Self::Landlock => "landlock",
            Self::Scopes => "scopes",
            Self::User => "user",
            Self::Rlimits => "rlimits",
            Self::Placement => "placement",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::Io => "io",
            Self::Disk => "disk",
        }
    }

    /// What it counts for, and what an open one lets happen.
    pub(super) const fn weight(self) -> (u32, &'static str) {
        match self {
            Self::Users => (12, "root inside is root of the node"),
            Self::Processes => (6, "processes of others can be seen and signalled"),
            Self::Mounts => (5, "mounts are seen and changed by others"),
            Self::Ipc => (3, "shared memory and queues of others are in reach"),
            Self::Hostname => (1, "the host name is that of others"),
            Self::CgroupView => (1, "the node's groups can be listed"),
            Self::Clocks => (1, "how long the node has run can be read"),
            Self::Network => (
                8,
                "every port and abstract socket of the node is in reach, and any free port can be taken",
            ),
            Self::Root => (10, "what is written stays for others to execute"),
            Self::Volumes => (6, "files outlive the container and are shared"),
            Self::Masks => (3, "the kernel's own state can be read"),
            Self::View => (1, "what the node has and how busy it is can be read"),
            Self::Devices => (6, "drivers are in reach"),
            Self::Capabilities => (10, "more of the kernel is in reach"),
            Self::Privileges => (4, "set-user-id programs raise rights"),
            Self::Calls => (
                10,
                "every call of the kernel is in reach, with its mistakes",
            ),
            Self::Landlock => (5, "mounts and permissions alone guard files"),
            Self::Scopes => (3, "abstract sockets of the node's network are in reach"),
            Self::User => (2, "everything in the container is its to change"),
            Self::Rlimits => (0, ""),
            Self::Placement => (4, "processes can be lost sight of"),
            Self::Cpu => (3, "neighbours can be kept from the processor"),
            Self::Memory => (5, "the node's memory can be used up"),
            Self::Pids => (4, "the node's process numbers can be used up"),
            Self::Io => (2, "neighbours can be kept from the disk"),
            Self::Disk => (4, "the disk can be filled that neighbours were promised"),
        }
    }
}
