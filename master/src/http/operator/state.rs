//! Calls that read the cluster: GET_STATE and its parts.
//!
//! They are written from a snapshot, on a thread that may block: neither the loop nor other
//! connections wait for a large answer.

use std::sync::Arc;

use api::v1;
use api::v1::master::response::{Type, get_agents};
use http::StatusCode;

use super::document::{self, Fields};
use super::{Caller, answer};
use crate::http::Response;
use crate::http::negotiate::Media;
use crate::http::respond::Refusal;
use crate::state::Snapshot;
use crate::state::messages::Owners;

/// The parts of the state that can be asked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    /// GET_STATE: all of them.
    State,
    /// GET_AGENTS.
    Agents,
    /// GET_FRAMEWORKS.
    Frameworks,
    /// GET_EXECUTORS.
    Executors,
    /// GET_TASKS.
    Tasks,
}

/// Answers with a part of the state.
pub(super) async fn read(caller: &Caller<'_>, part: Part) -> Result<Response, Refusal> {
    let snapshot = caller.handle.snapshot_for(&caller.identity).await;
    let media = caller.media;
    let written = tokio::task::spawn_blocking(move || write(&snapshot, media, part)).await;
    match written {
        Ok(bytes) => Ok(answer::bytes(caller, bytes)),
        Err(error) => {
            tracing::error!(%error, "write the state");
            Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, ""))
        }
    }
}

fn write(snapshot: &Arc<Snapshot>, media: Media, part: Part) -> Vec<u8> {
    let (kind, number) = match part {
        Part::State => (Type::GetState, 9),
        Part::Agents => (Type::GetAgents, 10),
        Part::Frameworks => (Type::GetFrameworks, 11),
        Part::Executors => (Type::GetExecutors, 12),
        Part::Tasks => (Type::GetTasks, 13),
    };
    document::write(media, |response| {
        response.value((1, "type"), kind.into(), kind.as_str_name());
        match part {
            Part::State => response.message((number, "get_state"), |f| state(snapshot, f)),
            Part::Agents => response.message((number, "get_agents"), |f| agents(snapshot, f)),
            Part::Frameworks => {
                response.message((number, "get_frameworks"), |f| frameworks(snapshot, f));
            }
            Part::Executors => {
                response.message((number, "get_executors"), |f| executors(snapshot, f));
            }
            Part::Tasks => response.message((number, "get_tasks"), |f| tasks(snapshot, f)),
        }
    })
}

/// The fields of `GetState`.
pub(super) fn state(snapshot: &Snapshot, fields: &mut Fields<'_>) {
    fields.message((1, "get_tasks"), |fields| tasks(snapshot, fields));
    fields.message((2, "get_executors"), |fields| executors(snapshot, fields));
    fields.message((3, "get_frameworks"), |fields| frameworks(snapshot, fields));
    fields.message((4, "get_agents"), |fields| agents(snapshot, fields));
}

/// Tasks of frameworks that are over are shown in JSON alone, as Mesos has it.
fn tasks(snapshot: &Snapshot, fields: &mut Fields<'_>) {
    let owners = match fields.media() {
        Media::Json => Owners::Every,
        Media::Protobuf => Owners::Live,
    };
    fields.list((2, "tasks"), snapshot.tasks(owners));
    let unreachable = snapshot.unreachable_tasks(owners);
    fields.list((5, "unreachable_tasks"), unreachable);
    let completed = snapshot.completed_tasks(owners);
    fields.list((3, "completed_tasks"), completed);
}

fn executors(snapshot: &Snapshot, fields: &mut Fields<'_>) {
    fields.list((1, "executors"), snapshot.executors());
}

fn frameworks(snapshot: &Snapshot, fields: &mut Fields<'_>) {
    fields.list((1, "frameworks"), snapshot.frameworks());
    fields.list((2, "completed_frameworks"), snapshot.completed_frameworks());
}

fn agents(snapshot: &Snapshot, fields: &mut Fields<'_>) {
    fields.list_as((1, "agents"), snapshot.agents(), agent_json);
    let recovered = snapshot.recovered_agents();
    fields.list_as((2, "recovered_agents"), recovered, info_json);
}

/// Mesos writes these lists with the names of v1 from messages of before v1, in which an agent can
/// say that it does not checkpoint; none here does.
fn info_json(info: &v1::AgentInfo) -> String {
    let mut json = api::json::to_json(info);
    json.pop();
    json.push_str(",\"checkpoint\":true}");
    json
}

fn agent_json(agent: &get_agents::Agent) -> String {
    const FIRST: &str = "{\"agent_info\":";
    let whole = api::json::to_json(agent);
    let plain = api::json::to_json(&agent.agent_info);
    let rest = whole.get(FIRST.len() + plain.len()..).unwrap_or_default();
    [FIRST, &info_json(&agent.agent_info), rest].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_checkpoint_in_json() {
        let mut agent = get_agents::Agent {
            version: "1.11.0".into(),
            ..get_agents::Agent::default()
        };
        agent.agent_info.hostname = "h".into();
        assert_eq!(
            agent_json(&agent),
            concat!(
                r#"{"agent_info":{"hostname":"h","port":5051,"checkpoint":true},"#,
                r#""active":false,"version":"1.11.0"}"#
            )
        );
    }
}
