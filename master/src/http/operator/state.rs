//! Calls that read the cluster: GET_STATE and its parts.
//!
//! They are written from a snapshot, JSON as it is read and protobuf on a thread that may block:
//! neither the loop nor other connections wait for a large answer.

use api::v1;
use api::v1::master::response::{Type, get_agents};
use http::StatusCode;

use super::{Caller, answer};
use crate::http::Response;
use crate::http::document::Fields;
use crate::http::negotiate::Media;
use crate::http::pieces;
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
    match caller.media {
        Media::Json => {
            let made = pieces::make(caller.handle.readers(), |mut out| async move {
                for piece in response(&snapshot, Media::Json, part).into_json() {
                    out.push(&piece).await?;
                }
                Ok(out)
            });
            Ok(answer::made(made.await))
        }
        media @ Media::Protobuf => {
            let write = move || response(&snapshot, media, part).into_bytes(media);
            let written = caller.handle.readers().spawn_blocking(write).await;
            written
                .map(|bytes| answer::bytes(caller, bytes))
                .map_err(|error| {
                    tracing::error!(%error, "write the state");
                    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "")
                })
        }
    }
}

fn response(snapshot: &Snapshot, media: Media, part: Part) -> Fields<'_> {
    let (kind, number, name, fields) = match part {
        Part::State => (Type::GetState, 9, "get_state", state(snapshot, media)),
        Part::Agents => (Type::GetAgents, 10, "get_agents", agents(snapshot)),
        Part::Frameworks => {
            let fields = frameworks(snapshot);
            (Type::GetFrameworks, 11, "get_frameworks", fields)
        }
        Part::Executors => (Type::GetExecutors, 12, "get_executors", executors(snapshot)),
        Part::Tasks => (Type::GetTasks, 13, "get_tasks", tasks(snapshot, media)),
    };
    Fields::new()
        .value(1, "type", (kind.into(), kind.as_str_name()))
        .message(number, name, fields)
}

/// The fields of `GetState`.
pub(super) fn state(snapshot: &Snapshot, media: Media) -> Fields<'_> {
    Fields::new()
        .message(1, "get_tasks", tasks(snapshot, media))
        .message(2, "get_executors", executors(snapshot))
        .message(3, "get_frameworks", frameworks(snapshot))
        .message(4, "get_agents", agents(snapshot))
}

/// Tasks of frameworks that are over are shown in JSON alone, as Mesos has it.
fn tasks(snapshot: &Snapshot, media: Media) -> Fields<'_> {
    let owners = match media {
        Media::Json => Owners::Every,
        Media::Protobuf => Owners::Live,
    };
    let unreachable = snapshot.unreachable_tasks(owners);
    Fields::new()
        .list(2, "tasks", snapshot.tasks(owners))
        .list(5, "unreachable_tasks", unreachable)
        .list(3, "completed_tasks", snapshot.completed_tasks(owners))
}

fn executors(snapshot: &Snapshot) -> Fields<'_> {
    Fields::new().list(1, "executors", snapshot.executors())
}

fn frameworks(snapshot: &Snapshot) -> Fields<'_> {
    let completed = snapshot.completed_frameworks();
    Fields::new()
        .list(1, "frameworks", snapshot.frameworks())
        .list(2, "completed_frameworks", completed)
}

fn agents(snapshot: &Snapshot) -> Fields<'_> {
    let recovered = snapshot.recovered_agents();
    Fields::new()
        .list_as(1, "agents", snapshot.agents(), agent_json)
        .list_as(2, "recovered_agents", recovered, info_json)
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
