//! The registry's entries, one for each agent: `agents/<agent id>`.
//!
//! A value begins with the version of its layout and its kind; what follows is the AgentInfo of an
//! admitted agent, or the date since when one is unreachable.

use master_core::WallTime;
use master_core::event::{ClusterEntry, Registry, RegistryChange};
use model::{AgentId, Blob};

use super::Change;

const AGENTS: &str = "agents/";
const VERSION: u8 = 1;
const ADMITTED: u8 = 1;
const UNREACHABLE: u8 = 2;

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

/// The change as the store takes it: what comes of one is durable together.
pub(crate) fn encode(change: RegistryChange) -> Vec<Change> {
    vec![match change {
        RegistryChange::Cluster(entries) => {
            return entries.into_iter().map(encode_cluster).collect();
        }
        RegistryChange::Admit { agent_id, info } => Change::Put {
            key: key(&agent_id),
            value: value(ADMITTED, info.as_bytes()),
        },
        RegistryChange::MarkUnreachable { agent_id, since } => Change::Put {
            key: key(&agent_id),
            value: value(UNREACHABLE, &since.0.to_be_bytes()),
        },
        RegistryChange::Remove { agent_id } => Change::Delete {
            key: key(&agent_id),
        },
    }]
}

const fn encode_cluster(entry: ClusterEntry) -> Change {
    match entry {}
}

/// What the store held, as the core takes it.
///
/// # Errors
/// The first entry that this version cannot read.
pub(crate) fn decode(entries: Vec<(String, Vec<u8>)>) -> Result<Registry, EntryError> {
    let mut registry = Registry::default();
    for (key, value) in entries {
        let Some(Ok(agent_id)) = key.strip_prefix(AGENTS).map(AgentId::new) else {
            return Err(EntryError::Key(key));
        };
        match value.as_slice() {
            [VERSION, ADMITTED, info @ ..] if api::decode::<api::v1::AgentInfo>(info).is_ok() => {
                registry.admitted.push((agent_id, Blob::new(info)));
            }
            [VERSION, UNREACHABLE, since @ ..] => {
                let since = since
                    .try_into()
                    .map_err(|_| EntryError::Layout(key.clone()))?;
                registry
                    .unreachable
                    .push((agent_id, WallTime(u64::from_be_bytes(since))));
            }
            _ => return Err(EntryError::Layout(key)),
        }
    }
    Ok(registry)
}

fn key(agent_id: &AgentId) -> String {
    format!("{AGENTS}{agent_id}")
}

fn value(kind: u8, rest: &[u8]) -> Vec<u8> {
    [&[VERSION, kind], rest].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    fn entry(change: RegistryChange) -> (String, Vec<u8>) {
        match encode(change).remove(0) {
            Change::Put { key, value } => (key, value),
            Change::Delete { key } => panic!("{key} is deleted"),
        }
    }

    #[test]
    fn entries_come_back_as_they_went() {
        let info = api::v1::AgentInfo {
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
        ])
        .unwrap();
        assert_eq!(registry.admitted, [(agent(1), info)]);
        assert_eq!(registry.unreachable, [(agent(2), WallTime(77))]);
    }

    #[test]
    fn an_entry_of_another_layout_is_refused() {
        for (key, value) in [
            ("agents/m-S1", &b""[..]),
            ("agents/m-S1", &[VERSION, ADMITTED, 0xff]),
            ("agents/m-S1", &[VERSION, UNREACHABLE, 1]),
            ("agents/m-S1", &[9, ADMITTED]),
            ("agents/", &[VERSION, UNREACHABLE]),
            ("quota/web", &[]),
        ] {
            let outcome = decode(vec![(key.into(), value.into())]);
            assert!(outcome.is_err(), "{key} {value:?}");
        }
    }
}
