//! Checks of tasks, told as probes and read as updates.

use std::time::Duration;

use agent_core::checks::{Check, Checks, HealthCheck, Loopback, Outcome, Probe, Request};
use agent_core::event::{ExitStatus, TaskSpec};
use expect_test::{Expect, expect};

use crate::world::{World, task};

fn check(world: &World, expect: &Expect) {
    expect.assert_eq(&world.log.join("\n"));
}

/// A probe each 10 s that may take 5 s.
fn probing() -> Check {
    Check {
        probe: Probe::Request(Request::Tcp {
            loopback: Loopback::V4,
            port: 80,
        }),
        delay: Duration::from_secs(1),
        interval: Duration::from_secs(10),
        timeout: Some(Duration::from_secs(5)),
    }
}

fn health(failures_max: u32) -> Checks {
    Checks {
        check: None,
        health: Some(HealthCheck {
            check: probing(),
            failures_max,
            grace: Duration::ZERO,
        }),
    }
}

/// A task that runs and whose updates are acknowledged; the log is empty.
fn running(checks: Checks) -> World {
    let mut world = World::registered();
    world.run_spec(TaskSpec {
        checks,
        ..task("t1")
    });
    world.launched("t1");
    world.acknowledge_head("t1");
    world.acknowledge_head("t1");
    world.log.clear();
    world
}

#[test]
fn a_task_that_fails_its_health_check_too_often_is_killed_and_called_unhealthy() {
    let mut world = running(health(2));
    world.pass(Duration::from_secs(1));
    world.probed(Outcome::Connected(true));
    world.acknowledge_head("t1");
    for _ in 0..2 {
        world.pass(Duration::from_secs(10));
        world.probed(Outcome::Connected(false));
        world.acknowledge_head("t1");
    }
    world.pass(Duration::from_secs(3));
    world.exited("t1", ExitStatus::Signal(9));
    check(
        &world,
        &expect![[r#"
            health check 1
            t1 TASK_RUNNING REASON_TASK_HEALTH_CHECK_STATUS_UPDATED healthy
            send t1 TASK_RUNNING latest TASK_RUNNING
            health check 2
            health check of t1: TCP connection failed
            t1 TASK_RUNNING REASON_TASK_HEALTH_CHECK_STATUS_UPDATED unhealthy
            send t1 TASK_RUNNING latest TASK_RUNNING
            health check 3
            health check of t1: TCP connection failed
            t1 TASK_RUNNING REASON_TASK_HEALTH_CHECK_STATUS_UPDATED unhealthy
            send t1 TASK_RUNNING latest TASK_RUNNING
            kill t1 Terminate
            t1 TASK_KILLING
            send t1 TASK_KILLING latest TASK_KILLING
            kill t1 Kill
            t1 TASK_KILLED unhealthy "Command terminated with signal Killed""#]],
    );
}

#[test]
fn what_is_told_of_a_checked_task_has_a_result_and_repeats_its_health() {
    let mut world = running(Checks {
        check: Some(probing()),
        ..health(3)
    });
    // The health check, asked last, has an answer; the check never gets one.
    world.pass(Duration::from_secs(1));
    world.probed(Outcome::Connected(true));
    world.acknowledge_head("t1");
    world.pass(Duration::from_secs(5));
    world.acknowledge_head("t1");
    world.exited("t1", ExitStatus::Code(0));
    check(
        &world,
        &expect![[r#"
            check 1
            health check 1
            t1 TASK_RUNNING REASON_TASK_HEALTH_CHECK_STATUS_UPDATED healthy Tcp(None)
            send t1 TASK_RUNNING latest TASK_RUNNING
            end check 1
            check of t1: timed out after 5secs
            t1 TASK_FINISHED Tcp(None) "Command exited with status 0"
            send t1 TASK_FINISHED latest TASK_FINISHED"#]],
    );
}

#[test]
fn a_task_that_is_killed_or_has_ended_is_not_asked_any_more() {
    let mut world = running(health(1));
    world.pass(Duration::from_secs(1));
    world.kill("t1", None);
    world.probed(Outcome::Connected(false));
    world.exited("t1", ExitStatus::Code(0));
    world.probed(Outcome::Connected(true));
    world.pass(Duration::from_secs(5));
    check(
        &world,
        &expect![[r#"
            health check 1
            end health check 1
            kill t1 Terminate
            t1 TASK_KILLING
            send t1 TASK_KILLING latest TASK_KILLING
            t1 TASK_KILLED "Command exited with status 0""#]],
    );
}

#[test]
fn an_agent_that_starts_again_goes_on_with_the_checks_of_tasks_that_are_alive() {
    let mut world = running(health(1));
    world.pass(Duration::from_secs(1));
    world.probed(Outcome::Connected(true));
    let mut world = world.restarted(&["t1"]);
    world.open_and_register();
    world.log.clear();
    world.pass(Duration::from_secs(1));
    // It was told to be healthy before.
    world.probed(Outcome::Connected(true));
    check(&world, &expect!["health check 1"]);
}
