//! Looking: what containers take and what they wait for, read from their cgroups for agent-core, which
//! decides by it what is given out twice and what is taken back.

use std::collections::BTreeMap;

use agent_core::event::Event;
use agent_core::oversubscription::estimator::Used;
use agent_core::oversubscription::qos::{Reading, Waits};
use agent_core::oversubscription::{Look, Looked};
use agent_kernel::cgroup::{Cgroup, Resource, Tree, Usage};
use model::ContainerId;
use tokio::sync::mpsc;

use crate::node::Input;

/// Looks at these containers, all of them outermost, beside the main loop.
pub fn begin(
    look: Look,
    tree: Option<Tree>,
    containers: Vec<ContainerId>,
    inputs: mpsc::Sender<Input>,
) {
    tokio::task::spawn_blocking(move || {
        let looked = at(look, tree.as_ref(), containers);
        // The main loop is gone where nobody listens.
        let _ = inputs.blocking_send(Input::Told(Event::Looked(looked)));
    });
}

fn at(look: Look, tree: Option<&Tree>, containers: Vec<ContainerId>) -> Looked {
    let groups = || {
        let all = containers.iter().cloned();
        all.filter_map(|id| Some((tree?.container(&id), id)))
    };
    match look {
        Look::Usage => Looked::Usage(groups().map(|(group, id)| (id, used(&group))).collect()),
        Look::Pressure(limits) => {
            let all = tree.map(|tree| waits(&tree.all())).unwrap_or_default();
            match all.exceed(limits) {
                true => {
                    let readings = groups().map(|(group, id)| (id, reading(&group)));
                    Looked::Pressure(readings.collect())
                }
                false => Looked::Pressure(BTreeMap::new()),
            }
        }
    }
}

fn used(group: &Cgroup) -> Used {
    let usage = group.usage();
    Used {
        cpu: cpu(&usage).unwrap_or_default(),
        memory_bytes: missed_bytes(&usage),
    }
}

fn cpu(usage: &Usage) -> Option<std::time::Duration> {
    Some(usage.cpu_user? + usage.cpu_system?)
}

/// The memory that would be missed: pages of files come back by themselves, unless somebody maps them.
/// Where no account of it is kept, nobody knows that any is left.
fn missed_bytes(usage: &Usage) -> u64 {
    let (Some(all), Some(files)) = (usage.memory_bytes, usage.memory_file_bytes) else {
        return u64::MAX;
    };
    let mapped = usage.memory_mapped_bytes.unwrap_or(0);
    all.saturating_sub(files.saturating_sub(mapped))
}

fn reading(group: &Cgroup) -> Reading {
    let usage = group.usage();
    let io = group.io().into_iter();
    Reading {
        cpu: cpu(&usage).unwrap_or_default(),
        memory_bytes: usage.memory_bytes.unwrap_or(0),
        io_bytes: io.map(|disk| disk.read_bytes + disk.written_bytes).sum(),
        waits: waits(group),
    }
}

/// Nothing on a kernel that does not tell.
fn waits(group: &Cgroup) -> Waits {
    let some = |resource| group.pressure(resource).map_or(0, |found| found.some_10s);
    Waits {
        cpu: some(Resource::Cpu),
        memory: some(Resource::Memory),
        io: some(Resource::Io),
    }
}

#[cfg(test)]
mod tests {
    use agent_core::oversubscription::qos::Limits;

    use super::*;

    #[test]
    fn pages_of_files_are_not_missed_unless_they_are_mapped() {
        let usage = Usage {
            memory_bytes: Some(100),
            memory_file_bytes: Some(60),
            memory_mapped_bytes: Some(10),
            ..Usage::default()
        };
        assert_eq!(missed_bytes(&usage), 50);
        assert_eq!(missed_bytes(&Usage::default()), u64::MAX);
    }

    #[test]
    fn without_cgroups_there_is_nothing_to_see() {
        let id = ContainerId::new("c").expect("an id");
        let looked = at(Look::Usage, None, vec![id.clone()]);
        assert_eq!(looked, Looked::Usage(BTreeMap::new()));
        let looked = at(Look::Pressure(Limits::default()), None, vec![id]);
        assert_eq!(looked, Looked::Pressure(BTreeMap::new()));
    }
}
