//! Task groups in the built-in default executor, told as events and read as effects.

use std::time::Duration;

use agent_core::checks::{Check, Checks, HealthCheck, Probe};
use agent_core::event::{ExecutorKind, ExitStatus, FromMaster, TaskSpec};
use expect_test::{Expect, expect};
use model::{Blob, ExecutorId};

use crate::world::{World, framework, framework_id, task, task_id};

fn check(world: &World, expect: &Expect) {
    expect.assert_eq(&world.log.join("\n"));
}

/// Tasks of one group in the executor `pod`.
fn group(names: &[&str]) -> Vec<TaskSpec> {
    let ids: Vec<_> = names.iter().map(|name| task_id(name)).collect();
    let tasks = names.iter().map(|name| {
        let mut spec = task(name);
        spec.executor.id = ExecutorId::new("pod").expect("a valid id");
        spec.executor.kind = ExecutorKind::Default;
        spec.group.clone_from(&ids);
        spec
    });
    tasks.collect()
}

fn launch(world: &mut World, tasks: Vec<TaskSpec>) {
    world.frame(FromMaster::RunTaskGroup {
        framework: framework(),
        tasks,
        resource_version: vec![1; 16],
    });
}

/// A pod whose tasks run, with every update acknowledged; the log is empty.
fn running(tasks: Vec<TaskSpec>) -> World {
    let mut world = World::registered();
    let names: Vec<_> = tasks.iter().map(|task| task.id.to_string()).collect();
    launch(&mut world, tasks);
    world.launched("pod");
    for name in &names {
        world.launched(name);
    }
    settle(&mut world, &names);
    world.log.clear();
    world
}

/// Acknowledges everything.
fn settle(world: &mut World, names: &[String]) {
    for name in names {
        for _ in 0..4 {
            world.acknowledge_head(name);
        }
    }
}

/// What was logged but for what was sent.
fn told(world: &World) -> String {
    let lines = world.log.iter().filter(|line| !line.contains(" latest "));
    lines.cloned().collect::<Vec<_>>().join("\n")
}

#[test]
fn a_pod_starts_runs_its_tasks_and_ends_with_the_last_of_them() {
    let mut world = World::registered();
    launch(&mut world, group(&["a", "b"]));
    world.launched("pod");
    world.launched("a");
    world.launched("b");
    world.exited("a", ExitStatus::Code(0));
    world.exited("b", ExitStatus::Code(0));
    world.exited("pod", ExitStatus::Signal(9));
    expect![[r#"
        launch pod pod for a b
        pod runs
        resize pod to a b
        a TASK_STARTING
        launch a in pod
        b TASK_STARTING
        launch b in pod
        a TASK_RUNNING
        b TASK_RUNNING
        a TASK_FINISHED "Command exited with status 0"
        resize pod to b
        b TASK_FINISHED "Command exited with status 0"
        kill pod Kill
        pod is gone
        send pod exited with 0"#]]
    .assert_eq(&told(&world));
    settle(&mut world, &["a".to_string(), "b".to_string()]);
    assert_eq!(world.agent.tasks().count(), 0);
    assert_eq!(world.agent.executors().count(), 0);
}

#[test]
fn a_task_that_fails_takes_its_group_with_it_and_no_other() {
    let mut world = running(group(&["a", "b", "c"]));
    launch(&mut world, group(&["other"]));
    world.launched("other");
    world.log.clear();
    world.exited("a", ExitStatus::Code(3));
    world.exited("b", ExitStatus::Signal(15));
    world.pass(Duration::from_secs(3));
    world.exited("c", ExitStatus::Signal(9));
    expect![[r#"
        a TASK_FAILED "Command exited with status 3"
        kill b Terminate
        b TASK_KILLING
        kill c Terminate
        c TASK_KILLING
        resize pod to b c other
        b TASK_KILLED "Command terminated with signal Terminated"
        resize pod to c other
        kill c Kill
        c TASK_KILLED "Command terminated with signal Killed"
        resize pod to other"#]]
    .assert_eq(&told(&world));
}

#[test]
fn a_kill_ends_the_task_and_then_its_group() {
    let mut tasks = group(&["a", "b"]);
    tasks[0].kill_grace = Some(Duration::from_secs(8));
    tasks[1].kill_grace = Some(Duration::from_secs(1));
    let mut world = running(tasks);
    world.kill("a", None);
    world.exited("a", ExitStatus::Signal(15));
    world.pass(Duration::from_secs(1));
    expect![[r#"
        kill a Terminate
        a TASK_KILLING
        a TASK_KILLED "Command terminated with signal Terminated"
        kill b Terminate
        b TASK_KILLING
        resize pod to b
        kill b Kill"#]]
    .assert_eq(&told(&world));
}

#[test]
fn a_pod_with_an_unhealthy_task_is_killed_and_all_its_ends_say_so() {
    let health = HealthCheck {
        check: Check {
            probe: Probe::Command(Blob::new(b"probe")),
            delay: Duration::from_secs(1),
            interval: Duration::from_secs(10),
            timeout: Some(Duration::from_secs(5)),
        },
        failures_max: 2,
        grace: Duration::ZERO,
    };
    let mut tasks = group(&["a", "b"]);
    tasks[0].checks = Checks {
        check: None,
        health: Some(health),
    };
    let mut world = running(tasks);
    world.next_deadline();
    world.launched("check of a");
    world.exited("check of a", ExitStatus::Code(1));
    // The second one hangs.
    world.pass(Duration::from_secs(15));
    world.exited("check of a", ExitStatus::Signal(9));
    world.exited("a", ExitStatus::Signal(15));
    world.exited("b", ExitStatus::Code(0));
    expect![[r#"
        launch check of a
        health check of a: command exited with status 1
        a TASK_RUNNING REASON_TASK_HEALTH_CHECK_STATUS_UPDATED unhealthy
        launch check of a
        kill check of a Kill
        health check of a: timed out after 5secs
        a TASK_RUNNING REASON_TASK_HEALTH_CHECK_STATUS_UPDATED unhealthy
        kill a Terminate
        a TASK_KILLING
        a TASK_KILLED unhealthy "Command terminated with signal Terminated"
        kill b Terminate
        b TASK_KILLING
        resize pod to b
        b TASK_KILLED unhealthy "Command exited with status 0"
        kill pod Kill"#]]
    .assert_eq(&told(&world));
}

#[test]
fn a_task_that_cannot_be_launched_ends_its_group_in_the_executors_name() {
    let mut world = World::registered();
    launch(&mut world, group(&["a", "b"]));
    world.launched("pod");
    world.launched("b");
    world.log.clear();
    world.launch_failed("a");
    world.exited("b", ExitStatus::Signal(15));
    expect![[r#"
        a TASK_FAILED REASON_CONTAINER_LAUNCH_FAILED "no"
        kill b Terminate
        b TASK_KILLING
        resize pod to b
        b TASK_KILLED "Command terminated with signal Terminated"
        kill pod Kill"#]]
    .assert_eq(&told(&world));
}

#[test]
fn a_pod_that_cannot_be_made_or_dies_ends_all_its_tasks() {
    let mut world = World::registered();
    launch(&mut world, group(&["a", "b"]));
    world.launch_failed("pod");
    expect![[r#"
        launch pod pod for a b
        pod is gone
        a TASK_FAILED REASON_CONTAINER_LAUNCH_FAILED "no"
        b TASK_FAILED REASON_CONTAINER_LAUNCH_FAILED "no"
        send pod exited with -1"#]]
    .assert_eq(&told(&world));

    let mut world = World::registered();
    launch(&mut world, group(&["a", "b"]));
    world.launched("pod");
    world.launched("a");
    world.log.clear();
    world.exited("pod", ExitStatus::Signal(9));
    expect![[r#"
        pod is gone
        a TASK_FAILED REASON_EXECUTOR_TERMINATED "Executor terminated"
        kill b Kill
        b TASK_FAILED REASON_EXECUTOR_TERMINATED "Executor terminated"
        send pod exited with 9"#]]
    .assert_eq(&told(&world));
}

#[test]
fn a_pod_that_is_shut_down_ends_within_its_grace_period() {
    let mut world = running(group(&["a", "b"]));
    world.frame(FromMaster::ShutdownExecutor {
        framework_id: framework_id(),
        executor_id: ExecutorId::new("pod").expect("a valid id"),
    });
    world.exited("a", ExitStatus::Code(0));
    world.pass(Duration::from_secs(5));
    expect![[r#"
        pod shuts down
        kill a Terminate
        a TASK_KILLING
        kill b Terminate
        b TASK_KILLING
        a TASK_KILLED "Command exited with status 0"
        kill b Kill
        pod is killed, its time is up
        kill pod Kill"#]]
    .assert_eq(&told(&world));
}

#[test]
fn a_kill_before_the_pod_is_there_ends_the_whole_group() {
    let mut world = World::registered();
    launch(&mut world, group(&["a", "b"]));
    world.log.clear();
    world.kill("a", None);
    world.launched("pod");
    check(
        &world,
        &expect![[r#"
        a TASK_KILLED REASON_TASK_KILLED_DURING_LAUNCH "A task within the task group was killed before delivery to the executor"
        send a TASK_KILLED latest TASK_KILLED
        b TASK_KILLED REASON_TASK_KILLED_DURING_LAUNCH "A task within the task group was killed before delivery to the executor"
        send b TASK_KILLED latest TASK_KILLED
        pod runs
        kill pod Kill"#]],
    );
}
