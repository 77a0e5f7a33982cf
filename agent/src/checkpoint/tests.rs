//! Tests: the log on a real disk, torn and changed at every byte.

use std::time::Duration;

use agent_core::effect::{Status, WallTime};
use agent_core::event::{Framework, KillingState, TaskSpec};
use model::task::PartitionAwareness;
use model::{
    AgentId, Blob, ContainerId, ExecutorId, FrameworkId, Reason, Source, StatusUuid, TaskId,
    TaskState,
};

use super::*;

fn facts() -> Vec<Fact> {
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
            },
            task: TaskSpec {
                id: task_id.clone(),
                executor_id: ExecutorId::new("e").expect("an id"),
                info: Blob::new(b"task"),
                executor_info: Blob::new(b"executor"),
                kill_grace: Some(Duration::from_secs(2)),
                max_completion_time: None,
                unsupported: Some("no".into()),
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
                memory_limit_bytes: Some(1 << 25),
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

#[test]
fn facts_come_back_in_order_and_more_can_be_added() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("meta/checkpoint.log");
    let facts = facts();
    let mut first = Checkpoint::open(&path).expect("a new log");
    assert_eq!(first.facts, []);
    first.checkpoint.append(&facts[..3]).expect("append");
    let mut second = Checkpoint::open(&path).expect("the log");
    assert_eq!(
        (second.facts.as_slice(), second.torn_bytes),
        (&facts[..3], 0)
    );
    second.checkpoint.append(&facts[3..]).expect("append");
    assert_eq!(Checkpoint::open(&path).expect("the log").facts, facts);
}

#[test]
fn a_log_torn_at_any_byte_keeps_what_was_whole_and_is_usable() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("checkpoint.log");
    let facts = facts();
    let mut log = Checkpoint::open(&path).expect("a new log").checkpoint;
    let mut ends = vec![log.length];
    for fact in &facts {
        log.append(std::slice::from_ref(fact)).expect("append");
        ends.push(log.length);
    }
    let whole = fs::read(&path).expect("read");
    for cut in 0..whole.len() {
        fs::write(&path, &whole[..cut]).expect("write");
        let recovered = Checkpoint::open(&path).expect("a usable log");
        let kept = ends.iter().filter(|end| **end <= cut as u64).count();
        assert_eq!(
            recovered.facts,
            facts[..kept.saturating_sub(1)],
            "cut at {cut}"
        );
        let mut checkpoint = recovered.checkpoint;
        checkpoint.append(&[Fact::Expelled]).expect("append");
        let again = Checkpoint::open(&path).expect("the log");
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
    let mut log = Checkpoint::open(&path).expect("a new log").checkpoint;
    log.append(&facts).expect("append");
    let whole = fs::read(&path).expect("read");
    for at in HEADER.len()..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        fs::write(&path, &bytes).expect("write");
        let recovered = Checkpoint::open(&path).expect("a usable log");
        assert!(facts.starts_with(&recovered.facts) && recovered.facts.len() < facts.len());
    }
    let mut zeros = whole.clone();
    zeros.extend([0; 4096]);
    fs::write(&path, &zeros).expect("write");
    let recovered = Checkpoint::open(&path).expect("a usable log");
    assert_eq!(
        (recovered.facts.len(), recovered.torn_bytes),
        (facts.len(), 4096)
    );
}

#[test]
fn another_file_or_version_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("checkpoint.log");
    for content in [&b"TEPUICP\x02later"[..], b"something else", b"x"] {
        fs::write(&path, content).expect("write");
        let error = Checkpoint::open(&path).expect_err("refused");
        assert!(matches!(error, CheckpointError::Version { .. }), "{error}");
        assert_eq!(fs::read(&path).expect("read"), content);
    }
}

#[test]
fn a_log_written_anew_holds_the_given_facts_and_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("checkpoint.log");
    let mut log = Checkpoint::open(&path).expect("a new log").checkpoint;
    assert!(!log.wants_compaction());
    while !log.wants_compaction() {
        log.append(&vec![facts()[2].clone(); 1000]).expect("append");
    }
    log.compact(&facts()[..2], &facts()[1..2])
        .expect("written anew");
    assert!(!log.wants_compaction());
    log.append(&facts()[2..]).expect("append");
    assert_eq!(Checkpoint::open(&path).expect("the log").facts, facts());
}

/// A log with as many facts as make it worth writing anew.
fn long(path: &Path) -> Checkpoint {
    let mut log = Checkpoint::open(path).expect("a new log").checkpoint;
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
    let log = Checkpoint::open(&path).expect("the log").checkpoint;
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
    let recovered = Checkpoint::open(&path).expect("the log");
    assert_eq!(
        (recovered.facts.last(), recovered.torn_bytes),
        (Some(&facts()[1]), 0)
    );
}
