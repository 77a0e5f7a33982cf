//! GET_AGENT: what the agent is and has.

use api::v1::agent::Response as Message;
use api::v1::agent::response::{GetAgent, Type};

use super::{Caller, answer};
use crate::http::Answer;
use crate::wire::drain_config;

/// GET_AGENT.
pub(super) fn get(caller: &Caller<'_>) -> Answer {
    let context = caller.context;
    let snapshot = context.snapshot();
    let info = context.description.agent_info(snapshot.agent_id.as_ref());
    answer::message(
        caller,
        &Message {
            get_agent: Some(GetAgent {
                agent_info: Some(info),
                drain_config: snapshot.drain.map(drain_config),
                estimated_drain_start_time: None,
            }),
            ..answer::typed(Type::GetAgent)
        },
    )
}
