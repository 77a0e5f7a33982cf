//! `POST /reserve`, `/unreserve`, `/create-volumes` and `/destroy-volumes`.

use api::json::from_json_list;
use api::v1;
use master_core::event::OperatorCall;

use crate::http::operator::resources as operator;
use crate::http::respond::Refusal;
use crate::http::router::Query;

/// `/reserve`.
pub(super) fn reserve(form: &str) -> Result<OperatorCall, Refusal> {
    const FAULT: &str = "Error parsing";
    let agent_id = agent_id(form)?;
    let resources = list(form, "resources", FAULT)?;
    let source = match Query(form).get("source") {
        Some(_) => list(form, "source", FAULT)?,
        None => Vec::new(),
    };
    let operation = operator::reserving(source, resources);
    Ok(operator::change(&agent_id, &operation))
}

/// `/unreserve`.
pub(super) fn unreserve(form: &str) -> Result<OperatorCall, Refusal> {
    let agent_id = agent_id(form)?;
    let resources = list(form, "resources", "Error in parsing")?;
    Ok(operator::change(
        &agent_id,
        &operator::unreserving(resources),
    ))
}

/// `/create-volumes`.
pub(super) fn create_volumes(form: &str) -> Result<OperatorCall, Refusal> {
    let agent_id = agent_id(form)?;
    let volumes = list(form, "volumes", "Error in parsing")?;
    Ok(operator::change(&agent_id, &operator::creating(volumes)))
}

/// `/destroy-volumes`.
pub(super) fn destroy_volumes(form: &str) -> Result<OperatorCall, Refusal> {
    let agent_id = agent_id(form)?;
    let volumes = list(form, "volumes", "Error in parsing")?;
    Ok(operator::change(&agent_id, &operator::destroying(volumes)))
}

fn agent_id(form: &str) -> Result<String, Refusal> {
    value(form, "slaveId")
}

fn value(form: &str, name: &str) -> Result<String, Refusal> {
    Query(form).get(name).ok_or_else(|| {
        Refusal::bad_request(format!(
            "Missing '{name}' query parameter in the request body"
        ))
    })
}

/// A list of resources; `fault` is how Mesos begins to say that it is none.
fn list(form: &str, name: &str, fault: &str) -> Result<Vec<v1::Resource>, Refusal> {
    from_json_list(value(form, name)?.as_bytes()).map_err(|error| {
        Refusal::bad_request(format!(
            "{fault} '{name}' query parameter in the request body: {error}"
        ))
    })
}
