//! Records of what is to end, and by when.

use agent_core::WallTime;
use agent_core::effect::{Deadline, Fact};
use agent_core::executor::Doom;
use agent_core::oversubscription::qos::{Pressure, Scarce};
use model::{ExecutorId, FrameworkId, TaskId};
use prost::Message;
use std::time::Duration;

use super::{RecordError, nanos};

#[derive(Clone, PartialEq, Message)]
pub(super) struct Killing {
    #[prost(string, tag = "1")]
    framework_id: String,
    #[prost(string, tag = "2")]
    task_id: String,
    #[prost(int32, tag = "3")]
    doom: i32,
    #[prost(uint64, tag = "4")]
    at_ns: u64,
    #[prost(uint64, tag = "5")]
    of_ns: u64,
    #[prost(message, optional, tag = "6")]
    pressure: Option<PressureRecord>,
}

/// What a task was preempted for.
#[derive(Clone, PartialEq, Message)]
struct PressureRecord {
    #[prost(int32, tag = "1")]
    scarce: i32,
    #[prost(uint32, tag = "2")]
    waited: u32,
    #[prost(uint32, tag = "3")]
    limit: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Ending {
    #[prost(string, tag = "1")]
    framework_id: String,
    #[prost(string, tag = "2")]
    executor_id: String,
    #[prost(uint64, tag = "3")]
    at_ns: u64,
    #[prost(uint64, tag = "4")]
    of_ns: u64,
}

/// By their numbers; the next one is of tasks that were preempted.
const DOOMS: [Doom; 4] = [
    Doom::Requested,
    Doom::DuringLaunch,
    Doom::OutOfTime,
    Doom::Unhealthy,
];
const PREEMPTED: i32 = 4;

/// By their numbers.
const SCARCE: [Scarce; 3] = [Scarce::Memory, Scarce::Cpu, Scarce::Io];

pub(super) fn killing(
    framework_id: &FrameworkId,
    task_id: &TaskId,
    doom: Doom,
    deadline: Deadline,
) -> Killing {
    let number = match doom {
        Doom::Requested => 0,
        Doom::DuringLaunch => 1,
        Doom::OutOfTime => 2,
        Doom::Unhealthy => 3,
        Doom::Preempted(_) => PREEMPTED,
    };
    Killing {
        framework_id: framework_id.to_string(),
        task_id: task_id.to_string(),
        doom: number,
        at_ns: deadline.at.0,
        of_ns: nanos(deadline.of),
        pressure: match doom {
            Doom::Preempted(pressure) => Some(PressureRecord {
                scarce: match pressure.scarce {
                    Scarce::Memory => 0,
                    Scarce::Cpu => 1,
                    Scarce::Io => 2,
                },
                waited: pressure.waited,
                limit: pressure.limit,
            }),
            Doom::Requested | Doom::DuringLaunch | Doom::OutOfTime | Doom::Unhealthy => None,
        },
    }
}

fn pressure(record: &PressureRecord) -> Option<Pressure> {
    let scarce = usize::try_from(record.scarce).ok();
    Some(Pressure {
        scarce: *SCARCE.get(scarce?)?,
        waited: record.waited,
        limit: record.limit,
    })
}

pub(super) fn killing_fact(record: &Killing) -> Result<Fact, RecordError> {
    let doom = match record.doom {
        PREEMPTED => record
            .pressure
            .as_ref()
            .and_then(pressure)
            .map(Doom::Preempted),
        number => {
            let number = usize::try_from(number).ok();
            number.and_then(|number| DOOMS.get(number)).copied()
        }
    };
    Ok(Fact::Killing {
        framework_id: FrameworkId::new(&record.framework_id)?,
        task_id: TaskId::new(&record.task_id)?,
        doom: doom.ok_or(RecordError::Unknown("reason of a kill"))?,
        deadline: deadline(record.at_ns, record.of_ns),
    })
}

pub(super) fn record(
    framework_id: &FrameworkId,
    executor_id: &ExecutorId,
    deadline: Deadline,
) -> Ending {
    Ending {
        framework_id: framework_id.to_string(),
        executor_id: executor_id.to_string(),
        at_ns: deadline.at.0,
        of_ns: nanos(deadline.of),
    }
}

pub(super) fn fact(record: &Ending) -> Result<Fact, RecordError> {
    Ok(Fact::ExecutorEnding {
        framework_id: FrameworkId::new(&record.framework_id)?,
        executor_id: ExecutorId::new(&record.executor_id)?,
        deadline: deadline(record.at_ns, record.of_ns),
    })
}

const fn deadline(at_ns: u64, of_ns: u64) -> Deadline {
    Deadline {
        at: WallTime(at_ns),
        of: Duration::from_nanos(of_ns),
    }
}
