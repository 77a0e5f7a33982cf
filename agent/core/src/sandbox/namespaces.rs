//! Namespaces: which a container has of its own, which it shares with its parent, and its ids.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use model::sandbox::{IdRange, Namespace};

use super::{Class, Ipc, Network, NodeFacts, PlanError, Wishes};

/// The longest host name, `HOST_NAME_MAX`.
const HOSTNAME_BYTES_MAX: usize = 64;

/// The namespaces of a container.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Namespaces {
    /// The parent's.
    pub(super) joined: Vec<Namespace>,
    /// New ones.
    pub(super) own: Vec<Namespace>,
}

/// Everything but the network is a container's own; what is nested has users, network, clocks, host name
/// and System V objects of its parent, unless it asks otherwise.
pub(super) fn of(class: Class, wishes: &Wishes) -> Namespaces {
    const ALL: [Namespace; 8] = [
        Namespace::User,
        Namespace::Pid,
        Namespace::Mount,
        Namespace::Ipc,
        Namespace::Uts,
        Namespace::Cgroup,
        Namespace::Network,
        Namespace::Time,
    ];
    let is_own = |kind: &Namespace| match (class, kind) {
        (Class::Task | Class::Executor | Class::Pod, Namespace::Network) => {
            wishes.network != Network::Shared
        }
        (Class::Task | Class::Executor | Class::Pod, _) => true,
        (Class::Nested, Namespace::Mount | Namespace::Cgroup) => true,
        (Class::Nested, Namespace::Pid) => !wishes.share_pids,
        (Class::Nested, Namespace::Ipc) => wishes.ipc == Ipc::Private,
        (Class::Nested, Namespace::Uts) => wishes.hostname.is_some(),
        (Class::Nested, Namespace::Network) => wishes.network != Network::Shared,
        (Class::Nested, Namespace::User | Namespace::Time) | (Class::Debug, _) => false,
    };
    let (own, others): (Vec<_>, Vec<_>) = ALL.into_iter().partition(is_own);
    Namespaces {
        joined: match class {
            Class::Task | Class::Executor | Class::Pod => Vec::new(),
            Class::Nested | Class::Debug => others,
        },
        own,
    }
}

impl Namespaces {
    /// The host name of a container that has one of its own.
    pub(super) fn hostname(
        &self,
        wishes: &Wishes,
        node: &NodeFacts<'_>,
    ) -> Result<Option<String>, PlanError> {
        if !self.own.contains(&Namespace::Uts) {
            return Ok(None);
        }
        let connected = node
            .connection
            .map(|connection| connection.hostname.as_str());
        let name = wishes.hostname.as_deref().or(connected);
        let name = name.unwrap_or(node.hostname);
        if name.is_empty() || name.len() > HOSTNAME_BYTES_MAX || name.contains(['\0', '/', ' ']) {
            return Err(PlanError::Hostname(name.to_string()));
        }
        Ok(Some(name.to_string()))
    }
}

/// How many ids a container has: enough for every id that images use, `nobody` (65534) included.
const LENGTH: u32 = 65_536;

/// The first id of the first range. Below it are the node's own and those of images, above it the
/// ranges lie end to end.
const FIRST: u32 = 524_288;

/// The ids that files of images have on the node's disk, which no container has: an image's 0 is the
/// first of them, and idmapped mounts give each container its own instead.
pub const STORE_IDS: IdRange = IdRange {
    first: FIRST - LENGTH,
    length: LENGTH,
};

/// How many ranges there are. The last ends below 2^31: tools that read ids as signed stay right.
pub const ID_RANGES_MAX: u32 = 32_000;

const _: () = assert!(FIRST as u64 + ID_RANGES_MAX as u64 * (LENGTH as u64) < 1 << 31);

/// The ids of the container that has this index; no two containers alive share one. `None` at
/// [`ID_RANGES_MAX`] and above.
#[must_use]
pub const fn id_range(index: u32) -> Option<IdRange> {
    if index >= ID_RANGES_MAX {
        return None;
    }
    Some(IdRange {
        first: FIRST + index * LENGTH,
        length: LENGTH,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nested_container_shares_what_it_does_not_ask_for_and_a_debugging_one_everything() {
        use Namespace::{Cgroup, Ipc as IpcSpace, Mount, Network as Net, Pid, Time, User, Uts};
        let none = Wishes::default();
        let task = of(Class::Task, &none);
        assert_eq!(task.own, [User, Pid, Mount, IpcSpace, Uts, Cgroup, Time]);
        assert_eq!(task.joined, []);
        let nested = of(Class::Nested, &none);
        assert_eq!(nested.own, [Pid, Mount, Cgroup]);
        assert_eq!(nested.joined, [User, IpcSpace, Uts, Net, Time]);
        let wishes = Wishes {
            hostname: Some("h".into()),
            network: Network::Loopback,
            ipc: Ipc::Private,
            share_pids: true,
            ..none
        };
        let nested = of(Class::Nested, &wishes);
        assert_eq!(nested.own, [Mount, IpcSpace, Uts, Cgroup, Net]);
        assert_eq!(nested.joined, [User, Pid, Time]);
        assert_eq!(of(Class::Pod, &wishes).own.len(), 8);
        let debug = of(Class::Debug, &wishes);
        assert_eq!((debug.own.len(), debug.joined.len()), (0, 8));
    }

    #[test]
    fn ranges_lie_end_to_end_and_never_wrap() {
        for index in [0, 1, 2, 1_000, ID_RANGES_MAX - 2] {
            let (this, next) = (id_range(index), id_range(index + 1));
            let end = this.map(|range| range.first + range.length);
            assert_eq!(end, next.map(|range| range.first), "range {index}");
        }
        assert_eq!(id_range(ID_RANGES_MAX), None);
        assert_eq!(id_range(u32::MAX), None);
    }
}
