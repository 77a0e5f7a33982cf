//! The registry's entries.
//!
//! ```text
//! agents/<agent id>       its kind, then the AgentInfo of an admitted agent, or the date since
//!                         when one is unreachable or gone
//! deactivated/<agent id>  nothing
//! draining/<agent id>     a DrainInfo
//! maintenance             the Schedule with its length before it, then a StartMaintenance with
//!                         the machines that are down
//! quota/<role>            a QuotaConfig
//! weights/<role>          a double, the first byte the highest
//! ```
//! A value begins with the version of its layout.

use api::flat;
use api::v1;
use api::v1::maintenance::Schedule;
use api::v1::master::call::StartMaintenance;
use master_core::WallTime;
use master_core::event::{ClusterEntry, Registry, RegistryChange};
use master_core::maintenance::Plan;
use model::resources::Role;
use model::{AgentId, Blob};
use prost::Message;
use serde_json::{Value, json};

use super::Change;
use crate::convert::{self, maintenance, quota};

const AGENTS: &str = "agents/";
const VERSION: u8 = 1;
const ADMITTED: u8 = 1;
const UNREACHABLE: u8 = 2;
const GONE: u8 = 3;

/// Why an entry cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// Nothing of ours has such a key.
    #[error("entry {0:?} has an unknown key")]
    Key(String),
    /// The value has no layout that this version knows.
    #[error("entry {0:?} has an unknown layout")]
    Layout(String),
}

const DEACTIVATED: &str = "deactivated/";
const DRAINING: &str = "draining/";
const MAINTENANCE: &str = "maintenance";
const QUOTA: &str = "quota/";
const WEIGHTS: &str = "weights/";

/// The change as the store takes it: what comes of one is durable together.
pub(crate) fn encode(change: RegistryChange) -> Vec<Change> {
    match change {
        RegistryChange::Cluster(entries) => entries.into_iter().flat_map(encode_cluster).collect(),
        RegistryChange::Admit { agent_id, info } => {
            vec![put(AGENTS, &agent_id, &[&[ADMITTED], info.as_bytes()])]
        }
        RegistryChange::MarkUnreachable { agent_id, since } => {
            let since = since.0.to_be_bytes();
            vec![put(AGENTS, &agent_id, &[&[UNREACHABLE], &since])]
        }
        RegistryChange::MarkGone { agent_id, since } => {
            let since = since.0.to_be_bytes();
            let gone = put(AGENTS, &agent_id, &[&[GONE], &since]);
            std::iter::once(gone).chain(reactivate(&agent_id)).collect()
        }
        RegistryChange::Remove { agent_id } => {
            let removal = delete(AGENTS, &agent_id);
            std::iter::once(removal)
                .chain(reactivate(&agent_id))
                .collect()
        }
    }
}

fn encode_cluster(entry: ClusterEntry) -> Vec<Change> {
    match entry {
        ClusterEntry::Maintenance(plan) => vec![Change::Put {
            key: MAINTENANCE.into(),
            value: encode_plan(&plan),
        }],
        ClusterEntry::Deactivated(agent_id) => vec![put(DEACTIVATED, &agent_id, &[])],
        ClusterEntry::Draining(agent_id, info) => {
            let info = maintenance::wire_drain_info(info).encode_to_vec();
            vec![put(DRAINING, &agent_id, &[&info])]
        }
        ClusterEntry::Reactivated(agent_id) => reactivate(&agent_id).to_vec(),
        ClusterEntry::Quota { role, quota } => {
            let key = format!("{QUOTA}{role}");
            vec![match quota.filter(|quota| !quota.is_default()) {
                Some(quota) => {
                    let config = quota::config(&role, &quota).encode_to_vec();
                    let value = [&[VERSION], config.as_slice()].concat();
                    Change::Put { key, value }
                }
                None => Change::Delete { key },
            }]
        }
        ClusterEntry::Weight { role, weight } => vec![Change::Put {
            key: format!("{WEIGHTS}{role}"),
            value: [[VERSION].as_slice(), &weight.to_be_bytes()].concat(),
        }],
    }
}

fn reactivate(agent_id: &AgentId) -> [Change; 2] {
    [delete(DEACTIVATED, agent_id), delete(DRAINING, agent_id)]
}

fn encode_plan(plan: &Plan) -> Vec<u8> {
    let schedule = maintenance::wire_schedule(&plan.schedule);
    let down = StartMaintenance {
        machines: plan.down.iter().map(maintenance::wire_machine).collect(),
    };
    let schedule = schedule.encode_length_delimited_to_vec();
    [&[VERSION], schedule.as_slice(), &down.encode_to_vec()].concat()
}

fn decode_plan(mut bytes: &[u8]) -> Option<Plan> {
    let schedule = Schedule::decode_length_delimited(&mut bytes).ok()?;
    let down = StartMaintenance::decode(bytes).ok()?;
    Some(Plan {
        schedule: maintenance::schedule(schedule),
        down: down
            .machines
            .into_iter()
            .map(maintenance::machine)
            .collect(),
    })
}

/// What the store held, as the core takes it.
///
/// # Errors
/// The first entry that this version cannot read.
pub(crate) fn decode(entries: Vec<(String, Vec<u8>)>) -> Result<Registry, EntryError> {
    let mut registry = Registry::default();
    for (key, value) in entries {
        let [VERSION, value @ ..] = value.as_slice() else {
            return Err(EntryError::Layout(key));
        };
        let (folder, id) = key.split_at(key.find('/').map_or(key.len(), |slash| slash + 1));
        let agent_id = || AgentId::new(id).map_err(|_| EntryError::Key(key.clone()));
        let role = || Role::new(id).map_err(|_| EntryError::Key(key.clone()));
        let is_read = match folder {
            AGENTS => agent(&mut registry, agent_id()?, value),
            DEACTIVATED => {
                registry
                    .cluster
                    .push(ClusterEntry::Deactivated(agent_id()?));
                value.is_empty()
            }
            DRAINING => {
                let info = v1::DrainInfo::decode(value).ok();
                let info = info.as_ref().and_then(maintenance::drain_info);
                let agent_id = agent_id()?;
                let entry = info.map(|info| ClusterEntry::Draining(agent_id, info));
                entry.map(|entry| registry.cluster.push(entry)).is_some()
            }
            QUOTA => {
                let config = api::decode(value).ok();
                let quota = config.and_then(|config| quota::read(&config));
                let role = role()?;
                let entry = quota.map(|quota| ClusterEntry::Quota {
                    role,
                    quota: Some(quota),
                });
                entry.map(|entry| registry.cluster.push(entry)).is_some()
            }
            WEIGHTS => {
                let weight = value.try_into().ok().map(f64::from_be_bytes);
                let weight = weight.filter(|weight| *weight > 0.0 && weight.is_finite());
                let role = role()?;
                let entry = weight.map(|weight| ClusterEntry::Weight { role, weight });
                entry.map(|entry| registry.cluster.push(entry)).is_some()
            }
            MAINTENANCE => {
                let entry = decode_plan(value).map(ClusterEntry::Maintenance);
                entry.map(|entry| registry.cluster.push(entry)).is_some()
            }
            _ => return Err(EntryError::Key(key)),
        };
        if !is_read {
            return Err(EntryError::Layout(key));
        }
    }
    Ok(registry)
}

/// An entry that [`decode`] reads, for people.
pub(crate) fn describe(key: &str, value: &[u8]) -> Value {
    let value = value.get(1..).unwrap_or_default();
    let folder = key
        .split_at(key.find('/').map_or(key.len(), |slash| slash + 1))
        .0;
    let date = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_be_bytes) / 1_000_000_000;
    match (folder, value) {
        (AGENTS, [ADMITTED, info @ ..]) => {
            let info: v1::AgentInfo = convert::message(&Blob::new(info));
            json!({ "state": "admitted", "info": flat::message(&info) })
        }
        (AGENTS, [UNREACHABLE, since @ ..]) => {
            json!({ "state": "unreachable", "since": date(since) })
        }
        (AGENTS, [GONE, since @ ..]) => json!({ "state": "gone", "since": date(since) }),
        (DRAINING, info) => {
            let info: v1::DrainInfo = convert::message(&Blob::new(info));
            flat::message(&info)
        }
        (QUOTA, config) => {
            let config: v1::quota::QuotaConfig = convert::message(&Blob::new(config));
            flat::message(&config)
        }
        (WEIGHTS, weight) => json!(weight.try_into().map_or(0.0, f64::from_be_bytes)),
        (MAINTENANCE, plan) => decode_plan(plan).map_or(Value::Null, |plan| {
            let down = plan.down.iter().map(maintenance::wire_machine);
            json!({
                "schedule": flat::message(&maintenance::wire_schedule(&plan.schedule)),
                "down": flat::list(down, |machine| flat::message(&machine)),
            })
        }),
        _ => Value::Null,
    }
}

/// Reads the entry of an agent; false where it has no layout that this version knows.
fn agent(registry: &mut Registry, agent_id: AgentId, value: &[u8]) -> bool {
    let date = |bytes: &[u8]| {
        let bytes = bytes.try_into().ok();
        bytes.map(|bytes| WallTime(u64::from_be_bytes(bytes)))
    };
    match value {
        [ADMITTED, info @ ..] if api::decode::<v1::AgentInfo>(info).is_ok() => {
            registry.admitted.push((agent_id, Blob::new(info)));
            true
        }
        [UNREACHABLE, since @ ..] => {
            let since = date(since);
            let entry = since.map(|since| (agent_id, since));
            entry
                .map(|entry| registry.unreachable.push(entry))
                .is_some()
        }
        [GONE, since @ ..] => {
            let since = date(since);
            let entry = since.map(|since| (agent_id, since));
            entry.map(|entry| registry.gone.push(entry)).is_some()
        }
        _ => false,
    }
}

fn put(folder: &str, agent_id: &AgentId, parts: &[&[u8]]) -> Change {
    Change::Put {
        key: format!("{folder}{agent_id}"),
        value: [&[VERSION], parts.concat().as_slice()].concat(),
    }
}

fn delete(folder: &str, agent_id: &AgentId) -> Change {
    Change::Delete {
        key: format!("{folder}{agent_id}"),
    }
}

#[cfg(test)]
mod tests {
    use master_core::draining::{DrainConfig, DrainInfo, DrainState};
    use master_core::event::Text;
    use master_core::maintenance::{Machine, Unavailability, Window};

    use super::*;
    use master_core::quota::Quota;

    fn entry(change: RegistryChange) -> (String, Vec<u8>) {
        match encode(change).remove(0) {
            Change::Put { key, value } => (key, value),
            Change::Delete { key } => panic!("{key} is deleted"),
        }
    }

    #[test]
    fn entries_come_back_as_they_went() {
        let info = v1::AgentInfo {
            hostname: "node1".into(),
            ..Default::default()
        };
        let info = Blob::new(&info.encode_to_vec());
        let agent = |number: u8| AgentId::new(&format!("m-S{number}")).unwrap();
        let registry = decode(vec![
            entry(RegistryChange::Admit {
                agent_id: agent(1),
                info: info.clone(),
            }),
            entry(RegistryChange::MarkUnreachable {
                agent_id: agent(2),
                since: WallTime(77),
            }),
            entry(RegistryChange::MarkGone {
                agent_id: agent(3),
                since: WallTime(78),
            }),
        ])
        .unwrap();
        assert_eq!(registry.gone, [(agent(3), WallTime(78))]);
        assert_eq!(registry.admitted, [(agent(1), info)]);
        assert_eq!(registry.unreachable, [(agent(2), WallTime(77))]);
    }

    #[test]
    fn settings_of_operators_come_back_as_they_went() {
        let agent_id = AgentId::new("m-S1").unwrap();
        let machine = |hostname: &str, ip: Option<&str>| Machine {
            hostname: Some(Text::from(hostname)),
            ip: ip.map(Text::from),
        };
        let plan = Plan {
            schedule: master_core::maintenance::Schedule {
                windows: vec![Window {
                    machines: vec![machine("m1", Some("10.0.0.1")), machine("m2", None)],
                    unavailability: Unavailability {
                        start_ns: 5,
                        duration_ns: Some(6),
                    },
                }],
            },
            down: [machine("m2", None)].into(),
        };
        let drain = DrainInfo {
            state: DrainState::Drained,
            config: DrainConfig {
                max_grace_ns: Some(-7),
                mark_gone: true,
            },
        };
        let settings = vec![
            ClusterEntry::Deactivated(agent_id.clone()),
            ClusterEntry::Draining(agent_id, drain),
            ClusterEntry::Maintenance(plan),
        ];
        let changes = encode(RegistryChange::Cluster(settings.clone()));
        let entries = changes.into_iter().map(|change| match change {
            Change::Put { key, value } => (key, value),
            Change::Delete { key } => panic!("{key} is deleted"),
        });
        assert_eq!(decode(entries.collect()).unwrap().cluster, settings);
    }

    #[test]
    fn quota_and_weights_come_back_as_they_went_and_what_is_removed_leaves_nothing() {
        let role = Role::new("eng/dev").unwrap();
        let amounts = model::resources::parse("cpus:1.5;mem:64").unwrap();
        let quota = Quota {
            guarantees: amounts.quantities(),
            limits: [("cpus".into(), model::resources::Scalar(0))]
                .into_iter()
                .collect(),
        };
        let set = |quota| ClusterEntry::Quota {
            role: role.clone(),
            quota,
        };
        let weight = ClusterEntry::Weight {
            role: role.clone(),
            weight: 2.5,
        };
        let kept = vec![set(Some(quota)), weight];
        let changes = encode(RegistryChange::Cluster(kept.clone()));
        let entries = changes.into_iter().map(|change| match change {
            Change::Put { key, value } => (key, value),
            Change::Delete { key } => panic!("{key} is deleted"),
        });
        assert_eq!(decode(entries.collect()).unwrap().cluster, kept);
        for gone in [None, Some(Quota::default())] {
            let changes = encode(RegistryChange::Cluster(vec![set(gone)]));
            let key = "quota/eng/dev".into();
            assert_eq!(changes, [Change::Delete { key }]);
        }
    }

    #[test]
    fn with_an_agent_goes_what_operators_set_about_it() {
        let agent_id = AgentId::new("m-S1").unwrap();
        let changes = encode(RegistryChange::Remove { agent_id });
        let keys = changes.iter().map(|change| match change {
            Change::Delete { key } => key.as_str(),
            Change::Put { key, .. } => panic!("{key} is put"),
        });
        let keys: Vec<&str> = keys.collect();
        assert_eq!(keys, ["agents/m-S1", "deactivated/m-S1", "draining/m-S1"]);
    }

    #[test]
    fn an_entry_of_another_layout_is_refused() {
        for (key, value) in [
            ("agents/m-S1", &b""[..]),
            ("agents/m-S1", &[VERSION, ADMITTED, 0xff]),
            ("agents/m-S1", &[VERSION, UNREACHABLE, 1]),
            ("agents/m-S1", &[9, ADMITTED]),
            ("agents/", &[VERSION, UNREACHABLE]),
            ("draining/m-S1", &[VERSION, 0xff]),
            ("deactivated/", &[VERSION]),
            ("deactivated/m-S1", &[VERSION, 1]),
            ("maintenance", &[VERSION, 9]),
            ("quota/web", &[VERSION]),
            ("quota/-web", &[VERSION, 10, 3, b'w', b'e', b'b']),
            ("weights/web", &[VERSION, 0, 0, 0, 0, 0, 0, 0, 0]),
            ("weights/web", &[VERSION, 1]),
            ("unknown/web", &[VERSION]),
        ] {
            let outcome = decode(vec![(key.into(), value.into())]);
            assert!(outcome.is_err(), "{key} {value:?}");
        }
    }
}
