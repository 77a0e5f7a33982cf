//! Task groups in the built-in default executor, told as events and read as effects.

use std::time::Duration;

use agent_core::checks::{Check, Checks, HealthCheck, Probe};
use agent_core::event::{ExecutorKind, ExitStatus, Expected, FromMaster, TaskSpec};
use expect_test::{Expect, expect};
use model::{Blob, ExecutorId};
use proptest::prelude::*;

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
        expected: Expected::New,
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

fn health() -> HealthCheck {
    HealthCheck {
        check: Check {
            probe: Probe::Command(Blob::new(b"probe")),
            delay: Duration::from_secs(1),
            interval: Duration::from_secs(10),
            timeout: Some(Duration::from_secs(5)),
        },
        failures_max: 2,
        grace: Duration::ZERO,
    }
}

fn shut_down(world: &mut World) {
    world.frame(FromMaster::ShutdownExecutor {
        framework_id: framework_id(),
        executor_id: ExecutorId::new("pod").expect("a valid id"),
    });
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
        resize pod to: a b
        a TASK_STARTING
        launch a in pod
        b TASK_STARTING
        launch b in pod
        a TASK_RUNNING
        b TASK_RUNNING
        a TASK_FINISHED "Command exited with status 0"
        resize pod to: b
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
        resize pod to: b c other
        b TASK_KILLED "Command terminated with signal Terminated"
        resize pod to: c other
        kill c Kill
        c TASK_KILLED "Command terminated with signal Killed"
        resize pod to: other"#]]
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
        resize pod to: b
        kill b Kill"#]]
    .assert_eq(&told(&world));
}

#[test]
fn a_pod_with_an_unhealthy_task_is_killed_and_all_its_ends_say_so() {
    let mut tasks = group(&["a", "b"]);
    tasks[0].checks = Checks {
        check: None,
        health: Some(health()),
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
        resize pod to: b
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
        resize pod to: b
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
    shut_down(&mut world);
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

#[derive(Debug, Clone)]
enum Act {
    Launch(u8),
    Launched(u8),
    LaunchFails(u8),
    Exit(u8),
    Kill(u8),
    Acknowledge(u8),
    ShutdownExecutor,
    ShutdownFramework,
    Pass(u8),
    Restart,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        2 => (0..2_u8).prop_map(Act::Launch),
        8 => (0..6_u8).prop_map(Act::Launched),
        1 => (0..6_u8).prop_map(Act::LaunchFails),
        4 => (0..6_u8).prop_map(Act::Exit),
        2 => (0..4_u8).prop_map(Act::Kill),
        6 => (0..4_u8).prop_map(Act::Acknowledge),
        1 => Just(Act::ShutdownExecutor),
        1 => Just(Act::ShutdownFramework),
        4 => (0..8_u8).prop_map(Act::Pass),
        1 => Just(Act::Restart),
    ]
}

/// The tasks `t0` and `t1` are one group, `t2` and `t3` another; then the pod, and a check.
fn container(n: u8) -> String {
    match n {
        0..4 => format!("t{n}"),
        4 => "pod".to_string(),
        _ => "check of t0".to_string(),
    }
}

fn checked(n: u8) -> Vec<TaskSpec> {
    let names = [container(2 * n), container(2 * n + 1)];
    let mut tasks = group(&[&names[0], &names[1]]);
    tasks[0].checks.health = Some(health());
    tasks
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever happens in whatever order: a task has one end, and when all containers are gone and
    /// all is acknowledged, nothing of a pod is left.
    #[test]
    fn no_sequence_of_events_leaves_a_task_or_a_pod_behind(acts in prop::collection::vec(act(), 1..80)) {
        let mut world = World::registered();
        for act in acts {
            match act {
                Act::Launch(n) => launch(&mut world, checked(n)),
                Act::Launched(n) => world.launched(&container(n)),
                Act::LaunchFails(n) => world.launch_failed(&container(n)),
                Act::Exit(n) => world.exited(&container(n), ExitStatus::Code(n % 2)),
                Act::Kill(n) => world.kill(&container(n), None),
                Act::Acknowledge(n) => world.acknowledge_head(&container(n)),
                Act::ShutdownExecutor => shut_down(&mut world),
                Act::ShutdownFramework => world.frame(FromMaster::ShutdownFramework {
                    framework_id: framework_id(),
                }),
                Act::Pass(seconds) => {
                    world.pass(Duration::from_secs(seconds.into()));
                    world.open_and_register();
                }
                Act::Restart => {
                    world = world.restarted(&[]);
                    world.open_and_register();
                }
            }
            world.check_invariants();
        }
        for _ in 0..4 {
            for n in [4, 0, 1, 2, 3, 5] {
                world.launched(&container(n));
                world.exited(&container(n), ExitStatus::Signal(9));
            }
            for n in 0..4 {
                (0..64).for_each(|_| world.acknowledge_head(&container(n)));
            }
        }
        prop_assert_eq!(world.agent.tasks().count(), 0);
        prop_assert_eq!(world.agent.executors().count(), 0);
        prop_assert_eq!(world.agent.frameworks().count(), 0);
    }
}
