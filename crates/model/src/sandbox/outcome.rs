//! Outcomes: how a process ended, and what of a plan this kernel enforced.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::{Capability, Namespace};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ExitStatus {
    /// By exit(2) with this code.
    Exited(u8),
    /// By this signal.
    Signaled(i32),
}

impl ExitStatus {
    /// The status as wait(2) encodes it.
    #[must_use]
    pub const fn wait_status(self) -> i32 {
        match self {
            Self::Exited(code) => (code as i32) << 8,
            Self::Signaled(signal) => signal & 0x7f,
        }
    }

    /// Reads the encoding of wait(2); a status that tells of no end (stopped) is `None`.
    #[must_use]
    pub const fn from_wait_status(status: i32) -> Option<Self> {
        let signal = status & 0x7f;
        match signal {
            #[expect(clippy::cast_sign_loss, reason = "the mask leaves eight bits")]
            0 => Some(Self::Exited(((status >> 8) & 0xff) as u8)),
            0x7f => None,
            _ => Some(Self::Signaled(signal)),
        }
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exited with status {code}"),
            Self::Signaled(signal) => write!(f, "terminated by signal {signal}"),
        }
    }
}

/// One thing that keeps a container in its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isolation {
    /// A namespace of its own.
    Namespace(Namespace),
    /// No capabilities, in no set.
    Capabilities,
    /// Set-user-id programs have no effect.
    NoNewPrivileges,
    /// A filter of system calls.
    Seccomp,
    /// A landlock ruleset for files.
    Landlock,
    /// Landlock's scopes: abstract sockets and signals that stay within the container.
    Scopes,
    /// A root of its own.
    Root,
    /// A cgroup of its own, so that no process is lost.
    Placement,
    /// The share of the processor, and the quota where one was asked for.
    Cpu,
    /// Processors of its own, or none that are others' own.
    Cpuset,
    /// The memory limit.
    Memory,
    /// The limit of huge pages.
    HugePages,
    /// The limit of processes.
    Pids,
    /// The share of the disk's bandwidth, and the limit where there is one.
    Io,
    /// No device files but those of the plan.
    Devices,
    /// `/proc` with its own limits in place of the node's.
    ProcView,
    /// The limit of what it keeps on the disk.
    Disk,
    /// No ports of the node but its own.
    Ports,
    /// No TCP ports of the node but its own, by landlock.
    TcpPorts,
    /// Nothing is sent from an address that is not its own.
    Senders,
    /// The limits of what it sends and receives in a second.
    Rates,
}

impl Isolation {
    /// Those that an operator may ask for: what becomes of them is known before the start.
    const NAMED: [Self; 24] = [
        Self::Namespace(Namespace::User),
        Self::Namespace(Namespace::Pid),
        Self::Namespace(Namespace::Mount),
        Self::Namespace(Namespace::Ipc),
        Self::Namespace(Namespace::Uts),
        Self::Namespace(Namespace::Cgroup),
        Self::Namespace(Namespace::Time),
        Self::Capabilities,
        Self::NoNewPrivileges,
        Self::Seccomp,
        Self::Landlock,
        Self::Scopes,
        Self::Root,
        Self::Placement,
        Self::Cpu,
        Self::Cpuset,
        Self::Memory,
        Self::HugePages,
        Self::Pids,
        Self::Devices,
        Self::ProcView,
        Self::Disk,
        Self::Io,
        Self::Ports,
    ];

    /// The isolation by its name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let mut all = Self::NAMED.into_iter();
        all.find(|isolation| isolation.name() == name)
    }

    /// The name of Mesos' isolator that gives it; for what Mesos has not, one of that kind.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Namespace(namespace) => match namespace {
                Namespace::User => "namespaces/user",
                Namespace::Pid => "namespaces/pid",
                Namespace::Mount => "namespaces/mnt",
                Namespace::Ipc => "namespaces/ipc",
                Namespace::Uts => "namespaces/uts",
                Namespace::Cgroup => "namespaces/cgroup",
                Namespace::Network => "namespaces/net",
                Namespace::Time => "namespaces/time",
            },
            Self::Capabilities => "linux/capabilities",
            Self::NoNewPrivileges => "linux/nnp",
            Self::Seccomp => "linux/seccomp",
            Self::Landlock => "linux/landlock",
            Self::Scopes => "linux/scopes",
            Self::Root => "filesystem/linux",
            Self::Placement => "cgroups/all",
            Self::Cpu => "cgroups/cpu",
            Self::Cpuset => "cgroups/cpuset",
            Self::Memory => "cgroups/mem",
            Self::HugePages => "cgroups/hugetlb",
            Self::Pids => "cgroups/pids",
            Self::Devices => "cgroups/devices",
            Self::ProcView => "procview",
            Self::Disk => "disk/quota",
            Self::Io => "cgroups/io",
            Self::Ports => "network/ports",
            Self::TcpPorts => "landlock/ports",
            Self::Senders => "network/senders",
            Self::Rates => "network/rates",
        }
    }
}

impl fmt::Display for Isolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Namespace(namespace) => write!(f, "{} namespace", namespace.name()),
            Self::Capabilities => f.write_str("capabilities"),
            Self::NoNewPrivileges => f.write_str("no_new_privs"),
            Self::Seccomp => f.write_str("seccomp"),
            Self::Landlock => f.write_str("landlock"),
            Self::Scopes => f.write_str("landlock scopes"),
            Self::Root => f.write_str("root"),
            Self::Placement => f.write_str("cgroup"),
            Self::Cpu => f.write_str("cpu limit"),
            Self::Cpuset => f.write_str("set of processors"),
            Self::Memory => f.write_str("memory limit"),
            Self::HugePages => f.write_str("limit of huge pages"),
            Self::Pids => f.write_str("pids limit"),
            Self::Io => f.write_str("io limit"),
            Self::Devices => f.write_str("device list"),
            Self::ProcView => f.write_str("view of /proc"),
            Self::Disk => f.write_str("disk quota"),
            Self::Ports => f.write_str("port list"),
            Self::TcpPorts => f.write_str("landlock's TCP ports"),
            Self::Senders => f.write_str("sender addresses"),
            Self::Rates => f.write_str("network rate limit"),
        }
    }
}

/// What was enforced, and what was not and why.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Enforcement {
    /// In force.
    pub enforced: Vec<Isolation>,
    /// Not in force, each with the reason.
    pub missing: Vec<(Isolation, String)>,
    /// The version of landlock that the kernel has; 0 for none.
    pub landlock_abi: u32,
}

impl Enforcement {
    /// The first of these that is not in force, and why.
    #[must_use]
    pub fn lacking(&self, required: &[Isolation]) -> Option<(Isolation, &str)> {
        let mut missing = self.missing.iter();
        let lacking = missing.find(|(one, _)| required.contains(one));
        lacking.map(|(one, why)| (*one, why.as_str()))
    }

    /// Notes what became of one isolation.
    pub fn note(&mut self, isolation: Isolation, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => self.enforced.push(isolation),
            Err(reason) => self.missing.push((isolation, reason)),
        }
    }
}

/// What processes were refused something for lack of: capabilities, and system calls.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lacks {
    /// Over what is the container's own: with these it would have been done.
    pub own: Vec<Capability>,
    /// Over what is not, as the node's network: no capability of a container counts there.
    pub others: Vec<Capability>,
    /// System calls that the container's filter stopped, by name; without those that it called missing, as
    /// on an older kernel, for programs know to do without them.
    pub calls: Vec<Cow<'static, str>>,
}

impl Lacks {
    /// Nothing was refused, or nobody tells.
    pub const NONE: Self = Self {
        own: Vec::new(),
        others: Vec::new(),
        calls: Vec::new(),
    };

    /// Whether nothing was refused.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.own.is_empty() && self.others.is_empty() && self.calls.is_empty()
    }
}

impl fmt::Display for Lacks {
    /// By their names; what no capability would help with says so.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        for one in &self.own {
            write!(f, "{comma}{one}")?;
            comma = ", ";
        }
        let others = self.others.iter().filter(|one| !self.own.contains(one));
        for one in others {
            write!(f, "{comma}{one} over what is the node's")?;
            comma = ", ";
        }
        for one in &self.calls {
            write!(f, "{comma}system call {one}")?;
            comma = ", ";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_isolation_that_can_be_required_has_a_name_of_its_own() {
        for isolation in Isolation::NAMED {
            assert_eq!(Isolation::from_name(isolation.name()), Some(isolation));
        }
        assert_eq!(Isolation::from_name("posix/cpu"), None);
    }

    #[test]
    fn what_is_required_and_missing_is_found() {
        let mut report = Enforcement::default();
        report.note(Isolation::Seccomp, Ok(()));
        report.note(Isolation::Memory, Err("why".into()));
        let lacking = |required| report.lacking(required);
        assert_eq!(lacking(&[Isolation::Seccomp]), None);
        let both = [Isolation::Seccomp, Isolation::Memory];
        assert_eq!(lacking(&both), Some((Isolation::Memory, "why")));
    }

    #[test]
    fn an_exit_status_survives_the_encoding_of_wait() {
        for status in [
            ExitStatus::Exited(0),
            ExitStatus::Exited(7),
            ExitStatus::Exited(255),
            ExitStatus::Signaled(9),
            ExitStatus::Signaled(15),
        ] {
            assert_eq!(
                ExitStatus::from_wait_status(status.wait_status()),
                Some(status)
            );
        }
        assert_eq!(ExitStatus::from_wait_status(0x137f), None, "stopped");
    }
}
