//! Agents, as `/slaves` and the state show them.

use api::flat::{self, resources};
use api::v1;
use api::v1::agent_info::capability::Type as Capability;
use model::{AgentId, Blob};
use serde_json::{Map, Value, json};

use super::part::{Fields, Part};
use super::view::{Agent, View};
use crate::convert::events::{seconds, split_address};
use crate::convert::maintenance::wire_drain_info;
use crate::convert::message;

/// The port of an agent that names none.
const DEFAULT_PORT: i32 = 5051;

/// `/slaves`: all agents, or the one asked for.
pub(super) fn document(view: &View, wanted: Option<String>) -> Part<'_> {
    let is_wanted =
        move |id: &AgentId| wanted.as_deref().is_none_or(|wanted| wanted == id.as_str());
    let is_recovered = is_wanted.clone();
    let agents = view.agents.iter();
    let recovered = view.recovered.iter();
    let mut fields = Fields::default();
    fields.put(
        "slaves",
        Part::list(agents.filter(move |agent| is_wanted(&agent.id)), full),
    );
    fields.put(
        "recovered_slaves",
        Part::list(
            recovered.filter(move |(id, _)| is_recovered(id)),
            |(id, info)| recovered_agent(id, info),
        ),
    );
    fields.into()
}

/// An agent of the registry that has not come back.
pub(super) fn recovered_agent(id: &AgentId, info: &Blob) -> Value {
    Value::Object(of_info(id, &message(info)))
}

/// What an agent says of itself, under the id that it was given.
fn of_info(id: &AgentId, info: &v1::AgentInfo) -> Map<String, Value> {
    let mut object = Map::new();
    let mut put = |name: &str, value: Value| object.insert(name.into(), value);
    put("id", json!(id.as_str()));
    put("hostname", json!(info.hostname));
    put("port", json!(info.port.unwrap_or(DEFAULT_PORT)));
    put("attributes", resources::attributes(&info.attributes));
    if let Some(domain) = &info.domain {
        put("domain", flat::message(domain));
    }
    object
}

/// An agent as the state shows it.
pub(super) fn short(agent: &Agent) -> Map<String, Value> {
    let info: v1::AgentInfo = message(&agent.facts.info);
    let (_, port) = split_address(&agent.facts.address);
    let mut object = of_info(&agent.id, &info);
    let mut put = |name: &str, value: Value| object.insert(name.into(), value);
    put("hostname", json!(&*agent.facts.hostname));
    put("port", json!(port));
    put("pid", json!(format!("slave(1)@{}", agent.facts.address)));
    put("registered_time", json!(seconds(agent.registered)));
    if let Some(time) = agent.reregistered {
        put("reregistered_time", json!(seconds(time)));
    }
    put("resources", resources::object(&agent.total));
    put("used_resources", resources::object(&agent.used));
    put("offered_resources", resources::object(&agent.offered));
    put("reserved_resources", resources::reserved(&agent.total));
    put(
        "unreserved_resources",
        resources::object(&agent.total.unreserved()),
    );
    put("active", json!(agent.active));
    put("deactivated", json!(agent.deactivated));
    put("version", json!(&*agent.facts.version));
    put("capabilities", capabilities(&agent.facts.capabilities));
    if let Some(drain) = agent.drain {
        let info = wire_drain_info(drain.info);
        put("drain_info", flat::message(&info));
        if let Some(time) = drain.started {
            put("estimated_drain_start_time_seconds", json!(seconds(time)));
        }
    }
    object
}

fn full(agent: &Agent) -> Map<String, Value> {
    let mut object = short(agent);
    for (name, value) in [
        (
            "reserved_resources_full",
            resources::reserved_full(&agent.total),
        ),
        (
            "unreserved_resources_full",
            resources::full(&agent.total.unreserved()),
        ),
        ("used_resources_full", resources::full(&agent.used)),
        ("offered_resources_full", resources::full(&agent.offered)),
    ] {
        object.insert(name.into(), value);
    }
    object
}

fn capabilities(numbers: &[i32]) -> Value {
    numbers
        .iter()
        .filter_map(|number| Capability::try_from(*number).ok())
        .map(|capability| json!(capability.as_str_name()))
        .collect()
}
