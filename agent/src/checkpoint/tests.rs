//! Tests: the log on a real disk, torn and changed at every byte.

use std::time::Duration;

use agent_core::allocation::Allocation;
use agent_core::checks::{CheckStatus, Checks};
use agent_core::effect::{Deadline, Limitation, OperationStatus, Status, WallTime};
use agent_core::event::{
    Drain, ExecutorKind, ExecutorSpec, Fate, Framework, KillingState, Operation, Restarts, TaskSpec,
};
use agent_core::executor::Doom;
use agent_core::holdings::VolumeName;
use agent_core::oversubscription::qos::{Pressure, Scarce};
use model::resources::{
    DiskInfo, Persistence, Reservation, ReservationKind, Resource, Role, Scalar,
};
use model::task::PartitionAwareness;
use model::{
    AgentId, Blob, ContainerId, ExecutorId, FrameworkId, OperationState, OperationUuid, Reason,
    Resources, Source, StatusUuid, TaskId, TaskState,
};

use super::*;

/// What those versions wrote of [`first_facts`].
const FIRST: &str = "\
    080312046d2d5331223c0a066d2d3030303012096672616d65776f726b18012a0574c3a4736b3201653a\
    047461736b42086578656375746f724880a8d6b9075a026e6f6201632a3d0a066d2d30303030120574c3\
    a4736b2003280130003a03776879421005050505050505050505050505050505488ca6fc9bfafc92f518\
    582a608080801032210a066d2d30303030120574c3a4736b1a1005050505050505050505050505050505\
    3a066d2d30303030420f0a066d2d30303030120574c3a4736b1801";

/// Facts as versions without operations wrote them.
fn first_facts() -> Vec<Fact> {
    let framework_id = FrameworkId::new("m-0000").expect("an id");
    let task_id = TaskId::new("täsk").expect("an id");
    vec![
        Fact::Started { incarnation: 3 },
        Fact::Admitted {
            agent_id: AgentId::new("m-S1").expect("an id"),
        },
        Fact::Task {
            framework: Framework {
                id: framework_id.clone(),
                info: Blob::new(b"framework"),
                killing: KillingState::Told,
                partition: PartitionAwareness::Unaware,
                restarts: Restarts::Fatal,
            },
            task: TaskSpec {
                id: task_id.clone(),
                executor: ExecutorSpec {
                    id: ExecutorId::new("e").expect("an id"),
                    kind: ExecutorKind::Command,
                    info: Blob::new(b"executor"),
                    shutdown_grace: None,
                    allocation: Allocation::default(),
                },
                group: Vec::new(),
                info: Blob::new(b"task"),
                kill_grace: Some(Duration::from_secs(2)),
                max_completion_time: None,
                checks: Checks::default(),
                unsupported: Some("no".into()),
                held: Resources::new(),
                allocation: Allocation::default(),
            },
            container: Some(ContainerId::new("c").expect("an id")),
        },
        Fact::Update {
            framework_id: framework_id.clone(),
            status: Status {
                task_id: task_id.clone(),
                executor_id: None,
                state: TaskState::Failed,
                source: Source::Agent,
                reason: Some(Reason::CommandExecutorFailed),
                message: Some("why".into()),
                uuid: StatusUuid([5; 16]),
                timestamp: WallTime(1_795_330_859_713_106_700),
                container: None,
                pid: Some(42),
                limitation: Some(Limitation::Memory(1 << 25)),
                healthy: None,
                check: None,
                degraded: None,
                given: None,
            },
        },
        Fact::Acknowledged {
            framework_id: framework_id.clone(),
            task_id: task_id.clone(),
            uuid: StatusUuid([5; 16]),
        },
        Fact::FrameworkGone {
            framework_id: framework_id.clone(),
        },
        Fact::Forgotten {
            framework_id,
            task_id,
        },
        Fact::Expelled,
    ]
}

/// An executor, a task of a group for it, and what it said of that.
fn executor_facts() -> Vec<Fact> {
    let framework = Framework {
        id: FrameworkId::new("m-0001").expect("an id"),
        info: Blob::new(b"framework"),
        killing: KillingState::Untold,
        partition: PartitionAwareness::Aware,
        restarts: Restarts::Fatal,
    };
    let executor = ExecutorSpec {
        id: ExecutorId::new("e").expect("an id"),
        kind: ExecutorKind::Custom,
        info: Blob::new(b"executor"),
        shutdown_grace: Some(Duration::from_secs(7)),
        allocation: Allocation::default(),
    };
    let container = ContainerId::new("c1").expect("an id");
    let id = TaskId::new("t").expect("an id");
    vec![
        Fact::Executor {
            framework: framework.clone(),
            executor: executor.clone(),
            container: container.clone(),
        },
        Fact::Task {
            framework: framework.clone(),
            task: TaskSpec {
                id: id.clone(),
                executor: executor.clone(),
                group: vec![id.clone()],
                info: Blob::new(b"task"),
                kill_grace: None,
                max_completion_time: None,
                checks: Checks::default(),
                unsupported: None,
                held: Resources::new(),
                allocation: Allocation::default(),
            },
            container: Some(container.clone()),
        },
        Fact::Update {
            framework_id: framework.id.clone(),
            status: Status {
                task_id: id,
                executor_id: Some(executor.id.clone()),
                state: TaskState::Running,
                source: Source::Executor,
                reason: None,
                message: None,
                uuid: StatusUuid([6; 16]),
                timestamp: WallTime(7),
                container: Some(container),
                pid: Some(42),
                limitation: Some(Limitation::Disk(1 << 30)),
                healthy: None,
                check: None,
                degraded: Some("why".to_string()),
                given: Some(Blob::new(b"status")),
            },
        },
        Fact::Killing {
            framework_id: framework.id.clone(),
            task_id: TaskId::new("t").expect("an id"),
            doom: Doom::Unhealthy,
            deadline: Deadline::after(WallTime(8), Duration::from_secs(9)),
        },
        Fact::Killing {
            framework_id: framework.id.clone(),
            task_id: TaskId::new("t").expect("an id"),
            doom: Doom::Preempted(Pressure {
                scarce: Scarce::Io,
                waited: 1_234,
                limit: 1_000,
            }),
            deadline: Deadline::after(WallTime(8), Duration::ZERO),
        },
        Fact::ExecutorEnding {
            framework_id: framework.id.clone(),
            executor_id: executor.id.clone(),
            deadline: Deadline::after(WallTime(10), Duration::ZERO),
        },
        Fact::ExecutorEnded {
            framework_id: framework.id,
            executor_id: executor.id,
        },
    ]
}

fn facts() -> Vec<Fact> {
    let mut facts = first_facts();
    for fact in &mut facts {
        if let Fact::Update { status, .. } = fact {
            status.healthy = Some(false);
            status.check = Some(CheckStatus::Http(Some(404)));
        }
    }
    facts.extend(executor_facts());
    let reservation = Reservation {
        kind: ReservationKind::Dynamic,
        role: Role::new("a/b").expect("a role"),
        principal: Some("alice".into()),
        labels: Vec::new(),
    };
    let mut volume = Resource::scalar("disk", Scalar(64_500));
    volume.reservations.push(reservation);
    volume.disk = Some(Box::new(DiskInfo {
        source: None,
        persistence: Some(Persistence {
            id: "v".into(),
            principal: None,
        }),
        volume: None,
    }));
    let kept: Resources = [volume].into_iter().collect();
    let name = VolumeName {
        role: Role::new("a/b").expect("a role"),
        id: "w".into(),
    };
    let operation = |framework_id, id: Option<&str>| Operation {
        uuid: OperationUuid([7; 16]),
        framework_id,
        id: id.map(str::to_owned),
        info: Blob::new(b"info"),
    };
    let framework_id = FrameworkId::new("m-0000").expect("an id");
    facts.extend([
        Fact::Operation {
            operation: operation(Some(framework_id.clone()), Some("o")),
            status: OperationStatus {
                state: OperationState::Finished,
                uuid: Some(StatusUuid([6; 16])),
                message: None,
            },
            kept: Some(kept.clone()),
        },
        Fact::Operation {
            operation: operation(None, None),
            status: OperationStatus {
                state: OperationState::Error,
                uuid: Some(StatusUuid([8; 16])),
                message: Some("why".into()),
            },
            kept: None,
        },
        Fact::OperationAcknowledged {
            operation: OperationUuid([7; 16]),
        },
        Fact::Kept {
            kept,
            doomed: vec![name.clone()],
        },
        Fact::VolumeDestroyed { volume: name },
        Fact::Draining(Some(Drain {
            max_grace: Some(Duration::from_secs(5)),
            fate: Fate::Gone,
        })),
        Fact::Draining(None),
        Fact::FrameworkUpdated {
            framework: Framework {
                id: framework_id,
                info: Blob::new(b"anew"),
                killing: KillingState::Untold,
                partition: PartitionAwareness::Aware,
                restarts: Restarts::Fatal,
            },
        },
    ]);
    facts
}

#[test]
fn a_log_of_the_first_version_is_read() {
    let written: Vec<u8> = first_facts().iter().flat_map(record::encode).collect();
    let hex: String = written.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, FIRST);
}

#[test]
fn facts_come_back_in_order_and_more_can_be_added() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("meta/checkpoint.log");
    let facts = facts();
    let mut first = Checkpoint::open(&path, Strictness::Whole).expect("a new log");
    assert_eq!(first.facts, []);
    first.checkpoint.append(&facts[..3]).expect("append");
    let mut second = Checkpoint::open(&path, Strictness::Whole).expect("the log");
    assert_eq!(
        (second.facts.as_slice(), second.torn_bytes),
        (&facts[..3], 0)
    );
    second.checkpoint.append(&facts[3..]).expect("append");
    assert_eq!(
        Checkpoint::open(&path, Strictness::Whole)
            .expect("the log")
            .facts,
        facts
    );
}

#[test]
fn a_log_torn_at_any_byte_keeps_what_was_whole_and_is_usable() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("checkpoint.log");
    let facts = facts();
    let mut log = Checkpoint::open(&path, Strictness::Whole)
        .expect("a new log")
        .checkpoint;
    let mut ends = vec![log.length];
    for fact in &facts {
        log.append(std::slice::from_ref(fact)).expect("append");
        ends.push(log.length);
    }
    let whole = fs::read(&path).expect("read");
    for cut in 0..whole.len() {
        fs::write(&path, &whole[..cut]).expect("write");
        let recovered = Checkpoint::open(&path, Strictness::Whole).expect("a usable log");
        let kept = ends.iter().filter(|end| **end <= cut as u64).count();
        assert_eq!(
            recovered.facts,
            facts[..kept.saturating_sub(1)],
            "cut at {cut}"
        );
        let mut checkpoint = recovered.checkpoint;
        checkpoint.append(&[Fact::Expelled]).expect("append");
        let again = Checkpoint::open(&path, Strictness::Whole).expect("the log");
        assert_eq!(
            (again.facts.last(), again.torn_bytes),
            (Some(&Fact::Expelled), 0)
        );
    }
}

#[test]
fn a_changed_byte_ends_the_log_before_its_record() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("checkpoint.log");
    let facts = facts();
    let mut log = Checkpoint::open(&path, Strictness::Whole)
        .expect("a new log")
        .checkpoint;
    log.append(&facts).expect("append");
    let whole = fs::read(&path).expect("read");
    for at in HEADER.len()..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        fs::write(&path, &bytes).expect("write");
        let recovered = Checkpoint::open(&path, Strictness::Whole).expect("a usable log");
        assert!(facts.starts_with(&recovered.facts) && recovered.facts.len() < facts.len());
    }
    let mut zeros = whole.clone();
    zeros.extend([0; 4096]);
    fs::write(&path, &zeros).expect("write");
    let recovered = Checkpoint::open(&path, Strictness::Whole).expect("a usable log");
    assert_eq!(
        (recovered.facts.len(), recovered.torn_bytes),
        (facts.len(), 4096)
    );
}

#[test]
fn what_is_not_known_is_refused_or_left_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("checkpoint.log");
    let facts = facts();
    let mut log = Checkpoint::open(&path, Strictness::Whole).expect("a new log");
    log.checkpoint.append(&facts[..3]).expect("append");
    // A field of number 99 is of a later version.
    let (length, payload) = (3_u32.to_le_bytes(), [0x98, 0x06, 0x01]);
    let sum = checksum(&length, &payload).to_le_bytes();
    let unknown = [&length[..], &sum, &payload].concat();
    log.checkpoint.file.write_all(&unknown).expect("write");
    log.checkpoint.append(&facts[3..]).expect("append");
    let refused = Checkpoint::open(&path, Strictness::Whole).expect_err("refused");
    assert!(refused.to_string().contains("--no-strict"), "{refused}");
    let used = Checkpoint::open(&path, Strictness::Possible).expect("used");
    assert_eq!((used.facts, used.torn_bytes), (facts, 0));
}

#[test]
fn another_file_or_version_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("checkpoint.log");
    for content in [&b"TEPUICP\x02later"[..], b"something else", b"x"] {
        fs::write(&path, content).expect("write");
        let error = Checkpoint::open(&path, Strictness::Whole).expect_err("refused");
        assert!(matches!(error, CheckpointError::Version { .. }), "{error}");
        assert_eq!(fs::read(&path).expect("read"), content);
    }
}

#[test]
fn a_log_written_anew_holds_the_given_facts_and_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("checkpoint.log");
    let mut log = Checkpoint::open(&path, Strictness::Whole)
        .expect("a new log")
        .checkpoint;
    assert!(!log.wants_compaction());
    while !log.wants_compaction() {
        log.append(&vec![facts()[2].clone(); 1000]).expect("append");
    }
    log.compact(&facts()[..2], &facts()[1..2])
        .expect("written anew");
    assert!(!log.wants_compaction());
    log.append(&facts()[2..]).expect("append");
    assert_eq!(
        Checkpoint::open(&path, Strictness::Whole)
            .expect("the log")
            .facts,
        facts()
    );
}

/// A log with as many facts as make it worth writing anew.
fn long(path: &Path) -> Checkpoint {
    let mut log = Checkpoint::open(path, Strictness::Whole)
        .expect("a new log")
        .checkpoint;
    while !log.wants_compaction() {
        log.append(&vec![facts()[2].clone(); 1000]).expect("append");
    }
    log
}

#[test]
fn a_start_does_not_take_all_of_a_long_log_for_alive() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("checkpoint.log");
    drop(long(&path));
    let log = Checkpoint::open(&path, Strictness::Whole)
        .expect("the log")
        .checkpoint;
    assert!(log.wants_compaction());
}

#[test]
fn a_log_without_room_for_a_second_one_is_appended_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("checkpoint.log");
    let mut log = long(&path);
    let before = log.length;
    // As little as a full disk, a folder in its place can be written to.
    fs::create_dir(path.with_extension("new")).expect("a folder");
    log.compact(&facts(), &facts()[1..2]).expect("appended");
    assert!(!log.wants_compaction() && log.length > before);
    let recovered = Checkpoint::open(&path, Strictness::Whole).expect("the log");
    assert_eq!(
        (recovered.facts.last(), recovered.torn_bytes),
        (Some(&facts()[1]), 0)
    );
}
