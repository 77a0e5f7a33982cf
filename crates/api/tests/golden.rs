//! Bytes that must not change: frames of the link, as agents and masters of other versions send them.

use api::link::v1::agent_frame::Body as FromAgent;
use api::link::v1::master_frame::Body as FromMaster;
use api::link::v1::{
    AcknowledgeOperation, AgentFrame, ApplyOperation, DrainAgent, FrameworkSubscribed, MasterFrame,
    OperationStatusUpdate, Ping, Pong, Registered, RunTask, StatusUpdate, UpdateOversubscribed,
};
use api::v1;
use prost::Message;

fn check<M: Message + Default + PartialEq + std::fmt::Debug>(frame: M, golden: &str) {
    let bytes = frame.encode_to_vec();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, golden, "{frame:?}");
    assert_eq!(M::decode(&*bytes).ok(), Some(frame));
}

fn id(value: &str) -> v1::FrameworkId {
    v1::FrameworkId {
        value: value.to_string(),
    }
}

#[test]
fn frames_of_the_link_keep_their_bytes() {
    check(
        AgentFrame {
            epoch: 7,
            incarnation: 300,
            body: Some(FromAgent::Pong(Pong { sequence: 9 })),
        },
        "080710ac0222020809",
    );
    check(
        MasterFrame {
            epoch: 7,
            incarnation: 1,
            body: Some(FromMaster::Ping(Ping {
                sequence: 9,
                connected: true,
            })),
        },
        "080710012a0408091001",
    );
    check(
        MasterFrame {
            epoch: 7,
            incarnation: 1,
            body: Some(FromMaster::FrameworkSubscribed(FrameworkSubscribed {
                framework_id: Some(id("f")),
            })),
        },
        "080710016a050a030a0166",
    );
    check(
        AgentFrame {
            epoch: 1,
            incarnation: 1,
            body: Some(FromAgent::Update(StatusUpdate {
                framework_id: Some(id("f")),
                executor_id: None,
                status: Some(v1::TaskStatus {
                    task_id: v1::TaskId {
                        value: "t".to_string(),
                    },
                    state: v1::TaskState::TaskFinished.into(),
                    ..v1::TaskStatus::default()
                }),
                latest_state: v1::TaskState::TaskFinished.into(),
            })),
        },
        "080110012a100a030a01661a070a030a017410022002",
    );
    check(
        AgentFrame {
            epoch: 1,
            incarnation: 1,
            body: Some(FromAgent::UpdateOversubscribed(UpdateOversubscribed {
                resources: vec![v1::Resource {
                    name: "cpus".to_string(),
                    r#type: v1::value::Type::Scalar.into(),
                    scalar: Some(v1::value::Scalar { value: 1.5 }),
                    revocable: Some(v1::resource::RevocableInfo {}),
                    ..v1::Resource::default()
                }],
            })),
        },
        "0801100152170a150a046370757310001a0909000000000000f83f4a00",
    );
    check(
        MasterFrame {
            epoch: 1,
            incarnation: 2,
            body: Some(FromMaster::RunTask(RunTask {
                framework_info: Some(v1::FrameworkInfo {
                    user: "root".to_string(),
                    name: "f".to_string(),
                    ..v1::FrameworkInfo::default()
                }),
                task_info: None,
                resource_version: vec![0xab; 2],
                executor_expected: true,
            })),
        },
        "0801100232110a090a04726f6f741201661a02abab2001",
    );
    check(
        MasterFrame {
            epoch: 1,
            incarnation: 1,
            body: Some(FromMaster::Registered(Registered {
                agent_id: Some(v1::AgentId {
                    value: "m-S0".to_string(),
                }),
                master_info: None,
                total_ping_timeout_ns: 75_000_000_000,
            })),
        },
        "080110011a0f0a060a046d2d53301880dce4b29702",
    );
}

#[test]
fn frames_of_operations_and_drains_keep_their_bytes() {
    let uuid = |byte: u8| vec![byte; 2];
    check(
        MasterFrame {
            epoch: 1,
            incarnation: 1,
            body: Some(FromMaster::ApplyOperation(ApplyOperation {
                framework_id: Some(id("f")),
                info: Some(v1::offer::Operation {
                    r#type: Some(v1::offer::operation::Type::Reserve.into()),
                    ..v1::offer::Operation::default()
                }),
                operation_uuid: uuid(1),
                resource_version: uuid(2),
            })),
        },
        "0801100172110a030a0166120208021a02010122020202",
    );
    check(
        MasterFrame {
            epoch: 1,
            incarnation: 1,
            body: Some(FromMaster::AcknowledgeOperation(AcknowledgeOperation {
                operation_uuid: uuid(1),
                status_uuid: uuid(3),
            })),
        },
        "080110017a080a02010112020303",
    );
    check(
        MasterFrame {
            epoch: 1,
            incarnation: 1,
            body: Some(FromMaster::DrainAgent(DrainAgent {
                config: Some(v1::DrainConfig {
                    max_grace_period: Some(v1::DurationInfo { nanoseconds: 5 }),
                    mark_gone: Some(true),
                }),
            })),
        },
        "08011001a201080a060a0208051001",
    );
    check(
        AgentFrame {
            epoch: 1,
            incarnation: 1,
            body: Some(FromAgent::OperationUpdate(OperationStatusUpdate {
                framework_id: None,
                operation_uuid: uuid(1),
                status: Some(v1::OperationStatus {
                    state: v1::OperationState::OperationDropped.into(),
                    ..v1::OperationStatus::default()
                }),
                total_resources: vec![v1::Resource {
                    name: "cpus".to_string(),
                    ..v1::Resource::default()
                }],
            })),
        },
        "080110014212120201011a02100522080a04637075731000",
    );
}
