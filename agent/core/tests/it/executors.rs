//! Custom executors, told as events and read as effects.

use std::time::Duration;

use agent_core::containers::RequestId;
use agent_core::effect::Limitation;
use agent_core::event::{
    Event, ExecutorKind, Exit, ExitStatus, Expected, FromMaster, KillingState, Limit, MemoryLimit,
    Stop, TaskSpec,
};
use agent_core::executor_api::{Claims, ExecutorCall, ExecutorStatus};
use expect_test::{Expect, expect};
use model::sandbox::Lacks;
use model::task::PartitionAwareness::Unaware;
use model::{Blob, ExecutorId, FrameworkId, StatusUuid, TaskState};

use crate::world::{World, framework, framework_id, task, task_id};

mod restarts;

fn check(world: &World, expect: &Expect) {
    expect.assert_eq(&world.log.join("\n"));
}

fn executor_id() -> ExecutorId {
    ExecutorId::new("ex").expect("a valid id")
}

/// A task for the executor `ex`.
fn of_executor(name: &str) -> TaskSpec {
    let mut spec = task(name);
    spec.executor.id = executor_id();
    spec.executor.kind = ExecutorKind::Custom;
    spec
}

fn call(world: &mut World, request: u64, call: ExecutorCall) {
    world.step(Event::ExecutorCall {
        request: RequestId(request),
        framework_id: framework_id(),
        executor_id: executor_id(),
        claims: None,
        call,
    });
}

fn subscribe(world: &mut World, request: u64) {
    subscribe_with(world, request, &[], Vec::new());
}

fn subscribe_with(world: &mut World, request: u64, known: &[&str], updates: Vec<ExecutorStatus>) {
    let tasks = known.iter().map(|name| task_id(name)).collect();
    call(world, request, ExecutorCall::Subscribe { tasks, updates });
}

fn status(name: &str, state: TaskState, uuid: u8) -> ExecutorStatus {
    ExecutorStatus {
        task_id: task_id(name),
        state,
        reason: None,
        message: Some("so it says".to_string()),
        uuid: StatusUuid([uuid; 16]),
        timestamp: None,
        info: Blob::new(b"status"),
    }
}

fn update(world: &mut World, name: &str, state: TaskState, uuid: u8) {
    call(world, 100, ExecutorCall::Update(status(name, state, uuid)));
}

/// An executor that runs `t1`, with every update acknowledged; the log is empty.
fn running() -> World {
    let mut world = World::registered();
    world.run_spec(of_executor("t1"));
    world.launched("ex");
    subscribe(&mut world, 1);
    update(&mut world, "t1", TaskState::Running, 1);
    world.acknowledge_head("t1");
    world.log.clear();
    world
}

#[test]
fn an_executor_gets_what_waits_once_it_subscribes_and_its_updates_are_stored_then_acknowledged() {
    let mut world = World::registered();
    world.run_spec(of_executor("t1"));
    world.run_spec(of_executor("t2"));
    world.launched("ex");
    subscribe(&mut world, 1);
    update(&mut world, "t1", TaskState::Running, 1);
    update(&mut world, "t1", TaskState::Finished, 2);
    world.check_invariants();
    world.acknowledge_head("t1");
    world.acknowledge_head("t1");
    check(
        &world,
        &expect![[r#"
            launch executor ex for t1
            ex launched
            answer 1 Subscribed
            ex subscribed
            tell 1 SUBSCRIBED
            resize ex to: t1 t2
            tell 1 LAUNCH t1
            tell 1 LAUNCH t2
            t1 TASK_RUNNING "so it says"
            send t1 TASK_RUNNING latest TASK_RUNNING
            tell 1 ACKNOWLEDGED t1 1
            answer 100 Accepted
            t1 TASK_FINISHED "so it says"
            resize ex to: t2
            tell 1 ACKNOWLEDGED t1 2
            answer 100 Accepted
            send t1 TASK_FINISHED latest TASK_FINISHED"#]],
    );
    let status = &world.agent.completed().next().expect("t1").1.statuses[0];
    assert_eq!(status.given, Some(Blob::new(b"status")));
    assert_eq!(status.executor_id, Some(executor_id()));
    assert_eq!((status.pid, status.container.is_some()), (Some(42), true));
}

#[test]
fn an_executor_that_ends_while_a_registration_that_lists_it_is_on_its_way_is_told_of_after() {
    let mut world = running();
    let link = world.link;
    world.step(Event::LinkClosed { link });
    while world.link == link {
        world.next_deadline();
    }
    let link = world.link;
    world.step(Event::LinkOpened { link });
    world.log.clear();
    world.exited("ex", ExitStatus::Code(3));
    world.log.push("the master answers".to_string());
    world.answer_registration();
    check(
        &world,
        &expect![[r#"
        close stream 1
        ex is gone
        t1 TASK_FAILED REASON_EXECUTOR_TERMINATED "Executor terminated"
        the master answers
        registered
        send ex exited with 768
        send t1 TASK_FAILED latest TASK_FAILED"#]],
    );
}

#[test]
fn an_executor_that_runs_takes_more_tasks_and_stays_without_any() {
    let mut world = running();
    update(&mut world, "t1", TaskState::Finished, 2);
    world.acknowledge_head("t1");
    world.log.clear();
    assert_eq!(
        (world.agent.tasks().count(), world.agent.executors().count()),
        (0, 1)
    );
    world.run_spec(of_executor("t2"));
    check(
        &world,
        &expect![[r#"
            resize ex to: t2
            tell 1 LAUNCH t2"#]],
    );
}

#[test]
fn a_task_for_an_executor_that_the_master_counts_and_that_is_not_here_is_dropped() {
    let mut world = World::registered();
    let task = |name: &str, resource_version: u8, expected| FromMaster::RunTask {
        framework: framework(),
        task: of_executor(name),
        resource_version: vec![resource_version; 16],
        expected,
    };
    // The first is refused; the second was sent before the master heard of it, and it hears of an
    // executor's end once, since the third may be for a new one.
    world.frame(task("t1", 9, Expected::New));
    world.frame(task("t2", 1, Expected::Running));
    world.frame(task("t3", 1, Expected::New));
    check(
        &world,
        &expect![[r#"
        t1 TASK_DROPPED REASON_INVALID_OFFERS "Task was launched for resources that this agent no longer has"
        send t1 TASK_DROPPED latest TASK_DROPPED
        send ex exited with -1
        t2 TASK_DROPPED REASON_EXECUTOR_TERMINATED "No executor is expected to launch and there is no executor running"
        send t2 TASK_DROPPED latest TASK_DROPPED
        launch executor ex for t3"#]],
    );
}

#[test]
fn a_group_is_delivered_whole_and_a_kill_before_that_ends_all_of_it() {
    let mut world = World::registered();
    let ids = [task_id("a"), task_id("b")];
    let group = |executor: &str| {
        let tasks = ids.iter().map(|id| TaskSpec {
            group: ids.to_vec(),
            ..of_executor(id.as_str())
        });
        let mut tasks: Vec<_> = tasks.collect();
        for task in &mut tasks {
            task.executor.id = ExecutorId::new(executor).expect("a valid id");
        }
        FromMaster::RunTaskGroup {
            framework: framework(),
            tasks,
            resource_version: vec![1; 16],
            expected: Expected::New,
        }
    };
    world.frame(group("ex"));
    world.launched("ex");
    world.kill("b", None);
    subscribe(&mut world, 1);
    check(
        &world,
        &expect![[r#"
            launch executor ex for a b
            ex launched
            a TASK_KILLED REASON_TASK_KILLED_DURING_LAUNCH "A task within the task group was killed before delivery to the executor"
            send a TASK_KILLED latest TASK_KILLED
            b TASK_KILLED REASON_TASK_KILLED_DURING_LAUNCH "A task within the task group was killed before delivery to the executor"
            send b TASK_KILLED latest TASK_KILLED
            answer 1 Subscribed
            ex subscribed
            ex shuts down
            tell 1 SHUTDOWN"#]],
    );
    for name in ["a", "b"] {
        world.acknowledge_head(name);
    }
    world.exited("ex", ExitStatus::Code(0));
    assert_eq!(world.agent.executors().count(), 0);
    world.log.clear();
    world.frame(group("ex"));
    world.launched("ex");
    subscribe(&mut world, 2);
    let delivered = world.log.last().expect("a line");
    assert_eq!(delivered, "tell 2 LAUNCH_GROUP a b");
}

#[test]
fn an_executor_that_does_not_subscribe_in_time_is_killed_and_its_tasks_say_so() {
    let mut world = World::registered();
    world.run_spec(of_executor("t1"));
    world.launched("ex");
    world.pass(Duration::from_secs(59));
    world.log.clear();
    world.pass(Duration::from_secs(1));
    world.exited("ex", ExitStatus::Signal(9));
    check(
        &world,
        &expect![[r#"
            ex is killed, its time is up
            kill ex Kill
            ex is gone
            t1 TASK_FAILED REASON_EXECUTOR_REGISTRATION_TIMEOUT "Executor did not register within 1mins"
            send t1 TASK_FAILED latest TASK_FAILED
            send ex exited with 9"#]],
    );
    world.acknowledge_head("t1");
    assert_eq!(world.agent.executors().count(), 0);
    assert_eq!(world.agent.frameworks().count(), 0);
}

#[test]
fn an_executor_that_dies_takes_its_tasks_along_each_with_one_end() {
    let mut world = running();
    world.run_spec(of_executor("t2"));
    update(&mut world, "t2", TaskState::Finished, 2);
    world.log.clear();
    world.exited("ex", ExitStatus::Code(3));
    world.run_spec(of_executor("t3"));
    check(
        &world,
        &expect![[r#"
            close stream 1
            ex is gone
            t1 TASK_FAILED REASON_EXECUTOR_TERMINATED "Executor terminated"
            send t1 TASK_FAILED latest TASK_FAILED
            send ex exited with 768
            t3 TASK_DROPPED REASON_EXECUTOR_TERMINATED "Executor terminated"
            send t3 TASK_DROPPED latest TASK_DROPPED
            send ex exited with -1"#]],
    );
}

#[test]
fn a_master_that_counts_on_an_executor_that_is_not_started_is_told_so() {
    let mut world = running().restarted(&[]);
    world.open_and_register();
    world.log.clear();
    // What the executor did is not acknowledged, so that there can be no other of its name yet.
    world.run_spec(of_executor("t2"));
    check(
        &world,
        &expect![[r#"
            t2 TASK_DROPPED REASON_EXECUTOR_TERMINATED "Executor terminated"
            send t2 TASK_DROPPED latest TASK_DROPPED
            send ex exited with -1"#]],
    );
}

#[test]
fn a_memory_limit_that_an_executor_reached_is_what_its_tasks_end_of() {
    let mut world = running();
    let container = world.container("ex");
    let memory = MemoryLimit {
        limit_bytes: 64 << 20,
        used_bytes_max: 64 << 20,
        statistics: String::new(),
    };
    world.step(Event::Exited {
        container,
        exit: Exit {
            status: ExitStatus::Signal(9),
            limit: Some(Limit::Memory(memory)),
            lacks: Lacks::NONE,
        },
    });
    check(
        &world,
        &expect![[r#"
            close stream 1
            ex is gone
            t1 TASK_FAILED REASON_CONTAINER_LIMITATION_MEMORY "Memory limit exceeded: Requested: 64MB Maximum Used: 64MB"
            send t1 TASK_FAILED latest TASK_FAILED
            send ex exited with 9"#]],
    );
    assert_eq!(
        world.status("t1").limitation,
        Some(Limitation::Memory(64 << 20))
    );
}

#[test]
fn a_shutdown_is_asked_for_and_enforced_after_the_executors_own_grace_period() {
    let mut world = World::registered();
    let mut spec = of_executor("t1");
    spec.executor.shutdown_grace = Some(Duration::from_secs(9));
    world.run_spec(spec);
    world.launched("ex");
    subscribe(&mut world, 1);
    update(&mut world, "t1", TaskState::Running, 1);
    world.acknowledge_head("t1");
    world.log.clear();
    world.frame(FromMaster::ShutdownExecutor {
        framework_id: framework_id(),
        executor_id: executor_id(),
    });
    world.run_spec(of_executor("t2"));
    // What it says of its tasks on the way still counts.
    update(&mut world, "t1", TaskState::Killed, 2);
    world.pass(Duration::from_millis(8999));
    world.log.push("9 s".to_string());
    world.pass(Duration::from_millis(1));
    world.exited("ex", ExitStatus::Signal(9));
    check(
        &world,
        &expect![[r#"
            ex shuts down
            tell 1 SHUTDOWN
            t2 TASK_DROPPED REASON_EXECUTOR_TERMINATED "Executor terminating"
            send t2 TASK_DROPPED latest TASK_DROPPED
            t1 TASK_KILLED "so it says"
            send t1 TASK_KILLED latest TASK_KILLED
            resize ex to:
            tell 1 ACKNOWLEDGED t1 2
            answer 100 Accepted
            9 s
            ex is killed, its time is up
            kill ex Kill
            close stream 1
            ex is gone
            send ex exited with 9"#]],
    );
}

#[test]
fn a_framework_that_is_shut_down_has_its_executors_ended_and_nobody_is_told() {
    let mut world = running();
    world.frame(FromMaster::ShutdownFramework {
        framework_id: framework_id(),
    });
    update(&mut world, "t1", TaskState::Killed, 2);
    world.exited("ex", ExitStatus::Code(0));
    check(
        &world,
        &expect![[r#"
            ex shuts down
            tell 1 SHUTDOWN
            resize ex to:
            tell 1 ACKNOWLEDGED t1 2
            answer 100 Accepted
            close stream 1
            ex is gone"#]],
    );
    let left = (
        world.agent.tasks().count(),
        world.agent.executors().count(),
        world.agent.frameworks().count(),
    );
    assert_eq!(left, (0, 0, 0));
}

#[test]
fn calls_are_refused_in_the_order_and_words_of_mesos() {
    let mut world = World::registered();
    let speak = |world: &mut World, framework: &str, claims: Option<Claims>, call| {
        world.step(Event::ExecutorCall {
            request: RequestId(7),
            framework_id: FrameworkId::new(framework).expect("a valid id"),
            executor_id: executor_id(),
            claims,
            call,
        });
    };
    let claims = |container: &str| Claims {
        framework_id: "m-0000".to_string(),
        executor_id: "ex".to_string(),
        container: container.to_string(),
    };
    speak(&mut world, "m-0000", None, ExecutorCall::Heartbeat);
    world.run_task("t0");
    speak(&mut world, "m-0000", None, ExecutorCall::Heartbeat);
    world.run_spec(of_executor("t1"));
    speak(&mut world, "m-0001", None, ExecutorCall::Heartbeat);
    speak(&mut world, "m-0000", None, ExecutorCall::Heartbeat);
    speak(
        &mut world,
        "m-0000",
        Some(claims("another")),
        ExecutorCall::Heartbeat,
    );
    let own = world.container("ex").to_string();
    speak(
        &mut world,
        "m-0000",
        Some(claims(&own)),
        ExecutorCall::Heartbeat,
    );
    let answers = world.log.iter().filter(|line| line.starts_with("answer"));
    let answers: Vec<_> = answers.cloned().collect();
    expect![[r#"
        answer 7 Framework cannot be found
        answer 7 Executor cannot be found
        answer 7 Framework cannot be found
        answer 7 Executor is not subscribed
        answer 7 Authenticated principal does not match the cid of the executor
        answer 7 Executor is not subscribed"#]]
    .assert_eq(&answers.join("\n"));
}

#[test]
fn the_executor_of_a_command_task_is_nobody_that_could_be_taken_over() {
    let mut world = World::registered();
    let mut spec = task("t1");
    spec.executor.id = executor_id();
    world.run_spec(spec);
    world.launched("t1");
    world.log.clear();
    subscribe(&mut world, 1);
    check(&world, &expect!["answer 1 Executor cannot be found"]);
}

#[test]
fn a_second_subscribe_takes_the_stream_over_and_what_waited_comes_on_it() {
    let mut world = running();
    world.step(Event::ExecutorClosed {
        stream: RequestId(1),
    });
    world.kill("t1", Some(Duration::from_secs(1)));
    world.run_spec(of_executor("t2"));
    world.frame(FromMaster::FrameworkMessage {
        framework_id: framework_id(),
        executor_id: executor_id(),
        data: Blob::new(b"lost"),
    });
    subscribe_with(
        &mut world,
        2,
        &[],
        vec![status("t1", TaskState::Running, 1)],
    );
    // The end of the old stream comes late.
    world.step(Event::ExecutorClosed {
        stream: RequestId(1),
    });
    world.frame(FromMaster::FrameworkMessage {
        framework_id: framework_id(),
        executor_id: executor_id(),
        data: Blob::new(b"hello"),
    });
    subscribe(&mut world, 3);
    check(
        &world,
        &expect![[r#"
            ex disconnected
            ignored message for executor ex, which takes none
            answer 2 Subscribed
            ex subscribed
            tell 2 SUBSCRIBED
            tell 2 ACKNOWLEDGED t1 1
            tell 2 KILL t1 1s
            resize ex to: t1 t2
            tell 2 LAUNCH t2
            tell 2 MESSAGE hello
            answer 3 Subscribed
            close stream 2
            ex subscribed
            t2 TASK_DROPPED REASON_AGENT_RESTARTED "Task launched during agent restart"
            send t2 TASK_DROPPED latest TASK_DROPPED
            tell 3 SUBSCRIBED"#]],
    );
}

#[test]
fn an_update_that_comes_again_or_too_late_changes_nothing_and_is_acknowledged() {
    let mut world = running();
    update(&mut world, "t1", TaskState::Running, 1);
    update(&mut world, "t1", TaskState::Finished, 2);
    update(&mut world, "t1", TaskState::Failed, 3);
    update(&mut world, "nothing", TaskState::Failed, 4);
    check(
        &world,
        &expect![[r#"
            tell 1 ACKNOWLEDGED t1 1
            answer 100 Accepted
            t1 TASK_FINISHED "so it says"
            send t1 TASK_FINISHED latest TASK_FINISHED
            resize ex to:
            tell 1 ACKNOWLEDGED t1 2
            answer 100 Accepted
            ignored update TASK_FAILED of task t1, which is not with executor ex
            tell 1 ACKNOWLEDGED t1 3
            answer 100 Accepted
            ignored update of task nothing, unknown here
            tell 1 ACKNOWLEDGED nothing 4
            answer 100 Accepted"#]],
    );
}
