//! Agents as messages.

use api::convert::to_both;
use api::v1;
use api::v1::agent_info::Capability;
use api::v1::master::response::get_agents;
use master_core::{Master, WallTime};
use model::AgentId;

use super::time;
use crate::convert::maintenance::wire_drain_info;
use crate::convert::message;
use crate::state::Snapshot;
use crate::state::view::Agent;

impl Snapshot {
    /// Registered agents, by id.
    pub(crate) fn agents(&self) -> impl Iterator<Item = get_agents::Agent> {
        self.view.agents.iter().map(agent)
    }

    /// Agents of the registry that have not come back yet, by id.
    pub(crate) fn recovered_agents(&self) -> impl Iterator<Item = v1::AgentInfo> {
        self.view.recovered.iter().map(|(id, info)| v1::AgentInfo {
            id: Some(v1::AgentId::from(id)),
            ..message(info)
        })
    }
}

/// A date in whole seconds, as Mesos estimates it.
fn in_seconds(date: WallTime) -> v1::TimeInfo {
    time(WallTime(date.0 - date.0 % 1_000_000_000))
}

/// An agent as it is now, where it is registered.
pub(crate) fn agent_of(core: &Master, id: &AgentId) -> Option<get_agents::Agent> {
    let view = core.view();
    view.agent(id).map(|found| agent(&Agent::of(view, found)))
}

/// An agent with all that is reserved, offered and in use of it.
fn agent(agent: &Agent) -> get_agents::Agent {
    let capabilities = agent.facts.capabilities.iter();
    get_agents::Agent {
        agent_info: v1::AgentInfo {
            id: Some(v1::AgentId::from(&agent.id)),
            ..message(&agent.facts.info)
        },
        active: agent.active,
        deactivated: Some(agent.deactivated),
        version: agent.facts.version.to_string(),
        pid: Some(format!("slave(1)@{}", agent.facts.address)),
        registered_time: Some(time(agent.registered)),
        reregistered_time: agent.reregistered.map(time),
        total_resources: to_both(&agent.total),
        allocated_resources: to_both(&agent.used),
        offered_resources: to_both(&agent.offered),
        capabilities: capabilities
            .map(|number| Capability {
                r#type: Some(*number),
            })
            .collect(),
        resource_providers: Vec::new(),
        drain_info: agent.drain.map(|drain| wire_drain_info(drain.info)),
        estimated_drain_start_time: agent.drain.and_then(|drain| drain.started).map(in_seconds),
    }
}
