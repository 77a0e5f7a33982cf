//! The simulation's own encoding of what cores carry unread.
//!
//! Real shells put protobuf into a `Blob`; here it is lines of text, which a trace can show.

use std::time::Duration;

use agent_core::Status;
use agent_core::allocation::{Allocation, Revocable};
use agent_core::checks::{Check, Checks, HealthCheck, Loopback, Probe, Request};
use agent_core::event::{ExecutorKind, ExecutorSpec, Framework, KillingState, Restarts, TaskSpec};
use master_core::event::{Capabilities, Capability, FrameworkInfo, Text};
use model::resources::{
    DiskInfo, Persistence, Reservation, ReservationKind, Resource, Role, Scalar, Volume, VolumeMode,
};
use model::task::PartitionAwareness;
use model::{Blob, ExecutorId, FrameworkId, Reason, StatusUuid, TaskId, TaskState};

/// The disk of every reservation and volume, in thousandths.
const VOLUME_DISK: i64 = 10_000;
/// The cpus of every simulated task, in thousandths.
pub const TASK_CPUS: i64 = 1000;
/// The cpus of every simulated executor, in thousandths.
pub const EXECUTOR_CPUS: i64 = 100;

/// The third line of a task whose resources are to be given back.
const REVOCABLE: &str = "revocable";

fn lines(blob: &Blob) -> Vec<String> {
    let text = String::from_utf8_lossy(blob.as_bytes());
    text.split('\n').map(str::to_string).collect()
}

fn blob(lines: &[&str]) -> Blob {
    Blob::new(lines.join("\n").as_bytes())
}

/// The framework of the scheduler with this number.
pub fn framework(number: usize, id: Option<&FrameworkId>) -> FrameworkInfo {
    let text = |text: &str| Text::from(text);
    let roles = ["a", "b", "a/c"];
    FrameworkInfo {
        id_fault: None,
        id: id.cloned(),
        name: text(&format!("scheduler{number}")),
        user: text("nobody"),
        principal: None,
        role: None,
        roles: vec![text(roles[number % roles.len()])],
        capabilities: [
            Capability::PartitionAware,
            Capability::TaskKillingState,
            Capability::MultiRole,
            Capability::ReservationRefinement,
        ]
        .into_iter()
        .chain(knows_revocable(number).then_some(Capability::RevocableResources))
        .collect::<Capabilities>(),
        checkpoint: true,
        failover_timeout_secs: 3600.0,
        min_allocatable: std::collections::BTreeMap::new(),
        info: blob(&[&number.to_string(), id.map_or("", FrameworkId::as_str)]),
    }
}

/// The framework as a master learns it from an agent's registration.
pub fn framework_of_blob(info: &Blob) -> Option<FrameworkInfo> {
    let lines = lines(info);
    let number = lines.first()?.parse().ok()?;
    let id = FrameworkId::new(lines.get(1)?).ok()?;
    Some(framework(number, Some(&id)))
}

/// The framework as an agent learns it with a task.
pub fn framework_for_agent(id: &FrameworkId, info: &Blob) -> Option<Framework> {
    let lines = lines(info);
    Some(Framework {
        id: id.clone(),
        info: blob(&[lines.first()?, id.as_str()]),
        killing: KillingState::Told,
        partition: PartitionAwareness::Aware,
        restarts: Restarts::Outlived,
    })
}

/// A task as its framework describes it, with the id of the volume that it uses.
pub fn task(id: &TaskId, volume: Option<&str>) -> Blob {
    blob(&[id.as_str(), volume.unwrap_or_default()])
}

/// The same task, where what it holds is to be given back.
pub fn revocable(info: &Blob) -> Blob {
    let lines = lines(info);
    let mut lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    lines.push(REVOCABLE);
    blob(&lines)
}

/// Whether what a task holds is to be given back.
pub fn is_revocable(info: &Blob) -> bool {
    lines(info).get(2).is_some_and(|line| line == REVOCABLE)
}

/// Whether the scheduler with this number knows revocable resources.
pub const fn knows_revocable(number: usize) -> bool {
    number.is_multiple_of(2)
}

/// The role of the scheduler with this number.
pub fn role(number: usize) -> Role {
    let framework = framework(number, None);
    let role = framework
        .roles
        .first()
        .and_then(|role| Role::new(role).ok());
    role.unwrap_or_else(Role::star)
}

/// What schedulers reserve at a time, for the role of the one with this number.
pub fn reserved_disk(number: usize) -> Resource {
    let mut disk = Resource::scalar("disk", Scalar(VOLUME_DISK));
    disk.reservations.push(Reservation {
        kind: ReservationKind::Dynamic,
        role: role(number),
        principal: None,
        labels: Vec::new(),
    });
    disk
}

/// A volume on what the scheduler with this number reserved.
pub fn volume(number: usize, id: &str) -> Resource {
    let persistence = Persistence {
        id: id.into(),
        principal: None,
    };
    let volume = Volume {
        container_path: "data".into(),
        host_path: None,
        mode: VolumeMode::ReadWrite,
    };
    Resource {
        disk: Some(Box::new(DiskInfo {
            source: None,
            persistence: Some(persistence),
            volume: Some(volume),
        })),
        ..reserved_disk(number)
    }
}

/// The volume that a task uses.
pub fn volume_of_task(info: &Blob) -> Option<Resource> {
    let lines = lines(info);
    let id = lines.get(1).filter(|id| !id.is_empty())?;
    Some(volume(number_of_task(info)?, id))
}

/// The task that a blob describes.
pub fn task_id_of_blob(info: &Blob) -> Option<TaskId> {
    TaskId::new(lines(info).first()?).ok()
}

/// The executor that a task runs in: every fourth one has its framework's own, of which there is one
/// on each agent.
pub fn executor_of_task(id: &TaskId) -> Option<String> {
    let (scheduler, number) = id.as_str().split_once('-')?;
    let number: u64 = number.parse().ok()?;
    (number % 4 == 1).then(|| format!("{scheduler}-ex"))
}

/// The task as an agent's core sees it.
pub fn task_for_agent(info: &Blob) -> Option<TaskSpec> {
    let id = task_id_of_blob(info)?;
    let own = executor_of_task(&id);
    Some(TaskSpec {
        executor: ExecutorSpec {
            id: ExecutorId::new(own.as_deref().unwrap_or(id.as_str())).ok()?,
            kind: match own {
                Some(_) => ExecutorKind::Custom,
                None => ExecutorKind::Command,
            },
            info: blob(&[own.as_deref().unwrap_or_default()]),
            shutdown_grace: None,
            allocation: Allocation::default(),
        },
        group: Vec::new(),
        id,
        info: info.clone(),
        kill_grace: None,
        max_completion_time: None,
        checks: match own {
            Some(_) => Checks::default(),
            None => checks_of_task(info),
        },
        unsupported: None,
        held: volume_of_task(info).into_iter().collect(),
        allocation: Allocation {
            cpus_milli: u64::try_from(TASK_CPUS).unwrap_or(0),
            memory_bytes: 64 << 20,
            revocable: Revocable {
                cpus: is_revocable(info),
                memory: false,
            },
        },
    })
}

/// An executor as a blob.
pub fn executor(id: &str) -> Blob {
    blob(&[id])
}

/// The tasks of a group as an agent's core sees them.
pub fn group_for_agent(executor: &Blob, tasks: &[Blob]) -> Option<Vec<TaskSpec>> {
    let executor = ExecutorSpec {
        id: ExecutorId::new(lines(executor).first()?).ok()?,
        kind: ExecutorKind::Default,
        info: executor.clone(),
        shutdown_grace: None,
        allocation: Allocation::default(),
    };
    let ids: Option<Vec<_>> = tasks.iter().map(task_id_of_blob).collect();
    let ids = ids?;
    let specs = tasks.iter().map(|task| {
        Some(TaskSpec {
            executor: executor.clone(),
            group: ids.clone(),
            ..task_for_agent(task)?
        })
    });
    specs.collect()
}

/// Every third task is asked how it is.
fn checks_of_task(info: &Blob) -> Checks {
    let id = task_id_of_blob(info);
    let number = id.and_then(|id| id.as_str().split('-').nth(1)?.parse::<u64>().ok());
    let is_checked = number.is_some_and(|number| number.is_multiple_of(3));
    let check = Check {
        probe: Probe::Request(Request::Tcp {
            loopback: Loopback::V4,
            port: 80,
        }),
        delay: Duration::ZERO,
        interval: Duration::from_secs(4),
        timeout: Some(Duration::from_secs(2)),
    };
    let health = HealthCheck {
        check,
        failures_max: 2,
        grace: Duration::from_secs(1),
    };
    Checks {
        check: None,
        health: is_checked.then_some(health),
    }
}

/// What a scheduler reads of a status update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenStatus {
    /// The task.
    pub task_id: TaskId,
    /// Its state.
    pub state: TaskState,
    /// Why.
    pub reason: Option<Reason>,
    /// Set where an acknowledgement is wanted.
    pub uuid: Option<StatusUuid>,
    /// Where it comes from.
    pub agent_id: Option<String>,
}

/// An agent's status update as bytes.
pub fn status(status: &Status, agent_id: &str) -> Blob {
    let uuid: String = status.uuid.0.iter().map(|b| format!("{b:02x}")).collect();
    let reason = status.reason.map_or(-1, Reason::number).to_string();
    blob(&[
        status.task_id.as_str(),
        &status.state.number().to_string(),
        &reason,
        &uuid,
        agent_id,
    ])
}

/// A status update read back.
pub fn status_of_blob(bytes: &Blob) -> Option<SeenStatus> {
    let lines = lines(bytes);
    let hex = lines.get(3)?;
    let mut uuid = [0; 16];
    for (index, byte) in uuid.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(index * 2..index * 2 + 2)?, 16).ok()?;
    }
    Some(SeenStatus {
        task_id: TaskId::new(lines.first()?).ok()?,
        state: TaskState::from_number(lines.get(1)?.parse().ok()?)?,
        reason: Reason::from_number(lines.get(2)?.parse().ok()?),
        uuid: Some(StatusUuid(uuid)),
        agent_id: lines.get(4).cloned(),
    })
}

/// The number of the scheduler that a task belongs to; it is part of the task's name.
pub fn number_of_task(info: &Blob) -> Option<usize> {
    let id = task_id_of_blob(info)?;
    id.as_str()
        .strip_prefix('s')?
        .split('-')
        .next()?
        .parse()
        .ok()
}
