//! Which namespaces a container has, and whose the others are.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use model::sandbox::{Endpoint, IdRange, Isolation, Namespace, Neighbours, Network};

use super::{Area, Judged, Row, Writer, area};

/// What of a plan is about namespaces.
pub(super) struct Seen<'a> {
    pub(super) own: &'a [Namespace],
    pub(super) joined: &'a [Namespace],
    pub(super) ids: IdRange,
    pub(super) hostname: Option<&'a str>,
    pub(super) network: &'a Network,
}

/// Every kind, in the order of the rows.
const KINDS: [Namespace; 8] = [
    Namespace::User,
    Namespace::Pid,
    Namespace::Mount,
    Namespace::Ipc,
    Namespace::Uts,
    Namespace::Cgroup,
    Namespace::Network,
    Namespace::Time,
];

pub(super) fn of(seen: &Seen<'_>, writer: &mut Writer<'_>) {
    for kind in KINDS {
        let isolation = Isolation::Namespace(kind);
        let what = match seen.own.contains(&kind) {
            true => own(seen, kind),
            false => format!("{} namespace", kind.name()),
        };
        let judged = if seen.own.contains(&kind) {
            writer.outcome(isolation)
        } else if seen.joined.contains(&kind) {
            Judged::shared("that of the container it is nested in")
        } else if kind == Namespace::Pid && !seen.joined.is_empty() {
            // One that is nested lies in that of its parent (`LaunchPlan::namespaces`).
            Judged::shared("within that of the container it is nested in")
        } else {
            Judged::open(10, "the node's")
        };
        writer.row(area(isolation), what, judged);
    }
}

fn own(seen: &Seen<'_>, kind: Namespace) -> String {
    match kind {
        Namespace::User => {
            let last = seen.ids.first.saturating_add(seen.ids.length) - 1;
            format!(
                "ids of its own: 0 to {} are {} to {last} of the node",
                seen.ids.length - 1,
                seen.ids.first
            )
        }
        Namespace::Pid => "processes of its own, with an init".to_string(),
        Namespace::Mount => "mounts of its own".to_string(),
        Namespace::Ipc => "System V objects and message queues of its own".to_string(),
        Namespace::Uts => match seen.hostname {
            Some(name) => format!("host name {name}"),
            None => "host name of its own".to_string(),
        },
        Namespace::Cgroup => "the cgroup tree begins at its own group".to_string(),
        Namespace::Network => match &seen.network {
            Network::Ready { endpoint: None } => {
                "a network of its own that it cannot change: loopback only".to_string()
            }
            Network::Ready {
                endpoint: Some(endpoint),
            } => connected(endpoint),
            Network::Own | Network::Shared => "a network of its own: loopback only".to_string(),
        },
        Namespace::Time => "clocks that began with it".to_string(),
    }
}

fn connected(endpoint: &Endpoint) -> String {
    let mut text = format!(
        "a network of its own that it cannot change: {}",
        endpoint.address
    );
    text += match endpoint.neighbours {
        Neighbours::Apart => ", apart from its neighbours",
        Neighbours::Open => ", open to its neighbours",
    };
    for mapping in &endpoint.mappings {
        text += &format!(
            ", port {}/{} of the node to its {}",
            mapping.host_port,
            mapping.protocol.name(),
            mapping.container_port
        );
    }
    text
}

/// What rows end with that tell of ports, and no others.
const BOUND: &str = "can be bound by number";

/// Whether a row is of [`ports`].
pub(super) fn is_of_ports(row: &Row) -> bool {
    row.area == Area::Network && row.what.ends_with(BOUND)
}

/// Which ports of the node may be bound, where that is bounded.
pub(super) fn ports(ranges: Option<&[(u16, u16)]>, writer: &mut Writer<'_>) {
    let Some(ranges) = ranges else {
        return;
    };
    let own: Vec<_> = ranges
        .iter()
        .map(|(first, last)| format!("{first}-{last}"))
        .collect();
    let what = match own.as_slice() {
        [] => format!("no port {BOUND}"),
        own => format!("of the ports only {} {BOUND}", own.join(", ")),
    };
    let outcome = writer.outcome(Isolation::Ports);
    writer.note(Area::Network, what, outcome);
}
