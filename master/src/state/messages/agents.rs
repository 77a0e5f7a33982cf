//! Agents as messages.

use api::convert::to_both;
use api::v1;
use api::v1::agent_info::Capability;
use api::v1::master::response::get_agents;

use super::time;
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

/// An agent with all that is reserved, offered and in use of it.
pub(in crate::state) fn agent(agent: &Agent) -> get_agents::Agent {
    let capabilities = agent.facts.capabilities.iter();
    get_agents::Agent {
        agent_info: v1::AgentInfo {
            id: Some(v1::AgentId::from(&agent.id)),
            ..message(&agent.facts.info)
        },
        active: agent.connected,
        deactivated: Some(false),
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
        drain_info: None,
        estimated_drain_start_time: None,
    }
}
