//! Restarts of the agent's program, with containers that go on.

use std::time::Duration;

use agent_core::event::{ExitStatus, Expected, FromMaster, Restarts};
use model::FrameworkId;

use crate::world::{World, framework, task};

/// What is told of a task, and done with it.
fn lines<'a>(world: &'a World, name: &str) -> Vec<&'a str> {
    let lines = world.log.iter().map(String::as_str);
    lines
        .filter(|line| line.starts_with(name) || line.starts_with(&format!("kill {name}")))
        .collect()
}

#[test]
fn a_launch_that_was_not_told_of_is_told_after_the_restart() {
    let mut world = World::registered();
    world.run_task("t1");
    let world = world.restarted(&["t1"]);
    assert_eq!(lines(&world, "t1"), ["t1 TASK_STARTING", "t1 TASK_RUNNING"]);
    let again = world.restarted(&["t1"]);
    assert_eq!(lines(&again, "t1"), [""; 0]);
}

#[test]
fn a_kill_under_way_has_what_is_left_of_its_grace() {
    let mut world = World::registered();
    world.run_task("t1");
    world.launched("t1");
    world.kill("t1", Some(Duration::from_secs(10)));
    world.pass(Duration::from_secs(4));
    let mut world = world.restarted(&["t1"]);
    assert_eq!(lines(&world, "t1"), ["kill t1 Terminate"]);
    world.log.clear();
    world.pass(Duration::from_secs(5));
    assert_eq!(lines(&world, "t1"), [""; 0]);
    world.pass(Duration::from_secs(1));
    assert_eq!(lines(&world, "t1"), ["kill t1 Kill"]);
    world.exited("t1", ExitStatus::Signal(9));
    assert_eq!(
        lines(&world, "t1")[1..],
        ["t1 TASK_KILLED \"Command terminated with signal Killed\""]
    );
}

#[test]
fn a_kill_whose_grace_ran_out_meanwhile_or_that_came_during_the_launch_is_one_at_once() {
    let mut world = World::registered();
    world.run_task("t1");
    world.launched("t1");
    world.kill("t1", Some(Duration::from_secs(10)));
    world.run_task("t2");
    world.kill("t2", None);
    world.pass(Duration::from_secs(11));
    let mut world = world.restarted(&["t1", "t2"]);
    assert_eq!(lines(&world, "t1"), ["kill t1 Kill"]);
    assert_eq!(lines(&world, "t2"), ["kill t2 Kill"]);
    world.exited("t2", ExitStatus::Signal(9));
    assert_eq!(
        lines(&world, "t2")[1..],
        ["t2 TASK_KILLED REASON_TASK_KILLED_DURING_LAUNCH \"Task was killed during its launch\""]
    );
}

#[test]
fn what_was_to_be_killed_and_is_gone_was_killed() {
    let mut world = World::registered();
    world.run_task("t1");
    world.launched("t1");
    world.kill("t1", None);
    // A checkpoint that is written anew keeps it.
    world.facts = world.agent.facts();
    let world = world.restarted(&[]);
    assert_eq!(
        lines(&world, "t1"),
        ["t1 TASK_KILLED \"Command ended and its exit status is not known\""]
    );
}

#[test]
fn a_completion_time_goes_on_and_a_date_that_was_set_back_makes_it_no_longer() {
    let mut world = World::registered();
    let mut spec = task("t1");
    spec.max_completion_time = Some(Duration::from_secs(60));
    world.run_spec(spec);
    world.launched("t1");
    world.pass(Duration::from_secs(50));
    let mut world = world.restarted(&["t1"]);
    world.pass(Duration::from_secs(9));
    assert_eq!(lines(&world, "t1"), [""; 0]);
    world.pass(Duration::from_secs(2));
    assert_eq!(lines(&world, "t1"), ["kill t1 Kill"]);
}

#[test]
fn an_end_while_there_was_no_agent_is_told_as_any_other() {
    let mut world = World::registered();
    world.run_task("t1");
    world.launched("t1");
    let mut world = world.restarted(&["t1"]);
    world.exited("t1", ExitStatus::Code(0));
    assert_eq!(
        lines(&world, "t1"),
        ["t1 TASK_FINISHED \"Command exited with status 0\""]
    );
}

#[test]
fn containers_of_frameworks_that_do_not_checkpoint_are_not_expected() {
    let mut world = World::registered();
    world.run_task("t1");
    let mut other = framework();
    other.id = FrameworkId::new("m-0001").expect("an id");
    other.restarts = Restarts::Fatal;
    world.frame(FromMaster::RunTask {
        framework: other,
        task: task("t2"),
        resource_version: vec![1; 16],
        expected: Expected::New,
    });
    let expected: Vec<_> = world.agent.expected().cloned().collect();
    assert_eq!(expected, [world.container("t1")]);
    world.launched("t1");
    world.exited("t1", ExitStatus::Code(0));
    assert_eq!(world.agent.expected().count(), 0);
    assert_eq!(world.restarted(&[]).agent.expected().count(), 0);
}
