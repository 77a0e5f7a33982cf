//! Landlock: a second wall behind the mounts, derived from them.
//!
//! What no mount makes writable cannot be written to, whatever becomes of the mount; no device file of
//! a disk can be made; and no mount can be changed. A container in the node's network reaches no
//! abstract socket of the node or of another container.

use alloc::string::ToString;
use alloc::vec::Vec;

use model::sandbox::{
    Access, Capability, Content, FileRights, FileRule, Landlock, Mount, Namespace, Overlay, Root,
    Scope,
};

use super::{Class, PortRanges, TaskSpec};

/// With it a container makes mounts, which nobody can who is restricted in files.
const SYS_ADMIN: Capability = Capability(21);

/// The most rules for ports.
const PORTS_MAX: usize = 64;

/// Whose network the parent of a nested container has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum ParentsNetwork {
    /// The node's, or there is no parent.
    #[default]
    Nodes,
    /// One that only the containers in it have.
    Own,
}

/// The ruleset of a container; none for one that has its parent's processes. Whoever is restricted
/// looks only into processes under the same ruleset (ptrace(2), `/proc/PID`), and two containers never
/// have the same: a debugger would see nothing of what it is there for.
pub(super) fn of(
    task: &TaskSpec<'_>,
    own: &[Namespace],
    root: &Root,
    mounts: &[Mount],
    effective: &[Capability],
    bound: Option<&PortRanges>,
) -> Option<Landlock> {
    if !own.contains(&Namespace::Pid) {
        return None;
    }
    let network_of_node = !own.contains(&Namespace::Network)
        && (task.class != Class::Nested || task.parents_network == ParentsNetwork::Nodes);
    Some(Landlock {
        files: match effective.contains(&SYS_ADMIN) {
            true => Vec::new(),
            false => files(root, mounts),
        },
        // In a network of its own these are the container's, or of those it shares the network with.
        sockets: match network_of_node {
            true => Scope::Container,
            false => Scope::Namespace,
        },
        // The pid namespace bounds signals; within it an executor may reach what is nested in it.
        signals: match task.class {
            Class::Task | Class::Nested => Scope::Container,
            Class::Executor | Class::Pod | Class::Debug => Scope::Namespace,
        },
        ports: bound.and_then(|bound| ports(task.class, bound)),
    })
}

/// The ports of a ruleset, behind those of the cgroup: of whoever has the same ones all its life, and not
/// too many, since each is a rule.
fn ports(class: Class, bound: &PortRanges) -> Option<Vec<u16>> {
    match class {
        Class::Task => {}
        Class::Executor | Class::Pod | Class::Nested | Class::Debug => return None,
    }
    let all = bound.iter().flat_map(|(first, last)| *first..=*last);
    let ports: Vec<_> = all.take(PORTS_MAX + 1).collect();
    (ports.len() <= PORTS_MAX).then_some(ports)
}

/// The rules, without those that say nothing new.
fn files(root: &Root, mounts: &[Mount]) -> Vec<FileRule> {
    let mut rules = Vec::from([rule("/", of_root(root))]);
    for mount in mounts {
        let rights = of_content(&mount.content);
        let is_new = rights.is_some_and(|rights| {
            let mut above = rules
                .iter()
                .filter(|other| is_within(&mount.target, &other.place));
            above.all(|other| other.rights < rights)
        });
        if let (true, Some(rights)) = (is_new, rights) {
            rules.push(rule(&mount.target, rights));
        }
    }
    rules
}

fn rule(place: &str, rights: FileRights) -> FileRule {
    FileRule {
        place: place.to_string(),
        rights,
    }
}

fn is_within(path: &str, above: &str) -> bool {
    let rest = path.strip_prefix(above.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

const fn of_access(access: Access) -> FileRights {
    match access {
        Access::ReadOnly => FileRights::Read,
        Access::ReadWrite => FileRights::Change,
    }
}

fn of_root(root: &Root) -> FileRights {
    match root {
        Root::Directory { access, .. } | Root::Overlay(Overlay { access, .. }) => {
            of_access(*access)
        }
        // What the parent made writable is not known here, and its mounts bound it.
        Root::Parent => FileRights::Change,
    }
}

/// What a mount allows beyond reading.
fn of_content(content: &Content) -> Option<FileRights> {
    let access = match content {
        Content::Bind { access, .. }
        | Content::Host { access, .. }
        | Content::Beneath { access, .. }
        | Content::Volume { access, .. }
        | Content::Image(Overlay { access, .. }) => *access,
        Content::Sandbox | Content::OfParent | Content::Queues | Content::Tmpfs { .. } => {
            Access::ReadWrite
        }
        Content::Devices(_) | Content::Terminals { .. } => return Some(FileRights::Devices),
        // A process says a few things of itself there.
        Content::Proc => return Some(FileRights::Write),
        Content::File { .. }
        | Content::View(_)
        | Content::Sysfs
        | Content::Cgroup
        | Content::Mask
        | Content::ReadOnly => return None,
    };
    match access {
        Access::ReadOnly => None,
        Access::ReadWrite => Some(of_access(access)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::{Command, Demand, RootSpec, Wishes};
    use alloc::format;
    use alloc::string::String;
    use model::ContainerId;
    use model::sandbox::{Io, Missing, Scratch};

    fn ruleset(
        class: Class,
        own: &[Namespace],
        parents_network: ParentsNetwork,
        effective: &[u8],
    ) -> Option<Landlock> {
        let container = ContainerId::new("c").expect("an id");
        let task = TaskSpec {
            container: &container,
            class,
            command: Some(&Command::Shell("true".into())),
            environment: &[],
            user: None,
            demand: Demand::default(),
            ports: &[],
            root: RootSpec::Default,
            directory: None,
            sandbox: None,
            io: Io::Files,
            volumes: &[],
            wishes: &Wishes::default(),
            parents_network,
        };
        let effective: Vec<_> = effective.iter().copied().map(Capability).collect();
        of(
            &task,
            own,
            &directory(Access::ReadOnly),
            &[],
            &effective,
            None,
        )
    }

    fn directory(access: Access) -> Root {
        Root::Directory {
            source: "/r".into(),
            access,
        }
    }

    fn rules(root: &Root, mounts: &[(&str, Content)]) -> Vec<String> {
        let mount = |(target, content): &(&str, Content)| Mount {
            target: target.to_string(),
            content: content.clone(),
        };
        let mounts: Vec<_> = mounts.iter().map(mount).collect();
        let rules = files(root, &mounts).into_iter();
        rules
            .map(|rule| format!("{} {:?}", rule.place, rule.rights))
            .collect()
    }

    #[test]
    fn what_the_mounts_make_writable_may_be_changed_and_nothing_else() {
        let tmpfs = Content::Tmpfs {
            bytes_max: 1,
            inodes_max: 1,
            mode: 0o1777,
        };
        let bind = |access| Content::Bind {
            source: "/s".into(),
            access,
            missing: Missing::Fails,
        };
        let mounts = [
            ("/proc", Content::Proc),
            (
                "/dev",
                Content::Devices(model::sandbox::Devices {
                    nodes: Vec::new(),
                    links: Vec::new(),
                    directories: Vec::new(),
                }),
            ),
            ("/dev/pts", Content::Terminals { group: 5 }),
            ("/dev/shm", tmpfs.clone()),
            ("/sys", bind(Access::ReadOnly)),
            ("/tmp", tmpfs),
            ("/s", Content::Sandbox),
            ("/s/deeper", bind(Access::ReadWrite)),
            ("/sister", bind(Access::ReadWrite)),
            ("/proc/sys", Content::ReadOnly),
            ("/proc/keys", Content::Mask),
        ];
        assert_eq!(
            rules(&directory(Access::ReadOnly), &mounts),
            [
                "/ Read",
                "/proc Write",
                "/dev Devices",
                "/dev/shm Change",
                "/tmp Change",
                "/s Change",
                "/sister Change",
            ]
        );
        let image = Root::Overlay(Overlay {
            layers: Vec::new(),
            ids: None,
            scratch: Scratch::Memory { bytes_max: 1 },
            access: Access::ReadWrite,
        });
        assert_eq!(rules(&image, &mounts), ["/ Change"]);
        assert_eq!(rules(&Root::Parent, &mounts), ["/ Change"]);
    }

    #[test]
    fn what_shares_its_parents_processes_is_not_restricted() {
        let nodes = ParentsNetwork::Nodes;
        assert_eq!(ruleset(Class::Debug, &[], nodes, &[]), None);
        let shared = [Namespace::Mount, Namespace::Cgroup];
        assert_eq!(ruleset(Class::Nested, &shared, nodes, &[]), None);
    }

    #[test]
    fn sockets_stay_within_a_container_where_the_network_is_the_nodes() {
        let alone = &[Namespace::Pid, Namespace::Network][..];
        let shared = &alone[..1];
        for (class, own, parents, expected) in [
            (Class::Task, shared, ParentsNetwork::Nodes, Scope::Container),
            (Class::Pod, shared, ParentsNetwork::Nodes, Scope::Container),
            (
                Class::Nested,
                shared,
                ParentsNetwork::Nodes,
                Scope::Container,
            ),
            (Class::Nested, shared, ParentsNetwork::Own, Scope::Namespace),
            (
                Class::Nested,
                alone,
                ParentsNetwork::Nodes,
                Scope::Namespace,
            ),
            (Class::Task, alone, ParentsNetwork::Nodes, Scope::Namespace),
        ] {
            let got = ruleset(class, own, parents, &[]).map(|landlock| landlock.sockets);
            assert_eq!(got, Some(expected), "{class:?} {own:?} {parents:?}");
        }
        for (class, expected) in [
            (Class::Task, Scope::Container),
            (Class::Nested, Scope::Container),
            (Class::Executor, Scope::Namespace),
            (Class::Pod, Scope::Namespace),
        ] {
            let got = ruleset(class, alone, ParentsNetwork::Nodes, &[]);
            assert_eq!(
                got.map(|landlock| landlock.signals),
                Some(expected),
                "{class:?}"
            );
        }
    }

    #[test]
    fn ports_are_rules_for_a_task_that_has_a_few() {
        let bound: &PortRanges = &[(31_000, 31_001), (80, 80)];
        assert_eq!(
            ports(Class::Task, bound),
            Some(Vec::from([31_000, 31_001, 80]))
        );
        assert_eq!(ports(Class::Task, &[]), Some(Vec::new()));
        assert_eq!(
            ports(Class::Task, &[(1, 64)]).map(|all| all.len()),
            Some(64)
        );
        assert_eq!(ports(Class::Task, &[(1, 65_535)]), None);
        // Its ports come and go with its tasks, and a ruleset stays.
        assert_eq!(ports(Class::Executor, bound), None);
    }

    #[test]
    fn who_may_make_mounts_is_not_restricted_in_files() {
        let files = |effective: &[u8]| {
            let own = [Namespace::Pid];
            let ruleset = ruleset(Class::Task, &own, ParentsNetwork::Nodes, effective);
            ruleset.map(|landlock| landlock.files.len())
        };
        assert_eq!(files(&[21]), Some(0));
        assert_eq!(files(&[7, 12]), Some(1));
        assert_eq!(files(&[]), Some(1));
    }
}
