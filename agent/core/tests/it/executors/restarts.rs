//! Executors and the end of their agent: what comes back after a restart, and what does not.

use super::*;

#[test]
fn after_a_restart_an_executor_that_lives_subscribes_again_or_is_killed_for_it() {
    let world = running();
    let mut world = world.restarted(&["ex"]);
    world.open_and_register();
    subscribe_with(
        &mut world,
        9,
        &[],
        vec![status("t1", TaskState::Finished, 2)],
    );
    check(
        &world,
        &expect![[r#"
            resize ex to: t1
            open link 1
            register agent S1 with t1 TASK_RUNNING
            registered
            answer 9 Subscribed
            ex subscribed
            t1 TASK_FINISHED "so it says"
            send t1 TASK_FINISHED latest TASK_FINISHED
            resize ex to:
            tell 9 SUBSCRIBED
            tell 9 ACKNOWLEDGED t1 2"#]],
    );
    let world = running();
    let mut world = world.restarted(&["ex"]);
    world.open_and_register();
    world.log.clear();
    world.pass(Duration::from_secs(2));
    world.exited("ex", ExitStatus::Signal(9));
    check(
        &world,
        &expect![[r#"
            ex is killed, its time is up
            kill ex Kill
            ex is gone
            t1 TASK_GONE REASON_EXECUTOR_REREGISTRATION_TIMEOUT "Executor did not reregister within 2secs"
            send t1 TASK_GONE latest TASK_GONE
            send ex exited with 9"#]],
    );
}

#[test]
fn after_a_restart_a_task_that_never_reached_its_executor_is_dropped_and_a_dead_executor_is_over() {
    let mut world = World::registered();
    let mut unaware = framework();
    unaware.partition = Unaware;
    unaware.killing = KillingState::Untold;
    world.frame(FromMaster::RunTask {
        framework: unaware,
        task: of_executor("t1"),
        resource_version: vec![1; 16],
        expected: Expected::New,
    });
    world.launched("ex");
    let mut world = world.restarted(&["ex"]);
    subscribe(&mut world, 9);
    let told: Vec<_> = world
        .log
        .iter()
        .filter(|line| line.starts_with("t1"))
        .collect();
    assert_eq!(
        told,
        ["t1 TASK_LOST REASON_AGENT_RESTARTED \"Task launched during agent restart\""]
    );
    let world = running().restarted(&[]);
    let told: Vec<_> = world
        .log
        .iter()
        .filter(|line| line.starts_with("t1"))
        .collect();
    assert_eq!(
        told,
        [
            "t1 TASK_FAILED REASON_AGENT_RESTARTED \"The agent restarted and the task did not outlive it\""
        ]
    );
    let (_, executor) = world
        .agent
        .executors()
        .next()
        .expect("until the end is acknowledged");
    assert!(!executor.is_alive());
}

#[test]
fn an_agent_that_ends_shuts_its_executors_down_first() {
    let mut world = running();
    world.step(Event::Stop(Stop::Keep));
    update(&mut world, "t1", TaskState::Killed, 2);
    world.exited("ex", ExitStatus::Code(0));
    let last: Vec<_> = world.log.iter().rev().take(3).rev().cloned().collect();
    assert_eq!(
        last,
        ["send ex exited with 0", "close link 1", "end Stopped"]
    );
    assert!(world.log.contains(&"tell 1 SHUTDOWN".to_string()));
}

#[test]
fn what_is_written_anew_of_executors_is_the_same_state() {
    let mut world = running();
    world.run_spec(of_executor("t2"));
    update(&mut world, "t2", TaskState::Finished, 2);
    let facts = world.agent.facts();
    world.facts = facts;
    let again = world.replayed();
    assert_eq!(again, world.snapshot());
    let mut world = running();
    world.exited("ex", ExitStatus::Code(0));
    world.facts = world.agent.facts();
    let world = world.restarted(&[]);
    assert_eq!(
        world
            .agent
            .executors()
            .filter(|(_, one)| one.is_alive())
            .count(),
        0
    );
    assert_eq!(world.agent.tasks().count(), 1);
}

#[test]
fn a_shutdown_under_way_at_a_restart_has_what_is_left_of_its_time() {
    let mut world = running();
    world.frame(FromMaster::ShutdownExecutor {
        framework_id: framework_id(),
        executor_id: executor_id(),
    });
    world.pass(Duration::from_secs(3));
    // A checkpoint that is written anew keeps it.
    world.facts = world.agent.facts();
    let mut world = world.restarted(&["ex"]);
    world.log.clear();
    world.pass(Duration::from_secs(1));
    assert!(!world.log.contains(&"kill ex Kill".to_string()));
    // One that subscribes meanwhile is told again.
    subscribe(&mut world, 9);
    assert!(world.log.contains(&"tell 9 SHUTDOWN".to_string()));
    world.pass(Duration::from_secs(1));
    assert!(
        world.log.contains(&"kill ex Kill".to_string()),
        "{:?}",
        world.log
    );
}
