//! Operations on resources as words of a script, and back.
//!
//! `reserve:disk(web):4;cpus(web):1`, `create:disk(web):4@v` (`@v!` shared),
//! `grow:disk(web):4@v+2`, `shrink:disk(web):4@v-2`; a reservation is dynamic, and with a `/` in it a
//! refinement of all above it. `#id` at the end asks for feedback.

use std::sync::Arc;

use master_core::event::{
    Operation, OperationInfo, OperationStatus, ReportedOperation, ResourceOperation, Text,
};
use model::resources::{
    Change, DiskInfo, Persistence, Reservation, ReservationKind, Resource, Role, Scalar, Value,
    Volume, VolumeMode, parse,
};
use model::{FrameworkId, OperationState, OperationUuid, Resources, StatusUuid};

pub(crate) fn operation(word: &str) -> Operation {
    let (id, change) = change(word);
    Operation::Resources(ResourceOperation {
        id,
        kind: change.kind(),
        change: Ok(change),
    })
}

pub(crate) fn change(word: &str) -> (Option<Text>, Change) {
    let (word, id) = match word.split_once('#') {
        Some((word, id)) => (word, Some(Text::from(id))),
        None => (word, None),
    };
    let (verb, rest) = word.split_once(':').expect("verb:resources");
    let list = || rest.split(';').map(resource).collect();
    let sized = |sign| {
        let (volume, by) = rest.split_once(sign).expect("by how much");
        let by: i64 = by.parse().expect("number");
        (Box::new(resource(volume)), Scalar::whole(by))
    };
    let change = match verb {
        "reserve" => Change::Reserve {
            source: Vec::new(),
            resources: list(),
        },
        "unreserve" => Change::Unreserve { resources: list() },
        "create" => Change::Create { volumes: list() },
        "destroy" => Change::Destroy { volumes: list() },
        "grow" => {
            let (volume, by) = sized('+');
            let addition = Box::new(Resource {
                value: Value::Scalar(by),
                ..volume.without_volume()
            });
            Change::GrowVolume { volume, addition }
        }
        "shrink" => {
            let (volume, subtract) = sized('-');
            Change::ShrinkVolume { volume, subtract }
        }
        "destroy-disk" => Change::DestroyDisk {
            source: Box::new(resource(rest)),
        },
        other => panic!("no such operation: {other}"),
    };
    (id, change)
}

/// Resources with `;` between them.
pub(crate) fn resources(text: &str) -> Resources {
    text.split(';').map(resource).collect()
}

fn resource(text: &str) -> Resource {
    let (text, volume) = match text.split_once('@') {
        Some((text, id)) => (text, Some(id)),
        None => (text, None),
    };
    let parsed = parse(text).expect("resource");
    let mut resource = parsed.iter().next().expect("one resource").clone();
    if let Some(role) = resource.reservation_role().cloned() {
        let ends = role.as_str().match_indices('/').map(|(end, _)| end);
        let ends: Vec<usize> = ends.chain([role.as_str().len()]).collect();
        resource.reservations = ends
            .into_iter()
            .map(|end| Reservation {
                kind: ReservationKind::Dynamic,
                role: Role::new(&role.as_str()[..end]).expect("role"),
                principal: None,
                labels: Vec::new(),
            })
            .collect();
    }
    if let Some(id) = volume {
        resource.shared = id.ends_with('!');
        resource.disk = Some(Box::new(DiskInfo {
            source: None,
            persistence: Some(Persistence {
                id: Arc::from(id.trim_end_matches('!')),
                principal: None,
            }),
            volume: Some(Volume {
                container_path: Arc::from("data"),
                host_path: None,
                mode: VolumeMode::ReadWrite,
            }),
        }));
    }
    resource
}

/// `framework/STATE/change`, with the uuids 7 and 8.
pub(crate) fn reported_operation(word: &str) -> ReportedOperation {
    let mut parts = word.splitn(3, '/');
    let mut next = || parts.next().expect("framework/STATE/change");
    let framework_id = FrameworkId::new(next()).expect("id");
    let state = operation_state(next());
    let (id, change) = change(next());
    let status = OperationStatus {
        uuid: Some(StatusUuid([8; 16])),
        ..OperationStatus::new(id.clone(), state)
    };
    ReportedOperation {
        uuid: OperationUuid([7; 16]),
        framework_id: Some(framework_id),
        info: Arc::new(OperationInfo { id, change }),
        latest: status.clone(),
        statuses: vec![status],
    }
}

pub(crate) fn operation_state(name: &str) -> OperationState {
    let named = |state: &&OperationState| state.name().strip_prefix("OPERATION_") == Some(name);
    *OperationState::ALL.iter().find(named).expect("state")
}

pub(crate) fn print_change(change: &Change) -> String {
    let texts: Vec<String> = change.resources().map(ToString::to_string).collect();
    format!("{} {}", change.kind().name(), texts.join("; "))
}

pub(crate) fn print_status(status: &OperationStatus) -> String {
    let id = status.operation_id.as_deref().unwrap_or("-");
    let agent = status.agent_id.as_deref().unwrap_or("-");
    let uuid = status.uuid.map(|uuid| format!(" uuid={}", uuid.0[0]));
    let message = status.message.as_ref().map(|text| format!(": {text}"));
    format!(
        "{} {id} on {agent}{}{}",
        status.state,
        uuid.unwrap_or_default(),
        message.unwrap_or_default()
    )
}
