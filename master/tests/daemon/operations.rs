//! Operations between operators and agents: over HTTP on one side, the real link on the other.

use std::net::SocketAddr;

use api::link::v1::master_frame::Body as MasterBody;
use api::link::v1::{ApplyOperation, Register};
use api::v1;
use model::OperationState;
use serde_json::{Value, json};

use crate::support::agent::{self, Agent};
use crate::support::{http, master, until};

/// An agent that can do all that one of 1.11.0 can.
fn able() -> Register {
    let capability = |number| v1::agent_info::Capability {
        r#type: Some(number),
    };
    Register {
        capabilities: (1..=8).map(capability).collect(),
        ..agent::register("node1")
    }
}

/// Reserves two cpus by `/reserve`; what the agent is asked for.
async fn reserve(address: SocketAddr, agent: &mut Agent) -> ApplyOperation {
    let resources = json!([{
        "name": "cpus", "type": "SCALAR", "scalar": {"value": 2},
        "reservations": [{"type": "DYNAMIC", "role": "web"}],
    }]);
    let form = format!("slaveId={}&resources={resources}", agent.agent_id);
    let answer = http::ask(address, "POST /master/reserve", &[], form.as_bytes()).await;
    assert_eq!(answer.status, "202 Accepted", "{}", answer.text());
    agent.operation().await
}

async fn reserved(address: SocketAddr) -> Value {
    let agents = http::get(address, "/master/slaves").await;
    agents["slaves"][0]["reserved_resources"].clone()
}

async fn acknowledged(agent: &mut Agent, apply: &ApplyOperation, status: &v1::OperationStatus) {
    match agent.frame().await {
        MasterBody::AcknowledgeOperation(acknowledge) => {
            assert_eq!(acknowledge.operation_uuid, apply.operation_uuid);
            let uuid = status.uuid.clone().unwrap();
            assert_eq!(acknowledge.status_uuid, uuid.value);
        }
        other => panic!("not AcknowledgeOperation: {other:?}"),
    }
}

#[tokio::test]
async fn an_operators_reservation_goes_to_the_agent_and_its_end_is_acknowledged() {
    let master = master().await;
    let mut agent = Agent::register(master.address(), able()).await;
    let apply = reserve(master.address(), &mut agent).await;
    assert_eq!(apply.framework_id, None);
    assert_eq!(apply.operation_uuid.len(), 16);
    assert_eq!(apply.resource_version, [7; 16]);
    let info = apply.info.clone().unwrap();
    for resource in info.reserve.unwrap().resources {
        assert_eq!(resource.allocation_info, None);
        assert_eq!(resource.reservations[0].role.as_deref(), Some("web"));
    }
    let status = agent.ended(&apply, OperationState::Finished, &[]).await;
    acknowledged(&mut agent, &apply, &status).await;
    assert_eq!(reserved(master.address()).await["web"]["cpus"], 2.0);
    master.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_an_agent_does_not_apply_is_taken_back() {
    let master = master().await;
    let register = able();
    let has = register.agent_info.clone().unwrap().resources;
    let mut agent = Agent::register(master.address(), register).await;
    let apply = reserve(master.address(), &mut agent).await;
    assert_eq!(reserved(master.address()).await["web"]["cpus"], 2.0);
    let status = agent.ended(&apply, OperationState::Dropped, &has).await;
    acknowledged(&mut agent, &apply, &status).await;
    until("the reservation to be gone", async || {
        (reserved(master.address()).await == json!({})).then_some(())
    })
    .await;
    master.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_agent_that_comes_back_is_asked_for_operations_that_it_does_not_tell_of() {
    let master = master().await;
    let mut agent = Agent::register(master.address(), able()).await;
    let apply = reserve(master.address(), &mut agent).await;
    // The link ends before the agent has seen the operation.
    let mut again = able();
    again.agent_id = Some(v1::AgentId {
        value: agent.agent_id.clone(),
    });
    again.agent_info.as_mut().unwrap().id = again.agent_id.clone();
    let has = again.agent_info.clone().unwrap().resources;
    drop(agent);
    let mut agent = Agent::open(master.address(), again, 2).await;
    let asked = loop {
        match agent.frame().await {
            MasterBody::Registered(_) => {}
            MasterBody::ReconcileOperations(reconcile) => break reconcile.operations,
            other => panic!("not ReconcileOperations: {other:?}"),
        }
    };
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].operation_uuid, apply.operation_uuid);
    assert_eq!(reserved(master.address()).await, json!({}));
    agent.ended(&apply, OperationState::Dropped, &has).await;
    let operations = "GET_OPERATIONS";
    until("the operation to be forgotten", async || {
        let call = json!({ "type": operations }).to_string();
        let headers = [("Content-Type", "application/json")];
        let line = "POST /api/v1";
        let answer = http::ask(master.address(), line, &headers, call.as_bytes()).await;
        let all = answer.json()["get_operations"]["operations"].clone();
        (all.is_null() || all == json!([])).then_some(())
    })
    .await;
    master.shutdown().await.unwrap();
}
