//! What an agent does that holds as much as it may.

use agent_core::agent::{COMPLETED_MAX, TASKS_MAX};
use agent_core::event::ExitStatus;
use expect_test::expect;

use crate::world::World;

#[test]
fn an_agent_that_holds_as_many_tasks_as_it_may_drops_one_more_with_the_reason() {
    let mut world = World::registered();
    for number in 0..TASKS_MAX {
        world.run_task(&format!("t{number}"));
    }
    assert_eq!(world.agent.tasks().count(), TASKS_MAX);
    world.log.clear();
    world.run_task("more");
    assert_eq!(world.agent.tasks().count(), TASKS_MAX);
    expect![[r#"
        more TASK_DROPPED REASON_CONTAINER_LAUNCH_FAILED "This agent already holds 10000 tasks, its bound"
        send more TASK_DROPPED latest TASK_DROPPED"#]]
    .assert_eq(&world.log.join("\n"));
}

#[test]
fn of_tasks_that_have_ended_the_last_are_remembered() {
    let mut world = World::registered();
    let names: Vec<String> = (0..=COMPLETED_MAX)
        .map(|number| format!("t{number}"))
        .collect();
    for name in &names {
        world.run_task(name);
        world.launched(name);
        world.acknowledge_head(name);
        world.exited(name, ExitStatus::Code(0));
        world.acknowledge_head(name);
        world.acknowledge_head(name);
    }
    let remembered: Vec<&str> = world
        .agent
        .completed()
        .map(|(_, task)| task.spec.id.as_str())
        .collect();
    assert_eq!(remembered, names[1..]);
}
